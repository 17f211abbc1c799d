/**
 * Asks every node now and then, and listens to what the driver finds out: the state of a cluster, as a session sees it.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { Answer } from "./askNode.ts"
import { askNode } from "./askNode.ts"
import { Broadcast } from "./broadcast.ts"
import * as Consistencies from "./consistency.ts"
import type { Core, SharedClient } from "./core.ts"
import { hostIdOf } from "./counts.ts"
import type { DriverClient, Observer } from "./driver/client.ts"
import type { Host } from "./driver/inside.ts"
import * as Nodes from "./driver/nodes.ts"
import type { ClusterState, NodeHealth, NodeState, Status } from "./healthStatus.ts"
import { isServable } from "./servable.ts"

export interface MonitorOptions {
  readonly interval: Duration.Duration
  readonly timeoutMillis: number
  /** So many checks in a row that failed. */
  readonly failures: number
}

/** What the checks have told of a node. */
interface Checked {
  readonly answered: boolean
  readonly latencyMillis: number | undefined
  readonly lastError: string | undefined
  /** In a row. */
  readonly failures: number
}

const unchecked: Checked = { answered: false, latencyMillis: undefined, lastError: undefined, failures: 0 }

/** More that happens at once than this is found by the next round. */
const mostKept = 1024

/** Until the cluster is reached it is looked at more often: somebody waits for it. */
const whileStarting = Duration.seconds(1)

export class Monitor {
  readonly changes = new Broadcast<Status>()
  private readonly core: Core
  private readonly options: MonitorOptions
  private readonly checks = new Map<string, Checked>()
  private readonly happened: Queue.Queue<Host | undefined>
  private readonly scope: Scope.Scope
  private current: Status
  private observed: DriverClient | undefined
  private round: Deferred.Deferred<Status> | undefined

  private constructor(
    core: Core,
    options: MonitorOptions,
    happened: Queue.Queue<Host | undefined>,
    scope: Scope.Scope,
    now: number
  ) {
    this.core = core
    this.options = options
    this.happened = happened
    this.scope = scope
    this.current = {
      state: "starting",
      since: new Date(now),
      checkedAt: undefined,
      localDataCenter: "",
      consistency: Consistencies.fromCode(core.settings.consistency)!,
      servable: false,
      error: undefined,
      nodes: []
    }
  }

  get status(): Status {
    return this.current
  }

  private get shared(): SharedClient {
    return this.core.shared
  }

