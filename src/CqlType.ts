/**
 * A Schema for every CQL type, to declare the rows of a table with.
 *
 * Each one is plain on both sides: what the database's driver reads is what the program holds, so that a class of them
 * serves a row, an HTTP API and a test alike. Each one also carries its CQL type as the annotation `cqlType`, which is
 * compared with the type that the server declares, once for a statement: a column of another type is one clear error
 * before a row is read, and where the two agree no row is looked at again.
 *
 * - what JavaScript has a value for is that value: `bigint`, `counter` and `varint` are a `bigint`, `timestamp` is a
 *   `Date`, `blob` a `Uint8Array`, `set` and `map` are a `Set` and a `Map`
 * - what it has none for is a string, as CQL writes it: `uuid`, `timeuuid`, `inet`, `date` and `time`
 * - `decimal` is Effect's `BigDecimal`, and `duration` is an object of its three parts
 *
 * What the program would rather hold is a transformation away: see {@link Timestamp} for a `DateTime.Utc`.
 *
 * Null is a value, and unset is none. A column that can be null says so with {@link Nullable}. A parameter that is
 * `undefined` is unset: the column keeps what it has, where `null` would delete it. A row has nothing that is unset.
 *
 * Effect's own schemas work as well, wherever they are plain too: `Schema.String` reads `text`, `Schema.BigInt` reads
 * `bigint`, `Schema.Date` reads `timestamp`. They say less, so less is checked.
 *
 * **Example** (Declaring the rows of a table)
 *
 * ```ts
 * import { CqlType } from "effect-cassandra"
 * import * as Schema from "effect/Schema"
 *
 * class User extends Schema.Class<User>("User")({
 *   id: CqlType.Uuid,
 *   name: Schema.String,
 *   visits: CqlType.BigInt,
 *   tags: CqlType.Set(CqlType.Text),
 *   joined: CqlType.Timestamp,
 *   left: CqlType.Nullable(CqlType.Timestamp)
 * }) {}
 * ```
 *
 * @module CqlType
 * @since 0.1.0
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { formatDecimal, isDateInRange, isFloat, parseDate, parseInet, parseTime } from "./internal/codec/text.ts"
import * as TimeUuids from "./internal/timeuuid.ts"

/**
 * The CQL types that a schema can be annotated with.
 *
 * **Example** (Saying the CQL type of a schema of your own)
 *
 * ```ts
 * import * as Schema from "effect/Schema"
 *
 * const UserId = Schema.String.annotate({ cqlType: "timeuuid" }).pipe(Schema.brand("UserId"))
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type Name =
  | "ascii"
  | "bigint"
  | "blob"
  | "boolean"
  | "counter"
  | "date"
  | "decimal"
  | "double"
  | "duration"
  | "float"
  | "inet"
  | "int"
  | "list"
  | "map"
  | "set"
  | "smallint"
  | "text"
  | "time"
  | "timestamp"
  | "timeuuid"
  | "tinyint"
  | "tuple"
  | "udt"
  | "uuid"
  | "varint"
  | "vector"

declare module "effect/Schema" {
  namespace Annotations {
    interface Annotations {
      /** The CQL type of the column that the schema is for. */
      readonly cqlType?: Name | undefined
    }
  }
}

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

/**
 * The schema of `text` and `varchar` columns, as strings.
 *
 * **Gotchas**
 *
 * A string with half of a surrogate pair has no UTF-8 form, and is refused.
 *
 * @category text
 * @since 0.1.0
 */
export const Text: Schema.String = Schema.String.check(
  Schema.makeFilter((text) => text.isWellFormed(), {
    cqlType: "text",
    expected: "a string without half of a surrogate pair",
    representation: { id: "effect-cassandra/isWellFormed", payload: null }
  })
)

/**
 * The schema of `varchar` columns: the same as {@link Text}, for `varchar` is another name of `text`.
 *
 * @category text
 * @since 0.1.0
 */
export const VarChar: Schema.String = Text

/**
 * The schema of `ascii` columns, as strings of ASCII characters.
 *
 * @category text
 * @since 0.1.0
 */
