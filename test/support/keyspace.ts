/**
 * A keyspace of a test file's own, on the one real server of the run (the one that the environment names).
 *
 * What its tests create is in nobody's way, and goes with the keyspace when the last of them has ended.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "node:crypto"
import { Cluster, Session } from "../../src/index.ts"

const create = Effect.gen(function*() {
  const { cql } = yield* Session.makeFrom()
  const keyspace = `test_${Crypto.randomUUID().replaceAll("-", "")}`
  const name = cql.ident(keyspace)
  yield* Effect.acquireRelease(
    cql`CREATE KEYSPACE ${name} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
    // Dropping takes a snapshot first, which can take longer than a query may.
    () => Effect.orDie(cql`DROP KEYSPACE ${name}`)
  )
  return yield* Session.makeFrom({ keyspace })
})

/** A session in a keyspace that nobody else uses, and the cluster that it is on. */
export const layer: Layer.Layer<Session | Cluster> = Layer.effect(Session, create).pipe(
  Layer.provideMerge(Cluster.layerConfig()),
  Layer.orDie
)
