/**
 * What a server has to say besides its answer, in the log.
 */
import * as Effect from "effect/Effect"
import type { SharedClient } from "./core.ts"
import { maskPasswords } from "./mask.ts"

export const logWarnings = (
  { statements }: SharedClient,
  text: string,
  warnings: ReadonlyArray<string>,
  schemaInAgreement?: boolean | undefined
): Effect.Effect<void> => {
  const due = warnings.filter((warning) => statements.mayWarn(text, warning))
  return log(text, schemaInAgreement === false ? [notInAgreement, ...due] : due)
}

const notInAgreement = "the schema was changed, and not every node has told in time that it knows"

const log = (text: string, warnings: ReadonlyArray<string>): Effect.Effect<void> =>
  warnings.length === 0 ?
    Effect.void :
    Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true }).pipe(
      Effect.annotateLogs({ statement: maskPasswords(text) })
    )
