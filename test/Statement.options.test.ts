/**
 * Options of statements, of regions of a program, of sessions and of profiles: what of them reaches a server, and what
 * they change in the program. The servers are scripted ones, but where only Cassandra knows what an option does.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cql, CqlRetry, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, optionsFor, preparesUsers, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

const numbers = [{ name: "n", type: "int" }]

const everyKind = ["query", "execute", "batch", "prepare"] as const

/** A server that answers everything, without rows. */
const answering = Effect.gen(function*() {
  const server = yield* ScriptedServer.make()
  server.on(() => true, Reply.void)
  return server
})

const answeringSession = Effect.fnUntraced(function*(options?: Session.Options) {
  const server = yield* answering
  return { server, ...yield* connect(server, options) }
})

const assertNothingAsked = (server: ScriptedServer.Scripts): void =>
  assert.deepStrictEqual(server.received(() => true, everyKind), [])

/** What an option became on the wire. */
const sent = (request: ScriptedServer.Request) => ({
  consistency: request.consistency,
  serialConsistency: request.serialConsistency,
  pageSize: request.pageSize,
  timestamp: request.timestamp,
  tracing: request.tracing,
  payload: request.payload
})

const pageSizes = (server: ScriptedServer.Scripts, match: ScriptedServer.Match = () => true) =>
  server.received(match).map(({ pageSize }) => pageSize)

const { withOptions, provideOptions } = Statement

// --- which level wins

const levels = [
  "any",
  "one",
  "two",
  "three",
  "quorum",
  "all",
  "localQuorum",
  "eachQuorum",
  "serial",
  "localSerial"
] as const

const wireLevels = [
  "ANY",
  "ONE",
  "TWO",
  "THREE",
  "QUORUM",
  "ALL",
  "LOCAL_QUORUM",
  "EACH_QUORUM",
  "SERIAL",
  "LOCAL_SERIAL"
] as const

/** What level `n` says of all that goes into a frame. */
const wireOptions = (n: number): Omit<Statement.Options, "profile"> => ({
  consistency: levels[n],
  serialConsistency: n % 2 === 0 ? "serial" : "localSerial",
  pageSize: 100 + n,
  timestamp: n % 2 === 0 ? 1000 + n : BigInt(-1000 - n),
  tracing: n % 2 === 0,
  customPayload: { level: new Uint8Array([n]) }
})

const nothingSaid = Object.fromEntries(Object.keys(wireOptions(0)).map((name) => [name, undefined]))

const wireOf = (n: number, kind: string) => ({
  consistency: wireLevels[n]!,
  serialConsistency: n % 2 === 0 ? "SERIAL" as const : "LOCAL_SERIAL" as const,
  pageSize: kind === "batch" ? undefined : 100 + n,
  timestamp: n % 2 === 0 ? BigInt(1000 + n) : BigInt(-1000 - n),
  tracing: n % 2 === 0,
  payload: { level: Buffer.from([n]) }
})

/** From the nearest to the farthest. */
const levelNames = [
  "the statement's later options",
  "the profile that these name",
  "the statement's earlier options",
  "the profile that these name",
  "the inner region",
  "its profile",
  "the outer region",
  "its profile",
  "the session",
  "its profile"
] as const

describe("of all that is said of a statement, the nearest reaches the server:", () => {
  for (const [nearest, name] of levelNames.entries()) {
    it.live(`${name} (level ${nearest + 1})`, () =>
      Effect.gen(function*() {
        const server = yield* answering
        const said = (level: number) => level < nearest ? nothingSaid : wireOptions(level)
        const options = (level: number): Statement.Options => ({ ...said(level), profile: `profile ${level + 1}` })
        const profiles = Object.fromEntries([1, 3, 5, 7, 9].map((level) => [`profile ${level}`, said(level)]))
        const { cql } = yield* connect(server, { ...options(8), profiles })
        yield* server.clearRequests
        for (const statement of [cql`SELECT n`, cql`SELECT ${"n"}`, Statement.batch([cql`INSERT n`])]) {
          yield* statement.pipe(
            withOptions(options(2)),
            withOptions(options(0)),
            provideOptions(options(4)),
            provideOptions(options(6))
          )
        }
        const requests = server.received(() => true)
        assert.deepStrictEqual(requests.map(({ kind }) => kind), ["query", "execute", "batch"])
        for (const request of requests) assert.deepStrictEqual(sent(request), wireOf(nearest, request.kind))
      }))
  }

  it.live("the defaults, where nobody says anything", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession(nothingSaid)
      const statement = cql`SELECT n`.pipe(withOptions(nothingSaid), provideOptions(nothingSaid))
      yield* provideOptions(statement, {})
      const { timestamp, ...others } = sent(server.received("SELECT n")[0]!)
      assert.isAbove(Number(timestamp), Date.UTC(2020) * 1000)
      assert.deepStrictEqual(others, {
        consistency: "LOCAL_ONE",
        serialConsistency: undefined,
        pageSize: 5000,
        tracing: false,
        payload: {}
      })
    }))

  it.live("each option for itself, from wherever it is said", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession({
        profile: "slow",
        pageSize: 10,
        profiles: {
          slow: { consistency: "all", pageSize: 11, timestamp: 1 },
          tagged: { customPayload: { tag: null }, timestamp: 2 }
        }
      })
      yield* cql`SELECT n`.pipe(
        withOptions({ consistency: "two", profile: "tagged" }),
        provideOptions({ tracing: true, consistency: "one", timestamp: 3 }),
        provideOptions({ serialConsistency: "serial", tracing: false })
      )
      assert.deepStrictEqual(sent(server.received("SELECT n")[0]!), {
        consistency: "TWO",
        serialConsistency: "SERIAL",
        pageSize: 10,
        timestamp: 2n,
        tracing: true,
        payload: { tag: null }
      })
    }))

  it.live("of options that a statement was given twice, the later ones", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession({ profiles: { p: { pageSize: 3, consistency: "three" } } })
      const once = cql`SELECT n`.pipe(withOptions({ pageSize: 1, consistency: "one" }))
      yield* once.pipe(withOptions({ pageSize: 2 }))
      yield* once.pipe(withOptions({ pageSize: undefined }))
      // The profile comes with the later options, and so goes before what was said earlier.
      yield* once.pipe(withOptions({ profile: "p", consistency: "two" }))
      yield* once.pipe(withOptions({ profile: "p" }), withOptions({ pageSize: 4 }))
      yield* once
      assert.deepStrictEqual(
        server.received("SELECT n").map(({ consistency, pageSize }) => [consistency, pageSize]),
        [["ONE", 2], ["ONE", 1], ["TWO", 3], ["THREE", 4], ["ONE", 1]]
      )
    }))

  it.live("a custom payload as a whole, and not mixed with that of a level behind it", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession({ customPayload: { a: null, b: null } })
      yield* cql`SELECT n`.pipe(withOptions({ customPayload: { c: null } }))
      assert.deepStrictEqual(server.received("SELECT n")[0]!.payload, { c: null })
    }))
})

