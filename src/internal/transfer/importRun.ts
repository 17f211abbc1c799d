/**
 * An import under way: lines come in their order, rows are written in another, and only what has been dealt with from the
 * beginning on counts as done.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CqlError } from "../../CqlError.ts"
import type { Format } from "../../Export.ts"
import type { Result, RowFailure } from "../../Import.ts"
import type { TransferError } from "../../TransferError.ts"
import { DamagedPart, MalformedRow, RowNotWritten } from "../../TransferError.ts"
import { quote } from "../cql/names.ts"
import type { Fragment } from "../template.ts"
import * as Write from "../write.ts"
import type * as Csv from "./csv.ts"
import { failure, isAboutRow } from "./failure.ts"
import type { Line, Position, Reader } from "./format.ts"
import { csv, lines, start, Unending, Unreadable } from "./format.ts"
import * as JsonLines from "./jsonLines.ts"
import type { ReadRow } from "./rowReader.ts"
import { headerOf, makeRead, placeOf } from "./rowReader.ts"
import type { Plan, ToInserts } from "./target.ts"
import { makeInserts } from "./target.ts"

// --- what has been dealt with

/** Where an import is: all that lies before has been dealt with. */
export interface Place extends Position {
  /** Of the parts of a directory, in their order. */
  readonly part: number
  /** Of this part. */
  readonly rows: number
}

export const beginning: Place = { ...start, part: 0, rows: 0 }

/** Of a row that has come in, until all rows before it have been dealt with as well. */
export interface Seat {
  readonly end: Place
  isDone: boolean
}

/** How far all rows have been dealt with; they come in their order and are done in another. */
export class InOrder {
  private readonly seats: Array<Seat> = []
  private passed = 0
  place: Place
  /** That lie before it, of this run. */
  rows = 0

  constructor(place: Place) {
    this.place = place
  }

  take(end: Place): Seat {
    const seat = { end, isDone: false }
    this.seats.push(seat)
    return seat
  }

  done(seat: Seat): void {
    seat.isDone = true
    while (this.seats[this.passed]?.isDone === true) {
      this.place = this.seats[this.passed]!.end
      this.passed++
      this.rows++
    }
    if (this.passed < tidyAfter) return
    this.seats.splice(0, this.passed)
    this.passed = 0
  }
}

const tidyAfter = 1024

// --- what is read

/** Bytes of one file, or of a stream. */
export interface Source {
  /** The name of the file. */
  readonly part: string | undefined
  readonly index: number
  readonly from: Place
  /** From there on. */
  readonly bytes: Stream.Stream<Uint8Array, any, any>
  /** That it must have; `undefined` where nobody has counted. */
  readonly rows: number | undefined
}

export interface Reading {
  readonly format: Format
  readonly nullText: string
  readonly sources: ReadonlyArray<Source>
  readonly from: Place
  /** Of the columns of what comes behind `from`, where that is not the beginning of it. */
  readonly names: ReadonlyArray<string> | undefined
  /** Of each source, where they are known. */
  readonly sizes: ReadonlyArray<number> | undefined
  readonly onCheckpoint: OnCheckpoint | undefined
  /** Whether the place behind the last row is told of as well. */
  readonly keepsEnd: boolean
}

interface OnCheckpoint {
  (place: Place, names: ReadonlyArray<string> | undefined): Effect.Effect<void, any, any>
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, number) => sum + number, 0)

// --- rows

/** One row, and what is left to be written of it. */
interface Entry {
  readonly part: string | undefined
  readonly line: number
  readonly row: unknown
  readonly seat: Seat
  statements: number
  error: CqlError | undefined
}

interface Item {
  readonly entry: Entry
  readonly insert: Fragment
}

/** The items of some lines, and why there are no more of them. */
interface Items {
  readonly items: ReadonlyArray<Item>
  readonly failure: { readonly error: any } | undefined
}

/** All rows, and what became of them. */
export const run = (plan: Plan, reading: Reading): Effect.Effect<Result, any, any> =>
  Effect.flatMap(Clock.Clock, (clock) => new Run(plan, reading, clock).all)

