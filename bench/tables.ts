/**
 * The tables that both sides read and write, and their rows: the same in every run.
 */
import cassandra from "cassandra-driver"
import { CqlType } from "effect-cassandra"
import * as Schema from "effect/Schema"

export const keyspace = "effect_cassandra_bench"

export class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.String,
  age: CqlType.Int,
  balance: CqlType.Double,
  tags: CqlType.Set(CqlType.Text),
  joined: CqlType.Timestamp
}) {}

const readingFields = {
  sensor: CqlType.Int,
  at: CqlType.Timestamp,
  place: Schema.String,
  value: CqlType.Double,
  sequence: CqlType.BigInt
}

export const ReadingStruct = Schema.Struct(readingFields)

export class ReadingClass extends Schema.Class<ReadingClass>("Reading")(readingFields) {}

const firstDay = Date.UTC(2026, 0, 1)

const idOf = (index: number): string => `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`

const userOf = (index: number): User =>
  new User({
    id: idOf(index),
    name: `user number ${index}`,
    age: 18 + index % 80,
    balance: index / 7,
    tags: new Set([`team-${index % 12}`, `floor-${index % 5}`, "member"]),
    joined: new Date(firstDay + index * 1000)
  })

export const users: ReadonlyArray<User> = Array.from({ length: 5000 }, (_, index) => userOf(index))

const sensors = 100
const readingsOfSensor = 2000

export const readingCount = sensors * readingsOfSensor

export type Reading = typeof ReadingStruct.Type

export const readingOf = (sensor: number, index: number): Reading => ({
  sensor,
  at: new Date(firstDay + index * 60_000),
  place: `hall ${sensor % 8}`,
  value: sensor + index / 1000,
  sequence: BigInt(sensor * readingsOfSensor + index)
})

/** What the driver takes for a reading. */
export const readingValues = ({ at, place, sensor, sequence, value }: Reading): Array<unknown> => [
  sensor,
  at,
  place,
  value,
  cassandra.types.Long.fromString(String(sequence))
]

/** Of a few hundred sensors: a partition after the other, or as they would come from all of them at once. */
export const clustered = (count: number): ReadonlyArray<Reading> =>
  Array.from({ length: count }, (_, index) => readingOf(Math.floor(index / 100), index % 100))

export const scattered = (count: number): ReadonlyArray<Reading> => {
  const partitions = 977
  return Array.from(
    { length: count },
    (_, index) => readingOf((index * 409) % partitions, Math.floor(index / partitions))
  )
}

const batches: ReadonlyArray<ReadonlyArray<Reading>> = Array.from(
  { length: 1000 },
  (_, sensor) => Array.from({ length: 20 }, (_, index) => readingOf(sensor, index))
)

/** Twenty of one partition. */
export const readingsOfBatch = (index: number): ReadonlyArray<Reading> => batches[index % batches.length]!

const schema = [
  `CREATE KEYSPACE IF NOT EXISTS ${keyspace}
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  `CREATE TABLE IF NOT EXISTS ${keyspace}.users (
    id uuid PRIMARY KEY, name text, age int, balance double, tags set<text>, joined timestamp)`,
  `CREATE TABLE IF NOT EXISTS ${keyspace}.readings (
    sensor int, at timestamp, place text, value double, sequence bigint, PRIMARY KEY (sensor, at))`,
  `CREATE TABLE IF NOT EXISTS ${keyspace}.written (
    sensor int, at timestamp, place text, value double, sequence bigint, PRIMARY KEY (sensor, at))`
]

/** The statements that the driver's side sends; the library's are in `cases.ts`, as a user would write them. */
export const statements = {
  insertUser: `INSERT INTO ${keyspace}.users (id, name, age, balance, tags, joined) VALUES (?, ?, ?, ?, ?, ?)`,
  selectUser: `SELECT id, name, age, balance, tags, joined FROM ${keyspace}.users WHERE id = ?`,
  claimUser:
    `INSERT INTO ${keyspace}.users (id, name, age, balance, tags, joined) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS`,
  selectReadings: `SELECT sensor, at, place, value, sequence FROM ${keyspace}.readings`,
  writeReading: `INSERT INTO ${keyspace}.written (sensor, at, place, value, sequence) VALUES (?, ?, ?, ?, ?)`
}

/** What the driver takes for a user: an array where the library takes a `Set`. */
export const userValues = (user: User): Array<unknown> => [
  user.id,
  user.name,
  user.age,
  user.balance,
  [...user.tags],
  user.joined
]

const insertReading = `INSERT INTO ${keyspace}.readings (sensor, at, place, value, sequence) VALUES (?, ?, ?, ?, ?)`

const batchSize = 50

/** Creates what is missing. On a server that a run has used before, that is nothing. */
export const load = async (client: cassandra.Client): Promise<void> => {
  for (const statement of schema) await client.execute(statement)
  for (const user of users) await client.execute(statements.insertUser, userValues(user), { prepare: true })
  const counts = Array.from({ length: sensors }, (_, sensor) => sensor)
  await Promise.all(counts.map((sensor) => loadSensor(client, sensor)))
}

const loadSensor = async (client: cassandra.Client, sensor: number): Promise<void> => {
  const counted = await client.execute(`SELECT count(*) FROM ${keyspace}.readings WHERE sensor = ${sensor}`)
  if (Number(counted.first()["count"]) === readingsOfSensor) return
  for (let from = 0; from < readingsOfSensor; from += batchSize) {
    const batch = Array.from({ length: batchSize }, (_, index) => ({
      query: insertReading,
      params: readingValues(readingOf(sensor, from + index))
    }))
    await client.batch(batch, { prepare: true, logged: false })
  }
}
