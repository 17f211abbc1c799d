/**
 * Checks of what a user configures: each says which field is wrong and what it may be, before anything is opened.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import * as Consistencies from "./consistency.ts"
import type { Hedge } from "./hedging.ts"
import type { Policy } from "./retryPolicy.ts"
import type { Profiles, StatementOptions } from "./settings.ts"

export interface Check {
  readonly field: string
  readonly expected: string
  readonly holds: boolean
}

const isWhole = (value: unknown, from: number, to: number): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= from && value <= to

/** A whole number, or nothing. */
export const whole = (field: string, value: unknown, from: number, to = Number.MAX_SAFE_INTEGER): Check => ({
  field,
  expected: to === Number.MAX_SAFE_INTEGER ? `a whole number from ${from} on` : `a whole number from ${from} to ${to}`,
  holds: value === undefined || isWhole(value, from, to)
})

// Node's timers take no more; a longer one would fire at once.
const longest = 2 ** 31 - 1

/** A duration that ends, or nothing. */
export const duration = (field: string, value: Duration.Input | undefined): Check => {
  const millis = value === undefined
    ? 1
    : Option.match(Duration.fromInput(value), { onNone: () => NaN, onSome: Duration.toMillis })
  return { field, expected: "a duration from 1 millisecond to 24 days", holds: millis >= 1 && millis <= longest }
}

/** A text that is not empty, or nothing. */
export const text = (field: string, value: unknown): Check => ({
  field,
  expected: "a text that is not empty",
  holds: value === undefined || (typeof value === "string" && value.trim().length > 0)
})

export const boolean = (field: string, value: unknown): Check => ({
  field,
  expected: "true or false",
  holds: value === undefined || typeof value === "boolean"
})

export const callback = (field: string, value: unknown): Check => ({
  field,
  expected: "a function",
  holds: value === undefined || typeof value === "function"
})

export const secret = (field: string, value: unknown): Check => ({
  field,
  expected: "a Redacted text",
  holds: value === undefined || (Redacted.isRedacted(value) && typeof Redacted.value(value) === "string")
})

export const consistency = (field: string, value: unknown): Check => oneOf(field, value, Consistencies.levels)

export const oneOf = (field: string, value: unknown, choices: ReadonlyArray<string>): Check => ({
  field,
  expected: sentenceOf(choices),
  holds: value === undefined || (typeof value === "string" && choices.includes(value))
})

const sentences = new WeakMap<ReadonlyArray<string>, string>()

const sentenceOf = (choices: ReadonlyArray<string>): string => {
  let sentence = sentences.get(choices)
  if (sentence === undefined) {
    sentence = `one of ${choices.map((choice) => `"${choice}"`).join(", ")}`
    sentences.set(choices, sentence)
  }
  return sentence
}

/** What a statement may say of itself, and a session of all of its statements: on the path of those that say it. */
export const statementOptions = (options: StatementOptions): ReadonlyArray<Check> => {
  if (typeof options !== "object" || options === null) return [noOptions]
  const checks: Array<Check> = []
  if (options.consistency !== undefined) checks.push(consistency("consistency", options.consistency))
  if (options.serialConsistency !== undefined) {
    checks.push(oneOf("serialConsistency", options.serialConsistency, serialConsistencies))
  }
  if (options.pageSize !== undefined) checks.push(whole("pageSize", options.pageSize, 1, 2 ** 31 - 1))
  if (options.timeout !== undefined) checks.push(duration("timeout", options.timeout))
  if (options.attemptTimeout !== undefined) checks.push(duration("attemptTimeout", options.attemptTimeout))
  if (options.streamTimeout !== undefined) checks.push(duration("streamTimeout", options.streamTimeout))
  if (options.slowThreshold !== undefined && options.slowThreshold !== false) {
    checks.push(duration("slowThreshold", options.slowThreshold))
  }
  if (options.spans !== undefined) checks.push(oneOf("spans", options.spans, spans))
  if (options.maxRows !== undefined) checks.push(whole("maxRows", options.maxRows, 1))
  if (options.idempotent !== undefined) checks.push(boolean("idempotent", options.idempotent))
  if (options.tracing !== undefined) checks.push(boolean("tracing", options.tracing))
  if (options.node !== undefined) checks.push(text("node", options.node))
  if (options.retry !== undefined) checks.push(retry(options.retry))
  if (options.hedge !== undefined && options.hedge !== false) checks.push(...hedge(options.hedge))
  if (options.profile !== undefined) checks.push(text("profile", options.profile))
  if (options.timestamp !== undefined) checks.push(timestamp("timestamp", options.timestamp))
  if (options.customPayload !== undefined) checks.push(customPayload(options.customPayload))
  return checks
}

