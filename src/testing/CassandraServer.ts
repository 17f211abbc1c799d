/**
 * A real Apache Cassandra for tests and demos, as a Layer.
 *
 * The Layer gives the server that `CASSANDRA_CONTACT_POINTS` names. Where it names none, it starts one and owns it: in
 * a container where a Docker daemon answers, else in a JVM of this machine. What it starts goes with its scope, and
 * with this process even when that is killed.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { Cluster } from "../Cluster.ts"
import type { CqlError } from "../CqlError.ts"
import { Session } from "../Session.ts"
import * as Statement from "../Statement.ts"
import type { Attempt } from "./internal/attempt.ts"
import * as Container from "./internal/container.ts"
import { CassandraServerError } from "./internal/error.ts"
import * as External from "./internal/external.ts"
import * as Local from "./internal/local.ts"
import { type Report, toStandardError } from "./internal/progress.ts"

export {
  /**
   * @since 0.1.0
   */
  CassandraServerError
}

/**
 * A Cassandra server that answers.
 *
 * **Example** (A session for tests)
 *
 * ```ts
 * import { cql } from "effect-cassandra"
 * import { CassandraServer } from "effect-cassandra/testing"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const SessionTest = CassandraServer.layerSession().pipe(Layer.provide(CassandraServer.layer()))
 *
 * const program = cql`SELECT release_version FROM system.local`.one.pipe(Effect.provide(SessionTest))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class CassandraServer extends Context.Service<CassandraServer, {
  /** Who runs it: somebody else, a Docker daemon, or this process. */
  readonly kind: CassandraServer.Kind
  /** Addresses to connect to. */
  readonly contactPoints: ReadonlyArray<string>
  /** The port for clients, the same on every contact point. */
  readonly port: number
  readonly localDataCenter: string
  /** Who may log in; `undefined` where everybody may. */
  readonly credentials: CassandraServer.Credentials | undefined
  /** Whether clients have to use TLS; with `"optional"` they may. */
  readonly tls: boolean | "optional"
  /** What a TLS client has to trust; `undefined` where there is no TLS, or the system's authorities will do. */
  readonly certificate: CassandraServer.Certificate | undefined
  /** The process itself, to break it on purpose; only where `kind` is `"local"`. */
  readonly process: CassandraServer.Process | undefined
}>()("effect-cassandra/testing/CassandraServer") {
  /**
   * Finds or starts a server, for as long as the scope is open.
   *
   * **Details**
   *
   * The first of these that can:
   *
   * 1. The server that `CASSANDRA_CONTACT_POINTS` names (comma separated), with `CASSANDRA_PORT` (9042),
   *    `CASSANDRA_LOCAL_DATACENTER` (datacenter1), `CASSANDRA_USERNAME`, `CASSANDRA_PASSWORD`, `CASSANDRA_TLS` and
   *    `CASSANDRA_TLS_CA_FILE`. It is somebody else's: it is neither started, changed nor stopped.
   * 2. A container, where a Docker daemon answers and the package `@testcontainers/cassandra` is installed.
   * 3. A JVM of this machine, where Java 11 to 17 and Maven are installed. Maven downloads Cassandra's jars (66 MB)
   *    once. The server listens on a free port of 127.0.0.1 and keeps its data in a temporary folder.
   *
   * **Gotchas**
   *
   * `startTimeout` is real time, also under a `TestClock`.
   *
   * @category constructors
   * @since 0.1.0
   */
  static readonly make = (
    options: CassandraServer.Options = {}
  ): Effect.Effect<CassandraServer["Service"], CassandraServerError, Scope.Scope> =>
    Effect.suspend(() => {
      const report = options.onProgress ?? toStandardError()
      return find(options, report).pipe(
        Effect.catchTag("ConfigError", (error) => Effect.fail(invalidConfiguration(error))),
        Effect.onError(() => report({ message: "No Cassandra server was started", final: true }))
      )
    })

  /**
   * A server for as long as the layer is in use.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layer = (
    options: CassandraServer.Options = {}
  ): Layer.Layer<CassandraServer, CassandraServerError> => Layer.effect(CassandraServer, CassandraServer.make(options))

  /**
   * A session on the server of the context. What is said here wins over what the server says of itself.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layerSession = (
    options: Session.Options = {}
  ): Layer.Layer<Session, CqlError, CassandraServer> =>
    Layer.effect(
      Session,
      Effect.flatMap(
        CassandraServer,
        (server) => Session.make({ ...CassandraServer.toClusterOptions(server), ...options })
      )
    )

  /**
   * A session in a keyspace that nobody else uses, on the server of the context: made with the layer, and dropped with
   * it. One for each test file keeps them out of each other's way.
   *
   * **Example** (Tests of one file)
   *
   * ```ts
   * import { assert, it } from "@effect/vitest"
   * import { cql } from "effect-cassandra"
   * import { CassandraServer } from "effect-cassandra/testing"
   * import * as Effect from "effect/Effect"
   * import * as Layer from "effect/Layer"
   *
   * const KeyspaceLive = CassandraServer.layerKeyspace().pipe(Layer.provide(CassandraServer.layer()))
   *
   * it.layer(KeyspaceLive, { excludeTestServices: true, timeout: "3 minutes" })("users", (it) => {
   *   it.effect("are found by name", () =>
   *     Effect.gen(function*() {
   *       yield* cql`CREATE TABLE users (name text PRIMARY KEY, visits int)`
   *       yield* cql`INSERT INTO users ${cql.insert({ name: "Ada", visits: 1 })}`
   *       assert.deepStrictEqual(yield* cql`SELECT * FROM users`, [{ name: "Ada", visits: 1 }])
   *     }))
   * })
   * ```
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layerKeyspace = (
    options: Omit<Session.Options, "keyspace"> = {}
  ): Layer.Layer<Session | Cluster, CqlError, CassandraServer> =>
    Layer.effect(Session, makeKeyspace(options)).pipe(
      Layer.provideMerge(
        Layer.effect(
          Cluster,
          Effect.flatMap(
            CassandraServer,
            (server) => Cluster.make({ ...CassandraServer.toClusterOptions(server), ...options })
          )
        )
      )
    )

  /**
   * How to connect to a server.
   *
   * @category conversions
   * @since 0.1.0
   */
  static readonly toClusterOptions = (server: CassandraServer["Service"]): Cluster.Options => ({
    contactPoints: server.contactPoints,
    port: server.port,
    localDataCenter: server.localDataCenter,
    ...server.credentials,
    ...(server.tls === true && { tls: server.certificate === undefined ? true : { ca: server.certificate.pem } })
  })

  /**
   * The environment variables by which `make` and `layer`, and `Session.layerConfig` too, find a server from another
   * process.
   *
   * **Gotchas**
   *
   * The password is among them, in clear text.
   *
   * @category conversions
   * @since 0.1.0
   */
  static readonly toEnvironment = (server: CassandraServer["Service"]): Record<string, string> => ({
    CASSANDRA_CONTACT_POINTS: server.contactPoints.join(","),
    CASSANDRA_PORT: String(server.port),
    CASSANDRA_LOCAL_DATACENTER: server.localDataCenter,
    ...(server.credentials && {
      CASSANDRA_USERNAME: server.credentials.username,
      CASSANDRA_PASSWORD: Redacted.value(server.credentials.password)
    }),
    CASSANDRA_TLS: String(server.tls === true),
    ...(server.certificate && { CASSANDRA_TLS_CA_FILE: server.certificate.file })
  })
}

