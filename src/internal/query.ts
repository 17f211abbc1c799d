/**
 * One statement as a request: prepared when it has parameters, and bound by the types that the server declares.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as Errors from "../CqlError.ts"
import type { Column } from "./codec/ColumnType.ts"
import { format } from "./codec/ColumnType.ts"
import { ParameterMismatch } from "./codec/Encoder.ts"
import type { Core } from "./core.ts"
import type { Counts, OperationCounts } from "./counts.ts"
import { classify } from "./driver/classify.ts"
import type { Host } from "./driver/inside.ts"
import type * as Nodes from "./driver/nodes.ts"
import type { QueryParameters, Request } from "./driver/requests.ts"
import { ExecuteRequest, QueryRequest } from "./driver/requests.ts"
import type { Latencies } from "./latencies.ts"
import type { Finish, Limits, Resume } from "./operation.ts"
import { Operation } from "./operation.ts"
import * as PageStates from "./pageState.ts"
import { prepareAgain, serverHasSpoken } from "./prepare.ts"
import type { Settings } from "./settings.ts"
import type { KnownStatement, Prepared, ReaderKind, RowsPage } from "./statements.ts"

/** What is asked: a text, the values for its markers, and the schema of its rows. */
export interface Query {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  /** The marker that each value is for; without them the values are in the order of the markers. */
  readonly names: ReadonlyArray<string> | undefined
  readonly schema: Schema.Constraint | undefined
  /** What it says of itself as a part of a batch. */
  readonly idempotent?: boolean | undefined
  readonly encoded?: EncodedQuery["encoded"]
}

/** Its values are encoded already, by this preparation. */
export interface EncodedQuery extends Query {
  readonly encoded: { readonly prepared: Prepared; readonly values: Buffer }
}

/** Which part of the result. */
export interface PageWanted extends Limits {
  readonly pageState?: Buffer | undefined
  /** Whose owners are asked, where the statement does not tell. */
  readonly token?: string | undefined
  /** What the page state must be of, where that is not known. */
  readonly resumes?: PageStates.Kept | undefined
  /** By default all rows of the page. */
  readonly reader?: ReaderKind
}

export class QueryOperation<A, E = never> extends Operation<A, E> {
  protected readonly query: Query
  private readonly wanted: PageWanted
  protected readonly statement: KnownStatement
  private bound: Buffer | undefined
  private prepared: Prepared | undefined
  private preparedAgainOn: Host | undefined
  private isText = false
  protected route: Nodes.Route | undefined

  constructor(
    core: Core,
    query: Query,
    settings: Settings,
    wanted: PageWanted,
    finish: Finish<A, E>,
    resume: Resume<A, E>
  ) {
    super(core, settings, wanted, finish, resume)
    this.query = query
    this.wanted = wanted
    this.statement = core.shared.statements.get(query.text)
  }

  protected get text(): string {
    return this.query.text
  }

  protected get values(): ReadonlyArray<unknown> {
    return this.query.values
  }

  protected countsOf(counts: Counts): OperationCounts {
    this.statement.counts ??= counts.operation(this.statement.summary.operation)
    return this.statement.counts
  }

  protected spellsOut(): boolean {
    return this.query.values.length === 0
  }

  protected makeReady(): void {
    if (this.query.values.length === 0) return this.attemptIfItResumes()
    const { prepared } = this.statement
    if (prepared !== undefined) return this.encode(prepared)
    this.prepares()
    this.prepare(this.statement, (error, ready) => {
      if (this.isPrepared(error, ready)) this.encode(ready)
    })
  }

  private encode(prepared: Prepared): void {
    if (this.bind(this.statement, prepared)) this.attemptIfItResumes()
  }

  private attemptIfItResumes(): void {
    const { resumes } = this.wanted
    const problem = resumes === undefined ? undefined : PageStates.problemOfOrigin(resumes, this.origin)
    if (problem !== undefined) return this.fail(problem)
    this.attempt()
  }

  override get origin(): PageStates.Origin {
    return { keyspace: this.shared.client.keyspace, text: this.query.text, values: this.bound }
  }

