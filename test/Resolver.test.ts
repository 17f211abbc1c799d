import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type { CqlError } from "../src/index.ts"
import { cql, CqlType, Session, Statement } from "../src/index.ts"
import * as CqlResolver from "../src/Resolver.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const allAtOnce = { concurrency: "unbounded" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

class User extends Schema.Class<User>("User")({ id: CqlType.Text, name: CqlType.Text }) {}

const text = "SELECT id, name FROM users WHERE id = ?"

const userOf = (id: string) => cql(User)`SELECT id, name FROM users WHERE id = ${id}`

const columns = ["id", "name"].map((name) => ({ name, type: "text" }))

const idOf = (request: ScriptedServer.Request): string => String(request.values[0])

/** A user for every id, whose name ends with the given one. */
const answering = (name: string): ScriptedServer.Handler => (request) =>
  Reply.rows({ columns, rows: [[idOf(request), `${idOf(request)} ${name}`]] })

/** A server with users, and the session on it. */
const opened = Effect.fnUntraced(function*(name = "Lovelace", options?: Session.Options) {
  const server = yield* ScriptedServer.make()
  server.prepared(text, { params: [{ name: "id", type: "text" }], columns })
  server.on(text, answering(name))
  server.on("SELECT marker", Reply.void)
  const session = yield* connect(server, options)
  return {
    server,
    session,
    /** The ids that have reached the server, in their order. */
    read: () => server.received(text, ["execute"]).map(idOf),
    on: Effect.provideService(Session, session)
  }
})

const nameOf = ({ name }: User): string => name

/** The tag of the failure, or what the defect is. */
const failureOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): unknown => {
  if (Exit.isSuccess(exit)) return undefined
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) ? error.value._tag : Cause.squash(exit.cause)
}

describe("a round", () => {
  it.live("reads each key once, as a statement of its own, and answers all who asked", () =>
    Effect.gen(function*() {
      const { on, read } = yield* opened()
      const userById = CqlResolver.request(CqlResolver.findOne(userOf))
      const asked = numbered(1000).map((n) => `${n % 137}`)
      const users = yield* on(Effect.forEach(asked, userById, allAtOnce))
      assert.deepStrictEqual(users.map(nameOf), asked.map((id) => `${id} Lovelace`))
      assert.deepStrictEqual(read(), [...new Set(asked)])
    }))

  class Key extends Data.Class<{ readonly id: string }> {}

  const keys: ReadonlyArray<readonly [what: string, keys: ReadonlyArray<unknown>, distinct: number]> = [
    ["strings", ["a", "b", "a"], 2],
    ["numbers and bigints", [1, 2, 1n, 1, 1n], 3],
    ["values of Data", ["a", "b", "a"].map((id) => new Key({ id })), 2],
    ["objects and arrays", [{ id: ["a"] }, { id: ["b"] }, { id: ["a"] }], 2],
    ["dates and bytes", [new Date(0), new Date(1), new Date(0), Buffer.from("a"), Buffer.from("a")], 3]
  ]

  for (const [what, equal, distinct] of keys) {
    it.live(`tells keys apart by their value: ${what}`, () =>
      Effect.gen(function*() {
        const { on, read } = yield* opened()
        const resolver = CqlResolver.findFirst(() => userOf("a"))
        yield* on(Effect.forEach(equal, CqlResolver.request(resolver), allAtOnce))
        assert.lengthOf(read(), distinct)
      }))
  }

  it.live("is bounded by batchN; what was read in one round is read anew in the next", () =>
    Effect.gen(function*() {
      const { on, read } = yield* opened()
      const rounds: Array<number> = []
      const resolver = CqlResolver.findOne(userOf).pipe(
        RequestResolver.around((entries) => Effect.sync(() => rounds.push(entries.length)), () => Effect.void),
        RequestResolver.batchN(100)
      )
      const asked = numbered(1000).map((n) => `${n % 500}`)
      const users = yield* on(Effect.forEach(asked, CqlResolver.request(resolver), allAtOnce))
      assert.deepStrictEqual(users.map(nameOf), asked.map((id) => `${id} Lovelace`))
      assert.deepStrictEqual(rounds, numbered(10).map(() => 100))
      assert.deepStrictEqual(read().toSorted(), asked.toSorted())
    }))

  const bounds = [[1, 1], [7, 7], [undefined, 256], ["unbounded", 300]] as const

  for (const [concurrency, most] of bounds) {
    it.live(`has ${most} of 300 reads at the server at once, where concurrency is ${concurrency}`, () =>
      Effect.gen(function*() {
        const { on, server, session } = yield* opened()
        const held = hold(server, text, answering("held"), ["execute"])
        const resolver = CqlResolver.findOne(userOf, { concurrency })
        const all = yield* Effect.forkChild(on(
          Effect.forEach(numbered(300).map(String), (id) => CqlResolver.request(id, resolver), allAtOnce)
        ))
        for (let left = 300; left > 0; left -= most) {
          yield* held.awaitHeld(Math.min(left, most))
          // What was sent before has arrived, too.
          yield* session.cql`SELECT marker`
          yield* held.answer(most)
        }
        assert.lengthOf(yield* Fiber.join(all), 300)
        assert.strictEqual(held.most(), most)
      }))
  }

  for (const concurrency of [0, -1, 1.5, Number.NaN]) {
    it.live(`cannot have a concurrency of ${concurrency}: each lookup fails, and nothing is sent`, () =>
      Effect.gen(function*() {
        const { on, read } = yield* opened()
        const userById = CqlResolver.request(CqlResolver.findFirst(userOf, { concurrency }))
        const reason = yield* reasonOf("InvalidConfig")(on(userById("a")))
        assert.deepInclude(reason, { field: "concurrency", expected: "a whole number from 1 on, or \"unbounded\"" })
        assert.deepStrictEqual(read(), [])
      }))
  }
})

