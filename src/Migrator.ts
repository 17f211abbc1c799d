/**
 * Migrations of the schema: numbered, applied once, in their order, by one process at a time.
 *
 * Import it as `CqlMigrator`. A migration is an Effect, or a text of CQL; a table in the session's keyspace records what
 * has been applied.
 *
 * **Gotchas**
 *
 * Cassandra has no transactions around changes of the schema: a migration that fails in its middle has done what stands
 * before. It is recorded when it is begun, so that the next run says that it may be half applied, and stops.
 *
 * @module CqlMigrator
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { FileSystem } from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { Path } from "effect/Path"
import type * as Schedule from "effect/Schedule"
import type { CqlError } from "./CqlError.ts"
import type { Applied, Change, MigrationError, Named } from "./internal/migrator/error.ts"
import * as Loaders from "./internal/migrator/loaders.ts"
import * as Migrating from "./internal/migrator/migrating.ts"
import type { Session } from "./Session.ts"

export {
  Changed,
  Duplicate,
  Failed,
  Gap,
  HalfApplied,
  InvalidName,
  InvalidScript,
  Locked,
  LockLost,
  MigrationError,
  NoKeyspace,
  NoSchemaAgreement,
  NotLoaded,
  NotRecorded,
  OutOfOrder
} from "./internal/migrator/error.ts"
export type { Applied, Change, Named, Reason } from "./internal/migrator/error.ts"

/**
 * A migration as a loader gives it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Migration<out E = unknown, out R = Session> {
  /** A whole number from 1 on. */
  readonly id: number
  readonly name: string
  /** What a change of it is told by, when it has been applied; without one it is not. */
  readonly checksum: string | undefined
  /** What it does, or the statements it consists of. Asked for only when it is to be run. */
  readonly load: Effect.Effect<Effect.Effect<unknown, E, R> | ReadonlyArray<string>, MigrationError<never>>
}

/**
 * Gives all migrations there are, in any order.
 *
 * @category models
 * @since 0.1.0
 */
export type Loader<E = unknown, R = Session, R2 = never> = Effect.Effect<
  ReadonlyArray<Migration<E, R>>,
  MigrationError<never>,
  R2
>

/**
 * A migration in a record: an Effect, also with a checksum of its own, or the text of one statement or several.
 *
 * @category models
 * @since 0.1.0
 */
export type Source<E = unknown, R = Session> =
  | string
  | Effect.Effect<unknown, E, R>
  | { readonly run: Effect.Effect<unknown, E, R>; readonly checksum: string }

/**
 * What the migrations of a record fail with.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorOf<S> = S extends string ? CqlError
  : S extends Effect.Effect<any, infer E, any> ? E
  : S extends { readonly run: Effect.Effect<any, infer E, any> } ? E
  : never

/**
 * What the migrations of a record need.
 *
 * @category models
 * @since 0.1.0
 */
export type ServicesOf<S> = S extends string ? Session
  : S extends Effect.Effect<any, any, infer R> ? R
  : S extends { readonly run: Effect.Effect<any, any, infer R> } ? R
  : never

/**
 * Which migrations, and how they are applied.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = unknown, R = Session, R2 = never> {
  readonly loader: Loader<E, R, R2>
  /**
   * Where it is recorded what has been applied, in the session's keyspace: the name of a table as CQL has it, made when
   * there is none. By default `effect_cassandra_migrations`.
   */
  readonly table?: string | undefined
  /**
   * For how long the lock stays when its process has died; while one lives it is renewed. In whole seconds, from 3 on. By
   * default 30 seconds.
   */
  readonly lease?: Duration.Input | undefined
  /**
   * When to look again while another process has the lock; behind its end it is `Locked`. By default each half second for
   * one minute; `Schedule.recurs(0)` does not wait.
   */
  readonly waitForLock?: Schedule.Schedule<unknown, MigrationError<never>> | undefined
  /** How long the nodes may take to agree on the schema, after each migration and before the first. By default 30 seconds. */
  readonly schemaAgreementTimeout?: Duration.Input | undefined
  /**
   * Whose replicas decide on the lock. `"localSerial"` only where all migrations are run from one data center: others
   * would decide by themselves. By default `"serial"`, for the schema is that of all of them.
   */
  readonly serialConsistency?: "serial" | "localSerial" | undefined
  /** Whether there may be ids between others that no migration has. By default `false`. */
  readonly allowGaps?: boolean | undefined
  /** Whether one is applied whose id is lower than that of one that has been. By default `false`. */
  readonly allowOutOfOrder?: boolean | undefined
  /** What is done with one that was begun and did not end. By default `"refuse"`. */
  readonly halfApplied?: "refuse" | "runAgain" | undefined
}

