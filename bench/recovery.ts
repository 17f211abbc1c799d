/**
 * How long it takes after a fault until statements are answered as before, and how many failed: the library and the bare
 * driver, in turns on three real nodes. See README.md.
 *
 *     node --conditions=effect-cassandra-source bench/recovery.ts
 */
import cassandra from "cassandra-driver"
import { cql, Session } from "effect-cassandra"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { parseArgs } from "node:util"
import * as RealCluster from "../test/support/RealCluster.ts"
import * as TcpProxy from "../test/support/TcpProxy.ts"
import { askDriver, askLibrary } from "./ask.ts"
import { runOnNodes } from "./nodes.ts"
import type { Ask } from "./openLoop.ts"
import { openLoop, patienceMillis } from "./openLoop.ts"
import { machine, markdown } from "./show.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "1" },
    /** Statements in a second. */
    rate: { type: "string", default: "300" },
    fault: { type: "string", multiple: true }
  }
})

const rate = Number(options.rate)

const keyspace = "effect_cassandra_recovery"

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

interface Nodes {
  readonly cluster: RealCluster.RealCluster["Service"]
  /** One before each node; all clients come through them. */
  readonly proxies: ReadonlyArray<TcpProxy.TcpProxy>
}

interface Fault {
  readonly name: string
  readonly title: string
  readonly happens: (nodes: Nodes) => Effect.Effect<void>
}

const one = ({ cluster }: Nodes): RealCluster.RealNode => cluster.nodes[1]

const faults: ReadonlyArray<Fault> = [
  {
    name: "cut",
    title: "all connections are cut",
    happens: ({ proxies }) => Effect.forEach(proxies, ({ cut }) => cut, { discard: true })
  },
  {
    name: "silent",
    title: "a node is stopped for 5 s (SIGSTOP)",
    happens: (nodes) => Effect.andThen(one(nodes).pause, Effect.andThen(Effect.sleep("5 seconds"), one(nodes).resume))
  },
  {
    name: "disablebinary",
    title: "a node takes no clients for 5 s (disablebinary)",
    happens: (nodes) =>
      Effect.asVoid(
        Effect.andThen(
          one(nodes).nodetool("disablebinary"),
          Effect.andThen(Effect.sleep("5 seconds"), one(nodes).nodetool("enablebinary"))
        )
      )
  },
  {
    name: "killed",
    title: "a node is killed, and started again after 3 s",
    happens: (nodes) =>
      one(nodes).kill.pipe(
        Effect.andThen(Effect.sleep("3 seconds")),
        Effect.andThen(one(nodes).start),
        Effect.andThen(nodes.cluster.awaitAllUp)
      )
  }
]

// -----------------------------------------------------------------------------
// Sides
// -----------------------------------------------------------------------------

type Translate = (address: string, port: number) => string

interface Side {
  readonly name: string
  readonly open: (cluster: Nodes["cluster"], translate: Translate) => Effect.Effect<Ask, unknown, Scope.Scope>
}

const text = `SELECT id FROM ${keyspace}.rows WHERE id = ?`

/** Both as they come, but that they may try a read again, and ask two replicas of three. */
const sides: ReadonlyArray<Side> = [
  {
    name: "library",
    open: ({ localDataCenter, nodes, port }, addressTranslator) =>
      Effect.map(
        Session.make({
          contactPoints: nodes.map(({ host }) => addressTranslator(host, port)),
          localDataCenter,
          port,
          addressTranslator,
          consistency: "quorum"
        }),
        (session) =>
          askLibrary(session, (index) => cql`SELECT id FROM effect_cassandra_recovery.rows WHERE id = ${index % 1000}`)
      )
  },
  {
    name: "bare driver",
    open: ({ localDataCenter, nodes, port }, translate) =>
      Effect.acquireRelease(
        Effect.promise(async () => {
          const client = new cassandra.Client({
            contactPoints: nodes.map(({ host }) => translate(host, port)),
            localDataCenter,
            protocolOptions: { port },
            policies: { addressResolution: translator(translate) }
          })
          await client.connect()
          return client
        }),
        (client) => Effect.promise(() => client.shutdown())
      ).pipe(Effect.map((client) =>
        askDriver(client, (client, index) =>
          client.execute(text, [index % 1000], {
            prepare: true,
            isIdempotent: true,
            consistency: cassandra.types.consistencies.quorum
          }))
      ))
  }
]

/** The driver takes none that is not made from its own. */
const translator = (translate: Translate): cassandra.policies.addressResolution.AddressTranslator =>
  Object.assign(cassandra.policies.defaultAddressTranslator(), {
    translate: (address: string, port: number, callback: (endpoint: string) => void) =>
      callback(translate(address, port))
  })

// -----------------------------------------------------------------------------
// Measuring
// -----------------------------------------------------------------------------

interface Begun {
  readonly at: number
  /** Undefined until it is over. */
  outcome: string | undefined
}

interface Recovery {
  readonly recoveredAfter: number
  readonly below: number
  readonly failed: number
  readonly late: number
  readonly outcomes: string
  /** In a second, before the fault. */
  readonly before: number
}

const warmUpSeconds = 5
const longestWarmUpSeconds = 30
const afterwardsSeconds = 8

