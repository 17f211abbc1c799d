import { assert, describe, it, onTestFinished, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Cluster, cql, CqlRetry, Session, Statement } from "../../src/index.ts"
import { AdaptiveLimit } from "../../src/internal/adaptiveLimit.ts"
import { Admission } from "../../src/internal/admission.ts"
import { CassandraServer } from "../../src/testing/index.ts"
import * as Keyspace from "../support/keyspace.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, reasonOf } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import type { Load } from "../support/SimulatedServer.ts"
import { simulate } from "../support/SimulatedServer.ts"

/** Time stands still until the test says otherwise. */
const clockAt = (millis: number) => {
  const clock = vi.spyOn(performance, "now").mockReturnValue(millis)
  onTestFinished(() => clock.mockRestore())
  return clock
}

const waiter = (admitted: () => void, deadline = Infinity) => ({ admitted, deadline })

describe("Admission", () => {
  const waiterInto = (log: Array<string>, name: string) => waiter(() => void log.push(name))

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
    admission.enqueue(waiter(() => {
      admission.leave()
      assert.isFalse(admission.tryEnter())
    }))
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
    for (let count = 0; count < 100_000; count++) admission.enqueue(waiter(() => admission.leave()))
    admission.leave()
    assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
  })
})

describe("Admission of those with little time", () => {
  const nobody = (patienceMillis = Infinity) => waiter(() => undefined, performance.now() + patienceMillis)

  /** One place, a thousand who wait, and a second in which one was answered every ten milliseconds. */
  const busy = () => {
    const clock = clockAt(5000)
    const admission = new Admission(1, Infinity)
    admission.tryEnter()
    for (let count = 0; count < 1000; count++) admission.enqueue(nobody(1000))
    const answer = (count: number): void => {
      for (; count > 0; count--) {
        admission.pace.answered(performance.now())
        admission.leave()
      }
    }
    answer(100)
    clock.mockReturnValue(6000)
    return { admission, clock, answer }
  }

  it("takes all of them before anything was answered, for nothing is known", () => {
    const { admission } = busy()
    assert.strictEqual(admission.queued, 900)
  })

  it("refuses who would not be answered in time, and takes who would", () => {
    const { admission } = busy()
    assert.isFalse(admission.enqueue(nobody(1000)))
    assert.isFalse(admission.enqueue(nobody(10_000)))
    assert.isTrue(admission.enqueue(nobody(19_000)))
    assert.isTrue(admission.enqueue(nobody()))
    assert.strictEqual(admission.queued, 902)
  })

  it("takes them again when the queue is short", () => {
    const { admission, answer } = busy()
    assert.isFalse(admission.enqueue(nobody(1000)))
    answer(860)
    assert.isTrue(admission.enqueue(nobody(1000)))
  })

  it("goes by the pace of now: what is given up frees a place, and is not answered", () => {
    const { admission, answer, clock } = busy()
    assert.isTrue(admission.enqueue(nobody(19_000)))
    answer(20)
    for (let count = 0; count < 500; count++) admission.leave()
    clock.mockReturnValue(10_000)
    assert.isFalse(admission.enqueue(nobody(19_000)))
  })

  it("knows nothing of the pace of a new queue", () => {
    const { admission, answer } = busy()
    assert.isFalse(admission.enqueue(nobody(1000)))
    answer(901)
    assert.isTrue(admission.tryEnter())
    for (let count = 0; count < 1000; count++) assert.isTrue(admission.enqueue(nobody(1000)))
  })
})