describe("what options change in the program", () => {
  const silent = Effect.fnUntraced(function*(options?: Session.Options) {
    const server = yield* ScriptedServer.make()
    server.on(/^SELECT/, Reply.silence)
    return yield* connect(server, { shutdownTimeout: "20 millis", ...options })
  })

  it.live("timeout and attemptTimeout are those of the nearest level", () =>
    Effect.gen(function*() {
      const { cql } = yield* silent({
        timeout: "1 minute",
        profile: "patient",
        profiles: { patient: { attemptTimeout: "50 seconds" }, hasty: { timeout: "21 millis" } }
      })
      const limits = Effect.fnUntraced(function*(own: Statement.Options, ...regions: ReadonlyArray<Statement.Options>) {
        const statement = Statement.withOptions(cql`SELECT n`, own)
        const around = Effect.provideService(statement, Statement.CurrentOptions, regions)
        const { phase, timeoutMillis } = yield* reasonOf("ClientTimeout")(around)
        return [phase, timeoutMillis]
      })
      assert.deepStrictEqual(yield* limits({ attemptTimeout: "20 millis" }), ["attempt", 20])
      assert.deepStrictEqual(yield* limits({ profile: "hasty" }), ["operation", 21])
      assert.deepStrictEqual(yield* limits({ timeout: "22 millis", profile: "hasty" }), ["operation", 22])
      assert.deepStrictEqual(yield* limits({}, { profile: "hasty" }), ["operation", 21])
      assert.deepStrictEqual(
        yield* limits({ timeout: undefined }, { timeout: "9 seconds" }, { attemptTimeout: "23 millis" }),
        ["attempt", 23]
      )
      assert.deepStrictEqual(
        yield* limits({ attemptTimeout: 24 }, { profile: "hasty" }, { timeout: "9 seconds" }),
        ["attempt", 24]
      )
      assert.deepStrictEqual(
        yield* limits({}, { timeout: "9 seconds", attemptTimeout: "8 seconds" }, { timeout: { milliseconds: 25 } }),
        ["operation", 25]
      )
    }))

  it.live("the session's attemptTimeout may come from its profile", () =>
    Effect.gen(function*() {
      const { cql } = yield* silent({ profile: "hasty", profiles: { hasty: { attemptTimeout: "20 millis" } } })
      assert.deepInclude(yield* reasonOf("ClientTimeout")(cql`SELECT n`), { phase: "attempt", timeoutMillis: 20 })
    }))

  it.live("maxRows is that of the nearest level, and streams are not limited by any", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1], [2]], [[3], [4]], [[5]]] }))
      const { cql } = yield* connect(server, { maxRows: 4, profiles: { few: { maxRows: 1 } } })
      const limitOf = (own: Statement.Options, region: Statement.Options = {}) =>
        cql`SELECT n`.pipe(
          withOptions(own),
          Effect.as(Infinity),
          Effect.catchReason("CqlError", "TooManyRows", ({ limit }) => Effect.succeed(limit)),
          provideOptions(region)
        )
      assert.strictEqual(yield* limitOf({}), 4)
      assert.strictEqual(yield* limitOf({}, { maxRows: 3 }), 3)
      assert.strictEqual(yield* limitOf({ maxRows: undefined }, { profile: "few", maxRows: 2 }), 2)
      assert.strictEqual(yield* limitOf({ profile: "few" }, { maxRows: 2 }), 1)
      assert.strictEqual(yield* limitOf({ maxRows: 5 }, { profile: "few" }), Infinity)
      yield* reasonOf("TooManyRows")(cql`SELECT n`.result)
      const rows = Stream.runCollect(cql`SELECT n`.pipe(withOptions({ maxRows: 1 })).stream)
      assert.lengthOf(yield* rows, 5)
      assert.strictEqual((yield* cql`SELECT n`.pipe(withOptions({ maxRows: 1 })).one)["n"], 1)
    }))

  it.live("hold for whatever is taken of a statement", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.rows({ columns: numbers, rows: [[1]] }))
      server.on(/IF/, Reply.rows({ columns: [{ name: "[applied]", type: "boolean" }], rows: [[true]] }))
      const { cql } = yield* connect(server)
      const select = cql`SELECT n`.pipe(withOptions({ pageSize: 1, consistency: "two" }))
      yield* select
      yield* select.one
      yield* select.first
      yield* select.result
      yield* Stream.runDrain(select.stream)
      yield* Stream.runDrain(select.pages)
      yield* cql`UPDATE IF`.pipe(withOptions({ pageSize: 1, consistency: "two" })).applied
      assert.deepStrictEqual(
        server.received(() => true).map(({ consistency, pageSize }) => [consistency, pageSize]),
        numbered(7).map(() => ["TWO" as const, 1])
      )
      assert.strictEqual((yield* select.result).consistency, "two")
    }))

  it.live("leave the statement that they were given to as it was", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const [statement, batch] = [cql`SELECT n`, Statement.batch([cql`INSERT n`])]
      const [other, otherBatch] = [withOptions(statement, { tracing: true }), withOptions(batch, { tracing: true })]
      assert.deepStrictEqual([other.text, otherBatch.text], [statement.text, batch.text])
      yield* statement
      yield* batch
      assert.deepStrictEqual(server.received(() => true).map(({ tracing }) => tracing), [false, false])
    }))
})

// --- regions

