/**
 * With a real server: one for the whole run, and a keyspace for this file. What these tests say of CQL is true.
 */
import { assert, it } from "@effect/vitest"
import { CassandraServer } from "effect-cassandra/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createTables, User, Users } from "./Users.ts"

// The server that CASSANDRA_CONTACT_POINTS names, or one that is started here. In a project of yours, start one in
// vitest's globalSetup and hand it to the workers with CassandraServer.toEnvironment.
const KeyspaceLive = CassandraServer.layerKeyspace().pipe(Layer.provide(CassandraServer.layer()))

const UsersLive = Users.layer.pipe(
  Layer.merge(Layer.effectDiscard(createTables)),
  Layer.provideMerge(KeyspaceLive)
)

const ada = new User({ id: "0c5b1a2e-0c4c-4f1c-9a57-6a5f3f6b8c11", name: "Ada", email: "ada@example.com" })

// Without the test services, for a server answers in real time.
it.layer(UsersLive, { excludeTestServices: true, timeout: "3 minutes" })("Users", (it) => {
  it.effect("finds whom it has added", () =>
    Effect.gen(function*() {
      const users = yield* Users
      yield* users.add(ada)
      assert.deepStrictEqual(yield* users.find(ada.id), Option.some(ada))
    }))

  it.effect("has one user for each address, whoever asks first", () =>
    Effect.gen(function*() {
      const users = yield* Users
      const names = ["Grace", "Gracie", "Graciela"]
      const outcomes = yield* Effect.forEach(
        names,
        (name) => Effect.result(users.add(new User({ id: crypto.randomUUID(), name, email: "grace@example.com" }))),
        { concurrency: "unbounded" }
      )
      const failures = outcomes.filter((outcome) => outcome._tag === "Failure")
      assert.deepStrictEqual(failures.map(({ failure }) => failure._tag), ["EmailTaken", "EmailTaken"])
    }))
})
