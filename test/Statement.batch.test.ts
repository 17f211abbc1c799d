import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import { inspect } from "node:util"
import { Cluster, cql, CqlError, CqlRetry, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const allAtOnce = { concurrency: "unbounded" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const secret = "correct horse battery staple"

/** The error of a batch, which shows what is bound in nothing that anyone can read. */
const failure = <A, E, R>(batch: Effect.Effect<A, E, R>): Effect.Effect<CqlError, A, R> =>
  Effect.map(Effect.flip(batch), (error) => {
    assert.instanceOf(error, CqlError)
    const printed = [
      String(error),
      JSON.stringify(error),
      error.stack ?? "",
      Cause.pretty(Cause.fail(error)),
      inspect(error, { depth: 20, showHidden: true }),
      error.reason.message,
      String(error.reason),
      JSON.stringify(error.reason)
    ]
    for (const text of printed) assert.notInclude(text, secret)
    return error
  })

/** What is logged while an effect runs, and of which statement. */
const logging = () => {
  const lines: Array<{ readonly message: string; readonly statement: unknown }> = []
  const logger = Logger.make(({ fiber, message }) => {
    lines.push({ message: String(message), statement: fiber.getRef(References.CurrentLogAnnotations)["statement"] })
  })
  return { lines, layer: Logger.layer([logger]) }
}

const assertNotSent = (error: CqlError): void => {
  assert.isUndefined(error.coordinator)
  assert.deepStrictEqual(error.attempts, [])
}

// -----------------------------------------------------------------------------
// A real server
// -----------------------------------------------------------------------------

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE users (id int PRIMARY KEY, name text)`
  yield* cql`CREATE TABLE users_by_name (name text PRIMARY KEY, id int)`
  yield* cql`CREATE TABLE readings (sensor int, at int, value text, PRIMARY KEY (sensor, at))`
  yield* cql`CREATE TABLE tagged (id int PRIMARY KEY, tags set<text>)`
  yield* cql`CREATE TABLE counts (id int PRIMARY KEY, n counter)`
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

let lastId = 0

/** Rows that no other test has. */
const nextId = (): number => ++lastId

const insertUser = (id: number, name: unknown = "Ada") => cql`INSERT INTO users (id, name) VALUES (${id}, ${name})`

const literalUser = (id: number) => cql`INSERT INTO users (id, name) VALUES (${cql.unsafe(String(id))}, 'Grace')`

const count = (id: number, by: bigint) => cql`UPDATE counts SET n = n + ${by} WHERE id = ${id}`

const literalCount = (id: number) => cql`UPDATE counts SET n = n + 1 WHERE id = ${cql.unsafe(String(id))}`

const usersOf = (ids: ReadonlyArray<number>) => cql`SELECT id, name FROM users WHERE id IN ${ids}`

const countOf = (id: number) => cql`SELECT n FROM counts WHERE id = ${id}`

it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })("a batch on a real server", (it) => {
  for (const type of ["logged", "unlogged"] as const) {
    it.effect(`that is ${type} writes all its statements, with parameters and without, at one time`, () =>
      Effect.gen(function*() {
        const ids = numbered(4).map(nextId)
        const [a, b, c, d] = ids as [number, number, number, number]
        const batch = Statement.batch([insertUser(a), literalUser(b), insertUser(c), literalUser(d)], { type })
        assert.isUndefined(yield* batch)
        const rows = yield* cql`SELECT id, name, WRITETIME(name) AS written FROM users WHERE id IN ${ids}`
        assert.deepStrictEqual(rows.map(({ name }) => name), ["Ada", "Grace", "Ada", "Grace"])
        assert.strictEqual(new Set(rows.map(({ written }) => written)).size, 1)
      }))
  }

  it.effect("is logged where nothing else is said, and writes two tables", () =>
    Effect.gen(function*() {
      const id = nextId()
      const name = `name ${id}`
      const batch = Statement.batch([insertUser(id, name), cql`INSERT INTO users_by_name ${cql.insert({ name, id })}`])
      assert.match(batch.text, /^BEGIN BATCH\n/)
      yield* batch
      assert.deepStrictEqual(yield* usersOf([id]), [{ id, name }])
      assert.deepStrictEqual(yield* cql`SELECT * FROM users_by_name WHERE name = ${name}`, [{ name, id }])
    }))

  it.effect("of one statement writes it", () =>
    Effect.gen(function*() {
      const [a, b] = [nextId(), nextId()]
      yield* Statement.batch([insertUser(a)])
      yield* Statement.batch([literalUser(b)])
      assert.deepStrictEqual(yield* usersOf([a, b]), [{ id: a, name: "Ada" }, { id: b, name: "Grace" }])
    }))

  it.effect("has the timestamp that it is given", () =>
    Effect.gen(function*() {
      const [a, b] = [nextId(), nextId()]
      const timestamp = 1_234_567_890_123_456n
      yield* Statement.batch([insertUser(a), literalUser(b)]).pipe(Statement.withOptions({ timestamp }))
      const rows = yield* cql`SELECT WRITETIME(name) AS written FROM users WHERE id IN ${[a, b]}`
      assert.deepStrictEqual(rows, [{ written: timestamp }, { written: timestamp }])
    }))

  it.effect("of counters changes them each time that it is yielded, for it is a value", () =>
    Effect.gen(function*() {
      const [a, b] = [nextId(), nextId()]
      const batch = Statement.batch([count(a, 5n), count(b, -2n), literalCount(a)], { type: "counter" })
      yield* batch
      yield* batch
      assert.deepStrictEqual([yield* countOf(a).one, yield* countOf(b).one], [{ n: 12n }, { n: -4n }])
    }))

  it.effect("of statements that can be listed only once is a value as well", () =>
    Effect.gen(function*() {
      const id = nextId()
      const batch = Statement.batch([count(id, 1n), count(id, 2n)].values(), { type: "counter" })
      yield* batch
      yield* batch
      assert.deepStrictEqual(yield* countOf(id), [{ n: 6n }])
    }))

  it.effect("of counters may be unlogged, or delete one", () =>
    Effect.gen(function*() {
      const [a, b] = [nextId(), nextId()]
      yield* Statement.batch([count(a, 1n), count(b, 1n)], { type: "unlogged" })
      yield* Statement.batch([count(a, 1n), cql`DELETE FROM counts WHERE id = ${b}`], { type: "counter" })
      assert.deepStrictEqual([yield* countOf(a), yield* countOf(b)], [[{ n: 2n }], []])
    }))

  const mixtures: ReadonlyArray<
    readonly [
      what: string,
      type: "logged" | "unlogged" | "counter",
      items: (id: number) => ReadonlyArray<Statement.Statement<unknown, unknown, Session>>,
      problem: RegExp
    ]
  > = [
    [
      "a counter in a logged one",
      "logged",
      (id) => [insertUser(id), count(id, 1n)],
      /^statement 2 .* changes a counter/
    ],
    ["a user among counters", "counter", (id) => [count(id, 1n), insertUser(id)], /^statement 2 .* changes no counter/],
    ["a user without parameters among counters", "counter", (id) => [literalUser(id), count(id, 1n)], /^statement 1 /],
    ["users alone as counters", "counter", (id) => [insertUser(id), insertUser(id)], /^statement 1 .* no counter/],
    [
      "both in an unlogged one",
      "unlogged",
      (id) => [count(id, 1n), insertUser(id)],
      /^statement 2 .* changes no counter/
    ]
  ]

  for (const [what, type, items, problem] of mixtures) {
    it.effect(`with ${what} is refused before it is sent`, () =>
      Effect.gen(function*() {
        const id = nextId()
        const batch = Statement.batch(items(id), { type })
        const error = yield* failure(batch)
        assert.strictEqual(error.reason._tag, "InvalidQuery")
        assert.match(error.message, problem)
        assert.strictEqual(error.statement, batch.text)
        assertNotSent(error)
        assert.deepStrictEqual([yield* usersOf([id]), yield* countOf(id)], [[], []])
      }))
  }

  const literalMixtures: ReadonlyArray<
    readonly [
      type: "logged" | "unlogged" | "counter",
      items: (id: number) => ReadonlyArray<Statement.Statement<unknown, unknown, Session>>
    ]
  > = [
    ["logged", (id) => [literalCount(id), insertUser(id)]],
    ["unlogged", (id) => [literalCount(id), insertUser(id)]],
    ["counter", (id) => [literalCount(id), cql`UPDATE users SET name = 'a-b' WHERE id = ${id}`]]
  ]

  for (const [type, items] of literalMixtures) {
    it.effect(`that mixes counters whose increments are literals is refused by the server: ${type}`, () =>
      Effect.gen(function*() {
        const id = nextId()
        const error = yield* failure(Statement.batch(items(id), { type }))
        assert.strictEqual(error.reason._tag, "InvalidQuery")
        assert.match(error.message, /counter/)
        assert.isDefined(error.coordinator)
        assert.deepStrictEqual([yield* usersOf([id]), yield* countOf(id)], [[], []])
      }))
  }

  it.effect("that is larger than the server allows is an InvalidQuery, and writes nothing", () =>
    Effect.gen(function*() {
      const ids = numbered(10).map(nextId)
      const error = yield* failure(Statement.batch(ids.map((id) => insertUser(id, secret.repeat(200)))))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.match(error.message, /batch too large/i)
      assert.deepStrictEqual(yield* usersOf(ids), [])
    }))

  it.effect("with a value that does not fit names the statement and its parameter, and not the value", () =>
    Effect.gen(function*() {
      const ids = numbered(60).map(nextId)
      const items = ids.map((id, index) => index === 56 ? insertUser(id, { secret }) : insertUser(id, secret))
      const error = yield* failure(Statement.batch(items))
      assert(error.reason._tag === "InvalidParameter")
      assert.strictEqual(
        error.message,
        "statement 57 of the batch: parameter 2 (name): expected text, found an object"
      )
      const { expected, found, index, parameter } = error.reason
      assert.deepStrictEqual({ index, parameter, expected, found }, {
        index: 1,
        parameter: "name",
        expected: "text",
        found: "an object"
      })
      assert.strictEqual(error.statement, "INSERT INTO users (id, name) VALUES (?, ?)")
      assertNotSent(error)
      assert.deepStrictEqual(yield* usersOf(ids), [])
    }))

  it.effect("with a value whose own code throws names the statement, and not what was thrown", () =>
    Effect.gen(function*() {
      const id = nextId()
      const thrower = Object.assign(new Set(["a"]), {
        [Symbol.iterator]: () => {
          throw new Error(secret)
        }
      })
      const tagged = cql`INSERT INTO tagged (id, tags) VALUES (${id}, ${thrower})`
      const error = yield* failure(Statement.batch([insertUser(id), tagged]))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.match(error.message, /^statement 2 of the batch: /)
      assert.strictEqual(error.statement, tagged.text)
      assertNotSent(error)
    }))

  it.effect("with more or fewer values than markers in a statement names that statement", () =>
    Effect.gen(function*() {
      const id = nextId()
      const quoted = cql`INSERT INTO users (id, name) VALUES (${id}, '${secret}')`
      const error = yield* failure(Statement.batch([insertUser(id), quoted]))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.match(error.message, /^statement 2 of the batch: the statement has 1 markers and 2 values/)
      assert.strictEqual(error.statement, quoted.text)
      const written = cql`INSERT INTO users (id, name) VALUES (${id}, ?)`
      const fewer = yield* failure(Statement.batch([written, insertUser(id)]))
      assert.match(fewer.message, /^statement 1 of the batch: the statement has 2 markers and 1 values/)
      assert.deepStrictEqual(yield* usersOf([id]), [])
    }))

  it.effect("with a statement that reads is refused in the server's words", () =>
    Effect.gen(function*() {
      const error = yield* failure(Statement.batch([cql`SELECT * FROM users WHERE id = ${1}`]))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.isDefined(error.coordinator)
    }))

  it.effect("with a statement that cannot be prepared fails with that error, and writes nothing", () =>
    Effect.gen(function*() {
      const id = nextId()
      const error = yield* failure(Statement.batch([insertUser(id), cql`INSERT INTO nowhere (id) VALUES (${id})`]))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.include(error.message, "nowhere")
      assert.deepStrictEqual(yield* usersOf([id]), [])
    }))

  it.effect("can be made of a session's own statements and the package's, of one session", () =>
    Effect.gen(function*() {
      const session = yield* Session
      const [a, b, c] = [nextId(), nextId(), nextId()]
      const own = (id: number) => session.cql`INSERT INTO users (id, name) VALUES (${id}, 'own')`
      yield* Statement.batch([own(a), insertUser(b), own(c)])
      yield* Statement.batch([insertUser(b, "own"), own(a)])
      assert.deepStrictEqual((yield* usersOf([a, b, c])).map(({ name }) => name), ["own", "own", "own"])
    }))

  it.effect("of two sessions' statements is refused, and executed on neither", () =>
    Effect.gen(function*() {
      const id = nextId()
      const { cluster, keyspace } = yield* Session
      const other = yield* Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster))
      const theirs = other.cql`INSERT INTO users (id, name) VALUES (${id}, 'theirs')`
      for (const items of [[insertUser(id), theirs], [theirs, insertUser(id)]]) {
        const error = yield* failure(Statement.batch(items))
        assert.strictEqual(error.reason._tag, "InvalidQuery")
        assert.include(error.message, "one session")
        assertNotSent(error)
      }
      yield* Statement.batch([insertUser(id, "ours"), theirs]).pipe(Effect.provideService(Session, other))
      assert.deepStrictEqual(yield* usersOf([id]), [{ id, name: "theirs" }])
    }))

  it.effect("tells how it was executed", () =>
    Effect.gen(function*() {
      const batch = Statement.batch([insertUser(nextId()), literalUser(nextId())]).pipe(
        Statement.withOptions({ consistency: "one", tracing: true })
      )
      const { coordinator, consistency, schemaInAgreement, trace, traceId, warnings } = yield* batch.result
      const [{ address }] = (yield* (yield* Session).cluster.nodes) as [Cluster.Node]
      assert.deepStrictEqual({ coordinator, consistency, schemaInAgreement, warnings }, {
        coordinator: address,
        consistency: "one",
        schemaInAgreement: undefined,
        warnings: []
      })
      const { id, request } = yield* trace
      assert.strictEqual(id, traceId)
      assert.match(request, /batch/i)
    }))

  it.effect("that is unlogged and covers eleven partitions brings the server's warning, and not ours as well", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const items = numbered(11).map((n) => cql`INSERT INTO users (id, name) VALUES (${nextId()}, ${String(n)})`)
      const batch = Statement.batch(items, { type: "unlogged" })
      const { warnings } = yield* Effect.provide(batch.result, layer)
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0]!, /^Unlogged batch covering 11 partitions/)
      assert.deepStrictEqual(lines, [{ message: warnings[0]!, statement: batch.text }])
    }))

  it.effect("that is unlogged and has fifty statements of one partition brings no warning", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const sensor = nextId()
      const items = numbered(50).map((at) =>
        cql`INSERT INTO readings (sensor, at, value) VALUES (${sensor}, ${at}, ${"a"})`
      )
      const { warnings } = yield* Effect.provide(Statement.batch(items, { type: "unlogged" }).result, layer)
      assert.deepStrictEqual({ warnings, lines }, { warnings: [], lines: [] })
      assert.lengthOf(yield* cql`SELECT at FROM readings WHERE sensor = ${sensor}`, 50)
    }))

  it.effect("that is large brings the server's warning of its size", () =>
    Effect.gen(function*() {
      const { layer, lines } = logging()
      const items = numbered(2).map(() => cql`INSERT INTO users (id, name) VALUES (${nextId()}, ${"x".repeat(5000)})`)
      const { warnings } = yield* Effect.provide(Statement.batch(items).result, layer)
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0]!, /exceeding specified threshold/)
      assert.deepStrictEqual(lines.map(({ message }) => message), warnings)
    }))
})

// -----------------------------------------------------------------------------
// Scripted servers: what is on the wire, and what a real server cannot be made to do
// -----------------------------------------------------------------------------

const insert = (name: string, value: unknown = "a") => cql`INSERT ${cql.unsafe(name)} ${value}`

const literal = (name: string) => cql`INSERT ${cql.unsafe(name)}`

/** A real server answers so where it knows every statement of the batch; otherwise it says which it does not know. */
const ifKnown = (reply: Reply.Reply): ScriptedServer.Handler => ({ statements }) =>
  statements.every(({ query }) => query !== "") ? reply : undefined

/** A server that takes every batch, and the session on it. */
const opened = Effect.fnUntraced(function*(options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.on(() => true, ifKnown(Reply.void), ["batch"])
  server.on("SELECT n", Reply.void)
  const session = yield* connect(server, options)
  return {
    server,
    session,
    admission: session.core.shared.admission,
    on: Effect.provideService(Session, session),
    batches: () => server.received(() => true, ["batch"]),
    prepares: () => server.received(() => true, ["prepare"]).map(({ query }) => query)
  }
})

const idOf = (text: string): Buffer => Crypto.createHash("md5").update(text).digest()

/** Keeps back the answers to PREPARE. The batch is answered whatever the server knows by itself. */
const holdPrepares = (server: ScriptedServer.ScriptedServer) => {
  server.on(() => true, Reply.void, ["batch", "execute"])
  const answer: ScriptedServer.Handler = ({ query }) =>
    Reply.prepared({ id: idOf(query), params: [{ name: "p0", type: "text" }] })
  return hold(server, () => true, answer, ["prepare"])
}

const bytesOf = ({ values }: ScriptedServer.Request["statements"][number]): ReadonlyArray<string | null | undefined> =>
  values.map((value) => value?.toString("latin1") ?? (value as null | undefined))

/** Waits until every place has been given back, with a session that has no more than one. */
const untilIdle = Effect.fnUntraced(function*(
  { admission, session }: Effect.Success<ReturnType<typeof opened>>
) {
  yield* session.cql`SELECT n`
  yield* Effect.yieldNow
  assert.deepStrictEqual([admission.inFlight, admission.queued, session.core.inFlight], [0, 0, 0])
})

describe("a batch on the wire (scripted)", () => {
  for (const [type, batchType] of [["logged", "LOGGED"], ["unlogged", "UNLOGGED"], ["counter", "COUNTER"]] as const) {
    it.live(`is one request that says ${type}, with ids for statements with parameters and texts for others`, () =>
      Effect.gen(function*() {
        const { batches, on, prepares, server } = yield* opened()
        server.prepared("UPDATE a + ?", { params: [{ name: "n", type: type === "counter" ? "counter" : "bigint" }] })
        const add = (n: bigint | null | undefined) => cql`UPDATE a + ${n}`
        yield* on(Statement.batch([add(1n), cql`UPDATE b + 1`, add(null), add(undefined)], { type }))
        assert.deepStrictEqual(prepares(), ["UPDATE a + ?"])
        assert.lengthOf(batches(), 1)
        const [{ batchType: sent, statements }] = batches() as [ScriptedServer.Request]
        assert.strictEqual(sent, batchType)
        assert.deepStrictEqual(statements.map((statement) => [statement.query, ...bytesOf(statement)]), [
          ["UPDATE a + ?", "\0\0\0\0\0\0\0\x01"],
          ["UPDATE b + 1"],
          ["UPDATE a + ?", null],
          ["UPDATE a + ?", undefined]
        ])
      }))
  }

  it.live("of 65,535 statements is sent, and one of 65,536 or of none is refused", () =>
    Effect.gen(function*() {
      const { batches, on, prepares } = yield* opened()
      const item = literal("a")
      yield* on(Statement.batch(numbered(65_535).map(() => item)))
      assert.deepStrictEqual(batches().map(({ statements }) => statements.length), [65_535])
      yield* on(Statement.batch(numbered(65_535).map((n) => insert("a", String(n)))))
      assert.deepStrictEqual(batches()[1]!.values.map(String), numbered(65_535).map(String))
      for (const [length, told] of [[65_536, "has 65536"], [0, "has none"]] as const) {
        const batch = Statement.batch(numbered(length).map(() => insert("b")))
        for (const how of [batch, batch.applied, batch.result]) {
          const error = yield* failure(on(how))
          assert.strictEqual(error.reason._tag, "InvalidQuery")
          assert.include(error.message, told)
          assertNotSent(error)
        }
      }
      assert.lengthOf(batches(), 2)
      assert.deepStrictEqual(prepares(), ["INSERT a ?"])
    }))

  it.live("takes its options from itself, then from the region, then from the session", () =>
    Effect.gen(function*() {
      const { batches, session: { cql } } = yield* opened({ consistency: "two", serialConsistency: "serial" })
      const batch = Statement.batch([cql`INSERT ${"a"}`, cql`INSERT a`])
      const region = Statement.provideOptions({ consistency: "quorum", timestamp: 7 })
      yield* batch
      yield* region(batch)
      yield* region(batch.pipe(
        Statement.withOptions({ consistency: "all", serialConsistency: "localSerial" }),
        Statement.withOptions({ tracing: true, customPayload: { key: Buffer.from("value"), none: null } })
      ))
      const sent = batches().map(({ consistency, payload, serialConsistency, timestamp, tracing }) => ({
        consistency,
        serialConsistency,
        tracing,
        payload: Object.entries(payload).map(([key, value]) => [key, value?.toString() ?? null]),
        timestamp: timestamp! > 7n ? "the clock's" : timestamp
      }))
      assert.deepStrictEqual(sent, [
        { consistency: "TWO", serialConsistency: "SERIAL", tracing: false, payload: [], timestamp: "the clock's" },
        { consistency: "QUORUM", serialConsistency: "SERIAL", tracing: false, payload: [], timestamp: 7n },
        {
          consistency: "ALL",
          serialConsistency: "LOCAL_SERIAL",
          tracing: true,
          payload: [["key", "value"], ["none", null]],
          timestamp: 7n
        }
      ])
    }))

  it.live("leaves its time to the coordinator where the session does", () =>
    Effect.gen(function*() {
      const { batches, on } = yield* opened({ timestamps: "server" })
      yield* on(Statement.batch([literal("a")]))
      assert.isUndefined(batches()[0]!.timestamp)
    }))

  it.live("goes to a replica of the first statement that has a partition", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({
        nodes: 3,
        keyspaces: { shop: { class: "SimpleStrategy", replication_factor: "1" } }
      })
      servers.on(() => true, ifKnown(Reply.void), ["batch"])
      const table = { keyspace: "shop", table: "users", params: [{ name: "id", type: "text" }] }
      servers.prepared("INSERT keyed ?", { ...table, partitionKeys: [0] })
      servers.prepared("INSERT other ?", table)
      const session = yield* connect(servers)
      const ids = numbered(30).map((n) => `user ${n}`)
      for (const id of ids) {
        yield* Statement.batch([literal("a"), insert("other", "x"), insert("keyed", id), insert("keyed", "user 0")])
          .pipe(
            Effect.provideService(Session, session)
          )
      }
      const sent = servers.received(() => true, ["batch"]).filter(({ statements }) =>
        statements.every(({ query }) => query !== "")
      )
      const owners = yield* session.cluster.use(async (client) =>
        ids.map((id) => client.metadata.getReplicas("shop", Buffer.from(id) as never)[0].address as string)
      )
      assert.deepStrictEqual(sent.map(({ node }) => `${node.host}:${node.port}`), owners)
      assert.strictEqual(new Set(owners).size, 3)
    }))
})

describe("a batch that is refused (scripted: nothing reaches the server)", () => {
  const refusals: ReadonlyArray<
    readonly [
      what: string,
      batch: () => Statement.Batch<unknown, unknown, Session>,
      tag: CqlError["reason"]["_tag"],
      message: RegExp
    ]
  > = [
    [
      "for the options of a statement",
      () => Statement.batch([literal("a"), insert("b").pipe(Statement.withOptions({ consistency: "one" }))]),
      "InvalidQuery",
      /options of its own.*give them to the batch/
    ],
    [
      "for the timeout of a statement that also says that it is idempotent",
      () => Statement.batch([insert("b").pipe(Statement.withOptions({ idempotent: true, timeout: "1 second" }))]),
      "InvalidQuery",
      /options of its own/
    ],
    [
      "for an option of a statement that makes no sense",
      () => Statement.batch([insert("b").pipe(Statement.withOptions({ pageSize: 0 }))]),
      "InvalidConfig",
      /pageSize/
    ],
    [
      "for an option of its own that makes no sense",
      () => Statement.batch([insert("b")]).pipe(Statement.withOptions({ timeout: "0 seconds" })),
      "InvalidConfig",
      /timeout/
    ],
    [
      "for a Promise in a statement",
      () => Statement.batch([literal("a"), insert("b", Promise.resolve(secret))]),
      "InvalidParameter",
      /parameter 1: expected a plain value, found a Promise/
    ],
    ["for a USE", () => Statement.batch([literal("a"), cql`USE ${cql.ident("shop")}`]), "InvalidQuery", /USE/],
    [
      "for a type that no batch has",
      () => Statement.batch([literal("a")], JSON.parse("{\"type\":\"LOGGED\"}") as Statement.BatchOptions),
      "InvalidConfig",
      /type/
    ]
  ]

  for (const [what, batch, tag, message] of refusals) {
    it.live(what, () =>
      Effect.gen(function*() {
        const { batches, on, prepares } = yield* opened()
        for (const how of [batch(), batch().applied, batch().result]) {
          const error = yield* failure(on(how as Effect.Effect<unknown, unknown, Session>))
          assert.strictEqual(error.reason._tag, tag)
          assert.match(error.message, message)
          assertNotSent(error)
        }
        assert.deepStrictEqual([batches(), prepares()], [[], []])
      }))
  }

  it.live("and not for statements that say no more than that they are idempotent, or nothing", () =>
    Effect.gen(function*() {
      const { batches, on } = yield* opened()
      const idempotent = insert("a").pipe(Statement.withOptions({ idempotent: true, consistency: undefined }))
      yield* on(Statement.batch([idempotent, literal("b").pipe(Statement.withOptions({}))]))
      assert.lengthOf(batches(), 1)
    }))

  it.live("for a closed session", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const session = yield* Effect.scoped(connect(server))
      yield* reasonOf("SessionClosed")(Statement.batch([session.cql`INSERT a`]))
    }))

  it.live("for counters that the server declares, after they were prepared", () =>
    Effect.gen(function*() {
      const { batches, on, server } = yield* opened({ maxInFlight: 1 })
      server.prepared("INSERT n ?", { params: [{ name: "n", type: "counter" }] })
      yield* reasonOf("InvalidQuery")(on(Statement.batch([insert("a"), insert("n", 1n)])))
      yield* reasonOf("InvalidQuery")(on(Statement.batch([insert("a"), insert("n", 1n)], { type: "unlogged" })))
      yield* reasonOf("InvalidQuery")(on(Statement.batch([insert("n", 1n), insert("a")], { type: "counter" })))
      assert.lengthOf(batches(), 0)
    }))
})

describe("the statements of a batch (scripted: PREPAREs are kept back)", () => {
  it.live("are prepared all at the same time, each text once", () =>
    Effect.gen(function*() {
      const { batches, on, prepares, server } = yield* opened()
      const preparing = holdPrepares(server)
      const names = ["a", "b", "a", "c", "b", "a"]
      const fiber = yield* Effect.forkChild(on(Statement.batch([literal("x"), ...names.map((name) => insert(name))])))
      yield* preparing.awaitHeld(3)
      assert.deepStrictEqual(prepares(), ["INSERT a ?", "INSERT b ?", "INSERT c ?"])
      yield* preparing.answer(2)
      assert.lengthOf(batches(), 0)
      yield* preparing.answer()
      yield* Fiber.join(fiber)
      assert.lengthOf(batches(), 1)
      yield* on(Statement.batch([insert("c"), insert("a")]))
      assert.lengthOf(prepares(), 3)
    }))

  it.live("share a preparation that is under way for others, and others share theirs", () =>
    Effect.gen(function*() {
      const { on, prepares, server } = yield* opened()
      const preparing = holdPrepares(server)
      const fibers = yield* Effect.forEach(
        [insert("a"), Statement.batch([insert("a"), insert("b")]), insert("b"), Statement.batch([insert("b")])],
        (effect) => Effect.forkChild(on(Effect.asVoid<unknown, unknown, Session>(effect)))
      )
      yield* preparing.awaitHeld(2)
      yield* preparing.answer(2)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(prepares(), ["INSERT a ?", "INSERT b ?"])
      assert.strictEqual(preparing.most(), 2)
    }))

  it.live("fail with the error of the one that cannot be prepared, whenever it comes; nothing is executed", () =>
    Effect.gen(function*() {
      for (const bad of ["a", "b", "c"]) {
        const scope = yield* Scope.fork(yield* Effect.scope)
        const all = yield* Scope.provide(opened({ maxInFlight: 1 }), scope)
        const preparing = holdPrepares(all.server)
        const held = hold(all.server, `INSERT ${bad} ?`, Reply.invalid("no such table"), ["prepare"])
        const fiber = yield* Effect.forkChild(
          failure(all.on(Statement.batch(["a", "b", "c"].map((name) => insert(name, secret)))))
        )
        yield* Effect.all([preparing.awaitHeld(2), held.awaitHeld(1)])
        yield* held.answer()
        yield* preparing.answer(2)
        const error = yield* Fiber.join(fiber)
        assert.deepInclude(error.reason, { _tag: "InvalidQuery", message: "no such table" })
        assert.lengthOf(all.batches(), 0)
        yield* untilIdle(all)
        yield* Scope.close(scope, Exit.void)
        yield* reasonOf("SessionClosed")(all.session.cql`SELECT n`)
      }
    }))

  it.live("of which several cannot be prepared fail with the first error, and are prepared anew the next time", () =>
    Effect.gen(function*() {
      const { batches, on, prepares, server } = yield* opened()
      const takeBack = server.on(
        /^INSERT/,
        ({ query }) => Reply.invalid(query === "INSERT a ?" ? "one" : "another"),
        ["prepare"]
      )
      const batch = Statement.batch([insert("a"), insert("b")])
      const reason = yield* reasonOf("InvalidQuery")(on(batch))
      assert.strictEqual(reason.message, "one")
      takeBack()
      yield* on(batch)
      assert.lengthOf(prepares(), 4)
      assert.lengthOf(batches(), 1)
    }))

  it.live("whose connection is lost meanwhile were not executed", () =>
    Effect.gen(function*() {
      const { on, server } = yield* opened({ retry: CqlRetry.none })
      server.on("INSERT b ?", Reply.close, ["prepare"])
      const reason = yield* reasonOf("ConnectionError")(on(Statement.batch([insert("a"), insert("b")])))
      assert.isFalse(reason.written)
    }))

  it.live("are bound once each is prepared, also where maxPrepared holds fewer", () =>
    Effect.gen(function*() {
      const { batches, on } = yield* opened({ maxPrepared: 2 })
      const names = ["a", "b", "c", "d", "a", "e"]
      yield* on(Statement.batch(names.map((name) => insert(name, name))))
      assert.deepStrictEqual(
        batches()[0]!.statements.map(({ query }) => query),
        names.map((name) => `INSERT ${name} ?`)
      )
      assert.deepStrictEqual(batches()[0]!.values.map(String), names)
    }))
})

describe("a batch whose statements a node has forgotten (scripted)", () => {
  const abc = ["a", "b", "c"]

  const batchOf = (names: ReadonlyArray<string>) => Statement.batch(names.map((name) => insert(name, name)))

  const once = Statement.withOptions({ retry: CqlRetry.none })

  it.live("is sent again once, after all of them were prepared again together", () =>
    Effect.gen(function*() {
      const { batches, on, prepares, server } = yield* opened()
      yield* on(batchOf(abc))
      yield* server.forgetPrepared
      yield* server.clearRequests
      yield* on(Statement.batch([literal("x"), ...abc.map((name) => insert(name, name)), insert("a", "again")]))
      assert.deepStrictEqual(prepares(), ["INSERT a ?", "INSERT b ?", "INSERT c ?"])
      assert.lengthOf(batches(), 2)
      const last = batches()[1]!
      assert.deepStrictEqual(last.values.map(String), ["a", "b", "c", "again"])
      assert.strictEqual(new Set(batches().map(({ timestamp }) => timestamp)).size, 1)
    }))

  for (const name of abc) {
    it.live(`is sent again where the node names statement ${name}, with which it may have forgotten the others`, () =>
      Effect.gen(function*() {
        const { batches, on, prepares, server } = yield* opened()
        server.on(
          () => true,
          ({ attempt }) => attempt === 1 ? Reply.unprepared(idOf(`INSERT ${name} ?`)) : undefined,
          ["batch"]
        )
        yield* on(batchOf(abc))
        assert.deepStrictEqual(prepares(), [...abc, ...abc].map((each) => `INSERT ${each} ?`))
        assert.lengthOf(batches(), 2)
      }))
  }

  it.live("is sent once more for each statement that is forgotten after that, which is then prepared alone", () =>
    Effect.gen(function*() {
      const { batches, on, prepares, server } = yield* opened()
      server.on(
        () => true,
        ({ attempt }) => attempt <= 3 ? Reply.unprepared(idOf(`INSERT ${abc[attempt - 1]} ?`)) : undefined,
        ["batch"]
      )
      yield* on(batchOf(abc))
      assert.deepStrictEqual(prepares(), [...abc, ...abc, "b", "c"].map((each) => `INSERT ${each} ?`))
      assert.lengthOf(batches(), 4)
    }))

  it.live("is sent as texts where a statement is forgotten again at once", () =>
    Effect.gen(function*() {
      const { batches, on, prepares, server } = yield* opened()
      let times = 0
      server.on(() => true, () => ++times <= 2 ? Reply.unprepared(idOf("INSERT b ?")) : undefined, ["batch"])
      yield* on(batchOf(abc))
      assert.lengthOf(batches(), 3)
      assert.deepStrictEqual(prepares(), [...abc, ...abc].map((each) => `INSERT ${each} ?`))
      assert.deepStrictEqual(
        batches().at(-1)!.statements.map(({ query }) => query),
        abc.map((each) => `INSERT ${each} ?`)
      )
    }))

  it.live("fails with Unprepared where it is a statement that is not in it", () =>
    Effect.gen(function*() {
      const { batches, on, server } = yield* opened()
      server.on(() => true, Reply.unprepared(idOf("another")), ["batch"])
      yield* reasonOf("Unprepared")(on(batchOf(abc).pipe(once)))
      assert.lengthOf(batches(), 1)
    }))

  it.live("fails with the server's word where one cannot be prepared any more", () =>
    Effect.gen(function*() {
      const { batches, on, server } = yield* opened()
      yield* on(batchOf(abc))
      yield* server.forgetPrepared
      server.on("INSERT b ?", Reply.invalid("the table was dropped"), ["prepare"])
      const reason = yield* reasonOf("InvalidQuery")(on(batchOf(abc)))
      assert.strictEqual(reason.message, "the table was dropped")
      assert.lengthOf(batches(), 2)
    }))

  it.live("binds its values anew, by the types that are declared now", () =>
    Effect.gen(function*() {
      const { batches, on, server } = yield* opened()
      const declare = (type: string) => server.prepared("INSERT b ?", { params: [{ name: "b", type }] })
      declare("int")
      const batch = Statement.batch([insert("a"), insert("b", 7), insert("b", 8)])
      yield* on(batch)
      yield* server.forgetPrepared
      declare("double")
      yield* on(batch)
      const lengths = batches().map(({ values }) => values.map((value) => value!.length))
      assert.deepStrictEqual([lengths[0], lengths.at(-1)], [[1, 4, 4], [1, 8, 8]])
      yield* server.forgetPrepared
      declare("text")
      const error = yield* failure(on(batch))
      assert(error.reason._tag === "InvalidParameter")
      assert.match(error.message, /^statement 2 of the batch: parameter 1 \(b\): expected text, found a number/)
      assert.strictEqual(error.statement, "INSERT b ?")
    }))
})

describe("a batch whose statement cannot be prepared (scripted)", () => {
  it.live("fails with that statement, and not with its first", () =>
    Effect.gen(function*() {
      const { batches, on, server } = yield* opened()
      server.on("INSERT b ?", Reply.invalid("no such table"), ["prepare"])
      const error = yield* failure(on(Statement.batch([insert("a"), insert("b")])))
      assert.deepInclude(error.reason, { _tag: "InvalidQuery", message: "no such table" })
      assert.strictEqual(error.statement, "INSERT b ?")
      assert.lengthOf(batches(), 0)
    }))
})

describe("a place that a batch has (scripted)", () => {
  it.live("is given back after an interruption while it prepares, when the answers have come", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 1 })
      const preparing = holdPrepares(all.server)
      const fiber = yield* Effect.forkChild(all.on(Statement.batch([insert("a"), insert("b")])))
      yield* preparing.awaitHeld(2)
      yield* Fiber.interrupt(fiber)
      yield* preparing.answer()
      assert.strictEqual(all.admission.inFlight, 1)
      yield* preparing.answer()
      yield* untilIdle(all)
      assert.lengthOf(all.batches(), 0)
    }))

  it.live("is given back after an interruption in flight, when the answer has come", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 1 })
      const held = hold(all.server, () => true, Reply.void, ["batch"])
      const fiber = yield* Effect.forkChild(all.on(Statement.batch([insert("a")])))
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(all.admission.inFlight, 1)
      yield* held.answer()
      yield* untilIdle(all)
    }))

  it.live("is not taken by one that is interrupted in the queue, and nothing of it is sent", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 1 })
      const held = hold(all.server, () => true, Reply.void, ["batch"])
      const first = yield* Effect.forkChild(all.on(Statement.batch([literal("first")])))
      yield* held.awaitHeld(1)
      const second = yield* Effect.forkChild(all.on(Statement.batch([insert("second")])))
      yield* Effect.yieldNow
      assert.strictEqual(all.admission.queued, 1)
      yield* Fiber.interrupt(second)
      assert.strictEqual(all.admission.queued, 0)
      yield* held.answer()
      yield* Fiber.join(first)
      yield* untilIdle(all)
      assert.deepStrictEqual(all.batches().map(({ query }) => query), ["INSERT first"])
      assert.deepStrictEqual(all.prepares(), [])
    }))

  it.live("is given back after its deadline came while it prepares", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 1 })
      const preparing = holdPrepares(all.server)
      const batch = Statement.batch([insert("a"), insert("b")]).pipe(Statement.withOptions({ timeout: "20 millis" }))
      const error = yield* failure(all.on(batch))
      assert.deepInclude(error.reason, { _tag: "ClientTimeout", phase: "prepare", timeoutMillis: 20 })
      assert.strictEqual(error.statement, batch.text)
      assert.strictEqual(all.admission.inFlight, 1)
      yield* preparing.awaitHeld(2)
      yield* preparing.answer(2)
      yield* untilIdle(all)
      assert.lengthOf(all.batches(), 0)
    }))

  it.live("is given back by each of a hundred at the same time", () =>
    Effect.gen(function*() {
      const all = yield* opened({ maxInFlight: 1 })
      yield* all.on(Effect.forEach(numbered(100), (n) => Statement.batch([insert("a", String(n))]), allAtOnce))
      assert.deepStrictEqual(all.batches().flatMap(({ values }) => values.map(String)), numbered(100).map(String))
      yield* untilIdle(all)
    }))
})

describe("the warning that an unlogged batch covers many partitions (scripted: the server says nothing)", () => {
  const openedWithKeys = Effect.gen(function*() {
    const all = yield* opened()
    const params = [{ name: "id", type: "text" }, { name: "at", type: "text" }]
    for (const table of ["users", "readings"]) {
      all.server.prepared(`INSERT ${table} ? ?`, { params, partitionKeys: [0], keyspace: "shop", table })
    }
    return all
  })

  const insertKey = (table: string, id: number, at = 0) => cql`INSERT ${cql.unsafe(table)} ${String(id)} ${String(at)}`

  const ours = (count: number): string =>
    `an unlogged batch of ${count} statements covers more than 10 partitions: it is no faster than single writes, and ` +
    "all of it is the work of one coordinator"

  it.live("is in every result, and in the log once a minute", () =>
    Effect.gen(function*() {
      const { batches, on } = yield* openedWithKeys
      const { layer, lines } = logging()
      const batch = Statement.batch(numbered(11).map((id) => insertKey("users", id)), { type: "unlogged" })
      const results = yield* on(Effect.forEach(numbered(100), () => batch.result)).pipe(Effect.provide(layer))
      yield* on(batch).pipe(Effect.provide(layer))
      for (const { warnings } of results) assert.deepStrictEqual(warnings, [ours(11)])
      assert.deepStrictEqual(lines, [{ message: ours(11), statement: batch.text }])
      assert.lengthOf(batches(), 101)
    }))

  const cases: ReadonlyArray<
    readonly [
      what: string,
      type: "logged" | "unlogged",
      items: ReadonlyArray<Statement.Statement<unknown, unknown, Session>>,
      warnings: number
    ]
  > = [
    ["for ten", "unlogged", numbered(50).map((n) => insertKey("users", n % 10, n)), 0],
    ["for eleven among fifty", "unlogged", numbered(50).map((n) => insertKey("users", n % 11, n)), 1],
    [
      "for the same keys of two tables",
      "unlogged",
      numbered(12).map((n) => insertKey(n < 6 ? "users" : "readings", n % 6)),
      1
    ],
    ["for eleven of a logged one", "logged", numbered(11).map((n) => insertKey("users", n)), 0],
    ["for statements without parameters", "unlogged", numbered(50).map((n) => literal(String(n))), 0],
    ["for statements whose keys nobody knows", "unlogged", numbered(50).map((n) => insert("a", String(n))), 0]
  ]

  for (const [what, type, items, warnings] of cases) {
    it.live(`${warnings === 0 ? "does not come" : "comes"} ${what}`, () =>
      Effect.gen(function*() {
        const { on } = yield* openedWithKeys
        const { layer, lines } = logging()
        const result = yield* Effect.provide(on(Statement.batch(items, { type }).result), layer)
        assert.deepStrictEqual(result.warnings, warnings === 0 ? [] : [ours(items.length)])
        assert.lengthOf(lines, warnings)
      }))
  }

  it.live("comes beside what the server says of something else, and gives way to what it says of partitions", () =>
    Effect.gen(function*() {
      const { on, server } = yield* openedWithKeys
      const { layer } = logging()
      const batch = Statement.batch(numbered(11).map((id) => insertKey("users", id)), { type: "unlogged" })
      const told = (text: string) => {
        server.on(() => true, Reply.warnings(Reply.void, [text]), ["batch"])
        return Effect.map(Effect.provide(on(batch.result), layer), ({ warnings }) => warnings)
      }
      assert.deepStrictEqual(yield* told("the disk is slow"), ["the disk is slow", ours(11)])
      assert.deepStrictEqual(yield* told("Unlogged batch covering 11 partitions"), [
        "Unlogged batch covering 11 partitions"
      ])
    }))
})

describe("a batch that is printed", () => {
  const batch = Statement.batch([
    insert("a", secret),
    cql`CREATE ROLE a WITH PASSWORD = 'hunter2'`,
    ...numbered(20).map((n) => insert(String(n), secret))
  ], { type: "unlogged" })

  it("shows its first statements, and nothing that is bound", () => {
    for (const printed of [String(batch), JSON.stringify(batch), inspect(batch), inspect([batch], { depth: 9 })]) {
      assert.include(printed, "INSERT a ?")
      assert.include(printed, "and 12 more")
      assert.notInclude(printed, secret)
      assert.notInclude(printed, "hunter2")
    }
  })

  it("is CQL", () => {
    assert.strictEqual(
      Statement.batch([
        insert("a"),
        cql`  INSERT b
        `
      ]).text,
      "BEGIN BATCH\n  INSERT a ?;\n  INSERT b;\nAPPLY BATCH"
    )
    assert.match(Statement.batch([literal("a")], { type: "counter" }).text, /^BEGIN COUNTER BATCH\n/)
    assert.match(batch.text, /^BEGIN UNLOGGED BATCH\n/)
  })

  it("is known by isBatch, and a statement is not", () => {
    assert.deepStrictEqual([batch, literal("a"), {}, undefined].map(Statement.isBatch), [true, false, false, false])
    assert.isFalse(Statement.isStatement(batch))
  })
})

describe("a batch with a statement that says it is not idempotent", () => {
  const overloaded = Reply.overloaded("busy")

  const notIdempotent = ({ cql }: Session["Service"]) =>
    Statement.batch([
      cql`UPDATE t SET a = 1 WHERE b = 1`,
      cql`UPDATE t SET a = 2 WHERE b = 2`.pipe(Statement.withOptions({ idempotent: false }))
    ])

  const retry = CqlRetry.make({ schedule: Schedule.recurs(3) })

  /** How often it is asked where it has failed, and at how many nodes at a time where it takes long. */
  const askedOf = Effect.fnUntraced(function*(
    make: (session: Session["Service"]) => Effect.Effect<unknown, CqlError>,
    options: Session.Options
  ) {
    const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.58" })
    const session = yield* connect(servers, { retry, shutdownTimeout: "20 millis", ...options })
    const takeBack = servers.on(() => true, overloaded)
    yield* reasonOf("Overloaded")(make(session))
    takeBack()
    const failing = servers.received(() => true).length
    yield* servers.clearRequests
    servers.on(() => true, Reply.silence)
    const slow = make(session).pipe(
      Statement.provideOptions({ hedge: { delay: "1 millis" }, timeout: "100 millis", retry: CqlRetry.none })
    )
    yield* reasonOf("ClientTimeout")(slow)
    return { failing, hedged: servers.received(() => true).length }
  })

  it.live("is neither tried again nor hedged, though its session says that all are", () =>
    Effect.gen(function*() {
      const once = { failing: 1, hedged: 1 }
      assert.deepStrictEqual(yield* askedOf(notIdempotent, { idempotent: true }), once)
      const inRegion = (session: Session["Service"]) =>
        notIdempotent(session).pipe(Statement.provideOptions({ idempotent: true }))
      assert.deepStrictEqual(yield* askedOf(inRegion, {}), once)
      assert.deepStrictEqual(yield* askedOf(notIdempotent, {}), once)
    }))

  it.live("is when the batch itself says that it is, as one of statements that say nothing", () =>
    Effect.gen(function*() {
      const often = { failing: 4, hedged: 2 }
      const ofItself = (session: Session["Service"]) =>
        notIdempotent(session).pipe(Statement.withOptions({ idempotent: true }))
      assert.deepStrictEqual(yield* askedOf(ofItself, {}), often)
      const plain = ({ cql }: Session["Service"]) => Statement.batch([cql`INSERT a`])
      assert.deepStrictEqual(yield* askedOf(plain, { idempotent: true }), often)
    }))

  it.live("and one that itself says it is not, is not, whatever its session and its statements say", () =>
    Effect.gen(function*() {
      const never = ({ cql }: Session["Service"]) =>
        Statement.batch([cql`INSERT a`.pipe(Statement.withOptions({ idempotent: true }))]).pipe(
          Statement.withOptions({ idempotent: false })
        )
      assert.deepStrictEqual(yield* askedOf(never, { idempotent: true }), { failing: 1, hedged: 1 })
    }))
})
