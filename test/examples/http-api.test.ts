/**
 * examples/http-api over real HTTP on a real server: each of its endpoints, its errors, and what its operators see.
 */
import { assert, describe, it } from "@effect/vitest"
import { CqlStream, Session } from "effect-cassandra"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { execFile } from "node:child_process"
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs"
import * as Http from "node:http"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { User } from "../../examples/http-api/api.ts"
import * as Proxied from "../faults/support/proxied.ts"
import * as HttpApi from "./support/httpApi.ts"

const { ask, start } = HttpApi

const allAtOnce = { concurrency: "unbounded" } as const

const withTables = { excludeTestServices: true, timeout: "60 seconds" } as const

const nobody = "0c5b1a2e-0c4c-4f1c-9a57-6a5f3f6b8c11"

const user = (name: string) => ({ name, email: `${name.toLowerCase()}@example.com` })

const titleOf = ({ json, status }: HttpApi.Answer) => [status, json.title]

/** Many, of more bytes together than sockets hold. */
const manyUsers = (count: number) =>
  Stream.range(1, count).pipe(
    Stream.map((n) =>
      new User({
        id: crypto.randomUUID(),
        name: String(n).padEnd(200, "€"),
        email: `${"€".repeat(200)}@example.com`,
        version: nobody,
        created: new Date(0)
      })
    ),
    Stream.run(CqlStream.sink({ table: "users", schema: User }))
  )

/** What has been traced, and the end of the first span of a name. */
const recording = (name: string) => {
  const spans: Array<Tracer.Span> = []
  const ended = Deferred.makeUnsafe<void>()
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        if (span.name === name) Deferred.doneUnsafe(ended, Effect.void)
      }
      spans.push(span)
      return span
    }
  })
  return {
    tracer,
    ended: Deferred.await(ended),
    countOf: (name: string) => spans.filter((s) => s.name === name).length
  }
}

/** Reads the first bytes of an answer, and no more. */
const begin = (url: string): Effect.Effect<Http.IncomingMessage> =>
  Effect.callback((resume) => {
    Http.get(url, (response) => {
      response.on("error", () => undefined)
      response.once("data", () => {
        response.pause()
        resume(Effect.succeed(response))
      })
    })
  })

/** Reads on, and tells how it ended. */
const endOf = (response: Http.IncomingMessage): Effect.Effect<string> =>
  Effect.callback((resume) => {
    response.once("end", () => resume(Effect.succeed("whole")))
    response.once("error", ({ message }) => resume(Effect.succeed(message)))
    response.resume()
  })

const browser = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name)))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** The page as it is when its scripts have run, in a browser that reaches this machine alone. */
const rendered = (url: string): Effect.Effect<string> =>
  Effect.scoped(Effect.gen(function*() {
    const profile = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-cassandra-browser-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
    )
    return yield* Effect.callback<string>((resume) => {
      const flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        `--user-data-dir=${profile}`,
        "--virtual-time-budget=10000",
        "--dump-dom"
      ]
      const child = execFile(browser!, [...flags, url], { maxBuffer: 64 << 20 }, (error, stdout) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.die(error)))
      return Effect.sync(() =>
        void child.kill("SIGKILL")
      )
    })
  }))

