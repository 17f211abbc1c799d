/**
 * Which statements are tried again after a failure, and when.
 *
 * Import it as `CqlRetry`. Every session retries by `CqlRetry.standard`, unless the option `retry` of the session, of a
 * region of the program or of a statement says otherwise.
 *
 * What decides is whether the statement may have been executed, and whether it is idempotent: a statement that may have
 * been executed is run a second time only where twice is the same as once. It is where its option `idempotent` says so,
 * or where its text and the types of its parameters prove it.
 *
 * | reason | not idempotent | idempotent | why |
 * | --- | --- | --- | --- |
 * | `ConnectionError`, not written | at once, on another node | the same | the node has not seen it |
 * | `ConnectionError`, written | never | at once, on another node | the node may have executed it |
 * | `ClientTimeout` of `prepare` | at once, on another node | the same | it was not executed |
 * | `ClientTimeout` of `attempt` | never | at once, on another node | the node may have executed it |
 * | `Bootstrapping` | later | later | the node serves nothing yet |
 * | `Unprepared` | later | later | it was not executed |
 * | `Unavailable` | never | later | other partitions of a batch or an `IN` may have been written to before |
 * | `Overloaded` | never | later | some replicas may have been written to before the coordinator gave up |
 * | `ServerError` | never | later | nothing is known of what the node has done |
 * | `ReadTimeout` | never | later | a read is idempotent, so it is tried again |
 * | `WriteTimeout` | never | later, but never a counter | the write may have happened, and may still |
 * | `CasWriteUnknown` | never | never | only a read at a serial consistency tells what has happened |
 * | `NoHostAvailable` | later | later | nothing was sent, and a connection that was cut is soon back |
 * | `AdmissionRefused`, `CircuitOpen`, `ClientTimeout` of `queue` | never | never | more attempts would be more load |
 * | all others | never | never | the same statement would fail the same way |
 *
 * "Later" is after the delay of the schedule. Each further attempt goes to a node that was not tried, while there is one,
 * with the timestamp of the first; all of them have the one deadline of the statement's `timeout`, and none is begun that
 * would have to wait beyond it.
 *
 * @module CqlRetry
 * @since 0.1.0
 */
import type * as Schedule from "effect/Schedule"
import type { CqlError } from "./CqlError.ts"
import type { Decision, Failure, Policy } from "./internal/retryPolicy.ts"
import * as Internal from "./internal/retryPolicy.ts"

export type { Decision, Failure, Policy }

/**
 * The decision of the table above.
 *
 * @category decisions
 * @since 0.1.0
 */
export const decide: (failure: Failure) => Decision = Internal.decide

/**
 * Three further attempts, after 50, 100 and 200 milliseconds, each a fifth more or less.
 *
 * @category schedules
 * @since 0.1.0
 */
export const schedule: Schedule.Schedule<unknown, CqlError> = Internal.schedule

/**
 * What a session does that says nothing else: `decide`, by `schedule`.
 *
 * @category policies
 * @since 0.1.0
 */
export const standard: Policy = Internal.standard

/**
 * No further attempts, but on nodes that a request could not be sent to at all.
 *
 * @category policies
 * @since 0.1.0
 */
export const none: Policy = Internal.none

/**
 * A policy of one's own; what is left out is as in `standard`.
 *
 * **Gotchas**
 *
 * A decision to retry what is not idempotent executes it twice. With `timestamps: "server"` each attempt of a write has a
 * time of its own, and a repeated one can overtake a later write: there no write counts as idempotent by its text, and one
 * that is said to be is repeated.
 *
 * A policy is not asked about what was refused or ran out of time before anything was sent: `AdmissionRefused`,
 * `CircuitOpen`, and `ClientTimeout` of `queue`.
 *
 * **Example** (Fewer attempts, further apart, and none when the server is overloaded)
 *
 * ```ts
 * import { CqlRetry, Session } from "effect-cassandra"
 * import * as Schedule from "effect/Schedule"
 *
 * const SessionLive = Session.layer({
 *   contactPoints: ["127.0.0.1"],
 *   retry: CqlRetry.make({
 *     decide: (failure) => failure.reason._tag === "Overloaded" ? "rethrow" : CqlRetry.decide(failure),
 *     schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 }))
 *   })
 * })
 * ```
 *
 * @category policies
 * @since 0.1.0
 */
export const make = (policy: {
  readonly decide?: ((failure: Failure) => Decision) | undefined
  readonly schedule?: Schedule.Schedule<unknown, CqlError> | undefined
}): Policy => ({ decide: policy.decide ?? decide, schedule: policy.schedule ?? schedule })
