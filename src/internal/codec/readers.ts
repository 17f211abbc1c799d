/**
 * From the bytes of one value to its plain value, by its CQL type.
 */
import * as BigDecimal from "effect/BigDecimal"
import { codeGeneration } from "./codeGeneration.ts"
import type { ColumnType, ScalarName } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import { MalformedResponse } from "./MalformedResponse.ts"
import { daysBefore1970, formatDate, formatInet, formatTime, formatUuid, nanosecondsPerDay } from "./text.ts"

/** Node's own fast conversions, which its type definitions leave out. */
export interface Page extends Buffer {
  utf8Slice(start: number, end: number): string
  latin1Slice(start: number, end: number): string
  hexSlice(start: number, end: number): string
}

/** Reads the value in `[start, end)`, which the caller knows to be inside the page. */
export type ValueReader = (page: Page, start: number, end: number) => unknown

/**
 * Whether the value is used as it is read, because its schema was proved from the declared types. Then whatever the
 * schema would have refused has to be refused here: a null inside a collection, a time that a Date cannot hold.
 */
export type Use = "proved" | "unproved"

/** A value that the schema does not accept; the row and the column are added by who knows them. */
export class Unfit extends Error {
  readonly found: string

  constructor(found: string) {
    super(found)
    this.found = found
  }
}

/** The length of a type's values when it is always the same, as the server's own types have it. */
export const fixedLength: Readonly<Partial<Record<ScalarName, number>>> = {
  bigint: 8,
  boolean: 1,
  counter: 8,
  date: 4,
  double: 8,
  float: 4,
  int: 4,
  smallint: 2,
  time: 8,
  timestamp: 8,
  timeuuid: 16,
  tinyint: 1,
  uuid: 16
}

/** These types have an empty value of their own; for every other, zero bytes are an old way to write null. */
export const hasEmptyValue = (type: ColumnType): boolean =>
  type.type === "text" || type.type === "ascii" || type.type === "blob" || type.type === "custom"

export const makeReader = (type: ColumnType, use: Use): ValueReader => {
  switch (type.type) {
    case "list":
      return readList(elementReader(type.element, use))
    case "set":
      return readSet(elementReader(type.element, use))
    case "map":
      return readMap(elementReader(type.key, use), elementReader(type.value, use))
    case "tuple":
      return readTuple(type.elements.map((element) => nullableReader(element, use)))
    case "udt":
      return readUserDefined(
        type.fields.map((field) => field.name),
        type.fields.map((field) => nullableReader(field.type, use))
      )
    case "vector":
      return readVector(type.element, type.dimension, use)
    case "custom":
      return readBlob
    default:
      return scalarReader(type.type, use)
  }
}

const scalarReader = (type: ScalarName, use: Use): ValueReader => {
  if (type === "text" || type === "ascii") return textReader()
  const read = type === "timestamp" && use === "proved" ? readValidTimestamp : scalarReaders[type]
  const expected = fixedLength[type]
  if (expected === undefined) return read
  return (page, start, end) => {
    if (end - start !== expected) throw wrongLength({ type }, end - start)
    return read(page, start, end)
  }
}

export const wrongLength = (type: ColumnType, length: number): MalformedResponse =>
  new MalformedResponse(`${length} bytes for a value of ${format(type)}`)

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

const readUtf8: ValueReader = (page, start, end) => page.utf8Slice(start, end)

const shortText = 24

/**
 * Up to some 24 ASCII characters are two to three times faster to hand to one `String.fromCharCode` than to have
 * converted by a call into Node. That call needs its arguments written out, one case for each length.
 */
const generateTextReader = (): ValueReader => {
  const cases = Array.from({ length: shortText }, (_, index) => {
    const characters = Array.from({ length: index + 1 }, (_, character) => `c${character}`)
    const reads = characters.map((name, character) => `${name} = page[start + ${character}]`).join(", ")
    return `case ${characters.length}: {
      const ${reads}
      if ((${characters.join(" | ")}) < 128) return String.fromCharCode(${characters.join(", ")})
      break
    }`
  })
  return codeGeneration(
    [],
    `return (page, start, end) => {
      switch (end - start) {
        case 0: return ""
        ${cases.join("\n")}
      }
      return page.utf8Slice(start, end)
    }`,
    () => readUtf8
  )()
}

let generated: ValueReader | undefined
export const textReader = (): ValueReader => generated ??= generateTextReader()

// -----------------------------------------------------------------------------
// Scalars
// -----------------------------------------------------------------------------

const readBlob: ValueReader = (page, start, end) => {
  // A copy, and not from Node's pool: whoever keeps a row must keep neither its page nor its neighbours' bytes.
  const bytes = new Uint8Array(end - start)
  bytes.set(page.subarray(start, end))
  return bytes
}

/** 64 bits as one number; what a Date or a time of day can hold is exact. */
const toNumber = (page: Page, start: number): number =>
  page.readInt32BE(start) * 0x1_0000_0000 + page.readUInt32BE(start + 4)

