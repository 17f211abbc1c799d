/**
 * What a cluster's metrics show: that each moves when it must, by how much, and no other with it; what is shared by
 * clusters of one name; and that nothing of it outlives them. On scripted servers, which can be made to show anything.
 */
import { assert, describe, it } from "@effect/vitest"
import Driver from "cassandra-driver"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { EventEmitter } from "node:events"
import { vi } from "vitest"
import { Cluster, CqlMetrics, CqlRetry, Session, Statement } from "../src/index.ts"
import type { RawClient } from "../src/internal/driver/client.ts"
import type { MetricId } from "../src/internal/metrics.ts"
import { definitions } from "../src/internal/metrics.ts"
import type { Published } from "../src/internal/publication.ts"
import { publish } from "../src/internal/publication.ts"
import type * as Protocol from "./support/protocol.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, openOn, optionsFor, preparesUsers, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const { batch, withOptions } = Statement

const numbers = [{ name: "n", type: "int" }]

const row = (n: number) => Reply.rows({ columns: numbers, rows: [[n]] })

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })

// --- reading

const idOf = new Map(Object.entries(definitions).map(([id, { name }]) => [name as string, id as MetricId]))

type Attributes = Readonly<Record<string, string>>

const valueOf = (snapshot: Metric.Metric.Snapshot): number => {
  switch (snapshot.type) {
    case "Counter":
    case "Histogram":
      return Number(snapshot.state.count)
    case "Gauge":
      return Number(snapshot.state.value)
    default:
      return Number.NaN
  }
}

/** A registry of the test's own, and what is in it. */
const makeRegistry = (attributes: Attributes = {}) => {
  const registry: Metric.MetricRegistry = new Map()
  const context = Context.make(Metric.MetricRegistry, registry)
  const snapshot = () => Metric.snapshotUnsafe(context)
  const find = (metric: MetricId, labels: Attributes) =>
    snapshot().filter(({ attributes = {}, id }) =>
      id === definitions[metric].name && Object.entries(labels).every(([name, value]) => attributes[name] === value)
    )
  return {
    registry,
    context,
    snapshot,
    find,
    /** Of all series that have these labels. */
    read: (metric: MetricId, labels: Attributes = {}) =>
      find(metric, labels).reduce((sum, snapshot) => sum + valueOf(snapshot), 0),
    provide: <A, E, R>(self: Effect.Effect<A, E, R>) =>
      self.pipe(
        Effect.provideService(Metric.MetricRegistry, registry),
        Effect.provideService(Metric.CurrentMetricAttributes, attributes)
      )
  }
}

type Reading = ReturnType<typeof makeRegistry>

type Values = Readonly<Record<string, number>>

/** A cluster of scripted nodes in a subnet of this file's own, a session on it, and what its metrics are. */
const opened = Effect.fnUntraced(function*(nodes = 1, options?: Session.Options) {
  const servers = yield* ScriptedServer.makeCluster({ nodes, subnet: "127.0.92" })
  const reading = makeRegistry()
  const all = yield* reading.provide(openOn(servers, { shutdownTimeout: "20 millis", ...options }))
  yield* until(() => reading.find("nodeInfo", {}).length === nodes)
  const nameOf = (hostId: string) => `node${servers.nodes.findIndex((node) => node.hostId === hostId)}`
  /** Every series that is not about bytes, as `metric label label`. */
  const values = (): Values =>
    Object.fromEntries(
      reading.snapshot().flatMap((snapshot) => {
        const metric = idOf.get(snapshot.id)!
        if (metric === "nodeSentBytes" || metric === "nodeReceivedBytes") return []
        const { cluster: _, node, unit: __, ...labels } = snapshot.attributes ?? {}
        const name = [metric, ...(node === undefined ? [] : [nameOf(node)]), ...Object.values(labels)].join(" ")
        return [[name, valueOf(snapshot)]]
      })
    )
  /** By how much this moves what. */
  const moved = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
    const before = values()
    yield* Effect.exit(effect)
    // The driver frees a stream once its answer has been dealt with.
    yield* turn
    const names = new Set([...Object.keys(before), ...Object.keys(values())])
    const after = values()
    const moves = [...names].map((name): [string, number] => [name, (after[name] ?? 0) - (before[name] ?? 0)])
    return Object.fromEntries(moves.filter(([, by]) => by !== 0))
  })
  return { ...all, ...reading, moved }
})

/** What one statement of this kind moves that is answered at the first attempt. */
const answered = (operation: string, node = "node0") => ({
  [`requests ${operation}`]: 1,
  [`requestDuration ${operation} ok`]: 1,
  [`nodeAttempts ${node}`]: 1,
  [`nodeAttemptDuration ${node}`]: 1
})

