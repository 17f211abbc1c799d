/**
 * What is left of a scan, as text: the token ranges, and of which statement they are.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Errors from "../CqlError.ts"
import type { Origin } from "./pageState.ts"
import { forms, isOf, seal, unseal } from "./pageState.ts"
import type { Partitioner, Range, Token } from "./ring.ts"

/** An end of a range; nothing is an end of the ring. */
type Bound = string | null

const toBound = (token: Token | undefined): Bound => token === undefined ? null : String(token)

export const keep = (origin: Origin, left: ReadonlyArray<Range>): string => {
  const ranges = left.map(({ end, start }): readonly [Bound, Bound] => [toBound(start), toBound(end)])
  return seal(forms.checkpoint, origin, Buffer.from(JSON.stringify(ranges)))
}

export const read = (
  text: unknown,
  origin: Origin,
  partitioner: Partitioner
): ReadonlyArray<Range> | Errors.Reason => {
  const sealed = unseal(forms.checkpoint, text)
  if (sealed === undefined) return invalid("it is no checkpoint of this library, or not all of one")
  if (!isOf(sealed, origin)) return invalid("it is of another table, of other columns, or of another condition")
  const ranges = Schema.decodeUnknownOption(rangesOf(partitioner))(sealed.body.toString())
  if (Option.isNone(ranges)) return invalid("its tokens are not those of this cluster")
  const toToken = (bound: Bound): Token | undefined => bound === null ? undefined : partitioner.parse(bound)
  return ranges.value.map(([start, end]) => ({ start: toToken(start), end: toToken(end) }))
}

const rangesOf = ({ isToken }: Partitioner) => {
  const bound = Schema.NullOr(Schema.String.check(Schema.makeFilter(isToken)))
  return Schema.fromJsonString(Schema.Array(Schema.Tuple([bound, bound])))
}

// --- of a keyspace's tables, which are read by their names

/** Where the scan of a keyspace is. */
export interface Place {
  readonly table: string
  /** Of the table's own scan. */
  readonly checkpoint: string
}

const decodePlace = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ table: Schema.String, checkpoint: Schema.String }))
)

const originOf = (keyspace: string): Origin => ({ keyspace, text: "", values: undefined })

export const keepPlace = (keyspace: string, { checkpoint, table }: Place): string =>
  seal(forms.ofKeyspace, originOf(keyspace), Buffer.from(JSON.stringify({ table, checkpoint })))

export const readPlace = (text: unknown, keyspace: string): Place | Errors.Reason => {
  const sealed = unseal(forms.ofKeyspace, text)
  const place = sealed === undefined ? Option.none() : decodePlace(sealed.body.toString())
  if (sealed === undefined || Option.isNone(place)) {
    return invalid("it is no checkpoint of a keyspace, or not all of one")
  }
  return isOf(sealed, originOf(keyspace)) ? place.value : invalid("it is of another keyspace")
}

const invalid = (why: string): Errors.Reason =>
  new Errors.InvalidPageState({ message: `the checkpoint cannot be used: ${why}` })
