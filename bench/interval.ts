/**
 * A median, and the interval that holds the true median 95 times out of a hundred.
 */

export interface Interval {
  readonly median: number
  readonly low: number
  readonly high: number
}

export const medianOf = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * The interval is made of two of the values themselves, by their rank: nothing is assumed of how they are distributed,
 * and a few bad seconds of the machine move it little.
 */
export const intervalOf = (values: ReadonlyArray<number>): Interval => {
  const sorted = values.toSorted((a, b) => a - b)
  const outside = ranksOutside(sorted.length)
  return { median: medianOf(sorted), low: sorted[outside]!, high: sorted[sorted.length - 1 - outside]! }
}

/**
 * How many values on each side can be left out. The median lies below the k-th of n values with the probability that
 * fewer than k of n coins show heads.
 */
const ranksOutside = (count: number): number => {
  let outside = 0
  let term = 0.5 ** count
  let below = term
  while (below + nextTerm(term, count, outside) <= 0.025) {
    term = nextTerm(term, count, outside)
    below += term
    outside++
  }
  return outside
}

const nextTerm = (term: number, count: number, heads: number): number => (term * (count - heads)) / (heads + 1)
