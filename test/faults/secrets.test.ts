import { assert, describe, it } from "@effect/vitest"
import cassandra from "cassandra-driver"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { spawn } from "node:child_process"
import { writeFile } from "node:fs/promises"
import * as Https from "node:https"
import { createRequire } from "node:module"
import * as Net from "node:net"
import { join } from "node:path"
import * as Tls from "node:tls"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { Cluster, cql, CqlStream, CqlType, Session, Statement } from "../../src/index.ts"
import * as Certificates from "../support/Certificates.ts"
import * as Keyspace from "../support/keyspace.ts"
import * as Reply from "../support/Reply.ts"
import { connect, untilNode } from "../support/scripted.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import { temporaryFolder } from "../testing/support.ts"

// -----------------------------------------------------------------------------
// What must not show, and all that shows
// -----------------------------------------------------------------------------

const text = "squeamish ossifrage"
const number = 918273645
const bytes = Buffer.from("c0ffee5ca1ab1e00decafbad", "hex")
const uuid = "5eb1ce5a-7c3d-4e1a-9b55-0f00ba12dead"
const password = "correct horse battery staple"
const passphrase = "open sesame 4711"
const { cert, key } = Certificates.makeSelfSigned()

/** A line of the key in the middle: the first ones are the same in every key. */
const lineOfKey = key.split(/\r?\n/)[5]!

const marks: ReadonlyArray<string> = [
  text,
  String(number),
  bytes.toString("hex"),
  uuid,
  password,
  passphrase,
  lineOfKey,
  // As JSON and as a frame of PLAIN have them.
  Buffer.from(`\0ada\0${password}`).toString("hex"),
  Buffer.from(password).toString("base64")
]

interface Printed {
  readonly by: string
  readonly text: string
}

const leaks = (printed: ReadonlyArray<Printed>): ReadonlyArray<string> =>
  printed.flatMap(({ by, text }) =>
    marks.filter((mark) => text.includes(mark)).map((mark) => `${by} shows ${mark}: ${around(text, mark)}`)
  )

const around = (text: string, mark: string): string => {
  const at = text.indexOf(mark)
  return JSON.stringify(text.slice(Math.max(0, at - 150), at + 150))
}

/** What throws (a circle, as JSON) prints its error in place of it. */
const print = (by: string, f: () => string | undefined): Printed => {
  try {
    return { by, text: f() ?? "" }
  } catch (error) {
    return { by, text: inspect(error, { depth: 10 }) }
  }
}

const printValue = (by: string, value: unknown): ReadonlyArray<Printed> => [
  print(`String of ${by}`, () => String(value)),
  print(`inspect of ${by}`, () => inspect(value, { depth: 12 })),
  print(`inspect of ${by} with what is hidden`, () => inspect(value, { depth: 7, showHidden: true })),
  print(`JSON of ${by}`, () => JSON.stringify(value))
]

const printError = (error: unknown): ReadonlyArray<Printed> => [
  ...printValue("the error", error),
  print("message", () => (error as Error).message),
  print("stack", () => (error as Error).stack),
  print("keys", () => inspect(Object.entries(error as object), { depth: 12 }))
]

const printCause = (cause: Cause.Cause<unknown>): ReadonlyArray<Printed> => [
  print("Cause.pretty", () => Cause.pretty(cause)),
  ...printValue("the cause", cause),
  ...Cause.prettyErrors(cause).flatMap((error) => printValue("a pretty error", error))
]

const printSpan = (span: Tracer.NativeSpan): ReadonlyArray<Printed> => [
  print("a span's name", () => span.name),
  ...printValue("a span's attributes", [...span.attributes]),
  ...printValue("a span's events", span.events),
  ...(span.status._tag === "Ended" && Exit.isFailure(span.status.exit) ? printCause(span.status.exit.cause) : [])
]

/** Collects lines and spans of what is run with it. */
const makeCollector = () => {
  const lines: Array<Printed> = []
  const spans: Array<Tracer.NativeSpan> = []
  const collect = <A>(by: string, logger: Logger.Logger<unknown, A>) =>
    Logger.map(
      logger,
      (line) => void lines.push({ by, text: typeof line === "string" ? line : inspect(line, { depth: 12 }) })
    )
  const loggers = Logger.layer([
    collect("a line", Logger.formatSimple),
    collect("a line in logfmt", Logger.formatLogFmt),
    collect("a line in JSON", Logger.formatJson),
    collect("a structured line", Logger.formatStructured),
    collect("a line that prints what it is given", Logger.make(({ cause, message }) => ({ cause, message })))
  ])
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return {
    layer: Layer.mergeAll(loggers, Layer.succeed(Tracer.Tracer, tracer)),
    printed: (): ReadonlyArray<Printed> => [...lines, ...spans.flatMap(printSpan)]
  }
}

