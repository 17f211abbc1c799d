import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Crypto from "node:crypto"
import { inspect } from "node:util"
import { Cluster, CqlError, Session } from "../src/index.ts"
import * as Reply from "./support/Reply.ts"
import { connect, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpProxy from "./support/TcpProxy.ts"

const username = "ada"

const login = (password: string): Cluster.Credentials => ({ username, password: Redacted.make(password) })

const oneMilli = { base: "1 millis", max: "1 millis" } as const

/** A server whose role has a password that a test changes. */
const makeServer = Effect.fnUntraced(function*(password: string) {
  const role = { username, password }
  const server = yield* ScriptedServer.make({ authenticate: role })
  server.on("SELECT n", Reply.void)
  return { role, server }
})

/** A program that asks for credentials: when it was begun, and when it was ended from outside. */
const makeEndless = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const ended = yield* Deferred.make<void>()
  const credentials = Deferred.succeed(begun, undefined).pipe(
    Effect.andThen(Effect.never),
    Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
  )
  return { credentials, begun: Deferred.await(begun), ended: Deferred.await(ended), hasEnded: Deferred.isDone(ended) }
})

describe("credentials that are an Effect", () => {
  it.live("are asked for by each connection", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      let asked = 0
      const credentials = Effect.sync(() => {
        asked++
        return login("secret")
      })
      const { cql } = yield* connect(server, { credentials, connectionsPerNode: 3 })
      yield* cql`SELECT n`
      assert.strictEqual(server.connections(), 3)
      assert.strictEqual(asked, 3)
    }))

  it.live("are not asked for by a server that lets everybody in", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* connect(server, { credentials: Effect.die("asked") })
    }))

  it.live("run in the context in which the cluster was made", () =>
    Effect.gen(function*() {
      const Vault = Context.Reference("test/Vault", { defaultValue: () => "none" })
      const { server } = yield* makeServer("from the vault")
      const credentials = Effect.map(Vault, login)
      const { cql } = yield* connect(server, { credentials }).pipe(
        Effect.provideService(Vault, "from the vault")
      )
      yield* cql`SELECT n`
    }))

  it.live("may take their time", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const arrived = yield* Deferred.make<void>()
      const credentials = Effect.as(Deferred.await(arrived), login("secret"))
      const connecting = yield* Effect.forkScoped(connect(server, { credentials }))
      yield* server.awaitRequest("STARTUP", 1, ["startup"])
      yield* Deferred.succeed(arrived, undefined)
      yield* (yield* Fiber.join(connecting)).cql`SELECT n`
    }))

  it.live("are those of the day when a node comes back", () =>
    Effect.gen(function*() {
      const { role, server } = yield* makeServer("monday")
      let today = "monday"
      const session = yield* connect(server, {
        credentials: Effect.sync(() => login(today)),
        reconnectDelay: oneMilli
      })
      yield* session.cql`SELECT n`
      role.password = today = "tuesday"
      yield* untilNode("hostUp", session, server.dropConnections)
      yield* session.cql`SELECT n`
    }))

  it.live("that a node refuses are asked for again, as often as it takes, and the node is not lost", () =>
    Effect.gen(function*() {
      const { role, server } = yield* makeServer("monday")
      let today = "monday"
      const session = yield* connect(server, {
        credentials: Effect.sync(() => login(today)),
        reconnectDelay: oneMilli
      })
      role.password = "tuesday"
      yield* untilNode("hostDown", session, server.dropConnections)
      yield* server.awaitRequest("AUTHRESPONSE", 10, ["authResponse"])
      yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)
      yield* untilNode("hostUp", session, Effect.sync(() => void (today = "tuesday")))
      yield* session.cql`SELECT n`
    }))

  it.live("that a node refuses are waited for longer each time", () =>
    Effect.gen(function*() {
      const { role, server } = yield* makeServer("monday")
      const session = yield* connect(server, {
        credentials: Effect.succeed(login("monday")),
        reconnectDelay: { base: "1 millis", max: "1 hour" }
      })
      const delay = session.cluster.use((client) => {
        const [host] = client.hosts.values() as unknown as ReadonlyArray<{ readonly reconnectionDelay: number }>
        return Promise.resolve(host!.reconnectionDelay)
      })
      role.password = "tuesday"
      const before = server.received("AUTHRESPONSE", ["authResponse"]).length
      yield* untilNode("hostDown", session, server.dropConnections)
      const first = yield* delay
      // By the pool and by the control connection.
      yield* server.awaitRequest("AUTHRESPONSE", before + 12, ["authResponse"])
      assert.isAtLeast(yield* delay, 4 * first)
    }))

  it.live("are had for a node although they were not for another try", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      let failures = 3
      const credentials = Effect.suspend(() =>
        failures-- > 0 ? Effect.fail("not yet") : Effect.succeed(login("secret"))
      )
      const { cql } = yield* connect(server, { credentials, connectSchedule: Schedule.recurs(5) })
      yield* cql`SELECT n`
    }))
})

