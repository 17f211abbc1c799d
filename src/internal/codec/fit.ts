/**
 * Whether a schema can read a column of a CQL type, told from the two declarations and before any value is there.
 */
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type { ColumnType } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"

/**
 * - `proved`: every value that the decoder makes of the column is one of the schema, as it is
 * - `possible`: the schema has to look at each value
 * - `impossible`: no value can fit
 */
export type Fit = "proved" | "possible" | "impossible"

/** The annotation by which a schema says its CQL type. */
export const annotationKey = "cqlType"

/** How a schema's values fit a column, null aside: {@link acceptsNull} tells that. */
export const fit = (ast: SchemaAST.AST, type: ColumnType): Fit => {
  if (ast.encoding !== undefined) return atMostPossible(fit(SchemaAST.toEncoded(ast), type))
  const declared = declaredType(ast)
  if (declared !== undefined && !agrees(declared, type)) return "impossible"
  const base = fitOfNode(ast, type)
  return base === "proved" && !checksAreProved(ast.checks, type) || isCheckedBefore(ast) ? atMostPossible(base) : base
}

export const acceptsNull = (ast: SchemaAST.AST): boolean => {
  if (ast.encoding !== undefined) return acceptsNull(SchemaAST.toEncoded(ast))
  switch (ast._tag) {
    case "Null":
    case "Unknown":
    case "Any":
      return true
    case "Union":
      return ast.types.some(acceptsNull)
    case "Suspend":
      return acceptsNull(ast.thunk())
    default:
      return false
  }
}

/** A schema that was flipped has the checks of its other side, which run before its own. */
export const isCheckedBefore = (ast: SchemaAST.AST): boolean =>
  "encodingChecks" in ast && ast.encodingChecks !== undefined

/** Whether to decode a value is only to check it, and gives back the value itself. */
export const isOnlyChecked = (ast: SchemaAST.AST): boolean => {
  if (ast.encoding !== undefined || SchemaAST.isOptional(ast)) return false
  switch (ast._tag) {
    case "String":
    case "Number":
    case "BigInt":
    case "Boolean":
    case "Literal":
    case "Enum":
    case "TemplateLiteral":
    case "Null":
    case "Undefined":
    case "Unknown":
    case "Any":
      return true
    case "Union":
      return ast.types.every(isOnlyChecked)
    case "Arrays":
      return [...ast.elements, ...ast.rest].every(isOnlyChecked)
    case "Declaration":
      return isKnown(ast) && ast.typeParameters.every(isOnlyChecked)
    default:
      // A struct leaves out what it does not name, so it gives another object.
      return false
  }
}

const atMostPossible = (found: Fit): Fit => found === "impossible" ? "impossible" : "possible"

const worst = (fits: ReadonlyArray<Fit>): Fit =>
  fits.includes("impossible") ? "impossible" : fits.includes("possible") ? "possible" : "proved"

// -----------------------------------------------------------------------------
// The annotation
// -----------------------------------------------------------------------------

/** With checks, an annotation is kept by the last of them. */
const declaredType = (ast: SchemaAST.AST): string | undefined => {
  const annotated = [ast.annotations, ...(ast.checks ?? []).map((check) => check.annotations)]
  const found = annotated.findLast((annotations) => typeof annotations?.[annotationKey] === "string")
  return found?.[annotationKey] as string | undefined
}

/** Types whose values are the same plain values, and every one of the second is one of the first. */
const alike: Readonly<Record<string, ReadonlyArray<string>>> = {
  text: ["ascii"],
  uuid: ["timeuuid"],
  bigint: ["counter"],
  counter: ["bigint"]
}

const agrees = (declared: string, type: ColumnType): boolean =>
  declared === type.type || (alike[declared]?.includes(type.type) ?? false)

// -----------------------------------------------------------------------------
// Nodes
// -----------------------------------------------------------------------------

const strings = new Set<string>(["ascii", "date", "inet", "text", "time", "timeuuid", "uuid"])
const wholeNumbers = new Set<string>(["int", "smallint", "tinyint"])
const numbers = new Set<string>([...wholeNumbers, "double", "float"])
const bigints = new Set<string>(["bigint", "counter", "varint"])

