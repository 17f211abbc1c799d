/**
 * What goes into a `cql` template as text: quoted names, and parts of statements with what is bound in them.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Reason } from "../CqlError.ts"
import type { Misfit, RowEncoder } from "./codec/encodeRow.ts"
import { make as makeRowEncoder } from "./codec/encodeRow.ts"
import { kindOf } from "./codec/kindOf.ts"
import { quote } from "./cql/names.ts"
import type { Fragment, Mismatch } from "./template.ts"
import { areSame, bind, fragment, invalidParameter, isFragment, malformed, mistakeOf, refusal } from "./template.ts"

export const unsafe = (text: string): Fragment =>
  typeof text === "string" ? fragment(text, []) : refused(malformed("cql.unsafe takes a string"))

export const ident = (...name: readonly [string, ...ReadonlyArray<string>]): Fragment =>
  fragment(name.map(quote).join("."), [], name.length > 0 && name.every(isName) ? undefined : badName)

const refused = (problem: Reason): Fragment => fragment("", [], problem)

/** Of a name in the protocol, in bytes. Cassandra takes longer ones, and does not start again with what it wrote. */
const longestName = 0xffff

/** Half of a surrogate pair has no UTF-8 form: it would be sent as another name. */
const isName = (name: unknown): boolean =>
  typeof name === "string" && name.length > 0 && name.isWellFormed() && Buffer.byteLength(name) <= longestName

const badName = malformed(
  "a name must be a string that is not empty, of 65,535 bytes at most, and without half of a surrogate pair"
)

// -----------------------------------------------------------------------------
// Rows
// -----------------------------------------------------------------------------

/** A text that the names of columns make, with a marker or another text for the value of each. */
interface RowText {
  (columns: ReadonlyArray<string>, parts: ReadonlyArray<string>): string
}

const insertText: RowText = (columns, parts) => `(${columns.map(quote).join(", ")}) VALUES (${parts.join(", ")})`

const equalities = (columns: ReadonlyArray<string>, parts: ReadonlyArray<string>, separator: string): string =>
  columns.map((column, index) => `${quote(column)} = ${parts[index]}`).join(separator)

const setText: RowText = (columns, parts) => equalities(columns, parts, ", ")

const andText: RowText = (columns, parts) => equalities(columns, parts, " AND ")

const marker = (): string => "?"

interface Known {
  readonly columns: ReadonlyArray<string>
  /** With nothing but markers. */
  readonly text: string
  readonly problem: Reason | undefined
}

/** Rows of one table have few sets of columns; whoever makes them up at random must not fill the memory. */
const textsKept = 1000

/** The same string for the same columns, and not an equal one, which would have to be hashed to be found. */
const makeTexts = (makeText: RowText, problemOf: (columns: ReadonlyArray<string>) => Reason | undefined) => {
  const texts = new Map<string, Known>()
  return (columns: ReadonlyArray<string>): Known => {
    const key = columns.join()
    const known = texts.get(key)
    if (known !== undefined && areSame(known.columns, columns)) return known
    if (texts.size >= textsKept) texts.clear()
    const made = { columns, text: makeText(columns, columns.map(marker)), problem: problemOf(columns) }
    texts.set(key, made)
    return made
  }
}

/** What makes a fragment of an object, whose keys are columns. */
const makeOfRow = (takes: string, makeText: RowText, empty: Reason) => {
  const textOf = makeTexts(
    makeText,
    (columns) => columns.length === 0 ? empty : columns.every(isName) ? undefined : badName
  )
  return (row: object): Fragment => {
    if (!isRow(row)) return refused(noRow(takes, row))
    const columns = Object.keys(row)
    const values = columns.map((column) => row[column])
    const { problem, text } = textOf(columns)
    if (!values.some(isFragment)) return fragment(text, values, problem ?? problemOfValues(columns, values))
    const bound = bind(values, columns)
    const wrong = problem ?? bound.problem ?? emptyPart(columns, bound.parts)
    return fragment(makeText(columns, bound.parts), bound.parameters, wrong)
  }
}

