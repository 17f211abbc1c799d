/**
 * The path of one request, read from top to bottom: admit, ready (prepare and encode), attempt, settle.
 *
 * A plain object with callbacks and not a chain of effects, for this is the hot path: the fiber that asked is resumed
 * once, by the bytes that answer it. What happens before and after (all rows, streams, schemas) are effects. How a
 * request is made ready is told by `query.ts` for one statement and by `batch.ts` for several.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Span } from "effect/Tracer"
import type { CqlError } from "../CqlError.ts"
import * as Errors from "../CqlError.ts"
import type { Admission } from "./admission.ts"
import { NullInRow } from "./codec/Decoder.ts"
import * as RowSchema from "./codec/RowSchema.ts"
import { whyNotConnected } from "./connecting.ts"
import * as Consistencies from "./consistency.ts"
import type { Core, SharedClient } from "./core.ts"
import type { Counts, OperationCounts } from "./counts.ts"
import { classify } from "./driver/classify.ts"
import type { WhenOver } from "./driver/client.ts"
import { NotSent } from "./driver/client.ts"
import type { FrameFlags, Host } from "./driver/inside.ts"
import * as Nodes from "./driver/nodes.ts"
import type { Request } from "./driver/requests.ts"
import type { Response } from "./driver/responses.ts"
import { Hedging } from "./hedging.ts"
import type { Latencies } from "./latencies.ts"
import { maskValues } from "./mask.ts"
import type { Origin } from "./pageState.ts"
import { prepare, prepareAgain, serverHasSpoken } from "./prepare.ts"
import type { Previous } from "./retry.ts"
import { recover } from "./retry.ts"
import type { Settings } from "./settings.ts"
import type { KnownStatement, Prepared, RowsPage, Waiter } from "./statements.ts"
import * as Timestamp from "./timestamp.ts"
import { logSlow, logWarnings } from "./warnings.ts"

/** What came back. */
export interface Outcome {
  /** `null` for a statement without rows. */
  readonly page: RowsPage | null
  readonly flags: FrameFlags
  readonly warnings: ReadonlyArray<string>
  readonly coordinator: string
  /** What has its page state, and what further pages are asked for with. */
  readonly operation: { readonly origin: Origin; readonly settings: Settings }
  /** After a schema change: whether all nodes knew of it in time. */
  readonly schemaInAgreement: boolean | undefined
}

/** When it has to be done, and on behalf of whom. */
export interface Limits {
  /** By `performance.now()`; by default the statement's `timeout` from now on. */
  readonly deadline?: number | undefined
  /** When the first of its attempts began; by default now. */
  readonly begun?: number | undefined
  /** The session may be closing: this goes on with a result that was begun, and a close waits for it. */
  readonly goesOn?: boolean
  /** The attempts before this one. */
  readonly previous?: Previous | undefined
}

/** Turns what came back into what the fiber gets. */
export interface Finish<A, E = never> {
  (outcome: Outcome): Effect.Effect<A, CqlError | Schema.SchemaError | E>
}

export interface Resume<A, E> {
  (effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>): void
}

export interface FailedAttempt {
  readonly host: Host
  readonly reason: Errors.Reason
  readonly durationMillis: number
}

const noNodes: ReadonlyArray<Host> = []

const noAttempts: ReadonlyArray<FailedAttempt> = []

const noWarnings: ReadonlyArray<string> = []

const localSerial = Consistencies.toCode("localSerial")

/** Timers are as exact as that, in milliseconds: less is no time to do anything in. */
const shortest = 1

type Phase = Errors.ClientTimeout["phase"]