const among = (types: ReadonlySet<string>, type: ColumnType): Fit => types.has(type.type) ? "proved" : "impossible"

const is = (name: ColumnType["type"], type: ColumnType): Fit => type.type === name ? "proved" : "impossible"

const fitOfNode = (ast: SchemaAST.AST, type: ColumnType): Fit => {
  switch (ast._tag) {
    case "Unknown":
    case "Any":
      return "proved"
    case "String":
      return among(strings, type)
    case "TemplateLiteral":
      return atMostPossible(among(strings, type))
    case "Number":
      return among(numbers, type)
    case "BigInt":
      return among(bigints, type)
    case "Boolean":
      return is("boolean", type)
    case "Literal":
      return atMostPossible(fitOfLiteral(ast.literal, type))
    case "Enum":
      return ast.enums.some(([, value]) => fitOfLiteral(value, type) === "proved") ? "possible" : "impossible"
    case "Union":
      return fitOfUnion(ast, type)
    case "Arrays":
      return fitOfArray(ast, type)
    case "Objects":
      return fitOfObject(ast, type)
    case "Declaration":
      return fitOfDeclaration(ast, type)
    case "Null":
    case "Undefined":
    case "Suspend":
    case "ObjectKeyword":
      return "possible"
    case "Never":
    case "Void":
    case "Symbol":
    case "UniqueSymbol":
      return "impossible"
  }
}

const fitOfLiteral = (literal: SchemaAST.LiteralValue, type: ColumnType): Fit => {
  switch (typeof literal) {
    case "string":
      return among(strings, type)
    case "number":
      return among(numbers, type)
    case "bigint":
      return among(bigints, type)
    case "boolean":
      return is("boolean", type)
  }
}

const isNullish = (ast: SchemaAST.AST): boolean =>
  (ast._tag === "Null" || ast._tag === "Undefined") && ast.encoding === undefined

const fitOfUnion = (ast: SchemaAST.Union, type: ColumnType): Fit => {
  const members = ast.types.filter((member) => !isNullish(member))
  const fits = members.map((member) => fit(member, type))
  if (members.length === 1) return fits[0]!
  return members.length > 0 && fits.every((found) => found === "impossible") ? "impossible" : "possible"
}

// Inside a list, a set, a map and a vector there is no null; the decoder sees to it where all is proved.
const fitOfArray = (ast: SchemaAST.Arrays, type: ColumnType): Fit => {
  if (type.type === "tuple") return fitOfTuple(ast, type.elements)
  if (type.type !== "list" && type.type !== "vector") return "impossible"
  if (type.type === "vector" && !lengthsOf(ast).every((length) => includes(length, type.dimension))) return "impossible"
  const elements = worst([...ast.elements, ...ast.rest].map((element) => fit(element, type.element)))
  return ast.elements.length === 0 && ast.rest.length === 1 ? elements : atMostPossible(elements)
}

interface Lengths {
  readonly minimum: number
  readonly maximum: number
}

const includes = ({ maximum, minimum }: Lengths, length: number): boolean => minimum <= length && length <= maximum

/** What an array's checks say of its length. */
const lengthsOf = (ast: SchemaAST.Arrays): ReadonlyArray<Lengths> =>
  (ast.checks ?? []).map((check) => representationOf(check.annotations))
    .filter((representation) => representation?.id === "effect/schema/isBetweenLength")
    .map((representation) => representation!.payload as Lengths)

/** Any element of a tuple can be null. */
const fitOfTuple = (ast: SchemaAST.Arrays, types: ReadonlyArray<ColumnType>): Fit => {
  if (ast.rest.length > 0) return "possible"
  const required = ast.elements.filter((element) => !SchemaAST.isOptional(element)).length
  if (types.length < required || types.length > ast.elements.length) return "impossible"
  if (ast.elements.some(SchemaAST.isOptional)) return "possible"
  return worst(ast.elements.map((element, index) => fitInside(element, types[index]!)))
}

const fitInside = (ast: SchemaAST.AST, type: ColumnType): Fit => {
  const found = fit(ast, type)
  return acceptsNull(ast) ? found : atMostPossible(found)
}

