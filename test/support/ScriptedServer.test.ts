import { assert, describe, it } from "@effect/vitest"
import * as Cassandra from "cassandra-driver"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Protocol from "./protocol.ts"
import * as Reply from "./Reply.ts"
import * as ScriptedServer from "./ScriptedServer.ts"

type Server = ScriptedServer.ScriptedServer | ScriptedServer.Cluster

const contactPoint = (server: Server) => `${server.host}:${server.port}`

// Of the real driver, with nothing of ours between.
const openClient = (server: Server, options: Partial<Cassandra.ClientOptions> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new Cassandra.Client({
        contactPoints: [contactPoint(server)],
        localDataCenter: "datacenter1",
        protocolOptions: { port: server.port },
        policies: { retry: new Cassandra.policies.retry.FallthroughRetryPolicy() },
        ...options
      })
    ),
    (client) => Effect.promise(() => client.shutdown())
  )

const connectClient = (server: Server, options?: Partial<Cassandra.ClientOptions>) =>
  Effect.tap(openClient(server, options), (client) => attempt(() => client.connect()))

interface DriverFailure extends Error {
  readonly code?: number
  readonly innerErrors?: Readonly<Record<string, DriverFailure>>
  readonly [key: string]: unknown
}

const attempt = <A>(f: () => Promise<A>): Effect.Effect<A, DriverFailure> =>
  Effect.tryPromise({ try: f, catch: (cause) => cause as DriverFailure })

const refusalOf = (failure: DriverFailure, server: Server): DriverFailure => {
  const refusal = failure.innerErrors?.[contactPoint(server)]
  assert.isDefined(refusal)
  return refusal
}

const column = (name: string, type: string): Protocol.Column => ({ name, type })

describe("the handshake", () => {
  it.live("lets the driver connect, with a version negotiated down to 4 and what the system tables say", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make({
        dataCenter: "paris",
        keyspaces: { shop: { class: "SimpleStrategy" } }
      })
      const client = yield* connectClient(server, {
        localDataCenter: "paris",
        keyspace: "shop"
      })
      const host = client.hosts.values()[0]!
      assert.strictEqual(client.hosts.length, 1)
      assert.strictEqual(host.datacenter, "paris")
      assert.strictEqual(host.hostId.toString(), server.hostId)
      assert.strictEqual(host.cassandraVersion, "4.1.0")
      assert.deepStrictEqual(Object.keys(client.metadata.keyspaces), ["shop"])
      assert.strictEqual(client.metadata.getTokenRanges().size, 1)
      assert.strictEqual(server.connections(), 1)
      const use = yield* server.awaitRequest("USE \"shop\"")
      assert.strictEqual(use[0]!.connection.keyspace, "shop")
      assert.include(use[0]!.connection.options["DRIVER_NAME"], "Driver")
    }))

  it.live("answers what a program may ask of the system tables", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const client = yield* connectClient(server)
      const one = yield* attempt(() => client.execute("SELECT key, data_center FROM system.local"))
      assert.deepStrictEqual({ ...one.first() }, { key: "local", data_center: "datacenter1" })
      const tables = yield* attempt(() => client.execute("SELECT * FROM system_schema.tables"))
      assert.strictEqual(tables.rowLength, 0)
      const failure = yield* Effect.flip(attempt(() => client.execute("SELECT * FROM system.peers_v2")))
      assert.strictEqual(failure.message, "unconfigured table peers_v2")
      assert.strictEqual(failure.code, 0x2200)
    }))

  it.live("refuses what has no script", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const client = yield* connectClient(server)
      const failure = yield* Effect.flip(attempt(() => client.execute("SELECT 1 FROM nowhere")))
      assert.include(failure.message, "has no script for: SELECT 1 FROM nowhere")
    }))

  it.live("asks for credentials", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password: "engine" } })
      yield* connectClient(server, { credentials: { username: "ada", password: "engine" } })
      const failure = yield* Effect.flip(connectClient(server, { credentials: { username: "ada", password: "x" } }))
      const inner = refusalOf(failure, server)
      assert.instanceOf(inner, Cassandra.errors.AuthenticationError)
      assert.include(inner.message, "Provided username ada and/or password are incorrect")
    }))

  it.live("is out of a wide script's reach, but for one that asks for it", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/./, Reply.overloaded("all"))
      yield* connectClient(server)
      server.on(/system.local/, Reply.overloaded("this too"), ["system"])
      const failure = yield* Effect.flip(connectClient(server))
      assert.deepInclude(refusalOf(failure, server), { code: 0x1001, message: "this too" })
      const health = "SELECT key FROM system.local"
      server.on(health, Reply.invalid("a string is exact"))
      const connected = yield* Effect.exit(connectClient(server))
      assert.isTrue(Exit.isFailure(connected))
    }))

  it.live("can be scripted too", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const takeBack = server.on("STARTUP", Reply.bootstrapping("not yet"), ["startup"])
      const failure = yield* Effect.flip(connectClient(server))
      assert.deepInclude(refusalOf(failure, server), { code: 0x1002 })
      takeBack()
      yield* connectClient(server)
    }))
})

