/**
 * examples/http-api as a process of its own: its database goes away and comes back, and it is ended under load.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Http from "node:http"
import * as Proxied from "../faults/support/proxied.ts"
import * as HttpApi from "./support/httpApi.ts"

const { ask, askUntil, startProcess } = HttpApi

const withTables = { excludeTestServices: true, timeout: "60 seconds" } as const

const ada = { name: "Ada", email: "ada@example.com" }

const allAtOnce = { concurrency: "unbounded" } as const

const isReady = ({ status }: HttpApi.Answer): boolean => status === 200

const isNotReady = ({ status }: HttpApi.Answer): boolean => status === 503

interface Sent {
  readonly status: number
  readonly connection: string | undefined
}

/**
 * Asks over the connections of an agent; fails where there is no answer, or half of one. A kept connection may be closed
 * just as it is used again: what was not taken there is sent on another one.
 */
const send = (agent: Http.Agent, url: string): Effect.Effect<Sent, Error> =>
  Effect.callback((resume) => {
    const fail = (error: Error): void => resume(Effect.fail(error))
    const attempt = (): void => {
      let answered = false
      const request = Http.get(url, { agent }, (response) => {
        answered = true
        response.on("error", fail)
        response.on("end", () =>
          resume(Effect.succeed({ status: response.statusCode!, connection: response.headers.connection })))
        response.resume()
      })
      request.on("error", (error: NodeJS.ErrnoException) =>
        request.reusedSocket && error.code === "ECONNRESET" && !answered ? attempt() : fail(error))
    }
    attempt()
  })

/** Begins a download and reads on when it is told to; tells how many lines there were. */
const slowDownload = (agent: Http.Agent, url: string) =>
  Effect.callback<{ readonly rest: Effect.Effect<number, Error> }, Error>((resume) => {
    Http.get(url, { agent }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => {
        text += chunk
      })
      const rest = Effect.callback<number, Error>((resume) => {
        response.on("end", () => resume(Effect.succeed(text.trimEnd().split("\n").length)))
        response.on("error", (error) => resume(Effect.fail(error)))
        response.resume()
      })
      response.once("data", () => {
        response.pause()
        resume(Effect.succeed({ rest }))
      })
    }).on("error", (error) => resume(Effect.fail(error)))
  })

/** Of more bytes together than sockets hold, where they are thousands. */
const importUsers = (url: string, count: number) =>
  ask(`${url}/users/import`, {
    body: Array.from({ length: count }, (_, n) =>
      JSON.stringify({
        id: crypto.randomUUID(),
        name: String(n).padEnd(200, "€"),
        email: `${"€".repeat(200)}@example.com`
      })).join("\n")
  })

/** As a load balancer does that has not asked before; there is no answer where nobody listens. */
const isRefused = (url: string): Effect.Effect<boolean> =>
  send(new Http.Agent(), `${url}/health/live`).pipe(
    Effect.as(false),
    Effect.catch((error) => Effect.succeed("code" in error && error.code === "ECONNREFUSED"))
  )

