/**
 * The picture of the README: client CPU as a part of the driver's, from what `npm run bench` has written.
 *
 *     node --conditions=effect-cassandra-source bench/picture.ts [bench/results/bench.json]
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { intervalOf } from "./interval.ts"

interface Pair {
  readonly library: { readonly cpu: number }
  readonly driver: { readonly cpu: number }
}

interface Results {
  readonly results: ReadonlyArray<{
    readonly name: string
    readonly against: string
    readonly pairs: ReadonlyArray<Pair>
  }>
}

/** The rows of the picture, and what they are called there. */
const shown: ReadonlyArray<readonly [name: string, title: string]> = [
  ["insert", "insert"],
  ["select", "select, decoded to a class"],
  ["stream-struct", "stream, a row to a struct"],
  ["stream-class", "stream, a row to a class"],
  ["scan", "scan of a table"],
  ["write-clustered", "bulk write by partition"],
  ["write-random", "bulk write in random order"]
]

const file = process.argv[2] ?? "bench/results/bench.json"
const { results }: Results = JSON.parse(readFileSync(file, "utf8"))

const bars = shown.flatMap(([name, title]) => {
  const found = results.find((result) => result.name === name && result.against === "cassandra-driver")
  return found === undefined
    ? []
    : [{ title, ...intervalOf(found.pairs.map(({ driver, library }) => library.cpu / driver.cpu)) }]
})

const left = 210
const unit = 400
const rowHeight = 30
const top = 46
const width = left + unit * 1.12 + 70
const bottom = top + bars.length * rowHeight
const height = bottom + 34

const text = (x: number, y: number, anchor: "start" | "middle" | "end", content: string, more = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${content}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, stroke: string): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${stroke}"/>`

const at = (ratio: number): number => left + Math.min(ratio, 1.12) * unit

const svg = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"` +
  ` font-family="sans-serif" font-size="13" fill="#222">`,
  `<rect width="${width}" height="${height}" fill="white"/>`,
  text(16, 24, "start", "Client CPU, with cassandra-driver alone as 1", ` font-weight="bold"`),
  ...bars.flatMap(({ high, low, median, title }, index) => {
    const y = top + index * rowHeight
    const middle = y + rowHeight / 2
    return [
      text(left - 12, middle + 4, "end", title),
      `<rect x="${left}" y="${y + 6}" width="${(at(median) - left).toFixed(1)}" height="${
        rowHeight - 12
      }" fill="#2a78b5"/>`,
      line(at(low), middle, at(high), middle, "#123"),
      text(at(Infinity) + 14, middle + 4, "start", median.toFixed(2))
    ]
  }),
  line(at(1), top - 4, at(1), bottom + 4, "#b5432a"),
  text(at(1), bottom + 20, "middle", "the driver alone", ` fill="#b5432a"`),
  line(left, top - 4, left, bottom + 4, "#222"),
  "</svg>",
  ""
].join("\n")

mkdirSync("bench/plots", { recursive: true })
writeFileSync("bench/plots/cpu.svg", svg)
