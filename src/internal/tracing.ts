/**
 * Spans of statements, by OpenTelemetry's semantic conventions for database clients and for Cassandra (1.45).
 *
 * Nothing is made where no tracer listens, or where the parent is not sampled. A tracer that throws hurts no statement:
 * its spans are made and told of things within the callbacks that a connection lives on.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Tracer from "effect/Tracer"
import { CqlError, type Reason } from "../CqlError.ts"
import type { Consistency } from "./consistency.ts"
import * as Consistencies from "./consistency.ts"
import type { Core } from "./core.ts"
import type { Host } from "./driver/inside.ts"
import { parsing, readTrace, type Trace } from "./serverTrace.ts"
import type { Settings } from "./settings.ts"
import { maskLiterals, shownText } from "./warnings.ts"

/** What a span is of. */
export interface Described {
  /** As `SELECT shop.users`. */
  readonly name: string
  readonly operation: string
  readonly collection: string | undefined
  readonly text: string
  /** What of it binds nothing, and so may spell out what others bind: its literals are in no span. */
  readonly spelledOut: string | undefined
  /** Statements of a batch; one alone is none, by the conventions. */
  readonly batchSize?: number
}

/** A span's name, and what it has from its beginning. */
export interface Traced {
  readonly name: string
  readonly attributes: Attributes
  /** What no message may repeat the literals of. */
  readonly spelledOut: string | undefined
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Reads but what the fiber has at hand: this is on the path of every statement. */
export const listens = ({ cache }: AnyFiber): boolean =>
  cache.tracer !== undefined && cache.tracerEnabled && cache.span?.sampled !== false

/** Runs with a span of its own, which the attempts are told of through the settings. */
export const withSpan = <A, E>(
  fiber: AnyFiber,
  core: Core,
  { attributes, name, spelledOut }: Traced,
  settings: Settings,
  run: (settings: Settings) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    const make = Effect.makeSpan(name, { kind: "client", attributes })
    return Effect.flatMap(Effect.exit(make), (made) => {
      if (Exit.isFailure(made)) return restore(run(settings))
      const span = new StatementSpan(made.value, fiber, settings, spelledOut)
      const ran = run(made.value.sampled ? { ...settings, span } : settings)
      return Effect.onExit(restore(ran), (exit) => span.end(core, exit))
    })
  })

type Attributes = Readonly<Record<string, unknown>>

export const describe = (core: Core, described: Described, settings: Settings): Traced => ({
  name: described.name,
  spelledOut: described.spelledOut,
  attributes: defined({
    "db.system.name": "cassandra",
    "db.namespace": core.shared.client.keyspace,
    "db.operation.name": described.operation,
    "db.collection.name": described.collection,
    "db.query.summary": described.name,
    "db.query.text": shownText(described.text, described.spelledOut !== undefined),
    "db.operation.batch.size": described.batchSize === 1 ? undefined : described.batchSize,
    "cassandra.consistency.level": snakeCase(Consistencies.fromCode(settings.consistency)!),
    "cassandra.page.size": described.operation === "SELECT" && settings.pageSize > 0 ? settings.pageSize : undefined
  })
})

const defined = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))

/** `local_quorum`, as the conventions call it. */
const snakeCase = (consistency: Consistency): string =>
  consistency.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)

const describedNodes = new WeakMap<Host, Attributes>()

/** Which node: of what it was when it was asked first, for an address that changes comes with another host. */
const nodeOf = (host: Host): Attributes => {
  let attributes = describedNodes.get(host)
  if (attributes === undefined) {
    attributes = describeNode(host)
    describedNodes.set(host, attributes)
  }
  return attributes
}

const describeNode = (host: Host): Attributes => {
  const [, address, port] = /^\[?(.*?)\]?:(\d+)$/.exec(host.address)!
  return defined({
    "cassandra.coordinator.id": host.hostId?.toString(),
    "cassandra.coordinator.dc": host.datacenter ?? undefined,
    "network.peer.address": address,
    "network.peer.port": Number(port),
    "server.address": address,
    "server.port": Number(port)
  })
}

