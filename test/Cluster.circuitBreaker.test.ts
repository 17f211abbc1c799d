/**
 * The circuit breaker of a cluster: what opens it, what it lets through, and whom it concerns. What was asked is counted by
 * the scripted servers. Time is Effect's TestClock, which the breaker goes by.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { CqlError } from "../src/index.ts"
import { Cluster, CqlRetry, Session, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, optionsFor, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const { withOptions } = Statement

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

const numbers = [{ name: "n", type: "int" }]

const one = Reply.rows({ columns: numbers, rows: [[1]] })

const overloaded = Reply.overloaded("busy")

/** One failure opens it. */
const fragile = { size: 1, failureRate: 1 } as const

/** Nothing is tried again, and closing waits for nobody, unless a test says so. */
const opened = Effect.fnUntraced(function*(circuitBreaker: Cluster.CircuitBreaker, options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.on("SELECT good", one)
  server.on("SELECT bad", overloaded)
  const session = yield* connect(server, {
    circuitBreaker,
    retry: CqlRetry.none,
    shutdownTimeout: "20 millis",
    ...options
  })
  const { cql } = session
  return {
    ...session,
    server,
    session,
    good: cql`SELECT good`,
    bad: reasonOf("Overloaded")(cql`SELECT bad`),
    refused: reasonOf("CircuitOpen")(cql`SELECT good`),
    /** All statements that have reached the server. */
    asked: () => server.received(() => true).length
  }
})

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(numbered(count), () => effect, { discard: true })

