/**
 * A server in a JVM of this machine.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CassandraServer } from "../CassandraServer.ts"
import * as Address from "./address.ts"
import { answers, type Attempt, defaults, readCertificate, settingsOf, superuser, withStartTimeout } from "./attempt.ts"
import { CassandraServerError, withLog } from "./error.ts"
import type { ExecuteError } from "./execute.ts"
import * as Jars from "./jars.ts"
import * as Java from "./java.ts"
import * as Node from "./node.ts"

/** Starts a node where there is a Java for it, and its jars or Maven to get them. */
export const attempt: Attempt = Effect.fnUntraced(function*(options, report) {
  if (process.platform === "win32") return "Cassandra does not run on Windows"
  const { cacheFolder = yield* Jars.defaultCacheFolder, version = defaults.version } = options
  return yield* Effect.gen(function*() {
    const java = yield* Java.find(version)
    const jars = yield* Jars.resolve({ version, cacheFolder, java, report })
    return yield* startNode(options, { version, java, jars, report }, attemptsToTakeAPort)
  }).pipe(
    Effect.catchTags({
      NoJava: ({ found }) => Effect.succeed(describeNoJava(version, found)),
      NoMaven: () => Effect.succeed("Maven (mvn), which downloads Cassandra, is not installed"),
      DownloadError: ({ log, message }) =>
        Effect.fail(withLog("DownloadFailed", `Apache Cassandra ${version} was not downloaded: ${message}`, log))
    })
  )
})

// internal

const describeNoJava = (version: string, found: ReadonlyArray<Java.Java>): string => {
  const wanted = `Cassandra ${version} runs on Java ${Java.supports(version, 17) ? "11 or 17" : "11"}`
  const versions = found.map((java) => java.version)
  return `${wanted}, and ${versions.length === 0 ? "no Java is installed" : `here is Java ${versions.join(", ")}`}`
}

type Given = Pick<Node.NodeOptions, "jars" | "java" | "report" | "version">

const attemptsToTakeAPort = 3

const startNode = (
  options: CassandraServer.Options,
  given: Given,
  attemptsLeft: number
): Effect.Effect<CassandraServer["Service"], CassandraServerError, Scope.Scope> =>
  Effect.flatMap(Address.allocate, (address) => startNodeAt(address, options, given)).pipe(
    (self) => withStartTimeout(self, options),
    Effect.catchTag(
      "NodeError",
      (error) =>
        error.portTaken && attemptsLeft > 1
          ? startNode(options, given, attemptsLeft - 1)
          : Effect.fail(startFailed(error))
    )
  )

const startNodeAt = Effect.fnUntraced(function*(
  address: Address.NodeAddress,
  options: CassandraServer.Options,
  { jars, java, report, version }: Given
): Effect.fn.Return<CassandraServer["Service"], CassandraServerError | Node.NodeError, Scope.Scope> {
  const { authentication = false, heap = defaults.heap, tls = false } = options
  const { localDataCenter } = defaults
  const settings = settingsOf(options)
  const node = yield* Node.make({
    version,
    java,
    jars,
    heap,
    address,
    seeds: [address],
    localDataCenter,
    authentication,
    tls,
    settings,
    report
  })
  const start = Effect.andThen(node.start, report(answers(version, address.host, address.port)))
  yield* start
  return {
    kind: "local",
    contactPoints: [address.host],
    port: address.port,
    localDataCenter,
    credentials: authentication ? superuser : undefined,
    tls,
    certificate: node.certificate ? yield* readCertificate(node.certificate.certificateFile) : undefined,
    process: {
      folder: node.folder,
      logFile: node.logFile,
      processId: node.processId,
      kill: node.kill,
      start: withStartTimeout(Effect.mapError(start, startFailed), options),
      pause: node.pause,
      resume: node.resume,
      nodetool: (...args) => Effect.mapError(node.nodetool(...args), nodetoolFailed)
    }
  }
})

const startFailed = ({ log, message }: Node.NodeError): CassandraServerError =>
  withLog("StartFailed", `Apache Cassandra did not start: ${message}`, log)

const nodetoolFailed = ({ message, output }: ExecuteError): CassandraServerError =>
  new CassandraServerError({ reason: "CommandFailed", message: `nodetool failed: ${output || message}` })
