/**
 * Several statements as one request: those with parameters prepared together, each bound by its own types.
 */
import type * as Schema from "effect/Schema"
import * as Errors from "../CqlError.ts"
import * as Encoder from "./codec/Encoder.ts"
import type { Core } from "./core.ts"
import type { Counts, OperationCounts } from "./counts.ts"
import type { FrameFlags, Host } from "./driver/inside.ts"
import type * as Nodes from "./driver/nodes.ts"
import type { BatchItem, Request } from "./driver/requests.ts"
import { batchKind, BatchRequest, maxBatchItems } from "./driver/requests.ts"
import type { Latencies } from "./latencies.ts"
import type { Finish, Limits, Resume } from "./operation.ts"
import { Operation } from "./operation.ts"
import type { Origin } from "./pageState.ts"
import type { Query } from "./query.ts"
import { encodeQuery, routeOf } from "./query.ts"
import type { Settings } from "./settings.ts"
import type { KnownStatement, Prepared, RowsPage } from "./statements.ts"

export type BatchType = keyof typeof batchKind

export const batchTypes: ReadonlyArray<string> = Object.keys(batchKind)

/** The statements of a batch, and the schema of the rows that it answers when its condition does not hold. */
export interface BatchQuery {
  readonly type: BatchType
  readonly queries: ReadonlyArray<Query>
  readonly schema: Schema.Constraint | undefined
  /** What it says of itself. */
  readonly idempotent?: boolean | undefined
  /** As errors show it. */
  readonly text: string
  /** Known, and not to be looked for. */
  readonly isOfOnePartition?: boolean
}

interface Item {
  readonly query: Query
  readonly statement: KnownStatement
  prepared: Prepared | undefined
  bound: Buffer | undefined
}

/** Over more partitions, an unlogged batch costs its coordinator more than single writes would. */
const manyPartitions = 10

export class BatchOperation<A, E = never> extends Operation<A, E> {
  private readonly batch: BatchQuery
  private readonly items: ReadonlyArray<Item>
  private readonly preparedAgain = new Map<Host, Set<KnownStatement>>()
  private isText = false
  /** As of when the batch was made ready, for meanwhile a schema may change. */
  private readonly prepared = new Map<KnownStatement, Prepared>()
  protected route: Nodes.Route | undefined

  constructor(
    core: Core,
    batch: BatchQuery,
    settings: Settings,
    limits: Limits,
    finish: Finish<A, E>,
    resume: Resume<A, E>
  ) {
    super(core, settings, limits, finish, resume)
    this.batch = batch
    this.items = batch.queries.map((query) => ({
      query,
      statement: core.shared.statements.get(query.text),
      prepared: undefined,
      bound: undefined
    }))
  }

  protected get text(): string {
    return this.batch.text
  }

  protected get values(): ReadonlyArray<unknown> {
    return this.batch.queries.flatMap(({ values }) => values)
  }

  protected countsOf(counts: Counts): OperationCounts {
    return counts.operation("BATCH")
  }

  protected spellsOut(): boolean {
    return this.batch.queries.some(({ values }) => values.length === 0)
  }

  // --- ready

  protected makeReady(): void {
    const missing = new Set<KnownStatement>()
    for (const { statement } of this.withParameters()) {
      if (statement.prepared === undefined) missing.add(statement)
      else this.prepared.set(statement, statement.prepared)
    }
    if (missing.size === 0) return this.encode()
    this.prepares()
    this.prepareAll(missing)
  }

  private prepareAll(missing: ReadonlySet<KnownStatement>): void {
    let waitingFor = missing.size
    let failure: { readonly error: unknown; readonly text: string } | undefined
    let ready: Prepared | undefined
    for (const statement of missing) {
      this.prepare(statement, (error, prepared) => {
        waitingFor--
        ready = prepared ?? ready
        if (prepared === undefined) failure ??= { error, text: statement.text }
        else this.prepared.set(statement, prepared)
        if (waitingFor > 0) return
        if (this.isPrepared(failure?.error, failure === undefined ? ready : undefined, failure?.text)) this.encode()
      })
    }
  }

