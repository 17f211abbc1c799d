/**
 * From one plain value to its bytes, by its CQL type.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import type { ColumnType, ScalarName, UserDefinedField } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import { kindOf } from "./kindOf.ts"
import type { Output } from "./Output.ts"
import { fixedLength, vectorElementLength } from "./readers.ts"
import { daysBefore1970, isDateInRange, isFloat, parseDate, parseInet, parseTime, parseUuid } from "./text.ts"

/** Writes the bytes of a value alone. */
export type ValueWriter = (output: Output, value: unknown) => void

/** Writes a value as `[int] length, bytes`. */
export type ElementWriter = (output: Output, value: unknown) => void

/** A value that does not fit; the parameter that it was for is added by who knows it. */
export class Misfit extends Error {
  readonly found: string
  readonly hint: string | undefined
  /** The type of the part of a collection where it was found. */
  inside: string | undefined = undefined

  constructor(found: string, hint?: string) {
    super(found)
    this.found = found
    this.hint = hint
  }
}

const misfit = (found: unknown, hint?: string): never => {
  throw new Misfit(kindOf(found), hint)
}

export const makeElementWriter = (type: ColumnType): ElementWriter => withLength(type, makeWriter(type))

const withLength = (type: ColumnType, write: ValueWriter): ElementWriter => {
  const length = type.type in fixedLength ? fixedLength[type.type as ScalarName] : undefined
  if (length !== undefined) {
    return (output, value) => {
      output.int(length)
      write(output, value)
    }
  }
  return (output, value) => {
    const at = output.advance(4)
    write(output, value)
    output.closeLength(at)
  }
}

const makeWriter = (type: ColumnType): ValueWriter => {
  switch (type.type) {
    case "list":
      return writeList(elementWriter(type.element))
    case "set":
      return writeSet(elementWriter(type.element))
    case "map":
      return writeMap(elementWriter(type.key), elementWriter(type.value), isText(type.key))
    case "tuple":
      return writeTuple(type.elements.map(nullableWriter))
    case "udt":
      return writeUserDefined(type.fields)
    case "vector":
      return writeVector(type.element, type.dimension)
    case "custom":
      return writeBlob
    default:
      return scalarWriters[type.type]
  }
}

const isText = (type: ColumnType): boolean => type.type === "text" || type.type === "ascii"

// -----------------------------------------------------------------------------
// Numbers
// -----------------------------------------------------------------------------

const integer = (value: unknown, bits: 8 | 16 | 32): number => {
  if (typeof value !== "number" || !Number.isInteger(value)) return misfit(value, integerHint(value))
  const limit = 2 ** (bits - 1)
  if (value < -limit || value >= limit) throw new Misfit(`a number beyond ${bits} bits`)
  return value
}

const writeTinyInt: ValueWriter = (output, value) => {
  const checked = integer(value, 8)
  const start = output.advance(1)
  output.view.setInt8(start, checked)
}

const writeSmallInt: ValueWriter = (output, value) => {
  const checked = integer(value, 16)
  const start = output.advance(2)
  output.view.setInt16(start, checked)
}

const writeInt: ValueWriter = (output, value) => {
  const checked = integer(value, 32)
  const start = output.advance(4)
  output.view.setInt32(start, checked)
}

const integerHint = (value: unknown): string | undefined => {
  if (typeof value === "string") return "make a number of it"
  return typeof value === "bigint" ? "this type takes a number" : undefined
}

const toBigInt = (value: unknown): bigint => {
  if (typeof value === "bigint") return value
  if (Number.isSafeInteger(value)) return BigInt(value as number)
  return misfit(value, typeof value === "string" ? "make a bigint of it" : undefined)
}

const writeBigInt: ValueWriter = (output, value) => {
  const integer = toBigInt(value)
  if (BigInt.asIntN(64, integer) !== integer) throw new Misfit("a bigint beyond 64 bits")
  const start = output.advance(8)
  output.view.setBigInt64(start, integer)
}

const writeVarint: ValueWriter = (output, value) => writeUnscaled(output, toBigInt(value))

/** The fewest bytes of two's complement that keep the sign. */
const writeUnscaled = (output: Output, value: bigint): void => {
  const magnitude = value < 0n ? ~value : value
  const bits = magnitude === 0n ? 0 : magnitude.toString(16).length * 4
  const padded = (bits >> 3) + 1
  const redundant = BigInt.asIntN((padded - 1) * 8, value) === value && padded > 1
  const length = redundant ? padded - 1 : padded
  const start = output.advance(length)
  output.bytes.write(BigInt.asUintN(length * 8, value).toString(16).padStart(length * 2, "0"), start, "hex")
}

