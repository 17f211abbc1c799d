/**
 * Request frames of the native protocol v4 (sections 2 and 4.1), each written into one buffer of its exact size.
 */
import type { PreparedMetadata } from "../codec/Metadata.ts"
import * as Metadata from "../codec/Metadata.ts"
import type { DriverRequest } from "./inside.ts"

const headerLength = 9

const opcode = { query: 0x07, prepare: 0x09, execute: 0x0a, batch: 0x0d } as const

/** Flags of the frame (section 2.2). */
const frameFlag = { tracing: 0x02, customPayload: 0x04 } as const

/** Kinds of a RESULT frame (section 4.2.5). */
export const resultKind = { void: 1, rows: 2, setKeyspace: 3, prepared: 4, schemaChange: 5 } as const

const queryFlag = {
  values: 0x01,
  pageSize: 0x04,
  pageState: 0x08,
  serialConsistency: 0x10,
  timestamp: 0x20
} as const

/** What every statement is sent with. */
export interface RequestOptions {
  readonly consistency: number
  readonly serialConsistency: number | undefined
  /** Microseconds since the epoch; `undefined` leaves it to the server. */
  readonly timestamp: number | bigint | undefined
  readonly tracing: boolean
  readonly customPayload: CustomPayload | undefined
}

export interface CustomPayload {
  readonly [key: string]: Uint8Array | null
}

/** What QUERY and EXECUTE share: the `<query_parameters>` of section 4.1.4. */
export interface QueryParameters extends RequestOptions {
  /** `[short n]<value_1>...<value_n>`, as the encoder leaves it. */
  readonly values: Buffer | undefined
  /** Rows a page; 0 for all in one page. */
  readonly pageSize: number
  readonly pageState: Buffer | undefined
}

/** Reads the body of a rows result; `offset` is behind the kind. */
export interface RowsReader<A> {
  (buffer: Buffer, offset: number): A
}

/** A request of ours: the parser hands it its own response, and nobody else's rows are touched. */
export abstract class Request<A> implements DriverRequest {
  /** Set when nobody waits any more: the response is then skipped, not decoded. */
  abandoned = false

  /** Reads a RESULT body; `undefined` leaves the frame to the driver. Throws what `send` then reports. */
  abstract read(kind: number, buffer: Buffer, offset: number): A | undefined

  abstract write(encoder: { readonly protocolVersion: number }, streamId: number): Buffer
}

const writeHeader = (
  protocolVersion: number,
  streamId: number,
  operation: number,
  bodyLength: number,
  flags = 0
): Buffer => {
  const frame = Buffer.allocUnsafe(headerLength + bodyLength)
  frame[0] = protocolVersion
  frame[1] = flags
  frame.writeInt16BE(streamId, 2)
  frame[4] = operation
  frame.writeInt32BE(bodyLength, 5)
  return frame
}

const noBytes = Buffer.alloc(0)

/** `[bytes map]` of section 3. */
const bytesMap = (payload: CustomPayload): Buffer => {
  const entries = Object.entries(payload)
  const count = Buffer.alloc(2)
  count.writeUInt16BE(entries.length)
  const parts: Array<Buffer> = [count]
  for (const [key, value] of entries) {
    const head = Buffer.alloc(6 + Buffer.byteLength(key))
    head.writeUInt16BE(head.length - 6)
    head.write(key, 2)
    head.writeInt32BE(value === null ? -1 : value.length, head.length - 4)
    parts.push(head)
    if (value !== null) parts.push(Buffer.from(value.buffer, value.byteOffset, value.length))
  }
  return Buffer.concat(parts)
}

const parametersLength = (parameters: QueryParameters): number =>
  3 +
  (parameters.values === undefined ? 0 : parameters.values.length) +
  (parameters.pageSize > 0 ? 4 : 0) +
  (parameters.pageState === undefined ? 0 : 4 + parameters.pageState.length) +
  (parameters.serialConsistency === undefined ? 0 : 2) +
  (parameters.timestamp === undefined ? 0 : 8)

