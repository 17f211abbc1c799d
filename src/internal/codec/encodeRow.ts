/**
 * From a value to the columns of a row, by its schema: the same columns in the same order for every value.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import { kindOf } from "./kindOf.ts"
import { classShape } from "./rowClass.ts"
import { compile } from "./schemaCompiler.ts"

export interface RowEncoder {
  /** What the encoded side of the schema names. */
  readonly columns: ReadonlyArray<string>
  /** The values in the order of the columns; what is absent is `undefined`. */
  readonly encode: (value: unknown) => Result.Result<ReadonlyArray<unknown>, Misfit>
}

/** Why a value has no row: it names kinds of values and never a value. */
export interface Misfit {
  /** The column's place; `undefined` where it is the row as a whole. */
  readonly column: number | undefined
  readonly expected: string
  readonly found: string
  readonly hint?: string | undefined
}

/** Fails with what the schema is, where that is nothing that has columns. */
export const make = (schema: Schema.Constraint): Result.Result<RowEncoder, string> => {
  const encoded = SchemaAST.toEncoded(schema.ast)
  if (encoded._tag !== "Objects") return Result.fail(kindsOfSchemas[encoded._tag] ?? "a schema of one value")
  if (encoded.indexSignatures.length > 0) return Result.fail("a record, whose keys are not known beforehand")
  const columns = encoded.propertySignatures.map(({ name }) => name).filter((name) => typeof name === "string")
  if (columns.length < encoded.propertySignatures.length) return Result.fail("a struct with a key that is a symbol")
  if (columns.length === 0) return Result.fail("a struct without fields")
  return Result.succeed({ columns, encode: makeEncode(schema, encoded, columns) })
}

const kindsOfSchemas: Readonly<Partial<Record<SchemaAST.AST["_tag"], string>>> = {
  Arrays: "an array",
  Suspend: "a schema that refers to itself",
  Union: "a union"
}

const makeEncode = (
  schema: Schema.Constraint,
  encoded: SchemaAST.Objects,
  columns: ReadonlyArray<string>
): RowEncoder["encode"] => {
  const run = makeParser(schema)
  const read = makeReader(columns)
  const places = placesOf(schema.ast, encoded)
  return (value) => {
    const exit = Effect.runSyncExit(run(value))
    return Exit.isSuccess(exit) ? Result.succeed(read(exit.value)) : Result.fail(misfit(exit.cause, places))
  }
}

// -----------------------------------------------------------------------------
// Values
// -----------------------------------------------------------------------------

interface Parser {
  (value: unknown): Effect.Effect<unknown, SchemaIssue.Issue>
}

/** What was found is read off the issue, and is forgotten with it. */
const parseOptions: SchemaAST.ParseOptions = { reportInput: true }

/** The instances of a class are encoded as what its struct names, and so is a plain object of the same fields. */
const makeParser = (schema: Schema.Constraint): Parser => {
  const ast = classShape(schema)?.struct ?? schema.ast
  compile(SchemaAST.flip(ast))
  const encode = SchemaParser.encodeUnknownEffect(Schema.make<SomeSchema>(ast), parseOptions)
  if (ast._tag === "Objects") return fieldsOf(ast).some(({ name }) => isInherited(name)) ? ofOwnKeys(encode) : encode
  // A class with checks or with keys of another name encodes nothing but instances.
  const construct = SchemaParser.makeEffect(Schema.make<SomeSchema>(ast))
  return (value) => Effect.flatMapEager(construct(value, { parseOptions }), (made) => encode(made))
}

type SomeSchema = Schema.Codec<unknown, unknown>

/** Effect takes what an object inherits, as its `constructor`, for a key that is there. */
const ofOwnKeys = (encode: Parser): Parser => (value) =>
  encode(typeof value === "object" && value !== null ? Object.assign(Object.create(null), value) : value)

const isInherited = (name: PropertyKey): boolean => name in Object.prototype

const makeReader = (columns: ReadonlyArray<string>): (row: unknown) => ReadonlyArray<unknown> =>
  columns.some(isInherited)
    ? (row) => columns.map((column) => Object.hasOwn(row as object, column) ? (row as Row)[column] : undefined)
    : (row) => columns.map((column) => (row as Row)[column])