export const Ascii: Schema.String = Schema.String.check(Schema.isAscii({ cqlType: "ascii" }))

/**
 * The schema of `uuid` columns, as strings.
 *
 * **Details**
 *
 * Rows have them in lower case; parameters may be of any case. Every version is accepted. As strings they are keys of a
 * `Map`, parts of a URL and JSON as they are, and two of them are compared with `===`.
 *
 * @category text
 * @since 0.1.0
 */
export const Uuid: Schema.String = Schema.String.check(
  Schema.isGUID({ cqlType: "uuid", expected: "a UUID", toJsonSchema: () => ({ format: "uuid" }) })
)

/**
 * The schema of `timeuuid` columns, as strings: UUIDs of version 1, which are ordered by their time.
 *
 * **Gotchas**
 *
 * As strings they are not in the order of their time; let the server order them.
 *
 * @see {@link timeUuid} to make one
 * @see {@link timeUuidDate} for the time of one
 * @category text
 * @since 0.1.0
 */
export const TimeUuid: Schema.String = Schema.String.check(
  Schema.isPattern(TimeUuids.form, {
    cqlType: "timeuuid",
    expected: "a UUID of version 1",
    representation: { id: "effect-cassandra/isTimeUuid", payload: null }
  })
)

/**
 * The schema of `inet` columns, as strings: an IPv4 address, or an IPv6 address in its shortest form.
 *
 * **Details**
 *
 * A string is what Node's own modules take and give. Parameters may be in any form of an address; a name is none.
 *
 * @category text
 * @since 0.1.0
 */
export const Inet: Schema.String = Schema.String.check(
  Schema.makeFilter((text) => parseInet(text) !== undefined, {
    cqlType: "inet",
    expected: "an IP address",
    representation: { id: "effect-cassandra/isInet", payload: null },
    arbitraryConstraint: {
      patterns: [{ source: "^(25[0-5]|1[0-9]{2}|[1-9]?[0-9])(\\.(25[0-5]|1[0-9]{2}|[1-9]?[0-9])){3}$", flags: "" }]
    }
  })
)

// -----------------------------------------------------------------------------
// Numbers
// -----------------------------------------------------------------------------

/**
 * The schema of `tinyint` columns, as numbers: the whole numbers of 8 bits.
 *
 * @category numbers
 * @since 0.1.0
 */
export const TinyInt: Schema.Number = Schema.Number.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: -128, maximum: 127 }, { cqlType: "tinyint", expected: "an 8-bit integer" })
)

/**
 * The schema of `smallint` columns, as numbers: the whole numbers of 16 bits.
 *
 * @category numbers
 * @since 0.1.0
 */
export const SmallInt: Schema.Number = Schema.Number.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: -32768, maximum: 32767 }, { cqlType: "smallint", expected: "a 16-bit integer" })
)

/**
 * The schema of `int` columns, as numbers: the whole numbers of 32 bits.
 *
 * @category numbers
 * @since 0.1.0
 */
export const Int: Schema.Number = Schema.Number.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: -2147483648, maximum: 2147483647 }, { cqlType: "int", expected: "a 32-bit integer" })
)

const longRange = { minimum: -(2n ** 63n), maximum: 2n ** 63n - 1n }

/**
 * The schema of `bigint` columns, as bigints of 64 bits.
 *
 * @category numbers
 * @since 0.1.0
 */
export const BigInt: Schema.BigInt = Schema.BigInt.check(
  Schema.isBetweenBigInt(longRange, { cqlType: "bigint", expected: "a 64-bit integer" })
)

/**
 * The schema of `counter` columns, as bigints of 64 bits: a number would be wrong beyond 2^53.
 *
 * **Gotchas**
 *
 * A counter cannot be written, only added to and taken from: ``cql`UPDATE pages SET views = views + ${1n} ...` ``. One
 * that was never counted is null.
 *
 * @category numbers
 * @since 0.1.0
 */
