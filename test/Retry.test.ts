/**
 * Retries, as servers and programs see them: which failures are tried again, on which node, when, and with what. What was
 * asked is counted by the scripted servers, for a client may well not know that it has asked twice.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Errors from "../src/CqlError.ts"
import type { Session } from "../src/index.ts"
import { CqlError, CqlRetry, CqlStream, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, openOn, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpListener from "./support/TcpListener.ts"

const { provideOptions, withOptions } = Statement

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

const numbers = [{ name: "n", type: "int" }]

/** Longer than a test may take: who waits for it fails. */
const forEver = "1 minute"

type Cql = Session["Service"]["cql"]

/** A subnet of this file's own: the nodes of a cluster share a port, and files run side by side. */
const makeCluster = (nodes: number) => ScriptedServer.makeCluster({ nodes, subnet: "127.0.75" })

/** However many are cut, the node can be asked: it is not down. */
const enoughConnections = 8

/** A session whose nodes are connected again at once, and that the test can close. */
const opened = Effect.fnUntraced(function*(nodes: number, options?: Session.Options) {
  return yield* openOn(yield* makeCluster(nodes), {
    shutdownTimeout: "20 millis",
    reconnectDelay: { base: "1 millis", max: "1 millis" },
    ...options
  })
})

type Opened = Effect.Success<ReturnType<typeof opened>>

/** All statements that reached a node, of whatever kind. */
const seen = (servers: ScriptedServer.Scripts) => servers.received(() => true)

/** Answers what is asked the first `times` so, and then that it is done. */
const failFirst = (servers: ScriptedServer.Scripts, times: number, reply: Reply.Reply) => {
  let left = times
  return servers.on((query) => query !== "", () => left-- > 0 ? reply : Reply.void)
}

const addressOf = ({ host, port }: ScriptedServer.ScriptedServer) => `${host}:${port}`

const nodesOf = (requests: ReadonlyArray<ScriptedServer.Request>) => requests.map(({ node }) => addressOf(node))

const outcomesOf = ({ attempts }: CqlError) => attempts.map(({ node, outcome }) => ({ node, outcome }))

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<CqlError, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, CqlError)
    return error
  })

/** Nothing is left of statements that are over: no place, nobody who waits for one, and nothing to close for. */
const assertIdle = Effect.fnUntraced(function*({ admission, session }: Opened) {
  yield* Effect.yieldNow
  // What a silent connection was asked is given up a turn later.
  yield* Effect.yieldNow
  assert.deepStrictEqual([admission.inFlight, admission.queued, session.core.inFlight], [0, 0, 0])
})

/** Cuts all connections, and waits until no place is held for what may still be answered on one of them. */
const untilCut = ({ admission, servers }: Opened) =>
  Effect.andThen(servers.dropConnections, Effect.repeat(Effect.yieldNow, { until: () => admission.inFlight === 0 }))

/** On a cluster of one node: what was sent before is there when this has been answered. */
const ping = Effect.fnUntraced(function*({ cql, servers }: Opened) {
  const takeBack = servers.on("SELECT ping", Reply.void)
  yield* cql`SELECT ping`
  takeBack()
})

// --- clocks

interface Sleep {
  (duration: Duration.Duration, clock: Clock.Clock): Effect.Effect<void>
}

/** Replaces how one sleeps, and tells for how long, in milliseconds. */
const clockOf = (sleep: Sleep) => {
  const pauses: Array<number> = []
  const changes = TcpListener.makeSignal()
  const replace = (clock: Clock.Clock): Clock.Clock =>
    Object.assign(Object.create(clock) as Clock.Clock, {
      sleep: (duration: Duration.Duration) =>
        Effect.suspend(() => {
          pauses.push(Duration.toMillis(duration))
          changes.notify()
          return sleep(duration, clock)
        })
    })
  return {
    pauses,
    /** Waits until one has slept so often, and whoever put it to sleep is done. */
    awaitPauses: (count: number) =>
      Effect.andThen(changes.until(() => pauses.length >= count ? true : undefined), Effect.yieldNow),
    during: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.flatMap(Clock.Clock, (clock) => Effect.provideService(effect, Clock.Clock, replace(clock)))
  }
}

/** Every sleep is over at once. */
const hurried = () => clockOf(() => Effect.void)

/** Nobody wakes up by themselves. */
const dozing = () => {
  const asleep = new Set<() => void>()
  const clock = clockOf(() =>
    Effect.callback((resume) => {
      const wake = () => resume(Effect.void)
      asleep.add(wake)
      return Effect.sync(() => {
        asleep.delete(wake)
      })
    })
  )
  return {
    ...clock,
    wakeAll: () => {
      const all = [...asleep]
      asleep.clear()
      for (const wake of all) wake()
    }
  }
}

/** By Effect's TestClock. */
const watched = () => clockOf((duration, clock) => clock.sleep(duration))

// --- what is asked

type Asked = Statement.Statement<Statement.Row, CqlError> | Statement.Batch<Statement.Row, CqlError>

/** The three requests that execute something. */
const kinds: Readonly<Record<string, (cql: Cql) => Asked>> = {
  QUERY: (cql) => cql`INSERT a`,
  EXECUTE: (cql) => cql`INSERT b ${"x"}`,
  BATCH: (cql) => Statement.batch([cql`INSERT a`, cql`INSERT b ${"x"}`])
}

const kindOf: Readonly<Record<string, ScriptedServer.Kind>> = { QUERY: "query", EXECUTE: "execute", BATCH: "batch" }

/** On every node, so that what is counted are executions alone. */
const prepareEverywhere = ({ cql }: Opened) => Statement.prepare(cql`INSERT b ${"x"}`)

// --- the table

type Decision = "never" | "at once" | "later"

interface FailureCase {
  readonly name: string
  readonly tag: Errors.Reason["_tag"]
  readonly reply: Reply.Reply
  readonly plain: Decision
  readonly idempotent: Decision
}

const failureCase = (
  name: string,
  tag: Errors.Reason["_tag"],
  reply: Reply.Reply,
  plain: Decision = "never",
  idempotent: Decision = plain
): FailureCase => ({ name, tag, reply, plain, idempotent })

const writeTypes = ["SIMPLE", "BATCH", "UNLOGGED_BATCH", "COUNTER", "BATCH_LOG", "VIEW", "CDC"] as const

const acknowledged = { received: 1, blockFor: 2 }

const failureCases: ReadonlyArray<FailureCase> = [
  failureCase("a server error", "ServerError", Reply.serverError("broken"), "never", "later"),
  failureCase("a full CDC log", "ServerError", Reply.error(0x1600, "full"), "never", "later"),
  failureCase("an unknown code", "ServerError", Reply.error(0x7777, "news"), "never", "later"),
  failureCase("a protocol error", "ProtocolError", Reply.protocolError("what?")),
  failureCase("bad credentials", "AuthenticationError", Reply.badCredentials("who?")),
  failureCase("Unavailable", "Unavailable", Reply.unavailable({ required: 2, alive: 1 }), "never", "later"),
  failureCase("Overloaded", "Overloaded", Reply.overloaded("busy"), "never", "later"),
  failureCase("Bootstrapping", "Bootstrapping", Reply.bootstrapping("soon"), "later"),
  failureCase("a failed TRUNCATE", "Truncate", Reply.truncateError("a node is down")),
  failureCase("a read timeout without data", "ReadTimeout", Reply.readTimeout(acknowledged), "never", "later"),
  failureCase(
    "a read timeout with data",
    "ReadTimeout",
    Reply.readTimeout({ received: 2, blockFor: 2, dataPresent: true }),
    "never",
    "later"
  ),
  ...writeTypes.map((writeType) =>
    failureCase(
      `a write timeout of ${writeType}`,
      "WriteTimeout",
      Reply.writeTimeout({ ...acknowledged, writeType }),
      "never",
      writeType === "COUNTER" ? "never" : "later"
    )
  ),
  failureCase("a write timeout of CAS", "CasWriteUnknown", Reply.writeTimeout({ ...acknowledged, writeType: "CAS" })),
  failureCase("CAS_WRITE_UNKNOWN", "CasWriteUnknown", Reply.error(0x1700, "CAS operation is unknown")),
  failureCase("a read failure", "ReadFailure", Reply.readFailure({ ...acknowledged, failures: 1 })),
  ...[...writeTypes, "CAS" as const].map((writeType) =>
    failureCase(
      `a write failure of ${writeType}`,
      "WriteFailure",
      Reply.writeFailure({ ...acknowledged, failures: 1, writeType })
    )
  ),
  failureCase(
    "a failed function",
    "FunctionFailure",
    Reply.functionFailure({ keyspace: "shop", functionName: "f", argumentTypes: [] })
  ),
  failureCase("a syntax error", "CqlSyntaxError", Reply.syntax("line 1:0 no viable alternative")),
  failureCase("a missing permission", "Unauthorized", Reply.unauthorized("no")),
  failureCase("an invalid statement", "InvalidQuery", Reply.invalid("no such table")),
  failureCase("a configuration error", "InvalidQuery", Reply.configError("no such strategy")),
  failureCase("something that exists", "AlreadyExists", Reply.alreadyExists({ keyspace: "shop" })),
  failureCase("no answer", "ClientTimeout", Reply.silence, "never", "at once"),
  failureCase("a connection that is cut", "ConnectionError", Reply.close, "never", "at once"),
  failureCase(
    "a connection that is cut in the middle of the answer",
    "ConnectionError",
    Reply.partial(Reply.void, 10),
    "never",
    "at once"
  ),
  failureCase(
    "an answer that cannot be read",
    "ProtocolError",
    Reply.response(0x08, Buffer.from([0, 0, 0, 2, 0]))
  )
]

