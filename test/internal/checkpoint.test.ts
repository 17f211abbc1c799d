import { assert, describe, it } from "@effect/vitest"
import * as Checkpoints from "../../src/internal/checkpoint.ts"
import * as PageStates from "../../src/internal/pageState.ts"
import * as Ring from "../../src/internal/ring.ts"

const murmur3 = Ring.partitionerOf("Murmur3Partitioner")!
const byteOrdered = Ring.partitionerOf("ByteOrderedPartitioner")!

const origin: PageStates.Origin = { keyspace: "shop", text: "SELECT * FROM users", values: undefined }

const ranges: ReadonlyArray<Ring.Range> = [
  { start: undefined, end: -(2n ** 62n) },
  { start: 0n, end: 7n },
  { start: 2n ** 62n, end: undefined }
]

/** As somebody writes one who knows how, around whatever JSON. */
const forged = (json: unknown) =>
  PageStates.seal(
    PageStates.forms.checkpoint,
    origin,
    Buffer.from(typeof json === "string" ? json : JSON.stringify(json))
  )

const assertRefused = (text: unknown, partitioner = murmur3, of = origin) => {
  const read = Checkpoints.read(text, of, partitioner)
  assert("_tag" in read)
  assert.strictEqual(read._tag, "InvalidPageState")
  return read.message
}

describe("a checkpoint", () => {
  it("is read as it was kept", () => {
    for (const left of [ranges, [Ring.whole], []]) {
      assert.deepStrictEqual(Checkpoints.read(Checkpoints.keep(origin, left), origin, murmur3), left)
    }
    const ofBytes = [{ start: "00ff", end: undefined }]
    assert.deepStrictEqual(Checkpoints.read(Checkpoints.keep(origin, ofBytes), origin, byteOrdered), ofBytes)
  })

  it("is the same text in every version of the library that reads it", () => {
    assert.strictEqual(
      Checkpoints.keep(origin, ranges),
      "AoLvk4mtbzNWI6m0Y1tbbnVsbCwiLTQ2MTE2ODYwMTg0MjczODc5MDQiXSxbIjAiLCI3Il0sWyI0NjExNjg2MDE4NDI3Mzg3OTA0IixudWxsXV2xXLhk"
    )
  })

  it("of another origin is refused", () => {
    const text = Checkpoints.keep(origin, ranges)
    const others: ReadonlyArray<PageStates.Origin> = [
      { ...origin, keyspace: "other" },
      { ...origin, text: "SELECT * FROM others" },
      { ...origin, values: Buffer.of(0, 1) }
    ]
    for (const other of others) assert.match(assertRefused(text, murmur3, other), /another table/)
  })

  it("that is not whole, has a byte changed, or is none, is refused", () => {
    const text = Checkpoints.keep(origin, ranges)
    for (let length = 0; length < text.length; length++) assertRefused(text.slice(0, length))
    for (let index = 0; index < text.length; index++) {
      assertRefused(`${text.slice(0, index)}${text[index] === "A" ? "B" : "A"}${text.slice(index + 1)}`)
    }
    for (const other of ["nonsense", `${text}A`, `${text}=`, ` ${text}`, undefined, null, 7, {}]) assertRefused(other)
    assertRefused(PageStates.keep(origin, [], Buffer.of(1, 2, 3)))
  })

  it("whose tokens are none, or of another partitioner, is refused and no defect", () => {
    const bodies = [
      [["abc", null]],
      [["", null]],
      [["1.5", null]],
      [[null, "9223372036854775808"]],
      [["-", "--1"]],
      [[1, 2]],
      [["1"]],
      [["1", "2", "3"]],
      ["12"],
      [null],
      null,
      {},
      "12",
      "not JSON",
      ""
    ]
    for (const body of bodies) assertRefused(forged(body))
    assertRefused(forged([["abc", null]]), byteOrdered)
    assertRefused(forged([["-1", "1"]]), byteOrdered)
  })
})
