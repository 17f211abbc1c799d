import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, vi } from "vitest"
import type { Column } from "../../../src/internal/codec/ColumnType.ts"
import { format } from "../../../src/internal/codec/ColumnType.ts"
import type * as DecoderModule from "../../../src/internal/codec/Decoder.ts"
import type { RowShape } from "../../../src/internal/codec/Decoder.ts"
import { column, hex, page, randomNumbers, scalar, scalars } from "./support.ts"
import { goldens } from "./values.ts"

type Decoder = typeof DecoderModule

const forbidden = function() {
  throw new EvalError("Code generation from strings disallowed for this context")
}

const odd = (bytes: Buffer): Buffer => Buffer.concat([hex("ff"), bytes]).subarray(1)

const fixedLengths = {
  tinyint: 1,
  smallint: 2,
  int: 4,
  bigint: 8,
  counter: 8,
  float: 4,
  double: 8,
  boolean: 1,
  uuid: 16,
  timeuuid: 16,
  timestamp: 8,
  date: 4,
  time: 8
}

describe.each(["generated", "interpreted"])("Decoder, %s", (way) => {
  let Decoder: Decoder

  beforeAll(async () => {
    vi.resetModules()
    if (way === "interpreted") vi.stubGlobal("Function", forbidden)
    Decoder = await import("../../../src/internal/codec/Decoder.ts")
    // Made once while code generation is as it is for this way.
    Decoder.compileRows([column("a", "int")])
  })
  afterAll(() => {
    vi.unstubAllGlobals()
  })

  const decode = (columns: ReadonlyArray<Column>, bytes: Buffer, shape?: RowShape, offset = 0): Array<any> =>
    Decoder.compileRows<any>(columns, shape)(bytes, offset)

  const one = (type: Column["type"], bytes: Buffer | null, shape?: RowShape): unknown =>
    decode([column("value", type)], page([[bytes]]), shape)[0].value

  const isMalformed = (error: unknown): boolean => error instanceof Decoder.MalformedResponse

  const proved: RowShape = { fields: [{ name: "value", column: 0, nullable: false, use: "proved" }] }

  it("is the way that it says", () => {
    const source = Decoder.compileRows([column("a", "int")]).toString()
    assert.strictEqual(source.includes("DataView"), way === "generated")
  })

  it.each(goldens.map((golden) => [format(golden.type), golden] as const))("reads %s", (_, { bytes, type, value }) => {
    assert.deepStrictEqual(one(type, bytes), value)
    assert.deepStrictEqual(one(type, bytes, proved), value)
  })

  it("reads a page from any place of a larger buffer", () => {
    const columns = [column("a", "bigint"), column("b", "text"), column("c", "double")]
    const bytes = page([[hex("0000000000000007"), hex("61"), hex("3ff0000000000000")]])
    assert.deepStrictEqual(decode(columns, Buffer.concat([hex("ffff"), bytes, hex("ff")]), undefined, 2), [
      { a: 7n, b: "a", c: 1 }
    ])
    assert.deepStrictEqual(decode(columns, odd(bytes)), [{ a: 7n, b: "a", c: 1 }])
  })

  it("reads many rows, in the order of their columns", () => {
    const columns = [column("z", "int"), column("a", "text")]
    const rows = decode(columns, page([[hex("00000001"), hex("61")], [null, null], [hex("00000002"), hex("")]]))
    assert.deepStrictEqual(rows, [{ z: 1, a: "a" }, { z: null, a: null }, { z: 2, a: "" }])
    assert.deepStrictEqual(Object.keys(rows[1]), ["z", "a"])
    assert.deepStrictEqual(decode(columns, page([])), [])
  })

  it.each(scalars)("reads null and the old empty value of %s", (type) => {
    assert.strictEqual(one(scalar(type), null), null)
    const empty = { ascii: "", text: "", blob: new Uint8Array(0) }[type as "text"] ?? null
    assert.deepStrictEqual(one(scalar(type), hex("")), empty)
  })

  it.each(Object.entries(fixedLengths))("refuses a %s of a length other than %i", (type, length) => {
    for (const wrong of [length - 1, length + 1].filter((size) => size > 0)) {
      assert.throws(() => one(scalar(type), Buffer.alloc(wrong)), /Malformed response: \d+ bytes for a value of/)
    }
  })

  it.each(
    [
      ["an inet of 5 bytes", scalar("inet"), "0102030405"],
      ["a decimal without digits", scalar("decimal"), "00000001"],
      ["a duration that is cut short", scalar("duration"), "00 00"],
      ["a duration with a byte too many", scalar("duration"), "00 00 00 00"],
      ["a duration whose last part is cut short", scalar("duration"), "00 00 80"],
      ["a time outside of the day", scalar("time"), "7fffffffffffffff"],
      ["a negative time", scalar("time"), "ffffffffffffffff"],
      ["a list without its count", { type: "list", element: scalar("int") }, "0000"],
      [
        "a list of fewer elements than its count",
        { type: "list", element: scalar("int") },
        "00000002 00000004 00000001"
      ],
      ["a list of a negative count", { type: "list", element: scalar("int") }, "ffffffff"],
      ["a list of two thousand million", { type: "list", element: scalar("int") }, "7fffffff"],
      ["a list with bytes after its end", { type: "list", element: scalar("text") }, "00000001 00000001 61 00"],
      ["a set with an element beyond its end", { type: "set", element: scalar("text") }, "00000001 00000002 61"],
      ["a map without its value", { type: "map", key: scalar("text"), value: scalar("text") }, "00000001 00000001 61"],
      ["an int of a list with 3 bytes", { type: "list", element: scalar("int") }, "00000001 00000003 000000"],
      ["a vector of floats too short", { type: "vector", element: scalar("float"), dimension: 2 }, "3fc00000"],
      ["a vector of ints too long", { type: "vector", element: scalar("int"), dimension: 1 }, "0000000000000000"],
      ["a vector of texts cut short", { type: "vector", element: scalar("text"), dimension: 2 }, "01 61 02 61"],
      ["a vector of texts with more after it", { type: "vector", element: scalar("text"), dimension: 1 }, "01 61 00"]
    ] as ReadonlyArray<readonly [string, Column["type"], string]>
  )("refuses %s", (_, type, bytes) => {
    assert.throws(() => one(type, hex(bytes)), /^Malformed response/)
  })

  it("refuses a page that is cut short anywhere", () => {
    const columns = [column("a", "int"), column("b", "text"), column("c", { type: "list", element: scalar("text") })]
    const row = [hex("00000001"), Buffer.from("Ada"), hex("00000001 00000001 61")]
    const bytes = page([row, row])
    assert.lengthOf(decode(columns, bytes), 2)
    for (let length = 0; length < bytes.length; length++) {
      // The bytes are there beyond the page's end, as in Node's pool.
      assert.throws(() => decode(columns, bytes.subarray(0, length)), /^Malformed response/, `at ${length}`)
    }
  })

  it("refuses counts of rows that the page has no room for", () => {
    for (const count of ["ffffffff", "7fffffff", "00000002"]) {
      assert.throws(() => decode([column("a", "int")], hex(`${count} ffffffff`)), /^Malformed response/)
    }
    assert.throws(() => decode([], hex("00000001")), /^Malformed response/)
    assert.deepStrictEqual(decode([], hex("00000000")), [])
  })

  it("gives rows or refuses a damaged page, and nothing else", () => {
    const random = randomNumbers(7)
    const columns = goldens.map(({ type }, index) => column(`c${index}`, type))
    const bytes = page([goldens.map((golden) => golden.bytes)])
    const read = Decoder.compileRows(columns)
    let refused = 0
    for (let i = 0; i < 3000; i++) {
      const damaged = Buffer.from(bytes)
      damaged[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      try {
        read(damaged, 0)
      } catch (error) {
        refused++
        assert.isTrue(isMalformed(error), String(error))
      }
    }
    assert.isAbove(refused, 100)
  })

  it.each([
    "__proto__",
    "constructor",
    "toString",
    "a\"b",
    "a'b",
    "a`${b}",
    "a\nb",
    "a\\b",
    "\u2028\u2029",
    "\ud800",
    "",
    "0",
    "value0",
    "*/ throw 1 //"
  ])("gives a column named %j as a plain property", (name) => {
    for (const shape of [undefined, { fields: [{ name, column: 0, nullable: false }] }]) {
      const [row] = decode([column(name, "int"), column("other", "int")], page([[hex("00000007"), null]]), shape)
      assert.deepStrictEqual(Object.getOwnPropertyDescriptor(row, name), {
        value: 7,
        writable: true,
        enumerable: true,
        configurable: true
      })
      assert.strictEqual(Object.getPrototypeOf(row), Object.prototype)
      assert.deepStrictEqual(Object.keys(row).length, shape === undefined ? 2 : 1)
    }
  })

  it("gives fields of a user defined type as plain properties", () => {
    const type: Column["type"] = {
      type: "udt",
      keyspace: "shop",
      name: "odd",
      fields: [{ name: "__proto__", type: scalar("int") }, { name: "constructor", type: scalar("int") }]
    }
    const value = one(type, hex("00000004 00000001 00000004 00000002")) as object
    assert.deepStrictEqual(Object.entries(value), [["__proto__", 1], ["constructor", 2]])
    assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
  })

  it("keeps the last of two columns with one name", () => {
    const rows = decode([column("a", "int"), column("a", "text")], page([[hex("00000001"), hex("61")]]))
    assert.deepStrictEqual(rows, [{ a: "a" }])
  })

  it("reads text of every length, in ASCII and beyond", () => {
    const texts = Array.from({ length: 70 }, (_, length) => "abcdefghij".repeat(7).slice(0, length))
    const mixed = texts.flatMap((text) => [text, `${text}é`, `é${text}`, `${text}🐎${text}`])
    const rows = decode([column("value", "text")], page(mixed.map((text) => [Buffer.from(text)])))
    assert.deepStrictEqual(rows.map((row) => row.value), mixed)
  })

  it("reads bytes that are no UTF-8 as Node does", () => {
    for (const bytes of ["ff", "c3", "61c3", "eda080", "f0288cbc"]) {
      assert.strictEqual(one(scalar("text"), hex(bytes)), hex(bytes).toString("utf8"))
    }
  })

  it("copies blobs, so that a kept row does not keep its page", () => {
    const bytes = page([[hex("0102")]])
    const [row] = decode([column("value", "blob")], bytes)
    bytes.fill(0)
    assert.deepStrictEqual(row.value, new Uint8Array([1, 2]))
    assert.strictEqual(row.value.buffer.byteLength, 2)
    assert.strictEqual(Object.getPrototypeOf(row.value), Uint8Array.prototype)
  })

  it("reads elements that were added to a type after the value was written as null", () => {
    const tuple: Column["type"] = { type: "tuple", elements: [scalar("int"), scalar("int")] }
    assert.deepStrictEqual(one(tuple, hex("00000004 00000001")), [1, null])
    const udt: Column["type"] = { type: "udt", keyspace: "k", name: "u", fields: [{ name: "a", type: scalar("int") }] }
    assert.deepStrictEqual(one(udt, hex("00000004 00000001 00000004 00000002")), { a: 1 })
    assert.deepStrictEqual(
      one({ ...udt, fields: [...udt.fields, { name: "b", type: scalar("int") }] }, hex("00000004 00000001")),
      { a: 1, b: null }
    )
  })

  it("gives a time that a Date cannot hold as an invalid Date", () => {
    const value = one(scalar("timestamp"), hex("7fffffffffffffff")) as Date
    assert.isTrue(Number.isNaN(value.getTime()))
  })

  describe("with a shape", () => {
    const columns = [
      column("id", "int"),
      column("name", "text"),
      column("tags", { type: "set", element: scalar("text") })
    ]

    it("reads the fields that it names and no others", () => {
      const shape: RowShape = { fields: [{ name: "name", column: 1, nullable: false }] }
      assert.deepStrictEqual(decode(columns, page([[hex("00000001"), hex("61"), null]]), shape), [{ name: "a" }])
    })

    it("still checks the bytes of the columns that it leaves out", () => {
      const shape: RowShape = { fields: [{ name: "id", column: 0, nullable: false }] }
      const bytes = Buffer.concat([hex("00000001 00000004 00000001 00000009 61")])
      assert.throws(() => decode([column("id", "int"), column("name", "text")], bytes, shape), /^Malformed response/)
    })

    it("names the row, the field and the column of a null", () => {
      const shape: RowShape = { fields: [{ name: "alias", column: 1, nullable: false }] }
      try {
        decode(columns, page([[null, hex("61"), null], [null, null, null]]), shape)
        assert.fail("read a null")
      } catch (error) {
        assert.isTrue(error instanceof Decoder.NullInRow)
        const { column, field, found, message, row } = error as InstanceType<Decoder["NullInRow"]>
        assert.deepStrictEqual({ column, field, found, row }, {
          column: columns[1],
          field: "alias",
          found: "null",
          row: 1
        })
        assert.strictEqual(message, "column \"name\" of row 1: expected text, found null")
      }
    })

    it.each(
      [
        ["list", { type: "list", element: scalar("int") }, []],
        ["set", { type: "set", element: scalar("int") }, new Set()],
        ["map", { type: "map", key: scalar("int"), value: scalar("int") }, new Map()]
      ] as ReadonlyArray<readonly [string, Column["type"], unknown]>
    )("gives a null %s as the empty one where null is not allowed", (_, type, empty) => {
      assert.deepStrictEqual(one(type, null, proved), empty)
      assert.strictEqual(one(type, null, { fields: [{ name: "value", column: 0, nullable: true }] }), null)
      assert.notStrictEqual(one(type, null, proved), one(type, null, proved))
    })

    it("refuses the old empty value where null is not allowed", () => {
      assert.throws(() => one(scalar("int"), hex(""), proved), /found null/)
      assert.strictEqual(one(scalar("text"), hex(""), proved), "")
    })

    it.each(
      [
        ["list", { type: "list", element: scalar("int") }, "00000001 ffffffff"],
        ["set", { type: "set", element: scalar("int") }, "00000001 ffffffff"],
        ["map", { type: "map", key: scalar("int"), value: scalar("int") }, "00000001 00000004 00000001 ffffffff"],
        [
          "list inside a tuple",
          { type: "tuple", elements: [{ type: "list", element: scalar("int") }] },
          "00000008 00000001 ffffffff"
        ]
      ] as ReadonlyArray<readonly [string, Column["type"], string]>
    )("refuses a null inside a %s that is proved, and gives it otherwise", (_, type, bytes) => {
      assert.throws(() => one(type, hex(bytes), proved), /column "value" of row 0: expected .*, found a null inside it/)
      assert.doesNotThrow(() => one(type, hex(bytes)))
    })

    it("gives null inside a tuple and a user defined type, which may have it", () => {
      assert.deepStrictEqual(one({ type: "tuple", elements: [scalar("int")] }, hex("ffffffff"), proved), [null])
    })

    it("refuses a proved time that a Date cannot hold, anywhere in the row", () => {
      const beyond = hex("7fffffffffffffff")
      assert.throws(() => one(scalar("timestamp"), beyond, proved), /found a time beyond what a Date can hold/)
      const list = Buffer.concat([hex("00000001 00000008"), beyond])
      assert.throws(() => one({ type: "list", element: scalar("timestamp") }, list, proved), /found a time beyond/)
    })

    it("hands the properties to construct", () => {
      class Thing {
        readonly properties: object
        constructor(properties: object) {
          this.properties = properties
        }
      }
      const shape: RowShape = {
        fields: [{ name: "id", column: 0, nullable: false }],
        construct: (properties) => new Thing(properties)
      }
      const [row] = decode(columns, page([[hex("00000001"), null, null]]), shape)
      assert.instanceOf(row, Thing)
      assert.deepStrictEqual(row.properties, { id: 1 })
    })
  })
})

it("works in a process in which no code can be made of strings", () => {
  const script = fileURLToPath(new URL("withoutCodeGeneration.ts", import.meta.url))
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--disallow-code-generation-from-strings", "--no-warnings", script],
    { encoding: "utf8" }
  )
  assert.strictEqual(status, 0, stderr)
  assert.deepStrictEqual(JSON.parse(stdout), {
    forbidden: true,
    plain: [{ name: "Ada", count: 7 }],
    proved: [{ name: "Ada", count: 7 }],
    checked: [{ name: "Ada" }],
    decoded: [{ name: { _id: "Option", _tag: "Some", value: "Ada" } }]
  })
})
