/**
 * Three real Cassandra nodes, which tests kill, stop and start again.
 *
 * ```ts
 * it.layer(RealCluster.layer, { excludeTestServices: true, timeout: "3 minutes" })("...", (it) => {
 *   it.effect("...", () => Effect.gen(function*() {
 *     const cluster = yield* RealCluster.RealCluster
 *     const session = yield* Session.make({ ...cluster.options, attemptTimeout: "2 seconds" })
 *     yield* cluster.nodes[1].kill
 *     yield* cluster.nodes[1].start
 *     yield* cluster.awaitAllUp
 *   }))
 * })
 * ```
 *
 * They are started by the first test file that asks for them, and shared by all others: the files that use them are
 * those of the project `nodes` in vitest.config.ts, where they run one after another in one worker. Name a new file
 * there. Every file gets nodes that are all up, whatever the one before has done to them; each makes keyspaces of its
 * own, with a replication factor of 3. The nodes go with the worker's process, however that ends.
 *
 * A node that is killed keeps every write that it has acknowledged, as `commitlog_sync: batch` makes it: what is missing
 * afterwards was lost by others.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import type { Cluster, CqlError } from "../../src/index.ts"
import { CqlRetry, Session, Statement } from "../../src/index.ts"
import * as Address from "../../src/testing/internal/address.ts"
import * as Jars from "../../src/testing/internal/jars.ts"
import * as Java from "../../src/testing/internal/java.ts"
import * as Node from "../../src/testing/internal/node.ts"
import { toStandardError } from "../../src/testing/internal/progress.ts"

/** One of the three. What fails here is a defect of the test or of the machine. */
export interface RealNode {
  readonly host: string
  /** As `cluster.nodes` of a session names it, and the option `node` takes it. */
  readonly address: string
  readonly logFile: string
  /** Asked of the node, which has to be up. */
  readonly hostId: Effect.Effect<string>
  readonly isRunning: Effect.Effect<boolean>
  /** Ends the process at once (SIGKILL), and waits until it has gone. */
  readonly kill: Effect.Effect<void>
  /** Starts it again after `kill`, on the same data, and waits until it serves; the others may not know of it yet. */
  readonly start: Effect.Effect<void>
  /** Stops the process without ending it (SIGSTOP): connections stay open, and nothing answers. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Runs a command such as `disablebinary`, which takes a JVM, and more than a second. */
  readonly nodetool: (...args: ReadonlyArray<string>) => Effect.Effect<string>
}

/** The three nodes of this run. */
export class RealCluster extends Context.Service<RealCluster, {
  readonly nodes: readonly [RealNode, RealNode, RealNode]
  readonly port: number
  readonly localDataCenter: string
  /** How to connect to them: all three are contact points. */
  readonly options: Cluster.Options
  /** Waits until each node serves clients and sees all three alive, as each one itself says. */
  readonly awaitAllUp: Effect.Effect<void>
  /** Undoes whatever was done to the nodes, and waits until all are up. */
  readonly restore: Effect.Effect<void>
}>()("effect-cassandra/test/RealCluster") {}

/** The nodes, all up. */
export const layer: Layer.Layer<RealCluster> = Layer.effect(
  RealCluster,
  Effect.suspend(() => Effect.tap(Effect.promise(() => runtime().runPromise(RealCluster)), ({ restore }) => restore))
)

// internal

const hosts = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]

const localDataCenter = "datacenter1"

const version = "5.0.6"

class NoJars extends Data.TaggedError("NoJars")<{ readonly message: string }> {}