describe("a failure", () => {
  it.live("of one read is that of all who asked for its key, and of nobody else", () =>
    Effect.gen(function*() {
      const { on, read, server } = yield* opened()
      server.on(text, (request) => idOf(request) === "bad" ? Reply.invalid("no such user") : undefined, ["execute"])
      const userById = CqlResolver.request(CqlResolver.findOne(userOf))
      const exits = yield* on(
        Effect.forEach(["a", "bad", "b", "bad"], (id) => Effect.exit(userById(id)), allAtOnce)
      )
      assert.deepStrictEqual(exits.map(failureOf), [undefined, "CqlError", undefined, "CqlError"])
      const error = Option.getOrThrow(Exit.findErrorOption(exits[1]!))
      assert.strictEqual((error as CqlError).reason._tag, "InvalidQuery")
      assert.deepStrictEqual(read(), ["a", "bad", "b"])
    }))

  it.live("of a schema is that of its key alone", () =>
    Effect.gen(function*() {
      const { on } = yield* opened()
      const Short = Schema.Struct({ id: Schema.String.check(Schema.isMaxLength(1)) })
      const resolver = CqlResolver.findOne((id: string) => cql(Short)`SELECT id, name FROM users WHERE id = ${id}`)
      const exits = yield* on(
        Effect.forEach(["a", "long"], (id) => Effect.exit(CqlResolver.request(id, resolver)), allAtOnce)
      )
      assert.deepStrictEqual(exits.map(failureOf), [undefined, "SchemaError"])
    }))

  it.live("to make the statement of a key is a defect for those who asked for it", () =>
    Effect.gen(function*() {
      const { on, read } = yield* opened()
      const bug = new Error("a bug")
      const refuseBad = (id: string) => {
        if (id === "bad") throw bug
        return userOf(id)
      }
      const userById = CqlResolver.request(CqlResolver.findOne(refuseBad))
      const exits = yield* on(Effect.forEach(["bad", "a", "bad"], (id) => Effect.exit(userById(id)), allAtOnce))
      assert.deepStrictEqual(exits.map(failureOf), [bug, undefined, bug])
      assert.isTrue(Exit.isFailure(exits[0]!) && Cause.hasDies(exits[0].cause))
      assert.deepStrictEqual(read(), ["a"])
    }))
})

