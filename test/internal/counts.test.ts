/**
 * The plain numbers behind the metrics: buckets, labels and their limits.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Labels } from "../../src/internal/counts.ts"
import { Counter, Counts, Distribution } from "../../src/internal/counts.ts"
import type { Host } from "../../src/internal/driver/inside.ts"

const hostOf = (hostId: string | null, address = "127.0.0.1:9042") => ({ hostId, address }) as Host

const counting = () => {
  const series: Array<readonly [metric: string, labels: Labels]> = []
  const counts = new Counts((metric, labels) => series.push([metric, labels]))
  series.length = 0
  return { counts, series }
}

describe("Counter", () => {
  it("adds one, or as many as it is told", () => {
    const counter = new Counter()
    counter.add()
    counter.add(3)
    assert.strictEqual(counter.value, 4)
  })
})

describe("Distribution", () => {
  it("is of nothing at first, in numbers that every exporter can write", () => {
    assert.deepStrictEqual(new Distribution([1, 2]).state, {
      buckets: [[1, 0], [2, 0], [Infinity, 0]],
      count: 0,
      sum: 0,
      min: 0,
      max: 0
    })
  })

  it("counts in each bucket what is not above its bound, with what is in those below", () => {
    const distribution = new Distribution([1, 2, 4])
    for (const value of [0.5, 1, 1.5, 4, 5, 100]) distribution.record(value)
    assert.deepStrictEqual(distribution.state, {
      buckets: [[1, 2], [2, 3], [4, 4], [Infinity, 6]],
      count: 6,
      sum: 112,
      min: 0.5,
      max: 100
    })
  })
})

describe("Counts", () => {
  it("tells of a series when something is counted in it for the first time, and never again", () => {
    const { counts, series } = counting()
    counts.error("Overloaded").add()
    counts.error("Overloaded").add()
    counts.error("Unavailable").add()
    counts.retry("Overloaded").add()
    assert.deepStrictEqual(series, [
      ["errors", { reason: "Overloaded" }],
      ["errors", { reason: "Unavailable" }],
      ["retries", { reason: "Overloaded" }]
    ])
    assert.strictEqual(counts.error("Overloaded").value, 2)
  })

  it("counts what it has no name for as OTHER, so that no text becomes a label", () => {
    const { counts, series } = counting()
    const other = counts.operation("SELEC")
    assert.strictEqual(counts.operation("'a value'"), other)
    assert.notStrictEqual(counts.operation("SELECT"), other)
    const operations = new Set(series.map(([, { operation }]) => operation))
    assert.deepStrictEqual([...operations], ["OTHER", "SELECT"])
  })

  it("counts a node by its host id, whatever object the driver makes of it, and wherever it is", () => {
    const { counts } = counting()
    counts.node(hostOf("a")).attempts.add()
    counts.node(hostOf("a", "127.0.0.2:9042")).attempts.add()
    assert.strictEqual(counts.node(hostOf("a")).attempts.value, 2)
    assert.strictEqual(counts.node(hostOf("b")).attempts.value, 0)
  })

  it("counts a node by its id as soon as it is known", () => {
    const { counts } = counting()
    const host = hostOf(null) as { hostId: unknown } & Host
    assert.strictEqual(counts.node(host).name, "127.0.0.1:9042")
    host.hostId = "a"
    assert.strictEqual(counts.node(host).name, "a")
  })

  it("counts a node that was forgotten anew", () => {
    const { counts, series } = counting()
    counts.node(hostOf("a")).attempts.add()
    counts.forgetNode("a")
    series.length = 0
    assert.strictEqual(counts.node(hostOf("a")).attempts.value, 0)
    assert.deepInclude(series, ["nodeAttempts", { node: "a" }])
  })

  it("counts 1,000 nodes, and all others as one until there is room", () => {
    const { counts } = counting()
    const hosts = Array.from({ length: 1002 }, (_, index) => hostOf(`node${index}`))
    const names = new Set(hosts.map((host) => counts.node(host).name))
    assert.strictEqual(names.size, 1001)
    assert.strictEqual(counts.node(hosts[1000]!), counts.node(hosts[1001]!))
    assert.strictEqual(counts.node(hosts[1000]!).name, "other")
    assert.strictEqual(counts.node(hostOf("node999")).name, "node999")
    counts.forgetNode("node0")
    assert.strictEqual(counts.node(hostOf("new")).name, "new")
  })
})
