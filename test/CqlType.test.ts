import { assert, describe, it, vi } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as CqlType from "../src/CqlType.ts"
import { Session } from "../src/index.ts"
import type { Column, ColumnType } from "../src/internal/codec/ColumnType.ts"
import { compileRows } from "../src/internal/codec/Decoder.ts"
import { compileParameters } from "../src/internal/codec/Encoder.ts"
import { column, scalar } from "./internal/codec/support.ts"
import * as Keyspace from "./support/keyspace.ts"

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
  { name: "VarChar", schema: CqlType.VarChar, type: text, good: ["", "ž🐎"], bad: [1, null, "\ud800"] },
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
  {
    name: "Float",
    schema: CqlType.Float,
    type: scalar("float"),
    good: [0.5, Number.NaN, 3.4028234663852886e38, -Infinity],
    bad: ["1", 1n, 3.5e38, -1e39]
  },
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

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const dateOf = (timeuuid: string): Date => Option.getOrThrow(CqlType.timeUuidDate(timeuuid))

/** All 60 bits of its time, which its text has in another order. */
const ticksOf = (timeuuid: string): bigint => {
  const [low, middle, high] = timeuuid.split("-")
  return BigInt(`0x${high!.slice(1)}${middle}${low}`)
}

const assertInOrder = (timeuuids: ReadonlyArray<string>) => {
  const ticks = timeuuids.map(ticksOf)
  for (let i = 1; i < ticks.length; i++) assert.isTrue(ticks[i - 1]! < ticks[i]!, `${i}: ${timeuuids[i]}`)
}

/** Bits that RFC 9562 has for version 1, of which the multicast bit says that the node is random. */
const assertLayout = (timeuuid: string) => {
  assert.match(timeuuid, /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f][13579bdf][0-9a-f]{10}$/)
  assert.isTrue(Schema.is(CqlType.TimeUuid)(timeuuid))
}

/** Sets the clock to a time that this process has made no timeuuid of, and that is later than all that it has made. */
const setLater = Effect.gen(function*() {
  const later = dateOf(yield* CqlType.timeUuid).getTime() + 60_000
  yield* TestClock.setTime(later)
  return later
})

const outside = {
  "no date": Number.NaN,
  "before 1582-10-15": Date.UTC(1582, 9, 15) - 1,
  "beyond 60 bits": 103_072_857_660_684,
  "the last of JavaScript": 8.64e15
}

const assertRangeError = (exit: Exit.Exit<unknown, never>) => {
  assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
  assert.instanceOf(Cause.squash((exit as Exit.Failure<unknown, never>).cause), RangeError)
}