const fitOfObject = (ast: SchemaAST.Objects, type: ColumnType): Fit => {
  if (type.type === "duration") return isDuration(ast) ? "proved" : "possible"
  if (type.type !== "udt" || ast.indexSignatures.length > 0) return "impossible"
  const fits = ast.propertySignatures.map((property): Fit => {
    const field = type.fields.find((field) => field.name === property.name)
    if (field !== undefined) return fitInside(property.type, field.type)
    return SchemaAST.isOptional(property.type) ? "possible" : "impossible"
  })
  const found = worst(fits)
  // A schema takes away the fields that it does not name.
  return fits.length === type.fields.length ? found : atMostPossible(found)
}

/** As `CqlType.Duration` has it; any other struct has to look at each value. */
const isDuration = (ast: SchemaAST.Objects): boolean =>
  ast.indexSignatures.length === 0 &&
  ast.propertySignatures.length === 3 &&
  ast.propertySignatures.every(({ name, type }) =>
    type.encoding === undefined &&
    !SchemaAST.isOptional(type) &&
    (name === "nanoseconds"
      ? fit(type, { type: "bigint" }) === "proved"
      : (name === "months" || name === "days") && fit(type, { type: "int" }) === "proved")
  )

// -----------------------------------------------------------------------------
// Declarations
// -----------------------------------------------------------------------------

const simple: ReadonlyArray<readonly [SchemaAST.Declaration, ReadonlySet<string>]> = [
  [Schema.Date.ast, new Set(["timestamp"])],
  [Schema.Uint8Array.ast, new Set(["blob", "custom"])],
  [Schema.BigDecimal.ast, new Set(["decimal"])]
]

const fitOfDeclaration = (ast: SchemaAST.Declaration, type: ColumnType): Fit => {
  const known = simple.find(([declaration]) => declaration.run === ast.run)
  if (known !== undefined) return among(known[1], type)
  switch (idOf(ast.annotations)) {
    case "effect/schema/ReadonlySet":
      return type.type === "set" ? fit(ast.typeParameters[0]!, type.element) : "impossible"
    case "effect/schema/ReadonlyMap":
      return type.type === "map"
        ? worst([fit(ast.typeParameters[0]!, type.key), fit(ast.typeParameters[1]!, type.value)])
        : "impossible"
    default:
      return "possible"
  }
}

const collections = new Set<string | undefined>(["effect/schema/ReadonlySet", "effect/schema/ReadonlyMap"])

const isKnown = (ast: SchemaAST.Declaration): boolean =>
  collections.has(idOf(ast.annotations)) || simple.some(([declaration]) => declaration.run === ast.run)

const representationOf = (annotations: Schema.Annotations.Annotations | undefined) =>
  annotations?.["representation"] as { readonly id: string; readonly payload: unknown } | undefined

const idOf = (annotations: Schema.Annotations.Annotations | undefined): string | undefined =>
  representationOf(annotations)?.id

// -----------------------------------------------------------------------------
// Checks
// -----------------------------------------------------------------------------

const checksAreProved = (checks: SchemaAST.Checks | undefined, type: ColumnType): boolean =>
  checks === undefined || checks.every((check) => isProved(check, type))

/** Whether every value of the column passes a check, which then need not run. */
const isProved = (check: SchemaAST.Check<any>, type: ColumnType): boolean => {
  if (check._tag === "FilterGroup") return checksAreProved(check.checks, type)
  const representation = representationOf(check.annotations)
  return representation !== undefined && (provedChecks[representation.id]?.(type, representation.payload) ?? false)
}

