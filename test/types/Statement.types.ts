/**
 * The types of statements as a program sees them. Nothing here is run: it compiles, or a type is not what it was.
 */
import type * as BigDecimal from "effect/BigDecimal"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import type { CqlError, CqlRetry } from "../../src/index.ts"
import { cql, CqlStream, CqlType, Session, Statement } from "../../src/index.ts"

class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}

const Point = Schema.Struct({ x: CqlType.Int, y: CqlType.Nullable(CqlType.Int) })

interface PointType {
  readonly x: number
  readonly y: number | null
}

class Reading extends Context.Service<Reading, { readonly key: string }>()("Reading") {}

class Writing extends Context.Service<Writing, { readonly key: string }>()("Writing") {}

class Other extends Context.Service<Other, { readonly key: string }>()("Other") {}

declare const session: Session["Service"]

declare const user: User

/** A text that only `Reading` can decode, and only `Writing` can encode. */
declare const Secret: Schema.Codec<{ readonly secret: number }, { readonly secret: string }, Reading, Writing>

/** One that needs nothing to be encoded. */
declare const Decoded: Schema.Codec<{ readonly secret: number }, { readonly secret: string }, Reading>

declare const Both: Schema.Codec<{ readonly n: number }, { readonly n: string }, Reading | Other>

type Failure = CqlError | Schema.SchemaError

// --- rows

export const rows = () => {
  const statement = cql(User)`SELECT id, name FROM users`
  expectTypeOf(statement).toEqualTypeOf<Statement.Statement<User, Failure, Session>>()
  expectTypeOf<Effect.Success<typeof statement>>().toEqualTypeOf<ReadonlyArray<User>>()
  expectTypeOf<Effect.Error<typeof statement>>().toEqualTypeOf<Failure>()
  expectTypeOf<Effect.Services<typeof statement>>().toEqualTypeOf<Session>()

  expectTypeOf(statement.one).toEqualTypeOf<Effect.Effect<User, Failure | Cause.NoSuchElementError, Session>>()
  expectTypeOf(statement.first).toEqualTypeOf<Effect.Effect<Option.Option<User>, Failure, Session>>()
  expectTypeOf(statement.stream).toEqualTypeOf<Stream.Stream<User, Failure, Session>>()
  expectTypeOf(statement.pages).toEqualTypeOf<Stream.Stream<Statement.Page<User>, Failure, Session>>()
  expectTypeOf(statement.applied).toEqualTypeOf<
    Effect.Effect<
      { readonly applied: true } | { readonly applied: false; readonly current: Option.Option<User> },
      Failure,
      Session
    >
  >()
  expectTypeOf(statement.result).toEqualTypeOf<Effect.Effect<Statement.Result<User>, Failure, Session>>()
  expectTypeOf(statement.text).toEqualTypeOf<string>()
  expectTypeOf(statement.parameters).toEqualTypeOf<ReadonlyArray<unknown>>()
}

export const rowsWithoutSchema = () => {
  const statement = cql`SELECT id, name FROM users WHERE id = ${user.id}`
  expectTypeOf(statement).toEqualTypeOf<Statement.Statement<Statement.Row, CqlError, Session>>()
  expectTypeOf<Effect.Success<typeof statement>>().toEqualTypeOf<ReadonlyArray<Statement.Row>>()
  expectTypeOf<Effect.Error<typeof statement>>().toEqualTypeOf<CqlError>()
  expectTypeOf<Statement.Row>().toEqualTypeOf<{ readonly [column: string]: unknown }>()
  expectTypeOf(statement.one).toEqualTypeOf<
    Effect.Effect<Statement.Row, CqlError | Cause.NoSuchElementError, Session>
  >()
  expectTypeOf<Stream.Error<typeof statement.stream>>().toEqualTypeOf<CqlError>()
}

export const rowsInAProgram = () =>
  Effect.gen(function*() {
    const users = yield* cql(User)`SELECT id, name FROM users`
    expectTypeOf(users).toEqualTypeOf<ReadonlyArray<User>>()
    const point = yield* cql(Point)`SELECT x, y FROM points`.one
    expectTypeOf(point).toEqualTypeOf<PointType>()
    const [row] = yield* cql`SELECT name FROM users`
    expectTypeOf(row!["name"]).toEqualTypeOf<unknown>()
    const outcome = yield* cql(User)`UPDATE users SET name = ${"Ada"} WHERE id = ${user.id} IF EXISTS`.applied
    if (!outcome.applied) expectTypeOf(outcome.current).toEqualTypeOf<Option.Option<User>>()
    // @ts-expect-error what was in the way is there only if something was
    void outcome.current
    const result = yield* cql(User)`SELECT id, name FROM users`.result
    expectTypeOf(result.rows).toEqualTypeOf<ReadonlyArray<User>>()
    expectTypeOf(result.consistency).toEqualTypeOf<NonNullable<Statement.Options["consistency"]>>()
    expectTypeOf(result.traceId).toEqualTypeOf<string | undefined>()
    expectTypeOf(result.customPayload).toEqualTypeOf<ReadonlyMap<string, Uint8Array | null>>()
    expectTypeOf(result.trace).toEqualTypeOf<
      Effect.Effect<Statement.Trace, CqlError | Cause.NoSuchElementError>
    >()
    // @ts-expect-error a page is of readonly rows
    users.push(user)
  })

