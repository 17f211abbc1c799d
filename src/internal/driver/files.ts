/**
 * The files that a configuration names.
 */
import * as Effect from "effect/Effect"
import { access, constants, readFile } from "node:fs/promises"

export const read = (path: string): Effect.Effect<string, unknown> =>
  Effect.tryPromise({ try: (signal) => readFile(path, { encoding: "utf8", signal }), catch: (error) => error })

export const mustBeReadable = (path: string): Effect.Effect<void, unknown> =>
  Effect.tryPromise({ try: () => access(path, constants.R_OK), catch: (error) => error })
