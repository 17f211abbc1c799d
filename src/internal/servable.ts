/**
 * Whether every part of a keyspace's data can be read and written at a consistency, by the nodes that can be asked.
 */
import type { Consistency } from "./consistency.ts"
import type { Client, Host, Replication } from "./driver/inside.ts"

export interface Question {
  readonly client: Client
  readonly keyspace: string | undefined
  readonly consistency: Consistency
  /** Whose nodes coordinate: local consistencies are counted there. */
  readonly dataCenter: string
  readonly isUsable: (host: Host) => boolean
}

export const isServable = (asked: Question): boolean => {
  const isUsable = once(asked.isUsable)
  const question = { ...asked, isUsable }
  const { client, dataCenter, keyspace } = question
  const coordinators = client.hosts.values().filter(({ datacenter }) => datacenter === dataCenter)
  if (!coordinators.some(isUsable)) return false
  const replication = keyspace === undefined ? undefined : client.metadata.keyspaces[keyspace]
  const factors = replication === undefined ? undefined : factorsOf(replication)
  // Where its replicas are not known, or each node has its own, whoever coordinates may be able to.
  return factors === undefined ||
    replicaSets(client, keyspace!).every((replicas) => serves(replicas, factors, question))
}

/** A node has as many ranges as the ring gives it. */
const once = (isUsable: Question["isUsable"]): Question["isUsable"] => {
  const answers = new Map<Host, boolean>()
  return (host) => {
    let answer = answers.get(host)
    if (answer === undefined) {
      answer = isUsable(host)
      answers.set(host, answer)
    }
    return answer
  }
}

/** Of each range of the ring, each once; none where the driver does not know them. */
const replicaSets = ({ metadata }: Client, keyspace: string): ReadonlyArray<ReadonlyArray<Host>> => {
  const [token] = metadata.ring ?? []
  // The driver makes them of all ranges when it is asked for those of one, and anew when the ring has changed.
  if (token === undefined || !Array.isArray(metadata.getReplicas(keyspace, token))) return []
  const ofRanges = metadata.keyspaces[keyspace]?.replicas
  if (typeof ofRanges !== "object" || ofRanges === null) return []
  let sets = known.get(ofRanges)
  if (sets === undefined) {
    const all = Object.values(ofRanges as Record<string, ReadonlyArray<Host>>)
    sets = [...new Map(all.map((hosts) => [hosts.map(({ address }) => address).toSorted().join(), hosts])).values()]
    known.set(ofRanges, sets)
  }
  return sets
}

const known = new WeakMap<object, ReadonlyArray<ReadonlyArray<Host>>>()

/** How many replicas a keyspace asks for, also where there are not as many nodes. */
interface Factors {
  readonly total: number
  /** By data center; of a strategy that knows none, the server counts all replicas in place of a data center's own. */
  readonly byDataCenter: ReadonlyMap<string, number> | undefined
}

/** None of a strategy whose replicas the driver does not know. */
const factorsOf = ({ strategy = "", strategyOptions = {} }: Replication): Factors | undefined => {
  // Of "3/1" one is transient.
  const factor = (text: string | undefined): number => Number.parseInt(text ?? "0", 10)
  if (strategy.endsWith("SimpleStrategy")) {
    return { total: factor(strategyOptions["replication_factor"]), byDataCenter: undefined }
  }
  if (!strategy.endsWith("NetworkTopologyStrategy")) return undefined
  const factors = Object.entries(strategyOptions).map(([name, text]) => [name, factor(text)] as const)
  const byDataCenter = new Map(factors.filter(([, count]) => count > 0))
  return { total: [...byDataCenter.values()].reduce((sum, count) => sum + count, 0), byDataCenter }
}

const serves = (
  replicas: ReadonlyArray<Host>,
  { byDataCenter, total }: Factors,
  { consistency, dataCenter, isUsable }: Question
): boolean => {
  const has = (required: number, name?: string): boolean =>
    replicas.filter((host) => isUsable(host) && (name === undefined || host.datacenter === name)).length >= required
  const hasQuorumIn = (name: string): boolean =>
    has(quorum(byDataCenter === undefined ? total : byDataCenter.get(name) ?? 0), name)
  switch (consistency) {
    case "any":
      return true
    case "one":
      return has(1)
    case "two":
      return has(2)
    case "three":
      return has(3)
    case "all":
      return has(total)
    case "quorum":
    case "serial":
      return has(quorum(total))
    case "localOne":
      return has(1, dataCenter)
    case "localQuorum":
    case "localSerial":
      return hasQuorumIn(dataCenter)
    case "eachQuorum":
      return byDataCenter === undefined ? has(quorum(total)) : [...byDataCenter.keys()].every(hasQuorumIn)
  }
}

const quorum = (replicas: number): number => Math.floor(replicas / 2) + 1
