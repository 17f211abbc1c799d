/**
 * The options of a statement, resolved: the nearest wins, in plain units.
 */
import * as Duration from "effect/Duration"
import type { Consistency } from "./consistency.ts"
import * as Consistencies from "./consistency.ts"
import type { Hedge } from "./hedging.ts"
import type { Policy } from "./retryPolicy.ts"
import * as Retries from "./retryPolicy.ts"
import type { StatementSpan } from "./tracing.ts"

export interface StatementOptions {
  readonly consistency?: Consistency | undefined
  readonly serialConsistency?: "serial" | "localSerial" | undefined
  readonly pageSize?: number | undefined
  readonly timeout?: Duration.Input | undefined
  readonly attemptTimeout?: Duration.Input | undefined
  readonly idempotent?: boolean | undefined
  readonly maxRows?: number | undefined
  readonly timestamp?: number | bigint | undefined
  readonly tracing?: boolean | undefined
  readonly customPayload?: CustomPayload | undefined
  readonly node?: string | undefined
  readonly profile?: string | undefined
  readonly retry?: Policy | undefined
  readonly hedge?: Hedge | false | undefined
  readonly streamTimeout?: Duration.Input | undefined
  readonly spans?: "statements" | "attempts" | "none" | undefined
  readonly slowThreshold?: Duration.Input | false | undefined
}

export interface CustomPayload {
  readonly [key: string]: Uint8Array | null
}

export interface Profiles {
  readonly [name: string]: StatementOptions
}

export interface Settings {
  readonly consistency: number
  readonly serialConsistency: number | undefined
  readonly pageSize: number
  readonly timeoutMillis: number
  readonly attemptMillis: number
  readonly idempotent: boolean | undefined
  readonly maxRows: number
  /** Who stamps writes that no option gives a timestamp: this process, or the coordinator. */
  readonly clientTimestamps: boolean
  readonly timestamp: number | bigint | undefined
  readonly tracing: boolean
  readonly customPayload: CustomPayload | undefined
  readonly node: string | undefined
  readonly retry: Policy
  readonly hedge: Hedge | undefined
  readonly streamMillis: number
  readonly spans: NonNullable<StatementOptions["spans"]>
  readonly slowMillis: number
  /** Of the one statement that runs with these; where none is traced, nothing. */
  readonly span: StatementSpan | undefined
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
  clientTimestamps: true,
  timestamp: undefined,
  tracing: false,
  customPayload: undefined,
  node: undefined,
  retry: Retries.standard,
  hedge: undefined,
  streamMillis: Infinity,
  spans: "statements",
  slowMillis: 5000,
  span: undefined
}

export const defaults = (options: DefaultOptions | undefined, profiles: Profiles): Settings => ({
  ...(options === undefined ? base : resolve(base, options, profiles)),
  clientTimestamps: options?.timestamps !== "server"
})

const millisOf = (duration: Duration.Input | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

const codeOf = <C extends Consistency, O>(consistency: C | undefined, otherwise: O): number | O =>
  consistency === undefined ? otherwise : Consistencies.toCode(consistency)

/** `options` over its profile over `under`; whether the profile exists was checked before. */
export const resolve = (under: Settings, options: StatementOptions, profiles: Profiles): Settings =>
  options.profile === undefined
    ? over(under, options)
    : over(resolve(under, { ...profiles[options.profile], profile: undefined }, profiles), options)

const over = (under: Settings, options: StatementOptions): Settings => ({
  consistency: codeOf(options.consistency, under.consistency),
  serialConsistency: codeOf(options.serialConsistency, under.serialConsistency),
  pageSize: options.pageSize ?? under.pageSize,
  timeoutMillis: millisOf(options.timeout, under.timeoutMillis),
  attemptMillis: millisOf(options.attemptTimeout, under.attemptMillis),
  idempotent: options.idempotent ?? under.idempotent,
  maxRows: options.maxRows ?? under.maxRows,
  clientTimestamps: under.clientTimestamps,
  timestamp: options.timestamp ?? under.timestamp,
  tracing: options.tracing ?? under.tracing,
  customPayload: options.customPayload ?? under.customPayload,
  node: options.node ?? under.node,
  retry: options.retry ?? under.retry,
  hedge: options.hedge === false ? undefined : options.hedge ?? under.hedge,
  streamMillis: millisOf(options.streamTimeout, under.streamMillis),
  spans: options.spans ?? under.spans,
  slowMillis: options.slowThreshold === false ? Infinity : millisOf(options.slowThreshold, under.slowMillis),
  span: undefined
})