export const problemOfValues = (columns: ReadonlyArray<string>, values: ReadonlyArray<unknown>): Reason | undefined => {
  for (let index = 0; index < values.length; index++) {
    const problem = refusal(values[index], index, columns[index])
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Not a list or a Map, whose keys are something else, nor what has to be opened first. */
const isRow = (row: object): row is Readonly<Record<string, unknown>> =>
  typeof row === "object" && row !== null && !isFragment(row) && !(Symbol.iterator in row) &&
  // As most rows are, told apart before the questions that cost.
  (Object.getPrototypeOf(row) === Object.prototype || mistakeOf(row) === undefined)

const noRow = (takes: string, row: unknown): Reason => {
  const [found, hint] = Schema.isSchema(row)
    ? ["a schema", "give it the value as well"]
    : mistakeOf(row) ?? [kindOf(row), undefined]
  const given = hint === undefined ? found : `${found}: ${hint}`
  return malformed(`${takes}; it was given ${given}`)
}

const emptyPart = (columns: ReadonlyArray<string>, parts: ReadonlyArray<string>): Reason | undefined => {
  const empty = parts.findIndex((part) => part.trim() === "")
  return empty === -1 ? undefined : malformed(`a fragment without text was given for ${quote(columns[empty]!)}`)
}

const ofColumns = (name: string, makeText: RowText) =>
  makeOfRow(`${name} takes an object whose keys are columns`, makeText, malformed(`${name} was given no columns`))

export const set: (row: object) => Fragment = ofColumns("cql.set", setText)

const insertRow = ofColumns("cql.insert", insertText)

// -----------------------------------------------------------------------------
// Rows by their schema
// -----------------------------------------------------------------------------

interface SchemaTexts {
  readonly encoder: RowEncoder
  readonly insert: string
  readonly columns: string
}

// Weak: a schema that is made anew for every call must not pile up here.
const textsBySchema = new WeakMap<Schema.Constraint, Result.Result<SchemaTexts, Reason>>()

const schemaTexts = (schema: Schema.Constraint): Result.Result<SchemaTexts, Reason> => {
  if (!Schema.isSchema(schema)) return Result.fail(malformed(`${columnsAreOf}; it was given ${kindOf(schema)}`))
  let texts = textsBySchema.get(schema)
  if (texts === undefined) {
    texts = makeSchemaTexts(schema)
    textsBySchema.set(schema, texts)
  }
  return texts
}

const columnsAreOf = "columns are taken from a Struct or a Class"

const makeSchemaTexts = (schema: Schema.Constraint): Result.Result<SchemaTexts, Reason> => {
  const made = makeRowEncoder(schema)
  if (Result.isFailure(made)) return Result.fail(malformed(`${columnsAreOf}; this schema is ${made.failure}`))
  const { columns } = made.success
  if (!columns.every(isName)) return Result.fail(badName)
  return Result.succeed({
    encoder: made.success,
    insert: insertText(columns, columns.map(marker)),
    columns: columns.map(quote).join(", ")
  })
}

export const columns = (schema: Schema.Constraint): Fragment => {
  const texts = schemaTexts(schema)
  return Result.isFailure(texts) ? refused(texts.failure) : fragment(texts.success.columns, [])
}

const insertBySchema = (schema: Schema.Constraint, value: unknown): Fragment => {
  const texts = schemaTexts(schema)
  if (Result.isFailure(texts)) return refused(texts.failure)
  const { encoder, insert } = texts.success
  const encoded = encoder.encode(value)
  if (Result.isFailure(encoded)) return fragment(insert, [], misfit(encoder.columns, encoded.failure))
  return fragment(insert, encoded.success, problemOfValues(encoder.columns, encoded.success))
}

const misfit = (columns: ReadonlyArray<string>, { column, ...problem }: Misfit): Reason =>
  invalidParameter({ ...problem, index: column ?? 0, parameter: column === undefined ? "the row" : columns[column]! })

/** By what the first is, and not by how many there are: `rows.map(cql.insert)` gives it three. */
export const insert = (
  ...given: readonly [row: object] | readonly [schema: Schema.Constraint, value: unknown]
): Fragment => given.length > 1 && Schema.isSchema(given[0]) ? insertBySchema(given[0], given[1]) : insertRow(given[0])

// -----------------------------------------------------------------------------
// Conditions
// -----------------------------------------------------------------------------

const noCondition = malformed("cql.and was given no condition: CQL has none that is always true, so leave WHERE out")

const andRow = makeOfRow("cql.and takes a list of fragments, or an object whose keys are columns", andText, noCondition)

export const and = (conditions: ReadonlyArray<unknown> | object): Fragment =>
  Array.isArray(conditions) ? allOf(conditions) : allEqual(conditions)

const allOf = (conditions: ReadonlyArray<unknown>): Fragment => {
  if (conditions.length === 0) return refused(noCondition)
  const { parameters, parts, problem } = bind(conditions)
  const stray = conditions.findIndex((condition) => !isFragment(condition))
  if (stray !== -1) return refused(notACondition(conditions[stray], stray))
  const empty = parts.some((part) => part.trim() === "") ? noCondition : undefined
  return fragment(parts.join(" AND "), parameters, problem ?? empty)
}

const notACondition = (condition: unknown, index: number): Reason => {
  const [found, hint] = mistakeOf(condition) ?? [kindOf(condition), "write it as cql`...`"]
  return invalidParameter({ index, parameter: `condition ${index + 1}`, expected: "a fragment", found, hint })
}

const allEqual = (row: object): Fragment => {
  const made = andRow(row)
  if (made.problem !== undefined) return made
  const unset = Object.entries(row).find(([, value]) => value === undefined)
  return unset === undefined ? made : refused(unsetCondition(unset[0], made.parameters.indexOf(undefined)))
}

const unsetCondition = (parameter: string, index: number): Reason =>
  invalidParameter({
    index,
    parameter,
    expected: "a value",
    found: "undefined",
    hint: "an unset value has no place in a condition: leave the key out"
  })

// -----------------------------------------------------------------------------
// USING
// -----------------------------------------------------------------------------

interface Using {
  readonly ttl?: Exclude<Duration.Input, number | bigint> | undefined
  readonly timestamp?: number | bigint | undefined
}

export const using = (options: Using): Fragment => {
  if (!isRow(options)) {
    return refused(malformed(`cql.using takes an object with ttl and timestamp; it was given ${kindOf(options)}`))
  }
  const parts: Array<string> = []
  const parameters: Array<unknown> = []
  let problem: Reason | undefined
  for (const { parameter, read, text } of usingParts) {
    if (!(parameter in options)) continue
    const given = options[parameter]
    const bound = given === undefined ? unset : read(given)
    if (Result.isFailure(bound)) problem ??= invalidParameter({ ...bound.failure, index: parts.length, parameter })
    parts.push(text)
    parameters.push(Result.getOrUndefined(bound))
  }
  return fragment(parts.length === 0 ? "" : `USING ${parts.join(" AND ")}`, parameters, problem)
}

const unset = Result.succeed(undefined)

type Unusable = Omit<Mismatch, "index" | "parameter">

/** 20 years, which is where Cassandra ends. */
const longestTtl = 20 * 365 * 24 * 60 * 60

const readTtl = (given: unknown): Result.Result<number, Unusable> => {
  if (typeof given === "number" || typeof given === "bigint") return Result.fail(ttl(kindOf(given), noUnit))
  const duration = isDurationInput(given) ? Option.getOrUndefined(Duration.fromInput(given)) : undefined
  if (duration === undefined) return Result.fail(ttl(typeof given === "string" ? "another string" : kindOf(given)))
  const nanos = Option.getOrUndefined(Duration.toNanos(duration))
  if (nanos === undefined) return Result.fail(ttl("one without an end", "a TTL of zero is for ever"))
  if (nanos % 1_000_000_000n !== 0n) return Result.fail(ttl("one with a fraction of a second"))
  const seconds = Number(nanos / 1_000_000_000n)
  if (seconds < 0) return Result.fail(ttl("one below zero"))
  return seconds > longestTtl ? Result.fail(ttl("a longer one")) : Result.succeed(seconds)
}

const ttl = (found: string, hint?: string): Unusable => ({
  expected: "a Duration of whole seconds, from none to 20 years",
  found,
  hint
})

const noUnit = "Effect reads a number as milliseconds and CQL as seconds: say which, as in \"30 days\""

const isDurationInput = (given: unknown): given is Duration.Input =>
  typeof given === "string" || Duration.isDuration(given) || hasUnits(given)

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]

/** Effect reads an object of anything else as no time at all, which for a TTL is for ever. */
const hasUnits = (given: unknown): boolean => {
  if (typeof given !== "object" || given === null) return false
  if (Array.isArray(given)) return given.every(isNumber)
  const { months, years, ...others } = Object.fromEntries(
    [...units, "months", "years"].map((unit) => [unit, (given as Record<string, unknown>)[unit]])
  )
  const named = Object.values(others).filter((amount) => amount !== undefined)
  return named.length > 0 && named.every(isNumber) && !months && !years
}

const isNumber = (amount: unknown): boolean => typeof amount === "number" && !Number.isNaN(amount)

/** The server keeps the lowest of 64 bits for itself. */
const longest = 2n ** 63n - 1n

const readTimestamp = (given: unknown): Result.Result<bigint, Unusable> => {
  if (typeof given === "bigint" && (given < -longest || given > longest)) {
    return Result.fail(timestamp("a bigint beyond 64 bits"))
  }
  return typeof given === "bigint" || Number.isSafeInteger(given)
    ? Result.succeed(BigInt(given as bigint | number))
    : Result.fail(timestamp(kindOf(given), given instanceof Date ? ofDate : undefined))
}

const timestamp = (found: string, hint?: string): Unusable => ({
  expected: "whole microseconds since 1970, in 64 bits",
  found,
  hint
})

const ofDate = "BigInt(date.getTime()) * 1000n"

interface UsingPart {
  readonly parameter: keyof Using
  readonly text: string
  readonly read: (given: unknown) => Result.Result<unknown, Unusable>
}

const usingParts: ReadonlyArray<UsingPart> = [
  { parameter: "ttl", text: "TTL ?", read: readTtl },
  { parameter: "timestamp", text: "TIMESTAMP ?", read: readTimestamp }
]
