/**
 * Short commands that end by themselves.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import type { Command } from "./supervisor.ts"

/** A command is missing, failed, or took too long. */
export class ExecuteError extends Data.TaggedError("ExecuteError")<{
  readonly message: string
  readonly output: string
}> {}

/** Runs a command to its end and returns what it wrote to both outputs; an interruption kills it. */
export const execute = ({ args, command, env }: Command): Effect.Effect<string, ExecuteError> =>
  Effect.tryPromise({
    try: (signal) => executeFile(command, args, { env, signal, timeout: 60_000, killSignal: "SIGKILL" }),
    catch: toExecuteError
  }).pipe(Effect.map(joinOutput))

// internal

const executeFile = promisify(execFile)

interface Output {
  readonly stdout?: string
  readonly stderr?: string
}

const joinOutput = ({ stderr = "", stdout = "" }: Output): string => stdout + stderr

// Where the process ran, its outputs are properties of the error.
const toExecuteError = (cause: unknown): ExecuteError => {
  const error = cause as Error & Output
  return new ExecuteError({ message: error.message, output: joinOutput(error) })
}
