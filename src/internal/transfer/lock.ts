/**
 * One export at a time in a directory: two would write into the same files.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import type { TransferError } from "../../TransferError.ts"
import { PathInUse } from "../../TransferError.ts"
import { fail } from "./failure.ts"
import type { Directory } from "./files.ts"

export const lockName = "export.lock"

/** What those of this process say; in a container every process may have the same number. */
const held = new Map<string, string>()

/** Until the scope closes. What a process of this machine has left that has ended is taken over. */
export const lock = (directory: Directory): Effect.Effect<void, TransferError, Scope> =>
  Effect.asVoid(Effect.acquireRelease(take(directory), () => release(directory)))

const take = Effect.fnUntraced(function*(directory: Directory): Effect.fn.Return<void, TransferError> {
  const path = directory.pathOf(lockName)
  if (held.has(path)) return yield* inUse(directory, "this process")
  const owner = `process ${process.pid} on ${hostname()}\n${randomUUID()}\n`
  if (!(yield* directory.create(lockName, owner))) {
    const other = yield* directory.readText(lockName)
    if (other !== undefined && !hasEnded(other)) return yield* inUse(directory, ownerIn(other))
    yield* directory.remove(lockName)
    if (!(yield* directory.create(lockName, owner))) return yield* inUse(directory, "another process")
  }
  held.set(path, owner)
})

/** Two that take over what has been left at the same moment both have it: the first one does not any more. */
export const mustHold = (directory: Directory): Effect.Effect<void, TransferError> =>
  Effect.flatMap(directory.readText(lockName), (text) =>
    text === held.get(directory.pathOf(lockName))
      ? Effect.void
      : inUse(directory, text === undefined ? "another process" : ownerIn(text)))

const release = (directory: Directory): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isHeld = Effect.isSuccess(mustHold(directory))
    const remove = Effect.flatMap(isHeld, (isHeld) => isHeld ? Effect.ignore(directory.remove(lockName)) : Effect.void)
    return Effect.ensuring(remove, Effect.sync(() => held.delete(directory.pathOf(lockName))))
  })

const ownerIn = (text: string): string => text.trim().split("\n")[0]!

/** One of another machine cannot be asked. */
const hasEnded = (text: string): boolean => {
  const [, id, host] = /^process (\d+) on (.*)$/.exec(ownerIn(text)) ?? []
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
