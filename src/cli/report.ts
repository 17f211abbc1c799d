/**
 * What a command that failed says, and the exit code that it ends with.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { PlatformError } from "effect/PlatformError"
import * as References from "effect/References"
import * as Terminal from "effect/Terminal"
import { CqlError } from "../CqlError.ts"
import { hintOf } from "../internal/render.ts"
import { isAboutRow, systemMessage } from "../internal/transfer/failure.ts"
import { TransferError } from "../TransferError.ts"
import * as Display from "./display.ts"

export const exitCodes = {
  success: 0,
  failure: 1,
  usage: 2,
  /** As a shell says it of who was ended by SIGINT, and by SIGPIPE. */
  interrupted: 130,
  closedPipe: 141
} as const

/** What was asked for makes no sense. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** What was asked for was begun, or could have been, and is not done. */
export class NotDone extends Data.TaggedError("NotDone")<{ readonly message: string }> {}

/** A failure that standard error has been told of. */
export class Reported extends Data.TaggedError("Reported")<{ readonly exitCode: number }> {}

/** Tells standard error of what fails: in a line or two, or with `--log-level debug` all of it. */
export const reported = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Reported, R> =>
  Effect.catchCause(effect, (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    const error = Cause.squash(cause)
    if (error instanceof Reported) return Effect.fail(error)
    // Ctrl-C, where something was asked.
    if (Terminal.isQuitError(error)) return Effect.interrupt
    if (isClosedPipe(error)) return Effect.fail(new Reported({ exitCode: exitCodes.closedPipe }))
    const exitCode = error instanceof UsageError ? exitCodes.usage : exitCodes.failure
    return Effect.gen(function*() {
      const level = yield* References.MinimumLogLevel
      const isVerbose = level === "Debug" || level === "Trace" || level === "All"
      yield* Display.lines(isVerbose ? [Cause.pretty(cause)] : describe(error))
      return yield* new Reported({ exitCode })
    })
  })

const describe = (error: unknown): ReadonlyArray<string> => {
  const hint = hintFor(error)
  const message = withoutOption(messageOf(error)).replaceAll(/\s*\n\s*/g, " ")
  return [`effect-cassandra: ${message}`, ...(hint === undefined ? [] : [`  hint: ${hint}`])]
}

const messageOf = (error: unknown): string => {
  if (error instanceof Config.ConfigError) return error.cause.message
  if (error instanceof PlatformError) return systemMessage(error)
  return error instanceof Error ? error.message : String(error)
}

/** Programs read there which option of theirs decides it. */
const withoutOption = (message: string): string => message.replace(/[:;] existing: ".*$/, "")

const hintFor = (error: unknown): string | undefined => {
  if (CqlError.is(error)) return hintOf(error)
  return error instanceof TransferError ? hintForTransfer(error) : undefined
}

const hintForTransfer = (error: TransferError): string | undefined => {
  const { reason } = error
  switch (reason._tag) {
    case "PathTaken":
      return reason.by === "export" ? beginningAgain : `--resume goes on with it, ${beginningAgain}`
    case "OtherCheckpoint":
    case "DamagedPart":
      return reason.message.includes("existing:") ? beginningAgain : undefined
    case "RowNotWritten":
      return hintOf(reason.error) ?? (isAboutRow(error) ? goingOn : undefined)
    case "MalformedRow":
      return goingOn
    default:
      return undefined
  }
}

const beginningAgain = "--overwrite begins again, and takes its place when done"

const goingOn = "--on-failure continue leaves such rows out, and --rejected writes them to a file"

/** Nobody reads standard output any more, as behind `| head`. */
const isClosedPipe = (error: unknown): boolean => {
  let at: unknown = error
  while (typeof at === "object" && at !== null) {
    const { cause, code, reason } = at as {
      readonly cause?: unknown
      readonly code?: unknown
      readonly reason?: unknown
    }
    if (code === "EPIPE") return true
    at = cause ?? reason
  }
  return false
}