const mostFurther = 3

const isNear = (pause: number | undefined, millis: number): boolean =>
  pause !== undefined && pause >= millis * 0.8 && pause <= millis * 1.2

/** Before which of the further attempts one waits: always, or where no node is left that was not tried. */
const assertPauses = (pauses: ReadonlyArray<number>, decision: Decision, further: number, nodes: number): void => {
  const waits = numbered(further).filter((index) => decision === "later" || index + 1 >= nodes)
  assert.strictEqual(pauses.length, waits.length)
  for (const [index, pause] of pauses.entries()) assert.isTrue(isNear(pause, 50 * 2 ** waits[index]!), String(pauses))
}

/** What a statement got and what the nodes saw of it, on a cluster of its own. */
const tryOut = Effect.fnUntraced(function*(
  nodes: number,
  make: (cql: Cql) => Asked,
  idempotent: boolean,
  { reply, times }: { readonly reply: Reply.Reply; readonly times: number }
) {
  const all = yield* opened(nodes, {
    attemptTimeout: reply === Reply.silence ? "250 millis" : "1 minute",
    connectionsPerNode: reply._tag === "Response" ? 1 : enoughConnections
  })
  yield* prepareEverywhere(all)
  failFirst(all.servers, times, reply)
  const clock = hurried()
  const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(withOptions({ idempotent }))
  const result = yield* Effect.result(clock.during(statement))
  // A heartbeat was answered meanwhile: the place of what has no answer is held as long as there may be one.
  if (reply === Reply.silence) yield* untilCut(all)
  yield* assertIdle(all)
  return { asked: seen(all.servers), pauses: clock.pauses, result }
}, Effect.scoped)

/** For this reason, and with all attempts in their order. */
const assertFailedAs = (
  tag: string,
  asked: ReadonlyArray<ScriptedServer.Request>,
  result: Result.Result<unknown, CqlError>,
  which: string
): void => {
  const error = Option.getOrThrow(Result.getFailure(result))
  assert.strictEqual(error.reason._tag, tag, which)
  assert.deepStrictEqual(outcomesOf(error), nodesOf(asked).map((node) => ({ node, outcome: tag })), which)
  assert.strictEqual(error.coordinator, nodesOf(asked).at(-1), which)
}

describe("what is tried again", () => {
  for (const [where, nodes] of [["on three nodes", 3], ["on one node alone", 1]] as const) {
    for (const { name, reply, tag, ...decisions } of failureCases) {
      for (const idempotent of [false, true]) {
        const decision = idempotent ? decisions.idempotent : decisions.plain
        it.live(`${name}, ${where}, ${idempotent ? "" : "not "}idempotent: ${decision}`, () =>
          Effect.gen(function*() {
            const runs = Object.keys(kinds).flatMap((kind) => [1, 2, Infinity].map((times) => ({ kind, times })))
            yield* Effect.forEach(
              runs,
              Effect.fnUntraced(function*({ kind, times }) {
                const { asked, pauses, result } = yield* tryOut(nodes, kinds[kind]!, idempotent, { reply, times })
                const which = `${kind} that fails ${times} times`
                const further = decision === "never" ? 0 : Math.min(times, mostFurther)
                assert.deepStrictEqual(asked.map(({ kind }) => kind), Array(1 + further).fill(kindOf[kind]), which)
                assert.lengthOf(new Set(nodesOf(asked).slice(0, nodes)), Math.min(1 + further, nodes), which)
                assertPauses(pauses, decision, further, nodes)
                if (times <= further) {
                  assert.isTrue(Result.isSuccess(result), which)
                } else assertFailedAs(tag, asked, result, which)
              }),
              allAtOnce
            )
          }))
      }
    }
  }
})

describe("a node that is alone and cuts its only connection", () => {
  const cutTwice = Effect.fnUntraced(function*(options: Session.Options) {
    const all = yield* opened(1, options)
    failFirst(all.servers, 2, Reply.close)
    return all
  })

  it.live("is waited for as long as the schedule goes, and then the error is that there is none", () =>
    Effect.gen(function*() {
      const all = yield* cutTwice({ reconnectDelay: { base: "10 minutes", max: "10 minutes" } })
      const clock = hurried()
      const error = yield* errorOf(clock.during(all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))))
      assert.strictEqual(error.reason._tag, "NoHostAvailable")
      const node = addressOf(all.servers.nodes[0]!)
      assert.deepStrictEqual(outcomesOf(error), [{ node, outcome: "ConnectionError" }])
      assert.lengthOf(clock.pauses, mostFurther)
      assert.lengthOf(seen(all.servers), 1)
    }))

  it.live("is asked again when it is connected again", () =>
    Effect.gen(function*() {
      const all = yield* cutTwice({})
      const retry = CqlRetry.make({ schedule: Schedule.spaced("1 millis") })
      yield* all.cql`INSERT a`.pipe(withOptions({ idempotent: true, retry }))
      assert.lengthOf(seen(all.servers), 3)
      yield* assertIdle(all)
    }))
})

/** What says that nothing was done, so that every statement is tried again. */
const bootstrapping = Reply.bootstrapping("soon")

const overloaded = Reply.overloaded("busy")

describe("the table", () => {
  const { ClientTimeout, ConnectionError, NoHostAvailable, SessionClosed, UnknownError, Unprepared } = Errors

  const others: ReadonlyArray<
    readonly [reason: Errors.Reason, plain: CqlRetry.Decision, idempotent: CqlRetry.Decision]
  > = [
    [new ConnectionError({ written: false, message: "" }), "retryNow", "retryNow"],
    [new ConnectionError({ written: true, message: "" }), "rethrow", "retryNow"],
    [new ClientTimeout({ phase: "prepare", timeoutMillis: 1, message: "" }), "retryNow", "retryNow"],
    [new ClientTimeout({ phase: "attempt", timeoutMillis: 1, message: "" }), "rethrow", "retryNow"],
    [new ClientTimeout({ phase: "operation", timeoutMillis: 1, message: "" }), "rethrow", "rethrow"],
    [new ClientTimeout({ phase: "queue", timeoutMillis: 1, message: "" }), "rethrow", "rethrow"],
    [new ClientTimeout({ phase: "connect", timeoutMillis: 1, message: "" }), "rethrow", "rethrow"],
    [new ClientTimeout({ phase: "stream", timeoutMillis: 1, message: "" }), "rethrow", "rethrow"],
    [new Unprepared({ message: "" }), "retryLater", "retryLater"],
    [new Errors.CircuitOpen({ retryAfterMillis: 1, message: "" }), "rethrow", "rethrow"],
    [new Errors.AdmissionRefused({ inFlight: 1, queued: 1, limit: 1, message: "" }), "rethrow", "rethrow"],
    [new NoHostAvailable({ nodes: [], message: "" }), "retryLater", "retryLater"],
    [new SessionClosed({ message: "" }), "rethrow", "rethrow"],
    [new UnknownError({ message: "" }), "rethrow", "rethrow"]
  ]

  for (const [reason, plain, idempotent] of others) {
    const which = "phase" in reason ? `${reason._tag} of ${reason.phase}` : reason._tag
    it(`has for ${which} ${plain}, and ${idempotent} where the statement is idempotent`, () => {
      assert.strictEqual(CqlRetry.decide({ reason, idempotent: false }), plain)
      assert.strictEqual(CqlRetry.decide({ reason, idempotent: true }), idempotent)
    })
  }
})

describe("a request that is not written", () => {
  /** From now on nothing is written on the connections of the first `count` nodes, and the driver knows it too late. */
  const breakWrites = ({ servers, session }: Opened, count: number) =>
    Effect.sync(() => {
      for (const server of servers.nodes.slice(0, count)) {
        const { pool } = session.core.shared.client.node(addressOf(server))!
        for (const { writeQueue } of pool.connections) writeQueue!.setWriteError(new Error("broken"))
      }
    })

  const slowly = { reconnectDelay: { base: "10 minutes", max: "10 minutes" } } as const

  for (
    const [name, retry] of [["as the standard is", CqlRetry.standard], ["also without retries", CqlRetry.none]] as const
  ) {
    for (const [kind, make] of Object.entries(kinds)) {
      it.live(`goes to another node at once, ${name}: ${kind}`, () =>
        Effect.gen(function*() {
          const all = yield* opened(3, { ...slowly, retry })
          yield* prepareEverywhere(all)
          failFirst(all.servers, 0, overloaded)
          yield* breakWrites(all, 2)
          const clock = hurried()
          const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
          yield* clock.during(Effect.forEach(numbered(6), () => statement))
          assert.deepStrictEqual(all.servers.nodes.map((node) => seen(node).length), [0, 0, 6])
          assert.deepStrictEqual(clock.pauses, [])
        }))
    }
  }

  it.live("to any node is tried again later, and the error tells of each node", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, slowly)
      yield* breakWrites(all, 3)
      const clock = hurried()
      const error = yield* errorOf(clock.during(all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))))
      assert.strictEqual(error.reason._tag, "NoHostAvailable")
      assert.deepStrictEqual(
        outcomesOf(error).toSorted((a, b) => a.node < b.node ? -1 : 1),
        all.servers.nodes.map((node) => ({ node: addressOf(node), outcome: "ConnectionError" }))
      )
      assert.lengthOf(clock.pauses, mostFurther)
      assert.deepStrictEqual(seen(all.servers), [])
    }))
})