class Run {
  private readonly plan: Plan
  private readonly reading: Reading
  private readonly clock: Clock.Clock
  private readonly read: ReadRow
  private readonly toInserts: ToInserts
  private readonly dealt: InOrder
  private readonly result = { rows: 0, notWritten: 0 }
  private names: ReadonlyArray<string> | undefined
  private checkpointAt = 0
  private keptAt: number
  private toldAt: number

  constructor(plan: Plan, reading: Reading, clock: Clock.Clock) {
    this.plan = plan
    this.reading = reading
    this.clock = clock
    this.read = makeRead(plan)
    this.toInserts = makeInserts(plan)
    this.dealt = new InOrder(reading.from)
    this.names = reading.names
    this.keptAt = clock.currentTimeMillisUnsafe()
    this.toldAt = this.keptAt
  }

  get all(): Effect.Effect<Result, any, any> {
    const { options, session, settings } = this.plan
    const limits = Write.limitsOf(options)
    const items = Stream.flatMap(Stream.fromIterable(this.reading.sources), (source) => this.itemsOf(source))
    const written = Write.write(session.core, settings, targetOf(this.plan), limits, items)
    return Stream.runForEach(written, (group) => this.written(group)).pipe(
      // What ends in the middle keeps all that was done.
      Effect.onError(() => Effect.ignore(this.keepPlace)),
      Effect.andThen(this.tell(true)),
      Effect.as(this.result)
    )
  }

  // --- in

  private itemsOf(source: Source): Stream.Stream<Item, any, any> {
    let { rows } = source.from
    const toPlace = (line: Line): Place => ({ ...line.end, part: source.index, rows: ++rows })
    const items = lines(source.bytes, this.readerOf(source)).pipe(
      Stream.mapError((error) => error instanceof Unending ? malformed(source, error.line, error) : error),
      Stream.mapEffect((lines) => this.toItems(source, lines, toPlace)),
      Stream.flatMap(streamOf)
    )
    const counted = Stream.suspend(() =>
      source.rows === undefined || source.rows === rows
        ? Stream.empty
        : Stream.fail(damaged(source.part ?? "the stream", `it has ${rows} rows, and had ${source.rows}`))
    )
    return Stream.concat(items, counted)
  }

  private readerOf(source: Source): Effect.Effect<Reader<any>, any> {
    const { format, nullText } = this.reading
    if (format === "jsonLines") return JsonLines.reader(source.from)
    const toHeader = headerOf(this.plan, source.part, placeOf(source.part, 1))
    const onHeader = (names: ReadonlyArray<string>): Effect.Effect<Csv.Header, TransferError> => {
      this.names = names
      return toHeader(names)
    }
    const isInside = source.from.bytes > 0 && this.names !== undefined
    const known = isInside ? toHeader(this.names!) : Effect.succeed(undefined)
    return Effect.flatMap(
      csv,
      (Csv) => Effect.flatMap(known, (header) => Csv.reader(source.from, nullText, header, onHeader))
    )
  }

  private toItems(
    { part }: Source,
    lines: ReadonlyArray<Line>,
    toPlace: (line: Line) => Place
  ): Effect.Effect<Items, never, any> {
    return Effect.gen({ self: this }, function*() {
      const items: Array<Item> = []
      for (const line of lines) {
        const seat = this.dealt.take(toPlace(line))
        const reading = line.row instanceof Unreadable ? line.row : this.read(line.row)
        const found = Effect.isEffect(reading) ? yield* reading : reading
        if (found instanceof Unreadable) {
          const error = malformed({ part }, line.line, found)
          const exit = yield* Effect.result(this.failed({ part, line: line.line, row: undefined, error }, seat))
          // Those before it are to be written.
          if (exit._tag === "Failure") return { items, failure: { error: exit.failure } }
          continue
        }
        const inserts = this.toInserts(found.value, found.times)
        const { length: statements } = inserts
        const entry: Entry = { part, line: line.line, row: found.value, seat, statements, error: undefined }
        for (const insert of inserts) items.push({ entry, insert })
      }
      return { items, failure: undefined }
    })
  }

  // --- out

  private written({ error, rows }: Write.Written<Item>): Effect.Effect<void, any, any> {
    return Effect.gen({ self: this }, function*() {
      for (const { entry } of rows) {
        entry.error ??= error
        if (--entry.statements > 0) continue
        if (entry.error === undefined) {
          this.result.rows++
          this.dealt.done(entry.seat)
        } else {
          const { line, part, row } = entry
          yield* this.failed({ part, line, row, error: notWritten(entry, entry.error) }, entry.seat)
        }
      }
      if (this.isToBeTold) yield* this.tell(false)
    })
  }

