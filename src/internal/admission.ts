/**
 * How many requests a client has in flight, and who waits for a place: first come, first served, both bounded.
 *
 * Plain numbers on the path of a query: a semaphore would cost a fiber hop for every one of them.
 */
import type { AdaptiveLimit } from "./adaptiveLimit.ts"

export interface Waiter {
  /** A place is free and taken for this waiter. */
  readonly admitted: () => void
}

/** How fast answers come is measured over this part of a waiter's time, and by so many answers at least. */
const paceOfPatience = 0.1
const fewestAnswers = 16

/** Of the time that it has, a waiter may be expected to need so much: the pace changes, and what is late is in vain. */
const mostOfPatience = 0.75

export class Admission {
  inFlight = 0
  limit: number
  readonly maxQueued: number
  /** Moves the limit by what requests take; without it the limit stays. */
  readonly adaptive: AdaptiveLimit | undefined
  // A set keeps the order of arrival and lets an interrupted waiter leave from the middle.
  private readonly waiting = new Set<Waiter>()
  // One iterator for as long as it lasts: a new one would walk over all who have left since the set was last compacted.
  private next = this.waiting.values()
  private passing = false
  /** Attempts that were answered, in time and somehow. What was given up frees a place too, and says nothing of pace. */
  answers = 0
  private answersThen = 0
  private measuredAt = 0
  /** 0 until it is known. */
  private millisPerAnswer = 0

  constructor(limit: number | AdaptiveLimit, maxQueued: number) {
    this.adaptive = typeof limit === "number" ? undefined : limit
    this.limit = typeof limit === "number" ? limit : limit.limit
    this.maxQueued = maxQueued
  }

  get queued(): number {
    return this.waiting.size
  }

  /** Takes a place if one is free and nobody came before. */
  tryEnter(): boolean {
    if (this.inFlight >= this.limit || this.waiting.size > 0) return false
    this.inFlight++
    return true
  }

  /**
   * Joins the queue; `false` when it is full, or when the waiter would not be answered in the time that it has. Else, in
   * a long queue, all would be sent when it is too late.
   */
  enqueue(waiter: Waiter, patienceMillis = Infinity): boolean {
    if (this.waiting.size >= this.maxQueued) return false
    if (this.waiting.size === 0) this.forgetPace()
    else if (this.expectedMillis(patienceMillis) > mostOfPatience * patienceMillis) return false
    this.waiting.add(waiter)
    return true
  }

  /** In the queue and then with the server: those who are before it have to be answered. */
  private expectedMillis(patienceMillis: number): number {
    const elapsed = performance.now() - this.measuredAt
    const answered = this.answers - this.answersThen
    if (answered >= fewestAnswers && elapsed >= patienceMillis * paceOfPatience) {
      this.forgetPace()
      this.millisPerAnswer = elapsed / answered
    }
    return this.millisPerAnswer * (this.waiting.size + this.inFlight)
  }

  /** An empty queue says nothing of how long a full one takes. */
  private forgetPace(): void {
    this.measuredAt = performance.now()
    this.answersThen = this.answers
    this.millisPerAnswer = 0
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
