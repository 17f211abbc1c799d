import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import dns from "node:dns"
import { vi } from "vitest"
import type { Session } from "../../src/index.ts"
import { CqlRetry, Statement } from "../../src/index.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, preparesUsers, untilNode } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import * as TcpListener from "../support/TcpListener.ts"

type Servers = ScriptedServer.Cluster
type Server = ScriptedServer.ScriptedServer

const subnet = "127.0.72"

const oneMilli = { base: "1 millis", max: "1 millis" } as const

const slowly = { base: "10 minutes", max: "10 minutes" } as const

const often = Schedule.spaced("5 millis")

/** The driver waits so long, in milliseconds, for more events before it looks for nodes. */
const eager = { driverOptions: { refreshSchemaDelay: 1 } }

const addressOf = ({ host, port }: Server): string => `${host}:${port}`

const sorted = (texts: ReadonlyArray<string>) => texts.toSorted((a, b) => a < b ? -1 : 1)

const makeCluster = Effect.fnUntraced(function*(nodes = 3) {
  const servers = yield* ScriptedServer.makeCluster({
    nodes,
    subnet,
    keyspaces: { shop: { class: "SimpleStrategy", replication_factor: "1" } }
  })
  servers.on(/^(SELECT|INSERT)/, Reply.void)
  preparesUsers(servers)
  return servers
})

/** The same node at another address: the cluster knows it there, and nowhere else. */
const move = Effect.fnUntraced(function*(servers: Servers, { dataCenter, hostId, rack, tokens, ...old }: Server) {
  const moved = yield* servers.add({ dataCenter, hostId, rack, tokens })
  yield* servers.remove(servers.nodes.find(({ host }) => host === old.host)!)
  return moved
})

const tell = (servers: Servers, type: "TOPOLOGY_CHANGE" | "STATUS_CHANGE", { host, port }: Server) =>
  servers.pushEvent(
    type === "TOPOLOGY_CHANGE"
      ? { type, change: "NEW_NODE", address: host, port }
      : { type, change: "UP", address: host, port }
  )

/** Until the session knows these nodes, at these addresses, and has connections to all of them. */
const untilKnown = ({ cluster }: Session["Service"], nodes: ReadonlyArray<Server>) =>
  Effect.repeat(cluster.nodes, {
    schedule: often,
    until: (known) =>
      known.every(({ isUp, openConnections }) => isUp && openConnections > 0) &&
      String(sorted(known.map(({ address }) => address))) === String(sorted(nodes.map(addressOf)))
  })

/** Each node alone has a third of the ring, and is asked for what it has. */
const assertRouted = Effect.fnUntraced(function*(servers: Servers, { cql }: Session["Service"]) {
  yield* servers.clearRequests
  const ids = Array.from({ length: 60 }, (_, index) => `user ${index}`)
  yield* Effect.forEach(ids, (id) => cql`INSERT ${id}`)
  const perOwner = servers.received(/^INSERT/, ["execute"]).map(({ node, values: [id] }) => [String(id), node.hostId])
  return new Map(perOwner.map(([id, owner]) => [id!, owner!]))
})

/** All nodes, also the one that is asked, and one without an address: Cassandra has been seen to do both. */
const peersOf = (servers: Servers): Reply.Reply =>
  Reply.rows({
    keyspace: "system",
    table: "peers",
    columns: [
      { name: "peer", type: "inet" },
      { name: "rpc_address", type: "inet" },
      { name: "data_center", type: "text" },
      { name: "rack", type: "text" },
      { name: "host_id", type: "uuid" },
      { name: "release_version", type: "text" },
      { name: "tokens", type: "set<text>" }
    ],
    rows: [
      ["127.0.72.250", null, null, null, null, null, null],
      ...servers.nodes.map((other) => [
        other.host,
        other.host,
        other.dataCenter,
        other.rack,
        other.hostId,
        other.releaseVersion,
        other.tokens
      ])
    ]
  })

const refreshNodes = ({ cluster }: Session["Service"]) =>
  cluster.use((client) => {
    const { controlConnection } = client as unknown as {
      readonly controlConnection: { readonly _refreshHosts: (first: boolean, again: boolean) => Promise<void> }
    }
    return controlConnection._refreshHosts(false, false)
  })

