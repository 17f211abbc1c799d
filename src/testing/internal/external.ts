/**
 * A server that runs already.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Attempt, defaults, readCertificate } from "./attempt.ts"

/** Takes the server that the environment names, by the variables that `Cluster.config` reads. */
export const attempt: Attempt = Effect.fnUntraced(function*() {
  const { caFile, contactPoints, password, tls, username, ...named } = yield* environment
  if (contactPoints.length === 0) return "CASSANDRA_CONTACT_POINTS is not set"
  return {
    ...named,
    kind: "external",
    contactPoints,
    credentials: username !== undefined && password !== undefined ? { username, password } : undefined,
    tls: caFile !== undefined && tls === false ? "optional" : tls ?? caFile !== undefined,
    certificate: caFile === undefined ? undefined : yield* readCertificate(caFile),
    process: undefined
  }
})

// internal

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

const environment = Config.all({
  contactPoints: Config.Array(Schema.Trim, "CASSANDRA_CONTACT_POINTS").pipe(
    Config.withDefault([]),
    Config.map((names) => names.filter((name) => name !== ""))
  ),
  port: Config.Port("CASSANDRA_PORT").pipe(Config.withDefault(defaults.port)),
  localDataCenter: Config.String("CASSANDRA_LOCAL_DATACENTER").pipe(Config.withDefault(defaults.localDataCenter)),
  username: optional(Config.String("CASSANDRA_USERNAME")),
  password: optional(Config.Redacted("CASSANDRA_PASSWORD")),
  tls: optional(Config.Boolean("CASSANDRA_TLS")),
  caFile: optional(Config.String("CASSANDRA_TLS_CA_FILE"))
})
