/**
 * Hedged statements, as servers and programs see them: when another node is asked as well, whose answer counts, and what
 * becomes of the other one's. Answers are kept back until the test gives them, so that nothing hangs on how long it takes.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import type { Session } from "../src/index.ts"
import { CqlError, CqlRetry, CqlStream, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { connect, openOn, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpListener from "./support/TcpListener.ts"

const { provideOptions, withOptions } = Statement

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

/** Longer than a test may take: who waits for it fails. */
const forEver = "10 minutes"

const soon = { delay: "1 millis" } as const

const patient = { reconnectDelay: { base: forEver, max: forEver } } as const

type Cql = Session["Service"]["cql"]

type Node = ScriptedServer.ScriptedServer

/** A session that hedges nothing by itself, whose nodes share a subnet of this file's own. */
const opened = Effect.fnUntraced(function*(nodes: number, options?: Session.Options) {
  const servers = yield* ScriptedServer.makeCluster({ nodes, subnet: "127.0.90" })
  return yield* openOn(servers, { shutdownTimeout: forEver, ...options })
})

type Opened = Effect.Success<ReturnType<typeof opened>>

const addressOf = ({ host, port }: Node) => `${host}:${port}`

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })

/** In the order in which they came. */
interface Kept extends ScriptedServer.ScriptRequest {
  readonly answer: (reply?: Reply.Reply) => Effect.Effect<void>
}

const numbers = [{ name: "n", type: "int" }]

const row = (n: number) => Reply.rows({ columns: numbers, rows: [[n]] })

/** Keeps back the answer to what matches, until the test gives one. */
const keep = (
  servers: ScriptedServer.Scripts,
  match: ScriptedServer.Match,
  kinds?: ReadonlyArray<ScriptedServer.Kind>
) => {
  const kept: Array<Kept> = []
  const arrivals = TcpListener.makeSignal()
  servers.on(match, (request) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const later = { _tag: "Delay" as const, until: promise, reply: Reply.void as Reply.Reply }
    kept.push({
      ...request,
      answer: (reply = Reply.void) =>
        Effect.sync(() => {
          later.reply = reply
          resolve()
        })
    })
    arrivals.notify()
    return later
  }, kinds)
  return {
    kept,
    awaitKept: (count: number) => arrivals.until(() => kept.length >= count ? kept : undefined)
  }
}

/** What was sent to any node before is there when this has been answered. */
const pingAll = Effect.fnUntraced(function*({ cql, servers }: Opened) {
  const takeBack = servers.on("SELECT ping", Reply.void)
  yield* Effect.forEach(
    servers.nodes,
    ({ hostId }) => cql`SELECT ping`.pipe(withOptions({ node: hostId, hedge: false })),
    allAtOnce
  )
  takeBack()
})

/** Whatever had its delay before this one is begun has had it when this one is done. */
const hedgedElsewhere = Effect.fnUntraced(function*(all: Opened, delay: Duration.Input = "10 millis") {
  const { awaitKept } = keep(all.servers, "SELECT probe")
  const fiber = yield* Effect.forkChild(
    all.cql`SELECT probe`.pipe(withOptions({ idempotent: true, hedge: { delay } }))
  )
  const kept = yield* awaitKept(2)
  yield* Effect.forEach(kept, ({ answer }) => answer())
  yield* Fiber.join(fiber)
  yield* pingAll(all)
})

const loadOf = ({ admission, session }: Opened) => [admission.inFlight, admission.queued, session.core.inFlight]

/** When those that have just ended have let go: whoever they resume goes on before that. */
const assertLoad = Effect.fnUntraced(
  function*(all: Opened, inFlight: number, queued = 0, underWay = inFlight + queued) {
    yield* Effect.yieldNow
    assert.deepStrictEqual(loadOf(all), [inFlight, queued, underWay])
  }
)

/** Of a statement that is over, places at nodes that still work on it: nothing that a close would wait for. */
const assertLeft = (all: Opened, places: number) => assertLoad(all, places, 0, 0)

const untilIdle = (all: Opened) => until(() => loadOf(all).every((count) => count === 0))

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<CqlError, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, CqlError)
    return error
  })

const outcomesOf = ({ attempts }: CqlError) => attempts.map(({ node, outcome }) => [node, outcome])

/** Nobody sleeps: it tells for how long one would have. */
const hurried = () => {
  const pauses: Array<number> = []
  const replace = (clock: Clock.Clock): Clock.Clock =>
    Object.assign(Object.create(clock) as Clock.Clock, {
      sleep: (duration: Duration.Duration) => Effect.sync(() => void pauses.push(Duration.toMillis(duration)))
    })
  return {
    pauses,
    during: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.flatMap(Clock.Clock, (clock) => Effect.provideService(effect, Clock.Clock, replace(clock)))
  }
}

// --- what is asked

/** The three requests that execute something, each with an answer that tells who gave it. */
const kinds: Readonly<Record<string, (cql: Cql) => Effect.Effect<unknown, CqlError>>> = {
  QUERY: (cql) => cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon })),
  EXECUTE: (cql) => cql`SELECT n FROM t WHERE k = ${"x"}`.pipe(withOptions({ hedge: soon })),
  BATCH: (cql) =>
    Statement.batch([cql`INSERT a`, cql`INSERT b ${"x"}`]).pipe(
      withOptions({ hedge: soon, idempotent: true }),
      Effect.as([])
    )
}

const asked: ScriptedServer.Match = /SELECT n|INSERT/

const prepareAll = ({ cql }: Opened) =>
  Effect.all([Statement.prepare(cql`SELECT n FROM t WHERE k = ${"x"}`), Statement.prepare(cql`INSERT b ${"x"}`)])