describe("a node that comes back with another address", () => {
  for (const type of ["TOPOLOGY_CHANGE", "STATUS_CHANGE"] as const) {
    it.live(`is found when a ${type} tells of it, asked for what it has, and not sought where it was`, () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster()
        const session = yield* connect(servers, { reconnectDelay: oneMilli, ...eager })
        const owners = yield* assertRouted(servers, session)
        const old = servers.nodes[1]!
        const moved = yield* move(servers, old)
        yield* tell(servers, type, moved)
        yield* untilKnown(session, servers.nodes)
        const former = yield* TcpListener.make({ host: old.host, port: old.port, onConnection: () => undefined })
        assert.deepStrictEqual(yield* assertRouted(servers, session), owners)
        yield* session.cql`SELECT n`.pipe(Statement.withOptions({ node: old.hostId }))
        assert.lengthOf(moved.received("SELECT n"), 1)
        assert.strictEqual(former.accepted(), 0)
      }))
  }

  it.live("is not sought where it was, although something was still under way there", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      const session = yield* connect(servers, { keyspace: "shop", reconnectDelay: oneMilli })
      const old = servers.nodes[1]!
      // A connection that was opened anew is in no keyspace until it is used.
      yield* untilNode("hostUp", session, old.dropConnections)
      const held = hold(old, "USE \"shop\"", Reply.keyspace("shop"), ["system"])
      const statement = session.cql`SELECT n`.pipe(Statement.withOptions({ node: old.hostId, retry: CqlRetry.none }))
      const running = yield* Effect.forkChild(Effect.flip(statement))
      yield* held.awaitHeld(1)
      // The others know no more of it, but it is still there.
      const others = servers.nodes.filter((node) => node !== old)
      ;(servers.nodes as Array<Server>).splice(0, 3, ...others)
      yield* servers.add({ hostId: old.hostId, tokens: old.tokens })
      yield* untilNode("hostRemove", session, Effect.promise(() => Effect.runPromise(refreshNodes(session))))
      const before = old.accepted()
      yield* old.dropConnections
      yield* Fiber.join(running)
      yield* untilKnown(session, servers.nodes)
      // In the time that this takes it would be sought for long.
      const first = servers.nodes[0]!
      yield* first.refuse
      yield* untilNode("hostDown", session, first.dropConnections)
      yield* untilNode("hostUp", session, first.accept)
      assert.strictEqual(old.accepted(), before)
    }))

  it.live("is asked for what it has also where two have changed places", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      const session = yield* connect(servers, { reconnectDelay: oneMilli, ...eager })
      const owners = yield* assertRouted(servers, session)
      const [, second, third] = servers.nodes as Array<{ hostId: string; tokens: ReadonlyArray<string> } & Server>
      const [of2, of3] = [second!, third!].map(({ hostId, tokens }) => ({ hostId, tokens }))
      Object.assign(second!, of3)
      Object.assign(third!, of2)
      yield* tell(servers, "TOPOLOGY_CHANGE", second!)
      yield* Effect.repeat(session.cluster.nodes, {
        schedule: often,
        until: (nodes) => nodes.find(({ hostId }) => hostId === of3!.hostId)?.address === addressOf(second!)
      })
      yield* Effect.repeat(assertRouted(servers, session), {
        schedule: often,
        until: (now) => [...now].every(([id, owner]) => owners.get(id) === owner)
      })
    }))

  it.live("is local where it is now, also where two data centers have changed places", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({
        nodes: ["paris", "paris", "oslo"].map((dataCenter) => ({ dataCenter })),
        subnet
      })
      servers.on("SELECT n", Reply.void)
      const session = yield* connect(servers, { localDataCenter: "paris", reconnectDelay: oneMilli, ...eager })
      const [first, second, third] = servers.nodes
      const [paris, oslo] = [second!, third!].map(({ dataCenter, hostId, tokens }) => ({ dataCenter, hostId, tokens }))
      Object.assign(second!, oslo)
      Object.assign(third!, paris)
      yield* tell(servers, "TOPOLOGY_CHANGE", second!)
      yield* Effect.repeat(session.cluster.nodes, {
        schedule: often,
        until: (nodes) =>
          nodes.every(({ dataCenter, isLocal, openConnections }) =>
            isLocal === (dataCenter === "paris") && isLocal === openConnections > 0
          ) && nodes.some(({ dataCenter, address }) => dataCenter === "paris" && address === addressOf(third!))
      })
      yield* Effect.forEach([1, 2, 3, 4], () => session.cql`SELECT n`)
      assert.deepStrictEqual([first!, second!, third!].map((node) => node.received("SELECT n").length), [2, 0, 2])
    }))

  it.live("is not sought where it was, although there are rows of no other node", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster(2)
      const [first, old] = servers.nodes
      servers.on(/system\.peers/, () => peersOf(servers), ["system"])
      const session = yield* connect(servers, { reconnectDelay: oneMilli })
      const moved = yield* move(servers, old!)
      yield* untilNode("hostRemove", session, Effect.promise(() => Effect.runPromise(refreshNodes(session))))
      yield* untilKnown(session, [first!, moved])
    }))
})

describe("two nodes that come back in the same second", () => {
  it.live("are both asked again, although the driver forgets the first", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      const session = yield* connect(servers, { reconnectDelay: slowly })
      const [, second, third] = servers.nodes
      for (const node of [second!, third!]) {
        yield* node.refuse
        yield* untilNode("hostDown", session, node.dropConnections)
      }
      for (const node of [second!, third!]) yield* node.accept
      for (const node of [second!, third!]) yield* tell(servers, "STATUS_CHANGE", node)
      yield* untilKnown(session, servers.nodes)
    }))
})

