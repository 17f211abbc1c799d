/**
 * The series of a cluster in a registry, by clients that are no more than what is read of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { vi } from "vitest"
import { CqlMetrics } from "../../src/index.ts"
import type { Published } from "../../src/internal/publication.ts"
import { publish, recordSeconds } from "../../src/internal/publication.ts"

const makeRegistry = (attributes: Metric.Metric.AttributeSet = {}) => {
  const registry: Metric.MetricRegistry = new Map()
  const context = Context.make(Metric.MetricRegistry, registry).pipe(
    Context.add(Metric.CurrentMetricAttributes, attributes)
  )
  const series = (name: string) =>
    Metric.snapshotUnsafe(context).filter(({ id }) => id === `cassandra_client_${name}`).map((snapshot) => ({
      labels: snapshot.attributes!,
      state: snapshot.state as { readonly value?: number; readonly count?: number }
    }))
  return { registry, context, series, snapshot: () => Metric.snapshotUnsafe(context) }
}

interface Node {
  readonly hostId: string
  readonly address: string
  datacenter: string | null
  rack: string | null
  cassandraVersion: string | null
  readonly isUp: () => boolean
  readonly getInFlight: () => number
  readonly pool: { readonly connections: ReadonlyArray<{ readonly timedOutOperations: number }> }
}

const node = (hostId: string, given: Partial<Node> = {}): Node => ({
  hostId,
  address: `${hostId}:9042`,
  datacenter: "datacenter1",
  rack: "rack1",
  cassandraVersion: "5.0.6",
  isUp: () => true,
  getInFlight: () => 0,
  pool: { connections: [{ timedOutOperations: 0 }] },
  ...given
})

const clientOf = (
  nodes: Array<Node>,
  traffic = { sent: 0, received: 0 },
  breaker?: { readonly isOpen: () => boolean }
): Published =>
  ({
    client: {
      raw: { hosts: { values: () => nodes, get: (address: string) => nodes.find((node) => node.address === address) } },
      nodes: () => nodes,
      traffic: () => traffic
    },
    admission: { inFlight: 1, limit: 10, queued: 2, maxQueued: 20 },
    statements: { prepared: 3 },
    breaker,
    maxRequestsPerConnection: 100
  }) as unknown as Published

const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

const hostOf = (node: Node) => node as never

describe("the series of a cluster", () => {
  it("are those of the table, with its labels, its units and its descriptions", () => {
    const { context, snapshot } = makeRegistry({ pod: "a" })
    const { publication } = publish(context, "orders")
    const a = node("a")
    publication.attach(clientOf([a]))
    const { counts } = publication
    counts.operation("SELECT")
    counts.error("Overloaded")
    counts.timeout("queue")
    counts.retry("Overloaded")
    counts.refusal("queueFull")
    counts.batchStatements("logged")
    const ofNode = counts.node(hostOf(a))
    ofNode.error("Overloaded")
    ofNode.retry("Overloaded")
    ofNode.connectionError("ConnectionLost")
    recordSeconds(context, "connectDuration", { cluster: "orders", outcome: "ok" }, 1)
    recordSeconds(context, "closeDuration", { cluster: "orders" }, 1)
    const all = snapshot()
    for (const { boundaries, description, labels, name, type, unit } of CqlMetrics.all) {
      const found = all.filter(({ id }) => id === name)
      assert.isNotEmpty(found, name)
      for (const series of found) {
        assert.deepStrictEqual(
          Object.keys(series.attributes!).toSorted(),
          [...labels, "cluster", "pod", "unit"].toSorted(),
          name
        )
        assert.deepInclude(series.attributes, { cluster: "orders", pod: "a", unit })
        assert.strictEqual(series.description, description)
        assert.strictEqual(series.type.toLowerCase(), type, name)
        if (series.type === "Counter") assert.strictEqual(series.state.incremental, true, name)
        if (series.type === "Histogram") {
          const bounds = series.state.buckets.map(([bound]) => bound).filter(Number.isFinite)
          assert.deepStrictEqual(bounds, [...boundaries!], name)
        }
      }
    }
    const names = CqlMetrics.all.map(({ name }) => name)
    assert.deepStrictEqual(all.filter(({ id }) => !names.includes(id)), [])
  })

  it("have the refusals from the first, for a rate of what begins with them would lack them", () => {
    const { context, series } = makeRegistry()
    publish(context, "orders")
    const refusals = series("admission_refusals_total")
    assert.deepStrictEqual(refusals.map(({ labels, state }) => [labels.why, state.count]), [
      ["queueFull", 0],
      ["tooLate", 0]
    ])
  })

  it.live("follow many nodes that come together by one look at them all", () =>
    Effect.gen(function*() {
      const { context, series } = makeRegistry()
      const { publication } = publish(context, "orders")
      const nodes: Array<Node> = []
      const client = clientOf(nodes)
      publication.attach(client)
      const looks = vi.spyOn(client.client.raw.hosts, "values")
      for (const hostId of ["a", "b", "c"]) {
        nodes.push(node(hostId))
        publication.nodeChanged()
      }
      yield* turn
      assert.lengthOf(series("node_info"), 3)
      assert.strictEqual(looks.mock.calls.length, 1)
      nodes.pop()
      publication.nodeChanged()
      yield* turn
      assert.lengthOf(series("node_info"), 2)
    }))

  it("count the open circuits, each once whatever clients it has", () => {
    const { context, series } = makeRegistry()
    const { publication } = publish(context, "orders")
    const shared = { isOpen: () => true }
    publication.attach(clientOf([], undefined, shared))
    publication.attach(clientOf([], undefined, shared))
    publication.attach(clientOf([], undefined, { isOpen: () => true }))
    publication.attach(clientOf([], undefined, { isOpen: () => false }))
    publication.attach(clientOf([]))
    assert.deepStrictEqual(series("circuit_open").map(({ state }) => state.value), [2])
  })

  it("are sums over its clients, and a node of several is up where any holds it for up", () => {
    const { context, series } = makeRegistry()
    const { publication } = publish(context, "orders")
    const traffic = { sent: 5, received: 7 }
    publication.attach(clientOf([node("a", { getInFlight: () => 3 }), node("b")], traffic))
    publication.attach(clientOf([node("a", { isUp: () => false, getInFlight: () => 4 })], traffic))
    const valueOf = (name: string, hostId?: string) =>
      series(name).filter(({ labels }) => hostId === undefined || labels.node === hostId).map(({ state }) =>
        state.value
      )
    assert.deepStrictEqual(valueOf("in_flight"), [2])
    assert.deepStrictEqual(valueOf("in_flight_limit"), [20])
    assert.deepStrictEqual(valueOf("queued"), [4])
    assert.deepStrictEqual(valueOf("queue_limit"), [40])
    assert.deepStrictEqual(valueOf("prepared_statements"), [6])
    assert.deepStrictEqual(series("nodes").map(({ labels, state }) => [labels.state, state.value]), [
      ["up", 2],
      ["down", 0]
    ])
    assert.deepStrictEqual(valueOf("node_up", "a"), [1])
    assert.deepStrictEqual(valueOf("node_connections", "a"), [2])
    assert.deepStrictEqual(valueOf("node_in_flight", "a"), [7])
    assert.deepStrictEqual(valueOf("node_available_streams", "a"), [193])
    assert.deepStrictEqual(series("node_sent_bytes_total").map(({ labels, state }) => [labels.node, state.count]), [
      ["a", 10],
      ["b", 5]
    ])
  })
})

describe("the description of a node", () => {
  it("is another one when the node is, and then the only one", () => {
    const { context, series } = makeRegistry()
    const { publication } = publish(context, "orders")
    const a = node("a", { cassandraVersion: "4.1.0" })
    publication.attach(clientOf([a]))
    a.cassandraVersion = "5.0.6"
    a.rack = null
    publication.nodesChanged()
    assert.deepStrictEqual(series("node_info").map(({ labels }) => labels), [{
      cluster: "orders",
      node: "a",
      address: "a:9042",
      data_center: "datacenter1",
      rack: "",
      version: "5.0.6",
      unit: "{node}"
    }])
  })
})

describe("a node that is gone", () => {
  it("has no series, also of what was sent to it and fails later", () => {
    const { context, snapshot } = makeRegistry()
    const { publication } = publish(context, "orders")
    const [a, b] = [node("a"), node("b")]
    const nodes = [a, b]
    publication.attach(clientOf(nodes))
    const counts = publication.counts.node(hostOf(a))
    counts.error("Overloaded").add()
    nodes.shift()
    publication.nodesChanged()
    publication.counts.node(hostOf(a)).attempts.add()
    counts.error("ClientTimeout").add()
    counts.retry("ClientTimeout").add()
    counts.connectionError("ConnectionLost").add()
    assert.deepStrictEqual(snapshot().filter(({ attributes }) => attributes?.node === "a"), [])
    assert.isNotEmpty(snapshot().filter(({ attributes }) => attributes?.node === "b"))
  })

  it("begins anew when it comes back", () => {
    const { context, series } = makeRegistry()
    const { publication } = publish(context, "orders")
    const nodes = [node("a")]
    publication.attach(clientOf(nodes))
    publication.counts.node(hostOf(nodes[0]!)).error("Overloaded").add()
    const [gone] = nodes.splice(0, 1, node("b"))
    publication.nodesChanged()
    const again = node("a")
    nodes.push(again)
    publication.nodesChanged()
    publication.counts.node(hostOf(gone!)).error("ClientTimeout").add()
    publication.counts.node(hostOf(again)).error("Unavailable").add(2)
    assert.deepStrictEqual(
      series("node_errors_total").map(({ labels, state }) => [labels.node, labels.reason, state.count]),
      [["a", "Unavailable", 2]]
    )
    assert.deepStrictEqual(series("node_up").map(({ labels }) => labels.node), ["b", "a"])
  })

  it("stays while another client has it", () => {
    const { context, series } = makeRegistry()
    const { publication } = publish(context, "orders")
    const [one, other] = [clientOf([node("a")]), clientOf([node("a")])]
    publication.attach(one)
    publication.attach(other)
    publication.detach(one)
    assert.deepStrictEqual(series("node_connections").map(({ state }) => state.value), [1])
    publication.detach(other)
    assert.deepStrictEqual(series("node_connections"), [])
  })
})

describe("a registry", () => {
  it("has nothing of a cluster that is gone, and nothing less of the others", () => {
    const { context, registry, snapshot } = makeRegistry()
    const orders = publish(context, "orders")
    orders.publication.attach(clientOf([node("a")]))
    const before = snapshot().map(({ attributes, id }) => ({ id, attributes }))
    const stock = publish(context, "stock")
    stock.publication.attach(clientOf([node("a")]))
    stock.publication.counts.error("Overloaded").add()
    assert.isAbove(registry.size, before.length)
    stock.release()
    assert.deepStrictEqual(snapshot().map(({ attributes, id }) => ({ id, attributes })), before)
    orders.release()
    assert.strictEqual(registry.size, 0)
  })

  it("has one set of series for all clusters of a name, until the last of them is released", () => {
    const { context, registry, series } = makeRegistry()
    const [one, other] = [publish(context, "orders"), publish(context, "orders")]
    assert.strictEqual(one.publication, other.publication)
    one.publication.counts.error("Overloaded").add()
    one.release()
    other.publication.counts.error("Overloaded").add()
    assert.deepStrictEqual(series("errors_total").map(({ state }) => state.count), [2])
    other.release()
    assert.strictEqual(registry.size, 0)
    assert.notStrictEqual(publish(context, "orders").publication, other.publication)
  })

  it("is apart from others", () => {
    const [one, other] = [makeRegistry(), makeRegistry()]
    publish(one.context, "orders").publication.counts.error("Overloaded").add()
    publish(other.context, "orders")
    assert.lengthOf(one.series("errors_total"), 1)
    assert.lengthOf(other.series("errors_total"), 0)
  })
})
