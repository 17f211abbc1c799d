/**
 * One run of migrations at a time: a lock whose lease the server ends, by its own clock, when nobody renews it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import type { CqlError } from "../../CqlError.ts"
import type { Holder } from "../../Migrator.ts"
import type { Book } from "./bookkeeping.ts"
import type { MigrationError } from "./error.ts"
import * as Errors from "./error.ts"

export interface LockOptions {
  readonly leaseSeconds: number
  /** When to look again, while somebody else holds it. */
  readonly waiting: Schedule.Schedule<unknown, MigrationError<never>>
}

/** Each half second for a minute, which is longer than a lease: a holder that is dead is outlived. */
export const defaultWaiting: LockOptions["waiting"] = Schedule.spaced("500 millis").pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: "1 minute" })
)

/** Runs `use` with the lock, which it lets go of however that ends; `owner` tells its writes from those of others. */
export const withLock = <A, E, R>(
  book: Book,
  options: LockOptions,
  use: (owner: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | CqlError | MigrationError<never>, R> =>
  Effect.suspend(() => {
    const owner = randomUUID()
    const kept = Effect.scoped(
      Effect.andThen(Effect.forkScoped(keep(book, owner, options.leaseSeconds)), use(owner))
    )
    // Also of one that may have it without knowing: an interruption may come right behind the answer.
    return Effect.ensuring(Effect.andThen(wait(book, owner, options), kept), release(book, owner))
  })

const wait = (
  book: Book,
  owner: string,
  { waiting }: LockOptions
): Effect.Effect<void, CqlError | MigrationError<never>> =>
  // To the end of its answer: what is given up may be applied later, when nobody lets go of it any more.
  Effect.uninterruptible(book.acquire(owner)).pipe(
    Effect.flatMap((holder) => holder === undefined ? Effect.void : Errors.fail(locked(holder))),
    Effect.retry({ while: isLocked, schedule: waiting as Schedule.Schedule<unknown, CqlError | MigrationError<never>> })
  )

const isLocked = (error: CqlError | MigrationError<never>): boolean =>
  error._tag === "MigrationError" && error.reason._tag === "Locked"

const locked = (holder: Holder): Errors.Locked =>
  new Errors.Locked({
    ...holder,
    message:
      `migrations are being applied by ${holder.process}; when that has ended without letting go of the lock, it ` +
      `is free in ${holder.expiresInSeconds} seconds`
  })

/** Three times in a lease, so that one that fails is made up for; it ends when the lock is somebody else's. */
const keep = (book: Book, owner: string, leaseSeconds: number): Effect.Effect<void> => {
  const renew = book.renew(owner).pipe(
    Effect.tapError((error) => Effect.logWarning(`the lock of the migrations is not renewed: ${error.message}`)),
    Effect.retry(Schedule.spaced(Duration.millis(leaseSeconds * 50))),
    Effect.delay(Duration.millis(leaseSeconds * 1000 / 3)),
    Effect.orElseSucceed(() => false)
  )
  return renew.pipe(
    Effect.repeat({ while: (held) => held }),
    Effect.andThen(Effect.logWarning("the lease of the migrations' lock has ended: no further migration is begun"))
  )
}

const release = (book: Book, owner: string): Effect.Effect<void> =>
  book.release(owner).pipe(
    Effect.retry({ times: 1 }),
    Effect.catch((error) =>
      Effect.logWarning(
        `the lock of the migrations is free when its lease ends, for it was not let go: ${error.message}`
      )
    )
  )
