/**
 * Results as Streams: pages and rows at the reader's pace.
 *
 * Import it as `CqlStream`. `statement.stream` and `statement.pages` are the same with default options.
 *
 * @module CqlStream
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { Cluster } from "./Cluster.ts"
import type { CqlError } from "./CqlError.ts"
import * as Errors from "./CqlError.ts"
import * as Check from "./internal/check.ts"
import * as Checkpoints from "./internal/checkpoint.ts"
import * as Names from "./internal/cql/names.ts"
import { problemOfCondition } from "./internal/cql/where.ts"
import * as Fragments from "./internal/fragments.ts"
import * as PageStates from "./internal/pageState.ts"
import * as Run from "./internal/run.ts"
import * as Scan from "./internal/scan.ts"
import type { Settings } from "./internal/settings.ts"
import { CurrentOptions } from "./internal/statement.ts"
import { isFragment } from "./internal/template.ts"
import * as Write from "./internal/write.ts"
import { Session } from "./Session.ts"
import type { Fragment, Page, Row, Statement } from "./Statement.ts"
import { implementation } from "./Statement.ts"

/**
 * How a result is paged.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Pages fetched ahead of the one in hand, so that fetching and consuming overlap; fetching ahead begins when the
   * second page is asked for. By default 1; 0 fetches a page only when it is asked for.
   */
  readonly pagesAhead?: number | undefined
  /** Ends the stream after so many pages, even if there are more. By default all. */
  readonly maxPages?: number | undefined
  /**
   * Where to begin: the `next` of a page of the same statement, with the same values, in the same keyspace. What is of
   * another one fails with `InvalidPageState`. By default at the first page.
   */
  readonly from?: string | undefined
}

/**
 * The rows of a statement, one page in memory and `pagesAhead` on the way.
 *
 * **Details**
 *
 * Nothing is sent before the first row is asked for, and nothing more once the stream is interrupted or done. The size
 * of a page is the statement's `pageSize`. Its `timeout` holds for each page.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rows: {
  (options: Options): <A, E, R>(statement: Statement<A, E, R>) => Stream.Stream<A, E, R>
  <A, E, R>(statement: Statement<A, E, R>, options?: Options): Stream.Stream<A, E, R>
} = dual(
  (args) => typeof args[0]?.text === "string",
  <A, E, R>(statement: Statement<A, E, R>, options?: Options): Stream.Stream<A, E, R> =>
    paged(statement, Run.rows, options) as Stream.Stream<A, E, R>
)

/**
 * The pages of a statement, empty ones too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pages: {
  (options: Options): <A, E, R>(statement: Statement<A, E, R>) => Stream.Stream<Page<A>, E, R>
  <A, E, R>(statement: Statement<A, E, R>, options?: Options): Stream.Stream<Page<A>, E, R>
} = dual(
  (args) => typeof args[0]?.text === "string",
  <A, E, R>(statement: Statement<A, E, R>, options?: Options): Stream.Stream<Page<A>, E, R> =>
    paged(statement, Run.pages, options) as Stream.Stream<Page<A>, E, R>
)

/**
 * What is read of a table, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScanOptions {
  /** As CQL names it: `users`, `shop.users`, `"Users"`. Without a keyspace it is the session's. */
  readonly table: string
  /** By default those of the schema, or else all. */
  readonly columns?: ReadonlyArray<string> | undefined
  /** A condition on clustering columns or others, which the server filters by (`ALLOW FILTERING`). */
  readonly where?: Fragment | undefined
  /** Token ranges that are read at a time. By default 4. */
  readonly concurrency?: number | undefined
  /** Whether rows come in the order of their tokens. By default as they arrive: then nobody waits for a slow range. */
  readonly ordered?: boolean | undefined
  /**
   * Token ranges in all, at least, where tokens are numbers. By default as many as the size of the table suggests. With
   * `ByteOrderedPartitioner` there are as many as the cluster has tokens.
   */
  readonly ranges?: number | undefined
  /** The `checkpoint` of a page: what was read before it is left out. By default the whole table is read. */
  readonly from?: string | undefined
}

