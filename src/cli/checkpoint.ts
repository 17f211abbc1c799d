/**
 * How far an import is, in a file beside what is imported, or wherever it is said.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Files from "../internal/transfer/files.ts"
import type { TransferError } from "../TransferError.ts"
import { UsageError } from "./report.ts"

export interface Checkpoint {
  readonly path: string
  /** What an import before this one has kept. */
  readonly from: string | undefined
  readonly keep: (checkpoint: string) => Effect.Effect<void, TransferError>
  readonly remove: Effect.Effect<void, TransferError>
}

/** Of one file or directory and one table. What is there already is removed, unless it is gone on with. */
export const make = Effect.fnUntraced(function*(
  kind: "file" | "directory",
  source: string,
  table: { readonly keyspace: string; readonly name: string },
  { checkpoint, resume }: { readonly checkpoint: string | undefined; readonly resume: boolean }
): Effect.fn.Return<Checkpoint, TransferError | UsageError, Files.Services> {
  const { join } = yield* Path.Path
  const file = `${table.keyspace}.${table.name}.checkpoint`
  const path = checkpoint ?? (kind === "directory" ? join(source, file) : `${source}.${file}`)
  const [directory, name] = yield* Files.single(path)
  yield* mustBeWritable(directory.path)
  const remove = directory.remove(name)
  if (!resume) yield* remove
  const from = resume ? yield* directory.readText(name) : undefined
  return { path, from, keep: (checkpoint) => directory.replace(name, checkpoint), remove }
})

/** Found out before a row is written, and not with the first checkpoint. */
const mustBeWritable = (path: string): Effect.Effect<void, UsageError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.use((files) => files.access(path, { writable: true })).pipe(
    Effect.mapError(() =>
      new UsageError({
        message: `nothing can be written in ${path}: say with --checkpoint where the checkpoint may be`
      })
    )
  )
