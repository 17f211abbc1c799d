import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { Cluster, cql, Session } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, optionsFor, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

const oneMilli = { base: "1 millis", max: "1 millis" } as const

const addressOf = ({ host, port }: ScriptedServer.ScriptedServer) => `${host}:${port}`

/** A subnet of this file's own: the nodes of a cluster share a port, and files run side by side. */
const makeCluster = (options: Omit<ScriptedServer.ClusterOptions, "subnet">) =>
  ScriptedServer.makeCluster({ ...options, subnet: "127.0.68" })

describe("an option that makes no sense", () => {
  // What the types do not let pass is told too: there are programs in JavaScript, and options from files.
  const wrong: ReadonlyArray<readonly [field: string, options: { readonly [name: string]: unknown }]> = [
    ["contactPoints", { contactPoints: undefined }],
    ["contactPoints", { contactPoints: [] }],
    ["contactPoints", { contactPoints: ["127.0.0.1", " "] }],
    ["contactPoints", { contactPoints: "127.0.0.1" }],
    ["contactPoints", { secureConnectBundle: "bundle.zip" }],
    ["secureConnectBundle", { contactPoints: undefined, secureConnectBundle: "" }],
    ["port", { port: 0 }],
    ["port", { port: 65536 }],
    ["port", { port: "9042" }],
    ["localDataCenter", { localDataCenter: "" }],
    ["keyspace", { keyspace: " " }],
    ["username", { username: "", password: Redacted.make("secret") }],
    ["password", { username: "ada" }],
    ["password", { password: Redacted.make("secret") }],
    ["password", { username: "ada", password: "secret" }],
    ["tls", { tls: "yes" }],
    ["tls.verify", { tls: { verify: "none" } }],
    ["tls.verify", { tls: { verify: { serverName: "" } } }],
    ["tls.key", { tls: { key: "-----BEGIN" } }],
    ["tls.caFile", { tls: { caFile: "/no/such/file.pem" } }],
    ["tls.certFile", { tls: { certFile: "/no/such/file.pem" } }],
    ["tls.keyFile", { tls: { keyFile: "/no/such/file.pem" } }],
    ["applicationName", { applicationName: "" }],
    ["applicationVersion", { applicationVersion: 1 }],
    ["connectTimeout", { connectTimeout: "-1 seconds" }],
    ["connectTimeout", { connectTimeout: Infinity }],
    ["connectTimeout", { connectTimeout: "soon" }],
    ["socketConnectTimeout", { socketConnectTimeout: 0 }],
    ["heartbeatInterval", { heartbeatInterval: "30 days" }],
    ["reconnectDelay.base", { reconnectDelay: { base: 0 } }],
    ["reconnectDelay.max", { reconnectDelay: { max: "never" } }],
    ["connectionsPerNode", { connectionsPerNode: 0 }],
    ["maxRequestsPerConnection", { maxRequestsPerConnection: 32769 }],
    ["openAllConnections", { openAllConnections: "no" }],
    ["maxInFlight", { maxInFlight: 0 }],
    ["maxInFlight", { maxInFlight: 1.5 }],
    ["maxQueued", { maxQueued: -1 }],
    ["maxPrepared", { maxPrepared: 0 }],
    ["schemaMetadata", { schemaMetadata: 1 }],
    ["schemaAgreementTimeout", { schemaAgreementTimeout: NaN }],
    ["shutdownTimeout", { shutdownTimeout: "-10 seconds" }],
    ["addressTranslator", { addressTranslator: "127.0.0.1" }],
    ["nodeFilter", { nodeFilter: true }],
    ["tls", { contactPoints: undefined, secureConnectBundle: "bundle.zip", tls: true }],
    ["driverOptions", { driverOptions: { policies: { retry: {} } } }],
    ["driverOptions", { driverOptions: { localDataCenter: "datacenter1" } }],
    ["consistency", { consistency: "QUORUM" }],
    ["serialConsistency", { serialConsistency: "quorum" }],
    ["pageSize", { pageSize: 0 }],
    ["timeout", { timeout: 0 }],
    ["attemptTimeout", { attemptTimeout: Infinity }],
    ["maxRows", { maxRows: 0 }],
    ["timestamps", { timestamps: "none" }]
  ]

  for (const [field, options] of wrong) {
    it.live(`is told by the name of its field, ${field}, before anything is opened: ${print(options)}`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const reason = yield* reasonOf("InvalidConfig")(connect(server, options))
        assert.strictEqual(reason.field, field)
        assert.isAbove(reason.expected.length, 0)
        assert.include(reason.message, field)
        assert.strictEqual(server.accepted(), 0)
      }))
  }
})

