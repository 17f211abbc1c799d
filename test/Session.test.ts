import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Cluster, cql, CqlError, CqlRetry, CqlStream, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, optionsFor, reasonOf, untilNode } from "./support/scripted.ts"
import type { Endpoint } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpProxy from "./support/TcpProxy.ts"

/** A session whose scope the test closes itself. */
const openIn = Effect.fnUntraced(function*(server: Endpoint, options?: Session.Options) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const session = yield* Scope.provide(connect(server, options), scope)
  return { ...session, close: Scope.close(scope, Exit.void) }
})

const numbers = [{ name: "n", type: "int" }]

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

/** Starts to close, and comes back as soon as the session admits nothing any more. */
const startClosing = Effect.fnUntraced(function*(session: { readonly close: Effect.Effect<void> }) {
  const closing = yield* Effect.forkChild(session.close)
  yield* Effect.yieldNow
  return closing
})

describe("closing", () => {
  it.live("lets 500 statements in flight end well", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const held = hold(server, "SELECT n", Reply.rows({ columns: numbers, rows: [[1]] }))
      const session = yield* openIn(server)
      const all = yield* Effect.forkChild(Effect.forEach(numbered(500), () => session.cql`SELECT n`.one, allAtOnce))
      yield* held.awaitHeld(500)
      const closing = yield* startClosing(session)
      yield* held.answer(500)
      assert.deepStrictEqual(yield* Fiber.join(all), numbered(500).map(() => ({ n: 1 })))
      yield* Fiber.join(closing)
      yield* server.awaitConnections(0)
    }))

  it.live("lets statements that wait for a place, or are being prepared, end well", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(() => true, Reply.void)
      const prepared = Reply.prepared({ id: Buffer.from("insert"), params: [{ name: "a", type: "text" }] })
      const preparing = hold(server, /^INSERT/, prepared, ["prepare"])
      const session = yield* openIn(server, { maxInFlight: 1 })
      const insert = yield* Effect.forkChild(session.cql`INSERT ${"a"}`)
      const waiting = yield* Effect.forkChild(Effect.forEach(numbered(10), () => session.cql`SELECT n`, allAtOnce))
      yield* preparing.awaitHeld(1)
      const closing = yield* startClosing(session)
      yield* preparing.answer()
      yield* Fiber.joinAll([insert, waiting, closing])
      assert.lengthOf(server.received("SELECT n"), 10)
      assert.lengthOf(server.received(() => true, ["execute"]), 1)
    }))

  it.live("lets a result that is being collected come to its end, page by page", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const pages = Reply.pages({ columns: numbers, pages: [[], [[1]], [], [[2]]] })
      const held = hold(server, "SELECT n", pages)
      const session = yield* openIn(server)
      const all = yield* Effect.forkChild(session.cql`SELECT n`)
      const one = yield* Effect.forkChild(session.cql`SELECT n`.one)
      yield* held.awaitHeld(2)
      const closing = yield* startClosing(session)
      for (const left of [2, 2, 1, 1]) {
        yield* held.awaitHeld(left)
        yield* held.answer(left)
      }
      assert.deepStrictEqual(yield* Fiber.join(all), [{ n: 1 }, { n: 2 }])
      assert.deepStrictEqual(yield* Fiber.join(one), { n: 1 })
      yield* Fiber.join(closing)
    }))

  it.live("refuses new statements at once with SessionClosed, while it waits and afterwards", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const held = hold(server, "SELECT n")
      const session = yield* openIn(server)
      const first = yield* Effect.forkChild(session.cql`SELECT n`)
      yield* held.awaitHeld(1)
      const closing = yield* startClosing(session)
      yield* reasonOf("SessionClosed")(session.cql`SELECT n`)
      yield* reasonOf("SessionClosed")(session.cql`INSERT ${"a"}`)
      yield* held.answer()
      yield* Fiber.joinAll([first, closing])
      const late = yield* Effect.flip(session.cql`SELECT n`.one)
      assert.instanceOf(late, CqlError)
      assert.deepInclude(late, { statement: "SELECT n", message: "the session is closed" })
      assert.lengthOf(server.received("SELECT n"), 1)
    }))

  for (const pagesAhead of [0, 1, 3]) {
    it.live(`ends a stream that is ${pagesAhead} pages ahead after the pages that it has, with SessionClosed`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", Reply.pages({ columns: numbers, pages: numbered(20).map((n) => [[n]]) }))
        const session = yield* openIn(server)
        const rows: Array<unknown> = []
        const stream = CqlStream.rows(session.cql`SELECT n`, { pagesAhead }).pipe(
          Stream.tap(({ n }) => {
            rows.push(n)
            return n === 4 ? session.close : Effect.void
          })
        )
        yield* reasonOf("SessionClosed")(Stream.runDrain(stream))
        assert.deepStrictEqual(rows, numbered(server.received("SELECT n").length))
        assert.isBelow(rows.length, 5 + pagesAhead + 1)
      }))
  }

  it.live("waits no longer than shutdownTimeout for a server that does not answer", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/SELECT/, Reply.silence)
      const session = yield* openIn(server, { shutdownTimeout: "50 millis" })
      const asked = yield* Effect.forkChild(Effect.flip(session.cql`SELECT n`))
      yield* server.awaitRequest("SELECT n")
      yield* session.close
      yield* server.awaitConnections(0)
      const { reason } = yield* Fiber.join(asked)
      assert.deepInclude(reason, { _tag: "ConnectionError", written: true })
    }))

  it.live("does not wait for a statement that was interrupted, wherever it was", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT/, Reply.silence)
      server.on(/^INSERT b/, Reply.silence, ["prepare"])
      const session = yield* openIn(server, { maxInFlight: 2, shutdownTimeout: "10 minutes" })
      const { admission } = session.core.shared
      const sent = yield* Effect.forkChild(session.cql`SELECT a`)
      yield* server.awaitRequest("SELECT a")
      const preparing = yield* Effect.forkChild(session.cql`INSERT b ${"x"}`)
      yield* server.awaitRequest(/^INSERT b/, 1, ["prepare"])
      const queued = yield* Effect.forkChild(session.cql`SELECT c`)
      yield* Effect.repeat(Effect.yieldNow, { until: () => admission.queued === 1 })
      assert.strictEqual(session.core.inFlight, 3)
      yield* Fiber.interruptAll([sent, preparing, queued])
      assert.deepStrictEqual([admission.inFlight, admission.queued, session.core.inFlight], [2, 0, 0])
      yield* session.close
      yield* Effect.repeat(Effect.yieldNow, { until: () => admission.inFlight === 0 })
      assert.strictEqual(session.core.inFlight, 0)
    }))

  it.live("waits for the others when one was interrupted, whose late answer counts for none of them", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const interrupted = hold(server, "SELECT a")
      const held = hold(server, "SELECT b")
      const session = yield* openIn(server)
      const first = yield* Effect.forkChild(session.cql`SELECT a`)
      const second = yield* Effect.forkChild(session.cql`SELECT b`)
      yield* interrupted.awaitHeld(1)
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(first)
      const closing = yield* startClosing(session)
      yield* interrupted.answer()
      yield* Effect.repeat(Effect.yieldNow, { until: () => session.core.shared.admission.inFlight === 1 })
      assert.strictEqual(session.core.inFlight, 1)
      assert.isUndefined(closing.pollUnsafe())
      yield* held.answer()
      yield* Fiber.joinAll([second, closing])
      assert.strictEqual(session.core.inFlight, 0)
    }))

  it.live("ends, and closes its sockets, with a server that is frozen", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.silence)
      const proxy = yield* TcpProxy.make({ target: server })
      const session = yield* openIn(proxy, { shutdownTimeout: "50 millis" })
      const asked = yield* Effect.forkChild(Effect.exit(session.cql`SELECT n`))
      yield* server.awaitRequest("SELECT n")
      yield* proxy.pause
      yield* session.close
      yield* proxy.resume
      yield* proxy.awaitConnections(0)
      yield* Fiber.join(asked)
    }))

  it.live("ends, and closes its sockets, even if the driver never does", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const session = yield* openIn(server)
      yield* session.cluster.use(async (client) => {
        client.shutdown = () => new Promise(() => {})
        for (const host of client.hosts.values()) {
          Object.assign(host, { shutdown: () => new Promise(() => {}) })
        }
      })
      yield* session.close
      yield* server.awaitConnections(0)
    }))

  it.live("leaves the other sessions of the cluster at work", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.void)
      const cluster = yield* Cluster.make(optionsFor(server))
      const open = Session.makeFrom().pipe(Effect.provideService(Cluster, cluster))
      const other = yield* open
      const closed = yield* Effect.scoped(open)
      yield* reasonOf("SessionClosed")(closed.cql`SELECT n`)
      yield* other.cql`SELECT n`
      assert.strictEqual(server.accepted(), 1)
    }))

  it.live("waits as long as the cluster says, if the session does not", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.silence)
      const cluster = yield* Cluster.make({ ...optionsFor(server), shutdownTimeout: "50 millis" })
      const open = Session.makeFrom().pipe(Effect.provideService(Cluster, cluster))
      yield* Effect.scoped(Effect.gen(function*() {
        const { cql } = yield* open
        yield* Effect.forkChild(cql`SELECT n`)
        yield* server.awaitRequest("SELECT n")
      }))
    }), 8000)
})

