import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Csv from "../../../src/internal/transfer/csv.ts"
import type { Line, LineColumn, Position, Reader, Writer } from "../../../src/internal/transfer/format.ts"
import { dropBytes, lines, start, Unending, Unreadable } from "../../../src/internal/transfer/format.ts"
import * as JsonLines from "../../../src/internal/transfer/jsonLines.ts"
import type { JsonRow } from "../../../src/internal/transfer/rowCodec.ts"

const columns: ReadonlyArray<LineColumn> = [
  { name: "id", isText: false, hasFloats: true },
  { name: "name", isText: true, hasFloats: false },
  { name: "tags", isText: false, hasFloats: true }
]

const texts = [
  "",
  " ",
  " a ",
  "a,b",
  "say \"hi\"",
  "\"",
  "\"\"",
  "line\nbreak",
  "line\r\nbreak",
  "\r",
  "\n",
  "\ufeff",
  "žluťoučký 🐎",
  "NULL",
  "null",
  "\\N",
  "1",
  "[]",
  "=1+1",
  "\u0000",
  "\u2028",
  "\ufffd"
]

const values: ReadonlyArray<unknown> = [
  0,
  -0,
  1.5,
  -1e300,
  true,
  false,
  null,
  [],
  [1, "a,\"b\"\n", null],
  [-0],
  { "a b": { "c\"": "d" } },
  "NaN",
  "1",
  "null",
  ""
]

const rows: ReadonlyArray<JsonRow> = [
  ...texts.map((name, id) => ({ id, name, tags: null })),
  ...values.map((tags) => ({ id: tags, name: null, tags }))
]

interface Format {
  readonly name: string
  readonly writer: Writer
  readonly reader: (at: Position) => Effect.Effect<Reader<Unending>>
}

const csv = (nullText: string): Format => ({
  name: `CSV with null as "${nullText}"`,
  writer: Csv.writer(columns, nullText),
  reader: (at) =>
    Csv.reader(at, nullText, at.bytes === 0 ? undefined : { columns }, (names) =>
      Effect.sync(() => {
        assert.deepStrictEqual(names, columns.map(({ name }) => name))
        return { columns }
      }))
})

const jsonLines: Format = { name: "JSON Lines", writer: JsonLines.writer(columns), reader: JsonLines.reader }

const formats = [jsonLines, csv(""), csv("NULL"), csv("\\N")]

const bytesOf = ({ writer }: Format, rows: ReadonlyArray<JsonRow>): Buffer =>
  Buffer.concat([writer.head, writer.rows(rows)])

const chunksOf = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.slice(index * size, (index + 1) * size))

const read = (
  { reader }: Format,
  chunks: ReadonlyArray<Uint8Array>,
  at: Position = start
): Effect.Effect<ReadonlyArray<Line>, Unending> =>
  Effect.map(
    Stream.runCollect(lines(dropBytes(Stream.fromIterable(chunks), at.bytes), reader(at))),
    (arrays) => arrays.flat()
  )

const same = (actual: unknown, expected: unknown, message?: string): void => {
  assert.deepStrictEqual(actual, expected, message)
}

const isMinusZero = (value: unknown): boolean => Object.is(value, -0)

for (const format of formats) {
  describe(format.name, () => {
    it.effect("has each row as it was, whatever is in it and wherever a chunk ends", () =>
      Effect.gen(function*() {
        const bytes = bytesOf(format, rows)
        const whole = yield* read(format, [bytes])
        same(whole.map(({ row }) => row), rows)
        assert.isTrue(isMinusZero((whole[texts.length + 1]!.row as JsonRow)["tags"]))
        for (const size of [1, 2, 3, 7, 64, 1000]) {
          same(yield* read(format, chunksOf(bytes, size)), whole, `chunks of ${size}`)
        }
      }))

    it.effect("has rows of some megabytes as it has each alone", () =>
      Effect.sync(() => {
        const large = Array.from({ length: 450 }, (_, id) => ({ id, name: `é"${id}`.repeat(1000), tags: null }))
        const alone = Buffer.concat(large.map((row) => format.writer.rows([row])))
        assert.isTrue(alone.equals(format.writer.rows(large)))
      }))

    it.effect("goes on behind any line, as if it had read those before", () =>
      Effect.gen(function*() {
        const bytes = bytesOf(format, rows)
        const whole = yield* read(format, [bytes])
        for (const [index, { end }] of whole.entries()) {
          same(yield* read(format, chunksOf(bytes, 11), end), whole.slice(index + 1))
        }
        same(whole.at(-1)!.end.bytes, bytes.length)
      }))

    it.effect("reads a mark of UTF-8, lines that end in CRLF, empty lines, and a last one that does not end", () =>
      Effect.gen(function*() {
        const some = rows.filter(({ name }) => typeof name === "string" && !/[\r\n]/.test(name)).slice(0, 4)
        const text = bytesOf(format, some).toString().replaceAll("\n", "\r\n")
        const marked = Buffer.from(`\ufeff${text.replace("\r\n", "\r\n\r\n\n").trimEnd()}`)
        const whole = yield* read(format, [marked])
        same(whole.map(({ row }) => row), some)
        same(whole.at(-1)!.end.bytes, marked.length)
        for (const size of [1, 2, 5]) same(yield* read(format, chunksOf(marked, size)), whole)
        for (const [index, { end }] of whole.entries()) {
          same(yield* read(format, [marked], end), whole.slice(index + 1))
        }
      }))

    it.effect("tells in which line a row begins", () =>
      Effect.gen(function*() {
        const bytes = bytesOf(format, rows)
        const text = bytes.toString()
        for (const { end, line, row } of yield* read(format, [bytes])) {
          const before = text.split("\n").slice(0, line - 1).join("\n").length
          const [first] = yield* read(format, [
            Buffer.concat([format.writer.head, Buffer.from(text.slice(before === 0 ? 0 : before + 1))])
          ])
          same(first!.row, row)
          same(end.lines, bytes.subarray(0, end.bytes).toString().split("\n").length - 1)
        }
      }))

    it.effect("tells of bytes that are no UTF-8, and reads the others", () =>
      Effect.gen(function*() {
        const [before, broken, behind] = rows.slice(2, 5).map((row) => Buffer.from(format.writer.rows([row])))
        const found = yield* read(format, [
          Buffer.concat([
            format.writer.head,
            before!,
            Buffer.from(broken!.toString().replace("a,b", "a\u0001b"))
              .map((byte) => byte === 1 ? 0xff : byte),
            behind!
          ])
        ])
        same(found.map(({ row }) => row instanceof Unreadable), [false, true, false])
        assert.match((found[1]!.row as Unreadable).problem, /UTF-8/)
      }))

    it.effect("of nothing is nothing", () =>
      Effect.gen(function*() {
        same(yield* read(format, []), [])
        same(yield* read(format, [new Uint8Array(0)]), [])
        same(yield* read(format, [Buffer.from("\ufeff")]), [])
        same(yield* read(format, [Buffer.from(format.writer.head)]), [])
      }))
  })
}

