/**
 * What `CqlStream.write` and `CqlStream.sink` send, as a scripted server sees it: what is bounded, and in what order.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CqlRetry, CqlStream, Session, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as ScriptedTable from "./support/scriptedTable.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

interface Row {
  readonly k: number
  readonly c: number
  readonly v: string
}

const insert = /^INSERT INTO "shop"."readings"/

/** A server with a table of readings, and a session on it. */
const opened = Effect.fnUntraced(function*(options: Session.Options = {}) {
  const server = yield* ScriptedServer.make()
  ScriptedTable.declare(server, [
    { name: "k", type: "int", kind: "partition_key" },
    { name: "c", type: "int", kind: "clustering" },
    { name: "v", type: "text", kind: "regular" }
  ])
  server.prepared(insert, {
    params: [{ name: "k", type: "int" }, { name: "c", type: "int" }, { name: "v", type: "text" }],
    partitionKeys: [0],
    keyspace: "shop",
    table: "readings"
  })
  server.on("SELECT marker", Reply.void)
  const scope = yield* Scope.fork(yield* Effect.scope)
  const session = yield* Scope.provide(
    connect(server, { keyspace: "shop", shutdownTimeout: "20 millis", ...options }),
    scope
  )
  return { server, session, close: Scope.close(scope, Exit.void) }
})

type Opened = Effect.Success<ReturnType<typeof opened>>

const write = <E>(
  { session }: Opened,
  rows: Stream.Stream<Row, E>,
  options: Omit<CqlStream.WriteOptions, "table"> = {}
) =>
  rows.pipe(
    CqlStream.write({ table: "readings", ...options }),
    (written) => Stream.provideService(written, Session, session)
  )

const rowOf = (n: number): Row => ({ k: n, c: n, v: `v${n}` })

const rowOfValues = (values: ScriptedServer.Request["values"]): Row => {
  const [k, c, v] = values as ReadonlyArray<Buffer>
  return { k: k!.readInt32BE(), c: c!.readInt32BE(), v: v!.toString() }
}

/** Rows as they were sent with a request. */
const rowsOf = ({ statements, values }: ScriptedServer.Request): ReadonlyArray<Row> =>
  statements.length > 0 ? statements.map((statement) => rowOfValues(statement.values)) : [rowOfValues(values)]

const sent = ({ server }: Opened): ReadonlyArray<ReadonlyArray<Row>> => server.received(insert).map(rowsOf)

const sorted = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row)).sort()

/** What a request counts for: its values as they are bound, with their number and lengths. */
const bytesOf = (rows: ReadonlyArray<Row>): number =>
  rows.reduce((sum, { v }) => sum + 2 + 3 * 4 + 4 + 4 + Buffer.byteLength(v), 0)

/** Until a number does not grow any more, however often the server has answered meanwhile. */
const settledAt = ({ session }: Opened, count: () => number): Effect.Effect<number> =>
  Effect.gen(function*() {
    let before = -1
    while (before !== count()) {
      before = count()
      for (let round = 0; round < 5; round++) yield* Effect.orDie(session.cql`SELECT marker`)
    }
    return before
  })