describe("Admission of what was given up", () => {
  /** Gives one up that is in flight; called back by what is returned. */
  const giveUp = (admission: Admission): () => void => {
    let over: (() => void) | undefined
    admission.leaveLate((end) => {
      over = end
    })
    return () => over!()
  }

  const full = (limit: number) => {
    const admission = new Admission(limit, Infinity)
    while (admission.tryEnter());
    return admission
  }

  it("keeps its place until it is over, and gives it back once, to who has waited longest", () => {
    const admission = full(2)
    const admitted: Array<string> = []
    for (const name of ["a", "b"]) admission.enqueue(waiter(() => void admitted.push(name)))
    const over = giveUp(admission)
    assert.deepStrictEqual([admission.inFlight, admitted], [2, []])
    over()
    assert.deepStrictEqual(admitted, ["a"])
    over()
    assert.deepStrictEqual([admission.inFlight, admitted], [2, ["a"]])
  })

  it("gives it back at once where it is over by then", () => {
    const admission = full(2)
    admission.leaveLate((over) => over())
    assert.strictEqual(admission.inFlight, 1)
  })

  it("never holds more than half of the limit: the oldest gives its place back, and does so once", () => {
    const admission = full(8)
    const overs = Array.from({ length: 7 }, () => giveUp(admission))
    assert.strictEqual(admission.inFlight, 5)
    for (const over of overs) over()
    assert.strictEqual(admission.inFlight, 1)
  })

  it("holds no place where one request is all that may be in flight, lest all have to wait for a lost answer", () => {
    const admission = full(1)
    const over = giveUp(admission)
    assert.strictEqual(admission.inFlight, 0)
    over()
    assert.strictEqual(admission.inFlight, 0)
  })

  it("is not waited for any longer than a server works on it", () => {
    const clock = clockAt(1000)
    const admission = full(8)
    const first = giveUp(admission)
    clock.mockReturnValue(11_000)
    giveUp(admission)
    clock.mockReturnValue(20_999)
    assert.isFalse(admission.tryEnter())
    clock.mockReturnValue(21_001)
    assert.isTrue(admission.tryEnter())
    assert.isFalse(admission.tryEnter())
    clock.mockReturnValue(31_001)
    assert.isTrue(admission.tryEnter())
    first()
    assert.strictEqual(admission.inFlight, 8)
  })
})

/**
 * By simulation, with what a session has by default: 1,024 in flight, and here 16,384 who may wait. Of a server that is
 * asked for more than it can do, what it does has to be of use to somebody.
 */
describe("Admission in front of a server", () => {
  const run = (load: Omit<Load, "admission" | "setNow">, admission = new Admission(1024, 16_384)) => {
    const clock = clockAt(0)
    return simulate({ admission, setNow: (millis) => void clock.mockReturnValue(millis), ...load })
  }

  const overload = { perSecond: 500, workers: 8, arrivalsPerSecond: 2000, seconds: 30 }

  const overloads: Readonly<Record<string, Partial<Load>>> = {
    "": {},
    ", in bursts of a hundred": { burst: 100 },
    ", which has one worker": { workers: 1 },
    ", which has 64 workers": { workers: 64 }
  }

  for (const [name, load] of Object.entries(overloads)) {
    for (const seed of [1, 2, 3]) {
      it(`of four times what it can do has nine tenths of that answered in time${name}; seed ${seed}`, () => {
        const counts = run({ ...overload, ...load, seed })
        assert.isAtLeast(counts.inTime, 0.9 * overload.perSecond * overload.seconds)
        assert.isAtMost(counts.mostAtServer, 1024)
        const { arrived, givenUp, inTime, refused, timedOutInQueue } = counts
        assert.isAtMost(arrived - inTime - refused - givenUp - timedOutInQueue, 1024)
      })
    }
  }

  // What is given up is all there is to tell it by.
  for (const seed of [1, 2, 3]) {
    it(`of twice what it can do has most of that answered in time, where the limit is never reached; seed ${seed}`, () => {
      const { inTime, mostAtServer } = run({ ...overload, arrivalsPerSecond: 1000, seed }, new Admission(4096, 16_384))
      assert.isBelow(mostAtServer, 4096)
      assert.isAtLeast(inTime, 0.85 * overload.perSecond * overload.seconds)
    })
  }

  const slow = { share: 0.3, millis: 2500 }

  const fewEnough: Readonly<Record<string, Omit<Load, "admission" | "setNow">>> = {
    "half of what it can do": { ...overload, arrivalsPerSecond: 250 },
    "nearly what it can do": { ...overload, arrivalsPerSecond: 450 },
    "slow statements of which a third are given up": {
      perSecond: 10_000,
      workers: 2000,
      arrivalsPerSecond: 300,
      slow,
      seconds: 30
    },
    "as many slow statements as may be in flight, of which a third are given up": {
      perSecond: 10_000,
      workers: 2000,
      arrivalsPerSecond: 1000,
      slow,
      seconds: 30
    },
    "slow statements, 200 at a time": { ...overload, workers: 200, arrivalsPerSecond: 250, burst: 200 }
  }

  for (const [name, load] of Object.entries(fewEnough)) {
    for (const seed of [1, 2, 3]) {
      it(`refuses nobody, and lets nobody wait: ${name}; seed ${seed}`, () => {
        const { arrived, refused, timedOutInQueue } = run({ ...load, seed })
        assert.isAbove(arrived, 1000)
        assert.deepStrictEqual({ refused, timedOutInQueue }, { refused: 0, timedOutInQueue: 0 })
      })
    }
  }
})

