/**
 * The path of one request, read from top to bottom: admit, prepare, encode, attempt, settle.
 *
 * A plain object with callbacks and not a chain of effects, for this is the hot path: the fiber that asked is resumed
 * once, by the bytes that answer it. What happens before and after (all rows, streams, schemas) are effects.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { Admission } from "./admission.ts"
import { NullInRow } from "./codec/Decoder.ts"
import * as Encoder from "./codec/Encoder.ts"
import { ParameterMismatch } from "./codec/Encoder.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import type { Core, SharedClient } from "./core.ts"
import { classify } from "./driver/classify.ts"
import { NotSent } from "./driver/client.ts"
import type { FrameFlags, Host } from "./driver/inside.ts"
import * as Nodes from "./driver/nodes.ts"
import { ExecuteRequest, QueryRequest } from "./driver/requests.ts"
import type { QueryParameters, Request } from "./driver/requests.ts"
import type { Response } from "./driver/responses.ts"
import { maskValues } from "./mask.ts"
import { prepare, prepareAgain } from "./prepare.ts"
import type { Settings } from "./settings.ts"
import type { KnownStatement, Prepared, RowsPage } from "./statements.ts"
import * as Timestamp from "./timestamp.ts"

/** What is asked: a text, the values for its markers, and the schema of its rows. */
export interface Query {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  readonly schema: Schema.Constraint | undefined
}

/** What came back. */
export interface Outcome {
  /** `null` for a statement without rows. */
  readonly page: RowsPage | null
  readonly flags: FrameFlags
  readonly coordinator: string
}

/** Turns what came back into what the fiber gets. */
export interface Finish<A, E = never> {
  (outcome: Outcome): Effect.Effect<A, CqlError | Schema.SchemaError | E>
}

const noNodes: ReadonlyArray<Host> = []

type Phase = Errors.ClientTimeout["phase"]

export class Operation<A, E = never> {
  private readonly core: Core
  private readonly shared: SharedClient
  private readonly query: Query
  private readonly settings: Settings
  private readonly pageState: Buffer | undefined
  private readonly finish: Finish<A, E>
  private readonly resume: (effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>) => void
  private readonly deadline: number
  private readonly statement: KnownStatement
  private timer: NodeJS.Timeout | undefined
  private request: Request<unknown> | undefined
  private values: Buffer | undefined
  private prepared: Prepared | undefined
  private route: Nodes.Route | undefined
  private timestamp: number | undefined
  private sentAt = 0
  private tried: Array<Host> | undefined
  private attempts: Array<Errors.Attempt> | undefined
  private preparedAgainOn: Host | undefined
  private holdsPlace = false
  /** The fiber has its answer, or does not want one any more. */
  private done = false

  constructor(
    core: Core,
    query: Query,
    settings: Settings,
    pageState: Buffer | undefined,
    finish: Finish<A, E>,
    resume: (effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>) => void
  ) {
    this.core = core
    this.shared = core.shared
    this.query = query
    this.settings = settings
    this.pageState = pageState
    this.finish = finish
    this.resume = resume
    this.deadline = performance.now() + settings.timeoutMillis
    this.statement = core.shared.statements.get(query.text)
  }

  // --- admit

  start(): void {
    if (this.core.closed) return this.resume(Exit.fail(sessionClosed(this.query.text)))
    this.core.enter()
    const { admission } = this.shared
    if (admission.tryEnter()) return this.admitted()
    if (!admission.enqueue(this)) return this.fail(admissionRefused(admission))
    this.startTimer("queue")
  }

  admitted(): void {
    this.stopTimer()
    this.holdsPlace = true
    if (this.query.values.length === 0) return this.attempt()
    const { prepared } = this.statement
    if (prepared !== undefined) return this.encode(prepared)
    this.startTimer("prepare")
    prepare(this.shared, this.statement, this.settings.attemptMillis, (error, ready) => this.isPrepared(error, ready))
  }

  // --- prepare

  private isPrepared(error: unknown, prepared: Prepared | undefined): void {
    this.stopTimer()
    if (this.done) return this.release()
    if (prepared === undefined) return this.failWith(error)
    this.encode(prepared)
  }

  // --- encode

  private encode(prepared: Prepared): void {
    if (this.bind(prepared)) this.attempt()
  }

