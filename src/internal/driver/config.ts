/**
 * What a client is made of, checked and in plain units; `Cluster.ts` makes it from what a user wrote.
 */
import cassandra from "cassandra-driver"
import { checkServerIdentity as checkAgainstName } from "node:tls"
import type { PeerCertificate } from "node:tls"
import { LocalPolicy } from "./policy.ts"

export interface TlsFiles {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly passphrase: string | undefined
}

export type TlsVerify =
  | "address"
  | "chain"
  | { readonly serverName: string }
  | { readonly check: (host: string, certificate: PeerCertificate) => Error | undefined }

export interface DriverConfig {
  readonly contactPoints: ReadonlyArray<string>
  readonly port: number
  readonly localDataCenter: string | undefined
  readonly keyspace: string | undefined
  readonly credentials: (() => { readonly username: string; readonly password: string }) | undefined
  readonly secureConnectBundle: string | undefined
  readonly tls: (TlsFiles & { readonly verify: TlsVerify }) | undefined
  readonly applicationName: string | undefined
  readonly applicationVersion: string | undefined
  readonly connectionsPerNode: number
  readonly maxRequestsPerConnection: number
  readonly openAllConnections: boolean
  readonly heartbeatMillis: number
  readonly openMillis: number
  readonly reconnectBaseMillis: number
  readonly reconnectMaxMillis: number
  readonly schemaAgreementSeconds: number
  readonly schemaMetadata: boolean
  readonly addressTranslator: ((address: string, port: number) => string) | undefined
  readonly nodeFilter: ((node: { readonly address: string; readonly dataCenter: string }) => boolean) | undefined
  /** Laid over all of the above, as the driver takes it. */
  readonly driverOptions: Readonly<Record<string, unknown>>
}

// The typings call it an interface; at run time it is the class that the driver insists on.
const { AddressTranslator } = cassandra.policies.addressResolution as unknown as {
  readonly AddressTranslator: new() => object
}

class Translator extends AddressTranslator {
  private readonly toAddress: (address: string, port: number) => string

  constructor(toAddress: (address: string, port: number) => string) {
    super()
    this.toAddress = toAddress
  }

  translate(address: string, port: number, callback: (endpoint: string) => void): void {
    callback(this.toAddress(address, port))
  }
}

/** Asked for every connection: a password that rotates is then the one of the day. */
class Credentials extends cassandra.auth.PlainTextAuthProvider {
  private readonly current: () => { readonly username: string; readonly password: string }

  constructor(current: () => { readonly username: string; readonly password: string }) {
    super("", "")
    this.current = current
  }

  override newAuthenticator(endpoint: string, name: string): cassandra.auth.Authenticator {
    const { password, username } = this.current()
    return new cassandra.auth.PlainTextAuthProvider(username, password).newAuthenticator(endpoint, name)
  }
}

/** The driver dials addresses and verifies nothing by default; here chain and name are both verified unless told. */
const sslOptions = (tls: TlsFiles & { readonly verify: TlsVerify }): Record<string, unknown> => ({
  rejectUnauthorized: true,
  ca: tls.ca,
  cert: tls.cert,
  key: tls.key,
  passphrase: tls.passphrase,
  ...nameCheck(tls.verify)
})

