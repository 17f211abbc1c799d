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

const failure = (error: unknown, config: DriverConfig): CqlError =>
  Errors.make({ reason: reasonOf(error, config), cause: error })

const reasonOf = (error: unknown, config: DriverConfig): Errors.Reason => {
  if (error instanceof NoSuchDataCenter) return noSuchDataCenter(error)
  if (error instanceof UnknownDriver || error instanceof UnsupportedProtocol) {
    return new Errors.UnsupportedDriver({ message: error.message })
  }
  const password = config.credentials?.().password
  const reason = classify(error, {
    timeoutMillis: config.openMillis,
    secrets: password === undefined ? [] : [password]
  })
  return reason._tag === "NoHostAvailable" && reason.nodes.length === 0 ? unresolved(config) : reason
}

/** No name was an address: the driver does not say which. */
const unresolved = ({ contactPoints }: DriverConfig): Errors.Reason =>
  new Errors.NoHostAvailable({
    nodes: contactPoints.map((node) => ({ node, error: "has no address" })),
    message: `no address is known for ${contactPoints.join(", ")}`
  })

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
  Effect.try({ try: () => new DriverClient(config), catch: (error) => refused(error, config) })

/** The options of ours are checked by now, so what the driver refuses was given to it through the open door. */
const refused = (error: unknown, config: DriverConfig): CqlError => {
  if (error instanceof UnknownDriver) return failure(error, config)
  const message = error instanceof Error ? error.message : String(error)
  const expected = `what the driver takes: ${message}`
  return Errors.make({ reason: new Errors.InvalidConfig({ field: "driverOptions", expected, message }), cause: error })
}

const connect = (client: DriverClient, config: DriverConfig): Effect.Effect<void, CqlError> =>
  Effect.tryPromise({ try: () => client.connect(), catch: (error) => failure(error, config) })

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
      yield* restore(connect(client, config)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      return client
    })
  )
