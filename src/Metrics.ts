/**
 * What a cluster counts and measures, for the exporters of `effect/observability`, or for who reads the registry.
 *
 * @module CqlMetrics
 * @since 0.1.0
 */
import type { Definition } from "./internal/metrics.ts"
import { definitions } from "./internal/metrics.ts"

export type {
  /**
   * @category models
   * @since 0.1.0
   */
  Definition
}

/**
 * Every metric, in the order in which the documentation has them.
 *
 * **Details**
 *
 * All are on unless the cluster's option `metrics` is `false`. They are kept in the `Metric.MetricRegistry` of the
 * context in which the cluster is made, and cost an addition where something happens; the rest is done when somebody
 * reads them. Their series are removed when the last cluster of their name closes, those of a node when the cluster
 * does not have it any more. No label has text of a statement or of a value.
 *
 * **Example** (A scrape, as a text)
 *
 * ```ts
 * import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
 *
 * // An Effect of all metrics in the format of Prometheus; `PrometheusMetrics.layerHttp()` serves them at /metrics
 * const scrape = PrometheusMetrics.format()
 * ```
 *
 * @category metrics
 * @since 0.1.0
 */
export const all: ReadonlyArray<Definition> = Object.values(definitions)