const failed = (operation: string, reason: string, node = "node0") => ({
  [`requests ${operation}`]: 1,
  [`requestDuration ${operation} error`]: 1,
  [`errors ${reason}`]: 1,
  [`nodeAttempts ${node}`]: 1,
  [`nodeAttemptDuration ${node}`]: 1,
  [`nodeErrors ${node} ${reason}`]: 1
})

const Text = Schema.Struct({ n: Schema.String })

// --- a case for each metric

const usual = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on("SELECT n", row(1))
  assert.deepStrictEqual(yield* moved(cql`SELECT n`), answered("SELECT"))
})

const failing = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on("SELECT bad", Reply.invalid("no"))
  assert.deepStrictEqual(yield* moved(cql`SELECT bad`), failed("SELECT", "InvalidQuery"))
})

const timingOut = Effect.gen(function*() {
  const { cql, moved, read, servers } = yield* opened()
  servers.on("SELECT late", Reply.silence)
  const changes = yield* moved(Effect.gen(function*() {
    yield* Effect.ignore(cql`SELECT late`.pipe(withOptions({ timeout: "20 millis" })))
    // The silent connection is asked whether it lives.
    yield* until(() => read("nodeInFlight") === 1)
  }))
  // How long its place is kept is told elsewhere.
  const { inFlight: _, ...others } = changes
  assert.deepStrictEqual(others, {
    "requests SELECT": 1,
    "requestDuration SELECT error": 1,
    "errors ClientTimeout": 1,
    "timeouts operation": 1,
    "nodeAttempts node0": 1,
    "nodeErrors node0 ClientTimeout": 1,
    // The node may still work on it.
    "nodeInFlight node0": 1,
    "nodeAvailableStreams node0": -1,
    "nodeOrphanedStreams node0": 1
  })
})

const retrying = Effect.gen(function*() {
  const { cql, moved, read, servers } = yield* opened(2)
  servers.on("SELECT n", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : row(1))
  const first = () => servers.received("SELECT n")[0]!.node.hostId
  const changes = yield* moved(cql`SELECT n`.pipe(withOptions({ idempotent: true })))
  const [failed, good] = first() === servers.nodes[0]!.hostId ? ["node0", "node1"] : ["node1", "node0"]
  assert.deepStrictEqual(changes, {
    ...answered("SELECT", good),
    "retries Overloaded": 1,
    [`nodeAttempts ${failed}`]: 1,
    [`nodeAttemptDuration ${failed}`]: 1,
    [`nodeErrors ${failed} Overloaded`]: 1,
    [`nodeRetries ${failed} Overloaded`]: 1
  })
  assert.strictEqual(read("nodeRetries", { node: first() }), 1)
})

const hedging = Effect.gen(function*() {
  const { cql, moved, servers, session } = yield* opened(2)
  const send = vi.spyOn(session.core.shared.client, "send")
  const firstAsked = () => String(send.mock.calls[0]![0].hostId)
  servers.on("SELECT n", ({ node }) => node.hostId === firstAsked() ? Reply.silence : row(1))
  const changes = yield* moved(
    cql`SELECT n`.pipe(withOptions({ idempotent: true, hedge: { delay: "1 millis" } }))
  )
  const [late, good] = firstAsked() === servers.nodes[0]!.hostId ? ["node0", "node1"] : ["node1", "node0"]
  assert.deepStrictEqual(changes, {
    ...answered("SELECT", good),
    "speculativeExecutions": 1,
    [`nodeSpeculativeExecutions ${late}`]: 1,
    [`nodeAttempts ${late}`]: 1,
    // The node is still at work.
    "inFlight": 1,
    [`nodeInFlight ${late}`]: 1,
    [`nodeAvailableStreams ${late}`]: -1
  })
})

const batching = Effect.gen(function*() {
  const { cql, find, moved, servers, session } = yield* opened()
  servers.on(/INSERT/, Reply.void)
  const changes = yield* moved(
    batch([cql`INSERT 1`, cql`INSERT 2`, cql`INSERT 3`]).pipe(Effect.provideService(Session, session))
  )
  assert.deepStrictEqual(changes, { ...answered("BATCH"), "batchStatements logged": 1 })
  assert.deepInclude(find("batchStatements", { type: "logged" })[0]!.state, { count: 1, sum: 3, min: 3, max: 3 })
})

const misreading = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on("SELECT n", row(1))
  assert.deepStrictEqual(yield* moved(cql(Text)`SELECT n`), { ...answered("SELECT"), decodeFailures: 1 })
})

