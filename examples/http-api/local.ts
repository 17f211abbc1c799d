/**
 * The service on a Cassandra of its own, with ten thousand users and some things to try.
 */
import { NodeRuntime } from "@effect/platform-node"
import { cql, CqlStream } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { User } from "./api.ts"
import { AppLive } from "./app.ts"
import { teardown } from "./draining.ts"
import { createTables } from "./tables.ts"

const createKeyspace = cql`CREATE KEYSPACE IF NOT EXISTS users
  WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`

/** The same ones each time. */
const tenThousandUsers = Stream.range(1, 10_000).pipe(
  Stream.map((n) =>
    new User({
      id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
      name: `User ${n}`,
      email: `user${n}@example.com`,
      version: "00000000-0000-4000-8000-000000000000",
      created: new Date(0)
    })
  ),
  Stream.run(CqlStream.sink({ table: "users", schema: User }))
)

const SessionLive = Layer.effectDiscard(Effect.andThen(createTables, tenThousandUsers)).pipe(
  Layer.provideMerge(CassandraServer.layerSession({ keyspace: "users", consistency: "localQuorum" })),
  Layer.provide(Layer.effectDiscard(createKeyspace).pipe(Layer.provide(CassandraServer.layerSession()))),
  Layer.provide(CassandraServer.layer())
)

const toTry = (url: string): string => `
The users are at ${url}/users, and their documentation at ${url}/docs. To try:

  curl -i ${url}/users -H 'content-type: application/json' -H 'idempotency-key: 1' \\
    -d '{"name":"Ada","email":"ada@example.com"}'
  curl -s '${url}/users?limit=2'
  curl -s ${url}/users/download | wc -l
  curl -s ${url}/users/import -H 'content-type: application/x-ndjson' \\
    -d '{"id":"0c5b1a2e-0c4c-4f1c-9a57-6a5f3f6b8c11","name":"Grace","email":"grace@example.com"}'
  curl -i ${url}/health/ready
  curl -s ${url}/metrics | grep cassandra_client_requests
`

const Invitation = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(toTry(address.replace("0.0.0.0", "localhost"))))
)

Invitation.pipe(
  Layer.provide(AppLive),
  Layer.provide(SessionLive),
  Layer.provide(
    ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ CURSOR_KEYS: crypto.randomUUID(), DRAIN_DELAY: "0 seconds" }))
  ),
  Layer.launch,
  NodeRuntime.runMain({ teardown })
)
