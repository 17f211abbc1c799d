import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as TcpListener from "./TcpListener.ts"
import * as TcpProxy from "./TcpProxy.ts"

// Sends back what it receives, in pieces as they come, and ends when its client ends.
const echo = TcpListener.make({
  host: "127.0.0.1",
  port: 0,
  allowHalfOpen: true,
  onConnection: (socket) => {
    socket.on("data", (chunk: Buffer) => socket.write(chunk))
    socket.on("end", () => socket.end())
  }
}).pipe(Effect.orDie)

interface Client {
  readonly socket: Net.Socket
  readonly received: () => string
  readonly chunks: () => number
  /** Waits until so many bytes have come. */
  readonly bytes: (count: number) => Effect.Effect<string>
  readonly error: () => NodeJS.ErrnoException | undefined
  readonly ended: Effect.Effect<boolean>
  readonly closed: Effect.Effect<boolean>
}

const connect = (port: number): Effect.Effect<Client, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const changes = TcpListener.makeSignal()
    const state = { text: "", chunks: 0, ended: false, closed: false }
    let failure: NodeJS.ErrnoException | undefined
    const socket = yield* Effect.acquireRelease(
      Effect.callback<Net.Socket, Error>((resume) => {
        const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, () => resume(Effect.succeed(socket)))
        socket.on("error", (error) => {
          failure = error
          resume(Effect.fail(error))
        })
        socket.on("data", (chunk: Buffer) => {
          state.text += chunk.toString()
          state.chunks++
          changes.notify()
        })
        socket.on("end", () => {
          state.ended = true
          changes.notify()
        })
        socket.on("close", () => {
          state.closed = true
          changes.notify()
        })
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )
    return {
      socket,
      received: () => state.text,
      chunks: () => state.chunks,
      bytes: (count) => changes.until(() => state.text.length >= count ? state.text : undefined),
      error: () => failure,
      ended: changes.until(() => state.ended || undefined),
      closed: changes.until(() => state.closed || undefined)
    }
  })

const setup = Effect.gen(function*() {
  const target = yield* echo
  const proxy = yield* TcpProxy.make({ target })
  return { target, proxy }
})

