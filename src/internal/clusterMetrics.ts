/**
 * A cluster's metrics for as long as its scope is open, and how long it took to connect and to close.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Counts } from "./counts.ts"
import { classify } from "./driver/classify.ts"
import type { DriverClient, Observer } from "./driver/client.ts"
import type { Publication, Published } from "./publication.ts"
import { publish, recordSeconds } from "./publication.ts"

export interface ClusterMetrics {
  readonly counts: Counts
  /** Connects, and shows the client's gauges until the scope closes; measures how long either took. */
  readonly measured: <A, E, R>(
    connect: (onConnected: (client: DriverClient) => void) => Effect.Effect<A, E, R>,
    parts: Omit<Published, "client">
  ) => Effect.Effect<A, E, R | Scope.Scope>
}

export const make = (name: string): Effect.Effect<ClusterMetrics, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.map(
      Effect.acquireRelease(Effect.sync(() => publish(context, name)), ({ release }) => Effect.sync(release)),
      ({ publication }) => ({
        counts: publication.counts,
        measured: (connect, parts) => measured(new Measured(publication, context, name, parts), connect)
      })
    )
  )

const measured = Effect.fnUntraced(function*<A, E, R>(
  client: Measured,
  connect: (onConnected: (client: DriverClient) => void) => Effect.Effect<A, E, R>
): Effect.fn.Return<A, E, R | Scope.Scope> {
  // Finalizers run from the last to the first.
  yield* Effect.addFinalizer(() => Effect.sync(() => client.closed()))
  const connected = yield* Effect.tapError(
    connect((connected) => client.connected(connected)),
    () => Effect.sync(() => client.failed())
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => client.closing()))
  return connected
})

/** One client, from the first try to connect to its end. In real time: what it waits for is a server. */
class Measured {
  private readonly publication: Publication
  private readonly context: Context.Context<never>
  private readonly cluster: string
  private readonly parts: Omit<Published, "client">
  private readonly begun = performance.now()
  private published: Published | undefined
  private closingSince: number | undefined

  constructor(
    publication: Publication,
    context: Context.Context<never>,
    cluster: string,
    parts: Omit<Published, "client">
  ) {
    this.publication = publication
    this.context = context
    this.cluster = cluster
    this.parts = parts
  }

  connected(client: DriverClient): void {
    this.published = { ...this.parts, client }
    client.observers.add(observerOf(this.publication))
    this.publication.attach(this.published)
    this.recordConnect("ok")
  }

  failed(): void {
    this.recordConnect("error")
  }

  private recordConnect(outcome: "ok" | "error"): void {
    const { cluster } = this
    recordSeconds(this.context, "connectDuration", { cluster, outcome }, performance.now() - this.begun)
  }

  closing(): void {
    this.closingSince = performance.now()
  }

  closed(): void {
    if (this.published === undefined) return
    this.publication.detach(this.published)
    if (this.closingSince === undefined) return
    recordSeconds(this.context, "closeDuration", { cluster: this.cluster }, performance.now() - this.closingSince)
  }
}

const observerOf = (publication: Publication): Partial<Observer> => ({
  connectionFailed: (host, error) => publication.counts.node(host).connectionError(classify(error)._tag).add(),
  connectionLost: (host) => publication.counts.node(host).connectionError("ConnectionLost").add(),
  connectionEnded: (host, { received, sent }) => {
    const { receivedBytes, sentBytes } = publication.counts.node(host)
    receivedBytes.add(received)
    sentBytes.add(sent)
  },
  nodeAdded: () => publication.nodeChanged(),
  nodeRemoved: () => publication.nodeChanged(),
  nodesMoved: () => publication.nodeChanged()
})
