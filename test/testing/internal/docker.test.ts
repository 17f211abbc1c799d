import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createServer, type Server } from "node:http"
import type { AddressInfo, ListenOptions } from "node:net"
import { join } from "node:path"
import * as Docker from "../../../src/testing/internal/docker.ts"
import { temporaryFolder, withVariables } from "../support.ts"

/** A daemon of which only the answer to a ping is known. */
const daemon = (options: ListenOptions, statusCode: number) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((request, response) => {
        response.writeHead(request.url === "/_ping" ? statusCode : 404).end("OK")
      })
      server.listen(options, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const socket = Effect.map(temporaryFolder, (folder) => join(folder, "docker.sock"))

const answers = (dockerHost: string) => withVariables({ DOCKER_HOST: dockerHost })(Docker.answers)

describe("answers", () => {
  it.effect("asks the daemon behind a socket", () =>
    Effect.gen(function*() {
      const path = yield* socket
      yield* daemon({ path }, 200)
      assert.isTrue(yield* answers(`unix://${path}`))
    }))

  it.effect("asks the daemon behind a port", () =>
    Effect.gen(function*() {
      const server = yield* daemon({ host: "127.0.0.1", port: 0 }, 200)
      assert.isTrue(yield* answers(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`))
    }))

  it.effect("is not content with a socket that somebody listens on", () =>
    Effect.gen(function*() {
      const path = yield* socket
      yield* daemon({ path }, 503)
      assert.isFalse(yield* answers(`unix://${path}`))
    }))

  it.effect("is not content with a socket's path", () =>
    Effect.gen(function*() {
      assert.isFalse(yield* answers(`unix://${yield* socket}`))
    }))
})

/** What a container was asked for, and how far it is. */
class FakeContainer implements Docker.StartedContainer {
  static last: FakeContainer
  readonly image: string
  readonly starting = Deferred.makeUnsafe<void>()
  readonly stopped = Deferred.makeUnsafe<void>()
  readonly beforeStart = Deferred.makeUnsafe<void>()
  variables: Record<string, string> = {}
  dataCenter = ""

  constructor(image: string) {
    this.image = image
    FakeContainer.last = this
  }
  withDatacenter(name: string): this {
    this.dataCenter = name
    return this
  }
  withEnvironment(variables: Record<string, string>): this {
    this.variables = variables
    return this
  }
  start(): Promise<Docker.StartedContainer> {
    Deferred.doneUnsafe(this.starting, Effect.void)
    return Effect.runPromise(Effect.as(Deferred.await(this.beforeStart), this))
  }
  stop(): Promise<void> {
    Deferred.doneUnsafe(this.stopped, Effect.void)
    return Promise.resolve()
  }
  getHost(): string {
    return "localhost"
  }
  getPort(): number {
    return 32768
  }
  getDatacenter(): string {
    return this.dataCenter
  }
}

const start = Docker.start({ CassandraContainer: FakeContainer }, {
  version: "5.0.6",
  heap: "512M",
  localDataCenter: "datacenter1",
  settings: { authenticator: "PasswordAuthenticator", "memtable.name": "trie" }
})

describe("start", () => {
  it.effect("asks for the image, the heap and the settings, and stops what it started", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.scoped(start), { startImmediately: true })
      const container = FakeContainer.last
      yield* Deferred.succeed(container.beforeStart, undefined)
      assert.strictEqual((yield* Fiber.join(fiber)).getPort(), 32768)
      assert.strictEqual(container.image, "cassandra:5.0.6")
      assert.strictEqual(container.dataCenter, "datacenter1")
      assert.strictEqual(container.variables["MAX_HEAP_SIZE"], "512M")
      assert.include(
        container.variables["JAVA_TOOL_OPTIONS"],
        "-Dcassandra.config.allow_system_properties=true"
      )
      assert.include(
        container.variables["JAVA_TOOL_OPTIONS"],
        "-Dcassandra.settings.authenticator=PasswordAuthenticator -Dcassandra.settings.memtable.name=trie"
      )
      yield* Deferred.await(container.stopped)
    }))

  it.effect("stops a container whose start was interrupted", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.scoped(start), { startImmediately: true })
      const container = FakeContainer.last
      yield* Deferred.await(container.starting)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      assert.isFalse(yield* Deferred.isDone(container.stopped))
      yield* Deferred.succeed(container.beforeStart, undefined)
      yield* Fiber.join(interruption)
      assert.isTrue(yield* Deferred.isDone(container.stopped))
    }))
})
