/**
 * A stream, or the parts of a directory, into a table.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { Part } from "../../Export.ts"
import type { DirectoryOptions, Result, StreamOptions } from "../../Import.ts"
import * as CqlStream from "../../Stream.ts"
import type { TransferError } from "../../TransferError.ts"
import { OtherCheckpoint } from "../../TransferError.ts"
import * as Check from "../check.ts"
import { formats, nullTextCheck, pathCheck } from "./exporting.ts"
import { fail, failure } from "./failure.ts"
import type { Directory } from "./files.ts"
import * as Files from "./files.ts"
import { dropBytes } from "./format.ts"
import type { Place } from "./importRun.ts"
import { beginning, damaged, run } from "./importRun.ts"
import * as Manifests from "./manifest.ts"
import { headerOf } from "./rowReader.ts"
import type { Any, AnyOptions, Plan } from "./target.ts"

export { plan } from "./target.ts"

export type AnyStreamOptions = Any<StreamOptions<Schema.Constraint, any, any, any, any>>

export type AnyDirectoryOptions = Any<DirectoryOptions<Schema.Constraint, any, any>>

const checks = (options: AnyOptions): ReadonlyArray<Check.Check> => [
  CqlStream.tableCheck(options.table),
  CqlStream.ttlCheck(options.ttl),
  Check.oneOf("nulls", options.nulls, ["unset", "delete"]),
  Check.whole("concurrency", options.concurrency, 1, 1024),
  Check.whole("maxBatchRows", options.maxBatchRows, 1, 65_535),
  Check.whole("maxBatchBytes", options.maxBatchBytes, 1),
  Check.whole("checkpointRows", options.checkpointRows, 1),
  Check.callback("onFailure", options.onFailure),
  Check.callback("onProgress", options.onProgress)
]

export const streamChecks = (options: AnyStreamOptions): ReadonlyArray<Check.Check> => [
  ...checks(options),
  {
    field: "bytes",
    expected: "a Stream of Uint8Array, or a function from an offset to one",
    holds: Stream.isStream(options.bytes) || typeof options.bytes === "function"
  },
  Check.oneOf("format", options.format, formats),
  nullTextCheck(options.nullText),
  Check.text("from", options.from),
  Check.callback("onCheckpoint", options.onCheckpoint)
]

export const directoryChecks = (options: AnyDirectoryOptions): ReadonlyArray<Check.Check> => [
  ...checks(options),
  pathCheck(options.path),
  Check.text("checkpoint", options.checkpoint)
]

// --- where it goes on

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Kept = Schema.fromJsonString(Schema.Struct({
  version: Schema.Literal(1),
  /** Of what is read, and of where it goes. */
  of: Schema.String,
  part: Count,
  bytes: Count,
  lines: Count,
  rows: Count,
  names: Schema.NullOr(Schema.Array(Schema.String))
}))

const digestOf = (parts: ReadonlyArray<unknown>): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("base64url")

const keep = (of: string, { bytes, lines, part, rows }: Place, names: ReadonlyArray<string> | undefined): string =>
  JSON.stringify({ version: 1, of, part, bytes, lines, rows, names: names ?? null })

interface Found {
  readonly place: Place
  readonly names: ReadonlyArray<string> | undefined
}

const fromKept = Effect.fnUntraced(function*(
  text: string,
  of: string,
  path: string | undefined
): Effect.fn.Return<Found, TransferError> {
  const name = path ?? "the checkpoint"
  const other = (why: string) =>
    new OtherCheckpoint({ path, message: `${name} ${why}; without it, all is imported again` })
  const kept = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Kept)(text),
    () => failure(other("is no checkpoint that this version can read"))
  )
  if (kept.of !== of) return yield* fail(other("is of another import"))
  const { bytes, lines, names, part, rows } = kept
  return { place: { part, bytes, lines, rows }, names: names ?? undefined }
})

// --- of a stream

