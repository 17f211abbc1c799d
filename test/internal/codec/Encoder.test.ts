import { assert, describe, it } from "@effect/vitest"
import driver from "cassandra-driver"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import type { ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import { format } from "../../../src/internal/codec/ColumnType.ts"
import { compileParameters, ParameterMismatch, routingKey } from "../../../src/internal/codec/Encoder.ts"
import { cell, column, hex, scalar } from "./support.ts"
import { address, goldens } from "./values.ts"

const encode = (type: ColumnType, value: unknown): Buffer => compileParameters([column("value", type)])([value])

/** Without the count of the parameters and the value's length. */
const bytesOf = (type: ColumnType, value: unknown): Buffer => encode(type, value).subarray(6)

const refusal = (type: ColumnType, value: unknown): ParameterMismatch => {
  try {
    encode(type, value)
  } catch (error) {
    if (error instanceof ParameterMismatch) return error
    throw error
  }
  return assert.fail(`accepted for ${format(type)}`)
}

const list = (element: ColumnType): ColumnType => ({ type: "list", element })
const set = (element: ColumnType): ColumnType => ({ type: "set", element })
const map = (key: ColumnType, value: ColumnType): ColumnType => ({ type: "map", key, value })
const floats: ColumnType = { type: "vector", element: scalar("float"), dimension: 2 }
const pairOfAddresses: ColumnType = { type: "tuple", elements: [scalar("inet"), scalar("inet")] }
const pair: ColumnType = { type: "tuple", elements: [scalar("int"), scalar("text")] }

describe("compileParameters", () => {
  it.each(goldens.map((golden) => [format(golden.type), golden] as const))("writes %s", (_, { bytes, type, value }) => {
    assert.deepStrictEqual(
      encode(type, value).toString("hex"),
      Buffer.concat([hex("0001"), cell(bytes)]).toString("hex")
    )
  })

  it("writes the count, null as -1 and unset as -2", () => {
    const write = compileParameters([column("a", "int"), column("b", "text"), column("c", "int")])
    assert.deepStrictEqual(write([1, null, undefined]), hex("0003 00000004 00000001 ffffffff fffffffe"))
    assert.deepStrictEqual(compileParameters([])([]), hex("0000"))
  })

  it("gives every call bytes of its own", () => {
    const write = compileParameters([column("a", "text")])
    const first = write(["a"])
    const second = write(["b"])
    assert.deepStrictEqual([first, second], [hex("0001 00000001 61"), hex("0001 00000001 62")])
  })

  it("writes values larger than its buffer, and small ones after them", () => {
    const write = compileParameters([column("a", "text"), column("b", "blob"), column("c", "int")])
    const text = "žluťoučký kůň 🐎 ".repeat(100_000)
    const blob = new Uint8Array(3_000_000).fill(7)
    const bytes = write([text, blob, 5])
    const utf8 = Buffer.from(text)
    assert.isTrue(
      bytes.equals(Buffer.concat([hex("0003"), cell(utf8), cell(Buffer.from(blob)), cell(hex("00000005"))]))
    )
    assert.deepStrictEqual(write(["a", new Uint8Array(0), null]), hex("0003 00000001 61 00000000 ffffffff"))
  })

  it("writes text of every length around the changes of method", () => {
    for (const length of [0, 1, 15, 16, 17, 63, 4095, 4096, 4097]) {
      for (const text of ["a".repeat(length), "é".repeat(length), `${"a".repeat(length)}🐎`]) {
        assert.isTrue(bytesOf(scalar("text"), text).equals(Buffer.from(text)), `${length}`)
      }
    }
  })

  it("stands a value whose own code encodes another statement", () => {
    const write = compileParameters([column("a", list(scalar("text"))), column("b", "int")])
    const inner = compileParameters([column("x", "text")])
    const elements = ["a", "b"]
    Object.defineProperty(elements, 1, {
      get: () => {
        assert.deepStrictEqual(inner(["inner"]), Buffer.concat([hex("0001"), cell(Buffer.from("inner"))]))
        return "b"
      }
    })
    assert.deepStrictEqual(
      write([elements, 1]),
      compileParameters([column("a", list(scalar("text"))), column("b", "int")])([["a", "b"], 1])
    )
  })

  it("works on after a refusal", () => {
    const write = compileParameters([column("a", "text"), column("b", "int")])
    assert.throws(() => write(["a", "b"]), ParameterMismatch)
    assert.deepStrictEqual(write(["a", 1]), hex("0002 00000001 61 00000004 00000001"))
  })

  it("takes what is exact in another form", () => {
    const accepted: ReadonlyArray<readonly [ColumnType, unknown, string]> = [
      [scalar("int"), -0, "00000000"],
      [scalar("bigint"), 5, "0000000000000005"],
      [scalar("counter"), -1, "ffffffffffffffff"],
      [scalar("varint"), 128, "0080"],
      [scalar("uuid"), "0BADC0DE-1234-4ABC-8DEF-00FF10A5B6C7", "0badc0de12344abc8def00ff10a5b6c7"],
      [scalar("timestamp"), DateTime.makeUnsafe(5), "0000000000000005"],
      [scalar("timestamp"), DateTime.makeZonedUnsafe(5, { timeZone: "Europe/Prague" }), "0000000000000005"],
      [scalar("time"), "12:00:00", "0000274a48a78000"],
      [scalar("time"), "00:00:00.5", "000000001dcd6500"],
      [scalar("inet"), "::ffff:1.2.3.4", "00000000000000000000ffff01020304"],
      [scalar("blob"), Buffer.from("a"), "61"],
      [scalar("duration"), { months: 0, days: 0, nanoseconds: 1 }, "00 00 02"],
      [set(scalar("int")), [1], "00000001 00000004 00000001"],
      [map(scalar("text"), scalar("int")), { a: 1 }, "00000001 00000001 61 00000004 00000001"],
      [
        map(scalar("text"), scalar("int")),
        Object.assign(Object.create(null), { a: 1 }),
        "00000001 00000001 61 00000004 00000001"
      ],
      [address, { number: 1 }, "ffffffff 00000004 00000001"],
      [address, { street: undefined, number: 1 }, "ffffffff 00000004 00000001"],
      [floats, new Float32Array([1.5, -2]), "3fc00000 c0000000"],
      [address, {}, "ffffffff ffffffff"],
      // Only in a list, a set or a map does the server make IPv4 of it.
      [pairOfAddresses, ["::ffff:1.2.3.4", null], "00000010 00000000000000000000ffff01020304 ffffffff"],
      [list(scalar("inet")), ["::1.2.3.4"], "00000001 00000010 00000000000000000000000001020304"]
    ]
    for (const [type, value, bytes] of accepted) assert.deepStrictEqual(bytesOf(type, value), hex(bytes), format(type))
  })

  it("does not take an inherited property for a field", () => {
    const type: ColumnType = {
      type: "udt",
      keyspace: "k",
      name: "u",
      fields: [{ name: "constructor", type: scalar("text") }]
    }
    assert.deepStrictEqual(bytesOf(type, {}), hex("ffffffff"))
  })

  it("writes a long element of a vector after its length", () => {
    const type: ColumnType = { type: "vector", element: scalar("text"), dimension: 2 }
    const long = "a".repeat(200)
    assert.deepStrictEqual(bytesOf(type, [long, "b"]), Buffer.concat([hex("80c8"), Buffer.from(long), hex("01 62")]))
  })
})

describe("a refusal", () => {
  const sentinel = "s3cret-value"

  it.each(
    [
      ["int", 1.7, "a number with a fraction"],
      ["int", 2147483648, "a number beyond 32 bits"],
      ["int", -2147483649, "a number beyond 32 bits"],
      ["int", Number.NaN, "NaN"],
      ["int", Number.POSITIVE_INFINITY, "an infinite number"],
      ["int", "", "a string"],
      ["int", "12", "a string"],
      ["int", 5n, "a bigint"],
      ["int", true, "a boolean"],
      ["smallint", 32768, "a number beyond 16 bits"],
      ["tinyint", -129, "a number beyond 8 bits"],
      ["bigint", 2n ** 63n, "a bigint beyond 64 bits"],
      ["bigint", -(2n ** 63n) - 1n, "a bigint beyond 64 bits"],
      ["bigint", 2 ** 53, "a number beyond the safe integers"],
      ["bigint", 0.5, "a number with a fraction"],
      ["bigint", "5", "a string"],
      ["counter", 2n ** 64n, "a bigint beyond 64 bits"],
      ["varint", 1.5, "a number with a fraction"],
      ["varint", "1", "a string"],
      ["double", "1.5", "a string"],
      ["double", 1n, "a bigint"],
      ["float", {}, "an object"],
      ["decimal", 1.5, "a number with a fraction"],
      ["decimal", "1.5", "a string"],
      ["decimal", BigDecimal.make(1n, 2 ** 31), "a BigDecimal with a scale beyond 32 bits"],
      ["boolean", "false", "a string"],
      ["boolean", 0, "a number"],
      ["text", 1, "a number"],
      ["text", new String("a"), "a String"],
      ["text", "a\ud800", "a string with half of a surrogate pair"],
      ["text", `${"a".repeat(30)}\udc00`, "a string with half of a surrogate pair"],
      ["ascii", "é", "a string with characters beyond ASCII"],
      ["blob", "00", "a string"],
      ["blob", new ArrayBuffer(1), "an ArrayBuffer"],
      ["blob", new Uint16Array(1), "a Uint16Array"],
      ["blob", [1, 2], "an array"],
      ["uuid", "", "a string that is not a UUID"],
      ["uuid", "0badc0de12344abc8def00ff10a5b6c7", "a string that is not a UUID"],
      ["uuid", "0badc0de-1234-4abc-8def-00ff10a5b6cg", "a string that is not a UUID"],
      ["uuid", "0badc0de-1234-4abc-8def-00ff10a5b6ć7", "a string that is not a UUID"],
      ["uuid", "0badc0de-1234-4abc-8def-00ff10a5b6c78", "a string that is not a UUID"],
      ["uuid", "0badc0de+1234-4abc-8def-00ff10a5b6c7", "a string that is not a UUID"],
      ["uuid", Buffer.alloc(16), "a Buffer"],
      ["timeuuid", "0badc0de-1234-4abc-8def-00ff10a5b6c7", "a UUID that is not of version 1"],
      ["timestamp", new Date(Number.NaN), "an invalid Date"],
      [
        "timestamp",
        DateTime.mapEpochMillis(DateTime.makeUnsafe(5), () => 5.5),
        "a DateTime with a fraction of a millisecond"
      ],
      [
        "timestamp",
        DateTime.mapEpochMillis(DateTime.makeUnsafe(5), () => 8.64e15 + 1),
        "a DateTime beyond what a Date can hold"
      ],
      ["timestamp", 5, "a number"],
      ["timestamp", "2024-01-01", "a string"],
      ["date", "2024-02-30", "a string that is not a date"],
      ["date", "2023-02-29", "a string that is not a date"],
      ["date", "2024-13-01", "a string that is not a date"],
      ["date", "2024-00-10", "a string that is not a date"],
      ["date", "2024-1-1", "a string that is not a date"],
      ["date", "2024-01-01T00:00:00Z", "a string that is not a date"],
      ["date", "+5881580-07-12", "a date beyond 32 bits of days"],
      ["date", "-5877641-06-22", "a date beyond 32 bits of days"],
      ["date", new Date(), "a Date"],
      ["time", "24:00:00", "a string that is not a time"],
      ["time", "12:60:00", "a string that is not a time"],
      ["time", "12:00", "a string that is not a time"],
      ["time", "12:00:00.1234567890", "a string that is not a time"],
      ["time", 5n, "a bigint"],
      ["duration", "1d", "a string"],
      ["duration", { months: 1.5, days: 0, nanoseconds: 0n }, "a duration whose months or days are not whole"],
      ["duration", { months: 0, days: 0, nanoseconds: 2n ** 63n }, "a duration with nanoseconds beyond 64 bits"],
      ["duration", { months: 1, days: -1, nanoseconds: 0n }, "a duration with parts of both signs"],
      ["duration", { years: 1, months: 0, days: 0, nanoseconds: 0n }, "a duration with a part that the type has not"],
      ["inet", "localhost", "a string that is not an address"],
      ["inet", "1.2.3", "a string that is not an address"],
      ["inet", "1.2.3.256", "a string that is not an address"],
      ["inet", "fe80::1%eth0", "a string that is not an address"],
      ["inet", 5, "a number"],
      ["text", Symbol("a"), "a symbol"],
      ["text", () => "a", "a function"]
    ] as ReadonlyArray<readonly [string, unknown, string]>
  )("of %s says the kind of %o: %s", (type, value, found) => {
    const error = refusal(scalar(type), value)
    assert.strictEqual(error.found, found)
    assert.strictEqual(error.expected, type)
    assert.strictEqual(error.index, 0)
    assert.strictEqual(error.name, "value")
    assert.isTrue(error.message.startsWith(`parameter 0 ("value"): expected ${type}, found ${found}`), error.message)
  })

  it.each(
    [
      [list(scalar("text")), new Set(["a"]), "a Set"],
      [list(scalar("text")), "a", "a string"],
      [list(scalar("text")), ["a", null], "null where text belongs"],
      [list(scalar("text")), ["a", undefined], "undefined where text belongs"],
      // oxlint-disable-next-line no-sparse-arrays
      [list(scalar("text")), ["a", , "b"], "undefined where text belongs"],
      [list(scalar("blob")), [null], "null where blob belongs"],
      [list(scalar("int")), [1, 1.5], "a number with a fraction where int belongs"],
      [set(scalar("text")), { a: 1 }, "an object"],
      [set(scalar("text")), new Set([null]), "null where text belongs"],
      [map(scalar("text"), scalar("int")), [["a", 1]], "an array"],
      [map(scalar("text"), scalar("int")), new Map([["a", "1"]]), "a string where int belongs"],
      [map(scalar("int"), scalar("int")), { 1: 1 }, "an object"],
      [map(scalar("text"), scalar("int")), new Map([[null, 1]]), "null where text belongs"],
      [map(scalar("text"), list(scalar("int"))), new Map([["a", [null]]]), "null where int belongs"],
      [pair, [1], "an array of 1 for 2 elements"],
      [pair, [1, "a", 2], "an array of 3 for 2 elements"],
      [pair, ["a", "a"], "a string where int belongs"],
      [pair, [undefined, "a"], "undefined where int belongs"],
      [address, { street: 1 }, "a number where text belongs"],
      [address, { stret: "a" }, "an object with a field that the type has not"],
      [address, new Map([["street", "a"]]), "a Map"],
      [address, ["a", 1], "an array"],
      [address, new Set(["a"]), "a Set"],
      [address, new Date(5), "a Date"],
      [list(scalar("inet")), ["::ffff:1.2.3.4"], "an IPv4 address in the form of IPv6 where inet belongs"],
      [set(scalar("inet")), new Set(["::ffff:102:304"]), "an IPv4 address in the form of IPv6 where inet belongs"],
      [
        map(scalar("int"), scalar("inet")),
        new Map([[1, "::ffff:0:0"]]),
        "an IPv4 address in the form of IPv6 where inet belongs"
      ],
      [floats, [1], "an array of 1 for 2 elements"],
      [floats, [1, null], "null where float belongs"],
      [floats, "ab", "a string"],
      [{ type: "custom", className: "com.example.Point" }, "POINT (1 2)", "a string"]
    ] as ReadonlyArray<readonly [ColumnType, unknown, string]>
  )("of %o says the kind of %o: %s", (type, value, found) => {
    const error = refusal(type, value)
    assert.strictEqual(error.found, found)
    assert.strictEqual(error.expected, format(type))
  })

  it("never tells the value", () => {
    class Holder {
      readonly value = sentinel
      toString() {
        return sentinel
      }
      toJSON() {
        return sentinel
      }
    }
    const values = [
      sentinel,
      [sentinel],
      new Set([sentinel]),
      new Map([[sentinel, sentinel]]),
      new Holder(),
      new Date(sentinel)
    ]
    for (const { type } of goldens) {
      for (const value of values) {
        try {
          encode(type, value)
        } catch (error) {
          assert.instanceOf(error, ParameterMismatch)
          const { expected, found, hint, message, stack } = error
          assert.notInclude([expected, found, hint, message, stack].join("\n"), sentinel)
        }
      }
    }
  })

  it("names the parameter among several", () => {
    const write = compileParameters([column("a", "int"), column("b c", list(scalar("int")))])
    try {
      write([1, ["x"]])
      assert.fail("accepted")
    } catch (error) {
      assert.instanceOf(error, ParameterMismatch)
      assert.strictEqual(error.index, 1)
      assert.strictEqual(error.name, "b c")
      assert.strictEqual(
        error.message,
        "parameter 1 (\"b c\"): expected list<int>, found a string where int belongs; make a number of it"
      )
    }
  })

  it("of too few or too many values says how many", () => {
    const write = compileParameters([column("a", "int"), column("b", "int")])
    assert.throws(() => write([1]), /parameter 1 \("b"\): expected int, found 1 values for 2 parameters/)
    assert.throws(() => write([1, 2, 3]), /parameter 2 \(""\): expected no value, found 3 values for 2 parameters/)
  })
})

describe("routingKey", () => {
  const parameters = [column("a", "int"), column("b", "text"), column("c", "text")]
  const encoded = compileParameters(parameters)([1, "x", ""])

  it("of one component is its bytes", () => {
    assert.deepStrictEqual(routingKey(encoded, [0]), hex("00000001"))
    assert.deepStrictEqual(routingKey(encoded, [1]), hex("78"))
    assert.deepStrictEqual(routingKey(encoded, [2]), hex(""))
  })

  it("of several has the length and the end of each, in the order of the key", () => {
    assert.deepStrictEqual(routingKey(encoded, [1, 0]), hex("0001 78 00 0004 00000001 00"))
    assert.deepStrictEqual(routingKey(encoded, [0, 2]), hex("0004 00000001 00 0000 00"))
  })

  it("of one parameter that is the key twice has it twice", () => {
    assert.deepStrictEqual(routingKey(encoded, [0, 0]), hex("0004 00000001 00 0004 00000001 00"))
  })

  it("does not exist without a key, or with a part of it null or unset", () => {
    assert.strictEqual(routingKey(encoded, []), undefined)
    for (const value of [null, undefined]) {
      assert.strictEqual(routingKey(compileParameters(parameters)([1, value, ""]), [1]), undefined)
      assert.strictEqual(routingKey(compileParameters(parameters)([1, value, ""]), [0, 1]), undefined)
      assert.deepStrictEqual(routingKey(compileParameters(parameters)([1, value, ""]), [0]), hex("00000001"))
    }
    assert.strictEqual(routingKey(encoded, [3]), undefined)
  })

  it("does not exist for components that their length has no place for", () => {
    const long = compileParameters(parameters)([1, "x".repeat(65_536), ""])
    assert.strictEqual(routingKey(long, [0, 1]), undefined)
    assert.lengthOf(routingKey(compileParameters(parameters)([1, "x".repeat(65_535), ""]), [0, 1])!, 65_535 + 3 + 7)
  })

  it("keeps no larger buffer alive", () => {
    const key = routingKey(encoded, [0])!
    encoded.fill(0xff)
    assert.deepStrictEqual(key, hex("00000001"))
  })
})

describe("the bytes of the driver", () => {
  // Not in the driver's own types.
  const { Encoder } = driver as unknown as {
    readonly Encoder: new(version: number, options: object) => { encode(value: unknown, type: object): Buffer }
  }
  const encoder = new Encoder(4, {
    encoding: { map: Map, set: Set, useBigIntAsLong: true, useBigIntAsVarint: true }
  })
  const { dataTypes } = driver.types
  const code = (name: string) => ({ code: dataTypes[name as "int"], info: null })

  it.each(
    [
      ["int", -7, -7],
      ["bigint", -7n, -7n],
      ["double", 0.1, 0.1],
      ["float", 0.1, 0.1],
      ["text", "žluť 🐎", "žluť 🐎"],
      ["boolean", true, true],
      ["timestamp", new Date(1234567890123), new Date(1234567890123)],
      [
        "uuid",
        "0badc0de-1234-4abc-8def-00ff10a5b6c7",
        driver.types.Uuid.fromString("0badc0de-1234-4abc-8def-00ff10a5b6c7")
      ],
      ["inet", "2001:db8::ff", driver.types.InetAddress.fromString("2001:db8::ff")],
      ["inet", "10.1.2.3", driver.types.InetAddress.fromString("10.1.2.3")],
      ["date", "2024-02-29", driver.types.LocalDate.fromString("2024-02-29")],
      ["date", "1812-06-24", driver.types.LocalDate.fromString("1812-06-24")],
      ["time", "12:34:56.789012345", driver.types.LocalTime.fromString("12:34:56.789012345")],
      ["decimal", BigDecimal.fromStringUnsafe("-12.345"), driver.types.BigDecimal.fromString("-12.345")],
      ["varint", -(10n ** 30n), -(10n ** 30n)],
      ["varint", 255n, 255n],
      ["smallint", -300, -300],
      ["tinyint", -3, -3]
    ] as ReadonlyArray<readonly [string, unknown, unknown]>
  )("are the same for %s %o", (type, ours, theirs) => {
    assert.strictEqual(bytesOf(scalar(type), ours).toString("hex"), encoder.encode(theirs, code(type)).toString("hex"))
  })

  it("are the same for durations", () => {
    const units = driver.types.Long
    for (
      const [months, days, nanoseconds] of [[1, 2, 3n], [-1, -200, -(10n ** 15n)], [2147483647, 0, 2n ** 62n]] as const
    ) {
      const theirs = new driver.types.Duration(months, days, units.fromString(nanoseconds.toString()))
      assert.strictEqual(
        bytesOf(scalar("duration"), { months, days, nanoseconds }).toString("hex"),
        (theirs as unknown as { toBuffer(): Buffer }).toBuffer().toString("hex")
      )
    }
  })
})
