/**
 * Measures the two sides of a case in turns, so that what the machine does meanwhile falls on both.
 */
import * as Effect from "effect/Effect"
import { countAllocated } from "./heap.ts"
import type { Interval } from "./interval.ts"
import { intervalOf, medianOf } from "./interval.ts"
import type { Quantiles } from "./latencies.ts"
import { takeQuantiles } from "./latencies.ts"

/** One run of one side. */
export interface Block extends Quantiles {
  /** User and system time of the process, in microseconds, for each query or row. */
  readonly cpu: number
  /** Queries or rows a second of wall time. */
  readonly rate: number
  /** Bytes allocated on V8's heap for each query or row; `NaN` for who has no such heap. */
  readonly heap: number
}

export interface Pair {
  readonly library: Block
  readonly driver: Block
}

export interface Comparison {
  readonly library: number
  readonly driver: number
  readonly ratio: Interval
}

export type Summary = { readonly [Measure in keyof Block]: Comparison }

export interface Sides<E, R> {
  /** What a block is divided by. */
  readonly count: number
  readonly library: Effect.Effect<number, E, R>
  readonly driver: Effect.Effect<number, E, R>
}

/**
 * Neither side pays for what the other left in the nursery. Not a full collection: that one also forgets the hidden
 * classes that no object has at the moment, and the code that was compiled for them.
 */
const collectGarbage = Effect.sync(() => globalThis.gc?.({ type: "minor" }))

export const measure = Effect.fnUntraced(function*<E, R>(side: Effect.Effect<number, E, R>, count: number) {
  yield* collectGarbage
  takeQuantiles()
  const allocated = countAllocated()
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  yield* side
  const seconds = (performance.now() - started) / 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  const heap = allocated() / count
  return { cpu: (user + system) / count, rate: count / seconds, ...takeQuantiles(), heap } satisfies Block as Block
})

/** Each side as often as it takes until its code is compiled; and both have to find the same. */
export const warmUp = Effect.fnUntraced(function*<E, R>({ driver, library }: Sides<E, R>, times: number) {
  for (let index = 0; index < times; index++) {
    yield* mustAgree(yield* library, yield* driver)
  }
})

export const mustAgree = (library: number, other: number): Effect.Effect<void> =>
  Math.abs(library - other) > 1e-6 * Math.abs(other)
    ? Effect.die(new Error(`the library found ${library} and the other ${other}`))
    : Effect.void

/** Two blocks, one right after the other. Who begins alternates from pair to pair. */
export const inTurns = Effect.fnUntraced(function*<E, R>(
  library: Effect.Effect<Block, E, R>,
  other: Effect.Effect<Block, E, R>,
  index: number
) {
  if (index % 2 === 0) {
    const first = yield* library
    return { library: first, driver: yield* other } satisfies Pair as Pair
  }
  const first = yield* other
  return { library: yield* library, driver: first } satisfies Pair as Pair
})

export const measurePair = <E, R>({ count, driver, library }: Sides<E, R>, index: number) =>
  inTurns(measure(library, count), measure(driver, count), index)

export const summarize = (pairs: ReadonlyArray<Pair>): Summary => ({
  cpu: compare(pairs, "cpu"),
  rate: compare(pairs, "rate"),
  p50: compare(pairs, "p50"),
  p99: compare(pairs, "p99"),
  heap: compare(pairs, "heap")
})

const compare = (pairs: ReadonlyArray<Pair>, what: keyof Block): Comparison => ({
  library: medianOf(pairs.map(({ library }) => library[what])),
  driver: medianOf(pairs.map(({ driver }) => driver[what])),
  ratio: intervalOf(pairs.map(({ driver, library }) => library[what] / driver[what]))
})
