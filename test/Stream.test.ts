import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Session } from "../src/index.ts"
import { cql, CqlError, CqlRetry, CqlStream, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import { encodeRows } from "./support/protocol.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const columns = [{ name: "n", type: "int" }]

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

/** Pages of one row each. */
const onePerPage = (count: number) => Reply.pages({ columns, pages: numbered(count).map((n) => [[n]]) })

type Answer = Parameters<ScriptedServer.Scripts["on"]>[1]

/** A server whose table has these pages, and a session on it. */
const opened = Effect.fnUntraced(function*(answer: Answer, options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.on("SELECT n", answer)
  server.on("SELECT marker", Reply.void)
  const session = yield* connect(server, options)
  return {
    ...session,
    server,
    select: session.cql`SELECT n`,
    /** How many pages were asked for, once everything that was sent has arrived. */
    asked: Effect.as(session.cql`SELECT marker`, undefined).pipe(
      Effect.map(() => server.received("SELECT n").length)
    )
  }
})

const collect = <E, R>(stream: Stream.Stream<Statement.Row, E, R>) =>
  Effect.map(Stream.runCollect(stream), (rows) => rows.map((row) => row["n"]))

describe("rows", () => {
  it.live("come page by page, in order", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(onePerPage(50))
      assert.deepStrictEqual(yield* collect(select.stream), numbered(50))
      assert.strictEqual(yield* asked, 50)
    }))

  const pagesWithEmptyOnes = {
    "in front": [[], [], [[1]], [[2], [3]]],
    "in the middle": [[[1]], [[2]], [], [], [[3]]],
    "at the end": [[[1]], [[2], [3]], [], []],
    "everywhere": [[], [[1]], [], [[2]], [], [], [[3]], []]
  }

  for (const [where, pages] of Object.entries(pagesWithEmptyOnes)) {
    it.live(`are not lost to empty pages ${where}${where === "at the end" ? "" : ", as they are to the driver"}`, () =>
      Effect.gen(function*() {
        const { cluster, select } = yield* opened(Reply.pages({ columns, pages }))
        assert.deepStrictEqual(yield* collect(select.stream), [1, 2, 3])
        assert.deepStrictEqual((yield* select).map(({ n }) => n), [1, 2, 3])
        const byDriver = yield* cluster.use(async (client) => {
          const rows: Array<unknown> = []
          for await (const row of await client.execute("SELECT n")) rows.push(row["n"])
          return rows
        })
        if (where === "at the end") assert.deepStrictEqual(byDriver, [1, 2, 3])
        else assert.isBelow(byDriver.length, 3)
      }))
  }

  it.live("of a result without any are none", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(Reply.void)
      assert.deepStrictEqual(yield* collect(select.stream), [])
    }))

  it.live("are asked for anew each time that the stream is run, and not before", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(onePerPage(3))
      const { stream } = select
      assert.strictEqual(yield* asked, 0)
      assert.deepStrictEqual(yield* collect(stream), [0, 1, 2])
      assert.deepStrictEqual(yield* collect(stream), [0, 1, 2])
      assert.strictEqual(yield* asked, 6)
    }))

  it.live("are decoded; a row that does not fit its schema ends the stream after the pages before it", () =>
    Effect.gen(function*() {
      const { cql } = yield* opened(onePerPage(5))
      const small = cql(Schema.Struct({ n: Schema.Int.check(Schema.isLessThan(3)) }))`SELECT n`.stream
      const rows: Array<number> = []
      const error = yield* Effect.flip(Stream.runForEach(small, ({ n }) => Effect.sync(() => rows.push(n))))
      assert.strictEqual(error._tag, "SchemaError")
      assert.deepStrictEqual(rows, [0, 1, 2])
    }))
})

