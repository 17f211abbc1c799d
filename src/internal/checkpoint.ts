/**
 * What is left of a scan, as text: the token ranges, and of what they are.
 */
import { createHash } from "node:crypto"
import { serialize } from "node:v8"
import * as Errors from "../CqlError.ts"
import type { Partitioner, Range, Token } from "./ring.ts"

/** What a scan reads. */
export interface Scanned {
  readonly keyspace: string
  readonly table: string
  readonly columns: string
  readonly where: { readonly text: string; readonly values: ReadonlyArray<unknown> } | undefined
}

const version = 1

type Bound = string | null

const digest = ({ columns, keyspace, table, where }: Scanned): string =>
  createHash("sha256")
    .update(serialize([keyspace, table, columns, where?.text, where?.values]))
    .digest("base64url")
    .slice(0, 16)

const toBound = (token: Token | undefined): Bound => token === undefined ? null : String(token)

export const keep = (scanned: Scanned, left: ReadonlyArray<Range>): string => {
  const ranges = left.map(({ end, start }): readonly [Bound, Bound] => [toBound(start), toBound(end)])
  return Buffer.from(JSON.stringify([version, digest(scanned), ranges])).toString("base64url")
}

export const read = (
  text: string,
  scanned: Scanned,
  { parse }: Partitioner
): ReadonlyArray<Range> | Errors.Reason => {
  const kept = parsed(Buffer.from(text, "base64url").toString())
  if (!isKept(kept)) return invalid("it is no checkpoint of this library, or not all of one")
  const [, of, ranges] = kept
  if (of !== digest(scanned)) return invalid("it is of another table, of other columns, or of another condition")
  const toToken = (bound: Bound): Token | undefined => bound === null ? undefined : parse(bound)
  return ranges.map(([start, end]) => ({ start: toToken(start), end: toToken(end) }))
}

type Kept = readonly [version: number, digest: string, left: ReadonlyArray<readonly [Bound, Bound]>]

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isBound = (value: unknown): boolean =>
  value === null || (typeof value === "string" && /^-?[0-9a-f]*$/.test(value))

const isKept = (value: unknown): value is Kept =>
  Array.isArray(value) && value.length === 3 && value[0] === version && typeof value[1] === "string" &&
  Array.isArray(value[2]) &&
  value[2].every((range) => Array.isArray(range) && range.length === 2 && range.every(isBound))

const invalid = (why: string): Errors.Reason =>
  new Errors.InvalidPageState({ message: `the checkpoint cannot be used: ${why}` })