const writeFloat: ValueWriter = (output, value) => {
  if (typeof value !== "number") return misfit(value)
  if (!isFloat(value)) throw new Misfit("a number beyond the range of a float")
  const start = output.advance(4)
  output.view.setFloat32(start, value)
}

const writeDouble: ValueWriter = (output, value) => {
  if (typeof value !== "number") return misfit(value)
  const start = output.advance(8)
  output.view.setFloat64(start, value)
}

const writeDecimal: ValueWriter = (output, value) => {
  if (!BigDecimal.isBigDecimal(value)) return misfit(value, "this type takes a BigDecimal of Effect's")
  if ((value.scale | 0) !== value.scale) throw new Misfit("a BigDecimal with a scale beyond 32 bits")
  output.int(value.scale)
  writeUnscaled(output, value.value)
}

const writeBoolean: ValueWriter = (output, value) => {
  if (typeof value !== "boolean") return misfit(value)
  const start = output.advance(1)
  output.bytes[start] = value ? 1 : 0
}

// -----------------------------------------------------------------------------
// Text and bytes
// -----------------------------------------------------------------------------

/** Up to this many ASCII characters are written faster one by one than by a call into Node. */
const fewCharacters = 16

/** Up to this many, the room that they could need at most is taken, without counting their bytes first. */
const manyCharacters = 4096

const writeText: ValueWriter = (output, value) => {
  if (typeof value !== "string") return misfit(value)
  if (value.length <= fewCharacters && writeFewAscii(output, value)) return
  if (!value.isWellFormed()) throw new Misfit("a string with half of a surrogate pair")
  const start = output.advance(value.length <= manyCharacters ? value.length * 3 : Buffer.byteLength(value))
  output.offset = start + output.bytes.write(value, start, "utf8")
}

const writeFewAscii = (output: Output, value: string): boolean => {
  const start = output.advance(value.length)
  const bytes = output.bytes
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0x7f) {
      output.offset = start
      return false
    }
    bytes[start + i] = code
  }
  return true
}

// oxlint-disable-next-line no-control-regex
const asciiForm = /^[\x00-\x7f]*$/

const writeAscii: ValueWriter = (output, value) => {
  if (typeof value === "string" && !asciiForm.test(value)) throw new Misfit("a string with characters beyond ASCII")
  writeText(output, value)
}

const writeBlob: ValueWriter = (output, value) => {
  if (!(value instanceof Uint8Array)) return misfit(value, "this type takes a Uint8Array")
  const start = output.advance(value.length)
  output.bytes.set(value, start)
}

const writeUuid: ValueWriter = (output, value) => {
  if (typeof value !== "string") return misfit(value)
  const start = output.advance(16)
  if (!parseUuid(value, output.bytes, start)) throw new Misfit("a string that is not a UUID")
}

const writeTimeUuid: ValueWriter = (output, value) => {
  writeUuid(output, value)
  // The server refuses any other; here the parameter can still be named.
  if ((value as string)[14] !== "1") throw new Misfit("a UUID that is not of version 1")
}

const writeInet: ValueWriter = (output, value) => {
  const bytes = typeof value === "string" ? parseInet(value) : misfit(value)
  if (bytes === undefined) throw new Misfit("a string that is not an address")
  const start = output.advance(bytes.length)
  output.bytes.set(bytes, start)
}

/**
 * The server makes objects of Java's of the elements of a list, a set or a map, and bytes of them again. An IPv6 address
 * that stands for an IPv4 address does not survive that: it would be read, and be found by `IN`, as the other one only.
 */
const writeInetElement: ValueWriter = (output, value) => {
  const start = output.offset
  writeInet(output, value)
  if (output.offset - start === 16 && output.bytes.compare(mappedInto6, 0, 12, start, start + 12) === 0) {
    throw new Misfit("an IPv4 address in the form of IPv6", "in a collection the server keeps only the form of IPv4")
  }
}

const mappedInto6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

// -----------------------------------------------------------------------------
// Dates and times
// -----------------------------------------------------------------------------

const writeTimestamp: ValueWriter = (output, value) => {
  const milliseconds = toMilliseconds(value)
  const start = output.advance(8)
  output.view.setInt32(start, Math.floor(milliseconds / 0x1_0000_0000))
  output.view.setUint32(start + 4, milliseconds)
}

