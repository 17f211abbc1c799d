/**
 * The connection to a cluster: configuration, nodes, schema metadata; open as long as its scope.
 *
 * Most applications need only `Session.layer`, which makes a Cluster of its own. A Cluster by itself is for those that
 * use several keyspaces of one cluster.
 *
 * @module Cluster
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CqlError } from "./CqlError.ts"
import * as Errors from "./CqlError.ts"
import { AdaptiveLimit } from "./internal/adaptiveLimit.ts"
import { Admission } from "./internal/admission.ts"
import * as Check from "./internal/check.ts"
import * as CircuitBreaker from "./internal/circuitBreaker.ts"
import type { ClusterEvent } from "./internal/clusterEvents.ts"
import { ClusterEvents } from "./internal/clusterEvents.ts"
import type { ClusterMetrics } from "./internal/clusterMetrics.ts"
import * as Metrics from "./internal/clusterMetrics.ts"
import * as Connecting from "./internal/connecting.ts"
import type { SharedClient } from "./internal/core.ts"
import { Core } from "./internal/core.ts"
import { classify } from "./internal/driver/classify.ts"
import type { DriverClient, RawClient } from "./internal/driver/client.ts"
import type { DriverConfig, TlsFiles, TlsVerify } from "./internal/driver/config.ts"
import { problemOfDriverOptions, problemOfTls } from "./internal/driver/config.ts"
import * as Driver from "./internal/driver/connect.ts"
import * as Files from "./internal/driver/files.ts"
import type { Host } from "./internal/driver/inside.ts"
import * as Run from "./internal/run.ts"
import type { Script } from "./internal/scripted.ts"
import { needsServer } from "./internal/scripted.ts"
import * as Settle from "./internal/settings.ts"
import { Statements } from "./internal/statements.ts"

/**
 * A cluster that this process is connected to.
 *
 * **Details**
 *
 * It holds one driver client, and one more for each other keyspace that a session asks for. Closing its scope closes
 * them all: no socket and no timer is left.
 *
 * @category services
 * @since 0.1.0
 */
export class Cluster extends Context.Service<Cluster, {
  /** The data center whose nodes serve the statements. */
  readonly localDataCenter: string
  /** Every node that is known, also those of other data centers. */
  readonly nodes: Effect.Effect<ReadonlyArray<Cluster.Node>>
  /** The keyspaces, as the server describes them now. */
  readonly keyspaces: Effect.Effect<ReadonlyArray<Cluster.Keyspace>, CqlError>
  /** The names of a keyspace's tables. */
  readonly tables: (keyspace: string) => Effect.Effect<ReadonlyArray<string>, CqlError>
  /** A table and its columns; none where there is no such table. */
  readonly table: (keyspace: string, table: string) => Effect.Effect<Option.Option<Cluster.Table>, CqlError>
  /**
   * What happens to the nodes and the schema, from the moment on in which the stream is run until the cluster closes. A
   * reader that falls behind loses the oldest of 1,024 events.
   */
  readonly events: Stream.Stream<Cluster.Event>
  /**
   * Lends the driver's own client, for what this library does not offer.
   *
   * The one place where a type of cassandra-driver shows. What runs there is neither admitted, retried nor drained, and
   * goes on when the fiber is interrupted; never shut the client down. It is the client of the cluster's own keyspace,
   * and what its errors repeat of bound values is not masked.
   */
  readonly use: <A>(f: (client: RawClient) => PromiseLike<A>) => Effect.Effect<A, CqlError>
  /** @internal */
  readonly shutdownTimeout: Duration.Input | undefined
  /** @internal */
  readonly share: (keyspace: string | undefined) => Effect.Effect<SharedClient, CqlError, Scope.Scope>
}>()("effect-cassandra/Cluster") {
  /**
   * Connects, for as long as the scope is open.
   *
   * **Details**
   *
   * Fails with `InvalidConfig` before anything is opened where an option makes no sense, with `NoHostAvailable`,
   * `AuthenticationError` or `ConnectionError` where nothing answers as it should, and with `ClientTimeout` where
   * `connectTimeout` passed. A failed or interrupted connect leaves nothing behind.
   *
   * @category constructors
   * @since 0.1.0
   */
  static readonly make = (
    options: Cluster.Options
  ): Effect.Effect<Cluster["Service"], CqlError, Scope.Scope> => makeCluster(options)

  /**
   * A layer of a connected cluster.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layer = (options: Cluster.Options): Layer.Layer<Cluster, CqlError> =>
    Layer.effect(Cluster, makeCluster(options))

  /**
   * A layer of a cluster whose options come from a `Config`, by default `Cluster.config`.
   *
   * @category layers
   * @since 0.1.0
   */
  static readonly layerConfig = (
    config: Config.Wrap<Cluster.Options> = Cluster.config
  ): Layer.Layer<Cluster, CqlError | Config.ConfigError> =>
    Layer.effect(Cluster, Effect.flatMap(Config.unwrap(config), makeCluster))

  /**
   * The options that the environment gives.
   *
   * **Details**
   *
   * | variable | option |
   * | --- | --- |
   * | `CASSANDRA_CONTACT_POINTS` | `contactPoints`, separated by commas |
   * | `CASSANDRA_PORT` | `port` |
   * | `CASSANDRA_LOCAL_DATACENTER` | `localDataCenter` |
   * | `CASSANDRA_KEYSPACE` | `keyspace` |
   * | `CASSANDRA_USERNAME`, `CASSANDRA_PASSWORD` | `username`, `password` |
   * | `CASSANDRA_SECURE_CONNECT_BUNDLE` | `secureConnectBundle` |
   * | `CASSANDRA_TLS` | `tls` on or off; on by itself when a file is named |
   * | `CASSANDRA_TLS_CA_FILE`, `_CERT_FILE`, `_KEY_FILE` | PEM files |
   * | `CASSANDRA_TLS_SERVER_NAME` | the name that the certificate must be for |
   * | `CASSANDRA_CONNECT_TIMEOUT`, `CASSANDRA_SHUTDOWN_TIMEOUT` | the limits of that name |
   *
   * @category config
   * @since 0.1.0
   */
  static get config(): Config.Config<Cluster.Options> {
    return clusterConfig
  }
}

