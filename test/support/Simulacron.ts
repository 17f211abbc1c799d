/**
 * Simulacron: clusters of simulated nodes in a JVM, as a second opinion beside `ScriptedServer`. Its protocol code is
 * that of the Java driver and none of ours, and it counts what each of its nodes was asked.
 *
 * It answers the queries that it is primed for, and what drivers ask to connect. Give each test a cluster of its own.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { randomInt, randomUUID } from "node:crypto"
import { mkdir, rename, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Address from "../../src/testing/internal/address.ts"
import { defaults } from "../../src/testing/internal/attempt.ts"
import * as Jars from "../../src/testing/internal/jars.ts"
import * as Java from "../../src/testing/internal/java.ts"
import * as Supervised from "../../src/testing/internal/supervised.ts"

export interface Node {
  readonly host: string
  /** As the library names it. */
  readonly address: string
  readonly dataCenter: string
  readonly hostId: string
  /** Closes its connections and takes no more. */
  readonly stop: Effect.Effect<void>
  /** Takes connections again. */
  readonly start: Effect.Effect<void>
  /** Leaves unread what it is sent, on connections that stay open. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Before what the whole cluster is primed with. */
  readonly prime: (when: When, then: Then) => Effect.Effect<void>
}

/** A text without parameters, or one with parameters that may have any value. */
export type When = string | { readonly query: string; readonly parameters: Readonly<Record<string, string>> }

/** The body that Simulacron takes: `result` says what comes back, other fields what is in it. */
export interface Then {
  readonly result: string
  readonly [field: string]: unknown
}

export interface Cluster {
  readonly nodes: ReadonlyArray<Node>
  readonly prime: (when: When, then: Then) => Effect.Effect<void>
  /** How often each node was asked to execute this text, in the order of `nodes`. */
  readonly asked: (query: string) => Effect.Effect<ReadonlyArray<number>>
}

export class Simulacron extends Context.Service<Simulacron, {
  /** Data centers `dc1`, `dc2`, ... with so many nodes each. */
  readonly makeCluster: (...nodes: ReadonlyArray<number>) => Effect.Effect<Cluster, never, Scope.Scope>
}>()("test/Simulacron") {
  static readonly layer: Layer.Layer<Simulacron> = Layer.effect(Simulacron, Effect.suspend(() => Effect.orDie(start)))
}

/** On the standard port, which Simulacron gives to each of its addresses. */
export const port = 9042

// internal

class SimulacronError extends Data.TaggedError("SimulacronError")<{
  readonly message: string
  readonly log?: ReadonlyArray<string>
}> {}

const version = "0.12.0"

const jarName = `simulacron-standalone-${version}.jar`

const start = Effect.gen(function*() {
  const java = yield* Java.find(defaults.version)
  const jar = yield* resolveJar(java)
  const http = yield* Address.allocate
  const supervised = yield* Supervised.make(join(tmpdir(), `effect-cassandra-simulacron-${randomUUID()}`))
  const log: Array<string> = []
  const ready = yield* Deferred.make<void, SimulacronError>()
  yield* supervised.run({
    command: join(java.home, "bin", "java"),
    args: [
      "-Xmx160m",
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      "-jar",
      jar,
      "--httpintf",
      http.host,
      "--httpport",
      String(http.port),
      "--ip",
      // Another network for each process, so that several can run at the same time.
      `127.0.${randomInt(100, 250)}.1`
    ],
    env: { ...process.env, JAVA_TOOL_OPTIONS: undefined, JDK_JAVA_OPTIONS: undefined }
  }, {
    onLine: (line) => {
      log.push(line)
      return line.includes("Started HTTP server") ? Effect.asVoid(Deferred.succeed(ready, undefined)) : Effect.void
    }
  }).pipe(
    Effect.matchEffect({
      onFailure: ({ message }) => Deferred.fail(ready, new SimulacronError({ message, log })),
      onSuccess: ({ code }) => Deferred.fail(ready, new SimulacronError({ message: `it ended with code ${code}`, log }))
    }),
    Effect.forkScoped
  )
  yield* Deferred.await(ready)
  const call = caller(`http://${http.host}:${http.port}`)
  return Simulacron.of({ makeCluster: (...nodes) => makeCluster(call, nodes) })
})

const fileSystem = <A>(run: () => Promise<A>): Effect.Effect<A, SimulacronError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new SimulacronError({ message: String(cause) }) })

