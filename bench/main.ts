/**
 * What this library costs over the bare driver: client CPU and rate, as ratios of pairs that are measured in turns in
 * one process. See README.md.
 */
import { NodeRuntime } from "@effect/platform-node"
import type cassandra from "cassandra-driver"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { parseArgs } from "node:util"
import type { Case } from "./cases.ts"
import { cases } from "./cases.ts"
import { ClientsLive, driverClient } from "./clients.ts"
import type { Pair } from "./pairs.ts"
import { measurePair, summarize, warmUp } from "./pairs.ts"
import type { Result } from "./show.ts"
import { machine, progress, table } from "./show.ts"

const usage = `npm run bench -- [options]
  --quick         8 pairs: less than two minutes
  --pairs <n>     pairs for each case, at least 6; by default 30
  --only <name>   this case alone; may be repeated
  --json <file>   writes every pair to a file`

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    pairs: { type: "string" },
    only: { type: "string", multiple: true },
    json: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const pairCount = Math.max(6, Number(options.pairs ?? (options.quick ? 8 : 30)))

/** With fewer, the blocks would measure how code is compiled, in a quick run too. */
const warmUps = 6

const chosen = cases.filter(({ name }) => options.only?.includes(name) ?? true)

const run = Effect.fnUntraced(function*(client: cassandra.Client, { count, driver, library, name, title, unit }: Case) {
  const sides = { count, library, driver: Effect.promise(() => driver(client)) }
  yield* warmUp(sides, warmUps)
  const pairs: Array<Pair> = []
  for (let index = 0; index < pairCount; index++) {
    progress(name, index, pairCount)
    pairs.push(yield* measurePair(sides, index))
  }
  progress(name, pairCount, pairCount)
  return { name, title, unit, count, pairs, summary: summarize(pairs) } satisfies Result as Result
})

const program = Effect.gen(function*() {
  const client = yield* driverClient
  const results = yield* Effect.forEach(chosen, (each) => run(client, each))
  yield* Console.log(table(results, pairCount))
  const { json } = options
  if (json === undefined) return
  const text = JSON.stringify({ ...machine(), results }, undefined, 2)
  yield* Effect.promise(() => writeFile(json, `${text}\n`))
})

if (options.help || chosen.length === 0 || Number.isNaN(pairCount)) {
  console.log(`${usage}\n\ncases: ${cases.map(({ name }) => name).join(", ")}`)
} else {
  NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(ClientsLive)))
}
