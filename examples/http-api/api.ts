/**
 * The API: what is asked, what is answered, and by which errors. Routes, their documentation and clients are made of it.
 */
import { CqlType } from "effect-cassandra"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as Errors from "./errors.ts"

const Name = Schema.NonEmptyString.check(Schema.isMaxLength(200))

const Email = Schema.String.check(Schema.isMaxLength(254), Schema.isPattern(/^[^\s@]+@[^\s@]+$/))

/** A row of the table, and what is answered. Who changes a user says which `version` of it has been seen. */
export class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Name,
  email: Email,
  version: CqlType.Uuid,
  created: CqlType.Timestamp
}) {}

export class NewUser extends Schema.Class<NewUser>("NewUser")({ name: Name, email: Email }) {}

export class ChangedUser extends Schema.Class<ChangedUser>("ChangedUser")({
  name: Name,
  email: Email,
  version: CqlType.Uuid
}) {}

/** With an id from outside, so that an import that is sent again makes nobody twice. */
export class ImportedUser extends Schema.Class<ImportedUser>("ImportedUser")({
  id: CqlType.Uuid,
  name: Name,
  email: Email
}) {}

export class UserPage extends Schema.Class<UserPage>("UserPage")({
  users: Schema.Array(User),
  /** The cursor of the next page; none behind the last one. */
  next: Schema.optionalKey(Schema.String)
}) {}

export class Imported extends Schema.Class<Imported>("Imported")({
  written: Schema.Int,
  refused: Schema.Int,
  /** The first of those that were refused: which line, or which element of the array, counted from 1, and why. */
  refusals: Schema.Array(Schema.Struct({ line: Schema.Int, reason: Schema.String }))
}) {}

const byId = { id: CqlType.Uuid }

const limit = Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 200 }))

const idempotencyKey = Schema.NonEmptyString.check(Schema.isMaxLength(100))

const maxImportBytes = "16 MiB"

const Users = HttpApiGroup.make("users").add(
  HttpApiEndpoint.post("create", "/users", {
    headers: { "idempotency-key": Schema.optionalKey(idempotencyKey) },
    payload: NewUser,
    success: User.pipe(HttpApiSchema.status(201)),
    error: [Errors.KeyReused, ...Errors.ofDatabase]
  }).annotate(OpenApi.Description, "With an `Idempotency-Key` it can be sent again, and has one user and one answer."),
  HttpApiEndpoint.get("list", "/users", {
    query: { limit: Schema.optionalKey(limit), cursor: Schema.optionalKey(Schema.String) },
    success: UserPage,
    error: Errors.ofDatabase
  }),
  HttpApiEndpoint.get("download", "/users/download", {
    success: HttpApiSchema.StreamNdjson({ schema: User }),
    error: Errors.ofDatabase
  }).annotate(OpenApi.Description, "All users, a line for each."),
  HttpApiEndpoint.post("import", "/users/import", {
    payload: [
      Schema.Array(Schema.Unknown),
      HttpApiSchema.StreamUint8Array({ contentType: "application/x-ndjson", maxBytes: maxImportBytes })
    ],
    success: Imported,
    error: Errors.ofDatabase
  }).annotate(OpenApi.Description, "Users of the form `ImportedUser`, as an array or a line for each."),
  HttpApiEndpoint.get("read", "/users/:id", {
    params: byId,
    success: User,
    error: [Errors.NoSuchUser, ...Errors.ofDatabase]
  }),
  HttpApiEndpoint.put("update", "/users/:id", {
    params: byId,
    payload: ChangedUser,
    success: User,
    error: [Errors.NoSuchUser, Errors.ChangedMeanwhile, ...Errors.ofDatabase]
  }),
  HttpApiEndpoint.delete("delete", "/users/:id", {
    params: byId,
    error: [Errors.NoSuchUser, ...Errors.ofDatabase]
  })
)

/** The middleware answers 400 to what does not fit its schema. */
export const Api = HttpApi.make("users").add(Users)
  .middleware(HttpApiMiddleware.ProblemDetails)
  .annotate(HttpApi.AdditionalSchemas, [ImportedUser])
  .annotate(OpenApi.Title, "Users")
  .annotate(OpenApi.Version, "1.0.0")
