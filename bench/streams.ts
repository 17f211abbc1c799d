/**
 * Scans where waiting is all there is (behind a proxy that adds 20 ms to a round trip, in pages of 100 rows), and what a
 * scan of many rows keeps in memory. See README.md.
 *
 *     node --conditions=effect-cassandra-source --expose-gc bench/streams.ts [--rows 10000000] [--part latency|memory]
 */
import { NodeRuntime } from "@effect/platform-node"
import { cql, CqlStream, Session } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { parseArgs } from "node:util"
import * as TcpProxy from "../test/support/TcpProxy.ts"
import { driverClient, ServerLive } from "./clients.ts"
import { machine, markdown, whole } from "./show.ts"
import type { Reading } from "./tables.ts"
import { ReadingStruct, scattered } from "./tables.ts"

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "10000000" },
    part: { type: "string", multiple: true }
  }
})

// -----------------------------------------------------------------------------
// Waiting
// -----------------------------------------------------------------------------

const concurrencies = [1, 2, 4, 8, 16]

const sumOf = (table: string, concurrency: number) =>
  CqlStream.scan({ table, schema: ReadingStruct, concurrency }).pipe(
    Stream.runFold(() => ({ rows: 0, sum: 0 }), ({ rows, sum }, { value }) => ({ rows: rows + 1, sum: sum + value }))
  )

const waiting = Effect.gen(function*() {
  const server = yield* CassandraServer
  const proxy = yield* TcpProxy.make({ target: { host: server.contactPoints[0]!, port: server.port } })
  yield* proxy.latency(10)
  const session = yield* Session.make({
    ...CassandraServer.toClusterOptions(server),
    addressTranslator: () => `${proxy.host}:${proxy.port}`,
    contactPoints: [proxy.host],
    port: proxy.port,
    pageSize: 100
  })
  // Many small partitions: one that is large is read by one alone, and in the end all others wait for it.
  const table = "effect_cassandra_bench.written"
  yield* Effect.provideService(
    Stream.run(Stream.fromIterable(scattered(200_000)), CqlStream.sink({ table, schema: ReadingStruct })),
    Session,
    session
  )
  const rates: Array<number> = []
  for (const concurrency of concurrencies) {
    const started = performance.now()
    const { rows } = yield* Effect.provideService(
      sumOf(table, concurrency),
      Session,
      session
    )
    rates.push(rows / (performance.now() - started) * 1000)
    process.stderr.write(`${concurrency} at a time: ${whole(rates.at(-1)!)} rows/s\n`)
  }
  const [alone] = rates
  const rows = concurrencies.map((concurrency, index) => [
    String(concurrency),
    whole(rates[index]!),
    (rates[index]! / alone!).toFixed(2),
    (rates[index]! / alone! / concurrency).toFixed(2)
  ])
  yield* Console.log(markdown([["ranges at a time", "rows/s", "of one at a time", "of P times that"], ...rows], 0))
})

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

const wanted = Number(options.rows)
const ofPartition = 1000
const table = "effect_cassandra_bench.many"

const manyReadings: Stream.Stream<Reading> = Stream.range(0, Math.ceil(wanted / ofPartition) - 1).pipe(
  Stream.flatMap((sensor) =>
    Stream.fromIterable(Array.from({ length: ofPartition }, (_, index): Reading => ({
      sensor,
      at: new Date(index * 60_000),
      place: `hall ${sensor % 8}`,
      value: index,
      sequence: BigInt(index)
    })))
  )
)

const fill = Effect.gen(function*() {
  yield* cql`CREATE TABLE IF NOT EXISTS effect_cassandra_bench.many (
    sensor int, at timestamp, place text, value double, sequence bigint, PRIMARY KEY (sensor, at))`
  const there = yield* CqlStream.count({ table })
  if (Number(there) >= wanted) return
  const started = performance.now()
  const written = yield* Stream.run(manyReadings, CqlStream.sink({ table, schema: ReadingStruct }))
  process.stderr.write(`${whole(written)} rows written, ${whole(written / (performance.now() - started) * 1000)}/s\n`)
})

/** After a collection: what is held, and not what is yet to be collected. */
const heapNow = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)

const memory = Effect.gen(function*() {
  yield* fill
  const heaps: Array<number> = []
  let rows = 0
  // A first part of the way, so that code is compiled and buffers have their size.
  let page = 0
  yield* CqlStream.scanPages({ table, schema: ReadingStruct }).pipe(
    Stream.runForEach((scanned) =>
      Effect.sync(() => {
        rows += scanned.rows.length
        page++
        if (page % 100 === 0) heaps.push(heapNow())
      })
    )
  )
  const [start] = heaps
  const most = Math.max(...heaps)
  const bytesOfPage = 5000 * 54
  yield* Console.log(
    `${whole(rows)} rows: ${megabytes(start!)} MB held at the first hundred pages, at most ${
      megabytes(most)
    } MB after ` +
      `them: ${((most - start!) / bytesOfPage).toFixed(1)} pages (of ${megabytes(bytesOfPage)} MB of values)`
  )
})

const isWanted = (part: string): boolean => options.part?.includes(part) ?? true

const program = Effect.gen(function*() {
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}`)
  // With the tables filled.
  yield* driverClient
  if (isWanted("latency")) yield* waiting
  if (!isWanted("memory")) return
  const server = yield* CassandraServer
  yield* Effect.provide(memory, Session.layer(CassandraServer.toClusterOptions(server)))
})

NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(ServerLive)))
