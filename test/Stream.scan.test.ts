import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { cql, CqlStream, Session, Statement } from "../src/index.ts"
import * as Keyspace from "./support/keyspace.ts"
import type * as Protocol from "./support/protocol.ts"
import * as Reply from "./support/Reply.ts"
import { connect, hold, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as ScriptedTable from "./support/scriptedTable.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: 64, discard: true } as const

/** Checked by count and by what each row is: none is missing, none is twice. */
const assertRows = (rows: ReadonlyArray<Statement.Row>, expected: ReadonlyArray<string>) =>
  assert.deepStrictEqual(rows.map((row) => JSON.stringify(row)).sort(), [...expected].sort())

const jsonOf = (rows: ReadonlyArray<object>): ReadonlyArray<string> => rows.map((row) => JSON.stringify(row))

const ways: ReadonlyArray<readonly [name: string, options: Omit<CqlStream.ScanOptions, "table">]> = [
  ["as it comes", {}],
  ["in order", { ordered: true }],
  ["one range at a time", { concurrency: 1 }],
  ["by a thousand ranges", { ranges: 1000, concurrency: 16 }],
  ["in order, by a thousand ranges", { ordered: true, ranges: 1000, concurrency: 16 }]
]

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlStream.scan", (it) => {
  describe("reads each row once", () => {
    for (const [name, options] of ways) {
      it.effect(`of many small partitions, ${name}`, () =>
        Effect.gen(function*() {
          const table = `many_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, v text, PRIMARY KEY (k, c))`
          const rows = numbered(900).map((n) => ({ k: n % 300, c: n, v: `v${n}` }))
          yield* Effect.forEach(rows, (row) => cql`INSERT INTO ${cql.ident(table)} ${cql.insert(row)}`, allAtOnce)
          const scanned = yield* Stream.runCollect(CqlStream.scan({ table, ...options })).pipe(
            Statement.provideOptions({ pageSize: 7 })
          )
          assertRows(scanned, jsonOf(rows))
        }))

      it.effect(`of one huge partition, with pages inside it, ${name}`, () =>
        Effect.gen(function*() {
          const table = `huge_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int, c int, PRIMARY KEY (k, c))`
          const rows = numbered(2000).map((c) => ({ k: 1, c }))
          yield* Stream.runDrain(Stream.fromIterable(rows).pipe(CqlStream.write({ table })))
          const scanned = yield* Stream.runCollect(CqlStream.scan({ table, ...options })).pipe(
            Statement.provideOptions({ pageSize: 50 })
          )
          // Rows of one partition come in their order, however its range is read.
          assert.deepStrictEqual(scanned.map((row) => row["c"]), [...numbered(2000)])
        }))

      it.effect(`of an empty table: none, ${name}`, () =>
        Effect.gen(function*() {
          const table = `empty_${name.replaceAll(/[^a-z]/g, "_")}`
          yield* cql`CREATE TABLE ${cql.ident(table)} (k int PRIMARY KEY)`
          assert.deepStrictEqual(yield* Stream.runCollect(CqlStream.scan({ table, ...options })), [])
        }))
    }
  })

  it.effect("comes in the order of tokens, when it is asked to", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE in_order (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(500), (k) => cql`INSERT INTO in_order (k) VALUES (${k})`, allAtOnce)
      const scanned = yield* Stream.runCollect(CqlStream.scan({ table: "in_order", ordered: true, ranges: 100 }))
      const sorted = yield* cql`SELECT k FROM in_order`
      assert.deepStrictEqual(scanned, sorted)
    }))

  it.effect("passes over tombstones, whole partitions of them too, and reads static columns", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE buried (k int, c int, s text static, PRIMARY KEY (k, c))`
      const cells = numbered(60).flatMap((k) => numbered(5).map((c) => ({ k, c, s: `s${k}` })))
      yield* Effect.forEach(cells, (row) => cql`INSERT INTO buried ${cql.insert(row)}`, allAtOnce)
      yield* Effect.forEach(numbered(20), (k) => cql`DELETE FROM buried WHERE k = ${k}`, allAtOnce)
      yield* Effect.forEach(numbered(60), (k) => cql`DELETE FROM buried WHERE k = ${k} AND c = ${2}`, allAtOnce)
      yield* cql`INSERT INTO buried (k, s) VALUES (${100}, ${"alone"})`
      const scanned = yield* Stream.runCollect(CqlStream.scan({ table: "buried" })).pipe(
        Statement.provideOptions({ pageSize: 3 })
      )
      const left = cells.filter(({ c, k }) => k >= 20 && c !== 2)
      assertRows(scanned, jsonOf([...left, { k: 100, c: null, s: "alone" }]))
    }))

  it.effect("reads partition keys of several columns, and names in capitals", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE "OddNames" ("K 1" int, "k""2" text, v int, PRIMARY KEY (("K 1", "k""2")))`
      const rows = numbered(50).map((n) => ({ "K 1": n, "k\"2": `t${n}`, v: n }))
      yield* Effect.forEach(rows, (row) => cql`INSERT INTO "OddNames" ${cql.insert(row)}`, allAtOnce)
      assertRows(yield* Stream.runCollect(CqlStream.scan({ table: "\"OddNames\"" })), jsonOf(rows))
    }))

  it.effect("reads some columns, of rows that fulfil a condition, by a schema", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE filtered (k int, c int, v text, PRIMARY KEY (k, c))`
      const rows = numbered(200).map((n) => ({ k: n % 20, c: n, v: `v${n}` }))
      yield* Effect.forEach(rows, (row) => cql`INSERT INTO filtered ${cql.insert(row)}`, allAtOnce)
      const where = cql`c >= ${50} AND c < ${150}`
      const wanted = rows.filter(({ c }) => c >= 50 && c < 150)
      const some = yield* Stream.runCollect(CqlStream.scan({ table: "filtered", columns: ["v", "c"], where }))
      assertRows(some, jsonOf(wanted.map(({ c, v }) => ({ v, c }))))
      const V = Schema.Struct({ v: Schema.String })
      const typed: ReadonlyArray<{ readonly v: string }> = yield* Stream.runCollect(
        CqlStream.scan({ table: "filtered", schema: V, where })
      )
      assertRows(typed, jsonOf(wanted.map(({ v }) => ({ v }))))
      assert.strictEqual(yield* CqlStream.count({ table: "filtered", where }), 100n)
      assert.strictEqual(yield* CqlStream.count({ table: "filtered" }), 200n)
    }))

  describe("a checkpoint", () => {
    it.effect("is where another one goes on: no row is lost, and none is read twice of ranges that were done", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE resumed (k int PRIMARY KEY)`
        yield* Effect.forEach(numbered(400), (k) => cql`INSERT INTO resumed (k) VALUES (${k})`, allAtOnce)
        for (const options of [{}, { ordered: true }, { ranges: 50, concurrency: 8 }]) {
          const seen: Array<unknown> = []
          let from: string | undefined
          let rounds = 0
          // Each round reads until a few ranges are done, and is broken off then in the middle of others.
          do {
            let atCheckpoint = seen.length
            let done = 0
            const scan = CqlStream.scanPages({ table: "resumed", from, ...options })
            yield* Stream.runForEach(
              Stream.takeUntil(scan, ({ checkpoint }) => checkpoint !== undefined && ++done === 5),
              ({ checkpoint, rows }) =>
                Effect.sync(() => {
                  seen.push(...rows.map((row) => row["k"]))
                  if (checkpoint === undefined) return
                  from = checkpoint
                  atCheckpoint = seen.length
                })
            ).pipe(Statement.provideOptions({ pageSize: 500 }))
            seen.length = atCheckpoint
            rounds++
          } while (seen.length < 400 && rounds < 100)
          assert.isAbove(rounds, 1)
          assert.deepStrictEqual([...seen].sort((a, b) => Number(a) - Number(b)), [...numbered(400)])
        }
      }))

    it.effect("of a scan that is done has nothing left", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE done (k int PRIMARY KEY)`
        yield* cql`INSERT INTO done (k) VALUES (1)`
        const pages = yield* Stream.runCollect(CqlStream.scanPages({ table: "done" }))
        const last = pages.at(-1)!
        assert.strictEqual(last.rangesDone, last.ranges)
        assert.deepStrictEqual(yield* Stream.runCollect(CqlStream.scan({ table: "done", from: last.checkpoint })), [])
      }))

    it.effect("of another table, of other columns or another condition, or none at all, is refused", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TABLE one (k int PRIMARY KEY, v int)`
        yield* cql`CREATE TABLE other (k int PRIMARY KEY, v int)`
        const pages = yield* Stream.runCollect(CqlStream.scanPages({ table: "one" }))
        const from = pages[0]!.checkpoint!
        const where = cql`v = ${1}`
        const filtered = yield* Stream.runCollect(CqlStream.scanPages({ table: "one", where }))
        const ofCondition = filtered[0]!.checkpoint!
        assert.lengthOf(yield* Stream.runCollect(CqlStream.scan({ table: "one", where, from: ofCondition })), 0)
        for (
          const options of [
            { table: "other", from },
            { table: "one", columns: ["k"], from },
            { table: "one", where: cql`v = ${1}`, from },
            { table: "one", where: cql`v = ${2}`, from: ofCondition },
            { table: "one", from: "nonsense" },
            { table: "one", from: from.slice(0, -4) }
          ]
        ) {
          yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.scan(options)))
        }
      }))
  })

  describe("refuses", () => {
    it.effect("what is no table, and what there is not", () =>
      Effect.gen(function*() {
        yield* reasonOf("InvalidQuery")(Stream.runDrain(CqlStream.scan({ table: "nowhere" })))
        yield* reasonOf("InvalidQuery")(CqlStream.count({ table: "system_schema.nowhere" }))
        for (const table of ["", "a b", "a.b.c", "a;", "1"]) {
          yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scan({ table })))
        }
      }))

    it.effect("a condition with what would hold for each token range, and not for the whole", () =>
      Effect.gen(function*() {
        for (const text of ["c > 1 LIMIT 10", "c > 1 PER PARTITION LIMIT 1", "c > 1 -- all\n", "c > 1; SELECT"]) {
          const where = cql.unsafe(text)
          yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scan({ table: "one", where })))
          yield* reasonOf("InvalidConfig")(CqlStream.count({ table: "one", where }))
        }
      }))

    it.effect("options that make no sense", () =>
      Effect.gen(function*() {
        const text = "c > 1" as unknown as Statement.Fragment
        for (const options of [{ concurrency: 0 }, { ranges: 0 }, { columns: [] }, { from: "" }, { where: text }]) {
          yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scan({ table: "t", ...options })))
        }
      }))
  })

  it.effect("reads a table by one range where the server takes its end for all of the ring", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE wrapping (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(10), (k) => cql`INSERT INTO wrapping (k) VALUES (${k})`, allAtOnce)
      // Why no range may end at the first token, though a node may have it.
      const first = yield* cql`SELECT k FROM wrapping WHERE token(k) <= ${-(2n ** 63n)}`
      assert.lengthOf(first, 10)
    }))

  it.effect("of a table that is dropped in the middle fails, and never ends as if that had been all", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE dropped (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(200), (k) => cql`INSERT INTO dropped (k) VALUES (${k})`, allAtOnce)
      for (const ordered of [true, false]) {
        yield* cql`CREATE TABLE IF NOT EXISTS dropped (k int PRIMARY KEY)`
        yield* Effect.forEach(numbered(200), (k) => cql`INSERT INTO dropped (k) VALUES (${k})`, allAtOnce)
        let seen = 0
        const scan = CqlStream.scan({ table: "dropped", ordered, ranges: 100, concurrency: 2 })
        const error = yield* Effect.flip(
          Stream.runForEach(scan, () => ++seen === 3 ? Effect.asVoid(cql`DROP TABLE dropped`) : Effect.void).pipe(
            Statement.provideOptions({ pageSize: 2 })
          )
        )
        assert.strictEqual(error._tag, "CqlError")
        assert.isBelow(seen, 200)
      }
    }))

  it.effect("that is interrupted leaves nothing in flight, and one that ends early asks for no more", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE left (k int PRIMARY KEY)`
      yield* Effect.forEach(numbered(300), (k) => cql`INSERT INTO left (k) VALUES (${k})`, allAtOnce)
      const { admission } = (yield* Session).core.shared
      for (const ordered of [true, false]) {
        const scan = CqlStream.scan({ table: "left", ordered, ranges: 100 })
        const first = yield* Stream.runCollect(Stream.take(scan, 3))
        assert.lengthOf(first, 3)
        const fiber = yield* Effect.forkChild(Stream.runForEach(scan, () => Effect.never))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        // What was sent is answered before this is.
        yield* cql`SELECT k FROM left LIMIT 1`
        yield* cql`SELECT k FROM left LIMIT 1`.pipe(Effect.repeat({ until: () => admission.inFlight === 0 }))
      }
    }))
})

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("CqlStream.scanKeyspace", (it) => {
  const tables = ["Capitals", "empty", "people", "things"]

  const createTables = Effect.gen(function*() {
    for (const table of tables) {
      yield* cql`CREATE TABLE IF NOT EXISTS ${cql.ident(table)} (k text PRIMARY KEY)`
      if (table === "empty") continue
      const rows = Stream.map(Stream.range(1, 50), (n) => ({ k: `${table} ${n}` }))
      yield* Stream.run(rows, CqlStream.sink({ table: `"${table}"` }))
    }
  })

  const keys = tables.filter((table) => table !== "empty").flatMap((table) =>
    numbered(50).map((n) => `${table} ${n + 1}`)
  )

  it.effect("reads each row of each table once, and tells of which table it is", () =>
    Effect.gen(function*() {
      yield* createTables
      const pages = yield* Stream.runCollect(CqlStream.scanKeyspace())
      assert.deepStrictEqual([...new Set(pages.map(({ table }) => table))], tables)
      for (const { rows, table } of pages) {
        for (const { k } of rows) assert.isTrue(String(k).startsWith(`${table} `))
      }
      assert.deepStrictEqual(pages.flatMap(({ rows }) => rows.map(({ k }) => String(k))).sort(), [...keys].sort())
      const named = yield* Session.makeFrom()
      const count = CqlStream.scanKeyspace({ keyspace: (yield* Session).keyspace }).pipe(
        Stream.runFold(() => 0, (sum, { rows }) => sum + rows.length),
        Effect.provideService(Session, named)
      )
      assert.strictEqual(yield* count, keys.length)
    }))

  it.effect("goes on from each of its checkpoints with exactly the ranges that were left", () =>
    Effect.gen(function*() {
      yield* createTables
      const options = { concurrency: 1, ordered: true }
      const pages = yield* Stream.runCollect(CqlStream.scanKeyspace(options))
      for (const [index, { checkpoint }] of pages.entries()) {
        // Each range is one page.
        assert.isDefined(checkpoint)
        if (index % 5 !== 0 && index !== pages.length - 1) continue
        const rest = yield* Stream.runCollect(CqlStream.scanKeyspace({ ...options, from: checkpoint }))
        const all = [...pages.slice(0, index + 1), ...rest]
        assert.deepStrictEqual(all.flatMap(({ rows }) => rows.map(({ k }) => String(k))).sort(), [...keys].sort())
      }
    }))

  it.effect("refuses checkpoints that are not its own, and keyspaces that there are not", () =>
    Effect.gen(function*() {
      yield* createTables
      const [page] = yield* Stream.runCollect(Stream.take(CqlStream.scanKeyspace(), 1))
      const [ofTable] = yield* Stream.runCollect(Stream.take(CqlStream.scanPages({ table: "people" }), 1))
      const from = page!.checkpoint!
      const refused = [
        CqlStream.scanKeyspace({ keyspace: "system", from }),
        CqlStream.scanKeyspace({ from: ofTable!.checkpoint }),
        CqlStream.scanKeyspace({ from: from.slice(1) }),
        CqlStream.scanPages({ table: "people", from })
      ]
      for (const scan of refused) yield* reasonOf("InvalidPageState")(Stream.runDrain<unknown, unknown, Session>(scan))
      yield* reasonOf("InvalidQuery")(Stream.runDrain(CqlStream.scanKeyspace({ keyspace: "nowhere" })))
      for (const keyspace of ["", "a.b", "a b"]) {
        yield* reasonOf("InvalidConfig")(Stream.runDrain(CqlStream.scanKeyspace({ keyspace })))
      }
    }))
})

// A scripted server: it has any ring and any partitioner, fails where it is told to, and counts what it is asked.

interface Ring {
  readonly partitioner: string
  /** The type that token() has in CQL. */
  readonly tokenType: string
  readonly parse: (bytes: Buffer) => bigint
  readonly bounds: readonly [bigint, bigint]
}

const ofBytes = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex")}`)