  private withParameters(): ReadonlyArray<Item> {
    return this.items.filter(({ query }) => query.values.length > 0)
  }

  private encode(): void {
    if (!this.withParameters().every((item) => this.bindItem(item, this.prepared.get(item.statement)!))) return
    const problem = counterProblem(this.batch.type, this.items)
    if (problem !== undefined) return this.fail(problem)
    for (const item of this.items) this.route ??= routeOfItem(item)
    if (this.isFirst) this.shared.counts?.batchStatements(this.batch.type).record(this.items.length)
    this.attempt()
  }

  private bindItem(item: Item, prepared: Prepared): boolean {
    const bound = encodeQuery(prepared, item.query)
    if (!Buffer.isBuffer(bound)) {
      const { cause, reason } = bound
      this.fail(inItem(this.items.indexOf(item), reason), cause, undefined, item.query.text)
      return false
    }
    item.prepared = prepared
    item.bound = bound
    return true
  }

  protected bind(statement: KnownStatement, prepared: Prepared): boolean {
    return this.items.every((item) => item.statement !== statement || this.bindItem(item, prepared))
  }

  protected isIdempotent(): boolean {
    if (this.hasCondition()) return false
    if (this.batch.idempotent !== undefined) return this.batch.idempotent
    // What an item says of itself is nearer than what a session or a region says of all.
    if (this.items.some(({ query }) => query.idempotent === false)) return false
    return this.settings.idempotent ??
      this.items.every(({ prepared, query, statement }) => query.idempotent ?? this.isProved(statement, prepared))
  }

  protected hasCondition(): boolean {
    return this.items.some(({ statement }) => statement.hasCondition)
  }

  protected isRead(): boolean {
    return false
  }

  get origin(): Origin {
    return { keyspace: this.shared.client.keyspace, text: this.text, values: undefined }
  }

  get latencies(): Latencies | undefined {
    return this.settings.hedge?.percentile === undefined ? undefined : this.items[0]!.statement.latenciesOfBatches
  }

  protected repeat(limits: Limits, resume: Resume<A, E>): BatchOperation<A, E> {
    const { batch, core, finish, settings } = this
    return new BatchOperation(core, batch, settings, limits, finish, resume)
  }

  // --- attempt

  protected makeRequest(timestamp: number | bigint | undefined): Request<RowsPage | null> {
    const { consistency, customPayload, serialConsistency, tracing } = this.settings
    return new BatchRequest(
      batchKind[this.batch.type],
      this.items.map((item) => toBatchItem(item, this.isText)),
      { consistency, serialConsistency, timestamp, tracing, customPayload },
      this.items[0]!.statement.reader(this.batch.schema, "outcome")
    )
  }

  /** Servers tell of it as well, each by a limit of its own. */
  protected override warningsOf(flags: FrameFlags): ReadonlyArray<string> | undefined {
    const warnings = super.warningsOf(flags)
    if (this.batch.type !== "unlogged" || this.batch.isOfOnePartition === true) return warnings
    if (warnings?.some((warning) => warning.includes("partitions")) === true) return warnings
    return coversManyPartitions(this.items) ? [...(warnings ?? []), tooManyPartitions(this.items.length)] : warnings
  }

  /** Unless it is something else that the node does not know. */
  protected becomesText(error: unknown): boolean {
    const became = !this.isText && this.itemOf(error) !== undefined
    this.isText ||= became
    return became
  }

  private itemOf(error: unknown): Item | undefined {
    const { queryId } = error as { readonly queryId?: unknown }
    return this.items.find(({ prepared }) => Buffer.isBuffer(queryId) && prepared?.id.equals(queryId))
  }

