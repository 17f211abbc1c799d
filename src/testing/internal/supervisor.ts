/**
 * The process that stands between an owner and what it starts: plain Node code, run with the file name of a folder.
 *
 * It owns the folder and at most one child at a time, and lives exactly as long as the channel to its owner does. The
 * operating system closes that channel when the owner dies, however it dies, so neither the child nor the folder can
 * outlive it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, rmSync } from "node:fs"
import { createInterface } from "node:readline"

/** What the owner asks for. */
export interface Command {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What the owner is told, in the order in which it happened. */
export type Event =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Started"; readonly processId: number }
  | { readonly _tag: "Line"; readonly line: string }
  | { readonly _tag: "Exited"; readonly code: number | null; readonly signal: string | null }
  | { readonly _tag: "Failed"; readonly message: string }

const folder = process.argv[2]!
let child: ChildProcess | undefined
let stopping = false

// Lines go through the channel and not through an inherited pipe: a child whose owner is busy would block on a full
// pipe, and the end of the child could overtake its last words.
const tell = (event: Event): void => {
  if (process.connected) process.send!(event, () => {})
}

const forward = (stream: NodeJS.ReadableStream): void => {
  createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => tell({ _tag: "Line", line }))
}

const removeFolderAndExit = (): void => {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  process.exit(0)
}

const start = ({ args, command, env }: Command): void => {
  // A group of its own, so that what the child starts itself is ended with it.
  const started = spawn(command, args, { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "pipe"] })
  child = started
  forward(started.stdout)
  forward(started.stderr)
  started.on("spawn", () => tell({ _tag: "Started", processId: started.pid! }))
  started.on("error", (error) => tell({ _tag: "Failed", message: error.message }))
  started.on("exit", () => stopping && removeFolderAndExit())
  // Later than "exit": the last line has come.
  started.on("close", (code, signal) => {
    child = undefined
    if (stopping) removeFolderAndExit()
    else tell({ _tag: "Exited", code, signal })
  })
}

const stop = (): void => {
  if (stopping) return
  stopping = true
  if (child?.pid === undefined) return removeFolderAndExit()
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    // It ended a moment ago, and its "close" is on the way.
  }
}

// Under its own name it is not among the victims of a `killall node`.
process.title = "cassandra-guard"
process.on("disconnect", stop)
process.on("uncaughtException", (error) => {
  tell({ _tag: "Failed", message: String(error) })
  // The owner does what could not be done here, as it sees from the code.
  if (stopping) process.exit(1)
  stop()
})
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop)

mkdirSync(folder, { recursive: true, mode: 0o700 })
process.on("message", (command) => start(command as Command))
tell({ _tag: "Ready" })
// An owner that died while this file was loaded was noticed before anybody listened.
if (!process.connected) stop()