describe("a region of the program", () => {
  it.live("is where a statement runs, and not where it was made", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const made = cql`SELECT outside`
      const inside = yield* Effect.sync(() => cql`SELECT inside`).pipe(provideOptions({ pageSize: 1 }))
      yield* Effect.andThen(made, made.first).pipe(provideOptions({ pageSize: 2 }))
      yield* inside
      assert.deepStrictEqual(pageSizes(server), [2, 2, 5000])
    }))

  it.live("ends where it ends, also where it fails", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      yield* Effect.exit(Effect.andThen(cql`SELECT n`, Effect.fail("no")).pipe(provideOptions({ pageSize: 1 })))
      yield* cql`SELECT n`
      assert.deepStrictEqual(pageSizes(server), [1, 5000])
    }))

  it.live("in another adds to it, and is left again", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const inner = cql`SELECT n`.pipe(provideOptions({ pageSize: 2 }))
      const outer = Effect.all([cql`SELECT n`, inner, cql`SELECT n`])
      yield* provideOptions(outer, { pageSize: 1, tracing: true })
      assert.deepStrictEqual(
        server.received("SELECT n").map(({ pageSize, tracing }) => [pageSize, tracing]),
        [[1, true], [2, true], [1, true]]
      )
    }))

  it.live("is told by CurrentOptions, the outermost first", () =>
    Effect.gen(function*() {
      const told = Effect.map(Statement.CurrentOptions, (options) => options).pipe(
        provideOptions({ pageSize: 2 }),
        provideOptions({ pageSize: 1 })
      )
      assert.deepStrictEqual(yield* told, [{ pageSize: 1 }, { pageSize: 2 }])
      assert.deepStrictEqual(yield* Statement.CurrentOptions, [])
    }))

  it.live("is that of each of many fibers, also while all of them wait for an answer", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const held = hold(server, /^SELECT/)
      const { cql } = yield* connect(server)
      const twice = (n: number) =>
        Effect.gen(function*() {
          yield* cql`SELECT ${cql.unsafe(String(n))}`
          yield* Effect.yieldNow
          yield* cql`SELECT ${cql.unsafe(String(n))}`.pipe(provideOptions({ tracing: n % 2 === 0 }))
        }).pipe(provideOptions({ pageSize: n, tracing: n % 2 === 1 }))
      const all = yield* Effect.forkChild(Effect.forEach(numbered(50), (n) => twice(n + 1), allAtOnce))
      for (let round = 0; round < 2; round++) {
        yield* held.awaitHeld(50)
        yield* held.answer(50)
      }
      yield* Fiber.join(all)
      for (const n of numbered(50).map((index) => index + 1)) {
        assert.deepStrictEqual(
          server.received(`SELECT ${n}`).map(({ pageSize, tracing }) => [pageSize, tracing]),
          [[n, n % 2 === 1], [n, n % 2 === 0]]
        )
      }
    }))

  it.live("is also that of fibers that are forked in it, and goes on with them", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const fiber = yield* Effect.forkChild(Effect.andThen(Effect.yieldNow, cql`SELECT n`)).pipe(
        provideOptions({ pageSize: 1 })
      )
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(pageSizes(server), [1])
    }))

  it.live("can be that of a stream: of all of its pages, and of nothing behind it", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT n/, Reply.pages({ columns: numbers, pages: [[[1]], [[2]], [[3]]] }))
      server.on(/^SELECT (in|out)side/, Reply.void)
      const { cql } = yield* connect(server)
      const statement = cql`SELECT n`
      for (const rows of [statement.stream, Stream.flatMap(statement.pages, ({ rows }) => Stream.fromIterable(rows))]) {
        yield* server.clearRequests
        yield* rows.pipe(
          Stream.tap(() => cql`SELECT inside`),
          Stream.provideService(Statement.CurrentOptions, [{ pageSize: 9 }, { pageSize: 7, consistency: "two" }]),
          Stream.tap(() => cql`SELECT outside`),
          Stream.runDrain
        )
        const of = (text: string) => server.received(text).map(({ consistency, pageSize }) => [consistency, pageSize])
        for (const text of ["SELECT n", "SELECT inside"]) {
          assert.deepStrictEqual(of(text), numbered(3).map(() => ["TWO", 7]))
        }
        assert.deepStrictEqual(of("SELECT outside"), numbered(3).map(() => ["LOCAL_ONE", 5000]))
      }
    }))

  it.live("is that in which a stream is run, if it has none of its own", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1]], [[2]], [[3]]] }))
      const { cql } = yield* connect(server)
      yield* Stream.runDrain(cql`SELECT n`.stream).pipe(provideOptions({ pageSize: 7 }))
      assert.deepStrictEqual(pageSizes(server), [7, 7, 7])
    }))

  it.live("can be that of a layer, and is not that of what uses the layer", () =>
    Effect.gen(function*() {
      const server = yield* answering
      const warm = Layer.effectDiscard(cql`SELECT inside`).pipe(
        Layer.provide(Layer.succeed(Statement.CurrentOptions, [{ pageSize: 7 }])),
        Layer.provideMerge(Session.layer(optionsFor(server)))
      )
      yield* cql`SELECT outside`.pipe(Effect.provide(warm))
      assert.deepStrictEqual(pageSizes(server, "SELECT inside"), [7])
      assert.deepStrictEqual(pageSizes(server, "SELECT outside"), [5000])
    }))

  it.live("is not that of a session that was opened in it", () =>
    Effect.gen(function*() {
      const server = yield* answering
      const session = yield* connect(server).pipe(provideOptions({ pageSize: 7 }))
      yield* session.cql`SELECT n`
      assert.deepStrictEqual(pageSizes(server), [5000])
    }))

  it.live("is that of a batch, and of no statement in it", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const batch = Statement.batch([cql`INSERT a`, cql`INSERT ${"b"}`])
      yield* batch.pipe(provideOptions({ consistency: "two", timestamp: -7, tracing: true, pageSize: 3 }))
      const [request] = server.received(() => true, ["batch"])
      assert.deepInclude(sent(request!), { consistency: "TWO", timestamp: -7n, tracing: true, pageSize: undefined })
    }))
})

// --- profiles

