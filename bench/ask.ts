/**
 * One statement of the library or of the driver, begun from outside of any fiber.
 */
import type cassandra from "cassandra-driver"
import { Session } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Ask } from "./openLoop.ts"

export const askLibrary = (
  session: Session["Service"],
  statement: (index: number) => Effect.Effect<unknown, unknown, Session>
): Ask =>
(index, done) => {
  const fiber = Effect.runFork(Effect.provideService(statement(index), Session, session))
  fiber.addObserver((exit) => done(Exit.isSuccess(exit) ? "answered" : nameOf(exit)))
}

export const askDriver = (
  client: cassandra.Client,
  send: (client: cassandra.Client, index: number) => Promise<unknown>
): Ask =>
(index, settle) => {
  send(client, index).then(() => settle("answered"), (error: Error) => settle(error.name))
}

interface Failure {
  readonly _tag?: string
  readonly reason?: { readonly _tag: string; readonly phase?: string }
}

const nameOf = (exit: Exit.Failure<unknown, unknown>): string => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return "defect"
  const { _tag, reason } = error.value as Failure
  if (reason === undefined) return String(_tag)
  return reason.phase === undefined ? reason._tag : `${reason._tag} (${reason.phase})`
}
