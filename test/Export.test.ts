import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { File } from "effect/FileSystem"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type { Path } from "effect/Path"
import * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChildProcess from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { cql, CqlExport, CqlImport, CqlStream, CqlType, Session, Statement, TransferError } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import { reasonOf } from "./support/scripted.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const Row = Schema.Struct({ k: CqlType.Int, c: CqlType.Int, v: CqlType.Nullable(Schema.String) })

type Row = typeof Row.Type

const someRows = (count: number): ReadonlyArray<Row> =>
  numbered(count).map((n) => ({ k: n % 300, c: n, v: n % 5 === 0 ? null : n % 7 === 0 ? "" : `v"${n}",\r\né🐎` }))

const createTable = Effect.fnUntraced(function*(table: string, rows: ReadonlyArray<Row>) {
  yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
  yield* Stream.fromIterable(rows).pipe(CqlStream.write({ table, schema: Row }), Stream.runDrain)
})

const newPath: Effect.Effect<string, never, FileSystem.FileSystem | Scope> = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => Effect.map(Effect.orDie(files.makeTempDirectoryScoped()), (path) => join(path, "export"))
)

/** All rows of all parts of JSON Lines, as texts in order. */
const rowsIn = (path: string): ReadonlyArray<string> =>
  Fs.readdirSync(path)
    .filter((name) => /^part-\d+\.jsonl$/.test(name))
    .flatMap((name) => Fs.readFileSync(join(path, name), "utf8").trimEnd().split("\n"))
    .filter((line) => line !== "")
    .sort()

/** Told apart by what is missing and what is too much: all of it would be pages of it. */
const assertRows = (found: ReadonlyArray<string>, rows: ReadonlyArray<object>): void => {
  const expected = linesOf(rows)
  const counts = new Map<string, number>()
  for (const line of found) counts.set(line, (counts.get(line) ?? 0) + 1)
  for (const line of expected) counts.set(line, (counts.get(line) ?? 0) - 1)
  const wrong = [...counts].filter(([, count]) => count !== 0)
  assert.deepStrictEqual(wrong.slice(0, 5), [], `${wrong.length} rows are not as often as they were written`)
  assert.strictEqual(found.length, expected.length)
}

const linesOf = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row)).sort()

const failureOf =
  <Tag extends TransferError["reason"]["_tag"]>(tag: Tag) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.flip(effect), (error) => {
      assert.instanceOf(error, TransferError)
      assert.strictEqual(error.reason._tag, tag, error.message)
      return error.reason as Extract<TransferError["reason"], { readonly _tag: Tag }>
    })

const openFilesIn = (path: string): ReadonlyArray<string> =>
  Fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const file = Fs.readlinkSync(`/proc/self/fd/${fd}`)
      return file.startsWith(path) ? [file] : []
    } catch {
      return []
    }
  })

const inPieces = { ranges: 60, concurrency: 4, checkpointInterval: "1 millis" } as const

const smallPages = Statement.provideOptions({ pageSize: 7 })

/** A file system on which something does not succeed. */
const failing = (
  change: (files: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>
): Layer.Layer<FileSystem.FileSystem, never, FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (files) => FileSystem.FileSystem.of({ ...files, ...change(files) }))
  )

/** As Effect's file system of Node makes it. */
const noSpace = PlatformError.systemError({
  _tag: "Unknown",
  module: "FileSystem",
  method: "write",
  syscall: "write",
  cause: new Error("ENOSPC: no space left on device, write")
})

const layer = Layer.merge(Keyspace.layer, NodeServices.layer)