const murmur3: Ring = {
  partitioner: "org.apache.cassandra.dht.Murmur3Partitioner",
  tokenType: "bigint",
  parse: (bytes) => bytes.readBigInt64BE(),
  bounds: [-(2n ** 63n), 2n ** 63n - 1n]
}

const random: Ring = {
  partitioner: "org.apache.cassandra.dht.RandomPartitioner",
  tokenType: "varint",
  parse: (bytes) => BigInt.asIntN(8 * bytes.length, ofBytes(bytes)),
  bounds: [-1n, 2n ** 127n]
}

/** Tokens of two bytes here, which are compared as numbers are. */
const byteOrdered: Ring = {
  partitioner: "org.apache.cassandra.dht.ByteOrderedPartitioner",
  tokenType: "blob",
  parse: ofBytes,
  bounds: [-1n, 2n ** 16n]
}

interface Scripted {
  readonly ring?: Ring
  readonly tokens?: ReadonlyArray<string>
  readonly rows?: ReadonlyArray<bigint>
}

const select = /^SELECT .* FROM "shop"."readings"/

/** The range that is asked for, as the server understands it. */
const rangeOf = (
  { parse, bounds: [first, last] }: Ring,
  { query, values }: ScriptedServer.Request
): readonly [start: bigint, end: bigint] => {
  const bound = [...values] as Array<Buffer>
  const start = query.includes("> ?") ? parse(bound.shift()!) : first
  const end = query.includes("<= ?") ? parse(bound.shift()!) : last
  // Where it ends at the first token, it ends with the ring.
  return [start, end === first ? last : end]
}

