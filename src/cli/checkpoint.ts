/**
 * How far an import is, in a file beside what is imported.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"

export interface Checkpoint {
  readonly path: string
  /** What an import before this one has kept. */
  readonly from: string | undefined
  readonly keep: (checkpoint: string) => Effect.Effect<void, PlatformError>
  readonly remove: Effect.Effect<void, PlatformError>
}

/** Of one file or directory and one table. What is there already is removed, unless it is gone on with. */
export const make = Effect.fnUntraced(function*(
  kind: "file" | "directory",
  source: string,
  { keyspace, name }: { readonly keyspace: string; readonly name: string },
  resume: boolean
): Effect.fn.Return<Checkpoint, PlatformError, FileSystem.FileSystem | Path.Path> {
  const files = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  const file = `${keyspace}.${name}.checkpoint`
  const path = kind === "directory" ? join(source, file) : `${source}.${file}`
  const remove = files.remove(path, { force: true })
  if (!resume) yield* remove
  const from = resume && (yield* files.exists(path)) ? yield* files.readFileString(path) : undefined
  const next = `${path}.partial`
  // Renamed, so that a process which is killed leaves a whole one.
  const keep = (checkpoint: string): Effect.Effect<void, PlatformError> =>
    Effect.andThen(files.writeFileString(next, checkpoint), files.rename(next, path))
  return { path, from, keep, remove }
})