it.layer(layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlExport.toDirectory", (it) => {
  it.effect("resumed when it was done is done", () =>
    Effect.gen(function*() {
      yield* createTable("again", someRows(60))
      const path = yield* newPath
      const options = { table: "again", schema: Row, path, existing: "resume" } as const
      let checkpoint = ""
      const manifest = yield* CqlExport.toDirectory({
        ...options,
        onProgress: () => Effect.sync(() => void (checkpoint = Fs.readFileSync(join(path, "checkpoint.json"), "utf8")))
      })
      const files = Fs.readdirSync(path).sort()
      assert.deepStrictEqual(yield* CqlExport.toDirectory(options), manifest)
      // As of a process that ended right behind the manifest.
      Fs.writeFileSync(join(path, "checkpoint.json"), checkpoint)
      assert.deepStrictEqual(yield* CqlExport.toDirectory(options), manifest)
      assert.deepStrictEqual(Fs.readdirSync(path).sort(), files)
    }))

  it.effect("keeps the export that it is to take the place of, until it is done", () =>
    Effect.gen(function*() {
      const old = someRows(600)
      yield* createTable("replaced", old)
      const path = yield* newPath
      const options = { table: "replaced", schema: Row, path, ...inPieces }
      const manifest = yield* CqlExport.toDirectory(options)
      yield* cql`INSERT INTO replaced ${cql.insert({ k: 10_000, c: 1, v: "new" })}`
      const ended = CqlExport.toDirectory({
        ...options,
        existing: "overwrite",
        onProgress: ({ rangesDone }) => rangesDone > 20 ? Effect.fail("ended" as const) : Effect.void
      })
      assert.strictEqual(yield* Effect.flip(ended), "ended")
      assert.deepStrictEqual(yield* CqlExport.readManifest(path), manifest)
      assertRows(rowsIn(path), old)
      yield* CqlExport.toDirectory({ ...options, existing: "resume" })
      assertRows(rowsIn(path), [...old, { k: 10_000, c: 1, v: "new" }])
      assert.deepStrictEqual(
        Fs.readdirSync(path).sort(),
        ["manifest.json", ...(yield* CqlExport.readManifest(path)).parts.map(({ file }) => file)].sort()
      )
    }))

  it.effect("has each row once, in parts of whole ranges, and a manifest of them", () =>
    Effect.gen(function*() {
      const rows = someRows(3000)
      yield* createTable("whole", rows)
      const path = yield* newPath
      const manifest = yield* CqlExport.toDirectory({ table: "whole", schema: Row, path, ranges: 100 }).pipe(smallPages)
      assertRows(rowsIn(path), rows)
      assert.deepStrictEqual(yield* CqlExport.readManifest(path), manifest)
      const { endedAt, keyspace, parts, startedAt, ...others } = manifest
      assert.deepStrictEqual(others, {
        version: 1,
        table: "whole",
        columns: [{ name: "k", type: "int" }, { name: "c", type: "int" }, { name: "v", type: "text" }],
        format: "jsonLines",
        nullText: "",
        writeTime: false,
        ttl: false,
        rows: 3000
      })
      assert.strictEqual(keyspace, (yield* Session).keyspace)
      assert.isAtMost(Date.parse(startedAt), Date.parse(endedAt))
      assert.isAbove(parts.length, 1)
      assert.isAtMost(parts.length, 4)
      assert.deepStrictEqual(Fs.readdirSync(path).sort(), ["manifest.json", ...parts.map(({ file }) => file)].sort())
      for (const { bytes, file, rows, sha256 } of parts) {
        const content = Fs.readFileSync(join(path, file))
        assert.strictEqual(bytes, content.length)
        assert.strictEqual(rows, content.toString().split("\n").length - 1)
        assert.strictEqual(sha256, createHash("sha256").update(content).digest("hex"))
        // Rows of a partition are of one range, and so they are together and in their order.
        const keys = content.toString().trimEnd().split("\n").map((line) => (JSON.parse(line) as Row).k)
        const changes = keys.filter((key, index) => key !== keys[index - 1])
        assert.strictEqual(new Set(changes).size, changes.length)
      }
    }))

  it.effect("of an empty table has a manifest and no part", () =>
    Effect.gen(function*() {
      yield* createTable("empty", [])
      for (const format of ["jsonLines", "csv"] as const) {
        const path = yield* newPath
        const manifest = yield* CqlExport.toDirectory({ table: "empty", schema: Row, path, format })
        assert.deepStrictEqual([manifest.rows, manifest.parts], [0, []])
        assert.deepStrictEqual(Fs.readdirSync(path), ["manifest.json"])
      }
    }))

  it.effect("has a value of a megabyte as it is", () =>
    Effect.gen(function*() {
      const v = "é\"\n".repeat(250_000)
      yield* createTable("huge", [{ k: 1, c: 1, v }])
      const path = yield* newPath
      yield* CqlExport.toDirectory({ table: "huge", schema: Row, path })
      assert.deepStrictEqual(rowsIn(path), [JSON.stringify({ k: 1, c: 1, v })])
    }))

  it.effect("tells how far it is", () =>
    Effect.gen(function*() {
      yield* createTable("told", someRows(500))
      const path = yield* newPath
      const told: Array<CqlExport.Progress> = []
      const onProgress = (progress: CqlExport.Progress) => Effect.sync(() => void told.push(progress))
      const { parts } = yield* CqlExport.toDirectory({ table: "told", schema: Row, path, format: "csv", onProgress })
      const last = told.at(-1)!
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
      assert.deepStrictEqual(last, { rows: 500, bytes, rangesDone: last.ranges, ranges: last.ranges })
      for (const key of ["rows", "bytes", "rangesDone"] as const) {
        assert.deepStrictEqual(told.map((one) => one[key]), told.map((one) => one[key]).sort((a, b) => a - b))
      }
    }))

  describe("that ends in the middle can be gone on with, and then has each row once,", () => {
    it.effect("when it was interrupted, again and again", () =>
      Effect.gen(function*() {
        const rows = someRows(1500)
        yield* createTable("interrupted", rows)
        const path = yield* newPath
        let rounds = 0
        let isDone = false
        let before = 0
        while (!isDone && rounds < 50) {
          rounds++
          let done = 0
          const latch = yield* Latch.make(false)
          const options = { table: "interrupted", schema: Row, path, existing: "resume", ...inPieces } as const
          const fiber = yield* CqlExport.toDirectory({
            ...options,
            onProgress: ({ ranges, rangesDone }) => {
              done = rangesDone
              return rangesDone >= before + 15 && rangesDone < ranges
                ? Effect.andThen(latch.open, Effect.never)
                : Effect.void
            }
          }).pipe(smallPages, Effect.forkChild)
          yield* Effect.raceFirst(latch.await, Fiber.await(fiber))
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          isDone = Exit.isSuccess(exit)
          assert.deepStrictEqual(openFilesIn(path), [])
          assert.isAbove(done, before)
          if (isDone) break
          assert.isTrue(Exit.hasInterrupts(exit))
          assert.isTrue(Fs.existsSync(join(path, "checkpoint.json")))
          assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
          const kept = JSON.parse(Fs.readFileSync(join(path, "checkpoint.json"), "utf8")) as {
            readonly rangesDone: number
          }
          assert.isAtLeast(kept.rangesDone, before)
          before = kept.rangesDone
        }
        assert.isAbove(rounds, 2)
        assertRows(rowsIn(path), rows)
        assert.isFalse(Fs.existsSync(join(path, "checkpoint.json")))
        assert.strictEqual((yield* CqlExport.readManifest(path)).rows, 1500)
      }))

    it.effect("also of CSV, with the names of the columns in each part", () =>
      Effect.gen(function*() {
        // Of one partition, and so of one range, which is not done then.
        const rows = someRows(600).map((row) => ({ ...row, k: 1 }))
        yield* createTable("resumed_csv", rows)
        yield* createTable("resumed_copy", [])
        const path = yield* newPath
        const options = { table: "resumed_csv", schema: Row, path, format: "csv", ...inPieces } as const
        yield* CqlExport.toDirectory({
          ...options,
          onProgress: ({ rows }) => rows < 20 ? Effect.void : Effect.fail("enough" as const)
        }).pipe(smallPages, Effect.flip)
        const begun = Fs.readdirSync(path).filter((name) => name.endsWith(".partial"))
        assert.isAbove(begun.length, 0)
        yield* CqlExport.toDirectory({ ...options, existing: "resume" }).pipe(smallPages)
        const parts = Fs.readdirSync(path).filter((name) => name.startsWith("part-"))
        for (const part of parts) assert.isTrue(Fs.readFileSync(join(path, part), "utf8").startsWith("k,c,v\n"))
        const imported = yield* CqlImport.fromDirectory({ table: "resumed_copy", schema: Row, path })
        assert.deepStrictEqual(imported, { rows: 600, notWritten: 0 })
        const copied = yield* Stream.runCollect(CqlStream.scan({ table: "resumed_copy", schema: Row }))
        assertRows(linesOf(copied), rows)
      }))

    it.effect("when a file could not be written", () =>
      Effect.gen(function*() {
        const rows = someRows(1500)
        yield* createTable("full_disk", rows)
        const path = yield* newPath
        let writes = 0
        // Half of it is written, as on a disk that is full.
        const full = failing((files) => ({
          open: (name, options) =>
            Effect.map(files.open(name, options), (file): File =>
              new Proxy(file, {
                get: (file, key) =>
                  key === "writeAll" && name.includes("part-")
                    ? (bytes: Uint8Array) =>
                      ++writes > 100
                        ? Effect.andThen(file.writeAll(bytes.subarray(0, bytes.length / 2)), Effect.fail(noSpace))
                        : file.writeAll(bytes)
                    : Reflect.get(file, key, file)
              }))
        }))
        const options = { table: "full_disk", schema: Row, path, ...inPieces }
        const { message } = yield* CqlExport.toDirectory(options).pipe(
          smallPages,
          Effect.provide(full),
          failureOf("FileFailed")
        )
        assert.match(message, /part-\d\.jsonl\.partial cannot be written: .*ENOSPC/)
        assert.deepStrictEqual(openFilesIn(path), [])
        assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
        // All of it, and none of what came behind the last range that was done.
        yield* CqlExport.toDirectory({ ...options, existing: "resume" }).pipe(smallPages)
        assertRows(rowsIn(path), rows)
      }))

    it.effect("when its process was killed", () =>
      Effect.gen(function*() {
        const rows = someRows(3000)
        yield* createTable("killed", rows)
        const path = yield* newPath
        const program = join(import.meta.dirname, "internal/transfer/exportProgram.ts")
        const keyspace = (yield* Session).keyspace!
        let kills = 0
        for (let round = 0; round < 20 && !Fs.existsSync(join(path, "manifest.json")); round++) {
          yield* Effect.callback<void>((resume) => {
            const child = ChildProcess.spawn(process.execPath, [
              "--conditions=effect-cassandra-source",
              program,
              keyspace,
              "killed",
              path
            ], { stdio: ["ignore", "pipe", "inherit"] })
            let told = 0
            child.stdout.on("data", () => {
              if (++told === 25) child.kill("SIGKILL")
            })
            child.on("close", (_, signal) => {
              if (signal === "SIGKILL") kills++
              resume(Effect.void)
            })
          })
        }
        assert.isAbove(kills, 0)
        assertRows(rowsIn(path), rows)
      }), 60_000)

    for (
      const [name, isTheOne] of [
        ["before a part had its name", (to: string) => to.endsWith("part-1.jsonl")],
        ["before it had a manifest", (to: string) => to.endsWith("manifest.json")]
      ] as const
    ) {
      it.effect(name, () =>
        Effect.gen(function*() {
          const rows = someRows(600)
          const table = name.replaceAll(" ", "_")
          yield* createTable(table, rows)
          const path = yield* newPath
          const options = { table, schema: Row, path, ...inPieces }
          const broken = failing((files) => ({
            rename: (from, to) => isTheOne(to) ? Effect.fail(noSpace) : files.rename(from, to)
          }))
          yield* CqlExport.toDirectory(options).pipe(smallPages, Effect.provide(broken), failureOf("FileFailed"))
          assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
          yield* CqlExport.toDirectory({ ...options, existing: "resume" }).pipe(smallPages)
          assertRows(rowsIn(path), rows)
        }))
    }

    it.effect("and when there was none, it begins", () =>
      Effect.gen(function*() {
        yield* createTable("begun", someRows(50))
        const path = yield* newPath
        yield* CqlExport.toDirectory({ table: "begun", schema: Row, path, existing: "resume" })
        assertRows(rowsIn(path), someRows(50))
      }))
  })

  it.effect("fails with a range that cannot be read, and is done when it can be", () =>
    Effect.gen(function*() {
      const rows = someRows(800)
      yield* createTable("unreadable", rows)
      yield* cql`INSERT INTO unreadable (k, c, v) VALUES (1000, 0, 'secret')`
      const Strict = Schema.Struct({ ...Row.fields, k: CqlType.Int.check(Schema.isLessThan(1000)) })
      const path = yield* newPath
      const options = { table: "unreadable", schema: Strict, path, ...inPieces }
      const error = yield* Effect.flip(smallPages(CqlExport.toDirectory(options)))
      assert.strictEqual(error._tag, "SchemaError")
      assert.notInclude(inspect(error), "secret")
      assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
      assert.deepStrictEqual(openFilesIn(path), [])
      yield* cql`DELETE FROM unreadable WHERE k = 1000`
      yield* smallPages(CqlExport.toDirectory({ ...options, existing: "resume" }))
      assertRows(rowsIn(path), rows)
    }))

  it.effect("fails with what the database fails with, and is no export then", () =>
    Effect.gen(function*() {
      yield* createTable("altered", someRows(800))
      const path = yield* newPath
      yield* CqlExport.toDirectory({
        table: "altered",
        schema: Row,
        path,
        ...inPieces,
        onProgress: ({ rangesDone }) => rangesDone === 3 ? cql`ALTER TABLE altered DROP v` : Effect.void
      }).pipe(smallPages, reasonOf("InvalidQuery"))
      assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
      assert.isTrue(Fs.existsSync(join(path, "checkpoint.json")))
      assert.deepStrictEqual(openFilesIn(path), [])
    }))

  describe("refuses", () => {
    /** An export that has come to some of its ranges. */
    const unfinished = Effect.fnUntraced(function*(table: string) {
      yield* createTable(table, someRows(600))
      const path = yield* newPath
      yield* CqlExport.toDirectory({
        table,
        schema: Row,
        path,
        ...inPieces,
        onProgress: ({ rangesDone }) => rangesDone > 20 ? Effect.fail("enough" as const) : Effect.void
      }).pipe(smallPages, Effect.flip)
      return path
    })

    it.effect("a directory with an export, unless it is to be overwritten", () =>
      Effect.gen(function*() {
        yield* createTable("taken", someRows(60))
        const path = yield* newPath
        const options = { table: "taken", schema: Row, path }
        yield* CqlExport.toDirectory({ ...options, format: "csv" })
        for (const existing of [undefined, "refuse"] as const) {
          const { by, message } = yield* failureOf("PathTaken")(CqlExport.toDirectory({ ...options, existing }))
          assert.strictEqual(by, "export")
          assert.include(message, "\"overwrite\"")
        }
        const resumed = CqlExport.toDirectory({ ...options, existing: "resume" })
        assert.include((yield* failureOf("OtherCheckpoint")(resumed)).message, "its format differs")
        yield* CqlExport.toDirectory({ ...options, existing: "overwrite" })
        assert.deepStrictEqual(Fs.readdirSync(path).sort(), ["manifest.json", "part-0.jsonl"])
        assertRows(rowsIn(path), someRows(60))
      }))

    it.effect("to go on with files that nobody knows of, and leaves them", () =>
      Effect.gen(function*() {
        yield* createTable("foreign", someRows(6))
        const path = yield* newPath
        Fs.mkdirSync(path)
        Fs.writeFileSync(join(path, "part-00000.csv"), "precious")
        const options = { table: "foreign", schema: Row, path }
        for (const existing of ["refuse", "resume"] as const) {
          yield* failureOf("PathTaken")(CqlExport.toDirectory({ ...options, existing }))
          assert.deepStrictEqual(Fs.readdirSync(path), ["part-00000.csv"])
        }
      }))

    it.effect("a second export at the same time, of whichever process, but not for one that has ended", () =>
      Effect.gen(function*() {
        yield* createTable("locked", someRows(60))
        const path = yield* newPath
        const options = { table: "locked", schema: Row, path, existing: "resume" } as const
        let second: Effect.Effect<unknown, unknown, Session | FileSystem.FileSystem | Path> | undefined
        second = failureOf("PathInUse")(CqlExport.toDirectory(options))
        yield* CqlExport.toDirectory({
          ...options,
          onProgress: () => {
            const once = second ?? Effect.void
            second = undefined
            return Effect.orDie(once)
          }
        })
        assert.isUndefined(second, "there was progress")
        assert.deepStrictEqual(Fs.readdirSync(path).sort(), ["manifest.json", "part-0.jsonl"])
        const lock = join(path, "export.lock")
        const [running, elsewhere] = [`process 1 on ${hostname()}\n`, "process 1 on another machine\n"]
        for (const owner of [running, elsewhere]) {
          Fs.writeFileSync(lock, owner)
          const { message } = yield* failureOf("PathInUse")(CqlExport.toDirectory(options))
          assert.include(message, owner.trim())
          assert.include(message, lock)
        }
        // No process has such a number.
        Fs.writeFileSync(lock, `process 4194305 on ${hostname()}\n`)
        yield* CqlExport.toDirectory({ ...options, existing: "overwrite" })
        assert.isFalse(Fs.existsSync(lock))
        Fs.writeFileSync(lock, `process ${process.pid} on ${hostname()}\n`)
        yield* CqlExport.toDirectory(options)
        assert.isFalse(Fs.existsSync(lock))
      }))

    it.effect("to call done what it has lost its lock for", () =>
      Effect.gen(function*() {
        yield* createTable("lost", someRows(60))
        const path = yield* newPath
        const lock = join(path, "export.lock")
        const other = "process 1 on another machine\n"
        const take = Effect.sync(() => Fs.writeFileSync(lock, other))
        const { message } = yield* failureOf("PathInUse")(
          CqlExport.toDirectory({ table: "lost", schema: Row, path, onProgress: () => take })
        )
        assert.include(message, other.trim())
        assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
        assert.strictEqual(Fs.readFileSync(lock, "utf8"), other)
      }))

    it.effect("to call done what another one has written into", () =>
      Effect.gen(function*() {
        yield* createTable("mixed", someRows(60))
        const path = yield* newPath
        const writeInto = Effect.sync(() => Fs.appendFileSync(join(path, "part-0.jsonl.partial"), "more\n"))
        yield* failureOf("DamagedPart")(
          CqlExport.toDirectory({ table: "mixed", schema: Row, path, onProgress: () => writeInto })
        )
        assert.isFalse(Fs.existsSync(join(path, "manifest.json")))
      }))

    it.effect("a directory with an export that is not done, unless it is to be resumed or overwritten", () =>
      Effect.gen(function*() {
        const path = yield* unfinished("half")
        const options = { table: "half", schema: Row, path }
        const { by, message } = yield* failureOf("PathTaken")(CqlExport.toDirectory(options))
        assert.strictEqual(by, "unfinished export")
        assert.include(message, "\"resume\"")
        yield* failureOf("InvalidManifest")(CqlExport.readManifest(path))
        yield* CqlExport.toDirectory({ ...options, existing: "overwrite" })
        assertRows(rowsIn(path), someRows(600))
      }))

    it.effect("a checkpoint of another export, with what differs", () =>
      Effect.gen(function*() {
        const path = yield* unfinished("one")
        yield* createTable("other", [])
        const same = { table: "one", schema: Row, path, existing: "resume" } as const
        const others: ReadonlyArray<readonly [what: string, options: CqlExport.DirectoryOptions<Schema.Constraint>]> = [
          ["table", { ...same, table: "other" }],
          ["columns", { ...same, schema: Schema.Struct({ k: CqlType.Int, c: CqlType.Int }) }],
          ["format", { ...same, format: "csv" }],
          ["nullText", { ...same, nullText: "NULL" }],
          ["columns", { ...same, writeTime: true }],
          ["where", { ...same, where: cql`c > ${5}` }]
        ]
        for (const [what, options] of others) {
          const { message } = yield* failureOf("OtherCheckpoint")(
            CqlExport.toDirectory(options) as Effect.Effect<unknown, TransferError, FileSystem.FileSystem | Session>
          )
          assert.include(message, `its ${what} differs`)
        }
        Fs.writeFileSync(join(path, "checkpoint.json"), "{}")
        yield* failureOf("OtherCheckpoint")(CqlExport.toDirectory(same))
      }))

    it.effect("a checkpoint whose condition has other values", () =>
      Effect.gen(function*() {
        yield* createTable("conditions", someRows(600))
        const path = yield* newPath
        const options = { table: "conditions", schema: Row, path, ...inPieces }
        yield* CqlExport.toDirectory({
          ...options,
          where: cql`c > ${5}`,
          onProgress: ({ rangesDone }) => rangesDone > 20 ? Effect.fail("enough" as const) : Effect.void
        }).pipe(smallPages, Effect.flip)
        yield* reasonOf("InvalidPageState")(
          CqlExport.toDirectory({ ...options, where: cql`c > ${6}`, existing: "resume" })
        )
      }))

    it.effect("parts that are not what the checkpoint says", () =>
      Effect.gen(function*() {
        const path = yield* unfinished("changed")
        const options = { table: "changed", schema: Row, path, existing: "resume" } as const
        const part = join(path, "part-0.jsonl.partial")
        const bytes = Fs.readFileSync(part)
        Fs.writeFileSync(part, bytes.subarray(0, 5))
        assert.match((yield* failureOf("DamagedPart")(CqlExport.toDirectory(options))).message, /shorter/)
        const changed = Buffer.from(bytes)
        changed[3]! ^= 1
        Fs.writeFileSync(part, changed)
        assert.match((yield* failureOf("DamagedPart")(CqlExport.toDirectory(options))).message, /changed/)
        Fs.rmSync(part)
        yield* failureOf("DamagedPart")(CqlExport.toDirectory(options))
        Fs.writeFileSync(part, bytes)
        yield* CqlExport.toDirectory(options)
        assertRows(rowsIn(path), someRows(600))
      }))

    it.effect("options that make no sense, and columns that there are not", () =>
      Effect.gen(function*() {
        yield* createTable("refused", [])
        const path = yield* newPath
        const options = { table: "refused", schema: Row, path }
        for (
          const wrong of [
            { table: "a b" },
            { concurrency: 0 },
            { ranges: 0 },
            { nullText: "\"" },
            { nullText: "a,b" },
            { path: "" },
            { checkpointInterval: -1 },
            { format: "xml" as "csv" },
            { existing: "keep" as "resume" }
          ]
        ) {
          yield* reasonOf("InvalidConfig")(CqlExport.toDirectory({ ...options, ...wrong }))
        }
        yield* reasonOf("InvalidQuery")(CqlExport.toDirectory({ ...options, table: "nowhere" }))
        yield* reasonOf("InvalidQuery")(CqlExport.toDirectory({ ...options, schema: Schema.String }))
        const More = Schema.Struct({ ...Row.fields, more: Schema.String })
        const { columns } = yield* failureOf("UnsupportedColumns")(CqlExport.toDirectory({ ...options, schema: More }))
        assert.deepStrictEqual(columns, ["more"])
        assert.isFalse(Fs.existsSync(path))
      }))
  })

  describe("with write times and TTLs", () => {
    it.effect("has them beside the values", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE timed (k int PRIMARY KEY, a text, b frozen<list<int>>)`
        yield* cql`INSERT INTO timed (k, a) VALUES (1, 'a') USING TIMESTAMP 1234567890123456`
        yield* cql`UPDATE timed USING TIMESTAMP 77 AND TTL 1000000 SET b = [1] WHERE k = 1`
        const Timed = Schema.Struct({
          k: CqlType.Int,
          a: Schema.String,
          b: CqlType.List(CqlType.Int)
        })
        const path = yield* newPath
        const options = { table: "timed", schema: Timed, path, writeTime: true, ttl: true } as const
        const { columns } = yield* CqlExport.toDirectory(options)
        assert.deepStrictEqual(columns.slice(3), [
          { name: "writetime(a)", type: "bigint" },
          { name: "ttl(a)", type: "int" },
          { name: "writetime(b)", type: "bigint" },
          { name: "ttl(b)", type: "int" }
        ])
        const { "ttl(b)": ttl, ...row } = JSON.parse(rowsIn(path)[0]!) as Record<string, unknown>
        assert.deepStrictEqual(row, {
          k: 1,
          a: "a",
          b: [1],
          "writetime(a)": "1234567890123456",
          "ttl(a)": null,
          "writetime(b)": "77"
        })
        assert.isAbove(Number(ttl), 990_000)
        assert.isAtMost(Number(ttl), 1_000_000)
      }))

    it.effect("refuses columns that have several, and counters", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TYPE pair (a int, b int)`
        yield* cql`CREATE TABLE several (k int PRIMARY KEY, l list<int>, s set<int>, m map<int, int>, p pair, f frozen<pair>)`
        const Several = Schema.Struct({
          k: CqlType.Int,
          l: CqlType.List(CqlType.Int),
          s: CqlType.Set(CqlType.Int),
          m: CqlType.Map(CqlType.Int, CqlType.Int),
          p: CqlType.Nullable(CqlType.UserDefined({ a: CqlType.Int })),
          f: CqlType.Nullable(CqlType.UserDefined({ a: CqlType.Int }))
        })
        const path = yield* newPath
        const options = { table: "several", schema: Several, path }
        for (const times of [{ writeTime: true }, { ttl: true }]) {
          const { columns } = yield* failureOf("UnsupportedColumns")(CqlExport.toDirectory({ ...options, ...times }))
          assert.deepStrictEqual(columns, ["l", "s", "m", "p"])
        }
        yield* CqlExport.toDirectory(options)
        yield* cql`CREATE TABLE counted (k int PRIMARY KEY, n counter)`
        const Counted = Schema.Struct({ k: CqlType.Int, n: CqlType.Counter })
        const counted = { table: "counted", schema: Counted, path: yield* newPath }
        yield* failureOf("UnsupportedColumns")(CqlExport.toDirectory({ ...counted, writeTime: true }))
        yield* CqlExport.toDirectory(counted)
      }))
  })
})

