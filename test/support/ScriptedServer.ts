/**
 * A CQL server (native protocol v4) that says what a test tells it to.
 *
 * It stands in for Cassandra where a real one cannot be made to show something: an error of every kind, an answer that
 * never comes or comes in half, pages that are empty in the middle, metadata that lies, statements forgotten between
 * prepare and execute, a node that answers what its neighbour does not. By itself it knows only what a driver asks to
 * connect (handshake, `system.local`, `system.peers`, an empty schema), `USE`, and how to prepare any text; everything
 * else is scripted, and what is not is refused with an error that says so. It checks nothing: what Cassandra accepts,
 * only Cassandra knows.
 *
 * Declarations (`on`, `prepared`) are plain calls, actions are Effects. A script made later comes before one made
 * earlier, and all come before what the server knows by itself.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import type * as Net from "node:net"
import * as Protocol from "./protocol.ts"
import * as Reply from "./Reply.ts"
import * as TcpListener from "./TcpListener.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/** A `system` request is a QUERY of what drivers ask by themselves: system tables and `USE`. */
export type Kind = Protocol.DecodedRequest["kind"] | "system"

export interface Request {
  readonly kind: Kind
  /**
   * The statement's text. Of an EXECUTE: what was prepared under its id, empty when this server does not know it. Of a
   * batch: all texts, joined by `; `. Of the other kinds: `OPTIONS`, `STARTUP`, ...
   */
  readonly query: string
  /** Of a batch: those of all statements. `undefined` is a parameter left unset. */
  readonly values: ReadonlyArray<Protocol.BoundValue>
  /** Where a QUERY names its parameters. */
  readonly names: ReadonlyArray<string> | undefined
  /** The statements of a batch; empty in every other kind. */
  readonly statements: ReadonlyArray<{ readonly query: string; readonly values: ReadonlyArray<Protocol.BoundValue> }>
  readonly batchType: "LOGGED" | "UNLOGGED" | "COUNTER" | undefined
  readonly pageState: Buffer | undefined
  readonly pageSize: number | undefined
  readonly consistency: Protocol.Consistency | undefined
  readonly serialConsistency: Protocol.Consistency | undefined
  /** In microseconds; `undefined` leaves it to the server. */
  readonly timestamp: bigint | undefined
  readonly skipMetadata: boolean
  readonly tracing: boolean
  readonly payload: Readonly<Record<string, Buffer | null | undefined>>
  readonly preparedId: Buffer | undefined
  /** `performance.now()` when it arrived. */
  readonly receivedAt: number
  readonly node: ScriptedServer
  readonly connection: Connection
}

export interface Connection {
  /** 1 for the first that this server accepted. */
  readonly id: number
  /** What STARTUP declared. */
  readonly options: Readonly<Record<string, string>>
  readonly keyspace: string | undefined
  /** What it is REGISTERed for. */
  readonly events: ReadonlyArray<string>
  readonly destroy: Effect.Effect<void>
}

/**
 * A string is the whole text, but for white space and a final semicolon. In a batch, one statement that matches is
 * enough.
 */
export type Match = string | RegExp | ((query: string, request: Request) => boolean)

export interface ScriptRequest extends Request {
  /** How many requests with this text and page state the script was asked, this one included. */
  readonly attempt: number
}

/** `undefined` leaves the request to the next script that matches. */
export type Handler = (request: ScriptRequest) => Reply.Reply | undefined

export interface Prepared {
  readonly params?: ReadonlyArray<Protocol.Column>
  /** What its rows will hold; none by default, as for writes and lightweight transactions. */
  readonly columns?: ReadonlyArray<Protocol.Column>
  /** Indexes of the parameters that make the partition key, in its order. */
  readonly partitionKeys?: ReadonlyArray<number>
  readonly keyspace?: string
  readonly table?: string
}

