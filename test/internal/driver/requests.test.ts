/**
 * Frames byte by byte: beside what the specification of the protocol (v4, sections 2, 3 and 4.1) says, put together here
 * from its notations or written out by hand, and read once more by the decoder of the scripted server.
 */
import { assert, describe, it } from "@effect/vitest"
import type {
  BatchItem,
  CustomPayload,
  QueryParameters,
  RequestOptions
} from "../../../src/internal/driver/requests.ts"
import {
  batchKind,
  BatchRequest,
  ExecuteRequest,
  maxBatchItems,
  PrepareRequest,
  QueryRequest,
  resultKind
} from "../../../src/internal/driver/requests.ts"
import * as Protocol from "../../support/protocol.ts"
import * as Codec from "../codec/support.ts"

const { bytes, int, short, shortBytes, string } = Protocol

/** Lines too are for the reader. */
const hex = (text: string): Buffer => Codec.hex(text.replaceAll("\n", ""))

const encoder = { protocolVersion: 4 }

const noRows = (): null => null

const streamId = 0x0102

interface Writable {
  readonly write: (encoder: { readonly protocolVersion: number }, streamId: number) => Buffer
}

const frameOf = (request: Writable, stream = streamId): Buffer => request.write(encoder, stream)

const frame = (flags: number, opcode: number, ...body: ReadonlyArray<Buffer>): Buffer => {
  const whole = Buffer.concat(body)
  return Buffer.concat([Buffer.from([4, flags]), short(streamId), Buffer.from([opcode]), int(whole.length), whole])
}

const decode = (written: Buffer): Protocol.DecodedRequest => {
  const frames = Protocol.makeFrameReader()(written)
  assert.strictEqual(frames.length, 1)
  return Protocol.decodeRequest(frames[0]!)
}

const longString = (text: string): Buffer => bytes(Buffer.from(text))

const long = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64BE(value)
  return buffer
}

const plain: QueryParameters = {
  consistency: 0x0a,
  serialConsistency: undefined,
  timestamp: undefined,
  tracing: false,
  customPayload: undefined,
  values: undefined,
  pageSize: 0,
  pageState: undefined
}

const query = (text: string, parameters: Partial<QueryParameters> = {}) =>
  new QueryRequest(text, { ...plain, ...parameters }, noRows)

const id = Buffer.from("an id of 16 byte")

const execute = (parameters: Partial<QueryParameters> = {}) =>
  new ExecuteRequest(id, { ...plain, ...parameters }, noRows)

const batch = (
  items: ReadonlyArray<BatchItem>,
  options: Partial<RequestOptions> = {},
  kind: number = batchKind.logged
) => new BatchRequest(kind, items, { ...plain, ...options }, noRows)

// --- every combination

const payloads: ReadonlyArray<CustomPayload | undefined> = [
  undefined,
  {},
  { "clé": new Uint8Array([1, 2]), none: null, empty: new Uint8Array() }
]

const payloadBytes = (payload: CustomPayload | undefined): Buffer => {
  const entries = Object.entries(payload ?? {}).flatMap(([key, value]) => [
    string(key),
    bytes(value === null ? null : Buffer.from(value))
  ])
  return payload === undefined ? Buffer.alloc(0) : Buffer.concat([short(entries.length / 2), ...entries])
}

const timestamps = [undefined, 1_700_000_000_123_456, -1, 2n ** 63n - 1n] as const

const requestOptions = function*(): Iterable<RequestOptions> {
  for (const consistency of [0x00, 0x0a]) {
    for (const serialConsistency of [undefined, 0x08, 0x09]) {
      for (const timestamp of timestamps) {
        for (const tracing of [false, true]) {
          for (const customPayload of payloads) {
            yield { consistency, serialConsistency, timestamp, tracing, customPayload }
          }
        }
      }
    }
  }
}

const queryParameters = function*(): Iterable<QueryParameters> {
  const values = Buffer.concat([short(3), bytes(Buffer.from("a")), int(-1), int(-2)])
  for (const options of requestOptions()) {
    for (const bound of [undefined, short(0), values]) {
      for (const pageSize of [0, 1, 2 ** 31 - 1]) {
        for (const pageState of [undefined, Buffer.alloc(0), Buffer.from([7, 0, 255])]) {
          yield { ...options, values: bound, pageSize, pageState }
        }
      }
    }
  }
}

const flagsOf = ({ customPayload, tracing }: RequestOptions): number =>
  (tracing ? 0x02 : 0) | (customPayload === undefined ? 0 : 0x04)

const optional = <A>(value: A | undefined, write: (value: A) => Buffer): Buffer =>
  value === undefined ? Buffer.alloc(0) : write(value)

