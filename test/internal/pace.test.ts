import { assert, describe, it, onTestFinished, vi } from "@effect/vitest"
import { Pace } from "../../src/internal/pace.ts"

describe("Pace", () => {
  /** Measured since 1000. */
  const measured = () => {
    const clock = vi.spyOn(performance, "now").mockReturnValue(1000)
    onTestFinished(() => clock.mockRestore())
    const pace = new Pace()
    pace.measure()
    const answer = (count: number, tookMillis: number): void => {
      for (; count > 0; count--) pace.answered(performance.now() - tookMillis)
    }
    return { pace, clock, answer }
  }

  it("is not known before anything was measured", () => {
    const pace = new Pace()
    for (let count = 0; count < 100; count++) pace.answered(0)
    assert.deepStrictEqual([pace.expectedMillis(1000, 1), pace.tookMillis], [0, 0])
  })

  it("is that of the answers since it is measured, and of how long those took that came in time", () => {
    const { answer, clock, pace } = measured()
    clock.mockReturnValue(1200)
    answer(10, 100)
    answer(10, 300)
    assert.strictEqual(pace.expectedMillis(7, 1000), 70)
    assert.strictEqual(pace.tookMillis, 200)
  })

  it("is not known by a few answers, nor after a small part of the time that one has", () => {
    const { answer, clock, pace } = measured()
    clock.mockReturnValue(1100)
    answer(15, 1)
    assert.strictEqual(pace.expectedMillis(7, 1000), 0)
    answer(1, 1)
    assert.strictEqual(pace.expectedMillis(7, 1001), 0)
    assert.strictEqual(pace.expectedMillis(16, 1000), 100)
  })

  it("counts what is answered late as answered, and not as how long it took", () => {
    const { answer, clock, pace } = measured()
    clock.mockReturnValue(1100)
    answer(4, 50)
    for (let count = 0; count < 16; count++) pace.answeredLate()
    assert.strictEqual(pace.expectedMillis(1, 1000), 5)
    assert.strictEqual(pace.tookMillis, 50)
  })

  it("has no such time where none came in time", () => {
    const { clock, pace } = measured()
    clock.mockReturnValue(1100)
    for (let count = 0; count < 20; count++) pace.answeredLate()
    pace.expectedMillis(1, 1000)
    assert.strictEqual(pace.tookMillis, Infinity)
  })

  it("is measured anew each time that it is known, and stays as it was until then", () => {
    const { answer, clock, pace } = measured()
    clock.mockReturnValue(1100)
    answer(20, 1)
    assert.strictEqual(pace.expectedMillis(1, 1000), 5)
    clock.mockReturnValue(1300)
    answer(10, 1)
    assert.strictEqual(pace.expectedMillis(1, 1000), 5)
    answer(10, 1)
    assert.strictEqual(pace.expectedMillis(1, 1000), 10)
  })

  it("goes on where it is measured already, and begins anew where it was forgotten", () => {
    const { answer, clock, pace } = measured()
    clock.mockReturnValue(1100)
    answer(20, 1)
    pace.measure()
    assert.strictEqual(pace.expectedMillis(1, 1000), 5)
    pace.forget()
    answer(1000, 1)
    pace.measure()
    clock.mockReturnValue(1300)
    assert.deepStrictEqual([pace.expectedMillis(1, 1000), pace.tookMillis], [0, 0])
    answer(20, 1)
    assert.strictEqual(pace.expectedMillis(1, 1000), 10)
  })
})