const warning = Effect.gen(function*() {
  const { cql, moved, read, servers, session } = yield* opened()
  servers.on("SELECT n", Reply.warnings(row(1), ["large", "old"]))
  const changes = yield* Effect.provideService(moved(cql`SELECT n`), References.MinimumLogLevel, "None")
  assert.deepStrictEqual(changes, { ...answered("SELECT"), serverWarnings: 2 })
  // A batch over many partitions is warned of here, where no server says so.
  servers.on(() => true, Reply.void, ["batch"])
  preparesUsers(servers)
  const inserts = Array.from({ length: 11 }, (_, id) => cql`INSERT ${`user ${id}`}`)
  const { warnings } = yield* batch(inserts, { type: "unlogged" }).result.pipe(
    Effect.provideService(Session, session),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  assert.lengthOf(warnings, 1)
  assert.strictEqual(read("serverWarnings"), 2)
})

const streaming = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1], [2]], [], [[3]]] }))
  assert.deepStrictEqual(yield* moved(Stream.runDrain(cql`SELECT n`.stream)), {
    "requests SELECT": 3,
    "requestDuration SELECT ok": 3,
    "nodeAttempts node0": 3,
    "nodeAttemptDuration node0": 3,
    "streamedPages": 3,
    "streamedRows": 3
  })
})

const waiting = Effect.gen(function*() {
  const { cql, moved, read, servers } = yield* opened(1, { maxInFlight: 1, maxQueued: 1 })
  const held = hold(servers, "SELECT n", row(1))
  assert.strictEqual(read("inFlightLimit"), 1)
  assert.strictEqual(read("queueLimit"), 1)
  const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(cql`SELECT n`))
  yield* held.awaitHeld(1)
  assert.strictEqual(read("inFlight"), 1)
  assert.strictEqual(read("queued"), 1)
  assert.deepStrictEqual(yield* moved(cql`SELECT n`), {
    "requests SELECT": 1,
    "requestDuration SELECT error": 1,
    "errors AdmissionRefused": 1,
    "admissionRefusals queueFull": 1
  })
  yield* held.answer()
  yield* held.awaitHeld(1)
  yield* held.answer()
  yield* Effect.forEach(fibers, Fiber.join)
  assert.strictEqual(read("inFlight"), 0)
  assert.strictEqual(read("queued"), 0)
  assert.strictEqual(read("admissionDelay"), 1)
})

const breaking = Effect.gen(function*() {
  const circuitBreaker = { failureRate: 1, size: 1, openDuration: "1 millis" } as const
  const { cql, moved, read, servers } = yield* opened(1, { circuitBreaker, retry: CqlRetry.none })
  servers.on("SELECT 1", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : row(1))
  assert.deepStrictEqual(yield* moved(cql`SELECT 1`), { ...failed("SELECT", "Overloaded"), circuitOpen: 1 })
  // Once its time is over, one is let through to try.
  yield* Effect.retry(cql`SELECT 1`, Schedule.spaced("1 millis"))
  assert.strictEqual(read("circuitOpen"), 0)
})

const preparing = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on(/SELECT/, row(1))
  const statement = cql`SELECT n WHERE id = ${"a"}`
  assert.deepStrictEqual(yield* moved(statement), { ...answered("SELECT"), prepares: 1, preparedStatements: 1 })
  assert.deepStrictEqual(yield* moved(statement), answered("SELECT"))
})

const preparingAgain = Effect.gen(function*() {
  const { cql, moved, servers } = yield* opened()
  servers.on(/SELECT/, row(1))
  const statement = cql`SELECT n WHERE id = ${"a"}`
  yield* statement
  yield* servers.forgetPrepared
  const changes = yield* moved(statement)
  assert.deepInclude(changes, { "nodeReprepares node0": 1, "prepares": 1, "requestDuration SELECT ok": 1 })
  assert.notProperty(changes, "preparedStatements")
})

const goingDown = Effect.gen(function*() {
  const all = yield* opened(2)
  const { find, read, servers, session } = all
  const node = servers.nodes[1]!
  const labels = { node: node.hostId }
  assert.strictEqual(read("nodes", { state: "up" }), 2)
  assert.strictEqual(read("nodes", { state: "down" }), 0)
  yield* untilNode("hostDown", session, Effect.andThen(node.refuse, node.dropConnections))
  assert.strictEqual(read("nodes", { state: "up" }), 1)
  assert.strictEqual(read("nodes", { state: "down" }), 1)
  assert.strictEqual(read("nodeUp", labels), 0)
  assert.strictEqual(read("nodeConnections", labels), 0)
  assert.strictEqual(read("nodeConnectionErrors", { ...labels, reason: "ConnectionLost" }), 1)
  assert.strictEqual(read("nodeUp", { node: servers.nodes[0]!.hostId }), 1)
  // It is tried again, in vain.
  const refused = () =>
    find("nodeConnectionErrors", labels).filter(({ attributes }) => attributes?.reason !== "ConnectionLost")
  yield* until(() => refused().length > 0)
  assert.deepStrictEqual(refused().map(({ attributes }) => attributes!.reason), ["ConnectionError"])
  yield* untilNode("hostUp", session, node.accept)
  assert.strictEqual(read("nodeUp", labels), 1)
  yield* until(() => read("nodeConnections", labels) === 1)
})

