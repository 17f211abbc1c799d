/**
 * What a `cql` template becomes: one text with a marker for every value, and the values.
 *
 * Nothing that is interpolated reaches the text unless it is a fragment, and fragments are quoted names, or text that
 * was called unsafe by whoever wrote it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { CqlError, Reason } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
/** A symbol of this module alone: what comes from outside, as JSON does, must not be able to look like a fragment. */
export const FragmentTypeId: unique symbol = Symbol("effect-cassandra/Fragment")

/** What marks a fragment. */
export type FragmentTypeId = typeof FragmentTypeId

export interface Fragment {
  readonly [FragmentTypeId]: FragmentTypeId
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
  readonly problem: Reason | undefined
}

export interface Template {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  /** Why it cannot be run, known before anything is sent. */
  readonly problem: CqlError | undefined
}

interface CallSite {
  readonly text: string
  readonly problem: CqlError | undefined
  /** What its last fragments made of it: mostly the next ones are the same. */
  spliced: Spliced | undefined
}

interface Spliced {
  /** For each value, the text that it became. */
  readonly parts: ReadonlyArray<string>
  readonly text: string
  readonly refused: Reason | undefined
}

// The strings of a template are one frozen object per place in the source, and so is the text that they make.
const callSites = new WeakMap<TemplateStringsArray, CallSite>()

export const isStrings = (u: object): u is TemplateStringsArray => Array.isArray(u) && Object.hasOwn(u, "raw")

export const isFragment = (u: unknown): u is Fragment => hasProperty(u, FragmentTypeId)

export const make = (strings: TemplateStringsArray, values: ReadonlyArray<unknown>): Template => {
  let problem: Reason | undefined
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (isScalar(value)) continue
    if (isFragment(value)) return splice(strings, values)
    problem ??= refusal(value, index)
  }
  const site = callSite(strings)
  return { text: site.text, values, problem: asError(problem, site.text) ?? site.problem }
}

const asError = (reason: Reason | undefined, statement: string): CqlError | undefined =>
  reason === undefined ? undefined : Errors.make({ reason, statement })

const isScalar = (value: unknown): boolean => {
  const kind = typeof value
  return kind === "string" || kind === "number" || kind === "bigint" || kind === "boolean" || kind === "undefined" ||
    value === null
}

const callSite = (strings: TemplateStringsArray): CallSite => {
  let site = callSites.get(strings)
  if (site === undefined) {
    const text = strings.join("?")
    site = { text, problem: asError(useIsRefused(text), text), spliced: undefined }
    callSites.set(strings, site)
  }
  return site
}

const splice = (strings: TemplateStringsArray, values: ReadonlyArray<unknown>): Template => {
  const parts: Array<string> = []
  const bound: Array<unknown> = []
  let problem: Reason | undefined
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (isFragment(value)) {
      parts.push(value.text)
      for (const parameter of value.parameters) bound.push(parameter)
      problem ??= value.problem
    } else {
      parts.push("?")
      bound.push(value)
      problem ??= refusal(value, index)
    }
  }
  const { refused, text } = spliceText(callSite(strings), strings, parts)
  return { text, values: bound, problem: asError(problem ?? refused, text) }
}

/** The same string for the same fragments, and not an equal one, which would have to be hashed to be found. */
const spliceText = (site: CallSite, strings: TemplateStringsArray, parts: ReadonlyArray<string>): Spliced => {
  if (site.spliced !== undefined && areSame(site.spliced.parts, parts)) return site.spliced
  const text = String.raw({ raw: strings }, ...parts)
  site.spliced = { parts, text, refused: useIsRefused(text) }
  return site.spliced
}

const areSame = (left: ReadonlyArray<string>, right: ReadonlyArray<string>): boolean => {
  if (left.length !== right.length) return false
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false
  }
  return true
}

const fragment = (text: string, parameters: ReadonlyArray<unknown>, problem?: Reason): Fragment => ({
  [FragmentTypeId]: FragmentTypeId,
  text,
  parameters,
  problem
})

export const unsafe = (text: string): Fragment => fragment(text, [])

export const ident = (...name: readonly [string, ...ReadonlyArray<string>]): Fragment =>
  fragment(name.map(quote).join("."), [], name.every(isName) ? undefined : badName())