describe("batches", () => {
  it.live("have the rows of one partition and at most as many as are allowed, and each row is sent once", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, Reply.void)
      const rows = numbered(1000).map((n) => ({ ...rowOf(n), k: n % 3 }))
      const passed = yield* Stream.runCollect(
        write(on, Stream.rechunk(Stream.fromIterable(rows), 100), { maxBatchRows: 7 })
      )
      const requests = sent(on)
      assert.deepStrictEqual(sorted(requests.flat()), sorted(rows))
      assert.deepStrictEqual(sorted(passed), sorted(rows))
      for (const request of requests) assert.strictEqual(new Set(request.map(({ k }) => k)).size, 1)
      assert.strictEqual(Math.max(...requests.map((request) => request.length)), 7)
    }))

  it.live("have at most as many bytes as are allowed; a row of more goes alone", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, Reply.void)
      const rows = numbered(300).map((c) => ({ k: 1, c, v: "x".repeat(c % 10 === 0 ? 2000 : c) }))
      yield* Stream.runDrain(write(on, Stream.fromIterable(rows), { maxBatchBytes: 1000, maxBatchRows: 1000 }))
      const requests = sent(on)
      assert.deepStrictEqual(sorted(requests.flat()), sorted(rows))
      for (const request of requests) {
        if (request.length > 1) assert.isAtMost(bytesOf(request), 1000)
      }
      assert.isAbove(Math.max(...requests.map((request) => request.length)), 2)
      const batches = on.server.received(insert).filter(({ kind }) => kind === "batch")
      assert.deepStrictEqual([...new Set(batches.map(({ batchType }) => batchType))], ["UNLOGGED"])
    }))

  it.live("are not made of rows that come one by one while nothing else is to be done", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, Reply.void)
      const written = write(on, Stream.rechunk(Stream.map(Stream.range(0, 9), (c) => ({ k: 1, c, v: "" })), 1))
      assert.lengthOf(yield* Stream.runCollect(written), 10)
      assert.isAbove(on.server.received(insert).filter(({ kind }) => kind === "execute").length, 0)
    }))
})

describe("of two rows of one key the later one has the later time", () => {
  it.live("also where attempts are refused and made again", () =>
    Effect.gen(function*() {
      const on = yield* opened({ retry: CqlRetry.make({ schedule: Schedule.spaced("1 millis") }) })
      let request = 0
      on.server.on(insert, () => ++request % 3 === 0 ? Reply.overloaded("busy") : Reply.void)
      const rows = numbered(2000).map((n) => ({ k: n % 3, c: n % 5, v: String(n) }))
      yield* Stream.runDrain(write(on, Stream.fromIterable(rows), { maxBatchRows: 4 }))
      const latest = new Map<string, { readonly at: bigint; readonly v: string }>()
      const times = new Map<string, Set<bigint>>()
      for (const received of on.server.received(insert)) {
        for (const { c, k, v } of rowsOf(received)) {
          const key = `${k} ${c}`
          const at = received.timestamp!
          times.set(v, (times.get(v) ?? new Set()).add(at))
          // Two of one key in a batch would have one time.
          assert.notStrictEqual(latest.get(key)?.v === v ? undefined : latest.get(key)?.at, at)
          if (latest.get(key) === undefined || latest.get(key)!.at < at) latest.set(key, { at, v })
        }
      }
      for (const n of numbered(15)) {
        const { c, k, v } = rows[rows.length - 15 + n]!
        assert.strictEqual(latest.get(`${k} ${c}`)?.v, v)
      }
      // However often it was sent, it was as of one time.
      assert.deepStrictEqual(new Set([...times.values()].map((ofRow) => ofRow.size)), new Set([1]))
      assert.isAbove(request, rows.length / 4)
    }))

  it.live("also where a batch is refused and its rows are sent alone, behind a later batch", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const { promise, resolve } = Promise.withResolvers<void>()
      on.server.on(insert, (request) => {
        if (request.kind !== "batch") return Reply.void
        const tooLarge = Reply.invalid("too large")
        return rowsOf(request).some(({ v }) => v === "0") ? Reply.delay(promise, tooLarge) : tooLarge
      })
      const rows = numbered(4).map((n) => ({ k: 1, c: n % 2, v: String(n) }))
      const writing = yield* Effect.forkChild(Stream.runCount(write(on, Stream.fromIterable(rows))))
      yield* on.server.awaitRequest(insert, 2, ["execute"])
      resolve()
      assert.strictEqual(yield* Fiber.join(writing), 4)
      const alone = on.server.received(insert, ["execute"])
      const timeOf = (v: string) => alone.find((request) => rowsOf(request)[0]!.v === v)!.timestamp!
      assert.isTrue(timeOf("0") < timeOf("2"))
      assert.isTrue(timeOf("1") < timeOf("3"))
    }))

  it.live("where the server gives the times: then those of one partition are never on their way together", () =>
    Effect.gen(function*() {
      const on = yield* opened({ timestamps: "server" })
      const held = hold(on.server, insert)
      const rows = numbered(40).map((c) => ({ k: c % 2, c, v: String(c) }))
      const writing = yield* Effect.forkChild(
        Stream.runCount(write(on, Stream.fromIterable(rows), { maxBatchRows: 3 }))
      )
      for (let answered = 0; answered < 14; answered += 2) {
        yield* held.awaitHeld(2)
        assert.strictEqual(yield* settledAt(on, () => sent(on).length), answered + 2)
        const [one, other] = sent(on).slice(-2)
        assert.notStrictEqual(one![0]!.k, other![0]!.k)
        yield* held.answer(2)
      }
      assert.strictEqual(yield* Fiber.join(writing), 40)
      assert.strictEqual(held.most(), 2)
      for (const k of [0, 1]) {
        const ofPartition = sent(on).flat().filter((row) => row.k === k)
        assert.deepStrictEqual(ofPartition.map(({ c }) => c), numbered(20).map((n) => 2 * n + k))
      }
    }))
})

