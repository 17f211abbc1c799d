/**
 * What a session runs on: the client it shares with others of its keyspace, and what is its own.
 */
import type { Admission } from "./admission.ts"
import type { DriverClient } from "./driver/client.ts"
import type { Settings } from "./settings.ts"
import type { Statements } from "./statements.ts"

/** One driver client and what belongs to it, shared by the sessions of its keyspace. */
export interface SharedClient {
  readonly client: DriverClient
  readonly admission: Admission
  readonly statements: Statements
}

/** One session: it stops admitting, and can wait for what it has admitted. */
export class Core {
  readonly shared: SharedClient
  readonly settings: Settings
  closed = false
  private running = 0
  private idle: (() => void) | undefined

  constructor(shared: SharedClient, settings: Settings) {
    this.shared = shared
    this.settings = settings
  }

  /** A session that is printed must not print the driver, and with it keys and statements. */
  toJSON(): unknown {
    return { _id: "effect-cassandra/Session", keyspace: this.shared.client.keyspace, closed: this.closed }
  }

  enter(): void {
    this.running++
  }

  exit(): void {
    this.running--
    if (this.running === 0) this.idle?.()
  }

  /** Requests that are admitted or queued. */
  get inFlight(): number {
    return this.running
  }

  /** Stops admission; calls `onIdle` once, when nothing of this session is under way any more. */
  close(onIdle: () => void): void {
    this.closed = true
    this.idle = () => {
      this.idle = undefined
      onIdle()
    }
    if (this.running === 0) this.idle()
  }
}
