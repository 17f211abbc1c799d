/**
 * Tables into files, or into any stream of bytes: as JSON Lines or as CSV.
 *
 * Import it as `CqlExport`. `CqlImport` reads what this writes.
 *
 * @module CqlExport
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { FileSystem } from "effect/FileSystem"
import type { Path } from "effect/Path"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CqlError } from "./CqlError.ts"
import * as Exporting from "./internal/transfer/exporting.ts"
import * as ExportRun from "./internal/transfer/exportRun.ts"
import { fail } from "./internal/transfer/failure.ts"
import * as Files from "./internal/transfer/files.ts"
import * as Manifests from "./internal/transfer/manifest.ts"
import type { Session } from "./Session.ts"
import type { Fragment } from "./Statement.ts"
import type { TransferError } from "./TransferError.ts"

/**
 * How rows are written as text: an object of JSON in each line, or comma-separated values with a line of names first.
 *
 * @category models
 * @since 0.1.0
 */
export type Format = "jsonLines" | "csv"

/**
 * What is exported, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<S, E2 = never, R2 = never> {
  /** As CQL names it: `users`, `shop.users`, `"Users"`. Without a keyspace it is the session's. */
  readonly table: string
  /** Of a row, a struct or a class: what it names is what is exported. */
  readonly schema: S
  /** By default `"jsonLines"`. */
  readonly format?: Format | undefined
  /** What stands in CSV for null, without quotes; a text that is the same has quotes. By default nothing. */
  readonly nullText?: string | undefined
  /**
   * Also when each value was written, as columns `writetime(name)`, for an import to write it with. By default not. What
   * has no single time, a collection that is not frozen or a counter, is refused.
   */
  readonly writeTime?: boolean | undefined
  /** Also in how many seconds each value expires, as columns `ttl(name)`, as with `writeTime`. By default not. */
  readonly ttl?: boolean | undefined
  /** A condition on clustering columns or others, which the server filters by (`ALLOW FILTERING`); no `LIMIT`. */
  readonly where?: Fragment | undefined
  /** Token ranges that are read at a time. By default 4. */
  readonly concurrency?: number | undefined
  /** Token ranges in all, at least. By default as many as the size of the table suggests. */
  readonly ranges?: number | undefined
  /** Runs after each page of rows. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void, E2, R2>) | undefined
}

/**
 * Into which directory a table is exported.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectoryOptions<S, E2 = never, R2 = never> extends Options<S, E2, R2> {
  /** Of a directory, which is made if there is none. */
  readonly path: string
  /**
   * What becomes of an export that is there already. By default it is refused. `"resume"` goes on with one that is not
   * done, begins if there is none, and gives the manifest of one that is done. `"overwrite"` takes its place once the new
   * one is whole.
   */
  readonly existing?: "refuse" | "resume" | "overwrite" | undefined
  /** The least time between two checkpoints. By default a second. */
  readonly checkpointInterval?: Duration.Input | undefined
}

/**
 * How far an export is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly rows: number
  readonly bytes: number
  /** Token ranges that have been read to their end, and how many there are. */
  readonly rangesDone: number
  readonly ranges: number
}

/**
 * What an export consists of: the content of its `manifest.json`, which is written last.
 *
 * @category models
 * @since 0.1.0
 */
export interface Manifest {
  readonly version: 1
  readonly keyspace: string
  readonly table: string
  /** Of each line, in their order. */
  readonly columns: ReadonlyArray<ManifestColumn>
  readonly format: Format
  readonly nullText: string
  readonly writeTime: boolean
  readonly ttl: boolean
  /** The text of the condition, without the values that were bound. */
  readonly where?: string | undefined
  readonly rows: number
  readonly parts: ReadonlyArray<Part>
  /** As ISO 8601. */
  readonly startedAt: string
  readonly endedAt: string
}

/**
 * A column of an export.
 *
 * @category models
 * @since 0.1.0
 */
export interface ManifestColumn {
  readonly name: string
  /** As CQL writes it. */
  readonly type: string
}

/**
 * A file of an export.
 *
 * @category models
 * @since 0.1.0
 */
export interface Part {
  /** Its name in the directory. */
  readonly file: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

/**
 * A whole table as bytes.
 *
 * **Details**
 *
 * Rows come as they are read, those of one partition together and in their order. The options of statements around it
 * hold for its pages, as they do for `CqlStream.scan`.
 *
 * **Example** (Into a file of one's own)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as FileSystem from "effect/FileSystem"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 * import { CqlExport, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const program = Effect.gen(function*() {
 *   const files = yield* FileSystem.FileSystem
 *   const csv = CqlExport.toStream({ table: "users", schema: User, format: "csv" })
 *   yield* Stream.run(csv, files.sink("users.csv"))
 * })
 * ```
 *
 * @category exports
 * @since 0.1.0
 */
export const toStream = <S extends Schema.Constraint, E2 = never, R2 = never>(
  options: Options<S, E2, R2>
): Stream.Stream<
  Uint8Array,
  CqlError | Schema.SchemaError | TransferError | E2,
  Session | S["DecodingServices"] | S["EncodingServices"] | R2
> =>
  Stream.unwrap(
    Effect.map(Exporting.plan(options, Exporting.checks(options)), (plan) => Exporting.toStream(options, plan))
  )

/**
 * A whole table as files of a directory, and a manifest of them.
 *
 * **Details**
 *
 * There are at most `concurrency` files `part-0.jsonl` (or `.csv`). Until the export is done their names end in
 * `.partial`, and `checkpoint.json` says how far they are; `manifest.json` is written last. So a directory with a manifest
 * has all of the table, and one without it can be resumed, also by another process after this one was killed: no row is
 * lost then, and none comes twice.
 *
 * A token range that cannot be read, after all attempts, fails the export. A part has whole ranges, one after the other;
 * an empty table has none.
 *
 * **Gotchas**
 *
 * Two exports cannot write into one directory at a time: the second one fails with `PathInUse`. It is no snapshot: what is
 * written meanwhile may or may not be in it. To go on reads again what is there, to compare it with its digest.
 *
 * **Example** (An export that survives its process)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import { CqlExport, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const program = Effect.gen(function*() {
 *   const { parts, rows } = yield* CqlExport.toDirectory({
 *     table: "users",
 *     schema: User,
 *     path: "backup/users",
 *     existing: "resume",
 *     onProgress: ({ ranges, rangesDone }) => Effect.log(`${rangesDone} of ${ranges}`)
 *   })
 *   yield* Effect.log(`${rows} users in ${parts.length} files`)
 * })
 * ```
 *
 * @category exports
 * @since 0.1.0
 */
export const toDirectory = <S extends Schema.Constraint, E2 = never, R2 = never>(
  options: DirectoryOptions<S, E2, R2>
): Effect.Effect<
  Manifest,
  CqlError | Schema.SchemaError | TransferError | E2,
  Session | FileSystem | Path | S["DecodingServices"] | S["EncodingServices"] | R2
> =>
  Effect.flatMap(
    Exporting.plan(options, Exporting.directoryChecks(options)),
    (plan) => ExportRun.toDirectory(options, plan)
  )

/**
 * The manifest of an export; `InvalidManifest` where there is none, as while the export is not done.
 *
 * @category exports
 * @since 0.1.0
 */
export const readManifest = (path: string): Effect.Effect<Manifest, TransferError, FileSystem | Path> =>
  Effect.gen(function*() {
    const directory = yield* Files.directory(path)
    const manifest = yield* Manifests.read(directory)
    return manifest ?? (yield* fail(Manifests.absent(directory)))
  })