it.layer(HttpApi.keyspace, withTables)("examples/http-api", (it) => {
  it.effect("creates, reads, changes and removes a user", () =>
    Effect.gen(function*() {
      const url = yield* start()
      const created = yield* ask(`${url}/users`, { body: user("Ada") })
      assert.strictEqual(created.status, 201)
      const { id, version, ...rest } = created.json
      assert.deepInclude(rest, user("Ada"))
      assert.deepStrictEqual((yield* ask(`${url}/users/${id}`)).json, created.json)

      const change = { ...user("Grace"), version }
      const changed = yield* ask(`${url}/users/${id}`, { method: "PUT", body: change })
      assert.strictEqual(changed.status, 200)
      assert.deepInclude(changed.json, { id, ...user("Grace"), created: rest.created })
      assert.notStrictEqual(changed.json.version, version)
      assert.deepStrictEqual((yield* ask(`${url}/users/${id}`)).json, changed.json)

      const late = yield* ask(`${url}/users/${id}`, { method: "PUT", body: change })
      assert.deepStrictEqual(titleOf(late), [409, "The user has another version by now"])
      assert.strictEqual((yield* ask(`${url}/users/${id}`, { method: "DELETE" })).status, 204)
      for (const method of ["GET", "PUT", "DELETE"]) {
        const gone = yield* ask(`${url}/users/${id}`, { method, ...(method === "PUT" ? { body: change } : {}) })
        assert.deepStrictEqual(titleOf(gone), [404, "There is no such user"], method)
      }
    }))

  it.effect("refuses what is no user, no id and no cursor, and says where", () =>
    Effect.gen(function*() {
      const url = yield* start()
      const noUser = yield* ask(`${url}/users`, { body: { name: "", email: "ada" } })
      assert.strictEqual(noUser.status, 400)
      assert.deepStrictEqual(noUser.json.errors.map(({ path }: { path: unknown }) => path), [["payload", "name"]])
      assert.strictEqual((yield* ask(`${url}/users/ada`)).status, 400)
      assert.strictEqual((yield* ask(`${url}/users?limit=201`)).status, 400)
      assert.strictEqual((yield* ask(`${url}/users?cursor=abc`)).status, 400)
      assert.strictEqual(
        (yield* ask(`${url}/users`, { body: {}, headers: { "content-type": "text/plain" } })).status,
        415
      )
    }))

  it.effect("answers a key that is used again as the first time, and never makes a second user", () =>
    Effect.gen(function*() {
      const url = yield* start()
      const headers = { "idempotency-key": crypto.randomUUID() }
      const create = ask(`${url}/users`, { body: user("Ada"), headers })
      const answers = yield* Effect.all(Array.from({ length: 10 }, () => create), allAtOnce)
      assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [201])
      assert.strictEqual(new Set(answers.map(({ text }) => text)).size, 1)

      const other = yield* ask(`${url}/users`, { body: user("Grace"), headers })
      assert.deepStrictEqual(titleOf(other), [422, "The Idempotency-Key has been used with another body"])

      // What has been done since is not undone by a late repetition.
      const { id, version } = answers[0]!.json
      const changed = yield* ask(`${url}/users/${id}`, { method: "PUT", body: { ...user("Grace"), version } })
      assert.strictEqual((yield* create).text, answers[0]!.text)
      assert.deepStrictEqual((yield* ask(`${url}/users/${id}`)).json, changed.json)
      yield* ask(`${url}/users/${id}`, { method: "DELETE" })
      assert.strictEqual((yield* create).status, 201)
      assert.strictEqual((yield* ask(`${url}/users/${id}`)).status, 404)
    }))

  it.effect("takes no cursor that another key has signed, and those of the keys before", () =>
    Effect.gen(function*() {
      yield* manyUsers(2)
      const { json } = yield* ask(`${yield* start({ cursorKeys: "old" })}/users?limit=1`)
      const statusWith = (cursorKeys: string) =>
        Effect.gen(function*() {
          return (yield* ask(`${yield* start({ cursorKeys })}/users?cursor=${json.next}`)).status
        })
      assert.strictEqual(yield* statusWith("new,old"), 200)
      assert.strictEqual(yield* statusWith("new"), 400)
    }))

  it.effect("serves a hundred users at a time", () =>
    Effect.gen(function*() {
      const url = yield* start()
      const journey = Effect.fnUntraced(function*(n: number) {
        const headers = { "idempotency-key": crypto.randomUUID() }
        const first = yield* ask(`${url}/users`, { body: user(`User${n}`), headers })
        const again = yield* ask(`${url}/users`, { body: user(`User${n}`), headers })
        const { id, version } = first.json
        const read = yield* ask(`${url}/users/${id}`)
        const change = { ...user(`Changed${n}`), version }
        const changed = yield* ask(`${url}/users/${id}`, { method: "PUT", body: change })
        const conflict = yield* ask(`${url}/users/${id}`, { method: "PUT", body: change })
        const listed = yield* ask(`${url}/users?limit=10`)
        const removed = yield* ask(`${url}/users/${id}`, { method: "DELETE" })
        const gone = yield* ask(`${url}/users/${id}`)
        assert.strictEqual(again.text, first.text)
        assert.strictEqual(read.text, first.text)
        assert.strictEqual(changed.json.name, `Changed${n}`)
        return [first, again, read, changed, conflict, listed, removed, gone].map(({ status }) => status).join(" ")
      })
      const journeys = yield* Effect.forEach(Array.from({ length: 100 }, (_, n) => n), journey, allAtOnce)
      assert.deepStrictEqual([...new Set(journeys)], ["201 201 200 200 409 200 204 404"])
    }))

  it.effect("writes what is a user of an import, line by line or as an array, and tells what is none", () =>
    Effect.gen(function*() {
      const url = yield* start()
      const users = Array.from({ length: 1000 }, (_, n) => ({ id: crypto.randomUUID(), ...user(`Imported${n}`) }))
      const lines = [
        ...users.map((one) => JSON.stringify(one)),
        "{\"id\":",
        "",
        JSON.stringify({ ...users[0], id: "1" })
      ]
      const first = yield* ask(`${url}/users/import`, { body: lines.join("\n") })
      assert.strictEqual(first.status, 200)
      assert.deepStrictEqual(first.json, {
        written: 1000,
        refused: 2,
        refusals: [
          { line: 1001, reason: "Expected a valid JSON string" },
          { line: 1003, reason: "Expected a UUID\n  at [\"id\"]" }
        ]
      })
      const { email, id, name } = (yield* ask(`${url}/users/${users[999]!.id}`)).json
      assert.deepStrictEqual({ id, name, email }, users[999])

      const second = yield* ask(`${url}/users/import`, { body: [{ ...users[0], name: "Again" }, "nobody"] })
      assert.deepStrictEqual(second.json, {
        written: 1,
        refused: 1,
        refusals: [{ line: 2, reason: "Expected object" }]
      })
      assert.strictEqual((yield* ask(`${url}/users/${users[0]!.id}`)).json.name, "Again")
      const tooLarge = " ".repeat((16 << 20) + 1)
      for (const body of [tooLarge, [tooLarge]]) {
        assert.strictEqual((yield* ask(`${url}/users/import`, { body })).status, 413)
      }
    }))

  it.effect("refuses with 429 what is too much at a time, and with 504 what takes too long", () =>
    Effect.gen(function*() {
      const { options, proxy } = yield* Proxied.make
      const limits = { maxInFlight: 1, maxQueued: 0, timeout: "1 second" } as const
      const url = yield* start({ session: { ...options, ...limits } })
      const read = ask(`${url}/users/${nobody}`)
      assert.strictEqual((yield* read).status, 404)

      yield* proxy.pause
      const answers = yield* Effect.all([read, read, read, read], allAtOnce)
      yield* proxy.resume
      const refused = answers.filter(({ status }) => status === 429)
      assert.deepStrictEqual(refused.map(({ headers }) => headers.get("retry-after")), ["1", "1", "1"])
      const late = answers.find(({ status }) => status !== 429)
      assert.deepStrictEqual(titleOf(late!), [504, "The database has not answered in time"])
      for (const { text } of answers) assert.notMatch(text, /127\.0\.0\.1|SELECT|in flight|Cassandra/i)
    }))

  it.effect("answers 500 and nothing else where its tables are not there", () =>
    Effect.gen(function*() {
      const url = yield* start({ session: { ...yield* Session.config, keyspace: "system_schema" } })
      const { status, text } = yield* ask(`${url}/users/${nobody}`)
      assert.strictEqual(status, 500)
      assert.deepStrictEqual(JSON.parse(text), { type: "about:blank", title: "Internal Server Error", status: 500 })
    }))

  it.effect("tells its operators whether it is live and ready, and what it counts", () =>
    Effect.gen(function*() {
      const url = yield* start()
      assert.strictEqual((yield* ask(`${url}/health/live`)).status, 200)
      assert.strictEqual((yield* HttpApi.askUntil(`${url}/health/ready`, ({ status }) => status === 200)).status, 200)
      yield* ask(`${url}/users/${nobody}`)
      const metrics = yield* ask(`${url}/metrics`)
      assert.match(metrics.text, /^cassandra_client_requests\S*\{[^}]*operation="SELECT"[^}]*\} [1-9]/m)
    }))

  describe("the documentation", () => {
    it.effect("is OpenAPI in which every reference leads somewhere, with each endpoint and each of its statuses", () =>
      Effect.gen(function*() {
        const url = yield* start()
        const { json, text } = yield* ask(`${url}/openapi.json`)
        assert.match(json.openapi, /^3\.1\./)
        const names = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!)
        assert.isNotEmpty(names)
        assert.property(json.components.schemas, "ImportedUser")
        for (const name of names) assert.property(json.components.schemas, name)
        const statuses = Object.entries<Record<string, { responses: object }>>(json.paths).flatMap(([path, methods]) =>
          Object.entries(methods).map(([method, { responses }]) =>
            `${method} ${path}: ${Object.keys(responses).toSorted().join(" ")}`
          )
        )
        assert.deepStrictEqual(statuses.toSorted(), [
          "delete /users/{id}: 204 400 404 429 500 503 504",
          "get /users/download: 200 400 429 500 503 504",
          "get /users/{id}: 200 400 404 429 500 503 504",
          "get /users: 200 400 429 500 503 504",
          "post /users/import: 200 400 429 500 503 504",
          "post /users: 201 400 422 429 500 503 504",
          "put /users/{id}: 200 400 404 409 429 500 503 504"
        ])
        const { responses } = json.paths["/users/{id}"].get
        assert.property(responses["503"].headers, "retry-after")
      }))

    it.effect("is a page that loads nothing from elsewhere", () =>
      Effect.gen(function*() {
        const url = yield* start()
        const page = yield* ask(`${url}/docs`)
        assert.strictEqual(page.status, 200)
        assert.match(page.headers.get("content-type")!, /^text\/html/)
        assert.notMatch(page.text, /<(script|link|img|iframe)\b[^>]*\s(src|href)=/)
      }))

    it.effect.skipIf(browser === undefined)(
      "shows its endpoints in a browser, where one is on the path",
      () =>
        Effect.gen(function*() {
          const url = yield* start()
          const page = yield* rendered(`${url}/docs`)
          const shown = [...page.matchAll(/class="opblock opblock-(\w+)".*?data-path="([^"]+)"/gs)]
          assert.deepStrictEqual(shown.map(([, method, path]) => `${method} ${path}`).toSorted(), [
            "delete /users/{id}",
            "get /users",
            "get /users/download",
            "get /users/{id}",
            "post /users",
            "post /users/import",
            "put /users/{id}"
          ])
        })
    )
  })
})