describe("rows", () => {
  const columns = [
    column("a", "int"),
    column("b", "bigint"),
    column("c", "text"),
    column("d", "boolean"),
    column("e", "double"),
    column("f", "uuid"),
    column("g", "timestamp"),
    column("h", "blob"),
    column("i", "list<int>"),
    column("j", "set<text>"),
    column("k", "map<text, frozen<list<bigint>>>"),
    column("l", "tuple<int, text>"),
    column("m", "inet"),
    column("n", "smallint"),
    column("o", "tinyint"),
    column("p", "float"),
    column("q", "vector<float, 2>"),
    column("r", "duration")
  ]
  const uuid = "6f1f2a3c-0a5b-4c6d-8e7f-001122334455"

  it.live("of every type that the encoder knows, and of others as bytes", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const vector = Buffer.from([0x3f, 0x80, 0, 0, 0x40, 0, 0, 0])
      server.on(
        "SELECT * FROM all_types",
        Reply.rows({
          keyspace: "ks",
          table: "all_types",
          columns,
          rows: [
            [
              -1,
              2n ** 62n,
              "é",
              true,
              1.5,
              uuid,
              new Date(86_400_000),
              Buffer.from([1, 2]),
              [1, 2],
              ["x"],
              new Map([["m", [3n]]]),
              [7, "t"],
              "10.0.0.1",
              -2,
              -3,
              0.5,
              vector,
              Buffer.from([2, 4, 6])
            ],
            columns.map(() => null)
          ]
        })
      )
      const client = yield* connectClient(server)
      const result = yield* attempt(() => client.execute("SELECT * FROM all_types;"))
      const [row, nulls] = result.rows.map((row) => ({ ...row }))
      const text = (value: unknown) => String(value)
      assert.deepInclude(row, { a: -1, c: "é", d: true, e: 1.5, g: new Date(86_400_000), i: [1, 2], j: ["x"] })
      assert.deepInclude(row, { h: Buffer.from([1, 2]), n: -2, o: -3, p: 0.5 })
      assert.strictEqual(text(row!["b"]), text(2n ** 62n))
      assert.strictEqual(text(row!["f"]), uuid)
      assert.strictEqual(text(row!["k"].m), "3")
      assert.deepStrictEqual(row!["l"].values(), [7, "t"])
      assert.strictEqual(text(row!["m"]), "10.0.0.1")
      assert.deepStrictEqual([...row!["q"]], [1, 2])
      assert.strictEqual(text(row!["r"]), "1mo2d3ns")
      assert.deepStrictEqual(Object.values(nulls!), columns.map(() => null))
      assert.strictEqual(result.columns[2]!.name, "c")
    }))

  it.live("with bytes that do not fit their type, and types that are made up", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT short", Reply.rows({ columns: [column("a", "bigint")], rows: [[Buffer.from([1])]] }))
      server.on(
        "SELECT udt",
        Reply.rows({
          columns: [{
            name: "u",
            type: "udt",
            rawType: Buffer.concat([
              Protocol.short(0x30),
              Protocol.string("ks"),
              Protocol.string("point"),
              Protocol.short(1),
              Protocol.string("x"),
              Protocol.short(0x09)
            ])
          }],
          rows: [[Protocol.bytes(Protocol.int(5))]]
        })
      )
      const client = yield* connectClient(server)
      assert.instanceOf(yield* Effect.flip(attempt(() => client.execute("SELECT short"))), Error)
      const result = yield* attempt(() => client.execute("SELECT udt"))
      assert.deepStrictEqual({ ...result.first()["u"] }, { x: 5 })
    }))

  it.live("with warnings, a payload and a trace", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const plain = Reply.rows({ columns: [column("a", "int")], rows: [[1]] })
      const annotated = Reply.traced(
        Reply.payload(Reply.warnings(plain, ["large", "slow"]), { key: Buffer.from("value") }),
        Buffer.from(uuid.replaceAll("-", ""), "hex")
      )
      server.on("SELECT a", (request) => {
        assert.deepStrictEqual(request.payload, { ask: Buffer.from("me") })
        assert.isTrue(request.tracing)
        return Reply.delay(1, annotated)
      })
      const client = yield* connectClient(server)
      const { info, rows } = yield* attempt(() =>
        client.execute("SELECT a", [], { customPayload: { ask: Buffer.from("me") }, traceQuery: true })
      )
      assert.deepStrictEqual(info.warnings, ["large", "slow"])
      assert.deepStrictEqual({ ...info.customPayload }, { key: Buffer.from("value") })
      assert.strictEqual(String(info.traceId), uuid)
      assert.strictEqual(rows[0]!["a"], 1)
    }))

  it.live("in pages, empty ones between them", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/FROM paged/, Reply.pages({ columns: [column("a", "int")], pages: [[], [[1], [2]], [], [[3]]] }))
      const client = yield* connectClient(server)
      const read: Array<number> = []
      let pageState: string | undefined
      do {
        const page = yield* attempt(() =>
          client.execute("SELECT a FROM paged", [], { fetchSize: 2, pageState: pageState! })
        )
        read.push(...page.rows.map((row) => row["a"]))
        pageState = page.pageState as string | undefined
      } while (pageState)
      assert.deepStrictEqual(read, [1, 2, 3])
      const requests = server.received(/FROM paged/)
      assert.deepStrictEqual(requests.map((request) => request.pageState?.readInt32BE()), [undefined, 1, 2, 3])
      assert.deepStrictEqual(requests.map((request) => request.pageSize), [2, 2, 2, 2])
    }))

  it.live("a hundred thousand of them from one encoded page", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const columns = [column("a", "int"), column("b", "text")]
      const page = Protocol.encodeRows(columns, Array.from({ length: 5000 }, (_, i) => [i, `row ${i}`]))
      server.on("SELECT many", Reply.pages({ columns, pages: Array.from({ length: 20 }, () => page) }))
      const client = yield* connectClient(server)
      const count = yield* attempt(() =>
        new Promise<number>((resolve, reject) => {
          let rows = 0
          const stream: NodeJS.EventEmitter & { read?: () => unknown } = client.stream("SELECT many", [], {
            fetchSize: 5000
          })
          stream.on("readable", () => {
            while (stream.read!() !== null) rows++
          })
          stream.on("error", reject).on("end", () => resolve(rows))
        })
      )
      assert.strictEqual(count, 100_000)
    }))
})

