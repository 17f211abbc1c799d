/**
 * The types of CQL as the server declares them for columns and parameters.
 */

export type ScalarName =
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
  | "smallint"
  | "text"
  | "time"
  | "timestamp"
  | "timeuuid"
  | "tinyint"
  | "uuid"
  | "varint"

export interface Scalar {
  readonly type: ScalarName
}

export interface Sequence {
  readonly type: "list" | "set"
  readonly element: ColumnType
}

export interface MapOf {
  readonly type: "map"
  readonly key: ColumnType
  readonly value: ColumnType
}

export interface Tuple {
  readonly type: "tuple"
  readonly elements: ReadonlyArray<ColumnType>
}

export interface UserDefined {
  readonly type: "udt"
  readonly keyspace: string
  readonly name: string
  readonly fields: ReadonlyArray<UserDefinedField>
}

export interface UserDefinedField {
  readonly name: string
  readonly type: ColumnType
}

export interface Vector {
  readonly type: "vector"
  readonly element: ColumnType
  readonly dimension: number
}

export interface Custom {
  readonly type: "custom"
  readonly className: string
}

export type ColumnType = Scalar | Sequence | MapOf | Tuple | UserDefined | Vector | Custom

export interface Column {
  readonly keyspace: string
  readonly table: string
  readonly name: string
  readonly type: ColumnType
}

/** The type as CQL writes it, without `frozen`, which the protocol does not tell. */
export const format = (type: ColumnType): string => {
  switch (type.type) {
    case "list":
    case "set":
      return `${type.type}<${format(type.element)}>`
    case "map":
      return `map<${format(type.key)}, ${format(type.value)}>`
    case "tuple":
      return `tuple<${type.elements.map(format).join(", ")}>`
    case "udt":
      return `${type.keyspace}.${type.name}`
    case "vector":
      return `vector<${format(type.element)}, ${type.dimension}>`
    case "custom":
      return `'${type.className}'`
    default:
      return type.type
  }
}

export const equals = (a: ColumnType, b: ColumnType): boolean => {
  if (a === b) return true
  switch (a.type) {
    case "list":
    case "set":
      return b.type === a.type && equals(a.element, b.element)
    case "map":
      return b.type === "map" && equals(a.key, b.key) && equals(a.value, b.value)
    case "tuple":
      return b.type === "tuple" && allEqual(a.elements, b.elements)
    case "udt":
      return b.type === "udt" && a.keyspace === b.keyspace && a.name === b.name && sameFields(a.fields, b.fields)
    case "vector":
      return b.type === "vector" && a.dimension === b.dimension && equals(a.element, b.element)
    case "custom":
      return b.type === "custom" && a.className === b.className
    default:
      return a.type === b.type
  }
}

const allEqual = (a: ReadonlyArray<ColumnType>, b: ReadonlyArray<ColumnType>): boolean =>
  a.length === b.length && a.every((type, index) => equals(type, b[index]!))

const sameFields = (a: ReadonlyArray<UserDefinedField>, b: ReadonlyArray<UserDefinedField>): boolean =>
  a.length === b.length &&
  a.every((field, index) => field.name === b[index]!.name && equals(field.type, b[index]!.type))

export const sameColumns = (a: ReadonlyArray<Column>, b: ReadonlyArray<Column>): boolean =>
  a === b || (a.length === b.length && a.every((column, index) => sameColumn(column, b[index]!)))

const sameColumn = (a: Column, b: Column): boolean =>
  a.name === b.name && a.table === b.table && a.keyspace === b.keyspace && equals(a.type, b.type)
