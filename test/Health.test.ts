/**
 * The health of a cluster, on servers that answer, are silent, refuse and come back as a test tells them to. What three
 * real nodes make of it is in `faults/health.test.ts`; what is left of it is looked for by `releaseCases.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Cluster, Health, Session } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, optionsFor, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

/** What a node is asked. */
const question = "SELECT key FROM system.local"

const shop = { shop: { class: "SimpleStrategy", replication_factor: "3" } }

/** Nobody waits for it: rounds are made by the tests themselves. */
const never: Duration.Input = "1 day"

/** A limit that a server which answers is far below, also on a busy machine. */
const patient: Duration.Input = "1 minute"

/** One that a test can wait for. */
const short: Duration.Input = "500 millis"

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** In real time, also where a test has its own. */
const until = <E>(isSo: Effect.Effect<boolean, E>) => Effect.repeat(Effect.andThen(turn, isSo), { until: (so) => so })

/** The nodes are tried again at once when they are gone. */
const eager: Session.Options = { reconnectDelay: { base: "1 millis", max: "5 millis" } }

interface Given extends Omit<ScriptedServer.ClusterOptions, "nodes"> {
  readonly nodes?: ScriptedServer.ClusterOptions["nodes"]
  readonly session?: Session.Options
  readonly health?: Health.Options
}

/** What watches a session on such nodes. */
const watch = Effect.fnUntraced(function*({ health, nodes = 3, session, ...options }: Given = {}) {
  const cluster = yield* ScriptedServer.makeCluster({ keyspaces: shop, ...options, nodes })
  const made = yield* connect(cluster, { ...eager, ...session })
  return { cluster, ...(yield* watchSession(made, health)) }
})

const watchSession = Effect.fnUntraced(function*(session: Session["Service"], options?: Health.Options) {
  const health = yield* Health.make({ interval: never, timeout: patient, ...options }).pipe(
    Effect.provideService(Session, session)
  )
  return { session, health, ...views(health) }
})

const views = (health: Health["Service"]) => {
  const states = Effect.map(health.status, ({ nodes }) => nodes.map(({ state }) => state))
  const nodeOf = ({ hostId }: ScriptedServer.ScriptedServer) =>
    Effect.map(health.status, ({ nodes }) => nodes.find((node) => node.hostId === hostId)!)
  const awaitState = (wanted: Health.ClusterState) => until(Effect.map(health.status, ({ state }) => state === wanted))
  const awaitNode = (node: ScriptedServer.ScriptedServer, wanted: Health.NodeState) =>
    until(Effect.map(nodeOf(node), ({ state }) => state === wanted))
  return { states, nodeOf, awaitState, awaitNode }
}

const goAway = (node: ScriptedServer.ScriptedServer) => Effect.andThen(node.refuse, node.dropConnections)

const asked = (node: ScriptedServer.Scripts) => node.received(question).length

const dataCenters = [{ dataCenter: "here" }, { dataCenter: "here" }, { dataCenter: "there" }]

const nodesOf = ({ nodes }: ScriptedServer.Cluster) =>
  nodes as unknown as readonly [
    ScriptedServer.ScriptedServer,
    ScriptedServer.ScriptedServer,
    ScriptedServer.ScriptedServer
  ]

