/**
 * What is logged of statements that are slow, on a scripted server that takes as long as the test says.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import type { Session } from "../src/index.ts"
import { Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { openOn } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const { withOptions } = Statement

const logged = () => {
  const entries: Array<Readonly<Record<string, unknown>>> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    entries.push({ logLevel, message, ...fiber.getRef(References.CurrentLogAnnotations) })
  })
  return { entries, keep: Effect.provide(Logger.layer([logger])) }
}

const row = Reply.rows({ columns: [{ name: "n", type: "int" }], rows: [[1]] })

/** What the library takes for the time goes on by so much while a request is at the server. */
const shiftingTime = Effect.acquireRelease(
  Effect.sync(() => {
    const now = performance.now.bind(performance)
    let ahead = 0
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + ahead)
    const taking = (millis: number): ScriptedServer.Handler => () => {
      ahead += millis
      return row
    }
    return { clock, taking }
  }),
  ({ clock }) => Effect.sync(() => clock.mockRestore())
)

const opened = Effect.fnUntraced(function*(options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.prepared(/\?/, { params: [{ name: "id", type: "text" }] })
  return yield* openOn(server, options ?? {})
})

describe("a statement that is slow", () => {
  it.live("is logged, with its text and its node, and without its values", () =>
    Effect.gen(function*() {
      const { entries, keep } = logged()
      const { cql, servers } = yield* opened({ slowThreshold: "1 millis" })
      servers.on(/^SELECT/, Reply.delay(5, row))
      yield* keep(cql`SELECT n FROM users WHERE id = ${"a secret"}`)
      assert.lengthOf(entries, 1)
      const { durationMillis, ...entry } = entries[0]!
      assert.isAbove(Number(durationMillis), 0)
      assert.deepStrictEqual(entry, {
        logLevel: "Warn",
        message: ["a statement was slow"],
        statement: "SELECT n FROM users WHERE id = ?",
        coordinator: `${servers.host}:${servers.port}`,
        attempts: 1,
        rows: 1
      })
    }))

  it.live("is logged once for each text in a while, and without its literals where it binds nothing", () =>
    Effect.gen(function*() {
      const { entries, keep } = logged()
      const { cql, servers } = yield* opened({ slowThreshold: "1 millis" })
      servers.on(/^SELECT|^BEGIN/, Reply.delay(5, row))
      servers.on(() => true, Reply.delay(5, Reply.void), ["batch"])
      const batch = Statement.batch([
        cql`INSERT INTO a (id) VALUES (${"secret"})`,
        cql`DELETE FROM a WHERE id = 'secret'`
      ])
      yield* keep(Effect.all([
        cql`SELECT n FROM a WHERE id = 'secret'`,
        cql`SELECT n FROM a WHERE id = 'secret'`,
        cql`SELECT n FROM b`.stream.pipe(Stream.runDrain),
        batch
      ]))
      assert.deepStrictEqual(entries.map(({ statement }) => statement), [
        "SELECT n FROM a WHERE id = ?",
        "SELECT n FROM b",
        "BEGIN BATCH\n  INSERT INTO a (id) VALUES (?);\n  DELETE FROM a WHERE id = ?;\nAPPLY BATCH"
      ])
    }))

  it.live("is one that took long with all of its attempts", () =>
    Effect.gen(function*() {
      const { entries, keep } = logged()
      const { cql, servers } = yield* opened({ slowThreshold: "40 millis" })
      servers.on("SELECT 1", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : row)
      yield* keep(cql`SELECT 1`.pipe(withOptions({ idempotent: true })))
      assert.deepStrictEqual(entries.map(({ attempts }) => attempts), [2])
    }))

  it.live("is none below the threshold, nor without one", () =>
    Effect.gen(function*() {
      const { entries, keep } = logged()
      const { cql, servers } = yield* opened()
      const { taking } = yield* shiftingTime
      servers.on("SELECT a", taking(4000))
      servers.on("SELECT b", taking(20_000))
      servers.on("SELECT c", taking(5001))
      yield* keep(Effect.all([cql`SELECT a`, cql`SELECT b`.pipe(withOptions({ slowThreshold: false })), cql`SELECT c`]))
      assert.deepStrictEqual(entries.map(({ statement }) => statement), ["SELECT c"])
      assert.isAtLeast(Number(entries[0]!["durationMillis"]), 5001)
    }))

  it.live("succeeds all the same with a logger that throws, as does one that the server warns of", () =>
    Effect.gen(function*() {
      const { cql, servers } = yield* opened({ slowThreshold: "1 millis" })
      servers.on(/^SELECT/, Reply.delay(5, Reply.warnings(row, ["tombstones"])))
      const broken = Logger.make(() => {
        throw new Error("the log is broken")
      })
      assert.deepStrictEqual(yield* cql`SELECT 1`.pipe(Effect.provide(Logger.layer([broken]))), [{ n: 1 }])
    }))
})

describe("a warning of the server", () => {
  it.live("is logged without the literals of a text that binds nothing", () =>
    Effect.gen(function*() {
      const { entries, keep } = logged()
      const { cql, servers } = yield* opened()
      servers.on(/^SELECT/, Reply.warnings(row, ["many tombstones for: SELECT n FROM users WHERE id = 'a secret'"]))
      yield* keep(cql`SELECT n FROM users WHERE id = 'a secret'`)
      assert.deepStrictEqual(entries, [{
        logLevel: "Warn",
        message: ["many tombstones for: SELECT n FROM users WHERE id = '‹value›'"],
        statement: "SELECT n FROM users WHERE id = ?"
      }])
    }))
})