const readVarint = (page: Page, start: number, end: number): bigint => {
  const length = end - start
  if (length === 8) return page.readBigInt64BE(start)
  if (length > 0 && length <= 6) return BigInt(page.readIntBE(start, length))
  if (length === 0) throw wrongLength({ type: "varint" }, length)
  return BigInt.asIntN(length * 8, BigInt(`0x${page.hexSlice(start, end)}`))
}

const readDecimal: ValueReader = (page, start, end) => {
  if (end - start < 5) throw wrongLength({ type: "decimal" }, end - start)
  return BigDecimal.make(readVarint(page, start + 4, end), page.readInt32BE(start))
}

const readTimestamp = (page: Page, start: number): Date => new Date(toNumber(page, start))

export const beyondDate = "a time beyond what a Date can hold"

const readValidTimestamp: ValueReader = (page, start) => {
  const date = readTimestamp(page, start)
  if (Number.isNaN(date.getTime())) throw new Unfit(beyondDate)
  return date
}

const readTime: ValueReader = (page, start) => {
  const nanoseconds = toNumber(page, start)
  if (nanoseconds < 0 || nanoseconds >= nanosecondsPerDay) throw new MalformedResponse("a time outside of the day")
  return formatTime(nanoseconds)
}

const readInet: ValueReader = (page, start, end) => {
  if (end - start !== 4 && end - start !== 16) throw wrongLength({ type: "inet" }, end - start)
  return formatInet(page.subarray(start, end))
}

const readUuid: ValueReader = (page, start) => formatUuid(page, start)

const readBigInt: ValueReader = (page, start) => page.readBigInt64BE(start)

const readDuration: ValueReader = (page, start, end) => {
  const months = readVariableInt(page, start, end)
  const days = readVariableInt(page, months.end, end)
  const nanoseconds = readVariableInt(page, days.end, end)
  if (nanoseconds.end !== end) throw wrongLength({ type: "duration" }, end - start)
  return { months: Number(months.value), days: Number(days.value), nanoseconds: nanoseconds.value }
}

/** The sign is in the lowest bit. */
const readVariableInt = (page: Page, start: number, end: number) => {
  const { end: next, value } = readUnsignedVariableInt(page, start, end)
  return { value: (value & 1n) === 0n ? value >> 1n : -(value >> 1n) - 1n, end: next }
}

/** The leading ones of the first byte say how many bytes follow. */
const readUnsignedVariableInt = (page: Page, start: number, end: number) => {
  if (start >= end) throw new MalformedResponse("a variable length integer is missing")
  const first = page[start]!
  const following = Math.clz32(~(first << 24))
  if (start + 1 + following > end) throw new MalformedResponse("a variable length integer is cut short")
  let value = BigInt(first & (0xff >> following))
  for (let i = 1; i <= following; i++) value = (value << 8n) | BigInt(page[start + i]!)
  return { value, end: start + 1 + following }
}

const scalarReaders: Readonly<Record<ScalarName, ValueReader>> = {
  ascii: readUtf8,
  bigint: readBigInt,
  blob: readBlob,
  boolean: (page, start) => page[start] !== 0,
  counter: readBigInt,
  date: (page, start) => formatDate(page.readUInt32BE(start) - daysBefore1970),
  decimal: readDecimal,
  double: (page, start) => page.readDoubleBE(start),
  duration: readDuration,
  float: (page, start) => page.readFloatBE(start),
  inet: readInet,
  int: (page, start) => page.readInt32BE(start),
  smallint: (page, start) => page.readInt16BE(start),
  text: readUtf8,
  time: readTime,
  timestamp: readTimestamp,
  timeuuid: readUuid,
  tinyint: (page, start) => page.readInt8(start),
  uuid: readUuid,
  varint: readVarint
}

// -----------------------------------------------------------------------------
// Collections
// -----------------------------------------------------------------------------

/** Where the reading of a collection stands; the value read last is given back apart, to make no object for each. */
class Position {
  offset = 0
}

type ElementReader = (page: Page, position: Position, end: number) => unknown

/** `[int] length, bytes`: the form of everything that is inside of something else. */
const nullableReader = (type: ColumnType, use: Use): ElementReader => {
  const read = makeReader(type, use)
  const empty = hasEmptyValue(type)
  return (page, position, end) => {
    const start = position.offset + 4
    const length = start > end ? 0 : page.readInt32BE(start - 4)
    if (start > end || length > end - start) throw new MalformedResponse(`an element of ${format(type)} is cut short`)
    position.offset = length > 0 ? start + length : start
    return length > 0 || (length === 0 && empty) ? read(page, start, start + length) : null
  }
}

const elementReader = (type: ColumnType, use: Use): ElementReader => {
  const read = nullableReader(type, use)
  if (use === "unproved") return read
  return (page, position, end) => {
    const value = read(page, position, end)
    if (value === null) throw new Unfit("a null inside it")
    return value
  }
}

