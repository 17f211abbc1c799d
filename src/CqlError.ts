/**
 * Everything that can go wrong between a program and Cassandra, as one tagged error.
 *
 * A `CqlError` tells which statement failed, on which node, after which attempts; its `reason` tells why. There is one
 * reason for every way in which the protocol, a node or the client fails, each with the fields that the server sent, so
 * that `Effect.catchReason("CqlError", "ReadTimeout", (reason) => ...)` recovers from one of them and leaves the others
 * in the error channel.
 *
 * **Details**
 *
 * `message` is one line, made for logs, spans and health reports. The whole picture (the statement with a mark where
 * the server points, the attempts, a hint) is what `toString()`, `console.log`, `Cause.pretty`, Effect's loggers, an
 * uncaught rejection and `NodeRuntime.runMain` print: it is the error's `stack`, rendered when somebody reads it. There
 * are no JavaScript frames in it: an error is made where an answer arrives, deep in a socket's callbacks, and its frames
 * would name the driver. Where in the program it came from is told by `Effect.fn` and by spans.
 *
 * **Gotchas**
 *
 * There is no `cause`. What the driver raised may repeat values and belongs to no log; it is kept in `driverError`, which
 * nothing prints, serializes or encodes.
 *
 * Whether a statement may be tried again is not a property of its error: a write timeout of an idempotent statement may,
 * the same timeout of a counter update may not.
 *
 * @module CqlError
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Consistencies from "./internal/consistency.ts"
import { maskPasswords } from "./internal/mask.ts"
import { render } from "./internal/render.ts"

const TypeId = "~effect-cassandra/CqlError" as const

const ConsistencySchema = Schema.Literals(Consistencies.levels)

const OptionalString = Schema.optional(Schema.String)

const OptionalNumber = Schema.optional(Schema.Number)

const stackTraces = Error as unknown as { stackTraceLimit: number | undefined }

/** Not where the intrinsics are frozen; there, errors have frames. */
const canLimitFrames = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")?.writable === true

const limitFrames = (limit: number | undefined): void => {
  if (canLimitFrames) stackTraces.stackTraceLimit = limit
}

/**
 * No error of this library has frames: they would name the driver's sockets, and to walk the stack costs more than all
 * the rest of an error. Refusals come by the thousand, just when there is no time for it.
 */
const withoutFrames = <Base extends new(...args: Array<any>) => Error>(base: Base): Base =>
  class extends base {
    constructor(...args: Array<any>) {
      const limit = stackTraces.stackTraceLimit
      limitFrames(0)
      try {
        super(...args)
      } finally {
        limitFrames(limit)
      }
    }
  }

type ReasonFields<Fields extends Schema.Struct.Fields> = Fields & { readonly message: typeof Schema.String }

const ofReason = <Self>() =>
<const Tag extends string, const Fields extends Schema.Struct.Fields>(
  tag: Tag,
  fields: Fields
): Schema.Class<Self, Schema.TaggedStruct<Tag, ReasonFields<Fields>>, Cause.YieldableError> => {
  const identifier = `effect-cassandra/CqlError/${tag}`
  const base = Schema.TaggedError<Self>(identifier)(tag, { message: Schema.String, ...fields })
  const framed = base as unknown as new(...args: Array<any>) => Error
  Object.defineProperty(framed.prototype, "name", { value: tag })
  return withoutFrames(framed) as unknown as Schema.Class<
    Self,
    Schema.TaggedStruct<Tag, ReasonFields<Fields>>,
    Cause.YieldableError
  >
}

/**
 * The connection failed: it could not be opened, was lost, or was busy.
 *
 * **Details**
 *
 * `written` tells whether the request had already been handed to the network. When it had not, the node has not seen the
 * statement, and another node may be asked whatever the statement does. When it had, the node may have executed it.
 *
 * Of a certificate that was refused, connecting tells: by {@link InvalidConfig} where only an option mends it, and by
 * {@link NoHostAvailable} where another certificate does, as for one that has expired.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionError extends ofReason<ConnectionError>()("ConnectionError", { written: Schema.Boolean }) {}

/**
 * No node of the cluster could be asked, or each one that was asked failed.
 *
 * **Details**
 *
 * `nodes` tells for each node why. It is empty when no node is known.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoHostAvailable extends ofReason<NoHostAvailable>()("NoHostAvailable", {
  nodes: Schema.Array(Schema.Struct({ node: Schema.String, error: Schema.String }))
}) {}

/**
 * The node asks for credentials that were not given, or refuses those that were.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationError extends ofReason<AuthenticationError>()("AuthenticationError", {}) {}

/**
 * The role of this session may not do what the statement asks. A `GRANT` is missing.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends ofReason<Unauthorized>()("Unauthorized", {}) {}

/**
 * The text is not CQL.
 *
 * **Details**
 *
 * `line` counts from 1 and `column` from 0, as the server does. They are absent when its message tells no position.
 *
 * @category errors
 * @since 0.1.0
 */
