import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import { join } from "node:path"
import { inspect } from "node:util"
import { cql, CqlError, CqlExport, CqlImport, CqlStream, CqlType, Statement, TransferError } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import { reasonOf } from "./support/scripted.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const Row = Schema.Struct({ k: CqlType.Int, c: CqlType.Int, v: CqlType.Nullable(Schema.String) })

type Row = typeof Row.Type

const someRows = (count: number): ReadonlyArray<Row> =>
  numbered(count).map((n) => ({ k: n % 40, c: n, v: n % 5 === 0 ? null : n % 7 === 0 ? "" : `v"${n}",\r\né🐎` }))

const createTable = (table: string) => cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`

const contentOf = (table: string) =>
  Effect.map(
    cql`SELECT k, c, v FROM ${cql.ident(table)}`,
    (rows) => rows.map((row) => JSON.stringify(row)).sort()
  )

const sorted = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row)).sort()

const newPath: Effect.Effect<string, never, FileSystem.FileSystem | Scope> = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => Effect.map(Effect.orDie(files.makeTempDirectoryScoped()), (path) => join(path, "export"))
)

const bytes = (text: string, size = 1000): Stream.Stream<Uint8Array> => {
  const all = Buffer.from(text)
  return Stream.fromIterable(
    numbered(Math.ceil(all.length / size)).map((index) => all.subarray(index * size, (index + 1) * size))
  )
}

const jsonLines = (rows: ReadonlyArray<object>): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("")

const failureOf =
  <Tag extends TransferError["reason"]["_tag"]>(tag: Tag) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.flip(effect), (error) => {
      assert.instanceOf(error, TransferError)
      assert.strictEqual(error.reason._tag, tag, error.message)
      return error.reason as Extract<TransferError["reason"], { readonly _tag: Tag }>
    })

/** Rows of this table that are all written, or not at all, where a value is too large for the server. */
const refusedByServer = { k: 1, c: 1, v: "x".repeat(17 * 1024 * 1024) }

const layer = Layer.merge(Keyspace.layer, NodeServices.layer)

const options = { excludeTestServices: true, timeout: "60 seconds" } as const

// -----------------------------------------------------------------------------
// Every type
// -----------------------------------------------------------------------------

interface Column {
  readonly cql: string
  readonly schema: Schema.Codec<any>
  readonly values: ReadonlyArray<unknown>
}

const column = (cql: string, schema: Schema.Codec<any>, ...values: ReadonlyArray<unknown>): Column => ({
  cql,
  schema: CqlType.Nullable(schema),
  values: [null, ...values]
})

const Pair = CqlType.UserDefined({
  "Left": CqlType.Nullable(CqlType.Text),
  right: CqlType.Nullable(CqlType.List(CqlType.BigInt))
})

const texts = [
  "",
  " ",
  "a",
  "NULL",
  "null",
  "\\N",
  "1",
  "true",
  "[1]",
  "a,b",
  "\"",
  "\"\"",
  "\n",
  "\r\n",
  "\ufeff",
  "🐎ž"
]

const columns: Readonly<Record<string, Column>> = {
  ascii: column("ascii", CqlType.Ascii, "", "a,\"\n", "\u0000\u007f"),
  text: column("text", CqlType.Text, ...texts, "é".repeat(500_000)),
  tinyint: column("tinyint", CqlType.TinyInt, -128, 127, 0),
  smallint: column("smallint", CqlType.SmallInt, -32768, 32767),
  int: column("int", CqlType.Int, -2147483648, 2147483647),
  bigint: column("bigint", CqlType.BigInt, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, 0n),
  varint: column("varint", CqlType.VarInt, 10n ** 60n, -(10n ** 60n) - 1n, 0n),
  float: column("float", CqlType.Float, 0.5, Math.fround(0.1), -0, 0, NaN, Infinity, -Infinity),
  double: column("double", CqlType.Double, 0.1, -0, 0, Number.MIN_VALUE, Number.MAX_VALUE, NaN, -Infinity),
  decimal: column(
    "decimal",
    CqlType.Decimal,
    ...[[150n, 2], [15n, 1], [0n, 0], [0n, 5], [-5n, 3], [7n, -10], [123n, 400], [10n ** 40n + 1n, 20], [-1n, 0]].map(
      ([value, scale]) => BigDecimal.make(value as bigint, scale as number)
    )
  ),
  boolean: column("boolean", CqlType.Boolean, true, false),
  blob: column("blob", CqlType.Blob, new Uint8Array(0), Uint8Array.of(0, 255, 10, 34)),
  date: column("date", CqlType.Date, "1970-01-01", "0000-02-29", "-0001-12-31", "+12345-06-07"),
  time: column("time", CqlType.Time, "00:00:00.000000000", "23:59:59.999999999"),
  timestamp: column(
    "timestamp",
    CqlType.Timestamp,
    new Date(0),
    new Date(-1),
    new Date(253402300800000),
    new Date(8.64e15)
  ),
  duration: column(
    "duration",
    CqlType.Duration,
    { months: 1, days: 2, nanoseconds: 3n },
    { months: -1, days: 0, nanoseconds: -(2n ** 63n) },
    { months: 0, days: 0, nanoseconds: 0n }
  ),
  uuid: column("uuid", CqlType.Uuid, "0badc0de-1234-4abc-8def-00ff10a5b6c7"),
  timeuuid: column("timeuuid", CqlType.TimeUuid, "50554d6e-29bb-11e5-b345-feff819cdc9f"),
  inet: column("inet", CqlType.Inet, "127.0.0.1", "::1", "2001:db8::ff00:42:8329"),
  list: column("list<text>", CqlType.List(CqlType.Text), ["b", "a", "b", ""]),
  frozen_list: column("frozen<list<double>>", CqlType.List(CqlType.Double), [], [-0, NaN, 1]),
  set: column("set<bigint>", CqlType.Set(CqlType.BigInt), new Set([-1n, 2n ** 60n])),
  frozen_set: column("frozen<set<timestamp>>", CqlType.Set(CqlType.Timestamp), new Set(), new Set([new Date(5)])),
  map: column(
    "map<text, decimal>",
    CqlType.Map(CqlType.Text, CqlType.Decimal),
    new Map([["__proto__", BigDecimal.make(10n, 1)]])
  ),
  frozen_map: column(
    "frozen<map<frozen<tuple<int, text>>, blob>>",
    CqlType.Map(CqlType.Tuple([CqlType.Nullable(CqlType.Int), CqlType.Nullable(CqlType.Text)]), CqlType.Blob),
    new Map(),
    new Map([[[1, null], Uint8Array.of(1)]])
  ),
  tuple: column(
    "tuple<varint, frozen<set<uuid>>>",
    CqlType.Tuple([CqlType.Nullable(CqlType.VarInt), CqlType.Nullable(CqlType.Set(CqlType.Uuid))]),
    [10n ** 30n, null],
    [null, new Set(["0badc0de-1234-4abc-8def-00ff10a5b6c7"])]
  ),
  udt: column("pair", Pair, { Left: "x,", right: [1n] }, { Left: null, right: [2n] }),
  frozen_udt: column("frozen<pair>", Pair, { Left: "", right: null }, { Left: null, right: null }),
  vector: column("vector<float, 3>", CqlType.Vector(CqlType.Float, 3), [1, -0, 0.5]),
  vector_of_texts: column("vector<text, 2>", CqlType.Vector(CqlType.Text, 2), ["", "a\nb"]),
  "Odd \"Name\", x": column("text", CqlType.Text, "odd"),
  "__proto__": column("int", CqlType.Int, 5),
  "constructor": column("text", CqlType.Text, "c")
}

const Every: Schema.Codec<any> = Schema.Struct({
  id: CqlType.Int,
  ...Object.fromEntries(Object.entries(columns).map(([name, { schema }]) => [name, schema]))
})

const everyRow: ReadonlyArray<any> = numbered(Math.max(...Object.values(columns).map(({ values }) => values.length)))
  .map((id) =>
    Object.fromEntries([
      ["id", id],
      ...Object.entries(columns).map(([name, { values }]) => [name, values[id % values.length]])
    ])
  )

const createEvery = (table: string) => {
  const declared = Object.entries(columns).map(([name, column]) => `"${name.replaceAll("\"", "\"\"")}" ${column.cql}`)
  return cql`CREATE TABLE ${cql.ident(table)} (id int PRIMARY KEY, ${cql.unsafe(declared.join(", "))})`
}

