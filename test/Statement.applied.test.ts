import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { cql, CqlError, CqlType, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Protocol from "./support/protocol.ts"
import * as Reply from "./support/Reply.ts"
import { connect, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const allAtOnce = { concurrency: "unbounded" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

class Account extends Schema.Class<Account>("Account")({
  id: CqlType.Int,
  name: CqlType.Nullable(CqlType.Text),
  balance: CqlType.Nullable(CqlType.BigInt)
}) {
  get isRich(): boolean {
    return (this.balance ?? 0n) > 1000n
  }
}

const Named = Schema.Struct({ name: CqlType.Text })

const held = { applied: true }

const notHeld = <A>(current: A) => ({ applied: false, current: Option.some(current) })

const nothingThere = { applied: false, current: Option.none() }

// -----------------------------------------------------------------------------
// A real server
// -----------------------------------------------------------------------------

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE accounts (id int PRIMARY KEY, name text, balance bigint)`
  yield* cql`CREATE TABLE bookings (account int, at int, amount int, owner text static, PRIMARY KEY (account, at))`
  yield* cql`CREATE TABLE empty (id int PRIMARY KEY)`
  yield* cql`CREATE TABLE odd (id int PRIMARY KEY, "[applied]" boolean, name text)`
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

let lastId = 0

/** Rows that no other test has. */
const nextId = (): number => ++lastId

const open = (id: number, name: string | null = "Ada", balance: bigint | null = 1n) =>
  cql(Account)`INSERT INTO accounts (id, name, balance) VALUES (${id}, ${name}, ${balance}) IF NOT EXISTS`

const accountOf = (id: number) => cql(Account)`SELECT * FROM accounts WHERE id = ${id}`

const ada = (id: number, balance: bigint | null = 1n) => new Account({ id, name: "Ada", balance })

it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })(".applied on a real server", (it) => {
  it.effect("of an INSERT tells that it was applied, and then the row that is there, as its class", () =>
    Effect.gen(function*() {
      const id = nextId()
      assert.deepStrictEqual(yield* open(id).applied, held)
      const again = yield* open(id, "Grace", 5000n).applied
      assert.deepStrictEqual(again, notHeld(ada(id)))
      assert(!again.applied && Option.isSome(again.current))
      assert.instanceOf(again.current.value, Account)
      assert.isFalse(again.current.value.isRich)
      assert.deepStrictEqual(yield* accountOf(id), [ada(id)])
    }))

  it.effect("without a schema gives the plain row, which has no column that says so itself", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* open(id).applied
      const insert = cql`INSERT INTO accounts (id) VALUES (${id}) IF NOT EXISTS`
      assert.deepStrictEqual(yield* insert.applied, notHeld({ id, name: "Ada", balance: 1n }))
    }))

  it.effect("of a statement without parameters is the same", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql(Account)`INSERT INTO accounts (id) VALUES (${cql.unsafe(String(id))}) IF NOT EXISTS`
      assert.deepStrictEqual(yield* insert.applied, held)
      assert.deepStrictEqual(yield* insert.applied, notHeld(new Account({ id, name: null, balance: null })))
    }))

  it.effect("of an UPDATE and of a DELETE gives the columns of their condition", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* open(id).applied
      const rename = (name: string) => cql(Named)`UPDATE accounts SET name = 'Eve' WHERE id = ${id} IF name = ${name}`
      const close = (name: string) => cql(Named)`DELETE FROM accounts WHERE id = ${id} IF name = ${name}`
      assert.deepStrictEqual(yield* rename("Grace").applied, notHeld({ name: "Ada" }))
      assert.deepStrictEqual(yield* rename("Ada").applied, held)
      assert.deepStrictEqual(yield* close("Ada").applied, notHeld({ name: "Eve" }))
      assert.deepStrictEqual(yield* close("Eve").applied, held)
      assert.deepStrictEqual(yield* accountOf(id), [])
    }))

  it.effect("gives no row where there is none", () =>
    Effect.gen(function*() {
      const id = nextId()
      const update = cql(Account)`UPDATE accounts SET name = 'Eve' WHERE id = ${id} IF name = 'Ada'`
      assert.deepStrictEqual(yield* update.applied, nothingThere)
      const ifThere = cql(Account)`UPDATE accounts SET name = 'Eve' WHERE id = ${id} IF EXISTS`
      assert.deepStrictEqual(yield* ifThere.applied, nothingThere)
      assert.deepStrictEqual(yield* cql`DELETE FROM accounts WHERE id = ${id} IF EXISTS`.applied, nothingThere)
      assert.deepStrictEqual(yield* accountOf(id), [])
    }))

  it.effect("gives null for a column that has nothing, where the schema lets it be null", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* open(id, null, null).applied
      assert.deepStrictEqual(yield* open(id).applied, notHeld(new Account({ id, name: null, balance: null })))
      const rename = cql(Named)`UPDATE accounts SET name = 'Eve' WHERE id = ${id} IF name = 'Ada'`
      const error = yield* Effect.flip(rename.applied)
      assert.isTrue(Schema.isSchemaError(error))
      for (const part of ["name", "text", "null"]) assert.include(error.message, part)
    }))

  it.effect("decodes the row by the whole schema, with its transformations", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* open(id, "1815").applied
      const Year = Schema.Struct({
        name: CqlType.Text.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.numberFromString))
      })
      const rename = cql(Year)`UPDATE accounts SET name = 'Eve' WHERE id = ${id} IF name = 'Ada'`
      assert.deepStrictEqual(yield* rename.applied, notHeld({ name: 1815 }))
    }))

  it.effect("names the column that the schema needs and the answer has not, when there is an answer to decode", () =>
    Effect.gen(function*() {
      const id = nextId()
      const secret = "correct horse battery staple"
      yield* open(id, secret).applied
      const deposit = (from: bigint) =>
        cql(Account)`UPDATE accounts SET balance = ${from + 1n} WHERE id = ${id} IF balance = ${from}`
      const error = yield* Effect.flip(deposit(7n).applied)
      assert.isTrue(Schema.isSchemaError(error))
      assert.include(error.message, "\"name\"")
      assert.notInclude(Cause.pretty(Cause.fail(error)), secret)
      assert.deepStrictEqual(yield* deposit(1n).applied, held)
      assert.strictEqual((yield* accountOf(id).one).balance, 2n)
    }))

  it.effect("is not misled by a column of the table that is called [applied], which it leaves out of the row", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql`INSERT INTO odd (id, "[applied]", name) VALUES (${id}, true, 'Ada') IF NOT EXISTS`
      assert.deepStrictEqual(yield* insert.applied, held)
      assert.deepStrictEqual(yield* insert.applied, notHeld({ id, name: "Ada" }))
      const rename = (is: boolean) => cql`UPDATE odd SET name = 'Eve' WHERE id = ${id} IF "[applied]" = ${is}`
      assert.deepStrictEqual(yield* rename(false).applied, notHeld({}))
      assert.deepStrictEqual(yield* rename(true).applied, held)
    }))

  it.effect("of a condition on a static column gives that column", () =>
    Effect.gen(function*() {
      const account = nextId()
      const own = (name: string, was: string | null) =>
        cql`UPDATE bookings SET owner = ${name} WHERE account = ${account} IF owner = ${was}`
      assert.deepStrictEqual(yield* own("Ada", "Grace").applied, nothingThere)
      assert.deepStrictEqual(yield* own("Ada", null).applied, held)
      assert.deepStrictEqual(yield* own("Eve", null).applied, notHeld({ owner: "Ada" }))
      yield* cql`INSERT INTO bookings (account, at, amount) VALUES (${account}, 1, 5)`
      const change = cql`UPDATE bookings SET amount = 6 WHERE account = ${account} AND at = 1
        IF owner = 'Eve' AND amount = 5`
      assert.deepStrictEqual(yield* change.applied, notHeld({ owner: "Ada", amount: 5 }))
    }))

  it.effect("of a statement without a condition is refused, and not executed", () =>
    Effect.gen(function*() {
      const id = nextId()
      const insert = cql(Account)`INSERT INTO accounts (id, name, balance) VALUES (${id}, 'Ada', ${1n})`
      const { message } = yield* reasonOf("InvalidQuery")(insert.applied)
      assert.match(message, /\.applied is for statements with a condition/)
      assert.deepStrictEqual(yield* accountOf(id), [])
      for (
        const other of [cql`SELECT * FROM accounts WHERE id = ${id}`, cql`SELECT id FROM accounts`, cql`TRUNCATE empty`]
      ) {
        const { message: again } = yield* reasonOf("InvalidQuery")(other.applied)
        assert.strictEqual(again, message)
      }
    }))

  it.effect("without an index, a table or a legal condition fails in the server's words", () =>
    Effect.gen(function*() {
      yield* reasonOf("InvalidQuery")(cql`INSERT INTO nowhere (id) VALUES (1) IF NOT EXISTS`.applied)
      yield* reasonOf("InvalidQuery")(cql`UPDATE accounts SET name = 'x' WHERE id = ${1} IF nothing = 1`.applied)
      yield* reasonOf("CqlSyntaxError")(cql`INSERT INTO accounts (id) VALUES (1) IF NOT`.applied)
    }))

  it.effect("has one winner of twenty who insert one row, and its row for the nineteen others", () =>
    Effect.gen(function*() {
      const id = nextId()
      const outcomes = yield* Effect.forEach(numbered(20), (n) => open(id, `racer ${n}`, BigInt(n)).applied, allAtOnce)
      const winners = numbered(20).filter((n) => outcomes[n]!.applied)
      assert.lengthOf(winners, 1)
      const row = new Account({ id, name: `racer ${winners[0]}`, balance: BigInt(winners[0]!) })
      assert.deepStrictEqual(outcomes.filter(({ applied }) => !applied), numbered(19).map(() => notHeld(row)))
      assert.deepStrictEqual(yield* accountOf(id), [row])
    }))

  it.effect("loses no increment of twenty who compare and set until they succeed", () =>
    Effect.gen(function*() {
      const id = nextId()
      yield* open(id, "Ada", 0n).applied
      const Balance = Schema.Struct({ balance: CqlType.BigInt })
      const increment = Effect.gen(function*() {
        let balance = 0n
        while (true) {
          const set = cql(Balance)`UPDATE accounts SET balance = ${
            balance + 1n
          } WHERE id = ${id} IF balance = ${balance}`
          const outcome = yield* set.applied
          if (outcome.applied) return
          balance = Option.getOrThrow(outcome.current).balance
        }
      })
      yield* Effect.forEach(numbered(20), () => increment, allAtOnce)
      assert.strictEqual((yield* accountOf(id).one).balance, 20n)
    }))

  it.effect("sees a plain write that came after it, at the serial consistency that is asked for", () =>
    Effect.gen(function*() {
      const id = nextId()
      const local = Statement.withOptions({ serialConsistency: "localSerial" as const })
      assert.deepStrictEqual(yield* open(id).pipe(local).applied, held)
      yield* cql`UPDATE accounts SET name = 'Eve' WHERE id = ${id}`.pipe(Statement.withOptions({
        timestamp: BigInt(Date.now() + 60_000) * 1000n
      }))
      const current = yield* open(id).pipe(local).applied
      assert.deepStrictEqual(current, notHeld(new Account({ id, name: "Eve", balance: 1n })))
    }))

  describe("of a conditional batch", () => {
    const Booking = Schema.Struct({
      account: CqlType.Int,
      at: CqlType.Int,
      amount: CqlType.Nullable(CqlType.Int),
      owner: CqlType.Nullable(CqlType.Text)
    })

    const append = (account: number, at: number, amount: number) =>
      cql`INSERT INTO bookings (account, at, amount) VALUES (${account}, ${at}, ${amount}) IF NOT EXISTS`

    const plain = (account: number, at: number) =>
      cql`INSERT INTO bookings (account, at, amount) VALUES (${account}, ${at}, 0)`

    const amountsOf = (account: number) =>
      Effect.map(
        cql`SELECT amount FROM bookings WHERE account = ${account}`,
        (rows) => rows.map(({ amount }) => amount)
      )

    it.effect("tells that it was applied as a whole", () =>
      Effect.gen(function*() {
        const account = nextId()
        const batch = Statement.batch([append(account, 1, 5), append(account, 2, 6), plain(account, 3)])
        assert.deepStrictEqual(yield* batch.applied, held)
        assert.deepStrictEqual(yield* amountsOf(account), [5, 6, 0])
      }))

    it.effect("gives all the rows that are in the way, by its schema; nothing is written", () =>
      Effect.gen(function*() {
        const account = nextId()
        yield* Statement.batch([append(account, 1, 5), append(account, 2, 6)]).applied
        const items = [append(account, 1, 7), append(account, 2, 8), append(account, 3, 9), plain(account, 4)]
        const rows = [{ account, at: 1, amount: 5, owner: null }, { account, at: 2, amount: 6, owner: null }]
        const outcome = yield* Statement.batch(items, { schema: Booking }).applied
        assert.deepStrictEqual(outcome, { applied: false, current: rows })
        assert.deepStrictEqual(yield* Statement.batch(items).applied, { applied: false, current: rows })
        assert.deepStrictEqual(yield* amountsOf(account), [5, 6])
      }))

    it.effect("gives no row where a condition finds none", () =>
      Effect.gen(function*() {
        const account = nextId()
        const change = cql`UPDATE bookings SET amount = 1 WHERE account = ${account} AND at = 1 IF amount = 7`
        const outcome = yield* Statement.batch([change, plain(account, 2)], { schema: Booking }).applied
        assert.deepStrictEqual(outcome, { applied: false, current: [] })
        assert.deepStrictEqual(yield* amountsOf(account), [])
      }))

    it.effect("fails with a SchemaError that names the column where a row does not fit", () =>
      Effect.gen(function*() {
        const account = nextId()
        yield* append(account, 1, 5).applied
        const batch = Statement.batch([append(account, 1, 6)], { schema: Schema.Struct({ gone: CqlType.Int }) })
        const error = yield* Effect.flip(batch.applied)
        assert.isTrue(Schema.isSchemaError(error))
        assert.include(error.message, "\"gone\"")
      }))

    it.effect("must be asked for: yielded, or asked for its result alone, the batch is refused", () =>
      Effect.gen(function*() {
        const account = nextId()
        const batch = Statement.batch([append(account, 1, 5)])
        for (const lost of [batch, batch.result]) {
          const { message } = yield* reasonOf("InvalidQuery")<unknown, unknown, Session>(lost)
          assert.match(message, /with a condition .* take \.applied of it/)
        }
        assert.deepStrictEqual(yield* amountsOf(account), [])
      }))

    it.effect("is refused where there is no condition, and nothing is written", () =>
      Effect.gen(function*() {
        const account = nextId()
        const { message } = yield* reasonOf("InvalidQuery")(Statement.batch([plain(account, 1)]).applied)
        assert.match(message, /\.applied is for statements with a condition/)
        assert.deepStrictEqual(yield* amountsOf(account), [])
      }))

    it.effect("fails for two partitions in the server's words, and nothing is written", () =>
      Effect.gen(function*() {
        const [a, b] = [nextId(), nextId()]
        yield* reasonOf("InvalidQuery")(Statement.batch([append(a, 1, 1), append(b, 1, 1)]).applied)
        assert.deepStrictEqual([yield* amountsOf(a), yield* amountsOf(b)], [[], []])
      }))
  })
})

// -----------------------------------------------------------------------------
// Scripted servers: outcomes that nobody knows, and what is on the wire
// -----------------------------------------------------------------------------

describe("a lightweight transaction whose outcome nobody knows (scripted)", () => {
  const casWriteUnknown = Reply.error(
    0x1700,
    "CAS operation result is unknown - proposal accepted by 1 but not a quorum.",
    Buffer.concat([Protocol.consistency("SERIAL"), Protocol.int(1), Protocol.int(2)])
  )

  const unknowns: ReadonlyArray<readonly [name: string, reply: Reply.Reply]> = [
    [
      "a write time-out of the type CAS",
      Reply.writeTimeout({ consistency: "SERIAL", received: 1, blockFor: 2, writeType: "CAS" })
    ],
    ["the error 0x1700", casWriteUnknown]
  ]

  for (const [name, reply] of unknowns) {
    it.live(`is CasWriteUnknown by ${name}, and is sent once, even if it says that it is idempotent`, () =>
      Effect.gen(function*() {
        const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.68" })
        servers.on(() => true, reply, ["query", "execute", "batch"])
        const { cql } = yield* connect(servers)
        const idempotent = Statement.withOptions({ idempotent: true })
        const transactions: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          cql`INSERT a IF NOT EXISTS`.pipe(idempotent).applied,
          cql`INSERT ${"a"} IF NOT EXISTS`.pipe(idempotent).applied,
          Statement.batch([cql`INSERT a IF NOT EXISTS`]).pipe(idempotent).applied
        ]
        for (const transaction of transactions) {
          yield* servers.clearRequests
          const error = yield* Effect.flip(transaction)
          assert.instanceOf(error, CqlError)
          assert(error.reason._tag === "CasWriteUnknown")
          assert.deepInclude(error.reason, { consistency: "serial", received: 1 })
          assert.isDefined(error.coordinator)
          assert.lengthOf(error.attempts, 1)
          assert.lengthOf(servers.received(() => true, ["query", "execute", "batch"]), 1)
        }
      }))
  }
})

describe("a lightweight transaction on the wire (scripted)", () => {
  const columns = [{ name: "[applied]", type: "boolean" }]

  const opened = Effect.fnUntraced(function*(reply: Reply.Reply) {
    const server = yield* ScriptedServer.make()
    server.on(/^INSERT/, reply)
    return { server, on: Effect.provideService(Session, yield* connect(server)) }
  })

  it.live("carries its serial consistency", () =>
    Effect.gen(function*() {
      const { on, server } = yield* opened(Reply.rows({ columns, rows: [[true]] }))
      const insert = cql`INSERT a IF NOT EXISTS`
      const batch = Statement.batch([insert])
      yield* on(insert.applied)
      for (const serialConsistency of ["serial", "localSerial"] as const) {
        assert.deepStrictEqual(yield* on(insert.pipe(Statement.withOptions({ serialConsistency })).applied), held)
        assert.deepStrictEqual(yield* on(batch.pipe(Statement.withOptions({ serialConsistency })).applied), held)
      }
      assert.deepStrictEqual(
        server.received(/^INSERT/).map(({ kind, serialConsistency }) => [kind, serialConsistency]),
        [
          ["query", undefined],
          ["query", "SERIAL"],
          ["batch", "SERIAL"],
          ["query", "LOCAL_SERIAL"],
          ["batch", "LOCAL_SERIAL"]
        ]
      )
    }))

  const noOutcomes: ReadonlyArray<readonly [what: string, reply: Reply.Reply]> = [
    ["has no row", Reply.rows({ columns, rows: [] })],
    ["is a text", Reply.rows({ columns: [{ name: "[applied]", type: "text" }], rows: [["true"]] })],
    ["has another name", Reply.rows({ columns: [{ name: "applied", type: "boolean" }], rows: [[true]] })]
  ]

  for (const [what, reply] of noOutcomes) {
    it.live(`has no outcome where [applied] ${what}`, () =>
      Effect.gen(function*() {
        const { on } = yield* opened(reply)
        yield* reasonOf("InvalidQuery")(on(cql`INSERT a`.applied))
        yield* reasonOf("InvalidQuery")(on(Statement.batch([cql`INSERT a`]).applied))
        assert.isUndefined(yield* on(Statement.batch([cql`INSERT a`])))
      }))
  }

  it.live("finds [applied] wherever it stands among the columns", () =>
    Effect.gen(function*() {
      const reply = Reply.rows({ columns: [{ name: "n", type: "int" }, ...columns], rows: [[7, false]] })
      const { on } = yield* opened(reply)
      assert.deepStrictEqual(yield* on(cql`INSERT a IF NOT EXISTS`.applied), notHeld({ n: 7 }))
    }))

  it.live("that was applied needs no row that fits the schema", () =>
    Effect.gen(function*() {
      const reply = Reply.rows({ columns: [...columns, { name: "n", type: "int" }], rows: [[true, null]] })
      const { on } = yield* opened(reply)
      assert.deepStrictEqual(yield* on(cql(Account)`INSERT a IF NOT EXISTS`.applied), held)
      assert.deepStrictEqual(
        yield* on(Statement.batch([cql`INSERT a IF NOT EXISTS`], { schema: Account }).applied),
        held
      )
    }))

  it.live("is not sent where the statement is refused", () =>
    Effect.gen(function*() {
      const { on, server } = yield* opened(Reply.void)
      yield* reasonOf("InvalidParameter")(on(cql`INSERT ${Promise.resolve(1)}`.applied))
      yield* reasonOf("InvalidConfig")(on(cql`INSERT a`.pipe(Statement.withOptions({ pageSize: 0 })).applied))
      assert.lengthOf(server.received(() => true), 0)
    }))
})
