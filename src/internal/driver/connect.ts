/**
 * A connected client as a scoped resource: made first, connected afterwards, closed whatever became of the connecting.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { CqlError } from "../../CqlError.ts"
import * as Errors from "../../CqlError.ts"
import type { Context } from "./classify.ts"
import { classify, isAway, notOpened } from "./classify.ts"
import { DriverClient, UnknownDriver, UnsupportedProtocol } from "./client.ts"
import type { DriverConfig } from "./config.ts"
import { CredentialsProvider, withoutSecrets } from "./config.ts"
import type { Host } from "./inside.ts"
import { NoSuchDataCenter } from "./policy.ts"

const failure = (error: unknown, config: DriverConfig, client?: DriverClient): CqlError =>
  Errors.make({ reason: reasonOf(error, config, client), cause: error })

const reasonOf = (error: unknown, config: DriverConfig, client: DriverClient | undefined): Errors.Reason => {
  if (error instanceof NoSuchDataCenter) return noSuchDataCenter(error)
  if (error instanceof UnknownDriver || error instanceof UnsupportedProtocol) {
    return new Errors.UnsupportedDriver({ message: error.message })
  }
  const reason = classify(error, contextOf(config, client))
  return reason._tag === "NoHostAvailable" && reason.nodes.length === 0 ? unresolved(config) : reason
}

const contextOf = (config: DriverConfig, client: DriverClient | undefined): Context => ({
  timeoutMillis: config.openMillis,
  opening: config.tls === undefined && config.secureConnectBundle === undefined ? "plain" : "tls",
  secrets: providerOf(client)?.secrets
})

/** None where there are no credentials, or the driver's options have brought one of their own. */
const providerOf = (client: DriverClient | undefined): CredentialsProvider | undefined => {
  const options = client?.raw.options as { readonly authProvider?: unknown } | undefined
  const provider = options?.authProvider
  return provider instanceof CredentialsProvider ? provider : undefined
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
  Effect.try({ try: () => hiding(new DriverClient(config)), catch: (error) => refused(error, config) })

/** Who prints a session or a client must not print its options, where a provider of the driver's may have a password. */
const hiding = (client: DriverClient): DriverClient => {
  const options = client.raw.options as { sslOptions?: unknown }
  Object.defineProperty(client.raw, "options", { enumerable: false })
  let { sslOptions } = options
  Object.defineProperty(options, "sslOptions", {
    get: () => sslOptions,
    // What a bundle brings with it, the driver puts here, and from here into every socket.
    set: (given: Record<string, unknown>) => {
      sslOptions = withoutSecrets(given)
    }
  })
  return client
}

/** The options of ours are checked by now, so what the driver refuses was given to it through the open door. */
const refused = (error: unknown, config: DriverConfig): CqlError => {
  if (error instanceof UnknownDriver) return failure(error, config)
  const message = error instanceof Error ? error.message : String(error)
  const expected = `what the driver takes: ${message}`
  return Errors.make({ reason: new Errors.InvalidConfig({ field: "driverOptions", expected, message }), cause: error })
}

const connect = (client: DriverClient, config: DriverConfig): Effect.Effect<void, CqlError> =>
  Effect.tryPromise({ try: () => client.connect(), catch: (error) => failure(error, config, client) })

/** A client that knows no node and opens nothing, in place of one that is not connected yet. */
export const unconnected = (config: DriverConfig): Effect.Effect<DriverClient, CqlError, Scope.Scope> =>
  Effect.acquireRelease(make(config), (client) => Effect.promise(() => client.close()))

/** Those that it asks for credentials would hold it up. */
const close = (client: DriverClient): Promise<unknown> => Promise.all([providerOf(client)?.close(), client.close()])

/** Nobody waits for a connection that a pool opens: what it failed on is told by whoever misses it. */
const watchPools = (client: DriverClient, config: DriverConfig): void => {
  client.raw.hosts.on("add", (host: Host) => {
    host.pool.on("open", (error: unknown) => {
      if (error === undefined || isAway(error)) notOpened.delete(host)
      else notOpened.set(host, classify(error, { ...contextOf(config, client), node: host.address }))
    })
  })
}

/**
 * Opens a client in the current scope. When connecting fails or is interrupted, it is closed before this ends, so that
 * a retry with a Schedule leaves nothing behind from one attempt to the next.
 */
export const open = (config: DriverConfig): Effect.Effect<DriverClient, CqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const client = yield* make(config)
      watchPools(client, config)
      yield* Scope.addFinalizer(scope, Effect.promise(() => close(client)))
      yield* restore(connect(client, config)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      return client
    })
  )
