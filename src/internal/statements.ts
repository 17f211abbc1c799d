/**
 * What a client knows of each statement text: how it is prepared, and how its rows are read.
 *
 * Bounded, and the least recently used go first. Ours and not the driver's, whose cache evicts in order of arrival,
 * counts texts that failed, and turns an eviction in flight into an internal error (drivers.md, 19).
 */
import type * as Schema from "effect/Schema"
import type { Column } from "./codec/ColumnType.ts"
import * as Decoder from "./codec/Decoder.ts"
import * as Encoder from "./codec/Encoder.ts"
import * as Metadata from "./codec/Metadata.ts"
import type { RowDecoder } from "./codec/RowSchema.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import type { Host } from "./driver/inside.ts"
import type { PreparedResult } from "./driver/requests.ts"

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
}

/** A page as it was read: rows that are done, or rows that `decoder.decode` has yet to look at. */
export interface RowsPage {
  readonly rows: ReadonlyArray<unknown>
  readonly pageState: Buffer | undefined
  readonly decoder: RowDecoder<unknown>
}

export interface RowsReader {
  (buffer: Buffer, offset: number): RowsPage
}

/** Told when a preparation ends. */
export interface Waiter {
  (error: unknown, prepared: Prepared | undefined): void
}

export class KnownStatement {
  readonly text: string
  prepared: Prepared | undefined
  /** Those who wait while the one preparation runs. */
  preparing: Array<Waiter> | undefined
  /** The same for a node that has forgotten it. */
  readonly preparingOn = new Map<Host, Array<Waiter>>()
  used = true
  // Weak: a schema that is made anew for every call must not pile up here.
  private readonly readers = new WeakMap<object, Readers>()

  constructor(text: string) {
    this.text = text
  }

  /** Rows by `schema`, or plain ones: compiled when the first page of a shape comes, then the same function. */
  reader(schema: Schema.Constraint | undefined, firstRowOnly = false): RowsReader {
    const key = schema ?? plainRows
    let readers = this.readers.get(key)
    if (readers === undefined) {
      readers = makeReaders(schema)
      this.readers.set(key, readers)
    }
    return firstRowOnly ? readers.firstRow : readers.allRows
  }
}

interface Readers {
  readonly allRows: RowsReader
  readonly firstRow: RowsReader
}

const plainRows = {}

const plainDecoder = (columns: ReadonlyArray<Column>): RowDecoder<unknown> => ({
  rows: Decoder.compileRows(columns),
  decode: undefined
})

const makeReaders = (schema: Schema.Constraint | undefined): Readers => {
  const shapes = new Metadata.ShapeCache((columns) =>
    schema === undefined ? plainDecoder(columns) : RowSchema.make(schema, columns)
  )
  const reader = (most: number): RowsReader => (buffer, offset) => {
    const { pageState, rowsOffset, shape } = shapes.read(buffer, offset)
    return { rows: shape.rows(buffer, rowsOffset, most), pageState, decoder: shape }
  }
  return { allRows: reader(Infinity), firstRow: reader(1) }
}

export class Statements {
  private readonly limit: number
  private readonly known = new Map<string, KnownStatement>()

  constructor(limit: number) {
    this.limit = limit
  }

  get(text: string): KnownStatement {
    const found = this.known.get(text)
    if (found !== undefined) {
      found.used = true
      return found
    }
    if (this.known.size >= this.limit) this.evict()
    const statement = new KnownStatement(text)
    this.known.set(text, statement)
    return statement
  }

  forget(statement: KnownStatement): void {
    if (this.known.get(statement.text) === statement) this.known.delete(statement.text)
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
