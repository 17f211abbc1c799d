import { assert, describe, it } from "@effect/vitest"
import { tokenize } from "../../../src/internal/cql/tokens.ts"
import { randomNumbers } from "../codec/support.ts"

/** Tokens of one text each, as `kind text`. */
const tokens = (text: string): ReadonlyArray<string> => tokenize(text).map(({ kind, text }) => `${kind} ${text}`)

const isOne = (kind: string, ...texts: ReadonlyArray<string>): void => {
  for (const text of texts) assert.deepStrictEqual(tokens(text), [`${kind} ${text}`])
}

const joined = (text: string): string => tokenize(text).map(({ text }) => text).join("")

describe("tokenize", () => {
  it("tells apart what a statement is made of", () => {
    assert.deepStrictEqual(tokens("UPDATE ks.t SET \"A\"+={'x'}WHERE k=:k;").filter((token) => token !== "space  "), [
      "word UPDATE",
      "word ks",
      "symbol .",
      "word t",
      "word SET",
      "quotedName \"A\"",
      "symbol +=",
      "symbol {",
      "string 'x'",
      "symbol }",
      "word WHERE",
      "word k",
      "symbol =",
      "symbol :",
      "word k",
      "symbol ;"
    ])
  })

  it("finds nothing in an empty text", () => {
    assert.deepStrictEqual(tokenize(""), [])
  })

  it("takes a quote that is written twice for a part of what is quoted", () => {
    isOne("string", "''", "'it''s'", "''''", "'a\nb'", "'--'", "'/*'", "'\"'", "'ž🐎'")
    isOne("quotedName", "\"\"", "\"a \"\"b\"\"\"", "\"'\"", "\"IF\"", "\"\u2028\"")
    assert.deepStrictEqual(tokens("'a''''b''c"), ["unknown 'a''''b''c"])
    assert.deepStrictEqual(tokens("'a'\"b\"'c'"), ["string 'a'", "quotedName \"b\"", "string 'c'"])
  })

  it("takes two dollars for a quote, up to the next two", () => {
    isOne("string", "$$$$", "$$it's$$", "$$a$b$$", "$$$a$$", "$$--$$", "$$/*$$")
    assert.deepStrictEqual(tokens("$$a$$$"), ["string $$a$$", "unknown $"])
    assert.deepStrictEqual(tokens("$a$$b$$"), ["unknown $a$$b$$"])
  })

  it("ends a comment with its line, whose end is a line feed or a carriage return only", () => {
    isOne("comment", "-- a\n", "--\r", "// a 'b\n", "//\r", "-- a\u2028b\u0085c\f\n")
    assert.deepStrictEqual(tokens("--a\r\n--b\n"), ["comment --a\r", "space \n", "comment --b\n"])
  })

  it("does not nest comments", () => {
    isOne("comment", "/**/", "/* a\n -- b */", "/*/ */", "/***/", "/* /* */", "/* ' */")
    assert.deepStrictEqual(tokens("/* /* */*/"), ["comment /* /* */", "symbol *", "symbol /"])
  })

  it("does not know the rest of a text from a quote or comment that does not end", () => {
    isOne("unknown", "'", "'a", "'a''", "\"", "\"a\"\"", "$$", "$$a$", "--", "-- a", "// a", "/*", "/*/", "/* a *")
    assert.deepStrictEqual(tokens("a 'b; c"), ["word a", "space  ", "unknown 'b; c"])
  })

  it("knows four characters of space", () => {
    isOne("space", " ", "\t", "\n", "\r", " \t\r\n ")
    isOne("unknown", "\f", "\v", "\u00a0", "\u2028", "\ufeff", "\u3000", "\0")
  })

  it("knows words of ASCII letters, digits and underscores", () => {
    isOne("word", "a", "SELECT", "a_1", "P", "p1y", "P1Yx", "PT", "P_1", "K")
    isOne("unknown", "ž", "_", "\u212a", "#", "@", "$", "!", "\\", "^", "~", "|", "&", "`")
    assert.deepStrictEqual(tokens("_a"), ["unknown _", "word a"])
    assert.deepStrictEqual(tokens("a\u017f"), ["word a", "unknown \u017f"])
    assert.deepStrictEqual(tokens("1\u017f"), ["number 1", "unknown \u017f"])
  })

  it("takes a minus in front of digits for a part of the number", () => {
    isOne("number", "0", "-1", "12.5", "1.", "-1.5e-3", "1E5", "2e+7")
    assert.deepStrictEqual(tokens("c-1"), ["word c", "number -1"])
    assert.deepStrictEqual(tokens("c- 1"), ["word c", "symbol -", "space  ", "number 1"])
    assert.deepStrictEqual(tokens("c-=1"), ["word c", "symbol -=", "number 1"])
    assert.deepStrictEqual(tokens("c=-1"), ["word c", "symbol =", "number -1"])
    assert.deepStrictEqual(tokens("1-1"), ["number 1", "number -1"])
    assert.deepStrictEqual(tokens("1+1"), ["number 1", "symbol +", "number 1"])
    assert.deepStrictEqual(tokens("1..2"), ["number 1", "symbol ..", "number 2"])
    assert.deepStrictEqual(tokens("1IF"), ["number 1", "word IF"])
  })

  it("knows UUIDs, blobs and durations", () => {
    isOne("uuid", "4fa1e8b0-8e5d-4c3c-9c56-2d1a6e0c1b2a", "FFA1E8B0-8E5D-4C3C-9C56-2D1A6E0C1B2A")
    isOne("blob", "0x", "0xCAFE", "0X00")
    isOne("duration", "1d", "-1Y2mo", "1y2mo3w4d5h6m7s8ms9ns", "10us", "10µs", "89h4m48s")
    isOne("duration", "P1Y", "-P1W", "PT5S", "P1Y2M3DT4H5M6S")
    assert.deepStrictEqual(tokens("1day"), ["duration 1d", "word ay"])
    assert.deepStrictEqual(tokens("4fa1e8b0-8e5d"), ["number 4", "word fa1e8b0", "number -8e5", "word d"])
  })

  it("knows symbols of two characters", () => {
    isOne("symbol", "+=", "-=", "<=", ">=", "!=", "..", "?", "*", "%", "<", ">")
    assert.deepStrictEqual(tokens("a::b"), ["word a", "symbol :", "symbol :", "word b"])
    assert.deepStrictEqual(tokens("=="), ["symbol =", "symbol ="])
  })

  it("loses and adds nothing, whatever the text", () => {
    const random = randomNumbers(1)
    const parts = [
      "'",
      "\"",
      "$$",
      "$",
      "--",
      "//",
      "/*",
      "*/",
      "\n",
      " ",
      "a",
      "P1",
      "1",
      ".",
      "-",
      "e",
      "0x",
      "🐎",
      ";"
    ]
    for (let round = 0; round < 2000; round++) {
      const length = Math.floor(random() * 30)
      const text = Array.from({ length }, () => parts[Math.floor(random() * parts.length)]).join("")
      assert.strictEqual(joined(text), text)
      assert.isTrue(tokenize(text).every((token) => token.text !== ""))
    }
  })

  it("reads texts of a million characters of any kind", () => {
    const kinds = "(|-|+ |'|''|\"|$$|--\n|/*|/**/|a|1|1d|1.|1e|.|?|\n|ž|P1D|deadbeef-|0x|1..|;".split("|")
    for (const kind of kinds) {
      const text = kind.repeat(Math.ceil(1_000_000 / kind.length))
      assert.isTrue(joined(text) === text, kind)
    }
    // Groups that repeat are bounded: the matcher keeps every repetition on its stack.
    for (const text of ["1d".repeat(8_000_000), `P${"1D".repeat(8_000_000)}`, `'${"''".repeat(8_000_000)}'`]) {
      assert.isTrue(joined(text) === text)
    }
  })
})
