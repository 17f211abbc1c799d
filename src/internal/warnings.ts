/**
 * What is in the log of statements that succeeded: warnings of the server, and that they were slow. Each of a text once
 * in a while, structured, and without values. A logger that throws hurts no statement.
 */
import * as Effect from "effect/Effect"
import type { SharedClient } from "./core.ts"
import { literals, withoutLiterals } from "./cql/summary.ts"
import type { Token } from "./cql/tokens.ts"
import { tokenize } from "./cql/tokens.ts"
import { maskPasswords, maskValues } from "./mask.ts"

export const logWarnings = (
  { statements }: SharedClient,
  text: string,
  spellsOut: boolean,
  warnings: ReadonlyArray<string>,
  schemaInAgreement?: boolean | undefined
): Effect.Effect<void> => {
  const due = warnings.filter((warning) => statements.mayWarn(text, warning))
  const all = schemaInAgreement === false ? [notInAgreement, ...due] : due
  return all.length === 0 ?
    Effect.void :
    Effect.forEach(
      all,
      (warning) => Effect.logWarning(spellsOut ? maskLiterals(warning, text) : warning),
      { discard: true }
    ).pipe(
      Effect.annotateLogs({ statement: shownText(text, spellsOut) }),
      Effect.ignoreCause
    )
}

const notInAgreement = "the schema was changed, and not every node has told in time that it knows"

/** How a statement was slow. */
export interface Slow {
  readonly durationMillis: number
  readonly coordinator: string
  readonly attempts: number
  readonly rows: number | undefined
}

export const logSlow = (
  { statements }: SharedClient,
  text: string,
  spellsOut: boolean,
  { rows, ...slow }: Slow
): Effect.Effect<void> =>
  statements.mayWarn(text, isSlow)
    ? Effect.logWarning(isSlow).pipe(
      Effect.annotateLogs({
        statement: shownText(text, spellsOut),
        ...slow,
        ...(rows === undefined ? {} : { rows })
      }),
      Effect.ignoreCause
    )
    : Effect.void

const isSlow = "a statement was slow"

/** Without the literals of a text that binds nothing; what binds its values has none that matter, and is kept. */
export const shownText = (text: string, spellsOut: boolean): string =>
  spellsOut ? withoutLiterals(text) : maskPasswords(text)

/** What others say of a text that spells out its values, without these. */
export const maskLiterals = (message: string, text: string): string => maskValues(message, literalsIn(text))

const literalsIn = (text: string): ReadonlyArray<string> =>
  tokenize(text).flatMap(({ kind, text }) => literals.has(kind) ? [valueOf(kind, text)] : [])

const valueOf = (kind: Token["kind"], text: string): string =>
  kind === "string" && text.startsWith("'")
    ? text.slice(1, -1).replaceAll("''", "'")
    : text.replace(/^(?:'|\$\$?)|\$\$$/g, "")