export class CqlSyntaxError
  extends ofReason<CqlSyntaxError>()("CqlSyntaxError", { line: OptionalNumber, column: OptionalNumber })
{}

/**
 * The text is CQL, but not for this schema or this server: an unknown table or column, a restriction that needs
 * `ALLOW FILTERING`, a value of the wrong form, a replication strategy that does not exist.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidQuery extends ofReason<InvalidQuery>()("InvalidQuery", {}) {}

/**
 * An option of a cluster or a session is wrong, and no request could be made with it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidConfig
  extends ofReason<InvalidConfig>()("InvalidConfig", { field: Schema.String, expected: Schema.String })
{}

/**
 * A value does not fit the marker that it is bound to. Refused before anything was sent.
 *
 * **Details**
 *
 * `index` counts from 0; `parameter` is the marker's name, mostly its column's; `expected` is the CQL type. `found` tells what
 * kind of value was given and never the value.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidParameter extends ofReason<InvalidParameter>()("InvalidParameter", {
  index: Schema.Number,
  parameter: Schema.String,
  expected: Schema.String,
  found: Schema.String,
  hint: OptionalString
}) {}

/**
 * The keyspace or table that was to be created exists. `table` is absent when it is the keyspace.
 *
 * @category errors
 * @since 0.1.0
 */
export class AlreadyExists
  extends ofReason<AlreadyExists>()("AlreadyExists", { keyspace: Schema.String, table: OptionalString })
{}

/**
 * Fewer replicas are alive than the consistency asks for, as the coordinator knew before it asked them.
 *
 * **Details**
 *
 * Of a statement for one partition nothing was read or written. Of a batch or an `IN` other partitions may have been
 * written to, and a lightweight transaction may have been decided when its commit finds too few.
 *
 * Another coordinator may know better, and so may the same one a little later. When it stays, a node is down, or the
 * replication factor is too small for the consistency.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends ofReason<Unavailable>()("Unavailable", {
  consistency: ConsistencySchema,
  required: Schema.Number,
  alive: Schema.Number
}) {}

/**
 * The replicas did not answer a read in the server's own time limit.
 *
 * **Details**
 *
 * `received` of the `blockFor` replicas that the consistency asks for answered; `dataPresent` tells whether the one asked
 * for the data (and not merely for a digest) was among them. A read changes nothing: it may be tried again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadTimeout extends ofReason<ReadTimeout>()("ReadTimeout", {
  consistency: ConsistencySchema,
  received: Schema.Number,
  blockFor: Schema.Number,
  dataPresent: Schema.Boolean
}) {}

/**
 * The replicas did not confirm a write in the server's own time limit. The write may have happened, and may still.
 *
 * **Details**
 *
 * `writeType` is the server's word for what was written: `SIMPLE`, `BATCH` (the batch log holds it: it will happen),
 * `UNLOGGED_BATCH`, `COUNTER`, `BATCH_LOG` (nobody knows whether the log holds it: it may happen), `VIEW` or `CDC`. Only an
 * idempotent statement may be tried again whatever the type.
 *
 * **Gotchas**
 *
 * A time-out of the type `CAS`, a lightweight transaction, is the reason {@link CasWriteUnknown}.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteTimeout extends ofReason<WriteTimeout>()("WriteTimeout", {
  consistency: ConsistencySchema,
  received: Schema.Number,
  blockFor: Schema.Number,
  writeType: Schema.String
}) {}

/**
 * Nobody knows whether a lightweight transaction was applied.
 *
 * **Details**
 *
 * The server says so in two ways, and both come here: the error code for it (0x1700, protocol v5), and a write time-out
 * of the type `CAS` (0x1100). Read with the consistency `serial` or `localSerial`: that completes or discards what was
 * begun, and tells which.
 *
 * @category errors
 * @since 0.1.0
 */
