/**
 * Whether a cluster can be used: asked for, followed, or waited for.
 *
 * @module Health
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CqlError } from "./CqlError.ts"
import * as Errors from "./CqlError.ts"
import * as Check from "./internal/check.ts"
import * as Consistencies from "./internal/consistency.ts"
import type { Core } from "./internal/core.ts"
import type { ClusterState, NodeHealth, NodeState, Status } from "./internal/healthStatus.ts"
import { Monitor } from "./internal/monitor.ts"
import { Session } from "./Session.ts"

/**
 * What is known of a session's cluster, by a question to every node now and then, and by what the driver finds out in
 * between.
 *
 * **Details**
 *
 * Each node is asked by itself, on a connection of the session's, past all queues of statements: a session that has much
 * to do is not taken for a cluster that is down. The nodes of other data centers are watched where `failover` names them.
 *
 * **Example** (An application that begins when the cluster can be used)
 *
 * ```ts
 * import { Health, Session } from "effect-cassandra"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const SessionLive = Session.layerConfig()
 * const HealthLive = Health.layer().pipe(Layer.provideMerge(SessionLive))
 *
 * const program = Effect.gen(function*() {
 *   yield* Health.await({ timeout: "1 minute" })
 *   yield* Effect.log("ready")
 * })
 *
 * const main = Effect.provide(program, HealthLive)
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Health extends Context.Service<Health, {
  /** What is known now; asks nobody. */
  readonly status: Effect.Effect<Health.Status>
  /** What is known now, then each change of the state, of a node's state, or of what can be served. */
  readonly changes: Stream.Stream<Health.Status>
  /** Asks every node now; who asks while a round is under way shares its result. */
  readonly check: Effect.Effect<Health.Status>
  /**
   * Opens all connections of all nodes that may be asked, and tells how many there are: for a session that was made with
   * `openAllConnections: false`, or before a load that is known to come. A node that cannot be reached has fewer.
   */
  readonly warmUp: Effect.Effect<ReadonlyArray<Health.WarmedUp>>
}>()("effect-cassandra/Health") {
  /**
   * Watches the session's cluster, for as long as the scope is open.
   *
   * **Details**
   *
   * Fails with `InvalidConfig` where an option makes no sense.
   *
   * @category constructors
   * @since 0.1.0
   */
  static readonly make = (
    options: Health.Options = {}
  ): Effect.Effect<Health["Service"], CqlError, Session | Scope.Scope> => makeHealth(options)

  /**
   * A layer that watches the session's cluster.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layer = (options: Health.Options = {}): Layer.Layer<Health, CqlError, Session> =>
    Layer.effect(Health, makeHealth(options))

  /**
   * Waits until the cluster is `up` or `degraded`: statements are served.
   *
   * **Details**
   *
   * Fails with `NoHostAvailable`, which tells of each node why not, when the `timeout` has passed; without one it waits
   * for ever. Fails with `SessionClosed` when the health is not watched any more.
   *
   * @category waiting
   * @since 0.1.0
   */
  static readonly await = (
    options: { readonly timeout?: Duration.Input | undefined } = {}
  ): Effect.Effect<Health.Status, CqlError, Health> => awaitReady(options)
}

/**
 * The state of a cluster and of its nodes.
 *
 * @since 0.1.0
 */
export declare namespace Health {
  /**
   * How to watch.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Options {
    /** From the end of a round of checks to the next, with up to a fifth more or less. By default 10 seconds. */
    readonly interval?: Duration.Input | undefined
    /** How long a node may take to answer. By default 2 seconds. */
    readonly timeout?: Duration.Input | undefined
    /**
     * So many checks in a row without an answer make a node `unresponsive`, which the driver still holds for up. By
     * default 2: one alone may be a pause of its garbage collector, and it is asked again after a second. One that has
     * not answered before, or not since it was down, has nothing to be excused by.
     */
    readonly failures?: number | undefined
  }

  /** @since 0.1.0 */
  export type { ClusterState, NodeHealth, NodeState, Status }

  /**
   * The connections to one node.
   *
   * @category models
   * @since 0.1.0
   */
  export interface WarmedUp {
    /** `address:port` */
    readonly address: string
    readonly openConnections: number
  }
}

// internal

const makeHealth = Effect.fnUntraced(function*(
  { failures = 2, interval = "10 seconds", timeout = "2 seconds" }: Health.Options
): Effect.fn.Return<Health["Service"], CqlError, Session | Scope.Scope> {
  yield* Check.all([
    Check.duration("interval", interval),
    Check.duration("timeout", timeout),
    Check.whole("failures", failures, 1)
  ])
  const { core } = yield* Session
  if (core.shared.script !== undefined) return alwaysUp(core, new Date(yield* Clock.currentTimeMillis))
  const monitor = yield* Monitor.make(core, {
    interval: Duration.fromInputUnsafe(interval),
    timeoutMillis: Duration.toMillis(timeout),
    failures
  })
  return Health.of({
    status: Effect.sync(() => monitor.status),
    changes: monitor.changes.stream(() => [monitor.status]),
    check: monitor.check,
    warmUp: Effect.promise(() => core.shared.client.openAll()).pipe(
      Effect.map((hosts) => hosts.map(({ address, pool }) => ({ address, openConnections: pool.connections.length })))
    )
  })
})

/** Of a session without a server: what waits for it goes on. */
const alwaysUp = ({ settings }: Core, since: Date): Health["Service"] => {
  const status: Health.Status = {
    state: "up",
    since,
    checkedAt: since,
    localDataCenter: "test",
    consistency: Consistencies.fromCode(settings.consistency)!,
    servable: true,
    error: undefined,
    nodes: []
  }
  return Health.of({
    status: Effect.succeed(status),
    changes: Stream.concat(Stream.make(status), Stream.never),
    check: Effect.succeed(status),
    warmUp: Effect.succeed([])
  })
}

const isReady = ({ state }: Health.Status): boolean => state === "up" || state === "degraded"

const awaitReady = ({ timeout }: {
  readonly timeout?: Duration.Input | undefined
}): Effect.Effect<Health.Status, CqlError, Health> =>
  Effect.gen(function*() {
    const { changes, status } = yield* Health
    const ready = changes.pipe(
      Stream.filter(isReady),
      Stream.runHead,
      Effect.flatMap(Option.match({ onNone: () => Effect.fail(Errors.sessionClosed()), onSome: Effect.succeed }))
    )
    if (timeout === undefined) return yield* ready
    yield* Check.all([Check.duration("timeout", timeout)])
    return yield* Effect.timeoutOrElse(ready, {
      duration: timeout,
      orElse: () => Effect.flatMap(status, (status) => Effect.fail(notReady(status, timeout)))
    })
  })

const notReady = ({ error, nodes, state }: Health.Status, timeout: Duration.Input): CqlError => {
  const why = error === undefined ? state : `${state}: ${error}`
  return Errors.make({
    reason: new Errors.NoHostAvailable({
      nodes: nodes.flatMap(({ address, lastError, state }) =>
        state === "up" || state === "notWatched" ? [] : [{ node: address, error: lastError ?? state }]
      ),
      message: `the cluster is not ready after ${Duration.format(Duration.fromInputUnsafe(timeout))}: ${why}`
    })
  })
}
