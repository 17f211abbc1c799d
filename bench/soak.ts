/**
 * Faults at random under load on three real nodes, for as long as is said, and what must hold whatever happens: no write
 * that was acknowledged is missing, nothing was done twice, no statement that may be tried again has failed, none has
 * outlived its deadline, and the heap does not grow. See README.md.
 *
 *     npm run soak -- 10m
 */
import type { CqlError } from "effect-cassandra"
import { Session } from "effect-cassandra"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import { parseArgs } from "node:util"
import * as Load from "../test/faults/support/Load.ts"
import * as RealCluster from "../test/support/RealCluster.ts"
import { runOnNodes } from "./nodes.ts"
import { markdown } from "./show.ts"

const usage = "npm run soak -- [<time>, such as 90s, 10m or 2h; 10m by default] [--seed <text>]"

const { positionals: [time = "10m"], values: options } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: "string" }, help: { type: "boolean", default: false } }
})

const seed = options.seed ?? String(Date.now())

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** NaN for what is no time. */
const secondsOf = (text: string): number => {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? []
  return Number(amount) * (unitSeconds[unit ?? ""] ?? NaN)
}

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

interface Fault {
  readonly title: string
  readonly happens: Effect.Effect<void>
}

type Nodes = RealCluster.RealCluster["Service"]

const restart = ({ kill, start }: RealCluster.RealNode, seconds: number): Effect.Effect<void> =>
  kill.pipe(Effect.andThen(Effect.sleep(`${seconds} seconds`)), Effect.andThen(start))

const secondsBetween = (least: number, most: number): Effect.Effect<number> => Random.nextIntBetween(least, most)

/** One node at a time, so that two of three are there. */
const faults: ReadonlyArray<(node: RealCluster.RealNode, nodes: Nodes) => Effect.Effect<Fault>> = [
  (node) =>
    Effect.map(secondsBetween(0, 15), (seconds) => ({
      title: `${node.host} is killed, and started again after ${seconds} s`,
      happens: restart(node, seconds)
    })),
  (node) =>
    Effect.map(secondsBetween(1, 25), (seconds) => ({
      title: `${node.host} is silent for ${seconds} s`,
      happens: node.pause.pipe(Effect.andThen(Effect.sleep(`${seconds} seconds`)), Effect.andThen(node.resume))
    })),
  (node) =>
    Effect.map(secondsBetween(1, 5), (times) => ({
      title: `${node.host} refuses clients, ${times} times`,
      happens: Effect.asVoid(
        Effect.repeat(Effect.andThen(node.nodetool("disablebinary"), node.nodetool("enablebinary")), {
          times: times - 1
        })
      )
    })),
  (node) =>
    Effect.succeed({
      title: `${node.host} is drained, and restarted`,
      happens: Effect.andThen(node.nodetool("drain"), restart(node, 0))
    }),
  (_, { awaitAllUp, nodes }) =>
    Effect.succeed({
      title: "all are killed and restarted, one after another",
      happens: Effect.forEach(nodes, (node) => Effect.andThen(restart(node, 0), awaitAllUp), { discard: true })
    })
]

const nextFault = Effect.fnUntraced(function*(nodes: Nodes) {
  const make = yield* Random.choice(faults)
  return yield* make(yield* Random.choice(nodes.nodes), nodes)
})

// -----------------------------------------------------------------------------
// What must hold
// -----------------------------------------------------------------------------

/** For what this process has to do itself, beside three nodes. */
const slackMillis = 2000

/** A whole fault, with the load before and after. */
const longestSeconds = 600

const heapMegabytes = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const mostGrowthMegabytes = 20

const brokenBy = (load: Load.Load): ReadonlyArray<string> => [
  ...load.entries
    .filter(({ fate, kind }) => Load.idempotent.includes(kind) && fate !== "acknowledged")
    .map((entry) => `has failed though a quorum was up: ${Load.describe(entry)}`),
  ...load.entries
    .filter(({ millis }) => millis > Load.timeoutMillis + slackMillis)
    .map((entry) => `has outlived its deadline: ${Load.describe(entry)}`)
]

/** An assertion that fails is a defect. */
const brokenRows = (load: Load.Load): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Effect.exit(load.assertExact),
    (exit) => Exit.isSuccess(exit) ? [] : [Cause.pretty(exit.cause)]
  )

// -----------------------------------------------------------------------------
// Episodes
// -----------------------------------------------------------------------------

interface Episode {
  readonly title: string
  readonly seconds: number
  readonly statements: number
  /** Statements whose outcome nobody knows; those that were not executed are none of them. */
  readonly unknown: number
  readonly slowest: number
  readonly heap: number
  readonly broken: ReadonlyArray<string>
}

