/**
 * Real nodes that are killed, silent, and started again, as an operator sees it: by the health of two sessions, one that
 * two of three replicas can serve and one that needs all of them, by the cluster's events, and by its metrics.
 */
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Crypto from "node:crypto"
import { Cluster, type CqlError, Health, Session } from "../../src/index.ts"
import type { MetricId } from "../../src/internal/metrics.ts"
import { definitions } from "../../src/internal/metrics.ts"
import * as RealCluster from "../support/RealCluster.ts"

type Labels = Readonly<Record<string, string>>

interface Series {
  readonly labels: Labels
  readonly value: number
}

/** What all tests here look at. */
class Observed extends Context.Service<Observed, {
  readonly cluster: Cluster["Service"]
  /** Of a session at QUORUM. */
  readonly quorum: Health["Service"]
  /** Of one at ALL. */
  readonly all: Health["Service"]
  readonly series: (metric: MetricId) => ReadonlyArray<Series>
}>()("effect-cassandra/test/Observed") {}

const makeKeyspace = Effect.gen(function*() {
  const { options } = yield* RealCluster.RealCluster
  const { cql } = yield* Session.make({ ...options, metrics: false })
  const keyspace = `health_${Crypto.randomUUID().replaceAll("-", "")}`
  yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
  return keyspace
}).pipe(Effect.scoped)

const seriesIn = (registry: Metric.MetricRegistry) => (metric: MetricId): ReadonlyArray<Series> =>
  Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry)).flatMap((snapshot) => {
    if (snapshot.id !== definitions[metric].name) return []
    const { attributes: labels = {} } = snapshot
    if (snapshot.type === "Counter" || snapshot.type === "Histogram") {
      return [{ labels, value: Number(snapshot.state.count) }]
    }
    return snapshot.type === "Gauge" ? [{ labels, value: Number(snapshot.state.value) }] : []
  })

const watch = Effect.fnUntraced(function*(cluster: Cluster["Service"], consistency: "all" | "quorum") {
  const session = yield* Effect.provideService(Session.makeFrom({ consistency }), Cluster, cluster)
  return yield* Effect.provideService(
    Health.make({ interval: "500 millis", timeout: "1 second", failures: 2 }),
    Session,
    session
  )
})

const layerObserved: Layer.Layer<Observed, CqlError, RealCluster.RealCluster> = Layer.effect(
  Observed,
  Effect.gen(function*() {
    const { options } = yield* RealCluster.RealCluster
    const registry: Metric.MetricRegistry = new Map()
    const cluster = yield* Cluster.make({
      ...options,
      keyspace: yield* makeKeyspace,
      // With the default of a minute the tests would wait as long for nodes that are back.
      reconnectDelay: { base: "200 millis", max: "1 second" }
    }).pipe(Effect.provideService(Metric.MetricRegistry, registry))
    return Observed.of({
      cluster,
      quorum: yield* watch(cluster, "quorum"),
      all: yield* watch(cluster, "all"),
      series: seriesIn(registry)
    })
  })
)

const layer = Layer.provideMerge(layerObserved, RealCluster.layer)

/** Polled, for a number tells nobody that it has changed. */
const eventually = <A>(effect: Effect.Effect<A>, isSo: (value: A) => boolean): Effect.Effect<A> =>
  Effect.repeat(effect, { until: isSo, schedule: Schedule.spaced("50 millis") })

const awaitStatus = (health: Health["Service"], isSo: (status: Health.Status) => boolean) =>
  Stream.filter(health.changes, isSo).pipe(Stream.runHead, Effect.flatMap(Effect.fromOption), Effect.orDie)

const nodeOf = ({ nodes }: Health.Status, address: string): Health.NodeHealth =>
  nodes.find((node) => node.address === address)!

const isUp = ({ nodes, state }: Health.Status): boolean =>
  state === "up" && nodes.length === 3 && nodes.every((node) => node.state === "up")

/** All nodes are there, and have answered. */
const awaitUp = Effect.gen(function*() {
  const { all, quorum, series } = yield* Observed
  const { awaitAllUp, restore } = yield* RealCluster.RealCluster
  yield* restore
  yield* awaitAllUp
  const status = yield* awaitStatus(quorum, isUp)
  yield* awaitStatus(all, isUp)
  yield* eventually(
    Effect.sync(() => series("nodeConnections")),
    (all) => all.length === 3 && all.every(({ value }) => value > 0)
  )
  return status
})