export abstract class Operation<A, E = never> {
  protected readonly core: Core
  protected readonly shared: SharedClient
  readonly settings: Settings
  protected readonly finish: Finish<A, E>
  /** By `performance.now()`. */
  readonly deadline: number
  private readonly begun: number
  private readonly goesOn: boolean
  private readonly resume: Resume<A, E>
  private readonly previous: Previous | undefined
  /** What comes behind it, or beside it, is the same request. */
  protected readonly isFirst: boolean
  private timer: NodeJS.Timeout | undefined
  private request: Request<unknown> | undefined
  private timestamp: number | undefined
  private sentAt = 0
  private answeredAt = 0
  /** Whether the attempt ends at the deadline of the whole operation, and not at its own limit. */
  private isLast = false
  /** Attempts that failed; none for almost every request, so not even an array. */
  private failed: Array<FailedAttempt> | undefined
  /** Where it had to wait for a place. */
  private queuedAt: number | undefined
  private holdsPlace = false
  /** Of an attempt that was given up, and that the server still works on. */
  private whenOver: WhenOver | undefined
  /** Of the attempt that is under way, where each has one. */
  private attemptSpan: Span | undefined
  /** Those that ask other nodes the same at the same time; none unless the statement is hedged. */
  hedging: Hedging<A, E> | undefined
  /** Why it failed, if it did; what comes of it is in the effect that it ends with. */
  failure: Errors.Reason | undefined
  /** The node that is asked now. */
  asked: Host | undefined
  /** The fiber has its answer, or does not want one any more. */
  private done = false
  private hasLeft = false

  constructor(core: Core, settings: Settings, limits: Limits, finish: Finish<A, E>, resume: Resume<A, E>) {
    this.core = core
    this.shared = core.shared
    this.settings = settings
    this.goesOn = limits.goesOn === true
    this.previous = limits.previous
    this.isFirst = limits.previous === undefined
    this.timestamp = limits.previous?.timestamp
    this.finish = finish
    this.resume = resume
    const now = performance.now()
    this.begun = limits.begun ?? now
    this.deadline = limits.deadline ?? now + settings.timeoutMillis
  }

  /** The text that errors show. */
  protected abstract readonly text: string

  /** Where it is counted. */
  protected abstract countsOf(counts: Counts): OperationCounts

  /** Whether its text, or a part of it, binds nothing, and so may spell out what others bind. */
  protected abstract spellsOut(): boolean

  /** All that is bound: no message may repeat it. */
  protected abstract readonly values: ReadonlyArray<unknown>

  /** Where its partition is, once it is known. */
  protected abstract readonly route: Nodes.Route | undefined

  /** Prepares what has to be prepared and binds the values; then `attempt`. */
  protected abstract makeReady(): void

  /** One for each attempt; `undefined` leaves the time of a write to the coordinator. */
  protected abstract makeRequest(timestamp: number | bigint | undefined): Request<RowsPage | null>

  /** What the node does not know any more; nothing when it was prepared there again already. */
  protected abstract forgotten(host: Host, error: unknown): ReadonlyArray<KnownStatement>

  /**
   * Sends texts with their values instead of what was prepared, where that is still possible. A node whose cache is full
   * of what is used more often takes nothing new into it: what it has just prepared it does not know.
   */
  protected abstract becomesText(error: unknown): boolean

  /** Binds the values once more, by what the server has declared anew; `false` when it has failed. */
  protected abstract bind(statement: KnownStatement, prepared: Prepared): boolean

  /** Whether running it twice is the same as running it once: it says so, or it is proved. */
  protected abstract isIdempotent(): boolean

  /** What a page state of its result is of. */
  abstract readonly origin: Origin

  /** Whether it is a lightweight transaction. */
  protected abstract hasCondition(): boolean

  /** Whether the time of a write is of no matter, for it writes nothing. */
  protected abstract isRead(): boolean

  /** How long it took of late; kept where its hedging goes by a percentile. */
  abstract readonly latencies: Latencies | undefined

  /** The same once more, behind what was tried before. */
  protected abstract repeat(limits: Limits, resume: Resume<A, E>): Operation<A, E>

  // --- admit

  start(): void {
    const { admission, counts } = this.shared
    if (this.isFirst && counts !== undefined) this.countsOf(counts).started.add()
    if (this.core.closed && !this.goesOn) return this.refuse(Errors.sessionClosed(this.text))
    this.core.enter()
    if (admission.tryEnter(this.deadline)) return this.admitted()
    if (!admission.enqueue(this)) {
      counts?.refusal(admission.isFull ? "queueFull" : "tooLate").add()
      return this.endWith(Errors.admissionRefused(loadOf(admission), this.text))
    }
    this.startTimer("queue")
    this.queuedAt = performance.now()
    this.settings.span?.queued()
  }

