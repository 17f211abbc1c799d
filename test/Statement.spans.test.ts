/**
 * Spans as a tracer sees them that listens: of statements, batches, pages and attempts, down to each attribute; and what
 * is not made, where nobody listens. On scripted servers but for what only a real one tells: its own traces.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { cql, CqlResolver, CqlType, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { hold, openOn } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const { withOptions } = Statement

const allAtOnce = { concurrency: "unbounded" } as const

const numbers = [{ name: "n", type: "int" }]

const rows = (...values: ReadonlyArray<number>) => Reply.rows({ columns: numbers, rows: values.map((n) => [n]) })

const opened = Effect.fnUntraced(function*(nodes = 1, options?: Session.Options) {
  const servers = yield* ScriptedServer.makeCluster({ nodes, subnet: "127.0.91" })
  servers.prepared(/\?/, {
    params: [{ name: "id", type: "text" }],
    columns: numbers,
    partitionKeys: [0],
    keyspace: "shop",
    table: "users"
  })
  return yield* openOn(servers, options ?? {})
})

const recording = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, record: Effect.withTracer(tracer) }
}

const attributesOf = ({ attributes }: Tracer.Span) => Object.fromEntries(attributes)

const eventsOf = ({ events }: Tracer.NativeSpan) => events.map(([name, , attributes]) => ({ name, ...attributes }))

const eventNames = ({ events }: Tracer.NativeSpan) => events.map(([name]) => name)

const exitOf = ({ status }: Tracer.Span): Exit.Exit<unknown, unknown> => {
  assert(status._tag === "Ended", "the span has not ended")
  return status.exit
}

const nodeOf = ({ dataCenter, host, hostId, port }: ScriptedServer.ScriptedServer) => ({
  "cassandra.coordinator.id": hostId,
  "cassandra.coordinator.dc": dataCenter,
  "network.peer.address": host,
  "network.peer.port": port,
  "server.address": host,
  "server.port": port
})

const endOf = (span: Tracer.Span): string => {
  const exit = exitOf(span)
  return exit._tag === "Success" ? "ok" : "failed"
}

describe("the span of a statement", () => {
  it.live("has the names of the conventions, a child's parent, and the attributes of the node that answered", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM shop.users WHERE id = ?", rows(1, 2))
      const before = yield* Clock.currentTimeNanos
      const selected = yield* cql`SELECT n FROM shop.users WHERE id = ${"a secret"}`.pipe(
        Effect.withSpan("request"),
        record
      )
      const after = yield* Clock.currentTimeNanos
      const [parent, span, ...others] = spans
      assert.lengthOf(others, 0)
      assert.lengthOf(selected, 2)
      assert.strictEqual(span!.name, "SELECT shop.users")
      assert.strictEqual(span!.kind, "client")
      assert.strictEqual(Option.getOrUndefined(span!.parent), parent)
      const node = nodeOf(servers.nodes[0]!)
      assert.deepStrictEqual(attributesOf(span!), {
        "db.system.name": "cassandra",
        "db.operation.name": "SELECT",
        "db.collection.name": "shop.users",
        "db.query.summary": "SELECT shop.users",
        "db.query.text": "SELECT n FROM shop.users WHERE id = ?",
        "cassandra.consistency.level": "local_one",
        "cassandra.page.size": 5000,
        "cassandra.query.idempotent": true,
        "db.response.returned_rows": 2,
        ...node
      })
      assert.deepStrictEqual(eventsOf(span!), [{ name: "cassandra.prepare" }, { name: "cassandra.attempt", ...node }])
      assert.deepStrictEqual(exitOf(span!), Exit.void, "a tracer may keep it, and rows are values")
      const { status } = span!
      assert(status._tag === "Ended" && before <= status.startTime && status.endTime <= after)
    }))

  it.live("tells of the session's keyspace, and of a consistency in the words of the conventions", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(1, { keyspace: "shop", consistency: "localQuorum" })
      servers.on(/^UPDATE/, Reply.void)
      yield* record(cql`UPDATE users SET name = 'Ada' WHERE id = ${"a"}`)
      const attributes = attributesOf(spans[0]!)
      assert.include(attributes, {
        "db.namespace": "shop",
        "db.collection.name": "users",
        "cassandra.consistency.level": "local_quorum"
      })
      assert.notProperty(attributes, "cassandra.page.size")
      assert.notProperty(attributes, "db.response.returned_rows")
    }))

  it.live("has no literal of a text that binds nothing", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on(/^INSERT|^CREATE/, Reply.void)
      yield* record(cql`INSERT INTO "Users" (id, n) VALUES ('secret', 4711) -- secret ${cql.unsafe("\n")}`)
      yield* record(cql`CREATE ROLE ada WITH PASSWORD = 'secret'`)
      assert.deepStrictEqual(spans.map(({ name }) => name), ["INSERT \"Users\"", "CREATE ROLE"])
      assert.deepStrictEqual(spans.map((span) => attributesOf(span)["db.query.text"]), [
        "INSERT INTO \"Users\" (id, n) VALUES (?, ?)  ",
        "CREATE ROLE ada WITH PASSWORD = ?"
      ])
      assert.notInclude(JSON.stringify(spans.map((span) => [attributesOf(span), eventsOf(span)])), "secret")
    }))

  it.live("has no literal of such a text in the error either, though the server quotes it", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(1, { spans: "attempts" })
      servers.on(() => true, Reply.invalid("Invalid STRING constant (it's secret) or 4711 for \"id\""), [
        "query",
        "batch"
      ])
      const unbound = cql`DELETE FROM users WHERE id = 'it''s secret' AND n = 4711`
      yield* Effect.flip(record(unbound))
      yield* Effect.flip(record(Statement.batch([cql`INSERT INTO users (id) VALUES (${"a"})`, unbound])))
      assert.lengthOf(spans, 4)
      for (const span of spans) {
        const exit = exitOf(span)
        assert(exit._tag === "Failure")
        const [{ message, name, stack }] = Cause.prettyErrors(exit.cause) as [Error]
        assert.match(name, /^(CqlError|InvalidQuery)$/)
        assert.strictEqual(message, "Invalid STRING constant (‹value›) or ‹value› for \"id\"")
        assert.notMatch(String(stack), /secret|4711/)
      }
    }))

  it.live("keeps the numbers of a failure that quotes nothing, whatever a text spells out", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM users LIMIT 1", Reply.readTimeout({ consistency: "ONE", received: 0, blockFor: 1 }))
      const error = yield* Effect.flip(
        record(cql`SELECT n FROM users LIMIT 1`.pipe(withOptions({ idempotent: false })))
      )
      const exit = exitOf(spans[0]!)
      assert(exit._tag === "Failure")
      assert.match(error.message, /\b1\b/)
      assert.strictEqual(Cause.prettyErrors(exit.cause)[0]!.message, error.message)
    }))

  it.live("tells of each attempt that failed, and of the one that did not", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(2)
      servers.on("SELECT 1", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : rows(1))
      yield* record(cql`SELECT 1`.pipe(withOptions({ idempotent: true })))
      const [span] = spans
      const events = eventsOf(span!) as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(events.map(({ name }) => name), [
        "cassandra.attempt",
        "cassandra.attempt.failed",
        "cassandra.attempt"
      ])
      assert.include(events[1], { "error.type": "Overloaded", "db.response.status_code": "0x1001" })
      assert.strictEqual(events[1]!["cassandra.coordinator.id"], events[0]!["cassandra.coordinator.id"])
      assert.notStrictEqual(events[2]!["cassandra.coordinator.id"], events[0]!["cassandra.coordinator.id"])
      assert.strictEqual(
        attributesOf(span!)["cassandra.coordinator.id"],
        events[2]!["cassandra.coordinator.id"],
        "the node that was asked last"
      )
      assert.strictEqual(endOf(span!), "ok")
      assert.notProperty(attributesOf(span!), "error.type")
    }))

  it.live("that fails has the reason's tag, the protocol's code, and the error without its values", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on(/^SELECT/, Reply.invalid("no such secret"))
      const error = yield* Effect.flip(record(cql`SELECT n FROM users WHERE id = ${"secret"}`))
      const [span] = spans
      assert.include(attributesOf(span!), { "error.type": "InvalidQuery", "db.response.status_code": "0x2200" })
      const exit = exitOf(span!)
      assert(exit._tag === "Failure" && exit.cause.reasons[0]!._tag === "Fail" && exit.cause.reasons[0].error === error)
      assert.notInclude(JSON.stringify([attributesOf(span!), eventsOf(span!), error.message]), "secret")
    }))

  const rowOf = Schema.Struct({ n: CqlType.Text })

  it.live("that cannot be decoded has SchemaError; one that finds no row has not failed", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM a", rows(1))
      servers.on("SELECT n FROM b", rows())
      yield* Effect.flip(record(cql(rowOf)`SELECT n FROM a`))
      yield* Effect.flip(record(cql`SELECT n FROM b`.one))
      assert.deepStrictEqual(spans.map((span) => [attributesOf(span)["error.type"], endOf(span)]), [
        ["SchemaError", "failed"],
        [undefined, "ok"]
      ])
    }))

  it.live("that is interrupted ends with that", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(1, { spans: "attempts" })
      const held = hold(servers, "SELECT 1", rows(1))
      const fiber = yield* Effect.forkChild(record(cql`SELECT 1`))
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(spans.map(endOf), ["failed", "failed"])
      assert.notProperty(attributesOf(spans[0]!), "error.type")
    }))

  it.live("covers all pages of a result that is collected, and counts their rows", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM users", Reply.pages({ columns: numbers, pages: [[[1], [2]], [[3]], [[4]]] }))
      yield* record(cql`SELECT n FROM users`)
      assert.lengthOf(spans, 1)
      assert.strictEqual(attributesOf(spans[0]!)["db.response.returned_rows"], 4)
      assert.deepStrictEqual(eventNames(spans[0]!), Array.from({ length: 3 }, () => "cassandra.attempt"))
    }))

  it.live("tells of the queue in which it waited, and of nodes that were asked beside", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(2, { maxInFlight: 2 })
      const held = hold(servers, "SELECT 1", rows(1))
      const hedged = cql`SELECT 1`.pipe(withOptions({ idempotent: true, hedge: { delay: "1 millis" } }))
      const fiber = yield* Effect.forkChild(record(hedged))
      yield* held.awaitHeld(2)
      const queued = yield* Effect.forkChild(record(cql`SELECT 1`.pipe(withOptions({ hedge: false }))))
      yield* Effect.yieldNow
      yield* held.answer(2)
      yield* Fiber.join(fiber)
      yield* held.awaitHeld(1)
      yield* held.answer(1)
      yield* Fiber.join(queued)
      assert.strictEqual(attributesOf(spans[0]!)["cassandra.speculative_execution.count"], 1)
      assert.deepStrictEqual(eventNames(spans[0]!), [
        "cassandra.attempt",
        "cassandra.speculative_execution",
        "cassandra.attempt"
      ])
      assert.deepStrictEqual(eventNames(spans[1]!), ["cassandra.queued", "cassandra.admitted", "cassandra.attempt"])
    }))
})

describe("further spans", () => {
  it.live("a page of a stream has one each, below what pulls it", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM users", Reply.pages({ columns: numbers, pages: [[[1], [2]], [[3]]] }))
      yield* record(cql`SELECT n FROM users`.stream.pipe(Stream.runDrain, Effect.withSpan("job")))
      const [job, ...pages] = spans
      assert.deepStrictEqual(pages.map(({ name }) => name), ["SELECT users", "SELECT users"])
      assert.deepStrictEqual(pages.map((page) => attributesOf(page)["db.response.returned_rows"]), [2, 1])
      assert(pages.every(({ parent }) => Option.getOrUndefined(parent) === job))
    }))

  it.live("a batch is called by what its statements have in common", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened()
      servers.on(() => true, Reply.void, ["batch"])
      const insert = (id: string) => cql`INSERT INTO users (id) VALUES (${id})`
      const inserted = "INSERT INTO users (id) VALUES (?)"
      yield* record(Statement.batch([insert("a"), insert("b")]))
      yield* record(Statement.batch([insert("a"), cql`DELETE FROM users WHERE id = ${"b"}`]))
      yield* record(Statement.batch([insert("a")]))
      assert.deepStrictEqual(
        spans.map((span) => {
          const attributes = attributesOf(span)
          return [
            span.name,
            attributes["db.operation.name"],
            attributes["db.collection.name"],
            attributes["db.operation.batch.size"],
            attributes["db.query.text"]
          ]
        }),
        [
          ["BATCH INSERT users", "BATCH INSERT", "users", 2, inserted],
          ["BATCH", "BATCH", "users", 2, `BEGIN BATCH\n  ${inserted};\n  DELETE FROM users WHERE id = ?;\nAPPLY BATCH`],
          // By the conventions a size is never 1.
          ["BATCH INSERT users", "BATCH INSERT", "users", undefined, inserted]
        ]
      )
    }))

  it.live("each attempt has one besides, where it is asked for", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { cql, servers } = yield* opened(2, { spans: "attempts" })
      servers.on("SELECT 1", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : rows(1))
      yield* record(cql`SELECT 1`.pipe(withOptions({ idempotent: true })))
      const [statement, ...attempts] = spans
      assert.lengthOf(eventsOf(statement!), 0)
      assert.deepStrictEqual(attempts.map((span) => [span.name, span.kind, endOf(span)]), [
        ["SELECT attempt", "client", "failed"],
        ["SELECT attempt", "client", "ok"]
      ])
      assert(attempts.every(({ parent }) => Option.getOrUndefined(parent) === statement))
      assert.include(attributesOf(attempts[0]!), { "error.type": "Overloaded", "db.response.status_code": "0x1001" })
      assert.notProperty(attributesOf(attempts[1]!), "error.type")
      const hostIds = attempts.map((span) => attributesOf(span)["cassandra.coordinator.id"])
      assert.sameMembers(hostIds, servers.nodes.map(({ hostId }) => hostId))
    }))

  it.live("a look-up that several share is the child of one, and linked to the others", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      const { servers, session } = yield* opened()
      servers.on(/^SELECT/, rows(1))
      const byId = CqlResolver.request(CqlResolver.findFirst((id: string) => cql`SELECT n FROM users WHERE id = ${id}`))
      const asked = ["a", "b", "a", "a"].map((id, n) => Effect.withSpan(byId(id), `caller ${n}`))
      yield* record(Effect.all(asked, allAtOnce)).pipe(Effect.provideService(Session, session))
      const statements = spans.filter(({ name }) => name === "SELECT users")
      assert.deepStrictEqual(
        statements.map(({ links, parent }) => [
          (Option.getOrUndefined(parent) as Tracer.Span).name,
          ...links.map(({ span }) => (span as Tracer.Span).name)
        ]),
        [["caller 0", "caller 2", "caller 3"], ["caller 1"]]
      )
    }))
})

describe("no span", () => {
  const silent: ReadonlyArray<readonly [when: string, within: <A, E, R>(self: Effect.Effect<A, E, R>) => typeof self]> =
    [
      ["the parent is not sampled", Effect.withSpan("parent", { sampled: false })],
      ["tracing is off in this region", Effect.withTracerEnabled(false)],
      ["the statement says so", Statement.provideOptions({ spans: "none" })]
    ]

  for (const [when, within] of silent) {
    it.live(`is made where ${when}`, () =>
      Effect.gen(function*() {
        const { record, spans } = recording()
        const { cql, servers } = yield* opened()
        servers.on(() => true, rows(1), ["query", "execute", "batch"])
        const all = Effect.all([
          cql`SELECT 1`,
          cql`SELECT n FROM users`.stream.pipe(Stream.runDrain),
          Statement.batch([cql`INSERT INTO users (id) VALUES (${"a"})`])
        ], { discard: true })
        yield* record(within(all))
        assert.deepStrictEqual(spans.filter(({ name }) => name !== "parent"), [])
      }))
  }

  it.live("is told of anything by a statement, when the tracer has declined it; it ends all the same", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan({ ...options, sampled: false })
          span.event = (name) => told.push(name)
          span.end = () => told.push("end")
          return span
        }
      })
      const { cql, servers } = yield* opened()
      servers.on("SELECT 1", rows(1))
      yield* cql`SELECT 1`.pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(told, ["end"])
    }))
})

describe("a tracer that throws", () => {
  const broken = ["span", "attribute", "event", "end"] as const

  for (const what of broken) {
    it.live(`in ${what} hurts neither the statement nor its connection`, () =>
      Effect.gen(function*() {
        const fail = (): never => {
          throw new Error("the tracer is broken")
        }
        const tracer = Tracer.make({
          span: (options) => {
            if (what === "span") return fail()
            const span = new Tracer.NativeSpan(options)
            // What Effect itself sets at a span's creation is not ours.
            if (what !== "attribute") span[what] = fail
            else queueMicrotask(() => span.attribute = fail)
            return span
          }
        })
        const { cql, servers } = yield* opened(1, { spans: "attempts" })
        servers.on("SELECT 1", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : rows(1))
        servers.on("SELECT 2", Reply.invalid("no"))
        const traced = Effect.withTracer(tracer)
        assert.deepStrictEqual(yield* traced(cql`SELECT 1`.pipe(withOptions({ idempotent: true }))), [{ n: 1 }])
        assert.strictEqual((yield* Effect.flip(traced(cql`SELECT 2`))).reason._tag, "InvalidQuery")
        yield* traced(cql`SELECT 1`.stream.pipe(Stream.runDrain))
        assert.strictEqual(servers.nodes[0]!.accepted(), 1, "no connection was opened anew")
      }))
  }
})

/** Its end comes when the server's trace has been read. */
const awaitingEnd = Effect.gen(function*() {
  const ended = yield* Deferred.make<void>()
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        Deferred.doneUnsafe(ended, Effect.void)
      }
      spans.push(span)
      return span
    }
  })
  return { awaitEnd: Deferred.await(ended), spans, tracer }
})