/** By the tag of its reason, and by the code of the protocol where the server has given one. */
const errorOf = (reason: Reason, raw: unknown): Attributes =>
  defined({ "error.type": reason._tag, "db.response.status_code": statusCode(raw) })

const statusCode = (raw: unknown): string | undefined => {
  const { code, name } = (raw ?? {}) as { readonly code?: unknown; readonly name?: unknown }
  return name === "ResponseError" && typeof code === "number" ? `0x${code.toString(16).padStart(4, "0")}` : undefined
}

/** The span of one statement, or of one page of a stream: it is told of what becomes of each attempt. */
export class StatementSpan {
  private readonly span: Tracer.Span
  private readonly tracer: Tracer.Tracer
  private readonly clock: Clock.Clock
  private readonly hasAttemptSpans: boolean
  private readonly spelledOut: string | undefined
  private last: Host | undefined
  private hedges = 0
  private rows: number | undefined
  private traceId: string | undefined

  constructor(span: Tracer.Span, fiber: AnyFiber, settings: Settings, spelledOut: string | undefined) {
    this.span = span
    this.spelledOut = spelledOut
    this.tracer = fiber.cache.tracer!
    this.clock = fiber.getRef(Clock.Clock)
    this.hasAttemptSpans = settings.spans === "attempts"
  }

  /** It is sent to a node. Gives the attempt's own span, where there is to be one. */
  attempt(host: Host, idempotent: boolean): Tracer.Span | undefined {
    this.last = host
    return this.safely(() => {
      this.span.attribute("cassandra.query.idempotent", idempotent)
      const node = nodeOf(host)
      if (this.hasAttemptSpans) return this.makeAttempt(node)
      this.event("cassandra.attempt", node)
      return undefined
    })
  }

  private makeAttempt(node: Attributes): Tracer.Span {
    const { span } = this
    const attempt = this.tracer.span({
      name: `${span.name} attempt`,
      parent: Option.some(span),
      annotations: span.annotations,
      links: [],
      startTime: this.now(),
      kind: "client",
      root: false,
      sampled: span.sampled
    })
    for (const [key, value] of Object.entries({ "db.system.name": "cassandra", ...node })) attempt.attribute(key, value)
    return attempt
  }

  attemptFailed(attempt: Tracer.Span | undefined, host: Host, reason: Reason, raw: unknown): void {
    this.safely(() => {
      const error = errorOf(reason, raw)
      if (attempt === undefined) return this.event("cassandra.attempt.failed", { ...nodeOf(host), ...error })
      for (const [key, value] of Object.entries(error)) attempt.attribute(key, value)
      attempt.end(this.now(), Exit.fail(this.withoutLiterals(reason, reason)))
    })
  }

  attemptSucceeded(attempt: Tracer.Span | undefined, host: Host): void {
    this.last = host
    if (attempt !== undefined) this.safely(() => attempt.end(this.now(), Exit.void))
  }

  /** Nobody waits for it any more. */
  attemptAbandoned(attempt: Tracer.Span | undefined): void {
    if (attempt !== undefined) this.safely(() => attempt.end(this.now(), Exit.interrupt()))
  }

  queued(): void {
    this.safely(() => this.event("cassandra.queued"))
  }

  admitted(): void {
    this.safely(() => this.event("cassandra.admitted"))
  }

  /** It is not known to the server, or not any more: it waits for that. */
  prepares(): void {
    this.safely(() => this.event("cassandra.prepare"))
  }

  hedged(): void {
    this.hedges++
    this.safely(() => this.event("cassandra.speculative_execution"))
  }

  received(rows: number | undefined, traceId: string | undefined): void {
    if (rows !== undefined) this.rows = (this.rows ?? 0) + rows
    this.traceId ??= traceId
  }