/** Spread over all of the ring, its last token among them. */
const spread = ({ bounds: [first, last] }: Ring, count: number): ReadonlyArray<bigint> =>
  numbered(count).map((n) => first + 1n + (last - first - 1n) * BigInt(n) / BigInt(count - 1))

const tokenColumns = ({ tokenType }: Ring, count: number): ReadonlyArray<Protocol.Column> =>
  numbered(count).map(() => ({ name: "partition key token", type: tokenType }))

const declare = (servers: ScriptedServer.Scripts, { ring = murmur3, rows = spread(ring, 100) }: Scripted) => {
  ScriptedTable.declare(servers, [{ name: "k", type: "text", kind: "partition_key" }])
  for (const [text, count] of [[/ > \?/, 1], [/ <= \?/, 1], [/ > \? AND .* <= \?/, 2]] as const) {
    servers.prepared((query) => select.test(query) && text.test(query), {
      params: tokenColumns(ring, count),
      columns: [{ name: "k", type: "text" }],
      keyspace: "shop",
      table: "readings"
    })
  }
  servers.on(select, (request) => {
    const [start, end] = rangeOf(ring, request)
    const found = rows.filter((token) => token > start && token <= end)
    const offset = request.pageState?.readInt32BE() ?? 0
    const page = found.slice(offset, offset + request.pageSize!)
    const next = Buffer.alloc(4)
    next.writeInt32BE(offset + page.length)
    return Reply.rows({
      columns: [{ name: "k", type: "text" }],
      rows: page.map((token) => [String(token)]),
      ...(offset + page.length < found.length ? { pageState: next } : {})
    })
  })
  servers.on("SELECT marker", Reply.void)
  if (ring === murmur3) return
  servers.on(/FROM system\.local/, ({ node, query }) =>
    query.includes("SELECT partitioner")
      ? Reply.rows({ columns: [{ name: "partitioner", type: "text" }], rows: [[ring.partitioner]] })
      : localRow(node, ring.partitioner), ["query", "execute", "system"])
}

