/**
 * The parts of cassandra-driver 4.10 that are not in its typings and that this library stands on.
 *
 * Everything here is used on instances only, never on shared prototypes, and is checked once per client by
 * `missingParts`: a driver of another shape is refused by name at connect instead of failing at the first query.
 */
import type { EventEmitter } from "node:events"
import type { Socket } from "node:net"
import type { Transform } from "node:stream"

export interface FrameHeader {
  readonly streamId: number
  readonly flags: number
  readonly bodyLength: number
}

/** What the driver calls to put a request on the wire. */
export interface DriverRequest {
  readonly write: (encoder: { readonly protocolVersion: number }, streamId: number) => Buffer
}

/** The two options of a request that a connection reads. */
export interface SendOptions {
  readonly getRowCallback: () => undefined
  readonly getReadTimeout: () => number
}

export interface Parser extends Transform {
  parseBody: (frame: ParserFrame, item: ParserItem) => unknown
  parseResult: (frame: ParserFrame, reader: FrameReader) => unknown
}

export interface ParserFrame {
  readonly header: FrameHeader
  readonly flagsInfo: FrameFlags | undefined
  readonly isStreaming: boolean | undefined
  readonly parsingError: boolean | undefined
}

/** A frame's body, or a part of it: `offset` is where it begins in `chunk`, once it has arrived whole. */
export interface ParserItem {
  readonly header: FrameHeader
  readonly chunk: Buffer
  readonly offset: number
}

/** The parts in front of a response's body that the frame's flags announce (protocol v4, section 2.2). */
export interface FrameFlags {
  readonly traceId?: { readonly toString: () => string }
  readonly warnings?: ReadonlyArray<string>
  readonly customPayload?: Record<string, Buffer | null>
}

export interface FrameReader {
  readonly buf: Buffer
  offset: number
}

export interface Connection extends EventEmitter {
  /** How many frames have come; counted here, and not by the driver. */
  heard: number
  readonly connected: boolean
  readonly sendingIdleQuery: boolean
  readonly _idleTimeoutHandler: () => void
  netClient: Socket | undefined
  parser: Parser | undefined
  readonly endpoint: string
  readonly keyspace: string | null
  readonly protocolVersion: number
  /** Given up, and not answered yet. */
  readonly timedOutOperations: number
  readonly _operations: Map<number, { readonly request: unknown }>
  _idleTimeout: NodeJS.Timeout | null
  readonly writeQueue: { readonly error: Error | null; readonly setWriteError: (error: Error) => void } | undefined
  /** Whether a pool that is given up waits for this connection's last answer. */
  readonly emitDrain: boolean
  isSocketOpen: boolean
  readonly getInFlight: () => number
  readonly clearAndInvokePending: (error: Error) => void
  readonly openAsync: () => Promise<void>
  startAuthenticating: (name: string, callback: (error: unknown) => void) => void
  readonly close: () => void
  readonly changeKeyspace: (keyspace: string) => Promise<void>
  readonly send: (request: DriverRequest, options: null) => Promise<unknown>
  readonly sendStream: (
    request: DriverRequest,
    options: SendOptions,
    callback: (error: Error | null | undefined, response: unknown, length: number | undefined) => void
  ) => DriverOperation
}

/** A request on its connection. */
export interface DriverOperation {
  /** -1 until it has one. */
  readonly streamId: number
  /** After a timeout: what is called when the answer comes, or the connection goes. */
  _callback: () => void
}

export interface ConnectionClass {
  new(endpoint: string, protocolVersion: number | null, options: unknown): Connection
}

export interface Pool extends EventEmitter {
  connections: ReadonlyArray<Connection>
  _createConnection: () => Connection
  drainAndShutdown: () => void
  /** Takes a connection out, and closes it. */
  remove: (connection: Connection) => void
  scheduleNewConnectionAttempt: (delayMillis: number) => void
  readonly shutdown: () => Promise<void>
  readonly increaseSize: () => void
}

