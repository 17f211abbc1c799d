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

/** Enough to tell one statement from another; it is no protection against somebody who wants to be mistaken. */
const digestLength = 12

const digest = (parts: ReadonlyArray<string | Buffer>): Buffer => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest().subarray(0, digestLength)
}

const ofOrigin = ({ keyspace, text, values }: Origin): Buffer => digest([keyspace ?? "", text, values ?? ""])

const ofColumns = (columns: ReadonlyArray<Column>): Buffer =>
  digest(columns.flatMap(({ keyspace, name, table, type }) => [keyspace, table, name, format(type)]))

// --- as text

/** What a text is, and in which form: another form is another number. */
export const forms = { pageState: 1, checkpoint: 2, ofKeyspace: 3 } as const

type Form = typeof forms[keyof typeof forms]

const checksumLength = 4

const checksum = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest().subarray(0, checksumLength)

/** Of which statement it is, and the rest. */
interface Sealed {
  readonly origin: Buffer
  readonly body: Buffer
}

export const seal = (form: Form, origin: Origin, ...body: ReadonlyArray<Buffer>): string => {
  const bytes = Buffer.concat([Buffer.of(form), ofOrigin(origin), ...body])
  return Buffer.concat([bytes, checksum(bytes)]).toString("base64url")
}

/** `undefined` for what is no such text, or not all of one. */
export const unseal = (form: Form, text: unknown): Sealed | undefined => {
  const all = Buffer.from(typeof text === "string" ? text : "", "base64url")
  const bytes = all.subarray(0, Math.max(0, all.length - checksumLength))
  const isWhole = bytes.length > 1 + digestLength && bytes[0] === form &&
    checksum(bytes).equals(all.subarray(bytes.length)) && all.toString("base64url") === text
  return isWhole ? { origin: bytes.subarray(1, 1 + digestLength), body: bytes.subarray(1 + digestLength) } : undefined
}

export const isOf = (sealed: { readonly origin: Buffer }, origin: Origin): boolean =>
  sealed.origin.equals(ofOrigin(origin))

// --- page states

export const keep = (origin: Origin, columns: ReadonlyArray<Column>, state: Buffer): string =>
  seal(forms.pageState, origin, ofColumns(columns), state)

export const read = (text: unknown): Kept | Errors.Reason => {
  const sealed = unseal(forms.pageState, text)
  if (sealed === undefined || sealed.body.length <= digestLength) {
    return invalid("it is no page state of this library, or not all of one")
  }
  const { body, origin } = sealed
  return { origin, columns: body.subarray(0, digestLength), state: body.subarray(digestLength) }
}

export const problemOfOrigin = (kept: Kept, origin: Origin): Errors.Reason | undefined =>
  isOf(kept, origin) ? undefined : invalid("it is of another statement, of other values, or of another keyspace")

export const problemOfColumns = (kept: Kept, columns: ReadonlyArray<Column>): Errors.Reason | undefined =>
  kept.columns.equals(ofColumns(columns)) ? undefined : invalid("the columns of the result have changed since")

/** Of one that is whole, and that another version of the server may have made, or of the protocol. */
export const problemOfServer = (reason: Errors.Reason): Errors.Reason | undefined =>
  reason._tag === "ProtocolError" && /paging state/i.test(reason.message)
    ? invalid("the server cannot read it")
    : undefined

const invalid = (why: string): Errors.Reason =>
  new Errors.InvalidPageState({ message: `the page state cannot be used: ${why}` })

// --- signed

const signature = (pageState: string, key: string): string =>
  createHmac("sha256", key).update(pageState).digest("base64url")

export const sign = (pageState: string, key: string): string => `${pageState}.${signature(pageState, key)}`

export const verify = (signed: unknown, keys: ReadonlyArray<string>): string | Errors.Reason => {
  const [pageState, given, ...more] = typeof signed === "string" ? signed.split(".") : []
  if (pageState === undefined || given === undefined || more.length > 0) return invalid("it is not signed")
  const isSigned = keys.some((key) => isEqual(given, signature(pageState, key)))
  return isSigned ? pageState : invalid("its signature is not by one of the keys")
}

/** In a time that tells nothing of where they differ. */
const isEqual = (given: string, expected: string): boolean => {
  const bytes = Buffer.from(given)
  return bytes.length === expected.length && timingSafeEqual(bytes, Buffer.from(expected))
}
