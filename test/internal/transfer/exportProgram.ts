/**
 * A process that exports a table to a directory, goes on where one before it was killed, and says so for each page.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cluster, CqlExport, CqlType, Session, Statement } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const [keyspace, table, path] = process.argv.slice(2)

const Row = Schema.Struct({ k: CqlType.Int, c: CqlType.Int, v: CqlType.Nullable(Schema.String) })

const program = Effect.gen(function*() {
  const session = yield* Session.makeFrom({ keyspace: keyspace! })
  const progress: Effect.Effect<void> = Effect.callback((resume) => {
    process.stdout.write(".", () => setImmediate(() => resume(Effect.void)))
  })
  yield* CqlExport.toDirectory({
    table: table!,
    schema: Row,
    path: path!,
    existing: "resume",
    ranges: 60,
    checkpointInterval: "1 millis",
    onProgress: () => progress
  }).pipe(Statement.provideOptions({ pageSize: 100 }), Effect.provideService(Session, session))
})

await Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide(Cluster.layerConfig()), Effect.provide(NodeServices.layer))
)
