/**
 * Every value goes in and comes out the same, by this library and by the server's own JSON, or it is refused.
 *
 * The values are generated from a seed that is always the same, unless `PROPERTIES_SEED` names another. What fails names
 * the type, the place of the value among those of the seed, and the seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { cql, CqlError, CqlType, Session, Statement } from "effect-cassandra"
import * as Arbitrary from "effect/Arbitrary"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import type { ColumnType } from "../src/internal/codec/ColumnType.ts"
import { format } from "../src/internal/codec/ColumnType.ts"
import { scalar, scalars } from "./internal/codec/support.ts"
import { arbitraryOf, edgesOf, textOf } from "./internal/codec/values.ts"
import * as CqlJson from "./support/cqlJson.ts"
import * as Keyspace from "./support/keyspace.ts"

const seed = process.env["PROPERTIES_SEED"] ?? "1"

/** Of each type; its edges come before them. */
const generated = 1000

// -----------------------------------------------------------------------------
// Types
// -----------------------------------------------------------------------------

const list = (element: ColumnType): ColumnType => ({ type: "list", element })
const set = (element: ColumnType): ColumnType => ({ type: "set", element })
const map = (key: ColumnType, value: ColumnType): ColumnType => ({ type: "map", key, value })
const tuple = (...elements: ReadonlyArray<ColumnType>): ColumnType => ({ type: "tuple", elements })
const vector = (element: ColumnType, dimension: number): ColumnType => ({ type: "vector", element, dimension })
const udt = (name: string, fields: ReadonlyArray<readonly [string, ColumnType]>): UserDefined => ({
  type: "udt",
  keyspace: "",
  name,
  fields: fields.map(([name, type]) => ({ name, type }))
})

type UserDefined = ColumnType & { readonly type: "udt" }

const ascii = scalar("ascii")
const bigint = scalar("bigint")
const blob = scalar("blob")
const counter = scalar("counter")
const date = scalar("date")
const decimal = scalar("decimal")
const double = scalar("double")
const duration = scalar("duration")
const float = scalar("float")
const inet = scalar("inet")
const int = scalar("int")
const smallint = scalar("smallint")
const text = scalar("text")
const time = scalar("time")
const timestamp = scalar("timestamp")
const timeuuid = scalar("timeuuid")
const tinyint = scalar("tinyint")
const uuid = scalar("uuid")
const varint = scalar("varint")

/** A counter is alone in its table. */
const writable = scalars.filter((name) => name !== "counter").map(scalar)
/** The server refuses a duration where it would have to order them. */
const ordered = writable.filter((type) => type.type !== "duration")

const address = udt("address", [["street", text], ["number", int]])

/** Names that are something else to JavaScript, or to CQL where they are not quoted. */
const oddNames = udt("camelCase", [
  ["camelCase", int],
  ["__proto__", text],
  ["constructor", list(tuple(int, text))],
  ["toString", map(text, bigint)],
  ["select", address]
])

const everyScalar = udt("every_scalar", writable.map((type) => [type.type, type]))

const userTypes = [address, oddNames, everyScalar]

/** With `frozen` wherever CQL wants it. */
const cqlOf = (type: ColumnType, frozen = true): string => {
  const inner = cqlOfNode(type)
  return frozen && !isScalar(type) && type.type !== "vector" ? `frozen<${inner}>` : inner
}

const isScalar = (type: ColumnType): boolean => scalars.some((name) => name === type.type)

const cqlOfNode = (type: ColumnType): string => {
  switch (type.type) {
    case "list":
    case "set":
      return `${type.type}<${cqlOf(type.element)}>`
    case "map":
      return `map<${cqlOf(type.key)}, ${cqlOf(type.value)}>`
    case "tuple":
      return `tuple<${type.elements.map((element) => cqlOf(element)).join(", ")}>`
    case "udt":
      return `"${type.name}"`
    case "vector":
      return `vector<${cqlOf(type.element)}, ${type.dimension}>`
    default:
      return type.type
  }
}

const createTypes = Effect.forEach(userTypes, ({ fields, name }) => {
  const declared = fields.map((field) => `"${field.name}" ${cqlOf(field.type)}`)
  return cql`CREATE TYPE ${cql.ident(name)} (${cql.unsafe(declared.join(", "))})`
}, { discard: true })