export const pages = () => {
  expectTypeOf<Statement.Page<User>>().toEqualTypeOf<{
    readonly index: number
    readonly rows: ReadonlyArray<User>
    readonly isLast: boolean
    readonly next: string | undefined
  }>()
  const statement = cql(User)`SELECT id, name FROM users`
  expectTypeOf(CqlStream.rows(statement)).toEqualTypeOf<Stream.Stream<User, Failure, Session>>()
  expectTypeOf(CqlStream.rows(statement, { pagesAhead: 2 })).toEqualTypeOf<Stream.Stream<User, Failure, Session>>()
  expectTypeOf(statement.pipe(CqlStream.pages({ maxPages: 2 }))).toEqualTypeOf<
    Stream.Stream<Statement.Page<User>, Failure, Session>
  >()
}

// --- what is needed

export const requirements = () => {
  expectTypeOf(session.cql`SELECT 1`).toEqualTypeOf<Statement.Statement<Statement.Row, CqlError, never>>()
  expectTypeOf(session.cql`SELECT 1`).toEqualTypeOf<Statement.Statement<Statement.Row, CqlError>>()
  expectTypeOf(session.cql(User)`SELECT 1`).toEqualTypeOf<Statement.Statement<User, Failure>>()
  expectTypeOf(cql(Secret)`SELECT 1`).toEqualTypeOf<
    Statement.Statement<{ readonly secret: number }, Failure, Session | Reading>
  >()
  const own = session.cql(Both)`SELECT 1`
  expectTypeOf(own).toEqualTypeOf<Statement.Statement<{ readonly n: number }, Failure, Reading | Other>>()
  for (const effect of [own.one, own.first, own.applied, own.result]) {
    expectTypeOf<Effect.Services<typeof effect>>().toEqualTypeOf<Reading | Other>()
  }
  expectTypeOf<Stream.Services<typeof own.stream>>().toEqualTypeOf<Reading | Other>()
  expectTypeOf(cql`SELECT 1`.pipe(Effect.provideService(Session, session))).toEqualTypeOf<
    Effect.Effect<ReadonlyArray<Statement.Row>, CqlError>
  >()
  // @ts-expect-error a statement of the package's cql runs on the session of the context
  Effect.runPromise(cql`SELECT 1`)
  void Effect.runPromise(session.cql`SELECT 1`)
}

export const places = () => {
  const statement = cql(User)`SELECT id, name FROM users`
  // A statement is usable where less is asked for.
  expectTypeOf(statement).toExtend<Statement.Statement<unknown, unknown, unknown>>()
  expectTypeOf(session.cql`SELECT 1`).toExtend<Statement.Statement<Statement.Row, CqlError, Session>>()
  expectTypeOf(statement).toExtend<Effect.Effect<ReadonlyArray<User>, Failure, Session>>()
  expectTypeOf(statement).not.toExtend<Statement.Statement<{ readonly age: number }, Failure, Session>>()
  expectTypeOf(statement).not.toExtend<Statement.Statement<User, CqlError, Session>>()
  expectTypeOf(statement).not.toExtend<Statement.Statement<User, Failure>>()
  const u: unknown = statement
  if (Statement.isStatement(u)) expectTypeOf(u).toEqualTypeOf<Statement.Statement<unknown, unknown, unknown>>()
  if (Statement.isBatch(u)) expectTypeOf(u).toEqualTypeOf<Statement.Batch<unknown, unknown, unknown>>()
  // @ts-expect-error a schema is given before the template, and not a plain object
  cql({ id: CqlType.Uuid })
}

// --- options

type Level =
  | "any"
  | "one"
  | "two"
  | "three"
  | "quorum"
  | "all"
  | "localQuorum"
  | "eachQuorum"
  | "serial"
  | "localSerial"
  | "localOne"

