import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { cql, CqlStream, CqlType, Session } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

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

    for (const chunk of [1, 7, 10_000]) {
      it.effect(`also where there are more than wait for their turn, in chunks of ${chunk}`, () =>
        Effect.gen(function*() {
          const table = `more_${chunk}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, PRIMARY KEY (k, c))`
          const rows = Stream.map(Stream.range(1, 10_000), (c) => ({ k: c % 97, c }))
          const written = rows.pipe(
            Stream.rechunk(chunk),
            CqlStream.write({ table, concurrency: 4, maxBatchRows: 5 }),
            Stream.runCount
          )
          assert.strictEqual(yield* written, 10_000)
          assert.strictEqual(yield* CqlStream.count({ table }), 10_000n)
        }))
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

  for (const timestamps of ["client", "server"] as const) {
    it.effect(`of two rows of one partition the later one's static columns win, with the ${timestamps}'s timestamps`, () =>
      Effect.gen(function*() {
        const table = `statics_${timestamps}`
        yield* cql`CREATE TABLE ${cql.ident(table)} (k int, s int static, u int static, c int, PRIMARY KEY (k, c))`
        const session = yield* Session.makeFrom({ keyspace: (yield* Session).keyspace, timestamps })
        // The values fall: with one time for two of them the greater one would win.
        const rows = numbered(300).map((n) => ({
          k: n % 2,
          ...(n % 5 === 0 ? {} : { c: n }),
          ...(n % 3 === 0 && n % 5 !== 0 ? {} : { s: 1000 - n }),
          ...(n % 7 === 0 ? { u: n === 7 ? null : 500 - n } : {})
        }))
        yield* Stream.fromIterable<object>(rows).pipe(
          CqlStream.write({ table }),
          Stream.runDrain,
          Effect.provideService(Session, session)
        )
        const lastOf = (k: number, name: "s" | "u") => rows.findLast((row) => row.k === k && name in row)![name]
        for (const k of [0, 1]) {
          const read = yield* cql`SELECT s, u, c FROM ${cql.ident(table)} WHERE k = ${k}`
          const cs = rows.flatMap((row) => row.k === k && row.c !== undefined ? [row.c] : [])
          assert.deepStrictEqual(read, cs.map((c) => ({ s: lastOf(k, "s"), u: lastOf(k, "u"), c })))
        }
      }))
  }

  it.effect("of rows of one batch those are written that can be, and the others are given with the reason", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE mixed (k int, c int, v int, PRIMARY KEY (k, c))`
      const rows = numbered(30).map((c) => ({ k: 1, c: c === 7 ? null : c, v: c }))
      const failures: Array<CqlStream.NotWritten<object>> = []
      const passed = yield* Stream.fromIterable<object>(rows).pipe(
        CqlStream.write({ table: "mixed", onFailure: (failure) => Effect.sync(() => void failures.push(failure)) }),
        Stream.runCollect
      )
      const others = rows.filter(({ c }) => c !== null)
      assert.deepStrictEqual(failures.map(({ error, rows }) => [error.reason._tag, rows]), [
        ["InvalidQuery", [rows[7]!]]
      ])
      assert.deepStrictEqual(sorted(passed), sorted(others))
      assert.deepStrictEqual(sorted(yield* cql`SELECT k, c, v FROM mixed`), sorted(others))
    }))

  it.effect("writes batches that are too large for the server row by row", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE large (k int, c int, v text, PRIMARY KEY (k, c))`
      const rows = numbered(200).map((c) => ({ k: 1, c, v: "x".repeat(1000) }))
      const options = { table: "large", maxBatchRows: 1000, maxBatchBytes: 1e6 }
      assert.strictEqual(yield* Stream.run(Stream.fromIterable(rows), CqlStream.sink(options)), 200)
      assert.deepStrictEqual(sorted(yield* cql`SELECT k, c, v FROM large`), sorted(rows))
    }))

  it.effect("refuses tables of counters, before any row is asked for", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE counters (k int PRIMARY KEY, n counter)`
      const rows = Stream.fromEffect(Effect.die(new Error("a row was asked for")))
      const reason = yield* reasonOf("InvalidQuery")(
        Stream.runDrain(rows.pipe(CqlStream.write({ table: "counters" })))
      )
      assert.include(reason.message, "counters")
    }))

  it.effect(
    "takes no more memory for more rows",
    () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE heaped (k int, c int, v text, PRIMARY KEY (k, c))`
        setFlagsFromString("--expose-gc")
        const collectGarbage: () => void = runInNewContext("gc")
        const rows = Stream.map(Stream.range(1, 100_000), (n) => ({ k: n >> 3, c: n, v: "x".repeat(50) }))
        const sizes: Array<number> = []
        let count = 0
        yield* Stream.runForEachArray(rows.pipe(CqlStream.write({ table: "heaped" })), (written) =>
          Effect.sync(() => {
            const before = Math.floor(count / 20_000)
            count += written.length
            if (Math.floor(count / 20_000) === before) return
            collectGarbage()
            sizes.push(process.memoryUsage().heapUsed / 2 ** 20)
          }))
        assert.strictEqual(count, 100_000)
        assert.isBelow(Math.max(...sizes) - sizes[0]!, 10, `MiB by 20,000 rows: ${sizes}`)
      }),
    60_000
  )

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
      const longTtl = { ttl: "30000 days" } as const
      for (const options of [{ concurrency: 0 }, { maxBatchRows: 0 }, { maxBatchBytes: 0 }, longTtl]) {
        yield* reasonOf("InvalidConfig")(write({ table: "t", ...options }))
      }
      yield* reasonOf("InvalidConfig")(Stream.empty.pipe(CqlStream.write({ table: "t", ...longTtl }), Stream.runDrain))
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

