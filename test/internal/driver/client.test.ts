import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { CqlRetry, Session, Statement } from "../../../src/index.ts"
import type { Client, ConnectionClass } from "../../../src/internal/driver/inside.ts"
import { missingParts } from "../../../src/internal/driver/inside.ts"
import { cases } from "../../support/releaseCases.ts"
import * as Reply from "../../support/Reply.ts"
import { connect, reasonOf, untilNode } from "../../support/scripted.ts"
import * as ScriptedServer from "../../support/ScriptedServer.ts"

interface Ended {
  readonly code: number | null
  /** What ended it, when it did not by itself. */
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

const releaseProgram = fileURLToPath(new URL("../../support/releaseProgram.ts", import.meta.url))

/** A program of its own, which is killed when it is still there long after it should have ended. */
const run = (server: string, name: string): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, ["--conditions=effect-cassandra-source", releaseProgram, server, name], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 100_000,
      killSignal: "SIGKILL"
    })
    const output = { stdout: "", stderr: "" }
    child.stdout.on("data", (chunk) => {
      output.stdout += String(chunk)
    })
    child.stderr.on("data", (chunk) => {
      output.stderr += String(chunk)
    })
    child.on("close", (code, signal) => resume(Effect.succeed({ code, signal, ...output })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

describe("leaves no socket, no timer and a program that ends by itself, after", () => {
  for (const [server, names] of Object.entries(cases)) {
    describe(`on a ${server} server`, () => {
      for (const name of Object.keys(names)) {
        it.live(name, () =>
          Effect.gen(function*() {
            const { code, signal, stderr, stdout } = yield* run(server, name)
            assert.deepStrictEqual({ code, signal }, { code: 0, signal: null }, `${stdout}${stderr}`)
            assert.deepStrictEqual(JSON.parse(stdout.split("\n").at(-1)!), ["PipeWrap", "PipeWrap"])
          }), 120_000)
      }
    })
  }
})

describe("a connection that was opened anew", () => {
  const reopened = Effect.gen(function*() {
    const server = yield* ScriptedServer.make()
    server.on("SELECT 1", Reply.void)
    const session = yield* connect(server, {
      keyspace: "Shop",
      reconnectDelay: { base: "1 millis", max: "1 millis" },
      socketConnectTimeout: "10 minutes"
    })
    yield* untilNode("hostUp", session, server.dropConnections)
    return { server, cql: session.cql }
  })

  it.live("is switched to the session's keyspace before its first requests, once", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* reopened
      yield* server.clearRequests
      yield* Effect.forEach([1, 2, 3], () => cql`SELECT 1`, { concurrency: "unbounded" })
      assert.deepStrictEqual(server.received("SELECT 1").map(({ connection }) => connection.keyspace), [
        "Shop",
        "Shop",
        "Shop"
      ])
      assert.lengthOf(server.received(/^USE "Shop"/, ["system"]), 1)
    }))

  it.live("does not keep a statement longer than its timeout when that is not answered", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* reopened
      server.on(/^USE/, Reply.silence, ["system"])
      const statement = cql`SELECT 1`.pipe(Statement.withOptions({ timeout: "50 millis" }))
      assert.deepInclude(yield* reasonOf("ClientTimeout")(statement), { phase: "operation", timeoutMillis: 50 })
    }))

  it.live("sends nothing before that is answered: in its time another node is asked, whatever the statement", () =>
    Effect.gen(function*() {
      const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.57" })
      servers.on(/^UPDATE/, Reply.void)
      const session = yield* connect(servers, {
        keyspace: "shop",
        attemptTimeout: "100 millis",
        reconnectDelay: { base: "1 millis", max: "1 millis" }
      })
      const [node, other] = servers.nodes
      yield* untilNode("hostUp", session, node!.dropConnections)
      const asked = servers.on(/^USE/, Reply.silence, ["system"])
      yield* servers.clearRequests
      const update = session.cql`UPDATE a`.pipe(
        Statement.withOptions({ idempotent: false, retry: CqlRetry.none, timeout: "1 minute" })
      )
      // Each of the nodes is the first of one of them.
      yield* Effect.all([update, update], { concurrency: "unbounded" })
      asked()
      assert.isAtLeast(node!.received(/^USE/, ["system"]).length, 1)
      assert.deepStrictEqual([node, other].map((server) => server!.received(/^UPDATE/).length), [0, 2])
      const { admission } = session.core.shared
      yield* Effect.repeat(Effect.yieldNow, { until: () => admission.inFlight === 0 })
    }))

  it.live("reports why it could not be switched", () =>
    Effect.gen(function*() {
      const { cql, server } = yield* reopened
      server.on(/^USE/, Reply.invalid("Keyspace 'Shop' does not exist"), ["system"])
      const reason = yield* reasonOf("InvalidQuery")(cql`SELECT 1`)
      assert.strictEqual(reason.message, "Keyspace 'Shop' does not exist")
    }))
})

describe("the driver", () => {
  it("is refused by the names of the parts that it lacks", () => {
    const missing = missingParts({} as Client, class {} as unknown as ConnectionClass)
    assert.include(missing, "Client.hosts.values")
    assert.include(missing, "ControlConnection._createConnection")
    assert.include(missing, "Connection.sendStream")
  })

  it.live("must speak version 4 of the protocol with the server", () =>
    Effect.gen(function*() {
      const options = yield* Session.config
      const old = Session.make({ ...options, driverOptions: { protocolOptions: { maxVersion: 3 } } })
      const reason = yield* reasonOf("UnsupportedDriver")(old)
      assert.include(reason.message, "version 3")
      assert.include(reason.message, "version 4 (Cassandra 2.2 or newer) is needed")
    }))
})
