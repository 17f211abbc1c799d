/**
 * Which rows an import may leave out: those that the server has something against, and none for an outage.
 */
import { assert, it } from "@effect/vitest"
import * as Errors from "../../../src/CqlError.ts"
import { isAboutRow } from "../../../src/internal/transfer/failure.ts"
import { MalformedRow, RowNotWritten, TransferError } from "../../../src/TransferError.ts"

const notWritten = (reason: Errors.Reason) => {
  const error = Errors.make({ reason })
  return new TransferError({
    reason: new RowNotWritten({ part: undefined, line: 3, error, message: "the row was not written" })
  })
}

const malformed = new TransferError({
  reason: new MalformedRow({ part: undefined, line: 2, column: undefined, message: "it is no row" })
})

const aboutRow = [malformed, notWritten(new Errors.InvalidQuery({ message: "the key is too long" }))]

const aboutCluster = [
  notWritten(new Errors.NoHostAvailable({ nodes: [], message: "no node can be asked" })),
  notWritten(Errors.clientTimeout("operation", 30_000)),
  notWritten(new Errors.Unauthorized({ message: "no" }))
]

it("are those that the server refuses, or that are none", () => {
  for (const error of aboutRow) assert.isTrue(isAboutRow(error), error.message)
  for (const error of aboutCluster) assert.isFalse(isAboutRow(error), error.message)
})
