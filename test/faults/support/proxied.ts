/**
 * The real node behind a proxy that fails on demand.
 */
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CqlError } from "../../../src/index.ts"
import { Session } from "../../../src/index.ts"
import * as TcpProxy from "../../support/TcpProxy.ts"

export interface Proxied {
  readonly proxy: TcpProxy.TcpProxy
  /** Of the node, as if it were where the proxy is. */
  readonly options: Session.Options
}

/** TLS is left out, so that a byte of the protocol is a byte of the connection. */
export const make: Effect.Effect<Proxied, Config.ConfigError, Scope.Scope> = Effect.gen(function*() {
  const options = yield* Session.config
  const [point = ""] = options.contactPoints ?? []
  const [host = "", port] = point.split(":")
  const proxy = yield* TcpProxy.make({ target: { host, port: Number(port ?? options.port ?? 9042) } })
  return {
    proxy,
    options: {
      ...options,
      contactPoints: [`${proxy.host}:${proxy.port}`],
      port: proxy.port,
      tls: false,
      shutdownTimeout: "1 second",
      reconnectDelay: { base: "1 millis", max: "20 millis" },
      // What the driver sends by itself would be in the way of faults that wait for a request.
      heartbeatInterval: "10 minutes"
    }
  }
})

export interface Opened extends Proxied {
  readonly session: Session["Service"]
  readonly cql: Session["Service"]["cql"]
}

/** A session whose every connection goes through the proxy. */
export const open = Effect.fnUntraced(function*(
  own: Session.Options
): Effect.fn.Return<Opened, CqlError | Config.ConfigError, Scope.Scope> {
  const { options, proxy } = yield* make
  const session = yield* Session.make({ ...options, ...own })
  return { proxy, options, session, cql: session.cql }
})
