/**
 * What a client is made of, checked and in plain units; `Cluster.ts` makes it from what a user wrote.
 */
import cassandra from "cassandra-driver"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { checkServerIdentity as checkAgainstName, createSecureContext } from "node:tls"
import type { PeerCertificate } from "node:tls"
import { LocalPolicy } from "./policy.ts"
import { atMost, politeMillis } from "./waiting.ts"

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

/** What a connection authenticates with. */
export interface Login {
  readonly username: string
  readonly password: Redacted.Redacted
}

export interface DriverConfig {
  readonly contactPoints: ReadonlyArray<string>
  readonly port: number
  readonly localDataCenter: string | undefined
  /** Data centers that stand in for the local one, in order. */
  readonly failover: ReadonlyArray<string>
  readonly keyspace: string | undefined
  /** Run for each connection that authenticates. */
  readonly credentials: Effect.Effect<Login, unknown> | undefined
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

  /** Without an address the driver leaves the node out; a throw would end the process, where an event told of the node. */
  translate(address: string, port: number, callback: (endpoint: string | null) => void): void {
    callback(this.translated(address, port) ?? null)
  }

  private translated(address: string, port: number): string | undefined {
    try {
      const endpoint: unknown = this.toAddress(address, port)
      return typeof endpoint === "string" && /:\d+$/.test(endpoint) ? endpoint : undefined
    } catch {
      return undefined
    }
  }
}

// --- credentials

/** What they failed with is the cause, and never in the message: it may hold them. */
export class NoCredentials extends Error {
  override readonly name = "NoCredentials"

  constructor(cause: Cause.Cause<unknown>) {
    super(`the credentials could not be had: ${whyNoCredentials(cause)}`, { cause })
  }
}

/** They took longer than a connection may. */
export class LateCredentials extends Error {
  override readonly name = "LateCredentials"
}

const whyNoCredentials = (cause: Cause.Cause<unknown>): string => {
  if (Cause.hasInterruptsOnly(cause)) return "`credentials` was interrupted"
  const error = Cause.squash(cause)
  if (error instanceof NotALogin) return "`credentials` gave something else than a username and a Redacted password"
  const kind = kindOf(error)
  return kind === undefined ? "`credentials` failed" : `\`credentials\` failed with ${kind}`
}

/** Only what the program's text names it by. */
const kindOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined
  const kind: unknown = (error as { readonly _tag?: unknown })._tag ?? error.constructor.name
  return typeof kind === "string" && /^[A-Za-z][\w./]{0,99}$/.test(kind) ? kind : undefined
}

class NotALogin extends Error {}

interface Answer {
  (error: Error | null, token?: Buffer): void
}

const { AuthProvider, Authenticator } = cassandra.auth as unknown as {
  readonly AuthProvider: new() => object
  readonly Authenticator: new() => object
}

/** The mechanism PLAIN, which is that of `PasswordAuthenticator` and of Astra. */
class PlainAuthenticator extends Authenticator {
  readonly #provider: CredentialsProvider

  constructor(provider: CredentialsProvider) {
    super()
    this.#provider = provider
  }

  initialResponse(callback: Answer): void {
    this.#provider.ask(callback)
  }

  onAuthenticationSuccess(): void {}

  evaluateChallenge(_challenge: Buffer, callback: Answer): void {
    callback(new cassandra.errors.AuthenticationError("the node asks for more than a username and a password"))
  }
}

/** So many are remembered of those that were sent: connections open side by side while a password changes. */
const maxSecrets = 4

/** Asks for the credentials of each connection, so that a password which rotates is the one of the day. */
export class CredentialsProvider extends AuthProvider {
  // Not to be seen by whoever prints the client's options.
  readonly #credentials: Effect.Effect<Buffer, unknown>
  readonly #limitMillis: number
  readonly #asked = new Set<(error: Error) => Promise<void>>()
  readonly #secrets: Array<Redacted.Redacted> = []
  #isClosed = false

  constructor(credentials: Effect.Effect<Login, unknown>, limitMillis: number) {
    super()
    this.#credentials = Effect.flatMap(credentials, (login) => this.#token(login))
    this.#limitMillis = limitMillis
  }

