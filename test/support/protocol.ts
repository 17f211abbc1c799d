/**
 * CQL's native protocol v4 as a server sees it: requests are decoded, results, errors and events are encoded.
 *
 * Pure functions over Buffers, written from the protocol's specification and sharing nothing with the driver, so that
 * a mistake in the one does not hide in the other. `ScriptedServer.ts` adds the sockets.
 */

export const version = 4

export const Opcode = {
  error: 0x00,
  startup: 0x01,
  ready: 0x02,
  authenticate: 0x03,
  options: 0x05,
  supported: 0x06,
  query: 0x07,
  result: 0x08,
  prepare: 0x09,
  execute: 0x0a,
  register: 0x0b,
  event: 0x0c,
  batch: 0x0d,
  authResponse: 0x0f,
  authSuccess: 0x10
} as const

const FrameFlag = { tracing: 0x02, payload: 0x04, warnings: 0x08 }

const ResultKind = { void: 1, rows: 2, setKeyspace: 3, prepared: 4, schemaChange: 5 }

const consistencies = [
  "ANY",
  "ONE",
  "TWO",
  "THREE",
  "QUORUM",
  "ALL",
  "LOCAL_QUORUM",
  "EACH_QUORUM",
  "SERIAL",
  "LOCAL_SERIAL",
  "LOCAL_ONE"
] as const

export type Consistency = typeof consistencies[number]

// -----------------------------------------------------------------------------
// Notations: [int], [string], [bytes], ... of the specification
// -----------------------------------------------------------------------------

export const int = (n: number): Buffer => {
  const buffer = Buffer.allocUnsafe(4)
  buffer.writeInt32BE(n)
  return buffer
}

export const short = (n: number): Buffer => {
  const buffer = Buffer.allocUnsafe(2)
  buffer.writeUInt16BE(n)
  return buffer
}

const long = (n: bigint): Buffer => {
  const buffer = Buffer.allocUnsafe(8)
  buffer.writeBigInt64BE(n)
  return buffer
}

export const string = (text: string): Buffer => {
  const utf8 = Buffer.from(text)
  return Buffer.concat([short(utf8.length), utf8])
}

/** `null` has the length -1. */
export const bytes = (value: Buffer | null): Buffer =>
  value === null ? int(-1) : Buffer.concat([int(value.length), value])

export const shortBytes = (value: Buffer): Buffer => Buffer.concat([short(value.length), value])

export const stringList = (items: ReadonlyArray<string>): Buffer =>
  Buffer.concat([short(items.length), ...items.map(string)])

const stringMultimap = (map: Readonly<Record<string, ReadonlyArray<string>>>): Buffer => {
  const entries = Object.entries(map)
  return Buffer.concat([
    short(entries.length),
    ...entries.flatMap(([key, values]) => [string(key), stringList(values)])
  ])
}

const bytesMap = (map: Readonly<Record<string, Buffer>>): Buffer => {
  const entries = Object.entries(map)
  return Buffer.concat([short(entries.length), ...entries.flatMap(([key, value]) => [string(key), bytes(value)])])
}

export const consistency = (name: Consistency): Buffer => short(consistencies.indexOf(name))

const address = (ip: string): Buffer => Buffer.from(ip.split(".").map(Number))

class Reader {
  private offset = 0
  private readonly buffer: Buffer

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  take(length: number): Buffer {
    if (this.offset + length > this.buffer.length) {
      throw new RangeError(`${length} bytes wanted at ${this.offset} of a body of ${this.buffer.length}`)
    }
    return this.buffer.subarray(this.offset, this.offset += length)
  }
  byte(): number {
    return this.take(1).readUInt8()
  }
  short(): number {
    return this.take(2).readUInt16BE()
  }
  int(): number {
    return this.take(4).readInt32BE()
  }
  long(): bigint {
    return this.take(8).readBigInt64BE()
  }
  string(): string {
    return this.take(this.short()).toString()
  }
  longString(): string {
    return this.take(this.int()).toString()
  }
  shortBytes(): Buffer {
    return this.take(this.short())
  }
  /** A bound value: -1 is null and -2 is unset. */
  value(): Buffer | null | undefined {
    const length = this.int()
    return length >= 0 ? this.take(length) : length === -1 ? null : undefined
  }
  consistency(): Consistency {
    const code = this.short()
    const name = consistencies[code]
    if (name === undefined) throw new RangeError(`Unknown consistency ${code}`)
    return name
  }
  times<A>(count: number, read: () => A): Array<A> {
    return Array.from({ length: count }, read)
  }
}