describe("timeUuid", () => {
  it.effect("is a UUID of version 1 of the time of the clock", () =>
    Effect.gen(function*() {
      const now = yield* setLater
      const made = yield* CqlType.timeUuid
      assertLayout(made)
      assert.strictEqual(ticksOf(made), BigInt(now - Date.UTC(1582, 9, 15)) * 10_000n)
      assert.deepStrictEqual(dateOf(made), new Date(now))
    }))

  it.effect("is of the whole millisecond of a clock that says fractions", () =>
    Effect.gen(function*() {
      const now = yield* setLater
      yield* TestClock.setTime(now + 0.7)
      assert.deepStrictEqual(dateOf(yield* CqlType.timeUuid), new Date(now))
    }))

  it.effect("is never the same twice, and later each time, while the clock stands still", () =>
    Effect.gen(function*() {
      const now = yield* setLater
      const made = yield* Effect.forEach(numbered(100_000), () => CqlType.timeUuid)
      assert.strictEqual(new Set(made).size, 100_000)
      assertInOrder(made)
      assert.deepStrictEqual([0, 9_999, 10_000, 99_999].map((i) => dateOf(made[i]!).getTime() - now), [0, 0, 1, 9])
    }))

  it.live("is never the same twice, and later each time, while the clock goes on", () =>
    Effect.gen(function*() {
      const made = yield* Effect.forEach(numbered(100_000), () => CqlType.timeUuid)
      assert.strictEqual(new Set(made).size, 100_000)
      assertInOrder(made)
    }))

  it.effect("is later by a tick while the clock is behind, and has its time again afterwards", () =>
    Effect.gen(function*() {
      const now = yield* setLater
      const made = [yield* CqlType.timeUuid]
      for (const set of [now - 3_600_000, 0, -5, now - 1, now]) {
        yield* TestClock.setTime(set)
        made.push(yield* CqlType.timeUuid)
      }
      yield* TestClock.setTime(now + 1)
      made.push(yield* CqlType.timeUuid)
      assert.deepStrictEqual(
        made.map((timeuuid) => ticksOf(timeuuid) - ticksOf(made[0]!)),
        [0n, 1n, 2n, 3n, 4n, 5n, 10_000n]
      )
    }))

  it.effect("has one clock sequence and node for this process, and another for the next", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* CqlType.timeUuid, yield* CqlType.timeUuid]
      assert.strictEqual(one.slice(19), two.slice(19))
      vi.resetModules()
      const next: typeof CqlType = yield* Effect.promise(() => import("../src/CqlType.ts"))
      const other = yield* next.timeUuid
      assertLayout(other)
      assert.notStrictEqual(other.slice(24), one.slice(24))
    }))

  for (const [what, millis] of Object.entries(outside)) {
    it.effect(`of a clock that says ${what} is a RangeError, and does not disturb those after it`, () =>
      Effect.gen(function*() {
        const now = yield* setLater
        yield* TestClock.setTime(millis)
        assertRangeError(yield* Effect.exit(CqlType.timeUuid))
        yield* TestClock.setTime(now)
        assert.deepStrictEqual(dateOf(yield* CqlType.timeUuid), new Date(now))
      }))
  }
})

describe("timeUuidAt", () => {
  const dates = [0, -1, 1, Date.UTC(2024, 1, 29), Date.UTC(1582, 9, 15), 103_072_857_660_683].map((n) => new Date(n))

  it.effect("has its time, and is of version 1", () =>
    Effect.gen(function*() {
      for (const date of dates) {
        const made = yield* CqlType.timeUuidAt(date)
        assertLayout(made)
        assert.deepStrictEqual(dateOf(made), date)
      }
    }))

  it.effect("is never the same twice", () =>
    Effect.gen(function*() {
      const made = yield* Effect.forEach(numbered(10_000), () => CqlType.timeUuidAt(new Date(0)))
      assert.strictEqual(new Set(made.map((timeuuid) => timeuuid.slice(24))).size, 10_000)
      assert.isAbove(new Set(made.map((timeuuid) => timeuuid.slice(19, 23))).size, 5_000)
    }))

  for (const [what, millis] of Object.entries(outside)) {
    it.effect(`of ${what} is a RangeError as a defect`, () =>
      Effect.gen(function*() {
        assertRangeError(yield* Effect.exit(CqlType.timeUuidAt(new Date(millis))))
      }))
  }
})

describe("timeUuidDate", () => {
  it("is the time of a UUID of version 1, rounded down", () => {
    const date = (timeuuid: string) => dateOf(timeuuid).toISOString()
    // The example of RFC 9562.
    assert.strictEqual(date("C232AB00-9414-11EC-B3C8-9F6BDECED846"), "2022-02-22T19:22:22.000Z")
    assert.strictEqual(date("c232d20f-9414-11ec-b3c8-9f6bdeced846"), "2022-02-22T19:22:22.000Z")
    assert.strictEqual(date("c232d210-9414-11ec-b3c8-9f6bdeced846"), "2022-02-22T19:22:22.001Z")
    assert.strictEqual(date("13813fff-1dd2-11b2-8080-808080808080"), "1969-12-31T23:59:59.999Z")
    assert.strictEqual(date(timeuuid), "2015-07-14T00:00:18.805Z")
    assert.strictEqual(date("00000000-0000-1000-0000-000000000000"), "1582-10-15T00:00:00.000Z")
    assert.strictEqual(date("ffffffff-ffff-1fff-ffff-ffffffffffff"), "5236-03-31T21:21:00.684Z")
  })

  it("is none of anything else", () => {
    const others = ["", "now", uuid, `${timeuuid}0`, `{${timeuuid}}`, timeuuid.replaceAll("-", ""), `${timeuuid}\n`]
    for (const text of others) assert.deepStrictEqual(CqlType.timeUuidDate(text), Option.none(), text)
  })
})

