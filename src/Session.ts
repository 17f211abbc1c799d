/**
 * The one way in: a session runs statements on a cluster, in one keyspace, for as long as its scope is open.
 *
 * `Session.layer` with contact points is all that most applications need. A statement of the package's `cql` runs on
 * the session of the context; one of a session's own `cql` runs on that session.
 *
 * @module Session
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Cluster, makeScripted, withoutUndefined } from "./Cluster.ts"
import type { CqlError } from "./CqlError.ts"
import * as Check from "./internal/check.ts"
import { Core } from "./internal/core.ts"
import type * as Scripted from "./internal/scripted.ts"
import type { DefaultOptions } from "./internal/settings.ts"
import * as Settle from "./internal/settings.ts"
import type * as Statement from "./Statement.ts"
import { makeCql } from "./Statement.ts"

/**
 * Runs statements.
 *
 * **Details**
 *
 * Closing its scope stops admission, so that a new statement fails with `SessionClosed`; waits for those under way, at
 * most `shutdownTimeout`; and ends streams at their next page. Then the sockets are closed, when no other session uses
 * them.
 *
 * **Example** (An application's session)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, Session } from "effect-cassandra"
 *
 * const SessionLive = Session.layer({
 *   contactPoints: ["127.0.0.1"],
 *   localDataCenter: "datacenter1",
 *   keyspace: "shop"
 * })
 *
 * const program = cql`SELECT name FROM users`.pipe(Effect.provide(SessionLive))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Session extends Context.Service<Session, {
  /** The `cql` template bound to this session: its statements need nothing from the context. */
  readonly cql: Statement.Cql<never>
  /** The keyspace of statements that name none. */
  readonly keyspace: string | undefined
  /** The cluster that it runs on. */
  readonly cluster: Cluster["Service"]
  /** @internal */
  readonly core: Core
}>()("effect-cassandra/Session") {
  /**
   * A session with a cluster of its own, for as long as the scope is open.
   *
   * @category constructors
   * @since 0.1.0
   */
  static readonly make = (options: Session.Options): Effect.Effect<Session["Service"], CqlError, Scope.Scope> =>
    Check.all(checks(options)).pipe(
      Effect.andThen(Cluster.make(options)),
      Effect.flatMap((cluster) => makeSession(cluster, options))
    )

  /**
   * A session on the cluster of the context.
   *
   * @category constructors
   * @since 0.1.0
   */
  static readonly makeFrom = (
    options?: Session.FromOptions
  ): Effect.Effect<Session["Service"], CqlError, Scope.Scope | Cluster> =>
    Effect.flatMap(Cluster, (cluster) => makeSession(cluster, options ?? {}))

  /**
   * A layer of a session with a cluster of its own.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layer = (options: Session.Options): Layer.Layer<Session, CqlError> =>
    Layer.effect(Session, Session.make(options))

  /**
   * A layer of a session on the cluster of the context. Sessions of one keyspace share their connections.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layerFrom = (options?: Session.FromOptions): Layer.Layer<Session, CqlError, Cluster> =>
    Layer.effect(Session, Session.makeFrom(options))

  /**
   * A layer of a session whose options come from a `Config`, by default from the environment: see `Cluster.config`
   * for the variables, and `CASSANDRA_TIMEOUT`, `CASSANDRA_ATTEMPT_TIMEOUT`.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layerConfig = (
    config: Config.Wrap<Session.Options> = Session.config
  ): Layer.Layer<Session, CqlError | Config.ConfigError> =>
    Layer.effect(Session, Effect.flatMap(Config.unwrap(config), Session.make))

  /**
   * A layer of a session that needs no server: a function of yours answers what its statements ask, for tests of what
   * uses them.
   *
   * **Details**
   *
   * The function is given each statement as it would be sent, and answers rows as the server has them: a uuid is a
   * string, a timestamp a Date, a null `null`. They go through the statement's schema. It is asked once for each page; a
   * batch is one request with several statements. An answer to a statement with a condition has a boolean `[applied]` in
   * its first row, and beside it the row that was in the way. What it fails with, the statement fails with, and is not
   * tried again; what takes longer than the statement's `timeout`, by the Clock, fails with `ClientTimeout`.
   *
   * **Gotchas**
   *
   * Nothing here knows CQL: whether a text is right and whether its values fit their columns, only a server can tell. What
   * goes by the server's types or its nodes (`Statement.check`, `CqlStream.scan`, imports and exports without a schema)
   * fails with `InvalidQuery`; `Health` of such a session is up. See `CassandraServer` of `effect-cassandra/testing` for a real one.
   *
   * **Example** (A repository without a database)
   *
   * ```ts
   * import { assert, it } from "@effect/vitest"
   * import * as Effect from "effect/Effect"
   * import * as Schema from "effect/Schema"
   * import { cql, CqlType, Session } from "effect-cassandra"
   *
   * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
   *
   * const userNamed = (name: string) => cql(User)`SELECT id, name FROM users_by_name WHERE name = ${name}`.one
   *
   * it.effect("finds a user by name", () =>
   *   Effect.gen(function*() {
   *     const user = yield* userNamed("Ada")
   *     assert.strictEqual(user.name, "Ada")
   *   }).pipe(
   *     Effect.provide(Session.layerTest(({ parameters: [name] }) =>
   *       Effect.succeed([{ id: "00000000-0000-4000-8000-000000000000", name }])
   *     ))
   *   ))
   * ```
   *
   * @category testing
   * @since 0.1.0
   */
  static readonly layerTest = <R = never>(
    answer: (request: Session.TestRequest) => Effect.Effect<ReadonlyArray<object>, CqlError, R>,
    options: Session.FromOptions = {}
  ): Layer.Layer<Session, CqlError, R> =>
    Layer.effect(
      Session,
      Effect.contextWith((context: Context.Context<R>) =>
        Check.all(checks(options)).pipe(
          Effect.andThen(makeScripted((request) => Effect.provideContext(answer(request), context), options.keyspace)),
          Effect.flatMap((cluster) => makeSession(cluster, options))
        )
      )
    )

  /**
   * The options that the environment gives.
   *
   * @category config
   * @since 0.1.0
   */
  static get config(): Config.Config<Session.Options> {
    return sessionConfig
  }
}