// -----------------------------------------------------------------------------
// Frames
// -----------------------------------------------------------------------------

export interface RequestFrame {
  readonly version: number
  readonly flags: number
  readonly stream: number
  readonly opcode: number
  readonly body: Buffer
}

const headerSize = 9

/** Cuts a stream of bytes into frames, whatever the chunks they come in. */
export const makeFrameReader = (): (chunk: Buffer) => ReadonlyArray<RequestFrame> => {
  let pending: Array<Buffer> = []
  let size = 0
  let wanted = headerSize
  return (chunk) => {
    pending.push(chunk)
    size += chunk.length
    // Joined only when a frame can be completed, or a large body in small chunks would be copied again and again.
    if (size < wanted) return []
    let buffer = pending.length === 1 ? chunk : Buffer.concat(pending, size)
    const frames: Array<RequestFrame> = []
    wanted = headerSize
    while (buffer.length >= headerSize) {
      wanted = headerSize + buffer.readInt32BE(5)
      if (buffer.length < wanted) break
      frames.push({
        version: buffer.readUInt8(0) & 0x7f,
        flags: buffer.readUInt8(1),
        stream: buffer.readInt16BE(2),
        opcode: buffer.readUInt8(4),
        body: buffer.subarray(headerSize, wanted)
      })
      buffer = buffer.subarray(wanted)
      wanted = headerSize
    }
    pending = buffer.length === 0 ? [] : [buffer]
    size = buffer.length
    return frames
  }
}

export interface Response {
  readonly opcode: number
  /** In pieces, so that a large encoded page is sent again and again without a copy. */
  readonly body: ReadonlyArray<Buffer>
  readonly warnings?: ReadonlyArray<string>
  readonly payload?: Readonly<Record<string, Buffer>>
  /** 16 bytes. */
  readonly tracingId?: Buffer
}

export const encodeFrame = (stream: number, response: Response): ReadonlyArray<Buffer> => {
  const body = [...response.body]
  let flags = 0
  if (response.payload !== undefined) {
    flags |= FrameFlag.payload
    body.unshift(bytesMap(response.payload))
  }
  if (response.warnings !== undefined) {
    flags |= FrameFlag.warnings
    body.unshift(stringList(response.warnings))
  }
  if (response.tracingId !== undefined) {
    flags |= FrameFlag.tracing
    body.unshift(response.tracingId)
  }
  const header = Buffer.alloc(headerSize)
  header.writeUInt8(0x80 | version, 0)
  header.writeUInt8(flags, 1)
  header.writeInt16BE(stream, 2)
  header.writeUInt8(response.opcode, 4)
  header.writeInt32BE(body.reduce((total, part) => total + part.length, 0), 5)
  return [header, ...body]
}

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

/** `undefined` is a parameter left unset. */
export type BoundValue = Buffer | null | undefined

export interface BatchItem {
  /** Its text, or the id of a prepared statement. */
  readonly statement: string | Buffer
  readonly values: ReadonlyArray<BoundValue>
}

interface Parameters {
  readonly consistency: Consistency
  readonly serialConsistency: Consistency | undefined
  readonly timestamp: bigint | undefined
}

export interface QueryParameters extends Parameters {
  readonly values: ReadonlyArray<BoundValue>
  readonly names: ReadonlyArray<string> | undefined
  readonly skipMetadata: boolean
  readonly pageSize: number | undefined
  readonly pageState: Buffer | undefined
}

