/**
 * Writes the table of all types into docs/queries-and-types.md, between its markers.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as CqlType from "../src/CqlType.ts"

export const guide = fileURLToPath(new URL("../docs/queries-and-types.md", import.meta.url))

const begin = "<!-- The table is written by scripts/typeTable.ts -->"

const end = "<!-- end of the table -->"

/** What the table calls the types of values, so that the compiler compares each schema with what is said of it. */
interface Types {
  readonly string: string
  readonly number: number
  readonly bigint: bigint
  readonly boolean: boolean
  readonly BigDecimal: BigDecimal.BigDecimal
  readonly Date: Date
  readonly Uint8Array: Uint8Array
  readonly "{ months, days, nanoseconds }": {
    readonly months: number
    readonly days: number
    readonly nanoseconds: bigint
  }
  readonly "ReadonlyArray<number>": ReadonlyArray<number>
  readonly "ReadonlySet<string>": ReadonlySet<string>
  readonly "ReadonlyMap<string, number>": ReadonlyMap<string, number>
  readonly "readonly [string, number]": readonly [string, number]
  readonly "{ street, number }": { readonly street: string; readonly number: number }
  readonly "string | null": string | null
}

/** A type of CQL, the schema of its columns, and a value of it. */
export interface Row {
  readonly cql: string
  /** The schema, as a program writes it. */
  readonly code: string
  readonly schema: Schema.Codec<any>
  readonly type: keyof Types
  /** As a row has it. */
  readonly value: unknown
  /** What a parameter may be besides, each another form of the value. */
  readonly others: ReadonlyArray<{ readonly value: unknown; readonly text: string }>
}

/** Another form of the value, and what it is called. */
const or = (text: string, value: unknown): Row["others"][number] => ({ text, value })

const row = <Type extends keyof Types>(
  cql: string,
  code: string,
  schema: Schema.Codec<Types[Type]>,
  type: Type,
  value: Types[Type],
  ...others: Row["others"]
): Row => ({ cql, code, schema, type, value, others })

const uuid = "0badc0de-1234-4abc-8def-00ff10a5b6c7"

const timeUuid = "50554d6e-29bb-11e5-b345-feff819cdc9f"

const date = new Date("2024-02-29T12:34:56.789Z")

