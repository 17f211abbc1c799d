import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Cluster, cql, Session, Statement } from "../../src/index.ts"
import { Admission } from "../../src/internal/admission.ts"
import * as Keyspace from "../support/keyspace.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, reasonOf } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

describe("Admission", () => {
  const waiterInto = (log: Array<string>, name: string) => ({ admitted: () => void log.push(name) })

  it("gives a place at once while there are any, and to nobody before those who wait", () => {
    const admission = new Admission(2, 10)
    const admitted: Array<string> = []
    assert.deepStrictEqual([admission.tryEnter(), admission.tryEnter(), admission.tryEnter()], [true, true, false])
    for (const name of ["a", "b", "c"]) assert.isTrue(admission.enqueue(waiterInto(admitted, name)))
    admission.leave()
    assert.deepStrictEqual(admitted, ["a"])
    admission.leave()
    admission.leave()
    assert.deepStrictEqual(admitted, ["a", "b", "c"])
    assert.deepStrictEqual([admission.inFlight, admission.queued], [2, 0])
  })

  it("lets nobody in before those who wait, not even while a place passes from one to the next", () => {
    const admission = new Admission(1, 10)
    const admitted: Array<string> = []
    admission.tryEnter()
    admission.enqueue({
      admitted: () => {
        admission.leave()
        assert.isFalse(admission.tryEnter())
      }
    })
    admission.enqueue(waiterInto(admitted, "next"))
    admission.leave()
    assert.deepStrictEqual(admitted, ["next"])
  })

  it("takes no more waiters than it may", () => {
    const admission = new Admission(1, 1)
    admission.tryEnter()
    assert.isTrue(admission.enqueue(waiterInto([], "a")))
    assert.isFalse(admission.enqueue(waiterInto([], "b")))
  })

  it("forgets a waiter that leaves from the middle", () => {
    const admission = new Admission(1, 10)
    const admitted: Array<string> = []
    const [a, b, c] = ["a", "b", "c"].map((name) => waiterInto(admitted, name))
    admission.tryEnter()
    for (const waiter of [a!, b!, c!]) admission.enqueue(waiter)
    admission.cancel(b!)
    admission.leave()
    admission.leave()
    assert.deepStrictEqual(admitted, ["a", "c"])
  })

  it("passes places on to a hundred thousand waiters that leave at once, without a stack of that depth", () => {
    const admission = new Admission(1, Infinity)
    admission.tryEnter()
    for (let count = 0; count < 100_000; count++) admission.enqueue({ admitted: () => admission.leave() })
    admission.leave()
    assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
  })
})

