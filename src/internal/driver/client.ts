/**
 * One driver client: made first, connected afterwards, and closed so that no socket and no timer of it is left,
 * whether it was connected, connecting, or never came that far.
 */
import cassandra from "cassandra-driver"
import DriverConnection from "cassandra-driver/lib/connection.js"
import type { Socket } from "node:net"
import type { DriverConfig } from "./config.ts"
import { CredentialsProvider, driverOptions, policyOf } from "./config.ts"
import type {
  Client,
  Connection,
  ConnectionClass,
  ControlConnection,
  DriverOperation,
  FrameFlags,
  Host,
  Parser,
  SchemaChange
} from "./inside.ts"
import { missingParts } from "./inside.ts"
import * as Nodes from "./nodes.ts"
import type { LocalPolicy } from "./policy.ts"
import { followNodes, recoverOneAtATime } from "./recovery.ts"
import type { Request } from "./requests.ts"
import type { Response } from "./responses.ts"
import { readOwnResponses } from "./responses.ts"
import { atMost, politeMillis, settled } from "./waiting.ts"

const ConnectionOf = DriverConnection as unknown as ConnectionClass

/** The driver's own client, as `Cluster.use` lends it. */
export type RawClient = cassandra.Client

/** cassandra-driver is not the one this library was written against. */
export class UnknownDriver extends Error {
  readonly missing: ReadonlyArray<string>
  constructor(missing: ReadonlyArray<string>) {
    super(
      `cassandra-driver ${cassandra.version} is not supported: it lacks ${
        missing.join(", ")
      }. Install cassandra-driver 4.10.0.`
    )
    this.missing = missing
  }
}

/** The server speaks none of the protocol versions that this library can read. */
export class UnsupportedProtocol extends Error {
  constructor(version: number | null) {
    super(`the server speaks version ${version} of the native protocol; version 4 (Cassandra 2.2 or newer) is needed`)
  }
}

/** The request never reached a socket: whatever it was, it is safe to try it elsewhere. */
export class NotSent extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : "no node can be asked", { cause })
  }
}

/** The server may still work on what has timed out. Calls back once it has answered, or it is known that it never will. */
export interface WhenOver {
  (over: () => void): void
}

/** Called once, with the error or the response; `whenOver` with that of a timeout. */
export interface Settle<A> {
  (error: unknown, response: Response<A> | undefined, whenOver?: WhenOver): void
}

/** A response to one of the driver's own kinds of result, which `readOwnResponses` left to it. */
interface DriverResponse {
  readonly schemaChange?: SchemaChange
  readonly flags?: FrameFlags
}

/** Told of what happens to nodes and connections, whoever asked for it. None may throw: the driver is not done yet. */
export interface Observer {
  readonly nodeAdded: (host: Host) => void
  readonly nodeRemoved: (host: Host) => void
  readonly nodeUp: (host: Host) => void
  readonly nodeDown: (host: Host) => void
  /** Some node is not what it was, or not where. */
  readonly nodesMoved: () => void
  /** The schema, whoever has changed it; of no keyspace when a change may have been missed. */
  readonly schemaChanged: (change: SchemaChange | undefined) => void
  readonly connectionOpened: (host: Host) => void
  /** A connection was to be opened to the node, and was not. */
  readonly connectionFailed: (host: Host, error: unknown) => void
  /** One that was open is gone, and nobody has closed it here. */
  readonly connectionLost: (host: Host) => void
  /** How much went over a connection to the node that is closed now. */
  readonly connectionEnded: (host: Host, traffic: Traffic) => void
}

/** Bytes. */
export interface Traffic {
  readonly sent: number
  readonly received: number
}

const noFlags: FrameFlags = {}

/** The stream id of what waits for a free one. */
const notWritten = -1

/** Between two looks at the schema versions of the nodes, in milliseconds. */
const agreementMillis = 500

/** How long a look-up of a contact point's name may hold up a close, in milliseconds. */
const resolveMillis = 3000

/**
 * The driver gives a connection up that left 65 requests without an answer; one that is used little would be waited for
 * much longer, as each write puts off its heartbeat: so that is sent now.
 */