describe("a circuit breaker", () => {
  it.live("is none unless it is asked for", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(() => true, overloaded)
      const { cql, core } = yield* connect(server, { retry: CqlRetry.none })
      assert.isUndefined(core.shared.breaker)
      yield* times(200, reasonOf("Overloaded")(cql`SELECT n`))
      assert.lengthOf(server.received("SELECT n"), 200)
    }))

  it.effect("opens when half of a hundred have failed, for five seconds, where nothing else is said", () =>
    Effect.gen(function*() {
      const { asked, bad, good, refused } = yield* opened({})
      yield* times(50, good)
      yield* times(49, bad)
      yield* good
      yield* bad
      assert.deepStrictEqual(yield* refused, yield* refused)
      assert.strictEqual((yield* refused).retryAfterMillis, 5000)
      assert.strictEqual(asked(), 101)
    }))

  it.effect("does not open before so many were asked, though all of them have failed", () =>
    Effect.gen(function*() {
      const { bad, refused } = yield* opened({ size: 10, failureRate: 0.1 })
      yield* times(9, bad)
      yield* bad
      yield* refused
    }))

  for (const [failureRate, most] of [[0.1, 0], [0.3, 2], [0.5, 4], [0.55, 5], [1, 9]] as const) {
    it.effect(`with a failureRate of ${failureRate} stays closed while ${most} of the last 10 have failed, and no more`, () =>
      Effect.gen(function*() {
        const { bad, good, refused } = yield* opened({ size: 10, failureRate })
        yield* times(10 - most, good)
        yield* times(most, bad)
        // Those that are long past are of no matter.
        yield* times(20, good)
        yield* times(10 - most, good)
        yield* times(most, bad)
        yield* bad
        yield* refused
      }))
  }

  it.effect("sends nothing while it is open, and tells when to come again", () =>
    Effect.gen(function*() {
      const { asked, bad, cql, refused, server, session } = yield* opened({ ...fragile, openDuration: "10 seconds" })
      yield* bad
      yield* server.clearRequests
      assert.deepInclude(yield* refused, { retryAfterMillis: 10_000 })
      yield* TestClock.adjust("4 seconds")
      const reason = yield* refused
      assert.deepInclude(reason, { retryAfterMillis: 6000 })
      assert.include(reason.message, "the next try is in 6000 ms")
      const error = yield* Effect.flip(cql`SELECT good`)
      assert.strictEqual(error.statement, "SELECT good")
      assert.deepStrictEqual(error.attempts, [])
      const everything: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        cql`SELECT good`.first,
        cql`SELECT good`.one,
        cql`SELECT good`.result,
        cql`SELECT good WHERE k = ${"x"}`,
        cql`INSERT a IF NOT EXISTS`.applied,
        Stream.runDrain(cql`SELECT good`.stream),
        Stream.runDrain(cql`SELECT good`.pages),
        Statement.batch([cql`INSERT a`]),
        Statement.batch([cql`INSERT a IF NOT EXISTS`]).applied,
        Statement.prepare(cql`SELECT good WHERE k = ${"x"}`),
        session.cluster.tables("shop")
      ]
      for (const effect of everything) yield* reasonOf("CircuitOpen")(effect)
      yield* times(1000, refused)
      assert.strictEqual(asked(), 0)
      assert.deepStrictEqual(server.requests, [])
      yield* TestClock.adjust("5999 millis")
      assert.deepInclude(yield* refused, { retryAfterMillis: 1 })
      assert.strictEqual(session.core.inFlight, 0)
    }))

  it.effect("lets one through when its time has come, and all the others when that has succeeded", () =>
    Effect.gen(function*() {
      const { asked, bad, good, refused, server } = yield* opened(fragile)
      yield* bad
      yield* TestClock.adjust("5 seconds")
      const held = hold(server, "SELECT good", one)
      const trying = yield* Effect.forkChild(good)
      yield* held.awaitHeld(1)
      const { message, retryAfterMillis } = yield* refused
      assert.strictEqual(retryAfterMillis, 0)
      assert.include(message, "one statement is trying")
      yield* times(20, refused)
      assert.strictEqual(asked(), 2)
      yield* held.answer()
      yield* Fiber.join(trying)
      server.on("SELECT good", one)
      yield* Effect.all(numbered(50).map(() => good), allAtOnce)
      assert.strictEqual(asked(), 52)
    }))

  it.effect("opens again when that one fails, for as long as the first time", () =>
    Effect.gen(function*() {
      const { asked, bad, good, refused } = yield* opened({ ...fragile, openDuration: "1 second" })
      yield* bad
      for (const _ of [1, 2, 3]) {
        assert.deepInclude(yield* refused, { retryAfterMillis: 1000 })
        yield* TestClock.adjust("1 second")
        yield* bad
      }
      yield* TestClock.adjust("1 second")
      yield* good
      yield* good
      assert.strictEqual(asked(), 6)
    }))

  it.effect("stays open longer each time in a row, by a schedule, and begins anew once it was closed as long", () =>
    Effect.gen(function*() {
      const openDuration = Schedule.exponential("1 second")
      const { bad, good, refused } = yield* opened({ ...fragile, openDuration })
      for (const _ of [1, 2]) {
        yield* bad
        for (const retryAfterMillis of [1000, 2000, 4000]) {
          assert.deepInclude(yield* refused, { retryAfterMillis })
          yield* TestClock.adjust(retryAfterMillis)
          yield* bad
        }
        yield* TestClock.adjust("8 seconds")
        yield* good
        yield* TestClock.adjust("8 seconds")
      }
    }))

  it.effect("lets another one through where the one that tries is interrupted", () =>
    Effect.gen(function*() {
      const { bad, good, refused, server } = yield* opened(fragile)
      yield* bad
      yield* TestClock.adjust("5 seconds")
      const held = hold(server, "SELECT good", one)
      const trying = yield* Effect.forkChild(good)
      yield* held.awaitHeld(1)
      yield* refused
      yield* Fiber.interrupt(trying)
      const again = yield* Effect.forkChild(good)
      yield* held.awaitHeld(2)
      yield* refused
      yield* held.answer(2)
      yield* Fiber.join(again)
      server.on("SELECT good", one)
      yield* good
    }))

  it.effect("lets those go on that are under way when it opens, and no others", () =>
    Effect.gen(function*() {
      const { asked, bad, good, refused, server } = yield* opened(fragile)
      const held = hold(server, "SELECT good", one)
      const before = yield* Effect.forkChild(Effect.all(numbered(20).map(() => good), allAtOnce))
      yield* held.awaitHeld(20)
      yield* bad
      yield* refused
      yield* held.answer(20)
      yield* Fiber.join(before)
      // What they tell is of the time before.
      yield* refused
      assert.strictEqual(asked(), 21)
    }))

  it.effect("refuses the rest of a thousand at once as soon as enough have failed", () =>
    Effect.gen(function*() {
      const all = yield* opened({ size: 100, failureRate: 0.5 }, { maxInFlight: 10 })
      const { cql, server, session } = all
      server.on(/^SELECT \d/, overloaded)
      const exits = yield* Effect.forEach(
        numbered(1000),
        (n) => Effect.flip(cql`SELECT ${cql.unsafe(String(n))}`),
        { concurrency: 10 }
      )
      const tags = exits.map(({ reason }) => reason._tag)
      assert.deepStrictEqual(new Set(tags), new Set(["Overloaded", "CircuitOpen"]))
      const reached = server.received(/^SELECT \d/).length
      assert.strictEqual(tags.filter((tag) => tag === "Overloaded").length, reached)
      assert.isAtLeast(reached, 100)
      assert.isAtMost(reached, 110)
      yield* Effect.yieldNow
      assert.strictEqual(session.core.inFlight, 0)
    }))
})

