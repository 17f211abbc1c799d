/**
 * Child processes and a folder that cannot outlive this process, not even when it is killed: the owner's side of
 * `supervisor.ts`.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { rm } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { inRealTime } from "./realTime.ts"
import type { Command, Event } from "./supervisor.ts"

/** A process could not be started, or the supervisor is gone. */
export class SupervisedError extends Data.TaggedError("SupervisedError")<{ readonly message: string }> {}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: string | null
}

/** Told while a process runs. */
export interface Listener {
  readonly onStart?: ((processId: number) => Effect.Effect<void>) | undefined
  readonly onLine?: ((line: string) => Effect.Effect<void>) | undefined
}

/** A folder and the right to run one process at a time in it. */
export interface Supervised {
  readonly folder: string
  /** Runs a process to its end. An interruption leaves the process to the scope. */
  readonly run: (command: Command, listener: Listener) => Effect.Effect<Ended, SupervisedError>
}

/**
 * Makes the folder, which goes with the scope or with this process, whichever ends first, and so does whatever runs
 * in it.
 */
export const make = Effect.fnUntraced(function*(
  folder: string
): Effect.fn.Return<Supervised, SupervisedError, Scope.Scope> {
  const events = yield* Queue.unbounded<Event>()
  const supervisor = yield* Effect.acquireRelease(
    Effect.try({
      try: () => spawnSupervisor(folder, events),
      catch: (cause) => new SupervisedError({ message: String(cause) })
    }),
    release
  )
  yield* expectReady(events)
  return {
    folder,
    run: (command, listener) =>
      Effect.andThen(
        Effect.sync(() => supervisor.process.send(command, () => {})),
        follow(events, supervisor, listener)
      )
  }
})

// internal

interface Supervisor {
  readonly process: ChildProcess
  readonly folder: string
  childProcessId: number | undefined
}

// The compiled package holds a .js file where the sources hold a .ts file.
const supervisorFile = fileURLToPath(new URL(`./supervisor${import.meta.url.slice(-3)}`, import.meta.url))

const spawnSupervisor = (folder: string, events: Queue.Queue<Event>): Supervisor => {
  const child = spawn(process.execPath, [supervisorFile, folder], {
    // In a session of its own a Ctrl-C in the terminal reaches the owner alone, which then closes in order.
    detached: true,
    // What the owner's Node was asked for, a debugger's port for one, is not meant for this one.
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["ignore", "ignore", "ignore", "ipc"]
  })
  const failed = (message: string) => Queue.offerUnsafe(events, { _tag: "Failed", message })
  child.on("message", (event) => Queue.offerUnsafe(events, event as Event))
  child.on("error", (error) => failed(error.message))
  child.on("exit", (code, signal) => failed(`the supervisor process has ended (${signal ?? code})`))
  return { process: child, folder, childProcessId: undefined }
}

const expectReady = (events: Queue.Queue<Event>): Effect.Effect<void, SupervisedError> =>
  Effect.flatMap(
    Queue.take(events),
    (event) => event._tag === "Failed" ? Effect.fail(new SupervisedError({ message: event.message })) : Effect.void
  )

const follow = Effect.fnUntraced(function*(
  events: Queue.Queue<Event>,
  supervisor: Supervisor,
  listener: Listener
): Effect.fn.Return<Ended, SupervisedError> {
  while (true) {
    const event = yield* Queue.take(events)
    switch (event._tag) {
      case "Started": {
        supervisor.childProcessId = event.processId
        if (listener.onStart) yield* listener.onStart(event.processId)
        break
      }
      case "Line": {
        if (listener.onLine) yield* listener.onLine(event.line)
        break
      }
      case "Exited": {
        supervisor.childProcessId = undefined
        return { code: event.code, signal: event.signal }
      }
      case "Failed":
        return yield* new SupervisedError({ message: event.message })
    }
  }
})

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const release = (supervisor: Supervisor): Effect.Effect<void> =>
  disconnectAndAwaitExit(supervisor.process).pipe(
    Effect.timeoutOption("10 seconds"),
    Effect.andThen(Effect.suspend(() => supervisor.process.exitCode === 0 ? Effect.void : cleanUpInstead(supervisor))),
    inRealTime
  )

const disconnectAndAwaitExit = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (hasEnded(child) || child.pid === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    if (child.connected) child.disconnect()
  })

// The supervisor itself was killed, or hangs: its duties are ours.
const cleanUpInstead = Effect.fnUntraced(function*(supervisor: Supervisor): Effect.fn.Return<void> {
  const { childProcessId, folder, process: child } = supervisor
  // The group of the child, and not the child alone.
  yield* kill(childProcessId && -childProcessId)
  yield* kill(hasEnded(child) ? undefined : child.pid)
  yield* Effect.ignore(Effect.tryPromise(() => rm(folder, { recursive: true, force: true, maxRetries: 10 })))
})

const kill = (processId: number | undefined): Effect.Effect<void> =>
  processId === undefined
    ? Effect.void
    : Effect.ignore(Effect.try({ try: () => process.kill(processId, "SIGKILL"), catch: (cause) => cause }))
