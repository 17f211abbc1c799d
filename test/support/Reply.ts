/**
 * What a `ScriptedServer` answers: results and errors as Cassandra sends them, and the ways in which a server fails to
 * answer. A reply is a value, encoded when it is made: one that is made once can be sent a million times.
 */
import type * as Effect from "effect/Effect"
import * as Protocol from "./protocol.ts"

export type Reply =
  | { readonly _tag: "Response"; readonly response: Protocol.Response }
  | { readonly _tag: "Bytes"; readonly bytes: Buffer }
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Close" }
  | { readonly _tag: "Delay"; readonly until: Until; readonly reply: Reply }
  | { readonly _tag: "Partial"; readonly reply: Reply; readonly bytes: number; readonly after: "destroy" | "stop" }

/** Milliseconds of real time, or something that settles, however it does. */
export type Until = number | Promise<unknown> | Effect.Effect<unknown, unknown>

const make = (response: Protocol.Response): Reply => ({ _tag: "Response", response })

// Reaches the response inside delayed and partial replies.
const mapResponse = (reply: Reply, f: (response: Protocol.Response) => Protocol.Response): Reply => {
  switch (reply._tag) {
    case "Response":
      return make(f(reply.response))
    case "Delay":
    case "Partial":
      return { ...reply, reply: mapResponse(reply.reply, f) }
    default:
      return reply
  }
}

// -----------------------------------------------------------------------------
// Results
// -----------------------------------------------------------------------------

const void_: Reply = make(Protocol.voidResult)
export {
  /** The result of a write, or of anything without rows. */
  void_ as void
}

type Rows = ReadonlyArray<ReadonlyArray<Protocol.Value>> | Protocol.EncodedRows

const encoded = (columns: ReadonlyArray<Protocol.Column>, rows: Rows): Protocol.EncodedRows =>
  "bytes" in rows ? rows : Protocol.encodeRows(columns, rows)

/** Rows, or rows encoded before by `encodeRows`. */
export const rows = (options: Protocol.Metadata & { readonly rows: Rows }): Reply =>
  make(Protocol.rowsResult(options, encoded(options.columns, options.rows)))

/** The bytes after the metadata and the number of rows: sent as they are, whether or not they keep what `count` says. */
export const rawRows = (content: Buffer, options: Protocol.Metadata & { readonly count: number }): Reply =>
  make(Protocol.rowsResult(options, { count: options.count, bytes: content }))

/**
 * A script that serves these pages one after another, by page state. An empty page in the middle is what Cassandra
 * sends when a page held nothing but tombstones.
 */
export const pages = (
  options: Omit<Protocol.Metadata, "pageState"> & { readonly pages: ReadonlyArray<Rows> }
): (request: { readonly pageState: Buffer | undefined }) => Reply => {
  const replies = options.pages.map((page, i) => {
    const last = i === options.pages.length - 1
    return rows({ ...options, rows: page, ...(last ? {} : { pageState: Protocol.int(i + 1) }) })
  })
  return (request) =>
    replies[request.pageState?.length === 4 ? request.pageState.readInt32BE() : 0] ?? invalid("Invalid page state")
}

/** As the answer to `USE`. */
export const keyspace = (name: string): Reply => make(Protocol.keyspaceResult(name))

/** As the answer to DDL; the driver then waits for schema agreement. */
export const schemaChange = (event: Omit<Protocol.SchemaChange, "type">): Reply =>
  make(Protocol.schemaChangeResult({ ...event, type: "SCHEMA_CHANGE" }))

/** As the answer to PREPARE, for one that `server.prepared` would not give. */
export const prepared = (options: {
  readonly id: Buffer
  readonly params: ReadonlyArray<Protocol.Column>
  readonly columns?: ReadonlyArray<Protocol.Column>
  readonly partitionKeys?: ReadonlyArray<number>
  readonly keyspace?: string
  readonly table?: string
}): Reply => {
  const { columns, id, params, partitionKeys = [], ...table } = options
  // Cassandra declares no columns at all for what returns none, and for lightweight transactions.
  const result = columns === undefined ? { columns: [], noMetadata: true } : { ...table, columns }
  return make(Protocol.preparedResult(id, { ...table, columns: params }, partitionKeys, result))
}

/** Any response at all. */
export const response = (opcode: number, body: Buffer): Reply => make({ opcode, body: [body] })

/** Bytes on the socket in place of a frame. */
export const bytes = (value: Buffer): Reply => ({ _tag: "Bytes", bytes: value })

// -----------------------------------------------------------------------------
// What comes with a result or an error
// -----------------------------------------------------------------------------

export const warnings = (reply: Reply, texts: ReadonlyArray<string>): Reply =>
  mapResponse(reply, (response) => ({ ...response, warnings: texts }))