describe("a round of checks", () => {
  it.live("asks every node itself, and tells what it is", () =>
    Effect.gen(function*() {
      const { cluster, health } = yield* watch({
        nodes: [{ rack: "r1", releaseVersion: "5.0.6" }, { rack: "r2", releaseVersion: "4.1.0" }]
      })
      const status = yield* health.check
      assert.strictEqual(status.state, "up")
      assert.isTrue(status.servable)
      assert.deepInclude(status, { localDataCenter: "datacenter1", consistency: "localOne", error: undefined })
      for (const node of cluster.nodes) {
        assert.isAtLeast(asked(node), 1)
        const { latencyMillis, since, ...described } = status.nodes.find(({ hostId }) => hostId === node.hostId)!
        assert.deepStrictEqual(described, {
          hostId: node.hostId,
          address: `${node.host}:${node.port}`,
          dataCenter: "datacenter1",
          rack: node.rack,
          version: node.releaseVersion,
          state: "up",
          lastError: undefined
        })
        assert.isAbove(latencyMillis!, 0)
        assert.isAtMost(since.getTime(), status.checkedAt!.getTime())
      }
    }))

  it.live("is shared by all who ask while it is under way", () =>
    Effect.gen(function*() {
      const { awaitState, cluster, health } = yield* watch()
      yield* awaitState("up")
      yield* cluster.clearRequests
      for (const node of cluster.nodes) yield* node.clearRequests
      const held = hold(cluster, question, () => undefined)
      const answers = hold(nodesOf(cluster)[0], question, Reply.void)
      const first = yield* Effect.forkChild(health.check)
      const others = yield* Effect.forkChild(
        Effect.forEach([1, 2, 3], () => health.check, { concurrency: "unbounded" })
      )
      yield* answers.awaitHeld(1)
      // Who has begun it goes, and the others get it all the same.
      yield* Fiber.interrupt(first)
      yield* answers.answer()
      const statuses = yield* Fiber.join(others)
      assert.strictEqual(new Set(statuses).size, 1)
      assert.strictEqual(asked(cluster), 3)
      assert.strictEqual(held.most(), 0)
    }))

  it.live("asks nodes of other data centers only where they are failed over to", () =>
    Effect.gen(function*() {
      const local = yield* watch({ nodes: dataCenters, session: { localDataCenter: "here" } })
      const there = nodesOf(local.cluster)[2]
      assert.strictEqual((yield* local.health.check).state, "up")
      assert.deepStrictEqual((yield* local.nodeOf(there)).state, "notWatched")
      assert.strictEqual(asked(there), 0)
      const both = yield* watch({
        nodes: dataCenters,
        subnet: "127.0.67",
        session: { localDataCenter: "here", failover: ["there"] }
      })
      // Its connections are opened in the background.
      yield* until(Effect.map(both.health.check, ({ nodes }) => nodes.every(({ state }) => state === "up")))
      assert.isAtLeast(asked(nodesOf(both.cluster)[2]), 1)
    }))

  it.live("does not wait behind statements, and takes no place of theirs", () =>
    Effect.gen(function*() {
      const { cluster, health, session } = yield* watch({ session: { maxInFlight: 1, maxQueued: 1 } })
      cluster.on("SELECT 1", Reply.silence)
      const busy = yield* Effect.forkChild(
        Effect.forEach([1, 2], () => Effect.exit(session.cql`SELECT 1`), { concurrency: 2 })
      )
      const { admission } = session.core.shared
      yield* until(Effect.sync(() => admission.queued === 1))
      yield* reasonOf("AdmissionRefused")(session.cql`SELECT 1`)
      assert.strictEqual((yield* health.check).state, "up")
      assert.deepStrictEqual([admission.inFlight, admission.queued], [1, 1])
      yield* Fiber.interrupt(busy)
    }))

  it.live("takes a node whose connections are full for one that is busy, and not for one that is silent", () =>
    Effect.gen(function*() {
      const { awaitState, cluster, health, nodeOf, session } = yield* watch({
        nodes: 1,
        session: { maxRequestsPerConnection: 2, maxInFlight: 2 },
        health: { failures: 1 }
      })
      yield* awaitState("up")
      const held = hold(cluster, "SELECT 1")
      const busy = yield* Effect.forkChild(
        Effect.forEach([1, 2], () => session.cql`SELECT 1`, { concurrency: 2 })
      )
      yield* held.awaitHeld(2)
      assert.strictEqual((yield* health.check).state, "up")
      assert.include((yield* nodeOf(cluster.nodes[0]!)).lastError, "busy")
      yield* held.answer(2)
      yield* Fiber.join(busy)
      yield* health.check
      assert.strictEqual((yield* nodeOf(cluster.nodes[0]!)).lastError, undefined)
    }))
})

