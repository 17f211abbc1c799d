/**
 * Where one side of a case spends its CPU: the self time of every place in the source, from V8's sampling profiler.
 *
 *     node --conditions=effect-cassandra-source --expose-gc bench/profile.ts select library
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import type { Profiler } from "node:inspector"
import { Session as Inspector } from "node:inspector/promises"
import { parseArgs } from "node:util"
import { cases } from "./cases.ts"
import { bareClient, ClientsLive, driverClient } from "./clients.ts"

const { positionals: [name = "select", side = "library"], values: options } = parseArgs({
  allowPositionals: true,
  options: {
    blocks: { type: "string", default: "10" },
    functions: { type: "string", default: "30" },
    /** Writes the profile, for Chrome's developer tools. */
    output: { type: "string" }
  }
})

type Node = Profiler.ProfileNode

interface Spent {
  readonly node: Node
  /** How often it was found at work. Not the time between samples: in that, other processes may have run. */
  readonly samples: number
  readonly place: string
}

// -----------------------------------------------------------------------------
// From samples to places
// -----------------------------------------------------------------------------

const notWork = new Set(["(idle)", "(program)", "(root)"])

const packageOf = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?:dist\/|lib\/)?(.*)$/

/** The file of a function; what Node does natively belongs to who has called it. */
const placeOf = (node: Node, parent: Spent | undefined): string => {
  const { functionName, scriptId, url } = node.callFrame
  if (functionName === "(garbage collector)") return "garbage-collector"
  if (url === "" && scriptId !== "0") return "generated-code"
  if (url === "") return functionName.startsWith("(") || parent === undefined ? functionName : parent.place
  const [, dependency, file] = packageOf.exec(url) ?? []
  if (dependency !== undefined) return `${dependency} ${file}`
  if (url.startsWith("node:")) return "node"
  return url.replace(/^.*\/(src|bench)\//, "$1/")
}

const spentByNode = (profile: Profiler.Profile): ReadonlyArray<Spent> => {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const all: Array<Spent> = []
  const visit = (node: Node, parent: Spent | undefined): void => {
    const spent = { node, samples: node.hitCount ?? 0, place: placeOf(node, parent) }
    all.push(spent)
    for (const child of node.children ?? []) visit(nodes.get(child)!, spent)
  }
  visit(profile.nodes[0]!, undefined)
  return all.filter(({ node }) => !notWork.has(node.callFrame.functionName))
}

const functionOf = ({ node: { callFrame }, place }: Spent): string =>
  callFrame.url === ""
    ? `${callFrame.functionName || "(native)"} from ${place}`
    : `${callFrame.functionName || "(anonymous)"} ${place}:${callFrame.lineNumber + 1}`

const folderOf = ({ place }: Spent): string =>
  place.startsWith("src/") || place.startsWith("bench/") ? place.replace(/\/[^/]+$/, "") : place.split(" ")[0]!

const sumBy = (
  spent: ReadonlyArray<Spent>,
  key: (spent: Spent) => string
): ReadonlyArray<readonly [string, number]> => {
  const sums = new Map<string, number>()
  for (const each of spent) sums.set(key(each), (sums.get(key(each)) ?? 0) + each.samples)
  return [...sums].toSorted(([, a], [, b]) => b - a)
}

// -----------------------------------------------------------------------------
// The run
// -----------------------------------------------------------------------------

const listing = (title: string, rows: ReadonlyArray<readonly [string, number]>, total: number, cpu: number): string =>
  [
    `\n${title}: microseconds for each, share`,
    ...rows.map(([key, samples]) =>
      `${((cpu * samples) / total).toFixed(3).padStart(9)} ${
        ((100 * samples) / total).toFixed(1).padStart(5)
      } %  ${key}`
    )
  ].join("\n")

const record = Effect.fnUntraced(function*<E, R>(work: Effect.Effect<unknown, E, R>) {
  const inspector = new Inspector()
  inspector.connect()
  yield* Effect.promise(() => inspector.post("Profiler.enable"))
  yield* Effect.promise(() => inspector.post("Profiler.setSamplingInterval", { interval: 200 }))
  yield* Effect.promise(() => inspector.post("Profiler.start"))
  yield* work
  const { profile } = yield* Effect.promise(() => inspector.post("Profiler.stop"))
  inspector.disconnect()
  return profile
})

const program = Effect.gen(function*() {
  const found = cases.find((each) => each.name === name)
  if (found === undefined) return yield* Console.log(`cases: ${cases.map((each) => each.name).join(", ")}`)
  yield* driverClient
  const client = yield* bareClient(found.inFlight)
  const block = side === "driver" ? Effect.promise(() => found.driver(client)) : found.library
  const blocks = Number(options.blocks)
  yield* Effect.repeat(block, { times: 6 })
  const before = process.cpuUsage()
  yield* Effect.repeat(block, { times: blocks - 1 })
  const { system, user } = process.cpuUsage(before)
  const profile = yield* record(Effect.repeat(block, { times: blocks - 1 }))
  const cpu = (user + system) / (blocks * found.count)
  const spent = spentByNode(profile)
  const total = spent.reduce((sum, { samples }) => sum + samples, 0)
  const show = (title: string, key: (spent: Spent) => string, most: number) =>
    Console.log(listing(title, sumBy(spent, key).slice(0, most), total, cpu))
  yield* Console.log(`${name}, ${side}: ${cpu.toFixed(2)} us of CPU for each, not profiled`)
  yield* show("by folder and package", folderOf, 20)
  yield* show("by file", ({ place }) => place, 25)
  yield* show("by function", functionOf, Number(options.functions))
  const { output } = options
  if (output !== undefined) yield* Effect.promise(() => writeFile(output, JSON.stringify(profile)))
}).pipe(Effect.scoped)

NodeRuntime.runMain(Effect.provide(program, ClientsLive))
