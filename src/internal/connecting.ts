/**
 * From a configuration to a client that is connected: at once, when a schedule has had it tried again, or later on.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { DriverClient } from "./driver/client.ts"
import type { DriverConfig } from "./driver/config.ts"
import * as Driver from "./driver/connect.ts"
import { backoff } from "./retryPolicy.ts"

export interface ConnectOptions {
  readonly connectTimeout?: Duration.Input | undefined
  readonly connectSchedule?: Schedule.Schedule<unknown, CqlError> | undefined
  readonly connectInBackground?: boolean | undefined
}

/** A client, and why it cannot serve yet. */
export interface Connected {
  client: DriverClient
  notConnected: CqlError | undefined
}

/** Connects, or begins to: then there is a client that knows no node until `onConnected` has told of another one. */
export const connect = (
  options: ConnectOptions,
  config: DriverConfig,
  onConnected: (client: DriverClient) => void
): Effect.Effect<Connected, CqlError, Scope.Scope> =>
  options.connectInBackground === true
    ? connectLater(options, config, onConnected)
    : Effect.map(connectNow(options, config), (client) => {
      onConnected(client)
      return { client, notConnected: undefined }
    })

// --- now

const connectNow = (
  options: ConnectOptions,
  config: DriverConfig
): Effect.Effect<DriverClient, CqlError, Scope.Scope> =>
  Effect.suspend(() => {
    let last: CqlError | undefined
    const once = Effect.tapError(Driver.open(config), (error) => Effect.sync(() => last = error))
    const { connectSchedule } = options
    return withTimeout(connectSchedule === undefined ? once : tryAgain(once, connectSchedule), options, () => last)
  })

const tryAgain = <A, R>(
  once: Effect.Effect<A, CqlError, R>,
  schedule: Schedule.Schedule<unknown, CqlError>
): Effect.Effect<A, CqlError, R> => Effect.retry(once, { schedule, while: ({ reason }) => !isMisconfigured(reason) })

/** Waiting does not mend these. */
const isMisconfigured = (reason: Errors.Reason): boolean =>
  reason._tag === "InvalidConfig" || reason._tag === "UnsupportedDriver"

const withTimeout = <A, R>(
  self: Effect.Effect<A, CqlError, R>,
  { connectTimeout = "20 seconds" }: ConnectOptions,
  last: () => CqlError | undefined
): Effect.Effect<A, CqlError, R> =>
  Effect.timeoutOrElse(self, {
    duration: connectTimeout,
    orElse: () => Effect.suspend(() => Effect.fail(timedOut(connectTimeout, last())))
  })

/** With what the last try failed on: that is what has to be mended. */
const timedOut = (limit: Duration.Input, last: CqlError | undefined): CqlError => {
  const timedOut = Errors.clientTimeout("connect", Duration.toMillis(limit))
  const reason = last === undefined
    ? timedOut
    : new Errors.ClientTimeout({ ...timedOut, message: `${timedOut.message}; the last try: ${last.message}` })
  return Errors.make({ reason, cause: last?.driverError })
}

// --- later

/** 1, 2, 4, ... seconds up to a minute, each with up to a fifth more or less, for ever. */
const untilConnected: Schedule.Schedule<unknown, CqlError> = backoff("1 second", Duration.minutes(1))

const connectLater = Effect.fnUntraced(function*(
  options: ConnectOptions,
  config: DriverConfig,
  onConnected: (client: DriverClient) => void
): Effect.fn.Return<Connected, CqlError, Scope.Scope> {
  const scope = yield* Effect.scope
  // Before the fiber's own: a client is closed when nobody connects any more.
  const clients = yield* Scope.fork(scope)
  const connected: Connected = {
    client: yield* Scope.provide(Driver.unconnected(config), clients),
    notConnected: notYet
  }
  const once = Effect.suspend(() => withTimeout(Driver.open(config), options, () => undefined)).pipe(
    Effect.tapError((error) => failedOnce(connected, error))
  )
  yield* tryAgain(once, options.connectSchedule ?? untilConnected).pipe(
    Effect.flatMap((client) => succeeded(connected, client, onConnected)),
    Effect.catch((error) => Effect.logError("the cluster was not reached, and is not tried again", error)),
    Scope.provide(clients),
    Effect.forkIn(scope)
  )
  return connected
})

const notYet = Errors.make({
  reason: new Errors.NoHostAvailable({ nodes: [], message: "the first try has not ended" })
})

const failedOnce = (connected: Connected, error: CqlError): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isFirst = connected.notConnected === notYet
    connected.notConnected = error
    return isFirst && !isMisconfigured(error.reason)
      ? Effect.logWarning("the cluster is not reached yet, and tried again", error)
      : Effect.void
  })

const succeeded = (
  connected: Connected,
  client: DriverClient,
  onConnected: (client: DriverClient) => void
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const failedBefore = connected.notConnected !== notYet
    onConnected(client)
    connected.client = client
    connected.notConnected = undefined
    return failedBefore ? Effect.logInfo("the cluster is reached") : Effect.void
  })

/** What statements fail with until then: an option that is wrong as itself, anything else as a node that is not there. */
export const whyNotConnected = ({ reason }: CqlError): Errors.Reason =>
  isMisconfigured(reason)
    ? reason
    : new Errors.NoHostAvailable({
      nodes: reason._tag === "NoHostAvailable" ? reason.nodes : [],
      message: `the cluster is not connected yet: ${reason.message}`
    })
