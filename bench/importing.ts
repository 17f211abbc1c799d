/**
 * What importing the package takes, in time and in memory, beyond Effect and the driver: of `dist/`, in fresh processes
 * that have imported what it needs of those two. See README.md.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { verdict } from "./bars.ts"
import type { Interval } from "./interval.ts"
import { intervalOf } from "./interval.ts"
import { machine, markdown, progress, withInterval } from "./show.ts"

const { values: options } = parseArgs({ options: { runs: { type: "string", default: "30" } } })

const runs = Math.max(6, Number(options.runs))

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

const library = new URL("../dist/index.js", import.meta.url).href

const inProcess = (...args: ReadonlyArray<string>): unknown =>
  JSON.parse(execFileSync(process.execPath, ["--expose-gc", pathOf("importOnce.ts"), ...args], { encoding: "utf8" }))

interface Took {
  readonly millis: number
  readonly cpuMillis: number
  readonly bytes: number
}

/** The package's own dependencies are not among them, and are counted as its. */
const effectAndDriver = (inProcess("--list", library) as ReadonlyArray<string>).filter((name) =>
  /^(effect|@effect|cassandra-driver)(\/|$)/.test(name)
)

const measured: Array<Took> = []
for (let index = 0; index < runs; index++) {
  progress("importing", index, runs)
  measured.push(inProcess(...effectAndDriver, library) as Took)
}
progress("importing", runs, runs)

const row = (what: string, unit: string, limit: number | undefined, took: Interval): ReadonlyArray<string> => [
  what,
  limit === undefined ? "" : `at most ${limit} ${unit}: ${verdict(took, "at most", limit)}`,
  `${withInterval(took)} ${unit}`
]

const { cores, node, processor } = machine()
console.log(`Node ${node}, ${cores} cores of ${processor}; medians of ${runs} processes`)
console.log(markdown([
  ["importing effect-cassandra", "bar", "beyond effect and the driver"],
  row("wall time", "ms", 20, intervalOf(measured.map(({ millis }) => millis))),
  row("CPU", "ms", undefined, intervalOf(measured.map(({ cpuMillis }) => cpuMillis))),
  row("memory held", "MB", 5, intervalOf(measured.map(({ bytes }) => bytes / 1e6)))
], 2))
