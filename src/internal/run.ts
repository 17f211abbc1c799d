/**
 * Requests as effects: one page, all rows, the first row, pages one after another.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { BatchQuery } from "./batch.ts"
import { BatchOperation } from "./batch.ts"
import type { Core } from "./core.ts"
import type { Summary } from "./cql/summary.ts"
import { maskPasswords } from "./mask.ts"
import type { Finish, Outcome } from "./operation.ts"
import { perform } from "./operation.ts"
import * as PageStates from "./pageState.ts"
import type { PageWanted, Query } from "./query.ts"
import { PrepareOperation, QueryOperation } from "./query.ts"
import * as Scripted from "./scripted.ts"
import type { Settings } from "./settings.ts"
import type { KnownStatement, Prepared, ReaderKind, RowsPage } from "./statements.ts"
import { decodeRows } from "./statements.ts"
import type { Described, Traced } from "./tracing.ts"
import * as Tracing from "./tracing.ts"

type Failure = CqlError | Schema.SchemaError

/** A page whose rows are decoded. */
export interface DecodedPage<A> {
  readonly rows: ReadonlyArray<A>
  readonly pageState: Buffer | undefined
  readonly outcome: Outcome
}

export interface NumberedPage<A> {
  readonly index: number
  readonly rows: ReadonlyArray<A>
  readonly isLast: boolean
  readonly next: string | undefined
}

const noRows: Effect.Effect<ReadonlyArray<never>> = Exit.succeed([])

const request = <A, E = never>(
  core: Core,
  query: Query,
  settings: Settings,
  page: PageWanted,
  finish: Finish<A, E>
): Effect.Effect<A, Failure | E> => {
  const { script } = core.shared
  const ask = (settings: Settings): Effect.Effect<A, Failure | E> =>
    script === undefined
      ? perform<A, E>((resume) => new QueryOperation(core, query, settings, page, finish, resume), settings)
      : Scripted.answer(core, script, Scripted.ofQuery(query), settings, page, finish)
  // The pages of one result are one call.
  if (page.goesOn === true) return ask(settings)
  const operation = (): string => core.shared.statements.get(query.text).summary.operation
  const answer = traced(core, () => tracedQuery(core, query, settings), settings, ask)
  return guarded(core, query, settings, operation, answer)
}