describe("a session that is printed", () => {
  it.live("shows nothing of the driver, of credentials or of statements", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password: "engine" } })
      server.on("SELECT secret", Reply.void)
      const session = yield* connect(server, { username: "ada", password: Redacted.make("engine") })
      yield* session.cql`SELECT secret`
      const printed = JSON.stringify(session)
      assert.notMatch(printed, /engine|ada|secret|protocolOptions/)
      assert.isBelow(printed.length, 500)
    }))
})

describe("a time limit", () => {
  const silentSession = Effect.fnUntraced(function*(options?: Session.Options) {
    const server = yield* ScriptedServer.make()
    server.on(/^(SELECT|INSERT)/, Reply.silence)
    return { server, ...yield* connect(server, { shutdownTimeout: "20 millis", ...options }) }
  })

  it.live("of the attempt ends what one node does not answer, and tells which", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* silentSession({ attemptTimeout: "20 millis", retry: CqlRetry.none })
      const error = yield* Effect.flip(cql`SELECT n`)
      assert.deepInclude(error.reason, { _tag: "ClientTimeout", phase: "attempt", timeoutMillis: 20 })
      const node = `${server.host}:${server.port}`
      assert.strictEqual(error.coordinator, node)
      assert.deepStrictEqual(error.attempts.map(({ node, outcome }) => ({ node, outcome })), [
        { node, outcome: "ClientTimeout" }
      ])
    }))

  it.live("of the whole statement ends it if that comes first", () =>
    Effect.gen(function*() {
      const { cql } = yield* silentSession({ timeout: "20 millis" })
      const reasons = yield* Effect.forEach(
        numbered(50),
        () => Effect.andThen(Effect.yieldNow, reasonOf("ClientTimeout")(cql`SELECT n`)),
        { concurrency: 10 }
      )
      for (const reason of reasons) assert.deepInclude(reason, { phase: "operation", timeoutMillis: 20 })
    }))

  it.live("also ends a statement that is being prepared, and leaves the preparing to others", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* silentSession()
      server.on(() => true, Reply.void, ["execute"])
      const prepared = Reply.prepared({ id: Buffer.from("insert"), params: [{ name: "a", type: "text" }] })
      const preparing = hold(server, /^INSERT/, prepared, ["prepare"])
      const insert = cql`INSERT ${"a"}`
      const hasty = insert.pipe(Statement.withOptions({ timeout: "20 millis", attemptTimeout: "10 millis" }))
      const ended = yield* Effect.forkChild(reasonOf("ClientTimeout")(hasty))
      yield* preparing.awaitHeld(1)
      const waiting = yield* Effect.forkChild(insert)
      assert.deepInclude(yield* Fiber.join(ended), { phase: "prepare", timeoutMillis: 20 })
      yield* preparing.answer()
      yield* Fiber.join(waiting)
      assert.lengthOf(server.received(/^INSERT/, ["prepare"]), 1)
    }))

  it.live("of the session's attempts ends preparing for all who wait", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* silentSession({ attemptTimeout: "20 millis", retry: CqlRetry.none })
      server.on(/^INSERT/, Reply.silence, ["prepare"])
      const reasons = yield* Effect.forEach(
        numbered(3),
        () => reasonOf("ClientTimeout")(cql`INSERT ${"a"}`),
        allAtOnce
      )
      for (const reason of reasons) assert.deepInclude(reason, { phase: "prepare", timeoutMillis: 20 })
      assert.lengthOf(server.received(/^INSERT/, ["prepare"]), 1)
    }))

  it.live("also ends a statement that is being prepared again", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* silentSession()
      server.on(/^INSERT/, Reply.void)
      yield* cql`INSERT ${"a"}`
      yield* server.forgetPrepared
      server.on(/^INSERT/, Reply.silence, ["prepare"])
      const late = cql`INSERT ${"a"}`.pipe(Statement.withOptions({ timeout: "500 millis" }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(late), { phase: "prepare", timeoutMillis: 500 })
    }))

  it.live("of the statement is the statement's, and otherwise the session's", () =>
    Effect.gen(function*() {
      const { cql } = yield* silentSession({ timeout: "1 second", attemptTimeout: "20 millis" })
      const limits = Effect.fnUntraced(function*(options: Statement.Options) {
        const reason = yield* reasonOf("ClientTimeout")(cql`SELECT n`.pipe(Statement.withOptions(options)))
        return [reason.phase, reason.timeoutMillis]
      })
      assert.deepStrictEqual(yield* limits({}), ["attempt", 20])
      assert.deepStrictEqual(yield* limits({ attemptTimeout: "30 millis" }), ["attempt", 30])
      assert.deepStrictEqual(yield* limits({ attemptTimeout: "1 minute" }), ["operation", 1000])
      assert.deepStrictEqual(yield* limits({ attemptTimeout: "1 minute", timeout: "40 millis" }), ["operation", 40])
    }))
})