/**
 * Options of a cluster, and what it tells of itself.
 *
 * @since 0.1.0
 */
export declare namespace Cluster {
  /**
   * How to connect. Only `contactPoints` (or `secureConnectBundle`) is needed.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Options {
    /** Where to ask for the cluster's nodes: addresses or names, with or without a port. */
    readonly contactPoints?: ReadonlyArray<string> | undefined
    /** The port of every node. By default 9042. */
    readonly port?: number | undefined
    /** Whose nodes serve the statements. May be left out where the cluster has one data center. */
    readonly localDataCenter?: string | undefined
    /**
     * The data centers that stand in for the local one, in order: their nodes are asked while no local one can be, and
     * for a further attempt at what has failed on every local one. By default none: other data centers are never asked.
     *
     * **Details**
     *
     * Connections to their nodes are kept open, so that nothing has to be opened first, and a local node is asked again
     * as soon as it is back. A name that no node has is of no effect until one has it. So that connecting does not need
     * the local data center, some of the `contactPoints` should be of the others.
     *
     * **Gotchas**
     *
     * `localOne`, `localQuorum` and the other local consistencies are those of the data center that was asked: what was
     * read at `localQuorum` in one need not be what was written at `localQuorum` in the other. What is `localSerial`, a
     * condition or a read, is never failed over, for another data center would decide it by itself.
     */
    readonly failover?: ReadonlyArray<string> | undefined
    /** The keyspace of statements that name none. */
    readonly keyspace?: string | undefined
    readonly username?: string | undefined
    readonly password?: Redacted.Redacted | undefined
    /**
     * In place of `username` and `password`, for credentials that change: run anew for every connection that
     * authenticates, so that a password which rotates (a vault, a secrets manager, a file) is the one of the day when a
     * node comes back.
     *
     * It runs in the context in which the cluster was made, for `socketConnectTimeout` at the most, and is interrupted
     * when the cluster closes. What it fails with fails that connection with `AuthenticationError`, without its message,
     * which may hold a secret; the node is tried again by `reconnectDelay`.
     */
    readonly credentials?: Effect.Effect<Credentials, unknown> | undefined
    /** The path of the bundle that DataStax Astra gives out; instead of contact points and TLS. */
    readonly secureConnectBundle?: string | undefined
    /** Encryption. `true` verifies chain and address against the system's authorities. By default off. */
    readonly tls?: boolean | Tls | undefined
    /** Told to the server, which shows it in its list of clients. */
    readonly applicationName?: string | undefined
    readonly applicationVersion?: string | undefined
    /** How long connecting may take in all, every try included. By default 20 seconds. */
    readonly connectTimeout?: Duration.Input | undefined
    /** When to try again to connect, as for a cluster that is still starting. By default once. */
    readonly connectSchedule?: Schedule.Schedule<unknown, CqlError> | undefined
    /**
     * Whether the cluster and its sessions are there before they are connected: connecting goes on in the background, by
     * `connectSchedule` or else for ever, and each try has the `connectTimeout`. Until one has succeeded statements fail
     * at once with `NoHostAvailable`, which tells what the last try failed on; no `retry` waits for it. By default `false`.
     */
    readonly connectInBackground?: boolean | undefined
    /** How long one socket may take to open, and `credentials` to be there. By default 5 seconds. */
    readonly socketConnectTimeout?: Duration.Input | undefined
    /** How long a connection may be silent before it is asked whether it lives. By default 30 seconds. */
    readonly heartbeatInterval?: Duration.Input | undefined
    /** The delays between attempts to reach a node that is down: doubling from `base` (100 milliseconds) to `max` (1 minute). */
    readonly reconnectDelay?:
      | { readonly base?: Duration.Input | undefined; readonly max?: Duration.Input | undefined }
      | undefined
    /** Connections to each node that may be asked, each good for `maxRequestsPerConnection` at a time. By default 1. */
    readonly connectionsPerNode?: number | undefined
    /** By default 2048. */
    readonly maxRequestsPerConnection?: number | undefined
    /** Whether connecting waits for all connections of all local nodes. By default `true`. */
    readonly openAllConnections?: boolean | undefined
    /**
     * Requests in flight at a time, for each client; more wait. By default half of what the connections to one node
     * take, and 1,024 at the most.
     */
    readonly maxInFlight?: number | undefined
    /**
     * Whether the limit of requests in flight follows the answers: it goes up, to `maxInFlight` at the most, while more
     * in flight bring more answers, and down, to `min` (8) at the least, where more of them only wait longer, or come to
     * nothing. For servers that get slow at times, or are shared with others. By default `false`.
     */
    readonly adaptiveInFlight?: boolean | { readonly min?: number | undefined } | undefined
    /** Requests that may wait; more fail with `AdmissionRefused`. By default 16,384. */
    readonly maxQueued?: number | undefined
    /** Sends nothing for a while to a cluster of which too much has failed. By default off. */
    readonly circuitBreaker?: CircuitBreaker | undefined
    /** Statement texts that are kept prepared; the least recently used go first. By default 2,048. */
    readonly maxPrepared?: number | undefined
    /** Whether replicas are known, so that a statement goes to a node that has its rows. By default `true`. */
    readonly schemaMetadata?: boolean | undefined
    /** How long a schema change waits until all nodes agree on it. By default 10 seconds. */
    readonly schemaAgreementTimeout?: Duration.Input | undefined
    /** How long closing waits for what is in flight. By default 10 seconds. */
    readonly shutdownTimeout?: Duration.Input | undefined
    /**
     * What its metrics and its health are called by: the label `cluster`. By default `"cassandra"`. Clusters of one name
     * are counted together.
     */
    readonly name?: string | undefined
    /** Whether it counts and measures what `CqlMetrics.all` lists. By default `true`. */
    readonly metrics?: boolean | undefined
    /**
     * Where to dial a node that the cluster knows by another address: returns `"address:port"`. A node for which it
     * returns anything else, or throws, is left out.
     */
    readonly addressTranslator?: ((address: string, port: number) => string) | undefined
    /** Nodes that must not be used answer `false`, or throw. */
    readonly nodeFilter?:
      | ((node: { readonly address: string; readonly dataCenter: string }) => boolean)
      | undefined
    /**
     * Options of cassandra-driver, laid over what all the others make of them. For what has no option here.
     *
     * A policy that is given here must not be shared between clusters. What this library does itself is refused:
     * `policies.loadBalancing`, `retry`, `speculativeExecution` and `timestampGeneration`, `localDataCenter`,
     * `profiles`, `queryOptions`, `encoding` and `promiseFactory`.
     */
    readonly driverOptions?: Readonly<Record<string, unknown>> | undefined
  }

  /**
   * What a connection authenticates with.
   *
   * **Example** (A password that is in a file, and changes)
   *
   * ```ts
   * import * as Effect from "effect/Effect"
   * import * as Redacted from "effect/Redacted"
   * import { Session } from "effect-cassandra"
   * import { readFile } from "node:fs/promises"
   *
   * const SessionLive = Session.layer({
   *   contactPoints: ["127.0.0.1"],
   *   credentials: Effect.map(
   *     Effect.tryPromise(() => readFile("/run/secrets/cassandra", "utf8")),
   *     (password) => ({ username: "shop", password: Redacted.make(password.trim()) })
   *   )
   * })
   * ```
   *
   * @category models
   * @since 0.1.0
   */
  export interface Credentials {
    readonly username: string
    readonly password: Redacted.Redacted
  }

  /**
   * Encryption, and what is verified of the server.
   *
   * **Details**
   *
   * What is refused is told by the option that mends it: `tls.ca` for an authority that is not known, `tls.verify` for a
   * certificate of another name, `tls.cert` where a node does not accept this client's, `tls` where it speaks none.
   * A certificate that is out of date is the node's to mend: connecting fails with `NoHostAvailable`, and a node that
   * comes back with a good one is used again.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Tls {
    /** PEM, or a file of it: the authorities to trust instead of the system's. */
    readonly ca?: string | undefined
    readonly caFile?: string | undefined
    /** PEM, or a file of it: this client's certificate and its key, for nodes that demand one. */
    readonly cert?: string | undefined
    readonly certFile?: string | undefined
    readonly key?: Redacted.Redacted | undefined
    readonly keyFile?: string | undefined
    readonly passphrase?: Redacted.Redacted | undefined
    /**
     * What the certificate must be for, beyond a chain that is trusted. Nodes are dialled by address, so:
     *
     * - `"address"`, the default: the address that was dialled must be in the certificate
     * - `{ serverName }`: this one name must be
     * - `{ check }`: returns an error for a certificate that is not accepted
     * - `"chain"`: anything that the authorities have signed
     */
    readonly verify?: TlsVerify | undefined
  }

  /**
   * When a cluster that fails is left alone.
   *
   * **Details**
   *
   * Statements count that ended with a timeout, without a node, with a lost connection, or with what a server answers
   * that can do no more (`Unavailable`, `Overloaded`, `ServerError`, ...), after all their attempts. What a server refuses
   * counts as answered. While it is open statements fail with `CircuitOpen`; then one is let through to try.
   *
   * @category models
   * @since 0.1.0
   */
  export interface CircuitBreaker {
    /** It opens when this share of the last `size` statements has failed, above 0 and up to 1. By default 0.5. */
    readonly failureRate?: number | undefined
    /** Fewer statements than this never open it. By default 100. */
    readonly size?: number | undefined
    /**
     * How long it stays open; with a schedule, the first time, the second in a row, and so on: it begins anew once the
     * circuit has been closed for as long as it was open last. By default 5 seconds.
     */
    readonly openDuration?: Duration.Input | Schedule.Schedule<unknown, number> | undefined
  }

  /**
   * A node, as the cluster described it last.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Node {
    /** `address:port` */
    readonly address: string
    readonly hostId: string
    readonly dataCenter: string
    readonly rack: string
    readonly version: string
    readonly isUp: boolean
    readonly isLocal: boolean
    readonly openConnections: number
    /** Requests that wait for this node's answer. */
    readonly inFlight: number
  }

  /**
   * What the cluster has told, or the driver has found out.
   *
   * **Details**
   *
   * `NodeUp` and `NodeDown` are what the driver holds a node for; `Health` asks each of them besides. A node that comes
   * back with another address is removed and added. `SchemaChanged` has no keyspace where a change may have been missed,
   * and a `table` where it is about one.
   *
   * @category models
   * @since 0.1.0
   */
  export type Event = ClusterEvent

  /**
   * A keyspace.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Keyspace {
    readonly name: string
    readonly durableWrites: boolean
    /** The replication strategy's class and options. */
    readonly replication: Readonly<Record<string, string>>
  }

  /**
   * A table.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Table {
    readonly keyspace: string
    readonly name: string
    readonly columns: ReadonlyArray<Column>
    /** Names of the columns whose values say which nodes have a row, in order. */
    readonly partitionKey: ReadonlyArray<string>
    /** Names of the columns that order the rows of a partition, in order. */
    readonly clusteringKey: ReadonlyArray<string>
  }

  /**
   * A column of a table.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Column {
    readonly name: string
    /** As CQL writes it, such as `map<text, frozen<list<int>>>`. */
    readonly type: string
    readonly kind: "partition_key" | "clustering" | "static" | "regular"
  }
}

