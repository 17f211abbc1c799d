import { assert, describe, it } from "@effect/vitest"
import cassandra from "cassandra-driver"
import * as BigDecimal from "effect/BigDecimal"
import * as Redacted from "effect/Redacted"
import { maskPasswords, maskValues, passwordsIn } from "../../src/internal/mask.ts"

const check = (message: string, values: ReadonlyArray<unknown>, expected: string): void =>
  assert.strictEqual(maskValues(message, values), expected)

describe("maskValues", () => {
  it("leaves a message without values as it is", () => {
    check("Unable to make int from 'secret'", [], "Unable to make int from 'secret'")
    check("Unable to make int from 'secret'", [null, undefined, true, "", 7], "Unable to make int from 'secret'")
  })

  it("masks strings, every time", () => {
    check("Unable to make int from 'secret'", ["secret"], "Unable to make int from '‹value›'")
    check("Cannot convert secret to a BigInt", ["secret"], "Cannot convert ‹value› to a BigInt")
    check("secret-key, secret-key", ["secret-key"], "‹value›, ‹value›")
    check("xsecret-keyx", ["secret-key"], "x‹value›x")
  })

  it("takes short words for values where they are words", () => {
    check("Cannot convert not to a BigInt", ["not"], "Cannot convert ‹value› to a BigInt")
    check("not in note or knot", ["not"], "‹value› in note or knot")
    check("'a' and a, not abc", ["a"], "'‹value›' and ‹value›, not abc")
    check("straße, Straßen", ["straße"], "‹value›, Straßen")
    check("a+b+", ["+"], "a‹value›b‹value›")
  })

  it("masks characters that mean something to regular expressions", () => {
    const value = "a.*(b)[c]$^|\\d+?{1}"
    check(`from '${value}' and a.b`, [value], "from '‹value›' and a.b")
  })

  it("masks quoted and escaped forms", () => {
    check("from 'O''Brien and sons'", ["O'Brien and sons"], "from '‹value›'")
    check("from \"say \\\"hi\\\" to her\"", ["say \"hi\" to her"], "from \"‹value›\"")
    check("from 'padded value'", ["  padded value "], "from '‹value›'")
  })

  it("masks several lines", () => {
    check("from 'first line\nsecond line'", ["first line\nsecond line"], "from '‹value›'")
  })

  it("masks numbers, whole ones only", () => {
    check("boom 7", [7], "boom ‹value›")
    check("7 of 17, 7.5, 3.7, 77 and 7.", [7], "‹value› of 17, 7.5, 3.7, 77 and ‹value›.")
    check("got a Double: 5.0", [5], "got a Double: ‹value›")
    check("got -3 and 3", [-3], "got ‹value› and 3")
    check("got 1.5E10", [1.5e10], "got ‹value›")
    check("got 1.0E21", [1e21], "got ‹value›")
    check("got 9223372036854775808!", [9223372036854775808n], "got ‹value›!")
    check("got 12.50 or 12.5", [BigDecimal.fromStringUnsafe("12.5")], "got 12.50 or ‹value›")
  })

  it("masks uuids in either case", () => {
    const uuid = "4FA1E8B0-8E5D-4C3C-9C56-2D1A6E0C1B2A"
    check(`no ${uuid}, ${uuid.toLowerCase()}`, [uuid], "no ‹value›, ‹value›")
    check(`no ${uuid.toLowerCase()}`, [cassandra.types.Uuid.fromString(uuid)], "no ‹value›")
  })

  it("masks values of other classes by what they print", () => {
    check("at 10.1.2.3!", [cassandra.types.InetAddress.fromString("10.1.2.3")], "at ‹value›!")
    check("got 9007199254740993", [cassandra.types.Long.fromString("9007199254740993")], "got ‹value›")
  })

  it("masks dates as people and servers print them", () => {
    const date = new Date("2026-05-04T03:02:01.678Z")
    check("2026-05-04T03:02:01.678Z", [date], "‹value›")
    check("2026-05-04 03:02:01.678+0000.", [date], "‹value›.")
    check(`at ${date.getTime()}`, [date], "at ‹value›")
    check(`at ${String(date)}`, [date], "at ‹value›")
    check("got Invalid Date", [new Date(Number.NaN)], "got ‹value›")
  })

  it("masks bytes in hexadecimal", () => {
    check("0xdeadbeef and DEADBEEF", [Buffer.from("deadbeef", "hex")], "‹value› and ‹value›")
    check("0xcafe", [new Uint8Array([0xca, 0xfe])], "‹value›")
    check("got 0.25", [new Float32Array([0.25, 1])], "got ‹value›")
  })

  it("masks what is in collections, at any depth", () => {
    const value = new Map([["map-key", [new Set(["in-a-set"]), { field: "in-a-udt", "ab-cd": [42] }]]])
    check(
      "map-key in-a-set in-a-udt ab-cd 42",
      [value],
      "‹value› ‹value› ‹value› ‹value› ‹value›"
    )
    const circular: Array<unknown> = ["in-a-circle"]
    circular.push(circular)
    check("in-a-circle", [circular], "‹value›")
    let shared: unknown = ["in two places"]
    for (let depth = 0; depth < 60; depth++) shared = [shared, shared]
    check("in two places", [shared], "‹value›")
    let deep: unknown = "at the bottom"
    for (let depth = 0; depth < 60; depth++) deep = [deep]
    check("at the bottom", [deep], "‹value›")
    let deeper: unknown = []
    for (let depth = 0; depth < 100_000; depth++) deeper = [deeper]
    check("still standing", [deeper], "still standing")
  })

  it("masks secrets, and nothing is said when one cannot be looked at", () => {
    const redacted = Redacted.make("hunter2-hunter2")
    check("with hunter2-hunter2", [redacted], "with ‹value›")
    Redacted.wipeUnsafe(redacted)
    check("with hunter2-hunter2", [redacted], "‹value›")
    const trap = Object.defineProperty({}, "x", {
      enumerable: true,
      get: () => {
        throw new Error("no")
      }
    })
    check("with hunter2-hunter2", [trap], "‹value›")
  })

  it("masks values that overlap or touch, as one", () => {
    check("from 'secret-key'", ["secret-", "secret-key", "cret-k"], "from '‹value›'")
    check("abcdefghijkl", ["abcdefgh", "efghijkl"], "‹value›")
    check("first-1second-2", ["first-1", "second-2"], "‹value›")
  })

  it("does not mask its own masks", () => {
    check("from 'long-value'", ["long-value", "value", "‹"], "from '‹value›'")
  })

  it("knows a long value by its beginning", () => {
    const value = "the quick brown fox jumps over the lazy dog"
    check("String was: the quick brown fox ju...", [value], "String was: ‹value›...")
    check("the quick brown", [value], "the quick brown")
  })

  it("cuts messages that are very long, and no value at the cut", () => {
    const secret = "0123456789abcdef".repeat(20)
    const masked = maskValues("x".repeat(4000) + secret + "y".repeat(100_000), [secret])
    assert.strictEqual(masked, `${"x".repeat(4000)}‹value›…`)
    assert.strictEqual(
      maskValues(`${"x ".repeat(2046)}short-secret ${"y".repeat(9)}`, ["short-secret"]),
      `${"x ".repeat(2046)}‹value›…`
    )
    assert.strictEqual(maskValues("z".repeat(10_000), []), `${"z".repeat(4096)}…`)
    const huge = "v".repeat(5_000_000)
    assert.strictEqual(maskValues(`got ${huge}`, [huge]), "got ‹value›…")
  })

  it("has bounded work for many values", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => `value number ${index}`)
    check("got 'value number 1999'", [many.slice(0, 2000)], "got '‹value›'")
    assert.notInclude(maskValues("got 'value number 19999'", [many]), "19999")
  })

  describe("JSON", () => {
    it("is looked into", () => {
      const json = JSON.stringify({ id: 1, name: "secret", tags: { "map-key": ["in-a-list"] } })
      check(
        "Error decoding JSON value for id: Unable to make int from 'secret'",
        [json],
        "Error decoding JSON value for id: Unable to make int from '‹value›'"
      )
      check("map-key, in-a-list", [json], "‹value›, ‹value›")
    })

    it("that cannot be read is known by its pieces", () => {
      check(
        "Could not decode JSON string as a map: Unrecognized token 'secret': was expecting (String was: {id: secret})",
        ["{id: secret}"],
        "Could not decode JSON string as a map: Unrecognized token '‹value›': was expecting (String was: ‹value›)"
      )
      check(
        "Could not decode JSON string as a map: Unrecognized token 'secret'",
        ["secret of mine"],
        "Could not decode JSON string as a map: Unrecognized token '‹value›'"
      )
    })
  })
})

