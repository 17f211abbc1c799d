/**
 * The control connection's way back after it was lost, and that of the nodes which it tells of.
 *
 * As the driver's, but one at a time, and waiting in a way that a close can end: the driver drops the handle of its
 * timer, and with it a closed process lives on for as long as the delay was. In each round that no known node can be
 * borrowed a connection of, the driver resolves the contact points anew and tries those: so nodes are found that have
 * all come back with other addresses.
 */
import type { Connection, ControlConnection, Host, NodeEvent, QueryPlan } from "./inside.ts"

export interface Recovery {
  /** Every node once that may be asked. */
  readonly plan: () => QueryPlan
  /** Resolves after so many milliseconds, or when the client is closed. */
  readonly pause: (millis: number) => Promise<void>
  /** The client is closed. */
  readonly isOver: () => boolean
}

export const recoverOneAtATime = (control: ControlConnection, recovery: Recovery): void => {
  let recovering = false
  let initialized = false
  closeWhatFails(control)
  const initialize = control._initializeConnection
  control._initializeConnection = () => initialize.call(control).then(() => void (initialized = true))
  control._refresh = async () => {
    // After a whole outage the driver watches a connection twice, and would start this twice for its end.
    if (recovering) return
    recovering = true
    try {
      await untilConnected()
    } finally {
      recovering = false
    }
  }

  const untilConnected = async (): Promise<void> => {
    while (!recovery.isOver() && !(await connected(recovery.plan()))) {
      await recovery.pause(Number(control._reconnectionSchedule.next().value))
    }
  }

  const connected = async (plan: QueryPlan): Promise<boolean> => {
    control._triedHosts = {}
    while (!recovery.isOver()) {
      control.host = null
      control.connection = null
      initialized = false
      try {
        await control._refreshControlConnection(plan)
      } catch (error) {
        control.emit("newConnection", error)
        return false
      }
      if (initialized || (await readTopology(control))) return settle(control)
    }
    return true
  }
}

/** The driver forgets a connection to a contact point that opens and then gives no good account of the cluster. */
const closeWhatFails = (control: ControlConnection): void => {
  let opened: Connection | undefined
  const close = (): void => {
    opened?.netClient?.destroy()
    opened = undefined
  }
  const create = control._createConnection
  control._createConnection = async (endpoint) => {
    close()
    opened = await create(endpoint)
    return opened
  }
  const initialize = control._initializeConnection
  control._initializeConnection = () => initialize.call(control).then(() => void (opened = undefined)).finally(close)
}

/** On a connection that a pool had open; a new one to a contact point has done all this itself. */
const readTopology = async (control: ControlConnection): Promise<boolean> => {
  try {
    await control._refreshHosts(false, true)
    await control._registerToConnectionEvents()
    if (control.host !== null && control.connection !== null) {
      control._setHealthListeners(control.host, control.connection)
    }
    return true
  } catch (error) {
    giveUp(control, error)
    return false
  }
}

const giveUp = (control: ControlConnection, error: unknown): void => {
  const { connection, host } = control as { connection: Connection | null; host: Host | null }
  if (connection === null) return
  control._triedHosts[connection.endpoint] = error
  if ((error as { readonly isSocketError?: boolean }).isSocketError === true) host?.removeFromPool(connection)
}

const settle = (control: ControlConnection): true => {
  control._reconnectionSchedule = control._reconnectionPolicy.newSchedule()
  control.emit("newConnection", null, control.connection, control.host)
  return true
}

/** A node that tells that it is up is not up to it at once, in milliseconds; the driver waits as long. */
const settlingMillis = 1000

export interface NodeEvents {
  readonly port: number
  /** As of `Recovery`. */
  readonly pause: (millis: number) => Promise<void>
  readonly isOver: () => boolean
  /** A node is at another address, or has other tokens, than it had before. */
  readonly onMoved: () => void
}

/** What the driver makes of the nodes' events, and what it leaves out. */
export const followNodes = (control: ControlConnection, events: NodeEvents): void => {
  const handleStatus = control._nodeStatusChangeHandler
  control._nodeStatusChangeHandler = (event) => {
    if (events.isOver()) return
    handleStatus.call(control, event)
    if (event.up === true) cameUp(control, event, events)
  }
  // Each sets a timer, which a control connection that has shut down clears no more; its socket is open a while longer.
  const handleTopology = control._nodeTopologyChangeHandler
  control._nodeTopologyChangeHandler = (event) => {
    if (!events.isOver()) handleTopology.call(control, event)
  }
  const setPeers = control.setPeersInfo
  control.setPeersInfo = async (initializing, peers) => {
    const { rows } = peers
    const known = rows === undefined ? peers : { rows: await withAddress(control, rows, events.port) }
    return setPeers.call(control, initializing, known)
  }
  const refresh = control._refreshHosts
  control._refreshHosts = async (initializing, isReconnecting) => {
    const before = placesOf(control)
    await refresh.call(control, initializing, isReconnecting)
    if (placesOf(control) !== before) events.onMoved()
  }
}

/**
 * The driver has one timer for all nodes that come up, so that of two in a second the first is forgotten until its own
 * delay is over; and it does not look for a node that it does not know by this address.
 */
const cameUp = (control: ControlConnection, event: NodeEvent, { isOver, pause, port }: NodeEvents): void =>
  control._addressTranslator.translate(event.inet.address.toString(), port, (endpoint) => {
    if (isOver()) return
    const host = endpoint === null ? undefined : control.hosts.get(endpoint)
    if (host === undefined) return control._nodeTopologyChangeHandler(event)
    void pause(settlingMillis).then(() => isOver() ? undefined : host.checkIsUp())
  })

/**
 * The driver looks for nodes that are gone when it knows more than there are rows. With one row without an address, as
 * Cassandra leaves them behind at times, or of the node that is asked, it would seek a node for ever where it was.
 */
const withAddress = async (
  control: ControlConnection,
  rows: ReadonlyArray<unknown>,
  port: number
): Promise<ReadonlyArray<unknown>> => {
  const endpoints = await Promise.all(rows.map((row) => control.getAddressForPeerHost(row, port)))
  const isAnother = (endpoint: string | null, index: number): boolean =>
    endpoint !== null && endpoint !== control.host?.address && endpoints.indexOf(endpoint) === index
  return rows.filter((_, index) => isAnother(endpoints[index]!, index))
}

/** The driver tells when an address is added or removed, and not when another node has it, or another version. */
const placesOf = ({ hosts }: ControlConnection): string =>
  hosts.values().map(({ address, cassandraVersion, datacenter, hostId, rack, tokens }) =>
    [address, hostId, datacenter, rack, cassandraVersion, tokens].join()
  ).join("\n")
