/**
 * What a command has around its work: a session, a summary, and how to go on with what was broken off.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Session } from "../Session.ts"
import * as Connection from "./connection.ts"
import * as Display from "./display.ts"
import type { Reported } from "./report.ts"
import { reported } from "./report.ts"

/** Prepares without a session, then runs on one; what fails is told on standard error. */
export const running = <A, E, R, B, E2, R2>(
  given: Connection.Given,
  prepare: Effect.Effect<A, E, R>,
  run: (prepared: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, Reported, R | Exclude<R2, Session> | Connection.Environment> =>
  reported(Effect.flatMap(prepare, (prepared) => Effect.provide(run(prepared), Connection.layer(given))))

/** Ends with a line of what was done, unless it is to be quiet. */
export const summarized = <A, E, R>(
  isQuiet: boolean,
  work: Effect.Effect<A, E, R>,
  summary: (done: A) => string
): Effect.Effect<A, E, R> =>
  isQuiet ? work : Effect.gen(function*() {
    const started = yield* Clock.currentTimeMillis
    const done = yield* work
    const seconds = ((yield* Clock.currentTimeMillis) - started) / 1000
    yield* Display.lines([`${summary(done)} in ${Display.duration(seconds)}`])
    return done
  })

/** Says with which flag to go on with what is interrupted, or has begun and fails. */
export const resumable = <A, E, R>(
  flag: string,
  work: (begun: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, Reported, R> =>
  Effect.suspend(() => {
    let hasBegun = false
    const begun = Effect.sync(() => {
      hasBegun = true
    })
    // Behind what it fails with.
    return Effect.onError(
      reported(work(begun)),
      (cause) => hasBegun || Cause.hasInterruptsOnly(cause) ? Display.lines([howToGoOn(flag)]) : Effect.void
    )
  })

const howToGoOn = (flag: string): string => `effect-cassandra: not done; the same command with ${flag} goes on`
