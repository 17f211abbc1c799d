/**
 * Rows into a table: those of one partition that come close together as one batch, all others alone, many at a time.
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import { AdaptiveLimit } from "./adaptiveLimit.ts"
import type { BatchQuery } from "./batch.ts"
import * as Batches from "./batch.ts"
import * as Encoder from "./codec/Encoder.ts"
import type { Core } from "./core.ts"
import type { EncodedQuery, Query } from "./query.ts"
import { encodeQuery } from "./query.ts"
import * as Run from "./run.ts"
import type { Settings } from "./settings.ts"
import type { Prepared } from "./statements.ts"
import type { Fragment } from "./template.ts"
import * as Timestamp from "./timestamp.ts"

/** Where rows go, and what is made of one. */
export interface Target {
  /** `INSERT INTO keyspace.table`. */
  readonly insertInto: string
  /** `USING ...`, behind the row. */
  readonly using: Fragment | undefined
  readonly clusteringKey: ReadonlyArray<string>
  readonly toRow: (value: unknown) => Fragment
  /** Of statements, by the text of the row. */
  readonly texts: Map<string, string>
}

export interface Options {
  readonly concurrency: number
  readonly maxBatchRows: number
  readonly maxBatchBytes: number
}

/** Rows of one partition that are written together. */
interface Group<A> {
  readonly partition: string
  readonly rows: Arr.NonEmptyArray<A>
  readonly queries: Array<EncodedQuery>
  /** Their whole keys: two rows of one key in a batch have one time, and the greater value would win. */
  readonly keys: Set<string>
  bytes: number
}

/** What became of a group. */
export interface Written<A> {
  readonly rows: Arr.NonEmptyReadonlyArray<A>
  /** Why they were not written, where they were not. */
  readonly error: CqlError | undefined
}

/** What was and what was not written, as it comes out. Nothing that was taken from `rows` is left out. */
export const write = <A, E, R>(
  core: Core,
  settings: Settings,
  target: Target,
  options: Options,
  rows: Stream.Stream<A, E, R>
): Stream.Stream<Written<A>, E, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const groups = new Groups<A>(options, settings.clientTimestamps || settings.timestamp !== undefined)
    const written = yield* Queue.bounded<Written<A>, E | Cause.Done>(options.concurrency)
    const read = Stream.runForEachArray(rows, (chunk) => addAll(core, settings, target, groups, written, chunk)).pipe(
      Effect.exit,
      Effect.tap(() => Effect.sync(() => groups.end()))
    )
    const work = writeNext(core, settings, groups, written)
    const workers = Effect.forEach(Array.from({ length: options.concurrency }), () => work, {
      concurrency: "unbounded",
      discard: true
    })
    const all = Effect.flatMap(
      Effect.zipWith(read, workers, (exit) => exit, { concurrent: true }),
      (exit) => Exit.isFailure(exit) ? Queue.failCause(written, exit.cause) : Queue.end(written)
    )
    yield* Effect.forkScoped(Effect.catchCause(all, (cause) => Queue.failCause(written, cause)))
    return Stream.fromQueue(written)
  }))

// --- groups

class Groups<A> {
  private readonly options: Options
  /** Whether a later write of a row wins whenever it arrives. */
  private readonly timesAreInOrder: boolean
  private readonly limit: AdaptiveLimit
  private readonly open = new Map<string, Group<A>>()
  private readonly full: Array<Group<A>> = []
  private readonly busy = new Set<string>()
  private workers: Array<() => boolean> = []
  private reader: (() => void) | undefined
  private inFlight = 0
  private waiting = 0
  private hasEnded = false

  constructor(options: Options, timesAreInOrder: boolean) {
    this.options = options
    this.timesAreInOrder = timesAreInOrder
    this.limit = new AdaptiveLimit({ min: 1, max: options.concurrency })
  }

  get hasRoom(): boolean {
    return this.waiting < 2 * this.options.concurrency * this.options.maxBatchRows
  }

