/**
 * Page states that are kept and taken up again, and cursors made of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { inspect } from "node:util"
import { cql, CqlStream, Session, Statement } from "../src/index.ts"
import * as PageStates from "../src/internal/pageState.ts"
import * as Keyspace from "./support/keyspace.ts"
import * as Reply from "./support/Reply.ts"
import { connect, reasonOf } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const count = 40

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE readings (sensor int, at int, PRIMARY KEY (sensor, at))`
  yield* cql`CREATE TABLE others (sensor int, at int, PRIMARY KEY (sensor, at))`
  for (const sensor of [1, 2]) {
    const rows = numbered(count).map((at) => ({ sensor, at }))
    yield* Stream.run(Stream.fromIterable(rows), CqlStream.sink({ table: "readings" }))
    yield* Stream.run(Stream.fromIterable(rows), CqlStream.sink({ table: "others" }))
  }
})

const tables = Layer.provideMerge(Layer.orDie(Layer.effectDiscard(createTables)), Keyspace.layer)

const layered = it.layer(tables, { excludeTestServices: true, timeout: "60 seconds" })

const pageSize = 7

const ofSensor = (sensor: number, size = pageSize) =>
  cql`SELECT at FROM readings WHERE sensor = ${sensor}`.pipe(Statement.withOptions({ pageSize: size }))

/** The places behind each page, and how many rows were before them. */
const placesOf = <E, R>(statement: Statement.Statement<Statement.Row, E, R>) =>
  Effect.map(Stream.runCollect(statement.pages), (pages) => {
    let before = 0
    return pages.map(({ next, rows }) => ({ next, before: before += rows.length }))
  })

const firstPlace = <E, R>(statement: Statement.Statement<Statement.Row, E, R>) =>
  Effect.map(Stream.runHead(CqlStream.pages(statement, { maxPages: 1 })), (page) => Option.getOrThrow(page).next!)

const timesOf = <E, R>(rows: Stream.Stream<Statement.Row, E, R>) =>
  Effect.map(Stream.runCollect(rows), (all) => all.map((row) => row["at"]))

const program = `
  import * as Effect from "effect/Effect"
  import * as Stream from "effect/Stream"
  import { Cluster, CqlStream, Session } from "effect-cassandra"
  const [keyspace, from] = process.argv.slice(1)
  const read = Effect.gen(function*() {
    const { cql } = yield* Session.makeFrom({ keyspace })
    return yield* Stream.runCollect(CqlStream.rows(cql\`SELECT at FROM readings WHERE sensor = \${1}\`, { from }))
  })
  const rows = await Effect.runPromise(Effect.scoped(read).pipe(Effect.provide(Cluster.layerConfig())))
  console.log("rows: " + JSON.stringify(rows.map((row) => row.at)))
`

