/**
 * What a `cql` template becomes: one text with a marker for every value, and the values.
 *
 * Nothing that is interpolated reaches the text unless it is a fragment, and fragments are quoted names, or text that
 * was called unsafe by whoever wrote it. What makes them is in fragments.ts.
 */
import * as Effect from "effect/Effect"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
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

/** A text that was written out, with the values for its markers. */
export const ofText = (text: string, values: ReadonlyArray<unknown> = [], problem?: Reason): Template => ({
  text,
  values,
  problem: asError(problem ?? problemOfText(text), text)
})

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
    site = { text, problem: asError(problemOfText(text), text), spliced: undefined }
    callSites.set(strings, site)
  }
  return site
}

const splice = (strings: TemplateStringsArray, values: ReadonlyArray<unknown>): Template => {
  const { parameters, parts, problem } = bind(values)
  const { refused, text } = spliceText(callSite(strings), strings, parts)
  return { text, values: parameters, problem: asError(problem ?? refused, text) }
}

export interface Bound {
  /** For each value, the text that it became. */
  readonly parts: ReadonlyArray<string>
  readonly parameters: ReadonlyArray<unknown>
  readonly problem: Reason | undefined
}

/** A fragment becomes its text, and what is bound in it; anything else a marker. */
export const bind = (values: ReadonlyArray<unknown>, names?: ReadonlyArray<string>): Bound => {
  const parts: Array<string> = []
  const parameters: Array<unknown> = []
  let problem: Reason | undefined
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (isFragment(value)) {
      problem ??= moved(value.problem, parameters.length)
      parts.push(value.text)
      for (const parameter of value.parameters) parameters.push(parameter)
    } else {
      problem ??= refusal(value, parameters.length, names?.[index])
      parts.push("?")
      parameters.push(value)
    }
  }
  return { parts, parameters, problem }
}

/** The same string for the same fragments, and not an equal one, which would have to be hashed to be found. */
const spliceText = (site: CallSite, strings: TemplateStringsArray, parts: ReadonlyArray<string>): Spliced => {
  if (site.spliced !== undefined && areSame(site.spliced.parts, parts)) return site.spliced
  const text = String.raw({ raw: strings }, ...parts)
  site.spliced = { parts, text, refused: problemOfText(text) }
  return site.spliced
}

export const areSame = (left: ReadonlyArray<string>, right: ReadonlyArray<string>): boolean => {
  if (left.length !== right.length) return false
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false
  }
  return true
}

/** What is bound in it is in nothing that is printed. */
class FragmentImpl implements Fragment {
  readonly [FragmentTypeId]: FragmentTypeId = FragmentTypeId
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
  readonly problem: Reason | undefined

  constructor(text: string, parameters: ReadonlyArray<unknown>, problem: Reason | undefined) {
    this.text = text
    this.parameters = parameters
    this.problem = problem
  }

  toJSON(): unknown {
    return { _id: "effect-cassandra/Fragment", text: this.text }
  }

  [NodeInspectSymbol](): unknown {
    return this.toJSON()
  }
}

export const fragment = (text: string, parameters: ReadonlyArray<unknown>, problem?: Reason): Fragment =>
  new FragmentImpl(text, parameters, problem)

/** A text that is wrong whatever is bound to it. */
export const malformed = (message: string): Reason => new Errors.InvalidQuery({ message })

// A comment ends where it first can: one that could end later too would be tried with every later end.
const comments = String.raw`(?:\s|--[^\n]*\n|//[^\n]*\n|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*`

const isUse = new RegExp(`^${comments}use\\s`, "i")

const problemOfText = (text: string): Reason | undefined => {
  // It would be sent as another character.
  if (!text.isWellFormed()) return malformed("the text has half of a surrogate pair, which has no UTF-8 form")
  // It would move every statement of every session on this client to another keyspace.
  return isUse.test(text)
    ? malformed("USE is refused: a session has one keyspace; name another with cql.ident(keyspace, table)")
    : undefined
}

export interface Mismatch {
  readonly index: number
  /** Empty where nothing is known by which the parameter could be called. */
  readonly parameter: string
  readonly expected: string
  readonly found: string
  readonly hint?: string | undefined
}

export const invalidParameter = ({ expected, found, hint, index, parameter }: Mismatch): Reason => {
  const name = parameter === "" ? "" : ` (${parameter})`
  const message = `parameter ${index + 1}${name}: expected ${expected}, found ${found}`
  return new Errors.InvalidParameter({ index, parameter, expected, found, hint, message })
}

/** What a fragment's problem is in a text that binds other parameters before it. */
const moved = (problem: Reason | undefined, by: number): Reason | undefined =>
  problem?._tag === "InvalidParameter" && by > 0
    ? invalidParameter({ ...problem, index: problem.index + by })
    : problem

/** Why a value cannot be bound, for the mistakes that would otherwise be sent as something else. */
export const refusal = (value: unknown, index: number, parameter = ""): Reason | undefined => {
  const mistake = mistakeOf(value)
  if (mistake === undefined) return undefined
  const [found, hint] = mistake
  return invalidParameter({ index, parameter, expected: "a plain value", found, hint })
}

export const mistakeOf = (value: unknown): readonly [found: string, hint: string] | undefined => {
  if (isScalar(value)) return undefined
  if (Schema.isSchema(value)) {
    return ["a schema", "rows are decoded by cql(schema)`...`, and values encoded by cql.insert(schema, row)"]
  }
  if (typeof value === "function") return ["a function", "call it, and bind what it returns"]
  if (typeof value === "symbol") return ["a symbol", "bind a string"]
  if (isOrdinary(value)) return undefined
  if (isFragment(value)) return ["a fragment", "it is text, and no value: it goes into the template itself"]
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
