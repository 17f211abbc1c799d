/**
 * The command line as the main program of a process: its services, its output and its exit code.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import { CliError, CliOutput, Command } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { createRequire } from "node:module"
import { command } from "./commands.ts"
import * as Report from "./report.ts"

/** Runs the command that the arguments of the process say, and sets its exit code. */
export const run = (): void => {
  surviveClosedPipes()
  endAtSecondInterrupt()
  program(process.argv.slice(2)).pipe(
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown: (exit, onExit) => onExit(exitCodeOf(exit)) })
  )
}

/** The command of these arguments. What fails has been told on standard error. */
export const program = (args: ReadonlyArray<string>): Effect.Effect<void, unknown, Command.Environment> =>
  Command.runWith(command, { version })(args).pipe(
    Effect.provide(Layer.mergeAll(logger, presenter)),
    // A server may warn of each page.
    Effect.provideService(References.MinimumLogLevel, "Error")
  )

const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string }

/** Standard output is for rows and numbers. */
const logger = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

/** Of wrong usage, what is wrong, and not a page of help in front of it. */
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(
        [...event.errors.map(({ message }) => message), `See ${event.commandPath.join(" ")} --help`],
        (line) => Console.error(line),
        { discard: true }
      )
      : CliOutput.defaultPresenter.present(event)
})

export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (exit._tag === "Success") return Report.exitCodes.success
  if (Cause.hasInterruptsOnly(exit.cause)) return Report.exitCodes.interrupted
  const error = Cause.squash(exit.cause)
  if (error instanceof Report.Reported) return error.exitCode
  if (!CliError.isCliError(error)) return Report.exitCodes.failure
  // Without errors it is help that was shown in place of a command.
  return error._tag === "ShowHelp" && error.errors.length === 0 ? Report.exitCodes.success : Report.exitCodes.usage
}

/** Whoever wrote finds out by what the write answers; without a listener it would be an uncaught exception. */
const surviveClosedPipes = (): void => {
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
}

/** The first one interrupts, and what is under way may take a moment to end. */
const endAtSecondInterrupt = (): void => {
  process.once("SIGINT", () => process.once("SIGINT", () => process.exit(Report.exitCodes.interrupted)))
}
