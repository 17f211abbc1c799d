/**
 * The health of a cluster over HTTP: what each route answers in each state, to whom, and what it keeps to itself.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFile } from "node:child_process"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as HealthHttp from "../src/HealthHttp.ts"
import { Health, Session } from "../src/index.ts"
import { optionsFor } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const since = new Date("2026-11-23T06:00:00.000Z")

const checkedAt = new Date("2026-11-23T06:30:00.000Z")

const node: Health.NodeHealth = {
  hostId: "6e6f7420-6120-4000-8000-736368656d61",
  address: "10.1.2.3:9042",
  dataCenter: "amsterdam",
  rack: "r1",
  version: "5.0.6",
  state: "unresponsive",
  since,
  latencyMillis: 1.5,
  lastError: "10.1.2.3:9042 did not answer in 2000 ms"
}

/** With what nobody but an operator is to see. */
const statusOf = (state: Health.ClusterState): Health.Status => ({
  state,
  since,
  checkedAt,
  localDataCenter: "amsterdam",
  consistency: "localQuorum",
  servable: true,
  error: "connect ECONNREFUSED 10.1.2.3:9042",
  nodes: [node]
})

const states: ReadonlyArray<Health.ClusterState> = ["starting", "up", "degraded", "down"]

const isReady = (state: Health.ClusterState): boolean => state === "up" || state === "degraded"

const layerOf = (status: Effect.Effect<Health.Status>): Layer.Layer<Health> =>
  Layer.succeed(
    Health,
    Health.of({ status, changes: Stream.never, check: Effect.never, warmUp: Effect.never })
  )

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

type Ask = (
  path: string,
  method?: string,
  headers?: Readonly<Record<string, string>>
) => Effect.Effect<Answer>

/** Asks the routes of a cluster in that state. */
const serve = (health: Layer.Layer<Health, unknown>, options?: HealthHttp.Options) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(Layer.provide(HealthHttp.layer(options), Layer.orDie(health)), { disableLogger: true })
      ),
      ({ dispose }) => Effect.promise(() => dispose())
    ),
    ({ handler }): Ask => (path, method = "GET", headers = {}) =>
      Effect.promise(async () => {
        const response = await handler(new Request(`http://localhost${path}`, { method, headers }))
        return {
          status: response.status,
          headers: Object.fromEntries(response.headers),
          body: await response.text()
        }
      })
  )

const serveState = (state: Health.ClusterState, options?: HealthHttp.Options) =>
  serve(layerOf(Effect.succeed(statusOf(state))), options)

const json = (text: string): unknown => JSON.parse(text)

const unknownRoute = "/health/of/the/king"

const assertNoInternals = ({ body, headers }: Answer): void => {
  const told = JSON.stringify([body, headers])
  for (const internal of ["10.1.2.3", "9042", "5.0.6", "amsterdam", "ECONNREFUSED", node.hostId, "did not answer"]) {
    assert.notInclude(told, internal)
  }
}

describe("live", () => {
  it.effect("is 200 in every state: a cluster that is away is no reason to restart the process", () =>
    Effect.gen(function*() {
      for (const state of states) {
        const answer = yield* Effect.flatMap(serveState(state), (ask) => ask("/health/live"))
        assert.deepStrictEqual([answer.status, json(answer.body)], [200, { state: "live" }])
        assert.strictEqual(answer.headers["cache-control"], "no-store")
        assert.isUndefined(answer.headers["retry-after"])
        assertNoInternals(answer)
      }
    }).pipe(Effect.scoped))

  it.effect("asks nothing of the health: not even one that hangs keeps it from answering", () =>
    Effect.gen(function*() {
      const ask = yield* serve(layerOf(Effect.never))
      assert.strictEqual((yield* ask("/health/live")).status, 200)
    }).pipe(Effect.scoped))
})

describe("ready", () => {
  for (const state of states) {
    it.effect(`is ${isReady(state) ? "200" : "503 with Retry-After"} while the cluster is ${state}`, () =>
      Effect.gen(function*() {
        const answer = yield* Effect.flatMap(serveState(state), (ask) => ask("/health/ready"))
        assert.deepStrictEqual([answer.status, json(answer.body)], [isReady(state) ? 200 : 503, { state }])
        assert.strictEqual(answer.headers["cache-control"], "no-store")
        assert.strictEqual(answer.headers["retry-after"], isReady(state) ? undefined : "5")
        assert.include(answer.headers["content-type"], "application/json")
        assertNoInternals(answer)
      }).pipe(Effect.scoped))
  }

  it.effect("is what is so now, and not what was so when the routes were made", () =>
    Effect.gen(function*() {
      let state: Health.ClusterState = "starting"
      const ask = yield* serve(layerOf(Effect.sync(() => statusOf(state))))
      const codes: Array<number> = []
      for (state of ["starting", "up", "down", "degraded"] as const) codes.push((yield* ask("/health/ready")).status)
      assert.deepStrictEqual(codes, [503, 200, 503, 200])
    }).pipe(Effect.scoped))
})