describe("interruption", () => {
  it.live("before the round begins takes a key out of it that nobody else asks for", () =>
    Effect.gen(function*() {
      const { on, read } = yield* opened()
      const gate = yield* Latch.make()
      const userById = CqlResolver.request(
        CqlResolver.findOne(userOf).pipe(RequestResolver.setDelayEffect(gate.await))
      )
      const [first, second, alone, other] = yield* on(
        Effect.forEach(["a", "a", "alone", "b"], (id) => Effect.forkChild(userById(id), { startImmediately: true }))
      )
      yield* Fiber.interruptAll([first!, alone!])
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(second!)).name, "a Lovelace")
      assert.strictEqual((yield* Fiber.join(other!)).name, "b Lovelace")
      assert.deepStrictEqual(read(), ["a", "b"])
    }))

  it.live("of one of two who ask for the same key, while it is read, leaves the other its answer", () =>
    Effect.gen(function*() {
      const { on, read, server } = yield* opened()
      const held = hold(server, text, answering("held"), ["execute"])
      const userById = CqlResolver.request(CqlResolver.findOne(userOf))
      const [first, second] = yield* on(Effect.forEach(["a", "a"], (id) => Effect.forkChild(userById(id))))
      yield* held.awaitHeld(1)
      yield* Fiber.interrupt(first!)
      yield* held.answer()
      assert.strictEqual((yield* Fiber.join(second!)).name, "a held")
      assert.deepStrictEqual(read(), ["a"])
    }))

  it.live("of all who ask for a key, while it is read, hangs neither the round nor the session", () =>
    Effect.gen(function*() {
      const { on, read } = yield* Effect.scoped(Effect.gen(function*() {
        const users = yield* opened()
        const { on, server } = users
        const held = hold(server, text, (request) => idOf(request) === "a" ? answering("held")(request) : undefined)
        const userById = CqlResolver.request(CqlResolver.findOne(userOf, { concurrency: 1 }))
        const [alone, other] = yield* on(Effect.forEach(["a", "b"], (id) => Effect.forkChild(userById(id))))
        yield* held.awaitHeld(1)
        yield* Fiber.interrupt(alone!)
        assert.deepStrictEqual(users.read(), ["a"])
        yield* held.answer()
        assert.strictEqual((yield* Fiber.join(other!)).name, "b Lovelace")
        const again = yield* Effect.forkChild(on(userById("a")))
        yield* held.awaitHeld(1)
        yield* held.answer()
        assert.strictEqual((yield* Fiber.join(again)).name, "a held")
        return users
      }))
      assert.deepStrictEqual(read(), ["a", "b", "a"])
      yield* reasonOf("SessionClosed")(on(userOf("a")))
    }))
})

describe("callers", () => {
  it.live("of two sessions have a read each, of the same key in the same round", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* opened("of one"), yield* opened("of two")]
      const userById = CqlResolver.request(CqlResolver.findOne(userOf))
      const users = yield* Effect.all([one.on(userById("a")), two.on(userById("a")), one.on(userById("a"))], allAtOnce)
      assert.deepStrictEqual(users.map(nameOf), ["a of one", "a of two", "a of one"])
      assert.deepStrictEqual([one.read(), two.read()], [["a"], ["a"]])
    }))

  it.live("of a statement that is bound to its session need none themselves", () =>
    Effect.gen(function*() {
      const { read, session } = yield* opened()
      const userById = CqlResolver.request(
        CqlResolver.findOne((id: string) => session.cql(User)`SELECT id, name FROM users WHERE id = ${id}`)
      )
      const users = yield* Effect.all([userById("a"), userById("a")], allAtOnce)
      assert.deepStrictEqual(users.map(nameOf), ["a Lovelace", "a Lovelace"])
      assert.deepStrictEqual(read(), ["a"])
    }))

  it.live("with other options of the region have a read each, with these options; with equal ones they share it", () =>
    Effect.gen(function*() {
      const { on, server } = yield* opened()
      const userById = CqlResolver.request(CqlResolver.findOne(userOf))
      const at = (consistency: Statement.Options["consistency"], id: string) =>
        Statement.provideOptions(userById(id), { consistency })
      // The first is also the context of the round, of which the others have nothing.
      yield* on(
        Effect.all([at("quorum", "a"), at("one", "a"), userById("a"), userById("b"), at("quorum", "a")], allAtOnce)
      )
      const read = server.received(text, ["execute"]).map((request) => `${idOf(request)} ${request.consistency}`)
      assert.deepStrictEqual(read, ["a QUORUM", "a ONE", "a LOCAL_ONE", "b LOCAL_ONE"])
    }))

  it.live("have their reads run in the context of the first who asked for the key", () =>
    Effect.gen(function*() {
      const { on } = yield* opened()
      class Caller extends Context.Service<Caller, string>()("Caller") {}
      const Named = Schema.Struct({
        name: Schema.String.pipe(Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((name) => Caller.use((caller) => Effect.succeed(`${caller}: ${name}`))),
          encode: SchemaGetter.transform((name) => name)
        }))
      })
      const resolver = CqlResolver.findOne((id: string) => cql(Named)`SELECT id, name FROM users WHERE id = ${id}`)
      const ask = (id: string, caller: string) =>
        Effect.provideService(CqlResolver.request(id, resolver), Caller, caller)
      const found = yield* on(Effect.all([ask("a", "1"), ask("b", "2"), ask("a", "3"), ask("b", "4")], allAtOnce))
      assert.deepStrictEqual(
        found.map(({ name }) => name),
        ["1: a Lovelace", "2: b Lovelace", "1: a Lovelace", "2: b Lovelace"]
      )
    }))
})

