/** One value of every type: how it is in a program, and how it is on the wire, from the protocol's specification. */
import * as BigDecimal from "effect/BigDecimal"
import * as Schema from "effect/Schema"
import * as CqlType from "../../../src/CqlType.ts"
import type { ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import { hex, scalar } from "./support.ts"

export interface Golden {
  readonly type: ColumnType
  readonly value: unknown
  readonly bytes: Buffer
}

const golden = (type: ColumnType | string, value: unknown, bytes: string): Golden => ({
  type: typeof type === "string" ? scalar(type) : type,
  value,
  bytes: hex(bytes)
})

export const address: ColumnType = {
  type: "udt",
  keyspace: "shop",
  name: "address",
  fields: [{ name: "street", type: scalar("text") }, { name: "number", type: scalar("int") }]
}

const list = (element: ColumnType): ColumnType => ({ type: "list", element })
const set = (element: ColumnType): ColumnType => ({ type: "set", element })
const map = (key: ColumnType, value: ColumnType): ColumnType => ({ type: "map", key, value })
const tuple = (...elements: Array<ColumnType>): ColumnType => ({ type: "tuple", elements })
const vector = (element: ColumnType, dimension: number): ColumnType => ({ type: "vector", element, dimension })

export const goldens: ReadonlyArray<Golden> = [
  golden("ascii", "", ""),
  golden("ascii", "Ada", "41 64 61"),
  golden("text", "", ""),
  golden("text", "Ž🐎\u0000", "c5bd f09f908e 00"),
  golden("tinyint", -128, "80"),
  golden("tinyint", 127, "7f"),
  golden("smallint", -2, "fffe"),
  golden("int", 1, "00000001"),
  golden("int", -2147483648, "80000000"),
  golden("bigint", 1n, "0000000000000001"),
  golden("bigint", -9223372036854775808n, "8000000000000000"),
  golden("counter", 256n, "0000000000000100"),
  // The examples of section 6.12 of the specification, and their neighbours.
  golden("varint", 0n, "00"),
  golden("varint", 1n, "01"),
  golden("varint", 127n, "7f"),
  golden("varint", 128n, "0080"),
  golden("varint", 129n, "0081"),
  golden("varint", -1n, "ff"),
  golden("varint", -128n, "80"),
  golden("varint", -129n, "ff7f"),
  golden("varint", 2n ** 63n, "00 8000000000000000"),
  golden("varint", -(2n ** 63n), "8000000000000000"),
  golden("varint", -(2n ** 71n), "80 0000000000000000"),
  golden("float", 1.5, "3fc00000"),
  golden("float", Number.NEGATIVE_INFINITY, "ff800000"),
  golden("double", -0.5, "bfe0000000000000"),
  golden("double", Number.NaN, "7ff8000000000000"),
  golden("decimal", BigDecimal.make(-12345n, 2), "00000002 cfc7"),
  golden("decimal", BigDecimal.make(5n, -3), "fffffffd 05"),
  golden("boolean", true, "01"),
  golden("boolean", false, "00"),
  golden("uuid", "0badc0de-1234-4abc-8def-00ff10a5b6c7", "0badc0de 1234 4abc 8def 00ff10a5b6c7"),
  golden("timeuuid", "50554d6e-29bb-11e5-b345-feff819cdc9f", "50554d6e 29bb 11e5 b345 feff819cdc9f"),
  golden("timestamp", new Date("2024-02-29T12:34:56.789Z"), "0000018df4dc5495"),
  golden("timestamp", new Date(-1), "ffffffffffffffff"),
  golden("timestamp", new Date(8.64e15), "001eb208c2dc0000"),
  golden("timestamp", new Date(-8.64e15), "ffe14df73d240000"),
  golden("date", "1970-01-01", "80000000"),
  golden("date", "1969-12-31", "7fffffff"),
  golden("date", "2000-02-29", "80002b08"),
  golden("date", "-5877641-06-23", "00000000"),
  golden("date", "+5881580-07-11", "ffffffff"),
  golden("time", "00:00:00.000000001", "0000000000000001"),
  golden("time", "23:59:59.999999999", "00004e94914effff"),
  golden("duration", { months: 0, days: 0, nanoseconds: 0n }, "00 00 00"),
  golden("duration", { months: 1, days: 2, nanoseconds: 3n }, "02 04 06"),
  golden("duration", { months: -1, days: -2, nanoseconds: -3n }, "01 03 05"),
  golden("duration", { months: 64, days: 8192, nanoseconds: 0n }, "8080 c04000 00"),
  golden(
    "duration",
    { months: 0, days: 0, nanoseconds: 9223372036854775807n },
    "00 00 ff fffffffffffffffe"
  ),
  golden("inet", "127.0.0.1", "7f000001"),
  golden("inet", "2001:db8::1", "20010db8000000000000000000000001"),
  golden("inet", "::", "00000000000000000000000000000000"),
  golden("inet", "1:2:3:4:5:6:0:8", "0001 0002 0003 0004 0005 0006 0000 0008"),
  golden("inet", "1:0:2::3:0:0", "0001 0000 0002 0000 0000 0003 0000 0000"),
  golden("blob", new Uint8Array([0, 255]), "00ff"),
  golden("blob", new Uint8Array(0), ""),
  golden(list(scalar("int")), [], "00000000"),
  golden(list(scalar("int")), [1, -1], "00000002 00000004 00000001 00000004 ffffffff"),
  golden(set(scalar("text")), new Set(["a", ""]), "00000002 00000001 61 00000000"),
  golden(
    map(scalar("text"), scalar("int")),
    new Map([["a", 1]]),
    "00000001 00000001 61 00000004 00000001"
  ),
  golden(tuple(scalar("int"), scalar("text")), [null, "a"], "ffffffff 00000001 61"),
  golden(address, { street: "a", number: null }, "00000001 61 ffffffff"),
  golden(list(address), [{ street: "a", number: 1 }], "00000001 0000000d 00000001 61 00000004 00000001"),
  golden(vector(scalar("float"), 2), [1.5, -2], "3fc00000 c0000000"),
  golden(vector(scalar("text"), 2), ["a", ""], "01 61 00"),
  golden(vector(scalar("smallint"), 1), [5], "02 0005"),
  golden(vector(vector(scalar("int"), 2), 1), [[1, 2]], "00000001 00000002"),
  golden({ type: "custom", className: "com.example.Point" }, new Uint8Array([7]), "07")
]

const scalarSchemas: Readonly<Record<string, Schema.Codec<any>>> = {
  ascii: CqlType.Ascii,
  bigint: CqlType.BigInt,
  blob: CqlType.Blob,
  boolean: CqlType.Boolean,
  counter: CqlType.Counter,
  date: CqlType.Date,
  decimal: CqlType.Decimal,
  double: CqlType.Double,
  duration: CqlType.Duration.check(
    Schema.makeFilter(({ days, months, nanoseconds }) => {
      const signs = [Math.sign(months), Math.sign(days), Math.sign(Number(nanoseconds))]
      return !(signs.includes(1) && signs.includes(-1))
    })
  ),
  float: CqlType.Float,
  inet: CqlType.Inet,
  int: CqlType.Int,
  smallint: CqlType.SmallInt,
  text: CqlType.Text,
  time: CqlType.Time,
  timestamp: CqlType.Timestamp,
  timeuuid: CqlType.TimeUuid,
  tinyint: CqlType.TinyInt,
  uuid: CqlType.Uuid,
  varint: CqlType.VarInt
}

/** Everything that a column of the type can hold, null aside, to generate values from. */
export const valuesOf = (type: ColumnType): Schema.Codec<any> => {
  switch (type.type) {
    case "list":
      return Schema.Array(valuesOf(type.element))
    case "set":
      return Schema.ReadonlySet(valuesOf(type.element))
    case "map":
      return Schema.ReadonlyMap(valuesOf(type.key), valuesOf(type.value))
    case "tuple":
      return Schema.Tuple(type.elements.map((element) => Schema.NullOr(valuesOf(element))))
    case "udt":
      return Schema.Struct(
        Object.fromEntries(type.fields.map(({ name, type }) => [name, Schema.NullOr(valuesOf(type))]))
      )
    case "vector":
      return Schema.Array(valuesOf(type.element)).check(Schema.isBetweenLength(type.dimension, type.dimension))
    case "custom":
      return Schema.Uint8Array
    default:
      return scalarSchemas[type.type]!
  }
}
