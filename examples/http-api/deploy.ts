/**
 * Makes the tables in the keyspace of the environment: to be run before the first version that needs them.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Session } from "effect-cassandra"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { sessionConfig } from "./app.ts"
import { createTables } from "./tables.ts"

const SessionLive = Session.layerConfig(
  Config.map(sessionConfig, (options) => ({ ...options, connectInBackground: false }))
)

createTables.pipe(Effect.provide(SessionLive), NodeRuntime.runMain)
