/**
 * From all readings to one row for each hour of each sensor: the whole table by its token ranges, resumable.
 */
import { CqlStream } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Places from "./places.ts"
import { HourOfSensor, Reading } from "./tables.ts"

const job = "aggregate"

const hourMillis = 3_600_000

/** The readings of one hour, as far as they have come. */
interface Window {
  readonly sensor: number
  readonly hour: Date
  count: number
  sum: number
  lowest: number
  highest: number
}

const add = (windows: Map<string, Window>, { at, celsius, sensor }: Reading): void => {
  const hour = new Date(Math.floor(at.getTime() / hourMillis) * hourMillis)
  const key = `${sensor} ${hour.getTime()}`
  const window = windows.get(key)
  if (window === undefined) {
    windows.set(key, { sensor, hour, count: 1, sum: celsius, lowest: celsius, highest: celsius })
    return
  }
  window.count++
  window.sum += celsius
  window.lowest = Math.min(window.lowest, celsius)
  window.highest = Math.max(window.highest, celsius)
}

const toRow = ({ count, highest, hour, lowest, sensor, sum }: Window): HourOfSensor =>
  new HourOfSensor({ sensor, hour, readings: count, lowest, highest, mean: sum / count })

/**
 * Gives how many hours were written.
 *
 * In order, for then the pages up to a checkpoint are whole token ranges, and with them whole partitions and whole
 * hours: those are written first, and the checkpoint is kept behind them. What is interrupted in between writes the same
 * rows again.
 */
export const aggregate = Effect.fn("aggregate")(function*(onProgress: (done: number, of: number) => void) {
  const from = yield* Places.load(job)
  let windows = new Map<string, Window>()
  let written = 0
  yield* CqlStream.scanPages({ table: "readings", schema: Reading, ordered: true, from }).pipe(
    Stream.runForEach(Effect.fnUntraced(function*({ checkpoint, ranges, rangesDone, rows }) {
      for (const row of rows) add(windows, row)
      if (checkpoint === undefined) return
      const hours = [...windows.values()].map(toRow)
      windows = new Map()
      written += yield* Stream.run(
        Stream.fromIterable(hours),
        CqlStream.sink({ table: "hours", schema: HourOfSensor })
      )
      yield* Places.save(job, checkpoint)
      onProgress(rangesDone, ranges)
    }))
  )
  // Done: the next time begins anew, for new readings.
  yield* Places.forget(job)
  return written
})