/** As the server has them: its bytes, one row after the other. */
const everyCell = (table: string) =>
  Effect.map(
    cql`SELECT id, ${
      cql.unsafe(Object.keys(columns).map((name) => `"${name.replaceAll("\"", "\"\"")}"`).join(", "))
    } FROM ${cql.ident(table)}`,
    (rows) =>
      [...rows].sort((a, b) => Number(a["id"]) - Number(b["id"])).map((row) =>
        inspect(row, { depth: 9, maxArrayLength: null, maxStringLength: 1000 })
      )
  )

it.layer(layer, options)("What CqlExport writes, CqlImport reads", (it) => {
  it.effect("of every type, in both formats", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TYPE pair ("Left" text, right frozen<list<bigint>>)`
      yield* createEvery("every")
      yield* Stream.fromIterable(everyRow).pipe(
        CqlStream.write({ table: "every", schema: Every, concurrency: 4 }),
        Stream.runDrain
      )
      const expected = yield* everyCell("every")
      assert.lengthOf(expected, everyRow.length)
      for (
        const [name, format] of [
          ["json", { format: "jsonLines" }],
          ["csv", { format: "csv" }],
          ["csv_null", { format: "csv", nullText: "NULL" }]
        ] as const
      ) {
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "every", schema: Every, path, ...format })
        yield* createEvery(`every_${name}`)
        const result = yield* CqlImport.fromDirectory({ table: `every_${name}`, schema: Every, path })
        assert.deepStrictEqual(result, { rows: everyRow.length, notWritten: 0 })
        assert.deepStrictEqual(yield* everyCell(`every_${name}`), expected, name)
      }
    }))

  it.effect("and an export of the import is the same", () =>
    Effect.gen(function*() {
      yield* createTable("origin")
      yield* createTable("copy")
      yield* Stream.fromIterable(someRows(700)).pipe(CqlStream.write({ table: "origin", schema: Row }), Stream.runDrain)
      const toText = (table: string, format: CqlExport.Format) =>
        Stream.mkString(Stream.decodeText(CqlExport.toStream({ table, schema: Row, format, concurrency: 1 })))
      for (const format of ["jsonLines", "csv"] as const) {
        const text = yield* toText("origin", format)
        yield* cql`TRUNCATE copy`
        const result = yield* CqlImport.fromStream({ table: "copy", schema: Row, bytes: bytes(text, 37), format })
        assert.deepStrictEqual(result, { rows: 700, notWritten: 0 })
        assert.strictEqual(yield* toText("copy", format), text)
      }
    }))

  it.effect("of a schema with a transformation, a class, and columns that may be absent", () =>
    Effect.gen(function*() {
      for (const table of ["visits", "visits_copy"]) {
        yield* cql`CREATE TABLE ${cql.ident(table)} (id int PRIMARY KEY, at timestamp, note text, tags set<text>)`
      }
      class Visit extends Schema.Class<Visit>("Visit")({
        id: CqlType.Int,
        at: Schema.DateTimeUtcFromDate,
        note: Schema.optionalKey(Schema.String),
        tags: CqlType.Set(CqlType.Text)
      }) {}
      yield* cql`INSERT INTO visits (id, at, note) VALUES (1, '2026-01-02T03:04:05.678Z', '')`
      yield* cql`INSERT INTO visits (id, at, tags) VALUES (2, '1969-01-02', {'a', 'b'})`
      const expected = yield* cql`SELECT * FROM visits`
      for (const format of ["jsonLines", "csv"] as const) {
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "visits", schema: Visit, path, format })
        yield* cql`TRUNCATE visits_copy`
        yield* CqlImport.fromDirectory({ table: "visits_copy", schema: Visit, path })
        assert.deepStrictEqual(yield* cql`SELECT * FROM visits_copy`, expected)
      }
    }))

  it.effect("of partitions with nothing but static columns", () =>
    Effect.gen(function*() {
      for (const table of ["statics", "statics_copy"]) {
        yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, s text static, v text, PRIMARY KEY (k, c))`
      }
      yield* cql`INSERT INTO statics (k, s) VALUES (1, 'alone')`
      yield* cql`INSERT INTO statics (k, c, s, v) VALUES (2, 1, 'both', 'x')`
      const Static = Schema.Struct({
        k: CqlType.Int,
        c: CqlType.Nullable(CqlType.Int),
        s: CqlType.Nullable(Schema.String),
        v: CqlType.Nullable(Schema.String)
      })
      for (const times of [{}, { writeTime: true, ttl: true }]) {
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "statics", schema: Static, path, ...times })
        yield* cql`TRUNCATE statics_copy`
        yield* CqlImport.fromDirectory({ table: "statics_copy", schema: Static, path })
        assert.deepStrictEqual(yield* cql`SELECT * FROM statics_copy`, yield* cql`SELECT * FROM statics`)
      }
    }))

  describe("with write times and TTLs", () => {
    const Timed = Schema.Struct({
      k: CqlType.Int,
      a: CqlType.Nullable(Schema.String),
      b: CqlType.Nullable(CqlType.Int),
      d: CqlType.Nullable(CqlType.List(CqlType.Int))
    })

    const time = Schema.NullOr(Schema.BigInt)
    const seconds = Schema.NullOr(Schema.Number)
    const Times = Schema.Struct({
      ...Timed.fields,
      wa: time,
      wb: time,
      wd: time,
      ta: seconds,
      tb: seconds,
      td: seconds
    })

    it.effect("of each value", () =>
      Effect.gen(function*() {
        for (const table of ["timed", "timed_copy"]) {
          yield* cql`CREATE TABLE ${
            cql.ident(table)
          } (k int PRIMARY KEY, a text, b int, d frozen<list<int>>) WITH default_time_to_live = 5000000`
        }
        yield* cql`INSERT INTO timed (k, a, b) VALUES (1, 'a', 1) USING TIMESTAMP 1000`
        yield* cql`UPDATE timed USING TIMESTAMP 2000 AND TTL 1000000 SET b = 2, d = [1] WHERE k = 1`
        yield* cql`INSERT INTO timed (k, a) VALUES (2, 'b') USING TIMESTAMP 3000 AND TTL 0`
        yield* cql`INSERT INTO timed (k) VALUES (3)`
        const times = (table: string) =>
          cql(Times)`SELECT k, a, b, d, writetime(a) AS wa, writetime(b) AS wb, writetime(d) AS wd,
            ttl(a) AS ta, ttl(b) AS tb, ttl(d) AS td FROM ${cql.ident(table)}`
        for (const format of ["jsonLines", "csv"] as const) {
          const path = yield* newPath
          yield* CqlExport.toDirectory({ table: "timed", schema: Timed, path, format, writeTime: true, ttl: true })
          yield* cql`TRUNCATE timed_copy`
          const result = yield* CqlImport.fromDirectory({ table: "timed_copy", schema: Timed, path })
          assert.deepStrictEqual(result, { rows: 3, notWritten: 0 })
          const before = yield* times("timed")
          const after = yield* times("timed_copy")
          assert.lengthOf(after, 3)
          for (const [index, row] of after.entries()) {
            const { ta, tb, td, ...others } = row
            const { ta: ta0, tb: tb0, td: td0, ...others0 } = before[index]!
            assert.deepStrictEqual(others, others0)
            for (const [found, expected] of [[ta, ta0], [tb, tb0], [td, td0]] as const) {
              if (expected === null) assert.isNull(found)
              else assert.closeTo(found!, expected!, 1000)
            }
          }
          // Nothing of a row is later than its values.
          yield* cql`DELETE FROM timed_copy USING TIMESTAMP 3000 WHERE k = 2`
          assert.deepStrictEqual(yield* cql`SELECT k FROM timed_copy WHERE k = 2`, [])
        }
      }))

    it.effect("of a line that says none that can be, which is refused", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE mistimed (k int PRIMARY KEY, a text, b int, d frozen<list<int>>)`
        const wrong: ReadonlyArray<readonly [name: string, value: unknown]> = [
          ["writetime(a)", 5],
          ["writetime(a)", "now"],
          ["writetime(a)", String(2n ** 63n)],
          ["ttl(a)", -1],
          ["ttl(a)", 1.5],
          ["ttl(a)", "60"]
        ]
        for (const [name, value] of wrong) {
          const text = jsonLines([{ k: 1, a: "a", b: null, d: null, [name]: value }])
          const { column } = yield* failureOf("MalformedRow")(
            CqlImport.fromStream({ table: "mistimed", schema: Timed, bytes: bytes(text) })
          )
          assert.strictEqual(column, name)
        }
        assert.deepStrictEqual(yield* cql`SELECT * FROM mistimed`, [])
      }))
  })
})