/**
 * A page of a scan: rows of one token range.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScanPage<out A> {
  readonly rows: ReadonlyArray<A>
  /** Token ranges that have been read with this page, and how many there are. */
  readonly rangesDone: number
  readonly ranges: number
  /**
   * With the last page of a token range: what is left of the table once this page and those before it have been dealt
   * with, as a text that can be kept. `from` takes it, also in another process: no row is lost then, and those of ranges
   * that were begun are read again.
   */
  readonly checkpoint: string | undefined
}

/**
 * Every row of a table, by its token ranges, several at a time, each from a node that has it.
 *
 * **Details**
 *
 * The options of statements around it hold for its pages: `pageSize`, `consistency`, `timeout` (of a page), `retry`. Each
 * range has at most two pages in memory. Rows of one partition come together and in their order. A `streamTimeout` holds for
 * each range.
 *
 * **Gotchas**
 *
 * It is no snapshot: what is written meanwhile may or may not be seen.
 *
 * **Example** (All users, and how many there are)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 * import { CqlStream, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, visits: CqlType.BigInt }) {}
 *
 * const program = Effect.gen(function*() {
 *   const visits = yield* CqlStream.scan({ table: "users", schema: User }).pipe(
 *     Stream.runFold(() => 0n, (sum, user) => sum + user.visits)
 *   )
 *   const users = yield* CqlStream.count({ table: "users" })
 *   yield* Effect.log(`${users} users, ${visits} visits`)
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const scan: {
  <S extends Schema.Constraint>(
    options: ScanOptions & { readonly schema: S }
  ): Stream.Stream<S["Type"], CqlError | Schema.SchemaError, Session | S["DecodingServices"]>
  (options: ScanOptions): Stream.Stream<Row, CqlError, Session>
} = (options: AnyScan): Stream.Stream<never, CqlError, Session> =>
  nonEmpty(Stream.map(scanned(options), ({ rows }) => rows)) as Stream.Stream<never, CqlError, Session>

/**
 * The pages of a scan, with its progress and where to go on.
 *
 * **Example** (A scan that can be resumed)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import { CqlStream } from "effect-cassandra"
 *
 * const copy = (
 *   from: string | undefined,
 *   write: (rows: ReadonlyArray<unknown>) => Effect.Effect<void>,
 *   save: (checkpoint: string) => Effect.Effect<void>
 * ) =>
 *   CqlStream.scanPages({ table: "users", from }).pipe(
 *     Stream.tap(({ rows }) => write(rows)),
 *     Stream.runForEach(({ checkpoint }) => checkpoint === undefined ? Effect.void : save(checkpoint))
 *   )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const scanPages: {
  <S extends Schema.Constraint>(
    options: ScanOptions & { readonly schema: S }
  ): Stream.Stream<ScanPage<S["Type"]>, CqlError | Schema.SchemaError, Session | S["DecodingServices"]>
  (options: ScanOptions): Stream.Stream<ScanPage<Row>, CqlError, Session>
} = (options: AnyScan): Stream.Stream<never, CqlError, Session> =>
  scanned(options) as Stream.Stream<never, CqlError, Session>

/**
 * How the tables of a keyspace are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScanKeyspaceOptions {
  /** As CQL names it. By default the session's. */
  readonly keyspace?: string | undefined
  /** Token ranges that are read at a time, of one table. By default 4. */
  readonly concurrency?: number | undefined
  /** Whether rows of a table come in the order of their tokens. By default as they arrive. */
  readonly ordered?: boolean | undefined
  /** The `checkpoint` of a page: what was read before it is left out. By default all tables are read. */
  readonly from?: string | undefined
}

