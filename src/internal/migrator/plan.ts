/**
 * What is given beside what has been applied.
 */
import * as Effect from "effect/Effect"
import type { Migration, Options, Recorded, Status } from "../../Migrator.ts"
import type { Contents } from "./bookkeeping.ts"
import type { Change, MigrationError, Named } from "./error.ts"
import * as Errors from "./error.ts"
import { invalidNames, isId } from "./loaders.ts"

export type AnyMigration = Migration<unknown, any>

export type AnyOptions = Options<any, any, any>

/** In the order of their ids. */
export const inOrder = Effect.fnUntraced(function*(
  migrations: ReadonlyArray<AnyMigration>,
  { allowGaps = false }: AnyOptions
): Effect.fn.Return<ReadonlyArray<AnyMigration>, MigrationError<never>> {
  const wrong = migrations.filter(({ id }) => !isId(id))
  if (wrong.length > 0) return yield* invalidNames(wrong.map(Errors.label))
  const sorted = migrations.toSorted((a, b) => a.id - b.id)
  const pairs = sorted.slice(1).map((next, index) => [sorted[index]!, next] as const)
  const same = pairs.find(([last, next]) => last.id === next.id)
  if (same !== undefined) return yield* duplicate(same[0].id, sorted)
  const gap = pairs.find(([last, next]) => next.id > last.id + 1)
  if (gap !== undefined && !allowGaps) return yield* gapBetween(...gap)
  return sorted
})

const duplicate = (id: number, all: ReadonlyArray<Named>): Effect.Effect<never, MigrationError<never>> => {
  const names = all.filter((one) => one.id === id).map(Errors.label)
  return Errors.fail(new Errors.Duplicate({ id, names, message: `several migrations are ${id}: ${names.join(", ")}` }))
}

const gapBetween = (last: Named, next: Named): Effect.Effect<never, MigrationError<never>> =>
  Errors.fail(
    new Errors.Gap({
      after: last.id,
      before: next.id,
      message:
        `no migration is between ${Errors.label(last)} and ${Errors.label(next)}: where ids are not counted, such ` +
        "as those of a date, set allowGaps"
    })
  )

/** What there is to do, with what has been done. */
export interface Plan extends Omit<Status, "pending"> {
  readonly pending: ReadonlyArray<AnyMigration>
}

export const compare = (migrations: ReadonlyArray<AnyMigration>, { applied, begun, holder }: Contents): Plan => {
  const given = new Set(migrations.map(({ id }) => id))
  const byId = new Map(applied.map((recorded) => [recorded.id, recorded]))
  const pending = migrations.filter(({ id }) => !byId.has(id))
  const last = applied.at(-1)?.id ?? 0
  return {
    applied,
    pending,
    changed: migrations.flatMap((migration) => changeOf(migration, byId.get(migration.id))),
    missing: applied.filter(({ id }) => !given.has(id)),
    outOfOrder: pending.filter(({ id }) => id < last).map(named),
    halfApplied: begun,
    holder
  }
}

export const named = ({ id, name }: Named): Named => ({ id, name })

const changeOf = (
  { checksum, id, name }: AnyMigration,
  applied: Recorded | undefined
): ReadonlyArray<Change> => {
  if (applied === undefined) return []
  const isOther = checksum !== undefined && applied.checksum !== undefined && checksum !== applied.checksum
  return isOther || name !== applied.name
    ? [{ id, name, checksum, appliedName: applied.name, appliedChecksum: applied.checksum }]
    : []
}

/** What may not be run, whoever holds the lock. */
export const refuse = (plan: Plan, options: AnyOptions): Effect.Effect<void, MigrationError<never>> => {
  const { changed, outOfOrder } = plan
  if (changed.length > 0) return Errors.fail(changedOf(changed))
  if (outOfOrder.length === 0 || options.allowOutOfOrder === true) return Effect.void
  const last = plan.applied.at(-1)!
  return Errors.fail(
    new Errors.OutOfOrder({
      migrations: outOfOrder,
      last: named(last),
      message:
        `${Errors.labels(outOfOrder)}: not applied, and ${Errors.label(last)} behind it is: give it an id behind ` +
        "that, or set allowOutOfOrder"
    })
  )
}

const changedOf = (migrations: ReadonlyArray<Change>): Errors.Changed =>
  new Errors.Changed({
    migrations,
    message: `${migrations.map(sayingOfChange).join("; ")}: what has been applied stays as it was, a change of it is ` +
      "another migration"
  })

const sayingOfChange = ({ appliedChecksum, appliedName, checksum, id, name }: Change): string =>
  name === appliedName
    ? `migration ${Errors.label({ id, name })} has the checksum ${checksum}, and was applied with ${appliedChecksum}`
    : `migration ${Errors.label({ id, name })} was applied as ${Errors.label({ id, name: appliedName })}`

/** What may be running while somebody else holds the lock, and otherwise is not. */
export const refuseHalfApplied = (
  { halfApplied, pending }: Plan,
  options: AnyOptions
): Effect.Effect<void, MigrationError<never>> => {
  const ids = new Set(pending.map(({ id }) => id))
  const begun = halfApplied.find(({ id }) => ids.has(id))
  if (begun === undefined || options.halfApplied === "runAgain") return Effect.void
  const { begunAt, id, name, process } = begun
  return Errors.fail(
    new Errors.HalfApplied({
      id,
      name,
      process,
      begunAt,
      message:
        `migration ${Errors.label(begun)} was begun by ${process} and did not end: it may be half applied. See what ` +
        "of it is there; when it can be run again, set halfApplied to \"runAgain\""
    })
  )
}
