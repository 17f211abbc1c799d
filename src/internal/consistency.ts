/**
 * The consistency levels by our names and by the protocol's codes (native protocol v4, section 3).
 */

/** Every level, at the index that is its code on the wire. */
export const levels = [
  "any",
  "one",
  "two",
  "three",
  "quorum",
  "all",
  "localQuorum",
  "eachQuorum",
  "serial",
  "localSerial",
  "localOne"
] as const

/**
 * How many replicas must take part before the coordinator answers.
 *
 * **Details**
 *
 * `serial` and `localSerial` are the levels of a lightweight transaction's first phase; a read may use them too, a
 * write may not. `any` is for writes alone.
 *
 * @category models
 * @since 0.1.0
 */
export type Consistency = (typeof levels)[number]

const codes: ReadonlyMap<string, number> = new Map(levels.map((level, code) => [level, code]))

/** The code of a level on the wire. */
export const toCode = (consistency: Consistency): number => codes.get(consistency)!

/** The level of a code on the wire; `undefined` for a code that no version of the protocol has. */
export const fromCode = (code: number): Consistency | undefined => levels[code]