describe("pages", () => {
  it.live("are numbered, empty ones too, and know which is the last", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(Reply.pages({ columns, pages: [[[1], [2]], [], [[3]]] }))
      const pages = yield* Stream.runCollect(select.pages)
      assert.deepStrictEqual(pages.map(({ next: _next, ...page }) => page), [
        { index: 0, rows: [{ n: 1 }, { n: 2 }], isLast: false },
        { index: 1, rows: [], isLast: false },
        { index: 2, rows: [{ n: 3 }], isLast: true }
      ])
      assert.deepStrictEqual(pages.map(({ next }) => typeof next), ["string", "string", "undefined"])
    }))

  it.live("of a statement without rows are one that is empty", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(Reply.void)
      assert.deepStrictEqual(yield* Stream.runCollect(select.pages), [
        { index: 0, rows: [], isLast: true, next: undefined }
      ])
    }))

  it.live("end after maxPages", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(onePerPage(10))
      assert.deepStrictEqual(yield* collect(CqlStream.rows(select, { maxPages: 3 })), [0, 1, 2])
      assert.lengthOf(yield* Stream.runCollect(select.pipe(CqlStream.pages({ maxPages: 1, pagesAhead: 3 }))), 1)
      assert.strictEqual(yield* asked, 4)
    }))

  it.live("have as many rows as the statement says", () =>
    Effect.gen(function*() {
      const { select, server } = yield* opened(onePerPage(3))
      yield* Stream.runDrain(select.pipe(Statement.withOptions({ pageSize: 7 }), CqlStream.rows({})))
      assert.deepStrictEqual(server.received("SELECT n").map(({ pageSize }) => pageSize), [7, 7, 7])
    }))
})

describe("a million rows", () => {
  const perPage = 5000

  const million = () => {
    const rows = encodeRows(columns, numbered(perPage).map((n) => [n]))
    return Reply.pages({ columns, pages: numbered(200).map(() => rows) })
  }

  it.live("cost one page for whoever takes three of them", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(million())
      assert.deepStrictEqual(yield* collect(Stream.take(select.stream, 3)), [0, 1, 2])
      assert.strictEqual(yield* asked, 1)
    }))

  it.live("take no more memory than a few pages", () =>
    Effect.gen(function*() {
      setFlagsFromString("--expose-gc")
      const collectGarbage: () => void = runInNewContext("gc")
      const heap = () => {
        collectGarbage()
        return process.memoryUsage().heapUsed / 2 ** 20
      }
      const { select } = yield* opened(million())
      const sizes: Array<number> = []
      let count = 0
      yield* Stream.runForEachArray(CqlStream.rows(select, { pagesAhead: 3 }), (rows) =>
        Effect.sync(() => {
          count += rows.length
          if (count % (20 * perPage) === 0) sizes.push(heap())
        }))
      assert.strictEqual(count, 1_000_000)
      // All of them together would be a hundred times as much.
      assert.isBelow(Math.max(...sizes) - sizes[0]!, 10, `MiB by page: ${sizes}`)
    }))
})