describe("preparing", () => {
  const faults = [["cut", Reply.close], ["silent", Reply.silence]] as const

  const asks = (servers: ScriptedServer.Scripts) => servers.received(/^INSERT/, ["prepare"])

  const failPrepares = (all: Opened, times: number, reply: Reply.Reply) => {
    let left = times
    all.servers.on(/^INSERT/, Reply.void)
    all.servers.on(/^INSERT/, () => left-- > 0 ? reply : undefined, ["prepare"])
  }

  /** What is prepared has the limit of the session, and what is executed that of the statement. */
  const openedForPreparing = (nodes: number) =>
    opened(nodes, { attemptTimeout: "100 millis", connectionsPerNode: enoughConnections })

  const patient = withOptions({ attemptTimeout: "1 minute" })

  const statements = {
    "a statement": (cql: Cql) => cql`INSERT b ${"x"}`,
    "a batch": (cql: Cql) => Statement.batch([cql`INSERT a`, cql`INSERT b ${"x"}`])
  }

  for (const [what, make] of Object.entries(statements)) {
    const plain = (cql: Cql): Effect.Effect<unknown, CqlError> =>
      make(cql).pipe(withOptions({ idempotent: false }), patient)

    for (const [fault, reply] of faults) {
      it.live(`${what}, ${fault} on one node, is done by the next one`, () =>
        Effect.gen(function*() {
          const all = yield* openedForPreparing(3)
          failPrepares(all, 1, reply)
          const clock = hurried()
          yield* clock.during(plain(all.cql))
          assert.lengthOf(new Set(nodesOf(asks(all.servers)).slice(0, 2)), 2)
          assert.deepStrictEqual(clock.pauses, [])
          assert.lengthOf(all.servers.received(/^INSERT/), 1)
        }))

      it.live(`${what}, ${fault} on all nodes, is tried again, idempotent or not`, () =>
        Effect.gen(function*() {
          const all = yield* openedForPreparing(3)
          failPrepares(all, 3, reply)
          yield* hurried().during(plain(all.cql))
          assert.lengthOf(new Set(nodesOf(asks(all.servers)).slice(0, 3)), 3)
          assert.lengthOf(all.servers.received(/^INSERT/), 1)
        }))

      for (const times of [1, 2, 3]) {
        it.live(`${what}, ${fault} ${times} times on a node that is alone, is tried again, idempotent or not`, () =>
          Effect.gen(function*() {
            const all = yield* openedForPreparing(1)
            failPrepares(all, times, reply)
            yield* hurried().during(plain(all.cql))
            assert.lengthOf(asks(all.servers), times + 1)
            assert.lengthOf(all.servers.received(/^INSERT/), 1)
            yield* assertIdle(all)
          }))
      }

      it.live(`${what}, ${fault} always, executes nothing, and the error says so`, () =>
        Effect.gen(function*() {
          const all = yield* openedForPreparing(1)
          failPrepares(all, Infinity, reply)
          const { reason } = yield* errorOf(hurried().during(plain(all.cql)))
          const expected = fault === "cut"
            ? { _tag: "ConnectionError" as const, written: false }
            : { _tag: "ClientTimeout" as const, phase: "prepare" as const }
          assert.deepInclude({ ...reason }, expected)
          assert.lengthOf(asks(all.servers), 4)
          assert.lengthOf(seen(all.servers), 0)
          yield* assertIdle(all)
        }))
    }
  }

  it.live("that one node refuses for now is done by another later", () =>
    Effect.gen(function*() {
      const all = yield* openedForPreparing(3)
      failPrepares(all, 1, Reply.bootstrapping("soon"))
      const clock = hurried()
      yield* clock.during(all.cql`INSERT b ${"x"}`)
      assert.lengthOf(asks(all.servers).slice(0, 2), 2)
      assert.lengthOf(clock.pauses, 1)
      assert.lengthOf(all.servers.received(/^INSERT/), 1)
    }))

  it.live("that the server refuses is not tried again", () =>
    Effect.gen(function*() {
      const all = yield* openedForPreparing(3)
      failPrepares(all, Infinity, Reply.invalid("no such table"))
      yield* reasonOf("InvalidQuery")(all.cql`INSERT b ${"x"}`.pipe(withOptions({ idempotent: true })))
      assert.lengthOf(asks(all.servers), 1)
    }))

  it.live("ahead, and a check, are tried again as well", () =>
    Effect.gen(function*() {
      for (const run of [Statement.prepare, Statement.check]) {
        const all = yield* openedForPreparing(1)
        failPrepares(all, 2, bootstrapping)
        const clock = hurried()
        yield* clock.during(Effect.asVoid(run(all.cql`INSERT b ${"x"}`)))
        assert.lengthOf(asks(all.servers), 3)
        assert.lengthOf(clock.pauses, 2)
      }
    }))
})

describe("a node that has forgotten the statement", () => {
  /** Everything that was asked of the nodes, in order: with the node's number, and with no text where it knew none. */
  const story = ({ servers }: Opened) =>
    servers.requests.filter(({ kind }) => ["execute", "batch", "prepare"].includes(kind)).map(({ kind, node }) => ({
      kind,
      node
    }))

  const forgetAll = ({ servers }: Opened) => Effect.andThen(servers.forgetPrepared, servers.clearRequests)

  /** As a node would, it executes only what it knows; the first `times` it fails. */
  const knowing = (
    servers: ScriptedServer.Scripts,
    times: number,
    onFailure: (node: ScriptedServer.ScriptedServer) => void = () => undefined
  ) => {
    let left = times
    const isKnown: ScriptedServer.Match = (_, { query, statements }) =>
      query !== "" && statements.every(({ query }) => query !== "")
    servers.on(isKnown, ({ node }) => {
      if (left-- <= 0) return Reply.void
      onFailure(node)
      return bootstrapping
    })
  }

  for (
    const [what, kind, make] of [
      ["a statement", "execute", (cql: Cql) => cql`INSERT b ${"x"}`],
      ["a batch", "batch", (cql: Cql) => Statement.batch([cql`INSERT b ${"x"}`, cql`INSERT b ${"y"}`])]
    ] as const
  ) {
    it.live(`prepares ${what} again in a further attempt as in the first`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        yield* prepareEverywhere(all)
        yield* forgetAll(all)
        knowing(all.servers, 1)
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
        yield* hurried().during(statement)
        const told = story(all)
        assert.deepStrictEqual(told.map((entry) => entry.kind), [kind, "prepare", kind, kind, "prepare", kind])
        assert.lengthOf(new Set(told.slice(0, 3).map(({ node }) => node)), 1)
        assert.lengthOf(new Set(told.slice(3).map(({ node }) => node)), 1)
        assert.notStrictEqual(told[0]!.node, told[3]!.node)
      }))

    it.live(`prepares ${what} again in each attempt, also where it is the only one`, () =>
      Effect.gen(function*() {
        const all = yield* opened(1)
        yield* prepareEverywhere(all)
        yield* forgetAll(all)
        knowing(all.servers, 2, (node) => Effect.runSync(node.forgetPrepared))
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
        yield* hurried().during(statement)
        const round = [kind, "prepare", kind]
        assert.deepStrictEqual(story(all).map((entry) => entry.kind), [...round, ...round, ...round])
      }))

    for (const [fault, reply] of [["cut", Reply.close], ["silent", Reply.silence]] as const) {
      it.live(`and is ${fault} while it prepares ${what} in a further attempt is passed over`, () =>
        Effect.gen(function*() {
          const all = yield* opened(3, {
            attemptTimeout: "100 millis",
            reconnectDelay: { base: "10 minutes", max: "10 minutes" }
          })
          yield* prepareEverywhere(all)
          yield* forgetAll(all)
          knowing(all.servers, 1)
          let prepares = 0
          all.servers.on(/^INSERT/, () => ++prepares === 2 ? reply : undefined, ["prepare"])
          const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(
            withOptions({ attemptTimeout: "1 minute" })
          )
          yield* hurried().during(statement)
          const told = story(all)
          assert.deepStrictEqual(
            told.map((entry) => entry.kind),
            [kind, "prepare", kind, kind, "prepare", kind, "prepare", kind]
          )
          assert.lengthOf(new Set([told[0]!.node, told[3]!.node, told[5]!.node]), 3)
        }))
    }
  }

  for (
    const [what, make] of [
      ["a statement", (cql: Cql) => cql`INSERT b ${"x"}`],
      ["a batch", (cql: Cql) => Statement.batch([cql`INSERT b ${"x"}`])]
    ] as const
  ) {
    it.live(`as soon as it was prepared there, as a node does whose cache is full, is sent ${what} as a text`, () =>
      Effect.gen(function*() {
        const all = yield* opened(1)
        yield* prepareEverywhere(all)
        let times = 0
        all.servers.on(/^INSERT/, ({ node }) => {
          // Also what it was prepared as: an id would not be known the third time either.
          Effect.runSync(node.forgetPrepared)
          return ++times <= 2 ? undefined : Reply.void
        })
        const clock = hurried()
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(withOptions({ idempotent: false }))
        yield* clock.during(statement)
        assert.deepStrictEqual(clock.pauses, [])
        const [first, second, text] = seen(all.servers).slice(-3)
        assert.deepStrictEqual(text!.timestamp, first!.timestamp)
        assert.deepStrictEqual(second!.timestamp, first!.timestamp)
        yield* assertIdle(all)
      }))
  }

  it.live("of something else than was sent is tried again later, and an error in the end", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      yield* prepareEverywhere(all)
      all.servers.on(() => true, Reply.unprepared(Buffer.from("nobody knows")), ["batch"])
      const clock = hurried()
      const batch = Statement.batch([all.cql`INSERT b ${"x"}`]).pipe(withOptions({ idempotent: false }))
      const error = yield* errorOf(clock.during(batch))
      assert.strictEqual(error.reason._tag, "Unprepared")
      assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), Array(4).fill("Unprepared"))
      assert.lengthOf(clock.pauses, 3)
    }))

  it.live("and refuses to prepare it in a further attempt has the last word", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      yield* prepareEverywhere(all)
      yield* forgetAll(all)
      knowing(all.servers, 1)
      let prepares = 0
      all.servers.on(/^INSERT/, () => ++prepares === 2 ? Reply.invalid("dropped") : undefined, ["prepare"])
      const error = yield* errorOf(hurried().during(all.cql`INSERT b ${"x"}`))
      assert.deepInclude(error.reason, { _tag: "InvalidQuery", message: "dropped" })
      assert.deepInclude(outcomesOf(error)[0], { outcome: "Bootstrapping" })
      assert.lengthOf(all.servers.received(/^INSERT/), 1)
    }))
})