export const payload = (reply: Reply, value: Readonly<Record<string, Buffer>>): Reply =>
  mapResponse(reply, (response) => ({ ...response, payload: value }))

/** The id of a trace, 16 bytes. */
export const traced = (reply: Reply, tracingId: Buffer): Reply =>
  mapResponse(reply, (response) => ({ ...response, tracingId }))

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

/** Never answers; the connection stays. */
export const silence: Reply = { _tag: "Silence" }

/** Destroys the connection. */
export const close: Reply = { _tag: "Close" }

/** Answers later; meanwhile other requests of the connection are served. */
export const delay = (until: Until, reply: Reply): Reply => ({ _tag: "Delay", until, reply })

/** Sends the first bytes of the frame (its header is nine), then destroys the connection or sends nothing ever again. */
export const partial = (reply: Reply, bytes: number, after: "destroy" | "stop" = "destroy"): Reply => ({
  _tag: "Partial",
  reply,
  bytes,
  after
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/** `extra` is what the protocol puts after the message for some codes; nothing checks that it fits. */
export const error = (code: number, message: string, extra?: Buffer): Reply =>
  make(Protocol.errorResponse(code, message, extra === undefined ? [] : [extra]))

const errorWith = (code: number, message: string, ...extra: ReadonlyArray<Buffer>): Reply =>
  error(code, message, Buffer.concat(extra))

const plainError = (code: number) => (message: string): Reply => error(code, message)

export const serverError = plainError(0x0000)
export const protocolError = plainError(0x000a)
export const badCredentials = plainError(0x0100)
export const overloaded = plainError(0x1001)
export const bootstrapping = plainError(0x1002)
export const truncateError = plainError(0x1003)
export const syntax = plainError(0x2000)
export const unauthorized = plainError(0x2100)
export const invalid = plainError(0x2200)
export const configError = plainError(0x2300)

interface Level {
  /** ONE if not given. */
  readonly consistency?: Protocol.Consistency
}

const level = (options: Level): Buffer => Protocol.consistency(options.consistency ?? "ONE")

export const unavailable = (options: Level & { readonly required: number; readonly alive: number }): Reply =>
  errorWith(
    0x1000,
    "Cannot achieve consistency level",
    level(options),
    Protocol.int(options.required),
    Protocol.int(options.alive)
  )

interface Acknowledged extends Level {
  readonly received: number
  readonly blockFor: number
}

const acknowledged = (options: Acknowledged): Buffer =>
  Buffer.concat([level(options), Protocol.int(options.received), Protocol.int(options.blockFor)])

const boolean = (value: boolean | undefined): Buffer => Buffer.from([value === true ? 1 : 0])

export type WriteType = "SIMPLE" | "BATCH" | "UNLOGGED_BATCH" | "COUNTER" | "BATCH_LOG" | "CAS" | "VIEW" | "CDC"

export const readTimeout = (options: Acknowledged & { readonly dataPresent?: boolean }): Reply =>
  errorWith(0x1200, "Operation timed out", acknowledged(options), boolean(options.dataPresent))

export const writeTimeout = (options: Acknowledged & { readonly writeType?: WriteType }): Reply =>
  errorWith(0x1100, "Operation timed out", acknowledged(options), Protocol.string(options.writeType ?? "SIMPLE"))

export const readFailure = (
  options: Acknowledged & { readonly failures: number; readonly dataPresent?: boolean }
): Reply =>
  errorWith(
    0x1300,
    "Operation failed",
    acknowledged(options),
    Protocol.int(options.failures),
    boolean(options.dataPresent)
  )

export const writeFailure = (
  options: Acknowledged & { readonly failures: number; readonly writeType?: WriteType }
): Reply =>
  errorWith(
    0x1500,
    "Operation failed",
    acknowledged(options),
    Protocol.int(options.failures),
    Protocol.string(options.writeType ?? "SIMPLE")
  )

export const functionFailure = (options: {
  readonly keyspace: string
  readonly functionName: string
  readonly argumentTypes: ReadonlyArray<string>
  readonly message?: string
}): Reply =>
  errorWith(
    0x1400,
    options.message ?? `execution of '${options.keyspace}.${options.functionName}' failed`,
    Protocol.string(options.keyspace),
    Protocol.string(options.functionName),
    Protocol.stringList(options.argumentTypes)
  )

/** Without a table it is the keyspace that exists. */
export const alreadyExists = (options: { readonly keyspace: string; readonly table?: string }): Reply =>
  errorWith(
    0x2400,
    `Cannot add already existing ${options.table === undefined ? "keyspace" : "table"}`,
    Protocol.string(options.keyspace),
    Protocol.string(options.table ?? "")
  )

export const unprepared = (id: Buffer): Reply =>
  errorWith(0x2500, `Prepared query with ID ${id.toString("hex")} not found`, Protocol.shortBytes(id))