const keyspace = "effect_cassandra_soak"

const makeSession = Effect.gen(function*() {
  const { options } = yield* RealCluster.RealCluster
  const { cql } = yield* Session.make(options)
  yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
  yield* Load.createTables(cql, keyspace)
  return yield* Session.make({
    ...options,
    keyspace,
    consistency: "quorum",
    timeout: Load.timeoutMillis,
    attemptTimeout: "2 seconds",
    reconnectDelay: { base: "200 millis", max: "1 second" }
  })
})

/** An hour's load is let go of bit by bit: each fault has a load of its own. */
const underLoad = (session: Session["Service"], nodes: Nodes, fault: Fault): Effect.Effect<Load.Load, CqlError> =>
  Effect.scoped(Effect.gen(function*() {
    const load = yield* Load.start(session)
    yield* load.awaitMore(40)
    yield* fault.happens
    yield* nodes.awaitAllUp
    yield* load.awaitMore(40)
    yield* load.stop
    return load
  }))

const episode = Effect.fnUntraced(function*(session: Session["Service"], nodes: Nodes, fault: Fault) {
  const from = performance.now()
  yield* Console.log(fault.title)
  const ended = yield* Effect.exit(Effect.timeout(underLoad(session, nodes, fault), `${longestSeconds} seconds`))
  const seconds = (performance.now() - from) / 1000
  if (Exit.isFailure(ended)) {
    yield* nodes.restore
    return { ...nothing, title: fault.title, seconds, broken: [Cause.pretty(ended.cause)] } satisfies Episode as Episode
  }
  const load = ended.value
  return {
    title: fault.title,
    seconds,
    statements: load.entries.length,
    unknown: load.entries.filter(({ fate }) => fate === "unknown").length,
    slowest: load.entries.reduce((most, { millis }) => Math.max(most, millis), 0),
    heap: 0,
    broken: [...brokenBy(load), ...(yield* brokenRows(load))]
  } satisfies Episode as Episode
})

const nothing = { statements: 0, unknown: 0, slowest: 0, heap: 0 }

/** The first has compiled the code and filled the caches. */
const withHeap = (episode: Episode, first: Episode | undefined): Episode => {
  const heap = heapMegabytes()
  const growth = first === undefined ? 0 : heap - first.heap
  const tooMuch = growth > mostGrowthMegabytes ? [`the heap has grown by ${growth.toFixed(1)} MB`] : []
  return { ...episode, heap, broken: [...episode.broken, ...tooMuch] }
}

const whole = (value: number): string => Math.round(value).toLocaleString("en")

const header = ["fault", "s", "statements", "unknown", "slowest ms", "heap MB", "broken"]

const row = ({ broken, heap, seconds, slowest, statements, title, unknown }: Episode): ReadonlyArray<string> => [
  title,
  ...[seconds, statements, unknown, slowest, heap, broken.length].map(whole)
]

const report = (episodes: ReadonlyArray<Episode>): string => {
  const broken = episodes.flatMap((episode) => episode.broken.map((text) => `- ${episode.title}: ${text}`))
  const statements = episodes.reduce((sum, episode) => sum + episode.statements, 0)
  return [
    "",
    markdown([header, ...episodes.map(row)], 1),
    "",
    `${episodes.length} faults, ${whole(statements)} statements, seed ${seed}: ${
      broken.length === 0 ? "all held" : `${broken.length} broken`
    }`,
    // Of a thousand that have failed alike, the first tell enough.
    ...broken.slice(0, 20)
  ].join("\n")
}

const soak = Effect.fnUntraced(function*(seconds: number, episodes: Array<Episode>) {
  const nodes = yield* RealCluster.RealCluster
  const session = yield* makeSession
  const until = performance.now() + seconds * 1000
  while (performance.now() < until) {
    const done = yield* episode(session, nodes, yield* nextFault(nodes))
    episodes.push(withHeap(done, episodes[0]))
  }
}, Effect.scoped)

const program = (seconds: number) =>
  Effect.suspend(() => {
    const episodes: Array<Episode> = []
    return Console.log(`seed ${seed}`).pipe(
      Effect.andThen(Random.withSeed(soak(seconds, episodes), seed)),
      // Also of what was done until SIGINT came.
      Effect.ensuring(Effect.suspend(() => {
        if (episodes.some(({ broken }) => broken.length > 0)) process.exitCode = 1
        return Console.log(report(episodes))
      }))
    )
  })

const seconds = secondsOf(time)

if (options.help || !(seconds > 0)) {
  console.log(usage)
  process.exitCode = options.help ? 0 : 1
} else {
  runOnNodes(program(seconds))
}