export interface Host extends EventEmitter {
  readonly address: string
  readonly datacenter: string | null
  readonly rack: string | null
  readonly cassandraVersion: string | null
  readonly hostId: { readonly toString: () => string } | null
  readonly tokens: ReadonlyArray<string> | null
  readonly pool: Pool
  readonly isUp: () => boolean
  readonly getInFlight: () => number
  readonly borrowConnection: () => Connection
  readonly removeFromPool: (connection: Connection) => void
  readonly checkHealth: (connection: Connection) => void
  /** In the last 200 to 400 milliseconds. */
  readonly getResponseCount: () => number
  reconnectionSchedule: Iterator<number>
  readonly options: { readonly policies: { readonly reconnection: { readonly newSchedule: () => Iterator<number> } } }
  readonly checkIsUp: () => void
  readonly warmupPool: (keyspace: string | undefined) => Promise<void>
  readonly shutdown: (waitForPending: boolean) => Promise<void>
}

export interface HostMap extends EventEmitter {
  readonly values: () => ReadonlyArray<Host>
  readonly get: (endpoint: string) => Host | undefined
}

export interface QueryPlan {
  readonly next: () => { readonly done: boolean; readonly value: Host }
}

export interface SchemaChange {
  readonly keyspace: string
  /** Of a change of a table, which may be one of its columns. */
  readonly table?: string
  readonly schemaChangeType?: string
}

/** What the cluster tells of a node. */
export interface NodeEvent {
  readonly inet: { readonly address: { readonly toString: () => string } }
  /** Of a change of status: up, and not down. */
  readonly up?: boolean
}

export interface ControlConnection extends EventEmitter {
  readonly hosts: HostMap
  readonly options: unknown
  readonly protocolVersion: number | null
  host: Host | null
  connection: Connection | null
  _isShuttingDown: boolean
  _triedHosts: Record<string, unknown>
  _reconnectionSchedule: Iterator<number>
  readonly _reconnectionPolicy: { readonly newSchedule: () => Iterator<number> }
  _createConnection: (endpoint: string) => Promise<Connection>
  readonly shutdown: () => void
  _refresh: (plan?: QueryPlan) => Promise<void>
  readonly _refreshControlConnection: (plan: QueryPlan) => Promise<void>
  _initializeConnection: () => Promise<void>
  _refreshHosts: (initializing: boolean, isReconnecting: boolean) => Promise<void>
  /** From the rows of `system.peers`. */
  setPeersInfo: (initializing: boolean, peers: { readonly rows?: ReadonlyArray<unknown> }) => Promise<void>
  readonly getAddressForPeerHost: (row: unknown, port: number) => Promise<string | null>
  readonly _registerToConnectionEvents: () => Promise<void>
  readonly _setHealthListeners: (host: Host, connection: Connection) => void
  _nodeSchemaChangeHandler: (event: SchemaChange) => void
  _nodeStatusChangeHandler: (event: NodeEvent) => void
  _nodeTopologyChangeHandler: (event: NodeEvent) => void
  readonly _addressTranslator: {
    readonly translate: (address: string, port: number, callback: (endpoint: string | null) => void) => void
  }
}

/** A keyspace's, and the replicas that the driver has made of it for each token. */
export interface Replication {
  replicas?: unknown
  readonly strategy?: string
  readonly strategyOptions?: Readonly<Record<string, string>>
}

export interface Metadata {
  readonly keyspaces: Record<string, Replication>
  readonly buildTokens: (hosts: HostMap) => void
  readonly isDbaas: () => boolean
  /** Of a partition's key, or of a token. */
  readonly getReplicas: (keyspace: string, token: Buffer | object) => ReadonlyArray<Host> | null
  readonly newToken: (text: string) => object
  /** The tokens of all nodes, in their order; none until the schema is known. */
  readonly ring?: ReadonlyArray<object> | null
  readonly compareSchemaVersions: (connection: Connection) => Promise<boolean>
}

