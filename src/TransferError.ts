/**
 * What can go wrong between a table and its files, as one tagged error beside `CqlError`.
 *
 * @module TransferError
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { PlatformError } from "effect/PlatformError"
import type { CqlError } from "./CqlError.ts"

/**
 * There is an export in the directory already, done or not.
 *
 * @category errors
 * @since 0.1.0
 */
export class PathTaken extends Data.TaggedError("PathTaken")<{
  readonly path: string
  readonly by: "export" | "unfinished export"
  readonly message: string
}> {}

/**
 * Another export writes into the directory now.
 *
 * @category errors
 * @since 0.1.0
 */
export class PathInUse extends Data.TaggedError("PathInUse")<{
  readonly path: string
  readonly message: string
}> {}

/**
 * The checkpoint that was found is of something else, or is none.
 *
 * @category errors
 * @since 0.1.0
 */
export class OtherCheckpoint extends Data.TaggedError("OtherCheckpoint")<{
  readonly path: string | undefined
  readonly message: string
}> {}

/**
 * The manifest of an export is absent, or cannot be read, or tells of another table.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidManifest extends Data.TaggedError("InvalidManifest")<{
  readonly path: string
  readonly message: string
}> {}

/**
 * A part of an export is absent, or is not what the manifest or the checkpoint says.
 *
 * @category errors
 * @since 0.1.0
 */
export class DamagedPart extends Data.TaggedError("DamagedPart")<{
  readonly path: string
  readonly message: string
}> {}

/**
 * The columns of what is to be imported are not those of the schema. Nothing has been written.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidColumns extends Data.TaggedError("InvalidColumns")<{
  readonly part: string | undefined
  readonly unknown: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  readonly duplicate: ReadonlyArray<string>
  readonly message: string
}> {}

/**
 * A line is no row: of the format, or of the schema.
 *
 * **Details**
 *
 * `line` counts from 1, in the part or in the stream. `column` is the one that is wrong, where there is one.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedRow extends Data.TaggedError("MalformedRow")<{
  readonly part: string | undefined
  readonly line: number
  readonly column: string | undefined
  readonly message: string
}> {}

/**
 * The row of a line was not written, after all attempts.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowNotWritten extends Data.TaggedError("RowNotWritten")<{
  readonly part: string | undefined
  readonly line: number
  readonly error: CqlError
  readonly message: string
}> {}

/**
 * What is asked for cannot be done with these columns.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedColumns extends Data.TaggedError("UnsupportedColumns")<{
  readonly columns: ReadonlyArray<string>
  readonly message: string
}> {}

/**
 * A file or a directory could not be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class FileFailed extends Data.TaggedError("FileFailed")<{
  readonly path: string
  readonly error: PlatformError
  readonly message: string
}> {}

/**
 * Why an export or an import failed, other than by the database.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason =
  | PathTaken
  | PathInUse
  | OtherCheckpoint
  | InvalidManifest
  | DamagedPart
  | InvalidColumns
  | MalformedRow
  | RowNotWritten
  | UnsupportedColumns
  | FileFailed

/**
 * An export or an import failed for a `reason`, which is not the database's: that would be a `CqlError`.
 *
 * **Details**
 *
 * Its message says what to do, and has no value of a row in it.
 *
 * **Example** (An export that goes on where one has been)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import { CqlExport, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const program = CqlExport.toDirectory({ table: "users", schema: User, path: "users" }).pipe(
 *   Effect.catchReason("TransferError", "PathTaken", ({ by, path }) => Effect.logWarning(`${path} has an ${by} already`))
 * )
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class TransferError extends Data.TaggedError("TransferError")<{ readonly reason: Reason }> {
  override get message(): string {
    return this.reason.message
  }
}
