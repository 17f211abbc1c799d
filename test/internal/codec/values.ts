/**
 * Values of every type: some with their bytes, from the protocol's specification, and as many as a test wants to generate,
 * the edges of each type among them.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as BigDecimal from "effect/BigDecimal"
import * as Schema from "effect/Schema"
import * as CqlType from "../../../src/CqlType.ts"
import type { ColumnType, ScalarName } from "../../../src/internal/codec/ColumnType.ts"
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

// -----------------------------------------------------------------------------
// Everything that a type can hold, in the form in which a row has it
// -----------------------------------------------------------------------------

type Values = Arbitrary.Arbitrary<unknown>

/** `Schema.Int` generates -0, which no integer of CQL is. */
const integer = (minimum: number, maximum: number): Arbitrary.Arbitrary<number> =>
  Arbitrary.map(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum }))), (value) => value + 0)

const oneOf = (...choices: ReadonlyArray<Values>): Values =>
  Arbitrary.flatMap(integer(0, choices.length - 1), (index) => choices[index]!)

const among = (values: ReadonlyArray<unknown>): Values =>
  Arbitrary.map(integer(0, values.length - 1), (index) => values[index])

const listOf = (values: Values, maxLength: number): Arbitrary.Arbitrary<Array<any>> =>
  Arbitrary.array(values, { maxLength })

const word = integer(0, 0xffff_ffff)
const byte = integer(0, 255)

const joined = (words: ReadonlyArray<number>): bigint => words.reduce((all, one) => (all << 32n) | BigInt(one), 0n)

/** Of as many bits as it says, of both signs. */
const bigints = (mostBits: number): Arbitrary.Arbitrary<bigint> =>
  Arbitrary.map(
    Arbitrary.all([
      integer(1, mostBits),
      Arbitrary.array(word, { minLength: Math.ceil(mostBits / 32), maxLength: Math.ceil(mostBits / 32) }),
      integer(0, 1)
    ]),
    ([bits, words, sign]) => {
      const magnitude = BigInt.asUintN(bits - 1, joined(words)) | (1n << BigInt(bits - 1))
      return sign === 1 ? -magnitude : magnitude
    }
  )

/** From any bits at all, so that no exponent is rarer than another. */
const floats = (bytes: 4 | 8): Arbitrary.Arbitrary<number> =>
  Arbitrary.map(Arbitrary.array(byte, { minLength: bytes, maxLength: bytes }), (bits) => {
    const view = new DataView(Uint8Array.from(bits).buffer)
    return bytes === 4 ? view.getFloat32(0) : view.getFloat64(0)
  })

const everydayNumber = Arbitrary.map(integer(-1_000_000, 1_000_000), (value) => value / 1000)

const characters = (...ranges: ReadonlyArray<readonly [number, number]>): Values =>
  Arbitrary.map(
    listOf(oneOf(...ranges.map(([first, last]) => integer(first, last))), 45),
    (codes) => String.fromCodePoint(...codes)
  )

const hexText = (bytes: ReadonlyArray<number>): string =>
  bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")