describe("TcpProxy", () => {
  it.live("carries both ways, and the end of one side to the other", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const client = yield* connect(proxy.port)
      const sent = "x".repeat(3_000_000)
      client.socket.end(sent)
      yield* client.ended
      assert.strictEqual(client.received(), sent)
      assert.deepStrictEqual(proxy.carried(), { toClient: sent.length, toTarget: sent.length })
      yield* proxy.awaitConnections(0)
      assert.strictEqual(proxy.accepted(), 1)
    }))

  it.live("cuts, and takes new connections afterwards", () =>
    Effect.gen(function*() {
      const { proxy, target } = yield* setup
      const first = yield* connect(proxy.port)
      yield* target.awaitConnections(1)
      yield* proxy.cut
      yield* first.closed
      yield* target.awaitConnections(0)
      const second = yield* connect(proxy.port)
      second.socket.write("again")
      assert.strictEqual(yield* second.bytes(5), "again")
    }))

  it.live("cuts after exactly so many bytes, once", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      yield* proxy.cutAfterBytes(7)
      const first = yield* connect(proxy.port)
      first.socket.write("1234567890")
      yield* first.closed
      assert.strictEqual(first.received(), "1234567")
      const second = yield* connect(proxy.port)
      second.socket.write("1234567890")
      assert.strictEqual(yield* second.bytes(10), "1234567890")
    }))

  for (const how of ["end", "reset"] as const) {
    it.live(`cuts the next answer after exactly so many bytes, once, whatever other connections carry: ${how}`, () =>
      Effect.gen(function*() {
        const { proxy } = yield* setup
        const [silent, talking] = [yield* connect(proxy.port), yield* connect(proxy.port)]
        talking.socket.write("before")
        yield* talking.bytes(6)
        yield* proxy.cutAnswer({ bytes: 3, how })
        talking.socket.write("1234567890")
        yield* talking.closed
        assert.strictEqual(talking.received(), "before123")
        assert.strictEqual(talking.error()?.code, how === "reset" ? "ECONNRESET" : undefined)
        silent.socket.write("1234567890")
        assert.strictEqual(yield* silent.bytes(10), "1234567890")
        assert.strictEqual(proxy.cuts(), 1)
      }))
  }

  it.live("cuts an answer before its first byte", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const client = yield* connect(proxy.port)
      yield* proxy.cutAnswer({ bytes: 0 })
      client.socket.write("1234567890")
      yield* client.closed
      assert.strictEqual(client.received(), "")
    }))

  it.live("loses what is sent without telling, and never makes a connection whole again that has lost something", () =>
    Effect.gen(function*() {
      const { proxy, target } = yield* setup
      const [lost, quiet] = [yield* connect(proxy.port), yield* connect(proxy.port)]
      lost.socket.write("a")
      yield* lost.bytes(1)
      yield* target.awaitConnections(2)
      yield* proxy.swallow
      lost.socket.write("b")
      const during = yield* connect(proxy.port)
      during.socket.write("c")
      during.socket.end()
      yield* target.awaitConnections(3)
      yield* proxy.awaitLost(2)
      yield* proxy.carry
      lost.socket.write("d")
      const after = yield* connect(proxy.port)
      for (const [client, sent] of [[quiet, "e"], [after, "f"]] as const) {
        client.socket.write(sent)
        assert.strictEqual(yield* client.bytes(1), sent)
      }
      assert.deepStrictEqual([lost.received(), during.received()], ["a", ""])
      assert.deepStrictEqual([proxy.connections(), target.sockets.size], [4, 4])
      assert.deepStrictEqual(proxy.carried(), { toClient: 3, toTarget: 3 })
    }))

  it.live("carries nothing while paused, and everything afterwards", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const before = yield* connect(proxy.port)
      before.socket.write("a")
      yield* before.bytes(1)
      yield* proxy.pause
      const during = yield* connect(proxy.port)
      before.socket.write("b")
      during.socket.write("c")
      yield* proxy.awaitConnections(2)
      yield* Effect.sleep("20 millis")
      assert.strictEqual(before.received(), "a")
      assert.strictEqual(during.received(), "")
      assert.deepStrictEqual(proxy.carried(), { toClient: 1, toTarget: 1 })
      yield* proxy.resume
      assert.strictEqual(yield* before.bytes(2), "ab")
      assert.strictEqual(yield* during.bytes(1), "c")
    }))

  it.live("holds back by direction and keeps the order", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const client = yield* connect(proxy.port)
      yield* proxy.latency({ toClient: 40 })
      const start = performance.now()
      client.socket.write("a")
      yield* proxy.latency({ toTarget: 40 })
      client.socket.write("b")
      assert.strictEqual(yield* client.bytes(2), "ab")
      assert.isAtLeast(performance.now() - start, 39)
    }))

  it.live("dribbles", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const client = yield* connect(proxy.port)
      yield* proxy.dribble(true)
      client.socket.write("0123456789".repeat(20))
      assert.strictEqual(yield* client.bytes(200), "0123456789".repeat(20))
      assert.isAbove(client.chunks(), 5)
      yield* proxy.dribble(150)
      const before = client.chunks()
      client.socket.write("0123456789".repeat(100))
      assert.strictEqual(yield* client.bytes(1200), "0123456789".repeat(120))
      assert.isAbove(client.chunks() - before, 2)
    }))

  it.live("refuses and accepts, and leaves open connections alone", () =>
    Effect.gen(function*() {
      const { proxy } = yield* setup
      const open = yield* connect(proxy.port)
      yield* proxy.refuse
      const refused = yield* Effect.flip(connect(proxy.port))
      assert.include(refused.message, "ECONNREFUSED")
      open.socket.write("still")
      assert.strictEqual(yield* open.bytes(5), "still")
      yield* proxy.accept
      const later = yield* connect(proxy.port)
      later.socket.write("open")
      assert.strictEqual(yield* later.bytes(4), "open")
    }))

  it.live("closes the client's connection when the target refuses", () =>
    Effect.gen(function*() {
      const { proxy, target } = yield* setup
      yield* target.refuse
      const client = yield* connect(proxy.port)
      yield* client.closed
    }))

  it.live("leaves no connection behind when its scope closes, even in the middle of faults", () =>
    Effect.gen(function*() {
      const target = yield* echo
      const scope = yield* Scope.make()
      const proxy = yield* Scope.provide(TcpProxy.make({ target }), scope)
      const client = yield* connect(proxy.port)
      yield* proxy.latency(60_000)
      client.socket.write("never")
      yield* target.awaitConnections(1)
      yield* proxy.pause
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* client.closed
      yield* Fiber.join(closing)
      yield* target.awaitConnections(0)
      const refused = yield* Effect.flip(connect(proxy.port))
      assert.include(refused.message, "ECONNREFUSED")
    }))
})