  protected bind(_: KnownStatement, prepared: Prepared): boolean {
    const bound = encodeQuery(prepared, this.query)
    if (!Buffer.isBuffer(bound)) {
      this.fail(bound.reason, bound.cause)
      return false
    }
    this.prepared = prepared
    this.bound = bound
    this.route = this.routeOfToken(prepared) ?? routeOf(prepared, bound)
    return true
  }

  private routeOfToken({ keyspace }: Prepared): Nodes.Route | undefined {
    const { token } = this.wanted
    return token === undefined || keyspace === undefined ? undefined : { keyspace, token }
  }

  protected makeRequest(timestamp: number | bigint | undefined): Request<RowsPage | null> {
    const { settings } = this
    const parameters: QueryParameters = {
      consistency: settings.consistency,
      serialConsistency: settings.serialConsistency,
      values: this.bound,
      pageSize: settings.pageSize,
      pageState: this.wanted.pageState,
      timestamp,
      tracing: settings.tracing,
      customPayload: settings.customPayload
    }
    const reader = this.statement.reader(this.query.schema, this.wanted.reader)
    return this.prepared === undefined || this.isText
      ? new QueryRequest(this.query.text, parameters, reader)
      : new ExecuteRequest(this.prepared.id, parameters, reader)
  }

  protected isIdempotent(): boolean {
    const { idempotent } = this.settings
    // Twice is never the same as once: the second time the first one is in its way, and its outcome is lost.
    // By the types that were sent: what is known of the statement is forgotten with the control connection.
    return idempotent === undefined
      ? this.isProved(this.statement, this.prepared)
      : idempotent && !this.hasCondition()
  }

  protected hasCondition(): boolean {
    return this.statement.hasCondition
  }

  protected isRead(): boolean {
    return this.statement.isRead
  }

  get latencies(): Latencies | undefined {
    return this.settings.hedge?.percentile === undefined ? undefined : this.statement.latencies
  }

  protected repeat(limits: Limits, resume: Resume<A, E>): QueryOperation<A, E> {
    const { core, finish, query, settings, wanted } = this
    return new QueryOperation(core, query, settings, { ...wanted, ...limits }, finish, resume)
  }

  protected becomesText(): boolean {
    const became = !this.isText
    this.isText = true
    return became
  }

  protected forgotten(host: Host): ReadonlyArray<KnownStatement> {
    if (this.preparedAgainOn === host) return []
    this.preparedAgainOn = host
    return [this.statement]
  }
}

/** Prepares a statement anew and does not run it: on one node, or on all that can be asked. */
export class PrepareOperation extends QueryOperation<Prepared> {
  private readonly everywhere: boolean

  constructor(
    core: Core,
    query: Query,
    settings: Settings,
    everywhere: boolean,
    limits: Limits,
    resume: Resume<Prepared, never>
  ) {
    super(core, query, settings, limits, () => Effect.die("a statement that is prepared has no result"), resume)
    this.everywhere = everywhere
  }

  protected override countsOf(counts: Counts): OperationCounts {
    return counts.operation("PREPARE")
  }

  protected override isIdempotent(): boolean {
    return true
  }

  protected override repeat(limits: Limits, resume: Resume<Prepared, never>): PrepareOperation {
    const { core, everywhere, query, settings } = this
    return new PrepareOperation(core, query, settings, everywhere, limits, resume)
  }

  protected override makeReady(): void {
    this.prepares()
    const hosts = this.everywhere && this.settings.node === undefined ? this.shared.client.openNodes() : []
    if (hosts.length > 0) return this.prepareOn(hosts)
    this.prepare(this.statement, (error, ready) => this.isDone(error, ready))
  }

  /** A node that gives no answer now will say that it does not know the statement when it is to execute it. */
  private prepareOn(hosts: ReadonlyArray<Host>): void {
    let waitingFor = hosts.length
    let ready: Prepared | undefined
    let failure: unknown
    for (const host of hosts) {
      prepareAgain(this.shared, this.statement, host, this.core.settings.attemptMillis, (error, prepared) => {
        ready ??= prepared
        if (prepared === undefined && (failure === undefined || serverHasSpoken(error))) failure = error
        waitingFor--
        if (waitingFor === 0) this.isDone(failure, serverHasSpoken(failure) ? undefined : ready)
      })
    }
  }

