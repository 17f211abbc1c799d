/**
 * Rows into a table: those of one partition that come close together as one batch, all others alone, many at a time.
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
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
import type { Policy } from "./retryPolicy.ts"
import { backoff } from "./retryPolicy.ts"
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
  readonly staticColumns: ReadonlyArray<string>
  readonly toRow: (value: unknown) => Fragment
  /** Of statements, by the text of the row. */
  readonly texts: Map<string, string>
}

export interface Options {
  readonly concurrency: number
  readonly maxBatchRows: number
  readonly maxBatchBytes: number
}

export const limitsOf = ({
  concurrency = 64,
  maxBatchBytes = 16_384,
  maxBatchRows = 100
}: { readonly [K in keyof Options]?: Options[K] | undefined }): Options => ({
  concurrency,
  maxBatchBytes,
  maxBatchRows
})

/** Rows of one partition that are written together. */
interface Group<A> {
  readonly partition: string
  readonly rows: Arr.NonEmptyArray<A>
  readonly queries: Array<EncodedQuery>
  /** Their whole keys: two rows of one key in a batch have one time, and the greater value would win. */
  readonly keys: Set<string>
  /** For the same reason their static columns are the same, where they have any. */
  statics: string | undefined
  bytes: number
}

/** A row that is bound, and what it may share a batch with. */
interface Bound<A> {
  readonly row: A
  readonly query: EncodedQuery
  readonly partition: string
  readonly key: string
  readonly statics: string | undefined
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
    const work = writeNext(core, watched(settings, groups), groups, written)
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
  private readonly workers = new Set<(group: Group<A> | undefined) => void>()
  private reader: (() => void) | undefined
  private inFlight = 0
  private waiting = 0
  private waitingBytes = 0
  private hasEnded = false
  private isHandingOut = false

  constructor(options: Options, timesAreInOrder: boolean) {
    this.options = options
    this.timesAreInOrder = timesAreInOrder
    this.limit = new AdaptiveLimit({ min: 1, max: options.concurrency })
  }

  /** Two full batches for each that can be under way. */
  get hasRoom(): boolean {
    const { concurrency, maxBatchBytes, maxBatchRows } = this.options
    return this.waiting < 2 * concurrency * maxBatchRows && this.waitingBytes < 2 * concurrency * maxBatchBytes
  }

  add(bound: Bound<A>): void {
    const { key, partition, query, row, statics } = bound
    const bytes = bytesOf(query)
    this.waiting++
    this.waitingBytes += bytes
    const group = this.open.get(partition)
    if (group !== undefined && this.hasPlaceFor(group, bound, bytes)) {
      group.rows.push(row)
      group.queries.push(query)
      group.keys.add(key)
      group.statics ??= statics
      group.bytes += bytes
      return
    }
    if (group !== undefined) this.close(group)
    this.open.set(partition, { partition, rows: [row], queries: [query], keys: new Set([key]), statics, bytes })
  }

  private hasPlaceFor(group: Group<A>, { key, statics }: Bound<A>, more: number): boolean {
    const { maxBatchBytes, maxBatchRows } = this.options
    return group.rows.length < maxBatchRows && group.bytes + more <= maxBatchBytes && !group.keys.has(key) &&
      (group.statics === undefined || statics === undefined || group.statics === statics)
  }

  private close(group: Group<A>): void {
    this.open.delete(group.partition)
    this.full.push(group)
  }

  /** The next one, as soon as there is one and it may be sent; nothing when all are done. */
  readonly take: Effect.Effect<Group<A> | undefined> = Effect.callback((resume) => {
    const worker = (group: Group<A> | undefined): void => resume(Effect.succeed(group))
    this.workers.add(worker)
    this.handOut()
    return Effect.sync(() => {
      this.workers.delete(worker)
    })
  })

  /** Whoever is given something goes on at once, and may come back here before this has ended. */
  handOut(): void {
    if (this.isHandingOut) return
    this.isHandingOut = true
    while (this.handNext()) { /* Until there is nothing to be sent, or nobody to send it. */ }
    this.isHandingOut = false
  }

