import { assert, describe, it } from "@effect/vitest"
import { cql, CqlError, CqlType, Session, Statement } from "effect-cassandra"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { EventEmitter } from "node:events"
import * as Keyspace from "./support/keyspace.ts"

class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.String,
  visits: CqlType.BigInt,
  tags: CqlType.Set(Schema.String),
  joined: CqlType.Timestamp
}) {
  get greeting(): string {
    return `hello ${this.name}`
  }
}

const secret = "correct horse battery staple"

const ada = new User({
  id: "6f0ace03-e42a-47b7-9e6f-2e97d553c01e",
  name: "Ada",
  visits: 9007199254740993n,
  tags: new Set(["engine", "notes"]),
  joined: new Date("1843-09-01T12:00:00.123Z")
})

/** The reason of a statement that has to fail, with what of it can be read by anyone. */
const failure = <A, E>(statement: Effect.Effect<A, E, Session>) =>
  Effect.map(Effect.flip(statement), (error) => {
    assert.instanceOf(error, CqlError)
    const texts = [
      String(error),
      error.message,
      JSON.stringify(error),
      error.stack ?? "",
      Cause.pretty(Cause.fail(error)),
      error.reason.message
    ]
    for (const text of texts) assert.notInclude(text, secret)
    return error
  })

const reasonOf = <A, E>(statement: Effect.Effect<A, E, Session>) =>
  Effect.map(failure(statement), (error) => error.reason)

