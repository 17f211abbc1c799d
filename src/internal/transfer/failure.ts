/**
 * How failures of exports and imports are made.
 */
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import type { Reason } from "../../TransferError.ts"
import { FileFailed, TransferError } from "../../TransferError.ts"

export const failure = (reason: Reason): TransferError => new TransferError({ reason })

export const fail = (reason: Reason): Effect.Effect<never, TransferError> => Effect.fail(failure(reason))

/** Names the file, what was to be done with it, and what the system says to that. */
export const fileFailed = (path: string, done: string) => (error: PlatformError): TransferError =>
  failure(new FileFailed({ path, error, message: `${path} cannot be ${done}: ${systemMessage(error)}` }))

/** What the cluster fails for now, it fails for with every row: no row is left out for that. */
export const isAboutRow = ({ reason }: TransferError): boolean =>
  reason._tag !== "RowNotWritten" || rowReasons.has(reason.error.reason._tag)

const rowReasons: ReadonlySet<string> = new Set(["InvalidQuery", "InvalidParameter", "WriteFailure"])

/** As `ENOSPC: no space left on device, write`: Effect has it as the cause, and names but its kind. */
export const systemMessage = (error: PlatformError): string => {
  const { cause } = error.reason
  return cause instanceof Error ? cause.message : error.message
}
