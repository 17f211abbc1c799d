/**
 * What is known of an execution besides its rows.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { CqlError } from "../CqlError.ts"
import type { Consistency } from "./consistency.ts"
import * as Consistencies from "./consistency.ts"
import type { Core } from "./core.ts"
import type { Outcome } from "./operation.ts"
import type { Trace } from "./serverTrace.ts"
import { readTrace } from "./serverTrace.ts"
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