describe("a node", () => {
  // By a clock that stands still, so that it is asked by this test alone.
  it.effect("that is silent is unresponsive after as many checks as were asked for, and up with its next answer", () =>
    Effect.gen(function*() {
      const { awaitState, cluster, health, nodeOf, states } = yield* watch({
        session: { keyspace: "shop", consistency: "quorum" },
        health: { timeout: short, failures: 3 }
      })
      yield* awaitState("up")
      const node = nodesOf(cluster)[1]
      const takeBack = node.on(question, Reply.silence)
      for (let failed = 1; failed < 3; failed++) {
        assert.strictEqual((yield* health.check).state, "up")
        const { lastError, state } = yield* nodeOf(node)
        assert.deepStrictEqual([state, lastError], ["up", `${node.host}:${node.port} did not answer in 500 ms`])
      }
      const status = yield* health.check
      assert.deepInclude(status, { state: "degraded", servable: true })
      assert.strictEqual((yield* nodeOf(node)).state, "unresponsive")
      assert.sameMembers(yield* states, ["up", "up", "unresponsive"])
      takeBack()
      assert.strictEqual((yield* health.check).state, "up")
      const { lastError, state } = yield* nodeOf(node)
      assert.deepStrictEqual([state, lastError], ["up", undefined])
    }))

  it.live("that has never answered is not taken for one that can be used", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 1 })
      cluster.on(question, Reply.silence)
      const { health } = yield* watchSession(yield* connect(cluster), { timeout: short })
      assert.strictEqual((yield* health.check).state, "down")
      const wait = Health.await({ timeout: "50 millis" }).pipe(Effect.provideService(Health, health))
      const { message, nodes } = yield* reasonOf("NoHostAvailable")(wait)
      assert.include(message, "not ready after 50ms: down")
      const node = `${cluster.host}:${cluster.port}`
      assert.deepStrictEqual(nodes, [{ node, error: `${node} did not answer in 500 ms` }])
    }))

  it.live("that the driver finds gone is down at once, tells why, and is not asked", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health, nodeOf } = yield* watch()
      yield* awaitState("up")
      const node = nodesOf(cluster)[2]
      yield* goAway(node)
      yield* awaitNode(node, "down")
      assert.strictEqual((yield* health.status).state, "degraded")
      yield* until(Effect.map(nodeOf(node), ({ lastError }) => lastError?.includes("ECONNREFUSED") === true))
      assert.isUndefined((yield* nodeOf(node)).latencyMillis)
      yield* node.clearRequests
      assert.strictEqual((yield* health.check).state, "degraded")
      assert.strictEqual(asked(node), 0)
    }))

  it.live("that comes back is asked at once, and not only with the next round", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health, nodeOf } = yield* watch()
      yield* awaitState("up")
      const [other, node] = nodesOf(cluster)
      yield* goAway(node)
      yield* awaitNode(node, "down")
      const before = (yield* health.status).checkedAt
      yield* Effect.forEach([other, node], (node) => node.clearRequests)
      yield* node.accept
      yield* awaitState("up")
      assert.strictEqual((yield* nodeOf(node)).lastError, undefined)
      assert.isAtLeast(asked(node), 1)
      assert.strictEqual(asked(other), 0)
      assert.deepStrictEqual((yield* health.status).checkedAt, before)
    }))

  it.live("that comes back silent is not up before it has answered", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, states } = yield* watch({ health: { timeout: short } })
      yield* awaitState("up")
      const node = nodesOf(cluster)[1]
      yield* goAway(node)
      yield* awaitNode(node, "down")
      const held = hold(node, question)
      yield* node.accept
      yield* held.awaitHeld(1)
      assert.sameMembers(yield* states, ["up", "up", "down"])
      yield* awaitNode(node, "unresponsive")
      yield* held.answer()
    }))

  it.live("that goes while it is asked has the failed question not held against it when it is back", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health, nodeOf } = yield* watch({ health: { timeout: "1 minute" } })
      yield* awaitState("up")
      const node = nodesOf(cluster)[1]
      const takeBack = node.on(question, Reply.silence)
      const round = yield* Effect.forkChild(health.check)
      yield* node.awaitRequest(question, 2)
      yield* goAway(node)
      yield* Fiber.join(round)
      yield* awaitNode(node, "down")
      takeBack()
      const held = hold(node, question)
      yield* node.accept
      yield* held.awaitHeld(1)
      assert.strictEqual((yield* nodeOf(node)).state, "down")
      yield* held.answer()
      yield* awaitNode(node, "up")
    }))

  it.live("is asked on a connection of its own making, where none has to be open when the session begins", () =>
    Effect.gen(function*() {
      const { health, states } = yield* watch({ session: { openAllConnections: false } })
      const first = yield* Effect.repeat(Effect.andThen(turn, health.status), {
        until: ({ state }) => state !== "starting"
      })
      assert.strictEqual(first.state, "up")
      assert.deepStrictEqual(yield* states, ["up", "up", "up"])
    }))

  it.live("that is silent when it comes back holds up nobody else's news", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster } = yield* watch({ health: { timeout: "10 minutes" } })
      yield* awaitState("up")
      const [, node, other] = nodesOf(cluster)
      yield* goAway(node)
      yield* awaitNode(node, "down")
      const held = hold(node, question)
      yield* node.accept
      yield* held.awaitHeld(1)
      yield* goAway(other)
      yield* awaitNode(other, "down")
      yield* held.answer()
      yield* awaitNode(node, "up")
    }))

  it.live("tells no secret by its last error", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, nodeOf } = yield* watch({
        authenticate: { username: "ada", password: "s3cret-engine" },
        session: { credentials: Effect.map(Effect.void, () => credentials) }
      })
      yield* awaitState("up")
      const node = nodesOf(cluster)[1]
      const refusal = "s3cret-engine is wrong"
      node.on(() => true, Reply.badCredentials(refusal), ["authResponse"])
      yield* node.dropConnections
      yield* awaitNode(node, "down")
      yield* until(Effect.map(nodeOf(node), ({ lastError }) => lastError?.includes("is wrong") === true))
      assert.notInclude((yield* nodeOf(node)).lastError, "s3cret-engine")
    }))

  it.live("that was down before it was watched is down", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 3 })
      const [, node] = nodesOf(cluster)
      yield* node.refuse
      const { health, nodeOf } = yield* watchSession(yield* connect(cluster, eager))
      assert.strictEqual((yield* health.check).state, "degraded")
      assert.deepInclude(yield* nodeOf(node), { state: "down" })
    }))

  it.live("that joins is watched from then on, and is no fault of the cluster before it has answered", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health, session } = yield* watch({ nodes: 2 })
      yield* awaitState("up")
      const reading = yield* Effect.forkChild(Stream.runCollect(Stream.take(health.changes, 3)), {
        startImmediately: true
      })
      const node = yield* cluster.add()
      yield* refreshNodes(session)
      yield* awaitNode(node, "up")
      assert.isAtLeast(asked(node), 1)
      const changes = Array.from(yield* Fiber.join(reading))
      assert.deepStrictEqual(changes.map(({ state }) => state), ["up", "up", "up"])
      assert.deepStrictEqual(changes.map(({ nodes }) => nodes.at(-1)!.state), ["up", "unknown", "up"])
    }))

  it.live("that leaves the cluster is forgotten", () =>
    Effect.gen(function*() {
      const { awaitState, cluster, health, session } = yield* watch()
      yield* awaitState("up")
      const node = nodesOf(cluster)[2]
      yield* cluster.remove(node)
      yield* refreshNodes(session)
      yield* until(Effect.map(health.status, ({ nodes, state }) => nodes.length === 2 && state === "up"))
    }))

  it.live("that leaves and comes back is nothing of what it was before", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health, nodeOf, session } = yield* watch()
      yield* awaitState("up")
      const node = nodesOf(cluster)[2]
      yield* cluster.remove(node)
      yield* refreshNodes(session)
      yield* until(Effect.map(health.status, ({ nodes }) => nodes.length === 2))
      const held = hold(cluster, question)
      const back = yield* cluster.add({ hostId: node.hostId })
      yield* refreshNodes(session)
      yield* held.awaitHeld(1)
      const { lastError, latencyMillis, state } = yield* nodeOf(back)
      assert.deepStrictEqual([state, latencyMillis, lastError], ["unknown", undefined, undefined])
      yield* held.answer()
      yield* awaitNode(back, "up")
    }))

  it.live("that goes again tells why it has gone now, and not why it had before", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, nodeOf } = yield* watch()
      yield* awaitState("up")
      const [, node] = nodesOf(cluster)
      const isRefused = Effect.map(nodeOf(node), ({ lastError }) => lastError?.includes("ECONNREFUSED") === true)
      yield* goAway(node)
      yield* until(isRefused)
      yield* node.accept
      yield* awaitState("up")
      // It can be connected to, and says nothing.
      node.on("STARTUP", Reply.silence, ["startup"])
      yield* node.dropConnections
      yield* awaitNode(node, "down")
      assert.isFalse(yield* isRefused)
    }))

  it.live("that has another version is told at once, and not only with the next round", () =>
    Effect.gen(function*() {
      const { awaitState, cluster, nodeOf, session } = yield* watch()
      yield* awaitState("up")
      const others = nodesOf(cluster).slice(1)
      cluster.on(
        /FROM system.peers/,
        Reply.rows({
          columns: [
            { name: "peer", type: "inet" },
            { name: "rpc_address", type: "inet" },
            { name: "host_id", type: "uuid" },
            { name: "data_center", type: "text" },
            { name: "rack", type: "text" },
            { name: "release_version", type: "text" },
            { name: "tokens", type: "set<text>" }
          ],
          rows: others.map((
            { dataCenter, host, hostId, rack, tokens }
          ) => [host, host, hostId, dataCenter, rack, "5.0.6", tokens])
        }),
        ["system"]
      )
      yield* refreshNodes(session)
      yield* until(Effect.map(nodeOf(others[1]!), ({ version }) => version === "5.0.6"))
    }))
})