  private bind(prepared: Prepared): boolean {
    this.prepared = prepared
    if (prepared.parameters.length !== this.query.values.length) {
      this.fail(wrongCount(prepared.parameters.length, this.query.values.length))
      return false
    }
    try {
      this.values = prepared.encode(this.query.values)
    } catch (error) {
      this.failWith(error)
      return false
    }
    this.route = routeOf(prepared, this.values)
    return true
  }

  // --- attempt

  private attempt(): void {
    const host = this.shared.client.choose(this.route, this.tried ?? noNodes)
    if (host === undefined) return this.fail(this.noHostAvailable())
    this.send(host)
  }

  private send(host: Host): void {
    const now = performance.now()
    const remaining = this.deadline - now
    if (remaining <= 0) return this.fail(this.timedOut("operation"))
    this.sentAt = now
    this.request = this.makeRequest()
    const millis = Math.min(remaining, this.settings.attemptMillis)
    this.shared.client.send(host, this.request, millis, (error, response) => this.answered(host, error, response))
  }

  private makeRequest(): Request<RowsPage | null> {
    const { settings } = this
    const parameters: QueryParameters = {
      consistency: settings.consistency,
      serialConsistency: settings.serialConsistency,
      values: this.values,
      pageSize: settings.pageSize,
      pageState: this.pageState,
      timestamp: settings.clientTimestamps ? this.writeTimestamp() : undefined
    }
    const reader = this.statement.reader(this.query.schema)
    return this.prepared === undefined
      ? new QueryRequest(this.query.text, parameters, reader)
      : new ExecuteRequest(this.prepared.id, parameters, reader)
  }

  /** Taken behind admission, and one for all attempts: a replay must not overtake a write that came after it. */
  private writeTimestamp(): number {
    this.timestamp ??= Timestamp.next()
    return this.timestamp
  }

  // --- settle

  private answered(host: Host, error: unknown, response: Response<unknown> | undefined): void {
    if (this.done) return this.release()
    if (response !== undefined) return this.succeed(host, response as Response<RowsPage | null>)
    if (isUnprepared(error) && this.preparedAgainOn !== host) return this.prepareAgain(host)
    this.record(host, error)
    if (wasNotSent(error)) return this.attempt()
    this.failWith(error, host)
  }

  private prepareAgain(host: Host): void {
    this.preparedAgainOn = host
    prepareAgain(this.shared, this.statement, host, this.settings.attemptMillis, (error, prepared) => {
      if (this.done) return this.release()
      if (prepared === undefined) return this.failWith(error, host)
      if (this.bind(prepared)) this.send(host)
    })
  }

  private record(host: Host, error: unknown): void {
    this.tried ??= []
    this.tried.push(host)
    this.attempts ??= []
    this.attempts.push({
      node: host.address,
      outcome: outcomeOf(error),
      durationMillis: Math.round(performance.now() - this.sentAt)
    })
  }

  private succeed(host: Host, response: Response<RowsPage | null>): void {
    this.release()
    this.done = true
    this.resume(this.finish({ page: response.value, flags: response.flags, coordinator: host.address }))
  }

  private failWith(error: unknown, host?: Host): void {
    if (error instanceof NullInRow) return this.end(Exit.fail(RowSchema.nullInRow(error)))
    if (Schema.isSchemaError(error)) return this.end(Exit.fail(error))
    const reason = this.isTooLate(error) ? this.timedOut("operation") : reasonOf(error, this.query.values)
    this.fail(reason, error, host?.address)
  }

  /** The last attempt is cut short by the deadline of the whole operation: then that is what ended. */
  private isTooLate(error: unknown): boolean {
    return isTimeout(error) && performance.now() >= this.deadline
  }

  private fail(reason: Errors.Reason, cause?: unknown, coordinator?: string): void {
    const statement = this.query.text
    this.end(Exit.fail(Errors.make({ reason, statement, coordinator, attempts: this.attempts ?? [], cause })))
  }

  private end(exit: Exit.Exit<never, CqlError | Schema.SchemaError>): void {
    this.release()
    this.done = true
    this.resume(exit)
  }

