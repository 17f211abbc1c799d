/**
 * The dashboard, the alerts and the guide against the table of metrics: every expression is parsed by Prometheus' own
 * grammar, and each name and label in it is one that there is.
 */
import { assert, describe, it } from "@effect/vitest"
import { parser } from "@prometheus-io/lezer-promql"
import { readFileSync } from "node:fs"
import { parse as parseYaml } from "yaml"
import { guide, withTable } from "../scripts/metricsTable.ts"
import { CqlMetrics } from "../src/index.ts"

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")

// --- expressions

type SyntaxNode = ReturnType<typeof parser.parse>["topNode"]

type Names = ReadonlySet<string>

/** What an expression is of, and what is wrong with it. */
interface Checked {
  readonly metrics: Names
  /** Of its result. */
  readonly labels: Names
  readonly problems: ReadonlyArray<string>
}

/** What each metric has: ours, and what Prometheus adds. */
const labelsOfAll = ["cluster", "job", "instance"]

interface Series {
  readonly metric: CqlMetrics.Definition
  readonly labels: Names
  readonly isCumulative: boolean
}

const allSeries = new Map<string, Series>(CqlMetrics.all.flatMap((metric): Array<[string, Series]> => {
  const labels = [...labelsOfAll, ...metric.labels]
  const series = { metric, labels: new Set(labels), isCumulative: metric.type !== "gauge" }
  return metric.type === "histogram"
    ? [
      [`${metric.name}_bucket`, { ...series, labels: new Set([...labels, "le"]) }],
      [`${metric.name}_sum`, series],
      [`${metric.name}_count`, series]
    ]
    : [[metric.name, series]]
}))

const childrenOf = (node: SyntaxNode): ReadonlyArray<SyntaxNode> => {
  const children: Array<SyntaxNode> = []
  for (let child = node.firstChild; child !== null; child = child.nextSibling) children.push(child)
  return children
}

const errorIn = (node: SyntaxNode): SyntaxNode | undefined =>
  node.type.isError ? node : childrenOf(node).map(errorIn).find((error) => error !== undefined)

const union = (sets: ReadonlyArray<Names>): Names => new Set(sets.flatMap((set) => [...set]))

const without = (set: Names, label: string): Names => new Set([...set].filter((other) => other !== label))

const nothing: Checked = { metrics: new Set(), labels: new Set(), problems: [] }

const together = (parts: ReadonlyArray<Checked>, more: ReadonlyArray<string> = []): Checked => ({
  metrics: union(parts.map(({ metrics }) => metrics)),
  labels: union(parts.map(({ labels }) => labels)),
  problems: [...parts.flatMap(({ problems }) => problems), ...more]
})

const rates: ReadonlyArray<string> = ["rate", "increase", "irate"]

