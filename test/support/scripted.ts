/**
 * Sessions on scripted servers, and what their tests have in common.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Cluster } from "../../src/index.ts"
import { CqlError, Session } from "../../src/index.ts"
import * as Reply from "./Reply.ts"
import type * as ScriptedServer from "./ScriptedServer.ts"
import * as TcpListener from "./TcpListener.ts"

export interface Endpoint {
  readonly host: string
  readonly port: number
}

export const optionsFor = (server: Endpoint): Cluster.Options => ({
  contactPoints: [`${server.host}:${server.port}`],
  port: server.port
})

/** Lets the servers prepare any INSERT with an id, which is the partition key of the table "users". */
export const preparesUsers = (servers: ScriptedServer.Scripts): unknown =>
  servers.prepared(/^INSERT/, {
    params: [{ name: "id", type: "text" }],
    partitionKeys: [0],
    keyspace: "shop",
    table: "users"
  })

/** A session with a cluster of its own on that server. */
export const connect = (
  server: Endpoint,
  options: Session.Options = {}
): Effect.Effect<Session["Service"], CqlError, Scope.Scope> => Session.make({ ...optionsFor(server), ...options })

/** A session on those servers that the test can close, and what it is looked at by. */
export const openOn = Effect.fnUntraced(function*<S extends Endpoint>(servers: S, options: Session.Options) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const session = yield* Scope.provide(connect(servers, options), scope)
  return {
    servers,
    session,
    cql: session.cql,
    admission: session.core.shared.admission,
    close: Scope.close(scope, Exit.void)
  }
})

type Reason = CqlError["reason"]

/** The reason why `effect` fails, which is of this kind. */
export const reasonOf =
  <Tag extends Reason["_tag"]>(tag: Tag) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Extract<Reason, { readonly _tag: Tag }>, A, R> =>
    Effect.map(Effect.flip(effect), (error) => {
      assert.instanceOf(error, CqlError)
      assert.strictEqual(error.reason._tag, tag, error.message)
      return error.reason as Extract<Reason, { readonly _tag: Tag }>
    })

/**
 * Runs `effect`, and waits until the session's client has told of a node. Where the only node comes back, the driver makes
 * it anew if the control connection is first to be there: then it is added, and never up.
 */
export const untilNode = (
  event: "hostUp" | "hostDown" | "hostAdd" | "hostRemove",
  { cluster }: Session["Service"],
  effect: Effect.Effect<void>
): Effect.Effect<void, CqlError> =>
  cluster.use((client) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    client.once(event, () => resolve())
    if (event === "hostUp") client.once("hostAdd", () => resolve())
    return Effect.runPromise(effect).then(() => promise)
  })

export interface Held {
  /** The most requests that were ever kept waiting together. */
  readonly most: () => number
  /** Waits until exactly so many are kept waiting. */
  readonly awaitHeld: (count: number) => Effect.Effect<void>
  /** Answers those that have waited longest. */
  readonly answer: (count?: number) => Effect.Effect<void>
}

/** Keeps back the answer to whatever matches, until the test gives it. */
export const hold = (
  server: ScriptedServer.Scripts,
  match: ScriptedServer.Match,
  reply: Reply.Reply | ScriptedServer.Handler = Reply.void,
  kinds?: ReadonlyArray<ScriptedServer.Kind>
): Held => {
  const held: Array<() => void> = []
  const changes = TcpListener.makeSignal()
  let most = 0
  server.on(match, (request) => {
    const answer = typeof reply === "function" ? reply(request) : reply
    if (answer === undefined) return undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    held.push(resolve)
    most = Math.max(most, held.length)
    changes.notify()
    return Reply.delay(promise, answer)
  }, kinds)
  return {
    most: () => most,
    awaitHeld: (count) => Effect.asVoid(changes.until(() => held.length === count ? true : undefined)),
    answer: (count = 1) =>
      Effect.sync(() => {
        for (const resolve of held.splice(0, count)) resolve()
      })
  }
}