describe("a page", () => {
  const pages = [[1, 2], [3], [], [4, 5]]

  const paged = Reply.pages({ columns: numbers, pages: pages.map((page) => page.map((n) => [n])) })

  const pageOf = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() ?? 0

  /** Serves the pages; the first `times` that page `at` is asked for, it fails. */
  const servePages = (
    { servers }: Opened,
    at: number,
    times: number,
    reply: Reply.Reply = overloaded,
    pages: (request: ScriptedServer.Request) => Reply.Reply = paged
  ) => servers.on(/^SELECT/, (request) => pageOf(request) === at && request.attempt <= times ? reply : pages(request))

  const texts: Readonly<Record<string, (cql: Cql) => Statement.Statement<Statement.Row, CqlError>>> = {
    QUERY: (cql) => cql`SELECT n FROM t`,
    EXECUTE: (cql) => cql`SELECT n FROM t WHERE k = ${"x"}`
  }

  type Rows = Effect.Effect<ReadonlyArray<Statement.Row>, CqlError>

  const readers: Readonly<Record<string, (statement: Statement.Statement<Statement.Row, CqlError>) => Rows>> = {
    "all rows": (statement) => statement,
    "the result": (statement) => Effect.map(statement.result, ({ rows }) => rows),
    "a stream": (statement) => Stream.runCollect(statement.stream),
    "a stream that fetches nothing ahead": (statement) =>
      Stream.runCollect(CqlStream.rows(statement, { pagesAhead: 0 })),
    "a stream that fetches far ahead": (statement) => Stream.runCollect(CqlStream.rows(statement, { pagesAhead: 5 })),
    "pages": (statement) => Effect.map(Stream.runCollect(statement.pages), (pages) => pages.flatMap(({ rows }) => rows))
  }

  const everyRow = pages.flat().map((n) => ({ n }))

  for (const [how, read] of Object.entries(readers)) {
    for (const [kind, make] of Object.entries(texts)) {
      it.live(`of ${how} (${kind}) that failed is asked for again, and no other; no row is lost and none comes twice`, () =>
        Effect.gen(function*() {
          for (const at of numbered(pages.length)) {
            for (const times of [1, 2, 3]) {
              const all = yield* opened(3)
              servePages(all, at, times)
              const rows = yield* hurried().during(read(make(all.cql).pipe(withOptions({ idempotent: true }))))
              assert.deepStrictEqual(rows, everyRow)
              const asked = all.servers.received(/^SELECT/)
              const expected = numbered(pages.length).flatMap((page) => Array(page === at ? 1 + times : 1).fill(page))
              assert.deepStrictEqual(asked.map(pageOf), expected)
              const ofFailed = asked.filter((request) => pageOf(request) === at)
              assert.lengthOf(new Set(nodesOf(ofFailed).slice(0, 3)), Math.min(1 + times, 3))
              yield* assertIdle(all)
            }
          }
        }))
    }

    it.live(`of ${how} that fails always ends it, with the attempts on that page`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        servePages(all, 1, Infinity)
        const error = yield* errorOf(hurried().during(read(all.cql`SELECT n FROM t`)))
        assert.strictEqual(error.reason._tag, "Overloaded")
        const ofFailed = all.servers.received(/^SELECT/).filter((request) => pageOf(request) === 1)
        assert.lengthOf(ofFailed, 4)
        assert.deepStrictEqual(outcomesOf(error), nodesOf(ofFailed).map((node) => ({ node, outcome: "Overloaded" })))
        yield* assertIdle(all)
      }))

    it.live(`of ${how} is not asked for again where that was not said to be safe`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        servePages(all, 1, Infinity)
        const statement = all.cql`SELECT n FROM t`.pipe(withOptions({ idempotent: false }))
        assert.strictEqual((yield* errorOf(hurried().during(read(statement)))).reason._tag, "Overloaded")
        assert.deepStrictEqual(all.servers.received(/^SELECT/).map(pageOf), [0, 1])
      }))
  }

  it.live("that failed comes behind the rows that a stream has given by then", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      servePages(all, 1, Infinity)
      const rows: Array<unknown> = []
      const stream = Stream.tap(all.cql`SELECT n FROM t`.stream, (row) => Effect.sync(() => rows.push(row)))
      yield* errorOf(hurried().during(Stream.runDrain(stream)))
      assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }])
    }))

  it.live("may fail each time: every one has all the attempts", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      all.servers.on(/^SELECT/, (request) => request.attempt <= 3 ? overloaded : paged(request))
      const clock = hurried()
      assert.deepStrictEqual(yield* clock.during(all.cql`SELECT n FROM t`), everyRow)
      assert.lengthOf(all.servers.received(/^SELECT/), 16)
      assert.deepStrictEqual(
        clock.pauses.map((pause, index) => isNear(pause, 50 * 2 ** (index % 3))),
        Array(12).fill(true)
      )
    }))

  it.live("in front of the first row is asked for again, for .one and for .first", () =>
    Effect.gen(function*() {
      const emptyFirst = Reply.pages({ columns: numbers, pages: [[], [], [[7]], [[8]]] })
      for (const at of [0, 1, 2]) {
        for (const read of ["one", "first"] as const) {
          const all = yield* opened(1)
          servePages(all, at, 2, overloaded, emptyFirst)
          const row: Effect.Effect<unknown, unknown> = all.cql`SELECT n FROM t`[read]
          assert.deepStrictEqual(yield* hurried().during(row), read === "one" ? { n: 7 } : Option.some({ n: 7 }))
          const expected = [0, 1, 2].flatMap((page) => Array(page === at ? 3 : 1).fill(page))
          assert.deepStrictEqual(all.servers.received(/^SELECT/).map(pageOf), expected)
        }
      }
    }))
})

describe("a lightweight transaction", () => {
  const columns = [{ name: "[applied]", type: "boolean" }]

  const conditional = (cql: Cql) => [
    cql`INSERT a IF NOT EXISTS`.applied,
    cql`INSERT b ${"x"} IF NOT EXISTS`.applied,
    Statement.batch([cql`INSERT a IF NOT EXISTS`]).applied
  ]

  it.live("whose coordinator did nothing is tried again, and tells the outcome of the last attempt", () =>
    Effect.gen(function*() {
      for (const index of [0, 1, 2]) {
        const all = yield* opened(1)
        all.servers.on(
          /INSERT/,
          ({ attempt }) => attempt <= 2 ? Reply.bootstrapping("soon") : Reply.rows({ columns, rows: [[true]] })
        )
        const outcome: Effect.Effect<unknown, unknown> = conditional(all.cql)[index]!
        assert.deepStrictEqual(yield* hurried().during(outcome), { applied: true })
        assert.lengthOf(all.servers.received(/INSERT/), 3)
      }
    }))

  const unknown = [
    ["a write timeout of CAS", Reply.writeTimeout({ ...acknowledged, writeType: "CAS" })],
    ["CAS_WRITE_UNKNOWN", Reply.error(0x1700, "unknown")]
  ] as const

  for (const [name, reply] of unknown) {
    it.live(`of unknown outcome (${name}) is never sent a second time, whatever it says of itself`, () =>
      Effect.gen(function*() {
        for (const index of [0, 1, 2]) {
          const all = yield* opened(3)
          all.servers.on(/INSERT/, reply)
          const outcome: Effect.Effect<unknown, unknown> = conditional(all.cql)[index]!
          const clock = hurried()
          yield* reasonOf("CasWriteUnknown")(clock.during(provideOptions(outcome, { idempotent: true })))
          assert.lengthOf(all.servers.received(/INSERT/), 1)
          assert.deepStrictEqual(clock.pauses, [])
        }
      }))
  }
})

// --- time

const withRandom = (value: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => value })