/**
 * What the table says of a migration that has been applied.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded extends Applied {
  /** By the server's clock. */
  readonly appliedAt: Date
  /** Which process has applied it. */
  readonly process: string
}

/**
 * What the table says of a migration that was begun: it is running, or may be half applied.
 *
 * @category models
 * @since 0.1.0
 */
export interface Begun extends Named {
  /** By the server's clock. */
  readonly begunAt: Date
  /** Which process has begun it. */
  readonly process: string
}

/**
 * Who has the lock.
 *
 * @category models
 * @since 0.1.0
 */
export interface Holder {
  /** The id of the run. */
  readonly owner: string
  readonly process: string
  /** When its lease ends, if it is not renewed. */
  readonly expiresInSeconds: number
}

/**
 * What has been applied, and what a run would do. All lists are in the order of the ids.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  readonly applied: ReadonlyArray<Recorded>
  /** That a run would apply, or refuse to. */
  readonly pending: ReadonlyArray<Named>
  /** Applied, and not what they were: a run is refused. */
  readonly changed: ReadonlyArray<Change>
  /** Applied, and not given. A run takes no notice of them. */
  readonly missing: ReadonlyArray<Recorded>
  /** Those of `pending` with an id that is lower than one that has been applied: a run is refused by default. */
  readonly outOfOrder: ReadonlyArray<Named>
  /** Begun and not ended: while there is no `holder`, a run is refused by default. */
  readonly halfApplied: ReadonlyArray<Begun>
  /** Who has the lock now. */
  readonly holder: Holder | undefined
}

/**
 * Applies what has not been applied, and gives that; nothing where there was nothing to do.
 *
 * **Details**
 *
 * The set of migrations is checked before anything is run: duplicate ids, gaps, changes of what has been applied, and ids
 * lower than the last applied one are refused. What is to be run is loaded, texts are split into their statements. Then
 * the lock is taken, if need be after a wait, and the table is looked at again: of two processes at once each migration is
 * run by one. After each the nodes have to agree on the schema, and it is recorded.
 *
 * Where all is applied, the lock is not taken, and nothing is written.
 *
 * Failures of the table and the lock before the first migration is begun are a `CqlError`; all else is a `MigrationError`
 * that tells what has been applied. An Effect that dies or is interrupted ends the run as that, and stays recorded as
 * begun. The lock is let go of in any case; when the process is killed, its lease ends.
 *
 * Options of the region (`Statement.provideOptions`) are those of the migrations, and not of the table's statements.
 *
 * **Gotchas**
 *
 * Who has lost the lock, for example because the process stood still for longer than the lease, stops before the next
 * migration; the one that runs is not interrupted.
 *
 * **Example** (Migrations in the program)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, CqlMigrator } from "effect-cassandra"
 *
 * const migrate = CqlMigrator.run({
 *   loader: CqlMigrator.fromRecord({
 *     "0001_users": cql`CREATE TABLE IF NOT EXISTS users (id uuid PRIMARY KEY, name text)`,
 *     "0002_visits": `
 *       ALTER TABLE users ADD IF NOT EXISTS visits bigint;
 *       CREATE TABLE IF NOT EXISTS visits_by_day (day date, id uuid, PRIMARY KEY (day, id));
 *     `,
 *     "0003_first_user": Effect.gen(function*() {
 *       yield* cql`INSERT INTO users ${cql.insert({ id: "6f0ace03-e42a-47b7-9e6f-2e97d553c01e", name: "Ada" })}`
 *     })
 *   })
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run: <E, R, R2 = never>(
  options: Options<E, R, R2>
) => Effect.Effect<ReadonlyArray<Applied>, MigrationError<E> | CqlError, Session | R | R2> = Migrating.run

/**
 * Applies what has not been applied when the layer is built.
 *
 * **Example** (A session that is there when its schema is)
 *
 * ```ts
 * import * as NodeServices from "@effect/platform-node/NodeServices"
 * import * as Layer from "effect/Layer"
 * import { CqlMigrator, Session } from "effect-cassandra"
 *
 * const Migrations = CqlMigrator.layer({ loader: CqlMigrator.fromFileSystem("migrations") })
 *
 * const SessionLive = Migrations.pipe(
 *   Layer.provideMerge(Session.layer({ contactPoints: ["127.0.0.1"], keyspace: "shop" })),
 *   Layer.provide(NodeServices.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R, R2 = never>(
  options: Options<E, R, R2>
): Layer.Layer<never, MigrationError<E> | CqlError, Session | R | R2> => Layer.effectDiscard(run(options))

/**
 * What has been applied and what a run would do. Writes nothing, and takes no lock.
 *
 * **Details**
 *
 * Fails as a run does for a set that is none: duplicate ids, gaps, files that cannot be read.
 *
 * **Example** (A dry run)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, CqlMigrator } from "effect-cassandra"
 *
 * const loader = CqlMigrator.fromRecord({ "0001_users": cql`CREATE TABLE users (id uuid PRIMARY KEY, name text)` })
 *
 * const dryRun = Effect.gen(function*() {
 *   const { changed, pending } = yield* CqlMigrator.status({ loader })
 *   yield* Effect.log(`${pending.length} to apply, ${changed.length} changed since`)
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const status: <E, R, R2 = never>(
  options: Options<E, R, R2>
) => Effect.Effect<Status, MigrationError<never> | CqlError, Session | R2> = Migrating.status

/**
 * The migrations of a record, whose keys are `<id>_<name>`.
 *
 * **Details**
 *
 * A text has a checksum, of all of it. An Effect has none but that which it is given: `{ run, checksum }`. Every key has to
 * be the name of a migration.
 *
 * **Example** (An Effect with a checksum)
 *
 * ```ts
 * import { cql, CqlMigrator } from "effect-cassandra"
 *
 * const loader = CqlMigrator.fromRecord({
 *   "0001_users": { run: cql`CREATE TABLE users (id uuid PRIMARY KEY, name text)`, checksum: "users, with a name" }
 * })
 * ```
 *
 * @category loaders
 * @since 0.1.0
 */
