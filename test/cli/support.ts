/**
 * The command line as a process of its own, from source.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { existsSync, readFileSync, watch } from "node:fs"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** The command line from source, as an argument of a shell would have it. */
export const command: ReadonlyArray<string> = [process.execPath, "--conditions=effect-cassandra-source", main]

export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  /** Over the environment of this process; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  readonly stdin?: string | undefined
  readonly cwd?: string | undefined
}

/** A process that is killed with the scope, unless it has ended. */
export const start = (
  args: ReadonlyArray<string>,
  { cwd, env, stdin }: Options = {}
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command[0]!, [...command.slice(1), ...args], {
        cwd,
        env: { ...process.env, ...env }
      })
      // It need not read all of it.
      child.stdin.on("error", () => {})
      child.stdin.end(stdin ?? "")
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** What a process has written and how it has ended, once it has. */
export const ended = (child: ChildProcess): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const [stdout, stderr] = [collected(child.stdout!), collected(child.stderr!)]
    child.once("close", (exitCode) => resume(Effect.succeed({ exitCode, stdout: stdout(), stderr: stderr() })))
  })

const collected = (stream: Readable): () => string => {
  const chunks: Array<Buffer> = []
  stream.on("data", (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}

/** Runs a command to its end. */
export const cli = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, options), ended))

/** Waits until a file in a folder, or in one that is made there, says what it is to say. */
export const untilFile = (folder: string, path: string, says: RegExp): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const watcher = watch(folder, { recursive: true }, check)
    function check(): void {
      if (!existsSync(path) || !says.test(readFileSync(path, "utf8"))) return
      watcher.close()
      resume(Effect.void)
    }
    check()
    return Effect.sync(() => watcher.close())
  })