describe("the time of a further attempt", () => {
  const statement = (cql: Cql, options?: Statement.Options) =>
    cql`INSERT a`.pipe(withOptions({ idempotent: true, ...options }))

  it.effect("is after the delay, and not before", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, Infinity, overloaded)
      const asked = () => all.servers.received("INSERT a").length
      const clock = watched()
      const fiber = yield* errorOf(clock.during(statement(all.cql))).pipe(withRandom(0.5), Effect.forkChild)
      for (const [index, delay] of [50, 100, 200].entries()) {
        yield* clock.awaitPauses(index + 1)
        yield* TestClock.adjust(delay - 1)
        yield* ping(all)
        assert.strictEqual(asked(), index + 1)
        yield* TestClock.adjust(1)
        yield* all.servers.awaitRequest("INSERT a", index + 2)
      }
      yield* Fiber.join(fiber)
      assert.strictEqual(asked(), 4)
    }))

  for (const [value, pauses] of [[0, [40, 80, 160]], [0.5, [50, 100, 200]], [1, [60, 120, 240]]] as const) {
    it.live(`is that of the standard: ${pauses.join(", ")} milliseconds, as chance has it`, () =>
      Effect.gen(function*() {
        const all = yield* opened(1)
        failFirst(all.servers, Infinity, overloaded)
        for (const _ of [1, 2]) {
          const clock = hurried()
          yield* errorOf(clock.during(statement(all.cql))).pipe(withRandom(value))
          assert.deepStrictEqual(clock.pauses, [...pauses])
        }
      }))
  }

  it.live("is that of a schedule of one's own, with as many attempts", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, Infinity, overloaded)
      const schedule = Schedule.spaced("2 seconds").pipe(Schedule.upTo({ times: 5 }))
      const clock = hurried()
      const error = yield* errorOf(clock.during(statement(all.cql, { retry: CqlRetry.make({ schedule }) })))
      assert.deepStrictEqual(clock.pauses, Array(5).fill(2000))
      assert.lengthOf(error.attempts, 6)
      assert.lengthOf(seen(all.servers), 6)
    }))

  it.live("is never with a schedule that ends at once, also where another node is there", () =>
    Effect.gen(function*() {
      for (const reply of [overloaded, Reply.close]) {
        const all = yield* opened(3)
        failFirst(all.servers, Infinity, reply)
        const retry = CqlRetry.make({ schedule: Schedule.recurs(0) })
        const clock = hurried()
        yield* errorOf(clock.during(statement(all.cql, { retry })))
        assert.deepStrictEqual(clock.pauses, [])
        assert.lengthOf(seen(all.servers), 1)
      }
    }))

  it.live("is at once on another node, whatever the delay of the schedule", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      failFirst(all.servers, 2, Reply.close)
      const retry = CqlRetry.make({ schedule: Schedule.spaced("1 hour") })
      const clock = hurried()
      yield* clock.during(statement(all.cql, { retry }))
      assert.deepStrictEqual(clock.pauses, [])
      assert.lengthOf(new Set(nodesOf(seen(all.servers))), 3)
    }))

  it.live("is told to the schedule by the Clock, and each error with it", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, 2, overloaded)
      all.servers.on("INSERT a", ({ attempt }) => attempt === 3 ? Reply.serverError("broken") : undefined)
      const inputs: Array<string> = []
      const schedule = Schedule.spaced("10 millis").pipe(
        Schedule.setInputType<CqlError>(),
        Schedule.while(({ input }) => {
          inputs.push(input.reason._tag)
          return input.reason._tag === "Overloaded"
        })
      )
      const retry = CqlRetry.make({ schedule })
      const error = yield* errorOf(hurried().during(statement(all.cql, { retry })))
      assert.deepStrictEqual(inputs, ["Overloaded", "Overloaded", "ServerError"])
      assert.strictEqual(error.reason._tag, "ServerError")
      assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), inputs)
    }))

  it.live("ends with the statement's timeout, where the schedule does not, and the error has all attempts", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, Infinity, overloaded)
      for (const schedule of [Schedule.forever, Schedule.spaced("1 millis")]) {
        yield* all.servers.clearRequests
        const retry = CqlRetry.make({ schedule })
        const error = yield* errorOf(hurried().during(statement(all.cql, { retry, timeout: "500 millis" })))
        const outcomes = error.attempts.map(({ outcome }) => outcome)
        assert.isAbove(outcomes.length, 4)
        // The last attempt may have had so little time that it came to nothing.
        assert.include(["Overloaded", "ClientTimeout"], error.reason._tag)
        assert.deepStrictEqual(new Set(outcomes.slice(0, -1)), new Set(["Overloaded"]))
        yield* ping(all)
        assert.include([outcomes.length - 1, outcomes.length], all.servers.received("INSERT a").length)
        yield* assertIdle(all)
      }
    }))

  it.live("ends with the timeout also where no node can be asked and a policy tries that again", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { reconnectDelay: { base: "10 minutes", max: "10 minutes" } })
      yield* all.servers.refuse
      yield* untilNode("hostDown", all.session, all.servers.dropConnections)
      for (const decision of ["retryNow", "retryLater"] as const) {
        const retry = CqlRetry.make({ decide: () => decision, schedule: Schedule.forever })
        const error = yield* errorOf(statement(all.cql, { retry, timeout: "50 millis" }))
        assert.strictEqual(error.reason._tag, "NoHostAvailable")
        assert.deepStrictEqual(error.attempts, [])
        yield* assertIdle(all)
      }
    }))

  it.live("is not waited for where it would be beyond the timeout", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, Infinity, overloaded)
      const retry = CqlRetry.make({ schedule: Schedule.spaced("1 minute") })
      const clock = dozing()
      const error = yield* errorOf(clock.during(statement(all.cql, { retry, timeout: "59 seconds" })))
      assert.strictEqual(error.reason._tag, "Overloaded")
      assert.deepStrictEqual(clock.pauses, [])
      assert.lengthOf(seen(all.servers), 1)
    }))

  it.live("that has passed during the pause is none: the error is the last failure", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { timeout: "100 millis" })
      failFirst(all.servers, Infinity, overloaded)
      all.servers.on("SELECT later", Reply.silence)
      all.servers.on("SELECT slowly", Reply.delay(20, Reply.void))
      const retry = CqlRetry.make({ schedule: Schedule.spaced("1 millis") })
      const clock = dozing()
      const fiber = yield* Effect.forkChild(errorOf(clock.during(statement(all.cql, { retry }))))
      yield* clock.awaitPauses(1)
      yield* all.cql`SELECT slowly`
      // It has the same limit, and begins later.
      yield* reasonOf("ClientTimeout")(all.cql`SELECT later`)
      clock.wakeAll()
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "Overloaded")
      assert.lengthOf(all.servers.received("INSERT a"), 1)
      yield* assertIdle(all)
    }))

  it.live("is part of the one timeout: the last attempt has what is left, and not all of it once more", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { timeout: "1 second", attemptTimeout: "1 minute" })
      const slowly = (reply: Reply.Reply) => Reply.delay(200, reply)
      all.servers.on("INSERT a", ({ attempt }) => attempt === 1 ? slowly(overloaded) : Reply.silence)
      all.servers.on("SELECT later", Reply.silence)
      all.servers.on("SELECT slowly", slowly(Reply.void))
      const ended: Array<string> = []
      const toldAtEnd = (name: string, effect: Effect.Effect<unknown, CqlError>) =>
        Effect.tap(errorOf(effect), () => Effect.sync(() => ended.push(name)))
      const clock = dozing()
      const first = yield* Effect.forkChild(toldAtEnd("first", clock.during(statement(all.cql))))
      yield* clock.awaitPauses(1)
      const later = yield* Effect.forkChild(toldAtEnd("later", all.cql`SELECT later`))
      yield* all.cql`SELECT slowly`
      clock.wakeAll()
      const error = yield* Fiber.join(first)
      yield* Fiber.join(later)
      assert.deepStrictEqual(ended, ["first", "later"])
      assert.deepInclude(error.reason, { _tag: "ClientTimeout", phase: "operation", timeoutMillis: 1000 })
      assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), ["Overloaded", "ClientTimeout"])
    }))
})

// --- what is sent