const writeParameters = (frame: Buffer, start: number, parameters: QueryParameters): void => {
  let offset = start
  let flags = 0
  frame.writeUInt16BE(parameters.consistency, offset)
  const flagsAt = offset + 2
  offset += 3
  if (parameters.values !== undefined) {
    flags |= queryFlag.values
    parameters.values.copy(frame, offset)
    offset += parameters.values.length
  }
  if (parameters.pageSize > 0) {
    flags |= queryFlag.pageSize
    frame.writeInt32BE(parameters.pageSize, offset)
    offset += 4
  }
  if (parameters.pageState !== undefined) {
    flags |= queryFlag.pageState
    frame.writeInt32BE(parameters.pageState.length, offset)
    parameters.pageState.copy(frame, offset + 4)
    offset += 4 + parameters.pageState.length
  }
  if (parameters.serialConsistency !== undefined) {
    flags |= queryFlag.serialConsistency
    frame.writeUInt16BE(parameters.serialConsistency, offset)
    offset += 2
  }
  if (parameters.timestamp !== undefined) {
    flags |= queryFlag.timestamp
    writeTimestamp(frame, offset, parameters.timestamp)
  }
  frame[flagsAt] = flags
}

/** A number as two words and not as a bigint: the clock's microseconds stay below 2^53 until the year 2255. */
const writeTimestamp = (frame: Buffer, offset: number, timestamp: number | bigint): void => {
  if (typeof timestamp === "bigint") {
    frame.writeBigInt64BE(timestamp, offset)
    return
  }
  const high = Math.floor(timestamp / 0x1_0000_0000)
  frame.writeInt32BE(high, offset)
  frame.writeUInt32BE(timestamp - high * 0x1_0000_0000, offset + 4)
}

/** What is in front of its parameters is what tells one kind of statement from the others. */
abstract class StatementRequest<A> extends Request<A | null> {
  protected readonly parameters: QueryParameters
  private readonly readRows: RowsReader<A>

  constructor(parameters: QueryParameters, readRows: RowsReader<A>) {
    super()
    this.parameters = parameters
    this.readRows = readRows
  }

  protected abstract readonly operation: number

  protected abstract headLength(): number

  /** Gives the offset behind what it wrote. */
  protected abstract writeHead(frame: Buffer, start: number): number

  /** `null` for one without rows. */
  read(kind: number, buffer: Buffer, offset: number): A | null | undefined {
    if (kind === resultKind.rows) return this.readRows(buffer, offset)
    return kind === resultKind.void ? null : undefined
  }

  write(encoder: { readonly protocolVersion: number }, streamId: number): Buffer {
    const { customPayload, tracing } = this.parameters
    const payload = customPayload === undefined ? noBytes : bytesMap(customPayload)
    const flags = (tracing ? frameFlag.tracing : 0) | (customPayload === undefined ? 0 : frameFlag.customPayload)
    const bodyLength = payload.length + this.headLength() + parametersLength(this.parameters)
    const frame = writeHeader(encoder.protocolVersion, streamId, this.operation, bodyLength, flags)
    if (payload.length > 0) payload.copy(frame, headerLength)
    writeParameters(frame, this.writeHead(frame, headerLength + payload.length), this.parameters)
    return frame
  }
}

/** EXECUTE (section 4.1.6). */
export class ExecuteRequest<A> extends StatementRequest<A> {
  protected readonly operation = opcode.execute
  private readonly id: Buffer

  constructor(id: Buffer, parameters: QueryParameters, readRows: RowsReader<A>) {
    super(parameters, readRows)
    this.id = id
  }

  protected headLength(): number {
    return 2 + this.id.length
  }

  protected writeHead(frame: Buffer, start: number): number {
    frame.writeUInt16BE(this.id.length, start)
    return start + 2 + this.id.copy(frame, start + 2)
  }
}