describe("requests", () => {
  it.live("are shown to scripts as they were sent", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const seen: Array<ScriptedServer.ScriptRequest> = []
      server.on(() => true, (request) => {
        seen.push(request)
        return Reply.void
      })
      server.prepared(/INTO t/, {
        params: [column("a", "int"), column("b", "bigint"), column("c", "text")],
        partitionKeys: [0]
      })
      const client = yield* connectClient(server)
      const text = "INSERT INTO t (a, b, c) VALUES (?, ?, ?)"
      yield* attempt(() =>
        client.execute(text, [1, null, undefined], {
          prepare: true,
          consistency: Cassandra.types.consistencies.localQuorum,
          serialConsistency: Cassandra.types.consistencies.localSerial,
          timestamp: 12345
        })
      )
      yield* attempt(() => client.execute("INSERT plain VALUES (?)", ["x"]))
      yield* attempt(() =>
        client.batch([{ query: text, params: [2, null, null] }, { query: "UPDATE u" }], {
          prepare: true,
          logged: false
        })
      )
      const [executed, queried, batched] = seen
      assert.deepInclude(executed, {
        kind: "execute",
        query: text,
        consistency: "LOCAL_QUORUM",
        serialConsistency: "LOCAL_SERIAL",
        timestamp: 12345n,
        attempt: 1,
        node: server,
        skipMetadata: false
      })
      assert.deepStrictEqual(executed!.values, [Protocol.int(1), null, undefined])
      assert.deepInclude(queried, { kind: "query", query: "INSERT plain VALUES (?)", consistency: "LOCAL_ONE" })
      assert.deepStrictEqual(queried!.values, [Buffer.from("x")])
      assert.deepInclude(batched, { kind: "batch", batchType: "UNLOGGED", query: `${text}; UPDATE u` })
      assert.deepStrictEqual(batched!.values, [Protocol.int(2), null, null])
      assert.deepStrictEqual(batched!.statements.map((statement) => statement.query), [text, "UPDATE u"])
      assert.strictEqual(server.received(text, ["prepare"]).length, 1)
      yield* server.clearRequests
      assert.deepStrictEqual(server.requests, [])
    }))

  it.live("match by the newest script first, which may pass", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT a", Reply.invalid("old"))
      const takeBack = server.on(/SELECT/, (request) => request.attempt === 1 ? Reply.invalid("new") : undefined)
      const client = yield* connectClient(server)
      const run = Effect.map(Effect.flip(attempt(() => client.execute("SELECT a"))), (error) => error.message)
      assert.strictEqual(yield* run, "new")
      assert.strictEqual(yield* run, "old")
      takeBack()
      assert.strictEqual(yield* run, "old")
    }))

  it.live("are awaited, whether they came before or come later", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("INSERT", Reply.void)
      const client = yield* connectClient(server)
      yield* attempt(() => client.execute("INSERT"))
      assert.strictEqual((yield* server.awaitRequest("INSERT")).length, 1)
      const waiting = yield* Effect.forkChild(server.awaitRequest("INSERT", 3))
      yield* attempt(() => client.execute("INSERT"))
      assert.isUndefined(waiting.pollUnsafe())
      yield* attempt(() => client.execute("INSERT"))
      assert.strictEqual((yield* Fiber.join(waiting)).length, 3)
    }))

  it.live("a script that throws answers with a server error", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT a", () => assert.fail("mistaken"))
      const client = yield* connectClient(server)
      const failure = yield* Effect.flip(attempt(() => client.execute("SELECT a")))
      assert.strictEqual(failure.code, 0)
      assert.include(failure.message, "mistaken")
    }))

  it.live("prepare declares what it is told, and forgotten statements are prepared again", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on(/FROM t/, (request) => Reply.rows({ columns: [column("v", "blob")], rows: [[request.values[0]!]] }))
      const text = "SELECT v FROM t WHERE a = ? AND b = 'a ? b' AND c = :named"
      const client = yield* connectClient(server)
      const run = attempt(() => client.execute(text, { p0: "x", named: "y" }, { prepare: true }))
      assert.deepStrictEqual((yield* run).first()["v"], Buffer.from("x"))
      yield* server.forgetPrepared
      assert.deepStrictEqual((yield* run).first()["v"], Buffer.from("x"))
      assert.strictEqual(server.received(text, ["prepare"]).length, 2)
      assert.deepStrictEqual(server.received(/^$/, ["execute"]).length, 1)
    }))

  it.live("come in any chunks", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const options = Buffer.from([4, 0, 0, 7, 5, 0, 0, 0, 0])
      const startup = Buffer.concat([Buffer.from([4, 0, 0, 9, 1, 0, 0, 0, 2]), Protocol.short(0)])
      const answers = yield* Effect.callback<Buffer>((resume) => {
        const socket = Net.connect(server.port, server.host)
        const chunks: Array<Buffer> = []
        socket.on("data", (chunk: Buffer) => {
          chunks.push(chunk)
          // SUPPORTED, READY, SUPPORTED
          if (Buffer.concat(chunks).includes(Buffer.from([0x84, 0, 0, 8, 6]))) {
            resume(Effect.succeed(Buffer.concat(chunks)))
          }
        })
        const both = Buffer.concat([options, startup])
        for (const byte of both) socket.write(Buffer.from([byte]))
        options[3] = 8
        socket.write(options)
        return Effect.sync(() => socket.destroy())
      })
      assert.isTrue(answers.includes(Buffer.from([0x84, 0, 0, 9, 2, 0, 0, 0, 0])))
      assert.deepStrictEqual(server.requests.map((request) => request.kind), ["options", "startup", "options"])
      yield* server.dropConnections
    }))

  it("are cut from a stream of bytes wherever its chunks end", () => {
    const frame = (stream: number, length: number) =>
      Buffer.concat([Buffer.from([4, 0, 0, stream, 7]), Protocol.int(length), Buffer.alloc(length, stream)])
    const bytes = Buffer.concat([frame(1, 0), frame(2, 40), frame(3, 5), frame(4, 0)])
    for (let size = 1; size <= bytes.length; size++) {
      const read = Protocol.makeFrameReader()
      const frames: Array<Protocol.RequestFrame> = []
      for (let i = 0; i < bytes.length; i += size) frames.push(...read(bytes.subarray(i, i + size)))
      assert.deepStrictEqual(frames.map((frame) => [frame.stream, frame.body.length]), [[1, 0], [2, 40], [3, 5], [
        4,
        0
      ]])
      assert.isTrue(frames.every((frame) => frame.body.every((byte) => byte === frame.stream)))
    }
  })
})

