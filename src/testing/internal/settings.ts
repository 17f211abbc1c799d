/**
 * The configuration files of a node.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { NodeAddress } from "./address.ts"
import type { Certificate } from "./certificate.ts"

/** Settings by the names that cassandra.yaml gives them. */
export type Settings = Readonly<Record<string, unknown>>

/** What the settings follow from. */
export interface SettingsOptions {
  readonly address: NodeAddress
  readonly seeds: ReadonlyArray<NodeAddress>
  readonly localDataCenter: string
  readonly authentication: boolean
  readonly tls: boolean | "optional"
  readonly settings: Settings
}

/** What differs from Cassandra's defaults, whatever runs it. */
export const common = (options: Pick<SettingsOptions, "authentication" | "settings">): Settings =>
  merge(
    merge({ num_tokens: 16, auto_snapshot: false }, options.authentication ? authentication : {}),
    options.settings
  )

/** A file could not be written. */
export class WriteError extends Data.TaggedError("WriteError")<{ readonly message: string }> {}

/** The name of the log in a node's folder. */
export const logFile = "system.log"

/** Writes what a node reads when it starts. */
export const write = Effect.fnUntraced(function*(
  folder: string,
  options: SettingsOptions,
  certificate: Certificate | undefined
): Effect.fn.Return<void, WriteError> {
  const attempt = (run: () => Promise<unknown>) =>
    Effect.tryPromise({ try: run, catch: (cause) => new WriteError({ message: String(cause) }) })
  yield* attempt(() => mkdir(join(folder, "tmp")))
  yield* Effect.forEach(
    Object.entries(files(folder, options, certificate)),
    ([name, content]) => attempt(() => writeFile(join(folder, name), content))
  )
})

/** The other's settings over these, and inside of nested ones too. */
export const merge = (settings: Settings, over: Settings): Settings => {
  const merged: Record<string, unknown> = { ...settings }
  for (const [name, value] of Object.entries(over)) {
    const below = merged[name]
    merged[name] = isNested(below) && isNested(value) ? merge(below, value) : value
  }
  return merged
}

/** One level, with the names of nested settings joined by dots. */
export const flatten = (settings: Settings, prefix = ""): Settings =>
  Object.assign(
    {},
    ...Object.entries(settings).map(([name, value]) =>
      isNested(value) ? flatten(value, `${prefix}${name}.`) : { [prefix + name]: value }
    )
  )

// internal

const files = (
  folder: string,
  options: SettingsOptions,
  certificate: Certificate | undefined
): Readonly<Record<string, string>> => ({
  "cassandra.yaml": toYaml(folder, options, certificate),
  "cassandra-rackdc.properties": `dc=${options.localDataCenter}\nrack=rack1\n`,
  "logback.xml": logback(folder),
  "logback-nodetool.xml": `<configuration><root level="OFF"/></configuration>`
})

const logback = (folder: string): string => {
  const encoder = "<encoder><pattern>%-5level %date{ISO8601} %msg%n%ex</pattern></encoder>"
  return `<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>${join(folder, logFile)}</file>${encoder}
  </appender>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">${encoder}</appender>
  <root level="INFO"><appender-ref ref="FILE"/><appender-ref ref="OUT"/></root>
</configuration>
`
}

// JSON is YAML too.
const toYaml = (folder: string, options: SettingsOptions, certificate: Certificate | undefined): string => {
  const own = { ...folders(folder), ...network(options), ...encryption(options.tls, certificate) }
  return JSON.stringify(merge(own, common(options)), undefined, 2)
}

const isNested = (value: unknown): value is Settings => Predicate.isObject(value) && !Array.isArray(value)

const authentication: Settings = {
  authenticator: "PasswordAuthenticator",
  authorizer: "CassandraAuthorizer",
  role_manager: "CassandraRoleManager"
}

const folders = (folder: string): Settings => ({
  data_file_directories: [join(folder, "data")],
  commitlog_directory: join(folder, "commitlog"),
  saved_caches_directory: join(folder, "saved_caches"),
  hints_directory: join(folder, "hints"),
  cdc_raw_directory: join(folder, "cdc_raw"),
  commitlog_sync: "periodic",
  // A node that is killed loses at most what came after the last sync; the default is ten seconds.
  commitlog_sync_period: "1000ms"
})

const network = ({ address, seeds }: SettingsOptions): Settings => ({
  cluster_name: "effect-cassandra",
  partitioner: "org.apache.cassandra.dht.Murmur3Partitioner",
  endpoint_snitch: "GossipingPropertyFileSnitch",
  listen_address: address.host,
  rpc_address: address.host,
  native_transport_port: address.port,
  storage_port: address.storagePort,
  seed_provider: [{
    class_name: "org.apache.cassandra.locator.SimpleSeedProvider",
    parameters: [{ seeds: seeds.map((seed) => `${seed.host}:${seed.storagePort}`).join(",") }]
  }]
})

const encryption = (tls: boolean | "optional", certificate: Certificate | undefined): Settings =>
  certificate === undefined ? {} : {
    client_encryption_options: {
      enabled: true,
      optional: tls === "optional",
      keystore: certificate.keystoreFile,
      keystore_password: certificate.keystorePassword
    }
  }
