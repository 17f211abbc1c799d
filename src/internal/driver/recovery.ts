/**
 * The control connection's way back after it was lost.
 *
 * As the driver's, but one at a time, and waiting in a way that a close can end: the driver drops the handle of its
 * timer, and with it a closed process lives on for as long as the delay was.
 */
import type { Connection, ControlConnection, Host, QueryPlan } from "./inside.ts"

export interface Recovery {
  /** Every local node once. */
  readonly plan: () => QueryPlan
  /** Resolves after so many milliseconds, or when the client is closed. */
  readonly pause: (millis: number) => Promise<void>
  /** The client is closed. */
  readonly isOver: () => boolean
}

export const recoverOneAtATime = (control: ControlConnection, recovery: Recovery): void => {
  let recovering = false
  let initialized = false
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
