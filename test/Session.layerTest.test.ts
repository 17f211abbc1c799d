/**
 * A session whose statements a function answers.
 */
import { assert, describe, it } from "@effect/vitest"
import { cql, CqlError, CqlResolver, CqlStream, CqlType, Health, Session, Statement } from "effect-cassandra"
import { Overloaded } from "effect-cassandra/CqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { reasonOf } from "./support/scripted.ts"

class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.String,
  joined: CqlType.Timestamp,
  email: Schema.optionalKey(Schema.String)
}) {}

const id = "00000000-0000-4000-8000-000000000000"
const ada = { id, name: "Ada", joined: new Date(0), email: null }

const row = (n: number) => ({ n })

/** Answers all with these rows, and keeps what was asked. */
const answering = (rows: ReadonlyArray<object>) => {
  const asked: Array<Session.TestRequest> = []
  const layer = Session.layerTest((request) =>
    Effect.sync(() => {
      asked.push(request)
      return rows
    })
  )
  return { asked, layer }
}

const N = Schema.Struct({ n: Schema.Int })
const numbers = cql(N)`SELECT n FROM numbers`

describe("Session.layerTest", () => {
  describe("answers", () => {
    it.effect("a statement's rows by its schema, with null as an absent key", () => {
      const { asked, layer } = answering([ada])
      return Effect.gen(function*() {
        const [user, ...others] = yield* cql(User)`SELECT * FROM users WHERE id = ${id}`
        assert.instanceOf(user, User)
        assert.deepStrictEqual({ ...user }, { id, name: "Ada", joined: new Date(0) })
        assert.lengthOf(others, 0)
        assert.deepStrictEqual(asked.map(({ named, parameters, text }) => ({ named, parameters, text })), [
          { named: undefined, parameters: [id], text: "SELECT * FROM users WHERE id = ?" }
        ])
        assert.isNull(ada.email)
      }).pipe(Effect.provide(layer))
    })

    it.effect("plain rows without a schema, one, the first, and none", () => {
      const { layer } = answering([row(1), row(2)])
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* cql`SELECT n FROM numbers`, [row(1), row(2)])
        assert.deepStrictEqual(yield* numbers.one, row(1))
        assert.deepStrictEqual(yield* numbers.first, Option.some(row(1)))
        const nothing = answering([]).layer
        assert.deepStrictEqual(yield* Effect.provide(numbers.first, nothing), Option.none())
        assert.strictEqual((yield* Effect.provide(Effect.flip(numbers.one), nothing))._tag, "NoSuchElementError")
        assert.deepStrictEqual(yield* Effect.provide(cql`INSERT INTO numbers ${cql.insert(row(1))}`, nothing), [])
      }).pipe(Effect.provide(layer))
    })

    it.effect("what does not fit the schema with a SchemaError that names the place", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(numbers)
        assert.strictEqual(error._tag, "SchemaError")
        assert.include(error.message, "n")
      }).pipe(Effect.provide(answering([row(1), { n: "two" }]).layer)))

    it.effect("a typed statement, with its values by name", () => {
      const { asked, layer } = answering([ada])
      const byId = cql.statement({
        text: "SELECT * FROM users WHERE id = :id",
        request: Schema.Struct({ id: CqlType.Uuid }),
        result: User
      })
      return Effect.gen(function*() {
        assert.strictEqual((yield* byId({ id }).one).name, "Ada")
        assert.deepStrictEqual(asked[0]!.named, { id })
      }).pipe(Effect.provide(layer))
    })

    it.effect("pages, asked for one after another, and a page state that was kept", () => {
      const { asked, layer } = answering([1, 2, 3, 4, 5].map(row))
      const twos = Statement.withOptions(numbers, { pageSize: 2 })
      return Effect.gen(function*() {
        assert.deepStrictEqual((yield* twos).map(({ n }) => n), [1, 2, 3, 4, 5])
        assert.lengthOf(asked, 3)
        const pages = yield* Stream.runCollect(twos.pages)
        assert.deepStrictEqual(pages.map(({ rows }) => rows.length), [2, 2, 1])
        assert.deepStrictEqual(pages.map(({ isLast }) => isLast), [false, false, true])
        const from = pages[0]!.next!
        const rest = yield* Stream.runCollect(CqlStream.rows(twos, { from }))
        assert.deepStrictEqual(rest.map(({ n }) => n), [3, 4, 5])
        const key = Redacted.make("a key")
        assert.strictEqual(yield* CqlStream.fromCursor(CqlStream.toCursor(from, key), [key]), from)
        const other = cql(N)`SELECT n FROM others`.pipe(Statement.withOptions({ pageSize: 2 }))
        yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.rows(other, { from })))
      }).pipe(Effect.provide(layer))
    })

    it.effect("the outcome of a condition", () => {
      const claim = cql(User)`INSERT INTO users ${cql.insert({ id })} IF NOT EXISTS`.applied
      return Effect.gen(function*() {
        const held = answering([{ "[applied]": true }]).layer
        assert.deepStrictEqual(yield* Effect.provide(claim, held), { applied: true })
        const taken = answering([{ "[applied]": false, ...ada }]).layer
        const outcome = yield* Effect.provide(claim, taken)
        assert.strictEqual(outcome.applied ? undefined : Option.getOrThrow(outcome.current).name, "Ada")
        const bare = answering([{ "[applied]": false }]).layer
        assert.deepStrictEqual(yield* Effect.provide(claim, bare), { applied: false, current: Option.none() })
        const forgotten = yield* Effect.exit(Effect.provide(claim, answering([]).layer))
        assert.isTrue(Exit.hasDies(forgotten))
      })
    })

    it.effect("a batch, as one request with its statements", () => {
      const { asked, layer } = answering([])
      const insert = (n: number) => cql`INSERT INTO numbers ${cql.insert(row(n))}`
      return Effect.gen(function*() {
        yield* Statement.batch([insert(1), insert(2)])
        assert.lengthOf(asked, 1)
        assert.deepStrictEqual(asked[0]!.parameters, [1, 2])
        assert.deepStrictEqual(asked[0]!.statements.map(({ parameters }) => parameters), [[1], [2]])
        assert.include(asked[0]!.text, "BEGIN BATCH")
      }).pipe(Effect.provide(layer))
    })

    it.effect("rows that are written, each by itself", () => {
      const { asked, layer } = answering([])
      return Effect.gen(function*() {
        const written = yield* Stream.run(
          Stream.fromIterable([1, 2, 3].map(row)),
          CqlStream.sink({ table: "shop.numbers", schema: N })
        )
        assert.strictEqual(written, 3)
        assert.deepStrictEqual(asked.map(({ parameters: [n] }) => n).sort(), [1, 2, 3])
      }).pipe(Effect.provide(layer))
    })

    it.effect("a resolver and a result, with what is around it", () => {
      const { layer } = answering([row(1)])
      const find = CqlResolver.request(
        CqlResolver.findFirst((n: number) => cql(N)`SELECT n FROM numbers WHERE n = ${n}`)
      )
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* find(1), Option.some(row(1)))
        const { coordinator, rows } = yield* numbers.result
        assert.deepStrictEqual(rows, [row(1)])
        assert.strictEqual(coordinator, "test")
      }).pipe(Effect.provide(layer))
    })

    it.effect("by a service of the layer's context", () => {
      class Rows extends Context.Service<Rows, ReadonlyArray<object>>()("Rows") {}
      const layer = Session.layerTest(() => Rows).pipe(Layer.provide(Layer.succeed(Rows, [row(7)])))
      return Effect.map(Effect.provide(numbers.one, layer), ({ n }) => assert.strictEqual(n, 7))
    })
  })

  describe("fails", () => {
    it.effect("as the function does, with the statement", () => {
      const overloaded = new CqlError({ reason: new Overloaded({ message: "too much" }) })
      return Effect.gen(function*() {
        const error = yield* Effect.flip(numbers)
        assert.instanceOf(error, CqlError)
        assert.strictEqual(error.reason._tag, "Overloaded")
        assert.strictEqual(error.statement, "SELECT n FROM numbers")
      }).pipe(Effect.provide(Session.layerTest(() => Effect.fail(overloaded))))
    })

    it.effect("what is not answered in its time, by the Clock", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(reasonOf("ClientTimeout")(numbers), { startImmediately: true })
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).phase, "operation")
      }).pipe(Effect.provide(Session.layerTest(() => Effect.never))))

    it.effect("what a session refuses by itself: options, a lost outcome, and all when it is closed", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { asked, layer } = answering([])
        const session = Context.get(yield* Layer.buildWithScope(layer, scope), Session)
        const { cql } = session
        yield* reasonOf("InvalidConfig")(Statement.withOptions(cql`SELECT 1`, { pageSize: 0 }))
        yield* reasonOf("InvalidQuery")(cql`SELECT 1`.applied)
        assert.lengthOf(asked, 0)
        yield* Scope.close(scope, Exit.void)
        yield* reasonOf("SessionClosed")(cql`SELECT 1`)
        assert.lengthOf(asked, 0)
      }))

    it.effect("what needs a server, and says so", () =>
      Effect.gen(function*() {
        const { cluster } = yield* Session
        const refused = [
          Statement.check(numbers),
          CqlStream.count({ table: "shop.numbers" }),
          Stream.runDrain(CqlStream.scan({ table: "shop.numbers", schema: N }))
        ]
        for (const effect of refused) {
          assert.include((yield* reasonOf("InvalidQuery")(effect)).message, "effect-cassandra/testing")
        }
        assert.deepStrictEqual(yield* cluster.nodes, [])
        yield* reasonOf("InvalidQuery")(cluster.use(() => Promise.resolve()))
      }).pipe(Effect.provide(answering([]).layer)))

    it.effect("with a function that dies, as a defect", () =>
      Effect.gen(function*() {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(numbers)))
      }).pipe(Effect.provide(Session.layerTest(() => Effect.die("no such table")))))
  })

  it.effect("is up, for what waits until it is", () =>
    Effect.gen(function*() {
      const { servable, state } = yield* Health.await()
      assert.strictEqual(state, "up")
      assert.isTrue(servable)
      assert.deepStrictEqual(yield* Effect.flatMap(Health, ({ warmUp }) => warmUp), [])
    }).pipe(Effect.provide(Health.layer().pipe(Layer.provide(answering([]).layer)))))

  it.effect("is drained when it closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      let answer: (rows: ReadonlyArray<object>) => void = () => undefined
      const rows = new Promise<ReadonlyArray<object>>((resolve) => answer = resolve)
      const layer = Session.layerTest(() => Effect.promise(() => rows))
      const { cql } = Context.get(yield* Layer.buildWithScope(layer, scope), Session)
      const fiber = yield* Effect.forkChild(cql`SELECT n FROM numbers`, { startImmediately: true })
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      answer([row(1)])
      assert.deepStrictEqual(yield* Fiber.join(fiber), [row(1)])
      yield* Fiber.join(closing)
    }))
})