const checkSilent = (host: Host, connection: Connection): void => {
  host.checkHealth(connection)
  const isInUse = connection.connected && host.pool.connections.includes(connection)
  if (isInUse && !connection.sendingIdleQuery) connection._idleTimeoutHandler()
}

export class DriverClient {
  readonly raw: Client
  readonly keyspace: string | undefined
  readonly policy: LocalPolicy
  /** Told of the keyspace that was changed, by whomever; of none when a change may have been missed. */
  onSchemaChange: (keyspace: string | undefined) => void = () => undefined
  readonly observers = new Set<Partial<Observer>>()
  private readonly sockets = new Map<Socket, Connection>()
  /** What was told of their traffic, where they are of a node that was dropped meanwhile. */
  private readonly told = new WeakMap<Socket, Traffic>()
  private readonly hosts = new Set<Host>()
  private readonly pauses = new Map<NodeJS.Timeout, () => void>()
  private ringIsOld = false
  private connecting: Promise<void> | undefined
  private closing: Promise<void> | undefined
  isClosing = false
  /** One object for all requests: a connection reads it while `sendStream` runs and never again. */
  private readonly sendOptions = {
    millis: 0,
    getRowCallback: () => undefined,
    getReadTimeout: () => this.sendOptions.millis
  }

  /** Throws what the driver throws for options that it refuses. */
  constructor(config: DriverConfig) {
    this.policy = policyOf(config)
    this.raw = new cassandra.Client(driverOptions(config, this.policy)) as unknown as Client
    this.keyspace = this.raw.keyspace
    const missing = missingParts(this.raw, ConnectionOf)
    if (missing.length > 0) throw new UnknownDriver(missing)
    this.adoptControlConnection(this.raw.controlConnection)
    this.raw._waitForSchemaAgreement = (connection) => this.schemaAgreement(connection, config.schemaAgreementSeconds)
    this.raw.hosts.on("add", (host: Host) => this.adoptHost(host))
    this.raw.hosts.on("remove", (host: Host) => this.dropHost(host))
    this.raw.on("hostUp", (host: Host) => this.tell("nodeUp", host))
    this.raw.on("hostDown", (host: Host) => this.tell("nodeDown", host))
  }

  connect(): Promise<void> {
    this.connecting ??= this.raw.connect().then(() => this.refuseOldProtocol()).then(() => this.openStandIns())
    return this.connecting
  }

  /** Opens what connections are missing to every node that may be asked; never rejects. */
  async openAll(): Promise<ReadonlyArray<Host>> {
    const hosts = this.nodes()
    if (this.isClosing) return hosts
    await Promise.all(hosts.map((host) => host.isUp() ? settled(host.warmupPool(this.keyspace)) : undefined))
    return hosts
  }

  /** The driver opens them in the background; where no local node can be asked the first statement needs them. */
  private async openStandIns(): Promise<void> {
    if (this.isClosing || this.policy.localHosts().some(Nodes.isUsable)) return
    const standIns = this.policy.remoteHosts().flat()
    await Promise.all(standIns.map((host) => settled(host.warmupPool(this.keyspace))))
  }

  /**
   * Never rejects, and is bounded in each of its steps: a finalizer that waits for it cannot be interrupted.
   * Resolves when every socket is closed. A second call waits for the first.
   */
  close(): Promise<void> {
    this.isClosing = true
    this.closing ??= this.closeAll()
    return this.closing
  }

  /** `localOnly` for what must not be failed over to another data center. */
  choose(route: Nodes.Route | undefined, tried: ReadonlyArray<Host>, localOnly?: boolean): Host | undefined {
    return Nodes.choose(this.raw, this.policy, route, tried, localOnly)
  }

  /** The node of an address or a host id, of whatever data center. */
  node(name: string): Host | undefined {
    const known = this.raw.hosts.values()
    const same = known.filter((host) => host.address === name || host.hostId?.toString() === name)
    // For a moment a node that has moved is known at both of its addresses.
    return same.find(Nodes.isUsable) ?? same[0]
  }

