/**
 * Faults of real nodes under a steady load: what was acknowledged is kept, nothing is done twice, what can be tried again
 * succeeds while two of three nodes are there, and nothing outlives its deadline.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import { type CqlError, Session, Statement } from "../../src/index.ts"
import * as RealCluster from "../support/RealCluster.ts"
import * as Load from "./support/Load.ts"

/** Tables with three replicas, which all nodes know. */
const makeKeyspace = Effect.gen(function*() {
  const { options } = yield* RealCluster.RealCluster
  const { cql } = yield* Session.make(options)
  const keyspace = `nodes_${Crypto.randomUUID().replaceAll("-", "")}`
  yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
  yield* Load.createTables(cql, keyspace)
  return keyspace
}).pipe(Effect.scoped)

/** The one session of all tests here: none of them makes another. */
const layerSession: Layer.Layer<Session, CqlError, RealCluster.RealCluster> = Layer.effect(
  Session,
  Effect.gen(function*() {
    const { options } = yield* RealCluster.RealCluster
    return yield* Session.make({
      ...options,
      keyspace: yield* makeKeyspace,
      consistency: "quorum",
      timeout: Load.timeoutMillis,
      // With the default of 12 seconds no time would be left for a third attempt.
      attemptTimeout: "4 seconds",
      // With the default of a minute the tests would wait as long for nodes that are back.
      reconnectDelay: { base: "200 millis", max: "1 second" }
    })
  })
)

const layer = Layer.provideMerge(layerSession, RealCluster.layer)

/** Polled, for no event tells of a node's last connection. */
const eventually = <A, E>(effect: Effect.Effect<A, E>, isSo: (value: A) => boolean): Effect.Effect<A, E> =>
  Effect.repeat(effect, { until: isSo, schedule: Schedule.spaced("50 millis") })

/** Waits until the session can ask each node, and asks each one. */
const awaitConnected = Effect.gen(function*() {
  const session = yield* Session
  const { nodes } = yield* RealCluster.RealCluster
  yield* eventually(
    session.cluster.nodes,
    (all) => all.length === nodes.length && all.every(({ isUp, openConnections }) => isUp && openConnections > 0)
  )
  for (const { address } of nodes) {
    const { coordinator } = yield* Statement.withOptions(session.cql`SELECT host_id FROM system.local`, {
      node: address
    }).result
    assert.strictEqual(coordinator, address)
  }
})

/** Nothing of what has ended takes a place, also where a node answers late. */
const awaitIdle = Effect.gen(function*() {
  const { core } = yield* Session
  const { admission } = core.shared
  yield* eventually(
    Effect.sync(() => [admission.inFlight, admission.queued, core.inFlight]),
    (counts) => counts.every((count) => count === 0)
  )
})

/** What every test here holds, whatever it does to the nodes. */
const underLoad = <A, E>(
  fault: (load: Load.Load) => Effect.Effect<A, E, RealCluster.RealCluster | Session>
): Effect.Effect<Load.Load, E | CqlError, RealCluster.RealCluster | Session | Scope.Scope> =>
  Effect.gen(function*() {
    const cluster = yield* RealCluster.RealCluster
    yield* cluster.restore
    yield* awaitConnected
    const load = yield* Load.start(yield* Session)
    yield* load.awaitMore(40)
    yield* fault(load)
    yield* cluster.awaitAllUp
    yield* awaitConnected
    yield* load.awaitMore(40)
    yield* load.stop
    yield* awaitIdle
    yield* load.assertExact
    const outlived = load.entries.filter(({ millis }) => millis > Load.timeoutMillis + 2000)
    assert.deepStrictEqual(outlived.map(Load.describe), [])
    return load
  })

const assertIdempotentSucceeded = (load: Load.Load): void => {
  const failed = load.entries.filter(({ fate, kind }) => Load.idempotent.includes(kind) && fate !== "acknowledged")
  assert.deepStrictEqual(failed.map(Load.describe), [])
}

/** Also where other processes take most of the machine. */
const limit = 300_000

it.layer(layer, { excludeTestServices: true, timeout: "5 minutes" })("three nodes under load", (it) => {
  it.effect("one is killed and started again", () =>
    Effect.gen(function*() {
      const { nodes: [, node] } = yield* RealCluster.RealCluster
      const load = yield* underLoad((load) =>
        node.kill.pipe(
          Effect.andThen(load.awaitMore(100)),
          Effect.andThen(node.start)
        )
      )
      assertIdempotentSucceeded(load)
    }), limit)

  it.effect("one is silent for twenty seconds, and the others carry on", () =>
    Effect.gen(function*() {
      const { nodes: [, , node] } = yield* RealCluster.RealCluster
      const load = yield* underLoad((load) =>
        node.pause.pipe(
          Effect.andThen(Effect.sleep("20 seconds")),
          Effect.andThen(load.awaitMore(40)),
          Effect.andThen(node.resume)
        )
      )
      assertIdempotentSucceeded(load)
      // What it was asked and did not answer: without them it was not silent.
      assert.isTrue(load.entries.some(({ error }) => error?.reason._tag === "ClientTimeout"))
    }), limit)

  it.effect("all are restarted in turn", () =>
    Effect.gen(function*() {
      const { awaitAllUp, nodes } = yield* RealCluster.RealCluster
      const load = yield* underLoad(() =>
        Effect.forEach(nodes, (node) =>
          // As an administrator does it: the node says farewell to clients and to the other nodes.
          node.nodetool("drain").pipe(
            Effect.andThen(node.kill),
            Effect.andThen(node.start),
            Effect.andThen(awaitAllUp)
          ))
      )
      assertIdempotentSucceeded(load)
    }), limit)

  it.effect("one refuses clients five times in quick succession", () =>
    Effect.gen(function*() {
      const { nodes: [node] } = yield* RealCluster.RealCluster
      const load = yield* underLoad(() =>
        Effect.repeat(Effect.andThen(node.nodetool("disablebinary"), node.nodetool("enablebinary")), { times: 4 })
      )
      assertIdempotentSucceeded(load)
    }), limit)

  it.effect(
    "all are killed: statements fail at once, and succeed again when the nodes are back",
    () =>
      Effect.gen(function*() {
        const { nodes } = yield* RealCluster.RealCluster
        const { cluster } = yield* Session
        yield* underLoad((load) =>
          Effect.gen(function*() {
            yield* Effect.forEach(nodes, ({ kill }) => kill, { concurrency: "unbounded" })
            yield* eventually(cluster.nodes, (all) => all.every(({ isUp }) => !isUp))
            for (const kind of Load.kinds) {
              const { attempts, reason } = yield* Effect.flip(load.statement(kind))
              assert.strictEqual(reason._tag, "NoHostAvailable")
              // Nobody was asked, so that there was nothing to wait for.
              assert.deepStrictEqual(attempts, [])
            }
            yield* Effect.forEach(nodes, ({ start }) => start, { concurrency: "unbounded" })
          })
        )
      }),
    limit
  )
})
