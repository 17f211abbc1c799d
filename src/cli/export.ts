/**
 * `effect-cassandra export`
 */
import { Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as CqlExport from "../Export.ts"
import * as TableSchema from "../internal/tableSchema.ts"
import { Session } from "../Session.ts"
import * as Arguments from "./arguments.ts"
import * as Connection from "./connection.ts"
import * as Display from "./display.ts"
import type { Reported } from "./report.ts"
import { UsageError } from "./report.ts"
import { resumable, running, summarized } from "./running.ts"

const flags = {
  table: Arguments.table,
  to: Flag.String("to").pipe(
    Flag.withMetavar("<directory|->"),
    Flag.withDescription("Directory to make, or - for standard output")
  ),
  format: Arguments.format.pipe(
    Flag.withDescription("How rows are written, by default jsonLines"),
    Flag.withDefault("jsonLines")
  ),
  columns: Arguments.columns,
  where: Arguments.where,
  concurrency: Arguments.concurrency("Token ranges that are read at a time, by default 4"),
  resume: Arguments.yes("resume", "Go on with an export that did not come to its end"),
  overwrite: Arguments.yes("overwrite", "Take the place of an export that is there already"),
  nullText: Arguments.nullText,
  writeTime: Arguments.yes("write-time", "Also when each value was written"),
  ttl: Arguments.yes("ttl", "Also in how many seconds each value expires"),
  quiet: Arguments.quiet
} as const

type Input = Command.Command.Config.Infer<typeof flags>

const check = ({ overwrite, resume, to }: Input): Effect.Effect<void, UsageError> =>
  resume && overwrite
    ? refuse("--resume goes on, and --overwrite begins anew: give one of them")
    : Arguments.isStandard(to) && (resume || overwrite)
    ? refuse("--resume and --overwrite are for a directory, and not for standard output")
    : Effect.void

const refuse = (message: string): Effect.Effect<never, UsageError> => Effect.fail(new UsageError({ message }))

const exportRows = Effect.fnUntraced(function*(input: Input) {
  const { schema } = yield* TableSchema.make(yield* Session, input.table, input.columns)
  const options: Options = { ...input, schema, where: Arguments.conditionOf(input.where) }
  const summary = (rows: number): string => `${Display.count(rows)} rows of ${input.table} exported`
  if (Arguments.isStandard(input.to)) return yield* summarized(input.quiet, toOutput(options), summary)
  return yield* summarized(input.quiet, toDirectory(options, existing(input)), summary)
})

interface Options extends CqlExport.Options<TableSchema.RowSchema> {
  readonly to: string
  readonly quiet: boolean
}

const existing = ({ overwrite, resume }: Input): "resume" | "overwrite" | "refuse" =>
  resume ? "resume" : overwrite ? "overwrite" : "refuse"

const toOutput = Effect.fnUntraced(function*(options: Options) {
  const { stdout, stdoutIsTerminal } = yield* Stdio.Stdio
  // A bar would be among the rows.
  const isQuiet = options.quiet || (yield* stdoutIsTerminal)
  let rows = 0
  yield* Display.withProgress(options.table, isQuiet, (tell) => {
    const onProgress = (progress: CqlExport.Progress): Effect.Effect<void> => {
      rows = progress.rows
      return tell(toShow(progress))
    }
    return Stream.run(CqlExport.toStream({ ...options, onProgress }), stdout())
  })
  return rows
})

const toDirectory = (options: Options, existing: "resume" | "overwrite" | "refuse") =>
  Effect.map(
    resumable(existing === "overwrite" ? "--resume in place of --overwrite" : "--resume", (begun) =>
      Display.withProgress(options.table, options.quiet, (tell) => {
        const onProgress = (progress: CqlExport.Progress): Effect.Effect<void> =>
          Effect.andThen(begun, tell(toShow(progress)))
        return CqlExport.toDirectory({ ...options, path: options.to, existing, onProgress })
      })),
    ({ rows }) =>
      rows
  )

const toShow = ({ ranges, rangesDone, rows }: CqlExport.Progress): Display.Progress => ({
  done: rangesDone,
  total: ranges,
  unit: "ranges",
  rows
})

export const exportTable: Command.Command<"export", Input & Connection.Given, {}, Reported, Command.Environment> =
  Command.make(
    "export",
    { ...flags, ...Connection.flags },
    (input) => running(input, check(input), () => exportRows(input))
  ).pipe(
    Command.withDescription("Writes the rows of a table to files, or to standard output."),
    Command.withExamples([
      {
        command: "effect-cassandra export shop.users --to users",
        description: "Into files of JSON Lines, and a manifest of them"
      },
      {
        command: "effect-cassandra export shop.users --to users --resume",
        description: "Goes on after Ctrl-C, or after a failure"
      },
      {
        command: "effect-cassandra export shop.users --to - --format csv > users.csv",
        description: "To standard output"
      }
    ])
  )