const scalarSchemas: Readonly<Record<string, Schema.Codec<any>>> = {
  ascii: CqlType.Ascii,
  bigint: CqlType.BigInt,
  blob: CqlType.Blob,
  boolean: CqlType.Boolean,
  counter: CqlType.Counter,
  date: CqlType.Date,
  decimal: CqlType.Decimal,
  double: CqlType.Double,
  duration: CqlType.Duration,
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

/** As a program would write it. */
const schemaOf = (type: ColumnType): Schema.Codec<any> => {
  switch (type.type) {
    case "list":
      return CqlType.List(schemaOf(type.element))
    case "set":
      return CqlType.Set(schemaOf(type.element))
    case "map":
      return CqlType.Map(schemaOf(type.key), schemaOf(type.value))
    case "tuple":
      return CqlType.Tuple(type.elements.map((element) => CqlType.Nullable(schemaOf(element))))
    case "udt":
      return CqlType.UserDefined(
        Object.fromEntries(type.fields.map((field) => [field.name, CqlType.Nullable(schemaOf(field.type))]))
      )
    case "vector":
      return CqlType.Vector(schemaOf(type.element), type.dimension)
    default:
      return scalarSchemas[type.type]!
  }
}

// -----------------------------------------------------------------------------
// Columns
// -----------------------------------------------------------------------------

interface Column {
  readonly name: string
  readonly cql: string
  readonly type: ColumnType
  /** A collection or a user defined type that the server keeps in parts, of which it may keep none. */
  readonly inParts: boolean
  /** Values too large to be in every collection. */
  readonly large: ReadonlyArray<unknown>
}

const column = (
  type: ColumnType,
  options: { readonly frozen?: boolean; readonly name?: string; readonly large?: ReadonlyArray<unknown> } = {}
): Omit<Column, "name"> & { readonly name?: string } => {
  const cql = cqlOf(type, options.frozen)
  return {
    ...(options.name === undefined ? {} : { name: options.name }),
    cql,
    type,
    inParts: options.frozen === false && type.type !== "tuple",
    large: options.large ?? []
  }
}

const inParts = { frozen: false }

const largeText = ["a".repeat(100_000), "žluťoučký kůň 🐎 ".repeat(5000), `${"a".repeat(4095)}🐎`, "é".repeat(4097)]
const largeBlob = [new Uint8Array(100_000).fill(0xa5), Uint8Array.from({ length: 65_537 }, (_, index) => index)]
const count = (length: number): ReadonlyArray<number> => Array.from({ length }, (_, index) => index)

const unnamed = [
  column(ascii, { large: ["a".repeat(100_000)] }),
  column(text, { large: largeText }),
  column(blob, { large: largeBlob }),
  ...writable.filter(({ type }) => !["ascii", "text", "blob"].includes(type)).map((type) => column(type)),
  // Every scalar inside of everything that it can be in.
  column(tuple(...writable)),
  column(everyScalar),
  ...writable.map((type) => column(vector(type, 2))),
  ...ordered.map((type) => column(set(type))),
  ...writable.filter(({ type }) => type !== "int").map((type) => column(list(type))),
  column(list(int), { ...inParts, large: [count(1000)] }),
  column(list(int), { large: [count(20_000)] }),
  column(list(text), inParts),
  column(set(decimal), inParts),
  column(set(text), { ...inParts, name: "camelCase" }),
  column(map(text, blob), { ...inParts, name: "__proto__" }),
  column(map(uuid, double)),
  column(map(varint, time), inParts),
  column(map(decimal, duration)),
  column(tuple(int, text), { frozen: false }),
  column(address, { ...inParts, name: "constructor" }),
  column(address, { name: "toString" }),
  column(oddNames, { ...inParts, name: "select" }),
  column(oddNames, { name: "with \"quotes\" & ?" }),
  column(vector(float, 1)),
  column(vector(float, 100)),
  column(vector(text, 3), { large: [largeText.slice(0, 3)] }),
  // Three deep.
  column(map(text, list(set(int))), inParts),
  column(map(text, list(set(int)))),
  column(list(tuple(int, map(text, bigint))), inParts),
  column(set(address), inParts),
  column(set(oddNames)),
  column(map(set(text), list(tuple(inet, timeuuid)))),
  column(map(tuple(int, text), set(address)), inParts),
  column(list(list(list(smallint)))),
  column(tuple(tuple(tuple(date, time), timestamp), list(oddNames))),
  column(vector(address, 2)),
  column(vector(vector(vector(float, 2), 2), 2)),
  column(vector(list(vector(text, 2)), 2)),
  column(vector(map(text, set(tinyint)), 2)),
  column(list(vector(set(varint), 2)), inParts),
  column(map(list(vector(int, 2)), oddNames), inParts)
]

const columns: ReadonlyArray<Column> = unnamed.map((one, index) => ({ ...one, name: one.name ?? `c${index}` }))

const titleOf = ({ cql, name }: Column): string => /^c\d+$/.test(name) ? cql : `${cql} in a column named ${name}`

const createTable = (name: string) => {
  const declared = columns.map((one) => `"${one.name.replaceAll("\"", "\"\"")}" ${one.cql}`)
  return cql`CREATE TABLE ${cql.ident(name)} (id int PRIMARY KEY, ${cql.unsafe(declared.join(", "))})`
}

// -----------------------------------------------------------------------------
// Values
// -----------------------------------------------------------------------------

/** The values of each column. */
type Samples = ReadonlyArray<ReadonlyArray<unknown>>

const sample = (type: ColumnType, place: number): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.orDie(Arbitrary.sampleEffect(arbitraryOf(type), { count: generated, seed: `${seed}/${place}`, size: 45 }))

const samples: Effect.Effect<Samples> = Effect.forEach(
  columns,
  ({ large, type }, place) => Effect.map(sample(type, place), (values) => [...large, ...edgesOf(type), ...values])
)

/** One value for each of some columns. */
type Values = ReadonlyArray<readonly [Column, unknown]>

/** Not every type has as many edges; the columns that have no value are left unset. */
const valuesAt = (samples: Samples, id: number): Values =>
  columns.map((column, place) => [column, samples[place]![id]] as const).filter(([, value]) => value !== undefined)

const rowOf = (id: number, values: Values): object =>
  Object.fromEntries([["id", id], ...values.map(([{ name }, value]) => [name, value])])

const jsonOf = (id: number, values: Values): string => {
  const fields = values.flatMap(([{ name, type }, value]) => {
    const json = CqlJson.told(type, value)
    return json === undefined ? [] : [`${JSON.stringify(CqlJson.nameOf(name))}:${json}`]
  })
  return `{${[`"id":${id}`, ...fields].join()}}`
}

const longest = (samples: Samples): number => Math.max(...samples.map((values) => values.length))

const isCollection = (column: Column): boolean => column.inParts && column.type.type !== "udt"

/** Of what is kept in parts the server keeps nothing when there are none. */
const kept = (column: Column, value: unknown): unknown => column.inParts && isNothing(value) ? null : value

const isNothing = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.length === 0
  if (value instanceof Set || value instanceof Map) return value.size === 0
  return Object.values(value as object).every((field) => field === null)
}

