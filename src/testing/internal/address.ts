/**
 * Addresses and ports that are free.
 */
import * as Effect from "effect/Effect"
import { randomInt } from "node:crypto"
import { createServer, type Server } from "node:net"

/** Where a node listens. */
export interface NodeAddress {
  readonly host: string
  /** For clients. */
  readonly port: number
  /** For other nodes. */
  readonly storagePort: number
  /** For nodetool. */
  readonly jmxPort: number
}

/** An address of this machine's own, where three ports are free at this moment. */
export const allocate: Effect.Effect<NodeAddress> = Effect.suspend(() =>
  Effect.map(allocateFor([loopback]), ([address]) => address!)
)

/** One for each host, in its order: nodes of a cluster, which have the same port for clients. */
export const allocateFor = (hosts: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<NodeAddress>> =>
  Effect.gen(function*() {
    const port = yield* hold(hosts)
    const storagePort = yield* hold(hosts)
    return yield* Effect.forEach(
      hosts,
      (host) => Effect.map(hold([loopback]), (jmxPort) => ({ host, port, storagePort, jmxPort }))
    )
    // All are held until the last is found, so that they differ.
  }).pipe(Effect.scoped)

// internal

// Below the ports that systems give to outgoing connections, one of which could take the port while the JVM starts.
const range = { from: 10_000, to: 32_767 }

// Nodes of a cluster have it in common, for nodetool is not meant to come from elsewhere.
const loopback = "127.0.0.1"

const hold = (hosts: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    while (true) {
      const port = yield* Effect.sync(() => randomInt(range.from, range.to))
      const servers = yield* Effect.forEach(hosts, (host) => Effect.acquireRelease(listen(host, port), close))
      if (servers.every((server) => server.listening)) return port
    }
  })

const listen = (host: string, port: number): Effect.Effect<Server> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(server)))
    server.listen({ host, port, exclusive: true }, () => resume(Effect.succeed(server)))
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
  })