interface Envelope {
  readonly tracing: boolean
  readonly payload: Readonly<Record<string, Buffer | null | undefined>>
}

export type DecodedRequest =
  & Envelope
  & (
    | { readonly kind: "options" }
    | { readonly kind: "startup"; readonly options: Readonly<Record<string, string>> }
    | { readonly kind: "authResponse"; readonly token: Buffer | null | undefined }
    | { readonly kind: "register"; readonly events: ReadonlyArray<string> }
    | { readonly kind: "query"; readonly query: string; readonly parameters: QueryParameters }
    | { readonly kind: "prepare"; readonly query: string }
    | { readonly kind: "execute"; readonly id: Buffer; readonly parameters: QueryParameters }
    | {
      readonly kind: "batch"
      readonly type: "LOGGED" | "UNLOGGED" | "COUNTER"
      readonly items: ReadonlyArray<BatchItem>
      readonly parameters: Parameters
    }
  )

const QueryFlag = {
  values: 0x01,
  skipMetadata: 0x02,
  pageSize: 0x04,
  pageState: 0x08,
  serialConsistency: 0x10,
  timestamp: 0x20,
  names: 0x40
}

const readQueryParameters = (reader: Reader): QueryParameters => {
  const consistency = reader.consistency()
  const flags = reader.byte()
  const values: Array<BoundValue> = []
  const names: Array<string> = []
  if ((flags & QueryFlag.values) !== 0) {
    for (let left = reader.short(); left > 0; left--) {
      if ((flags & QueryFlag.names) !== 0) names.push(reader.string())
      values.push(reader.value())
    }
  }
  return {
    consistency,
    values,
    names: (flags & QueryFlag.names) === 0 ? undefined : names,
    skipMetadata: (flags & QueryFlag.skipMetadata) !== 0,
    pageSize: (flags & QueryFlag.pageSize) === 0 ? undefined : reader.int(),
    pageState: (flags & QueryFlag.pageState) === 0 ? undefined : reader.value() ?? undefined,
    serialConsistency: (flags & QueryFlag.serialConsistency) === 0 ? undefined : reader.consistency(),
    timestamp: (flags & QueryFlag.timestamp) === 0 ? undefined : reader.long()
  }
}

/** Throws a `RangeError` on a body that is not what its opcode says. */
export const decodeRequest = (frame: RequestFrame): DecodedRequest => {
  const reader = new Reader(frame.body)
  const envelope: Envelope = {
    tracing: (frame.flags & FrameFlag.tracing) !== 0,
    payload: (frame.flags & FrameFlag.payload) === 0
      ? {}
      : Object.fromEntries(reader.times(reader.short(), () => [reader.string(), reader.value()]))
  }
  switch (frame.opcode) {
    case Opcode.options:
      return { ...envelope, kind: "options" }
    case Opcode.startup:
      return {
        ...envelope,
        kind: "startup",
        options: Object.fromEntries(reader.times(reader.short(), () => [reader.string(), reader.string()]))
      }
    case Opcode.authResponse:
      return { ...envelope, kind: "authResponse", token: reader.value() }
    case Opcode.register:
      return { ...envelope, kind: "register", events: reader.times(reader.short(), () => reader.string()) }
    case Opcode.query:
      return { ...envelope, kind: "query", query: reader.longString(), parameters: readQueryParameters(reader) }
    case Opcode.prepare:
      return { ...envelope, kind: "prepare", query: reader.longString() }
    case Opcode.execute:
      return { ...envelope, kind: "execute", id: reader.shortBytes(), parameters: readQueryParameters(reader) }
    case Opcode.batch: {
      const type = (["LOGGED", "UNLOGGED", "COUNTER"] as const)[reader.byte()]
      if (type === undefined) throw new RangeError("Unknown type of batch")
      const items = reader.times(reader.short(), () => ({
        statement: reader.byte() === 0 ? reader.longString() : reader.shortBytes(),
        values: reader.times(reader.short(), () => reader.value())
      }))
      const consistency = reader.consistency()
      const flags = reader.byte()
      return {
        ...envelope,
        kind: "batch",
        type,
        items,
        parameters: {
          consistency,
          serialConsistency: (flags & QueryFlag.serialConsistency) === 0 ? undefined : reader.consistency(),
          timestamp: (flags & QueryFlag.timestamp) === 0 ? undefined : reader.long()
        }
      }
    }
    default:
      throw new RangeError(`Unknown opcode ${frame.opcode}`)
  }
}

