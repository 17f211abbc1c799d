/**
 * A circuit breaker around the statements of one cluster: Effect's own, and what counts as a failure of the cluster.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Reason } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"

export interface Options {
  readonly failureRate?: number | undefined
  readonly size?: number | undefined
  readonly openDuration?: Duration.Input | Schedule.Schedule<unknown, number> | undefined
}

/** Runs what the statement of this text does, or refuses it. */
export interface Breaker {
  <A, E>(statement: string, self: Effect.Effect<A, E>): Effect.Effect<A, E | Errors.CqlError>
  /** Also where its time is over, and nobody has tried yet. */
  readonly isOpen: () => boolean
}

/** There is one circuit: what is kept from a cluster that fails is kept from all of it. */
const key = "cluster"

export const make = Effect.fnUntraced(function*(
  { failureRate = 0.5, openDuration = "5 seconds", size = 100 }: Options
): Effect.fn.Return<Breaker, never, Scope.Scope> {
  const store = yield* Layer.build(CircuitBreaker.layerStoreMemory())
  const breaker = yield* Effect.provideContext(
    CircuitBreaker.make({ tripPolicy: CircuitBreaker.rate({ threshold: failureRate, size }), openDuration }),
    store
  )
  const guard = <A, E>(statement: string, self: Effect.Effect<A, E>): Effect.Effect<A, E | Errors.CqlError> =>
    Effect.mapError(
      breaker.execute(self, { key, classify }),
      (error) => error instanceof CircuitBreaker.CircuitBreakerError ? refusal(error, statement) : error
    )
  const state = Effect.runSyncExitWith(yield* Effect.context<never>())
  return Object.assign(guard, {
    isOpen: () => Exit.getSuccess(state(breaker.state(key))).pipe(Option.exists(({ _tag }) => _tag !== "Closed"))
  })
})

const refusal = ({ reason }: CircuitBreaker.CircuitBreakerError, statement: string): Errors.CqlError =>
  Errors.circuitOpen("retryAfter" in reason ? Duration.toMillis(reason.retryAfter) : 0, statement)

const classify = (exit: Exit.Exit<unknown, unknown>): CircuitBreaker.Outcome => {
  if (Exit.isSuccess(exit)) return CircuitBreaker.success
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" && Errors.CqlError.is(error.value)
    ? outcomeOf(error.value.reason)
    // The cluster has answered: what is wrong is what was made of it.
    : CircuitBreaker.success
}

const outcomeOf = (reason: Reason): CircuitBreaker.Outcome => {
  switch (reason._tag) {
    case "ConnectionError":
    case "NoHostAvailable":
    case "Unavailable":
    case "ReadTimeout":
    case "WriteTimeout":
    case "CasWriteUnknown":
    case "ReadFailure":
    case "WriteFailure":
    case "Overloaded":
    case "Bootstrapping":
    case "ServerError":
      return CircuitBreaker.failure()
    case "ClientTimeout":
      // A stream's time is also that of who reads it, and waiting for a place says nothing of the cluster.
      return reason.phase === "stream" || reason.phase === "queue" ? CircuitBreaker.ignored : CircuitBreaker.failure()
    case "AdmissionRefused":
    case "SessionClosed":
      return CircuitBreaker.ignored
    default:
      return CircuitBreaker.success
  }
}