describe("a profile", () => {
  it.live("is the session's own: another session's of the same name is another", () =>
    Effect.gen(function*() {
      const server = yield* answering
      const sessions = yield* Effect.forEach([1, 2], (pageSize) => connect(server, { profiles: { p: { pageSize } } }))
      const statement = cql`SELECT n`
      const own = statement.pipe(withOptions({ profile: "p" }))
      const run = Effect.forEach(
        sessions,
        (session) => Effect.andThen(own, provideOptions(statement, { profile: "p" })).pipe(on(session))
      )
      yield* run
      yield* Effect.forEach(sessions, (session) => statement.pipe(on(session))).pipe(provideOptions({ profile: "p" }))
      assert.deepStrictEqual(pageSizes(server), [1, 1, 2, 2, 1, 2])
    }))

  it.live("may be called what every object has", () =>
    Effect.gen(function*() {
      const names = ["__proto__", "constructor", "toString"]
      const profiles = Object.fromEntries(names.map((name, index) => [name, { pageSize: index + 1 }]))
      const { cql, server } = yield* answeringSession({ profiles, profile: "__proto__" })
      for (const profile of names) yield* cql`SELECT n`.pipe(withOptions({ profile }))
      yield* cql`SELECT n`
      assert.deepStrictEqual(pageSizes(server), [1, 2, 3, 1])
    }))

  const profiles = { first: {}, "the second": { pageSize: 2 } }

  for (const profile of ["third", "First", "constructor", "__proto__"]) {
    it.live(`${profile} that there is not is refused, and those that there are are listed`, () =>
      Effect.gen(function*() {
        const { cql, server } = yield* answeringSession({ profiles })
        yield* server.clearRequests
        const [own, batch] = [cql`SELECT ${1}`, Statement.batch([cql`INSERT ${1}`])]
        const refused = [
          own.pipe(withOptions({ profile })),
          own.pipe(withOptions({ profile, pageSize: 5 }), withOptions({ profile: "first" })),
          own.pipe(provideOptions({ profile })),
          own.pipe(withOptions({ profile: "first" }), provideOptions({ profile })),
          own.pipe(provideOptions({ profile: "first" }), provideOptions({ profile })),
          own.one.pipe(provideOptions({ profile })),
          Stream.runDrain(own.stream).pipe(provideOptions({ profile })),
          batch.pipe(withOptions({ profile })),
          batch.pipe(provideOptions({ profile })),
          Statement.prepare(own).pipe(provideOptions({ profile })),
          Statement.check(own.pipe(withOptions({ profile })))
        ]
        for (const effect of refused) {
          const { expected, field, message } = yield* reasonOf("InvalidConfig")(effect)
          assert.strictEqual(field, "profile")
          assert.strictEqual(expected, `one of "first", "the second", not ${JSON.stringify(profile)}`)
          assert.include(message, expected)
        }
        assertNothingAsked(server)
      }))

    it.live(`${profile} that there is not is refused to a session, before anything is opened`, () =>
      Effect.gen(function*() {
        const server = yield* answering
        const { expected, field } = yield* reasonOf("InvalidConfig")(connect(server, { profile, profiles }))
        assert.deepStrictEqual([field, expected], [
          "profile",
          `one of "first", "the second", not ${JSON.stringify(profile)}`
        ])
        const alone = yield* reasonOf("InvalidConfig")(connect(server, { profile }))
        assert.strictEqual(alone.expected, `left out, not ${JSON.stringify(profile)}`)
        assert.strictEqual(server.accepted(), 0)
      }))
  }

  it.live("where there is none is refused, and told to be left out", () =>
    Effect.gen(function*() {
      const { cql } = yield* answeringSession()
      const { message } = yield* reasonOf("InvalidConfig")(cql`SELECT n`.pipe(withOptions({ profile: "a" })))
      assert.strictEqual(message, "profile must be left out, not \"a\"")
    }))

  it.live("that names a profile, or is none, is refused to a session", () =>
    Effect.gen(function*() {
      const server = yield* answering
      const wrong: ReadonlyArray<readonly [field: string, profiles: unknown]> = [
        ["profiles.b.profile", { a: {}, b: { profile: "a" } }],
        ["profiles.b.profile", { b: { profile: "b", pageSize: 0 } }],
        ["profiles.a", { a: null }],
        ["profiles.a", { a: "quorum" }],
        ["profiles", "a"],
        ["profiles", null],
        ["profiles", [{ pageSize: 5 }]]
      ]
      for (const [field, profiles] of wrong) {
        const options = { profiles } as Session.Options
        assert.strictEqual((yield* reasonOf("InvalidConfig")(connect(server, options))).field, field)
      }
      assert.strictEqual(server.accepted(), 0)
    }))
})

const on = (session: Session["Service"]) => Effect.provideService(Session, session)

// --- what is refused

const manyKeys = Object.fromEntries(numbered(65_536).map((n) => [n, null]))

const bytes = new Uint8Array([1])

const badValues: { readonly [option in keyof Statement.Options]-?: ReadonlyArray<unknown> } = {
  consistency: ["Quorum", "QUORUM", "", 4, null, 4n, ["one"]],
  serialConsistency: ["quorum", "localQuorum", "SERIAL", 8, null],
  pageSize: [0, -1, 1.5, NaN, Infinity, 2 ** 31, "10", 10n, null],
  timeout: [
    0,
    -1,
    NaN,
    Infinity,
    "soon",
    "25 days",
    "0 seconds",
    "-1 seconds",
    {},
    null,
    true,
    999_999n,
    [1],
    Symbol("s")
  ],
  attemptTimeout: [0, -1, NaN, Infinity, "soon", "25 days", {}, null, false, new Date()],
  streamTimeout: [0, -1, NaN, Infinity, "soon", "25 days", {}, null, false, new Date()],
  idempotent: ["yes", 1, 0, null],
  maxRows: [0, -5, 1.5, NaN, Infinity, "many", 5n, null],
  timestamp: [1.5, NaN, Infinity, 2 ** 53, -(2 ** 53), 2n ** 63n, -(2n ** 63n), 2n ** 64n, "1", new Date(), null, true],
  tracing: ["on", 0, 1, null],
  spans: ["all", true, null],
  slowThreshold: [0, -1, NaN, Infinity, "soon", {}, null, true],
  customPayload: [
    {},
    [],
    [bytes],
    null,
    "text",
    bytes,
    new Map([["a", bytes]]),
    { a: "text" },
    { a: [1] },
    { a: undefined },
    { a: new ArrayBuffer(1) },
    { a: bytes, "": bytes },
    { ["é".repeat(32_768)]: bytes },
    { "half \ud800": bytes },
    manyKeys
  ],
  node: ["", " ", 5, null, ["10.0.0.1:9042"]],
  retry: [false, null, "none", {}, { decide: CqlRetry.decide }, { schedule: CqlRetry.schedule }],
  hedge: [true, null, "50 millis", 50, [], {}, { times: 2 }, { delay: 5, percentile: 99 }],
  profile: ["", " ", 5, null, ["p"]]
}

