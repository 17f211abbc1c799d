import { assert, describe, it } from "@effect/vitest"
import type { Column, ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import { format } from "../../../src/internal/codec/ColumnType.ts"
import {
  MalformedResponse,
  readPrepared,
  readRowsHeader,
  readRowsMetadata,
  ShapeCache
} from "../../../src/internal/codec/Metadata.ts"
import * as Protocol from "../../support/protocol.ts"
import { column, hex, randomNumbers, scalar } from "./support.ts"

const { int, short, string } = Protocol

const types: ReadonlyArray<readonly [string, string, ColumnType]> = [
  ["0001", "ascii", scalar("ascii")],
  ["0002", "bigint", scalar("bigint")],
  ["0003", "blob", scalar("blob")],
  ["0004", "boolean", scalar("boolean")],
  ["0005", "counter", scalar("counter")],
  ["0006", "decimal", scalar("decimal")],
  ["0007", "double", scalar("double")],
  ["0008", "float", scalar("float")],
  ["0009", "int", scalar("int")],
  ["000a", "text", scalar("text")],
  ["000b", "timestamp", scalar("timestamp")],
  ["000c", "uuid", scalar("uuid")],
  ["000d", "text", scalar("text")],
  ["000e", "varint", scalar("varint")],
  ["000f", "timeuuid", scalar("timeuuid")],
  ["0010", "inet", scalar("inet")],
  ["0011", "date", scalar("date")],
  ["0012", "time", scalar("time")],
  ["0013", "smallint", scalar("smallint")],
  ["0014", "tinyint", scalar("tinyint")],
  ["0015", "duration", scalar("duration")],
  ["0020 0009", "list<int>", { type: "list", element: scalar("int") }],
  ["0022 000d", "set<text>", { type: "set", element: scalar("text") }],
  [
    "0021 000d 0020 0009",
    "map<text, list<int>>",
    { type: "map", key: scalar("text"), value: { type: "list", element: scalar("int") } }
  ],
  ["0031 0002 0009 000d", "tuple<int, text>", { type: "tuple", elements: [scalar("int"), scalar("text")] }],
  [
    // shop.address (street text, number int)
    "0030 0004 73686f70 0007 61646472657373 0002 0006 737472656574 000d 0006 6e756d626572 0009",
    "shop.address",
    {
      type: "udt",
      keyspace: "shop",
      name: "address",
      fields: [{ name: "street", type: scalar("text") }, { name: "number", type: scalar("int") }]
    }
  ]
]

const marshal = "org.apache.cassandra.db.marshal."

const classNames: ReadonlyArray<readonly [string, string, ColumnType]> = [
  [`${marshal}DurationType`, "duration", scalar("duration")],
  [`${marshal}VectorType(${marshal}FloatType , 3)`, "vector<float, 3>", {
    type: "vector",
    element: scalar("float"),
    dimension: 3
  }],
  [`${marshal}VectorType(${marshal}VectorType(${marshal}UTF8Type,2), 3)`, "vector<vector<text, 2>, 3>", {
    type: "vector",
    element: { type: "vector", element: scalar("text"), dimension: 2 },
    dimension: 3
  }],
  [
    `${marshal}FrozenType(${marshal}MapType(${marshal}UTF8Type,${marshal}SetType(${marshal}Int32Type)))`,
    "map<text, set<int>>",
    {
      type: "map",
      key: scalar("text"),
      value: { type: "set", element: scalar("int") }
    }
  ],
  [`${marshal}TupleType(${marshal}LongType,${marshal}ListType(${marshal}UUIDType))`, "tuple<bigint, list<uuid>>", {
    type: "tuple",
    elements: [scalar("bigint"), { type: "list", element: scalar("uuid") }]
  }],
  [
    `${marshal}UserType(shop,61646472657373,737472656574:${marshal}UTF8Type,c5be:${marshal}FrozenType(${marshal}ListType(${marshal}Int32Type)))`,
    "shop.address",
    {
      type: "udt",
      keyspace: "shop",
      name: "address",
      fields: [{ name: "street", type: scalar("text") }, { name: "ž", type: { type: "list", element: scalar("int") } }]
    }
  ],
  ...[
    "com.example.Point",
    `${marshal}PointType`,
    `${marshal}VectorType(com.example.Point, 3)`,
    `${marshal}VectorType(${marshal}FloatType, x)`,
    `${marshal}VectorType(${marshal}FloatType, 0)`,
    `${marshal}VectorType(${marshal}FloatType)`,
    `${marshal}MapType(${marshal}FloatType)`,
    `${marshal}ListType()`,
    `${marshal}ListType(${marshal}FloatType`,
    `${marshal}ListType(${marshal}FloatType)) `,
    `${marshal}FloatType(${marshal}FloatType)`,
    `${marshal}UserType(shop)`,
    `${marshal}UserType(shop,61,${marshal}FloatType)`,
    "((((",
    "a(:,:)",
    `${`${marshal}FrozenType(`.repeat(500)}`,
    `${"a(".repeat(30_000)}`,
    ""
  ].map((className) => [className, `'${className}'`, { type: "custom", className }] as const)
]

const option = (name: string, type: Buffer): Buffer => Buffer.concat([string(name), type])

const rowsMetadata = (
  columns: ReadonlyArray<Buffer>,
  options: { pageState?: Buffer; global?: boolean } = {}
): Buffer => {
  const { global = true, pageState } = options
  return Buffer.concat([
    int((global ? 1 : 0) | (pageState === undefined ? 0 : 2)),
    int(columns.length),
    ...(pageState === undefined ? [] : [Protocol.bytes(pageState)]),
    ...(global ? [string("shop"), string("things")] : []),
    ...columns.map((column) => global ? column : Buffer.concat([string("shop"), string("others"), column]))
  ])
}

const named = (columns: ReadonlyArray<Column>): ReadonlyArray<string> =>
  columns.map(({ keyspace, name, table, type }) => `${keyspace}.${table}.${name} ${format(type)}`)

describe("readRowsMetadata", () => {
  it.each(types)("reads the type %s as %s", (code, text, type) => {
    const bytes = rowsMetadata([option("a", hex(code)), option("b", hex("0009"))])
    const { columns, end, pageState, start } = readRowsMetadata(bytes, 0)
    assert.deepStrictEqual(columns, [column("a", type), column("b", "int")])
    assert.strictEqual(format(columns[0]!.type), text)
    assert.strictEqual(pageState, undefined)
    assert.strictEqual(start, 8)
    assert.strictEqual(end, bytes.length)
  })

  it.each(classNames.map(([name, ...rest]) => [name.slice(0, 80), name, ...rest] as const))(
    "reads the class %s",
    (_, className, text, type) => {
      const { columns } = readRowsMetadata(rowsMetadata([option("a", Buffer.concat([short(0), string(className)]))]), 0)
      assert.deepStrictEqual(columns, [column("a", type)])
      assert.strictEqual(format(columns[0]!.type), text)
    }
  )

  it("reads a table for each column", () => {
    const { columns } = readRowsMetadata(
      rowsMetadata([option("a", hex("0009")), option("b", hex("0009"))], { global: false }),
      0
    )
    assert.deepStrictEqual(named(columns), ["shop.others.a int", "shop.others.b int"])
  })

  it("reads the page state, and copies it", () => {
    const bytes = Buffer.concat([hex("ff"), rowsMetadata([option("ž", hex("0009"))], { pageState: hex("010203") })])
    const { columns, end, pageState, start } = readRowsMetadata(bytes, 1)
    bytes.fill(0)
    assert.deepStrictEqual(pageState, hex("010203"))
    assert.deepStrictEqual(named(columns), ["shop.things.ž int"])
    assert.strictEqual(start, 1 + 8 + 7)
    assert.strictEqual(end, bytes.length)
  })

  it("reads the header alone", () => {
    const bytes = rowsMetadata([option("a", hex("0009"))], { pageState: hex("01") })
    assert.deepStrictEqual(readRowsHeader(bytes, 0), {
      flags: 3,
      columnCount: 1,
      pageState: hex("01"),
      columnsStart: 13
    })
  })

  it("refuses what is cut short anywhere", () => {
    const bytes = rowsMetadata([option("a", hex(types.at(-1)![0])), option("b", hex("0009"))], {
      pageState: hex("0102")
    })
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => readRowsMetadata(bytes.subarray(0, length), 0), MalformedResponse)
    }
  })

  it("refuses unknown types, negative counts and types without end", () => {
    for (const code of ["0016", "0032", "ffff"]) {
      assert.throws(() => readRowsMetadata(rowsMetadata([option("a", hex(code))]), 0), /unknown type code/)
    }
    assert.throws(() => readRowsMetadata(Buffer.concat([int(1), int(-1)]), 0), /a count of -1/)
    assert.throws(
      () => readRowsMetadata(Buffer.concat([int(1), int(0x7fffffff), string("a"), string("b")]), 0),
      MalformedResponse
    )
    const endless = option("a", Buffer.alloc(200_000, hex("0020")))
    assert.throws(() => readRowsMetadata(rowsMetadata([endless]), 0), /nested more than/)
  })

  it("gives columns or refuses damaged bytes, and nothing else", () => {
    const random = randomNumbers(11)
    const bytes = rowsMetadata([
      ...types.map(([code]) => option("a", hex(code))),
      ...classNames.map(([name]) => option("b", Buffer.concat([short(0), string(name)])))
    ])
    for (let i = 0; i < 2000; i++) {
      const damaged = Buffer.from(bytes)
      damaged[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      try {
        readRowsMetadata(damaged, 0)
      } catch (error) {
        assert.instanceOf(error, MalformedResponse)
      }
    }
  })
})

describe("readPrepared", () => {
  const id = hex("0a0b")
  const parameters = Buffer.concat([
    Protocol.shortBytes(id),
    int(1),
    int(2),
    int(2),
    short(1),
    short(0),
    string("shop"),
    string("things"),
    option("a", hex("0009")),
    option("b", hex("000d"))
  ])

  it("reads the id, the parameters, the partition key and the result's columns", () => {
    const prepared = readPrepared(Buffer.concat([parameters, rowsMetadata([option("c", hex("000c"))])]), 0)
    assert.deepStrictEqual(prepared, {
      id,
      parameters: [column("a", "int"), column("b", "text")],
      partitionKeys: [1, 0],
      columns: [column("c", "uuid")]
    })
  })

  it("has no columns when the statement declares none", () => {
    const none = [Buffer.concat([int(4), int(0)]), Buffer.concat([int(0), int(0)]), Buffer.concat([int(4), int(3)])]
    for (const result of none) {
      assert.strictEqual(readPrepared(Buffer.concat([parameters, result]), 0).columns, undefined)
    }
  })

  it("reads a statement without parameters", () => {
    const bytes = Buffer.concat([Protocol.shortBytes(id), int(0), int(0), int(0), int(4), int(0)])
    assert.deepStrictEqual(readPrepared(bytes, 0), { id, parameters: [], partitionKeys: [], columns: undefined })
  })

  it("refuses what is cut short, and a key beyond the parameters", () => {
    const bytes = Buffer.concat([parameters, rowsMetadata([option("c", hex("000c"))])])
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => readPrepared(bytes.subarray(0, length), 0), MalformedResponse)
    }
    const wrong = Buffer.from(bytes)
    wrong.writeUInt16BE(2, 16)
    assert.throws(() => readPrepared(wrong, 0), /partition key 2 of 2 parameters/)
  })
})

