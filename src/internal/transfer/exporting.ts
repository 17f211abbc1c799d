/**
 * What is read of a table, and the bytes that it becomes.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Cluster } from "../../Cluster.ts"
import type { CqlError } from "../../CqlError.ts"
import type { DirectoryOptions, ManifestColumn, Options, Progress } from "../../Export.ts"
import type { Session } from "../../Session.ts"
import * as CqlStream from "../../Stream.ts"
import type { TransferError } from "../../TransferError.ts"
import { UnsupportedColumns } from "../../TransferError.ts"
import * as Check from "../check.ts"
import { quote } from "../cql/names.ts"
import type { ScannedPage } from "../scan.ts"
import * as Scan from "../scan.ts"
import { fail } from "./failure.ts"
import type { LineColumn, Writer } from "./format.ts"
import { csv } from "./format.ts"
import * as JsonLines from "./jsonLines.ts"
import type { Subject } from "./manifest.ts"
import type { JsonRow, RowCodec, TimeColumn, TimedRow } from "./rowCodec.ts"
import * as RowCodecs from "./rowCodec.ts"

export type Failure = CqlError | Schema.SchemaError | TransferError

export type AnyOptions = Options<Schema.Constraint, any, any>

export type AnyDirectoryOptions = DirectoryOptions<Schema.Constraint, any, any>

/** What is read, and what it becomes. */
export interface Plan {
  readonly subject: Subject
  readonly pages: (from: string | undefined) => Stream.Stream<ScannedPage<unknown>, CqlError | Schema.SchemaError>
  readonly head: Uint8Array
  readonly encode: (rows: ReadonlyArray<unknown>) => Effect.Effect<Uint8Array, Schema.SchemaError, any>
}

// --- what is read

export const formats = ["jsonLines", "csv"]

export const checks = (options: AnyOptions): ReadonlyArray<Check.Check> => [
  CqlStream.tableCheck(options.table),
  Check.oneOf("format", options.format, formats),
  nullTextCheck(options.nullText),
  Check.boolean("writeTime", options.writeTime),
  Check.boolean("ttl", options.ttl),
  Check.whole("concurrency", options.concurrency, 1, 1024),
  Check.whole("ranges", options.ranges, 1, 1_000_000),
  Check.callback("onProgress", options.onProgress)
]

export const nullTextCheck = (nullText: unknown): Check.Check => ({
  field: "nullText",
  expected: "a text without quotes, commas and line breaks",
  holds: nullText === undefined || (typeof nullText === "string" && isNullText(nullText))
})

