/**
 * What requests are counted as that do not go the usual way: that are refused, run out of time somewhere, are hedged and
 * prepared, or are asked for by something else than a statement. Each is one request, and ends in one way.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Cluster, CqlMetrics, CqlRetry, Session, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { hold, openOn, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpProxy from "./support/TcpProxy.ts"

const { withOptions } = Statement

const numbers = [{ name: "n", type: "int" }]

const row = (n: number) => Reply.rows({ columns: numbers, rows: [[n]] })

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })

const prefix = "cassandra_client_"

/** What is about the requests as a whole, and not about nodes or places. */
const ofRequests = new Set(
  [
    "requests_total",
    "request_duration_seconds",
    "errors_total",
    "timeouts_total",
    "retries_total",
    "speculative_executions_total",
    "admission_refusals_total",
    "batch_statements"
  ].map((name) => prefix + name)
)

const valueOf = (snapshot: Metric.Metric.Snapshot): number =>
  snapshot.type === "Counter" || snapshot.type === "Histogram"
    ? Number(snapshot.state.count)
    : snapshot.type === "Gauge"
    ? Number(snapshot.state.value)
    : Number.NaN

const makeRegistry = () => {
  const registry: Metric.MetricRegistry = new Map()
  const context = Context.make(Metric.MetricRegistry, registry)
  const snapshot = () => Metric.snapshotUnsafe(context)
  const read = (name: string, labels: Readonly<Record<string, string>> = {}): number => {
    assert.include(CqlMetrics.all.map((metric) => metric.name), prefix + name)
    return snapshot().filter(({ attributes = {}, id }) =>
      id === prefix + name && Object.entries(labels).every(([label, value]) => attributes[label] === value)
    ).reduce((sum, series) => sum + valueOf(series), 0)
  }
  /** All that is about requests and is not 0, as `name label label`. */
  const counted = (): Readonly<Record<string, number>> =>
    Object.fromEntries(
      snapshot().filter(({ id }) => ofRequests.has(id)).flatMap((series) => {
        const { cluster: _, unit: __, ...labels } = series.attributes ?? {}
        const value = valueOf(series)
        return value === 0 ? [] : [[[series.id.slice(prefix.length), ...Object.values(labels)].join(" "), value]]
      })
    )
  return {
    read,
    counted,
    provide: Effect.provideService(Metric.MetricRegistry, registry)
  }
}

const opened = Effect.fnUntraced(function*(nodes = 1, options?: Session.Options) {
  const servers = yield* ScriptedServer.makeCluster({ nodes, subnet: "127.0.93" })
  const reading = makeRegistry()
  const all = yield* reading.provide(openOn(servers, { shutdownTimeout: "20 millis", ...options }))
  return { ...all, ...reading }
})

/** What one request that fails for this is counted as, and nothing besides. */
const failedOnce = (reason: string, operation = "SELECT") => ({
  [`requests_total ${operation}`]: 1,
  [`request_duration_seconds ${operation} error`]: 1,
  [`errors_total ${reason}`]: 1
})

const answeredOnce = (operation = "SELECT") => ({
  [`requests_total ${operation}`]: 1,
  [`request_duration_seconds ${operation} ok`]: 1
})

/** Whether the same is asked by one attempt at a time, or by several. */
const ways = [
  { title: "a statement", options: {} },
  { title: "a hedged statement", options: { hedge: { delay: "1 millis" }, idempotent: true } }
] as const

