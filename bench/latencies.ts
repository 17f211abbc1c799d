/**
 * How long each operation of a block has taken. Blocks run one at a time, so that one recorder serves them all.
 */

let millis = new Float64Array(2 ** 15)
let recorded = 0

export interface Quantiles {
  /** In milliseconds. `NaN` for a block that has recorded nothing. */
  readonly p50: number
  readonly p99: number
}

/** To be called when an operation that began at `from` has its answer. */
export const recordSince = (from: number): void => {
  if (recorded === millis.length) millis = grown(millis)
  millis[recorded++] = performance.now() - from
}

/** What was recorded since it was asked for last. */
export const takeQuantiles = (): Quantiles => {
  const sorted = millis.slice(0, recorded).sort()
  recorded = 0
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
}

const quantile = (sorted: Float64Array, part: number): number => sorted[Math.floor(part * sorted.length)] ?? NaN

const grown = (values: Float64Array): Float64Array<ArrayBuffer> => {
  const larger = new Float64Array(values.length * 2)
  larger.set(values)
  return larger
}
