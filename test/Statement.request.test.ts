import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { cql, CqlError, CqlType, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const secret = "correct horse battery staple"

/** The error of a statement, which shows what is bound in nothing that anyone can read. */
const failure = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<CqlError, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, CqlError)
    const printed = [
      String(error),
      JSON.stringify(error),
      error.stack ?? "",
      Cause.pretty(Cause.fail(error)),
      inspect(error, { depth: 20, showHidden: true }),
      JSON.stringify(error.reason)
    ]
    for (const text of printed) assert.notInclude(text, secret)
    return error
  })

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE users (id int PRIMARY KEY, name text, visits bigint, "camelCase" text, joined timestamp)`
  yield* cql`CREATE TABLE odd (id int PRIMARY KEY, "__proto__" text, "constructor" text, "?" text)`
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

let lastId = 0

/** Rows that no other test has. */
const nextId = (): number => ++lastId

class User extends Schema.Class<User>("User")({
  id: CqlType.Int,
  name: CqlType.Nullable(CqlType.Text),
  visits: CqlType.Nullable(CqlType.BigInt)
}) {
  get greeting(): string {
    return `hello ${this.name}`
  }
}

const insertUser = cql.statement({
  text: "INSERT INTO users (id, name, visits) VALUES (:id, :name, :visits)",
  request: User
})

const userById = cql.statement({
  text: "SELECT id, name, visits FROM users WHERE id = :id",
  request: Schema.Struct({ id: CqlType.Int }),
  result: User
})

const ada = (id: number) => new User({ id, name: "Ada", visits: 7n })

it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })("cql.statement on a real server", (it) => {
  it.effect("binds the fields of a request to the markers of their names, and decodes the rows", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* insertUser(ada(id))
      const user = yield* userById({ id }).one
      assert.deepStrictEqual(user, ada(id))
      assert.strictEqual(user.greeting, "hello Ada")
      assert.deepStrictEqual(yield* userById({ id }).first, Option.some(ada(id)))
      assert.deepStrictEqual(yield* userById({ id }), [ada(id)])
      assert.deepStrictEqual(yield* Stream.runCollect(userById({ id }).stream), [ada(id)])
      assert.deepStrictEqual((yield* userById({ id }).result).rows, [ada(id)])
      assert.deepStrictEqual(yield* userById({ id: -1 }).first, Option.none())
    }))

  it.effect("takes the fields in whatever order the markers are in", () =>
    Effect.gen(function*() {
      const id = nextId()
      const update = cql.statement({
        text: "UPDATE users SET visits = :visits, name = :name WHERE id = :id",
        request: Schema.Struct({ id: CqlType.Int, name: CqlType.Text, visits: CqlType.BigInt })
      })
      yield* update({ id, name: "Ada", visits: 7n })
      assert.deepStrictEqual(yield* userById({ id }).one, ada(id))
    }))

  it.effect("finds names in quotes with their case, and one name at several markers", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql.statement({
        text: "INSERT INTO users (id, name, \"camelCase\") VALUES (:id, :\"camelCase\", :\"camelCase\")",
        request: Schema.Struct({ camelCase: CqlType.Text, id: CqlType.Int })
      })
      yield* insert({ camelCase: "both", id })
      const rows = yield* cql`SELECT name, "camelCase" FROM users WHERE id = ${id}`
      assert.deepStrictEqual(rows, [{ name: "both", camelCase: "both" }])
    }))

  it.effect("gives a ? the name of its column", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql.statement({
        text: "INSERT INTO users (id, name, \"camelCase\") VALUES (?, ?, ?)",
        request: Schema.Struct({ name: CqlType.Text, camelCase: CqlType.Text, id: CqlType.Int })
      })
      yield* insert({ id, name: "a", camelCase: "b" })
      const select = cql.statement({
        text: "SELECT name, \"camelCase\" FROM users WHERE id = ? LIMIT ?",
        request: Schema.Struct({ id: CqlType.Int, "[limit]": CqlType.Int })
      })
      assert.deepStrictEqual(yield* select({ id, "[limit]": 1 }), [{ name: "a", camelCase: "b" }])
    }))

  it.effect("refuses two ? of one name, and tells how to write them", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* insertUser(ada(id))
      const request = Schema.Struct({ visits: CqlType.BigInt })
      const range = (from: string, to: string) =>
        cql.statement({
          text: `SELECT id FROM users WHERE visits > ${from} AND visits < ${to} ALLOW FILTERING`,
          request
        })
      const error = yield* failure(range("?", "?")({ visits: 1n }))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.match(error.message, /two markers are called "visits": write :first and :second/)
      assert.strictEqual((yield* failure(range(":visits", "?")({ visits: 1n }))).reason._tag, "InvalidQuery")
      const between = cql.statement({
        text: `SELECT id FROM users WHERE id = :id AND visits > :first AND visits < :second ALLOW FILTERING`,
        request: Schema.Struct({ id: CqlType.Int, first: CqlType.BigInt, second: CqlType.BigInt })
      })
      assert.deepStrictEqual(yield* between({ id, first: 6n, second: 8n }), [{ id }])
      assert.deepStrictEqual(yield* between({ id, first: 7n, second: 8n }), [])
    }))

  it.effect("knows that a ? in a text, a name or a comment is no marker", () =>
    Effect.gen(function*() {
      const id = nextId()
      const update = cql.statement({
        text: `UPDATE odd SET "?" = 'is it ''so''?' -- really?
          // or not?
          /* who knows? */
          WHERE id IN (:id, :id)`,
        request: Schema.Struct({ id: CqlType.Int })
      })
      yield* update({ id })
      const select = cql.statement({
        text: "SELECT \"?\" FROM odd WHERE id IN (:id, :id) AND \"?\" = $$is it 'so'?$$ ALLOW FILTERING /* ? */",
        request: Schema.Struct({ id: CqlType.Int })
      })
      assert.deepStrictEqual(yield* select({ id }), [{ "?": "is it 'so'?" }])
    }))

  it.effect("leaves a column as it is for a field that is absent or undefined, and removes it for null", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql.statement({
        text: "INSERT INTO users (id, name, visits) VALUES (:id, :name, :visits)",
        request: Schema.Struct({
          id: CqlType.Int,
          name: Schema.optional(CqlType.Nullable(CqlType.Text)),
          visits: Schema.optionalKey(CqlType.Nullable(CqlType.BigInt))
        })
      })
      yield* insert({ id, name: "Ada", visits: 7n })
      yield* insert({ id })
      yield* insert({ id, name: undefined })
      assert.deepStrictEqual(yield* userById({ id }).one, ada(id))
      yield* insert({ id, name: null })
      assert.deepStrictEqual(yield* userById({ id }).one, new User({ id, name: null, visits: 7n }))
    }))

  it.effect("encodes the request by its schema, and renames what the schema renames", () =>
    Effect.gen(function*() {
      const id = nextId()
      const request = Schema.Struct({
        userId: CqlType.Int,
        joinedAt: Schema.DateTimeUtcFromDate,
        name: Schema.OptionFromNullOr(CqlType.Text)
      }).pipe(Schema.encodeKeys({ userId: "id", joinedAt: "joined" }))
      const insert = cql.statement({
        text: "INSERT INTO users (id, joined, name) VALUES (:id, :joined, :name)",
        request
      })
      const joinedAt = DateTime.makeUnsafe("2026-01-02T03:04:05.678Z")
      yield* insert({ userId: id, joinedAt, name: Option.none() })
      const result = Schema.Struct({ joined: Schema.DateTimeUtcFromDate, name: Schema.OptionFromNullOr(CqlType.Text) })
      const select = cql.statement({ text: `SELECT joined, name FROM users WHERE id = ${id}`, result })
      assert.deepStrictEqual(yield* select, [{ joined: joinedAt, name: Option.none() }])
    }))

  it.effect("without a request is a statement, and without a result gives plain rows", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* insertUser(ada(id))
      const plain = cql.statement({ text: `SELECT id, name FROM users WHERE id = ${id}` })
      assert.isTrue(Statement.isStatement(plain))
      assert.deepStrictEqual(yield* plain.one, { id, name: "Ada" })
      const typed = cql.statement({ text: `SELECT * FROM users WHERE id = ${id}`, result: User })
      assert.deepStrictEqual(yield* typed.one, ada(id))
      const byName = cql.statement({
        text: "SELECT name FROM users WHERE id = :id",
        request: Schema.Struct({ id: CqlType.Int })
      })
      assert.deepStrictEqual(yield* byName({ id }), [{ name: "Ada" }])
      const error = yield* failure(cql.statement({ text: "SELECT name FROM users WHERE id = :id" }))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
    }))

  it.effect("refuses a marker without a field, and a field without a marker, before it is executed", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = (text: string) => cql.statement({ text, request: User })(ada(id))
      const marker = yield* failure(insert("INSERT INTO users (id, name, visits) VALUES (:id, :name, :Visits2)"))
      assert(marker.reason._tag === "InvalidParameter")
      assert.strictEqual(
        marker.message,
        "parameter 3 (visits2): expected bigint, but the request has no such field"
      )
      assert.match(marker.reason.hint!, /:"camelCase"/)
      const field = yield* failure(insert("INSERT INTO users (id, name) VALUES (:id, :name)"))
      assert.strictEqual(field.reason._tag, "InvalidQuery")
      assert.strictEqual(field.message, "the statement has no marker for the field \"visits\" of the request")
      const none = yield* failure(insert(`INSERT INTO users (id) VALUES (${id})`))
      assert.match(none.message, /no marker for the field "id"/)
      for (const error of [marker, field, none]) assert.isUndefined(error.coordinator)
      assert.deepStrictEqual(yield* userById({ id }), [])
    }))

  it.effect("refuses a request that its schema cannot encode, and shows no value of it", () =>
    Effect.gen(function*() {
      const id = nextId()
      const requests: ReadonlyArray<readonly [request: unknown, message: RegExp]> = [
        [{ id, name: { secret }, visits: 1n }, /^parameter 2 \(name\): expected .*, found an object/],
        [{ id: secret, name: "a", visits: 1n }, /^parameter 1 \(id\): expected number, found a string/],
        [{ id: 2 ** 40, name: secret, visits: 1n }, /^parameter 1 \(id\): expected .*, found a number/],
        [{ id, name: secret }, /^parameter 3 \(visits\): expected .*, found nothing/],
        [secret, /^parameter 1 \(the request\): expected .*, found a string/],
        [null, /^parameter 1 \(the request\): expected .*, found null/]
      ]
      for (const [request, message] of requests) {
        const error = yield* failure(insertUser(request as User))
        assert.strictEqual(error.reason._tag, "InvalidParameter", error.message)
        assert.match(error.message, message)
        assert.strictEqual(error.statement, insertUser(ada(id)).text)
      }
      assert.deepStrictEqual(yield* userById({ id }), [])
    }))

  it.effect("refuses a value that the schema lets pass and a parameter cannot hold, and shows no value of it", () =>
    Effect.gen(function*() {
      const loose = cql.statement({
        text: "INSERT INTO users (id, name) VALUES (:id, :name)",
        request: Schema.Struct({ id: Schema.Unknown, name: Schema.Unknown })
      })
      const values: ReadonlyArray<readonly [name: unknown, message: string]> = [
        [7, "parameter 2 (name): expected text, found a number"],
        [Promise.resolve(secret), "parameter 2 (name): expected a plain value, found a Promise"],
        [Option.some(secret), "parameter 2 (name): expected a plain value, found an Option"],
        [cql`${secret}`, "parameter 2 (name): expected a plain value, found a fragment"],
        [cql.ident(secret), "parameter 2 (name): expected a plain value, found a fragment"]
      ]
      for (const [name, message] of values) {
        const error = yield* failure(loose({ id: 1, name }))
        assert.strictEqual(error.reason._tag, "InvalidParameter")
        assert.strictEqual(error.message, message)
      }
    }))

  const noRequests: ReadonlyArray<readonly [what: string, schema: Schema.Constraint]> = [
    ["an array", Schema.Array(Schema.String)],
    ["a schema of one value", Schema.String],
    ["a record", Schema.Record(Schema.String, Schema.String)],
    ["a union", Schema.Union([User, Schema.Struct({ id: CqlType.Int })])],
    ["a struct without fields", Schema.Struct({})]
  ]

  for (const [what, request] of noRequests) {
    it.effect(`refuses a request that is ${what}`, () =>
      Effect.gen(function*() {
        const make = cql.statement as (
          options: unknown
        ) => (request: unknown) => Effect.Effect<unknown, CqlError, Session>
        const error = yield* failure(make({ text: "SELECT id FROM users WHERE id = :id", request })({ id: 1 }))
        assert.strictEqual(error.reason._tag, "InvalidQuery")
        assert.match(error.message, /a Struct or a Class of named values; this schema is /)
      }))
  }

  it.effect("binds what is called like the properties of an object", () =>
    Effect.gen(function*() {
      const id = nextId()
      const names = ["__proto__", "constructor"] as const
      const Odd = Schema.Struct(
        Object.fromEntries([["id", Schema.Unknown], ...names.map((name) => [name, Schema.optional(Schema.Unknown)])])
      ) as unknown as Schema.Codec<object>
      const insert = cql.statement({
        text: "INSERT INTO odd (id, \"__proto__\", \"constructor\") VALUES (:id, :\"__proto__\", :\"constructor\")",
        request: Odd
      })
      yield* insert(Object.fromEntries([["id", id], ["__proto__", "a"], ["constructor", "b"]]))
      const select = cql`SELECT "__proto__", "constructor" FROM odd WHERE id = ${id}`
      const entries = () => Effect.map(select.one, (row) => Object.entries(row))
      assert.deepStrictEqual(yield* entries(), [["__proto__", "a"], ["constructor", "b"]])
      // What an object inherits is no field of it.
      yield* insert({ id })
      assert.deepStrictEqual(yield* entries(), [["__proto__", "a"], ["constructor", "b"]])
    }))

  it.effect("gives the outcome of a lightweight transaction", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql.statement({
        text: "INSERT INTO users (id, name, visits) VALUES (:id, :name, :visits) IF NOT EXISTS",
        request: User,
        result: Schema.Struct({ id: CqlType.Int, name: CqlType.Nullable(CqlType.Text) })
      })
      assert.deepStrictEqual(yield* insert(ada(id)).applied, { applied: true })
      assert.deepStrictEqual(yield* insert(ada(id)).applied, {
        applied: false,
        current: Option.some({ id, name: "Ada" })
      })
    }))

  it.effect("takes options, and keeps its names with them", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* insertUser(ada(id)).pipe(Statement.withOptions({ timestamp: 7 }))
      const update = cql.statement({
        text: "UPDATE users SET visits = :visits, name = :name WHERE id = :id",
        request: User
      })
      yield* update(new User({ id, name: "Eve", visits: 8n })).pipe(Statement.withOptions({ timestamp: 6 }))
      assert.deepStrictEqual(yield* userById({ id }).one, ada(id))
      const { coordinator, consistency, rows } = yield* cql.statement({
        text: "SELECT WRITETIME(name) AS written FROM users WHERE id = :id",
        request: Schema.Struct({ id: CqlType.Int })
      })({ id }).pipe(Statement.withOptions({ consistency: "one" })).result
      assert.deepStrictEqual({ consistency, rows }, { consistency: "one", rows: [{ written: 7n }] })
      assert.isNotEmpty(coordinator)
      const error = yield* failure(insertUser(ada(id)).pipe(Statement.withOptions({ pageSize: 0 })))
      assert.strictEqual(error.reason._tag, "InvalidConfig")
    }))

  it.effect("goes into a batch, beside statements whose values have no names", () =>
    Effect.gen(function*() {
      const [a, b, c] = [nextId(), nextId(), nextId()]
      yield* Statement.batch([
        insertUser(ada(a)),
        cql`INSERT INTO users (id, name, visits) VALUES (${b}, ${"Ada"}, ${7n})`,
        insertUser(ada(c))
      ])
      for (const id of [a, b, c]) assert.deepStrictEqual(yield* userById({ id }).one, ada(id))
      const bad = Statement.batch([insertUser(ada(a)), insertUser({ id: a, name: { secret } } as never)])
      assert.match((yield* failure(bad)).message, /^parameter 2 \(name\)/)
      const without = cql.statement({ text: "INSERT INTO users (id) VALUES (:id)", request: User })
      const error = yield* failure(Statement.batch([insertUser(ada(a)), without(ada(a))]))
      assert.match(error.message, /^statement 2 of the batch: .* no marker for the field "name"/)
    }))

  it.effect("is refused inside of another template, where its names would be lost", () =>
    Effect.gen(function*() {
      const where = cql.statement({ text: "WHERE id = :id", request: Schema.Struct({ id: CqlType.Int }) })
      for (const statement of [cql`SELECT * FROM users ${where({ id: 1 })}`, cql`${where({ id: 1 })}`]) {
        const error = yield* failure(statement)
        assert.strictEqual(error.reason._tag, "InvalidQuery")
        assert.include(error.message, "cql.statement cannot be a part of another")
      }
      const plain = cql.statement({ text: "WHERE id = 0" })
      assert.deepStrictEqual(yield* cql`SELECT * FROM users ${plain}`, [])
    }))

  it.effect("refuses USE", () =>
    Effect.gen(function*() {
      const error = yield* failure(cql.statement({ text: "USE system" }))
      assert.strictEqual(error.reason._tag, "InvalidQuery")
      assert.isUndefined(error.coordinator)
    }))

  it.effect("of a session's own cql runs on that session, without a context", () =>
    Effect.gen(function*() {
      const session = yield* Session
      const id = nextId()
      yield* insertUser(ada(id))
      const own = session.cql.statement({
        text: "SELECT * FROM users WHERE id = :id",
        request: Schema.Struct({ id: CqlType.Int }),
        result: User
      })
      assert.deepStrictEqual(yield* Effect.provideContext(own({ id }).one, Context.empty()), ada(id))
      const plain = session.cql.statement({ text: "SELECT key FROM system.local" })
      assert.deepStrictEqual(yield* Effect.provideContext(plain, Context.empty()), [{ key: "local" }])
    }))
})

describe("a statement of cql.statement", () => {
  it("has its text as it was written, and the values in the order of the fields", () => {
    const statement = insertUser(ada(1))
    assert.strictEqual(statement.text, "INSERT INTO users (id, name, visits) VALUES (:id, :name, :visits)")
    assert.deepStrictEqual(statement.parameters, [1, "Ada", 7n])
  })

  it("shows nothing of its request when it is printed", () => {
    const statement = insertUser(new User({ id: 1, name: secret, visits: 7n }))
    for (const printed of [String(statement), JSON.stringify(statement), inspect(statement, { depth: 9 })]) {
      assert.include(printed, ":name")
      assert.notInclude(printed, secret)
    }
  })

  it.live("is prepared once for all its requests (scripted: the wire)", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT/, Reply.void)
      server.prepared(/^SELECT/, { params: ["b", "a", "b"].map((name) => ({ name, type: "text" })) })
      const { cql } = yield* connect(server)
      const select = cql.statement({
        text: "SELECT :b :a :b",
        request: Schema.Struct({ a: Schema.optional(Schema.String), b: Schema.NullOr(Schema.String) })
      })
      yield* select({ a: "a", b: "b" })
      yield* select({ b: null })
      assert.lengthOf(server.received(/^SELECT/, ["prepare"]), 1)
      assert.deepStrictEqual(
        server.received(/^SELECT/).map(({ kind, names, values }) => [
          kind,
          names,
          ...values.map((value) => value?.toString() ?? value)
        ]),
        [["execute", undefined, "b", "a", "b"], ["execute", undefined, null, undefined, null]]
      )
    }))
})
