/**
 * A keyspace of a test file's own, on the one real server of the run (the one that the environment names).
 */
import * as Layer from "effect/Layer"
import type { Cluster, Session } from "../../src/index.ts"
import { CassandraServer } from "../../src/testing/index.ts"

/** A session in a keyspace that nobody else uses, and the cluster that it is on. */
export const layer: Layer.Layer<Session | Cluster> = CassandraServer.layerKeyspace().pipe(
  Layer.provide(CassandraServer.layer()),
  Layer.orDie
)
