/**
 * A query as a value: text, bound parameters, options and the schema of its rows, with no connection.
 *
 * The `cql` template makes statements. A statement is an `Effect`: yield it for all its rows, or take `.one`, `.first`,
 * `.stream` or `.pages` of it. Interpolated values are always bound and never become part of the text.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import type * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CqlError, Reason } from "./CqlError.ts"
import * as Check from "./internal/check.ts"
import type { Core } from "./internal/core.ts"
import { maskPasswords } from "./internal/mask.ts"
import type { Query } from "./internal/operation.ts"
import * as Run from "./internal/run.ts"
import type { Settings, StatementOptions } from "./internal/settings.ts"
import * as Settle from "./internal/settings.ts"
import * as Template from "./internal/template.ts"

const TypeId = "~effect-cassandra/Statement"

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
}

/**
 * Options of one statement. What is left out comes from the session.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many replicas must answer. By default `"localOne"`; with a secure connect bundle `"localQuorum"`. */
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
   * How long one node may take to answer. By default 12 seconds, above the server's own limits. Preparing, which is
   * shared by all who wait for it, has the session's.
   */
  readonly attemptTimeout?: StatementOptions["attemptTimeout"]
  /** Whether running it twice is the same as running it once. */
  readonly idempotent?: boolean | undefined
  /** More rows than this are an error when they are collected; streams are not limited. By default 100,000. */
  readonly maxRows?: number | undefined
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
 *
 * Inside another template it is a fragment: its text and its parameters become part of that statement.
 *
 * @category models
 * @since 0.1.0
 */
export interface Statement<out A, out E = never, out R = never> extends Effect.Effect<ReadonlyArray<A>, E, R> {
  readonly [TypeId]: typeof TypeId
  /** The text as it is sent, with a `?` for every parameter. */
  readonly text: string
  /** What is bound, in order. */
  readonly parameters: ReadonlyArray<unknown>
  readonly one: Effect.Effect<A, E | Cause.NoSuchElementError, R>
  readonly first: Effect.Effect<Option.Option<A>, E, R>
  readonly stream: Stream.Stream<A, E, R>
  readonly pages: Stream.Stream<Page<A>, E, R>
}

/**
 * Whether `u` is a `Statement`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isStatement = (u: unknown): u is Statement<unknown, unknown, unknown> => hasProperty(u, TypeId)

/**
 * A part of a statement that is text: a quoted name, a column list, or text given as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fragment extends Template.Fragment {}

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
  /** `(columns) VALUES (markers)` of a row; keys that are `undefined` are unset. */
  readonly insert: (row: object) => Fragment
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
  (options: Options): <A, E, R>(self: Statement<A, E, R>) => Statement<A, E, R>
  <A, E, R>(self: Statement<A, E, R>, options: Options): Statement<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Statement<A, E, R>, options: Options): Statement<A, E, R> => {
    const statement = asImpl(self)
    return new StatementImpl(statement.template, statement.schema, statement.resolve, {
      ...statement.options,
      ...options
    }) as unknown as Statement<A, E, R>
  }
)

// internal

/** Finds the session that a fiber runs its statements on. */
interface Resolve {
  (fiber: Fiber.Fiber<unknown, unknown>): Core
}

type Failure = CqlError | Schema.SchemaError

const proto = Effectable.Prototype<StatementImpl>({
  label: "Statement",
  evaluate(fiber) {
    return this.run(fiber, Run.allRows)
  }
})

const StatementBase: new() => Effect.Effect<ReadonlyArray<unknown>, Failure> = (() => {
  const Base = function() {}
  Base.prototype = proto
  return Base as unknown as new() => Effect.Effect<ReadonlyArray<unknown>, Failure>
})()

/** @internal */
export class StatementImpl extends StatementBase implements Template.Fragment {
  readonly [TypeId] = TypeId
  readonly [Template.FragmentTypeId]: Template.FragmentTypeId = Template.FragmentTypeId
  readonly template: Template.Template
  readonly schema: Schema.Constraint | undefined
  readonly resolve: Resolve
  readonly options: Options | undefined
  /** Why it fails when it is run, before anything is sent. */
  readonly refused: CqlError | undefined

  constructor(
    template: Template.Template,
    schema: Schema.Constraint | undefined,
    resolve: Resolve,
    options: Options | undefined
  ) {
    super()
    this.template = template
    this.schema = schema
    this.resolve = resolve
    this.options = options
    this.refused = template.problem ??
      (options === undefined ? undefined : Check.problem(Check.statementOptions(options)))
  }

  get text(): string {
    return this.template.text
  }

  get parameters(): ReadonlyArray<unknown> {
    return this.template.values
  }

  get problem(): Reason | undefined {
    return this.refused?.reason
  }

  /** The text alone: what is bound is in nothing that is printed. */
  override toJSON(): unknown {
    return { _id: "effect-cassandra/Statement", text: maskPasswords(this.text) }
  }

  get one(): Effect.Effect<unknown, Failure | Cause.NoSuchElementError> {
    return Effect.withFiber((fiber) => this.run(fiber, Run.oneRow))
  }

  get first(): Effect.Effect<Option.Option<unknown>, Failure> {
    return Effect.withFiber((fiber) => this.run(fiber, Run.firstRow))
  }

  get stream(): Stream.Stream<unknown, Failure> {
    return this.paged(Run.rows, Run.defaultPaging)
  }

  get pages(): Stream.Stream<Page<unknown>, Failure> {
    return this.paged(Run.pages, Run.defaultPaging)
  }

  /** Runs it on the session of the fiber; a template that is wrong fails here, before anything is sent. */
  run<A, E>(
    fiber: Fiber.Fiber<unknown, unknown>,
    how: (core: Core, query: Query, settings: Settings) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | CqlError> {
    if (this.refused !== undefined) return Effect.fail(this.refused)
    const core = this.resolve(fiber)
    return how(core, this.query, Settle.resolve(core.settings, this.options))
  }

  paged<A>(how: Run.Paged<A>, paging: Run.PagingOptions): Stream.Stream<A, Failure> {
    return Stream.unwrap(
      Effect.withFiber((fiber) =>
        this.run(fiber, (core, query, settings) => Effect.succeed(how(core, query, settings, paging)))
      )
    )
  }

  private get query(): Query {
    return { text: this.template.text, values: this.template.values, schema: this.schema }
  }
}

const asImpl = (statement: Statement<unknown, unknown, unknown>): StatementImpl => statement as unknown as StatementImpl

/** @internal */
export const implementation: (statement: Statement<unknown, unknown, unknown>) => StatementImpl = asImpl

/** @internal */
export const makeCql = <R>(resolve: Resolve): Cql<R> => {
  const template =
    (schema: Schema.Constraint | undefined) =>
    (strings: TemplateStringsArray, ...values: ReadonlyArray<unknown>): StatementImpl =>
      new StatementImpl(Template.make(strings, values), schema, resolve, undefined)
  const plain = template(undefined)
  const cql = (first: TemplateStringsArray | Schema.Constraint, ...values: ReadonlyArray<unknown>) =>
    Template.isStrings(first) ? plain(first, ...values) : template(first)
  return Object.assign(cql, {
    ident: Template.ident,
    unsafe: Template.unsafe,
    insert: Template.insert
  }) as unknown as Cql<R>
}
