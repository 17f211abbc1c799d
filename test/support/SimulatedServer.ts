/**
 * A server behind an `Admission`, in a time of its own: it has some workers, serves in the order of arrival, and answers
 * also what nobody waits for any more. No real time passes, and chance is seeded: a run is the same each time.
 */
import type { Admission } from "../../src/internal/admission.ts"

export interface Load {
  readonly admission: Admission
  /** What it can answer in a second, with all its workers. */
  readonly perSecond: number
  readonly workers: number
  /** What is asked in a second. */
  readonly arrivalsPerSecond: number
  /** So many arrive together. By default 1. */
  readonly burst?: number
  /** Which share of them takes so much longer. By default none. */
  readonly slow?: { readonly share: number; readonly millis: number }
  /** How long each waits for its answer. By default a second. */
  readonly patienceMillis?: number
  readonly seconds: number
  readonly seed?: number
  /** Sets what `performance.now` says. */
  readonly setNow: (millis: number) => void
}

export interface Counts {
  readonly arrived: number
  readonly inTime: number
  readonly refused: number
  /** Sent, and not answered in time. */
  readonly givenUp: number
  readonly timedOutInQueue: number
  /** The most that the server ever had at a time, what was given up too. */
  readonly mostAtServer: number
}

/** An event of the simulated time. */
interface Event {
  readonly at: number
  readonly run: () => void
}

export const simulate = (load: Load): Counts => new Simulation(load).run()

class Simulation {
  private readonly load: Load
  private readonly events = new Events()
  private readonly random: () => number
  private readonly atServer: Array<() => void> = []
  private now = 0
  private busy = 0
  private counts = { arrived: 0, inTime: 0, refused: 0, givenUp: 0, timedOutInQueue: 0, mostAtServer: 0 }

  constructor(load: Load) {
    this.load = load
    this.random = seeded(load.seed ?? 1)
  }

  run(): Counts {
    const end = this.load.seconds * 1000
    this.arriveUntil(end)
    for (let event = this.events.take(); event !== undefined && event.at <= end; event = this.events.take()) {
      this.now = event.at
      this.load.setNow(event.at)
      event.run()
    }
    return this.counts
  }

  private arriveUntil(end: number): void {
    const { arrivalsPerSecond, burst = 1 } = this.load
    const pause = 1000 * burst / arrivalsPerSecond
    const arrive = (): void => {
      for (let count = 0; count < burst; count++) this.arrive()
      if (this.now < end) this.after(pause, arrive)
    }
    this.after(0, arrive)
  }

  private arrive(): void {
    const { admission, patienceMillis = 1000 } = this.load
    const deadline = this.now + patienceMillis
    let isOver = false
    let sentAt: number | undefined
    let whenAnswered: (() => void) | undefined
    const answered = (): void => {
      if (isOver) return whenAnswered?.()
      isOver = true
      this.counts.inTime++
      admission.pace.answered(sentAt!)
      admission.leave()
    }
    const waiter = {
      deadline,
      admitted: () => {
        sentAt = this.now
        this.send(answered)
      }
    }
    this.counts.arrived++
    if (admission.tryEnter(deadline)) waiter.admitted()
    else if (!admission.enqueue(waiter)) {
      this.counts.refused++
      return
    }
    this.after(patienceMillis, () => {
      if (isOver) return
      isOver = true
      if (sentAt === undefined) {
        this.counts.timedOutInQueue++
        return admission.cancel(waiter)
      }
      this.counts.givenUp++
      admission.leaveLate((over) => {
        whenAnswered = over
      })
    })
  }

  private send(answered: () => void): void {
    this.atServer.push(answered)
    this.counts.mostAtServer = Math.max(this.counts.mostAtServer, this.atServer.length + this.busy)
    this.serve()
  }

  private serve(): void {
    while (this.busy < this.load.workers && this.atServer.length > 0) {
      const answered = this.atServer.shift()!
      this.busy++
      this.after(this.serviceMillis(), () => {
        this.busy--
        answered()
        this.serve()
      })
    }
  }

  private serviceMillis(): number {
    const { perSecond, slow, workers } = this.load
    const usual = -Math.log(this.random()) * 1000 * workers / perSecond
    return slow !== undefined && this.random() < slow.share ? usual + slow.millis : usual
  }

  private after(millis: number, run: () => void): void {
    this.events.add({ at: this.now + millis, run })
  }
}

/** Above 0 and below 1. */
const seeded = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
}

/** A binary heap, the next event first. */
class Events {
  private readonly heap: Array<Event> = []

  add(event: Event): void {
    const { heap } = this
    let index = heap.length
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.at <= event.at) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  take(): Event | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (heap.length > 0) this.sink(last!)
    return first
  }

  private sink(event: Event): void {
    const { heap } = this
    let index = 0
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++
      if (heap[child]!.at >= event.at) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = event
  }
}
