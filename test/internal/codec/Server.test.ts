/** Every type against a real server, which says in its own words what it understood. */
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CqlType, Session } from "../../../src/index.ts"
import * as Keyspace from "../../support/keyspace.ts"

interface Case {
  readonly type: string
  readonly schema: Schema.Codec<any, any>
  readonly value: unknown
  /** As the server writes it in JSON. */
  readonly json: string
}

const uuid = "0badc0de-1234-4abc-8def-00ff10a5b6c7"
const timeuuid = "50554d6e-29bb-11e5-b345-feff819cdc9f"
const Address = CqlType.UserDefined({
  street: CqlType.Nullable(CqlType.Text),
  number: CqlType.Nullable(CqlType.Int)
})

const cases: ReadonlyArray<Case> = [
  { type: "ascii", schema: CqlType.Ascii, value: "Ada", json: "\"Ada\"" },
  { type: "text", schema: CqlType.Text, value: "žluťoučký 🐎", json: "\"žluťoučký 🐎\"" },
  { type: "text", schema: CqlType.Text, value: "", json: "\"\"" },
  { type: "tinyint", schema: CqlType.TinyInt, value: -128, json: "-128" },
  { type: "smallint", schema: CqlType.SmallInt, value: -300, json: "-300" },
  { type: "int", schema: CqlType.Int, value: -2147483648, json: "-2147483648" },
  { type: "bigint", schema: CqlType.BigInt, value: -(2n ** 63n), json: "-9223372036854775808" },
  { type: "varint", schema: CqlType.VarInt, value: -(2n ** 100n), json: "-1267650600228229401496703205376" },
  { type: "float", schema: CqlType.Float, value: 1.5, json: "1.5" },
  { type: "double", schema: CqlType.Double, value: 0.1, json: "0.1" },
  { type: "decimal", schema: CqlType.Decimal, value: BigDecimal.make(-123450n, 3), json: "-123.450" },
  { type: "boolean", schema: CqlType.Boolean, value: true, json: "true" },
  { type: "uuid", schema: CqlType.Uuid, value: uuid, json: `"${uuid}"` },
  { type: "timeuuid", schema: CqlType.TimeUuid, value: timeuuid, json: `"${timeuuid}"` },
  {
    type: "timestamp",
    schema: CqlType.Timestamp,
    value: new Date("1969-12-31T23:59:59.999Z"),
    json: "\"1969-12-31 23:59:59.999Z\""
  },
  { type: "date", schema: CqlType.Date, value: "2024-02-29", json: "\"2024-02-29\"" },
  { type: "date", schema: CqlType.Date, value: "-5877641-06-23", json: "\"-5877641-06-23\"" },
  { type: "date", schema: CqlType.Date, value: "+5881580-07-11", json: "\"+5881580-07-11\"" },
  { type: "date", schema: CqlType.Date, value: "0000-01-01", json: "\"0000-01-01\"" },
  { type: "time", schema: CqlType.Time, value: "23:59:59.999999999", json: "\"23:59:59.999999999\"" },
  {
    type: "duration",
    schema: CqlType.Duration,
    value: { months: 14, days: 2, nanoseconds: 3_000_000_004n },
    json: "\"1y2mo2d3s4ns\""
  },
  {
    type: "duration",
    schema: CqlType.Duration,
    value: { months: -1, days: 0, nanoseconds: -5n },
    json: "\"-1mo5ns\""
  },
  { type: "inet", schema: CqlType.Inet, value: "10.1.2.3", json: "\"10.1.2.3\"" },
  { type: "inet", schema: CqlType.Inet, value: "2001:db8::1", json: "\"2001:db8:0:0:0:0:0:1\"" },
  { type: "blob", schema: CqlType.Blob, value: new Uint8Array([0, 255]), json: "\"0x00ff\"" },
  { type: "list<int>", schema: CqlType.List(CqlType.Int), value: [2, 1, 2], json: "[2, 1, 2]" },
  { type: "set<text>", schema: CqlType.Set(CqlType.Text), value: new Set(["a", "b"]), json: "[\"a\", \"b\"]" },
  {
    type: "map<text, bigint>",
    schema: CqlType.Map(CqlType.Text, CqlType.BigInt),
    value: new Map([["a", 1n]]),
    json: "{\"a\": 1}"
  },
  {
    type: "map<int, frozen<list<frozen<set<int>>>>>",
    schema: CqlType.Map(CqlType.Int, CqlType.List(CqlType.Set(CqlType.Int))),
    value: new Map([[1, [new Set([2]), new Set()]]]),
    json: "{\"1\": [[2], []]}"
  },
  {
    type: "tuple<int, text>",
    schema: CqlType.Tuple([CqlType.Nullable(CqlType.Int), CqlType.Nullable(CqlType.Text)]),
    value: [null, "a"],
    json: "[null, \"a\"]"
  },
  {
    type: "frozen<address>",
    schema: Address,
    value: { street: "Na Příkopě", number: null },
    json: "{\"street\": \"Na Příkopě\", \"number\": null}"
  },
  {
    type: "list<frozen<address>>",
    schema: CqlType.List(Address),
    value: [{ street: null, number: 7 }],
    json: "[{\"street\": null, \"number\": 7}]"
  },
  { type: "vector<float, 2>", schema: CqlType.Vector(CqlType.Float, 2), value: [1.5, -2], json: "[1.5, -2.0]" },
  { type: "vector<double, 1>", schema: CqlType.Vector(CqlType.Double, 1), value: [0.1], json: "[0.1]" },
  { type: "vector<bigint, 2>", schema: CqlType.Vector(CqlType.BigInt, 2), value: [1n, -1n], json: "[1, -1]" },
  {
    type: "vector<boolean, 2>",
    schema: CqlType.Vector(CqlType.Boolean, 2),
    value: [true, false],
    json: "[true, false]"
  },
  { type: "vector<uuid, 1>", schema: CqlType.Vector(CqlType.Uuid, 1), value: [uuid], json: `["${uuid}"]` },
  {
    type: "vector<timeuuid, 1>",
    schema: CqlType.Vector(CqlType.TimeUuid, 1),
    value: [timeuuid],
    json: `["${timeuuid}"]`
  },
  {
    type: "vector<timestamp, 1>",
    schema: CqlType.Vector(CqlType.Timestamp, 1),
    value: [new Date(0)],
    json: "[\"1970-01-01 00:00:00.000Z\"]"
  },
  { type: "vector<smallint, 2>", schema: CqlType.Vector(CqlType.SmallInt, 2), value: [1, -1], json: "[1, -1]" },
  { type: "vector<tinyint, 2>", schema: CqlType.Vector(CqlType.TinyInt, 2), value: [1, -1], json: "[1, -1]" },
  { type: "vector<date, 1>", schema: CqlType.Vector(CqlType.Date, 1), value: ["2024-02-29"], json: "[\"2024-02-29\"]" },
  {
    type: "vector<time, 1>",
    schema: CqlType.Vector(CqlType.Time, 1),
    value: ["12:00:00.500000000"],
    json: "[\"12:00:00.500000000\"]"
  },
  { type: "vector<varint, 2>", schema: CqlType.Vector(CqlType.VarInt, 2), value: [1n, -129n], json: "[1, -129]" },
  {
    type: "vector<text, 2>",
    schema: CqlType.Vector(CqlType.Text, 2),
    value: ["a".repeat(200), ""],
    json: `["${"a".repeat(200)}", ""]`
  },
  {
    type: "vector<frozen<vector<float, 2>>, 2>",
    schema: CqlType.Vector(CqlType.Vector(CqlType.Float, 2), 2),
    value: [[1, 2], [3, 4]],
    json: "[[1.0, 2.0], [3.0, 4.0]]"
  },
  {
    type: "vector<frozen<list<int>>, 2>",
    schema: CqlType.Vector(CqlType.List(CqlType.Int), 2),
    value: [[1], []],
    json: "[[1], []]"
  },
  {
    type: "vector<frozen<address>, 1>",
    schema: CqlType.Vector(Address, 1),
    value: [{ street: "a", number: 1 }],
    json: "[{\"street\": \"a\", \"number\": 1}]"
  }
]