type Row = Readonly<Record<string, unknown>>

// -----------------------------------------------------------------------------
// What does not fit
// -----------------------------------------------------------------------------

/** The fields of a struct, or of a class's struct, as the type side names them. */
const fieldsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.PropertySignature> => {
  if (ast._tag === "Objects") return ast.propertySignatures
  const struct = ast._tag === "Declaration" ? ast.typeParameters[0] : undefined
  return struct?._tag === "Objects" ? struct.propertySignatures : []
}

/** The column of each key that an issue can name: that of a field is the key's own, unless the keys were renamed. */
const placesOf = (ast: SchemaAST.AST, encoded: SchemaAST.Objects): ReadonlyMap<PropertyKey, number> => {
  const columns = encoded.propertySignatures
  const places = new Map(columns.map(({ name }, index) => [name, index]))
  const fields = fieldsOf(ast)
  const correspond = fields.length === columns.length &&
    fields.every(({ type }, index) => SchemaAST.toEncoded(type) === columns[index]!.type)
  if (correspond) fields.forEach(({ name }, index) => places.set(name, index))
  return places
}

const misfit = (cause: Cause.Cause<SchemaIssue.Issue>, places: ReadonlyMap<PropertyKey, number>): Misfit => {
  const issue = Cause.findErrorOption(cause)
  if (Option.isNone(issue)) return notAtOnce(cause)
  const { expected, found, path } = firstProblem(issue.value, [])
  const column = path[0] === undefined ? undefined : places.get(path[0])
  return { column, expected, found: path.length > 1 ? `${found} inside` : found }
}

/** What a schema throws is a mistake in it, and stays one. */
const notAtOnce = (cause: Cause.Cause<unknown>): Misfit => {
  const defect = Cause.squash(cause)
  if (!Cause.isAsyncFiberError(defect)) throw defect
  defect.fiber.interruptUnsafe()
  return {
    column: undefined,
    expected: "a schema that encodes at once",
    found: "one that waits",
    hint: "encode the value first, with Schema.encodeEffect, and bind what it gives"
  }
}

interface Problem {
  readonly path: ReadonlyArray<PropertyKey>
  readonly expected: string
  readonly found: string
}

/**
 * By what the schema says of itself. What a check or a transformation says of a value may repeat the value, as the
 * message of a JSON parser does.
 */
const firstProblem = (issue: SchemaIssue.Issue, path: ReadonlyArray<PropertyKey>): Problem => {
  switch (issue._tag) {
    case "Pointer":
      return firstProblem(issue.issue, [...path, ...issue.path])
    case "Encoding":
      return firstProblem(issue.issue, path)
    case "Composite":
      return firstProblem(issue.issues[0], path)
    case "Filter":
      return { ...firstProblem(issue.issue, path), ...expectedBy(issue.filter.annotations) }
    case "AnyOf":
      return issue.issues.length === 1
        ? firstProblem(issue.issues[0]!, path)
        : { path, expected: expectedOf(issue.ast), found: foundBy(issue) }
    case "InvalidType":
      return { path, expected: expectedOf(issue.ast), found: foundBy(issue) }
    case "InvalidValue":
      return { path, expected: "a valid value", ...expectedBy(issue.annotations), found: foundBy(issue) }
    case "OneOf":
      return { path, expected: "a value of one member alone", found: foundBy(issue) }
    case "MissingKey":
      return { path, expected: "a value", found: "nothing" }
    case "UnexpectedKey":
      return { path, expected: "no such key", found: foundBy(issue) }
    case "Forbidden":
      return { path, expected: "a schema that can encode", found: "one that only decodes" }
  }
}

const expectedBy = (
  annotations: Schema.Annotations.Annotations | undefined
): { readonly expected: string } | undefined => {
  const expected = annotations?.["expected"]
  return typeof expected === "string" ? { expected } : undefined
}

const expectedOf = (ast: SchemaAST.AST): string =>
  SchemaIssue.defaultLeafHook(new SchemaIssue.InvalidType(ast)).replace(/^Expected /, "")

const foundBy = (issue: SchemaIssue.Issue): string => SchemaIssue.hasInput(issue) ? kindOf(issue.input) : "nothing"
