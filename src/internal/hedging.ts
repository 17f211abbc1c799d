/**
 * Hedged requests: while a node has not answered, another one is asked the same, and the first good answer counts.
 *
 * Ours and not the driver's, which lets the first error of one cancel the other, healthy one (drivers.md, 22).
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { CqlError, Reason } from "../CqlError.ts"
import type { FailedAttempt, Operation, Resume } from "./operation.ts"

/**
 * When another node is asked as well: after a `delay`, or after the time in which the given `percentile` of the
 * statement's last executions were answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedge {
  /** Without an answer for so long. */
  readonly delay?: Duration.Input | undefined
  /**
   * Above 0 and below 100, such as 99. It is of this text on this client; the first hundred executions are not hedged.
   */
  readonly percentile?: number | undefined
  /** How many nodes are asked beside the first one, each after the same time. By default 1. */
  readonly times?: number | undefined
}

/** One statement's attempts that are under way together. */
export class Hedging<A, E> {
  /** Of all of them, in the order in which they failed. */
  readonly failed: Array<FailedAttempt>
  private readonly hedge: Hedge
  private readonly resume: Resume<A, E>
  private readonly running = new Set<Operation<A, E>>()
  /** On whose behalf the others are. */
  private first: Operation<A, E> | undefined
  private timer: NodeJS.Timeout | undefined
  private left: number
  private isOver = false

  constructor(hedge: Hedge, failed: ReadonlyArray<FailedAttempt>, resume: Resume<A, E>) {
    this.hedge = hedge
    this.failed = [...failed]
    this.resume = resume
    this.left = hedge.times ?? 1
  }

  begin(make: (resume: Resume<A, E>) => Operation<A, E>): void {
    this.first = this.join(make)
    this.first.start()
  }

  abandon(): void {
    this.first?.countInterrupted()
    this.end()
    for (const operation of this.running) operation.abandon()
  }

  /** The nodes that are being asked. */
  nodes(): ReadonlyArray<FailedAttempt["host"]> {
    return [...this.running].flatMap((operation) => operation.asked ?? [])
  }

  /** A node is being asked: it has so much time before another one is. */
  sent(operation: Operation<A, E>): void {
    this.stopTimer()
    if (this.left === 0 || this.isOver || !operation.mayBeHedged()) return
    const delay = this.delayFor(operation)
    if (delay !== undefined) this.timer = setTimeout(() => this.askAnother(operation), delay)
  }

  private delayFor(operation: Operation<A, E>): number | undefined {
    const { delay, percentile } = this.hedge
    return percentile === undefined ? Duration.toMillis(delay!) : operation.latencies?.percentile(percentile)
  }

  /** No node left, or no place free: then nobody is asked, for what is late already must not load the others more. */
  private askAnother(operation: Operation<A, E>): void {
    this.timer = undefined
    if (!operation.takePlaceForAnother()) return
    this.left--
    operation.hedged()
    this.join((resume) => operation.twin(resume)).startBeside()
  }

  private join(make: (resume: Resume<A, E>) => Operation<A, E>): Operation<A, E> {
    const operation: Operation<A, E> = make((effect) => this.ended(operation, effect))
    operation.hedging = this
    this.running.add(operation)
    return operation
  }

  private ended(operation: Operation<A, E>, effect: Effect.Effect<A, CqlError | Schema.SchemaError | E>): void {
    this.running.delete(operation)
    if (this.isOver) return
    // What another one may still answer is not failed yet.
    if (this.running.size > 0 && operation.failure !== undefined && !isFinal(operation.failure)) return
    this.end()
    for (const other of this.running) other.abandon()
    this.resume(this.first!.counted(effect, operation.failure, performance.now()))
  }

  private end(): void {
    this.isOver = true
    this.stopTimer()
  }

  private stopTimer(): void {
    if (this.timer === undefined) return
    clearTimeout(this.timer)
    this.timer = undefined
  }
}

/** Another node would answer the same, or there is no time left for an answer. */
const isFinal = (reason: Reason): boolean =>
  reason._tag === "ClientTimeout" ? reason.phase === "operation" : finalTags.has(reason._tag)

const finalTags: ReadonlySet<Reason["_tag"]> = new Set(
  [
    "Unauthorized",
    "CqlSyntaxError",
    "InvalidQuery",
    "InvalidParameter",
    "InvalidPageState",
    "AlreadyExists",
    "TooManyRows",
    "StatementMismatch",
    "SessionClosed"
  ] as const
)
