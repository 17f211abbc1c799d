/**
 * Scans, counts and writes over a network that is cut again and again, between the library and a real node: they come to
 * their end, with every row and none twice.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { cql, CqlError, CqlRetry, CqlStream, Session, Statement } from "../../src/index.ts"
import * as Keyspace from "../support/keyspace.ts"
import type { Opened } from "./support/proxied.ts"
import * as Proxied from "./support/proxied.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

interface Reading {
  readonly k: number
  readonly c: number
  readonly v: string
}

const readings: ReadonlyArray<Reading> = numbered(2000).map((c) => ({ k: c % 250, c, v: `v${c}` }))

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE readings (k int, c int, v text, PRIMARY KEY (k, c))`
  yield* Stream.run(Stream.fromIterable(readings), CqlStream.sink({ table: "readings" }))
})

const Tables = Layer.effectDiscard(Effect.orDie(createTables)).pipe(Layer.provideMerge(Keyspace.layer))

const layered = it.layer(Tables, { excludeTestServices: true, timeout: "60 seconds" })

/** However one of them is lost, the node can be asked: it is not down. */
const connections = 3

/** As long as a statement may take: a cut is a matter of milliseconds. */
const patient = CqlRetry.make({ schedule: Schedule.spaced("20 millis") })

const open = (options: Session.Options = {}) =>
  Effect.flatMap(
    Session,
    ({ keyspace }) =>
      Proxied.open({ keyspace, connectionsPerNode: connections, openAllConnections: true, retry: patient, ...options })
  )

const through = ({ session }: Opened) => Effect.provideService(Session, session)

/** Waits until the client is as whole as it was. */
const awaitReady = ({ session }: Opened) =>
  Effect.repeat(
    Effect.sync(() => {
      const { controlConnection, hosts } = session.core.shared.client.raw
      return controlConnection.host !== null &&
        hosts.values().every((host) => host.isUp() && host.pool.connections.length >= connections)
    }),
    { until: (isReady) => isReady, schedule: Schedule.spaced("2 millis") }
  )

/** Until so much more was asked that it has gone on. */
const awaitTraffic = ({ proxy }: Opened) =>
  Effect.suspend(() => {
    const before = proxy.carried().toTarget
    return Effect.repeat(Effect.void, {
      until: () => proxy.carried().toTarget > before + 5000,
      schedule: Schedule.spaced("2 millis")
    })
  })

const positions = [0, 5, 9, 40, 150]

/** What is done to the network, and how often it was. */
const troubles: ReadonlyArray<readonly [name: string, make: (opened: Opened) => Effect.Effect<unknown>]> = [
  ["one connection within its next answer", (opened) => {
    let times = 0
    return Effect.andThen(
      awaitReady(opened),
      Effect.suspend(() => opened.proxy.cutAnswer({ bytes: positions[times++ % positions.length]!, how: "reset" }))
    )
  }],
  ["all connections at once", (opened) => Effect.andThen(awaitReady(opened), opened.proxy.cut)]
]

/** Before each of so many parts of all rows, `trouble`. */
const atParts = (parts: number, trouble: Effect.Effect<unknown>) => {
  let count = 0
  return Effect.suspend(() => count++ % (readings.length / parts) === 0 ? Effect.asVoid(trouble) : Effect.void)
}

const sorted = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row)).sort()

const assertAll = (rows: ReadonlyArray<object>) => assert.deepStrictEqual(sorted(rows), sorted(readings))

for (const [what, make] of troubles) {
  layered(`with ${what} cut again and again`, (it) => {
    for (
      const [how, options] of [
        ["as it comes", {}],
        ["in order", { ordered: true }],
        ["one range at a time", { concurrency: 1 }],
        ["16 ranges at a time", { concurrency: 16, ranges: 100 }]
      ] as const
    ) {
      it.effect(`a scan gives each row once, ${how}`, () =>
        Effect.gen(function*() {
          const opened = yield* open()
          const trouble = atParts(10, make(opened))
          const rows: Array<Statement.Row> = []
          yield* CqlStream.scan({ table: "readings", ...options }).pipe(
            Stream.runForEach((row) => {
              rows.push(row)
              return trouble
            }),
            Statement.provideOptions({ pageSize: 20 }),
            through(opened)
          )
          assertAll(rows)
          assert.isAbove(opened.proxy.accepted(), connections + 1)
        }))
    }

    for (const ordered of [true, false]) {
      it.effect(`a scan that fails each time goes on from its checkpoints, ${ordered ? "in order" : "as it comes"}`, () =>
        Effect.gen(function*() {
          const opened = yield* open({ retry: CqlRetry.none })
          const trouble = atParts(8, make(opened))
          const rows: Array<Statement.Row> = []
          let from: string | undefined
          let failures = 0
          const scanOn = Effect.suspend(() =>
            CqlStream.scanPages({ table: "readings", from, ordered, ranges: 60, concurrency: 3 }).pipe(
              Stream.runForEach((page) =>
                Effect.gen(function*() {
                  // Each range is one page.
                  rows.push(...page.rows)
                  from = page.checkpoint
                  assert.isDefined(from)
                  for (const _ of page.rows) yield* trouble
                })
              ),
              through(opened)
            )
          )
          yield* Effect.retry(scanOn, {
            while: (error) => {
              assert.instanceOf(error, CqlError)
              failures++
              return true
            },
            schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 500 }))
          })
          assertAll(rows)
          assert.isAbove(failures, 0)
        }))
    }

    it.effect("a count counts each row once", () =>
      Effect.gen(function*() {
        const opened = yield* open()
        yield* Effect.forkChild(Effect.forever(Effect.andThen(make(opened), awaitTraffic(opened))))
        const counts = yield* Effect.replicateEffect(CqlStream.count({ table: "readings", ranges: 200 }), 3).pipe(
          through(opened)
        )
        assert.deepStrictEqual(counts, [2000n, 2000n, 2000n])
        assert.isAbove(opened.proxy.accepted(), connections + 1)
      }))

    for (const [name, options] of [["in batches", {}], ["row by row", { maxBatchRows: 1, concurrency: 16 }]] as const) {
      it.effect(`a write writes each row and passes it on once, ${name}`, () =>
        Effect.gen(function*() {
          const opened = yield* open()
          const table = `w_${what.slice(0, 3)}_${name.slice(0, 3)}`.trimEnd()
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
          const trouble = atParts(10, make(opened))
          const passed = yield* Stream.fromIterable(readings).pipe(
            Stream.rechunk(50),
            Stream.mapEffect((row) => Effect.as(trouble, row)),
            CqlStream.write({ table: `"${table}"`, ...options }),
            Stream.runCollect,
            through(opened)
          )
          assertAll(passed)
          assertAll(yield* cql`SELECT k, c, v FROM ${cql.ident(table)}`)
          assert.isAbove(opened.proxy.accepted(), connections + 1)
        }))
    }
  })
}