describe("connecting", () => {
  it.live("goes on to the next contact point where one is not there", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const contactPoints = ["no-such-host.invalid", "127.0.0.1:1", `${server.host}:${server.port}`]
      const { cluster } = yield* connect(server, { contactPoints })
      assert.deepStrictEqual((yield* cluster.nodes).map(({ address }) => address), [addressOf(server)])
    }))

  it.live("keeps no connection to a contact point that did not take it", () =>
    Effect.gen(function*() {
      const [starting, server] = [yield* ScriptedServer.make(), yield* ScriptedServer.make()]
      starting.on("STARTUP", Reply.bootstrapping("not yet"), ["startup"])
      const contactPoints = [starting, server].map(addressOf)
      // Which one is asked first is left to chance.
      yield* Effect.repeat(connect(server, { contactPoints }), { until: () => starting.accepted() > 0 })
      yield* starting.awaitConnections(0)
      assert.isAbove(server.connections(), 0)
    }))

  it.live("tells for each node why it failed", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* server.refuse
      const { nodes } = yield* reasonOf("NoHostAvailable")(connect(server))
      assert.deepStrictEqual(nodes.map(({ node }) => node), [addressOf(server)])
      assert.include(nodes[0]!.error, "ECONNREFUSED")
    }))

  it.live("tells a wrong password from a node that is not there", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password: "engine" } })
      const wrong = connect(server, { username: "ada", password: Redacted.make("wrong") })
      const { message } = yield* reasonOf("AuthenticationError")(wrong)
      assert.notInclude(message, "wrong")
      yield* connect(server, { username: "ada", password: Redacted.make("engine") })
    }))

  it.live("takes no longer than connectTimeout, and says how long that is", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("STARTUP", Reply.silence, ["startup"])
      const reason = yield* reasonOf("ClientTimeout")(connect(server, { connectTimeout: "50 millis" }))
      assert.deepInclude(reason, { phase: "connect", timeoutMillis: 50 })
    }))

  it.live("is tried again by a schedule, until the cluster has started", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("STARTUP", ({ attempt }) => attempt < 4 ? Reply.bootstrapping("not yet") : undefined, ["startup"])
      yield* connect(server, { connectSchedule: Schedule.recurs(5) })
      assert.strictEqual(server.accepted(), 4)
    }))

  it.live("is not tried again for a configuration that is wrong", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const options = { localDataCenter: "nowhere", connectSchedule: Schedule.recurs(5) }
      yield* reasonOf("InvalidConfig")(connect(server, options))
      assert.strictEqual(server.accepted(), 1)
    }))

  it.live("opens connectionsPerNode connections, and names the application on each", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const options = { connectionsPerNode: 3, applicationName: "shop", applicationVersion: "1.2" }
      const { cluster } = yield* connect(server, options)
      assert.strictEqual(server.connections(), 3)
      assert.strictEqual((yield* cluster.nodes)[0]!.openConnections, 3)
      const told = server.received("STARTUP", ["startup"]).map(({ connection: { options } }) => [
        options["APPLICATION_NAME"],
        options["APPLICATION_VERSION"]
      ])
      assert.deepStrictEqual(told, [["shop", "1.2"], ["shop", "1.2"], ["shop", "1.2"]])
    }))

  it.live("works with a driver's option that has no name here", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* connect(server, { driverOptions: { protocolOptions: { noCompact: true } } })
      const [startup] = server.received("STARTUP", ["startup"])
      assert.strictEqual(startup!.connection.options["NO_COMPACT"], "true")
    }))
})