type Cells = Parameters<typeof Reply.rows>[0]["rows"]

/** The tables of a server's own traces. */
const answerTraces = (servers: ScriptedServer.Scripts, sessions: Cells, events: Cells): void => {
  const answer = (
    table: RegExp,
    columns: ReadonlyArray<{ readonly name: string; readonly type: string }>,
    rows: Cells
  ) => {
    servers.prepared(table, { params: [{ name: "session_id", type: "uuid" }], columns })
    servers.on(table, Reply.rows({ columns, rows }))
  }
  const text = (name: string) => ({ name, type: "text" })
  const inet = (name: string) => ({ name, type: "inet" })
  const int = (name: string) => ({ name, type: "int" })
  const startedAt = { name: "started_at", type: "timestamp" }
  answer(/system_traces\.sessions/, [text("request"), inet("coordinator"), startedAt, int("duration")], sessions)
  answer(/system_traces\.events/, [text("activity"), inet("source"), text("thread"), int("source_elapsed")], events)
}

describe("a span that waits for the server's trace", () => {
  const steps: ReadonlyArray<readonly [activity: string, shown: string]> = [
    [
      "Digest mismatch: Mismatch for key DecoratedKey(-17, 736563726574) (a1 vs b2)",
      "Digest mismatch: Mismatch for key"
    ],
    ["Executing seq scan across 1 sstables for (secret, max(-1)]", "Executing seq scan across 1 sstables"],
    [
      "Accepting proposal Commit(1a-2b, [shop.users] key=secret columns=[[] | [n]]\n    Row: n=secret",
      "Accepting proposal Commit(1a-2b, [shop.users]"
    ],
    ["Executing single-partition query on users", "Executing single-partition query on users"],
    ["Key cache hit for sstable 428, size = 0", "Key cache hit for sstable 428, size = 0"]
  ]

  it.live("shows of a step neither the keys nor the rows that servers print into it", () =>
    Effect.gen(function*() {
      const { awaitEnd, spans, tracer } = yield* awaitingEnd
      const { cql, servers } = yield* opened()
      servers.on("SELECT 1", Reply.traced(rows(1), Buffer.alloc(16)))
      answerTraces(
        servers,
        [["SELECT", "10.0.0.1", new Date(0), 7]],
        steps.map(([activity], index) => [activity, "10.0.0.1", "a", index])
      )
      yield* cql`SELECT 1`.pipe(withOptions({ tracing: true }), Effect.withTracer(tracer))
      yield* awaitEnd
      assert.deepStrictEqual(
        eventNames(spans[0]!).filter((name) => !name.startsWith("cassandra.")),
        steps.map(([, shown]) => shown)
      )
    }))

  it.live("ends before its session has closed: what exports it may close next", () =>
    Effect.gen(function*() {
      const { record, spans } = recording()
      yield* Effect.scoped(Effect.gen(function*() {
        const { cql, servers } = yield* opened()
        servers.on("SELECT 1", Reply.traced(rows(1), Buffer.alloc(16)))
        answerTraces(servers, [], [])
        yield* record(cql`SELECT 1`.pipe(withOptions({ tracing: true })))
        yield* servers.nodes[0]!.awaitRequest(/system_traces/, 1, ["execute"])
        assert.strictEqual(spans[0]!.status._tag, "Started")
      }))
      assert.strictEqual(endOf(spans[0]!), "ok")
    }))
})

