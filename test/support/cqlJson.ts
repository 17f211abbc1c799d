/**
 * The JSON in which Cassandra says a value (`SELECT JSON`) and takes one (`INSERT ... JSON`), from a plain value and its
 * type. It shares nothing with the codec: where both are wrong they are not wrong alike.
 */
import type * as BigDecimal from "effect/BigDecimal"
import type { ColumnType } from "../../src/internal/codec/ColumnType.ts"

/** A number as it was written, for no double is exact enough. */
export class JsonNumber {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }
}

export type Json = string | boolean | null | JsonNumber | ReadonlyArray<Json> | JsonObject

export interface JsonObject {
  readonly [key: string]: Json
}

/** Since ES2025, and in Node since 21. */
type Reviver = (key: string, value: unknown, context: { readonly source: string }) => unknown

const keepSource: Reviver = (_, value, { source }) => typeof value === "number" ? new JsonNumber(source) : value

export const parse = (text: string): Json =>
  (JSON.parse as (text: string, reviver: Reviver) => unknown)(text, keepSource) as Json

/** A name with capital letters is in quotes of its own, or it would be made lower case. */
export const nameOf = (name: string): string => name === name.toLowerCase() ? name : `"${name}"`

// -----------------------------------------------------------------------------
// What the server says
// -----------------------------------------------------------------------------

/**
 * What `SELECT JSON` has to say of a value. The form is canonical: the elements of a set and the entries of a map, which
 * the server puts in its own order, are sorted here, and floating point numbers are written in JavaScript's way.
 *
 * JSON says less than the value in these, which only the other reader tells apart:
 *
 * - `NaN` and the infinities, each of which is null
 * - a timestamp before the year 1, whose year is counted backwards but has no sign (`yyyy` is a year of its era)
 * - an IPv4 address that is mapped into IPv6, which Java takes for the IPv4 address
 * - the parts of a duration that are the least number, which `Math.abs` leaves negative and the server then leaves out
 */
export const said = (type: ColumnType, value: unknown): string => {
  if (value === null) return "null"
  switch (type.type) {
    case "list":
    case "vector":
      return array((value as ReadonlyArray<unknown>).map((item) => said(type.element, item)))
    case "set":
      return array([...value as ReadonlySet<unknown>].map((item) => said(type.element, item)).sort())
    case "map":
      return object(
        [...value as ReadonlyMap<unknown, unknown>].map(([key, item]) => [
          keyOf(said(type.key, key)),
          said(type.value, item)
        ])
      )
    case "tuple":
      return array((value as ReadonlyArray<unknown>).map((item, index) => said(type.elements[index]!, item)))
    case "udt":
      return object(
        type.fields.map((field) => [
          nameOf(field.name),
          said(field.type, (value as Readonly<Record<string, unknown>>)[field.name])
        ])
      )
    default:
      return sayScalar(type.type, value)
  }
}

/** What was read of `SELECT JSON`, in the form of {@link said}. */
export const heard = (type: ColumnType, json: Json): string => {
  if (json === null) return "null"
  switch (type.type) {
    case "list":
    case "vector":
      return array((json as ReadonlyArray<Json>).map((item) => heard(type.element, item)))
    case "set":
      return array((json as ReadonlyArray<Json>).map((item) => heard(type.element, item)).sort())
    case "map":
      return object(
        Object.entries(json as JsonObject).map(([key, item]) => [
          keyOf(heard(type.key, isSaidInString(type.key) ? key : parse(key))),
          heard(type.value, item)
        ])
      )
    case "tuple":
      return array((json as ReadonlyArray<Json>).map((item, index) => heard(type.elements[index]!, item)))
    case "udt":
      return object(
        type.fields.map((field) => [
          nameOf(field.name),
          heard(field.type, (json as JsonObject)[nameOf(field.name)] as Json)
        ])
      )
    case "float":
    case "double":
      return json instanceof JsonNumber ? sayFloat(type.type, Number(json.source)) : JSON.stringify(json)
    default:
      return json instanceof JsonNumber ? json.source : JSON.stringify(json)
  }
}

