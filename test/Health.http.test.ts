/**
 * The health of a cluster over HTTP: what load balancers ask for, and that strangers are told nothing else.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as HealthHttp from "../src/HealthHttp.ts"
import { Health, Session } from "../src/index.ts"
import { optionsFor } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** Routes on a cluster of its own, that is asked by the test alone. */
const serve = Effect.fnUntraced(function*(
  options: HealthHttp.Options = {},
  session: Session.Options = {},
  logger: Layer.Layer<never> = Layer.empty
) {
  const cluster = yield* ScriptedServer.makeCluster({
    nodes: 3,
    keyspaces: { shop: { class: "SimpleStrategy", replication_factor: "3" } }
  })
  const made = yield* Session.make({
    ...optionsFor(cluster),
    keyspace: "shop",
    consistency: "quorum",
    reconnectDelay: { base: "1 millis", max: "5 millis" },
    connectSchedule: Schedule.spaced("5 millis"),
    ...session
  })
  const health = yield* Health.make({ interval: "1 day" }).pipe(Effect.provideService(Session, made))
  const routes = HealthHttp.layer(options).pipe(Layer.provide(Layer.succeed(Health, health)))
  const { dispose, handler } = HttpRouter.toWebHandler(Layer.merge(routes, logger))
  yield* Effect.addFinalizer(() => Effect.promise(() => dispose()))
  const ask = (path: string, init?: RequestInit): Effect.Effect<Answer> =>
    Effect.promise(async () => {
      const response = await handler(new Request(`http://localhost${path}`, init))
      return { status: response.status, headers: response.headers, body: await response.text() }
    })
  const awaitState = (wanted: Health.ClusterState) =>
    Effect.repeat(Effect.andThen(turn, health.status), { until: ({ state }) => state === wanted })
  const goAway = (count: number) =>
    Effect.forEach(cluster.nodes.slice(0, count), (node) => Effect.andThen(node.refuse, node.dropConnections))
  return { ask, awaitState, cluster, goAway, health }
})

const isNotCached = ({ headers }: Answer) => assert.strictEqual(headers.get("cache-control"), "no-store")

describe("live", () => {
  it.live("is 200 whatever becomes of the cluster", () =>
    Effect.gen(function*() {
      const { ask, awaitState, goAway } = yield* serve()
      const isLive = Effect.gen(function*() {
        const answer = yield* ask("/health/live")
        assert.deepStrictEqual([answer.status, answer.body], [200, "{\"state\":\"live\"}"])
        assert.isNull(answer.headers.get("retry-after"))
        isNotCached(answer)
      })
      yield* isLive
      yield* awaitState("up")
      yield* goAway(3)
      yield* awaitState("down")
      yield* isLive
    }))
})

describe("ready", () => {
  it.live("is 200 while the consistency of the session is served, and else 503, with when to ask again", () =>
    Effect.gen(function*() {
      const { ask, awaitState, cluster, goAway } = yield* serve({ retryAfterSeconds: 7 })
      yield* awaitState("up")
      const expect = (status: number, state: string, retryAfter: string | null) =>
        Effect.map(ask("/health/ready"), (answer) => {
          assert.deepStrictEqual([answer.status, answer.body], [status, JSON.stringify({ state })])
          assert.strictEqual(answer.headers.get("retry-after"), retryAfter)
          isNotCached(answer)
        })
      yield* expect(200, "up", null)
      yield* goAway(1)
      yield* awaitState("degraded")
      yield* expect(200, "degraded", null)
      yield* goAway(2)
      yield* awaitState("down")
      yield* expect(503, "down", "7")
      yield* cluster.accept
      yield* Effect.forEach(cluster.nodes, ({ accept }) => accept)
      yield* awaitState("up")
      yield* expect(200, "up", null)
    }))

  it.live("is 503 while the cluster has not been reached yet", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* server.refuse
      const { ask } = yield* serve({}, { ...optionsFor(server), connectInBackground: true })
      const answer = yield* ask("/health/ready")
      assert.deepStrictEqual([answer.status, answer.body], [503, "{\"state\":\"starting\"}"])
      assert.strictEqual(answer.headers.get("retry-after"), "5")
    }))

  it.live("is 503 while the application takes no requests, or cannot say so", () =>
    Effect.gen(function*() {
      let accepts: Effect.Effect<boolean, unknown> = Effect.succeed(true)
      const { ask, awaitState } = yield* serve({ accepts: Effect.suspend(() => accepts) })
      yield* awaitState("up")
      assert.strictEqual((yield* ask("/health/ready")).status, 200)
      for (const not of [Effect.succeed(false), Effect.fail("secret"), Effect.die("secret")]) {
        accepts = not
        const answer = yield* ask("/health/ready")
        assert.strictEqual(answer.status, 503)
        assert.notInclude(answer.body, "secret")
        assert.strictEqual((yield* ask("/health/live")).status, 200)
      }
    }))
})