  private isDone(error: unknown, ready: Prepared | undefined): void {
    if (this.isPrepared(error, ready)) this.settle(Exit.succeed(ready))
  }
}

/** Why a statement's values cannot be bound. */
interface NotBound {
  readonly reason: Errors.Reason
  readonly cause: unknown
}

/** `[short n]<value_1>...<value_n>` of the values by the types of their markers. */
export const encodeQuery = (
  prepared: Prepared,
  { encoded, names, text, values }: Query
): Buffer | NotBound => {
  if (encoded !== undefined && encoded.prepared === prepared) return encoded.values
  const ordered = names === undefined
    ? inOrder(prepared.parameters, values)
    : byName(prepared.parameters, names, values, text)
  if (!Array.isArray(ordered)) return { reason: ordered as Errors.Reason, cause: undefined }
  try {
    return prepared.encode(ordered)
  } catch (cause) {
    return { reason: reasonOfEncoding(cause, text, values), cause }
  }
}

/** What a value's own code throws (a getter, an iterator) is no mismatch, and may repeat a value. */
const reasonOfEncoding = (error: unknown, statement: string, values: ReadonlyArray<unknown>): Errors.Reason =>
  error instanceof ParameterMismatch ? invalidParameter(error) : classify(error, { statement, values })

const invalidParameter = (error: ParameterMismatch): Errors.Reason => {
  const { expected, found, hint, index, name } = error
  const message = `parameter ${index + 1} (${name}): expected ${expected}, found ${found}`
  return new Errors.InvalidParameter({ index, parameter: name, expected, found, hint, message })
}

const inOrder = (parameters: ReadonlyArray<Column>, values: ReadonlyArray<unknown>) =>
  parameters.length === values.length ? values : wrongCount(parameters.length, values.length)

const byName = (
  parameters: ReadonlyArray<Column>,
  names: ReadonlyArray<string>,
  values: ReadonlyArray<unknown>,
  text: string
): ReadonlyArray<unknown> | Errors.Reason => {
  const twice = parameters.find(({ name }, index) => parameters.findIndex((other) => other.name === name) < index)
  if (twice !== undefined && hasQuestionMark(text)) return sameName(twice.name)
  const index = parameters.findIndex(({ name }) => !names.includes(name))
  if (index >= 0) return withoutField(parameters[index]!, index)
  const unused = names.find((name) => !parameters.some((parameter) => parameter.name === name))
  if (unused !== undefined) return withoutMarker(unused)
  return parameters.map(({ name }) => values[names.indexOf(name)])
}

/** Strings, names and comments, where a question mark is no marker. */
const noMarkers = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\$[\s\S]*?\$\$|--[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\//g

/** The server calls a ? after its column, and so two of a range the same. */
const hasQuestionMark = (text: string): boolean => text.replace(noMarkers, "").includes("?")

const sameName = (name: string): Errors.Reason =>
  new Errors.InvalidQuery({
    message: `two markers are called ${JSON.stringify(name)}: write :first and :second, for a ? has its column's name`
  })

const withoutField = ({ name, type }: Column, index: number): Errors.Reason => {
  const expected = format(type)
  return new Errors.InvalidParameter({
    index,
    parameter: name,
    expected,
    found: "no field of the request",
    hint: "a marker in lower case or in quotes has the name of a field: :name, :\"camelCase\"",
    message: `parameter ${index + 1} (${name}): expected ${expected}, but the request has no such field`
  })
}

const withoutMarker = (name: string): Errors.Reason =>
  new Errors.InvalidQuery({
    message: `the statement has no marker for the field ${JSON.stringify(name)} of the request`
  })

const wrongCount = (markers: number, values: number): Errors.Reason =>
  new Errors.InvalidQuery({
    message: `the statement has ${markers} markers and ${values} values; ` +
      "a value interpolated inside quotes is part of a text and no marker, and a ? that is written out is one more"
  })

export const routeOf = ({ keyspace, partitionKeys }: Prepared, values: Buffer): Nodes.Route | undefined =>
  keyspace === undefined || partitionKeys.length === 0 ? undefined : { keyspace, values, partitionKeys }