/**
 * Options of a session.
 *
 * @since 0.1.0
 */
export declare namespace Session {
  /**
   * What a session's statements have that say nothing else.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Defaults extends Statement.Options {
    /**
     * Who stamps writes: `"client"`, the default, by one clock of this process, so that an attempt that is repeated
     * cannot overtake a later write; or `"server"`, each coordinator by its own. Then it could, so that writes are
     * repeated only when they are said to be idempotent.
     */
    readonly timestamps?: "client" | "server" | undefined
    /**
     * Sets of options by name, for statements and regions of the program that ask for one with `profile`. What such a
     * set leaves out, comes from where it would have come without it.
     */
    readonly profiles?: Readonly<Record<string, Omit<Statement.Options, "profile">>> | undefined
  }

  /**
   * Options of a session on a given cluster.
   *
   * @category models
   * @since 0.1.0
   */
  export interface FromOptions extends Defaults {
    /** By default the cluster's. */
    readonly keyspace?: string | undefined
    /** How long closing waits for statements under way. By default as long as the cluster says. */
    readonly shutdownTimeout?: Duration.Input | undefined
  }

  /**
   * Options of a session and of the cluster it makes for itself.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Options extends Cluster.Options, Defaults {}

  /**
   * A statement of a test's session, as it would be sent.
   *
   * @category testing
   * @since 0.1.0
   */
  export interface TestStatement extends Scripted.TestStatement {}

  /**
   * What a test's session is asked: a statement, or a batch.
   *
   * @category testing
   * @since 0.1.0
   */
  export interface TestRequest extends Scripted.TestRequest {}
}

/**
 * Makes statements that run on the session of the context.
 *
 * @see {@link Statement.Cql} for what goes into one
 * @category constructors
 * @since 0.1.0
 */
export const cql: Statement.Cql<Session> = makeCql<Session>((fiber) =>
  Context.getUnsafe(fiber.context as Context.Context<Session>, Session).core
)

// internal

const checks = (options: Session.FromOptions): ReadonlyArray<Check.Check> => [
  ...Check.statementOptions(options),
  ...Check.profiles(options.profiles),
  profileIsKnown(options),
  Check.oneOf("timestamps", options.timestamps, ["client", "server"]),
  Check.text("keyspace", options.keyspace),
  Check.duration("shutdownTimeout", options.shutdownTimeout)
]

const profileIsKnown = ({ profile, profiles }: Session.FromOptions): Check.Check => ({
  field: "profile",
  expected: profile === undefined ? "" : Check.expectedProfile(profile, profiles ?? {}),
  holds: profile === undefined || Object.hasOwn(profiles ?? {}, profile)
})

const makeSession = Effect.fnUntraced(function*(
  cluster: Cluster["Service"],
  options: Session.FromOptions
): Effect.fn.Return<Session["Service"], CqlError, Scope.Scope> {
  yield* Check.all(checks(options))
  const profiles = options.profiles ?? {}
  const shared = yield* cluster.share(options.keyspace)
  const core = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const defaults = withCloudDefaults(options, shared.isCloud)
      return new Core(shared, Settle.defaults(defaults, profiles), profiles)
    }),
    (core) => drain(core, Duration.toMillis(options.shutdownTimeout ?? cluster.shutdownTimeout ?? "10 seconds"))
  )
  return Session.of({ cql: makeCql<never>(() => core), keyspace: shared.client.keyspace, cluster, core })
})

/** Astra refuses to write at a consistency of one node. */
const withCloudDefaults = (options: Session.FromOptions, isCloud: boolean): DefaultOptions => {
  const { consistency, profile, profiles } = options
  const said = consistency ?? (profile === undefined ? undefined : profiles?.[profile]?.consistency)
  return isCloud && said === undefined ? { ...options, consistency: "localQuorum" } : options
}

/**
 * In real time and not by the Clock: what it waits for is a server, and a finalizer cannot be interrupted.
 */
const drain = (core: Core, limitMillis: number): Effect.Effect<void> =>
  Effect.callback<number>((resume) => {
    const timer = setTimeout(() => resume(Effect.succeed(core.inFlight)), limitMillis)
    core.close(() => {
      clearTimeout(timer)
      resume(Effect.succeed(0))
    })
  }).pipe(
    Effect.flatMap((left) =>
      left === 0
        ? Effect.void
        : Effect.logWarning(`the session closes with ${left} statements under way, after ${limitMillis} ms`)
    )
  )

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

const sessionConfig: Config.Config<Session.Options> = Config.all({
  cluster: Cluster.config,
  defaults: Config.all({
    timeout: optional(Config.Duration("CASSANDRA_TIMEOUT")),
    attemptTimeout: optional(Config.Duration("CASSANDRA_ATTEMPT_TIMEOUT"))
  })
}).pipe(Config.map(({ cluster, defaults }) => ({ ...cluster, ...withoutUndefined(defaults) })))
