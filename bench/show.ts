/**
 * How the bench prints.
 */
import os from "node:os"
import type { Interval } from "./interval.ts"
import type { Comparison, Pair, Summary } from "./pairs.ts"

export interface Result {
  readonly name: string
  readonly title: string
  /** Whom the library is compared with. */
  readonly against: string
  readonly unit: string
  readonly count: number
  readonly inFlight?: number
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

export const withInterval = ({ high, low, median }: Interval): string =>
  `${median.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`

const micros = (value: number): string => value.toFixed(2)

const millis = (value: number): string => value.toFixed(2)

export const whole = (value: number): string => Math.round(value).toLocaleString("en")

/** What there is nothing of stays empty. */
const compared = ({ driver, library, ratio: of }: Comparison, show: (value: number) => string): ReadonlyArray<string> =>
  Number.isNaN(of.median) ? ["", "", ""] : [show(library), show(driver), withInterval(of)]

const costHeader = ["case", "per", "CPU us", "theirs", "CPU ratio", "per second", "theirs", "rate ratio"]

const costCells = ({ summary: { cpu, rate }, title, unit }: Result): ReadonlyArray<string> => [
  title,
  unit,
  ...compared(cpu, micros),
  ...compared(rate, whole)
]

const timeHeader = [
  "case",
  "p50 ms",
  "theirs",
  "p50 ratio",
  "p99 ms",
  "theirs",
  "p99 ratio",
  "heap B",
  "theirs",
  "ratio"
]

const timeCells = ({ summary: { heap, p50, p99 }, title }: Result): ReadonlyArray<string> => [
  title,
  ...compared(p50, millis),
  ...compared(p99, millis),
  ...compared(heap, whole)
]

/** Tables in Markdown, as the README has them: one for each that the library is compared with. */
export const tables = (results: ReadonlyArray<Result>, pairs: number): string => {
  const others = [...new Set(results.map(({ against }) => against))]
  return [
    `\nMedians of ${pairs} pairs; in brackets the 95 % interval of the median ratio, library over theirs.`,
    "CPU, p50, p99 and heap: lower is better. Rate: higher is better.",
    ...others.flatMap((other) => tablesAgainst(other, results.filter(({ against }) => against === other)))
  ].join("\n")
}

const tablesAgainst = (other: string, results: ReadonlyArray<Result>): ReadonlyArray<string> => [
  `\nAgainst ${other}\n`,
  markdown([costHeader, ...results.map(costCells)], 2),
  "",
  markdown(withoutEmpty([timeHeader, ...results.map(timeCells)]), 1)
]

/** Without the columns, and without the rows, that have nothing but their name. */
const withoutEmpty = (
  [header, ...rows]: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<ReadonlyArray<string>> => {
  const full = rows.filter((row) => row.slice(1).some((cell) => cell !== ""))
  const kept = header!.map((_, column) => full.some((row) => row[column] !== ""))
  return [header!, ...full].map((row) => row.filter((_, column) => kept[column]))
}

/** The first row is the header; the first columns are texts, the others numbers. */
export const markdown = ([header, ...rows]: ReadonlyArray<ReadonlyArray<string>>, texts: number): string => {
  const all = [header!, header!.map((_, index) => index < texts ? "---" : "--:"), ...rows]
  const widths = header!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const cell = (text: string, column: number) => pad(text, widths[column]!, column < texts)
  return all.map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")
}

const pad = (cell: string, width: number, isText: boolean): string => isText ? cell.padEnd(width) : cell.padStart(width)
