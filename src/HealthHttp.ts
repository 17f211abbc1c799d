/**
 * The health of a cluster over HTTP, for load balancers and orchestrators: routes for any server of `effect/http`.
 *
 * Imported by its own name, `effect-cassandra/HealthHttp`, so that who serves no HTTP does not load it.
 *
 * @module HealthHttp
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { Health } from "./Health.ts"

/**
 * Where the routes are, and who may see the details.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** By default `"/health/live"`. */
  readonly live?: `/${string}` | undefined
  /** By default `"/health/ready"`. */
  readonly ready?: `/${string}` | undefined
  /** By default there is none: it tells of addresses, versions and errors. */
  readonly detail?: `/${string}` | undefined
  /**
   * Who may see the details. Where it answers `false`, or fails, the answer is 404 as where there is no such route. By
   * default all.
   */
  readonly authorize?:
    | ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<boolean, unknown>)
    | undefined
  /** Whether the application itself takes requests: while it answers `false`, or fails, ready is 503. By default it does. */
  readonly accepts?: Effect.Effect<boolean, unknown> | undefined
  /** In how many seconds to ask again, of one that is not ready. By default 5. */
  readonly retryAfterSeconds?: number | undefined
}

/**
 * The routes as a layer.
 *
 * **Details**
 *
 * | route | answers |
 * | --- | --- |
 * | live | 200 as long as the process does: a cluster that is away is no reason to restart it |
 * | ready | 200 while statements are served (`up`, `degraded`); else 503 with `Retry-After` |
 * | detail | the status as JSON, with the code of `ready` |
 *
 * All of them answer `GET` and `HEAD`, and forbid to be cached. What live and ready say is their state and no more:
 * nothing of addresses, versions or errors.
 *
 * **Example** (Beside an application's own routes)
 *
 * ```ts
 * import { Health, Session } from "effect-cassandra"
 * import * as HealthHttp from "effect-cassandra/HealthHttp"
 * import * as Layer from "effect/Layer"
 *
 * const HealthRoutes = HealthHttp.layer({ detail: "/health" }).pipe(
 *   Layer.provide(Health.layer()),
 *   Layer.provide(Session.layer({ contactPoints: ["127.0.0.1"], connectInBackground: true }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, HttpRouter.HttpRouter | Health> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const { status } = yield* Health
    const { accepts, authorize, detail, live = "/health/live", ready = "/health/ready" } = options
    const { retryAfterSeconds = 5 } = options
    const isReady = (status: Health.Status): Effect.Effect<boolean> =>
      serves(status) && accepts !== undefined ? orFalse(accepts) : Effect.succeed(serves(status))
    const answerReady = (body: (status: Health.Status, isReady: boolean) => object) =>
      Effect.flatMap(
        status,
        (status) => Effect.map(isReady(status), (isReady) => answer(isReady, body(status, isReady), retryAfterSeconds))
      )
    // Who asks every second is not to fill the log of the server.
    const add = (path: `/${string}`, handler: Handler) =>
      router.add("GET", path, (request) => HttpMiddleware.withLoggerDisabled(handler(request)))
    yield* add(live, () => Effect.succeed(answer(true, { state: "live" }, retryAfterSeconds)))
    yield* add(
      ready,
      () => answerReady((status, isReady) => ({ state: serves(status) && !isReady ? "notAccepting" : status.state }))
    )
    if (detail === undefined) return
    yield* add(
      detail,
      (request) =>
        Effect.flatMap(
          authorize === undefined ? Effect.succeed(true) : orFalse(authorize(request)),
          (isAllowed) => isAllowed ? answerReady((status) => status) : Effect.succeed(noSuchRoute)
        )
    )
  }))

interface Handler {
  (request: HttpServerRequest.HttpServerRequest): Effect.Effect<HttpServerResponse.HttpServerResponse>
}

const serves = ({ state }: Health.Status): boolean => state === "up" || state === "degraded"

/** What it failed on is for no stranger. */
const orFalse = (self: Effect.Effect<boolean, unknown>): Effect.Effect<boolean> =>
  Effect.catchCause(self, () => Effect.succeed(false))

const noStore = { "cache-control": "no-store" }

/** As the router itself says it: a header more would tell that there is one. */
const noSuchRoute = HttpServerResponse.empty({ status: 404 })

const answer = (isWell: boolean, body: object, retryAfterSeconds: number): HttpServerResponse.HttpServerResponse =>
  isWell
    ? HttpServerResponse.jsonUnsafe(body, { headers: noStore })
    : HttpServerResponse.jsonUnsafe(body, {
      status: 503,
      headers: { ...noStore, "retry-after": String(retryAfterSeconds) }
    })
