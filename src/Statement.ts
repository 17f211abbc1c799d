/**
 * A query as a value: text, bound parameters, options and the schema of its rows, with no connection.
 *
 * The `cql` template makes statements. A statement is an `Effect`: yield it for all its rows, or take `.one`, `.first`,
 * `.stream` or `.pages` of it. Interpolated values are always bound and never become part of the text.
 *
 * @module Statement
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { CqlError } from "./CqlError.ts"
import type { Consistency } from "./internal/consistency.ts"
import type { ExecutionInfo } from "./internal/executionInfo.ts"
import * as Fragments from "./internal/fragments.ts"
import type { Hedge } from "./internal/hedging.ts"
import type { Checked, CheckReport } from "./internal/inspect.ts"
import * as Requests from "./internal/request.ts"
import type { Trace, TraceEvent } from "./internal/serverTrace.ts"
import type { StatementOptions } from "./internal/settings.ts"
import type { Applied, Resolve } from "./internal/statement.ts"
import * as Impl from "./internal/statement.ts"
import { BatchImpl, BatchTypeId, StatementImpl, StatementTypeId } from "./internal/statement.ts"
import * as Template from "./internal/template.ts"

export type { Applied, Checked, CheckReport, Consistency, ExecutionInfo, Hedge, Trace, TraceEvent }

/**
 * A row without a schema: plain values by column name, `null` where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly [column: string]: unknown
}

/**
 * One page of a result, as the server cut it.
 *
 * **Gotchas**
 *
 * A page may be empty and not be the last one: Cassandra cuts pages before it filters, and at tombstones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page<out A> {
  /** 0 for the first page. */
  readonly index: number
  readonly rows: ReadonlyArray<A>
  readonly isLast: boolean
  /**
   * Where the page behind this one begins, as a text that can be kept: `CqlStream.pages(statement, { from: next })` goes
   * on from there, also in another process. None behind the last one.
   */
  readonly next: string | undefined
}

/**
 * Options of one statement, of a region of the program, or of a session. What is left out comes from around it: the
 * nearest wins.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How many replicas must answer. By default `"localOne"`; with a secure connect bundle `"localQuorum"`. `"any"` is
   * for writes; the server refuses a read with it.
   */
  readonly consistency?: StatementOptions["consistency"]
  /** The consistency of the condition of a lightweight transaction. By default the server's, `"serial"`. */
  readonly serialConsistency?: StatementOptions["serialConsistency"]
  /** Rows a page, from 1 on. By default 5,000. */
  readonly pageSize?: number | undefined
  /**
   * How long the statement may take in all: waiting for a place, preparing, every attempt, every page. A stream may
   * take as long for each page. By default 30 seconds.
   */
  readonly timeout?: StatementOptions["timeout"]
  /**
   * How long a stream may take in all, from its first page on, and with the time in which its rows are worked on. By
   * default it has no limit but that of each page.
   */
  readonly streamTimeout?: StatementOptions["streamTimeout"]
  /**
   * How long one node may take to answer. By default 12 seconds, above the server's own limits. Preparing, which is
   * shared by all who wait for it, has the session's.
   */
  readonly attemptTimeout?: StatementOptions["attemptTimeout"]
  /**
   * Whether running it twice is the same as running it once: what is not, is not retried once it may have been executed.
   * By default as its text and the types of its parameters prove. What has a condition (`IF`) never is: whether it was
   * applied would be lost.
   */
  readonly idempotent?: boolean | undefined
  /** More rows than this are an error when they are collected; streams are not limited. By default 100,000. */
  readonly maxRows?: number | undefined
  /**
   * The time of a write, in microseconds since the epoch. By default that of its first attempt, by a clock that never
   * gives the same time twice. `USING TIMESTAMP` in the text goes before it; a lightweight transaction ignores it.
   */
  readonly timestamp?: number | bigint | undefined
  /** Whether the server keeps a trace, which `.result` can read. It costs every node a few writes. By default not. */
  readonly tracing?: boolean | undefined
  /**
   * What a tracer sees that listens: a span for each statement, batch and page of a stream with an event for each of its
   * attempts (`"statements"`, the default), a span for each attempt besides (`"attempts"`), or nothing (`"none"`). With
   * `tracing`, the server's own steps are events of the span. No span has a value that was bound.
   */
  readonly spans?: "statements" | "attempts" | "none" | undefined
  /**
   * From which duration on a statement, or a page of a stream, is logged as slow, retries included: once a minute for
   * each text, as a warning, without its values. By default 5 seconds.
   */
  readonly slowThreshold?: Duration.Input | false | undefined
  /** What a query handler that was put into the server is given along, by its keys. */
  readonly customPayload?: Readonly<Record<string, Uint8Array | null>> | undefined
  /** The one node that is asked, by its address (with its port) or host id as `cluster.nodes` tells them. By default any. */
  readonly node?: string | undefined
  /** Which failures are tried again, and when. By default `CqlRetry.standard`. */
  readonly retry?: StatementOptions["retry"]
  /**
   * When another node is asked as well, because the first one is slow to answer: the first good answer counts, and the
   * other one is dropped. For idempotent statements alone; by default, and with `false`, never.
   *
   * Each asks for a place of its own among those in flight, and where none is free nobody else is asked. A write has one
   * time on all nodes; with `timestamps: "server"` and no `timestamp` only a `SELECT` is hedged.
   */
  readonly hedge?: StatementOptions["hedge"]
  /** The name of one of the session's `profiles`, which stands behind the other options given here. */
  readonly profile?: string | undefined
}