export const Counter: Schema.BigInt = Schema.BigInt.check(
  Schema.isBetweenBigInt(longRange, { cqlType: "counter", expected: "a 64-bit integer" })
)

/**
 * The schema of `varint` columns, as bigints of any size.
 *
 * @category numbers
 * @since 0.1.0
 */
export const VarInt: Schema.BigInt = Schema.BigInt.annotate({ cqlType: "varint" })

/**
 * The schema of `float` columns, as numbers.
 *
 * **Gotchas**
 *
 * The column keeps 24 bits of precision: `0.1` comes back as `0.10000000149011612`. A number beyond some `3.4e38`, which
 * would become an infinite one, is refused.
 *
 * @category numbers
 * @since 0.1.0
 */
export const Float: Schema.Number = Schema.Number.check(
  Schema.makeFilter(isFloat, {
    cqlType: "float",
    expected: "a number in the range of a 32-bit float",
    representation: { id: "effect-cassandra/isFloat", payload: null }
  })
)

/**
 * The schema of `double` columns, as numbers, among them `NaN` and the infinities.
 *
 * @category numbers
 * @since 0.1.0
 */
export const Double: Schema.Number = Schema.Number.annotate({ cqlType: "double" })

/**
 * The schema of `decimal` columns, as Effect's `BigDecimal`.
 *
 * **Details**
 *
 * The scale is kept as it was written: `1.50` stays apart from `1.5`, though they are equal. JSON made by
 * `Schema.toCodecJson` keeps it too.
 *
 * @category numbers
 * @since 0.1.0
 */
export const Decimal: Schema.BigDecimal = Schema.BigDecimal.annotate({
  cqlType: "decimal",
  toCodecJson: () => Schema.link<BigDecimal.BigDecimal>()(Schema.String, decimalFromText)
})

const decimalFromText = SchemaTransformation.transformEffect<BigDecimal.BigDecimal, string>({
  decode: (text) =>
    Option.match(BigDecimal.fromString(text), {
      onNone: () => Effect.fail(new SchemaIssue.InvalidValue({ message: "Expected a decimal number" })),
      onSome: Effect.succeed
    }),
  encode: (decimal) => Effect.succeed(formatDecimal(decimal))
})

// -----------------------------------------------------------------------------
// Other single values
// -----------------------------------------------------------------------------

/**
 * The schema of `boolean` columns.
 *
 * @category other values
 * @since 0.1.0
 */
const boolean: Schema.Boolean = Schema.Boolean.annotate({ cqlType: "boolean" })

/**
 * The schema of `blob` columns, as a `Uint8Array`.
 *
 * **Details**
 *
 * The bytes are a copy of their own: to keep them does not keep the page that they came in. A `Buffer` is accepted as a
 * parameter.
 *
 * @category other values
 * @since 0.1.0
 */
export const Blob: Schema.Uint8Array = Schema.Uint8Array.annotate({ cqlType: "blob" })

// -----------------------------------------------------------------------------
// Dates and times
// -----------------------------------------------------------------------------

/**
 * The schema of `timestamp` columns, as a `Date`, which has the same precision of a millisecond.
 *
 * **Details**
 *
 * A `DateTime.Utc` is a transformation away: `Schema.DateTimeUtcFromDate` decodes one from what this schema reads, and is
 * compared with the type of the column too. A parameter may be either.
 *
 * **Gotchas**
 *
 * Cassandra keeps times that a `Date` cannot hold, some 270,000 years away; a row with one fails.
 *
 * **Example** (A timestamp as a DateTime.Utc)
 *
 * ```ts
 * import { cql, CqlType } from "effect-cassandra"
 * import * as DateTime from "effect/DateTime"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * class Visit extends Schema.Class<Visit>("Visit")({
 *   id: CqlType.TimeUuid,
 *   began: Schema.DateTimeUtcFromDate,
 *   ended: CqlType.Nullable(Schema.DateTimeUtcFromDate)
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const began = yield* DateTime.now
 *   yield* cql`INSERT INTO visits ${cql.insert({ id: yield* CqlType.timeUuid, began, ended: null })}`
 *   const visits = yield* cql(Visit)`SELECT * FROM visits`
 *   return visits.map((visit) => DateTime.formatIso(visit.began))
 * })
 * ```
 *
 * @category dates and times
 * @since 0.1.0
 */
