/**
 * Clusters that connect in the background: what one gets before that, that nothing has to be done when it has happened,
 * and that nothing goes on when it is not wanted any more. What is left of it is looked for by `releaseCases.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CqlError } from "../src/index.ts"
import { Cluster, cql, CqlRetry, Session, Statement } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { hold, optionsFor, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const numbers = [{ name: "n", type: "int" }]

const one = Reply.rows({ columns: numbers, rows: [[1]] })

/** So often that a test has not to wait, and never again. */
const often = Schedule.spaced("5 millis")

const never = Schedule.spaced("1 hour")

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const until = (isSo: () => boolean) => Effect.repeat(turn, { until: isSo })

/** A server that answers, once it accepts. */
const answering = Effect.fnUntraced(function*(options?: ScriptedServer.ServerOptions) {
  const server = yield* ScriptedServer.make(options)
  server.on("SELECT n", one)
  return server
})

const away = Effect.tap(answering(), (server) => server.refuse)

const optionsOf = (server: ScriptedServer.ScriptedServer, options?: Session.Options): Session.Options => ({
  ...optionsFor(server),
  connectInBackground: true,
  connectSchedule: often,
  shutdownTimeout: "20 millis",
  ...options
})

const connect = (server: ScriptedServer.ScriptedServer, options?: Session.Options) =>
  Session.make(optionsOf(server, options))

const isConnected = ({ core }: Session["Service"]) => core.shared.notConnected === undefined

const untilConnected = (session: Session["Service"]) => until(() => isConnected(session))

/** Fails with this reason, which it has when something has been tried that came to nothing. */
const whyNot = Effect.fnUntraced(function*(session: Session["Service"]) {
  const first = session.core.shared.notConnected
  yield* until(() => session.core.shared.notConnected !== first)
  return yield* Effect.map(Effect.flip(session.cql`SELECT n`), ({ reason }) => reason)
})

