/**
 * The end of a process that nobody notices: first it says that it is not ready, and goes on answering until the load
 * balancer has heard of it; then it takes no more, and what is under way ends.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as Runtime from "effect/Runtime"
import { createServer, type Server } from "node:http"

export class Draining extends Context.Service<Draining, {
  readonly begin: Effect.Effect<void>
  readonly accepts: Effect.Effect<boolean>
}>()("Draining") {
  static readonly layer = Layer.sync(Draining, () => {
    let accepts = true
    return {
      begin: Effect.sync(() => {
        accepts = false
      }),
      accepts: Effect.sync(() => accepts)
    }
  })
}

/** How long it answers after it has said that it is not ready: longer than a load balancer takes to ask twice. */
const drainDelay = Config.Duration("DRAIN_DELAY").pipe(Config.withDefault("10 seconds"))

/** Made last and so closed first: all is still there while it drains. */
export const drainFirst = Layer.effectDiscard(Effect.gen(function*() {
  const { begin } = yield* Draining
  const delay = yield* drainDelay
  yield* Effect.addFinalizer(() =>
    begin.pipe(
      Effect.andThen(Effect.log("draining")),
      Effect.andThen(Effect.sleep(delay))
    )
  )
}))

/** A connection that is kept would be closed as the next request is sent on it: clients are told to open another one. */
export const closeConnections = HttpRouter.middleware(
  Effect.map(Draining, ({ accepts }) => (handler) =>
    Effect.flatMap(handler, (response) =>
      Effect.map(
        accepts,
        (accepts) => accepts ? response : HttpServerResponse.setHeader(response, "connection", "close")
      ))),
  { global: true }
)

/** A server that waits for answers when it closes, and not for the next request on a connection that is kept. */
export const makeServer = (): Server => {
  const server = createServer()
  server.on("request", (_, response) => {
    response.once("close", () => {
      if (!server.listening) server.closeIdleConnections()
    })
  })
  return server
}

/** A signal is how a service is ended, and no failure. */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  onExit(Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) ? 1 : 0)