describe("there are never more", () => {
  it.live("requests on their way than are allowed, and as many where there are rows for them", () =>
    Effect.gen(function*() {
      for (const concurrency of [1, 5]) {
        const on = yield* opened()
        const held = hold(on.server, insert)
        const rows = Stream.map(Stream.range(1, 100), rowOf)
        const writing = yield* Effect.forkChild(Stream.runCount(write(on, rows, { concurrency })))
        for (let answered = 0; answered < 100; answered++) {
          yield* held.awaitHeld(Math.min(concurrency, 100 - answered))
          const asked = Math.min(100, answered + concurrency)
          assert.strictEqual(yield* settledAt(on, () => sent(on).length), asked)
          yield* held.answer()
        }
        assert.strictEqual(yield* Fiber.join(writing), 100)
      }
    }))

  const endless = (on: { pulled: number }, v: string) =>
    Stream.map(Stream.rechunk(Stream.range(0, Number.MAX_SAFE_INTEGER), 10), (n) => {
      on.pulled++
      return { ...rowOf(n % 2 ** 31), v }
    })

  it.live("rows taken from their stream than are on their way and two batches for each of those", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const held = hold(on.server, insert)
      const count = { pulled: 0 }
      const options = { concurrency: 4, maxBatchRows: 6 }
      yield* Effect.forkChild(Stream.runDrain(write(on, endless(count, ""), options)))
      yield* held.awaitHeld(4)
      const pulled = yield* settledAt(on, () => count.pulled)
      assert.isAtLeast(pulled, 4 + 2 * 4 * 6)
      assert.isAtMost(pulled, 4 + 2 * 4 * 6 + 10)
    }))

  it.live("bytes of them than two batches for each that may be on its way", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const held = hold(on.server, insert)
      const count = { pulled: 0 }
      yield* Effect.forkChild(Stream.runDrain(
        write(on, endless(count, "x".repeat(1000)), { concurrency: 4, maxBatchBytes: 2000 })
      ))
      yield* held.awaitHeld(4)
      assert.isAtMost(yield* settledAt(on, () => count.pulled), 4 + 2 * 4 * 2 + 10)
    }))

  it.live("rows that are written and not taken by whoever reads them than a few", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, Reply.void)
      const count = { pulled: 0 }
      const options = { concurrency: 4, maxBatchRows: 6 }
      yield* Effect.forkChild(Stream.runForEach(write(on, endless(count, ""), options), () => Effect.never))
      yield* on.server.awaitRequest(insert, 8)
      const pulled = yield* settledAt(on, () => count.pulled)
      // What is waiting, what is on its way, what is written and in the queue, what the reader holds.
      assert.isAtMost(pulled, 2 * 4 * 6 + 4 + 4 + 10 + 10)
    }))
})

