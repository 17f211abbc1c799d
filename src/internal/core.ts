/**
 * What a session runs on: the client it shares with others of its keyspace, and what is its own.
 */
import type { CqlError } from "../CqlError.ts"
import type { Admission } from "./admission.ts"
import * as Check from "./check.ts"
import type { Breaker } from "./circuitBreaker.ts"
import type { Counts } from "./counts.ts"
import type { DriverClient } from "./driver/client.ts"
import type { Script } from "./scripted.ts"
import type { Profiles, Settings, StatementOptions } from "./settings.ts"
import * as Settle from "./settings.ts"
import type { Statements } from "./statements.ts"

/** One driver client and what belongs to it, shared by the sessions of its keyspace. */
export interface SharedClient {
  /** Another one than before, once it is connected that was made in the background. */
  readonly client: DriverClient
  readonly admission: Admission
  readonly statements: Statements
  readonly breaker: Breaker | undefined
  /** Of the whole cluster; none where metrics are off. */
  readonly counts: Counts | undefined
  /** Why the client is not connected yet, where it is not. */
  readonly notConnected: CqlError | undefined
  /** A service that refuses to write at a consistency of one node. */
  readonly isCloud: boolean
  /** What answers in place of the cluster, in a test. */
  readonly script?: Script | undefined
}

/** Options from the farthest to the nearest, which wins. */
export type Levels = ReadonlyArray<StatementOptions>

/** One session: it stops admitting, and can wait for what it has admitted. */
export class Core {
  readonly shared: SharedClient
  readonly settings: Settings
  closed = false
  private readonly profiles: Profiles
  private readonly ofRegions = new WeakMap<Levels, Settings | CqlError>()
  private running = 0
  private idle: (() => void) | undefined

  constructor(shared: SharedClient, settings: Settings, profiles: Profiles) {
    this.shared = shared
    this.settings = settings
    this.profiles = profiles
  }

  /** What a statement with options of its own runs with in these regions of the program, or what is wrong with them. */
  settingsFor(regions: Levels, own: Levels): Settings | CqlError {
    const around = regions.length === 0 ? this.settings : this.settingsOf(regions)
    return own.length === 0 || "reason" in around ? around : this.resolve(around, own)
  }

  /** Kept, for a region has many statements. */
  private settingsOf(regions: Levels): Settings | CqlError {
    let settings = this.ofRegions.get(regions)
    if (settings === undefined) {
      settings = Check.problem(regions.flatMap(Check.statementOptions)) ?? this.resolve(this.settings, regions)
      this.ofRegions.set(regions, settings)
    }
    return settings
  }

  private resolve(under: Settings, levels: Levels): Settings | CqlError {
    let settings = under
    for (const level of levels) {
      const { profile } = level
      if (profile !== undefined && !Object.hasOwn(this.profiles, profile)) {
        return Check.invalid("profile", Check.expectedProfile(profile, this.profiles))
      }
      settings = Settle.resolve(settings, level, this.profiles)
    }
    return settings
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
