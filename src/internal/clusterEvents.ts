/**
 * What happens to a cluster's nodes and its schema.
 */
import { Broadcast } from "./broadcast.ts"
import { hostIdOf } from "./counts.ts"
import type { DriverClient, Observer } from "./driver/client.ts"
import type { Host } from "./driver/inside.ts"

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
  readonly keyspace: string | undefined
  readonly table: string | undefined
}

export class ClusterEvents extends Broadcast<ClusterEvent> {
  attach(client: DriverClient): void {
    client.observers.add(this.observer)
  }

  private readonly observer: Partial<Observer> = {
    nodeAdded: (host) => this.tell(ofNode("NodeAdded", host)),
    nodeRemoved: (host) => this.tell(ofNode("NodeRemoved", host)),
    nodeUp: (host) => this.tell(ofNode("NodeUp", host)),
    nodeDown: (host) => this.tell(ofNode("NodeDown", host)),
    schemaChanged: (change) =>
      this.tell({ _tag: "SchemaChanged", keyspace: change?.keyspace, table: change?.table ?? undefined })
  }
}

const ofNode = (_tag: NodeEvent["_tag"], host: Host): NodeEvent => ({
  _tag,
  address: host.address,
  hostId: hostIdOf(host),
  dataCenter: host.datacenter ?? ""
})
