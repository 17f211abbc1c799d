/**
 * A schema against the columns that the server declares, once for each shape of result.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type { Column, ColumnType } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import type { NullInRow, RowField, RowShape, RowsReader } from "./Decoder.ts"
import { compileRows } from "./Decoder.ts"
import { acceptsNull, describe, fit, isCheckedBefore, isOnlyChecked, mismatch } from "./fit.ts"
import { kindOf } from "./kindOf.ts"
import { leaveOut } from "./optionalFields.ts"
import { classShape } from "./rowClass.ts"
import { compile } from "./schemaCompiler.ts"

export interface RowDecoder<A> {
  /** Reads the page's rows, or throws `NullInRow`. With `decode`, these are plain rows that have to go through it. */
  readonly rows: RowsReader<any>
  readonly decode:
    | ((rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>, Schema.SchemaError, any>)
    | undefined
}

/**
 * Throws a `SchemaError` when a column is missing or its type cannot fit, before any row is read. The hidden column is
 * for no schema.
 */
export const make = <S extends Schema.Constraint>(
  schema: S,
  columns: ReadonlyArray<Column>,
  hidden?: string
): RowDecoder<S["Type"]> => {
  const result: Result = { columns, positions: positionsOf(columns, hidden) }
  const encoded = SchemaAST.toEncoded(schema.ast)
  if (encoded._tag === "Objects") refuseMismatches(encoded, result)
  const { construct, struct } = classShape(schema) ?? { struct: schema.ast, construct: undefined }
  const proof = proveFields(struct, result)
  if (proof === undefined) {
    const rows = withoutAbsent(compileRows(columns, plainShape(encoded, result)), encoded)
    return { rows, decode: decodeRows(struct, construct, columns) }
  }
  return proof.unproved.length === 0
    ? { rows: compileRows(columns, { fields: proof.fields, construct }), decode: undefined }
    : { rows: compileRows(columns, { fields: proof.fields }), decode: checkRows(proof.unproved, construct, columns) }
}

interface Result {
  readonly columns: ReadonlyArray<Column>
  /** Of two columns with one name the last counts, as in a plain row. */
  readonly positions: ReadonlyMap<string, number>
}

const positionsOf = (columns: ReadonlyArray<Column>, hidden: string | undefined): ReadonlyMap<string, number> => {
  const positions = new Map(columns.map((column, index) => [column.name, index]))
  if (hidden !== undefined) positions.delete(hidden)
  return positions
}

type Construct = ((properties: object) => unknown) | undefined

