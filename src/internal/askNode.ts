/**
 * A question to one node and no other, past the places and queues of statements: whether a node answers must not depend
 * on how much this process has to do.
 */
import * as Effect from "effect/Effect"
import * as Consistencies from "./consistency.ts"
import type { SharedClient } from "./core.ts"
import { classify } from "./driver/classify.ts"
import { NotSent } from "./driver/client.ts"
import type { Host } from "./driver/inside.ts"
import { QueryRequest } from "./driver/requests.ts"
import type { RowsPage } from "./statements.ts"

/**
 * How long the answer took, in milliseconds, or why there was none; a node that has as much to do as its connections
 * take is not asked.
 */
export type Answer =
  | { readonly _tag: "Answered"; readonly millis: number }
  | { readonly _tag: "Silent"; readonly error: string }
  | { readonly _tag: "NotAsked"; readonly error: string }

const text = "SELECT key FROM system.local"

export const askNode = (shared: SharedClient, host: Host, limitMillis: number): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const request = makeRequest(shared)
    const begun = performance.now()
    shared.client.send(host, request, limitMillis, (error, response) => {
      const answer: Answer = response === undefined
        ? { _tag: isBusy(error) ? "NotAsked" : "Silent", error: messageOf(error, host, limitMillis) }
        : { _tag: "Answered", millis: performance.now() - begun }
      resume(Effect.succeed(answer))
    })
    return Effect.sync(() => request.abandoned = true)
  })

const makeRequest = ({ statements }: SharedClient): QueryRequest<RowsPage> =>
  new QueryRequest(text, {
    consistency: Consistencies.toCode("one"),
    serialConsistency: undefined,
    values: undefined,
    pageSize: 0,
    pageState: undefined,
    timestamp: undefined,
    tracing: false,
    customPayload: undefined
  }, statements.get(text).reader(undefined))

const isBusy = (error: unknown): boolean =>
  error instanceof NotSent && error.cause instanceof Error && error.cause.name === "BusyConnectionError"

const messageOf = (error: unknown, host: Host, timeoutMillis: number): string =>
  error instanceof NotSent
    ? error.message
    : classify(error, { statement: text, timeoutMillis, node: host.address }).message
