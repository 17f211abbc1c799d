/**
 * What the two formats have in common: rows become bytes page by page, and bytes become lines chunk by chunk.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Csv from "./csv.ts"
import type { JsonRow, RowColumn } from "./rowCodec.ts"

/** With its parser, which costs a program that has no use for it a tenth of what it takes to start. */
export const csv: Effect.Effect<typeof Csv> = Effect.promise(() => import("./csv.ts"))

/** Of rows into bytes. */
export interface Writer {
  /** What a file begins with. */
  readonly head: Uint8Array
  readonly rows: (rows: ReadonlyArray<JsonRow>) => Uint8Array
}

/** A column of the lines: of the row, or one of its times. */
export type LineColumn = Pick<RowColumn, "name" | "isText" | "hasFloats">

/** Where the lines that are left begin. */
export interface Position {
  readonly bytes: number
  /** That lie before it. */
  readonly lines: number
}

export const start: Position = { bytes: 0, lines: 0 }

/** One row as it was found. */
export interface Line {
  /** Of its first line, counted from 1. */
  readonly line: number
  /** Behind it. */
  readonly end: Position
  readonly row: JsonRow | Unreadable
}

/** Why a line is no row; never with anything of the line. */
export class Unreadable {
  readonly problem: string
  readonly column: string | undefined

  constructor(problem: string, column?: string) {
    this.problem = problem
    this.column = column
  }
}

/** The rest cannot be read: where one line ends is not known. */
export class Unending {
  readonly line: number
  readonly problem: string

  constructor(line: number, problem: string) {
    this.line = line
    this.problem = problem
  }
}

/** Reads chunk after chunk; what is left of one waits for the next. */
export interface Reader<E> {
  readonly read: (chunk: Uint8Array) => Effect.Effect<ReadonlyArray<Line>, E>
  readonly end: Effect.Effect<ReadonlyArray<Line>, E>
}

/** The lines of each chunk of a stream, by a reader of its own. */
export const lines = <E, R, E2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  makeReader: Effect.Effect<Reader<E2>, E2>
): Stream.Stream<ReadonlyArray<Line>, E | E2, R> =>
  Stream.unwrap(
    Effect.map(makeReader, ({ end, read }) => Stream.concat(Stream.mapEffect(bytes, read), Stream.fromEffect(end)))
  )

/** All but the first so many bytes. */
export const dropBytes = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  count: number
): Stream.Stream<Uint8Array, E, R> =>
  count === 0 ? bytes : Stream.suspend(() => {
    let left = count
    return Stream.map(bytes, (chunk) => {
      const rest = chunk.subarray(Math.min(left, chunk.length))
      left -= chunk.length - rest.length
      return rest
    })
  })

/** What a text may begin with, to say that it is UTF-8. */
const mark = Buffer.of(0xef, 0xbb, 0xbf)

/** Gives the first bytes only when they are enough to tell a mark, which is left out. */
export class MarkSkipper {
  private first: Buffer | undefined = Buffer.alloc(0)
  /** Of bytes that were left out. */
  skipped = 0

  next(chunk: Uint8Array): Uint8Array {
    if (this.first === undefined) return chunk
    const first = Buffer.concat([this.first, chunk])
    if (first.length < mark.length) {
      this.first = first
      return empty
    }
    this.first = undefined
    if (!first.subarray(0, mark.length).equals(mark)) return first
    this.skipped = mark.length
    return first.subarray(mark.length)
  }

  get rest(): Uint8Array {
    return this.first ?? empty
  }
}

const empty = new Uint8Array(0)

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** `undefined` for bytes that are no UTF-8. */
export const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** Of one row: more than a server would take, and few enough for a line without an end not to fill the memory. */
export const mostBytes = 256 * 1024 * 1024

/** The bytes of texts: as one text they could be longer than a text may be. */
export const encodeAll = (texts: ReadonlyArray<string>): Uint8Array => {
  const chunks: Array<Buffer> = []
  let text = ""
  for (const next of texts) {
    text += next
    if (text.length < flushAt) continue
    chunks.push(Buffer.from(text))
    text = ""
  }
  chunks.push(Buffer.from(text))
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

const flushAt = 1024 * 1024

/** As JSON, with the zero below zero as it is. */
export const jsonOf = (value: unknown, hasFloats: boolean): string =>
  hasFloats && hasNegativeZero(value) ? JSON.stringify(value, keepNegativeZero) : JSON.stringify(value)

const hasNegativeZero = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return Object.is(value, -0)
  for (const element of Array.isArray(value) ? value : Object.values(value)) {
    if (hasNegativeZero(element)) return true
  }
  return false
}

const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

const keepNegativeZero = (_key: string, value: unknown): unknown => Object.is(value, -0) ? rawJSON("-0") : value