describe("credentials that cannot be had", () => {
  class VaultSealed extends Data.TaggedError("VaultSealed")<{ readonly token: string }> {
    override get message(): string {
      return `the vault is sealed for ${this.token}`
    }
  }

  const cases: ReadonlyArray<readonly [what: string, credentials: Effect.Effect<any, unknown>, message: RegExp]> = [
    ["a failure", Effect.fail(new VaultSealed({ token: "hunter2" })), /`credentials` failed with VaultSealed$/],
    ["a failure that is a text", Effect.fail("hunter2"), /`credentials` failed$/],
    ["a defect", Effect.die(new RangeError("hunter2")), /`credentials` failed with RangeError$/],
    ["a throw", Effect.sync(() => JSON.parse("hunter2")), /`credentials` failed with SyntaxError$/],
    ["an interruption", Effect.interrupt, /`credentials` was interrupted$/],
    ["nothing", Effect.void, /gave something else than a username and a Redacted password$/],
    ["a password in plain", Effect.succeed({ username, password: "hunter2" }), /gave something else/],
    [
      "a password that was wiped",
      Effect.sync(() => {
        const password = Redacted.make("hunter2")
        Redacted.wipeUnsafe(password)
        return { username, password }
      }),
      /`credentials` failed/
    ]
  ]

  for (const [what, credentials, message] of cases) {
    it.live(`because of ${what}, fail the connection with a reason that tells so and does not repeat it`, () =>
      Effect.gen(function*() {
        const { server } = yield* makeServer("secret")
        const error = yield* Effect.flip(connect(server, { credentials }))
        assert.instanceOf(error, CqlError)
        assert.strictEqual(error.reason._tag, "AuthenticationError")
        assert.match(error.message, message)
        assert.include(error.message, "the credentials could not be had")
        assert.notInclude(inspect(error, { depth: 10 }), "hunter2")
        assert.strictEqual(server.received("AUTHRESPONSE", ["authResponse"]).length, 0)
        yield* server.awaitConnections(0)
      }))
  }

  it.live("in time, fail the connection by its own limit, and are interrupted", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const { credentials, ended } = yield* makeEndless
      const reason = yield* reasonOf("NoHostAvailable")(
        connect(server, { credentials, socketConnectTimeout: "100 millis" })
      )
      assert.match(reason.nodes[0]!.error, /`credentials` did not give them in 100 ms/)
      yield* ended
    }))

  it.live("for a node that comes back, are asked for again until they can", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      let sealed = false
      let asked = 0
      const credentials = Effect.suspend(() => {
        asked++
        return sealed ? Effect.fail("sealed") : Effect.succeed(login("secret"))
      })
      const session = yield* connect(server, { credentials, reconnectDelay: oneMilli })
      sealed = true
      const askedBefore = asked
      const startups = server.received("STARTUP", ["startup"]).length
      yield* untilNode("hostDown", session, server.dropConnections)
      yield* server.awaitRequest("STARTUP", startups + 5, ["startup"])
      const reason = yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)
      assert.include(reason.nodes[0]!.error, "the credentials could not be had")
      yield* untilNode("hostUp", session, Effect.sync(() => void (sealed = false)))
      yield* session.cql`SELECT n`
      assert.isAtLeast(asked - askedBefore, 5)
    }))

  it.live("are no more asked for when connecting was given up", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const { credentials, hasEnded } = yield* makeEndless
      const options = { credentials, connectTimeout: "100 millis", socketConnectTimeout: "1 hour" } as const
      yield* reasonOf("ClientTimeout")(connect(server, options))
      // Before the failure was told, and not some time later.
      assert.isTrue(yield* hasEnded)
      yield* server.awaitConnections(0)
    }))

  it.live("are no more asked for when the session is closed", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const endless = yield* makeEndless
      let connected = false
      const credentials = Effect.suspend(() => connected ? endless.credentials : Effect.succeed(login("secret")))
      yield* Effect.scoped(Effect.gen(function*() {
        const session = yield* connect(server, {
          credentials,
          reconnectDelay: oneMilli,
          socketConnectTimeout: "1 hour"
        })
        connected = true
        yield* untilNode("hostDown", session, server.dropConnections)
        yield* endless.begun
      }))
      assert.isTrue(yield* endless.hasEnded)
      yield* server.awaitConnections(0)
    }))

  it.live("are no more asked for when the node has closed the connection", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const { begun, credentials, ended } = yield* makeEndless
      const options = { credentials, connectTimeout: "1 hour", socketConnectTimeout: "1 hour" } as const
      const connecting = yield* Effect.forkScoped(Effect.flip(connect(server, options)))
      yield* begun
      yield* server.dropConnections
      yield* ended
      const { reason } = yield* Fiber.join(connecting)
      assert.include(reason.message, "closed the connection while it was being opened")
    }))

  it.live("and do not let themselves be interrupted do not hold up the close", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const begun = yield* Deferred.make<void>()
      const stubborn = Effect.uninterruptible(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      const options = { credentials: stubborn, socketConnectTimeout: "1 hour" } as const
      const connecting = yield* Effect.forkScoped(connect(server, options))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(connecting)
      yield* server.awaitConnections(0)
    }))

  it.live("by a node that asks for more than these, are not sent twice", () =>
    Effect.gen(function*() {
      const { server } = yield* makeServer("secret")
      const authChallenge = Reply.response(0x0e, Buffer.from([0, 0, 0, 1, 0x3f]))
      server.on("AUTHRESPONSE", authChallenge, ["authResponse"])
      const { message } = yield* reasonOf("AuthenticationError")(
        connect(server, { username, password: Redacted.make("secret") })
      )
      assert.include(message, "asks for more than a username and a password")
      assert.strictEqual(server.received("AUTHRESPONSE", ["authResponse"]).length, 1)
    }))
})

