/**
 * Why there is no server.
 */
import * as Schema from "effect/Schema"

/**
 * There is no server: none could be found, downloaded or started.
 *
 * **Details**
 *
 * The message says what was tried and what to do. `reason` is one of:
 *
 * - `NothingServes`: nothing on this machine can run a server
 * - `InvalidConfiguration`: an environment variable makes no sense
 * - `DownloadFailed`: Maven did not deliver
 * - `StartFailed`: the server ended before it answered
 * - `StartTimeout`: the server did not answer in time
 * - `CommandFailed`: a command of nodetool failed, on a server that runs
 *
 * @category errors
 * @since 0.1.0
 */
export class CassandraServerError
  extends Schema.TaggedError<CassandraServerError>("effect-cassandra/testing/CassandraServerError")(
    "CassandraServerError",
    {
      reason: Schema.Literals([
        "NothingServes",
        "InvalidConfiguration",
        "DownloadFailed",
        "StartFailed",
        "StartTimeout",
        "CommandFailed"
      ]),
      message: Schema.String,
      cause: Schema.optional(Schema.Defect())
    }
  )
{}

/** An error with what a process logged before it. */
export const withLog = (
  reason: CassandraServerError["reason"],
  message: string,
  log: ReadonlyArray<string>
): CassandraServerError =>
  new CassandraServerError({
    reason,
    message: log.length === 0
      ? message
      : [`${message}. From its log:`, ...essence(log).map((line) => `  ${line}`)].join("\n")
  })

// internal

// An orderly end says much after the error that led to it.
const essence = (log: ReadonlyArray<string>): ReadonlyArray<string> => {
  const first = log.findIndex((line) => /^(ERROR|Error|Exception)/.test(line))
  return first === -1 ? log.slice(-20) : log.slice(first, first + 20)
}