/** With a span, where somebody listens. */
const traced = <A, E>(
  core: Core,
  describe: () => Traced,
  settings: Settings,
  run: (settings: Settings) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  settings.spans === "none"
    ? run(settings)
    : Effect.withFiber((fiber) =>
      Tracing.listens(fiber) ? Tracing.withSpan(fiber, core, describe(), settings, run) : run(settings)
    )

/** Of a statement as it was run last: most run with the same settings all the time. */
const lastTraced = new WeakMap<KnownStatement, { readonly settings: Settings; readonly traced: Traced }>()

const tracedQuery = (core: Core, query: Query, settings: Settings): Traced => {
  const statement = core.shared.statements.get(query.text)
  const last = lastTraced.get(statement)
  if (last?.settings === settings) return last.traced
  const traced = Tracing.describe(core, describeQuery(core, query), settings)
  lastTraced.set(statement, { settings, traced })
  return traced
}

const describeQuery = ({ shared }: Core, { text, values }: Query): Described => {
  const { collection, name, operation } = shared.statements.get(text).summary
  return { name, operation, collection, text, spelledOut: values.length === 0 ? text : undefined }
}

const tracedPrepare = (core: Core, query: Query, settings: Settings): Traced => {
  const described = describeQuery(core, query)
  const { name, operation } = described
  return Tracing.describe(core, { ...described, name: `PREPARE ${name}`, operation: `PREPARE ${operation}` }, settings)
}

const tracedBatch = (core: Core, { queries, text }: BatchQuery, settings: Settings): Traced => {
  const summaries = queries.map((query) => core.shared.statements.get(query.text).summary)
  const only = <K extends keyof Summary>(key: K): Summary[K] | undefined => {
    const [first] = summaries
    return summaries.every((summary) => summary[key] === first?.[key]) ? first?.[key] : undefined
  }
  const spelledOut = queries.filter(({ values }) => values.length === 0).map(({ text }) => text)
  const described = {
    name: ["BATCH", only("name")].filter((part) => part !== undefined).join(" "),
    operation: ["BATCH", only("operation")].filter((part) => part !== undefined).join(" "),
    collection: only("collection"),
    text: queries.every((query) => query.text === queries[0]!.text) ? queries[0]!.text : text,
    spelledOut: spelledOut.length === 0 ? undefined : spelledOut.join("\n"),
    batchSize: queries.length
  }
  return Tracing.describe(core, described, settings)
}

/** One node is not the cluster; and where there is no connection yet, that is the reason to fail with. */
const guarded = <A, E>(
  core: Core,
  { text }: WithText,
  { node }: Settings,
  operation: () => string,
  answer: Effect.Effect<A, Failure | E>
): Effect.Effect<A, Failure | E> => {
  const { breaker, counts, notConnected } = core.shared
  if (breaker === undefined || node !== undefined || notConnected !== undefined) return answer
  const guarded = breaker(text, answer)
  return counts === undefined ? guarded : Effect.tapError(guarded, (error) =>
    Effect.sync(() => {
      if (isCircuitOpen(error)) counts.refused(operation(), error.reason._tag)
    }))
}

const isCircuitOpen = (error: unknown): error is CqlError =>
  Errors.CqlError.is(error) && error.reason._tag === "CircuitOpen"

/** More pages of a result that is collected: a close waits for them as for the first, where a stream would end. */
const more = <A, E>(core: Core, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    core.enter()
    return Effect.ensuring(effect, Effect.sync(() => core.exit()))
  })

/** What does not fit its schema is counted. */
const decode = <A>({ shared }: Core, page: RowsPage): Effect.Effect<ReadonlyArray<A>, Failure> => {
  const rows = decodeRows<A>(page)
  const { counts } = shared
  return counts === undefined || page.decoder.decode === undefined
    ? rows
    : Effect.tapError(rows, () => Effect.sync(() => counts.decodeFailures.add()))
}

const decodePage = <A>(core: Core) => (outcome: Outcome): Effect.Effect<DecodedPage<A>, Failure> => {
  const { page } = outcome
  return page === null
    ? Exit.succeed({ rows: [], pageState: undefined, outcome })
    : Effect.map(decode<A>(core, page), (rows) => ({ rows, pageState: page.pageState, outcome }))
}

const deadlineOf = (settings: Settings): number => performance.now() + settings.timeoutMillis

/** Every row of every page, up to `maxRows`, before one deadline. */
export const allRows = <A>(
  core: Core,
  query: Query,
  settings: Settings
): Effect.Effect<ReadonlyArray<A>, Failure> => {
  const deadline = deadlineOf(settings)
  return request(core, query, settings, { deadline }, (outcome) => {
    const { page } = outcome
    if (page === null) return noRows
    if (page.pageState === undefined && page.rows.length <= settings.maxRows) return decode<A>(core, page)
    const all = Effect.flatMap(decodePage<A>(core)(outcome), (first) => collect(core, query, first, deadline))
    return more(core, Effect.map(all, ({ rows }) => rows))
  })
}

/** Rows of the server's own tables: those of another shape are a defect of ours. */
export const systemRows = <S extends Schema.Constraint>(
  core: Core,
  schema: S,
  text: string,
  values: ReadonlyArray<unknown>,
  node?: string
): Effect.Effect<ReadonlyArray<S["Type"]>, CqlError> =>
  allRows<S["Type"]>(core, { text, values, schema, names: undefined }, { ...core.settings, node }).pipe(
    Effect.catchTag("SchemaError", Effect.die)
  )

/** All rows, and what came with each of their pages. */
export interface Collected<A> {
  readonly rows: ReadonlyArray<A>
  readonly outcomes: Arr.NonEmptyReadonlyArray<Outcome>
}

