/**
 * A real Apache Cassandra for tests and demos, as a Layer.
 *
 * The Layer gives the server that `CASSANDRA_CONTACT_POINTS` names. Where it names none, it starts one and owns it: in
 * a container where a Docker daemon answers, else in a JVM of this machine. What it starts goes with its scope, and
 * with this process even when that is killed.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import * as Address from "./internal/address.ts"
import * as Docker from "./internal/docker.ts"
import type { ExecuteError } from "./internal/execute.ts"
import * as Jars from "./internal/jars.ts"
import * as Java from "./internal/java.ts"
import * as Node from "./internal/node.ts"
import { type Report, toStandardError } from "./internal/progress.ts"
import { inRealTime } from "./internal/realTime.ts"
import * as Settings from "./internal/settings.ts"

/**
 * A Cassandra server that answers.
 *
 * @category services
 * @since 0.1.0
 */
export class CassandraServer extends Context.Service<CassandraServer, {
  /** Who runs it: somebody else, a Docker daemon, or this process. */
  readonly kind: Kind
  /** Addresses to connect to. */
  readonly contactPoints: ReadonlyArray<string>
  /** The port for clients, the same on every contact point. */
  readonly port: number
  readonly localDataCenter: string
  /** Who may log in; `undefined` where everybody may. */
  readonly credentials: Credentials | undefined
  /** What a TLS client needs to trust the server; `undefined` where TLS is off. */
  readonly certificate: Certificate | undefined
  /** The process itself, to break it on purpose; only where `kind` is `"local"`. */
  readonly process: ServerProcess | undefined
}>()("effect-cassandra/testing/CassandraServer") {}

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
 * The server's certificate, for 127.0.0.1 and localhost; it is its own authority.
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
export interface ServerProcess {
  /** Holds data, configuration and log; removed with the server. */
  readonly folder: string
  readonly logFile: string
  /** None while it does not run. */
  readonly processId: Effect.Effect<Option.Option<number>>
  /** Ends the process at once, as a power cut does; its data stays. */
  readonly kill: Effect.Effect<void>
  /** Starts it again after `kill`, on the same port and data. */
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
 * Everything but `kind`, `startTimeout` and `onProgress` describes a server that is started here, and means nothing to
 * one that runs already.
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
   * Whether clients have to use TLS; with `"optional"` the same port takes both. By default `false`. A container does
   * not offer it.
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

/**
 * There is no server: none could be found, downloaded or started.
 *
 * **Details**
 *
 * The message says what was tried and what to do. `reason` is one of:
 *
 * - `NothingServes`: nothing on this machine can run a server
 * - `InvalidConfiguration`: an environment variable makes no sense
 * - `DownloadFailed`: Maven did not deliver
 * - `StartFailed`: the server ended before it answered
 * - `StartTimeout`: the server did not answer in time
 * - `CommandFailed`: a command of nodetool failed, on a server that runs
 *
 * @category errors
 * @since 0.1.0
 */
export class CassandraServerError
  extends Schema.TaggedError<CassandraServerError>("effect-cassandra/testing/CassandraServerError")(
    "CassandraServerError",
    {
      reason: Schema.Literals([
        "NothingServes",
        "InvalidConfiguration",
        "DownloadFailed",
        "StartFailed",
        "StartTimeout",
        "CommandFailed"
      ]),
      message: Schema.String,
      cause: Schema.optional(Schema.Defect())
    }
  )
{}

/**
 * Finds or starts a server, for as long as the scope is open.
 *
 * **Details**
 *
 * The first of these that can:
 *
 * 1. The server that `CASSANDRA_CONTACT_POINTS` names (comma separated), with `CASSANDRA_PORT` (9042),
 *    `CASSANDRA_LOCAL_DATACENTER` (datacenter1), `CASSANDRA_USERNAME`, `CASSANDRA_PASSWORD` and `CASSANDRA_CERTIFICATE`
 *    (a PEM file). It is somebody else's: it is neither started nor stopped.
 * 2. A container, where a Docker daemon answers and the package `@testcontainers/cassandra` is installed.
 * 3. A JVM of this machine, where Java 11 to 17 and Maven are installed. Maven downloads Cassandra's jars (66 MB) once.
 *    The server listens on a free port of 127.0.0.1 and keeps its data in a temporary folder.
 *
 * `startTimeout` is real time, also under a `TestClock`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
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
 * **Example** (A session for tests)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Session } from "effect-cassandra"
 * import { CassandraServer } from "effect-cassandra/testing"
 *
 * const SessionTest = Layer.unwrap(
 *   Effect.map(CassandraServer.CassandraServer, ({ contactPoints, localDataCenter, port }) =>
 *     Session.layer({ contactPoints, localDataCenter, port })
 *   )
 * ).pipe(Layer.provide(CassandraServer.layer()))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CassandraServer, CassandraServerError> =>
  Layer.effect(CassandraServer, make(options))

/**
 * The environment variables by which `make` and `layer` find this server, for other processes to use it too.
 *
 * **Gotchas**
 *
 * The password is among them, in clear text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toEnvironment = (server: CassandraServer["Service"]): Record<string, string> => ({
  CASSANDRA_CONTACT_POINTS: server.contactPoints.join(","),
  CASSANDRA_PORT: String(server.port),
  CASSANDRA_LOCAL_DATACENTER: server.localDataCenter,
  ...(server.credentials && {
    CASSANDRA_USERNAME: server.credentials.username,
    CASSANDRA_PASSWORD: Redacted.value(server.credentials.password)
  }),
  ...(server.certificate && { CASSANDRA_CERTIFICATE: server.certificate.file })
})

// internal

type Server = CassandraServer["Service"]

const defaultVersion = "5.0.6"
const defaultHeap = "1G"
const localDataCenter = "datacenter1"

const find = Effect.fnUntraced(function*(
  options: Options,
  report: Report
): Effect.fn.Return<Server, CassandraServerError | Config.ConfigError, Scope.Scope> {
  const obstacles: Array<string> = []
  for (const kind of options.kind ? [options.kind] : ["external", "container", "local"] as const) {
    const found = yield* attempts[kind](options, report)
    if (typeof found !== "string") return found
    obstacles.push(found)
  }
  return yield* nothingServes(obstacles)
})

/** A server, or what is missing for one of this kind. */
type Attempt = Effect.Effect<Server | string, CassandraServerError | Config.ConfigError, Scope.Scope>

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

const withLog = (message: string, log: ReadonlyArray<string>): string =>
  log.length === 0 ? message : [`${message}. From its log:`, ...essence(log).map((line) => `  ${line}`)].join("\n")

// An orderly end says much after the error that led to it.
const essence = (log: ReadonlyArray<string>): ReadonlyArray<string> => {
  const first = log.findIndex((line) => /^(ERROR|Error|Exception)/.test(line))
  return first === -1 ? log.slice(-20) : log.slice(first, first + 20)
}

// A server that runs already

const external = Effect.fnUntraced(
  function*(): Effect.fn.Return<Server | string, CassandraServerError | Config.ConfigError> {
    const contactPoints = yield* Config.option(Config.Array(Schema.Trim, "CASSANDRA_CONTACT_POINTS"))
    const named = Option.getOrElse(contactPoints, () => []).filter((name) => name !== "")
    if (named.length === 0) return "CASSANDRA_CONTACT_POINTS is not set"
    const username = yield* Config.option(Config.String("CASSANDRA_USERNAME"))
    const password = yield* Config.option(Config.Redacted("CASSANDRA_PASSWORD"))
    const certificateFile = yield* Config.option(Config.String("CASSANDRA_CERTIFICATE"))
    return {
      kind: "external",
      contactPoints: named,
      port: yield* Config.Port("CASSANDRA_PORT").pipe(Config.withDefault(9042)),
      localDataCenter: yield* Config.String("CASSANDRA_LOCAL_DATACENTER").pipe(Config.withDefault(localDataCenter)),
      credentials: Option.isSome(username) && Option.isSome(password)
        ? { username: username.value, password: password.value }
        : undefined,
      certificate: Option.isSome(certificateFile) ? yield* readCertificate(certificateFile.value) : undefined,
      process: undefined
    }
  }
)

const readCertificate = (file: string): Effect.Effect<Certificate, CassandraServerError> =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) =>
      new CassandraServerError({
        reason: "InvalidConfiguration",
        message: `The certificate ${file} cannot be read: ${cause}`
      })
  }).pipe(Effect.map((pem) => ({ pem, file })))

