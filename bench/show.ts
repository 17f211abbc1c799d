/**
 * How the bench prints.
 */
import os from "node:os"
import type { Pair, Summary } from "./pairs.ts"
import type { Ratio } from "./ratio.ts"

export interface Result {
  readonly name: string
  readonly title: string
  readonly unit: "query" | "row"
  readonly count: number
  readonly pairs: ReadonlyArray<Pair>
  readonly summary: Summary
}

export const machine = () => ({
  measuredAt: new Date().toISOString(),
  node: process.version,
  processor: os.cpus()[0]?.model ?? "unknown",
  cores: os.availableParallelism()
})

/** On a terminal one line that changes; elsewhere a line when a case is done. */
export const progress = (name: string, done: number, pairs: number): void => {
  const line = `${name}: ${done} of ${pairs} pairs`
  if (process.stderr.isTTY) process.stderr.write(`\r${line}${done === pairs ? "\n" : ""}`)
  else if (done === pairs) process.stderr.write(`${line}\n`)
}

const ratio = ({ high, low, median }: Ratio): string => `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`

const micros = (value: number): string => value.toFixed(2)

const whole = (value: number): string => Math.round(value).toLocaleString("en")

const cells = ({ summary: { cpu, rate }, title, unit }: Result): ReadonlyArray<string> => [
  title,
  unit,
  micros(cpu.library),
  micros(cpu.driver),
  ratio(cpu.ratio),
  whole(rate.library),
  whole(rate.driver),
  ratio(rate.ratio)
]

const header = ["case", "per", "CPU us", "driver", "CPU ratio", "per second", "driver", "rate ratio"]

/** A table in Markdown, as the README has it. */
export const table = (results: ReadonlyArray<Result>, pairs: number): string => {
  return [
    "",
    `Library over driver: medians of ${pairs} pairs; in brackets the 95 % interval of the median ratio.`,
    `CPU: lower is better. Rate: higher is better.`,
    "",
    markdown([header, ...results.map(cells)], 2),
    ""
  ].join("\n")
}

/** The first row is the header; the first columns are texts, the others numbers. */
export const markdown = ([header, ...rows]: ReadonlyArray<ReadonlyArray<string>>, texts: number): string => {
  const all = [header!, header!.map((_, index) => index < texts ? "---" : "--:"), ...rows]
  const widths = header!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const cell = (text: string, column: number) => pad(text, widths[column]!, column < texts)
  return all.map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")
}

const pad = (cell: string, width: number, isText: boolean): string => isText ? cell.padEnd(width) : cell.padStart(width)
