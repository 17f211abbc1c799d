/**
 * The series of a cluster's metrics in a registry: read when somebody reads them, and gone with the cluster.
 *
 * Clusters of one name in one registry share their counts, for a second series of the same labels would replace the
 * first.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { Admission } from "./admission.ts"
import type { Breaker } from "./circuitBreaker.ts"
import type { Distribution, Labels, NodeCounts } from "./counts.ts"
import { Counter, Counts, hostIdOf, otherNodes } from "./counts.ts"
import type { DriverClient } from "./driver/client.ts"
import type { Host } from "./driver/inside.ts"
import type { Definition, MetricId } from "./metrics.ts"
import { definitions } from "./metrics.ts"
import type { Statements } from "./statements.ts"

/** A client whose gauges are read. */
export interface Published {
  readonly client: DriverClient
  readonly admission: Admission
  readonly statements: Statements
  /** One for all clients of a cluster. */
  readonly breaker: Breaker | undefined
  /** What one connection to a node takes at a time. */
  readonly maxRequestsPerConnection: number
}

/** A node as one of the clients knows it; by its address, for the driver makes its hosts anew at times. */
interface Shown {
  readonly address: string
  readonly published: Published
}

/** All that is published under one name. */
export class Publication {
  readonly counts: Counts
  private readonly context: Context.Context<never>
  private readonly name: string
  private readonly clients = new Set<Published>()
  private readonly series: Array<Metric.Registration> = []
  private readonly ofNodes = new Map<string, Array<Metric.Registration>>()
  /** What each node is to the clients, for those whose gauges are there. */
  private readonly shown = new Map<string, ReadonlyArray<Shown>>()
  /** The series of each node's description, by what it says. */
  private readonly described = new Map<string, { readonly key: string; readonly info: Metric.Registration }>()
  private users = 0
  private isOver = false
  private isBehind = false

  constructor(context: Context.Context<never>, name: string) {
    this.context = context
    this.name = name
    this.counts = new Counts((metric, labels, series) => this.addSeries(metric, labels, series))
    this.addGauges()
  }

  /** Another cluster of this name. */
  enter(): void {
    this.users++
  }

  /** Whether it was the last one. */
  leave(): boolean {
    this.users--
    if (this.users > 0) return false
    this.isOver = true
    for (const series of this.series) series.remove()
    for (const node of this.ofNodes.keys()) this.removeNode(node)
    return true
  }

  attach(published: Published): void {
    this.clients.add(published)
    this.nodesChanged()
  }

  detach(published: Published): void {
    this.clients.delete(published)
    this.nodesChanged()
  }

  /** A node came, went, or is not what it was. After an outage that are all of them: they are looked at once. */
  nodeChanged(): void {
    if (this.isBehind) return
    this.isBehind = true
    setImmediate(() => {
      this.isBehind = false
      this.nodesChanged()
    })
  }

  nodesChanged(): void {
    if (this.isOver) return
    const hosts = [...this.clients].flatMap((published) =>
      published.client.raw.hosts.values().map((host) => ({ host, address: host.address, published }))
    )
    const known = new Set([otherNodes, ...hosts.map(({ host }) => hostIdOf(host))])
    for (const node of this.ofNodes.keys()) if (!known.has(node)) this.removeNode(node)
    const byNode = Map.groupBy(hosts, ({ host }) => this.counts.node(host))
    for (const [counts, shown] of byNode) this.showNode(counts, shown, shown.at(-1)!.host)
  }

  // --- series

  /** What is abandoned may end after the last cluster has closed, and is counted for nobody. */
  private addSeries(metric: MetricId, labels: Labels, series: Counter | Distribution): void {
    if (this.isOver) return
    const registration = series instanceof Counter
      ? this.register(metric, labels, () => ({ count: series.value, incremental: true }))
      : this.register(metric, labels, () => series.state)
    this.seriesOf(labels).push(registration)
  }

  private seriesOf({ node }: Labels): Array<Metric.Registration> {
    if (node === undefined) return this.series
    let series = this.ofNodes.get(node)
    if (series === undefined) {
      series = []
      this.ofNodes.set(node, series)
    }
    return series
  }

  private register(metric: MetricId, labels: Labels, get: () => unknown): Metric.Registration {
    const definition: Definition = definitions[metric]
    const { description, name, unit } = definition
    const options = { description, attributes: { cluster: this.name, ...labels, unit } }
    const hooks = { get: get as () => never, update: ignore, modify: ignore }
    switch (definition.type) {
      case "counter":
        return Metric.registerUnsafe(Metric.counter(name, { ...options, incremental: true }), this.context, hooks)
      case "gauge":
        return Metric.registerUnsafe(Metric.gauge(name, options), this.context, hooks)
      case "histogram": {
        const { boundaries = [] } = definition
        return Metric.registerUnsafe(Metric.histogram(name, { ...options, boundaries }), this.context, hooks)
      }
    }
  }

  private addGauge(metric: MetricId, labels: Labels, value: () => number): void {
    this.seriesOf(labels).push(this.register(metric, labels, () => ({ value: value() })))
  }

  // --- clients

