/**
 * Says what happens while a server is found, downloaded and started.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { CassandraServer } from "../CassandraServer.ts"

/** Tells of one step. */
export type Report = (progress: CassandraServer.Progress) => Effect.Effect<void>

/** One line that changes in a terminal, one line for each step elsewhere; on standard error, which no pipe takes. */
export const toStandardError = (): Report => process.stderr.isTTY ? toTerminal() : toLines()

// internal

const toLines = (): Report => {
  let last: string | undefined
  return ({ message }) =>
    Effect.suspend(() => {
      if (message === last) return Effect.void
      last = message
      return Console.error(`[cassandra] ${message}`)
    })
}

const eraseLine = "\r\u001b[2K"
const dim = (text: string): string => `\u001b[2m${text}\u001b[22m`

const toTerminal = (): Report => ({ detail, final, message }) =>
  Effect.sync(() => {
    const room = Math.max(0, (process.stderr.columns ?? 80) - message.length - 5)
    const more = detail === undefined ? "" : dim(detail.slice(0, room))
    process.stderr.write(`${eraseLine}${final ? "●" : "○"} ${message} ${more}${final ? "\n" : ""}`)
  })