describe("Admission with an adaptive limit", () => {
  /** As a server does that takes as long for however many. */
  const answer = (admission: Admission): void => {
    admission.sample(1, false)
    admission.leave()
  }

  it("lets more of those in who wait when the limit goes up", () => {
    const admission = new Admission(new AdaptiveLimit({ min: 1, max: 1000 }), Infinity)
    const first = admission.limit
    let admitted = 0
    for (let count = 0; count < 10_000; count++) admission.enqueue(waiter(() => void admitted++))
    admission.inFlight++
    answer(admission)
    assert.strictEqual(admission.inFlight, first)
    let most = first
    while (admission.queued > 1000) {
      answer(admission)
      // The limit goes down again, to compare; those in flight do not.
      assert.isAtLeast(admission.inFlight, admission.limit)
      most = Math.max(most, admission.limit)
    }
    assert.isAbove(most, 4 * first)
    assert.isAtLeast(admitted, 9000)
  })

  it("lets nobody in above a limit that went down", () => {
    const admission = new Admission(new AdaptiveLimit({ min: 1, max: 1000 }), Infinity)
    while (admission.tryEnter());
    const first = admission.limit
    for (let count = 0; count < 10_000; count++) admission.sample(1, true)
    assert.strictEqual(admission.limit, 2)
    assert.isFalse(admission.tryEnter())
    for (let left = first; left > 1; left--) {
      assert.isFalse(admission.tryEnter())
      admission.leave()
    }
    assert.isTrue(admission.tryEnter())
  })

  it("takes no notice of samples where the limit is fixed", () => {
    const admission = new Admission(10, 10)
    for (let count = 0; count < 10_000; count++) admission.sample(1, true)
    assert.strictEqual(admission.limit, 10)
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

  it.live("with an adaptive limit sends fewer at a time while the server says that it has too much", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const held = hold(server, /^SELECT held/)
      server.on(/^SELECT refused/, Reply.overloaded("too much"))
      const session = yield* connect(server, { adaptiveInFlight: { min: 4 }, retry: CqlRetry.none })
      const refused = Effect.flip(select(session, "refused"))
      for (let count = 0; count < 2000; count++) yield* refused
      const all = yield* Effect.forEach(Array.from({ length: 20 }, () => "held"), (name) => start(session, name))
      for (let left = 20; left > 0; left--) {
        yield* held.awaitHeld(1)
        yield* held.answer()
      }
      yield* Fiber.joinAll(all)
      assert.isAtMost(held.most(), 6)
    }))

  it.effect("refuses options of an adaptive limit that make no sense", () =>
    Effect.gen(function*() {
      for (const adaptiveInFlight of [{ min: 0 }, { min: 1.5 }, { min: "8" }, null, 8]) {
        const options = { contactPoints: ["127.0.0.1"], adaptiveInFlight } as Session.Options
        const { reason } = yield* Effect.flip(Effect.scoped(Session.make(options)))
        assert.strictEqual(reason._tag, "InvalidConfig")
        assert.include(reason.message, "adaptiveInFlight")
      }
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

it.layer(CassandraServer.layer(), { excludeTestServices: true })("with an adaptive limit", (it) => {
  it.effect("ten thousand concurrent reads all succeed, and the limit moves between its bounds", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const session = yield* Session.make({
        ...CassandraServer.toClusterOptions(server),
        adaptiveInFlight: { min: 4 },
        maxInFlight: 100
      })
      const { admission } = yield* session.cluster.share(undefined)
      const limits = new Set<number>()
      const read = Effect.tap(session.cql`SELECT key FROM system.local`, () => {
        limits.add(admission.limit)
        return Effect.void
      })
      yield* Effect.forEach(Array.from({ length: 10_000 }), () => read, { concurrency: "unbounded", discard: true })
      assert.isAbove(limits.size, 1)
      assert.isAtLeast(Math.min(...limits), 4)
      assert.isAtMost(Math.max(...limits), 100)
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