  private failed(failure: RowFailure<unknown>, seat: Seat): Effect.Effect<void, any, any> {
    const { onFailure } = this.plan.options
    if (onFailure === undefined || !isAboutRow(failure.error)) return Effect.fail(failure.error)
    return Effect.map(onFailure(failure), () => {
      this.result.notWritten++
      this.dealt.done(seat)
    })
  }

  // --- how far it is

  private get isToBeTold(): boolean {
    return this.isCheckpointDue || this.isProgressDue
  }

  private get isCheckpointDue(): boolean {
    const { checkpointRows = 10_000 } = this.plan.options
    if (this.reading.onCheckpoint === undefined || this.dealt.rows === this.checkpointAt) return false
    return this.dealt.rows - this.checkpointAt >= checkpointRows ||
      this.clock.currentTimeMillisUnsafe() - this.keptAt >= keptEvery
  }

  private get isProgressDue(): boolean {
    return this.plan.options.onProgress !== undefined && this.clock.currentTimeMillisUnsafe() - this.toldAt >= toldEvery
  }

  private tell(isLast: boolean): Effect.Effect<void, any, any> {
    return Effect.gen({ self: this }, function*() {
      const { onProgress } = this.plan.options
      if (this.isCheckpointDue || (isLast && this.reading.keepsEnd)) yield* this.keepPlace
      if (onProgress !== undefined && (isLast || this.isProgressDue)) {
        this.toldAt = this.clock.currentTimeMillisUnsafe()
        yield* onProgress({ ...this.result, ...this.bytes(isLast) })
      }
    })
  }

  private get keepPlace(): Effect.Effect<void, any, any> {
    return Effect.suspend(() => {
      const { onCheckpoint } = this.reading
      const { place, rows } = this.dealt
      if (onCheckpoint === undefined || rows === this.checkpointAt) return Effect.void
      this.checkpointAt = rows
      this.keptAt = this.clock.currentTimeMillisUnsafe()
      return onCheckpoint(place, this.names)
    })
  }

  private bytes(isLast: boolean): { readonly bytes: number; readonly totalBytes: number | undefined } {
    const { sizes } = this.reading
    const { place } = this.dealt
    const totalBytes = sizes === undefined ? undefined : sum(sizes)
    // Behind the last row there may be empty lines.
    const bytes = isLast ? totalBytes : undefined
    return { bytes: bytes ?? sum(sizes?.slice(0, place.part) ?? []) + place.bytes, totalBytes }
  }
}

/** In milliseconds. */
const toldEvery = 100

const keptEvery = 5000

const streamOf = ({ failure, items }: Items): Stream.Stream<Item, any> => {
  const all = Arr.isReadonlyArrayNonEmpty(items) ? Stream.fromArray(items) : Stream.empty
  return failure === undefined ? all : Stream.concat(all, Stream.fail(failure.error))
}

const targetOf = ({ table }: Plan): Write.Target => ({
  insertInto: `INSERT INTO ${quote(table.keyspace)}.${quote(table.name)}`,
  using: undefined,
  clusteringKey: table.clusteringKey,
  staticColumns: table.columns.filter(({ kind }) => kind === "static").map(({ name }) => name),
  texts: new Map(),
  toRow: (item) => (item as Item).insert
})

// --- failures

const malformed = (
  { part }: { readonly part: string | undefined },
  line: number,
  { column, problem }: { readonly column?: string | undefined; readonly problem: string }
): TransferError => {
  const place = placeOf(part, line)
  const message = column === undefined
    ? `${place}: ${problem}`
    : `${place}, column ${JSON.stringify(column)}: ${problem}`
  return failure(new MalformedRow({ part, line, column, message }))
}

const notWritten = ({ line, part }: Entry, error: CqlError): TransferError => {
  const message = `${placeOf(part, line)}: the row was not written: ${error.message}`
  return failure(new RowNotWritten({ part, line, error, message }))
}

export const damaged = (path: string, why: string): TransferError =>
  failure(new DamagedPart({ path, message: `${path} is not what its manifest says: ${why}` }))
