/** Run by a test in a process of its own, in which no code can be made of strings. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { compileRows } from "../../../src/internal/codec/Decoder.ts"
import { compileParameters } from "../../../src/internal/codec/Encoder.ts"
import * as RowSchema from "../../../src/internal/codec/RowSchema.ts"
import { column } from "./support.ts"

let forbidden = false
try {
  // oxlint-disable-next-line no-new-func
  new Function("return 1")
} catch {
  forbidden = true
}

const columns = [column("name", "text"), column("count", "int")]
const page = Buffer.concat([Buffer.from([0, 0, 0, 1]), compileParameters(columns)(["Ada", 7]).subarray(2)])

const proved = RowSchema.make(Schema.Struct({ name: Schema.String, count: Schema.Int }), columns)
const checked = RowSchema.make(Schema.Struct({ name: Schema.String.check(Schema.isMinLength(1)) }), columns)
const decoded = RowSchema.make(Schema.Struct({ name: Schema.OptionFromNullOr(Schema.String) }), columns)
const run = (decoder: RowSchema.RowDecoder<unknown>): unknown =>
  Effect.runSync(decoder.decode!(decoder.rows(page, 0)) as Effect.Effect<unknown>)

process.stdout.write(JSON.stringify({
  forbidden,
  plain: compileRows(columns)(page, 0),
  proved: proved.rows(page, 0),
  checked: run(checked),
  decoded: run(decoded)
}))