/**
 * A query as a value, and an Effect of all its rows.
 *
 * **Details**
 *
 * - yielded, it gives every row of every page; more than `maxRows` (100,000 by default) fail with `TooManyRows`
 * - `.one` gives the first row, or fails with `NoSuchElementError`
 * - `.first` gives the first row, if there is one
 * - `.stream` gives rows as they are asked for, a page at a time
 * - `.pages` gives the pages themselves
 * - `.applied` gives the outcome of a lightweight transaction: that its condition held, or the row that was in its way,
 *   if there is one
 * - `.result` gives all rows with the coordinator, the warnings, the trace and what else is known of the execution
 *
 * Inside another template it is a fragment: its text and its parameters become part of that statement.
 *
 * **Gotchas**
 *
 * Where the condition of an `UPDATE` or a `DELETE` does not hold, the server answers no columns but those that the
 * condition names, and with `IF NOT EXISTS` all of the row that is there. A schema for `.applied` is one of those columns:
 * a column that it wants in vain is a `SchemaError`, and only then.
 *
 * @category models
 * @since 0.1.0
 */
export interface Statement<out A, out E = never, out R = never>
  extends Effect.Effect<ReadonlyArray<A>, E, R>, Fragment
{
  readonly [StatementTypeId]: typeof StatementTypeId
  /** The text as it is sent: with a `?` for every parameter, or as it was written for `cql.statement`. */
  readonly text: string
  /** What is bound, in order; for `cql.statement` in the order of the request's fields. */
  readonly parameters: ReadonlyArray<unknown>
  readonly one: Effect.Effect<A, E | Cause.NoSuchElementError, R>
  readonly first: Effect.Effect<Option.Option<A>, E, R>
  readonly stream: Stream.Stream<A, E, R>
  readonly pages: Stream.Stream<Page<A>, E, R>
  readonly applied: Effect.Effect<Applied<Option.Option<A>>, E, R>
  readonly result: Effect.Effect<Result<A>, E, R>
}

