import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { cql, CqlStream, Session } from "../../src/index.ts"
import * as Keyspace from "../support/keyspace.ts"
import { cli, start } from "./support.ts"

const qualified = (table: string) => Effect.map(Session, ({ keyspace }) => `${keyspace}.${table}`)

const fill = (table: string, count: number) =>
  Stream.fromIterable(Array.from({ length: count }, (_, k) => ({ k, v: `v${k % 10}` }))).pipe(
    CqlStream.write({ table }),
    Stream.runDrain
  )

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("effect-cassandra count", (it) => {
  it.effect("prints how many rows there are, and nothing else", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE filled (k int PRIMARY KEY, v text)`
      yield* cql`CREATE TABLE empty (k int PRIMARY KEY, v text)`
      yield* fill("filled", 1234)
      assert.deepStrictEqual(yield* cli(["count", yield* qualified("filled")]), {
        exitCode: 0,
        stdout: "1234\n",
        stderr: ""
      })
      assert.deepStrictEqual(yield* cli(["count", yield* qualified("empty"), "--concurrency", "1"]), {
        exitCode: 0,
        stdout: "0\n",
        stderr: ""
      })
    }))

  it.effect("counts rows that fulfil a condition, of a table in capitals, in the keyspace of the environment", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* Session
      yield* cql`CREATE TABLE "Users" (k int PRIMARY KEY, v text)`
      yield* fill("\"Users\"", 100)
      const { exitCode, stdout } = yield* cli(["count", "\"Users\"", "--where", "v = 'v3'"], {
        env: { CASSANDRA_KEYSPACE: keyspace }
      })
      assert.deepStrictEqual([exitCode, stdout], [0, "10\n"])
    }))

  it.effect("ends as a shell expects where nobody reads what it prints", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE unread (k int PRIMARY KEY, v text)`
      const child = yield* start(["count", yield* qualified("unread"), "--quiet"])
      child.stdout!.destroy()
      const exitCode = yield* Effect.callback<number | null>((resume) => {
        child.once("exit", (code) => resume(Effect.succeed(code)))
      })
      assert.strictEqual(exitCode, 141)
    }))

  it.effect("says what a server warns of when it is asked to, and not among the rows", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE buried (k int, c int, v text, PRIMARY KEY (k, c))`
      // More than 1,000 of them are too many to a server.
      yield* Effect.forEach(
        Array.from({ length: 1100 }, (_, c) => c),
        (c) => cql`DELETE FROM buried WHERE k = 1 AND c = ${c}`,
        { concurrency: 64, discard: true }
      )
      const table = yield* qualified("buried")
      assert.deepStrictEqual(yield* cli(["count", table]), { exitCode: 0, stdout: "0\n", stderr: "" })
      const warned = yield* cli(["count", table, "--log-level", "warn"])
      assert.deepStrictEqual([warned.exitCode, warned.stdout], [0, "0\n"])
      assert.match(warned.stderr, /level=WARN .*tombstone/)
    }))

  describe("fails in a line and a hint", () => {
    it.effect("without the table, the keyspace, a keyspace, a column", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE there (k int PRIMARY KEY)`
        const there = yield* qualified("there")
        const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, message: string]> = [
          [[`${there}X`], `effect-cassandra: table ${there}x does not exist\n  hint: is it in another keyspace`],
          [["nowhere.users"], "effect-cassandra: keyspace nowhere does not exist\n  hint: create the keyspace first"],
          [["users"], "effect-cassandra: no keyspace has been specified\n  hint: "],
          [[there, "--where", "x = 1"], `effect-cassandra: Undefined column name x in table ${there}\n  hint: `]
        ]
        for (const [args, message] of cases) {
          const { exitCode, stderr, stdout } = yield* cli(["count", ...args])
          assert.deepStrictEqual([exitCode, stdout], [1, ""])
          assert.isTrue(stderr.startsWith(message), stderr)
          assert.strictEqual(stderr.split("\n").length, 3, stderr)
        }
      }))

    it.effect("and says all that is known with --log-level debug", () =>
      Effect.gen(function*() {
        const { exitCode, stderr } = yield* cli(["count", "system.local", "--where", "x = 1", "--log-level", "debug"])
        assert.strictEqual(exitCode, 1)
        assert.match(stderr, /^CqlError: Undefined column name x in table system\.local\n {2}\[InvalidQuery\]\n/)
        assert.match(stderr, / FROM "system"\."local" WHERE token\("key"\) .* AND x = 1 ALLOW FILTERING\n/)
      }))
  })
})