describe("a value that makes no sense", () => {
  for (const [option, values] of Object.entries(badValues)) {
    it.live(`of ${option} is refused by its name, wherever it is said, before anything is sent`, () =>
      Effect.gen(function*() {
        const { cql, server } = yield* answeringSession({ profiles: { p: {} } })
        yield* server.clearRequests
        const [statement, batch] = [cql`SELECT ${"n"}`, Statement.batch([cql`INSERT ${"n"}`])]
        for (const value of values) {
          const options = { [option]: value } as Statement.Options
          const refused: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            statement.pipe(withOptions(options)),
            // It is not mended by what is said nearer.
            statement.pipe(withOptions(options), withOptions({ [option]: undefined })),
            statement.pipe(withOptions(options)).first,
            Stream.runDrain(statement.pipe(withOptions(options)).pages),
            Statement.prepare(statement.pipe(withOptions(options))),
            batch.pipe(withOptions(options)),
            statement.pipe(provideOptions(options)),
            statement.pipe(provideOptions({}), provideOptions(options)),
            batch.pipe(provideOptions(options))
          ]
          for (const effect of refused) {
            const reason = yield* reasonOf("InvalidConfig")(effect)
            assert.strictEqual(reason.field, option)
            assert.include(reason.message, `${option} must be ${reason.expected}`)
          }
        }
        assertNothingAsked(server)
      }))

    it.live(`of ${option} is refused to a session, of itself and of a profile, before anything is opened`, () =>
      Effect.gen(function*() {
        const server = yield* answering
        for (const value of values) {
          const options = { [option]: value } as Session.Options
          assert.strictEqual((yield* reasonOf("InvalidConfig")(connect(server, options))).field, option)
          const inProfile = { profiles: { ok: {}, x: options } } as Session.Options
          const { field, message } = yield* reasonOf("InvalidConfig")(connect(server, inProfile))
          assert.strictEqual(field, `profiles.x.${option}`)
          assert.include(message, `profiles.x.${option} must be`)
        }
        assert.strictEqual(server.accepted(), 0)
      }))
  }

  it.live("of a part of hedge is refused by the name of that part, wherever it is said", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      yield* server.clearRequests
      const accepted = server.accepted()
      const wrong: ReadonlyArray<readonly [field: string, hedges: ReadonlyArray<unknown>]> = [
        ["hedge.delay", [0, -1, NaN, Infinity, "soon", "25 days", null].map((delay) => ({ delay }))],
        ["hedge.percentile", [0, -1, 100, 101, NaN, Infinity, null].map((percentile) => ({ percentile }))],
        ["hedge.times", [0, -1, 1.5, 11, NaN, Infinity, "2", null].map((times) => ({ delay: 5, times }))]
      ]
      for (const [field, hedges] of wrong) {
        for (const hedge of hedges) {
          const options = { hedge } as Statement.Options
          const refused: ReadonlyArray<Effect.Effect<unknown, unknown, Scope.Scope>> = [
            cql`SELECT n`.pipe(withOptions(options)),
            cql`SELECT n`.pipe(provideOptions(options)),
            Statement.batch([cql`INSERT n`]).pipe(withOptions(options)),
            connect(server, options)
          ]
          for (const effect of refused) {
            assert.strictEqual((yield* reasonOf("InvalidConfig")(effect)).field, field, JSON.stringify(hedge))
          }
          const { field: inProfile } = yield* reasonOf("InvalidConfig")(connect(server, { profiles: { x: options } }))
          assert.strictEqual(inProfile, `profiles.x.${field}`)
        }
      }
      assertNothingAsked(server)
      assert.strictEqual(server.accepted(), accepted)
    }))

  it.live("in place of options is refused too", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const statement = cql`SELECT n`
      for (const value of [null, "quorum", 5, true]) {
        const options = value as unknown as Statement.Options
        for (const effect of [statement.pipe(withOptions(options)), statement.pipe(provideOptions(options))]) {
          const { field, message } = yield* reasonOf("InvalidConfig")(effect)
          assert.deepStrictEqual([field, message], ["options", "options must be an object of options"])
        }
      }
      assertNothingAsked(server)
    }))

  it.live("of timestamps is refused to a session", () =>
    Effect.gen(function*() {
      const server = yield* answering
      for (const timestamps of ["none", "", null, true]) {
        const options = { timestamps } as unknown as Session.Options
        assert.strictEqual((yield* reasonOf("InvalidConfig")(connect(server, options))).field, "timestamps")
      }
      assert.strictEqual(server.accepted(), 0)
    }))
})

describe("idempotent", () => {
  it.live("is taken at every level, and by a batch and its statements", () =>
    Effect.gen(function*() {
      for (const idempotent of [true, false, undefined]) {
        const { cql, server } = yield* answeringSession({
          idempotent,
          profile: "p",
          profiles: { p: { idempotent } }
        })
        const item = cql`INSERT n`.pipe(withOptions({ idempotent }))
        const batch = Statement.batch([item, item]).pipe(withOptions({ idempotent, profile: "p" }))
        yield* Effect.all([item, item.first, batch]).pipe(provideOptions({ idempotent, profile: "p" }))
        assert.lengthOf(server.received(() => true), 3)
      }
    }))
})

// --- single options

