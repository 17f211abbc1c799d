/**
 * What is known of an execution besides its rows.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CqlError } from "../CqlError.ts"
import type { Consistency } from "./consistency.ts"
import * as Consistencies from "./consistency.ts"
import type { Core } from "./core.ts"
import { maskPasswords } from "./mask.ts"
import type { Outcome } from "./operation.ts"
import * as Run from "./run.ts"
import type { Settings } from "./settings.ts"

/**
 * How a statement was executed. Of a result of several pages, its first page tells; warnings are those of all pages.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExecutionInfo {
  /** The address of the node that answered, with its port. */
  readonly coordinator: string
  /** The consistency that was asked for, which is what was achieved: a server never answers with less. */
  readonly consistency: Consistency
  /** What the server had to say besides. They are logged as well, each of a text once a minute. */
  readonly warnings: ReadonlyArray<string>
  /** What a query handler of the server's sent along, by its keys; empty without one. */
  readonly customPayload: ReadonlyMap<string, Uint8Array | null>
  /** After a change of the schema: whether all nodes told in time that they know it. Absent for other statements. */
  readonly schemaInAgreement: boolean | undefined
  /** The id of the server's trace; absent without the option `tracing`. */
  readonly traceId: string | undefined
  /**
   * Reads the trace, which the server writes after its answer: waits for it five seconds at most. The role needs to be
   * allowed to `SELECT` from `system_traces`. Fails with `NoSuchElementError` when there is none.
   */
  readonly trace: Effect.Effect<Trace, CqlError | Cause.NoSuchElementError>
}

/**
 * What the nodes did for one statement. What was bound to it, which the server keeps as well, is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trace {
  readonly id: string
  /** What kind of request it was, in the server's words. */
  readonly request: string
  /** The address of the node that coordinated it. */
  readonly coordinator: string
  readonly startedAt: Date
  /** Microseconds. */
  readonly durationMicros: number
  /** In the order in which they happened. */
  readonly events: ReadonlyArray<TraceEvent>
}

/**
 * One step of a trace.
 *
 * @category models
 * @since 0.1.0
 */
export interface TraceEvent {
  readonly activity: string
  /** The address of the node. */
  readonly source: string
  readonly thread: string
  /** Microseconds since the node began; `null` where it does not tell. */
  readonly elapsedMicros: number | null
}

/** Of several pages, the first tells where and how it was executed; warnings are taken from all. */
export const make = (
  core: Core,
  settings: Settings,
  outcomes: Arr.NonEmptyReadonlyArray<Outcome>
): ExecutionInfo => {
  const [{ coordinator, flags, schemaInAgreement }] = outcomes
  const traceId = flags.traceId?.toString()
  return {
    coordinator,
    consistency: Consistencies.fromCode(settings.consistency)!,
    warnings: outcomes.flatMap(({ warnings }) => warnings),
    customPayload: new Map(Object.entries(flags.customPayload ?? {})),
    schemaInAgreement,
    traceId,
    trace: traceId === undefined ? notTraced : readTrace(core, traceId)
  }
}

const notTraced = Effect.fail(
  new Cause.NoSuchElementError("the statement was not traced: ask for it with the option tracing")
)

// --- traces

// A table of the server's own, which it fills after its answer. The parameters of a session repeat what was bound, and
// are left where they are.
const selectSession =
  "SELECT request, coordinator, started_at, duration FROM system_traces.sessions WHERE session_id = ?"
const selectEvents = "SELECT activity, source, thread, source_elapsed FROM system_traces.events WHERE session_id = ?"

const SessionRow = Schema.Struct({
  request: Schema.NullOr(Schema.String),
  coordinator: Schema.NullOr(Schema.String),
  started_at: Schema.NullOr(Schema.Date),
  duration: Schema.NullOr(Schema.Number)
})

const EventRow = Schema.Struct({
  activity: Schema.NullOr(Schema.String),
  source: Schema.NullOr(Schema.String),
  thread: Schema.NullOr(Schema.String),
  source_elapsed: Schema.NullOr(Schema.Number)
})

const pauseMillis = 100
const tries = 50

const readTrace = Effect.fnUntraced(function*(
  core: Core,
  id: string
): Effect.fn.Return<Trace, CqlError | Cause.NoSuchElementError> {
  for (let tried = 0; tried < tries; tried++) {
    const [session] = yield* ask(core, SessionRow, selectSession, id)
    if (session !== undefined && session.duration !== null) {
      const events = yield* ask(core, EventRow, selectEvents, id)
      return toTrace(id, { ...session, duration: session.duration }, events)
    }
    yield* pause
  }
  return yield* new Cause.NoSuchElementError(
    `the server has not completed the trace ${id} in ${tries * pauseMillis / 1000} seconds`
  )
})

const ask = <S extends Schema.Constraint>(
  core: Core,
  schema: S,
  text: string,
  id: string
): Effect.Effect<ReadonlyArray<S["Type"]>, CqlError> => {
  const settings: Settings = {
    ...core.settings,
    consistency: Consistencies.toCode("one"),
    tracing: false,
    // A trace has as many events as it has, whatever a session allows its statements.
    maxRows: Infinity
  }
  return Run.allRows<S["Type"]>(core, { text, values: [id], names: undefined, schema }, settings).pipe(
    Effect.catchTag("SchemaError", Effect.die)
  )
}

/** In real time and not by the Clock: what it waits for is a server. */
const pause: Effect.Effect<void> = Effect.callback((resume) => {
  const timer = setTimeout(() => resume(Effect.void), pauseMillis)
  return Effect.sync(() => clearTimeout(timer))
})

const toTrace = (
  id: string,
  session: typeof SessionRow.Type & { readonly duration: number },
  events: ReadonlyArray<typeof EventRow.Type>
): Trace => ({
  id,
  request: session.request ?? "",
  coordinator: session.coordinator ?? "",
  startedAt: session.started_at ?? new Date(0),
  durationMicros: session.duration,
  events: events.map(({ activity, source, source_elapsed, thread }) => ({
    // The server repeats the text of a statement, and with it the password that a role statement spells out.
    activity: maskPasswords(activity ?? ""),
    source: source ?? "",
    thread: thread ?? "",
    elapsedMicros: source_elapsed
  }))
})