/** A statement whose first node and another one have been asked, and have not answered. */
const askedTwice = Effect.fnUntraced(function*(
  nodes: number,
  make: (cql: Cql) => Effect.Effect<unknown, unknown> = kinds["QUERY"]!,
  options?: Session.Options
) {
  const all = yield* opened(nodes, options)
  yield* prepareAll(all)
  const { awaitKept, kept } = keep(all.servers, asked)
  const clock = hurried()
  const fiber = yield* Effect.forkChild(clock.during(make(all.cql)))
  const [first, second] = yield* awaitKept(2)
  return { ...all, awaitKept, clock, fiber, first: first!, kept, second: second! }
})

const sent = (
  { connection: _connection, node: _node, receivedAt: _receivedAt, ...request }: ScriptedServer.Request
) => request

/** Without what is of the script and not of the request. */
const requestOf = (kept: Kept) => {
  const { answer: _answer, attempt: _attempt, ...request } = kept
  return sent(request)
}

describe("a statement whose node is slow", () => {
  for (const [kind, make] of Object.entries(kinds)) {
    const rows = (n: number) => kind === "BATCH" ? [] : [{ n }]
    const reply = (n: number) => kind === "BATCH" ? Reply.void : row(n)

    it.live(`is asked of another one, whose answer counts; that of the first is for nobody: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* askedTwice(3, make)
        const { fiber, first, kept, second } = all
        assert.notStrictEqual(first.node, second.node)
        yield* assertLoad(all, 2)
        yield* second.answer(reply(2))
        assert.deepStrictEqual(yield* Fiber.join(fiber), rows(2))
        // Its place is given back when it has answered: the server still works on it.
        yield* assertLeft(all, 1)
        yield* first.answer(reply(1))
        yield* untilIdle(all)
        yield* hedgedElsewhere(all)
        assert.lengthOf(kept, 2)
        yield* all.close
      }))

    it.live(`may still be answered by the first: then the other one's is for nobody: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* askedTwice(3, make)
        yield* all.first.answer(reply(1))
        assert.deepStrictEqual(yield* Fiber.join(all.fiber), rows(1))
        yield* assertLeft(all, 1)
        yield* all.second.answer(reply(2))
        yield* untilIdle(all)
        yield* all.close
      }))

    it.live(`is the same request on each: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        yield* prepareAll(all)
        const { awaitKept } = keep(all.servers, asked)
        const options: Statement.Options = {
          consistency: "quorum",
          serialConsistency: "localSerial",
          pageSize: 7,
          tracing: true,
          customPayload: { key: new Uint8Array([1, 2]) }
        }
        const fiber = yield* Effect.forkChild(provideOptions(make(all.cql), options))
        const [first, second] = yield* awaitKept(2)
        assert.deepStrictEqual(requestOf(second!), requestOf(first!))
        assert.deepInclude(sent(second!), {
          consistency: "QUORUM",
          serialConsistency: "LOCAL_SERIAL",
          tracing: true,
          payload: { key: Buffer.from([1, 2]) }
        })
        assert.typeOf(second!.timestamp, "bigint")
        assert.deepStrictEqual(second!.values.map(String), kind === "QUERY" ? [] : ["x"])
        yield* Effect.all([first!.answer(), second!.answer()])
        yield* Fiber.join(fiber)
        yield* untilIdle(all)
      }))
  }

  it.live("has the option from the session, the region, a profile or itself", () =>
    Effect.gen(function*() {
      const all = yield* opened(2, { hedge: soon, profiles: { hedged: { hedge: soon }, not: { hedge: false } } })
      const select = all.cql`SELECT n FROM t`
      const { awaitKept, kept } = keep(all.servers, asked)
      const hedged = [
        select,
        select.pipe(withOptions({ hedge: soon }), provideOptions({ hedge: false })),
        select.pipe(provideOptions({ hedge: soon }), provideOptions({ hedge: false })),
        select.pipe(withOptions({ profile: "hedged" }), provideOptions({ hedge: false }))
      ]
      for (const statement of hedged) {
        const fiber = yield* Effect.forkChild(statement)
        for (const { answer } of yield* awaitKept(2)) yield* answer()
        yield* Fiber.join(fiber)
        yield* untilIdle(all)
        kept.length = 0
      }
    }))

  it.live("has the values and the time of that statement, and of no other", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      yield* prepareAll(all)
      const { awaitKept } = keep(all.servers, asked)
      const inserts = numbered(20).map((n) =>
        all.cql`INSERT b ${String(n)}`.pipe(withOptions({ idempotent: true, hedge: soon }))
      )
      const fiber = yield* Effect.forkChild(Effect.all(inserts, allAtOnce))
      const kept = yield* awaitKept(40)
      const ofValue = Map.groupBy(kept, ({ values }) => String(values[0]))
      assert.strictEqual(ofValue.size, 20)
      for (const requests of ofValue.values()) {
        assert.lengthOf(requests, 2)
        assert.lengthOf(new Set(requests.map(({ timestamp }) => timestamp)), 1)
        assert.lengthOf(new Set(requests.map(({ node }) => node)), 2)
      }
      assert.strictEqual(new Set(kept.map(({ timestamp }) => timestamp)).size, 20)
      yield* Effect.forEach(kept, ({ answer }) => answer())
      yield* Fiber.join(fiber)
      yield* untilIdle(all)
    }))

  it.live("has one deadline for all of its nodes", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, { timeout: "300 millis", shutdownTimeout: "20 millis" })
      all.servers.on(asked, Reply.silence)
      all.servers.on("SELECT later", Reply.silence)
      const ended: Array<string> = []
      const toldAtEnd = (name: string, effect: Effect.Effect<unknown, CqlError>) =>
        Effect.tap(errorOf(effect), () => Effect.sync(() => ended.push(name)))
      const hedge = { delay: "100 millis" } as const
      const hedged = yield* Effect.forkChild(
        toldAtEnd("hedged", all.cql`SELECT n FROM t`.pipe(withOptions({ hedge })))
      )
      yield* all.servers.awaitRequest(asked, 1)
      // It has the same limit, and begins before the other node is asked.
      const later = yield* Effect.forkChild(toldAtEnd("later", all.cql`SELECT later`))
      const { attempts, reason } = yield* Fiber.join(hedged)
      yield* Fiber.join(later)
      assert.deepStrictEqual(ended, ["hedged", "later"])
      assert.deepInclude({ ...reason }, { _tag: "ClientTimeout", phase: "operation", timeoutMillis: 300 })
      assert.isAtLeast(attempts.length, 1)
      assert.lengthOf(all.servers.received(asked), 2)
      yield* untilIdle(all)
    }))

  it.live("is asked of no second one, where the first answers before the delay", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      all.servers.on(asked, row(1))
      all.servers.on("INSERT no", Reply.invalid("no"))
      const hedge = { delay: "1 second" } as const
      assert.deepStrictEqual(yield* all.cql`SELECT n FROM t`.pipe(withOptions({ hedge })), [{ n: 1 }])
      yield* reasonOf("InvalidQuery")(all.cql`INSERT no`.pipe(withOptions({ hedge, idempotent: true })))
      yield* assertLoad(all, 0)
      yield* hedgedElsewhere(all, hedge.delay)
      assert.lengthOf(all.servers.received(asked), 2)
    }))

  for (const [nodes, times, expected] of [[3, 1, 2], [3, 2, 3], [3, 10, 3], [5, 3, 4], [2, 2, 2]] as const) {
    it.live(`of ${nodes}, with times: ${times}, is asked of ${expected} nodes, each once`, () =>
      Effect.gen(function*() {
        const all = yield* opened(nodes)
        const { awaitKept, kept } = keep(all.servers, asked)
        const hedge = { ...soon, times }
        for (const winner of numbered(expected)) {
          kept.length = 0
          const fiber = yield* Effect.forkChild(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge })))
          yield* awaitKept(expected)
          yield* hedgedElsewhere(all)
          assert.lengthOf(kept, expected)
          assert.lengthOf(new Set(kept.map(({ node }) => node)), expected)
          yield* kept[winner]!.answer(row(winner))
          assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: winner }])
          yield* assertLeft(all, expected - 1)
          yield* Effect.forEach(kept, ({ answer }) => answer(row(9)))
          yield* untilIdle(all)
        }
      }))
  }
})

describe("nobody else is asked", () => {
  const conditional = (cql: Cql) => cql`INSERT a IF NOT EXISTS`.pipe(withOptions({ idempotent: true }))

  const never: Readonly<
    Record<string, (cql: Cql, servers: ScriptedServer.Cluster) => Effect.Effect<unknown, unknown>>
  > = {
    "for a statement that is not idempotent": (cql) => cql`SELECT n FROM t`.pipe(withOptions({ idempotent: false })),
    "for a statement that is not proved to be idempotent": (cql) => cql`INSERT a`,
    "for a batch that is not idempotent": (cql) =>
      Statement.batch([cql`INSERT a`.pipe(withOptions({ idempotent: true })), cql`INSERT b`]),
    "for what has a condition, whatever it says of itself": (cql) => conditional(cql).applied,
    "for a batch with a condition, whatever it says of itself": (cql) =>
      Statement.batch([cql`INSERT a IF NOT EXISTS`]).pipe(withOptions({ idempotent: true })).applied,
    "where one node was asked for": (cql, { nodes }) =>
      cql`SELECT n FROM t`.pipe(withOptions({ node: nodes[1]!.hostId })),
    "where the statement says false": (cql) => cql`SELECT n FROM t`.pipe(withOptions({ hedge: false })),
    "where the region says false": (cql) => cql`SELECT n FROM t`.pipe(provideOptions({ hedge: false })),
    "where the profile says false": (cql) => cql`SELECT n FROM t`.pipe(withOptions({ profile: "calm" }))
  }

  for (const [name, make] of Object.entries(never)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const all = yield* opened(3, { hedge: soon, profiles: { calm: { hedge: false } } })
        const { awaitKept, kept } = keep(all.servers, asked)
        const fiber = yield* Effect.forkChild(Effect.exit(make(all.cql, all.servers)))
        yield* awaitKept(1)
        yield* hedgedElsewhere(all)
        assert.lengthOf(kept, 1)
        yield* kept[0]!.answer(row(1))
        yield* Fiber.join(fiber)
        yield* untilIdle(all)
      }))
  }

  it.live("for a write whose time the servers give, but for a read and for a write with a time of its own", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, { timestamps: "server", hedge: soon })
      const { awaitKept, kept } = keep(all.servers, asked)
      const isIdempotent = withOptions({ idempotent: true })
      const write = all.cql`INSERT a`.pipe(isIdempotent)
      const answerAll = Effect.fnUntraced(function*(fiber: Fiber.Fiber<unknown, CqlError>) {
        yield* Effect.forEach(kept.splice(0), ({ answer }) => answer())
        yield* Fiber.join(fiber)
        yield* untilIdle(all)
      })
      for (const once of [write, Statement.batch([write]), Statement.batch([all.cql`INSERT b`]).pipe(isIdempotent)]) {
        const effect: Effect.Effect<unknown, CqlError> = once
        const fiber = yield* Effect.forkChild(effect)
        yield* awaitKept(1)
        yield* hedgedElsewhere(all)
        assert.lengthOf(kept, 1)
        yield* answerAll(fiber)
      }
      const ofOneTime = withOptions({ timestamp: 17 })
      for (const twice of [all.cql`SELECT n FROM t`, write.pipe(ofOneTime), Statement.batch([write]).pipe(ofOneTime)]) {
        const effect: Effect.Effect<unknown, CqlError> = twice
        const fiber = yield* Effect.forkChild(effect)
        const stamps = (yield* awaitKept(2)).map(({ timestamp }) => timestamp)
        assert.deepStrictEqual(stamps, Array(2).fill(kept[0]!.query.startsWith("SELECT") ? undefined : 17n))
        yield* answerAll(fiber)
      }
    }))

  it.live("where there is no other node", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      const { awaitKept, kept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon })))
      yield* awaitKept(1)
      const probe = all.cql`SELECT n FROM probe`.pipe(withOptions({ hedge: soon, timeout: "50 millis" }))
      yield* reasonOf("ClientTimeout")(probe)
      assert.deepStrictEqual(kept.map(({ query }) => query), ["SELECT n FROM t", "SELECT n FROM probe"])
      yield* Effect.forEach(kept, ({ answer }) => answer(row(1)))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
      yield* untilIdle(all)
    }))

  it.live("where no other node can be asked", () =>
    Effect.gen(function*() {
      const all = yield* opened(2, patient)
      yield* all.servers.nodes[1]!.refuse
      yield* untilNode("hostDown", all.session, all.servers.nodes[1]!.dropConnections)
      const { awaitKept, kept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon })))
      yield* awaitKept(1)
      const probe = all.cql`SELECT n FROM probe`.pipe(withOptions({ hedge: soon, timeout: "50 millis" }))
      yield* reasonOf("ClientTimeout")(probe)
      assert.deepStrictEqual(kept.map(({ query }) => query), ["SELECT n FROM t", "SELECT n FROM probe"])
      yield* Effect.forEach(kept, ({ answer }) => answer(row(1)))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
      yield* untilIdle(all)
    }))

  for (const queued of [0, 1]) {
    it.live(`where no place is free, and ${queued} wait for one`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3, { maxInFlight: 2 })
        const { awaitKept, kept } = keep(all.servers, asked)
        const hedged = (table: string) =>
          Effect.forkChild(
            all.cql`SELECT n FROM ${all.cql.unsafe(table)}`.pipe(withOptions({ hedge: { delay: "30 millis" } }))
          )
        const fibers = yield* Effect.forEach(["a", "b", ...Array<string>(queued).fill("c")], hedged)
        yield* awaitKept(2)
        yield* assertLoad(all, 2, queued)
        const probe = all.cql`SELECT n FROM probe`.pipe(withOptions({ timeout: "80 millis" }))
        assert.deepInclude(yield* reasonOf("ClientTimeout")(probe), { phase: "queue" })
        assert.lengthOf(kept, 2)
        yield* assertLoad(all, 2, queued)
        while (kept.length > 0) {
          yield* kept.shift()!.answer()
          yield* turn
        }
        all.servers.on(asked, Reply.void)
        yield* Effect.forEach(kept, ({ answer }) => answer())
        yield* Fiber.joinAll(fibers)
        yield* untilIdle(all)
      }))
  }

  it.live("by a session whose client closes", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, { shutdownTimeout: "1 millis" })
      const { awaitKept, kept } = keep(all.servers, asked)
      const select = all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { delay: "100 millis" } }))
      const fiber = yield* Effect.forkChild(Effect.exit(select))
      yield* awaitKept(1)
      yield* all.close
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      assert.lengthOf(kept, 1)
    }))
})

// --- failures

const overloaded = Reply.overloaded("busy")

const order = ["the first", "the second"] as const

/** The one that is to fail first, and the other one. */
const inOrder = ({ first, second }: { readonly first: Kept; readonly second: Kept }, which: (typeof order)[number]) =>
  which === "the first" ? [first, second] as const : [second, first] as const

describe("the failure of one", () => {
  const passing: Readonly<Record<string, Reply.Reply>> = {
    "overloaded": overloaded,
    "bootstrapping": Reply.bootstrapping("soon"),
    "unavailable": Reply.unavailable({ required: 2, alive: 1 }),
    "a read timeout": Reply.readTimeout({ received: 0, blockFor: 1 }),
    "a write timeout": Reply.writeTimeout({ received: 0, blockFor: 1 }),
    "a read failure": Reply.readFailure({ received: 0, blockFor: 1, failures: 1 }),
    "a write failure": Reply.writeFailure({ received: 0, blockFor: 1, failures: 1 }),
    "a failed TRUNCATE": Reply.truncateError("a node is down"),
    "a failed function": Reply.functionFailure({ keyspace: "shop", functionName: "f", argumentTypes: [] }),
    "a protocol error": Reply.protocolError("what?"),
    "an answer that cannot be read": Reply.response(0x08, Buffer.from([0, 0, 0, 2, 0])),
    "an answer of no known kind": Reply.response(0x7f, Buffer.from([0])),
    "a server error": Reply.serverError("broken"),
    "an unknown code": Reply.error(0x7777, "news"),
    "a connection that is cut": Reply.close
  }

  for (const which of order) {
    for (const [name, reply] of Object.entries(passing)) {
      it.live(`(${name}), ${which}, while the other still runs, is not that of the statement`, () =>
        Effect.gen(function*() {
          const all = yield* askedTwice(3)
          const [failing, other] = inOrder(all, which)
          yield* failing.answer(reply)
          // Its place is free, and the statement goes on.
          yield* until(() => all.admission.inFlight === 1)
          assert.isUndefined(all.fiber.pollUnsafe())
          yield* other.answer(row(7))
          assert.deepStrictEqual(yield* Fiber.join(all.fiber), [{ n: 7 }])
          assert.deepStrictEqual(all.clock.pauses, [])
          assert.lengthOf(all.kept, 2)
          yield* untilIdle(all)
          yield* all.close
        }))
    }

    it.live(`, ${which}, that is final ends the statement at once, and the other's answer is for nobody`, () =>
      Effect.gen(function*() {
        const final = [
          ["InvalidQuery", Reply.invalid("no such table")],
          ["CqlSyntaxError", Reply.syntax("line 1:0 no viable alternative")],
          ["Unauthorized", Reply.unauthorized("no")],
          ["AlreadyExists", Reply.alreadyExists({ keyspace: "shop" })]
        ] as const
        for (const [tag, reply] of final) {
          const all = yield* askedTwice(3)
          const [failing, other] = inOrder(all, which)
          yield* failing.answer(reply)
          const error = yield* errorOf(Fiber.join(all.fiber))
          assert.strictEqual(error.reason._tag, tag)
          assert.deepStrictEqual(outcomesOf(error), [[addressOf(failing.node), tag]])
          assert.strictEqual(error.coordinator, addressOf(failing.node))
          yield* assertLeft(all, 1)
          yield* other.answer(row(1))
          yield* untilIdle(all)
          assert.lengthOf(all.kept, 2)
          yield* all.close
        }
      }))

    it.live(`, ${which}, to fit the schema is that of the statement`, () =>
      Effect.gen(function*() {
        const all = yield* askedTwice(
          3,
          (cql) => cql(Schema.Struct({ n: Schema.String }))`SELECT n FROM t`.pipe(withOptions({ hedge: soon }))
        )
        const [failing, other] = inOrder(all, which)
        yield* failing.answer(row(1))
        const exit = yield* Fiber.await(all.fiber)
        assert.isTrue(Exit.isFailure(exit))
        assert.isTrue(
          Schema.isSchemaError(Exit.isFailure(exit) ? yield* Effect.flip(Fiber.join(all.fiber)) : undefined)
        )
        yield* other.answer(row(1))
        yield* untilIdle(all)
      }))

    it.live(`, ${which}, and then of the other, is one error with both attempts in their order`, () =>
      Effect.gen(function*() {
        for (const make of Object.values(kinds)) {
          const all = yield* askedTwice(3, (cql) => provideOptions(make(cql), { retry: CqlRetry.none }))
          const [failing, other] = inOrder(all, which)
          yield* failing.answer(overloaded)
          yield* until(() => all.admission.inFlight === 1)
          yield* other.answer(Reply.serverError("broken"))
          const error = yield* errorOf(Fiber.join(all.fiber))
          assert.strictEqual(error.reason._tag, "ServerError")
          assert.strictEqual(error.coordinator, addressOf(other.node))
          assert.deepStrictEqual(outcomesOf(error), [
            [addressOf(failing.node), "Overloaded"],
            [addressOf(other.node), "ServerError"]
          ])
          assert.lengthOf(all.kept, 2)
          yield* untilIdle(all)
          yield* all.close
        }
      }))
  }

  it.live("before the delay is an attempt like any other, and the next one is hedged as well", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      let failures = 1
      const { awaitKept } = keep(all.servers, asked)
      all.servers.on(asked, () => failures-- > 0 ? overloaded : undefined)
      const clock = hurried()
      const fiber = yield* Effect.forkChild(
        clock.during(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { delay: "20 millis" } })))
      )
      const [again, hedge] = yield* awaitKept(2)
      yield* hedge!.answer(row(3))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 3 }])
      assert.lengthOf(new Set(all.servers.received(asked).map(({ node }) => node)), 3)
      assert.lengthOf(clock.pauses, 1)
      yield* again!.answer()
      yield* untilIdle(all)
    }))

  for (const nodes of [2, 3, 5]) {
    it.live(`of all that are asked is tried again with the policy's one schedule, on ${nodes} nodes`, () =>
      Effect.gen(function*() {
        const all = yield* opened(nodes)
        const { awaitKept, kept } = keep(all.servers, asked)
        const clock = hurried()
        const fiber = yield* Effect.forkChild(
          Effect.flip(clock.during(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon }))))
        )
        const nodesAsked: Array<string> = []
        // While there are nodes that were not tried there is somebody to ask beside the first.
        while (fiber.pollUnsafe() === undefined) {
          const isLast = nodesAsked.length >= nodes
          yield* awaitKept(isLast ? 1 : Math.min(2, nodes - nodesAsked.length))
          const round = kept.splice(0)
          nodesAsked.push(...round.map(({ node }) => addressOf(node)))
          const [first, second] = round
          yield* first!.answer(overloaded)
          if (second !== undefined) {
            yield* until(() => all.admission.inFlight === 1)
            yield* second.answer(overloaded)
          }
          yield* until(() => kept.length > 0 || fiber.pollUnsafe() !== undefined)
        }
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, CqlError)
        assert.deepStrictEqual(outcomesOf(error), nodesAsked.map((node) => [node, "Overloaded"]))
        assert.strictEqual(all.servers.received(asked).length, nodesAsked.length)
        assert.lengthOf(new Set(nodesAsked.slice(0, nodes)), nodes)
        assert.lengthOf(clock.pauses, 3)
        for (const [index, pause] of clock.pauses.entries()) {
          assert.isTrue(pause >= 40 * 2 ** index && pause <= 60 * 2 ** index, String(clock.pauses))
        }
        yield* untilIdle(all)
      }))
  }

  it.live("and then the answer of the third, where times is 2", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      const { awaitKept } = keep(all.servers, asked)
      const hedge = { ...soon, times: 2 }
      const fiber = yield* Effect.forkChild(all.cql`SELECT n FROM t`.pipe(withOptions({ hedge })))
      const [first, second, third] = yield* awaitKept(3)
      yield* first!.answer(overloaded)
      yield* third!.answer(Reply.close)
      yield* until(() => all.admission.inFlight === 1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* second!.answer(row(2))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 2 }])
      yield* untilIdle(all)
    }))

  it.live("to be written to any other node, is not that of the statement", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, patient)
      const { awaitKept, kept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(
        all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { delay: "20 millis" } }))
      )
      const [first] = yield* awaitKept(1)
      let broken = 0
      for (const node of all.servers.nodes.filter((node) => node !== first!.node)) {
        const { pool } = all.session.core.shared.client.node(addressOf(node))!
        for (const { writeQueue } of pool.connections) writeQueue!.setWriteError(new Error("broken"))
        broken++
      }
      assert.strictEqual(broken, 2)
      const probe = all.cql`SELECT n FROM probe`.pipe(
        withOptions({ node: first!.node.hostId, timeout: "100 millis" })
      )
      yield* reasonOf("ClientTimeout")(probe)
      assert.isUndefined(fiber.pollUnsafe())
      assert.lengthOf(kept, 2)
      yield* Effect.forEach(kept, ({ answer }) => answer(row(1)))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
      yield* untilIdle(all)
    }))
})