/** QUERY (section 4.1.4), for statements without parameters. */
export class QueryRequest<A> extends StatementRequest<A> {
  protected readonly operation = opcode.query
  private readonly text: string

  constructor(text: string, parameters: QueryParameters, readRows: RowsReader<A>) {
    super(parameters, readRows)
    this.text = text
  }

  protected headLength(): number {
    return 4 + Buffer.byteLength(this.text)
  }

  protected writeHead(frame: Buffer, start: number): number {
    const length = frame.write(this.text, start + 4)
    frame.writeInt32BE(length, start)
    return start + 4 + length
  }
}

/** One statement of a batch: by the id that it was prepared under, or by its text when it has no values. */
export interface BatchItem {
  readonly id: Buffer | undefined
  readonly text: string
  /** `[short n]<value_1>...<value_n>`, as the encoder leaves it. */
  readonly values: Buffer | undefined
}

export const batchKind = { logged: 0, unlogged: 1, counter: 2 } as const

/** What the `[short]` of their count can say. */
export const maxBatchItems = 65_535

/** BATCH (section 4.1.7). */
export class BatchRequest<A> extends StatementRequest<A> {
  protected readonly operation = opcode.batch
  private readonly kind: number
  private readonly items: ReadonlyArray<BatchItem>

  constructor(kind: number, items: ReadonlyArray<BatchItem>, options: RequestOptions, readRows: RowsReader<A>) {
    super({ ...options, values: undefined, pageSize: 0, pageState: undefined }, readRows)
    this.kind = kind
    this.items = items
  }

  protected headLength(): number {
    return this.items.reduce((length, item) => length + batchItemLength(item), 3)
  }

  protected writeHead(frame: Buffer, start: number): number {
    frame[start] = this.kind
    frame.writeUInt16BE(this.items.length, start + 1)
    return this.items.reduce((offset, item) => writeBatchItem(frame, offset, item), start + 3)
  }
}

const batchItemLength = ({ id, text, values }: BatchItem): number =>
  1 + (id === undefined ? 4 + Buffer.byteLength(text) : 2 + id.length) + (values === undefined ? 2 : values.length)

const writeBatchItem = (frame: Buffer, start: number, { id, text, values }: BatchItem): number => {
  const offset = id === undefined ? writeText(frame, start, text) : writePreparedId(frame, start, id)
  return values === undefined ? frame.writeUInt16BE(0, offset) : offset + values.copy(frame, offset)
}

const writeText = (frame: Buffer, start: number, text: string): number => {
  frame[start] = 0
  const length = frame.write(text, start + 5)
  frame.writeInt32BE(length, start + 1)
  return start + 5 + length
}

const writePreparedId = (frame: Buffer, start: number, id: Buffer): number => {
  frame[start] = 1
  frame.writeUInt16BE(id.length, start + 1)
  return start + 3 + id.copy(frame, start + 3)
}

/** What the server tells of a statement that it prepared. */
export interface PreparedResult extends PreparedMetadata {
  readonly id: Buffer
}

/** PREPARE (section 4.1.5). The driver keeps the parameters of its answer and drops the result columns. */
export class PrepareRequest extends Request<PreparedResult> {
  readonly text: string

  constructor(text: string) {
    super()
    this.text = text
  }

  read(kind: number, buffer: Buffer, offset: number): PreparedResult | undefined {
    return kind === resultKind.prepared ? Metadata.readPrepared(buffer, offset) : undefined
  }

  write(encoder: { readonly protocolVersion: number }, streamId: number): Buffer {
    const textLength = Buffer.byteLength(this.text)
    const frame = writeHeader(encoder.protocolVersion, streamId, opcode.prepare, 4 + textLength)
    frame.writeInt32BE(textLength, headerLength)
    frame.write(this.text, headerLength + 4)
    return frame
  }
}