/** `<consistency><flags>[<n><value_1>...<value_n>][<page_size>][<paging_state>][<serial>][<timestamp>]` */
const parameterBytes = (parameters: QueryParameters): Buffer =>
  Buffer.concat([
    short(parameters.consistency),
    Buffer.from([
      (parameters.values === undefined ? 0 : 0x01) |
      (parameters.pageSize === 0 ? 0 : 0x04) |
      (parameters.pageState === undefined ? 0 : 0x08) |
      (parameters.serialConsistency === undefined ? 0 : 0x10) |
      (parameters.timestamp === undefined ? 0 : 0x20)
    ]),
    parameters.values ?? Buffer.alloc(0),
    parameters.pageSize === 0 ? Buffer.alloc(0) : int(parameters.pageSize),
    optional(parameters.pageState, bytes),
    optional(parameters.serialConsistency, short),
    optional(parameters.timestamp, (timestamp) => long(BigInt(timestamp)))
  ])

const levels = new Map([[0x00, "ANY"], [0x08, "SERIAL"], [0x09, "LOCAL_SERIAL"], [0x0a, "LOCAL_ONE"]])

const valuesOf = (values: Buffer | undefined): ReadonlyArray<Protocol.BoundValue> =>
  values === undefined || values.length === 2 ? [] : [Buffer.from("a"), null, undefined]

const decodedPayload = (payload: CustomPayload | undefined) =>
  Object.fromEntries(
    Object.entries(payload ?? {}).map(([key, value]) => [key, value === null ? null : Buffer.from(value)])
  )

const decodedOptions = (options: RequestOptions) => ({
  consistency: levels.get(options.consistency),
  serialConsistency: optionalLevel(options.serialConsistency),
  timestamp: options.timestamp === undefined ? undefined : BigInt(options.timestamp)
})

const optionalLevel = (code: number | undefined) => code === undefined ? undefined : levels.get(code)

const decodedParameters = (parameters: QueryParameters) => ({
  ...decodedOptions(parameters),
  values: valuesOf(parameters.values),
  names: undefined,
  skipMetadata: false,
  pageSize: parameters.pageSize === 0 ? undefined : parameters.pageSize,
  pageState: parameters.pageState
})

/** Told apart by hand: a message is made for the one of thousands that is wrong, and for no other. */
const assertFrame = (written: Buffer, expected: Buffer, of: unknown): void => {
  if (written.equals(expected)) return
  assert.strictEqual(written.toString("hex"), expected.toString("hex"), JSON.stringify(of, withBigints))
}

const withBigints = (_: string, value: unknown): unknown => typeof value === "bigint" ? String(value) : value

describe("every combination of optional parts", () => {
  it("is a QUERY of the bytes that the protocol says", () => {
    let count = 0
    for (const parameters of queryParameters()) {
      const written = frameOf(query("SELECT 'ü'", parameters))
      const payload = payloadBytes(parameters.customPayload)
      const expected = frame(
        flagsOf(parameters),
        0x07,
        payload,
        longString("SELECT 'ü'"),
        parameterBytes(parameters)
      )
      assertFrame(written, expected, parameters)
      count++
    }
    assert.strictEqual(count, 2 * 3 * 4 * 2 * 3 * 27)
  })

  it("is an EXECUTE of the bytes that the protocol says", () => {
    for (const parameters of queryParameters()) {
      const written = frameOf(execute(parameters))
      const payload = payloadBytes(parameters.customPayload)
      assertFrame(
        written,
        frame(flagsOf(parameters), 0x0a, payload, shortBytes(id), parameterBytes(parameters)),
        parameters
      )
    }
  })

  it("is a BATCH of the bytes that the protocol says, without page size, page state and values of its own", () => {
    const items: ReadonlyArray<BatchItem> = [
      { id, text: "not sent", values: Buffer.concat([short(1), bytes(Buffer.from("a"))]) },
      { id: undefined, text: "DELETE 'ü'", values: undefined }
    ]
    for (const options of requestOptions()) {
      const written = frameOf(batch(items, options))
      const expected = frame(
        flagsOf(options),
        0x0d,
        payloadBytes(options.customPayload),
        Buffer.from([0]),
        short(2),
        Buffer.from([1]),
        shortBytes(id),
        short(1),
        bytes(Buffer.from("a")),
        Buffer.from([0]),
        longString("DELETE 'ü'"),
        short(0),
        parameterBytes({ ...plain, ...options })
      )
      assertFrame(written, expected, options)
    }
  })

  it("says to a reader of the protocol what was asked for", () => {
    for (const parameters of queryParameters()) {
      const { customPayload, tracing } = parameters
      const common = { tracing, payload: decodedPayload(customPayload), parameters: decodedParameters(parameters) }
      assert.deepStrictEqual(decode(frameOf(query("SELECT 1", parameters))), {
        ...common,
        kind: "query",
        query: "SELECT 1"
      } as Protocol.DecodedRequest)
      assert.deepStrictEqual(decode(frameOf(execute(parameters))), {
        ...common,
        kind: "execute",
        id
      } as Protocol.DecodedRequest)
    }
    for (const options of requestOptions()) {
      const { customPayload, tracing } = options
      assert.deepStrictEqual(decode(frameOf(batch([{ id, text: "", values: undefined }], options))), {
        kind: "batch",
        tracing,
        payload: decodedPayload(customPayload),
        type: "LOGGED",
        items: [{ statement: id, values: [] }],
        parameters: decodedOptions(options)
      } as Protocol.DecodedRequest)
    }
  })
})