/**
 * A page of a keyspace: rows of one token range of one table.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyspacePage extends ScanPage<Row> {
  /** Its name, without quotes. */
  readonly table: string
}

/**
 * Every row of every table of a keyspace: one table after another by their names, each as `scanPages` reads it.
 *
 * **Details**
 *
 * `rangesDone` and `ranges` are those of the table. Tables are those that there are when it begins; of those that are
 * dropped before their turn it fails.
 *
 * **Example** (How many rows each table has)
 *
 * ```ts
 * import * as Stream from "effect/Stream"
 * import { CqlStream } from "effect-cassandra"
 *
 * const counts = CqlStream.scanKeyspace({ keyspace: "shop" }).pipe(
 *   Stream.runFold(
 *     () => new Map<string, number>(),
 *     (counts, { rows, table }) => counts.set(table, (counts.get(table) ?? 0) + rows.length)
 *   )
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const scanKeyspace = (
  { concurrency, from, keyspace, ordered }: ScanKeyspaceOptions = {}
): Stream.Stream<KeyspacePage, CqlError, Session> =>
  onSession(
    () => [keyspaceCheck(keyspace), Check.text("from", from)],
    (session) =>
      Effect.map(placeIn(session, keyspace, from), ({ checkpoint, keyspace, tables }) => {
        const pagesOf = (table: string, index: number): Stream.Stream<KeyspacePage, CqlError, Session> => {
          const name = `${Names.quote(keyspace)}.${Names.quote(table)}`
          const own = index === 0 ? checkpoint : undefined
          return Stream.map(scanPages({ table: name, concurrency, ordered, from: own }), (page) => ({
            ...page,
            table,
            checkpoint: page.checkpoint === undefined
              ? undefined
              : Checkpoints.keepPlace(keyspace, { table, checkpoint: page.checkpoint })
          }))
        }
        return Stream.flatMap(Stream.fromIterable(tables.map(pagesOf)), (pages) => pages)
      })
  ) as Stream.Stream<KeyspacePage, CqlError, Session>

/**
 * How many rows a table has, or as many as fulfil `where`: counted by the servers, a token range at a time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const count = (
  options: Omit<ScanOptions, "columns" | "from" | "ordered">
): Effect.Effect<bigint, CqlError, Session> =>
  Stream.runFold(countPages(options), () => 0n, (sum, { rows }) => rows.reduce((sum, row) => sum + row.count, sum))

/**
 * What `count` adds up: a row for each token range.
 *
 * @internal
 */
export const countPages = (
  options: Omit<ScanOptions, "columns" | "from" | "ordered">
): Stream.Stream<ScanPage<Counted>, CqlError, Session> =>
  scanned({ ...options, schema: Counted }, "count(*) AS count").pipe(
    Stream.catchTag("SchemaError", Stream.die)
  ) as Stream.Stream<ScanPage<Counted>, CqlError, Session>