// --- what counts

type Cql = Session["Service"]["cql"]

type Opened = Effect.Success<ReturnType<typeof opened>>

const acknowledged = { received: 0, blockFor: 1 }

const failures: Readonly<Record<string, Reply.Reply>> = {
  ServerError: Reply.serverError("broken"),
  Overloaded: overloaded,
  Bootstrapping: Reply.bootstrapping("soon"),
  Unavailable: Reply.unavailable({ required: 2, alive: 1 }),
  ReadTimeout: Reply.readTimeout(acknowledged),
  WriteTimeout: Reply.writeTimeout(acknowledged),
  CasWriteUnknown: Reply.writeTimeout({ ...acknowledged, writeType: "CAS" }),
  ReadFailure: Reply.readFailure({ ...acknowledged, failures: 1 }),
  WriteFailure: Reply.writeFailure({ ...acknowledged, failures: 1 }),
  ConnectionError: Reply.close
}

const answers: Readonly<Record<string, Reply.Reply>> = {
  CqlSyntaxError: Reply.syntax("line 1:0 no viable alternative"),
  InvalidQuery: Reply.invalid("no such table"),
  Unauthorized: Reply.unauthorized("no"),
  AlreadyExists: Reply.alreadyExists({ keyspace: "shop" }),
  FunctionFailure: Reply.functionFailure({ keyspace: "shop", functionName: "f", argumentTypes: [] })
}

