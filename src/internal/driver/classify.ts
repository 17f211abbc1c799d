/**
 * From what the driver raises to the reason of a `CqlError`.
 *
 * Errors are known by their names and codes and not by their classes: an application may hold a second copy of the
 * driver, and what Node's sockets raise has no class of its own.
 */
import type { Reason } from "../../CqlError.ts"
import * as Errors from "../../CqlError.ts"
import type { Consistency } from "../consistency.ts"
import * as Consistencies from "../consistency.ts"
import { maskPasswords, maskValues, passwordsIn } from "../mask.ts"

/** What is known of the request that failed. */
export interface Context {
  /** The node that was asked. */
  readonly node?: string | undefined
  /** The limit that the attempt had, or, while connecting, the connection. */
  readonly timeoutMillis?: number | undefined
  /** What was bound: masked in every message that may repeat it. */
  readonly values?: ReadonlyArray<unknown> | undefined
  /** Passwords and the like: masked in every message. */
  readonly secrets?: ReadonlyArray<unknown> | undefined
  /** While a connection is being opened: whether with TLS. */
  readonly opening?: "plain" | "tls" | undefined
  /** A password that it spells out is masked in every message; a server cuts out pieces of it to quote. */
  readonly statement?: string | undefined
}

/** The union of what this module looks at, on errors of the driver and of Node. Nothing of it is certain to be there. */
interface Failure {
  readonly name?: unknown
  readonly message?: unknown
  readonly code?: unknown
  // of OpenSSL: the end of its message, without numbers and without places in its source
  readonly reason?: unknown
  readonly errors?: unknown
  // of every error that a socket raised
  readonly isSocketError?: unknown
  readonly requestNotWritten?: unknown
  readonly innerError?: unknown
  // NoHostAvailableError
  readonly innerErrors?: unknown
  // OperationTimedOutError
  readonly host?: unknown
  // ResponseError
  readonly consistencies?: unknown
  readonly required?: unknown
  readonly alive?: unknown
  readonly received?: unknown
  readonly blockFor?: unknown
  readonly failures?: unknown
  readonly isDataPresent?: unknown
  readonly writeType?: unknown
  readonly keyspace?: unknown
  readonly table?: unknown
  readonly functionName?: unknown
  readonly argTypes?: unknown
}

/** The reason of whatever was raised. Never throws, and never repeats a value of `context.values`. */
export const classify = (error: unknown, context: Context = {}): Reason => {
  if (Errors.CqlError.is(error)) return error.reason
  if (typeof error !== "object" || error === null) {
    return new Errors.UnknownError({ message: text(String(error), context) })
  }
  const failure: Failure = error
  return ofName.get(failure.name)?.(failure, context) ??
    ofSocket(failure, context) ??
    new Errors.UnknownError({ message: messageOf(failure, context) })
}

// --- messages

/** Without values, and one line: what a server or a name server sends is not to break a log, or to steer a terminal. */
const text = (message: string, { secrets = [], statement = "", values = [] }: Context): string =>
  oneLine(maskValues(maskPasswords(message), [...values, ...secrets, ...passwordsIn(statement)]))

const oneLine = (message: string): string => message.replace(/[\s\p{Cc}]+/gu, " ").trim()

const messageOf = (failure: Failure, context: Context): string => {
  if (typeof failure.message === "string" && failure.message !== "") return text(failure.message, context)
  // Node tries every address of a name, and puts what it met into an error without a message.
  if (Array.isArray(failure.errors)) {
    return failure.errors.map((error: unknown) => messageOf(Object(error), context)).join("; ")
  }
  return typeof failure.code === "string" ? failure.code : "an error without a message"
}

/** A message that was made without knowing the values. To look for them would only garble its numbers and names. */
const valuelessMessageOf = (failure: Failure, context: Context): string =>
  messageOf(failure, { ...context, values: undefined })

// --- by name