/**
 * The rows of a statement for each key of a stream, many statements at a time.
 *
 * **Details**
 *
 * Rows come in the order of their keys, or, with `ordered: false`, as they arrive. At most `concurrency` (32 by default)
 * statements are under way.
 *
 * **Gotchas**
 *
 * The rows of one key are collected, up to the statement's `maxRows`. Where a key has more than fit in memory,
 * `Stream.flatMap(keys, (key) => statementOf(key).stream)` reads them page by page.
 *
 * **Example** (The users of a list of ids)
 *
 * ```ts
 * import * as Stream from "effect/Stream"
 * import { cql, CqlStream } from "effect-cassandra"
 *
 * const users = (ids: Stream.Stream<string>) =>
 *   CqlStream.join(ids, (id) => cql`SELECT id, name FROM users WHERE id = ${id}`)
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const join: {
  <K, A, E2, R2>(
    statementOf: (key: K) => Statement<A, E2, R2>,
    options?: JoinOptions
  ): <E, R>(keys: Stream.Stream<K, E, R>) => Stream.Stream<A, E | E2, R | R2>
  <K, E, R, A, E2, R2>(
    keys: Stream.Stream<K, E, R>,
    statementOf: (key: K) => Statement<A, E2, R2>,
    options?: JoinOptions
  ): Stream.Stream<A, E | E2, R | R2>
} = dual(
  (args) => Stream.isStream(args[0]),
  <K, E, R, A, E2, R2>(
    keys: Stream.Stream<K, E, R>,
    statementOf: (key: K) => Statement<A, E2, R2>,
    { concurrency = 32, ordered = true }: JoinOptions = {}
  ): Stream.Stream<A, E | E2 | CqlError, R | R2> => {
    const problem = Check.problem([
      Check.whole("concurrency", concurrency, 1, 65_536),
      Check.boolean("ordered", ordered)
    ])
    if (problem !== undefined) return Stream.fail(problem)
    return nonEmpty(Stream.mapEffect(keys, (key) => statementOf(key), { concurrency, unordered: !ordered }))
  }
)

/**
 * How keys are joined with their rows.
 *
 * @category models
 * @since 0.1.0
 */
export interface JoinOptions {
  /** Statements under way at a time. By default 32. */
  readonly concurrency?: number | undefined
  /** By default `true`. */
  readonly ordered?: boolean | undefined
}

/**
 * Rows that could not be written, and why.
 *
 * **Details**
 *
 * They are those of one statement or one batch; `rows` is not printed with it. What the failure left undone, the `error`
 * tells: after a timeout they may have been written all the same.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotWritten<out A = unknown> extends Data.TaggedError("NotWritten")<{ readonly error: CqlError }> {
  declare readonly rows: ReadonlyArray<A>

  constructor(options: { readonly rows: ReadonlyArray<A>; readonly error: CqlError }) {
    super({ error: options.error })
    // What was to be bound is in nothing that is printed.
    Object.defineProperty(this, "rows", { value: options.rows, enumerable: false })
  }

  override get message(): string {
    return `${
      this.rows.length === 1 ? "a row was" : `${this.rows.length} rows were`
    } not written: ${this.error.message}`
  }
}

/**
 * How rows are written into a table.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteOptions {
  /** As CQL names it: `users`, `shop.users`, `"Users"`. Without a keyspace it is the session's. */
  readonly table: string
  /** How long the server keeps the rows; see `cql.using`. By default as long as the table says. */
  readonly ttl?: Exclude<Duration.Input, number | bigint> | undefined
  /**
   * Statements in flight at a time, at the most: fewer when more of them only wait for the cluster. By default 64.
   */
  readonly concurrency?: number | undefined
  /** Rows of one partition that are sent as one batch. By default 100. */
  readonly maxBatchRows?: number | undefined
  /**
   * Bytes of a batch, of the values that are bound. By default 16,384: the limits of servers are for batches over several
   * partitions, which these never are.
   */
  readonly maxBatchBytes?: number | undefined
}

