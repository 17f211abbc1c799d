import { assert, describe, it } from "@effect/vitest"
import { auth, Client } from "cassandra-driver"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import * as Net from "node:net"
import { join } from "node:path"
import * as Tls from "node:tls"
import { fileURLToPath } from "node:url"
import { Cluster, cql, Session } from "../../src/index.ts"
import { CassandraServer } from "../../src/testing/index.ts"
import * as JavaModule from "../../src/testing/internal/java.ts"
import { isAlive, makeTether, pathWith, removal, script, temporaryFolder, withVariables } from "./support.ts"

type Server = CassandraServer["Service"]

const silent = { onProgress: () => Effect.void }

describe("a server that runs already", () => {
  it.effect("is taken from the environment", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "authority.pem")
      yield* Effect.promise(() => writeFile(file, "PEM"))
      const server = yield* withVariables({
        CASSANDRA_CONTACT_POINTS: "10.0.0.1, 10.0.0.2",
        CASSANDRA_PORT: "9043",
        CASSANDRA_LOCAL_DATACENTER: "dc7",
        CASSANDRA_USERNAME: "ada",
        CASSANDRA_PASSWORD: "secret",
        CASSANDRA_TLS_CA_FILE: file
      })(CassandraServer.make(silent))
      assert.deepStrictEqual(server, {
        kind: "external",
        contactPoints: ["10.0.0.1", "10.0.0.2"],
        port: 9043,
        localDataCenter: "dc7",
        credentials: { username: "ada", password: Redacted.make("secret") },
        tls: true,
        certificate: { pem: "PEM", file },
        process: undefined
      })
      assert.strictEqual(Redacted.value(server.credentials!.password), "secret")
    }))

  it.effect("needs no more than its contact points", () =>
    Effect.gen(function*() {
      const server = yield* withVariables({ CASSANDRA_CONTACT_POINTS: "db" })(CassandraServer.make(silent))
      assert.deepStrictEqual(server, {
        kind: "external",
        contactPoints: ["db"],
        port: 9042,
        localDataCenter: "datacenter1",
        credentials: undefined,
        tls: false,
        certificate: undefined,
        process: undefined
      })
    }))

  it.effect("is found by the environment that describes it", () =>
    Effect.gen(function*() {
      const environment = {
        CASSANDRA_CONTACT_POINTS: "one,two",
        CASSANDRA_PORT: "9043",
        CASSANDRA_LOCAL_DATACENTER: "dc7",
        CASSANDRA_USERNAME: "ada",
        CASSANDRA_PASSWORD: "secret",
        CASSANDRA_TLS: "true"
      }
      const server = yield* withVariables(environment)(CassandraServer.make(silent))
      assert.deepStrictEqual(CassandraServer.toEnvironment(server), environment)
    }))

  it.effect("is refused where the environment makes no sense", () =>
    Effect.gen(function*() {
      const fail = (variables: Record<string, string>) =>
        Effect.flip(
          withVariables({ CASSANDRA_CONTACT_POINTS: "db", ...variables })(Effect.scoped(CassandraServer.make(silent)))
        )
      const port = yield* fail({ CASSANDRA_PORT: "many" })
      assert.strictEqual(port.reason, "InvalidConfiguration")
      assert.include(port.message, "CASSANDRA_PORT")
      const certificate = yield* fail({ CASSANDRA_TLS_CA_FILE: "/no/such/file" })
      assert.strictEqual(certificate.reason, "InvalidConfiguration")
      assert.include(certificate.message, "/no/such/file")
    }))

  it.effect("lends keyspaces: each in nobody's way, and gone with its layer", () =>
    Effect.gen(function*() {
      const inKeyspace = Effect.gen(function*() {
        yield* cql`CREATE TABLE users (name text PRIMARY KEY)`
        yield* cql`INSERT INTO users (name) VALUES ('Ada')`
        assert.deepStrictEqual(yield* cql`SELECT name FROM users`, [{ name: "Ada" }])
        const { keyspaces } = yield* Cluster
        const { keyspace } = yield* Session
        assert.isTrue((yield* keyspaces).some(({ name }) => name === keyspace))
        return keyspace
      })
      // Layers are shared by what they are, so each of these is made anew.
      const alone = Effect.suspend(() =>
        Effect.provide(inKeyspace, CassandraServer.layerKeyspace({ applicationName: "test" }), { local: true })
      )
      const names = yield* Effect.all([alone, alone], { concurrency: 2 })
      assert.notStrictEqual(names[0], names[1])
      const left = yield* Effect.provide(Effect.flatMap(Cluster, ({ keyspaces }) => keyspaces), Cluster.layerConfig())
      assert.isFalse(left.some(({ name }) => names.includes(name)))
    }).pipe(Effect.provide(CassandraServer.layer(silent))))
})