export const Timestamp: Schema.Date = Schema.Date.annotate({ cqlType: "timestamp" })

const isDate = (text: string): boolean => {
  const days = parseDate(text)
  return days !== undefined && isDateInRange(days)
}

/**
 * The schema of `date` columns, as strings `YYYY-MM-DD`.
 *
 * **Details**
 *
 * A date has no time zone, which a `Date` of JavaScript would need, and reaches further than one, some 5.8 million years
 * either way. Years beyond four digits have a sign, as ISO 8601 has it: `+12345-06-07`.
 *
 * @category dates and times
 * @since 0.1.0
 */
const date: Schema.String = Schema.String.check(
  Schema.makeFilter(isDate, {
    cqlType: "date",
    expected: "a date YYYY-MM-DD",
    representation: { id: "effect-cassandra/isDate", payload: null },
    toJsonSchema: () => ({ format: "date" }),
    arbitraryConstraint: { patterns: [{ source: "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$", flags: "" }] }
  })
)

/**
 * The schema of `time` columns, as strings `HH:MM:SS.nnnnnnnnn`.
 *
 * **Details**
 *
 * A time of day is on no day, and has nanoseconds, which a `Date` has not. Rows have all nine digits of them, so that as
 * strings they are in the order of their time; parameters may have fewer, or none.
 *
 * @category dates and times
 * @since 0.1.0
 */
export const Time: Schema.String = Schema.String.check(
  Schema.makeFilter((text) => parseTime(text) !== undefined, {
    cqlType: "time",
    expected: "a time HH:MM:SS.nnnnnnnnn",
    representation: { id: "effect-cassandra/isTime", payload: null },
    arbitraryConstraint: {
      patterns: [{ source: "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{9}$", flags: "" }]
    }
  })
)

/**
 * The type of {@link Duration}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Duration extends
  Schema.Struct<{
    readonly months: Schema.Number
    readonly days: Schema.Number
    readonly nanoseconds: Schema.BigInt
  }>
{}

/**
 * The schema of `duration` columns, as `{ months, days, nanoseconds }`.
 *
 * **Details**
 *
 * The three are kept apart because a month is not always as long, nor is a day where clocks change. So it is no
 * `Duration` of Effect's, which is a length of time.
 *
 * **Gotchas**
 *
 * The three must not have different signs. Durations have no order, so Cassandra takes none into a primary key.
 *
 * @category dates and times
 * @since 0.1.0
 */
export const Duration: Duration = Schema.Struct({ months: Int, days: Int, nanoseconds: BigInt }).annotate({
  cqlType: "duration"
})

// -----------------------------------------------------------------------------
// Time UUIDs
// -----------------------------------------------------------------------------

/**
 * Makes a new `timeuuid` of now, as `now()` of CQL does, but before the row is sent.
 *
 * **Details**
 *
 * Its time is that of the `Clock`. Each one is later than all that this process has made before: within a millisecond, or
 * while the clock stands still or is behind, by a tick of 100 nanoseconds. So rows that are clustered by it are in the
 * order in which they were made. The clock sequence and the node are random, once for the process.
 *
 * **Gotchas**
 *
 * All fibers share this order. A `Clock` that is behind what the process has made already, as a `TestClock` is after one of
 * the real time, gives the time of the last one and not its own; {@link timeUuidAt} has the time that it is given.
 *
 * A `Clock` outside of 1582-10-15 to 5236-03-31, which is what a timeuuid can hold, is a `RangeError` as a defect.
 *
 * **Example** (Events in the order in which they were made)
 *
 * ```ts
 * import { cql, CqlType } from "effect-cassandra"
 * import * as Effect from "effect/Effect"
 *
 * const record = Effect.fn("record")(function*(user: string, event: string) {
 *   const id = yield* CqlType.timeUuid
 *   yield* cql`INSERT INTO events ${cql.insert({ user, id, event })}`
 *   return id
 * })
 * ```
 *
 * @category time UUIDs
 * @since 0.1.0
 */