describe("a cluster that comes back whole with other addresses", () => {
  const moveAll = Effect.fnUntraced(function*(servers: Servers) {
    const before = [...servers.nodes]
    const moved: Array<Server> = []
    for (const node of before) moved.push(yield* move(servers, node))
    return { before, moved }
  })

  it.live("is found by a contact point that nobody answered at before", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      const session = yield* connect(servers, {
        contactPoints: [addressOf(servers.nodes[0]!), `${subnet}.6:${servers.port}`],
        reconnectDelay: oneMilli
      })
      const owners = yield* assertRouted(servers, session)
      const { before, moved } = yield* moveAll(servers)
      assert.strictEqual(moved[2]!.host, `${subnet}.6`)
      yield* untilKnown(session, moved)
      const former = yield* Effect.forEach(before, ({ host, port }) =>
        TcpListener.make({ host, port, onConnection: () => undefined }))
      assert.deepStrictEqual(yield* assertRouted(servers, session), owners)
      assert.deepStrictEqual(
        former.map(({ accepted }) =>
          accepted()
        ),
        [0, 0, 0]
      )
    }))

  it.live("is found by a contact point whose name has another address now", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      let addresses = servers.nodes.map(({ host }) => host)
      yield* nameServer("cassandra.test", () => addresses)
      const session = yield* connect(servers, {
        contactPoints: ["cassandra.test"],
        port: servers.port,
        reconnectDelay: oneMilli
      })
      const owners = yield* assertRouted(servers, session)
      for (const _ of [1, 2]) {
        const { moved } = yield* moveAll(servers)
        addresses = moved.map(({ host }) => host)
        yield* untilKnown(session, moved)
        assert.deepStrictEqual(yield* assertRouted(servers, session), owners)
      }
    }))

  it.live("is found also when its name has no address for a while", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster()
      let addresses: ReadonlyArray<string> = servers.nodes.map(({ host }) => host)
      const lookups = yield* nameServer("cassandra.test", () => addresses)
      const session = yield* connect(servers, {
        contactPoints: ["cassandra.test"],
        port: servers.port,
        reconnectDelay: oneMilli
      })
      addresses = []
      const { moved } = yield* moveAll(servers)
      const before = lookups()
      yield* Effect.repeat(Effect.sync(lookups), { schedule: often, until: (count) => count > before + 1 })
      addresses = moved.map(({ host }) => host)
      yield* untilKnown(session, moved)
      yield* session.cql`SELECT n`
    }))

  it.live("leaves no connection open to a contact point that does not know the cluster yet", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster(1)
      const other = yield* ScriptedServer.make({ host: `${subnet}.6`, port: servers.port })
      other.on("SELECT n", Reply.void)
      const notYet = other.on(/system\.peers/, Reply.serverError("not yet"), ["system"])
      const session = yield* connect(servers, {
        contactPoints: [servers.nodes[0]!, other].map(addressOf),
        reconnectDelay: oneMilli
      })
      yield* servers.refuse
      yield* servers.dropConnections
      yield* Effect.repeat(Effect.sync(other.accepted), { schedule: often, until: (count) => count > 10 })
      notYet()
      yield* untilKnown(session, [other])
      yield* session.cql`SELECT n`
      yield* Effect.repeat(session.cluster.nodes, {
        schedule: often,
        until: ([node]) => node?.openConnections === other.connections()
      })
    }))
})

/** What the driver asks for addresses says these of one name; of all others it says what it does otherwise. */
const nameServer = (name: string, addresses: () => ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let count = 0
      const notFound = Object.assign(new Error(`queryA ENOTFOUND ${name}`), { code: "ENOTFOUND" })
      const { lookup, resolve4, resolve6 } = dns
      const spies = [
        vi.spyOn(dns, "resolve4").mockImplementation(
          ((asked: string, done: Resolved) => {
            if (asked !== name) return resolve4(asked, done)
            count++
            const found = addresses()
            return setImmediate(() => found.length === 0 ? done(notFound, []) : done(null, [...found]))
          }) as never
        ),
        vi.spyOn(dns, "resolve6").mockImplementation(
          ((asked: string, done: Resolved) =>
            asked === name ? setImmediate(() => done(notFound, [])) : resolve6(asked, done)) as never
        ),
        vi.spyOn(dns, "lookup").mockImplementation(
          ((asked: string, options: object, done: Resolved) =>
            asked === name ? setImmediate(() => done(notFound, [])) : lookup(asked, options, done as never)) as never
        )
      ]
      return { lookups: () => count, spies }
    }),
    ({ spies }) => Effect.sync(() => spies.forEach((spy) => spy.mockRestore()))
  ).pipe(Effect.map(({ lookups }) => lookups))

type Resolved = (error: NodeJS.ErrnoException | null, addresses: Array<string>) => void