describe("a real server", () => {
  it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "120 seconds" })((it) => {
    it.effect("understands every type, and is understood", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TYPE address (street text, number int)`
        const columns = cases.map(({ type }, index) => `c${index} ${type}`)
        yield* cql`CREATE TABLE every_type (id int PRIMARY KEY, ${cql.unsafe(columns.join(", "))})`
        const values = Object.fromEntries(cases.map(({ value }, index) => [`c${index}`, value]))
        yield* cql`INSERT INTO every_type ${cql.insert({ id: 1, ...values })}`

        const schema = Schema.Struct(Object.fromEntries(cases.map((one, index) => [`c${index}`, one.schema])))
        const typed = yield* cql(schema)`SELECT * FROM every_type WHERE id = 1`.one
        const plain = yield* cql`SELECT * FROM every_type WHERE id = 1`.one
        const json = cases.map((_, index) => `toJson(c${index}) AS c${index}`)
        const told = yield* cql`SELECT ${cql.unsafe(json.join(", "))} FROM every_type WHERE id = 1`.one
        for (const [index, { json, type, value }] of cases.entries()) {
          const key = `c${index}`
          assert.deepStrictEqual((typed as any)[key], value, type)
          assert.deepStrictEqual((plain as any)[key], value, type)
          assert.strictEqual((told as any)[key], json, type)
        }
      }))

    it.effect("gives empty collections as none, which a schema takes as empty", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TABLE empties (id int PRIMARY KEY, l list<int>, s set<int>, m map<int, int>, f frozen<list<int>>)`
        yield* cql`INSERT INTO empties ${cql.insert({ id: 1, l: [], s: [], m: new Map(), f: [] })}`
        yield* cql`INSERT INTO empties ${cql.insert({ id: 2, l: null, s: null, m: null, f: null })}`
        const schema = Schema.Struct({
          l: CqlType.List(CqlType.Int),
          s: CqlType.Set(CqlType.Int),
          m: CqlType.Map(CqlType.Int, CqlType.Int),
          f: CqlType.Nullable(CqlType.List(CqlType.Int))
        })
        const empty = { l: [], s: new Set<number>(), m: new Map<number, number>() }
        assert.deepStrictEqual(yield* cql(schema)`SELECT * FROM empties WHERE id = 1`.one, { ...empty, f: [] })
        assert.deepStrictEqual(yield* cql(schema)`SELECT * FROM empties WHERE id = 2`.one, { ...empty, f: null })
        assert.deepStrictEqual(
          yield* cql`SELECT l, s, m, f FROM empties WHERE id = 1`.one as Effect.Effect<unknown>,
          { l: null, s: null, m: null, f: [] }
        )
      }))

    it.effect("leaves alone what is unset", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TABLE unset (id int PRIMARY KEY, a int, b int)`
        yield* cql`INSERT INTO unset ${cql.insert({ id: 1, a: 1, b: 2 })}`
        yield* cql`INSERT INTO unset ${cql.insert({ id: 1, a: undefined, b: null })}`
        assert.deepStrictEqual(
          yield* cql`SELECT * FROM unset WHERE id = 1`.one as Effect.Effect<unknown>,
          { id: 1, a: 1, b: null }
        )
      }))
  })
})