  private refuse(error: CqlError): void {
    this.failure = error.reason
    const refused = Exit.fail(error)
    this.resume(this.hedging === undefined ? this.counted(refused) : refused)
  }

  /** Nothing of it was sent, and nothing will be tried again. */
  private endWith(error: CqlError): void {
    this.failure = error.reason
    this.settle(Exit.fail(error))
  }

  /** With the place that `takePlaceForAnother` took. */
  startBeside(): void {
    this.core.enter()
    this.admitted()
  }

  admitted(): void {
    this.stopTimer()
    this.holdsPlace = true
    if (this.queuedAt !== undefined) this.leftQueue(this.queuedAt)
    this.makeReady()
  }

  private leftQueue(since: number): void {
    this.shared.counts?.admissionDelay.record((performance.now() - since) / 1000)
    this.settings.span?.admitted()
  }

  // --- ready

  /** Where it can be, once for all who want it; what is asked of one node is prepared there and nowhere else. */
  protected prepare(statement: KnownStatement, waiter: Waiter): void {
    const { attemptMillis } = this.core.settings
    if (this.settings.node === undefined) return prepare(this.shared, statement, attemptMillis, waiter)
    const host = this.nextHost()
    if (host === undefined) return waiter(undefined, undefined)
    prepareAgain(this.shared, statement, host, attemptMillis, waiter)
  }

  /** Begins to wait for what is prepared for all who want it. */
  protected prepares(): void {
    this.settings.span?.prepares()
    this.startTimer("prepare")
  }

  /** Ends the waiting; `false` when nobody wants what was prepared any more, or there is nothing. */
  protected isPrepared(error: unknown, prepared: Prepared | undefined, text = this.text): prepared is Prepared {
    this.stopTimer()
    if (this.done) this.release()
    else if (prepared === undefined) this.notPrepared(error, undefined, text)
    return !this.done && prepared !== undefined
  }

  /** Whatever happened, the statement itself was not executed. Without an error there was no node to ask. */
  private notPrepared(error: unknown, host?: Host, text = this.text): void {
    if (error === undefined) return this.fail(this.noHostAvailable())
    if (isTimeout(error)) {
      return this.fail(Errors.clientTimeout("prepare", this.core.settings.attemptMillis), error, host?.address, text)
    }
    const reason = this.reasonOf(error, host)
    if (wasNotSent(error)) return this.fail(this.noHostAvailable(reason), error)
    const unwritten = reason._tag === "ConnectionError"
      ? new Errors.ConnectionError({ written: false, message: reason.message })
      : reason
    this.fail(unwritten, error, host?.address, text)
  }

  // --- attempt

  protected attempt(): void {
    const host = this.nextHost()
    if (host !== undefined) return this.send(host)
    const isOver = this.failed !== undefined && this.deadline - performance.now() < shortest
    this.fail(isOver ? this.timedOut("operation") : this.noHostAvailable())
  }

  private nextHost(): Host | undefined {
    const { client } = this.shared
    const tried = this.triedHere()
    if (this.settings.node === undefined) {
      const isFirst = this.previous === undefined && this.hedging === undefined
      return (isFirst ? undefined : this.chooseUntried()) ?? client.choose(this.route, tried, this.localOnly)
    }
    const host = client.node(this.settings.node)
    return host === undefined || !Nodes.isUsable(host) || tried.includes(host) ? undefined : host
  }

  /** What a request could not be sent to, or is waiting for: not tried again, whatever else there is. */
  private triedHere(): ReadonlyArray<Host> {
    return this.withAsked(this.failed?.map(({ host }) => host) ?? noNodes)
  }

  private withAsked(failed: ReadonlyArray<Host>): ReadonlyArray<Host> {
    return this.hedging === undefined ? failed : [...failed, ...this.hedging.nodes()]
  }

  /** One that no attempt has failed on, neither of this operation nor of others, and none is waiting for. */
  private chooseUntried(localOnly = this.localOnly): Host | undefined {
    const tried = this.withAsked(this.failedAttempts().map(({ host }) => host))
    return this.shared.client.choose(this.route, tried, localOnly)
  }

