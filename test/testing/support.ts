/**
 * Temporary folders, scripts, and ways to see that processes and folders go.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { existsSync, watch } from "node:fs"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"

export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "effect-cassandra-test-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

/** A shell script that can be run. */
export const script = (folder: string, name: string, text: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  })

/** Replaces the environment variables that an Effect reads. */
export const withVariables = (env: Record<string, string>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

/** The path of this process with another folder before it. */
export const pathWith = (folder: string): string => `${folder}${delimiter}${process.env["PATH"]}`

/** Waits until a folder is no more. */
export const removal = (folder: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const watcher = watch(dirname(folder), check)
    function check(): void {
      if (existsSync(folder)) return
      watcher.close()
      resume(Effect.void)
    }
    check()
    return Effect.sync(() => watcher.close())
  })

/** Only true of a process whose end its parent has not seen. */
export const isAlive = (processId: number): boolean => {
  try {
    return process.kill(processId, 0)
  } catch {
    return false
  }
}

/** Processes hold a connection to it for as long as they live. */
export interface Tether {
  /** A command that holds on to it, together with a process that it starts. */
  readonly command: string
  /** Both have come. */
  readonly bothLive: Effect.Effect<void>
  /** Both have come and gone. */
  readonly bothGone: Effect.Effect<void>
}

export const makeTether: Effect.Effect<Tether, never, Scope.Scope> = Effect.gen(function*() {
  const bothLive = yield* Deferred.make<void>()
  const bothGone = yield* Deferred.make<void>()
  let come = 0
  let gone = 0
  const server = createServer((socket) => {
    if (++come === 2) Deferred.doneUnsafe(bothLive, Effect.void)
    socket.on("error", () => {})
    socket.on("close", () => ++gone === 2 && Deferred.doneUnsafe(bothGone, Effect.void))
    socket.resume()
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )
  const hold = `require("net").connect(${port}, "127.0.0.1")`
  return {
    command: `"${process.execPath}" -e '${hold}' & exec "${process.execPath}" -e '${hold}'`,
    bothLive: Deferred.await(bothLive),
    bothGone: Deferred.await(bothGone)
  }
})
