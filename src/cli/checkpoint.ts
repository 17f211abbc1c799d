/**
 * How far an import is, in a file beside what is imported, or wherever it is said.
 */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Files from "../internal/transfer/files.ts"
import type { TransferError } from "../TransferError.ts"

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
): Effect.fn.Return<Checkpoint, TransferError, Files.Services> {
  const { join } = yield* Path.Path
  const file = `${table.keyspace}.${table.name}.checkpoint`
  const path = checkpoint ?? (kind === "directory" ? join(source, file) : `${source}.${file}`)
  const [directory, name] = yield* Files.single(path)
  const remove = directory.remove(name)
  if (!resume) yield* remove
  const from = resume ? yield* directory.readText(name) : undefined
  return { path, from, keep: (checkpoint) => directory.replace(name, checkpoint), remove }
})
