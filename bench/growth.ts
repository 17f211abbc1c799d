/**
 * How cost grows with the number in flight, the width of a row, the size of a result and the number of sessions: of the
 * library and of the bare driver, in pairs, as plots in `bench/plots/`. See README.md.
 *
 *     node --conditions=effect-cassandra-source --expose-gc bench/growth.ts [--pairs 10] [--only in-flight]
 */
import { NodeRuntime } from "@effect/platform-node"
import type cassandra from "cassandra-driver"
import { cql, Session } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import type { Failure } from "./cases.ts"
import { byPromises, byWorkers, selects, selectUser } from "./cases.ts"
import { bareClient, ClientsLive, driverClient } from "./clients.ts"
import { fillLong, fillWide, longest, selectLong, selectWide, wideRows, wideSchema, widest } from "./growthTables.ts"
import type { Interval } from "./interval.ts"
import { intervalOf } from "./interval.ts"
import type { Pair, Sides } from "./pairs.ts"
import { measurePair, summarize, warmUp } from "./pairs.ts"
import type { Plot } from "./plot.ts"
import { toSvg } from "./plot.ts"
import { machine, markdown, progress, withInterval } from "./show.ts"
import { ReadingStruct } from "./tables.ts"

const { values: options } = parseArgs({
  options: {
    pairs: { type: "string", default: "10" },
    only: { type: "string", multiple: true }
  }
})

const pairCount = Math.max(6, Number(options.pairs))

/** One thing that grows, and what is measured of each size. */
interface Growth extends Pick<Plot, "title" | "x" | "y"> {
  readonly name: string
  readonly sizes: ReadonlyArray<number>
  readonly prepare: Effect.Effect<unknown, Failure, Session>
  readonly measure: (size: number) => Effect.Effect<Measured, Failure, Session | CassandraServer | Scope.Scope>
}

interface Measured {
  readonly library: Interval
  readonly driver: Interval
  /** Library over driver, of each pair. */
  readonly ratio: Interval
}

// -----------------------------------------------------------------------------
// Client CPU
// -----------------------------------------------------------------------------

const warmUps = 3

const cpuOf = Effect.fnUntraced(function*<E, R>(name: string, sides: Sides<E, R>) {
  yield* warmUp(sides, warmUps)
  const pairs: Array<Pair> = []
  for (let index = 0; index < pairCount; index++) {
    progress(name, index, pairCount)
    pairs.push(yield* measurePair(sides, index))
  }
  progress(name, pairCount, pairCount)
  return {
    library: intervalOf(pairs.map(({ library }) => library.cpu)),
    driver: intervalOf(pairs.map(({ driver }) => driver.cpu)),
    ratio: summarize(pairs).cpu.ratio
  } satisfies Measured as Measured
})

const inFlight: Growth = {
  name: "in-flight",
  title: "Select by key to a class of six columns",
  x: { label: "queries in flight", scale: "log" },
  y: { label: "client CPU a query, µs", scale: "log" },
  sizes: [1, 4, 16, 64, 256, 1024, 4096, 10_000],
  prepare: Effect.void,
  measure: Effect.fnUntraced(function*(size) {
    const client = yield* bareClient(size)
    const { count, driver, library } = selects(size, size === 1 ? 1000 : Math.max(4000, 2 * size))
    return yield* cpuOf(`in-flight ${size}`, { count, library, driver: Effect.promise(() => driver(client)) })
  })
}

const columns: Growth = {
  name: "columns",
  title: "Stream to a struct: wider rows",
  x: { label: "columns (int, text, double, timestamp in turn)", scale: "linear" },
  y: { label: "client CPU a row, µs", scale: "linear" },
  sizes: [1, 2, 5, 10, 20, 50, widest],
  prepare: fillWide,
  measure: Effect.fnUntraced(function*(size) {
    const client = yield* bareClient()
    const text = selectWide(size)
    const schema = wideSchema(size)
    return yield* cpuOf(`columns ${size}`, {
      count: wideRows,
      library: Stream.runFold(cql(schema)`${cql.unsafe(text)}`.stream, () => 0, (sum, { c0 }) => sum + c0),
      driver: Effect.promise(() => sumByDriver(client, text, [], "c0"))
    })
  })
}

const sumByDriver = async (
  client: cassandra.Client,
  text: string,
  params: ReadonlyArray<unknown>,
  column: string
): Promise<number> => {
  let sum = 0
  const result = await client.execute(text, [...params], { prepare: true, fetchSize: 5000 })
  for await (const row of result) sum += row[column]
  return sum
}

const rows: Growth = {
  name: "rows",
  title: "Stream of five columns to a struct: larger results",
  x: { label: "rows of a result", scale: "log" },
  y: { label: "client CPU a row, µs", scale: "log" },
  sizes: [1, 10, 100, 1000, 10_000, 100_000, longest],
  prepare: fillLong,
  measure: Effect.fnUntraced(function*(size) {
    const client = yield* bareClient()
    // One after the other, for a block that is long enough.
    const times = Math.min(500, Math.ceil(20_000 / size))
    const stream = cql(ReadingStruct)`SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.long
      LIMIT ${size}`.stream
    const once = Stream.runFold(stream, () => 0, (sum, { value }) => sum + value)
    const byDriver = () => sumByDriver(client, selectLong, [size], "value")
    return yield* cpuOf(`rows ${size}`, {
      count: size * times,
      library: Effect.repeat(once, { times: times - 1 }),
      driver: Effect.promise(() => lastOf(byDriver, times))
    })
  })
}

