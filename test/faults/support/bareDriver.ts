/**
 * cassandra-driver as it is, for tests that show what the library does about it.
 */
import cassandra from "cassandra-driver"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Session } from "../../../src/index.ts"
import type { Endpoint } from "../../support/scripted.ts"

export { cassandra }

export type Client = cassandra.Client

export type Options = Partial<cassandra.ClientOptions>

/** What its promises are rejected with, by the fields that its typings leave out. */
export interface Failure extends Error {
  readonly code?: number
  readonly innerErrors?: Readonly<Record<string, Failure | string | null>>
}

/** The errors of each node, whatever they are. */
export const innerErrors = ({ innerErrors = {} }: Failure): ReadonlyArray<Failure> =>
  Object.values(innerErrors).map((error) => (error ?? {}) as Failure)

/** Not connected yet; shut down with the scope. */
export const make = (server: Endpoint, options: Options = {}): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new cassandra.Client({
        contactPoints: [`${server.host}:${server.port}`],
        localDataCenter: "datacenter1",
        ...options,
        protocolOptions: { port: server.port, maxVersion: 4, ...options.protocolOptions }
      })
    ),
    (client) => Effect.ignore(Effect.tryPromise(() => client.shutdown()))
  )

export const connect = (server: Endpoint, options?: Options): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.tap(make(server, options), (client) => Effect.promise(() => client.connect()))

/** To the server that the environment names. */
export const connectReal = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<Client, never, Scope.Scope> {
  const { contactPoints, localDataCenter, password, port, username } = yield* Effect.orDie(Session.config)
  return yield* connect({ host: contactPoints![0]!, port: port! }, {
    ...(localDataCenter === undefined ? {} : { localDataCenter }),
    ...(password === undefined ? {} : { credentials: { username: username!, password: Redacted.value(password) } }),
    ...options
  })
})

/** What it is rejected with; a defect when it is not. */
export const failure = (run: () => PromiseLike<unknown>): Effect.Effect<Failure> =>
  Effect.orDie(Effect.flip(Effect.tryPromise({ try: run, catch: (error) => error as Failure })))

/** The next error that would have ended this process, while `during` runs and until it comes. */
export const uncaught = (during: Effect.Effect<void>): Effect.Effect<unknown> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const others = process.listeners("uncaughtException")
      const { promise, resolve } = Promise.withResolvers<unknown>()
      process.removeAllListeners("uncaughtException")
      process.on("uncaughtException", resolve)
      return { others, promise }
    }),
    ({ promise }) => Effect.andThen(during, Effect.promise(() => promise)),
    ({ others }) =>
      Effect.sync(() => {
        process.removeAllListeners("uncaughtException")
        for (const other of others) process.on("uncaughtException", other)
      })
  )
