/**
 * A run of migrations: what there is to do, under the lock, one after the other.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { CqlError } from "../../CqlError.ts"
import type { Status } from "../../Migrator.ts"
import { Session } from "../../Session.ts"
import * as Check from "../check.ts"
import * as Names from "../cql/names.ts"
import * as Agreement from "./agreement.ts"
import type { Book } from "./bookkeeping.ts"
import * as Bookkeeping from "./bookkeeping.ts"
import type { Applied, MigrationError, Named } from "./error.ts"
import * as Errors from "./error.ts"
import * as Lock from "./lock.ts"
import type { AnyMigration, AnyOptions, Plan } from "./plan.ts"
import * as Plans from "./plan.ts"

export const defaultTable = "effect_cassandra_migrations"

/** Below it, what is lost to whole seconds of the server would be too much of it. */
const shortestLease = 3

const checks = (options: AnyOptions): ReadonlyArray<Check.Check> => [
  {
    field: "loader",
    expected: "a loader: CqlMigrator.fromRecord, fromGlob or fromFileSystem",
    holds: Effect.isEffect(options.loader)
  },
  {
    field: "table",
    expected: "the name of a table, without a keyspace",
    holds: options.table === undefined || tableNamed(options.table) !== undefined
  },
  Check.duration("lease", options.lease),
  {
    field: "lease",
    expected: `a duration from ${shortestLease} seconds on`,
    holds: options.lease === undefined ||
      Option.exists(Duration.fromInput(options.lease), (lease) => Duration.toSeconds(lease) >= shortestLease)
  },
  {
    field: "waitForLock",
    expected: "a Schedule",
    holds: options.waitForLock === undefined || Schedule.isSchedule(options.waitForLock)
  },
  Check.duration("schemaAgreementTimeout", options.schemaAgreementTimeout),
  Check.oneOf("serialConsistency", options.serialConsistency, ["serial", "localSerial"]),
  Check.boolean("allowGaps", options.allowGaps),
  Check.boolean("allowOutOfOrder", options.allowOutOfOrder),
  Check.oneOf("halfApplied", options.halfApplied, ["refuse", "runAgain"])
]

const tableNamed = (table: string): string | undefined => {
  const parsed = Names.parse(table)
  return parsed === undefined || parsed.keyspace !== undefined ? undefined : parsed.name
}

/** What a run has, until it has the lock. */
interface Prepared {
  readonly session: Session["Service"]
  readonly book: Book
  readonly migrations: ReadonlyArray<AnyMigration>
  readonly plan: Plan
}

const prepare = Effect.fnUntraced(function*(
  options: AnyOptions
): Effect.fn.Return<Prepared, CqlError | MigrationError<never>, any> {
  yield* Check.all(checks(options))
  const session = yield* Session
  const book = yield* Bookkeeping.make(session, {
    table: tableNamed(options.table ?? defaultTable)!,
    leaseSeconds: leaseOf(options),
    serialConsistency: options.serialConsistency ?? "serial"
  })
  const migrations = yield* Plans.inOrder(yield* options.loader, options)
  return { session, book, migrations, plan: Plans.compare(migrations, yield* book.read) }
})

/** The server's TTL is in whole seconds. */
const leaseOf = ({ lease = "30 seconds" }: AnyOptions): number => Math.ceil(Duration.toSeconds(lease))

export const status = (options: AnyOptions): Effect.Effect<Status, CqlError | MigrationError<never>, any> =>
  Effect.map(prepare(options), ({ plan }) => ({ ...plan, pending: plan.pending.map(Plans.named) }))

type Failure = CqlError | MigrationError<any>

export const run = Effect.fnUntraced(function*(
  options: AnyOptions
): Effect.fn.Return<ReadonlyArray<Applied>, Failure, any> {
  const prepared = yield* prepare(options)
  const { book, plan, session } = prepared
  yield* Plans.refuse(plan, options)
  if (plan.pending.length === 0) return []
  const works = new Map(
    yield* Effect.forEach(
      plan.pending,
      (migration) => Effect.map(migration.load, (work) => [migration.id, work] as const)
    )
  )
  const running = new Running(session, book, Duration.fromInputUnsafe(options.schemaAgreementTimeout ?? "30 seconds"))
  yield* book.create
  // Who did not make the table may ask a node that has not heard of it.
  yield* running.agree(undefined)
  const lock = { leaseSeconds: leaseOf(options), waiting: options.waitForLock ?? Lock.defaultWaiting }
  return yield* Lock.withLock(book, lock, (owner) => runLocked(prepared, options, running, owner, works))
})

type Work = Effect.Success<AnyMigration["load"]>

/** What has been done meanwhile, by whoever had the lock before, is looked at anew. */
const runLocked = Effect.fnUntraced(function*(
  { book, migrations }: Prepared,
  options: AnyOptions,
  running: Running,
  owner: string,
  works: ReadonlyMap<number, Work>
): Effect.fn.Return<ReadonlyArray<Applied>, Failure, any> {
  const plan = Plans.compare(migrations, yield* book.read)
  yield* Plans.refuse(plan, options)
  yield* Plans.refuseHalfApplied(plan, options)
  if (plan.pending.length > 0) yield* running.agree(undefined)
  for (const migration of plan.pending) yield* running.apply(owner, migration, works.get(migration.id)!)
  return running.applied
})