/**
 * Options of a server, and what it tells of itself.
 *
 * @since 0.1.0
 */
export declare namespace CassandraServer {
  /**
   * Who runs a server.
   *
   * @category models
   * @since 0.1.0
   */
  export type Kind = "external" | "container" | "local"

  /**
   * A superuser of the server.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Credentials {
    readonly username: string
    readonly password: Redacted.Redacted
  }

  /**
   * A certificate to trust. That of a local server is for 127.0.0.1 and localhost, and its own authority.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Certificate {
    /** PEM encoded. */
    readonly pem: string
    /** The same, in a file that lives as long as the server. */
    readonly file: string
  }

  /**
   * The process of a local server.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Process {
    /** Holds data, configuration and log; removed with the server. */
    readonly folder: string
    readonly logFile: string
    /** None while it does not run. */
    readonly processId: Effect.Effect<Option.Option<number>>
    /** Ends the process at once, as a power cut does, and waits until it has gone; its data stays. */
    readonly kill: Effect.Effect<void>
    /** Starts it again after `kill`, on the same port and data, and waits until it answers. */
    readonly start: Effect.Effect<void, CassandraServerError>
    /** Stops the process without ending it: connections stay open, and nothing answers. */
    readonly pause: Effect.Effect<void>
    /** Lets a paused process go on. */
    readonly resume: Effect.Effect<void>
    /** Runs a command of Cassandra's `nodetool`, such as `disablebinary`, and returns what it printed. */
    readonly nodetool: (...args: ReadonlyArray<string>) => Effect.Effect<string, CassandraServerError>
  }

  /**
   * What happens before a server answers.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Progress {
    /** The step. */
    readonly message: string
    /** How far it is; changes often. */
    readonly detail?: string | undefined
    /** No step follows. */
    readonly final?: boolean | undefined
  }

  /**
   * How a server is found or started.
   *
   * **Details**
   *
   * Everything but `kind`, `startTimeout` and `onProgress` describes a server that is started here, and means nothing
   * to one that runs already.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Options {
    /** Who has to run the server. By default the first that can, in the order external, container, local. */
    readonly kind?: Kind | undefined
    /** The version of Apache Cassandra, 4.1 or newer. By default 5.0.6. */
    readonly version?: string | undefined
    /** The heap of the JVM, as `-Xmx` takes it; the process needs about 400 MB more. By default `"1G"`. */
    readonly heap?: string | undefined
    /** Whether clients have to log in; `credentials` then tell how. By default `false`. */
    readonly authentication?: boolean | undefined
    /**
     * Whether clients have to use TLS; with `"optional"` the same port takes both. By default `false`. A container
     * does not offer it.
     */
    readonly tls?: boolean | "optional" | undefined
    /** Whether user defined functions and aggregates may be created. By default `false`. */
    readonly userDefinedFunctions?: boolean | undefined
    /** Whether materialized views may be created. By default `false`. */
    readonly materializedViews?: boolean | undefined
    /** More of cassandra.yaml, by the names that it uses; what is said here wins. */
    readonly settings?: Readonly<Record<string, unknown>> | undefined
    /** How long a server may take from its start until it answers, downloads apart. By default two minutes. */
    readonly startTimeout?: Duration.Input | undefined
    /** Where the jars of a local server are kept for the next one. By default the user's cache folder. */
    readonly cacheFolder?: string | undefined
    /** Called at every step. By default it is shown on standard error. */
    readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  }
}

