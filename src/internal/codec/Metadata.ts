/**
 * What the server says about the columns of a result and about a prepared statement: native protocol v4, sections
 * 4.2.5.2 and 4.2.5.4.
 */
import { toColumnType } from "./ClassName.ts"
import type { Column, ColumnType, ScalarName, UserDefinedField } from "./ColumnType.ts"
import { MalformedResponse } from "./MalformedResponse.ts"

export { MalformedResponse } from "./MalformedResponse.ts"

const Flag = { globalTable: 0x1, morePages: 0x2, noMetadata: 0x4 }

const TypeCode = { custom: 0x00, list: 0x20, map: 0x21, set: 0x22, udt: 0x30, tuple: 0x31 }

const scalars: Readonly<Record<number, ScalarName>> = {
  0x01: "ascii",
  0x02: "bigint",
  0x03: "blob",
  0x04: "boolean",
  0x05: "counter",
  0x06: "decimal",
  0x07: "double",
  0x08: "float",
  0x09: "int",
  0x0a: "text",
  0x0b: "timestamp",
  0x0c: "uuid",
  0x0d: "text",
  0x0e: "varint",
  0x0f: "timeuuid",
  0x10: "inet",
  0x11: "date",
  0x12: "time",
  0x13: "smallint",
  0x14: "tinyint",
  0x15: "duration"
}

// Far beyond any real type, and far below what the stack holds.
const maximumDepth = 64

export interface RowsMetadata {
  readonly columns: ReadonlyArray<Column>
  readonly pageState: Buffer | undefined
  /** Where the bytes that describe the columns begin: equal bytes are equal columns. */
  readonly start: number
  /** Where they end, and the count of rows begins. */
  readonly end: number
}

export interface RowsHeader {
  readonly flags: number
  readonly columnCount: number
  readonly pageState: Buffer | undefined
  readonly columnsStart: number
}

export interface PreparedMetadata {
  readonly parameters: ReadonlyArray<Column>
  readonly partitionKeys: ReadonlyArray<number>
  /** The columns of the result; `undefined` when the statement declares none. */
  readonly columns: ReadonlyArray<Column> | undefined
}

/** Reads a rows result from right after its kind. */
export const readRowsMetadata = (buf: Buffer, offset: number): RowsMetadata => {
  const header = readRowsHeader(buf, offset)
  const cursor = new Cursor(buf, header.columnsStart)
  const columns = readColumns(cursor, header)
  return { columns, pageState: header.pageState, start: header.columnsStart, end: cursor.offset }
}

/** The part before the columns, which is all that changes from page to page. */
export const readRowsHeader = (buf: Buffer, offset: number): RowsHeader => {
  const cursor = new Cursor(buf, offset)
  const flags = cursor.int()
  const columnCount = cursor.count()
  const pageState = (flags & Flag.morePages) === 0 ? undefined : cursor.bytes()
  return { flags, columnCount, pageState, columnsStart: cursor.offset }
}

/** Reads a prepared result from right after its kind. */
export const readPrepared = (buf: Buffer, offset: number): PreparedMetadata & { readonly id: Buffer } => {
  const cursor = new Cursor(buf, offset)
  const id = cursor.shortBytes()
  const flags = cursor.int()
  const columnCount = cursor.count()
  const partitionKeys = cursor.times(cursor.count(), () => cursor.short())
  const parameters = readColumns(cursor, { flags, columnCount })
  for (const index of partitionKeys) {
    if (index >= parameters.length) {
      throw new MalformedResponse(`partition key ${index} of ${parameters.length} parameters`)
    }
  }
  return { id, parameters, partitionKeys, columns: readResultColumns(buf, cursor.offset) }
}

const readResultColumns = (buf: Buffer, offset: number): ReadonlyArray<Column> | undefined => {
  const { columns } = readRowsMetadata(buf, offset)
  return columns.length === 0 ? undefined : columns
}

interface Shape<T> {
  readonly shape: T
  readonly columns: ReadonlyArray<Column>
  readonly columnCount: number
  readonly flags: number
  readonly bytes: Buffer
}

export interface ShapedPage<T> {
  readonly shape: T
  readonly columns: ReadonlyArray<Column>
  readonly pageState: Buffer | undefined
  /** Where the count of rows begins. */
  readonly rowsOffset: number
}

/**
 * Remembers what was made of the last result's columns. Every page repeats their description; while its bytes stay the
 * same, nothing of it is read again.
 */
export class ShapeCache<T> {
  private readonly make: (columns: ReadonlyArray<Column>) => T
  private last: Shape<T> | undefined

  constructor(make: (columns: ReadonlyArray<Column>) => T) {
    this.make = make
  }

