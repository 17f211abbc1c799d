/**
 * Offers a session four times the load that it can take, for a while, and reports what became of it.
 */
import * as Effect from "effect/Effect"
import type { CqlError } from "../../../src/index.ts"
import { cql, Session } from "../../../src/index.ts"
import * as Keyspace from "../../support/keyspace.ts"
import * as Child from "./child.ts"
import * as Proxied from "./proxied.ts"

export interface Report {
  readonly offered: number
  readonly succeeded: number
  /** Refused, and that before the fiber that asked has waited for anything. */
  readonly refusedAtOnce: number
  readonly timedOutInQueue: number
  /** Whatever else has come of a statement, by its name. */
  readonly others: ReadonlyArray<string>
  /** Answers that were not to the question. */
  readonly wrong: number
  readonly mostInFlight: number
  readonly mostQueued: number
  readonly leftInFlight: number
  readonly leftQueued: number
  /** Bytes. */
  readonly heapBefore: number
  readonly heapAfter: number
}

const limits = { maxInFlight: 32, maxQueued: 64 } as const

/** What makes the server slow: so many milliseconds each way. */
const latency = 15

const keys = 100

const millis = 3000

const tickMillis = 5

const pause = Effect.callback<void>((resume) => {
  setTimeout(() => resume(Effect.void), tickMillis)
})

const squareOf = (session: Session["Service"], id: number) =>
  Effect.map(session.cql`SELECT square FROM numbers WHERE id = ${id}`.one, (row) => row["square"] === id * id)

/** Statements a second that can come through at the most, for each holds its place while it is on the way. */
const saturatingRate = limits.maxInFlight / (2 * latency) * 1000

const offer = Effect.fnUntraced(function*(session: Session["Service"], rate: number) {
  const { admission } = session.core.shared
  const others = new Set<string>()
  const counts = {
    offered: 0,
    succeeded: 0,
    refusedAtOnce: 0,
    timedOutInQueue: 0,
    wrong: 0,
    mostInFlight: 0,
    mostQueued: 0
  }
  let running = 0
  const sample = (): void => {
    counts.mostInFlight = Math.max(counts.mostInFlight, admission.inFlight)
    counts.mostQueued = Math.max(counts.mostQueued, admission.queued)
  }
  const failed = ({ reason }: CqlError, atOnce: boolean): void => {
    const isFull = reason._tag === "AdmissionRefused" &&
      reason.inFlight === limits.maxInFlight && reason.queued === limits.maxQueued &&
      reason.limit === limits.maxInFlight
    if (isFull && atOnce) counts.refusedAtOnce++
    else if (reason._tag === "ClientTimeout" && reason.phase === "queue") counts.timedOutInQueue++
    else others.add(JSON.stringify({ atOnce, ...reason }))
  }
  const start = (id: number): void => {
    let atOnce = true
    counts.offered++
    running++
    Effect.runFork(Effect.result(squareOf(session, id))).addObserver((exit) => {
      running--
      sample()
      if (exit._tag === "Failure") others.add(String(exit.cause))
      else if (exit.value._tag === "Failure") failed(exit.value.failure as CqlError, atOnce)
      else if (exit.value.success) counts.succeeded++
      else counts.wrong++
    })
    atOnce = false
  }
  const began = performance.now()
  while (performance.now() - began < millis) {
    const due = Math.round(rate * (performance.now() - began) / 1000)
    while (counts.offered < due) start(counts.offered % keys)
    sample()
    yield* pause
  }
  while (running > 0) yield* pause
  return { ...counts, others: [...others], leftInFlight: admission.inFlight, leftQueued: admission.queued }
})

const program = Effect.gen(function*() {
  const { keyspace } = yield* Session
  yield* cql`CREATE TABLE numbers (id int PRIMARY KEY, square int)`
  yield* Effect.forEach(
    Array.from({ length: keys }),
    (_, id) => cql`INSERT INTO numbers (id, square) VALUES (${id}, ${id * id})`
  )
  const { proxy, session } = yield* Proxied.open({ keyspace, ...limits })
  yield* proxy.latency(latency)
  // Once in full, so that code and buffers are there.
  yield* offer(session, 4 * saturatingRate)
  const heapBefore = yield* Child.heap
  const counts = yield* offer(session, 4 * saturatingRate)
  const heapAfter = yield* Child.heap
  yield* Child.report({ ...counts, heapBefore, heapAfter } satisfies Report)
})

await Effect.runPromise(Effect.scoped(Effect.provide(program, Keyspace.layer)))
