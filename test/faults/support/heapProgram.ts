/**
 * Runs statements of all kinds and fates in great number, and reports by how much the heap has grown over each kind.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type { CqlError } from "../../../src/index.ts"
import { cql, CqlRetry, Session, Statement } from "../../../src/index.ts"
import * as Keyspace from "../../support/keyspace.ts"
import * as Reply from "../../support/Reply.ts"
import { connect } from "../../support/scripted.ts"
import * as ScriptedServer from "../../support/ScriptedServer.ts"
import * as Child from "./child.ts"

export interface Stage {
  readonly name: string
  /** Statements, behind those that warm up. */
  readonly count: number
  /** What some of them came to, instead of the end that they were made for. */
  readonly others: ReadonlyArray<string>
  readonly growthBytes: number
}

export type Report = ReadonlyArray<Stage>

const inFlight = { concurrency: 64 } as const

const keys = 1000

/** Statements that are made for one end: what each has come to instead, if anything. */
interface Kind {
  (index: number): Effect.Effect<string | undefined>
}

/** Counts and no array of all indexes: what is measured is not to be hidden among them. */
const runMany = (kind: Kind, from: number, count: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.suspend(() => {
    let next = from
    const others: Array<string> = []
    const note = (other: string | undefined): void => {
      if (other !== undefined && others.length < 10) others.push(other)
    }
    const one = Effect.map(Effect.suspend(() => kind(next++)), note)
    const worker = Effect.whileLoop({ while: () => next < from + count, body: () => one, step: () => undefined })
    const workers = Array.from({ length: inFlight.concurrency }, () => worker)
    return Effect.map(Effect.all(workers, { ...inFlight, discard: true }), () => others)
  })

const measure = Effect.fnUntraced(function*(name: string, kind: Kind, warmUp: number, count: number) {
  yield* runMany(kind, 0, warmUp)
  const before = yield* Child.heap
  const others = yield* runMany(kind, warmUp, count)
  const after = yield* Child.heap
  return { name, count, others, growthBytes: after - before } satisfies Stage as Stage
})

const fails = (statement: Effect.Effect<unknown, CqlError>, tag: CqlError["reason"]["_tag"]) =>
  Effect.match(statement, {
    onFailure: (error) => error.reason._tag === tag ? undefined : String(error),
    onSuccess: () => "succeeded"
  })

const succeeds = (statement: Effect.Effect<unknown, CqlError>) =>
  Effect.match(statement, { onFailure: String, onSuccess: () => undefined })

type Cql = Session["Service"]["cql"]

const plain = (cql: Cql): Kind => (index) =>
  index % 2 === 0
    ? succeeds(cql`INSERT INTO numbers (id, square) VALUES (${index % keys}, ${index})`)
    : succeeds(cql`SELECT square FROM numbers WHERE id = ${index % keys}`)

/** No text is used twice: those that are prepared, those that cannot be, and those that are not. */
const uniqueTexts = (cql: Cql): Kind => (index) => {
  switch (index % 3) {
    case 0:
      return succeeds(cql`SELECT square AS ${cql.ident(`c${index}`)} FROM numbers WHERE id = ${index % keys}`)
    case 1:
      return fails(cql`SELECT * FROM ${cql.ident(`t${index}`)} WHERE id = ${index % keys}`, "InvalidQuery")
    default:
      return fails(cql`SELECT ${cql.ident(`c${index}`)} FROM numbers`, "InvalidQuery")
  }
}

const interrupted = (cql: Cql): Kind => (index) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(plain(cql)(index))
    yield* Effect.yieldNow
    yield* Fiber.interrupt(fiber)
    return undefined
  })

/** At a server that never answers; the connection is given up again and again on the way. */
const silent = Effect.gen(function*() {
  const server = yield* ScriptedServer.make()
  server.on("SELECT n", Reply.silence)
  const { cluster, cql } = yield* connect(server, {
    connectionsPerNode: 4,
    reconnectDelay: { base: "1 millis", max: "1 millis" },
    retry: CqlRetry.none
  })
  const statement = cql`SELECT n`.pipe(Statement.withOptions({ attemptTimeout: "20 millis" }))
  const ready = Effect.repeat(cluster.nodes, {
    until: ([node]) => node !== undefined && node.isUp && node.openConnections > 0,
    schedule: Schedule.spaced("1 millis")
  })
  const once = Effect.gen(function*() {
    yield* ready
    // What the server remembers is not the library's.
    yield* server.clearRequests
    return yield* fails(statement, "ClientTimeout")
  })
  // A connection that is given up takes with it those whose time has not come: they do not count.
  return () => Effect.repeat(once, { until: (other) => other === undefined })
})

const program = Effect.gen(function*() {
  yield* cql`CREATE TABLE numbers (id int PRIMARY KEY, square int)`
  const { cql: ofSession } = yield* Session
  const stages = [
    yield* measure("select and insert", plain(ofSession), 10_000, 100_000),
    // As many as are kept, and more: those that come after them take their places.
    yield* measure("texts that nobody has seen", uniqueTexts(ofSession), 4000, 20_000),
    yield* measure("interrupted", interrupted(ofSession), 1000, 5000),
    yield* measure("timed out", yield* silent, 1000, 5000)
  ]
  yield* Child.report(stages satisfies Report)
})

await Effect.runPromise(Effect.scoped(Effect.provide(program, Keyspace.layer)))
