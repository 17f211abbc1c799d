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

/** As many as the protocol allows; the driver refuses what is more than its default of 2,048. */
const widest = { maxRequestsPerConnection: 32_767 }

/** The driver as it comes: no option is set that is not needed to connect, or to have so many in flight. */
const makeClient = (
  { contactPoints, credentials, localDataCenter, port }: CassandraServer["Service"],
  inFlight: number
) =>
  new cassandra.Client({
    contactPoints: [...contactPoints],
    localDataCenter,
    protocolOptions: { port },
    ...(inFlight > 2048 && { pooling: widest }),
    ...(credentials && {
      credentials: { username: credentials.username, password: Redacted.value(credentials.password) }
    })
  })

/** A client that is connected. */
export const bareClient = (inFlight = 1) =>
  Effect.flatMap(CassandraServer, (server) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const client = makeClient(server, inFlight)
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.shutdown())
    ))

/** The same, with the tables filled. */
export const driverClient = Effect.tap(bareClient(), (client) => Effect.promise(() => load(client)))