// -----------------------------------------------------------------------------
// Tables
// -----------------------------------------------------------------------------

interface Table {
  readonly samples: Samples
  /** By the schema of every column. */
  readonly typed: Effect.Effect<Rows, unknown, Session>
  /** Without a schema. */
  readonly plain: Effect.Effect<Rows, unknown, Session>
  /** As the server says them. */
  readonly json: Effect.Effect<Rows, unknown, Session>
}

/** By their `id`. */
type Rows = ReadonlyArray<Readonly<Record<string, any>>>

/** Every column's values, written by parameters. */
class Written extends Context.Service<Written, Table>()("test/Written") {}

/** The first of the same values, written by JSON where JSON can say them. */
class Told extends Context.Service<Told, Table>()("test/Told") {}

const concurrency = 32

/** A busy server may be; what is written twice is the same. */
const isLate = (error: unknown): boolean => error instanceof CqlError && error.reason._tag === "WriteTimeout"

/** Where a row is refused, its columns are written one by one, to tell which of them it was. */
const writeRows = (samples: Samples, insert: (id: number, values: Values) => Effect.Effect<unknown, Error, Session>) =>
  Effect.forEach(count(longest(samples)), (id) => {
    const values = valuesAt(samples, id)
    const one = (value: Values[number]) =>
      Effect.mapError(insert(id, [value]), (error) => new Error(`${placeOf(value[0], id)}: ${error.message}`))
    return insert(id, values).pipe(
      Effect.retry({ times: 3, while: isLate }),
      Effect.catch((error) => Effect.andThen(Effect.forEach(values, one, { discard: true }), Effect.fail(error)))
    )
  }, { concurrency, discard: true })

const placeOf = ({ cql }: Column, index: number): string => `${cql}: value ${index} of PROPERTIES_SEED=${seed}`

const write = Effect.gen(function*() {
  yield* createTypes
  yield* createTable("written")
  const values = yield* samples
  yield* writeRows(values, (id, values) => cql`INSERT INTO written ${cql.insert(rowOf(id, values))}`)
  return yield* tableOf("written", values)
})

const toldRows = 300

const tell = Effect.gen(function*() {
  yield* createTable("told")
  const values = (yield* Written).samples.map((values) => values.slice(0, toldRows))
  yield* writeRows(values, (id, values) => cql`INSERT INTO told JSON ${jsonOf(id, values)}`)
  return yield* tableOf("told", values)
})

/** Each way of reading is done once for all the columns, and only for the tests that want it. */
const tableOf = Effect.fnUntraced(function*(name: string, samples: Samples) {
  const table = cql.ident(name)
  const typed = cql(Row)`SELECT * FROM ${table}`.pipe(inPages)
  const plain = cql`SELECT * FROM ${table}`.pipe(inPages)
  const json = cql`SELECT JSON * FROM ${table}`.pipe(inPages)
  return {
    samples,
    typed: yield* Effect.cached(Effect.map(typed, byId)),
    plain: yield* Effect.cached(Effect.map(plain, byId)),
    json: yield* Effect.cached(Effect.map(json, (rows) => byId(rows.map(parseRow))))
  }
})