const ofName: ReadonlyMap<unknown, (failure: Failure, context: Context) => Reason | undefined> = new Map([
  ["ResponseError", (failure, context) => answer(failure, context)],
  ["NoHostAvailableError", (failure, context) => noHostAvailable(failure, context)],
  ["AuthenticationError", (failure, context) => authentication(valuelessMessageOf(failure, context))],
  ["NoCredentials", (failure, context) => authentication(valuelessMessageOf(failure, context))],
  ["LateCredentials", (failure, context) => {
    const message = valuelessMessageOf(failure, context)
    return new Errors.ClientTimeout({ phase: "connect", timeoutMillis: context.timeoutMillis ?? 0, message })
  }],
  ["OperationTimedOutError", (failure, context) => timedOut(failure, context)],
  ["BusyConnectionError", (failure, context) => {
    return new Errors.ConnectionError({ written: false, message: valuelessMessageOf(failure, context) })
  }],
  ["ArgumentError", (failure, context) => invalidConfig(failure, context)],
  ["TypeError", (failure, context) => isAboutOptions(failure) ? invalidConfig(failure, context) : undefined],
  ["NotSupportedError", (failure, context) => new Errors.UnsupportedDriver({ message: messageOf(failure, context) })],
  ["MalformedResponse", (failure, context) => new Errors.ProtocolError({ message: messageOf(failure, context) })]
])

const timedOut = (failure: Failure, context: Context): Reason => {
  const message = valuelessMessageOf(failure, context)
  // The control connection has no node to name: what ran out is the wait for a connection.
  const phase = failure.host === undefined && context.node === undefined ? "connect" : "attempt"
  const told = /timeout (\d+) ms/.exec(message)
  const timeoutMillis = context.timeoutMillis ?? Number(told?.[1] ?? 0)
  if (phase === "connect") return new Errors.ClientTimeout({ phase, timeoutMillis, message })
  const node = context.node ?? String(failure.host)
  return new Errors.ClientTimeout({
    phase,
    timeoutMillis,
    message: `${node} did not answer in ${Math.round(timeoutMillis)} ms`
  })
}

const authentication = (message: string): Reason =>
  new Errors.AuthenticationError({
    message: message === "Authentication provider not set" || message.includes("no authenticator found in the options")
      ? "the node asks for credentials, and none were given"
      : message
  })

// --- options that the driver refuses

/** The driver checks its options one by one, and names each in its own way. */
const options: ReadonlyArray<readonly [pattern: RegExp, field: string, expected: string]> = [
  [/contacts? points?/i, "contactPoints", "one or more addresses or names, each with or without a port"],
  [/localDataCenter|Datacenter .* was not found/i, "localDataCenter", "the name of a data center of the cluster"],
  [/username|password/i, "username", "the name of a role, and `password` its password"],
  [/secureConnectBundle|secure bundle/i, "secureConnectBundle", "the path of a secure connect bundle"],
  [/SSL options/i, "tls", "nothing, for the secure connect bundle brings its own"],
  [/applicationName/, "applicationName", "a string"],
  [/applicationVersion/, "applicationVersion", "a string"],
  [/readTimeout/, "attemptTimeout", "a duration"]
]

/** A `TypeError` elsewhere than in the check of options is a defect, and no fault of the user's options. */
const isAboutOptions = (failure: Failure): boolean =>
  typeof failure.message === "string" &&
  (/ (?:must be|should be|is not a valid|not defined|not valid|is invalid|can not be)\b/.test(failure.message) ||
    options.some(([pattern]) => pattern.test(failure.message as string)))

const invalidConfig = (failure: Failure, context: Context): Reason => {
  const message = messageOf(failure, context)
  const known = options.find(([pattern]) => pattern.test(message))
  return new Errors.InvalidConfig({
    message,
    field: known?.[1] ?? "driverOptions",
    expected: known?.[2] ?? "options that cassandra-driver takes"
  })
}

// --- what the server says

const number = (value: unknown): number => typeof value === "number" ? value : 0

const string = (value: unknown): string => typeof value === "string" ? value : ""

const consistencyOf = ({ consistencies }: Failure): Consistency | undefined =>
  typeof consistencies === "number" ? Consistencies.fromCode(consistencies) : undefined

/** `undefined`, and so a `ServerError`, for an answer without the fields that the protocol promises. */
interface Answer {
  (failure: Failure, message: string): Reason | undefined
}

