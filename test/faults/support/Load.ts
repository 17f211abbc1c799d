/**
 * A steady load on three replicas, of which every statement is remembered with what became of it: whatever happens to the
 * nodes meanwhile, the rows tell afterwards whether a write was lost, and whether one was done twice.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import type { Session } from "../../../src/index.ts"
import { type CqlError, Statement } from "../../../src/index.ts"
import { makeSignal } from "../../support/TcpListener.ts"

/** Reads of a row that is there, inserts of a new key, increments of a counter, appends to a list. */
export type Kind = "append" | "increment" | "insert" | "read"

/** The two that may be run twice. */
export const idempotent: ReadonlyArray<Kind> = ["read", "insert"]

/** What is known of a statement; one that was not executed, was not on any node. */
export type Fate = "acknowledged" | "notExecuted" | "unknown"

type Cql = Session["Service"]["cql"]

export interface Entry {
  readonly kind: Kind
  readonly id: number
  readonly fate: Fate
  readonly error: CqlError | undefined
  /** From when it was yielded until it was over. */
  readonly millis: number
}

export interface Load {
  readonly entries: ReadonlyArray<Entry>
  /** Waits until so many more statements of each kind have been acknowledged. */
  readonly awaitMore: (count: number) => Effect.Effect<void>
  /** One more of the same, that is not remembered and must not be executed. */
  readonly statement: (kind: Kind) => Effect.Effect<unknown, CqlError>
  /** Begins no further statement, and waits for those under way. */
  readonly stop: Effect.Effect<void>
  /** Compares the tables with what is remembered; all nodes have to be up. */
  readonly assertExact: Effect.Effect<void, CqlError>
}

/** How long each statement may take in all: longer than a node is not known to be down. */
export const timeoutMillis = 30_000

/** Of each kind in a second. */
const rate = 40

export const kinds: ReadonlyArray<Kind> = ["read", "insert", "increment", "append"]

/** Partitions of each table that one load writes to, one after another. */
const partitions = 8

/**
 * A coordinator whose replica is silent asks another one after a tenth of a second. By default it does so after the 99th
 * percentile of late, which on a busy machine is longer than an attempt may take.
 */
export const createTables = (cql: Cql, keyspace: string): Effect.Effect<void, CqlError> =>
  Effect.forEach([
    cql`CREATE TABLE ${cql.ident(keyspace, "inserts")}
      (load text, bucket int, id int, PRIMARY KEY ((load, bucket), id))
      WITH speculative_retry = '100ms'`,
    cql`CREATE TABLE ${cql.ident(keyspace, "counters")}
      (load text, bucket int, n counter, PRIMARY KEY ((load, bucket)))`,
    cql`CREATE TABLE ${cql.ident(keyspace, "lists")}
      (load text, bucket int, items list<int>, PRIMARY KEY ((load, bucket)))`
  ], (statement) =>
    statement, { discard: true })

/** Begins; goes on until it is stopped, or the scope ends. */
export const start = Effect.fnUntraced(function*(
  session: Session["Service"]
): Effect.fn.Return<Load, CqlError, Scope.Scope> {
  const load = Crypto.randomUUID()
  const statements = statementsOf(session, load)
  const entries: Array<Entry> = []
  const running = yield* FiberSet.make<void, never>()
  const changes = makeSignal()
  const acknowledged: Record<Kind, Array<number>> = { read: [], insert: [], increment: [], append: [] }
  let next = 0

  const run = Effect.fnUntraced(function*(kind: Kind, id: number) {
    const begun = performance.now()
    const result = yield* Effect.result(statements[kind](kind === "read" ? readable(acknowledged.insert, id) : id))
    const error = Result.isFailure(result) ? result.failure : undefined
    if (error === undefined) acknowledged[kind].push(id)
    entries.push({ kind, id, fate: fateOf(kind, error), error, millis: performance.now() - begun })
    changes.notify()
  })
  const begin = Effect.suspend(() => {
    const id = next++
    return Effect.forEach(kinds, (kind) => FiberSet.run(running, run(kind, id)), { discard: true })
  })

  yield* run("insert", next++)
  const pace = yield* Effect.forkScoped(Effect.repeat(begin, Schedule.spaced(1000 / rate)))
  return {
    entries,
    awaitMore: (count) =>
      Effect.suspend(() => {
        const wanted = kinds.map((kind) => acknowledged[kind].length + count)
        const isReached = () => kinds.every((kind, index) => acknowledged[kind].length >= wanted[index]!)
        return Effect.asVoid(changes.until(() => isReached() ? true : undefined))
      }),
    statement: (kind) => statements[kind](0),
    stop: Effect.andThen(Fiber.interrupt(pace), awaitAll(running)),
    assertExact: Effect.forEach(
      ["quorum", "all"] as const,
      (consistency) => Statement.provideOptions(assertExact(session, load, entries), { consistency }),
      { discard: true }
    )
  }
})

