/**
 * Runs one of `releaseCases.ts`, and must then end by itself: `node releaseProgram.ts <server> <case>`.
 */
import * as Effect from "effect/Effect"
import { cases } from "./releaseCases.ts"

const [, , server, name] = process.argv as [string, string, keyof typeof cases, string]

await Effect.runPromise(Effect.scoped(cases[server][name]!))

process.stdout.write(JSON.stringify(process.getActiveResourcesInfo()))
