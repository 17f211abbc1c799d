/**
 * One export at a time in a directory: two would write into the same files.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { hostname } from "node:os"
import type { TransferError } from "../../TransferError.ts"
import { PathInUse } from "../../TransferError.ts"
import { fail } from "./failure.ts"
import type { Directory } from "./files.ts"

export const lockName = "export.lock"

/** Those of this process; in a container every process may have the same number. */
const held = new Set<string>()

/** Until the scope closes. What a process of this machine has left that has ended is taken over. */
export const lock = (directory: Directory): Effect.Effect<void, TransferError, Scope> =>
  Effect.asVoid(Effect.acquireRelease(take(directory), () => release(directory)))

const take = Effect.fnUntraced(function*(directory: Directory): Effect.fn.Return<void, TransferError> {
  const path = directory.pathOf(lockName)
  if (held.has(path)) return yield* inUse(directory, "this process")
  if (!(yield* directory.create(lockName, owner))) {
    const other = yield* directory.readText(lockName)
    if (other !== undefined && !hasEnded(other)) return yield* inUse(directory, other.trim())
    yield* directory.remove(lockName)
    if (!(yield* directory.create(lockName, owner))) return yield* inUse(directory, "another process")
  }
  held.add(path)
})

const release = (directory: Directory): Effect.Effect<void> =>
  Effect.suspend(() => {
    held.delete(directory.pathOf(lockName))
    return Effect.ignore(directory.remove(lockName))
  })

const owner = `process ${process.pid} on ${hostname()}\n`

/** One of another machine cannot be asked. */
const hasEnded = (text: string): boolean => {
  const [, id, host] = /^process (\d+) on (.*)$/.exec(text.trim()) ?? []
  if (id === undefined || host !== hostname()) return false
  return Number(id) === process.pid || !isRunning(Number(id))
}

const isRunning = (id: number): boolean => {
  try {
    process.kill(id, 0)
    return true
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

const inUse = ({ path, pathOf }: Directory, by: string): Effect.Effect<never, TransferError> =>
  fail(
    new PathInUse({
      path,
      message: `${path} is being exported to by ${by}: if that is not so, remove ${pathOf(lockName)}`
    })
  )