// -----------------------------------------------------------------------------
// Types and values
// -----------------------------------------------------------------------------

interface TypeTree {
  readonly name: string
  readonly parameters: ReadonlyArray<TypeTree>
}

const typeCodes: Readonly<Record<string, number>> = {
  ascii: 0x01,
  bigint: 0x02,
  blob: 0x03,
  boolean: 0x04,
  counter: 0x05,
  decimal: 0x06,
  double: 0x07,
  float: 0x08,
  int: 0x09,
  timestamp: 0x0b,
  uuid: 0x0c,
  text: 0x0d,
  varchar: 0x0d,
  varint: 0x0e,
  timeuuid: 0x0f,
  inet: 0x10,
  date: 0x11,
  time: 0x12,
  smallint: 0x13,
  tinyint: 0x14,
  list: 0x20,
  map: 0x21,
  set: 0x22,
  tuple: 0x31
}

// What protocol v4 has no code for is sent as the name of a Java class.
const javaClasses: Readonly<Record<string, string>> = {
  bigint: "LongType",
  double: "DoubleType",
  duration: "DurationType",
  float: "FloatType",
  int: "Int32Type",
  text: "UTF8Type"
}

const marshal = (name: string): string => {
  const javaClass = javaClasses[name]
  if (javaClass === undefined) throw new TypeError(`No Java class known for the CQL type ${name}: give its rawType`)
  return `org.apache.cassandra.db.marshal.${javaClass}`
}

const parsedTypes = new Map<string, TypeTree>()

/** `map<text, frozen<list<int>>>`, as CQL writes it. */
const parseType = (text: string): TypeTree => {
  const known = parsedTypes.get(text)
  if (known !== undefined) return known
  const [name = "", ...rest] = text.split("<")
  const inside = rest.join("<").trim().replace(/>$/, "")
  const parameters: Array<string> = []
  let depth = 0
  let start = 0
  for (let i = 0; i <= inside.length; i++) {
    const char = inside[i]
    if (char === "<") depth++
    else if (char === ">") depth--
    else if (char === undefined || (char === "," && depth === 0)) {
      if (i > start) parameters.push(inside.slice(start, i).trim())
      start = i + 1
    }
  }
  const tree = { name: name.trim().toLowerCase(), parameters: parameters.map(parseType) }
  const type = tree.name === "frozen" ? tree.parameters[0]! : tree
  parsedTypes.set(text, type)
  return type
}

const typeOption = (type: TypeTree): Buffer => {
  if (type.name === "duration") return Buffer.concat([short(0), string(marshal("duration"))])
  if (type.name === "vector") {
    const [element, dimension] = type.parameters
    const parameters = `(${marshal(element!.name)}, ${dimension!.name})`
    return Buffer.concat([short(0), string(`org.apache.cassandra.db.marshal.VectorType${parameters}`)])
  }
  const code = typeCodes[type.name]
  if (code === undefined) throw new TypeError(`Unknown CQL type ${type.name}: give its rawType`)
  return Buffer.concat([
    short(code),
    ...(type.name === "tuple" ? [short(type.parameters.length)] : []),
    ...type.parameters.map(typeOption)
  ])
}

/**
 * A value for a cell. A Buffer is always sent as it is, whatever the column's type: so any type, and any malformed
 * value, can be sent. Without a Buffer: the simple types, tuples, and list, set and map (a JS `Map`) of them.
 */
export type Value =
  | Buffer
  | null
  | string
  | number
  | bigint
  | boolean
  | Date
  | ReadonlyArray<Value>
  | ReadonlyMap<Value, Value>

