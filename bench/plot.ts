/**
 * Lines in an SVG: a title, two axes with their units, a point with its interval for each measurement, and each line's
 * name at its end. Written out by hand, for it is less than the configuration of a library that plots.
 */
import type { Interval } from "./interval.ts"

export interface Line {
  readonly name: string
  readonly color: string
  readonly points: ReadonlyArray<Interval & { readonly x: number }>
}

export interface Plot {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: ReadonlyArray<Line>
}

export interface Axis {
  readonly label: string
  readonly scale: "linear" | "log"
}

const width = 740
const height = 420
const box = { left: 72, right: 600, top: 64, bottom: 364 }

// -----------------------------------------------------------------------------
// Scales
// -----------------------------------------------------------------------------

interface Scale {
  readonly ticks: ReadonlyArray<number>
  readonly at: (value: number) => number
}

const linearTicks = (most: number): ReadonlyArray<number> => {
  const rough = most / 5
  const decade = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * decade).find((each) => each >= rough)!
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step)
}

/** Decades; where there are few, what lies between them too. */
const logTicks = (least: number, most: number): ReadonlyArray<number> => {
  const decades = Math.log10(most / least)
  const factors = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
  const all: Array<number> = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++) {
    all.push(...factors.map((factor) => factor * 10 ** power))
  }
  const from = all.findLastIndex((tick) => tick <= least * 1.000001)
  const to = all.findIndex((tick) => tick >= most / 1.000001)
  return all.slice(from, to + 1)
}

const scaleOf = ({ scale }: Axis, values: ReadonlyArray<number>, from: number, to: number): Scale => {
  const least = Math.min(...values)
  const most = Math.max(...values)
  const ticks = scale === "linear" ? linearTicks(most) : logTicks(least, most)
  const place = scale === "linear" ? (value: number) => value : Math.log
  const first = place(ticks[0]!)
  const last = place(ticks.at(-1)!)
  return { ticks, at: (value) => from + (place(value) - first) / (last - first) * (to - from) }
}

// -----------------------------------------------------------------------------
// Drawing
// -----------------------------------------------------------------------------

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const round = (value: number): string => value.toFixed(1)

const text = (x: number, y: number, anchor: "start" | "middle" | "end", content: string, more = ""): string =>
  `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${more}>${escaped(content)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, stroke: string): string =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${stroke}"/>`

/** 0.05, 3, 10,000: without what floating point adds. */
const number = (value: number): string =>
  Number(value.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6 })

const gray = "#d0d0d0"
const black = "#222"

const drawX = ({ at, ticks }: Scale, label: string): ReadonlyArray<string> => [
  ...ticks.flatMap((tick) => [
    line(at(tick), box.bottom, at(tick), box.bottom + 5, black),
    text(at(tick), box.bottom + 20, "middle", number(tick))
  ]),
  line(box.left, box.bottom, box.right, box.bottom, black),
  text((box.left + box.right) / 2, box.bottom + 42, "middle", label)
]

const drawY = ({ at, ticks }: Scale, label: string): ReadonlyArray<string> => [
  ...ticks.flatMap((tick) => [
    line(box.left, at(tick), box.right, at(tick), gray),
    text(box.left - 8, at(tick) + 4, "end", number(tick))
  ]),
  text(box.left - 56, box.top - 20, "start", label)
]

const drawLine = ({ color, points }: Line, x: Scale, y: Scale): ReadonlyArray<string> => {
  const path = points.map((point) => `${round(x.at(point.x))},${round(y.at(point.median))}`).join(" ")
  return [
    `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...points.flatMap((point) => [
      line(x.at(point.x), y.at(point.low), x.at(point.x), y.at(point.high), color),
      `<circle cx="${round(x.at(point.x))}" cy="${round(y.at(point.median))}" r="3" fill="${color}"/>`
    ])
  ]
}

/** Names that would lie on each other are moved apart. */
const drawNames = (lines: ReadonlyArray<Line>, y: Scale): ReadonlyArray<string> => {
  let free = -Infinity
  return lines
    .map(({ color, name, points }) => ({ color, name, at: y.at(points.at(-1)!.median) + 4 }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, color, name }) => {
      free = Math.max(free + 17, at)
      return text(box.right + 10, free, "start", name, ` fill="${color}"`)
    })
}

export const toSvg = ({ lines, title, x: xAxis, y: yAxis }: Plot): string => {
  const points = lines.flatMap(({ points }) => points)
  const x = scaleOf(xAxis, points.map(({ x }) => x), box.left, box.right)
  const y = scaleOf(yAxis, points.flatMap(({ high, low }) => [low, high]), box.bottom, box.top)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"` +
    ` font-family="sans-serif" font-size="13" fill="${black}">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(box.left - 56, 20, "start", title, ` font-weight="bold"`),
    ...drawY(y, yAxis.label),
    ...drawX(x, xAxis.label),
    ...lines.flatMap((each) => drawLine(each, x, y)),
    ...drawNames(lines, y),
    "</svg>",
    ""
  ].join("\n")
}