describe("a node that has forgotten the statement", () => {
  const story = ({ servers }: Opened, first: Node) =>
    servers.requests.filter(({ kind }) => ["execute", "batch", "prepare"].includes(kind)).map(({ kind, node }) =>
      `${kind} on the ${node === first ? "first" : "other"}`
    )

  for (const [kind, make] of Object.entries(kinds).filter(([kind]) => kind !== "QUERY")) {
    const reply = kind === "BATCH" ? Reply.void : row(5)
    const rows = kind === "BATCH" ? [] : [{ n: 5 }]
    const execute = kind.toLowerCase()

    it.live(`and is asked beside the first one is told it again: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* opened(2)
        yield* prepareAll(all)
        yield* all.servers.clearRequests
        const isKnown: ScriptedServer.Match = (_, { query, statements }) =>
          query !== "" && statements.every(({ query }) => query !== "")
        const { awaitKept } = keep(all.servers, isKnown, ["execute", "batch"])
        let first: Node | undefined
        all.servers.on(() => true, ({ node }) => {
          if (first === undefined) {
            first = node
            for (const other of all.servers.nodes) if (other !== node) Effect.runSync(other.forgetPrepared)
          }
          return undefined
        }, ["execute", "batch"])
        const fiber = yield* Effect.forkChild(make(all.cql))
        const [slow, known] = yield* awaitKept(2)
        assert.deepStrictEqual(story(all, first!), [
          `${execute} on the first`,
          `${execute} on the other`,
          "prepare on the other",
          `${execute} on the other`
        ])
        assert.strictEqual(known!.timestamp, slow!.timestamp)
        yield* known!.answer(reply)
        assert.deepStrictEqual(yield* Fiber.join(fiber), rows)
        yield* slow!.answer(reply)
        yield* untilIdle(all)
        yield* all.close
      }))

    it.live(`and is slow to prepare it again is not waited for: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* opened(2)
        yield* prepareAll(all)
        yield* all.servers.clearRequests
        const preparing = keep(all.servers, asked, ["prepare"])
        const known: ScriptedServer.Match = (_, { query, statements }) =>
          query !== "" && statements.every(({ query }) => query !== "")
        const { awaitKept } = keep(all.servers, known, ["execute", "batch"])
        let isFirst = true
        all.servers.on(() => true, ({ node, preparedId, statements }) => {
          if (!isFirst) return undefined
          isFirst = false
          Effect.runSync(node.forgetPrepared)
          void statements
          return preparedId === undefined ? undefined : Reply.unprepared(preparedId)
        }, ["execute"])
        all.servers.on(() => true, ({ node }) => {
          if (!isFirst) return undefined
          isFirst = false
          Effect.runSync(node.forgetPrepared)
          return undefined
        }, ["batch"])
        const fiber = yield* Effect.forkChild(make(all.cql))
        if (kind === "BATCH") {
          // The script saw it as it was known: the node answers it, and the other one is asked beside it.
          for (const { answer } of yield* awaitKept(2)) yield* answer(reply)
          yield* Fiber.join(fiber)
          return yield* untilIdle(all)
        }
        const [prepare] = yield* preparing.awaitKept(1)
        const [other] = yield* awaitKept(1)
        assert.notStrictEqual(other!.node, prepare!.node)
        yield* other!.answer(reply)
        assert.deepStrictEqual(yield* Fiber.join(fiber), rows)
        yield* assertLeft(all, 1)
        yield* prepare!.answer(Reply.invalid("dropped"))
        yield* untilIdle(all)
        yield* all.close
      }))
  }
})

