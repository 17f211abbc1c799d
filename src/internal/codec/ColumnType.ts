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