describe("the timestamp of a write", () => {
  it.live("is exact as a number and as a bigint, of both signs, in every kind of request", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const timestamps = [
        0,
        1,
        -1,
        Number.MAX_SAFE_INTEGER,
        Number.MIN_SAFE_INTEGER,
        0n,
        2n ** 63n - 1n,
        1n - 2n ** 63n
      ]
      for (const timestamp of timestamps) {
        yield* server.clearRequests
        yield* cql`INSERT n`.pipe(withOptions({ timestamp }))
        yield* cql`INSERT ${"n"}`.pipe(withOptions({ timestamp }))
        yield* Statement.batch([cql`INSERT n`]).pipe(withOptions({ timestamp }))
        assert.deepStrictEqual(
          server.received(() => true).map((request) => request.timestamp),
          [BigInt(timestamp), BigInt(timestamp), BigInt(timestamp)]
        )
      }
    }))

  it.live("by default is none that any session of this process has given before, and later than those", () =>
    Effect.gen(function*() {
      const server = yield* answering
      const sessions = yield* Effect.forEach(numbered(3), () => connect(server))
      yield* Effect.forEach(numbered(100), () =>
        Effect.forEach(
          sessions,
          ({ cql }) => Effect.all([cql`INSERT n`, cql`INSERT ${"n"}`, Statement.batch([cql`INSERT n`])], allAtOnce),
          allAtOnce
        ), { concurrency: 20 })
      const stamps = server.received(() => true).map(({ connection, timestamp }) =>
        [connection.id, timestamp!] as const
      )
      assert.lengthOf(stamps, 900)
      assert.strictEqual(new Set(stamps.map(([, timestamp]) => timestamp)).size, 900)
      // What is sent on one connection arrives in the order in which it was sent.
      for (const id of new Set(stamps.map(([connection]) => connection))) {
        const ofConnection = stamps.flatMap(([connection, timestamp]) => connection === id ? [timestamp] : [])
        assert.deepStrictEqual(ofConnection, ofConnection.toSorted((a, b) => a < b ? -1 : 1))
      }
    }))

  it.live("is the server's where the session says so, but for one that is said", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession({ timestamps: "server", profiles: { p: { timestamp: 3 } } })
      yield* cql`INSERT n`
      yield* cql`INSERT ${"n"}`
      yield* Statement.batch([cql`INSERT n`])
      yield* cql`INSERT n`.pipe(withOptions({ timestamp: 1n }))
      yield* cql`INSERT n`.pipe(provideOptions({ timestamp: -2 }))
      yield* cql`INSERT n`.pipe(withOptions({ profile: "p" }))
      yield* Statement.batch([cql`INSERT n`]).pipe(withOptions({ timestamp: 0 }))
      const stamps = server.received(() => true).map(({ timestamp }) => timestamp)
      assert.deepStrictEqual(stamps, [undefined, undefined, undefined, 1n, -2n, 3n, 0n])
      const stamped = yield* connect(server, { timestamps: "server", timestamp: 4 })
      yield* stamped.cql`INSERT stamped`
      assert.strictEqual(server.received("INSERT stamped")[0]!.timestamp, 4n)
    }))
})

describe("a custom payload", () => {
  it.live("arrives with its keys and its bytes, in every kind of request", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      const customPayload = {
        some: new Uint8Array([0, 1, 255]),
        none: null,
        empty: new Uint8Array(),
        "clé 🜏": Buffer.from("café")
      }
      yield* cql`SELECT n`.pipe(withOptions({ customPayload }))
      yield* cql`SELECT ${"n"}`.pipe(withOptions({ customPayload }))
      yield* Statement.batch([cql`INSERT n`]).pipe(withOptions({ customPayload }))
      const requests = server.received(() => true)
      assert.lengthOf(requests, 3)
      for (const { payload } of requests) {
        assert.deepStrictEqual(Object.entries(payload), [
          ["some", Buffer.from([0, 1, 255])],
          ["none", null],
          ["empty", Buffer.alloc(0)],
          ["clé 🜏", Buffer.from("café")]
        ])
      }
    }))
})

describe("any", () => {
  it.live("goes out as ANY, which the driver would make ONE", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* answeringSession()
      yield* cql`INSERT n`.pipe(withOptions({ consistency: "any" }))
      yield* cql`INSERT ${"n"}`.pipe(withOptions({ consistency: "any" }))
      yield* Statement.batch([cql`INSERT n`]).pipe(withOptions({ consistency: "any" }))
      assert.deepStrictEqual(server.received(() => true).map(({ consistency }) => consistency), ["ANY", "ANY", "ANY"])
    }))
})

// --- nodes

const addressOf = ({ host, port }: ScriptedServer.ScriptedServer) => `${host}:${port}`

/** A subnet of this file's own: the nodes of a cluster share a port, and files run side by side. */
const makeCluster = (nodes: ScriptedServer.ClusterOptions["nodes"]) =>
  ScriptedServer.makeCluster({
    nodes,
    subnet: "127.0.71",
    keyspaces: { shop: { class: "SimpleStrategy", replication_factor: "1" } }
  })

/** Three nodes, each with a third of the ring, and a table whose only key is text. */
const threeNodes = Effect.gen(function*() {
  const servers = yield* makeCluster(3)
  // What a node has not prepared, it does not know.
  servers.on((query) => query !== "", Reply.void)
  servers.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1]], [[2]], [[3]]] }))
  preparesUsers(servers)
  return servers
})

const connectTo = Effect.fnUntraced(function*(servers: ScriptedServer.Cluster, options?: Session.Options) {
  const session = yield* connect(servers, { reconnectDelay: { base: "10 minutes", max: "10 minutes" }, ...options })
  yield* servers.clearRequests
  for (const node of servers.nodes) yield* node.clearRequests
  return session
})

const statementKinds = ["query", "execute", "batch"] as const

/** How many statements each node was asked. */
const asked = (servers: ScriptedServer.Cluster) =>
  servers.nodes.map((node) => node.received(() => true, statementKinds).length)