describe("options", () => {
  it.live("of the statement go before those of the session, and those before the defaults", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT/, Reply.void)
      const plain = yield* connect(server)
      const session = yield* connect(server, { consistency: "quorum", pageSize: 100, serialConsistency: "serial" })
      yield* plain.cql`SELECT n`
      yield* session.cql`SELECT n`
      yield* session.cql`SELECT n`.pipe(
        Statement.withOptions({ consistency: "one" }),
        Statement.withOptions({ pageSize: 7, serialConsistency: "localSerial" })
      )
      assert.deepStrictEqual(
        server.received("SELECT n").map((request) => [
          request.consistency,
          request.serialConsistency,
          request.pageSize
        ]),
        [["LOCAL_ONE", undefined, 5000], ["QUORUM", "SERIAL", 100], ["ONE", "LOCAL_SERIAL", 7]]
      )
    }))

  it.effect("stamp writes by the clock on the wall, not by Effect's, and each later than the one before", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^INSERT/, Reply.void)
      const { cql } = yield* connect(server)
      yield* Effect.forEach(numbered(100), () => cql`INSERT a`, allAtOnce)
      const stamps = server.received("INSERT a").map(({ timestamp }) => Number(timestamp))
      assert.isAbove(stamps[0]!, Date.UTC(2020) * 1000)
      assert.deepStrictEqual(stamps, [...new Set(stamps)].sort((a, b) => a - b))
      const { cql: unstamped } = yield* connect(server, { timestamps: "server" })
      yield* unstamped`INSERT b`
      assert.isUndefined(server.received("INSERT b")[0]!.timestamp)
    }))
})

