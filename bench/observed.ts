/**
 * What it costs to be seen: client CPU a query with metrics over the same without them, and with a tracer over the same
 * without one. Pairs as in the bench, of the library against itself.
 */
import { NodeRuntime } from "@effect/platform-node"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { parseArgs } from "node:util"
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

const program = Effect.gen(function*() {
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