export interface Client extends EventEmitter {
  readonly hosts: HostMap
  readonly keyspace: string | undefined
  readonly connected: boolean
  readonly controlConnection: ControlConnection
  readonly metadata: Metadata
  readonly profileManager: { readonly getDistance: (host: Host) => number }
  readonly options: { readonly protocolOptions: { readonly port: number }; readonly authProvider: unknown }
  readonly connect: () => Promise<void>
  readonly shutdown: () => Promise<void>
  _waitForSchemaAgreement: (connection: Connection) => Promise<boolean>
  readonly handleSchemaAgreementAndRefresh: (connection: Connection, event: unknown) => Promise<boolean>
}

/** The names of the parts that `client` lacks: empty for the driver this library was written against. */
export const missingParts = (client: Client, connection: ConnectionClass): ReadonlyArray<string> => {
  const control = client.controlConnection as ControlConnection | undefined
  const prototype = connection.prototype as Record<string, unknown> | undefined
  const parts: ReadonlyArray<readonly [name: string, present: boolean]> = [
    ["Client.handleSchemaAgreementAndRefresh", typeof client.handleSchemaAgreementAndRefresh === "function"],
    ["Client._waitForSchemaAgreement", typeof client._waitForSchemaAgreement === "function"],
    ["Client.hosts.values", typeof client.hosts?.values === "function"],
    ["ControlConnection._createConnection", typeof control?._createConnection === "function"],
    ["ControlConnection.shutdown", typeof control?.shutdown === "function"],
    ["ControlConnection._refresh", typeof control?._refresh === "function"],
    ["ControlConnection._refreshControlConnection", typeof control?._refreshControlConnection === "function"],
    ["ControlConnection._refreshHosts", typeof control?._refreshHosts === "function"],
    ["ControlConnection.setPeersInfo", typeof control?.setPeersInfo === "function"],
    ["ControlConnection.getAddressForPeerHost", typeof control?.getAddressForPeerHost === "function"],
    ["ControlConnection._registerToConnectionEvents", typeof control?._registerToConnectionEvents === "function"],
    ["ControlConnection._setHealthListeners", typeof control?._setHealthListeners === "function"],
    ["ControlConnection._nodeSchemaChangeHandler", typeof control?._nodeSchemaChangeHandler === "function"],
    ["ControlConnection._nodeStatusChangeHandler", typeof control?._nodeStatusChangeHandler === "function"],
    ["ControlConnection._nodeTopologyChangeHandler", typeof control?._nodeTopologyChangeHandler === "function"],
    ["ControlConnection._addressTranslator", typeof control?._addressTranslator?.translate === "function"],
    ["Metadata.newToken", typeof client.metadata?.newToken === "function"],
    ["Metadata.buildTokens", typeof client.metadata?.buildTokens === "function"],
    ["ControlConnection._initializeConnection", typeof control?._initializeConnection === "function"],
    ["Metadata.compareSchemaVersions", typeof client.metadata?.compareSchemaVersions === "function"],
    ["Connection.sendStream", typeof prototype?.["sendStream"] === "function"],
    ["Connection.changeKeyspace", typeof prototype?.["changeKeyspace"] === "function"],
    ["Connection.clearAndInvokePending", typeof prototype?.["clearAndInvokePending"] === "function"],
    ["Connection.getInFlight", typeof prototype?.["getInFlight"] === "function"],
    ["Connection.startAuthenticating", typeof prototype?.["startAuthenticating"] === "function"],
    ["Connection._idleTimeoutHandler", typeof prototype?.["_idleTimeoutHandler"] === "function"],
    ["Connection.close", typeof prototype?.["close"] === "function"],
    ["Connection.bindSocketListeners", typeof prototype?.["bindSocketListeners"] === "function"]
  ]
  return parts.filter(([, present]) => !present).map(([name]) => name)
}
