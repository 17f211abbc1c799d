/**
 * A schema against the columns that the server declares, once for each shape of result.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type { Column } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import type { NullInRow, RowField, RowShape } from "./Decoder.ts"
import { compileRows } from "./Decoder.ts"
import { acceptsNull, describe, fit, mismatch } from "./fit.ts"
import { classShape } from "./rowClass.ts"
import { compile } from "./schemaCompiler.ts"

export interface RowDecoder<A> {
  /** Reads the page's rows, or throws `NullInRow`. With `decode`, these are plain rows that have to go through it. */
  readonly rows: (buf: Buffer, offset: number) => Array<any>
  readonly decode:
    | ((rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>, Schema.SchemaError, any>)
    | undefined
}

/** Throws a `SchemaError` when a column is missing or its type cannot fit, before any row is read. */
export const make = <S extends Schema.Constraint>(
  schema: S,
  columns: ReadonlyArray<Column>
): RowDecoder<S["Type"]> => {
  const positions = new Map(columns.map((column, index) => [column.name, index]))
  const wanted = SchemaAST.toEncoded(schema.ast)
  if (wanted._tag === "Objects") refuseMismatches(wanted, columns, positions)
  const shape = proveRow(schema, columns, positions)
  if (shape !== undefined) return { rows: compileRows(columns, shape), decode: undefined }
  return { rows: compileRows(columns, plainShape(wanted, columns, positions)), decode: decodeRows(schema, columns) }
}

type Positions = ReadonlyMap<string, number>

// -----------------------------------------------------------------------------
// Before any row
// -----------------------------------------------------------------------------

const refuseMismatches = (ast: SchemaAST.Objects, columns: ReadonlyArray<Column>, positions: Positions): void => {
  const issues = ast.propertySignatures.flatMap(({ name, type }) => {
    const problem = problemOf(String(name), type, columns, positions)
    return problem === undefined
      ? []
      : [new SchemaIssue.Pointer([name], new SchemaIssue.InvalidValue({ message: problem }))]
  })
  const [first, ...others] = issues
  if (first === undefined) return
  throw new Schema.SchemaError(others.length === 0 ? first : new SchemaIssue.Composite(ast, [first, ...others]))
}

const problemOf = (
  name: string,
  ast: SchemaAST.AST,
  columns: ReadonlyArray<Column>,
  positions: Positions
): string | undefined => {
  const position = positions.get(name)
  if (position !== undefined) {
    const type = columns[position]!.type
    return fit(ast, type) === "impossible" ? mismatch(name, ast, type) : undefined
  }
  if (SchemaAST.isOptional(ast)) return undefined
  const present = columns.map((column) => column.name).join(", ")
  return `column ${JSON.stringify(name)}: the schema expects ${
    describe(ast)
  }, the result has no such column, only ${present}`
}

// -----------------------------------------------------------------------------
// Rows that need no look at their values
// -----------------------------------------------------------------------------

const proveRow = (
  schema: Schema.Constraint,
  columns: ReadonlyArray<Column>,
  positions: Positions
): RowShape | undefined => {
  const ast = schema.ast
  if (isBare(ast, "Objects")) return proveStruct(ast, columns, positions)
  const made = classShape(schema)
  const fields = made && proveStruct(made.struct, columns, positions)?.fields
  return fields && { fields, construct: made.construct, prototype: made.prototype }
}

const isBare = (ast: SchemaAST.AST, tag: "Objects"): ast is SchemaAST.Objects =>
  ast._tag === tag && ast.checks === undefined && ast.encoding === undefined

const proveStruct = (
  ast: SchemaAST.Objects,
  columns: ReadonlyArray<Column>,
  positions: Positions
): RowShape | undefined => {
  if (!isBare(ast, "Objects") || ast.indexSignatures.length > 0) return undefined
  const fields: Array<RowField> = []
  for (const { name, type } of ast.propertySignatures) {
    const column = typeof name === "string" ? positions.get(name) : undefined
    if (typeof name !== "string" || column === undefined) return undefined
    if (SchemaAST.isOptional(type) || fit(type, columns[column]!.type) !== "proved") return undefined
    fields.push({ name, column, nullable: acceptsNull(type), strict: true })
  }
  return { fields }
}

// -----------------------------------------------------------------------------
// Rows that a schema looks at
// -----------------------------------------------------------------------------