/**
 * Writes rows into a table, and passes on those that are written.
 *
 * **Details**
 *
 * Rows of one partition that come close together are sent as one unlogged batch, all others alone; a batch waits for
 * nothing but its turn. Rows are those of the schema, a struct or a class, or else objects whose keys are columns.
 *
 * Of two rows of one key the later one wins, in whatever order they arrive: each write has a time of its own. They come
 * out as they are written, and not in the order in which they came in.
 *
 * A row that cannot be written, after all attempts, ends the stream with `NotWritten`; with `onFailure` it is given there
 * and the others are written. A batch that the server refuses is sent again row by row, so that one wrong row costs no
 * other. What was in flight when a stream ends early may be written or not. What the session refuses because too much is
 * in flight waits for as long as a statement may take.
 *
 * **Gotchas**
 *
 * With `timestamps: "server"` writes of one partition go one after another. Counters are refused: nothing can be inserted
 * into them. Rows of a `USING TIMESTAMP` of their own are
 * written by a statement and not by this.
 *
 * **Example** (Copying, and going on after what is refused)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 * import { CqlStream, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const copied = CqlStream.scan({ table: "users", schema: User }).pipe(
 *   CqlStream.write({
 *     table: "users_copy",
 *     schema: User,
 *     onFailure: ({ error, rows }) => Effect.logError(`${rows.length} rows`, error)
 *   }),
 *   Stream.runCount
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const write: {
  <S extends Schema.ConstraintEncoder<object>, E2 = NotWritten<S["Type"]>, R2 = never>(
    options: WriteOptions & {
      readonly schema: S
      readonly onFailure?: ((failure: NotWritten<S["Type"]>) => Effect.Effect<void, E2, R2>) | undefined
    }
  ): <E, R>(rows: Stream.Stream<S["Type"], E, R>) => Stream.Stream<S["Type"], E | E2 | CqlError, R | R2 | Session>
  <A extends object, E2 = NotWritten<A>, R2 = never>(
    options: WriteOptions & {
      readonly onFailure?: ((failure: NotWritten<A>) => Effect.Effect<void, E2, R2>) | undefined
    }
  ): <E, R>(rows: Stream.Stream<A, E, R>) => Stream.Stream<A, E | E2 | CqlError, R | R2 | Session>
} = (options: AnyWrite) => (rows: Stream.Stream<unknown, unknown, unknown>): Stream.Stream<never, never, never> =>
  nonEmpty(writtenRows(options, rows)) as Stream.Stream<never, never, never>

/**
 * Writes all rows of a stream into a table, as `write` does, and gives how many.
 *
 * @category sinks
 * @since 0.1.0
 */
export const sink: {
  <S extends Schema.ConstraintEncoder<object>, E2 = NotWritten<S["Type"]>, R2 = never>(
    options: WriteOptions & {
      readonly schema: S
      readonly onFailure?: ((failure: NotWritten<S["Type"]>) => Effect.Effect<void, E2, R2>) | undefined
    }
  ): Sink.Sink<number, S["Type"], never, E2 | CqlError, R2 | Session>
  <A extends object, E2 = NotWritten<A>, R2 = never>(
    options: WriteOptions & {
      readonly onFailure?: ((failure: NotWritten<A>) => Effect.Effect<void, E2, R2>) | undefined
    }
  ): Sink.Sink<number, A, never, E2 | CqlError, R2 | Session>
} = (options: AnyWrite) =>
  Sink.make<unknown>()((rows) =>
    Stream.runFold(writtenRows(options, rows), () => 0, (count, rows) => count + rows.length)
  ) as Sink.Sink<number, unknown, never, never, never>

/**
 * A page state with a signature, for a client that sends it back as the cursor of a list.
 *
 * **Details**
 *
 * HMAC-SHA256 in base64url, made for URLs. A client cannot change it unnoticed; it can read in it the key of the last row.
 *
 * **Example** (A list, a page at a time)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import type * as Redacted from "effect/Redacted"
 * import * as Stream from "effect/Stream"
 * import { cql, CqlStream, Statement } from "effect-cassandra"
 *
 * const list = Effect.fnUntraced(function*(cursor: string | undefined, key: Redacted.Redacted) {
 *   const from = cursor === undefined ? undefined : yield* CqlStream.fromCursor(cursor, [key])
 *   const users = cql`SELECT id, name FROM users`.pipe(Statement.withOptions({ pageSize: 50 }))
 *   const page = yield* Stream.runHead(CqlStream.pages(users, { from, maxPages: 1 }))
 *   return Option.map(page, ({ next, rows }) => ({
 *     users: rows,
 *     cursor: next === undefined ? undefined : CqlStream.toCursor(next, key)
 *   }))
 * })
 * ```
 *
 * @category page states
 * @since 0.1.0
 */
