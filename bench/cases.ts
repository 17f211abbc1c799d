/**
 * What is measured: one piece of work, as a user of this library would write it and as one of the bare driver would.
 */
import cassandra from "cassandra-driver"
import type { CqlError, Session } from "effect-cassandra"
import { cql, CqlStream, Statement } from "effect-cassandra"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { recordSince } from "./latencies.ts"
import type { Reading } from "./tables.ts"
import {
  clustered,
  ReadingClass,
  readingCount,
  readingsOfBatch,
  ReadingStruct,
  readingValues,
  scattered,
  statements,
  User,
  users,
  userValues
} from "./tables.ts"

export type Failure = CqlError | CqlStream.NotWritten | Schema.SchemaError | Cause.NoSuchElementError

/** Both sides answer with a number that is made of all they have read, so that neither does less than the other. */
export interface Case {
  readonly name: string
  readonly title: string
  /** What is counted. */
  readonly unit: "query" | "batch" | "row"
  /** How many of them a block has. */
  readonly count: number
  /** How many are in flight at a time, where that is for us to say. */
  readonly inFlight?: number
  /** Whether a quick run has it. */
  readonly quick: boolean
  readonly library: Effect.Effect<number, Failure, Session>
  readonly driver: (client: cassandra.Client) => Promise<number>
}

// -----------------------------------------------------------------------------
// So many in flight
// -----------------------------------------------------------------------------

/** A query or a batch, of the `index`-th of a block. */
export interface Operation<A> {
  readonly library: (index: number) => Effect.Effect<A, Failure, Session>
  /** What an answer of the library adds to the sum that is compared. */
  readonly found: (answer: A) => number
  readonly driver: (client: cassandra.Client, index: number) => Promise<number>
}

const workers = (inFlight: number): ReadonlyArray<number> => Array.from({ length: inFlight }, (_, worker) => worker)

/** So many fibers, each of which asks again when it has its answer. */
export const byWorkers = <A>({ found, library }: Operation<A>, count: number, inFlight: number) =>
  Effect.suspend(() => {
    let next = 0
    let sum = 0
    const worker = Effect.gen(function*() {
      while (next < count) {
        const from = performance.now()
        const answer = yield* library(next++)
        recordSince(from)
        sum += found(answer)
      }
    })
    const all = Effect.forEach(workers(inFlight), () => worker, { concurrency: inFlight, discard: true })
    return Effect.map(all, () => sum)
  })

/** A fiber for every query. */
const byForEach = <A>({ found, library }: Operation<A>, count: number, inFlight: number) =>
  Effect.map(
    Effect.forEach(workers(count), library, { concurrency: inFlight }),
    (answers) => answers.reduce((sum, answer) => sum + found(answer), 0)
  )

/** So many promises, each of which asks again when it has its answer. */
export const byPromises = async (
  ask: (index: number) => Promise<number>,
  count: number,
  inFlight: number
): Promise<number> => {
  let next = 0
  let sum = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const from = performance.now()
      const found = await ask(next++)
      recordSince(from)
      sum += found
    }
  }
  await Promise.all(workers(inFlight).map(worker))
  return sum
}

interface PointOptions<A> {
  readonly name: string
  readonly title: string
  readonly unit?: "query" | "batch"
  readonly operation: Operation<A>
  readonly count: number
  readonly inFlight: number
  readonly keep?: typeof byWorkers
  readonly quick?: boolean
}

const point = <A>(options: PointOptions<A>): Case => {
  const { count, inFlight, keep = byWorkers, name, operation, quick = false, title, unit = "query" } = options
  return {
    name,
    title,
    unit,
    count,
    inFlight,
    quick,
    library: keep(operation, count, inFlight),
    driver: (client) => byPromises((index) => operation.driver(client, index), count, inFlight)
  }
}

/** A fifth of a second or so: the shorter the blocks, the more alike are the two halves of a pair. */
const countsByInFlight: ReadonlyArray<readonly [inFlight: number, count: number]> = [
  [1, 1000],
  [16, 4000],
  [256, 6000],
  [4096, 12_288]
]

interface Point<A> {
  readonly name: string
  readonly title: string
  readonly unit?: "query" | "batch"
  readonly operation: Operation<A>
  /** For what is slower than a query by so much. */
  readonly slower?: number
  /** In flight, those that a quick run has. */
  readonly quick: ReadonlyArray<number>
}