describe("exported", () => {
  it.live("to a receiver of OTLP, with the trace of the caller", () =>
    Effect.gen(function*() {
      const received = yield* Deferred.make<any>()
      const server = yield* Effect.acquireRelease(
        Effect.callback<Http.Server>((resume) => {
          const server = Http.createServer((request, response) => {
            const chunks: Array<Buffer> = []
            request.on("data", (chunk: Buffer) => chunks.push(chunk))
            request.on("end", () => {
              if (request.url === "/v1/traces") {
                Deferred.doneUnsafe(received, Effect.sync(() => JSON.parse(Buffer.concat(chunks).toString())))
              }
              response.end("{}")
            })
          }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.callback<void>((resume) => {
            server.closeAllConnections()
            server.close(() => resume(Effect.void))
          })
      )
      const { cql, servers } = yield* opened()
      servers.on("SELECT n FROM users", Reply.readTimeout({ consistency: "ONE", received: 0, blockFor: 1 }))
      const { port } = server.address() as AddressInfo
      yield* Effect.ignore(cql`SELECT n FROM users`.pipe(withOptions({ idempotent: false }))).pipe(
        Effect.withSpan("request"),
        Effect.provide(
          Otlp.layerJson({
            baseUrl: `http://127.0.0.1:${port}`,
            resource: { serviceName: "shop" },
            tracerExportInterval: "10 millis"
          }).pipe(Layer.provide(FetchHttpClient.layer))
        )
      )
      const { resourceSpans: [{ scopeSpans: [{ spans }] }] } = yield* Deferred.await(received)
      const [request, select] = ["request", "SELECT users"].map((name) => spans.find((span: any) => span.name === name))
      assert.strictEqual(select.traceId, request.traceId)
      assert.strictEqual(select.parentSpanId, request.spanId)
      assert.strictEqual(select.kind, 3, "a client's")
      assert.strictEqual(select.status.code, 2, "an error")
      assert.deepInclude(select.attributes, { key: "error.type", value: { stringValue: "ReadTimeout" } })
      assert.deepInclude(select.attributes, { key: "db.response.status_code", value: { stringValue: "0x1200" } })
      assert.includeMembers(select.events.map(({ name }: any) => name), [
        "cassandra.attempt",
        "cassandra.attempt.failed"
      ])
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("a server's own trace", (it) => {
  it.effect("is in the span, as events at their times, and holds nobody up", () =>
    Effect.gen(function*() {
      const { awaitEnd, spans, tracer } = yield* awaitingEnd
      const before = yield* Clock.currentTimeNanos
      yield* cql`SELECT key FROM system.local`.pipe(withOptions({ tracing: true }), Effect.withTracer(tracer))
      const after = yield* Clock.currentTimeNanos
      yield* awaitEnd
      assert.lengthOf(spans, 1, "the look-up of the trace has none")
      const { events, status } = spans[0]!
      assert(status._tag === "Ended" && status.endTime <= after, "it ended when the statement did")
      assert.match(String(attributesOf(spans[0]!)["cassandra.trace.id"]), /^[\da-f-]{36}$/)
      const steps = events.filter(([name]) => !name.startsWith("cassandra."))
      assert.isAbove(steps.length, 2)
      // The server's clock is this machine's; its times are in milliseconds.
      assert(steps.every(([, time]) => time >= before - 1_000_000n && time <= after + 1_000_000_000n))
      assert(steps.every(([, , attributes]) => typeof attributes["cassandra.trace.source"] === "string"))
    }))

  it.effect("is in the span without the text that the server repeats, which spells out values", () =>
    Effect.gen(function*() {
      const { awaitEnd, spans, tracer } = yield* awaitingEnd
      yield* cql`SELECT key FROM system.local WHERE key = 'secret'`.pipe(
        withOptions({ tracing: true }),
        Effect.withTracer(tracer)
      )
      yield* awaitEnd
      assert.include(eventNames(spans[0]!), "Parsing")
      assert.notInclude(JSON.stringify(eventsOf(spans[0]!)), "secret")
    }))

  it.effect("has neither the keys nor the rows of a condition, which the server prints into it", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE conditions (id text PRIMARY KEY, n text)`
      const traced = withOptions({ tracing: true })
      const insert = cql`INSERT INTO conditions (id, n) VALUES (${"a secret"}, ${"a secret"}) IF NOT EXISTS`.pipe(
        traced
      )
      for (const printed of ["Accepting proposal", "CAS precondition does not match current values"]) {
        const { trace } = yield* insert.result
        const activities = (yield* trace).events.map(({ activity }) => activity)
        assert(activities.some((activity) => activity.startsWith(printed)))
        assert.notInclude(activities.join("\n"), "secret")
      }
    }))
})
