/**
 * The options of a statement, resolved: the statement's own over the session's, in plain units.
 */
import * as Duration from "effect/Duration"
import type { Consistency } from "./consistency.ts"
import * as Consistencies from "./consistency.ts"

export interface StatementOptions {
  readonly consistency?: Consistency | undefined
  readonly serialConsistency?: "serial" | "localSerial" | undefined
  readonly pageSize?: number | undefined
  readonly timeout?: Duration.Input | undefined
  readonly attemptTimeout?: Duration.Input | undefined
  readonly idempotent?: boolean | undefined
  readonly maxRows?: number | undefined
}

export interface Settings {
  readonly consistency: number
  readonly serialConsistency: number | undefined
  readonly pageSize: number
  readonly timeoutMillis: number
  readonly attemptMillis: number
  readonly idempotent: boolean | undefined
  readonly maxRows: number
  /** Who stamps writes: this process, or the coordinator. */
  readonly clientTimestamps: boolean
}

/** What a session's statements have that say nothing else. */
export interface DefaultOptions extends StatementOptions {
  readonly timestamps?: "client" | "server" | undefined
}

/** The attempt's limit is above the server's own for range reads, 10 seconds, so that its better answer comes first. */
const base: Settings = {
  consistency: Consistencies.toCode("localOne"),
  serialConsistency: undefined,
  pageSize: 5000,
  timeoutMillis: 30_000,
  attemptMillis: 12_000,
  idempotent: undefined,
  maxRows: 100_000,
  clientTimestamps: true
}

export const defaults = (options: DefaultOptions | undefined): Settings => ({
  ...resolve(base, options),
  clientTimestamps: options?.timestamps !== "server"
})

const millisOf = (duration: Duration.Input | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

const codeOf = <C extends Consistency, O>(consistency: C | undefined, otherwise: O): number | O =>
  consistency === undefined ? otherwise : Consistencies.toCode(consistency)

export const resolve = (base: Settings, options: StatementOptions | undefined): Settings =>
  options === undefined ? base : {
    consistency: codeOf(options.consistency, base.consistency),
    serialConsistency: codeOf(options.serialConsistency, base.serialConsistency),
    pageSize: options.pageSize ?? base.pageSize,
    timeoutMillis: millisOf(options.timeout, base.timeoutMillis),
    attemptMillis: millisOf(options.attemptTimeout, base.attemptMillis),
    idempotent: options.idempotent ?? base.idempotent,
    maxRows: options.maxRows ?? base.maxRows,
    clientTimestamps: base.clientTimestamps
  }