describe("errors", () => {
  const cases: ReadonlyArray<readonly [string, Reply.Reply, Readonly<Record<string, unknown>>]> = [
    ["serverError", Reply.serverError("boom"), { code: 0, message: "boom" }],
    ["protocolError", Reply.protocolError("boom"), { code: 0x0a, message: "boom" }],
    ["badCredentials", Reply.badCredentials("boom"), { code: 0x100 }],
    ["unavailable", Reply.unavailable({ consistency: "QUORUM", required: 2, alive: 1 }), {
      code: 0x1000,
      consistencies: 4,
      required: 2,
      alive: 1
    }],
    ["overloaded", Reply.overloaded("boom"), { code: 0x1001, message: "boom" }],
    ["bootstrapping", Reply.bootstrapping("boom"), { code: 0x1002 }],
    ["truncateError", Reply.truncateError("boom"), { code: 0x1003 }],
    ["writeTimeout", Reply.writeTimeout({ consistency: "ALL", received: 1, blockFor: 3, writeType: "CAS" }), {
      code: 0x1100,
      consistencies: 5,
      received: 1,
      blockFor: 3,
      writeType: "CAS"
    }],
    ["readTimeout", Reply.readTimeout({ received: 1, blockFor: 2, dataPresent: true }), {
      code: 0x1200,
      consistencies: 1,
      received: 1,
      blockFor: 2,
      isDataPresent: 1
    }],
    ["readFailure", Reply.readFailure({ received: 1, blockFor: 2, failures: 3 }), {
      code: 0x1300,
      received: 1,
      blockFor: 2,
      failures: 3,
      isDataPresent: 0
    }],
    ["functionFailure", Reply.functionFailure({ keyspace: "ks", functionName: "f", argumentTypes: ["int"] }), {
      code: 0x1400,
      keyspace: "ks",
      functionName: "f",
      argTypes: ["int"]
    }],
    ["writeFailure", Reply.writeFailure({ received: 1, blockFor: 2, failures: 3, writeType: "BATCH_LOG" }), {
      code: 0x1500,
      received: 1,
      blockFor: 2,
      failures: 3,
      writeType: "BATCH_LOG"
    }],
    ["syntax", Reply.syntax("boom"), { code: 0x2000 }],
    ["unauthorized", Reply.unauthorized("boom"), { code: 0x2100 }],
    ["invalid", Reply.invalid("boom"), { code: 0x2200 }],
    ["configError", Reply.configError("boom"), { code: 0x2300 }],
    ["alreadyExists", Reply.alreadyExists({ keyspace: "ks", table: "t" }), {
      code: 0x2400,
      keyspace: "ks",
      table: "t"
    }],
    ["an error that the driver does not know", Reply.error(0x1700, "boom", Buffer.from([0, 1])), { code: 0x1700 }]
  ]

  it.live("of every kind arrive with their fields", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const client = yield* connectClient(server)
      for (const [name, reply, expected] of cases) {
        server.on(name, reply)
        const failure = yield* Effect.flip(attempt(() => client.execute(name)))
        const error = failure.innerErrors === undefined ? failure : Object.values(failure.innerErrors)[0]!
        assert.deepInclude(error, expected, name)
      }
      // Again and again it would be prepared and executed, without an end.
      server.on("unprepared", ({ attempt, preparedId }) => attempt === 1 ? Reply.unprepared(preparedId!) : Reply.void)
      yield* attempt(() => client.execute("unprepared", [], { prepare: true }))
      assert.strictEqual(server.received("unprepared").length, 2)
    }))
})

