import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import type { ChildProcess } from "node:child_process"
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { cql, CqlExport, CqlStream, Session } from "../../src/index.ts"
import * as Proxied from "../faults/support/proxied.ts"
import * as Keyspace from "../support/keyspace.ts"
import type { TcpProxy } from "../support/TcpProxy.ts"
import { temporaryFolder } from "../testing/support.ts"
import { cli, command, ended, start, untilFile } from "./support.ts"

const qualified = (table: string) => Effect.map(Session, ({ keyspace }) => `${keyspace}.${table}`)

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const rowsOf = (count: number) => numbered(count).map((n) => ({ k: n % 97, c: n, v: `value ${n}` }))

/** A table of so many rows. */
const filled = Effect.fnUntraced(function*(table: string, count: number) {
  yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
  yield* Stream.runDrain(Stream.fromIterable(rowsOf(count)).pipe(CqlStream.write({ table: `"${table}"` })))
  return yield* qualified(`"${table}"`)
})

const linesOf = (text: string): ReadonlyArray<string> => text.split("\n").slice(0, -1)

const sortedJson = (text: string): ReadonlyArray<unknown> =>
  linesOf(text).map((line) => JSON.parse(line)).sort((a, b) => a.c - b.c)

/** Of all parts of a directory. */
const exported = Effect.fnUntraced(function*(path: string) {
  const files = yield* FileSystem.FileSystem
  const { parts, rows } = yield* CqlExport.readManifest(path)
  const texts = yield* Effect.forEach(parts, ({ file }) => files.readFileString(`${path}/${file}`))
  return { rows, content: sortedJson(texts.join("")) }
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("effect-cassandra export", (it) => {
  it.effect("writes a directory, and says in a line what it did", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const table = yield* filled("Whole", 1000)
      const { exitCode, stderr, stdout } = yield* cli(["export", table, "--to", `${folder}/whole`])
      assert.deepStrictEqual([exitCode, stdout], [0, ""], stderr)
      assert.match(stderr, /^1,000 rows of test_\w+\."Whole" exported in \d+ s\n$/)
      assert.deepStrictEqual(yield* exported(`${folder}/whole`), { rows: 1000, content: [...rowsOf(1000)] })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("writes to standard output the rows and nothing else, in both formats", () =>
    Effect.gen(function*() {
      const table = yield* filled("piped", 300)
      const json = yield* cli(["export", table, "--to", "-"])
      assert.deepStrictEqual([json.exitCode, sortedJson(json.stdout)], [0, [...rowsOf(300)]], json.stderr)
      assert.match(json.stderr, /^300 rows of .* exported in \d+ s\n$/)
      const csv = yield* cli(["export", table, "--to", "-", "--format", "csv", "--quiet", "--columns", "v,\"c\""])
      const [names, ...lines] = linesOf(csv.stdout.replaceAll("\r\n", "\n"))
      assert.deepStrictEqual([csv.exitCode, names, csv.stderr], [0, "v,c", ""])
      assert.sameMembers(lines, rowsOf(300).map(({ c, v }) => `${v},${c}`))
    }))

  it.effect("writes the rows that fulfil a condition", () =>
    Effect.gen(function*() {
      const table = yield* filled("chosen", 300)
      const { stdout } = yield* cli(["export", table, "--to", "-", "--where", "c >= 100 AND c < 120"])
      assert.deepStrictEqual(sortedJson(stdout), rowsOf(300).slice(100, 120))
    }))

  it.effect("reads columns whose names have commas and quotes", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE odd ("a,b" int PRIMARY KEY, "c""d" text, other text)`
      yield* cql`INSERT INTO odd ("a,b", "c""d", other) VALUES (1, 'two', 'three')`
      const args = ["export", yield* qualified("odd"), "--to", "-", "--quiet", "--columns", "\"c\"\"d\", \"a,b\""]
      assert.deepStrictEqual(yield* cli(args), { exitCode: 0, stdout: "{\"c\\\"d\":\"two\",\"a,b\":1}\n", stderr: "" })
    }))

  it.effect("writes an empty table", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const table = yield* filled("empty", 0)
      const { exitCode, stderr } = yield* cli(["export", table, "--to", `${folder}/empty`])
      assert.strictEqual(exitCode, 0, stderr)
      assert.deepStrictEqual(yield* exported(`${folder}/empty`), { rows: 0, content: [] })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("refuses a directory that has an export, until it is told to overwrite it", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const table = yield* filled("again", 10)
      const to = ["--to", `${folder}/again`]
      assert.strictEqual((yield* cli(["export", table, ...to])).exitCode, 0)
      yield* cql`INSERT INTO again (k, c, v) VALUES (${10 % 97}, ${10}, ${"value 10"})`
      const refused = yield* cli(["export", table, ...to])
      assert.deepStrictEqual([refused.exitCode, refused.stdout], [1, ""])
      assert.match(refused.stderr, /^effect-cassandra: .*again.*\n {2}hint: .*--overwrite.*\n$/)
      assert.strictEqual((yield* exported(`${folder}/again`)).rows, 10)
      const overwritten = yield* cli(["export", table, ...to, "--overwrite"])
      assert.strictEqual(overwritten.exitCode, 0, overwritten.stderr)
      assert.deepStrictEqual(yield* exported(`${folder}/again`), { rows: 11, content: [...rowsOf(11)] })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("fails in a line and a hint for a column that does not exist, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const table = yield* filled("columns", 1)
      const { exitCode, stderr, stdout } = yield* cli(["export", table, "--to", `${folder}/no`, "--columns", "k,\"V\""])
      assert.deepStrictEqual([exitCode, stdout], [1, ""])
      assert.match(
        stderr,
        /^effect-cassandra: undefined column name "V" in table .*\n {2}hint: a name in capitals .*\n$/
      )
      assert.isFalse(existsSync(`${folder}/no`))
    }))

  describe("that is broken off", () => {
    const ways = [
      {
        how: "by Ctrl-C",
        exitCode: 130,
        breakOff: (proxy: TcpProxy, child: ChildProcess) =>
          Effect.andThen(proxy.pause, Effect.sync(() => child.kill("SIGINT"))),
        says: /^effect-cassandra: not done; the same command with --resume goes on\n$/
      },
      {
        how: "by a server that is gone",
        exitCode: 1,
        breakOff: (proxy: TcpProxy) => Effect.andThen(proxy.refuse, proxy.cut),
        says:
          /^effect-cassandra: .*\n {2}hint: .*\neffect-cassandra: not done; the same command with --resume goes on\n$/
      }
    ]

    for (const { breakOff, exitCode, how, says } of ways) {
      it.effect(`${how} says how to go on, and with --resume has each row once`, () =>
        Effect.gen(function*() {
          const folder = yield* temporaryFolder
          const table = yield* filled(`broken_off_${exitCode}`, 5000)
          const { proxy } = yield* Proxied.make
          // It takes long, and then no end: so it is broken off in the middle.
          yield* proxy.latency({ toClient: 200 })
          const args = ["export", table, "--to", `${folder}/out`, "--concurrency", "1"]
          const child = yield* start(args, {
            env: { CASSANDRA_CONTACT_POINTS: `${proxy.host}:${proxy.port}`, CASSANDRA_PORT: String(proxy.port) }
          })
          const end = yield* Effect.forkChild(ended(child))
          yield* untilFile(folder, `${folder}/out/checkpoint.json`, /"rangesDone": [1-9]/)
          yield* breakOff(proxy, child)
          const broken = yield* Fiber.join(end)
          assert.deepStrictEqual([broken.exitCode, broken.stdout], [exitCode, ""], broken.stderr)
          assert.match(broken.stderr, says)
          assert.isFalse(existsSync(`${folder}/out/manifest.json`))
          const refused = yield* cli(args)
          assert.strictEqual(refused.exitCode, 1)
          assert.match(refused.stderr, /^effect-cassandra: .*\n {2}hint: .*--resume.*\n$/)
          const resumed = yield* cli([...args, "--resume"])
          assert.strictEqual(resumed.exitCode, 0, resumed.stderr)
          assert.deepStrictEqual(yield* exported(`${folder}/out`), { rows: 5000, content: [...rowsOf(5000)] })
        }).pipe(Effect.provide(NodeServices.layer)), 120_000)
    }

    it.effect.skipIf(!existsSync("/dev/full"))("by a full disk names it", () =>
      Effect.gen(function*() {
        const table = yield* filled("too_much", 10)
        const { stderr, status } = yield* Effect.sync(() =>
          spawnSync(
            "sh",
            ["-c", "exec \"$@\" > /dev/full", "sh", ...command, "export", table, "--to", "-", "--quiet"],
            {
              encoding: "utf8"
            }
          )
        )
        assert.deepStrictEqual([status, stderr], [1, "effect-cassandra: ENOSPC: no space left on device, write\n"])
      }))

    it.effect("by a reader of standard output who has had enough ends quietly", () =>
      Effect.gen(function*() {
        // More than what a pipe holds.
        const table = yield* filled("cut_short", 20_000)
        const child = yield* start(["export", table, "--to", "-"])
        const [first] = yield* Effect.promise(() => once(child.stdout!, "data"))
        assert.isAbove((first as Buffer).length, 0)
        child.stdout!.destroy()
        const { exitCode, stderr } = yield* ended(child)
        assert.deepStrictEqual([exitCode, stderr], [141, ""])
      }))

    it.effect("by Ctrl-C while nobody reads standard output ends", () =>
      Effect.gen(function*() {
        const table = yield* filled("unread", 20_000)
        const child = yield* start(["export", table, "--to", "-"])
        yield* Effect.promise(() => once(child.stdout!, "readable"))
        child.kill("SIGINT")
        const exit = yield* Effect.promise(() => once(child, "exit"))
        assert.deepStrictEqual(exit, [130, null])
      }))
  })
})
