/**
 * What a cluster tells of its nodes and its schema: in order, to each reader all of it, and to nobody's harm.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Cluster, Session } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { optionsFor } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })

const connect = (server: { readonly host: string; readonly port: number }, options?: Cluster.Options) =>
  Cluster.make({
    ...optionsFor(server),
    reconnectDelay: { base: "1 millis", max: "5 millis" },
    shutdownTimeout: "20 millis",
    ...options
  })

/** Reads from now on. */
const read = Effect.fnUntraced(function*({ events }: Cluster["Service"]) {
  const seen: Array<Cluster.Event> = []
  const fiber = yield* Effect.forkScoped(
    Stream.runForEach(events, (event) => Effect.sync(() => seen.push(event))),
    { startImmediately: true }
  )
  return { seen, fiber, tags: () => seen.map(({ _tag }) => _tag) }
})

const goAway = (node: ScriptedServer.ScriptedServer) => Effect.andThen(node.refuse, node.dropConnections)

const changeTable = (server: ScriptedServer.Scripts, name: string) =>
  server.pushEvent({ type: "SCHEMA_CHANGE", change: "UPDATED", target: "TABLE", keyspace: "shop", name })

const tableOf = (event: Cluster.Event) => event._tag === "SchemaChanged" ? event.table : undefined

interface ControlConnection {
  readonly _refreshHosts: (initializing: boolean, isReconnecting: boolean) => Promise<void>
}

/** Looks for nodes that have come and gone; by itself the driver does ten seconds after an event. */
const refreshNodes = (cluster: Cluster["Service"]) =>
  cluster.use((client) =>
    (client as unknown as { readonly controlConnection: ControlConnection }).controlConnection._refreshHosts(
      false,
      false
    )
  )