  private handNext(): boolean {
    const [worker] = this.workers
    if (worker === undefined) return false
    const group = this.inFlight < this.limit.limit ? this.next() : undefined
    if (group === undefined && !(this.hasEnded && this.waiting === 0)) return false
    this.workers.delete(worker)
    if (group !== undefined) this.begin(group)
    worker(group)
    if (this.hasRoom) this.wakeReader()
    return true
  }

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

  private begin({ bytes, partition, rows }: Group<A>): void {
    this.inFlight++
    this.waiting -= rows.length
    this.waitingBytes -= bytes
    if (!this.timesAreInOrder) this.busy.add(partition)
  }

  /** With how long it took, where that tells how fast the cluster is. */
  done({ partition }: Group<A>, millis: number | undefined): void {
    if (millis !== undefined) this.limit.sample(millis, this.inFlight, false)
    this.inFlight--
    this.busy.delete(partition)
    this.handOut()
  }

  /** The cluster has refused an attempt, or has not answered it in time. */
  dropped(): void {
    this.limit.sample(0, this.inFlight, true)
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
    this.handOut()
  }
}

const bytesOf = ({ encoded }: EncodedQuery): number => encoded.values.length

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
        groups.handOut()
        yield* groups.awaitRoom
      }
      const query = queryOf(target, row)
      const error = "reason" in query
        ? query
        : add(core, target, groups, row, query) ?? (yield* prepareAndAdd(core, settings, target, groups, row, query))
      if (error !== "added") yield* Queue.offer(written, { rows: [row], error })
    }
    groups.handOut()
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
  target: Target,
  groups: Groups<A>,
  row: A,
  query: Query
): CqlError | "added" | undefined => {
  const { prepared } = core.shared.statements.get(query.text)
  return prepared === undefined ? undefined : addPrepared(target, groups, row, query, prepared)
}

const addPrepared = <A>(
  target: Target,
  groups: Groups<A>,
  row: A,
  query: Query,
  prepared: Prepared
): CqlError | "added" => {
  const values = encodeQuery(prepared, query)
  if (!Buffer.isBuffer(values)) {
    const { cause, reason } = values
    return Errors.make({ reason, statement: query.text, cause })
  }
  groups.add({ row, query: { ...query, encoded: { prepared, values } }, ...placeOf(prepared, target, values) })
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
  onceAdmitted(groups, settings, Run.prepareOnly(core, query, settings, "anywhere")).pipe(
    Effect.map((prepared) => addPrepared(target, groups, row, query, prepared)),
    Effect.catch((error) => Effect.succeed(error))
  )

/** Without the key of a partition the server refuses it; until then it is in nobody's way. */
const noPartition = ""

const placeOf = (
  { parameters, partitionKeys }: Prepared,
  { clusteringKey, staticColumns }: Target,
  values: Buffer
): { readonly partition: string; readonly key: string; readonly statics: string | undefined } => {
  const partition = Encoder.routingKey(values, partitionKeys)?.toString("latin1") ?? noPartition
  const clustering = indexesOf(parameters, clusteringKey)
  const isWhole = clustering.length > 0 && clustering.length === clusteringKey.length
  const key = isWhole ? Encoder.routingKey(values, clustering)?.toString("latin1") : undefined
  return { partition, key: key ?? partition, statics: staticsOf(parameters, staticColumns, values) }
}

const indexesOf = (parameters: Prepared["parameters"], names: ReadonlyArray<string>): ReadonlyArray<number> =>
  names.map((name) => parameters.findIndex((parameter) => parameter.name === name)).filter((index) => index >= 0)

/** Of those that the row has. With a null among them it is a value of its own, for it is cheaper than to look closer. */
const staticsOf = (
  parameters: Prepared["parameters"],
  staticColumns: ReadonlyArray<string>,
  values: Buffer
): string | undefined => {
  if (staticColumns.length === 0) return undefined
  const indexes = indexesOf(parameters, staticColumns)
  if (indexes.length === 0) return undefined
  return `${indexes} ${Encoder.routingKey(values, indexes)?.toString("latin1") ?? values.toString("latin1")}`
}

// --- groups out

/** Tells of each attempt that was too much for the cluster, also when a later one has succeeded. */
const watched = <A>(settings: Settings, groups: Groups<A>): Settings => {
  const { retry } = settings
  const decide: Policy["decide"] = (failure) => {
    if (wasTooMuch(failure.reason)) groups.dropped()
    return retry.decide(failure)
  }
  return { ...settings, retry: { ...retry, decide } }
}

const wasTooMuch = (reason: Errors.Reason): boolean =>
  reason._tag === "Overloaded" || reason._tag === "WriteTimeout" ||
  (reason._tag === "ClientTimeout" && reason.phase !== "prepare")

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
      const sentAt = performance.now()
      const results = yield* writeGroup(core, withTime(settings), groups, group)
      // What was sent again row by row took long for that.
      const millis = results.length === 1 && results[0]!.error === undefined ? performance.now() - sentAt : undefined
      groups.done(group, millis)
      for (const result of results) yield* Queue.offer(written, result)
    }
  })