describe("a cluster of several data centers", () => {
  const twoDataCenters = makeCluster({
    nodes: [{ dataCenter: "paris" }, { dataCenter: "oslo" }, { dataCenter: "paris" }, { dataCenter: "oslo" }]
  })

  it.live("asks which one is the local one", () =>
    Effect.gen(function*() {
      const cluster = yield* twoDataCenters
      const reason = yield* reasonOf("InvalidConfig")(connect(cluster))
      assert.strictEqual(reason.field, "localDataCenter")
      assert.match(reason.expected, /"paris".*"oslo"|"oslo".*"paris"/)
      assert.include(reason.message, "must be chosen")
    }))

  it.live("is asked only at the nodes of the local one", () =>
    Effect.gen(function*() {
      const servers = yield* twoDataCenters
      servers.on("SELECT n", Reply.void)
      const { cluster, cql } = yield* connect(servers, { localDataCenter: "oslo" })
      yield* Effect.forEach(numbered(20), () => cql`SELECT n`)
      assert.deepStrictEqual(servers.nodes.map((node) => node.received("SELECT n").length), [0, 10, 0, 10])
      assert.strictEqual(cluster.localDataCenter, "oslo")
      const nodes = (yield* cluster.nodes).toSorted((a, b) => a.address < b.address ? -1 : 1)
      assert.deepStrictEqual(
        nodes.map(({ address, dataCenter, isLocal }) => [address, dataCenter, isLocal]),
        servers.nodes.map((node) => [addressOf(node), node.dataCenter, node.dataCenter === "oslo"])
      )
    }))

  it.live("knows the name of one that there is not", () =>
    Effect.gen(function*() {
      const cluster = yield* twoDataCenters
      const reason = yield* reasonOf("InvalidConfig")(connect(cluster, { localDataCenter: "rome" }))
      assert.match(reason.message, /"rome".*"(paris|oslo)"/)
    }))
})