describe("a cluster's events", () => {
  it.live("tell of a node that goes down and comes back, with who it is", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: [{ dataCenter: "here" }, { dataCenter: "here" }] })
      const { seen, tags } = yield* read(yield* connect(servers))
      const node = servers.nodes[1]!
      yield* goAway(node)
      yield* until(() => seen.length === 1)
      yield* node.accept
      yield* until(() => seen.length === 2)
      assert.deepStrictEqual(tags(), ["NodeDown", "NodeUp"])
      for (const event of seen) {
        assert.deepInclude(event, { address: `${node.host}:${node.port}`, hostId: node.hostId, dataCenter: "here" })
      }
    }))

  it.live("tell of a node that joins and leaves", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 2 })
      const cluster = yield* connect(servers)
      const { seen, tags } = yield* read(cluster)
      const node = yield* servers.add()
      yield* refreshNodes(cluster)
      yield* until(() => seen.length === 2)
      // A node is up when there is a connection to it.
      assert.deepStrictEqual(tags(), ["NodeAdded", "NodeUp"])
      assert.deepStrictEqual(seen[0], {
        _tag: "NodeAdded",
        address: `${node.host}:${node.port}`,
        hostId: node.hostId,
        dataCenter: "datacenter1"
      })
      yield* servers.remove(node)
      yield* refreshNodes(cluster)
      yield* until(() => tags().includes("NodeRemoved"))
      assert.deepInclude(seen.at(-1), { hostId: node.hostId })
    }))

  it.live("tell of the schema: what was done, to which keyspace and table", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const { seen } = yield* read(yield* connect(server))
      const shop = { type: "SCHEMA_CHANGE", keyspace: "shop" } as const
      yield* server.pushEvent({ ...shop, change: "CREATED", target: "KEYSPACE" })
      yield* server.pushEvent({ ...shop, change: "UPDATED", target: "TABLE", name: "users" })
      yield* server.pushEvent({ ...shop, change: "DROPPED", target: "TYPE", name: "address" })
      yield* until(() => seen.length === 3)
      assert.deepStrictEqual(seen, [
        { _tag: "SchemaChanged", change: "created", keyspace: "shop", table: undefined },
        { _tag: "SchemaChanged", change: "updated", keyspace: "shop", table: "users" },
        { _tag: "SchemaChanged", change: "dropped", keyspace: "shop", table: undefined }
      ])
    }))

  it.live("name no keyspace when a change may have been missed", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const { seen } = yield* read(yield* connect(server, { connectionsPerNode: 2 }))
      const [control] = server.received("REGISTER", ["register"])
      yield* control!.connection.destroy
      yield* until(() => seen.some((event) => event._tag === "SchemaChanged"))
      const missed = { _tag: "SchemaChanged", change: undefined, keyspace: undefined, table: undefined } as const
      assert.deepInclude(seen, missed)
    }))

  it.live("are all told to each reader that is there, and to none that has gone", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const cluster = yield* connect(server)
      const first = yield* read(cluster)
      const second = yield* read(cluster)
      yield* changeTable(server, "a")
      yield* until(() => first.seen.length === 1 && second.seen.length === 1)
      yield* Fiber.interrupt(first.fiber)
      yield* changeTable(server, "b")
      yield* until(() => second.seen.length === 2)
      assert.deepStrictEqual([first.seen.map(tableOf), second.seen.map(tableOf)], [["a"], ["a", "b"]])
      const late = yield* read(cluster)
      yield* changeTable(server, "c")
      yield* until(() => late.seen.length === 1)
      assert.deepStrictEqual(late.seen.map(tableOf), ["c"])
    }))

  it.live("wait for a slow reader, who loses the oldest when there are too many, and holds up nobody", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.rows({ columns: [{ name: "n", type: "int" }], rows: [[1]] }))
      const cluster = yield* connect(server)
      const { cql } = yield* Session.makeFrom().pipe(Effect.provideService(Cluster, cluster))
      const resume = yield* Deferred.make<void>()
      const slow: Array<string | undefined> = []
      yield* Effect.forkScoped(
        Stream.runForEach(
          cluster.events,
          (event) => Effect.andThen(Effect.sync(() => slow.push(tableOf(event))), Deferred.await(resume))
        ),
        { startImmediately: true }
      )
      const fast = yield* read(cluster)
      yield* changeTable(server, "first")
      yield* until(() => slow.length === 1)
      for (let index = 0; index < 2000; index++) {
        yield* changeTable(server, `t${index}`)
        // So that the other one need not lose any.
        if (index % 100 === 99) yield* until(() => fast.seen.length === index + 2)
      }
      yield* cql`SELECT n`
      yield* Deferred.succeed(resume, undefined)
      yield* until(() => slow.at(-1) === "t1999")
      assert.strictEqual(slow[0], "first")
      assert.isAtMost(slow.length, 1025)
      // What it had taken before, and then the last that there were.
      assert.deepStrictEqual(slow.slice(-1024), Array.from({ length: 1024 }, (_, index) => `t${2000 - 1024 + index}`))
    }))

  it.live("do no harm to the client or to other readers when a reader fails or throws", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const cluster = yield* connect(server)
      const fails = yield* Effect.forkChild(
        Effect.exit(Stream.runForEach(cluster.events, () => Effect.fail("no"))),
        { startImmediately: true }
      )
      const throws = yield* Effect.forkChild(
        Effect.exit(Stream.runForEach(cluster.events, () =>
          Effect.sync(() => {
            throw new Error("no")
          }))),
        { startImmediately: true }
      )
      const { seen } = yield* read(cluster)
      yield* changeTable(server, "a")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fails)))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(throws)))
      yield* changeTable(server, "b")
      yield* until(() => seen.length === 2)
      assert.lengthOf(yield* cluster.nodes, 1)
    }))

  it.live("end with the cluster, which is no node that goes down; and at once for who comes later", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 3 })
      const scope = yield* Scope.make()
      const cluster = yield* Scope.provide(connect(servers), scope)
      const { fiber, seen } = yield* read(cluster)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [])
      assert.deepStrictEqual(yield* Stream.runCollect(cluster.events), [])
    }))

  it.live("begin before a cluster is reached that connects in the background, and go on when it is", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 2 })
      yield* servers.refuse
      const cluster = yield* connect(servers, {
        connectInBackground: true,
        connectSchedule: Schedule.spaced("5 millis")
      })
      const { seen } = yield* read(cluster)
      const first = servers.nodes[0]!
      assert.deepStrictEqual(seen, [])
      yield* servers.accept
      yield* until(() => seen.length >= 2)
      assert.sameMembers(
        seen.map((event) => event._tag === "NodeAdded" ? event.hostId : event._tag),
        servers.nodes.map(({ hostId }) => hostId)
      )
      yield* changeTable(first, "a")
      yield* until(() => seen.some((event) => tableOf(event) === "a"))
    }))

  it.live("leave nothing behind: neither a reader nor a listener", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const cluster = yield* connect(server)
      const { core } = yield* Session.makeFrom().pipe(Effect.provideService(Cluster, cluster))
      const { client } = core.shared
      const listeners = () => client.raw.eventNames().map((name) => [name, client.raw.listenerCount(name)])
      const before = { observers: client.observers.size, listeners: listeners() }
      for (let index = 0; index < 200; index++) yield* Effect.scoped(read(cluster))
      assert.deepStrictEqual({ observers: client.observers.size, listeners: listeners() }, before)
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("on a real server", (it) => {
  it.effect("tell of a table that this program has made, altered and dropped", () =>
    Effect.gen(function*() {
      const { cluster, cql, keyspace } = yield* Session
      const { seen } = yield* read(cluster)
      yield* cql`CREATE TABLE events_of_tables (id int PRIMARY KEY)`
      yield* cql`ALTER TABLE events_of_tables ADD name text`
      yield* cql`DROP TABLE events_of_tables`
      // And not what others do in keyspaces of their own.
      const mine = () => seen.filter((event) => event._tag === "SchemaChanged" && event.keyspace === keyspace)
      yield* until(() => mine().length >= 3)
      const event = { _tag: "SchemaChanged", keyspace, table: "events_of_tables" } as const
      assert.deepStrictEqual(mine(), [
        { ...event, change: "created" },
        { ...event, change: "updated" },
        { ...event, change: "dropped" }
      ])
    }))

  it.effect("tell once of what another program has done", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      const { seen } = yield* read(cluster)
      const other = yield* Session.make({ ...(yield* Session.config), keyspace })
      yield* other.cql`CREATE TABLE events_of_others (id int PRIMARY KEY)`
      yield* other.cql`DROP TABLE events_of_others`
      const theirs = () => seen.filter((event) => tableOf(event) === "events_of_others")
      yield* until(() => theirs().length >= 2)
      const event = { _tag: "SchemaChanged", keyspace, table: "events_of_others" } as const
      assert.deepStrictEqual(theirs(), [{ ...event, change: "created" }, { ...event, change: "dropped" }])
    }))
})
