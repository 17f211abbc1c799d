/**
 * The table of the migrations: one partition, in which every write has a condition, and every read is serial. The lock is
 * in its static columns, so that beginning a migration and holding the lock are one condition.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { hostname } from "node:os"
import type { CqlError } from "../../CqlError.ts"
import * as CqlType from "../../CqlType.ts"
import type { Begun, Holder, Recorded } from "../../Migrator.ts"
import type { Session } from "../../Session.ts"
import * as Statement from "../../Statement.ts"
import type { MigrationError, Named } from "./error.ts"
import * as Errors from "./error.ts"

/** In the order of their ids. */
export interface Contents {
  readonly applied: ReadonlyArray<Recorded>
  readonly begun: ReadonlyArray<Begun>
  /** Who has the lock now. */
  readonly holder: Holder | undefined
}

export interface Run {
  readonly id: number
  readonly name: string
  readonly checksum: string | undefined
}

/** What is done with the table; `owner` is a run of migrations. */
export interface Book {
  /** Nothing, where there is no table. */
  readonly read: Effect.Effect<Contents, CqlError>
  readonly create: Effect.Effect<void, CqlError>
  /** `undefined` when the lock is taken; or who has it. */
  readonly acquire: (owner: string) => Effect.Effect<Holder | undefined, CqlError>
  /** Whether the owner has still had the lock. */
  readonly renew: (owner: string) => Effect.Effect<boolean, CqlError>
  readonly release: (owner: string) => Effect.Effect<void, CqlError>
  /** Whether it is recorded; not when the owner has lost the lock. */
  readonly begin: (owner: string, run: Run) => Effect.Effect<boolean, CqlError>
  /** Whether it is recorded; not when somebody else has begun it since. */
  readonly finish: (owner: string, run: Run, duration: Duration.Duration) => Effect.Effect<boolean, CqlError>
}

export interface BookOptions {
  readonly table: string
  readonly leaseSeconds: number
  readonly serialConsistency: "serial" | "localSerial"
}

const thisProcess = `process ${process.pid} on ${hostname()}`

const Row = Schema.Struct({
  id: CqlType.Nullable(CqlType.BigInt),
  name: CqlType.Nullable(Schema.String),
  checksum: CqlType.Nullable(Schema.String),
  state: CqlType.Nullable(Schema.String),
  process: CqlType.Nullable(Schema.String),
  owner: CqlType.Nullable(CqlType.Uuid),
  begun_at: CqlType.Nullable(CqlType.Timestamp),
  applied_at: CqlType.Nullable(CqlType.Timestamp),
  duration_millis: CqlType.Nullable(CqlType.BigInt),
  lock_owner: CqlType.Nullable(CqlType.Uuid),
  lock_process: CqlType.Nullable(Schema.String),
  lock_ttl: CqlType.Nullable(CqlType.Int)
})

type Row = typeof Row.Type

export const make = (
  session: Session["Service"],
  options: BookOptions
): Effect.Effect<Book, MigrationError<never>> =>
  session.keyspace === undefined
    ? Errors.fail(
      new Errors.NoKeyspace({
        message: "the session has no keyspace, in which the migrations would be recorded: set its option keyspace"
      })
    )
    : Effect.succeed(bookIn(session, session.keyspace, options))

const bookIn = (
  { cluster, cql }: Session["Service"],
  keyspace: string,
  { leaseSeconds, serialConsistency, table }: BookOptions
): Book => {
  const name = cql.ident(keyspace, table)
  const ttl = cql.using({ ttl: Duration.seconds(leaseSeconds) })
  const commit = serialConsistency === "serial" ? "quorum" : "localQuorum"

  const read = Statement.withOptions(
    cql(Row)`SELECT id, name, checksum, state, process, owner, begun_at, applied_at, duration_millis, lock_owner,
      lock_process, TTL(lock_owner) AS lock_ttl FROM ${name} WHERE key = 'migrations'`,
    { ...limits, consistency: serialConsistency, maxRows: 1_000_000, pageSize: 5000 }
  ).pipe(Effect.catchTag("SchemaError", Effect.die), alone)

  const isOurs = (owner: string, id: number, state: string): Effect.Effect<boolean, CqlError> =>
    Effect.map(read, (rows) => rows.some((row) => row.id === BigInt(id) && row.owner === owner && row.state === state))

  const write = (statement: Statement.Statement<unknown, CqlError>): Effect.Effect<boolean, CqlError> =>
    Statement.withOptions(statement, { ...limits, consistency: commit, serialConsistency, idempotent: false })
      .applied.pipe(Effect.map(({ applied }) => applied), alone)

  const holder = Effect.map(read, holderIn)

  const isHeldBy = (owner: string): Effect.Effect<boolean, CqlError> =>
    Effect.map(holder, (holder) => holder?.owner === owner)

  const create = Effect.flatMap(cluster.nodes, (nodes) =>
    cql`CREATE TABLE IF NOT EXISTS ${name} (
      key text, id bigint, name text, checksum text, state text, process text, owner uuid, begun_at timestamp,
      applied_at timestamp, duration_millis bigint, lock_owner uuid STATIC, lock_process text STATIC,
      PRIMARY KEY (key, id)
    )`.pipe(Statement.withOptions({ node: oneFor(nodes), timeout: "1 minute" }), Effect.asVoid, alone))

  return {
    read: Effect.flatMap(
      cluster.table(keyspace, table),
      (found) => Option.isNone(found) ? Effect.succeed(nothing) : Effect.map(onceKnown(read), contentsOf)
    ),
    create: Effect.flatMap(cluster.table(keyspace, table), (found) => Option.isSome(found) ? Effect.void : create).pipe(
      Effect.andThen(onceKnown(read)),
      Effect.asVoid
    ),
    acquire: (owner) =>
      decided(
        write(
          cql`UPDATE ${name} ${ttl} SET lock_owner = ${owner}, lock_process = ${thisProcess} WHERE key = 'migrations'
          IF lock_owner = NULL`
        ),
        isHeldBy(owner)
      ).pipe(
        Effect.flatMap((held) => held ? Effect.succeed(undefined) : Effect.map(holder, (holder) => holder ?? nobody))
      ),
    renew: (owner) =>
      write(cql`UPDATE ${name} ${ttl} SET lock_owner = ${owner}, lock_process = ${thisProcess} WHERE key = 'migrations'
        IF lock_owner = ${owner}`),
    release: (owner) =>
      Effect.asVoid(
        write(cql`DELETE lock_owner, lock_process FROM ${name} WHERE key = 'migrations' IF lock_owner = ${owner}`)
      ),
    begin: (owner, { checksum = null, id, name: called }) =>
      decided(
        write(cql`UPDATE ${name} SET name = ${called}, checksum = ${checksum}, state = 'begun', owner = ${owner},
          process = ${thisProcess}, begun_at = toTimestamp(now()) WHERE key = 'migrations' AND id = ${BigInt(id)}
          IF lock_owner = ${owner}`),
        isOurs(owner, id, "begun")
      ),
    finish: (owner, { id }, duration) =>
      decided(
        write(cql`UPDATE ${name} SET state = 'applied', applied_at = toTimestamp(now()),
          duration_millis = ${BigInt(Math.round(Duration.toMillis(duration)))} WHERE key = 'migrations' AND id = ${
          BigInt(id)
        }
          IF owner = ${owner}`),
        isOurs(owner, id, "applied")
      )
  }
}

