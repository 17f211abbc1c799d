/**
 * Preparing a statement: once per text, however many ask at the same time.
 */
import { MalformedResponse } from "./codec/MalformedResponse.ts"
import type { SharedClient } from "./core.ts"
import type { Host } from "./driver/inside.ts"
import type { PreparedResult } from "./driver/requests.ts"
import { PrepareRequest } from "./driver/requests.ts"
import type { KnownStatement, Waiter } from "./statements.ts"
import { Prepared } from "./statements.ts"

export const serverHasSpoken = (error: unknown): boolean =>
  (error as { readonly name?: string } | undefined)?.name === "ResponseError"

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
  if (host === undefined) return settle(shared, statement, lastError, undefined)
  shared.counts?.prepares.add()
  shared.client.send(host, new PrepareRequest(statement.text), attemptMillis, (error, response) => {
    if (response !== undefined || serverHasSpoken(error)) return settle(shared, statement, error, response?.value)
    prepareOnAny(shared, statement, attemptMillis, [...tried, host], error)
  })
}

const settle = (
  shared: SharedClient,
  statement: KnownStatement,
  error: unknown,
  result: PreparedResult | null | undefined
): void => {
  const waiters = statement.preparing ?? []
  statement.preparing = undefined
  tell(waiters, accept(shared, statement, error, result))
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
  shared.counts?.prepares.add()
  shared.client.send(host, new PrepareRequest(statement.text), attemptMillis, (error, response) => {
    const waiting = statement.preparingOn.get(host) ?? []
    statement.preparingOn.delete(host)
    tell(waiting, accept(shared, statement, error, response?.value))
  })
}

interface Answer {
  readonly error: unknown
  readonly prepared: Prepared | undefined
}

/**
 * Keeps what was prepared; a text that was not is forgotten, so that the next who asks tries anew. That one node of
 * several was silent says nothing of a text that is prepared.
 */
const accept = (
  shared: SharedClient,
  statement: KnownStatement,
  error: unknown,
  result: PreparedResult | null | undefined
): Answer => {
  const answer = readAnswer(error, result)
  if (answer.prepared !== undefined) {
    statement.prepared = answer.prepared
    shared.statements.keep(statement)
  } else if (statement.prepared === undefined || result !== undefined || serverHasSpoken(error)) {
    shared.statements.forget(statement)
  }
  return answer
}

/** What is no answer to PREPARE, or cannot be understood, fails the statement and not the process. */
const readAnswer = (error: unknown, result: PreparedResult | null | undefined): Answer => {
  if (result === undefined) return { error, prepared: undefined }
  if (result === null) return { error: new MalformedResponse(notAPreparedStatement), prepared: undefined }
  try {
    return { error: undefined, prepared: new Prepared(result) }
  } catch (defect) {
    return { error: defect, prepared: undefined }
  }
}

const notAPreparedStatement = "the answer to PREPARE is not a prepared statement"

const tell = (waiters: ReadonlyArray<Waiter>, { error, prepared }: Answer): void => {
  for (const waiter of waiters) waiter(error, prepared)
}
