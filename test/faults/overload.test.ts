/**
 * More than a session can take: what is refused is refused at once and by name, nothing else fails, and nothing grows.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Session } from "../../src/index.ts"
import { CqlRetry, Statement } from "../../src/index.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, reasonOf } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import * as Child from "./support/child.ts"
import type { Report } from "./support/overloadProgram.ts"

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

const mebibyte = 2 ** 20

describe("four times the load that a session can take, for seconds", () => {
  it.live(
    "is answered, or refused at once with its counts; limits are kept, and the heap does not grow",
    () =>
      Effect.gen(function*() {
        const report = yield* Child.run<Report>("overload")
        const { heapAfter, heapBefore, offered, refusedAtOnce, succeeded, timedOutInQueue } = report
        assert.deepStrictEqual([report.others, report.wrong], [[], 0])
        assert.strictEqual(succeeded + refusedAtOnce + timedOutInQueue, offered)
        assert.isAbove(succeeded, 0)
        assert.isAbove(refusedAtOnce, 0)
        // Both limits are reached, and neither is exceeded.
        assert.deepStrictEqual([report.mostInFlight, report.mostQueued], [32, 64])
        assert.deepStrictEqual([report.leftInFlight, report.leftQueued], [0, 0])
        assert.isBelow(heapAfter - heapBefore, 10 * mebibyte)
      }),
    120_000
  )
})

describe("a queue", () => {
  const opened = Effect.fnUntraced(function*(limits: { readonly maxInFlight: number; readonly maxQueued: number }) {
    const server = yield* ScriptedServer.make()
    const { core, cql } = yield* connect(server, limits)
    const select = (id: number) => cql`SELECT ${cql.unsafe(`n${id}`)}`
    return {
      server,
      admission: core.shared.admission,
      select,
      start: (id: number) => Effect.forkChild(select(id), { startImmediately: true }),
      received: () => server.received(/^SELECT/).map(({ query }) => Number(query.slice("SELECT n".length)))
    }
  })

  it.live("is served in the order of arrival, and answers come in that order too", () =>
    Effect.gen(function*() {
      const { admission, received, select, server } = yield* opened({ maxInFlight: 8, maxQueued: 500 })
      server.on(/^SELECT/, Reply.void)
      const answered: Array<number> = []
      const most = { inFlight: 0, queued: 0 }
      yield* Effect.forEach(numbered(508), (id) =>
        Effect.map(select(id), () => {
          answered.push(id)
          most.inFlight = Math.max(most.inFlight, admission.inFlight)
          most.queued = Math.max(most.queued, admission.queued)
        }), allAtOnce)
      assert.deepStrictEqual(received(), numbered(508))
      assert.deepStrictEqual(answered, numbered(508))
      assert.isAtMost(most.inFlight, 8)
      assert.isAtMost(most.queued, 500)
      assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
    }))

  it.live("is left at once by those who are interrupted, and others have their places", () =>
    Effect.gen(function*() {
      const { admission, received, select, server, start } = yield* opened({ maxInFlight: 4, maxQueued: 64 })
      const held = hold(server, /^SELECT/)
      const first = yield* Effect.forEach(numbered(68), start)
      yield* held.awaitHeld(4)
      assert.deepStrictEqual([admission.inFlight, admission.queued], [4, 64])
      const full = yield* reasonOf("AdmissionRefused")(select(1000))
      assert.deepInclude(full, { inFlight: 4, queued: 64, limit: 4 })
      const left = first.slice(4).filter((_, index) => index % 2 === 0)
      yield* Fiber.interruptAll(left)
      assert.deepStrictEqual([admission.inFlight, admission.queued], [4, 32])
      const others = yield* Effect.forEach(numbered(32), (id) => start(100 + id))
      assert.deepStrictEqual([admission.inFlight, admission.queued], [4, 64])
      yield* reasonOf("AdmissionRefused")(select(1000))
      for (let waiting = 68; waiting > 0; waiting--) {
        yield* held.awaitHeld(Math.min(4, waiting))
        yield* held.answer()
      }
      const stayed = first.filter((fiber) => !left.includes(fiber))
      yield* Fiber.joinAll([...stayed, ...others])
      assert.deepStrictEqual(received(), [
        ...numbered(4),
        ...numbered(64).filter((index) => index % 2 === 1).map((index) => 4 + index),
        ...numbered(32).map((id) => 100 + id)
      ])
      assert.deepStrictEqual([admission.inFlight, admission.queued, held.most()], [0, 0, 4])
    }))

  it.live("is left by all whose time is over, unsent, and is as good as new afterwards", () =>
    Effect.gen(function*() {
      const { admission, received, select, server, start } = yield* opened({ maxInFlight: 4, maxQueued: 1000 })
      const held = hold(server, /^SELECT/)
      const first = yield* Effect.forEach(numbered(4), start)
      yield* held.awaitHeld(4)
      const late = yield* Effect.forEach(numbered(1000), (id) => {
        const short = select(100 + id).pipe(Statement.withOptions({ timeout: "100 millis" }))
        return reasonOf("ClientTimeout")(short)
      }, allAtOnce)
      assert.deepStrictEqual(new Set(late.map(({ phase }) => phase)), new Set(["queue"]))
      assert.deepStrictEqual([admission.inFlight, admission.queued], [4, 0])
      yield* held.answer(4)
      yield* Fiber.joinAll(first)
      const next = yield* start(5000)
      yield* held.awaitHeld(1)
      yield* held.answer()
      yield* Fiber.join(next)
      assert.deepStrictEqual(received(), [...numbered(4), 5000])
      assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
    }))

  it.live("keeps the places of those who were interrupted in flight, until the server has answered", () =>
    Effect.gen(function*() {
      const { admission, server, start } = yield* opened({ maxInFlight: 4, maxQueued: 4 })
      const held = hold(server, /^SELECT/)
      const first = yield* Effect.forEach(numbered(4), start)
      yield* held.awaitHeld(4)
      yield* Fiber.interruptAll(first)
      const next = yield* Effect.forEach(numbered(4), (id) => start(10 + id))
      assert.deepStrictEqual([admission.inFlight, admission.queued], [4, 4])
      yield* held.answer(4)
      yield* held.awaitHeld(4)
      yield* held.answer(4)
      yield* Fiber.joinAll(next)
      assert.deepStrictEqual([admission.inFlight, admission.queued, held.most()], [0, 0, 4])
    }))
})

describe("what was given up while the connection answers others", () => {
  const select = (cql: Session["Service"]["cql"], name: string) => cql`SELECT ${cql.unsafe(name)}`

  const opened = Effect.fnUntraced(function*(options: Session.Options) {
    const server = yield* ScriptedServer.make()
    server.on("SELECT ping", Reply.void)
    const session = yield* connect(server, { retry: CqlRetry.none, shutdownTimeout: "20 millis", ...options })
    const { admission } = session.core.shared
    return {
      admission,
      server,
      session,
      ping: select(session.cql, "ping"),
      idle: Effect.repeat(Effect.yieldNow, { until: () => admission.inFlight === 0 })
    }
  })

  /** Answered meanwhile: the connection is not silent. */
  const givenUp = Effect.fnUntraced(function*(
    { ping, server, session }: Effect.Success<ReturnType<typeof opened>>,
    match: string,
    count: number
  ) {
    const short = reasonOf("ClientTimeout")(
      select(session.cql, match).pipe(Statement.withOptions({ timeout: "200 millis" }))
    )
    const late = yield* Effect.forkChild(Effect.forEach(numbered(count), () => short, allAtOnce))
    yield* server.awaitRequest(`SELECT ${match}`, count)
    yield* ping
    yield* Fiber.join(late)
    // A silent one would be seen a turn later.
    yield* Effect.yieldNow
    yield* Effect.yieldNow
  })

  it.live("keeps its places until the late answers come: the server never has more than may be in flight", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 8, connectionsPerNode: 1 })
      const held = hold(all.server, /^SELECT (held|next)/)
      yield* givenUp(all, "held", 4)
      assert.strictEqual(all.admission.inFlight, 4)
      // Nothing that a close would wait for.
      assert.strictEqual(all.session.core.inFlight, 0)
      const next = yield* Effect.forkChild(
        Effect.forEach(numbered(8), () => select(all.session.cql, "next"), allAtOnce)
      )
      yield* held.awaitHeld(8)
      assert.deepStrictEqual([all.admission.inFlight, all.admission.queued], [8, 4])
      yield* held.answer(4)
      yield* held.awaitHeld(8)
      yield* held.answer(8)
      yield* Fiber.join(next)
      assert.strictEqual(held.most(), 8)
      yield* all.idle
    }))

  it.live("has no place any more when its connection is gone", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 8, connectionsPerNode: 1 })
      all.server.on("SELECT lost", Reply.silence)
      yield* givenUp(all, "lost", 3)
      assert.strictEqual(all.admission.inFlight, 3)
      yield* all.server.dropConnections
      yield* all.idle
    }))

  it.live("leaves others the half of the places, where answers are lost", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 4, maxQueued: 100, connectionsPerNode: 1 })
      all.server.on("SELECT lost", Reply.silence)
      for (const count of [3, 2, 2]) {
        yield* givenUp(all, "lost", count)
        assert.isAtMost(all.admission.inFlight, 2)
        yield* all.server.clearRequests
        yield* Effect.forEach(numbered(50), () => all.ping, allAtOnce)
      }
      assert.strictEqual(all.admission.inFlight, 2)
    }))

  it.live("frees its places at once, where the connection is silent", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 8, connectionsPerNode: 1 })
      all.server.on("SELECT lost", Reply.silence)
      const short = select(all.session.cql, "lost").pipe(Statement.withOptions({ timeout: "50 millis" }))
      yield* Effect.forEach(numbered(4), () => reasonOf("ClientTimeout")(short), allAtOnce)
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      assert.strictEqual(all.admission.inFlight, 0)
    }))
})