/** Waits until the client is told that a table was created. */
const created = (client: object, table: string): Promise<void> => {
  const { connection } =
    (client as { readonly controlConnection: { readonly connection: EventEmitter } }).controlConnection
  return new Promise((resolve) =>
    connection.on("nodeSchemaChange", (event: { readonly schemaChangeType: string; readonly table: string | null }) => {
      if (event.schemaChangeType === "CREATED" && event.table === table) resolve()
    })
  )
}

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("Statement", (it) => {
  const createUsers = cql`CREATE TABLE IF NOT EXISTS users (
    id uuid PRIMARY KEY, name text, visits bigint, tags set<text>, joined timestamp)`

  describe("rows", () => {
    it.effect("come back as the class that was written, with its methods and types", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert({ ...ada })}`
        const read = yield* cql(User)`SELECT * FROM users WHERE id = ${ada.id}`.one
        assert.instanceOf(read, User)
        assert.deepStrictEqual(read, ada)
        assert.strictEqual(read.greeting, "hello Ada")
      }))

    it.effect("without a schema are plain values", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert({ ...ada })}`
        const rows = yield* cql`SELECT name, visits FROM users WHERE id = ${ada.id}`
        assert.deepStrictEqual(rows, [{ name: "Ada", visits: 9007199254740993n }])
      }))

    it.effect("of a statement that has none are an empty array", () =>
      Effect.gen(function*() {
        yield* createUsers
        assert.deepStrictEqual(yield* cql`TRUNCATE users`, [])
        assert.deepStrictEqual(yield* cql`SELECT * FROM users`, [])
        assert.deepStrictEqual(yield* Stream.runCollect(cql(User)`SELECT * FROM users`.stream), [])
      }))

    it.effect(".one fails and .first is none where there is no row", () =>
      Effect.gen(function*() {
        yield* createUsers
        const nobody = cql(User)`SELECT * FROM users WHERE id = ${"00000000-0000-0000-0000-000000000000"}`
        assert.instanceOf(yield* Effect.flip(nobody.one), Cause.NoSuchElementError)
        assert.deepStrictEqual(yield* nobody.first, Option.none())
      }))

    it.effect("a null in a column that the schema does not let be null is one SchemaError that names it", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert({ ...ada, name: null })}`
        const error = yield* Effect.flip(cql(User)`SELECT * FROM users WHERE id = ${ada.id}`)
        assert.isTrue(Schema.isSchemaError(error))
        for (const part of ["name", "text", "null"]) assert.include(error.message, part)
      }))

    it.effect("have no key for what is null, where a schema lets the key be absent", () =>
      Effect.gen(function*() {
        const Address = CqlType.UserDefined({
          street: Schema.optional(Schema.String),
          number: CqlType.Nullable(CqlType.Int)
        })
        class Person extends Schema.Class<Person>("Person")({
          id: CqlType.Int,
          name: Schema.optionalKey(Schema.String),
          email: Schema.optional(CqlType.Nullable(Schema.String)),
          home: Schema.optional(Address),
          all: CqlType.List(Address),
          byName: CqlType.Map(Schema.String, Address)
        }) {}
        yield* cql`CREATE TYPE absent_address (street text, number int)`
        yield* cql`CREATE TABLE absent (id int PRIMARY KEY, name text, email text, home frozen<absent_address>,
          all list<frozen<absent_address>>, "byName" map<text, frozen<absent_address>>)`
        yield* cql`INSERT INTO absent ${cql.insert(Person, new Person({ id: 1, all: [], byName: new Map() }))}`
        const nameless = { street: "s", number: null }
        const known = { number: 1 }
        const full = new Person({
          id: 2,
          name: "Ada",
          email: null,
          home: known,
          all: [known, nameless],
          byName: new Map([["a", known]])
        })
        yield* cql`INSERT INTO absent ${cql.insert(Person, full)}`
        const one = yield* cql(Person)`SELECT * FROM absent WHERE id = 1`.one
        assert.deepStrictEqual(Object.entries(one), [["id", 1], ["email", null], ["all", []], ["byName", new Map()]])
        assert.instanceOf(one, Person)
        assert.deepStrictEqual(yield* cql(Person)`SELECT * FROM absent WHERE id = 2`.one, full)
      }))

    it.effect("a column of another type is refused before a row is read", () =>
      Effect.gen(function*() {
        yield* createUsers
        const Wrong = Schema.Struct({ name: CqlType.Int })
        const error = yield* Effect.flip(cql(Wrong)`SELECT name FROM users`)
        assert.isTrue(Schema.isSchemaError(error))
        for (const part of ["name", "int", "text"]) assert.include(error.message, part)
      }))

    it.effect("a column that is missing is named", () =>
      Effect.gen(function*() {
        yield* createUsers
        const error = yield* Effect.flip(cql(User)`SELECT id, name FROM users`)
        assert.isTrue(Schema.isSchemaError(error))
        assert.include(error.message, "visits")
      }))

    it.effect("of a column that is added while the statement is prepared do not shift the others", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE altered (id int PRIMARY KEY, b text)`
        yield* cql`INSERT INTO altered (id, b) VALUES (1, 'b')`
        const select = () => cql`SELECT * FROM altered WHERE id = ${1}`
        assert.deepStrictEqual(yield* select(), [{ id: 1, b: "b" }])
        yield* cql`ALTER TABLE altered ADD a int`
        yield* cql`UPDATE altered SET a = 7 WHERE id = 1`
        assert.deepStrictEqual(yield* select(), [{ id: 1, a: 7, b: "b" }])
      }))
  })

  describe("parameters", () => {
    it.effect("undefined leaves a column as it is, null removes what it has", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert({ ...ada })}`
        yield* cql`INSERT INTO users ${cql.insert({ id: ada.id, name: undefined, visits: null })}`
        const rows = yield* cql`SELECT name, visits FROM users WHERE id = ${ada.id}`
        assert.deepStrictEqual(rows, [{ name: "Ada", visits: null }])
      }))

    it.effect("are not refused by what their table was, before it was made anew", () =>
      Effect.gen(function*() {
        const insert = (value: unknown) => cql`INSERT INTO made_anew (id, value) VALUES (${1}, ${value})`
        yield* cql`CREATE TYPE anew (a int)`
        yield* cql`CREATE TABLE made_anew (id int PRIMARY KEY, value frozen<anew>)`
        yield* insert({ a: 1 })
        yield* cql`DROP TABLE made_anew`
        yield* cql`DROP TYPE anew`
        yield* cql`CREATE TYPE anew (b text)`
        yield* cql`CREATE TABLE made_anew (id int PRIMARY KEY, value frozen<anew>)`
        yield* insert({ b: "one" })
        assert.deepStrictEqual(yield* cql`SELECT value FROM made_anew`, [{ value: { b: "one" } }])

        yield* cql`DROP TABLE made_anew`
        yield* cql`CREATE TABLE made_anew (id int PRIMARY KEY, value int)`
        yield* Statement.batch([insert(5), insert(6)])
        assert.deepStrictEqual(yield* cql`SELECT value FROM made_anew`, [{ value: 6 }])
        assert.strictEqual((yield* reasonOf(insert({ b: "two" })))._tag, "InvalidParameter")
      }))

    it.effect("are not written by the types of a table that another session has made anew meanwhile", () =>
      Effect.gen(function*() {
        const { cluster, keyspace } = yield* Session
        const other = yield* Session.make({ ...(yield* Session.config), keyspace })
        // A float has as many bytes as an int, and the statement the same id: the server could not tell.
        yield* cql`CREATE TABLE remade (id int PRIMARY KEY, value int)`
        const insert = (value: number) => cql`INSERT INTO remade (id, value) VALUES (${1}, ${value})`
        yield* insert(5)
        const told = yield* Effect.forkChild(cluster.use((client) => created(client, "remade")))
        yield* Effect.yieldNow
        yield* other.cql`DROP TABLE remade`
        yield* other.cql`CREATE TABLE remade (id int PRIMARY KEY, value float)`
        yield* other.cql`INSERT INTO remade (id, value) VALUES (${1}, ${2.5})`
        yield* Fiber.join(told)
        yield* insert(7)
        assert.deepStrictEqual(yield* cql`SELECT value FROM remade`, [{ value: 7 }])
      }))

    it.effect("a list is bound as one value", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert({ ...ada })}`
        const rows = yield* cql`SELECT name FROM users WHERE id IN ${[ada.id, "00000000-0000-0000-0000-000000000000"]}`
        assert.deepStrictEqual(rows, [{ name: "Ada" }])
      }))

    const attacks = [
      "'; DROP TABLE users; --",
      "\" ; DROP TABLE users; --",
      "$$",
      "/* */",
      "?",
      "\u0000",
      "line\nbreak",
      "🜏"
    ]

    it.effect("never reach the text", () =>
      Effect.gen(function*() {
        yield* createUsers
        for (const name of attacks) {
          yield* cql`INSERT INTO users ${cql.insert({ ...ada, name })}`
          const read = yield* cql(User)`SELECT * FROM users WHERE id = ${ada.id}`.one
          assert.strictEqual(read.name, name)
        }
      }))

    it("that look like a part of a statement are bound too", () => {
      const forged: unknown = JSON.parse(
        "{\"~effect-cassandra/Fragment\":1,\"text\":\"'x' OR 1 = 1\",\"parameters\":[],\"problem\":null}"
      )
      const statement = cql`SELECT * FROM users WHERE name = ${forged}`
      assert.strictEqual(statement.text, "SELECT * FROM users WHERE name = ?")
      assert.deepStrictEqual(statement.parameters, [forged])
    })

    it.effect("of a row are those of an instance, and not of a list", () =>
      Effect.gen(function*() {
        yield* createUsers
        yield* cql`INSERT INTO users ${cql.insert(ada)}`
        assert.deepStrictEqual(yield* cql(User)`SELECT * FROM users WHERE id = ${ada.id}`.one, ada)
        for (const row of [[1], new Map(), cql`SELECT 1`]) {
          assert.strictEqual((yield* reasonOf(cql`INSERT INTO users ${cql.insert(row)}`))._tag, "InvalidQuery")
        }
      }))

    it.effect("names are quoted, whatever is in them", () =>
      Effect.gen(function*() {
        for (
          const name of ["camelCase", "with \"quotes\"", "; DROP TABLE users", "__proto__", "constructor", "select"]
        ) {
          const table = cql.ident(`t ${name}`.replaceAll(/[^a-zA-Z_]/g, "_"))
          yield* cql`CREATE TABLE ${table} (id int PRIMARY KEY, ${cql.ident(name)} text)`
          yield* cql`INSERT INTO ${table} ${cql.insert(Object.fromEntries([["id", 1], [name, "here"]]))}`
          const [row] = yield* cql`SELECT ${cql.ident(name)} FROM ${table}`
          assert.deepStrictEqual(Object.entries(row!), [[name, "here"]])
          yield* cql`DROP TABLE ${table}`
        }
      }))

    const mistakes: ReadonlyArray<readonly [string, unknown]> = [
      ["an Effect", Effect.succeed(1)],
      ["an Option", Option.some(1)],
      ["a Promise", Promise.resolve(1)],
      ["a function", () => 1],
      ["a schema", Schema.Struct({ name: Schema.String })],
      ["a symbol", Symbol("x")],
      ["a Redacted", Redacted.make("x")]
    ]
    for (const [what, value] of mistakes) {
      it.effect(`${what} is refused with a hint`, () =>
        Effect.gen(function*() {
          const reason = yield* reasonOf(cql`SELECT * FROM nowhere WHERE id = ${value}`)
          assert(reason._tag === "InvalidParameter")
          assert.strictEqual(reason.found, what)
          assert.isNotEmpty(reason.hint)
        }))
    }

    it.effect("a row without columns and a name that is empty are refused", () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* reasonOf(cql`INSERT INTO users ${cql.insert({})}`))._tag, "InvalidQuery")
        assert.strictEqual((yield* reasonOf(cql`SELECT ${cql.ident("")} FROM users`))._tag, "InvalidQuery")
      }))
  })

  describe("composition", () => {
    it("a statement inside another brings its text and its parameters", () => {
      const where = cql`WHERE id = ${1} AND name = ${"a"}`
      const statement = cql`SELECT ${cql.ident("a")} FROM t ${where} LIMIT ${5} ${cql.unsafe("ALLOW FILTERING")}`
      assert.strictEqual(statement.text, "SELECT \"a\" FROM t WHERE id = ? AND name = ? LIMIT ? ALLOW FILTERING")
      assert.deepStrictEqual(statement.parameters, [1, "a", 5])
    })

    it("a printed statement shows its text and nothing that is bound", () => {
      const printed = String(cql`SELECT * FROM t WHERE id = ${secret}`)
      assert.include(printed, "SELECT * FROM t WHERE id = ?")
      assert.notInclude(printed, secret)
    })

    it("a printed statement does not show the password that its text spells out", () => {
      assert.notInclude(String(cql`CREATE ROLE a WITH PASSWORD = 'hunter2' AND LOGIN = true`), "hunter2")
    })

    it.effect("a session's own cql runs on that session, without a context", () =>
      Effect.gen(function*() {
        const session = yield* Session
        const statement = session.cql`SELECT key FROM system.local`
        const rows = yield* Effect.provideContext(statement, Context.empty())
        assert.deepStrictEqual(rows, [{ key: "local" }])
      }))

    it.effect("USE is refused, for it would move every other statement too", () =>
      Effect.gen(function*() {
        for (const use of [cql`USE system`, cql`  -- note\n /* x */ use system`]) {
          assert.strictEqual((yield* reasonOf(use))._tag, "InvalidQuery")
        }
      }))
  })

  describe("options", () => {
    it.effect("that make no sense fail before anything is sent", () =>
      Effect.gen(function*() {
        const wrong: ReadonlyArray<readonly [string, Statement.Options]> = [
          ["pageSize", { pageSize: 0 }],
          ["timeout", { timeout: "0 seconds" }],
          ["maxRows", { maxRows: 1.5 }],
          ["consistency", JSON.parse("{\"consistency\":\"most\"}")]
        ]
        for (const [field, options] of wrong) {
          const reason = yield* reasonOf(cql`SELECT * FROM nowhere`.pipe(Statement.withOptions(options)))
          assert(reason._tag === "InvalidConfig")
          assert.strictEqual(reason.field, field)
        }
      }))

    it.effect("reach the server", () =>
      Effect.gen(function*() {
        yield* createUsers
        const reason = yield* reasonOf(
          cql`SELECT * FROM users`.pipe(Statement.withOptions({ consistency: "three" }))
        )
        assert(reason._tag === "Unavailable")
        assert.deepStrictEqual([reason.consistency, reason.required, reason.alive], ["three", 3, 1])
      }))

    it.effect("maxRows says when collecting was a mistake", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE many (id int PRIMARY KEY)`
        yield* Effect.forEach(Array.from({ length: 30 }, (_, id) => id), (id) =>
          cql`INSERT INTO many (id) VALUES (${id})`)
        const all = cql`SELECT * FROM many`
        const reason = yield* reasonOf(all.pipe(Statement.withOptions({ maxRows: 20, pageSize: 7 })))
        assert(reason._tag === "TooManyRows")
        assert.strictEqual(reason.limit, 20)
        assert.strictEqual((yield* all.pipe(Statement.withOptions({ maxRows: 30, pageSize: 7 }))).length, 30)
      }))
  })

  describe("errors", () => {
    it.effect("a syntax error has its place in the text", () =>
      Effect.gen(function*() {
        const error = yield* failure(cql`SELECT * FORM users WHERE name = ${secret}`)
        assert(error.reason._tag === "CqlSyntaxError")
        assert.deepStrictEqual([error.reason.line, error.reason.column], [1, 9])
        assert.strictEqual(error.statement, "SELECT * FORM users WHERE name = ?")
        const lines = String(error).split("\n")
        const marked = lines.findIndex((line) => line.trim() === "^")
        assert.strictEqual(lines[marked]!.indexOf("^"), lines[marked - 1]!.indexOf("FORM"))
      }))

    it.effect("an unknown table, and an unknown column", () =>
      Effect.gen(function*() {
        yield* createUsers
        const table = yield* failure(cql`SELECT * FROM nowhere WHERE name = ${secret}`)
        assert.strictEqual(table.reason._tag, "InvalidQuery")
        assert.include(table.message, "nowhere")
        const column = yield* failure(cql`SELECT nothing FROM users WHERE id = ${ada.id}`)
        assert.strictEqual(column.reason._tag, "InvalidQuery")
        assert.include(column.message, "nothing")
      }))

    it.effect("a table that exists, with its name", () =>
      Effect.gen(function*() {
        yield* createUsers
        const { keyspace } = yield* Session
        const reason = yield* reasonOf(cql`CREATE TABLE users (id int PRIMARY KEY)`)
        assert(reason._tag === "AlreadyExists")
        assert.deepStrictEqual([reason.keyspace, reason.table], [keyspace!, "users"])
      }))

    it.effect("values that fit no marker, and markers that have no value", () =>
      Effect.gen(function*() {
        yield* createUsers
        const quoted = yield* failure(
          cql`SELECT * FROM users WHERE id = ${ada.id} AND name = '${secret}' ALLOW FILTERING`
        )
        assert.strictEqual(quoted.reason._tag, "InvalidQuery")
        assert.include(quoted.message, "1 markers and 2 values")
        const left = yield* failure(cql`SELECT * FROM users WHERE id = ?`)
        assert.strictEqual(left.reason._tag, "InvalidQuery")
      }))

    it.effect("a value of the wrong type, with both sides and without the value", () =>
      Effect.gen(function*() {
        yield* createUsers
        const reason = yield* reasonOf(cql`INSERT INTO users ${cql.insert({ id: ada.id, visits: secret })}`)
        assert(reason._tag === "InvalidParameter")
        assert.deepStrictEqual([reason.index, reason.parameter, reason.expected], [1, "visits", "bigint"])
        assert.include(reason.found, "string")
      }))

    it.effect("a value that the server repeats is masked", () =>
      Effect.gen(function*() {
        yield* createUsers
        const reason = yield* reasonOf(cql`INSERT INTO users JSON ${`{"id": "${secret}"}`}`)
        assert.strictEqual(reason._tag, "InvalidQuery")
      }))

    it.effect("what a role may not do", () =>
      Effect.gen(function*() {
        const { cluster } = yield* Session
        const server = yield* Session.config
        const role = `role_${crypto.randomUUID().replaceAll("-", "")}`
        yield* createUsers
        yield* cql`CREATE ROLE ${cql.ident(role)} WITH PASSWORD = 'pass' AND LOGIN = true`
        assert.isNotEmpty(yield* cluster.nodes)
        const { keyspace } = yield* Session
        const reason = yield* Effect.scoped(Effect.gen(function*() {
          const other = yield* Session.make({ ...server, username: role, password: Redacted.make("pass") })
          return yield* reasonOf(other.cql`SELECT * FROM ${cql.ident(keyspace!, "users")}`)
        }))
        assert.strictEqual(reason._tag, "Unauthorized")
        yield* cql`DROP ROLE ${cql.ident(role)}`
      }))

    it.effect("a wrong password, without the password", () =>
      Effect.gen(function*() {
        const server = yield* Session.config
        const connect = Effect.scoped(Session.make({ ...server, username: "nobody", password: Redacted.make(secret) }))
        assert.strictEqual((yield* reasonOf(connect))._tag, "AuthenticationError")
      }))

    it.effect("recovering by reason leaves the others in the type", () =>
      Effect.gen(function*() {
        const found = yield* cql`SELECT * FROM nowhere`.pipe(
          Effect.catchReason("CqlError", "InvalidQuery", (reason) => Effect.succeed(reason.message))
        )
        assert.include(String(found), "nowhere")
      }))

    it.effect("a failure in the middle leaves the session usable", () =>
      Effect.gen(function*() {
        yield* Effect.exit(cql`SELECT * FROM nowhere`)
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(cql`SELECT key FROM system.local`)))
      }))
  })
})
