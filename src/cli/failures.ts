/**
 * What becomes of rows that an import cannot write.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type { RowFailure } from "../Import.ts"
import type { WriteSchema } from "../internal/tableSchema.ts"
import type { TransferError } from "../TransferError.ts"
import * as Display from "./display.ts"

export interface Failures {
  /** `undefined` where the first one ends the import. */
  readonly onFailure: ((failure: Failure) => Effect.Effect<void, PlatformError | TransferError>) | undefined
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
): Effect.fn.Return<Failures, PlatformError, FileSystem.FileSystem> {
  if (rejected !== undefined) return yield* intoFile(rejected, resume, schema)
  return { onFailure: onFailure === "stop" ? undefined : tellFirst(), summary: notWritten }
})

const notWritten = (count: number): string =>
  `${Display.count(count)} ${count === 1 ? "row was" : "rows were"} not written`

/** What the cluster fails for now, it fails for with every row: nothing is left out for that. */
const isAboutRow = ({ reason }: TransferError): boolean =>
  reason._tag !== "RowNotWritten" || rowReasons.has(reason.error.reason._tag)

const rowReasons: ReadonlySet<string> = new Set(["InvalidQuery", "InvalidParameter", "WriteFailure"])

const mostTold = 10

const tellFirst = (): (failure: Failure) => Effect.Effect<void, TransferError> => {
  let told = 0
  return ({ error }) => {
    if (!isAboutRow(error)) return Effect.fail(error)
    told++
    return told > mostTold ? Effect.void : Display.lines([`effect-cassandra: ${error.message}`])
  }
}

const intoFile = Effect.fnUntraced(function*(
  path: string,
  resume: boolean,
  schema: WriteSchema
): Effect.fn.Return<Failures, PlatformError, FileSystem.FileSystem> {
  const files = yield* FileSystem.FileSystem
  const encode = Schema.encodeEffect(Schema.toCodecJson(schema))
  if (!resume) yield* files.writeFileString(path, "")
  const onFailure = Effect.fnUntraced(function*({ error, line, part, row }: Failure) {
    if (!isAboutRow(error)) return yield* Effect.fail(error)
    const encoded = row === undefined ? undefined : yield* Effect.orElseSucceed(encode(row), () => undefined)
    const text = JSON.stringify({ part, line, error: error.message, row: encoded })
    yield* files.writeFileString(path, `${text}\n`, { flag: "a" })
  })
  return { onFailure, summary: (count) => `${notWritten(count)}: see ${path}` }
})
