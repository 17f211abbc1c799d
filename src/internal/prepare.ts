/**
 * Preparing a statement: once per text, however many ask at the same time.
 */
import type { SharedClient } from "./core.ts"
import { NotSent } from "./driver/client.ts"
import type { Host } from "./driver/inside.ts"
import type { PreparedResult } from "./driver/requests.ts"
import { PrepareRequest } from "./driver/requests.ts"
import type { KnownStatement, Waiter } from "./statements.ts"
import { Prepared } from "./statements.ts"

const serverHasSpoken = (error: unknown): boolean => (error as { readonly name?: string }).name === "ResponseError"

/** Prepares on one node, trying the next where that one could not be asked. */
export const prepare = (
  shared: SharedClient,
  statement: KnownStatement,
  attemptMillis: number,
  waiter: Waiter
): void => {
  if (statement.preparing !== undefined) {
    statement.preparing.push(waiter)
    return
  }
  statement.preparing = [waiter]
  prepareOnAny(shared, statement, attemptMillis, [], undefined)
}

const prepareOnAny = (
  shared: SharedClient,
  statement: KnownStatement,
  attemptMillis: number,
  tried: ReadonlyArray<Host>,
  lastError: unknown
): void => {
  const host = shared.client.choose(undefined, tried)
  if (host === undefined) return settle(shared, statement, lastError ?? new NotSent(undefined), undefined)
  shared.client.send(host, new PrepareRequest(statement.text), attemptMillis, (error, response) => {
    if (response !== undefined || serverHasSpoken(error)) return settle(shared, statement, error, response?.value)
    prepareOnAny(shared, statement, attemptMillis, [...tried, host], error)
  })
}

const settle = (
  shared: SharedClient,
  statement: KnownStatement,
  error: unknown,
  result: PreparedResult | undefined
): void => {
  const waiters = statement.preparing ?? []
  statement.preparing = undefined
  if (result === undefined) shared.statements.forget(statement)
  else statement.prepared = new Prepared(result)
  for (const waiter of waiters) waiter(error, statement.prepared)
}

/**
 * Prepares again on the node that has forgotten the statement (it restarted, or the table was altered).
 *
 * The driver hides the server's answer to this behind a list of hosts (drivers.md, 20); here it is what is reported.
 */
export const prepareAgain = (
  shared: SharedClient,
  statement: KnownStatement,
  host: Host,
  attemptMillis: number,
  waiter: Waiter
): void => {
  const waiters = statement.preparingOn.get(host)
  if (waiters !== undefined) {
    waiters.push(waiter)
    return
  }
  statement.preparingOn.set(host, [waiter])
  shared.client.send(host, new PrepareRequest(statement.text), attemptMillis, (error, response) => {
    const waiting = statement.preparingOn.get(host) ?? []
    statement.preparingOn.delete(host)
    if (response === undefined) shared.statements.forget(statement)
    else statement.prepared = new Prepared(response.value)
    const prepared = response === undefined ? undefined : statement.prepared
    for (const each of waiting) each(error, prepared)
  })
}
