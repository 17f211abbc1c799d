/**
 * How many requests may be in flight, by what more of them buy: the limit goes up and down around a level, and the
 * latencies at the high and at the low limit are compared.
 *
 * Twice as many in flight that take twice as long have only waited longer; if they take no longer, all are worked on.
 * Envoy's adaptive concurrency and Netflix's Vegas and Gradient2 compare with a latency of another time, when less was
 * in flight: that misleads as soon as other statements are asked, for a row and a scan have little in common, and it
 * takes for the server's queue what each answer costs the client. Here both latencies are of the same moment.
 *
 * No clock and no timer: it lives on samples alone.
 */
export interface Bounds {
  readonly min: number
  readonly max: number
}

/** Where it begins: from below it finds a high limit in a thousand answers, from above it would drown a small server. */
const start = 32

/** The high and the low limit are this far from the level. */
const swing = Math.SQRT2

/** How much of what lies between the low and the high limit may only wait. Less means less latency and throughput. */
const waitingWanted = 0.85

/** How strongly a comparison changes the level, and the most that it does; as logarithms, as all changes are. */
const gain = 3
const largestStep = 0.35

/** Drops weigh so much that one in twenty-five undoes the largest step up, and rare ones do little. */
const dropWeight = largestStep * 25
const largestFall = Math.LN2

/** A limit that is not used is forgotten by and by: it may be wrong when it is needed again. */
const forgetting = -0.2

/** Answers that are compared, at least: fewer tell more of chance than of the limit. */
const fewest = 100

/** Milliseconds; there is no logarithm of 0. */
const shortest = 0.001

export class AdaptiveLimit {
  /** In force now. */
  limit: number
  private readonly min: number
  private readonly max: number
  private level: number
  /** At the high limit, while that at the low one is measured. Of logarithms, so that rare slow statements say little. */
  private highMean: number | undefined
  private answers = 0
  private drops = 0
  private settling = 0
  private left = 0
  private timed = 0
  private sum = 0
  private mostInFlight = 0

  constructor({ max, min }: Bounds) {
    this.max = max
    this.min = Math.min(min, max)
    this.level = Math.max(this.min, Math.min(start, max))
    this.limit = this.high
    this.measure(this.high)
  }

  /** An attempt has ended, and `inFlight` counts it still. Dropped is what was not answered in time, or as too much. */
  sample(latencyMillis: number, inFlight: number, dropped: boolean): void {
    this.answers++
    if (dropped) this.drops++
    if (this.settling > 0) {
      this.settling--
      return
    }
    if (inFlight > this.mostInFlight) this.mostInFlight = inFlight
    if (!dropped) {
      this.timed++
      this.sum += Math.log(Math.max(latencyMillis, shortest))
    }
    this.left--
    if (this.left === 0) this.measured()
  }

  private get high(): number {
    return Math.min(this.max, Math.ceil(this.level * swing))
  }

  private get low(): number {
    return Math.max(this.min, Math.floor(this.level / swing))
  }

  private measure(limit: number): void {
    // Whatever was sent under the other limit, and what queues behind it.
    this.settling = Math.max(limit, this.limit)
    this.left = Math.max(fewest, limit >> 1)
    this.limit = limit
    this.timed = 0
    this.sum = 0
    this.mostInFlight = 0
  }

  private measured(): void {
    const mean = this.timed > 0 && this.mostInFlight >= this.limit ? this.sum / this.timed : undefined
    if (this.highMean !== undefined) {
      this.change(mean === undefined ? 0 : this.compare(this.highMean - mean))
    } else if (mean === undefined || this.low === this.high) {
      this.change(this.mostInFlight * 2 < this.level ? forgetting : 0)
    } else {
      this.highMean = mean
      this.measure(this.low)
    }
  }

  private compare(longer: number): number {
    const waiting = longer / Math.log(this.high / this.low)
    return Math.max(-largestStep, Math.min(largestStep, gain * (waitingWanted - waiting)))
  }

  private change(by: number): void {
    const fall = Math.min(largestFall, dropWeight * this.drops / this.answers)
    this.level = Math.max(this.min, Math.min(this.max, this.level * Math.exp(by - fall)))
    this.highMean = undefined
    this.answers = 0
    this.drops = 0
    this.measure(this.high)
  }
}