describe("what can be served", () => {
  const serves = (options: {
    readonly consistency: NonNullable<Session.Options["consistency"]>
    readonly down: number
    readonly replication?: Readonly<Record<string, string>>
    readonly keyspace?: string
    readonly nodes?: number
  }) =>
    Effect.gen(function*() {
      const { consistency, down, keyspace = "shop", nodes = 3, replication = shop.shop } = options
      const { awaitNode, awaitState, cluster, health } = yield* watch({
        nodes,
        keyspaces: { shop: replication, system: { class: "org.apache.cassandra.locator.LocalStrategy" } },
        session: { keyspace, consistency }
      })
      yield* health.check
      if (down > 0) yield* awaitState("up")
      for (const node of cluster.nodes.slice(nodes - down)) {
        yield* goAway(node)
        yield* awaitNode(node, "down")
      }
      const { servable, state } = yield* health.status
      assert.strictEqual(state === "up" || state === "degraded", servable)
      return servable
    }).pipe(Effect.scoped)

  const network = { class: "org.apache.cassandra.locator.NetworkTopologyStrategy", datacenter1: "3" }
  const one = { class: "SimpleStrategy", replication_factor: "1" }

  it.live("at a consistency of one: until no replica is left", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* serves({ consistency: "localOne", down: 2 }))
      assert.isFalse(yield* serves({ consistency: "localOne", down: 3 }))
      assert.isTrue(yield* serves({ consistency: "one", down: 0, replication: one }))
      assert.isFalse(yield* serves({ consistency: "one", down: 1, replication: one }), "a part of the data is away")
      assert.isTrue(yield* serves({ consistency: "any", down: 2, replication: one }), "a hint is kept")
    }), 30_000)

  it.live("at a quorum: until half of the replicas are away", () =>
    Effect.gen(function*() {
      for (const consistency of ["quorum", "localQuorum", "eachQuorum", "serial", "localSerial", "two"] as const) {
        for (const replication of [shop.shop, network]) {
          assert.isTrue(yield* serves({ consistency, down: 1, replication }), consistency)
          assert.isFalse(yield* serves({ consistency, down: 2, replication }), consistency)
        }
      }
    }), 30_000)

  it.live("at all of them: until one is away", () =>
    Effect.gen(function*() {
      for (const consistency of ["all", "three"] as const) {
        assert.isTrue(yield* serves({ consistency, down: 0 }), consistency)
        assert.isFalse(yield* serves({ consistency, down: 1 }), consistency)
      }
    }), 30_000)

  it.live(
    "is counted by the replicas that the keyspace asks for, and not by the nodes that there are",
    () =>
      Effect.gen(function*() {
        for (const replication of [shop.shop, network]) {
          assert.isFalse(yield* serves({ consistency: "localQuorum", down: 0, nodes: 1, replication }))
          assert.isTrue(yield* serves({ consistency: "localQuorum", down: 0, nodes: 2, replication }))
          assert.isFalse(yield* serves({ consistency: "all", down: 0, nodes: 2, replication }))
        }
      }),
    30_000
  )

  it.live("of a node's own keyspace, and without any, by whatever node is left", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* serves({ consistency: "localOne", down: 2, keyspace: "system" }))
      const { awaitNode, awaitState, cluster, health } = yield* watch({ session: { consistency: "quorum" } })
      yield* awaitState("up")
      for (const node of nodesOf(cluster).slice(1)) {
        yield* goAway(node)
        yield* awaitNode(node, "down")
      }
      assert.deepInclude(yield* health.status, { state: "degraded", servable: true })
    }))

  it.live("by a data center that stands in: degraded, and the local one serves nothing", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health } = yield* watch({
        nodes: dataCenters,
        keyspaces: { shop: { class: "NetworkTopologyStrategy", here: "2", there: "1" } },
        session: { localDataCenter: "here", failover: ["there"], keyspace: "shop", consistency: "localQuorum" }
      })
      const [first, second, there] = nodesOf(cluster)
      yield* until(Effect.map(health.check, ({ state }) => state === "up"))
      yield* goAway(first)
      yield* awaitNode(first, "down")
      yield* goAway(second)
      yield* awaitNode(second, "down")
      assert.deepInclude(yield* health.status, { state: "degraded", servable: false })
      yield* goAway(there)
      yield* awaitState("down")
    }))
})