/** The values of a metric, by node. */
const byNode = (metric: MetricId) =>
  Effect.map(Observed, ({ series }) => {
    const values: Record<string, number> = {}
    for (const { labels: { node = "" }, value } of series(metric)) values[node] = (values[node] ?? 0) + value
    return values
  })

const nodesBy = (state: "down" | "up") =>
  Effect.map(Observed, ({ series }) => series("nodes").find(({ labels }) => labels["state"] === state)?.value)

/** Every number that only a program's own statements move. */
const ofStatements: ReadonlyArray<MetricId> = [
  "requests",
  "errors",
  "timeouts",
  "retries",
  "speculativeExecutions",
  "nodeAttempts",
  "nodeErrors",
  "nodeRetries",
  "inFlight",
  "queued",
  "admissionRefusals"
]

const readStatements = Effect.map(Observed, ({ series }) => ofStatements.map((metric) => [metric, series(metric)]))

/** What the checks do to a cluster is no load, and nothing that an alert on statements may see. */
const movesNoStatement = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* readStatements
    const result = yield* effect
    assert.deepStrictEqual(yield* readStatements, before)
    return result
  })

/** What is told while it lasts. */
const reading = Effect.gen(function*() {
  const { cluster, quorum } = yield* Observed
  const events: Array<Cluster.Event> = []
  const statuses: Array<Health.Status> = []
  const startImmediately = { startImmediately: true } as const
  yield* Effect.forkScoped(
    Stream.runForEach(cluster.events, (event) => Effect.sync(() => events.push(event))),
    startImmediately
  )
  yield* Effect.forkScoped(
    Stream.runForEach(quorum.changes, (status) => Effect.sync(() => statuses.push(status))),
    startImmediately
  )
  const statesOf = (address: string) => {
    const states = statuses.flatMap(({ nodes }) => nodes.filter((node) => node.address === address))
      .map(({ state }) => state)
    return states.filter((state, index) => state !== states[index - 1])
  }
  return { events, statuses, statesOf }
})

const limit = 300_000

