/**
 * Lightweight transactions while nodes and connections fail: what they answer, and what they leave unknown, has to be
 * what a single copy would have given to the same clients.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import { type CqlError, CqlRetry, Session, Statement } from "../../src/index.ts"
import { randomNumbers } from "../internal/codec/support.ts"
import * as Keyspace from "../support/keyspace.ts"
import type { Entry, RegisterOperation, SetOperation, Verdict } from "../support/Linearizability.ts"
import { check, growOnlySet, register } from "../support/Linearizability.ts"
import * as RealCluster from "../support/RealCluster.ts"
import { makeSignal } from "../support/TcpListener.ts"
import * as Proxied from "./support/proxied.ts"

type Cql = Session["Service"]["cql"]

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const keys = numbered(10)

const clients = numbered(10)

/** After so many additions to the set of a key another one is begun, so that no read is of many elements. */
const additionsToSet = 60

const elements = 20

const createTables = (cql: Cql): Effect.Effect<void, CqlError> =>
  Effect.gen(function*() {
    yield* cql`CREATE TABLE registers (id int PRIMARY KEY, value int)`
    yield* cql`CREATE TABLE sets (id int, element int, PRIMARY KEY (id, element))`
  })

// -----------------------------------------------------------------------------
// Histories
// -----------------------------------------------------------------------------

/** Each of these is documented to leave nothing behind. */
const wasNotExecuted = ({ reason }: CqlError): boolean => {
  switch (reason._tag) {
    case "AdmissionRefused":
    case "NoHostAvailable":
      return true
    case "ConnectionError":
      return !reason.written
    case "ClientTimeout":
      return reason.phase === "queue" || reason.phase === "prepare"
    default:
      return false
  }
}

/** What was asked for and what came of it, by a clock that counts calls and answers. */
const makeHistory = () => {
  const registers: Array<Entry<RegisterOperation>> = []
  const sets: Array<Entry<SetOperation>> = []
  const counts = { answered: 0, unknown: 0 }
  const changes = makeSignal()
  let now = 0

  /** Nothing is known of a read that fails, and nothing is to be known. */
  const record = Effect.fnUntraced(function*<A, Operation>(
    entries: Array<Entry<Operation>>,
    key: number,
    statement: Effect.Effect<A, CqlError>,
    operationOf: (answer: A) => Operation,
    unknown?: Operation
  ): Effect.fn.Return<void> {
    const call = now++
    const result = yield* Effect.result(statement)
    if (Result.isSuccess(result)) {
      counts.answered++
      entries.push({ key, operation: operationOf(result.success), call, return: now++ })
    } else if (unknown !== undefined && !wasNotExecuted(result.failure)) {
      counts.unknown++
      entries.push({ key, operation: unknown, call, return: undefined })
    }
    changes.notify()
  })

  const awaitMore = (kind: keyof typeof counts, count: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const wanted = counts[kind] + count
      return Effect.asVoid(changes.until(() => counts[kind] >= wanted ? true : undefined))
    })

  const serially = Statement.withOptions({ consistency: "serial" })

  return {
    counts,
    registers,
    sets,
    awaitAnswers: (count: number): Effect.Effect<void> => awaitMore("answered", count),
    awaitUnknown: (count: number): Effect.Effect<void> => awaitMore("unknown", count),
    /** What the last answer has told of the value. */
    lastValue: (key: number): number => {
      const operation = registers.findLast((entry) => entry.key === key)?.operation
      if (operation === undefined) return 0
      if (operation.type === "read") return operation.value
      return typeof operation.outcome === "string" ? operation.to : operation.outcome.current
    },
    readRegister: (cql: Cql, key: number): Effect.Effect<void> =>
      record<Option.Option<Statement.Row>, RegisterOperation>(
        registers,
        key,
        serially(cql`SELECT value FROM registers WHERE id = ${key}`).first,
        (row) => ({ type: "read", value: valueOf(row) })
      ),
    setRegister: (
      cql: Cql,
      key: number,
      from: number,
      to: number,
      options: Statement.Options = {}
    ): Effect.Effect<void> => {
      const operation = { type: "compareAndSet", from, to } as const
      return record<Statement.Applied<Option.Option<Statement.Row>>, RegisterOperation>(
        registers,
        key,
        Statement.withOptions(cql`UPDATE registers SET value = ${to} WHERE id = ${key} IF value = ${from}`, options)
          .applied,
        (answer) => ({ ...operation, outcome: answer.applied ? "applied" : { current: valueOf(answer.current) } }),
        { ...operation, outcome: "unknown" }
      )
    },
    readSet: (cql: Cql, key: number): Effect.Effect<void> =>
      record<ReadonlyArray<Statement.Row>, SetOperation>(
        sets,
        key,
        serially(cql`SELECT element FROM sets WHERE id = ${key}`),
        (rows) => ({ type: "read", elements: rows.map((row) => row["element"] as number) })
      ),
    addToSet: (cql: Cql, key: number, element: number): Effect.Effect<void> => {
      const operation = { type: "add", element } as const
      return record<Statement.Applied<unknown>, SetOperation>(
        sets,
        key,
        cql`INSERT INTO sets (id, element) VALUES (${key}, ${element}) IF NOT EXISTS`.applied,
        ({ applied }) => ({ ...operation, outcome: applied ? "applied" : "present" }),
        { ...operation, outcome: "unknown" }
      )
    }
  }
}