describe("the state of the cluster", () => {
  it.live("is starting until the first round has ended", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 3 })
      const held = hold(cluster, question)
      const { awaitState, health, states } = yield* watchSession(yield* connect(cluster), { timeout: "1 minute" })
      yield* held.awaitHeld(3)
      assert.deepInclude(yield* health.status, { state: "starting", checkedAt: undefined })
      assert.deepStrictEqual([...new Set(yield* states)].filter((state) => state !== "unknown"), [])
      yield* held.answer(2)
      assert.strictEqual((yield* health.status).state, "starting")
      yield* held.answer(1)
      yield* awaitState("up")
    }))

  it.live("is starting while it is not connected, tells why, and is up as soon as it is", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 3 })
      yield* cluster.refuse
      const session = yield* Session.make({
        ...optionsFor(cluster),
        connectInBackground: true,
        connectSchedule: Schedule.spaced("5 millis")
      })
      const { awaitState, health } = yield* watchSession(session)
      yield* until(Effect.map(health.status, ({ error }) => error?.includes("ECONNREFUSED") === true))
      assert.deepInclude(yield* health.status, { state: "starting", servable: false, nodes: [], checkedAt: undefined })
      const { message } = yield* reasonOf("NoHostAvailable")(
        Health.await({ timeout: "10 millis" }).pipe(Effect.provideService(Health, health))
      )
      assert.include(message, "the cluster is not ready after 10ms: starting: ")
      const waiting = yield* Effect.forkChild(
        Health.await({ timeout: "1 minute" }).pipe(Effect.provideService(Health, health))
      )
      const unconnected = session.core.shared.client
      assert.strictEqual(unconnected.observers.size, 1)
      yield* cluster.accept
      assert.strictEqual((yield* Fiber.join(waiting)).state, "up")
      yield* awaitState("up")
      assert.strictEqual(unconnected.observers.size, 0)
      assert.isUndefined((yield* health.status).error)
      // And it listens to the client that it has now.
      yield* goAway(nodesOf(cluster)[1])
      yield* awaitState("degraded")
    }))

  it.live("is told when it changes, and once: a latency and an error are no change", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health } = yield* watch({ health: { timeout: short } })
      yield* awaitState("up")
      const seen: Array<Health.Status> = []
      const reading = yield* Effect.forkChild(
        Stream.runForEach(health.changes, (status) => Effect.sync(() => seen.push(status))),
        { startImmediately: true }
      )
      yield* until(Effect.sync(() => seen.length === 1))
      const [, node] = nodesOf(cluster)
      const takeBack = node.on(question, Reply.silence)
      yield* Effect.repeat(health.check, { times: 3 })
      takeBack()
      yield* Effect.repeat(health.check, { times: 3 })
      yield* goAway(node)
      yield* awaitNode(node, "down")
      yield* turn
      assert.deepStrictEqual(seen.map(({ state }) => state), ["up", "degraded", "up", "degraded"])
      yield* Fiber.interrupt(reading)
    }))

  it.live("is logged when it changes, and no round of checks is", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push(`${logLevel} ${String((message as ReadonlyArray<unknown>)[0])}`)
      })
      yield* Effect.gen(function*() {
        const { awaitNode, awaitState, cluster, health } = yield* watch({
          session: { keyspace: "shop", consistency: "quorum" }
        })
        yield* awaitState("up")
        yield* Effect.repeat(health.check, { times: 5 })
        const [first, second] = nodesOf(cluster)
        yield* goAway(first)
        yield* awaitNode(first, "down")
        yield* Effect.repeat(health.check, { times: 5 })
        yield* goAway(second)
        yield* awaitState("down")
        yield* Effect.forEach([first, second], ({ accept }) => accept)
        yield* awaitState("up")
        yield* turn
      }).pipe(Effect.provide(Logger.layer([logger])))
      const ofHealth = lines.filter((line) => line.includes("the cluster is"))
      assert.deepStrictEqual(ofHealth.slice(0, 2), ["Warn the cluster is degraded", "Warn the cluster is down"])
      assert.strictEqual(ofHealth.at(-1), "Info the cluster is up")
      assert.isAtMost(ofHealth.length, 4)
    }))

  it.live("is logged once, whatever becomes of more of its nodes", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => {
        lines.push(String((message as ReadonlyArray<unknown>)[0]))
      })
      yield* Effect.gen(function*() {
        const { awaitNode, awaitState, cluster } = yield* watch()
        yield* awaitState("up")
        const [first, second] = nodesOf(cluster)
        yield* goAway(first)
        yield* awaitNode(first, "down")
        yield* goAway(second)
        yield* awaitNode(second, "down")
        yield* Effect.repeat(turn, { times: 5 })
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(lines, ["the cluster is degraded"])
    }))

  it.live("is followed on where a logger throws", () =>
    Effect.gen(function*() {
      let lines = 0
      const logger = Logger.make(() => {
        lines++
        throw new Error("a disk that is full")
      })
      yield* Effect.gen(function*() {
        const { awaitState, cluster } = yield* watch()
        yield* awaitState("up")
        const [, node] = nodesOf(cluster)
        for (let times = 0; times < 2; times++) {
          yield* goAway(node)
          yield* awaitState("degraded")
          yield* node.accept
          yield* awaitState("up")
        }
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.isAtLeast(lines, 4)
    }))
})