describe("ShapeCache", () => {
  const cacheOf = () => {
    const made: Array<ReadonlyArray<Column>> = []
    const cache = new ShapeCache((columns) => {
      made.push(columns)
      return made.length
    })
    return { cache, made }
  }
  const a = rowsMetadata([option("a", hex("0009"))])
  const count = hex("00000000")

  it("makes a shape once for the same columns, whatever the page state", () => {
    const { cache, made } = cacheOf()
    const pages = [undefined, hex("01"), hex("0203"), undefined].map((pageState) =>
      rowsMetadata([option("a", hex("0009"))], pageState && { pageState })
    )
    for (const bytes of pages) {
      const page = cache.read(Buffer.concat([hex("ffff"), bytes, count]), 2)
      assert.strictEqual(page.shape, 1)
      assert.deepStrictEqual(named(page.columns), ["shop.things.a int"])
      assert.strictEqual(page.rowsOffset, 2 + bytes.length)
    }
    assert.deepStrictEqual(cache.read(Buffer.concat([pages[2]!, count]), 0).pageState, hex("0203"))
    assert.lengthOf(made, 1)
  })

  it("makes another for other columns", () => {
    const { cache, made } = cacheOf()
    const others = [
      rowsMetadata([option("b", hex("0009"))]),
      rowsMetadata([option("a", hex("0008"))]),
      rowsMetadata([option("a", hex("0009")), option("b", hex("0009"))]),
      rowsMetadata([option("a", hex("0009"))], { global: false }),
      a
    ]
    cache.read(Buffer.concat([a, count]), 0)
    for (const bytes of others) {
      const { columns, rowsOffset } = cache.read(Buffer.concat([bytes, count]), 0)
      assert.deepStrictEqual(readRowsMetadata(bytes, 0).columns, columns)
      assert.strictEqual(rowsOffset, bytes.length)
    }
    assert.lengthOf(made, 1 + others.length)
  })

  it("takes the last columns for a page without them", () => {
    const { cache, made } = cacheOf()
    const without = Buffer.concat([int(4), int(1), count])
    assert.throws(() => cache.read(without, 0), MalformedResponse)
    cache.read(Buffer.concat([a, count]), 0)
    assert.deepStrictEqual(cache.read(without, 0).rowsOffset, 8)
    const more = cache.read(Buffer.concat([int(6), int(1), Protocol.bytes(hex("01")), count]), 0)
    assert.deepStrictEqual(more.rowsOffset, 13)
    assert.deepStrictEqual(more.pageState, hex("01"))
    assert.lengthOf(made, 1)
    assert.throws(() => cache.read(Buffer.concat([int(4), int(2), count]), 0), /2 columns without a description/)
  })

  it("keeps nothing of the page that it read, and nothing of one that failed", () => {
    const { cache, made } = cacheOf()
    const bytes = Buffer.concat([a, count])
    const first = cache.read(bytes, 0)
    bytes.fill(0xff)
    assert.deepStrictEqual(named(first.columns), ["shop.things.a int"])
    assert.throws(() => cache.read(a.subarray(0, -1), 0), MalformedResponse)
    assert.strictEqual(cache.read(Buffer.concat([a, count]), 0).shape, 1)
    assert.lengthOf(made, 1)
  })

  it("keeps nothing of columns that no shape could be made of", () => {
    const cache = new ShapeCache((columns) => {
      if (columns[0]!.name === "a") throw new TypeError("no")
      return columns
    })
    for (let i = 0; i < 2; i++) assert.throws(() => cache.read(Buffer.concat([a, count]), 0), TypeError)
  })
})