export class CasWriteUnknown extends ofReason<CasWriteUnknown>()("CasWriteUnknown", {
  consistency: ConsistencySchema,
  received: Schema.Number,
  blockFor: Schema.Number
}) {}

/**
 * Replicas failed while they read, and not by being slow: most often too many tombstones, or a corrupt file.
 *
 * **Details**
 *
 * The cause is in the logs of the replicas. Trying again mostly fails again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadFailure extends ofReason<ReadFailure>()("ReadFailure", {
  consistency: ConsistencySchema,
  received: Schema.Number,
  blockFor: Schema.Number,
  failures: Schema.Number,
  dataPresent: Schema.Boolean
}) {}

/**
 * Replicas failed while they wrote, and not by being slow: most often a mutation larger than the commit log takes.
 *
 * **Details**
 *
 * Other replicas may have written. The cause is in the logs of those that failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteFailure extends ofReason<WriteFailure>()("WriteFailure", {
  consistency: ConsistencySchema,
  received: Schema.Number,
  blockFor: Schema.Number,
  failures: Schema.Number,
  writeType: Schema.String
}) {}

/**
 * A user-defined function of the statement failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class FunctionFailure extends ofReason<FunctionFailure>()("FunctionFailure", {
  keyspace: Schema.String,
  functionName: Schema.String,
  argumentTypes: Schema.Array(Schema.String)
}) {}

/**
 * The node has more to do than it can, and sheds this request. Wait before the next.
 *
 * @category errors
 * @since 0.1.0
 */
export class Overloaded extends ofReason<Overloaded>()("Overloaded", {}) {}

/**
 * The node is starting and serves nothing yet. Another one can be asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class Bootstrapping extends ofReason<Bootstrapping>()("Bootstrapping", {}) {}

/**
 * A `TRUNCATE` failed. It needs every node of the cluster to be up.
 *
 * @category errors
 * @since 0.1.0
 */
export class Truncate extends ofReason<Truncate>()("Truncate", {}) {}

/**
 * The node failed in a way for which the protocol has no word, or one that this library has no reason for.
 *
 * **Details**
 *
 * `code` is the error code of the protocol: 0 for an exception inside the server, 0x1600 for a change data capture log
 * that is full.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerError extends ofReason<ServerError>()("ServerError", { code: Schema.Number }) {}

/**
 * Client and server do not understand each other: a protocol version that the server lacks, or a frame that is malformed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProtocolError extends ofReason<ProtocolError>()("ProtocolError", {}) {}

/**
 * The node asks for something to be prepared that was not sent to it. Nothing was executed.
 *
 * **Details**
 *
 * A node forgets what was prepared when it restarts, when its cache is full and when the schema changes; the session
 * prepares again by itself, and what a node with a full cache forgets at once is sent to it as a text, with its values.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unprepared extends ofReason<Unprepared>()("Unprepared", {}) {}

/**
 * A time limit of the client ran out, before the server answered.
 *
 * **Details**
 *
 * `phase` tells which limit, and so what is known of the statement:
 *
 * - `connect`: a connection was being opened; nothing was sent.
 * - `queue`: the request was waiting for its turn; nothing was sent.
 * - `prepare`: the statement was being prepared; it was not executed.
 * - `attempt`: one node did not answer in `attemptTimeout`; it may have executed the statement.
 * - `operation`: the whole of it, with every attempt and the waits in between, took longer than `timeout`.
 * - `stream`: all pages together took longer than `streamTimeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientTimeout extends ofReason<ClientTimeout>()("ClientTimeout", {
  timeoutMillis: Schema.Number,
  phase: Schema.Literals(["connect", "queue", "attempt", "operation", "prepare", "stream"])
}) {}

/**
 * More requests are in flight and waiting than this client takes on, or than would be answered in the `timeout` of this
 * one, at the pace at which the cluster answers now. Nothing was sent.
 *
 * **Details**
 *
 * The load is above what the cluster answers. Ask for less at once (`Effect.forEach` with a `concurrency`), or refuse
 * work further up; a longer queue only makes every request wait longer.
 *
 * @category errors
 * @since 0.1.0
 */