describe("every attempt of a statement", () => {
  const sent = (
    { connection: _connection, node: _node, receivedAt: _receivedAt, ...request }: ScriptedServer.Request
  ) => request

  const options: Statement.Options = {
    consistency: "quorum",
    serialConsistency: "localSerial",
    pageSize: 7,
    tracing: true,
    customPayload: { key: new Uint8Array([1, 2]) },
    idempotent: true
  }

  for (const [kind, make] of Object.entries(kinds)) {
    it.live(`is the same request: ${kind}`, () =>
      Effect.gen(function*() {
        const all = yield* opened(3)
        yield* prepareEverywhere(all)
        failFirst(all.servers, 3, overloaded)
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(withOptions(options))
        yield* hurried().during(statement)
        const [first, ...others] = seen(all.servers).map(sent)
        assert.lengthOf(others, 3)
        for (const other of others) assert.deepStrictEqual(other, first)
        assert.deepInclude(first, {
          consistency: "QUORUM",
          serialConsistency: "LOCAL_SERIAL",
          tracing: true,
          payload: { key: Buffer.from([1, 2]) }
        })
        assert.typeOf(first!.timestamp, "bigint")
        assert.deepStrictEqual(first!.values.map(String), kind === "QUERY" ? [] : ["x"])
      }))

    it.live(`has the timestamp that was given, or leaves it to the server where that was said: ${kind}`, () =>
      Effect.gen(function*() {
        for (const timestamps of ["client", "server"] as const) {
          const all = yield* opened(3, { timestamps })
          yield* prepareEverywhere(all)
          for (const timestamp of [undefined, 17, -(2n ** 62n)]) {
            yield* all.servers.clearRequests
            const takeBack = failFirst(all.servers, 3, overloaded)
            const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(
              withOptions({ idempotent: true, timestamp })
            )
            yield* hurried().during(statement)
            takeBack()
            const stamps = seen(all.servers).map((request) => request.timestamp)
            assert.lengthOf(stamps, 4)
            assert.lengthOf(new Set(stamps), 1)
            if (timestamp !== undefined) assert.strictEqual(stamps[0], BigInt(timestamp))
            else assert.strictEqual(typeof stamps[0], timestamps === "client" ? "bigint" : "undefined")
          }
        }
      }))
  }

  it.live("has the timestamp of that statement and of no other", () =>
    Effect.gen(function*() {
      const all = yield* opened(3)
      all.servers.on(/^INSERT/, ({ attempt }) => attempt <= 2 ? overloaded : Reply.void)
      const inserts = numbered(50).map((n) =>
        all.cql`INSERT ${all.cql.unsafe(String(n))}`.pipe(withOptions({ idempotent: true }))
      )
      yield* hurried().during(Effect.all(inserts, allAtOnce))
      const stamps = Map.groupBy(seen(all.servers), ({ timestamp }) => timestamp)
      assert.strictEqual(stamps.size, 50)
      for (const requests of stamps.values()) {
        assert.lengthOf(requests, 3)
        assert.lengthOf(new Set(requests.map(({ query }) => query)), 1)
      }
    }))

  it.live("is older than a write that came between, and does not overtake it", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, 1, overloaded)
      const clock = dozing()
      const insert = all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))
      const fiber = yield* Effect.forkChild(clock.during(insert))
      yield* clock.awaitPauses(1)
      yield* all.cql`INSERT between`
      clock.wakeAll()
      yield* Fiber.join(fiber)
      const [first, between, replay] = seen(all.servers)
      assert.deepStrictEqual([between!.query, replay!.query], ["INSERT between", "INSERT a"])
      assert.strictEqual(replay!.timestamp, first!.timestamp)
      assert.isTrue(replay!.timestamp! < between!.timestamp!)
    }))

  it.live("goes to the one node that was asked for, after the delay", () =>
    Effect.gen(function*() {
      for (const reply of [overloaded, Reply.silence]) {
        const all = yield* opened(3, { attemptTimeout: "200 millis" })
        failFirst(all.servers, 3, reply)
        const node = all.servers.nodes[1]!.hostId
        const clock = hurried()
        yield* clock.during(all.cql`INSERT a`.pipe(withOptions({ idempotent: true, node })))
        assert.deepStrictEqual(all.servers.nodes.map((node) => seen(node).length), [0, 4, 0])
        assert.lengthOf(clock.pauses, 3)
      }
    }))
})

// --- policies

/** Tries again so often, whatever it is, without a pause. */
const times = (count: number) => CqlRetry.make({ decide: () => "retryLater", schedule: Schedule.recurs(count) })

describe("what its text and its types prove to be idempotent", () => {
  it.live("is tried again also where the types are forgotten meanwhile, as they are with the control connection", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      const text = "INSERT INTO t (k, v) VALUES (?, ?)"
      all.servers.prepared(text, { params: [{ name: "k", type: "int" }, { name: "v", type: "text" }] })
      const { statements } = all.session.core.shared
      let executions = 0
      all.servers.on(text, () => {
        if (++executions > 1) return Reply.void
        statements.schemaChanged(undefined)
        return overloaded
      }, ["execute"])
      yield* hurried().during(all.cql`INSERT INTO t (k, v) VALUES (${1}, ${"v"})`)
      assert.strictEqual(executions, 2)
    }))
})

describe("a policy", () => {
  const insert = (cql: Cql) => cql`INSERT a`

  /** How often the statement was sent, to a server that refuses it always. */
  const countOf = Effect.fnUntraced(function*(
    session: Session.Options,
    run: (cql: Cql) => Effect.Effect<unknown, CqlError>
  ) {
    const all = yield* opened(1, session)
    failFirst(all.servers, Infinity, Reply.invalid("no"))
    const clock = hurried()
    yield* errorOf(clock.during(run(all.cql)))
    yield* assertIdle(all)
    return seen(all.servers).length
  }, Effect.scoped)

  it.live("is that of the session, of the region, of the statement or of a profile: the nearest wins", () =>
    Effect.gen(function*() {
      const session = { retry: times(1), profiles: { often: { retry: times(4) } } }
      assert.strictEqual(yield* countOf({}, insert), 1)
      assert.strictEqual(yield* countOf(session, insert), 2)
      const inRegion = (cql: Cql) => insert(cql).pipe(provideOptions({ retry: times(2) }))
      assert.strictEqual(yield* countOf(session, inRegion), 3)
      const inRegions = (cql: Cql) => inRegion(cql).pipe(provideOptions({ retry: times(5) }))
      assert.strictEqual(yield* countOf(session, inRegions), 3)
      const ofStatement = (cql: Cql) =>
        insert(cql).pipe(withOptions({ retry: times(3) }), provideOptions({ retry: times(2) }))
      assert.strictEqual(yield* countOf(session, ofStatement), 4)
      assert.strictEqual(yield* countOf(session, (cql) => insert(cql).pipe(withOptions({ profile: "often" }))), 5)
      assert.strictEqual(yield* countOf({ ...session, profile: "often" }, insert), 2)
    }))

  it.live("is also that of a batch and of a stream", () =>
    Effect.gen(function*() {
      const session = { retry: times(2) }
      assert.strictEqual(yield* countOf(session, (cql) => Statement.batch([insert(cql)])), 3)
      assert.strictEqual(yield* countOf(session, (cql) => Stream.runDrain(insert(cql).stream)), 3)
      const none = (cql: Cql) => Statement.batch([insert(cql)]).pipe(withOptions({ retry: CqlRetry.none }))
      assert.strictEqual(yield* countOf(session, none), 1)
    }))

  it.live("of none tries nothing again, not even what was not executed", () =>
    Effect.gen(function*() {
      for (const reply of [bootstrapping, overloaded, Reply.close]) {
        const all = yield* opened(3)
        failFirst(all.servers, 1, reply)
        const statement = insert(all.cql).pipe(withOptions({ idempotent: true, retry: CqlRetry.none }))
        yield* errorOf(statement)
        assert.lengthOf(seen(all.servers), 1)
      }
    }))

  it("has what was left out from the standard", () => {
    const { decide, schedule, standard } = CqlRetry
    const recurs = Schedule.recurs(1)
    const rethrow = () => "rethrow" as const
    assert.deepStrictEqual(standard, { decide, schedule })
    for (const nothing of [{}, { decide: undefined, schedule: undefined }]) {
      const made = CqlRetry.make(nothing)
      assert.strictEqual(made.decide, decide)
      assert.strictEqual(made.schedule, schedule)
    }
    assert.deepStrictEqual(CqlRetry.make({ schedule: recurs }), { decide, schedule: recurs })
    assert.deepStrictEqual(CqlRetry.make({ decide: rethrow }), { decide: rethrow, schedule })
  })

  it.live("is told the reason of each failure, and whether the statement is idempotent", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      failFirst(all.servers, Infinity, overloaded)
      const told: Array<readonly [string, boolean]> = []
      const retry = CqlRetry.make({
        decide: ({ idempotent, reason }) => {
          told.push([reason._tag === "Overloaded" ? reason.message : reason._tag, idempotent])
          return idempotent ? "retryLater" : "rethrow"
        }
      })
      const run = (statement: Asked) => {
        const effect: Effect.Effect<unknown, CqlError> = statement.pipe(withOptions({ retry }))
        return errorOf(hurried().during(effect))
      }
      const isIdempotent = withOptions({ idempotent: true })
      const isNot = withOptions({ idempotent: false })
      const insert = all.cql`INSERT a`
      for (const statement of [insert.pipe(isNot), Statement.batch([insert.pipe(isIdempotent), insert.pipe(isNot)])]) {
        yield* run(statement)
        assert.deepStrictEqual(told.splice(0), [["busy", false]])
      }
      for (
        const statement of [
          all.cql`SELECT n FROM t`,
          insert.pipe(isIdempotent),
          Statement.batch([insert.pipe(isIdempotent), insert.pipe(isIdempotent)]),
          Statement.batch([insert.pipe(isNot)]).pipe(isIdempotent)
        ]
      ) {
        yield* run(statement)
        assert.deepStrictEqual(told.splice(0), numbered(4).map(() => ["busy", true]))
      }
    }))

  it.live("decides by itself: what is not idempotent is sent twice when it says so", () =>
    Effect.gen(function*() {
      for (const decision of ["retryNow", "retryLater"] as const) {
        const all = yield* opened(3)
        failFirst(all.servers, 2, Reply.writeTimeout({ ...acknowledged, writeType: "COUNTER" }))
        const clock = hurried()
        const retry = CqlRetry.make({ decide: () => decision })
        yield* clock.during(insert(all.cql).pipe(withOptions({ idempotent: false, retry })))
        assert.lengthOf(seen(all.servers), 3)
        assert.lengthOf(clock.pauses, decision === "retryNow" ? 0 : 2)
      }
    }))

  it.live("that gives no decision at all, from a program without types, tries nothing again", () =>
    Effect.gen(function*() {
      for (const nonsense of [undefined, null, "retry", true, Promise.resolve("retryNow")]) {
        const decide = (() => nonsense) as unknown as () => CqlRetry.Decision
        assert.strictEqual(yield* countOf({ retry: CqlRetry.make({ decide }) }, insert), 1)
      }
    }))

  const broken = new Error("broken")

  const throws = CqlRetry.make({
    decide: () => {
      throw broken
    }
  })

  const dies = CqlRetry.make({ schedule: Schedule.fromStep(Effect.die(broken)) })

  const diesLater = CqlRetry.make({ schedule: Schedule.fromStep(Effect.succeed(() => Effect.die(broken))) })

  for (
    const [name, retry] of [
      ["decide throws", throws],
      ["schedule cannot be made", dies],
      ["schedule dies", diesLater]
    ] as const
  ) {
    for (const [kind, make] of Object.entries(kinds)) {
      it.live(`whose ${name} is a defect of who asked, and nothing is lost by it: ${kind}`, () =>
        Effect.gen(function*() {
          const all = yield* opened(1, { maxInFlight: 1, shutdownTimeout: forEver })
          yield* prepareEverywhere(all)
          const takeBack = failFirst(all.servers, Infinity, overloaded)
          const statement: Effect.Effect<unknown, CqlError> = make(all.cql).pipe(
            withOptions({ idempotent: true, retry })
          )
          const waiting = yield* Effect.forkChild(
            Effect.forEach(numbered(10), () => Effect.exit(statement), allAtOnce)
          )
          for (const exit of yield* Fiber.join(waiting)) {
            assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
            assert.strictEqual(Cause.squash((exit as Exit.Failure<unknown, CqlError>).cause), broken)
          }
          assert.lengthOf(seen(all.servers), 10)
          takeBack()
          yield* ping(all)
          yield* assertIdle(all)
          yield* all.close
        }))
    }
  }

  it.live("whose schedule fails, from a program without types, fails the statement, and nothing is lost by it", () =>
    Effect.gen(function*() {
      const schedule = Schedule.fromStep(Effect.succeed(() => Effect.fail(broken)))
      const all = yield* opened(1, { maxInFlight: 1, shutdownTimeout: forEver })
      failFirst(all.servers, Infinity, overloaded)
      const retry = CqlRetry.make({ schedule: schedule as unknown as Schedule.Schedule<unknown> })
      const error: unknown = yield* Effect.flip(insert(all.cql).pipe(withOptions({ idempotent: true, retry })))
      assert.strictEqual(error, broken)
      yield* assertIdle(all)
      yield* all.close
    }))
})