export const options = () => {
  expectTypeOf<Statement.Options>().toEqualTypeOf<{
    readonly consistency?: Level | undefined
    readonly serialConsistency?: "serial" | "localSerial" | undefined
    readonly pageSize?: number | undefined
    readonly timeout?: Duration.Input | undefined
    readonly attemptTimeout?: Duration.Input | undefined
    readonly idempotent?: boolean | undefined
    readonly maxRows?: number | undefined
    readonly timestamp?: number | bigint | undefined
    readonly tracing?: boolean | undefined
    readonly spans?: "statements" | "attempts" | "none" | undefined
    readonly slowThreshold?: Duration.Input | false | undefined
    readonly customPayload?: Readonly<Record<string, Uint8Array | null>> | undefined
    readonly node?: string | undefined
    readonly retry?: CqlRetry.Policy | undefined
    readonly hedge?: Statement.Hedge | false | undefined
    readonly streamTimeout?: Duration.Input | undefined
    readonly profile?: string | undefined
  }>()
  expectTypeOf<Statement.Hedge>().toEqualTypeOf<{
    readonly delay?: Duration.Input | undefined
    readonly percentile?: number | undefined
    readonly times?: number | undefined
  }>()
  Statement.withOptions({ hedge: { delay: "50 millis", times: 2 } })
  Statement.withOptions({ hedge: { percentile: 99 } })
  Statement.withOptions({ hedge: false })
  // @ts-expect-error what it should be is not known
  Statement.withOptions({ hedge: true })
  // @ts-expect-error an option that there is not
  Statement.withOptions({ hedge: { after: "50 millis" } })
}

export const withOptions = () => {
  const statement = cql(User)`SELECT id, name FROM users`
  const batch = Statement.batch([cql`DELETE FROM users`], { schema: User })
  type Plain = Statement.Statement<Statement.Row, CqlError>

  expectTypeOf(Statement.withOptions(statement, { pageSize: 5 })).toEqualTypeOf<typeof statement>()
  expectTypeOf(statement.pipe(Statement.withOptions({ pageSize: 5 }))).toEqualTypeOf<typeof statement>()
  expectTypeOf(Statement.withOptions(batch, { timestamp: 5n })).toEqualTypeOf<typeof batch>()
  expectTypeOf(batch.pipe(Statement.withOptions({ timestamp: 5n }))).toEqualTypeOf<typeof batch>()
  expectTypeOf(session.cql`SELECT 1`.pipe(Statement.withOptions({}), Statement.withOptions({ timeout: 5 })))
    .toEqualTypeOf<Plain>()
  // What is made of it afterwards is there still.
  expectTypeOf(statement.pipe(Statement.withOptions({ pageSize: 5 })).stream).toEqualTypeOf<typeof statement.stream>()
  Statement.withOptions({
    consistency: "any",
    serialConsistency: "localSerial",
    pageSize: undefined,
    timeout: "2 seconds",
    attemptTimeout: { seconds: 1 },
    idempotent: true,
    maxRows: 10,
    timestamp: -5,
    tracing: false,
    customPayload: { key: new Uint8Array(), none: null, buffer: Buffer.from("x") },
    node: "10.0.0.1:9042",
    profile: "slow"
  })

  // @ts-expect-error the levels are in lower case
  Statement.withOptions({ consistency: "Quorum" })
  // @ts-expect-error as protocols write them they are not known either
  Statement.withOptions(statement, { consistency: "LOCAL_QUORUM" })
  // @ts-expect-error the consistency of a condition is one of two
  statement.pipe(Statement.withOptions({ serialConsistency: "quorum" }))
  // @ts-expect-error an option that there is not
  Statement.withOptions({ fetchSize: 5 })
  // @ts-expect-error an option that there is not, data-first
  Statement.withOptions(statement, { fetchSize: 5 })
  // @ts-expect-error an option that there is not, in a pipe
  statement.pipe(Statement.withOptions({ pageSize: 5, fetchSize: 5 }))
  // @ts-expect-error the keyspace is the session's; the text can name another
  Statement.withOptions({ keyspace: "shop" })
  // @ts-expect-error who stamps writes is the session's to say
  Statement.withOptions({ timestamps: "server" })
  // @ts-expect-error a limit of time has a unit
  Statement.withOptions({ timeout: "2 parsecs" })
  // @ts-expect-error a time is whole microseconds and no Date
  Statement.withOptions({ timestamp: new Date() })
  // @ts-expect-error a payload is bytes
  Statement.withOptions({ customPayload: { key: "text" } })
  // @ts-expect-error a key of a payload is left out, and not undefined
  Statement.withOptions({ customPayload: { key: undefined } })
  // @ts-expect-error a node is one
  Statement.withOptions({ node: ["10.0.0.1:9042"] })
  // @ts-expect-error options are of statements and batches; an effect has provideOptions
  Statement.withOptions(Effect.succeed(1), { pageSize: 5 })
  // @ts-expect-error what was taken of a statement is an effect like any other
  statement.one.pipe(Statement.withOptions({ pageSize: 5 }))
}