/** The rows are wide: the server has to hold a whole page, and has little room. */
const inPages = Statement.withOptions({ pageSize: 100 })

/** As a program would have it. */
const Row = Schema.Struct(
  Object.fromEntries([
    ["id", CqlType.Int],
    ...columns.map((column): readonly [string, Schema.Codec<any>] => {
      const schema = schemaOf(column.type)
      return [column.name, isCollection(column) ? schema : CqlType.Nullable(schema)]
    })
  ])
)

const byId = (rows: Rows): Rows => {
  const found: Array<Rows[number]> = []
  for (const row of rows) found[row["id"]] = row
  return found
}

const parseRow = (row: Readonly<Record<string, unknown>>): Rows[number] => {
  const parsed = CqlJson.parse(row["[json]"] as string) as CqlJson.JsonObject
  return { ...parsed, id: Number((parsed["id"] as CqlJson.JsonNumber).source) }
}

const tables = Layer.effect(Told, tell).pipe(
  Layer.provideMerge(Layer.effect(Written, write)),
  Layer.provideMerge(Keyspace.layer)
)

/** What fails says how to see it again. */
const assertSame = (column: Column, value: unknown, index: number, found: string, expected: string): void => {
  if (found === expected) return
  assert.fail(
    `${placeOf(column, index)}, which is ${shortened(textOf(column.type, value))}\n` +
      `expected ${shortened(expected)}\nfound    ${shortened(found)}`
  )
}

const shortened = (text: string): string => text.length < 2000 ? text : `${text.slice(0, 2000)}... (${text.length})`