/** Answers that tell of replicas have these three fields. */
const ofReplicas = (
  make: (
    failure: Failure,
    fields: { message: string; consistency: Consistency; received: number; blockFor: number }
  ) => Reason
): Answer =>
(failure, message) => {
  const consistency = consistencyOf(failure)
  const { blockFor, received } = failure
  return consistency === undefined
    ? undefined
    : make(failure, { message, consistency, received: number(received), blockFor: number(blockFor) })
}

const syntaxError: Answer = (_failure, message) => {
  const position = /^line (\d+):(\d+) /.exec(message)
  if (position === null) return new Errors.CqlSyntaxError({ message })
  return new Errors.CqlSyntaxError({ message, line: Number(position[1]), column: Number(position[2]) })
}

/** The driver reads none of its fields; the message tells a part of them. */
const casWriteUnknown = (failure: Failure, message: string): Reason => {
  const accepted = /accepted by (\d+)/.exec(message)
  return new Errors.CasWriteUnknown({
    message,
    consistency: consistencyOf(failure) ?? "serial",
    received: typeof failure.received === "number" ? failure.received : Number(accepted?.[1] ?? 0),
    blockFor: number(failure.blockFor)
  })
}

/** Section 9 of the specification of protocol v4; 0x1600, 0x1700 are of v5. */
const codes: ReadonlyMap<number, Answer> = new Map<number, Answer>([
  [0x000a, (_, message) => new Errors.ProtocolError({ message })],
  [0x0100, (_, message) => authentication(message)],
  [0x1000, (failure, message) => {
    const consistency = consistencyOf(failure)
    const { alive, required } = failure
    return consistency === undefined
      ? undefined
      : new Errors.Unavailable({ message, consistency, required: number(required), alive: number(alive) })
  }],
  [0x1001, (_, message) => new Errors.Overloaded({ message })],
  [0x1002, (_, message) => new Errors.Bootstrapping({ message })],
  [0x1003, (_, message) => new Errors.Truncate({ message })],
  [
    0x1100,
    ofReplicas((failure, fields) => {
      const writeType = string(failure.writeType)
      return writeType === "CAS"
        ? new Errors.CasWriteUnknown(fields)
        : new Errors.WriteTimeout({ ...fields, writeType })
    })
  ],
  // The driver gives `isDataPresent` as the byte that was on the wire.
  [
    0x1200,
    ofReplicas((failure, fields) => {
      return new Errors.ReadTimeout({ ...fields, dataPresent: Boolean(failure.isDataPresent) })
    })
  ],
  [
    0x1300,
    ofReplicas((failure, fields) => {
      const { failures, isDataPresent } = failure
      return new Errors.ReadFailure({ ...fields, failures: number(failures), dataPresent: Boolean(isDataPresent) })
    })
  ],
  [0x1400, (failure, message) =>
    new Errors.FunctionFailure({
      message,
      keyspace: string(failure.keyspace),
      functionName: string(failure.functionName),
      argumentTypes: Array.isArray(failure.argTypes) ? failure.argTypes.map(String) : []
    })],
  [
    0x1500,
    ofReplicas((failure, fields) => {
      const { failures, writeType } = failure
      return new Errors.WriteFailure({ ...fields, failures: number(failures), writeType: string(writeType) })
    })
  ],
  [0x1700, casWriteUnknown],
  [0x2000, syntaxError],
  [0x2100, (_, message) => new Errors.Unauthorized({ message })],
  [0x2200, (_, message) => new Errors.InvalidQuery({ message })],
  // "Configuration error": of the schema (a replication strategy, a compaction), and not of the server's.
  [0x2300, (_, message) => new Errors.InvalidQuery({ message })],
  [0x2400, (failure, message) => {
    const table = string(failure.table)
    return new Errors.AlreadyExists({
      message,
      keyspace: string(failure.keyspace),
      ...(table === "" ? undefined : { table })
    })
  }],
  [0x2500, (_, message) => new Errors.Unprepared({ message })]
])