  end<A, E>(core: Core, exit: Exit.Exit<A, E>): Effect.Effect<void> {
    const { traceId } = this
    if (!this.span.sampled) return Effect.sync(() => this.finish(exit))
    this.safely(() => this.describe(exit))
    const at = this.now()
    if (traceId === undefined) return Effect.sync(() => this.finish(exit, at))
    // Its end is told when the server has written its trace: nobody waits for that but a session that closes.
    core.enter()
    return Effect.asVoid(Effect.forkDetach(
      Effect.ensuring(
        Effect.ignore(Effect.map(readTrace(core, traceId), (trace) => this.addSteps(trace))),
        Effect.sync(() => {
          this.finish(exit, at)
          core.exit()
        })
      ),
      { startImmediately: true }
    ))
  }

  private addSteps({ events, startedAt }: Trace): void {
    const start = BigInt(startedAt.getTime()) * 1_000_000n
    for (const { activity, elapsedMicros, source, thread } of events) {
      this.safely(() =>
        this.span.event(withoutText(activity), start + BigInt(elapsedMicros ?? 0) * 1000n, {
          "cassandra.trace.source": source,
          "cassandra.trace.thread": thread
        })
      )
    }
  }

  private describe<A, E>(exit: Exit.Exit<A, E>): void {
    const attributes = defined({
      ...(this.last === undefined ? {} : nodeOf(this.last)),
      "cassandra.speculative_execution.count": this.hedges === 0 ? undefined : this.hedges,
      "cassandra.trace.id": this.traceId,
      "db.response.returned_rows": this.rows,
      ...(Exit.isFailure(exit) ? failureOf(exit.cause) : {})
    })
    for (const [key, value] of Object.entries(attributes)) this.span.attribute(key, value)
  }

  /** Without the rows, which a tracer may keep; and to find no row is no failure of the database. */
  private finish<A, E>(exit: Exit.Exit<A, E>, at = this.now()): void {
    this.safely(() => this.span.end(at, this.shown(exit)))
  }

  private shown<A, E>(exit: Exit.Exit<A, E>): Exit.Exit<unknown, unknown> {
    if (Exit.isSuccess(exit) || foundNothing(exit.cause)) return Exit.void
    const error = Cause.findError(exit.cause)
    return Result.isSuccess(error) && CqlError.is(error.success)
      ? Exit.fail(this.withoutLiterals(error.success, error.success.reason))
      : exit
  }

  /** An error shows its statement, and what the server quotes of it. */
  private withoutLiterals(error: CqlError | Reason, reason: Reason): unknown {
    if (this.spelledOut === undefined) return error
    const message = quoting.has(reason._tag) ? maskLiterals(reason.message, this.spelledOut) : reason.message
    const { name } = error
    return Object.assign(new Error(message), { name, stack: `${name}: ${message}` })
  }

  private event(name: string, attributes?: Attributes): void {
    this.span.event(name, this.now(), attributes)
  }

  private now(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }

  private safely<A>(tell: () => A): A | undefined {
    try {
      return tell()
    } catch {
      return undefined
    }
  }
}

/** Those whose messages are a server's, and may have what the statement has. */
const quoting: ReadonlySet<Reason["_tag"]> = new Set(
  ["CqlSyntaxError", "InvalidQuery", "FunctionFailure", "ServerError"] as const
)

/** A step of the server's own trace: it repeats the text of what was not prepared. */
const withoutText = (activity: string): string => activity.startsWith(parsing) ? parsing.trim() : activity

const foundNothing = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.findError(cause)
  return Result.isSuccess(error) && Cause.isNoSuchElementError(error.success)
}

const failureOf = (cause: Cause.Cause<unknown>): Attributes => {
  if (Cause.hasInterruptsOnly(cause) || foundNothing(cause)) return {}
  const error = Cause.findError(cause)
  if (Result.isFailure(error)) return { "error.type": "_OTHER" }
  if (CqlError.is(error.success)) return errorOf(error.success.reason, error.success.driverError)
  const { _tag } = error.success as { readonly _tag?: unknown }
  return { "error.type": typeof _tag === "string" ? _tag : "_OTHER" }
}
