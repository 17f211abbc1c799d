/**
 * `effect-cassandra count`
 */
import { Command } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as TableSchema from "../internal/tableSchema.ts"
import { Session } from "../Session.ts"
import * as CqlStream from "../Stream.ts"
import * as Arguments from "./arguments.ts"
import * as Connection from "./connection.ts"
import * as Display from "./display.ts"
import type { Reported } from "./report.ts"
import { running } from "./running.ts"

const flags = {
  table: Arguments.table,
  where: Arguments.where,
  concurrency: Arguments.concurrency("Token ranges that are counted at a time, by default 4"),
  quiet: Arguments.quiet
} as const

type Input = Command.Command.Config.Infer<typeof flags>

const countRows = Effect.fnUntraced(function*({ concurrency, quiet, table, where }: Input) {
  yield* TableSchema.describe(yield* Session, table)
  const pages = CqlStream.countPages({ table, where: Arguments.conditionOf(where), concurrency })
  const rows = yield* Display.withProgress(
    table,
    quiet,
    (tell) =>
      Stream.runFoldEffect(pages, () => 0n, (before, page) => {
        const rows = page.rows.reduce((sum, row) => sum + row.count, before)
        const progress = { done: page.rangesDone, total: page.ranges, unit: "ranges", rows: Number(rows) } as const
        return Effect.as(tell(progress), rows)
      })
  )
  const { stdout } = yield* Stdio.Stdio
  yield* Stream.run(Stream.make(`${rows}\n`), stdout())
})

export const count: Command.Command<"count", Input & Connection.Given, {}, Reported, Command.Environment> = Command
  .make(
    "count",
    { ...flags, ...Connection.flags },
    (input) => running(input, Effect.void, () => countRows(input))
  ).pipe(
    Command.withDescription("Counts the rows of a table, on the servers and by token ranges."),
    Command.withExamples([{ command: "effect-cassandra count shop.users", description: "How many users there are" }])
  )