describe("faults", () => {
  it.live("silence lets the client time out and keeps the connection", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT a", (request) => request.attempt === 1 ? Reply.silence : Reply.void)
      const client = yield* connectClient(server)
      const run = attempt(() => client.execute("SELECT a", [], { readTimeout: 50 }))
      assert.instanceOf(yield* Effect.flip(run), Cassandra.errors.OperationTimedOutError)
      yield* run
      const [first, second] = server.received("SELECT a")
      assert.strictEqual(first!.connection, second!.connection)
    }))

  it.live("a heartbeat can stay unanswered", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* connectClient(server, { pooling: { heartBeatInterval: 20 } })
      server.on("OPTIONS", Reply.silence, ["options"])
      yield* server.awaitRequest("OPTIONS", 2, ["options"])
    }))

  it.live("a delayed answer lets others pass", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const gate = yield* Deferred.make<void>()
      let resolve = () => {}
      const promised = new Promise<void>((done) => {
        resolve = done
      })
      server.on("SELECT effect", Reply.delay(Deferred.await(gate), Reply.void))
      server.on("SELECT promise", Reply.delay(promised, Reply.void))
      server.on("SELECT timer", Reply.delay(1, Reply.void))
      const client = yield* connectClient(server)
      const effect = yield* Effect.forkChild(attempt(() => client.execute("SELECT effect")))
      const promise = yield* Effect.forkChild(attempt(() => client.execute("SELECT promise")))
      yield* server.awaitRequest(/effect|promise/, 2)
      yield* attempt(() => client.execute("SELECT timer"))
      assert.isUndefined(effect.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(effect)
      assert.isUndefined(promise.pollUnsafe())
      resolve()
      yield* Fiber.join(promise)
    }))

  it.live("a closed connection", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT a", Reply.close)
      const client = yield* connectClient(server)
      const failure = yield* Effect.flip(attempt(() => client.execute("SELECT a")))
      assert.isTrue(failure["isSocketError"])
    }))

  it.live("half an answer, and then the end or nothing more", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      const whole = Reply.rows({ columns: [column("a", "int")], rows: [[1]] })
      server.on("SELECT destroyed", Reply.partial(whole, 20))
      server.on("SELECT stopped", Reply.delay(1, Reply.partial(whole, 20, "stop")))
      server.on("SELECT after", Reply.void)
      const client = yield* connectClient(server)
      assert.isTrue((yield* Effect.flip(attempt(() => client.execute("SELECT destroyed"))))["isSocketError"])
      yield* server.awaitConnections(0)
      const other = yield* connectClient(server, { socketOptions: { readTimeout: 50 } })
      for (const text of ["SELECT stopped", "SELECT after"]) {
        const failure = yield* Effect.flip(attempt(() => other.execute(text)))
        assert.instanceOf(failure, Cassandra.errors.OperationTimedOutError)
      }
    }))

  it.live("connections are dropped, refused and accepted", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      yield* connectClient(server)
      assert.strictEqual(server.connections(), 1)
      yield* server.refuse
      yield* server.dropConnections
      yield* server.awaitConnections(0)
      const failure = yield* Effect.flip(connectClient(server))
      assert.include(refusalOf(failure, server).message, "ECONNREFUSED")
      yield* server.accept
      yield* connectClient(server)
    }))

  it.live("events reach the driver", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2 })
      const client = yield* connectClient(cluster, { refreshSchemaDelay: 10 })
      assert.strictEqual(client.hosts.length, 2)
      const added = Effect.callback<string>((resume) => {
        client.once("hostAdd", (host) => resume(Effect.succeed(host.address)))
      })
      const waiting = yield* Effect.forkChild(added)
      const third = yield* cluster.add()
      yield* cluster.pushEvent({ type: "TOPOLOGY_CHANGE", change: "NEW_NODE", address: third.host, port: third.port })
      assert.strictEqual(yield* Fiber.join(waiting), contactPoint(third))
      yield* cluster.pushEvent({
        type: "SCHEMA_CHANGE",
        change: "UPDATED",
        target: "TABLE",
        keyspace: "ks",
        name: "t"
      })
    }))
})

