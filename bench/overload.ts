/**
 * What is left of the throughput when four times as much arrives: the library as it comes, with an adaptive limit, and
 * the bare driver, in turns on one server. See README.md.
 *
 *     node --conditions=effect-cassandra-source --expose-gc bench/overload.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import type cassandra from "cassandra-driver"
import { cql, Session } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import { askDriver, askLibrary } from "./ask.ts"
import { driverClient, ServerLive } from "./clients.ts"
import type { Ask, Tally } from "./openLoop.ts"
import { closedLoop, goodput, openLoop, over, patienceMillis } from "./openLoop.ts"
import { machine, markdown } from "./show.ts"
import { statements, users } from "./tables.ts"

const { values: options } = parseArgs({
  options: {
    /** Overload in all, for each side of each load. */
    seconds: { type: "string", default: "30" },
    rounds: { type: "string", default: "1" },
    factor: { type: "string", default: "4" },
    load: { type: "string", multiple: true },
    side: { type: "string", multiple: true }
  }
})

const rounds = Number(options.rounds)
const factor = Number(options.factor)
const secondsOfRound = Number(options.seconds) / rounds

// -----------------------------------------------------------------------------
// Loads
// -----------------------------------------------------------------------------

interface Load {
  readonly name: string
  readonly title: string
  /** As many at a time as give the peak. */
  readonly saturating: ReadonlyArray<number>
  readonly library: (index: number) => Effect.Effect<unknown, unknown, Session>
  readonly driver: (client: cassandra.Client, index: number) => Promise<unknown>
}

const sensorOf = (index: number): number => index % 100

const sumOfSensor = "SELECT sum(value) FROM effect_cassandra_bench.readings WHERE sensor = ?"

const userOf = (index: number): string => users[(index * 2003) % users.length]!.id

const prepared = { prepare: true, readTimeout: patienceMillis }

const loads: ReadonlyArray<Load> = [
  {
    name: "scan",
    title: "sum over 2,000 rows of a partition: the server has the work",
    saturating: [8, 32],
    library: (index) =>
      cql`SELECT sum(value) FROM effect_cassandra_bench.readings WHERE sensor = ${sensorOf(index)}`.one,
    driver: (client, index) => client.execute(sumOfSensor, [sensorOf(index)], prepared)
  },
  {
    name: "select",
    title: "a row by its key: client and server have as much to do",
    saturating: [128, 512],
    library: (index) =>
      cql`SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ${userOf(index)}`
        .one,
    driver: (client, index) => client.execute(statements.selectUser, [userOf(index)], prepared)
  }
]

// -----------------------------------------------------------------------------
// Sides
// -----------------------------------------------------------------------------

interface Side {
  readonly name: string
  readonly open: Effect.Effect<(load: Load) => Ask, unknown, CassandraServer | Scope.Scope>
}

const library = (name: string, options: Session.Options): Side => ({
  name,
  open: Effect.gen(function*() {
    const server = yield* CassandraServer
    const session = yield* Session.make({
      ...CassandraServer.toClusterOptions(server),
      timeout: patienceMillis,
      ...options
    })
    return (load) => askLibrary(session, load.library)
  })
})

const driver: Side = {
  name: "bare driver",
  open: Effect.map(driverClient, (client) => (load) => askDriver(client, load.driver))
}

const sides: ReadonlyArray<Side> = [
  library("library", {}),
  library("library, adaptiveInFlight", { adaptiveInFlight: true }),
  driver
]

// -----------------------------------------------------------------------------
// Rounds
// -----------------------------------------------------------------------------

interface Round {
  readonly peak: number
  readonly overload: Tally
}

/** What a client can have at the most, right before and after it is given too much. */
const peakOf = Effect.fnUntraced(function*(ask: Ask, { saturating }: Load) {
  const tallies = yield* Effect.forEach(saturating, (inFlight) => closedLoop(ask, inFlight, 3))
  return Math.max(...tallies.map(goodput))
})

const round = Effect.fnUntraced(function*(ask: Ask, load: Load) {
  const before = yield* peakOf(ask, load)
  globalThis.gc?.()
  const overload = yield* openLoop(ask, before * factor, over(secondsOfRound))
  // The server still works on what its clients have given up.
  yield* Effect.sleep("3 seconds")
  const peak = Math.max(before, yield* peakOf(ask, load))
  return { peak, overload } satisfies Round as Round
})

const isWanted = (names: ReadonlyArray<string> | undefined, name: string): boolean => names?.includes(name) ?? true

const measure = Effect.fnUntraced(function*(load: Load) {
  const wanted = sides.filter(({ name }) => isWanted(options.side, name))
  const opened = yield* Effect.forEach(wanted, ({ name, open }) => Effect.map(open, (of) => ({ name, ask: of(load) })))
  const results = opened.map(({ ask, name }) => ({ name, ask, rounds: new Array<Round>() }))
  for (const { ask } of results) yield* peakOf(ask, load)
  for (let index = 0; index < rounds; index++) {
    for (const { ask, name, rounds } of results) {
      const measured = yield* round(ask, load)
      rounds.push(measured)
      process.stderr.write(`${load.name}, ${name}: ${Math.round(measured.peak)}, ${describe(measured.overload)}\n`)
    }
  }
  return results.map(({ name, rounds }) => row(load, name, rounds))
})

const describe = ({ outcomes, seconds }: Tally): string =>
  [...outcomes].map(([outcome, count]) => `${outcome} ${Math.round(count / seconds)}/s`).join(", ")

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const whole = (value: number): string => Math.round(value).toLocaleString("en")

const row = (load: Load, name: string, rounds: ReadonlyArray<Round>): ReadonlyArray<string> => [
  load.name,
  name,
  whole(mean(rounds.map(({ peak }) => peak))),
  whole(mean(rounds.map(({ overload }) => overload.begun / overload.seconds))),
  whole(mean(rounds.map(({ overload }) => goodput(overload)))),
  `${whole(100 * mean(rounds.map(({ overload, peak }) => goodput(overload) / peak)))} %`,
  whole(mean(rounds.map(({ overload }) => overload.median))),
  whole(Math.max(...rounds.map(({ overload }) => overload.heapMegabytes)))
]

const header = ["load", "client", "peak/s", "offered/s", "goodput/s", "of peak", "median ms", "heap MB"]

const program = Effect.gen(function*() {
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}; ${rounds} rounds of ${secondsOfRound} s`)
  const wanted = loads.filter(({ name }) => isWanted(options.load, name))
  const rows = yield* Effect.forEach(wanted, (load) => Effect.scoped(measure(load)))
  yield* Console.log(markdown([header, ...rows.flat()], 2))
})

NodeRuntime.runMain(Effect.provide(program, ServerLive))