export const rows: ReadonlyArray<Row> = [
  row("ascii", "Ascii", CqlType.Ascii, "string", "Ada"),
  row("text", "Text", CqlType.Text, "string", "Žofie"),
  row("varchar", "VarChar", CqlType.VarChar, "string", "Žofie"),
  row("tinyint", "TinyInt", CqlType.TinyInt, "number", 127),
  row("smallint", "SmallInt", CqlType.SmallInt, "number", -32768),
  row("int", "Int", CqlType.Int, "number", 2147483647),
  row("bigint", "BigInt", CqlType.BigInt, "bigint", 42n, or("a safe integer", 42)),
  row("varint", "VarInt", CqlType.VarInt, "bigint", 42n, or("a safe integer", 42)),
  row("counter", "Counter", CqlType.Counter, "bigint", 42n, or("a safe integer", 42)),
  row("float", "Float", CqlType.Float, "number", 0.5),
  row("double", "Double", CqlType.Double, "number", 0.1),
  row("decimal", "Decimal", CqlType.Decimal, "BigDecimal", BigDecimal.make(150n, 2)),
  row("boolean", "Boolean", CqlType.Boolean, "boolean", true),
  row("uuid", "Uuid", CqlType.Uuid, "string", uuid, or("in capitals", uuid.toUpperCase())),
  row("timeuuid", "TimeUuid", CqlType.TimeUuid, "string", timeUuid, or("in capitals", timeUuid.toUpperCase())),
  row(
    "timestamp",
    "Timestamp",
    CqlType.Timestamp,
    "Date",
    date,
    or("an Effect `DateTime`", DateTime.makeUnsafe(date))
  ),
  row("date", "Date", CqlType.Date, "string", "2024-02-29"),
  row("time", "Time", CqlType.Time, "string", "23:59:59.500000000", or("with fewer digits", "23:59:59.5")),
  row(
    "duration",
    "Duration",
    CqlType.Duration,
    "{ months, days, nanoseconds }",
    { months: 1, days: 2, nanoseconds: 3n },
    or("with nanoseconds as a safe integer", { months: 1, days: 2, nanoseconds: 3 })
  ),
  row("inet", "Inet", CqlType.Inet, "string", "2001:db8::1", or("in any form", "2001:0DB8:0::0:1")),
  row("blob", "Blob", CqlType.Blob, "Uint8Array", Uint8Array.of(1, 255), or("a `Buffer`", Buffer.of(1, 255))),
  row("list<int>", "List(CqlType.Int)", CqlType.List(CqlType.Int), "ReadonlyArray<number>", [1, 2]),
  row(
    "set<text>",
    "Set(CqlType.Text)",
    CqlType.Set(CqlType.Text),
    "ReadonlySet<string>",
    new Set(["a", "b"]),
    or("an array", ["a", "b"])
  ),
  row(
    "map<text, int>",
    "Map(CqlType.Text, CqlType.Int)",
    CqlType.Map(CqlType.Text, CqlType.Int),
    "ReadonlyMap<string, number>",
    new Map([["a", 1]]),
    or("an object, where keys are texts", { a: 1 })
  ),
  row(
    "tuple<text, int>",
    "Tuple([CqlType.Text, CqlType.Int])",
    CqlType.Tuple([CqlType.Text, CqlType.Int]),
    "readonly [string, number]",
    ["a", 1]
  ),
  row(
    "vector<float, 3>",
    "Vector(CqlType.Float, 3)",
    CqlType.Vector(CqlType.Float, 3),
    "ReadonlyArray<number>",
    [0.5, 1, 2],
    or("a `Float32Array`", Float32Array.of(0.5, 1, 2))
  ),
  row(
    "address",
    "UserDefined({ street: CqlType.Text, number: CqlType.Int })",
    CqlType.UserDefined({ street: CqlType.Text, number: CqlType.Int }),
    "{ street, number }",
    { street: "Main", number: 1 }
  ),
  row("text", "Nullable(CqlType.Text)", CqlType.Nullable(CqlType.Text), "string | null", null)
]

/** A value as a program writes it. */
export const show = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}n`
  if (value instanceof Date) return `new Date("${value.toISOString()}")`
  if (value instanceof Uint8Array) return `Uint8Array.of(${[...value].join(", ")})`
  if (value instanceof Set) return `new Set(${show([...value])})`
  if (value instanceof Map) return `new Map(${show([...value])})`
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`
  if (BigDecimal.isBigDecimal(value)) return `BigDecimal.make(${show(value.value)}, ${value.scale})`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  return `{ ${Object.entries(value).map(([key, part]) => `${key}: ${show(part)}`).join(", ")} }`
}

const head = [
  "| CQL | `CqlType.` | in TypeScript | such as | a parameter may also be |",
  "| --- | --- | --- | --- | --- |"
]

const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``

const lineOf = ({ cql, code: schema, others, type, value }: Row): string => {
  const cells = [code(cql), code(schema.replaceAll("CqlType.", "")), code(type), code(show(value))]
  return `| ${[...cells, others.map(({ text }) => text).join(", ")].join(" | ")} |`
}

/** The guide as it is to be. */
export const withTable = (text: string): string => {
  const [before, after] = [text.indexOf(begin), text.indexOf(end)]
  if (before < 0 || after < before) throw new Error(`${guide} lacks its markers`)
  const content = [...head, ...rows.map(lineOf)].join("\n")
  return `${text.slice(0, before)}${begin}\n\n${content}\n\n${text.slice(after)}`
}

if (import.meta.main) writeFileSync(guide, withTable(readFileSync(guide, "utf8")))