describe("the time between rounds", () => {
  const rounds = (cluster: ScriptedServer.Cluster) => asked(cluster) / 3

  const paced = Effect.fnUntraced(function*(options?: Health.Options) {
    const given = yield* watch({ health: { interval: "10 seconds", timeout: "1 minute", ...options } })
    yield* given.awaitState("up")
    // Now it sleeps.
    yield* turn
    return given
  })

  it.effect("is the interval, give or take a fifth", () =>
    Effect.gen(function*() {
      const { cluster } = yield* paced()
      for (let round = 1; round < 5; round++) {
        assert.strictEqual(rounds(cluster), round)
        yield* TestClock.adjust("7999 millis")
        yield* turn
        assert.strictEqual(rounds(cluster), round, "too early")
        yield* TestClock.adjust("4001 millis")
        yield* cluster.awaitRequest(question, 3 * (round + 1))
        // Until the answers are there, which come in real time.
        yield* until(Effect.map(Effect.sync(() => rounds(cluster)), (count) => count === round + 1))
        yield* Effect.repeat(turn, { times: 20 })
      }
    }))

  it.effect("is another one for another process: they do not all ask together", () =>
    Effect.gen(function*() {
      const firstAfter = (seed: string) =>
        Effect.gen(function*() {
          const { cluster } = yield* paced()
          let millis = 0
          while (rounds(cluster) < 2) {
            yield* TestClock.adjust("100 millis")
            yield* Effect.repeat(turn, { times: 3 })
            millis += 100
          }
          return millis
        }).pipe(Random.withSeed(seed), Effect.scoped)
      const waits = yield* Effect.forEach(["a", "b", "c", "d"], firstAfter)
      assert.isAbove(new Set(waits).size, 1)
      for (const wait of waits) {
        assert.isAtLeast(wait, 8000)
        assert.isAtMost(wait, 12_200)
      }
    }))

  it.effect("begins when a round has ended: none overlaps another", () =>
    Effect.gen(function*() {
      const { cluster } = yield* paced()
      const held = hold(cluster, question)
      yield* TestClock.adjust("12 seconds")
      yield* held.awaitHeld(3)
      yield* TestClock.adjust("1 hour")
      yield* turn
      assert.strictEqual(rounds(cluster), 2)
      assert.strictEqual(held.most(), 3)
      yield* held.answer(3)
      yield* Effect.repeat(turn, { times: 50 })
      yield* TestClock.adjust("12 seconds")
      yield* held.awaitHeld(3)
      assert.strictEqual(rounds(cluster), 3)
    }))

  it.effect("is told by the Clock, from when on something is so", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const { awaitNode, awaitState, cluster, health, nodeOf } = yield* watch()
      yield* awaitState("up")
      const first = yield* health.status
      assert.strictEqual(first.since.getTime(), 1_000_000)
      yield* TestClock.setTime(2_000_000)
      const second = yield* health.check
      assert.deepStrictEqual([second.since.getTime(), second.checkedAt!.getTime()], [1_000_000, 2_000_000])
      yield* TestClock.setTime(3_000_000)
      const [other, node] = nodesOf(cluster)
      yield* goAway(node)
      yield* awaitNode(node, "down")
      const third = yield* health.status
      assert.deepStrictEqual([third.state, third.since.getTime()], ["degraded", 3_000_000])
      assert.strictEqual((yield* nodeOf(node)).since.getTime(), 3_000_000)
      assert.strictEqual((yield* nodeOf(other)).since.getTime(), 1_000_000)
    }))

  it.live("is short behind a check that has failed: one alone is not waited on for an interval", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health } = yield* watch({
        health: { interval: "1 hour", timeout: short }
      })
      yield* awaitState("up")
      const [, node] = nodesOf(cluster)
      node.on(question, Reply.silence)
      yield* health.check
      yield* awaitNode(node, "unresponsive")
    }))
})

