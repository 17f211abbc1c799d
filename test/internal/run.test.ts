/**
 * What a real server does only by chance: fibers that end each other while an answer is being handed out, pages that
 * come slowly, and frames that are shorter than they say. So the server is a scripted one.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type Session, Statement } from "../../src/index.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, reasonOf } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

const numbers = [{ name: "n", type: "int" }] as const

describe("a fiber that ends another while its answer is handed out", () => {
  /** One place; whoever waits for it fails as soon as it has it, and with it the one whose answer made the place free. */
  const endEachOther = Effect.fnUntraced(function*(session: Session["Service"], server: ScriptedServer.ScriptedServer) {
    const { cql } = session
    server.prepared(/INSERT/, { params: [{ name: "a", type: "int" }] })
    server.on(/INSERT/, Reply.void)
    yield* cql`INSERT ${1}`
    yield* Effect.exit(Effect.all([cql`SELECT first`, cql`INSERT ${"no int"}`], { concurrency: "unbounded" }))
  })

  for (
    const [what, reply] of [
      ["fails", Reply.invalid("no")],
      ["goes on with a second page", Reply.rows({ columns: numbers, rows: [[1]], pageState: Buffer.from("more") })]
    ] as const
  ) {
    it.live(`leaves the session's count right where the answer ${what}`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const scope = yield* Scope.make()
        const session = yield* Scope.provide(connect(server, { maxInFlight: 1, shutdownTimeout: "1 minute" }), scope)
        server.on("SELECT first", reply)
        yield* endEachOther(session, server)
        const slow = hold(server, "SELECT slow")
        const answered = yield* Effect.forkChild(session.cql`SELECT slow`)
        yield* slow.awaitHeld(1)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* Effect.yieldNow
        yield* slow.answer()
        assert.deepStrictEqual(yield* Fiber.join(answered), [])
        yield* Fiber.join(closing)
      }))
  }
})

describe("the timeout of a statement", () => {
  const slowPages = (last: ReadonlyArray<ReadonlyArray<number>>) =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const pages = Reply.pages({ columns: numbers, pages: [...Array.from({ length: 9 }, () => []), last] })
      server.on("SELECT n", (request) => Reply.delay(100, pages(request)))
      const { cql } = yield* connect(server)
      return cql`SELECT n`.pipe(Statement.withOptions({ timeout: "250 millis" }))
    })

  it.live("is over all its pages, when they are collected", () =>
    Effect.gen(function*() {
      const statement = yield* slowPages([[1]])
      const reason = yield* reasonOf("ClientTimeout")(statement)
      assert.deepStrictEqual([reason.phase, reason.timeoutMillis], ["operation", 250])
    }))

  it.live("is over the empty pages in front of the first row", () =>
    Effect.gen(function*() {
      const statement = yield* slowPages([[1]])
      yield* reasonOf("ClientTimeout")(statement.one)
      yield* reasonOf("ClientTimeout")(statement.first)
    }))
})

describe("a frame that is shorter than it says", () => {
  const cell = (text: string): Buffer => {
    const bytes = Buffer.alloc(4 + text.length, text)
    bytes.writeInt32BE(text.length)
    bytes.write(text, 4)
    return bytes
  }

  it.live("is not read into the frame behind it", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const columns = [{ name: "n", type: "blob" }] as const
      server.on("SELECT short", Reply.rawRows(cell("one"), { columns, count: 2 }))
      server.on("SELECT other", Reply.rows({ columns, rows: [[Buffer.from("of somebody else")]] }))
      const { cql } = yield* connect(server)
      for (let round = 0; round < 20; round++) {
        const [short, other] = yield* Effect.all(
          [Effect.exit(reasonOf("ProtocolError")(cql`SELECT short`)), cql`SELECT other`, cql`SELECT other`],
          { concurrency: "unbounded" }
        )
        assert.isTrue(Exit.isSuccess(short))
        assert.strictEqual(other.length, 1)
      }
    }))
})

describe("a row behind the first", () => {
  it.live("is not looked at by .one and .first", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.rows({ columns: numbers, rows: [[1], [Buffer.from("no int")]] }))
      const { cql } = yield* connect(server)
      assert.deepStrictEqual(yield* cql`SELECT n`.one, { n: 1 })
      yield* reasonOf("ProtocolError")(cql`SELECT n`)
    }))
})