export const provideOptions = () => {
  const effect = Effect.map(cql(User)`SELECT id, name FROM users`.one, (user) => user.name)
  expectTypeOf(Statement.provideOptions(effect, { consistency: "quorum" })).toEqualTypeOf<
    Effect.Effect<string, Failure | Cause.NoSuchElementError, Session>
  >()
  expectTypeOf(effect.pipe(Statement.provideOptions({ consistency: "quorum" }))).toEqualTypeOf<typeof effect>()
  expectTypeOf(session.cql`SELECT 1`.pipe(Statement.provideOptions({}))).toEqualTypeOf<
    Effect.Effect<ReadonlyArray<Statement.Row>, CqlError>
  >()
  expectTypeOf(Effect.provideService(effect, Statement.CurrentOptions, [{ pageSize: 5 }])).toEqualTypeOf<
    typeof effect
  >()
  const { stream } = cql(User)`SELECT id, name FROM users`
  expectTypeOf(Stream.provideService(stream, Statement.CurrentOptions, [{ pageSize: 5 }])).toEqualTypeOf<
    Stream.Stream<User, Failure, Session>
  >()
  expectTypeOf(Statement.CurrentOptions).toEqualTypeOf<Context.Reference<ReadonlyArray<Statement.Options>>>()

  // @ts-expect-error the levels are in lower case
  Statement.provideOptions({ consistency: "Quorum" })
  // @ts-expect-error an option that there is not
  effect.pipe(Statement.provideOptions({ pageSize: 5, fetchSize: 5 }))
  // @ts-expect-error an option that there is not, data-first
  Statement.provideOptions(effect, { keyspace: "shop" })
  // @ts-expect-error regions are a list of options
  Effect.provideService(effect, Statement.CurrentOptions, { pageSize: 5 })
  // @ts-expect-error a stream has no end that an effect has: it is provided with CurrentOptions
  Statement.provideOptions(stream, { pageSize: 5 })
}

export const sessions = () => {
  const layer = Session.layer({
    contactPoints: ["127.0.0.1"],
    keyspace: "shop",
    consistency: "localQuorum",
    timestamps: "server",
    profile: "slow",
    profiles: { slow: { timeout: "1 minute", consistency: "all", pageSize: undefined } }
  })
  expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Session, CqlError>>()
  expectTypeOf(Session.make({})).toEqualTypeOf<Effect.Effect<Session["Service"], CqlError, Scope.Scope>>()
  expectTypeOf(session.cql).toEqualTypeOf<Statement.Cql<never>>()
  expectTypeOf(cql).toEqualTypeOf<Statement.Cql<Session>>()

  // @ts-expect-error a profile has no other
  Session.layer({ contactPoints: [], profiles: { slow: { profile: "slower" } } })
  // @ts-expect-error who stamps writes is not a profile's to say
  Session.layer({ contactPoints: [], profiles: { slow: { timestamps: "server" } } })
  // @ts-expect-error the keyspace is the session's, and not a profile's
  Session.layer({ contactPoints: [], profiles: { slow: { keyspace: "shop" } } })
  // @ts-expect-error the levels are in lower case, also in a profile
  Session.layer({ contactPoints: [], profiles: { slow: { consistency: "Quorum" } } })
  // @ts-expect-error profiles are an object and no list
  Session.layer({ contactPoints: [], profiles: ["slow"] })
  // @ts-expect-error there are two clocks
  Session.layer({ contactPoints: [], timestamps: "none" })
  // @ts-expect-error an option that there is not
  Session.layer({ contactPoints: [], fetchSize: 5 })
  // @ts-expect-error a session on a given cluster does not say where that is
  Session.layerFrom({ contactPoints: ["127.0.0.1"] })
}

// --- batches

export const batches = () => {
  const plain = Statement.batch([cql`DELETE FROM users`, cql`DELETE FROM orders`])
  expectTypeOf(plain).toEqualTypeOf<Statement.Batch<Statement.Row, CqlError, Session>>()
  expectTypeOf<Effect.Success<typeof plain>>().toEqualTypeOf<void>()
  expectTypeOf(plain.applied).toEqualTypeOf<
    Effect.Effect<
      | { readonly applied: true }
      | { readonly applied: false; readonly current: ReadonlyArray<Statement.Row> },
      CqlError,
      Session
    >
  >()
  expectTypeOf(plain.result).toEqualTypeOf<Effect.Effect<Statement.ExecutionInfo, CqlError, Session>>()

  const typed = Statement.batch([cql`UPDATE users`], { schema: User, type: "unlogged" })
  expectTypeOf(typed).toEqualTypeOf<Statement.Batch<User, Failure, Session>>()
  expectTypeOf(typed.applied).toEqualTypeOf<Effect.Effect<Statement.Applied<ReadonlyArray<User>>, Failure, Session>>()
  expectTypeOf(Statement.batch([session.cql`DELETE FROM users`])).toEqualTypeOf<
    Statement.Batch<Statement.Row, CqlError>
  >()
  expectTypeOf(Statement.batch(new Set([session.cql`DELETE FROM users`]), { type: "counter" })).toEqualTypeOf<
    Statement.Batch<Statement.Row, CqlError>
  >()
}