// --- by hand

describe("a QUERY", () => {
  it("without anything is its text and its consistency", () => {
    assert.deepStrictEqual(
      frameOf(query("SELECT 1")),
      hex("04 00 0102 07 0000000f  00000008 53454c4543542031  000a 00")
    )
  })

  it("with everything has it in the order of the protocol", () => {
    const written = frameOf(query("é", {
      consistency: 0x06,
      values: hex("0001 00000001 61"),
      pageSize: 5000,
      pageState: hex("cafe"),
      serialConsistency: 0x09,
      timestamp: -2n,
      tracing: true,
      customPayload: { k: new Uint8Array([0xff]) }
    }))
    assert.deepStrictEqual(
      written,
      hex(`04 06 0102 07 0000002e
        0001 0001 6b 00000001 ff
        00000002 c3a9
        0006 3d
        0001 00000001 61
        00001388
        00000002 cafe
        0009
        fffffffffffffffe`)
    )
  })

  it("has its text in UTF-8, whose bytes are counted and not its characters", () => {
    for (const text of ["", "é", "漢字", "🜏", "a\u0000b", "\ud800", "x".repeat(100_000), "🜏".repeat(50_000)]) {
      const decoded = decode(frameOf(query(text)))
      assert(decoded.kind === "query")
      assert.strictEqual(decoded.query, Buffer.from(text).toString())
    }
  })

  it("has the version of the connection, and its stream", () => {
    for (const stream of [0, 1, 255, 256, 32767]) {
      const written = query("SELECT 1").write({ protocolVersion: 3 }, stream)
      assert.strictEqual(written[0], 3)
      assert.strictEqual(written.readInt16BE(2), stream)
    }
  })
})

describe("an EXECUTE", () => {
  it("without anything is its id and its consistency", () => {
    const written = frameOf(new ExecuteRequest(hex("abcd"), plain, noRows))
    assert.deepStrictEqual(written, hex("04 00 0102 0a 00000007  0002 abcd  000a 00"))
  })

  it("of no values says that there are none", () => {
    const written = frameOf(new ExecuteRequest(hex("abcd"), { ...plain, values: hex("0000") }, noRows))
    assert.deepStrictEqual(written, hex("04 00 0102 0a 00000009  0002 abcd  000a 01 0000"))
  })

  it("can be written twice, and is the same but for its stream", () => {
    const request = execute({ values: hex("0001 00000001 61"), timestamp: 5, customPayload: { k: null } })
    const [first, second] = [frameOf(request, 1), frameOf(request, 2)]
    assert.deepStrictEqual(first.subarray(4), second.subarray(4))
    assert.notDeepEqual(first, second)
  })
})

describe("a BATCH", () => {
  it("has its kind, its items and its options", () => {
    const items = [
      { id: hex("abcd"), text: "not sent", values: hex("0002 00000001 61 ffffffff") },
      { id: undefined, text: "é", values: undefined },
      { id: hex("ef"), text: "not sent", values: hex("0000") }
    ]
    const options = { serialConsistency: 0x08, timestamp: 1n, tracing: true, customPayload: { k: null } }
    assert.deepStrictEqual(
      frameOf(batch(items, options, batchKind.unlogged)),
      hex(`04 06 0102 0d 00000038
        0001 0001 6b ffffffff
        01 0003
        01 0002 abcd 0002 00000001 61 ffffffff
        00 00000002 c3a9 0000
        01 0001 ef 0000
        000a 30 0008 0000000000000001`)
    )
  })

  it("is of one of three kinds", () => {
    for (
      const [kind, code] of [["LOGGED", batchKind.logged], ["UNLOGGED", batchKind.unlogged], ["COUNTER", 2]] as const
    ) {
      const decoded = decode(frameOf(batch([{ id, text: "", values: undefined }], {}, code)))
      assert(decoded.kind === "batch")
      assert.strictEqual(decoded.type, kind)
    }
    assert.strictEqual(batchKind.counter, 2)
  })

  it("has as many items as a short can count", () => {
    const count = 65_535
    assert.strictEqual(maxBatchItems, count)
    const items = Array.from({ length: count }, (_, index): BatchItem =>
      index % 2 === 0
        ? { id: int(index), text: "", values: Buffer.concat([short(1), bytes(int(index))]) }
        : { id: undefined, text: `DELETE ${index}`, values: undefined })
    const decoded = decode(frameOf(batch(items, { timestamp: 7, customPayload: payloads[2] })))
    assert(decoded.kind === "batch")
    assert.strictEqual(decoded.items.length, count)
    for (const [index, item] of decoded.items.entries()) {
      const expected = index % 2 === 0
        ? { statement: int(index), values: [int(index)] }
        : { statement: `DELETE ${index}`, values: [] }
      assert.deepStrictEqual(item, expected)
    }
    assert.deepStrictEqual(decoded.parameters, {
      consistency: "LOCAL_ONE",
      serialConsistency: undefined,
      timestamp: 7n
    })
  })

  it("of no items can be written", () => {
    assert.deepStrictEqual(frameOf(batch([])), hex("04 00 0102 0d 00000006  00 0000  000a 00"))
  })
})

