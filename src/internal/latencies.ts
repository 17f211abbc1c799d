/**
 * How long a statement took of late, as a percentile of it: counts in buckets that grow by a fifth each.
 *
 * Every so many samples all counts are halved, so that what is long past weighs little.
 */
const growth = Math.log(1.2)

/** The first bucket ends here, in milliseconds; the last begins at about half an hour. */
const smallest = 0.1

const bucketCount = 92

const halveEvery = 1000

/** Fewer samples tell nothing. */
const fewest = 100

const bucketOf = (millis: number): number =>
  millis <= smallest ? 0 : Math.min(bucketCount - 1, Math.ceil(Math.log(millis / smallest) / growth))

const endOf = (bucket: number): number => smallest * Math.exp(bucket * growth)

export class Latencies {
  private readonly counts = new Float64Array(bucketCount)
  private total = 0
  private untilHalved = halveEvery
  private seen = 0

  add(millis: number): void {
    this.counts[bucketOf(millis)]!++
    this.total++
    this.seen++
    if (--this.untilHalved === 0) this.halve()
  }

  /** In milliseconds, at most a fifth too high; `undefined` as long as too little is known. */
  percentile(percentile: number): number | undefined {
    if (this.seen < fewest) return undefined
    const wanted = this.total * percentile / 100
    let below = 0
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      below += this.counts[bucket]!
      if (below >= wanted) return endOf(bucket)
    }
    return endOf(bucketCount - 1)
  }

  private halve(): void {
    this.untilHalved = halveEvery
    this.total = 0
    for (let bucket = 0; bucket < bucketCount; bucket++) this.total += this.counts[bucket]! /= 2
  }
}
