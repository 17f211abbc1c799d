/**
 * Files, or any stream of bytes, into a table: of JSON Lines or of CSV.
 *
 * Import it as `CqlImport`. It reads what `CqlExport` writes, and what others write in the same forms.
 *
 * @module CqlImport
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { FileSystem } from "effect/FileSystem"
import type { Path } from "effect/Path"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { CqlError } from "./CqlError.ts"
import type { Format } from "./Export.ts"
import * as Importing from "./internal/transfer/importing.ts"
import type { Session } from "./Session.ts"
import type { TransferError } from "./TransferError.ts"

/**
 * Where rows go, and how they are written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<S extends Schema.Constraint, E2 = TransferError, R2 = never> {
  /** As CQL names it: `users`, `shop.users`, `"Users"`. Without a keyspace it is the session's. */
  readonly table: string
  /** Of a row, a struct or a class, whose columns the lines have. */
  readonly schema: S
  /**
   * Whether null leaves a column as it is (`"unset"`), or deletes what it has (`"delete"`), which leaves a tombstone. By
   * default `"unset"`.
   */
  readonly nulls?: "unset" | "delete" | undefined
  /** How long the server keeps the rows; see `cql.using`. By default as long as the table or the lines say. */
  readonly ttl?: Exclude<Duration.Input, number | bigint> | undefined
  /** Statements in flight at a time, at the most. By default 64. */
  readonly concurrency?: number | undefined
  /** Rows of one partition that are sent as one batch. By default 100. */
  readonly maxBatchRows?: number | undefined
  /** Bytes of a batch, of the values that are bound. By default 16,384. */
  readonly maxBatchBytes?: number | undefined
  /** After so many rows, at the most, there is a new checkpoint; and each five seconds. By default 10,000. */
  readonly checkpointRows?: number | undefined
  /**
   * Takes what is no row, or was refused for what it is, and the import goes on. By default it ends with the first one; and
   * in any case with what is not the row's fault, such as a cluster that does not answer.
   */
  readonly onFailure?: ((failure: RowFailure<S["Type"]>) => Effect.Effect<void, E2, R2>) | undefined
  /** Runs about ten times a second, and at the end. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * A stream that is imported.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamOptions<S extends Schema.Constraint, E = never, R = never, E2 = TransferError, R2 = never>
  extends Options<S, E2, R2>
{
  /** A function is given where to begin, so that what lies before `from` need not be read. */
  readonly bytes: Stream.Stream<Uint8Array, E, R> | ((offset: number) => Stream.Stream<Uint8Array, E, R>)
  /** By default `"jsonLines"`. */
  readonly format?: Format | undefined
  /** What stands in CSV for null, without quotes. By default nothing. */
  readonly nullText?: string | undefined
  /** What `onCheckpoint` was given last for the same bytes: what lies before it is passed over. */
  readonly from?: string | undefined
  /** Takes how far the import is, as a text that can be kept: all rows before it have been dealt with. */
  readonly onCheckpoint?: ((checkpoint: string) => Effect.Effect<void, E2, R2>) | undefined
}

/**
 * A directory that is imported.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectoryOptions<S extends Schema.Constraint, E2 = TransferError, R2 = never>
  extends Options<S, E2, R2>
{
  /** Of a directory with the manifest of an export. */
  readonly path: string
  /**
   * A file that says how far the import is, and where another one goes on; it is removed when all is done. By default there
   * is none, and an import begins at the beginning.
   */
  readonly checkpoint?: string | undefined
}

/**
 * A line that is no row, or a row that was not written.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowFailure<out A> {
  /** The file; `undefined` in a stream. */
  readonly part: string | undefined
  /** Counted from 1. */
  readonly line: number
  /** `undefined` where the line is no row. */
  readonly row: A | undefined
  /** With a reason of `MalformedRow` or `RowNotWritten`. */
  readonly error: TransferError
}

/**
 * How far an import is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  /** That have been written. */
  readonly rows: number
  /** That `onFailure` was given. */
  readonly notWritten: number
  /** That have been read. */
  readonly bytes: number
  /** That there are; `undefined` for a stream. */
  readonly totalBytes: number | undefined
}

/**
 * What an import has done. Rows that one before it had written are in none of the counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result {
  readonly rows: number
  readonly notWritten: number
}

/**
 * Writes the rows of a stream of bytes into a table.
 *
 * **Details**
 *
 * Rows are written as `CqlStream.write` does. The columns of CSV are compared with those of the schema before anything is
 * written; a line of JSON has to have the keys that the schema needs, and no others. Columns `writetime(name)` and
 * `ttl(name)`, as an export has them, are what the values are written with: a row whose values differ in them is several
 * statements.
 *
 * What ends the import, ends it as soon as it is known; rows that came before may be written or not.
 *
 * **Gotchas**
 *
 * CSV with a quote in the wrong place ends the import also with `onFailure`: where the next line begins is not known.
 *
 * **Example** (A file of one's own, and what is wrong in it)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as FileSystem from "effect/FileSystem"
 * import * as Schema from "effect/Schema"
 * import { CqlImport, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const program = Effect.gen(function*() {
 *   const files = yield* FileSystem.FileSystem
 *   const { notWritten, rows } = yield* CqlImport.fromStream({
 *     table: "users",
 *     schema: User,
 *     format: "csv",
 *     bytes: files.stream("users.csv"),
 *     onFailure: ({ error, line }) => Effect.logWarning(`line ${line}: ${error.message}`)
 *   })
 *   yield* Effect.log(`${rows} written, ${notWritten} not`)
 * })
 * ```
 *
 * @category imports
 * @since 0.1.0
 */
export const fromStream = <S extends Schema.Constraint, E, R, E2 = TransferError, R2 = never>(
  options: StreamOptions<S, E, R, E2, R2>
): Effect.Effect<
  Result,
  CqlError | TransferError | E | E2,
  Session | S["DecodingServices"] | S["EncodingServices"] | R | R2
> =>
  Effect.flatMap(
    Importing.plan(options, Importing.streamChecks(options)),
    (plan) => Importing.fromStream(options, plan)
  )

/**
 * Writes what was exported to a directory into a table.
 *
 * **Details**
 *
 * All parts are compared with the manifest, by their size and by their digest, before anything is written. With a
 * `checkpoint` it can be resumed: no row is lost then, and some are written again, with a new write time. Where nobody else
 * writes to the table that leaves them as they are.
 *
 * **Example** (An import that survives its process)
 *
 * ```ts
 * import * as Schema from "effect/Schema"
 * import { CqlImport, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const program = CqlImport.fromDirectory({
 *   table: "users",
 *   schema: User,
 *   path: "backup/users",
 *   checkpoint: "users.import.json"
 * })
 * ```
 *
 * @category imports
 * @since 0.1.0
 */
export const fromDirectory = <S extends Schema.Constraint, E2 = TransferError, R2 = never>(
  options: DirectoryOptions<S, E2, R2>
): Effect.Effect<
  Result,
  CqlError | TransferError | E2,
  Session | FileSystem | Path | S["DecodingServices"] | S["EncodingServices"] | R2
> =>
  Effect.flatMap(
    Importing.plan(options, Importing.directoryChecks(options)),
    (plan) => Importing.fromDirectory(options, plan)
  )