describe("a machine where nothing serves", () => {
  const onEmptyMachine = Effect.fnUntraced(function*(options: CassandraServer.Options) {
    const empty = yield* temporaryFolder
    return yield* Effect.scoped(CassandraServer.make({ ...silent, ...options })).pipe(
      withVariables({ CASSANDRA_CONTACT_POINTS: "", DOCKER_HOST: `unix://${empty}/docker.sock`, PATH: empty }),
      Effect.provideService(JavaModule.JavaFolders, []),
      Effect.flip
    )
  })

  it.effect("is told once what to install", () =>
    Effect.gen(function*() {
      const error = yield* onEmptyMachine({})
      assert.strictEqual(error._tag, "CassandraServerError")
      assert.strictEqual(error.reason, "NothingServes")
      for (
        const part of [
          "CASSANDRA_CONTACT_POINTS is not set",
          "no Docker daemon answers",
          "no Java is installed",
          "install a JDK 17 and Maven",
          "@testcontainers/cassandra"
        ]
      ) {
        assert.include(error.message, part)
      }
    }))

  it.effect("is asked only for the kind that is wanted", () =>
    Effect.gen(function*() {
      const error = yield* onEmptyMachine({ kind: "container" })
      assert.include(error.message, "no Docker daemon answers")
      assert.notInclude(error.message, "Java is installed")
    }))
})

/** A Java that needs no time: what it does instead of running Cassandra is a shell script. */
const makeFakeJava = Effect.fnUntraced(function*(cassandra: string) {
  const folder = yield* temporaryFolder
  const home = join(folder, "java")
  yield* script(
    join(home, "bin"),
    "java",
    `case "$*" in
-XshowSettings*) echo " java.home = ${home}"; echo " java.specification.version = 17"; exit;;
esac
echo "$PWD" >> "${folder}/folders"
attempts=$(wc -l < "${folder}/folders")
${cassandra}`
  )
  const jars = join(folder, "cassandra-5.0.6")
  yield* Effect.promise(() => mkdir(join(jars, "lib"), { recursive: true }))
  yield* Effect.promise(() => writeFile(join(jars, "complete.json"), "{}"))
  return {
    folders: Effect.promise(() => readFile(join(folder, "folders"), "utf8")).pipe(
      Effect.map((text) => text.trim().split("\n"))
    ),
    make: (options: CassandraServer.Options = {}) =>
      CassandraServer.make({ kind: "local", cacheFolder: folder, ...silent, ...options }).pipe(
        withVariables({ JAVA_HOME: home, PATH: pathWith(folder) })
      )
  }
})