  /** Every node that `choose` may choose, the local ones first. */
  nodes(localOnly?: boolean): ReadonlyArray<Host> {
    return Nodes.all(this.policy, localOnly)
  }

  /** Those of them that can be asked now. */
  openNodes(): ReadonlyArray<Host> {
    return this.nodes().filter(Nodes.isUsable)
  }

  send<A>(host: Host, request: Request<A>, timeoutMillis: number, settle: Settle<A>): void {
    let connection: Connection
    try {
      connection = host.borrowConnection()
    } catch (error) {
      return settle(new NotSent(error), undefined)
    }
    if (this.keyspace === undefined || connection.keyspace === this.keyspace) {
      return this.sendOn(host, connection, request, timeoutMillis, settle)
    }
    // A connection that the pool has just opened is in no keyspace yet.
    const end = performance.now() + timeoutMillis
    const { heard } = connection
    this.switchKeyspace(connection, this.keyspace, timeoutMillis).then(
      () =>
        request.abandoned
          ? settle(new NotSent(undefined), undefined)
          : this.sendOn(host, connection, request, end - performance.now(), settle),
      (error) => {
        const isLost = (error as { readonly isSocketError?: boolean }).isSocketError === true
        if (isLost) host.removeFromPool(connection)
        else if (isTimeout(error)) ifSilent(connection, heard, () => checkSilent(host, connection))
        guarded(settle, isLost || isTimeout(error) ? new NotSent(error) : error, undefined)
      }
    )
  }

  /** In the time that the request has: the driver would wait as long as for the socket to open. */
  private switchKeyspace(connection: Connection, keyspace: string, timeoutMillis: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(noAnswer(connection.endpoint, timeoutMillis)), timeoutMillis)
      connection.changeKeyspace(keyspace).then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  private sendOn<A>(
    host: Host,
    connection: Connection,
    request: Request<A>,
    timeoutMillis: number,
    settle: Settle<A>
  ): void {
    // The driver's health checks live on this limit: at 0 a silent connection is never given up.
    this.sendOptions.millis = Math.max(1, timeoutMillis)
    const end = performance.now() + timeoutMillis
    const { heard } = connection
    const operation = connection.sendStream(request, this.sendOptions, (error, response) => {
      if (error !== null && error !== undefined) {
        return this.settleError(host, connection, heard, error, settle, () => operation)
      }
      const own = response as Response<A> & DriverResponse
      if (own.value !== undefined) return guarded(settle, undefined, own)
      return this.settleDriverResponse(connection, own, end - performance.now(), settle)
    })
  }

  /** What the driver's own request path would do for its pools; ours does not go through it. */
  private settleError<A>(
    host: Host,
    connection: Connection,
    heard: number,
    error: unknown,
    settle: Settle<A>,
    operation: () => DriverOperation
  ): void {
    const failure = error as { readonly isSocketError?: boolean }
    if (failure.isSocketError === true) host.removeFromPool(connection)
    if (!isTimeout(error)) return guarded(settle, error, undefined)
    ifSilent(connection, heard, () => checkSilent(host, connection))
    const over = whenOver(operation(), (end) => ifSilent(connection, heard, end))
    guarded(settle, error, undefined, over)
  }

  private settleDriverResponse<A>(
    connection: Connection,
    response: DriverResponse,
    timeoutMillis: number,
    settle: Settle<A>
  ): void {
    const answer = (schemaInAgreement?: boolean): void =>
      guarded(settle, undefined, {
        value: null as A,
        flags: response.flags ?? noFlags,
        length: 0,
        schemaInAgreement
      })
    if (response.schemaChange === undefined) return answer()
    this.onSchemaChange(response.schemaChange.keyspace)
    // The statement itself has succeeded by now: neither a failure to agree nor one to agree in time is its failure.
    const agreed = this.raw.handleSchemaAgreementAndRefresh(connection, response.schemaChange).catch(() => false)
    void atMost(timeoutMillis, agreed).then((inTime) => answer(inTime === true))
  }