/** Of their fields, of the schema or of the text: the values of a statement are not known where these are made. */
const withoutValues = new Set([0x0100, 0x1000, 0x1100, 0x1200, 0x1300, 0x1500, 0x2000, 0x2400, 0x2500])

const answer = (failure: Failure, context: Context): Reason => {
  const code = number(failure.code)
  const message = withoutValues.has(code) ? valuelessMessageOf(failure, context) : messageOf(failure, context)
  return codes.get(code)?.(failure, message) ?? new Errors.ServerError({ message, code })
}

// --- sockets

const verifyChoices =
  "`tls.verify` chooses what is checked: \"address\" (the chain, and the address that was dialled: the default), " +
  "{ serverName } (the chain, and one name for all nodes), { check } (the chain, and a function of yours) " +
  "or \"chain\" (no name)"

const advice = {
  "tls.ca": `\`tls.ca\` or \`tls.caFile\` names the authorities to trust. ${verifyChoices}`,
  "tls.verify": verifyChoices,
  // Of the node's certificate: what a new one mends.
  none: `A new certificate mends it: no choice accepts this one. ${verifyChoices}`,
  "tls.cert": "`tls.cert` or `tls.certFile` is the certificate of this client, `tls.key` or `tls.keyFile` its key",
  tls: "`tls` chooses whether it is spoken, `port` or the contact point where"
} as const

interface CertificateProblem {
  readonly problem: string
  /** The option that is at fault. Without one it is the node's certificate, and a new one mends it. */
  readonly field?: "tls.ca" | "tls.verify"
}

const notTrusted: CertificateProblem = {
  problem: "its certificate is from an authority not known here",
  field: "tls.ca"
}

/** Why Node refused a node's certificate, by the codes of OpenSSL and of Node. */
const certificateProblems: ReadonlyMap<string, CertificateProblem> = new Map<string, CertificateProblem>([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", { problem: "its certificate is signed by itself", field: "tls.ca" }],
  ["SELF_SIGNED_CERT_IN_CHAIN", notTrusted],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", notTrusted],
  ["UNABLE_TO_GET_ISSUER_CERT", notTrusted],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", notTrusted],
  ["CERT_UNTRUSTED", notTrusted],
  ["CERT_SIGNATURE_FAILURE", notTrusted],
  ["ERR_TLS_CERT_ALTNAME_INVALID", { problem: "its certificate is for another name or address", field: "tls.verify" }],
  ["CERT_REFUSED_BY_CHECK", { problem: "the function of `tls.verify` does not accept it", field: "tls.verify" }],
  ["CERT_HAS_EXPIRED", { problem: "its certificate has expired" }],
  ["CERT_NOT_YET_VALID", { problem: "its certificate is not valid yet; compare the clocks" }],
  ["CERT_REVOKED", { problem: "its certificate was revoked" }]
])

const tlsExpectations = {
  "tls.ca": "the authority that signed the nodes' certificates",
  "tls.verify": "a check that the nodes' certificates pass",
  "tls.cert": "a certificate that the nodes accept",
  tls: "left out, unless the nodes speak TLS at this port"
} as const

const nodeOf = (context: Context): string => context.node ?? "the node"

/** Node's own message tells the names in the certificate, which is what one needs to choose. */
const refusedCertificate = ({ field, problem }: CertificateProblem, failure: Failure, context: Context): Reason => {
  const told = valuelessMessageOf(failure, context)
  const message = `${nodeOf(context)} cannot be trusted: ${problem} (${told}). ${advice[field ?? "none"]}`
  return field === undefined
    ? new Errors.ConnectionError({ written: false, message })
    : new Errors.InvalidConfig({ field, expected: tlsExpectations[field], message })
}

