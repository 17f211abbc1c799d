import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import { TestClock } from "effect/testing"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as CqlErrors from "../src/CqlError.ts"
import type { Cluster } from "../src/index.ts"
import { cql, CqlError, CqlMigrator, Session, Statement } from "../src/index.ts"
import { CassandraServer } from "../src/testing/index.ts"
import type { Fault, Kind } from "./internal/migrator/simulated.ts"
import { Simulated } from "./internal/migrator/simulated.ts"
import { reasonOf } from "./support/scripted.ts"

const { fromRecord, MigrationError } = CqlMigrator

const noWait = Schedule.recurs(0)

const failureOf = <Tag extends CqlMigrator.Reason["_tag"]>(tag: Tag) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, MigrationError)
    assert.strictEqual(error.reason._tag, tag, error.message)
    const reason = error.reason as Extract<CqlMigrator.Reason, { readonly _tag: Tag }>
    return { reason, error, applied: idsOf(error.applied) }
  })

const idsOf = (migrations: ReadonlyArray<CqlMigrator.Named>): ReadonlyArray<number> => migrations.map(({ id }) => id)

const run = (
  migrations: Readonly<Record<string, CqlMigrator.Source<any, Session>>>,
  options: Omit<CqlMigrator.Options, "loader"> = {}
) => Effect.map(CqlMigrator.run({ loader: fromRecord(migrations), ...options }), idsOf)

const statusOf = (migrations: Readonly<Record<string, CqlMigrator.Source<any, Session>>>) =>
  CqlMigrator.status({ loader: fromRecord(migrations) })

const tables = Effect.flatMap(
  Session,
  ({ cluster, keyspace }) => Effect.map(cluster.tables(keyspace!), (tables) => tables.toSorted())
)

const createTable = (name: string) => cql`CREATE TABLE ${cql.ident(name)} (id int PRIMARY KEY)`

/** In a keyspace that nobody else uses. */
const inKeyspace = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, CassandraServer.layerKeyspace())

const newDirectory = (files: Readonly<Record<string, string>>): Effect.Effect<string, never, Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = Fs.mkdtempSync(join(Os.tmpdir(), "migrations-"))
      for (const [name, text] of Object.entries(files)) Fs.writeFileSync(join(path, name), text)
      return path
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  )

const serverLayer = Layer.merge(CassandraServer.layer(), NodeServices.layer)