type History = ReturnType<typeof makeHistory>

const valueOf = (row: Option.Option<Statement.Row>): number => Option.getOrThrow(row)["value"] as number

const insertRegisters = (cql: Cql, keys: ReadonlyArray<number>) =>
  Effect.forEach(
    keys,
    (key) => cql`INSERT INTO registers (id, value) VALUES (${key}, ${0}) IF NOT EXISTS`.applied,
    { discard: true }
  )

const linearizable: Verdict = { _tag: "Linearizable" }

const assertLinearizable = ({ registers, sets }: History): void => {
  assert.deepStrictEqual(check(register, registers), linearizable)
  assert.deepStrictEqual(check(growOnlySet, sets), linearizable)
}

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

interface Load extends History {
  /** Begins nothing further, and waits for what is under way. */
  readonly stop: Effect.Effect<void>
}

/** Clients that read, set and add without end, each after the answer to the one before. */
const startLoad = Effect.fnUntraced(function*(
  { cql }: Pick<Session["Service"], "cql">,
  pause: `${number} millis`
): Effect.fn.Return<Load, never, Scope.Scope> {
  const history = makeHistory()
  const scope = yield* Effect.scope
  const additions = keys.map(() => 0)
  let isStopped = false
  let nextValue = 100

  const setOf = (key: number) => key + keys.length * Math.floor(additions[key]! / additionsToSet)
  const one = (random: () => number): Effect.Effect<void> => {
    const among = (count: number) => Math.floor(random() * count)
    const key = among(keys.length)
    const kind = random()
    if (kind < 0.2) return history.readRegister(cql, key)
    if (kind < 0.4) return history.readSet(cql, setOf(key))
    if (kind < 0.6) {
      const set = setOf(key)
      additions[key]!++
      return history.addToSet(cql, set, among(elements))
    }
    const from = random() < 0.8 ? history.lastValue(key) : among(4)
    // Some values come back, and each of the others comes once: that tells more of what was done twice.
    return history.setRegister(cql, key, from, random() < 0.5 ? among(4) : nextValue++)
  }
  const client = Effect.fnUntraced(function*(seed: number) {
    const random = randomNumbers(seed * 7919)
    while (!isStopped) {
      yield* Effect.suspend(() => one(random))
      yield* Effect.sleep(pause)
    }
  })

  const fibers = yield* Effect.forEach(clients, (seed) => Effect.forkIn(client(seed + 1), scope))
  return {
    ...history,
    stop: Effect.suspend(() => {
      isStopped = true
      return Fiber.joinAll(fibers)
    })
  }
})

/** So that whatever was left unknown, and was done, has to be explained. */
const readAll = (history: History, cql: Cql): Effect.Effect<void> =>
  Effect.gen(function*() {
    const before = history.counts.answered
    const sets = new Set(history.sets.map(({ key }) => key))
    yield* Effect.forEach(keys, (key) => history.readRegister(cql, key))
    yield* Effect.forEach(sets, (key) => history.readSet(cql, Number(key)))
    assert.strictEqual(history.counts.answered - before, keys.length + sets.size)
  })

// -----------------------------------------------------------------------------
// One node behind a proxy
// -----------------------------------------------------------------------------

const Tables = Layer.effectDiscard(Effect.orDie(Effect.flatMap(Session, ({ cql }) => createTables(cql)))).pipe(
  Layer.provideMerge(Keyspace.layer)
)

/** Through the proxy, to the tables of this file; however one connection is lost, the node can be asked. */
const open = Effect.flatMap(Session, ({ keyspace }) => Proxied.open({ keyspace, connectionsPerNode: 3 }))

