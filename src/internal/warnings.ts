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
  if (schemaInAgreement === false) return log(text, [notInAgreement, ...warnings])
  return warnings.length > 0 && statements.mayWarn(text) ? log(text, warnings) : Effect.void
}

const notInAgreement = "the schema was changed, and not every node has told in time that it knows"

const log = (text: string, warnings: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true }).pipe(
    Effect.annotateLogs({ statement: maskPasswords(text) })
  )