it.layer(layer, { excludeTestServices: true, timeout: "5 minutes" })("the health of three nodes", (it) => {
  it.effect(
    "of which one is killed: down and told why, and a quorum is served, but not all",
    () =>
      Effect.gen(function*() {
        const { all, quorum } = yield* Observed
        const { nodes: [, node] } = yield* RealCluster.RealCluster
        const before = yield* awaitUp
        const { hostId, version } = nodeOf(before, node.address)
        assert.deepStrictEqual([yield* nodesBy("up"), yield* nodesBy("down")], [3, 0])
        assert.strictEqual(version, "5.0.6")
        const errors = yield* byNode("nodeConnectionErrors")
        const { events } = yield* reading
        yield* node.kill
        const degraded = yield* awaitStatus(quorum, ({ state }) => state === "degraded")
        assert.isTrue(degraded.servable)
        assert.isAbove(degraded.since.getTime(), before.since.getTime())
        const down = yield* awaitStatus(all, ({ state }) => state === "down")
        assert.isFalse(down.servable)
        const gone = yield* eventually(
          Effect.map(quorum.status, (status) => nodeOf(status, node.address)),
          ({ lastError }) => lastError?.includes("ECONNREFUSED") === true
        )
        assert.deepInclude(gone, { state: "down", hostId, latencyMillis: undefined })
        // And the metrics say the same.
        yield* eventually(
          Effect.provideContext(nodesBy("down"), yield* Effect.context<Observed>()),
          (down) => down === 1
        )
        assert.strictEqual(yield* nodesBy("up"), 2)
        const up = yield* byNode("nodeUp")
        assert.deepStrictEqual(
          before.nodes.map((node) => [node.hostId, up[node.hostId]]),
          before.nodes.map((node) => [node.hostId, node.hostId === hostId ? 0 : 1])
        )
        assert.strictEqual((yield* byNode("nodeConnections"))[hostId], 0)
        const later = yield* byNode("nodeConnectionErrors")
        for (const node of before.nodes) {
          const grown = (later[node.hostId] ?? 0) - (errors[node.hostId] ?? 0)
          if (node.hostId === hostId) assert.isAbove(grown, 0)
          else assert.strictEqual(grown, 0)
        }
        yield* node.start
        const after = yield* awaitUp
        assert.strictEqual(nodeOf(after, node.address).hostId, hostId)
        assert.isUndefined(nodeOf(after, node.address).lastError)
        assert.strictEqual((yield* byNode("nodeUp"))[hostId], 1)
        assert.deepStrictEqual([yield* nodesBy("up"), yield* nodesBy("down")], [3, 0])
        assert.deepStrictEqual(
          events.map(({ _tag, ...event }) => [_tag, "hostId" in event ? event.hostId : undefined])
            .filter(([tag]) => tag !== "SchemaChanged"),
          [["NodeDown", hostId], ["NodeUp", hostId]]
        )
      }).pipe(Effect.scoped, movesNoStatement),
    limit
  )

  it.effect(
    "of which one is silent: unresponsive, then down when the driver gives it up, and up when it answers",
    () =>
      Effect.gen(function*() {
        const { all, quorum } = yield* Observed
        const { nodes: [, , node] } = yield* RealCluster.RealCluster
        yield* awaitUp
        const { statesOf } = yield* reading
        const errors = yield* byNode("nodeConnectionErrors")
        yield* node.pause
        const status = yield* awaitStatus(quorum, (status) => nodeOf(status, node.address).state === "unresponsive")
        const { hostId, lastError } = nodeOf(status, node.address)
        // For the driver it is up, and no connection is lost: without the checks nobody would know.
        assert.strictEqual((yield* byNode("nodeUp"))[hostId], 1)
        assert.deepStrictEqual(yield* byNode("nodeConnectionErrors"), errors)
        assert.deepInclude(status, { state: "degraded", servable: true })
        assert.include(lastError, "did not answer in 1000 ms")
        yield* awaitStatus(all, ({ servable, state }) => state === "down" && !servable)
        yield* awaitStatus(quorum, (status) => nodeOf(status, node.address).state === "down")
        assert.strictEqual((yield* byNode("nodeUp"))[hostId], 0)
        const later = yield* byNode("nodeConnectionErrors")
        assert.isAbove(later[hostId]!, errors[hostId] ?? 0)
        yield* node.resume
        yield* awaitUp
        assert.strictEqual((yield* byNode("nodeUp"))[hostId], 1)
        assert.deepStrictEqual(statesOf(node.address).slice(0, 3), ["up", "unresponsive", "down"])
        assert.strictEqual(statesOf(node.address).at(-1), "up")
      }).pipe(Effect.scoped, movesNoStatement),
    limit
  )

  it.effect(
    "that are all killed and started again: down, and up by itself, each of them once",
    () =>
      Effect.gen(function*() {
        const { cluster, quorum, series } = yield* Observed
        const { nodes } = yield* RealCluster.RealCluster
        const before = yield* awaitUp
        const { statuses } = yield* reading
        yield* Effect.forEach(nodes, ({ kill }) => kill, { concurrency: "unbounded" })
        const down = yield* awaitStatus(
          quorum,
          ({ nodes, state }) => state === "down" && nodes.every(({ state }) => state === "down")
        )
        assert.isFalse(down.servable)
        const ready = yield* Effect.forkScoped(
          Health.await({ timeout: "2 minutes" }).pipe(Effect.provideService(Health, quorum))
        )
        assert.isUndefined(ready.pollUnsafe())
        assert.deepStrictEqual([yield* nodesBy("up"), yield* nodesBy("down")], [0, 3])
        yield* Effect.forEach(nodes, ({ start }) => start, { concurrency: "unbounded" })
        const after = yield* awaitUp
        const hostIds = (status: Health.Status) => status.nodes.map(({ hostId }) => hostId).toSorted()
        assert.deepStrictEqual(hostIds(after), hostIds(before))
        assert.isDefined(ready.pollUnsafe())
        assert.deepStrictEqual(after.nodes.map(({ lastError }) => lastError), [undefined, undefined, undefined])
        // Also where the driver has made its nodes anew, each is one.
        for (const metric of ["nodeUp", "nodeInfo", "nodeConnections"] as const) {
          assert.deepStrictEqual(series(metric).map(({ labels }) => labels["node"]).toSorted(), hostIds(after))
        }
        assert.deepStrictEqual([yield* nodesBy("up"), yield* nodesBy("down")], [3, 0])
        assert.lengthOf(yield* cluster.nodes, 3)
        const states = statuses.map(({ state }) => state)
        assert.strictEqual(states[0], "up")
        assert.include(states, "down")
        assert.strictEqual(states.at(-1), "up")
      }).pipe(Effect.scoped, movesNoStatement),
    limit
  )
})
