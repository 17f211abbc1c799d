/**
 * The tables. Whoever deploys makes them, once, and not each process as it starts.
 */
import { cql } from "effect-cassandra"
import * as Effect from "effect/Effect"

export const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE IF NOT EXISTS users (
    id uuid PRIMARY KEY, name text, email text, version uuid, created timestamp)`
  yield* cql`CREATE TABLE IF NOT EXISTS creations (
    key text PRIMARY KEY, body text, id uuid, version uuid, created timestamp)
    WITH default_time_to_live = 86400`
})