/** 256 in flight are what is mostly looked at, and have the bare name. */
const pointCases = <A>({ name, quick, slower = 1, title, ...rest }: Point<A>): ReadonlyArray<Case> =>
  countsByInFlight.map(([inFlight, count]) =>
    point({
      ...rest,
      name: inFlight === 256 ? name : `${name}-${inFlight}`,
      title: `${title}, ${inFlight.toLocaleString("en")} in flight`,
      count: Math.max(inFlight, Math.ceil(count / slower)),
      inFlight,
      quick: quick.includes(inFlight)
    })
  )

// -----------------------------------------------------------------------------
// Select, insert, lightweight transaction, batch
// -----------------------------------------------------------------------------

const prepared = { prepare: true }

/** In an order that no cache of rows helps with. */
const userAt = (index: number): User => users[(index * 2003) % users.length]!

const selectByDriver = async (client: cassandra.Client, index: number): Promise<number> =>
  (await client.execute(statements.selectUser, [userAt(index).id], prepared)).first()["age"]

export const selectUser: Operation<User> = {
  library: (index) =>
    cql(User)`SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users
      WHERE id = ${userAt(index).id}`.one,
  found: ({ age }) => age,
  driver: selectByDriver
}

const selectRow: Operation<{ readonly [column: string]: unknown }> = {
  library: (index) =>
    cql`SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ${userAt(index).id}`
      .one,
  found: ({ age }) => age as number,
  driver: selectByDriver
}

const insertByDriver = async (client: cassandra.Client, index: number): Promise<number> => {
  await client.execute(statements.insertUser, userValues(userAt(index)), prepared)
  return 1
}

const insertUser: Operation<unknown> = {
  library: (index) => {
    const { age, balance, id, joined, name, tags } = userAt(index)
    return cql`INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined)
      VALUES (${id}, ${name}, ${age}, ${balance}, ${tags}, ${joined})`
  },
  found: () => 1,
  driver: insertByDriver
}

const insertRow: Operation<unknown> = {
  library: (index) => {
    const { age, balance, id, joined, name, tags } = userAt(index)
    return cql`INSERT INTO effect_cassandra_bench.users ${cql.insert({ id, name, age, balance, tags, joined })}`
  },
  found: () => 1,
  driver: insertByDriver
}

/** Never applied: the row is there, and comes back. */
const claimUser: Operation<Statement.Applied<Option.Option<User>>> = {
  library: (index) => {
    const { age, balance, id, joined, name, tags } = userAt(index)
    return cql(User)`INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined)
      VALUES (${id}, ${name}, ${age}, ${balance}, ${tags}, ${joined}) IF NOT EXISTS`.applied
  },
  found: (claim) => claim.applied ? 0 : Option.getOrThrow(claim.current).age,
  driver: async (client, index) => {
    const result = await client.execute(statements.claimUser, userValues(userAt(index)), prepared)
    return result.wasApplied() ? 0 : result.first()["age"]
  }
}

const writeBatch: Operation<unknown> = {
  library: (index) =>
    Statement.batch(
      readingsOfBatch(index).map(({ at, place, sensor, sequence, value }) =>
        cql`INSERT INTO effect_cassandra_bench.written (sensor, at, place, value, sequence)
          VALUES (${sensor}, ${at}, ${place}, ${value}, ${sequence})`
      ),
      { type: "unlogged" }
    ),
  found: () => 1,
  driver: async (client, index) => {
    const queries = readingsOfBatch(index).map((reading) => ({
      query: statements.writeReading,
      params: readingValues(reading)
    }))
    await client.batch(queries, { prepare: true, logged: false })
    return 1
  }
}

/** The select of the class with any number in flight. */
export const selects = (inFlight: number, count: number): Case =>
  point({ name: `select-${inFlight}`, title: "select by key to a Class", operation: selectUser, count, inFlight })

const ofClass = {
  name: "select-for-each",
  title: "select to a Class by Effect.forEach, 256 in flight",
  operation: selectUser
}

const ofRow = { name: "insert-row", title: "insert by cql.insert(row), 256 in flight", operation: insertRow }

