/**
 * Stands for whatever your readings come from: the n-th one is always the same, as that of a log with offsets is.
 */
import * as Stream from "effect/Stream"
import { Reading } from "./tables.ts"

export const sensors = 20

const start = Date.UTC(2026, 0, 1)
const everyMillis = 10_000

const reading = (offset: number): Reading => {
  const sensor = offset % sensors
  const at = new Date(start + Math.floor(offset / sensors) * everyMillis)
  const timeOfDay = (at.getTime() % 86_400_000) / 86_400_000
  const celsius = sensor + 15 - 5 * Math.cos(2 * Math.PI * timeOfDay)
  return new Reading({ sensor, day: at.toISOString().slice(0, 10), at, celsius })
}

/** Those from an offset on, up to and without another one. */
export const readings = (from: number, to: number): Stream.Stream<Reading> =>
  from >= to ? Stream.empty : Stream.map(Stream.range(from, to - 1), reading)
