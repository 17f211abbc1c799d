/**
 * A page state as text: with the statement, the values and the columns that it belongs to, as digests.
 *
 * The server checks none of it. On another partition it answers no rows and no error, on another table it fails with a
 * null pointer (drivers.md, 26).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import * as Errors from "../CqlError.ts"
import type { Column } from "./codec/ColumnType.ts"
import { format } from "./codec/ColumnType.ts"

/** What a page state is of. */
export interface Origin {
  readonly keyspace: string | undefined
  readonly text: string
  /** As they are sent. */
  readonly values: Buffer | undefined
}

/** A page state that was kept. */
export interface Kept {
  readonly origin: Buffer
  readonly columns: Buffer
  readonly state: Buffer
}

const version = 1

/** Enough to tell one statement from another; it is no protection against somebody who wants to be mistaken. */
const digestLength = 12

const headLength = 1 + 2 * digestLength

const checksumLength = 4

const digest = (parts: ReadonlyArray<string | Buffer>): Buffer => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest().subarray(0, digestLength)
}

const checksum = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest().subarray(0, checksumLength)

const ofOrigin = ({ keyspace, text, values }: Origin): Buffer => digest([keyspace ?? "", text, values ?? ""])

const ofColumns = (columns: ReadonlyArray<Column>): Buffer =>
  digest(columns.flatMap(({ keyspace, name, table, type }) => [keyspace, table, name, format(type)]))

export const keep = (origin: Origin, columns: ReadonlyArray<Column>, state: Buffer): string => {
  const bytes = Buffer.concat([Buffer.of(version), ofOrigin(origin), ofColumns(columns), state])
  return Buffer.concat([bytes, checksum(bytes)]).toString("base64url")
}

export const read = (text: unknown): Kept | Errors.Reason => {
  const all = Buffer.from(typeof text === "string" ? text : "", "base64url")
  const bytes = all.subarray(0, Math.max(0, all.length - checksumLength))
  const isWhole = bytes.length > headLength && bytes[0] === version &&
    checksum(bytes).equals(all.subarray(bytes.length)) && all.toString("base64url") === text
  if (!isWhole) return invalid("it is no page state of this library, or not all of one")
  return {
    origin: bytes.subarray(1, 1 + digestLength),
    columns: bytes.subarray(1 + digestLength, headLength),
    state: bytes.subarray(headLength)
  }
}

export const problemOfOrigin = (kept: Kept, origin: Origin): Errors.Reason | undefined =>
  kept.origin.equals(ofOrigin(origin))
    ? undefined
    : invalid("it is of another statement, of other values, or of another keyspace")

export const problemOfColumns = (kept: Kept, columns: ReadonlyArray<Column>): Errors.Reason | undefined =>
  kept.columns.equals(ofColumns(columns)) ? undefined : invalid("the columns of the result have changed since")

const invalid = (why: string): Errors.Reason =>
  new Errors.InvalidPageState({ message: `the page state cannot be used: ${why}` })

// --- signed

const signature = (pageState: string, key: string): Buffer => createHmac("sha256", key).update(pageState).digest()

export const sign = (pageState: string, key: string): string =>
  `${pageState}.${signature(pageState, key).toString("base64url")}`

export const verify = (signed: unknown, keys: ReadonlyArray<string>): string | Errors.Reason => {
  const [pageState, given, ...more] = typeof signed === "string" ? signed.split(".") : []
  if (pageState === undefined || given === undefined || more.length > 0) return invalid("it is not signed")
  const bytes = Buffer.from(given, "base64url")
  const isSigned = keys.some((key) => {
    const expected = signature(pageState, key)
    return bytes.length === expected.length && timingSafeEqual(bytes, expected)
  })
  return isSigned ? pageState : invalid("its signature is not by one of the keys")
}
