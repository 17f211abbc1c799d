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
import { prepare, prepareAgain, serverHasSpoken } from "./prepare.ts"
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

/** Which page of the result. */
export interface PageWanted {
  readonly pageState?: Buffer | undefined
  /** By `performance.now()`; by default the statement's `timeout` from now on. */
  readonly deadline?: number | undefined
  /** The session may be closing: this goes on with a result that was begun, and a close waits for it. */
  readonly goesOn?: boolean
  /** Rows behind the first are not read. */
  readonly firstRowOnly?: boolean
}

/** Turns what came back into what the fiber gets. */
export interface Finish<A, E = never> {
  (outcome: Outcome): Effect.Effect<A, CqlError | Schema.SchemaError | E>
}

interface FailedAttempt {
  readonly host: Host
  readonly reason: Errors.Reason
  readonly durationMillis: number
}

const noNodes: ReadonlyArray<Host> = []

type Phase = Errors.ClientTimeout["phase"]

export class Operation<A, E = never> {
  private readonly core: Core
  private readonly shared: SharedClient
  private readonly query: Query
  private readonly settings: Settings
  private readonly page: PageWanted
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
  /** Whether the attempt ends at the deadline of the whole operation, and not at its own limit. */
  private isLast = false
  /** Attempts that failed; none for almost every request, so not even an array. */
  private failed: Array<FailedAttempt> | undefined
  private preparedAgainOn: Host | undefined
  private holdsPlace = false
  /** The fiber has its answer, or does not want one any more. */
  private done = false

  constructor(
    core: Core,
    query: Query,
    settings: Settings,
    page: PageWanted,
    finish: Finish<A, E>,
    resume: (effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>) => void
  ) {
    this.core = core
    this.shared = core.shared
    this.query = query
    this.settings = settings
    this.page = page
    this.finish = finish
    this.resume = resume
    this.deadline = page.deadline ?? performance.now() + settings.timeoutMillis
    this.statement = core.shared.statements.get(query.text)
  }

  // --- admit

  start(): void {
    if (this.core.closed && !this.page.goesOn) return this.resume(Exit.fail(Errors.sessionClosed(this.query.text)))
    this.core.enter()
    const { admission } = this.shared
    if (admission.tryEnter()) return this.admitted()
    if (!admission.enqueue(this)) {
      return this.settle(Exit.fail(Errors.admissionRefused(loadOf(admission), this.query.text)))
    }
    this.startTimer("queue")
  }

  admitted(): void {
    this.stopTimer()
    this.holdsPlace = true
    if (this.query.values.length === 0) return this.attempt()
    const { prepared } = this.statement
    if (prepared !== undefined) return this.encode(prepared)
    this.startTimer("prepare")
    prepare(
      this.shared,
      this.statement,
      this.core.settings.attemptMillis,
      (error, ready) => this.isPrepared(error, ready)
    )
  }

  // --- prepare

  private isPrepared(error: unknown, prepared: Prepared | undefined): void {
    this.stopTimer()
    if (this.done) return this.release()
    if (prepared === undefined) return this.notPrepared(error)
    this.encode(prepared)
  }

  /** Whatever happened, the statement itself was not executed. Without an error there was no node to ask. */
  private notPrepared(error: unknown, host?: Host): void {
    if (error === undefined) return this.fail(this.noHostAvailable())
    if (isTimeout(error)) {
      return this.fail(Errors.clientTimeout("prepare", this.core.settings.attemptMillis), error, host?.address)
    }
    const reason = this.reasonOf(error, host)
    if (wasNotSent(error)) return this.fail(this.noHostAvailable(reason), error)
    const unwritten = reason._tag === "ConnectionError"
      ? new Errors.ConnectionError({ written: false, message: reason.message })
      : reason
    this.fail(unwritten, error, host?.address)
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
    const host = this.nextHost()
    if (host === undefined) return this.fail(this.noHostAvailable())
    this.send(host)
  }

  private nextHost(): Host | undefined {
    return this.shared.client.choose(this.route, this.failed?.map(({ host }) => host) ?? noNodes)
  }

  private send(host: Host): void {
    const now = performance.now()
    const remaining = this.deadline - now
    if (remaining <= 0) return this.fail(this.timedOut("operation"))
    this.sentAt = now
    this.request = this.makeRequest()
    this.isLast = remaining < this.settings.attemptMillis
    const millis = this.isLast ? remaining : this.settings.attemptMillis
    this.shared.client.send(host, this.request, millis, (error, response) => this.answered(host, error, response))
  }

  private makeRequest(): Request<RowsPage | null> {
    const { settings } = this
    const parameters: QueryParameters = {
      consistency: settings.consistency,
      serialConsistency: settings.serialConsistency,
      values: this.values,
      pageSize: settings.pageSize,
      pageState: this.page.pageState,
      timestamp: settings.clientTimestamps ? this.writeTimestamp() : undefined
    }
    const reader = this.statement.reader(this.query.schema, this.page.firstRowOnly)
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
    // What comes after its time is for nobody, and is not worth reading.
    if (this.request !== undefined) this.request.abandoned = true
    if (isUnprepared(error) && this.preparedAgainOn !== host) return this.prepareAgain(host)
    if (isAboutRows(error)) return this.failWith(error, host)
    const reason = this.reasonOf(error, host)
    this.record(host, reason)
    if (wasNotSent(error)) return this.attempt()
    this.fail(reason, error, host.address)
  }

  private prepareAgain(host: Host): void {
    this.preparedAgainOn = host
    this.startTimer("prepare")
    prepareAgain(this.shared, this.statement, host, this.core.settings.attemptMillis, (error, prepared) => {
      this.stopTimer()
      if (this.done) return this.release()
      if (prepared === undefined) return this.notPreparedAgain(host, error)
      if (this.bind(prepared)) this.send(host)
    })
  }

