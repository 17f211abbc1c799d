/**
 * What becomes of rows that an import cannot write.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type { RowFailure } from "../Import.ts"
import type { WriteSchema } from "../internal/tableSchema.ts"
import * as Display from "./display.ts"
import { UsageError } from "./report.ts"

export interface Failures {
  /** `undefined` where the first one ends the import. */
  readonly onFailure: ((failure: Failure) => Effect.Effect<void, PlatformError>) | undefined
  /** Of how many there were. */
  readonly summary: (count: number) => string
}

type Failure = RowFailure<WriteSchema["Type"]>

export interface Options {
  readonly onFailure: "stop" | "continue"
  readonly rejected: string | undefined
  readonly resume: boolean
}

/** Into the file of rejected rows, if there is one, and else told on standard error, the first of them. */
export const make = Effect.fnUntraced(function*(
  { onFailure, rejected, resume }: Options,
  schema: WriteSchema
): Effect.fn.Return<Failures, PlatformError | UsageError, FileSystem.FileSystem> {
  if (rejected !== undefined) return yield* intoFile(rejected, resume, schema)
  return { onFailure: onFailure === "stop" ? undefined : tellFirst(), summary: notWritten }
})

const notWritten = (count: number): string =>
  `${Display.count(count)} ${count === 1 ? "row was" : "rows were"} not written`

const mostTold = 10

const tellFirst = (): (failure: Failure) => Effect.Effect<void> => {
  let told = 0
  return ({ error }) => {
    told++
    return told > mostTold ? Effect.void : Display.lines([`effect-cassandra: ${error.message}`])
  }
}

const intoFile = Effect.fnUntraced(function*(
  path: string,
  resume: boolean,
  schema: WriteSchema
): Effect.fn.Return<Failures, PlatformError | UsageError, FileSystem.FileSystem> {
  const files = yield* FileSystem.FileSystem
  const encode = Schema.encodeEffect(Schema.toCodecJson(schema))
  const known = resume ? yield* tidied(files, path) : new Set<string>()
  yield* files.writeFileString(path, "", { flag: "a" })
  const onFailure = Effect.fnUntraced(function*({ error, line, part, row }: Failure) {
    if (known.has(placeOf({ part, line }))) return
    const encoded = row === undefined ? undefined : yield* Effect.orElseSucceed(encode(row), () => undefined)
    const text = JSON.stringify({ part, line, error: error.message, row: encoded })
    yield* files.writeFileString(path, `${text}\n`, { flag: "a" })
  })
  return { onFailure, summary: (count) => `${notWritten(count)}: see ${path}` }
})

const Rejected = Schema.fromJsonString(
  Schema.Struct({ part: Schema.optional(Schema.String), line: Schema.Int, error: Schema.String })
)

const placeOf = ({ line, part }: { readonly part?: string | undefined; readonly line: number }): string =>
  `${part}\n${line}`

/**
 * The rows that are in the file already: those behind the last checkpoint are rejected once more. A line that the end of
 * a process has cut short is taken away.
 */
const tidied = Effect.fnUntraced(function*(
  files: FileSystem.FileSystem,
  path: string
): Effect.fn.Return<ReadonlySet<string>, PlatformError | UsageError> {
  if (!(yield* files.exists(path))) return new Set()
  const text = yield* files.readFileString(path)
  const whole = text.slice(0, text.lastIndexOf("\n") + 1)
  const lines = whole.split("\n").slice(0, -1)
  const places = yield* Effect.mapError(
    Effect.forEach(lines, (line) => Effect.map(Schema.decodeUnknownEffect(Rejected)(line), placeOf)),
    () => new UsageError({ message: `${path} is no file of rejected rows: give another one to --rejected` })
  )
  if (whole.length < text.length) yield* files.truncate(path, Buffer.byteLength(whole))
  return new Set(places)
})
