/**
 * What the nodes did for one statement: the server's own trace, which it writes when it is asked to.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { CqlError } from "../CqlError.ts"
import * as Consistencies from "./consistency.ts"
import type { Core } from "./core.ts"
import { maskPasswords } from "./mask.ts"
import type { Outcome } from "./operation.ts"
import { perform } from "./operation.ts"
import type { Query } from "./query.ts"
import { QueryOperation } from "./query.ts"
import type { Settings } from "./settings.ts"
import { decodeRows } from "./statements.ts"

/**
 * What the nodes did for one statement. What was bound to it, which the server keeps as well, is left out, as
 * are the keys and rows that it prints into some of its steps.
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

/** Waits for it as long as a server may take to complete it, and fails with `NoSuchElementError` when there is none. */
export const readTrace = Effect.fnUntraced(function*(
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
  const query: Query = { text, values: [id], names: undefined, schema }
  const settings: Settings = {
    ...core.settings,
    consistency: Consistencies.toCode("one"),
    tracing: false,
    span: undefined,
    // All in one page: a trace has as many events as it has, whatever a session allows its statements.
    pageSize: 0
  }
  const rows = perform<ReadonlyArray<S["Type"]>, never>(
    (resume) => new QueryOperation(core, query, settings, {}, rowsOf<S["Type"]>, resume),
    settings
  )
  return Effect.catchTag(rows, "SchemaError", Effect.die)
}

const rowsOf = <A>({ page }: Outcome): Effect.Effect<ReadonlyArray<A>, Schema.SchemaError> =>
  page === null ? Exit.succeed([]) : decodeRows<A>(page)

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
    activity: shownActivity(activity ?? ""),
    source: source ?? "",
    thread: thread ?? "",
    elapsedMicros: source_elapsed
  }))
})

/** What it says before the text of a statement, which it repeats of those that were not prepared. */
export const parsing = "Parsing "

/** The server repeats a text, and with it the password that a role statement spells out. */
const shownActivity = (activity: string): string =>
  activity.startsWith(parsing) ? maskPasswords(activity) : activity.replace(keysAndRows, "")

/** What it prints of conditions (`key=`), of ranges (`for [`) and of replicas that differ: values of the table. */
const keysAndRows = /(?:[ ,]*(?:\d+:)?\bkey=| for (?=[([])| ?\bDecoratedKey\()[\s\S]*$/