describe("examples/http-api, of a table of many users", () => {
  const count = 10_000
  const pages = count / 500

  it.layer(HttpApi.keyspace, withTables)((it) => {
    it.effect("lists all of them by cursors that it has signed", () =>
      Effect.gen(function*() {
        const url = yield* start()
        yield* manyUsers(950)
        const ids = new Set<string>()
        let cursor = ""
        let asked = 0
        do {
          const { json } = yield* ask(`${url}/users?limit=200${cursor}`)
          for (const { id } of json.users) ids.add(id)
          asked++
          cursor = json.next === undefined ? "" : `&cursor=${json.next}`
        } while (cursor !== "")
        assert.strictEqual(ids.size, 950)
        assert.strictEqual(asked, 5)
      }))
  })

  it.layer(Layer.provideMerge(Layer.effectDiscard(manyUsers(count)), HttpApi.keyspace), withTables)((it) => {
    it.effect("sends them as lines, and fetches no more once a client has hung up", () =>
      Effect.gen(function*() {
        const { countOf, ended, tracer } = recording("GET")
        const url = yield* start({ tracer })
        const page = "SELECT users"
        const response = yield* begin(`${url}/users/download`)
        response.destroy()
        yield* ended
        const fetched = countOf(page)
        assert.isAbove(fetched, 0)
        assert.isBelow(fetched, pages / 2)

        // It is well, has left nothing running, and a download to the end is told from one that is not.
        const { text } = yield* ask(`${url}/users/download`)
        const lines = text.trimEnd().split("\n")
        assert.strictEqual(new Set(lines.map((line) => JSON.parse(line).id)).size, count)
        assert.isAtLeast(countOf(page), fetched + pages)
        assert.isAtMost(countOf(page), fetched + pages + 1)
      }))

    it.effect("breaks off what it cannot send to its end, so that it is not taken for a whole", () =>
      Effect.gen(function*() {
        const { options, proxy } = yield* Proxied.make
        const url = yield* start({ session: options })
        const response = yield* begin(`${url}/users/download`)
        yield* proxy.refuse
        yield* proxy.cut
        assert.strictEqual(yield* endOf(response), "aborted")
      }))
  })
})
