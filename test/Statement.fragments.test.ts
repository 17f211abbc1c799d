/**
 * Fragments of statements as the server takes them: what is bound stays data wherever it is put, and what is written is
 * written with the TTL and the time that were asked for.
 */
import { assert, describe, it } from "@effect/vitest"
import { cql, CqlError, CqlType, Session, type Statement } from "effect-cassandra"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Keyspace from "./support/keyspace.ts"

/** The reason why a statement fails. */
const reasonOf = <A, E>(statement: Effect.Effect<A, E, Session>) =>
  Effect.map(Effect.flip(statement), (error) => {
    assert.instanceOf(error, CqlError)
    return error.reason
  })

const attacks = [
  "'; DROP TABLE users; --",
  "\"; DROP TABLE users; --",
  "'",
  "\"",
  "\"\"",
  "$$",
  "$$; DROP TABLE users; $$",
  "/*",
  "*/ DROP TABLE users",
  "--",
  "//",
  "?",
  ":name",
  "\u0000",
  "a\u0000b",
  "line\nbreak\r\n\ttab",
  "🜏 emoji",
  "\\",
  "__proto__",
  "x".repeat(300)
]

const veryLong = "'\"?--".repeat(40_000)

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("fragments", (it) => {
  /** A table of the test's own. */
  const makeTable = (name: string, columns: Statement.Fragment | Statement.Statement<unknown, unknown, unknown>) => {
    const table = cql.ident(`t_${name}`)
    return Effect.as(cql`CREATE TABLE ${table} (${columns})`, table)
  }

  const users = cql.unsafe("id int PRIMARY KEY, name text, other text, friends list<text>, visits int")

  describe("an attack", () => {
    it.effect("as a value is that value in every place for one", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("values", users)
        const Row = Schema.Struct({ id: Schema.Int, name: Schema.String, friends: Schema.Array(Schema.String) })
        for (const attack of [...attacks, veryLong]) {
          const writes = [
            cql`INSERT INTO ${table} (id, name, friends) VALUES (${1}, ${attack}, ${[attack, "x"]})`,
            cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: attack, friends: [attack, "x"] })}`,
            cql`INSERT INTO ${table} ${cql.insert(Row, { id: 1, name: attack, friends: [attack, "x"] })}`,
            cql`UPDATE ${table} SET ${cql.set({ name: attack, friends: [attack, "x"] })} WHERE ${cql.and({ id: 1 })}`,
            cql`UPDATE ${table} SET ${cql.set({ name: attack, friends: cql`friends + ${[attack, "x"]}` })} WHERE ${
              cql.and([cql`id = ${1}`])
            }`
          ]
          for (const write of writes) {
            assert.notInclude(write.text, attack.length > 2 ? attack : "DROP")
            yield* cql`TRUNCATE ${table}`
            yield* write
            const where = cql.and([cql.and({ id: 1 }), cql`${cql`name = ${attack}`}`])
            const rows = yield* cql(Row)`SELECT ${cql.columns(Row)} FROM ${table} WHERE ${where} ALLOW FILTERING`
            assert.deepStrictEqual(rows, [{ id: 1, name: attack, friends: [attack, "x"] }])
          }
        }
      }), 120_000)

    it.effect("as a condition of a lightweight transaction is compared, and not read", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("conditions", users)
        for (const attack of attacks) {
          yield* cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: attack, other: null })}`
          const update = cql`UPDATE ${table} SET ${cql.set({ visits: 1 })} WHERE id = ${1} IF ${
            cql.and({ name: attack, other: null })
          }`
          const [row] = yield* update
          assert.deepStrictEqual(row, { "[applied]": true })
        }
      }))

    it.effect("as a name is a column of that name, in every place for one", () =>
      Effect.gen(function*() {
        for (const [index, attack] of attacks.entries()) {
          const column = cql.ident(attack)
          const table = yield* makeTable(`names_${index}`, cql`id int PRIMARY KEY, ${column} text`)
          const row = (value: string) => Object.fromEntries([["id", 1], [attack, value]])
          const read = Effect.map(
            cql`SELECT ${column} FROM ${table} WHERE ${cql.and(row("given"))} ALLOW FILTERING`,
            (rows) => rows.map(Object.entries)
          )
          const fields = { id: Schema.Int, ...Object.fromEntries([[attack, Schema.String]]) }
          const writes = [
            cql`INSERT INTO ${table} ${cql.insert(row("given"))}`,
            cql`UPDATE ${table} SET ${cql.set(Object.fromEntries([[attack, "given"]]))} WHERE id = ${1}`,
            cql`INSERT INTO ${table} ${cql.insert(Schema.Struct(fields), row("given") as never)}`
          ]
          for (const write of writes) {
            yield* cql`TRUNCATE ${table}`
            yield* write
            assert.deepStrictEqual(yield* read, [[[attack, "given"]]])
          }
          const columns = cql.columns(Schema.Struct(fields))
          const [found] = yield* cql`SELECT ${columns} FROM ${table}`
          assert.deepStrictEqual(Object.entries(found!).sort(), Object.entries(row("given")).sort())
        }
      }), 120_000)

    it.effect("as a name of a type and of a field is that name", () =>
      Effect.gen(function*() {
        const { keyspace } = yield* Session
        for (const [index, attack] of attacks.entries()) {
          const type = cql.ident(keyspace!, attack)
          yield* cql`CREATE TYPE ${type} (${cql.ident(attack)} int)`
          const table = yield* makeTable(`types_${index}`, cql`id int PRIMARY KEY, value ${type}`)
          const value = Object.fromEntries([[attack, 5]])
          yield* cql`INSERT INTO ${table} ${cql.insert({ id: 1, value })}`
          const [row] = yield* cql`SELECT value FROM ${table}`
          assert.deepStrictEqual(Object.entries(row!["value"] as object), [[attack, 5]])
        }
      }), 120_000)

    it.effect("as a name of a keyspace or a table is looked for, or refused as a name", () =>
      Effect.gen(function*() {
        const { keyspace } = yield* Session
        const table = yield* makeTable("kept", users)
        for (const attack of attacks.filter((attack) => attack !== "__proto__")) {
          const statements = [
            cql`SELECT * FROM ${cql.ident(attack)}`,
            cql`SELECT * FROM ${cql.ident(keyspace!, attack)}`,
            cql`SELECT * FROM ${cql.ident(attack, "t_kept")}`,
            cql`INSERT INTO ${cql.ident(attack)} ${cql.insert({ id: 1 })}`,
            cql`DROP TABLE ${cql.ident(keyspace!, attack)}`,
            cql`CREATE TABLE ${cql.ident(attack)} (id int PRIMARY KEY)`,
            cql`CREATE KEYSPACE ${
              cql.ident(attack)
            } WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`
          ]
          // A syntax error would be a name that got out of its quotes.
          for (const statement of statements) assert.strictEqual((yield* reasonOf(statement))._tag, "InvalidQuery")
        }
        assert.deepStrictEqual(yield* cql`SELECT * FROM ${table}`, [])
      }))
  })

  describe("parameters", () => {
    it.effect("are bound where their fragment is", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("order", users)
        yield* cql`INSERT INTO ${table} ${
          cql.insert({ id: cql`(int) ${1} + (int) ${2}`, name: "a", visits: cql`(int) ${4} * (int) ${5}` })
        }`
        yield* cql`UPDATE ${table} ${cql.using({ ttl: "1 hour" })} SET ${
          cql.set({ name: "b", other: cql`(text) ${"c"}`, visits: cql`(int) ${1} - (int) ${2} * (int) ${3}` })
        } WHERE ${cql.and([cql`id = ${3}`])} IF ${cql.and({ name: "a", visits: cql`(int) ${20}` })}`
        const rows = yield* cql`SELECT name, other, visits FROM ${table} WHERE id IN ${[3]}`
        assert.deepStrictEqual(rows, [{ name: "b", other: "c", visits: -5 }])
      }))

    it.effect("that are a list are one value, also an empty one", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("lists", users)
        yield* cql`INSERT INTO ${table} ${cql.insert({ id: 1 })}`
        const among = (ids: ReadonlyArray<number>) => cql`SELECT id FROM ${table} WHERE id IN ${ids}`
        assert.deepStrictEqual(yield* among([]), [])
        assert.deepStrictEqual(yield* among([1, 2, 3]), [{ id: 1 }])
        assert.strictEqual(among([]).text, among([1, 2, 3]).text)
      }))

    it.effect("of a forged fragment are a value, which no text column takes", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("forged", users)
        const forged: unknown = JSON.parse("{\"~effect-cassandra/Fragment\":1,\"text\":\"'x'\",\"parameters\":[]}")
        for (
          const statement of [
            cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: forged })}`,
            cql`UPDATE ${table} SET ${cql.set({ name: forged })} WHERE id = 1`,
            cql`SELECT * FROM ${table} WHERE ${cql.and({ id: 1, name: forged })} ALLOW FILTERING`
          ]
        ) {
          const reason = yield* reasonOf(statement)
          assert(reason._tag === "InvalidParameter")
          assert.strictEqual(reason.parameter, "name")
        }
      }))

    it.effect("that are undefined leave a column as it is, and null removes it", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("unset", users)
        const read = cql`SELECT name, other FROM ${table} WHERE id = ${1}`
        yield* cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: "a", other: "b" })}`
        yield* cql`UPDATE ${table} SET ${cql.set({ name: undefined, other: null })} WHERE id = ${1}`
        assert.deepStrictEqual(yield* read, [{ name: "a", other: null }])
        yield* cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: null, other: undefined })}`
        assert.deepStrictEqual(yield* read, [{ name: null, other: null }])
      }))

    it.effect("an unset value in a condition is refused by the server too, which is why cql.and does", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("unset_conditions", users)
        for (
          const statement of [
            cql`SELECT * FROM ${table} WHERE id = ${undefined}`,
            cql`UPDATE ${table} SET visits = 1 WHERE id = 1 IF name = ${undefined}`
          ]
        ) {
          const reason = yield* reasonOf(statement)
          assert.strictEqual(reason._tag, "InvalidQuery")
          assert.include(reason.message, "unset")
        }
      }))
  })

  describe("cql.insert by a schema", () => {
    class Visit extends Schema.Class<Visit>("Visit")({
      id: CqlType.Uuid,
      at: Schema.DateTimeUtcFromDate,
      agent: Schema.NullOr(Schema.String),
      score: Schema.optionalKey(Schema.NumberFromString),
      tags: Schema.optionalKey(CqlType.Set(Schema.String))
    }) {
      get isKnown(): boolean {
        return this.agent !== null
      }
    }

    const StoredVisit = Visit.pipe(Schema.encodeKeys({ at: "visited_at" }))

    const visits = cql.unsafe("id uuid PRIMARY KEY, visited_at timestamp, agent text, score text, tags set<text>")

    const at = DateTime.makeUnsafe("2026-01-02T03:04:05.678Z")

    it.effect("and cql.columns by the same one give back what was written", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("visits", visits)
        const visit = new Visit({ id: crypto.randomUUID(), at, agent: "x", score: 1.5, tags: new Set(["a", "b"]) })
        yield* cql`INSERT INTO ${table} ${cql.insert(StoredVisit, visit)}`
        const read = cql(StoredVisit)`SELECT ${cql.columns(StoredVisit)} FROM ${table} WHERE id = ${visit.id}`
        const [found] = yield* read
        assert.instanceOf(found, Visit)
        assert.deepStrictEqual(found, visit)
        assert.isTrue(found!.isKnown)
      }))

    it.effect("leaves columns as they are that the value has not, with the same text", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("partial", visits)
        const id = crypto.randomUUID()
        const insert = (visit: Visit) => cql`INSERT INTO ${table} ${cql.insert(StoredVisit, visit)}`
        const whole = insert(new Visit({ id, at, agent: "x", score: 1, tags: new Set(["a"]) }))
        const part = insert(new Visit({ id, at, agent: null }))
        assert.strictEqual(whole.text, part.text)
        yield* whole
        yield* part
        const rows = yield* cql`SELECT agent, score, tags FROM ${table} WHERE id = ${id}`
        assert.deepStrictEqual(rows, [{ agent: null, score: "1", tags: new Set(["a"]) }])
      }))
  })

  describe("cql.using", () => {
    const defaultTtl = 1000

    const makeUsers = (name: string) =>
      Effect.tap(
        makeTable(name, users),
        (table) => cql`ALTER TABLE ${table} WITH default_time_to_live = ${cql.unsafe(String(defaultTtl))}`
      )

    const written = (table: Statement.Fragment, id: number) =>
      cql(Schema.Struct({ ttl: Schema.NullOr(Schema.Int), time: Schema.BigInt }))`
        SELECT TTL(name) AS ttl, WRITETIME(name) AS time FROM ${table} WHERE id = ${id}`.one

    /** Seconds go by between writing and reading. */
    const isAbout = (ttl: number | null, expected: number) =>
      assert.isTrue(ttl !== null && ttl <= expected && ttl > expected - 300, `${ttl} is not about ${expected}`)

    const writes: ReadonlyArray<
      readonly [
        string,
        (
          table: Statement.Fragment,
          id: number,
          using: Statement.Fragment
        ) => Statement.Statement<unknown, CqlError, Session>
      ]
    > = [
      ["INSERT", (table, id, using) => cql`INSERT INTO ${table} ${cql.insert({ id, name: "a" })} ${using}`],
      ["UPDATE", (table, id, using) => cql`UPDATE ${table} ${using} SET ${cql.set({ name: "a" })} WHERE id = ${id}`]
    ]

    for (const [what, write] of writes) {
      it.effect(`in an ${what} is the TTL and the time of what is written`, () =>
        Effect.gen(function*() {
          const table = yield* makeUsers(`using_${what}`)
          yield* write(table, 1, cql.using({ ttl: "30 days", timestamp: 1_000_000n }))
          const { time, ttl } = yield* written(table, 1)
          isAbout(ttl, 30 * 86400)
          assert.strictEqual(time, 1_000_000n)
          yield* write(table, 2, cql.using({ timestamp: Number.MAX_SAFE_INTEGER }))
          assert.strictEqual((yield* written(table, 2)).time, BigInt(Number.MAX_SAFE_INTEGER))
        }))

      it.effect(`in an ${what}, with a TTL of zero, is no TTL, whatever the table's is`, () =>
        Effect.gen(function*() {
          const table = yield* makeUsers(`zero_${what}`)
          yield* write(table, 1, cql.using({ ttl: "0 seconds" }))
          assert.isNull((yield* written(table, 1)).ttl)
        }))

      it.effect(`in an ${what} that is unset or empty leaves both to the server and the session`, () =>
        Effect.gen(function*() {
          const table = yield* makeUsers(`unset_${what}`)
          yield* write(table, 1, cql.using({ ttl: undefined, timestamp: undefined }))
          yield* write(table, 2, cql.using({}))
          for (const id of [1, 2]) {
            const { time, ttl } = yield* written(table, id)
            isAbout(ttl, defaultTtl)
            // Of this millennium, and not the 0 or the lowest number of a default that went wrong.
            assert.isAbove(Number(time), 1e15)
          }
        }))
    }

    it.effect("in a DELETE is the time before which it deletes", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("using_delete", users)
        for (const id of [1, 2, 3]) {
          yield* cql`INSERT INTO ${table} ${cql.insert({ id, name: "a" })} ${cql.using({ timestamp: 1000 })}`
        }
        yield* cql`DELETE FROM ${table} ${cql.using({ timestamp: 999 })} WHERE id = ${1}`
        yield* cql`DELETE FROM ${table} ${cql.using({ timestamp: 1001 })} WHERE id = ${2}`
        yield* cql`DELETE FROM ${table} ${cql.using({ timestamp: undefined })} WHERE id = ${3}`
        assert.deepStrictEqual(yield* cql`SELECT id FROM ${table}`, [{ id: 1 }])
      }))

    it.effect("in a batch's text is the time of the batch", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("using_batch", users)
        yield* cql`BEGIN BATCH ${cql.using({ timestamp: 42 })}
          INSERT INTO ${table} ${cql.insert({ id: 1, name: "a" })};
          UPDATE ${table} SET ${cql.set({ name: "b" })} WHERE id = ${2};
        APPLY BATCH`
        for (const id of [1, 2]) assert.strictEqual((yield* written(table, id)).time, 42n)
      }))

    it.effect("with a timestamp, also an unset one, is nothing for a lightweight transaction; a TTL is", () =>
      Effect.gen(function*() {
        const table = yield* makeUsers("using_lwt")
        const insert = (using: Statement.Fragment) =>
          cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: "a" })} IF NOT EXISTS ${using}`
        for (const timestamp of [1, undefined]) {
          const reason = yield* reasonOf(insert(cql.using({ timestamp })))
          assert.strictEqual(reason._tag, "InvalidQuery")
          assert.include(reason.message, "timestamp")
        }
        assert.deepStrictEqual(yield* insert(cql.using({ ttl: "1 day" })), [{ "[applied]": true }])
        isAbout((yield* written(table, 1)).ttl, 86400)
      }))

    it.effect("takes what the server takes, and nothing that it does not", () =>
      Effect.gen(function*() {
        const table = yield* makeTable("limits", users)
        const insert = (using: Statement.Fragment) =>
          cql`INSERT INTO ${table} ${cql.insert({ id: 1, name: "a" })} ${using}`
        yield* insert(cql.using({ timestamp: 2n ** 63n - 1n }))
        yield* insert(cql.using({ timestamp: 1n - 2n ** 63n }))
        for (
          const past of [cql`USING TIMESTAMP ${-(2n ** 63n)}`, cql`USING TTL ${630_720_001}`, cql`USING TTL ${-1}`]
        ) {
          assert.strictEqual((yield* reasonOf(insert(past as unknown as Statement.Fragment)))._tag, "InvalidQuery")
        }
      }))
  })
})