export const toCursor = (pageState: string, key: Redacted.Redacted): string =>
  PageStates.sign(pageState, Redacted.value(key))

/**
 * The page state of a cursor that was signed with one of these keys; `InvalidPageState` otherwise.
 *
 * **Details**
 *
 * The first key is the one that is signed with now, the others are those before it: so that keys can rotate. A key that
 * is empty, as one of a variable that is not set, would let anybody sign: it is refused with `InvalidConfig`.
 *
 * @category page states
 * @since 0.1.0
 */
export const fromCursor = (
  cursor: string,
  keys: ReadonlyArray<Redacted.Redacted>
): Effect.Effect<string, CqlError> =>
  Effect.suspend(() => {
    const problem = Check.problem([keysCheck(keys)])
    if (problem !== undefined) return Effect.fail(problem)
    const pageState = PageStates.verify(cursor, keys.map(Redacted.value))
    return typeof pageState === "string" ? Effect.succeed(pageState) : Effect.fail(Errors.make({ reason: pageState }))
  })

// internal

const keysCheck = (keys: ReadonlyArray<Redacted.Redacted>): Check.Check => ({
  field: "keys",
  expected: "one Redacted text or more, and none that is empty",
  holds: keys.length > 0 &&
    keys.every((key) => Redacted.isRedacted(key) && Check.text("key", Redacted.value(key)).holds)
})

const nonEmpty = <A, E, R>(arrays: Stream.Stream<ReadonlyArray<A>, E, R>): Stream.Stream<A, E, R> =>
  Stream.flattenArray(Stream.filter(arrays, Arr.isReadonlyArrayNonEmpty))

type AnyWrite = WriteOptions & {
  readonly schema?: Schema.Constraint | undefined
  readonly onFailure?: ((failure: NotWritten<never>) => Effect.Effect<void, unknown, unknown>) | undefined
}

/**
 * The session of the context, and the settings that the options of statements around it make.
 *
 * @internal
 */
export const sessionFor = (
  checks: () => ReadonlyArray<Check.Check>
): Effect.Effect<readonly [session: Session["Service"], settings: Settings], CqlError, Session> =>
  Effect.withFiber((fiber) =>
    Effect.gen(function*() {
      yield* Check.all(checks())
      const session = yield* Session
      const settings = session.core.settingsFor(fiber.getRef(CurrentOptions), [])
      return "reason" in settings ? yield* Effect.fail(settings) : [session, settings] as const
    })
  )

const onSession = <A>(
  checks: () => ReadonlyArray<Check.Check>,
  run: (session: Session["Service"], settings: Settings) => Effect.Effect<Stream.Stream<A, unknown, unknown>, CqlError>
): Stream.Stream<A, unknown, unknown> =>
  Stream.unwrap(Effect.flatMap(sessionFor(checks), ([session, settings]) => run(session, settings)))

const writtenRows = (
  options: AnyWrite,
  rows: Stream.Stream<unknown, unknown, unknown>
): Stream.Stream<ReadonlyArray<unknown>, unknown, unknown> =>
  onSession(() => writeChecks(options), (session, settings) =>
    Effect.map(targetOf(session, options), (target) => {
      const { onFailure } = options
      const limits = Write.limitsOf(options)
      return Stream.mapEffect(Write.write(session.core, settings, target, limits, rows), ({ error, rows }) => {
        if (error === undefined) return Effect.succeed(rows)
        const failure = new NotWritten({ rows, error })
        return onFailure === undefined
          ? Effect.fail(failure)
          : Effect.as(onFailure(failure as NotWritten<never>), noRows)
      })
    }))

const noRows: ReadonlyArray<unknown> = []