// --- interruption and closing

describe("a statement that waits for two nodes", () => {
  for (const [kind, make] of Object.entries(kinds)) {
    it.live(`and is interrupted gives up both, and has no place when both have answered: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* askedTwice(3, make)
        yield* Fiber.interrupt(all.fiber)
        yield* assertLeft(all, 2)
        yield* all.second.answer(row(2))
        yield* until(() => all.admission.inFlight === 1)
        yield* all.first.answer(overloaded)
        yield* untilIdle(all)
        yield* hedgedElsewhere(all)
        assert.lengthOf(all.kept, 2)
        yield* all.close
      }))
  }

  for (const how of ["has its answer", "is interrupted"] as const) {
    it.live(`and ${how} has nothing more asked of the other, also where that one has forgotten it`, () =>
      Effect.gen(function*() {
        const all = yield* askedTwice(2, kinds["EXECUTE"])
        yield* how === "is interrupted"
          ? Fiber.interrupt(all.fiber)
          : Effect.andThen(all.second.answer(row(2)), Fiber.join(all.fiber))
        yield* all.servers.clearRequests
        yield* all.first.answer(Reply.unprepared(all.first.preparedId!))
        yield* all.second.answer(row(2))
        yield* untilIdle(all)
        yield* pingAll(all)
        assert.lengthOf(all.kept, 2)
        assert.lengthOf(all.servers.received(asked, ["prepare", "execute"]), 0)
      }))
  }

  it.live("and is interrupted before the delay asks nobody else", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      const { awaitKept, kept } = keep(all.servers, asked)
      const select = all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { delay: "30 millis" } }))
      const fiber = yield* Effect.forkChild(select)
      yield* awaitKept(1)
      yield* Fiber.interrupt(fiber)
      yield* reasonOf("ClientTimeout")(all.cql`SELECT n FROM probe`.pipe(withOptions({ timeout: "60 millis" })))
      assert.deepStrictEqual(kept.map(({ query }) => query), ["SELECT n FROM t", "SELECT n FROM probe"])
      yield* Effect.forEach(kept, ({ answer }) => answer())
      yield* untilIdle(all)
    }))

  it.live("is waited for by a session that closes, and the late answer of the other is not", () =>
    Effect.gen(function*() {
      const all = yield* askedTwice(3)
      const closing = yield* Effect.forkChild(all.close)
      yield* Effect.yieldNow
      yield* reasonOf("SessionClosed")(all.cql`SELECT n`)
      // A connection more comes and goes: time enough for the first ones to go, if they did.
      yield* Effect.scoped(connect(all.servers))
      assert.isUndefined(closing.pollUnsafe())
      yield* all.second.answer(row(2))
      assert.deepStrictEqual(yield* Fiber.join(all.fiber), [{ n: 2 }])
      // The first node never answers.
      yield* Fiber.join(closing)
      yield* untilIdle(all)
      yield* assertLoad(all, 0)
    }))

  it.live("and of which one fails for good while its session closes keeps the close no longer", () =>
    Effect.gen(function*() {
      const all = yield* askedTwice(3)
      const closing = yield* Effect.forkChild(all.close)
      yield* Effect.yieldNow
      yield* all.second.answer(Reply.invalid("no such table"))
      yield* reasonOf("InvalidQuery")(Fiber.join(all.fiber))
      yield* Fiber.join(closing)
      yield* untilIdle(all)
      yield* assertLoad(all, 0)
    }))

  it.live("is hedged also while its session closes", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      const { awaitKept } = keep(all.servers, asked)
      const select = all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { delay: "50 millis" } }))
      const fiber = yield* Effect.forkChild(select)
      const [first] = yield* awaitKept(1)
      const closing = yield* Effect.forkChild(all.close)
      const [, second] = yield* awaitKept(2)
      yield* second!.answer(row(2))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 2 }])
      assert.notStrictEqual(second!.node, first!.node)
      yield* Fiber.join(closing)
    }))
})

// --- pages

describe("the pages of a result", () => {
  const pages = [[1, 2], [], [3], [4, 5]]

  const paged = Reply.pages({ columns: numbers, pages: pages.map((page) => page.map((n) => [n])) })

  type Rows = Effect.Effect<ReadonlyArray<Statement.Row>, CqlError>

  const readers: Readonly<Record<string, (statement: Statement.Statement<Statement.Row, CqlError>) => Rows>> = {
    "all rows": (statement) => statement,
    "a stream": (statement) => Stream.runCollect(statement.stream),
    "a stream that fetches nothing ahead": (statement) =>
      Stream.runCollect(CqlStream.rows(statement, { pagesAhead: 0 })),
    "a stream that fetches far ahead": (statement) => Stream.runCollect(CqlStream.rows(statement, { pagesAhead: 5 }))
  }

  for (const [name, read] of Object.entries(readers)) {
    it.live(`(${name}) are hedged each for itself; no row is lost and none comes twice`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        const { awaitKept } = keep(all.servers, asked)
        const select = all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon }))
        const fiber = yield* Effect.forkChild(read(select))
        const late: Array<Kept> = []
        for (const page of numbered(pages.length)) {
          const kept = yield* awaitKept(2 * page + 2)
          const [first, second] = kept.slice(2 * page)
          assert.deepStrictEqual(second!.pageState, first!.pageState)
          assert.notStrictEqual(second!.node, first!.node)
          yield* second!.answer(paged(second!))
          late.push(first!)
        }
        assert.deepStrictEqual(yield* Fiber.join(fiber), pages.flat().map((n) => ({ n })))
        for (const request of late) yield* request.answer(paged(request))
        yield* untilIdle(all)
        assert.lengthOf(all.servers.received(asked), 8)
        yield* all.close
      }))
  }
})

// --- percentile

describe("a percentile", () => {
  const percentile = 90

  const text = "SELECT n FROM t"

  const learned = Effect.fnUntraced(function*(executions: number) {
    const all = yield* opened(3)
    const takeBack = all.servers.on(asked, row(1))
    const select = all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: { percentile } }))
    yield* Effect.forEach(numbered(executions), () => select)
    takeBack()
    yield* all.servers.clearRequests
    return { ...all, select, latencies: all.session.core.shared.statements.get(text).latencies }
  })

  it.live("of less than a hundred executions is not known: nobody else is asked", () =>
    Effect.gen(function*() {
      const all = yield* learned(99)
      const { awaitKept, kept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(all.select)
      yield* awaitKept(1)
      yield* hedgedElsewhere(all)
      assert.lengthOf(kept, 1)
      yield* kept[0]!.answer(row(1))
      yield* Fiber.join(fiber)
      yield* untilIdle(all)
    }))

  it.live("of a hundred is: another one is asked, also for pages and in a stream, but not for another text", () =>
    Effect.gen(function*() {
      const all = yield* learned(100)
      const { awaitKept, kept } = keep(all.servers, asked)
      for (const read of [all.select, Stream.runCollect(all.select.stream)]) {
        const fiber = yield* Effect.forkChild(read)
        yield* awaitKept(2)
        for (const { answer } of kept.splice(0)) yield* answer(row(1))
        assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
        yield* untilIdle(all)
      }
      const other = yield* Effect.forkChild(all.cql`SELECT n FROM u`.pipe(withOptions({ hedge: { percentile } })))
      yield* awaitKept(1)
      yield* hedgedElsewhere(all)
      assert.lengthOf(kept, 1)
      yield* kept[0]!.answer()
      yield* Fiber.join(other)
    }))

  it.live("is that of a batch by its first statement", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      const takeBack = all.servers.on(asked, Reply.void)
      const batch = Statement.batch([all.cql`INSERT a`, all.cql`INSERT b`]).pipe(
        withOptions({ idempotent: true, hedge: { percentile } })
      )
      yield* Effect.forEach(numbered(100), () => batch)
      takeBack()
      const { awaitKept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(batch)
      for (const { answer } of yield* awaitKept(2)) yield* answer()
      yield* Fiber.join(fiber)
      yield* untilIdle(all)
    }))

  it.live("is not moved by batches that begin with that statement, however long they take", () =>
    Effect.gen(function*() {
      const all = yield* learned(100)
      const { statements } = all.session.core.shared
      const before = all.latencies.percentile(99.9)!
      const added = vi.spyOn(statements.get(text).latencies, "add")
      all.servers.on(asked, Reply.void, ["batch"])
      const batch = Statement.batch([all.cql`SELECT n FROM t`]).pipe(
        withOptions({ idempotent: true, hedge: { percentile } })
      )
      yield* Effect.forEach(numbered(100), () => batch)
      assert.lengthOf(added.mock.calls, 0)
      assert.strictEqual(all.latencies.percentile(99.9), before)
      assert.isDefined(statements.get(text).latenciesOfBatches.percentile(99.9))
    }))

  it.live("is not measured where a delay is given", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      all.servers.on(asked, row(1))
      yield* Effect.forEach(numbered(100), () => all.cql`SELECT n FROM t`.pipe(withOptions({ hedge: soon })))
      assert.isUndefined(all.session.core.shared.statements.get(text).latencies.percentile(99))
    }))

  /** From now on everything takes so much longer that was sent before. */
  const later = (millis: number) => {
    const now = performance.now.bind(performance)
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + millis)
    return Effect.sync(() => clock.mockRestore())
  }

  it.live("counts how long those took whose answers came too late to be wanted", () =>
    Effect.gen(function*() {
      const all = yield* learned(100)
      assert.isBelow(all.latencies.percentile(99.9)!, 5000)
      const { awaitKept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(all.select)
      const [first, second] = yield* awaitKept(2)
      yield* second!.answer(row(2))
      yield* Fiber.join(fiber)
      const restore = later(20_000)
      yield* first!.answer(row(1))
      yield* untilIdle(all)
      yield* restore
      assert.isAtLeast(all.latencies.percentile(99.9)!, 20_000)
    }))

  it.live("counts how long those took that had no answer in their time, and not those that were refused", () =>
    Effect.gen(function*() {
      const all = yield* learned(100)
      const before = all.latencies.percentile(99.9)!
      const fails = withOptions({ retry: CqlRetry.none })
      const refused = all.servers.on(asked, overloaded)
      for (const _ of numbered(20)) yield* reasonOf("Overloaded")(all.select.pipe(fails))
      assert.strictEqual(all.latencies.percentile(99.9), before)
      refused()
      all.servers.on(asked, Reply.silence)
      yield* all.servers.clearRequests
      const seen = vi.spyOn(all.latencies, "add")
      yield* reasonOf("ClientTimeout")(all.select.pipe(fails, withOptions({ attemptTimeout: "20 millis" })))
      yield* untilIdle(all)
      assert.lengthOf(seen.mock.calls, all.servers.received(asked).length)
      for (const [millis] of seen.mock.calls) assert.isAtLeast(millis, 19)
    }))
})

describe("500 statements at once", () => {
  for (const [nodes, maxInFlight] of [[1, 20], [3, 1], [3, 20], [3, 1000], [3, 2000]] as const) {
    it.live(`get each its own answer, ${maxInFlight} at a time on ${nodes} of the nodes`, () =>
      Effect.gen(function*() {
        const all = yield* opened(nodes, { maxInFlight, maxRequestsPerConnection: 2048, hedge: soon })
        const { cql, servers } = all
        const text = (n: number) => `SELECT n FROM t WHERE n = ${n}`
        const requests = new Map<string, number>()
        let open = 0
        let most = 0
        // Some answer late the first time, others fail then.
        servers.on(asked, ({ query }) => {
          const count = (requests.get(query) ?? 0) + 1
          requests.set(query, count)
          most = Math.max(most, ++open)
          const n = Number(query.slice(query.lastIndexOf(" ")))
          const { promise, resolve } = Promise.withResolvers<void>()
          const settle = () => {
            open--
            resolve()
          }
          if (n % 25 === 0 && count === 1) setTimeout(settle, 10)
          else setImmediate(settle)
          return Reply.delay(promise, n % 3 === 1 && count === 1 ? overloaded : row(n))
        })
        const rows = yield* hurried().during(
          Effect.forEach(numbered(500), (n) => cql`${cql.unsafe(text(n))}`, allAtOnce)
        )
        assert.deepStrictEqual(rows, numbered(500).map((n) => [{ n }]))
        assert.isAtMost(most, maxInFlight)
        assert.strictEqual(requests.size, 500)
        yield* untilIdle(all)
        yield* all.close
      }))
  }

  it.live("that are interrupted leave no place taken", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, { maxInFlight: 700, hedge: soon })
      const { awaitKept } = keep(all.servers, asked)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(numbered(500), () => all.cql`SELECT n FROM t`, allAtOnce)
      )
      const kept = yield* awaitKept(700)
      yield* assertLoad(all, 700)
      yield* Fiber.interrupt(fiber)
      yield* Effect.forEach(kept, ({ answer }) => answer(row(1)))
      yield* untilIdle(all)
      yield* all.close
    }))
})