  /** The passwords that were sent last: a server may repeat one. */
  get secrets(): ReadonlyArray<Redacted.Redacted> {
    return this.#secrets
  }

  newAuthenticator(): cassandra.auth.Authenticator {
    return new PlainAuthenticator(this)
  }

  /** Answers once. The driver has no limit of its own for this. */
  ask(answer: Answer): void {
    if (this.#isClosed) return answer(closed())
    // Begun when it is known here that it is: what it runs may close the client.
    const fiber = Effect.runFork(Effect.andThen(Effect.yieldNow, this.#credentials))
    const settle: Answer = (error, token) => {
      clearTimeout(timer)
      if (this.#asked.delete(end)) answer(error, token)
    }
    const end = (error: Error): Promise<void> => {
      const ended = new Promise<void>((resolve) => void fiber.addObserver(() => resolve()))
      // The answer first: an interrupted fiber would tell of itself.
      settle(error)
      fiber.interruptUnsafe()
      return ended
    }
    const timer = setTimeout(() => void end(late(this.#limitMillis)), this.#limitMillis)
    this.#asked.add(end)
    fiber.addObserver((exit) => Exit.isSuccess(exit) ? settle(null, exit.value) : settle(new NoCredentials(exit.cause)))
  }

  /** Runs what may ask, and returns what ends that asking: for a connection that is gone nobody needs an answer. */
  during(start: () => void): () => void {
    const before = new Set(this.#asked)
    start()
    const begun = [...this.#asked].filter((end) => !before.has(end))
    return () => begun.forEach((end) => void end(lost()))
  }

  /** Ends what is being asked for, and asks no more. Never rejects, and is bounded: some do not let themselves be ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    await atMost(politeMillis, Promise.all([...this.#asked].map((end) => end(closed()))))
  }

  #token(login: Login): Effect.Effect<Buffer, NotALogin> {
    if (!isLogin(login)) return Effect.fail(new NotALogin())
    this.#secrets.unshift(login.password)
    this.#secrets.splice(maxSecrets)
    return Effect.succeed(Buffer.from(`\0${login.username}\0${Redacted.value(login.password)}`))
  }
}

const isLogin = (login: unknown): login is Login => {
  if (typeof login !== "object" || login === null) return false
  const { password, username } = login as Partial<Login>
  return typeof username === "string" && Redacted.isRedacted(password) && typeof Redacted.value(password) === "string"
}

const closed = (): Error => new Error("the client is closed")

const lost = (): Error => Object.assign(new Error("Socket was closed"), { isSocketError: true })

const late = (millis: number): Error =>
  new LateCredentials(`\`credentials\` did not give them in ${Math.round(millis)} ms`)

// --- TLS

/** The driver dials addresses and verifies nothing by default; here chain and name are both verified unless told. */
const sslOptions = (tls: TlsFiles & { readonly verify: TlsVerify }): Record<string, unknown> => ({
  ca: tls.ca,
  cert: tls.cert,
  key: tls.key,
  passphrase: tls.passphrase,
  ...nameCheck(tls.verify)
})

/** A certificate that the program's own function does not accept; known by its code, as those that Node refuses. */
class RefusedByCheck extends Error {
  readonly code = "CERT_REFUSED_BY_CHECK"
}

const nameCheck = (verify: TlsVerify): Record<string, unknown> => {
  if (verify === "address") return {}
  if (verify === "chain") return { checkServerIdentity: () => undefined }
  if ("check" in verify) return { checkServerIdentity: guardedCheck(verify.check) }
  return {
    servername: verify.serverName,
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      checkAgainstName(verify.serverName, certificate)
  }
}

/** Node calls it in a socket's event, where a throw would end the process. */
const guardedCheck =
  (check: (host: string, certificate: PeerCertificate) => unknown) =>
  (host: string, certificate: PeerCertificate): Error | undefined => {
    try {
      const refusal = check(host, certificate)
      if (refusal === undefined) return undefined
      return new RefusedByCheck(refusal instanceof Error ? refusal.message : "it gave neither an error nor undefined")
    } catch {
      return new RefusedByCheck("it threw")
    }
  }

export interface TlsProblem {
  readonly option: keyof TlsFiles
  readonly expected: string
}

/** What makes the texts unfit for any handshake: OpenSSL would say it in words of its own, or nothing at all. */
export const problemOfTls = ({ ca, cert, key, passphrase }: TlsFiles): TlsProblem | undefined => {
  if (ca !== undefined && !areCertificates(ca)) return { option: "ca", expected: "certificates in PEM" }
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined) return { option: "cert", expected: "given together with the key" }
  if (key === undefined) return { option: "key", expected: "given together with the certificate" }
  if (!areCertificates(cert)) return { option: "cert", expected: "certificates in PEM" }
  return problemOfKey(cert, key, passphrase)
}

const problemOfKey = (cert: string, key: string, passphrase: string | undefined): TlsProblem | undefined => {
  try {
    const privateKey = createPrivateKey({ key, format: "pem", passphrase })
    return new X509Certificate(cert).checkPrivateKey(privateKey)
      ? undefined
      : { option: "key", expected: "the key of the certificate that is given with it" }
  } catch {
    return /ENCRYPTED/.test(key)
      ? { option: "passphrase", expected: "the one that the key was encrypted with" }
      : { option: "key", expected: "a private key in PEM" }
  }
}

const certificates = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[\s\S]*?-----END [^-]*-----/g

const areCertificates = (pem: string): boolean => {
  try {
    const found = pem.match(certificates) ?? []
    return found.length > 0 && found.every((certificate) => new X509Certificate(certificate).raw.length > 0)
  } catch {
    return false
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

// --- hooks

/** One that throws would take the driver's connection or request with it. */
const guardedHook = (hook: object): object =>
  // Not of the hook itself: what is frozen in it could not be guarded.
  new Proxy(Object.create(hook) as object, {
    get: (_, name) => {
      const value: unknown = Reflect.get(hook, name, hook)
      return typeof value === "function" ? harmless(value.bind(hook)) : value
    }
  })

const harmless =
  (call: (...details: ReadonlyArray<unknown>) => unknown) => (...details: ReadonlyArray<unknown>): unknown => {
    try {
      const result = call(...details)
      if (result instanceof Promise) result.catch(() => undefined)
      return result
    } catch {
      return undefined
    }
  }

const hooks = ["metrics", "requestTracker"]

/** For one client; the program's own objects stay as they are. */
const withGuardedHooks = (options: Record<string, unknown>): Record<string, unknown> => {
  const guarded = hooks.flatMap((name) => {
    const hook = options[name]
    return typeof hook === "object" && hook !== null ? [[name, guardedHook(hook)]] : []
  })
  return { ...options, ...Object.fromEntries(guarded) }
}

export const policyOf = (config: DriverConfig): LocalPolicy =>
  new LocalPolicy({
    localDataCenter: config.localDataCenter,
    failover: config.failover,
    nodeFilter: config.nodeFilter
  })

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
    ...(config.credentials === undefined
      ? {}
      : { authProvider: new CredentialsProvider(config.credentials, config.openMillis) }),
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
  return withGuardedHooks(verifying(overlay(options, config.driverOptions))) as unknown as cassandra.ClientOptions
}

/** TLS that came in by the open door verifies too, unless it says that it does not. */
const verifying = (options: Record<string, unknown>): Record<string, unknown> =>
  isRecord(options["sslOptions"])
    ? { ...options, sslOptions: withoutSecrets({ rejectUnauthorized: true, ...options["sslOptions"] }) }
    : options

/** Nothing that prints the client's options is to find a key there, and no connection has to read it anew. */
export const withoutSecrets = (options: Record<string, unknown>): Record<string, unknown> => {
  const { key: _key, passphrase: _passphrase, pfx: _pfx, ...rest } = options
  return options["secureContext"] === undefined ? { ...rest, secureContext: createSecureContext(options) } : rest
}

/** What has no effect here, or breaks what this library does, with what to use in its place. */
const replaced: ReadonlyArray<readonly [path: ReadonlyArray<string>, instead: string]> = [
  [["policies", "loadBalancing"], "use localDataCenter, failover and nodeFilter"],
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
