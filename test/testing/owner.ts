/**
 * Owns a server until it is killed, and says on standard output where it is.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CassandraServer } from "../../src/testing/index.ts"

const own = Effect.gen(function*() {
  const { port, process } = yield* CassandraServer.make({
    kind: "local",
    heap: "512M",
    onProgress: () => Effect.void
  })
  const processId = Option.getOrThrow(yield* process!.processId)
  yield* Console.log(JSON.stringify({ port, folder: process!.folder, processId }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(own))
