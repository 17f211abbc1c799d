/**
 * The table that rows go into, and the statements that a row becomes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Cluster } from "../../Cluster.ts"
import type { CqlError } from "../../CqlError.ts"
import type { Options, RowFailure } from "../../Import.ts"
import type { Session } from "../../Session.ts"
import * as CqlStream from "../../Stream.ts"
import type { TransferError } from "../../TransferError.ts"
import type * as Check from "../check.ts"
import * as Fragments from "../fragments.ts"
import type { Settings } from "../settings.ts"
import type { Fragment } from "../template.ts"
import { fragment } from "../template.ts"
import { columnsOf, unsupported } from "./exporting.ts"
import type { RowCodec } from "./rowCodec.ts"
import * as RowCodecs from "./rowCodec.ts"

/** Of any schema. */
export type Any<O> = Omit<O, "onFailure"> & {
  readonly onFailure?: ((failure: RowFailure<any>) => Effect.Effect<void, any, any>) | undefined
}

export type AnyOptions = Any<Options<Schema.Constraint, any, any>>

/** A table, and how rows are written into it. */
export interface Plan {
  readonly session: Session["Service"]
  readonly settings: Settings
  readonly table: Cluster.Table
  /** Of the schema, as the server declares them. */
  readonly columns: ReadonlyArray<Cluster.Column>
  readonly schema: Schema.Constraint
  readonly codec: RowCodec
  readonly options: AnyOptions
}

export const plan = Effect.fnUntraced(function*(
  options: AnyOptions,
  toCheck: ReadonlyArray<Check.Check>
): Effect.fn.Return<Plan, CqlError | TransferError, Session> {
  const [session, settings] = yield* CqlStream.sessionFor(() => toCheck)
  const { schema } = options
  // For its refusal of what is no struct.
  yield* CqlStream.sourceOf(session, { table: options.table, schema }, undefined)
  const table = yield* CqlStream.tableOf(session, options.table)
  const codec = RowCodecs.make(schema)
  const columns = yield* columnsOf(table.columns, codec)
  const counters = columns.filter(({ type }) => type === "counter").map(({ name }) => name)
  if (counters.length > 0) return yield* unsupported(counters, "counters cannot be written, only added to")
  const missing = keysMissing(table, columns)
  if (missing.length > 0) return yield* unsupported(missing, "the schema lacks columns of the primary key")
  return { session, settings, table, columns, schema, codec, options }
})

/** Of static columns alone, a row needs no clustering key. */
const keysMissing = (
  { clusteringKey, partitionKey }: Cluster.Table,
  columns: ReadonlyArray<Cluster.Column>
): ReadonlyArray<string> => {
  const isOfPartition = columns.every(({ kind }) => kind === "partition_key" || kind === "static")
  const needed = isOfPartition && columns.some(({ kind }) => kind === "static")
    ? partitionKey
    : [...partitionKey, ...clusteringKey]
  return needed.filter((name) => !columns.some((column) => column.name === name))
}

/** When a value was written, and in how many seconds it expires; 0 for never. */
export interface Times {
  readonly writetime?: bigint | undefined
  readonly ttl?: number | undefined
}

export type TimesByColumn = ReadonlyMap<string, Times>

// --- rows into statements

/** Values in the order of columns, which are those of the schema or some of them. */
interface Bound {
  readonly columns: ReadonlyArray<Cluster.Column>
  readonly row: Fragment
}

/** What is to be inserted for a row. */
export interface ToInserts {
  (value: unknown, times: TimesByColumn): ReadonlyArray<Fragment>
}

export const makeInserts = (plan: Plan): ToInserts => {
  const { options, schema } = plan
  const ofPartition = plan.columns.filter(({ kind }) => kind === "partition_key" || kind === "static")
  const plainUsing = options.ttl === undefined ? undefined : Fragments.using({ ttl: options.ttl })

  /** A partition that has nothing but static columns is a row without a clustering key. */
  const bind = (value: unknown): Bound => {
    const { columns } = plan
    const row = Fragments.insert(schema, value)
    const isOfPartition = columns.some(({ kind }, index) => kind === "clustering" && row.parameters[index] === null)
    if (!isOfPartition) return { columns, row }
    const values = new Map(columns.map(({ name }, index) => [name, row.parameters[index]]))
    return {
      columns: ofPartition,
      row: Fragments.insert(Object.fromEntries(ofPartition.map(({ name }) => [name, values.get(name)])))
    }
  }

  const leaveNulls = ({ columns, row }: Bound): Bound => {
    if (options.nulls === "delete") return { columns, row }
    const values = row.parameters.map((value, index) => value === null && !isKey(columns[index]!) ? undefined : value)
    return { columns, row: fragment(row.text, values, row.problem) }
  }

  /** What is written with one time is one statement. */
  const timed = ({ columns, row }: Bound, times: TimesByColumn): ReadonlyArray<Fragment> => {
    const groups = Object.groupBy(
      columns.flatMap((column, index) => isKey(column) || row.parameters[index] == null ? [] : [index]),
      (index) => timesKey(times.get(columns[index]!.name))
    )
    const ofGroup = (indexes: ReadonlyArray<number>): Fragment => {
      const values = row.parameters.map((value, index) =>
        isKey(columns[index]!) || indexes.includes(index) ? value : undefined
      )
      const using = usingOf(times.get(columns[indexes[0]!]!.name) ?? {}, options.ttl)
      return withUsing(fragment(row.text, values, row.problem), using)
    }
    const all = Object.values(groups)
    return all.length === 0 ? [withUsing(row, plainUsing)] : all.map((indexes) => ofGroup(indexes!))
  }

  return (value, times) => {
    const bound = leaveNulls(bind(value))
    return times.size === 0 ? [withUsing(bound.row, plainUsing)] : timed(bound, times)
  }
}

const isKey = ({ kind }: Cluster.Column): boolean => kind === "partition_key" || kind === "clustering"

const timesKey = ({ ttl, writetime }: Times = {}): string => `${writetime} ${ttl}`

const usingOf = ({ ttl, writetime }: Times, otherwise: AnyOptions["ttl"]): Fragment | undefined => {
  const seconds = ttl === undefined ? otherwise : Duration.seconds(ttl)
  if (seconds === undefined && writetime === undefined) return undefined
  return Fragments.using({
    ...(seconds === undefined ? {} : { ttl: seconds }),
    ...(writetime === undefined ? {} : { timestamp: writetime })
  })
}

const withUsing = (row: Fragment, using: Fragment | undefined): Fragment =>
  using === undefined ? row : fragment(
    `${row.text} ${using.text}`,
    [...row.parameters, ...using.parameters],
    row.problem ?? using.problem
  )
