import { assert, describe, it } from "@effect/vitest"
import { AdaptiveLimit } from "../../src/internal/adaptiveLimit.ts"

/** What the simulated server does; its own time, in milliseconds. */
interface Server {
  /** Statements that it works on at a time; the others queue. */
  workers: number
  /** What a worker takes for one, by a random number. */
  millis: (random: number) => number
  /** More than so many in its queue are answered with Overloaded, at once. */
  maxQueued: number
  /** Statements are given up after so long; the server goes on with what it has begun. */
  timeout: number
}

interface Sent {
  readonly at: number
  open: boolean
}

/** A client that has always as many in flight as it may, or as it wants to. */
class Simulation {
  readonly limit: AdaptiveLimit
  readonly server: Server
  wanted = Infinity
  answered = 0
  dropped = 0
  readonly seen = { least: Infinity, most: 0 }
  private now = 0
  private inFlight = 0
  private busy = 0
  private readonly queue: Array<Sent> = []
  private readonly events: Array<{ readonly at: number; readonly happen: () => void }> = []
  private seed = 1

  constructor(limit: AdaptiveLimit, server: Partial<Server>) {
    this.limit = limit
    this.server = { workers: 1, millis: () => 1, maxQueued: Infinity, timeout: Infinity, ...server }
  }

  /** Answers per millisecond. */
  run(millis: number): number {
    const before = this.answered
    const until = this.now + millis
    this.send()
    while (this.events.length > 0 && this.events.at(-1)!.at <= until) {
      const { at, happen } = this.events.pop()!
      this.now = at
      happen()
      this.send()
    }
    this.now = until
    return (this.answered - before) / millis
  }

  private send(): void {
    while (this.inFlight < Math.min(this.limit.limit, this.wanted)) {
      this.inFlight++
      const sent = { at: this.now, open: true }
      if (this.queue.length >= this.server.maxQueued) {
        this.after(0.1, () => this.settle(sent, true))
        continue
      }
      this.queue.push(sent)
      if (this.server.timeout < Infinity) this.after(this.server.timeout, () => this.settle(sent, true))
    }
    while (this.busy < this.server.workers && this.queue.length > 0) this.work(this.queue.shift()!)
  }

  private work(sent: Sent): void {
    if (!sent.open) return
    this.busy++
    this.after(this.server.millis(this.random()), () => {
      this.busy--
      this.settle(sent, false)
    })
  }

  private settle(sent: Sent, isDrop: boolean): void {
    if (!sent.open) return
    sent.open = false
    if (isDrop) this.dropped++
    else this.answered++
    this.limit.sample(this.now - sent.at, this.inFlight, isDrop)
    this.inFlight--
    this.seen.least = Math.min(this.seen.least, this.limit.limit)
    this.seen.most = Math.max(this.seen.most, this.limit.limit)
  }

  /** The last event is the next to happen. */
  private after(millis: number, happen: () => void): void {
    const at = this.now + millis
    let [low, high] = [0, this.events.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.events[middle]!.at > at) low = middle + 1
      else high = middle
    }
    this.events.splice(low, 0, { at, happen })
  }

  private random(): number {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0
    return (this.seed + 0.5) / 2 ** 32
  }
}

/** As the times of most servers are: mostly short. */
const about = (millis: number) => (random: number): number => -millis * Math.log(random)

const adaptive = (min = 1, max = 1024): AdaptiveLimit => new AdaptiveLimit({ min, max })

/** The mean of the limit while it runs. */
const meanLimit = (simulation: Simulation, millis: number): number => {
  let sum = 0
  for (let index = 0; index < 100; index++) {
    simulation.run(millis / 100)
    sum += simulation.limit.limit
  }
  return sum / 100
}

const assertBetween = (value: number, low: number, high: number): void =>
  assert.isTrue(value >= low && value <= high, `${value} is not from ${low} to ${high}`)