// What a server that is started here has

const defaultCredentials: Credentials = { username: "cassandra", password: Redacted.make("cassandra") }

const settingsOf = (options: Options): Settings.Settings => ({
  ...(options.userDefinedFunctions && { user_defined_functions_enabled: true }),
  ...(options.materializedViews && { materialized_views_enabled: true }),
  ...options.settings
})

const withStartTimeout = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  { startTimeout = "2 minutes" }: Options
): Effect.Effect<A, E | CassandraServerError, R> =>
  inRealTime(Effect.timeoutOrElse(self, {
    duration: startTimeout,
    orElse: () =>
      Effect.fail(
        new CassandraServerError({
          reason: "StartTimeout",
          message: "The Cassandra server was started, and does not answer in time; startTimeout allows it more"
        })
      )
  }))

// A container

const container = Effect.fnUntraced(function*(options: Options, report: Report): Effect.fn.Return<
  Server | string,
  CassandraServerError | Config.ConfigError,
  Scope.Scope
> {
  if (options.tls) return "TLS is not offered by a container"
  if (!(yield* Docker.answers)) return "no Docker daemon answers"
  const testcontainers = yield* Docker.load
  if (testcontainers === undefined) return "a Docker daemon answers, but @testcontainers/cassandra is not installed"
  const { authentication = false, heap = defaultHeap, version = defaultVersion } = options
  yield* report({ message: `Starting Apache Cassandra ${version} in a container` })
  const settings = Settings.flatten(Settings.common({ authentication, settings: settingsOf(options) }))
  const started = yield* Docker.start(testcontainers, { version, heap, localDataCenter, settings }).pipe(
    Effect.mapError((cause) =>
      new CassandraServerError({ reason: "StartFailed", message: `The container did not start: ${cause}`, cause })
    ),
    (self) => withStartTimeout(self, options)
  )
  yield* report({ message: ready(version, started.getHost(), started.getPort()), final: true })
  return {
    kind: "container",
    contactPoints: [started.getHost()],
    port: started.getPort(),
    localDataCenter: started.getDatacenter(),
    credentials: authentication ? defaultCredentials : undefined,
    certificate: undefined,
    process: undefined
  }
})

