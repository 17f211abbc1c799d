import { assert, describe, it } from "@effect/vitest"
import * as Settings from "../../../src/testing/internal/settings.ts"

describe("merge", () => {
  it("lays settings over others, inside of nested ones too", () => {
    const merged = Settings.merge(
      { num_tokens: 16, client_encryption_options: { enabled: true, keystore: "file" }, seeds: ["one", "two"] },
      { num_tokens: 4, client_encryption_options: { enabled: false }, seeds: ["three"], audit: { enabled: true } }
    )
    assert.deepStrictEqual(merged, {
      num_tokens: 4,
      client_encryption_options: { enabled: false, keystore: "file" },
      seeds: ["three"],
      audit: { enabled: true }
    })
  })
})

describe("flatten", () => {
  it("joins the names of nested settings", () => {
    assert.deepStrictEqual(Settings.flatten({ one: 1, two: { three: 3, four: { five: 5 } } }), {
      one: 1,
      "two.three": 3,
      "two.four.five": 5
    })
  })
})
