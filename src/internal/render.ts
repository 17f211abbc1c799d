/**
 * An error as a good compiler prints one: the problem, the place in the text, what was tried, and what to do.
 *
 * The first line is `name: message`, and the rest is one block that can follow it anywhere: `Cause.pretty` and Effect's
 * loggers print that line themselves and then what `stack` has below its first.
 */
import type { Attempt, CqlError, Reason } from "../CqlError.ts"
import { hasCondition } from "./cql/condition.ts"
import { mask } from "./mask.ts"

export const render = (error: CqlError): string =>
  [
    `${error.name}: ${error.message}`,
    subtitle(error),
    ...section(statementBlock(error)),
    ...section(tableBlock(error.reason)),
    ...section([...nodesBlock(error.reason), ...attemptsBlock(error.attempts), ...hintBlock(error)])
  ].join("\n")

const section = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.length === 0 ? [] : ["", ...lines]

const subtitle = ({ coordinator, reason }: CqlError): string =>
  coordinator === undefined ? `  [${reason._tag}]` : `  [${reason._tag}] from ${coordinator}`

const tableBlock = (reason: Reason): ReadonlyArray<string> =>
  reason._tag === "StatementMismatch"
    ? [
      ...reason.table.split("\n").map((line) => `  ${line}`.trimEnd()),
      "",
      ...reason.problems.map((line) => `  ${line}`)
    ]
    : []

// --- the statement

/** More lines than a screen has room for, or longer ones, are cut around the mark. */
const maxWidth = 100
const maxLines = 12

const statementBlock = ({ reason, statement }: CqlError): ReadonlyArray<string> => {
  if (statement === undefined || statement.trim() === "") return []
  const lines = statement.split("\n")
  const position = positionOf(reason, statement)
  const { first, last } = window(lines, position?.line ?? 0)
  const indent = commonIndent(lines.slice(first, last))
  const isCut = (part: ReadonlyArray<string>): boolean => part.some((line) => line.trim() !== "")
  const block = isCut(lines.slice(0, first)) ? ["  …"] : []
  for (let index = first; index < last; index++) {
    const marked = index === position?.line ? position.column : undefined
    block.push(...lineBlock(lines[index]!, indent, marked))
  }
  if (isCut(lines.slice(last))) block.push("  …")
  return block
}

const window = (lines: ReadonlyArray<string>, marked: number): { readonly first: number; readonly last: number } => {
  const blank = (line: string | undefined): boolean => line?.trim() === ""
  let first = 0
  let last = lines.length
  while (first < marked && blank(lines[first])) first++
  while (last > marked + 1 && blank(lines[last - 1])) last--
  if (last - first <= maxLines) return { first, last }
  const from = Math.max(first, Math.min(marked - maxLines / 2, last - maxLines))
  return { first: from, last: from + maxLines }
}

/** A template literal's lines are as deep as the code around it; its first line begins after the backtick. */
const commonIndent = (lines: ReadonlyArray<string>): number => {
  const depths = lines.filter((line) => line.trim() !== "").map((line) => line.length - line.trimStart().length)
  const inner = depths.length > 1 && depths[0] === 0 ? depths.slice(1) : depths
  return inner.length === 0 ? 0 : Math.min(...inner)
}

const lineBlock = (line: string, indent: number, column: number | undefined): ReadonlyArray<string> => {
  const skipped = Math.min(indent, line.length - line.trimStart().length, column ?? Number.POSITIVE_INFINITY)
  const text = line.slice(skipped).trimEnd()
  const position = column === undefined ? undefined : Math.max(0, column - skipped)
  const from = position === undefined || text.length <= maxWidth ? 0 : cutBefore(text, position)
  const shown = text.slice(from, from + maxWidth)
  const lead = from > 0 ? "…" : ""
  const tail = from + maxWidth < text.length ? "…" : ""
  const printed = `  ${lead}${printable(shown)}${tail}`
  if (position === undefined) return [printed]
  return [
    printed,
    `  ${" ".repeat(lead.length + width(text.slice(from, position)) + Math.max(0, position - text.length))}^`
  ]
}

