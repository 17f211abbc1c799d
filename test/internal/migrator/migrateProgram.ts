/**
 * A process that applies migrations: each counts how often it ran. With "hang" the second of them does not end.
 */
import { Cluster, cql, CqlMigrator, Session } from "effect-cassandra"
import * as Effect from "effect/Effect"

const [keyspace, mode] = process.argv.slice(2)

const say = (text: string): Effect.Effect<void> =>
  Effect.callback((resume) => void process.stdout.write(`${text}\n`, () => resume(Effect.void)))

const counted = (id: number) => cql`UPDATE runs SET count = count + ${1n} WHERE id = ${id}`

const hanging = Effect.andThen(say("running"), Effect.never)

const loader = CqlMigrator.fromRecord({
  "1_runs": cql`CREATE TABLE runs (id int PRIMARY KEY, count counter)`,
  "2_second": mode === "hang" ? hanging : counted(2),
  "3_third": counted(3),
  "4_table": `CREATE TABLE fourth (id int PRIMARY KEY); UPDATE runs SET count = count + 1 WHERE id = 4`,
  "5_fifth": counted(5)
})

const program = Effect.gen(function*() {
  const session = yield* Session.makeFrom({ keyspace: keyspace! })
  yield* say("ready")
  yield* Effect.callback((resume) => void process.stdin.once("data", () => resume(Effect.void)))
  const applied = yield* CqlMigrator.run({ loader, lease: "10 seconds" }).pipe(Effect.provideService(Session, session))
  yield* say(`applied ${applied.map(({ id }) => id).join(" ")}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Cluster.layerConfig())))
process.exit()