describe("the node of a statement", () => {
  /** Three nodes, each with a third of the ring, and a table whose only key is text. */
  const withTable = Effect.fnUntraced(function*(replicas: number) {
    const cluster = yield* makeCluster({
      nodes: 3,
      keyspaces: { shop: { class: "SimpleStrategy", replication_factor: String(replicas) } }
    })
    cluster.on(/^INSERT/, Reply.void)
    cluster.prepared(/^INSERT/, {
      params: [{ name: "id", type: "text" }],
      partitionKeys: [0],
      keyspace: "shop",
      table: "users"
    })
    return cluster
  })

  const replicasOf = ({ cluster }: Session["Service"], id: string) =>
    cluster.use(async (client) =>
      client.metadata.getReplicas("shop", Buffer.from(id) as never).map((host: { address: string }) => host.address)
    )

  const insertAll = Effect.fnUntraced(function*(servers: ScriptedServer.Cluster, session: Session["Service"]) {
    const ids = numbered(60).map((n) => `user ${n}`)
    yield* Effect.forEach(ids, (id) => session.cql`INSERT ${id}`)
    const asked = servers.received(/^INSERT/, ["execute"]).filter(({ query }) => query !== "")
    return asked.map(({ node, values: [id] }) => ({ id: String(id), node: addressOf(node) }))
  })

  for (const replicas of [1, 2]) {
    it.live(`is a replica of its partition, of which there are ${replicas}`, () =>
      Effect.gen(function*() {
        const servers = yield* withTable(replicas)
        const session = yield* connect(servers)
        for (const { id, node } of yield* insertAll(servers, session)) {
          const owners = yield* replicasOf(session, id)
          assert.lengthOf(owners, replicas)
          assert.include(owners, node)
        }
        for (const node of servers.nodes) assert.isAbove(node.received(/^INSERT/, ["execute"]).length, 5)
      }))
  }

  it.live("is another one where no replica can be asked", () =>
    Effect.gen(function*() {
      const servers = yield* withTable(1)
      const session = yield* connect(servers)
      yield* servers.nodes[1]!.refuse
      yield* untilNode("hostDown", session, servers.nodes[1]!.dropConnections)
      assert.lengthOf(yield* insertAll(servers, session), 60)
      assert.lengthOf(servers.nodes[1]!.received(/^INSERT/, ["execute"]), 0)
    }))

  it.live("is each in turn where replicas are not known", () =>
    Effect.gen(function*() {
      const servers = yield* withTable(1)
      const session = yield* connect(servers, { schemaMetadata: false })
      yield* insertAll(servers, session)
      for (const node of servers.nodes) {
        assert.lengthOf(node.received("INSERT ?", ["execute"]), 20)
      }
    }))

  it.live("is none that is down, until it is back", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster({ nodes: 3 })
      servers.on("SELECT n", Reply.void)
      const session = yield* connect(servers, { reconnectDelay: oneMilli })
      const [first] = servers.nodes
      yield* first!.refuse
      yield* untilNode("hostDown", session, first!.dropConnections)
      yield* Effect.forEach(numbered(20), () => session.cql`SELECT n`)
      assert.lengthOf(first!.received("SELECT n"), 0)
      const states = yield* session.cluster.nodes
      assert.deepStrictEqual(states.filter(({ isUp }) => !isUp).map(({ address }) => address), [addressOf(first!)])
      yield* untilNode("hostUp", session, first!.accept)
      yield* Effect.forEach(numbered(20), () => session.cql`SELECT n`)
      assert.isAbove(first!.received("SELECT n").length, 4)
    }))

  it.live("is none that nodeFilter refuses", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster({ nodes: 3 })
      servers.on("SELECT n", Reply.void)
      const refused = addressOf(servers.nodes[1]!)
      const { cluster, cql } = yield* connect(servers, { nodeFilter: ({ address }) => address !== refused })
      yield* Effect.forEach(numbered(20), () => cql`SELECT n`)
      assert.deepStrictEqual(servers.nodes.map((node) => node.received("SELECT n").length), [10, 0, 10])
      assert.strictEqual(servers.nodes[1]!.connections(), 0)
      assert.deepStrictEqual(
        (yield* cluster.nodes).filter(({ isLocal }) => !isLocal).map(({ address }) => address),
        [refused]
      )
    }))

  it.live("is dialled where addressTranslator says", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster({ nodes: 2 })
      const other = yield* ScriptedServer.make()
      servers.on("SELECT n", Reply.void)
      other.on("SELECT n", Reply.void)
      const [, second] = servers.nodes
      const { cql } = yield* connect(servers, {
        addressTranslator: (address, port) => address === second!.host ? addressOf(other) : `${address}:${port}`
      })
      yield* Effect.forEach(numbered(4), () => cql`SELECT n`)
      assert.lengthOf(other.received("SELECT n"), 2)
      assert.strictEqual(second!.accepted(), 0)
    }))

  it.live("that was removed is asked no more, and one that was added is", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster({ nodes: 2 })
      servers.on("SELECT n", Reply.void)
      const session = yield* connect(servers, { reconnectDelay: oneMilli })
      const [first, second] = servers.nodes
      const third = yield* servers.add()
      // By itself the driver looks ten seconds after a node has told of a change.
      const lookForNodes = Effect.promise(() => Effect.runPromise(refreshNodes(session)))
      yield* untilNode("hostUp", session, lookForNodes)
      yield* servers.remove(second!)
      yield* untilNode("hostRemove", session, lookForNodes)
      yield* servers.clearRequests
      yield* Effect.forEach(numbered(10), () => session.cql`SELECT n`)
      const [byFirst, byThird] = [first, third].map((node) => node!.received("SELECT n").length)
      assert.isAbove(byFirst!, 0)
      assert.strictEqual(byThird, 10 - byFirst!)
    }))
})

describe("a cluster that was gone whole", () => {
  const openConnections = (nodes: ReadonlyArray<Cluster.Node>) => nodes.map((node) => node.openConnections)

  const sum = (counts: ReadonlyArray<number>) => counts.reduce((total, count) => total + count, 0)

  it.live("serves again when it is back, and has no connections that nobody uses", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster({ nodes: 3 })
      servers.on("SELECT n", Reply.void)
      const session = yield* connect(servers, { reconnectDelay: oneMilli })
      const { cluster, cql } = session
      const often = Schedule.spaced("5 millis")
      for (const outage of [1, 2, 3]) {
        yield* servers.clearRequests
        yield* servers.refuse
        yield* servers.dropConnections
        yield* Effect.repeat(Effect.flip(cql`SELECT n`), { until: ({ reason }) => reason._tag === "NoHostAvailable" })
        yield* servers.accept
        yield* servers.awaitRequest("REGISTER", 1, ["register"])
        yield* Effect.retry(cql`SELECT n`, often)
        // One is the way by which the client came back.
        const used = yield* Effect.repeat(Effect.map(cluster.nodes, openConnections), {
          schedule: often,
          until: (open) => open.length === 3 && open.every((count) => count > 0) && sum(open) === servers.connections()
        })
        assert.isAtMost(sum(used), 4, `after outage ${outage}`)
      }
    }))
})