const ready = (version: string, host: string, port: number): string =>
  `Apache Cassandra ${version} answers on ${host}:${port}`

// A JVM of this machine

const local = Effect.fnUntraced(function*(options: Options, report: Report): Effect.fn.Return<
  Server | string,
  CassandraServerError | Config.ConfigError,
  Scope.Scope
> {
  if (process.platform === "win32") return "Cassandra does not run on Windows"
  const { cacheFolder = yield* Jars.defaultCacheFolder, version = defaultVersion } = options
  return yield* Effect.gen(function*() {
    const java = yield* Java.find(version)
    const jars = yield* Jars.resolve({ version, cacheFolder, java, report })
    return yield* startNode(options, { version, java, jars, report }, attemptsToTakeAPort)
  }).pipe(
    Effect.catchTags({
      NoJava: ({ found }) => Effect.succeed(describeNoJava(version, found)),
      NoMaven: () => Effect.succeed("Maven (mvn), which downloads Cassandra, is not installed"),
      DownloadError: ({ log, message }) =>
        Effect.fail(
          new CassandraServerError({
            reason: "DownloadFailed",
            message: withLog(`Maven did not download Apache Cassandra ${version}: ${message}`, log)
          })
        )
    })
  )
})

const attempts: Record<Kind, (options: Options, report: Report) => Attempt> = { external, container, local }

const describeNoJava = (version: string, found: ReadonlyArray<Java.Java>): string =>
  `Cassandra ${version} runs on Java 11${version.startsWith("4.") ? "" : " or 17"}, ${
    found.length === 0 ? "and no Java is installed" : `not on Java ${found.map((java) => java.version).join(", ")}`
  }`

const attemptsToTakeAPort = 3

const startNode = (
  options: Options,
  given: Pick<Node.NodeOptions, "jars" | "java" | "report" | "version">,
  attemptsLeft: number
): Effect.Effect<Server, CassandraServerError, Scope.Scope> =>
  Effect.gen(function*() {
    const address = yield* Address.allocate
    const node = yield* Node.make({
      ...given,
      heap: options.heap ?? defaultHeap,
      address,
      seeds: [address],
      localDataCenter,
      authentication: options.authentication ?? false,
      tls: options.tls ?? false,
      settings: settingsOf(options)
    })
    const start = Effect.andThen(
      node.start,
      given.report({ message: ready(given.version, address.host, address.port), final: true })
    )
    yield* start
    return yield* toServer(node, address, start, options)
  }).pipe(
    (self) => withStartTimeout(self, options),
    Effect.catchTag("NodeError", (error) =>
      error.portTaken && attemptsLeft > 1
        ? startNode(options, given, attemptsLeft - 1)
        : Effect.fail(startFailed(error)))
  )

const startFailed = ({ log, message }: Node.NodeError): CassandraServerError =>
  new CassandraServerError({
    reason: "StartFailed",
    message: withLog(`Apache Cassandra did not start: ${message}`, log)
  })

const toServer = Effect.fnUntraced(function*(
  node: Node.Node,
  address: Address.NodeAddress,
  start: Effect.Effect<void, Node.NodeError>,
  options: Options
): Effect.fn.Return<Server, CassandraServerError> {
  const { folder, kill, logFile, pause, processId, resume } = node
  return {
    kind: "local",
    contactPoints: [address.host],
    port: address.port,
    localDataCenter,
    credentials: options.authentication ? defaultCredentials : undefined,
    certificate: node.certificate ? yield* readCertificate(node.certificate.certificateFile) : undefined,
    process: {
      folder,
      logFile,
      processId,
      kill,
      start: withStartTimeout(Effect.mapError(start, startFailed), options),
      pause,
      resume,
      nodetool: (...args) => Effect.mapError(node.nodetool(...args), nodetoolFailed)
    }
  }
})

const nodetoolFailed = ({ message, output }: ExecuteError): CassandraServerError =>
  new CassandraServerError({ reason: "CommandFailed", message: `nodetool failed: ${output || message}` })
