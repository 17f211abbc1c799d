/**
 * Programs of their own, for what is asked of a whole process: how much memory it keeps.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const programs = {
  heap: fileURLToPath(new URL("./heapProgram.ts", import.meta.url)),
  overload: fileURLToPath(new URL("./overloadProgram.ts", import.meta.url))
}

const flags = ["--expose-gc", "--conditions=effect-cassandra-source"]

/** What a program has reported; dies with what it has printed if it did not come to that. */
export const run = <A>(program: keyof typeof programs): Effect.Effect<A> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [...flags, programs[program]], { stdio: ["ignore", "pipe", "pipe"] })
    const output = { stdout: "", stderr: "" }
    child.stdout.on("data", (chunk) => {
      output.stdout += String(chunk)
    })
    child.stderr.on("data", (chunk) => {
      output.stderr += String(chunk)
    })
    child.on("close", (code, signal) => {
      const report = output.stdout.split("\n").find((line) => line.startsWith(mark))
      resume(
        code === 0 && report !== undefined
          ? Effect.succeed(JSON.parse(report.slice(mark.length)) as A)
          : Effect.die(new Error(`${program} ended with ${code ?? signal}\n${output.stdout}${output.stderr}`))
      )
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

// --- in the program

const mark = "report: "

/** Tells the test, as the last thing that the program does. */
export const report = (result: unknown): Effect.Effect<void> =>
  Effect.sync(() => void process.stdout.write(`${mark}${JSON.stringify(result)}\n`))

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Bytes that are held once all garbage is collected, on the heap and beside it (buffers). */
export const heap: Effect.Effect<number> = Effect.gen(function*() {
  for (let round = 0; round < 3; round++) {
    yield* turn
    globalThis.gc!()
  }
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
})