  private addGauges(): void {
    const sum = (valueOf: (published: Published) => number) => (): number => {
      let total = 0
      for (const published of this.clients) total += valueOf(published)
      return total
    }
    this.addGauge("inFlight", {}, sum(({ admission }) => admission.inFlight))
    this.addGauge("inFlightLimit", {}, sum(({ admission }) => admission.limit))
    this.addGauge("queued", {}, sum(({ admission }) => admission.queued))
    this.addGauge("queueLimit", {}, sum(({ admission }) => admission.maxQueued))
    this.addGauge("preparedStatements", {}, sum(({ statements }) => statements.prepared))
    this.addGauge("circuitOpen", {}, () => this.countOpenCircuits())
    this.addGauge("nodes", { state: "up" }, () => this.countNodes(true))
    this.addGauge("nodes", { state: "down" }, () => this.countNodes(false))
  }

  private countOpenCircuits(): number {
    const breakers = new Set([...this.clients].map(({ breaker }) => breaker))
    return [...breakers].filter((breaker) => breaker?.isOpen() === true).length
  }

  /** Of each client those that it may ask; together each once, up where any client holds it for up. */
  private countNodes(up: boolean): number {
    const states = new Map<string, boolean>()
    for (const { client } of this.clients) {
      for (const host of client.nodes()) {
        const node = hostIdOf(host)
        states.set(node, states.get(node) === true || host.isUp())
      }
    }
    return [...states.values()].filter((isUp) => isUp === up).length
  }

  // --- nodes

  private showNode(counts: NodeCounts, shown: ReadonlyArray<Shown>, host: Host): void {
    const node = counts.name
    const isNew = !this.shown.has(node)
    this.shown.set(node, shown)
    if (isNew) this.addNode(counts)
    if (node !== otherNodes) this.describe(node, host)
  }

  private addNode(counts: NodeCounts): void {
    const node = counts.name
    const ofNode = (valueOf: (host: Host, published: Published) => number) => (): number => {
      let total = 0
      for (const { address, published } of this.shown.get(node) ?? []) {
        const host = published.client.raw.hosts.get(address)
        if (host !== undefined) total += valueOf(host, published)
      }
      return total
    }
    this.addGauge("nodeUp", { node }, () => Math.min(1, ofNode((host) => host.isUp() ? 1 : 0)()))
    this.addGauge("nodeConnections", { node }, ofNode((host) => host.pool.connections.length))
    this.addGauge("nodeInFlight", { node }, ofNode((host) => host.getInFlight()))
    this.addGauge(
      "nodeAvailableStreams",
      { node },
      ofNode((host, { maxRequestsPerConnection }) =>
        Math.max(0, host.pool.connections.length * maxRequestsPerConnection - host.getInFlight())
      )
    )
    this.addGauge(
      "nodeOrphanedStreams",
      { node },
      ofNode((host) => host.pool.connections.reduce((sum, connection) => sum + connection.timedOutOperations, 0))
    )
    this.addBytes(
      "nodeSentBytes",
      node,
      () => counts.sentBytes.value + ofNode((host, { client }) => client.traffic(host).sent)()
    )
    this.addBytes(
      "nodeReceivedBytes",
      node,
      () => counts.receivedBytes.value + ofNode((host, { client }) => client.traffic(host).received)()
    )
  }

  private addBytes(metric: MetricId, node: string, value: () => number): void {
    this.seriesOf({ node }).push(this.register(metric, { node }, () => ({ count: value(), incremental: true })))
  }

  private describe(node: string, host: Host): void {
    const labels: Labels = {
      node,
      address: host.address,
      data_center: host.datacenter ?? "",
      rack: host.rack ?? "",
      version: host.cassandraVersion ?? ""
    }
    const key = Object.values(labels).join("\n")
    const before = this.described.get(node)
    if (before?.key === key) return
    before?.info.remove()
    this.described.set(node, { key, info: this.register("nodeInfo", labels, () => ({ value: 1 })) })
  }

  private removeNode(node: string): void {
    for (const series of this.ofNodes.get(node) ?? []) series.remove()
    this.described.get(node)?.info.remove()
    this.ofNodes.delete(node)
    this.shown.delete(node)
    this.described.delete(node)
    this.counts.forgetNode(node)
  }
}

const publications = new WeakMap<Metric.MetricRegistry, Map<string, Publication>>()

/** What tells the series of one publication from those of another in its registry. */
const keyOf = (context: Context.Context<never>, name: string): string => {
  const attributes = Object.entries(Context.get(context, Metric.CurrentMetricAttributes))
  return JSON.stringify([name, ...attributes.toSorted(([a], [b]) => a < b ? -1 : 1)])
}

/** What is published in the registry of this context under that name; `release` when the cluster closes. */
export const publish = (
  context: Context.Context<never>,
  name: string
): { readonly publication: Publication; readonly release: () => void } => {
  const registry = Context.get(context, Metric.MetricRegistry)
  let ofRegistry = publications.get(registry)
  if (ofRegistry === undefined) {
    ofRegistry = new Map()
    publications.set(registry, ofRegistry)
  }
  const byKey = ofRegistry
  const key = keyOf(context, name)
  const publication = byKey.get(key) ?? new Publication(context, name)
  byKey.set(key, publication)
  publication.enter()
  return {
    publication,
    release: () => {
      if (publication.leave()) byKey.delete(key)
    }
  }
}

const ignore = (): void => undefined

/** Of what outlives the cluster: an ordinary update of an ordinary metric. */
export const recordSeconds = (
  context: Context.Context<never>,
  metric: "connectDuration" | "closeDuration",
  labels: Labels,
  millis: number
): void => {
  const { boundaries = [], description, name, unit }: Definition = definitions[metric]
  const histogram = Metric.histogram(name, { description, boundaries, attributes: { ...labels, unit } })
  histogram.updateUnsafe(millis / 1000, context)
}