const fixed = (size: number, write: (buffer: Buffer) => void): Buffer => {
  const buffer = Buffer.allocUnsafe(size)
  write(buffer)
  return buffer
}

const encodeTree = (type: TypeTree, value: Value): Buffer | null => {
  if (value === null || Buffer.isBuffer(value)) return value
  const element = (i: number, item: Value): Buffer => bytes(encodeTree(type.parameters[i]!, item))
  const items = value as ReadonlyArray<Value>
  switch (type.name) {
    case "ascii":
    case "text":
    case "varchar":
      return Buffer.from(String(value))
    case "boolean":
      return Buffer.from([value === true ? 1 : 0])
    case "tinyint":
      return fixed(1, (buffer) => buffer.writeInt8(Number(value)))
    case "smallint":
      return fixed(2, (buffer) => buffer.writeInt16BE(Number(value)))
    case "int":
      return int(Number(value))
    case "bigint":
    case "counter":
    case "time":
      return long(BigInt(value as bigint))
    case "timestamp":
      return long(BigInt(Number(value)))
    case "float":
      return fixed(4, (buffer) => buffer.writeFloatBE(Number(value)))
    case "double":
      return fixed(8, (buffer) => buffer.writeDoubleBE(Number(value)))
    case "uuid":
    case "timeuuid":
      return Buffer.from(String(value).replaceAll("-", ""), "hex")
    case "inet":
      return address(String(value))
    case "list":
    case "set":
      return Buffer.concat([int(items.length), ...items.map((item) => element(0, item))])
    case "map": {
      const entries = [...value as ReadonlyMap<Value, Value>]
      return Buffer.concat([
        int(entries.length),
        ...entries.flatMap(([key, item]) => [element(0, key), element(1, item)])
      ])
    }
    case "tuple":
      return Buffer.concat(items.map((item, i) => element(i, item)))
    default:
      throw new TypeError(`A ${type.name} is given as a Buffer`)
  }
}

export const encodeValue = (type: string, value: Value): Buffer | null => encodeTree(parseType(type), value)

// -----------------------------------------------------------------------------
// Results
// -----------------------------------------------------------------------------

export interface Column {
  readonly name: string
  /** As CQL writes it: `int`, `list<text>`, `map<text, frozen<set<int>>>`, `vector<float, 3>`. */
  readonly type: string
  /** The bytes of the type [option] in the result's metadata, instead of those of `type`: for user types and lies. */
  readonly rawType?: Buffer
}

/** Rows once encoded can be sent in any number of pages. */
export interface EncodedRows {
  readonly count: number
  readonly bytes: Buffer
}

export const encodeRows = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<Value>>
): EncodedRows => {
  const types = columns.map((column) => column.rawType === undefined ? parseType(column.type) : undefined)
  const cells = rows.flatMap((row) =>
    row.map((value, i) => {
      const type = types[i]
      if (type !== undefined) return bytes(encodeTree(type, value))
      if (value === null || Buffer.isBuffer(value)) return bytes(value)
      throw new TypeError(`Values of ${columns[i]?.name}, whose type is raw, are given as Buffers`)
    })
  )
  return { count: rows.length, bytes: Buffer.concat(cells) }
}

export interface Metadata {
  readonly columns: ReadonlyArray<Column>
  readonly keyspace?: string
  readonly table?: string
  readonly pageState?: Buffer
  /** Declares the number of columns only, as a server answers who asked to skip the metadata. */
  readonly noMetadata?: boolean
}

const MetadataFlag = { globalTable: 0x01, morePages: 0x02, none: 0x04 }

