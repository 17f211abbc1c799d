/**
 * What this library costs over the bare driver, and over clients in other languages: client CPU, rate, latency and heap,
 * as ratios of pairs that are measured in turns. See README.md.
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, matchesGlob } from "node:path"
import { parseArgs } from "node:util"
import { barsTable } from "./bars.ts"
import type { Case } from "./cases.ts"
import { cases } from "./cases.ts"
import { bareClient, ClientsLive, driverClient } from "./clients.ts"
import { inTurns, measure, measurePair, mustAgree, type Pair, summarize, warmUp } from "./pairs.ts"
import type { Peer } from "./peers.ts"
import { peerCases, startPeers } from "./peers.ts"
import type { Result } from "./show.ts"
import { machine, progress, tables } from "./show.ts"

const usage = `npm run bench -- [options]
  --quick         the main cases, 6 pairs, no peers: less than two minutes
  --pairs <n>     pairs for each case, at least 6; by default 30
  --only <name>   this case alone, or those of a pattern ("select*"); may be repeated
  --peers         clients in other languages too; --no-peers: without them. By default with them, but for --quick
  --no-driver     not against the bare driver
  --json <file>   where every pair is written; by default bench/results/bench.json`

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: "boolean", default: false },
    pairs: { type: "string" },
    only: { type: "string", multiple: true },
    peers: { type: "boolean" },
    driver: { type: "boolean", default: true },
    json: { type: "string", default: "bench/results/bench.json" },
    help: { type: "boolean", default: false }
  }
})

const pairCount = Math.max(6, Number(options.pairs ?? (options.quick ? 6 : 30)))

/** With fewer, the blocks would measure how code is compiled, in a quick run too. */
const warmUpsOf = ({ count }: Case): number => count < 100_000 ? 6 : 3

const isChosen = ({ name, quick }: Case): boolean =>
  options.only?.some((pattern) => matchesGlob(name, pattern)) ?? (quick || !options.quick)

const chosen = cases.filter(isChosen)

const withPeers = options.peers ?? !options.quick

/** A quick run on a slow machine ends all the same. */
const until = options.quick ? 85_000 : Infinity

const isLate = (): boolean => performance.now() > until

const leaveOut = (name: string, why: string): ReadonlyArray<Result> => {
  process.stderr.write(`${name}: left out, ${why}\n`)
  return []
}

// -----------------------------------------------------------------------------
// Against the driver
// -----------------------------------------------------------------------------

const resultOf = (
  { count, inFlight, name, title, unit }: Case,
  against: string,
  pairs: ReadonlyArray<Pair>
): Result => ({
  name,
  title,
  against,
  unit,
  count,
  ...(inFlight !== undefined && { inFlight }),
  pairs,
  summary: summarize(pairs)
})

const againstDriver = Effect.fnUntraced(function*(each: Case) {
  const { count, driver, inFlight, library, name } = each
  const client = yield* bareClient(inFlight)
  const sides = { count, library, driver: Effect.promise(() => driver(client)) }
  yield* warmUp(sides, warmUpsOf(each))
  const pairs: Array<Pair> = []
  for (let index = 0; index < pairCount; index++) {
    progress(name, index, pairCount)
    pairs.push(yield* measurePair(sides, index))
  }
  progress(name, pairCount, pairCount)
  return resultOf(each, "cassandra-driver", pairs)
}, Effect.scoped)

// -----------------------------------------------------------------------------
// Against peers
// -----------------------------------------------------------------------------

const againstPeer = Effect.fnUntraced(function*(peer: Peer, each: Case) {
  const { count, library, name } = each
  for (let index = 0; index < warmUpsOf(each); index++) yield* library
  yield* mustAgree(yield* library, (yield* peer.run(each)).found)
  yield* peer.run(each)
  const pairs: Array<Pair> = []
  for (let index = 0; index < pairCount; index++) {
    progress(`${name}, ${peer.name}`, index, pairCount)
    pairs.push(yield* inTurns(measure(library, count), peer.run(each), index))
  }
  progress(`${name}, ${peer.name}`, pairCount, pairCount)
  return resultOf(each, peer.name, pairs)
})

// -----------------------------------------------------------------------------
// The run
// -----------------------------------------------------------------------------

/** One that fails is told of, and takes none of the others with it. */
const attempt = Effect.fnUntraced(function*<E, R>(name: string, run: Effect.Effect<Result, E, R>) {
  if (isLate()) return leaveOut(name, "there is no time left")
  return yield* run.pipe(
    Effect.map((result) => [result]),
    Effect.catchCause((cause) => Effect.sync(() => leaveOut(name, String(Cause.squash(cause)))))
  )
})

const program = Effect.gen(function*() {
  yield* driverClient
  const results: Array<Result> = []
  for (const each of options.driver ? chosen : []) results.push(...yield* attempt(each.name, againstDriver(each)))
  for (const peer of withPeers ? yield* startPeers : []) {
    for (const each of peerCases(chosen)) {
      results.push(...yield* attempt(`${each.name}, ${peer.name}`, againstPeer(peer, each)))
    }
  }
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}`)
  yield* Console.log(tables(results, pairCount))
  yield* Console.log(barsTable(results))
  yield* Effect.promise(() => writeJson({ ...machine(), results }))
})

const writeJson = async (contents: unknown): Promise<void> => {
  await mkdir(dirname(options.json), { recursive: true })
  await writeFile(options.json, `${JSON.stringify(contents, undefined, 2)}\n`)
  process.stderr.write(`every pair: ${options.json}\n`)
}

if (options.help || chosen.length === 0 || Number.isNaN(pairCount)) {
  console.log(`${usage}\n\ncases: ${cases.map(({ name }) => name).join(", ")}`)
} else {
  NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(ClientsLive)))
}