const writeChecks = (
  { concurrency, maxBatchBytes, maxBatchRows, onFailure, table, ttl }: AnyWrite
): ReadonlyArray<Check.Check> => [
  tableCheck(table),
  ttlCheck(ttl),
  Check.whole("concurrency", concurrency, 1, 1024),
  Check.whole("maxBatchRows", maxBatchRows, 1, 65_535),
  Check.whole("maxBatchBytes", maxBatchBytes, 1),
  Check.callback("onFailure", onFailure)
]

const targetOf = Effect.fnUntraced(function*(
  session: Session["Service"],
  { schema, table, ttl }: AnyWrite
): Effect.fn.Return<Write.Target, CqlError> {
  const { clusteringKey, columns, keyspace, name } = yield* tableOf(session, table)
  if (columns.some(({ type }) => type === "counter")) return yield* Effect.fail(Run.refusal(table, noCounters))
  return {
    insertInto: `INSERT INTO ${Names.quote(keyspace)}.${Names.quote(name)}`,
    using: ttl === undefined ? undefined : Fragments.using({ ttl }),
    clusteringKey,
    staticColumns: columns.filter(({ kind }) => kind === "static").map(({ name }) => name),
    texts: new Map(),
    toRow: schema === undefined
      ? (row) => Fragments.insert(row as object)
      : (row) => Fragments.insert(schema, row)
  }
})

const noCounters = "counters cannot be inserted, only added to: write an UPDATE for each row"

/** @internal */
export const ttlCheck = (ttl: AnyWrite["ttl"]): Check.Check => ({
  field: "ttl",
  expected: "a duration of whole seconds, up to 20 years, as cql.using takes it",
  holds: ttl === undefined || Fragments.using({ ttl }).problem === undefined
})

/** @internal */
export const tableCheck = (table: string): Check.Check => ({
  field: "table",
  expected: "the name of a table, as CQL writes it",
  holds: Names.parse(table) !== undefined
})

/** @internal */
export const tableOf = Effect.fnUntraced(function*(
  { cluster, keyspace: own }: Session["Service"],
  table: string
): Effect.fn.Return<Cluster.Table, CqlError> {
  const { keyspace = own, name } = Names.parse(table)!
  if (keyspace === undefined) return yield* Effect.fail(Run.refusal(table, "no keyspace has been specified"))
  const found = yield* cluster.table(keyspace, name)
  if (Option.isSome(found)) return found.value
  return yield* Effect.fail(Run.refusal(table, `table ${keyspace}.${name} does not exist`))
})

const keyspaceCheck = (keyspace: string | undefined): Check.Check => ({
  field: "keyspace",
  expected: "the name of a keyspace, as CQL writes it",
  holds: keyspace === undefined || Names.parse(keyspace)?.keyspace === undefined && Names.parse(keyspace) !== undefined
})

/** Where the scan of a keyspace begins: in the first of these tables, at its checkpoint if there is one. */
interface Place {
  readonly keyspace: string
  readonly tables: ReadonlyArray<string>
  readonly checkpoint: string | undefined
}

const placeIn = Effect.fnUntraced(function*(
  { cluster, keyspace: own }: Session["Service"],
  named: string | undefined,
  from: string | undefined
): Effect.fn.Return<Place, CqlError> {
  const keyspace = named === undefined ? own : Names.parse(named)!.name
  if (keyspace === undefined) return yield* Effect.fail(Run.refusal("", "no keyspace has been specified"))
  const names = yield* cluster.tables(keyspace)
  const all = names.toSorted()
  if (all.length === 0) yield* existing(cluster, keyspace)
  if (from === undefined) return { keyspace, tables: all, checkpoint: undefined }
  const place = Checkpoints.readPlace(from, keyspace)
  if ("_tag" in place) return yield* Effect.fail(Errors.make({ reason: place }))
  const { checkpoint, table } = place
  return { keyspace, tables: [table, ...all.filter((name) => name > table)], checkpoint }
})