// --- interruption, places and closing

describe("a statement that waits for its next attempt", () => {
  /** Has failed once, and sleeps until the test wakes it. */
  const paused = Effect.fnUntraced(function*(options?: Session.Options, reply: Reply.Reply = overloaded) {
    const all = yield* opened(1, { shutdownTimeout: forEver, ...options })
    failFirst(all.servers, 1, reply)
    const clock = dozing()
    const insert = all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))
    const fiber = yield* Effect.forkChild(clock.during(insert))
    yield* clock.awaitPauses(1)
    return { ...all, clock, fiber, inserts: () => all.servers.received("INSERT a").length }
  })

  it.live("has no place, and keeps nobody waiting for one", () =>
    Effect.gen(function*() {
      const all = yield* paused({ maxInFlight: 1, maxQueued: 0 })
      assert.strictEqual(all.admission.inFlight, 0)
      assert.strictEqual(all.session.core.inFlight, 1)
      yield* ping(all)
      all.clock.wakeAll()
      yield* Fiber.join(all.fiber)
      assert.strictEqual(all.inserts(), 2)
      yield* assertIdle(all)
    }))

  it.live("waits for a place behind those who came before, and has one like any other", () =>
    Effect.gen(function*() {
      const all = yield* paused({ maxInFlight: 1 })
      const held = hold(all.servers, /^SELECT/)
      const others = yield* Effect.forkChild(
        Effect.forEach(numbered(2), (n) => all.cql`SELECT ${all.cql.unsafe(String(n))}`, allAtOnce)
      )
      yield* held.awaitHeld(1)
      all.clock.wakeAll()
      yield* Effect.yieldNow
      assert.deepStrictEqual([all.admission.inFlight, all.admission.queued], [1, 2])
      yield* held.answer()
      yield* held.awaitHeld(1)
      assert.strictEqual(all.inserts(), 1)
      yield* held.answer()
      yield* Fiber.joinAll([others, all.fiber])
      assert.deepStrictEqual(seen(all.servers).map(({ query }) => query), [
        "INSERT a",
        "SELECT 0",
        "SELECT 1",
        "INSERT a"
      ])
      assert.strictEqual(held.most(), 1)
      yield* assertIdle(all)
    }))

  it.live("does not send it when it is interrupted, and a session that closes does not wait for it", () =>
    Effect.gen(function*() {
      const all = yield* paused({ maxInFlight: 1 })
      yield* Fiber.interrupt(all.fiber)
      yield* assertIdle(all)
      all.clock.wakeAll()
      yield* ping(all)
      assert.strictEqual(all.inserts(), 1)
      yield* all.close
    }))

  it.live("lets the session that closes wait for it", () =>
    Effect.gen(function*() {
      const all = yield* paused()
      const closing = yield* Effect.forkChild(all.close)
      yield* Effect.yieldNow
      yield* reasonOf("SessionClosed")(all.cql`SELECT n`)
      // A connection more comes and goes: time enough for the first one to go, if it did.
      yield* Effect.scoped(connect(all.servers))
      assert.isUndefined(closing.pollUnsafe())
      all.clock.wakeAll()
      yield* Fiber.join(all.fiber)
      assert.strictEqual(all.inserts(), 2)
      yield* Fiber.join(closing)
    }))

  it.live("does not send it when the session has closed meanwhile, and fails with what had failed", () =>
    Effect.gen(function*() {
      const all = yield* paused({ shutdownTimeout: "20 millis" })
      yield* all.close
      all.clock.wakeAll()
      const error = yield* errorOf(Fiber.join(all.fiber))
      assert.strictEqual(error.reason._tag, "Overloaded")
      assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), ["Overloaded"])
      assert.strictEqual(all.inserts(), 1)
      yield* assertIdle(all)
    }))

  it.live("does not send it on connections that are about to be closed", () =>
    Effect.gen(function*() {
      const all = yield* paused({ shutdownTimeout: "20 millis" })
      const { client } = all.session.core.shared
      const close = client.close.bind(client)
      client.close = () => {
        client.isClosing = true
        all.clock.wakeAll()
        return close()
      }
      yield* all.close
      const error = yield* errorOf(Fiber.join(all.fiber))
      assert.strictEqual(error.reason._tag, "Overloaded")
      assert.strictEqual(all.inserts(), 1)
    }))
})

describe("a further attempt", () => {
  /** The first attempt has failed, and the second one waits for its answer. */
  const begun = Effect.fnUntraced(function*(options?: Session.Options) {
    const all = yield* opened(1, { shutdownTimeout: forEver, maxInFlight: 1, ...options })
    all.servers.on("INSERT a", overloaded)
    const held = hold(all.servers, "INSERT a", ({ attempt }) => attempt === 1 ? undefined : overloaded)
    const insert = all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))
    const fiber = yield* Effect.forkChild(hurried().during(insert))
    yield* held.awaitHeld(1)
    return { ...all, held, fiber, inserts: () => all.servers.received("INSERT a").length }
  })

  it.live("that is interrupted keeps its place until the server has answered, and no other is begun", () =>
    Effect.gen(function*() {
      const all = yield* begun()
      yield* Fiber.interrupt(all.fiber)
      assert.deepStrictEqual([all.admission.inFlight, all.session.core.inFlight], [1, 0])
      yield* all.held.answer()
      yield* ping(all)
      yield* assertIdle(all)
      assert.strictEqual(all.inserts(), 2)
      yield* all.close
    }))

  it.live("that is interrupted in the queue leaves it, and is not begun", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { shutdownTimeout: forEver, maxInFlight: 1 })
      failFirst(all.servers, 1, overloaded)
      const held = hold(all.servers, "SELECT n")
      const clock = dozing()
      const insert = all.cql`INSERT a`.pipe(withOptions({ idempotent: true }))
      const fiber = yield* Effect.forkChild(clock.during(insert))
      yield* clock.awaitPauses(1)
      const other = yield* Effect.forkChild(all.cql`SELECT n`)
      yield* held.awaitHeld(1)
      clock.wakeAll()
      yield* Effect.yieldNow
      assert.strictEqual(all.admission.queued, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([all.admission.inFlight, all.admission.queued], [1, 0])
      yield* held.answer()
      yield* Fiber.join(other)
      yield* assertIdle(all)
      assert.lengthOf(all.servers.received("INSERT a"), 1)
      yield* all.close
    }))

  it.live("is waited for by a session that closes, and so are those behind it", () =>
    Effect.gen(function*() {
      const all = yield* begun()
      const closing = yield* Effect.forkChild(all.close)
      yield* Effect.yieldNow
      for (const _ of [2, 3, 4]) {
        yield* all.held.awaitHeld(1)
        assert.isUndefined(closing.pollUnsafe())
        yield* all.held.answer()
      }
      yield* reasonOf("Overloaded")(Fiber.join(all.fiber))
      assert.strictEqual(all.inserts(), 4)
      yield* Fiber.join(closing)
    }))

  it.live("that is interrupted by the policy itself leaves nothing behind", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { shutdownTimeout: forEver, maxInFlight: 1 })
      failFirst(all.servers, Infinity, overloaded)
      let fiber: Fiber.Fiber<unknown, unknown> | undefined
      const decide = (): CqlRetry.Decision => {
        fiber!.interruptUnsafe()
        return "retryLater"
      }
      fiber = yield* Effect.forkChild(all.cql`INSERT a`.pipe(withOptions({ retry: CqlRetry.make({ decide }) })))
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      yield* ping(all).pipe(Effect.ignore)
      yield* assertIdle(all)
      yield* all.close
    }))
})

