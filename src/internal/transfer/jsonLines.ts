/**
 * An object of JSON in each line.
 */
import * as Effect from "effect/Effect"
import type { Line, LineColumn, Position, Reader, Writer } from "./format.ts"
import { encodeAll, jsonOf, MarkSkipper, mostBytes, textOf, Unending, Unreadable } from "./format.ts"
import type { JsonRow } from "./rowCodec.ts"

export const writer = (columns: ReadonlyArray<LineColumn>): Writer => {
  const hasFloats = columns.some((column) => column.hasFloats)
  return {
    head: new Uint8Array(0),
    rows: (rows) => encodeAll(rows.map((row) => `${jsonOf(row, hasFloats)}\n`))
  }
}

export const reader = (at: Position): Effect.Effect<Reader<Unending>> =>
  Effect.sync(() => {
    const splitter = new Splitter(at)
    const read = (chunk: Uint8Array): Effect.Effect<ReadonlyArray<Line>, Unending> => {
      const lines = splitter.read(chunk)
      return splitter.isTooLong
        ? Effect.fail(new Unending(splitter.line, `it is longer than ${mostBytes} bytes`))
        : Effect.succeed(lines)
    }
    return { read, end: Effect.sync(() => splitter.end()) }
  })

const newline = 0x0a

/** Into lines; a line is looked for in each chunk once, however many chunks it is in. */
class Splitter {
  private readonly marks = new MarkSkipper()
  private readonly open: Array<Uint8Array> = []
  private openBytes = 0
  private bytes: number
  private lines: number

  constructor({ bytes, lines }: Position) {
    this.bytes = bytes
    this.lines = lines
  }

  get line(): number {
    return this.lines + 1
  }

  get isTooLong(): boolean {
    return this.openBytes > mostBytes
  }

  read(chunk: Uint8Array): ReadonlyArray<Line> {
    return this.split(this.bytes === 0 ? this.withoutMark(chunk) : chunk)
  }

  private withoutMark(chunk: Uint8Array): Uint8Array {
    const rest = this.marks.next(chunk)
    this.bytes += this.marks.skipped
    this.marks.skipped = 0
    return rest
  }

  private split(chunk: Uint8Array): ReadonlyArray<Line> {
    const found: Array<Line> = []
    let from = 0
    for (let to = chunk.indexOf(newline); to !== -1; to = chunk.indexOf(newline, from)) {
      this.add(chunk.subarray(from, to))
      this.close(1, found)
      from = to + 1
    }
    // A copy: a reader may use its buffer again.
    if (from < chunk.length) this.add(chunk.slice(from))
    return found
  }

  end(): ReadonlyArray<Line> {
    const found: Array<Line> = []
    this.split(this.marks.rest)
    if (this.openBytes > 0) this.close(0, found)
    return found
  }

  private add(bytes: Uint8Array): void {
    this.open.push(bytes)
    this.openBytes += bytes.length
  }

  private close(delimiter: number, found: Array<Line>): void {
    const bytes = this.open.length === 1 ? this.open[0]! : Buffer.concat(this.open)
    this.bytes += this.openBytes + delimiter
    this.lines++
    this.open.length = 0
    this.openBytes = 0
    const row = rowOf(bytes)
    if (row !== undefined) found.push({ line: this.lines, end: { bytes: this.bytes, lines: this.lines }, row })
  }
}

/** `undefined` for a line without anything. */
const rowOf = (bytes: Uint8Array): JsonRow | Unreadable | undefined => {
  const text = textOf(bytes)
  if (text === undefined) return new Unreadable("it is no UTF-8")
  if (text.trim() === "") return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as JsonRow
      : new Unreadable("it is JSON, but no object")
  } catch {
    return new Unreadable("it is no JSON")
  }
}