describe("an application that takes no requests", () => {
  it.effect("is live and not ready, also where it cannot say so", () =>
    Effect.gen(function*() {
      let accepts: Effect.Effect<boolean, unknown> = Effect.succeed(true)
      const ask = yield* serveState("up", { detail: "/health", accepts: Effect.suspend(() => accepts) })
      assert.strictEqual((yield* ask("/health/ready")).status, 200)
      for (const not of [Effect.succeed(false), Effect.fail("10.1.2.3"), Effect.die(new Error("10.1.2.3"))]) {
        accepts = not
        const ready = yield* ask("/health/ready")
        assert.deepStrictEqual([ready.status, ready.headers["retry-after"]], [503, "5"])
        assert.deepStrictEqual(JSON.parse(ready.body), { state: "notAccepting" })
        assertNoInternals(ready)
        assert.strictEqual((yield* ask("/health")).status, 503)
        assert.strictEqual((yield* ask("/health/live")).status, 200)
      }
    }).pipe(Effect.scoped))

  it.effect("is not asked while the cluster serves nothing: that is enough", () =>
    Effect.gen(function*() {
      const ask = yield* serveState("down", { accepts: Effect.never })
      assert.strictEqual((yield* ask("/health/ready")).status, 503)
    }).pipe(Effect.scoped))
})

describe("details", () => {
  it.effect("are not there unless they are asked for", () =>
    Effect.gen(function*() {
      const ask = yield* serveState("up")
      assert.deepStrictEqual(yield* ask("/health"), yield* ask(unknownRoute))
    }).pipe(Effect.scoped))

  it.effect("are the status as JSON, with the code and the headers of ready", () =>
    Effect.gen(function*() {
      for (const state of states) {
        const ask = yield* serveState(state, { detail: "/health" })
        const detail = yield* ask("/health")
        const ready = yield* ask("/health/ready")
        assert.deepStrictEqual(json(detail.body), JSON.parse(JSON.stringify(statusOf(state))))
        assert.strictEqual(detail.status, ready.status)
        const withoutLength = ({ headers }: Answer) => ({ ...headers, "content-length": undefined })
        assert.deepStrictEqual(withoutLength(detail), withoutLength(ready))
      }
    }).pipe(Effect.scoped))

  it.effect("are as if they were not there for who may not see them", () =>
    Effect.gen(function*() {
      const ask = yield* serveState("up", {
        detail: "/health",
        authorize: ({ headers }) => Effect.succeed(headers["x-operator"] === "ada")
      })
      for (const method of ["GET", "HEAD"]) {
        assert.strictEqual((yield* ask("/health", method, { "x-operator": "ada" })).status, 200)
        const refused = yield* ask("/health", method, { "x-operator": "eve" })
        assert.strictEqual(refused.status, 404)
        assert.deepStrictEqual(refused, yield* ask(unknownRoute, method))
      }
      // They are for everybody.
      assert.strictEqual((yield* ask("/health/live")).status, 200)
      assert.strictEqual((yield* ask("/health/ready")).status, 200)
    }).pipe(Effect.scoped))

  it.effect("are not told where it is not known who may see them", () =>
    Effect.gen(function*() {
      for (const unknown of [Effect.fail("no ldap at 10.1.2.3"), Effect.die(new Error("no ldap at 10.1.2.3"))]) {
        const ask = yield* serveState("up", { detail: "/health", authorize: () => unknown })
        assert.deepStrictEqual(yield* ask("/health"), yield* ask(unknownRoute))
      }
    }).pipe(Effect.scoped))
})

describe("every route", () => {
  const paths = ["/health/live", "/health/ready", "/health"]

  it.effect("answers HEAD as it does GET, without a body", () =>
    Effect.gen(function*() {
      for (const state of ["up", "down"] as const) {
        const ask = yield* serveState(state, { detail: "/health" })
        for (const path of paths) {
          const { body, headers, status } = yield* ask(path, "HEAD")
          const get = yield* ask(path)
          assert.deepStrictEqual([status, headers["retry-after"], body], [get.status, get.headers["retry-after"], ""])
          assert.strictEqual(headers["cache-control"], "no-store")
        }
      }
    }).pipe(Effect.scoped))

  it.effect("answers no other method", () =>
    Effect.gen(function*() {
      const ask = yield* serveState("up", { detail: "/health" })
      for (const method of ["POST", "PUT", "DELETE"]) {
        for (const path of paths) {
          const answer = yield* ask(path, method)
          assert.strictEqual(answer.status, 404)
          assertNoInternals(answer)
        }
      }
    }).pipe(Effect.scoped))

  it.effect("is where it is put, and nowhere else", () =>
    Effect.gen(function*() {
      const ask = yield* serveState("down", {
        live: "/livez",
        ready: "/readyz",
        detail: "/statusz",
        retryAfterSeconds: 30
      })
      assert.strictEqual((yield* ask("/livez")).status, 200)
      const ready = yield* ask("/readyz")
      assert.deepStrictEqual([ready.status, ready.headers["retry-after"]], [503, "30"])
      const detail = yield* ask("/statusz")
      assert.deepStrictEqual([detail.status, detail.headers["retry-after"]], [503, "30"])
      for (const path of paths) assert.strictEqual((yield* ask(path)).status, 404)
    }).pipe(Effect.scoped))
})