const array = (items: ReadonlyArray<string>): string => `[${items.join()}]`

const object = (entries: ReadonlyArray<readonly [string, string]>): string =>
  `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${item}`).sort().join()}}`

/** The key of a map is a string, which has the JSON of any other value inside. */
const keyOf = (json: string): string => json.startsWith("\"") ? JSON.parse(json) as string : json

const stringTypes = new Set([
  "ascii",
  "blob",
  "custom",
  "date",
  "duration",
  "inet",
  "text",
  "time",
  "timestamp",
  "timeuuid",
  "uuid"
])

const isSaidInString = (type: ColumnType): boolean => stringTypes.has(type.type)

const sayScalar = (type: string, value: unknown): string => {
  switch (type) {
    case "float":
    case "double":
      return sayFloat(type, value as number)
    case "decimal":
      return sayDecimal(value as BigDecimal.BigDecimal)
    case "blob":
      return JSON.stringify(sayBlob(value as Uint8Array))
    case "timestamp":
      return JSON.stringify(sayTimestamp(value as Date))
    case "inet":
      return JSON.stringify(sayInet(value as string))
    case "duration":
      return JSON.stringify(sayDuration(value as DurationValue))
    default:
      return typeof value === "string" ? JSON.stringify(value) : String(value)
  }
}

const sayFloat = (type: "float" | "double", value: number): string => {
  const kept = type === "float" ? Math.fround(value) : value
  if (!Number.isFinite(kept)) return "null"
  return Object.is(kept, -0) ? "-0" : String(kept)
}

/** As `java.math.BigDecimal.toString` is specified: every pair of value and scale has a text of its own. */
const sayDecimal = ({ scale, value }: BigDecimal.BigDecimal): string => {
  const sign = value < 0n ? "-" : ""
  const digits = String(value < 0n ? -value : value)
  const exponent = digits.length - 1 - scale
  if (scale < 0 || exponent < -6) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : ""
    return `${sign}${digits[0]}${fraction}E${exponent < 0 ? "" : "+"}${exponent}`
  }
  if (scale === 0) return `${sign}${digits}`
  const padded = digits.padStart(scale + 1, "0")
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`
}

const sayBlob = (value: Uint8Array): string => `0x${Buffer.from(value).toString("hex")}`

const sayTimestamp = (value: Date): string => {
  const year = value.getUTCFullYear()
  const yearOfEra = year > 0 ? year : 1 - year
  const digits = `${yearOfEra > 9999 ? "+" : ""}${String(yearOfEra).padStart(4, "0")}`
  const [, monthAndDay, clock] = /^[+-]?\d+-(\d\d-\d\d)T(.*)$/.exec(value.toISOString())!
  return `${digits}-${monthAndDay} ${clock}`
}

const isMapped = (address: string): boolean => /^::ffff:[0-9a-f]+:[0-9a-f]+$/.test(address)

/** As `java.net.Inet6Address.getHostAddress`: eight groups without zeros at their beginning, none left out. */
const sayInet = (address: string): string => {
  if (!address.includes(":")) return address
  const groups = groupsOf(address)
  if (!isMapped(address)) return groups.map((group) => group.toString(16)).join(":")
  return groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]).join(".")
}

const groupsOf = (address: string): ReadonlyArray<number> => {
  const [before = [], after] = address.split("::").map((half) => half === "" ? [] : half.split(":"))
  const zeros = after === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => "0")
  return [...before, ...zeros, ...after ?? []].map((group) => Number.parseInt(group, 16))
}

interface DurationValue {
  readonly months: number
  readonly days: number
  readonly nanoseconds: bigint
}

const sayDuration = ({ days, months, nanoseconds }: DurationValue): string => {
  const sign = months < 0 || days < 0 || nanoseconds < 0n ? "-" : ""
  return sign + [
    ...split(absolute(BigInt(months), 32), [[12n, "y"], [1n, "mo"]]),
    ...split(absolute(BigInt(days), 32), [[1n, "d"]]),
    ...split(absolute(nanoseconds, 64), [
      [3_600_000_000_000n, "h"],
      [60_000_000_000n, "m"],
      [1_000_000_000n, "s"],
      [1_000_000n, "ms"],
      [1000n, "us"],
      [1n, "ns"]
    ])
  ].join("")
}