describe("a request that runs out of time is one of its phase:", () => {
  for (const { options, title } of ways) {
    it.live(`${title} in the queue`, () =>
      Effect.gen(function*() {
        const { counted, cql, read, servers } = yield* opened(2, { maxInFlight: 1 })
        const held = hold(servers, "SELECT held", row(1))
        yield* Effect.forkChild(cql`SELECT held`)
        yield* held.awaitHeld(1)
        const before = counted()
        assert.deepStrictEqual(before, { "requests_total SELECT": 1 })
        yield* Effect.flip(cql`SELECT n`.pipe(withOptions({ ...options, timeout: "20 millis" })))
        assert.deepStrictEqual(counted(), {
          ...failedOnce("ClientTimeout"),
          "timeouts_total queue": 1,
          "requests_total SELECT": 2
        })
        assert.strictEqual(read("admission_delay_seconds"), 0)
        assert.strictEqual(read("node_attempts_total"), 1)
      }))

    it.live(`${title} that is being prepared`, () =>
      Effect.gen(function*() {
        const { counted, cql, read, servers } = yield* opened(2)
        servers.on(/SELECT/, Reply.silence, ["prepare"])
        const statement = cql`SELECT n WHERE id = ${"a"}`
        yield* Effect.flip(statement.pipe(withOptions({ ...options, timeout: "20 millis" })))
        assert.deepStrictEqual(counted(), { ...failedOnce("ClientTimeout"), "timeouts_total prepare": 1 })
        assert.strictEqual(read("node_attempts_total"), 0)
        assert.strictEqual(read("prepares_total"), 1)
      }))
  }

  it.live("a statement at one node, where it is not tried again", () =>
    Effect.gen(function*() {
      const { counted, cql, servers } = yield* opened()
      servers.on("SELECT n", Reply.silence)
      yield* Effect.flip(cql`SELECT n`.pipe(withOptions({ attemptTimeout: "20 millis", idempotent: false })))
      assert.deepStrictEqual(counted(), { ...failedOnce("ClientTimeout"), "timeouts_total attempt": 1 })
    }))
})

describe("a request that is refused is one that failed, and no attempt:", () => {
  for (const { options, title } of ways) {
    it.live(`${title} on a session that is closed`, () =>
      Effect.gen(function*() {
        const registry = makeRegistry()
        const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.93" })
        const cluster = yield* registry.provide(Cluster.make({ contactPoints: [servers.host], port: servers.port }))
        const scope = yield* Scope.make()
        const { cql } = yield* Session.makeFrom().pipe(Effect.provideService(Cluster, cluster), Scope.provide(scope))
        yield* Scope.close(scope, Exit.void)
        yield* Effect.flip(cql`SELECT n`.pipe(withOptions(options)))
        assert.deepStrictEqual(registry.counted(), failedOnce("SessionClosed"))
        assert.strictEqual(registry.read("node_attempts_total"), 0)
      }))
  }

  it.live("for its answer would have come too late", () =>
    Effect.gen(function*() {
      const { admission, counted, cql, read, servers } = yield* opened(1, { maxInFlight: 1 })
      const held = hold(servers, "SELECT held", row(1))
      const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(cql`SELECT held`))
      yield* held.awaitHeld(1)
      // A pace that gives no hope.
      admission.pace.expectedMillis = () => Infinity
      yield* Effect.flip(cql`SELECT n`)
      assert.deepStrictEqual(counted(), {
        ...failedOnce("AdmissionRefused"),
        "admission_refusals_total tooLate": 1,
        "requests_total SELECT": 3
      })
      assert.strictEqual(read("node_attempts_total"), 1)
      yield* Effect.forEach(fibers, Fiber.interrupt)
    }))

  it.live("for the circuit breaker is open: else nothing would tell that the program's requests fail", () =>
    Effect.gen(function*() {
      const { counted, cql, read, servers, session } = yield* opened(1, {
        circuitBreaker: { failureRate: 0.5, size: 2, openDuration: "10 minutes" },
        retry: CqlRetry.none
      })
      servers.on(/SELECT/, Reply.overloaded("busy"))
      yield* Effect.flip(cql`SELECT n`)
      assert.strictEqual(read("circuit_open"), 0)
      yield* Effect.flip(cql`SELECT n`)
      assert.strictEqual(read("circuit_open"), 1)
      const failed = { "errors_total Overloaded": 2 }
      assert.deepStrictEqual(counted(), {
        ...failed,
        "requests_total SELECT": 2,
        "request_duration_seconds SELECT error": 2
      })
      yield* Effect.flip(cql`SELECT n`)
      const write = cql`INSERT 1`
      yield* Effect.flip(Statement.batch([write, write]).pipe(Effect.provideService(Session, session)))
      assert.deepStrictEqual(counted(), {
        ...failed,
        "errors_total CircuitOpen": 2,
        "requests_total SELECT": 3,
        "request_duration_seconds SELECT error": 3,
        "requests_total BATCH": 1,
        "request_duration_seconds BATCH error": 1
      })
      assert.strictEqual(read("node_attempts_total"), 2)
    }))
})