export const requirementsOfBatches = () => {
  const [one, other] = [session.cql(Decoded)`UPDATE a`, session.cql(Both)`UPDATE b`]
  expectTypeOf(Statement.batch([cql`UPDATE a`, session.cql`UPDATE b`])).toEqualTypeOf<
    Statement.Batch<Statement.Row, CqlError, Session>
  >()
  expectTypeOf(Statement.batch([one, other])).toEqualTypeOf<Statement.Batch<Statement.Row, CqlError, Reading | Other>>()
  expectTypeOf(Statement.batch([cql`UPDATE a`, one])).toEqualTypeOf<
    Statement.Batch<Statement.Row, CqlError, Session | Reading>
  >()
  expectTypeOf(Statement.batch([])).toEqualTypeOf<Statement.Batch<Statement.Row, CqlError>>()
  expectTypeOf(Statement.batch([cql`UPDATE a`], { schema: Both })).toEqualTypeOf<
    Statement.Batch<{ readonly n: number }, Failure, Session | Reading | Other>
  >()
  const rows = [1, 2].map((id) => cql`INSERT INTO users ${cql.insert({ id })}`)
  expectTypeOf(Statement.batch(rows)).toEqualTypeOf<Statement.Batch<Statement.Row, CqlError, Session>>()
}

export const refusedBatches = () => {
  // @ts-expect-error a batch is of statements and not of texts
  Statement.batch(["DELETE FROM users"])
  // @ts-expect-error an effect is no statement
  Statement.batch([Effect.succeed(1)])
  // @ts-expect-error what was taken of a statement is none any more
  Statement.batch([cql`SELECT 1`.one])
  // @ts-expect-error a fragment is no statement
  Statement.batch([cql.insert({ id: 1 })])
  // @ts-expect-error a batch is not a part of another
  Statement.batch([Statement.batch([cql`DELETE FROM users`])])
  // @ts-expect-error a batch is of several: of one it is a list of one
  Statement.batch(cql`DELETE FROM users`)
  // @ts-expect-error there are three types
  Statement.batch([cql`DELETE FROM users`], { type: "Logged" })
  // @ts-expect-error a batch is no statement
  Statement.check(Statement.batch([cql`DELETE FROM users`]))
  // @ts-expect-error a batch has no rows
  void Statement.batch([cql`DELETE FROM users`]).stream
}

// --- fragments

export const inserts = () => {
  expectTypeOf(cql.insert(User, user)).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.insert(Point, { x: 1, y: null })).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.insert({ id: 1, name: undefined })).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.insert(user)).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.insert(Decoded, { secret: 1 })).toEqualTypeOf<Statement.Fragment>()

  // @ts-expect-error a value of another type
  cql.insert(User, { id: 1, name: "Ada" })
  // @ts-expect-error a column is missing
  cql.insert(Point, { x: 1 })
  // @ts-expect-error null where the schema has no null
  cql.insert(Point, { x: null, y: null })
  // @ts-expect-error the value is that of the program, and not the encoded one
  cql.insert(Decoded, { secret: "1" })
  // @ts-expect-error there is nobody to give the services that encoding needs
  cql.insert(Secret, { secret: 1 })
  // @ts-expect-error a row is an object
  cql.insert(Schema.String, "Ada")
  // @ts-expect-error a row is an object
  cql.insert("Ada")
}

export const fragments = () => {
  expectTypeOf(cql.set({ name: "Ada", visits: cql`visits + ${1n}` })).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.and([cql`a = ${1}`, cql.ident("b")])).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.and({ a: 1, b: null })).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.columns(User)).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.columns(Secret)).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.ident("shop", "users")).toEqualTypeOf<Statement.Fragment>()
  expectTypeOf(cql.unsafe("ALLOW FILTERING")).toEqualTypeOf<Statement.Fragment>()

  // @ts-expect-error a row is an object
  cql.set("name")
  // @ts-expect-error a condition is a fragment, and no text
  cql.and(["a = 1"])
  // @ts-expect-error conditions are a list or an object
  cql.and("a = 1")
  // @ts-expect-error a name has a part at least
  cql.ident()
  // @ts-expect-error a name is of texts
  cql.ident("shop", 5)
  // @ts-expect-error columns are those of a schema
  cql.columns({ id: CqlType.Uuid })
  // @ts-expect-error a statement is made of one schema
  cql(User, Point)
}