describe("a failure", () => {
  for (const [tag, reply] of Object.entries(failures)) {
    it.live(`(${tag}) counts`, () =>
      Effect.gen(function*() {
        const { asked, cql, good, server } = yield* opened(fragile, { connectionsPerNode: 2 })
        yield* good
        server.on("INSERT a", reply)
        const error = yield* Effect.flip(cql`INSERT a`)
        assert.strictEqual(error.reason._tag, tag)
        yield* reasonOf("CircuitOpen")(good)
        assert.strictEqual(asked(), 2)
      }))
  }

  it.live("(ClientTimeout) of an attempt, of preparing and of the whole counts", () =>
    Effect.gen(function*() {
      const options = {
        attempt: { attemptTimeout: "20 millis" },
        prepare: { attemptTimeout: "20 millis" },
        operation: { timeout: "20 millis" }
      } as const
      for (const phase of ["attempt", "prepare", "operation"] as const) {
        const { cql, good, server } = yield* opened(fragile, options[phase])
        server.on(/INSERT/, Reply.silence, ["query", "prepare"])
        const insert = phase === "prepare" ? cql`INSERT b ${"x"}` : cql`INSERT a`
        assert.strictEqual((yield* reasonOf("ClientTimeout")(insert)).phase, phase)
        yield* reasonOf("CircuitOpen")(good)
      }
    }))

  it.live("(NoHostAvailable) counts", () =>
    Effect.gen(function*() {
      const all = yield* opened(fragile, { reconnectDelay: { base: "10 minutes", max: "10 minutes" } })
      yield* all.server.refuse
      yield* untilNode("hostDown", all.session, all.server.dropConnections)
      yield* reasonOf("NoHostAvailable")(all.good)
      yield* reasonOf("CircuitOpen")(all.good)
    }))

  for (const [tag, reply] of Object.entries(answers)) {
    it.effect(`(${tag}) is an answer: it does not open it, and it is one that has succeeded`, () =>
      Effect.gen(function*() {
        const { cql, good, server } = yield* opened(fragile)
        server.on("INSERT a", reply)
        yield* times(5, Effect.map(Effect.flip(cql`INSERT a`), ({ reason }) => assert.strictEqual(reason._tag, tag)))
        yield* good
        // One of two have failed, whatever stands between.
        const half = yield* opened({ size: 2, failureRate: 1 })
        half.server.on("INSERT a", reply)
        yield* half.bad
        yield* Effect.flip(half.cql`INSERT a`)
        yield* half.bad
        yield* half.good
      }))
  }

  const ofReader: Readonly<Record<string, (all: Opened) => Effect.Effect<unknown, unknown>>> = {
    "SchemaError": ({ cql }) => cql(Schema.Struct({ n: Schema.String }))`SELECT good`,
    "TooManyRows": ({ cql }) => cql`SELECT two`.pipe(withOptions({ maxRows: 1 })),
    "NoSuchElementError": ({ cql }) => cql`SELECT none`.one,
    "InvalidParameter": ({ cql }) => cql`INSERT b ${12n}`
  }

  for (const [name, read] of Object.entries(ofReader)) {
    it.effect(`(${name}) of what was made of an answer does not open it`, () =>
      Effect.gen(function*() {
        const all = yield* opened(fragile)
        all.server.on("SELECT two", Reply.rows({ columns: numbers, rows: [[1], [2]] }))
        all.server.on("SELECT none", Reply.rows({ columns: numbers, rows: [] }))
        const error = yield* Effect.flip(read(all)) as Effect.Effect<
          CqlError | Schema.SchemaError | Cause.NoSuchElementError
        >
        assert.strictEqual(error._tag === "CqlError" ? error.reason._tag : error._tag, name)
        yield* all.good
      }))
  }

  it.effect("of one who was interrupted is none, however often", () =>
    Effect.gen(function*() {
      const { good, server } = yield* opened(fragile)
      const held = hold(server, "SELECT good", one)
      for (const count of [1, 2, 3]) {
        const fiber = yield* Effect.forkChild(good)
        yield* held.awaitHeld(count)
        yield* Fiber.interrupt(fiber)
      }
      yield* held.answer(3)
      server.on("SELECT good", one)
      yield* good
    }))

  it.effect("of one who was not admitted says nothing: neither does it open it nor does it close it", () =>
    Effect.gen(function*() {
      const all = yield* opened({ size: 2, failureRate: 1 }, { maxInFlight: 1, maxQueued: 0 })
      const held = hold(all.server, "SELECT held", one)
      yield* all.bad
      const first = yield* Effect.forkChild(all.cql`SELECT held`)
      yield* held.awaitHeld(1)
      yield* times(10, reasonOf("AdmissionRefused")(all.good))
      yield* Fiber.interrupt(first)
      yield* held.answer()
      yield* Effect.yieldNow
      yield* Effect.repeat(Effect.yieldNow, { until: () => all.session.core.inFlight === 0 })
      // The second in a row that says something.
      yield* all.bad
      yield* all.refused
    }))

  it.live("of one whose turn has not come in time says nothing", () =>
    Effect.gen(function*() {
      const all = yield* opened(fragile, { maxInFlight: 1 })
      const held = hold(all.server, "SELECT held", one)
      const first = yield* Effect.forkChild(all.cql`SELECT held`)
      yield* held.awaitHeld(1)
      const { phase } = yield* reasonOf("ClientTimeout")(all.good.pipe(withOptions({ timeout: "20 millis" })))
      assert.strictEqual(phase, "queue")
      yield* held.answer()
      yield* Fiber.join(first)
      yield* all.good
    }))

  it.effect("of a session that is closed says nothing to those of the cluster that are open", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT good", one)
      const cluster = yield* Cluster.make({ ...optionsFor(server), circuitBreaker: fragile })
      const scope = yield* Scope.make()
      const make = Session.makeFrom().pipe(Effect.provideService(Cluster, cluster))
      const closed = yield* Scope.provide(make, scope)
      const open = yield* make
      yield* Scope.close(scope, Exit.void)
      yield* times(5, reasonOf("SessionClosed")(closed.cql`SELECT good`))
      yield* open.cql`SELECT good`
    }))
})