const isText = (work: Work): work is ReadonlyArray<string> => Array.isArray(work)

class Running {
  readonly applied: Array<Applied> = []
  private readonly session: Session["Service"]
  private readonly book: Book
  private readonly agreementLimit: Duration.Duration

  constructor(session: Session["Service"], book: Book, agreementLimit: Duration.Duration) {
    this.session = session
    this.book = book
    this.agreementLimit = agreementLimit
  }

  /** Begun, run, agreed upon by the nodes, recorded. */
  readonly apply: (
    owner: string,
    migration: AnyMigration,
    work: Work
  ) => Effect.Effect<void, MigrationError<any>, any> = (
    owner,
    migration,
    work
  ) =>
    Effect.gen({ self: this }, function*() {
      const { checksum } = migration
      const named = Plans.named(migration)
      const begun = yield* this.recorded(named, "begun", this.book.begin(owner, migration))
      if (!begun) return yield* this.lockLost(named, false)
      const [duration] = yield* Effect.timed(this.perform(named, work))
      const disagreement = yield* Agreement.reached(this.session, this.agreementLimit)
      // It has run: that must not be lost to an interruption.
      const finish = Effect.uninterruptible(this.book.finish(owner, migration, duration))
      if (!(yield* this.recorded(named, "applied", finish))) return yield* this.lockLost(named, true)
      const durationMillis = Math.round(Duration.toMillis(duration))
      this.applied.push({ ...named, checksum, durationMillis })
      yield* Effect.logInfo(`migration ${Errors.label(named)} applied in ${durationMillis} ms`)
      if (disagreement !== undefined) return yield* this.disagreed(disagreement, named)
    }).pipe(Effect.withSpan(`CqlMigrator ${Errors.label(migration)}`))

  private perform(named: Named, work: Work): Effect.Effect<unknown, MigrationError<any>, any> {
    return isText(work)
      ? Effect.forEach(work, (text, index) => this.statement(named, text, index + 1), { discard: true })
      : work.pipe(Effect.catch((cause) => this.failed(named, undefined, cause)))
  }

  private statement(named: Named, text: string, statement: number): Effect.Effect<void, MigrationError<CqlError>> {
    const { cql } = this.session
    return cql`${cql.unsafe(text)}`.result.pipe(
      Effect.catch((cause) => this.failed(named, statement, cause)),
      // A change of the schema has waited for it, as long as the session says, and also for nodes that are down.
      Effect.flatMap(({ schemaInAgreement }) =>
        schemaInAgreement === false ? this.agree(named, statement) : Effect.void
      )
    )
  }

  /** Fails where the nodes do not agree in time. */
  agree(after: Named | undefined, statement?: number): Effect.Effect<void, MigrationError<never>> {
    return Effect.flatMap(
      Agreement.reached(this.session, this.agreementLimit),
      (disagreement) => disagreement === undefined ? Effect.void : this.disagreed(disagreement, after, statement)
    )
  }

  private recorded(
    named: Named,
    as: "begun" | "applied",
    write: Effect.Effect<boolean, CqlError>
  ): Effect.Effect<boolean, MigrationError<never>> {
    return write.pipe(Effect.catch((cause) => {
      const what = as === "begun" ? "was not run, for it" : "was run, and"
      const message = `migration ${Errors.label(named)} ${what} could not be recorded as ${as}: ${cause.message}`
      return Errors.fail(new Errors.NotRecorded({ ...named, as, cause, message }), this.applied)
    }))
  }

  private lockLost(named: Named, ran: boolean): Effect.Effect<never, MigrationError<never>> {
    const what = ran
      ? "ran, and is not recorded, for another process has begun it again meanwhile"
      : "was not begun: the lease of the lock has ended, which another process may have now"
    const message = `migration ${Errors.label(named)} ${what}`
    return Errors.fail(new Errors.LockLost({ ...named, ran, message }), this.applied)
  }

  private failed<E>(
    named: Named,
    statement: number | undefined,
    cause: E
  ): Effect.Effect<never, MigrationError<E>> {
    const where = statement === undefined ? "" : ` at its statement ${statement}`
    const message = `migration ${Errors.label(named)} failed${where}: ${Errors.sayingOf(cause)}`
    return Effect.fail(Errors.make(new Errors.Failed<E>({ ...named, statement, cause, message }), this.applied))
  }

  private disagreed(
    { cause, versions }: Agreement.Disagreement,
    after: Named | undefined,
    statement?: number
  ): Effect.Effect<never, MigrationError<never>> {
    const when = after === undefined
      ? "before the first migration"
      : `behind ${statement === undefined ? "" : `statement ${statement} of `}migration ${Errors.label(after)}`
    const what = cause === undefined
      ? `the nodes have ${Object.keys(versions).length} versions of the schema`
      : `what schema the nodes have is not known (${cause.message})`
    const message = `${what}, ${when}, and did not agree in ${Duration.format(this.agreementLimit)}: no other is begun`
    return Errors.fail(new Errors.NoSchemaAgreement({ after, statement, versions, cause, message }), this.applied)
  }
}