  /** Nobody waits for this any more. Its place is given back when the driver settles: the server still works on it. */
  abandon(): void {
    if (this.done) return
    this.done = true
    this.stopTimer()
    if (this.request !== undefined) this.request.abandoned = true
    if (!this.holdsPlace) this.leaveQueue()
  }

  private leaveQueue(): void {
    this.shared.admission.cancel(this)
    this.core.exit()
  }

  private release(): void {
    this.stopTimer()
    if (this.holdsPlace) {
      this.holdsPlace = false
      this.shared.admission.leave()
    } else {
      this.shared.admission.cancel(this)
    }
    this.core.exit()
  }

  // --- time

  private startTimer(phase: Phase): void {
    this.timer = setTimeout(() => this.expire(phase), Math.max(0, this.deadline - performance.now()))
  }

  private stopTimer(): void {
    if (this.timer === undefined) return
    clearTimeout(this.timer)
    this.timer = undefined
  }

  /** The deadline came while it waited: in the queue it leaves, behind it the shared preparation goes on for others. */
  private expire(phase: Phase): void {
    const { holdsPlace } = this
    const error = Errors.make({ reason: this.timedOut(phase), statement: this.query.text })
    if (!holdsPlace) return this.end(Exit.fail(error))
    this.done = true
    this.resume(Exit.fail(error))
  }

  private timedOut(phase: Phase): Errors.Reason {
    const { timeoutMillis } = this.settings
    return new Errors.ClientTimeout({ phase, timeoutMillis, message: timeoutMessage(phase, timeoutMillis) })
  }

  private noHostAvailable(): Errors.Reason {
    const nodes = Nodes.whyNone(this.shared.client.policy, this.tried ?? noNodes)
    return new Errors.NoHostAvailable({ nodes, message: "no node can be asked" })
  }
}

const routeOf = (prepared: Prepared, values: Buffer): Nodes.Route | undefined => {
  const { keyspace } = prepared
  const routingKey = Encoder.routingKey(values, prepared.partitionKeys)
  return keyspace === undefined || routingKey === undefined ? undefined : { keyspace, routingKey }
}

const isUnprepared = (error: unknown): boolean => (error as { readonly code?: unknown }).code === 0x2500

const isTimeout = (error: unknown): boolean => (error as { readonly name?: string }).name === "OperationTimedOutError"

const wasNotSent = (error: unknown): boolean =>
  error instanceof NotSent || (error as { readonly requestNotWritten?: boolean }).requestNotWritten === true

const outcomeOf = (error: unknown): string =>
  error instanceof NullInRow || Schema.isSchemaError(error) ? "SchemaError" : reasonOf(error, [])._tag

const reasonOf = (error: unknown, values: ReadonlyArray<unknown>): Errors.Reason => {
  if (error instanceof ParameterMismatch) return invalidParameter(error)
  if (error instanceof NotSent) return new Errors.ConnectionError({ written: false, message: error.message })
  if (error instanceof Error) error.message = maskValues(error.message, values)
  return classify(error)
}

const invalidParameter = (error: ParameterMismatch): Errors.Reason => {
  const { expected, found, hint, index, name } = error
  const message = `parameter ${index + 1} (${name}): expected ${expected}, found ${found}`
  return new Errors.InvalidParameter({ index, name, expected, found, hint, message })
}

const wrongCount = (markers: number, values: number): Errors.Reason =>
  new Errors.InvalidQuery({
    message: `the statement has ${markers} markers and ${values} values; ` +
      "a value interpolated inside quotes is part of a text and no marker, and a ? that is written out is one more"
  })

const timeoutMessage = (phase: Phase, millis: number): string =>
  phase === "queue"
    ? `no place among the requests in flight became free within ${millis} ms`
    : phase === "prepare"
    ? `the statement was not prepared within ${millis} ms`
    : `the statement did not end within ${millis} ms`

export const sessionClosed = (statement: string): CqlError =>
  Errors.make({ reason: new Errors.SessionClosed({ message: "the session is closed" }), statement })

const admissionRefused = (admission: Admission): Errors.Reason =>
  new Errors.AdmissionRefused({
    inFlight: admission.inFlight,
    queued: admission.queued,
    limit: admission.limit,
    message: `${admission.inFlight} requests are in flight and ${admission.queued} wait: no more is taken`
  })
