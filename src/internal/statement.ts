/**
 * Statements and batches as the values that users hold: each is an Effect, and runs on the session of its fiber.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CqlError, Reason } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { BatchType } from "./batch.ts"
import * as Batches from "./batch.ts"
import * as Check from "./check.ts"
import type { Core, Levels } from "./core.ts"
import type { ExecutionInfo } from "./executionInfo.ts"
import * as Info from "./executionInfo.ts"
import type { CheckReport } from "./inspect.ts"
import { inspect } from "./inspect.ts"
import { maskPasswords } from "./mask.ts"
import type { Query } from "./query.ts"
import * as Run from "./run.ts"
import { needsServer } from "./scripted.ts"
import type { Settings, StatementOptions } from "./settings.ts"
import * as Template from "./template.ts"

export const StatementTypeId = "~effect-cassandra/Statement"

export const BatchTypeId = "~effect-cassandra/Batch"

type Failure = CqlError | Schema.SchemaError

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Finds the session that a fiber runs its statements on. */
export interface Resolve {
  (fiber: AnyFiber): Core
}

/**
 * The outcome of a lightweight transaction: its condition held, or `current` is what was in its way.
 *
 * @category models
 * @since 0.1.0
 */
export type Applied<Current> =
  | { readonly applied: true }
  | { readonly applied: false; readonly current: Current }

const noLevels: Levels = []

/** Options for all statements of a region of the program, from its outermost part to its innermost. */
export const CurrentOptions: Context.Reference<Levels> = Context.Reference(
  "effect-cassandra/Statement/CurrentOptions",
  {
    defaultValue: () => noLevels
  }
)

/** Runs on the session of the fiber, with the options that are nearest. */
const runOn = <A, E>(
  fiber: AnyFiber,
  resolve: Resolve,
  own: Levels,
  run: (core: Core, settings: Settings) => Effect.Effect<A, E>
): Effect.Effect<A, E | CqlError> => {
  const core = resolve(fiber)
  const settings = core.settingsFor(fiber.getRef(CurrentOptions), own)
  return "reason" in settings ? Effect.fail(settings) : run(core, settings)
}

interface EffectClass<A> {
  new(): Effect.Effect<A, Failure>
}

const classOf = <A>(prototype: object): EffectClass<A> => {
  const Base = function() {}
  Base.prototype = prototype
  return Base as unknown as EffectClass<A>
}

// --- one statement

const StatementBase: EffectClass<ReadonlyArray<unknown>> = classOf(Effectable.Prototype<StatementImpl>({
  label: "Statement",
  evaluate(fiber) {
    return this.run(fiber, Run.allRows)
  }
}))

/** How the values of a statement came to it, where that is not by their order. */
export interface Request {
  readonly names: ReadonlyArray<string>
  readonly schema: Schema.Constraint
}

export class StatementImpl extends StatementBase implements Template.Fragment {
  readonly [StatementTypeId] = StatementTypeId
  readonly [Template.FragmentTypeId]: Template.FragmentTypeId = Template.FragmentTypeId
  readonly template: Template.Template
  readonly schema: Schema.Constraint | undefined
  readonly resolve: Resolve
  readonly options: Levels
  readonly request: Request | undefined
  /** Why it fails when it is run, before anything is sent. */
  readonly refused: CqlError | undefined

  constructor(
    template: Template.Template,
    schema: Schema.Constraint | undefined,
    resolve: Resolve,
    options: Levels = noLevels,
    refused: CqlError | undefined = template.problem,
    request?: Request
  ) {
    super()
    this.template = template
    this.schema = schema
    this.resolve = resolve
    this.options = options
    this.refused = refused
    this.request = request
  }

  withOptions(options: StatementOptions): StatementImpl {
    const refused = this.refused ?? Check.problem(Check.statementOptions(options))
    const levels = this.options.length === 0 ? [options] : [...this.options, options]
    return new StatementImpl(this.template, this.schema, this.resolve, levels, refused, this.request)
  }