/** What another process reads that has nothing but the text. */
const readElsewhere = (keyspace: string, from: string): Effect.Effect<ReadonlyArray<number>> =>
  Effect.callback((resume) => {
    const flags = ["--conditions=effect-cassandra-source", "--input-type=module", "-e", program]
    const child = spawn(process.execPath, [...flags, keyspace, from], { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => output += String(chunk))
    child.stderr.on("data", (chunk) => output += String(chunk))
    child.on("close", () => {
      const rows = /^rows: (.*)$/m.exec(output)?.[1]
      resume(rows === undefined ? Effect.die(new Error(output)) : Effect.succeed(JSON.parse(rows)))
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

layered("a page state, on a real server,", (it) => {
  it.effect("of any page gives exactly the rest, in another session and with pages of any size", () =>
    Effect.gen(function*() {
      const places = yield* placesOf(ofSensor(1))
      assert.lengthOf(places, 6)
      const { keyspace } = yield* Session
      const session = yield* Session.makeFrom({ keyspace })
      for (const { before, next } of places.slice(0, -1)) {
        for (const size of [1, pageSize, 1000]) {
          const rest = timesOf(CqlStream.rows(ofSensor(1, size), { from: next })).pipe(
            Effect.provideService(Session, session)
          )
          assert.deepStrictEqual(yield* rest, numbered(count).slice(before))
        }
      }
    }))

  it.effect("gives exactly the rest in another process", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* Session
      const rest = yield* readElsewhere(keyspace!, yield* firstPlace(ofSensor(1)))
      assert.deepStrictEqual(rest, numbered(count).slice(pageSize))
    }))

  it.effect("is none behind the last page", () =>
    Effect.gen(function*() {
      const places = yield* placesOf(ofSensor(1))
      assert.isUndefined(places.at(-1)!.next)
      assert.strictEqual(places.at(-1)!.before, count)
    }))

  it.effect("that was gone on from gives page states of its own, and pages that count from 0", () =>
    Effect.gen(function*() {
      const times: Array<unknown> = []
      let from: string | undefined
      do {
        const page = Option.getOrThrow(yield* Stream.runHead(CqlStream.pages(ofSensor(1), { from, maxPages: 1 })))
        assert.strictEqual(page.index, 0)
        times.push(...page.rows.map((row) => row["at"]))
        from = page.next
      } while (from !== undefined)
      assert.deepStrictEqual<ReadonlyArray<unknown>>(times, numbered(count))
    }))

  it.effect("is of one row where only one row is left out", () =>
    Effect.gen(function*() {
      const from = yield* firstPlace(ofSensor(1, 1))
      assert.deepStrictEqual<ReadonlyArray<unknown>>(
        yield* timesOf(CqlStream.rows(ofSensor(1), { from })),
        numbered(count).slice(1)
      )
    }))

  it.effect("is refused by other statements and other values", () =>
    Effect.gen(function*() {
      const from = yield* firstPlace(ofSensor(1))
      const others = [
        ofSensor(2),
        cql`SELECT at FROM others WHERE sensor = ${1}`,
        cql`SELECT at, sensor FROM readings WHERE sensor = ${1}`,
        cql`SELECT at FROM readings WHERE sensor = 1`,
        cql`SELECT at FROM readings`
      ]
      for (const other of others) {
        const reason = yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.rows(other, { from })))
        assert.include(reason.message, "another statement")
      }
    }))

  it.effect("is refused where the table has other columns by now, and no row is given", () =>
    Effect.gen(function*() {
      yield* cql`CREATE TABLE growing (k int, c int, PRIMARY KEY (k, c))`
      const rows = numbered(20).map((c) => ({ k: 1, c }))
      yield* Stream.run(Stream.fromIterable(rows), CqlStream.sink({ table: "growing" }))
      const all = cql`SELECT * FROM growing WHERE k = ${1}`.pipe(Statement.withOptions({ pageSize: 5 }))
      const from = yield* firstPlace(all)
      assert.lengthOf(yield* Stream.runCollect(CqlStream.rows(all, { from })), 15)
      yield* cql`ALTER TABLE growing ADD more text`
      const given: Array<unknown> = []
      const reason = yield* reasonOf("InvalidPageState")(
        Stream.runForEach(CqlStream.rows(all, { from }), (row) => Effect.sync(() => given.push(row)))
      )
      assert.include(reason.message, "columns")
      assert.deepStrictEqual(given, [])
    }))

  it.effect("that the server cannot read is refused as what it is", () =>
    Effect.gen(function*() {
      const from = yield* firstPlace(ofSensor(1))
      const kept = PageStates.read(from)
      assert(!("_tag" in kept))
      const { core } = yield* Session
      const prepared = core.shared.statements.get("SELECT at FROM readings WHERE sensor = ?").prepared!
      const origin = {
        keyspace: core.shared.client.keyspace,
        text: "SELECT at FROM readings WHERE sensor = ?",
        values: Buffer.of(0, 1, 0, 0, 0, 4, 0, 0, 0, 1)
      }
      assert.strictEqual(PageStates.keep(origin, prepared.columns!, kept.state), from)
      for (const state of [Buffer.of(1), Buffer.alloc(40, 7), kept.state.subarray(0, 5)]) {
        const made = PageStates.keep(origin, prepared.columns!, state)
        yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.rows(ofSensor(1), { from: made })))
      }
    }))
})

describe("a page state of another keyspace", () => {
  // A scripted server, for it has a table of every name in every keyspace.
  it.live("is refused, and nothing is sent", () =>
    Effect.gen(function*() {
      const server = yield* ScriptedServer.make()
      server.on("SELECT n", Reply.pages({ columns: [{ name: "n", type: "int" }], pages: [[[1]], [[2]]] }))
      const [one, other] = yield* Effect.all([
        connect(server, { keyspace: "one" }),
        connect(server, { keyspace: "other" })
      ])
      const from = yield* firstPlace(one.cql`SELECT n`)
      assert.lengthOf(yield* Stream.runCollect(CqlStream.rows(one.cql`SELECT n`, { from })), 1)
      const asked = server.received("SELECT n").length
      yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.rows(other.cql`SELECT n`, { from })))
      assert.lengthOf(server.received("SELECT n"), asked)
    }))
})