/** What a single server and a whole cluster have in common. */
export interface Scripts {
  /**
   * Answers what matches; `kinds` are query, execute and batch when not given. So that a wide RegExp or function does
   * not catch what the driver needs to connect, those see `system` requests only when `kinds` says so; a string, which
   * is exact, sees them too. Returns how to take the script back.
   */
  readonly on: (match: Match, answer: Reply.Reply | Handler, kinds?: ReadonlyArray<Kind>) => () => void
  /** What a PREPARE of this text declares; by default each `?` or `:name` is a text, and no column comes back. */
  readonly prepared: (match: Match, prepared: Prepared) => () => void
  /** All requests so far, in order; those of the driver's own making too. */
  readonly requests: ReadonlyArray<Request>
  /** Those that match; `kinds` as for `on`. */
  readonly received: (match: Match, kinds?: ReadonlyArray<Kind>) => ReadonlyArray<Request>
  /** Waits until so many have matched, counting those that came before. */
  readonly awaitRequest: (
    match: Match,
    count?: number,
    kinds?: ReadonlyArray<Kind>
  ) => Effect.Effect<ReadonlyArray<Request>>
  /** Empties `requests`. */
  readonly clearRequests: Effect.Effect<void>
  /** Forgets every prepared statement, as a restart would: the next EXECUTE is answered with UNPREPARED. */
  readonly forgetPrepared: Effect.Effect<void>
  /** To every connection that is REGISTERed for its type. */
  readonly pushEvent: (event: Protocol.Event) => Effect.Effect<void>
  /** Open now. */
  readonly connections: () => number
  readonly dropConnections: Effect.Effect<void>
  /** Refuses new connections; those open stay. */
  readonly refuse: Effect.Effect<void>
  readonly accept: Effect.Effect<void>
}

export interface ScriptedServer extends Scripts {
  readonly host: string
  readonly port: number
  readonly hostId: string
  readonly dataCenter: string
  readonly rack: string
  readonly tokens: ReadonlyArray<string>
  readonly releaseVersion: string
  /** How many connections were ever accepted. */
  readonly accepted: () => number
  /** Waits until so many connections are open. */
  readonly awaitConnections: (count: number) => Effect.Effect<void>
}

export interface Cluster extends Scripts {
  readonly nodes: ReadonlyArray<ScriptedServer>
  /** The first node's, as a contact point. */
  readonly host: string
  /** The same on all nodes. */
  readonly port: number
  /** A node more, in the others' peers from now on; telling connected clients is `pushEvent`'s. */
  readonly add: (node?: NodeOptions) => Effect.Effect<ScriptedServer>
  /** Takes a node out of the others' peers and closes it. */
  readonly remove: (node: ScriptedServer) => Effect.Effect<void>
}

export interface NodeOptions {
  /** `datacenter1` by default. */
  readonly dataCenter?: string
  /** `rack1` by default. */
  readonly rack?: string
  /** `4.1.0` by default. */
  readonly releaseVersion?: string
  /** One per node by default, evenly spread. */
  readonly tokens?: ReadonlyArray<string>
  readonly hostId?: string
}