/** The least number has no absolute value of as many bits, and counts as none. */
const absolute = (value: bigint, bits: number): bigint => {
  if (value === -(2n ** BigInt(bits - 1))) return 0n
  return value < 0n ? -value : value
}

const split = (value: bigint, units: ReadonlyArray<readonly [bigint, string]>): ReadonlyArray<string> => {
  let rest = value
  return units.flatMap(([size, unit]) => {
    const count = rest / size
    rest %= size
    return count === 0n ? [] : [`${count}${unit}`]
  })
}

// -----------------------------------------------------------------------------
// What the server takes
// -----------------------------------------------------------------------------

/**
 * The JSON by which the server can be told a value, or `undefined` where there is none:
 *
 * - an IPv4 address that is mapped into IPv6 becomes the IPv4 address
 * - the exponent of a decimal has no place for minus the least scale, nor for one digit more than that
 * - the least number of a duration's months, days or nanoseconds is too large without its sign
 *
 * Some have no exact form but as a string: a decimal, which as a number goes through a double and loses its scale; a
 * timestamp, whose number must not fit into 32 bits; `NaN` and the infinities.
 */
export const told = (type: ColumnType, value: unknown): string | undefined => {
  if (value === null) return "null"
  switch (type.type) {
    case "list":
    case "vector":
      return all((value as ReadonlyArray<unknown>).map((item) => told(type.element, item)), array)
    case "set":
      return all([...value as ReadonlySet<unknown>].map((item) => told(type.element, item)), array)
    case "map": {
      const entries = [...value as ReadonlyMap<unknown, unknown>]
      return all(entries.flatMap(([key, item]) => [told(type.key, key), told(type.value, item)]), pairs)
    }
    case "tuple":
      return all((value as ReadonlyArray<unknown>).map((item, index) => told(type.elements[index]!, item)), array)
    case "udt":
      return all(
        type.fields.flatMap((field) => [
          JSON.stringify(nameOf(field.name)),
          told(field.type, (value as Readonly<Record<string, unknown>>)[field.name])
        ]),
        pairs
      )
    default:
      return tellScalar(type.type, value)
  }
}

const all = (
  parts: ReadonlyArray<string | undefined>,
  whole: (parts: ReadonlyArray<string>) => string
): string | undefined => parts.includes(undefined) ? undefined : whole(parts as ReadonlyArray<string>)

const pairs = (parts: ReadonlyArray<string>): string =>
  object(
    Array.from({ length: parts.length / 2 }, (_, index) => [keyOf(parts[index * 2]!), parts[index * 2 + 1]!] as const)
  )

const tellScalar = (type: string, value: unknown): string | undefined => {
  switch (type) {
    case "float":
    case "double":
      return Number.isFinite(value) ? tellFloat(value as number) : `"${value as number}"`
    case "decimal":
      return tellDecimal(value as BigDecimal.BigDecimal)
    case "timestamp":
      return `"${(value as Date).getTime()}"`
    case "inet":
      return isMapped(value as string) ? undefined : sayScalar(type, value)
    case "duration":
      return tellDuration(value as DurationValue)
    default:
      return sayScalar(type, value)
  }
}

const tellFloat = (value: number): string => Object.is(value, -0) ? "-0.0" : String(value)

const tellDecimal = (value: BigDecimal.BigDecimal): string | undefined => {
  const said = sayDecimal(value)
  const exponent = Number(said.split("E")[1] ?? 0)
  return Math.abs(exponent) < 2 ** 31 && value.scale > -(2 ** 31) ? `"${said}"` : undefined
}

const tellDuration = (value: DurationValue): string | undefined => {
  const { days, months, nanoseconds } = value
  if (months === -(2 ** 31) || days === -(2 ** 31) || nanoseconds === -(2n ** 63n)) return undefined
  return `"${sayDuration(value) || "0d"}"`
}
