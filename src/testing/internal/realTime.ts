/**
 * What a real process takes is real time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Runs with the system's clock, also inside of a test that replaces it: under a test's clock no limit is ever reached. */
export const inRealTime: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Clock.Clock,
  Clock.Clock.defaultValue()
)