it.layer(Tables, { excludeTestServices: true, timeout: "60 seconds" })("transactions over connections", (it) => {
  it.effect("that are cut at random are linearizable", () =>
    Effect.gen(function*() {
      const direct = yield* Session
      const { proxy, session } = yield* open
      const random = randomNumbers(1)
      yield* insertRegisters(direct.cql, keys)
      const load = yield* startLoad(session, "1 millis")
      for (const round of numbered(30)) {
        const bytes = Math.floor(random() * 500)
        if (round % 2 === 0) yield* proxy.cutAfterBytes(1 + bytes)
        else yield* proxy.cutAnswer({ bytes: bytes % 50, how: random() < 0.5 ? "end" : "reset" })
        yield* load.awaitAnswers(20)
      }
      yield* load.stop
      yield* readAll(load, direct.cql)
      assert.isAbove(proxy.cuts(), 20)
      assert.isAbove(load.counts.unknown, 10)
      assertLinearizable(load)
    }))

  for (const idempotent of [undefined, true]) {
    it.effect(`whose answer is lost stay unknown, with idempotent: ${idempotent}`, () =>
      Effect.gen(function*() {
        const history = yield* loseAnswer(idempotent === undefined ? 100 : 101, { idempotent })
        assert.strictEqual(history.counts.unknown, 1)
        assert.deepInclude(history.registers.at(-1)!.operation, { type: "read", value: 2 })
        assertLinearizable(history)
      }))
  }

  it.effect("whose answer is lost are found out when a policy repeats them", () =>
    Effect.gen(function*() {
      const repeating = CqlRetry.make({ decide: () => "retryLater" })
      const history = yield* loseAnswer(102, { retry: repeating })
      assert.strictEqual(history.counts.unknown, 0)
      const verdict = check(register, history.registers)
      assert(verdict._tag === "NotLinearizable")
      assert.include(verdict.description, "nothing explains [2, 3] set 1 to 2: refused by 2")
    }))

  /** A register is set, once more with an answer that is lost, and read. */
  const loseAnswer = Effect.fnUntraced(function*(key: number, options: Statement.Options) {
    const { cql, proxy } = yield* open
    yield* insertRegisters(cql, [key])
    const history = makeHistory()
    yield* history.setRegister(cql, key, 0, 1)
    yield* proxy.cutAnswer({ bytes: 0 })
    yield* history.setRegister(cql, key, 1, 2, options)
    assert.strictEqual(proxy.cuts(), 1)
    yield* history.readRegister(cql, key)
    return history
  })
})

// -----------------------------------------------------------------------------
// Three nodes
// -----------------------------------------------------------------------------

const makeKeyspace = Effect.gen(function*() {
  const { options } = yield* RealCluster.RealCluster
  const { cql } = yield* Session.make(options)
  const keyspace = `transactions_${Crypto.randomUUID().replaceAll("-", "")}`
  yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
  const session = yield* Session.make({ ...options, keyspace })
  yield* createTables(session.cql)
  yield* insertRegisters(session.cql, keys)
  return keyspace
}).pipe(Effect.scoped)

it.layer(RealCluster.layer, { excludeTestServices: true, timeout: "5 minutes" })(
  "transactions on three nodes",
  (it) => {
    const title = "are linearizable while one is killed and started again, and another one is silent for a while"
    it.effect(title, () =>
      Effect.gen(function*() {
        const { awaitAllUp, nodes: [killed, silent], options } = yield* RealCluster.RealCluster
        const session = yield* Session.make({
          ...options,
          keyspace: yield* makeKeyspace,
          consistency: "quorum",
          // With the default of 12 seconds a silent node would hold up its clients for as long.
          attemptTimeout: "2 seconds",
          reconnectDelay: { base: "200 millis", max: "1 second" }
        })
        const load = yield* startLoad(session, "40 millis")
        yield* load.awaitAnswers(100)
        yield* killed.kill
        yield* load.awaitAnswers(200)
        yield* killed.start
        yield* awaitAllUp
        yield* load.awaitAnswers(100)
        yield* silent.pause
        yield* Effect.all([load.awaitUnknown(1), load.awaitAnswers(200)], { concurrency: 2 })
        yield* silent.resume
        yield* load.awaitAnswers(100)
        yield* load.stop
        yield* awaitAllUp
        yield* readAll(load, session.cql)
        assertLinearizable(load)
      }), 240_000)
  }
)