describe("the start of a local server", () => {
  it.effect("tries another port where one is taken", () =>
    Effect.gen(function*() {
      const java = yield* makeFakeJava(
        `[ $attempts -lt 3 ] && { echo "Failed to bind port"; exit 1; }; echo "Startup complete"; exec sleep 1000`
      )
      const server = yield* java.make()
      const folders = yield* java.folders
      assert.strictEqual(folders.length, 3)
      assert.strictEqual(server.process?.folder, folders[2])
    }))

  it.effect("fails where every port is taken, and shows the log", () =>
    Effect.gen(function*() {
      const java = yield* makeFakeJava(`echo "ERROR Failed to bind port"; exit 1`)
      const error = yield* Effect.flip(Effect.scoped(java.make()))
      const folders = yield* java.folders
      assert.strictEqual(error.reason, "StartFailed")
      assert.include(error.message, "code 1")
      assert.include(error.message, "ERROR Failed to bind port")
      assert.deepStrictEqual(folders.map((folder) => existsSync(folder)), [false, false, false])
    }))

  it.effect("waits for the superuser where clients have to log in", () =>
    Effect.gen(function*() {
      const java = yield* makeFakeJava(`echo "Startup complete"; exec sleep 1000`)
      const progress: Array<CassandraServer.Progress> = []
      const halfWay = yield* Deferred.make<void>()
      const onProgress = (step: CassandraServer.Progress) =>
        Effect.andThen(
          Effect.sync(() => progress.push(step)),
          step.detail === "Startup complete" ? Deferred.succeed(halfWay, undefined) : Effect.void
        )
      const fiber = yield* Effect.forkChild(java.make({ authentication: true, onProgress }))
      yield* Deferred.await(halfWay)
      assert.isFalse(progress.some((step) => step.final))
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("says what it does", () =>
    Effect.gen(function*() {
      const java = yield* makeFakeJava(`echo "Creating tables"; echo "Startup complete"; exec sleep 1000`)
      const progress: Array<CassandraServer.Progress> = []
      const onProgress = (step: CassandraServer.Progress) => Effect.sync(() => progress.push(step))
      const server = yield* java.make({ onProgress })
      assert.deepStrictEqual(progress, [
        { message: "Starting Apache Cassandra 5.0.6 on Java 17", detail: "Creating tables" },
        { message: `Apache Cassandra 5.0.6 answers on 127.0.0.1:${server.port}`, final: true }
      ])
    }))

  it.effect("is given up after its time, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const tether = yield* makeTether
      const java = yield* makeFakeJava(tether.command)
      const error = yield* Effect.flip(Effect.scoped(java.make({ startTimeout: "2 seconds" })))
      assert.strictEqual(error.reason, "StartTimeout")
      yield* tether.bothGone
      assert.deepStrictEqual((yield* java.folders).map((folder) => existsSync(folder)), [false])
    }))

  it.effect("can be interrupted, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const tether = yield* makeTether
      const java = yield* makeFakeJava(tether.command)
      const fiber = yield* Effect.forkChild(Effect.scoped(java.make()))
      yield* tether.bothLive
      yield* Fiber.interrupt(fiber)
      yield* tether.bothGone
      assert.deepStrictEqual((yield* java.folders).map((folder) => existsSync(folder)), [false])
    }))

  it.effect("tells when a server is gone that nobody killed", () =>
    Effect.gen(function*() {
      const java = yield* makeFakeJava(`echo "Startup complete"; exec sleep 1000`)
      const gone = yield* Deferred.make<string>()
      const onProgress = ({ message }: CassandraServer.Progress) =>
        message.includes("is gone") ? Effect.asVoid(Deferred.succeed(gone, message)) : Effect.void
      const server = yield* java.make({ onProgress })
      const processId = Option.getOrThrow(yield* server.process!.processId)
      process.kill(processId, "SIGTERM")
      assert.include(yield* Deferred.await(gone), "SIGTERM")
      assert.isTrue(Option.isNone(yield* server.process!.processId))
    }))
})

// What a client sends first, and the operation codes of the answers (native protocol 4, section 2.4).
const OPTIONS = Buffer.from([4, 0, 0, 0, 5, 0, 0, 0, 0])
const SUPPORTED = 6

