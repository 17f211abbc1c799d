/**
 * Results as Streams: pages and rows at the reader's pace.
 *
 * Import it as `CqlStream`. `statement.stream` and `statement.pages` are the same with default options.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Stream from "effect/Stream"
import * as Check from "./internal/check.ts"
import * as Run from "./internal/run.ts"
import type { Page, Statement } from "./Statement.ts"
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

// internal

const paged = <A>(
  statement: Statement<unknown, unknown, unknown>,
  how: Run.Paged<A>,
  options: Options = {}
): Stream.Stream<A, unknown, unknown> => {
  const problem = Check.problem([
    Check.whole("pagesAhead", options.pagesAhead, 0),
    Check.whole("maxPages", options.maxPages, 1)
  ])
  return problem === undefined
    ? implementation(statement).paged(how, { ...Run.defaultPaging, ...withoutUndefined(options) })
    : Stream.fail(problem)
}

const withoutUndefined = ({ maxPages, pagesAhead }: Options): Partial<Run.PagingOptions> => ({
  ...(maxPages === undefined ? {} : { maxPages }),
  ...(pagesAhead === undefined ? {} : { pagesAhead })
})