it.layer(HttpApi.keyspace, withTables)("examples/http-api, as a process whose database goes away", (it) => {
  it.effect("answers 503 for the ten seconds for which its database is away, and is well soon after", () =>
    Effect.gen(function*() {
      const { proxy } = yield* Proxied.make
      const service = yield* startProcess({
        CASSANDRA_CONTACT_POINTS: proxy.host,
        CASSANDRA_PORT: String(proxy.port),
        CASSANDRA_TLS: "false"
      })
      const { url } = service
      yield* askUntil(`${url}/health/ready`, isReady)
      const { json: user } = yield* ask(`${url}/users`, { body: ada })

      yield* proxy.refuse
      yield* proxy.cut
      const since = yield* Clock.currentTimeMillis
      const unready = yield* askUntil(`${url}/health/ready`, isNotReady)
      assert.isNotNull(unready.headers.get("retry-after"))
      // What was under way when it went may be a timeout, and what comes after is none.
      yield* askUntil(`${url}/users/${user.id}`, isNotReady)
      let asked = 0
      while ((yield* Clock.currentTimeMillis) < since + 10_000) {
        const answers = yield* Effect.all([
          ask(`${url}/users/${user.id}`),
          ask(`${url}/users`),
          ask(`${url}/users/download`),
          ask(`${url}/users`, { body: ada, headers: { "idempotency-key": "while it is away" } }),
          importUsers(url, 2)
        ], allAtOnce)
        for (const { headers, json, status, text } of answers) {
          assert.deepStrictEqual([status, json.title], [503, "The database cannot be reached"])
          assert.isAbove(Number(headers.get("retry-after")), 0)
          assert.notMatch(text, new RegExp(`${proxy.host}|${proxy.port}|SELECT|INSERT|users|NoHost`))
        }
        assert.strictEqual((yield* ask(`${url}/health/live`)).status, 200)
        assert.isTrue(isNotReady(yield* ask(`${url}/health/ready`)))
        asked += answers.length
        yield* Effect.sleep("100 millis")
      }
      assert.isAbove(asked, 0)

      yield* proxy.accept
      const accepted = yield* Clock.currentTimeMillis
      yield* askUntil(`${url}/users/${user.id}`, isReady)
      yield* askUntil(`${url}/health/ready`, isReady)
      // Within less than it was away.
      assert.isBelow(yield* Clock.currentTimeMillis, accepted + (accepted - since))
      const back = yield* Effect.replicateEffect(ask(`${url}/users/${user.id}`), 20)
      assert.deepStrictEqual(new Set(back.map(({ text }) => text)), new Set([JSON.stringify(user)]))
      assert.isTrue(service.isRunning())
    }))
})

it.layer(HttpApi.keyspace, withTables)("examples/http-api, as a process that is ended", (it) => {
  it.effect("answers all that it has taken when it is ended under load, says first that it is not ready, and exits 0", () =>
    Effect.gen(function*() {
      const service = yield* startProcess({ DRAIN_DELAY: "3 seconds" })
      const { url } = service
      yield* askUntil(`${url}/health/ready`, isReady)
      yield* importUsers(url, 5000)
      const { json: user } = yield* ask(`${url}/users`, { body: ada })
      const agent = new Http.Agent({ keepAlive: true, maxSockets: Infinity })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))

      // As behind a load balancer: they send until it hears that the service is not ready, and a little longer.
      let sending = true
      const answers: Array<Sent> = []
      const underLoad = yield* Deferred.make<void>()
      const told = yield* Deferred.make<void>()
      const client = Effect.gen(function*() {
        while (sending) {
          const answer = yield* send(agent, `${url}/users/${user.id}`)
          if (answers.push(answer) === 200) Deferred.doneUnsafe(underLoad, Effect.void)
          if (answer.connection === "close") Deferred.doneUnsafe(told, Effect.void)
        }
      })
      const clients = yield* Effect.forkChild(Effect.all(Array.from({ length: 50 }, () => client), allAtOnce))
      const download = yield* slowDownload(agent, `${url}/users/download`)

      yield* Effect.raceFirst(Deferred.await(underLoad), Fiber.join(clients))
      yield* service.signal("SIGTERM")
      yield* askUntil(`${url}/health/ready`, isNotReady)
      assert.strictEqual((yield* ask(`${url}/health/live`)).status, 200)
      // No connection is closed under a client that is about to use it again.
      yield* Effect.raceFirst(Deferred.await(told), Fiber.join(clients))
      sending = false
      yield* Fiber.join(clients)
      assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
      assert.strictEqual(answers[0]!.connection, "keep-alive")
      assert.strictEqual(answers.at(-1)!.connection, "close")

      yield* Effect.repeat(isRefused(url), { until: (refused) => refused, schedule: Schedule.spaced("20 millis") })
      assert.isTrue(service.isRunning())
      assert.strictEqual(yield* download.rest, 5001)
      assert.strictEqual(yield* service.ended, 0)
    }))
})