/**
 * All rows of a statement, and how it was executed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result<out A> extends ExecutionInfo {
  readonly rows: ReadonlyArray<A>
}

/**
 * Whether `u` is a `Statement`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isStatement = (u: unknown): u is Statement<unknown, unknown, unknown> => hasProperty(u, StatementTypeId)

/**
 * A part of a statement: a quoted name, a column list, text with what is bound in it, or a whole statement.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fragment {
  readonly [Template.FragmentTypeId]: Template.FragmentTypeId
}

/**
 * The `cql` template, and what goes into one.
 *
 * **Details**
 *
 * Every interpolated value is bound as a parameter: `null` is null, `undefined` is unset (the column keeps what it
 * has), an array is a list. Names cannot be bound; `cql.ident` quotes them.
 *
 * `cql(schema)` decodes the rows. Define the schema once, outside of functions: what is compiled for it is kept with it.
 * A row that does not fit is a `SchemaError` that names the column, and the row by its place in its page.
 *
 * **Example** (Typed rows)
 *
 * ```ts
 * import * as Schema from "effect/Schema"
 * import { cql, CqlType } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const userById = (id: string) => cql(User)`SELECT id, name FROM users WHERE id = ${id}`.one
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Cql<out R> {
  (strings: TemplateStringsArray, ...values: ReadonlyArray<unknown>): Statement<Row, CqlError, R>
  <S extends Schema.Constraint>(
    schema: S
  ): (
    strings: TemplateStringsArray,
    ...values: ReadonlyArray<unknown>
  ) => Statement<S["Type"], CqlError | Schema.SchemaError, R | S["DecodingServices"]>
  /** A quoted name, of one part or more: ``cql.ident("shop", "users")`` is `"shop"."users"`. Case is kept. */
  readonly ident: (...name: readonly [string, ...ReadonlyArray<string>]) => Fragment
  /** Text that becomes part of the statement as it is. Never give it anything that a user wrote. */
  readonly unsafe: (text: string) => Fragment
  /**
   * `(columns) VALUES (markers)` of a row, for an `INSERT INTO`.
   *
   * A key that is `undefined` is unset (the column keeps what it has), `null` is null, and a fragment is text.
   */
  readonly insert: {
    /** The keys of the row are the columns. */
    (row: object): Fragment
    /**
     * The row is what the schema, a struct or a class, encodes the value to: always all of its columns, so that there
     * is one text. What is absent is unset. Define the schema once: what is compiled for it is kept with it.
     */
    <S extends Schema.ConstraintEncoder<object>>(schema: S, value: S["Type"]): Fragment
  }
  /**
   * `"a" = ?, "b" = ?` of a row, for an `UPDATE`: ``cql.set({ name, visits: cql`visits + ${1n}` })``.
   *
   * A key that is `undefined` is unset (the column keeps what it has), `null` is null, and a fragment is text.
   */
  readonly set: (row: object) => Fragment
  /**
   * Conditions joined with `AND`, for a `WHERE` or an `IF`: fragments, or an object whose keys are columns that have to
   * equal its values. There has to be one at least, for CQL has no condition that is always true.
   */
  readonly and: (
    conditions: ReadonlyArray<Fragment> | { readonly [column: string]: unknown }
  ) => Fragment
  /**
   * `USING TTL ? AND TIMESTAMP ?`, of what is given; without either it is no text at all.
   *
   * A key that is `undefined` is unset, and the server does what it does without it.
   */
  readonly using: (options: {
    /**
     * How long the server keeps what is written: whole seconds, 20 years at most (and not beyond 2038-01-19, where a
     * Cassandra without `storage_compatibility_mode: NONE` ends). Zero is for ever, also where the table has a default.
     * A number alone is refused: Effect reads it as milliseconds, CQL as seconds.
     */
    readonly ttl?: Exclude<Duration.Input, number | bigint> | undefined
    /**
     * The time of the write, in microseconds since 1970. It goes before that of the options and of a batch. The server
     * refuses a statement with a condition that has one, even an unset one.
     */
    readonly timestamp?: number | bigint | undefined
  }) => Fragment
  /** The columns of a struct or a class as its encoded side names them, for a `SELECT`: `"id", "name"`. */
  readonly columns: (schema: Schema.Constraint) => Fragment
  /**
   * A statement of a text that is written out, typed at both ends: the request's fields are bound to the markers of
   * their names, the rows are decoded by the result.
   *
   * **Details**
   *
   * `:id` is the marker of the field `id`, and `:"userId"` that of `userId`. A `?` is named by the server, mostly after
   * its column. A field without a marker and a marker without a field are refused, and so is a request that its schema
   * cannot encode.
   *
   * **Example** (A request and a result)
   *
   * ```ts
   * import * as Schema from "effect/Schema"
   * import { cql, CqlType } from "effect-cassandra"
   *
   * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
   *
   * const userById = cql.statement({
   *   text: "SELECT id, name FROM users WHERE id = :id",
   *   request: Schema.Struct({ id: CqlType.Uuid }),
   *   result: User
   * })
   *
   * const ada = userById({ id: "6f0ace03-e42a-47b7-9e6f-2e97d553c01e" }).one
   * ```
   */
  readonly statement: {
    <Request extends Schema.ConstraintEncoder<object>, Result extends Schema.Constraint>(options: {
      readonly text: string
      readonly request: Request
      readonly result: Result
    }): (
      request: Request["Type"]
    ) => Statement<Result["Type"], CqlError | Schema.SchemaError, R | Result["DecodingServices"]>
    <Request extends Schema.ConstraintEncoder<object>>(options: {
      readonly text: string
      readonly request: Request
    }): (request: Request["Type"]) => Statement<Row, CqlError, R>
    <Result extends Schema.Constraint>(options: {
      readonly text: string
      readonly result: Result
    }): Statement<Result["Type"], CqlError | Schema.SchemaError, R | Result["DecodingServices"]>
    (options: { readonly text: string }): Statement<Row, CqlError, R>
  }
}