  /** What is serial within a data center alone must not be decided in another one. */
  private get localOnly(): boolean {
    const { consistency, serialConsistency } = this.settings
    return consistency === localSerial || (serialConsistency === localSerial && this.hasCondition())
  }

  private send(host: Host): void {
    const now = performance.now()
    const remaining = this.deadline - now
    if (remaining < shortest) return this.fail(this.timedOut("operation"))
    this.sentAt = now
    this.asked = host
    this.request = this.makeRequest(this.writeTimestamp())
    this.isLast = remaining < this.settings.attemptMillis
    const millis = this.isLast ? remaining : this.settings.attemptMillis
    this.attemptSpan = this.settings.span?.attempt(host, this.isIdempotent())
    this.hedging?.sent(this)
    this.shared.counts?.node(host).attempts.add()
    this.shared.client.send(host, this.request, millis, (error, response, whenOver) => {
      this.whenOver = whenOver
      this.answered(host, error, response)
    })
  }

  /** Taken behind admission, and one for all attempts: a replay must not overtake a write that came after it. */
  private writeTimestamp(): number | bigint | undefined {
    if (this.settings.timestamp !== undefined) return this.settings.timestamp
    if (!this.settings.clientTimestamps) return undefined
    this.timestamp ??= Timestamp.next()
    return this.timestamp
  }

  // --- hedge

  /** A write is, when all its attempts have one time: a late one must not overtake what was written after it. */
  mayBeHedged(): boolean {
    return this.settings.node === undefined && this.isIdempotent() && (this.hasOneTime || this.isRead())
  }

  private get hasOneTime(): boolean {
    return this.settings.clientTimestamps || this.settings.timestamp !== undefined
  }

  /** By its text. What each attempt would write at a time of its own is not proved: it would overtake later writes. */
  protected isProved(statement: KnownStatement, prepared: Prepared | undefined): boolean {
    return statement.isIdempotent(prepared) && (this.hasOneTime || statement.isRead)
  }

  takePlaceForAnother(): boolean {
    const { admission, client } = this.shared
    // In its data center: what takes long there takes longer elsewhere.
    return !client.isClosing && this.chooseUntried(true) !== undefined && admission.tryEnter(this.deadline)
  }

  /** Another node is asked as well. */
  hedged(): void {
    this.countHedge()
    this.settings.span?.hedged()
  }

  /** The same, on another node. */
  twin(resume: Resume<A, E>): Operation<A, E> {
    return this.repeat({
      deadline: this.deadline,
      begun: this.begun,
      goesOn: true,
      previous: { failed: noAttempts, timestamp: this.timestamp, step: this.previous?.step }
    }, resume)
  }

  /** Also of one that was given up: else what is slow would seem to be rare. */
  private sample(error: unknown, response: unknown): void {
    const { latencies } = this
    const { admission } = this.shared
    if (latencies === undefined && admission.adaptive === undefined) return
    const millis = this.answeredAt - this.sentAt
    const isTimed = response !== undefined || isTimeout(error)
    if (isTimed) latencies?.add(millis)
    if (isTimed || isOverload(error)) admission.sample(millis, response === undefined)
  }

  // --- settle

  private answered(host: Host, error: unknown, response: Response<unknown> | undefined): void {
    this.answeredAt = performance.now()
    if (response !== undefined || serverHasSpoken(error)) this.shared.admission.pace.answered(this.sentAt)
    this.sample(error, response)
    this.countAttempt(host, error, response)
    if (this.done) return this.release()
    if (response !== undefined) return this.succeed(host, response as Response<RowsPage | null>)
    // What comes after its time is for nobody, and is not worth reading.
    if (this.request !== undefined) this.request.abandoned = true
    if (isUnprepared(error)) {
      this.attemptEnded(host, error)
      const forgotten = this.forgotten(host, error)
      if (forgotten.length > 0) return this.prepareAgain(forgotten, host)
      if (this.becomesText(error)) return this.send(host)
    }
    if (isAboutRows(error)) {
      this.attemptEnded(host)
      return this.failWith(error, host)
    }
    const reason = this.reasonOf(error, host)
    this.record(host, reason, error)
    if (wasNotSent(error)) return this.attempt()
    this.fail(reason, error, host.address)
  }

