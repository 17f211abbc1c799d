/**
 * The session of a command: from the environment, as `Session.layerConfig` has it, and flags that go before it.
 */
import { Flag, Prompt } from "effect/cli"
import type { Command } from "effect/cli"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Stdio from "effect/Stdio"
import type { QuitError } from "effect/Terminal"
import type { CqlError } from "../CqlError.ts"
import { levels } from "../internal/consistency.ts"
import { Session } from "../Session.ts"
import { maybe } from "./arguments.ts"
import { NotDone, UsageError } from "./report.ts"

/** There is none for the password: the arguments of a process can be read by others. */
export const flags = {
  contactPoints: maybe(
    Flag.String("contact-points"),
    "Nodes to ask first, separated by commas [CASSANDRA_CONTACT_POINTS]"
  ),
  port: maybe(Flag.Int("port"), "Port of every node, by default 9042 [CASSANDRA_PORT]"),
  localDataCenter: maybe(Flag.String("local-datacenter"), "Whose nodes are asked [CASSANDRA_LOCAL_DATACENTER]"),
  username: maybe(
    Flag.String("username"),
    "With the password of CASSANDRA_PASSWORD, of --password-file, or asked for [CASSANDRA_USERNAME]"
  ),
  passwordFile: maybe(Flag.String("password-file"), "File whose content is the password"),
  tls: maybe(Flag.Boolean("tls"), "Whether to encrypt; by itself when a file is named [CASSANDRA_TLS]"),
  tlsCaFile: maybe(Flag.String("tls-ca-file"), "PEM of the authorities to trust [CASSANDRA_TLS_CA_FILE]"),
  tlsCertFile: maybe(Flag.String("tls-cert-file"), "PEM of this client's certificate [CASSANDRA_TLS_CERT_FILE]"),
  tlsKeyFile: maybe(Flag.String("tls-key-file"), "PEM of its key [CASSANDRA_TLS_KEY_FILE]"),
  tlsServerName: maybe(
    Flag.String("tls-server-name"),
    "Name that the certificate must be for [CASSANDRA_TLS_SERVER_NAME]"
  ),
  consistency: maybe(Flag.Literals("consistency", levels), "Of what is read or written, by default localOne")
} as const

/** What the flags say. */
export type Given = Command.Command.Config.Infer<typeof flags>

/** What files and terminals there are. */
export type Environment = Stdio.Stdio | Prompt.Environment

/** Connected as long as the layer is there. */
export const layer = (
  given: Given
): Layer.Layer<
  Session,
  CqlError | Config.ConfigError | QuitError | UsageError | NotDone,
  Environment
> => Layer.effect(Session, Effect.flatMap(optionsOf(given), Session.make))

const optionsOf = Effect.fnUntraced(function*(given: Given) {
  const environment = yield* ConfigProvider.ConfigProvider
  const flags = ConfigProvider.fromEnvRecord(variablesOf(given, yield* passwordIn(given.passwordFile)))
  const options = yield* Session.config.parse(ConfigProvider.orElse(flags, environment))
  if (options.contactPoints === undefined && options.secureConnectBundle === undefined) return yield* noContactPoints
  const { password = options.username === undefined ? undefined : yield* askForPassword(options.username) } = options
  return {
    ...options,
    password,
    consistency: given.consistency,
    applicationName: "effect-cassandra",
    // Who interrupts an export does not want to wait for what it was reading.
    shutdownTimeout: options.shutdownTimeout ?? "2 seconds"
  }
})

const noContactPoints = Effect.fail(
  new UsageError({ message: "where is Cassandra? Give --contact-points, or set CASSANDRA_CONTACT_POINTS" })
)

const variablesOf = (given: Given, password: string | undefined): Record<string, string | undefined> => {
  const namesTls = [given.tlsCaFile, given.tlsCertFile, given.tlsKeyFile, given.tlsServerName]
    .some((value) => value !== undefined)
  const tls = given.tls ?? (namesTls ? true : undefined)
  return {
    CASSANDRA_CONTACT_POINTS: given.contactPoints,
    CASSANDRA_PORT: given.port?.toString(),
    CASSANDRA_LOCAL_DATACENTER: given.localDataCenter,
    CASSANDRA_USERNAME: given.username,
    CASSANDRA_PASSWORD: password,
    CASSANDRA_TLS: tls?.toString(),
    CASSANDRA_TLS_CA_FILE: given.tlsCaFile,
    CASSANDRA_TLS_CERT_FILE: given.tlsCertFile,
    CASSANDRA_TLS_KEY_FILE: given.tlsKeyFile,
    CASSANDRA_TLS_SERVER_NAME: given.tlsServerName
  }
}

/** An editor ends the line of it. */
const passwordIn = (file: string | undefined): Effect.Effect<string | undefined, NotDone, FileSystem.FileSystem> =>
  file === undefined
    ? Effect.undefined
    : FileSystem.FileSystem.use((files) => files.readFileString(file)).pipe(
      Effect.map((text) => text.replace(/\r?\n$/, "")),
      Effect.mapError(() => new NotDone({ message: `the password file ${file} cannot be read` }))
    )

/** The question stands on standard output, so that both of them must be a terminal. */
const askForPassword = Effect.fnUntraced(function*(
  username: string
): Effect.fn.Return<Redacted.Redacted | undefined, QuitError, Stdio.Stdio | Prompt.Environment> {
  const stdio = yield* Stdio.Stdio
  const canAsk = (yield* stdio.stdinIsTerminal) && (yield* stdio.stdoutIsTerminal)
  return canAsk ? yield* Prompt.run(Prompt.Hidden({ message: `Password of ${username}` })) : undefined
})
