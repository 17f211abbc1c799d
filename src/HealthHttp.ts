/**
 * The health of a cluster over HTTP, for load balancers and orchestrators: routes for any server of `effect/http`.
 *
 * Imported by its own name, `effect-cassandra/HealthHttp`, so that who serves no HTTP does not load it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
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
  /** Who may see the details: what answers `false` is answered 404, as where there is no such route. By default all. */
  readonly authorize?:
    | ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<boolean>)
    | undefined
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
    const health = yield* Health
    const { authorize, detail, live = "/health/live", ready = "/health/ready", retryAfterSeconds = 5 } = options
    const add = (
      path: `/${string}`,
      handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>
    ) => router.add("GET", path, handler)
    yield* add(live, () => Effect.succeed(answer(200, { state: "live" })))
    yield* add(
      ready,
      () => Effect.map(health.status, (status) => answerReady(status, { state: status.state }, retryAfterSeconds))
    )
    if (detail === undefined) return
    yield* add(
      detail,
      (request) =>
        Effect.flatMap(authorize === undefined ? Effect.succeed(true) : authorize(request), (isAllowed) =>
          isAllowed
            ? Effect.map(health.status, (status) => answerReady(status, status, retryAfterSeconds))
            : Effect.succeed(HttpServerResponse.empty({ status: 404 })))
    )
  }))

const answer = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store", ...headers } })

const answerReady = (
  { state }: Health.Status,
  body: object,
  retryAfterSeconds: number
): HttpServerResponse.HttpServerResponse =>
  state === "up" || state === "degraded"
    ? answer(200, body)
    : answer(503, body, { "retry-after": String(retryAfterSeconds) })