describe("what is of no matter to it, and passes while it is open", () => {
  it.effect("is what is asked of one node", () =>
    Effect.gen(function*() {
      const { bad, cql, good, refused, server } = yield* opened(fragile)
      const pinned = { node: server.hostId }
      yield* times(3, reasonOf("Overloaded")(cql`SELECT bad`.pipe(withOptions(pinned))))
      yield* times(3, reasonOf("NoHostAvailable")(cql`SELECT good`.pipe(withOptions({ node: "10.9.9.9:9042" }))))
      yield* times(3, reasonOf("Overloaded")(Statement.batch([cql`SELECT bad`]).pipe(withOptions(pinned))))
      yield* good
      yield* bad
      yield* refused
      yield* cql`SELECT good`.pipe(withOptions(pinned))
      yield* Statement.batch([cql`SELECT good`]).pipe(withOptions(pinned))
      yield* Stream.runDrain(cql`SELECT good`.pipe(withOptions(pinned)).stream)
      // Nor does it close it.
      yield* refused
    }))

  it.live("is what is asked before there is a connection", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT good", one)
      yield* server.refuse
      const session = yield* connect(server, {
        circuitBreaker: fragile,
        retry: CqlRetry.none,
        connectInBackground: true,
        connectSchedule: Schedule.spaced("5 millis")
      })
      const good = session.cql`SELECT good`
      yield* times(
        5,
        Effect.map(Effect.flip(good), (error) => {
          assert.isTrue(error._tag === "CqlError")
          assert.notStrictEqual((error as CqlError).reason._tag, "CircuitOpen")
        })
      )
      yield* server.accept
      yield* Effect.repeat(Effect.yieldNow, { until: () => session.core.shared.notConnected === undefined })
      yield* good
    }))
})

describe("what counts once", () => {
  it.live("is a statement with all its attempts", () =>
    Effect.gen(function*() {
      const retry = CqlRetry.make({ schedule: Schedule.recurs(4) })
      const { asked, cql } = yield* opened({ size: 3, failureRate: 1 }, { retry })
      const bad = cql`SELECT bad`.pipe(withOptions({ idempotent: true }))
      yield* times(3, reasonOf("Overloaded")(bad))
      assert.strictEqual(asked(), 15)
      yield* reasonOf("CircuitOpen")(bad)
      assert.strictEqual(asked(), 15)
    }))

  it.live("is a statement that was tried again with success, as such", () =>
    Effect.gen(function*() {
      const retry = CqlRetry.make({ schedule: Schedule.recurs(4) })
      const { cql, server } = yield* opened(fragile, { retry })
      server.on("SELECT n", ({ attempt }) => attempt % 3 === 0 ? one : overloaded)
      yield* times(5, cql`SELECT n`.pipe(withOptions({ idempotent: true })))
    }))

  it.effect("is not tried again when it is refused, whatever the policy says", () =>
    Effect.gen(function*() {
      let decisions = 0
      const retry = CqlRetry.make({
        decide: () => {
          decisions++
          return "retryNow"
        },
        schedule: Schedule.recurs(2)
      })
      const { asked, bad, cql } = yield* opened(fragile)
      yield* bad
      yield* reasonOf("CircuitOpen")(cql`SELECT good`.pipe(withOptions({ idempotent: true, retry })))
      assert.deepStrictEqual([asked(), decisions], [1, 0])
    }))

  const pages = numbered(5).map((n) => [[n]])

  /** One of three opens it: so it would after the third page, if each counted. */
  const third = { size: 3, failureRate: 0.3 } as const

  const collected: Readonly<Record<string, (cql: Cql) => Effect.Effect<unknown, unknown>>> = {
    "all rows": (cql) => cql`SELECT paged`,
    "the result": (cql) => cql`SELECT paged`.result,
    "the first row": (cql) => cql`SELECT sparse`.first,
    "one row": (cql) => cql`SELECT sparse`.one
  }

  for (const [name, read] of Object.entries(collected)) {
    it.effect(`is a result of many pages: ${name}`, () =>
      Effect.gen(function*() {
        const { bad, cql, good, refused, server } = yield* opened(third)
        server.on("SELECT paged", Reply.pages({ columns: numbers, pages }))
        server.on("SELECT sparse", Reply.pages({ columns: numbers, pages: [[], [], [], [[1]]] }))
        yield* bad
        yield* read(cql)
        // The third, and one of them has failed.
        yield* good
        yield* refused
      }))

    it.effect(`is a result of which a later page fails: ${name}`, () =>
      Effect.gen(function*() {
        const { cql, good, refused, server } = yield* opened({ size: 2, failureRate: 0.5 })
        const [paged, sparse] = [pages, [[], [], [], [[1]]]].map((pages) => Reply.pages({ columns: numbers, pages }))
        const isThird = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() === 2
        server.on("SELECT paged", (request) => isThird(request) ? overloaded : paged!(request))
        server.on("SELECT sparse", (request) => isThird(request) ? overloaded : sparse!(request))
        yield* reasonOf("Overloaded")(read(cql))
        yield* good
        yield* refused
      }))
  }

  it.effect("is each page of a stream: one of them may open it, and end the stream", () =>
    Effect.gen(function*() {
      const { asked, bad, cql, refused, server } = yield* opened({ size: 3, failureRate: 0.5 })
      server.on("SELECT paged", Reply.pages({ columns: numbers, pages }))
      const rows: Array<unknown> = []
      // Two of the last three have failed then.
      const stream = Stream.tap(cql`SELECT paged`.stream, ({ n }) => {
        rows.push(n)
        return n === 0 ? Effect.andThen(bad, bad) : Effect.void
      })
      yield* reasonOf("CircuitOpen")(Stream.runDrain(stream))
      assert.deepStrictEqual(rows, [0])
      yield* refused
      assert.strictEqual(asked(), 3)
    }))

  it.effect("is each page of a stream: one that fails counts", () =>
    Effect.gen(function*() {
      const { cql, refused, server } = yield* opened(fragile)
      const paged = Reply.pages({ columns: numbers, pages })
      server.on("SELECT paged", (request) => request.pageState?.readInt32BE() === 2 ? overloaded : paged(request))
      yield* reasonOf("Overloaded")(Stream.runDrain(cql`SELECT paged`.stream))
      yield* refused
    }))
})