const plainShape = (wanted: SchemaAST.AST, columns: ReadonlyArray<Column>, positions: Positions): RowShape => {
  const properties = wanted._tag === "Objects" ? wanted.propertySignatures : []
  const types = new Map(properties.map(({ name, type }) => [name, type]))
  const everything = wanted._tag !== "Objects" || wanted.indexSignatures.length > 0
  const fields: Array<RowField> = []
  for (const [name, column] of positions) {
    const type = types.get(name)
    if (type === undefined && !everything) continue
    fields.push({ name, column, nullable: type === undefined || !needsEmpty(type, columns[column]!) })
  }
  return { fields }
}

/** The server does not tell an empty collection from none: a schema that is not for null gets the empty one. */
const needsEmpty = (ast: SchemaAST.AST, { type }: Column): boolean =>
  (type.type === "list" || type.type === "set" || type.type === "map") && !acceptsNull(ast)

const decodeRows = <S extends Schema.Constraint>(
  schema: S,
  columns: ReadonlyArray<Column>
): NonNullable<RowDecoder<S["Type"]>["decode"]> => {
  compile(schema.ast)
  const decode: DecodeRow<S["Type"]> = SchemaParser.decodeUnknownEffect(schema)
  return (rows) =>
    Effect.suspend(() => {
      const decoded: Array<S["Type"]> = []
      for (let row = 0; row < rows.length; row++) {
        const effect = decode(rows[row])
        // A schema that answers at once costs no fiber; the first that does not leaves the rest to the runtime.
        if (!Exit.isExit(effect)) return decodeRest(decode, effect, rows, decoded, columns)
        const exit = effect as Exit.Exit<S["Type"], SchemaIssue.Issue>
        if (Exit.isFailure(exit)) return Exit.failCause(Cause.map(exit.cause, rowError(rows, row, columns)))
        decoded.push(exit.value)
      }
      return Exit.succeed(decoded)
    })
}

type DecodeRow<A> = (row: unknown) => Effect.Effect<A, SchemaIssue.Issue, any>

const decodeRest = <A>(
  decode: DecodeRow<A>,
  first: Effect.Effect<A, SchemaIssue.Issue, any>,
  rows: ReadonlyArray<unknown>,
  decoded: Array<A>,
  columns: ReadonlyArray<Column>
): Effect.Effect<ReadonlyArray<A>, Schema.SchemaError, any> => {
  const from = decoded.length
  const rest = rows.slice(from).map((row, index): Effect.Effect<A, Schema.SchemaError, any> =>
    Effect.mapError(
      index === 0 ? first : Effect.suspend(() => decode(row)),
      (issue: SchemaIssue.Issue) => rowError(rows, from + index, columns)(issue)
    )
  )
  return Effect.map(Effect.all(rest), (others) => [...decoded, ...others])
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const flatten = SchemaIssue.makeFormatterStandardSchemaV1()

/** Names the row, the column, what was expected and what kind of value was found, and never the value. */
const rowError =
  (rows: ReadonlyArray<unknown>, row: number, columns: ReadonlyArray<Column>) =>
  (issue: SchemaIssue.Issue): Schema.SchemaError => {
    const [problem] = flatten(issue).issues
    const path = (problem?.path ?? []).map((part) => typeof part === "object" ? part.key : part)
    const expected = (problem?.message ?? "a valid row").replace(/^Expected /, "expected ")
    const column = columns.find((column) => column.name === path[0])
    if (column === undefined) return makeError([row, ...path], `row ${row}: ${expected}`)
    const found = kindOf(valueAt(rows[row], path))
    return makeError([row, ...path], `column ${JSON.stringify(column.name)} of row ${row}: ${expected}, found ${found}`)
  }

const valueAt = (value: unknown, path: ReadonlyArray<PropertyKey>): unknown => {
  let at = value
  for (const key of path) {
    if (typeof at !== "object" || at === null) return at
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return at
}

const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (typeof value !== "object") return value === undefined ? "nothing" : `a ${typeof value}`
  return Array.isArray(value) ? "an array" : `a ${value.constructor?.name ?? "value"}`
}

const makeError = (path: ReadonlyArray<PropertyKey>, message: string): Schema.SchemaError =>
  new Schema.SchemaError(new SchemaIssue.Pointer(path, new SchemaIssue.InvalidValue({ message })))

export const nullInRow = ({ column, field, found, row }: NullInRow): Schema.SchemaError =>
  makeError(
    [row, field],
    `column ${JSON.stringify(column.name)} of row ${row}: expected ${format(column.type)}, found ${found}`
  )