  read(buf: Buffer, offset: number): ShapedPage<T> {
    const header = readRowsHeader(buf, offset)
    const current = this.find(buf, header)
    const length = (header.flags & Flag.noMetadata) === 0 ? current.bytes.length : 0
    return {
      shape: current.shape,
      columns: current.columns,
      pageState: header.pageState,
      rowsOffset: header.columnsStart + length
    }
  }

  private find(buf: Buffer, header: RowsHeader): Shape<T> {
    const last = this.last
    if (last !== undefined && describesAgain(last, buf, header)) return last
    if ((header.flags & Flag.noMetadata) !== 0) {
      throw new MalformedResponse(`${header.columnCount} columns without a description, and none known from before`)
    }
    return this.last = this.parse(buf, header)
  }

  private parse(buf: Buffer, header: RowsHeader): Shape<T> {
    const cursor = new Cursor(buf, header.columnsStart)
    const columns = readColumns(cursor, header)
    return {
      shape: this.make(columns),
      columns,
      columnCount: header.columnCount,
      flags: header.flags & Flag.globalTable,
      bytes: Buffer.from(buf.subarray(header.columnsStart, cursor.offset))
    }
  }
}

const describesAgain = <T>(last: Shape<T>, buf: Buffer, header: RowsHeader): boolean => {
  if (last.columnCount !== header.columnCount) return false
  if ((header.flags & Flag.noMetadata) !== 0) return true
  const end = header.columnsStart + last.bytes.length
  return last.flags === (header.flags & Flag.globalTable) &&
    end <= buf.length &&
    last.bytes.compare(buf, header.columnsStart, end) === 0
}

const readColumns = (
  cursor: Cursor,
  header: { readonly flags: number; readonly columnCount: number }
): ReadonlyArray<Column> => {
  if ((header.flags & Flag.noMetadata) !== 0) return []
  const global = (header.flags & Flag.globalTable) !== 0
  const keyspace = global ? cursor.string() : undefined
  const table = global ? cursor.string() : undefined
  return cursor.times(header.columnCount, () => ({
    keyspace: keyspace ?? cursor.string(),
    table: table ?? cursor.string(),
    name: cursor.string(),
    type: readType(cursor, 0)
  }))
}

const readType = (cursor: Cursor, depth: number): ColumnType => {
  if (depth > maximumDepth) throw new MalformedResponse(`a type nested more than ${maximumDepth} deep`)
  const code = cursor.short()
  const scalar = scalars[code]
  if (scalar !== undefined) return { type: scalar }
  const nested = () => readType(cursor, depth + 1)
  switch (code) {
    case TypeCode.custom:
      return toColumnType(cursor.string())
    case TypeCode.list:
      return { type: "list", element: nested() }
    case TypeCode.set:
      return { type: "set", element: nested() }
    case TypeCode.map:
      return { type: "map", key: nested(), value: nested() }
    case TypeCode.tuple:
      return { type: "tuple", elements: cursor.times(cursor.short(), nested) }
    case TypeCode.udt:
      return {
        type: "udt",
        keyspace: cursor.string(),
        name: cursor.string(),
        fields: cursor.times(cursor.short(), (): UserDefinedField => ({ name: cursor.string(), type: nested() }))
      }
    default:
      throw new MalformedResponse(`unknown type code ${code} at byte ${cursor.offset - 2}`)
  }
}

class Cursor {
  private readonly buf: Buffer
  offset: number

  constructor(buf: Buffer, offset: number) {
    this.buf = buf
    this.offset = offset
  }

  int(): number {
    return this.buf.readInt32BE(this.advance(4))
  }
  short(): number {
    return this.buf.readUInt16BE(this.advance(2))
  }
  count(): number {
    const count = this.int()
    if (count < 0) throw new MalformedResponse(`a count of ${count} at byte ${this.offset - 4}`)
    return count
  }
  string(): string {
    const length = this.short()
    const start = this.advance(length)
    return this.buf.toString("utf8", start, start + length)
  }
  /** Copied, for what is kept must not keep the whole response. */
  shortBytes(): Buffer {
    return this.copy(this.short())
  }
  bytes(): Buffer | undefined {
    const length = this.int()
    return length < 0 ? undefined : this.copy(length)
  }
  /** Not allocated ahead: a damaged count must fail at the end of the bytes, not in the allocator. */
  times<A>(count: number, read: () => A): Array<A> {
    const items: Array<A> = []
    for (let i = 0; i < count; i++) items.push(read())
    return items
  }

  private copy(length: number): Buffer {
    const start = this.advance(length)
    return Buffer.from(this.buf.subarray(start, start + length))
  }
  private advance(length: number): number {
    const start = this.offset
    if (start + length > this.buf.length) {
      throw new MalformedResponse(`${length} bytes wanted at byte ${start} of ${this.buf.length}`)
    }
    this.offset = start + length
    return start
  }
}
