/**
 * `effect-cassandra import`
 */
import { Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Stdio from "effect/Stdio"
import type { Format } from "../Export.ts"
import * as CqlImport from "../Import.ts"
import * as TableSchema from "../internal/tableSchema.ts"
import { Session } from "../Session.ts"
import type { TransferError } from "../TransferError.ts"
import * as Arguments from "./arguments.ts"
import * as Checkpoint from "./checkpoint.ts"
import * as Connection from "./connection.ts"
import * as Display from "./display.ts"
import * as Failures from "./failures.ts"
import type { Reported } from "./report.ts"
import { NotDone, reported, UsageError } from "./report.ts"
import { resumable, running, summarized } from "./running.ts"

const flags = {
  table: Arguments.table,
  from: Flag.String("from").pipe(
    Flag.withMetavar("<directory|file|->"),
    Flag.withDescription("Directory of an export, a file, or - for standard input")
  ),
  format: Arguments.maybe(
    Arguments.format,
    "Of a file or of standard input, by default csv for a name that ends so, and else jsonLines"
  ),
  onFailure: Flag.Literals("on-failure", ["stop", "continue"]).pipe(
    Flag.withDescription("After a row that cannot be written, by default stop"),
    Flag.withDefault("stop")
  ),
  rejected: Arguments.maybe(
    Flag.String("rejected"),
    "File to make of what was not written, and why; with it the import continues"
  ),
  resume: Arguments.yes("resume", "Go on with an import that did not come to its end"),
  checkpoint: Arguments.maybe(
    Flag.String("checkpoint"),
    "File that says how far it is, by default one beside what is imported"
  ),
  concurrency: Arguments.concurrency("Statements in flight at a time, by default up to 64"),
  nullText: Arguments.nullText,
  quiet: Arguments.quiet
} as const

type Input = Command.Command.Config.Infer<typeof flags>

// --- where from

type Source =
  | { readonly kind: "input" }
  | { readonly kind: "file"; readonly bytes: number }
  | { readonly kind: "directory" }

const sourceOf = Effect.fnUntraced(function*(
  input: Input
): Effect.fn.Return<Source, UsageError | NotDone, FileSystem.FileSystem> {
  const { format, from, nullText, rejected, resume } = input
  const files = yield* FileSystem.FileSystem
  if (rejected !== undefined && !resume && !(yield* isAbsentOrEmpty(rejected))) {
    return yield* refuse(`there is a file ${rejected} already: remove it, or give another one to --rejected`)
  }
  const isNullTextWrong = nullText !== undefined && formatOf(input) !== "csv"
  const noNullText = refuse("--null-text is for CSV: in JSON, null is a word")
  if (Arguments.isStandard(from)) {
    if (resume) return yield* refuse("standard input has no beginning to go on from")
    return isNullTextWrong ? yield* noNullText : { kind: "input" }
  }
  const { size, type } = yield* Effect.mapError(files.stat(from), () => new NotDone({ message: cannotRead(from) }))
  if (type !== "File" && type !== "Directory") {
    return yield* refuse(`${from} cannot be read from any place of it, as a file can: pipe it into --from -`)
  }
  if (rejected !== undefined && (yield* isSame(rejected, from))) {
    return yield* refuse("--rejected is what is imported: give another file")
  }
  if (type === "File") return isNullTextWrong ? yield* noNullText : { kind: "file", bytes: Number(size) }
  return format === undefined && nullText === undefined
    ? { kind: "directory" }
    : yield* refuse(
      "--format and --null-text are for a file or standard input: the manifest of a directory says its own"
    )
})

const isAbsentOrEmpty = (path: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.use((files) => files.stat(path)).pipe(
    Effect.map(({ size }) => Number(size) === 0),
    Effect.orElseSucceed(() => true)
  )

/** By whatever links. */
const isSame = (one: string, other: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  FileSystem.FileSystem.use((files) => Effect.all([files.realPath(one), files.realPath(other)])).pipe(
    Effect.map(([one, other]) => one === other),
    Effect.orElseSucceed(() => false)
  )

const cannotRead = (path: string): string => `there is no file and no directory ${path} that can be read`

const refuse = (message: string): Effect.Effect<never, UsageError> => Effect.fail(new UsageError({ message }))

const formatOf = ({ format, from }: Input): Format => format ?? (/\.csv$/i.test(from) ? "csv" : "jsonLines")

// --- into the table

const importRows = Effect.fnUntraced(function*(input: Input, source: Source) {
  const table = yield* TableSchema.make(yield* Session, input.table)
  const schema = TableSchema.ofWrites(table)
  const failures = yield* Failures.make(input, schema)
  const work = (begun: Effect.Effect<void>) =>
    Display.withProgress(input.table, input.quiet, (tell) => {
      const total = source.kind === "file" ? source.bytes : undefined
      const options: Options = {
        table: input.table,
        schema,
        concurrency: input.concurrency,
        onFailure: failures.onFailure,
        onProgress: (progress) => Effect.andThen(begun, tell(toShow(progress, total)))
      }
      return importFrom(input, source, table, options)
    })
  const whole = source.kind === "input" ? reported(work(Effect.void)) : resumable("--resume", work)
  const summary = ({ rows }: CqlImport.Result): string => `${Display.count(rows)} rows imported into ${input.table}`
  const { notWritten } = yield* summarized(input.quiet, whole, summary)
  if (notWritten > 0) yield* new NotDone({ message: failures.summary(notWritten) })
})

type Options = CqlImport.Options<TableSchema.WriteSchema, TransferError | PlatformError>

const importFrom = Effect.fnUntraced(function*(
  input: Input,
  { kind }: Source,
  table: TableSchema.TableSchema,
  options: Options
) {
  const format = formatOf(input)
  const { nullText } = input
  if (kind === "input") {
    const { stdin } = yield* Stdio.Stdio
    return yield* CqlImport.fromStream({ ...options, bytes: stdin, format, nullText })
  }
  const checkpoint = yield* Checkpoint.make(kind, input.from, table, input)
  if (kind === "directory") {
    return yield* CqlImport.fromDirectory({ ...options, path: input.from, checkpoint: checkpoint.path })
  }
  const files = yield* FileSystem.FileSystem
  const { from, keep } = checkpoint
  const bytes = (offset: number) => files.stream(input.from, { offset })
  const result = yield* CqlImport.fromStream({ ...options, bytes, format, nullText, from, onCheckpoint: keep })
  yield* checkpoint.remove
  return result
})

const toShow = (
  { bytes, rows, totalBytes }: CqlImport.Progress,
  total: number | undefined
): Display.Progress => ({ done: bytes, total: totalBytes ?? total, unit: "bytes", rows })

export const importTable: Command.Command<"import", Input & Connection.Given, {}, Reported, Command.Environment> =
  Command.make(
    "import",
    { ...flags, ...Connection.flags },
    (input) => running(input, sourceOf(input), (source) => importRows(input, source))
  ).pipe(
    Command.withDescription("Writes the rows of files, or of standard input, into a table."),
    Command.withExamples([
      { command: "effect-cassandra import shop.users --from users", description: "What export has written" },
      {
        command: "effect-cassandra import shop.users --from users.csv --rejected rejected.jsonl",
        description: "All that can be written, and a file of what cannot"
      }
    ])
  )
