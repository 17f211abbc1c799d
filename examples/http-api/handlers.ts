/**
 * What each endpoint does: asks the users, and answers.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { Api } from "./api.ts"
import { answered } from "./errors.ts"
import { importUsers } from "./importing.ts"
import { Users } from "./users.ts"

/** A stream whose first element is there: what it fails with before is answered, and does not break off an answer. */
const begun = <A, E, R>(self: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.peel(self, Sink.take(1)), ([first, rest]) => Stream.concat(Stream.fromIterable(first), rest))

export const HandlersLive = HttpApiBuilder.group(
  Api,
  "users",
  Effect.fnUntraced(function*(handlers) {
    const users = yield* Users
    return handlers
      .handle("create", ({ headers, payload }) => answered(users.create(payload, headers["idempotency-key"])))
      .handle("list", ({ query }) => answered(users.list(query)))
      .handle("download", () => answered(begun(users.all)))
      .handle("import", ({ payload }) => answered(Effect.provideService(importUsers(payload), Users, users)))
      .handle("read", ({ params }) => answered(users.read(params.id)))
      .handle("update", ({ params, payload }) => answered(users.update(params.id, payload)))
      .handle("delete", ({ params }) => answered(users.remove(params.id)))
  })
)