const lastOf = async (run: () => Promise<number>, times: number): Promise<number> => {
  for (let index = 1; index < times; index++) await run()
  return run()
}

const openSession = Effect.flatMap(CassandraServer, (server) => Session.make(CassandraServer.toClusterOptions(server)))

const sessions: Growth = {
  name: "sessions",
  title: "Select by key to a class, 256 in flight over all sessions in turn",
  x: { label: "sessions", scale: "linear" },
  y: { label: "client CPU a query, µs", scale: "linear" },
  sizes: [1, 2, 5, 10, 20, 50],
  prepare: Effect.void,
  measure: Effect.fnUntraced(function*(size) {
    const opened = yield* Effect.all(Array.from({ length: size }, () => openSession))
    const clients = yield* Effect.all(Array.from({ length: size }, () => bareClient()))
    const count = 6000
    const operation = {
      ...selectUser,
      library: (index: number) => Effect.provideService(selectUser.library(index), Session, opened[index % size]!)
    }
    const byDriver = (index: number) => selectUser.driver(clients[index % size]!, index)
    return yield* cpuOf(`sessions ${size}`, {
      count,
      library: byWorkers(operation, count, 256),
      driver: Effect.promise(() => byPromises(byDriver, count, 256))
    })
  })
}

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

const megabytesHeld = Effect.sync((): number => {
  globalThis.gc?.()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return (heapUsed + arrayBuffers) / 1e6
})

/** What is held while they are open, each after a query. */
const heldBy = Effect.fnUntraced(function*<A, E, R>(
  size: number,
  open: Effect.Effect<A, E, R | Scope.Scope>,
  ask: (opened: A) => Effect.Effect<unknown, Failure, Session>
) {
  const before = yield* megabytesHeld
  const opened = yield* Effect.all(Array.from({ length: size }, () => open))
  yield* Effect.forEach(opened, ask)
  return (yield* megabytesHeld) - before
}, Effect.scoped)

const memory: Growth = {
  name: "memory",
  title: "Memory held by open sessions, each with one statement prepared",
  x: { label: "sessions", scale: "linear" },
  y: { label: "heap and array buffers, MB", scale: "linear" },
  // Of fewer, a megabyte is not to be told from what else is allocated meanwhile.
  sizes: [10, 20, 30, 40, 50],
  prepare: Effect.void,
  measure: Effect.fnUntraced(function*(size) {
    const library = heldBy(
      size,
      openSession,
      (session) => Effect.provideService(selectUser.library(0), Session, session)
    )
    const driver = heldBy(size, bareClient(), (client) => Effect.promise(() => selectUser.driver(client, 0)))
    yield* Effect.andThen(library, driver)
    const measured: Array<readonly [library: number, driver: number]> = []
    for (let index = 0; index < pairCount; index++) measured.push([yield* library, yield* driver])
    progress(`memory ${size}`, pairCount, pairCount)
    return {
      library: intervalOf(measured.map(([library]) => library)),
      driver: intervalOf(measured.map(([, driver]) => driver)),
      ratio: intervalOf(measured.map(([library, driver]) => library / driver))
    }
  })
}

// -----------------------------------------------------------------------------
// The run
// -----------------------------------------------------------------------------

type Point = Measured & { readonly size: number }

const folderOf = (name: string): string => {
  const folder = fileURLToPath(new URL(name, import.meta.url))
  mkdirSync(folder, { recursive: true })
  return folder
}

const draw = ({ name, title, x, y }: Growth, points: ReadonlyArray<Point>): void => {
  const pointsOf = (side: "library" | "driver") => points.map((point) => ({ x: point.size, ...point[side] }))
  const lines = [
    { name: "effect-cassandra", color: "#0057b8", points: pointsOf("library") },
    { name: "cassandra-driver", color: "#c04000", points: pointsOf("driver") }
  ]
  writeFileSync(`${folderOf("plots")}/${name}.svg`, toSvg({ title, x, y, lines }))
}

const table = ({ x, y }: Growth, points: ReadonlyArray<Point>): string =>
  markdown([
    [x.label, `library: ${y.label}`, "driver", "ratio"],
    ...points.map(({ driver, library, ratio, size }) => [
      size.toLocaleString("en"),
      library.median.toFixed(2),
      driver.median.toFixed(2),
      withInterval(ratio)
    ])
  ], 0)

const run = Effect.fnUntraced(function*(growth: Growth) {
  yield* growth.prepare
  const points: Array<Point> = []
  for (const size of growth.sizes) points.push({ size, ...yield* Effect.scoped(growth.measure(size)) })
  draw(growth, points)
  writeFileSync(
    `${folderOf("results")}/growth-${growth.name}.json`,
    JSON.stringify({ ...machine(), points }, undefined, 2)
  )
  yield* Console.log(`\n${growth.title}: bench/plots/${growth.name}.svg\n\n${table(growth, points)}`)
})

const all: ReadonlyArray<Growth> = [inFlight, columns, rows, sessions, memory]

const program = Effect.gen(function*() {
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}; medians of ${pairCount} pairs`)
  yield* driverClient
  yield* Effect.forEach(all.filter(({ name }) => options.only?.includes(name) ?? true), run, { discard: true })
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(ClientsLive)))