/** All that is logged while it lasts, as `LEVEL message`. */
const logging = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel} ${String((message as ReadonlyArray<unknown>)[0])}`)
  })
  return { lines, layer: Logger.layer([logger]) }
}

const firstNotEnded = "the cluster is not connected yet: the first try has not ended"

const tryAgain = "Warn the cluster is not reached yet, and tried again"

const notAgain = "Error the cluster was not reached, and is not tried again"

const reached = "Info the cluster is reached"

describe("a cluster that is not there yet", () => {
  it.live("is a layer that is there at once, whose statements fail at once and say why", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const held = hold(server, "STARTUP", Reply.close, ["startup"])
      const program = Effect.gen(function*() {
        yield* held.awaitHeld(1)
        const { message, nodes } = yield* reasonOf("NoHostAvailable")(cql`SELECT n`)
        assert.strictEqual(message, firstNotEnded)
        assert.deepStrictEqual(nodes, [])
      })
      yield* program.pipe(Effect.provide(Session.layer(optionsOf(server, { connectSchedule: never }))))
      assert.lengthOf(server.received("SELECT n"), 0)
    }))

  it.live("is told by what the last try has failed on", () =>
    Effect.gen(function*() {
      const server = yield* away
      const session = yield* connect(server, { connectSchedule: never })
      const reason = yield* whyNot(session)
      assert(reason._tag === "NoHostAvailable")
      assert.deepStrictEqual(reason.nodes.map(({ node }) => node), [`${server.host}:${server.port}`])
      assert.include(reason.message, "the cluster is not connected yet: ")
      assert.include(reason.message + reason.nodes[0]!.error, "ECONNREFUSED")
    }))

  it.live("is told by the last try, and not by the first", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on("STARTUP", Reply.bootstrapping("first"), ["startup"])
      const session = yield* connect(server)
      assert.include((yield* whyNot(session)).message, "first")
      takeBack()
      server.on("STARTUP", Reply.bootstrapping("second"), ["startup"])
      yield* server.clearRequests
      yield* server.awaitRequest("STARTUP", 2, ["startup"])
      assert.include((yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)).message, "second")
    }))

  it.live("fails whatever is asked of it, at once and with nothing sent, and has no nodes", () =>
    Effect.gen(function*() {
      const server = yield* away
      const { cluster, core, cql } = yield* connect(server, { connectSchedule: never, timeout: "1 minute" })
      yield* server.accept
      const everything: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        cql`SELECT n`,
        cql`SELECT n`.first,
        cql`SELECT n`.one,
        cql`SELECT n`.result,
        cql`SELECT n WHERE k = ${"x"}`,
        cql`SELECT n`.pipe(Statement.withOptions({ node: "127.0.0.1:9042" })),
        cql`SELECT n`.pipe(Statement.withOptions({ idempotent: true, hedge: { delay: 1 } })),
        cql`INSERT a IF NOT EXISTS`.applied,
        Stream.runDrain(cql`SELECT n`.stream),
        Stream.runDrain(cql`SELECT n`.pages),
        Statement.batch([cql`INSERT a`, cql`INSERT b ${"x"}`]),
        Statement.prepare(cql`SELECT n WHERE k = ${"x"}`),
        Statement.check(cql`SELECT n WHERE k = ${"x"}`),
        cluster.keyspaces,
        cluster.tables("shop"),
        cluster.table("shop", "users"),
        cluster.use((client) => client.execute("SELECT n"))
      ]
      const fails = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.map(
          reasonOf("NoHostAvailable")(effect),
          ({ message }) => assert.include(message, "the cluster is not connected yet: ")
        )
      yield* Effect.forEach(everything, fails)
      assert.deepStrictEqual(yield* cluster.nodes, [])
      assert.strictEqual(cluster.localDataCenter, "")
      yield* turn
      assert.strictEqual(server.accepted(), 0)
      assert.strictEqual(core.inFlight, 0)
      assert.deepStrictEqual([core.shared.admission.inFlight, core.shared.admission.queued], [0, 0])
    }))

  it.live("works as soon as it is there, with nothing done, for sessions of before and of other keyspaces", () =>
    Effect.gen(function*() {
      const server = yield* away
      const cluster = yield* Cluster.make(optionsOf(server))
      const open = (keyspace?: string) => Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster))
      const sessions = yield* Effect.forEach([undefined, "shop", "shop", "other"], open)
      for (const { cql } of sessions) yield* reasonOf("NoHostAvailable")(cql`SELECT n`)
      yield* server.accept
      for (const session of sessions) {
        yield* untilConnected(session)
        assert.deepStrictEqual(yield* session.cql`SELECT n`, [{ n: 1 }])
        assert.deepStrictEqual(yield* session.cql`SELECT n`.first.pipe(Effect.map(({ _tag }) => _tag)), "Some")
        assert.strictEqual(server.received("SELECT n").at(-1)!.connection.keyspace, session.keyspace)
      }
      const [node] = yield* cluster.nodes
      assert.deepInclude(node, { address: `${server.host}:${server.port}`, isUp: true, isLocal: true })
      assert.strictEqual(cluster.localDataCenter, "datacenter1")
      assert.strictEqual(yield* cluster.use((client) => Promise.resolve(client.hosts.length)), 1)
      const late = yield* open("late")
      yield* untilConnected(late)
      yield* late.cql`SELECT n`
    }))

  it.live("is not waited for by a statement, whatever its policy says, but by a program that tries it again", () =>
    Effect.gen(function*() {
      const server = yield* away
      const { cql } = yield* connect(server)
      let decisions = 0
      const retry = CqlRetry.make({
        decide: () => {
          decisions++
          return "retryLater"
        },
        schedule: often
      })
      const select = cql`SELECT n`.pipe(Statement.withOptions({ retry, idempotent: true }))
      assert.deepStrictEqual((yield* Effect.flip(select)).attempts, [])
      assert.strictEqual(decisions, 0)
      const waiting = yield* Effect.forkChild(
        Effect.retry(select, { schedule: often, while: ({ reason }) => reason._tag === "NoHostAvailable" })
      )
      yield* server.accept
      assert.deepStrictEqual(yield* Fiber.join(waiting), [{ n: 1 }])
    }))

  it.live("prepares statements, follows the schema and closes like any other once it is there", () =>
    Effect.gen(function*() {
      const server = yield* away
      server.on(/^INSERT/, Reply.void)
      server.prepared(/^INSERT/, { params: [{ name: "k", type: "text" }], keyspace: "shop", table: "users" })
      const scope = yield* Scope.make()
      const session = yield* Scope.provide(connect(server), scope)
      yield* server.accept
      yield* untilConnected(session)
      const insert = session.cql`INSERT b ${"x"}`
      yield* insert
      yield* insert
      assert.lengthOf(server.received(/^INSERT/, ["prepare"]), 1)
      const { statements } = session.core.shared
      const known = statements.get(insert.text)
      assert.isDefined(known.prepared)
      const target = { target: "TABLE", keyspace: "shop", name: "users" } as const
      yield* server.pushEvent({ type: "SCHEMA_CHANGE", change: "UPDATED", ...target })
      yield* until(() => known.prepared === undefined)
      yield* insert
      assert.lengthOf(server.received(/^INSERT/, ["prepare"]), 2)
      yield* Scope.close(scope, Exit.void)
      yield* server.awaitConnections(0)
      yield* reasonOf("SessionClosed")(session.cql`SELECT n`)
    }))
})

describe("connecting in the background", () => {
  it.live("is not what happens by itself: then a cluster that is not there fails the layer", () =>
    Effect.gen(function*() {
      const server = yield* away
      for (const connectInBackground of [undefined, false]) {
        const make = connect(server, { connectInBackground, connectSchedule: Schedule.recurs(1) })
        yield* reasonOf("NoHostAvailable")(make)
      }
    }))

  it.live("is said with true or false, and nothing else", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      for (const value of ["yes", 1, 0, null, {}]) {
        const options = { connectInBackground: value } as unknown as Session.Options
        const { field } = yield* reasonOf("InvalidConfig")(connect(server, options))
        assert.strictEqual(field, "connectInBackground")
      }
      assert.strictEqual(server.accepted(), 0)
    }))

  it.live("refuses at once what can be seen to be wrong", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const { field } = yield* reasonOf("InvalidConfig")(connect(server, { connectionsPerNode: 0 }))
      assert.strictEqual(field, "connectionsPerNode")
      assert.strictEqual(server.accepted(), 0)
    }))

  it.live("says nothing where the first try succeeds", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const { layer, lines } = logging()
      yield* Effect.gen(function*() {
        const session = yield* connect(server)
        yield* untilConnected(session)
        yield* session.cql`SELECT n`
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(lines, [])
    }))

  it.live("warns once, however often it is tried, and tells when it is done", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on("STARTUP", Reply.bootstrapping("soon"), ["startup"])
      const { layer, lines } = logging()
      yield* Effect.gen(function*() {
        const session = yield* connect(server)
        yield* server.awaitRequest("STARTUP", 5, ["startup"])
        assert.deepStrictEqual(lines, [tryAgain])
        takeBack()
        yield* untilConnected(session)
        yield* session.cql`SELECT n`
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(lines, [tryAgain, reached])
    }))

  it.live("with a wrong data center fails with that, says so once and is not tried again", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const { layer, lines } = logging()
      yield* Effect.gen(function*() {
        const session = yield* connect(server, { localDataCenter: "nowhere" })
        const reason = yield* whyNot(session)
        assert(reason._tag === "InvalidConfig")
        assert.deepInclude(reason, { field: "localDataCenter", expected: "one of \"datacenter1\"" })
        yield* reasonOf("InvalidConfig")(session.cluster.keyspaces)
        yield* reasonOf("InvalidConfig")(session.cluster.use(() => Promise.resolve()))
        yield* server.awaitConnections(0)
        const accepted = server.accepted()
        // As long as it took the first time, and more: another cluster fails twice.
        const other = yield* connect(yield* away)
        yield* whyNot(other)
        yield* whyNot(other)
        assert.strictEqual(server.accepted(), accepted)
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(lines.filter((line) => line === notAgain), [notAgain])
      assert.deepStrictEqual(lines.filter((line) => line === tryAgain), [tryAgain], "the other's")
    }))

  it.live("is tried again by the schedule, and no longer than that", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      server.on("STARTUP", Reply.bootstrapping("soon"), ["startup"])
      const { layer, lines } = logging()
      yield* Effect.gen(function*() {
        const session = yield* connect(server, { connectSchedule: Schedule.recurs(4) })
        yield* until(() => lines.includes(notAgain))
        assert.include((yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)).message, "soon")
      }).pipe(Effect.provide(layer))
      assert.strictEqual(server.accepted(), 5)
      assert.deepStrictEqual(lines, [tryAgain, notAgain])
    }))

  it.live("is told each error to the schedule", () =>
    Effect.gen(function*() {
      const server = yield* away
      const inputs: Array<string> = []
      const connectSchedule = often.pipe(
        Schedule.setInputType<CqlError>(),
        Schedule.while(({ input }) => {
          inputs.push(input.reason._tag)
          return inputs.length < 3
        })
      )
      yield* connect(server, { connectSchedule })
      yield* until(() => inputs.length === 3)
      assert.deepStrictEqual(inputs, Array(3).fill("NoHostAvailable"))
    }))

  it.live("goes on for ever where no schedule is given, after 1, 2, 4 seconds and so on up to a minute", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on("STARTUP", Reply.bootstrapping("soon"), ["startup"])
      const connectTimeout = Duration.minutes(7)
      const pauses: Array<number> = []
      const clock = yield* Clock.Clock
      const hurried: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
        sleep: (duration: Duration.Duration) =>
          Effect.suspend(() => {
            if (Duration.equals(duration, connectTimeout)) return Effect.never
            pauses.push(Math.round(Duration.toMillis(duration)))
            return Effect.void
          })
      })
      const session = yield* connect(server, { connectSchedule: undefined, connectTimeout }).pipe(
        Effect.provideService(Clock.Clock, hurried),
        Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.5 })
      )
      yield* until(() => pauses.length >= 20)
      takeBack()
      yield* untilConnected(session)
      const expected = [1, 2, 4, 8, 16, 32, ...Array<number>(14).fill(60)].map((seconds) => seconds * 1000)
      assert.deepStrictEqual(pauses.slice(0, 20), expected)
      yield* session.cql`SELECT n`
    }))

  it.live("has the connectTimeout for each try, and leaves no connection of those that came to nothing", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on("STARTUP", Reply.silence, ["startup"])
      const session = yield* connect(server, { connectTimeout: "50 millis", socketConnectTimeout: "1 minute" })
      const { message } = yield* whyNot(session)
      assert.include(message, "50 ms")
      yield* server.awaitRequest("STARTUP", 4, ["startup"])
      assert.isAtMost(server.connections(), 1)
      takeBack()
      yield* untilConnected(session)
      yield* session.cql`SELECT n`
      yield* server.awaitConnections(1)
    }))

  it.live("is tried again with a password that is wrong at first, each time with that of the time", () =>
    Effect.gen(function*() {
      const server = yield* answering({ authenticate: { username: "ada", password: "engine" } })
      let password = "difference"
      const credentials = Effect.sync(() => ({ username: "ada", password: Redacted.make(password) }))
      const session = yield* connect(server, { credentials })
      const reason = yield* whyNot(session)
      assert.strictEqual(reason._tag, "NoHostAvailable")
      assert.notInclude(JSON.stringify(reason), "difference")
      password = "engine"
      yield* untilConnected(session)
      yield* session.cql`SELECT n`
    }))

  it.live("is tried again with a keyspace that does not exist yet", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on(/^USE/, Reply.invalid("Keyspace 'shop' does not exist"), ["system"])
      const cluster = yield* Cluster.make(optionsOf(server))
      const make = Session.makeFrom({ keyspace: "shop" }).pipe(Effect.provideService(Cluster, cluster))
      const session = yield* make
      assert.include((yield* whyNot(session)).message, "Keyspace 'shop' does not exist")
      takeBack()
      yield* untilConnected(session)
      yield* session.cql`SELECT n`
    }))
})

describe("a scope that is closed while it connects", () => {
  for (const stage of ["STARTUP", "REGISTER"] as const) {
    it.live(`has nothing tried again, and no connection left: at ${stage}`, () =>
      Effect.gen(function*() {
        const server = yield* answering()
        server.on(stage, Reply.silence, ["startup", "register"])
        const scope = yield* Scope.make()
        const session = yield* Scope.provide(connect(server), scope)
        yield* server.awaitRequest(stage, 1, ["startup", "register"])
        yield* Scope.close(scope, Exit.void)
        yield* server.awaitConnections(0)
        const accepted = server.accepted()
        yield* reasonOf("SessionClosed")(session.cql`SELECT n`)
        const other = yield* connect(yield* away)
        yield* whyNot(other)
        yield* whyNot(other)
        assert.strictEqual(server.accepted(), accepted)
      }))
  }

  it.live("ends the waiting for the next try", () =>
    Effect.gen(function*() {
      const server = yield* away
      const scope = yield* Scope.make()
      const session = yield* Scope.provide(connect(server, { connectSchedule: never }), scope)
      yield* whyNot(session)
      yield* server.accept
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(server.accepted(), 0)
    }))

  it.live("of one session leaves those of other keyspaces alone", () =>
    Effect.gen(function*() {
      const server = yield* answering()
      const takeBack = server.on(/^USE/, Reply.invalid("does not exist"), ["system"])
      const cluster = yield* Cluster.make(optionsOf(server))
      const open = (keyspace: string) => Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster))
      const scope = yield* Scope.make()
      const closed = yield* Scope.provide(open("a"), scope)
      const stays = yield* open("b")
      yield* whyNot(closed)
      yield* whyNot(stays)
      yield* Scope.close(scope, Exit.void)
      yield* server.clearRequests
      takeBack()
      yield* untilConnected(stays)
      yield* stays.cql`SELECT n`
      assert.deepStrictEqual(
        [...new Set(server.received(/^USE/, ["system"]).map(({ query }) => query))],
        ["USE \"b\""]
      )
      assert.isFalse(isConnected(closed))
    }))
})