const localRow = (node: ScriptedServer.ScriptedServer, partitioner: string): Reply.Reply => {
  const cells: ReadonlyArray<readonly [name: string, type: string, value: Protocol.Value]> = [
    ["key", "text", "local"],
    ["data_center", "text", node.dataCenter],
    ["rack", "text", node.rack],
    ["host_id", "uuid", node.hostId],
    ["release_version", "text", node.releaseVersion],
    ["rpc_address", "inet", node.host],
    ["broadcast_address", "inet", node.host],
    ["schema_version", "uuid", node.hostId],
    ["partitioner", "text", partitioner],
    ["tokens", "set<text>", node.tokens]
  ]
  return Reply.rows({
    columns: cells.map(([name, type]) => ({ name, type })),
    rows: [cells.map(([, , value]) => value)]
  })
}

const scripted = Effect.fnUntraced(function*(options: Scripted = {}) {
  const { ring = murmur3, rows = spread(ring, 100), tokens = ["0"] } = options
  const server = yield* ScriptedServer.make({ tokens })
  declare(server, { ring, rows })
  const session = yield* connect(server, { keyspace: "shop", shutdownTimeout: "20 millis" })
  return { server, session, keys: rows.map(String) }
})

const scanOf = (
  { session }: { readonly session: Session["Service"] },
  options: Omit<CqlStream.ScanOptions, "table"> = {}
) => Stream.provideService(CqlStream.scanPages({ table: "readings", ...options }), Session, session)

