/**
 * Without a server: a function answers what the statements ask. It shows what a real one cannot be made to do at will;
 * what it says of CQL is only what its author believes.
 */
import { assert, it } from "@effect/vitest"
import { CqlError, Session } from "effect-cassandra"
import { CasWriteUnknown } from "effect-cassandra/CqlError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { User, Users } from "./Users.ts"

const ada = new User({ id: "0c5b1a2e-0c4c-4f1c-9a57-6a5f3f6b8c11", name: "Ada", email: "ada@example.com" })

const usersWith = (answer: (request: Session.TestRequest) => Effect.Effect<ReadonlyArray<object>, CqlError>) =>
  Users.layer.pipe(Layer.provide(Session.layerTest(answer)))

it.effect("a user whose address is taken is not written", () => {
  const asked: Array<string> = []
  const UsersTest = usersWith(({ text }) =>
    Effect.sync(() => {
      asked.push(text)
      return [{ "[applied]": false, email: ada.email, id: crypto.randomUUID() }]
    })
  )
  return Effect.gen(function*() {
    const users = yield* Users
    const error = yield* Effect.flip(users.add(ada))
    assert.strictEqual(error._tag, "EmailTaken")
    assert.lengthOf(asked, 1)
  }).pipe(Effect.provide(UsersTest))
})

it.effect("an address that may or may not have been claimed is no user", () => {
  const reason = new CasWriteUnknown({
    blockFor: 2,
    consistency: "localSerial",
    message: "the condition was agreed on by 1 replica of 2",
    received: 1
  })
  return Effect.gen(function*() {
    const users = yield* Users
    const error = yield* Effect.flip(users.add(ada))
    assert.strictEqual(error._tag === "CqlError" && error.reason._tag, "CasWriteUnknown")
  }).pipe(Effect.provide(usersWith(() => Effect.fail(new CqlError({ reason })))))
})

it.effect("a server that does not answer is waited for as long as a statement may take", () =>
  Effect.gen(function*() {
    const users = yield* Users
    const finding = yield* Effect.forkChild(Effect.flip(users.find(ada.id)), { startImmediately: true })
    yield* TestClock.adjust("30 seconds")
    const error = yield* Fiber.join(finding)
    assert.strictEqual(error._tag === "CqlError" && error.reason._tag, "ClientTimeout")
  }).pipe(Effect.provide(usersWith(() => Effect.never))))