  add(row: A, partition: string, key: string, query: EncodedQuery): void {
    const bytes = query.encoded.values.length
    const group = this.open.get(partition)
    this.waiting++
    if (group !== undefined && this.hasPlaceFor(group, key, bytes)) {
      group.rows.push(row)
      group.queries.push(query)
      group.keys.add(key)
      group.bytes += bytes
      return
    }
    if (group !== undefined) this.close(group)
    this.open.set(partition, { partition, rows: [row], queries: [query], keys: new Set([key]), bytes })
  }

  private hasPlaceFor({ bytes, keys, rows }: Group<A>, key: string, more: number): boolean {
    return rows.length < this.options.maxBatchRows && bytes + more <= this.options.maxBatchBytes && !keys.has(key)
  }

  private close(group: Group<A>): void {
    this.open.delete(group.partition)
    this.full.push(group)
  }

  /** The next one, as soon as there is one and it may be sent; nothing when all are done. */
  readonly take: Effect.Effect<Group<A> | undefined> = Effect.callback((resume) => {
    const offer = (): boolean => {
      const group = this.inFlight < this.limit.limit ? this.next() : undefined
      if (group === undefined && !(this.hasEnded && this.waiting === 0)) return false
      if (group !== undefined) this.begin(group)
      resume(Effect.succeed(group))
      return true
    }
    if (offer()) return
    this.workers.push(offer)
    return Effect.sync(() => {
      this.workers = this.workers.filter((worker) => worker !== offer)
    })
  })

  /** One that is full, or else the oldest: nobody waits for more rows while nothing else is to be done. */
  private next(): Group<A> | undefined {
    const index = this.full.findIndex((group) => !this.busy.has(group.partition))
    if (index >= 0) return this.full.splice(index, 1)[0]
    for (const group of this.open.values()) {
      if (this.busy.has(group.partition)) continue
      this.open.delete(group.partition)
      return group
    }
    return undefined
  }

  private begin({ partition, rows }: Group<A>): void {
    this.inFlight++
    this.waiting -= rows.length
    if (!this.timesAreInOrder) this.busy.add(partition)
    if (this.hasRoom) this.wakeReader()
  }

  done({ partition }: Group<A>, millis: number, failed: boolean): void {
    this.limit.sample(millis, this.inFlight, failed)
    this.inFlight--
    this.busy.delete(partition)
    this.wake()
  }

  /** Those that wait all wait for the same. */
  wake(): void {
    while (this.workers.length > 0 && this.workers[0]!()) this.workers.shift()
  }

  readonly awaitRoom: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.hasRoom) return resume(Effect.void)
    this.reader = () => resume(Effect.void)
    return Effect.sync(() => {
      this.reader = undefined
    })
  })

  private wakeReader(): void {
    const { reader } = this
    this.reader = undefined
    reader?.()
  }

  end(): void {
    this.hasEnded = true
    this.wake()
  }
}

// --- rows in

const addAll = <A>(
  core: Core,
  settings: Settings,
  target: Target,
  groups: Groups<A>,
  written: Queue.Enqueue<Written<A>>,
  rows: Arr.NonEmptyReadonlyArray<A>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const row of rows) {
      if (!groups.hasRoom) {
        groups.wake()
        yield* groups.awaitRoom
      }
      const query = queryOf(target, row)
      const error = "reason" in query
        ? query
        : add(core, target, groups, row, query) ?? (yield* prepareAndAdd(core, settings, target, groups, row, query))
      if (error !== "added") yield* Queue.offer(written, { rows: [row], error })
    }
    groups.wake()
  })

const queryOf = (target: Target, row: unknown): Query | CqlError => {
  const { toRow, using } = target
  const { parameters, problem, text } = toRow(row)
  const whole = textOf(target, text)
  const reason = problem ?? using?.problem
  if (reason !== undefined) return Errors.make({ reason, statement: whole })
  const values = using === undefined ? parameters : [...parameters, ...using.parameters]
  return { text: whole, values, names: undefined, schema: undefined }
}

