/**
 * A server in a container.
 */
import * as Effect from "effect/Effect"
import { answers, type Attempt, defaults, settingsOf, superuser, withStartTimeout } from "./attempt.ts"
import * as Docker from "./docker.ts"
import { CassandraServerError } from "./error.ts"
import * as Settings from "./settings.ts"

/** Starts a container where a Docker daemon answers. */
export const attempt: Attempt = Effect.fnUntraced(function*(options, report) {
  if (options.tls) return "TLS is not offered by a container"
  if (!(yield* Docker.answers)) return "no Docker daemon answers"
  const testcontainers = yield* Docker.load
  if (testcontainers === undefined) return "a Docker daemon answers, but @testcontainers/cassandra is not installed"
  const { authentication = false, heap = defaults.heap, version = defaults.version } = options
  yield* report({ message: `Starting Apache Cassandra ${version} in a container` })
  const started = yield* Docker.start(testcontainers, {
    version,
    heap,
    localDataCenter: defaults.localDataCenter,
    settings: Settings.flatten(Settings.common({ authentication, settings: settingsOf(options) }))
  }).pipe(Effect.mapError(startFailed), (self) => withStartTimeout(self, options))
  yield* report(answers(version, started.getHost(), started.getPort()))
  return {
    kind: "container",
    contactPoints: [started.getHost()],
    port: started.getPort(),
    localDataCenter: started.getDatacenter(),
    credentials: authentication ? superuser : undefined,
    tls: false,
    certificate: undefined,
    process: undefined
  }
})

// internal

const startFailed = (cause: unknown): CassandraServerError =>
  new CassandraServerError({ reason: "StartFailed", message: `The container did not start: ${cause}`, cause })
