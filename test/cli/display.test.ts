import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Display from "../../src/cli/display.ts"

const ranges = (done: number, rows: number): Display.Progress => ({ done, total: 32, unit: "ranges", rows })

const since = (progress: Display.Progress, seconds: number, begin = { done: 0, rows: 0 }): Display.Since => ({
  ...progress,
  begin,
  seconds
})

describe("a progress bar", () => {
  it("is of the width of the terminal at the most, and is left out where there is no room for it", () => {
    const progress = ranges(8, 58_123)
    const text = "8/32 ranges, 58,123 rows, 29,062/s, 6 s left"
    assert.strictEqual(
      Display.bar("users", since(progress, 2), 200),
      `users  ${"█".repeat(10)}${"░".repeat(30)}  ${text}`
    )
    assert.strictEqual(
      Display.bar("users", since(progress, 2), 79),
      `users  ${"█".repeat(6)}${"░".repeat(20)}  ${text}`
    )
    assert.strictEqual(Display.bar("users", since(progress, 2), 55), `users  ${text}`)
    assert.strictEqual(Display.bar("users", since(progress, 2), 20), "users  8/32 ranges, ")
    for (let columns = 0; columns < 200; columns++) {
      assert.isAtMost(Display.bar("users", since(progress, 2), columns).length, columns)
    }
  })

  it("is empty at the beginning, full at the end, and never more than that", () => {
    assert.include(Display.bar("t", since(ranges(0, 0), 0), 100), `  ${"░".repeat(40)}  0/32 ranges, 0 rows`)
    assert.include(
      Display.bar("t", since(ranges(32, 9), 3), 100),
      `  ${"█".repeat(40)}  32/32 ranges, 9 rows, 3/s`
    )
    const beyond: Display.Progress = { done: 12, total: 10, unit: "bytes", rows: 1 }
    assert.include(Display.bar("t", since(beyond, 1), 100), `  ${"█".repeat(40)}  `)
    const nothing: Display.Progress = { done: 0, total: 0, unit: "bytes", rows: 0 }
    assert.include(Display.bar("t", since(nothing, 1), 100), `  ${"█".repeat(40)}  0.0/0.0 MB, 0 rows, 0/s`)
  })

  it("has no bar and no end where nobody knows how much there is", () => {
    const progress: Display.Progress = { done: 5_000_000, total: undefined, unit: "bytes", rows: 1000 }
    assert.strictEqual(Display.bar("t", since(progress, 2), 100), "t  1,000 rows, 500/s")
  })

  it("counts its speed from where it began, which need not be the beginning", () => {
    const text = Display.words(since(ranges(20, 1000), 10, { done: 16, rows: 900 }))
    assert.strictEqual(text, "20/32 ranges, 1,000 rows, 10/s, 30 s left")
    assert.strictEqual(
      Display.words(since(ranges(16, 900), 10, { done: 16, rows: 900 })),
      "16/32 ranges, 900 rows, 0/s"
    )
  })

  it("tells bytes as megabytes, and how long is left", () => {
    const progress: Display.Progress = { done: 1_234_000, total: 100_000_000, unit: "bytes", rows: 10 }
    assert.strictEqual(Display.words(since(progress, 60)), "1.2/100.0 MB, 10 rows, 0/s, 1 h 20 min left")
    assert.deepStrictEqual([0.2, 59.9, 125, 3600, 9000].map(Display.duration), [
      "1 s",
      "1 min 0 s",
      "2 min 5 s",
      "1 h 0 min",
      "2 h 30 min"
    ])
  })
})

describe("progress", () => {
  /** All that is written while `work` goes on. */
  const written = Effect.fnUntraced(function*(
    isTerminal: boolean,
    isQuiet: boolean,
    work: (tell: Display.Tell) => Effect.Effect<unknown>
  ) {
    const texts: Array<string> = []
    const screen: Display.Screen = { isTerminal, columns: () => 80, write: (text) => void texts.push(text) }
    yield* Effect.exit(Display.withProgress("users", isQuiet, work)).pipe(
      Effect.provideService(Display.Screen, screen)
    )
    return texts
  })

  const threeSteps = (tell: Display.Tell): Effect.Effect<void> =>
    Effect.gen(function*() {
      yield* TestClock.adjust("15 seconds")
      yield* tell(ranges(8, 100))
      yield* TestClock.adjust("50 millis")
      yield* tell(ranges(16, 200))
      yield* TestClock.adjust("10 seconds")
    })

  it.effect("is one line that changes, in a terminal, and is gone at the end", () =>
    Effect.gen(function*() {
      const texts = yield* written(true, false, threeSteps)
      const eraseLine = "\r\u001b[2K"
      assert.isTrue(texts.every((text) => text.startsWith(eraseLine) && !text.includes("\n")))
      assert.strictEqual(texts.at(-1), eraseLine)
      assert.match(texts.at(-2)!, /16\/32 ranges, 200 rows, 10\/s, 20 s left$/)
      // Ten times a second, from when there is something to show.
      assert.strictEqual(texts.length, 100 + 1)
    }))

  it.effect("is gone too when the work fails", () =>
    Effect.gen(function*() {
      const texts = yield* written(true, false, (tell) => Effect.andThen(threeSteps(tell), Effect.die("no")))
      assert.strictEqual(texts.at(-1), "\r\u001b[2K")
    }))

  it.effect("is a line each ten seconds elsewhere", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* written(false, false, threeSteps), [
        "users: 16/32 ranges, 200 rows, 20/s, 10 s left\n"
      ])
    }))

  it.effect("is nothing where it is to be quiet, and nothing of what is done at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* written(true, true, threeSteps), [])
      assert.deepStrictEqual(yield* written(false, false, (tell) => tell(ranges(32, 1))), [])
      assert.deepStrictEqual(yield* written(true, false, () => Effect.void), [])
    }))

  it.effect("makes way for other lines", () =>
    Effect.gen(function*() {
      const texts: Array<string> = []
      const screen = { isTerminal: true, columns: () => 80, write: (text: string) => void texts.push(text) }
      yield* Effect.provideService(Display.lines(["a", "b"]), Display.Screen, screen)
      assert.deepStrictEqual(texts, ["\r\u001b[2Ka\n", "\r\u001b[2Kb\n"])
    }))
})
