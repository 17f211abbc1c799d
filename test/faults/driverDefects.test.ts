/**
 * The defects of cassandra-driver 4.10.0 that a user of this library could meet, each as "the driver does X, the library
 * does Y". Most run the driver as it is beside the library: a test that fails there tells that a newer driver has mended
 * it, and a line of ours may go. The real server shows what it can; for the rest it takes one that says what it is told.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import { cql, CqlRetry, CqlStream, CqlType, Session, Statement } from "../../src/index.ts"
import * as Keyspace from "../support/keyspace.ts"
import * as Reply from "../support/Reply.ts"
import { connect, hold, reasonOf, untilNode } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import type { Client } from "./support/bareDriver.ts"
import * as Bare from "./support/bareDriver.ts"

const { cassandra } = Bare
const { provideOptions, withOptions } = Statement

const subnet = "127.0.95"

const forEver = "10 minutes"

const prepared = { prepare: true } as const

const allAtOnce = { concurrency: "unbounded" } as const

/** What is given up is not waited for. */
const hasty = { shutdownTimeout: "1 millis" } as const

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const numbers = [{ name: "n", type: "int" }]

const row = (n: number) => Reply.rows({ columns: numbers, rows: [[n]] })

const addressOf = ({ host, port }: ScriptedServer.ScriptedServer): string => `${host}:${port}`

const makeCluster = (nodes: number | ReadonlyArray<ScriptedServer.NodeOptions>) =>
  ScriptedServer.makeCluster({ nodes, subnet })

const run = <A>(f: () => PromiseLike<A>): Effect.Effect<A> => Effect.promise(f)

/** What was sent to any node before is there when this has been answered. */
const pingAll = ({ cluster, cql }: Session["Service"], servers: ScriptedServer.Scripts) =>
  Effect.gen(function*() {
    servers.on("SELECT ping", Reply.void)
    for (const { hostId } of yield* cluster.nodes) yield* cql`SELECT ping`.pipe(withOptions({ node: hostId }))
  })

