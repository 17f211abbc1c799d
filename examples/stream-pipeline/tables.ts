/**
 * The tables of the pipeline, and the classes of their rows.
 */
import { cql, CqlType } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * A partition is a sensor's day: it ends by itself, and never grows beyond what a server likes (some 100 MB). What is
 * asked for by time is asked for day by day.
 */
export class Reading extends Schema.Class<Reading>("Reading")({
  sensor: CqlType.Int,
  day: CqlType.Date,
  at: CqlType.Timestamp,
  celsius: CqlType.Double
}) {}

export class HourOfSensor extends Schema.Class<HourOfSensor>("HourOfSensor")({
  sensor: CqlType.Int,
  hour: CqlType.Timestamp,
  readings: CqlType.Int,
  lowest: CqlType.Double,
  highest: CqlType.Double,
  mean: CqlType.Double
}) {}

export const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE IF NOT EXISTS readings (
    sensor int, day date, at timestamp, celsius double,
    PRIMARY KEY ((sensor, day), at))`
  yield* cql`CREATE TABLE IF NOT EXISTS hours (
    sensor int, hour timestamp, readings int, lowest double, highest double, mean double,
    PRIMARY KEY (sensor, hour)) WITH CLUSTERING ORDER BY (hour DESC)`
  yield* cql`CREATE TABLE IF NOT EXISTS places (job text PRIMARY KEY, place text)`
})