/** The same string for the same row text, and not an equal one, which would have to be hashed to be found. */
const textOf = ({ insertInto, texts, using }: Target, ofRow: string): string => {
  const known = texts.get(ofRow)
  if (known !== undefined) return known
  const text = using === undefined ? `${insertInto} ${ofRow}` : `${insertInto} ${ofRow} ${using.text}`
  if (texts.size >= textsKept) texts.clear()
  texts.set(ofRow, text)
  return text
}

const textsKept = 1000

/** `undefined` as long as it is not prepared. */
const add = <A>(
  core: Core,
  { clusteringKey }: Target,
  groups: Groups<A>,
  row: A,
  query: Query
): CqlError | "added" | undefined => {
  const { prepared } = core.shared.statements.get(query.text)
  if (prepared === undefined) return undefined
  const values = encodeQuery(prepared, query)
  if (!Buffer.isBuffer(values)) {
    const { cause, reason } = values
    return Errors.make({ reason, statement: query.text, cause })
  }
  const { key, partition } = keysOf(prepared, clusteringKey, values)
  groups.add(row, partition, key, { ...query, encoded: { prepared, values } })
  return "added"
}

const prepareAndAdd = <A>(
  core: Core,
  settings: Settings,
  target: Target,
  groups: Groups<A>,
  row: A,
  query: Query
): Effect.Effect<CqlError | "added"> =>
  Run.prepareOnly(core, query, settings, "anywhere").pipe(
    // The schema may have changed since, which forgets what was prepared: then it goes out as any statement does.
    Effect.map(() => add(core, target, groups, row, query) ?? notPrepared(query)),
    Effect.catch((error) => Effect.succeed(error))
  )

const notPrepared = ({ text }: Query): CqlError =>
  Errors.make({
    reason: new Errors.Unprepared({ message: "the schema has changed while the row was prepared" }),
    statement: text
  })

/** Without the key of a partition the server refuses it; until then it is in nobody's way. */
const noPartition = ""

const keysOf = (
  { parameters, partitionKeys }: Prepared,
  clusteringKey: ReadonlyArray<string>,
  values: Buffer
): { readonly partition: string; readonly key: string } => {
  const partition = Encoder.routingKey(values, partitionKeys)?.toString("latin1") ?? noPartition
  const clustering = clusteringKey.map((name) => parameters.findIndex((parameter) => parameter.name === name))
  if (clustering.length === 0 || clustering.includes(-1)) return { partition, key: partition }
  return { partition, key: Encoder.routingKey(values, clustering)?.toString("latin1") ?? partition }
}

// --- groups out

const writeNext = <A>(
  core: Core,
  settings: Settings,
  groups: Groups<A>,
  written: Queue.Enqueue<Written<A>>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (true) {
      const group = yield* groups.take
      if (group === undefined) return
      const { queries, rows } = group
      const sentAt = performance.now()
      const error = yield* Effect.match(send(core, settings, queries), {
        onFailure: (error) => error,
        onSuccess: () => undefined
      })
      groups.done(group, performance.now() - sentAt, error !== undefined)
      yield* Queue.offer(written, { rows, error })
    }
  })

/** With a time that is taken here: what is sent later is later, whichever arrives first. */
const send = (
  core: Core,
  settings: Settings,
  queries: ReadonlyArray<EncodedQuery>
): Effect.Effect<unknown, CqlError> => {
  const timed = settings.clientTimestamps && settings.timestamp === undefined
    ? { ...settings, timestamp: Timestamp.next() }
    : settings
  const sent = queries.length === 1
    ? Run.allRows(core, queries[0]!, timed)
    : Run.batch(core, batchOf(queries), timed, () => undefined)
  return Effect.catchTag(sent, "SchemaError", Effect.die)
}

const batchOf = (queries: ReadonlyArray<EncodedQuery>): BatchQuery => ({
  type: "unlogged",
  queries,
  schema: undefined,
  isOfOnePartition: true,
  get text() {
    return Batches.textOf("unlogged", queries.map(({ text }) => text))
  }
})
