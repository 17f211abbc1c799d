/**
 * The rows of a table as a Schema, made of what the server declares for its columns.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Cluster } from "../Cluster.ts"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import * as CqlType from "../CqlType.ts"
import type { Session } from "../Session.ts"
import type { Column, ColumnType, ScalarName } from "./codec/ColumnType.ts"
import { format } from "./codec/ColumnType.ts"
import * as Names from "./cql/names.ts"
import * as Run from "./run.ts"
import { needsServer } from "./scripted.ts"

/** A table, and the schema of its rows. */
export interface TableSchema {
  readonly keyspace: string
  readonly name: string
  /** Those of the schema, in its order. */
  readonly columns: ReadonlyArray<Cluster.Column>
  readonly schema: RowSchema
}

/** Both sides of every column are the plain value that the server's type has here. */
export type RowSchema = Schema.Struct<{ readonly [column: string]: ValueSchema }>

/** As `RowSchema`, with keys that may be absent. */
export type WriteSchema = Schema.Struct<{ readonly [column: string]: ValueSchema | Schema.optionalKey<ValueSchema> }>

type ValueSchema = Schema.Codec<unknown>

/**
 * Of the columns that are named, in their order, or else of all, as `SELECT *` has them. A table, a keyspace or a column
 * that does not exist, and a type of which no schema can be made, are refused with `InvalidQuery`.
 */
export const make = Effect.fnUntraced(function*(
  session: Session["Service"],
  table: string,
  columns?: ReadonlyArray<string>
): Effect.fn.Return<TableSchema, CqlError> {
  if (session.core.shared.script !== undefined) return yield* Effect.fail(needsServer("the schema of a table"))
  const described = yield* describe(session, table)
  const { keyspace, name } = described
  const text = `SELECT * FROM ${Names.quote(keyspace)}.${Names.quote(name)}`
  const query = { text, values: [], names: undefined, schema: undefined }
  const prepared = yield* Run.prepareOnly(session.core, query, session.core.settings, "anywhere")
  const all = prepared.columns ?? []
  const chosen = columns === undefined ? all : yield* choose(all, columns, described)
  const fields = yield* Effect.forEach(chosen, (column) => fieldOf(column, described))
  const kinds = new Map(described.columns.map((column) => [column.name, column]))
  return { keyspace, name, columns: chosen.map((column) => kinds.get(column.name)!), schema: structOf(fields) }
})

/** For rows that are written: what is absent of those columns that are of no key is left as it is. */
export const ofWrites = ({ columns, schema }: TableSchema): WriteSchema =>
  Schema.Struct(Object.fromEntries(columns.map(({ kind, name }) => {
    const value = schema.fields[name]!
    return [name, kind === "regular" || kind === "static" ? Schema.optionalKey(value) : value]
  })))

/** What a statement calls by this name; `InvalidQuery` where there is no such table or keyspace. */
export const describe = Effect.fnUntraced(function*(
  { cluster, keyspace: own }: Session["Service"],
  table: string
): Effect.fn.Return<Cluster.Table, CqlError> {
  const parsed = Names.parse(table)
  if (parsed === undefined) return yield* refused(`${JSON.stringify(table)} is not the name of a table`)
  const { keyspace = own, name } = parsed
  if (keyspace === undefined) return yield* refused("no keyspace has been specified")
  const found = yield* cluster.table(keyspace, name)
  if (Option.isSome(found)) return found.value
  const keyspaces = yield* cluster.keyspaces
  const isThere = keyspaces.some((there) => there.name === keyspace)
  return yield* refused(`${isThere ? `table ${keyspace}.${name}` : `keyspace ${keyspace}`} does not exist`)
})

const refused = (message: string): Effect.Effect<never, CqlError> =>
  Effect.fail(Errors.make({ reason: new Errors.InvalidQuery({ message }) }))

const choose = (
  all: ReadonlyArray<Column>,
  names: ReadonlyArray<string>,
  { keyspace, name: table }: Cluster.Table
): Effect.Effect<ReadonlyArray<Column>, CqlError> =>
  Effect.forEach([...new Set(names)], (name) => {
    const column = all.find((column) => column.name === name)
    return column === undefined
      ? refused(`undefined column name ${Names.quote(name)} in table ${keyspace}.${table}`)
      : Effect.succeed(column)
  })

const structOf = (fields: ReadonlyArray<readonly [name: string, ValueSchema]>): RowSchema =>
  Schema.Struct(Object.fromEntries(fields))

const fieldOf = (
  { name, type }: Column,
  table: Cluster.Table
): Effect.Effect<readonly [name: string, ValueSchema], CqlError> => {
  const schema = schemaOf(type)
  if (schema === undefined) return unknownType(name, type, table)
  return Effect.succeed([name, isRequired(name, table) ? schema : CqlType.Nullable(schema)])
}

/** A partition of static columns alone is a row, and has no clustering key. */
const isRequired = (name: string, { clusteringKey, columns, partitionKey }: Cluster.Table): boolean =>
  partitionKey.includes(name) ||
  (clusteringKey.includes(name) && columns.every((column) => column.kind !== "static"))

const unknownType = (
  name: string,
  type: ColumnType,
  { keyspace, name: table }: Cluster.Table
): Effect.Effect<never, CqlError> =>
  refused(
    `column ${Names.quote(name)} of ${keyspace}.${table} is of the type ${
      format(type)
    }, for which there is no schema: ` +
      "name the other columns alone"
  )

const scalars: Readonly<Record<ScalarName, ValueSchema>> = {
  ascii: CqlType.Ascii,
  bigint: CqlType.BigInt,
  blob: CqlType.Blob,
  boolean: CqlType.Boolean,
  counter: CqlType.Counter,
  date: CqlType.Date,
  decimal: CqlType.Decimal,
  double: CqlType.Double,
  duration: CqlType.Duration,
  float: CqlType.Float,
  inet: CqlType.Inet,
  int: CqlType.Int,
  smallint: CqlType.SmallInt,
  text: CqlType.Text,
  time: CqlType.Time,
  timestamp: CqlType.Timestamp,
  timeuuid: CqlType.TimeUuid,
  tinyint: CqlType.TinyInt,
  uuid: CqlType.Uuid,
  varint: CqlType.VarInt
}

/** `undefined` where it is, or holds, a type that only the server knows. */
const schemaOf = (type: ColumnType): ValueSchema | undefined => {
  switch (type.type) {
    case "custom":
      return undefined
    case "list":
      return ofAll([type.element], ([element]) => CqlType.List(element!))
    case "set":
      return ofAll([type.element], ([element]) => CqlType.Set(element!))
    case "map":
      return ofAll([type.key, type.value], ([key, value]) => CqlType.Map(key!, value!))
    case "vector":
      return ofAll([type.element], ([element]) => CqlType.Vector(element!, type.dimension))
    case "tuple":
      return ofAll(type.elements, (elements) => CqlType.Tuple(elements.map(CqlType.Nullable)))
    case "udt":
      return ofAll(type.fields.map((field) => field.type), (types) => {
        const fields = type.fields.map(({ name }, index) => [name, CqlType.Nullable(types[index]!)] as const)
        return CqlType.UserDefined(Object.fromEntries(fields))
      })
    default:
      return scalars[type.type]
  }
}

const ofAll = (
  types: ReadonlyArray<ColumnType>,
  combine: (schemas: ReadonlyArray<ValueSchema>) => ValueSchema
): ValueSchema | undefined => {
  const schemas = types.map(schemaOf)
  return schemas.every((schema) => schema !== undefined) ? combine(schemas) : undefined
}