/** As `allRows`. */
export const allPages = <A>(core: Core, query: Query, settings: Settings): Effect.Effect<Collected<A>, Failure> => {
  const deadline = deadlineOf(settings)
  return request(
    core,
    query,
    settings,
    { deadline },
    (outcome) =>
      more(
        core,
        Effect.flatMap(decodePage<A>(core)(outcome), (first) => collect(core, query, first, deadline))
      )
  )
}

const collect = Effect.fnUntraced(function*<A>(
  core: Core,
  query: Query,
  first: DecodedPage<A>,
  deadline: number
): Effect.fn.Return<Collected<A>, Failure> {
  const { settings } = first.outcome.operation
  const rows = [...first.rows]
  const outcomes: Arr.NonEmptyArray<Outcome> = [first.outcome]
  let { pageState } = first
  while (pageState !== undefined && rows.length <= settings.maxRows) {
    const wanted = { pageState, deadline, goesOn: true }
    const page: DecodedPage<A> = yield* request(core, query, settings, wanted, decodePage<A>(core))
    for (const row of page.rows) rows.push(row)
    outcomes.push(page.outcome)
    pageState = page.pageState
  }
  return rows.length > settings.maxRows ? yield* tooManyRows(query, settings) : { rows, outcomes }
})

const tooManyRows = (query: Query, settings: Settings): Effect.Effect<never, CqlError> =>
  Effect.fail(Errors.make({
    reason: new Errors.TooManyRows({
      limit: settings.maxRows,
      message: `the result has more than ${settings.maxRows} rows`
    }),
    statement: query.text
  }))

/** The first row, or `none`; pages may be empty in front of it. */
const seekFirst = <A, B, E>(
  core: Core,
  query: Query,
  settings: Settings,
  found: (row: A) => Exit.Exit<B>,
  none: () => Exit.Exit<B, E>
): Effect.Effect<B, Failure | E> => {
  const deadline = deadlineOf(settings)
  return request<B, E>(core, query, settings, { deadline, reader: "firstRow" }, (outcome) => {
    const { page } = outcome
    if (page === null) return none()
    if (page.rows.length === 0) {
      return page.pageState === undefined
        ? none()
        : more(
          core,
          Effect.flatMap(
            seekOn<A>(core, query, outcome.operation.settings, page.pageState, deadline),
            (row) => Option.isSome(row) ? found(row.value) : none()
          )
        )
    }
    if (page.decoder.decode === undefined) return found(page.rows[0] as A)
    return Effect.flatMap(decode<A>(core, page), (rows) => found(rows[0]!))
  })
}

const seekOn = Effect.fnUntraced(function*<A>(
  core: Core,
  query: Query,
  settings: Settings,
  from: Buffer,
  deadline: number
): Effect.fn.Return<Option.Option<A>, Failure> {
  let pageState: Buffer | undefined = from
  while (pageState !== undefined) {
    const wanted: PageWanted = { pageState, deadline, goesOn: true, reader: "firstRow" }
    const page: DecodedPage<A> = yield* request(core, query, settings, wanted, decodePage<A>(core))
    if (page.rows.length > 0) return Option.some(page.rows[0]!)
    pageState = page.pageState
  }
  return Option.none()
})

export const firstRow = <A>(
  core: Core,
  query: Query,
  settings: Settings
): Effect.Effect<Option.Option<A>, Failure> =>
  seekFirst<A, Option.Option<A>, never>(
    core,
    query,
    settings,
    (row) => Exit.succeed(Option.some(row)),
    () => Exit.succeed(Option.none())
  )

export const oneRow = <A>(
  core: Core,
  query: Query,
  settings: Settings
): Effect.Effect<A, Failure | Cause.NoSuchElementError> =>
  seekFirst<A, A, Cause.NoSuchElementError>(
    core,
    query,
    settings,
    Exit.succeed,
    () => Exit.fail(new Cause.NoSuchElementError(`no row for: ${maskPasswords(query.text)}`))
  )