/** Of the timers of this delay, in milliseconds and by the driver's jitter more or less, that are made from now on: those that have neither fired nor been cleared. */
const watchTimers = (delay: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const made: Array<NodeJS.Timeout> = []
      const original = globalThis.setTimeout
      const spy = vi.spyOn(globalThis, "setTimeout").mockImplementation(
        ((f: () => void, ...rest: [number]) => {
          const timer = original(f, ...rest)
          if (Math.abs(rest[0] - delay) <= 0.15 * delay) made.push(timer)
          return timer
        }) as typeof setTimeout
      )
      const left = () => made.filter((timer) => !(timer as unknown as { readonly _destroyed: boolean })._destroyed)
      return { left, spy }
    }),
    // What the driver leaves would keep this process.
    ({ left, spy }) =>
      Effect.sync(() => {
        spy.mockRestore()
        left().forEach(clearTimeout)
      })
  ).pipe(Effect.map(({ left }) => () => left().length))

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE encoded (
    id int PRIMARY KEY, a_map map<text, int>, a_frozen_list frozen<list<int>>, a_boolean boolean, an_int int,
    a_bigint bigint, a_timestamp timestamp, a_uuid uuid, a_vector vector<float, 3>, by_number map<int, text>
  )`
  yield* cql`CREATE TABLE users ("userId" int PRIMARY KEY, "displayName" text)`
  yield* cql`CREATE TABLE letters (id int PRIMARY KEY, letter text)`
  yield* cql`CREATE TABLE altered (id int PRIMARY KEY, kept text, dropped text)`
  yield* cql`CREATE TABLE readings (sensor int, at int, PRIMARY KEY (sensor, at))`
  const readings = [1, 2].flatMap((sensor) =>
    numbered(6).map((at) => cql`INSERT INTO readings (sensor, at) VALUES (${sensor}, ${at})`)
  )
  yield* Effect.forEach(readings, (insert) => insert, { discard: true })
  yield* cql`INSERT INTO letters (id, letter) VALUES (${1}, ${"a"})`
  yield* cql`INSERT INTO altered (id, kept, dropped) VALUES (${1}, ${"k"}, ${"d"})`
})

const Tables = Layer.effectDiscard(Effect.orDie(createTables)).pipe(Layer.provideMerge(Keyspace.layer))

/** The driver in the keyspace of this file. */
const bareHere = (options?: Bare.Options) =>
  Effect.flatMap(Session, ({ keyspace }) => Bare.connectReal({ keyspace: keyspace!, ...options }))

it.layer(Tables, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
  // Cassandra answers an empty page when it has filtered or skipped tombstones for long enough, and not on demand.
  describe("1. empty pages", () => {
    it.effect("the driver's iterator ends at an empty page, the library's rows and streams go on behind it", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", Reply.pages({ columns: numbers, pages: [[[1]], [], [[2]]] }))
        const client = yield* Bare.connect(server)
        const byDriver = yield* run(async () => {
          const all: Array<unknown> = []
          for await (const { n } of await client.execute("SELECT n")) all.push(n)
          return all
        })
        assert.deepStrictEqual(byDriver, [1])
        const session = yield* connect(server)
        assert.deepStrictEqual(yield* session.cql`SELECT n`, [{ n: 1 }, { n: 2 }])
        assert.deepStrictEqual(yield* Stream.runCollect(session.cql`SELECT n`.stream), [{ n: 1 }, { n: 2 }])
      }))
  })

  describe("2. hooks that throw", () => {
    it.effect("the driver lets a row callback that throws end the process, the library's stream dies alone", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", row(1))
        const client = yield* Bare.connect(server)
        const thrown = new Error("of the program")
        const throwing = (): never => {
          throw thrown
        }
        assert.strictEqual(
          yield* Bare.uncaught(Effect.sync(() => client.eachRow("SELECT n", [], throwing, () => undefined))),
          thrown
        )
        const { cql } = yield* connect(server)
        const accepted = server.accepted()
        const exit = yield* Effect.exit(Stream.runDrain(Stream.map(cql`SELECT n`.stream, throwing)))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === thrown)
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
        assert.strictEqual(server.accepted(), accepted)
      }))

    it.effect("the driver never settles what its tracker throws at, the library does not ask that tracker", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", row(1))
        // The typings call it an interface.
        const { RequestTracker } = cassandra.tracker as unknown as { readonly RequestTracker: new() => object }
        class Throwing extends RequestTracker {
          onSuccess(): void {
            throw new Error("of the tracker")
          }
          onError(): void {
            throw new Error("of the tracker")
          }
          shutdown(): void {}
        }
        const requestTracker = new Throwing() as never
        const client = yield* Bare.connect(server, { requestTracker })
        let settled = 0
        const thrown = yield* Bare.uncaught(Effect.sync(() => {
          void client.execute("SELECT n").finally(() => settled++)
        }))
        assert.include(String(thrown), "of the tracker")
        assert.strictEqual(settled, 0)
        const { cql } = yield* connect(server, { driverOptions: { requestTracker } })
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
      }))

    it.effect("the driver lets an address translator that throws fail the connect, the library leaves that node out", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(2)
        servers.on("SELECT n", row(1))
        const [, second] = servers.nodes
        const refusesSecond = (address: string, port: number): string => {
          if (address === second!.host) throw new Error("of the translator")
          return `${address}:${port}`
        }
        const { AddressTranslator } = cassandra.policies.addressResolution as unknown as {
          readonly AddressTranslator: new() => object
        }
        class Throwing extends AddressTranslator {
          translate(address: string, port: number, callback: (endpoint: string) => void): void {
            callback(refusesSecond(address, port))
          }
        }
        const client = yield* Bare.make(servers, { policies: { addressResolution: new Throwing() as never } })
        yield* Bare.failure(() => client.connect())
        const { cql } = yield* connect(servers, { addressTranslator: refusesSecond })
        yield* Effect.forEach(numbered(4), () => cql`SELECT n`)
        assert.strictEqual(second!.received("SELECT n").length, 0)
      }))

    it.effect("the driver has no guard for a policy of load balancing, the library leaves out a node whose nodeFilter throws", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(2)
        servers.on("SELECT n", row(1))
        const [, second] = servers.nodes
        const { cql } = yield* connect(servers, {
          nodeFilter: ({ address }) => {
            if (address === addressOf(second!)) throw new Error("of the filter")
            return true
          }
        })
        yield* Effect.forEach(numbered(4), () => cql`SELECT n`)
        assert.strictEqual(second!.received("SELECT n").length, 0)
        assert.strictEqual(second!.connections(), 0)
      }))

    it.effect("the driver runs a retry policy where a throw may be nobody's, the library's dies with the statement that asked", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : row(1))
        const { cql } = yield* connect(server)
        const accepted = server.accepted()
        const decide = (): never => {
          throw new Error("of the policy")
        }
        const exit = yield* Effect.exit(cql`SELECT n`.pipe(withOptions({ retry: CqlRetry.make({ decide }) })))
        assert.isTrue(Exit.hasDies(exit))
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
        assert.strictEqual(server.accepted(), accepted)
      }))
  })

  describe("3. shutting down", () => {
    it.effect("the driver fails what is in flight, the library lets it end", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const held = hold(server, "SELECT n", row(1))
        const client = yield* Bare.connect(server)
        const failing = yield* Effect.forkChild(Bare.failure(() => client.execute("SELECT n")))
        yield* held.awaitHeld(1)
        yield* run(() => client.shutdown())
        assert.strictEqual((yield* Fiber.join(failing)).message, "Socket was closed")
        yield* held.answer()

        const scope = yield* Scope.fork(yield* Effect.scope)
        const { cql } = yield* Scope.provide(connect(server), scope)
        const statement = yield* Effect.forkChild(cql`SELECT n`)
        yield* held.awaitHeld(1)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* Effect.yieldNow
        yield* held.answer()
        assert.deepStrictEqual(yield* Fiber.join(statement), [{ n: 1 }])
        yield* Fiber.join(closing)
        yield* server.awaitConnections(0)
      }))

    it.effect("the driver that is shut down while it connects stays open, the library that is interrupted leaves nothing", () =>
      Effect.gen(function*() {
        const bareServer = yield* ScriptedServer.make()
        const client = yield* Bare.make(bareServer)
        const connecting = client.connect()
        yield* run(() => client.shutdown())
        yield* run(() => connecting)
        assert.isAbove(bareServer.connections(), 0)

        const server = yield* ScriptedServer.make()
        server.on(() => true, Reply.silence, ["startup"])
        const session = yield* Effect.forkChild(Effect.scoped(connect(server)))
        yield* server.awaitRequest(() => true, 1, ["startup"])
        yield* Fiber.interrupt(session)
        yield* server.awaitConnections(0)
      }))

    it.effect("the driver keeps the timer of its next reconnect, the library none", () =>
      Effect.gen(function*() {
        // No other timer is about so long.
        const delay = 7_654
        const timersLeft = yield* watchTimers(delay)
        const server = yield* ScriptedServer.make()
        const scope = yield* Scope.fork(yield* Effect.scope)
        const session = yield* Scope.provide(
          connect(server, { reconnectDelay: { base: Duration.millis(delay), max: Duration.millis(delay) } }),
          scope
        )
        yield* untilNode("hostDown", session, Effect.andThen(server.refuse, server.dropConnections))
        yield* Effect.sync(timersLeft).pipe(
          Effect.repeat({ until: (left) => left > 0, schedule: Schedule.spaced("5 millis") })
        )
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(timersLeft(), 0)

        yield* server.accept
        const reconnection = new cassandra.policies.reconnection.ConstantReconnectionPolicy(delay)
        const client = yield* Bare.connect(server, { policies: { reconnection } })
        const { promise, resolve } = Promise.withResolvers<void>()
        client.on("log", (_level, _source, message) => {
          if (message.includes("scheduling reconnection")) resolve()
        })
        yield* Effect.andThen(server.refuse, server.dropConnections)
        yield* run(() => promise)
        yield* run(() => client.shutdown())
        assert.isAbove(timersLeft(), 0)
      }))
  })

  describe("4. a data center that there is not", () => {
    it.effect("the driver keeps a socket, shut down or not, the library keeps none and tells the names that there are", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make({ dataCenter: "paris" })
        const client = yield* Bare.make(server, { localDataCenter: "rome" })
        assert.strictEqual((yield* Bare.failure(() => client.connect())).name, "NoHostAvailableError")
        yield* run(() => client.shutdown())
        assert.strictEqual(server.connections(), 1)
        const { field, message } = yield* reasonOf("InvalidConfig")(connect(server, { localDataCenter: "rome" }))
        assert.strictEqual(field, "localDataCenter")
        assert.include(message, "paris")
        yield* server.awaitConnections(1)
      }))
  })

  // A node that is up and says nothing.
  describe("5. nodes that do not answer", () => {
    it.effect("the driver waits for one after the other and then has no host, the library has one deadline and says so", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(3)
        servers.on("SELECT n", Reply.silence)
        const client = yield* Bare.connect(servers)
        const error = yield* Bare.failure(() => client.execute("SELECT n", [], { isIdempotent: true, readTimeout: 50 }))
        assert.strictEqual(error.name, "NoHostAvailableError")
        assert.lengthOf(servers.received("SELECT n"), 3)
        yield* servers.clearRequests

        const { cql } = yield* connect(servers, { ...hasty, timeout: "50 millis" })
        const reason = yield* reasonOf("ClientTimeout")(cql`SELECT n`)
        assert.deepInclude(reason, { phase: "operation", timeoutMillis: 50 })
        assert.lengthOf(servers.received("SELECT n"), 1)
      }))

    it.effect("the driver cannot be interrupted, the library's statement can, and its connection serves others", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const held = hold(server, "SELECT slow")
        server.on("SELECT n", row(1))
        const { cql } = yield* connect(server)
        const accepted = server.accepted()
        const slow = yield* Effect.forkChild(cql`SELECT slow`)
        yield* held.awaitHeld(1)
        yield* Fiber.interrupt(slow)
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
        yield* held.answer()
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
        assert.strictEqual(server.accepted(), accepted)
      }))
  })

  // No node says on demand that it is overloaded.
  describe("6. overloaded nodes", () => {
    const overloaded = Effect.gen(function*() {
      const servers = yield* makeCluster(3)
      servers.on("SELECT n", Reply.overloaded("busy"))
      return servers
    })

    it.effect("the driver asks every node at once and hides why, the library waits before it asks another one", () =>
      Effect.gen(function*() {
        const servers = yield* overloaded
        const client = yield* Bare.connect(servers)
        const error = yield* Bare.failure(() => client.execute("SELECT n", [], { isIdempotent: true }))
        assert.strictEqual(error.name, "NoHostAvailableError")
        assert.isUndefined(error.code)
        assert.deepStrictEqual(servers.nodes.map((node) => node.received("SELECT n").length), [1, 1, 1])
        yield* servers.clearRequests

        const session = yield* connect(servers)
        const decided = Promise.withResolvers<void>()
        const later = CqlRetry.make({
          decide: () => {
            decided.resolve()
            return "retryLater"
          },
          schedule: Schedule.spaced(forEver)
        })
        const { cql } = session
        const statement = yield* Effect.forkChild(
          cql`SELECT n`.pipe(withOptions({ idempotent: true, timeout: "1 hour", retry: later }))
        )
        yield* run(() => decided.promise)
        yield* pingAll(session, servers)
        assert.lengthOf(servers.received("SELECT n"), 1)
        yield* Fiber.interrupt(statement)
      }))

    it.effect("the driver's error has no code of the server, the library's is Overloaded after a bounded number of attempts", () =>
      Effect.gen(function*() {
        const servers = yield* overloaded
        const { cql } = yield* connect(servers)
        const error = yield* Effect.flip(cql`SELECT n`.pipe(withOptions({ idempotent: true })))
        assert.strictEqual(error.reason._tag, "Overloaded")
        assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), numbered(4).map(() => "Overloaded"))
        assert.lengthOf(servers.received("SELECT n"), 4)
      }))

    it.effect("the driver asks no retry policy about a server's error, the library tries again what is idempotent", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const once = () => {
          server.on("SELECT n", ({ attempt }) => attempt === 1 ? Reply.serverError("broken") : row(1))
        }
        type Base = InstanceType<typeof cassandra.policies.retry.RetryPolicy>
        class Always extends cassandra.policies.retry.RetryPolicy {
          override onRequestError(): ReturnType<Base["onRequestError"]> {
            return this.retryResult(cassandra.types.consistencies.one)
          }
        }
        once()
        const client = yield* Bare.connect(server, { policies: { retry: new Always() } })
        const error = yield* Bare.failure(() => client.execute("SELECT n", [], { isIdempotent: true }))
        assert.strictEqual(error.code, 0)
        once()
        const { cql } = yield* connect(server)
        assert.deepStrictEqual(yield* cql`SELECT n`.pipe(withOptions({ idempotent: true })), [{ n: 1 }])
      }))
  })

  // A node that is silent about one request and answers the others.
  describe("7. preparing", () => {
    it.effect("the driver waits until all nodes have prepared, the library asks the node that has", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(2)
        // Of whatever id: that of an answer which is scripted is not known as a text.
        servers.on(() => true, row(1), ["execute"])
        servers.on("SELECT ping", Reply.void)
        // Whichever is asked second.
        const heldOnOne = () => {
          let first: ScriptedServer.ScriptedServer | undefined
          return hold(servers, "SELECT ?", ({ node, query }) => {
            first ??= node
            if (node === first) return undefined
            const id = Buffer.from(query)
            return Reply.prepared({ id, params: [{ name: "a", type: "text" }] })
          }, ["prepare"])
        }
        const held = heldOnOne()
        const client = yield* Bare.connect(servers)
        const execute = yield* Effect.forkChild(run(() => client.execute("SELECT ?", ["a"], prepared)))
        yield* held.awaitHeld(1)
        yield* Effect.forEach(numbered(2), () => run(() => client.execute("SELECT ping")))
        assert.lengthOf(servers.received(() => true, ["execute"]), 0)
        yield* held.answer()
        yield* Fiber.join(execute)

        heldOnOne()
        const { cql } = yield* connect(servers, hasty)
        const node = servers.nodes[0]!.hostId
        assert.deepStrictEqual(yield* cql`SELECT ${"a"}`.pipe(withOptions({ node })), [{ n: 1 }])
      }))

    it.effect("the driver prepares the statements of a batch one after another, the library side by side", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on(() => true, Reply.void, ["batch"])
        server.on("SELECT ping", Reply.void)
        const id = Buffer.from("an id")
        const held = hold(server, /^INSERT/, Reply.prepared({ id, params: [{ name: "a", type: "text" }] }), ["prepare"])
        const client = yield* Bare.connect(server)
        const queries = numbered(2).map((n) => ({ query: `INSERT ${n} ?`, params: ["a"] }))
        const batch = yield* Effect.forkChild(run(() => client.batch(queries, prepared)))
        yield* held.awaitHeld(1)
        yield* run(() => client.execute("SELECT ping"))
        assert.lengthOf(server.received(/^INSERT/, ["prepare"]), 1)
        yield* held.answer()
        yield* held.awaitHeld(1)
        yield* held.answer()
        yield* Fiber.join(batch)

        const { cql } = yield* connect(server, hasty)
        const statements = numbered(2).map((n) => cql`INSERT ${cql.unsafe(String(n))} ${"a"}`)
        const own = yield* Effect.forkChild(Statement.batch(statements))
        yield* held.awaitHeld(2)
        yield* held.answer(2)
        yield* Fiber.join(own)
      }))
  })

  // Only the bytes tell which one was sent.
  describe("8. consistency ANY", () => {
    it.effect("the driver sends ONE in its place, the library sends ANY", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("INSERT n", Reply.void)
        const client = yield* Bare.connect(server)
        yield* run(() => client.execute("INSERT n", [], { consistency: cassandra.types.consistencies.any }))
        const { cql } = yield* connect(server)
        yield* cql`INSERT n`.pipe(withOptions({ consistency: "any" }))
        assert.deepStrictEqual(server.received("INSERT n").map(({ consistency }) => consistency), ["ONE", "ANY"])
      }))
  })

  describe("9. values", () => {
    type Outcome = { readonly stored: unknown } | "refused"

    const wraps = { encoding: { useBigIntAsLong: true } }

    const cases: ReadonlyArray<{
      readonly name: string
      readonly column: string
      readonly value: unknown
      readonly driver: Outcome
      readonly library: Outcome
      readonly options?: Bare.Options
    }> = [
      {
        name: "stores a Map as an empty one, the library stores its entries",
        column: "a_map",
        value: new Map([["a", 1]]),
        driver: { stored: null },
        library: { stored: { a: 1 } }
      },
      {
        name: "stores the text \"false\" as true, the library refuses it",
        column: "a_boolean",
        value: "false",
        driver: { stored: true },
        library: "refused"
      },
      {
        name: "cuts 1.7 to an int, the library refuses it",
        column: "an_int",
        value: 1.7,
        driver: { stored: 1 },
        library: "refused"
      },
      {
        name: "stores an empty text as the int 0, the library refuses it",
        column: "an_int",
        value: "",
        driver: { stored: 0 },
        library: "refused"
      },
      {
        name: "stores an empty list as null, the library stores an empty list",
        column: "a_frozen_list",
        value: [],
        driver: { stored: null },
        library: { stored: [] }
      },
      {
        name: "wraps a bigint of more than 64 bits, the library refuses it",
        column: "a_bigint",
        value: 2n ** 64n + 5n,
        driver: { stored: 5 },
        library: "refused",
        options: wraps
      },
      {
        name: "refuses a bigint unless it is told otherwise, the library stores it",
        column: "a_bigint",
        value: 5n,
        driver: "refused",
        library: { stored: 5 }
      },
      {
        name: "then refuses a number for a bigint, the library stores it",
        column: "a_bigint",
        value: 5,
        driver: "refused",
        library: { stored: 5 },
        options: wraps
      },
      {
        name: "stores a time that is no number as 1970, the library refuses it",
        column: "a_timestamp",
        value: NaN,
        driver: { stored: "1970-01-01 00:00:00.000Z" },
        library: "refused"
      },
      {
        name: "sends three bytes as a uuid, the library refuses them",
        column: "a_uuid",
        value: Buffer.from([1, 2, 3]),
        driver: "refused",
        library: "refused"
      },
      {
        name: "refuses an array of numbers for a vector, the library stores it",
        column: "a_vector",
        value: [1, 2, 3],
        driver: "refused",
        library: { stored: [1, 2, 3] }
      }
    ]

    const storedIn = (column: string, id: number) =>
      Effect.map(
        cql`SELECT toJson(${cql.ident(column)}) AS json FROM encoded WHERE id = ${id}`.one,
        ({ json }) => JSON.parse(json as string)
      )

    for (const [index, { column, driver, library, name, options, value }] of cases.entries()) {
      it.effect(`the driver ${name}`, () =>
        Effect.gen(function*() {
          const client = yield* bareHere(options)
          const bare = 2 * index
          const insert = `INSERT INTO encoded (id, ${column}) VALUES (?, ?)`
          const write = () => client.execute(insert, [bare, value], prepared)
          if (driver === "refused") yield* Bare.failure(write)
          else {
            yield* run(write)
            assert.deepStrictEqual(yield* storedIn(column, bare), driver.stored)
          }
          const own = cql`INSERT INTO encoded (id, ${cql.ident(column)}) VALUES (${bare + 1}, ${value})`
          if (library === "refused") {
            const { parameter } = yield* reasonOf("InvalidParameter")(own)
            assert.strictEqual(parameter, column)
          } else {
            yield* own
            assert.deepStrictEqual(yield* storedIn(column, bare + 1), library.stored)
          }
        }))
    }

    it.effect("the driver sends a number that it has not prepared as a double, the library prepares it", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        const error = yield* Bare.failure(() =>
          client.execute("INSERT INTO encoded (id, an_int) VALUES (1000, ?)", [5])
        )
        assert.strictEqual(error.code, cassandra.types.responseErrorCodes.invalid)
        yield* cql`INSERT INTO encoded (id, an_int) VALUES (1000, ${5})`
        assert.strictEqual(yield* storedIn("an_int", 1000), 5)
      }))

    it.effect("the driver reads a map with numbers as keys into an object, the library into a Map", () =>
      Effect.gen(function*() {
        yield* cql`INSERT INTO encoded (id, by_number) VALUES (1001, {2: 'b', 10: 'j', -1: 'z'})`
        const client = yield* bareHere()
        const { rows } = yield* run(() => client.execute("SELECT by_number FROM encoded WHERE id = 1001"))
        assert.deepStrictEqual(Object.keys(rows[0]!["by_number"]), ["2", "10", "-1"])
        const { by_number } = yield* cql`SELECT by_number FROM encoded WHERE id = 1001`.one
        assert.deepStrictEqual(by_number, new Map([[-1, "z"], [2, "b"], [10, "j"]]))
      }))
  })

  describe("10. names with capitals", () => {
    it.effect("the driver cannot bind a quoted column by its name, the library binds it", () =>
      Effect.gen(function*() {
        const text = "INSERT INTO users (\"userId\", \"displayName\") VALUES (:\"userId\", :\"displayName\")"
        const client = yield* bareHere()
        const error = yield* Bare.failure(() => client.execute(text, { userId: 1, displayName: "Ada" }, prepared))
        assert.include(error.message, "\"userId\" not defined")
        const User = Schema.Struct({ userId: CqlType.Int, displayName: Schema.String })
        yield* cql.statement({ text, request: User })({ userId: 1, displayName: "Ada" })
        const users = yield* cql(User)`SELECT ${cql.columns(User)} FROM users`
        assert.deepStrictEqual(users, [{ userId: 1, displayName: "Ada" }])
      }))
  })

  describe("11. versions of the protocol", () => {
    // Neither compression, nor version 5, nor skipped metadata: that costs time, and no answer differs. The one thing to
    // be seen is how it connects.
    it.effect("the driver begins with a version that Cassandra refuses, the library with the newest that both speak", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        yield* connect(server)
        assert.lengthOf(server.received(() => true, ["startup"]), server.accepted())
      }))
  })

  describe("12. streams", () => {
    // A page that fails in the middle of a result.
    it.effect("the driver's stream fails and then ends as if it were whole, the library's fails alone", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const pages = Reply.pages({ columns: numbers, pages: [[[1]], [[2]]] })
        server.on("SELECT n", (request) => request.pageState === undefined ? pages(request) : Reply.invalid("no"))
        const client = yield* Bare.connect(server)
        const events: Array<string> = []
        yield* run(() => {
          const { promise, resolve } = Promise.withResolvers<void>()
          const stream = client.stream("SELECT n", [], { autoPage: true })
          stream.on("error", () => events.push("error"))
          stream.on("end", () => {
            events.push("end")
            resolve()
          })
          stream.on("data", () => events.push("row"))
          return promise
        })
        assert.deepStrictEqual(events, ["row", "error", "end"])
        const { cql } = yield* connect(server)
        const seen: Array<unknown> = []
        const drained = Stream.runForEach(cql`SELECT n`.stream, ({ n }) => Effect.sync(() => void seen.push(n)))
        assert.strictEqual((yield* reasonOf("InvalidQuery")(drained)).message, "no")
        assert.deepStrictEqual(seen, [1])
      }))

    it.effect("the driver fetches every page of a stream that nobody reads, the library one page ahead", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", Reply.pages({ columns: numbers, pages: numbered(6).map((n) => [[n]]) }))
        const client = yield* Bare.connect(server)
        const stream = client.stream("SELECT n", [], { autoPage: true })
        yield* server.awaitRequest("SELECT n", 6)
        stream.on("data", () => undefined)
        yield* server.clearRequests

        const session = yield* connect(server)
        const asked = yield* Stream.runFold(
          Stream.take(session.cql`SELECT n`.stream, 2),
          () => 0,
          (count) => count + 1
        )
        assert.strictEqual(asked, 2)
        yield* pingAll(session, server)
        assert.isAtMost(server.received("SELECT n").length, 3)
      }))
  })

  describe("13. USE", () => {
    it.effect("the driver moves the whole client to another keyspace, the library refuses the statement", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        yield* run(() => client.execute("SELECT * FROM letters"))
        yield* run(() => client.execute("USE system"))
        const error = yield* Bare.failure(() => client.execute("SELECT * FROM letters"))
        assert.include(error.message, "letters")
        const { message } = yield* reasonOf("InvalidQuery")(cql`USE system`)
        assert.include(message, "cql.ident(keyspace, table)")
        assert.lengthOf(yield* cql`SELECT * FROM letters`, 1)
      }))
  })

  describe("14. TLS", () => {
    it.effect("the driver trusts any certificate, the library only one of an authority that is known", () =>
      Effect.gen(function*() {
        const client = yield* bareHere({ sslOptions: {} })
        yield* run(() => client.execute("SELECT * FROM letters"))
        const options = yield* Session.config
        const { field } = yield* reasonOf("InvalidConfig")(Effect.scoped(Session.make({ ...options, tls: true })))
        assert.strictEqual(field, "tls.ca")
        const driverOptions = { sslOptions: {} }
        yield* reasonOf("InvalidConfig")(Effect.scoped(Session.make({ ...options, tls: false, driverOptions })))
      }))
  })

  // That nodes which share an address collide is the server's: its `system.peers` has one row for an address.
  describe("15. nodes that come back", () => {
    // Events of a cluster whose nodes are away; it takes more than one.
    it.effect("the driver forgets the first of two that come back in the same second, the library asks both", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(3)
        const [, ...others] = servers.nodes
        const session = yield* connect(servers, { reconnectDelay: { base: forEver, max: forEver } })
        for (const node of others) {
          yield* node.refuse
          yield* untilNode("hostDown", session, node.dropConnections)
        }
        for (const node of others) yield* node.accept
        for (const { host, port } of others) {
          yield* servers.pushEvent({ type: "STATUS_CHANGE", change: "UP", address: host, port })
        }
        const areUp = Effect.map(session.cluster.nodes, (nodes) => nodes.every(({ isUp }) => isUp))
        assert.isTrue(yield* areUp.pipe(Effect.repeat({ until: (all) => all, schedule: Schedule.spaced("5 millis") })))
      }))
  })

  describe("16. typings", () => {
    it.effect("the driver wants an instance of what its typings call an interface, the library takes a function", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", row(1))
        const translate = (address: string, port: number) => `${address}:${port}`
        const addressResolution = {
          translate: (address: string, port: number, callback: (endpoint: string) => void) =>
            callback(translate(address, port))
        }
        yield* Bare.failure(async () =>
          new cassandra.Client({
            contactPoints: [server.host],
            policies: { addressResolution: addressResolution as never }
          })
        )
        const { cql } = yield* connect(server, { addressTranslator: translate })
        assert.deepStrictEqual(yield* cql`SELECT n`, [{ n: 1 }])
      }))

    it.effect("the driver has null where its typings have a row, the library's first row is an Option", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        const none = yield* run(() => client.execute("SELECT * FROM letters WHERE id = -1"))
        assert.isNull(none.first())
        assert.isTrue(Option.isNone(yield* cql`SELECT * FROM letters WHERE id = -1`.first))
        const error = yield* Effect.flip(cql`SELECT * FROM letters WHERE id = -1`.one)
        assert.strictEqual(error._tag, "NoSuchElementError")
      }))
  })

  // The first attempt has to fail.
  describe("17. many statements at once", () => {
    it.effect("the driver's executeConcurrent takes no write for idempotent, the library's statements prove it", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const once = () => {
          server.on(/^INSERT/, ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : Reply.void, ["execute"])
        }
        once()
        const client = yield* Bare.connect(server)
        const text = "INSERT INTO t (id) VALUES (?)"
        const error = yield* Bare.failure(() =>
          cassandra.concurrent.executeConcurrent(client, text, [["a"], ["b"]], { executionProfile: "default" })
        )
        assert.strictEqual(error.code, cassandra.types.responseErrorCodes.overloaded)
        once()
        const { cql } = yield* connect(server)
        yield* Effect.forEach(["a", "b"], (id) => cql`INSERT INTO t (id) VALUES (${id})`, { concurrency: 2 })
      }))
  })

  // Answers that are kept back.
  describe("18. busy connections", () => {
    it.effect("the driver refuses what its connections do not take, the library lets it wait", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const held = hold(server, "SELECT n", row(1))
        const client = yield* Bare.connect(server, { pooling: { maxRequestsPerConnection: 2 } })
        const two = yield* Effect.forkChild(
          Effect.forEach([1, 2], () => run(() => client.execute("SELECT n")), allAtOnce)
        )
        yield* held.awaitHeld(2)
        const error = yield* Bare.failure(() => client.execute("SELECT n"))
        assert.deepStrictEqual(Bare.innerErrors(error).map(({ name }) => name), ["BusyConnectionError"])
        yield* held.answer(2)
        yield* Fiber.join(two)

        const { cql } = yield* connect(server, { maxRequestsPerConnection: 4 })
        const ten = yield* Effect.forkChild(Effect.forEach(numbered(10), () => cql`SELECT n`.one, allAtOnce))
        for (const _ of numbered(5)) {
          yield* held.awaitHeld(2)
          yield* held.answer(2)
        }
        assert.deepStrictEqual(yield* Fiber.join(ten), numbered(10).map(() => ({ n: 1 })))
        assert.strictEqual(held.most(), 2)
      }))
  })

  // Counts what is prepared, and forgets it on demand.
  describe("19. the cache of prepared statements", () => {
    const makeServer = Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/^SELECT/, row(1), ["execute"])
      server.on(/^SELECT bad/, Reply.syntax("no"), ["prepare"])
      return server
    })

    const timesPrepared = (server: ScriptedServer.ScriptedServer, text: string) =>
      server.received(text, ["prepare"]).length

    /** The same by both: what is executed with a value. */
    const byDriver = (client: Client) => (text: string) =>
      Effect.exit(Effect.tryPromise(() => client.execute(`${text} ?`, ["a"], prepared)))

    const byLibrary = ({ cql }: Session["Service"]) => (text: string) => Effect.exit(cql`${cql.unsafe(text)} ${"a"}`)

    it.effect("the driver drops good statements for bad ones, the library keeps them", () =>
      Effect.gen(function*() {
        const server = yield* makeServer
        const all = ["SELECT good", ...numbered(10).map((n) => `SELECT bad${n}`), "SELECT good"]
        const client = yield* Bare.connect(server, { maxPrepared: 4 })
        yield* Effect.forEach(all, byDriver(client))
        assert.strictEqual(timesPrepared(server, "SELECT good ?"), 2)
        yield* server.clearRequests
        const session = yield* connect(server, { maxPrepared: 4 })
        yield* Effect.forEach(all, byLibrary(session))
        assert.strictEqual(timesPrepared(server, "SELECT good ?"), 1)
      }))

    it.effect("the driver drops the statement that was prepared first, the library the one that was used longest ago", () =>
      Effect.gen(function*() {
        const server = yield* makeServer
        const all = ["a", "b", "c", "d", "b", "e", "b"].map((name) => `SELECT ${name}`)
        const client = yield* Bare.connect(server, { maxPrepared: 3 })
        yield* Effect.forEach(all, byDriver(client))
        assert.strictEqual(timesPrepared(server, "SELECT b ?"), 2)
        yield* server.clearRequests
        const session = yield* connect(server, { maxPrepared: 3 })
        yield* Effect.forEach(all, byLibrary(session))
        assert.strictEqual(timesPrepared(server, "SELECT b ?"), 1)
      }))

    it.effect("the driver has no text for what a node forgot once it was dropped, the library prepares it again", () =>
      Effect.gen(function*() {
        const server = yield* makeServer
        const heldOnce = () =>
          hold(
            server,
            "SELECT a ?",
            ({ attempt, preparedId }) => attempt === 1 ? Reply.unprepared(preparedId!) : undefined
          )
        const others = numbered(5).map((n) => `SELECT other${n}`)
        const held = heldOnce()
        const client = yield* Bare.connect(server, { maxPrepared: 1 })
        const failing = yield* Effect.forkChild(Bare.failure(() => client.execute("SELECT a ?", ["a"], prepared)))
        yield* held.awaitHeld(1)
        yield* Effect.forEach(others, byDriver(client))
        yield* held.answer()
        assert.strictEqual((yield* Fiber.join(failing)).name, "DriverInternalError")

        const again = heldOnce()
        const session = yield* connect(server, { maxPrepared: 1 })
        const statement = yield* Effect.forkChild(session.cql`SELECT a ${"a"}`)
        yield* again.awaitHeld(1)
        yield* Effect.forEach(others, byLibrary(session))
        yield* again.answer()
        assert.deepStrictEqual(yield* Fiber.join(statement), [{ n: 1 }])
      }))
  })

  describe("20. a column that is gone", () => {
    it.effect("the driver says that no host is available, the library what the server says", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        const execute = () => client.execute("SELECT kept, dropped FROM altered WHERE id = ?", [1], prepared)
        const select = cql`SELECT kept, dropped FROM altered WHERE id = ${1}`
        yield* run(execute)
        yield* select
        yield* cql`ALTER TABLE altered DROP dropped`
        const error = yield* Bare.failure(execute)
        assert.strictEqual(error.name, "NoHostAvailableError")
        assert.notInclude(JSON.stringify(Bare.innerErrors(error).map(({ message }) => message)), "dropped")
        const { message } = yield* reasonOf("InvalidQuery")(select)
        assert.match(message, /undefined column name dropped/i)
      }))
  })

  describe("21. two clients of one set of options", () => {
    it.effect("the driver's first client cannot ask any more when the second closes, the library's session can", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", row(1))
        const loadBalancing = new cassandra.policies.loadBalancing.DCAwareRoundRobinPolicy("datacenter1")
        const shared = { profiles: [new cassandra.ExecutionProfile("default", { loadBalancing })] }
        const client = yield* Bare.connect(server, shared)
        yield* Effect.scoped(Bare.connect(server, shared))
        assert.strictEqual((yield* Bare.failure(() => client.execute("SELECT n"))).name, "NoHostAvailableError")

        const options = {
          profiles: { fast: { timeout: "5 seconds" } },
          nodeFilter: () => true,
          retry: CqlRetry.standard
        } as const
        const { cql } = yield* connect(server, options)
        yield* Effect.scoped(connect(server, options))
        assert.deepStrictEqual(yield* cql`SELECT n`.pipe(withOptions({ profile: "fast" })), [{ n: 1 }])
      }))
  })

  // One node fails while the other one is slow.
  describe("22. asking two nodes", () => {
    it.effect("the driver fails with the first error of two nodes, the library waits for the other's answer", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster(2)
        const heldOnBoth = () =>
          hold(servers, "SELECT n", ({ attempt }) => attempt === 1 ? Reply.overloaded("busy") : row(1))
        const { FallthroughRetryPolicy } = cassandra.policies.retry
        const { ConstantSpeculativeExecutionPolicy } = cassandra.policies.speculativeExecution
        const client = yield* Bare.connect(servers, {
          policies: {
            retry: new FallthroughRetryPolicy(),
            speculativeExecution: new ConstantSpeculativeExecutionPolicy(1, 1)
          }
        })
        const held = heldOnBoth()
        const failing = yield* Effect.forkChild(
          Bare.failure(() => client.execute("SELECT n", [], { isIdempotent: true }))
        )
        yield* held.awaitHeld(2)
        yield* held.answer()
        assert.strictEqual((yield* Fiber.join(failing)).code, cassandra.types.responseErrorCodes.overloaded)
        yield* held.answer()

        const { cql } = yield* connect(servers)
        const again = heldOnBoth()
        const hedged = yield* Effect.forkChild(
          cql`SELECT n`.pipe(withOptions({ idempotent: true, hedge: { delay: "1 millis" }, retry: CqlRetry.none }))
        )
        yield* again.awaitHeld(2)
        yield* again.answer()
        yield* again.answer()
        assert.deepStrictEqual(yield* Fiber.join(hedged), [{ n: 1 }])
      }))
  })

  // A server that keeps its connections and says nothing.
  describe("23. silent connections", () => {
    const everyKind = ["query", "execute", "batch", "prepare", "options", "startup", "register", "system"] as const

    it.effect("the driver waits for ever with a readTimeout of 0, the library refuses a limit of 0", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", Reply.silence)
        const client = yield* Bare.connect(server)
        let settled = false
        void client.execute("SELECT n", [], { readTimeout: 0 }).then(() => undefined, () => undefined).finally(() => {
          settled = true
        })
        const { cql } = yield* connect(server, hasty)
        const limited = withOptions({ attemptTimeout: "50 millis", retry: CqlRetry.none })
        assert.strictEqual((yield* reasonOf("ClientTimeout")(limited(cql`SELECT n`))).phase, "attempt")
        assert.isFalse(settled)
        for (const field of ["attemptTimeout", "timeout"] as const) {
          const reason = yield* reasonOf("InvalidConfig")(cql`SELECT n`.pipe(withOptions({ [field]: 0 })))
          assert.strictEqual(reason.field, field)
        }
      }))

    it.effect("the driver takes each request for a sign of life, the library gives up a connection that is used in vain", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const session = yield* connect(server, {
          ...hasty,
          socketConnectTimeout: "200 millis",
          heartbeatInterval: "300 millis",
          driverOptions: { socketOptions: { readTimeout: 200 } }
        })
        const scope = yield* Effect.scope
        const use = Effect.forever(Effect.exit(session.cql`SELECT n`)).pipe(
          provideOptions({ attemptTimeout: "100 millis", timeout: "100 millis" })
        )
        const begin = Effect.gen(function*() {
          server.on(() => true, Reply.silence, everyKind)
          yield* Effect.forkIn(use, scope)
        })
        yield* untilNode("hostDown", session, begin)
        // After so many the driver itself gives it up.
        assert.isBelow(server.received("SELECT n").length, 64)
      }))
  })

  describe("24. no connections at all", () => {
    it.effect("the driver takes a node without connections for up, the library refuses to have none", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        server.on("SELECT n", row(1))
        const { local } = cassandra.types.distance
        const none = { coreConnectionsPerHost: { [local]: 0 } }
        const client = yield* Bare.connect(server, { pooling: none })
        yield* server.refuse
        yield* server.dropConnections
        yield* Bare.failure(() => client.execute("SELECT n"))
        assert.deepStrictEqual(client.hosts.values().map((host) => host.isUp()), [true])
        yield* server.accept
        const reason = yield* reasonOf("InvalidConfig")(connect(server, { connectionsPerNode: 0 }))
        assert.strictEqual(reason.field, "connectionsPerNode")
      }))
  })

  describe("25. values in messages", () => {
    it.effect("the driver's error repeats a value that the server could not read, the library's does not", () =>
      Effect.gen(function*() {
        const secret = "a-secret-value"
        const json = JSON.stringify({ id: secret, letter: "a" })
        const client = yield* bareHere()
        const error = yield* Bare.failure(() => client.execute("INSERT INTO letters JSON ?", [json], prepared))
        assert.include(error.message, secret)
        const own = yield* Effect.flip(cql`INSERT INTO letters JSON ${json}`)
        assert.strictEqual(own.reason._tag, "InvalidQuery")
        assert.notInclude(own.message, secret)
      }))

    it.effect("the driver's error repeats a value that it could not convert, the library's names its place", () =>
      Effect.gen(function*() {
        const secret = "a-secret-value"
        const client = yield* bareHere({ encoding: { useBigIntAsLong: true } })
        const insert = "INSERT INTO encoded (id, a_bigint) VALUES (1, ?)"
        const error = yield* Bare.failure(() => client.execute(insert, [secret], prepared))
        assert.include(error.message, secret)
        const reason = yield* reasonOf("InvalidParameter")(
          cql`INSERT INTO encoded (id, a_bigint) VALUES (1, ${secret})`
        )
        assert.notInclude(reason.message, secret)
        assert.include(reason.message, "a_bigint")
      }))
  })

  describe("26. page states", () => {
    it.effect("the driver begins in the middle of another partition with a page state that is not of it, the library refuses it", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        const select = (sensor: number, pageState?: string) =>
          run(() =>
            client.execute("SELECT at FROM readings WHERE sensor = ?", [sensor], {
              ...prepared,
              fetchSize: 2,
              ...(pageState === undefined ? {} : { pageState })
            })
          )
        const first = yield* select(1)
        assert.lengthOf(first.rows, 2)
        const ofOther = yield* select(2, first.pageState)
        assert.notDeepEqual(ofOther.rows.map((row) => row["at"]), [0, 1])

        const readings = (sensor: number) =>
          cql`SELECT at FROM readings WHERE sensor = ${sensor}`.pipe(withOptions({ pageSize: 2 }))
        const page = Option.getOrThrow(yield* Stream.runHead(readings(1).pages))
        const from = page.next!
        yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.pages(readings(2), { from })))
        yield* reasonOf("InvalidPageState")(
          Stream.runDrain(CqlStream.pages(cql`SELECT * FROM letters`.pipe(withOptions({ pageSize: 2 })), { from }))
        )
        const rest = yield* Stream.runCollect(CqlStream.rows(readings(1), { from }))
        assert.deepStrictEqual(rest.map(({ at }) => at), [2, 3, 4, 5])
      }))
  })

  describe("27. the keyspace of a statement", () => {
    it.effect("the driver takes a statement's keyspace for routing alone, the library has a session for each", () =>
      Effect.gen(function*() {
        const client = yield* bareHere()
        const error = yield* Bare.failure(() =>
          client.execute("SELECT key FROM local", [], { ...prepared, keyspace: "system" })
        )
        assert.include(error.message, "local")
        const system = yield* Session.makeFrom({ keyspace: "system" })
        const [key, letters] = yield* Effect.all([
          system.cql`SELECT key FROM local`.one,
          cql`SELECT letter FROM letters WHERE id = ${1}`.one
        ], allAtOnce)
        assert.deepStrictEqual([key, letters], [{ key: "local" }, { letter: "a" }])
      }))
  })

  // Two data centers, and a node that goes.
  describe("28. one node that is asked for", () => {
    it.effect("the driver does not say why it asks no node, the library says it of the node", () =>
      Effect.gen(function*() {
        const servers = yield* makeCluster([{ dataCenter: "paris" }, { dataCenter: "oslo" }, { dataCenter: "paris" }])
        servers.on("SELECT n", row(1))
        const [, oslo, down] = servers.nodes
        const client = yield* Bare.connect(servers, { localDataCenter: "paris" })
        const host = client.hosts.values().find(({ address }) => address === addressOf(oslo!))!
        const error = yield* Bare.failure(() => client.execute("SELECT n", [], { host }))
        assert.strictEqual(error.name, "NoHostAvailableError")
        assert.notInclude(error.message, oslo!.host)

        const session = yield* connect(servers, { localDataCenter: "paris" })
        yield* down!.refuse
        yield* untilNode("hostDown", session, down!.dropConnections)
        for (const [node, why] of [[oslo!, "no connection is open"], [down!, "down"]] as const) {
          const select = session.cql`SELECT n`.pipe(withOptions({ node: addressOf(node) }))
          const { message, nodes } = yield* reasonOf("NoHostAvailable")(select)
          assert.deepStrictEqual(nodes, [{ node: addressOf(node), error: why }])
          assert.include(message, addressOf(node))
        }
      }))
  })

  describe("29. tokens", () => {
    it.effect("the driver cannot bind a token that it gave, and the server has no sizes of a new table: the library scans it all", () =>
      Effect.gen(function*() {
        const client = yield* bareHere({ encoding: { useBigIntAsLong: true } })
        const [range] = client.metadata.getTokenRanges()
        yield* Bare.failure(() =>
          client.execute("SELECT sensor FROM readings WHERE token(sensor) > ?", [range!.start.getValue()], prepared)
        )
        const { keyspace } = yield* Session
        const sizes = yield* cql`SELECT * FROM system.size_estimates
          WHERE keyspace_name = ${keyspace} AND table_name = ${"readings"}`
        assert.lengthOf(sizes, 0)
        assert.strictEqual(yield* CqlStream.count({ table: "readings" }), 12n)
        const rows = yield* Stream.runCollect(CqlStream.scan({ table: "readings" }))
        assert.lengthOf(new Set(rows.map(({ at, sensor }) => `${sensor} ${at}`)), 12)
      }))
  })
})