describe("minTimeUuid and maxTimeUuid", () => {
  it("have the date's time", () => {
    for (const date of [new Date(0), new Date(-1), new Date()]) {
      assert.deepStrictEqual(dateOf(CqlType.minTimeUuid(date)), date)
      assert.deepStrictEqual(dateOf(CqlType.maxTimeUuid(date)), date)
      assert.strictEqual(ticksOf(CqlType.maxTimeUuid(date)) - ticksOf(CqlType.minTimeUuid(date)), 9_999n)
    }
  })

  it("throw a RangeError where there is none", () => {
    for (const [what, millis] of Object.entries(outside)) {
      assert.throws(() => CqlType.minTimeUuid(new Date(millis)), RangeError, undefined, what)
      assert.throws(() => CqlType.maxTimeUuid(new Date(millis)), RangeError, undefined, what)
    }
  })
})

describe("a real server", () => {
  it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "120 seconds" })((it) => {
    const dates = [0, -1, 1, Date.UTC(1969, 6, 20), Date.UTC(1582, 9, 15), Date.now(), 103_072_857_660_683]
      .map((millis) => new Date(millis))

    const read = Effect.fnUntraced(function*(timeuuid: string) {
      const { cql } = yield* Session
      return yield* cql`
        SELECT toTimestamp((timeuuid) ${timeuuid}) AS date, toUnixTimestamp((timeuuid) ${timeuuid}) AS millis
        FROM system.local`.one
    })

    it.effect("reads the time of a timeuuid as timeUuidDate does", () =>
      Effect.gen(function*() {
        const made = [
          yield* CqlType.timeUuid,
          CqlType.maxTimeUuid(new Date(1)),
          ...(yield* Effect.forEach(dates, CqlType.timeUuidAt))
        ]
        for (const timeuuid of made) {
          const date = dateOf(timeuuid)
          assert.deepStrictEqual(yield* read(timeuuid), { date, millis: BigInt(date.getTime()) })
        }
      }))

    it.effect("rounds a time before 1970 up, where timeUuidDate rounds it down", () =>
      Effect.gen(function*() {
        const timeuuid = CqlType.maxTimeUuid(new Date(-2))
        assert.deepStrictEqual(yield* read(timeuuid), { date: new Date(-1), millis: -1n })
        assert.deepStrictEqual(dateOf(timeuuid), new Date(-2))
      }))

    it.effect("keeps timeuuids in the order in which they were made", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TABLE made (id int, at timeuuid, PRIMARY KEY (id, at))`
        const made = yield* Effect.forEach(numbered(200), () => CqlType.timeUuid)
        yield* Effect.forEach(made.toReversed(), (at) => cql`INSERT INTO made ${cql.insert({ id: 1, at })}`)
        const rows = yield* cql`SELECT at FROM made WHERE id = 1`
        assert.deepStrictEqual(rows.map(({ at }) => at), made)
      }))

    it.effect("has the same smallest and largest timeuuid of a millisecond", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        for (const date of dates) {
          const { largest, smallest } = yield* cql`
            SELECT minTimeuuid(${date}) AS smallest, maxTimeuuid(${date}) AS largest FROM system.local`.one
          assert.strictEqual(CqlType.minTimeUuid(date), smallest)
          assert.strictEqual(CqlType.maxTimeUuid(date), largest)
        }
      }))

    it.effect("selects the same range between them, whatever the clock sequences and nodes", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TABLE around (id int, at timeuuid, PRIMARY KEY (id, at))`
        const date = new Date("2024-02-29T12:00:00.123Z")
        const millis = [-1, 0, 1].map((by) => new Date(date.getTime() + by))
        const others = [
          "8080-808080808081",
          "80ff-000000000000",
          "ffff-ffffffffffff",
          "0000-000000000000",
          "7f7f-7f7f7f7f7f7e"
        ]
        const inside = [CqlType.minTimeUuid(date), CqlType.maxTimeUuid(date)]
          .flatMap((bound) => [bound, ...others.map((other) => `${bound.slice(0, 18)}-${other}`)])
        const all = [
          ...inside,
          ...millis.flatMap((one) => [CqlType.minTimeUuid(one), CqlType.maxTimeUuid(one)]),
          ...(yield* Effect.forEach([...millis, ...millis], CqlType.timeUuidAt))
        ]
        yield* Effect.forEach(all, (at) => cql`INSERT INTO around ${cql.insert({ id: 1, at })}`)

        const between = yield* cql`SELECT at FROM around WHERE id = 1
          AND at >= ${CqlType.minTimeUuid(date)} AND at <= ${CqlType.maxTimeUuid(date)}`
        const ofThatTime = [...new Set(all)].filter((at) => dateOf(at).getTime() === date.getTime())
        assert.deepStrictEqual(between.map(({ at }) => at).toSorted(), ofThatTime.toSorted())

        for (const operator of ["<", "<=", ">", ">="].map(cql.unsafe)) {
          const byMin = yield* cql`SELECT at FROM around WHERE id = 1 AND at ${operator} ${CqlType.minTimeUuid(date)}`
          const byMax = yield* cql`SELECT at FROM around WHERE id = 1 AND at ${operator} ${CqlType.maxTimeUuid(date)}`
          assert.deepStrictEqual(
            byMin,
            yield* cql`SELECT at FROM around WHERE id = 1 AND at ${operator} minTimeuuid(${date})`
          )
          assert.deepStrictEqual(
            byMax,
            yield* cql`SELECT at FROM around WHERE id = 1 AND at ${operator} maxTimeuuid(${date})`
          )
          assert.isBelow(Math.min(byMin.length, byMax.length), new Set(all).size)
          assert.isAbove(Math.min(byMin.length, byMax.length), 0)
        }
      }))

    it.effect("gives a timestamp as a DateTime.Utc to a schema that says so, and takes one", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        class Visit extends Schema.Class<Visit>("Visit")({
          id: CqlType.TimeUuid,
          began: Schema.DateTimeUtcFromDate,
          ended: CqlType.Nullable(Schema.DateTimeUtcFromDate)
        }) {}
        yield* cql`CREATE TABLE visits (id timeuuid PRIMARY KEY, began timestamp, ended timestamp)`
        const visit = { id: yield* CqlType.timeUuid, began: yield* DateTime.now, ended: null }
        yield* cql`INSERT INTO visits ${cql.insert(visit)}`
        assert.deepStrictEqual(yield* cql(Visit)`SELECT * FROM visits`.one, new Visit(visit))
        const error = yield* Effect.flip(cql(Visit)`SELECT id, id AS began, ended FROM visits`)
        assert.include(error.message, "column \"began\": the schema expects timestamp")
      }))

    it.effect("has the same type for varchar and text", () =>
      Effect.gen(function*() {
        const { cql } = yield* Session
        yield* cql`CREATE TABLE names (id int PRIMARY KEY, name varchar)`
        yield* cql`INSERT INTO names ${cql.insert({ id: 1, name: "Ada" })}`
        const Named = Schema.Struct({ name: CqlType.VarChar })
        assert.deepStrictEqual(yield* cql(Named)`SELECT name FROM names`.one, { name: "Ada" })
      }))
  })
})