const provedChecks: Readonly<Record<string, (type: ColumnType, payload: any) => boolean>> = {
  "effect/schema/isInt": (type) => wholeNumbers.has(type.type),
  "effect/schema/isFinite": (type) => wholeNumbers.has(type.type),
  "effect/schema/isBetween": (type, { maximum, minimum, ...exclusive }) => {
    const range = numberRanges[type.type]
    return range !== undefined && Object.keys(exclusive).length === 0 && minimum <= -range && maximum >= range - 1
  },
  "effect/schema/isBetweenBigInt": (type, { maximum, minimum, ...exclusive }) =>
    (type.type === "bigint" || type.type === "counter") && Object.keys(exclusive).length === 0 &&
    BigInt(minimum) <= -(2n ** 63n) && BigInt(maximum) >= 2n ** 63n - 1n,
  "effect/schema/isBetweenLength": (type, lengths) => type.type === "vector" && includes(lengths, type.dimension),
  "effect/schema/isAscii": (type) => type.type === "ascii",
  "effect/schema/isGUID": (type) => type.type === "uuid" || type.type === "timeuuid",
  "effect-cassandra/isWellFormed": (type) => strings.has(type.type),
  "effect-cassandra/isFloat": (type) => type.type === "float",
  "effect-cassandra/isTimeUuid": (type) => type.type === "timeuuid",
  "effect-cassandra/isDate": (type) => type.type === "date",
  "effect-cassandra/isTime": (type) => type.type === "time",
  "effect-cassandra/isInet": (type) => type.type === "inet"
}

const numberRanges: Readonly<Record<string, number>> = { tinyint: 2 ** 7, smallint: 2 ** 15, int: 2 ** 31 }

// -----------------------------------------------------------------------------
// Words
// -----------------------------------------------------------------------------

/** The CQL type that a schema is for, as far as it says. */
export const describe = (ast: SchemaAST.AST): string => {
  if (ast.encoding !== undefined) return describe(SchemaAST.toEncoded(ast))
  return declaredText(ast) ?? describeNode(ast)
}

/** Of a collection, what it is made of says more. */
const declaredText = (ast: SchemaAST.AST): string | undefined =>
  ast._tag === "Arrays" || (ast._tag === "Declaration" && ast.typeParameters.length > 0) ? undefined : declaredType(ast)

const words: Readonly<Partial<Record<SchemaAST.AST["_tag"], string>>> = {
  BigInt: "bigint",
  Boolean: "boolean",
  Number: "int or double",
  String: "text",
  TemplateLiteral: "text"
}

const describeNode = (ast: SchemaAST.AST): string => {
  switch (ast._tag) {
    case "Literal":
      return describeLiteral(ast.literal)
    case "Union":
      return ast.types.filter((member) => !isNullish(member)).map(describe).filter(isFirst).join(" or ")
    case "Arrays":
      return describeArray(ast)
    case "Objects":
      return ast.indexSignatures.length > 0 ? "a record" : "a user defined type"
    case "Declaration":
      return describeDeclaration(ast)
    default:
      return words[ast._tag] ?? ast._tag.toLowerCase()
  }
}

const isFirst = (word: string, index: number, all: ReadonlyArray<string>): boolean => all.indexOf(word) === index

const describeLiteral = (literal: SchemaAST.LiteralValue): string =>
  ({ string: "text", number: "int or double", bigint: "bigint", boolean: "boolean" })[
    typeof literal as "string" | "number" | "bigint" | "boolean"
  ]

const describeArray = (ast: SchemaAST.Arrays): string => {
  if (ast.rest.length === 0) return `tuple<${ast.elements.map(describe).join(", ")}>`
  const element = [...ast.elements, ...ast.rest].map(describe).filter(isFirst).join(" or ")
  return declaredType(ast) === "vector"
    ? `vector<${[element, ...lengthsOf(ast).map(({ maximum }) => maximum)].join(", ")}>`
    : `list<${element}>`
}

const describeDeclaration = (ast: SchemaAST.Declaration): string => {
  const known = simple.find(([declaration]) => declaration.run === ast.run)
  if (known !== undefined) return [...known[1]][0]!
  const id = idOf(ast.annotations)
  const parameters = ast.typeParameters.map(describe).join(", ")
  if (id === "effect/schema/ReadonlySet") return `set<${parameters}>`
  if (id === "effect/schema/ReadonlyMap") return `map<${parameters}>`
  const { expected, identifier } = ast.annotations ?? {}
  return [identifier, expected].find((word) => typeof word === "string") as string | undefined ?? "a declared type"
}

/** What to say of a column that does not fit. */
export const mismatch = (name: string, ast: SchemaAST.AST, type: ColumnType): string =>
  `column ${JSON.stringify(name)}: the schema expects ${describe(ast)}, the server declares ${format(type)}`
