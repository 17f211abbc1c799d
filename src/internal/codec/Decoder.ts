/**
 * From a page's bytes to its rows: one function is made for each shape of result, with every column's reading written
 * out in its order.
 */
import { codeGeneration } from "./codeGeneration.ts"
import type { Column, ColumnType } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import { MalformedResponse } from "./MalformedResponse.ts"
import type { Page, Use, ValueReader } from "./readers.ts"
import * as Readers from "./readers.ts"
import { formatUuid } from "./text.ts"

export { MalformedResponse } from "./MalformedResponse.ts"

export interface RowField {
  readonly name: string
  readonly column: number
  /** A null column of type list, set or map is the empty collection when this is false: the server keeps no other. */
  readonly nullable: boolean
  /** Nothing looks at the value after this. */
  readonly use?: Use | undefined
}

export interface RowShape {
  readonly fields: ReadonlyArray<RowField>
  readonly construct?: ((properties: object) => unknown) | undefined
}

/** At most `most` rows, by default all: those behind are not looked at. */
export type RowsReader<A> = (buf: Buffer, offset: number, most?: number) => Array<A>

/** A value that its field has no place for: null, or what a plain value cannot hold. */
export class NullInRow extends Error {
  override readonly name = "NullInRow"
  readonly row: number
  readonly field: string
  readonly column: Column
  readonly found: string

  constructor(row: number, field: string, column: Column, found = "null") {
    super(`column ${JSON.stringify(column.name)} of row ${row}: expected ${format(column.type)}, found ${found}`)
    this.row = row
    this.field = field
    this.column = column
    this.found = found
  }
}

/** Reads pages whose offset is at the count of rows. */
export const compileRows = <A>(columns: ReadonlyArray<Column>, shape?: RowShape): RowsReader<A> => {
  const plan = makePlan(columns, shape ?? everyColumn(columns))
  const generated = codeGeneration(["support"], sourceOf(plan), () => undefined)(supportFor(plan))
  return (generated ?? interpret(plan)) as RowsReader<A>
}

/** All columns but the hidden one. Of two with one name the last is kept, as in an object literal. */
export const everyColumn = (columns: ReadonlyArray<Column>, hidden?: string): RowShape => {
  const last = new Map(columns.map((column, index) => [column.name, index]))
  if (hidden !== undefined) last.delete(hidden)
  return { fields: [...last].map(([name, column]) => ({ name, column, nullable: true })) }
}

// -----------------------------------------------------------------------------
// What both ways share
// -----------------------------------------------------------------------------

interface PlannedColumn {
  readonly column: Column
  /** `undefined` for a column that no field takes. */
  readonly field: RowField | undefined
  readonly read: ValueReader
}

interface Plan {
  readonly columns: ReadonlyArray<PlannedColumn>
  readonly shape: RowShape
}

const makePlan = (columns: ReadonlyArray<Column>, shape: RowShape): Plan => {
  const fields = new Map(shape.fields.map((field) => [field.column, field]))
  return {
    shape,
    columns: columns.map((column, index) => {
      const field = fields.get(index)
      return { column, field, read: Readers.makeReader(column.type, field?.use ?? "unproved") }
    })
  }
}

const truncated = (offset: number, limit: number): never => {
  throw new MalformedResponse(`a page of ${limit} bytes is cut short at byte ${offset}`)
}

/** Rows without columns take no bytes, so that nothing else would end the reading of them. */
const checkCount = (count: number, columns: number): void => {
  if (count < 0 || (count > 0 && columns === 0)) throw new MalformedResponse(`${count} rows of ${columns} columns`)
}

/** The value of a column that is null, or as good as null. */
const absent = ({ column, field }: PlannedColumn, row: number): unknown => {
  if (field === undefined || field.nullable) return null
  switch (column.type.type) {
    case "list":
      return []
    case "set":
      return new Set()
    case "map":
      return new Map()
    default:
      throw new NullInRow(row, field.name, column)
  }
}

/** A value of a type with a fixed length, that has another. */
const irregular = (planned: PlannedColumn, row: number, length: number): unknown => {
  if (length <= 0) return absent(planned, row)
  throw Readers.wrongLength(planned.column.type, length)
}

const readNested = (planned: PlannedColumn, row: number, page: Page, start: number, end: number): unknown => {
  try {
    return planned.read(page, start, end)
  } catch (error) {
    throw error instanceof Readers.Unfit ? unfit(planned, row, error.found) : error
  }
}

const unfit = ({ column, field }: PlannedColumn, row: number, found: string): NullInRow =>
  new NullInRow(row, field!.name, column, found)

const isNested = (type: ColumnType): boolean =>
  "element" in type || "elements" in type || "key" in type || "fields" in type

// -----------------------------------------------------------------------------
// Generated
// -----------------------------------------------------------------------------

const supportFor = (plan: Plan) => ({
  columns: plan.columns,
  readers: plan.columns.map((planned) => planned.read),
  construct: plan.shape.construct,
  readText: Readers.textReader(),
  formatUuid,
  truncated,
  checkCount,
  absent,
  irregular,
  readNested,
  unfit,
  beyondDate: Readers.beyondDate
})