export const isNullText = (text: string): boolean => !/[",\r\n]/.test(text)

export const directoryChecks = (options: AnyDirectoryOptions): ReadonlyArray<Check.Check> => [
  ...checks(options),
  pathCheck(options.path),
  Check.oneOf("existing", options.existing, ["refuse", "resume", "overwrite"]),
  Check.duration("checkpointInterval", options.checkpointInterval)
]

export const pathCheck = (path: unknown): Check.Check => ({
  field: "path",
  expected: "a path",
  holds: typeof path === "string" && path.length > 0
})

export const plan = Effect.fnUntraced(function*(
  options: AnyOptions,
  toCheck: ReadonlyArray<Check.Check>
): Effect.fn.Return<Plan, CqlError | TransferError, Session> {
  const [session, settings] = yield* CqlStream.sessionFor(() => toCheck)
  const { concurrency = 4, format = "jsonLines", nullText = "", ranges, schema, table, where } = options
  const whole = yield* CqlStream.sourceOf(session, { table, schema, where }, undefined)
  const { columns: known, keyspace, name } = yield* CqlStream.tableOf(session, table)
  const codec = RowCodecs.make(schema)
  const columns = yield* columnsOf(known, codec)
  const times = yield* timesOf(columns, options)
  const source = { ...whole, columns: selected(whole.columns, times), schema: RowCodecs.withTimes(schema, times) }
  const lineColumns: ReadonlyArray<LineColumn> = [...codec.columns, ...times.map(RowCodecs.lineColumnOf)]
  const writer = format === "csv" ? (yield* csv).writer(lineColumns, nullText) : JsonLines.writer(lineColumns)
  return {
    subject: {
      version: 1,
      keyspace,
      table: name,
      columns: [...columns.map(({ name, type }) => ({ name, type })), ...times.map(manifestColumn)],
      format,
      nullText,
      writeTime: options.writeTime ?? false,
      ttl: options.ttl ?? false,
      ...(source.where === undefined ? {} : { where: source.where.text })
    },
    pages: (from) => Scan.pages(session.core, source, settings, { concurrency, from, ordered: false, ranges }),
    head: writer.head,
    encode: encoder(codec, times, writer)
  }
})

/** Those of the schema, as the server declares them. */
export const columnsOf = (
  known: ReadonlyArray<Cluster.Column>,
  codec: RowCodec
): Effect.Effect<ReadonlyArray<Cluster.Column>, TransferError> => {
  const byName = new Map(known.map((column) => [column.name, column]))
  const absent = codec.columns.filter(({ name }) => !byName.has(name)).map(({ name }) => name)
  return absent.length === 0
    ? Effect.succeed(codec.columns.map(({ name }) => byName.get(name)!))
    : unsupported(absent, "the schema has columns that the table has not")
}

export const unsupported = (columns: ReadonlyArray<string>, why: string): Effect.Effect<never, TransferError> =>
  fail(new UnsupportedColumns({ columns, message: `${why}: ${columns.join(", ")}` }))

const manifestColumn = (time: TimeColumn): ManifestColumn => ({
  name: RowCodecs.timeName(time),
  type: time.kind === "ttl" ? "int" : "bigint"
})

const timesOf = (
  columns: ReadonlyArray<Cluster.Column>,
  { ttl = false, writeTime = false }: AnyOptions
): Effect.Effect<ReadonlyArray<TimeColumn>, TransferError> => {
  if (!ttl && !writeTime) return Effect.succeed([])
  const timed = columns.filter(({ kind }) => kind === "regular" || kind === "static")
  const several = timed.filter(({ type }) => hasSeveralTimes(type)).map(({ name }) => name)
  if (several.length > 0) {
    return unsupported(
      several,
      "each element of a collection that is not frozen has a write time and a TTL of its own, and a counter has none; " +
        "leave out writeTime and ttl, or these columns"
    )
  }
  return Effect.succeed(timed.flatMap(({ name }): ReadonlyArray<TimeColumn> => [
    ...(writeTime ? [{ kind: "writetime", column: name } as const] : []),
    ...(ttl ? [{ kind: "ttl", column: name } as const] : [])
  ]))
}

const ofOneTime =
  /^(ascii|bigint|blob|boolean|date|decimal|double|duration|float|inet|int|smallint|text|time|timestamp|timeuuid|tinyint|uuid|varchar|varint|(frozen|tuple|vector)<.*>)$/s

/** Also of a user defined type that is not frozen, which stands there by its name. */
const hasSeveralTimes = (type: string): boolean => !ofOneTime.test(type)

const selected = (columns: string, times: ReadonlyArray<TimeColumn>): string =>
  [
    columns,
    ...times.map((time) => `${time.kind}(${quote(time.column)}) AS ${quote(RowCodecs.timeName(time))}`)
  ].join(", ")

const encoder = (codec: RowCodec, times: ReadonlyArray<TimeColumn>, writer: Writer): Plan["encode"] => {
  if (times.length === 0) return (rows) => Effect.map(codec.encode(rows), writer.rows)
  return (rows) => {
    const timed = rows as ReadonlyArray<TimedRow>
    const withTimes = (row: JsonRow, index: number): JsonRow => ({ ...row, ...timesInJson(timed[index]!.times) })
    return Effect.map(codec.encode(timed.map(({ row }) => row)), (encoded) => writer.rows(encoded.map(withTimes)))
  }
}

const timesInJson = (times: JsonRow): JsonRow =>
  Object.fromEntries(
    Object.entries(times).map(([name, time]) => [name, typeof time === "bigint" ? String(time) : time])
  )

// --- into bytes

export const toStream = (
  options: AnyOptions,
  { encode, head, pages }: Plan
): Stream.Stream<Uint8Array, Failure, any> =>
  Stream.suspend(() => {
    const { onProgress } = options
    let rows = 0
    let bytes = head.length
    const ofPage = Effect.fnUntraced(function*(page: ScannedPage<unknown>) {
      const encoded = yield* encode(page.rows)
      rows += page.rows.length
      bytes += encoded.length
      if (onProgress !== undefined) yield* onProgress({ rows, bytes, ...rangesOf(page) })
      return encoded
    })
    const all = Stream.mapEffect(pages(undefined), ofPage)
    return Stream.filter(Stream.concat(Stream.make(head), all), ({ length }) => length > 0)
  })

const rangesOf = ({ ranges, rangesDone }: ScannedPage<unknown>): Pick<Progress, "ranges" | "rangesDone"> => ({
  ranges,
  rangesDone
})
