/**
 * A TCP proxy that fails on demand, to be put before a real Cassandra or a `ScriptedServer`: what a network does to a
 * connection and no server can be told to do. It knows nothing of what it carries.
 *
 * Every fault holds for the connections that are open and for those to come, until it is taken back.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as TcpListener from "./TcpListener.ts"

export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** Open towards clients now. */
  readonly connections: () => number
  /** How many connections were ever accepted. */
  readonly accepted: () => number
  /** Bytes carried so far. */
  readonly carried: () => { readonly toClient: number; readonly toTarget: number }
  /** Waits until so many connections are open. */
  readonly awaitConnections: (count: number) => Effect.Effect<void>
  /** Destroys every connection; new ones are taken. */
  readonly cut: Effect.Effect<void>
  /**
   * Cuts a connection once so many more bytes have gone to clients, all connections counted together; that byte is
   * the last one, be it in the middle of a frame. Cuts once only; `undefined` takes it back.
   */
  readonly cutAfterBytes: (bytes: number | undefined) => Effect.Effect<void>
  /** Accepts connections and carries nothing, in either direction, as behind a firewall that began to drop packets. */
  readonly pause: Effect.Effect<void>
  /** Carries again, and first what has waited. */
  readonly resume: Effect.Effect<void>
  /** Milliseconds that each piece is held back; a number is for both directions. */
  readonly latency: (
    milliseconds: number | { readonly toClient?: number; readonly toTarget?: number }
  ) => Effect.Effect<void>
  /** Carries one byte at a time, each in a packet of its own as far as the system lets it. */
  readonly dribble: (on: boolean) => Effect.Effect<void>
  /** Refuses new connections; those open stay. */
  readonly refuse: Effect.Effect<void>
  readonly accept: Effect.Effect<void>
}

interface Faults {
  paused: boolean
  dribble: boolean
  latency: { toClient: number; toTarget: number }
  /** Bytes left to clients before the cut. */
  budget: number | undefined
}

type Direction = "toClient" | "toTarget"

export const make = Effect.fnUntraced(function*(options: {
  readonly target: { readonly host: string; readonly port: number }
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** Any free one by default. */
  readonly port?: number
}): Effect.fn.Return<TcpProxy, never, Scope.Scope> {
  const faults: Faults = { paused: false, dribble: false, latency: { toClient: 0, toTarget: 0 }, budget: undefined }
  const carried = { toClient: 0, toTarget: 0 }
  const flows = new Set<Flow>()
  const targets = new Set<Net.Socket>()
  const targetClosed = TcpListener.makeSignal()

  const open = (client: Net.Socket): void => {
    const target = Net.connect({ ...options.target, allowHalfOpen: true, noDelay: true })
    const pair = [
      makeFlow(client, target, "toTarget", faults, carried),
      makeFlow(target, client, "toClient", faults, carried)
    ]
    for (const flow of pair) flows.add(flow)
    client.once("close", () => {
      target.destroy()
      for (const flow of pair) {
        flow.stop()
        flows.delete(flow)
      }
    })
    targets.add(target)
    target.once("close", () => {
      client.destroy()
      targets.delete(target)
      targetClosed.notify()
    })
    target.on("error", () => client.destroy())
  }

  yield* Effect.addFinalizer(() => targetClosed.until(() => targets.size === 0 ? true : undefined).pipe(Effect.asVoid))
  const listener = yield* Effect.orDie(TcpListener.make({
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    allowHalfOpen: true,
    onConnection: open
  }))
  const change = (f: () => void) =>
    Effect.sync(() => {
      f()
      for (const flow of flows) flow.pump()
    })

  return {
    host: listener.host,
    port: listener.port,
    connections: () => listener.sockets.size,
    accepted: listener.accepted,
    carried: () => ({ ...carried }),
    awaitConnections: listener.awaitConnections,
    cut: listener.dropConnections,
    cutAfterBytes: (bytes) =>
      change(() => {
        faults.budget = bytes
      }),
    pause: change(() => {
      faults.paused = true
    }),
    resume: change(() => {
      faults.paused = false
    }),
    latency: (milliseconds) =>
      change(() => {
        faults.latency = typeof milliseconds === "number"
          ? { toClient: milliseconds, toTarget: milliseconds }
          : { toClient: 0, toTarget: 0, ...milliseconds }
      }),
    dribble: (on) =>
      change(() => {
        faults.dribble = on
      }),
    refuse: listener.refuse,
    accept: listener.accept
  }
})

interface Flow {
  /** Carries what may be carried now; to be called when a fault has changed. */
  readonly pump: () => void
  readonly stop: () => void
}

/** Enough for a page or two to be on its way; above it the sender is made to wait. */
const highWaterMark = 1 << 20

const makeFlow = (
  source: Net.Socket,
  sink: Net.Socket,
  direction: Direction,
  faults: Faults,
  carried: Record<Direction, number>
): Flow => {
  const queue: Array<{ readonly due: number; chunk: Buffer }> = []
  let waiting = 0
  let ended = false
  let cut = false
  let timer: NodeJS.Timeout | undefined
  let tick: NodeJS.Immediate | undefined

  const write = (chunk: Buffer): void => {
    let piece = chunk
    if (direction === "toClient" && faults.budget !== undefined) {
      if (chunk.length >= faults.budget) {
        piece = chunk.subarray(0, faults.budget)
        faults.budget = undefined
        cut = true
      } else {
        faults.budget -= chunk.length
      }
    }
    carried[direction] += piece.length
    sink.write(piece, () => {
      // Not before the last byte has left, and never with what would follow it.
      if (cut) sink.destroy()
    })
  }

  const pump = (): void => {
    clearTimeout(timer)
    clearImmediate(tick)
    while (!faults.paused && !cut && queue.length > 0 && sink.writableLength < highWaterMark) {
      const head = queue[0]!
      const early = head.due - performance.now()
      if (early > 0) {
        timer = setTimeout(pump, Math.ceil(early))
        break
      }
      const piece = faults.dribble ? head.chunk.subarray(0, 1) : head.chunk
      if (piece.length === head.chunk.length) queue.shift()
      else head.chunk = head.chunk.subarray(1)
      waiting -= piece.length
      write(piece)
      if (faults.dribble) {
        tick = setImmediate(pump)
        break
      }
    }
    if (ended && queue.length === 0 && !cut) sink.end()
    // While paused nothing is read either: the sender's window fills up, as it would.
    if (faults.paused || waiting >= highWaterMark || sink.writableLength >= highWaterMark) source.pause()
    else source.resume()
  }

  source.on("data", (chunk: Buffer) => {
    queue.push({ due: performance.now() + faults.latency[direction], chunk })
    waiting += chunk.length
    pump()
  })
  source.on("end", () => {
    ended = true
    pump()
  })
  sink.on("drain", pump)
  pump()
  return {
    pump,
    stop: () => {
      clearTimeout(timer)
      clearImmediate(tick)
    }
  }
}
