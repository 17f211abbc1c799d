/**
 * The types of retries as a program sees them. Nothing here is run: it compiles, or a type is not what it was.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { expectTypeOf } from "vitest"
import type { CqlError } from "../../src/index.ts"
import { cql, CqlRetry, Session, Statement } from "../../src/index.ts"

class Service extends Context.Service<Service, { readonly millis: number }>()("Service") {}

declare const standard: Schedule.Schedule<unknown, CqlError>

declare const ofAnything: Schedule.Schedule<number>

declare const ofNumbers: Schedule.Schedule<unknown, number>

declare const thatFails: Schedule.Schedule<unknown, CqlError, Error>

declare const thatNeeds: Schedule.Schedule<unknown, CqlError, never, Service>

// --- decisions

export const decisions = () => {
  expectTypeOf<CqlRetry.Decision>().toEqualTypeOf<"rethrow" | "retryNow" | "retryLater">()
  expectTypeOf<CqlRetry.Failure>().toEqualTypeOf<{
    readonly reason: CqlError["reason"]
    readonly idempotent: boolean
  }>()
  expectTypeOf(CqlRetry.decide).toEqualTypeOf<(failure: CqlRetry.Failure) => CqlRetry.Decision>()

  CqlRetry.make({
    decide: (failure) => {
      expectTypeOf(failure).toEqualTypeOf<CqlRetry.Failure>()
      // @ts-expect-error a failure is what happened
      failure.idempotent = true
      return failure.reason._tag === "Overloaded" ? "rethrow" : CqlRetry.decide(failure)
    }
  })
  CqlRetry.make({
    decide: ({ reason }) => reason._tag === "WriteTimeout" && reason.received > 0 ? "retryNow" : "rethrow"
  })
  CqlRetry.make({ decide: () => "retryLater" })
  CqlRetry.make({ decide: undefined })

  // @ts-expect-error no such decision
  CqlRetry.make({ decide: () => "retry" })
  // @ts-expect-error any string is no decision
  CqlRetry.make({ decide: ({ reason }) => reason.message })
  // @ts-expect-error nor is whether
  CqlRetry.make({ decide: ({ idempotent }) => idempotent })
  // @ts-expect-error nothing is not "rethrow"
  CqlRetry.make({ decide: () => undefined })
  // @ts-expect-error some failures are not decided on
  CqlRetry.make({ decide: ({ idempotent }) => idempotent ? "retryNow" : undefined })
  // @ts-expect-error it is decided at once
  CqlRetry.make({ decide: () => Promise.resolve("rethrow" as const) })
  // @ts-expect-error and not by an effect
  CqlRetry.make({ decide: () => Effect.succeed("rethrow" as const) })
  // @ts-expect-error one failure is all that it is given
  CqlRetry.make({ decide: (_: CqlRetry.Failure, attempt: number) => attempt > 2 ? "rethrow" : "retryNow" })
  // @ts-expect-error no reason is called so
  CqlRetry.make({ decide: ({ reason }) => reason._tag === "Timeout" ? "rethrow" : "retryNow" })
}

// --- schedules

export const schedules = () => {
  expectTypeOf(CqlRetry.schedule).toEqualTypeOf<Schedule.Schedule<unknown, CqlError>>()

  CqlRetry.make({ schedule: standard })
  CqlRetry.make({ schedule: ofAnything })
  CqlRetry.make({ schedule: CqlRetry.schedule.pipe(Schedule.upTo({ times: 1 })) })
  CqlRetry.make({ schedule: Schedule.exponential("10 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 2 })) })
  CqlRetry.make({
    schedule: Schedule.spaced("1 second").pipe(
      Schedule.setInputType<CqlError>(),
      Schedule.while(({ input }) => {
        expectTypeOf(input).toEqualTypeOf<CqlError>()
        return input.attempts.length < 3
      })
    )
  })
  CqlRetry.make({ schedule: undefined })

  // @ts-expect-error a schedule that can fail
  CqlRetry.make({ schedule: thatFails })
  // @ts-expect-error a schedule that needs a service
  CqlRetry.make({ schedule: thatNeeds })
  CqlRetry.make({
    // @ts-expect-error the same, where it is made on the spot
    schedule: Schedule.spaced("1 second").pipe(
      Schedule.modifyDelay(() => Effect.map(Service, ({ millis }) => millis))
    )
  })
  // @ts-expect-error it is told errors and nothing else
  CqlRetry.make({ schedule: ofNumbers })
  // @ts-expect-error a delay is no schedule
  CqlRetry.make({ schedule: "1 second" })
  // @ts-expect-error nor is a number of attempts
  CqlRetry.make({ schedule: 3 })
}

// --- policies

export const policies = () => {
  expectTypeOf<CqlRetry.Policy>().toEqualTypeOf<{
    readonly decide: (failure: CqlRetry.Failure) => CqlRetry.Decision
    readonly schedule: Schedule.Schedule<unknown, CqlError>
  }>()
  expectTypeOf(CqlRetry.standard).toEqualTypeOf<CqlRetry.Policy>()
  expectTypeOf(CqlRetry.none).toEqualTypeOf<CqlRetry.Policy>()
  expectTypeOf(CqlRetry.make({})).toEqualTypeOf<CqlRetry.Policy>()
  expectTypeOf(CqlRetry.make({ schedule: standard })).toEqualTypeOf<CqlRetry.Policy>()

  // @ts-expect-error there is no third part
  CqlRetry.make({ times: 3 })
  // @ts-expect-error a policy is said, be it an empty one
  CqlRetry.make()
  // @ts-expect-error a policy is not changed
  CqlRetry.standard.decide = () => "rethrow"
}

// --- where they are given

export const places = () => {
  const retry = CqlRetry.make({ decide: () => "rethrow" })
  const statement = cql`SELECT id FROM users`
  const batch = Statement.batch([cql`DELETE FROM users`])
  expectTypeOf(statement.pipe(Statement.withOptions({ retry }))).toEqualTypeOf<typeof statement>()
  expectTypeOf(batch.pipe(Statement.withOptions({ retry }))).toEqualTypeOf<typeof batch>()
  expectTypeOf(Statement.provideOptions(statement, { retry })).toEqualTypeOf<
    Effect.Effect<ReadonlyArray<Statement.Row>, CqlError, Session>
  >()
  statement.pipe(Statement.withOptions({ retry: undefined }))
  Session.make({ contactPoints: ["127.0.0.1"], retry, profiles: { once: { retry: CqlRetry.none } } })
  Session.makeFrom({ retry })

  // A policy that is written out needs both of its parts.
  statement.pipe(Statement.withOptions({ retry: { decide: CqlRetry.decide, schedule: CqlRetry.schedule } }))
  // @ts-expect-error no schedule
  statement.pipe(Statement.withOptions({ retry: { decide: CqlRetry.decide } }))
  // @ts-expect-error no decision
  statement.pipe(Statement.withOptions({ retry: { schedule: CqlRetry.schedule } }))
  // @ts-expect-error a schedule alone is no policy
  statement.pipe(Statement.withOptions({ retry: CqlRetry.schedule }))
  // @ts-expect-error nor is a decision
  statement.pipe(Statement.withOptions({ retry: CqlRetry.decide }))
  // @ts-expect-error nor is a switch
  statement.pipe(Statement.withOptions({ retry: false }))
  // @ts-expect-error that can fail
  statement.pipe(Statement.withOptions({ retry: { decide: CqlRetry.decide, schedule: thatFails } }))
  // @ts-expect-error that needs a service
  Session.make({ contactPoints: ["127.0.0.1"], retry: { decide: CqlRetry.decide, schedule: thatNeeds } })
}
