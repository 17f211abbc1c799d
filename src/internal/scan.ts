/**
 * A whole table by token ranges, several of them at a time.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import * as Checkpoints from "./checkpoint.ts"
import type { Core } from "./core.ts"
import { quote } from "./cql/names.ts"
import type { Origin } from "./pageState.ts"
import type { Query } from "./query.ts"
import { encodeQuery } from "./query.ts"
import * as Ring from "./ring.ts"
import type { DecodedPage } from "./run.ts"
import * as Run from "./run.ts"
import { needsServer } from "./scripted.ts"
import type { Settings } from "./settings.ts"

type Failure = CqlError | Schema.SchemaError

/** What is read, of which table. */
export interface Source {
  readonly keyspace: string
  readonly table: string
  /** Of the partition key, in order. */
  readonly partitionKey: ReadonlyArray<string>
  /** As the text of a SELECT has them. */
  readonly columns: string
  readonly where: { readonly text: string; readonly values: ReadonlyArray<unknown> } | undefined
  readonly schema: Schema.Constraint | undefined
}

export interface Options {
  readonly concurrency: number
  readonly ordered: boolean
  /** How many ranges there are to be, at least; by default as the table's size suggests. */
  readonly ranges: number | undefined
  readonly from: string | undefined
}

/** A page of one range. */
export interface ScannedPage<A> {
  /** The same object with each page of it. */
  readonly range: Ring.Range
  readonly rows: ReadonlyArray<A>
  /** Of all ranges; behind the last page of one, it is counted. */
  readonly rangesDone: number
  readonly ranges: number
  /** What is left once this page has been dealt with; with the last page of a range. */
  readonly checkpoint: string | undefined
}

interface PageOfRange<A> {
  readonly range: Ring.Range
  readonly page: DecodedPage<A>
}

/** Pages of all ranges; the rows of a range come in their order, those of several ranges as they come or in order. */
export const pages = <A>(
  core: Core,
  source: Source,
  settings: Settings,
  options: Options
): Stream.Stream<ScannedPage<A>, Failure> =>
  Stream.unwrap(
    Effect.map(plan(core, source, settings, options), (planned) => {
      const ofRange = (range: Ring.Range): Stream.Stream<PageOfRange<A>, Failure> =>
        Stream.map(rangePages<A>(core, source, settings, planned, range), (page) => ({ range, page }))
      const all = options.ordered
        ? inOrder(planned.ranges, ofRange, options.concurrency)
        : asTheyCome(planned.ranges, ofRange, options.concurrency)
      return Stream.map(all, counted(planned))
    })
  )

// --- ranges

interface Plan {
  readonly partitioner: Ring.Partitioner
  readonly origin: Origin
  /** What was to be read when this began. */
  readonly wanted: ReadonlyArray<Ring.Range>
  readonly ranges: ReadonlyArray<Ring.Range>
}

const plan = Effect.fnUntraced(function*(
  core: Core,
  source: Source,
  settings: Settings,
  options: Options
): Effect.fn.Return<Plan, CqlError> {
  if (core.shared.script !== undefined) return yield* Effect.fail(needsServer("a scan"))
  const partitioner = yield* partitionerOf(core, settings)
  const origin = yield* originOf(core, queryOf(source, partitioner, Ring.whole), source, settings)
  const wanted = options.from === undefined ? [Ring.whole] : yield* left(options.from, origin, partitioner)
  const tokens = tokensOf(core, partitioner)
  const owned = wanted.flatMap((range) => Ring.cut(partitioner, range, tokens))
  const sizes = yield* sizesOf(core, source)
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  // What is left of a scan is not cut into as many as the whole of it was: they would become ever smaller.
  const share = wanted.reduce((sum, range) => sum + Ring.shareOf(partitioner, range), 0)
  const count = options.ranges === undefined
    ? Math.max(fewestPerWorker * options.concurrency, share * rangesFor(total))
    : share * options.ranges
  const weighed = owned.map((range) => ({ range, weight: weightOf(partitioner, range, sizes, total) }))
  const sum = weighed.reduce((sum, { weight }) => sum + weight, 0)
  const most = Math.max(fewestPerWorker * options.concurrency, share * total / bytesWorthAQuery)
  // Who says how many there are to be knows how they are to be asked for.
  const pieces = options.ranges === undefined && owned.length > most ? joined(weighed, sum / most) : weighed
  const ranges = pieces.flatMap(({ range, weight }) => Ring.split(partitioner, range, Math.ceil(count * weight / sum)))
  return { partitioner, origin, wanted, ranges }
})