describe("waiting until it is ready", () => {
  it.live("goes on at once where it is, also degraded, and is no wait for a wrong option", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health } = yield* watch()
      const ready = (timeout?: Duration.Input) => Health.await({ timeout }).pipe(Effect.provideService(Health, health))
      assert.strictEqual((yield* ready()).state, "up")
      yield* goAway(nodesOf(cluster)[0])
      yield* awaitNode(nodesOf(cluster)[0], "down")
      yield* awaitState("degraded")
      assert.strictEqual((yield* ready("1 minute")).state, "degraded")
      const { field } = yield* reasonOf("InvalidConfig")(ready(0))
      assert.strictEqual(field, "timeout")
    }))

  it.live("ends with SessionClosed when nobody watches any more", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 1 })
      const held = hold(cluster, question)
      const session = yield* connect(cluster)
      const scope = yield* Scope.make()
      const { health } = yield* Scope.provide(watchSession(session, { timeout: "1 minute" }), scope)
      yield* held.awaitHeld(1)
      const waiting = yield* Effect.forkChild(
        Effect.flip(Health.await().pipe(Effect.provideService(Health, health)))
      )
      const reading = yield* Effect.forkChild(Stream.runCollect(health.changes))
      yield* Effect.repeat(turn, { times: 3 })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "SessionClosed")
      assert.lengthOf(yield* Fiber.join(reading), 1)
      // Nor is there anybody to be waited for.
      yield* health.status
      yield* Effect.timeout(Effect.exit(health.check), "10 seconds")
    }))

  it.live("is a layer's, on the session that it is given", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const layer = Health.layer().pipe(Layer.provide(Session.layer(optionsFor(server))))
      const { state } = yield* Effect.provide(Health.await({ timeout: "1 minute" }), layer)
      assert.strictEqual(state, "up")
    }))
})

describe("options", () => {
  it.live("that make no sense are refused by name, and nobody is asked", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const session = yield* connect(server)
      const wrong: ReadonlyArray<Health.Options> = [{ interval: 0 }, { timeout: -1 }, { failures: 0 }]
      for (const options of wrong) {
        const { field } = yield* reasonOf("InvalidConfig")(
          Effect.provideService(Health.make(options), Session, session)
        )
        assert.strictEqual(field, Object.keys(options)[0])
      }
      assert.strictEqual(asked(server), 0)
    }))
})

describe("a session in another keyspace than its cluster's", () => {
  it.live("is watched by its own connections", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 2, keyspaces: shop })
      const cluster = yield* Cluster.make({ ...optionsFor(servers), ...eager })
      const session = yield* Session.makeFrom({ keyspace: "shop" }).pipe(Effect.provideService(Cluster, cluster))
      const { awaitNode, awaitState, health } = yield* watchSession(session)
      yield* awaitState("up")
      const node = servers.nodes[1]!
      yield* health.check
      const keyspaces = node.received(question).map(({ connection }) => connection.keyspace)
      assert.deepStrictEqual([...new Set(keyspaces)], ["shop"])
      yield* goAway(node)
      yield* awaitNode(node, "down")
    }))
})

