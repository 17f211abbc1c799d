/**
 * The service as a layer: its routes, those of its operators, and how it ends. It needs a session.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Health, Session } from "effect-cassandra"
import * as HealthHttp from "effect-cassandra/HealthHttp"
import * as ByteSize from "effect/ByteSize"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSwagger from "effect/http-api/HttpApiSwagger"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Schema from "effect/Schema"
import { Api } from "./api.ts"
import { closeConnections, drainFirst, Draining, makeServer } from "./draining.ts"
import { HandlersLive } from "./handlers.ts"
import { Users } from "./users.ts"

/** CASSANDRA_CONTACT_POINTS and the others that the library reads, and what this service says itself. */
export const sessionConfig = Config.map(Session.config, (options): Session.Options => ({
  keyspace: "users",
  timeout: "5 seconds",
  ...options,
  consistency: "localQuorum",
  applicationName: "users",
  // It is live, and says what it lacks, while there is no cluster; and finds it soon when it is back.
  connectInBackground: true,
  reconnectDelay: { max: "2 seconds" }
}))

export const SessionLive = Session.layerConfig(sessionConfig)

/** Where there are several, the first one signs. */
const cursorKeys = Config.Array(Schema.Redacted(Schema.NonEmptyString), "CURSOR_KEYS")

const UsersLive = Layer.unwrap(Effect.map(cursorKeys, Users.layer))

const ApiRoutes = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide(HandlersLive),
  Layer.provide(HttpApiMiddleware.layerProblemDetails({ includeDetails: true })),
  Layer.provide(UsersLive)
)

const HealthRoutes = Layer.unwrap(Effect.map(Draining, ({ accepts }) => HealthHttp.layer({ accepts }))).pipe(
  Layer.provide(Health.layer())
)

const Routes = Layer.mergeAll(
  ApiRoutes,
  HttpApiSwagger.layer(Api, { path: "/docs" }),
  HealthRoutes,
  PrometheusMetrics.layerHttp({ path: "/metrics" }),
  closeConnections
)

const ServerLive = NodeHttpServer.layerConfig(
  makeServer,
  Config.all({
    host: Config.String("HOST").pipe(Config.withDefault("0.0.0.0")),
    // 0 is any that is free.
    port: Config.Int("PORT").pipe(Config.withDefault(3000)),
    gracefulShutdownTimeout: Config.Duration("SHUTDOWN_TIMEOUT").pipe(Config.withDefault("20 seconds"))
  })
)

export const AppLive = drainFirst.pipe(
  Layer.provideMerge(HttpRouter.serve(Routes)),
  Layer.provideMerge(ServerLive),
  Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.mebibytes(16))),
  Layer.provide(Draining.layer)
)
