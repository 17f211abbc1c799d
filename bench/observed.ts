/**
 * What it costs to be seen: client CPU a query with metrics over the same without them, and with a tracer over the same
 * without one. Pairs as in the bench, of the library against itself; and what counting takes by itself, which is less than
 * pairs can tell.
 */
import { NodeRuntime } from "@effect/platform-node"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { parseArgs } from "node:util"
import { Counts } from "../src/internal/counts.ts"
import { cases } from "./cases.ts"
import { driverClient, ServerLive } from "./clients.ts"
import type { Pair } from "./pairs.ts"
import { measurePair, summarize, warmUp } from "./pairs.ts"
import { progress } from "./show.ts"

const { values: options } = parseArgs({ options: { pairs: { type: "string" } } })

const pairCount = Math.max(6, Number(options.pairs ?? 30))

const counted = CassandraServer.layerSession()

const uncounted = CassandraServer.layerSession({ metrics: false })

const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })

const declining = Tracer.make({ span: (options) => new Tracer.NativeSpan({ ...options, sampled: false }) })

type Within = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const parent = (sampled: boolean): Within => (self) =>
  Effect.provideService(
    self,
    Tracer.ParentSpan,
    Tracer.externalSpan({ spanId: "00f067aa0ba902b7", traceId: "4bf92f3577b34da6a3ce929d0e0e4736", sampled })
  ) as typeof self

const comparisons: ReadonlyArray<{
  readonly title: string
  readonly layer: typeof counted
  readonly against: typeof counted
  readonly within: Within
}> = [
  { title: "with metrics, over without", layer: counted, against: uncounted, within: (self) => self },
  {
    title: "a parent that is not sampled, over no tracer",
    layer: counted,
    against: counted,
    within: (self) => Effect.withTracer(parent(false)(self), tracer)
  },
  {
    title: "a tracer that declines, over no tracer",
    layer: counted,
    against: counted,
    within: (self) => Effect.withTracer(self, declining)
  },
  {
    title: "a tracer that keeps all, over no tracer",
    layer: counted,
    against: counted,
    within: (self) => Effect.withTracer(parent(true)(self), tracer)
  }
]

const measured = ["select", "insert"]

const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`

const rounds = 1_000_000

/** All that a query counts, and the one look at the clock that it would not need otherwise: the best of ten, in nanoseconds. */
const countingAlone = (): number => {
  const counts = new Counts(() => undefined)
  const host = { hostId: "a node", address: "127.0.0.1:9042" } as unknown as Parameters<Counts["node"]>[0]
  const operation = counts.operation("SELECT")
  const count = (): void => {
    operation.started.add()
    counts.node(host).attempts.add()
    const seconds = performance.now() % 0.01
    counts.node(host).duration.record(seconds)
    operation.succeeded.record(seconds)
  }
  const times = Array.from({ length: 10 }, () => {
    const begun = performance.now()
    for (let round = 0; round < rounds; round++) count()
    return (performance.now() - begun) / rounds * 1e6
  })
  return Math.min(...times)
}

const program = Effect.gen(function*() {
  yield* Console.log(`counting alone: ${countingAlone().toFixed(0)} ns a query`)
  // Fills the tables.
  yield* driverClient
  for (const { against, layer, title, within } of comparisons) {
    for (const { count, library, name } of cases.filter(({ name }) => measured.includes(name))) {
      const [session, other] = yield* Effect.all([Layer.build(layer), Layer.build(Layer.fresh(against))])
      const sides = {
        count,
        library: within(Effect.provide(library, session)),
        driver: Effect.provide(library, other)
      }
      yield* warmUp(sides, 6)
      const pairs: Array<Pair> = []
      for (let index = 0; index < pairCount; index++) {
        progress(`${name}, ${title}`, index, pairCount)
        pairs.push(yield* measurePair(sides, index))
      }
      progress(`${name}, ${title}`, pairCount, pairCount)
      const { cpu: { ratio: { high, low, median } } } = summarize(pairs)
      yield* Console.log(`${name}, ${title}: ${percent(median)} of client CPU (${percent(low)} to ${percent(high)})`)
    }
  }
}).pipe(Effect.scoped)

NodeRuntime.runMain(program.pipe(Effect.provide(ServerLive)))
