/**
 * Comma-separated values, as RFC 4180 has them, with a line of names first.
 *
 * What is null stands without quotes, and a text that looks the same has them. Values that are no text are JSON.
 */
import { Parser } from "csv-parse"
import type { Options } from "csv-stringify/sync"
import { stringify } from "csv-stringify/sync"
import * as Effect from "effect/Effect"
import type { Line, LineColumn, Position, Reader, Writer } from "./format.ts"
import { encodeAll, jsonOf, MarkSkipper, mostBytes, textOf, Unending, Unreadable } from "./format.ts"
import type { JsonRow } from "./rowCodec.ts"

// --- rows into lines

export const writer = (columns: ReadonlyArray<LineColumn>, nullText: string): Writer => {
  const options = optionsFor(nullText)
  const toCells = (row: JsonRow) => columns.map((column) => cellOf(column, row))
  return {
    head: Buffer.from(stringify([columns.map(({ name }) => name)], options)),
    rows: (rows) => encodeAll(slices(rows).map((some) => stringify(some.map(toCells), options)))
  }
}

/** What the library makes of several is one text. */
const slices = (rows: ReadonlyArray<JsonRow>): ReadonlyArray<ReadonlyArray<JsonRow>> =>
  Array.from({ length: Math.ceil(rows.length / 100) }, (_, index) => rows.slice(index * 100, (index + 1) * 100))

/** An empty text has quotes in any case, and so has one with what null is written as. */
const optionsFor = (nullText: string): Options =>
  nullText === ""
    ? { quoted_match: [/^$/] }
    : {
      quoted_match: [/^$/, nullText],
      cast: { null: () => ({ value: nullText, quoted_match: false }) } as unknown as Cast
    }

// Its declaration does not know that a cast may give options of a cell, as its documentation does.
type Cast = Exclude<Options["cast"], undefined>