const nameCheck = (verify: TlsVerify): Record<string, unknown> => {
  if (verify === "address") return {}
  if (verify === "chain") return { checkServerIdentity: () => undefined }
  if ("check" in verify) return { checkServerIdentity: verify.check }
  return {
    servername: verify.serverName,
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkAgainstName(verify.serverName, certificate)
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** Lays plain objects over each other at any depth; everything else is replaced. */
const overlay = (base: Record<string, unknown>, top: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(top)) {
    const below = merged[key]
    merged[key] = isRecord(below) && isRecord(value) ? overlay(below, value) : value
  }
  return merged
}

export const policyOf = (config: DriverConfig): LocalPolicy =>
  new LocalPolicy({ localDataCenter: config.localDataCenter, nodeFilter: config.nodeFilter })

/** Options for one client. Every policy is made anew: the driver's break when two clients share them. */
export const driverOptions = (config: DriverConfig, policy: LocalPolicy): cassandra.ClientOptions => {
  const { distance } = cassandra.types
  const { reconnection, retry } = cassandra.policies
  const options: Record<string, unknown> = {
    ...(config.secureConnectBundle === undefined
      ? { contactPoints: [...config.contactPoints] }
      : { cloud: { secureConnectBundle: config.secureConnectBundle } }),
    // No localDataCenter here: the driver's own check for it leaves a socket open when it fails. The policy checks.
    keyspace: config.keyspace,
    applicationName: config.applicationName,
    applicationVersion: config.applicationVersion,
    ...(config.credentials === undefined ? {} : { authProvider: new Credentials(config.credentials) }),
    ...(config.tls === undefined ? {} : { sslOptions: sslOptions(config.tls) }),
    policies: {
      loadBalancing: policy,
      retry: new retry.FallthroughRetryPolicy(),
      reconnection: new reconnection.ExponentialReconnectionPolicy(
        config.reconnectBaseMillis,
        config.reconnectMaxMillis,
        false
      ),
      ...(config.addressTranslator === undefined
        ? {}
        : { addressResolution: new Translator(config.addressTranslator) })
    },
    pooling: {
      coreConnectionsPerHost: {
        [distance.local]: config.connectionsPerNode,
        [distance.remote]: config.connectionsPerNode,
        [distance.ignored]: 0
      },
      maxRequestsPerConnection: config.maxRequestsPerConnection,
      heartBeatInterval: config.heartbeatMillis,
      warmup: config.openAllConnections
    },
    protocolOptions: {
      port: config.port,
      // Version 4 is the newest that the driver speaks to Cassandra; asking for it spares a refused connection.
      maxVersion: 4,
      maxSchemaAgreementWaitSeconds: config.schemaAgreementSeconds
    },
    // The limit of the driver's own requests, above all its start-up and its heartbeat; ours carry theirs.
    socketOptions: { connectTimeout: config.openMillis, readTimeout: Math.max(config.openMillis, 5000) },
    isMetadataSyncEnabled: config.schemaMetadata,
    metrics: new cassandra.metrics.DefaultMetrics(),
    monitorReporting: { enabled: false }
  }
  return verifying(overlay(options, config.driverOptions)) as unknown as cassandra.ClientOptions
}

/** TLS that came in by the open door verifies too, unless it says that it does not. */
const verifying = (options: Record<string, unknown>): Record<string, unknown> =>
  isRecord(options["sslOptions"])
    ? { ...options, sslOptions: { rejectUnauthorized: true, ...options["sslOptions"] } }
    : options

/** What has no effect here, or breaks what this library does, with what to use in its place. */
const replaced: ReadonlyArray<readonly [path: ReadonlyArray<string>, instead: string]> = [
  [["policies", "loadBalancing"], "use localDataCenter and nodeFilter"],
  [["policies", "retry"], "statements are not retried by the driver"],
  [["policies", "speculativeExecution"], "statements are not sent by the driver"],
  [["policies", "timestampGeneration"], "use the session's timestamps"],
  [["localDataCenter"], "use localDataCenter of the cluster's own options"],
  [["profiles"], "use Statement.withOptions"],
  [["queryOptions"], "use the session's options"],
  [["encoding"], "values are what CqlType says"],
  [["promiseFactory"], "it is not used"]
]

/** Why options of the driver cannot be used, if one of them cannot. */
export const problemOfDriverOptions = (options: Readonly<Record<string, unknown>>): string | undefined => {
  for (const [path, instead] of replaced) {
    const value = path.reduce<unknown>((at, key) => isRecord(at) ? at[key] : undefined, options)
    if (value !== undefined) return `without ${path.join(".")}: ${instead}`
  }
  return undefined
}