it.layer(layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlExport.toStream", (it) => {
  const textOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Effect.Effect<string, E, R> =>
    Stream.mkString(Stream.decodeText(bytes))

  it.effect("has each row once", () =>
    Effect.gen(function*() {
      const rows = someRows(900)
      yield* createTable("streamed", rows)
      const text = yield* smallPages(textOf(CqlExport.toStream({ table: "streamed", schema: Row, ranges: 50 })))
      assertRows(text.trimEnd().split("\n").sort(), rows)
    }))

  it.effect("in CSV has the names of the columns once, also without a row", () =>
    Effect.gen(function*() {
      yield* createTable("named", [])
      const csv = textOf(CqlExport.toStream({ table: "named", schema: Row, format: "csv" }))
      assert.strictEqual(yield* csv, "k,c,v\n")
      yield* cql`INSERT INTO named (k, c, v) VALUES (1, 2, '')`
      yield* cql`INSERT INTO named (k, c) VALUES (1, 3)`
      assert.strictEqual(yield* csv, "k,c,v\n1,2,\"\"\n1,3,\n")
      const marked = CqlExport.toStream({ table: "named", schema: Row, format: "csv", nullText: "\\N" })
      assert.strictEqual(yield* textOf(marked), "k,c,v\n1,2,\"\"\n1,3,\\N\n")
    }))

  it.effect("has the rows of a condition, and tells how far it is", () =>
    Effect.gen(function*() {
      yield* createTable("some", someRows(100))
      const told: Array<CqlExport.Progress> = []
      const bytes = CqlExport.toStream({
        table: "some",
        schema: Row,
        where: cql`c >= ${10} AND c < ${20}`,
        onProgress: (progress) => Effect.sync(() => void told.push(progress))
      })
      const text = yield* textOf(bytes)
      assertRows(text.trimEnd().split("\n").sort(), someRows(100).slice(10, 20))
      const { ranges, ...last } = told.at(-1)!
      assert.deepStrictEqual(last, { rows: 10, bytes: Buffer.byteLength(text), rangesDone: ranges })
    }))

  it.effect("reads no further than its reader", () =>
    Effect.gen(function*() {
      yield* createTable("unread", someRows(3000))
      let rows = 0
      const bytes = CqlExport.toStream({
        table: "unread",
        schema: Row,
        ranges: 200,
        onProgress: (progress) =>
          Effect.sync(() => {
            rows = progress.rows
          })
      })
      yield* Stream.runDrain(Stream.take(bytes, 3)).pipe(smallPages)
      // Of each range that is open, some pages.
      assert.isAtMost(rows, 3000 / 2)
    }))
})