/** Says of an expression what Prometheus would not: it answers nothing where a name is wrong. */
const check = (query: string): Checked => {
  // A variable of Grafana's is no duration before it is one.
  const text = query.replaceAll("$__rate_interval", "5m")
  const textOf = ({ from, to }: SyntaxNode): string => text.slice(from, to)
  const groupedBy = (node: SyntaxNode | null): ReadonlyArray<string> =>
    node === null ? [] : node.getChildren("LabelName").map(textOf)
  const missing = (wanted: ReadonlyArray<string>, labels: Names, node: SyntaxNode): ReadonlyArray<string> =>
    wanted.filter((label) => !labels.has(label)).map((label) => `no label ${label} in ${textOf(node)}`)

  const selector = (node: SyntaxNode): Checked => {
    const name = textOf(node.getChild("Identifier")!)
    const series = allSeries.get(name)
    if (series === undefined) return { ...nothing, problems: [`no metric ${name}`] }
    const isOfTime = node.parent?.name === "MatrixSelector"
    const problems = isOfTime === series.isCumulative ? [] : [`${name} is ${isOfTime ? "no" : "a"} counter`]
    const matchers = node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? []
    for (const matcher of matchers) {
      const label = textOf(matcher.getChild("LabelName")!)
      const value = textOf(matcher.getChild("StringLiteral")!).slice(1, -1)
      problems.push(...missing([label], series.labels, node))
      const isKnown = value.startsWith("$") || new RegExp(`\\b${value}\\b`).test(series.metric.description)
      if (!isKnown) problems.push(`no value ${value} of ${label} in the description of ${name}`)
    }
    return { metrics: new Set([series.metric.name]), labels: series.labels, problems }
  }

  const aggregate = (node: SyntaxNode): Checked => {
    const of = together(childrenOf(node.getChild("FunctionCallBody")!).map(walk))
    const by = groupedBy(node.getChild("AggregateModifier")?.getChild("GroupingLabels") ?? null)
    const keeps = textOf(node.getChild("AggregateOp")!) === "topk"
    return {
      ...of,
      labels: keeps ? of.labels : new Set(by),
      problems: [...of.problems, ...missing(by, of.labels, node)]
    }
  }

  const call = (node: SyntaxNode): Checked => {
    const name = textOf(node.getChild("FunctionIdentifier")!)
    const of = together(childrenOf(node.getChild("FunctionCallBody")!).map(walk))
    if (name !== "histogram_quantile") {
      return rates.includes(name) ? of : { ...of, problems: [...of.problems, `${name} is not known here`] }
    }
    return { ...of, labels: without(of.labels, "le"), problems: [...of.problems, ...missing(["le"], of.labels, node)] }
  }

  const binary = (node: SyntaxNode): Checked => {
    const [left, right] = [walk(node.firstChild!), walk(node.lastChild!)]
    if (left.metrics.size === 0 || right.metrics.size === 0) return together([left, right])
    const matching = node.getChild("MatchingModifierClause")
    if (matching === null) {
      const isSame = left.labels.size === right.labels.size &&
        union([left.labels, right.labels]).size === left.labels.size
      return together([left, right], isSame ? [] : [`the sides have not the same labels: ${textOf(node)}`])
    }
    const [on, added] = matching.getChildren("GroupingLabels").map(groupedBy)
    const problems = [
      ...missing(on!, left.labels, node.firstChild!),
      ...missing([...on!, ...(added ?? [])], right.labels, node.lastChild!)
    ]
    const labels = matching.getChild("GroupLeft") === null ? new Set(on) : union([left.labels, new Set(added)])
    return { ...together([left, right], problems), labels }
  }

  const walk = (node: SyntaxNode): Checked => {
    switch (node.name) {
      case "VectorSelector":
        return selector(node)
      case "AggregateExpr":
        return aggregate(node)
      case "FunctionCall":
        return call(node)
      case "BinaryExpr":
        return binary(node)
      default:
        return together(childrenOf(node).map(walk))
    }
  }

  const { topNode } = parser.parse(text)
  const error = errorIn(topNode)
  return error === undefined ? walk(topNode) : { ...nothing, problems: [`no PromQL at ${error.from}: ${text}`] }
}

describe("the check of expressions", () => {
  const requests = "cassandra_client_requests_total"
  const info = "cassandra_client_node_info"

  for (
    const [problem, query] of [
      ["no PromQL", `sum by (operation (${requests})`],
      ["no metric cassandra_client_request_total", "rate(cassandra_client_request_total[5m])"],
      ["no metric cassandra_client_request_duration_seconds", "rate(cassandra_client_request_duration_seconds[5m])"],
      ["no metric cassandra_client_requests_total_count", `rate(${requests}_count[5m])`],
      ["is a counter", requests],
      ["is no counter", "rate(cassandra_client_in_flight[5m])"],
      ["no label operatoin", `rate(${requests}{operatoin="SELECT"}[5m])`],
      ["no value up of operation", `rate(${requests}{operation="up"}[5m])`],
      ["no label node", `sum by (node) (rate(${requests}[5m]))`],
      ["no label operation", `sum by (operation) (sum by (cluster) (rate(${requests}[5m])))`],
      ["no label le", "histogram_quantile(0.9, sum by (why) (rate(cassandra_client_admission_refusals_total[5m])))"],
      ["not the same labels", `sum by (cluster) (rate(${requests}[5m])) / sum(rate(${requests}[5m]))`],
      ["no label address", `cassandra_client_node_up * on (node) group_left (address) cassandra_client_node_up`],
      ["no label node", `sum(cassandra_client_node_up) * on (node) group_left (address) ${info}`]
    ] as const
  ) {
    it(`finds ${problem} in ${query}`, () => {
      const [first = "nothing"] = check(query).problems
      assert.include(first, problem)
    })
  }

  it("knows the labels of what comes out", () => {
    const labelsOf = (query: string): ReadonlyArray<string> => [...check(query).labels].toSorted()
    assert.deepStrictEqual(labelsOf(`sum by (operation) (rate(${requests}[5m]))`), ["operation"])
    assert.deepStrictEqual(
      labelsOf(
        `sum by (node) (cassandra_client_node_up) * on (node) group_left (rack) group by (node, rack) (${info})`
      ),
      ["node", "rack"]
    )
    assert.deepStrictEqual(
      labelsOf(
        "histogram_quantile(0.5, sum by (le, cluster) (rate(cassandra_client_close_duration_seconds_bucket[5m])))"
      ),
      ["cluster"]
    )
  })
})

// --- the dashboard

interface Position {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: Position
  readonly targets?: ReadonlyArray<{ readonly refId: string; readonly expr: string; readonly legendFormat: string }>
}

interface Dashboard {
  readonly panels: ReadonlyArray<Panel>
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string; readonly definition?: string }> }
}

