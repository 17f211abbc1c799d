/**
 * What a keyspace's replicas can serve while some of the nodes are away, by the rules of the server; the replicas are
 * those that the driver itself makes of a keyspace and its ring.
 */
import { assert, describe, it } from "@effect/vitest"
import { createRequire } from "node:module"
import type { Consistency } from "../../src/internal/consistency.ts"
import type { Client, Host } from "../../src/internal/driver/inside.ts"
import { isServable } from "../../src/internal/servable.ts"

type Replication = Readonly<Record<string, string>>

interface DriverMetadata {
  readonly keyspaces: Record<string, unknown>
  readonly setPartitioner: (name: string) => void
  readonly setCassandraVersion: (version: ReadonlyArray<number>) => void
  readonly buildTokens: (hosts: { readonly values: () => ReadonlyArray<Host> }) => void
  readonly _schemaParser: {
    readonly _createKeyspace: (name: string, durable: boolean, strategy: string, options: Replication) => unknown
  }
}

const Metadata = createRequire(import.meta.url)("cassandra-driver/lib/metadata/index.js") as new(
  options: object,
  control: object
) => DriverMetadata

/** Names of data centers, one a node; in turns around the ring. */
interface Given {
  readonly nodes: ReadonlyArray<string>
  /** The class, and the rest of the keyspace's options; `undefined` is a keyspace that the driver does not know. */
  readonly replication: readonly [strategy: string, options: Replication] | undefined
  readonly keyspace?: string | undefined
  /** Whether the driver has read the tokens of the nodes. */
  readonly ring?: boolean
}

const keyspace = "shop"

const clientOf = ({ nodes, replication, ring = true }: Given): Client => {
  const metadata = new Metadata({ encoding: {} }, {})
  metadata.setCassandraVersion([4, 1])
  metadata.setPartitioner("org.apache.cassandra.dht.Murmur3Partitioner")
  const hosts = nodes.map((datacenter, index) => ({
    address: `127.0.0.${index + 1}:9042`,
    datacenter,
    rack: "rack1",
    tokens: [String(index * 100), String(index * 100 + 1000)]
  })) as unknown as ReadonlyArray<Host>
  if (ring) metadata.buildTokens({ values: () => hosts })
  if (replication !== undefined) {
    metadata.keyspaces[keyspace] = metadata._schemaParser._createKeyspace(keyspace, true, ...named(replication))
  }
  return { hosts: { values: () => hosts }, metadata } as unknown as Client
}

const named = ([strategy, options]: readonly [string, Replication]): [string, Replication] => [
  `org.apache.cassandra.locator.${strategy}`,
  options
]

/** Whether it can be served while the nodes at these positions are away. */
const serves = (
  given: Given,
  consistency: Consistency,
  away: ReadonlyArray<number>,
  dataCenter = given.nodes[0]!
): boolean => {
  const client = clientOf(given)
  const gone = away.map((index) => client.hosts.values()[index])
  return isServable({
    client,
    keyspace: "keyspace" in given ? given.keyspace : keyspace,
    consistency,
    dataCenter,
    isUsable: (host) => !gone.includes(host)
  })
}

const simple = (factor: number) => ["SimpleStrategy", { replication_factor: String(factor) }] as const

const network = (options: Replication) => ["NetworkTopologyStrategy", options] as const

const oneDataCenter = ["here", "here", "here"]

/** Around the ring in turns: here, there, here, ... */
const twoDataCenters = ["here", "there", "here", "there", "here", "there"]

describe("three replicas in one data center", () => {
  /** How many may be away. */
  const most: Readonly<Record<Consistency, number>> = {
    any: 2,
    one: 2,
    two: 1,
    three: 0,
    quorum: 1,
    all: 0,
    localOne: 2,
    localQuorum: 1,
    eachQuorum: 1,
    serial: 1,
    localSerial: 1
  }
  for (const [consistency, away] of Object.entries(most) as ReadonlyArray<[Consistency, number]>) {
    it(`serve ${consistency} with up to ${away} away`, () => {
      for (const replication of [simple(3), network({ here: "3" })]) {
        const given = { nodes: oneDataCenter, replication }
        const served = [0, 1, 2, 3].filter((count) => serves(given, consistency, [0, 1, 2].slice(0, count)))
        assert.deepStrictEqual(served, [0, 1, 2, 3].filter((count) => count <= away), replication[0])
      }
    })
  }
})

describe("three replicas in each of two data centers", () => {
  const given = { nodes: twoDataCenters, replication: network({ here: "3", there: "3" }) }
  /** Away here, away there, and what is served here then. */
  const cases: ReadonlyArray<readonly [here: number, there: number, served: ReadonlyArray<Consistency>]> = [
    [0, 0, [
      "any",
      "one",
      "two",
      "three",
      "quorum",
      "all",
      "localOne",
      "localQuorum",
      "eachQuorum",
      "serial",
      "localSerial"
    ]],
    [1, 0, [
      "any",
      "one",
      "two",
      "three",
      "quorum",
      "localOne",
      "localQuorum",
      "eachQuorum",
      "serial",
      "localSerial"
    ]],
    [1, 1, ["any", "one", "two", "three", "quorum", "localOne", "localQuorum", "eachQuorum", "serial", "localSerial"]],
    [2, 0, ["any", "one", "two", "three", "quorum", "localOne", "serial"]],
    [0, 2, ["any", "one", "two", "three", "quorum", "localOne", "localQuorum", "serial", "localSerial"]],
    [0, 3, ["any", "one", "two", "three", "localOne", "localQuorum", "localSerial"]],
    [2, 1, ["any", "one", "two", "three", "localOne"]],
    [2, 3, ["any", "one", "localOne"]],
    // Nobody is left who would be asked.
    [3, 0, []]
  ]
  for (const [here, there, served] of cases) {
    it(`serve ${served.length === 0 ? "nothing" : served.join(", ")}, with ${here} away here and ${there} there`, () => {
      const away = [...[0, 2, 4].slice(0, here), ...[1, 3, 5].slice(0, there)]
      const all: ReadonlyArray<Consistency> = cases[0]![2]
      assert.deepStrictEqual(all.filter((consistency) => serves(given, consistency, away)), served)
    })
  }

  it("are counted from the data center that coordinates", () => {
    assert.isFalse(serves(given, "localQuorum", [0, 2], "here"))
    assert.isTrue(serves(given, "localQuorum", [0, 2], "there"))
  })
})

