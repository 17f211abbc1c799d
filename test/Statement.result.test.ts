import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Cluster, cql, CqlType, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const allAtOnce = { concurrency: "unbounded" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

/** What is logged while an effect runs, and of which statement. */
const logging = () => {
  const lines: Array<{ readonly level: string; readonly message: string; readonly statement: unknown }> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const { statement } = fiber.getRef(References.CurrentLogAnnotations)
    lines.push({ level: logLevel, message: String(message), statement })
  })
  return { lines, layer: Logger.layer([logger]) }
}

const traced = Statement.withOptions({ tracing: true })

// -----------------------------------------------------------------------------
// A real server
// -----------------------------------------------------------------------------

const largeText = (id: number): string => `${id} `.repeat(20_000).slice(0, 20_000)

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE many (id int PRIMARY KEY, name text)`
  yield* cql`CREATE TABLE large (sensor int, id int, value text, PRIMARY KEY (sensor, id))`
  yield* Effect.forEach(numbered(30), (id) => cql`INSERT INTO many (id, name) VALUES (${id}, ${`name ${id}`})`)
  const insertLarge = (id: number) => cql`INSERT INTO large (sensor, id, value) VALUES (1, ${id}, ${largeText(id)})`
  yield* Effect.forEach(numbered(200), insertLarge, { concurrency: 20 })
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

class Many extends Schema.Class<Many>("Many")({ id: CqlType.Int, name: CqlType.Text }) {}

const byId = (left: { readonly id: unknown }, right: { readonly id: unknown }): number =>
  Number(left.id) - Number(right.id)

it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })(".result on a real server", (it) => {
  it.effect("has all rows of all pages, decoded, and tells how they were read", () =>
    Effect.gen(function*() {
      const result = yield* cql(Many)`SELECT id, name FROM many`.pipe(
        Statement.withOptions({ pageSize: 7, consistency: "one" })
      ).result
      assert.deepStrictEqual(
        result.rows.toSorted(byId),
        numbered(30).map((id) => new Many({ id, name: `name ${id}` }))
      )
      const [{ address }] = (yield* (yield* Session).cluster.nodes) as [Cluster.Node]
      const { rows: _, trace: __, ...others } = result
      assert.deepStrictEqual(others, {
        coordinator: address,
        consistency: "one",
        warnings: [],
        customPayload: new Map(),
        schemaInAgreement: undefined,
        traceId: undefined
      })
    }))

  it.effect("of a statement without rows has none", () =>
    Effect.gen(function*() {
      const inserted = yield* cql`INSERT INTO many (id, name) VALUES (${0}, ${"name 0"})`.result
      const none = yield* cql`SELECT id FROM many WHERE id = ${-1}`.result
      assert.deepStrictEqual([inserted.rows, none.rows], [[], []])
      assert.deepStrictEqual([inserted.consistency, inserted.schemaInAgreement], ["localOne", undefined])
    }))

  it.effect("fails as the statement does: for a row that does not fit, for too many rows, in the server's words", () =>
    Effect.gen(function*() {
      const Wrong = Schema.Struct({ name: CqlType.Int })
      assert.isTrue(Schema.isSchemaError(yield* Effect.flip(cql(Wrong)`SELECT name FROM many`.result)))
      const all = cql`SELECT * FROM many`
      for (const pageSize of [7, 100]) {
        const limited = all.pipe(Statement.withOptions({ maxRows: 20, pageSize }))
        assert.strictEqual((yield* reasonOf("TooManyRows")(limited.result)).limit, 20)
      }
      assert.lengthOf((yield* all.pipe(Statement.withOptions({ maxRows: 30, pageSize: 7 })).result).rows, 30)
      yield* reasonOf("InvalidQuery")(cql`SELECT * FROM nowhere`.result)
    }))

  it.effect("has the server's warnings, which are in the log as well, with their statement", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const count = cql`SELECT count(*) AS n FROM many`
      const { rows, warnings } = yield* Effect.provide(count.result, layer)
      assert.deepStrictEqual(rows, [{ n: 30n }])
      assert.deepStrictEqual(warnings, ["Aggregation query used without partition key"])
      assert.deepStrictEqual(lines, [{ level: "Warn", message: warnings[0]!, statement: count.text }])
    }))

  it.effect("of a schema change tells that all nodes agree", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const created = yield* Effect.provide(cql`CREATE TABLE agreed (id int PRIMARY KEY)`.result, layer)
      assert.deepStrictEqual([created.rows, created.schemaInAgreement], [[], true])
      assert.deepStrictEqual(lines, [])
      const again = yield* cql`CREATE TABLE IF NOT EXISTS agreed (id int PRIMARY KEY)`.result
      assert.isUndefined(again.schemaInAgreement)
    }))

  it.effect("of a lightweight transaction has the row that the server answered", () =>
    Effect.gen(function*() {
      const insert = cql`INSERT INTO many (id, name) VALUES (0, 'other') IF NOT EXISTS`
      assert.deepStrictEqual((yield* insert.result).rows, [{ "[applied]": false, id: 0, name: "name 0" }])
    }))

  it.effect("has the trace of one that is traced: request, coordinator, duration, and events in order", () =>
    Effect.gen(function*() {
      const started = Date.now()
      const select = cql`SELECT * FROM many WHERE id = ${7}`.pipe(traced)
      const { rows, trace, traceId } = yield* select.result
      assert.deepStrictEqual(rows, [{ id: 7, name: "name 7" }])
      assert.match(traceId!, /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/)
      const { coordinator, durationMicros, events, id, request, startedAt } = yield* trace
      assert.deepStrictEqual([id, request, coordinator], [traceId!, "Execute CQL3 prepared query", "127.0.0.1"])
      assert.isAbove(durationMicros, 0)
      assert.closeTo(startedAt.getTime(), started, 60_000)
      assert.isAbove(events.length, 1)
      for (const event of events) {
        assert.isNotEmpty(event.activity)
        assert.isNotEmpty(event.thread)
        assert.strictEqual(event.source, "127.0.0.1")
      }
      assert.isBelow(events[0]!.elapsedMicros!, events.at(-1)!.elapsedMicros!)
      const order = yield* cql`SELECT activity FROM system_traces.events WHERE session_id = ${traceId}`
      assert.deepStrictEqual(events.map(({ activity }) => activity), order.map(({ activity }) => activity))
    }))

  it.effect("reads a trace of more events than its session allows rows", () =>
    Effect.gen(function*() {
      const { cluster, keyspace } = yield* Session
      const { cql } = yield* Session.makeFrom({ keyspace, maxRows: 1, pageSize: 1, tracing: true }).pipe(
        Effect.provideService(Cluster, cluster)
      )
      const { trace } = yield* cql`SELECT * FROM many WHERE id = 7`.result
      assert.isAbove((yield* trace).events.length, 1)
    }))

  it.effect("has no password in the trace of a statement that spells one out", () =>
    Effect.gen(function*() {
      const role = cql.ident(`role_${crypto.randomUUID()}`)
      const { trace } = yield* cql`CREATE ROLE ${role} WITH PASSWORD = 'hunter2'`.pipe(traced).result
      yield* cql`DROP ROLE ${role}`
      const printed = JSON.stringify(yield* trace)
      assert.include(printed, "CREATE ROLE")
      assert.notInclude(printed, "hunter2")
    }))

  it.effect("has no trace of one that is not traced", () =>
    Effect.gen(function*() {
      const { trace, traceId } = yield* cql`SELECT * FROM many WHERE id = 7`.result
      assert.isUndefined(traceId)
      const error = yield* Effect.flip(trace)
      assert.instanceOf(error, Cause.NoSuchElementError)
      assert.include(error.message, "tracing")
    }))

  it.effect("of many pages has the trace of the first", () =>
    Effect.gen(function*() {
      const result = yield* cql`SELECT id FROM many`.pipe(traced, Statement.withOptions({ pageSize: 7 })).result
      assert.lengthOf(result.rows, 30)
      assert.strictEqual((yield* result.trace).id, result.traceId!)
    }))

  it.effect("decodes a page of megabytes that is traced, and so do all other ways to read it", () =>
    Effect.gen(function*() {
      const large = cql`SELECT id, value FROM large WHERE sensor = 1`.pipe(traced)
      const rows = numbered(200).map((id) => ({ id, value: largeText(id) }))
      const { rows: ofResult, traceId } = yield* large.result
      assert.isDefined(traceId)
      assert.deepStrictEqual(ofResult, rows)
      assert.deepStrictEqual(yield* large, rows)
      assert.deepStrictEqual(yield* Stream.runCollect(large.stream), rows)
      assert.deepStrictEqual(yield* large.one, rows[0]!)
    }))
})

// -----------------------------------------------------------------------------
// Scripted servers: what a real one cannot be made to say
// -----------------------------------------------------------------------------

const numbers = [{ name: "n", type: "int" }]

const opened = Effect.fnUntraced(function*(options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  return { server, ...yield* connect(server, options) }
})

describe("warnings (scripted)", () => {
  it.live("are in every result, and in the log once a minute for each text", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      server.on(/^(SELECT|INSERT)/, Reply.warnings(Reply.void, ["the disk is slow", "and full"]))
      const { layer, lines } = logging()
      const select = cql`SELECT n`
      const results = yield* Effect.provide(Effect.forEach(numbered(100), () => select.result, allAtOnce), layer)
      for (const { warnings } of results) assert.deepStrictEqual(warnings, ["the disk is slow", "and full"])
      yield* Effect.provide(select, layer)
      yield* Effect.provide(Stream.runDrain(select.stream), layer)
      const logged = (statement: string) =>
        ["the disk is slow", "and full"].map((message) => ({ level: "Warn", message, statement }))
      assert.deepStrictEqual(lines, logged("SELECT n"))
      yield* Effect.provide(cql`INSERT ${"a"}`, layer)
      assert.deepStrictEqual(lines.slice(2), logged("INSERT ?"))
    }))

  it.live("of every page are in the result", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      const pages = Reply.pages({ columns: numbers, pages: [[[1]], [], [[2]]] })
      server.on("SELECT n", (request) =>
        Reply.warnings(pages(request), [`page ${request.pageState?.readInt32BE() ?? 0}`]))
      const { layer } = logging()
      const { rows, warnings } = yield* Effect.provide(cql`SELECT n`.result, layer)
      assert.deepStrictEqual({ rows, warnings }, {
        rows: [{ n: 1 }, { n: 2 }],
        warnings: ["page 0", "page 1", "page 2"]
      })
    }))

  it.live("do not show in the log the password that a statement spells out", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      server.on(/^CREATE ROLE/, Reply.warnings(Reply.void, ["the password is weak"]))
      const { layer, lines } = logging()
      yield* Effect.provide(cql`CREATE ROLE ada WITH PASSWORD = 'hunter2' AND LOGIN = true`, layer)
      assert.deepStrictEqual(lines, [{
        level: "Warn",
        message: "the password is weak",
        statement: "CREATE ROLE ada WITH PASSWORD = ? AND LOGIN = true"
      }])
    }))

  it.live("do not make a statement fail that succeeds, nor one succeed that fails", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      const { layer } = logging()
      server.on("SELECT n", Reply.warnings(Reply.rows({ columns: numbers, rows: [[1]] }), ["slow"]))
      server.on("SELECT m", Reply.warnings(Reply.invalid("no such column"), ["slow"]))
      assert.deepStrictEqual(yield* Effect.provide(cql`SELECT n`.one, layer), { n: 1 })
      const { message } = yield* Effect.provide(reasonOf("InvalidQuery")(cql`SELECT m`), layer)
      assert.strictEqual(message, "no such column")
    }))
})

describe("a result (scripted)", () => {
  it.live("has the payload that the server's query handler sent", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      const reply = Reply.rows({ columns: numbers, rows: [[1]] })
      server.on("SELECT n", Reply.payload(reply, { "took": Buffer.from("7 ms"), "constructor": Buffer.from("x") }))
      const { customPayload, rows } = yield* cql`SELECT n`.result
      assert.deepStrictEqual(rows, [{ n: 1 }])
      assert.deepStrictEqual(
        Array.from(customPayload, ([key, value]) => [key, Buffer.from(value!).toString()]),
        [["took", "7 ms"], ["constructor", "x"]]
      )
    }))

  it.live("names the node that was asked for, and the consistency of the region around it", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.69" })
      servers.on("SELECT n", Reply.void)
      const { cql } = yield* connect(servers)
      for (const server of [...servers.nodes, ...servers.nodes]) {
        const node = `${server.host}:${server.port}`
        const { consistency, coordinator } = yield* cql`SELECT n`.pipe(Statement.withOptions({ node })).result.pipe(
          Statement.provideOptions({ consistency: "eachQuorum" })
        )
        assert.deepStrictEqual([coordinator, consistency], [node, "eachQuorum"])
      }
    }))

  it.live("of megabytes with a trace, warnings and a payload in front has its rows, whatever else is under way", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened()
      const { layer } = logging()
      const columns = [{ name: "id", type: "int" }, { name: "value", type: "text" }]
      const rows = numbered(200).map((id) => [id, largeText(id)] as const)
      const decorated = Reply.traced(
        Reply.payload(Reply.warnings(Reply.rows({ columns, rows }), ["large", "x".repeat(60_000)]), {
          key: Buffer.alloc(100_000, "p")
        }),
        Buffer.from("000102030405160708090a0b0c0d0e0f", "hex")
      )
      server.on("SELECT large", decorated)
      server.on("SELECT n", Reply.traced(Reply.rows({ columns: numbers, rows: [[1]] }), Buffer.alloc(16)))
      const large = cql`SELECT large`.pipe(traced)
      const [results, small] = yield* Effect.all(
        [
          Effect.forEach(numbered(4), () => large.result, allAtOnce),
          Effect.forEach(numbered(100), () => cql`SELECT n`.pipe(traced).one, allAtOnce)
        ],
        allAtOnce
      ).pipe(Effect.provide(layer))
      for (const result of results) {
        assert.deepStrictEqual(result.rows, rows.map(([id, value]) => ({ id, value })))
        assert.deepStrictEqual(result.warnings, ["large", "x".repeat(60_000)])
        assert.strictEqual(result.customPayload.get("key")?.length, 100_000)
        assert.strictEqual(result.traceId, "00010203-0405-1607-0809-0a0b0c0d0e0f")
      }
      assert.deepStrictEqual(small, numbered(100).map(() => ({ n: 1 })))
    }))
})

describe("a schema change that the nodes do not agree on in time (scripted)", () => {
  const disagreeing = Effect.gen(function*() {
    const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.69" })
    servers.on(/^CREATE/, Reply.schemaChange({ change: "CREATED", target: "KEYSPACE", keyspace: "shop" }))
    const columns = [{ name: "schema_version", type: "uuid" }]
    servers.on(
      /schema_version/,
      ({ query }) =>
        Reply.rows({ columns, rows: [[`00000000-0000-4000-8000-00000000000${query.includes("peers") ? 1 : 2}`]] }),
      [
        "system"
      ]
    )
    return { servers, ...yield* connect(servers, { schemaAgreementTimeout: "20 millis" }) }
  })

  it.live("succeeds, says so, and is in the log each time", () =>
    Effect.gen(function*() {
      const { cql, servers } = yield* disagreeing
      const { layer, lines } = logging()
      const create = cql`CREATE KEYSPACE shop`
      const { rows, schemaInAgreement, warnings } = yield* Effect.provide(create.result, layer)
      assert.deepStrictEqual({ rows, schemaInAgreement, warnings }, {
        rows: [],
        schemaInAgreement: false,
        warnings: []
      })
      assert.deepStrictEqual(yield* Effect.provide(create, layer), [])
      const message = "the schema was changed, and not every node has told in time that it knows"
      assert.deepStrictEqual(lines, numbered(2).map(() => ({ level: "Warn", message, statement: create.text })))
      assert.lengthOf(servers.received("CREATE KEYSPACE shop"), 2)
    }))

  it.live("says so also where its own time ran out first", () =>
    Effect.gen(function*() {
      const { cql } = yield* disagreeing
      const { layer } = logging()
      const create = cql`CREATE KEYSPACE shop`.pipe(Statement.withOptions({ attemptTimeout: "10 millis" }))
      assert.isFalse((yield* Effect.provide(create.result, layer)).schemaInAgreement)
    }))
})

describe("a trace (scripted)", () => {
  const id = "00010203-0405-1607-0809-0a0b0c0d0e0f"

  const idBytes = Buffer.from(id.replaceAll("-", ""), "hex")

  const sessions = /system_traces\.sessions/

  const events = /system_traces\.events/

  const sessionColumns = [
    { name: "request", type: "text" },
    { name: "coordinator", type: "inet" },
    { name: "started_at", type: "timestamp" },
    { name: "duration", type: "int" }
  ]

  const eventColumns = [
    { name: "activity", type: "text" },
    { name: "source", type: "inet" },
    { name: "thread", type: "text" },
    { name: "source_elapsed", type: "int" }
  ]

  type Cells = Parameters<typeof Reply.rows>[0]["rows"]

  const tracing = Effect.fnUntraced(function*(options?: Session.Options) {
    const all = yield* opened(options)
    const { server } = all
    server.on("SELECT n", Reply.traced(Reply.void, idBytes))
    for (const [match, columns] of [[sessions, sessionColumns], [events, eventColumns]] as const) {
      server.prepared(match, { params: [{ name: "session_id", type: "uuid" }], columns })
    }
    const sessionRows = (rows: Cells) => Reply.rows({ columns: sessionColumns, rows })
    const eventRows = (rows: Cells) => Reply.rows({ columns: eventColumns, rows })
    server.on(events, eventRows([["one", "10.0.0.1", "a", 1], ["two", "10.0.0.2", "b", 2]]))
    return { ...all, sessionRows, eventRows }
  })

  // With the TestClock: what it waits for is a server, in real time.
  it.effect("is asked for until the server has completed it", () =>
    Effect.gen(function*() {
      const { cql, server, sessionRows } = yield* tracing({ consistency: "all", tracing: true })
      const answers = [
        sessionRows([]),
        sessionRows([["SELECT", "10.0.0.1", new Date(1000), null]]),
        sessionRows([["SELECT", "10.0.0.1", new Date(1000), 7]])
      ]
      server.on(sessions, ({ attempt }) => answers[attempt - 1])
      const result = yield* cql`SELECT n`.result
      assert.strictEqual(result.traceId, id)
      assert.deepStrictEqual(yield* result.trace, {
        id,
        request: "SELECT",
        coordinator: "10.0.0.1",
        startedAt: new Date(1000),
        durationMicros: 7,
        events: [
          { activity: "one", source: "10.0.0.1", thread: "a", elapsedMicros: 1 },
          { activity: "two", source: "10.0.0.2", thread: "b", elapsedMicros: 2 }
        ]
      })
      const asked = server.received(/system_traces/, ["execute"])
      assert.deepStrictEqual(
        asked.map(({ consistency, tracing, values }) => [consistency, tracing, values[0]!.toString("hex")]),
        numbered(4).map(() => ["ONE", false, idBytes.toString("hex")])
      )
    }))

  it.live("has what is there where the server left something out", () =>
    Effect.gen(function*() {
      const { cql, eventRows, server, sessionRows } = yield* tracing()
      server.on(sessions, sessionRows([[null, null, null, 0]]))
      server.on(events, eventRows([[null, null, null, null]]))
      const { trace } = yield* cql`SELECT n`.pipe(traced).result
      assert.deepStrictEqual(yield* trace, {
        id,
        request: "",
        coordinator: "",
        startedAt: new Date(0),
        durationMicros: 0,
        events: [{ activity: "", source: "", thread: "", elapsedMicros: null }]
      })
    }))

  it.live("fails as any statement does", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* tracing()
      server.on(sessions, Reply.unauthorized("ada may not read system_traces"))
      const { trace } = yield* cql`SELECT n`.pipe(traced).result
      yield* reasonOf("Unauthorized")(trace)
    }))

  it.live("that is not completed can be interrupted", () =>
    Effect.gen(function*() {
      const { cql, server, sessionRows } = yield* tracing()
      server.on(sessions, sessionRows([]))
      const { trace } = yield* cql`SELECT n`.pipe(traced).result
      const waiting = yield* Effect.forkChild(trace)
      yield* server.awaitRequest(sessions, 2, ["execute"])
      yield* Fiber.interrupt(waiting)
      assert.lengthOf(server.received(events, ["execute"]), 0)
    }))

  it.live("is not there where the server has not traced what it was asked to", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* tracing()
      server.on("SELECT n", Reply.void)
      const { trace, traceId } = yield* cql`SELECT n`.pipe(traced).result
      assert.isUndefined(traceId)
      assert.isTrue(server.received("SELECT n")[0]!.tracing)
      assert.instanceOf(yield* Effect.flip(trace), Cause.NoSuchElementError)
    }))
})