const make: Effect.Effect<RealCluster["Service"], Node.NodeError | NoJars, Scope.Scope> = Effect.gen(function*() {
  const report = toStandardError()
  const given = yield* findJars(report)
  const addresses = yield* Address.allocateFor(hosts)
  const start = Effect.fnUntraced(function*(address: Address.NodeAddress) {
    const node = yield* Node.make({
      ...given,
      version,
      heap: "512M",
      flags: ["-XX:TieredStopAtLevel=1"],
      address,
      // Each one is, so that each can be the first to come back.
      seeds: addresses,
      localDataCenter,
      authentication: false,
      tls: false,
      settings: { commitlog_sync: "batch", commitlog_sync_period: "0ms" },
      report
    })
    yield* node.start
    return makeNode(node, address)
  })
  const [first, second, third] = yield* Effect.forEach(addresses, start)
  const nodes = [first!, second!, third!] as const
  const { port } = addresses[0]!
  const awaitAllUp = Effect.forEach(hosts, (host) => seesAll(host, port), { concurrency: "unbounded", discard: true })
  yield* awaitAllUp
  return {
    nodes,
    port,
    localDataCenter,
    options: { contactPoints: hosts, port, localDataCenter },
    awaitAllUp,
    restore: Effect.andThen(
      Effect.forEach(nodes, (node) => repair(node, port), { concurrency: "unbounded" }),
      awaitAllUp
    )
  }
})

const findJars = (report: ReturnType<typeof toStandardError>) =>
  Effect.gen(function*() {
    const cacheFolder = yield* Jars.defaultCacheFolder
    const java = yield* Java.find(version)
    const jars = yield* Jars.resolve({ version, cacheFolder, java, report })
    return { java, jars }
  }).pipe(
    Effect.mapError((error) => new NoJars({ message: `These tests need a Java 11 or 17, and Maven: ${error}` }))
  )

const makeNode = (node: Node.Node, { host, port }: Address.NodeAddress): RealNode => ({
  host,
  address: `${host}:${port}`,
  logFile: node.logFile,
  hostId: Effect.orDie(ask(host, port, ({ cql }) => cql`SELECT host_id FROM system.local`.one)).pipe(
    Effect.map((row) => String(row["host_id"]))
  ),
  isRunning: Effect.map(node.processId, Option.isSome),
  kill: node.kill,
  start: Effect.orDie(node.start),
  pause: node.pause,
  resume: node.resume,
  nodetool: (...args) => Effect.orDie(node.nodetool(...args))
})

/** By a session of this node alone. */
const ask = <A, E>(
  host: string,
  port: number,
  question: (session: Session["Service"]) => Effect.Effect<A, E>
): Effect.Effect<A, E | CqlError> =>
  Session.make({
    contactPoints: [host],
    port,
    nodeFilter: ({ address }) => address === `${host}:${port}`,
    connectTimeout: "5 seconds",
    timeout: "5 seconds",
    schemaMetadata: false,
    retry: CqlRetry.none
  }).pipe(Effect.flatMap(question), Effect.scoped)

/** A keyspace that the server makes itself, with three replicas; a read of all needs all nodes alive. */
const readOfAll = ({ cql }: Session["Service"]) =>
  cql`SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = 'a' AND view_name = 'b'`

const seesAll = (host: string, port: number): Effect.Effect<void> =>
  ask(host, port, (session) => Statement.withOptions(readOfAll(session), { consistency: "all" })).pipe(
    Effect.retry(Schedule.upTo(Schedule.spaced("200 millis"), { duration: "2 minutes" })),
    Effect.orDie,
    Effect.asVoid
  )

const repair = Effect.fnUntraced(function*(node: RealNode, port: number): Effect.fn.Return<void> {
  yield* node.resume
  if (!(yield* node.isRunning)) return yield* node.start
  if (!(yield* listens(node.host, port))) yield* node.nodetool("enablebinary")
})

const listens = (host: string, port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, host)
    const answer = (isOpen: boolean) => {
      socket.destroy()
      resume(Effect.succeed(isOpen))
    }
    socket.once("connect", () => answer(true))
    socket.once("error", () => answer(false))
  })

type Shared = ManagedRuntime.ManagedRuntime<RealCluster, Node.NodeError | NoJars>

const sharedKey = Symbol.for("effect-cassandra/test/RealCluster")

/** Of this worker, whose test files may each have a copy of this module. Nobody disposes of it: it ends with the process. */
const runtime = (): Shared => {
  const shared = globalThis as { [sharedKey]?: Shared }
  return shared[sharedKey] ??= ManagedRuntime.make(Layer.effect(RealCluster, make))
}