/** Whether a condition held, and the rows that were in the way. */
export interface AppliedOrNot<A> {
  readonly applied: boolean
  readonly rows: ReadonlyArray<A>
}

export const applied = <A>(core: Core, query: Query, settings: Settings): Effect.Effect<AppliedOrNot<A>, Failure> =>
  hasCondition(core, query)
    ? request(core, query, settings, { reader: "outcome" }, (outcome) => toApplied<A>(core, query, outcome))
    : Effect.fail(refusal(query.text, withoutCondition))

const hasCondition = ({ shared }: Core, { text }: WithText): boolean => shared.statements.get(text).hasCondition

interface WithText {
  readonly text: string
}

const toApplied = <A>(core: Core, query: WithText, { page }: Outcome): Effect.Effect<AppliedOrNot<A>, Failure> => {
  const applied = page?.applied
  if (page === null || applied === undefined) return Effect.fail(refusal(query.text, withoutOutcome))
  return Effect.map(decode<A>(core, page), (rows) => ({ applied, rows }))
}

/** The outcome of a condition must not be lost because nobody asked for it. */
export const batch = <A>(
  core: Core,
  query: BatchQuery,
  settings: Settings,
  finish: (outcome: Outcome) => A
): Effect.Effect<A, Failure> =>
  query.queries.some((item) => hasCondition(core, item))
    ? Effect.fail(refusal(query.text, outcomeWouldBeLost))
    : performBatch(core, query, settings, (outcome) => Exit.succeed(finish(outcome)))

export const batchApplied = <A>(
  core: Core,
  query: BatchQuery,
  settings: Settings
): Effect.Effect<AppliedOrNot<A>, Failure> =>
  query.queries.some((item) => hasCondition(core, item))
    ? performBatch(core, query, settings, (outcome) => toApplied<A>(core, query, outcome))
    : Effect.fail(refusal(query.text, withoutCondition))

const performBatch = <A>(
  core: Core,
  query: BatchQuery,
  settings: Settings,
  finish: Finish<A>
): Effect.Effect<A, Failure> =>
  guarded(
    core,
    query,
    settings,
    () => "BATCH",
    traced(
      core,
      () => tracedBatch(core, query, settings),
      settings,
      (settings) => {
        const { script } = core.shared
        return script === undefined
          ? perform((resume) => new BatchOperation(core, query, settings, {}, finish, resume), settings)
          : Scripted.answer(core, script, Scripted.ofBatch(query), settings, { reader: readerOf(core, query) }, finish)
      }
    )
  )

const readerOf = (core: Core, { queries }: BatchQuery): ReaderKind =>
  queries.some((item) => hasCondition(core, item)) ? "outcome" : "allRows"

/** Prepares a statement anew and does not run it. */
export const prepareOnly = (
  core: Core,
  query: Query,
  settings: Settings,
  where: "anywhere" | "everywhere"
): Effect.Effect<Prepared, CqlError> =>
  core.shared.script === undefined
    ? prepareOnServer(core, query, settings, where)
    : Effect.sync(() => Scripted.prepare(query))

const prepareOnServer = (
  core: Core,
  query: Query,
  settings: Settings,
  where: "anywhere" | "everywhere"
): Effect.Effect<Prepared, CqlError> =>
  guarded(
    core,
    query,
    settings,
    () => "PREPARE",
    traced(
      core,
      () => tracedPrepare(core, query, settings),
      settings,
      (settings) =>
        perform<Prepared, never>(
          (resume) => new PrepareOperation(core, query, settings, where === "everywhere", {}, resume),
          settings
        )
    )
  ).pipe(Effect.catchTag("SchemaError", Effect.die))

const withoutCondition = ".applied is for statements with a condition (IF), and this one has none"

const withoutOutcome = "the server has executed it and told no outcome of a condition"

const outcomeWouldBeLost = "a batch with a condition (IF) has an outcome, which would be lost: take .applied of it"

export const refusal = (statement: string, message: string): CqlError =>
  Errors.make({ reason: new Errors.InvalidQuery({ message }), statement })