const dashboard: Dashboard = JSON.parse(read("observability/grafana-dashboard.json"))

const overlap = (a: Position, b: Position): boolean =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h

const namesIn = (text: string, pattern: RegExp): ReadonlyArray<string> =>
  [...text.matchAll(pattern)].map(([, name]) => name!)

describe("the dashboard", () => {
  const shown = dashboard.panels.filter(({ type }) => type !== "row")

  for (const { targets = [], title } of shown) {
    it(`asks in "${title}" for metrics and labels that there are`, () => {
      assert.isNotEmpty(targets)
      for (const { expr, legendFormat } of targets) {
        const { labels, problems } = check(expr)
        assert.deepStrictEqual(problems, [])
        assert.includeMembers([...labels], [...namesIn(legendFormat, /\{\{(\w+)\}\}/g)])
        for (const variable of namesIn(expr, /"\$(\w+)"/g)) {
          assert.include(dashboard.templating.list.map(({ name }) => name), variable)
        }
      }
    })
  }

  it("has every metric", () => {
    const metrics = union(shown.flatMap(({ targets = [] }) => targets.map(({ expr }) => check(expr).metrics)))
    assert.deepStrictEqual(CqlMetrics.all.filter(({ name }) => !metrics.has(name)), [])
  })

  it("has variables by labels that there are", () => {
    const definitions = dashboard.templating.list.flatMap(({ definition }) => definition ?? [])
    assert.lengthOf(definitions, 2)
    for (const definition of definitions) {
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(definition)!
      const { labels, problems } = check(selector!)
      assert.deepStrictEqual(problems, [])
      assert.include([...labels], label)
    }
  })

  it("has panels of their own ids and places", () => {
    const { panels } = dashboard
    assert.strictEqual(new Set(panels.map(({ id }) => id)).size, panels.length)
    for (const [index, { gridPos, title }] of panels.entries()) {
      const under = panels.slice(index + 1).find((other) => overlap(gridPos, other.gridPos))
      assert.isUndefined(under, title)
      assert.isAtMost(gridPos.x + gridPos.w, 24)
    }
  })
})

// --- the alerts

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Rules {
  readonly groups: ReadonlyArray<{ readonly name: string; readonly rules: ReadonlyArray<Rule> }>
}

const rules: ReadonlyArray<Rule> = (parseYaml(read("observability/prometheus-alerts.yaml")) as Rules).groups.flatMap((
  { rules }
) => rules)

describe("the alerts", () => {
  for (const { alert, annotations, expr, for: lasting = "0m", labels } of rules) {
    it(`${alert} goes by metrics and labels that there are`, () => {
      const checked = check(expr)
      assert.deepStrictEqual(checked.problems, [])
      assert.isNotEmpty([...checked.metrics])
      assert.include(["warning", "critical"], labels.severity)
      assert.match(lasting, /^\d+m$/)
      const texts = Object.values(annotations).join("\n")
      assert.includeMembers([...checked.labels], [...namesIn(texts, /\$labels\.(\w+)/g)])
      const names = CqlMetrics.all.map(({ name }) => name)
      assert.includeMembers([...names], [...namesIn(texts, /\b(cassandra_client_\w+)/g)])
    })
  }

  it("have names of their own", () => {
    assert.strictEqual(new Set(rules.map(({ alert }) => alert)).size, rules.length)
    assert.isAtLeast(rules.length, 8)
  })
})

describe("a metric that Prometheus is sent by OTLP", () => {
  // It adds to a name what the unit is called, unless the name has it, and "ratio" to a gauge of the unit 1.
  const words: Readonly<Record<string, string>> = { s: "seconds", By: "bytes" }

  for (const { name, type, unit } of CqlMetrics.all) {
    it(`keeps its name: ${name}`, () => {
      if (!/^\{.+\}$/.test(unit)) assert.include(name.split("_"), words[unit])
      assert.strictEqual(name.endsWith("_total"), type === "counter")
    })
  }
})

// --- the guide

describe("docs/metrics.md", () => {
  it("has the table of all metrics", () => {
    const text = readFileSync(guide, "utf8")
    assert.strictEqual(text, withTable(text), "npm run docs writes it")
    for (const { name } of CqlMetrics.all) assert.include(text, `| \`${name}\` |`)
  })

  it("names no metric that there is not", () => {
    const names = CqlMetrics.all.map(({ name }) => name)
    assert.includeMembers([...names], [...namesIn(readFileSync(guide, "utf8"), /\b(cassandra_client_\w+)/g)])
  })

  it("joins by an expression that holds", () => {
    const [query] = namesIn(readFileSync(guide, "utf8"), /```promql\n([^`]+)```/g)
    assert.deepStrictEqual(check(query!).problems, [])
  })
})