const toMilliseconds = (value: unknown): number => {
  if (value instanceof Date) {
    const milliseconds = value.getTime()
    if (Number.isNaN(milliseconds)) throw new Misfit("an invalid Date")
    return milliseconds
  }
  if (DateTime.isDateTime(value)) {
    const milliseconds = DateTime.toEpochMillis(value)
    if (!Number.isInteger(milliseconds)) throw new Misfit("a DateTime with a fraction of a millisecond")
    if (Math.abs(milliseconds) > furthestDate) throw new Misfit("a DateTime beyond what a Date can hold")
    return milliseconds
  }
  return misfit(value, typeof value === "number" || typeof value === "string" ? "make a Date of it" : undefined)
}

const furthestDate = 8.64e15

const writeDate: ValueWriter = (output, value) => {
  if (typeof value !== "string") return misfit(value, "this type takes a string YYYY-MM-DD")
  const days = parseDate(value)
  if (days === undefined) throw new Misfit("a string that is not a date", "this type takes YYYY-MM-DD")
  if (!isDateInRange(days)) throw new Misfit("a date beyond 32 bits of days")
  const start = output.advance(4)
  output.view.setUint32(start, days + daysBefore1970)
}

const writeTime: ValueWriter = (output, value) => {
  if (typeof value !== "string") return misfit(value, "this type takes a string HH:MM:SS.nnnnnnnnn")
  const nanoseconds = parseTime(value)
  if (nanoseconds === undefined) throw new Misfit("a string that is not a time", "this type takes HH:MM:SS.nnnnnnnnn")
  const start = output.advance(8)
  output.view.setBigInt64(start, BigInt(nanoseconds))
}

const writeDuration: ValueWriter = (output, value) => {
  if (typeof value !== "object" || value === null) return misfit(value, durationForm)
  if (!Object.keys(value).every(isPartOfDuration)) {
    throw new Misfit("a duration with a part that the type has not", durationForm)
  }
  const { days, months, nanoseconds } = value as Record<string, unknown>
  if (!isInt32(months) || !isInt32(days)) {
    throw new Misfit("a duration whose months or days are not whole", durationForm)
  }
  const long = toBigInt(nanoseconds)
  if (BigInt.asIntN(64, long) !== long) throw new Misfit("a duration with nanoseconds beyond 64 bits")
  const signs = [Math.sign(months), Math.sign(days), long < 0n ? -1 : long > 0n ? 1 : 0]
  if (signs.includes(1) && signs.includes(-1)) throw new Misfit("a duration with parts of both signs")
  writeVariableInt(output, BigInt(months))
  writeVariableInt(output, BigInt(days))
  writeVariableInt(output, long)
}

const durationForm = "this type takes { months, days, nanoseconds }"

/** Years or hours would otherwise be lost without a word. */
const isPartOfDuration = (key: string): boolean => key === "months" || key === "days" || key === "nanoseconds"

const isInt32 = (value: unknown): value is number => typeof value === "number" && (value | 0) === value

/** The sign goes into the lowest bit, so that small negative numbers stay short. */
const writeVariableInt = (output: Output, value: bigint): void =>
  writeUnsignedVariableInt(output, value < 0n ? (~value << 1n) | 1n : value << 1n)