const noOptions: Check = { field: "options", expected: "an object of options", holds: false }

const retry = (policy: Policy): Check => ({
  field: "retry",
  expected: "a policy of CqlRetry",
  holds: typeof policy?.decide === "function" && Schedule.isSchedule(policy.schedule)
})

const hedge = (value: Hedge): ReadonlyArray<Check> =>
  typeof value === "object" && value !== null
    ? [
      {
        field: "hedge",
        expected: "false, or an object with either a delay or a percentile",
        holds: (value.delay === undefined) !== (value.percentile === undefined)
      },
      duration("hedge.delay", value.delay),
      {
        field: "hedge.percentile",
        expected: "a number above 0 and below 100",
        holds: value.percentile === undefined ||
          (typeof value.percentile === "number" && value.percentile > 0 && value.percentile < 100)
      },
      whole("hedge.times", value.times, 1, 10)
    ]
    : [{ field: "hedge", expected: "false, or an object with either a delay or a percentile", holds: false }]

/** Microseconds. The lowest number of 64 bits means "none" to the server. */
const timestamp = (field: string, value: unknown): Check => ({
  field,
  expected: "whole microseconds since the epoch, as a safe integer or a bigint of 64 bits",
  holds: Number.isSafeInteger(value) ||
    (typeof value === "bigint" && BigInt.asIntN(64, value) === value && value !== -(2n ** 63n))
})

const customPayload = (payload: unknown): Check => ({
  field: "customPayload",
  expected: "an object of Uint8Array or null by keys that are not empty",
  holds: typeof payload === "object" && payload !== null && !Array.isArray(payload) &&
    Object.entries(payload).every(isPayload) && isWhole(Object.keys(payload).length, 1, 0xffff)
})

/** Half of a surrogate pair has no UTF-8 form: it would be sent as another key. */
const isPayload = ([key, value]: readonly [string, unknown]): boolean =>
  (value === null || value instanceof Uint8Array) && key.isWellFormed() && isWhole(Buffer.byteLength(key), 1, 0xffff)

/** Named sets of options, which have no names of others in them. */
export const profiles = (value: unknown): ReadonlyArray<Check> => {
  if (value === undefined) return []
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
  return [
    { field: "profiles", expected: "an object of options by name", holds: isObject },
    ...(isObject ? Object.entries(value) : []).flatMap(([name, options]) => profile(`profiles.${name}`, options))
  ]
}

const profile = (field: string, options: StatementOptions | null | undefined): ReadonlyArray<Check> => {
  if (typeof options !== "object" || options === null) return [{ ...noOptions, field }]
  return [
    { field: `${field}.profile`, expected: "left out: a profile has no other", holds: options.profile === undefined },
    ...statementOptions(options).map((check) => ({ ...check, field: `${field}.${check.field}` }))
  ]
}

/** What there is in place of a profile that there is not. */
export const expectedProfile = (profile: unknown, profiles: Profiles): string => {
  const known = Object.keys(profiles).map((name) => JSON.stringify(name)).join(", ")
  return `${known === "" ? "left out" : `one of ${known}`}, not ${JSON.stringify(String(profile))}`
}

const serialConsistencies = ["serial", "localSerial"]

const spans = ["statements", "attempts", "none"]

export const invalid = (field: string, expected: string): CqlError =>
  Errors.make({
    reason: new Errors.InvalidConfig({ field, expected, message: `${field} must be ${expected}` })
  })

/** The first check that does not hold, as an error. */
export const problem = (checks: ReadonlyArray<Check>): CqlError | undefined => {
  const failed = checks.find((check) => !check.holds)
  return failed === undefined ? undefined : invalid(failed.field, failed.expected)
}

/** Fails with the first check that does not hold. */
export const all = (checks: ReadonlyArray<Check>): Effect.Effect<void, CqlError> => {
  const error = problem(checks)
  return error === undefined ? Effect.void : Effect.fail(error)
}
