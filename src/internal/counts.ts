/**
 * What a cluster counts, as plain numbers: an addition where something happens, and no more until somebody reads them.
 */
import type * as Metric from "effect/Metric"
import type { Host } from "./driver/inside.ts"
import type { MetricId } from "./metrics.ts"
import { definitions } from "./metrics.ts"

export class Counter {
  value = 0

  add(count = 1): void {
    this.value += count
  }
}

/** Values by the buckets that they fall into. */
export class Distribution {
  private readonly boundaries: ReadonlyArray<number>
  private readonly counts: Float64Array
  private count = 0
  private sum = 0
  private min = Infinity
  private max = -Infinity

  /** Each bucket's upper bound, which is in it; above the last there is one more. */
  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = new Float64Array(boundaries.length + 1)
  }

  record(value: number): void {
    let bucket = 0
    while (bucket < this.boundaries.length && value > this.boundaries[bucket]!) bucket++
    this.counts[bucket]!++
    this.count++
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
  }

  /** As Effect's histograms have it: each bucket with those below it. */
  get state(): Metric.HistogramState {
    const { count, sum } = this
    const min = count === 0 ? 0 : this.min
    const max = count === 0 ? 0 : this.max
    let below = 0
    const buckets = this.boundaries.map((boundary, bucket): [number, number] => {
      below += this.counts[bucket]!
      return [boundary, below]
    })
    return { buckets: [...buckets, [Infinity, count]], count, sum, min, max }
  }
}

export type Labels = Readonly<Record<string, string>>

/** Told of each series when something happens for the first time that it counts. */
export interface OnSeries {
  (metric: MetricId, labels: Labels, series: Counter | Distribution): void
}

/** Of one kind of statement. */
export interface OperationCounts {
  readonly started: Counter
  readonly succeeded: Distribution
  readonly failed: Distribution
  readonly interrupted: Distribution
}

export interface NodeCounts {
  /** The value of its label: its host id, or one for all above the limit. */
  readonly name: string
  readonly attempts: Counter
  readonly duration: Distribution
  readonly reprepares: Counter
  /** Attempts elsewhere, because this one was slow. */
  readonly hedges: Counter
  readonly error: (reason: string) => Counter
  readonly retry: (reason: string) => Counter
  readonly connectionError: (reason: string) => Counter
  /** Of connections that are closed. */
  readonly sentBytes: Counter
  readonly receivedBytes: Counter
}

/** What is bounded by nobody else: the first words of texts. */
const operations: ReadonlySet<string> = new Set(
  "SELECT INSERT UPDATE DELETE BATCH PREPARE TRUNCATE USE CREATE ALTER DROP GRANT REVOKE LIST ADD DESCRIBE DESC".split(
    " "
  )
)

const otherOperation = "OTHER"

/** Nodes come and go; more than so many at a time are counted as one. */
const mostNodes = 1000

export const otherNodes = "other"

/** Of a cluster; all of its clients count together. */
export class Counts {
  readonly hedges: Counter
  readonly decodeFailures: Counter
  readonly warnings: Counter
  readonly streamedPages: Counter
  readonly streamedRows: Counter
  readonly prepares: Counter
  readonly admissionDelay: Distribution
  readonly error = byLabel((reason) => this.counter("errors", { reason }))
  readonly retry = byLabel((reason) => this.counter("retries", { reason }))
  readonly timeout = byLabel((phase) => this.counter("timeouts", { phase }))
  readonly refusal: (why: "queueFull" | "tooLate") => Counter = byLabel((why) =>
    this.counter("admissionRefusals", { why })
  )
  readonly batchStatements = byLabel((type) => this.distribution("batchStatements", { type }))
  private readonly ofOperation = byLabel((operation): OperationCounts => ({
    started: this.counter("requests", { operation }),
    succeeded: this.distribution("requestDuration", { operation, outcome: "ok" }),
    failed: this.distribution("requestDuration", { operation, outcome: "error" }),
    interrupted: this.distribution("requestDuration", { operation, outcome: "interrupted" })
  }))
  private readonly nodes = new Map<string, NodeCounts>()
  private others: NodeCounts | undefined
  private readonly hosts = new WeakMap<Host, NodeCounts>()
  private readonly onSeries: OnSeries

  constructor(onSeries: OnSeries) {
    this.onSeries = onSeries
    this.hedges = this.counter("speculativeExecutions")
    this.decodeFailures = this.counter("decodeFailures")
    this.warnings = this.counter("serverWarnings")
    this.streamedPages = this.counter("streamedPages")
    this.streamedRows = this.counter("streamedRows")
    this.prepares = this.counter("prepares")
    this.admissionDelay = this.distribution("admissionDelay")
    // There from the first: the rate of a series that begins with the first refusals would not have them.
    this.refusal("queueFull")
    this.refusal("tooLate")
  }

  /** What nobody has begun: nothing else would tell that the program's requests fail. */
  refused(operation: string, reason: string): void {
    const { failed, started } = this.operation(operation)
    started.add()
    failed.record(0)
    this.error(reason).add()
  }

  operation(name: string): OperationCounts {
    return this.ofOperation(operations.has(name) ? name : otherOperation)
  }

  /** By its host id, for the driver makes its hosts anew at times. */
  node(host: Host): NodeCounts {
    let counts = this.hosts.get(host)
    if (counts === undefined) {
      counts = this.nodeOf(hostIdOf(host))
      if (host.hostId !== null) this.hosts.set(host, counts)
    }
    return counts
  }

  private nodeOf(hostId: string): NodeCounts {
    let counts = this.nodes.get(hostId)
    if (counts === undefined) {
      if (this.nodes.size >= mostNodes) return this.others ??= this.makeNode(otherNodes)
      counts = this.makeNode(hostId)
      this.nodes.set(hostId, counts)
    }
    return counts
  }

  private makeNode(node: string): NodeCounts {
    // What was sent to a node that is gone by now is counted for nobody.
    const byReason = (metric: MetricId) =>
      byLabel((reason) =>
        counts === this.nodes.get(node) || counts === this.others
          ? this.counter(metric, { node, reason })
          : new Counter()
      )
    const counts: NodeCounts = {
      name: node,
      attempts: this.counter("nodeAttempts", { node }),
      duration: this.distribution("nodeAttemptDuration", { node }),
      reprepares: this.counter("nodeReprepares", { node }),
      hedges: this.counter("nodeSpeculativeExecutions", { node }),
      error: byReason("nodeErrors"),
      retry: byReason("nodeRetries"),
      connectionError: byReason("nodeConnectionErrors"),
      sentBytes: new Counter(),
      receivedBytes: new Counter()
    }
    return counts
  }

  /** Nobody knows it any more. */
  forgetNode(hostId: string): void {
    this.nodes.delete(hostId)
  }

  private counter(metric: MetricId, labels: Labels = {}): Counter {
    const counter = new Counter()
    this.onSeries(metric, labels, counter)
    return counter
  }

  private distribution(metric: MetricId, labels: Labels = {}): Distribution {
    const { boundaries } = definitions[metric] as { readonly boundaries?: ReadonlyArray<number> }
    const distribution = new Distribution(boundaries ?? [])
    this.onSeries(metric, labels, distribution)
    return distribution
  }
}

/** Before the driver has learned the id of a contact point, its address. */
export const hostIdOf = (host: Host): string => host.hostId?.toString() ?? host.address

const byLabel = <A>(make: (label: string) => A): (label: string) => A => {
  const made = new Map<string, A>()
  return (label) => {
    let found = made.get(label)
    if (found === undefined) {
      found = make(label)
      made.set(label, found)
    }
    return found
  }
}
