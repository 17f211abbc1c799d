/** Columns, and bytes written out by hand: what the codec is measured against shares nothing with it. */
import type { Column, ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import * as Protocol from "../../support/protocol.ts"

export const column = (name: string, type: ColumnType | Exclude<ColumnType, object> | string): Column => ({
  keyspace: "shop",
  table: "things",
  name,
  type: typeof type === "string" ? { type: type as "int" } : type
})

export const scalar = (type: string): ColumnType => ({ type: type as "int" })

/** Spaces are for the reader. */
export const hex = (text: string): Buffer => {
  const digits = text.replaceAll(" ", "")
  const bytes = Buffer.from(digits, "hex")
  if (bytes.length * 2 !== digits.length) throw new TypeError(`Not hexadecimal: ${text}`)
  return bytes
}

export const cell = Protocol.bytes

/** The count of rows and their cells; `null` is a null cell. */
export const page = (rows: ReadonlyArray<ReadonlyArray<Buffer | null>>): Buffer =>
  Buffer.concat([Protocol.int(rows.length), ...rows.flat().map(cell)])

/** The types that a test of every type goes through. */
export const scalars = [
  "ascii",
  "bigint",
  "blob",
  "boolean",
  "counter",
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
] as const

/** The same numbers every time, so that a failure can be seen again. */
export const randomNumbers = (seed: number): () => number => {
  let state = seed
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0
    state ^= state >>> 12
    return (state >>> 0) / 2 ** 32
  }
}
