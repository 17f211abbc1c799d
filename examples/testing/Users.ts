/**
 * What is tested here: a service of an application that keeps its users in Cassandra.
 */
import { cql, CqlType, Session } from "effect-cassandra"
import type { CqlError } from "effect-cassandra"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"

export class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.NonEmptyString,
  email: Schema.String
}) {}

/** Somebody else has this address. */
export class EmailTaken extends Schema.TaggedError<EmailTaken>()("EmailTaken", { email: Schema.String }) {}

/** The application's schema, once for itself and for its tests. */
export const createTables = Effect.gen(function*() {
  yield* cql`CREATE TABLE IF NOT EXISTS users (id uuid PRIMARY KEY, name text, email text)`
  yield* cql`CREATE TABLE IF NOT EXISTS users_by_email (email text PRIMARY KEY, id uuid)`
})

export class Users extends Context.Service<Users, {
  readonly add: (user: User) => Effect.Effect<void, EmailTaken | CqlError | Schema.SchemaError>
  readonly find: (id: string) => Effect.Effect<Option.Option<User>, CqlError | Schema.SchemaError>
}>()("Users") {
  static readonly layer: Layer.Layer<Users, never, Session> = Layer.effect(
    Users,
    Effect.map(Session, ({ cql }) =>
      Users.of({
        add: Effect.fn("Users.add")(function*(user) {
          const { email, id } = user
          const claim = yield* cql`INSERT INTO users_by_email ${cql.insert({ email, id })} IF NOT EXISTS`.applied
          if (!claim.applied) return yield* new EmailTaken({ email })
          yield* cql`INSERT INTO users ${cql.insert(User, user)}`
        }),
        find: (id) => cql(User)`SELECT ${cql.columns(User)} FROM users WHERE id = ${id}`.first
      }))
  )
}
