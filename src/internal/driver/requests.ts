/**
 * Request frames of the native protocol v4 (sections 2 and 4.1), each written into one buffer of its exact size.
 */
import type { PreparedMetadata } from "../codec/Metadata.ts"
import * as Metadata from "../codec/Metadata.ts"
import type { DriverRequest } from "./inside.ts"

const headerLength = 9

const opcode = { query: 0x07, prepare: 0x09, execute: 0x0a } as const

/** Kinds of a RESULT frame (section 4.2.5). */
export const resultKind = { void: 1, rows: 2, setKeyspace: 3, prepared: 4, schemaChange: 5 } as const

const queryFlag = {
  values: 0x01,
  pageSize: 0x04,
  pageState: 0x08,
  serialConsistency: 0x10,
  timestamp: 0x20
} as const

/** What QUERY and EXECUTE share: the `<query_parameters>` of section 4.1.4. */
export interface QueryParameters {
  readonly consistency: number
  readonly serialConsistency: number | undefined
  /** `[short n]<value_1>...<value_n>`, as the encoder leaves it. */
  readonly values: Buffer | undefined
  /** Rows a page; 0 for all in one page. */
  readonly pageSize: number
  readonly pageState: Buffer | undefined
  /** Microseconds since the epoch; `undefined` leaves it to the server. */
  readonly timestamp: number | undefined
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
  bodyLength: number
): Buffer => {
  const frame = Buffer.allocUnsafe(headerLength + bodyLength)
  frame[0] = protocolVersion
  frame[1] = 0
  frame.writeInt16BE(streamId, 2)
  frame[4] = operation
  frame.writeInt32BE(bodyLength, 5)
  return frame
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
    // Two words, not a bigint: microseconds since the epoch stay below 2^53 until the year 2255.
    frame.writeInt32BE(Math.floor(parameters.timestamp / 0x1_0000_0000), offset)
    frame.writeUInt32BE(parameters.timestamp % 0x1_0000_0000, offset + 4)
  }
  frame[flagsAt] = flags
}

/** The outcome of a statement: `undefined` for one without rows. */
abstract class StatementRequest<A> extends Request<A | null> {
  readonly parameters: QueryParameters
  readonly readRows: RowsReader<A>

  constructor(parameters: QueryParameters, readRows: RowsReader<A>) {
    super()
    this.parameters = parameters
    this.readRows = readRows
  }

  read(kind: number, buffer: Buffer, offset: number): A | null | undefined {
    if (kind === resultKind.rows) return this.readRows(buffer, offset)
    return kind === resultKind.void ? null : undefined
  }
}

/** EXECUTE (section 4.1.6). */
export class ExecuteRequest<A> extends StatementRequest<A> {
  readonly id: Buffer

  constructor(id: Buffer, parameters: QueryParameters, readRows: RowsReader<A>) {
    super(parameters, readRows)
    this.id = id
  }

  write(encoder: { readonly protocolVersion: number }, streamId: number): Buffer {
    const idLength = this.id.length
    const bodyLength = 2 + idLength + parametersLength(this.parameters)
    const frame = writeHeader(encoder.protocolVersion, streamId, opcode.execute, bodyLength)
    frame.writeUInt16BE(idLength, headerLength)
    this.id.copy(frame, headerLength + 2)
    writeParameters(frame, headerLength + 2 + idLength, this.parameters)
    return frame
  }
}

/** QUERY (section 4.1.4), for statements without parameters. */
export class QueryRequest<A> extends StatementRequest<A> {
  readonly text: string

  constructor(text: string, parameters: QueryParameters, readRows: RowsReader<A>) {
    super(parameters, readRows)
    this.text = text
  }

  write(encoder: { readonly protocolVersion: number }, streamId: number): Buffer {
    const textLength = Buffer.byteLength(this.text)
    const bodyLength = 4 + textLength + parametersLength(this.parameters)
    const frame = writeHeader(encoder.protocolVersion, streamId, opcode.query, bodyLength)
    frame.writeInt32BE(textLength, headerLength)
    frame.write(this.text, headerLength + 4)
    writeParameters(frame, headerLength + 4 + textLength, this.parameters)
    return frame
  }
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
