import { assert, describe, it } from "@effect/vitest"
import * as Ring from "../../src/internal/ring.ts"

const of = (name: string): Ring.Partitioner => Ring.partitionerOf(`org.apache.cassandra.dht.${name}`)!

const murmur3 = of("Murmur3Partitioner")
const random = of("RandomPartitioner")
const byteOrdered = of("ByteOrderedPartitioner")

/** That each begins where the one before has ended, from one end of the ring to the other. */
const assertWhole = (ranges: ReadonlyArray<Ring.Range>, { end, start }: Ring.Range = Ring.whole) => {
  assert.strictEqual(ranges[0]!.start, start)
  assert.strictEqual(ranges.at(-1)!.end, end)
  for (let index = 1; index < ranges.length; index++) {
    assert.isDefined(ranges[index]!.start)
    assert.strictEqual(ranges[index]!.start, ranges[index - 1]!.end)
  }
}

const width = ({ end, start }: Ring.Range, { bounds }: Ring.Partitioner): bigint =>
  ((end ?? bounds![1]) as bigint) - ((start ?? bounds![0]) as bigint)

describe("partitionerOf", () => {
  it("knows those of Cassandra, with or without their package, and no others", () => {
    assert.strictEqual(Ring.partitionerOf("Murmur3Partitioner"), murmur3)
    assert.isUndefined(Ring.partitionerOf("org.apache.cassandra.dht.LocalPartitioner"))
    assert.isUndefined(Ring.partitionerOf("toString"))
    assert.isUndefined(Ring.partitionerOf(""))
  })

  it("reads tokens as nodes tell them, and binds them as token() is compared with", () => {
    assert.strictEqual(murmur3.toValue(murmur3.parse("-9223372036854775808")), -(2n ** 63n))
    assert.strictEqual(random.toValue(random.parse("170141183460469231731687303715884105728")), 2n ** 127n)
    assert.deepStrictEqual(byteOrdered.toValue(byteOrdered.parse("00FF")), Buffer.of(0, 255))
  })
})

describe("isToken", () => {
  it("knows what a partitioner can parse, and nothing else", () => {
    for (const text of ["0", "-9223372036854775808", "9223372036854775807"]) assert.isTrue(murmur3.isToken(text), text)
    for (const text of ["", "abc", "0x10", "1.5", "-", " 1", "9223372036854775808"]) {
      assert.isFalse(murmur3.isToken(text), text)
    }
    for (const text of ["-1", "170141183460469231731687303715884105728"]) assert.isTrue(random.isToken(text), text)
    for (const text of ["-2", "170141183460469231731687303715884105729"]) assert.isFalse(random.isToken(text), text)
    for (const text of ["", "00FF", "7f"]) assert.isTrue(byteOrdered.isToken(text), text)
    for (const text of ["f", "0x00", "-1", "zz"]) assert.isFalse(byteOrdered.isToken(text), text)
  })
})

describe("tokenIn", () => {
  it("is one of the range, or nothing for all of the ring", () => {
    assert.strictEqual(Ring.tokenIn({ start: 1n, end: 5n }), 5n)
    assert.strictEqual(Ring.tokenIn({ start: undefined, end: 5n }), 5n)
    assert.strictEqual(Ring.tokenIn({ start: 5n, end: undefined }), 6n)
    assert.isTrue(Ring.tokenIn({ start: "ff", end: undefined })! > "ff")
    assert.isUndefined(Ring.tokenIn(Ring.whole))
  })
})

describe("cut", () => {
  it("at no token is the range itself", () => {
    assert.deepStrictEqual(Ring.cut(murmur3, Ring.whole, []), [Ring.whole])
  })

  it("at one token makes two of the ring", () => {
    assert.deepStrictEqual(Ring.cut(murmur3, Ring.whole, [5n]), [{ start: undefined, end: 5n }, {
      start: 5n,
      end: undefined
    }])
  })

  it("takes tokens in any order, and once", () => {
    const ranges = Ring.cut(murmur3, Ring.whole, [7n, -3n, 7n, 10n, -3n])
    assertWhole(ranges)
    assert.deepStrictEqual(ranges.map(({ end }) => end), [-3n, 7n, 10n, undefined])
  })

  it("passes over tokens outside and at its ends", () => {
    assert.deepStrictEqual(Ring.cut(murmur3, { start: 1n, end: 9n }, [0n, 1n, 5n, 9n, 10n]), [
      { start: 1n, end: 5n },
      { start: 5n, end: 9n }
    ])
  })

  it("passes over the first token of all, at which a range would end that is all of the ring to the server", () => {
    const first = [[murmur3, -(2n ** 63n)], [random, -1n], [byteOrdered, ""]] as const
    for (const [partitioner, token] of first) {
      assert.deepStrictEqual(Ring.cut(partitioner, Ring.whole, [token]), [Ring.whole])
    }
  })

  it("sorts bytes as they are compared", () => {
    const tokens = ["ff", "00", "00ff", "7f"].map(byteOrdered.parse)
    assert.deepStrictEqual(Ring.cut(byteOrdered, Ring.whole, tokens).map(({ end }) => end), [
      "00",
      "00ff",
      "7f",
      "ff",
      undefined
    ])
  })
})