describe("a PREPARE", () => {
  it("is its text", () => {
    assert.deepStrictEqual(frameOf(new PrepareRequest("é?")), hex("04 00 0102 09 00000007  00000003 c3a93f"))
  })
})

describe("a timestamp", () => {
  const writtenOf = (timestamp: number | bigint): bigint => {
    const written = frameOf(query("", { timestamp }))
    return written.readBigInt64BE(written.length - 8)
  }

  const edges = [0n, 1n, 2n ** 31n, 2n ** 32n, 2n ** 52n, 2n ** 53n].flatMap((edge) => [edge - 1n, edge, edge + 1n])

  it("that is a number is written exactly, whatever its sign", () => {
    for (const edge of edges.filter((edge) => Number.isSafeInteger(Number(edge)))) {
      assert.strictEqual(writtenOf(Number(edge)), edge)
      assert.strictEqual(writtenOf(-Number(edge)), -edge)
    }
  })

  it("that is a bigint is written exactly, with all of its 64 bits", () => {
    for (const edge of [...edges, 2n ** 62n, 2n ** 63n - 1n]) {
      assert.strictEqual(writtenOf(edge), edge)
      assert.strictEqual(writtenOf(-edge), -edge)
    }
  })
})

describe("a custom payload", () => {
  it("is a [bytes map] in front of the body, whose keys and values are counted in bytes", () => {
    const customPayload = { "clé": hex("0102"), none: null, empty: new Uint8Array(), "🜏": hex("ff") }
    assert.deepStrictEqual(
      frameOf(query("", { customPayload })),
      hex(`04 04 0102 07 00000035
        0004
        0004 636cc3a9 00000002 0102
        0004 6e6f6e65 ffffffff
        0005 656d707479 00000000
        0004 f09f9c8f 00000001 ff
        00000000 000a 00`)
    )
  })

  it("that is empty is one of no entries", () => {
    assert.deepStrictEqual(
      frameOf(query("", { customPayload: {} })),
      hex("04 04 0102 07 00000009 0000 00000000 000a 00")
    )
  })

  it("is of the bytes that an array shows, and not of all that are behind it", () => {
    const bytes = new Uint8Array([9, 9, 1, 2, 9]).subarray(2, 4)
    assert.include(frameOf(query("", { customPayload: { k: bytes } })).toString("hex"), "6b000000020102")
  })

  it("may have a key of any name", () => {
    const customPayload: CustomPayload = JSON.parse("{\"__proto__\":null,\"constructor\":null}")
    assert.deepStrictEqual(Object.keys(decode(frameOf(query("", { customPayload }))).payload), [
      "__proto__",
      "constructor"
    ])
  })

  it("is as large as it is", () => {
    const key = "k".repeat(65_535)
    const value = new Uint8Array(1_000_000).fill(7)
    const decoded = decode(frameOf(execute({ customPayload: { [key]: value } })))
    assert.deepStrictEqual(decoded.payload, { [key]: Buffer.from(value) })
  })
})

describe("the result of a statement", () => {
  const readRows = (buffer: Buffer, offset: number) => [buffer.length, offset]

  it("is rows, or null where there are none; what else there is, is left to the driver", () => {
    const request = new QueryRequest("", plain, readRows)
    const buffer = Buffer.alloc(20)
    assert.deepStrictEqual(request.read(resultKind.rows, buffer, 4), [20, 4])
    assert.isNull(request.read(resultKind.void, buffer, 4))
    for (const kind of [resultKind.setKeyspace, resultKind.prepared, resultKind.schemaChange]) {
      assert.isUndefined(request.read(kind, buffer, 4))
    }
  })
})