const connecting = Effect.gen(function*() {
  const { close, read } = yield* opened()
  assert.strictEqual(read("connectDuration", { outcome: "ok" }), 1)
  assert.strictEqual(read("connectDuration", { outcome: "error" }), 0)
  assert.strictEqual(read("closeDuration"), 0)
  yield* close
  assert.strictEqual(read("closeDuration"), 1)
  assert.strictEqual(read("connectDuration"), 1)
})

const describing = Effect.gen(function*() {
  const { find, servers } = yield* opened()
  const [node] = servers.nodes
  assert.deepStrictEqual(find("nodeInfo", {}).map(({ attributes, state }) => ({ attributes, state })), [{
    attributes: {
      cluster: "cassandra",
      node: node!.hostId,
      address: `${node!.host}:${node!.port}`,
      data_center: "datacenter1",
      rack: "rack1",
      version: "4.1.0",
      unit: "{node}"
    },
    state: { value: 1 }
  }])
})

const working = Effect.gen(function*() {
  const { cql, moved, read, servers } = yield* opened(1, { maxRequestsPerConnection: 100, connectionsPerNode: 2 })
  assert.strictEqual(read("nodeConnections"), 2)
  assert.strictEqual(read("nodeInFlight"), 0)
  assert.strictEqual(read("nodeAvailableStreams"), 200)
  const held = hold(servers, "SELECT n", row(1))
  const changes = yield* moved(Effect.gen(function*() {
    yield* Effect.forEach([1, 2, 3], () => Effect.forkDetach(cql`SELECT n`))
    yield* held.awaitHeld(3)
  }))
  assert.deepInclude(changes, { "inFlight": 3, "nodeInFlight node0": 3, "nodeAvailableStreams node0": -3 })
  yield* held.answer(3)
  yield* until(() => read("inFlight") === 0)
  assert.strictEqual(read("nodeAvailableStreams"), 200)
})

const sending = Effect.gen(function*() {
  const { cql, read, servers, session } = yield* opened()
  servers.on("SELECT n", Reply.rows({ columns: [{ name: "n", type: "text" }], rows: [["x".repeat(10_000)]] }))
  const traffic = () => ({ sent: read("nodeSentBytes"), received: read("nodeReceivedBytes") })
  const before = traffic()
  assert.isAbove(before.sent, 0)
  yield* cql`SELECT n`
  const after = traffic()
  assert.isAbove(after.received, before.received + 10_000)
  assert.isAbove(after.sent, before.sent)
  assert.isBelow(after.sent, before.sent + 1000)
  // Also what went over connections that are gone.
  yield* untilNode("hostDown", session, Effect.andThen(servers.refuse, servers.dropConnections))
  yield* until(() => servers.connections() === 0 && read("nodeConnections") === 0)
  assert.isAtLeast(traffic().received, after.received)
  assert.isAtLeast(traffic().sent, after.sent)
})

/** Every metric has one, or it might be dead. */
const cases: Readonly<Record<MetricId, Effect.Effect<void, unknown, Scope.Scope>>> = {
  requests: usual,
  requestDuration: usual,
  errors: failing,
  timeouts: timingOut,
  retries: retrying,
  speculativeExecutions: hedging,
  batchStatements: batching,
  decodeFailures: misreading,
  serverWarnings: warning,
  streamedPages: streaming,
  streamedRows: streaming,
  inFlight: waiting,
  inFlightLimit: waiting,
  queued: waiting,
  queueLimit: waiting,
  admissionDelay: waiting,
  admissionRefusals: waiting,
  circuitOpen: breaking,
  preparedStatements: preparing,
  prepares: preparing,
  nodes: goingDown,
  connectDuration: connecting,
  closeDuration: connecting,
  nodeInfo: describing,
  nodeUp: goingDown,
  nodeAttempts: usual,
  nodeAttemptDuration: usual,
  nodeErrors: failing,
  nodeRetries: retrying,
  nodeSpeculativeExecutions: hedging,
  nodeReprepares: preparingAgain,
  nodeInFlight: working,
  nodeAvailableStreams: working,
  nodeOrphanedStreams: timingOut,
  nodeConnections: working,
  nodeConnectionErrors: goingDown,
  nodeSentBytes: sending,
  nodeReceivedBytes: sending
}

describe("each metric moves when it must, and no other with it:", () => {
  for (const [effect, metrics] of Map.groupBy(Object.keys(definitions), (id) => cases[id as MetricId])) {
    it.live(metrics.join(", "), () => effect)
  }
})