export interface PagingOptions {
  /** Pages fetched ahead of the one in hand, from the second on. */
  readonly pagesAhead: number
  readonly maxPages: number
  /** Where to begin. */
  readonly from?: PageStates.Kept | undefined
  /** Its owners are asked. */
  readonly token?: string | undefined
}

export const defaultPaging: PagingOptions = { pagesAhead: 1, maxPages: Infinity }

export interface Paged<A> {
  (core: Core, query: Query, settings: Settings, options: PagingOptions): Stream.Stream<A, Failure>
}

/** Pages, empty ones too, each asked for when it is pulled or `pagesAhead` before. */
export const pages = <A>(
  core: Core,
  query: Query,
  settings: Settings,
  options: PagingOptions
): Stream.Stream<NumberedPage<A>, Failure> =>
  Stream.suspend(() => {
    let index = 0
    return Stream.map(decodedPages<A>(core, query, settings, options), (page) => {
      const { pageState, rows } = page
      return { index: index++, rows, isLast: pageState === undefined, next: nextOf(page) }
    })
  })

/** As `pages`, without what only those need who keep one: making a text of its place costs two digests. */
export const decodedPages = <A>(
  core: Core,
  query: Query,
  settings: Settings,
  options: PagingOptions
): Stream.Stream<DecodedPage<A>, Failure> =>
  fromPull((scope) =>
    Effect.map(pullPages<A>(core, query, settings, options, scope), (pull) => Effect.map(pull, ofOne))
  )

/** Rows, a page at a time; empty pages are passed over, for they do not end a result. */
export const rows = <A>(
  core: Core,
  query: Query,
  settings: Settings,
  options: PagingOptions
): Stream.Stream<A, Failure> =>
  fromPull((scope) => Effect.map(pullPages<A>(core, query, settings, options, scope), nonEmptyRows))

const nextOf = ({ outcome: { operation, page }, pageState }: DecodedPage<unknown>): string | undefined =>
  page === null || pageState === undefined ? undefined : PageStates.keep(operation.origin, page.columns, pageState)

const fromPull = <A>(
  pull: (scope: Scope.Scope) => Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<A>, Failure>>
): Stream.Stream<A, Failure> => Stream.fromChannel(Channel.fromTransform((_, scope) => pull(scope)))

const ofOne = <A>(page: A): Arr.NonEmptyReadonlyArray<A> => [page]

const nonEmptyRows = <A>(
  pull: Pull.Pull<DecodedPage<A>, Failure>
): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, Failure> =>
  Effect.flatMap(
    pull,
    (page) => page.rows.length === 0 ? nonEmptyRows(pull) : Effect.succeed(page.rows as Arr.NonEmptyReadonlyArray<A>)
  )

const pullPages = <A>(
  core: Core,
  query: Query,
  settings: Settings,
  options: PagingOptions,
  scope: Scope.Scope
): Effect.Effect<Pull.Pull<DecodedPage<A>, Failure>> =>
  Effect.sync(() => {
    const pager = new Pager<A>(core, query, settings, options)
    return Effect.suspend(() => pager.pull(scope))
  })

/** Of a page that had no more time than was left of the whole stream's. */
const endedByDeadline = (error: Failure, deadline: number): error is CqlError =>
  error._tag === "CqlError" && error.reason._tag === "ClientTimeout" && error.reason.phase !== "attempt" &&
  // A timer may be early by less than a millisecond.
  performance.now() >= deadline - 1

const streamTimedOut = ({ text }: WithText, { streamMillis }: Settings, page?: CqlError): CqlError =>
  Errors.make({
    reason: Errors.clientTimeout("stream", streamMillis),
    statement: text,
    coordinator: page?.coordinator,
    attempts: page?.attempts,
    cause: page?.driverError
  })

