/**
 * A program on three real nodes of its own.
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as RealCluster from "../test/support/RealCluster.ts"

/** Exits with `process.exitCode`, or with 1 where the program failed or was interrupted. */
export const runOnNodes = <E>(program: Effect.Effect<void, E, RealCluster.RealCluster>): void =>
  NodeRuntime.runMain(Effect.provide(program, RealCluster.layer), {
    // The nodes would keep the process alive, and go with it.
    teardown: (exit) => process.exit(Exit.isSuccess(exit) ? process.exitCode : 1)
  })
