import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { cql, CqlStream, CqlType, Session } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import { reasonOf } from "./support/scripted.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const sorted = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row)).sort()

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlStream.write", (it) => {
  describe("writes each row, and passes it on once,", () => {
    const orders: ReadonlyArray<readonly [name: string, partitionOf: (n: number) => number]> = [
      ["clustered", (n) => Math.floor(n / 300)],
      ["random", (n) => (n * 7919) % 997],
      ["one", () => 1],
      ["each", (n) => n]
    ]
    for (const [name, partitionOf] of orders) {
      for (const chunk of [1, 3000]) {
        it.effect(`of partitions that come ${name}, in chunks of ${chunk}`, () =>
          Effect.gen(function*() {
            const table = `t_${name}_${chunk}`
            yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
            const rows = numbered(1500).map((c) => ({ k: partitionOf(c), c, v: `v${c}` }))
            const passed = yield* Stream.fromIterable(rows).pipe(
              Stream.rechunk(chunk),
              CqlStream.write({ table }),
              Stream.runCollect
            )
            assert.deepStrictEqual(sorted(passed), sorted(rows))
            assert.deepStrictEqual(sorted(yield* cql`SELECT k, c, v FROM ${cql.ident(table)}`), sorted(rows))
          }))
      }
    }

    it.effect("by a schema, and its count is what the sink gives", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE typed (id uuid PRIMARY KEY, at timestamp, tags set<text>, note text)`
        class Row extends Schema.Class<Row>("Row")({
          id: CqlType.Uuid,
          at: CqlType.Timestamp,
          tags: CqlType.Set(Schema.String),
          note: Schema.optional(Schema.String)
        }) {}
        const rows = numbered(200).map((n) =>
          new Row({
            id: crypto.randomUUID(),
            at: new Date(1e12 + n),
            tags: new Set([`t${n}`]),
            ...(n % 2 === 0 ? { note: "n" } : {})
          })
        )
        assert.strictEqual(
          yield* Stream.run(Stream.fromIterable(rows), CqlStream.sink({ table: "typed", schema: Row })),
          200
        )
        const read = yield* Stream.runCollect(CqlStream.scan({ table: "typed", schema: Row }))
        const byId = (all: ReadonlyArray<Row>) => [...all].sort((a, b) => a.id < b.id ? -1 : 1)
        assert.deepStrictEqual(byId(read), byId(rows))
      }))

    it.effect("with what keys it has: what is absent is left as it is", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE partial (k int PRIMARY KEY, a int, b int)`
        yield* Stream.make({ k: 1, a: 1 }, { k: 2, b: 2 }).pipe(CqlStream.write({ table: "partial" }), Stream.runDrain)
        yield* Stream.make({ k: 1, b: 3 }, { k: 2, a: 4 }).pipe(CqlStream.write({ table: "partial" }), Stream.runDrain)
        assert.deepStrictEqual(
          sorted(yield* cql`SELECT * FROM partial`),
          sorted([
            { k: 1, a: 1, b: 3 },
            { k: 2, a: 4, b: 2 }
          ])
        )
      }))

    it.effect("and nothing of an empty stream", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE nothing (k int PRIMARY KEY)`
        const rows: Stream.Stream<{ readonly k: number }> = Stream.empty
        assert.strictEqual(yield* Stream.run(rows, CqlStream.sink({ table: "nothing" })), 0)
      }))
  })

  for (const timestamps of ["client", "server"] as const) {
    it.effect(`of two rows of one key the later one wins, with the ${timestamps}'s timestamps`, () =>
      Effect.gen(function*() {
        const table = `later_${timestamps}`
        yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v int, PRIMARY KEY (k, c))`
        const session = yield* Session.makeFrom({ keyspace: (yield* Session).keyspace, timestamps })
        // The value falls: with one time for both the greater one would win.
        const rows = numbered(600).map((n) => ({ k: n % 2, c: n % 3, v: 1000 - n }))
        yield* Stream.fromIterable(rows).pipe(
          CqlStream.write({ table }),
          Stream.runDrain,
          Effect.provideService(Session, session)
        )
        const last = new Map(rows.map((row) => [`${row.k} ${row.c}`, row]))
        assert.deepStrictEqual(sorted(yield* cql`SELECT k, c, v FROM ${cql.ident(table)}`), sorted([...last.values()]))
      }))
  }

  it.effect("keeps rows as long as it is told to", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE kept (k int PRIMARY KEY, v int)`
      yield* Stream.make({ k: 1, v: 1 }).pipe(CqlStream.write({ table: "kept", ttl: "1 hour" }), Stream.runDrain)
      const [row] = yield* cql`SELECT TTL(v) AS ttl FROM kept`
      assert.isAtMost(Number(row!["ttl"]), 3600)
      assert.isAbove(Number(row!["ttl"]), 3000)
    }))

  describe("a row that cannot be written", () => {
    const rows = [{ k: 1, v: 1 }, { k: "secret-mark", v: 2 }, { k: 3, v: 3 }]

    it.effect("ends the stream with itself and the reason, and neither is printed with its values", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE refusing (k int PRIMARY KEY, v int)`
        const failure = yield* Effect.flip(
          Stream.fromIterable<object>(rows).pipe(CqlStream.write({ table: "refusing" }), Stream.runDrain)
        )
        assert.instanceOf(failure, CqlStream.NotWritten)
        assert.deepStrictEqual(failure.rows, [rows[1]])
        assert.strictEqual(failure.error.reason._tag, "InvalidParameter")
        assert.notInclude(
          [inspect(failure, { depth: 9 }), JSON.stringify(failure), String(failure), failure.message].join(),
          "secret-mark"
        )
      }))

    it.effect("is given to onFailure, and the others are written", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE going_on (k int PRIMARY KEY, v int)`
        const failures: Array<CqlStream.NotWritten<object>> = []
        const passed = yield* Stream.fromIterable<object>(rows).pipe(
          CqlStream.write({
            table: "going_on",
            onFailure: (failure) => Effect.sync(() => void failures.push(failure))
          }),
          Stream.runCollect
        )
        assert.deepStrictEqual(failures.map(({ rows }) => rows), [[rows[1]!]])
        assert.deepStrictEqual(sorted(passed), sorted([rows[0]!, rows[2]!]))
        assert.deepStrictEqual(sorted(yield* cql`SELECT k, v FROM going_on`), sorted([rows[0]!, rows[2]!]))
      }))

    it.effect("ends the stream with what onFailure fails with", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE stopping (k int PRIMARY KEY, v int)`
        const stop = Effect.flip(
          Stream.fromIterable<object>(rows).pipe(
            CqlStream.write({ table: "stopping", onFailure: () => Effect.fail("stopped" as const) }),
            Stream.runDrain
          )
        )
        assert.strictEqual(yield* stop, "stopped")
      }))
  })

  it.effect("writes what came before a failure of the rows' own stream, and fails with that", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE broken (k int PRIMARY KEY)`
      const rows = Stream.concat(
        Stream.fromIterable(numbered(500).map((k) => ({ k }))),
        Stream.fail("broken" as const)
      )
      const failure = yield* Effect.flip(Stream.runDrain(rows.pipe(CqlStream.write({ table: "broken" }))))
      assert.strictEqual(failure, "broken")
      assert.strictEqual(yield* CqlStream.count({ table: "broken" }), 500n)
    }))

  it.effect("refuses a table that there is not, and options that make no sense", () =>
    Effect.gen(function*() {
      const write = (options: CqlStream.WriteOptions) =>
        Stream.make({ k: 1 }).pipe(CqlStream.write(options), Stream.runDrain)
      yield* reasonOf("InvalidQuery")(write({ table: "nowhere" }))
      for (const options of [{ concurrency: 0 }, { maxBatchRows: 0 }, { maxBatchBytes: 0 }]) {
        yield* reasonOf("InvalidConfig")(write({ table: "t", ...options }))
      }
    }))

  it.effect("that is interrupted leaves nothing in flight", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE interrupted (k int PRIMARY KEY)`
      const { admission } = (yield* Session).core.shared
      const endless = Stream.map(Stream.range(0, Number.MAX_SAFE_INTEGER), (k) => ({ k: k % 1000 }))
      const some = Stream.take(endless.pipe(CqlStream.write({ table: "interrupted" })), 2000)
      assert.strictEqual(yield* Stream.runCount(some), 2000)
      const fiber = yield* Effect.forkChild(Stream.runDrain(endless.pipe(CqlStream.write({ table: "interrupted" }))))
      yield* cql`SELECT k FROM interrupted`
      yield* Fiber.interrupt(fiber)
      yield* cql`SELECT k FROM interrupted`.pipe(Effect.repeat({ until: () => admission.inFlight === 0 }))
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlStream.join", (it) => {
  it.effect("gives the rows of each key, in the order of the keys or as they arrive", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE parts (k int, c int, PRIMARY KEY (k, c))`
      const rows = numbered(300).map((n) => ({ k: n % 30, c: n }))
      yield* Stream.fromIterable(rows).pipe(CqlStream.write({ table: "parts" }), Stream.runDrain)
      const keys = Stream.fromIterable([5, 3, 99, 3, ...numbered(30)])
      const rowsOf = (k: number) => cql`SELECT k, c FROM parts WHERE k = ${k}`
      const expected = [5, 3, 99, 3, ...numbered(30)].flatMap((key) => rows.filter(({ k }) => k === key))
      assert.deepStrictEqual(yield* Stream.runCollect(CqlStream.join(keys, rowsOf)), expected)
      const unordered = keys.pipe(CqlStream.join(rowsOf, { ordered: false, concurrency: 4 }))
      assert.deepStrictEqual(sorted(yield* Stream.runCollect(unordered)), sorted(expected))
      yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.join(keys, rowsOf, { concurrency: 0 })))
    }))
})
