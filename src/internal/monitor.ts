/**
 * Asks every node now and then, and listens to what the driver finds out: the state of a cluster, as a session sees it.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { Answer } from "./askNode.ts"
import { askNode } from "./askNode.ts"
import { Broadcast } from "./broadcast.ts"
import * as Consistencies from "./consistency.ts"
import type { Core, SharedClient } from "./core.ts"
import { hostIdOf } from "./counts.ts"
import { classify, isAway } from "./driver/classify.ts"
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
  /** Whether it has answered; `gone` of one that was down since, and has not answered again. */
  readonly is: "new" | "answering" | "gone"
  readonly latencyMillis: number | undefined
  readonly lastError: string | undefined
  /** In a row. */
  readonly failures: number
}

const unchecked: Checked = { is: "new", latencyMillis: undefined, lastError: undefined, failures: 0 }

const gone: Checked = { ...unchecked, is: "gone" }

const checkedBy = (answer: Answer, before: Checked): Checked => {
  switch (answer._tag) {
    case "Answered":
      return { is: "answering", latencyMillis: answer.millis, lastError: undefined, failures: 0 }
    case "Silent":
      return { ...before, lastError: answer.error, failures: before.failures + 1 }
    case "NotAsked":
      return { ...before, lastError: answer.error }
  }
}

/** More that happens at once than this is found by the next round. */
const mostKept = 1024

/** Until the cluster is reached it is looked at more often: somebody waits for it. */
const whileStarting = Duration.seconds(1)

/** Between the checks of a node that has not answered one, and may not be given up yet. */
const whileInDoubt = Duration.seconds(1)

