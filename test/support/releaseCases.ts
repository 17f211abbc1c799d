/**
 * Ways in which a session begins, fails and ends. After each of them nothing may be left: see `releaseProgram.ts`,
 * which runs one of them in a process of its own.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Assert from "node:assert/strict"
import type { CqlError } from "../../src/index.ts"
import { Cluster, CqlRetry, Health, Session } from "../../src/index.ts"
import * as Reply from "./Reply.ts"
import * as ScriptedServer from "./ScriptedServer.ts"
import * as TcpProxy from "./TcpProxy.ts"

interface Endpoint {
  readonly host: string
  readonly port: number
}

/** Whatever sessions are opened on: it is closed only after the last look. */
interface Server {
  readonly awaitConnections: (count: number) => Effect.Effect<void>
}

// --- looking for what is left

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const difference = (all: ReadonlyArray<string>, known: ReadonlyArray<string>): ReadonlyArray<string> => {
  const left = [...all]
  for (const name of known) {
    const index = left.indexOf(name)
    if (index >= 0) left.splice(index, 1)
  }
  return left
}

/** Runs `body`, and then finds the resources of this process as they were, and no connection at the server. */
const leavesNothing = (server: Server, body: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function*() {
    // Made when they are first used, and used by the first warning.
    void [process.stdout, process.stderr]
    const before = process.getActiveResourcesInfo()
    yield* Effect.scoped(body)
    yield* server.awaitConnections(0)
    // A handle that is closed counts until the end of the event loop's turn.
    yield* turn
    yield* turn
    Assert.deepEqual(difference(process.getActiveResourcesInfo(), before), [])
  })

const onScripted = (
  body: (server: ScriptedServer.ScriptedServer) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options?: ScriptedServer.ServerOptions
) =>
  Effect.gen(function*() {
    const server = yield* ScriptedServer.make(options)
    yield* leavesNothing(server, body(server))
  })

const onScriptedCluster = (
  nodes: number,
  body: (cluster: ScriptedServer.Cluster) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  Effect.gen(function*() {
    const cluster = yield* ScriptedServer.makeCluster({ nodes })
    const awaitConnections = (count: number) => Effect.forEach(cluster.nodes, (node) => node.awaitConnections(count))
    yield* leavesNothing({ awaitConnections: (count) => Effect.asVoid(awaitConnections(count)) }, body(cluster))
  })

const onReal = (
  body: (options: Session.Options, proxy: TcpProxy.TcpProxy) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  Effect.gen(function*() {
    const options = yield* Session.config
    const [point = ""] = options.contactPoints ?? []
    const [host = "", port] = point.split(":")
    const proxy = yield* TcpProxy.make({ target: { host, port: Number(port ?? options.port ?? 9042) } })
    const throughProxy = { contactPoints: [`${proxy.host}:${proxy.port}`], port: proxy.port, tls: false }
    yield* leavesNothing(proxy, body({ ...options, ...throughProxy }, proxy))
  })

// --- parts of cases

// Far longer than any case lasts: a timer of the driver's that is left behind is still there when it is looked for.
const patient: Cluster.Options = {
  reconnectDelay: { base: "10 minutes", max: "10 minutes" },
  heartbeatInterval: "10 minutes",
  socketConnectTimeout: "10 minutes",
  connectTimeout: "20 minutes"
}

const inBackground: Cluster.Options = { connectInBackground: true }

const optionsFor = (server: Endpoint, options: Session.Options = {}): Session.Options => ({
  contactPoints: [`${server.host}:${server.port}`],
  port: server.port,
  ...patient,
  ...options
})

const open = (server: Endpoint, options?: Session.Options) => Session.make(optionsFor(server, options))

const failsWith = (
  tag: CqlError["reason"]["_tag"],
  effect: Effect.Effect<unknown, CqlError, Scope.Scope>
): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.map(Effect.flip(effect), ({ message, reason }) => Assert.equal(reason._tag, tag, message))

const startAndInterrupt = <A, E, R>(effect: Effect.Effect<A, E, R>, when: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect))
    yield* when
    yield* Fiber.interrupt(fiber)
  })

const repeat = (times: number, effect: Effect.Effect<unknown, unknown>) =>
  Effect.forEach(Array.from({ length: times }), () => effect, { discard: true })