describe("passwords in statements", () => {
  const cases: ReadonlyArray<readonly [statement: string, expected: string]> = [
    [
      "CREATE ROLE ada WITH PASSWORD = 'hunter2' AND LOGIN = true",
      "CREATE ROLE ada WITH PASSWORD = ‹value› AND LOGIN = true"
    ],
    ["alter role ada with login = true and password='it''s'", "alter role ada with login = true and password=‹value›"],
    ["CREATE ROLE ada WITH HASHED PASSWORD = '$2a$10$x'", "CREATE ROLE ada WITH HASHED PASSWORD = ‹value›"],
    ["CREATE ROLE ada WITH PASSWORD = $$hunter2$$;", "CREATE ROLE ada WITH PASSWORD = ‹value›;"],
    ["CREATE ROLE ada WITH PASSWORD = 'never closed", "CREATE ROLE ada WITH PASSWORD = ‹value›"],
    ["CREATE USER ada WITH PASSWORD 'hunter2' SUPERUSER", "CREATE USER ada WITH PASSWORD ‹value› SUPERUSER"],
    ["SELECT password FROM users WHERE name = 'ada'", "SELECT password FROM users WHERE name = 'ada'"]
  ]

  for (const [statement, expected] of cases) {
    it(`of ${statement.slice(0, 45)}`, () => {
      assert.strictEqual(maskPasswords(statement), expected)
      assert.strictEqual(passwordsIn(statement).length, expected.includes("‹value›") ? 1 : 0)
      for (const password of passwordsIn(statement)) assert.include(statement, password)
    })
  }
})
