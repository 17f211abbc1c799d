import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { CqlError } from "../../src/index.ts"
import { CqlRetry, Session, Statement } from "../../src/index.ts"
import { reasonOf, untilNode } from "../support/scripted.ts"
import * as Simulacron from "../support/Simulacron.ts"

type Tag = CqlError["reason"]["_tag"]

const oneMilli = { base: "1 millis", max: "1 millis" } as const

const slowly = { base: "10 minutes", max: "10 minutes" } as const

const connect = (cluster: Simulacron.Cluster, options: Session.Options = {}) =>
  Session.make({
    contactPoints: cluster.nodes.map(({ host }) => host),
    port: Simulacron.port,
    localDataCenter: "dc1",
    reconnectDelay: oneMilli,
    ...options
  })

const makeCluster = (...nodes: ReadonlyArray<number>) =>
  Effect.flatMap(Simulacron.Simulacron, (simulacron) => simulacron.makeCluster(...nodes))

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

/** The standard decisions, without the delays. */
const retry = CqlRetry.make({ schedule: Schedule.recurs(3) })

const level = { consistency_level: "LOCAL_QUORUM" }

const writeTimeout = (write_type: string) => ({
  result: "write_timeout",
  ...level,
  received: 1,
  block_for: 2,
  write_type
})

const failure = { ...level, received: 1, block_for: 2, failure_reasons: {} }

/** How often Simulacron is asked for a statement that is not idempotent, and for one that is. */
const table: ReadonlyArray<readonly [what: string, Simulacron.Then, Tag, attempts: readonly [number, number]]> = [
  ["is_bootstrapping", { result: "is_bootstrapping", message: "soon" }, "Bootstrapping", [4, 4]],
  ["overloaded", { result: "overloaded", message: "busy" }, "Overloaded", [1, 4]],
  ["server_error", { result: "server_error", message: "broken" }, "ServerError", [1, 4]],
  ["unavailable", { result: "unavailable", ...level, required: 2, alive: 1 }, "Unavailable", [1, 4]],
  [
    "read_timeout",
    { result: "read_timeout", ...level, received: 1, block_for: 2, data_present: false },
    "ReadTimeout",
    [1, 4]
  ],
  ...["SIMPLE", "BATCH", "UNLOGGED_BATCH", "BATCH_LOG", "VIEW", "CDC"].map((type) =>
    [`write_timeout of ${type}`, writeTimeout(type), "WriteTimeout", [1, 4]] as const
  ),
  ["write_timeout of COUNTER", writeTimeout("COUNTER"), "WriteTimeout", [1, 1]],
  ["write_timeout of CAS", writeTimeout("CAS"), "CasWriteUnknown", [1, 1]],
  ["read_failure", { result: "read_failure", ...failure, data_present: false }, "ReadFailure", [1, 1]],
  ["write_failure", { result: "write_failure", ...failure, write_type: "SIMPLE" }, "WriteFailure", [1, 1]],
  ["truncate_error", { result: "truncate_error", message: "no" }, "Truncate", [1, 1]],
  ["syntax_error", { result: "syntax_error", message: "no" }, "CqlSyntaxError", [1, 1]],
  ["invalid", { result: "invalid", message: "no" }, "InvalidQuery", [1, 1]],
  ["config_error", { result: "config_error", message: "no" }, "InvalidQuery", [1, 1]],
  ["unauthorized", { result: "unauthorized", message: "no" }, "Unauthorized", [1, 1]],
  [
    "a connection that it closes",
    { result: "close_connection", scope: "connection", close_type: "disconnect" },
    "ConnectionError",
    [1, 4]
  ],
  ["no answer", { result: "no_result" }, "ClientTimeout", [1, 4]]
]

