/**
 * What a network does to connections, between the library and a real node: answers that are cut, connections that are
 * dead and do not say so, bytes that come one by one or late, and doors that are closed. The proxy knows nothing of the
 * protocol, and what was executed is asked of the node itself.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Cluster, cql, CqlError, CqlRetry, CqlStream, Session, Statement } from "../../src/index.ts"
import * as Keyspace from "../support/keyspace.ts"
import { reasonOf, untilNode } from "../support/scripted.ts"
import type { Opened } from "./support/proxied.ts"
import * as Proxied from "./support/proxied.ts"

const { provideOptions, withOptions } = Statement

const numbered = (count: number) => Array.from({ length: count }, (_, index) => index)

const allAtOnce = { concurrency: "unbounded" } as const

/** So many bytes that any other part of the answer is small beside it. */
const longText = "x".repeat(2000)

const readings = numbered(200)

const pageSize = 10

const wideColumns = numbered(60).map((index) => `column_${index}`)

const megabyte = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251)

const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE numbers (id int PRIMARY KEY, square int)`
  yield* cql`CREATE TABLE texts (id int PRIMARY KEY, text text)`
  yield* cql`CREATE TABLE counters (id int PRIMARY KEY, n counter)`
  yield* cql`CREATE TABLE blobs (id int PRIMARY KEY, data blob)`
  yield* cql`CREATE TABLE readings (sensor int, at int, label text, PRIMARY KEY (sensor, at))`
  const columns = cql.unsafe(wideColumns.map((name) => `${name} text`).join(", "))
  yield* cql`CREATE TABLE wide (id int PRIMARY KEY, ${columns})`
  const writes = [
    ...numbered(100).map((id) => cql`INSERT INTO numbers (id, square) VALUES (${id}, ${id * id})`),
    ...readings.map((at) => cql`INSERT INTO readings (sensor, at, label) VALUES (${1}, ${at}, ${`label ${at}`})`),
    ...numbered(3).map((id) => cql`INSERT INTO texts (id, text) VALUES (${id}, ${longText + id})`),
    ...wideColumns.map((name) => cql`INSERT INTO wide (id, ${cql.ident(name)}) VALUES (${1}, ${`value of ${name}`})`)
  ]
  yield* Effect.forEach(writes, (write) => write, { concurrency: 32, discard: true })
})

const Tables = Layer.effectDiscard(Effect.orDie(createTables)).pipe(Layer.provideMerge(Keyspace.layer))

/** Through the proxy, to the tables of this file. */
const open = (options: Session.Options = {}) =>
  Effect.flatMap(Session, ({ keyspace }) => Proxied.open({ keyspace, ...options }))

/** However one of them is lost, the node can be asked: it is not down. */
const severalConnections = { connectionsPerNode: 3 } as const

const selectText = ({ cql }: Opened, id: number) => cql`SELECT text FROM texts WHERE id = ${id}`

const selectSquare = ({ cql }: Opened, id: number) => cql`SELECT square FROM numbers WHERE id = ${id}`

/** Not idempotent, and that is seen by how often it was done. */
const count = ({ cql }: Opened, id: number) => cql`UPDATE counters SET n = n + ${1} WHERE id = ${id}`

/** Asked of the node itself, beside the proxy; none when it was never counted. */
const counted = (id: number) => Effect.map(cql`SELECT n FROM counters WHERE id = ${id}`.one, (row) => Number(row["n"]))

/** Counters of one test each. */
let lastCounter = 0
const newCounters = (count: number) => numbered(count).map(() => ++lastCounter)

const assertIdle = Effect.fnUntraced(function*({ session: { core } }: Opened) {
  yield* Effect.yieldNow
  // What a silent connection was asked is given up a turn later.
  yield* Effect.yieldNow
  const { admission } = core.shared
  assert.deepStrictEqual([admission.inFlight, admission.queued, core.inFlight], [0, 0, 0])
})

/** No connection gives the answer to another question, or none at all; and nothing is left of what has failed. */
const assertSound = Effect.fnUntraced(function*(opened: Opened) {
  const rows = yield* Effect.forEach(numbered(100), (id) => selectSquare(opened, id).one, allAtOnce)
  assert.deepStrictEqual(rows.map((row) => row["square"]), numbered(100).map((id) => id * id))
  yield* assertIdle(opened)
})

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<CqlError, A, R> =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, CqlError)
    return error
  })

/** Waits until the client is as whole as it was: every connection is open, the driver's own one too. */
const awaitReady = ({ session }: Opened, connections = 1) =>
  Effect.repeat(
    Effect.sync(() => {
      const { controlConnection, hosts } = session.core.shared.client.raw
      return controlConnection.host !== null &&
        hosts.values().every((host) => host.isUp() && host.pool.connections.length >= connections)
    }),
    { until: (isReady) => isReady, schedule: Schedule.spaced("2 millis") }
  )

/** Fails who waits for what never comes, long after it should have. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.timeout(effect, "20 seconds")

const hows = ["end", "reset"] as const

const layered = it.layer(Tables, { excludeTestServices: true, timeout: "60 seconds" })

layered("an answer that is cut", (it) => {
  const positions = [
    ["before its first byte", 0],
    ["inside its header", 5],
    ["behind its header", 9],
    ["inside its metadata", 40],
    ["inside a row", 1000]
  ] as const

  for (const how of hows) {
    for (const [where, bytes] of positions) {
      it.effect(`${where}, by ${how}: a read is asked again, and answered`, () =>
        Effect.gen(function*() {
          const opened = yield* open(severalConnections)
          yield* selectText(opened, 0)
          yield* opened.proxy.cutAnswer({ bytes, how })
          assert.deepStrictEqual(yield* selectText(opened, 1), [{ text: `${longText}1` }])
          assert.strictEqual(opened.proxy.cuts(), 1)
          yield* assertSound(opened)
        }))
    }

    for (const [where, bytes] of [...positions.slice(0, 3), ["inside its body", 11]] as const) {
      it.effect(`${where}, by ${how}: a counter fails with ConnectionError, and was counted once`, () =>
        Effect.gen(function*() {
          const opened = yield* open(severalConnections)
          const [other, id] = newCounters(2)
          yield* count(opened, other!)
          yield* opened.proxy.cutAnswer({ bytes, how })
          const error = yield* errorOf(count(opened, id!))
          assert.deepInclude(error.reason, { _tag: "ConnectionError", written: true })
          assert.deepStrictEqual(error.attempts.map(({ outcome }) => outcome), ["ConnectionError"])
          assert.strictEqual(yield* counted(id!), 1)
          assert.strictEqual(opened.proxy.cuts(), 1)
          yield* assertSound(opened)
        }))
    }

    it.effect(`by ${how}, and tells how a statement is prepared, has executed nothing: it is asked again`, () =>
      Effect.gen(function*() {
        const opened = yield* open(severalConnections)
        const [id] = newCounters(1)
        yield* opened.proxy.cutAnswer({ bytes: 20, how })
        yield* count(opened, id!)
        assert.strictEqual(yield* counted(id!), 1)
        assert.strictEqual(opened.proxy.cuts(), 1)
        yield* assertSound(opened)
      }))

    it.effect(`by ${how}, takes with it what else waits on its connection, each as it is by itself`, () =>
      Effect.gen(function*() {
        const opened = yield* open(severalConnections)
        const [other, ...ids] = newCounters(31)
        yield* selectText(opened, 0)
        yield* count(opened, other!)
        yield* opened.proxy.latency({ toClient: 50 })
        yield* opened.proxy.cutAnswer({ bytes: 7, how })
        const [counts, reads] = yield* Effect.all([
          Effect.forEach(ids, (id) => Effect.result(count(opened, id)), allAtOnce),
          Effect.forEach(ids, () => selectText(opened, 2).one, allAtOnce)
        ], allAtOnce)
        assert.deepStrictEqual(new Set(reads.map(({ text }) => text)), new Set([`${longText}2`]))
        const failures = counts.flatMap((result) => result._tag === "Failure" ? [result.failure] : [])
        for (const { attempts, reason } of failures) {
          assert.deepInclude(reason, { _tag: "ConnectionError", written: true })
          assert.lengthOf(attempts, 1)
        }
        // Those of one connection of three.
        assert.isAtLeast(failures.length, 2)
        assert.isBelow(failures.length, ids.length)
        const values = yield* Effect.forEach(ids, (id) => cql`SELECT n FROM counters WHERE id = ${id}`.first)
        values.forEach((row, index) => {
          const n = Option.isNone(row) ? 0 : Number(row.value["n"])
          if (counts[index]!._tag === "Success") assert.strictEqual(n, 1)
          else assert.isAtMost(n, 1)
        })
        assert.strictEqual(opened.proxy.cuts(), 1)
        yield* opened.proxy.latency(0)
        yield* assertSound(opened)
      }))
  }

  it.effect("while its connection is switched to the keyspace has answered nobody: the statement is sent again", () =>
    Effect.gen(function*() {
      const opened = yield* open(severalConnections)
      const [other, ...ids] = newCounters(7)
      yield* count(opened, other!)
      for (const [bytes, id] of ids.entries()) {
        yield* untilNode("hostDown", opened.session, opened.proxy.cut)
        yield* awaitReady(opened, 3)
        yield* opened.proxy.cutAnswer({ bytes })
        yield* count(opened, id)
        assert.strictEqual(yield* counted(id), 1)
      }
      assert.strictEqual(opened.proxy.cuts(), ids.length)
      yield* assertSound(opened)
    }))

  it.effect("costs one connection, and the next one is opened as soon as the first, however often that was", () =>
    Effect.gen(function*() {
      const opened = yield* open({ connectionsPerNode: 2, reconnectDelay: { base: "1 millis", max: "10 minutes" } })
      const cutOne = Effect.gen(function*() {
        yield* awaitReady(opened, 2)
        yield* opened.proxy.cutAnswer({ bytes: 0 })
        yield* Effect.exit(selectSquare(opened, 1))
      })
      // The delay of the driver is doubled each time: after sixteen it is a minute.
      yield* inTime(Effect.repeat(cutOne, { times: 16 }))
      assert.isAtLeast(opened.proxy.cuts(), 16)
    }))

  it.effect("again and again: every read and every idempotent write is answered, one after another", () =>
    Effect.gen(function*() {
      const opened = yield* open(severalConnections)
      const insert = (id: number) => opened.cql`INSERT INTO texts (id, text) VALUES (${1000 + id}, ${`text ${id}`})`
      for (const id of numbered(20)) {
        yield* awaitReady(opened, 3)
        yield* opened.proxy.cutAnswer({ bytes: id, how: id % 2 === 0 ? "end" : "reset" })
        yield* insert(id)
        assert.deepStrictEqual(yield* selectText(opened, 1000 + id), [{ text: `text ${id}` }])
      }
      assert.isAtLeast(opened.proxy.cuts(), 15)
      yield* assertSound(opened)
    }))
})

layered("a connection that is dead and does not say so", (it) => {
  /** Enough of them for the driver to give up a connection on which they get no answer. */
  const many = 100

  const impatient = provideOptions({ attemptTimeout: "200 millis", timeout: "2 seconds" })

  it.effect("ends attempts by their own limit, is given up, and is in nobody's way once the network is back", () =>
    Effect.gen(function*() {
      const opened = yield* open({ socketConnectTimeout: "500 millis" })
      const [other, ...ids] = newCounters(many + 1)
      yield* count(opened, other!)
      yield* selectSquare(opened, 0)
      const errors = yield* untilDown(
        opened,
        Effect.andThen(
          opened.proxy.swallow,
          Effect.all([
            Effect.forEach(ids, (id) => errorOf(count(opened, id)), allAtOnce),
            Effect.forEach(ids, (id) => errorOf(selectSquare(opened, id)), allAtOnce)
          ], allAtOnce).pipe(impatient)
        )
      )
      const [counts, reads] = errors
      const timedOut = counts.filter(({ reason }) => reason._tag === "ClientTimeout")
      // Those of the last moment went with the connection when it was given up for the others.
      assert.isAtLeast(timedOut.length, 32)
      for (const { attempts, reason } of counts) {
        assert.lengthOf(attempts, 1)
        if (reason._tag === "ClientTimeout") assert.deepInclude(reason, { phase: "attempt", timeoutMillis: 200 })
        else assert.deepInclude(reason, { _tag: "ConnectionError", written: true })
      }
      for (const { reason } of reads) {
        assert.include(["ClientTimeout", "ConnectionError", "NoHostAvailable"], reason._tag)
      }
      yield* assertIdle(opened)
      yield* Effect.andThen(opened.proxy.carry, awaitReady(opened))
      for (const id of ids) {
        const row = yield* cql`SELECT n FROM counters WHERE id = ${id}`.first
        assert.isTrue(Option.isNone(row))
      }
      yield* assertSound(opened)
    }))

  it.effect("that nobody uses is found by its heartbeat", () =>
    Effect.gen(function*() {
      const opened = yield* open({
        socketConnectTimeout: "200 millis",
        heartbeatInterval: "50 millis",
        driverOptions: { socketOptions: { readTimeout: 1000 } }
      })
      yield* untilNode("hostDown", opened.session, opened.proxy.swallow)
      yield* reasonOf("NoHostAvailable")(selectSquare(opened, 1))
      yield* Effect.andThen(opened.proxy.carry, awaitReady(opened))
      yield* assertSound(opened)
    }))

  it.effect("that is used a little is found by its heartbeat too", () =>
    Effect.gen(function*() {
      const opened = yield* open({
        socketConnectTimeout: "500 millis",
        heartbeatInterval: "600 millis",
        driverOptions: { socketOptions: { readTimeout: 1000 } }
      })
      yield* selectSquare(opened, 0)
      // One at a time, each long before the next heartbeat: to the driver each is a sign that the connection lives.
      const use = Effect.forever(Effect.exit(selectSquare(opened, 1))).pipe(
        provideOptions({ attemptTimeout: "400 millis", timeout: "400 millis" })
      )
      const scope = yield* Effect.scope
      const begin = Effect.andThen(opened.proxy.swallow, Effect.asVoid(Effect.forkIn(use, scope)))
      yield* inTime(untilNode("hostDown", opened.session, begin))
      yield* opened.proxy.carry
    }))

  it.effect("keeps no statement longer than its timeout, however many attempts that are", () =>
    Effect.gen(function*() {
      const opened = yield* open()
      yield* selectSquare(opened, 0)
      yield* opened.proxy.swallow
      const silent = selectSquare(opened, 1).pipe(withOptions({ timeout: "500 millis" }))
      const one = yield* inTime(errorOf(silent))
      assert.deepInclude(one.reason, { _tag: "ClientTimeout", phase: "operation", timeoutMillis: 500 })
      const several = yield* inTime(errorOf(silent.pipe(withOptions({ attemptTimeout: "150 millis" }))))
      assert.strictEqual(several.reason._tag, "ClientTimeout")
      assert.isAtLeast(several.attempts.length, 2)
      yield* assertIdle(opened)
      yield* opened.proxy.carry
    }))

  it.effect("that comes back to life answers too late, and nobody takes it for their own answer", () =>
    Effect.gen(function*() {
      const opened = yield* open()
      const [other, ...ids] = newCounters(21)
      yield* count(opened, other!)
      yield* selectText(opened, 0)
      yield* opened.proxy.pause
      const stopped = yield* Effect.all([
        Effect.forEach(ids, (id) => errorOf(count(opened, id)), allAtOnce),
        Effect.forEach(ids, () => errorOf(selectText(opened, 1)), allAtOnce)
      ], allAtOnce).pipe(provideOptions({ attemptTimeout: "100 millis", retry: CqlRetry.none }))
      for (const { reason } of stopped.flat()) {
        assert.deepInclude(reason, { _tag: "ClientTimeout", phase: "attempt", timeoutMillis: 100 })
      }
      yield* opened.proxy.resume
      yield* assertSound(opened)
      // The node has got them in the end.
      const all = Effect.forEach(ids, (id) => Effect.option(counted(id)), allAtOnce)
      const done = yield* Effect.repeat(all, { until: (values) => values.every(Option.isSome) })
      assert.deepStrictEqual(done.map(Option.getOrThrow), ids.map(() => 1))
      assert.strictEqual(opened.proxy.accepted(), 1)
    }))
})

/** Runs `effect` until its end, and waits until the node is down. */
function untilDown<A>({ session }: Opened, effect: Effect.Effect<A, unknown>): Effect.Effect<A, CqlError> {
  return Effect.suspend(() => {
    let result: A | undefined
    const kept = Effect.map(effect, (value) => void (result = value))
    return Effect.map(untilNode("hostDown", session, Effect.orDie(kept)), () => result!)
  })
}

layered("bytes that come one by one", (it) => {
  /** The proxy has a turn of the event loop for each of them. */
  const patient = { attemptTimeout: "50 seconds", timeout: "55 seconds" } as const

  /** What a session answers to all kinds of questions. */
  const answers = ({ cql }: Pick<Session["Service"], "cql">) =>
    Effect.all({
      rows: cql`SELECT * FROM readings WHERE sensor = ${1}`,
      pages: Stream.runCollect(
        cql`SELECT at, label FROM readings WHERE sensor = ${1}`.pipe(withOptions({ pageSize: 3 })).pages
      ),
      wide: cql`SELECT * FROM wide`,
      text: cql`SELECT text FROM texts WHERE id = ${2}`.one,
      many: Effect.forEach(numbered(50), (id) => cql`SELECT square FROM numbers WHERE id = ${id}`, allAtOnce),
      refused: Effect.map(Effect.flip(cql`SELECT nothing FROM numbers`), ({ message }) => message)
    }, allAtOnce)

  it.effect("make the same answers: rows, pages, wide rows, errors, and many at once", () =>
    Effect.gen(function*() {
      const opened = yield* open(patient)
      yield* opened.proxy.dribble(true)
      assert.deepStrictEqual(yield* answers(opened), yield* answers(yield* Session))
      yield* opened.proxy.dribble(false)
      yield* assertSound(opened)
    }))

  it.effect("open a connection", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* Session
      const { options, proxy } = yield* Proxied.make
      yield* proxy.dribble(true)
      const session = yield* Session.make({ ...options, ...patient, keyspace })
      assert.deepStrictEqual(yield* session.cql`SELECT square FROM numbers WHERE id = ${9}`, [{ square: 81 }])
    }))

  const sizes = [
    [1, 10_000],
    // Of the size of a frame's header and around it: it is split at each of its bytes.
    [8, 50_000],
    [9, 50_000],
    [10, 50_000],
    [61, 1_000_000]
  ] as const

  for (const [pieces, size] of sizes) {
    it.effect(`or ${pieces} by ${pieces} make a blob of ${size} bytes, both ways`, () =>
      Effect.gen(function*() {
        const opened = yield* open(patient)
        yield* opened.proxy.dribble(pieces)
        const data = megabyte.subarray(megabyte.length - size)
        yield* opened.cql`INSERT INTO blobs (id, data) VALUES (${pieces}, ${data})`
        const { data: read } = yield* opened.cql`SELECT data FROM blobs WHERE id = ${pieces}`.one
        assert.isTrue(Buffer.from(data).equals(read as Uint8Array))
        yield* opened.proxy.dribble(false)
        yield* assertSound(opened)
      }))
  }
})

layered("300 ms each way", (it) => {
  it.effect("are no fault: statements, streams and many at once are answered, and it connects", () =>
    Effect.gen(function*() {
      const { keyspace } = yield* Session
      const { options, proxy } = yield* Proxied.make
      yield* proxy.latency(300)
      const session = yield* Session.make({ ...options, keyspace })
      const opened = { proxy, options, session, cql: session.cql }
      const [id] = newCounters(1)
      const stream = session.cql`SELECT at FROM readings WHERE sensor = ${1}`.pipe(withOptions({ pageSize: 50 }))
      const [rows] = yield* Effect.all([
        Stream.runCollect(CqlStream.rows(stream, { pagesAhead: 2 })),
        count(opened, id!),
        assertSquares(opened)
      ], allAtOnce)
      assert.deepStrictEqual(rows.map(({ at }) => at), readings)
      assert.strictEqual(yield* counted(id!), 1)
      yield* assertSound(opened)
      assert.strictEqual(proxy.accepted(), 1)
    }))

  const assertSquares = Effect.fnUntraced(function*(opened: Opened) {
    const all = yield* Effect.forEach(numbered(1000), (n) => selectSquare(opened, n % 100).one, allAtOnce)
    assert.deepStrictEqual(all.map(({ square }) => square), numbered(1000).map((n) => (n % 100) ** 2))
  })
})

layered("a door that is closed", (it) => {
  it.effect("at the start is told with its reason, and nothing is left open", () =>
    Effect.gen(function*() {
      const { options, proxy } = yield* Proxied.make
      yield* proxy.refuse
      const { nodes } = yield* reasonOf("NoHostAvailable")(Cluster.make(options))
      assert.lengthOf(nodes, 1)
      assert.include(nodes[0]!.error, "ECONNREFUSED")
      assert.strictEqual(proxy.accepted(), 0)
      yield* proxy.accept
      yield* Effect.scoped(Cluster.make(options))
      yield* proxy.awaitConnections(0)
    }))

  it.effect("behind an open one, at the start, is told by connectTimeout, and nothing is left open", () =>
    Effect.gen(function*() {
      const { options, proxy } = yield* Proxied.make
      yield* proxy.pause
      const reason = yield* reasonOf("ClientTimeout")(Cluster.make({ ...options, connectTimeout: "200 millis" }))
      assert.deepInclude(reason, { phase: "connect", timeoutMillis: 200 })
      assert.strictEqual(proxy.accepted(), 1)
      yield* proxy.resume
      yield* proxy.awaitConnections(0)
    }))

  for (const how of ["refuses", "is silent"] as const) {
    it.effect(`while running, when it ${how}, fails statements at once, until it is open again`, () =>
      Effect.gen(function*() {
        // Longer than a test may take: who waits for one of these fails.
        const forEver = {
          timeout: "2 minutes",
          attemptTimeout: "1 minute",
          socketConnectTimeout: "500 millis"
        } as const
        const opened = yield* open(forEver)
        const { proxy } = opened
        yield* selectSquare(opened, 0)
        const close = how === "refuses" ? proxy.refuse : proxy.swallow
        yield* untilNode("hostDown", opened.session, Effect.andThen(close, proxy.cut))
        const reasons = yield* inTime(Effect.forEach(
          numbered(50),
          (id) => reasonOf("NoHostAvailable")(selectSquare(opened, id)),
          allAtOnce
        ))
        for (const { nodes } of reasons) assert.deepStrictEqual(nodes.map(({ error }) => error), ["down"])
        yield* assertIdle(opened)
        yield* Effect.andThen(how === "refuses" ? proxy.accept : proxy.carry, awaitReady(opened))
        yield* assertSound(opened)
      }))
  }
})

layered("an outage", (it) => {
  it.effect("is over once: behind the first statement that is answered none fails", () =>
    Effect.gen(function*() {
      const opened = yield* open()
      const { proxy, session } = opened
      yield* selectSquare(opened, 0)
      yield* untilNode("hostDown", session, Effect.andThen(proxy.refuse, proxy.cut))
      yield* proxy.latency(20)
      yield* proxy.accept
      yield* inTime(Effect.retry(selectSquare(opened, 1), Schedule.spaced("5 millis")))
      // Longer than the driver takes to look at its cluster anew.
      for (const id of numbered(30)) yield* selectSquare(opened, id)
    }))
})

layered("a stream", (it) => {
  const stream = ({ cql }: Opened, pagesAhead: number, options: Statement.Options = {}) =>
    cql`SELECT at, label FROM readings WHERE sensor = ${1}`.pipe(
      withOptions({ pageSize, ...options }),
      CqlStream.rows({ pagesAhead })
    )

  const allReadings = readings.map((at) => ({ at, label: `label ${at}` }))

  /** Reads all, and before each tenth of it is told so. */
  const readAll = (rows: Stream.Stream<Statement.Row, unknown>, onTenth: (tenth: number) => Effect.Effect<unknown>) =>
    Effect.gen(function*() {
      const read: Array<unknown> = []
      yield* Stream.runForEach(rows, (row) =>
        Effect.suspend(() => {
          const tenth = read.length * 10 / readings.length
          read.push(row)
          return Number.isInteger(tenth) ? onTenth(tenth) : Effect.void
        }))
      return read
    })

  const once = (at: number, effect: Effect.Effect<unknown>) => (tenth: number) => tenth === at ? effect : Effect.void

  for (const pagesAhead of [0, 1, 3]) {
    const ahead = `${pagesAhead} pages ahead`

    for (const how of hows) {
      it.effect(`goes on at the page whose answer was cut, by ${how}, however often, ${ahead}`, () =>
        Effect.gen(function*() {
          const opened = yield* open(severalConnections)
          const cut = (tenth: number) =>
            Effect.andThen(
              awaitReady(opened, 3),
              opened.proxy.cutAnswer({ bytes: [0, 5, 40, 150][tenth % 4]!, how })
            )
          assert.deepStrictEqual(yield* readAll(stream(opened, pagesAhead), cut), allReadings)
          assert.isAtLeast(opened.proxy.cuts(), 5)
          yield* opened.proxy.cutAnswer(undefined)
          yield* assertSound(opened)
        }))
    }

    it.effect(`goes on at the page that was lost with a connection that does not say so, ${ahead}`, () =>
      Effect.gen(function*() {
        const opened = yield* open(severalConnections)
        const impatient = stream(opened, pagesAhead, { attemptTimeout: "200 millis" })
        // Until the request for a page is gone.
        const interruption = opened.proxy.swallow.pipe(
          Effect.andThen(Effect.forkChild(Effect.andThen(opened.proxy.awaitLost(1), opened.proxy.carry)))
        )
        assert.deepStrictEqual(yield* readAll(impatient, once(3, interruption)), allReadings)
        yield* opened.proxy.awaitLost(1)
        yield* untilNode("hostDown", opened.session, opened.proxy.cut)
        yield* awaitReady(opened, 3)
        yield* assertSound(opened)
      }))

    it.effect(`goes on where it was when bytes begin to come one by one, ${ahead}`, () =>
      Effect.gen(function*() {
        const opened = yield* open()
        const rows = yield* readAll(stream(opened, pagesAhead), once(5, opened.proxy.dribble(true)))
        assert.deepStrictEqual(rows, allReadings)
        yield* opened.proxy.dribble(false)
        yield* assertSound(opened)
      }))

    it.effect(`goes on where it was when they begin to come late, ${ahead}`, () =>
      Effect.gen(function*() {
        const opened = yield* open()
        const rows = yield* readAll(stream(opened, pagesAhead), once(8, opened.proxy.latency(300)))
        assert.deepStrictEqual(rows, allReadings)
        yield* opened.proxy.latency(0)
        yield* assertSound(opened)
      }))

    it.effect(`fails after whole pages when the node cannot be reached any more, ${ahead}`, () =>
      Effect.gen(function*() {
        const opened = yield* open()
        const { proxy, session } = opened
        const lose = Effect.orDie(untilNode("hostDown", session, Effect.andThen(proxy.refuse, proxy.cut)))
        yield* assertEndsAfterWholePages(stream(opened, pagesAhead), pagesAhead, lose, [
          "NoHostAvailable",
          "ConnectionError"
        ])
        yield* Effect.andThen(proxy.accept, awaitReady(opened))
        yield* assertSound(opened)
      }))

    it.effect(`fails after whole pages when each attempt at one has ended in silence, ${ahead}`, () =>
      Effect.gen(function*() {
        const opened = yield* open()
        const impatient = stream(opened, pagesAhead, { attemptTimeout: "200 millis" })
        yield* assertEndsAfterWholePages(impatient, pagesAhead, opened.proxy.swallow, ["ClientTimeout"])
        yield* assertIdle(opened)
        yield* opened.proxy.carry
      }))

    it.effect(`waits for a node that is away, when its policy says so, and goes on, ${ahead}`, () =>
      Effect.gen(function*() {
        const waiting = CqlRetry.make({
          decide: (failure) => failure.reason._tag === "NoHostAvailable" ? "retryLater" : CqlRetry.decide(failure),
          schedule: Schedule.spaced("20 millis")
        })
        const opened = yield* open({ retry: waiting })
        const { proxy, session } = opened
        const lose = Effect.orDie(untilNode("hostDown", session, Effect.andThen(proxy.refuse, proxy.cut)))
        const away = Effect.gen(function*() {
          yield* lose
          yield* Effect.forkChild(Effect.andThen(Effect.sleep("100 millis"), proxy.accept))
        })
        const reading = yield* Effect.forkChild(readAll(stream(opened, pagesAhead), once(4, away)))
        assert.deepStrictEqual(yield* Fiber.join(reading), allReadings)
        yield* assertSound(opened)
      }))
  }

  /** After `fault`, which comes in the middle: a beginning of all rows, and nothing of a page that did not come whole. */
  const assertEndsAfterWholePages = Effect.fnUntraced(function*(
    rows: Stream.Stream<Statement.Row, unknown>,
    pagesAhead: number,
    fault: Effect.Effect<unknown>,
    tags: ReadonlyArray<string>
  ) {
    const read: Array<Statement.Row> = []
    const faultAt = 50
    const error = yield* errorOf(Stream.runForEach(rows, (row) =>
      Effect.suspend(() => {
        read.push(row)
        return read.length === faultAt ? fault : Effect.void
      })))
    assert.include(tags, error.reason._tag)
    assert.deepStrictEqual(read, allReadings.slice(0, read.length))
    assert.strictEqual(read.length % pageSize, 0)
    assert.isAtLeast(read.length, faultAt)
    assert.isAtMost(read.length, faultAt + pagesAhead * pageSize + pageSize)
  })
})
