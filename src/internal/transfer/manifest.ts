/**
 * The files that say what an export is: `manifest.json` of one that is done, `checkpoint.json` of one that is not.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Manifest } from "../../Export.ts"
import type { TransferError } from "../../TransferError.ts"
import { InvalidManifest, OtherCheckpoint } from "../../TransferError.ts"
import { fail, failure } from "./failure.ts"
import type { Directory } from "./files.ts"

export const manifestName = "manifest.json"

export const checkpointName = "checkpoint.json"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const formats = ["jsonLines", "csv"] as const

/** No file in another directory: a manifest may come from elsewhere. */
const FileName = Schema.String.check(Schema.isPattern(/^part-\d+\.(jsonl|csv)$/))

const Part = Schema.Struct({ file: FileName, rows: Count, bytes: Count, sha256: Schema.String })

/** What an export is of; a checkpoint of another one cannot be gone on with. */
const subject = {
  version: Schema.Literal(1),
  keyspace: Schema.String,
  table: Schema.String,
  columns: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String })),
  format: Schema.Literals(formats),
  nullText: Schema.String,
  writeTime: Schema.Boolean,
  ttl: Schema.Boolean,
  where: Schema.optional(Schema.String)
}

const ManifestFile = Schema.Struct({
  ...subject,
  rows: Count,
  parts: Schema.Array(Part),
  startedAt: Schema.String,
  endedAt: Schema.String
})

const CheckpointFile = Schema.Struct({
  ...subject,
  /** What is left of the scan; all of it, before a range was done. */
  scan: Schema.NullOr(Schema.String),
  rangesDone: Count,
  parts: Schema.Array(Part),
  startedAt: Schema.String
})

export type Subject = Pick<Manifest, keyof typeof subject>

export type Checkpoint = typeof CheckpointFile.Type

const textOf = (value: Manifest | Checkpoint): string => `${JSON.stringify(value, undefined, 2)}\n`

const fromText = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  text: string
): Effect.Effect<S["Type"], Schema.SchemaError> => Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text)

/** `undefined` where there is none. */
export const read = Effect.fnUntraced(function*(
  directory: Directory
): Effect.fn.Return<Manifest | undefined, TransferError> {
  const path = directory.pathOf(manifestName)
  const text = yield* directory.readText(manifestName)
  if (text === undefined) return undefined
  const invalid = new InvalidManifest({ path, message: `${path} is no manifest that this version can read` })
  const manifest = yield* Effect.mapError(fromText(ManifestFile, text), () => failure(invalid))
  const rows = manifest.parts.reduce((sum, part) => sum + part.rows, 0)
  return rows === manifest.rows
    ? manifest
    : yield* fail(
      new InvalidManifest({ path, message: `${path} tells of ${manifest.rows} rows, its parts of ${rows}` })
    )
})

export const absent = (directory: Directory): InvalidManifest => {
  const path = directory.pathOf(manifestName)
  return new InvalidManifest({ path, message: `there is no ${path}: this is no export, or one that is not done` })
}

export const write = (directory: Directory, manifest: Manifest): Effect.Effect<void, TransferError> =>
  directory.replace(manifestName, textOf(manifest))

/** `undefined` where there is none. */
export const readCheckpoint = Effect.fnUntraced(function*(
  directory: Directory
): Effect.fn.Return<Checkpoint | undefined, TransferError> {
  const text = yield* directory.readText(checkpointName)
  if (text === undefined) return undefined
  const path = directory.pathOf(checkpointName)
  const message = `${path} is no checkpoint that this version can read; existing: "overwrite" begins again`
  const invalid = new OtherCheckpoint({ path, message })
  return yield* Effect.mapError(fromText(CheckpointFile, text), () => failure(invalid))
})

export const writeCheckpoint = (directory: Directory, checkpoint: Checkpoint): Effect.Effect<void, TransferError> =>
  directory.replace(checkpointName, textOf(checkpoint))

const subjectKeys = Object.keys(subject) as ReadonlyArray<keyof Subject>

/** In what a checkpoint is of something else. */
export const difference = (checkpoint: Subject, wanted: Subject): string | undefined =>
  subjectKeys.find((key) => JSON.stringify(checkpoint[key]) !== JSON.stringify(wanted[key]))
