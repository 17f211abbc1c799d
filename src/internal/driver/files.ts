/**
 * Reading the files that a configuration names.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

export const read = (path: string): Effect.Effect<string, unknown> =>
  Effect.tryPromise({ try: (signal) => readFile(path, { encoding: "utf8", signal }), catch: (error) => error })