describe("500 statements that fail at once", () => {
  /** Each fails twice; the server tells how many it had at a time. */
  const failingTwice = (servers: ScriptedServer.Scripts) => {
    const attempts = new Map<string, number>()
    let open = 0
    let most = 0
    servers.on((query) => query !== "", ({ values }) => {
      const key = String(values[0])
      const attempt = (attempts.get(key) ?? 0) + 1
      attempts.set(key, attempt)
      most = Math.max(most, ++open)
      const later = new Promise<void>((resolve) => {
        setImmediate(() => {
          open--
          resolve()
        })
      })
      return Reply.delay(later, attempt <= 2 ? overloaded : Reply.void)
    })
    return { attempts, most: () => most }
  }

  for (const [nodes, maxInFlight] of [[1, 1], [1, 20], [3, 20], [3, 1000]] as const) {
    it.live(`are tried again without loss, ${maxInFlight} at a time on ${nodes} of the nodes`, () =>
      Effect.gen(function*() {
        const all = yield* opened(nodes, { maxInFlight, shutdownTimeout: forEver })
        yield* prepareEverywhere(all)
        yield* all.servers.clearRequests
        const { attempts, most } = failingTwice(all.servers)
        const inserts = numbered(500).map((n) => all.cql`INSERT b ${String(n)}`.pipe(withOptions({ idempotent: true })))
        yield* hurried().during(Effect.all(inserts, allAtOnce))
        assert.deepStrictEqual(new Set(attempts.values()), new Set([3]))
        assert.strictEqual(attempts.size, 500)
        assert.lengthOf(seen(all.servers), 1500)
        assert.isAtMost(most(), maxInFlight)
        yield* assertIdle(all)
        yield* all.close
      }))
  }

  it.live("and are interrupted leave no place taken", () =>
    Effect.gen(function*() {
      const all = yield* opened(3, { maxInFlight: 20, shutdownTimeout: forEver })
      yield* prepareEverywhere(all)
      failingTwice(all.servers)
      const clock = dozing()
      const inserts = numbered(500).map((n) => all.cql`INSERT b ${String(n)}`.pipe(withOptions({ idempotent: true })))
      const fiber = yield* Effect.forkChild(clock.during(Effect.all(inserts, allAtOnce)))
      yield* clock.awaitPauses(100)
      clock.wakeAll()
      yield* clock.awaitPauses(150)
      yield* Fiber.interrupt(fiber)
      yield* all.close
      yield* assertIdle(all)
    }))
})

describe("a further attempt that was not made fails with what has failed before", () => {
  const isIdempotent = { idempotent: true } as const

  /** One attempt has failed, and while its statement pauses another one has the only place. */
  const displaced = Effect.fnUntraced(function*(options: Session.Options, own: Statement.Options) {
    const all = yield* opened(1, { maxInFlight: 1, ...options })
    all.servers.on("INSERT a", overloaded)
    const held = hold(all.servers, "SELECT held")
    const clock = dozing()
    const insert = all.cql`INSERT a`.pipe(withOptions({ ...isIdempotent, ...own }))
    const fiber = yield* Effect.forkChild(errorOf(clock.during(insert)))
    yield* clock.awaitPauses(1)
    const other = yield* Effect.forkChild(all.cql`SELECT held`)
    yield* held.awaitHeld(1)
    clock.wakeAll()
    const error = yield* Fiber.join(fiber)
    yield* held.answer()
    yield* Fiber.join(other)
    yield* assertIdle(all)
    return { all, error }
  })

  const assertOverloaded = ({ servers }: Opened, error: CqlError, match: ScriptedServer.Match = "INSERT a"): void => {
    const node = addressOf(servers.nodes[0]!)
    assert.strictEqual(error.reason._tag, "Overloaded")
    assert.strictEqual(error.coordinator, node)
    assert.deepStrictEqual(outcomesOf(error), [{ node, outcome: "Overloaded" }])
    assert.lengthOf(servers.received(match), 1)
  }

  it.live("when it is refused, for nobody more may wait", () =>
    Effect.gen(function*() {
      const { all, error } = yield* displaced({ maxQueued: 0 }, {})
      assertOverloaded(all, error)
    }))

  it.live("when its time has passed in the queue", () =>
    Effect.gen(function*() {
      const { all, error } = yield* displaced({}, { timeout: "300 millis" })
      assertOverloaded(all, error)
    }))

  it.live("when its time has passed while the statement was prepared anew", () =>
    Effect.gen(function*() {
      const all = yield* opened(1)
      all.servers.on("INSERT b ?", overloaded)
      const clock = dozing()
      const insert = all.cql`INSERT b ${"x"}`.pipe(withOptions({ ...isIdempotent, timeout: "300 millis" }))
      const fiber = yield* Effect.forkChild(errorOf(clock.during(insert)))
      yield* clock.awaitPauses(1)
      all.servers.on("INSERT b ?", Reply.silence, ["prepare"])
      all.session.core.shared.statements.schemaChanged(undefined)
      clock.wakeAll()
      assertOverloaded(all, yield* Fiber.join(fiber), "INSERT b ?")
    }))

  it.live("but what is refused, or waits too long, before its first attempt says so", () =>
    Effect.gen(function*() {
      const all = yield* opened(1, { maxInFlight: 1, maxQueued: 1 })
      const held = hold(all.servers, "SELECT held")
      const other = yield* Effect.forkChild(all.cql`SELECT held`)
      yield* held.awaitHeld(1)
      const waiting = yield* Effect.forkChild(
        errorOf(all.cql`INSERT a`.pipe(withOptions({ ...isIdempotent, timeout: "100 millis" })))
      )
      yield* Effect.repeat(Effect.yieldNow, { until: () => all.admission.queued === 1 })
      yield* reasonOf("AdmissionRefused")(all.cql`INSERT a`.pipe(withOptions(isIdempotent)))
      const { attempts, reason } = yield* Fiber.join(waiting)
      assert.deepInclude({ ...reason }, { _tag: "ClientTimeout", phase: "queue" })
      assert.deepStrictEqual(attempts, [])
      yield* held.answer()
      yield* Fiber.join(other)
    }))
})

describe("where the servers give the time of a write", () => {
  const update = "UPDATE t SET a = 1 WHERE b = 2"

  const updates = (cql: Cql) => cql`UPDATE t SET a = 1 WHERE b = 2`

  const server = { timestamps: "server" } as const

  interface TimeCase {
    readonly name: string
    readonly make: (cql: Cql) => Asked
    readonly isRepeated: boolean
    readonly options?: Session.Options
  }

  const batchOf = (cql: Cql, options: Statement.Options = {}) =>
    Statement.batch([updates(cql).pipe(withOptions(options))])

  const timeCases: ReadonlyArray<TimeCase> = [
    { name: "a write that is only proved to be idempotent", make: updates, isRepeated: false },
    {
      name: "a write that says so",
      make: (cql) => updates(cql).pipe(withOptions({ idempotent: true })),
      isRepeated: true
    },
    { name: "a read", make: (cql) => cql`SELECT a FROM t`, isRepeated: true },
    {
      name: "a write with a time of its own",
      make: (cql) => updates(cql).pipe(withOptions({ timestamp: 17 })),
      isRepeated: true
    },
    { name: "a batch of what is only proved", make: (cql) => batchOf(cql), isRepeated: false },
    { name: "a batch of what says so", make: (cql) => batchOf(cql, { idempotent: true }), isRepeated: true },
    {
      name: "a batch that says so",
      make: (cql) => batchOf(cql).pipe(withOptions({ idempotent: true })),
      isRepeated: true
    },
    {
      name: "a batch with a time of its own",
      make: (cql) => batchOf(cql).pipe(withOptions({ timestamp: 17 })),
      isRepeated: true
    }
  ]

  for (const { isRepeated, make, name } of timeCases) {
    it.live(`${name} is ${isRepeated ? "" : "not "}repeated`, () =>
      Effect.gen(function*() {
        const all = yield* opened(1, server)
        failFirst(all.servers, 1, overloaded)
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
        const exit = yield* Effect.exit(hurried().during(statement))
        assert.strictEqual(Exit.isSuccess(exit), isRepeated)
        assert.lengthOf(seen(all.servers), isRepeated ? 2 : 1)
      }))
  }

  it.live("by a region that says it of all, each of them is", () =>
    Effect.gen(function*() {
      for (const make of [updates, (cql: Cql) => batchOf(cql)]) {
        const all = yield* opened(1, server)
        failFirst(all.servers, 1, overloaded)
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
        yield* hurried().during(statement.pipe(provideOptions({ idempotent: true })))
        assert.lengthOf(seen(all.servers), 2)
      }
    }))

  it.live("which the client gives by default, what is only proved is repeated with the one time", () =>
    Effect.gen(function*() {
      for (const make of [updates, (cql: Cql) => batchOf(cql)]) {
        const all = yield* opened(1)
        failFirst(all.servers, 1, overloaded)
        const statement: Effect.Effect<unknown, CqlError> = make(all.cql)
        yield* hurried().during(statement)
        const [first, second] = seen(all.servers)
        assert.include(first!.query, update)
        assert.typeOf(first!.timestamp, "bigint")
        assert.strictEqual(second!.timestamp, first!.timestamp)
      }
    }))
})