/** The leading ones of the first byte say how many bytes follow. */
const writeUnsignedVariableInt = (output: Output, value: bigint): void => {
  let following = 0
  while (following < 8 && value >> BigInt(7 * (following + 1)) !== 0n) following++
  const start = output.advance(following + 1)
  let rest = value
  for (let i = following; i > 0; i--) {
    output.bytes[start + i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  output.bytes[start] = (0xff00 >> following & 0xff) | Number(rest)
}

const scalarWriters: Readonly<Record<ScalarName, ValueWriter>> = {
  ascii: writeAscii,
  bigint: writeBigInt,
  blob: writeBlob,
  boolean: writeBoolean,
  counter: writeBigInt,
  date: writeDate,
  decimal: writeDecimal,
  double: writeDouble,
  duration: writeDuration,
  float: writeFloat,
  inet: writeInet,
  int: writeInt,
  smallint: writeSmallInt,
  text: writeText,
  time: writeTime,
  timestamp: writeTimestamp,
  timeuuid: writeTimeUuid,
  tinyint: writeTinyInt,
  uuid: writeUuid,
  varint: writeVarint
}

// -----------------------------------------------------------------------------
// Collections
// -----------------------------------------------------------------------------

/** For lists, sets and maps. Null has no place inside of them: the server would refuse it, or drop it. */
const elementWriter = (type: ColumnType): ElementWriter =>
  naming(type, type.type === "inet" ? withLength(type, writeInetElement) : makeElementWriter(type))

/** A tuple's elements and a user defined type's fields may be null. */
const nullableWriter = (type: ColumnType): ElementWriter => {
  const write = naming(type, makeElementWriter(type))
  return (output, value) => value === null ? output.int(-1) : write(output, value)
}

/** Says in which part of a collection the misfit was. */
const naming = (type: ColumnType, write: ValueWriter): ValueWriter => (output, value) => {
  try {
    write(output, value)
  } catch (error) {
    if (error instanceof Misfit) error.inside ??= format(type)
    throw error
  }
}

const writeList = (write: ElementWriter): ValueWriter => (output, value) => {
  if (!Array.isArray(value)) return misfit(value, value instanceof Set ? "this type takes an array" : undefined)
  // Taken once: a getter among the elements must not make the count a lie.
  const count = value.length
  output.int(count)
  for (let i = 0; i < count; i++) write(output, value[i])
}

const writeSet = (write: ElementWriter): ValueWriter => (output, value) => {
  if (!(value instanceof Set) && !Array.isArray(value)) return misfit(value, "this type takes a Set or an array")
  const at = output.advance(4)
  let count = 0
  for (const element of value) {
    write(output, element)
    count++
  }
  output.view.setInt32(at, count)
}

const writeMap =
  (writeKey: ElementWriter, writeValue: ElementWriter, textKeys: boolean): ValueWriter => (output, value) => {
    const at = output.advance(4)
    let count = 0
    for (const [key, element] of entriesOf(value, textKeys)) {
      writeKey(output, key)
      writeValue(output, element)
      count++
    }
    output.view.setInt32(at, count)
  }

const entriesOf = (value: unknown, textKeys: boolean): Iterable<readonly [unknown, unknown]> => {
  if (value instanceof Map) return value
  if (textKeys && isPlainObject(value)) return Object.entries(value)
  return misfit(value, textKeys ? "this type takes a Map or a plain object" : "this type takes a Map")
}

const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

const writeTuple = (writers: ReadonlyArray<ElementWriter>): ValueWriter => (output, value) => {
  if (!Array.isArray(value)) return misfit(value, "this type takes an array")
  if (value.length !== writers.length) throw new Misfit(`an array of ${value.length} for ${writers.length} elements`)
  for (let i = 0; i < writers.length; i++) writers[i]!(output, value[i])
}

const writeUserDefined = (fields: ReadonlyArray<UserDefinedField>): ValueWriter => {
  const names = new Set(fields.map((field) => field.name))
  const writers = fields.map((field) => nullableWriter(field.type))
  return (output, value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Map) {
      return misfit(value, "this type takes an object")
    }
    const keys = Object.keys(value)
    // A Date, a Set or an Option has no fields of its own: each would be null.
    if (keys.length === 0 && !isPlainObject(value)) return misfit(value, "this type takes an object of its fields")
    // A misspelt field would otherwise be lost without a word.
    if (keys.some((key) => !names.has(key))) {
      throw new Misfit("an object with a field that the type has not", `its fields are ${[...names].join(", ")}`)
    }
    for (let i = 0; i < fields.length; i++) writers[i]!(output, ownField(value, fields[i]!.name))
  }
}

/** A field that is left out is null; only own ones count, for every object inherits a `constructor`. */
const ownField = (value: object, name: string): unknown =>
  Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] ?? null : null

// -----------------------------------------------------------------------------
// Vectors
// -----------------------------------------------------------------------------

const writeVector = (element: ColumnType, dimension: number): ValueWriter => {
  const write = naming(element, vectorElementWriter(element))
  return (output, value) => {
    if (!isVector(value)) return misfit(value, "this type takes an array")
    if (value.length !== dimension) throw new Misfit(`an array of ${value.length} for ${dimension} elements`)
    for (let i = 0; i < dimension; i++) write(output, value[i])
  }
}

const isVector = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || value instanceof Float32Array || value instanceof Float64Array

const vectorElementWriter = (element: ColumnType): ValueWriter => {
  const write = makeWriter(element)
  return vectorElementLength(element) === undefined ? withVariableLength(write) : write
}

/** The length is written before the value but known after it, and is itself of variable length: the value is moved. */
const withVariableLength = (write: ValueWriter): ValueWriter => (output, value) => {
  const start = output.offset
  write(output, value)
  const length = output.offset - start
  writeUnsignedVariableInt(output, BigInt(length))
  const prefix = Buffer.from(output.bytes.subarray(start + length, output.offset))
  output.bytes.copyWithin(start + prefix.length, start, start + length)
  prefix.copy(output.bytes, start)
}