export const using = () => {
  expectTypeOf(cql.using({ ttl: "30 days", timestamp: 5n })).toEqualTypeOf<Statement.Fragment>()
  cql.using({})
  cql.using({ ttl: undefined, timestamp: undefined })
  cql.using({ ttl: { days: 1 }, timestamp: 5 })

  // @ts-expect-error Effect reads a number as milliseconds and CQL as seconds
  cql.using({ ttl: 60 })
  // @ts-expect-error Effect reads a bigint as nanoseconds
  cql.using({ ttl: 60n })
  // @ts-expect-error a TTL has a unit
  cql.using({ ttl: "60" })
  // @ts-expect-error a time is whole microseconds and no Date
  cql.using({ timestamp: new Date() })
  // @ts-expect-error there are two things to say
  cql.using({ consistency: "quorum" })
}

// --- texts that are written out

const ById = Schema.Struct({ id: CqlType.Uuid })

export const statements = () => {
  const typed = cql.statement({ text: "SELECT id, name FROM users WHERE id = :id", request: ById, result: User })
  expectTypeOf(typed).toEqualTypeOf<
    (request: { readonly id: string }) => Statement.Statement<User, Failure, Session>
  >()
  expectTypeOf(typed({ id: user.id }).one).toEqualTypeOf<
    Effect.Effect<User, Failure | Cause.NoSuchElementError, Session>
  >()
  expectTypeOf(cql.statement({ text: "DELETE FROM users WHERE id = :id", request: ById })).toEqualTypeOf<
    (request: { readonly id: string }) => Statement.Statement<Statement.Row, CqlError, Session>
  >()
  expectTypeOf(cql.statement({ text: "SELECT id, name FROM users", result: User })).toEqualTypeOf<
    Statement.Statement<User, Failure, Session>
  >()
  expectTypeOf(cql.statement({ text: "SELECT id, name FROM users" })).toEqualTypeOf<
    Statement.Statement<Statement.Row, CqlError, Session>
  >()
  expectTypeOf(session.cql.statement({ text: "SELECT 1", request: User, result: Both })).toEqualTypeOf<
    (request: User) => Statement.Statement<{ readonly n: number }, Failure, Reading | Other>
  >()
  // What the program holds is encoded: the request is of its type.
  expectTypeOf(session.cql.statement({ text: "SELECT 1", request: Decoded })).toEqualTypeOf<
    (request: { readonly secret: number }) => Statement.Statement<Statement.Row, CqlError>
  >()
}

export const refusedStatements = () => {
  const typed = cql.statement({ text: "SELECT id, name FROM users WHERE id = :id", request: ById, result: User })
  // @ts-expect-error a request of another shape
  typed({ name: "Ada" })
  // @ts-expect-error a field of another type
  typed({ id: 5 })
  // @ts-expect-error a field that the request does not have
  typed({ id: user.id, name: "Ada" })
  // @ts-expect-error a request has to be given
  typed()
  // @ts-expect-error without a request it is a statement and no function
  cql.statement({ text: "SELECT 1", result: User })({})
  // @ts-expect-error with a request it is a function and no statement
  void cql.statement({ text: "SELECT 1", request: ById }).one
  // @ts-expect-error there is nobody to give the services that encoding needs
  cql.statement({ text: "SELECT 1", request: Secret, result: User })
  // @ts-expect-error a request has fields
  cql.statement({ text: "SELECT 1", request: Schema.String })
  // @ts-expect-error a text has to be given
  cql.statement({ result: User })
  // @ts-expect-error a result is a schema
  cql.statement({ text: "SELECT 1", result: { id: CqlType.Uuid } })
}

// --- running without rows

export const checks = () => {
  const statement = cql(Secret)`SELECT secret FROM secrets`
  expectTypeOf(Statement.check(statement)).toEqualTypeOf<
    Effect.Effect<Statement.CheckReport, CqlError, Session | Reading>
  >()
  expectTypeOf(Statement.prepare(statement)).toEqualTypeOf<Effect.Effect<void, CqlError, Session | Reading>>()
  expectTypeOf(Statement.prepare(session.cql`SELECT 1`)).toEqualTypeOf<Effect.Effect<void, CqlError>>()
  expectTypeOf(Effect.forEach([cql`SELECT 1`, cql`SELECT 2`], Statement.prepare, { discard: true })).toEqualTypeOf<
    Effect.Effect<void, CqlError, Session>
  >()
  const statements = [cql`SELECT 1`, cql(User)`SELECT 2`, session.cql(Both)`SELECT 3`]
  expectTypeOf(Effect.forEach(statements, Statement.prepare, { discard: true })).toEqualTypeOf<
    Effect.Effect<void, CqlError, Session | Reading | Other>
  >()
  expectTypeOf(Effect.forEach(statements, Statement.check)).toEqualTypeOf<
    Effect.Effect<Array<Statement.CheckReport>, CqlError, Session | Reading | Other>
  >()
  expectTypeOf<Statement.CheckReport["parameters"]>().toEqualTypeOf<ReadonlyArray<Statement.Checked>>()

  // @ts-expect-error a text is no statement
  Statement.check("SELECT 1")
  // @ts-expect-error a fragment is no statement
  Statement.prepare(cql.ident("users"))
}

