/**
 * A session without a server, for tests of what uses one: a function answers in place of the cluster.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { inspect } from "node:util"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { BatchQuery } from "./batch.ts"
import type { Column } from "./codec/ColumnType.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import type { Core } from "./core.ts"
import type { Finish, Outcome } from "./operation.ts"
import * as PageStates from "./pageState.ts"
import type { PageWanted, Query } from "./query.ts"
import type { Settings } from "./settings.ts"
import type { Prepared, ReaderKind, RowsPage } from "./statements.ts"

/**
 * A statement as it would be sent.
 *
 * @category testing
 * @since 0.1.0
 */
export interface TestStatement {
  /** With a `?` for each value, or a `:name`. */
  readonly text: string
  /** What would be bound, encoded by the schemas of the statement: a uuid is a string, an absent value `undefined`. */
  readonly parameters: ReadonlyArray<unknown>
  /** The same by name, for a statement of `cql.statement`. */
  readonly named: Readonly<Record<string, unknown>> | undefined
}

/**
 * What a test's session is asked: a statement, or a batch.
 *
 * @category testing
 * @since 0.1.0
 */
export interface TestRequest extends TestStatement {
  /** Those of a batch; otherwise it is alone. */
  readonly statements: ReadonlyArray<TestStatement>
}

/** Rows as the server has them, before a schema has seen them. */
export interface Script {
  (request: TestRequest): Effect.Effect<ReadonlyArray<object>, CqlError>
}

interface Asked {
  readonly request: TestRequest
  readonly schema: Schema.Constraint | undefined
}

export const ofQuery = (query: Query): Asked => {
  const { schema } = query
  const statement = statementOf(query)
  return { request: { ...statement, statements: [statement] }, schema }
}

export const ofBatch = ({ queries, schema, text }: BatchQuery): Asked => {
  const statements = queries.map(statementOf)
  const parameters = statements.flatMap(({ parameters }) => parameters)
  return { request: { text, parameters, named: undefined, statements }, schema }
}

const statementOf = ({ names, text, values }: Query): TestStatement => ({
  text,
  parameters: values,
  named: names === undefined ? undefined : Object.fromEntries(names.map((name, index) => [name, values[index]]))
})

/** As a request of the network ends: with what `finish` makes of the page, or a typed failure. */
export const answer = <A, E>(
  core: Core,
  script: Script,
  { request, schema }: Asked,
  settings: Settings,
  wanted: PageWanted,
  finish: Finish<A, E>
): Effect.Effect<A, CqlError | Schema.SchemaError | E> =>
  Effect.suspend(() => {
    if (core.closed && wanted.goesOn !== true) return Effect.fail(Errors.sessionClosed(request.text))
    const origin = { keyspace: core.shared.client.keyspace, text: request.text, values: bytesOf(request.parameters) }
    const problem = wanted.resumes === undefined ? undefined : PageStates.problemOfOrigin(wanted.resumes, origin)
    if (problem !== undefined) return Effect.fail(Errors.make({ reason: problem, statement: request.text }))
    core.enter()
    return script(request).pipe(
      Effect.mapError((error) => error.statement === undefined ? withStatement(error, request.text) : error),
      Effect.timeoutOrElse({
        duration: settings.timeoutMillis,
        orElse: () => Effect.fail(timedOut(request.text, settings))
      }),
      Effect.flatMap((rows) => pageOf(rows, schema, settings, wanted)),
      Effect.flatMap((page) => finish(outcomeOf(page, { origin, settings }))),
      Effect.ensuring(Effect.sync(() => core.exit()))
    )
  })

const bytesOf = (values: ReadonlyArray<unknown>): Buffer | undefined =>
  values.length === 0 ? undefined : Buffer.from(inspect(values, { depth: Infinity, maxArrayLength: Infinity }))

const withStatement = ({ attempts, coordinator, reason }: CqlError, statement: string): CqlError =>
  Errors.make({ reason, statement, coordinator, attempts })

const timedOut = (statement: string, { timeoutMillis }: Settings): CqlError =>
  Errors.make({ reason: Errors.clientTimeout("operation", timeoutMillis), statement })

const outcomeOf = (page: RowsPage, operation: Outcome["operation"]): Outcome => ({
  page,
  flags: {},
  warnings: [],
  coordinator: "test",
  operation,
  schemaInAgreement: undefined
})

// --- pages

/** The function is asked for each page anew, as a server is, and all that it answers is cut. */
const pageOf = (
  all: ReadonlyArray<object>,
  schema: Schema.Constraint | undefined,
  { pageSize }: Settings,
  { pageState, reader = "allRows" }: PageWanted
): Effect.Effect<RowsPage> => {
  if (reader === "outcome") return outcomePage(all, schema)
  const from = pageState === undefined ? 0 : pageState.readUInt32BE()
  const to = Math.min(all.length, from + pageSize)
  const rows = all.slice(from, to)
  return Effect.succeed(rowsPage(rows, schema, reader, to < all.length ? placeOf(to) : undefined))
}

const placeOf = (row: number): Buffer => {
  const place = Buffer.alloc(4)
  place.writeUInt32BE(row)
  return place
}

const rowsPage = (
  rows: ReadonlyArray<object>,
  schema: Schema.Constraint | undefined,
  reader: ReaderKind,
  pageState: Buffer | undefined
): RowsPage => ({
  rows: (reader === "firstRow" ? rows.slice(0, 1) : rows).map((row) => ({ ...row })),
  pageState,
  columns: noColumns,
  decoder: { rows: () => [], decode: schema === undefined ? undefined : RowSchema.decodePlain(schema) }
})

const noColumns: ReadonlyArray<Column> = []

const appliedColumn = "[applied]"

const outcomePage = (
  rows: ReadonlyArray<object>,
  schema: Schema.Constraint | undefined
): Effect.Effect<RowsPage> => {
  const applied = (rows[0] as { readonly [appliedColumn]?: unknown } | undefined)?.[appliedColumn]
  if (typeof applied !== "boolean") return Effect.die(new Error(withoutApplied))
  const current = applied ? [] : rows.map((row) => without(row, appliedColumn)).filter((row) => hasKeys(row))
  return Effect.succeed({ ...rowsPage(current, schema, "allRows", undefined), applied })
}

const withoutApplied = `the answer to a statement with a condition needs a boolean "${appliedColumn}" in its first row`

const without = (row: object, name: string): object =>
  Object.fromEntries(Object.entries(row).filter(([key]) => key !== name))

const hasKeys = (row: object): boolean => Object.keys(row).length > 0

// --- prepared

/** What is never sent needs no types. */
export const prepare = ({ values }: Query): Prepared => ({
  id: Buffer.alloc(0),
  parameters: values.map((_, index): Column => ({
    keyspace: "",
    table: "",
    name: String(index),
    type: { type: "blob" }
  })),
  partitionKeys: [],
  columns: undefined,
  encode: () => Buffer.alloc(0),
  keyspace: undefined,
  table: undefined
})

/** What compares with a server's types, or goes by the tokens of its nodes. */
export const needsServer = (what: string, statement?: string): CqlError =>
  Errors.make({
    reason: new Errors.InvalidQuery({
      message: `a session of a test has no server, which ${what} needs: see CassandraServer of effect-cassandra/testing`
    }),
    statement
  })
