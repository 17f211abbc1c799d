import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CqlRetry, Session, Statement } from "../../src/index.ts"
import * as Reply from "../support/Reply.ts"
import { connect, preparesUsers, reasonOf, untilNode } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

type Servers = ScriptedServer.Cluster

const oneMilli = { base: "1 millis", max: "1 millis" } as const

const slowly = { base: "10 minutes", max: "10 minutes" } as const

const often = Schedule.spaced("5 millis")

const addressOf = ({ host, port }: ScriptedServer.ScriptedServer): string => `${host}:${port}`

const nodesOf = (servers: Servers, dataCenter: string) => servers.nodes.filter((node) => node.dataCenter === dataCenter)

const makeCluster = Effect.fnUntraced(function*(...dataCenters: ReadonlyArray<string>) {
  const servers = yield* ScriptedServer.makeCluster({
    nodes: dataCenters.map((dataCenter) => ({ dataCenter })),
    subnet: "127.0.71",
    keyspaces: { shop: { class: "NetworkTopologyStrategy", paris: "1", oslo: "1" } }
  })
  servers.on(/^(SELECT|INSERT|UPDATE)/, Reply.void)
  preparesUsers(servers)
  return servers
})

const twoDataCenters = makeCluster("paris", "paris", "oslo", "oslo")

const connectTo = Effect.fnUntraced(function*(servers: Servers, options: Session.Options = {}) {
  const failover = options.failover ?? ["oslo"]
  const session = yield* connect(servers, {
    localDataCenter: "paris",
    reconnectDelay: oneMilli,
    ...options,
    failover
  })
  // The driver opens those of other data centers behind the connecting.
  yield* Effect.repeat(session.cluster.nodes, {
    schedule: often,
    until: (nodes) =>
      nodes.every(({ dataCenter, openConnections }) => openConnections > 0 || !failover.includes(dataCenter))
  })
  return session
})

/** Takes nodes away, until the session knows. */
const takeAway = Effect.fnUntraced(function*(
  session: Session["Service"],
  nodes: ReadonlyArray<ScriptedServer.ScriptedServer>
) {
  yield* Effect.forEach(nodes, ({ refuse }) => refuse)
  for (const { dropConnections } of nodes) yield* untilNode("hostDown", session, dropConnections)
})

const asked = (servers: Servers, match: ScriptedServer.Match = /^(SELECT|INSERT|UPDATE)/): ReadonlyArray<number> =>
  servers.nodes.map((node) => node.received(match).length)

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

const ask = ({ cql }: Session["Service"], count: number) =>
  Effect.forEach(Array.from({ length: count }), () => cql`SELECT n`)

const sharedBy = ({ cluster }: Session["Service"]) => Effect.map(cluster.share(undefined), ({ client }) => client)

