/**
 * Which failures may be tried again, and when: by what is known of the statement, and of what the failure left undone.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { CqlError, Reason } from "../CqlError.ts"

/**
 * What becomes of a statement that failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Decision =
  /** The statement fails with the error. */
  | "rethrow"
  /** Another node is asked at once. */
  | "retryNow"
  /** It is tried again after the delay of the schedule. */
  | "retryLater"

/**
 * A failure that is to be decided on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly reason: Reason
  /** Whether running the statement twice is the same as running it once: it says so, or its text proves it. */
  readonly idempotent: boolean
}

/**
 * A decision, and a schedule for those that are tried again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** What becomes of a statement whose attempt has failed. */
  readonly decide: (failure: Failure) => Decision
  /** How long to wait before each further attempt, and how many there are; `"retryNow"` takes of it but the number. */
  readonly schedule: Schedule.Schedule<unknown, CqlError>
}

export const decide = ({ idempotent, reason }: Failure): Decision => {
  switch (reason._tag) {
    case "ConnectionError":
      return idempotent || !reason.written ? "retryNow" : "rethrow"
    case "ClientTimeout":
      if (reason.phase === "prepare") return "retryNow"
      return idempotent && reason.phase === "attempt" ? "retryNow" : "rethrow"
    case "NoHostAvailable":
    case "Bootstrapping":
    case "Unprepared":
      return "retryLater"
    case "Unavailable":
    case "ReadTimeout":
    case "Overloaded":
    case "ServerError":
      return idempotent ? "retryLater" : "rethrow"
    case "WriteTimeout":
      return idempotent && reason.writeType !== "COUNTER" ? "retryLater" : "rethrow"
    default:
      return "rethrow"
  }
}

/** Doubling from the one to the other, each with up to a fifth more or less. */
export const backoff = (base: Duration.Input, longest: Duration.Duration): Schedule.Schedule<unknown, CqlError> =>
  Schedule.exponential(base).pipe(
    Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, longest))),
    Schedule.jittered
  )

/** 50, 100, 200 milliseconds, each with up to a fifth more or less. */
export const schedule: Schedule.Schedule<unknown, CqlError> = backoff("50 millis", Duration.seconds(1)).pipe(
  Schedule.upTo({ times: 3 })
)

export const standard: Policy = { decide, schedule }

export const none: Policy = { decide: () => "rethrow", schedule: Schedule.recurs(0) }