export class Monitor {
  readonly changes = new Broadcast<Status>()
  private readonly core: Core
  private readonly options: MonitorOptions
  private readonly checks = new Map<string, Checked>()
  private readonly inDoubt = new Set<Host>()
  /** Those to which the last connection could not be opened, and why, where there is no more to tell than this. */
  private readonly away = new WeakMap<Host, string | undefined>()
  private closed = false
  private readonly happened: Queue.Queue<Host | undefined>
  private readonly scope: Scope.Scope
  private current: Status
  private observed: DriverClient | undefined
  /** Questions by their host, and a round by this itself. */
  private readonly underWay = new Map<object, Deferred.Deferred<void>>()

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
    yield* Effect.forkScoped(Effect.forever(monitor.lookAtWhatHappened))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(monitor.check, monitor.pause)))
    // The first to run: what is interrupted after it has nobody to tell any more.
    yield* Effect.addFinalizer(() => Effect.sync(() => monitor.close()))
    return monitor
  })

  private get pause(): Effect.Effect<void> {
    return Effect.flatMap(Random.nextBetween(0.8, 1.2), (share) => {
      const { interval } = this.options
      const wait = this.shared.notConnected === undefined ? interval : Duration.min(interval, whileStarting)
      return Effect.sleep(Duration.times(wait, share))
    })
  }

  private close(): void {
    this.closed = true
    this.observed?.observers.delete(this.observer)
    this.changes.close()
  }

  // --- asking

  /** A round of its own, or the one that is under way; what is known last, once nobody watches any more. */
  get check(): Effect.Effect<Status> {
    return Effect.map(this.once(this, this.askAll), () => this.current)
  }

  private get askAll(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.observe()
      const { client } = this.shared
      // Where the driver opens them in the background, the first round would find nobody to ask.
      const isFirst = this.current.checkedAt === undefined
      if (isFirst && client.nodes().some(isNotOpened)) yield* Effect.promise(() => client.openAll())
      yield* Effect.forEach(client.nodes(), (host) => this.ask(host), { concurrency: "unbounded", discard: true })
      // Of a client that has connected meanwhile, nobody was asked.
      yield* this.refresh(client === this.shared.client)
    })
  }

  /** One that the driver holds for down has no connection to be asked on; nobody is asked twice at a time. */
  private ask(host: Host): Effect.Effect<void> {
    return Effect.suspend(() =>
      Nodes.isUsable(host)
        ? this.once(
          host,
          Effect.flatMap(askNode(this.shared, host, this.options.timeoutMillis), (answer) => this.learn(host, answer))
        )
        : Effect.sync(() => this.forget(host))
    )
  }

  /** One that has just been found is held for down by the driver until it has a connection. */
  private forget(host: Host): void {
    if (!host.isUp() && this.checks.has(hostIdOf(host))) this.checks.set(hostIdOf(host), gone)
  }

  /** Its own, or the one that is under way: who shares it is not interrupted with whoever began it. */
  private once(key: object, effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.closed) return Effect.void
      const underWay = this.underWay.get(key)
      if (underWay !== undefined) return Deferred.await(underWay)
      const done = Deferred.makeUnsafe<void>()
      this.underWay.set(key, done)
      const shared = Effect.ensuring(
        effect,
        Effect.sync(() => {
          this.underWay.delete(key)
          Deferred.doneUnsafe(done, Exit.void)
        })
      )
      return Effect.andThen(Effect.forkIn(shared, this.scope, { startImmediately: true }), Deferred.await(done))
    })
  }

  private learn(host: Host, answer: Answer): Effect.Effect<void> {
    return Effect.suspend(() => {
      const hostId = hostIdOf(host)
      // What was asked of it before it went says nothing of it when it is back.
      if (!Nodes.isUsable(host)) return Effect.sync(() => this.forget(host))
      this.checks.set(hostId, checkedBy(answer, this.checks.get(hostId) ?? unchecked))
      return answer._tag === "Silent" && this.nodeState(host) === "up" ? this.askAgain(host) : Effect.void
    })
  }

  /** Soon, and not only with the next round. */
  private askAgain(host: Host): Effect.Effect<void> {
    if (this.inDoubt.has(host)) return Effect.void
    this.inDoubt.add(host)
    return Effect.sleep(whileInDoubt).pipe(
      Effect.ensuring(Effect.sync(() => this.inDoubt.delete(host))),
      Effect.andThen(this.ask(host)),
      Effect.andThen(this.refresh()),
      Effect.forkIn(this.scope),
      Effect.asVoid
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
    for (const host of client.raw.hosts.values()) if (!host.isUp()) this.checks.set(hostIdOf(host), gone)
  }

  private readonly observer: Partial<Observer> = {
    nodeAdded: () => this.tell(undefined),
    nodeRemoved: (host) => {
      this.checks.delete(hostIdOf(host))
      this.tell(undefined)
    },
    nodeDown: (host) => {
      this.forget(host)
      this.tell(undefined)
    },
    nodeUp: (host) => this.tell(host),
    nodesMoved: () => this.tell(undefined),
    connectionOpened: (host) => {
      this.away.delete(host)
      this.tell(host)
    },
    connectionLost: () => this.tell(undefined),
    connectionFailed: (host, error) => {
      this.away.set(host, isAway(error) ? classify(error, { node: host.address }).message : undefined)
      this.tell(undefined)
    }
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
      for (const host of hosts) {
        if (host === undefined || !this.isWatched(host)) continue
        // Beside the others, for one that is silent must not hold up what happens to them.
        yield* Effect.forkIn(Effect.andThen(this.ask(host), this.refresh()), this.scope)
      }
    })
  }

  // --- concluding

  private refresh(isRound = false): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (millis) => {
      const before = this.current
      const now = new Date(millis)
      this.current = this.conclude(before, now, isRound ? now : before.checkedAt)
      if (sameTo(before, this.current)) return Effect.void
      this.changes.tell(this.current)
      // A logger that throws would end the watch.
      return Effect.ignoreCause(logChange(before, this.current))
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
    const { failures, is } = this.checks.get(hostIdOf(host)) ?? unchecked
    if (!Nodes.isUsable(host)) return is === "new" && !this.away.has(host) ? "unknown" : "down"
    // One that has not answered yet has nothing to be excused by.
    if (failures >= this.options.failures || (is !== "answering" && failures > 0)) return "unresponsive"
    return is === "answering" ? "up" : is === "gone" ? "down" : "unknown"
  }

  private describe(host: Host, before: Status, now: Date): NodeHealth {
    const hostId = hostIdOf(host)
    const state = this.nodeState(host)
    const known = before.nodes.find((node) => node.hostId === hostId)
    const { lastError, latencyMillis } = this.checks.get(hostId) ?? unchecked
    return {
      hostId,
      address: host.address,
      dataCenter: host.datacenter ?? "",
      rack: host.rack ?? "",
      version: host.cassandraVersion ?? "",
      state,
      since: known?.state === state ? known.since : now,
      latencyMillis: state === "up" || state === "unresponsive" ? latencyMillis : undefined,
      lastError: state === "down" ? this.whyDown(host) : lastError
    }
  }

  private whyDown(host: Host): string | undefined {
    const why = this.away.get(host)
    const [down] = Nodes.whyNone([host], () => why === undefined || host.isUp() ? undefined : `down: ${why}`)
    return down?.error
  }
}

const isNotOpened = (host: Host): boolean => host.isUp() && host.pool.connections.length === 0

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
