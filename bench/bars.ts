/**
 * What the figures have to be.
 */
import type { Interval } from "./interval.ts"
import type { Block } from "./pairs.ts"
import { markdown, withInterval } from "./show.ts"
import type { Result } from "./show.ts"

interface Bar {
  readonly name: string
  readonly against: string
  readonly measure: keyof Block
  readonly is: "at most" | "at least"
  readonly limit: number
}

const words: Record<keyof Block, string> = {
  cpu: "client CPU",
  rate: "throughput",
  p50: "p50 latency",
  p99: "p99 latency",
  heap: "heap"
}

const bar = (
  name: string,
  measure: keyof Block,
  is: Bar["is"],
  limit: number,
  against = "cassandra-driver"
): Bar => ({ name, against, measure, is, limit })

const bars: ReadonlyArray<Bar> = [
  bar("select", "cpu", "at most", 1.2),
  bar("insert", "cpu", "at most", 1.2),
  bar("select", "rate", "at least", 0.95),
  bar("insert", "rate", "at least", 0.95),
  bar("select-1", "p50", "at most", 1.1),
  bar("insert-1", "p50", "at most", 1.1),
  bar("stream-struct", "cpu", "at most", 0.6),
  bar("stream-class", "cpu", "at most", 0.75),
  bar("stream-struct", "rate", "at least", 1.2),
  bar("stream-class", "rate", "at least", 1.2),
  bar("stream-struct-work", "rate", "at least", 1.3),
  bar("stream-class-work", "rate", "at least", 1.3),
  bar("scan", "rate", "at least", 1.6),
  bar("write-clustered", "rate", "at least", 4),
  bar("write-random", "rate", "at least", 1),
  bar("stream-struct", "cpu", "at most", 1.5, "gocql")
]

/** An interval with the limit inside it tells nothing either way. */
export const verdict = ({ high, low }: Interval, is: Bar["is"], limit: number): "met" | "not met" | "undecided" => {
  const [worst, best] = is === "at most" ? [high, low] : [low, high]
  const holds = (value: number) => is === "at most" ? value <= limit : value >= limit
  if (holds(worst)) return "met"
  return holds(best) ? "undecided" : "not met"
}

/** A table of those that there is a result for. */
export const barsTable = (results: ReadonlyArray<Result>): string => {
  const rows = bars.flatMap(({ against, is, limit, measure, name }) => {
    const result = results.find((each) => each.name === name && each.against === against)
    if (result === undefined) return []
    const measured = result.summary[measure].ratio
    const what = `${name}: ${words[measure]} over ${against}`
    return [[what, verdict(measured, is, limit), `${is} ${limit.toFixed(2)}`, withInterval(measured)]]
  })
  return rows.length === 0 ? "" : `\n${markdown([["what", "bar", "limit", "measured"], ...rows], 2)}`
}