describe("a session", () => {
  const select = ({ cql }: Session["Service"], name: string) => cql`SELECT ${cql.unsafe(name)}`

  const start = (session: Session["Service"], name: string) => Effect.forkChild(select(session, name))

  const serverAndSession = Effect.fnUntraced(function*(options: Session.Options) {
    const server = yield* ScriptedServer.make()
    return { server, session: yield* connect(server, options), held: hold(server, /^SELECT/) }
  })

  const textsReceived = (server: ScriptedServer.ScriptedServer) => server.received(/^SELECT/).map(({ query }) => query)

  it.live("has at most maxInFlight requests at the server, and sends the others in the order they came", () =>
    Effect.gen(function*() {
      const { held, server, session } = yield* serverAndSession({ maxInFlight: 4 })
      const names = Array.from({ length: 12 }, (_, index) => `n${index}`)
      const all = yield* Effect.forEach(names, (name) => start(session, name))
      for (let left = 12; left > 0; left--) {
        yield* held.awaitHeld(Math.min(4, left))
        yield* held.answer()
      }
      yield* Fiber.joinAll(all)
      assert.strictEqual(held.most(), 4)
      assert.deepStrictEqual(textsReceived(server), names.map((name) => `SELECT ${name}`))
    }))

  it.live("shares its limits with the other sessions of its keyspace", () =>
    Effect.gen(function*() {
      const { held, session } = yield* serverAndSession({ maxInFlight: 1 })
      const other = yield* Effect.provideService(Session.makeFrom(), Cluster, session.cluster)
      const both = [yield* start(session, "a"), yield* start(other, "b")]
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* Fiber.joinAll(both)
      assert.strictEqual(held.most(), 1)
    }))

  it.live("refuses at once, and says how full it is, when nobody more may wait", () =>
    Effect.gen(function*() {
      const { held, server, session } = yield* serverAndSession({ maxInFlight: 1, maxQueued: 2 })
      const taken = yield* Effect.forEach(["a", "b", "c"], (name) => start(session, name))
      yield* held.awaitHeld(1)
      const refused = yield* Effect.flip(select(session, "d"))
      assert.deepInclude(refused.reason, { _tag: "AdmissionRefused", inFlight: 1, queued: 2, limit: 1 })
      assert.strictEqual(refused.statement, "SELECT d")
      for (const _ of taken) {
        yield* held.awaitHeld(1)
        yield* held.answer()
      }
      yield* Fiber.joinAll(taken)
      assert.deepStrictEqual(textsReceived(server), ["SELECT a", "SELECT b", "SELECT c"])
    }))

  it.live("ends with a ClientTimeout of the phase \"queue\" what waited longer than its timeout, unsent", () =>
    Effect.gen(function*() {
      const { held, server, session } = yield* serverAndSession({ maxInFlight: 1 })
      const first = yield* start(session, "a")
      yield* held.awaitHeld(1)
      const late = select(session, "b").pipe(Statement.withOptions({ timeout: "20 millis" }))
      const reason = yield* reasonOf("ClientTimeout")(late)
      assert.deepInclude(reason, { phase: "queue", timeoutMillis: 20 })
      const last = yield* start(session, "c")
      yield* held.answer()
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* Fiber.joinAll([first, last])
      assert.deepStrictEqual(textsReceived(server), ["SELECT a", "SELECT c"])
    }))

  it.live("lets an interrupted statement leave the queue, so that it is never sent", () =>
    Effect.gen(function*() {
      const { held, server, session } = yield* serverAndSession({ maxInFlight: 1, maxQueued: 2 })
      const first = yield* start(session, "a")
      const waiting = yield* start(session, "b")
      const last = yield* start(session, "c")
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(waiting)
      yield* held.answer()
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* Fiber.joinAll([first, last])
      assert.deepStrictEqual(textsReceived(server), ["SELECT a", "SELECT c"])
    }))

  it.live("returns at once from an interrupted statement, and frees its place when the server has answered", () =>
    Effect.gen(function*() {
      const { held, server, session } = yield* serverAndSession({ maxInFlight: 1 })
      const interrupted = yield* start(session, "a")
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(interrupted)
      const next = yield* start(session, "b")
      yield* Effect.yieldNow
      assert.deepStrictEqual(textsReceived(server), ["SELECT a"])
      yield* held.answer()
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* Fiber.join(next)
      assert.strictEqual(held.most(), 1)
    }))

  it.live("by default has no more in flight than its connections take", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT/, Reply.void)
      const session = yield* connect(server, { maxRequestsPerConnection: 8 })
      const names = Array.from({ length: 100 }, (_, index) => `n${index}`)
      yield* Effect.forEach(names, (name) => select(session, name), { concurrency: "unbounded" })
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true })("with the default limits", (it) => {
  it.effect("ten thousand concurrent writes and as many concurrent reads all succeed", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE numbers (id int PRIMARY KEY, square int)`
      const ids = Array.from({ length: 10_000 }, (_, id) => id)
      const allAtOnce = { concurrency: "unbounded" } as const
      yield* Effect.forEach(ids, (id) => cql`INSERT INTO numbers (id, square) VALUES (${id}, ${id * id})`, allAtOnce)
      const rows = yield* Effect.forEach(ids, (id) => cql`SELECT square FROM numbers WHERE id = ${id}`.one, allAtOnce)
      assert.deepStrictEqual(rows.map((row) => row["square"]), ids.map((id) => id * id))
    }))
})