/** By Maven, once per user; beside the jars of Cassandra. */
const resolveJar = Effect.fnUntraced(function*(java: Java.Java) {
  const target = join(yield* Jars.defaultCacheFolder, `simulacron-${version}`)
  const jar = join(target, jarName)
  const isThere = Effect.match(fileSystem(() => stat(jar)), { onFailure: () => false, onSuccess: () => true })
  if (!(yield* isThere)) yield* Effect.scoped(download(java, target, isThere))
  return jar
})

/** A rename is all or nothing; where another process was faster, its jar is as good. */
const download = Effect.fnUntraced(function*(java: Java.Java, target: string, isThere: Effect.Effect<boolean>) {
  const supervised = yield* Supervised.make(`${target}.${randomUUID()}`)
  const log: Array<string> = []
  const { code } = yield* supervised.run({
    command: "mvn",
    args: [
      "--batch-mode",
      "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
      `-Dartifact=com.datastax.oss.simulacron:simulacron-standalone:${version}`,
      "-DoutputDirectory=result"
    ],
    env: { ...process.env, JAVA_HOME: java.home }
  }, { onLine: (line) => Effect.sync(() => void log.push(line)) })
  if (code !== 0) return yield* new SimulacronError({ message: `mvn ended with code ${code}`, log })
  yield* fileSystem(() => mkdir(dirname(target), { recursive: true }))
  yield* fileSystem(() => rename(join(supervised.folder, "result"), target)).pipe(
    Effect.catch((error) => Effect.flatMap(isThere, (there) => there ? Effect.void : Effect.fail(error)))
  )
})

type Method = "GET" | "POST" | "PUT" | "DELETE"

/** What it refuses is a defect of the test. */
interface Call {
  (method: Method, path: string, body?: unknown): Effect.Effect<unknown>
}

const caller = (base: string): Call => (method, path, body) =>
  Effect.promise(async (signal) => {
    const response = await fetch(`${base}${path}`, {
      method,
      signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
    })
    const text = await response.text()
    if (!response.ok) throw new SimulacronError({ message: `${method} ${path}: ${response.status} ${text}` })
    return text === "" ? undefined : JSON.parse(text)
  })

interface ClusterInfo {
  readonly id: number
  readonly data_centers: ReadonlyArray<{
    readonly id: number
    readonly name: string
    readonly nodes: ReadonlyArray<{ readonly id: number; readonly address: string; readonly host_id: string }>
  }>
}

interface Log {
  readonly data_centers: ReadonlyArray<{
    readonly nodes: ReadonlyArray<{
      readonly queries: ReadonlyArray<{ readonly query: string; readonly type: string }>
    }>
  }>
}

const makeCluster = Effect.fnUntraced(function*(
  call: Call,
  counts: ReadonlyArray<number>
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const cluster = (yield* Effect.acquireRelease(
    call("POST", `/cluster?data_centers=${counts.join()}&cassandra_version=3.11.1`),
    (made) => call("DELETE", `/cluster/${(made as ClusterInfo).id}`)
  )) as ClusterInfo
  return {
    nodes: cluster.data_centers.flatMap(({ id, name, nodes }) =>
      nodes.map((node): Node => {
        const path = `${cluster.id}/${id}/${node.id}`
        const at = (method: Method, resource: string, query = "") =>
          Effect.asVoid(call(method, `/${resource}/${path}${query}`))
        return {
          host: node.address.split(":")[0]!,
          address: node.address,
          dataCenter: name,
          hostId: node.host_id,
          stop: at("DELETE", "listener", "?type=stop"),
          start: at("PUT", "listener"),
          pause: at("PUT", "pause-reads"),
          resume: at("DELETE", "pause-reads"),
          prime: (when, then) => prime(call, path, when, then)
        }
      })
    ),
    prime: (when, then) => prime(call, String(cluster.id), when, then),
    asked: (query) =>
      Effect.map(
        call("GET", `/log/${cluster.id}`),
        (log) =>
          (log as Log).data_centers.flatMap(({ nodes }) =>
            nodes.map(({ queries }) =>
              queries.filter((asked) => asked.query === query && asked.type !== "PREPARE").length
            )
          )
      )
  }
})

const prime = (call: Call, path: string, when: When, then: Then): Effect.Effect<void> =>
  // oxlint-disable-next-line unicorn/no-thenable -- the field is Simulacron's
  Effect.asVoid(call("POST", `/prime/${path}`, { when: whenBody(when), then }))

const whenBody = (when: When): unknown =>
  typeof when === "string" ? { query: when } : {
    query: when.query,
    param_types: when.parameters,
    params: Object.fromEntries(Object.keys(when.parameters).map((name) => [name, "*"]))
  }