/** The services of a statement that is not known yet are those that it will have. */
export const checksOfAny = <A, E, R>(statement: Statement.Statement<A, E, R>) => {
  expectTypeOf(Statement.check(statement)).toEqualTypeOf<Effect.Effect<Statement.CheckReport, CqlError, R>>()
  expectTypeOf(Statement.prepare(statement)).toEqualTypeOf<Effect.Effect<void, CqlError, R>>()
  expectTypeOf(Statement.batch([statement])).toEqualTypeOf<Statement.Batch<Statement.Row, CqlError, R>>()
}

// --- errors

export const errors = () => {
  const users = cql(User)`SELECT id, name FROM users`
  const recovered = users.pipe(
    Effect.catchReason("CqlError", "ReadTimeout", (reason) => {
      expectTypeOf(reason._tag).toEqualTypeOf<"ReadTimeout">()
      expectTypeOf(reason.dataPresent).toEqualTypeOf<boolean>()
      expectTypeOf(reason.consistency).toEqualTypeOf<Level>()
      return Effect.succeed(reason.received)
    })
  )
  expectTypeOf<Effect.Success<typeof recovered>>().toEqualTypeOf<number | ReadonlyArray<User>>()
  expectTypeOf<Effect.Error<typeof recovered>>().toEqualTypeOf<Failure>()

  const without = users.pipe(Effect.catchTag("SchemaError", () => Effect.succeed([])))
  expectTypeOf<Effect.Error<typeof without>>().toEqualTypeOf<CqlError>()
  const reasons = cql`SELECT 1`.pipe(
    Effect.catchReasons("CqlError", {
      InvalidConfig: ({ expected, field }) => Effect.succeed(`${field} ${expected}`),
      TooManyRows: ({ limit }) => Effect.succeed(limit)
    })
  )
  expectTypeOf<Effect.Success<typeof reasons>>().toEqualTypeOf<string | number | ReadonlyArray<Statement.Row>>()

  // @ts-expect-error a reason that there is not
  users.pipe(Effect.catchReason("CqlError", "ReadTimedOut", () => Effect.void))
  // @ts-expect-error an error that there is not
  users.pipe(Effect.catchReason("CassandraError", "ReadTimeout", () => Effect.void))
  // @ts-expect-error a field of another reason
  users.pipe(Effect.catchReason("CqlError", "ReadTimeout", ({ writeType }) => Effect.succeed(writeType)))
}

export const narrowing = (error: CqlError) => {
  const { reason } = error
  // @ts-expect-error not every reason has it
  void reason.received
  expectTypeOf(reason.message).toEqualTypeOf<string>()
  switch (reason._tag) {
    case "ClientTimeout":
      expectTypeOf(reason.phase).toEqualTypeOf<"connect" | "queue" | "attempt" | "operation" | "prepare" | "stream">()
      break
    case "NoHostAvailable":
      expectTypeOf(reason.nodes).toEqualTypeOf<ReadonlyArray<{ readonly node: string; readonly error: string }>>()
      break
    case "WriteTimeout":
      expectTypeOf(reason.writeType).toEqualTypeOf<string>()
      break
    // @ts-expect-error a tag that there is not
    case "Timeout":
      break
  }
  expectTypeOf(error.statement).toEqualTypeOf<string | undefined>()
  expectTypeOf(error.coordinator).toEqualTypeOf<string | undefined>()
}

// --- types of CQL

interface Plain<A> extends Schema.Codec<A> {}