// --- whom it concerns

describe("all sessions of a cluster", () => {
  it.effect("share it, those of other keyspaces too, and no other cluster does", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT good", one)
      server.on("SELECT bad", overloaded)
      const options = { ...optionsFor(server), circuitBreaker: { size: 3, failureRate: 1 } }
      const cluster = yield* Cluster.make(options)
      const other = yield* Cluster.make(options)
      const open = (cluster: Cluster["Service"], keyspace?: string) =>
        Session.makeFrom({ keyspace, retry: CqlRetry.none }).pipe(Effect.provideService(Cluster, cluster))
      const sessions = yield* Effect.forEach([undefined, "a", "b"], (keyspace) => open(cluster, keyspace))
      const [apart] = yield* Effect.all([open(other, "a")])
      for (const { cql } of sessions) yield* reasonOf("Overloaded")(cql`SELECT bad`)
      const late = yield* open(cluster, "c")
      for (const { cql } of [...sessions, late]) yield* reasonOf("CircuitOpen")(cql`SELECT good`)
      yield* reasonOf("CircuitOpen")(cluster.keyspaces)
      yield* apart!.cql`SELECT good`
      yield* TestClock.adjust("5 seconds")
      yield* sessions[1]!.cql`SELECT good`
      for (const { cql } of [...sessions, late]) yield* cql`SELECT good`
    }))
})

// --- options

describe("options of a circuit breaker", () => {
  const refused: ReadonlyArray<readonly [field: string, values: ReadonlyArray<unknown>]> = [
    ["circuitBreaker", [null, true, false, 5, "on"]],
    ["circuitBreaker.failureRate", [0, -0.5, 1.001, 50, NaN, Infinity, null].map((failureRate) => ({ failureRate }))],
    ["circuitBreaker.size", [0, -1, 1.5, 1_000_001, NaN, Infinity, "10", null].map((size) => ({ size }))],
    [
      "circuitBreaker.openDuration",
      [0, -1, NaN, Infinity, "soon", "25 days", null, {}].map((openDuration) => ({ openDuration }))
    ]
  ]

  for (const [field, values] of refused) {
    it.live(`that make no sense are refused, before anything is opened: ${field}`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        for (const value of values) {
          const circuitBreaker = value as Cluster.CircuitBreaker
          const options = { ...optionsFor(server), circuitBreaker }
          for (const make of [Cluster.make(options), Session.make(options)]) {
            const reason = yield* reasonOf("InvalidConfig")(make as Effect.Effect<unknown, CqlError, Scope.Scope>)
            assert.strictEqual(reason.field, field, JSON.stringify(value))
          }
        }
        assert.strictEqual(server.accepted(), 0)
      }))
  }

  it.live("on the edge are taken", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const edges: ReadonlyArray<Cluster.CircuitBreaker> = [
        {},
        { failureRate: undefined, size: undefined, openDuration: undefined },
        { failureRate: Number.MIN_VALUE, size: 1, openDuration: 1 },
        { failureRate: 1, size: 1_000_000, openDuration: "24 days" },
        { openDuration: Schedule.recurs(0) },
        { openDuration: Schedule.exponential("1 second") }
      ]
      for (const circuitBreaker of edges) {
        const { core } = yield* connect(server, { circuitBreaker })
        assert.isDefined(core.shared.breaker)
      }
    }))
})
