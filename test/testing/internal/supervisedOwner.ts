/**
 * Owns a folder and a command, both named by its arguments, until it is killed.
 */
import * as Effect from "effect/Effect"
import * as Supervised from "../../../src/testing/internal/supervised.ts"

const [folder, command] = process.argv.slice(2)

Effect.runFork(Effect.scoped(Effect.gen(function*() {
  const supervised = yield* Supervised.make(folder!)
  yield* supervised.run({ command: "/bin/sh", args: ["-c", command!], env: process.env }, {})
})))