it.layer(tables, { excludeTestServices: true, timeout: "120 seconds" })("a value", (it) => {
  describe("comes back as it was written, with a schema and without:", () => {
    for (const [place, column] of columns.entries()) {
      it.effect(titleOf(column), () =>
        Effect.gen(function*() {
          const { plain, samples, typed } = yield* Written
          const [typedRows, plainRows] = [yield* typed, yield* plain]
          const { name, type } = column
          assert.isAtLeast(samples[place]!.length, generated)
          for (const [index, value] of samples[place]!.entries()) {
            const nullable = kept(column, value)
            const expected = isCollection(column) ? value : nullable
            assertSame(column, value, index, textOf(type, typedRows[index]![name]), textOf(type, expected))
            assertSame(column, value, index, textOf(type, plainRows[index]![name]), textOf(type, nullable))
          }
        }))
    }
  })

  describe("is understood by the server, which says it in its own JSON:", () => {
    for (const [place, column] of columns.entries()) {
      it.effect(titleOf(column), () =>
        Effect.gen(function*() {
          const { json, samples } = yield* Written
          const rows = yield* json
          const { name, type } = column
          for (const [index, value] of samples[place]!.entries()) {
            const found = CqlJson.heard(type, rows[index]![CqlJson.nameOf(name)])
            assertSame(column, value, index, found, CqlJson.said(type, kept(column, value)))
          }
        }))
    }
  })

  describe("that the server was told in JSON is read as what it was told:", () => {
    for (const [place, column] of columns.entries()) {
      it.effect(titleOf(column), () =>
        Effect.gen(function*() {
          const { samples, typed } = yield* Told
          const rows = yield* typed
          const { name, type } = column
          const sayable = [...samples[place]!.entries()].filter(([, value]) => CqlJson.told(type, value) !== undefined)
          assert.isAtLeast(sayable.length, 100)
          for (const [index, value] of sayable) {
            const expected = isCollection(column) ? value : kept(column, value)
            assertSame(column, value, index, textOf(type, rows[index]![name]), textOf(type, expected))
          }
        }))
    }
  })

  it.effect("of a counter is what was added to it", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE counted (id int PRIMARY KEY, n counter)`
      const values = [...edgesOf(counter), ...yield* sample(counter, columns.length)]
      yield* Effect.forEach(
        values.entries(),
        ([id, value]) => cql`UPDATE counted SET n = n + ${value} WHERE id = ${id}`,
        { concurrency, discard: true }
      )
      const Count = Schema.Struct({ id: CqlType.Int, n: CqlType.Counter })
      const rows = byId(yield* cql(Count)`SELECT * FROM counted`)
      const said = byId((yield* cql`SELECT JSON * FROM counted`).map(parseRow))
      const column: Column = { name: "n", cql: "counter", type: counter, inParts: false, large: [] }
      for (const [index, value] of values.entries()) {
        assertSame(column, value, index, textOf(counter, rows[index]!["n"]), textOf(counter, value))
        assertSame(column, value, index, CqlJson.heard(counter, said[index]!["n"]), CqlJson.said(counter, value))
      }
    }))
})

// -----------------------------------------------------------------------------
// Refusals
// -----------------------------------------------------------------------------

/** What was given for a column of which type, and what the error has to say of it. */
type Refusal = readonly [what: string, type: ColumnType, value: unknown, found: string]

const deep = map(text, list(tuple(int, set(text))))
const floats = vector(float, 2)

class Reading {
  readonly street = "Na Příkopě"
  readonly number = 4711
}

const uuidOfVersion4 = "0badc0de-1234-4abc-8def-00ff10a5b6c7"

const refusals: ReadonlyArray<Refusal> = [
  ["a fraction", int, 1.7, "a number with a fraction"],
  ["an empty string", int, "", "a string"],
  ["digits", int, "4711", "a string"],
  ["NaN", int, Number.NaN, "NaN"],
  ["an infinity", int, Number.NEGATIVE_INFINITY, "an infinite number"],
  ["a bigint", int, 4711n, "a bigint"],
  ["a boolean", int, true, "a boolean"],
  ["a Date", int, new Date(4711), "a Date"],
  ["an array", int, [4711], "an array"],
  ["a number past its range", int, 2 ** 31, "a number beyond 32 bits"],
  ["a number before its range", int, -(2 ** 31) - 1, "a number beyond 32 bits"],
  ["a number past its range", smallint, 2 ** 15, "a number beyond 16 bits"],
  ["a number before its range", smallint, -(2 ** 15) - 1, "a number beyond 16 bits"],
  ["a number past its range", tinyint, 128, "a number beyond 8 bits"],
  ["a number before its range", tinyint, -129, "a number beyond 8 bits"],
  ["a bigint past its range", bigint, 2n ** 63n, "a bigint beyond 64 bits"],
  ["a bigint before its range", bigint, -(2n ** 63n) - 1n, "a bigint beyond 64 bits"],
  ["a number that is not exact", bigint, 2 ** 53, "a number beyond the safe integers"],
  ["a fraction", bigint, 0.5, "a number with a fraction"],
  ["digits", bigint, "4711", "a string"],
  ["a fraction", varint, 0.5, "a number with a fraction"],
  ["digits", varint, "4711", "a string"],
  ["a bigint", float, 4711n, "a bigint"],
  ["a number that would become infinite", float, 4711e36, "a number beyond the range of a float"],
  ["digits", float, "47.11", "a string"],
  ["a bigint", double, 4711n, "a bigint"],
  ["digits", double, "47.11", "a string"],
  ["a Date", double, new Date(4711), "a Date"],
  ["a number", decimal, 47.11, "a number with a fraction"],
  ["digits", decimal, "47.11", "a string"],
  ["a scale past 32 bits", decimal, BigDecimal.make(4711n, 2 ** 31), "a BigDecimal with a scale beyond 32 bits"],
  ["a scale before 32 bits", decimal, BigDecimal.make(4711n, -(2 ** 31) - 1), "a scale beyond 32 bits"],
  ["a word", scalar("boolean"), "false", "a string"],
  ["a number", scalar("boolean"), 0, "a number"],
  ["an empty string", scalar("boolean"), "", "a string"],
  ["a number", text, 4711, "a number"],
  ["half of a surrogate pair", text, "Na P\ud800", "a string with half of a surrogate pair"],
  ["half of a surrogate pair in a long text", text, `${"Na Příkopě".repeat(9)}\udc00`, "half of a surrogate pair"],
  ["a String", text, new String("Na Příkopě"), "a String"],
  ["bytes", text, Buffer.from("Na Příkopě"), "a Buffer"],
  ["characters beyond ASCII", ascii, "Na Příkopě", "a string with characters beyond ASCII"],
  ["half of a surrogate pair", ascii, "Na P\ud800", "a string with characters beyond ASCII"],
  ["a string", blob, "0x4711", "a string"],
  ["an array", blob, [47, 11], "an array"],
  ["an ArrayBuffer", blob, new ArrayBuffer(4), "an ArrayBuffer"],
  ["larger elements", blob, new Uint16Array(4), "a Uint16Array"],
  ["a DataView", blob, new DataView(new ArrayBuffer(4)), "a DataView"],
  ["three bytes", uuid, Buffer.from([1, 2, 3]), "a Buffer"],
  ["sixteen bytes", uuid, Buffer.alloc(16), "a Buffer"],
  ["an empty string", uuid, "", "a string that is not a UUID"],
  ["no dashes", uuid, uuidOfVersion4.replaceAll("-", ""), "a string that is not a UUID"],
  ["braces", uuid, `{${uuidOfVersion4}}`, "a string that is not a UUID"],
  ["another version", timeuuid, uuidOfVersion4, "a UUID that is not of version 1"],
  ["an invalid Date", timestamp, new Date(Number.NaN), "an invalid Date"],
  ["NaN", timestamp, Number.NaN, "NaN"],
  ["a number", timestamp, 1_700_000_000_000, "a number"],
  ["a string", timestamp, "2024-02-29T12:00:00Z", "a string"],
  [
    "a fraction of a millisecond",
    timestamp,
    DateTime.mapEpochMillis(DateTime.makeUnsafe(4711), (milliseconds) => milliseconds + 0.5),
    "a DateTime with a fraction of a millisecond"
  ],
  [
    "a DateTime past every Date",
    timestamp,
    DateTime.mapEpochMillis(DateTime.makeUnsafe(4711), () => 1e300),
    "a DateTime beyond what a Date can hold"
  ],
  ["a day that does not exist", date, "2023-02-29", "a string that is not a date"],
  ["a month that does not exist", date, "2024-13-01", "a string that is not a date"],
  ["a Date", date, new Date(4711), "a Date"],
  ["a number", date, 4711, "a number"],
  ["a time too", date, "2024-02-29T00:00:00Z", "a string that is not a date"],
  ["a date past its range", date, "+5881580-07-12", "a date beyond 32 bits of days"],
  ["a date before its range", date, "-5877641-06-22", "a date beyond 32 bits of days"],
  ["midnight of the next day", time, "24:00:00", "a string that is not a time"],
  ["a leap second", time, "23:59:60", "a string that is not a time"],
  ["ten digits", time, "12:00:00.1234567890", "a string that is not a time"],
  ["a bigint", time, 4711n, "a bigint"],
  ["a Date", time, new Date(4711), "a Date"],
  ["both signs", duration, { months: 4711, days: -1, nanoseconds: 0n }, "a duration with parts of both signs"],
  ["a fraction", duration, { months: 0.5, days: 4711, nanoseconds: 0n }, "months or days are not whole"],
  ["months past 32 bits", duration, { months: 2 ** 31, days: 0, nanoseconds: 0n }, "months or days are not whole"],
  ["nanoseconds past 64 bits", duration, { months: 0, days: 0, nanoseconds: 2n ** 63n }, "beyond 64 bits"],
  ["a missing part", duration, { months: 4711, days: 1 }, "undefined"],
  ["an unknown part", duration, { years: 4711, months: 0, days: 0, nanoseconds: 0n }, "a part that the type has not"],
  ["a string", duration, "4711d", "a string"],
  ["a name", inet, "localhost", "a string that is not an address"],
  ["three bytes", inet, "47.11.0", "a string that is not an address"],
  ["a zone", inet, "fe80::4711%eth0", "a string that is not an address"],
  ["bytes", inet, Buffer.from([47, 11, 0, 1]), "a Buffer"],
  ["a Set", list(text), new Set(["Na Příkopě"]), "a Set"],
  ["a string", list(text), "Na Příkopě", "a string"],
  ["null inside", list(text), ["Na Příkopě", null], "null where text belongs"],
  ["undefined inside", list(text), ["Na Příkopě", undefined], "undefined where text belongs"],
  ["a hole", list(text), Array.from({ length: 2 }), "undefined where text belongs"],
  ["IPv4 in the form of IPv6", list(inet), ["::ffff:47.11.0.1"], "an IPv4 address in the form of IPv6 where inet"],
  ["IPv4 in the form of IPv6", set(inet), new Set(["::ffff:2f0b:1"]), "an IPv4 address in the form of IPv6 where inet"],
  ["null inside", set(text), new Set(["Na Příkopě", null]), "null where text belongs"],
  ["an object", set(text), { street: "Na Příkopě" }, "an object"],
  ["a string", set(text), "Na Příkopě", "a string"],
  ["an array", map(text, int), [["Na Příkopě", 4711]], "an array"],
  ["a Set", map(text, int), new Set([["Na Příkopě", 4711]]), "a Set"],
  ["an instance of a class", map(text, int), new Reading(), "a Reading"],
  ["a plain object whose keys are no text", map(int, int), { 4711: 4711 }, "an object"],
  ["a null key", map(text, int), new Map([[null, 4711]]), "null where text belongs"],
  ["a null value", map(text, int), new Map([["Na Příkopě", null]]), "null where int belongs"],
  ["too few", tuple(int, text), [4711], "an array of 1 for 2 elements"],
  ["too many", tuple(int, text), [4711, "Na Příkopě", null], "an array of 3 for 2 elements"],
  ["another type inside", tuple(int, text), ["Na Příkopě", "Na Příkopě"], "a string where int belongs"],
  ["undefined inside", tuple(int, text), [4711, undefined], "undefined where text belongs"],
  ["an object", tuple(int, text), { 0: 4711, 1: "Na Příkopě" }, "an object"],
  ["an unknown field", address, { street: "Na Příkopě", nubmer: 4711 }, "an object with a field that the type has not"],
  ["another type inside", address, { street: 4711, number: 4711 }, "a number where text belongs"],
  ["a Map", address, new Map([["street", "Na Příkopě"]]), "a Map"],
  ["an array", address, ["Na Příkopě", 4711], "an array"],
  ["a Set", address, new Set(["Na Příkopě"]), "a Set"],
  ["a Date", address, new Date(4711), "a Date"],
  ["a string", address, "Na Příkopě", "a string"],
  ["too few", floats, [47.11], "an array of 1 for 2 elements"],
  ["too many", floats, new Float32Array(3), "an array of 3 for 2 elements"],
  ["null inside", floats, [47.11, null], "null where float belongs"],
  ["a string", floats, "47", "a string"],
  ["another type three deep", deep, { street: [[4711, ["Na Příkopě", 4711]]] }, "a number where text belongs"],
  ["null three deep", deep, new Map([["street", [[4711, new Set([null])]]]]), "null where text belongs"],
  ["a fraction in a tuple in a list", deep, { street: [[47.11, null]] }, "a number with a fraction where int belongs"]
]

/** A value in a form that rows do not have it in, and the same in theirs. */
type Exact = readonly [what: string, type: ColumnType, value: unknown, read: unknown]

const exact: ReadonlyArray<Exact> = [
  ["minus zero", int, -0, 0],
  ["a number", bigint, 2 ** 53 - 1, 2n ** 53n - 1n],
  ["a number", varint, -129, -129n],
  ["capital letters", uuid, uuidOfVersion4.toUpperCase(), uuidOfVersion4],
  ["a DateTime", timestamp, DateTime.makeUnsafe(4711), new Date(4711)],
  ["a DateTime of a zone", timestamp, DateTime.makeZonedUnsafe(4711, { timeZone: "Europe/Prague" }), new Date(4711)],
  ["the last DateTime", timestamp, DateTime.makeUnsafe(8.64e15), new Date(8.64e15)],
  ["whole seconds", time, "12:00:00", "12:00:00.000000000"],
  ["two digits", time, "12:00:00.05", "12:00:00.050000000"],
  ["a sign", date, "+2024-02-29", "2024-02-29"],
  ["a number of nanoseconds", duration, { months: 0, days: 0, nanoseconds: 5 }, {
    months: 0,
    days: 0,
    nanoseconds: 5n
  }],
  ["IPv4 in the form of IPv6", inet, "::FFFF:47.11.0.1", "::ffff:2f0b:1"],
  ["zeros that could be left out", inet, "2001:0DB8:0:0::0:1", "2001:db8::1"],
  ["a Buffer", blob, Buffer.from([47, 11]), Uint8Array.of(47, 11)],
  ["a part of a larger buffer", blob, Uint8Array.of(1, 47, 11, 2).subarray(1, 3), Uint8Array.of(47, 11)],
  ["no elements", list(text), [], []],
  ["no elements", set(text), [], new Set()],
  ["no entries", map(text, int), new Map(), new Map()],
  ["no entries", map(text, int), {}, new Map()],
  ["an array with one twice", set(text), ["a", "b", "a"], new Set(["a", "b"])],
  ["a plain object", map(text, int), { a: 1, "": 2 }, new Map([["a", 1], ["", 2]])],
  [
    "a plain object with a key __proto__",
    map(text, int),
    Object.fromEntries([["__proto__", 1], ["constructor", 2]]),
    new Map([["__proto__", 1], ["constructor", 2]])
  ],
  ["an object without a prototype", map(text, int), Object.assign(Object.create(null), { a: 1 }), new Map([["a", 1]])],
  ["a missing field", address, { street: "Na Příkopě" }, { street: "Na Příkopě", number: null }],
  ["an undefined field", address, { street: undefined, number: 5 }, { street: null, number: 5 }],
  ["no field", address, {}, { street: null, number: null }],
  ["an instance of a class", address, new Reading(), { street: "Na Příkopě", number: 4711 }],
  ["32-bit floats", floats, Float32Array.of(0.1, -2), [Math.fround(0.1), -2]],
  ["64-bit floats", floats, Float64Array.of(1.5, -2), [1.5, -2]],
  ["IPv4 in the form of IPv6", tuple(inet), ["::ffff:47.11.0.1"], ["::ffff:2f0b:1"]],
  ["IPv4 in the form of IPv6", vector(inet, 1), ["::ffff:47.11.0.1"], ["::ffff:2f0b:1"]],
  ["IPv4 in the form of IPv6", list(tuple(inet)), [["::ffff:47.11.0.1"]], [["::ffff:2f0b:1"]]]
]

const givenTypes: ReadonlyArray<ColumnType> = [
  ...new Map([...refusals, ...exact].map(([, type]) => [cqlOf(type), type])).values()
]

const givenColumn = (type: ColumnType): string => `c${givenTypes.findIndex((given) => cqlOf(given) === cqlOf(type))}`

const createGiven = Effect.gen(function*() {
  yield* createTypes
  const declared = givenTypes.map((type) => `${givenColumn(type)} ${cqlOf(type)}`)
  yield* cql`CREATE TABLE given (id int PRIMARY KEY, ${cql.unsafe(declared.join(", "))})`
})

/** The texts and large numbers in a value, which no error may show; names of fields are no values. */
const secretsOf = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return value.length > 2 ? [value] : []
  if (typeof value === "number" || typeof value === "bigint") return String(value).length > 3 ? [String(value)] : []
  if (value instanceof Map) return [...value].flat().flatMap(secretsOf)
  if (value instanceof Set) return [...value].flatMap(secretsOf)
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(secretsOf) : []
}

const printed = (error: CqlError): ReadonlyArray<string> => [
  String(error),
  error.message,
  error.stack ?? "",
  JSON.stringify(error),
  inspect(error, { depth: null }),
  Cause.pretty(Cause.fail(error)),
  String(error.reason),
  JSON.stringify(error.reason)
]

it.layer(Layer.provideMerge(Layer.effectDiscard(createGiven), Keyspace.layer), {
  excludeTestServices: true,
  timeout: "60 seconds"
})("a parameter", (it) => {
  const given = (id: number, type: ColumnType) =>
    cql`SELECT JSON id, ${cql.ident(givenColumn(type))}, writetime(${cql.ident(givenColumn(type))})
      FROM given WHERE id = ${id}`.one

  describe("that has no exact form is refused, and the row keeps what it had:", () => {
    for (const [index, [what, type, value, found]] of refusals.entries()) {
      it.effect(`${what} for ${cqlOf(type)}`, () =>
        Effect.gen(function*() {
          const name = givenColumn(type)
          const { keyspace } = yield* Session
          yield* cql`INSERT INTO given ${cql.insert({ id: index, [name]: edgesOf(type).at(-1) })}`
          const before = yield* given(index, type)
          const error = yield* Effect.flip(cql`INSERT INTO given ${cql.insert({ id: index, [name]: value })}`)
          assert.instanceOf(error, CqlError)
          const reason = error.reason
          assert(reason._tag === "InvalidParameter")
          assert.deepStrictEqual([reason.index, reason.parameter], [1, name])
          assert.strictEqual(reason.expected, format(type.type === "udt" ? { ...type, keyspace: keyspace! } : type))
          assert.include(reason.found, found)
          for (const secret of secretsOf(value)) for (const text of printed(error)) assert.notInclude(text, secret)
          assert.deepStrictEqual(yield* given(index, type), before)
        }))
    }

    it.effect("a bigint past its range for what is added to a counter", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE counted (id int PRIMARY KEY, n counter)`
        yield* cql`UPDATE counted SET n = n + ${5n} WHERE id = 1`
        for (const [value, found] of [[2n ** 63n, "a bigint beyond 64 bits"], [0.5, "a number with a fraction"]]) {
          const error = yield* Effect.flip(cql`UPDATE counted SET n = n + ${value} WHERE id = 1`)
          assert.instanceOf(error, CqlError)
          assert(error.reason._tag === "InvalidParameter")
          assert.deepStrictEqual([error.reason.expected, error.reason.found], ["counter", found])
        }
        assert.deepStrictEqual(yield* cql`SELECT n FROM counted`, [{ n: 5n }])
      }))
  })

  describe("in another form is read as the same value:", () => {
    for (const [index, [what, type, value, read]] of exact.entries()) {
      it.effect(`${what} for ${cqlOf(type)}`, () =>
        Effect.gen(function*() {
          const id = refusals.length + index
          const name = givenColumn(type)
          const column = cql.ident(name)
          yield* cql`INSERT INTO given ${cql.insert({ id, [name]: value })}`
          const Row = Schema.Struct({ [name]: schemaOf(type) })
          const typed = yield* cql(Row)`SELECT ${column} FROM given WHERE id = ${id}`.one
          assert.strictEqual(textOf(type, typed[name]), textOf(type, read))
          const said = yield* cql`SELECT toJson(${column}) AS json FROM given WHERE id = ${id}`.one
          assert.strictEqual(CqlJson.heard(type, CqlJson.parse(said["json"] as string)), CqlJson.said(type, read))
        }))
    }
  })
})