/** Enough to find out why a statement failed: which nodes were asked, and how each of them answered. */
export const describe = ({ error, id, kind, millis }: Entry): string => {
  const attempts = error?.attempts.map(({ durationMillis, node, outcome }) => `${node} ${outcome} ${durationMillis} ms`)
  return `${kind} ${id}, ${Math.round(millis)} ms: ${error?.message} [${attempts?.join(", ")}]`
}

// internal

/** A read that did not find its row has ended with a defect, which comes first. */
const awaitAll = (fibers: FiberSet.FiberSet<void, never>): Effect.Effect<void> =>
  Effect.raceFirst(FiberSet.join(fibers), FiberSet.awaitEmpty(fibers))

const statementsOf = (
  { cql }: Session["Service"],
  load: string
): Record<Kind, (id: number) => Effect.Effect<unknown, CqlError>> => ({
  read: (id) =>
    Effect.map(
      cql`SELECT id FROM inserts WHERE load = ${load} AND bucket = ${id % partitions} AND id = ${id}`,
      (rows) => assert.strictEqual(rows.length, 1, `the row ${id}, which was acknowledged before, is not there`)
    ),
  insert: (id) => cql`INSERT INTO inserts (load, bucket, id) VALUES (${load}, ${id % partitions}, ${id})`,
  increment: (id) => cql`UPDATE counters SET n = n + 1 WHERE load = ${load} AND bucket = ${id % partitions}`,
  append: (id) => cql`UPDATE lists SET items = items + ${[id]} WHERE load = ${load} AND bucket = ${id % partitions}`
})

/** One of those that were acknowledged, and another one each time. */
const readable = (acknowledged: ReadonlyArray<number>, index: number): number =>
  acknowledged[(index * 7) % acknowledged.length]!

const idsOf = (entries: ReadonlyArray<Entry>, kind: Kind, fate: Fate, bucket?: number): ReadonlyArray<number> =>
  entries
    .filter((entry) => entry.kind === kind && entry.fate === fate)
    .map(({ id }) => id)
    .filter((id) => bucket === undefined || id % partitions === bucket)

/**
 * Each of these is documented to leave nothing behind, where the statement is of one partition. What is idempotent may
 * have been executed by an attempt before the one that the reason tells of.
 */
const fateOf = (kind: Kind, error: CqlError | undefined): Fate => {
  if (error === undefined) return "acknowledged"
  if (idempotent.includes(kind) && error.attempts.length > 0) return "unknown"
  const { reason } = error
  switch (reason._tag) {
    case "AdmissionRefused":
    case "Bootstrapping":
    case "NoHostAvailable":
    case "Unavailable":
    case "Unprepared":
      return "notExecuted"
    case "ConnectionError":
      return reason.written ? "unknown" : "notExecuted"
    case "ClientTimeout":
      return reason.phase === "queue" || reason.phase === "prepare" ? "notExecuted" : "unknown"
    default:
      return "unknown"
  }
}

const assertExact = Effect.fnUntraced(function*(
  { cql }: Session["Service"],
  load: string,
  entries: ReadonlyArray<Entry>
): Effect.fn.Return<void, CqlError> {
  for (let bucket = 0; bucket < partitions; bucket++) {
    const ids = (kind: Kind, fate: Fate) => idsOf(entries, kind, fate, bucket)
    const inserted = yield* cql`SELECT id FROM inserts WHERE load = ${load} AND bucket = ${bucket}`
    const counted = yield* cql`SELECT n FROM counters WHERE load = ${load} AND bucket = ${bucket}`
    const listed = yield* cql`SELECT items FROM lists WHERE load = ${load} AND bucket = ${bucket}`
    assertThere("insert", inserted.map((row) => row["id"] as number), ids)
    assertThere("append", (listed[0]?.["items"] ?? []) as ReadonlyArray<number>, ids)
    const n = Number(counted[0]?.["n"] ?? 0)
    const least = ids("increment", "acknowledged").length
    const most = least + ids("increment", "unknown").length
    assert.isAtLeast(n, least, "an increment was lost that was acknowledged")
    assert.isAtMost(n, most, "an increment was done twice, or one that was said not to have been executed")
  }
})

/** What was acknowledged once, what is unknown at most once, and nothing else. */
const assertThere = (
  kind: Kind,
  found: ReadonlyArray<number>,
  ids: (kind: Kind, fate: Fate) => ReadonlyArray<number>
): void => {
  const isFound = new Set(found)
  const isExpected = new Set([...ids(kind, "acknowledged"), ...ids(kind, "unknown")])
  const lost = ids(kind, "acknowledged").filter((id) => !isFound.has(id))
  const twice = found.filter((id, index) => found.indexOf(id) !== index)
  const unexpected = found.filter((id) => !isExpected.has(id))
  assert.deepStrictEqual({ lost, twice, unexpected }, { lost: [], twice: [], unexpected: [] }, kind)
}