describe("a hedged statement", () => {
  it.live("that fails everywhere is one that failed", () =>
    Effect.gen(function*() {
      const { counted, cql, read, servers } = yield* opened(2, { retry: CqlRetry.none })
      const held = hold(servers, "SELECT n", Reply.overloaded("busy"))
      const statement = cql`SELECT n`.pipe(withOptions({ hedge: { delay: "1 millis" }, idempotent: true }))
      const fiber = yield* Effect.forkChild(Effect.flip(statement))
      yield* held.awaitHeld(2)
      yield* held.answer(2)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(counted(), { ...failedOnce("Overloaded"), "speculative_executions_total": 1 })
      assert.strictEqual(read("node_errors_total", { reason: "Overloaded" }), 2)
    }))

  it.live("that nobody waits for any more is interrupted once", () =>
    Effect.gen(function*() {
      const { counted, cql, servers } = yield* opened(2)
      const held = hold(servers, "SELECT n", row(1))
      const fiber = yield* Effect.forkChild(
        cql`SELECT n`.pipe(withOptions({ hedge: { delay: "1 millis" }, idempotent: true }))
      )
      yield* held.awaitHeld(2)
      yield* Fiber.interrupt(fiber)
      yield* held.answer(2)
      yield* turn
      assert.deepStrictEqual(counted(), {
        "requests_total SELECT": 1,
        "request_duration_seconds SELECT interrupted": 1,
        "speculative_executions_total": 1
      })
    }))
})

describe("a request that is tried again", () => {
  it.live("and given up meanwhile is interrupted once", () =>
    Effect.gen(function*() {
      const { counted, cql, servers } = yield* opened(2)
      servers.on("SELECT n", Reply.overloaded("busy"))
      const held = hold(servers, "SELECT n", ({ attempt }) => attempt === 1 ? undefined : row(1))
      const fiber = yield* Effect.forkChild(cql`SELECT n`.pipe(withOptions({ idempotent: true })))
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(fiber)
      yield* held.answer()
      assert.deepStrictEqual(counted(), {
        "requests_total SELECT": 1,
        "request_duration_seconds SELECT interrupted": 1,
        "retries_total Overloaded": 1
      })
    }))
})

describe("a request", () => {
  it.live("whose rows are more than one, or none, is answered all the same", () =>
    Effect.gen(function*() {
      const { counted, cql, servers } = yield* opened()
      servers.on("SELECT n", Reply.rows({ columns: numbers, rows: [] }))
      yield* Effect.flip(cql`SELECT n`.one)
      assert.deepStrictEqual(counted(), answeredOnce())
    }))

  it.live("is each page of a result that is collected", () =>
    Effect.gen(function*() {
      const { counted, cql, read, servers } = yield* opened()
      servers.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1]], [[2]], [[3]]] }))
      assert.lengthOf(yield* cql`SELECT n`, 3)
      assert.deepStrictEqual(counted(), { "requests_total SELECT": 3, "request_duration_seconds SELECT ok": 3 })
      assert.strictEqual(read("streamed_pages_total"), 0)
    }))

  it.live("is a batch of each type, by the number of its statements", () =>
    Effect.gen(function*() {
      const { counted, cql, servers, session } = yield* opened()
      servers.on(/UPDATE/, Reply.void)
      for (const [type, count] of [["logged", 1], ["unlogged", 2], ["counter", 3]] as const) {
        const batch = Statement.batch(Array.from({ length: count }, () => cql`UPDATE a SET n = n + 1`), { type })
        yield* batch.pipe(Effect.provideService(Session, session))
      }
      assert.deepStrictEqual(counted(), {
        "requests_total BATCH": 3,
        "request_duration_seconds BATCH ok": 3,
        "batch_statements logged": 1,
        "batch_statements unlogged": 1,
        "batch_statements counter": 1
      })
    }))

  it.live("that binds what does not fit failed, and was sent to no node", () =>
    Effect.gen(function*() {
      const { counted, cql, read, servers } = yield* opened()
      servers.prepared(/SELECT/, { params: [{ name: "id", type: "int" }] })
      yield* Effect.flip(cql`SELECT n WHERE id = ${"no number"}`)
      assert.deepStrictEqual(counted(), failedOnce("InvalidParameter"))
      assert.strictEqual(read("node_attempts_total"), 0)
    }))

  it.live("whose rows do not fit its Schema in a stream was answered, and did not fit", () =>
    Effect.gen(function*() {
      const { counted, cql, read, servers } = yield* opened()
      servers.on("SELECT n", row(-1))
      const Positive = Schema.Struct({ n: Schema.Int.check(Schema.isGreaterThan(0)) })
      yield* Effect.flip(Stream.runDrain(cql(Positive)`SELECT n`.stream))
      assert.deepStrictEqual(counted(), answeredOnce())
      assert.strictEqual(read("decode_failures_total"), 1)
    }))
})

