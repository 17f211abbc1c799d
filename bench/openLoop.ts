/**
 * Load, and what comes of it: requests that arrive by the clock, however many are open, or so many at a time.
 */
import * as Effect from "effect/Effect"

/** Begins one request and calls back once, with "answered" or with why not. */
export interface Ask {
  (index: number, done: (outcome: string) => void): void
}

export interface Tally {
  readonly seconds: number
  readonly begun: number
  /** Answered in time. */
  readonly good: number
  readonly outcomes: ReadonlyMap<string, number>
  /** The median of what was answered in time, in milliseconds. */
  readonly median: number
  readonly heapMegabytes: number
}

export const goodput = ({ good, seconds }: Tally): number => good / seconds

/** Nobody wants an answer that is later. */
export const patienceMillis = 1000

class Counter {
  begun = 0
  good = 0
  open = 0
  heap = 0
  readonly outcomes = new Map<string, number>()
  private readonly latencies: Array<number> = []
  private readonly ask: Ask
  private readonly since = performance.now()

  constructor(ask: Ask) {
    this.ask = ask
  }

  begin(settled: () => void = nothing): void {
    const from = performance.now()
    this.open++
    this.ask(this.begun++, (outcome) => {
      this.open--
      this.count(outcome, performance.now() - from)
      settled()
    })
  }

  private count(outcome: string, millis: number): void {
    const named = outcome === "answered" && millis > patienceMillis ? "answered too late" : outcome
    this.outcomes.set(named, (this.outcomes.get(named) ?? 0) + 1)
    if (named !== "answered") return
    this.good++
    this.latencies.push(millis)
  }

  tally(): Tally {
    const sorted = this.latencies.toSorted((a, b) => a - b)
    return {
      seconds: (performance.now() - this.since) / 1000,
      begun: this.begun,
      good: this.good,
      outcomes: new Map(this.outcomes),
      median: sorted[sorted.length >> 1] ?? NaN,
      heapMegabytes: this.heap / 2 ** 20
    }
  }
}

const nothing = (): void => undefined

/** So many at a time, each followed by the next. */
export const closedLoop = (ask: Ask, inFlight: number, seconds: number): Effect.Effect<Tally> =>
  Effect.promise(async () => {
    const counter = new Counter(ask)
    const until = performance.now() + seconds * 1000
    await new Promise<void>((resolve) => {
      const next = (): void => {
        // Not from within the answer: what fails at once would not return.
        if (performance.now() < until) setImmediate(() => counter.begin(next))
        else if (counter.open === 0) resolve()
      }
      for (let index = 0; index < inFlight; index++) counter.begin(next)
    })
    return counter.tally()
  })

/** So many a second, until it is over. Those that the process had no time for come late, and all together. */
export const openLoop = (ask: Ask, perSecond: number, isOver: () => boolean): Effect.Effect<Tally> =>
  Effect.promise(async () => {
    const counter = new Counter(ask)
    const from = performance.now()
    while (!isOver()) {
      const due = (performance.now() - from) / 1000 * perSecond
      while (counter.begun < due) counter.begin()
      counter.heap = Math.max(counter.heap, process.memoryUsage().heapUsed)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const tally = counter.tally()
    // What is open now counts for nothing, and must not weigh on what is measured next.
    while (counter.open > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    return tally
  })

/** In so many seconds from when it is first asked. */
export const over = (seconds: number): () => boolean => {
  let until: number | undefined
  return () => {
    until ??= performance.now() + seconds * 1000
    return performance.now() >= until
  }
}