describe("Simulacron", () => {
  it.layer(Simulacron.Simulacron.layer, { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    for (const [what, then, tag, attempts] of table) {
      for (const idempotent of [false, true]) {
        const count = attempts[idempotent ? 1 : 0]
        const times = count === 1 ? "once" : `${count} times, each time another node`
        it.effect(`is asked ${times}, for what is ${idempotent ? "" : "not "}idempotent, when it says ${what}`, () =>
          Effect.gen(function*() {
            const cluster = yield* makeCluster(4)
            yield* cluster.prime("SELECT n", then)
            const { cql } = yield* connect(cluster, { shutdownTimeout: "1 millis" })
            const attemptTimeout = tag === "ClientTimeout" ? "500 millis" : "1 minute"
            yield* reasonOf(tag)(
              cql`SELECT n`.pipe(Statement.withOptions({ attemptTimeout, timeout: "2 minutes", idempotent, retry }))
            )
            // What was not answered may not be counted yet.
            const asked = yield* Effect.repeat(cluster.asked("SELECT n"), { until: (asked) => sum(asked) >= count })
            assert.strictEqual(sum(asked), count)
            assert.isAtMost(Math.max(...asked), 1)
          }))
      }
    }

    it.effect("is asked no more once a node has answered", () =>
      Effect.gen(function*() {
        const cluster = yield* makeCluster(3)
        yield* cluster.prime("SELECT n", { result: "success", rows: [{ n: 1 }], column_types: { n: "int" } })
        const [first, second, third] = cluster.nodes
        yield* first!.prime("SELECT n", { result: "overloaded", message: "busy" })
        yield* second!.prime("SELECT n", { result: "server_error", message: "broken" })
        const { cql } = yield* connect(cluster)
        const statement = cql`SELECT n`.pipe(Statement.withOptions({ idempotent: true, retry }))
        const answers = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => statement.result)
        for (const { coordinator, rows } of answers) {
          assert.deepStrictEqual(rows, [{ n: 1 }])
          assert.strictEqual(coordinator, third!.address)
        }
        const asked = yield* cluster.asked("SELECT n")
        assert.strictEqual(asked[2], 6)
        assert.isAtMost(Math.max(...asked), 6)
      }))

    it.effect("prepares what has parameters, and is asked again for that", () =>
      Effect.gen(function*() {
        const cluster = yield* makeCluster(2)
        const [first] = cluster.nodes
        const insert = { query: "INSERT ?", parameters: { p0: "ascii" } }
        yield* cluster.prime(insert, { result: "success", rows: [], column_types: {} })
        yield* first!.prime(insert, { result: "overloaded", message: "busy" })
        const { cql } = yield* connect(cluster)
        const statement = cql`INSERT ${"ada"}`.pipe(Statement.withOptions({ idempotent: true, retry }))
        yield* Effect.forEach([1, 2, 3, 4], () => statement)
        const [byFirst, bySecond] = yield* cluster.asked("INSERT ?")
        assert.strictEqual(bySecond, 4)
        assert.isAbove(byFirst!, 0)
      }))

    it.effect("is asked in its other data center when the local one is gone, and in the local one when it is back", () =>
      Effect.gen(function*() {
        const cluster = yield* makeCluster(2, 2)
        yield* cluster.prime("SELECT n", { result: "void" })
        const session = yield* connect(cluster, { failover: ["dc2"] })
        yield* Effect.repeat(session.cluster.nodes, {
          schedule: Schedule.spaced("5 millis"),
          until: (nodes) => nodes.every(({ openConnections }) => openConnections > 0)
        })
        const ask = Effect.forEach([1, 2, 3, 4], () => session.cql`SELECT n`)
        yield* ask
        assert.deepStrictEqual(yield* cluster.asked("SELECT n"), [2, 2, 0, 0])
        const [first, second] = cluster.nodes
        yield* untilNode("hostDown", session, first!.stop)
        yield* untilNode("hostDown", session, second!.stop)
        yield* ask
        assert.deepStrictEqual(yield* cluster.asked("SELECT n"), [2, 2, 2, 2])
        yield* untilNode("hostUp", session, first!.start)
        yield* ask
        assert.deepStrictEqual(yield* cluster.asked("SELECT n"), [6, 2, 2, 2])
      }))

    it.effect("is not asked in another data center when nobody has said so", () =>
      Effect.gen(function*() {
        const cluster = yield* makeCluster(1, 1)
        yield* cluster.prime("SELECT n", { result: "void" })
        const session = yield* connect(cluster, { contactPoints: [cluster.nodes[0]!.host], reconnectDelay: slowly })
        yield* untilNode("hostDown", session, cluster.nodes[0]!.stop)
        const reason = yield* reasonOf("NoHostAvailable")(session.cql`SELECT n`)
        assert.deepStrictEqual(reason.nodes, [{ node: cluster.nodes[0]!.address, error: "down" }])
        assert.deepStrictEqual(yield* cluster.asked("SELECT n"), [0, 0])
      }))

    it.effect("is asked on another node when one reads nothing any more", () =>
      Effect.gen(function*() {
        const cluster = yield* makeCluster(2)
        yield* cluster.prime("SELECT n", { result: "void" })
        const { cql } = yield* connect(cluster, { shutdownTimeout: "1 millis" })
        const [first, second] = cluster.nodes
        yield* first!.pause
        const limits = { attemptTimeout: "500 millis", timeout: "2 minutes", idempotent: true } as const
        // What it had begun to read before it still answers.
        yield* Effect.exit(cql`SELECT n`.pipe(Statement.withOptions({ ...limits, node: first!.address })))
        const statement = cql`SELECT n`.pipe(Statement.withOptions({ ...limits, retry }))
        const answers = yield* Effect.forEach([1, 2, 3, 4], () => statement.result)
        assert.deepStrictEqual(
          answers.map(({ coordinator }) => coordinator),
          Array.from({ length: 4 }, () => second!.address)
        )
        assert.strictEqual((yield* cluster.asked("SELECT n"))[1], 4)
        yield* first!.resume
      }))
  })
})