/** With the values of its condition as they are sent. */
const originOf = Effect.fnUntraced(function*(
  core: Core,
  query: Query,
  { keyspace }: Source,
  settings: Settings
): Effect.fn.Return<Origin, CqlError> {
  const { text, values } = query
  if (values.length === 0) return { keyspace, text, values: undefined }
  const prepared = yield* Run.prepareOnly(core, query, settings, "anywhere")
  const bound = encodeQuery(prepared, query)
  if (Buffer.isBuffer(bound)) return { keyspace, text, values: bound }
  return yield* Effect.fail(Errors.make({ reason: bound.reason, statement: text, cause: bound.cause }))
})

/** So that one that takes long does not keep all others waiting at the end. */
const fewestPerWorker = 8

const bytesPerRange = 16 * 1024 * 1024

/** More of them are only more to be told of. */
const mostRanges = 100_000

const rangesFor = (bytes: number): number => Math.min(mostRanges, bytes / bytesPerRange)

interface Weighed {
  readonly range: Ring.Range
  readonly weight: number
}

/**
 * Neighbours become one range, up to such a weight: with many tokens a node, a small table would take more queries than it
 * has rows. Nobody may own all of such a range, and whoever is asked asks the others.
 */
const joined = (pieces: ReadonlyArray<Weighed>, most: number): ReadonlyArray<Weighed> => {
  const all: Array<Weighed> = []
  for (const piece of pieces) {
    const last = all.at(-1)
    const isNext = last !== undefined && last.range.end !== undefined && last.range.end === piece.range.start
    if (!isNext || last.weight + piece.weight > most) all.push(piece)
    else {
      const range = { start: last.range.start, end: piece.range.end }
      all[all.length - 1] = { range, weight: last.weight + piece.weight }
    }
  }
  return all
}

/** Below it, a range takes about as long as none at all. */
const bytesWorthAQuery = 1024 * 1024

/** Half by width, half by size: an estimate may be old, or none at all for a table that is new (drivers.md, 29). */
const weightOf = (
  partitioner: Ring.Partitioner,
  range: Ring.Range,
  sizes: ReadonlyMap<string, number>,
  total: number
): number => {
  // The server ends the last range where the first begins.
  const size = total === 0 ? 0 : (sizes.get(String(range.end ?? partitioner.bounds?.[0])) ?? 0) / total
  return Ring.shareOf(partitioner, range) + size + Number.EPSILON
}

const PartitionerRow = Schema.Struct({ partitioner: Schema.String })

const partitionerOf = (core: Core, settings: Settings): Effect.Effect<Ring.Partitioner, CqlError> =>
  Effect.flatMap(
    Run.systemRows(core, PartitionerRow, "SELECT partitioner FROM system.local", [], settings.node),
    ([row]) => {
      const className = row?.partitioner ?? "none"
      const partitioner = Ring.partitionerOf(className)
      return partitioner === undefined ? Effect.fail(unknownPartitioner(className)) : Effect.succeed(partitioner)
    }
  )

const unknownPartitioner = (className: string): CqlError =>
  Errors.make({
    reason: new Errors.InvalidQuery({
      message: `the tokens of ${className} are not known here, and a scan goes by tokens: read by partition keys`
    })
  })

const tokensOf = (core: Core, partitioner: Ring.Partitioner): ReadonlyArray<Ring.Token> =>
  core.shared.client.raw.hosts.values().flatMap(({ tokens }) => tokens ?? []).filter(partitioner.isToken).map(
    partitioner.parse
  )

const SizeRow = Schema.Struct({
  range_end: Schema.String,
  mean_partition_size: Schema.NullOr(Schema.BigInt),
  partitions_count: Schema.NullOr(Schema.BigInt)
})

const selectSizes = "SELECT range_end, mean_partition_size, partitions_count FROM system.size_estimates " +
  "WHERE keyspace_name = ? AND table_name = ?"

const sizesOn = (
  core: Core,
  { keyspace, table }: Source,
  node: string
): Effect.Effect<ReadonlyArray<typeof SizeRow.Type>, Failure> => {
  const query = { text: selectSizes, values: [keyspace, table], schema: SizeRow, names: undefined }
  return Run.allRows<typeof SizeRow.Type>(core, query, { ...core.settings, node })
}

/** In bytes, by the end of the range: each node knows its own. What a node does not tell is no reason to fail. */
const sizesOf = (core: Core, source: Source): Effect.Effect<ReadonlyMap<string, number>> =>
  Effect.map(
    Effect.forEach(
      core.shared.client.openNodes(),
      (host) => Effect.orElseSucceed(sizesOn(core, source, host.address), () => []),
      { concurrency: 8 }
    ),
    (rows) =>
      new Map(
        rows.flat().map(({ mean_partition_size, partitions_count, range_end }) => [
          range_end,
          Math.max(0, Number(mean_partition_size)) * Math.max(0, Number(partitions_count))
        ])
      )
  )