const keysOf = (pages: ReadonlyArray<CqlStream.ScanPage<Statement.Row>>): ReadonlyArray<string> =>
  pages.flatMap(({ rows }) => rows.map((row) => String(row["k"])))

const sortedKeys = (keys: ReadonlyArray<string>): ReadonlyArray<string> => [...keys].sort()

describe("a scan reads each row once", () => {
  const [first, last] = murmur3.bounds

  const rings: ReadonlyArray<readonly [name: string, options: Scripted]> = [
    ["of a ring of one token", {}],
    ["of a ring of no token that is told", { tokens: [] }],
    ["of a ring whose only token is the first of all", { tokens: [String(first)] }],
    ["of a ring whose tokens are the first and the last of all", { tokens: [String(first), "0", String(last)] }],
    ["of a ring of tokens side by side", {
      tokens: ["-1", "0", "1", "2"],
      rows: [-1n, 0n, 1n, 2n, 3n, last, first + 1n]
    }],
    ["of a ring with a token that is none", { tokens: ["0", "one"] }],
    ["of a ring of 256 tokens", { tokens: spread(murmur3, 256).map(String) }],
    ["by RandomPartitioner", { ring: random, tokens: ["0", String(2n ** 126n), String(2n ** 127n)] }],
    ["by RandomPartitioner, of a ring of its first token", { ring: random, tokens: ["-1"] }],
    ["by ByteOrderedPartitioner", {
      ring: byteOrdered,
      tokens: ["0100", "7fff", "ff00"],
      rows: [1n, 256n, 257n, 65535n]
    }]
  ]

  for (const [name, options] of rings) {
    it.live(`${name}, one range at a time and 32, in order or not`, () =>
      Effect.gen(function*() {
        const on = yield* scripted(options)
        for (const concurrency of [1, 32]) {
          for (const ordered of [false, true]) {
            const pages = yield* Stream.runCollect(scanOf(on, { concurrency, ordered })).pipe(
              Statement.provideOptions({ pageSize: 3 })
            )
            assert.deepStrictEqual(sortedKeys(keysOf(pages)), sortedKeys(on.keys))
            const inOrder = keysOf(pages).map(BigInt).every((key, index, all) => index === 0 || key > all[index - 1]!)
            if (ordered) assert.isTrue(inOrder)
            assert.strictEqual(pages.at(-1)!.rangesDone, pages.at(-1)!.ranges)
          }
        }
      }))
  }

  const sizes = (rows: ReadonlyArray<ReadonlyArray<Protocol.Value>>) =>
    Reply.rows({
      columns: [
        { name: "range_end", type: "text" },
        { name: "mean_partition_size", type: "bigint" },
        { name: "partitions_count", type: "bigint" }
      ],
      rows
    })

  const estimates: ReadonlyArray<readonly [name: string, reply: Reply.Reply]> = [
    ["there are none", sizes([])],
    ["they have other columns", Reply.rows({ columns: [], rows: [] })],
    ["the server has no such table", Reply.invalid("unconfigured table size_estimates")],
    ["the server does not tell them", Reply.serverError("not now")],
    ["they are 0", sizes([["0", 0n, 0n]])],
    ["they are negative", sizes([["0", -5n, 7n], ["1", -1n, -1n]])],
    ["they are null", sizes([["0", null, null]])],
    ["they are as great as can be", sizes([["0", 2n ** 63n - 1n, 2n ** 63n - 1n]])],
    ["they are of ranges that there are not", sizes([["17", 1000n, 1000n], ["nonsense", 5n, 5n]])]
  ]

  for (const [name, reply] of estimates) {
    it.live(`where sizes are estimated so that ${name}`, () =>
      Effect.gen(function*() {
        const on = yield* scripted({ rows: spread(murmur3, 20) })
        on.server.on(/FROM system\.size_estimates/, reply)
        const huge = name.includes("great")
        const scan = scanOf(on, { concurrency: 32 })
        // So many ranges are not read here to the end.
        const pages = yield* Stream.runCollect(huge ? Stream.take(scan, 3) : scan)
        assert.isAtMost(pages[0]!.ranges, 100_010)
        if (!huge) assert.deepStrictEqual(sortedKeys(keysOf(pages)), sortedKeys(on.keys))
      }))
  }

  it.live("and makes more ranges where there is more, also of what lies behind the last token", () =>
    Effect.gen(function*() {
      const on = yield* scripted()
      // The server ends the last range where the ring begins.
      on.server.on(/FROM system\.size_estimates/, sizes([["0", 1n, 1n], [String(first), 1n, 2n ** 31n]]))
      yield* Stream.runDrain(scanOf(on))
      const behind = on.server.received(select).filter((request) => rangeOf(murmur3, request)[1] > 0n)
      assert.isAbove(behind.length, 2 * (on.server.received(select).length - behind.length))
    }))

  it.live("and asks for a small table in few of them, however many tokens there are, unless it is told how many", () =>
    Effect.gen(function*() {
      const tokens = spread(murmur3, 2000).map(String)
      const on = yield* scripted({ tokens })
      for (const bytes of [0n, 1000n]) {
        on.server.on(/FROM system\.size_estimates/, sizes(tokens.map((token) => [token, bytes, 1n])))
        for (const ordered of [false, true]) {
          const pages = yield* Stream.runCollect(scanOf(on, { concurrency: 4, ordered }))
          assert.isAtMost(pages[0]!.ranges, 64)
          assert.isAtLeast(pages[0]!.ranges, 32)
          assert.deepStrictEqual(sortedKeys(keysOf(pages)), sortedKeys(on.keys))
          const [left] = yield* Stream.runCollect(
            scanOf(on, { from: pages[9]!.checkpoint, ordered }).pipe(Stream.take(1))
          )
          assert.isAtMost(left!.ranges, 74)
        }
      }
      const [told] = yield* Stream.runCollect(Stream.take(scanOf(on, { ranges: 1 }), 1))
      assert.isAtLeast(told!.ranges, 2000)
      on.server.on(/FROM system\.size_estimates/, sizes(tokens.map((token) => [token, 8n * 1024n * 1024n, 1n])))
      const [large] = yield* Stream.runCollect(Stream.take(scanOf(on), 1))
      assert.isAtLeast(large!.ranges, 2000)
    }))

  it.live("and makes as many ranges as it is asked to, at least", () =>
    Effect.gen(function*() {
      const on = yield* scripted()
      for (const ranges of [1, 7, 50_000]) {
        const [page] = yield* Stream.runCollect(Stream.take(scanOf(on, { ranges }), 1))
        assert.isAtLeast(page!.ranges, ranges)
        assert.isAtMost(page!.ranges, ranges + 2)
      }
    }))
})