  private prepareAgain(statements: ReadonlyArray<KnownStatement>, host: Host): void {
    const ready = new Map<KnownStatement, Prepared>()
    let waitingFor = statements.length
    let failure: { readonly error: unknown } | undefined
    this.prepares()
    for (const statement of statements) {
      prepareAgain(this.shared, statement, host, this.core.settings.attemptMillis, (error, prepared) => {
        if (prepared === undefined) failure ??= { error }
        else ready.set(statement, prepared)
        waitingFor--
        if (waitingFor > 0) return
        this.stopTimer()
        if (this.done) return this.release()
        if (failure !== undefined) return this.notPreparedAgain(host, failure.error)
        if (statements.every((known) => this.bind(known, ready.get(known)!))) this.send(host)
      })
    }
  }

  /** The server's word is final; a node that gave none is passed over, if there is another. */
  private notPreparedAgain(host: Host, error: unknown): void {
    if (serverHasSpoken(error)) return this.notPrepared(error, host)
    this.record(host, this.reasonOf(error, host), error)
    const next = this.nextHost()
    if (next === undefined) return this.notPrepared(error, host)
    this.send(next)
  }

  private record(host: Host, reason: Errors.Reason, error: unknown): void {
    this.attemptEnded(host, error, reason)
    const attempt = { host, reason, durationMillis: Math.round(performance.now() - this.sentAt) }
    this.failed ??= []
    this.failed.push(attempt)
    this.hedging?.failed.push(attempt)
    this.asked = undefined
  }

  /** Tells the span, where there is one. */
  private attemptEnded(host: Host, error?: unknown, reason?: Errors.Reason): void {
    const { span } = this.settings
    if (span === undefined) return
    if (error === undefined) span.attemptSucceeded(this.attemptSpan, host)
    else span.attemptFailed(this.attemptSpan, host, reason ?? this.reasonOf(error, host), error)
    this.attemptSpan = undefined
  }

  private succeed(host: Host, { flags, schemaInAgreement, value }: Response<RowsPage | null>): void {
    this.attemptEnded(host)
    this.settings.span?.received(value?.rows.length, flags.traceId?.toString())
    const warnings = this.warningsOf(flags) ?? noWarnings
    if (flags.warnings !== undefined) this.shared.counts?.warnings.add(flags.warnings.length)
    const finished = this.finish({
      page: value,
      flags,
      warnings,
      coordinator: host.address,
      operation: this,
      schemaInAgreement
    })
    // A change of the schema waits for all nodes to agree: that takes what it takes.
    const isSlow = schemaInAgreement === undefined && this.answeredAt - this.begun >= this.settings.slowMillis
    if (warnings.length === 0 && schemaInAgreement !== false && !isSlow) return this.settle(finished)
    // What the server says may repeat values, which must not be in a log; what is said here does not.
    const masked = warnings.map((warning) =>
      flags.warnings?.includes(warning) === true ? maskValues(warning, this.values) : warning
    )
    const logged = logWarnings(this.shared, this.text, this.spellsOut(), masked, schemaInAgreement)
    this.settle(Effect.andThen(isSlow ? Effect.andThen(logged, this.logSlow(host, value)) : logged, finished))
  }

  private logSlow(host: Host, page: RowsPage | null): Effect.Effect<void> {
    return logSlow(this.shared, this.text, this.spellsOut(), {
      durationMillis: Math.round(this.answeredAt - this.begun),
      coordinator: host.address,
      attempts: this.failedAttempts().length + 1,
      rows: page?.rows.length
    })
  }

  protected warningsOf({ warnings }: FrameFlags): ReadonlyArray<string> | undefined {
    return warnings
  }

  private failWith(error: unknown, host?: Host): void {
    if (isAboutRows(error)) this.shared.counts?.decodeFailures.add()
    if (error instanceof NullInRow) return this.settle(Exit.fail(RowSchema.nullInRow(error)))
    if (Schema.isSchemaError(error)) return this.settle(Exit.fail(error))
    this.fail(this.reasonOf(error, host), error, host?.address)
  }

