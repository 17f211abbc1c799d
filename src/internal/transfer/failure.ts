/**
 * How failures of exports and imports are made.
 */
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import type { Reason } from "../../TransferError.ts"
import { FileFailed, TransferError } from "../../TransferError.ts"

export const failure = (reason: Reason): TransferError => new TransferError({ reason })

export const fail = (reason: Reason): Effect.Effect<never, TransferError> => Effect.fail(failure(reason))

/** Names the file, and what was to be done with it. */
export const fileFailed = (path: string, done: string) => (error: PlatformError): TransferError =>
  failure(new FileFailed({ path, error, message: `${path} cannot be ${done}: ${error.message}` }))