it.layer(layer, options)("CqlImport", (it) => {
  describe("null", () => {
    const given = jsonLines([{ k: 1, c: 1, v: null }])

    it.effect("leaves a column as it is, unless it is to delete", () =>
      Effect.gen(function*() {
        yield* createTable("nulls")
        yield* cql`INSERT INTO nulls (k, c, v) VALUES (1, 1, 'kept')`
        yield* CqlImport.fromStream({ table: "nulls", schema: Row, bytes: bytes(given) })
        assert.deepStrictEqual(yield* contentOf("nulls"), sorted([{ k: 1, c: 1, v: "kept" }]))
        yield* CqlImport.fromStream({ table: "nulls", schema: Row, bytes: bytes(given), nulls: "delete" })
        assert.deepStrictEqual(yield* contentOf("nulls"), sorted([{ k: 1, c: 1, v: null }]))
      }))
  })

  it.effect("writes with a TTL", () =>
    Effect.gen(function*() {
      yield* createTable("short_lived")
      const text = jsonLines([{ k: 1, c: 1, v: "a" }])
      yield* CqlImport.fromStream({ table: "short_lived", schema: Row, bytes: bytes(text), ttl: "1 day" })
      const [row] = yield* cql`SELECT ttl(v) AS ttl FROM short_lived`
      assert.closeTo(Number(row!["ttl"]), 86_400, 1000)
    }))

  it.effect("reads CSV of others: columns in another order, CRLF, a mark, empty lines", () =>
    Effect.gen(function*() {
      yield* createTable("foreign")
      const text = "\ufeffv,k,c\r\n\"a \"\"b\"\"\r\n\",1,2\r\n\r\n,3,4\r\nNULL,5,6"
      const result = yield* CqlImport.fromStream({
        table: "foreign",
        schema: Row,
        bytes: bytes(text, 3),
        format: "csv"
      })
      assert.deepStrictEqual(result, { rows: 3, notWritten: 0 })
      assert.deepStrictEqual(
        yield* contentOf("foreign"),
        sorted([{ k: 1, c: 2, v: "a \"b\"\r\n" }, { k: 3, c: 4, v: null }, { k: 5, c: 6, v: "NULL" }])
      )
    }))

  it.effect("passes over empty lines of CSV, also before its names, and not over a value that is an empty text", () =>
    Effect.gen(function*() {
      yield* createTable("blanks")
      const text = "\r\n\nk,c,v\n\n1,1,a\n\"\"\n"
      const failed: Array<number> = []
      const result = yield* CqlImport.fromStream({
        table: "blanks",
        schema: Row,
        bytes: bytes(text, 2),
        format: "csv",
        onFailure: ({ line }) => Effect.sync(() => failed.push(line))
      })
      assert.deepStrictEqual([result, failed], [{ rows: 1, notWritten: 1 }, [6]])
    }))

  it.effect("that fails or is interrupted tells how far it had come", () =>
    Effect.gen(function*() {
      yield* createTable("kept")
      const places: Array<string> = []
      const given = {
        table: "kept",
        schema: Row,
        onCheckpoint: (place: string) => Effect.sync(() => places.push(place))
      }
      const good = jsonLines(someRows(25))
      yield* failureOf("MalformedRow")(CqlImport.fromStream({ ...given, bytes: bytes(`${good}no row\n`) }))
      assert.lengthOf(places, 1)
      const left = yield* CqlImport.fromStream({ ...given, bytes: bytes(`${good}`), from: places[0] })
      assert.strictEqual(left.rows, 0, "all rows before the one that is none")
      const offsets: Array<number> = []
      const fromOffset = yield* CqlImport.fromStream({
        ...given,
        bytes: (offset: number) => {
          offsets.push(offset)
          return bytes(jsonLines(someRows(30)).slice(good.length))
        },
        from: places[0]
      })
      assert.deepStrictEqual([fromOffset.rows, offsets], [5, [Buffer.byteLength(good)]])
    }))

  it.effect("of nothing writes nothing", () =>
    Effect.gen(function*() {
      yield* createTable("nothing")
      for (
        const [text, format] of [["", "jsonLines"], ["", "csv"], ["k,c,v\n", "csv"], ["\n\n", "jsonLines"]] as const
      ) {
        const result = yield* CqlImport.fromStream({ table: "nothing", schema: Row, bytes: bytes(text), format })
        assert.deepStrictEqual(result, { rows: 0, notWritten: 0 })
      }
      const path = yield* newPath
      yield* CqlExport.toDirectory({ table: "nothing", schema: Row, path })
      const result = yield* CqlImport.fromDirectory({ table: "nothing", schema: Row, path })
      assert.deepStrictEqual(result, { rows: 0, notWritten: 0 })
    }))

  it.effect("reads no further ahead than a bounded number of rows", () =>
    Effect.gen(function*() {
      yield* createTable("endless")
      let read = 0
      let written = 0
      const lines = Stream.map(Stream.rechunk(Stream.range(0, Number.MAX_SAFE_INTEGER), 1), (n) => {
        read = n
        return Buffer.from(jsonLines([{ k: n % 100, c: n % 1000, v: "v" }]))
      })
      let most = 0
      const latch = yield* Latch.make(false)
      const fiber = yield* CqlImport.fromStream({
        table: "endless",
        schema: Row,
        bytes: lines,
        concurrency: 4,
        maxBatchRows: 10,
        checkpointRows: 100,
        onCheckpoint: () => {
          written += 100
          most = Math.max(most, read - written)
          return written >= 3000 ? latch.open : Effect.void
        }
      }).pipe(Effect.forkChild)
      yield* Effect.raceFirst(latch.await, Fiber.await(fiber))
      yield* Fiber.interrupt(fiber)
      assert.isAbove(most, 0)
      assert.isAtMost(most, 1000)
    }))

  describe("refuses before anything is written", () => {
    it.effect("columns that are unknown, missing or twice, by their names", () =>
      Effect.gen(function*() {
        yield* createTable("headers")
        const wrong: ReadonlyArray<readonly [text: string, expected: object]> = [
          ["k,c,V\n1,1,a\n", { unknown: ["V"], missing: ["v"], duplicate: [] }],
          ["k,v\n1,a\n", { unknown: [], missing: ["c"], duplicate: [] }],
          ["k,c,v,k\n1,1,a,1\n", { unknown: [], missing: [], duplicate: ["k"] }],
          ["k,c,v,writetime(x)\n1,1,a,\n", { unknown: ["writetime(x)"], missing: [], duplicate: [] }],
          ["1,1,a\n", { unknown: ["1", "1", "a"], missing: ["k", "c", "v"], duplicate: ["1"] }]
        ]
        for (const [text, expected] of wrong) {
          const { duplicate, message, missing, unknown } = yield* failureOf("InvalidColumns")(
            CqlImport.fromStream({ table: "headers", schema: Row, bytes: bytes(text), format: "csv" })
          )
          assert.deepStrictEqual({ unknown, missing, duplicate }, expected as never)
          for (const name of [...unknown, ...missing, ...duplicate]) assert.include(message, JSON.stringify(name))
        }
        const hints = [["k;c;v\n", "by commas"], ["k\tc\tv\n", "by commas"], ["k, c, v\n", "spaces"]] as const
        for (const [text, hint] of hints) {
          const { message } = yield* failureOf("InvalidColumns")(
            CqlImport.fromStream({ table: "headers", schema: Row, bytes: bytes(text), format: "csv" })
          )
          assert.include(message, hint)
        }
        assert.deepStrictEqual(yield* contentOf("headers"), [])
      }))

    it.effect("a schema without the key of the table, or with columns that it has not, and counters", () =>
      Effect.gen(function*() {
        yield* createTable("keys")
        const { k, v } = Row.fields
        const Keyless = Schema.Struct({ k, v })
        const given = { table: "keys", bytes: bytes("") }
        const lacking = yield* failureOf("UnsupportedColumns")(CqlImport.fromStream({ ...given, schema: Keyless }))
        assert.deepStrictEqual(lacking.columns, ["c"])
        const More = Schema.Struct({ ...Row.fields, more: Schema.String })
        const unknown = yield* failureOf("UnsupportedColumns")(CqlImport.fromStream({ ...given, schema: More }))
        assert.deepStrictEqual(unknown.columns, ["more"])
        yield* cql`CREATE TABLE counted (k int PRIMARY KEY, n counter)`
        const Counted = Schema.Struct({ k, n: CqlType.Counter })
        const counter = yield* failureOf("UnsupportedColumns")(
          CqlImport.fromStream({ table: "counted", bytes: bytes(""), schema: Counted })
        )
        assert.deepStrictEqual(counter.columns, ["n"])
      }))

    it.effect("options that make no sense", () =>
      Effect.gen(function*() {
        const given = { table: "t", schema: Row, bytes: bytes("") }
        for (
          const wrong of [
            { table: "a b" },
            { concurrency: 0 },
            { maxBatchRows: 0 },
            { maxBatchBytes: 0 },
            { checkpointRows: 0 },
            { nullText: "\"" },
            { ttl: "30000 days" as const },
            { from: "" },
            { nulls: "keep" as "unset" },
            { format: "xml" as "csv" },
            { bytes: "text" as never }
          ]
        ) {
          yield* reasonOf("InvalidConfig")(CqlImport.fromStream({ ...given, ...wrong }))
        }
        yield* reasonOf("InvalidConfig")(CqlImport.fromDirectory({ table: "t", schema: Row, path: "" }))
        yield* reasonOf("InvalidQuery")(CqlImport.fromStream({ ...given, table: "nowhere" }))
      }))

    it.effect("a directory that is none, whose export is not done, or whose parts are not those of its manifest", () =>
      Effect.gen(function*() {
        yield* createTable("damaged")
        yield* createTable("untouched")
        yield* Stream.fromIterable(someRows(300)).pipe(
          CqlStream.write({ table: "damaged", schema: Row }),
          Stream.runDrain
        )
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "damaged", schema: Row, path })
        const copy = CqlImport.fromDirectory({ table: "untouched", schema: Row, path })
        const part = join(path, "part-0.jsonl")
        const manifest = join(path, "manifest.json")
        const content = Fs.readFileSync(part)
        const told = JSON.parse(Fs.readFileSync(manifest, "utf8")) as CqlExport.Manifest

        Fs.writeFileSync(part, content.subarray(0, -10))
        assert.match((yield* failureOf("DamagedPart")(copy)).message, /bytes, and had/)
        const changed = Buffer.from(content)
        changed[20]! ^= 1
        Fs.writeFileSync(part, changed)
        assert.match((yield* failureOf("DamagedPart")(copy)).message, /SHA-256/)
        Fs.rmSync(part)
        assert.match((yield* failureOf("DamagedPart")(copy)).message, /no such file/)
        Fs.writeFileSync(part, content)

        const write = (value: unknown) => Fs.writeFileSync(manifest, JSON.stringify(value))
        for (
          const wrong of [
            {},
            { ...told, version: 2 },
            { ...told, rows: told.rows + 1 },
            { ...told, parts: [{ ...told.parts[0]!, file: "../part-0.jsonl" }] }
          ]
        ) {
          write(wrong)
          yield* failureOf("InvalidManifest")(copy)
        }
        write({ ...told, columns: told.columns.slice(1) })
        yield* failureOf("InvalidColumns")(copy)
        assert.deepStrictEqual(yield* contentOf("untouched"), [])

        // The one thing that is known only at the end.
        write({ ...told, rows: 301, parts: [{ ...told.parts[0]!, rows: 301 }] })
        assert.match((yield* failureOf("DamagedPart")(copy)).message, /rows/)
        Fs.rmSync(manifest)
        yield* failureOf("InvalidManifest")(copy)
      }))
  })

  describe("a line that is no row", () => {
    const secret = "secret"
    const lines = [
      JSON.stringify({ k: 1, c: 1, v: "a" }),
      JSON.stringify({ k: secret, c: 1, v: "a" }),
      `{"k":1,"c":2,"v":"${secret}`,
      JSON.stringify({ k: 1, v: secret }),
      JSON.stringify({ k: 1, c: 2, v: "b", more: secret }),
      JSON.stringify({ k: 1, c: 3, v: "c" })
    ]
    const csv = `k,c,v\n1,1,"a\n"\n${secret},2,b\n1,2\n1,3,c\n`

    it.effect("ends the import, with its number and its column, and not its value", () =>
      Effect.gen(function*() {
        yield* createTable("lines")
        const wrong: ReadonlyArray<readonly [text: string, line: number, column: string | undefined]> = [
          [lines.slice(0, 2).join("\n"), 2, "k"],
          [[lines[0], lines[2]].join("\n"), 2, undefined],
          [[lines[0], "", lines[3]].join("\n"), 3, "c"],
          [[lines[0], lines[4]].join("\n"), 2, "more"]
        ]
        for (const [text, line, column] of wrong) {
          const error = yield* failureOf("MalformedRow")(
            CqlImport.fromStream({ table: "lines", schema: Row, bytes: bytes(`${text}\n`) })
          )
          assert.deepStrictEqual([error.part, error.line, error.column], [undefined, line, column])
          assert.include(error.message, `line ${line}`)
          assert.notInclude(inspect(error, { depth: 9 }), secret)
        }
        const error = yield* failureOf("MalformedRow")(
          CqlImport.fromStream({ table: "lines", schema: Row, bytes: bytes(csv), format: "csv" })
        )
        assert.deepStrictEqual([error.line, error.column], [4, "k"])
        assert.notInclude(inspect(error, { depth: 9 }), secret)
        // What came before it is written.
        assert.deepStrictEqual(yield* cql`SELECT k, c FROM lines`, [{ k: 1, c: 1 }])
      }))

    it.effect("is given to onFailure, and the import goes on", () =>
      Effect.gen(function*() {
        for (
          const [table, text, format, expected] of [
            ["lines_json", lines.join("\n"), "jsonLines", [[2, "k"], [3, undefined], [4, "c"], [5, "more"]]],
            ["lines_csv", csv, "csv", [[4, "k"], [5, undefined]]]
          ] as const
        ) {
          yield* createTable(table)
          const failures: Array<CqlImport.RowFailure<Row>> = []
          const result = yield* CqlImport.fromStream({
            table,
            schema: Row,
            bytes: bytes(text),
            format,
            onFailure: (failure) => Effect.sync(() => void failures.push(failure))
          })
          assert.deepStrictEqual(result, { rows: 2, notWritten: expected.length })
          assert.deepStrictEqual(
            failures.map(({ error: { reason }, line, part, row }) => {
              assert.deepStrictEqual([part, row, reason._tag], [undefined, undefined, "MalformedRow"])
              return [line, reason._tag === "MalformedRow" ? reason.column : "?"]
            }),
            expected as never
          )
          assert.deepStrictEqual(yield* cql`SELECT k, c FROM ${cql.ident(table)}`, [{ k: 1, c: 1 }, { k: 1, c: 3 }])
        }
      }))

    it.effect("of CSV whose quotes are wrong ends the import in any case, for nobody knows where the next one is", () =>
      Effect.gen(function*() {
        yield* createTable("quotes")
        const { line } = yield* failureOf("MalformedRow")(
          CqlImport.fromStream({
            table: "quotes",
            schema: Row,
            bytes: bytes("k,c,v\n1,1,a\n1,2,\"b\n1,3,c\n"),
            format: "csv",
            onFailure: () => Effect.void
          })
        )
        assert.strictEqual(line, 3)
      }))

    it.effect("is told with its part, of a directory", () =>
      Effect.gen(function*() {
        yield* createTable("parts")
        yield* createTable("parts_copy")
        yield* Stream.fromIterable(someRows(300)).pipe(
          CqlStream.write({ table: "parts", schema: Row }),
          Stream.runDrain
        )
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "parts", schema: Row, path })
        const Strict = Schema.Struct({ ...Row.fields, c: CqlType.Int.check(Schema.isLessThan(299)) })
        const error = yield* failureOf("MalformedRow")(
          CqlImport.fromDirectory({ table: "parts_copy", schema: Strict, path })
        )
        const lines = Fs.readFileSync(join(path, error.part!), "utf8").split("\n")
        assert.include(lines[error.line - 1], "\"c\":299")
        assert.include(error.message, error.part!)
      }))
  })

  describe("a row that is not written", () => {
    const rows = [{ k: 1, c: 0, v: "a" }, refusedByServer, { k: 2, c: 2, v: "b" }]
    const text = jsonLines(rows)

    it.effect("ends the import", () =>
      Effect.gen(function*() {
        yield* createTable("ended")
        const reason = yield* failureOf("RowNotWritten")(
          CqlImport.fromStream({ table: "ended", schema: Row, bytes: bytes(text, 1_000_000) })
        )
        assert.strictEqual(reason.line, 2)
        assert.instanceOf(reason.error, CqlError)
        assert.notInclude(inspect(reason, { depth: 9 }), "xxxx")
      }))

    it.effect("is given to onFailure with its line, and the others are written", () =>
      Effect.gen(function*() {
        yield* createTable("passed_on")
        const failures: Array<CqlImport.RowFailure<Row>> = []
        const result = yield* CqlImport.fromStream({
          table: "passed_on",
          schema: Row,
          bytes: bytes(text, 1_000_000),
          onFailure: (failure) => Effect.sync(() => void failures.push(failure))
        })
        assert.deepStrictEqual(result, { rows: 2, notWritten: 1 })
        const [{ error, line, row }] = failures as [CqlImport.RowFailure<Row>]
        assert.deepStrictEqual([line, row, error.reason._tag], [2, refusedByServer, "RowNotWritten"])
        assert.deepStrictEqual(yield* contentOf("passed_on"), sorted([rows[0]!, rows[2]!]))
      }))

    it.effect("for an outage ends the import, also with onFailure, and none is passed over", () =>
      Effect.gen(function*() {
        yield* createTable("outage")
        const checkpoints: Array<string> = []
        const reason = yield* failureOf("RowNotWritten")(
          CqlImport.fromStream({
            table: "outage",
            schema: Row,
            bytes: bytes(jsonLines(someRows(20))),
            onFailure: () => Effect.die("the row is good"),
            onCheckpoint: (checkpoint) => Effect.sync(() => void checkpoints.push(checkpoint))
          }).pipe(Statement.provideOptions({ consistency: "three" }))
        )
        assert.strictEqual(reason.error.reason._tag, "Unavailable")
        assert.deepStrictEqual(checkpoints, [])
      }))

    it.effect("ends the import with what onFailure fails with", () =>
      Effect.gen(function*() {
        yield* createTable("own_failure")
        const error = yield* Effect.flip(CqlImport.fromStream({
          table: "own_failure",
          schema: Row,
          bytes: bytes(text, 1_000_000),
          onFailure: ({ line }) => Effect.fail({ line })
        }))
        assert.deepStrictEqual(error as unknown, { line: 2 })
      }))
  })

  describe("that ends in the middle can be gone on with, and no row is lost,", () => {
    const rows = someRows(3000)

    const half = { checkpointRows: 50, concurrency: 4, maxBatchRows: 5 } as const

    for (const format of ["jsonLines", "csv"] as const) {
      it.effect(`of a stream of ${format}`, () =>
        Effect.gen(function*() {
          const table = `resumed_${format.toLowerCase()}`
          yield* createTable("source").pipe(Effect.ignore)
          yield* createTable(table)
          yield* Stream.fromIterable(rows).pipe(CqlStream.write({ table: "source", schema: Row }), Stream.runDrain)
          const text = yield* Stream.mkString(
            Stream.decodeText(CqlExport.toStream({ table: "source", schema: Row, format }))
          )
          let from: string | undefined
          let rounds = 0
          let total = 0
          let isDone = false
          while (!isDone && rounds++ < 50) {
            let told = 0
            const latch = yield* Latch.make(false)
            const fiber = yield* CqlImport.fromStream({
              table,
              schema: Row,
              bytes: bytes(text, 501),
              format,
              ...half,
              from,
              onCheckpoint: (checkpoint) => {
                from = checkpoint
                return ++told === 5 ? Effect.andThen(latch.open, Effect.never) : Effect.void
              }
            }).pipe(Effect.forkChild)
            yield* Effect.raceFirst(latch.await, Fiber.await(fiber))
            yield* Fiber.interrupt(fiber)
            const exit = yield* Fiber.await(fiber)
            isDone = exit._tag === "Success"
            if (exit._tag === "Success") total = exit.value.rows
          }
          assert.isAbove(rounds, 2)
          // The last one wrote what was left, and not all.
          assert.isBelow(total, 1500)
          assert.deepStrictEqual(yield* contentOf(table), sorted(rows))
          const again = yield* CqlImport.fromStream({ table, schema: Row, bytes: bytes(text), format, from })
          assert.deepStrictEqual(again, { rows: 0, notWritten: 0 })
        }))
    }

    it.effect("of a directory of several parts", () =>
      Effect.gen(function*() {
        yield* createTable("parts_source")
        yield* createTable("parts_target")
        yield* Stream.fromIterable(rows).pipe(CqlStream.write({ table: "parts_source", schema: Row }), Stream.runDrain)
        const path = yield* newPath
        const { parts } = yield* CqlExport.toDirectory({ table: "parts_source", schema: Row, path, format: "csv" })
          .pipe(
            Statement.provideOptions({ pageSize: 20 })
          )
        const checkpoint = join(path, "import.json")
        const given = { table: "parts_target", schema: Row, path, checkpoint, ...half } as const
        let rounds = 0
        let isDone = false
        while (!isDone && rounds++ < 50) {
          const latch = yield* Latch.make(false)
          let told = 0
          const stopping = Layer.effect(
            FileSystem.FileSystem,
            Effect.map(FileSystem.FileSystem, (files) =>
              FileSystem.FileSystem.of({
                ...files,
                rename: (from, to) =>
                  Effect.andThen(
                    files.rename(from, to),
                    ++told === 5 ? Effect.andThen(latch.open, Effect.never) : Effect.void
                  )
              }))
          )
          const fiber = yield* CqlImport.fromDirectory(given).pipe(Effect.provide(stopping), Effect.forkChild)
          yield* Effect.raceFirst(latch.await, Fiber.await(fiber))
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          isDone = exit._tag === "Success"
          if (exit._tag === "Success") assert.isBelow(exit.value.rows, 1500)
          else assert.isTrue(Fs.existsSync(checkpoint))
        }
        assert.isAbove(rounds, 2)
        assert.isAbove(parts.length, 1)
        assert.isFalse(Fs.existsSync(checkpoint))
        assert.deepStrictEqual(yield* contentOf("parts_target"), sorted(rows))
      }))

    it.effect("and a checkpoint of another import is refused", () =>
      Effect.gen(function*() {
        yield* createTable("one")
        yield* createTable("other")
        const text = jsonLines(rows.slice(0, 10))
        let from = ""
        const given = { table: "one", schema: Row, bytes: bytes(text) }
        yield* CqlImport.fromStream({
          ...given,
          onCheckpoint: (checkpoint) =>
            Effect.sync(() => {
              from = checkpoint
            })
        })
        const Other = Schema.Struct({ k: CqlType.Int, c: CqlType.Int })
        yield* failureOf("OtherCheckpoint")(CqlImport.fromStream({ ...given, from, table: "other" }))
        yield* failureOf("OtherCheckpoint")(CqlImport.fromStream({ ...given, from, format: "csv" }))
        yield* failureOf("OtherCheckpoint")(CqlImport.fromStream({ ...given, from: "nonsense" }))
        yield* failureOf("OtherCheckpoint")(CqlImport.fromStream({ ...given, from, schema: Other }))
      }))

    it.effect("and no checkpoint is ahead of a row that is not dealt with", () =>
      Effect.gen(function*() {
        yield* createTable("behind")
        // The first row takes long, for nobody knows what to do with it; all others are written meanwhile.
        const first = { k: 1000, c: 0, v: refusedByServer.v }
        const text = jsonLines([first, ...rows.slice(0, 400)])
        const latch = yield* Latch.make(false)
        const checkpoints: Array<string> = []
        const fiber = yield* CqlImport.fromStream({
          table: "behind",
          schema: Row,
          bytes: bytes(text, 1_000_000),
          checkpointRows: 10,
          onCheckpoint: (checkpoint) => Effect.sync(() => void checkpoints.push(checkpoint)),
          onFailure: () => Effect.andThen(latch.open, Effect.never)
        }).pipe(Effect.forkChild)
        yield* Effect.raceFirst(latch.await, Fiber.await(fiber))
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(checkpoints, [])
      }))
  })

  it.effect("tells how far it is", () =>
    Effect.gen(function*() {
      yield* createTable("told")
      yield* createTable("told_copy")
      yield* Stream.fromIterable(someRows(200)).pipe(CqlStream.write({ table: "told", schema: Row }), Stream.runDrain)
      const path = yield* newPath
      const { parts } = yield* CqlExport.toDirectory({ table: "told", schema: Row, path })
      const totalBytes = parts.reduce((sum, part) => sum + part.bytes, 0)
      const told: Array<CqlImport.Progress> = []
      yield* CqlImport.fromDirectory({
        table: "told_copy",
        schema: Row,
        path,
        onProgress: (progress) => Effect.sync(() => void told.push(progress))
      })
      assert.deepStrictEqual(told.at(-1), { rows: 200, notWritten: 0, bytes: totalBytes, totalBytes })
      let bytesRead = 0
      const text = jsonLines(someRows(10))
      yield* CqlImport.fromStream({
        table: "told_copy",
        schema: Row,
        bytes: bytes(text),
        onProgress: ({ bytes, totalBytes }) =>
          Effect.sync(() => {
            assert.isUndefined(totalBytes)
            bytesRead = bytes
          })
      })
      assert.strictEqual(bytesRead, Buffer.byteLength(text))
    }))
})
