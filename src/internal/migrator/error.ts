/**
 * What can go wrong with migrations, as one tagged error beside `CqlError`, and how it is made.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { CqlError } from "../../CqlError.ts"

/**
 * The session has no keyspace, in which the table of the migrations could be.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoKeyspace extends Data.TaggedError("NoKeyspace")<{ readonly message: string }> {}

/**
 * What is given under these names is no migration by its name, `<id>_<name>`, or its id is not a whole number from 1 on.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidName extends Data.TaggedError("InvalidName")<{
  readonly names: ReadonlyArray<string>
  readonly message: string
}> {}

/**
 * A migration could not be loaded: a file cannot be read or imported, or what it exports is none.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotLoaded extends Data.TaggedError("NotLoaded")<{
  readonly source: string
  readonly cause: unknown
  readonly message: string
}> {}

/**
 * A text cannot be split into statements, or has one that must not be in a migration. `statement` counts from 1.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidScript extends Data.TaggedError("InvalidScript")<{
  readonly id: number
  readonly name: string
  readonly statement: number
  readonly message: string
}> {}

/**
 * Several migrations have one id.
 *
 * @category errors
 * @since 0.1.0
 */
export class Duplicate extends Data.TaggedError("Duplicate")<{
  readonly id: number
  readonly names: ReadonlyArray<string>
  readonly message: string
}> {}

/**
 * Between the ids that are given there are some that are not. `after` is the id in front of the first gap.
 *
 * @category errors
 * @since 0.1.0
 */
export class Gap extends Data.TaggedError("Gap")<{
  readonly after: number
  readonly before: number
  readonly message: string
}> {}

/**
 * Migrations are not applied whose ids are lower than the last one that is.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutOfOrder extends Data.TaggedError("OutOfOrder")<{
  readonly migrations: ReadonlyArray<Named>
  readonly last: Named
  readonly message: string
}> {}

/**
 * Migrations that have been applied are not what they were.
 *
 * @category errors
 * @since 0.1.0
 */
export class Changed extends Data.TaggedError("Changed")<{
  readonly migrations: ReadonlyArray<Change>
  readonly message: string
}> {}

/**
 * A migration was begun and did not end: it failed, was interrupted, or its process ended. It may be half applied.
 *
 * @category errors
 * @since 0.1.0
 */
export class HalfApplied extends Data.TaggedError("HalfApplied")<{
  readonly id: number
  readonly name: string
  /** Which process has begun it. */
  readonly process: string
  readonly begunAt: Date
  readonly message: string
}> {}

/**
 * Another process holds the lock, and has held it for as long as was waited.
 *
 * @category errors
 * @since 0.1.0
 */
export class Locked extends Data.TaggedError("Locked")<{
  readonly owner: string
  readonly process: string
  /** When its lease ends, if it is not renewed. */
  readonly expiresInSeconds: number
  readonly message: string
}> {}

/**
 * The lease of the lock ended, and this process has stopped.
 *
 * **Details**
 *
 * `ran` tells of the migration that is named: it was not begun, or it ran while the lock was lost and another process has
 * begun it again, so that it is not recorded as this one's.
 *
 * @category errors
 * @since 0.1.0
 */
export class LockLost extends Data.TaggedError("LockLost")<{
  readonly id: number
  readonly name: string
  readonly ran: boolean
  readonly message: string
}> {}

/**
 * A migration failed: `cause` is what its Effect failed with.
 *
 * **Details**
 *
 * `statement` is the place of the statement that failed, from 1 on, in a migration that is a text; those before it were
 * executed.
 *
 * @category errors
 * @since 0.1.0
 */
export class Failed<out E = unknown> extends Data.TaggedError("Failed")<{
  readonly id: number
  readonly name: string
  readonly statement: number | undefined
  readonly cause: unknown
  readonly message: string
}> {
  declare readonly cause: E
}