/**
 * Gives a statement options of its own; what is named twice, the later one has.
 *
 * **Gotchas**
 *
 * An option that makes no sense fails the statement with `InvalidConfig` when it is run, before anything is sent.
 *
 * **Example** (A statement with options)
 *
 * ```ts
 * import { cql, Statement } from "effect-cassandra"
 *
 * const readings = cql`SELECT * FROM readings`.pipe(
 *   Statement.withOptions({ consistency: "quorum", pageSize: 1000, timeout: "2 seconds" })
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withOptions: {
  (options: Options): <S extends Statement<any, any, any> | Batch<any, any, any>>(self: S) => S
  <S extends Statement<any, any, any> | Batch<any, any, any>>(self: S, options: Options): S
} = dual(
  2,
  <S extends Statement<any, any, any> | Batch<any, any, any>>(self: S, options: Options): S =>
    (self as unknown as StatementImpl | BatchImpl).withOptions(options) as unknown as S
)

/**
 * The options of the region of the program that a fiber is in, the outermost first.
 *
 * **Details**
 *
 * `Statement.provideOptions` adds to it for an effect. For a stream or a layer, provide it as the service that it is.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentOptions: Context.Reference<ReadonlyArray<Options>> = Impl.CurrentOptions

/**
 * Gives options to every statement that runs within an effect.
 *
 * **Details**
 *
 * A statement's own options go before them, and those of an inner region before those of an outer one. A session's
 * defaults come last.
 *
 * **Example** (A region that reads at quorum)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, Statement } from "effect-cassandra"
 *
 * const report = Effect.gen(function*() {
 *   const users = yield* cql`SELECT * FROM users`
 *   const orders = yield* cql`SELECT * FROM orders`
 *   return { users, orders }
 * }).pipe(Statement.provideOptions({ consistency: "localQuorum", timeout: "1 minute" }))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const provideOptions: {
  (options: Options): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: Options): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, options: Options): Effect.Effect<A, E, R> =>
    Effect.updateService(self, CurrentOptions, (outer) => [...outer, options])
)

/**
 * Compares a statement with what the server declares for it, and does not run it.
 *
 * **Details**
 *
 * Every parameter and every column is in the report, ours beside the server's; printed, it is a table. A statement that
 * does not fit fails with `StatementMismatch`, which shows the same table: a test that yields this for each query of an
 * application needs nothing else. The values that are bound stand for all of their kind.
 *
 * **Gotchas**
 *
 * The server declares no columns for a statement with a condition (`IF`), so none are compared. Whether a column can be
 * null it does not tell.
 *
 * **Example** (A test for a query)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import { cql, CqlType, Statement } from "effect-cassandra"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const userById = (id: string) => cql(User)`SELECT id, name FROM users WHERE id = ${id}`
 *
 * const test = Effect.gen(function*() {
 *   const report = yield* Statement.check(userById(crypto.randomUUID()))
 *   yield* Effect.log(String(report))
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const check = <S extends Statement<unknown, unknown, unknown>>(
  self: S
): Effect.Effect<CheckReport, CqlError, Effect.Services<S>> => implementation(self).check

/**
 * Prepares a statement on every node that can be asked, and does not run it: the first to run it need not wait. One
 * without parameters is not run as a prepared one, so that nothing is gained but the server's verdict on its text.
 *
 * **Example** (Warming up)
 *
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { cql, Statement } from "effect-cassandra"
 *
 * const statements = [cql`SELECT * FROM users WHERE id = ${""}`, cql`INSERT INTO users (id, name) VALUES (${""}, ${""})`]
 *
 * const warmUp = Effect.forEach(statements, Statement.prepare, { concurrency: "unbounded", discard: true })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const prepare = <S extends Statement<unknown, unknown, unknown>>(
  self: S
): Effect.Effect<void, CqlError, Effect.Services<S>> => implementation(self).prepare

/**
 * Several writes as one request, as a value and an Effect.
 *
 * **Details**
 *
 * - yielded, it is executed; one with conditions (`IF`) is refused then, and so is its `.result`: the outcome would be lost
 * - `.applied` gives the outcome of a batch with conditions: that all of them held, or the rows that were in the way
 * - `.result` gives the coordinator, the warnings, the trace and what else is known of the execution
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch<out A, out E = never, out R = never> extends Effect.Effect<void, E, R> {
  readonly [BatchTypeId]: typeof BatchTypeId
  /** The batch as CQL would write it; of a large one, its first statements. */
  readonly text: string
  readonly applied: Effect.Effect<Applied<ReadonlyArray<A>>, E, R>
  readonly result: Effect.Effect<ExecutionInfo, E, R>
}