/** The mark stands two thirds into what is shown, for what the server did not expect is explained by what was before. */
const cutBefore = (text: string, position: number): number => {
  const from = Math.min(Math.max(0, position - Math.round(maxWidth * 2 / 3)), Math.max(0, text.length - maxWidth))
  // Not through the middle of a surrogate pair.
  return isLowSurrogate(text, from) ? from + 1 : from
}

const isLowSurrogate = (text: string, index: number): boolean => (text.charCodeAt(index) & 0xfc00) === 0xdc00

/** A tab or a control character would move everything after it, or the cursor. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, " ")

const wide = /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u

/** Columns on a terminal: the server counts UTF-16 units. */
const width = (text: string): number => {
  let columns = 0
  for (const character of text) {
    if (!/\p{M}/u.test(character)) columns += wide.test(character) ? 2 : 1
  }
  return columns
}

// --- where to put the mark

interface Position {
  readonly line: number
  readonly column: number
}

const positionOf = (reason: Reason, statement: string): Position | undefined => {
  switch (reason._tag) {
    case "CqlSyntaxError":
      return syntaxPosition(reason, statement) ?? namePosition(reason.message, statement)
    case "InvalidQuery":
      return namePosition(reason.message, statement)
    default:
      return undefined
  }
}

/** What the parser met; a quote inside of it is one that more of it follows. */
const metToken = /(?:input|character) '((?:[^']|'(?! |$))*)'/

const syntaxPosition = (
  { column, line, message }: Extract<Reason, { readonly _tag: "CqlSyntaxError" }>,
  statement: string
): Position | undefined => {
  const token = metToken.exec(message)?.[1]
  if (token === "<EOF>") return at(statement, statement.trimEnd().length)
  if (line === undefined || column === undefined) return undefined
  const told = statement.split("\n")[line - 1]
  if (told === undefined) return undefined
  if (!told.includes(mask)) return column > told.length ? undefined : { line: line - 1, column }
  // This is not quite what the server read: a password in it is masked, and what follows has moved.
  const moved = token === undefined ? -1 : told.indexOf(token)
  return moved === -1 || moved !== told.lastIndexOf(token!) ? undefined : { line: line - 1, column: moved }
}

const at = (statement: string, offset: number): Position => {
  const before = statement.slice(0, offset).split("\n")
  return { line: before.length - 1, column: before.at(-1)!.length }
}

type Kind = "column" | "table" | "any"