const uuidOf = (bytes: ReadonlyArray<number>): string =>
  hexText(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")

const uuids = Arbitrary.map(Arbitrary.array(byte, { minLength: 16, maxLength: 16 }), uuidOf)

const daysPerEra = 146_097

/** By JavaScript's own calendar, which repeats after four centuries and is moved by as many as needed. */
export const dateOfDay = (daysSince1970: number): string => {
  const eras = Math.floor(daysSince1970 / daysPerEra)
  const date = new Date((daysSince1970 - eras * daysPerEra) * 86_400_000)
  const year = date.getUTCFullYear() + eras * 400
  const digits = Math.abs(year).toString().padStart(4, "0")
  const sign = year < 0 ? "-" : year > 9999 ? "+" : ""
  return `${sign}${digits}${date.toISOString().slice(4, 10)}`
}

const timeOf = (nanoseconds: number): string => {
  const milliseconds = Math.floor(nanoseconds / 1_000_000)
  const clock = new Date(milliseconds).toISOString().slice(11, 23)
  return `${clock}${(nanoseconds % 1_000_000).toString().padStart(6, "0")}`
}

/** The shortest form as Node's `URL` has it. */
const inet6 = (groups: ReadonlyArray<number>): string =>
  new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]`).hostname.slice(1, -1)

const group = oneOf(Arbitrary.Constant(0), integer(0, 0xffff)) as Arbitrary.Arbitrary<number>

const durations = Arbitrary.map(
  Arbitrary.all([integer(0, 1), integer(0, 2 ** 31 - 1), integer(0, 2 ** 31 - 1), bigints(63)]),
  ([sign, months, days, nanoseconds]) => {
    const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds
    return sign === 0
      ? { months, days, nanoseconds: magnitude }
      : { months: 0 - months, days: 0 - days, nanoseconds: -magnitude }
  }
)

const edges: Readonly<Record<ScalarName, ReadonlyArray<unknown>>> = {
  ascii: [
    "",
    "\u0000",
    "\u007f",
    "\"\\/\b\f\n\r\t",
    "null",
    "a".repeat(16),
    "a".repeat(17),
    "a".repeat(24),
    "a".repeat(25)
  ],
  bigint: [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 32n],
  blob: [new Uint8Array(0), new Uint8Array(1), new Uint8Array([0xff]), new Uint8Array(255).fill(0x80)],
  boolean: [false, true],
  counter: [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n],
  date: [
    ...[0, -1, 1, -(2 ** 31), 2 ** 31 - 1, 11_016, -719_528, -719_529, -719_162, 2_932_896, 2_932_897].map(dateOfDay),
    "2000-02-29"
  ],
  decimal: [
    BigDecimal.make(0n, 0),
    BigDecimal.make(0n, 5),
    BigDecimal.make(0n, -5),
    BigDecimal.make(0n, 2 ** 31 - 1),
    BigDecimal.make(15n, 1),
    BigDecimal.make(150n, 2),
    BigDecimal.make(-1n, 6),
    BigDecimal.make(-1n, 7),
    BigDecimal.make(1n, 2 ** 31 - 1),
    BigDecimal.make(-12n, -(2 ** 31)),
    BigDecimal.make(-(10n ** 300n), 300)
  ],
  double: [
    0,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    Number.MIN_VALUE,
    -Number.MIN_VALUE,
    2.225073858507201e-308,
    2.2250738585072014e-308,
    0.1,
    1e23,
    2 ** 53 + 2
  ],
  duration: [
    { months: 0, days: 0, nanoseconds: 0n },
    { months: 2 ** 31 - 1, days: 2 ** 31 - 1, nanoseconds: 2n ** 63n - 1n },
    { months: -(2 ** 31), days: -(2 ** 31), nanoseconds: -(2n ** 63n) },
    { months: 0, days: 0, nanoseconds: -1n },
    { months: 0, days: -1, nanoseconds: 0n },
    { months: 14, days: 31, nanoseconds: 90_061_001_002_003n }
  ],
  float: [
    0,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    3.4028234663852886e38,
    -3.4028234663852886e38,
    2 ** -149,
    -(2 ** -149),
    2 ** -126 - 2 ** -149,
    2 ** -126,
    Math.fround(0.1),
    2 ** 24
  ],
  inet: [
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "::",
    "::1",
    "1::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::ffff:102:304",
    "::102:304",
    "1:2:3:4:5:6:0:8",
    "1:0:0:2::3"
  ],
  int: [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)],
  smallint: [0, 1, -1, 2 ** 15 - 1, -(2 ** 15)],
  text: [
    "",
    "\u0000",
    "\u{10ffff}",
    "\ud7ff\ue000\ufffe\uffff",
    "\ufeffa",
    "🐎",
    "\u2028\u2029",
    "\"\\/\b\f\n\r\t",
    "null",
    "{\"a\": 1}",
    `${"a".repeat(15)}é`,
    `${"a".repeat(23)}é`,
    "é".repeat(24)
  ],
  time: [0, 1, 86_400_000_000_000 - 1, 2 ** 32, 999_999_999].map(timeOf),
  timestamp: [0, -1, 1, 8.64e15, -8.64e15, 2 ** 32, -(2 ** 32), Date.UTC(1582, 9, 15), Date.UTC(1582, 9, 15) - 1].map(
    (milliseconds) => new Date(milliseconds)
  ),
  timeuuid: ["00000000-0000-1000-8000-000000000000", "ffffffff-ffff-1fff-ffff-ffffffffffff"],
  tinyint: [0, 1, -1, 127, -128],
  uuid: ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
  varint: [
    0n,
    1n,
    -1n,
    ...[7n, 8n, 15n, 16n, 31n, 47n, 48n, 55n, 63n, 64n, 71n, 2000n].flatMap((bits) => [
      2n ** bits - 1n,
      2n ** bits,
      -(2n ** bits),
      -(2n ** bits) - 1n
    ])
  ]
}

const others: Readonly<Record<ScalarName, Values>> = {
  ascii: characters([0x20, 0x7e], [0, 0x7f]),
  bigint: oneOf(bigints(63), Arbitrary.map(bigints(63), (value) => value - 1n)),
  blob: Arbitrary.map(listOf(byte, 40), (bytes) => Uint8Array.from(bytes)),
  boolean: Arbitrary.schema(Schema.Boolean),
  counter: bigints(63),
  date: Arbitrary.map(
    oneOf(integer(-(2 ** 31), 2 ** 31 - 1), integer(-800_000, 200_000)) as Arbitrary.Arbitrary<number>,
    dateOfDay
  ),
  decimal: Arbitrary.map(
    Arbitrary.all([
      bigints(200),
      oneOf(integer(-20, 40), integer(-(2 ** 31), 2 ** 31 - 1)) as Arbitrary.Arbitrary<number>
    ]),
    ([value, scale]) => BigDecimal.make(value, scale)
  ),
  double: oneOf(floats(8), everydayNumber),
  duration: durations,
  float: oneOf(floats(4), Arbitrary.map(everydayNumber, Math.fround)),
  inet: oneOf(
    Arbitrary.map(Arbitrary.all([byte, byte, byte, byte]), (bytes) => bytes.join(".")),
    Arbitrary.map(Arbitrary.array(group, { minLength: 8, maxLength: 8 }), inet6),
    Arbitrary.map(Arbitrary.all([group, group]), ([high, low]) => inet6([0, 0, 0, 0, 0, 0xffff, high, low]))
  ),
  int: integer(-(2 ** 31), 2 ** 31 - 1),
  smallint: integer(-(2 ** 15), 2 ** 15 - 1),
  text: characters([0x20, 0x7e], [0, 0x7ff], [0x800, 0xd7ff], [0xe000, 0xffff], [0x10000, 0x10ffff]),
  time: Arbitrary.map(integer(0, 86_400_000_000_000 - 1), timeOf),
  timestamp: Arbitrary.map(
    oneOf(integer(-8.64e15, 8.64e15), integer(-62e12, 4e12)) as Arbitrary.Arbitrary<number>,
    (milliseconds) => new Date(milliseconds)
  ),
  timeuuid: Arbitrary.map(uuids, (uuid) => `${uuid.slice(0, 14)}1${uuid.slice(15)}`),
  tinyint: integer(-128, 127),
  uuid: uuids,
  varint: oneOf(bigints(70), bigints(2000))
}

/** A set of JavaScript's takes -0 for 0, and no value is in it twice; the server has its own idea of what is the same. */
const distinct = (type: ColumnType, values: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const found = new Map<string, unknown>()
  for (const value of values) {
    const element = Object.is(value, -0) ? 0 : value
    const key = keyOf(type, element)
    if (!found.has(key)) found.set(key, element)
  }
  return [...found.values()]
}

/** To the server 1.5 and 1.50 are one key. */
const keyOf = (type: ColumnType, value: unknown): string => textOf(type, value, BigDecimal.normalize)

const mapOf = (type: ColumnType & { type: "map" }, keys: ReadonlyArray<unknown>, values: ReadonlyArray<unknown>) =>
  new Map(distinct(type.key, keys).map((key, index) => [key, values[index % values.length]]))

/**
 * In a list, a set and a map the server makes IPv4 of an address that is IPv4 in the form of IPv6; the codec refuses it
 * there.
 */
const isElement = (type: ColumnType) => (value: unknown): boolean =>
  type.type !== "inet" || !/^::ffff:[0-9a-f]+:[0-9a-f]+$/.test(value as string)

const edgesInside = (type: ColumnType): ReadonlyArray<unknown> => edgesOf(type).filter(isElement(type))

/** The values of a type that are most likely to be taken for others. */
export const edgesOf = (type: ColumnType): ReadonlyArray<unknown> => {
  switch (type.type) {
    case "list":
      return [[], edgesInside(type.element)]
    case "set":
      return [new Set(), new Set(distinct(type.element, edgesInside(type.element)))]
    case "map":
      return [new Map(), mapOf(type, edgesInside(type.key), edgesInside(type.value))]
    case "tuple":
      return [type.elements.map(() => null), type.elements.map((element) => edgesOf(element)[0])]
    case "udt":
      return [
        Object.fromEntries(type.fields.map(({ name }) => [name, null])),
        Object.fromEntries(type.fields.map(({ name, type }) => [name, edgesOf(type)[0]]))
      ]
    case "vector":
      return edgesOf(type.element).map((edge) => Array.from({ length: type.dimension }, () => edge))
    case "custom":
      return edges.blob
    default:
      return edges[type.type]
  }
}

const orNull = (values: Values): Values =>
  Arbitrary.flatMap(integer(0, 7), (choice) => choice === 0 ? Arbitrary.Constant(null) : values)

/** Everything that a row can have in a column of the type, null aside: one of the edges in eight. */
export const arbitraryOf = (type: ColumnType): Values => {
  const edge = among(edgesOf(type))
  const other = othersOf(type)
  return Arbitrary.flatMap(integer(0, 7), (choice) => choice === 0 ? edge : other)
}

const fewElements = 4

const valuesInside = (type: ColumnType): Values => Arbitrary.filter(arbitraryOf(type), isElement(type))

const othersOf = (type: ColumnType): Values => {
  switch (type.type) {
    case "list":
      return listOf(valuesInside(type.element), fewElements)
    case "set":
      return Arbitrary.map(
        listOf(valuesInside(type.element), fewElements),
        (elements) => new Set(distinct(type.element, elements))
      )
    case "map":
      return Arbitrary.map(
        listOf(Arbitrary.all([valuesInside(type.key), valuesInside(type.value)]), fewElements),
        (entries) => mapOf(type, entries.map(([key]) => key), entries.map(([, value]) => value))
      )
    case "tuple":
      return Arbitrary.all(type.elements.map((element) => orNull(arbitraryOf(element))))
    case "udt":
      return Arbitrary.map(
        Arbitrary.all(type.fields.map((field) => orNull(arbitraryOf(field.type)))),
        (values) => Object.fromEntries(type.fields.map(({ name }, index) => [name, values[index]]))
      )
    case "vector":
      return Arbitrary.array(arbitraryOf(type.element), { minLength: type.dimension, maxLength: type.dimension })
    case "custom":
      return others.blob
    default:
      return others[type.type]
  }
}

// -----------------------------------------------------------------------------
// Telling values apart
// -----------------------------------------------------------------------------

const unlike = (value: unknown): string => `<${Object.prototype.toString.call(value)} that is no value of the type>`

/**
 * A value as text, which is the same for what is the same in a column of the type and for nothing else: -0 is not 0, and
 * 1.50 not 1.5; the elements of a set are in no order. Whatever a row does not have it in says so.
 */
export const textOf = (
  type: ColumnType,
  value: unknown,
  asDecimal: (value: BigDecimal.BigDecimal) => BigDecimal.BigDecimal = (value) => value
): string => {
  const inside = (type: ColumnType, value: unknown): string => textOf(type, value, asDecimal)
  if (value === null) return "null"
  switch (type.type) {
    case "list":
    case "vector":
      return Array.isArray(value) ? `[${value.map((item) => inside(type.element, item)).join()}]` : unlike(value)
    case "set":
      return value instanceof Set
        ? `{${[...value].map((item) => inside(type.element, item)).sort().join()}}`
        : unlike(value)
    case "map":
      return value instanceof Map
        ? `{${[...value].map(([key, item]) => `${inside(type.key, key)}=${inside(type.value, item)}`).sort().join()}}`
        : unlike(value)
    case "tuple":
      return Array.isArray(value) && value.length === type.elements.length
        ? `(${value.map((item, index) => inside(type.elements[index]!, item)).join()})`
        : unlike(value)
    case "udt":
      return isObject(value) && Object.keys(value).join() === type.fields.map(({ name }) => name).join()
        ? `(${type.fields.map(({ name, type }) => `${JSON.stringify(name)}:${inside(type, value[name])}`).join()})`
        : unlike(value)
    case "custom":
      return textOfScalar("blob", value, asDecimal)
    default:
      return textOfScalar(type.type, value, asDecimal)
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const textOfScalar = (
  type: ScalarName,
  value: unknown,
  asDecimal: (value: BigDecimal.BigDecimal) => BigDecimal.BigDecimal
): string => {
  switch (type) {
    case "tinyint":
    case "smallint":
    case "int":
    case "float":
    case "double":
      if (typeof value !== "number") return unlike(value)
      return Object.is(value, -0) ? "-0" : String(value)
    case "bigint":
    case "counter":
    case "varint":
      return typeof value === "bigint" ? `${value}` : unlike(value)
    case "boolean":
      return typeof value === "boolean" ? `${value}` : unlike(value)
    case "decimal": {
      if (!BigDecimal.isBigDecimal(value)) return unlike(value)
      const decimal = asDecimal(value)
      return `${decimal.value}e${-decimal.scale}`
    }
    case "timestamp":
      return value instanceof Date ? `${value.getTime()}` : unlike(value)
    case "blob":
      return Object.getPrototypeOf(value) === Uint8Array.prototype
        ? `0x${Buffer.from(value as Uint8Array).toString("hex")}`
        : unlike(value)
    case "duration":
      if (!isObject(value) || Object.keys(value).join() !== "months,days,nanoseconds") return unlike(value)
      return `${value["months"]}mo${value["days"]}d${value["nanoseconds"] as bigint}ns`
    default:
      return typeof value === "string" ? JSON.stringify(value) : unlike(value)
  }
}
