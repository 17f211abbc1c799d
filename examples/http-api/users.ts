/**
 * The users, as they are kept: all the CQL of the service.
 */
import { CqlStream, CqlType, Session, Statement } from "effect-cassandra"
import type { CqlError } from "effect-cassandra"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { ChangedUser, ImportedUser, NewUser } from "./api.ts"
import { User, UserPage } from "./api.ts"
import { ChangedMeanwhile, KeyReused, NoSuchUser } from "./errors.ts"

type DatabaseError = CqlError | Schema.SchemaError

export class Users extends Context.Service<Users, {
  readonly create: (user: NewUser, key: string | undefined) => Effect.Effect<User, KeyReused | DatabaseError>
  readonly read: (id: string) => Effect.Effect<User, NoSuchUser | DatabaseError>
  readonly update: (
    id: string,
    change: ChangedUser
  ) => Effect.Effect<User, NoSuchUser | ChangedMeanwhile | DatabaseError>
  readonly remove: (id: string) => Effect.Effect<void, NoSuchUser | DatabaseError>
  readonly list: (options: {
    readonly cursor?: string
    readonly limit?: number
  }) => Effect.Effect<UserPage, DatabaseError>
  readonly all: Stream.Stream<User, DatabaseError>
  /** Writes them, over those of the same ids, and tells how many. */
  readonly write: (users: Stream.Stream<ImportedUser>) => Effect.Effect<number, DatabaseError>
}>()("Users") {
  /** Cursors are signed with the first of the keys; those that the others have signed are still good. */
  static readonly layer = (
    cursorKeys: ReadonlyArray<Redacted.Redacted>
  ): Layer.Layer<Users, never, Session> =>
    Layer.effect(Users, Effect.map(Session, (session) => make(session, cursorKeys)))
}

/** What a key was used for first: enough to give the same answer again. */
const Creation = Schema.Struct({
  key: Schema.String,
  body: Schema.String,
  id: CqlType.Uuid,
  version: CqlType.Uuid,
  created: CqlType.Timestamp
})

const Version = Schema.Struct({ version: CqlType.Uuid })

const newUser = ({ email, id = crypto.randomUUID(), name }: NewUser & { readonly id?: string }): User =>
  new User({ id, name, email, version: crypto.randomUUID(), created: new Date() })

/** A text that two bodies have in common only when they ask for the same. */
const digest = ({ email, name }: NewUser): string =>
  createHash("sha256").update(JSON.stringify([name, email])).digest("base64url")

const make = (
  session: Session["Service"],
  cursorKeys: ReadonlyArray<Redacted.Redacted>
): Users["Service"] => {
  const { cql } = session

  /** The user that the first one with this key has asked for, whether or not it has been written. */
  const firstWith = Effect.fn("Users.firstWith")(function*(key: string, asked: NewUser) {
    const user = newUser(asked)
    const creation = { ...user, key, body: digest(asked) }
    const claim = yield* cql(Creation)`INSERT INTO creations ${cql.insert(Creation, creation)} IF NOT EXISTS`.applied
    if (claim.applied || Option.isNone(claim.current)) return user
    const first = claim.current.value
    if (first.body !== creation.body) return yield* new KeyReused()
    return new User({ ...asked, id: first.id, version: first.version, created: first.created })
  })

  const read = Effect.fn("Users.read")(function*(id: string) {
    const user = yield* cql(User)`SELECT ${cql.columns(User)} FROM users WHERE id = ${id}`.first
    return Option.isSome(user) ? user.value : yield* new NoSuchUser()
  })

  return {
    create: Effect.fn("Users.create")(function*(asked, key) {
      const user = key === undefined ? newUser(asked) : yield* firstWith(key, asked)
      // At the time of the first one: to write it again is nothing new, and undoes no later change or removal. Those have
      // the time of a node, whose clock must not be behind this one by more than a client needs to come back.
      const timestamp = user.created.getTime() * 1000
      yield* cql`INSERT INTO users ${cql.insert(User, user)} ${cql.using({ timestamp })}`
      return user
    }),

    read,

    update: Effect.fn("Users.update")(function*(id, { email, name, version }) {
      const next = { name, email, version: crypto.randomUUID() }
      const change = yield* cql(Version)`
        UPDATE users SET ${cql.set(next)} WHERE id = ${id} IF ${cql.and({ version })}`.applied
      if (!change.applied) return yield* Option.isNone(change.current) ? new NoSuchUser() : new ChangedMeanwhile()
      return yield* read(id)
    }),

    remove: Effect.fn("Users.remove")(function*(id) {
      const { applied } = yield* cql`DELETE FROM users WHERE id = ${id} IF EXISTS`.applied
      if (!applied) return yield* new NoSuchUser()
    }),

    list: Effect.fn("Users.list")(function*({ cursor, limit = 50 }) {
      const from = cursor === undefined ? undefined : yield* CqlStream.fromCursor(cursor, cursorKeys)
      const page = yield* cql(User)`SELECT ${cql.columns(User)} FROM users`.pipe(
        Statement.withOptions({ pageSize: limit }),
        CqlStream.pages({ from, maxPages: 1 }),
        Stream.runHead
      )
      const { next, rows } = Option.getOrElse(page, () => ({ next: undefined, rows: [] }))
      return new UserPage({
        users: rows,
        ...(next === undefined ? {} : { next: CqlStream.toCursor(next, cursorKeys[0]!) })
      })
    }),

    all: cql(User)`SELECT ${cql.columns(User)} FROM users`.pipe(Statement.withOptions({ pageSize: 500 })).stream,

    write: Effect.fn("Users.write")((users) =>
      users.pipe(
        Stream.map(newUser),
        Stream.run(CqlStream.sink({ table: "users", schema: User })),
        Effect.catchTag("NotWritten", ({ error }) => Effect.fail(error)),
        Effect.provideService(Session, session)
      )
    )
  }
}
