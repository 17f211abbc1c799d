/**
 * A session of the library and a client of the driver, on the same server, each with connections of its own.
 */
import cassandra from "cassandra-driver"
import { CassandraServer } from "effect-cassandra/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { load } from "./tables.ts"

export const ServerLive = CassandraServer.layer()

export const ClientsLive = CassandraServer.layerSession().pipe(Layer.provideMerge(ServerLive))

/** The driver as it comes: no option is set that is not needed to connect. */
const makeClient = (
  { contactPoints, credentials, localDataCenter, port }: CassandraServer["Service"]
) =>
  new cassandra.Client({
    contactPoints: [...contactPoints],
    localDataCenter,
    protocolOptions: { port },
    ...(credentials && {
      credentials: { username: credentials.username, password: Redacted.value(credentials.password) }
    })
  })

/** A client that is connected, with the tables filled. */
export const driverClient = Effect.flatMap(CassandraServer, (server) =>
  Effect.acquireRelease(
    Effect.sync(() => makeClient(server)),
    (client) => Effect.promise(() => client.shutdown())
  ).pipe(Effect.tap((client) =>
    Effect.promise(async () => {
      await client.connect()
      await load(client)
    })
  )))
