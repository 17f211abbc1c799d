import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { inspect } from "node:util"
import { cql, CqlType, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const allAtOnce = { concurrency: "unbounded" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const secret = "correct horse battery staple"

/** The mismatch of a statement, which shows what is bound in nothing that anyone can read. */
const mismatch = <A, E, R>(statement: Statement.Statement<A, E, R>) =>
  Effect.map(Effect.flip(Statement.check(statement)), (error) => {
    const printed = [
      String(error),
      JSON.stringify(error),
      Cause.pretty(Cause.fail(error)),
      inspect(error, { depth: 20, showHidden: true }),
      error.message
    ]
    for (const text of printed) assert.notInclude(text, secret)
    assert(error.reason._tag === "StatementMismatch", error.message)
    return error.reason
  })

const lines = (...text: ReadonlyArray<string>): string => text.join("\n")

// -----------------------------------------------------------------------------
// A real server
// -----------------------------------------------------------------------------

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TYPE address (street text, number int)`
  yield* cql`CREATE TABLE users (id uuid PRIMARY KEY, name text, visits bigint, tags set<text>, joined timestamp)`
  yield* cql`CREATE TABLE readings (sensor int, at int, value double, PRIMARY KEY (sensor, at))`
  yield* cql`CREATE TABLE counts (id int PRIMARY KEY, n counter)`
  yield* cql`CREATE TABLE everything (id timeuuid PRIMARY KEY, small smallint, tiny tinyint, big varint, exact decimal,
    near float, far double, yes boolean, bytes blob, day date, noon time, span duration, ip inet, ascii ascii,
    items list<frozen<list<int>>>, names set<text>, counts map<text, bigint>, pair tuple<int, text>,
    place frozen<vector<float, 3>>, home frozen<address>, homes list<frozen<address>>)`
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: CqlType.Nullable(CqlType.Text),
  visits: CqlType.BigInt,
  tags: CqlType.Set(CqlType.Text),
  joined: Schema.DateTimeUtcFromDate
}) {}

const id = "6f0ace03-e42a-47b7-9e6f-2e97d553c01e"

const timeuuid = "50554d6e-29bb-11e5-b345-feff819cdc9f"

const everything = {
  id: timeuuid,
  small: 1,
  tiny: 1,
  big: 1n,
  exact: BigDecimal.fromStringUnsafe("1.5"),
  near: 1.5,
  far: 1.5,
  yes: true,
  bytes: new Uint8Array([1]),
  day: "2026-01-01",
  noon: "12:00:00",
  span: { months: 1, days: 1, nanoseconds: 1n },
  ip: "127.0.0.1",
  ascii: "a",
  items: [[1, 2], []],
  names: new Set(["a"]),
  counts: new Map([["a", 1n]]),
  pair: [1, "a"],
  place: [1, 2, 3],
  home: { street: "Main", number: null },
  homes: [{ street: "Main", number: 1 }]
}

const Everything = Schema.Struct({
  id: CqlType.TimeUuid,
  small: CqlType.Nullable(CqlType.SmallInt),
  tiny: CqlType.Nullable(CqlType.TinyInt),
  big: CqlType.Nullable(CqlType.VarInt),
  exact: CqlType.Nullable(CqlType.Decimal),
  near: CqlType.Nullable(CqlType.Float),
  far: CqlType.Nullable(CqlType.Double),
  yes: CqlType.Nullable(Schema.Boolean),
  bytes: CqlType.Nullable(CqlType.Blob),
  day: CqlType.Nullable(CqlType.Date),
  noon: CqlType.Nullable(CqlType.Time),
  span: CqlType.Nullable(CqlType.Duration),
  ip: CqlType.Nullable(CqlType.Inet),
  ascii: CqlType.Nullable(CqlType.Ascii),
  items: CqlType.List(CqlType.List(CqlType.Int)),
  names: CqlType.Set(CqlType.Text),
  counts: CqlType.Map(CqlType.Text, CqlType.BigInt),
  pair: CqlType.Nullable(CqlType.Tuple([CqlType.Nullable(CqlType.Int), CqlType.Nullable(CqlType.Text)])),
  place: CqlType.Nullable(CqlType.Vector(CqlType.Float, 3)),
  home: CqlType.Nullable(
    CqlType.UserDefined({ street: CqlType.Nullable(CqlType.Text), number: CqlType.Nullable(CqlType.Int) })
  ),
  homes: CqlType.List(
    CqlType.UserDefined({ street: CqlType.Nullable(CqlType.Text), number: CqlType.Nullable(CqlType.Int) })
  )
})

it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })("Statement.check on a real server", (it) => {
  it.effect("shows every parameter and every column, ours beside the server's", () =>
    Effect.gen(function*() {
      const report = yield* Statement.check(
        cql(User)`SELECT id, name, visits, tags, joined FROM users WHERE id = ${id} LIMIT ${10}`
      )
      assert.strictEqual(
        String(report),
        lines(
          "SELECT id, name, visits, tags, joined FROM users WHERE id = ? LIMIT ?",
          "",
          "parameter  server  value",
          "id         uuid    a string",
          "[limit]    int     a number",
          "",
          "column  server     schema",
          "id      uuid       uuid",
          "name    text       text",
          "visits  bigint     bigint",
          "tags    set<text>  set<text>",
          "joined  timestamp  timestamp"
        )
      )
      assert.deepStrictEqual(report.parameters, [
        { name: "id", server: "uuid", ours: "a string", problem: undefined },
        { name: "[limit]", server: "int", ours: "a number", problem: undefined }
      ])
      assert.deepStrictEqual(report.columns[4], {
        name: "joined",
        server: "timestamp",
        ours: "timestamp",
        problem: undefined
      })
      assert.strictEqual(report.text, "SELECT id, name, visits, tags, joined FROM users WHERE id = ? LIMIT ?")
    }))

  it.effect("of a statement that does not fit shows all that is wrong, in one table", () =>
    Effect.gen(function*() {
      const Wrong = Schema.Struct({ id: CqlType.Uuid, name: CqlType.Int, gone: CqlType.Text })
      const { message, problems, table } = yield* mismatch(
        cql(Wrong)`SELECT id, name FROM users WHERE id = ${id} AND visits = ${secret} AND name = ${7} ALLOW FILTERING`
      )
      const first = "parameter 2 (visits): expected bigint, found a string"
      assert.match(problems[0]!, /^parameter 2 \(visits\): expected bigint, found a string/)
      assert.match(problems[1]!, /^parameter 3 \(name\): expected text, found a number/)
      assert.deepStrictEqual(problems.slice(2), [
        "column \"name\": the schema expects int, the server declares text",
        "column \"gone\": the schema expects text, the result has only id, name"
      ])
      assert.strictEqual(message, `${problems[0]!} (and 3 more)`)
      assert.include(message, first)
      assert.strictEqual(
        table,
        lines(
          "parameter  server  value",
          "id         uuid    a string",
          "visits     bigint  a string  does not fit",
          "name       text    a number  does not fit",
          "",
          "column  server  schema",
          "id      uuid    uuid",
          "name    text    int     does not fit",
          "gone    -       text    does not fit"
        )
      )
    }))

  const good: ReadonlyArray<readonly [what: string, statement: Statement.Statement<unknown, unknown, Session>]> = [
    ["an INSERT of every type", cql`INSERT INTO everything ${cql.insert(everything)}`],
    [
      "an INSERT of nothing",
      cql`INSERT INTO everything ${
        cql.insert({ ...Object.fromEntries(Object.keys(everything).map((key) => [key, null])), small: undefined })
      }`
    ],
    ["a SELECT of every type, with a schema", cql(Everything)`SELECT * FROM everything WHERE id = ${timeuuid}`],
    ["a SELECT without a schema", cql`SELECT * FROM everything`],
    ["a SELECT of more columns than the schema has", cql(Schema.Struct({ id: CqlType.Uuid }))`SELECT * FROM users`],
    ["a SELECT of calculated columns", cql(Schema.Struct({ n: CqlType.BigInt }))`SELECT count(*) AS n FROM users`],
    ["an IN", cql`SELECT * FROM users WHERE id IN ${[id, id]}`],
    ["a lightweight transaction", cql(User)`INSERT INTO users (id) VALUES (${id}) IF NOT EXISTS`],
    ["a condition", cql`UPDATE users SET name = ${"a"} WHERE id = ${id} IF name = ${null}`],
    ["a counter", cql`UPDATE counts SET n = n + ${1n} WHERE id = ${1}`],
    [
      "a schema that transforms",
      cql(Schema.Struct({ at: Schema.DateTimeUtcFromDate }))`SELECT joined AS at FROM users`
    ],
    [
      "a schema with an optional column",
      cql(Schema.Struct({ no: Schema.optional(Schema.String) }))`SELECT id FROM users`
    ],
    ["USING TTL", cql`INSERT INTO users (id) VALUES (${id}) ${cql.using({ ttl: "1 day" })}`],
    ["DDL", cql`CREATE TABLE not_created (id int PRIMARY KEY)`],
    [
      "named parameters, one of them twice",
      cql.statement({
        text: "SELECT id FROM users WHERE name = :name AND visits > :visits AND visits < :visits ALLOW FILTERING",
        request: Schema.Struct({ name: CqlType.Text, visits: CqlType.BigInt }),
        result: Schema.Struct({ id: CqlType.Uuid })
      })({ name: "a", visits: 1n })
    ],
    [
      "a request that is transformed, with an absent field",
      cql.statement({
        text: "INSERT INTO users (id, name, joined) VALUES (:id, :name, :joined)",
        request: Schema.Struct({
          id: CqlType.Uuid,
          name: Schema.optional(CqlType.Text),
          joined: Schema.DateTimeUtcFromDate
        })
      })({ id, joined: DateTime.makeUnsafe(0) })
    ]
  ]

  for (const [what, statement] of good) {
    it.effect(`finds nothing wrong with ${what}`, () =>
      Effect.gen(function*() {
        const report = yield* Statement.check(statement)
        const problems = [...report.parameters, ...report.columns].filter(({ problem }) => problem !== undefined)
        assert.deepStrictEqual(problems, [])
        assert.strictEqual(report.text, statement.text)
        assert.notMatch(String(report), /does not fit|\s$/)
      }))
  }

  it.effect("finds nothing wrong with the statements of a batch, each by itself", () =>
    Effect.gen(function*() {
      const items = [
        cql`INSERT INTO users (id, name) VALUES (${id}, ${"a"})`,
        cql`DELETE FROM readings WHERE sensor = ${1}`
      ]
      const reports = yield* Effect.forEach(items, Statement.check)
      assert.deepStrictEqual(reports.map(({ parameters }) => parameters.map(({ name }) => name)), [["id", "name"], [
        "sensor"
      ]])
    }))

  const bad: ReadonlyArray<
    readonly [
      what: string,
      statement: Statement.Statement<unknown, unknown, Session>,
      problems: ReadonlyArray<string | RegExp>
    ]
  > = [
    [
      "a column that is not there",
      cql(Schema.Struct({ id: CqlType.Uuid, nickname: CqlType.Text }))`SELECT id FROM users`,
      ["column \"nickname\": the schema expects text, the result has only id"]
    ],
    [
      "a column of another type, also one that is optional or nullable",
      cql(Schema.Struct({
        id: CqlType.Text,
        name: CqlType.Nullable(CqlType.Int),
        visits: Schema.optional(CqlType.Text)
      }))`SELECT id, name, visits FROM users`,
      [
        /^column "id": .* server declares uuid$/,
        /^column "name": .* declares text$/,
        /^column "visits": .* declares bigint$/
      ]
    ],
    [
      "a column inside of a type",
      cql(Schema.Struct({ home: CqlType.UserDefined({ street: CqlType.Int }) }))`SELECT home FROM everything`,
      [/^column "home": .* server declares .*address$/]
    ],
    [
      "a transformed column of another type",
      cql(Schema.Struct({
        visits: Schema.String.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.numberFromString))
      }))`SELECT visits FROM users`,
      [/^column "visits": the schema expects text, the server declares bigint$/]
    ],
    [
      "a parameter of another type",
      cql`SELECT * FROM users WHERE id = ${7}`,
      [/^parameter 1 \(id\): expected uuid, found a number/]
    ],
    [
      "an element of another type",
      cql`INSERT INTO users (id, tags) VALUES (${id}, ${new Set([secret, 7])})`,
      [/^parameter 2 \(tags\): expected set<text>, found a number where .* belongs/]
    ],
    [
      "a value whose own code throws",
      cql`INSERT INTO everything (id, home) VALUES (${timeuuid}, ${{
        get street(): string {
          throw new Error(secret)
        }
      }})`,
      ["parameter 2 (home): the value cannot be read"]
    ],
    [
      "more values than markers",
      cql`INSERT INTO users (id, name) VALUES (${id}, '${secret}')`,
      ["value 2: the statement has no marker for it"]
    ],
    [
      "fewer values than markers",
      cql`INSERT INTO users (id, name) VALUES (${id}, ?)`,
      ["parameter 2 (name): there is no value for it"]
    ],
    ["no values at all", cql`SELECT * FROM users WHERE id = ?`, ["parameter 1 (id): there is no value for it"]],
    [
      "a parameter of a lightweight transaction",
      cql`UPDATE users SET name = ${7} WHERE id = ${id} IF name = ${secret}`,
      [/^parameter 1 \(name\): expected text, found a number/]
    ],
    [
      "fields without a marker, and a marker without a field",
      cql.statement({
        text: "INSERT INTO users (id, name) VALUES (:id, :nickname)",
        request: Schema.Struct({ id: CqlType.Uuid, name: CqlType.Text, extra: Schema.optional(CqlType.Text) })
      })({ id, name: secret }),
      [
        "parameter 2 (nickname): there is no value for it",
        "field \"name\": the statement has no marker for it",
        "field \"extra\": the statement has no marker for it"
      ]
    ],
    [
      "a field of another type, also where it is absent",
      cql.statement({
        text: "INSERT INTO users (id, name, visits) VALUES (:id, :name, :visits)",
        request: Schema.Struct({ id: CqlType.Uuid, name: CqlType.Int, visits: Schema.optional(CqlType.Text) })
      })({ id, name: 7 }),
      [
        "parameter 2 (name): expected text, the schema of the request has int",
        "parameter 3 (visits): expected bigint, the schema of the request has text"
      ]
    ],
    [
      "two question marks of one name",
      cql.statement({
        text: "SELECT id FROM users WHERE visits > ? AND visits < ? ALLOW FILTERING",
        request: Schema.Struct({ visits: CqlType.BigInt })
      })({ visits: 1n }),
      [/^two markers are called "visits"/]
    ]
  ]

  it.effect("takes for a parameter what running takes, though a row would not have it so", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE wider (id int PRIMARY KEY, tags set<text>, counts map<text, int>, total bigint)`
      const write = cql.statement({
        text: "INSERT INTO wider (id, tags, counts, total) VALUES (:id, :tags, :counts, :total)",
        request: Schema.Struct({
          id: CqlType.SmallInt,
          tags: Schema.Array(Schema.String),
          counts: Schema.Record(Schema.String, CqlType.Int),
          total: Schema.Number
        })
      })({ id: 1, tags: ["a"], counts: { a: 1 }, total: 5 })
      yield* write
      yield* Statement.check(write)
    }))

  for (const [what, statement, problems] of bad) {
    it.effect(`finds what is wrong with ${what}`, () =>
      Effect.gen(function*() {
        const reason = yield* mismatch(statement)
        assert.lengthOf(reason.problems, problems.length)
        problems.forEach((problem, index) =>
          problem instanceof RegExp
            ? assert.match(reason.problems[index]!, problem)
            : assert.strictEqual(reason.problems[index], problem)
        )
      }))
  }

  it.effect("executes nothing", () =>
    Effect.gen(function*() {
      const row = "00000000-0000-4000-8000-000000000001"
      yield* Statement.check(cql`INSERT INTO users (id, name) VALUES (${row}, ${"a"})`)
      yield* Statement.check(cql`INSERT INTO users (id, name) VALUES (${row}, 'a') IF NOT EXISTS`)
      yield* Statement.prepare(cql`INSERT INTO users (id, name) VALUES (${row}, 'b')`)
      assert.deepStrictEqual(yield* cql`SELECT * FROM users WHERE id = ${row}`, [])
    }))

  it.effect("shows no value and no password", () =>
    Effect.gen(function*() {
      const report = yield* Statement.check(cql`INSERT INTO users (id, name) VALUES (${id}, ${secret})`)
      const own = yield* Statement.check(cql`INSERT INTO users (id, name) VALUES (${id}, ${{
        constructor: { name: secret }
      }})`).pipe(Effect.flip)
      const role = yield* Statement.check(cql`CREATE ROLE nobody WITH PASSWORD = 'hunter2'`)
      const bad = yield* Effect.flip(Statement.check(cql`CREATE ROLE nobody WITH PASSWORD = 'hunter2' ${secret}`))
      for (const printed of [report, own, role, bad]) {
        for (const text of [String(printed), JSON.stringify(printed), inspect(printed, { depth: 9 })]) {
          assert.notInclude(text, secret)
          assert.notInclude(text, "hunter2")
        }
      }
      assert.strictEqual(String(role), "CREATE ROLE nobody WITH PASSWORD = ‹value›")
    }))

  it.effect("of a text that is not CQL fails with its position, and of an unknown table in the server's words", () =>
    Effect.gen(function*() {
      for (const how of [Statement.check, Statement.prepare] as const) {
        const syntax = yield* reasonOf("CqlSyntaxError")(
          how(cql`SELECT * FORM users WHERE id = ${secret}`) as Effect.Effect<unknown, unknown, Session>
        )
        assert.deepStrictEqual([syntax.line, syntax.column], [1, 9])
        const { message } = yield* reasonOf("InvalidQuery")(
          how(cql`SELECT * FROM nowhere`) as Effect.Effect<unknown, unknown, Session>
        )
        assert.include(message, "nowhere")
      }
    }))

  it.effect("sees the columns that a table has now, and not those it had when it was prepared", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE altered (id int PRIMARY KEY, a text)`
      const Altered = Schema.Struct({ id: CqlType.Int, b: CqlType.Nullable(CqlType.Int) })
      const select = cql(Altered)`SELECT * FROM altered WHERE id = ${1}`
      const { problems } = yield* mismatch(select)
      assert.lengthOf(problems, 1)
      yield* cql`ALTER TABLE altered ADD b int`
      const { columns } = yield* Statement.check(select)
      assert.deepStrictEqual(columns.map(({ name }) => name), ["id", "a", "b"])
      yield* cql`ALTER TABLE altered DROP b`
      yield* mismatch(select)
    }))

  it.effect("of a refused statement fails with why it is refused", () =>
    Effect.gen(function*() {
      for (const how of [Statement.check, Statement.prepare] as const) {
        const promise = cql`SELECT * FROM users WHERE id = ${Promise.resolve(secret)}`
        yield* reasonOf("InvalidParameter")(how(promise) as Effect.Effect<unknown, unknown, Session>)
        const options = cql`SELECT * FROM users`.pipe(Statement.withOptions({ pageSize: 0 }))
        yield* reasonOf("InvalidConfig")(how(options) as Effect.Effect<unknown, unknown, Session>)
      }
    }))

  it.effect("of a session's own statement needs no context", () =>
    Effect.gen(function*() {
      const session = yield* Session
      const { columns } = yield* Effect.provideContext(
        Statement.check(session.cql`SELECT key FROM system.local`),
        Context.empty()
      )
      assert.deepStrictEqual(columns, [{ name: "key", server: "text", ours: undefined, problem: undefined }])
    }))
})

// -----------------------------------------------------------------------------
// Scripted servers: what is on the wire
// -----------------------------------------------------------------------------

const opened = Effect.fnUntraced(function*(options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.on(/^(INSERT|SELECT)/, Reply.void)
  const session = yield* connect(server, options)
  const kinds = () => server.received(/^INSERT/, ["prepare", "execute", "query", "batch"]).map(({ kind }) => kind)
  return { server, session, kinds }
})

describe("Statement.check on the wire (scripted)", () => {
  it.live("is a PREPARE each time and nothing else; what it prepares is used", () =>
    Effect.gen(function*() {
      const { kinds, session: { cql } } = yield* opened()
      const insert = cql`INSERT ${"a"}`
      yield* Statement.check(insert)
      yield* Statement.check(insert)
      assert.deepStrictEqual(kinds(), ["prepare", "prepare"])
      yield* insert
      assert.deepStrictEqual(kinds().slice(2), ["execute"])
    }))

  it.live("finds what changed since the statement was prepared for execution, which goes by it from then on", () =>
    Effect.gen(function*() {
      const { server, session: { cql } } = yield* opened()
      const insert = cql`INSERT ${7}`
      server.prepared("INSERT ?", { params: [{ name: "n", type: "int" }] })
      yield* insert
      server.prepared("INSERT ?", { params: [{ name: "n", type: "double" }] })
      const { parameters } = yield* Statement.check(insert)
      assert.deepStrictEqual(parameters.map(({ server }) => server), ["double"])
      yield* insert
      assert.deepStrictEqual(server.received("INSERT ?").map(({ values }) => values[0]!.length), [4, 8])
    }))

  it.live("is within its time, and gives its place back", () =>
    Effect.gen(function*() {
      const { server, session } = yield* opened({ maxInFlight: 1 })
      const prepared = Reply.prepared({ id: Buffer.from("insert"), params: [{ name: "a", type: "text" }] })
      const preparing = hold(server, /^INSERT/, prepared, ["prepare"])
      const insert = session.cql`INSERT ${"a"}`
      const late = yield* reasonOf("ClientTimeout")(
        Statement.check(insert.pipe(Statement.withOptions({ timeout: "20 millis" })))
      )
      assert.strictEqual(late.phase, "prepare")
      yield* preparing.awaitHeld(1)
      yield* preparing.answer()
      const interrupted = yield* Effect.forkChild(Statement.check(insert))
      yield* preparing.awaitHeld(1)
      yield* Fiber.interrupt(interrupted)
      yield* preparing.answer()
      yield* session.cql`SELECT n`
      assert.strictEqual(session.core.shared.admission.inFlight, 0)
    }))
})

describe("Statement.prepare (scripted: three nodes)", () => {
  const threeNodes = Effect.fnUntraced(function*(options?: Session.Options) {
    const servers = yield* ScriptedServer.makeCluster({ nodes: 3, subnet: "127.0.70" })
    servers.on(/^INSERT/, Reply.void)
    const session = yield* connect(servers, options)
    const counts = (kind: ScriptedServer.Kind) => servers.nodes.map((node) => node.received(/^INSERT/, [kind]).length)
    return { servers, session, prepares: () => counts("prepare"), executes: () => counts("execute") }
  })

  it.live("prepares on each of them once, and executing needs no more", () =>
    Effect.gen(function*() {
      const { executes, prepares, session: { cql } } = yield* threeNodes()
      yield* Statement.prepare(cql`INSERT ${"a"}`)
      assert.deepStrictEqual([prepares(), executes()], [[1, 1, 1], [0, 0, 0]])
      yield* Effect.forEach(numbered(9), (n) => cql`INSERT ${String(n)}`)
      assert.deepStrictEqual([prepares(), executes()], [[1, 1, 1], [3, 3, 3]])
    }))

  it.live("prepares once on each for all who ask at the same time", () =>
    Effect.gen(function*() {
      const { prepares, servers, session: { cql } } = yield* threeNodes()
      const prepared = Reply.prepared({ id: Buffer.from("insert"), params: [{ name: "a", type: "text" }] })
      const preparing = hold(servers, /^INSERT/, prepared, ["prepare"])
      const asking = yield* Effect.forkChild(
        Effect.forEach(numbered(10), () => Statement.prepare(cql`INSERT ${"a"}`), allAtOnce)
      )
      yield* preparing.awaitHeld(3)
      yield* preparing.answer(3)
      yield* Fiber.join(asking)
      assert.deepStrictEqual(prepares(), [1, 1, 1])
    }))

  it.live("does not fail or hang for one that is silent", () =>
    Effect.gen(function*() {
      const { prepares, servers, session: { cql } } = yield* threeNodes({ attemptTimeout: "300 millis" })
      servers.nodes[1]!.on(/^INSERT/, Reply.silence, ["prepare"])
      yield* Statement.prepare(cql`INSERT ${"a"}`)
      assert.deepStrictEqual(prepares(), [1, 1, 1])
    }))

  it.live("does not fail for one whose connection is lost, or that is down", () =>
    Effect.gen(function*() {
      const { prepares, servers, session } = yield* threeNodes()
      const [first, second] = servers.nodes
      yield* first!.refuse
      yield* untilNode("hostDown", session, first!.dropConnections)
      second!.on(/^INSERT/, Reply.close, ["prepare"])
      yield* Statement.prepare(session.cql`INSERT ${"a"}`)
      assert.deepStrictEqual(prepares(), [0, 1, 1])
    }))

  it.live("fails in the server's words for a text that one of them refuses, and does so anew the next time", () =>
    Effect.gen(function*() {
      for (const index of [0, 1, 2]) {
        const { prepares, servers, session: { cql } } = yield* threeNodes()
        const takeBack = servers.nodes[index]!.on(/^INSERT/, Reply.invalid("no such table"), ["prepare"])
        const reason = yield* reasonOf("InvalidQuery")(Statement.prepare(cql`INSERT ${"a"}`))
        assert.strictEqual(reason.message, "no such table")
        takeBack()
        yield* Statement.prepare(cql`INSERT ${"a"}`)
        assert.deepStrictEqual(prepares(), [2, 2, 2])
      }
    }))

  it.live("fails in the server's words whatever becomes of the others, before or after", () =>
    Effect.gen(function*() {
      for (const [refusing, lost] of [[0, 2], [2, 0]] as const) {
        const { servers, session: { cql } } = yield* threeNodes()
        const refused = hold(servers.nodes[refusing]!, /^INSERT/, Reply.invalid("no such table"), ["prepare"])
        const closed = hold(servers.nodes[lost]!, /^INSERT/, Reply.close, ["prepare"])
        const preparing = yield* Effect.forkChild(reasonOf("InvalidQuery")(Statement.prepare(cql`INSERT ${"a"}`)))
        yield* Effect.all([refused.awaitHeld(1), closed.awaitHeld(1)])
        for (const held of refusing < lost ? [refused, closed] : [closed, refused]) {
          yield* held.answer()
          // Its answer comes after theirs.
          yield* Effect.forEach(numbered(6), () => cql`INSERT a`)
        }
        assert.strictEqual((yield* Fiber.join(preparing)).message, "no such table")
      }
    }))

  it.live("fails where none of them answers in time", () =>
    Effect.gen(function*() {
      const { servers, session: { cql } } = yield* threeNodes({ attemptTimeout: "50 millis" })
      servers.on(/^INSERT/, Reply.silence, ["prepare"])
      const reason = yield* reasonOf("ClientTimeout")(Statement.prepare(cql`INSERT ${"a"}`))
      assert.deepInclude(reason, { phase: "prepare", timeoutMillis: 50 })
    }))

  it.live("fails where none of them is up", () =>
    Effect.gen(function*() {
      const { session } = yield* Effect.gen(function*() {
        const all = yield* opened({ reconnectDelay: { base: "10 minutes", max: "10 minutes" } })
        yield* all.server.refuse
        yield* untilNode("hostDown", all.session, all.server.dropConnections)
        return all
      })
      yield* reasonOf("NoHostAvailable")(Statement.prepare(session.cql`INSERT ${"a"}`))
      yield* reasonOf("NoHostAvailable")(Statement.check(session.cql`INSERT ${"a"}`))
    }))

  it.live("gives its place back when it is interrupted, once the last has answered", () =>
    Effect.gen(function*() {
      const { servers, session } = yield* threeNodes({ maxInFlight: 1 })
      servers.on("SELECT n", Reply.void)
      const prepared = Reply.prepared({ id: Buffer.from("insert"), params: [{ name: "a", type: "text" }] })
      const preparing = hold(servers, /^INSERT/, prepared, ["prepare"])
      const asking = yield* Effect.forkChild(Statement.prepare(session.cql`INSERT ${"a"}`))
      yield* preparing.awaitHeld(3)
      yield* Fiber.interrupt(asking)
      yield* preparing.answer(2)
      assert.strictEqual(session.core.shared.admission.inFlight, 1)
      yield* preparing.answer()
      yield* session.cql`SELECT n`
      assert.strictEqual(session.core.shared.admission.inFlight, 0)
    }))

  it.live("is refused by a closed session", () =>
    Effect.gen(function*() {
      const { session } = yield* Effect.scoped(opened())
      yield* reasonOf("SessionClosed")(Statement.prepare(session.cql`INSERT ${"a"}`))
      yield* reasonOf("SessionClosed")(Statement.check(session.cql`INSERT ${"a"}`))
    }))
})
