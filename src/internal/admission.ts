/**
 * How many requests a client has in flight, and who waits for a place: first come, first served, both bounded.
 *
 * Plain numbers on the path of a query: a semaphore would cost a fiber hop for every one of them.
 */
export interface Waiter {
  /** A place is free and taken for this waiter. */
  readonly admitted: () => void
}

export class Admission {
  inFlight = 0
  readonly limit: number
  readonly maxQueued: number
  // A set keeps the order of arrival and lets an interrupted waiter leave from the middle.
  private readonly waiting = new Set<Waiter>()
  // One iterator for as long as it lasts: a new one would walk over all who have left since the set was last compacted.
  private next = this.waiting.values()
  private passing = false

  constructor(limit: number, maxQueued: number) {
    this.limit = limit
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

  /** Joins the queue; `false` when it is full. */
  enqueue(waiter: Waiter): boolean {
    if (this.waiting.size >= this.maxQueued) return false
    this.waiting.add(waiter)
    return true
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