export const fromStream = Effect.fnUntraced(function*(
  options: AnyStreamOptions,
  plan: Plan
): Effect.fn.Return<Result, any, any> {
  const { bytes, format = "jsonLines", from, nullText = "", onCheckpoint } = options
  const of = digestOf(["stream", subjectOf(plan), format, nullText])
  const found = from === undefined ? undefined : yield* fromKept(fromText(from), of, undefined)
  const place = found?.place ?? beginning
  const left = typeof bytes === "function" ? bytes(place.bytes) : dropBytes(bytes, place.bytes)
  return yield* run(plan, {
    format,
    nullText,
    sources: [{ part: undefined, index: 0, from: place, bytes: left, rows: undefined }],
    from: place,
    names: found?.names,
    sizes: undefined,
    keepsEnd: true,
    onCheckpoint: onCheckpoint === undefined
      ? undefined
      : (place, names) => onCheckpoint(toText(keep(of, place, names)))
  })
})

const toText = (kept: string): string => Buffer.from(kept).toString("base64url")

const fromText = (text: string): string => Buffer.from(text, "base64url").toString()

const subjectOf = ({ columns, table }: Plan): ReadonlyArray<unknown> => [
  table.keyspace,
  table.name,
  columns.map(({ name }) => name)
]

// --- of a directory

export const fromDirectory = Effect.fnUntraced(function*(
  options: AnyDirectoryOptions,
  plan: Plan
): Effect.fn.Return<Result, any, any> {
  const directory = yield* Files.directory(options.path)
  const manifest = (yield* Manifests.read(directory)) ?? (yield* fail(Manifests.absent(directory)))
  const { columns, format, nullText, parts } = manifest
  yield* headerOf(plan, undefined, directory.pathOf(Manifests.manifestName))(columns.map(({ name }) => name))
  yield* Effect.forEach(parts, (part) => verify(directory, part), { discard: true })
  const checkpoint = yield* checkpointOf(options.checkpoint, digestOf(["directory", subjectOf(plan), manifest]))
  const from = checkpoint?.found?.place ?? beginning
  const sources = parts.map(({ file, rows }, index) => {
    const place = index === from.part ? from : { ...beginning, part: index }
    return { part: file, index, from: place, bytes: directory.stream(file, place.bytes), rows }
  })
  const result = yield* run(plan, {
    format,
    nullText,
    sources: sources.slice(from.part),
    from,
    names: checkpoint?.found?.names,
    sizes: parts.map(({ bytes }) => bytes),
    // It is removed then.
    keepsEnd: false,
    onCheckpoint: checkpoint?.write
  })
  if (checkpoint !== undefined) yield* checkpoint.remove
  return result
})

/** The file that says how far an import is. */
interface CheckpointFile {
  readonly found: Found | undefined
  readonly write: (place: Place, names: ReadonlyArray<string> | undefined) => Effect.Effect<void, TransferError>
  readonly remove: Effect.Effect<void, TransferError>
}

const checkpointOf = Effect.fnUntraced(function*(
  path: string | undefined,
  of: string
): Effect.fn.Return<CheckpointFile | undefined, TransferError, Files.Services> {
  if (path === undefined) return undefined
  const [directory, name] = yield* Files.single(path)
  const kept = yield* directory.readText(name)
  return {
    found: kept === undefined ? undefined : yield* fromKept(kept, of, path),
    write: (place, names) => directory.replace(name, keep(of, place, names)),
    remove: directory.remove(name)
  }
})

const verify = Effect.fnUntraced(function*(
  directory: Directory,
  { bytes, file, sha256 }: Part
): Effect.fn.Return<void, TransferError> {
  const path = directory.pathOf(file)
  const size = yield* directory.sizeOf(file)
  if (size === undefined) return yield* Effect.fail(damaged(path, "there is no such file"))
  if (size !== bytes) return yield* Effect.fail(damaged(path, `it has ${size} bytes, and had ${bytes}`))
  const hash = yield* directory.digestOf(file, bytes)
  if (hash.digest("hex") !== sha256) yield* Effect.fail(damaged(path, "its SHA-256 is another one"))
})