export const timeUuid: Effect.Effect<string> = Effect.clockWith((clock) =>
  Effect.sync(() => TimeUuids.next(clock.currentTimeMillisUnsafe()))
)

/**
 * Makes a new `timeuuid` of a given time, for data that has its time already.
 *
 * **Details**
 *
 * The clock sequence and the node are random each time. Two of one time are two, as two events of one millisecond have to
 * be: were they equal, the second row would overwrite the first. Which of the two comes first is chance.
 *
 * **Gotchas**
 *
 * An invalid date, or one outside of 1582-10-15 to 5236-03-31, is a `RangeError` as a defect.
 *
 * @category time UUIDs
 * @since 0.1.0
 */
export const timeUuidAt = (date: globalThis.Date): Effect.Effect<string> => Effect.sync(() => TimeUuids.at(date))

/**
 * The time of a `timeuuid`, rounded down to the millisecond; none for a text that is not a UUID of version 1.
 *
 * **Gotchas**
 *
 * `toTimestamp()` of CQL rounds towards 1970, so for a time before, which is not a whole millisecond, it says the next one.
 * Rounded down, the time is that of the {@link minTimeUuid} and {@link maxTimeUuid} that it lies between.
 *
 * **Example** (The time of a timeuuid)
 *
 * ```ts
 * import { CqlType } from "effect-cassandra"
 *
 * CqlType.timeUuidDate("50554d6e-29bb-11e5-b345-feff819cdc9f") // Option.some(2015-07-14T00:00:18.805Z)
 * CqlType.timeUuidDate("0badc0de-1234-4abc-8def-00ff10a5b6c7") // Option.none(), for it is of version 4
 * ```
 *
 * @category time UUIDs
 * @since 0.1.0
 */
export const timeUuidDate = (uuid: string): Option.Option<globalThis.Date> =>
  Option.fromUndefinedOr(TimeUuids.dateOf(uuid))

/**
 * The smallest `timeuuid` of a millisecond, as `minTimeuuid()` of CQL: for the conditions of a range, and never for a row.
 *
 * **Gotchas**
 *
 * An invalid date, or one outside of 1582-10-15 to 5236-03-31, throws a `RangeError`; the server would wrap it around to
 * another time.
 *
 * **Example** (The events of a day)
 *
 * ```ts
 * import { cql, CqlType } from "effect-cassandra"
 *
 * const eventsOf = (user: string, day: Date, nextDay: Date) =>
 *   cql`SELECT * FROM events WHERE user = ${user}
 *     AND id >= ${CqlType.minTimeUuid(day)} AND id < ${CqlType.minTimeUuid(nextDay)}`
 * ```
 *
 * @category time UUIDs
 * @since 0.1.0
 */
export const minTimeUuid = (date: globalThis.Date): string => TimeUuids.min(date)

/**
 * The largest `timeuuid` of a millisecond, as `maxTimeuuid()` of CQL: for the conditions of a range, and never for a row.
 *
 * **Gotchas**
 *
 * An invalid date, or one outside of 1582-10-15 to 5236-03-31, throws a `RangeError`; the server would wrap it around to
 * another time.
 *
 * @see {@link minTimeUuid} for an example
 * @category time UUIDs
 * @since 0.1.0
 */
export const maxTimeUuid = (date: globalThis.Date): string => TimeUuids.max(date)

// -----------------------------------------------------------------------------
// Collections
// -----------------------------------------------------------------------------

/**
 * The schema of `list` columns, as arrays.
 *
 * **Details**
 *
 * Cassandra keeps no difference between an empty collection and none. Without {@link Nullable} a column without elements
 * is the empty array, and with it `null`.
 *
 * @category collections
 * @since 0.1.0
 */
export const List = <Element extends Schema.Constraint>(element: Element): Schema.$Array<Element> =>
  Schema.Array(element).annotate({ cqlType: "list" })