  /** As the driver's, but a close ends its waiting, and the limit is not rounded up to a second. */
  private async schemaAgreement(connection: Connection, limitSeconds: number): Promise<boolean> {
    if (this.raw.hosts.values().length === 1) return true
    const end = performance.now() + limitSeconds * 1000
    while (!this.isClosing && performance.now() < end) {
      if (await this.raw.metadata.compareSchemaVersions(connection)) return true
      await this.pause(agreementMillis)
    }
    return false
  }

  private pause(millis: number): Promise<void> {
    return this.isClosing ? Promise.resolve() : new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.pauses.delete(timer)
        resolve()
      }, millis)
      this.pauses.set(timer, resolve)
    })
  }

  private endPauses(): void {
    for (const [timer, resume] of this.pauses) {
      clearTimeout(timer)
      resume()
    }
  }

  private refuseOldProtocol(): void {
    const version = this.raw.controlConnection.protocolVersion
    if (version === null || (version & 0x3f) < 4) throw new UnsupportedProtocol(version)
  }

  private async closeAll(): Promise<void> {
    const control = this.raw.controlConnection
    control._isShuttingDown = true
    this.endPauses()
    // While it connects, the driver's shutdown() is a no-op and the client would stay open: end the connecting first.
    if (this.connecting !== undefined && !this.raw.connected) {
      this.destroySockets()
      // Bounded, for a name server that does not answer cannot be hung up on.
      await atMost(resolveMillis, settled(this.connecting))
    }
    await atMost(politeMillis, settled(this.raw.shutdown()))
    // Not done for a client that was never connected; but an event may have come before that failed, and has a timer.
    control.shutdown()
    await atMost(politeMillis, Promise.all([...this.hosts].map((host) => settled(host.shutdown(false)))))
    await atMost(politeMillis, this.destroySockets())
  }

  private destroySockets(): Promise<unknown> {
    return Promise.all([...this.sockets.keys()].map((socket) => {
      const closed = new Promise((resolve) => socket.once("close", resolve))
      // With an error: a socket that is still connecting tells its owner by no other event.
      socket.destroy(new Error("the client is closed"))
      return closed
    }))
  }

  private adoptHost(host: Host): void {
    if (this.hosts.has(host)) return
    this.hosts.add(host)
    this.adoptPool(host)
    // The driver does so for a node that was down, and lets every other loss of a connection double the delay for good.
    host.pool.on("open", (error: unknown) => {
      if (error !== undefined) return this.openFailed(host, error)
      host.reconnectionSchedule = host.options.policies.reconnection.newSchedule()
      this.tell("connectionOpened", host)
    })
    // The driver sets a node's distance when a request of its own comes by; ours do not.
    if (this.raw.connected) setImmediate(() => this.admitHost(host))
    this.renewRing()
    // The driver has not read yet what it is called.
    setImmediate(() => this.tell("nodeAdded", host))
  }

  /** One that was being opened as the pool was given up is no failure. */
  private openFailed(host: Host, error: unknown): void {
    if (!this.isClosing && this.hosts.has(host)) this.tell("connectionFailed", host, error)
  }

  /** After a whole outage the driver makes its nodes anew, and lets the pools of the old ones reconnect for ever. */
  private dropHost(host: Host): void {
    this.hosts.delete(host)
    // It may be known at another address by now, and its connections end later on.
    for (const [socket, { endpoint }] of this.sockets) if (endpoint === host.address) this.endTraffic(host, socket)
    void host.shutdown(true)
    // The pool would open connections again for the next request that fails on one that it had.
    host.pool.scheduleNewConnectionAttempt = () => undefined
    this.renewRing()
    setImmediate(() => this.tell("nodeRemoved", host))
  }

  /** The driver knows who owns which token as of its start; asked for once, however many nodes come and go together. */
  private renewRing(): void {
    if (!this.raw.connected || this.ringIsOld) return
    this.ringIsOld = true
    setImmediate(() => {
      this.ringIsOld = false
      if (this.isClosing) return
      this.raw.metadata.buildTokens(this.raw.hosts)
      for (const keyspace of Object.values(this.raw.metadata.keyspaces)) keyspace.replicas = undefined
    })
  }

  private nodesMoved(): void {
    this.policy.nodesMoved()
    this.tell("nodesMoved")
    this.renewRing()
    if (this.raw.connected) { for (const host of this.hosts) this.admitHost(host) }
  }

  private admitHost(host: Host): void {
    if (this.isClosing || !this.hosts.has(host)) return
    const isUsed = this.raw.profileManager.getDistance(host) !== cassandra.types.distance.ignored
    if (isUsed && host.isUp()) host.pool.increaseSize()
  }

  private adoptPool(host: Host): void {
    const { pool } = host
    const create = pool._createConnection
    pool._createConnection = () => this.adoptConnection(create.call(pool))
    // For its end, for a heartbeat without an answer, or for too many requests without one.
    const remove = pool.remove
    pool.remove = (connection) => {
      const isLost = pool.connections.includes(connection) && !this.isClosing && this.hosts.has(host)
      remove.call(pool, connection)
      if (isLost) this.tell("connectionLost", host)
    }
    const drain = pool.drainAndShutdown
    pool.drainAndShutdown = () => {
      // The driver's timer for the last answers is set, and never cleared, even where none is waited for.
      const idle = pool.connections.filter((connection) => connection.getInFlight() === 0)
      pool.connections = pool.connections.filter((connection) => !idle.includes(connection))
      drain.call(pool)
      for (const connection of idle) connection.close()
    }
  }

  /** Watches every socket that the connection opens, also the second one of a protocol downgrade. */
  private adoptConnection(connection: Connection): Connection {
    let socket: Socket | undefined
    let parser: Parser | undefined
    connection.heard = 0
    Object.defineProperties(connection, {
      netClient: {
        configurable: true,
        get: () => socket,
        set: (next: Socket) => {
          socket = next
          this.watchSocket(connection, next)
        }
      },
      parser: {
        configurable: true,
        get: () => parser,
        set: (next: Parser) => {
          parser = next
          readOwnResponses(connection, next)
        }
      }
    })
    this.endCredentialsWith(connection)
    return connection
  }

  /** The driver would wait for the credentials of a connection that is gone. */
  private endCredentialsWith(connection: Connection): void {
    const provider = this.raw.options.authProvider
    if (!(provider instanceof CredentialsProvider)) return
    const start = connection.startAuthenticating
    connection.startAuthenticating = (name, callback) => {
      const end = provider.during(() => start.call(connection, name, callback))
      connection.netClient?.once("close", end)
    }
  }

  private watchSocket(connection: Connection, socket: Socket): void {
    this.sockets.set(socket, connection)
    // The driver takes its own listener away while it changes states; an error in between would end the process.
    socket.on("error", () => undefined)
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.observeEnd(connection, socket)
      endDrain(connection)
      // After the driver's own listeners; and not for the first socket of a protocol downgrade.
      setImmediate(() => {
        if (connection.netClient === socket) settleRest(connection)
      })
    })
    if (this.isClosing) setImmediate(() => socket.destroy(new Error("the client is closed")))
  }

  /** Before the driver has heard of it. */
  private observeEnd(connection: Connection, socket: Socket): void {
    const host = this.hostOf(connection)
    if (host !== undefined) this.endTraffic(host, socket)
  }

  private endTraffic(host: Host, socket: Socket): void {
    const traffic = this.trafficOf(socket)
    this.told.set(socket, { sent: socket.bytesWritten, received: socket.bytesRead })
    this.tell("connectionEnded", host, traffic)
  }

  private trafficOf(socket: Socket): Traffic {
    const { received, sent } = this.told.get(socket) ?? noTraffic
    return { sent: socket.bytesWritten - sent, received: socket.bytesRead - received }
  }

  private tell<Event extends keyof Observer>(event: Event, ...details: Parameters<Observer[Event]>): void {
    for (const observer of this.observers) {
      const told = observer[event] as ((...details: Parameters<Observer[Event]>) => void) | undefined
      told?.apply(observer, details)
    }
  }

  private hostOf({ endpoint }: Connection): Host | undefined {
    return this.raw.hosts.get(endpoint)
  }

  /** Over the connections to a node that are open. */
  traffic(host: Host): Traffic {
    let sent = 0
    let received = 0
    for (const [socket, connection] of this.sockets) {
      if (this.hostOf(connection) !== host) continue
      const traffic = this.trafficOf(socket)
      sent += traffic.sent
      received += traffic.received
    }
    return { sent, received }
  }

  private adoptControlConnection(control: ControlConnection): void {
    control._createConnection = async (endpoint) => {
      if (this.isClosing) throw new Error("the client is closed")
      const connection = this.adoptConnection(new ConnectionOf(endpoint, null, control.options))
      try {
        await connection.openAsync()
      } catch (error) {
        // The driver leaves the socket of a refused start-up to the server's goodbye.
        connection.netClient?.destroy()
        throw error
      }
      return connection
    }
    const handleSchemaChange = control._nodeSchemaChangeHandler
    control._nodeSchemaChangeHandler = (event) => {
      if (this.isClosing) return
      this.onSchemaChange(event.keyspace)
      this.tell("schemaChanged", event)
      handleSchemaChange.call(control, event)
    }
    // Nobody tells of what was changed between two control connections.
    control.on("newConnection", (error: unknown) => {
      if (error !== null && error !== undefined) return
      this.onSchemaChange(undefined)
      this.tell("schemaChanged", undefined)
    })
    const waiting = { pause: (millis: number) => this.pause(millis), isOver: () => this.isClosing }
    recoverOneAtATime(control, { ...waiting, plan: () => this.policy.plan() })
    followNodes(control, {
      ...waiting,
      port: this.raw.options.protocolOptions.port,
      onMoved: () => this.nodesMoved()
    })
  }
}