/** Everything that a client waits for while it connects, in order. */
const stages: ReadonlyArray<readonly [match: ScriptedServer.Match, kind: ScriptedServer.Kind]> = [
  ["STARTUP", "startup"],
  ["OPTIONS", "options"],
  [/system\.local/, "system"],
  [/system\.peers/, "system"],
  [/system_schema\.keyspaces/, "system"],
  ["REGISTER", "register"],
  [/^USE/, "system"],
  // Of the second connection.
  [(_, { connection, kind }) => kind === "startup" && connection.id % 2 === 0, "startup"]
]

const atEveryStage = (
  body: (
    server: ScriptedServer.ScriptedServer,
    reached: Effect.Effect<unknown>,
    options: Session.Options
  ) => Effect.Effect<unknown, unknown, Scope.Scope>,
  reply: Reply.Reply
) =>
  Effect.forEach(stages, ([match, kind]) =>
    onScripted((server) => {
      server.on(match, reply, [kind])
      return body(server, server.awaitRequest(match, 1, [kind]), { keyspace: "shop", connectionsPerNode: 2 })
    }), { discard: true })

const closeNow = (scope: Scope.Closeable) => Scope.close(scope, Exit.void)

/** A session whose scope the case closes itself. */
const openIn = (server: Endpoint, options?: Session.Options) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const session = yield* Scope.provide(open(server, options), scope)
    return { session, close: closeNow(scope) }
  })

const nodeIsDown = ({ cluster }: Session["Service"]) =>
  cluster.use((client) =>
    new Promise<void>((resolve) => {
      if (client.hosts.values().some((host) => !host.isUp())) resolve()
      else client.once("hostDown", () => resolve())
    })
  )

interface ControlConnection extends NodeJS.EventEmitter {
  readonly _refreshHosts: (initializing: boolean, isReconnecting: boolean) => Promise<void>
}

const withControlConnection = <A>({ cluster }: Session["Service"], f: (control: ControlConnection) => Promise<A>) =>
  cluster.use((client) => f((client as unknown as { readonly controlConnection: ControlConnection }).controlConnection))

/** The control connection was lost, and there is another, or a timer is set for the next try. */
const controlConnectionRefreshed = (session: Session["Service"]) =>
  withControlConnection(session, (control) => new Promise((resolve) => control.once("newConnection", resolve)))

/** Looks for nodes that have come and gone; by itself the driver does ten seconds after an event. */
const refreshNodes = (session: Session["Service"]) =>
  withControlConnection(session, (control) => control._refreshHosts(false, false))

const noPeers = Reply.rows({ columns: [{ name: "peer", type: "inet" }], rows: [] })

/** Both nodes are asked, and the second never answers. */
const askSecond = Effect.fnUntraced(function*(cluster: ScriptedServer.Cluster, { cql }: Session["Service"]) {
  cluster.on("SELECT 1", Reply.void)
  cluster.nodes[1]!.on("SELECT 1", Reply.silence)
  const asked = yield* Effect.forkChild(Effect.forEach([1, 2], () => Effect.exit(cql`SELECT 1`), { concurrency: 2 }))
  yield* cluster.nodes[1]!.awaitRequest("SELECT 1")
  return asked
})

const removeSecond = Effect.fnUntraced(function*(cluster: ScriptedServer.Cluster, session: Session["Service"]) {
  cluster.on(/system\.peers/, noPeers, ["system"])
  yield* refreshNodes(session)
  Assert.equal((yield* session.cluster.nodes).length, 1)
})

const healthQuestion = "SELECT key FROM system.local"

const watch = (session: Session["Service"]) =>
  Effect.provideService(Health.make({ interval: "10 minutes", timeout: "100 millis" }), Session, session)

// --- cases

