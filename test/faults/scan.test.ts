/**
 * Whole tables, read, exported and written while one of three real nodes is killed in the middle: no row is lost, and
 * none is there twice.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash, randomUUID } from "node:crypto"
import { type CqlError, CqlExport, CqlImport, CqlStream, CqlType, Session, Statement } from "../../src/index.ts"
import * as RealCluster from "../support/RealCluster.ts"

const Row = Schema.Struct({
  k: CqlType.Int,
  c: CqlType.Nullable(CqlType.Int),
  s: CqlType.Nullable(Schema.String),
  v: CqlType.Nullable(Schema.String)
})

type Row = typeof Row.Type

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

/** One huge partition, and many tiny ones; each partition of an even key has a static value. */
const written: ReadonlyArray<Row> = [
  ...numbered(8000).map((c) => ({ k: 0, c })),
  ...numbered(12_000).map((n) => ({ k: 1 + Math.floor(n / 4), c: n % 4 }))
].map(({ c, k }) => ({ k, c, s: k % 2 === 0 ? `s${k}` : null, v: `value ${k} ${c}` }))

const isDeleted = ({ c, k }: Row): boolean => k === 0 ? c! >= 2000 && c! < 2500 : k % 100 === 7

/** What is in the table: a partition that has nothing but a static value is a row as well. */
const rows = written.filter((row) => !isDeleted(row))

const checksum = (rows: ReadonlyArray<Row>): string => {
  const lines = rows.map((row) => JSON.stringify([row.k, row.c, row.s, row.v])).toSorted()
  return createHash("sha256").update(lines.join("\n")).digest("hex")
}

const assertRows = (found: ReadonlyArray<Row>, expected: ReadonlyArray<Row>): void => {
  assert.strictEqual(found.length, expected.length)
  assert.strictEqual(checksum(found), checksum(expected))
}

const makeTable = (table: string) =>
  Effect.flatMap(
    Session,
    ({ cql }) => cql`CREATE TABLE ${cql.ident(table)} (k int, c int, s text static, v text, PRIMARY KEY (k, c))`
  )

const fill = Effect.gen(function*() {
  const { cql } = yield* Session
  yield* makeTable("filled")
  yield* Stream.run(Stream.fromIterable(written), CqlStream.sink({ table: "filled", schema: Row }))
  yield* cql`DELETE FROM filled WHERE k = 0 AND c >= 2000 AND c < 2500`
  const emptied = [...new Set(written.filter(isDeleted).map(({ k }) => k))].filter((k) => k !== 0)
  yield* Effect.forEach(emptied, (k) => cql`DELETE FROM filled WHERE k = ${k}`, { concurrency: 16, discard: true })
})

const layerSession: Layer.Layer<Session, CqlError, RealCluster.RealCluster> = Layer.effect(
  Session,
  Effect.gen(function*() {
    const { awaitAllUp, options, restore } = yield* RealCluster.RealCluster
    yield* restore
    yield* awaitAllUp
    const keyspace = `scan_${randomUUID().replaceAll("-", "")}`
    const { cql } = yield* Session.make(options)
    yield* cql`CREATE KEYSPACE ${cql.ident(keyspace)}
      WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`
    return yield* Session.make({
      ...options,
      keyspace,
      consistency: "quorum",
      reconnectDelay: { base: "200 millis", max: "1 second" }
    })
  })
)

const layer = Layer.effectDiscard(Effect.orDie(fill)).pipe(
  Layer.provideMerge(layerSession),
  Layer.provideMerge(RealCluster.layer),
  Layer.provideMerge(NodeServices.layer)
)

/** Killed when it is run for the first time. */
const killOnce = Effect.gen(function*() {
  const { nodes: [, node] } = yield* RealCluster.RealCluster
  let isKilled = false
  return {
    kill: Effect.suspend(() => {
      if (isKilled) return Effect.void
      isKilled = true
      return node.kill
    }),
    isKilled: () => isKilled
  }
})

const allUp = Effect.gen(function*() {
  const { awaitAllUp, restore } = yield* RealCluster.RealCluster
  yield* restore
  yield* awaitAllUp
})

const inPieces = { ranges: 100, concurrency: 4 } as const

const smallPages = Statement.provideOptions({ pageSize: 100 })

const limit = 300_000

it.layer(layer, { excludeTestServices: true, timeout: "5 minutes" })("while one of three nodes is killed", (it) => {
  // A node that was killed takes half a minute to come back: it is killed once for both.
  it.effect("a scan has each row once, and a sink writes each", () =>
    Effect.gen(function*() {
      yield* allUp
      yield* makeTable("sunk")
      const { isKilled, kill } = yield* killOnce
      const found: Array<Row> = []
      const scan = CqlStream.scan({ table: "filled", schema: Row, ...inPieces }).pipe(
        Stream.runForEachArray((some) => {
          for (const row of some) found.push(row)
          return found.length > 5000 ? kill : Effect.void
        }),
        smallPages
      )
      let taken = 0
      const whenKilled = Effect.suspend(() => ++taken === 8000 ? kill : Effect.void)
      const sink = Stream.fromIterable(written).pipe(
        Stream.rechunk(100),
        Stream.tap(() => whenKilled),
        Stream.run(CqlStream.sink({ table: "sunk", schema: Row }))
      )
      const [, count] = yield* Effect.all([scan, sink], { concurrency: 2 })
      assert.isTrue(isKilled())
      assertRows(found, rows)
      assert.strictEqual(count, written.length)
      assertRows(yield* Stream.runCollect(CqlStream.scan({ table: "sunk", schema: Row })), written)
    }).pipe(Effect.ensuring(allUp)), limit)

  it.effect("an export has each row once, and an import of it as well", () =>
    Effect.gen(function*() {
      yield* allUp
      const { isKilled, kill } = yield* killOnce
      const files = yield* FileSystem.FileSystem
      const path = `${yield* files.makeTempDirectoryScoped()}/export`
      const manifest = yield* CqlExport.toDirectory({
        table: "filled",
        schema: Row,
        path,
        ...inPieces,
        onProgress: ({ rows }) => rows > 5000 ? kill : Effect.void
      }).pipe(smallPages)
      assert.isTrue(isKilled())
      assert.strictEqual(manifest.rows, rows.length)
      // Still with two of three.
      yield* makeTable("imported")
      const result = yield* CqlImport.fromDirectory({ table: "imported", schema: Row, path })
      assert.deepStrictEqual(result, { rows: rows.length, notWritten: 0 })
      assertRows(yield* Stream.runCollect(CqlStream.scan({ table: "imported", schema: Row })), rows)
    }).pipe(Effect.scoped, Effect.ensuring(allUp)), limit)
})
