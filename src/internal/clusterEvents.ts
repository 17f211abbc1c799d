/**
 * What happens to a cluster's nodes and its schema.
 */
import { Broadcast } from "./broadcast.ts"
import { hostIdOf } from "./counts.ts"
import type { DriverClient, Observer } from "./driver/client.ts"
import type { Host, SchemaChange } from "./driver/inside.ts"

export type ClusterEvent = NodeEvent | SchemaEvent

export interface NodeEvent {
  readonly _tag: "NodeAdded" | "NodeRemoved" | "NodeUp" | "NodeDown"
  /** `address:port` */
  readonly address: string
  readonly hostId: string
  readonly dataCenter: string
}

export interface SchemaEvent {
  readonly _tag: "SchemaChanged"
  /** What was done to the keyspace, or to the table or another part of it. */
  readonly change: "created" | "updated" | "dropped" | undefined
  readonly keyspace: string | undefined
  readonly table: string | undefined
}

export class ClusterEvents extends Broadcast<ClusterEvent> {
  private readonly known = new WeakSet<Host>()

  /** Of a client that has connected: nobody has been told of the nodes that it has found by that. */
  attach(client: DriverClient): void {
    for (const host of client.raw.hosts.values()) this.added(host)
    client.observers.add(this.observer)
  }

  private added(host: Host): void {
    this.known.add(host)
    this.tell(ofNode("NodeAdded", host))
  }

  private readonly observer: Partial<Observer> = {
    nodeAdded: (host) => this.added(host),
    nodeRemoved: (host) => this.tell(ofNode("NodeRemoved", host)),
    nodeUp: (host) => this.tell(ofNode("NodeUp", host)),
    nodeDown: (host) => {
      // The driver holds a node for down that it has just found, before it has read what it is called.
      if (this.known.has(host)) this.tell(ofNode("NodeDown", host))
    },
    schemaChanged: (change) => this.tell(ofSchema(change))
  }
}

const ofSchema = (change: SchemaChange | undefined): SchemaEvent => ({
  _tag: "SchemaChanged",
  change: changes.get(change?.schemaChangeType),
  keyspace: change?.keyspace,
  table: change?.table ?? undefined
})

const changes = new Map<string | undefined, SchemaEvent["change"]>([
  ["CREATED", "created"],
  ["UPDATED", "updated"],
  ["DROPPED", "dropped"]
])

const ofNode = (_tag: NodeEvent["_tag"], host: Host): NodeEvent => ({
  _tag,
  address: host.address,
  hostId: hostIdOf(host),
  dataCenter: host.datacenter ?? ""
})