describe("the outcome of a request", () => {
  it.live("is interrupted, where nobody waits for it any more", () =>
    Effect.gen(function*() {
      const { cql, moved, servers } = yield* opened()
      const held = hold(servers, "SELECT n", row(1))
      const changes = yield* moved(Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(cql`SELECT n`)
        yield* held.awaitHeld(1)
        yield* Fiber.interrupt(fiber)
        yield* held.answer()
        yield* turn
      }))
      assert.include(changes, {
        "requests SELECT": 1,
        "requestDuration SELECT interrupted": 1,
        "nodeAttempts node0": 1
      })
      assert.doesNotHaveAnyKeys(changes, ["requestDuration SELECT ok", "requestDuration SELECT error"])
    }))

  it.live("is an error, where a decision of a retry policy throws", () =>
    Effect.gen(function*() {
      const retry = CqlRetry.make({
        decide: () => {
          throw new Error("no decision")
        }
      })
      const { cql, moved, servers } = yield* opened(1, { retry })
      servers.on("SELECT n", Reply.overloaded("busy"))
      assert.deepStrictEqual(yield* moved(cql`SELECT n`), failed("SELECT", "Overloaded"))
    }))

  it.live("is counted once, however many attempts it took", () =>
    Effect.gen(function*() {
      const { cql, read, servers } = yield* opened(1, { shutdownTimeout: "20 millis" })
      servers.on("SELECT n", ({ attempt }) => attempt < 3 ? Reply.overloaded("busy") : row(1))
      yield* cql`SELECT n`.pipe(withOptions({ idempotent: true }))
      assert.strictEqual(read("requests"), 1)
      assert.strictEqual(read("requestDuration"), 1)
      assert.strictEqual(read("retries"), 2)
      assert.strictEqual(read("nodeAttempts"), 3)
      assert.strictEqual(read("errors"), 0)
    }))

  it.live("is told by the reasons of CqlError, and no label has a text of a statement or a value", () =>
    Effect.gen(function*() {
      const { cql, servers, snapshot } = yield* opened()
      servers.on(/secret/, Reply.invalid("secret"))
      yield* Effect.ignore(cql`SELECT secret WHERE id = ${"secret"}`)
      yield* Effect.ignore(cql`secret`)
      const labels = snapshot().flatMap(({ attributes = {} }) => Object.values(attributes))
      assert.include(labels, "InvalidQuery")
      assert.include(labels, "OTHER")
      assert.lengthOf(labels.filter((label) => /secret/i.test(label)), 0)
    }))
})

/** What is there for good: how long it took to connect and to close. */
const outlives = [definitions.closeDuration.name, definitions.connectDuration.name]

const namesIn = ({ snapshot }: Reading) => [...new Set(snapshot().map(({ id }) => id))].toSorted()

/** In a scope of its own. */
const openIn = Effect.fnUntraced(function*(
  reading: Reading,
  server: ScriptedServer.Cluster,
  options?: Session.Options
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const session = yield* reading.provide(
    Scope.provide(connect(server, { shutdownTimeout: "20 millis", ...options }), scope)
  )
  return { cql: session.cql, close: Scope.close(scope, Exit.void) }
})

const oneNode = ScriptedServer.makeCluster({ nodes: 1, subnet: "127.0.92" })

