import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"
import { cql, CqlStream, Session } from "../../src/index.ts"
import { acceptsNull, describe as describeType } from "../../src/internal/codec/fit.ts"
import * as RowSchema from "../../src/internal/codec/RowSchema.ts"
import * as Run from "../../src/internal/run.ts"
import * as TableSchema from "../../src/internal/tableSchema.ts"
import * as Keyspace from "../support/keyspace.ts"
import { reasonOf } from "../support/scripted.ts"

const tableSchema = (table: string, columns?: ReadonlyArray<string>) =>
  Effect.flatMap(Session, (session) => TableSchema.make(session, table, columns))

/** Name, type and whether it takes null, for each field. */
const summary = ({ schema }: TableSchema.TableSchema): ReadonlyArray<string> => {
  const { ast } = schema
  assert.strictEqual(ast._tag, "Objects")
  return (ast as SchemaAST.Objects).propertySignatures.map(({ name, type }) =>
    `${String(name)}: ${describeType(type)}${acceptsNull(type) ? " or null" : ""}`
  )
}

/** Whether rows of this table are made without any check of a value. */
const isProved = Effect.fnUntraced(function*({ keyspace, name, schema }: TableSchema.TableSchema) {
  const { core } = yield* Session
  const query = { text: `SELECT * FROM "${keyspace}"."${name}"`, values: [], names: undefined, schema: undefined }
  const prepared = yield* Run.prepareOnly(core, query, core.settings, "anywhere")
  return RowSchema.make(schema, prepared.columns!).decode === undefined
})

const refusal = (table: string, columns?: ReadonlyArray<string>) =>
  Effect.map(reasonOf("InvalidQuery")(tableSchema(table, columns)), ({ message }) => message)

