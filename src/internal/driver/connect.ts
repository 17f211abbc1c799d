/**
 * A connected client as a scoped resource: made first, connected afterwards, closed whatever became of the connecting.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { CqlError } from "../../CqlError.ts"
import * as Errors from "../../CqlError.ts"
import { classify } from "./classify.ts"
import { DriverClient, UnknownDriver, UnsupportedProtocol } from "./client.ts"
import type { DriverConfig } from "./config.ts"
import { NoSuchDataCenter } from "./policy.ts"

const failure = (error: unknown): CqlError => Errors.make({ reason: reasonOf(error), cause: error })

const reasonOf = (error: unknown): Errors.Reason => {
  if (error instanceof NoSuchDataCenter) return noSuchDataCenter(error)
  if (error instanceof UnknownDriver || error instanceof UnsupportedProtocol) {
    return new Errors.UnsupportedDriver({ message: error.message })
  }
  return classify(error)
}

const noSuchDataCenter = (error: NoSuchDataCenter): Errors.Reason => {
  const choices = error.found.map((name) => `"${name}"`).join(", ")
  return new Errors.InvalidConfig({
    field: "localDataCenter",
    expected: `one of ${choices}`,
    message: error.wanted === undefined
      ? `localDataCenter must be chosen, for the cluster has several: ${choices}`
      : `localDataCenter is "${error.wanted}", and the cluster has ${choices}`
  })
}

const make = (config: DriverConfig): Effect.Effect<DriverClient, CqlError> =>
  Effect.try({ try: () => new DriverClient(config), catch: failure })

const connect = (client: DriverClient): Effect.Effect<void, CqlError> =>
  Effect.tryPromise({ try: () => client.connect(), catch: failure })

/**
 * Opens a client in the current scope. When connecting fails or is interrupted, it is closed before this ends, so that
 * a retry with a Schedule leaves nothing behind from one attempt to the next.
 */
export const open = (config: DriverConfig): Effect.Effect<DriverClient, CqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const client = yield* make(config)
      yield* Scope.addFinalizer(scope, Effect.promise(() => client.close()))
      yield* restore(connect(client)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      return client
    })
  )