/**
 * The table of the migrations could not be written, and nothing more was run.
 *
 * **Details**
 *
 * With `as: "begun"` the migration did not run. With `as: "applied"` it did, and may be recorded as no more than begun.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRecorded extends Data.TaggedError("NotRecorded")<{
  readonly id: number
  readonly name: string
  readonly as: "begun" | "applied"
  readonly cause: CqlError
  readonly message: string
}> {}

/**
 * The nodes that are up did not agree on the schema in time, and nothing more was run.
 *
 * **Details**
 *
 * `after` is the migration that ran before, which is recorded as applied; `undefined` where none has, and `statement` is
 * set where the migration is a text that stopped behind that statement, and is not. `versions` has the nodes by the
 * version of the schema that they have.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSchemaAgreement extends Data.TaggedError("NoSchemaAgreement")<{
  readonly after: Named | undefined
  readonly statement: number | undefined
  readonly versions: Readonly<Record<string, ReadonlyArray<string>>>
  readonly cause: CqlError | undefined
  readonly message: string
}> {}

/**
 * Why migrations were not applied, other than by a failure of the database outside of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason<E = unknown> =
  | NoKeyspace
  | InvalidName
  | NotLoaded
  | InvalidScript
  | Duplicate
  | Gap
  | OutOfOrder
  | Changed
  | HalfApplied
  | Locked
  | LockLost
  | Failed<E>
  | NotRecorded
  | NoSchemaAgreement

/**
 * Migrations were not applied, or not all of them, for a `reason`.
 *
 * **Details**
 *
 * `applied` are those that this run has applied before, and that stay so.
 *
 * **Example** (What a start that fails says)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, CqlMigrator } from "effect-cassandra"
 *
 * const migrate = CqlMigrator.run({
 *   loader: CqlMigrator.fromRecord({ "0001_users": cql`CREATE TABLE users (id uuid PRIMARY KEY, name text)` })
 * }).pipe(
 *   Effect.tapErrorTag("MigrationError", ({ applied, message }) =>
 *     Effect.logError(`${message}; applied: ${applied.length}`))
 * )
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class MigrationError<out E = unknown> extends Data.TaggedError("MigrationError")<{
  readonly reason: Reason
  readonly applied: ReadonlyArray<Applied>
  readonly cause?: unknown
}> {
  declare readonly reason: Reason<E>

  override get message(): string {
    return `${this.reason.message}${beforeThat(this.applied)}`
  }
}

/**
 * What a migration is called.
 *
 * @category models
 * @since 0.1.0
 */
export interface Named {
  readonly id: number
  readonly name: string
}

/**
 * A migration that has been applied.
 *
 * @category models
 * @since 0.1.0
 */
export interface Applied extends Named {
  /** `undefined` where it had none. */
  readonly checksum: string | undefined
  readonly durationMillis: number
}

/**
 * A migration as it is given, and as it was when it was applied: its name or its checksum differ.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change extends Named {
  readonly checksum: string | undefined
  readonly appliedName: string
  readonly appliedChecksum: string | undefined
}

// internal

export const label = ({ id, name }: Named): string => `${id}_${name}`

const shown = 10

/** The first of them, for a message. */
export const labels = (all: ReadonlyArray<Named>): string =>
  `${all.slice(0, shown).map(label).join(", ")}${all.length > shown ? ` and ${all.length - shown} more` : ""}`

const beforeThat = (applied: ReadonlyArray<Applied>): string =>
  applied.length === 0 ? "" : ` (applied before, by the same run: ${labels(applied)})`

export const make = <E>(reason: Reason<E>, applied: ReadonlyArray<Applied>): MigrationError<E> =>
  new MigrationError<E>({ reason, applied: [...applied], ...("cause" in reason ? { cause: reason.cause } : {}) })

/** For a reason that is not the user's own. */
export const fail = (
  reason: Reason<never>,
  applied: ReadonlyArray<Applied> = []
): Effect.Effect<never, MigrationError<never>> => Effect.fail(make(reason, applied))

/** What a user's own failure says of itself; a value that is no error may be anything, and is not shown. */
export const sayingOf = (cause: unknown): string =>
  cause instanceof Error && cause.message !== "" ? cause.message : tagOf(cause) ?? "see its cause"

const tagOf = (cause: unknown): string | undefined => {
  const tag = typeof cause === "object" && cause !== null && "_tag" in cause ? cause._tag : undefined
  return typeof tag === "string" ? tag : undefined
}