const scalars = [
  "ascii",
  "bigint",
  "blob",
  "boolean",
  "date",
  "decimal",
  "double",
  "duration",
  "float",
  "inet",
  "int",
  "smallint",
  "text",
  "time",
  "timestamp",
  "timeuuid",
  "tinyint",
  "uuid",
  "varint"
]

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("a table's schema", (it) => {
  it.effect("has every scalar type, and null for all that is not of the primary key", () =>
    Effect.gen(function*() {
      const columns = scalars.map((type) => `c_${type} ${type}`).join(", ")
      yield* cql`CREATE TABLE scalar (k uuid, "Part 2" text, c timeuuid, d int, ${cql.unsafe(columns)},
        PRIMARY KEY ((k, "Part 2"), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC)`
      const table = yield* tableSchema("scalar")
      assert.deepStrictEqual(summary(table), [
        "k: uuid",
        "Part 2: text",
        "c: timeuuid",
        "d: int",
        ...scalars.map((type) => `c_${type}: ${type} or null`)
      ])
      assert.isTrue(yield* isProved(table))
      assert.deepStrictEqual(table.columns.slice(0, 5).map(({ kind, name, type }) => `${name} ${type} ${kind}`), [
        "k uuid partition_key",
        "Part 2 text partition_key",
        "c timeuuid clustering",
        "d int clustering",
        "c_ascii ascii regular"
      ])
    }))

  it.effect("has collections, tuples, vectors and user defined types, however they are nested", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TYPE point (x int, "Y" double)`
      yield* cql`CREATE TYPE "Place" (at frozen<point>, names frozen<list<text>>)`
      yield* cql`CREATE TABLE nested (
        k frozen<tuple<int, frozen<set<text>>>> PRIMARY KEY,
        l list<frozen<map<text, int>>>,
        s frozen<set<uuid>>,
        m map<text, frozen<"Place">>,
        t tuple<int, text, frozen<point>>,
        u point,
        p frozen<"Place">,
        v vector<float, 3>,
        w vector<text, 2>,
        d frozen<list<duration>>
      )`
      const table = yield* tableSchema("nested")
      assert.deepStrictEqual(summary(table), [
        "k: tuple<int, set<text>>",
        "d: list<duration> or null",
        "l: list<map<text, int>> or null",
        "m: map<text, udt> or null",
        "p: udt or null",
        "s: set<uuid> or null",
        "t: tuple<int, text, udt> or null",
        "u: udt or null",
        "v: vector<float, 3> or null",
        "w: vector<text, 2> or null"
      ])
      assert.isTrue(yield* isProved(table))
      yield* cql`INSERT INTO nested (k, l, s, m, t, u, p, v, w, d) VALUES ((1, {'a'}), [{'b': 2}],
        {6b1e5cbb-7a37-4e7c-8a4c-000000000001}, {'home': {at: {x: 1, "Y": 2.5}, names: ['n']}}, (3, null, {x: null}),
        {x: 4, "Y": null}, {at: null, names: null}, [1, 2, 3], ['x', 'y'], [1mo2d])`
      yield* cql`INSERT INTO nested (k) VALUES ((null, null))`
      const point = (x: number | null, Y: number | null) => ({ x, Y })
      const full = {
        k: [1, new Set(["a"])],
        d: [{ months: 1, days: 2, nanoseconds: 0n }],
        l: [new Map([["b", 2]])],
        m: new Map([["home", { at: point(1, 2.5), names: ["n"] }]]),
        p: { at: null, names: null },
        s: new Set(["6b1e5cbb-7a37-4e7c-8a4c-000000000001"]),
        t: [3, null, point(null, null)],
        u: point(4, null),
        v: [1, 2, 3],
        w: ["x", "y"]
      }
      const empty = { k: [null, null], d: null, l: null, m: null, p: null, s: null, t: null, u: null, v: null, w: null }
      const rows = yield* Stream.runCollect(CqlStream.scan({ table: "nested", schema: table.schema }))
      assert.sameDeepMembers([...rows], [full, empty])
    }))

  it.effect("has counters", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE counted (k int PRIMARY KEY, n counter)`
      assert.deepStrictEqual(summary(yield* tableSchema("counted")), ["k: int", "n: counter or null"])
    }))

  it.effect("has null for the clustering key where a partition can have static columns alone", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE with_static (k int, c int, s text static, v text, PRIMARY KEY (k, c))`
      const table = yield* tableSchema("with_static")
      assert.deepStrictEqual(summary(table), ["k: int", "c: int or null", "s: text or null", "v: text or null"])
      yield* cql`INSERT INTO with_static (k, s) VALUES (${1}, ${"alone"})`
      const rows = yield* Stream.runCollect(CqlStream.scan({ table: "with_static", schema: table.schema }))
      assert.deepStrictEqual(rows, [{ k: 1, c: null, s: "alone", v: null }])
    }))

  it.effect("is of the columns that are named, each once, in their order", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE some_columns (k int PRIMARY KEY, a text, "A" text, b text)`
      const table = yield* tableSchema("some_columns", ["A", "k", "A", "a"])
      assert.deepStrictEqual(summary(table), ["A: text or null", "k: int", "a: text or null"])
      assert.deepStrictEqual(table.columns.map(({ name }) => name), ["A", "k", "a"])
    }))

  it.effect("reads names that JavaScript has a meaning for, and names in quotes", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE "OddTable" ("__proto__" int PRIMARY KEY, "constructor" text, "1" text)`
      yield* cql`INSERT INTO "OddTable" ("__proto__", "constructor", "1") VALUES (${1}, ${"c"}, ${"one"})`
      const table = yield* tableSchema("\"OddTable\"")
      assert.strictEqual(table.name, "OddTable")
      assert.sameMembers([...summary(table)], ["__proto__: int", "constructor: text or null", "1: text or null"])
      const [row] = yield* Stream.runCollect(CqlStream.scan({ table: "\"OddTable\"", schema: table.schema }))
      assert.deepStrictEqual(Object.entries(row!).sort(), [["1", "one"], ["__proto__", 1], ["constructor", "c"]])
    }))

  it.effect("is of a table of another keyspace, in whatever case it is named", () =>
    Effect.gen(function*() {
      const { keyspace, name, schema } = yield* tableSchema("SYSTEM.Local")
      assert.strictEqual(`${keyspace}.${name}`, "system.local")
      const [local] = yield* Stream.runCollect(CqlStream.scan({ table: "system.local", schema }))
      assert.strictEqual(local!["key"], "local")
    }))

  it.effect("encodes what it decodes", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE both_ways (k int PRIMARY KEY, s set<text>, t timestamp, d decimal)`
      yield* cql`INSERT INTO both_ways (k, s, t, d) VALUES (1, {'a'}, '2024-02-29T12:00:00Z', 1.50)`
      const { schema } = yield* tableSchema("both_ways")
      const [row] = yield* Stream.runCollect(CqlStream.scan({ table: "both_ways", schema }))
      assert.deepStrictEqual(yield* Schema.encodeEffect(schema)(row!), row)
    }))

  describe("is refused", () => {
    it.effect("for a type that only the server knows, with the name of the column", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE custom (k int PRIMARY KEY, "Odd" 'org.apache.cassandra.db.marshal.LexicalUUIDType',
          l list<frozen<tuple<int, 'org.apache.cassandra.db.marshal.LexicalUUIDType'>>>, v text)`
        assert.match(
          yield* refusal("custom"),
          /^column "Odd" of test_\w+\.custom is of the type 'org.*LexicalUUIDType', for which there is no schema/
        )
        assert.match(yield* refusal("custom", ["k", "l"]), /^column "l" of /)
        assert.deepStrictEqual(summary(yield* tableSchema("custom", ["k", "v"])), ["k: int", "v: text or null"])
      }))

    it.effect("for a table, a keyspace and a column that do not exist, and for what is no name", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE there (k int PRIMARY KEY)`
        assert.match(yield* refusal("not_there"), /^table test_\w+\.not_there does not exist$/)
        assert.match(yield* refusal("\"There\""), /^table test_\w+\.There does not exist$/)
        assert.strictEqual(yield* refusal("nowhere.there"), "keyspace nowhere does not exist")
        assert.match(yield* refusal("there", ["k", "K"]), /^undefined column name "K" in table test_\w+\.there$/)
        assert.strictEqual(yield* refusal("there; DROP"), "\"there; DROP\" is not the name of a table")
      }))

    it.effect("without a keyspace, where the session has none", () =>
      Effect.gen(function*() {
        const session = yield* Session.makeFrom({})
        const error = yield* Effect.flip(TableSchema.make(session, "users"))
        assert.strictEqual(error.message, "no keyspace has been specified")
      }))
  })
})