const existing = (cluster: Cluster["Service"], keyspace: string): Effect.Effect<void, CqlError> =>
  Effect.flatMap(cluster.keyspaces, (all) =>
    all.some(({ name }) => name === keyspace)
      ? Effect.void
      : Effect.fail(Run.refusal("", `keyspace ${keyspace} does not exist`)))

type AnyScan = ScanOptions & { readonly schema?: Schema.Constraint | undefined }

interface Counted {
  readonly count: bigint
}

const Counted = Schema.Struct({ count: Schema.BigInt })

const scanned = (
  options: AnyScan,
  selected?: string
): Stream.Stream<ScanPage<unknown>, CqlError | Schema.SchemaError, Session> =>
  onSession(
    () => scanChecks(options),
    (session, settings) =>
      Effect.map(sourceOf(session, options, selected), (source) => {
        const { concurrency = 4, from, ordered = false, ranges } = options
        return Scan.pages(session.core, source, settings, { concurrency, from, ordered, ranges })
      })
  ) as Stream.Stream<ScanPage<unknown>, CqlError | Schema.SchemaError, Session>

const scanChecks = (
  { columns, concurrency, from, ordered, ranges, table, where }: AnyScan
): ReadonlyArray<Check.Check> => [
  tableCheck(table),
  { field: "where", expected: "a condition that cql has made", holds: where === undefined || isFragment(where) },
  { field: "columns", expected: "one name or more", holds: columns === undefined || columns.length > 0 },
  Check.whole("concurrency", concurrency, 1, 1024),
  Check.boolean("ordered", ordered),
  Check.whole("ranges", ranges, 1, 1_000_000),
  Check.text("from", from)
]

/**
 * What is read of a table; `selected` is the text of it, where it is not that of the schema or of the columns.
 *
 * @internal
 */
export const sourceOf = Effect.fnUntraced(function*(
  session: Session["Service"],
  { columns, schema, table, where }: AnyScan,
  selected: string | undefined
): Effect.fn.Return<Scan.Source, CqlError> {
  const { keyspace, name, partitionKey } = yield* tableOf(session, table)
  const { cql } = session
  const condition = where === undefined ? undefined : cql`${where}`
  const chosen = columns !== undefined
    ? cql`${cql.unsafe(columns.map(Names.quote).join(", "))}`
    : schema === undefined
    ? cql`${cql.unsafe("*")}`
    : cql`${cql.columns(schema)}`
  const refused = [condition, chosen].find((part) => part !== undefined && implementation(part).refused !== undefined)
  if (refused !== undefined) return yield* Effect.fail(implementation(refused).refused!)
  const problem = condition === undefined ? undefined : problemOfCondition(condition.text)
  if (problem !== undefined) return yield* Check.invalid("where", `a condition that holds for every row: ${problem}`)
  return {
    keyspace,
    table: name,
    partitionKey,
    columns: selected ?? chosen.text,
    where: condition === undefined ? undefined : { text: condition.text, values: condition.parameters },
    schema
  }
})

const paged = <A>(
  statement: Statement<unknown, unknown, unknown>,
  how: Run.Paged<A>,
  options: Options = {}
): Stream.Stream<A, unknown, unknown> => {
  const problem = Check.problem([
    Check.whole("pagesAhead", options.pagesAhead, 0),
    Check.whole("maxPages", options.maxPages, 1)
  ])
  if (problem !== undefined) return Stream.fail(problem)
  const from = options.from === undefined ? undefined : PageStates.read(options.from)
  if (from !== undefined && "_tag" in from) return Stream.fail(Errors.make({ reason: from, statement: statement.text }))
  return implementation(statement).paged(how, { ...Run.defaultPaging, ...withoutUndefined(options), from })
}

const withoutUndefined = ({ maxPages, pagesAhead }: Options): Partial<Run.PagingOptions> => ({
  ...(maxPages === undefined ? {} : { maxPages }),
  ...(pagesAhead === undefined ? {} : { pagesAhead })
})