describe("a cluster", () => {
  it.live("counts nothing where its option says so", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on("SELECT n", row(1))
      const reading = makeRegistry()
      const { cql, close } = yield* openIn(reading, servers, { metrics: false })
      yield* cql`SELECT n`
      yield* close
      assert.strictEqual(reading.registry.size, 0)
    }))

  it.live("shows itself by its name, and in the registry of the context in which it was made", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      const reading = makeRegistry()
      const other = makeRegistry()
      const { cql } = yield* openIn(reading, servers, { name: "orders" })
      yield* other.provide(Effect.ignore(cql`SELECT n`))
      assert.strictEqual(other.registry.size, 0)
      const names = new Set(reading.snapshot().map(({ attributes }) => attributes?.cluster))
      assert.deepStrictEqual([...names], ["orders"])
      assert.strictEqual(reading.read("requests", { cluster: "orders" }), 1)
    }))

  it.live("has the attributes of its context, and shares no series with one of others", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on("SELECT n", row(1))
      const registry: Metric.MetricRegistry = new Map()
      const under = (pool: string) => ({
        ...makeRegistry(),
        provide: <A, E, R>(self: Effect.Effect<A, E, R>) =>
          self.pipe(
            Effect.provideService(Metric.MetricRegistry, registry),
            Effect.provideService(Metric.CurrentMetricAttributes, { pool })
          )
      })
      const a = yield* openIn(under("a"), servers)
      const b = yield* openIn(under("b"), servers)
      yield* a.cql`SELECT n`
      yield* b.cql`SELECT n`
      yield* b.cql`SELECT n`
      const counted = () =>
        Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry))
          .filter(({ id }) => id === definitions.requests.name)
          .map((snapshot) => [snapshot.attributes?.pool, valueOf(snapshot)])
      assert.deepStrictEqual(counted(), [["a", 1], ["b", 2]])
      yield* a.close
      assert.deepStrictEqual(counted(), [["b", 2]])
    }))

  it.live("is counted with the others of its name, of which one may close, and all together are gone with the last", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on("SELECT n", row(1))
      const reading = makeRegistry()
      const { read } = reading
      const a = yield* openIn(reading, servers, { maxInFlight: 10 })
      const b = yield* openIn(reading, servers, { maxInFlight: 5 })
      yield* a.cql`SELECT n`
      yield* b.cql`SELECT n`
      const sent = read("nodeSentBytes")
      assert.strictEqual(read("requests"), 2)
      assert.strictEqual(read("inFlightLimit"), 15)
      assert.strictEqual(read("nodeConnections"), 2)
      assert.strictEqual(read("nodes", { state: "up" }), 1)
      yield* a.close
      assert.strictEqual(read("requests"), 2)
      assert.strictEqual(read("inFlightLimit"), 5)
      assert.strictEqual(read("nodeConnections"), 1)
      assert.isAtLeast(read("nodeSentBytes"), sent)
      yield* b.cql`SELECT n`
      assert.strictEqual(read("requests"), 3)
      yield* b.close
      assert.deepStrictEqual(namesIn(reading), outlives)
      // The next one begins anew.
      const c = yield* openIn(reading, servers)
      yield* c.cql`SELECT n`
      assert.strictEqual(read("requests"), 1)
    }))

  it.live("counts the clients of its keyspaces together, and each node once", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on(/^USE/, ({ query }) => Reply.keyspace(query.replaceAll(/USE|"| /g, "")), ["system", "query"])
      servers.on("SELECT n", row(1))
      const reading = makeRegistry()
      const { read } = reading
      const scope = yield* Scope.fork(yield* Effect.scope)
      const options = { ...optionsFor(servers), maxInFlight: 10, shutdownTimeout: "20 millis" } as const
      const cluster = yield* reading.provide(Scope.provide(Cluster.make(options), scope))
      const sessionIn = (keyspace: string) =>
        Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster), Scope.provide(scope))
      const shop = yield* sessionIn("shop")
      const stock = yield* sessionIn("stock")
      yield* shop.cql`SELECT n`
      yield* stock.cql`SELECT n`
      assert.strictEqual(read("inFlightLimit"), 30)
      assert.strictEqual(read("connectDuration", { outcome: "ok" }), 3)
      assert.strictEqual(read("requests"), 2)
      assert.strictEqual(read("nodes", { state: "up" }), 1)
      assert.strictEqual(read("nodeUp"), 1)
      assert.strictEqual(read("nodeInfo"), 1)
      assert.strictEqual(read("nodeConnections"), 3)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(namesIn(reading), outlives)
    }))

  it.live("that cannot connect says how long it tried, and leaves nothing else", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      yield* servers.refuse
      const reading = makeRegistry()
      yield* Effect.flip(Effect.scoped(openIn(reading, servers)))
      assert.strictEqual(reading.read("connectDuration", { outcome: "error" }), 1)
      assert.deepStrictEqual(namesIn(reading), [definitions.connectDuration.name])
    }))

  it.live("leaves nothing behind in 200 openings and closings but how long they took", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on("SELECT n", row(1))
      const reading = makeRegistry()
      const once = Effect.gen(function*() {
        const { cql, close } = yield* openIn(reading, servers)
        yield* cql`SELECT n`
        yield* close
      })
      yield* once
      const { size } = reading.registry
      yield* Effect.repeat(once, { times: 198 })
      assert.strictEqual(reading.registry.size, size)
      assert.deepStrictEqual(namesIn(reading), outlives)
      assert.strictEqual(reading.read("connectDuration"), 200)
      assert.strictEqual(reading.read("closeDuration"), 200)
    }))

  it.live("may be read at any moment: before it is connected, and while it closes", () =>
    Effect.gen(function*() {
      const servers = yield* oneNode
      servers.on("SELECT n", row(1))
      yield* servers.refuse
      const reading = makeRegistry()
      const { cql, close } = yield* openIn(reading, servers, {
        connectInBackground: true,
        connectSchedule: Schedule.spaced("5 millis")
      })
      yield* Effect.flip(cql`SELECT n`)
      assert.strictEqual(reading.read("nodes"), 0)
      assert.strictEqual(reading.read("errors", { reason: "NoHostAvailable" }), 1)
      yield* servers.accept
      yield* until(() => reading.read("nodes", { state: "up" }) === 1)
      yield* cql`SELECT n`
      const closing = yield* Effect.forkChild(close)
      let reads = 0
      yield* Effect.repeat(Effect.sync(() => reading.snapshot()).pipe(Effect.andThen(turn)), {
        until: () => ++reads > 5 && closing.pollUnsafe() !== undefined
      })
      assert.deepStrictEqual(namesIn(reading), outlives)
    }))

  it.live("that has closed counts what ends later for nobody", () =>
    Effect.sync(() => {
      const { context, registry } = makeRegistry()
      const { publication, release } = publish(context, "late")
      publication.counts.error("Overloaded").add()
      release()
      publication.counts.error("Unavailable").add()
      publication.counts.operation("SELECT").started.add()
      publication.nodesChanged()
      assert.strictEqual(registry.size, 0)
    }))
})

