import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Schema from "effect/Schema"
import * as CqlType from "../src/CqlType.ts"
import type { Column, ColumnType } from "../src/internal/codec/ColumnType.ts"
import { compileRows } from "../src/internal/codec/Decoder.ts"
import { compileParameters } from "../src/internal/codec/Encoder.ts"
import { column, scalar } from "./internal/codec/support.ts"

const uuid = "0badc0de-1234-4abc-8def-00ff10a5b6c7"
const timeuuid = "50554d6e-29bb-11e5-b345-feff819cdc9f"

interface Case {
  readonly name: string
  readonly schema: Schema.Codec<any>
  readonly type: ColumnType
  readonly good: ReadonlyArray<unknown>
  readonly bad: ReadonlyArray<unknown>
}

const int = scalar("int")
const text = scalar("text")

const cases: ReadonlyArray<Case> = [
  { name: "Text", schema: CqlType.Text, type: text, good: ["", "ž🐎"], bad: [1, null, "\ud800"] },
  { name: "Ascii", schema: CqlType.Ascii, type: scalar("ascii"), good: ["", "a"], bad: ["ž", 1] },
  {
    name: "TinyInt",
    schema: CqlType.TinyInt,
    type: scalar("tinyint"),
    good: [-128, 127],
    bad: [-129, 128, 0.5, 1n, "1"]
  },
  {
    name: "SmallInt",
    schema: CqlType.SmallInt,
    type: scalar("smallint"),
    good: [-32768, 32767],
    bad: [-32769, 32768, 0.5]
  },
  {
    name: "Int",
    schema: CqlType.Int,
    type: int,
    good: [-2147483648, 2147483647],
    bad: [2147483648, -2147483649, 1.7, Number.NaN]
  },
  {
    name: "BigInt",
    schema: CqlType.BigInt,
    type: scalar("bigint"),
    good: [-(2n ** 63n), 2n ** 63n - 1n],
    bad: [2n ** 63n, -(2n ** 63n) - 1n, 1, "1"]
  },
  { name: "Counter", schema: CqlType.Counter, type: scalar("counter"), good: [5n], bad: [2n ** 63n, 5] },
  { name: "VarInt", schema: CqlType.VarInt, type: scalar("varint"), good: [2n ** 200n], bad: [1] },
  { name: "Float", schema: CqlType.Float, type: scalar("float"), good: [0.5, Number.NaN], bad: ["1", 1n] },
  {
    name: "Double",
    schema: CqlType.Double,
    type: scalar("double"),
    good: [0.1, Number.POSITIVE_INFINITY],
    bad: ["1", 1n]
  },
  {
    name: "Decimal",
    schema: CqlType.Decimal,
    type: scalar("decimal"),
    good: [BigDecimal.make(-15n, 1)],
    bad: [1.5, "1.5"]
  },
  { name: "Boolean", schema: CqlType.Boolean, type: scalar("boolean"), good: [true, false], bad: ["false", 0] },
  {
    name: "Uuid",
    schema: CqlType.Uuid,
    type: scalar("uuid"),
    good: [uuid, timeuuid],
    bad: ["", uuid.slice(1), `${uuid}0`]
  },
  { name: "TimeUuid", schema: CqlType.TimeUuid, type: scalar("timeuuid"), good: [timeuuid], bad: [uuid, ""] },
  {
    name: "Timestamp",
    schema: CqlType.Timestamp,
    type: scalar("timestamp"),
    good: [new Date(-1)],
    bad: [new Date(Number.NaN), 5]
  },
  {
    name: "Date",
    schema: CqlType.Date,
    type: scalar("date"),
    good: ["2024-02-29", "-0001-01-01", "+12345-06-07"],
    bad: ["2023-02-29", "2024-1-1", "+5881580-07-12", new Date()]
  },
  {
    name: "Time",
    schema: CqlType.Time,
    type: scalar("time"),
    good: ["23:59:59.999999999"],
    bad: ["24:00:00", "12:00", 5]
  },
  {
    name: "Duration",
    schema: CqlType.Duration,
    type: scalar("duration"),
    good: [{ months: 1, days: 2, nanoseconds: 3n }, { months: -1, days: 0, nanoseconds: -3n }],
    bad: [{ months: 1.5, days: 0, nanoseconds: 0n }, { months: 1, days: 0 }, "1d"]
  },
  { name: "Inet", schema: CqlType.Inet, type: scalar("inet"), good: ["127.0.0.1", "::1"], bad: ["localhost", "1.2.3"] },
  { name: "Blob", schema: CqlType.Blob, type: scalar("blob"), good: [new Uint8Array([1])], bad: ["01", [1]] },
  {
    name: "List",
    schema: CqlType.List(CqlType.Int),
    type: { type: "list", element: int },
    good: [[], [1]],
    bad: [[1.5], [null], new Set([1])]
  },
  {
    name: "Set",
    schema: CqlType.Set(CqlType.Int),
    type: { type: "set", element: int },
    good: [new Set(), new Set([1])],
    bad: [new Set([1.5]), [1]]
  },
  {
    name: "Map",
    schema: CqlType.Map(CqlType.Text, CqlType.Int),
    type: { type: "map", key: text, value: int },
    good: [new Map([["a", 1]])],
    bad: [new Map([[1, 1]]), { a: 1 }]
  },
  {
    name: "Vector",
    schema: CqlType.Vector(CqlType.Float, 2),
    type: { type: "vector", element: scalar("float"), dimension: 2 },
    good: [[1, 2]],
    bad: [[1], [1, 2, 3]]
  },
  {
    name: "Tuple",
    schema: CqlType.Tuple([CqlType.Nullable(CqlType.Int), CqlType.Text]),
    type: { type: "tuple", elements: [int, text] },
    good: [[null, "a"], [1, "b"]],
    bad: [[1], [1, null], ["a", "b"]]
  },
  {
    name: "UserDefined",
    schema: CqlType.UserDefined({ street: CqlType.Text, number: CqlType.Nullable(CqlType.Int) }),
    type: {
      type: "udt",
      keyspace: "shop",
      name: "address",
      fields: [{ name: "street", type: text }, { name: "number", type: int }]
    },
    good: [{ street: "a", number: null }],
    bad: [{ street: null, number: 1 }, { number: 1 }]
  },
  { name: "Nullable", schema: CqlType.Nullable(CqlType.Text), type: text, good: [null, "a"], bad: [undefined, 1] }
]

