/**
 * What is read of a line: its row, and the times of the row's values.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { TransferError } from "../../TransferError.ts"
import { InvalidColumns } from "../../TransferError.ts"
import type { Header } from "./csv.ts"
import { fail } from "./failure.ts"
import type { LineColumn } from "./format.ts"
import { Unreadable } from "./format.ts"
import type { JsonRow, TimeColumn } from "./rowCodec.ts"
import * as RowCodecs from "./rowCodec.ts"
import type { Plan, Times, TimesByColumn } from "./target.ts"

// --- columns

/** What a name in a line stands for; `undefined` for nothing here. */
const lineColumnOf = ({ codec }: Plan): (name: string) => LineColumn | undefined => {
  const known = new Map<string, LineColumn>(codec.columns.map((column) => [column.name, column]))
  return (name) => {
    const column = known.get(name)
    if (column !== undefined) return column
    const time = RowCodecs.timeColumn(name)
    return time !== undefined && known.has(time.column) ? RowCodecs.lineColumnOf(time) : undefined
  }
}

/** The columns of these names; `InvalidColumns` where they are not those of the schema. */
export const headerOf = (
  plan: Plan,
  part: string | undefined,
  place: string
): (names: ReadonlyArray<string>) => Effect.Effect<Header, TransferError> => {
  const columnOf = lineColumnOf(plan)
  return (names) => {
    const columns = names.map(columnOf)
    const unknown = names.filter((_, index) => columns[index] === undefined)
    const duplicate = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))]
    const missing = plan.codec.columns
      .filter(({ isOptional, name }) => !isOptional && !names.includes(name))
      .map(({ name }) => name)
    const wrong = Object.entries({ unknown, missing, duplicate }).filter(([, names]) => names.length > 0)
    if (wrong.length === 0) return Effect.succeed({ columns: columns as ReadonlyArray<LineColumn> })
    const differences = wrong.map(([how, names]) => `${how} ${names.map((name) => JSON.stringify(name)).join(", ")}`)
    const message = `${place}: the columns are not those of the schema: ${differences.join("; ")}${hintFor(unknown)}`
    return fail(new InvalidColumns({ part, unknown, missing, duplicate, message }))
  }
}

const hintFor = (unknown: ReadonlyArray<string>): string => {
  if (unknown.some((name) => /[;\t]/.test(name))) return "; names and values are separated by commas"
  return unknown.some((name) => name !== name.trim()) ? "; spaces around a name are a part of it" : ""
}

export const placeOf = (part: string | undefined, line: number): string =>
  part === undefined ? `line ${line}` : `${part}, line ${line}`

// --- rows

export interface Read {
  readonly value: unknown
  readonly times: TimesByColumn
}

type Reading = Read | Unreadable

/** Why a line is no row is not a failure: others may follow. */
export interface ReadRow {
  (row: JsonRow): Reading | Effect.Effect<Reading, never, any>
}

export const makeRead = (plan: Plan): ReadRow => {
  const { decode } = plan.codec
  const columnOf = lineColumnOf(plan)
  const isRowColumn = new Set(plan.codec.columns.map(({ name }) => name))
  return (row) => {
    const others = Object.keys(row).filter((name) => !isRowColumn.has(name))
    const unknown = others.find((name) => columnOf(name) === undefined)
    if (unknown !== undefined) return new Unreadable("the schema has no such column", unknown)
    const times = others.length === 0 ? noTimes : timesOf(row, others)
    if (times instanceof Unreadable) return times
    const decoded = decode(row)
    // A schema that answers at once costs no fiber.
    if (Exit.isExit(decoded) && Exit.isSuccess(decoded)) return { value: decoded.value, times }
    return Effect.match(decoded, {
      onFailure: ({ column, expected }) => new Unreadable(expected, column),
      onSuccess: (value) => ({ value, times })
    })
  }
}

// --- times

const noTimes: TimesByColumn = new Map()

const timesOf = (row: JsonRow, names: ReadonlyArray<string>): TimesByColumn | Unreadable => {
  const times = new Map<string, Times>()
  for (const name of names) {
    const { column, kind } = RowCodecs.timeColumn(name)!
    const time = readTime[kind](row[name])
    if (time === undefined) return new Unreadable(expectedTime[kind], name)
    times.set(column, { ...times.get(column), ...(time === null ? {} : { [kind]: time }) })
  }
  return times
}

const longestTtl = 20 * 365 * 24 * 60 * 60

/** `undefined` for what is none. */
const readTime: Readonly<Record<TimeColumn["kind"], (value: unknown) => bigint | number | null | undefined>> = {
  writetime: (value) => {
    if (value === null) return null
    if (typeof value !== "string" || !/^-?\d{1,19}$/.test(value)) return undefined
    const time = BigInt(value)
    return BigInt.asIntN(64, time) === time && time !== -(2n ** 63n) ? time : undefined
  },
  ttl: (value) => {
    if (value === null) return 0
    return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= longestTtl ? Number(value) : undefined
  }
}

const expectedTime: Readonly<Record<TimeColumn["kind"], string>> = {
  writetime: "expected whole microseconds since 1970, in 64 bits",
  ttl: "expected whole seconds, from none to 20 years"
}
