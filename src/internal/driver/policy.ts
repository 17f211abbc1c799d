/**
 * The driver's view of which nodes are ours: those of the local data center, and of the others that may stand in for it,
 * narrowed by the user's filter.
 *
 * Which node serves a statement is decided in `nodes.ts`; the driver asks this policy for distances, for pools and for
 * its control connection. Made once per client: a policy shared by two clients breaks the second when the first closes.
 */
import cassandra from "cassandra-driver"
import type { Host, HostMap, QueryPlan } from "./inside.ts"

/** No node of the wanted data center is known. */
export class NoSuchDataCenter extends Error {
  readonly found: ReadonlyArray<string>
  readonly wanted: string | undefined
  constructor(wanted: string | undefined, found: ReadonlyArray<string>) {
    super("no such data center")
    this.wanted = wanted
    this.found = found
  }
}

export interface PolicyOptions {
  readonly localDataCenter: string | undefined
  /** Data centers whose nodes are asked, in this order, while no local one can be. */
  readonly failover: ReadonlyArray<string>
  readonly nodeFilter: ((node: { readonly address: string; readonly dataCenter: string }) => boolean) | undefined
}

const { distance } = cassandra.types

const none: ReadonlyArray<never> = []

export class LocalPolicy extends cassandra.policies.loadBalancing.LoadBalancingPolicy {
  /** Known once the client has seen the cluster. */
  localDataCenter: string | undefined
  private readonly options: PolicyOptions
  private known: HostMap | undefined
  private snapshot: ReadonlyArray<Host> = none
  private local: ReadonlyArray<Host> = none
  private remote: ReadonlyArray<ReadonlyArray<Host>> = none
  private position = 0

  constructor(options: PolicyOptions) {
    super()
    this.options = options
    this.localDataCenter = options.localDataCenter
  }

  override init(client: unknown, hosts: unknown, done: (error: Error) => void): void {
    // The typings have no way to say that it went well.
    const callback = done as (error?: Error) => void
    const known = hosts as HostMap
    // A secure connect bundle names the data center: the driver writes it into the client's options.
    this.localDataCenter ??=
      (client as { readonly options: { readonly localDataCenter?: string } }).options.localDataCenter
    const found = [...new Set(known.values().map((host) => host.datacenter ?? ""))]
    if (this.localDataCenter === undefined && found.length === 1) this.localDataCenter = found[0]
    if (this.localDataCenter === undefined || !found.includes(this.localDataCenter)) {
      return callback(new NoSuchDataCenter(this.localDataCenter, found))
    }
    this.known = known
    callback()
  }

  override getDistance(host: unknown): cassandra.types.distance {
    const { datacenter } = host as Host
    if (!this.isWanted(host as Host)) return distance.ignored
    if (this.isLocal(datacenter)) return distance.local
    return this.options.failover.includes(datacenter ?? "") ? distance.remote : distance.ignored
  }

  override newQueryPlan(
    _keyspace: string,
    _options: unknown,
    done: (error: Error, plan: Iterator<cassandra.Host>) => void
  ): void {
    const callback = done as unknown as (error: null, plan: unknown) => void
    callback(null, this.plan())
  }

  override getOptions(): Map<string, object> {
    return new Map()
  }

  /** Every node once that may be asked: the local ones, starting with another one each time, then those that stand in. */
  plan(): QueryPlan {
    const local = this.localHosts()
    const start = this.nextPosition()
    const hosts = local.map((_, index) => local[(start + index) % local.length]!)
    return [...hosts, ...this.remoteHosts().flat()].values() as QueryPlan
  }

  nextPosition(): number {
    this.position = (this.position + 1) & 0x3fffffff
    return this.position
  }

  localHosts(): ReadonlyArray<Host> {
    this.refresh()
    return this.local
  }

  /** By data center, in the order in which they are failed over to; none where they are not. */
  remoteHosts(): ReadonlyArray<ReadonlyArray<Host>> {
    this.refresh()
    return this.remote
  }

  /** A node that is known may be of another data center than it was. */
  nodesMoved(): void {
    this.snapshot = none
  }

  private refresh(): void {
    if (this.known === undefined) return
    // The driver hands out the same frozen array until its topology changes.
    const hosts = this.known.values()
    if (hosts === this.snapshot) return
    this.snapshot = hosts
    const wanted = hosts.filter((host) => this.isWanted(host))
    this.local = wanted.filter(({ datacenter }) => this.isLocal(datacenter))
    this.remote = this.options.failover.length === 0
      ? none
      : this.options.failover.map((name) => wanted.filter(({ datacenter }) => datacenter === name))
  }

  private isLocal(dataCenter: string | null): boolean {
    return this.localDataCenter === undefined || dataCenter === this.localDataCenter
  }

  private isWanted(host: Host): boolean {
    return this.options.nodeFilter === undefined || this.passes(host, this.options.nodeFilter)
  }

  /** Called by the driver and on the path of statements, which a throw of the user's would break: it keeps a node out. */
  private passes(host: Host, filter: NonNullable<PolicyOptions["nodeFilter"]>): boolean {
    try {
      return filter({ address: host.address, dataCenter: host.datacenter ?? "" })
    } catch {
      return false
    }
  }
}