const cellOf = ({ hasFloats, isText, name }: LineColumn, row: JsonRow): string | null => {
  const value = row[name]
  if (value === null || value === undefined) return null
  if (typeof value !== "string") return jsonOf(value, hasFloats)
  return isText || !isJson(value) ? value : JSON.stringify(value)
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

// --- lines into rows

/** What the cells of a line are of, when the first line has told. */
export interface Header {
  readonly columns: ReadonlyArray<LineColumn>
}

/** `onHeader` says what the names of the first line are, where that is not known already. */
export const reader = <E>(
  at: Position,
  nullText: string,
  header: Header | undefined,
  onHeader: (names: ReadonlyArray<string>) => Effect.Effect<Header, E>
): Effect.Effect<Reader<Unending | E>> =>
  Effect.sync(() => {
    const records = new Records(at, nullText)
    let known = header
    const toLines = Effect.fnUntraced(function*(found: ReadonlyArray<Found>): Effect.fn.Return<ReadonlyArray<Line>, E> {
      if (known !== undefined) return linesOf(known, found)
      const [first, ...others] = found.slice(found.findIndex(({ isBlank }) => !isBlank))
      if (first === undefined || first.isBlank) return []
      known = yield* onHeader(first.cells.map((cell) => typeof cell === "string" ? cell : nullText))
      return linesOf(known, others)
    })
    return {
      read: (chunk) => Effect.flatMap(records.read(chunk), toLines),
      end: Effect.flatMap(records.end, toLines)
    }
  })

const linesOf = ({ columns }: Header, found: ReadonlyArray<Found>): ReadonlyArray<Line> =>
  found
    .filter(({ isBlank }) => columns.length === 1 || !isBlank)
    .map(({ cells, end, line }) => ({ line, end, row: rowOf(columns, cells) }))

const rowOf = (columns: ReadonlyArray<LineColumn>, cells: ReadonlyArray<Cell>): JsonRow | Unreadable => {
  if (cells.length !== columns.length) {
    return new Unreadable(`it has ${cells.length} values, and there are ${columns.length} columns`)
  }
  const broken = cells.indexOf(notUtf8)
  if (broken !== -1) return new Unreadable("it is no UTF-8", columns[broken]!.name)
  // Not by assignment: a column may be called `__proto__`.
  return Object.fromEntries(columns.map((column, index) => [column.name, valueOf(column, cells[index]!)]))
}

const valueOf = ({ isText }: LineColumn, cell: Cell): unknown => {
  if (isText || typeof cell !== "string") return cell
  try {
    return JSON.parse(cell)
  } catch {
    return cell
  }
}

const notUtf8 = Symbol()

type Cell = string | null | typeof notUtf8

interface Found {
  readonly line: number
  readonly end: Position
  readonly cells: ReadonlyArray<Cell>
  /** An empty line: without quotes as well. */
  readonly isBlank: boolean
}

const newline = 0x0a

/** The parser, which is a stream of Node's, a chunk at a time: it gives its records while a chunk is written to it. */
class Records {
  private readonly parser: Parser
  private readonly at: Position
  private readonly marks = new MarkSkipper()
  private found: Array<Found> = []
  /** Places of newlines; of the first ones, which are in records already, so many. */
  private newlines: Array<number> = []
  private passed = 0
  /** Whether there is anything in the record that is being read, were it but quotes. */
  private hasContent = false
  /** That are in records. */
  private lines: number
  /** Where what is given next begins, in the whole of it and without a mark. */
  private bytes: number

  constructor(at: Position, nullText: string) {
    this.at = at
    this.lines = at.lines
    this.bytes = at.bytes
    this.parser = new Parser({
      encoding: null,
      record_delimiter: ["\r\n", "\n"],
      relax_column_count: true,
      max_record_size: mostBytes,
      cast: (bytes, { quoting }) => {
        if (quoting || bytes.length > 0) this.hasContent = true
        const cell = textOf(bytes as unknown as Uint8Array) ?? notUtf8
        return !quoting && cell === nullText ? null : cell
      },
      on_record: (cells: ReadonlyArray<Cell>, { bytes }) => {
        this.add(cells, bytes)
        return null
      }
    })
    // What is wrong is told where it was written.
    this.parser.on("error", () => {})
    this.parser.resume()
  }

  read(chunk: Uint8Array): Effect.Effect<ReadonlyArray<Found>, Unending> {
    return this.write(this.at.bytes === 0 ? this.marks.next(chunk) : chunk)
  }

  readonly end: Effect.Effect<ReadonlyArray<Found>, Unending> = Effect.suspend(() =>
    Effect.andThen(
      this.write(this.marks.rest),
      this.within((resume) => this.parser.end(() => resume(this.parser.errored)))
    )
  )

  private write(chunk: Uint8Array): Effect.Effect<ReadonlyArray<Found>, Unending> {
    if (chunk.length === 0) return Effect.succeed([])
    return this.within((resume) => {
      this.countNewlines(chunk)
      this.parser.write(chunk, resume)
    })
  }

  private within(
    give: (resume: (error?: Error | null) => void) => void
  ): Effect.Effect<ReadonlyArray<Found>, Unending> {
    return Effect.callback((resume) =>
      give((error) => {
        const { found } = this
        this.found = []
        resume(error === undefined || error === null ? Effect.succeed(found) : Effect.fail(this.unending(error)))
      })
    )
  }

  private unending(error: Error): Unending {
    const code = "code" in error ? String(error.code) : ""
    return new Unending(this.lines + 1, problems[code] ?? "it is no CSV")
  }

  private countNewlines(chunk: Uint8Array): void {
    this.newlines = this.newlines.slice(this.passed)
    this.passed = 0
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) {
      this.newlines.push(this.bytes + at)
    }
    this.bytes += chunk.length
  }

  private add(cells: ReadonlyArray<Cell>, parsed: number): void {
    const line = this.lines + 1
    const end = this.at.bytes + parsed
    while (this.passed < this.newlines.length && this.newlines[this.passed]! < end) {
      this.passed++
      this.lines++
    }
    const isBlank = !this.hasContent && cells.length === 1
    this.hasContent = false
    this.found.push({ line, end: { bytes: end + this.marks.skipped, lines: this.lines }, cells, isBlank })
  }
}

const problems: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quote is not closed",
  CSV_INVALID_CLOSING_QUOTE: "there is a text behind a closing quote",
  INVALID_OPENING_QUOTE: "there is a quote inside of a value that has none around it",
  CSV_MAX_RECORD_SIZE: `it is longer than ${mostBytes} bytes`
}