const scripted = {
  "200 sessions, one after another": onScripted((server) =>
    repeat(200, Effect.scoped(open(server, { keyspace: "shop", connectionsPerNode: 2 })))
  ),

  "a port that refuses": onScripted((server) =>
    Effect.andThen(server.refuse, failsWith("NoHostAvailable", open(server)))
  ),

  "a server that accepts and stays silent until connectTimeout": Effect.gen(function*() {
    const proxy = yield* TcpProxy.make({ target: yield* ScriptedServer.make() })
    yield* proxy.pause
    const connect = failsWith("ClientTimeout", open(proxy, { connectTimeout: "100 millis" }))
    yield* leavesNothing(proxy, Effect.andThen(connect, proxy.resume))
  }),

  "a server that is silent in the middle of connecting, until connectTimeout": atEveryStage(
    (server, _, options) =>
      Effect.andThen(
        failsWith("ClientTimeout", open(server, { ...options, connectTimeout: "100 millis" })),
        // At once, and not only when the scope ends in which it was tried.
        server.awaitConnections(0)
      ),
    Reply.silence
  ),

  "a connect that is interrupted before the socket is open": onScripted((server) =>
    repeat(20, Effect.scoped(startAndInterrupt(open(server), Effect.yieldNow)))
  ),

  "a connect that is interrupted in the middle": atEveryStage(
    (server, reached, options) =>
      Effect.andThen(startAndInterrupt(open(server, options), reached), server.awaitConnections(0)),
    Reply.silence
  ),

  "a connect during which the socket is cut": atEveryStage(
    (server, _, options) => Effect.exit(open(server, options)),
    Reply.close
  ),

  "an unknown local data center": onScripted((server) =>
    failsWith("InvalidConfig", open(server, { localDataCenter: "nowhere" }))
  ),

  "a wrong password": onScripted(
    (server) => failsWith("AuthenticationError", open(server, { username: "ada", password: Redacted.make("wrong") })),
    {
      authenticate: { username: "ada", password: "engine" }
    }
  ),

  "no credentials where some are asked for": onScripted(
    (server) => failsWith("AuthenticationError", open(server)),
    { authenticate: { username: "ada", password: "engine" } }
  ),

  "a keyspace that does not exist": onScripted((server) => {
    server.on(/^USE/, Reply.invalid("Keyspace 'nowhere' does not exist"), ["system"])
    return failsWith("InvalidQuery", open(server, { keyspace: "nowhere" }))
  }),

  "a keyspace that does not exist, and a change of the schema before that is known": onScripted((server) => {
    const event = { type: "SCHEMA_CHANGE", change: "CREATED", target: "KEYSPACE", keyspace: "shop" } as const
    server.on(/^USE/, Reply.delay(server.pushEvent(event), Reply.invalid("Keyspace 'nowhere' does not exist")), [
      "system"
    ])
    return failsWith("InvalidQuery", open(server, { keyspace: "nowhere" }))
  }, { keyspaces: { shop: { class: "SimpleStrategy" } } }),

  "a name that cannot be resolved": onScripted((server) =>
    failsWith("NoHostAvailable", open(server, { contactPoints: ["no-such-host.invalid"] }))
  ),

  "TLS with a server that speaks none": onScripted((server) =>
    failsWith("NoHostAvailable", open(server, { tls: true, socketConnectTimeout: "100 millis" }))
  ),

  "a connect that is tried again by a schedule and fails each time": onScripted((server) =>
    Effect.gen(function*() {
      server.on("STARTUP", Reply.bootstrapping("not yet"), ["startup"])
      yield* failsWith("Bootstrapping", open(server, { connectSchedule: Schedule.recurs(5) }))
      Assert.equal(server.accepted(), 6)
    })
  ),

  "the control connection lost, its next try far off": onScripted((server) =>
    Effect.gen(function*() {
      const session = yield* open(server)
      const lost = yield* Effect.forkChild(controlConnectionRefreshed(session))
      yield* Effect.yieldNow
      yield* server.refuse
      yield* server.dropConnections
      yield* Fiber.join(lost)
      // And the timer is set.
      yield* turn
    })
  ),

  "the control connection lost, with other connections open": onScripted((server) =>
    Effect.gen(function*() {
      const session = yield* open(server, { connectionsPerNode: 3 })
      const reconnected = yield* Effect.forkChild(controlConnectionRefreshed(session))
      yield* Effect.yieldNow
      const [control] = server.received("REGISTER", ["register"])
      yield* control!.connection.destroy
      yield* Fiber.join(reconnected)
    })
  ),

  "the control connection cut while it is being restored": onScripted((server) =>
    Effect.gen(function*() {
      yield* open(server, { connectionsPerNode: 3, reconnectDelay: { base: "1 millis", max: "1 millis" } })
      server.on(/system\.local/, Reply.silence, ["system"])
      const [control] = server.received("REGISTER", ["register"])
      yield* server.clearRequests
      yield* control!.connection.destroy
      yield* server.awaitRequest(/system\.local/, 1, ["system"])
    })
  ),

  "a connection cut, and being opened again": onScripted((server) =>
    Effect.gen(function*() {
      yield* open(server, { connectionsPerNode: 2, reconnectDelay: { base: "1 millis", max: "1 millis" } })
      server.on("STARTUP", Reply.silence, ["startup"])
      yield* server.clearRequests
      yield* server.dropConnections
      yield* server.awaitRequest("STARTUP", 1, ["startup"])
    })
  ),

  "a connection cut, and the socket of the next not yet open": onScripted((server) =>
    Effect.gen(function*() {
      const session = yield* open(server, { reconnectDelay: { base: "1 millis", max: "1 millis" } })
      yield* server.dropConnections
      yield* nodeIsDown(session)
    })
  ),

  "one node down, its next try far off": onScriptedCluster(3, (cluster) =>
    Effect.gen(function*() {
      const session = yield* open(cluster)
      yield* cluster.nodes[1]!.refuse
      yield* cluster.nodes[1]!.dropConnections
      yield* nodeIsDown(session)
    })),

  "a node that was never there": onScriptedCluster(3, (cluster) =>
    Effect.gen(function*() {
      yield* cluster.nodes[1]!.refuse
      yield* open(cluster)
    })),

  "a node removed from the cluster": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      const session = yield* open(cluster)
      yield* removeSecond(cluster, session)
    })),

  "a node removed from the cluster while it owes an answer": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      const session = yield* open(cluster, { shutdownTimeout: "10 millis" })
      const asked = yield* askSecond(cluster, session)
      yield* removeSecond(cluster, session)
      yield* Fiber.interrupt(asked)
    })),

  "a node removed from the cluster, that closes its connection and owes an answer": onScriptedCluster(
    2,
    (cluster) =>
      Effect.gen(function*() {
        const session = yield* open(cluster)
        const asked = yield* askSecond(cluster, session)
        yield* removeSecond(cluster, session)
        yield* cluster.nodes[1]!.dropConnections
        yield* Fiber.join(asked)
      })
  ),

  "events of nodes and schemas that were not yet acted on": onScripted((server) =>
    Effect.gen(function*() {
      server.on("SELECT 1", Reply.void)
      const { cql } = yield* open(server)
      const { host: address, port } = server
      yield* server.pushEvent({ type: "TOPOLOGY_CHANGE", change: "NEW_NODE", address, port })
      yield* server.pushEvent({ type: "STATUS_CHANGE", change: "UP", address, port })
      yield* server.pushEvent({ type: "SCHEMA_CHANGE", change: "CREATED", target: "KEYSPACE", keyspace: "shop" })
      // Its answer comes after the events.
      yield* cql`SELECT 1`
    }), { keyspaces: { shop: { class: "SimpleStrategy" } } }),

  "a schema change that the nodes do not agree on": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      cluster.on(/^CREATE/, Reply.schemaChange({ change: "CREATED", target: "KEYSPACE", keyspace: "shop" }))
      const version = (id: number) => `00000000-0000-4000-8000-00000000000${id}`
      cluster.on(/schema_version/, ({ query }) =>
        Reply.rows({
          columns: [{ name: "schema_version", type: "uuid" }],
          rows: [[version(query.includes("peers") ? 1 : 2)]]
        }), ["system"])
      const { cql } = yield* open(cluster, { shutdownTimeout: "10 millis" })
      const created = yield* Effect.forkChild(Effect.exit(cql`CREATE KEYSPACE shop`))
      yield* cluster.awaitRequest(/schema_version FROM system.peers/, 1, ["system"])
      // Its answer is read, and the pause before the next look has begun.
      cluster.on("SELECT 1", Reply.void)
      yield* Effect.forEach([1, 2, 3, 4], () => cql`SELECT 1`)
      yield* Effect.forkScoped(Fiber.await(created))
    })),

  "a node that has just been added": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      const showPeers = cluster.on(/system\.peers/, noPeers, ["system"])
      const session = yield* open(cluster, { reconnectDelay: { base: "1 millis", max: "1 millis" } })
      cluster.on("STARTUP", Reply.silence, ["startup"])
      showPeers()
      yield* refreshNodes(session)
      yield* cluster.nodes[1]!.awaitRequest("STARTUP", 1, ["startup"])
    })),

  "requests in flight and waiting, none of them ever answered": onScripted((server) =>
    Effect.gen(function*() {
      server.on(/^SELECT/, Reply.silence)
      server.on(/\?/, Reply.silence, ["prepare"])
      const { close, session: { cql } } = yield* openIn(server, { maxInFlight: 2, shutdownTimeout: "50 millis" })
      const all = yield* Effect.forEach(
        [cql`SELECT 1`, cql`INSERT ${1}`, cql`SELECT 2`, cql`INSERT ${2}`],
        (statement) => Effect.forkChild(Effect.exit(statement))
      )
      yield* server.awaitRequest("SELECT 1")
      yield* server.awaitRequest(/^INSERT/, 1, ["prepare"])
      yield* close
      const exits = yield* Fiber.joinAll(all)
      Assert.equal(exits.filter(Exit.isFailure).length, 4)
    })
  ),

  "a statement that was interrupted and never answered": onScripted((server) =>
    Effect.gen(function*() {
      server.on(/^SELECT/, Reply.silence)
      const { cql } = yield* open(server, { shutdownTimeout: "50 millis" })
      yield* startAndInterrupt(cql`SELECT 1`, server.awaitRequest("SELECT 1"))
    })
  ),

  "a stream that was left in the middle": onScripted((server) =>
    Effect.gen(function*() {
      const columns = [{ name: "n", type: "int" }]
      server.on("SELECT n", Reply.pages({ columns, pages: [[[1]], [[2]], [[3]], [[4]], [[5]]] }))
      const { cql } = yield* open(server)
      yield* Stream.runDrain(Stream.take(cql`SELECT n`.stream, 2))
    })
  ),

  "a server that is frozen when the session closes": Effect.gen(function*() {
    const server = yield* ScriptedServer.make()
    server.on(/^SELECT/, Reply.silence)
    const proxy = yield* TcpProxy.make({ target: server })
    const body = Effect.gen(function*() {
      const { close, session: { cql } } = yield* openIn(proxy, { connectionsPerNode: 2, shutdownTimeout: "50 millis" })
      const asked = yield* Effect.forkChild(Effect.exit(cql`SELECT 1`))
      yield* server.awaitRequest("SELECT 1")
      yield* proxy.pause
      yield* close
      yield* Fiber.join(asked)
      yield* proxy.resume
    })
    yield* leavesNothing(proxy, body)
  }),

  // From the driver's inside: an event would have to come in the moment between its goodbye and that of the server.
  "events of the cluster that come while it closes": onScripted((server) =>
    Effect.gen(function*() {
      const { close, session } = yield* openIn(server, {})
      const control = session.core.shared.client.raw.controlConnection
      yield* close
      control._nodeSchemaChangeHandler(
        { keyspace: "shop", isKeyspace: true, schemaChangeType: "UPDATED" } as { readonly keyspace: string }
      )
      const moved = { inet: { address: server.host } }
      control._nodeTopologyChangeHandler(moved)
      control._nodeStatusChangeHandler({ ...moved, up: true })
      yield* Effect.yieldNow
    })
  ),

  "a heartbeat that is not answered": onScripted((server) =>
    Effect.gen(function*() {
      yield* open(server, { heartbeatInterval: "10 millis" })
      server.on("OPTIONS", Reply.silence, ["options"])
      yield* server.clearRequests
      yield* server.awaitRequest("OPTIONS", 1, ["options"])
    })
  ),

  "a cluster that connects in the background, while its next try is far off": onScripted((server) =>
    Effect.gen(function*() {
      yield* server.refuse
      const { core } = yield* open(server, { ...inBackground, connectSchedule: Schedule.spaced("10 minutes") })
      const { notConnected } = core.shared
      yield* Effect.repeat(turn, { until: () => core.shared.notConnected !== notConnected })
    })
  ),

  "a cluster that connects in the background, in the middle of it": atEveryStage(
    (server, reached, options) =>
      Effect.gen(function*() {
        const { close } = yield* openIn(server, { ...options, ...inBackground })
        yield* reached
        yield* close
        // At once, and not only when the scope ends in which it was made.
        yield* server.awaitConnections(0)
      }),
    Reply.silence
  ),

  "a cluster that connects in the background, before it has begun to": onScripted((server) =>
    repeat(20, Effect.scoped(open(server, inBackground)))
  ),

  "a cluster that has connected in the background, after many tries": onScripted((server) =>
    Effect.gen(function*() {
      server.on("SELECT 1", Reply.void)
      yield* server.refuse
      const connectSchedule = Schedule.spaced("1 millis")
      const session = yield* open(server, { ...inBackground, connectSchedule, keyspace: "shop" })
      const other = yield* Session.makeFrom({ keyspace: "other" }).pipe(
        Effect.provideService(Cluster, session.cluster)
      )
      const never = yield* Scope.make()
      yield* Session.makeFrom({ keyspace: "never" }).pipe(
        Effect.provideService(Cluster, session.cluster),
        Scope.provide(never)
      )
      yield* closeNow(never)
      yield* server.accept
      for (const { core, cql } of [session, other]) {
        yield* Effect.repeat(turn, { until: () => core.shared.notConnected === undefined })
        yield* cql`SELECT 1`
      }
    })
  ),

  "an unknown local data center, looked for in the background": onScripted((server) =>
    Effect.gen(function*() {
      const { core, cql } = yield* open(server, { ...inBackground, localDataCenter: "nowhere" })
      const { notConnected } = core.shared
      yield* Effect.repeat(turn, { until: () => core.shared.notConnected !== notConnected })
      yield* failsWith("InvalidConfig", cql`SELECT 1`)
    })
  ),

  "a hedged statement that was answered before its delay": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      cluster.on("SELECT 1", Reply.void)
      const { cql } = yield* open(cluster, { hedge: { delay: "10 minutes" }, idempotent: true })
      yield* cql`SELECT 1`
    })),

  "a hedged statement that was interrupted before its delay": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      cluster.on("SELECT 1", Reply.silence)
      const { cql } = yield* open(cluster, {
        hedge: { delay: "10 minutes" },
        idempotent: true,
        shutdownTimeout: "50 millis"
      })
      yield* startAndInterrupt(cql`SELECT 1`, cluster.awaitRequest("SELECT 1"))
    })),

  "a hedged statement of which one node never answers": onScriptedCluster(2, (cluster) =>
    Effect.gen(function*() {
      let count = 0
      cluster.on("SELECT 1", () => ++count === 1 ? Reply.silence : Reply.void)
      const { cql } = yield* open(cluster, {
        hedge: { delay: "1 millis" },
        idempotent: true,
        shutdownTimeout: "50 millis"
      })
      yield* cql`SELECT 1`
      Assert.equal(count, 2)
    })),

  "200 healths in turn, on one session, each with a round under way": onScriptedCluster(
    3,
    (cluster) =>
      Effect.gen(function*() {
        const session = yield* open(cluster)
        const { observers } = session.core.shared.client
        const before = observers.size
        cluster.nodes[1]!.on(healthQuestion, Reply.silence)
        yield* repeat(200, Effect.scoped(watch(session)))
        Assert.equal(observers.size, before)
      })
  ),

  "a health that is read, of a node that is silent, one that is down and one that is in doubt": onScriptedCluster(
    3,
    (cluster) =>
      Effect.gen(function*() {
        const [, silent, down] = cluster.nodes
        const session = yield* open(cluster)
        const health = yield* watch(session)
        yield* health.check
        yield* Effect.forkScoped(Stream.runDrain(health.changes))
        yield* Effect.forkScoped(Stream.runDrain(session.cluster.events))
        yield* down!.refuse
        yield* down!.dropConnections
        silent!.on(healthQuestion, Reply.silence)
        yield* health.check
        yield* Effect.forkScoped(health.check)
        yield* silent!.awaitRequest(healthQuestion, 3)
      })
  ),

  "a health of a cluster that is never reached, and who waits for it": onScripted((server) =>
    Effect.gen(function*() {
      yield* server.refuse
      const health = yield* watch(yield* open(server, inBackground))
      yield* startAndInterrupt(Health.await().pipe(Effect.provideService(Health, health)), turn)
    })
  ),

  "a circuit breaker that is open": onScripted((server) =>
    Effect.gen(function*() {
      server.on("SELECT 1", Reply.overloaded("busy"))
      const { cql } = yield* open(server, { circuitBreaker: { size: 1, openDuration: "10 minutes" } })
      yield* failsWith("Overloaded", cql`SELECT 1`)
      yield* failsWith("CircuitOpen", cql`SELECT 1`)
    })
  ),

  "sessions of several keyspaces, closed in any order": onScripted((server) =>
    Effect.gen(function*() {
      const cluster = yield* Cluster.make(optionsFor(server))
      const names = ["a", "b", undefined, "a"]
      const scopes = yield* Effect.forEach(names, (keyspace) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          yield* Session.makeFrom({ keyspace }).pipe(Effect.provideService(Cluster, cluster), Scope.provide(scope))
          return scope
        }))
      for (const index of [1, 3, 0, 2]) yield* closeNow(scopes[index]!)
    })
  )
}