/** Of a question to a table as small as this: the lease must not end while one is waited for. */
const limits = { timeout: "10 seconds", attemptTimeout: "5 seconds", hedge: false } as const

/** Options of the region of the program are those of the migrations. */
const alone = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Statement.CurrentOptions, [])

/** A node lists a table a moment before it knows it, and others hear of it later. */
const onceKnown: <A>(effect: Effect.Effect<A, CqlError>) => Effect.Effect<A, CqlError> = Effect.retry({
  while: ({ reason }: CqlError) => reason._tag === "InvalidQuery",
  schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo({ times: 20 }))
})

// --- conditional writes

/** As far as this process knows, it may have been applied or not, and may still be. */
const unknown: ReadonlySet<CqlError["reason"]["_tag"]> = new Set([
  "CasWriteUnknown",
  "WriteTimeout",
  "WriteFailure",
  "ReadTimeout",
  "Unavailable",
  "ServerError",
  "Overloaded",
  "ClientTimeout",
  "ConnectionError"
])

const isUnknown = ({ reason }: CqlError): boolean => unknown.has(reason._tag)

/** Where nobody knows whether it was applied, a serial read tells: then it is, or it is tried again. */
const decided = (
  write: Effect.Effect<boolean, CqlError>,
  isDone: Effect.Effect<boolean, CqlError>
): Effect.Effect<boolean, CqlError> =>
  write.pipe(
    // Not applied may be that an earlier one of these was, and has changed what it is compared with.
    Effect.flatMap((applied) => applied ? Effect.succeed(true) : isDone),
    Effect.catchIf(
      isUnknown,
      (error) => Effect.flatMap(isDone, (done) => done ? Effect.succeed(true) : Effect.fail(error))
    ),
    Effect.retry({ while: isUnknown, schedule: fewTimes })
  )

const fewTimes = Schedule.spaced("200 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 5 }))

// --- rows

const nothing: Contents = { applied: [], begun: [], holder: undefined }

/** A partition without a migration has a row all the same, of its static columns. */
const contentsOf = (rows: ReadonlyArray<Row>): Contents => ({
  applied: rows.filter(({ state }) => state === "applied").map((row) => ({
    ...namedOf(row),
    checksum: row.checksum ?? undefined,
    process: row.process ?? "",
    durationMillis: Number(row.duration_millis ?? 0),
    appliedAt: row.applied_at ?? new Date(0)
  })),
  begun: rows.filter(({ state }) => state === "begun").map((row) => ({
    ...namedOf(row),
    process: row.process ?? "",
    begunAt: row.begun_at ?? new Date(0)
  })),
  holder: holderIn(rows)
})

const namedOf = ({ id, name }: Row): Named => ({ id: Number(id), name: name ?? "" })

const holderIn = ([row]: ReadonlyArray<Row>): Holder | undefined =>
  row === undefined || row.lock_owner === null
    ? undefined
    : { owner: row.lock_owner, process: row.lock_process ?? "", expiresInSeconds: row.lock_ttl ?? 0 }

/** Whose lease has ended since, or who has let go. */
const nobody: Holder = { owner: "", process: "nobody any more", expiresInSeconds: 0 }

/**
 * The same one for all who create the table at a time: two nodes, asked at the same moment, would each make one of its
 * own, under one name.
 */
const oneFor = (nodes: ReadonlyArray<Node>): string | undefined =>
  nodes.filter(({ isLocal, isUp, openConnections }) => isLocal && isUp && openConnections > 0)
    .toSorted((a, b) => a.hostId < b.hostId ? -1 : 1)[0]?.address

interface Node {
  readonly address: string
  readonly hostId: string
  readonly isLocal: boolean
  readonly isUp: boolean
  readonly openConnections: number
}
