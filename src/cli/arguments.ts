/**
 * Arguments and flags that several commands have.
 */
import { Argument, Flag } from "effect/cli"
import * as Option from "effect/Option"
import * as Names from "../internal/cql/names.ts"
import { isNullText } from "../internal/transfer/exporting.ts"
import { cql } from "../Session.ts"
import type { Fragment } from "../Statement.ts"

/** A flag that may be left out. */
export const maybe = <A>(flag: Flag.Flag<A>, description: string): Flag.Flag<A | undefined> =>
  flag.pipe(Flag.withDescription(description), Flag.optional, Flag.map(Option.getOrUndefined))

/** A flag that is there or not. */
export const yes = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

export const table: Argument.Argument<string> = Argument.String("table").pipe(
  Argument.withDescription("As CQL names it: shop.users, or 'shop.\"Users\"' with capitals"),
  Argument.filter((name) => Names.parse(name) !== undefined, () => "the name of a table, as CQL writes it")
)

export const concurrency = (description: string): Flag.Flag<number | undefined> => {
  const flag = Flag.Int("concurrency").pipe(
    Flag.filter((value) => value >= 1 && value <= 1024, () => "a whole number from 1 to 1024")
  )
  return maybe(flag, description)
}

export const columns: Flag.Flag<ReadonlyArray<string> | undefined> = maybe(
  Flag.String("columns").pipe(
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(parseColumns(text)),
      () => "names of columns, separated by commas"
    )
  ),
  "Names separated by commas, by default all"
)

/** Commas separate, but not in quotes. */
function parseColumns(text: string): ReadonlyArray<string> | undefined {
  const names = text.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map(Names.parse)
  return names.every((parsed) => parsed !== undefined && parsed.keyspace === undefined)
    ? names.map((parsed) => parsed!.name)
    : undefined
}

export const where: Flag.Flag<string | undefined> = maybe(
  Flag.String("where"),
  "Condition that the server filters rows by, such as 'year = 2024' (ALLOW FILTERING)"
)

export const conditionOf = (where: string | undefined): Fragment | undefined =>
  where === undefined ? undefined : cql.unsafe(where)

export const format: Flag.Flag<"jsonLines" | "csv"> = Flag.Literals("format", ["jsonLines", "csv"])

export const nullText: Flag.Flag<string | undefined> = maybe(
  Flag.String("null-text").pipe(
    Flag.filter(isNullText, () => "a text without quotes, commas and line breaks")
  ),
  "What stands in CSV for null, without quotes; by default nothing"
)

export const quiet: Flag.Flag<boolean> = yes("quiet", "No progress and no summary").pipe(Flag.withAlias("q"))

/** Standard output, or standard input. */
export const isStandard = (path: string): boolean => path === "-"
