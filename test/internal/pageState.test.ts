import { assert, describe, it } from "@effect/vitest"
import type { Column } from "../../src/internal/codec/ColumnType.ts"
import * as PageStates from "../../src/internal/pageState.ts"

const origin: PageStates.Origin = {
  keyspace: "shop",
  text: "SELECT id FROM users WHERE shop = ?",
  values: Buffer.of(0, 1, 0, 0, 0, 1, 7)
}

const column = (name: string, type: "int" | "text" = "int", table = "users"): Column => ({
  keyspace: "shop",
  table,
  name,
  type: { type }
})

const columns = [column("id")]

const state = Buffer.from("0011223344", "hex")

const text = PageStates.keep(origin, columns, state)

const readOf = (kept: unknown): PageStates.Kept => {
  const read = PageStates.read(kept)
  assert(!("_tag" in read))
  return read
}

const assertRefused = (kept: unknown) => {
  const read = PageStates.read(kept)
  assert("_tag" in read)
  assert.strictEqual(read._tag, "InvalidPageState")
}

describe("a page state", () => {
  it("is read as it was kept, and is of what it was taken from", () => {
    const kept = readOf(text)
    assert.deepStrictEqual(kept.state, state)
    assert.isUndefined(PageStates.problemOfOrigin(kept, origin))
    assert.isUndefined(PageStates.problemOfColumns(kept, columns))
  })

  it("is the same text in every version of the library that reads it", () => {
    assert.strictEqual(text, "ASTxxXQWe4nuIX0GV7GDo4Ekm3C3ddtVFAARIjNEyJLOxw")
  })

  it("is a text for URLs", () => {
    for (const size of [1, 2, 3, 64]) {
      assert.match(PageStates.keep(origin, columns, Buffer.alloc(size, 255)), /^[\w-]+$/)
    }
  })

  it("is of no other statement, values or keyspace", () => {
    const kept = readOf(text)
    const others: ReadonlyArray<PageStates.Origin> = [
      { ...origin, keyspace: undefined },
      { ...origin, keyspace: "sho" },
      { ...origin, text: `${origin.text} ` },
      { ...origin, values: undefined },
      { ...origin, values: Buffer.of(0, 1, 0, 0, 0, 1, 8) },
      // The same bytes, cut elsewhere.
      { ...origin, keyspace: `shop${origin.text[0]}`, text: origin.text.slice(1) }
    ]
    for (const other of others) {
      assert.strictEqual(PageStates.problemOfOrigin(kept, other)?._tag, "InvalidPageState", JSON.stringify(other))
    }
  })

  it("is of no other columns: more, fewer, others, in another order, of another table or type", () => {
    const two = [column("id"), column("name", "text")]
    const kept = readOf(PageStates.keep(origin, two, state))
    const others = [
      [],
      [two[0]!],
      [...two, column("more")],
      [two[1]!, two[0]!],
      [two[0]!, column("name")],
      [two[0]!, column("name", "text", "others")],
      [column("i"), column("dname", "text")]
    ]
    for (const other of others) {
      assert.strictEqual(PageStates.problemOfColumns(kept, other)?._tag, "InvalidPageState", JSON.stringify(other))
    }
  })

  it("that is not whole, has a character changed, or is none, is refused", () => {
    for (let length = 0; length < text.length; length++) assertRefused(text.slice(0, length))
    for (let index = 0; index < text.length; index++) {
      assertRefused(`${text.slice(0, index)}${text[index] === "A" ? "B" : "A"}${text.slice(index + 1)}`)
    }
    for (const other of ["nonsense", `${text}A`, `${text}=`, `${text}\n`, undefined, null, 7, [text]]) {
      assertRefused(other)
    }
    assertRefused(PageStates.seal(PageStates.forms.pageState, origin))
    assertRefused(PageStates.seal(PageStates.forms.checkpoint, origin, state, state, state))
  })
})

describe("a signed one", () => {
  const key = "a key that nobody knows"

  const signed = PageStates.sign(text, key)

  const assertInvalid = (cursor: unknown, keys: ReadonlyArray<string> = [key]) => {
    const verified = PageStates.verify(cursor, keys)
    assert(typeof verified !== "string")
    assert.strictEqual(verified._tag, "InvalidPageState")
  }

  it("is read with its key, whichever of several it is", () => {
    assert.strictEqual(PageStates.verify(signed, [key]), text)
    assert.strictEqual(PageStates.verify(signed, ["newer", key]), text)
    assert.match(signed, /^[\w-]+\.[\w-]+$/)
  })

  it("is refused with other keys, or with none", () => {
    for (const keys of [[], ["other"], [`${key} `], ["newer", "other"]]) assertInvalid(signed, keys)
  })

  it("is refused with any character changed, left out or added", () => {
    for (let index = 0; index < signed.length; index++) {
      const [before, behind] = [signed.slice(0, index), signed.slice(index + 1)]
      assertInvalid(`${before}${signed[index] === "A" ? "B" : "A"}${behind}`)
      assertInvalid(`${before}${behind}`)
    }
    for (const more of ["A", "=", "!", ".", " ", "é"]) {
      assertInvalid(`${signed}${more}`)
      assertInvalid(`${more}${signed}`)
    }
    for (const other of ["", ".", text, `${text}.`, undefined, null, 7]) assertInvalid(other)
  })
})