const roundTrip = (type: ColumnType, value: unknown): unknown => {
  const columns: ReadonlyArray<Column> = [column("value", type)]
  const bytes = compileParameters(columns)([value])
  const page = Buffer.concat([Buffer.from([0, 0, 0, 1]), bytes.subarray(2)])
  return compileRows<any>(columns)(page, 0)[0].value
}

/** -0 is no integer of CQL, and equal to 0 wherever it matters. */
const withoutNegativeZero = (value: unknown): unknown => {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(withoutNegativeZero)
  if (value instanceof Set) return new Set([...value].map(withoutNegativeZero))
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, withoutNegativeZero(item)]))
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutNegativeZero(item)]))
  }
  return value
}

const isSigned = (value: { readonly months: number; readonly days: number; readonly nanoseconds: bigint }): boolean => {
  const signs = [Math.sign(value.months), Math.sign(value.days), Math.sign(Number(value.nanoseconds))]
  return !(signs.includes(1) && signs.includes(-1))
}

/** A row's form of a value that a parameter may have in another. */
const asRead = (name: string, value: unknown): unknown => {
  if (name === "Float") return Math.fround(value as number)
  if (name === "Vector") return (value as ReadonlyArray<number>).map(Math.fround)
  if (name === "Uuid" || name === "TimeUuid") return (value as string).toLowerCase()
  return name === "Double" ? value : withoutNegativeZero(value)
}

describe.each(cases)("CqlType.$name", ({ bad, good, name, schema, type }) => {
  it("is plain on both sides", () => {
    for (const value of good) {
      assert.deepStrictEqual(Schema.decodeUnknownSync(schema)(value), value)
      assert.deepStrictEqual(Schema.encodeUnknownSync(schema)(value), value)
    }
  })

  it("refuses what the column could not hold", () => {
    for (const value of bad) assert.isFalse(Schema.is(schema)(value), String(value))
  })

  it("has values that the column gives back as they are", () => {
    for (const value of good) assert.deepStrictEqual(roundTrip(type, value), value)
  })

  const values = name === "Duration" ? schema.pipe(Schema.check(Schema.makeFilter(isSigned as any))) : schema
  it.prop("has only values that the column gives back as they are", [values], ([value]) => {
    assert.deepStrictEqual(roundTrip(type, value), asRead(name, value))
  }, { arbitrary: { runs: 100, seed: 3 } })

  it("goes through JSON and back", () => {
    const json = Schema.toCodecJson(schema)
    const same = Schema.toEquivalence(schema)
    for (const value of good) {
      const encoded = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(json)(value)))
      assert.isTrue(same(Schema.decodeUnknownSync(json)(encoded), value), encoded)
    }
    assert.isObject(Schema.toJsonSchemaDocument(schema))
  })

  it("says its CQL type", () => {
    const said = Schema.resolveAnnotations(schema)?.cqlType
    assert.strictEqual(said, name === "Nullable" ? undefined : type.type)
  })
})

describe("a class of CqlTypes", () => {
  class User extends Schema.Class<User>("User")({
    id: CqlType.Uuid,
    name: Schema.String,
    visits: CqlType.BigInt,
    tags: CqlType.Set(CqlType.Text),
    joined: CqlType.Timestamp,
    left: CqlType.Nullable(CqlType.Timestamp)
  }) {}

  it("has the types of the plain values", () => {
    const user = new User({ id: uuid, name: "Ada", visits: 3n, tags: new Set(["a"]), joined: new Date(0), left: null })
    const id: string = user.id
    const visits: bigint = user.visits
    const tags: ReadonlySet<string> = user.tags
    const joined: Date = user.joined
    const left: Date | null = user.left
    assert.deepStrictEqual([id, visits, tags, joined, left], [uuid, 3n, new Set(["a"]), new Date(0), null])
    const encoded: typeof User.Encoded = Schema.encodeSync(User)(user)
    assert.deepStrictEqual(encoded, { ...user })
  })

  it("refuses to be made of what a column could not hold", () => {
    const fields = { id: uuid, name: "Ada", visits: 3n, tags: new Set(["a"]), joined: new Date(0), left: null }
    assert.throws(() => new User({ ...fields, id: "1" }))
    assert.throws(() => new User({ ...fields, visits: 2n ** 64n }))
  })
})