export class AdmissionRefused extends ofReason<AdmissionRefused>()("AdmissionRefused", {
  inFlight: Schema.Number,
  queued: Schema.Number,
  limit: Schema.Number
}) {}

/**
 * The circuit breaker is open: so much has failed of late that nothing is sent for a while.
 *
 * **Details**
 *
 * After `retryAfterMillis` one statement is let through to try; it is 0 while that one is under way.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends ofReason<CircuitOpen>()("CircuitOpen", { retryAfterMillis: Schema.Number }) {}

/**
 * A page state that a stream was to begin from is not one, or not one of this statement. Nothing was sent, or no row of
 * what came back was given out.
 *
 * **Details**
 *
 * A page state belongs to the text, the bound values and the keyspace that it was taken with, and to the columns that
 * the table had: the server itself would answer no rows, or wrong ones.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPageState extends ofReason<InvalidPageState>()("InvalidPageState", {}) {}

/**
 * The result has more rows than `maxRows`, and all of them were asked for at once.
 *
 * **Details**
 *
 * Rows beyond the `limit` are not kept. Read them as a stream, restrict the statement, or raise `maxRows` when so many
 * are meant.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRows extends ofReason<TooManyRows>()("TooManyRows", { limit: Schema.Number }) {}

/**
 * A statement and the server do not agree, as `Statement.check` found. Nothing was executed.
 *
 * **Details**
 *
 * `problems` has a line for each parameter and column that does not fit; `table` has all of them, ours beside the
 * server's. No value is in either.
 *
 * @category errors
 * @since 0.1.0
 */
export class StatementMismatch extends ofReason<StatementMismatch>()("StatementMismatch", {
  problems: Schema.Array(Schema.String),
  table: Schema.String
}) {}

/**
 * The session is closed, or closing. It takes nothing on; a stream ends with this after its current page.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionClosed extends ofReason<SessionClosed>()("SessionClosed", {}) {}

/**
 * The `cassandra-driver` that is installed, or the server, is not one that this library can work with.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedDriver extends ofReason<UnsupportedDriver>()("UnsupportedDriver", {}) {}

/**
 * Something that this library has no word for. It deserves a bug report.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownError extends ofReason<UnknownError>()("UnknownError", {}) {}

/**
 * A schema for every reason that a `CqlError` can have.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  ConnectionError,
  NoHostAvailable,
  AuthenticationError,
  Unauthorized,
  CqlSyntaxError,
  InvalidQuery,
  InvalidConfig,
  InvalidParameter,
  AlreadyExists,
  Unavailable,
  ReadTimeout,
  WriteTimeout,
  CasWriteUnknown,
  ReadFailure,
  WriteFailure,
  FunctionFailure,
  Overloaded,
  Bootstrapping,
  Truncate,
  ServerError,
  ProtocolError,
  Unprepared,
  ClientTimeout,
  AdmissionRefused,
  CircuitOpen,
  InvalidPageState,
  TooManyRows,
  StatementMismatch,
  SessionClosed,
  UnsupportedDriver,
  UnknownError
])

/**
 * Why a statement failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * A schema for one attempt.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Attempt = Schema.Struct({
  node: Schema.String,
  outcome: Schema.String,
  durationMillis: Schema.Number
})

/**
 * One node that was asked: its address, what came back (the tag of a reason, or `ok`), and after how long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly node: string
  readonly outcome: string
  readonly durationMillis: number
}

const fields = {
  reason: Reason,
  statement: OptionalString,
  coordinator: OptionalString,
  attempts: Schema.Array(Attempt).pipe(Schema.withConstructorDefault(Effect.succeed<ReadonlyArray<Attempt>>([])))
}

type Props = Schema.TaggedStruct<"CqlError", typeof fields>["~type.make.in"]

// Not a field and not a private property: out of reach for whatever walks over an error to print it.
const driverErrors = new WeakMap<CqlError, unknown>()

// Rendered when it is read, for most errors are handled and never printed. `set` as the property that it replaces had.
const renderedStack: PropertyDescriptor & ThisType<CqlError> = {
  configurable: true,
  enumerable: false,
  get() {
    return render(this)
  },
  set(value) {
    Object.defineProperty(this, "stack", { configurable: true, enumerable: false, writable: true, value })
  }
}

/**
 * The error of this library: a statement, or the connection to a cluster, failed for a `reason`.
 *
 * **Details**
 *
 * `statement` is the text that was sent, in which bound values are markers; a password that a role statement spells out
 * is masked. `coordinator` is the node whose answer this is. `attempts` are all the nodes that were asked, in order.
 *
 * **Example** (Recovering from one reason)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { cql } from "effect-cassandra"
 *
 * const visits = cql`SELECT visits FROM users`.pipe(
 *   Effect.catchReason("CqlError", "ReadTimeout", (reason) =>
 *     Effect.as(Effect.logWarning(`${reason.received} of ${reason.blockFor} replicas answered`), []))
 * )
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class CqlError
  extends withoutFrames(Schema.TaggedError<CqlError>("effect-cassandra/CqlError")("CqlError", fields))
{
  /**
   * Returns `true` when a value is a `CqlError`, also of another copy of this library.
   *
   * @since 0.1.0
   */
  static readonly is = (u: unknown): u is CqlError => Predicate.hasProperty(u, TypeId)

  constructor(props: Props, options?: Schema.MakeOptions) {
    super(props, options)
    Object.defineProperty(this, "stack", renderedStack)
  }

  /**
   * Marks this value as a `CqlError` for guards, also across two copies of this library.
   *
   * @since 0.1.0
   */
  get [TypeId](): typeof TypeId {
    return TypeId
  }

  override get name(): string {
    return "CqlError"
  }

  /**
   * What went wrong, in one line.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return this.reason.message
  }

  /**
   * What `cassandra-driver` raised, when it did.
   *
   * **Gotchas**
   *
   * It may repeat values of the statement. It is for a debugger; nothing prints it by itself.
   *
   * @since 0.1.0
   */
  get driverError(): unknown {
    return driverErrors.get(this)
  }

  /**
   * The problem, the statement with a mark where the server points, the attempts, and a hint.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return render(this)
  }

  /** @internal */
  override [NodeInspectSymbol](): unknown {
    return render(this)
  }
}

