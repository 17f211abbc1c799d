/**
 * UUIDs of version 1, which Cassandra calls timeuuid: 60 bits of time, a clock sequence and a node.
 */
import { randomBytes } from "node:crypto"

/** What {@link dateOf} reads. Any variant: the largest timeuuid of a millisecond has not the one of RFC 9562. */
export const form = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-1[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/

// -----------------------------------------------------------------------------
// Time
// -----------------------------------------------------------------------------

/** From 1582-10-15, where the time of a timeuuid begins, to 1970-01-01. */
const millisBefore1970 = 12_219_292_800_000
/** A tick is 100 nanoseconds. */
const ticksPerMilli = 10_000
/** The last millisecond all of whose ticks fit 60 bits. */
const lastMillis = Math.floor(2 ** 60 / ticksPerMilli) - 1 - millisBefore1970

const inRange = (millis: number): number => {
  if (millis >= -millisBefore1970 && millis <= lastMillis) return millis
  throw new RangeError("the time of a timeuuid must be from 1582-10-15 to 5236-03-31")
}

const format = (millis: number, tick: number, clockAndNode: string): string => {
  const time = BigInt(millis + millisBefore1970) * BigInt(ticksPerMilli) + BigInt(tick)
  const digits = time.toString(16).padStart(15, "0")
  return `${digits.slice(7)}-${digits.slice(3, 7)}-1${digits.slice(0, 3)}-${clockAndNode}`
}

/** Rounded down to the millisecond; `undefined` when the text is not a timeuuid. */
export const dateOf = (uuid: string): Date | undefined => {
  if (!form.test(uuid)) return undefined
  const time = BigInt(`0x${uuid.slice(15, 18)}${uuid.slice(9, 13)}${uuid.slice(0, 8)}`)
  return new Date(Number(time / BigInt(ticksPerMilli)) - millisBefore1970)
}

// -----------------------------------------------------------------------------
// Bounds
// -----------------------------------------------------------------------------

// Of one time, Cassandra compares the other bytes one by one, and as signed.
export const min = (date: Date): string => format(inRange(date.getTime()), 0, "8080-808080808080")

export const max = (date: Date): string => format(inRange(date.getTime()), ticksPerMilli - 1, "7f7f-7f7f7f7f7f7f")

// -----------------------------------------------------------------------------
// New ones
// -----------------------------------------------------------------------------

/** No address of a network card has the multicast bit, so a random node is nobody else's (RFC 9562, section 6.10). */
const randomClockAndNode = (): string => {
  const bytes = randomBytes(8)
  bytes[0] = (bytes[0]! & 0x3f) | 0x80
  bytes[2] = bytes[2]! | 0x01
  return `${bytes.toString("hex", 0, 2)}-${bytes.toString("hex", 2)}`
}

export const at = (date: Date): string => format(inRange(date.getTime()), 0, randomClockAndNode())

let ofThisProcess: string | undefined
let last = { millis: Number.NEGATIVE_INFINITY, tick: 0 }

/** Later than any before it: of the given time, or of the first tick after the last when that is not later. */
export const next = (nowMillis: number): string => {
  const now = inRange(Math.floor(nowMillis))
  last = now > last.millis ? { millis: now, tick: 0 } : nextTick()
  ofThisProcess ??= randomClockAndNode()
  return format(last.millis, last.tick, ofThisProcess)
}

const nextTick = (): { readonly millis: number; readonly tick: number } =>
  last.tick + 1 < ticksPerMilli
    ? { millis: last.millis, tick: last.tick + 1 }
    : { millis: inRange(last.millis + 1), tick: 0 }