const topologyChange = (
  change: "NEW_NODE" | "REMOVED_NODE",
  { host, port }: ScriptedServer.ScriptedServer
): Protocol.Event => ({ type: "TOPOLOGY_CHANGE", change, address: host, port })

/** The driver waits so long, in milliseconds, for more events before it looks for nodes. */
const eager = { driverOptions: { refreshSchemaDelay: 1 } }

describe("a node's series", () => {
  it.live("come with it, and go with it", () =>
    Effect.gen(function*() {
      const { find, servers, session } = yield* opened(2, eager)
      const node = yield* servers.add()
      const labels = { node: node.hostId }
      yield* untilNode("hostAdd", session, servers.pushEvent(topologyChange("NEW_NODE", node)))
      yield* until(() => find("nodeInfo", labels).length === 1 && find("nodeConnections", labels).length === 1)
      yield* untilNode(
        "hostRemove",
        session,
        Effect.andThen(servers.remove(node), servers.pushEvent(topologyChange("REMOVED_NODE", node)))
      )
      const all = () => [...idOf.values()].flatMap((metric) => find(metric, labels))
      yield* until(() => all().length === 0)
    }))

  it.live("stay where it comes back to, after a whole outage as well", () =>
    Effect.gen(function*() {
      const { cql, read, servers, session } = yield* opened()
      servers.on("SELECT n", row(1))
      yield* cql`SELECT n`
      const sent = read("nodeSentBytes")
      yield* untilNode("hostDown", session, Effect.andThen(servers.refuse, servers.dropConnections))
      // To the driver it may be a new one then.
      yield* servers.accept
      yield* until(() => session.core.shared.client.openNodes().length === 1)
      yield* cql`SELECT n`
      assert.strictEqual(read("nodeAttempts"), 2)
      assert.strictEqual(read("nodeInfo"), 1)
      assert.isAbove(read("nodeSentBytes"), sent)
    }))

  it.live("stay when it comes back at another address", () =>
    Effect.gen(function*() {
      const { cql, find, read, servers, session } = yield* opened(2, eager)
      servers.on("SELECT n", row(1))
      const node = servers.nodes[1]!
      const labels = { node: node.hostId }
      yield* cql`SELECT n`.pipe(withOptions({ node: node.hostId }))
      const host = session.core.shared.client.node(node.hostId)!
      yield* servers.remove(node)
      const moved = yield* servers.add({ hostId: node.hostId })
      yield* untilNode("hostAdd", session, servers.pushEvent(topologyChange("NEW_NODE", moved)))
      const address = `${moved.host}:${moved.port}`
      yield* until(() => find("nodeInfo", labels)[0]?.attributes?.address === address)
      yield* until(() => read("nodeConnections", labels) === 1 && read("nodeUp", labels) === 1)
      yield* cql`SELECT n`.pipe(withOptions({ node: node.hostId }))
      assert.strictEqual(read("nodeAttempts", labels), 2)
      assert.lengthOf(find("nodeInfo", labels), 1)
      // As the driver tells of a connection to where it was, that it was opening still.
      const errors = read("nodeConnectionErrors", labels)
      host.pool.emit("open", new Error("the pool was being closed"))
      assert.strictEqual(read("nodeConnectionErrors", labels), errors)
    }))

  it("are together those of one node above 1,000", () => {
    const { context, find, read, registry } = makeRegistry()
    const { publication, release } = publish(context, "large")
    const hosts = Array.from({ length: 1003 }, (_, index) => ({
      address: `127.0.0.1:${index}`,
      hostId: `node${index}`,
      datacenter: "datacenter1",
      rack: "rack1",
      cassandraVersion: "5.0.6",
      pool: { connections: [{ timedOutOperations: 0 }] },
      isUp: () => true,
      getInFlight: () => 1
    }))
    const byAddress = new Map(hosts.map((host) => [host.address, host]))
    const client = {
      raw: { hosts: { values: () => hosts, get: (address: string) => byAddress.get(address) } },
      nodes: () => hosts,
      traffic: () => ({ sent: 1, received: 1 })
    }
    publication.attach(
      { client, admission: {}, statements: {}, maxRequestsPerConnection: 10 } as unknown as Published
    )
    assert.strictEqual(find("nodeConnections", {}).length, 1001)
    assert.strictEqual(read("nodeConnections"), 1003)
    assert.strictEqual(read("nodeInFlight", { node: "other" }), 3)
    assert.strictEqual(find("nodeInfo", {}).length, 1000)
    publication.nodesChanged()
    assert.strictEqual(find("nodeConnections", {}).length, 1001)
    release()
    assert.strictEqual(registry.size, 0)
  })
})

