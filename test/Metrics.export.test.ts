/**
 * The metrics as others read them: a real Prometheus parser, and a receiver of OTLP; of statements on a real server.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Http from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import { CqlMetrics, Session } from "../src/index.ts"

interface Sample {
  readonly labels?: Readonly<Record<string, string>>
  readonly value: string
}

interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly metrics: ReadonlyArray<Sample>
}

// It has no types.
const parse = createRequire(import.meta.url)("parse-prometheus-text-format") as (text: string) => ReadonlyArray<Family>

const isOurs = ({ name }: { readonly name: string }) => name.startsWith("cassandra_client_")

/** The parser lays a histogram's series over each other, of whatever labels: without its type they are what they are. */
const parseSamples = (text: string): ReadonlyMap<string, ReadonlyArray<Sample>> => {
  const families = Map.groupBy(parse(text.replaceAll(/^# .*\n/gm, "")).filter(isOurs), ({ name }) => name)
  return new Map([...families].map(([name, parts]) => [name, parts.flatMap(({ metrics }) => metrics)]))
}

const byName = new Map(CqlMetrics.all.map((definition) => [definition.name, definition]))

/** A session, and a few statements on it. */
const busy = Effect.gen(function*() {
  const { cql } = yield* Session
  yield* cql`SELECT key FROM system.local`
  yield* cql`SELECT key FROM system.local WHERE key = ${"local"}`
  yield* Effect.flip(cql`SELECT nothing FROM system.nothing`)
})

const onServer = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  self.pipe(Effect.provide(Session.layerConfig()), Effect.provideService(Metric.MetricRegistry, new Map()))

/** That what was parsed is what the table says, and that the statements are in it. */
const assertScrape = (text: string): void => {
  const families = parse(text).filter(isOurs)
  for (const { help, name, type } of families) {
    const definition = byName.get(name)!
    assert.strictEqual(help, definition.description)
    assert.strictEqual(type.toLowerCase(), definition.type)
  }
  const series = parseSamples(text)
  const lines = text.split("\n").filter((line) => line.startsWith("cassandra_client_"))
  assert.strictEqual([...series.values()].flat().length, lines.length)
  for (const [name, samples] of series) {
    const definition = byName.get(name) ?? byName.get(name.replace(/_(bucket|sum|count)$/, ""))!
    const labels = ["cluster", ...definition.labels, ...(name.endsWith("_bucket") ? ["le"] : [])]
    for (const sample of samples) {
      assert.deepStrictEqual(Object.keys(sample.labels!).toSorted(), labels.toSorted(), name)
    }
  }
  const find = (name: string, wanted: Readonly<Record<string, string>>) =>
    series.get(`cassandra_client_${name}`)!.filter(({ labels }) =>
      Object.entries(wanted).every(([label, value]) => labels?.[label] === value)
    )
  const valueOf = (name: string, wanted: Readonly<Record<string, string>> = {}) => Number(find(name, wanted)[0]!.value)
  assert.strictEqual(valueOf("requests_total", { operation: "SELECT" }), 3)
  const ok = { operation: "SELECT", outcome: "ok" }
  assert.strictEqual(valueOf("request_duration_seconds_count", ok), 2)
  assert.isAbove(valueOf("request_duration_seconds_sum", ok), 0)
  const buckets = find("request_duration_seconds_bucket", ok)
  const counts = buckets.map(({ value }) => Number(value))
  assert.deepStrictEqual(counts, counts.toSorted((a, b) => a - b))
  assert.deepInclude(buckets.at(-1), { labels: { cluster: "cassandra", ...ok, le: "+Inf" }, value: "2" })
  assert.strictEqual(valueOf("request_duration_seconds_count", { operation: "SELECT", outcome: "error" }), 1)
  assert.strictEqual(valueOf("errors_total", { reason: "InvalidQuery" }), 1)
  assert.strictEqual(valueOf("prepared_statements"), 1)
  assert.match(find("node_info", {})[0]!.labels!["version"]!, /^5\.0/)
  assert.isAbove(valueOf("node_received_bytes_total"), 1000)
}

describe("a scrape of Prometheus", () => {
  it.live("as a text has every line as Prometheus has it", () =>
    onServer(Effect.gen(function*() {
      yield* busy
      assertScrape(yield* PrometheusMetrics.format())
    })))

  it.live("of the route, beside the application's own session", () =>
    onServer(Effect.gen(function*() {
      yield* busy
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => Http.createServer()),
        (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
      )
      const routes = HttpRouter.serve(PrometheusMetrics.layerHttp(), { disableLogger: true, disableListenLog: true })
      yield* Layer.build(Layer.provide(routes, NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 })))
      const { port } = server.address() as AddressInfo
      const answer = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/metrics`))
      assert.strictEqual(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
      assertScrape(yield* Effect.promise(() => answer.text()))
    })))

  it.live("is empty after the session has closed, but for how long it took to connect and to close", () =>
    Effect.gen(function*() {
      yield* Effect.provide(busy, Session.layerConfig())
      const left = parse(yield* PrometheusMetrics.format()).filter(isOurs)
      assert.deepStrictEqual(left.map(({ name }) => name).toSorted(), [
        "cassandra_client_close_duration_seconds",
        "cassandra_client_connect_duration_seconds"
      ])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})

interface Point {
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: { readonly stringValue?: string } }>
  readonly asDouble?: number
  readonly count?: number
  readonly sum?: number
  readonly bucketCounts?: ReadonlyArray<number>
  readonly explicitBounds?: ReadonlyArray<number>
}

interface Exported {
  readonly name: string
  readonly unit: string
  readonly description: string
  readonly sum?: {
    readonly isMonotonic: boolean
    readonly aggregationTemporality: number
    readonly dataPoints: ReadonlyArray<Point>
  }
  readonly gauge?: { readonly dataPoints: ReadonlyArray<Point> }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<Point> }
}

/** An OTLP receiver: what was sent to it, the last of it last. */
const receiver = Effect.gen(function*() {
  const received: Array<ReadonlyArray<Exported>> = []
  const server = yield* Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Http.Server>((resolve) => {
        const server = Http.createServer(async (request, response) => {
          const data = JSON.parse(await text(request))
          received.push(data.resourceMetrics[0].scopeMetrics[0].metrics)
          response.end("{}")
        })
        server.listen(0, "127.0.0.1", () => resolve(server))
      })
    ),
    (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
  )
  const { port } = server.address() as AddressInfo
  return { received, url: `http://127.0.0.1:${port}/v1/metrics` }
})

const labelOf = ({ attributes }: Point, label: string) => attributes.find(({ key }) => key === label)?.value.stringValue

/** Exports when it is told to, and at no other time. */
const exporter = (url: string, temporality: "cumulative" | "delta") =>
  OtlpMetrics.layer({ url, temporality, exportInterval: "1 hour", resource: { serviceName: "shop" } }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(OtlpSerialization.layerJson)
  )

describe("an export by OTLP", () => {
  for (const temporality of ["cumulative", "delta"] as const) {
    it.live(`of ${temporality} values has the names, units and numbers of the table`, () =>
      onServer(Effect.gen(function*() {
        const { received, url } = yield* receiver
        const { flush } = Context.get(yield* Layer.build(exporter(url, temporality)), OtlpExporter.Flusher)
        yield* busy
        yield* flush
        yield* busy
        yield* flush
        assert.lengthOf(received, 2)
        for (const exported of received[1]!.filter(isOurs)) {
          const { description, name, type, unit } = byName.get(exported.name)!
          assert.strictEqual(exported.unit, unit, name)
          assert.strictEqual(exported.description, description)
          const { gauge, histogram, sum } = exported
          assert.isDefined({ counter: sum, gauge, histogram }[type], name)
          if (type === "counter") assert.isTrue(sum!.isMonotonic, name)
        }
        const sent = (name: string) => received[1]!.find((exported) => exported.name === `cassandra_client_${name}`)!
        const twice = temporality === "delta" ? 1 : 2
        const [requests] = sent("requests_total").sum!.dataPoints
        assert.strictEqual(requests!.asDouble, 3 * twice)
        assert.strictEqual(labelOf(requests!, "operation"), "SELECT")
        assert.strictEqual(labelOf(requests!, "cluster"), "cassandra")
        const ok = sent("request_duration_seconds").histogram!.dataPoints.find((point) =>
          labelOf(point, "outcome") === "ok"
        )!
        assert.strictEqual(ok.count, 2 * twice)
        assert.strictEqual(ok.bucketCounts!.reduce((sum, count) => sum + count, 0), 2 * twice)
        assert.deepStrictEqual(ok.explicitBounds, byName.get("cassandra_client_request_duration_seconds")!.boundaries)
        assert.isAbove(ok.sum!, 0)
        assert.strictEqual(sent("in_flight").gauge!.dataPoints[0]!.asDouble, 0)
      })))
  }
})
