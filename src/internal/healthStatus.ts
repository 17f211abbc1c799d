/**
 * The health of a cluster, as a value.
 */
import type { Consistency } from "./consistency.ts"

/**
 * - `starting`: it is not connected, or no round of checks has ended yet
 * - `up`: every node that is watched can be used
 * - `degraded`: not every one can, and statements are served all the same
 * - `down`: some of them cannot be
 *
 * @category models
 * @since 0.1.0
 */
export type ClusterState = "starting" | "up" | "degraded" | "down"

/**
 * - `up`: it has answered
 * - `unresponsive`: the driver holds it for up, and the last checks had no answer
 * - `down`: the driver holds it for down, or has no connection to it, or did and it has not answered since
 * - `unknown`: it has just been found, and not been asked yet
 * - `notWatched`: it is of a data center that no statement of this session goes to
 *
 * @category models
 * @since 0.1.0
 */
export type NodeState = "up" | "unresponsive" | "down" | "unknown" | "notWatched"

/**
 * One node.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeHealth {
  readonly hostId: string
  /** `address:port` */
  readonly address: string
  readonly dataCenter: string
  readonly rack: string
  readonly version: string
  readonly state: NodeState
  /** From when on it has been in this state. */
  readonly since: Date
  /** Of the last check that it has answered. */
  readonly latencyMillis: number | undefined
  /** Why it cannot be used, or what the last check failed on. */
  readonly lastError: string | undefined
}

/**
 * A cluster, as a session sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  readonly state: ClusterState
  readonly since: Date
  /** When the last round of checks has ended. */
  readonly checkedAt: Date | undefined
  readonly localDataCenter: string
  /** The session's. */
  readonly consistency: Consistency
  /** Whether the local data center can serve it for every part of the session's keyspace. */
  readonly servable: boolean
  /** What the last try to connect has failed on, while it is not connected. */
  readonly error: string | undefined
  readonly nodes: ReadonlyArray<NodeHealth>
}