describe("a hook of the driver that throws", () => {
  const failing = (): never => {
    throw new Error("the hook is broken")
  }

  // The typings call them interfaces; at run time they are the classes that the driver insists on.
  const { ClientMetrics } = Driver.metrics as unknown as { readonly ClientMetrics: new() => object }
  const { RequestTracker } = Driver.tracker as unknown as { readonly RequestTracker: new() => object }

  /** Every one of its methods throws, or fails later on. */
  const broken = <A extends object>(hook: A, isLate: boolean): A => {
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(hook)).filter((name) => name !== "constructor")
    for (const name of methods) {
      Object.assign(hook, { [name]: isLate ? () => Promise.reject(new Error("the hook is broken")) : failing })
    }
    return Object.freeze(hook)
  }

  const survives = Effect.fnUntraced(function*(
    driverOptions: Record<string, unknown>,
    prepare: (client: RawClient) => void = () => undefined
  ) {
    const { cql, close, servers, session } = yield* opened(1, { driverOptions })
    const use = <A>(f: (client: RawClient) => Promise<A>) => session.cluster.use(f)
    servers.on("SELECT n", row(1))
    servers.on("SELECT bad", Reply.invalid("no"))
    yield* use(async (client) => prepare(client))
    yield* cql`SELECT n`
    // By the driver's own way, which calls the hooks for each request.
    yield* use((client) => client.execute("SELECT n"))
    yield* reasonOf("InvalidQuery")(use((client) => client.execute("SELECT bad")))
    yield* untilNode("hostDown", session, Effect.andThen(servers.refuse, servers.dropConnections))
    yield* servers.accept
    yield* until(() => session.core.shared.client.openNodes().length === 1)
    yield* cql`SELECT n`
    yield* close
  })

  for (const isLate of [false, true]) {
    it.live(`${isLate ? "late" : "at once"} hurts no connection and no query`, () =>
      survives({
        metrics: broken(new ClientMetrics(), isLate),
        requestTracker: broken(new RequestTracker(), isLate)
      }))
  }

  it.live("as a listener of the driver's own metrics hurts no connection and no query", () =>
    survives({}, ({ metrics }) => {
      const { errors, responses } = metrics as unknown as Record<"errors" | "responses", EventEmitter>
      errors.on("increment", failing)
      responses.on("increment", failing)
    }))
})

describe("CqlMetrics.all", () => {
  it("names each metric once, in Prometheus' style: with its unit, and _total for what is counted", () => {
    const names = CqlMetrics.all.map(({ name }) => name)
    assert.deepStrictEqual(names, [...new Set(names)])
    for (const { boundaries, description, labels, name, type, unit } of CqlMetrics.all) {
      assert.match(name, /^cassandra_client_[a-z_]+$/)
      assert.strictEqual(name.endsWith("_total"), type === "counter", name)
      assert.strictEqual(name.endsWith("_seconds"), unit === "s", name)
      assert.strictEqual(/_bytes/.test(name), unit === "By", name)
      assert.strictEqual(boundaries !== undefined, type === "histogram", name)
      assert.isAbove(description.length, 10, name)
      assert.notInclude(labels, "cluster", name)
    }
  })

  it.live("tells the labels that the series have, and no others", () =>
    Effect.gen(function*() {
      const { cql, close, servers, snapshot } = yield* opened()
      servers.on(/SELECT n/, row(1))
      yield* cql`SELECT n WHERE id = ${"a"}`
      yield* Effect.ignore(cql`SELECT bad`)
      const check = () => {
        for (const { attributes = {}, description, id, type } of snapshot()) {
          const definition = CqlMetrics.all.find(({ name }) => name === id)!
          const { cluster: _, unit, ...labels } = attributes
          assert.deepStrictEqual(Object.keys(labels).toSorted(), [...definition.labels].toSorted(), id)
          assert.strictEqual(unit, definition.unit)
          assert.strictEqual(description, definition.description)
          assert.strictEqual(type.toLowerCase(), definition.type)
        }
      }
      check()
      yield* close
      check()
    }))
})