  get text(): string {
    return this.template.text
  }

  get parameters(): ReadonlyArray<unknown> {
    return this.template.values
  }

  /** Why it cannot be a part of another statement, which would lose its options and the names of its values. */
  get problem(): Reason | undefined {
    if (this.refused !== undefined) return this.refused.reason
    if (this.request !== undefined) return hasNames
    return this.options.length > 0 ? hasOptions : undefined
  }

  get query(): Query {
    const { text, values } = this.template
    return { text, values, names: this.request?.names, schema: this.schema, idempotent: saidIdempotent(this.options) }
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

  get applied(): Effect.Effect<Applied<Option.Option<unknown>>, Failure> {
    return Effect.withFiber((fiber) => Effect.map(this.run(fiber, Run.applied), currentRow))
  }

  get result(): Effect.Effect<ExecutionInfo & { readonly rows: ReadonlyArray<unknown> }, Failure> {
    return Effect.withFiber((fiber) =>
      this.run(
        fiber,
        (core, query, settings) =>
          Effect.map(
            Run.allPages(core, query, settings),
            ({ outcomes, rows }) => ({ rows, ...Info.make(core, settings, outcomes) })
          )
      )
    )
  }

  get stream(): Stream.Stream<unknown, Failure> {
    return this.paged(Run.rows, Run.defaultPaging)
  }

  get pages(): Stream.Stream<Run.NumberedPage<unknown>, Failure> {
    return this.paged(Run.pages, Run.defaultPaging)
  }

  run<A, E>(
    fiber: AnyFiber,
    how: (core: Core, query: Query, settings: Settings) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | CqlError> {
    if (this.refused !== undefined) return Effect.fail(this.refused)
    return runOn(fiber, this.resolve, this.options, (core, settings) => how(core, this.query, settings))
  }

  /** Prepares it anew, and compares it with what the server declares. */
  get check(): Effect.Effect<CheckReport, CqlError> {
    return Effect.withFiber((fiber) =>
      this.run(
        fiber,
        (core, query, settings) =>
          core.shared.script !== undefined
            ? Effect.fail(needsServer("Statement.check", query.text))
            : Effect.flatMap(Run.prepareOnly(core, query, settings, "anywhere"), (prepared) => {
              const report = inspect(query, this.request?.schema, prepared)
              return "reason" in report ? Effect.fail(report) : Effect.succeed(report)
            })
      )
    )
  }

  get prepare(): Effect.Effect<void, CqlError> {
    return Effect.withFiber((fiber) =>
      Effect.asVoid(
        this.run(fiber, (core, query, settings) => Run.prepareOnly(core, query, settings, "everywhere"))
      )
    )
  }

  paged<A>(how: Run.Paged<A>, paging: Run.PagingOptions): Stream.Stream<A, Failure> {
    return Stream.unwrap(
      Effect.withFiber((fiber) =>
        this.run(fiber, (core, query, settings) => Effect.succeed(how(core, query, settings, paging)))
      )
    )
  }
}

const hasNames: Reason = new Errors.InvalidQuery({
  message: "a statement of cql.statement cannot be a part of another, for its markers have names"
})

const hasOptions: Reason = new Errors.InvalidQuery({
  message: "a statement with options cannot be a part of another: give them to the whole"
})

const held: Applied<never> = { applied: true }

const currentRow = <A>({ applied, rows }: Run.AppliedOrNot<A>): Applied<Option.Option<A>> =>
  applied ? held : { applied, current: rows.length === 0 ? Option.none() : Option.some(rows[0]!) }

const currentRows = <A>({ applied, rows }: Run.AppliedOrNot<A>): Applied<ReadonlyArray<A>> =>
  applied ? held : { applied, current: rows }

// --- several

const BatchBase: EffectClass<void> = classOf(Effectable.Prototype<BatchImpl>({
  label: "Batch",
  evaluate(fiber) {
    return this.run(fiber, (core, settings) => Run.batch(core, this, settings, () => undefined))
  }
}))

export class BatchImpl extends BatchBase implements Batches.BatchQuery {
  readonly [BatchTypeId] = BatchTypeId
  readonly statements: ReadonlyArray<StatementImpl>
  readonly type: BatchType
  readonly schema: Schema.Constraint | undefined
  readonly options: Levels
  readonly refused: CqlError | undefined
  private shown: string | undefined

  constructor(
    statements: ReadonlyArray<StatementImpl>,
    type: BatchType,
    schema: Schema.Constraint | undefined,
    options: Levels = noLevels,
    refused = problemOfBatch(statements, type)
  ) {
    super()
    this.statements = statements
    this.type = type
    this.schema = schema
    this.options = options
    this.refused = refused
  }

  withOptions(options: StatementOptions): BatchImpl {
    const refused = this.refused ?? Check.problem(Check.statementOptions(options))
    return new BatchImpl(this.statements, this.type, this.schema, [...this.options, options], refused)
  }

  /** Made when somebody reads it, which is mostly an error. */
  get text(): string {
    this.shown ??= Batches.textOf(this.type, this.statements.map(({ text }) => text))
    return this.shown
  }

  get idempotent(): boolean | undefined {
    return saidIdempotent(this.options)
  }

  get queries(): ReadonlyArray<Query> {
    return this.statements.map(({ query }) => query)
  }

  override toJSON(): unknown {
    return { _id: "effect-cassandra/Batch", text: maskPasswords(this.text) }
  }

  get applied(): Effect.Effect<Applied<ReadonlyArray<unknown>>, Failure> {
    return Effect.withFiber((fiber) =>
      Effect.map(this.run(fiber, (core, settings) => Run.batchApplied(core, this, settings)), currentRows)
    )
  }

  get result(): Effect.Effect<ExecutionInfo, Failure> {
    return Effect.withFiber((fiber) =>
      this.run(
        fiber,
        (core, settings) => Run.batch(core, this, settings, (outcome) => Info.make(core, settings, [outcome]))
      )
    )
  }

  run<A>(
    fiber: AnyFiber,
    how: (core: Core, settings: Settings) => Effect.Effect<A, Failure>
  ): Effect.Effect<A, Failure> {
    if (this.refused !== undefined) return Effect.fail(this.refused)
    const { resolve } = this.statements[0]!
    return runOn(fiber, resolve, this.options, (core, settings) => {
      const isOfOne = this.statements.every(
        (statement) => statement.resolve === resolve || statement.resolve(fiber) === core
      )
      return isOfOne ? how(core, settings) : Effect.fail(Run.refusal(this.text, ofSeveralSessions))
    })
  }
}

const saidIdempotent = (options: Levels): boolean | undefined =>
  options.findLast(({ idempotent }) => idempotent !== undefined)?.idempotent

const ofSeveralSessions = "the statements of a batch belong to one session; these to several"

const problemOfBatch = (statements: ReadonlyArray<StatementImpl>, type: BatchType): CqlError | undefined => {
  const unknown = Check.problem([Check.oneOf("type", type, Batches.batchTypes)])
  if (unknown !== undefined) return unknown
  const reason = Batches.problemOfCount(statements.length)
  if (reason !== undefined) return Errors.make({ reason })
  const refused = statements.find((statement) => statement.refused !== undefined)
  if (refused !== undefined) return refused.refused
  return statements.some(({ options }) => options.some(isAboutSending)) ? optionsOfItem(type, statements) : undefined
}

/** Whether it can be run twice is told of a statement; how it is sent, of the batch. */
const isAboutSending = (options: StatementOptions): boolean =>
  Object.entries(options).some(([name, value]) => name !== "idempotent" && value !== undefined)

const optionsOfItem = (type: BatchType, statements: ReadonlyArray<StatementImpl>): CqlError =>
  Run.refusal(
    Batches.textOf(type, statements.map(({ text }) => text)),
    "a statement of the batch has options of its own, which cannot be sent: give them to the batch"
  )
