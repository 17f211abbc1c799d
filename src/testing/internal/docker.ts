/**
 * Whether a Docker daemon answers, and a Cassandra in a container of it.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { request } from "node:http"
import { homedir } from "node:os"
import { join } from "node:path"
import { inRealTime } from "./realTime.ts"

/** The few parts of `@testcontainers/cassandra` that are used here; it is an optional peer, with no types to import. */
export interface Testcontainers {
  readonly CassandraContainer: new(image: string) => Container
}

interface Container {
  withDatacenter(name: string): Container
  withEnvironment(variables: Record<string, string>): Container
  start(): Promise<StartedContainer>
}

/** A container that runs. */
export interface StartedContainer {
  getHost(): string
  getPort(): number
  getDatacenter(): string
  stop(): Promise<unknown>
}

/** Asks the daemons that this environment may have; a socket file alone proves nothing. */
export const answers: Effect.Effect<boolean, Config.ConfigError> = Effect.gen(function*() {
  const replies = yield* Effect.forEach(yield* addresses, ping, { concurrency: "unbounded" })
  return replies.includes(true)
})

/** `undefined` where the package is not installed. */
export const load: Effect.Effect<Testcontainers | undefined> = Effect.suspend(() => {
  const name = "@testcontainers/cassandra"
  return Effect.tryPromise(() => import(name) as Promise<Testcontainers>).pipe(
    Effect.orElseSucceed(() => undefined)
  )
})

/** What a container is asked for. */
export interface ContainerOptions {
  readonly version: string
  readonly heap: string
  readonly localDataCenter: string
  readonly settings: Readonly<Record<string, unknown>>
}

/**
 * Starts a container. Testcontainers' own guard (Ryuk) removes it when this process is killed.
 */
export const start = Effect.fnUntraced(function*(
  { CassandraContainer }: Testcontainers,
  options: ContainerOptions
): Effect.fn.Return<StartedContainer, unknown, Scope.Scope> {
  const container = new CassandraContainer(`cassandra:${options.version}`)
    .withDatacenter(options.localDataCenter)
    .withEnvironment({ MAX_HEAP_SIZE: options.heap, JAVA_TOOL_OPTIONS: systemProperties(options.settings).join(" ") })
  const starting = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const starting = container.start()
      starting.catch(() => {})
      return starting
    }),
    // Awaiting the start is what stops a container whose start was interrupted.
    (starting) =>
      Effect.tryPromise(() => starting.then((started) => started.stop())).pipe(
        Effect.timeout("30 seconds"),
        Effect.ignore,
        inRealTime
      )
  )
  return yield* Effect.tryPromise({ try: () => starting, catch: (cause) => cause })
})

/** The image's own cassandra.yaml stays, and Cassandra takes these settings over it. */
export const systemProperties = (settings: Readonly<Record<string, unknown>>): ReadonlyArray<string> => [
  "-Dcassandra.config.allow_system_properties=true",
  "-Dcassandra.superuser_setup_delay_ms=0",
  ...Object.entries(settings).map(([name, value]) => `-Dcassandra.settings.${name}=${value}`)
]

// internal

type Address = { readonly socketPath: string } | { readonly host: string; readonly port: string }

const addresses: Effect.Effect<ReadonlyArray<Address>, Config.ConfigError> = Effect.gen(function*() {
  const dockerHost = yield* Config.option(Config.URL("DOCKER_HOST"))
  if (Option.isSome(dockerHost)) return [toAddress(dockerHost.value)]
  const runtimeFolder = yield* Config.String("XDG_RUNTIME_DIR").pipe(Config.withDefault("/run"))
  return [
    { socketPath: "/var/run/docker.sock" },
    { socketPath: join(runtimeFolder, "docker.sock") },
    { socketPath: join(homedir(), ".docker", "run", "docker.sock") }
  ]
})

const toAddress = (url: URL): Address =>
  url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port || "2375" }

const ping = (address: Address): Effect.Effect<boolean> =>
  Effect.callback((resume, signal) => {
    const asked = request({ ...address, path: "/_ping", timeout: 2_000, signal }, (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode === 200))
    })
    asked.on("timeout", () => asked.destroy())
    asked.on("error", () => resume(Effect.succeed(false)))
    asked.end()
  })