  private reasonOf(error: unknown, host: Host | undefined): Errors.Reason {
    if (error instanceof NotSent) return new Errors.ConnectionError({ written: false, message: error.message })
    if (this.isLast && isTimeout(error)) return this.timedOut("operation")
    return classify(error, {
      values: this.values,
      statement: this.text,
      timeoutMillis: this.settings.attemptMillis,
      ...(host === undefined ? {} : { node: host.address })
    })
  }

  protected fail(reason: Errors.Reason, cause?: unknown, coordinator?: string, statement = this.text): void {
    this.failure = reason
    const failed = this.failedAttempts()
    const error = Errors.make({ reason, statement, coordinator, attempts: failed.map(describeAttempt), cause })
    this.settle(recover(error, {
      core: this.core,
      policy: this.settings.retry,
      deadline: this.deadline,
      isIdempotent: () => this.isIdempotent(),
      hasUntried: () => this.settings.node === undefined && this.chooseUntried() !== undefined,
      step: this.previous?.step,
      again: (step) => this.again({ failed, timestamp: this.timestamp, step })
    }))
  }

  private failedAttempts(): ReadonlyArray<FailedAttempt> {
    return this.hedging?.failed ?? [...(this.previous?.failed ?? []), ...(this.failed ?? [])]
  }

  private again(previous: Previous): Effect.Effect<A, CqlError | Schema.SchemaError | E> {
    this.countRetry(previous.failed.at(-1)?.host)
    return perform(
      (resume) => this.repeat({ deadline: this.deadline, begun: this.begun, goesOn: true, previous }, resume),
      this.settings,
      previous
    )
  }

  /**
   * Resumes the fiber, then lets the next request have the place. Both run other fibers before they return, which may
   * interrupt this one: it is done before either begins.
   */
  protected settle(effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>): void {
    this.done = true
    this.stopTimer()
    const counted = this.hedging === undefined ? this.counted(effect) : effect
    this.letGo(() => this.resume(counted))
  }

  // --- count

  /** Counts what the whole of it ends with, all attempts together; `failure` is that of the attempt which it ends with. */
  counted(
    effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>,
    failure = this.failure,
    endedAt = this.answeredAt === 0 ? performance.now() : this.answeredAt
  ): Effect.Effect<A, CqlError | Schema.SchemaError | E> {
    const { counts } = this.shared
    if (counts === undefined || !this.isFirst) return effect
    if (failure === undefined) {
      this.countsOf(counts).succeeded.record((endedAt - this.begun) / 1000)
      return effect
    }
    if (Exit.isExit(effect)) {
      this.countExit(effect)
      return effect
    }
    return Effect.onExit(effect, (exit) => Effect.sync(() => this.countExit(exit)))
  }

  /** A schema that does not fit what was answered is no failure of the request. */
  private countExit(exit: Exit.Exit<unknown, unknown>): void {
    const counts = this.shared.counts!
    const { failed, interrupted, succeeded } = this.countsOf(counts)
    const seconds = (performance.now() - this.begun) / 1000
    if (Exit.isSuccess(exit)) return succeeded.record(seconds)
    if (Cause.hasInterruptsOnly(exit.cause)) return interrupted.record(seconds)
    const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (error !== undefined && !Errors.CqlError.is(error)) return succeeded.record(seconds)
    failed.record(seconds)
    // A defect, as of a retry policy that throws, has come of what failed before.
    const reason = error?.reason ?? this.failure
    if (reason === undefined) return
    counts.error(reason._tag).add()
    if (reason._tag === "ClientTimeout") counts.timeout(reason.phase).add()
  }

  /** Also of one that nobody waits for any more: the node has worked on it. */
  private countAttempt(host: Host, error: unknown, response: unknown): void {
    const { counts } = this.shared
    if (counts === undefined) return
    const node = counts.node(host)
    const isGood = response !== undefined || isAboutRows(error)
    if (isGood || serverHasSpoken(error)) node.duration.record((this.answeredAt - this.sentAt) / 1000)
    if (isGood) return
    // A node that has forgotten a statement has not failed: it is told again.
    if (isUnprepared(error)) node.reprepares.add()
    else node.error(this.reasonOf(error, host)._tag).add()
  }