class Pager<A> {
  private readonly core: Core
  private readonly query: Query
  private readonly settings: Settings
  private readonly options: PagingOptions
  private pageState: Buffer | undefined
  private taken = 0
  private isLast = false
  private ahead: Effect.Effect<DecodedPage<A>, Failure | Cause.Done> | undefined
  /** Of all pages, from the first time that one is asked for. */
  private deadline: number | undefined

  constructor(core: Core, query: Query, settings: Settings, options: PagingOptions) {
    this.core = core
    this.query = query
    this.settings = settings
    this.options = options
  }

  pull(scope: Scope.Scope): Pull.Pull<DecodedPage<A>, Failure> {
    if (this.ahead !== undefined) return this.ahead
    if (this.isLast) return Cause.done()
    // Whoever takes no more than the first page must not pay for a second one.
    if (this.taken === 0 || this.options.pagesAhead === 0) return this.takeNext()
    return Effect.flatMap(this.startAhead(scope), (ahead) => {
      this.ahead = ahead
      return ahead
    })
  }

  private takeNext(): Effect.Effect<DecodedPage<A>, Failure> {
    return Effect.map(this.fetch(), (page) => {
      this.count(page)
      this.taken++
      this.pageState = page.pageState
      this.isLast = page.pageState === undefined || this.taken >= this.options.maxPages
      return page
    })
  }

  private count({ rows }: DecodedPage<A>): void {
    const { counts } = this.core.shared
    if (counts === undefined) return
    counts.streamedPages.add()
    counts.streamedRows.add(rows.length)
  }

  private fetch(): Effect.Effect<DecodedPage<A>, Failure> {
    return Effect.suspend(() => {
      const { query, settings } = this
      this.deadline ??= performance.now() + settings.streamMillis
      if (performance.now() >= this.deadline) return Effect.fail(streamTimedOut(query, settings))
      if (this.deadline >= deadlineOf(settings)) return this.fetchBefore(undefined)
      return Effect.mapError(
        this.fetchBefore(this.deadline),
        (error) => endedByDeadline(error, this.deadline!) ? streamTimedOut(query, settings, error) : error
      )
    })
  }

  private fetchBefore(deadline: number | undefined): Effect.Effect<DecodedPage<A>, Failure> {
    const { core, query, settings } = this
    const { from, token } = this.options
    if (this.taken > 0 || from === undefined) {
      return request(core, query, settings, { pageState: this.pageState, deadline, token }, decodePage<A>(core))
    }
    const invalid = (reason: Errors.Reason): Effect.Effect<never, CqlError> =>
      Effect.fail(Errors.make({ reason, statement: query.text }))
    const wanted: PageWanted = { pageState: from.state, resumes: from, deadline, token }
    const first = request(core, query, settings, wanted, (outcome) => {
      const problem = outcome.page === null ? undefined : PageStates.problemOfColumns(from, outcome.page.columns)
      return problem === undefined ? decodePage<A>(core)(outcome) : invalid(problem)
    })
    return Effect.catchTag(first, "CqlError", (error) => {
      const problem = PageStates.problemOfServer(error.reason)
      return problem === undefined ? Effect.fail(error) : invalid(problem)
    })
  }

  /** A fiber in the stream's scope that stays as many pages ahead as there are permits. */
  private startAhead(
    scope: Scope.Scope
  ): Effect.Effect<Effect.Effect<DecodedPage<A>, Failure | Cause.Done>> {
    return Effect.gen({ self: this }, function*() {
      const fetched = yield* Queue.unbounded<DecodedPage<A>, Failure | Cause.Done>()
      const permits = Semaphore.makeUnsafe(this.options.pagesAhead)
      const fetchAll = Effect.gen({ self: this }, function*() {
        while (!this.isLast) {
          yield* Semaphore.take(permits, 1)
          yield* Queue.offer(fetched, yield* this.takeNext())
        }
        yield* Queue.end(fetched)
      })
      yield* Effect.forkIn(Effect.catchCause(fetchAll, (cause) => Queue.failCause(fetched, cause)), scope)
      return Effect.tap(Queue.take(fetched), () => Semaphore.release(permits, 1))
    })
  }
}
