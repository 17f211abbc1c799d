/**
 * How well percentiles are told from buckets, on many distributions; without a clock.
 */
import { assert, describe, it } from "@effect/vitest"
import { Latencies } from "../../src/internal/latencies.ts"
import { randomNumbers } from "./codec/support.ts"

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const percentiles = [0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9]

const of = (samples: ReadonlyArray<number>): Latencies => {
  const latencies = new Latencies()
  for (const millis of samples) latencies.add(millis)
  return latencies
}

/** The least that so many percent of them do not exceed. */
const exact = (samples: ReadonlyArray<number>, percentile: number): number => {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(samples.length * percentile / 100) - 1)]!
}

const random = randomNumbers(7)

const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

const distributions: Readonly<Record<string, () => number>> = {
  "all the same": () => 5,
  "uniform": () => 1 + 99 * random(),
  "exponential": () => 0.2 - 20 * Math.log(1 - random()),
  "log-normal": () => Math.exp(2 + normal()),
  "of two kinds": () => random() < 0.9 ? 1 + random() : 200 + 100 * random(),
  "with a long tail": () => 2 / (1 - random()) ** 1.2,
  "of microseconds": () => 0.11 + random() / 10,
  "of minutes": () => 60_000 * (1 + 9 * random())
}

describe("a percentile", () => {
  for (const [name, next] of Object.entries(distributions)) {
    it(`of times that are ${name} is the true one or up to a fifth above it`, () => {
      for (const count of [100, 101, 500, 999]) {
        const samples = numbered(count).map(next)
        const latencies = of(samples)
        for (const percentile of percentiles) {
          const [found, wanted] = [latencies.percentile(percentile)!, exact(samples, percentile)]
          const which = `${percentile} of ${count}: ${found} instead of ${wanted}`
          assert.isAtLeast(found, wanted * (1 - 1e-9), which)
          assert.isAtMost(found, wanted * 1.2 * (1 + 1e-9), which)
        }
      }
    })

    it(`of many times that are ${name} is within a fifth also when the older ones weigh less`, () => {
      const latencies = new Latencies()
      const samples = numbered(50_000).map(next)
      for (const millis of samples) latencies.add(millis)
      for (const percentile of [50, 90, 99]) {
        const found = latencies.percentile(percentile)!
        // Chance moves what it is of the last few thousand: it lies between the true ones beside it.
        const spread = Math.min(0.5, (100 - percentile) / 3) * 3
        assert.isAtLeast(found, exact(samples, percentile - spread) * (1 - 1e-9))
        assert.isAtMost(found, exact(samples, percentile + spread / 3) * 1.2 * (1 + 1e-9) * 1.2)
      }
    })
  }

  it("grows with the percentage", () => {
    for (const next of Object.values(distributions)) {
      const latencies = of(numbered(2500).map(next))
      const found = percentiles.map((percentile) => latencies.percentile(percentile)!)
      assert.deepStrictEqual(found, found.toSorted((a, b) => a - b))
    }
  })
})

describe("fewer than a hundred samples", () => {
  it("tell nothing, and a hundred do", () => {
    const latencies = new Latencies()
    for (const _ of numbered(99)) {
      assert.isUndefined(latencies.percentile(50))
      latencies.add(3)
    }
    assert.isUndefined(latencies.percentile(99))
    latencies.add(3)
    assert.isDefined(latencies.percentile(99))
  })

  it("is said of all that were ever added: what was halved away is not asked for again", () => {
    const latencies = new Latencies()
    for (const _ of numbered(1000)) latencies.add(3)
    assert.isDefined(latencies.percentile(50))
    for (const _ of numbered(50_000)) {
      latencies.add(3)
      assert.isDefined(latencies.percentile(50))
    }
  })
})

describe("what is long past", () => {
  it("weighs little: after some thousand samples the new ones alone tell", () => {
    const latencies = of(numbered(10_000).map(() => 1000))
    assert.isAtLeast(latencies.percentile(50)!, 1000)
    for (const _ of numbered(2000)) latencies.add(1)
    assert.isAtMost(latencies.percentile(50)!, 1.2)
    for (const _ of numbered(8000)) latencies.add(1)
    assert.isAtMost(latencies.percentile(99)!, 1.2)
    for (const _ of numbered(4000)) latencies.add(1000)
    assert.isAtLeast(latencies.percentile(50)!, 1000)
  })

  it("still weighs a little at first: some slow ones do not make all slow", () => {
    const latencies = of(numbered(1000).map(() => 1))
    for (const _ of numbered(20)) latencies.add(1000)
    assert.isAtMost(latencies.percentile(95)!, 1.2)
    assert.isAtLeast(latencies.percentile(99)!, 1000)
  })
})

describe("times that are out of bounds", () => {
  it("are as the shortest, or as the longest, that can be told", () => {
    for (const millis of [0, -1, -1e9, 1e-9, 0.1]) {
      assert.strictEqual(of(numbered(100).map(() => millis)).percentile(50), 0.1)
    }
    const longest = of(numbered(100).map(() => 1e9)).percentile(50)!
    assert.isAtLeast(longest, 30 * 60_000 * 0.5)
    assert.isTrue(Number.isFinite(longest))
    for (const millis of [Number.MAX_VALUE, Infinity]) {
      assert.strictEqual(of(numbered(100).map(() => millis)).percentile(50), longest)
    }
  })

  it("do not touch the others", () => {
    const latencies = of([...numbered(98).map(() => 10), 0, 1e12])
    assert.strictEqual(latencies.percentile(1), 0.1)
    assert.isAtLeast(latencies.percentile(50)!, 10)
    assert.isAtMost(latencies.percentile(99)!, 12)
    assert.isAtLeast(latencies.percentile(99.9)!, 1e6)
  })
})