describe("preparing", () => {
  const texts = (server: ScriptedServer.Scripts, kind: ScriptedServer.Kind) =>
    server.received(/^INSERT/, [kind]).map(({ query }) => query)

  const preparingServer = Effect.gen(function*() {
    const server = yield* ScriptedServer.make()
    server.on(/^INSERT/, Reply.void)
    return server
  })

  it.live("is done once for a hundred statements of one new text", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const { cql } = yield* connect(server)
      yield* Effect.forEach(numbered(100), (n) => cql`INSERT ${String(n)}`, allAtOnce)
      assert.lengthOf(texts(server, "prepare"), 1)
      assert.lengthOf(texts(server, "execute"), 100)
    }))

  it.live("is not done for a statement without values", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const { cql } = yield* connect(server)
      yield* cql`INSERT a`
      assert.lengthOf(texts(server, "prepare"), 0)
      assert.lengthOf(texts(server, "query"), 1)
    }))

  it.live("that failed is forgotten: everyone who waited is told, and the next tries anew", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const { cql } = yield* connect(server)
      const takeBack = server.on(/^INSERT/, Reply.invalid("no such table"), ["prepare"])
      const reasons = yield* Effect.forEach(numbered(10), () => reasonOf("InvalidQuery")(cql`INSERT ${"a"}`), allAtOnce)
      assert.deepStrictEqual(new Set(reasons.map(({ message }) => message)), new Set(["no such table"]))
      assert.lengthOf(texts(server, "prepare"), 1)
      takeBack()
      yield* cql`INSERT ${"a"}`
      assert.lengthOf(texts(server, "prepare"), 2)
    }))

  it.live("is done again, once for all, on a node that has forgotten a statement, which is then tried once more", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const { cql } = yield* connect(server)
      yield* cql`INSERT ${"a"}`
      yield* server.forgetPrepared
      yield* server.clearRequests
      yield* Effect.forEach(numbered(10), () => cql`INSERT ${"a"}`, allAtOnce)
      assert.lengthOf(texts(server, "prepare"), 1)
      assert.lengthOf(texts(server, "execute"), 10)
      assert.lengthOf(server.received("", ["execute"]), 10)
    }))

  it.live("again on one node does not prepare it on the others", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.67" })
      cluster.on(/^INSERT/, Reply.void)
      const { cql } = yield* connect(cluster)
      yield* Effect.forEach(numbered(8), () => cql`INSERT ${"a"}`)
      assert.deepStrictEqual(cluster.nodes.map((node) => texts(node, "prepare").length), [1, 1])
    }))

  it.live("as soon as it was prepared is sent as a text, with the same values", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      server.on(/^INSERT/, ({ preparedId }) => Reply.unprepared(preparedId!), ["execute"])
      const { cql } = yield* connect(server)
      yield* cql`INSERT ${"a"}`
      assert.lengthOf(texts(server, "prepare"), 2)
      assert.lengthOf(texts(server, "execute"), 2)
      const [query] = server.received(/^INSERT/, ["query"])
      assert.strictEqual(query!.query, "INSERT ?")
      assert.deepStrictEqual(query!.values, [Buffer.from("a")])
    }))

  it.live("is kept for maxPrepared texts, of which those unused longest go first", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const { cql } = yield* connect(server, { maxPrepared: 3 })
      const insert = (name: string) => cql`INSERT ${cql.unsafe(name)} ${"value"}`
      yield* Effect.forEach(["a", "b", "c", "d", "b", "e", "b", "c"], insert)
      assert.deepStrictEqual(texts(server, "prepare"), ["a", "b", "c", "d", "e", "c"].map((name) => `INSERT ${name} ?`))
    }))

  it.live("that is answered by something else ends with a ProtocolError", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      server.on(/^INSERT/, Reply.void, ["prepare"])
      const { cql } = yield* connect(server)
      yield* reasonOf("ProtocolError")(cql`INSERT ${"a"}`)
    }))

  it.live("whose connection is lost executed nothing", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      server.on(/^INSERT/, Reply.close, ["prepare"])
      const { cql } = yield* connect(server, { retry: CqlRetry.none })
      const reason = yield* reasonOf("ConnectionError")(cql`INSERT ${"a"}`)
      assert.isFalse(reason.written)
    }))

  it.live("goes on with the next node where one cannot be asked", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.67" })
      cluster.on(/^INSERT/, Reply.void)
      const { cql } = yield* connect(cluster, { reconnectDelay: { base: "1 millis", max: "1 millis" } })
      cluster.nodes[0]!.on(/^INSERT/, Reply.close, ["prepare"])
      yield* Effect.forEach(numbered(8), (n) => cql`INSERT ${cql.unsafe(String(n))} ${"a"}`)
      yield* Effect.forEach(numbered(8), () => cql`INSERT ${"a"}`)
      assert.isAbove(texts(cluster.nodes[0]!, "prepare").length, 0)
    }))

  it.live("with no node left says so for each, as executing does", () =>
    Effect.gen(function*() {
      const server = yield* preparingServer
      const session = yield* connect(server, { reconnectDelay: { base: "10 minutes", max: "10 minutes" } })
      yield* server.refuse
      yield* untilNode("hostDown", session, server.dropConnections)
      const node = { node: `${server.host}:${server.port}`, error: "down" }
      for (const statement of [session.cql`INSERT ${"a"}`, session.cql`INSERT a`]) {
        const reason = yield* reasonOf("NoHostAvailable")(statement)
        assert.deepStrictEqual(reason.nodes, [node])
      }
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true })("on a real server", (it) => {
  it.effect("a statement whose table was dropped after it was prepared fails with the server's own words", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE dropped (id int PRIMARY KEY)`
      const insert = cql`INSERT INTO dropped (id) VALUES (${1})`
      yield* insert
      yield* cql`DROP TABLE dropped`
      const reason = yield* reasonOf("InvalidQuery")(insert)
      assert.match(reason.message, /table .*dropped.* does not exist|unconfigured table/i)
    }))

  it.effect("a statement goes on to work after its table was altered, or dropped and made anew", () =>
    Effect.gen(function*() {
      const select = cql`SELECT * FROM altered WHERE id = ${1}`.first
      yield* cql`CREATE TABLE altered (id int PRIMARY KEY, a text)`
      yield* cql`INSERT INTO altered (id, a) VALUES (${1}, ${"x"})`
      assert.deepStrictEqual(yield* select, Option.some({ id: 1, a: "x" }))
      yield* cql`ALTER TABLE altered ADD b int`
      assert.deepStrictEqual(yield* select, Option.some({ id: 1, a: "x", b: null }))
      yield* cql`DROP TABLE altered`
      yield* cql`CREATE TABLE altered (id int PRIMARY KEY, c boolean)`
      yield* cql`INSERT INTO altered (id, c) VALUES (${1}, ${true})`
      assert.deepStrictEqual(yield* select, Option.some({ id: 1, c: true }))
    }))

  it.effect("500 statements that are in flight when the scope closes end well", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      yield* cql`CREATE TABLE drained (id int PRIMARY KEY)`
      const scope = yield* Scope.make()
      const session = yield* Session.makeFrom({ keyspace }).pipe(
        Effect.provideService(Cluster, cluster),
        Scope.provide(scope)
      )
      const all = yield* Effect.forkChild(
        Effect.forEach(numbered(500), (id) => session.cql`INSERT INTO drained (id) VALUES (${id})`, allAtOnce)
      )
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(all)
      const { count } = yield* cql`SELECT count(*) AS count FROM drained`.one
      assert.strictEqual(count, 500n)
    }))
})

describe("the environment", () => {
  const withEnvironment = (env: Record<string, string>) =>
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

  it.live("can hold all that a session needs", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password: "engine" } })
      server.on("SELECT n", Reply.silence)
      const session = yield* Effect.provide(Session, Session.layerConfig()).pipe(
        withEnvironment({
          CASSANDRA_CONTACT_POINTS: `nowhere.invalid, ${server.host}`,
          CASSANDRA_PORT: String(server.port),
          CASSANDRA_LOCAL_DATACENTER: "datacenter1",
          CASSANDRA_KEYSPACE: "shop",
          CASSANDRA_USERNAME: "ada",
          CASSANDRA_PASSWORD: "engine",
          CASSANDRA_TIMEOUT: "20 millis"
        })
      )
      assert.strictEqual(session.keyspace, "shop")
    }))

  it.live("gives no option where it says nothing, so that others can stand in front of it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Object.keys(yield* Session.config.pipe(withEnvironment({}))), [])
    }))

  it.live("is read into every option of its own", () =>
    Effect.gen(function*() {
      const options = yield* Session.config.pipe(withEnvironment({
        CASSANDRA_CONTACT_POINTS: "10.0.0.1, 10.0.0.2:9043",
        CASSANDRA_PORT: "9044",
        CASSANDRA_LOCAL_DATACENTER: "paris",
        CASSANDRA_KEYSPACE: "shop",
        CASSANDRA_USERNAME: "ada",
        CASSANDRA_PASSWORD: "engine",
        CASSANDRA_TLS_CA_FILE: "ca.pem",
        CASSANDRA_TLS_CERT_FILE: "cert.pem",
        CASSANDRA_TLS_KEY_FILE: "key.pem",
        CASSANDRA_TLS_SERVER_NAME: "db.example",
        CASSANDRA_CONNECT_TIMEOUT: "1 second",
        CASSANDRA_SHUTDOWN_TIMEOUT: "2 seconds",
        CASSANDRA_TIMEOUT: "3 seconds",
        CASSANDRA_ATTEMPT_TIMEOUT: "4 seconds"
      }))
      const { connectTimeout, shutdownTimeout, timeout, attemptTimeout, ...others } = options
      assert.deepStrictEqual(
        [connectTimeout, shutdownTimeout, timeout, attemptTimeout].map((duration) => Duration.toMillis(duration!)),
        [1000, 2000, 3000, 4000]
      )
      assert.deepStrictEqual(others, {
        contactPoints: ["10.0.0.1", "10.0.0.2:9043"],
        port: 9044,
        localDataCenter: "paris",
        keyspace: "shop",
        username: "ada",
        password: Redacted.make("engine"),
        tls: { caFile: "ca.pem", certFile: "cert.pem", keyFile: "key.pem", verify: { serverName: "db.example" } }
      })
    }))

  it.live("without contact points is an InvalidConfig that names them", () =>
    Effect.gen(function*() {
      const opened = Effect.scoped(Layer.build(Session.layerConfig())).pipe(withEnvironment({}))
      const reason = yield* reasonOf("InvalidConfig")(opened)
      assert.strictEqual(reason.field, "contactPoints")
    }))

  it.live("with something that is no port is a ConfigError", () =>
    Effect.gen(function*() {
      const environment = { CASSANDRA_CONTACT_POINTS: "127.0.0.1", CASSANDRA_PORT: "http" }
      const error = yield* Effect.flip(
        Effect.scoped(Layer.build(Session.layerConfig())).pipe(withEnvironment(environment))
      )
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, "CASSANDRA_PORT")
    }))

  it.live("can be replaced by a Config of one's own", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const layer = Session.layerConfig({
        contactPoints: Config.succeed([server.host]),
        port: Config.Port("DB_PORT"),
        keyspace: Config.String("DB_KEYSPACE")
      })
      const { keyspace } = yield* Effect.provide(Session, layer).pipe(
        withEnvironment({ DB_PORT: String(server.port), DB_KEYSPACE: "shop" })
      )
      assert.strictEqual(keyspace, "shop")
    }))
})