  /** Asks and listens until the scope closes. */
  static readonly make = Effect.fnUntraced(function*(
    core: Core,
    options: MonitorOptions
  ): Effect.fn.Return<Monitor, never, Scope.Scope> {
    const happened = yield* Queue.sliding<Host | undefined>(mostKept)
    const monitor = new Monitor(core, options, happened, yield* Effect.scope, yield* Clock.currentTimeMillis)
    yield* Effect.addFinalizer(() => Effect.sync(() => monitor.close()))
    yield* Effect.forkScoped(Effect.forever(monitor.lookAtWhatHappened))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(monitor.check, monitor.pause)))
    return monitor
  })

  private get pause(): Effect.Effect<void> {
    return Effect.flatMap(Random.nextBetween(0.8, 1.2), (share) => {
      const wait = this.shared.notConnected === undefined ? this.options.interval : whileStarting
      return Effect.sleep(Duration.times(wait, share))
    })
  }

  private close(): void {
    this.observed?.observers.delete(this.observer)
    this.changes.close()
  }

  // --- asking

  /** A round of its own, or the one that is under way: who shares it is not interrupted with whoever began it. */
  get check(): Effect.Effect<Status> {
    return Effect.suspend(() => {
      if (this.round !== undefined) return Deferred.await(this.round)
      const round = Deferred.makeUnsafe<Status>()
      this.round = round
      const asked = Effect.onExit(this.askAll, (exit) =>
        Effect.sync(() => {
          this.round = undefined
          Deferred.doneUnsafe(round, exit)
        }))
      return Effect.andThen(Effect.forkIn(asked, this.scope, { startImmediately: true }), Deferred.await(round))
    })
  }

  private get askAll(): Effect.Effect<Status> {
    return Effect.gen({ self: this }, function*() {
      this.observe()
      const { client } = this.shared
      yield* Effect.forEach(client.nodes(), (host) => this.ask(host), { concurrency: "unbounded", discard: true })
      return yield* this.refresh(true)
    })
  }

  /** One that the driver holds for down has no connection to be asked on. */
  private ask(host: Host): Effect.Effect<void> {
    return Nodes.isUsable(host)
      ? Effect.map(askNode(this.shared, host, this.options.timeoutMillis), (answer) => this.learn(host, answer))
      : Effect.sync(() => void this.checks.delete(hostIdOf(host)))
  }

  private learn(host: Host, answer: Answer): void {
    const { answered, failures, latencyMillis } = this.checks.get(hostIdOf(host)) ?? unchecked
    this.checks.set(
      hostIdOf(host),
      answer._tag === "Answered"
        ? { answered: true, latencyMillis: answer.millis, lastError: undefined, failures: 0 }
        : { answered, latencyMillis, lastError: answer.error, failures: failures + 1 }
    )
  }

  // --- listening

  /** Of the client that there is: another one than before, once it has connected in the background. */
  private observe(): void {
    const { client } = this.shared
    if (client === this.observed) return
    this.observed?.observers.delete(this.observer)
    this.observed = client
    client.observers.add(this.observer)
  }

  private readonly observer: Partial<Observer> = {
    nodeAdded: () => this.tell(undefined),
    nodeRemoved: (host) => {
      this.checks.delete(hostIdOf(host))
      this.tell(undefined)
    },
    nodeDown: (host) => {
      this.checks.delete(hostIdOf(host))
      this.tell(undefined)
    },
    nodeUp: (host) => this.tell(host),
    nodesMoved: () => this.tell(undefined),
    connectionOpened: (host) => this.tell(host),
    connectionLost: () => this.tell(undefined),
    connectionFailed: () => this.tell(undefined)
  }

  /** Of a host that is to be asked, or of none. */
  private tell(host: Host | undefined): void {
    Queue.offerUnsafe(this.happened, host)
  }

  private get lookAtWhatHappened(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const hosts = new Set(yield* Queue.takeAll(this.happened))
      // What has gone is told at once, before anybody is asked.
      yield* this.refresh()
      const asked = [...hosts].filter((host) => host !== undefined && this.shared.client.nodes().includes(host))
      if (asked.length === 0) return
      yield* Effect.forEach(asked, (host) => this.ask(host!), { concurrency: "unbounded", discard: true })
      yield* this.refresh()
    })
  }

  // --- concluding

  private refresh(isRound = false): Effect.Effect<Status> {
    return Effect.flatMap(Clock.currentTimeMillis, (millis) => {
      const before = this.current
      const now = new Date(millis)
      this.current = this.conclude(before, now, isRound ? now : before.checkedAt)
      if (sameTo(before, this.current)) return Effect.succeed(this.current)
      this.changes.tell(this.current)
      return Effect.as(logChange(before, this.current), this.current)
    })
  }

  private conclude(before: Status, now: Date, checkedAt: Date | undefined): Status {
    const { client, notConnected } = this.shared
    const nodes = client.raw.hosts.values().map((host) => this.describe(host, before, now))
    const servable = this.isServable()
    const state = this.stateOf(nodes, servable, checkedAt)
    return {
      state,
      since: state === before.state ? before.since : now,
      checkedAt: notConnected === undefined ? checkedAt : undefined,
      localDataCenter: client.policy.localDataCenter ?? "",
      consistency: before.consistency,
      servable,
      error: notConnected?.message,
      nodes
    }
  }

  private stateOf(nodes: ReadonlyArray<NodeHealth>, servable: boolean, checkedAt: Date | undefined): ClusterState {
    if (this.shared.notConnected !== undefined || checkedAt === undefined) return "starting"
    const watched = nodes.filter(({ state }) => state !== "notWatched")
    if (servable && watched.every(({ state }) => state === "up" || state === "unknown")) return "up"
    return servable || this.failsOver() ? "degraded" : "down"
  }

  /** Of the local data center; what another one can do in its stead is not asked for here. */
  private isServable(): boolean {
    const { client } = this.shared
    const dataCenter = client.policy.localDataCenter ?? ""
    return this.shared.notConnected === undefined && this.servableBy(dataCenter)
  }

  private servableBy(dataCenter: string): boolean {
    const { client } = this.shared
    return isServable({
      client: client.raw,
      keyspace: client.keyspace,
      consistency: this.current.consistency,
      dataCenter,
      isUsable: (host) => this.isUsable(host)
    })
  }

  private failsOver(): boolean {
    return this.shared.client.policy.remoteHosts().some(([first]) =>
      first !== undefined && this.servableBy(first.datacenter ?? "")
    )
  }

  /** Of one that is not watched, what the driver holds it for. */
  private isUsable(host: Host): boolean {
    if (!this.isWatched(host)) return host.isUp()
    const state = this.nodeState(host)
    return state === "up" || state === "unknown"
  }

  private isWatched(host: Host): boolean {
    return this.shared.client.nodes().includes(host)
  }

  private nodeState(host: Host): NodeState {
    if (!this.isWatched(host)) return "notWatched"
    if (!Nodes.isUsable(host)) return "down"
    const { answered, failures } = this.checks.get(hostIdOf(host)) ?? unchecked
    if (failures >= this.options.failures) return "unresponsive"
    return answered ? "up" : "unknown"
  }

  private describe(host: Host, before: Status, now: Date): NodeHealth {
    const hostId = hostIdOf(host)
    const state = this.nodeState(host)
    const known = before.nodes.find((node) => node.hostId === hostId)
    const { lastError, latencyMillis } = this.checks.get(hostId) ?? unchecked
    const [why] = state === "down" ? Nodes.whyNone([host], () => undefined) : []
    return {
      hostId,
      address: host.address,
      dataCenter: host.datacenter ?? "",
      rack: host.rack ?? "",
      version: host.cassandraVersion ?? "",
      state,
      since: known?.state === state ? known.since : now,
      latencyMillis: state === "up" || state === "unresponsive" ? latencyMillis : undefined,
      lastError: why?.error ?? lastError
    }
  }
}

/** What a reader would call the same: latencies and errors that differ are no change. */
const sameTo = (before: Status, after: Status): boolean => keyOf(before) === keyOf(after)

const keyOf = ({ nodes, servable, state }: Status): string =>
  JSON.stringify([
    state,
    servable,
    nodes.map(({ address, hostId, state, version }) => [hostId, address, state, version])
  ])

const logChange = (before: Status, { consistency, nodes, servable, state }: Status): Effect.Effect<void> => {
  if (before.state === state || before.state === "starting" && state === "up") return Effect.void
  const missing = nodes.filter((node) => node.state === "down" || node.state === "unresponsive")
  const details = Object.fromEntries(missing.map(({ address, lastError, state }) => [address, lastError ?? state]))
  const log = state === "up" ? Effect.logInfo : Effect.logWarning
  return Effect.annotateLogs(log(`the cluster is ${state}`), { consistency, servable, ...details })
}