describe("split", () => {
  for (const [name, partitioner] of [["Murmur3", murmur3], ["Random", random]] as const) {
    for (const parts of [1, 2, 3, 7, 1000]) {
      it(`${name}: the ring in ${parts}, of the same width, without a gap`, () => {
        const ranges = Ring.split(partitioner, Ring.whole, parts)
        assert.lengthOf(ranges, parts)
        assertWhole(ranges)
        const widths = ranges.map((range) => width(range, partitioner))
        const [least, most] = widths.reduce(([a, b], w) => [w < a ? w : a, w > b ? w : b], [widths[0]!, widths[0]!])
        assert.isTrue(most - least <= 1n)
      })
    }
  }

  it("makes no more parts than there are tokens", () => {
    const range = { start: 4n, end: 7n }
    const ranges = Ring.split(murmur3, range, 100)
    assert.deepStrictEqual(ranges, [{ start: 4n, end: 5n }, { start: 5n, end: 6n }, { start: 6n, end: 7n }])
    assert.deepStrictEqual(Ring.split(murmur3, { start: 4n, end: 5n }, 100), [{ start: 4n, end: 5n }])
  })

  it("makes one part of what cannot be divided into so many", () => {
    for (const parts of [0, -1, NaN]) assert.deepStrictEqual(Ring.split(murmur3, Ring.whole, parts), [Ring.whole])
  })

  it("keeps the ends of a range that has some", () => {
    assertWhole(Ring.split(murmur3, { start: -100n, end: undefined }, 9), { start: -100n, end: undefined })
    assertWhole(Ring.split(murmur3, { start: undefined, end: 12n }, 9), { start: undefined, end: 12n })
  })

  it("leaves bytes whole", () => {
    assert.deepStrictEqual(Ring.split(byteOrdered, Ring.whole, 8), [Ring.whole])
  })
})

describe("shareOf", () => {
  it("is the part of the ring, and nothing where tokens are no numbers", () => {
    assert.strictEqual(Ring.shareOf(murmur3, Ring.whole), 1)
    assert.approximately(Ring.shareOf(murmur3, { start: undefined, end: 0n }), 0.5, 1e-9)
    assert.approximately(Ring.shareOf(random, { start: 2n ** 126n, end: undefined }), 0.5, 1e-9)
    assert.strictEqual(Ring.shareOf(byteOrdered, Ring.whole), 0)
  })
})

describe("without", () => {
  const ranges = Ring.split(murmur3, Ring.whole, 10)

  it("leaves nothing when all are done, in any order, and is one range while those between are not", () => {
    const order = [3, 0, 9, 4, 5, 1, 8, 2, 7, 6]
    let left: ReadonlyArray<Ring.Range> = [Ring.whole]
    const counts = order.map((index) => (left = Ring.without(left, ranges[index]!)).length)
    assert.deepStrictEqual(counts, [2, 2, 2, 2, 2, 2, 2, 1, 1, 0])
  })

  it("keeps exactly the others", () => {
    const done = [2, 3, 7]
    const left = done.reduce<ReadonlyArray<Ring.Range>>((left, index) => Ring.without(left, ranges[index]!), [
      Ring.whole
    ])
    assert.deepStrictEqual(left, [
      { start: undefined, end: ranges[1]!.end },
      { start: ranges[4]!.start, end: ranges[6]!.end },
      { start: ranges[8]!.start, end: undefined }
    ])
  })

  it("of what is not in them changes nothing", () => {
    const left = [{ start: 0n, end: 10n }]
    assert.deepStrictEqual(Ring.without(left, { start: 10n, end: 20n }), left)
    assert.deepStrictEqual(Ring.without(left, { start: undefined, end: 0n }), left)
  })
})