type DecodeRows = (rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<any>, Schema.SchemaError, any>

// -----------------------------------------------------------------------------
// Before any row
// -----------------------------------------------------------------------------

const refuseMismatches = (ast: SchemaAST.Objects, result: Result): void => {
  const issues = ast.propertySignatures.flatMap(({ name, type }) => {
    const message = problemOf(String(name), type, result)
    return message === undefined ? [] : [new SchemaIssue.Pointer([name], new SchemaIssue.InvalidValue({ message }))]
  })
  const [first, ...others] = issues
  if (first === undefined) return
  throw new Schema.SchemaError(others.length === 0 ? first : new SchemaIssue.Composite(ast, [first, ...others]))
}

const problemOf = (name: string, ast: SchemaAST.AST, { columns, positions }: Result): string | undefined => {
  const position = positions.get(name)
  if (position !== undefined) {
    const type = columns[position]!.type
    return fit(ast, type) === "impossible" ? mismatch(name, ast, type) : undefined
  }
  if (SchemaAST.isOptional(ast)) return undefined
  const present = columns.map((column) => column.name).join(", ")
  const hint = hintFor(columns.some((column) => column.name === "[applied]"), positions.has("[applied]"))
  return `column ${JSON.stringify(name)}: the schema expects ${describe(ast)}, the result has only ${present}${hint}`
}

/** Of the outcome of a condition: asked for as rows, or with a schema of more than it answers. */
const hintFor = (isOutcome: boolean, asRow: boolean): string => {
  if (!isOutcome) return ""
  return asRow
    ? "; take .applied of a statement with a condition"
    : "; it was not applied, and a condition answers no columns but those that it names"
}

/** What a schema says of one name, beside a type of the server's. */
interface Compared {
  readonly ours: string
  readonly problem: string | undefined
}

/** Every column of the schema and of the result, each with what the other side has for it. */
export const compare = (schema: Schema.Constraint, columns: ReadonlyArray<Column>): ReadonlyArray<NamedComparison> => {
  const result: Result = { columns, positions: positionsOf(columns, undefined) }
  const encoded = SchemaAST.toEncoded(schema.ast)
  const properties = encoded._tag === "Objects" ? encoded.propertySignatures : []
  const missing = properties.filter(({ name }) => !result.positions.has(String(name)))
  return [
    ...columns.map(({ name, type }): NamedComparison => ({
      name,
      server: format(type),
      ours: undefined,
      problem: undefined,
      ...compareField(schema, name, type)
    })),
    ...missing.map(({ name, type }): NamedComparison => ({
      name: String(name),
      server: undefined,
      ours: describe(type),
      problem: problemOf(String(name), type, result)
    }))
  ]
}

interface NamedComparison {
  readonly name: string
  readonly server: string | undefined
  readonly ours: string | undefined
  readonly problem: string | undefined
}

/** `undefined` for a name that the schema does not have. */
export const compareField = (schema: Schema.Constraint, name: string, type: ColumnType): Compared | undefined => {
  const encoded = SchemaAST.toEncoded(schema.ast)
  const properties = encoded._tag === "Objects" ? encoded.propertySignatures : []
  const property = properties.find((property) => property.name === name)
  if (property === undefined) return undefined
  const problem = fit(property.type, type) === "impossible" ? mismatch(name, property.type, type) : undefined
  return { ours: describe(property.type), problem }
}

// -----------------------------------------------------------------------------
// What the declared types prove
// -----------------------------------------------------------------------------

interface Proof {
  readonly fields: ReadonlyArray<RowField>
  /** Fields whose values a schema has to look at, and gives back as they are. */
  readonly unproved: ReadonlyArray<SchemaAST.PropertySignature>
}

/** `undefined` when the rows have to go through the whole schema. */
const proveFields = (ast: SchemaAST.AST, { columns, positions }: Result): Proof | undefined => {
  if (ast._tag !== "Objects" || ast.checks !== undefined || ast.encoding !== undefined) return undefined
  if (ast.indexSignatures.length > 0 || isCheckedBefore(ast)) return undefined
  const fields: Array<RowField> = []
  const unproved: Array<SchemaAST.PropertySignature> = []
  for (const property of ast.propertySignatures) {
    const { name, type } = property
    const column = typeof name === "string" ? positions.get(name) : undefined
    if (typeof name !== "string" || column === undefined || SchemaAST.isOptional(type)) return undefined
    const proved = fit(type, columns[column]!.type) === "proved"
    if (!proved && !isOnlyChecked(type)) return undefined
    if (!proved) unproved.push(property)
    const nullable = proved ? acceptsNull(type) : !needsEmpty(type, columns[column]!)
    fields.push({ name, column, nullable, use: proved ? "proved" : "unproved" })
  }
  return { fields, unproved }
}

/** The server does not tell an empty collection from none: a schema that is not for null gets the empty one. */
const needsEmpty = (ast: SchemaAST.AST, { type }: Column): boolean =>
  (type.type === "list" || type.type === "set" || type.type === "map") && !acceptsNull(ast)

// -----------------------------------------------------------------------------
// Rows with fields to check
// -----------------------------------------------------------------------------

/** A struct of the unproved fields alone looks at the rows; they stay what they are. */
const checkRows = (
  unproved: ReadonlyArray<SchemaAST.PropertySignature>,
  construct: Construct,
  columns: ReadonlyArray<Column>
): DecodeRows => {
  const fields = Object.fromEntries(unproved.map(({ name, type }) => [name, Schema.make<Schema.Top>(type)]))
  const schema = Schema.Struct(fields)
  compile(schema.ast)
  const fits = SchemaParser.is(schema)
  const decode: DecodeRow = SchemaParser.decodeUnknownEffect(schema)
  // The yes or no is the fast part; only a row that does not fit is decoded, for the reason.
  const why = (row: unknown) => Effect.flatMap(decode(row), () => Effect.fail(new SchemaIssue.InvalidValue()))
  return (rows) =>
    Effect.suspend(() => {
      for (let row = 0; row < rows.length; row++) {
        if (!fits(rows[row])) return Effect.mapError(why(rows[row]), rowError(rows, row, columns))
      }
      return Effect.succeed(construct === undefined ? rows : rows.map((row) => construct(row as object)))
    })
}

// -----------------------------------------------------------------------------
// Rows that go through the whole schema
// -----------------------------------------------------------------------------

const plainShape = (encoded: SchemaAST.AST, { columns, positions }: Result): RowShape => {
  const properties = encoded._tag === "Objects" ? encoded.propertySignatures : []
  const types = new Map(properties.map(({ name, type }) => [name, type]))
  const everything = encoded._tag !== "Objects" || encoded.indexSignatures.length > 0
  const fields: Array<RowField> = []
  for (const [name, column] of positions) {
    const type = types.get(name)
    if (type === undefined && !everything) continue
    fields.push({ name, column, nullable: type === undefined || !needsEmpty(type, columns[column]!) })
  }
  return { fields }
}

const withoutAbsent = (read: RowsReader<unknown>, encoded: SchemaAST.AST): RowsReader<unknown> => {
  const prepare = leaveOut(encoded)
  if (prepare === undefined) return read
  return (buf, offset, most) => {
    const rows = read(buf, offset, most)
    rows.forEach(prepare)
    return rows
  }
}

/** Of plain rows that no server has declared the columns of. */
export const decodePlain = (schema: Schema.Constraint): DecodeRows => {
  const { construct, struct } = classShape(schema) ?? { struct: schema.ast, construct: undefined }
  const prepare = leaveOut(SchemaAST.toEncoded(schema.ast))
  const decode = decodeRows(struct, construct, [])
  return (rows) =>
    Effect.suspend(() => {
      if (prepare !== undefined) rows.forEach(prepare)
      return decode(rows)
    })
}

type DecodeRow = (row: unknown) => Effect.Effect<any, SchemaIssue.Issue, any>

/** A class is decoded as its struct, and made by its constructor apart: as one, it would not be compiled. */
const decodeRows = (ast: SchemaAST.AST, construct: Construct, columns: ReadonlyArray<Column>): DecodeRows => {
  compile(ast)
  const decode: DecodeRow = SchemaParser.decodeUnknownEffect(Schema.make<Schema.Top>(ast))
  return (rows) =>
    Effect.suspend(() => {
      const decoded: Array<unknown> = []
      for (let row = 0; row < rows.length; row++) {
        const effect = decode(rows[row])
        // A schema that answers at once costs no fiber; the first that does not leaves the rest to the runtime.
        if (!Exit.isExit(effect)) return decodeRest(decode, construct, columns, rows, decoded)
        const exit = effect as Exit.Exit<any, SchemaIssue.Issue>
        if (Exit.isFailure(exit)) return Exit.failCause(Cause.map(exit.cause, rowError(rows, row, columns)))
        decoded.push(construct === undefined ? exit.value : construct(exit.value))
      }
      return Exit.succeed(decoded)
    })
}

const decodeRest = (
  decode: DecodeRow,
  construct: Construct,
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<unknown>,
  decoded: Array<unknown>
): ReturnType<DecodeRows> => {
  const from = decoded.length
  return Effect.map(
    Effect.forEach(
      rows.slice(from),
      (row, index) => Effect.mapError(decode(row), rowError(rows, from + index, columns))
    ),
    (rest) => [...decoded, ...(construct === undefined ? rest : rest.map((row) => construct(row)))]
  )
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
    const value = valueAt(rows[row], path)
    const found = value === undefined ? "nothing" : kindOf(value)
    return makeError([row, ...path], `column ${JSON.stringify(column.name)} of row ${row}: ${expected}, found ${found}`)
  }

const valueAt = (value: unknown, path: ReadonlyArray<PropertyKey>): unknown => {
  let at = value
  for (const key of path) {
    // What is inside a set or a map has no key of its own.
    if (typeof at !== "object" || at === null || at instanceof Set || at instanceof Map) return at
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return at
}

const makeError = (path: ReadonlyArray<PropertyKey>, message: string): Schema.SchemaError =>
  new Schema.SchemaError(new SchemaIssue.Pointer(path, new SchemaIssue.InvalidValue({ message })))

export const nullInRow = ({ column, field, found, row }: NullInRow): Schema.SchemaError =>
  makeError(
    [row, field],
    `column ${JSON.stringify(column.name)} of row ${row}: expected ${format(column.type)}, found ${found}`
  )