/** Everything that an application could print of a failure; the failure itself is what is tested, so it must fail. */
const printFailure = <A, E, R>(failing: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<Printed>, never, R> =>
  Effect.gen(function*() {
    const collector = makeCollector()
    const exit = yield* failing.pipe(
      Effect.tapCause((cause) =>
        Effect.all([
          Effect.logError("it failed", cause),
          Effect.logError(cause.reasons),
          Effect.log(Cause.squash(cause))
        ])
      ),
      Effect.withSpan("the application's"),
      Effect.provide(collector.layer),
      Effect.exit
    )
    assert(Exit.isFailure(exit), "it did not fail")
    assert.isFalse(Cause.hasDies(exit.cause), Cause.pretty(exit.cause))
    return [...printError(Cause.squash(exit.cause)), ...printCause(exit.cause), ...collector.printed()]
  })

const assertNothingShows = (printed: ReadonlyArray<Printed>): void => {
  assert.isAbove(printed.length, 0)
  // The first few tell enough.
  assert.deepStrictEqual(leaks(printed).slice(0, 3), [])
}

// -----------------------------------------------------------------------------
// Situations
// -----------------------------------------------------------------------------

type Situations<R> = Readonly<Record<string, Effect.Effect<unknown, unknown, R>>>

const insertJson = cql`INSERT INTO things JSON ${JSON.stringify({ id: text, n: `not a number: ${password}` })}`

const Thing = Schema.Struct({ id: Schema.Literals(["a", "b"]), n: CqlType.Int })

const withThing = cql`INSERT INTO things (id, n, data, u) VALUES (${text}, ${number}, ${bytes}, ${uuid})`

const onRealServer: Situations<Session | Cluster | Scope.Scope> = {
  "a syntax error": cql`SELEKT * FROM things WHERE id = ${text} AND n = ${number} AND u = ${uuid}`,
  "a column that there is not": cql`SELECT * FROM things WHERE nothing = ${text}`,
  "a password that the text spells out, in a statement that is wrong":
    cql`CREATE ROLE nobody WITH PASSWORD = 'correct horse battery staple' AND LOGON = true`,
  "a password that the text spells out, of a role that there is not":
    cql`ALTER ROLE nobody_at_all WITH PASSWORD = 'correct horse battery staple'`,
  "a hashed password that is none": cql`CREATE ROLE nobody WITH HASHED PASSWORD = 'correct horse battery staple'`,
  "a value that the server repeats": insertJson,
  "a value of another type than its column": cql`INSERT INTO things (id, n) VALUES (${text}, ${text})`,
  "bytes for a number": cql`INSERT INTO things (id, n) VALUES (${text}, ${bytes})`,
  "a number that is too large": cql`INSERT INTO things (id, n) VALUES (${text}, ${number * 1000})`,
  "no uuid": cql`INSERT INTO things (id, u) VALUES (${text}, ${text})`,
  "a map with a value that does not fit": cql`INSERT INTO things (id, m) VALUES (${text}, ${{ [password]: text }})`,
  "a parameter too few": cql`SELECT * FROM things WHERE id = ${text} AND n = ?`,
  "a function that throws with its argument": withThing.pipe(
    Effect.andThen(cql`SELECT fails(id) FROM things WHERE id = ${text}`)
  ),
  "a JSON text that is none": cql`INSERT INTO things JSON ${`{"id": "${text}", n: ${number}`}`,
  "JSON with a column that there is not": cql`INSERT INTO things JSON ${JSON.stringify({ id: text, nothing: number })}`,
  "fromJson of something else": cql`INSERT INTO things (id, n) VALUES (${text}, fromJson(${`"${password}"`}))`,
  "a batch of which one does not fit": Statement.batch([withThing, insertJson]),
  "a batch whose parameters do not fit": Statement.batch([
    withThing,
    cql`INSERT INTO things (id, n) VALUES (${text}, ${text})`
  ]),
  "a lightweight transaction that the server refuses": cql`INSERT INTO things JSON ${
    JSON.stringify({ id: text, n: password })
  } IF NOT EXISTS`,
  "a key that is too long": cql`SELECT * FROM things WHERE id = ${text.repeat(4000)}`,
  "a row that does not fit its schema": withThing.pipe(
    Effect.andThen(cql(Thing)`SELECT id, n FROM things WHERE id = ${text}`)
  ),
  "a row that does not fit its schema, in a stream": withThing.pipe(
    Effect.andThen(Stream.runDrain(CqlStream.rows(cql(Thing)`SELECT id, n FROM things WHERE id = ${text}`)))
  ),
  "too many rows": withThing.pipe(
    Effect.andThen(cql`SELECT id FROM things WHERE id = ${text}`.pipe(Statement.withOptions({ maxRows: 1 }))),
    Effect.andThen(cql`INSERT INTO many (id, n) VALUES (${text}, 1)`),
    Effect.andThen(cql`INSERT INTO many (id, n) VALUES (${text}, 2)`),
    Effect.andThen(cql`SELECT id FROM many WHERE id = ${text}`.pipe(Statement.withOptions({ maxRows: 1 })))
  ),
  "a statement that does not fit, checked": Statement.check(cql`INSERT INTO things (id, n) VALUES (${text}, ${text})`),
  "a node that there is not": withThing.pipe(Statement.withOptions({ node: "10.9.8.7:9042" })),
  "a driver's own statement": Effect.flatMap(
    Cluster,
    (cluster) =>
      cluster.use((client) => client.execute("SELECT * FROM system.local WHERE key = ?", [number], { prepare: false }))
  )
}

const tls: Cluster.Tls = {
  cert: Certificates.makeSelfSigned().cert,
  key: Redacted.make(Certificates.encryptKey(key, passphrase)),
  passphrase: Redacted.make(`${passphrase} and more`)
}

class VaultError extends Data.TaggedError("VaultError")<{ readonly password: string }> {
  override get message(): string {
    return `the vault has no other than ${this.password}`
  }
}

const withScripted = <A, E>(
  f: (server: ScriptedServer.ScriptedServer) => Effect.Effect<A, E, Scope.Scope>,
  options?: ScriptedServer.ServerOptions
) => Effect.flatMap(ScriptedServer.make(options), f)

/** Runs a statement that binds every mark, against a server that answers like this. */
const answeredBy = (reply: Reply.Reply | ScriptedServer.Handler, options: Session.Options = {}) =>
  withScripted((server) => {
    server.on(/^INSERT/, reply)
    return Effect.flatMap(connect(server, { ...login, ...options }), bindAll)
  })

const bindAll = ({ cql }: Session["Service"]) => cql`INSERT ${text}, ${String(number)}, ${uuid}, ${password}`

const login = { username: "ada", password: Redacted.make(password) }

/** As a server, or something between, that repeats all it was sent. */
const everything = `you sent ${text}, ${number}, ${uuid} and '${password}'`

const onScriptedServer: Situations<Scope.Scope> = {
  "a server error that repeats all": answeredBy(Reply.serverError(everything)),
  "an invalid query that repeats all": answeredBy(Reply.invalid(everything)),
  "a refusal that repeats all": answeredBy(Reply.unauthorized(everything)),
  "an overload that repeats all": answeredBy(Reply.overloaded(everything), { timeout: "1 second" }),
  "a wrong configuration that repeats all": answeredBy(Reply.configError(everything)),
  "a function that repeats all": answeredBy(Reply.functionFailure({
    keyspace: "k",
    functionName: "f",
    argumentTypes: ["text"],
    message: everything
  })),
  "an unknown code that repeats all": answeredBy(Reply.error(0x7777, everything)),
  "a protocol error that repeats all": answeredBy(Reply.protocolError(everything)),
  "a lightweight transaction of which nobody knows": answeredBy(Reply.error(0x1700, everything)),
  "warnings that repeat all, and then a failure": answeredBy(
    Reply.warnings(Reply.invalid(everything), [everything])
  ),
  "warnings that repeat all, and a success that only the application finds wrong": Effect.andThen(
    answeredBy(Reply.warnings(Reply.void, [everything])),
    Effect.fail("not good enough")
  ),
  "a limit that ran out": answeredBy(Reply.silence, { timeout: "50 millis" }),
  "a connection that is cut": answeredBy(Reply.close),
  "half an answer": answeredBy(Reply.partial(Reply.void, 4)),
  "an answer that is none": answeredBy(Reply.response(0x77, Buffer.from(everything))),
  "no node": withScripted((server) =>
    Effect.gen(function*() {
      const session = yield* connect(server, login)
      yield* server.refuse
      yield* untilNode("hostDown", session, server.dropConnections)
      yield* bindAll(session)
    })
  ),
  "a closed session": withScripted((server) => Effect.flatMap(Effect.scoped(connect(server, login)), bindAll)),
  "a wrong password": withScripted(
    (server) => connect(server, login),
    { authenticate: { username: "ada", password: "another" } }
  ),
  "a wrong password that the server repeats": withScripted((server) => {
    server.on("AUTHRESPONSE", Reply.badCredentials(`you sent ${password}`), ["authResponse"])
    return connect(server, login)
  }, { authenticate: { username: "ada", password: "another" } }),
  "an old password on a node that comes back": withScripted((server) =>
    Effect.gen(function*() {
      const session = yield* connect(server, { ...login, reconnectDelay: { base: "1 millis", max: "1 millis" } })
      server.on("AUTHRESPONSE", Reply.badCredentials(`you sent ${password}`), ["authResponse"])
      const before = server.received("AUTHRESPONSE", ["authResponse"]).length
      yield* untilNode("hostDown", session, server.dropConnections)
      yield* server.awaitRequest("AUTHRESPONSE", before + 5, ["authResponse"])
      yield* bindAll(session)
    }), { authenticate: { username: "ada", password } }),
  "a wrong password that is tried in the background": withScripted((server) => {
    server.on("AUTHRESPONSE", Reply.badCredentials(`you sent ${password}`), ["authResponse"])
    return Effect.gen(function*() {
      const session = yield* connect(server, {
        ...login,
        connectInBackground: true,
        connectSchedule: Schedule.recurs(3)
      })
      yield* server.awaitRequest("AUTHRESPONSE", 4, ["authResponse"])
      yield* bindAll(session)
    })
  }, { authenticate: { username: "ada", password: "another" } }),
  "credentials that cannot be had": withScripted(
    (server) => connect(server, { credentials: Effect.fail(new VaultError({ password })) }),
    { authenticate: { username: "ada", password } }
  ),
  "credentials whose program has a defect": withScripted(
    (server) => connect(server, { credentials: Effect.die(new Error(password)) }),
    { authenticate: { username: "ada", password } }
  ),
  "credentials beside others": withScripted((server) =>
    connect(server, { ...login, credentials: Effect.succeed(login) })
  ),
  "credentials that are none": withScripted((server) => connect(server, { credentials: login as never })),
  "a password that is not Redacted": withScripted((server) =>
    connect(server, { username: "ada", password: password as never })
  ),
  "a passphrase that is wrong": withScripted((server) => connect(server, { tls })),
  "a key that is not the certificate's": withScripted((server) =>
    connect(server, { tls: { cert: tls.cert, key: Redacted.make(key) } })
  ),
  "a key that is cut": withScripted((server) =>
    connect(server, { tls: { cert: tls.cert, key: Redacted.make(key.slice(0, -100)) } })
  ),
  "a key in the place of the certificate": withScripted((server) =>
    connect(server, { tls: { cert: key, key: Redacted.make(key) } })
  ),
  "a key in the driver's own options": withScripted((server) =>
    connect(server, {
      driverOptions: { sslOptions: { key: Certificates.encryptKey(key, passphrase), passphrase: text } }
    })
  ),
  "a filter of nodes that throws": withScripted((server) =>
    connect(server, {
      nodeFilter: () => {
        throw new Error(`${text} ${password}`)
      }
    }).pipe(Effect.flatMap(bindAll))
  ),
  "a translator of addresses that throws": Effect.gen(function*() {
    const servers = yield* ScriptedServer.makeCluster({ nodes: 2, subnet: "127.0.83" })
    servers.on(/^INSERT/, Reply.invalid(everything))
    const session = yield* connect(servers, {
      addressTranslator: () => {
        throw new Error(`${text} ${password}`)
      }
    })
    // An event makes the driver translate in a socket's callback, where a throw would end the process.
    yield* servers.pushEvent({
      type: "STATUS_CHANGE",
      change: "UP",
      address: servers.nodes[1]!.host,
      port: servers.port
    })
    yield* session.cql`SELECT key FROM system.local`
    yield* bindAll(session)
  })
}

// -----------------------------------------------------------------------------
// A process of its own
// -----------------------------------------------------------------------------

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What a program prints until it ends; what it is given comes by its environment. */
const run = (program: string, port: number): Effect.Effect<{ readonly code: number | null; readonly output: string }> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [
      "--conditions=effect-cassandra-source",
      "--input-type=module",
      "-e",
      program
    ], {
      cwd: root,
      env: { ...process.env, PORT: String(port), MARK: text, MARK_PASSWORD: password },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => void (output += String(chunk)))
    child.on("close", (code) => resume(Effect.succeed({ code, output })))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

// -----------------------------------------------------------------------------
// A service in front of the real server, as Astra's
// -----------------------------------------------------------------------------

/** What the driver itself reads bundles with; it has no types. */
const AdmZip = createRequire(createRequire(import.meta.url).resolve("cassandra-driver"))("adm-zip") as new() => {
  readonly addFile: (name: string, content: Buffer) => void
  readonly toBuffer: () => Buffer
}

const listening = <A extends Net.Server>(server: A): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
    }),
    () => Effect.sync(() => void server.close())
  )