  /** The server's word is final; a node that gave none is passed over, if there is another. */
  private notPreparedAgain(host: Host, error: unknown): void {
    if (serverHasSpoken(error)) return this.notPrepared(error, host)
    this.record(host, this.reasonOf(error, host))
    const next = this.nextHost()
    if (next === undefined) return this.notPrepared(error, host)
    this.send(next)
  }

  private record(host: Host, reason: Errors.Reason): void {
    this.failed ??= []
    this.failed.push({ host, reason, durationMillis: Math.round(performance.now() - this.sentAt) })
  }

  private succeed(host: Host, response: Response<RowsPage | null>): void {
    this.settle(this.finish({ page: response.value, flags: response.flags, coordinator: host.address }))
  }

  private failWith(error: unknown, host?: Host): void {
    if (error instanceof NullInRow) return this.settle(Exit.fail(RowSchema.nullInRow(error)))
    if (Schema.isSchemaError(error)) return this.settle(Exit.fail(error))
    this.fail(this.reasonOf(error, host), error, host?.address)
  }

  private reasonOf(error: unknown, host: Host | undefined): Errors.Reason {
    if (error instanceof ParameterMismatch) return invalidParameter(error)
    if (error instanceof NotSent) return new Errors.ConnectionError({ written: false, message: error.message })
    if (this.isLast && isTimeout(error)) return this.timedOut("operation")
    const { text, values } = this.query
    return classify(error, {
      values,
      statement: text,
      timeoutMillis: this.settings.attemptMillis,
      ...(host === undefined ? {} : { node: host.address })
    })
  }

  private fail(reason: Errors.Reason, cause?: unknown, coordinator?: string): void {
    const statement = this.query.text
    const attempts = this.failed?.map(describeAttempt)
    this.settle(Exit.fail(Errors.make({ reason, statement, coordinator, attempts, cause })))
  }

  /**
   * Resumes the fiber, then lets the next request have the place. Both run other fibers before they return, which may
   * interrupt this one: it is done before either begins.
   */
  private settle(effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>): void {
    this.done = true
    this.stopTimer()
    this.letGo(() => this.resume(effect))
  }

  /** The driver has settled what nobody waits for any more. */
  private release(): void {
    this.stopTimer()
    this.letGo(nothing)
  }

  private letGo(resume: () => void): void {
    const settled = (): void => {
      try {
        resume()
      } finally {
        this.core.exit()
      }
    }
    if (this.holdsPlace) return this.shared.admission.leave(settled)
    this.shared.admission.cancel(this)
    settled()
  }

  /** Nobody waits for this any more. Its place is given back when the driver settles: the server still works on it. */
  abandon(): void {
    if (this.done) return
    this.done = true
    if (this.request !== undefined) this.request.abandoned = true
    if (!this.holdsPlace) this.release()
    else this.stopTimer()
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
    const exit = Exit.fail(Errors.make({ reason: this.timedOut(phase), statement: this.query.text }))
    if (!this.holdsPlace) return this.settle(exit)
    this.done = true
    this.resume(exit)
  }

  private timedOut(phase: Phase): Errors.Reason {
    return Errors.clientTimeout(phase, this.settings.timeoutMillis)
  }

  private noHostAvailable(otherwise?: Errors.Reason): Errors.Reason {
    const nodes = Nodes.whyNone(this.shared.client.policy, (host) => {
      const asked = this.failed?.find((attempt) => attempt.host === host)
      return (asked?.reason ?? otherwise)?.message
    })
    return new Errors.NoHostAvailable({ nodes, message: whyNoHost(nodes) })
  }
}

const routeOf = ({ keyspace, partitionKeys }: Prepared, values: Buffer): Nodes.Route | undefined =>
  keyspace === undefined || partitionKeys.length === 0 ? undefined : { keyspace, values, partitionKeys }

const isUnprepared = (error: unknown): boolean => (error as { readonly code?: unknown }).code === 0x2500

const isTimeout = (error: unknown): boolean => (error as { readonly name?: string }).name === "OperationTimedOutError"

const wasNotSent = (error: unknown): boolean =>
  error instanceof NotSent || (error as { readonly requestNotWritten?: boolean }).requestNotWritten === true

const isAboutRows = (error: unknown): boolean => error instanceof NullInRow || Schema.isSchemaError(error)

const invalidParameter = (error: ParameterMismatch): Errors.Reason => {
  const { expected, found, hint, index, name } = error
  const message = `parameter ${index + 1} (${name}): expected ${expected}, found ${found}`
  return new Errors.InvalidParameter({ index, parameter: name, expected, found, hint, message })
}

const wrongCount = (markers: number, values: number): Errors.Reason =>
  new Errors.InvalidQuery({
    message: `the statement has ${markers} markers and ${values} values; ` +
      "a value interpolated inside quotes is part of a text and no marker, and a ? that is written out is one more"
  })

const whyNoHost = ([first, ...others]: Errors.NoHostAvailable["nodes"]): string =>
  first === undefined
    ? "no node of the local data center is known"
    : others.length === 0
    ? `no node can be asked: ${first.node}: ${first.error}`
    : `none of ${others.length + 1} nodes can be asked`

const describeAttempt = ({ durationMillis, host, reason }: FailedAttempt): Errors.Attempt => ({
  node: host.address,
  outcome: reason._tag,
  durationMillis
})

const nothing = (): void => undefined

const loadOf = ({ inFlight, limit, queued }: Admission) => ({ inFlight, queued, limit })
