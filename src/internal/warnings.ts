/**
 * What is in the log of statements that succeeded: warnings of the server, and that they were slow. Each of a text once
 * in a while, structured, and without values. A logger that throws hurts no statement.
 */
import * as Effect from "effect/Effect"
import type { SharedClient } from "./core.ts"
import { withoutLiterals } from "./cql/summary.ts"
import { maskPasswords } from "./mask.ts"

export const logWarnings = (
  { statements }: SharedClient,
  text: string,
  warnings: ReadonlyArray<string>,
  schemaInAgreement?: boolean | undefined
): Effect.Effect<void> => {
  const due = warnings.filter((warning) => statements.mayWarn(text, warning))
  const all = schemaInAgreement === false ? [notInAgreement, ...due] : due
  return all.length === 0 ?
    Effect.void :
    Effect.forEach(all, (warning) => Effect.logWarning(warning), { discard: true }).pipe(
      Effect.annotateLogs({ statement: maskPasswords(text) }),
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