describe("fetching", () => {
  for (const pagesAhead of [0, 1, 3]) {
    it.live(`is ${pagesAhead} pages ahead of the one in hand, from the second on`, () =>
      Effect.gen(function*() {
        const { asked, select, server } = yield* opened(onePerPage(20))
        const counts: Array<number> = []
        const look = Effect.gen(function*() {
          // Not before as many have come as should; then all that were sent have.
          if (counts.length > 0) yield* server.awaitRequest("SELECT n", counts.length + 1 + pagesAhead)
          yield* asked
          counts.push(yield* asked)
        })
        yield* CqlStream.pages(select, { pagesAhead }).pipe(Stream.take(5), Stream.runForEach(() => look))
        assert.deepStrictEqual(counts, [1, ...[2, 3, 4, 5].map((page) => page + pagesAhead)])
      }))

    it.live(`ends with whoever takes no more, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        const { asked, select } = yield* opened(onePerPage(20))
        const stream = CqlStream.rows(select, { pagesAhead })
        assert.deepStrictEqual(yield* collect(Stream.take(stream, 4)), [0, 1, 2, 3])
        assert.isAtMost(yield* asked, 4 + pagesAhead)
        const failed = Stream.runForEach(stream, ({ n }) => n === 3 ? Effect.fail("consumer") : Effect.void)
        assert.strictEqual(yield* Effect.flip(failed), "consumer")
        assert.isAtMost(yield* asked, 2 * (4 + pagesAhead))
      }))

    it.live(`ends when the stream is interrupted, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const held = hold(server, "SELECT n", onePerPage(20))
        server.on("SELECT marker", Reply.void)
        const { cql } = yield* connect(server)
        const reading = yield* Effect.forkChild(Stream.runDrain(CqlStream.rows(cql`SELECT n`, { pagesAhead })))
        for (let page = 0; page < 3; page++) {
          yield* held.awaitHeld(1)
          yield* held.answer()
        }
        yield* held.awaitHeld(1)
        yield* Fiber.interrupt(reading)
        yield* held.answer()
        yield* cql`SELECT marker`
        yield* cql`SELECT marker`
        assert.lengthOf(server.received("SELECT n"), 4)
      }))

    it.live(`that fails on the third page fails the stream after the rows of two, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        const pages = onePerPage(5)
        const isThird = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() === 2
        const { select } = yield* opened((request) => isThird(request) ? Reply.overloaded("busy") : pages(request))
        const rows: Array<unknown> = []
        const stream = CqlStream.rows(select, { pagesAhead })
        const reason = yield* reasonOf("Overloaded")(
          Stream.runForEach(stream, ({ n }) => Effect.sync(() => rows.push(n)))
        )
        assert.strictEqual(reason.message, "busy")
        assert.deepStrictEqual(rows, [0, 1])
      }))
  }

  it.live("has the statement's time limit for each page, and not for all of them", () =>
    Effect.gen(function*() {
      const pages = onePerPage(12)
      const isLast = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() === 11
      const { select } = yield* opened(
        (request) => isLast(request) ? Reply.silence : Reply.delay(100, pages(request)),
        {
          shutdownTimeout: "20 millis"
        }
      )
      const stream = select.pipe(Statement.withOptions({ timeout: "1 second" })).stream
      const rows: Array<unknown> = []
      const reason = yield* reasonOf("ClientTimeout")(
        Stream.runForEach(stream, ({ n }) => Effect.sync(() => rows.push(n)))
      )
      assert.deepInclude(reason, { phase: "operation", timeoutMillis: 1000 })
      assert.deepStrictEqual(rows, numbered(11))
    }))
})

describe("streamTimeout", () => {
  const streamTimeout = "1 second"

  const endsWithStream = { _tag: "ClientTimeout", phase: "stream", timeoutMillis: 1000 } as const

  const pageOf = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() ?? 0

  /** Pages of one row each, but the one of this number, which has another answer. */
  const pagesBut = (number: number, reply: Reply.Reply): ScriptedServer.Handler => {
    const pages = onePerPage(20)
    return (request) => pageOf(request) === number ? reply : pages(request)
  }

  /** The rows that came, and the error behind them. */
  const failing = <E>(stream: Stream.Stream<Statement.Row, E>, at?: (n: unknown) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const rows: Array<unknown> = []
      const error = yield* Effect.flip(Stream.runForEach(stream, ({ n }) => {
        rows.push(n)
        return at?.(n) ?? Effect.void
      }))
      assert.instanceOf(error, CqlError)
      return { error, rows }
    })

  for (const pagesAhead of [0, 1, 3]) {
    it.live(`ends the stream within a page that does not come, behind the rows before it, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        const { asked, select, server } = yield* opened(pagesBut(2, Reply.silence), { shutdownTimeout: "20 millis" })
        const limited = select.pipe(Statement.withOptions({ streamTimeout }))
        const { error, rows } = yield* failing(CqlStream.rows(limited, { pagesAhead }))
        assert.deepInclude({ ...error.reason }, endsWithStream)
        assert.deepStrictEqual(rows, [0, 1])
        assert.strictEqual(error.statement, "SELECT n")
        const node = `${server.host}:${server.port}`
        assert.strictEqual(error.coordinator, node)
        assert.deepStrictEqual(error.attempts.map(({ node, outcome }) => ({ node, outcome })), [
          { node, outcome: "ClientTimeout" }
        ])
        assert.strictEqual(yield* asked, 3)
      }))

    it.live(`ends the stream between pages, where rows are worked on too long, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        const { asked, cql, select, server } = yield* opened(onePerPage(20), { shutdownTimeout: "20 millis" })
        server.on("SELECT later", Reply.silence)
        // It has the same limit as the stream, and begins later.
        const tooLong = reasonOf("ClientTimeout")(
          cql`SELECT later`.pipe(Statement.withOptions({ timeout: streamTimeout }))
        )
        const limited = select.pipe(Statement.withOptions({ streamTimeout }))
        const { error, rows } = yield* failing(
          CqlStream.rows(limited, { pagesAhead }),
          (n) => n === 1 ? tooLong : Effect.void
        )
        assert.deepInclude({ ...error.reason }, endsWithStream)
        assert.deepStrictEqual(rows, numbered(2 + pagesAhead))
        assert.deepStrictEqual(error.attempts, [])
        assert.strictEqual(yield* asked, 2 + pagesAhead)
      }))
  }

  it.live("ends pages like rows, and of every level the nearest counts", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(pagesBut(1, Reply.silence), {
        shutdownTimeout: "20 millis",
        streamTimeout: "10 minutes"
      })
      const { pages } = select.pipe(Statement.withOptions({ streamTimeout }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(Stream.runDrain(pages)), endsWithStream)
      const inRegion = Stream.runDrain(select.stream).pipe(Statement.provideOptions({ streamTimeout }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(inRegion), endsWithStream)
    }))

  it.live("ends the stream also while a page waits to be tried again", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(pagesBut(1, Reply.overloaded("busy")))
      const retry = CqlRetry.make({ schedule: Schedule.spaced("10 millis") })
      const limited = select.pipe(Statement.withOptions({ idempotent: true, streamTimeout, retry }))
      const { error, rows } = yield* failing(limited.stream)
      // Whatever the last attempt came to, it was the stream's time that has ended.
      assert.include(["ClientTimeout", "Overloaded"], error.reason._tag)
      if (error.reason._tag === "ClientTimeout") assert.strictEqual(error.reason.phase, "stream")
      assert.isAbove(error.attempts.length, 4)
      assert.deepStrictEqual(rows, [0])
    }))

  it.live("leaves a page its own limits, which are told as such when they come first", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(pagesBut(1, Reply.silence), { shutdownTimeout: "20 millis" })
      const ofPage = select.pipe(Statement.withOptions({ timeout: "100 millis", streamTimeout: "1 minute" }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(Stream.runDrain(ofPage.stream)), {
        phase: "operation",
        timeoutMillis: 100
      })
      const limits = { attemptTimeout: "100 millis", streamTimeout: "20 seconds", retry: CqlRetry.none } as const
      const ofAttempt = select.pipe(Statement.withOptions(limits))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(Stream.runDrain(ofAttempt.stream)), {
        phase: "attempt",
        timeoutMillis: 100
      })
    }))

  it.live("is not what a statement ends with that was not prepared in the time that preparing has", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* opened(Reply.void, { attemptTimeout: "50 millis", retry: CqlRetry.none })
      server.on(/\?/, Reply.silence, ["prepare"])
      const limited = cql`SELECT n WHERE k = ${1}`.pipe(Statement.withOptions({ streamTimeout: "20 seconds" }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(Stream.runDrain(limited.stream)), { phase: "prepare" })
    }))

  it.live("begins anew each time that the stream is run, with its first page and not before", () =>
    Effect.gen(function*() {
      const { cql, select, server } = yield* opened(onePerPage(3), { shutdownTimeout: "20 millis" })
      server.on("SELECT later", Reply.silence)
      const { stream } = select.pipe(Statement.withOptions({ streamTimeout: "300 millis" }))
      const later = cql`SELECT later`.pipe(Statement.withOptions({ timeout: "300 millis" }))
      for (const _ of [1, 2]) {
        yield* reasonOf("ClientTimeout")(later)
        assert.deepStrictEqual(yield* collect(stream), [0, 1, 2])
      }
    }))

  it.live("is of no matter where all rows are collected", () =>
    Effect.gen(function*() {
      const pages = onePerPage(5)
      const { select } = yield* opened((request) => Reply.delay(10, pages(request)))
      assert.lengthOf(yield* select.pipe(Statement.withOptions({ streamTimeout: "1 millis" })), 5)
    }))
})

describe("the first row", () => {
  it.live("is found behind empty pages, with no page more than that", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(Reply.pages({ columns, pages: [[], [], [[7]], [[8]]] }))
      assert.deepStrictEqual(yield* select.first, Option.some({ n: 7 }))
      assert.deepStrictEqual(yield* select.one, { n: 7 })
      assert.strictEqual(yield* asked, 6)
    }))

  it.live("is none, or a NoSuchElementError, where all pages are empty", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(Reply.pages({ columns, pages: [[], [], []] }))
      assert.deepStrictEqual(yield* select.first, Option.none())
      const error = yield* Effect.flip(select.one)
      assert.strictEqual(error._tag, "NoSuchElementError")
    }))
})

describe("collecting", () => {
  it.live("more than maxRows fails with TooManyRows, and stops there", () =>
    Effect.gen(function*() {
      const { asked, select } = yield* opened(onePerPage(10), { maxRows: 4 })
      assert.deepInclude(yield* reasonOf("TooManyRows")(select), { limit: 4 })
      assert.strictEqual(yield* asked, 5)
      assert.lengthOf(yield* select.pipe(Statement.withOptions({ maxRows: 10 })), 10)
    }))

  it.live("has one time limit for all its pages", () =>
    Effect.gen(function*() {
      const pages = onePerPage(100)
      const { select } = yield* opened((request) => Reply.delay(20, pages(request)))
      const reason = yield* reasonOf("ClientTimeout")(select.pipe(Statement.withOptions({ timeout: "200 millis" })))
      assert.deepInclude(reason, { phase: "operation", timeoutMillis: 200 })
    }))

  it.live("is not what a stream does: it has no such limit", () =>
    Effect.gen(function*() {
      const { select } = yield* opened(onePerPage(10), { maxRows: 4 })
      assert.lengthOf(yield* collect(select.stream), 10)
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true })("on a real server", (it) => {
  it.effect("many streams at a time each give all the rows, and statements go on between their pages", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE readings (sensor int, at int, value double, PRIMARY KEY (sensor, at))`
      const keys = numbered(10).flatMap((sensor) => numbered(500).map((at) => ({ sensor, at })))
      yield* Effect.forEach(
        keys,
        ({ at, sensor }) => cql`INSERT INTO readings (sensor, at, value) VALUES (${sensor}, ${at}, ${at / 2})`,
        { concurrency: "unbounded" }
      )
      const ofSensor = (sensor: number, pageSize: number) =>
        cql`SELECT at FROM readings WHERE sensor = ${sensor}`.pipe(Statement.withOptions({ pageSize }))
      const streams = yield* Effect.forkChild(Effect.forEach(
        numbered(10),
        (sensor) => Stream.runCollect(ofSensor(sensor, 7 * (sensor + 1)).stream),
        { concurrency: "unbounded" }
      ))
      for (const sensor of numbered(10)) assert.lengthOf(yield* ofSensor(sensor, 5000), 500)
      for (const rows of yield* Fiber.join(streams)) assert.deepStrictEqual(rows.map(({ at }) => at), numbered(500))
    }))

  it.effect("rows that were deleted leave no gap in a stream", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE events (day int, at int, PRIMARY KEY (day, at))`
      yield* Effect.forEach(numbered(300), (at) => cql`INSERT INTO events (day, at) VALUES (${1}, ${at})`, {
        concurrency: "unbounded"
      })
      yield* cql`DELETE FROM events WHERE day = ${1} AND at >= ${10} AND at < ${290}`
      const remaining = cql`SELECT at AS n FROM events WHERE day = ${1}`.pipe(Statement.withOptions({ pageSize: 5 }))
      assert.deepStrictEqual(yield* collect(remaining.stream), [...numbered(10), ...numbered(10).map((n) => 290 + n)])
    }))
})
