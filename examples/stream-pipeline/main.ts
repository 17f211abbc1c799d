/**
 * Sensor readings in, hours out. See README.md.
 */
import { NodeRuntime } from "@effect/platform-node"
import { cql } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { aggregate } from "./aggregate.ts"
import { ingest } from "./ingest.ts"
import { progressBar } from "./progress.ts"
import { createTables, HourOfSensor } from "./tables.ts"

const total = Config.Int("READINGS").pipe(Config.withDefault(200_000))

const program = Effect.gen(function*() {
  const readings = yield* total
  yield* createTables

  const writing = progressBar("readings")
  const written = yield* ingest(readings, (offset) => writing(offset, readings))

  const scanning = progressBar("ranges  ")
  const hours = yield* aggregate(scanning)
  yield* Console.log(`${written.toLocaleString("en")} readings written, ${hours.toLocaleString("en")} hours`)

  const latest = yield* cql(HourOfSensor)`SELECT * FROM hours WHERE sensor = ${7} LIMIT 3`
  for (const { highest, hour, lowest, mean } of latest) {
    yield* Console.log(
      `sensor 7, ${hour.toISOString()}: ${lowest.toFixed(1)} to ${highest.toFixed(1)}, mean ${mean.toFixed(2)}`
    )
  }
})

const createKeyspace = cql`CREATE KEYSPACE IF NOT EXISTS pipeline
  WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`

// In an application of yours, Session.layerConfig() alone.
const ServerLive = CassandraServer.layer()
const SessionLive = CassandraServer.layerSession({ keyspace: "pipeline" }).pipe(
  Layer.provide(Layer.effectDiscard(createKeyspace).pipe(Layer.provide(CassandraServer.layerSession()))),
  Layer.provide(ServerLive)
)

program.pipe(Effect.provide(SessionLive), NodeRuntime.runMain)