describe("a batch that is refused", () => {
  const refusing = (request: ScriptedServer.Request) =>
    rowsOf(request).some(({ v }) => v === "bad") ? Reply.invalid("a value is bad") : Reply.void

  it.live("for one of its rows costs no other: they are sent alone", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, refusing)
      const rows = numbered(20).map((c) => ({ k: 1, c, v: c === 13 ? "bad" : "good" }))
      const failures: Array<CqlStream.NotWritten<Row>> = []
      const passed = yield* Stream.fromIterable(rows).pipe(
        CqlStream.write({
          table: "readings",
          onFailure: (failure: CqlStream.NotWritten<Row>) => Effect.sync(() => void failures.push(failure))
        }),
        Stream.provideService(Session, on.session),
        Stream.runCollect
      )
      assert.deepStrictEqual(failures.map(({ error, rows }) => [error.reason._tag, rows]), [
        ["InvalidQuery", [rows[13]!]]
      ])
      assert.deepStrictEqual(sorted(passed), sorted(rows.filter(({ v }) => v === "good")))
    }))

  it.live("as too large is written row by row", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, ({ kind }) => kind === "batch" ? Reply.invalid("Batch too large") : Reply.void)
      const rows = numbered(20).map((c) => ({ k: 1, c, v: "" }))
      assert.deepStrictEqual(sorted(yield* Stream.runCollect(write(on, Stream.fromIterable(rows)))), sorted(rows))
    }))

  it.live("for another reason fails as a whole, with all of its rows", () =>
    Effect.gen(function*() {
      const on = yield* opened({ retry: CqlRetry.none })
      on.server.on(insert, Reply.unavailable({ required: 2, alive: 1 }))
      const rows = numbered(20).map((c) => ({ k: 1, c, v: "" }))
      const failure = yield* Effect.flip(Stream.runDrain(write(on, Stream.fromIterable(rows))))
      assert.instanceOf(failure, CqlStream.NotWritten)
      assert.strictEqual(failure.error.reason._tag, "Unavailable")
      assert.deepStrictEqual(failure.rows, rows)
      assert.lengthOf(on.server.received(insert), 1)
    }))
})

describe("a cluster that can take only so many at a time", () => {
  const most = 4

  /** Refuses whoever comes while so many are worked on, each for a few milliseconds. */
  const small = (on: Opened) => {
    const refused: Array<boolean> = []
    let working = 0
    on.server.on(insert, () => {
      refused.push(working >= most)
      if (working >= most) return Reply.overloaded("busy")
      working++
      const { promise, resolve } = Promise.withResolvers<void>()
      setTimeout(() => {
        working--
        resolve()
      }, 2)
      return Reply.delay(promise, Reply.void)
    })
    return refused
  }

  it.live(
    "is asked for less, until little is refused",
    () =>
      Effect.gen(function*() {
        const on = yield* opened({ retry: CqlRetry.make({ schedule: Schedule.spaced("3 millis") }) })
        const refused = small(on)
        const rows = Stream.map(Stream.range(1, 2500), rowOf)
        assert.strictEqual(yield* Stream.runCount(write(on, rows)), 2500)
        const shareOf = (part: ReadonlyArray<boolean>) => part.filter((yes) => yes).length / part.length
        assert.isAbove(shareOf(refused.slice(0, 200)), 0.5)
        assert.isBelow(shareOf(refused.slice(-1000)), shareOf(refused.slice(0, 200)) / 2)
      }),
    60_000
  )
})

describe("a session that refuses what is too much for it", () => {
  it.live("is waited for, and no row is lost", () =>
    Effect.gen(function*() {
      const on = yield* opened({ maxInFlight: 2, maxQueued: 1 })
      on.server.on(insert, Reply.void)
      const rows = numbered(500).map(rowOf)
      assert.deepStrictEqual(sorted(yield* Stream.runCollect(write(on, Stream.fromIterable(rows)))), sorted(rows))
      assert.deepStrictEqual(sorted(sent(on).flat()), sorted(rows))
    }))

  it.live("is waited for as long as a statement may take", () =>
    Effect.gen(function*() {
      const on = yield* opened({ maxInFlight: 1, maxQueued: 1 })
      const held = hold(on.server, "SELECT slow")
      on.server.on(insert, Reply.void)
      const { admission } = on.session.core.shared
      const scope = yield* Effect.scope
      const occupied = Effect.gen(function*() {
        yield* on.server.awaitRequest(insert, 1)
        yield* Effect.repeat(Effect.yieldNow, { until: () => admission.inFlight === 0 })
        const slow = on.session.cql`SELECT slow`.pipe(Statement.withOptions({ timeout: "10 seconds" }))
        // Who reads rows has ended before these have.
        for (const _ of [1, 2]) yield* Effect.forkIn(slow, scope, { startImmediately: true })
        yield* held.awaitHeld(1)
      })
      // The first one is written: what is in the way comes behind it.
      const rows = Stream.concat(Stream.make(rowOf(1)), Stream.fromEffect(Effect.as(occupied, rowOf(2))))
      const failure = yield* Effect.flip(
        Stream.runDrain(write(on, rows)).pipe(Statement.provideOptions({ timeout: "100 millis" }))
      )
      assert.instanceOf(failure, CqlStream.NotWritten)
      assert.strictEqual(failure.error.reason._tag, "AdmissionRefused")
    }))
})

