/**
 * Which node gets an attempt: a local replica of the partition first, else any local one, else one of a data center that
 * stands in for the local one; never one that was tried before.
 */
import * as Encoder from "../codec/Encoder.ts"
import { notOpened } from "./classify.ts"
import type { Client, Host } from "./inside.ts"
import type { LocalPolicy } from "./policy.ts"

export type Route = RouteOfValues | RouteOfToken

/** To the nodes that have a token. */
export interface RouteOfToken {
  readonly keyspace: string
  /** As a node tells it of itself. */
  readonly token: string
}

export interface RouteOfValues {
  /** The keyspace of the statement's table. */
  readonly keyspace: string
  /** The statement's encoded parameters, and which of them make the partition key. */
  readonly values: Buffer
  readonly partitionKeys: ReadonlyArray<number>
}

export const isUsable = (host: Host): boolean => host.isUp() && host.pool.connections.length > 0

/** By the driver's own counts, and its own rule: much is under way, and next to nothing was answered of late. */
const isSilent = (host: Host): boolean => host.getInFlight() >= 10 && host.getResponseCount() <= 1

/** One that has stopped answering is asked when there is no other. */
const firstUsable = (hosts: ReadonlyArray<Host>, start: number, tried: ReadonlyArray<Host>): Host | undefined => {
  let silent: Host | undefined
  for (let index = 0; index < hosts.length; index++) {
    const host = hosts[(start + index) % hosts.length]!
    if (!isUsable(host) || tried.includes(host)) continue
    if (hosts.length === 1 || !isSilent(host)) return host
    silent ??= host
  }
  return silent
}

const replicas = (client: Client, route: Route): ReadonlyArray<Host> => {
  const { metadata } = client
  if ("token" in route) return metadata.getReplicas(route.keyspace, metadata.newToken(route.token)) ?? []
  const routingKey = Encoder.routingKey(route.values, route.partitionKeys)
  return routingKey === undefined ? [] : metadata.getReplicas(route.keyspace, routingKey) ?? []
}

const chooseOf = (
  client: Client,
  hosts: ReadonlyArray<Host>,
  route: Route | undefined,
  start: number,
  tried: ReadonlyArray<Host>
): Host | undefined => {
  // With one node there is nothing to choose, and making and hashing the key would be the dearest step of the query.
  if (route !== undefined && hosts.length > 1) {
    const owners = replicas(client, route).filter((host) => hosts.includes(host))
    const owner = firstUsable(owners, start, tried)
    if (owner !== undefined && !isSilent(owner)) return owner
    const other = firstUsable(hosts, start, tried)
    return other === undefined || (owner !== undefined && isSilent(other)) ? owner : other
  }
  return firstUsable(hosts, start, tried)
}

/** `localOnly` for what another data center must not answer in place of the local one. */
export const choose = (
  client: Client,
  policy: LocalPolicy,
  route: Route | undefined,
  tried: ReadonlyArray<Host>,
  localOnly = false
): Host | undefined => {
  const start = policy.nextPosition()
  const host = chooseOf(client, policy.localHosts(), route, start, tried)
  return host !== undefined || localOnly ? host : chooseRemote(client, policy, route, start, tried)
}

const chooseRemote = (
  client: Client,
  policy: LocalPolicy,
  route: Route | undefined,
  start: number,
  tried: ReadonlyArray<Host>
): Host | undefined => {
  for (const hosts of policy.remoteHosts()) {
    const host = chooseOf(client, hosts, route, start, tried)
    if (host !== undefined) return host
  }
  return undefined
}

/** Every node that may be asked, in the order in which they are. */
export const all = (policy: LocalPolicy, localOnly = false): ReadonlyArray<Host> =>
  localOnly ? policy.localHosts() : [...policy.localHosts(), ...policy.remoteHosts().flat()]

/** Why none of these nodes could be asked, a line a node; `failure` is what is known of one that was asked. */
export const whyNone = (
  hosts: ReadonlyArray<Host>,
  failure: (host: Host) => string | undefined
): ReadonlyArray<{ readonly node: string; readonly error: string }> =>
  hosts.map((host) => ({ node: host.address, error: failure(host) ?? whyNot(host) }))

const whyNot = (host: Host): string => {
  const why = notOpened.get(host)?.message
  if (!host.isUp()) return why === undefined ? "down" : `down: ${why}`
  return host.pool.connections.length === 0 ? "no connection is open" : "it was not asked"
}