describe("strangers", () => {
  it.live("are told nothing of addresses, versions and errors", () =>
    Effect.gen(function*() {
      const { ask, awaitState, cluster, goAway, health } = yield* serve({
        detail: "/health/detail",
        authorize: ({ headers }) => Effect.succeed(headers["authorization"] === "Bearer operator")
      })
      yield* awaitState("up")
      yield* goAway(1)
      yield* awaitState("degraded")
      const { nodes } = yield* health.status
      for (const path of ["/health/live", "/health/ready", "/health/detail", "/health", "/"]) {
        const { body, headers } = yield* ask(path, { headers: { authorization: "Bearer stranger" } })
        const all = body + JSON.stringify([...headers])
        for (const { address, hostId, lastError, version } of nodes) {
          for (const internal of [address, cluster.host, hostId, version, lastError ?? "ECONNREFUSED"]) {
            assert.notInclude(all, internal)
          }
        }
      }
    }))

  it.live("find no details where none are asked for, or they may not see them", () =>
    Effect.gen(function*() {
      const off = yield* serve()
      assert.strictEqual((yield* off.ask("/health/detail")).status, 404)
      const refusals = [Effect.succeed(false), Effect.fail("secret"), Effect.die(new Error("secret"))]
      for (const refusal of refusals) {
        const { ask } = yield* Effect.provideService(
          serve({ detail: "/d", authorize: () => refusal }),
          Scope.Scope,
          yield* Effect.scope
        )
        const answer = yield* ask("/d")
        assert.deepStrictEqual([answer.status, answer.body], [404, ""])
      }
    }))
})

describe("the details", () => {
  it.live("are the status as JSON, for who may see it", () =>
    Effect.gen(function*() {
      const { ask, awaitState, goAway, health } = yield* serve({
        detail: "/internal/cassandra",
        authorize: ({ headers }) => Effect.succeed(headers["authorization"] === "Bearer operator")
      })
      const authorized = { headers: { authorization: "Bearer operator" } }
      yield* awaitState("up")
      const up = yield* ask("/internal/cassandra", authorized)
      assert.strictEqual(up.status, 200)
      assert.match(up.headers.get("content-type")!, /^application\/json/)
      isNotCached(up)
      const status = yield* health.status
      assert.deepStrictEqual(JSON.parse(up.body), JSON.parse(JSON.stringify(status)))
      assert.strictEqual(JSON.parse(up.body).since, status.since.toISOString())
      yield* goAway(3)
      yield* awaitState("down")
      const down = yield* ask("/internal/cassandra", authorized)
      assert.deepStrictEqual([down.status, JSON.parse(down.body).state], [503, "down"])
      assert.strictEqual(down.headers.get("retry-after"), "5")
      assert.strictEqual((yield* ask("/internal/cassandra")).status, 404)
    }))
})

describe("every route", () => {
  it.live("answers HEAD as GET, without a body, and no other method", () =>
    Effect.gen(function*() {
      const { ask, awaitState } = yield* serve({ live: "/l", ready: "/r", detail: "/d" })
      yield* awaitState("up")
      for (const path of ["/l", "/r", "/d"]) {
        const get = yield* ask(path)
        const head = yield* ask(path, { method: "HEAD" })
        assert.deepStrictEqual([head.status, head.body], [get.status, ""])
        isNotCached(head)
        for (const method of ["POST", "DELETE"]) assert.strictEqual((yield* ask(path, { method })).status, 404)
      }
    }))

  it.live("is not in the server's log of requests", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const { ask, awaitState } = yield* serve({ detail: "/d" }, {}, logger)
      yield* awaitState("up")
      yield* Effect.forEach(["/health/live", "/health/ready", "/d"], (path) => ask(path))
      assert.deepStrictEqual(lines, [])
      yield* ask("/nowhere")
      assert.lengthOf(lines, 1)
    }))

  it.live("is served by a real server, until that closes", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2 })
      const server = Http.createServer()
      const main = HttpRouter.serve(HealthHttp.layer({ detail: "/health" }), { disableListenLog: true }).pipe(
        Layer.provideMerge(Health.layer()),
        Layer.provide(Session.layer(optionsFor(cluster))),
        Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }))
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(main, scope)
      yield* Health.await({ timeout: "30 seconds" }).pipe(Effect.provideContext(context))
      const { port } = server.address() as AddressInfo
      const ask = (path: string, method: string) =>
        Effect.tryPromise(async () => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
          return [response.status, response.headers.get("cache-control"), await response.text()] as const
        })
      assert.deepStrictEqual(yield* ask("/health/live", "GET"), [200, "no-store", "{\"state\":\"live\"}"])
      assert.deepStrictEqual(yield* ask("/health/ready", "GET"), [200, "no-store", "{\"state\":\"up\"}"])
      assert.deepStrictEqual(yield* ask("/health/ready", "HEAD"), [200, "no-store", ""])
      const [status, , body] = yield* ask("/health", "GET")
      assert.deepStrictEqual([status, JSON.parse(body).nodes.length], [200, 2])
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask("/health/live", "GET"))))
      assert.strictEqual(cluster.connections(), 0)
    }))
})

describe("the package", () => {
  it.live("does not load the HTTP server of effect/http for who serves none", () =>
    Effect.gen(function*() {
      const program = `
        import { registerHooks } from "node:module"
        const loaded = []
        registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context) } })
        await import("effect-cassandra")
        // Effect's Schema itself loads what it has schemas of: headers, cookies and the like.
        const ofServer = () => loaded.filter((url) => /\\/effect\\/.*\\/http\\/Http/.test(url)).length
        const without = ofServer()
        await import("effect-cassandra/HealthHttp")
        const withIt = ofServer()
        console.log(JSON.stringify({ without, withIt, loaded: loaded.length }))`
      const output = yield* Effect.callback<string>((resume) => {
        const args = ["--conditions=effect-cassandra-source", "--input-type=module", "-e", program]
        execFile(process.execPath, args, (error, stdout, stderr) => resume(Effect.succeed(error ? stderr : stdout)))
      })
      const { loaded, withIt, without } = JSON.parse(output)
      assert.strictEqual(without, 0)
      assert.isAbove(withIt, 0)
      assert.isAbove(loaded, 50)
    }))
})
