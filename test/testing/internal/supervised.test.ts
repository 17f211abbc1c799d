import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Supervised from "../../../src/testing/internal/supervised.ts"
import { makeTether, removal, temporaryFolder } from "../support.ts"

const shell = (text: string) => ({ command: "/bin/sh", args: ["-c", text], env: process.env })

const newFolder = Effect.map(temporaryFolder, (folder) => join(folder, "supervised"))

describe("run", () => {
  it.effect("tells every line of both outputs before the end", () =>
    Effect.gen(function*() {
      const supervised = yield* Supervised.make(yield* newFolder)
      const lines: Array<string> = []
      const ended = yield* supervised.run(
        shell("for i in $(seq 1000); do echo $i; done; echo error >&2; printf last; exit 3"),
        { onLine: (line) => Effect.sync(() => lines.push(line)) }
      )
      assert.deepStrictEqual(ended, { code: 3, signal: null })
      assert.deepStrictEqual(
        lines.filter((line) => /^\d+$/.test(line)),
        Array.from({ length: 1000 }, (_, i) => `${i + 1}`)
      )
      assert.includeMembers(lines, ["error", "last"])
    }))

  it.effect("runs in its folder, one command after the other", () =>
    Effect.gen(function*() {
      const folder = yield* newFolder
      yield* Effect.scoped(Effect.gen(function*() {
        const supervised = yield* Supervised.make(folder)
        yield* supervised.run(shell("echo one > file"), {})
        assert.deepStrictEqual(yield* supervised.run(shell("grep -q one file"), {}), { code: 0, signal: null })
      }))
      assert.isFalse(existsSync(folder))
    }))

  it.effect("fails where there is no such command", () =>
    Effect.gen(function*() {
      const supervised = yield* Supervised.make(yield* newFolder)
      const error = yield* Effect.flip(supervised.run({ command: "no-such-command", args: [], env: {} }, {}))
      assert.include(error.message, "ENOENT")
    }))
})

describe("make", () => {
  it.effect("fails where the folder cannot be made", () =>
    Effect.gen(function*() {
      const file = yield* newFolder
      yield* Effect.promise(() => writeFile(file, ""))
      const error = yield* Effect.flip(Supervised.make(join(file, "below")))
      assert.include(error.message, "ENOTDIR")
    }))

  it.effect("ends with its scope, and what runs with it", () =>
    Effect.gen(function*() {
      const folder = yield* newFolder
      const tether = yield* makeTether
      const scope = yield* Scope.make()
      const supervised = yield* Scope.provide(Supervised.make(folder), scope)
      yield* Effect.forkChild(supervised.run(shell(tether.command), {}))
      yield* tether.bothLive
      yield* Scope.close(scope, Exit.void)
      yield* tether.bothGone
      assert.isFalse(existsSync(folder))
    }))

  it.effect("ends with its owner, even one that is killed", () =>
    Effect.gen(function*() {
      const folder = yield* newFolder
      const tether = yield* makeTether
      const owner = spawn(process.execPath, [ownerFile, folder, tether.command], { stdio: "inherit" })
      yield* tether.bothLive
      assert.isTrue(existsSync(folder))
      owner.kill("SIGKILL")
      yield* tether.bothGone
      yield* removal(folder)
    }))

  it.effect("cleans up itself where the supervisor was killed", () =>
    Effect.gen(function*() {
      const folder = yield* newFolder
      const tether = yield* makeTether
      const scope = yield* Scope.make()
      const supervised = yield* Scope.provide(Supervised.make(folder), scope)
      const supervisor = yield* Deferred.make<number>()
      const running = yield* supervised.run(shell(`echo $PPID; ${tether.command}`), {
        onLine: (line) => Deferred.succeed(supervisor, Number(line))
      }).pipe(Effect.flip, Effect.forkChild)
      yield* tether.bothLive
      process.kill(yield* Deferred.await(supervisor), "SIGKILL")
      assert.include((yield* Fiber.join(running)).message, "SIGKILL")
      yield* Scope.close(scope, Exit.void)
      yield* tether.bothGone
      assert.isFalse(existsSync(folder))
    }))
})

const ownerFile = fileURLToPath(new URL("./supervisedOwner.ts", import.meta.url))