const points: ReadonlyArray<Case> = [
  ...pointCases({ name: "insert", title: "insert", operation: insertUser, quick: [1, 256] }),
  point({ ...ofRow, count: 6000, inFlight: 256 }),
  ...pointCases({ name: "select-row", title: "select by key", operation: selectRow, quick: [] }),
  ...pointCases({ name: "select", title: "select by key to a Class", operation: selectUser, quick: [1, 256] }),
  point({ ...ofClass, count: 6000, inFlight: 256, keep: byForEach })
]

/** Most of what these take is the server's. */
const slowPoints: ReadonlyArray<Case> = [
  ...pointCases({ name: "lwt", title: "insert if not exists", operation: claimUser, slower: 6, quick: [256] }),
  ...pointCases({
    name: "batch",
    title: "batch of 20 inserts",
    unit: "batch",
    operation: writeBatch,
    slower: 12,
    quick: [256]
  })
]

// -----------------------------------------------------------------------------
// Stream
// -----------------------------------------------------------------------------

const pageSize = 5000

type Consume = (sum: number, row: Pick<Reading, "sensor" | "at" | "place" | "value">) => number

const addUp: Consume = (sum, { value }) => sum + value

/** A microsecond or two for each row: it is made a line of JSON, of which a checksum is taken. */
const someWork: Consume = (sum, { at, place, sensor, value }) => {
  const line = JSON.stringify({ sensor, at, place, value })
  let checksum = 0
  for (let index = 0; index < line.length; index++) checksum = (checksum * 31 + line.charCodeAt(index)) | 0
  return sum + (checksum & 0xff)
}

/** The page size is the library's default too. */
const readByDriver = (consume: Consume) => async (client: cassandra.Client): Promise<number> => {
  let sum = 0
  const result = await client.execute(statements.selectReadings, [], { prepare: true, fetchSize: pageSize })
  for await (const row of result) sum = consume(sum, row as unknown as Reading)
  return sum
}

const stream = (
  name: string,
  title: string,
  schema: typeof ReadingStruct | typeof ReadingClass,
  consume: Consume,
  quick = true
): Case => ({
  name,
  title,
  unit: "row",
  count: readingCount,
  quick,
  library: Effect.suspend(() =>
    cql(schema)`SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.readings`.stream.pipe(
      Stream.runFold(() => 0, consume)
    )
  ),
  driver: readByDriver(consume)
})

const scan: Case = {
  name: "scan",
  title: "scan of 200,000 rows to a Struct, against a stream",
  unit: "row",
  count: readingCount,
  quick: true,
  library: Effect.suspend(() =>
    CqlStream.scan({ table: "effect_cassandra_bench.readings", schema: ReadingStruct }).pipe(
      Stream.runFold(() => 0, addUp)
    )
  ),
  driver: readByDriver(addUp)
}

const streams: ReadonlyArray<Case> = [
  stream("stream-struct", "stream of 200,000 rows to a Struct", ReadingStruct, addUp),
  stream("stream-class", "stream of 200,000 rows to a Class", ReadingClass, addUp),
  stream("stream-struct-work", "stream of 200,000 rows to a Struct, with work for each", ReadingStruct, someWork),
  stream("stream-class-work", "stream of 200,000 rows to a Class, with work for each", ReadingClass, someWork, false),
  scan
]

// -----------------------------------------------------------------------------
// Write
// -----------------------------------------------------------------------------

const write = (name: string, title: string, rows: ReadonlyArray<Reading>): Case => ({
  name,
  title,
  unit: "row",
  count: rows.length,
  quick: true,
  library: Effect.suspend(() =>
    Stream.run(
      Stream.fromIterable(rows),
      CqlStream.sink({ table: "effect_cassandra_bench.written", schema: ReadingStruct })
    )
  ),
  driver: async (client) => {
    const { totalExecuted } = await cassandra.concurrent.executeConcurrent(
      client,
      statements.writeReading,
      rows.map(readingValues)
    )
    return totalExecuted
  }
})

const writes: ReadonlyArray<Case> = [
  write("write-clustered", "bulk write of 10,000 rows, a partition after the other", clustered(10_000)),
  write("write-random", "bulk write of 10,000 rows in random order", scattered(10_000))
]

export const cases: ReadonlyArray<Case> = [...points, ...streams, ...writes, ...slowPoints]