  /** One statement that is forgotten is seldom alone, and the node names no more than the first. */
  protected forgotten(host: Host, error: unknown): ReadonlyArray<KnownStatement> {
    const item = this.itemOf(error)
    const named = this.preparedAgain.get(host)
    if (item === undefined || named?.has(item.statement)) return []
    this.preparedAgain.set(host, new Set([...(named ?? []), item.statement]))
    return named === undefined ? [...this.prepared.keys()] : [item.statement]
  }
}

const toBatchItem = ({ bound, prepared, query }: Item, isText: boolean): BatchItem => ({
  id: isText ? undefined : prepared?.id,
  text: query.text,
  values: bound
})

const routeOfItem = ({ bound, prepared }: Item): Nodes.Route | undefined =>
  prepared === undefined || bound === undefined ? undefined : routeOf(prepared, bound)

// --- partitions

const coversManyPartitions = (items: ReadonlyArray<Item>): boolean => {
  if (items.length <= manyPartitions) return false
  const partitions = new Set<string>()
  for (const item of items) {
    const partition = partitionOf(item)
    if (partition !== undefined && partitions.add(partition).size > manyPartitions) return true
  }
  return false
}

const partitionOf = ({ bound, prepared }: Item): string | undefined => {
  if (prepared === undefined || bound === undefined) return undefined
  const key = Encoder.routingKey(bound, prepared.partitionKeys)
  return key === undefined ? undefined : `${prepared.keyspace}.${prepared.table}:${key.toString("latin1")}`
}

const tooManyPartitions = (count: number): string =>
  `an unlogged batch of ${count} statements covers more than ${manyPartitions} partitions: it is no faster than single ` +
  "writes, and all of it is the work of one coordinator"

// --- counters

/**
 * What can be told before it is sent: the server declares the type of what is added to a counter. Where nothing is bound
 * there, the server itself refuses the mixture.
 */
const counterProblem = (type: BatchType, items: ReadonlyArray<Item>): Errors.Reason | undefined => {
  const counter = items.findIndex(countsUp)
  if (type === "logged" && counter >= 0) {
    return invalid(counter, "changes a counter: such a batch has the type \"counter\"")
  }
  const plain = type === "counter" || counter >= 0 ? items.findIndex(isNoCounter) : -1
  return plain < 0 ? undefined : invalid(plain, "changes no counter, and cannot be in one batch with those that do")
}

const countsUp = ({ prepared }: Item): boolean =>
  prepared?.parameters.some(({ type }) => type.type === "counter") === true

/** A counter is changed by adding to it, or deleted. */
const isNoCounter = (item: Item): boolean => !countsUp(item) && !/[+-]|delete/i.test(item.query.text)

// --- errors

const invalid = (index: number, problem: string): Errors.Reason =>
  new Errors.InvalidQuery({ message: `statement ${index + 1} of the batch ${problem}` })

const inItem = (index: number, reason: Errors.Reason): Errors.Reason => {
  const message = `statement ${index + 1} of the batch: ${reason.message}`
  return reason._tag === "InvalidParameter"
    ? new Errors.InvalidParameter({ ...reason, message })
    : new Errors.InvalidQuery({ message })
}

/** Why it is not sent at all. */
export const problemOfCount = (count: number): Errors.Reason | undefined => {
  if (count === 0) return new Errors.InvalidQuery({ message: "a batch has one statement or more; this one has none" })
  return count <= maxBatchItems ? undefined : new Errors.InvalidQuery({
    message: `a batch has at most ${maxBatchItems} statements; this one has ${count}`
  })
}

/** More of them are not shown. */
const mostShown = 10

export const textOf = (type: BatchType, texts: ReadonlyArray<string>): string => {
  const more = texts.length > mostShown ? [`  /* and ${texts.length - mostShown} more */`] : []
  const begin = type === "logged" ? "BEGIN BATCH" : `BEGIN ${type.toUpperCase()} BATCH`
  return [begin, ...texts.slice(0, mostShown).map((text) => `  ${text.trim()};`), ...more, "APPLY BATCH"].join("\n")
}