interface SharedOptions {
  /** Asks for these credentials. */
  readonly authenticate?: { readonly username: string; readonly password: string }
  /** Keyspaces in `system_schema`, with their replication: `{ class: "SimpleStrategy", replication_factor: "2" }`. */
  readonly keyspaces?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

export interface ServerOptions extends NodeOptions, SharedOptions {
  /** An IPv4 address of this machine; 127.0.0.1 by default. */
  readonly host?: string
  /** Any free one by default. */
  readonly port?: number
}

export interface ClusterOptions extends SharedOptions {
  readonly nodes: number | ReadonlyArray<NodeOptions>
  /** Nodes listen on the first addresses of it, on one free port; 127.0.66 by default. */
  readonly subnet?: string
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

export const make = (options: ServerOptions = {}): Effect.Effect<ScriptedServer, never, Scope.Scope> => {
  const { host = "127.0.0.1", port = 0, ...rest } = options
  const nodes: Array<ScriptedServer> = []
  return makeNode({ ...rest, host, port, position: { index: 0, of: 1 }, nodes, shared: makeScriptBook() }).pipe(
    Effect.tap((node) => Effect.sync(() => nodes.push(node))),
    Effect.orDie
  )
}

export const makeCluster = (options: ClusterOptions): Effect.Effect<Cluster, never, Scope.Scope> => {
  const declared = typeof options.nodes === "number" ? Array.from({ length: options.nodes }, () => ({})) : options.nodes
  // A port that is free on the first address may be taken on another: all together or once more.
  const attempt = Effect.flatMap(
    Effect.scope,
    (parent) =>
      Effect.flatMap(Scope.fork(parent), (scope) =>
        openCluster(options, declared).pipe(
          Scope.provide(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        ))
  )
  return Effect.orDie(Effect.retry(attempt, { times: 20 }))
}

// internal

const openCluster = Effect.fnUntraced(function*(options: ClusterOptions, declared: ReadonlyArray<NodeOptions>) {
  const subnet = options.subnet ?? "127.0.66"
  const scope = yield* Effect.scope
  const scopes = new Map<ScriptedServer, Scope.Closeable>()
  const nodes: Array<ScriptedServer> = []
  const shared = makeScriptBook()
  let opened = 0

  const open = Effect.fnUntraced(function*(node: NodeOptions, of: number) {
    const index = opened++
    const nodeScope = yield* Scope.fork(scope)
    const server = yield* makeNode({
      ...options,
      ...node,
      host: `${subnet}.${index + 1}`,
      port: nodes[0]?.port ?? 0,
      position: { index, of },
      nodes,
      shared
    }).pipe(Scope.provide(nodeScope))
    scopes.set(server, nodeScope)
    nodes.push(server)
    return server
  })

  for (const node of declared) yield* open(node, declared.length)
  const first = nodes[0]!
  const each = (f: (node: ScriptedServer) => Effect.Effect<void>) =>
    Effect.suspend(() => Effect.forEach([...nodes], f, { discard: true }))

  return {
    ...shared.api,
    host: first.host,
    port: first.port,
    nodes,
    add: (node = {}) => Effect.orDie(open(node, opened + 1)),
    remove: (node) =>
      Effect.suspend(() => {
        nodes.splice(nodes.indexOf(node), 1)
        return Scope.close(scopes.get(node)!, Exit.void)
      }),
    forgetPrepared: each((node) => node.forgetPrepared),
    pushEvent: (event) => each((node) => node.pushEvent(event)),
    connections: () => nodes.reduce((total, node) => total + node.connections(), 0),
    dropConnections: each((node) => node.dropConnections),
    refuse: each((node) => node.refuse),
    accept: each((node) => node.accept)
  } satisfies Cluster as Cluster
})

/** The scripts and the log of one server, or of a cluster, whose nodes ask their own book first. */
const makeScriptBook = () => {
  const scripts: Array<{ readonly match: Match; readonly kinds: ReadonlyArray<Kind>; readonly handler: Handler }> = []
  const declarations: Array<{ readonly match: Match; readonly prepared: Prepared }> = []
  const requests: Array<Request> = []
  const arrivals = TcpListener.makeSignal()

  const register = <A>(list: Array<A>, entry: A) => {
    list.unshift(entry)
    return () => {
      const index = list.indexOf(entry)
      if (index >= 0) list.splice(index, 1)
    }
  }
  const received = (match: Match, kinds: ReadonlyArray<Kind> = statementKinds) =>
    requests.filter((request) => concerns(kinds, match, request))

  return {
    log: (request: Request) => {
      requests.push(request)
      arrivals.notify()
    },
    answer: (request: Request): Reply.Reply | undefined => {
      for (const { handler, kinds, match } of scripts) {
        if (!concerns(kinds, match, request)) continue
        const reply = handler(request as ScriptRequest)
        if (reply !== undefined) return reply
      }
      return undefined
    },
    declared: (request: Request): Prepared | undefined =>
      declarations.find(({ match }) => matches(match, request))?.prepared,
    api: {
      on: (match: Match, answer: Reply.Reply | Handler, kinds: ReadonlyArray<Kind> = statementKinds) => {
        const attempts = new Map<string, number>()
        const handler: Handler = (request) => {
          if (typeof answer !== "function") return answer
          const key = `${request.kind} ${request.pageState?.toString("hex") ?? ""} ${request.query}`
          const attempt = (attempts.get(key) ?? 0) + 1
          attempts.set(key, attempt)
          return answer({ ...request, attempt })
        }
        return register(scripts, { match, kinds, handler })
      },
      prepared: (match: Match, prepared: Prepared) => register(declarations, { match, prepared }),
      requests,
      received,
      awaitRequest: (match: Match, count = 1, kinds?: ReadonlyArray<Kind>) =>
        arrivals.until(() => {
          const found = received(match, kinds)
          return found.length >= count ? found : undefined
        }),
      clearRequests: Effect.sync(() => {
        requests.length = 0
      })
    }
  }
}

type ScriptBook = ReturnType<typeof makeScriptBook>

const statementKinds: ReadonlyArray<Kind> = ["query", "execute", "batch"]

const concerns = (kinds: ReadonlyArray<Kind>, match: Match, request: Request): boolean =>
  (kinds.includes(request.kind) ||
    (request.kind === "system" && typeof match === "string" && kinds.includes("query"))) &&
  matches(match, request)

const normalize = (text: string): string => text.replace(/\s+/g, " ").replace(/^ | ?;? ?$/g, "")

const matches = (match: Match, request: Request): boolean => {
  if (typeof match === "function") return match(request.query, request)
  const texts = request.kind === "batch" ? request.statements.map((statement) => statement.query) : [request.query]
  return texts.some((text) => match instanceof RegExp ? text.search(match) >= 0 : normalize(match) === normalize(text))
}

interface MutableConnection extends Connection {
  options: Readonly<Record<string, string>>
  keyspace: string | undefined
  events: ReadonlyArray<string>
  /** After half a frame, whatever is sent would be read as its other half. */
  muted: boolean
  readonly socket: Net.Socket
}

const makeNode = Effect.fnUntraced(function*(
  options: NodeOptions & SharedOptions & {
    readonly host: string
    readonly port: number
    readonly position: { readonly index: number; readonly of: number }
    /** Of the whole cluster, this one too: peers are looked up when asked for. */
    readonly nodes: ReadonlyArray<ScriptedServer>
    readonly shared: ScriptBook
  }
): Effect.fn.Return<ScriptedServer, Error, Scope.Scope> {
  const book = makeScriptBook()
  const prepared = new Map<string, string>()
  const connections = new Map<Net.Socket, MutableConnection>()
  let opened = 0
  const fork = yield* FiberSet.makeRuntime<never>()

  // Before the server itself knows anything, so that every answer of its own can be replaced.
  const scripted = (request: Request): Reply.Reply | undefined => book.answer(request) ?? options.shared.answer(request)

  const answer = (connection: MutableConnection, decoded: Protocol.DecodedRequest): Reply.Reply => {
    const request = toRequest(server, connection, prepared, decoded)
    book.log(request)
    options.shared.log(request)
    const reply = scripted(request)
    if (reply !== undefined) return reply
    switch (decoded.kind) {
      case "options":
        return { _tag: "Response", response: Protocol.supported }
      case "startup":
        connection.options = decoded.options
        return {
          _tag: "Response",
          response: options.authenticate === undefined ? Protocol.ready : Protocol.authenticate
        }
      case "authResponse":
        return checkCredentials(options.authenticate, decoded.token)
      case "register":
        connection.events = decoded.events
        return { _tag: "Response", response: Protocol.ready }
      case "prepare": {
        const declared = book.declared(request) ?? options.shared.declared(request)
        const id = Crypto.createHash("md5").update(decoded.query).digest()
        prepared.set(id.toString("hex"), decoded.query)
        return Reply.prepared({ id, params: textParameters(decoded.query), ...declared })
      }
      case "query":
      case "execute":
      case "batch": {
        const missing = decoded.kind === "batch"
          ? decoded.items.map((item) => item.statement)
          : [decoded.kind === "execute" ? decoded.id : decoded.query]
        const unknown = missing.find((statement) =>
          Buffer.isBuffer(statement) && !prepared.has(statement.toString("hex"))
        )
        if (Buffer.isBuffer(unknown)) return Reply.unprepared(unknown)
        return answerSystemQuery(server, connection, options, request.query) ??
          Reply.invalid(`ScriptedServer ${server.host} has no script for: ${request.query}`)
      }
    }
  }

  const send = (connection: MutableConnection, stream: number, reply: Reply.Reply): void => {
    const { socket } = connection
    if (connection.muted || !socket.writable) return
    switch (reply._tag) {
      case "Silence":
        return
      case "Close":
        socket.destroy()
        return
      case "Bytes":
        socket.write(reply.bytes)
        return
      case "Response":
        socket.cork()
        for (const part of Protocol.encodeFrame(stream, reply.response)) socket.write(part)
        socket.uncork()
        return
      case "Delay":
        fork(Effect.andThen(settled(reply.until), Effect.sync(() => send(connection, stream, reply.reply))))
        return
      case "Partial": {
        const { reply: whole } = reply
        if (whole._tag === "Delay") {
          return send(connection, stream, { ...whole, reply: { ...reply, reply: whole.reply } })
        }
        const frame = whole._tag === "Response"
          ? Buffer.concat(Protocol.encodeFrame(stream, whole.response))
          : whole._tag === "Bytes"
          ? whole.bytes
          : Buffer.alloc(0)
        connection.muted = true
        socket.write(frame.subarray(0, reply.bytes), () => {
          if (reply.after === "destroy") socket.destroy()
        })
      }
    }
  }

  const receive = (connection: MutableConnection, frame: Protocol.RequestFrame): void => {
    if (frame.version !== Protocol.version) {
      // The driver starts with the newest version that it knows and comes down to the one of this answer.
      const problem = `Invalid or unsupported protocol version (${frame.version})`
      send(connection, frame.stream, Reply.protocolError(`${problem}; the greatest is ${Protocol.version}`))
      connection.socket.end()
      return
    }
    let reply: Reply.Reply
    try {
      reply = answer(connection, Protocol.decodeRequest(frame))
    } catch (error) {
      // A script that throws must not take the test run with it.
      reply = Reply.serverError(`ScriptedServer: ${error instanceof Error ? error.stack : String(error)}`)
    }
    send(connection, frame.stream, reply)
  }

  const listener = yield* TcpListener.make({
    host: options.host,
    port: options.port,
    onConnection: (socket) => {
      const connection: MutableConnection = {
        id: ++opened,
        options: {},
        keyspace: undefined,
        events: [],
        muted: false,
        socket,
        destroy: Effect.sync(() => {
          socket.destroy()
        })
      }
      connections.set(socket, connection)
      socket.once("close", () => connections.delete(socket))
      const read = Protocol.makeFrameReader()
      socket.on("data", (chunk: Buffer) => {
        for (const frame of read(chunk)) receive(connection, frame)
      })
    }
  })

  const server: ScriptedServer = {
    ...book.api,
    host: listener.host,
    port: listener.port,
    hostId: options.hostId ?? Crypto.randomUUID(),
    dataCenter: options.dataCenter ?? "datacenter1",
    rack: options.rack ?? "rack1",
    releaseVersion: options.releaseVersion ?? "4.1.0",
    tokens: options.tokens ?? [spreadToken(options.position)],
    forgetPrepared: Effect.sync(() => prepared.clear()),
    pushEvent: (event) =>
      Effect.sync(() => {
        const reply: Reply.Reply = { _tag: "Response", response: Protocol.eventResponse(event) }
        for (const connection of connections.values()) {
          if (connection.events.includes(event.type)) send(connection, Protocol.eventStream, reply)
        }
      }),
    connections: () => listener.sockets.size,
    accepted: listener.accepted,
    awaitConnections: listener.awaitConnections,
    dropConnections: listener.dropConnections,
    refuse: listener.refuse,
    accept: listener.accept
  }
  return server
})

const toRequest = (
  node: ScriptedServer,
  connection: Connection,
  prepared: ReadonlyMap<string, string>,
  decoded: Protocol.DecodedRequest
): Request => {
  const textOf = (statement: string | Buffer): string =>
    typeof statement === "string" ? statement : prepared.get(statement.toString("hex")) ?? ""
  const base: Request = {
    kind: decoded.kind,
    query: decoded.kind.toUpperCase(),
    values: [],
    names: undefined,
    statements: [],
    batchType: undefined,
    pageState: undefined,
    pageSize: undefined,
    consistency: undefined,
    serialConsistency: undefined,
    timestamp: undefined,
    skipMetadata: false,
    tracing: decoded.tracing,
    payload: decoded.payload,
    preparedId: undefined,
    receivedAt: performance.now(),
    node,
    connection
  }
  switch (decoded.kind) {
    case "prepare":
      return { ...base, query: decoded.query }
    case "query":
      return {
        ...base,
        ...decoded.parameters,
        kind: systemQuery.test(decoded.query) ? "system" : "query",
        query: decoded.query
      }
    case "execute":
      return { ...base, ...decoded.parameters, query: textOf(decoded.id), preparedId: decoded.id }
    case "batch": {
      const statements = decoded.items.map((item) => ({ query: textOf(item.statement), values: item.values }))
      return {
        ...base,
        ...decoded.parameters,
        query: statements.map((statement) => statement.query).join("; "),
        values: statements.flatMap((statement) => statement.values),
        statements,
        batchType: decoded.type
      }
    }
    default:
      return base
  }
}

const systemQuery = /^\s*USE\s|\sFROM\s+system\w*\./i

const checkCredentials = (
  expected: SharedOptions["authenticate"],
  token: Buffer | null | undefined
): Reply.Reply => {
  const [, username, password] = token?.toString().split("\0") ?? []
  return expected !== undefined && username === expected.username && password === expected.password
    ? { _tag: "Response", response: Protocol.authSuccess }
    : Reply.badCredentials(`Provided username ${username} and/or password are incorrect`)
}

// Text in quotes and comments asks for no value.
const textParameters = (query: string): ReadonlyArray<Protocol.Column> =>
  Array.from(
    query.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--.*|\/\/.*|\/\*[^]*?\*\//g, "").matchAll(/\?|(?<![:\w]):(\w+)/g),
    ([, name], i) => ({ name: name ?? `p${i}`, type: "text" })
  )

const spreadToken = ({ index, of }: { readonly index: number; readonly of: number }): string =>
  (-(2n ** 63n) + BigInt(index) * (2n ** 64n / BigInt(of))).toString()

// Real time also under a TestClock: a server is another machine.
const settled = (until: Reply.Until): Effect.Effect<unknown> => {
  if (typeof until !== "number") {
    return Effect.exit(Effect.isEffect(until) ? until : Effect.tryPromise(() => until))
  }
  return Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), until)
    return Effect.sync(() => clearTimeout(timer))
  })
}