/** What a node says of this client's certificate, by the alerts of TLS. */
const alerts: ReadonlyMap<string, string> = new Map([
  ["CERTIFICATE_REQUIRED", "it demands a certificate of this client, and none was given"],
  // Of TLS 1.2 and before, where nothing was given.
  [
    "HANDSHAKE_FAILURE",
    "it demands a certificate of this client, or has no version and cipher of TLS in common with it"
  ],
  ["BAD_CERTIFICATE", "it demands a certificate of this client, and accepts none that was given"],
  ["UNSUPPORTED_CERTIFICATE", "it does not accept the kind of this client's certificate"],
  ["CERTIFICATE_REVOKED", "this client's certificate was revoked"],
  ["CERTIFICATE_EXPIRED", "this client's certificate has expired"],
  ["CERTIFICATE_UNKNOWN", "it does not accept this client's certificate"],
  ["UNKNOWN_CA", "this client's certificate is from an authority that it does not know"],
  ["ACCESS_DENIED", "it does not let this client's certificate in"]
])

/** OpenSSL has the version in its names that brought the alert, and they change with its own. */
const alertCode = /^ERR_SSL_[A-Z0-9/]+_ALERT_([A-Z_]+)$/

const noTls = /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|HTTP_REQUEST)$/

const refusedClient = (problem: string, failure: Failure, context: Context): Reason =>
  new Errors.InvalidConfig({
    field: "tls.cert",
    expected: tlsExpectations["tls.cert"],
    message: `${nodeOf(context)} refuses this client: ${problem} (${openSslOf(failure, context)}). ${
      advice["tls.cert"]
    }`
  })

const speaksNoTls = (failure: Failure, context: Context): Reason =>
  new Errors.InvalidConfig({
    field: "tls",
    expected: tlsExpectations.tls,
    message: `${nodeOf(context)} does not speak TLS (${openSslOf(failure, context)}). ${advice.tls}`
  })

const openSslOf = (failure: Failure, context: Context): string =>
  typeof failure.reason === "string" ? text(failure.reason, context) : valuelessMessageOf(failure, context)

/** Both sides may end a handshake without a word. */
const ofHandshake = (code: string, failure: Failure, context: Context): Reason | undefined => {
  const problem = certificateProblems.get(code)
  if (problem !== undefined) return refusedCertificate(problem, failure, context)
  const alert = alerts.get(alertCode.exec(code)?.[1] ?? "")
  if (alert !== undefined) return refusedClient(alert, failure, context)
  if (noTls.test(code)) return speaksNoTls(failure, context)
  if (/before secure TLS connection/.test(String(failure.message))) return closedWhileOpening(context, "tls")
  return code === "ECONNRESET" && context.opening !== undefined
    ? closedWhileOpening(context, context.opening)
    : undefined
}

const closedWhileOpening = (context: Context, opening: "plain" | "tls"): Reason => {
  const question = opening === "plain"
    ? "does it ask for TLS, or does something else listen there?"
    : "does it speak TLS there, and does it accept the certificate of this client?"
  const choices = opening === "plain" ? advice.tls : `${advice.tls}; ${advice["tls.cert"]}`
  const message = `${nodeOf(context)} closed the connection while it was being opened: ${question} ${choices}`
  return new Errors.ConnectionError({ written: false, message })
}

/** Raised before a connection is there: nothing can have been written to it. */
const beforeWriting =
  /^(?:ECONNREFUSED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|ENOTFOUND|EAI_|EMFILE|ENFILE)/

const systemCode = /^(?:E[A-Z0-9_]{2,}|ERR_(?:TLS|SSL|SOCKET|STREAM)_[A-Z0-9_/]+)$/

const ofSocket = (failure: Failure, context: Context): Reason | undefined => {
  const message = typeof failure.message === "string" ? failure.message : ""
  // How the driver and `client.ts` end what is still open at a shutdown.
  if (/^(?:the client is closed|ControlConnection is being shutdown)$/.test(message)) {
    return new Errors.SessionClosed({ message: "the session is closed" })
  }
  if (message === "Connection timeout") {
    const timeoutMillis = context.timeoutMillis ?? 0
    const limit = context.timeoutMillis === undefined ? "in time" : `in ${Math.round(timeoutMillis)} ms`
    return new Errors.ClientTimeout({ phase: "connect", timeoutMillis, message: `no connection was opened ${limit}` })
  }
  if (failure.isSocketError === true) return lost(failure, context)
  const code = typeof failure.code === "string" ? failure.code : undefined
  if (code === undefined) return undefined
  const refused = ofHandshake(code, failure, context)
  if (refused !== undefined) return refused
  if (!systemCode.test(code)) return undefined
  const written = !beforeWriting.test(code) && (failure as { readonly syscall?: unknown }).syscall !== "connect"
  return new Errors.ConnectionError({ written, message: valuelessMessageOf(failure, context) })
}