describe("a scan", () => {
  it.live("by a partitioner whose tokens are not known is refused, and says why", () =>
    Effect.gen(function*() {
      const on = yield* scripted()
      on.server.on(
        "SELECT partitioner FROM system.local",
        Reply.rows({ columns: [{ name: "partitioner", type: "text" }], rows: [["com.example.OwnPartitioner"]] })
      )
      const reason = yield* reasonOf("InvalidQuery")(Stream.runDrain(scanOf(on)))
      assert.include(reason.message, "com.example.OwnPartitioner")
      assert.lengthOf(on.server.received(select), 0)
    }))

  it.live("asks for each range the node that has it", () =>
    Effect.gen(function*() {
      const tokens = [-(2n ** 62n), 0n, 2n ** 62n]
      const cluster = yield* ScriptedServer.makeCluster({
        nodes: tokens.map((token) => ({ tokens: [String(token)] })),
        keyspaces: { shop: { class: "org.apache.cassandra.locator.SimpleStrategy", replication_factor: "1" } }
      })
      declare(cluster, {})
      const session = yield* connect(cluster, { keyspace: "shop", openAllConnections: true })
      for (const ranges of [1, 12]) {
        yield* cluster.clearRequests
        yield* Stream.runDrain(scanOf({ session }, { ranges, concurrency: 1 }))
        const asked = cluster.received(select)
        assert.isAtLeast(asked.length, 4)
        for (const request of asked) {
          const [, end] = rangeOf(murmur3, request)
          const owner = tokens.findIndex((token) => token >= end)
          assert.strictEqual(request.node, cluster.nodes[owner < 0 ? 0 : owner], `up to ${end}`)
        }
      }
    }))

  for (const ordered of [false, true]) {
    const how = ordered ? "in order" : "as it comes"

    for (const concurrency of [1, 4, 32]) {
      it.live(`reads ${concurrency} ranges at a time, never more, ${how}`, () =>
        Effect.gen(function*() {
          const on = yield* scripted()
          const held = hold(on.server, select, Reply.rows({ columns: [{ name: "k", type: "text" }], rows: [] }))
          const scan = yield* Effect.forkChild(
            Stream.runCollect(scanOf(on, { concurrency, ordered, ranges: 64 }))
          )
          yield* held.awaitHeld(concurrency)
          let left = 0
          do {
            yield* held.answer(concurrency)
            yield* Effect.repeat(on.session.cql`SELECT marker`, { times: 3 })
            left = on.server.received(select).length
          } while (scan.pollUnsafe() === undefined && left < 1000)
          const pages = yield* Fiber.join(scan)
          assert.strictEqual(pages.at(-1)!.rangesDone, pages.at(-1)!.ranges)
          assert.strictEqual(held.most(), concurrency)
        }))
    }

    it.live(`asks for no more than two pages of a range while nobody reads them, ${how}`, () =>
      Effect.gen(function*() {
        const on = yield* scripted({ rows: spread(murmur3, 1000) })
        const scan = scanOf(on, { concurrency: 4, ordered, ranges: 40 })
        yield* Effect.forkChild(Stream.runForEach(scan, () => Effect.never)).pipe(
          Statement.provideOptions({ pageSize: 2 })
        )
        yield* on.server.awaitRequest(select, 4)
        let before = -1
        while (before !== on.server.received(select).length) {
          before = on.server.received(select).length
          yield* Effect.repeat(on.session.cql`SELECT marker`, { times: 10 })
        }
        // Two of each range, and the one that is read.
        assert.isAtMost(before, 2 * 4 + 1)
        assert.isAtLeast(before, 4)
      }))

    it.live(`fails with a range that fails, wherever it is, ${how}`, () =>
      Effect.gen(function*() {
        for (const failing of [murmur3.bounds[0] + 1n, 5n, murmur3.bounds[1]]) {
          const on = yield* scripted()
          on.server.on(select, (request) => {
            const [start, end] = rangeOf(murmur3, request)
            return failing > start && failing <= end ? Reply.invalid("not this one") : undefined
          })
          const given: Array<string> = []
          const scan = Stream.runForEach(scanOf(on, { ordered }), (page) =>
            Effect.sync(() => given.push(...keysOf([page]))))
          assert.strictEqual((yield* reasonOf("InvalidQuery")(scan)).message, "not this one")
          if (!ordered) {
            continue
          }
          // All that is in front of it was given, and nothing behind it.
          const [start] = rangeOf(
            murmur3,
            on.server.received(select).find((request) => {
              const [start, end] = rangeOf(murmur3, request)
              return failing > start && failing <= end
            })!
          )
          assert.deepStrictEqual(
            given,
            on.keys.filter((key) =>
              BigInt(key) <= start
            )
          )
        }
      }))

    it.live(`goes on from every one of its checkpoints with exactly the ranges that were left, ${how}`, () =>
      Effect.gen(function*() {
        const on = yield* scripted({ tokens: ["-77", "5", "700"] })
        // Each range is one page: what was given with a checkpoint is what it leaves out.
        for (const concurrency of [1, 8]) {
          const pages = yield* Stream.runCollect(scanOf(on, { ordered, concurrency, ranges: 16 }))
          assert.lengthOf(pages, pages[0]!.ranges)
          for (const [index, { checkpoint }] of pages.entries()) {
            const rest = yield* Stream.runCollect(scanOf(on, { from: checkpoint, ordered, ranges: 5 }))
            assert.deepStrictEqual(
              sortedKeys([...keysOf(pages.slice(0, index + 1)), ...keysOf(rest)]),
              sortedKeys(on.keys)
            )
          }
        }
      }))

    it.live(`that fails at any request goes on from its last checkpoint, no row lost and none twice, ${how}`, () =>
      Effect.gen(function*() {
        const on = yield* scripted()
        for (const failing of numbered(12)) {
          let asked = 0
          const takeBack = on.server.on(select, () => asked++ === failing ? Reply.invalid("broken") : undefined)
          const pages: Array<CqlStream.ScanPage<Statement.Row>> = []
          yield* reasonOf("InvalidQuery")(
            Stream.runForEach(scanOf(on, { ordered, ranges: 16 }), (page) => Effect.sync(() => pages.push(page)))
          )
          takeBack()
          const from = pages.findLast(({ checkpoint }) => checkpoint !== undefined)?.checkpoint
          const rest = yield* Stream.runCollect(scanOf(on, { from, ordered }))
          assert.deepStrictEqual(sortedKeys([...keysOf(pages), ...keysOf(rest)]), sortedKeys(on.keys))
        }
      }))

    it.live(`that is interrupted asks for nothing more, ${how}`, () =>
      Effect.gen(function*() {
        const on = yield* scripted()
        const held = hold(on.server, select, Reply.rows({ columns: [{ name: "k", type: "text" }], rows: [] }))
        const scan = yield* Effect.forkChild(Stream.runDrain(scanOf(on, { ordered, concurrency: 4 })))
        yield* held.awaitHeld(4)
        yield* Fiber.interrupt(scan)
        yield* held.answer(4)
        yield* Effect.repeat(on.session.cql`SELECT marker`, { times: 5 })
        assert.lengthOf(on.server.received(select), 4)
        const { admission } = on.session.core.shared
        assert.deepStrictEqual([admission.inFlight, admission.queued], [0, 0])
      }))
  }

  it.live("goes on from the checkpoint of an ordered one with pages inside a range, which is read again", () =>
    Effect.gen(function*() {
      const on = yield* scripted()
      const pages = yield* Stream.runCollect(scanOf(on, { ordered: true, concurrency: 1, ranges: 8 })).pipe(
        Statement.provideOptions({ pageSize: 4 })
      )
      for (const index of pages.keys()) {
        const upTo = pages.slice(0, index + 1).findLastIndex(({ checkpoint }) => checkpoint !== undefined)
        const from = pages[upTo]?.checkpoint
        const rest = yield* Stream.runCollect(scanOf(on, { from }))
        const kept = keysOf(pages.slice(0, upTo + 1))
        assert.deepStrictEqual(sortedKeys([...kept, ...keysOf(rest)]), sortedKeys(on.keys))
      }
    }))
})
