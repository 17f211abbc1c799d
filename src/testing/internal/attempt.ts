/**
 * What the ways to a server have in common.
 */
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import type { CassandraServer } from "../CassandraServer.ts"
import { CassandraServerError } from "./error.ts"
import type { Report } from "./progress.ts"
import { inRealTime } from "./realTime.ts"
import type * as Settings from "./settings.ts"

/** A server, or what is missing for one of this kind. */
export type Attempt = (
  options: CassandraServer.Options,
  report: Report
) => Effect.Effect<CassandraServer["Service"] | string, CassandraServerError | Config.ConfigError, Scope.Scope>

/** What is not said otherwise. */
export const defaults = {
  version: "5.0.6",
  heap: "1G",
  localDataCenter: "datacenter1",
  port: 9042
} as const

/** What Cassandra creates where it has no users yet. */
export const superuser: CassandraServer.Credentials = { username: "cassandra", password: Redacted.make("cassandra") }

/** What the options make of cassandra.yaml. */
export const settingsOf = (options: CassandraServer.Options): Settings.Settings => ({
  ...(options.userDefinedFunctions && { user_defined_functions_enabled: true }),
  ...(options.materializedViews && { materialized_views_enabled: true }),
  ...options.settings
})

/** The last thing that is reported. */
export const answers = (version: string, host: string, port: number): CassandraServer.Progress => ({
  message: `Apache Cassandra ${version} answers on ${host}:${port}`,
  final: true
})

export const readCertificate = (file: string): Effect.Effect<CassandraServer.Certificate, CassandraServerError> =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) =>
      new CassandraServerError({
        reason: "InvalidConfiguration",
        message: `The certificate ${file} cannot be read: ${cause}`
      })
  }).pipe(Effect.map((pem) => ({ pem, file })))

/** Gives a server up that was started and does not answer in time. */
export const withStartTimeout = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  { startTimeout = "2 minutes" }: CassandraServer.Options
): Effect.Effect<A, E | CassandraServerError, R> =>
  inRealTime(Effect.timeoutOrElse(self, { duration: startTimeout, orElse: () => Effect.fail(timedOut()) }))

// internal

const timedOut = (): CassandraServerError =>
  new CassandraServerError({
    reason: "StartTimeout",
    message: "The Cassandra server was started, and does not answer in time; startTimeout allows it more"
  })