const connect = (options: Tls.ConnectionOptions & Net.TcpNetConnectOpts, tls: boolean) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, Error>((resume) => {
      const socket = tls ? Tls.connect(options) : Net.connect({ host: "127.0.0.1", port: options.port })
      socket.once(tls ? "secureConnect" : "connect", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const ask = (socket: Net.Socket) =>
  Effect.promise(async () => {
    socket.write(OPTIONS)
    const [answer] = await once(socket, "data") as [Buffer]
    return answer[4]
  })

// A signal takes its time to reach every thread. Only Linux tells when it has.
const stopped = (processId: number): Effect.Effect<void> =>
  existsSync("/proc/self/stat")
    ? Effect.promise(() => readFile(`/proc/${processId}/stat`, "utf8")).pipe(
      Effect.repeat({ until: (stat) => stat.includes(") T ") }),
      Effect.asVoid
    )
    : Effect.void

const withClient = <A>(server: Server, password: string, use: (client: Client) => Promise<A>) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Client({
          contactPoints: [...server.contactPoints],
          protocolOptions: { port: server.port },
          localDataCenter: server.localDataCenter,
          authProvider: new auth.PlainTextAuthProvider("cassandra", password)
        })
      ),
      (client) => Effect.promise(() => client.shutdown())
    )
    return yield* Effect.tryPromise({ try: () => use(client), catch: (cause) => cause as Error })
  }))

// Everything a layer may be asked for, under the clock of a test: it has to start all the same.
it.layer(
  CassandraServer.layer({
    ...silent,
    kind: "local",
    heap: "512M",
    authentication: true,
    tls: "optional",
    userDefinedFunctions: true,
    materializedViews: true,
    settings: { cluster_name: "Test's own", client_encryption_options: { require_client_auth: false } }
  }),
  { timeout: "2 minutes" }
)("a local server", (it) => {
  it.effect("takes the superuser, its settings, functions and views", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const { password, username } = server.credentials!
      assert.strictEqual(username, "cassandra")
      const row = yield* withClient(server, Redacted.value(password), async (client) => {
        await client.connect()
        await client.execute(
          "CREATE KEYSPACE kept WITH replication = { 'class': 'SimpleStrategy', 'replication_factor': 1 }"
        )
        await client.execute("CREATE TABLE kept.numbers (id int PRIMARY KEY, value int)")
        await client.execute(
          "CREATE FUNCTION kept.twice (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return 2 * n;'"
        )
        await client.execute(
          "CREATE MATERIALIZED VIEW kept.by_value AS SELECT id, value FROM kept.numbers WHERE id IS NOT NULL AND value IS NOT NULL PRIMARY KEY (value, id)"
        )
        await client.execute("INSERT INTO kept.numbers (id, value) VALUES (1, 21)")
        const numbers = await client.execute("SELECT kept.twice(value) AS twice FROM kept.numbers")
        const local = await client.execute("SELECT cluster_name, release_version FROM system.local")
        return { ...numbers.rows[0], ...local.rows[0] }
      })
      assert.deepInclude(row, { twice: 42, cluster_name: "Test's own", release_version: "5.0.6" })
    }))

  it.effect("refuses another password", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const error = yield* Effect.flip(withClient(server, "wrong", (client) => client.connect()))
      assert.include(error.message, "All host(s) tried")
    }))

  it.effect("takes plain and TLS connections on one port, with a certificate that holds for its address", () =>
    Effect.gen(function*() {
      const { certificate, port } = yield* CassandraServer
      assert.strictEqual(yield* ask(yield* connect({ port }, false)), SUPPORTED)
      const trusting = { port, ca: certificate!.pem }
      assert.strictEqual(yield* ask(yield* connect({ ...trusting, host: "127.0.0.1" }, true)), SUPPORTED)
      assert.strictEqual(yield* ask(yield* connect({ ...trusting, host: "localhost", family: 4 }, true)), SUPPORTED)
      const error = yield* Effect.flip(connect({ port, host: "127.0.0.1" }, true))
      assert.include(error.message, "self-signed")
    }))

  it.effect("is found by other processes", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const found = yield* withVariables(CassandraServer.toEnvironment(server))(CassandraServer.make())
      assert.deepStrictEqual(found, { ...server, kind: "external", process: undefined })
    }))

  it.effect("gives a session", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const rows = yield* cql`SELECT cluster_name FROM system.local`.pipe(
        Effect.provide(CassandraServer.layerSession({ applicationName: "test" }))
      )
      assert.deepStrictEqual(rows, [{ cluster_name: "Test's own" }])
      assert.isUndefined(CassandraServer.toClusterOptions(server).tls)
      const required = CassandraServer.toClusterOptions({ ...server, tls: true })
      assert.deepStrictEqual(required.tls, { ca: server.certificate!.pem })
    }))

  it.effect("obeys nodetool", () =>
    Effect.gen(function*() {
      const { port, process } = yield* CassandraServer
      yield* process!.nodetool("disablebinary")
      assert.include((yield* Effect.flip(connect({ port }, false))).message, "ECONNREFUSED")
      yield* process!.nodetool("enablebinary")
      assert.strictEqual(yield* ask(yield* connect({ port }, false)), SUPPORTED)
      const error = yield* Effect.flip(process!.nodetool("nonsense"))
      assert.strictEqual(error.reason, "CommandFailed")
      assert.include(error.message, "nonsense")
    }))

  it.effect("keeps its data and its port when it is killed and started again", () =>
    Effect.gen(function*() {
      const server = yield* CassandraServer
      const { processId } = server.process!
      const before = Option.getOrThrow(yield* processId)
      yield* server.process!.kill
      assert.isFalse(isAlive(before))
      assert.isTrue(Option.isNone(yield* processId))
      yield* server.process!.start
      assert.notStrictEqual(Option.getOrThrow(yield* processId), before)
      const row = yield* withClient(server, "cassandra", async (client) =>
        (await client.execute("SELECT value FROM kept.numbers WHERE id = 1")).first())
      assert.strictEqual(row["value"], 21)
    }))

  it.effect("is silent while it is paused", () =>
    Effect.gen(function*() {
      const { port, process } = yield* CassandraServer
      const socket = yield* connect({ port }, false)
      yield* process!.pause
      const answer = yield* Effect.forkChild(ask(socket), { startImmediately: true })
      yield* stopped(Option.getOrThrow(yield* process!.processId))
      yield* process!.resume
      assert.strictEqual(yield* Fiber.join(answer), SUPPORTED)
    }))
})