  private countHedge(): void {
    const { counts } = this.shared
    counts?.hedges.add()
    if (this.asked !== undefined) counts?.node(this.asked).hedges.add()
  }

  private countRetry(failedOn: Host | undefined): void {
    const { counts } = this.shared
    const reason = this.failure!._tag
    counts?.retry(reason).add()
    if (failedOn !== undefined) counts?.node(failedOn).retry(reason).add()
  }

  countInterrupted(): void {
    const { counts } = this.shared
    if (!this.isFirst || counts === undefined) return
    this.countsOf(counts).interrupted.record((performance.now() - this.begun) / 1000)
  }

  // --- leave

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
        this.exit()
      }
    }
    const { admission } = this.shared
    if (this.holdsPlace && this.whenOver === undefined) return admission.leave(settled)
    if (this.whenOver === undefined) admission.cancel(this)
    try {
      settled()
    } finally {
      if (this.whenOver !== undefined) admission.leaveLate(this.whenOver)
    }
  }

  /**
   * Nobody waits for this any more, a session that closes neither. Its place is given back when the driver settles: the
   * server still works on it.
   */
  abandon(): void {
    if (this.done) return
    this.done = true
    if (this.hedging === undefined) this.countInterrupted()
    this.settings.span?.attemptAbandoned(this.attemptSpan)
    if (this.request !== undefined) this.request.abandoned = true
    if (!this.holdsPlace) return this.release()
    this.stopTimer()
    this.exit()
  }

  private exit(): void {
    if (this.hasLeft) return
    this.hasLeft = true
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
    const error = Errors.make({ reason: this.timedOut(phase), statement: this.text })
    if (!this.holdsPlace) return this.endWith(error)
    this.done = true
    this.refuse(error)
  }

  private timedOut(phase: Phase): Errors.Reason {
    return Errors.clientTimeout(phase, this.settings.timeoutMillis)
  }

  private noHostAvailable(otherwise?: Errors.Reason): Errors.Reason {
    const { node } = this.settings
    const { client, notConnected } = this.shared
    if (notConnected !== undefined) return whyNotConnected(notConnected)
    if (node !== undefined && client.node(node) === undefined) return unknownNode(node)
    const asked = node === undefined ? client.nodes(this.localOnly) : [client.node(node)!]
    const nodes = Nodes.whyNone(asked, (host) => {
      const attempt = this.failedAttempts().findLast((attempt) => attempt.host === host)
      return (attempt?.reason ?? otherwise)?.message
    })
    return new Errors.NoHostAvailable({ nodes, message: whyNoHost(nodes) })
  }
}

/** Runs an operation; who is interrupted does not wait for it. */
export const perform = <A, E>(
  make: (resume: Resume<A, E>) => Operation<A, E>,
  { hedge }: Settings,
  previous?: Previous
): Effect.Effect<A, CqlError | Schema.SchemaError | E> =>
  Effect.callback((resume) => {
    if (hedge !== undefined) {
      const hedging = new Hedging(hedge, previous?.failed ?? noAttempts, resume)
      hedging.begin(make)
      return Effect.sync(() => hedging.abandon())
    }
    const operation = make(resume)
    operation.start()
    return Effect.sync(() => operation.abandon())
  })

const isUnprepared = (error: unknown): boolean => (error as { readonly code?: unknown }).code === 0x2500

const isTimeout = (error: unknown): boolean => (error as { readonly name?: string }).name === "OperationTimedOutError"

/** Overloaded, write timeout, read timeout. */
const isOverload = (error: unknown): boolean => {
  const { code } = error as { readonly code?: unknown }
  return code === 0x1001 || code === 0x1100 || code === 0x1200
}

const wasNotSent = (error: unknown): boolean =>
  error instanceof NotSent || (error as { readonly requestNotWritten?: boolean }).requestNotWritten === true

const isAboutRows = (error: unknown): boolean => error instanceof NullInRow || Schema.isSchemaError(error)

const unknownNode = (node: string): Errors.Reason =>
  new Errors.NoHostAvailable({ nodes: [], message: `no node of the cluster has the address or host id ${node}` })

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