describe("a stream that ends before its rows", () => {
  it.live("by a failure of theirs gives what was on its way when it is answered, and then fails", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const held = hold(on.server, insert)
      const rows = Stream.concat(Stream.fromIterable(numbered(10).map(rowOf)), Stream.fail("broken" as const))
      const passed: Array<Row> = []
      const writing = yield* Effect.forkChild(
        Effect.flip(Stream.runForEach(write(on, rows), (row) => Effect.sync(() => passed.push(row))))
      )
      yield* held.awaitHeld(10)
      assert.deepStrictEqual(passed, [])
      yield* held.answer(10)
      assert.strictEqual(yield* Fiber.join(writing), "broken")
      assert.deepStrictEqual(sorted(passed), sorted(numbered(10).map(rowOf)))
    }))

  it.live("by a failure of theirs, into the sink, has written them when it fails", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const held = hold(on.server, insert)
      const rows = Stream.concat(Stream.fromIterable(numbered(10).map(rowOf)), Stream.fail("broken" as const))
      const writing = yield* Effect.forkChild(
        Effect.exit(Stream.run(rows, CqlStream.sink({ table: "readings" }))).pipe(
          Effect.provideService(Session, on.session)
        )
      )
      yield* held.awaitHeld(10)
      assert.isUndefined(writing.pollUnsafe())
      yield* held.answer(10)
      const exit: Exit.Exit<number, unknown> = yield* Fiber.join(writing)
      assert.deepStrictEqual(exit, Exit.fail("broken"))
    }))

  it.live("by an interruption sends nothing more", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      const held = hold(on.server, insert)
      const rows = Stream.map(Stream.range(0, Number.MAX_SAFE_INTEGER), (n) => rowOf(n % 2 ** 31))
      const writing = yield* Effect.forkChild(Stream.runDrain(write(on, rows, { concurrency: 8 })))
      yield* held.awaitHeld(8)
      yield* Fiber.interrupt(writing)
      yield* held.answer(8)
      assert.strictEqual(yield* settledAt(on, () => on.server.received(insert).length), 8)
      const { admission } = on.session.core.shared
      assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
    }))

  it.live("by a session that is closed gives each row with the reason, and ends", () =>
    Effect.gen(function*() {
      const on = yield* opened()
      on.server.on(insert, Reply.void)
      yield* Stream.runDrain(write(on, Stream.make(rowOf(0))))
      const failed: Array<string> = []
      let pulled = 0
      const rows = Stream.mapEffect(Stream.range(1, 3000), (n) =>
        Effect.as(++pulled === 1000 ? Effect.forkChild(on.close) : Effect.void, rowOf(n)))
      const passed = yield* rows.pipe(
        CqlStream.write({
          table: "readings",
          concurrency: 3,
          maxBatchRows: 5,
          onFailure: ({ error, rows }: CqlStream.NotWritten<Row>) =>
            Effect.sync(() => {
              for (const _ of rows) {
                failed.push(error.reason._tag)
              }
            })
        }),
        Stream.provideService(Session, on.session),
        Stream.runCount
      )
      assert.strictEqual(passed + failed.length, 3000)
      assert.isAbove(failed.length, 0)
      assert.deepStrictEqual(new Set(failed), new Set(["SessionClosed"]))
    }))
})
