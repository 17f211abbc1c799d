/**
 * Which node gets an attempt: a replica of the partition first, else any local one, never one that was tried before.
 */
import * as Encoder from "../codec/Encoder.ts"
import type { Client, Host } from "./inside.ts"
import type { LocalPolicy } from "./policy.ts"

export interface Route {
  /** The keyspace of the statement's table. */
  readonly keyspace: string
  /** The statement's encoded parameters, and which of them make the partition key. */
  readonly values: Buffer
  readonly partitionKeys: ReadonlyArray<number>
}

export const isUsable = (host: Host): boolean => host.isUp() && host.pool.connections.length > 0

const firstUsable = (hosts: ReadonlyArray<Host>, start: number, tried: ReadonlyArray<Host>): Host | undefined => {
  for (let index = 0; index < hosts.length; index++) {
    const host = hosts[(start + index) % hosts.length]!
    if (isUsable(host) && !tried.includes(host)) return host
  }
  return undefined
}

const replicas = (client: Client, policy: LocalPolicy, route: Route): ReadonlyArray<Host> => {
  const routingKey = Encoder.routingKey(route.values, route.partitionKeys)
  if (routingKey === undefined) return []
  const local = policy.localHosts()
  const owners = client.metadata.getReplicas(route.keyspace, routingKey)
  return owners === null ? [] : owners.filter((host) => local.includes(host))
}

export const choose = (
  client: Client,
  policy: LocalPolicy,
  route: Route | undefined,
  tried: ReadonlyArray<Host>
): Host | undefined => {
  const local = policy.localHosts()
  const start = policy.nextPosition()
  // With one node there is nothing to choose, and making and hashing the key would be the dearest step of the query.
  if (route !== undefined && local.length > 1) {
    const owner = firstUsable(replicas(client, policy, route), start, tried)
    if (owner !== undefined) return owner
  }
  return firstUsable(local, start, tried)
}

/** Why none of these nodes could be asked, a line a node; `failure` is what is known of one that was asked. */
export const whyNone = (
  hosts: ReadonlyArray<Host>,
  failure: (host: Host) => string | undefined
): ReadonlyArray<{ readonly node: string; readonly error: string }> =>
  hosts.map((host) => ({ node: host.address, error: failure(host) ?? whyNot(host) }))

const whyNot = (host: Host): string => {
  if (!host.isUp()) return "down"
  return host.pool.connections.length === 0 ? "no connection is open" : "it was not asked"
}
