/**
 * The ring of a cluster as ranges that a table can be read by: none overlaps, and together they are all of it.
 */

/** What the server's partitioner makes of a partition key, in order. */
export interface Partitioner {
  /** Whether a text is one of its tokens. */
  readonly isToken: (text: string) => boolean
  /** Of what a node tells of its tokens. */
  readonly parse: (text: string) => Token
  /** As `token(...)` is compared with. */
  readonly toValue: (token: Token) => unknown
  /**
   * No key has the first one or one below it, or one above the last; `undefined` where tokens are no numbers. A node may
   * have the first one: the server takes it for the beginning of the ring where a range starts, and where it ends for the
   * end.
   */
  readonly bounds: readonly [min: bigint, max: bigint] | undefined
}

/** A number, or bytes in hexadecimal digits, which sort as they do. */
export type Token = bigint | string

/** Keys whose tokens are above `start`, and not above `end`. */
export interface Range {
  /** `undefined`: from the first one on. */
  readonly start: Token | undefined
  /** `undefined`: up to the last one. */
  readonly end: Token | undefined
}

const ofNumbers = (min: bigint, max: bigint): Partitioner => ({
  isToken: (text) => /^-?\d+$/.test(text) && BigInt(text) >= min && BigInt(text) <= max,
  parse: BigInt,
  toValue: (token) => token,
  bounds: [min, max]
})

const ofBytes: Partitioner = {
  isToken: (text) => /^(?:[0-9a-f]{2})*$/i.test(text),
  parse: (text) => text.toLowerCase(),
  toValue: (token) => Buffer.from(String(token), "hex"),
  bounds: undefined
}

const partitioners: Readonly<Record<string, Partitioner>> = {
  Murmur3Partitioner: ofNumbers(-(2n ** 63n), 2n ** 63n - 1n),
  RandomPartitioner: ofNumbers(-1n, 2n ** 127n),
  ByteOrderedPartitioner: ofBytes
}

/** Of its Java class; `undefined` for one whose tokens are not known here. */
export const partitionerOf = (className: string): Partitioner | undefined => {
  const name = className.slice(className.lastIndexOf(".") + 1)
  return Object.hasOwn(partitioners, name) ? partitioners[name] : undefined
}

const compare = (a: Token, b: Token): number => a < b ? -1 : a > b ? 1 : 0

/** All of the ring. */
export const whole: Range = { start: undefined, end: undefined }

const isInside = (token: Token, { end, start }: Range): boolean =>
  (start === undefined || token > start) && (end === undefined || token < end)

/** Below every other one: no key is at or below it. */
const isFirst = ({ bounds }: Partitioner, token: Token): boolean => token === (bounds === undefined ? "" : bounds[0])

/**
 * A range cut at tokens. Of the whole ring and the tokens of its nodes: what each node owns first, with the range that
 * wraps around the end of the ring in two.
 */
export const cut = (partitioner: Partitioner, range: Range, tokens: Iterable<Token>): ReadonlyArray<Range> => {
  const cuts = [...new Set(tokens)]
    .filter((token) => !isFirst(partitioner, token) && isInside(token, range))
    .sort(compare)
  return between(range, cuts)
}

const between = ({ end, start }: Range, cuts: ReadonlyArray<Token>): ReadonlyArray<Range> =>
  [...cuts, end].map((to, index) => ({ start: index === 0 ? start : cuts[index - 1], end: to }))

/** In `parts` of the same width; in one where there is nothing to divide. */
export const split = ({ bounds }: Partitioner, range: Range, parts: number): ReadonlyArray<Range> => {
  if (bounds === undefined || !(parts > 1)) return [range]
  const [min, max] = bounds
  const start = range.start === undefined ? min : range.start as bigint
  const end = range.end === undefined ? max : range.end as bigint
  const width = end - start
  const count = width < BigInt(parts) ? width : BigInt(parts)
  if (count <= 1n) return [range]
  return between(
    range,
    Array.from({ length: Number(count) - 1 }, (_, index) => start + width * BigInt(index + 1) / count)
  )
}

/** Of the whole ring; 0 where tokens are no numbers. */
export const shareOf = ({ bounds }: Partitioner, { end, start }: Range): number => {
  if (bounds === undefined) return 0
  const [min, max] = bounds
  const width = (end === undefined ? max : end as bigint) - (start === undefined ? min : start as bigint)
  return Number(width) / Number(max - min)
}

/** Whose owners have all of the range, if it lies between two tokens of nodes; none for all of the ring. */
export const tokenIn = ({ end, start }: Range): Token | undefined => {
  if (end !== undefined || start === undefined) return end
  return typeof start === "bigint" ? start + 1n : `${start}00`
}

/** What is left of ranges that do not touch, without one that lies in one of them. */
export const without = (ranges: ReadonlyArray<Range>, done: Range): ReadonlyArray<Range> =>
  ranges.flatMap((range) => {
    if (!holds(range, done)) return [range]
    const before = range.start === done.start ? [] : [{ start: range.start, end: done.start }]
    const behind = range.end === done.end ? [] : [{ start: done.end, end: range.end }]
    return [...before, ...behind]
  })

const holds = (range: Range, { end, start }: Range): boolean =>
  (range.start === undefined || (start !== undefined && start >= range.start)) &&
  (range.end === undefined || (end !== undefined && end <= range.end))
