/**
 * A listening TCP socket in a Scope that can be closed and opened again at the same port, and that knows its
 * connections: what `ScriptedServer.ts` and `TcpProxy.ts` share.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"

export interface TcpListener {
  readonly host: string
  readonly port: number
  /** The sockets open now. */
  readonly sockets: ReadonlySet<Net.Socket>
  /** How many connections were ever accepted. */
  readonly accepted: () => number
  /** Refuses new connections; those open stay. */
  readonly refuse: Effect.Effect<void>
  /** Takes new connections again, at the same port. */
  readonly accept: Effect.Effect<void>
  /** Destroys every open connection. */
  readonly dropConnections: Effect.Effect<void>
  /** Waits until so many connections are open. */
  readonly awaitConnections: (count: number) => Effect.Effect<void>
}

const listen = (server: Net.Server, host: string, port: number): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const failed = (error: Error) => resume(Effect.fail(error))
    server.once("error", failed)
    server.listen(port, host, () => {
      server.off("error", failed)
      resume(Effect.void)
    })
  })

// A closed server's handle is gone only at the end of the event loop's turn, and counts as active until then.
const handlesClosed = Effect.callback<void>((resume) => {
  setImmediate(() => setImmediate(() => resume(Effect.void)))
})

export const make = Effect.fnUntraced(function*(options: {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly allowHalfOpen?: boolean
  readonly onConnection: (socket: Net.Socket) => void
}): Effect.fn.Return<TcpListener, Error, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  const changes = makeSignal()
  let accepted = 0
  const server = Net.createServer({ noDelay: true, allowHalfOpen: options.allowHalfOpen ?? false }, (socket) => {
    accepted++
    sockets.add(socket)
    socket.once("close", () => {
      sockets.delete(socket)
      changes.notify()
    })
    // A reset by the peer is what these tests are about, and never ours to report.
    socket.on("error", () => socket.destroy())
    options.onConnection(socket)
    changes.notify()
  })
  const refuse = Effect.sync(() => {
    if (server.listening) server.close()
  })
  const dropConnections = Effect.sync(() => {
    for (const socket of sockets) socket.destroy()
  })
  const awaitConnections = (count: number) => changes.until(() => sockets.size === count ? true : undefined)

  yield* Effect.acquireRelease(
    listen(server, options.host, options.port),
    () => Effect.all([refuse, dropConnections, awaitConnections(0), handlesClosed], { discard: true })
  )
  const port = (server.address() as Net.AddressInfo).port
  return {
    host: options.host,
    port,
    sockets,
    accepted: () => accepted,
    refuse,
    accept: Effect.suspend(() => server.listening ? Effect.void : Effect.orDie(listen(server, options.host, port))),
    dropConnections,
    awaitConnections: (count) => Effect.asVoid(awaitConnections(count))
  }
})

/** Waits for a state that plain event handlers change, without asking again and again. */
export const makeSignal = () => {
  const waiting = new Set<() => void>()
  return {
    notify: (): void => {
      for (const check of waiting) check()
    },
    /** The first value of `probe` that is not undefined. */
    until: <A>(probe: () => A | undefined): Effect.Effect<A> =>
      Effect.callback((resume) => {
        const check = () => {
          const value = probe()
          if (value === undefined) return
          waiting.delete(check)
          resume(Effect.succeed(value))
        }
        waiting.add(check)
        check()
        return Effect.sync(() => {
          waiting.delete(check)
        })
      })
  }
}