describe("AdaptiveLimit", () => {
  it("goes up to what a server can work on, from below", () => {
    const simulation = new Simulation(adaptive(), { workers: 200, millis: () => 5 })
    assert.isBelow(simulation.limit.limit, 50)
    simulation.run(1000)
    assertBetween(meanLimit(simulation, 1000), 180, 400)
    assert.isAbove(simulation.run(2000), 0.9 * 40)
  })

  it("goes down to what a server can work on, from above", () => {
    const simulation = new Simulation(adaptive(), { workers: 500, millis: () => 5 })
    simulation.run(1000)
    assert.isAbove(simulation.limit.limit, 400)
    simulation.server.workers = 10
    simulation.run(10_000)
    assertBetween(meanLimit(simulation, 5000), 10, 40)
    assert.isAbove(simulation.run(5000), 0.9 * 2)
  })

  it("keeps most of the throughput where times vary, with a short queue", () => {
    const simulation = new Simulation(adaptive(), { workers: 50, millis: about(2) })
    simulation.run(2000)
    assertBetween(meanLimit(simulation, 5000), 35, 100)
    assert.isAbove(simulation.run(5000), 0.8 * 25)
  })

  it("has no more than a few in flight at a server that takes one after another", () => {
    const simulation = new Simulation(adaptive(), { workers: 1, millis: about(1) })
    simulation.run(5000)
    assert.isBelow(meanLimit(simulation, 5000), 4)
    assert.isAbove(simulation.run(5000), 0.9)
  })

  it("stays where it is when the server takes longer for each and works on as many as before", () => {
    const simulation = new Simulation(adaptive(), { workers: 50, millis: about(1) })
    simulation.run(2000)
    const before = meanLimit(simulation, 2000)
    simulation.server.millis = about(20)
    simulation.run(1000)
    assertBetween(meanLimit(simulation, 40_000), before / 1.5, before * 1.5)
  })

  it("follows a server that gets slower, and faster again", () => {
    const simulation = new Simulation(adaptive(), { workers: 100, millis: about(2) })
    simulation.run(5000)
    const fast = meanLimit(simulation, 2000)
    Object.assign(simulation.server, { workers: 5, millis: about(10) })
    simulation.run(30_000)
    assert.isBelow(meanLimit(simulation, 10_000), 15)
    Object.assign(simulation.server, { workers: 100, millis: about(2) })
    simulation.run(5000)
    assertBetween(meanLimit(simulation, 2000), fast / 1.3, fast * 1.3)
  })

  it("is never below the least nor above the most that it may be", () => {
    const slow = new Simulation(adaptive(20, 100), { workers: 1, millis: about(1) })
    slow.run(5000)
    const fast = new Simulation(adaptive(20, 100), { workers: 1000, millis: () => 1 })
    fast.run(1000)
    assert.isAtLeast(slow.seen.least, 20)
    assert.isBelow(meanLimit(slow, 1000), 30)
    assert.isAtMost(fast.seen.most, 100)
    assert.isAbove(meanLimit(fast, 1000), 80)
  })

  it("stays where it may only be one number", () => {
    const simulation = new Simulation(adaptive(50, 50), { workers: 10, millis: about(1) })
    simulation.run(5000)
    assert.deepStrictEqual(simulation.seen, { least: 50, most: 50 })
    assert.strictEqual(adaptive(50, 10).limit, 10)
  })

  it("does not go up while little is sent, and goes down to twice of what is", () => {
    const simulation = new Simulation(adaptive(), { workers: 100, millis: about(2) })
    simulation.wanted = 4
    const before = simulation.limit.limit
    simulation.run(10_000)
    assert.strictEqual(simulation.seen.most, before)
    assertBetween(simulation.limit.limit, 8, 16)
  })

  it("is not dragged down by rare statements that are slow", () => {
    const simulation = new Simulation(adaptive(), {
      workers: 100,
      millis: (random) => random < 0.01 ? 500 : 2
    })
    simulation.run(5000)
    assert.isAbove(meanLimit(simulation, 10_000), 70)
  })

  it("is not dragged down by rare statements that get no answer in time", () => {
    const simulation = new Simulation(adaptive(), {
      workers: 50,
      timeout: 20,
      millis: (random) => random < 0.001 ? 50 : 2
    })
    simulation.run(1000)
    assert.isAbove(meanLimit(simulation, 3000), 35)
    assert.isAbove(simulation.dropped, 50)
  })

  it("goes down when a server says that it is too much", () => {
    const simulation = new Simulation(adaptive(), { workers: 1000, millis: () => 5 })
    simulation.run(500)
    assert.isAbove(simulation.limit.limit, 500)
    Object.assign(simulation.server, { workers: 20, maxQueued: 10 })
    simulation.run(5000)
    assertBetween(meanLimit(simulation, 5000), 10, 50)
    assert.isAbove(simulation.run(5000), 0.65 * 4)
  })

  it("goes down to the least when nothing is answered any more, and up again", () => {
    const simulation = new Simulation(adaptive(4), { workers: 100, millis: () => 5, timeout: 50 })
    simulation.run(1000)
    const before = meanLimit(simulation, 500)
    simulation.server.millis = () => 1000
    simulation.run(10_000)
    assert.isAtMost(simulation.limit.limit, 6)
    simulation.server.millis = () => 5
    simulation.run(3000)
    assertBetween(meanLimit(simulation, 500), before / 1.3, before * 1.3)
  })

  it("finds its way again after a long time without a statement", () => {
    const simulation = new Simulation(adaptive(), { workers: 100, millis: about(2) })
    simulation.run(5000)
    const before = meanLimit(simulation, 2000)
    simulation.wanted = 0
    simulation.run(3_600_000)
    simulation.wanted = Infinity
    simulation.run(1000)
    assertBetween(meanLimit(simulation, 2000), before / 1.3, before * 1.3)
  })

  it("takes latencies of nothing", () => {
    const simulation = new Simulation(adaptive(), { workers: 100, millis: () => 0 })
    for (let index = 0; index < 100_000; index++) simulation.limit.sample(0, simulation.limit.limit, false)
    assert.isAbove(simulation.limit.limit, 500)
  })
})