it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("CqlMigrator.run", (it) => {
  it.effect("applies each migration once, in the order of the ids", () =>
    Effect.gen(function*() {
      const ran: Array<number> = []
      const noted = (id: number) => Effect.sync(() => void ran.push(id))
      const first = { "0010_c": noted(10), "0009_b": noted(9), "0008_a": noted(8) }
      assert.deepStrictEqual(yield* run(first), [8, 9, 10])
      assert.deepStrictEqual(yield* run(first), [])
      assert.deepStrictEqual(yield* run({ ...first, "0011_d": noted(11) }), [11])
      assert.deepStrictEqual(ran, [8, 9, 10, 11])
    }).pipe(inKeyspace))

  it.effect("of no migrations applies none, and makes no table", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run({}), [])
      assert.deepStrictEqual(yield* tables, [])
    }).pipe(inKeyspace))

  it.effect("applies hundreds", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 300 }, (_, index) => index + 1)
      const migrations = Object.fromEntries(ids.map((id) => [`${id}_m`, Effect.void]))
      assert.deepStrictEqual(yield* run(migrations), ids)
      assert.deepStrictEqual(yield* run(migrations), [])
      assert.deepStrictEqual(idsOf((yield* statusOf(migrations)).applied), ids)
    }).pipe(inKeyspace))

  it.effect("runs a text statement by statement", () =>
    Effect.gen(function*() {
      yield* run({
        "1_all": `-- two tables; with rows
          CREATE TABLE a (id int PRIMARY KEY, v text);
          CREATE TABLE b (id int PRIMARY KEY, v text);
          BEGIN BATCH
            INSERT INTO a (id, v) VALUES (1, 'x;y');
            INSERT INTO b (id, v) VALUES (1, $$;$$);
          APPLY BATCH;
          INSERT INTO a (id, v) VALUES (2, 'z') USING TIMESTAMP 1 -- the end`
      })
      assert.deepStrictEqual(yield* cql`SELECT id, v, writetime(v) AS t FROM a WHERE id = 2`, [{
        id: 2,
        v: "z",
        t: 1n
      }])
      assert.deepStrictEqual(yield* cql`SELECT v FROM a WHERE id = 1`, [{ v: "x;y" }])
      assert.deepStrictEqual(yield* cql`SELECT v FROM b`, [{ v: ";" }])
    }).pipe(inKeyspace))

  it.effect("tells which statement of a text failed, and what was applied before", () =>
    Effect.gen(function*() {
      const migrations = {
        "1_a": createTable("a"),
        "2_b":
          "CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)",
        "3_d": createTable("d")
      }
      const { applied, error, reason } = yield* failureOf("Failed")(run(migrations))
      assert.deepStrictEqual([reason.id, reason.name, reason.statement], [2, "b", 2])
      assert.instanceOf(reason.cause, CqlError)
      assert.strictEqual(reason.cause.reason._tag, "AlreadyExists")
      assert.strictEqual(error.cause, reason.cause)
      assert.deepStrictEqual(applied, [1])
      assert.match(
        error.message,
        /^migration 2_b failed at its statement 2: .* \(applied before, by the same run: 1_a\)$/s
      )
      const { applied: recorded, halfApplied, holder, pending } = yield* statusOf(migrations)
      assert.deepStrictEqual([idsOf(recorded), idsOf(halfApplied), idsOf(pending)], [[1], [2], [2, 3]])
      assert.isUndefined(holder)
      assert.deepStrictEqual(yield* tables, ["a", "b", "effect_cassandra_migrations"])
    }).pipe(inKeyspace))

  it.effect("stops at what may be half applied, until it is told to run it again", () =>
    Effect.gen(function*() {
      const before = { "1_a": "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY)" }
      yield* failureOf("Failed")(run(before))
      const after = { "1_a": "CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY)", "2_b": createTable("b") }
      const { reason } = yield* failureOf("HalfApplied")(run(after))
      assert.deepStrictEqual([reason.id, reason.name], [1, "a"])
      assert.strictEqual(reason.process, `process ${process.pid} on ${Os.hostname()}`)
      assert.deepStrictEqual(yield* run(after, { halfApplied: "runAgain" }), [1, 2])
      assert.deepStrictEqual((yield* statusOf(after)).halfApplied, [])
      assert.deepStrictEqual(yield* run(after), [])
    }).pipe(inKeyspace))

  it.effect("fails as a migration does, with its own type", () =>
    Effect.gen(function*() {
      class Full extends Error {
        readonly _tag = "Full"
      }
      const loader = fromRecord({ "1_a": Effect.void, "2_b": Effect.fail(new Full("no room")) })
      const error: Full | string = yield* CqlMigrator.run({ loader }).pipe(
        Effect.as("applied"),
        Effect.catchReason("MigrationError", "Failed", ({ cause }) => Effect.succeed(cause))
      )
      assert.instanceOf(error, Full)
    }).pipe(inKeyspace))

  it.effect("lets go of the lock when a migration dies, and leaves it begun", () =>
    Effect.gen(function*() {
      const migrations = { "1_a": Effect.die("broken") }
      const exit = yield* Effect.exit(run(migrations))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      const { halfApplied, holder } = yield* statusOf(migrations)
      assert.deepStrictEqual([idsOf(halfApplied), holder], [[1], undefined])
    }).pipe(inKeyspace))

  it.effect("lets go of the lock when it is interrupted in the middle, and leaves the migration begun", () =>
    Effect.gen(function*() {
      const running = yield* Deferred.make<void>()
      const migrations = {
        "1_a": Effect.void,
        "2_b": Effect.andThen(Deferred.succeed(running, undefined), Effect.never)
      }
      const fiber = yield* Effect.forkChild(run(migrations))
      yield* Deferred.await(running)
      assert.isDefined((yield* statusOf(migrations)).holder)
      yield* Fiber.interrupt(fiber)
      const { applied, halfApplied, holder } = yield* statusOf(migrations)
      assert.deepStrictEqual([idsOf(applied), idsOf(halfApplied), holder], [[1], [2], undefined])
    }).pipe(inKeyspace))

  it.effect("waits while another has the lock, and runs what that has left", () =>
    Effect.gen(function*() {
      const running = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const first = { "1_a": Effect.andThen(Deferred.succeed(running, undefined), Deferred.await(go)) }
      const both = { "1_a": Effect.die("it has run already"), "2_b": createTable("b") }
      const fiber = yield* Effect.forkChild(run(first))
      yield* Deferred.await(running)
      const { reason } = yield* failureOf("Locked")(run(both, { waitForLock: noWait }))
      assert.strictEqual(reason.process, `process ${process.pid} on ${Os.hostname()}`)
      assert.strictEqual(reason.owner, (yield* statusOf(both)).holder?.owner)
      assert.include(reason.message, reason.process)
      const waiting = yield* Effect.forkChild(
        run(both, { waitForLock: Schedule.tap(Schedule.spaced("20 millis"), () => Deferred.succeed(go, undefined)) })
      )
      assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
      assert.deepStrictEqual(yield* Fiber.join(waiting), [2])
    }).pipe(inKeyspace))

  it.effect("stops when another has taken the lock, and does not record what that has begun since", () =>
    Effect.gen(function*() {
      const other = crypto.randomUUID()
      const table = cql.unsafe("effect_cassandra_migrations")
      const takeLock =
        cql`UPDATE ${table} SET lock_owner = ${other} WHERE key = 'migrations' IF lock_owner != NULL`.applied
      const lost = yield* failureOf("LockLost")(run({ "1_a": takeLock, "2_b": Effect.die("not to be run") }))
      assert.deepStrictEqual([lost.reason.id, lost.reason.ran, lost.applied], [2, false, [1]])
      assert.strictEqual((yield* statusOf({})).holder?.owner, other)
      yield* cql`DELETE lock_owner FROM ${table} WHERE key = 'migrations' IF lock_owner = ${other}`.applied
      const beginAgain = cql`UPDATE ${table} SET owner = ${other} WHERE key = 'migrations' AND id = 2 IF EXISTS`.applied
      const both = yield* failureOf("LockLost")(run({ "1_a": takeLock, "2_b": beginAgain }))
      assert.deepStrictEqual([both.reason.id, both.reason.ran, both.applied], [2, true, []])
      assert.deepStrictEqual(idsOf((yield* statusOf({})).halfApplied), [2])
    }).pipe(inKeyspace))

  it.effect("records what was applied, in the table it is told", () =>
    Effect.gen(function*() {
      const migrations = {
        "1_a": "CREATE TABLE a (id int PRIMARY KEY)",
        "2_b": { run: Effect.void, checksum: "of b" },
        "3_c": Effect.void
      }
      const loader = fromRecord(migrations)
      const ran = yield* CqlMigrator.run({ loader, table: "\"Schema\"" })
      assert.deepStrictEqual(yield* tables, ["Schema", "a"])
      const { applied } = yield* CqlMigrator.status({ loader, table: "\"Schema\"" })
      assert.deepStrictEqual(
        applied.map(({ checksum, durationMillis, id, name }) => ({ id, name, checksum, durationMillis })),
        [...ran]
      )
      assert.match(ran[0]!.checksum!, /^[\da-f]{64}$/)
      assert.deepStrictEqual(ran.slice(1).map(({ checksum }) => checksum), ["of b", undefined])
      assert.isTrue(applied.every(({ appliedAt }) => appliedAt.getTime() > 0))
      assert.deepStrictEqual(
        [...new Set(applied.map(({ process }) => process))],
        [`process ${process.pid} on ${Os.hostname()}`]
      )
    }).pipe(inKeyspace))

  it.effect("is of a keyspace whose name has capitals", () =>
    Effect.gen(function*() {
      const keyspace = `Test_${crypto.randomUUID().replaceAll("-", "")}`
      yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
        WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`
      const session = yield* Session.makeFrom({ keyspace })
      const migrations = { "1_a": "CREATE TABLE a (id int PRIMARY KEY)", "2_b": createTable("b") }
      assert.deepStrictEqual(yield* run(migrations).pipe(Effect.provideService(Session, session)), [1, 2])
      assert.deepStrictEqual(
        yield* Effect.provideService(tables, Session, session),
        ["a", "b", "effect_cassandra_migrations"]
      )
      yield* cql`DROP KEYSPACE ${cql.ident(keyspace)}`
    }).pipe(inKeyspace))

  it.effect("needs a keyspace", () =>
    Effect.asVoid(failureOf("NoKeyspace")(run({ "1_a": Effect.void }))).pipe(
      Effect.provide(CassandraServer.layerSession())
    ))

  it.effect("records the same whatever the options of its region and of its session are", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* Session
      const session = yield* Session.makeFrom({
        keyspace: keyspace!,
        consistency: "any",
        serialConsistency: "localSerial",
        maxRows: 1,
        pageSize: 1,
        timestamp: 5,
        idempotent: true
      })
      let seen: unknown
      const migrations = {
        "1_a": createTable("a"),
        "2_b": cql`INSERT INTO a (id) VALUES (1)`.pipe(Statement.withOptions({ consistency: "quorum" })),
        "3_c": Effect.map(Statement.CurrentOptions, (options) => void (seen = options)),
        "4_d": Effect.void
      }
      const options: Statement.Options = { maxRows: 2, timeout: "20 seconds", consistency: "one" }
      const ran = run(migrations).pipe(Statement.provideOptions(options), Effect.provideService(Session, session))
      assert.deepStrictEqual(yield* ran, [1, 2, 3, 4])
      assert.deepStrictEqual(yield* ran, [])
      assert.deepStrictEqual(seen, [options])
      const elsewhere = run({ ...migrations, "5_e": Effect.void }).pipe(
        Statement.provideOptions({ node: "192.0.2.1:9042" })
      )
      assert.deepStrictEqual(yield* elsewhere, [5])
    }).pipe(inKeyspace))

  it.effect("runs in a layer, in front of what needs the schema", () =>
    Effect.gen(function*() {
      const migrations = CqlMigrator.layer({ loader: fromRecord({ "1_a": createTable("a") }) })
      const count = cql`SELECT count(*) AS n FROM a`.one.pipe(Effect.map(({ n }) => n), Effect.provide(migrations))
      assert.strictEqual(yield* count, 0n)
    }).pipe(inKeyspace))
})

it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("CqlMigrator.run refuses", (it) => {
  const nothingRan = Effect.die("nothing is to be run")

  it.effect("a text that was changed when it had been applied, and names both checksums", () =>
    Effect.gen(function*() {
      const before = { "1_a": "CREATE TABLE a (id int PRIMARY KEY)" }
      yield* run(before)
      const after = { "1_a": "CREATE TABLE a (id bigint PRIMARY KEY)", "2_b": nothingRan }
      const { reason } = yield* failureOf("Changed")(run(after))
      const [change] = reason.migrations
      assert.strictEqual(reason.migrations.length, 1)
      assert.strictEqual(change!.appliedChecksum, (yield* statusOf(before)).applied[0]!.checksum)
      assert.notStrictEqual(change!.checksum, change!.appliedChecksum)
      assert.include(reason.message, change!.checksum!)
      assert.include(reason.message, change!.appliedChecksum!)
      assert.deepStrictEqual((yield* statusOf(after)).changed, reason.migrations)
      assert.deepStrictEqual(yield* run({ "1_a": `\uFEFF${before["1_a"]}` }), [])
    }).pipe(inKeyspace))

  it.effect("a migration that was applied under another name", () =>
    Effect.gen(function*() {
      yield* run({ "1_a": Effect.void })
      const { reason } = yield* failureOf("Changed")(run({ "1_b": Effect.void }))
      assert.deepStrictEqual(reason.migrations, [
        { id: 1, name: "b", checksum: undefined, appliedName: "a", appliedChecksum: undefined }
      ])
      assert.match(reason.message, /^migration 1_b was applied as 1_a/)
    }).pipe(inKeyspace))

  it.effect("an id that is lower than the last applied one, unless it is allowed", () =>
    Effect.gen(function*() {
      yield* run({ "1_a": Effect.void, "3_c": Effect.void }, { allowGaps: true })
      const late = { "1_a": Effect.void, "2_b": createTable("b"), "3_c": Effect.void }
      const { reason } = yield* failureOf("OutOfOrder")(run(late))
      assert.deepStrictEqual([reason.migrations, reason.last], [[{ id: 2, name: "b" }], { id: 3, name: "c" }])
      assert.deepStrictEqual((yield* statusOf(late)).outOfOrder, [{ id: 2, name: "b" }])
      assert.deepStrictEqual(yield* run(late, { allowOutOfOrder: true }), [2])
      assert.deepStrictEqual(yield* run(late), [])
    }).pipe(inKeyspace))

  it.effect("gaps between ids, unless they are allowed", () =>
    Effect.gen(function*() {
      const migrations = { "5_a": Effect.void, "7_b": Effect.void }
      const { reason } = yield* failureOf("Gap")(run(migrations))
      assert.deepStrictEqual([reason.after, reason.before], [5, 7])
      assert.deepStrictEqual(yield* tables, [])
      assert.deepStrictEqual(yield* run(migrations, { allowGaps: true }), [5, 7])
    }).pipe(inKeyspace))

  it.effect("two migrations of one id", () =>
    Effect.gen(function*() {
      const { reason } = yield* failureOf("Duplicate")(
        run({ "1_a": nothingRan, "2_b": nothingRan, "02_c": nothingRan })
      )
      assert.deepStrictEqual([reason.id, reason.names.toSorted()], [2, ["2_b", "2_c"]])
    }).pipe(inKeyspace))

  it.effect("names that are none", () =>
    Effect.gen(function*() {
      const names = ["0_a", "1-b", "two_c", "4_", "99999999999999999_e"]
      const wrong = Object.fromEntries(names.map((name) => [name, nothingRan]))
      const { reason } = yield* failureOf("InvalidName")(run({ ...wrong, "1_a": nothingRan }))
      assert.deepStrictEqual(reason.names, names)
    }).pipe(inKeyspace))

  it.effect("a text that cannot be split, before anything is run", () =>
    Effect.gen(function*() {
      const migrations = { "1_a": nothingRan, "2_b": "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES ('" }
      const { reason } = yield* failureOf("InvalidScript")(run(migrations))
      assert.deepStrictEqual([reason.id, reason.name, reason.statement], [2, "b", 2])
      assert.deepStrictEqual(yield* tables, [])
    }).pipe(inKeyspace))

  it.effect("what is no migration, before anything is run", () =>
    Effect.gen(function*() {
      for (const value of [undefined, null, 5, {}, { run: 5 }]) {
        const migrations = { "1_a": nothingRan, "2_b": value as unknown as string }
        const { reason } = yield* failureOf("NotLoaded")(run(migrations))
        assert.strictEqual(reason.source, "2_b")
      }
    }).pipe(inKeyspace))

  it.effect("options that make no sense", () =>
    Effect.gen(function*() {
      const wrong: Readonly<Record<string, unknown>> = {
        loader: {},
        table: "shop.migrations",
        lease: "2 seconds",
        waitForLock: "1 second",
        schemaAgreementTimeout: 0,
        serialConsistency: "quorum",
        allowGaps: 1,
        allowOutOfOrder: "yes",
        halfApplied: "ignore"
      }
      for (const [field, value] of Object.entries(wrong)) {
        const options = { loader: fromRecord({ "1_a": nothingRan }), [field]: value } as CqlMigrator.Options
        const reason = yield* reasonOf("InvalidConfig")(CqlMigrator.run(options))
        assert.strictEqual(reason.field, field)
      }
    }).pipe(inKeyspace))
})

it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("CqlMigrator.status", (it) => {
  it.effect("tells what a run would do, and writes nothing", () =>
    Effect.gen(function*() {
      const { applied, pending, ...rest } = yield* statusOf({ "1_a": createTable("a"), "2_b": createTable("b") })
      assert.deepStrictEqual([applied, pending], [[], [{ id: 1, name: "a" }, { id: 2, name: "b" }]])
      assert.deepStrictEqual(rest, {
        changed: [],
        missing: [],
        outOfOrder: [],
        halfApplied: [],
        holder: undefined
      })
      assert.deepStrictEqual(yield* tables, [])
    }).pipe(inKeyspace))

  it.effect("tells what was applied and is not given any more, of which a run takes no notice", () =>
    Effect.gen(function*() {
      yield* run({ "1_a": Effect.void, "2_b": Effect.void, "3_c": Effect.void })
      const fewer = { "2_b": Effect.void }
      assert.deepStrictEqual(idsOf((yield* statusOf(fewer)).missing), [1, 3])
      assert.deepStrictEqual(yield* run(fewer), [])
    }).pipe(inKeyspace))
})

it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("Loaders of CqlMigrator", (it) => {
  const fixtures = fileURLToPath(new URL("internal/migrator/migrations", import.meta.url))

  it.effect("read a directory of modules and of texts", () =>
    Effect.gen(function*() {
      const options = { loader: CqlMigrator.fromFileSystem(fixtures) }
      const ran = yield* CqlMigrator.run(options)
      assert.deepStrictEqual(
        ran.map(({ checksum, id, name }) => [id, name, checksum?.length]),
        [[1, "create_users", 64], [2, "add_grace", 64]]
      )
      assert.deepStrictEqual(
        (yield* cql`SELECT name FROM users`).map(({ name }) => name),
        ["Ada; the first", "Grace"]
      )
      assert.deepStrictEqual(yield* CqlMigrator.run(options), [])
    }).pipe(inKeyspace))

  it.effect("pass over other files, and do not import what has been applied", () =>
    Effect.gen(function*() {
      const path = yield* newDirectory({
        "0001_a.mjs": `export default ""`,
        "0002_b.mjs": `export default "CREATE TABLE b (id int PRIMARY KEY)"`,
        "README.md": "",
        "helpers.ts": "",
        "0001_a.d.ts": "",
        "0001_a.test.mjs": "",
        "0001_a.mjs.map": ""
      })
      const options = { loader: CqlMigrator.fromFileSystem(path, { checksums: "texts" }) }
      assert.deepStrictEqual(idsOf(yield* CqlMigrator.run(options)), [1, 2])
      assert.deepStrictEqual(yield* tables, ["b", "effect_cassandra_migrations"])
      Fs.writeFileSync(join(path, "0001_a.mjs"), "import 'a-package-that-is-gone'")
      assert.deepStrictEqual(yield* CqlMigrator.run(options), [])
      const { reason } = yield* failureOf("Changed")(run({ "1_a": Effect.void, "2_c": Effect.void }))
      assert.deepStrictEqual(idsOf(reason.migrations), [2])
    }).pipe(inKeyspace))

  it.effect("tell a module of a directory that was changed, and not one whose lines end otherwise", () =>
    Effect.gen(function*() {
      const path = yield* newDirectory({ "1_a.mjs": "// a\nexport default ''\n" })
      const options = { loader: CqlMigrator.fromFileSystem(path) }
      yield* CqlMigrator.run(options)
      Fs.writeFileSync(join(path, "1_a.mjs"), "// a\r\nexport default ''\r\n")
      assert.deepStrictEqual(yield* CqlMigrator.run(options), [])
      Fs.writeFileSync(join(path, "1_a.mjs"), "// b\nexport default ''\n")
      yield* failureOf("Changed")(CqlMigrator.run(options))
      const { loader } = { loader: CqlMigrator.fromFileSystem(path, { checksums: "texts" }) }
      assert.deepStrictEqual(yield* CqlMigrator.run({ loader }), [])
    }).pipe(inKeyspace))

  it.effect("refuse a file that looks as if it were one, and what cannot be loaded", () =>
    Effect.gen(function*() {
      const loaded = (files: Readonly<Record<string, string>>) =>
        Effect.flatMap(newDirectory(files), (path) => CqlMigrator.run({ loader: CqlMigrator.fromFileSystem(path) }))
      const named = yield* failureOf("InvalidName")(loaded({ "1-a.ts": "", "users.cql": "", "0_b.js": "" }))
      assert.deepStrictEqual(named.reason.names.toSorted(), ["0_b.js", "1-a.ts", "users.cql"])
      for (
        const text of ["throw new Error('broken')", "export const a = 1", "export default 5", "import 'gone'", "{"]
      ) {
        const { reason } = yield* failureOf("NotLoaded")(loaded({ "1_a.mjs": text }))
        assert.strictEqual(reason.source, "1_a.mjs")
      }
      const { reason } = yield* failureOf("NotLoaded")(
        CqlMigrator.run({ loader: CqlMigrator.fromFileSystem("/no/such/directory") })
      )
      assert.include(reason.message, "ENOENT")
      assert.deepStrictEqual(yield* tables, [])
    }).pipe(inKeyspace))

  it.effect("take what a bundler imports", () =>
    Effect.gen(function*() {
      const modules = {
        "./migrations/0001_a.ts": () => Promise.resolve({ default: createTable("a") }),
        "./migrations/0002_b.cql": () => Promise.resolve("CREATE TABLE b (id int PRIMARY KEY)"),
        "./migrations/0003_c.cql": () => Promise.resolve({ default: "CREATE TABLE c (id int PRIMARY KEY)" }),
        "./migrations/0004_d.js": () => Promise.resolve({ default: { default: createTable("d") } }),
        "./migrations/index.ts": () => Promise.reject(new Error("not imported"))
      }
      const loader = CqlMigrator.fromGlob(modules)
      const ran = yield* CqlMigrator.run({ loader })
      assert.deepStrictEqual(ran.map(({ checksum, id }) => [id, checksum !== undefined]), [
        [1, false],
        [2, true],
        [3, true],
        [4, false]
      ])
      assert.deepStrictEqual(yield* tables, ["a", "b", "c", "d", "effect_cassandra_migrations"])
      const broken = CqlMigrator.fromGlob({ ...modules, "5_e.ts": () => Promise.reject(new Error("gone")) })
      assert.strictEqual((yield* failureOf("NotLoaded")(CqlMigrator.run({ loader: broken }))).reason.source, "5_e.ts")
    }).pipe(inKeyspace))
})

/** A process that is ended with the scope, and what it says. */
const startProcess = Effect.fnUntraced(function*(mode: "run" | "hang") {
  const { keyspace } = yield* Session
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, [
        "--conditions=effect-cassandra-source",
        fileURLToPath(new URL("internal/migrator/migrateProgram.ts", import.meta.url)),
        keyspace!,
        mode
      ], { stdio: ["pipe", "pipe", "inherit"] })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line: Effect.Effect<string> = Effect.promise(() => lines.next().then(({ value }) => String(value)))
  /** Up to the next line that begins so; logs are passed over. */
  const said = (start: string): Effect.Effect<string> =>
    Effect.repeat(line, { until: (line) => line.startsWith(start) || line === "undefined" })
  const ended: Effect.Effect<unknown> = Effect.callback((resume) =>
    child.exitCode !== null || child.signalCode !== null
      ? resume(Effect.void)
      : void child.once("exit", () => resume(Effect.void))
  )
  return { child, said, ended }
})

it.layer(serverLayer, { excludeTestServices: true, timeout: "60 seconds" })("Processes of CqlMigrator", (it) => {
  const counts = Effect.map(
    cql`SELECT id, count FROM runs`,
    (rows) => Object.fromEntries(rows.map(({ count, id }) => [String(id), Number(count)]))
  )

  it.effect("that run at once apply each migration once", () =>
    Effect.gen(function*() {
      const processes = yield* Effect.all([startProcess("run"), startProcess("run"), startProcess("run")])
      for (const { said } of processes) yield* said("ready")
      for (const { child } of processes) child.stdin!.write("go\n")
      const applied = yield* Effect.forEach(processes, ({ said }) => said("applied"), { concurrency: 3 })
      assert.deepStrictEqual(applied.toSorted(), ["applied ", "applied ", "applied 1 2 3 4 5"])
      assert.deepStrictEqual(yield* counts, { 2: 1, 3: 1, 4: 1, 5: 1 })
    }).pipe(inKeyspace))

  it.effect("that are killed leave a lock that ends, and a migration that may be half applied", () =>
    Effect.gen(function*() {
      const { child, ended, said } = yield* startProcess("hang")
      yield* said("ready")
      child.stdin!.write("go\n")
      yield* said("running")
      const migrations = {
        "1_runs": Effect.die("it has run"),
        "2_second": cql`UPDATE runs SET count = count + ${1n} WHERE id = 2`
      }
      const holder = { process: `process ${child.pid} on ${Os.hostname()}` }
      const locked = yield* failureOf("Locked")(run(migrations, { waitForLock: noWait }))
      assert.strictEqual(locked.reason.process, holder.process)
      child.kill("SIGKILL")
      yield* ended
      const { reason } = yield* failureOf("HalfApplied")(run(migrations))
      assert.deepStrictEqual([reason.id, reason.process], [2, holder.process])
      assert.deepStrictEqual(yield* run(migrations, { halfApplied: "runAgain" }), [2])
      assert.deepStrictEqual(yield* counts, { 2: 1 })
    }).pipe(inKeyspace))
})

const casUnknown = new CqlError({
  reason: new CqlErrors.CasWriteUnknown({ message: "unknown", consistency: "serial", received: 0, blockFor: 1 })
})

const refused = new CqlError({ reason: new CqlErrors.Unauthorized({ message: "not allowed" }) })

const noTable = new CqlError({ reason: new CqlErrors.InvalidQuery({ message: "the table does not exist" }) })

const faultOf = (kind: Kind, fault: Fault, times = 1) => (asked: Kind, before: number): Fault =>
  asked === kind && before < times ? fault : undefined

const simulated = <A, E>(use: (server: Simulated) => Effect.Effect<A, E, Session>) =>
  Effect.suspend(() => {
    const server = new Simulated()
    return Effect.provide(use(server), server.layer)
  })

/** Other fibers, as long as they have something to do by this time of the clock. */
const pass = TestClock.adjust

describe("The lock of CqlMigrator", () => {
  it.effect("is renewed while a migration runs, and let go of behind the last", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.sleep("5 minutes"), "2_b": Effect.void }))
        yield* pass("4 minutes")
        assert.strictEqual(server.count("renew"), 24)
        assert.isDefined(server.lock)
        yield* pass("1 minute")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2])
        assert.isUndefined(server.lock)
      })
    ))

  it.effect("that was lost stops a run before its next migration", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(
          run({ "1_a": Effect.void, "2_b": Effect.sleep("1 minute"), "3_c": Effect.die("not to be run") }).pipe(
            failureOf("LockLost")
          )
        )
        yield* pass("1 second")
        server.holdFor(3_600_000)
        yield* pass("1 minute")
        const { applied, reason } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([reason.id, reason.ran], [3, false])
        // What has run is recorded: nobody else has begun it.
        assert.deepStrictEqual(applied, [1, 2])
        assert.strictEqual(server.rows.get(2)?.state, "applied")
        assert.strictEqual(server.lock?.process, "process 9 on elsewhere")
        assert.strictEqual(server.count("renew"), 1)
      })
    ))

  it.effect("that was lost does not let it record what another has begun since", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.sleep("1 minute") }).pipe(failureOf("LockLost")))
        yield* pass("1 second")
        server.holdFor(3_600_000)
        server.rows.get(1)!.owner = crypto.randomUUID()
        yield* pass("1 minute")
        const { applied, reason } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([reason.id, reason.ran, applied], [1, true, []])
        assert.strictEqual(server.rows.get(1)?.state, "begun")
      })
    ))

  it.effect("outlives renewals that fail, while its lease lasts", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("renew", { error: refused, when: "before" }, 3)
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.sleep("1 minute"), "2_b": Effect.void }))
        yield* pass("1 minute")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2])
      })
    ))

  it.effect("is waited for by a schedule, and then by nobody", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.holdFor(3_600_000)
        const waitForLock = Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: "10 seconds" }))
        const fiber = yield* Effect.forkChild(
          failureOf("Locked")(run({ "1_a": Effect.die("not to be run") }, { waitForLock }))
        )
        yield* pass("1 minute")
        const { reason } = yield* Fiber.join(fiber)
        assert.strictEqual(reason.process, "process 9 on elsewhere")
        assert.strictEqual(reason.expiresInSeconds, 3589)
        assert.strictEqual(server.lock?.process, "process 9 on elsewhere")
      })
    ))

  it.effect("of a holder that is dead is waited for by default", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.holdFor(30_000)
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.void }))
        yield* pass("31 seconds")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
      })
    ))

  it.effect("of another is not touched by who is interrupted while waiting", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.holdFor(3_600_000)
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.void }))
        yield* pass("2 seconds")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(server.lock?.process, "process 9 on elsewhere")
      })
    ))

  const cases = { before: "is not applied", after: "is applied", late: "is applied when it is tried again" } as const

  for (const [when, what] of Object.entries(cases) as ReadonlyArray<readonly [keyof typeof cases, string]>) {
    it.effect(`is taken by a write of which nobody knows, and which ${what}`, () =>
      simulated((server) =>
        Effect.gen(function*() {
          server.fault = faultOf("acquire", { error: casUnknown, when })
          const fiber = yield* Effect.forkChild(run({ "1_a": Effect.void }, { waitForLock: noWait }))
          yield* pass("1 second")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
          assert.strictEqual(server.count("acquire"), when === "after" ? 1 : 2)
          assert.isUndefined(server.lock)
        })
      ))

    for (const [kind, word] of [["begin", "begun"], ["finish", "applied"]] as const) {
      it.effect(`is kept where a migration is recorded as ${word} by a write of which nobody knows, and which ${what}`, () =>
        simulated((server) =>
          Effect.gen(function*() {
            server.fault = faultOf(kind, { error: casUnknown, when })
            let runs = 0
            const fiber = yield* Effect.forkChild(run({ "1_a": Effect.sync(() => void runs++) }))
            yield* pass("1 second")
            assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
            assert.strictEqual(server.count(kind), when === "after" ? 1 : 2)
            assert.strictEqual(server.rows.get(1)?.state, "applied")
            assert.strictEqual(runs, 1)
          })
        ))
    }
  }

  it.effect("is let go of at the second try, where the first one is unknown", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("release", { error: casUnknown, when: "before" })
        assert.deepStrictEqual(yield* run({ "1_a": Effect.void }), [1])
        assert.isUndefined(server.lock)
      })
    ))

  it.effect("that nobody can decide about fails the run with the error of the database", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("acquire", { error: casUnknown, when: "before" }, 100)
        const fiber = yield* Effect.forkChild(reasonOf("CasWriteUnknown")(run({ "1_a": Effect.die("not to be run") })))
        yield* pass("1 minute")
        yield* Fiber.join(fiber)
      })
    ))
})

describe("The table of CqlMigrator", () => {
  for (const asked of [0, 1]) {
    it.effect(`that a node lists and does not know yet, at read ${asked + 1}, is asked for again`, () =>
      simulated((server) =>
        Effect.gen(function*() {
          server.fault = (kind, before) =>
            kind === "read" && before >= asked && before < asked + 3 ? { error: noTable, when: "before" } : undefined
          const fiber = yield* Effect.forkChild(run({ "1_a": Effect.void }))
          yield* pass("2 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
        })
      ))
  }

  it.effect("that stays unknown fails the run", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("read", { error: noTable, when: "before" }, 1000)
        const fiber = yield* Effect.forkChild(reasonOf("InvalidQuery")(run({ "1_a": Effect.die("not to be run") })))
        yield* pass("1 minute")
        yield* Fiber.join(fiber)
      })
    ))
})

describe("What CqlMigrator cannot record", () => {
  it.effect("as begun is not run", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = (kind) =>
          kind === "begin" && server.rows.size === 1 ? { error: refused, when: "before" } : undefined
        const migrations = { "1_a": Effect.void, "2_b": Effect.die("not to be run") }
        const { applied, reason } = yield* failureOf("NotRecorded")(run(migrations))
        assert.deepStrictEqual([reason.id, reason.as, reason.cause], [2, "begun", refused])
        assert.deepStrictEqual(applied, [1])
        assert.isUndefined(server.lock)
      })
    ))

  it.effect("as applied is said to have run", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("finish", { error: refused, when: "before" }, 100)
        const { reason } = yield* failureOf("NotRecorded")(
          run({ "1_a": Effect.void, "2_b": Effect.die("not to be run") })
        )
        assert.deepStrictEqual([reason.id, reason.as], [1, "applied"])
        assert.match(reason.message, /^migration 1_a was run, and could not be recorded as applied: /)
        yield* failureOf("HalfApplied")(run({ "1_a": Effect.void }))
      })
    ))
})

describe("The agreement on the schema", () => {
  it.effect("is waited for behind each migration", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const disagree = Effect.sync(() => void (server.versions = [2, 1, 1]))
        let second = false
        const migrations = { "1_a": disagree, "2_b": Effect.sync(() => void (second = true)) }
        const fiber = yield* Effect.forkChild(run(migrations))
        yield* pass("5 seconds")
        assert.isFalse(second)
        assert.strictEqual(server.rows.get(1)?.state, "begun")
        server.versions = [2, 2, 2]
        yield* pass("1 second")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2])
      })
    ))

  it.effect("that is not reached in time stops the run, behind what has run", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const disagree = Effect.sync(() => void (server.versions = [2, 1, 2]))
        const migrations = { "1_a": disagree, "2_b": Effect.die("not to be run") }
        const fiber = yield* Effect.forkChild(
          failureOf("NoSchemaAgreement")(run(migrations, { schemaAgreementTimeout: "5 seconds" }))
        )
        yield* pass("6 seconds")
        const { applied, reason } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(reason.after, { id: 1, name: "a" })
        assert.deepStrictEqual(Object.values(reason.versions).map(({ length }) => length).toSorted(), [1, 2])
        assert.deepStrictEqual(applied, [1])
        assert.strictEqual(server.rows.get(1)?.state, "applied")
        const next = yield* Effect.forkChild(
          failureOf("NoSchemaAgreement")(run(migrations, { schemaAgreementTimeout: "5 seconds" }))
        )
        yield* pass("6 seconds")
        assert.isUndefined((yield* Fiber.join(next)).reason.after)
      })
    ))

  it.effect("is waited for before the lock is taken, and again when it is", () =>
    simulated((server) =>
      Effect.gen(function*() {
        let ran = false
        server.fault = (kind) => {
          if (kind === "acquire") server.versions = [3, 2]
          return undefined
        }
        server.versions = [2, 1]
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.sync(() => void (ran = true)) }))
        yield* pass("5 seconds")
        assert.strictEqual(server.count("acquire"), 0)
        server.versions = [2, 2]
        yield* pass("5 seconds")
        assert.deepStrictEqual([server.count("acquire"), ran], [1, false])
        server.versions = [3, 3]
        yield* pass("1 second")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
      })
    ))

  it.effect("that a statement of a text did not come to is waited for before the next one", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const session = yield* Session
        const disagreeing = (strings: TemplateStringsArray, ...values: ReadonlyArray<unknown>): unknown => {
          const statement = session.cql(strings, ...values)
          if (statement.text !== "CREATE TABLE a") return statement
          server.versions = [2, 1]
          return { result: Effect.map(statement.result, (result) => ({ ...result, schemaInAgreement: false })) }
        }
        const cql = Object.assign(
          (first: any, ...values: ReadonlyArray<unknown>) =>
            Array.isArray(first) ? disagreeing(first as any, ...values) : session.cql(first),
          session.cql
        ) as unknown as Session["Service"]["cql"]
        const migrations = { "1_a": "CREATE TABLE a; CREATE TABLE b" }
        const fiber = yield* Effect.forkChild(
          failureOf("NoSchemaAgreement")(run(migrations, { schemaAgreementTimeout: "5 seconds" })).pipe(
            Effect.provideService(Session, Session.of({ ...session, cql }))
          )
        )
        yield* pass("6 seconds")
        const { applied, reason } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([reason.after, reason.statement, applied], [{ id: 1, name: "a" }, 1, []])
        assert.strictEqual(server.count("other"), 1)
        assert.strictEqual(server.rows.get(1)?.state, "begun")
      })
    ))

  it.effect("is not asked of nodes that are down", () =>
    simulated((server) =>
      Effect.gen(function*() {
        const session = yield* Session
        const down = { hostId: "00000000-0000-4000-8000-000000000001", isUp: false } as Cluster.Node
        const cluster = { ...session.cluster, nodes: Effect.succeed([down]) }
        server.versions = [2, 1, 2]
        const ran = run({ "1_a": Effect.void }).pipe(
          Effect.provideService(Session, Session.of({ ...session, cluster }))
        )
        assert.deepStrictEqual(yield* ran, [1])
      })
    ))

  it.effect("that cannot be asked for is asked for again", () =>
    simulated((server) =>
      Effect.gen(function*() {
        server.fault = faultOf("local", { error: casUnknown, when: "before" }, 3)
        const fiber = yield* Effect.forkChild(run({ "1_a": Effect.void }))
        yield* pass("1 second")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1])
      })
    ))
})
