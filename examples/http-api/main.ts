/**
 * The service, with its settings from the environment. See README.md.
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Layer from "effect/Layer"
import { AppLive, SessionLive } from "./app.ts"
import { teardown } from "./draining.ts"

AppLive.pipe(
  Layer.provide(SessionLive),
  Layer.launch,
  NodeRuntime.runMain({ teardown })
)
