/**
 * What a client knows of each statement text: how it is prepared, and how its rows are read.
 *
 * Bounded, and the least recently used go first. Ours and not the driver's, whose cache evicts in order of arrival,
 * counts texts that failed, and turns an eviction in flight into an internal error (drivers.md, 19).
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type { Column } from "./codec/ColumnType.ts"
import * as Decoder from "./codec/Decoder.ts"
import * as Encoder from "./codec/Encoder.ts"
import * as Metadata from "./codec/Metadata.ts"
import type { RowDecoder } from "./codec/RowSchema.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import type { OperationCounts } from "./counts.ts"
import { hasCondition } from "./cql/condition.ts"
import { isIdempotent } from "./cql/idempotence.ts"
import type { Summary } from "./cql/summary.ts"
import { summarize } from "./cql/summary.ts"
import type { Host } from "./driver/inside.ts"
import type { PreparedResult } from "./driver/requests.ts"
import { Latencies } from "./latencies.ts"

/** A statement as the server has prepared it. */
export class Prepared {
  readonly id: Buffer
  readonly parameters: ReadonlyArray<Column>
  readonly partitionKeys: ReadonlyArray<number>
  readonly columns: ReadonlyArray<Column> | undefined
  /** `[short n]<value_1>...<value_n>`; throws `ParameterMismatch`. */
  readonly encode: (values: ReadonlyArray<unknown>) => Buffer

  constructor(result: PreparedResult) {
    this.id = result.id
    this.parameters = result.parameters
    this.partitionKeys = result.partitionKeys
    this.columns = result.columns
    this.encode = Encoder.compileParameters(result.parameters)
  }

  get keyspace(): string | undefined {
    return this.parameters[0]?.keyspace
  }

  get table(): string | undefined {
    return this.parameters[0]?.table
  }
}

/** A page as it was read: rows that are done, or rows that `decoder.decode` has yet to look at. */
export interface RowsPage {
  readonly rows: ReadonlyArray<unknown>
  readonly pageState: Buffer | undefined
  readonly columns: ReadonlyArray<Column>
  readonly decoder: RowDecoder<unknown>
  /** Whether the condition of a lightweight transaction held; told by the reader of outcomes alone. */
  readonly applied?: boolean | undefined
}

export const decodeRows = <A>({ decoder, rows }: RowsPage): Effect.Effect<ReadonlyArray<A>, Schema.SchemaError> =>
  decoder.decode === undefined
    ? Exit.succeed(rows as ReadonlyArray<A>)
    : decoder.decode(rows) as Effect.Effect<ReadonlyArray<A>, Schema.SchemaError>

/** All rows, no more than the first, or the outcome of a lightweight transaction. */
export type ReaderKind = "allRows" | "firstRow" | "outcome"

export interface RowsReader {
  (buffer: Buffer, offset: number): RowsPage
}

/** Told when a preparation ends. */
export interface Waiter {
  (error: unknown, prepared: Prepared | undefined): void
}

/** Whether it is idempotent, by the types of this preparation. */
interface Proof {
  readonly prepared: Prepared | undefined
  readonly holds: boolean
}

export class KnownStatement {
  readonly text: string
  prepared: Prepared | undefined
  /** Those who wait while the one preparation runs. */
  preparing: Array<Waiter> | undefined
  /** The same for a node that has forgotten it. */
  readonly preparingOn = new Map<Host, Array<Waiter>>()
  /** Where its requests are counted. */
  counts: OperationCounts | undefined
  /** Since it was put in, or since it was passed over last. */
  used = false
  private proof: Proof | undefined
  private conditional: boolean | undefined
  private called: Summary | undefined
  private durations: Latencies | undefined
  private durationsOfBatches: Latencies | undefined
  // Weak: a schema that is made anew for every call must not pile up here.
  private readonly readers = new WeakMap<object, Readers>()

  constructor(text: string) {
    this.text = text
  }

  schemaChanged(): void {
    this.prepared = undefined
  }

  /** Proved by its text and the types of its parameters, when somebody asks for the first time. */
  isIdempotent(prepared = this.prepared): boolean {
    // What could not be proved before the types were known may be proved by them.
    if (this.proof === undefined || this.proof.prepared !== prepared) {
      this.proof = { prepared, holds: isIdempotent(this.text, prepared?.parameters.map(({ type }) => type)) }
    }
    return this.proof.holds
  }

  /** What it is called in spans and metrics. */
  get summary(): Summary {
    this.called ??= summarize(this.text)
    return this.called
  }

  /** Whether it changes nothing. */
  get isRead(): boolean {
    return this.summary.operation === "SELECT"
  }

  /** How long its executions took that were hedged by it. */
  get latencies(): Latencies {
    this.durations ??= new Latencies()
    return this.durations
  }

  /** As the first of a batch: how long the batch took. */
  get latenciesOfBatches(): Latencies {
    this.durationsOfBatches ??= new Latencies()
    return this.durationsOfBatches
  }

  /** Whether it is a lightweight transaction. */
  get hasCondition(): boolean {
    this.conditional ??= hasCondition(this.text)
    return this.conditional
  }

  /** Rows by `schema`, or plain ones: compiled when the first page of a shape comes, then the same function. */
  reader(schema: Schema.Constraint | undefined, kind: ReaderKind = "allRows"): RowsReader {
    const key = schema ?? plainRows
    let readers = this.readers.get(key)
    if (readers === undefined) {
      readers = makeReaders(schema)
      this.readers.set(key, readers)
    }
    return readers[kind]
  }
}