/** The bundle of a service that demands the client's certificate, and of the proxy that it tells of. */
const makeBundle = Effect.fnUntraced(function*(
  authority: Certificates.Authority,
  node: Certificates.Certificate,
  client: Certificates.Certificate
) {
  const { contactPoints, port: target } = yield* Session.config
  const [known] = yield* Effect.flatMap(Cluster.make(yield* Session.config), ({ nodes }) => nodes)
  const options = { ...node, ca: authority.cert, requestCert: true, rejectUnauthorized: true }
  const proxy = yield* listening(Tls.createServer(options, (socket) => {
    const there = Net.connect(target!, contactPoints![0])
    socket.on("error", () => there.destroy())
    there.on("error", () => socket.destroy())
    socket.pipe(there).pipe(socket)
  }))
  const contactInfo = {
    type: "sni_proxy",
    local_dc: known!.dataCenter,
    contact_points: [known!.hostId],
    sni_proxy_address: `127.0.0.1:${proxy}`
  }
  const service = Https.createServer(options, (_, response) => {
    response.end(JSON.stringify({ contact_info: contactInfo }))
  })
  const port = yield* listening(service)
  const zip = new AdmZip()
  zip.addFile("ca.crt", Buffer.from(authority.cert))
  zip.addFile("cert", Buffer.from(client.cert))
  zip.addFile("key", Buffer.from(client.key))
  zip.addFile("config.json", Buffer.from(JSON.stringify({ host: "localhost", port, username: "token", password })))
  const file = join(yield* temporaryFolder, "bundle.zip")
  yield* Effect.promise(() => writeFile(file, zip.toBuffer()))
  return file
})

