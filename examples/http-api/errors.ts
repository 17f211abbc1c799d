/**
 * What is answered to what cannot be done, as problems of RFC 9457: a status, a title, and nothing of what is inside.
 */
import { CqlError } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as HttpApiError from "effect/http-api/HttpApiError"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Schema from "effect/Schema"

const type = "about:blank"

export class NoSuchUser extends HttpApiError.Problem<NoSuchUser>()("NoSuchUser", {
  type,
  status: 404,
  title: "There is no such user"
}) {}

export class ChangedMeanwhile extends HttpApiError.Problem<ChangedMeanwhile>()("ChangedMeanwhile", {
  type,
  status: 409,
  title: "The user has another version by now"
}) {}

export class KeyReused extends HttpApiError.Problem<KeyReused>()("KeyReused", {
  type,
  status: 422,
  title: "The Idempotency-Key has been used with another body"
}) {}

const retryAfter = { retryAfter: Schema.Int }

export class TooManyRequests extends HttpApiError.Problem<TooManyRequests>()("TooManyRequests", {
  type,
  status: 429,
  title: "Too many requests are under way"
}, retryAfter) {}

export class Unavailable extends HttpApiError.Problem<Unavailable>()("Unavailable", {
  type,
  status: 503,
  title: "The database cannot be reached"
}, retryAfter) {}

export class TimedOut extends HttpApiError.Problem<TimedOut>()("TimedOut", {
  type,
  status: 504,
  title: "The database has not answered in time"
}) {}

export type OfDatabase =
  | HttpApiError.BadRequestProblem
  | HttpApiError.InternalServerErrorProblem
  | TooManyRequests
  | Unavailable
  | TimedOut

const headers = { "retry-after": Schema.Int }

/** Every endpoint has these, beside the 400 and 500 that its middleware has. */
export const ofDatabase = [
  TooManyRequests.pipe(HttpApiSchema.encodeToWithHeaders({ body: TooManyRequests, headers }, {
    decode: ({ body }) => body,
    encode: (body) => ({ body, headers: { "retry-after": body.retryAfter } })
  })),
  Unavailable.pipe(HttpApiSchema.encodeToWithHeaders({ body: Unavailable, headers }, {
    decode: ({ body }) => body,
    encode: (body) => ({ body, headers: { "retry-after": body.retryAfter } })
  })),
  TimedOut
] as const

/**
 * Answers what the database refuses. What nobody can mend by asking again is logged, with its statement, and is a 500.
 */
export const answered = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, Exclude<E, CqlError | Schema.SchemaError> | OfDatabase, R> =>
  self.pipe(
    Effect.catch((error): Effect.Effect<never, Exclude<E, CqlError | Schema.SchemaError> | OfDatabase> => {
      if (CqlError.is(error)) return problemOf(error)
      // A row that its own class does not fit.
      if (Schema.isSchemaError(error)) return Effect.die(error)
      return Effect.fail(error as Exclude<E, CqlError | Schema.SchemaError>)
    })
  )

const problemOf = (error: CqlError): Effect.Effect<never, OfDatabase> => {
  const { reason } = error
  switch (reason._tag) {
    case "InvalidPageState":
      return Effect.fail(new HttpApiError.BadRequestProblem({ detail: "The cursor is none of this list" }))
    case "AdmissionRefused":
    case "Overloaded":
      return Effect.fail(new TooManyRequests({ retryAfter: 1 }))
    case "CircuitOpen":
      return Effect.fail(new Unavailable({ retryAfter: Math.max(1, Math.ceil(reason.retryAfterMillis / 1000)) }))
    case "Bootstrapping":
    case "ConnectionError":
    case "NoHostAvailable":
    case "SessionClosed":
    case "Unavailable":
      return Effect.fail(new Unavailable({ retryAfter: 5 }))
    case "CasWriteUnknown":
    case "ClientTimeout":
    case "ReadTimeout":
    case "WriteTimeout":
      return Effect.fail(new TimedOut())
    default:
      return Effect.andThen(Effect.logError(error), Effect.fail(new HttpApiError.InternalServerErrorProblem()))
  }
}
