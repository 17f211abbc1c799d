/**
 * Measures the two sides of a case in turns, so that what the machine does meanwhile falls on both.
 */
import * as Effect from "effect/Effect"
import type { Ratio } from "./ratio.ts"
import { medianOf, ratioOf } from "./ratio.ts"

/** One run of one side. */
export interface Block {
  /** User and system time of this process, in microseconds, for each query or row. */
  readonly cpu: number
  /** Queries or rows a second of wall time. */
  readonly rate: number
}

export interface Pair {
  readonly library: Block
  readonly driver: Block
}

export interface Summary {
  readonly cpu: { readonly library: number; readonly driver: number; readonly ratio: Ratio }
  readonly rate: { readonly library: number; readonly driver: number; readonly ratio: Ratio }
}

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

const measure = Effect.fnUntraced(function*<E, R>(side: Effect.Effect<number, E, R>, count: number) {
  yield* collectGarbage
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  yield* side
  const seconds = (performance.now() - started) / 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  return { cpu: (user + system) / count, rate: count / seconds } satisfies Block as Block
})

/** Each side as often as it takes until its code is compiled; and both have to find the same. */
export const warmUp = Effect.fnUntraced(function*<E, R>({ driver, library }: Sides<E, R>, times: number) {
  for (let index = 0; index < times; index++) {
    const found = [yield* library, yield* driver] as const
    if (Math.abs(found[0] - found[1]) > 1e-6 * Math.abs(found[1])) {
      return yield* Effect.die(new Error(`the library found ${found[0]} and the driver ${found[1]}`))
    }
  }
})

/** Who begins alternates from pair to pair. */
export const measurePair = Effect.fnUntraced(function*<E, R>(sides: Sides<E, R>, index: number) {
  if (index % 2 === 0) {
    const library = yield* measure(sides.library, sides.count)
    return { library, driver: yield* measure(sides.driver, sides.count) } satisfies Pair as Pair
  }
  const driver = yield* measure(sides.driver, sides.count)
  return { library: yield* measure(sides.library, sides.count), driver } satisfies Pair as Pair
})

export const summarize = (pairs: ReadonlyArray<Pair>): Summary => ({
  cpu: compare(pairs, "cpu"),
  rate: compare(pairs, "rate")
})

const compare = (pairs: ReadonlyArray<Pair>, what: keyof Block) => ({
  library: medianOf(pairs.map(({ library }) => library[what])),
  driver: medianOf(pairs.map(({ driver }) => driver[what])),
  ratio: ratioOf(pairs.map(({ driver, library }) => library[what] / driver[what]))
})
