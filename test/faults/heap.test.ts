/**
 * What a process keeps of statements that are over, whatever their end was: nothing that grows with their number.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Child from "./support/child.ts"
import type { Report } from "./support/heapProgram.ts"

const megabyte = 1_000_000

/** One statement that is kept is more than a thousand bytes: each of these limits would be passed by far. */
const stages: ReadonlyArray<readonly [name: string, count: number, mostMegabytes: number]> = [
  ["select and insert", 100_000, 20],
  ["texts that nobody has seen", 20_000, 20],
  ["interrupted", 5000, 5],
  // The scripted server is in the same process, and keeps something of each connection that was given up.
  ["timed out", 5000, 10]
]

describe("the heap", () => {
  // One program for all kinds, one after another: each would need a start and a warm-up of its own.
  it.live(
    "grows by less than 20 MB over a hundred thousand statements, and over those that fail in whatever way",
    () =>
      Effect.gen(function*() {
        const report = yield* Child.run<Report>("heap")
        assert.deepStrictEqual(
          report.map(({ count, name }) => [name, count]),
          stages.map(([name, count]) => [name, count])
        )
        assert.deepStrictEqual(report.flatMap(({ others }) => others), [])
        for (const [index, [name, , most]] of stages.entries()) {
          assert.isBelow(report[index]!.growthBytes, most * megabyte, name)
        }
      }),
    300_000
  )
})