// internal

const makeKeyspace = Effect.fnUntraced(function*(
  options: Session.FromOptions
): Effect.fn.Return<Session["Service"], CqlError, Cluster | Scope.Scope> {
  const { cql } = yield* Session.makeFrom()
  const keyspace = `test_${randomUUID().replaceAll("-", "")}`
  const name = cql.ident(keyspace)
  yield* Effect.acquireRelease(
    cql`CREATE KEYSPACE ${name} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
    // The server makes snapshots of its tables first.
    () =>
      Effect.orDie(
        Statement.withOptions(cql`DROP KEYSPACE ${name}`, { timeout: "2 minutes", attemptTimeout: "1 minute" })
      )
  )
  return yield* Session.makeFrom({ ...options, keyspace })
})

const attempts: Record<CassandraServer.Kind, Attempt> = {
  external: External.attempt,
  container: Container.attempt,
  local: Local.attempt
}

const find = Effect.fnUntraced(function*(options: CassandraServer.Options, report: Report): Effect.fn.Return<
  CassandraServer["Service"],
  CassandraServerError | Config.ConfigError,
  Scope.Scope
> {
  const obstacles: Array<string> = []
  for (const kind of options.kind ? [options.kind] : ["external", "container", "local"] as const) {
    const found = yield* attempts[kind](options, report)
    if (typeof found !== "string") return found
    obstacles.push(found)
  }
  return yield* nothingServes(obstacles)
})

const nothingServes = (obstacles: ReadonlyArray<string>): CassandraServerError =>
  new CassandraServerError({
    reason: "NothingServes",
    message: [
      "There is no Cassandra server here, and nothing to start one with:",
      ...obstacles.map((obstacle) => `  - ${obstacle}`),
      "One of these helps: install a JDK 17 and Maven; or start Docker, and install @testcontainers/cassandra;",
      "or set CASSANDRA_CONTACT_POINTS, CASSANDRA_PORT and CASSANDRA_LOCAL_DATACENTER for a server that runs already."
    ].join("\n")
  })

const invalidConfiguration = (error: Config.ConfigError): CassandraServerError =>
  new CassandraServerError({ reason: "InvalidConfiguration", message: error.message, cause: error })
