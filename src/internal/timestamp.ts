/**
 * Write timestamps: microseconds of wall time, strictly increasing in this process.
 *
 * Never Effect's Clock: under TestClock it starts at 0, and a write with that timestamp is shadowed for ever by any
 * earlier one. One generator for all sessions, so that two sessions of one process cannot overtake each other.
 */
let last = 0

export const next = (): number => {
  const now = Date.now() * 1000
  last = now > last ? now : last + 1
  return last
}