/** Taken here, and for all attempts: what is sent later is later, whichever arrives first. */
const withTime = (settings: Settings): Settings =>
  settings.clientTimestamps && settings.timestamp === undefined
    ? { ...settings, timestamp: Timestamp.next() }
    : settings

const writeGroup = <A>(
  core: Core,
  settings: Settings,
  groups: Groups<A>,
  { queries, rows }: Group<A>
): Effect.Effect<ReadonlyArray<Written<A>>> =>
  Effect.gen(function*() {
    const error = yield* errorOf(send(core, settings, groups, queries))
    if (error?.reason._tag !== "InvalidQuery" || queries.length === 1) return [{ rows, error }]
    // Nothing of the batch was written, for one of its rows or for all of them together.
    return yield* Effect.forEach(rows, (row, index) =>
      Effect.map(
        errorOf(send(core, settings, groups, [queries[index]!])),
        (error): Written<A> => ({ rows: [row], error })
      ))
  })

const errorOf = (effect: Effect.Effect<unknown, CqlError>): Effect.Effect<CqlError | undefined> =>
  Effect.match(effect, { onFailure: (error) => error, onSuccess: () => undefined })

const send = <A>(
  core: Core,
  settings: Settings,
  groups: Groups<A>,
  queries: ReadonlyArray<EncodedQuery>
): Effect.Effect<unknown, CqlError> => {
  const sent = queries.length === 1
    ? Run.allRows(core, queries[0]!, settings)
    : Run.batch(core, batchOf(queries), settings, () => undefined)
  return onceAdmitted(groups, settings, Effect.catchTag(sent, "SchemaError", Effect.die))
}

/** Nothing was sent of what the session refuses, and a stream can wait; as long as a statement may take. */
const onceAdmitted = <A, B>(
  groups: Groups<A>,
  { timeoutMillis }: Settings,
  sent: Effect.Effect<B, CqlError>
): Effect.Effect<B, CqlError> => {
  const deadline = performance.now() + timeoutMillis
  const isRefused = ({ reason }: CqlError): boolean => reason._tag === "AdmissionRefused"
  const sentLater = Effect.suspend(() => {
    groups.dropped()
    return Effect.delay(sent, "5 millis")
  })
  return Effect.catchIf(
    sent,
    isRefused,
    () =>
      Effect.retry(sentLater, {
        schedule: untilAdmitted,
        while: (error) => isRefused(error) && performance.now() < deadline
      })
  )
}

const untilAdmitted = backoff("5 millis", Duration.millis(500))

const batchOf = (queries: ReadonlyArray<EncodedQuery>): BatchQuery => ({
  type: "unlogged",
  queries,
  schema: undefined,
  isOfOnePartition: true,
  get text() {
    return Batches.textOf("unlogged", queries.map(({ text }) => text))
  }
})