export const fromRecord: <const Sources extends Readonly<Record<string, Source<any, any>>>>(
  migrations: Sources
) => Loader<ErrorOf<Sources[keyof Sources]>, ServicesOf<Sources[keyof Sources]>> = Loaders.fromRecord

/**
 * The migrations of a bundler's `import.meta.glob`, by the path of each: `<id>_<name>` with the ending `.ts`, `.js`,
 * `.mts` or `.mjs`, whose default export is an Effect or a text, and `.cql`, imported as a text.
 *
 * **Details**
 *
 * A module is imported only when it is to be run, and has no checksum. Paths of other forms are passed over; one of a
 * `.cql`, or of a module that begins with a digit, is refused.
 *
 * **Example** (Modules and texts)
 *
 * ```ts
 * import { CqlMigrator } from "effect-cassandra"
 *
 * declare const glob: (pattern: string, options?: object) => Record<string, () => Promise<unknown>>
 *
 * const loader = CqlMigrator.fromGlob({
 *   ...glob("./migrations/*.ts"),
 *   ...glob("./migrations/*.cql", { query: "?raw", import: "default" })
 * })
 * ```
 *
 * @category loaders
 * @since 0.1.0
 */
export const fromGlob: (
  modules: Readonly<Record<string, () => Promise<unknown>>>
) => Loader = Loaders.fromGlob

/**
 * The migrations of a directory: files `<id>_<name>` with the ending `.ts`, `.js`, `.mts` or `.mjs`, whose default export
 * is an Effect or a text, and `.cql`, a text of one statement or several.
 *
 * **Details**
 *
 * The checksum is of the text of the file, whatever ends its lines. A module is imported only when it is to be run. Other
 * files are passed over; a `.cql`, or a module that begins with a digit, of another form is refused.
 *
 * **Gotchas**
 *
 * The checksum of a module says nothing of what it imports, and it is another one for the JavaScript that it is compiled
 * to. Where the files are run in both forms, or built anew each time, `checksums: "texts"` leaves modules without one.
 *
 * **Example** (A directory beside the program)
 *
 * ```ts
 * import { CqlMigrator } from "effect-cassandra"
 * import { fileURLToPath } from "node:url"
 *
 * const migrate = CqlMigrator.run({
 *   loader: CqlMigrator.fromFileSystem(fileURLToPath(new URL("migrations", import.meta.url)))
 * })
 * ```
 *
 * @category loaders
 * @since 0.1.0
 */
export const fromFileSystem = (
  directory: string,
  options?: {
    /** Which files have a checksum: all, or those of CQL alone. By default `"all"`. */
    readonly checksums?: "all" | "texts" | undefined
  }
): Loader<unknown, Session, FileSystem | Path> => Loaders.fromFileSystem(directory, options?.checksums ?? "all")