describe("the server's log of requests", () => {
  it.effect("has none of these: who asks every second would fill it", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const other = HttpRouter.add("GET", "/shop", Effect.succeed(HttpServerResponse.empty()))
      const health = Layer.provide(HealthHttp.layer({ detail: "/health" }), layerOf(Effect.succeed(statusOf("up"))))
      const { dispose, handler } = HttpRouter.toWebHandler(Layer.provideMerge(Layer.merge(health, other), logger))
      yield* Effect.addFinalizer(() => Effect.promise(() => dispose()))
      const ask = (path: string) => Effect.promise(() => handler(new Request(`http://localhost${path}`)))
      yield* Effect.forEach(["/health/live", "/health/ready", "/health"], ask)
      assert.deepStrictEqual(lines, [])
      // Of others it has.
      yield* ask("/shop")
      assert.isNotEmpty(lines)
    }).pipe(Effect.scoped))
})

describe("over a socket", () => {
  it.live("are the routes of a cluster that is away, and ready when it is there", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.make()
      yield* cluster.refuse
      const session = Session.layer({
        ...optionsFor(cluster),
        connectInBackground: true,
        connectSchedule: Schedule.spaced("5 millis")
      })
      const server = Http.createServer()
      const routes = HealthHttp.layer({ detail: "/health" }).pipe(
        Layer.provide(Health.layer()),
        Layer.provide(session),
        (routes) => HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }),
        Layer.provide(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 }))
      )
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(routes, scope)
      const { port } = server.address() as Net.AddressInfo
      const ask = (path: string, method = "GET") =>
        Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`, { method }))
      assert.strictEqual((yield* ask("/health/live")).status, 200)
      const away = yield* ask("/health/ready")
      assert.deepStrictEqual([away.status, away.headers.get("retry-after")], [503, "5"])
      assert.deepStrictEqual(yield* Effect.promise(() => away.json()), { state: "starting" })
      yield* cluster.accept
      const ready = yield* Effect.repeat(ask("/health/ready", "HEAD"), { until: ({ status }) => status === 200 })
      assert.strictEqual(ready.headers.get("cache-control"), "no-store")
      const detail = yield* Effect.flatMap(ask("/health"), (response) => Effect.promise(() => response.json()))
      assert.deepInclude(detail, { state: "up", servable: true, localDataCenter: "datacenter1" })
      assert.strictEqual((yield* ask("/health/ready", "POST")).status, 404)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask("/health/live"))))
      assert.strictEqual(cluster.connections(), 0)
    }))
})

describe("who serves no HTTP", () => {
  /** Everything that is loaded with a module, in a process of its own. */
  const loadedWith = (name: string): Effect.Effect<ReadonlyArray<string>> =>
    Effect.callback((resume) => {
      const program = `
        import { registerHooks } from "node:module"
        const loaded = []
        registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
        await import("${name}")
        process.stdout.write(JSON.stringify(loaded))`
      const flags = ["--conditions=effect-cassandra-source", "--input-type=module", "--eval", program]
      execFile(process.execPath, flags, { maxBuffer: 1 << 24 }, (error, stdout) =>
        resume(error === null ? Effect.succeed(JSON.parse(stdout) as ReadonlyArray<string>) : Effect.die(error)))
    })

  // Headers and parameters of URLs are loaded by Effect's own schemas.
  const ofHttp = (modules: ReadonlyArray<string>) =>
    modules.filter((url) => /\/effect\/(dist|src)\/http\/Http/.test(url))

  it.live("does not load it: only the routes do", () =>
    Effect.gen(function*() {
      const library = yield* loadedWith("effect-cassandra")
      assert.isTrue(library.some((url) => url.endsWith("/src/Health.ts")))
      assert.deepStrictEqual(ofHttp(library), [])
      assert.isNotEmpty(ofHttp(yield* loadedWith("effect-cassandra/HealthHttp")))
    }), 60_000)
})