describe("a cluster", () => {
  it.live("has peers that agree, and nodes that answer each in their way", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({
        nodes: [{}, { dataCenter: "datacenter2" }, { rack: "rack2" }],
        keyspaces: { ks: { class: "SimpleStrategy", replication_factor: "2" } }
      })
      const client = yield* connectClient(cluster)
      const hosts = client.hosts.values()
      assert.deepStrictEqual(
        hosts.map((host) => [host.address, host.datacenter, host.rack, host.hostId.toString()]).sort(),
        cluster.nodes.map((node) => [contactPoint(node), node.dataCenter, node.rack, node.hostId])
      )
      assert.strictEqual(client.metadata.getTokenRanges().size, 3)
      assert.strictEqual(client.metadata.getReplicas("ks", Buffer.from("key"))!.length, 2)
      cluster.on("SELECT a", Reply.void)
      cluster.nodes[0]!.on("SELECT a", Reply.overloaded("only here"))
      const outcomes = yield* Effect.forEach(
        [1, 2, 3, 4],
        () => Effect.exit(attempt(() => client.execute("SELECT a", [], { isIdempotent: true })))
      )
      assert.deepStrictEqual(outcomes.map((exit) => exit._tag).sort(), ["Failure", "Failure", "Success", "Success"])
      assert.strictEqual(cluster.received("SELECT a").length, 4)
      assert.strictEqual(cluster.nodes[0]!.received("SELECT a").length, 2)
      assert.strictEqual(cluster.nodes[1]!.received("SELECT a").length, 0)
    }))

  it.live("loses a node", () =>
    Effect.gen(function*() {
      const cluster = yield* ScriptedServer.makeCluster({ nodes: 2 })
      cluster.on("SELECT a", Reply.void)
      yield* cluster.remove(cluster.nodes[1]!)
      const client = yield* connectClient(cluster)
      assert.strictEqual(client.hosts.length, 1)
      yield* attempt(() => client.execute("SELECT a"))
    }))
})

describe("the scope", () => {
  it.live("closes sockets, listeners and answers that wait", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(ScriptedServer.make(), scope)
      server.on("SELECT a", Reply.delay(600_000, Reply.void))
      const client = yield* connectClient(server)
      const running = yield* Effect.forkChild(Effect.flip(attempt(() => client.execute("SELECT a"))))
      yield* server.awaitRequest("SELECT a")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue((yield* Fiber.join(running))["isSocketError"])
      assert.strictEqual(server.connections(), 0)
      assert.notInclude(process.getActiveResourcesInfo(), "TCPServerWrap")
    }))
})
