/**
 * Writes the table of all metrics into docs/metrics.md, between its markers.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Definition } from "../src/Metrics.ts"
import { all } from "../src/Metrics.ts"

export const guide = fileURLToPath(new URL("../docs/metrics.md", import.meta.url))

const begin = "<!-- The table is written by scripts/metricsTable.ts -->"

const end = "<!-- end of the table -->"

const head = ["| Metric | Type | Unit | Labels | |", "| --- | --- | --- | --- | --- |"]

const rowOf = ({ description, labels, name, type, unit }: Definition): string => {
  const cells = [`\`${name}\``, type, `\`${unit}\``, labels.map((label) => `\`${label}\``).join(", "), description]
  return `| ${cells.join(" | ")} |`
}

const bucketsOf = (unit: string): string => {
  const { boundaries } = all.find((metric) => metric.type === "histogram" && metric.unit === unit)!
  return boundaries!.join(", ")
}

/** What is between the markers. */
const content = (): string =>
  [
    ...head,
    ...all.map(rowOf),
    "",
    `The buckets of seconds end at ${bucketsOf("s")}; those of statements at ${bucketsOf("{statement}")}.`
  ].join("\n")

/** The guide as it is to be. */
export const withTable = (text: string): string => {
  const [before, after] = [text.indexOf(begin), text.indexOf(end)]
  if (before < 0 || after < before) throw new Error(`${guide} lacks its markers`)
  return `${text.slice(0, before)}${begin}\n\n${content()}\n\n${text.slice(after)}`
}

if (import.meta.main) writeFileSync(guide, withTable(readFileSync(guide, "utf8")))