// -----------------------------------------------------------------------------
// What a driver asks to connect
// -----------------------------------------------------------------------------

type Cell = readonly [type: string, value: Protocol.Value]

const schemaVersion = "6e6f7420-6120-4000-8000-736368656d61"

const nodeCells = (node: ScriptedServer): Readonly<Record<string, Cell>> => ({
  host_id: ["uuid", node.hostId],
  data_center: ["text", node.dataCenter],
  rack: ["text", node.rack],
  release_version: ["text", node.releaseVersion],
  rpc_address: ["inet", node.host],
  schema_version: ["uuid", schemaVersion],
  tokens: ["set<text>", node.tokens]
})

const localCells = (node: ScriptedServer): Readonly<Record<string, Cell>> => ({
  key: ["text", "local"],
  bootstrapped: ["text", "COMPLETED"],
  broadcast_address: ["inet", node.host],
  cluster_name: ["text", "Scripted Cluster"],
  cql_version: ["text", "3.4.7"],
  listen_address: ["inet", node.host],
  native_protocol_version: ["text", String(Protocol.version)],
  partitioner: ["text", "org.apache.cassandra.dht.Murmur3Partitioner"],
  ...nodeCells(node)
})

const tableRows = (
  query: string,
  keyspace: string,
  table: string,
  rows: ReadonlyArray<Readonly<Record<string, Cell>>>
): Reply.Reply => {
  const all = Object.keys(rows[0] ?? {})
  const asked = /^\s*SELECT\s+(.*?)\s+FROM\s/is.exec(query)?.[1]?.split(",").map((name) => name.trim()) ?? []
  const names = asked.every((name) => all.includes(name)) ? asked : all
  return Reply.rows({
    keyspace,
    table,
    columns: names.map((name) => ({ name, type: rows[0]![name]![0] })),
    rows: rows.map((row) => names.map((name) => row[name]![1]))
  })
}