describe("JSON Lines", () => {
  it.effect("tells of a line that is no JSON or no object, and reads the others", () =>
    Effect.gen(function*() {
      const found = yield* read(jsonLines, [Buffer.from("{\"id\":1}\n{\"id\":\n\n[1]\n\"secret\"\n{\"id\":2}\n")])
      same(found.map(({ line, row }) => [line, row instanceof Unreadable ? row.problem : row]), [
        [1, { id: 1 }],
        [2, "it is no JSON"],
        [4, "it is JSON, but no object"],
        [5, "it is JSON, but no object"],
        [6, { id: 2 }]
      ])
    }))
})

describe("CSV", () => {
  const plain = csv("")

  it.effect("writes null without quotes, and a text that looks the same with them", () =>
    Effect.sync(() => {
      const lines = (format: Format) =>
        Buffer.from(format.writer.rows([{ id: 1, name: null, tags: null }, { id: 2, name: "", tags: [] }, {
          id: 3,
          name: "NULL",
          tags: "NaN"
        }])).toString()
      same(lines(plain), "1,,\n2,\"\",[]\n3,NULL,NaN\n")
      same(lines(csv("NULL")), "1,NULL,NULL\n2,\"\",[]\n3,\"NULL\",NaN\n")
    }))

  it.effect("tells of a line with too few or too many values, and reads the others", () =>
    Effect.gen(function*() {
      const found = yield* read(plain, [Buffer.from("id,name,tags\n1,\"a\nb\",\n2,a\n3,a,,4\n5,a,\n")])
      same(found.map(({ line, row }) => [line, row instanceof Unreadable ? row.problem : row]), [
        [2, { id: 1, name: "a\nb", tags: null }],
        [4, "it has 2 values, and there are 3 columns"],
        [5, "it has 4 values, and there are 3 columns"],
        [6, { id: 5, name: "a", tags: null }]
      ])
    }))

  it.effect("passes over empty lines, and not over one that has the word for null, or quotes", () =>
    Effect.gen(function*() {
      const text = "\n\r\nid,name,tags\n\nNULL\n\"\"\n1,a,\n\"\""
      for (const size of [1, 1000]) {
        const found = yield* read(csv("NULL"), chunksOf(Buffer.from(text), size))
        const problem = "it has 1 values, and there are 3 columns"
        same(found.map(({ line, row }) => [line, row instanceof Unreadable ? row.problem : row]), [
          [5, problem],
          [6, problem],
          [7, { id: 1, name: "a", tags: "" }],
          [8, problem]
        ])
      }
    }))

  it.effect("ends with the line of a quote that is wrong, and with nothing of what is in it", () =>
    Effect.gen(function*() {
      const broken: ReadonlyArray<readonly [text: string, line: number, problem: RegExp]> = [
        ["id,name,tags\n1,a,\n2,\"secret,\n3,b,\n", 3, /not closed/],
        ["id,name,tags\n1,\"a\n\",\n2,\"a\"secret,\n", 4, /behind a closing quote/],
        ["id,name,tags\n1,sec\"ret,\n", 2, /inside of a value/]
      ]
      for (const [text, line, problem] of broken) {
        for (const size of [1, 1000]) {
          const found = yield* Effect.result(read(plain, chunksOf(Buffer.from(text), size)))
          assert.isTrue(Result.isFailure(found))
          const error = Result.isFailure(found) ? found.failure : undefined
          assert.instanceOf(error, Unending)
          same(error!.line, line)
          assert.match(error!.problem, problem)
          assert.notMatch(error!.problem, /sec/)
        }
      }
    }))
})