const measure = Effect.fnUntraced(function*(nodes: Nodes, fault: Fault, ask: Ask) {
  const all: Array<Begun> = []
  const remembered: Ask = (index, done) => {
    const begun: Begun = { at: performance.now(), outcome: undefined }
    all.push(begun)
    ask(index, (outcome) => {
      begun.outcome = outcome === "answered" && performance.now() - begun.at > patienceMillis ? "late" : outcome
      done(outcome)
    })
  }
  let isOver = false
  const load = yield* Effect.forkChild(openLoop(remembered, rate, () => isOver))
  yield* Effect.sleep(`${warmUpSeconds} seconds`)
  yield* Effect.sleep("1 second").pipe(Effect.repeat({ until: () => isSteady(all), times: longestWarmUpSeconds }))
  const from = performance.now()
  yield* fault.happens(nodes)
  yield* Effect.sleep(`${afterwardsSeconds} seconds`)
  const until = performance.now()
  isOver = true
  yield* Fiber.join(load)
  return describe(all, from, until)
})

const goodOfSecond = (all: ReadonlyArray<Begun>, at: number): number =>
  all.filter((begun) => begun.at >= at && begun.at < at + 1000 && begun.outcome === "answered").length

/** Of three seconds of late, each was as good as it can be. */
const isSteady = (all: ReadonlyArray<Begun>): boolean => {
  const now = performance.now()
  return [4500, 3500, 2500].every((ago) => goodOfSecond(all, now - ago) > 0.95 * rate)
}

const describe = (all: ReadonlyArray<Begun>, from: number, until: number): Recovery => {
  const before = (goodOfSecond(all, from - 4000) + goodOfSecond(all, from - 3000) + goodOfSecond(all, from - 2000)) / 3
  const isBelow = (at: number): boolean => goodOfSecond(all, at) < 0.9 * before
  const since = all.filter((begun) => begun.at >= from)
  const bad = since.filter(({ outcome }) => outcome !== "answered")
  // The fault itself takes a while to happen: nodetool starts a JVM first.
  const begins = bad[0]?.at ?? from
  const starts = Array.from({ length: Math.floor((until - begins) / 100) - 10 }, (_, index) => begins + 100 * index)
  return {
    recoveredAfter: ((starts.find((at) => !isBelow(at)) ?? until) - begins) / 1000,
    below: starts.filter((_, index) => index % 10 === 0).filter(isBelow).length,
    failed: bad.filter(({ outcome }) => outcome !== "late").length,
    late: bad.filter(({ outcome }) => outcome === "late").length,
    outcomes: [...new Set(bad.map(({ outcome }) => outcome))].join(", "),
    before: Math.round(before)
  }
}

const prepareTables = Effect.fnUntraced(function*({ cluster }: Nodes) {
  const { cql } = yield* Session.make(cluster.options)
  yield* cql`CREATE KEYSPACE IF NOT EXISTS effect_cassandra_recovery
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
  yield* cql`CREATE TABLE IF NOT EXISTS effect_cassandra_recovery.rows (id int PRIMARY KEY)`
  const ids = Array.from({ length: 1000 }, (_, id) => id)
  yield* Effect.forEach(ids, (id) => cql`INSERT INTO effect_cassandra_recovery.rows (id) VALUES (${id})`, {
    concurrency: 32,
    discard: true
  })
}, Effect.scoped)

/** A client of its own for each fault, so that none suffers from the one before. */
const recover = Effect.fnUntraced(function*(nodes: Nodes, fault: Fault, side: Side) {
  yield* nodes.cluster.restore
  const { cluster, proxies } = nodes
  const translate: Translate = (address) => {
    const index = cluster.nodes.findIndex(({ host }) => address === host)
    const { host, port } = proxies[index]!
    return `${host}:${port}`
  }
  const recovery = yield* measure(nodes, fault, yield* side.open(cluster, translate))
  process.stderr.write(`${fault.name}, ${side.name}: ${JSON.stringify(recovery)}\n`)
  return recovery
}, Effect.scoped)

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const cells = (recoveries: ReadonlyArray<Recovery>): ReadonlyArray<string> => [
  mean(recoveries.map(({ recoveredAfter }) => recoveredAfter)).toFixed(1),
  mean(recoveries.map(({ below }) => below)).toFixed(0),
  mean(recoveries.map(({ failed }) => failed)).toFixed(0),
  mean(recoveries.map(({ late }) => late)).toFixed(0),
  [...new Set(recoveries.map(({ outcomes }) => outcomes))].join(" ")
]

const header = ["fault", "client", "recovered after s", "s below 90 %", "failed", "late", "as"]

const program = Effect.gen(function*() {
  const cluster = yield* RealCluster.RealCluster
  const proxies = yield* Effect.forEach(
    cluster.nodes,
    ({ host }) => TcpProxy.make({ target: { host, port: cluster.port } })
  )
  const nodes = { cluster, proxies }
  yield* prepareTables(nodes)
  const wanted = faults.filter(({ name }) => options.fault?.includes(name) ?? true)
  const rows: Array<ReadonlyArray<string>> = []
  for (const fault of wanted) {
    const recoveries = new Map(sides.map((side) => [side, new Array<Recovery>()]))
    for (let index = 0; index < Number(options.rounds); index++) {
      for (const [side, of] of recoveries) of.push(yield* recover(nodes, fault, side))
    }
    for (const [{ name }, of] of recoveries) rows.push([fault.title, name, ...cells(of)])
  }
  const { cores, node, processor } = machine()
  yield* Console.log(`Node ${node}, ${cores} cores of ${processor}; ${rate} statements a second`)
  yield* Console.log(markdown([header, ...rows], 2))
})

runOnNodes(Effect.scoped(program))