// internal

const millis = (value: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(value ?? otherwise)

const checks = (options: Cluster.Options): ReadonlyArray<Check.Check> => [
  {
    field: "contactPoints",
    expected: "one address or more, or a secureConnectBundle in their place",
    holds: options.secureConnectBundle === undefined
      ? hasTexts(options.contactPoints)
      : options.contactPoints === undefined
  },
  {
    field: "tls",
    expected: "left out beside a secureConnectBundle, which brings its own",
    holds: options.secureConnectBundle === undefined || options.tls === undefined || options.tls === false
  },
  Check.whole("port", options.port, 1, 65535),
  Check.text("localDataCenter", options.localDataCenter),
  {
    field: "failover",
    expected: "names of data centers other than the localDataCenter, which must be given, each once",
    holds: options.failover === undefined || canFailOver(options.failover, options.localDataCenter)
  },
  Check.text("keyspace", options.keyspace),
  Check.text("username", options.username),
  {
    field: "password",
    expected: "given together with a username",
    holds: (options.username === undefined) === (options.password === undefined)
  },
  Check.secret("password", options.password),
  {
    field: "credentials",
    expected: "an Effect, in place of username and password",
    holds: options.credentials === undefined || (Effect.isEffect(options.credentials) && options.username === undefined)
  },
  Check.text("secureConnectBundle", options.secureConnectBundle),
  ...tlsChecks(options.tls),
  Check.text("applicationName", options.applicationName),
  Check.text("applicationVersion", options.applicationVersion),
  Check.duration("connectTimeout", options.connectTimeout),
  Check.duration("socketConnectTimeout", options.socketConnectTimeout),
  Check.duration("heartbeatInterval", options.heartbeatInterval),
  Check.duration("reconnectDelay.base", options.reconnectDelay?.base),
  Check.duration("reconnectDelay.max", options.reconnectDelay?.max),
  Check.whole("connectionsPerNode", options.connectionsPerNode, 1, 1024),
  Check.whole("maxRequestsPerConnection", options.maxRequestsPerConnection, 1, 32768),
  Check.boolean("connectInBackground", options.connectInBackground),
  Check.boolean("openAllConnections", options.openAllConnections),
  Check.whole("maxInFlight", options.maxInFlight, 1),
  ...adaptiveInFlightChecks(options.adaptiveInFlight),
  Check.whole("maxQueued", options.maxQueued, 0),
  Check.whole("maxPrepared", options.maxPrepared, 1),
  ...circuitBreakerChecks(options.circuitBreaker),
  Check.boolean("schemaMetadata", options.schemaMetadata),
  Check.duration("schemaAgreementTimeout", options.schemaAgreementTimeout),
  Check.duration("shutdownTimeout", options.shutdownTimeout),
  Check.text("name", options.name),
  Check.boolean("metrics", options.metrics),
  driverOptionsCheck(options.driverOptions),
  Check.callback("addressTranslator", options.addressTranslator),
  Check.callback("nodeFilter", options.nodeFilter)
]

const driverOptionsCheck = (options: Cluster.Options["driverOptions"]): Check.Check => {
  const problem = options === undefined ? undefined : problemOfDriverOptions(options)
  return { field: "driverOptions", expected: problem ?? "", holds: problem === undefined }
}

const adaptiveInFlightChecks = (options: Cluster.Options["adaptiveInFlight"]): ReadonlyArray<Check.Check> => {
  if (options === undefined || typeof options === "boolean") return []
  if (typeof options !== "object" || options === null) {
    return [{ field: "adaptiveInFlight", expected: "true, false, or an object of options", holds: false }]
  }
  return [Check.whole("adaptiveInFlight.min", options.min, 1)]
}

const circuitBreakerChecks = (options: Cluster.CircuitBreaker | undefined): ReadonlyArray<Check.Check> => {
  if (options === undefined) return []
  if (typeof options !== "object" || options === null) {
    return [{ field: "circuitBreaker", expected: "an object of options", holds: false }]
  }
  const { failureRate, openDuration, size } = options
  return [
    {
      field: "circuitBreaker.failureRate",
      expected: "a number above 0 and up to 1",
      holds: failureRate === undefined || (typeof failureRate === "number" && failureRate > 0 && failureRate <= 1)
    },
    Check.whole("circuitBreaker.size", size, 1, 1_000_000),
    ...(Schedule.isSchedule(openDuration) ? [] : [Check.duration("circuitBreaker.openDuration", openDuration)])
  ]
}

const tlsChecks = (tls: boolean | Cluster.Tls | undefined): ReadonlyArray<Check.Check> => {
  if (tls === undefined || typeof tls === "boolean") return []
  if (typeof tls !== "object" || tls === null) {
    return [{ field: "tls", expected: "true, false, or an object of options", holds: false }]
  }
  return [
    Check.secret("tls.key", tls.key),
    Check.secret("tls.passphrase", tls.passphrase),
    {
      field: "tls.verify",
      expected: "\"address\", \"chain\", { serverName } or { check }",
      holds: tls.verify === undefined || isVerify(tls.verify)
    }
  ]
}

const isVerify = (verify: TlsVerify): boolean => {
  if (typeof verify !== "object" || verify === null) return verify === "address" || verify === "chain"
  return "check" in verify
    ? typeof verify.check === "function"
    : typeof verify.serverName === "string" && verify.serverName.length > 0
}

const hasTexts = (values: ReadonlyArray<string> | undefined): boolean =>
  Array.isArray(values) && values.length > 0 &&
  values.every((value) => typeof value === "string" && value.trim().length > 0)

const canFailOver = (names: ReadonlyArray<string>, localDataCenter: string | undefined): boolean =>
  Array.isArray(names) && localDataCenter !== undefined &&
  names.every((name) => typeof name === "string" && name.trim().length > 0) &&
  new Set([localDataCenter, ...names]).size === names.length + 1

const driverConfig = Effect.fnUntraced(function*(
  options: Cluster.Options
): Effect.fn.Return<DriverConfig, CqlError> {
  yield* Check.all(checks(options))
  const { secureConnectBundle } = options
  if (secureConnectBundle !== undefined) {
    yield* asReadable("secureConnectBundle", Files.mustBeReadable(secureConnectBundle))
  }
  return {
    contactPoints: (options.contactPoints ?? []).map((point) => point.trim()),
    port: options.port ?? 9042,
    localDataCenter: options.localDataCenter,
    failover: options.failover ?? [],
    keyspace: options.keyspace,
    credentials: credentialsOf(options, yield* Effect.context<never>()),
    secureConnectBundle,
    tls: yield* tlsConfig(options.tls),
    applicationName: options.applicationName,
    applicationVersion: options.applicationVersion,
    connectionsPerNode: options.connectionsPerNode ?? 1,
    maxRequestsPerConnection: options.maxRequestsPerConnection ?? 2048,
    openAllConnections: options.openAllConnections ?? true,
    heartbeatMillis: millis(options.heartbeatInterval, "30 seconds"),
    openMillis: millis(options.socketConnectTimeout, "5 seconds"),
    reconnectBaseMillis: millis(options.reconnectDelay?.base, "100 millis"),
    reconnectMaxMillis: millis(options.reconnectDelay?.max, "1 minute"),
    schemaAgreementSeconds: millis(options.schemaAgreementTimeout, "10 seconds") / 1000,
    schemaMetadata: options.schemaMetadata ?? true,
    addressTranslator: options.addressTranslator,
    nodeFilter: options.nodeFilter,
    driverOptions: options.driverOptions ?? {}
  }
})

const credentialsOf = (
  { credentials, password, username }: Cluster.Options,
  context: Context.Context<never>
): DriverConfig["credentials"] => {
  if (credentials !== undefined) return Effect.provideContext(credentials, context)
  return username === undefined || password === undefined ? undefined : Effect.succeed({ username, password })
}

const tlsConfig = Effect.fnUntraced(function*(
  tls: boolean | Cluster.Tls | undefined
): Effect.fn.Return<(TlsFiles & { readonly verify: TlsVerify }) | undefined, CqlError> {
  if (tls === undefined || tls === false) return undefined
  const given: Cluster.Tls = tls === true ? {} : tls
  const files: TlsFiles = {
    ca: yield* pem("tls.caFile", given.ca, given.caFile),
    cert: yield* pem("tls.certFile", given.cert, given.certFile),
    key: yield* pem("tls.keyFile", given.key === undefined ? undefined : Redacted.value(given.key), given.keyFile),
    passphrase: given.passphrase === undefined ? undefined : Redacted.value(given.passphrase)
  }
  const problem = problemOfTls(files)
  if (problem !== undefined) return yield* Check.invalid(tlsField(given, problem.option), problem.expected)
  return { ...files, verify: given.verify ?? "address" }
})

/** By the name under which it was given. */
const tlsField = (given: Cluster.Tls, option: keyof TlsFiles): string =>
  option === "passphrase" || given[option] !== undefined || given[`${option}File`] === undefined
    ? `tls.${option}`
    : `tls.${option}File`

const pem = (
  field: string,
  text: string | undefined,
  file: string | undefined
): Effect.Effect<string | undefined, CqlError> =>
  text !== undefined || file === undefined ? Effect.succeed(text) : asReadable(field, Files.read(file))

const asReadable = <A>(field: string, file: Effect.Effect<A, unknown>): Effect.Effect<A, CqlError> =>
  Effect.mapError(file, () => Check.invalid(field, "the path of a file that can be read"))

const share = (
  options: Cluster.Options,
  config: DriverConfig,
  breaker: CircuitBreaker.Breaker | undefined,
  metrics: ClusterMetrics | undefined
) =>
  Effect.fnUntraced(function*(
    keyspace: string | undefined,
    events?: ClusterEvents
  ): Effect.fn.Return<SharedClient, CqlError, Scope.Scope> {
    const statements = new Statements(options.maxPrepared ?? 2048)
    const admission = new Admission(inFlightLimit(options, config), options.maxQueued ?? 16384)
    const connect = (onConnected: (client: DriverClient) => void) =>
      Connecting.connect(options, { ...config, keyspace }, (client) => {
        client.onSchemaChange = (changed) => statements.schemaChanged(changed)
        events?.attach(client)
        onConnected(client)
      })
    const { maxRequestsPerConnection } = config
    const connected = metrics === undefined
      ? yield* connect(() => undefined)
      : yield* metrics.measured(connect, { admission, statements, breaker, maxRequestsPerConnection })
    const isCloud = config.secureConnectBundle !== undefined
    return Object.assign(connected, { admission, statements, breaker, counts: metrics?.counts, isCloud })
  })

const inFlightLimit = (
  { adaptiveInFlight = false, maxInFlight }: Cluster.Options,
  config: DriverConfig
): number | AdaptiveLimit => {
  const max = maxInFlight ?? defaultInFlight(config)
  if (adaptiveInFlight === false) return max
  const { min = 8 } = adaptiveInFlight === true ? {} : adaptiveInFlight
  return new AdaptiveLimit({ min, max })
}

/**
 * One node may have to take them all, and above the limit of its connections it is busy. They also carry what is given
 * up and not answered yet, and the driver's own requests.
 */
const defaultInFlight = ({ connectionsPerNode, maxRequestsPerConnection }: DriverConfig): number =>
  Math.min(1024, Math.ceil(connectionsPerNode * maxRequestsPerConnection / 2))

const makeCluster = Effect.fnUntraced(function*(
  options: Cluster.Options
): Effect.fn.Return<Cluster["Service"], CqlError, Scope.Scope> {
  const config = yield* driverConfig(options)
  const { circuitBreaker } = options
  const breaker = circuitBreaker === undefined ? undefined : yield* CircuitBreaker.make(circuitBreaker)
  const metrics = options.metrics === false ? undefined : yield* Metrics.make(options.name ?? "cassandra")
  const open = share(options, config, breaker, metrics)
  const events = yield* Effect.acquireRelease(
    Effect.sync(() => new ClusterEvents()),
    (events) => Effect.sync(() => events.close())
  )
  const main = yield* open(config.keyspace, events)
  const others = yield* RcMap.make({ lookup: (keyspace: string) => open(keyspace) })
  const core = yield* Effect.acquireRelease(
    Effect.sync(() => new Core(main, Settle.defaults(undefined, {}), {})),
    (core) => Effect.sync(() => core.close(() => undefined))
  )
  return Cluster.of({
    get localDataCenter() {
      return main.client.policy.localDataCenter ?? ""
    },
    nodes: Effect.sync(() => main.client.raw.hosts.values().map((host) => describeNode(host, main))),
    keyspaces: Effect.map(Run.systemRows(core, KeyspaceRow, selectKeyspaces, []), (rows) => rows.map(describeKeyspace)),
    tables: (keyspace) =>
      Effect.map(Run.systemRows(core, TableRow, selectTables, [keyspace]), (rows) => rows.map((row) => row.table_name)),
    table: (keyspace, table) =>
      Effect.map(
        Run.systemRows(core, ColumnRow, selectColumns, [keyspace, table]),
        (rows) => rows.length === 0 ? Option.none() : Option.some(describeTable(keyspace, table, rows))
      ),
    events: events.stream(),
    use: (f) =>
      Effect.suspend(() => {
        // The driver would connect by itself, and nobody would close that.
        if (main.notConnected !== undefined) {
          return Effect.fail(Errors.make({ reason: Connecting.whyNotConnected(main.notConnected) }))
        }
        return Effect.tryPromise({
          try: () => f(main.client.raw as unknown as RawClient),
          catch: (error) => Errors.make({ reason: classify(error), cause: error })
        })
      }),
    shutdownTimeout: options.shutdownTimeout,
    share: (keyspace) =>
      Effect.suspend(() => {
        if (core.closed) return Effect.fail(Errors.sessionClosed())
        if (keyspace === undefined || keyspace === config.keyspace) return Effect.succeed(main)
        return orRelease(RcMap.get(others, keyspace))
      })
  })
})

/**
 * Of a session without a server.
 *
 * @internal
 */
export const makeScripted = Effect.fnUntraced(function*(
  script: Script,
  keyspace: string | undefined
): Effect.fn.Return<Cluster["Service"], CqlError, Scope.Scope> {
  const config = yield* driverConfig({ contactPoints: ["127.0.0.1"], localDataCenter: "test", keyspace })
  const notConnected = needsServer("the connection to a cluster")
  const shared: SharedClient = {
    client: yield* Driver.unconnected(config),
    admission: new Admission(1, 0),
    statements: new Statements(2048),
    breaker: undefined,
    counts: undefined,
    notConnected,
    isCloud: false,
    script
  }
  return Cluster.of({
    localDataCenter: "test",
    nodes: Effect.succeed([]),
    keyspaces: Effect.succeed([]),
    tables: () => Effect.succeed([]),
    // Rows can be written into any.
    table: (keyspace, table) => Effect.succeed(Option.some(describeTable(keyspace, table, []))),
    events: new ClusterEvents().stream(),
    use: () => Effect.fail(notConnected),
    shutdownTimeout: undefined,
    share: () => Effect.succeed(shared)
  })
})

/** What fails or is interrupted lets go at once, and not with the scope: the next to ask would get the same failure. */
const orRelease = <A, E>(acquire: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      return yield* restore(Scope.provide(acquire, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    })
  )

const describeNode = (host: Host, { client }: SharedClient): Cluster.Node => ({
  address: host.address,
  hostId: host.hostId?.toString() ?? "",
  dataCenter: host.datacenter ?? "",
  rack: host.rack ?? "",
  version: host.cassandraVersion ?? "",
  isUp: host.isUp(),
  isLocal: client.policy.localHosts().includes(host),
  openConnections: host.pool.connections.length,
  inFlight: host.getInFlight()
})

// The server's own tables and not the driver's metadata: their types are CQL, and they are never stale.
const selectKeyspaces = "SELECT keyspace_name, durable_writes, replication FROM system_schema.keyspaces"
const selectTables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"
const selectColumns =
  "SELECT column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?"

const KeyspaceRow = Schema.Struct({
  keyspace_name: Schema.String,
  durable_writes: Schema.Boolean,
  replication: Schema.ReadonlyMap(Schema.String, Schema.String)
})

const TableRow = Schema.Struct({ table_name: Schema.String })

const ColumnRow = Schema.Struct({
  column_name: Schema.String,
  type: Schema.String,
  kind: Schema.Literals(["partition_key", "clustering", "static", "regular"]),
  position: Schema.Int
})

const describeKeyspace = (row: typeof KeyspaceRow.Type): Cluster.Keyspace => ({
  name: row.keyspace_name,
  durableWrites: row.durable_writes,
  replication: Object.fromEntries(row.replication)
})

const describeTable = (
  keyspace: string,
  name: string,
  rows: ReadonlyArray<typeof ColumnRow.Type>
): Cluster.Table => {
  const ofKind = (kind: Cluster.Column["kind"]): ReadonlyArray<string> =>
    rows.filter((row) => row.kind === kind).toSorted((a, b) => a.position - b.position).map((row) => row.column_name)
  return {
    keyspace,
    name,
    columns: rows.map((row) => ({ name: row.column_name, type: row.type, kind: row.kind })),
    partitionKey: ofKind("partition_key"),
    clusteringKey: ofKind("clustering")
  }
}

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

/**
 * Without the keys of variables that are not set, so that `{ ...mine, ...options }` keeps mine.
 *
 * @internal
 */
export const withoutUndefined = <A extends object>(options: A): A =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as A

const tlsFromEnvironment = Config.all({
  on: optional(Config.Boolean("CASSANDRA_TLS")),
  caFile: optional(Config.String("CASSANDRA_TLS_CA_FILE")),
  certFile: optional(Config.String("CASSANDRA_TLS_CERT_FILE")),
  keyFile: optional(Config.String("CASSANDRA_TLS_KEY_FILE")),
  serverName: optional(Config.String("CASSANDRA_TLS_SERVER_NAME"))
}).pipe(Config.map(({ on, serverName, ...files }): boolean | Cluster.Tls | undefined => {
  const named = serverName !== undefined || Object.values(files).some((file) => file !== undefined)
  if (on === false || (on === undefined && !named)) return on
  return { ...files, verify: serverName === undefined ? undefined : { serverName } }
}))

const clusterConfig: Config.Config<Cluster.Options> = Config.all({
  contactPoints: optional(Config.Array(Schema.Trim, "CASSANDRA_CONTACT_POINTS")),
  port: optional(Config.Port("CASSANDRA_PORT")),
  localDataCenter: optional(Config.String("CASSANDRA_LOCAL_DATACENTER")),
  keyspace: optional(Config.String("CASSANDRA_KEYSPACE")),
  username: optional(Config.String("CASSANDRA_USERNAME")),
  password: optional(Config.Redacted("CASSANDRA_PASSWORD")),
  secureConnectBundle: optional(Config.String("CASSANDRA_SECURE_CONNECT_BUNDLE")),
  tls: tlsFromEnvironment,
  connectTimeout: optional(Config.Duration("CASSANDRA_CONNECT_TIMEOUT")),
  shutdownTimeout: optional(Config.Duration("CASSANDRA_SHUTDOWN_TIMEOUT"))
}).pipe(Config.map(withoutUndefined))
