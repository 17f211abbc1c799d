/**
 * The attempts behind the first: begun when an operation has failed, and not thought of before.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { CqlError, type Reason } from "../CqlError.ts"
import type { Core } from "./core.ts"
import type { FailedAttempt } from "./operation.ts"
import type { Policy } from "./retryPolicy.ts"

/** What one attempt leaves to the next. */
export interface Previous {
  readonly failed: ReadonlyArray<FailedAttempt>
  /** Repeated, for a replay must not overtake a write that came after it. */
  readonly timestamp: number | undefined
  /** None when the first attempts have not failed yet, and others are made beside them. */
  readonly step: Step | undefined
}

export type Step = (now: number, error: CqlError) => Pull.Pull<readonly [unknown, Duration.Duration], never, unknown>

/** What failed, as far as another attempt has to know. */
export interface Retryable<A, E> {
  readonly core: Core
  readonly policy: Policy
  /** By `performance.now()`. */
  readonly deadline: number
  readonly isIdempotent: () => boolean
  /** Whether there is a node that can be asked and was not. */
  readonly hasUntried: () => boolean
  readonly step: Step | undefined
  readonly again: (step: Step) => Effect.Effect<A, CqlError | Schema.SchemaError | E>
}

/** The effect that a failed operation ends with: its error, or another attempt. A decision that throws is a defect of it. */
export const recover = <A, E>(
  error: CqlError,
  failed: Retryable<A, E>
): Effect.Effect<A, CqlError | Schema.SchemaError | E> =>
  Effect.suspend(() => {
    const { core, policy } = failed
    // Then it is no node that has failed, and none comes back in the time of a few attempts.
    if (core.shared.client.isClosing || core.shared.notConnected !== undefined) return Exit.fail(error)
    const decision = policy.decide({ reason: error.reason, idempotent: failed.isIdempotent() })
    // Not the other way round: what is no decision must not run a statement twice.
    if (decision !== "retryNow" && decision !== "retryLater") return Exit.fail(error)
    const atOnce = decision === "retryNow" && failed.hasUntried()
    // A session that closes waits for it as for any other statement under way.
    return Effect.acquireUseRelease(
      Effect.sync(() => core.enter()),
      () => tryAgain(error, failed, atOnce),
      () => Effect.sync(() => core.exit())
    )
  })

const tryAgain = Effect.fnUntraced(function*<A, E>(
  error: CqlError,
  { again, core, deadline, policy, step = undefined }: Retryable<A, E>,
  atOnce: boolean
): Effect.fn.Return<A, CqlError | Schema.SchemaError | E> {
  const next = step ?? (yield* Schedule.toStep(policy.schedule))
  const delay = yield* delayOf(next, error)
  if (delay === undefined) return yield* Effect.fail(error)
  const pause = atOnce ? Duration.zero : delay
  if (performance.now() + Duration.toMillis(pause) >= deadline) return yield* Effect.fail(error)
  if (Duration.isPositive(pause)) yield* Effect.sleep(pause)
  // The pause is by the Clock, and the deadline in real time: the one may have passed during the other.
  const isTooLate = core.shared.client.isClosing || performance.now() >= deadline
  if (isTooLate) return yield* Effect.fail(error)
  // A further attempt that was not made must not say of the statement that nothing was sent.
  return yield* Effect.mapError(again(next), (later) => CqlError.is(later) && wasNotMade(later.reason) ? error : later)
})

const wasNotMade = (reason: Reason): boolean =>
  reason._tag === "AdmissionRefused" ||
  (reason._tag === "ClientTimeout" && (reason.phase === "queue" || reason.phase === "prepare"))

/** `undefined` when the schedule is done. */
const delayOf = (step: Step, error: CqlError): Effect.Effect<Duration.Duration | undefined> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.map(step(now, error), ([, delay]) => delay).pipe(
      Pull.catchDone(() => Effect.succeed(undefined))
    ))
