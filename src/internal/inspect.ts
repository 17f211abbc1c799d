/**
 * A statement beside what the server declares for it: every parameter, every column.
 */
import { NodeInspectSymbol } from "effect/Inspectable"
import type * as Schema from "effect/Schema"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { Column } from "./codec/ColumnType.ts"
import { format } from "./codec/ColumnType.ts"
import { compileParameters, ParameterMismatch } from "./codec/Encoder.ts"
import { kindOf } from "./codec/kindOf.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import { maskPasswords } from "./mask.ts"
import type { Query } from "./query.ts"
import { encodeQuery } from "./query.ts"
import type { Prepared } from "./statements.ts"

/**
 * A parameter or a column, ours beside the server's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Checked {
  /** As the server names it: the marker's name or its column. */
  readonly name: string
  /** The CQL type that the server declares; absent when it has no such parameter or column. */
  readonly server: string | undefined
  /** What the statement has for it: the type that a schema says, or the kind of the value that is bound. */
  readonly ours: string | undefined
  /** Why the two do not fit; absent when they do. */
  readonly problem: string | undefined
}

/**
 * What `Statement.check` found.
 *
 * @category models
 * @since 0.1.0
 */
export interface CheckReport {
  readonly text: string
  readonly parameters: ReadonlyArray<Checked>
  readonly columns: ReadonlyArray<Checked>
  /** All of it as a table. */
  readonly toString: () => string
}

/** The verdict, or the error of a statement that does not fit. */
export const inspect = (
  query: Query,
  request: Schema.Constraint | undefined,
  prepared: Prepared
): CheckReport | CqlError => {
  const parameters = query.names === undefined
    ? inOrder(prepared.parameters, query.values)
    : byName(prepared.parameters, query.names, query.values, request)
  const columns = columnsOf(query.schema, prepared.columns)
  const text = maskPasswords(query.text)
  const table = tableOf(parameters, columns)
  const problems = [...problemsOfParameters(parameters, query, prepared), ...problemsIn(columns)]
  return problems.length > 0
    ? mismatch(text, problems, table)
    : new Report(text, parameters, columns, table)
}

/** Printed, by whatever means, it is the table. */
class Report implements CheckReport {
  readonly text: string
  readonly parameters: ReadonlyArray<Checked>
  readonly columns: ReadonlyArray<Checked>
  private readonly table: string

  constructor(text: string, parameters: ReadonlyArray<Checked>, columns: ReadonlyArray<Checked>, table: string) {
    this.text = text
    this.parameters = parameters
    this.columns = columns
    this.table = table
  }

  toString(): string {
    return this.table === "" ? this.text : `${this.text}\n\n${this.table}`
  }

  [NodeInspectSymbol](): string {
    return this.toString()
  }
}

const problemsIn = (checked: ReadonlyArray<Checked>): ReadonlyArray<string> =>
  checked.flatMap(({ problem }) => problem ?? [])

/** Those of single parameters, or else why they cannot be bound together. */
const problemsOfParameters = (
  parameters: ReadonlyArray<Checked>,
  query: Query,
  prepared: Prepared
): ReadonlyArray<string> => {
  const problems = problemsIn(parameters)
  if (problems.length > 0 || query.values.length === 0) return problems
  const bound = encodeQuery(prepared, query)
  return Buffer.isBuffer(bound) ? [] : [bound.reason.message]
}

const mismatch = (statement: string, problems: ReadonlyArray<string>, table: string): CqlError => {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ""
  return Errors.make({
    reason: new Errors.StatementMismatch({ problems, table, message: `${problems[0]!}${more}` }),
    statement
  })
}

// --- parameters