describe("an option that makes no sense", () => {
  const effect = Effect.succeed(login("secret"))
  const wrong: ReadonlyArray<readonly [what: string, options: { readonly [name: string]: unknown }]> = [
    ["credentials beside a username and a password", { ...login("secret"), credentials: effect }],
    ["credentials that are no Effect", { credentials: login("secret") }]
  ]

  for (const [what, options] of wrong) {
    it.live(`is told before anything is opened: ${what}`, () =>
      Effect.gen(function*() {
        const { server } = yield* makeServer("secret")
        const reason = yield* reasonOf("InvalidConfig")(connect(server, options))
        assert.strictEqual(reason.field, "credentials")
        assert.include(reason.message, "an Effect, in place of username and password")
        assert.strictEqual(server.accepted(), 0)
      }))
  }
})

describe("a password that is changed on a real server", () => {
  /** A role of this test's own, and how to change its password. */
  const makeRole = Effect.gen(function*() {
    const { cql } = yield* Session.make(yield* Session.config)
    const name = `test_${Crypto.randomUUID().replaceAll("-", "")}`
    const role = cql.ident(name)
    yield* Effect.acquireRelease(
      cql`CREATE ROLE ${role} WITH PASSWORD = 'monday-4711' AND LOGIN = true`,
      () => Effect.orDie(cql`DROP ROLE ${role}`)
    )
    return { name, rotate: cql`ALTER ROLE ${role} WITH PASSWORD = 'tuesday-0815'` }
  })

  it.live("is the one of the day for a connection that is opened again, and the old one is refused", () =>
    Effect.gen(function*() {
      const role = yield* makeRole
      const { contactPoints, port } = yield* Session.config
      const proxy = yield* TcpProxy.make({ target: { host: contactPoints![0]!, port: port! } })
      const at = { contactPoints: [`${proxy.host}:${proxy.port}`], port: proxy.port, reconnectDelay: oneMilli }
      const as = (password: string) => ({ username: role.name, password: Redacted.make(password) })
      let today = "monday-4711"
      const rotating = yield* Session.make({ ...at, credentials: Effect.sync(() => as(today)) })
      const fixed = yield* Session.make({ ...at, ...as(today) })
      const select = ({ cql }: Session["Service"]) => cql`SELECT key FROM system.local`
      yield* select(rotating)
      yield* select(fixed)

      yield* role.rotate
      // A server goes on taking the old one for as long as it remembers that it was right.
      const refused = yield* Effect.scoped(Cluster.make({ ...at, ...as("monday-4711") })).pipe(
        Effect.repeat({ until: () => false }),
        Effect.flip
      )
      assert.strictEqual(refused.reason._tag, "AuthenticationError")
      assert.notInclude(inspect(refused, { depth: 10 }), "monday-4711")
      today = "tuesday-0815"
      yield* proxy.cut

      yield* Effect.retry(select(rotating), Schedule.spaced("10 millis"))
      const lost = yield* reasonOf("NoHostAvailable")(select(fixed))
      assert.notInclude(inspect(lost, { depth: 10 }), "monday-4711")
    }))
})
