import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { existsSync } from "node:fs"
import type { Statement } from "../../src/index.ts"
import { cql, CqlExport, CqlStream, Session } from "../../src/index.ts"
import * as TableSchema from "../../src/internal/tableSchema.ts"
import * as Proxied from "../faults/support/proxied.ts"
import * as Keyspace from "../support/keyspace.ts"
import { temporaryFolder } from "../testing/support.ts"
import { cli, ended, start, untilFile } from "./support.ts"

const qualified = (table: string) => Effect.map(Session, ({ keyspace }) => `${keyspace}.${table}`)

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

/** All rows of a table, as the server says them, in an order of their own. */
const content = (table: string) =>
  Effect.map(
    cql`SELECT JSON * FROM ${cql.unsafe(table)}`,
    (rows) => rows.map((row) => String(row["[json]"])).sort()
  )

const everyType = cql.unsafe(`(
  k uuid, "C" text, st text static, a ascii, b bigint, bl blob, bo boolean, d date, de decimal, du duration, f float,
  i inet, n int, si smallint, t time, ts timestamp, tu timeuuid, ti tinyint, v varint, x double,
  l list<text>, s set<int>, m map<text, frozen<list<bigint>>>, tt tuple<int, text>, u "Place", fu frozen<"Place">,
  ve vector<float, 2>, PRIMARY KEY (k, "C"))`)

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("effect-cassandra import", (it) => {
  for (const format of ["jsonLines", "csv"] as const) {
    it.effect(`makes a twin of a table of all types out of its export as ${format}`, () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const [table, twin] = [`"All_${format}"`, `"Twin_${format}"`]
        yield* cql`CREATE TYPE IF NOT EXISTS "Place" (street text, "No" int)`
        yield* cql`CREATE TABLE ${cql.unsafe(table)} ${everyType}`
        yield* cql`CREATE TABLE ${cql.unsafe(twin)} ${everyType}`
        yield* cql`INSERT INTO ${
          cql.unsafe(table)
        } (k, "C", st, a, b, bl, bo, d, de, du, f, i, n, si, t, ts, tu, ti, v, x,
          l, s, m, tt, u, fu, ve) VALUES (6b1e5cbb-7a37-4e7c-8a4c-000000000001, 'a "b", c' , 'static', 'ascii',
          -9223372036854775808, 0x00ff, true, '2024-02-29', 1.50, 1mo2d3h, 0.1, '::1', -1, 2, '12:34:56.789012345',
          '2024-02-29T01:02:03.004Z', 50554d6e-29bb-11e5-b345-feff819cdc9f, 3, 123456789012345678901234567890, NaN,
          ['one', '', 'two
lines'], {3, 1, 2}, {'m': [1, 2], '': []}, (1, null), {street: 'S', "No": null}, {street: null, "No": 7}, [0.5, 1])`
        yield* cql`INSERT INTO ${cql.unsafe(table)} (k, "C") VALUES (6b1e5cbb-7a37-4e7c-8a4c-000000000002, '')`
        yield* cql`INSERT INTO ${cql.unsafe(table)} (k, st) VALUES (6b1e5cbb-7a37-4e7c-8a4c-000000000003, 'alone')`
        const source = yield* qualified(table)
        const exported = yield* cli(["export", source, "--to", `${folder}/all`, "--format", format])
        assert.strictEqual(exported.exitCode, 0, exported.stderr)
        const imported = yield* cli(["import", yield* qualified(twin), "--from", `${folder}/all`])
        assert.deepStrictEqual([imported.exitCode, imported.stdout], [0, ""], imported.stderr)
        assert.match(imported.stderr, /^3 rows imported into test_\w+\."Twin_\w+" in \d+ s\n$/)
        const rows = yield* content(table)
        assert.strictEqual(rows.length, 3)
        assert.deepStrictEqual(yield* content(twin), rows)
      }))

    it.effect(`reads ${format} from standard input, as export writes it to standard output`, () =>
      Effect.gen(function*() {
        const [table, twin] = [`piped_${format.toLowerCase()}`, `piped_twin_${format.toLowerCase()}`]
        yield* cql`CREATE TABLE ${cql.ident(table)} (k int PRIMARY KEY, v text, w int)`
        yield* cql`CREATE TABLE ${cql.ident(twin)} (k int PRIMARY KEY, v text, w int)`
        const rows = numbered(500).map((k) => ({ k, v: `v, "${k}"`, w: null }))
        yield* Stream.runDrain(Stream.fromIterable(rows).pipe(CqlStream.write({ table })))
        const how = ["--format", format, "--quiet"]
        const { stdout } = yield* cli(["export", yield* qualified(table), "--to", "-", ...how])
        const imported = yield* cli(["import", yield* qualified(twin), "--from", "-", ...how], { stdin: stdout })
        assert.deepStrictEqual(imported, { exitCode: 0, stdout: "", stderr: "" })
        assert.deepStrictEqual(yield* content(twin), yield* content(table))
      }))
  }

  it.effect("reads a file of some of the columns, whose name tells its format", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* cql`CREATE TABLE some_columns (k int PRIMARY KEY, v text, w int)`
      yield* cql`INSERT INTO some_columns (k, v, w) VALUES (1, 'kept', 1)`
      yield* files.writeFileString(`${folder}/some.csv`, "w,k\n10,1\n20,2\n")
      yield* files.writeFileString(`${folder}/some.jsonl`, "{\"k\":3,\"v\":\"three\"}\n")
      for (const file of ["some.csv", "some.jsonl"]) {
        const { exitCode, stderr } = yield* cli([
          "import",
          yield* qualified("some_columns"),
          "--from",
          `${folder}/${file}`
        ])
        assert.strictEqual(exitCode, 0, stderr)
      }
      assert.deepStrictEqual(yield* content("some_columns"), [
        "{\"k\": 1, \"v\": \"kept\", \"w\": 10}",
        "{\"k\": 2, \"v\": null, \"w\": 20}",
        "{\"k\": 3, \"v\": \"three\", \"w\": null}"
      ])
      assert.deepStrictEqual((yield* files.readDirectory(folder)).toSorted(), ["some.csv", "some.jsonl"])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("writes values with the time and the TTL that they were exported with, and reads its own word for null", () =>
    Effect.gen(function*() {
      const times = cql.unsafe("k, v, WRITETIME(v) AS at, TTL(v) AS ttl")
      yield* cql`CREATE TABLE timed (k int PRIMARY KEY, v text)`
      yield* cql`CREATE TABLE timed_twin (k int PRIMARY KEY, v text)`
      yield* cql`INSERT INTO timed (k, v) VALUES (1, 'NULL') USING TIMESTAMP 1234567 AND TTL 100000`
      yield* cql`INSERT INTO timed (k, v) VALUES (2, '')`
      yield* cql`INSERT INTO timed (k) VALUES (3)`
      const how = ["--format", "csv", "--null-text", "NULL"]
      const source = yield* qualified("timed")
      const { stdout, stderr } = yield* cli(["export", source, "--to", "-", "--write-time", "--ttl", ...how])
      assert.strictEqual(/^.*/.exec(stdout)![0], "k,v,writetime(v),ttl(v)", stderr)
      const twin = yield* qualified("timed_twin")
      const imported = yield* cli(["import", twin, "--from", "-", ...how], { stdin: stdout })
      assert.strictEqual(imported.exitCode, 0, imported.stderr)
      const inOrder = (rows: ReadonlyArray<Statement.Row>) => rows.toSorted((a, b) => Number(a["k"]) - Number(b["k"]))
      const [, ...others] = inOrder(yield* cql`SELECT ${times} FROM timed`)
      const [firstOfTwin, ...othersOfTwin] = inOrder(yield* cql`SELECT ${times} FROM timed_twin`)
      assert.deepStrictEqual([firstOfTwin!["v"], firstOfTwin!["at"]], ["NULL", 1234567n])
      assert.isTrue(Number(firstOfTwin!["ttl"]) > 0 && Number(firstOfTwin!["ttl"]) <= 100_000)
      assert.deepStrictEqual(othersOfTwin, others)
    }))

  describe("of a row that cannot be written", () => {
    const prepare = Effect.fnUntraced(function*(table: string, bad: ReadonlyArray<number> = [20, 30]) {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* cql`CREATE TABLE ${cql.ident(table)} (k int PRIMARY KEY, v text)`
      const rows = numbered(50).map((k) =>
        k === bad[0] ? "{\"k\":\"secret\"}" : bad.includes(k) ? "no row" : JSON.stringify({ k, v: "v" })
      )
      yield* files.writeFileString(`${folder}/rows.jsonl`, `${rows.join("\n")}\n`)
      const args = ["import", yield* qualified(table), "--from", `${folder}/rows.jsonl`]
      const count = CqlStream.count({ table })
      return { args, count, files, folder }
    })

    it.effect("stops at it, and says how to go on without it", () =>
      Effect.gen(function*() {
        const { args } = yield* prepare("stopping")
        const { exitCode, stderr, stdout } = yield* cli(args)
        assert.deepStrictEqual([exitCode, stdout], [1, ""])
        assert.match(stderr, /effect-cassandra: .*21.*\n {2}hint: --on-failure continue .*\n$/)
        assert.notInclude(stderr, "secret")
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect("writes all others with --on-failure continue, and fails all the same", () =>
      Effect.gen(function*() {
        const { args, count } = yield* prepare("continuing", numbered(32).slice(20))
        const { exitCode, stderr } = yield* cli([...args, "--on-failure", "continue"])
        assert.strictEqual(exitCode, 1)
        const [first, ...others] = stderr.split("\n").slice(0, -1)
        assert.match(first!, /^effect-cassandra: .*21/)
        // The first ten of them are told.
        assert.isTrue(others.slice(0, 9).every((line) => /^effect-cassandra: .*line (2\d|30)/.test(line)), stderr)
        assert.match(others[9]!, /^38 rows imported into /)
        assert.deepStrictEqual(others.slice(10), ["effect-cassandra: 12 rows were not written"])
        assert.strictEqual(yield* count, 38n)
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect("writes it to a file, with the reason", () =>
      Effect.gen(function*() {
        const { args, count, files, folder } = yield* prepare("rejecting")
        const path = `${folder}/rejected.jsonl`
        yield* files.writeFileString(path, "of another day\n")
        const refused = yield* cli([...args, "--rejected", path])
        assert.deepStrictEqual([refused.exitCode, yield* files.readFileString(path)], [2, "of another day\n"])
        assert.include(refused.stderr, path)
        yield* files.remove(path)
        const { exitCode, stderr } = yield* cli([...args, "--rejected", path])
        assert.strictEqual(exitCode, 1)
        assert.match(stderr, /effect-cassandra: 2 rows were not written: see .*rejected\.jsonl\n$/)
        const rejected = (yield* files.readFileString(path)).split("\n").slice(0, -1).map((line) => JSON.parse(line))
        assert.deepStrictEqual(rejected.map(({ line }) => line), [21, 31])
        assert.isTrue(rejected.every(({ error }) => typeof error === "string" && error.length > 0))
        assert.strictEqual(yield* count, 48n)
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect("is there once, when it is rejected again by an import that goes on", () =>
      Effect.gen(function*() {
        const { args, count, files, folder } = yield* prepare("rejecting_twice")
        const path = `${folder}/rejected.jsonl`
        const told = `${JSON.stringify({ line: 21, error: "told by one that was killed" })}\n`
        yield* files.writeFileString(path, `${told}{"line":31,"err`)
        const { exitCode, stderr } = yield* cli([...args, "--rejected", path, "--resume"])
        assert.strictEqual(exitCode, 1, stderr)
        const text = yield* files.readFileString(path)
        assert.isTrue(text.startsWith(told), text)
        const lines = text.split("\n").slice(0, -1).map((line) => JSON.parse(line).line)
        assert.deepStrictEqual(lines, [21, 31])
        assert.strictEqual(yield* count, 48n)
        const wrong = `${folder}/other.jsonl`
        yield* files.writeFileString(wrong, "{\"k\":1}\nno")
        const refused = yield* cli([...args, "--rejected", wrong, "--resume"])
        assert.strictEqual(refused.exitCode, 2, refused.stderr)
        assert.match(refused.stderr, /no file of rejected rows/)
        assert.strictEqual(yield* files.readFileString(wrong), "{\"k\":1}\nno")
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect("does not count as one that the cluster fails for now", () =>
      Effect.gen(function*() {
        const { args, count, files, folder } = yield* prepare("unavailable", [])
        const path = `${folder}/rejected.jsonl`
        // There is but one replica.
        const { exitCode, stderr } = yield* cli([...args, "--consistency", "three", "--rejected", path])
        assert.strictEqual(exitCode, 1)
        assert.match(stderr, /line \d+: the row was not written/)
        assert.notMatch(stderr, /imported|--rejected/)
        assert.strictEqual(yield* files.readFileString(path), "")
        assert.strictEqual(yield* count, 0n)
      }).pipe(Effect.provide(NodeServices.layer)))

    it.effect("keeps the row that the server has refused", () =>
      Effect.gen(function*() {
        const { files, folder } = yield* prepare("refusing")
        yield* cql`CREATE TABLE by_text (k text PRIMARY KEY, v int)`
        // No key can be empty, or longer than 65,535 bytes.
        const rows = [{ k: "a", v: 1 }, { k: "", v: 2 }, { k: "x".repeat(70_000), v: 3 }, { k: "b", v: 4 }]
        yield* files.writeFileString(`${folder}/keys.jsonl`, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
        const path = `${folder}/rejected.jsonl`
        const args = ["import", yield* qualified("by_text"), "--from", `${folder}/keys.jsonl`, "--rejected", path]
        const { exitCode, stderr } = yield* cli(args)
        assert.strictEqual(exitCode, 1, stderr)
        const rejected = (yield* files.readFileString(path)).split("\n").slice(0, -1).map((line) => JSON.parse(line))
        assert.sameDeepMembers(rejected.map(({ line, row }) => [line, row]), [[2, rows[1]], [3, rows[2]]])
        assert.deepStrictEqual(yield* content("by_text"), ["{\"k\": \"a\", \"v\": 1}", "{\"k\": \"b\", \"v\": 4}"])
      }).pipe(Effect.provide(NodeServices.layer)))
  })

  it.effect("refuses what is no file, its own source for what is rejected, and what a manifest says itself", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      const path = `${folder}/rows.jsonl`
      yield* files.writeFileString(path, "{\"k\":1}\n")
      yield* files.symlink(path, `${folder}/link`)
      const wrong: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: RegExp]> = [
        [["--from", "/dev/null"], /--from -/],
        [["--from", path, "--rejected", path], /already/],
        [["--from", path, "--rejected", `${folder}/link`, "--resume"], /what is imported/],
        [["--from", path, "--null-text", "NULL"], /for CSV/],
        [["--from", "-", "--null-text", "NULL"], /for CSV/],
        [["--from", folder, "--null-text", "NULL"], /manifest/],
        [["--from", path, "--null-text", "a,b"], /null-text/]
      ]
      for (const [args, says] of wrong) {
        const { exitCode, stderr } = yield* cli(["import", "shop.users", ...args])
        assert.strictEqual(exitCode, 2, stderr)
        assert.match(stderr, says)
      }
      assert.strictEqual(yield* files.readFileString(path), "{\"k\":1}\n")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("keeps how far it is where it is told to, and then writes nothing beside its source", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* cql`CREATE TABLE beside (k int PRIMARY KEY)`
      yield* files.makeDirectory(`${folder}/source`)
      const path = `${folder}/source/rows.jsonl`
      yield* files.writeFileString(path, numbered(30).map((k) => `${JSON.stringify({ k })}\n`).join("") + "no row\n")
      const checkpoint = `${folder}/here`
      const args = ["import", yield* qualified("beside"), "--from", path, "--checkpoint", checkpoint]
      assert.strictEqual((yield* cli(args)).exitCode, 1)
      assert.deepStrictEqual(yield* files.readDirectory(`${folder}/source`), ["rows.jsonl"])
      const nowhere = yield* cli([...args.slice(0, -1), `${folder}/nowhere/here`])
      assert.strictEqual(nowhere.exitCode, 2, nowhere.stderr)
      assert.match(nowhere.stderr, /--checkpoint/)
      assert.isTrue(yield* files.exists(checkpoint), "what was done is kept")
      yield* files.writeFileString(path, numbered(31).map((k) => `${JSON.stringify({ k })}\n`).join(""))
      const resumed = yield* cli([...args, "--resume"])
      assert.strictEqual(resumed.exitCode, 0, resumed.stderr)
      assert.match(resumed.stderr, /^1 rows? imported/m)
      assert.strictEqual(yield* CqlStream.count({ table: "beside" }), 31n)
      assert.isFalse(yield* files.exists(checkpoint))
    }).pipe(Effect.provide(NodeServices.layer)))

  describe("that is broken off by Ctrl-C says how to go on, and with --resume writes all rows", () => {
    const rows = 30_000
    // Together by their partition, so that they are written in batches.
    const all = numbered(rows).map((c) => ({ k: Math.floor(c / 100), c }))

    for (const kind of ["file", "directory"] as const) {
      it.effect(`of a ${kind}`, () =>
        Effect.gen(function*() {
          const folder = yield* temporaryFolder
          const files = yield* FileSystem.FileSystem
          const [table, twin] = [`broken_${kind}`, `broken_twin_${kind}`]
          for (const name of [table, twin]) {
            yield* cql`CREATE TABLE ${cql.ident(name)} (k int, c int, PRIMARY KEY (k, c))`
          }
          const path = `${folder}/rows`
          const target = yield* qualified(twin)
          if (kind === "file") yield* files.writeFileString(path, all.map((row) => `${JSON.stringify(row)}\n`).join(""))
          else {
            yield* Stream.runDrain(Stream.fromIterable(all).pipe(CqlStream.write({ table })))
            const { schema } = yield* TableSchema.make(yield* Session, table)
            yield* CqlExport.toDirectory({ table, schema, path, concurrency: 1 })
          }
          const { proxy } = yield* Proxied.make
          // It takes long, and then no end: so it is interrupted in the middle.
          yield* proxy.latency({ toClient: 40 })
          const args = ["import", target, "--from", path, "--concurrency", "4"]
          const child = yield* start(args, {
            env: { CASSANDRA_CONTACT_POINTS: `${proxy.host}:${proxy.port}`, CASSANDRA_PORT: String(proxy.port) }
          })
          const end = yield* Effect.forkChild(ended(child))
          const checkpoint = kind === "file" ? `${path}.${target}.checkpoint` : `${path}/${target}.checkpoint`
          yield* untilFile(folder, checkpoint, /./)
          yield* proxy.pause
          child.kill("SIGINT")
          const { exitCode, stderr } = yield* Fiber.join(end)
          assert.strictEqual(exitCode, 130)
          assert.strictEqual(stderr, "effect-cassandra: not done; the same command with --resume goes on\n")
          const kept = yield* files.readFileString(checkpoint)
          const resumed = yield* cli([...args, "--resume"])
          assert.strictEqual(resumed.exitCode, 0, resumed.stderr)
          const left = Number(/^([\d,]+) rows imported/.exec(resumed.stderr)?.[1]?.replaceAll(",", ""))
          assert.isBelow(left, rows)
          assert.strictEqual(yield* CqlStream.count({ table: twin }), BigInt(rows))
          assert.isFalse(existsSync(checkpoint))
          if (kind === "file") return
          // Without --resume it begins at the beginning, whatever lies there.
          yield* files.writeFileString(checkpoint, kept)
          const again = yield* cli(args)
          assert.match(again.stderr, /^30,000 rows imported/)
          assert.isFalse(existsSync(checkpoint))
        }).pipe(Effect.provide(NodeServices.layer)), 120_000)
    }
  })

  it.effect("fails in a line, without a file, into counters, and of a column that the table lacks", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* cql`CREATE TABLE counters (k int PRIMARY KEY, n counter)`
      yield* cql`CREATE TABLE lacking (k int PRIMARY KEY, v text)`
      yield* files.writeFileString(`${folder}/other.csv`, "k,V\n1,one\n")
      yield* files.makeDirectory(`${folder}/empty`)
      const cases: ReadonlyArray<readonly [table: string, from: string, message: RegExp]> = [
        [
          "lacking",
          `${folder}/none`,
          /^effect-cassandra: there is no file and no directory .*none that can be read\n$/
        ],
        ["counters", `${folder}/other.csv`, /^effect-cassandra: counters cannot be written, only added to: n\n$/],
        ["lacking", `${folder}/other.csv`, /^effect-cassandra: .*V.*\n$/],
        ["lacking", `${folder}/empty`, /^effect-cassandra: .*manifest\.json.*\n$/]
      ]
      for (const [table, from, message] of cases) {
        const { exitCode, stderr, stdout } = yield* cli(["import", yield* qualified(table), "--from", from])
        assert.deepStrictEqual([exitCode, stdout], [1, ""], stderr)
        assert.match(stderr, message)
      }
    }).pipe(Effect.provide(NodeServices.layer)))
})