const real = {
  "200 sessions, ten at a time": onReal((options) =>
    Effect.forEach(Array.from({ length: 200 }), () => Effect.scoped(Session.make(options)), { concurrency: 10 })
  ),

  "a wrong password": onReal((options) =>
    failsWith("AuthenticationError", Session.make({ ...options, password: Redacted.make("wrong") }))
  ),

  "an unknown local data center": onReal((options) =>
    failsWith("InvalidConfig", Session.make({ ...options, localDataCenter: "nowhere" }))
  ),

  "a keyspace that does not exist": onReal((options) =>
    failsWith("InvalidQuery", Session.make({ ...options, keyspace: "nowhere" }))
  ),

  "a connect that is cut after so many bytes": onReal((options, proxy) =>
    Effect.forEach([1, 9, 20, 100, 300, 1000, 3000, 10_000], (bytes) =>
      Effect.gen(function*() {
        yield* proxy.cutAfterBytes(bytes)
        yield* Effect.exit(Effect.scoped(Session.make({ ...options, keyspace: "system" })))
      }))
  ),

  "a connect that is interrupted after so many bytes": onReal((options, proxy) =>
    Effect.forEach([0, 9, 100, 1000], (bytes) =>
      startAndInterrupt(
        Session.make({ ...options, keyspace: "system" }),
        Effect.gen(function*() {
          const { toClient } = proxy.carried()
          yield* Effect.repeat(turn, { until: () => proxy.carried().toClient > toClient + bytes })
        })
      ))
  ),

  "the control connection lost, its next try far off": onReal((options, proxy) =>
    Effect.gen(function*() {
      const session = yield* Session.make({ ...options, ...patient })
      const lost = yield* Effect.forkChild(controlConnectionRefreshed(session))
      yield* Effect.yieldNow
      yield* proxy.refuse
      yield* proxy.cut
      yield* Fiber.join(lost)
      // And the timer is set.
      yield* turn
    })
  ),

  "requests in flight when the connection is cut": onReal((options, proxy) =>
    Effect.gen(function*() {
      const { cql } = yield* Session.make({ ...options, ...patient, retry: CqlRetry.none })
      const many = Effect.forEach(
        Array.from({ length: 500 }),
        () => Effect.exit(cql`SELECT * FROM system_schema.columns`),
        { concurrency: "unbounded" }
      )
      yield* proxy.cutAfterBytes(200_000)
      const exits = yield* many
      Assert.ok(exits.some(Exit.isFailure))
    })
  ),

  "a server that is frozen when the session closes": onReal((options, proxy) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const make = Session.make({ ...options, ...patient, shutdownTimeout: "50 millis" })
      const { cql } = yield* Scope.provide(make, scope)
      yield* proxy.pause
      const asked = yield* Effect.forkChild(Effect.exit(cql`SELECT * FROM system.local`))
      yield* Effect.yieldNow
      yield* closeNow(scope)
      yield* Fiber.join(asked)
      yield* proxy.resume
    })
  )
}

type Cases = Readonly<Record<string, Effect.Effect<void, unknown, Scope.Scope>>>

export const cases: { readonly scripted: Cases; readonly real: Cases } = { scripted, real }