// --- one range

const rangePages = <A>(
  core: Core,
  source: Source,
  settings: Settings,
  { partitioner }: Plan,
  range: Ring.Range
): Stream.Stream<DecodedPage<A>, Failure> => {
  const token = Ring.tokenIn(range)
  // Its worker is ahead of the reader by the page that it hands over.
  const paging = { pagesAhead: 0, maxPages: Infinity, token: token === undefined ? undefined : String(token) }
  return Run.decodedPages<A>(core, queryOf(source, partitioner, range), settings, paging)
}

const queryOf = (
  { columns, keyspace, partitionKey, schema, table, where }: Source,
  { toValue }: Ring.Partitioner,
  { end, start }: Ring.Range
): Query => {
  const token = `token(${partitionKey.map(quote).join(", ")})`
  const conditions = [
    ...(start === undefined ? [] : [`${token} > ?`]),
    ...(end === undefined ? [] : [`${token} <= ?`]),
    ...(where === undefined ? [] : [where.text])
  ]
  const text = [
    `SELECT ${columns} FROM ${quote(keyspace)}.${quote(table)}`,
    ...(conditions.length === 0 ? [] : [`WHERE ${conditions.join(" AND ")}`]),
    ...(where === undefined ? [] : ["ALLOW FILTERING"])
  ].join(" ")
  const bounds = [start, end].filter((bound) => bound !== undefined).map(toValue)
  return { text, values: [...bounds, ...(where?.values ?? [])], names: undefined, schema }
}

// --- several ranges

interface OfRange<A> {
  (range: Ring.Range): Stream.Stream<PageOfRange<A>, Failure>
}

const asTheyCome = <A>(
  ranges: ReadonlyArray<Ring.Range>,
  ofRange: OfRange<A>,
  concurrency: number
): Stream.Stream<PageOfRange<A>, Failure> =>
  Stream.flatMap(Stream.fromIterable(ranges), ofRange, { concurrency, bufferSize: 1 })

/** Each range has a queue of its own, which is read when those before it have come to their end. */
const inOrder = <A>(
  ranges: ReadonlyArray<Ring.Range>,
  ofRange: OfRange<A>,
  concurrency: number
): Stream.Stream<PageOfRange<A>, Failure> =>
  Stream.unwrap(Effect.gen(function*() {
    // As many as are read, or have been and wait for those before them.
    const places = Semaphore.makeUnsafe(concurrency)
    const begun = yield* Queue.unbounded<Pages<A>, Failure | Cause.Done>()
    const begin = Effect.fnUntraced(function*(range: Ring.Range) {
      yield* Semaphore.take(places, 1)
      const pages = yield* Queue.bounded<PageOfRange<A>, Failure | Cause.Done>(1)
      yield* Queue.offer(begun, pages)
      yield* Effect.forkScoped(intoQueue(ofRange(range), pages))
    })
    const beginAll = Effect.andThen(Effect.forEach(ranges, begin, { discard: true }), Queue.end(begun))
    yield* Effect.forkScoped(beginAll)
    return Stream.flatMap(
      Stream.fromQueue(begun),
      (pages) => Stream.onEnd(Stream.fromQueue(pages), Semaphore.release(places, 1))
    )
  }))

type Pages<A> = Queue.Queue<PageOfRange<A>, Failure | Cause.Done>

const intoQueue = <A>(
  stream: Stream.Stream<PageOfRange<A>, Failure>,
  pages: Pages<A>
): Effect.Effect<unknown> =>
  Stream.runForEach(stream, (page) => Queue.offer(pages, page)).pipe(
    Effect.andThen(Queue.end(pages)),
    Effect.catchCause((cause) => Queue.failCause(pages, cause))
  )

const counted = <A>(planned: Plan): (page: PageOfRange<A>) => ScannedPage<A> => {
  let { wanted } = planned
  let rangesDone = 0
  return ({ page, range }) => {
    const isLast = page.pageState === undefined
    if (isLast) {
      wanted = Ring.without(wanted, range)
      rangesDone++
    }
    return {
      range,
      rows: page.rows,
      rangesDone,
      ranges: planned.ranges.length,
      checkpoint: isLast ? Checkpoints.keep(planned.origin, wanted) : undefined
    }
  }
}

const left = (
  checkpoint: string,
  origin: Origin,
  partitioner: Ring.Partitioner
): Effect.Effect<ReadonlyArray<Ring.Range>, CqlError> => {
  const ranges = Checkpoints.read(checkpoint, origin, partitioner)
  return "_tag" in ranges ? Effect.fail(Errors.make({ reason: ranges })) : Effect.succeed(ranges)
}