describe("warming up", () => {
  it.live("opens every connection of every node, and says how many there are", () =>
    Effect.gen(function*() {
      const { cluster, health, session } = yield* watch({
        session: { openAllConnections: false, connectionsPerNode: 3, keyspace: "shop" }
      })
      const warm = yield* health.warmUp
      assert.deepStrictEqual(
        warm.map(({ address, openConnections }) => [address, openConnections]).toSorted(),
        cluster.nodes.map(({ host, port }) => [`${host}:${port}`, 3]).toSorted()
      )
      assert.isTrue((yield* session.cluster.nodes).every(({ openConnections }) => openConnections === 3))
      assert.deepStrictEqual(yield* health.warmUp, warm)
    }))

  it.live("tells of a node that cannot be reached with what it has", () =>
    Effect.gen(function*() {
      const { awaitNode, awaitState, cluster, health } = yield* watch({ session: { connectionsPerNode: 2 } })
      yield* awaitState("up")
      const [node] = nodesOf(cluster)
      yield* goAway(node)
      yield* awaitNode(node, "down")
      const warm = yield* health.warmUp
      assert.deepStrictEqual(warm.map(({ openConnections }) => openConnections).toSorted(), [0, 2, 2])
    }))
})

describe("a health that outlives its session", () => {
  it.live("is down, asks nobody, opens nothing, and ends a round that was under way", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2 })
      const scope = yield* Scope.make()
      const session = yield* Scope.provide(connect(cluster), scope)
      const { awaitState, health, states } = yield* watchSession(session, { timeout: "10 minutes" })
      yield* awaitState("up")
      const held = hold(cluster, question)
      const round = yield* Effect.forkChild(health.check, { startImmediately: true })
      yield* held.awaitHeld(2)
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* Fiber.join(round), { state: "down", servable: false })
      assert.deepStrictEqual(yield* states, ["down", "down"])
      yield* cluster.clearRequests
      const accepted = () => cluster.nodes.map((node) => node.accepted())
      const before = accepted()
      assert.strictEqual((yield* health.check).state, "down")
      assert.deepStrictEqual((yield* health.warmUp).map(({ openConnections }) => openConnections), [0, 0])
      yield* Effect.repeat(turn, { times: 20 })
      assert.deepStrictEqual(accepted(), before)
      assert.strictEqual(asked(cluster), 0)
    }))
})

describe("200 healths in turn", () => {
  it.live("leave nothing at the client that they watched", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2 })
      const session = yield* connect(cluster)
      const { client } = session.core.shared
      const before = { observers: client.observers.size, connections: cluster.connections() }
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      const held = timers()
      for (let index = 0; index < 200; index++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { health } = yield* watchSession(session, { interval: "1 hour" })
          if (index % 2 === 0) yield* health.check
          yield* Effect.forkScoped(Stream.runDrain(health.changes), { startImmediately: true })
        }))
      }
      assert.deepStrictEqual({ observers: client.observers.size, connections: cluster.connections() }, before)
      // What was asked and is not answered yet has a limit of the driver's.
      yield* until(Effect.sync(() => timers() <= held))
      assert.strictEqual(session.core.inFlight, 0)
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("on a real server", (it) => {
  it.effect("is up, with what the node tells of itself", () =>
    Effect.gen(function*() {
      const session = yield* Session
      const health = yield* Health.make({ timeout: "30 seconds" })
      const status = yield* Health.await({ timeout: "1 minute" }).pipe(Effect.provideService(Health, health))
      assert.deepInclude(status, { state: "up", servable: true, localDataCenter: session.cluster.localDataCenter })
      const [node] = yield* session.cluster.nodes
      const { address, dataCenter, hostId, rack, version } = node!
      assert.lengthOf(status.nodes, 1)
      assert.deepInclude(status.nodes[0], { address, dataCenter, hostId, rack, version, state: "up" })
      assert.deepStrictEqual(yield* health.warmUp, [{ address, openConnections: 1 }])
    }))

  it.effect("counts the replicas that its keyspace asks for, also after it was altered", () =>
    Effect.gen(function*() {
      const { cluster, cql, keyspace } = yield* Session
      const session = yield* Session.makeFrom({ keyspace, consistency: "quorum" })
      assert.strictEqual(session.cluster, cluster)
      const health = yield* Health.make({ timeout: "30 seconds" }).pipe(Effect.provideService(Session, session))
      assert.isTrue((yield* health.check).servable)
      yield* cql`ALTER KEYSPACE ${cql.ident(keyspace!)}
        WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
      yield* until(Effect.map(health.check, ({ servable, state }) => !servable && state === "down"))
      yield* cql`ALTER KEYSPACE ${cql.ident(keyspace!)}
        WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`
      yield* until(Effect.map(health.check, ({ state }) => state === "up"))
    }))
})

// --- helpers

const credentials = { username: "ada", password: Redacted.make("s3cret-engine") }

interface ControlConnection {
  readonly _refreshHosts: (initializing: boolean, isReconnecting: boolean) => Promise<void>
}

/** Looks for nodes that have come and gone; by itself the driver does ten seconds after an event. */
const refreshNodes = ({ cluster }: Session["Service"]) =>
  cluster.use((client) =>
    (client as unknown as { readonly controlConnection: ControlConnection }).controlConnection._refreshHosts(
      false,
      false
    )
  )
