/**
 * What is measured: one piece of work, as a user of this library would write it and as one of the bare driver would.
 */
import cassandra from "cassandra-driver"
import type { CqlError, Session } from "effect-cassandra"
import { cql, CqlStream } from "effect-cassandra"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Reading } from "./tables.ts"
import {
  clustered,
  ReadingClass,
  readingCount,
  ReadingStruct,
  readingValues,
  scattered,
  statements,
  User,
  users,
  userValues
} from "./tables.ts"

type Failure = CqlError | CqlStream.NotWritten | Schema.SchemaError | Cause.NoSuchElementError

/** Both sides answer with a number that is made of all they have read, so that neither does less than the other. */
export interface Case {
  readonly name: string
  readonly title: string
  /** What is counted. */
  readonly unit: "query" | "row"
  /** How many of them a block has. */
  readonly count: number
  readonly library: Effect.Effect<number, Failure, Session>
  readonly driver: (client: cassandra.Client) => Promise<number>
}

const inFlight = 256

const workers = Array.from({ length: inFlight }, (_, worker) => worker)

const prepared = { prepare: true }

/** The same users on both sides, in an order that no cache of rows helps with. */
const someUsers = (count: number): ReadonlyArray<User> =>
  Array.from({ length: count }, (_, index) => users[(index * 2003) % users.length]!)

// -----------------------------------------------------------------------------
// How 256 are kept in flight
// -----------------------------------------------------------------------------

type Ask<A> = (user: User) => Effect.Effect<A, Failure, Session>

/** 256 fibers, each of which asks again when it has its answer. */
const byWorkers = <A>(asked: ReadonlyArray<User>, ask: Ask<A>): Effect.Effect<ReadonlyArray<A>, Failure, Session> =>
  Effect.suspend(() => {
    const answers: Array<A> = []
    let next = 0
    const worker = Effect.gen(function*() {
      while (next < asked.length) answers.push(yield* ask(asked[next++]!))
    })
    return Effect.as(Effect.forEach(workers, () => worker, { concurrency: inFlight, discard: true }), answers)
  })

/** A fiber for every query. */
const byForEach = <A>(asked: ReadonlyArray<User>, ask: Ask<A>): Effect.Effect<ReadonlyArray<A>, Failure, Session> =>
  Effect.forEach(asked, ask, { concurrency: inFlight })

/** 256 promises, each of which asks again when it has its answer. */
const byPromises = async <A>(
  asked: ReadonlyArray<User>,
  ask: (user: User) => Promise<A>
): Promise<ReadonlyArray<A>> => {
  const answers: Array<A> = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < asked.length) answers.push(await ask(asked[next++]!))
  }
  await Promise.all(workers.map(worker))
  return answers
}

// -----------------------------------------------------------------------------
// Select and insert
// -----------------------------------------------------------------------------

const selectUser: Ask<User> = ({ id }) =>
  cql(User)`SELECT id, name, age, balance, tags, joined FROM effect_cassandra_bench.users WHERE id = ${id}`.one

const insertUser: Ask<unknown> = ({ age, balance, id, joined, name, tags }) =>
  cql`INSERT INTO effect_cassandra_bench.users (id, name, age, balance, tags, joined)
    VALUES (${id}, ${name}, ${age}, ${balance}, ${tags}, ${joined})`

const insertRow: Ask<unknown> = ({ age, balance, id, joined, name, tags }) =>
  cql`INSERT INTO effect_cassandra_bench.users ${cql.insert({ id, name, age, balance, tags, joined })}`

const sumOfAges = (answers: ReadonlyArray<{ readonly [column: string]: unknown } | User>): number =>
  answers.reduce((sum, user) => sum + (user as User).age, 0)

type Keep = typeof byWorkers

const select = (name: string, title: string, count: number, keep: Keep): Case => ({
  name,
  title,
  unit: "query",
  count,
  library: Effect.map(Effect.suspend(() => keep(someUsers(count), selectUser)), sumOfAges),
  driver: async (client) => {
    const ask = async ({ id }: User) => (await client.execute(statements.selectUser, [id], prepared)).first()
    return sumOfAges(await byPromises(someUsers(count), ask))
  }
})

const insert = (name: string, title: string, count: number, keep: Keep, ask: Ask<unknown>): Case => ({
  name,
  title,
  unit: "query",
  count,
  library: Effect.map(Effect.suspend(() => keep(someUsers(count), ask)), (answers) => answers.length),
  driver: async (client) => {
    const ask = (user: User) => client.execute(statements.insertUser, userValues(user), prepared)
    return (await byPromises(someUsers(count), ask)).length
  }
})

// -----------------------------------------------------------------------------
// Stream
// -----------------------------------------------------------------------------

const pageSize = 5000

/** The page size is the library's default too. */
const readByDriver = async (client: cassandra.Client): Promise<number> => {
  let sum = 0
  const result = await client.execute(statements.selectReadings, [], { prepare: true, fetchSize: pageSize })
  for await (const row of result) sum += row["value"]
  return sum
}

const stream = (name: string, title: string, schema: typeof ReadingStruct | typeof ReadingClass): Case => ({
  name,
  title,
  unit: "row",
  count: readingCount,
  library: Effect.suspend(() =>
    cql(schema)`SELECT sensor, at, place, value, sequence FROM effect_cassandra_bench.readings`.stream.pipe(
      Stream.runFold(() => 0, (sum, reading) => sum + reading.value)
    )
  ),
  driver: readByDriver
})

const scan: Case = {
  name: "scan",
  title: "scan of 200,000 rows to a Struct, against a stream",
  unit: "row",
  count: readingCount,
  library: Effect.suspend(() =>
    CqlStream.scan({ table: "effect_cassandra_bench.readings", schema: ReadingStruct }).pipe(
      Stream.runFold(() => 0, (sum, reading) => sum + reading.value)
    )
  ),
  driver: readByDriver
}

// -----------------------------------------------------------------------------
// Write
// -----------------------------------------------------------------------------

const write = (name: string, title: string, rows: ReadonlyArray<Reading>): Case => ({
  name,
  title,
  unit: "row",
  count: rows.length,
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

/** A fifth of a second or so: the shorter the blocks, the more alike are the two halves of a pair. */
const queries = 6000

export const cases: ReadonlyArray<Case> = [
  select("select", "select by key to a Class, 256 fibers", queries, byWorkers),
  select("select-for-each", "the same, by Effect.forEach", queries, byForEach),
  insert("insert", "insert, 256 fibers", queries, byWorkers, insertUser),
  insert("insert-row", "the same, by cql.insert(row)", queries, byWorkers, insertRow),
  stream("stream-struct", "stream of 200,000 rows to a Struct", ReadingStruct),
  stream("stream-class", "the same, to a Class", ReadingClass),
  scan,
  write("write-clustered", "10,000 rows, a partition after the other", clustered(10_000)),
  write("write-random", "10,000 rows in random order", scattered(10_000))
]
