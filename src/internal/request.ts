/**
 * Statements of a text with named markers, whose values are the fields of a request.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { Reason } from "../CqlError.ts"
import type { Misfit, RowEncoder } from "./codec/encodeRow.ts"
import { make as makeRowEncoder } from "./codec/encodeRow.ts"
import { problemOfValues } from "./fragments.ts"
import type { Resolve } from "./statement.ts"
import { StatementImpl } from "./statement.ts"
import * as Template from "./template.ts"

export interface StatementOf {
  readonly text: string
  readonly request?: Schema.Constraint | undefined
  readonly result?: Schema.Constraint | undefined
}

/** A statement, or with a request a function from one to a statement. */
export const make = (
  resolve: Resolve,
  { request, result, text }: StatementOf
): StatementImpl | ((request: unknown) => StatementImpl) => {
  if (request === undefined) return new StatementImpl(Template.ofText(text), result, resolve)
  const encoder = makeRowEncoder(request)
  if (Result.isFailure(encoder)) {
    const refused = new StatementImpl(Template.ofText(text, [], notNamed(encoder.failure)), result, resolve)
    return () => refused
  }
  return (value) => fromRequest(resolve, text, request, result, encoder.success, value)
}

const fromRequest = (
  resolve: Resolve,
  text: string,
  schema: Schema.Constraint,
  result: Schema.Constraint | undefined,
  { columns: names, encode }: RowEncoder,
  value: unknown
): StatementImpl => {
  const encoded = encode(value)
  const template = Result.isFailure(encoded)
    ? Template.ofText(text, [], misfit(names, encoded.failure))
    : Template.ofText(text, encoded.success, problemOfValues(names, encoded.success))
  return new StatementImpl(template, result, resolve, undefined, undefined, { names, schema })
}

const misfit = (names: ReadonlyArray<string>, { column, ...problem }: Misfit): Reason =>
  Template.invalidParameter({
    ...problem,
    index: column ?? 0,
    parameter: column === undefined ? "the request" : names[column]!
  })

const notNamed = (schema: string): Reason =>
  Template.malformed(`the request of a statement is a Struct or a Class of named values; this schema is ${schema}`)