const readCount = (page: Page, position: Position, end: number, atLeast: number): number => {
  const start = position.offset
  if (start + 4 > end) throw new MalformedResponse("a collection without its count")
  const count = page.readInt32BE(start)
  position.offset = start + 4
  if (count < 0 || count > (end - start - 4) / atLeast) throw new MalformedResponse(`a collection of ${count} elements`)
  return count
}

const atEnd = (position: Position, end: number): void => {
  if (position.offset !== end) throw new MalformedResponse(`${end - position.offset} bytes after a collection's end`)
}

const readList = (read: ElementReader): ValueReader => (page, start, end) => {
  const position = new Position()
  position.offset = start
  const count = readCount(page, position, end, 4)
  const list: Array<unknown> = []
  for (let i = 0; i < count; i++) list.push(read(page, position, end))
  atEnd(position, end)
  return list
}

const readSet = (read: ElementReader): ValueReader => (page, start, end) => {
  const position = new Position()
  position.offset = start
  const count = readCount(page, position, end, 4)
  const set = new Set<unknown>()
  for (let i = 0; i < count; i++) set.add(read(page, position, end))
  atEnd(position, end)
  return set
}

const readMap = (readKey: ElementReader, readValue: ElementReader): ValueReader => (page, start, end) => {
  const position = new Position()
  position.offset = start
  const count = readCount(page, position, end, 8)
  const map = new Map<unknown, unknown>()
  for (let i = 0; i < count; i++) {
    const key = readKey(page, position, end)
    map.set(key, readValue(page, position, end))
  }
  atEnd(position, end)
  return map
}

/** Elements added to a tuple later are missing from values written before. */
const readTuple = (readers: ReadonlyArray<ElementReader>): ValueReader => (page, start, end) => {
  const position = new Position()
  position.offset = start
  const tuple = readers.map((read) => position.offset === end ? null : read(page, position, end))
  atEnd(position, end)
  return tuple
}

const readUserDefined =
  (names: ReadonlyArray<string>, readers: ReadonlyArray<ElementReader>): ValueReader => (page, start, end) => {
    const position = new Position()
    position.offset = start
    const value = {}
    for (let i = 0; i < readers.length; i++) {
      setOwn(value, names[i]!, position.offset === end ? null : readers[i]!(page, position, end))
    }
    // Fields after those that were declared when the statement was prepared: added to the type since, and left unread.
    return value
  }

/** Plain assignment of a field named `__proto__` would change the object's prototype instead. */
export const setOwn = (target: object, name: string, value: unknown): void => {
  if (name === "__proto__") {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true })
  } else {
    ;(target as Record<string, unknown>)[name] = value
  }
}

// -----------------------------------------------------------------------------
// Vectors
// -----------------------------------------------------------------------------

/**
 * Inside a vector the server gives a length to those elements only whose type does not fix it; `smallint`, `tinyint`,
 * `date`, `time` and `counter` are among those that have one, whatever their size.
 */
export const vectorElementLength = (type: ColumnType): number | undefined => {
  switch (type.type) {
    case "bigint":
    case "boolean":
    case "double":
    case "float":
    case "int":
    case "timestamp":
    case "timeuuid":
    case "uuid":
      return fixedLength[type.type]
    case "vector": {
      const element = vectorElementLength(type.element)
      return element === undefined ? undefined : element * type.dimension
    }
    default:
      return undefined
  }
}

const readVector = (element: ColumnType, dimension: number, use: Use): ValueReader => {
  if (element.type === "float") return readFloats(dimension)
  const read = makeReader(element, use)
  const length = vectorElementLength(element)
  return length === undefined ? readVariableVector(read, dimension) : readFixedVector(read, length, dimension)
}

const readFloats = (dimension: number): ValueReader => (page, start, end) => {
  if (end - start !== dimension * 4) throw new MalformedResponse(`${end - start} bytes for ${dimension} floats`)
  const view = new DataView(page.buffer, page.byteOffset + start, end - start)
  const vector = new Array<number>(dimension)
  for (let i = 0; i < dimension; i++) vector[i] = view.getFloat32(i * 4)
  return vector
}

const readFixedVector = (read: ValueReader, length: number, dimension: number): ValueReader => (page, start, end) => {
  if (end - start !== dimension * length) {
    throw new MalformedResponse(`${end - start} bytes for a vector of ${dimension} times ${length}`)
  }
  const vector: Array<unknown> = []
  for (let at = start; at < end; at += length) vector.push(read(page, at, at + length))
  return vector
}

const readVariableVector = (read: ValueReader, dimension: number): ValueReader => (page, start, end) => {
  const vector: Array<unknown> = []
  let offset = start
  for (let i = 0; i < dimension; i++) {
    const { end: from, value } = readUnsignedVariableInt(page, offset, end)
    if (value > BigInt(end - from)) throw new MalformedResponse("a vector's element is cut short")
    offset = from + Number(value)
    vector.push(read(page, from, offset))
  }
  if (offset !== end) throw new MalformedResponse(`${end - offset} bytes after a vector's end`)
  return vector
}
