/**
 * Whether every part of a keyspace's data can be read and written at a consistency, by the nodes that can be asked.
 */
import type { Consistency } from "./consistency.ts"
import type { Client, Host } from "./driver/inside.ts"

export interface Question {
  readonly client: Client
  readonly keyspace: string | undefined
  readonly consistency: Consistency
  /** Whose nodes coordinate: local consistencies are counted there. */
  readonly dataCenter: string
  readonly isUsable: (host: Host) => boolean
}

export const isServable = (question: Question): boolean => {
  const { client, dataCenter, isUsable, keyspace } = question
  const coordinators = client.hosts.values().filter(({ datacenter }) => datacenter === dataCenter)
  if (!coordinators.some(isUsable)) return false
  // Without replicas that are known, whoever coordinates may be able to.
  return keyspace === undefined || replicaSets(client, keyspace).every((replicas) => serves(replicas, question))
}

/** Of each range of the ring once; none where the driver does not know them. */
const replicaSets = ({ metadata }: Client, keyspace: string): ReadonlyArray<ReadonlyArray<Host>> => {
  const sets = new Map<string, ReadonlyArray<Host>>()
  for (const token of metadata.ring ?? []) {
    const replicas = metadata.getReplicas(keyspace, token)
    if (replicas !== null && replicas !== undefined) {
      sets.set(replicas.map(({ address }) => address).toSorted().join(), replicas)
    }
  }
  return [...sets.values()]
}

const serves = (replicas: ReadonlyArray<Host>, { consistency, dataCenter, isUsable }: Question): boolean => {
  const ofOne = (name: string | null): ReadonlyArray<Host> => replicas.filter(({ datacenter }) => datacenter === name)
  const has = (hosts: ReadonlyArray<Host>, required: number): boolean =>
    required > 0 && hosts.filter(isUsable).length >= required
  const local = ofOne(dataCenter)
  switch (consistency) {
    case "any":
      return true
    case "one":
      return has(replicas, 1)
    case "two":
      return has(replicas, 2)
    case "three":
      return has(replicas, 3)
    case "all":
      return has(replicas, replicas.length)
    case "quorum":
    case "serial":
      return has(replicas, quorum(replicas))
    case "localOne":
      return has(local, 1)
    case "localQuorum":
    case "localSerial":
      return has(local, quorum(local))
    case "eachQuorum":
      return [...new Set(replicas.map(({ datacenter }) => datacenter))].every((name) => {
        const there = ofOne(name)
        return has(there, quorum(there))
      })
  }
}

/** More than half; of no replica, none that could be had. */
const quorum = ({ length }: ReadonlyArray<Host>): number => length === 0 ? 0 : Math.floor(length / 2) + 1