describe("a page state that is none", () => {
  for (const [name, from] of [["is empty", ""], ["is garbled", "x!y"], ["is cut off", "AQ"]] as const) {
    it.live(`because it ${name} is refused, and nothing is sent`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const { cql } = yield* connect(server)
        yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.pages(cql`SELECT n`, { from })))
        assert.lengthOf(server.received("SELECT n"), 0)
      }))
  }
})

describe("a page whose connection is lost", () => {
  const pages = numbered(8).map((n) => [[n]])

  // A scripted server, for it counts what it is asked.
  for (const pagesAhead of [0, 1, 3]) {
    it.live(`is asked for again, and no other, ${pagesAhead} pages ahead`, () =>
      Effect.gen(function*() {
        for (const lost of numbered(pages.length)) {
          const server = yield* ScriptedServer.make()
          const answer = Reply.pages({ columns: [{ name: "n", type: "int" }], pages })
          const pageOf = ({ pageState }: { readonly pageState: Buffer | undefined }) => pageState?.readInt32BE() ?? 0
          server.on("SELECT n", (request) =>
            pageOf(request) === lost && request.attempt === 1 ? Reply.close : answer(request))
          const { cql } = yield* connect(server, {
            connectionsPerNode: 3,
            openAllConnections: true,
            reconnectDelay: { base: "1 millis", max: "5 millis" }
          })
          const select = cql`SELECT n`.pipe(Statement.withOptions({ idempotent: true }))
          const rows = yield* Stream.runCollect(CqlStream.rows(select, { pagesAhead }))
          assert.deepStrictEqual<ReadonlyArray<unknown>>(
            rows.map(({ n }) =>
              n
            ),
            numbered(pages.length)
          )
          const asked = server.received("SELECT n").map(pageOf)
          assert.deepStrictEqual(asked, [...numbered(lost + 1), ...numbered(pages.length).slice(lost)])
        }
      }))
  }
})

layered("a cursor", (it) => {
  const key = Redacted.make("a key that nobody knows")
  const older = Redacted.make("the key before it")

  it.effect("goes through a whole list, a page at a time, also when keys have changed on the way", () =>
    Effect.gen(function*() {
      const times: Array<unknown> = []
      let cursor: string | undefined
      do {
        const from = cursor === undefined ? undefined : yield* CqlStream.fromCursor(cursor, [key, older])
        const page = Option.getOrThrow(yield* Stream.runHead(CqlStream.pages(ofSensor(1), { from, maxPages: 1 })))
        times.push(...page.rows.map((row) => row["at"]))
        cursor = page.next === undefined ? undefined : CqlStream.toCursor(page.next, times.length < 20 ? older : key)
      } while (cursor !== undefined)
      assert.deepStrictEqual<ReadonlyArray<unknown>>(times, numbered(count))
    }))

  it.effect("of another key, changed, or not signed, is refused, and no message shows a key", () =>
    Effect.gen(function*() {
      const from = yield* firstPlace(ofSensor(1))
      const cursor = CqlStream.toCursor(from, key)
      assert.strictEqual(yield* CqlStream.fromCursor(cursor, [key]), from)
      const refused = [
        CqlStream.fromCursor(cursor, [older]),
        CqlStream.fromCursor(from, [key]),
        CqlStream.fromCursor("", [key]),
        CqlStream.fromCursor(`${cursor}A`, [key]),
        CqlStream.fromCursor(`A${cursor}`, [key]),
        CqlStream.fromCursor(`${CqlStream.toCursor(from, older).split(".")[0]}.${cursor.split(".")[1]!.slice(1)}`, [
          key
        ])
      ]
      for (const effect of refused) {
        const error = yield* Effect.flip(effect)
        assert.strictEqual(error.reason._tag, "InvalidPageState")
        for (const secret of [key, older]) {
          assert.notInclude(`${inspect(error, { depth: 9 })}${JSON.stringify(error)}`, Redacted.value(secret))
        }
      }
    }))

  it.effect("of another list is refused by this one, though it is signed", () =>
    Effect.gen(function*() {
      const cursor = CqlStream.toCursor(yield* firstPlace(ofSensor(2)), key)
      const from = yield* CqlStream.fromCursor(cursor, [key])
      yield* reasonOf("InvalidPageState")(Stream.runDrain(CqlStream.pages(ofSensor(1), { from })))
    }))

  it.effect("is not read with a key that is empty, or with none: anybody could have signed it", () =>
    Effect.gen(function*() {
      const empty = Redacted.make("")
      const cursor = CqlStream.toCursor(yield* firstPlace(ofSensor(1)), empty)
      for (const keys of [[empty], [key, empty], []]) {
        yield* reasonOf("InvalidConfig")(CqlStream.fromCursor(cursor, keys))
      }
    }))
})
