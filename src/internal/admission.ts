/**
 * How many requests a client has in flight, and who waits for a place: first come, first served, both bounded.
 *
 * Plain numbers on the path of a query: a semaphore would cost a fiber hop for every one of them.
 */
import type { AdaptiveLimit } from "./adaptiveLimit.ts"
import type { WhenOver } from "./driver/client.ts"
import { Pace } from "./pace.ts"

export interface Waiter {
  /** When nobody wants its answer any more, by `performance.now()`. */
  readonly deadline: number
  /** A place is free and taken for this waiter. */
  readonly admitted: () => void
}

/** A request that was given up, and still has its place. */
interface Late {
  readonly givenUpAt: number
}

/** Of the time that it has, a request may be expected to need so much: the pace changes, and what is late is in vain. */
const mostOfPatience = 0.5

/** Answers that take less of it are not those of a server that has too much to do. */
const slowOfPatience = 0.33

/** The server has too much to do when so much of what is in flight was given up, and so many. */
const lateShare = 0.25
const fewestLate = 16

/** After so long no answer is expected any more: a server gives up in seconds what it works on. */
const longestLateMillis = 20_000

/** Of the limit; so much remains for what is answered, also where answers are lost. */
const mostLate = 0.5

export class Admission {
  inFlight = 0
  limit: number
  readonly maxQueued: number
  /** Moves the limit by what requests take; without it the limit stays. */
  readonly adaptive: AdaptiveLimit | undefined
  readonly pace = new Pace()
  // A set keeps the order of arrival and lets an interrupted waiter leave from the middle.
  private readonly waiting = new Set<Waiter>()
  // One iterator for as long as it lasts: a new one would walk over all who have left since the set was last compacted.
  private next = this.waiting.values()
  private passing = false
  private readonly late = new Set<Late>()
  /** How many waited and were in flight when the last was refused for its time; 0 when there are much fewer again. */
  private tooMany = 0

  constructor(limit: number | AdaptiveLimit, maxQueued: number) {
    this.adaptive = typeof limit === "number" ? undefined : limit
    this.limit = typeof limit === "number" ? limit : limit.limit
    this.maxQueued = maxQueued
  }

  get queued(): number {
    return this.waiting.size
  }

  get isFull(): boolean {
    return this.waiting.size >= this.maxQueued
  }

  /** Takes a place if one is free, nobody came before, and the answer would come in time. */
  tryEnter(deadline = Infinity): boolean {
    if (this.late.size > 0) this.forgetLost()
    if (this.inFlight >= this.limit || this.waiting.size > 0 || this.comesTooLate(deadline)) return false
    this.inFlight++
    return true
  }

  /**
   * Joins the queue; `false` when it is full, or when the answer would not come in time. Else, in a long queue, all would
   * be sent when it is too late.
   */
  enqueue(waiter: Waiter): boolean {
    if (this.isFull || this.comesTooLate(waiter.deadline)) return false
    this.pace.measure()
    this.waiting.add(waiter)
    return true
  }

  private comesTooLate(deadline: number): boolean {
    const load = this.inFlight + this.waiting.size
    if (!this.hasTooMuch(load)) {
      this.pace.forget()
      return false
    }
    this.pace.measure()
    const patience = deadline - performance.now()
    const isLate = this.pace.expectedMillis(load, patience) > mostOfPatience * patience
    // Without a queue it may be those who ask that are slow.
    if (!isLate || (this.waiting.size === 0 && this.pace.tookMillis < slowOfPatience * patience)) return false
    this.tooMany = load
    return true
  }

  /** There is a queue, or there is none because what was sent before is given up; now, or a moment ago. */
  private hasTooMuch(load: number): boolean {
    if (load < this.tooMany / 2) this.tooMany = 0
    const late = this.late.size
    return this.waiting.size > 0 || this.tooMany > 0 || (late >= fewestLate && late > lateShare * this.inFlight)
  }

  /** Leaves the queue without a place. */
  cancel(waiter: Waiter): void {
    this.waiting.delete(waiter)
  }

  /**
   * Gives a place back. It passes to the first waiter once `between` has run, which resumes the one who had it: whoever
   * goes on from there with a request of their own takes it without queueing, if nobody waits.
   */
  leave(between: () => void = nothing): void {
    this.inFlight--
    try {
      between()
    } finally {
      this.passOn()
    }
  }

  /** Gives a place back when it is over: what was given up too early would only be followed by more to be given up. */
  leaveLate(whenOver: WhenOver): void {
    const late: Late = { givenUpAt: performance.now() }
    this.late.add(late)
    const [oldest] = this.late
    if (this.late.size > mostLate * this.limit) this.forgetLate(oldest!)
    whenOver(() => {
      if (!this.late.delete(late)) return
      this.pace.answeredLate()
      this.leave()
    })
  }

  private forgetLost(): void {
    const before = performance.now() - longestLateMillis
    for (const late of this.late) {
      if (late.givenUpAt > before) return
      this.forgetLate(late)
    }
  }

  private forgetLate(late: Late): void {
    this.late.delete(late)
    this.leave()
  }

  /**
   * An attempt has ended; who has it still holds the place. Admits nobody: every place that is free after this is filled
   * by the next to leave, and there is one, for without requests in flight nobody waits.
   */
  sample(latencyMillis: number, dropped: boolean): void {
    const { adaptive } = this
    if (adaptive === undefined) return
    adaptive.sample(latencyMillis, this.inFlight, dropped)
    this.limit = adaptive.limit
  }

  private passOn(): void {
    // A waiter that fails at once leaves again from within `admitted`: a loop, so that a long queue is no deep stack.
    if (this.passing) return
    this.passing = true
    try {
      while (this.inFlight < this.limit && this.waiting.size > 0) this.pass()
    } finally {
      this.passing = false
    }
  }

  private pass(): void {
    const first = this.first()
    this.waiting.delete(first)
    this.inFlight++
    first.admitted()
  }

  private first(): Waiter {
    const next = this.next.next()
    if (next.done !== true) return next.value
    // It has come to the end once, and sees nobody who came later.
    this.next = this.waiting.values()
    return this.next.next().value!
  }
}

const nothing = (): void => undefined