/** How servers from 2.2 to 5.0 name what they do not know, or what is not allowed. */
const names: ReadonlyArray<readonly [pattern: RegExp, kind: Kind]> = [
  [/unconfigured table ([\w.]+)/i, "table"],
  [/^(?:base )?(?:table|materialized view) '?([\w.]+)'? does(?:n't| not) exist/i, "table"],
  [/^[a-z ]+ ['"]?([\w.]+)['"]? does(?:n't| not) exist/i, "any"],
  [/undefined (?:column )?name "?(\w+)/i, "column"],
  [/unknown identifier "?(\w+)/i, "column"],
  [/unknown (?:type|function|property) '?([\w.]+)/i, "any"],
  [/(?:PRIMARY KEY|partition key|clustering|counter) (?:column|part) "?(\w+)/i, "column"],
  [/constant \(.*\) for "?(\w+)"? of type/i, "column"],
  [/^column (?:with name )?['"]?(\w+)/i, "column"],
  [/^(\w+) cannot be restricted/i, "column"]
]

const namePosition = (message: string, statement: string): Position | undefined => {
  const code = blankLiterals(statement)
  for (const [pattern, kind] of names) {
    const name = pattern.exec(message)?.[1]
    if (name === undefined) continue
    const offset = findName(code, name, kind)
    if (offset !== undefined) return at(statement, offset)
  }
  return undefined
}

/** Literals and comments as spaces, so that every offset stays what it is. */
const blankLiterals = (statement: string): string =>
  statement.replace(
    /'(?:[^']|'')*'|\$\$[\s\S]*?\$\$|--[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (literal) => literal.replace(/[^\n]/g, " ")
  )

/** Words after which a table is named. */
const tableWords =
  /\b(?:from|into|update|table|view|truncate|on)\s+(?:if\s+(?:not\s+)?exists\s+)?(?:"?\w+"?\s*\.\s*)?$/i

const findName = (code: string, qualified: string, kind: Kind): number | undefined => {
  // The server may say `keyspace.name` where the text has only the name.
  const name = qualified.slice(qualified.lastIndexOf(".") + 1)
  const found = [...code.matchAll(new RegExp(`(?<![\\w"])"?${name}"?(?![\\w"])`, "gi"))].map((match) => match.index)
  if (kind === "any") return found[0]
  return found.find((offset) => tableWords.test(code.slice(0, offset)) === (kind === "table"))
}

// --- nodes and attempts

const maxRows = 10

const nodesBlock = (reason: Reason): ReadonlyArray<string> =>
  reason._tag === "NoHostAvailable" && reason.nodes.length > 1
    ? ["  nodes", ...table(reason.nodes.map(({ error, node }) => [node, error]))]
    : []

const attemptsBlock = (attempts: ReadonlyArray<Attempt>): ReadonlyArray<string> =>
  attempts.length === 0
    ? []
    : ["  attempts", ...table(attempts.map((attempt) => [attempt.node, attempt.outcome, after(attempt)]))]

const after = ({ durationMillis }: Attempt): string => `after ${Math.round(durationMillis)} ms`

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const shown = rows.slice(0, maxRows)
  const widths = shown[0]!.map((_, column) => Math.max(...shown.map((row) => row[column]!.length)))
  const lines = shown.map((row) =>
    `    ${row.map((cell, column) => cell.padEnd(widths[column]!)).join("   ").trimEnd()}`
  )
  return rows.length > maxRows ? [...lines, `    … and ${rows.length - maxRows} more`] : lines
}

// --- hints

const hintBlock = (error: CqlError): ReadonlyArray<string> => {
  const hint = hintOf(error)
  return hint === undefined ? [] : [`  hint: ${hint}`]
}

export const hintOf = ({ reason, statement }: CqlError): string | undefined => {
  if (mayBeExecuted(reason) && statement !== undefined && hasCondition(statement)) return hints.CasWriteUnknown
  switch (reason._tag) {
    case "InvalidQuery":
      return queryHints.find(([pattern]) => pattern.test(reason.message))?.[1]
    case "InvalidConfig":
      return `\`${reason.field}\` takes ${reason.expected}`
    case "CqlSyntaxError":
      return syntaxHint(reason)
    case "Unauthorized":
      return /not anonymous/.test(reason.message) ? noLoginHint : hints.Unauthorized
    case "InvalidParameter":
      return reason.hint
    case "ConnectionError":
      return connectionHint(reason)
    case "NoHostAvailable":
      return noHostHint(reason)
    case "WriteTimeout":
      return writeHints[reason.writeType] ?? writeHints["SIMPLE"]
    case "ClientTimeout":
      return timeoutHints[reason.phase]
    case "ServerError":
      return reason.code === 0x1600 ? cdcHint : hints.ServerError
    default:
      return hints[reason._tag]
  }
}

const mayBeExecuted = (reason: Reason): boolean =>
  reason._tag === "ConnectionError"
    ? reason.written
    : reason._tag === "ClientTimeout" && (reason.phase === "attempt" || reason.phase === "operation")

const syntaxHint = ({ line, message }: Extract<Reason, { readonly _tag: "CqlSyntaxError" }>): string | undefined => {
  if (message.includes("'<EOF>'")) return "the statement ends too early: the mark is where more was expected"
  return line === undefined
    ? undefined
    : "the mark is where the server stopped: the mistake is there, or just before it"
}

const noLoginHint = "this server lets everybody in: roles and permissions need an `authenticator` in cassandra.yaml"

const nameHint = "the name is not known to the name server: check contactPoints"

const nothingListensHint = "nothing listens there: check the address, the port, and rpc_address"

const noHostHint = ({ nodes }: Extract<Reason, { readonly _tag: "NoHostAvailable" }>): string | undefined => {
  const areAll = (pattern: RegExp): boolean => nodes.length > 0 && nodes.every(({ error }) => pattern.test(error))
  if (areAll(/ECONNREFUSED/)) return `is the cluster up? ${nothingListensHint}`
  return areAll(/^has no address$/) ? nameHint : hints.NoHostAvailable
}

const connectionHint = (reason: Extract<Reason, { readonly _tag: "ConnectionError" }>): string | undefined => {
  // It says by itself what to do.
  if (reason.message.includes("tls.verify")) return undefined
  if (/ENOTFOUND|EAI_AGAIN/.test(reason.message)) return nameHint
  if (/ECONNREFUSED/.test(reason.message)) return nothingListensHint
  return reason.written
    ? "the node may have executed the statement: only an idempotent one can be tried again"
    : "the statement was not sent: it can be tried on another node"
}

const queryHints: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /ALLOW FILTERING/,
    "restrict the partition key, or read from a table or an index made for this question; ALLOW FILTERING reads the whole table"
  ],
  [/no keyspace has been specified/i, "give the session a `keyspace`, or write keyspace.table"],
  [
    /unconfigured table|^table .* does(?:n't| not) exist/i,
    "is it in another keyspace than the session's? Write keyspace.table; a name in capitals needs double quotes"
  ],
  [/^keyspace .* does(?:n't| not) exist/i, "create the keyspace first; a name in capitals needs double quotes"],
  [/undefined (?:column )?name|unknown identifier/i, "a name in capitals needs double quotes, in the table and here"],
  [
    /partition key parts are missing/i,
    "a write names the whole primary key; a read by key names the whole partition key"
  ],
  [/batch too large/i, "split it: a batch is for few rows of one partition, and not for speed"]
]

const cdcHint = "the node's change data capture log is full: consume it, or raise cdc_total_space"

const writeHints: Readonly<Record<string, string>> = {
  SIMPLE: "the write may have happened and may still: only an idempotent statement can be tried again",
  COUNTER: "the counter may have been incremented: to try again may count twice",
  BATCH: "the batch log holds the batch: it will be completed without you",
  BATCH_LOG: "a replica of the batch log may hold the batch and run it later: only an idempotent one can be tried again"
}

const timeoutHints = {
  connect: "is the address right, and does a firewall drop what is sent there?",
  queue: "more is asked than the cluster answers: lower the concurrency, or raise `maxInFlight` if the nodes are idle",
  prepare: "no node answered in time: nothing was executed, so it can be tried again",
  attempt: "the node may still execute the statement: only an idempotent one can be tried again",
  operation: "raise `timeout`, or read less at once; the attempts tell where the time went",
  stream: "raise `streamTimeout`, or read less; the time in which rows are worked on counts as well"
} as const

/** The reasons whose hint needs nothing of their fields. */
const hints: Partial<Record<Reason["_tag"], string>> = {
  NoHostAvailable: "is the cluster up? Check contact points, port and data center, and whether it asks for TLS",
  AuthenticationError: "check `username` and `password`: the role must exist, and have LOGIN = true",
  Unauthorized: "a superuser can GRANT the permission that the message names",
  AlreadyExists: "write IF NOT EXISTS if that is fine",
  Unavailable: "a node is down, or the replication factor is too small for the consistency",
  ReadTimeout: "a read can be tried again; when it stays, read less at once or look for tombstones",
  CasWriteUnknown: "read the row with consistency `serial`: that settles whether the transaction was applied",
  ReadFailure: "the reason is in the logs of the replicas; too many tombstones is the usual one",
  WriteFailure: "the reason is in the logs of the replicas; a mutation that is too large is the usual one",
  FunctionFailure: "the function threw: the message tells what, and its code is in system_schema.functions",
  Overloaded: "wait before the next request, and send fewer at once",
  Bootstrapping: "the node is starting: another one can be asked",
  Truncate: "TRUNCATE needs every node to be up",
  ServerError: "the node's log has the exception",
  ProtocolError: "does something else than Cassandra listen there, or something between that changes what is sent?",
  Unprepared: "does something between this program and the node change what is sent?",
  AdmissionRefused: "lower the concurrency: Effect.forEach takes `concurrency`, and a stream is read at your pace",
  CircuitOpen: "the errors before it tell why: `NoHostAvailable`, timeouts, or a server that is overloaded",
  InvalidPageState: "begin from the first page again, without a page state",
  TooManyRows: "read it as a stream, restrict the statement, or raise `maxRows`",
  SessionClosed: "the scope of the session has ended: provide its layer around the whole program",
  UnsupportedDriver: "npm install cassandra-driver@~4.10.0",
  UnknownError: "please report it, with the `driverError` of this error"
}