describe("what a keyspace asks for", () => {
  it("is every part of the ring: with fewer replicas than nodes it depends on which are away", () => {
    const given = { nodes: ["here", "here", "here", "here", "here"], replication: simple(2) }
    assert.isTrue(serves(given, "one", [0, 2]))
    assert.isFalse(serves(given, "one", [0, 1]))
    const single = { ...given, replication: simple(1) }
    assert.isTrue(serves(single, "one", []))
    for (const node of [0, 1, 2, 3, 4]) assert.isFalse(serves(single, "one", [node]))
  })

  it("is as many replicas as it names, also where there are fewer nodes", () => {
    for (const replication of [simple(3), network({ here: "3" })]) {
      const alone = { nodes: ["here"], replication }
      assert.isTrue(serves(alone, "one", []))
      for (
        const consistency of ["two", "quorum", "localQuorum", "eachQuorum", "serial", "localSerial", "all"] as const
      ) {
        assert.isFalse(serves(alone, consistency, []), consistency)
      }
    }
  })

  it("cannot be had locally where the local data center has no replica", () => {
    const given = { nodes: twoDataCenters, replication: network({ there: "3" }) }
    for (const consistency of ["localOne", "localQuorum", "localSerial"] as const) {
      assert.isFalse(serves(given, consistency, []), consistency)
    }
    for (const consistency of ["one", "quorum", "all", "eachQuorum", "serial"] as const) {
      assert.isTrue(serves(given, consistency, []), consistency)
    }
  })

  it("cannot be had at all where no data center that there is has a replica", () => {
    const given = { nodes: oneDataCenter, replication: network({ elsewhere: "3" }) }
    for (const consistency of ["one", "quorum", "localOne", "all"] as const) {
      assert.isFalse(serves(given, consistency, []), consistency)
    }
    assert.isTrue(serves(given, "any", []))
  })

  it("is a quorum of each data center that it names, also of one without nodes", () => {
    const given = { nodes: oneDataCenter, replication: network({ here: "3", elsewhere: "3" }) }
    assert.isFalse(serves(given, "eachQuorum", []))
    assert.isTrue(serves(given, "localQuorum", []))
    const none = { nodes: oneDataCenter, replication: network({ here: "3", elsewhere: "0" }) }
    assert.isTrue(serves(none, "eachQuorum", []))
  })

  it("counts transient replicas as others", () => {
    const given = { nodes: oneDataCenter, replication: network({ here: "3/1" }) }
    assert.isTrue(serves(given, "localQuorum", [0]))
    assert.isFalse(serves(given, "localQuorum", [0, 1]))
  })

  it("is whatever node is left, of a strategy whose replicas the driver does not know", () => {
    for (const strategy of ["LocalStrategy", "EverywhereStrategy"]) {
      const given = { nodes: oneDataCenter, replication: [strategy, {}] as const }
      assert.isTrue(serves(given, "localOne", [0, 1]), strategy)
      assert.isFalse(serves(given, "localOne", [0, 1, 2]), strategy)
    }
  })
})

describe("where the replicas are not known", () => {
  const anyNode = (given: Given) => {
    for (const consistency of ["one", "quorum", "all"] as const) {
      assert.isTrue(serves(given, consistency, [0, 1]), consistency)
      assert.isFalse(serves(given, consistency, [0, 1, 2]), consistency)
    }
  }

  it("is a session without a keyspace: any node that is left may be able to", () =>
    anyNode({ nodes: oneDataCenter, replication: simple(3), keyspace: undefined }))

  it("is a keyspace that the driver has not read", () => anyNode({ nodes: oneDataCenter, replication: undefined }))

  it("is a ring that the driver has not read", () =>
    anyNode({ nodes: oneDataCenter, replication: simple(3), ring: false }))

  it("is only what nodes of the data center that coordinates can do", () => {
    const given = { nodes: twoDataCenters, replication: undefined }
    assert.isFalse(serves(given, "one", [0, 2, 4]))
    assert.isTrue(serves(given, "one", [1, 3, 5]))
  })
})

it("a node is looked at once, however many parts of the ring it has", () => {
  const client = clientOf({ nodes: oneDataCenter.concat(oneDataCenter), replication: simple(3) })
  const asked: Array<Host> = []
  const isUsable = (host: Host): boolean => asked.push(host) > 0
  assert.isTrue(isServable({ client, keyspace, consistency: "all", dataCenter: oneDataCenter[0]!, isUsable }))
  assert.sameMembers(asked, [...client.hosts.values()])
  assert.lengthOf(asked, 6)
})