export const insert = (row: object): Fragment => {
  if (!isRow(row)) return fragment("", [], malformed("cql.insert takes an object whose keys are columns"))
  const columns = Object.keys(row)
  const values = columns.map((column) => row[column])
  const { problem, text } = rowText(columns)
  return fragment(text, values, problem ?? problemOfValues(columns, values))
}

/** Not a list or a Map, whose keys are something else. */
const isRow = (row: object): row is Readonly<Record<string, unknown>> =>
  typeof row === "object" && row !== null && !isFragment(row) && !(Symbol.iterator in row)

interface RowText {
  readonly columns: ReadonlyArray<string>
  readonly text: string
  readonly problem: Reason | undefined
}

const rowTexts = new Map<string, RowText>()

/** Rows of one table have few sets of columns; whoever makes them up at random must not fill the memory. */
const rowTextsKept = 1000

const rowText = (columns: ReadonlyArray<string>): RowText => {
  const key = columns.join()
  const known = rowTexts.get(key)
  if (known !== undefined && areSame(known.columns, columns)) return known
  if (rowTexts.size >= rowTextsKept) rowTexts.clear()
  const text = `(${columns.map(quote).join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`
  const made = { columns, text, problem: problemOfColumns(columns) }
  rowTexts.set(key, made)
  return made
}

const problemOfColumns = (columns: ReadonlyArray<string>): Reason | undefined => {
  if (columns.length === 0) return malformed("cql.insert was given a row without columns")
  return columns.every(isName) ? undefined : badName()
}

const problemOfValues = (columns: ReadonlyArray<string>, values: ReadonlyArray<unknown>): Reason | undefined => {
  for (let index = 0; index < values.length; index++) {
    const problem = isScalar(values[index]) ? undefined : refusal(values[index], index, columns[index])
    if (problem !== undefined) return problem
  }
  return undefined
}

const isName = (name: unknown): boolean => typeof name === "string" && name.length > 0

const quote = (name: string): string => `"${String(name).replaceAll("\"", "\"\"")}"`

const malformed = (message: string): Reason => new Errors.InvalidQuery({ message })

const badName = (): Reason => malformed("a name in cql.ident or cql.insert must be a string that is not empty")

const comments = String.raw`(?:\s|--[^\n]*\n|//[^\n]*\n|/\*[\s\S]*?\*/)*`

const isUse = new RegExp(`^${comments}use\\s`, "i")

/** It would move every statement of every session on this client to another keyspace. */
const useIsRefused = (text: string): Reason | undefined =>
  isUse.test(text)
    ? malformed("USE is refused: a session has one keyspace; name another with cql.ident(keyspace, table)")
    : undefined

/** Why a value cannot be bound, for the mistakes that would otherwise be sent as something else. */
const refusal = (value: unknown, index: number, name?: string): Reason | undefined => {
  const mistake = mistakeOf(value)
  if (mistake === undefined) return undefined
  const [found, hint] = mistake
  return new Errors.InvalidParameter({
    index,
    parameter: name ?? "",
    expected: "a plain value",
    found,
    hint,
    message: `parameter ${index + 1}${name === undefined ? "" : ` (${name})`} is ${found}`
  })
}

const mistakeOf = (value: unknown): readonly [found: string, hint: string] | undefined => {
  if (typeof value === "function") return ["a function", "call it, and bind what it returns"]
  if (typeof value === "symbol") return ["a symbol", "bind a string"]
  if (isOrdinary(value)) return undefined
  if (Effect.isEffect(value)) return ["an Effect", "yield it first, and bind what it succeeds with"]
  if (Option.isOption(value)) {
    return [
      "an Option",
      "bind Option.getOrNull(value) for null, or Option.getOrUndefined(value) to leave the column as it is"
    ]
  }
  if (Redacted.isRedacted(value)) return ["a Redacted", "bind Redacted.value(value)"]
  if (hasProperty(value, "then") && typeof value.then === "function") return ["a Promise", "wait for it first"]
  return undefined
}

/** The kinds of object that are bound all day, told apart before the questions that cost. */
const isOrdinary = (value: unknown): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Array.prototype || prototype === Date.prototype || prototype === Uint8Array.prototype ||
    prototype === Set.prototype || prototype === Map.prototype
}