const metadata = (value: Metadata, partitionKeys?: ReadonlyArray<number>): Buffer => {
  const none = value.noMetadata === true
  const global = !none && value.columns.length > 0
  const flags = (global ? MetadataFlag.globalTable : 0) |
    (value.pageState === undefined ? 0 : MetadataFlag.morePages) |
    (none ? MetadataFlag.none : 0)
  return Buffer.concat([
    int(flags),
    int(value.columns.length),
    ...(partitionKeys === undefined ? [] : [int(partitionKeys.length), ...partitionKeys.map(short)]),
    ...(value.pageState === undefined ? [] : [bytes(value.pageState)]),
    ...(global ? [string(value.keyspace ?? "scripted"), string(value.table ?? "scripted")] : []),
    ...(none ? [] : value.columns.flatMap((column) => [
      string(column.name),
      column.rawType ?? typeOption(parseType(column.type))
    ]))
  ])
}

const result = (kind: number, ...body: ReadonlyArray<Buffer>): Response => ({
  opcode: Opcode.result,
  body: [int(kind), ...body]
})

export const voidResult: Response = result(ResultKind.void)

export const rowsResult = (value: Metadata, rows: EncodedRows): Response =>
  result(ResultKind.rows, metadata(value), int(rows.count), rows.bytes)

export const keyspaceResult = (keyspace: string): Response => result(ResultKind.setKeyspace, string(keyspace))

export const preparedResult = (
  id: Buffer,
  parameters: Metadata,
  partitionKeys: ReadonlyArray<number>,
  columns: Metadata
): Response => result(ResultKind.prepared, shortBytes(id), metadata(parameters, partitionKeys), metadata(columns))

export const schemaChangeResult = (event: SchemaChange): Response =>
  result(ResultKind.schemaChange, schemaChange(event))

// -----------------------------------------------------------------------------
// Errors, events and the rest
// -----------------------------------------------------------------------------

export const errorResponse = (code: number, message: string, extra: ReadonlyArray<Buffer> = []): Response => ({
  opcode: Opcode.error,
  body: [int(code), string(message), ...extra]
})

export interface SchemaChange {
  readonly type: "SCHEMA_CHANGE"
  readonly change: "CREATED" | "UPDATED" | "DROPPED"
  readonly target: "KEYSPACE" | "TABLE" | "TYPE" | "FUNCTION" | "AGGREGATE"
  readonly keyspace: string
  /** Of the table, type, function or aggregate. */
  readonly name?: string
  /** Of a function or aggregate. */
  readonly argumentTypes?: ReadonlyArray<string>
}

export type Event =
  | SchemaChange
  | {
    readonly type: "STATUS_CHANGE"
    readonly change: "UP" | "DOWN"
    readonly address: string
    readonly port: number
  }
  | {
    readonly type: "TOPOLOGY_CHANGE"
    readonly change: "NEW_NODE" | "REMOVED_NODE" | "MOVED_NODE"
    readonly address: string
    readonly port: number
  }

const schemaChange = (event: SchemaChange): Buffer =>
  Buffer.concat([
    string(event.change),
    string(event.target),
    string(event.keyspace),
    ...(event.target === "KEYSPACE" ? [] : [string(event.name ?? "")]),
    ...(event.target === "FUNCTION" || event.target === "AGGREGATE" ? [stringList(event.argumentTypes ?? [])] : [])
  ])

export const eventResponse = (event: Event): Response => ({
  opcode: Opcode.event,
  body: event.type === "SCHEMA_CHANGE"
    ? [string(event.type), schemaChange(event)]
    : [string(event.type), string(event.change), Buffer.from([4]), address(event.address), int(event.port)]
})

/** Events belong to no request. */
export const eventStream = -1

export const ready: Response = { opcode: Opcode.ready, body: [] }

export const authenticate: Response = {
  opcode: Opcode.authenticate,
  body: [string("org.apache.cassandra.auth.PasswordAuthenticator")]
}

export const authSuccess: Response = { opcode: Opcode.authSuccess, body: [bytes(null)] }

export const supported: Response = {
  opcode: Opcode.supported,
  body: [stringMultimap({
    CQL_VERSION: ["3.4.7"],
    COMPRESSION: ["snappy", "lz4"],
    PROTOCOL_VERSIONS: ["3/v3", "4/v4"]
  })]
}