describe("a statement of one node", () => {
  for (
    const [name, nameOf] of [
      ["address", addressOf],
      ["host id", ({ hostId }: ScriptedServer.ScriptedServer) => hostId]
    ] as const
  ) {
    it.live(`is asked there and nowhere else, when it is named by its ${name}`, () =>
      Effect.gen(function*() {
        const servers = yield* threeNodes
        const { cluster, cql } = yield* connectTo(servers)
        const known = yield* cluster.nodes
        for (const [index, server] of servers.nodes.entries()) {
          const node = nameOf(server)
          assert.isTrue(known.some(({ address, hostId }) => node === address || node === hostId))
          for (const each of servers.nodes) yield* each.clearRequests
          const insert = (id: number) => cql`INSERT ${`user ${id}`}`.pipe(withOptions({ node }))
          yield* insert(0)
          yield* Effect.forEach(numbered(30), insert)
          yield* Effect.forEach(numbered(5), () => cql`SELECT m`.pipe(withOptions({ node })))
          yield* Effect.forEach(numbered(5), (n) =>
            Statement.batch([cql`INSERT ${`user ${n}`}`]).pipe(withOptions({ node })))
          yield* Stream.runDrain(cql`SELECT n`.pipe(withOptions({ node })).stream)
          const result = yield* cql`SELECT n`.pipe(withOptions({ node })).result
          assert.strictEqual(result.coordinator, addressOf(server))
          const counts = asked(servers)
          // The first one of a node that does not know the statement, as another has prepared it, is asked twice.
          assert.strictEqual(counts[index], index === 0 ? 47 : 48)
          assert.deepStrictEqual(counts.toSpliced(index, 1), [0, 0])
        }
      }))
  }

  it.live("is prepared there and nowhere else", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const { cql } = yield* connectTo(servers)
      const [first, second, third] = servers.nodes
      const there = withOptions({ node: addressOf(second!) })
      yield* cql`INSERT a ${"a"}`.pipe(there)
      yield* Statement.batch([cql`INSERT b ${"b"}`, cql`INSERT c ${"c"}`]).pipe(there)
      yield* Statement.check(cql`INSERT d ${"d"}`.pipe(there))
      yield* Statement.prepare(cql`INSERT e ${"e"}`.pipe(there))
      const kinds = second!.received(() => true, everyKind).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds, ["prepare", "execute", "prepare", "prepare", "batch", "prepare", "prepare"])
      for (const node of [first!, third!]) assertNothingAsked(node)
    }))

  it.live("is prepared there also while another node is silent", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const { cql } = yield* connectTo(servers, { shutdownTimeout: "20 millis" })
      const [first, second, third] = servers.nodes
      for (const node of [first!, third!]) node.on(() => true, Reply.silence, ["prepare"])
      const all = numbered(6).map((n) => cql`INSERT ${cql.unsafe(String(n))} ${"a"}`)
      yield* Effect.forEach(all, withOptions({ node: second!.hostId }))
      assert.deepStrictEqual(asked(servers), [0, 6, 0])
    }))

  it.live("is that of its region, of its session or of a profile", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const [first, second, third] = servers.nodes.map(addressOf)
      const { cql } = yield* connectTo(servers, { node: first!, profiles: { third: { node: third! } } })
      const statements = Effect.forEach(numbered(6), () => cql`SELECT m`)
      yield* statements
      assert.deepStrictEqual(asked(servers), [6, 0, 0])
      yield* statements.pipe(provideOptions({ node: second! }))
      assert.deepStrictEqual(asked(servers), [6, 6, 0])
      yield* statements.pipe(provideOptions({ node: second!, pageSize: 5 }), provideOptions({ profile: "third" }))
      assert.deepStrictEqual(asked(servers), [6, 12, 0])
      yield* cql`SELECT m`.pipe(withOptions({ profile: "third" }), provideOptions({ node: second! }))
      assert.deepStrictEqual(asked(servers), [6, 12, 1])
    }))

  it.live("that is forgotten there is prepared there again", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const { cql } = yield* connectTo(servers)
      const [, second] = servers.nodes
      const insert = cql`INSERT ${"a"}`.pipe(withOptions({ node: addressOf(second!) }))
      yield* insert
      yield* servers.forgetPrepared
      for (const node of servers.nodes) yield* node.clearRequests
      yield* insert
      assert.deepStrictEqual(second!.received(() => true, everyKind).map(({ kind }) => kind), [
        "execute",
        "prepare",
        "execute"
      ])
      for (const node of servers.nodes.filter((node) => node !== second)) assertNothingAsked(node)
    }))

  it.live("that there is not fails, and no other node is asked", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const { cql } = yield* connectTo(servers)
      const [first] = servers.nodes
      for (const node of ["10.9.8.7:9042", first!.host, `${first!.host}:1`, crypto.randomUUID(), "__proto__"]) {
        for (const statement of [cql`SELECT n`, cql`INSERT ${"a"}`, Statement.batch([cql`INSERT ${"a"}`])]) {
          const reason = yield* reasonOf("NoHostAvailable")(statement.pipe(withOptions({ node })))
          assert.deepStrictEqual(reason.nodes, [])
          assert.include(reason.message, `no node of the cluster has the address or host id ${node}`)
        }
      }
      assertNothingAsked(servers)
    }))

  it.live("that is down fails, and no other node is asked", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const session = yield* connectTo(servers)
      const [, second] = servers.nodes
      yield* second!.refuse
      yield* untilNode("hostDown", session, second!.dropConnections)
      for (const node of [addressOf(second!), second!.hostId]) {
        const { cql } = session
        for (const statement of [cql`SELECT n`, cql`INSERT ${"a"}`, Statement.batch([cql`INSERT ${"a"}`])]) {
          const reason = yield* reasonOf("NoHostAvailable")(statement.pipe(withOptions({ node })))
          assert.deepStrictEqual(reason.nodes, [{ node: addressOf(second!), error: "down" }])
        }
      }
      assertNothingAsked(servers)
    }))

  it.live("that is not used fails: of another data center, or refused by nodeFilter", () =>
    Effect.gen(function*() {
      const servers = yield* makeCluster([{ dataCenter: "paris" }, { dataCenter: "oslo" }, { dataCenter: "paris" }])
      servers.on(() => true, Reply.void)
      const [, oslo, refused] = servers.nodes
      const { cql } = yield* connectTo(servers, {
        localDataCenter: "paris",
        nodeFilter: ({ address }) => address !== addressOf(refused!)
      })
      for (const node of [oslo!, refused!].map(addressOf)) {
        const reason = yield* reasonOf("NoHostAvailable")(cql`SELECT n`.pipe(withOptions({ node })))
        assert.deepStrictEqual(reason.nodes, [{ node, error: "no connection is open" }])
      }
      assert.deepStrictEqual(asked(servers), [0, 0, 0])
    }))

  const failures: ReadonlyArray<readonly [Parameters<typeof reasonOf>[0], Reply.Reply]> = [
    ["Overloaded", Reply.overloaded("busy")],
    ["Bootstrapping", Reply.bootstrapping("soon")],
    ["ServerError", Reply.serverError("broken")],
    ["Unavailable", Reply.unavailable({ required: 2, alive: 1 })],
    ["ReadTimeout", Reply.readTimeout({ received: 0, blockFor: 1 })],
    ["ClientTimeout", Reply.silence],
    ["ConnectionError", Reply.close]
  ]

  for (const [tag, reply] of failures) {
    it.live(`that fails with ${tag} fails so, and no other node is asked`, () =>
      Effect.gen(function*() {
        const servers = yield* threeNodes
        const { cql } = yield* connectTo(servers, { shutdownTimeout: "20 millis" })
        const [, second] = servers.nodes
        second!.on(/^SELECT/, reply)
        const limit = tag === "ClientTimeout" ? "20 millis" : "1 minute"
        const statement = cql`SELECT m`.pipe(
          withOptions({ node: addressOf(second!), attemptTimeout: limit, idempotent: true, retry: CqlRetry.none })
        )
        yield* reasonOf(tag)(statement)
        assert.deepStrictEqual(asked(servers), [0, 1, 0])
      }))
  }

  it.live("that takes no more fails, and no other node is asked", () =>
    Effect.gen(function*() {
      const servers = yield* threeNodes
      const { cql } = yield* connectTo(servers, { maxRequestsPerConnection: 1, maxInFlight: 10 })
      const [, second] = servers.nodes
      const node = addressOf(second!)
      const held = hold(second!, "SELECT m")
      const first = yield* Effect.forkChild(cql`SELECT m`.pipe(withOptions({ node })))
      yield* held.awaitHeld(1)
      const reason = yield* reasonOf("NoHostAvailable")(cql`SELECT m`.pipe(withOptions({ node })))
      assert.deepStrictEqual(reason.nodes.map(({ node }) => node), [node])
      assert.deepStrictEqual(asked(servers), [0, 1, 0])
      yield* held.answer()
      yield* Fiber.join(first)
    }))
})

