/**
 * What it takes to open a session and to close it, beyond what the driver's client takes: wall time and client CPU, in
 * pairs. See README.md.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Session } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import { verdict } from "./bars.ts"
import { bareClient, ServerLive } from "./clients.ts"
import { intervalOf, medianOf } from "./interval.ts"
import { machine, markdown, progress, withInterval } from "./show.ts"

const { values: options } = parseArgs({ options: { pairs: { type: "string", default: "30" } } })

const pairCount = Math.max(6, Number(options.pairs))

const barMillis = 50

/** In milliseconds. */
interface Took {
  readonly open: number
  readonly close: number
  readonly both: number
  readonly cpu: number
}

const timed = Effect.fnUntraced(function*<E, R>(open: Effect.Effect<unknown, E, R | Scope.Scope>) {
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  const scope = yield* Scope.make()
  yield* Effect.provideService(open, Scope.Scope, scope)
  const opened = performance.now()
  yield* Scope.close(scope, Exit.void)
  const closed = performance.now()
  const { system, user } = process.cpuUsage(cpuBefore)
  return {
    open: opened - started,
    close: closed - opened,
    both: closed - started,
    cpu: (user + system) / 1000
  } satisfies Took as Took
})

const library = timed(
  Effect.flatMap(CassandraServer, (server) => Session.make(CassandraServer.toClusterOptions(server)))
)

const driver = timed(bareClient())

const titles: Record<keyof Took, string> = {
  open: "opening",
  close: "closing",
  both: "opening and closing",
  cpu: "client CPU of both"
}

const row = (what: keyof Took, pairs: ReadonlyArray<readonly [library: Took, driver: Took]>): ReadonlyArray<string> => {
  const beyond = intervalOf(pairs.map(([library, driver]) => library[what] - driver[what]))
  return [
    titles[what],
    what === "both" ? `at most ${barMillis} ms: ${verdict(beyond, "at most", barMillis)}` : "",
    medianOf(pairs.map(([library]) => library[what])).toFixed(1),
    medianOf(pairs.map(([, driver]) => driver[what])).toFixed(1),
    withInterval(beyond)
  ]
}

const program = Effect.gen(function*() {
  for (let index = 0; index < 3; index++) yield* Effect.andThen(library, driver)
  const pairs: Array<readonly [library: Took, driver: Took]> = []
  for (let index = 0; index < pairCount; index++) {
    progress("opening", index, pairCount)
    if (index % 2 === 0) pairs.push([yield* library, yield* driver])
    else pairs.push(((driver, library) => [library, driver] as const)(yield* driver, yield* library))
  }
  progress("opening", pairCount, pairCount)
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}; medians of ${pairCount} pairs, in milliseconds`)
  const header = ["what", "bar", "library", "driver", "library - driver"]
  const rows = (["open", "close", "both", "cpu"] as const).map((what) => row(what, pairs))
  yield* Console.log(markdown([header, ...rows], 2))
})

NodeRuntime.runMain(Effect.provide(program, ServerLive))