describe("the end of a local server", () => {
  it.effect("comes with its scope, after a start that needs no settings", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(CassandraServer.make({ ...silent, kind: "local", heap: "512M" }), scope)
      const { folder, logFile } = server.process!
      const processId = Option.getOrThrow(yield* server.process!.processId)
      assert.strictEqual(yield* ask(yield* connect({ port: server.port }, false)), SUPPORTED)
      assert.isUndefined(server.credentials)
      assert.include(yield* Effect.promise(() => readFile(logFile, "utf8")), "Startup complete")
      assert.includeMembers(yield* Effect.promise(() => readdir(folder)), ["cassandra.yaml", "data", "commitlog"])
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(processId))
      assert.isFalse(existsSync(folder))
    }), 120_000)

  it.effect("comes with its owner, even one that is killed", () =>
    Effect.gen(function*() {
      const owner = spawn(process.execPath, [fileURLToPath(new URL("./owner.ts", import.meta.url))], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const [line] = yield* Effect.promise(() => once(owner.stdout, "data") as Promise<[Buffer]>)
      const { folder, port, processId } = JSON.parse(String(line)) as {
        readonly folder: string
        readonly port: number
        readonly processId: number
      }
      const connection = yield* connect({ port }, false)
      assert.strictEqual(yield* ask(connection), SUPPORTED)
      assert.isTrue(isAlive(processId))
      connection.on("error", () => {})
      const closed = new Promise((resolve) => connection.once("close", resolve))
      owner.kill("SIGKILL")
      yield* Effect.promise(() => closed)
      yield* removal(folder)
      assert.isFalse(isAlive(processId))
    }), 120_000)

  it.effect("comes with an error that shows why it did not start", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.scoped(CassandraServer.make({ ...silent, kind: "local", settings: { nonsense: true } }))
      )
      assert.strictEqual(error.reason, "StartFailed")
      assert.include(error.message, "Please remove properties [nonsense]")
    }), 120_000)
})