type Readers = Readonly<Record<ReaderKind, RowsReader>>

const plainRows = {}

const decoderOf = (
  schema: Schema.Constraint | undefined,
  columns: ReadonlyArray<Column>,
  hidden?: string
): RowDecoder<unknown> =>
  schema === undefined
    ? { rows: Decoder.compileRows(columns, Decoder.everyColumn(columns, hidden)), decode: undefined }
    : RowSchema.make(schema, columns, hidden)

const makeReaders = (schema: Schema.Constraint | undefined): Readers => {
  const shapes = new Metadata.ShapeCache((columns) => decoderOf(schema, columns))
  const reader = (most: number): RowsReader => (buffer, offset) => {
    const { columns, pageState, rowsOffset, shape } = shapes.read(buffer, offset)
    return { rows: shape.rows(buffer, rowsOffset, most), pageState, columns, decoder: shape }
  }
  return { allRows: reader(Infinity), firstRow: reader(1), outcome: outcomeReader(schema) }
}

const appliedColumn = "[applied]"

const nothingToRead: RowDecoder<unknown> = { rows: () => [], decode: undefined }

interface OutcomeShape {
  /** `undefined` for a result that tells no outcome. */
  readonly readApplied: Decoder.RowsReader<{ readonly applied: boolean }> | undefined
  /** Of the columns beside it: made when a condition did not hold, for otherwise they may not be there. */
  readonly current: () => RowDecoder<unknown>
}

const outcomeShape = (
  schema: Schema.Constraint | undefined,
  columns: ReadonlyArray<Column>
): OutcomeShape => {
  const column = columns.findIndex(({ name, type }) => name === appliedColumn && type.type === "boolean")
  if (column < 0) return { readApplied: undefined, current: () => nothingToRead }
  let decoder: RowDecoder<unknown> | undefined
  return {
    readApplied: Decoder.compileRows(columns, { fields: [{ name: "applied", column, nullable: true }] }),
    current: () => {
      decoder ??= columns.length === 1 ? nothingToRead : decoderOf(schema, columns, appliedColumn)
      return decoder
    }
  }
}

/** A lightweight transaction answers `[applied]`, and where it is false the row, or rows, that were in the way. */
const outcomeReader = (schema: Schema.Constraint | undefined): RowsReader => {
  // One for each answer: racers are told both in turn.
  const applied = new Metadata.ShapeCache((columns) => outcomeShape(schema, columns))
  const notApplied = new Metadata.ShapeCache((columns) => outcomeShape(schema, columns))
  return (buffer, offset) => {
    const shapes = Metadata.readRowsHeader(buffer, offset).columnCount === 1 ? applied : notApplied
    const { columns, rowsOffset, shape } = shapes.read(buffer, offset)
    const held = shape.readApplied?.(buffer, rowsOffset, 1)[0]?.applied
    const decoder = held === false ? shape.current() : nothingToRead
    return { rows: decoder.rows(buffer, rowsOffset), pageState: undefined, columns, decoder, applied: held }
  }
}

const warnEveryMillis = 60_000

export class Statements {
  private readonly limit: number
  private readonly known = new Map<string, KnownStatement>()
  private readonly warnedAt = new Map<string, number>()

  constructor(limit: number) {
    this.limit = limit
  }

  /** How many are kept prepared. */
  get prepared(): number {
    let count = 0
    for (const { prepared } of this.known.values()) if (prepared !== undefined) count++
    return count
  }

  get(text: string): KnownStatement {
    const found = this.known.get(text)
    if (found !== undefined) {
      found.used = true
      return found
    }
    const statement = new KnownStatement(text)
    this.add(statement)
    return statement
  }

  /**
   * What a keyspace's statements were prepared as may not be so any more; without one, any. A table that was made anew
   * with other types has statements of the same id, so a server would take values of the old types for the new ones.
   */
  schemaChanged(keyspace: string | undefined): void {
    for (const statement of this.known.values()) {
      if (keyspace === undefined || statement.prepared?.keyspace === keyspace) statement.schemaChanged()
    }
  }

  /** Takes back one that was forgotten in the meantime, unless its text is known by another. */
  keep(statement: KnownStatement): void {
    if (!this.known.has(statement.text)) this.add(statement)
  }

  private add(statement: KnownStatement): void {
    if (this.known.size >= this.limit) this.evict()
    this.known.set(statement.text, statement)
  }

  forget(statement: KnownStatement): void {
    if (this.known.get(statement.text) === statement) this.known.delete(statement.text)
  }

  /** Whether what the server says of a text each time is to be logged now: once in a while is enough. */
  mayWarn(text: string, warning: string): boolean {
    const now = performance.now()
    // Its beginning: what follows may be a count that is another each time.
    const key = `${warning.slice(0, 20)}\n${text}`
    if (now - (this.warnedAt.get(key) ?? -Infinity) < warnEveryMillis) return false
    if (this.warnedAt.size >= this.limit) this.warnedAt.clear()
    this.warnedAt.set(key, now)
    return true
  }

  /** Second chance: the order of arrival, but whoever was used since the last round goes to the back once. */
  private evict(): void {
    for (const statement of this.known.values()) {
      this.known.delete(statement.text)
      if (!statement.used) return
      statement.used = false
      this.known.set(statement.text, statement)
    }
  }
}
