import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestConsole } from "effect/testing"
import { toStandardError } from "../../../src/testing/internal/progress.ts"

/** What a terminal is told, or `undefined` where there is none. */
const withTerminal = <A, E, R>(columns: number | undefined, self: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const { columns: width, isTTY, write } = process.stderr
      const written: Array<string> = []
      Object.assign(process.stderr, {
        columns,
        isTTY: columns !== undefined,
        write: (text: string) => written.push(text) > 0
      })
      return { written, restore: { columns: width, isTTY, write } }
    }),
    ({ written }) => Effect.as(self, written),
    ({ restore }) => Effect.sync(() => Object.assign(process.stderr, restore))
  )

const steps = Effect.suspend(() => {
  const report = toStandardError()
  return Effect.all([
    report({ message: "Getting jars" }),
    report({ message: "Getting jars", detail: "1 jars" }),
    report({ message: "Starting", detail: "a detail that is longer than what is left" }),
    report({ message: "Answers", final: true })
  ])
})

describe("toStandardError", () => {
  it.effect("writes a line for each step", () =>
    Effect.gen(function*() {
      const written = yield* withTerminal(undefined, steps)
      assert.deepStrictEqual(written, [])
      assert.deepStrictEqual(yield* TestConsole.errorLines, [
        "[cassandra] Getting jars",
        "[cassandra] Starting",
        "[cassandra] Answers"
      ])
    }))

  it.effect("keeps one line in a terminal, no wider than it", () =>
    Effect.gen(function*() {
      const written = yield* withTerminal(30, steps)
      // oxlint-disable-next-line no-control-regex
      const lines = written.map((text) => text.replace("\r\u001b[2K", "").replaceAll(/\u001b\[\d+m/g, ""))
      assert.deepStrictEqual(lines, [
        "○ Getting jars ",
        "○ Getting jars 1 jars",
        "○ Starting a detail that is ",
        "● Answers \n"
      ])
      assert.isTrue(written.every((text) => text.startsWith("\r\u001b[2K")))
      assert.isTrue(lines.every((line) => line.trim().length < 30))
    }))
})