describe("a cache", () => {
  it.live("keeps the answers for later rounds, and failures", () =>
    Effect.gen(function*() {
      const { on, read, server } = yield* opened()
      server.on(text, (request) => idOf(request) === "bad" ? Reply.invalid("no such user") : undefined, ["execute"])
      const resolver = yield* RequestResolver.withCache(CqlResolver.findOne(userOf), { capacity: 10 })
      const userById = CqlResolver.request(resolver)
      const ask = Effect.forEach(["a", "b", "a", "bad"], (id) => Effect.exit(userById(id)), allAtOnce)
      const rounds = [yield* on(ask), yield* on(ask)]
      for (const exits of rounds) {
        assert.deepStrictEqual(exits.map(failureOf), [undefined, undefined, undefined, "CqlError"])
        assert.deepStrictEqual(exits[0], Exit.succeed(new User({ id: "a", name: "a Lovelace" })))
      }
      assert.deepStrictEqual(read(), ["a", "b", "bad"])
    }))

  it.live("keeps the answers of two sessions apart", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* opened("of one"), yield* opened("of two")]
      const resolver = yield* RequestResolver.withCache(CqlResolver.findOne(userOf), { capacity: 10 })
      const userById = CqlResolver.request(resolver)
      const users = yield* Effect.forEach([one, two, one, two], ({ on }) => on(userById("a")))
      assert.deepStrictEqual(users.map(nameOf), ["a of one", "a of two", "a of one", "a of two"])
      assert.deepStrictEqual([one.read(), two.read()], [["a"], ["a"]])
    }))
})

describe("a real server", () => {
  it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    class Event extends Schema.Class<Event>("Event")({ user: CqlType.Int, n: CqlType.Int, what: CqlType.Text }) {}

    /** Users 0 to 99, who have up to four events each. */
    const createEvents = Effect.fnUntraced(function*(table: string) {
      const { cql } = yield* Session
      const name = cql.ident(table)
      yield* cql`CREATE TABLE ${name} (user int, n int, what text, PRIMARY KEY (user, n))`
      const events = numbered(100).flatMap((user) =>
        numbered(user % 5).map((n) => new Event({ user, n, what: `${user}-${n}` }))
      )
      yield* Effect.forEach(events, (event) => cql`INSERT INTO ${name} ${cql.insert({ ...event })}`, {
        concurrency: 64
      })
      let statements = 0
      return {
        events,
        statements: () => statements,
        ofUser: (user: number) => {
          statements++
          return cql(Event)`SELECT * FROM ${name} WHERE user = ${user}`
        }
      }
    })

    // Keys without an event are among them, and many more than once.
    const asked = numbered(1000).map((n) => (n * 7) % 130)

    it.effect("finds the first row of each key, or none", () =>
      Effect.gen(function*() {
        const { events, ofUser, statements } = yield* createEvents("firsts")
        const found = yield* Effect.forEach(asked, CqlResolver.request(CqlResolver.findFirst(ofUser)), allAtOnce)
        const expected = asked.map((user) => Option.fromUndefinedOr(events.find((event) => event.user === user)))
        assert.deepStrictEqual(found, expected)
        assert.strictEqual(statements(), 130)
      }))

    it.effect("finds one row of each key, or fails", () =>
      Effect.gen(function*() {
        const { events, ofUser, statements } = yield* createEvents("ones")
        const eventOf = CqlResolver.request(CqlResolver.findOne(ofUser))
        const found = yield* Effect.forEach(asked, (user) => Effect.exit(eventOf(user)), allAtOnce)
        for (const [index, exit] of found.entries()) {
          const expected = events.find(({ user }) => user === asked[index])
          if (expected === undefined) assert.strictEqual(failureOf(exit), "NoSuchElementError")
          else assert.deepStrictEqual(exit, Exit.succeed(expected))
        }
        assert.strictEqual(statements(), 130)
      }))

    it.effect("finds all rows of each key, in their order", () =>
      Effect.gen(function*() {
        const { events, ofUser, statements } = yield* createEvents("alls")
        const eventsOf = CqlResolver.request(CqlResolver.findAll(ofUser, { concurrency: 8 }))
        const found = yield* Effect.forEach(asked, eventsOf, allAtOnce)
        assert.deepStrictEqual(found, asked.map((user) => events.filter((event) => event.user === user)))
        assert.strictEqual(statements(), 130)
      }))

    it.effect("finds rows of a statement without a schema, and nothing of no keys", () =>
      Effect.gen(function*() {
        yield* createEvents("plain")
        const resolver = CqlResolver.findAll((user: number) => cql`SELECT n FROM plain WHERE user = ${user}`)
        assert.deepStrictEqual(yield* CqlResolver.request(3, resolver), [{ n: 0 }, { n: 1 }, { n: 2 }])
        assert.deepStrictEqual(yield* Effect.forEach([], CqlResolver.request(resolver), allAtOnce), [])
      }))
  })
})
