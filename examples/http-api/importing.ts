/**
 * An import: what is a user is written as it comes in, what is none is told with its place.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Imported, ImportedUser } from "./api.ts"
import { Users } from "./users.ts"

type Payload = ReadonlyArray<unknown> | Stream.Stream<Uint8Array, unknown>

type Read = (item: unknown) => Result.Result<ImportedUser, Schema.SchemaError>

interface Item {
  readonly line: number
  readonly user: ReturnType<Read>
}

/** Of those that are refused, so many are told of. */
const maxRefusals = 100

const codec = Schema.toCodecJson(ImportedUser)

const read: Read = Schema.decodeUnknownResult(codec)

const readLine: Read = Schema.decodeUnknownResult(Schema.fromJsonString(codec))

/** A body that ends early, or is too large, is a defect, as it is to the server itself. */
const itemsOf = (payload: Payload): Stream.Stream<Item> =>
  Stream.isStream(payload)
    ? payload.pipe(
      Stream.orDie,
      Stream.decodeText,
      Stream.splitLines,
      Stream.zipWithIndex,
      Stream.filter(([text]) => text.trim() !== ""),
      Stream.map(([text, index]) => ({ line: index + 1, user: readLine(text) }))
    )
    : Stream.fromIterable(payload).pipe(
      Stream.zipWithIndex,
      Stream.map(([element, index]) => ({ line: index + 1, user: read(element) }))
    )

/**
 * Writes the users of a payload. What the database refuses ends it: the client sends it again, and each user, having its
 * id, is there once.
 */
export const importUsers = Effect.fn("importUsers")(function*(payload: Payload) {
  const { write } = yield* Users
  const refusals: Array<Imported["refusals"][number]> = []
  let refused = 0
  const refuse = (line: number, error: Schema.SchemaError): void => {
    if (++refused <= maxRefusals) refusals.push({ line, reason: error.message })
  }
  const users = Stream.filterMap(itemsOf(payload), ({ line, user }) => {
    if (Result.isFailure(user)) refuse(line, user.failure)
    return user
  })
  return new Imported({ written: yield* write(users), refused, refusals })
})
