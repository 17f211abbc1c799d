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
  /** How many connections were cut by a count of bytes. */
  readonly cuts: () => number
  /** Destroys every connection; new ones are taken. */
  readonly cut: Effect.Effect<void>
  /**
   * Cuts a connection once so many more bytes have gone to clients, all connections counted together; that byte is
   * the last one, be it in the middle of a frame. Cuts once only; `undefined` takes it back.
   */
  readonly cutAfterBytes: (bytes: number | undefined) => Effect.Effect<void>
  /**
   * Cuts the connection over which the next bytes go to the target, once so many bytes have come back over it: in the
   * middle of an answer, whatever other connections carry meanwhile. Once only; `undefined` takes it back.
   */
  readonly cutAnswer: (cut: Cut | undefined) => Effect.Effect<void>
  /** Accepts connections and carries nothing, in either direction, as behind a firewall that began to drop packets. */
  readonly pause: Effect.Effect<void>
  /** Carries again, and first what has waited. */
  readonly resume: Effect.Effect<void>
  /**
   * Loses what is sent, in either direction, and tells nobody: as when a machine in between is gone. Connections are
   * accepted, and lost too. One that has lost anything, even its end, stays open and dead, whatever comes after.
   */
  readonly swallow: Effect.Effect<void>
  /** Loses nothing any more on connections that have not lost anything yet. */
  readonly carry: Effect.Effect<void>
  /** Waits until so many connections, ever, have lost something. */
  readonly awaitLost: (count: number) => Effect.Effect<void>
  /** Milliseconds that each piece is held back; a number is for both directions. */
  readonly latency: (
    milliseconds: number | { readonly toClient?: number; readonly toTarget?: number }
  ) => Effect.Effect<void>
  /** Carries one byte at a time, or so many, each in a packet of its own as far as the system lets it. */
  readonly dribble: (on: boolean | number) => Effect.Effect<void>
  /** Refuses new connections; those open stay. */
  readonly refuse: Effect.Effect<void>
  readonly accept: Effect.Effect<void>
}

export interface Cut {
  /** Of the answer, its header included; 0 cuts before the first one. */
  readonly bytes: number
  /** `"end"`, the default, closes the connection as a program that ends does; `"reset"` as a firewall does. */
  readonly how?: "end" | "reset"
}

interface Faults {
  paused: boolean
  swallowing: boolean
  /** Bytes at a time. */
  dribble: number
  latency: { toClient: number; toTarget: number }
  /** Bytes left to clients before the cut. */
  budget: number | undefined
  /** For the connection that sends next. */
  nextAnswer: Cut | undefined
}

/** What the two directions of a connection have in common. */
interface Link {
  /** Something was lost. */
  dead: boolean
  readonly died: () => void
  readonly wasCut: () => void
  /** Bytes left of an answer before the cut. */
  answer: Cut | undefined
}

type Direction = "toClient" | "toTarget"

export const make = Effect.fnUntraced(function*(options: {
  readonly target: { readonly host: string; readonly port: number }
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** Any free one by default. */
  readonly port?: number
}): Effect.fn.Return<TcpProxy, never, Scope.Scope> {
  const faults: Faults = {
    paused: false,
    swallowing: false,
    dribble: Infinity,
    latency: { toClient: 0, toTarget: 0 },
    budget: undefined,
    nextAnswer: undefined
  }
  const carried = { toClient: 0, toTarget: 0 }
  const flows = new Set<Flow>()
  const targets = new Set<Net.Socket>()
  const targetClosed = TcpListener.makeSignal()
  const losses = TcpListener.makeSignal()
  let lost = 0
  const died = (): void => {
    lost++
    losses.notify()
  }
  let cuts = 0
  const wasCut = (): void => {
    cuts++
  }

  const open = (client: Net.Socket): void => {
    const target = Net.connect({ ...options.target, allowHalfOpen: true, noDelay: true })
    const link: Link = { dead: false, died, wasCut, answer: undefined }
    const pair = [
      makeFlow(client, target, "toTarget", faults, link, carried),
      makeFlow(target, client, "toClient", faults, link, carried)
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
    cuts: () => cuts,
    cut: listener.dropConnections,
    cutAfterBytes: (bytes) =>
      change(() => {
        faults.budget = bytes
      }),
    cutAnswer: (cut) =>
      change(() => {
        faults.nextAnswer = cut
      }),
    swallow: change(() => {
      faults.swallowing = true
    }),
    carry: change(() => {
      faults.swallowing = false
    }),
    awaitLost: (count) => Effect.asVoid(losses.until(() => lost >= count ? true : undefined)),
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
        faults.dribble = typeof on === "number" ? on : on ? 1 : Infinity
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
  link: Link,
  carried: Record<Direction, number>
): Flow => {
  const queue: Array<{ readonly due: number; chunk: Buffer }> = []
  let waiting = 0
  let ended = false
  let cut: Cut["how"]
  let timer: NodeJS.Timeout | undefined
  let tick: NodeJS.Immediate | undefined

  /** What may go to the client of this chunk. */
  const spend = (chunk: Buffer): Buffer => {
    let piece = chunk
    if (faults.budget !== undefined) {
      faults.budget -= piece.length
      if (faults.budget <= 0) {
        piece = piece.subarray(0, piece.length + faults.budget)
        faults.budget = undefined
        cut = "end"
      }
    }
    if (link.answer === undefined) return piece
    const { bytes, how = "end" } = link.answer
    if (piece.length < bytes) {
      link.answer = { bytes: bytes - piece.length, how }
      return piece
    }
    cut = how
    return piece.subarray(0, bytes)
  }

  const write = (chunk: Buffer): void => {
    const piece = direction === "toClient" ? spend(chunk) : chunk
    carried[direction] += piece.length
    if (cut !== undefined) link.wasCut()
    sink.write(piece, () => {
      // Not before the last byte has left, and never with what would follow it.
      if (cut === "reset") sink.resetAndDestroy()
      else if (cut === "end") sink.destroy()
    })
    if (direction === "toTarget" && faults.nextAnswer !== undefined) {
      link.answer = faults.nextAnswer
      faults.nextAnswer = undefined
    }
  }

  /** What has waited is lost too. */
  const lose = (): void => {
    if (faults.swallowing && !link.dead && (ended || queue.length > 0)) {
      link.dead = true
      link.died()
    }
    if (!link.dead) return
    queue.length = 0
    waiting = 0
  }

  const pump = (): void => {
    clearTimeout(timer)
    clearImmediate(tick)
    lose()
    while (!faults.paused && cut === undefined && queue.length > 0 && sink.writableLength < highWaterMark) {
      const head = queue[0]!
      const early = head.due - performance.now()
      if (early > 0) {
        timer = setTimeout(pump, Math.ceil(early))
        break
      }
      const piece = head.chunk.subarray(0, faults.dribble)
      if (piece.length === head.chunk.length) queue.shift()
      else head.chunk = head.chunk.subarray(piece.length)
      waiting -= piece.length
      write(piece)
      if (faults.dribble !== Infinity) {
        tick = setImmediate(pump)
        break
      }
    }
    if (ended && queue.length === 0 && cut === undefined && !link.dead) sink.end()
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