describe("a cluster that fails over", () => {
  it.live("asks local nodes alone while there is one, and keeps connections to the others", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [10, 10, 0, 0])
      yield* takeAway(session, [servers.nodes[0]!])
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [10, 30, 0, 0])
      assert.deepStrictEqual(nodesOf(servers, "oslo").map((node) => node.connections()), [1, 1])
      const nodes = yield* session.cluster.nodes
      assert.deepStrictEqual(
        nodes.filter(({ isLocal }) => isLocal).map(({ dataCenter }) => dataCenter),
        ["paris", "paris"]
      )
    }))

  it.live("asks the other data center at once when no local node is left, and the local one at once when it is back", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      const [first, second] = servers.nodes
      yield* takeAway(session, [first!, second!])
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [0, 0, 10, 10])
      yield* untilNode("hostUp", session, first!.accept)
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [20, 0, 10, 10])
    }))

  it.live("asks data centers in the order that was told, whatever the order of the nodes", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster("rome", "oslo", "paris", "cairo")
      const session = yield* connectTo(servers, { failover: ["oslo", "rome"] })
      yield* takeAway(session, nodesOf(servers, "paris"))
      yield* ask(session, 3)
      assert.deepStrictEqual(asked(servers), [0, 3, 0, 0])
      yield* takeAway(session, nodesOf(servers, "oslo"))
      yield* ask(session, 3)
      assert.deepStrictEqual(asked(servers), [3, 3, 0, 0])
      yield* takeAway(session, nodesOf(servers, "rome"))
      const reason = yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)
      const [rome, oslo, paris] = servers.nodes
      assert.deepStrictEqual(
        reason.nodes,
        [paris!, oslo!, rome!].map((node) => ({ node: addressOf(node), error: "down" }))
      )
      assert.deepStrictEqual(asked(servers), [3, 3, 0, 0])
    }))

  it.live("asks a replica of the other data center first", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster("paris", "paris", "oslo", "oslo", "oslo")
      const session = yield* connectTo(servers)
      yield* takeAway(session, nodesOf(servers, "paris"))
      const ids = Array.from({ length: 60 }, (_, index) => `user ${index}`)
      yield* Effect.forEach(ids, (id) => session.cql`INSERT ${id}`)
      const requests = servers.received(/^INSERT/, ["execute"])
      assert.lengthOf(new Set(requests.map(({ values }) => String(values[0]))), 60)
      for (const { node, values: [id] } of requests) {
        const owners: ReadonlyArray<{ readonly address: string }> = yield* session.cluster.use(async (client) =>
          client.metadata.getReplicas("shop", Buffer.from(String(id)) as never)
        )
        assert.include(owners.map(({ address }) => address), addressOf(node))
        assert.strictEqual(node.dataCenter, "oslo")
      }
      // By turns it would be twenty each.
      for (const node of nodesOf(servers, "oslo")) assert.isAbove(node.received(/^INSERT/).length, 0)
    }))

  it.live("tries what has failed on every local node on one of the other data center", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster("paris", "paris", "oslo")
      const session = yield* connectTo(servers, { reconnectDelay: slowly })
      for (const node of nodesOf(servers, "paris")) node.on("SELECT n", Reply.overloaded("busy"))
      yield* session.cql`SELECT n`.pipe(
        Statement.withOptions({ idempotent: true, retry: CqlRetry.make({ schedule: Schedule.recurs(2) }) })
      )
      assert.deepStrictEqual(asked(servers), [1, 1, 1])
    }))

  it.live("prepares everywhere, also where it fails over to", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      yield* Statement.prepare(session.cql`INSERT ${"a"}`)
      assert.deepStrictEqual(asked(servers, /^INSERT/), [0, 0, 0, 0])
      assert.deepStrictEqual(servers.nodes.map((node) => node.received(/^INSERT/, ["prepare"]).length), [1, 1, 1, 1])
    }))

  it.live("has its control connection there while no local node is left", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      yield* takeAway(session, nodesOf(servers, "paris"))
      const [registered] = yield* Effect.raceAll(
        nodesOf(servers, "oslo").map((node) => node.awaitRequest("REGISTER", 1, ["register"]))
      )
      assert.strictEqual(registered!.node.dataCenter, "oslo")
      // What was open already, and no other.
      assert.deepStrictEqual(nodesOf(servers, "oslo").map((node) => node.accepted()), [1, 1])
    }))

  it.live("connects where the whole local data center is down, and asks it when it is there", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const [first, second, third] = servers.nodes
      yield* Effect.forEach([first!, second!], ({ refuse }) => refuse)
      const session = yield* connect(servers, {
        contactPoints: [first!, third!].map(addressOf),
        localDataCenter: "paris",
        failover: ["oslo"],
        reconnectDelay: oneMilli
      })
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [0, 0, 10, 10])
      assert.strictEqual(session.cluster.localDataCenter, "paris")
      yield* untilNode("hostUp", session, first!.accept)
      yield* ask(session, 20)
      assert.deepStrictEqual(asked(servers), [20, 0, 10, 10])
    }))

  it.live("may name a data center that has no node yet", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster("paris")
      const session = yield* connectTo(servers, { failover: ["oslo"] })
      const oslo = yield* servers.add({ dataCenter: "oslo" })
      yield* untilNode("hostUp", session, Effect.promise(() => Effect.runPromise(refreshNodes(session))))
      yield* takeAway(session, nodesOf(servers, "paris"))
      yield* ask(session, 3)
      assert.strictEqual(oslo.received("SELECT n").length, 3)
    }))

  it.live("does not ask a node there that nodeFilter refuses", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const [, , third, fourth] = servers.nodes
      const session = yield* connect(servers, {
        localDataCenter: "paris",
        failover: ["oslo"],
        reconnectDelay: oneMilli,
        nodeFilter: ({ address }) => address !== addressOf(third!)
      })
      yield* fourth!.awaitConnections(1)
      yield* takeAway(session, nodesOf(servers, "paris"))
      yield* ask(session, 4)
      assert.deepStrictEqual(asked(servers), [0, 0, 0, 4])
      assert.strictEqual(third!.accepted(), 0)
    }))

  it.live("does not choose another data center for what must stay in the local one", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      const client = yield* sharedBy(session)
      assert.strictEqual(client.choose(undefined, [], true)?.datacenter, "paris")
      yield* takeAway(session, nodesOf(servers, "paris"))
      assert.isUndefined(client.choose(undefined, [], true))
      assert.strictEqual(client.choose(undefined, [])?.datacenter, "oslo")
      assert.deepStrictEqual(client.nodes(true).map(({ datacenter }) => datacenter), ["paris", "paris"])
      assert.deepStrictEqual(client.nodes().map(({ datacenter }) => datacenter), ["paris", "paris", "oslo", "oslo"])
    }))

  it.live("keeps a condition and a read at localSerial in the local data center", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connectTo(servers)
      yield* takeAway(session, nodesOf(servers, "paris"))
      const update = session.cql`UPDATE users SET n = 1 WHERE id = 'a' IF n = 0`
      yield* update.pipe(Statement.withOptions({ serialConsistency: "serial" }))
      assert.strictEqual(servers.received(/^UPDATE/).length, 1)
      const atHome = [
        update.pipe(Statement.withOptions({ serialConsistency: "localSerial" })),
        session.cql`SELECT n`.pipe(Statement.withOptions({ consistency: "localSerial" }))
      ]
      for (const statement of atHome) {
        const reason = yield* reasonOf("NoHostAvailable")(statement)
        assert.sameMembers(reason.nodes.map(({ node }) => node), nodesOf(servers, "paris").map(addressOf))
      }
      assert.strictEqual(sum(asked(servers)), 1)
      // Without a condition it says nothing.
      yield* session.cql`SELECT n`.pipe(Statement.withOptions({ serialConsistency: "localSerial" }))
      assert.strictEqual(sum(asked(servers)), 2)
    }))

  const wrong: ReadonlyArray<readonly [what: string, Session.Options]> = [
    ["the local data center among them", { failover: ["oslo", "paris"] }],
    ["one of them twice", { failover: ["oslo", "oslo"] }],
    ["one without a name", { failover: [" "] }],
    ["one that is no text", { failover: [1 as unknown as string] }],
    ["no list of them", { failover: "oslo" as unknown as ReadonlyArray<string> }],
    ["no local data center beside them", { failover: ["oslo"], localDataCenter: undefined }]
  ]

  for (const [what, options] of wrong) {
    it.live(`is refused with ${what}`, () =>
      Effect.gen(function*() {
        const reason = yield* reasonOf("InvalidConfig")(
          Session.make({ contactPoints: ["127.0.66.1"], localDataCenter: "paris", ...options })
        )
        assert.strictEqual(reason.field, "failover")
      }))
  }
})

describe("a cluster that was not told to fail over", () => {
  it.live("does not ask other data centers, and has no connections to them", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      const session = yield* connect(servers, { localDataCenter: "paris", failover: [], reconnectDelay: slowly })
      yield* takeAway(session, nodesOf(servers, "paris"))
      const reason = yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)
      assert.sameMembers(reason.nodes.map(({ node }) => node), nodesOf(servers, "paris").map(addressOf))
      assert.deepStrictEqual(asked(servers), [0, 0, 0, 0])
      assert.deepStrictEqual(nodesOf(servers, "oslo").map((node) => node.accepted()), [0, 0])
    }))
})

const refreshNodes = ({ cluster }: Session["Service"]) =>
  cluster.use((client) => {
    const { controlConnection } = client as unknown as {
      readonly controlConnection: { readonly _refreshHosts: (first: boolean, again: boolean) => Promise<void> }
    }
    return controlConnection._refreshHosts(false, false)
  })