export const types = () => {
  expectTypeOf<typeof CqlType.Text.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.VarChar.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.Ascii.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.Uuid.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.TimeUuid.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.Inet.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.Date.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.Time.Type>().toEqualTypeOf<string>()
  expectTypeOf<typeof CqlType.TinyInt.Type>().toEqualTypeOf<number>()
  expectTypeOf<typeof CqlType.SmallInt.Type>().toEqualTypeOf<number>()
  expectTypeOf<typeof CqlType.Int.Type>().toEqualTypeOf<number>()
  expectTypeOf<typeof CqlType.Float.Type>().toEqualTypeOf<number>()
  expectTypeOf<typeof CqlType.Double.Type>().toEqualTypeOf<number>()
  expectTypeOf<typeof CqlType.BigInt.Type>().toEqualTypeOf<bigint>()
  expectTypeOf<typeof CqlType.Counter.Type>().toEqualTypeOf<bigint>()
  expectTypeOf<typeof CqlType.VarInt.Type>().toEqualTypeOf<bigint>()
  expectTypeOf<typeof CqlType.Decimal.Type>().toEqualTypeOf<BigDecimal.BigDecimal>()
  expectTypeOf<typeof CqlType.Boolean.Type>().toEqualTypeOf<boolean>()
  expectTypeOf<typeof CqlType.Blob.Type>().toEqualTypeOf<Uint8Array>()
  expectTypeOf<typeof CqlType.Timestamp.Type>().toEqualTypeOf<Date>()
  expectTypeOf<typeof CqlType.Duration.Type>().toEqualTypeOf<{
    readonly months: number
    readonly days: number
    readonly nanoseconds: bigint
  }>()
}

export const typesOfOthers = () => {
  const { Int, Nullable, Text } = CqlType
  const list = CqlType.List(Int)
  const set = CqlType.Set(Text)
  const map = CqlType.Map(Text, CqlType.Set(Int))
  const vector = CqlType.Vector(CqlType.Float, 3)
  const tuple = CqlType.Tuple([Int, Nullable(Text)])
  const address = CqlType.UserDefined({ street: Text, number: Nullable(Int) })
  const nullable = Nullable(CqlType.List(Nullable(Text)))
  expectTypeOf<typeof list.Type>().toEqualTypeOf<ReadonlyArray<number>>()
  expectTypeOf<typeof set.Type>().toEqualTypeOf<ReadonlySet<string>>()
  expectTypeOf<typeof map.Type>().toEqualTypeOf<ReadonlyMap<string, ReadonlySet<number>>>()
  expectTypeOf<typeof vector.Type>().toEqualTypeOf<ReadonlyArray<number>>()
  expectTypeOf<typeof tuple.Type>().toEqualTypeOf<readonly [number, string | null]>()
  expectTypeOf<typeof address.Type>().toEqualTypeOf<{ readonly street: string; readonly number: number | null }>()
  expectTypeOf<typeof nullable.Type>().toEqualTypeOf<ReadonlyArray<string | null> | null>()

  // @ts-expect-error a vector has a dimension
  CqlType.Vector(CqlType.Float)
  // @ts-expect-error a map has values
  CqlType.Map(Text)
}

/** What is read is what the program holds, and neither side needs a service. */
export const typesArePlain = () => {
  expectTypeOf(CqlType.Uuid).toExtend<Plain<string>>()
  expectTypeOf(CqlType.BigInt).toExtend<Plain<bigint>>()
  expectTypeOf(CqlType.Decimal).toExtend<Plain<BigDecimal.BigDecimal>>()
  expectTypeOf(CqlType.Timestamp).toExtend<Plain<Date>>()
  expectTypeOf(CqlType.Blob).toExtend<Plain<Uint8Array>>()
  expectTypeOf(CqlType.Set(CqlType.Text)).toExtend<Plain<ReadonlySet<string>>>()
  expectTypeOf(CqlType.Map(CqlType.Text, CqlType.Int)).toExtend<Plain<ReadonlyMap<string, number>>>()
  expectTypeOf(CqlType.UserDefined({ a: CqlType.Int })).toExtend<Plain<{ readonly a: number }>>()
  expectTypeOf(CqlType.Nullable(CqlType.Int)).toExtend<Plain<number | null>>()
}

export const rowsOfTypes = () => {
  class Everything extends Schema.Class<Everything>("Everything")({
    id: CqlType.Uuid,
    visits: CqlType.BigInt,
    price: CqlType.Decimal,
    joined: CqlType.Nullable(CqlType.Timestamp),
    tags: CqlType.Set(CqlType.Text),
    address: CqlType.UserDefined({ street: CqlType.Text })
  }) {}
  const statement = cql(Everything)`SELECT * FROM everything`
  expectTypeOf(statement.one).toEqualTypeOf<
    Effect.Effect<Everything, Failure | Cause.NoSuchElementError, Session>
  >()
  expectTypeOf<Everything["joined"]>().toEqualTypeOf<Date | null>()
  expectTypeOf<Everything["address"]["street"]>().toEqualTypeOf<string>()
  // @ts-expect-error rows are readonly
  new Everything(undefined!).visits = 5n
  expectTypeOf<keyof Everything>().toEqualTypeOf<"id" | "visits" | "price" | "joined" | "tags" | "address">()
}
