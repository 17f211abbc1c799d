/**
 * The tables of the bench of growth: rows of many columns, and many rows. Filled once.
 */
import { cql, CqlStream, CqlType } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { keyspace, type Reading, readingOf, ReadingStruct } from "./tables.ts"

// -----------------------------------------------------------------------------
// Many columns
// -----------------------------------------------------------------------------

export const widest = 100

export const wideRows = 10_000

const wideTable = `${keyspace}.wide`

const types: ReadonlyArray<{
  readonly cql: string
  readonly schema: Schema.Codec<any, any>
  readonly value: (row: number) => unknown
}> = [
  { cql: "int", schema: CqlType.Int, value: (row) => row },
  { cql: "text", schema: Schema.String, value: (row) => `text ${row}` },
  { cql: "double", schema: CqlType.Double, value: (row) => row / 7 },
  { cql: "timestamp", schema: CqlType.Timestamp, value: (row) => new Date(row * 1000) }
]

const columns = Array.from({ length: widest }, (_, index) => ({ name: `c${index}`, ...types[index % types.length]! }))

const fieldsOf = (width: number) =>
  Object.fromEntries(columns.slice(0, width).map(({ name, schema }) => [name, schema]))

/** The first of them is an int. */
export const wideSchema = (width: number) =>
  Schema.Struct(fieldsOf(width)) as unknown as Schema.Codec<{ readonly c0: number }, object>

export const selectWide = (width: number): string =>
  `SELECT ${columns.slice(0, width).map(({ name }) => name).join(", ")} FROM ${wideTable}`

const wideRow = (index: number) => ({
  part: Math.floor(index / 500),
  row: index % 500,
  ...Object.fromEntries(columns.map(({ name, value }) => [name, value(index)]))
})

export const fillWide = Effect.gen(function*() {
  const declared = columns.map(({ cql, name }) => `${name} ${cql}`).join(", ")
  yield* cql`CREATE TABLE IF NOT EXISTS ${cql.unsafe(wideTable)} (
    part int, row int, ${cql.unsafe(declared)}, PRIMARY KEY (part, row))`
  if ((yield* CqlStream.count({ table: wideTable })) === BigInt(wideRows)) return
  const schema = Schema.Struct({ part: CqlType.Int, row: CqlType.Int, ...fieldsOf(widest) })
  const rows = Stream.map(Stream.range(0, wideRows - 1), wideRow)
  yield* Stream.run(rows, CqlStream.sink({ table: wideTable, schema }))
})

// -----------------------------------------------------------------------------
// Many rows
// -----------------------------------------------------------------------------

export const longest = 1_000_000

const longTable = `${keyspace}.long`

export const selectLong = `SELECT sensor, at, place, value, sequence FROM ${longTable} LIMIT ?`

const ofPartition = 1000

const longPartition = (sensor: number): ReadonlyArray<Reading> =>
  Array.from({ length: ofPartition }, (_, index) => readingOf(sensor, index))

export const fillLong = Effect.gen(function*() {
  yield* cql`CREATE TABLE IF NOT EXISTS ${cql.unsafe(longTable)} (
    sensor int, at timestamp, place text, value double, sequence bigint, PRIMARY KEY (sensor, at))`
  if ((yield* CqlStream.count({ table: longTable })) === BigInt(longest)) return
  const rows = Stream.flatMap(
    Stream.range(0, longest / ofPartition - 1),
    (sensor) => Stream.fromIterable(longPartition(sensor))
  )
  yield* Stream.run(rows, CqlStream.sink({ table: longTable, schema: ReadingStruct }))
})