const refreshNodes = ({ cluster }: Session["Service"]) =>
  cluster.use((client) => {
    const { controlConnection } = client as unknown as {
      readonly controlConnection: { readonly _refreshHosts: (first: boolean, again: boolean) => Promise<void> }
    }
    return controlConnection._refreshHosts(false, false)
  })

describe("sessions of several keyspaces", () => {
  const served = Effect.gen(function*() {
    const server = yield* ScriptedServer.make()
    server.on("SELECT n", Reply.void)
    const cluster = yield* Cluster.make({ ...optionsFor(server), keyspace: "main" })
    const open = (keyspace?: string) => Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster))
    /** In a scope of its own. */
    const openIn = Effect.fnUntraced(function*(keyspace?: string) {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const session = yield* Scope.provide(open(keyspace), scope)
      return { ...session, close: Scope.close(scope, Exit.void) }
    })
    return { server, cluster, open, openIn }
  })

  it.live("have a client for each keyspace, opened once and closed with its last session", () =>
    Effect.gen(function*() {
      const { openIn, server } = yield* served
      const same = yield* Effect.forEach([undefined, "main"], openIn)
      assert.deepStrictEqual(same.map(({ keyspace }) => keyspace), ["main", "main"])
      assert.strictEqual(server.accepted(), 1)
      const [first, second, third] = yield* Effect.forEach(["shop", "shop", "shop"], openIn, allAtOnce)
      assert.strictEqual(server.accepted(), 2)
      const other = yield* openIn("blog")
      assert.strictEqual(server.connections(), 3)
      yield* Effect.andThen(first!.close, second!.close)
      yield* third!.cql`SELECT n`
      assert.strictEqual(server.connections(), 3)
      yield* third!.close
      yield* server.awaitConnections(2)
      yield* other.close
      yield* server.awaitConnections(1)
      yield* same[0]!.close
      yield* same[1]!.cql`SELECT n`
      yield* (yield* openIn("shop")).cql`SELECT n`
      assert.deepStrictEqual(
        server.received("SELECT n").map(({ connection }) => connection.keyspace),
        ["shop", "main", "shop"]
      )
    }))

  it.live("of a keyspace that does not exist fail, and are tried anew by whoever asks again", () =>
    Effect.gen(function*() {
      const { open, server } = yield* served
      const takeBack = server.on("USE \"shop\"", Reply.invalid("Keyspace 'shop' does not exist"), ["system"])
      yield* reasonOf("InvalidQuery")(open("shop"))
      yield* server.awaitConnections(1)
      takeBack()
      const { cql } = yield* open("shop")
      yield* cql`SELECT n`
    }))

  it.live("that are interrupted while they connect leave nothing behind, and nobody waiting for them", () =>
    Effect.gen(function*() {
      const { open, server } = yield* served
      const held = hold(server, "USE \"shop\"", Reply.keyspace("shop"), ["system"])
      const interrupted = yield* Effect.forkChild(open("shop"))
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(interrupted)
      yield* server.awaitConnections(1)
      const next = yield* Effect.forkChild(open("shop"))
      yield* held.awaitHeld(2)
      yield* held.answer(2)
      const { cql } = yield* Fiber.join(next)
      yield* cql`SELECT n`
    }))

  it.live("can be layers on one layer of the cluster", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.void)
      const ClusterLive = Cluster.layer(optionsFor(server))
      const layerOf = (keyspace: string) => Session.layerFrom({ keyspace }).pipe(Layer.provide(ClusterLive))
      const [shop, blog] = yield* Effect.all([Layer.build(layerOf("shop")), Layer.build(layerOf("blog"))])
      yield* cql`SELECT n`.pipe(Effect.provide(shop))
      yield* cql`SELECT n`.pipe(Effect.provide(blog))
      const keyspaces = server.received("SELECT n").map(({ connection }) => connection.keyspace)
      assert.deepStrictEqual(keyspaces, ["shop", "blog"])
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true })("a real cluster", (it) => {
  it.effect("has nodes", () =>
    Effect.gen(function*() {
      const cluster = yield* Cluster
      const [node, ...others] = yield* cluster.nodes
      assert.lengthOf(others, 0)
      assert.match(node!.address, /^[\d.]+:\d+$/)
      assert.match(node!.hostId, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
      assert.match(node!.version, /^\d+\.\d+/)
      const { dataCenter, inFlight, isLocal, isUp, openConnections } = node!
      assert.deepStrictEqual(
        { dataCenter, inFlight, isLocal, isUp, openConnections },
        { dataCenter: cluster.localDataCenter, inFlight: 0, isLocal: true, isUp: true, openConnections: 1 }
      )
    }))

  it.effect("has keyspaces, with what was said when they were made", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      const found = (yield* cluster.keyspaces).filter(({ name }) => name === keyspace || name === "system")
      assert.deepStrictEqual(found.find(({ name }) => name === keyspace), {
        name: keyspace!,
        durableWrites: true,
        replication: { class: "org.apache.cassandra.locator.SimpleStrategy", replication_factor: "1" }
      })
      assert.lengthOf(found, 2)
    }))

  it.effect("has tables, whose columns have their CQL types and their place in the key", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      yield* cql`CREATE TABLE "Readings" (
        sensor int, day date, at timestamp, "Value" double, owner text static,
        tags map<text, frozen<list<int>>>,
        PRIMARY KEY ((sensor, day), at, "Value")
      )`
      assert.deepStrictEqual(yield* cluster.tables(keyspace!), ["Readings"])
      const table = Option.getOrThrow(yield* cluster.table(keyspace!, "Readings"))
      assert.deepStrictEqual(table.partitionKey, ["sensor", "day"])
      assert.deepStrictEqual(table.clusteringKey, ["at", "Value"])
      assert.deepStrictEqual(
        table.columns.toSorted((a, b) => a.name < b.name ? -1 : 1),
        [
          { name: "Value", type: "double", kind: "clustering" },
          { name: "at", type: "timestamp", kind: "clustering" },
          { name: "day", type: "date", kind: "partition_key" },
          { name: "owner", type: "text", kind: "static" },
          { name: "sensor", type: "int", kind: "partition_key" },
          { name: "tags", type: "map<text, frozen<list<int>>>", kind: "regular" }
        ]
      )
    }))

  it.effect("has no tables in a keyspace that does not exist, and no table of a name that nobody gave", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      assert.deepStrictEqual(yield* cluster.tables("nowhere"), [])
      assert.deepStrictEqual(yield* cluster.table(keyspace!, "nobody"), Option.none())
    }))

  it.effect("lends the driver's own client, whose errors are told as ours", () =>
    Effect.gen(function*() {
      const cluster = yield* Cluster
      const version = yield* cluster.use(async (client) => {
        const result = await client.execute("SELECT release_version FROM system.local")
        return result.first().get("release_version")
      })
      assert.strictEqual(version, (yield* cluster.nodes)[0]!.version)
      const reason = yield* reasonOf("CqlSyntaxError")(cluster.use((client) => client.execute("SELEKT")))
      assert.strictEqual(reason.line, 1)
    }))

  it.effect("that is closed says so to whoever still asks it", () =>
    Effect.gen(function*() {
      const options = yield* Session.config
      const cluster = yield* Effect.scoped(Cluster.make(options))
      yield* reasonOf("SessionClosed")(cluster.keyspaces)
      yield* reasonOf("SessionClosed")(cluster.use((client) => client.execute("SELECT key FROM system.local")))
      yield* reasonOf("SessionClosed")(Effect.provideService(Session.makeFrom(), Cluster, cluster))
    }))
})

function print(options: object): string {
  return Object.entries(options).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ")
}