// --- on a real server

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("on a real server", (it) => {
  const create = (name: string) => cql`CREATE TABLE ${cql.ident(name)} (id int PRIMARY KEY, v text)`

  const writeTimes = (name: string) =>
    Effect.map(
      cql`SELECT id, WRITETIME(v) AS at FROM ${cql.ident(name)}`,
      (rows) => rows.toSorted((a, b) => Number(a["id"]) - Number(b["id"])).map(({ at }) => at)
    )

  it.effect("a timestamp is that of the write, as a number and as a bigint, of both signs", () =>
    Effect.gen(function*() {
      yield* create("stamped")
      const timestamps = [
        1_234_567_890_123_456,
        0,
        -5,
        9007199254740993n,
        -9007199254740993n,
        2n ** 63n - 1n,
        1n - 2n ** 63n
      ]
      yield* Effect.forEach(
        timestamps,
        (timestamp, id) => cql`INSERT INTO stamped (id, v) VALUES (${id}, 'v')`.pipe(withOptions({ timestamp }))
      )
      assert.deepStrictEqual(yield* writeTimes("stamped"), timestamps.map(BigInt))
    }))

  it.effect("a timestamp of a batch is that of all of its statements", () =>
    Effect.gen(function*() {
      yield* create("stamped_together")
      const batch = Statement.batch([
        cql`INSERT INTO stamped_together (id, v) VALUES (${0}, 'v')`,
        cql`INSERT INTO stamped_together (id, v) VALUES (1, 'v')`
      ])
      yield* batch.pipe(withOptions({ timestamp: -77n }))
      assert.deepStrictEqual(yield* writeTimes("stamped_together"), [-77n, -77n])
    }))

  it.effect("USING TIMESTAMP in the text goes before the option, also in a batch", () =>
    Effect.gen(function*() {
      yield* create("said_twice")
      const options = withOptions({ timestamp: 1000 })
      yield* cql`INSERT INTO said_twice (id, v) VALUES (0, 'v') USING TIMESTAMP 2000`.pipe(options)
      yield* cql`INSERT INTO said_twice (id, v) VALUES (1, 'v') ${cql.using({ timestamp: 3000 })}`.pipe(options)
      const inBatch = cql`INSERT INTO said_twice (id, v) VALUES (2, 'v') USING TIMESTAMP 4000`
      yield* Statement.batch([inBatch, cql`INSERT INTO said_twice (id, v) VALUES (3, 'v')`]).pipe(options)
      assert.deepStrictEqual(yield* writeTimes("said_twice"), [2000n, 3000n, 4000n, 1000n])
    }))

  it.effect("a write with an older timestamp changes nothing", () =>
    Effect.gen(function*() {
      yield* create("outdated")
      yield* cql`INSERT INTO outdated (id, v) VALUES (0, 'newer')`
      yield* cql`INSERT INTO outdated (id, v) VALUES (0, 'older')`.pipe(withOptions({ timestamp: 5 }))
      assert.deepStrictEqual(yield* cql`SELECT v FROM outdated`, [{ v: "newer" }])
    }))

  it.effect("the coordinator stamps writes where the session leaves it to the server", () =>
    Effect.gen(function*() {
      yield* create("stamped_there")
      const { keyspace } = yield* Session
      const before = BigInt(Date.now()) * 1000n
      const { cql: unstamped } = yield* Session.makeFrom({ keyspace, timestamps: "server" })
      yield* unstamped`INSERT INTO stamped_there (id, v) VALUES (0, 'v')`
      const [at] = yield* writeTimes("stamped_there")
      // The server is on this machine, and has its clock.
      assert.isTrue((at as bigint) >= before)
    }))

  it.effect("any is for writes: a read with it is refused", () =>
    Effect.gen(function*() {
      yield* create("hinted")
      const anywhere = withOptions({ consistency: "any" })
      yield* cql`INSERT INTO hinted (id, v) VALUES (${1}, 'v')`.pipe(anywhere)
      yield* cql`INSERT INTO hinted (id, v) VALUES (2, 'v')`.pipe(anywhere)
      yield* Statement.batch([cql`INSERT INTO hinted (id, v) VALUES (3, 'v')`]).pipe(anywhere)
      for (const read of [cql`SELECT v FROM hinted`, cql`SELECT v FROM hinted WHERE id = ${1}`]) {
        const reason = yield* reasonOf("InvalidQuery")(read.pipe(anywhere))
        assert.include(reason.message, "ANY")
      }
      assert.lengthOf(yield* cql`SELECT v FROM hinted`, 3)
    }))

  it.effect("a custom payload that no query handler takes is passed over", () =>
    Effect.gen(function*() {
      const customPayload = { key: new Uint8Array([1, 2]), none: null, empty: new Uint8Array(), "clé": null }
      const statement = cql`SELECT key FROM system.local`.pipe(withOptions({ customPayload }))
      assert.deepStrictEqual(yield* statement, [{ key: "local" }])
      const bound = cql`SELECT key FROM system.local WHERE key = ${"local"}`.pipe(withOptions({ customPayload }))
      assert.deepStrictEqual(yield* bound, [{ key: "local" }])
    }))

  it.effect("a node is the one of cluster.nodes, by its address and by its host id", () =>
    Effect.gen(function*() {
      const { cluster } = yield* Session
      const [node] = yield* cluster.nodes
      for (const name of [node!.address, node!.hostId]) {
        const { coordinator } = yield* cql`SELECT key FROM system.local`.pipe(withOptions({ node: name })).result
        assert.strictEqual(coordinator, node!.address)
      }
    }))

  it.effect("tracing is off unless it is asked for", () =>
    Effect.gen(function*() {
      const { traceId: none } = yield* cql`SELECT key FROM system.local`.result
      assert.isUndefined(none)
      const { traceId } = yield* cql`SELECT key FROM system.local`.pipe(withOptions({ tracing: true })).result
      assert.match(traceId!, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
    }))
})
