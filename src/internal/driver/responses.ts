/**
 * Responses to our own requests, read from the frame's bytes before the driver makes rows of them.
 *
 * The driver turns a page into one object per cell, row and stream item; reading it whole costs a quarter of that.
 */
import type { Connection, FrameFlags, Parser, ParserFrame, ParserItem } from "./inside.ts"
import { Request } from "./requests.ts"

/** What came back for a request of ours. */
export interface Response<A> {
  readonly value: A
  readonly flags: FrameFlags
  /** Bytes of the frame's body. */
  readonly length: number
  /** After a schema change: whether all nodes knew of it in time. */
  readonly schemaInAgreement?: boolean | undefined
}

const noFlags: FrameFlags = {}

const skipped = { value: null, flags: noFlags, length: 0 }

/** Makes `parser`, an instance, hand RESULT frames that answer our requests to these requests. */
export const readOwnResponses = (connection: Connection, parser: Parser): void => {
  const { parseBody, parseResult } = parser
  let body: ParserItem | undefined
  parser.parseBody = (frame, item) => {
    connection.heard++
    body = item
    return parseBody.call(parser, frame, item)
  }
  parser.parseResult = (frame, reader) => {
    const request = frame.isStreaming ? undefined : requestOf(connection, frame)
    if (request === undefined || body === undefined) return parseResult.call(parser, frame, reader)
    const item = read(request, frame, bodyOf(body), reader.offset)
    if (item === undefined) return parseResult.call(parser, frame, reader)
    return parser.push(item)
  }
}

/** The chunk up to the frame's end: what follows is another frame, and a short body must not be read into it. */
const bodyOf = ({ chunk, header, offset }: ParserItem): Buffer => {
  const end = offset + header.bodyLength
  return end === chunk.length ? chunk : chunk.subarray(0, end)
}

const requestOf = (connection: Connection, frame: ParserFrame): Request<unknown> | undefined => {
  const request = connection._operations.get(frame.header.streamId)?.request
  return request instanceof Request ? request : undefined
}

const read = (request: Request<unknown>, frame: ParserFrame, buffer: Buffer, offset: number) => {
  const header = frame.header
  if (request.abandoned) return { header, result: skipped }
  // A throw here must not reach the parser: it would end the connection's stream and every request on it.
  try {
    const value = request.read(buffer.readInt32BE(offset), buffer, offset + 4)
    if (value === undefined) return undefined
    return { header, result: { value, flags: frame.flagsInfo ?? noFlags, length: header.bodyLength } }
  } catch (error) {
    return { header, error }
  }
}