const preamble = `
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { cql, Session } from "effect-cassandra"
const { MARK, MARK_PASSWORD, PORT } = process.env
const options = {
  contactPoints: ["127.0.0.1:" + PORT],
  port: Number(PORT),
  username: "ada",
  password: Redacted.make(MARK_PASSWORD)
}
const program = Effect.provide(cql\`INSERT \${MARK}, \${MARK_PASSWORD}\`, Session.layer(options))
`

const endings: Readonly<Record<string, string>> = {
  "a promise that nobody catches": "void Effect.runPromise(program)",
  "runMain": "NodeRuntime.runMain(program)",
  "a console":
    "console.error(await Effect.runPromise(Effect.flip(program))); console.log(await Effect.runPromiseExit(program)); process.exit(1)"
}

describe("no value and no secret shows", () => {
  const createTables = Effect.gen(function*() {
    yield* cql`CREATE TABLE things (id text PRIMARY KEY, n int, data blob, u uuid, m map<text, int>)`
    yield* cql`CREATE TABLE many (id text, n int, PRIMARY KEY (id, n))`
    yield* cql`CREATE FUNCTION fails(a text) CALLED ON NULL INPUT RETURNS text LANGUAGE java
      AS 'throw new RuntimeException(a);'`
  })
  const tables = Layer.effectDiscard(createTables).pipe(Layer.provideMerge(Keyspace.layer), Layer.orDie)

  it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })("of a real server's refusals", (it) => {
    for (const [what, failing] of Object.entries(onRealServer)) {
      it.effect(what, () => Effect.map(printFailure(failing), assertNothingShows))
    }
  })

  describe("of failures that no real server shows on demand", () => {
    for (const [what, failing] of Object.entries(onScriptedServer)) {
      it.live(what, () => Effect.map(printFailure(failing), assertNothingShows))
    }
  })

  describe("of what is at hand while nothing fails", () => {
    const printSession = (session: Session["Service"]) =>
      Effect.gen(function*() {
        return [
          ...printValue("the session", session),
          ...printValue("its template", session.cql),
          ...printValue("the cluster", session.cluster),
          ...printValue("the nodes", yield* session.cluster.nodes),
          ...printValue("the driver's client", yield* session.cluster.use((client) => Promise.resolve(client))),
          ...printValue("a statement", bindAll(session)),
          ...printValue("a statement of the context", withThing),
          ...printValue("a batch", Statement.batch([withThing, withThing]))
        ]
      })

    for (const options of [login, { credentials: Effect.succeed(login) }]) {
      it.live(`a session, a cluster and a statement: ${Object.keys(options).join(", ")}`, () =>
        Effect.gen(function*() {
          const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password } })
          server.on(/^INSERT/, Reply.void)
          const session = yield* connect(server, options)
          yield* bindAll(session)
          assertNothingShows(yield* printSession(session))
        }))
    }

    it.live("a session whose driver has a provider of its own", () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password } })
        const authProvider = new cassandra.auth.PlainTextAuthProvider("ada", password)
        const session = yield* connect(server, { driverOptions: { authProvider } })
        const client = yield* session.cluster.use((client) => Promise.resolve(client))
        for (const value of [session, session.cluster, client]) {
          assert.notInclude(inspect(value, { depth: 12 }), password)
        }
      }))

    it.live("a session with a certificate of its own, by TLS", () =>
      Effect.gen(function*() {
        const session = yield* Session.make({
          ...yield* Session.config,
          tls: {
            caFile: process.env["CASSANDRA_TLS_CA_FILE"],
            cert,
            key: Redacted.make(Certificates.encryptKey(key, passphrase)),
            passphrase: Redacted.make(passphrase)
          }
        })
        yield* session.cql`SELECT key FROM system.local`
        assertNothingShows(yield* printSession(session))
      }))
  })

  describe("of what is at hand with a secure connect bundle", () => {
    it.live("and credentials in place of its own", () =>
      Effect.gen(function*() {
        const authority = Certificates.makeAuthority("of the bundle")
        const node = authority.issue({ addresses: ["127.0.0.1"], names: ["localhost", "127.0.0.1"] })
        const client = authority.issue()
        const secureConnectBundle = yield* makeBundle(authority, node, client)
        const { password: passwordOfToday, username } = yield* Session.config
        const credentials = Effect.succeed({ username: username!, password: passwordOfToday! })
        const session = yield* Session.make({ secureConnectBundle, credentials })
        yield* session.cql`SELECT key FROM system.local`
        const raw = yield* session.cluster.use((client) => Promise.resolve(client))
        for (const value of [session, session.cluster, raw]) {
          const printed = inspect(value, { depth: 12, maxStringLength: null })
          assert.notInclude(printed, password)
          assert.notMatch(printed, /\bkey: <Buffer/)
          assert.notInclude(printed, client.key.split(/\r?\n/)[5]!)
        }
      }))
  })

  describe("of what a process prints at its end, by", () => {
    for (const [what, ending] of Object.entries(endings)) {
      it.live(what, () =>
        Effect.gen(function*() {
          const server = yield* ScriptedServer.make({ authenticate: { username: "ada", password } })
          server.on(/^INSERT/, Reply.invalid(`you sent ${text} and ${password}`))
          const { code, output } = yield* run(`${preamble}${ending}`, server.port)
          assert.strictEqual(code, 1, output)
          assert.include(output, "you sent")
          assertNothingShows([{ by: "the process", text: output }])
        }), 120_000)
    }
  })
})

describe("these tests", () => {
  it("see a mark wherever it is", () => {
    for (const mark of marks) {
      assert.isAbove(leaks(printError(new Error(`it is ${mark}`))).length, 0)
      assert.isAbove(leaks(printValue("a value", { deep: { down: [mark] } })).length, 0)
    }
  })

  it.live("see what is logged, and what spans hold", () =>
    Effect.gen(function*() {
      const failing = Effect.fail("quiet").pipe(
        Effect.tapError(() => Effect.logInfo("logged", { text })),
        Effect.withSpan(`a span of ${password}`, { attributes: { uuid } })
      )
      const found = leaks(yield* printFailure(failing)).join("\n")
      for (const mark of [text, password, uuid]) assert.include(found, `shows ${mark}`)
    }))
})