// A scripted server, for it answers when it is told to, and counts what it is asked.
describe("CqlStream.join", () => {
  const select = /^SELECT n WHERE/

  const opened = Effect.gen(function*() {
    const server = yield* ScriptedServer.make()
    server.prepared(select, { params: [{ name: "k", type: "int" }], columns: [{ name: "n", type: "int" }] })
    server.on("SELECT marker", Reply.void)
    const { core, cql } = yield* connect(server, { shutdownTimeout: "20 millis" })
    return { server, core, cql, rowsOf: (k: number) => cql`SELECT n WHERE k = ${k}` }
  })

  /** The key is the row. */
  const answer = ({ values }: ScriptedServer.Request) =>
    Reply.rows({ columns: [{ name: "n", type: "int" }], rows: [[(values[0] as Buffer).readInt32BE()]] })

  const keyOf = ({ values }: ScriptedServer.Request) => (values[0] as Buffer).readInt32BE()

  for (const ordered of [true, false]) {
    const how = ordered ? "in order" : "as they arrive"

    it.live(`asks for as many keys at a time as it may, never more, ${how}`, () =>
      Effect.gen(function*() {
        const { cql, rowsOf, server } = yield* opened
        const held = hold(server, select, answer)
        let pulled = 0
        const keys = Stream.map(Stream.rechunk(Stream.range(1, 100), 1), (k) => {
          pulled++
          return k
        })
        const joining = yield* Effect.forkChild(
          Stream.runCollect(CqlStream.join(keys, rowsOf, { concurrency: 5, ordered }))
        )
        yield* held.awaitHeld(5)
        yield* Effect.repeat(cql`SELECT marker`, { times: 5 })
        assert.lengthOf(server.received(select), 5)
        assert.isAtMost(pulled, 6)
        for (let left = 100; left > 0; left--) {
          yield* held.awaitHeld(Math.min(5, left))
          yield* held.answer()
        }
        const rows = yield* Fiber.join(joining)
        assert.deepStrictEqual<ReadonlyArray<unknown>>(rows.map(({ n }) => n), numbered(100).map((n) => n + 1))
        assert.strictEqual(held.most(), 5)
      }))

    it.live(`fails with a statement that fails, ${how}`, () =>
      Effect.gen(function*() {
        const { rowsOf, server } = yield* opened
        server.on(select, (request) => keyOf(request) === 7 ? Reply.invalid("not this one") : answer(request))
        const given: Array<unknown> = []
        const joined = CqlStream.join(Stream.range(1, 50), rowsOf, { concurrency: 4, ordered })
        const reason = yield* reasonOf("InvalidQuery")(
          Stream.runForEach(joined, ({ n }) => Effect.sync(() => given.push(n)))
        )
        assert.strictEqual(reason.message, "not this one")
        if (ordered) assert.deepStrictEqual<ReadonlyArray<unknown>>(given, numbered(6).map((n) => n + 1))
        assert.isBelow(given.length, 50)
      }))

    it.live(`that is interrupted asks for nothing more, ${how}`, () =>
      Effect.gen(function*() {
        const { core, cql, rowsOf, server } = yield* opened
        const held = hold(server, select, answer)
        const joining = yield* Effect.forkChild(
          Stream.runDrain(CqlStream.join(Stream.range(1, 100), rowsOf, { concurrency: 5, ordered }))
        )
        yield* held.awaitHeld(5)
        yield* Fiber.interrupt(joining)
        yield* held.answer(5)
        yield* Effect.repeat(cql`SELECT marker`, { times: 5 })
        assert.lengthOf(server.received(select), 5)
        assert.deepStrictEqual([core.shared.admission.inFlight, core.shared.admission.queued], [0, 0])
      }))
  }

  it.live("gives rows in the order of their keys, or as they arrive, whichever is answered first", () =>
    Effect.gen(function*() {
      for (const ordered of [true, false]) {
        const { cql, rowsOf, server } = yield* opened
        yield* cql`SELECT marker`
        server.on(select, answer)
        const held = hold(server, select, (request) => keyOf(request) === 1 ? answer(request) : undefined)
        const given: Array<unknown> = []
        const joining = yield* Effect.forkChild(Stream.runForEach(
          CqlStream.join(Stream.range(1, 4), rowsOf, { ordered }),
          ({ n }) => Effect.sync(() => given.push(n))
        ))
        yield* server.awaitRequest(select, 4)
        yield* held.awaitHeld(1)
        yield* Effect.repeat(cql`SELECT marker`, { times: 5 })
        assert.deepStrictEqual(given, ordered ? [] : [2, 3, 4])
        yield* held.answer()
        yield* Fiber.join(joining)
        assert.deepStrictEqual(given, ordered ? [1, 2, 3, 4] : [2, 3, 4, 1])
      }
    }))
})