describe("a node", () => {
  it.live("that was upgraded is described by its new version", () =>
    Effect.gen(function*() {
      const { read, servers } = yield* opened(2, { driverOptions: { refreshSchemaDelay: 1 } })
      const [node] = servers.nodes
      const labels = { node: node!.hostId }
      assert.strictEqual(read("node_info", { ...labels, version: "4.1.0" }), 1)
      Object.assign(node!, { releaseVersion: "5.0.6" })
      yield* servers.pushEvent({
        type: "TOPOLOGY_CHANGE",
        change: "NEW_NODE",
        address: node!.host,
        port: node!.port
      })
      yield* until(() => read("node_info", { ...labels, version: "5.0.6" }) === 1)
      assert.strictEqual(read("node_info", labels), 1)
    }))

  it.live("that does not take the credentials any more is told by that reason", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({
        nodes: 1,
        subnet: "127.0.93",
        authenticate: { username: "ada", password: "secret" }
      })
      const { provide, read } = makeRegistry()
      const { session } = yield* provide(
        openOn(servers, { username: "ada", password: Redacted.make("secret"), shutdownTimeout: "20 millis" })
      )
      servers.on(/./, Reply.badCredentials("no"), ["authResponse"])
      yield* untilNode("hostDown", session, servers.dropConnections)
      yield* until(() => read("node_connection_errors_total", { reason: "AuthenticationError" }) > 0)
      assert.strictEqual(read("node_connection_errors_total", { reason: "ConnectionLost" }), 1)
    }))

  it.live("has no less bytes than before where it moves, and its old connections are open still", () =>
    Effect.gen(function*() {
      const { cql, read, servers } = yield* opened(2, { driverOptions: { refreshSchemaDelay: 1 } })
      servers.on("SELECT n", Reply.rows({ columns: [{ name: "n", type: "text" }], rows: [["x".repeat(10_000)]] }))
      const nodes = servers.nodes as Array<ScriptedServer.ScriptedServer>
      const { hostId } = nodes[1]!
      const labels = { node: hostId }
      yield* cql`SELECT n`.pipe(withOptions({ node: hostId }))
      let bytes = read("node_received_bytes_total", labels)
      assert.isAbove(bytes, 10_000)
      // The others do not know it any more; it is not closed.
      nodes.splice(1, 1)
      const moved = yield* servers.add({ hostId })
      const address = `${moved.host}:${moved.port}`
      yield* servers.pushEvent({ type: "TOPOLOGY_CHANGE", change: "NEW_NODE", address: moved.host, port: moved.port })
      yield* until(() => {
        const now = read("node_received_bytes_total", labels)
        assert.isAtLeast(now, bytes)
        bytes = now
        return read("node_info", { ...labels, address }) === 1 && read("node_connections", labels) === 1
      })
    }))

  it.live("has the bytes that went over its connections, to the last one, also of those that are closed", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.rows({ columns: [{ name: "n", type: "text" }], rows: [["x".repeat(100_000)]] }))
      const proxy = yield* TcpProxy.make({ target: server })
      const { provide, read } = makeRegistry()
      const { cql, session } = yield* provide(openOn(proxy, { shutdownTimeout: "20 millis" }))
      const agrees = () => {
        const { toClient, toTarget } = proxy.carried()
        return read("node_sent_bytes_total") === toTarget && read("node_received_bytes_total") === toClient
      }
      yield* cql`SELECT n`
      yield* until(agrees)
      assert.isAbove(read("node_received_bytes_total"), 100_000)
      const before = read("node_received_bytes_total")
      yield* untilNode("hostDown", session, Effect.andThen(proxy.refuse, proxy.cut))
      yield* until(() => proxy.connections() === 0 && read("node_connections") === 0)
      assert.isAtLeast(read("node_received_bytes_total"), before)
      yield* proxy.accept
      yield* until(() => session.core.shared.client.openNodes().length === 1)
      yield* cql`SELECT n`
      yield* until(agrees)
      assert.isAbove(read("node_received_bytes_total"), before + 100_000)
    }))
})