const answerSystemQuery = (
  node: ScriptedServer,
  connection: MutableConnection,
  options: SharedOptions & { readonly nodes: ReadonlyArray<ScriptedServer> },
  query: string
): Reply.Reply | undefined => {
  const use = /^\s*USE\s+("?)(\w+)\1/i.exec(query)?.[2]
  if (use !== undefined) {
    connection.keyspace = use
    return Reply.keyspace(use)
  }
  const [, keyspace, table] = /\sFROM\s+(system\w*)\.(\w+)/i.exec(query) ?? []
  if (keyspace === undefined || table === undefined) return undefined
  switch (`${keyspace}.${table}`) {
    case "system.local":
      return tableRows(query, keyspace, table, [localCells(node)])
    case "system.peers":
      return tableRows(
        query,
        keyspace,
        table,
        options.nodes.filter((other) => other !== node).map((other) => ({
          peer: ["inet", other.host],
          ...nodeCells(other)
        }))
      )
    case "system.peers_v2":
      return Reply.invalid("unconfigured table peers_v2")
    case "system_schema.keyspaces": {
      const only = /keyspace_name\s*=\s*'(\w+)'/i.exec(query)?.[1]
      return tableRows(
        query,
        keyspace,
        table,
        Object.entries(options.keyspaces ?? {}).filter(([name]) => only === undefined || name === only).map((
          [name, replication]
        ) => ({
          keyspace_name: ["text", name],
          durable_writes: ["boolean", true],
          replication: ["map<text, text>", new Map(Object.entries(replication))]
        }))
      )
    }
    default:
      return tableRows(query, keyspace, table, [])
  }
}