/**
 * The schema of `set` columns, as a `ReadonlySet`.
 *
 * **Details**
 *
 * A column without elements is the empty set, or `null` with {@link Nullable}. A parameter may also be an array.
 *
 * **Gotchas**
 *
 * A `Set` of JavaScript tells objects apart by identity, so dates and blobs in it are found only by going through it. It
 * has no `-0` beside `0`, which a set of doubles has.
 *
 * @category collections
 * @since 0.1.0
 */
const set = <Element extends Schema.Constraint>(element: Element): Schema.$ReadonlySet<Element> =>
  Schema.ReadonlySet(element).annotate({ cqlType: "set" })

/**
 * The schema of `map` columns, as a `ReadonlyMap`.
 *
 * **Details**
 *
 * A column without entries is the empty map, or `null` with {@link Nullable}. A parameter for a map with text keys may
 * also be a plain object.
 *
 * @category collections
 * @since 0.1.0
 */
const map = <Key extends Schema.Constraint, Value extends Schema.Constraint>(
  key: Key,
  value: Value
): Schema.$ReadonlyMap<Key, Value> => Schema.ReadonlyMap(key, value).annotate({ cqlType: "map" })

/**
 * The schema of `vector` columns, as arrays of the given length.
 *
 * @category collections
 * @since 0.1.0
 */
export const Vector = <Element extends Schema.Constraint>(
  element: Element,
  dimension: number
): Schema.$Array<Element> =>
  Schema.Array(element).check(Schema.isBetweenLength(dimension, dimension, { cqlType: "vector" }))

/**
 * The schema of `tuple` columns, as arrays with a type for each place.
 *
 * **Gotchas**
 *
 * Any element of a tuple can be null in the database; say so with {@link Nullable} where yours can.
 *
 * @category collections
 * @since 0.1.0
 */
export const Tuple = <const Elements extends ReadonlyArray<Schema.Constraint>>(
  elements: Elements
): Schema.Tuple<Elements> => Schema.Tuple(elements).annotate({ cqlType: "tuple" })

/**
 * The schema of a user defined type, as an object of its fields.
 *
 * **Details**
 *
 * Fields of the type that are not named are left out.
 *
 * **Gotchas**
 *
 * A column that is not frozen and has nothing but null fields is itself null when it is read.
 *
 * Any field can be null in the database, among them those that were added to the type after a row was written; say so with
 * {@link Nullable} where yours can.
 *
 * **Example** (Reading a user defined type)
 *
 * ```ts
 * import { CqlType } from "effect-cassandra"
 *
 * // CREATE TYPE address (street text, number int)
 * const Address = CqlType.UserDefined({
 *   street: CqlType.Nullable(CqlType.Text),
 *   number: CqlType.Nullable(CqlType.Int)
 * })
 * ```
 *
 * @category collections
 * @since 0.1.0
 */
export const UserDefined = <const Fields extends Schema.Struct.Fields>(fields: Fields): Schema.Struct<Fields> =>
  Schema.Struct(fields).annotate({ cqlType: "udt" })

// -----------------------------------------------------------------------------
// Null
// -----------------------------------------------------------------------------

/**
 * The schema of a column that can be null.
 *
 * **Details**
 *
 * Every column that is not part of the primary key can be. A row with null in a column whose schema is not for null fails
 * with a `SchemaError` that names it.
 *
 * A key that may be absent (`Schema.optional`, `Schema.optionalKey`) and is not for null is absent where the column is
 * null. Such a class fits `cql.insert(schema, value)`, which leaves absent columns unset.
 *
 * As a parameter `null` deletes what the column has, and leaves a tombstone. To leave the column alone bind `undefined`,
 * which is unset.
 *
 * @category null
 * @since 0.1.0
 */
export const Nullable = <S extends Schema.Constraint>(schema: S): Schema.NullOr<S> => Schema.NullOr(schema)

// `Boolean`, `Date`, `Set` and `Map` would hide JavaScript's own in this module.
export { boolean as Boolean, date as Date, map as Map, set as Set }