/**
 * What kind of batch it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions {
  /**
   * - `"logged"`, the default: all or none of its writes happen in the end, also over many partitions, for the price of
   *   a batch log
   * - `"unlogged"`: all at once where they are of one partition; else each on its own, and no faster than so
   * - `"counter"`: changes of counters
   */
  readonly type?: "logged" | "unlogged" | "counter" | undefined
}

/**
 * Makes a batch of statements that write.
 *
 * **Details**
 *
 * Each statement is prepared and bound as it would be alone. Options are those of the batch: a statement with options of
 * its own, `idempotent` aside, is refused, for they cannot be sent. An empty batch, one of more than 65,535 statements, and
 * one that mixes counters with others are refused before anything is sent. An unlogged batch of more than 10 partitions is
 * executed, and a warning logged.
 *
 * With a `schema`, the rows that were in the way of a batch with conditions are decoded by it.
 *
 * **Gotchas**
 *
 * All statements of a batch have the same time, and of a deletion and a write of the same time the deletion wins. Servers
 * warn of batches over several partitions of more than 5 KiB and refuse those of more than 50 KiB, if they are not
 * configured otherwise.
 *
 * **Example** (Two tables that are kept together)
 *
 * ```ts
 * import { cql, Statement } from "effect-cassandra"
 *
 * const addUser = (user: { readonly id: string; readonly email: string }) =>
 *   Statement.batch([
 *     cql`INSERT INTO users ${cql.insert(user)}`,
 *     cql`INSERT INTO users_by_email ${cql.insert(user)}`
 *   ])
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const batch: {
  <S extends Schema.Constraint, Item extends Statement<unknown, unknown, unknown> = never>(
    statements: Iterable<Item>,
    options: BatchOptions & { readonly schema: S }
  ): Batch<S["Type"], CqlError | Schema.SchemaError, Effect.Services<Item> | S["DecodingServices"]>
  <Item extends Statement<unknown, unknown, unknown> = never>(
    statements: Iterable<Item>,
    options?: BatchOptions
  ): Batch<Row, CqlError, Effect.Services<Item>>
} = (
  statements: Iterable<Statement<unknown, unknown, any>>,
  options?: BatchOptions & { readonly schema?: Schema.Constraint }
): any => new BatchImpl(Array.from(statements, implementation), options?.type ?? "logged", options?.schema)

/**
 * Whether `u` is a `Batch`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBatch = (u: unknown): u is Batch<unknown, unknown, unknown> => hasProperty(u, BatchTypeId)

// internal

/** @internal */
export const implementation = (statement: Statement<unknown, unknown, unknown>): StatementImpl =>
  statement as unknown as StatementImpl

/** @internal */
export const makeCql = <R>(resolve: Resolve): Cql<R> => {
  const template =
    (schema: Schema.Constraint | undefined) =>
    (strings: TemplateStringsArray, ...values: ReadonlyArray<unknown>): StatementImpl =>
      new StatementImpl(Template.make(strings, values), schema, resolve)
  const plain = template(undefined)
  const cql = (first: TemplateStringsArray | Schema.Constraint, ...values: ReadonlyArray<unknown>) =>
    Template.isStrings(first) ? plain(first, ...values) : template(first)
  return Object.assign(cql, {
    ident: Fragments.ident,
    unsafe: Fragments.unsafe,
    insert: Fragments.insert,
    set: Fragments.set,
    and: Fragments.and,
    using: Fragments.using,
    columns: Fragments.columns,
    statement: (options: Requests.StatementOf) => Requests.make(resolve, options)
  }) as unknown as Cql<R>
}
