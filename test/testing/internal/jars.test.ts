import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Jars from "../../../src/testing/internal/jars.ts"
import { makeTether, pathWith, script, temporaryFolder, withVariables } from "../support.ts"

/** A Maven that delivers two jars, and counts how often it is asked. */
const makeMaven = Effect.fnUntraced(function*(download = "") {
  const folder = yield* temporaryFolder
  yield* script(
    join(folder, "bin"),
    "mvn",
    `[ "$1" = --version ] && exit 0
echo >> "${folder}/calls"
grep -q '<version>5.0.6</version>' pom.xml || exit 9
mkdir -p result/lib
echo one > result/lib/one.jar
echo two > result/lib/two.jar
echo '[INFO] Downloaded from there: there/one.jar (1 kB at 1 kB/s)'
echo '[INFO] Downloaded from there: there/two.pom (1 kB at 1 kB/s)'
echo '[INFO] Downloaded from there: there/two.jar (1 kB at 1 kB/s)'
${download}`
  )
  const messages: Array<string> = []
  return {
    cacheFolder: join(folder, "cache"),
    messages,
    calls: Effect.promise(() => readFile(join(folder, "calls"), "utf8")).pipe(Effect.map((text) => text.length)),
    resolve: Jars.resolve({
      version: "5.0.6",
      cacheFolder: join(folder, "cache"),
      java: { home: "/nowhere", version: 17 },
      report: ({ detail, message }) => Effect.sync(() => messages.push(detail ?? message))
    }).pipe(withVariables({ PATH: pathWith(join(folder, "bin")) }))
  }
})

const list = (folder: string) => Effect.promise(() => readdir(folder))

describe("resolve", () => {
  it.effect("downloads once, and says so", () =>
    Effect.gen(function*() {
      const maven = yield* makeMaven()
      const folder = yield* maven.resolve
      assert.deepStrictEqual(yield* list(folder), ["one.jar", "two.jar"])
      assert.deepStrictEqual(maven.messages, ["Getting Apache Cassandra 5.0.6 from Maven, once", "1 jars", "2 jars"])
      assert.strictEqual(yield* maven.resolve, folder)
      assert.strictEqual(yield* maven.calls, 1)
      assert.deepStrictEqual(yield* list(maven.cacheFolder), ["cassandra-5.0.6"])
    }))

  it.effect("downloads again what was lost or cut off", () =>
    Effect.gen(function*() {
      const maven = yield* makeMaven()
      const folder = yield* maven.resolve
      yield* Effect.promise(() => writeFile(join(folder, "one.jar"), "o"))
      yield* maven.resolve
      assert.strictEqual(yield* Effect.promise(() => readFile(join(folder, "one.jar"), "utf8")), "one\n")
      yield* Effect.promise(() => rm(join(folder, "two.jar")))
      yield* maven.resolve
      assert.deepStrictEqual(yield* list(folder), ["one.jar", "two.jar"])
      assert.strictEqual(yield* maven.calls, 3)
      assert.deepStrictEqual(yield* list(maven.cacheFolder), ["cassandra-5.0.6"])
    }))

  it.effect("lets two find the same jars at once", () =>
    Effect.gen(function*() {
      const maven = yield* makeMaven()
      const [one, two] = yield* Effect.all([maven.resolve, maven.resolve], { concurrency: 2 })
      assert.strictEqual(one, two)
      assert.deepStrictEqual(yield* list(one), ["one.jar", "two.jar"])
      assert.deepStrictEqual(yield* list(maven.cacheFolder), ["cassandra-5.0.6"])
    }))

  it.effect("fails with what Maven says, without its advice", () =>
    Effect.gen(function*() {
      const maven = yield* makeMaven("echo '[ERROR] No such version'; echo '[ERROR] '; echo '[ERROR] Try -X'; exit 1")
      const error = yield* Effect.flip(maven.resolve)
      assert.strictEqual(error._tag, "DownloadError")
      assert.strictEqual(error.message, "mvn ended with code 1")
      assert.deepStrictEqual(error._tag === "DownloadError" && error.log, ["No such version"])
      assert.deepStrictEqual(yield* list(maven.cacheFolder), [])
    }))

  it.effect("leaves nothing behind when it is interrupted", () =>
    Effect.gen(function*() {
      const tether = yield* makeTether
      const maven = yield* makeMaven(tether.command)
      const fiber = yield* Effect.forkChild(maven.resolve)
      yield* tether.bothLive
      yield* Fiber.interrupt(fiber)
      yield* tether.bothGone
      assert.deepStrictEqual(yield* list(maven.cacheFolder), [])
    }))

  it.effect("fails where there is no Maven", () =>
    Effect.gen(function*() {
      const maven = yield* makeMaven()
      const empty = yield* temporaryFolder
      const error = yield* Effect.flip(
        withVariables({ PATH: empty })(
          Jars.resolve({
            version: "5.0.6",
            cacheFolder: maven.cacheFolder,
            java: { home: "/nowhere", version: 17 },
            report: () => Effect.void
          })
        )
      )
      assert.strictEqual(error._tag, "NoMaven")
    }))
})