const inOrder = (parameters: ReadonlyArray<Column>, values: ReadonlyArray<unknown>): ReadonlyArray<Checked> =>
  Array.from({ length: Math.max(parameters.length, values.length) }, (_, index) => {
    const parameter = parameters[index]
    if (parameter === undefined) return withoutMarker("", `value ${index + 1}`, kindOf(values[index]))
    return index < values.length ? checkValue(parameter, index, values[index]) : withoutValue(parameter, index)
  })

const checkValue = (parameter: Column, index: number, value: unknown, ours = kindOf(value)): Checked => ({
  name: parameter.name,
  server: format(parameter.type),
  ours,
  problem: problemOfValue(parameter, index, value)
})

const problemOfValue = (parameter: Column, index: number, value: unknown): string | undefined => {
  try {
    compileParameters([parameter])([value])
    return undefined
  } catch (error) {
    if (!(error instanceof ParameterMismatch)) return `${nameOf(parameter, index)}: the value cannot be read`
    const { expected, found, hint } = error
    return `${nameOf(parameter, index)}: expected ${expected}, found ${found}${hint === undefined ? "" : `; ${hint}`}`
  }
}

const nameOf = ({ name }: Column, index: number): string => `parameter ${index + 1} (${name})`

const withoutMarker = (name: string, what: string, ours: string): Checked => ({
  name,
  server: undefined,
  ours,
  problem: `${what}: the statement has no marker for it`
})

const withoutValue = (parameter: Column, index: number): Checked => ({
  name: parameter.name,
  server: format(parameter.type),
  ours: undefined,
  problem: `${nameOf(parameter, index)}: there is no value for it`
})

const otherType = (parameter: Column, index: number, ours: string): string =>
  `${nameOf(parameter, index)}: expected ${format(parameter.type)}, the schema of the request has ${ours}`

const byName = (
  parameters: ReadonlyArray<Column>,
  names: ReadonlyArray<string>,
  values: ReadonlyArray<unknown>,
  request: Schema.Constraint | undefined
): ReadonlyArray<Checked> => [
  ...parameters.map((parameter, index) => {
    const field = names.indexOf(parameter.name)
    if (field < 0) return withoutValue(parameter, index)
    const checked = checkValue(parameter, index, values[field])
    const said = request === undefined ? undefined : RowSchema.compareField(request, parameter.name, parameter.type)
    if (said === undefined) return checked
    const { ours, problem } = said
    // A column takes more than it gives (an array for a set), so where there is a value it has the word.
    const isRefused = checked.problem !== undefined || (values[field] ?? null) === null
    const isOtherType = isRefused && problem !== undefined
    return { ...checked, ours, problem: isOtherType ? otherType(parameter, index, ours) : checked.problem }
  }),
  ...names.flatMap((name, index) =>
    parameters.some((parameter) => parameter.name === name)
      ? []
      : [withoutMarker(name, `field ${JSON.stringify(name)}`, kindOf(values[index]))]
  )
]

// --- columns

/** A statement with a condition declares none, though it answers some. */
const columnsOf = (
  schema: Schema.Constraint | undefined,
  columns: ReadonlyArray<Column> | undefined
): ReadonlyArray<Checked> => {
  if (columns === undefined) return []
  if (schema === undefined) {
    return columns.map(({ name, type }) => ({ name, server: format(type), ours: undefined, problem: undefined }))
  }
  return RowSchema.compare(schema, columns)
}

// --- the table

const tableOf = (parameters: ReadonlyArray<Checked>, columns: ReadonlyArray<Checked>): string =>
  [
    ...block(["parameter", "server", "value"], parameters),
    ...(parameters.length > 0 && columns.length > 0 ? [""] : []),
    ...block(["column", "server", "schema"], columns)
  ].join("\n")

const block = (head: ReadonlyArray<string>, rows: ReadonlyArray<Checked>): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const cells = rows.map(({ name, ours, problem, server }) => [
    name === "" ? "-" : name,
    server ?? "-",
    ours ?? "-",
    problem === undefined ? "" : "does not fit"
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)))
  return [head, ...cells].map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
}
