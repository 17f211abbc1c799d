import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { cql, CqlStream, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import { reasonOf } from "./support/scripted.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: 64, discard: true } as const

/** Checked by count and by what each row is: none is missing, none is twice. */
const assertRows = (rows: ReadonlyArray<Statement.Row>, expected: ReadonlyArray<string>) =>
  assert.deepStrictEqual(rows.map((row) => JSON.stringify(row)).sort(), [...expected].sort())

const jsonOf = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row))

const ways: ReadonlyArray<readonly [name: string, options: Omit<CqlStream.ScanOptions, "table">]> = [
  ["as it comes", {}],
  ["in order", { ordered: true }],
  ["one range at a time", { concurrency: 1 }],
  ["by a thousand ranges", { ranges: 1000, concurrency: 16 }],
  ["in order, by a thousand ranges", { ordered: true, ranges: 1000, concurrency: 16 }]
]

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlStream.scan", (it) => {
  describe("reads each row once", () => {
    for (const [name, options] of ways) {
      it.effect(`of many small partitions, ${name}`, () =>
        Effect.gen(function*() {
          const table = `many_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
          const rows = numbered(900).map((n) => ({ k: n % 300, c: n, v: `v${n}` }))
          yield* Effect.forEach(rows, (row) => cql`INSERT INTO ${cql.ident(table)} ${cql.insert(row)}`, allAtOnce)
          const scanned = yield* Stream.runCollect(CqlStream.scan({ table, ...options })).pipe(
            Statement.provideOptions({ pageSize: 7 })
          )
          assertRows(scanned, jsonOf(rows))
        }))

      it.effect(`of one huge partition, with pages inside it, ${name}`, () =>
        Effect.gen(function*() {
          const table = `huge_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, PRIMARY KEY (k, c))`
          const rows = numbered(2000).map((c) => ({ k: 1, c }))
          yield* Stream.runDrain(Stream.fromIterable(rows).pipe(CqlStream.write({ table })))
          const scanned = yield* Stream.runCollect(CqlStream.scan({ table, ...options })).pipe(
            Statement.provideOptions({ pageSize: 50 })
          )
          // Rows of one partition come in their order, however its range is read.
          assert.deepStrictEqual(scanned.map((row) => row["c"]), [...numbered(2000)])
        }))

      it.effect(`of an empty table: none, ${name}`, () =>
        Effect.gen(function*() {
          const table = `empty_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int PRIMARY KEY)`
          assert.deepStrictEqual(yield* Stream.runCollect(CqlStream.scan({ table, ...options })), [])
        }))
    }
  })

  it.effect("comes in the order of tokens, when it is asked to", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE in_order (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(500), (k) => cql`INSERT INTO in_order (k) VALUES (${k})`, allAtOnce)
      const scanned = yield* Stream.runCollect(CqlStream.scan({ table: "in_order", ordered: true, ranges: 100 }))
      const sorted = yield* cql`SELECT k FROM in_order`
      assert.deepStrictEqual(scanned, sorted)
    }))

  it.effect("passes over tombstones, whole partitions of them too, and reads static columns", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE buried (k int, c int, s text static, PRIMARY KEY (k, c))`
      const cells = numbered(60).flatMap((k) => numbered(5).map((c) => ({ k, c, s: `s${k}` })))
      yield* Effect.forEach(cells, (row) => cql`INSERT INTO buried ${cql.insert(row)}`, allAtOnce)
      yield* Effect.forEach(numbered(20), (k) => cql`DELETE FROM buried WHERE k = ${k}`, allAtOnce)
      yield* Effect.forEach(numbered(60), (k) => cql`DELETE FROM buried WHERE k = ${k} AND c = ${2}`, allAtOnce)
      yield* cql`INSERT INTO buried (k, s) VALUES (${100}, ${"alone"})`
      const scanned = yield* Stream.runCollect(CqlStream.scan({ table: "buried" })).pipe(
        Statement.provideOptions({ pageSize: 3 })
      )
      const left = cells.filter(({ c, k }) => k >= 20 && c !== 2)
      assertRows(scanned, jsonOf([...left, { k: 100, c: null, s: "alone" }]))
    }))

  it.effect("reads partition keys of several columns, and names in capitals", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE "OddNames" ("K 1" int, "k""2" text, v int, PRIMARY KEY (("K 1", "k""2")))`
      const rows = numbered(50).map((n) => ({ "K 1": n, "k\"2": `t${n}`, v: n }))
      yield* Effect.forEach(rows, (row) => cql`INSERT INTO "OddNames" ${cql.insert(row)}`, allAtOnce)
      assertRows(yield* Stream.runCollect(CqlStream.scan({ table: "\"OddNames\"" })), jsonOf(rows))
    }))

  it.effect("reads some columns, of rows that fulfil a condition, by a schema", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE filtered (k int, c int, v text, PRIMARY KEY (k, c))`
      const rows = numbered(200).map((n) => ({ k: n % 20, c: n, v: `v${n}` }))
      yield* Effect.forEach(rows, (row) => cql`INSERT INTO filtered ${cql.insert(row)}`, allAtOnce)
      const where = cql`c >= ${50} AND c < ${150}`
      const wanted = rows.filter(({ c }) => c >= 50 && c < 150)
      const some = yield* Stream.runCollect(CqlStream.scan({ table: "filtered", columns: ["v", "c"], where }))
      assertRows(some, jsonOf(wanted.map(({ c, v }) => ({ v, c }))))
      const V = Schema.Struct({ v: Schema.String })
      const typed: ReadonlyArray<{ readonly v: string }> = yield* Stream.runCollect(
        CqlStream.scan({ table: "filtered", schema: V, where })
      )
      assertRows(typed, jsonOf(wanted.map(({ v }) => ({ v }))))
      assert.strictEqual(yield* CqlStream.count({ table: "filtered", where }), 100n)
      assert.strictEqual(yield* CqlStream.count({ table: "filtered" }), 200n)
    }))

  describe("a checkpoint", () => {
    it.effect("is where another one goes on: no row is lost, and none is read twice of ranges that were done", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE resumed (k int PRIMARY KEY)`
        yield* Effect.forEach(numbered(400), (k) => cql`INSERT INTO resumed (k) VALUES (${k})`, allAtOnce)
        for (const options of [{}, { ordered: true }, { ranges: 50, concurrency: 8 }]) {
          const seen: Array<unknown> = []
          let from: string | undefined
          let rounds = 0
          // Each round reads until a few ranges are done, and is broken off then in the middle of others.
          do {
            let atCheckpoint = seen.length
            let done = 0
            const scan = CqlStream.scanPages({ table: "resumed", from, ...options })
            yield* Stream.runForEach(
              Stream.takeUntil(scan, ({ checkpoint }) => checkpoint !== undefined && ++done === 5),
              ({ checkpoint, rows }) =>
                Effect.sync(() => {
                  seen.push(...rows.map((row) => row["k"]))
                  if (checkpoint === undefined) return
                  from = checkpoint
                  atCheckpoint = seen.length
                })
            ).pipe(Statement.provideOptions({ pageSize: 500 }))
            seen.length = atCheckpoint
            rounds++
          } while (seen.length < 400 && rounds < 100)
          assert.isAbove(rounds, 1)
          assert.deepStrictEqual([...seen].sort((a, b) => Number(a) - Number(b)), [...numbered(400)])
        }
      }))

    it.effect("of a scan that is done has nothing left", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE done (k int PRIMARY KEY)`
        yield* cql`INSERT INTO done (k) VALUES (1)`
        const pages = yield* Stream.runCollect(CqlStream.scanPages({ table: "done" }))
        const last = pages.at(-1)!
        assert.strictEqual(last.rangesDone, last.ranges)
        assert.deepStrictEqual(yield* Stream.runCollect(CqlStream.scan({ table: "done", from: last.checkpoint })), [])
      }))

    it.effect("of another table, of other columns or another condition, or none at all, is refused", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE one (k int PRIMARY KEY, v int)`
        yield* cql`CREATE TABLE other (k int PRIMARY KEY, v int)`
        const pages = yield* Stream.runCollect(CqlStream.scanPages({ table: "one" }))
        const from = pages[0]!.checkpoint!
        for (
          const options of [
            { table: "other", from },
            { table: "one", columns: ["k"], from },
            { table: "one", where: cql`v = ${1}`, from },
            { table: "one", from: "nonsense" },
            { table: "one", from: from.slice(0, -4) }
          ]
        ) {
          yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.scan(options)))
        }
      }))
  })

  describe("refuses", () => {
    it.effect("what is no table, and what there is not", () =>
      Effect.gen(function*() {
        yield* reasonOf("InvalidQuery")(Stream.runDrain(CqlStream.scan({ table: "nowhere" })))
        yield* reasonOf("InvalidQuery")(CqlStream.count({ table: "system_schema.nowhere" }))
        for (const table of ["", "a b", "a.b.c", "a;", "1"]) {
          yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scan({ table })))
        }
      }))

    it.effect("options that make no sense", () =>
      Effect.gen(function*() {
        for (const options of [{ concurrency: 0 }, { ranges: 0 }, { columns: [] }, { from: "" }]) {
          yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scan({ table: "t", ...options })))
        }
      }))
  })

  it.effect("that is interrupted leaves nothing in flight, and one that ends early asks for no more", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE left (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(300), (k) => cql`INSERT INTO left (k) VALUES (${k})`, allAtOnce)
      const { admission } = (yield* Session).core.shared
      for (const ordered of [true, false]) {
        const scan = CqlStream.scan({ table: "left", ordered, ranges: 100 })
        const first = yield* Stream.runCollect(Stream.take(scan, 3))
        assert.lengthOf(first, 3)
        const fiber = yield* Effect.forkChild(Stream.runForEach(scan, () => Effect.never))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        // What was sent is answered before this is.
        yield* cql`SELECT k FROM left LIMIT 1`
        yield* cql`SELECT k FROM left LIMIT 1`.pipe(Effect.repeat({ until: () => admission.inFlight === 0 }))
      }
    }))
})
