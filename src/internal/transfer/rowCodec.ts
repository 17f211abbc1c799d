/**
 * Rows of a schema as objects that JSON can hold, and back.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { leaveOut } from "../codec/optionalFields.ts"
import { classShape } from "../codec/rowClass.ts"
import { compile } from "../codec/schemaCompiler.ts"

/** By column. */
export type JsonRow = Readonly<Record<string, unknown>>

export interface RowCodec {
  readonly columns: ReadonlyArray<RowColumn>
  /** Rows of one page. */
  readonly encode: (rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<JsonRow>, Schema.SchemaError, any>
  readonly decode: (row: JsonRow) => Effect.Effect<unknown, Misfit, any>
}

export interface RowColumn {
  readonly name: string
  /** Whether a row is one without it. */
  readonly isOptional: boolean
  /** Whether its values are strings and nothing else, but for null. */
  readonly isText: boolean
  /** Whether there may be numbers in it that JSON's own writer would change. */
  readonly hasFloats: boolean
}

/** Why an object is no row: it names what was expected and never a value. */
export interface Misfit {
  readonly column: string | undefined
  readonly expected: string
}

/** Of a struct or a class. */
export const make = (schema: Schema.Constraint): RowCodec => {
  const shape = classShape(schema)
  const codec = Schema.toCodecJson(Schema.make<AnySchema>(shape?.struct ?? schema.ast))
  const json = SchemaAST.toEncoded(codec.ast)
  const properties = json._tag === "Objects" ? json.propertySignatures : []
  return {
    columns: properties.map(columnOf(SchemaAST.toEncoded(schema.ast))),
    encode: makeEncode(codec),
    decode: makeDecode(codec, json, shape?.construct)
  }
}

type AnySchema = Schema.Codec<any, any, any, any>

// --- columns

const columnOf = (encoded: SchemaAST.AST) => ({ name, type }: SchemaAST.PropertySignature): RowColumn => {
  const properties = encoded._tag === "Objects" ? encoded.propertySignatures : []
  const plain = properties.find((property) => property.name === name)?.type
  return {
    name: String(name),
    isOptional: SchemaAST.isOptional(type),
    isText: isText(type),
    hasFloats: plain !== undefined && hasFloats(plain)
  }
}

const isText = (ast: SchemaAST.AST): boolean => {
  switch (ast._tag) {
    case "String":
    case "TemplateLiteral":
    case "Null":
    case "Undefined":
      return true
    case "Literal":
      return typeof ast.literal === "string"
    case "Union":
      return ast.types.every(isText)
    default:
      return false
  }
}

const wholeNumbers: ReadonlyArray<unknown> = ["tinyint", "smallint", "int"]

/** Schemas of collections have what is in them as parameters, or as elements. */
const hasFloats = (ast: SchemaAST.AST): boolean => {
  switch (ast._tag) {
    case "Number":
      return !(ast.checks ?? []).some((check) => wholeNumbers.includes(check.annotations?.["cqlType"]))
    case "Union":
      return ast.types.some(hasFloats)
    case "Arrays":
      return [...ast.elements, ...ast.rest].some(hasFloats)
    case "Objects":
      return ast.indexSignatures.length > 0 || ast.propertySignatures.some(({ type }) => hasFloats(type))
    case "Declaration":
      return ast.typeParameters.some((parameter) => hasFloats(SchemaAST.toEncoded(parameter)))
    case "String":
    case "Boolean":
    case "BigInt":
    case "Null":
    case "Undefined":
    case "Literal":
    case "TemplateLiteral":
      return false
    default:
      return true
  }
}

// --- rows

interface Parser {
  (value: unknown): Effect.Effect<any, SchemaIssue.Issue, any>
}

const makeEncode = (codec: AnySchema): RowCodec["encode"] => {
  compile(SchemaAST.flip(codec.ast))
  const encode: Parser = SchemaParser.encodeUnknownEffect(codec)
  return (rows) =>
    Effect.suspend(() => {
      const encoded: Array<JsonRow> = []
      for (const row of rows) {
        const effect = encode(row)
        // A schema that answers at once costs no fiber; the first that does not leaves the rest to the runtime.
        if (!Exit.isExit(effect) || Exit.isFailure(effect)) return encodeRest(encode, rows, encoded)
        encoded.push(effect.value as JsonRow)
      }
      return Effect.succeed(encoded)
    })
}

const encodeRest = (
  encode: Parser,
  rows: ReadonlyArray<unknown>,
  encoded: ReadonlyArray<JsonRow>
): ReturnType<RowCodec["encode"]> =>
  Effect.forEach(rows.slice(encoded.length), encode).pipe(
    Effect.map((rest) => [...encoded, ...rest]),
    Effect.mapError(notEncoded)
  )

const notEncoded = (issue: SchemaIssue.Issue): Schema.SchemaError => {
  const { column, expected } = misfit(issue)
  const message = column === undefined
    ? `a row has no form in JSON: ${expected}`
    : `column ${quoted(column)}: ${expected}`
  return new Schema.SchemaError(new SchemaIssue.InvalidValue({ message }))
}

const quoted = (name: string): string => JSON.stringify(name)

const makeDecode = (
  codec: AnySchema,
  json: SchemaAST.AST,
  construct: ((properties: object) => unknown) | undefined
): RowCodec["decode"] => {
  compile(codec.ast)
  const decode: Parser = SchemaParser.decodeUnknownEffect(codec)
  const prepare = leaveOut(json)
  return (row) => {
    prepare?.(row)
    const decoded = Effect.mapErrorEager(decode(row), misfit)
    return construct === undefined ? decoded : Effect.mapEager(decoded, construct)
  }
}

const flatten = SchemaIssue.makeFormatterStandardSchemaV1()

const misfit = (issue: SchemaIssue.Issue): Misfit => {
  const [problem] = flatten(issue).issues
  const path = (problem?.path ?? []).map((part) => typeof part === "object" ? part.key : part)
  const expected = (problem?.message ?? "a valid row").replace(/^Expected /, "expected ")
  const [column, ...inside] = path
  const place = inside.length === 0 ? "" : ` at ${inside.map((key) => `[${JSON.stringify(key)}]`).join("")}`
  return { column: column === undefined ? undefined : String(column), expected: `${expected}${place}` }
}

// --- times

/** When a value was written and in how many seconds it expires, beside the columns. */
export interface TimeColumn {
  readonly kind: "writetime" | "ttl"
  /** Whose value it is about. */
  readonly column: string
}

export const timeName = ({ column, kind }: TimeColumn): string => `${kind}(${column})`

export const lineColumnOf = (time: TimeColumn): Pick<RowColumn, "name" | "isText" | "hasFloats"> => ({
  name: timeName(time),
  isText: time.kind === "writetime",
  hasFloats: false
})

export const timeColumn = (name: string): TimeColumn | undefined => {
  const [, kind, column] = /^(writetime|ttl)\((.+)\)$/s.exec(name) ?? []
  return column === undefined ? undefined : { kind: kind as TimeColumn["kind"], column }
}

/** Rows together with their times. */
export interface TimedRow {
  readonly row: unknown
  readonly times: JsonRow
}

/** The schema of rows that have columns of times in them, as pairs of a row and of these. */
export const withTimes = (schema: Schema.Constraint, times: ReadonlyArray<TimeColumn>): Schema.Constraint => {
  const encoded = SchemaAST.toEncoded(schema.ast)
  if (times.length === 0 || encoded._tag !== "Objects") return schema
  const names = times.map(timeName)
  const Times = Schema.Struct(
    Object.fromEntries(times.map((time) => [timeName(time), time.kind === "ttl" ? Ttl : WriteTime]))
  )
  const signatures = [...encoded.propertySignatures, ...Times.ast.propertySignatures]
  const flat = Schema.make<AnySchema>(new SchemaAST.Objects(signatures, []))
  const pair = Schema.Struct({ row: Schema.make<AnySchema>(schema.ast), times: Times })
  return Schema.decodeTo(pair, pairing(names))(flat)
}

/** Only ever read. */
const pairing = (names: ReadonlyArray<string>) =>
  SchemaTransformation.transform<any, any>({
    decode: (row: JsonRow) => ({ row, times: Object.fromEntries(names.map((name) => [name, row[name]])) }),
    encode: ({ row, times }: TimedRow) => ({ ...(row as object), ...times })
  })

const WriteTime = Schema.NullOr(Schema.BigInt)

const Ttl = Schema.NullOr(Schema.Number)