/** The driver says "Socket was closed"; why, if anybody knows, is inside. */
const lost = (failure: Failure, context: Context): Reason => {
  const written = failure.requestNotWritten !== true
  const { innerError } = failure
  if (Errors.CqlError.is(innerError)) return innerError.reason
  const inside = typeof innerError === "object" && innerError !== null ? classify(innerError, context) : undefined
  if (inside?._tag === "SessionClosed") return inside
  if (context.opening !== undefined) return lostWhileOpening(inside, context, context.opening)
  const why = inside === undefined ? "the node closed the connection" : inside.message
  const message = inside === undefined ? atNode(context, why) : `the connection was lost: ${why}`
  return new Errors.ConnectionError({ written, message })
}

/** The driver's own word for it says nothing; what a socket raised does. */
const lostWhileOpening = (inside: Reason | undefined, context: Context, opening: "plain" | "tls"): Reason =>
  inside === undefined || inside._tag === "UnknownError" ? closedWhileOpening(context, opening) : inside

const atNode = (context: Context, message: string): string =>
  context.node === undefined ? message : `${context.node}: ${message}`

// --- no host available

/** Whether there is no more to tell than that nothing is there. */
export const isAway = (error: unknown): boolean => {
  const { code, message }: Failure = Object(error)
  return message === "Connection timeout" || (typeof code === "string" && beforeWriting.test(code))
}

/** Why the last connection to a node could not be opened, as long as none was since, and the node is there. */
export const notOpened = new WeakMap<object, Reason>()

/** What one node's failure does not tell of the others is reported for each of them, and not as the one reason. */
const perNode = new Set<Reason["_tag"]>(["ConnectionError", "ClientTimeout", "NoHostAvailable", "UnknownError"])

const noHostAvailable = (failure: Failure, context: Context): Reason => {
  const { innerErrors } = failure
  if (typeof innerErrors !== "object" || innerErrors === null) {
    // The driver has no list of hosts only where it refuses to begin: after its shutdown.
    return /shutdown/.test(String(failure.message))
      ? new Errors.SessionClosed({ message: "the session is closed" })
      : new Errors.NoHostAvailable({ message: messageOf(failure, context), nodes: [] })
  }
  const entries = Object.entries(innerErrors)
  const reasons = entries.map(([node, error]) => isFailure(error) ? classify(error, { ...context, node }) : undefined)
  const shared = sharedReason(reasons)
  if (shared !== undefined) return shared
  const nodes = entries.map(([node, error], index) => ({
    node,
    error: reasons[index]?.message ?? withoutFailure(error, context)
  }))
  return new Errors.NoHostAvailable({ nodes, message: summary(failure, nodes, context) })
}

const isFailure = (error: unknown): error is object => typeof error === "object" && error !== null

const withoutFailure = (error: unknown, context: Context): string =>
  typeof error === "string" ? text(error, context) : "it was not asked"

/** All nodes say the same, and it is about the request or the client: then that is what happened. */
const sharedReason = (reasons: ReadonlyArray<Reason | undefined>): Reason | undefined => {
  const first = reasons[0]
  if (first === undefined || perNode.has(first._tag)) return undefined
  return reasons.every((reason) => reason?._tag === first._tag) ? first : undefined
}

const summary = (
  failure: Failure,
  nodes: ReadonlyArray<{ readonly node: string; readonly error: string }>,
  context: Context
): string => {
  const first = nodes[0]
  if (first === undefined) return messageOf(failure, context)
  const told = first.error.includes(first.node) ? first.error : `${first.node}: ${first.error}`
  return nodes.length === 1
    ? `no node could be asked: ${told}`
    : `none of ${nodes.length} nodes could be asked: ${told}, and ${nodes.length - 1} more`
}