const inlined: Readonly<Record<string, string>> = {
  bigint: "view.getBigInt64(offset)",
  boolean: "page[offset] !== 0",
  counter: "view.getBigInt64(offset)",
  double: "view.getFloat64(offset)",
  float: "view.getFloat32(offset)",
  int: "view.getInt32(offset)",
  smallint: "view.getInt16(offset)",
  timeuuid: "formatUuid(page, offset)",
  tinyint: "view.getInt8(offset)",
  uuid: "formatUuid(page, offset)"
}

const sourceOf = (plan: Plan): string => `
const { columns, readers, construct, readText, formatUuid } = support
const { truncated, checkCount, absent, irregular, readNested, unfit, beyondDate } = support
${
  plan.columns.map((_, index) => `const column${index} = columns[${index}], read${index} = readers[${index}]`).join(
    "\n"
  )
}
return (page, offset, most = Infinity) => {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  const limit = page.length
  if (offset + 4 > limit) truncated(offset, limit)
  const count = view.getInt32(offset)
  offset += 4
  checkCount(count, ${plan.columns.length})
  const wanted = most < count ? most : count
  const rows = []
  for (let row = 0; row < wanted; row++) {
    let length = 0
    ${plan.columns.map(sourceOfColumn).join("\n    ")}
    rows.push(${makeRow(plan.shape)})
  }
  return rows
}`

const sourceOfColumn = (planned: PlannedColumn, index: number): string => `
    if (offset + 4 > limit) truncated(offset, limit)
    length = view.getInt32(offset)
    offset += 4
    if (length > limit - offset) truncated(offset, limit)
    ${planned.field === undefined ? "" : `let value${index}`}
    ${planned.field === undefined ? "" : sourceOfValue(planned, index)}
    if (length > 0) offset += length`

const sourceOfValue = ({ column, field }: PlannedColumn, index: number): string => {
  const type = column.type
  const read = inlined[type.type]
  if (read !== undefined || type.type === "timestamp") {
    return `if (length === ${Readers.fixedLength[type.type as "int"]}) {
      ${read === undefined ? sourceOfTimestamp(index, field?.use ?? "unproved") : `value${index} = ${read}`}
    } else value${index} = irregular(column${index}, row, length)`
  }
  return `value${index} = length ${Readers.hasEmptyValue(type) ? ">=" : ">"} 0
      ? ${sourceOfCall(type, index)}
      : absent(column${index}, row)`
}

const sourceOfTimestamp = (index: number, use: Use): string => `
      const time = view.getInt32(offset) * 4294967296 + view.getUint32(offset + 4)
      ${use === "proved" ? `if (time < -8.64e15 || time > 8.64e15) throw unfit(column${index}, row, beyondDate)` : ""}
      value${index} = new Date(time)`

const sourceOfCall = (type: ColumnType, index: number): string => {
  if (type.type === "text" || type.type === "ascii") return "readText(page, offset, offset + length)"
  return isNested(type)
    ? `readNested(column${index}, row, page, offset, offset + length)`
    : `read${index}(page, offset, offset + length)`
}

/**
 * The key `__proto__` is the one that a plain property definition takes for something else; computed keys are slower.
 */
const sourceOfKey = (name: string): string => name === "__proto__" ? `["__proto__"]` : JSON.stringify(name)

const makeRow = (shape: RowShape): string => {
  const properties = `{ ${shape.fields.map(({ column, name }) => `${sourceOfKey(name)}: value${column}`).join(", ")} }`
  return shape.construct === undefined ? properties : `construct(${properties})`
}

// -----------------------------------------------------------------------------
// Without generated code
// -----------------------------------------------------------------------------

const interpret = (plan: Plan): RowsReader<unknown> => (buf, offset, most = Infinity) => {
  const page = buf as Page
  const limit = page.length
  if (offset + 4 > limit) truncated(offset, limit)
  const count = page.readInt32BE(offset)
  checkCount(count, plan.columns.length)
  const rows: Array<unknown> = []
  const values: Array<unknown> = plan.columns.map(() => null)
  let at = offset + 4
  for (let row = 0; row < Math.min(most, count); row++) {
    for (let index = 0; index < plan.columns.length; index++) {
      if (at + 4 > limit) truncated(at, limit)
      const length = page.readInt32BE(at)
      at += 4
      if (length > limit - at) truncated(at, limit)
      values[index] = interpretValue(plan.columns[index]!, row, page, at, length)
      if (length > 0) at += length
    }
    rows.push(interpretRow(plan.shape, values))
  }
  return rows
}

const interpretValue = (planned: PlannedColumn, row: number, page: Page, start: number, length: number): unknown => {
  if (planned.field === undefined) return undefined
  const type = planned.column.type
  if (length < 0 || (length === 0 && !Readers.hasEmptyValue(type))) return absent(planned, row)
  return readNested(planned, row, page, start, start + length)
}

const interpretRow = (shape: RowShape, values: ReadonlyArray<unknown>): unknown => {
  const row = {}
  for (const { column, name } of shape.fields) Readers.setOwn(row, name, values[column])
  return shape.construct === undefined ? row : shape.construct(row)
}