// internal

/**
 * The way in which the library makes its errors.
 *
 * @internal
 */
export const make = (options: {
  readonly reason: Reason
  readonly statement?: string | undefined
  readonly coordinator?: string | undefined
  readonly attempts?: ReadonlyArray<Attempt> | undefined
  readonly cause?: unknown
}): CqlError => {
  const { cause, coordinator, reason, statement } = options
  const error = new CqlError({
    reason,
    ...(statement === undefined ? undefined : { statement: maskPasswords(statement) }),
    ...(coordinator === undefined ? undefined : { coordinator }),
    attempts: options.attempts ?? []
  })
  if (cause !== undefined) driverErrors.set(error, cause)
  return error
}

const closed = new SessionClosed({ message: "the session is closed" })

/** @internal */
export const sessionClosed = (statement?: string): CqlError => make({ reason: closed, statement })

/** @internal */
export const admissionRefused = (
  load: { readonly inFlight: number; readonly queued: number; readonly limit: number },
  statement?: string
): CqlError => {
  const message = `${load.inFlight} requests are in flight and ${load.queued} wait for their turn: no more are taken on`
  return make({ reason: new AdmissionRefused({ message, ...load }), statement })
}

/** @internal */
export const circuitOpen = (retryAfterMillis: number, statement: string): CqlError => {
  const rest = retryAfterMillis === 0
    ? "one statement is trying whether the cluster has recovered"
    : `the next try is in ${Math.ceil(retryAfterMillis)} ms`
  const message = `too many statements have failed, and none is sent: ${rest}`
  return make({ reason: new CircuitOpen({ retryAfterMillis, message }), statement })
}

const phases: Record<ClientTimeout["phase"], string> = {
  connect: "no connection was opened",
  queue: "it was not the request's turn",
  prepare: "the statement was not prepared",
  attempt: "the node did not answer",
  operation: "the statement did not finish",
  stream: "the stream did not come to its end"
}

/** @internal */
export const clientTimeout = (phase: ClientTimeout["phase"], timeoutMillis: number): ClientTimeout =>
  new ClientTimeout({ phase, timeoutMillis, message: `${phases[phase]} in ${Math.round(timeoutMillis)} ms` })