const noTraffic: Traffic = { sent: 0, received: 0 }

/**
 * Ends what the driver forgets on a connection that is gone: a start-up that waits for its answer, requests that were
 * queued behind the last write, and the heartbeat that a write has armed which settled late.
 */
const settleRest = (connection: Connection): void => {
  const error = new Error("the socket was closed")
  if (connection.writeQueue !== undefined && connection.writeQueue.error === null) {
    connection.writeQueue.setWriteError(error)
  }
  connection.clearAndInvokePending(error)
  clearTimeout(connection._idleTimeout ?? undefined)
}

/** Before the driver's own listener, which would take away the one that clears the timer of a pool that is given up. */
const endDrain = (connection: Connection): void => {
  if (!connection.emitDrain) return
  connection.isSocketOpen = false
  connection.emit("drain")
}

/** As the driver says it of a request of its own. */
const noAnswer = (endpoint: string, millis: number): Error =>
  new cassandra.errors.OperationTimedOutError(
    `The host ${endpoint} did not reply before timeout ${Math.round(millis)} ms`,
    endpoint
  )

/**
 * A connection that has answered others meanwhile is no dead one, but that of a server with too much to do. And in a
 * process with too much to do the timers come first: what is there to be read is read before the immediates.
 */
const ifSilent = (connection: Connection, heard: number, act: () => void): void => {
  setImmediate(() => {
    if (heard === connection.heard) act()
  })
}

const isTimeout = (error: unknown): boolean => (error as { readonly name?: string }).name === "OperationTimedOutError"

/** Of one that has timed out; nothing comes any more when it was never written, nor from one who is silent. */
const whenOver = (operation: DriverOperation, ifItNeverWill: (end: () => void) => void): WhenOver | undefined => {
  if (operation.streamId === notWritten) return undefined
  return (over) => {
    let isOver = false
    const end = (): void => {
      if (isOver) return
      isOver = true
      guarded(over, undefined, undefined)
    }
    const count = operation._callback
    operation._callback = () => {
      count?.()
      end()
    }
    ifItNeverWill(end)
  }
}

/** A throw in a callback of the driver's parser would end the connection for every other request on it. */
const guarded = <A>(
  settle: Settle<A>,
  error: unknown,
  response: Response<A> | undefined,
  whenOver?: WhenOver
): void => {
  try {
    settle(error, response, whenOver)
  } catch (defect) {
    process.nextTick(() => {
      throw defect
    })
  }
}
