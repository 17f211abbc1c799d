/**
 * Lookups as requests: those that are in flight together become one round of concurrent reads, each key read once.
 *
 * Import it as `CqlResolver`. Each key is a statement of its own, which goes to a replica of its partition; never an `IN`
 * over partitions, which one coordinator would have to collect from all nodes and answer or fail as a whole.
 *
 * @module CqlResolver
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import { isNotUndefined } from "effect/Predicate"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type { AnySpan } from "effect/Tracer"
import { ParentSpan } from "effect/Tracer"
import type { CqlError } from "./CqlError.ts"
import * as Check from "./internal/check.ts"
import { Session } from "./Session.ts"
import type { Statement } from "./Statement.ts"
import { CurrentOptions } from "./Statement.ts"

/**
 * A lookup of one key.
 *
 * **Details**
 *
 * Two are equal when their keys are, by `Equal.equals`, and when they were made on the same session and with the same
 * options of the region (`Statement.provideOptions`). What keeps requests, as `RequestResolver.withCache` does, so keeps
 * the answers of two sessions apart.
 *
 * @category models
 * @since 0.1.0
 */
export interface CqlRequest<out Key, out A, out E = never, out R = never> extends Request.Request<A, E, R> {
  readonly key: Key
}

/**
 * How a round of lookups is run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many reads of one round run at once. By default 256; the session's `maxInFlight` bounds all rounds together. */
  readonly concurrency?: number | "unbounded" | undefined
}

/**
 * Looks up the first row of each key, if there is one.
 *
 * **Details**
 *
 * Lookups that are made together (by fibers that run together) are one round. In it, keys that are equal are read once,
 * and all who asked have the answer. A read that fails, or a statement that cannot be made of its key, fails those who
 * asked for that key, and nobody else. Who is interrupted before the round begins is not read for; the others of the key
 * have their answer in any case.
 *
 * A round is in the background: it is not interrupted with those who asked. `RequestResolver.batchN` bounds how many
 * lookups are one round, `RequestResolver.setDelay` has a round wait for more of them, and `RequestResolver.withCache`
 * keeps the answers, failures too, for later rounds.
 *
 * **Gotchas**
 *
 * A read runs with the context of the first who asked for its key: its trace has the span, and where the schema of the
 * rows needs services, they are its own. Only another session and other options of the region have a read of their own.
 *
 * Keys are compared by their value, so an object that is one must not be changed afterwards. A UUID in capitals is another
 * key than the same one in lower case.
 *
 * **Example** (A thousand users, each read once)
 *
 * ```ts
 * import { cql, CqlResolver, CqlType } from "effect-cassandra"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}
 *
 * const userById = CqlResolver.request(
 *   CqlResolver.findFirst((id: string) => cql(User)`SELECT id, name FROM users WHERE id = ${id}`)
 * )
 *
 * // An Effect of an Option<User> for each id
 * const usersById = (ids: ReadonlyArray<string>) => Effect.forEach(ids, userById, { concurrency: "unbounded" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const findFirst = <Key, A, E, R>(
  statement: (key: Key) => Statement<A, E, R>,
  options?: Options
): RequestResolver.RequestResolver<CqlRequest<Key, Option.Option<A>, E, R>> =>
  make((key) => statement(key).first, options)

/**
 * Looks up the first row of each key, or fails with `NoSuchElementError`.
 *
 * @see {@link findFirst} for how lookups become rounds
 * @category constructors
 * @since 0.1.0
 */
export const findOne = <Key, A, E, R>(
  statement: (key: Key) => Statement<A, E, R>,
  options?: Options
): RequestResolver.RequestResolver<CqlRequest<Key, A, E | Cause.NoSuchElementError, R>> =>
  make((key) => statement(key).one, options)

/**
 * Looks up all rows of each key.
 *
 * **Example** (The orders of many users)
 *
 * ```ts
 * import { cql, CqlResolver, CqlType } from "effect-cassandra"
 * import * as Schema from "effect/Schema"
 *
 * class Order extends Schema.Class<Order>("Order")({ user: CqlType.Uuid, id: CqlType.TimeUuid }) {}
 *
 * const orders = CqlResolver.findAll(
 *   (user: string) => cql(Order)`SELECT user, id FROM orders WHERE user = ${user}`,
 *   { concurrency: 32 }
 * )
 *
 * // An Effect of a ReadonlyArray<Order>
 * const ordersOf = (user: string) => CqlResolver.request(user, orders)
 * ```
 *
 * @see {@link findFirst} for how lookups become rounds
 * @category constructors
 * @since 0.1.0
 */
export const findAll = <Key, A, E, R>(
  statement: (key: Key) => Statement<A, E, R>,
  options?: Options
): RequestResolver.RequestResolver<CqlRequest<Key, ReadonlyArray<A>, E, R>> => make(statement, options)

/**
 * Looks up a key by a resolver.
 *
 * @category running
 * @since 0.1.0
 */
export const request: {
  <Key, A, E, R>(
    resolver: RequestResolver.RequestResolver<CqlRequest<Key, A, E, R>>
  ): (key: Key) => Effect.Effect<A, E, R>
  <Key, A, E, R>(
    key: Key,
    resolver: RequestResolver.RequestResolver<CqlRequest<Key, A, E, R>>
  ): Effect.Effect<A, E, R>
} = dual(
  2,
  <Key, A, E, R>(
    key: Key,
    resolver: RequestResolver.RequestResolver<CqlRequest<Key, A, E, R>>
  ): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      const session = Context.getOrUndefined(fiber.context as Context.Context<Session>, Session)
      return Effect.request(lookup<Key, A, E, R>({ key, session, options: fiber.getRef(CurrentOptions) }), resolver)
    })
)

// internal

interface Lookup<Key> {
  readonly key: Key
  readonly session: Session["Service"] | undefined
  readonly options: ReadonlyArray<object>
}

const LookupPrototype = {
  ...Request.RequestPrototype,
  [Equal.symbol](this: Lookup<unknown>, that: Lookup<unknown>): boolean {
    return this.session === that.session && Equal.equals(this.key, that.key) && Equal.equals(this.options, that.options)
  },
  [Hash.symbol](this: Lookup<unknown>): number {
    return Hash.hash(this.key)
  }
}

const lookup = <Key, A, E, R>(fields: Lookup<Key>): CqlRequest<Key, A, E, R> =>
  Object.setPrototypeOf({ ...fields }, LookupPrototype)

type Entry<Key, A, E, R> = Request.Entry<CqlRequest<Key, A, E, R>>

/** Of those who share a look-up, one has it as a child: the others are linked to it. */
const spanOf = ({ context }: { readonly context: Context.Context<never> }): AnySpan | undefined =>
  Context.getOrUndefined(context as Context.Context<ParentSpan>, ParentSpan)

type Entries<Key, A, E, R> = [Entry<Key, A, E, R>, ...Array<Entry<Key, A, E, R>>]

const make = <Key, A, E, R>(
  read: (key: Key) => Effect.Effect<A, E, R>,
  options: Options = {}
): RequestResolver.RequestResolver<CqlRequest<Key, A, E, R>> => {
  const { concurrency = 256 } = options
  const problem = Check.problem([checkOf(concurrency)])
  // A statement fails with the same error, when one of its options makes no sense.
  const readOrRefuse = problem === undefined ? read : () => Effect.fail(problem as CqlError & E)
  return RequestResolver.make((entries) =>
    Effect.forEach(byRequest(entries), (asked) => answer(asked, readOrRefuse), { concurrency, discard: true })
  )
}

const checkOf = (concurrency: number | "unbounded"): Check.Check => {
  const whole = Check.whole("concurrency", concurrency === "unbounded" ? undefined : concurrency, 1)
  return { ...whole, expected: `${whole.expected}, or "unbounded"` }
}

const byRequest = <Key, A, E, R>(entries: Iterable<Entry<Key, A, E, R>>): Iterable<Entries<Key, A, E, R>> => {
  const groups = MutableHashMap.empty<CqlRequest<Key, A, E, R>, Entries<Key, A, E, R>>()
  for (const entry of entries) {
    const group = MutableHashMap.get(groups, entry.request)
    if (Option.isSome(group)) group.value.push(entry)
    else MutableHashMap.set(groups, entry.request, [entry])
  }
  return MutableHashMap.values(groups)
}

const answer = <Key, A, E, R>(
  asked: Entries<Key, A, E, R>,
  read: (key: Key) => Effect.Effect<A, E, R>
): Effect.Effect<void> => {
  const [{ context, request }] = asked
  const [, ...otherSpans] = new Set(asked.map(spanOf))
  return Effect.linkSpans(Effect.suspend(() => read(request.key)), otherSpans.filter(isNotUndefined)).pipe(
    // In place of the context of the round, which has the first one's options, and not on top of it.
    Effect.updateContext<never, R>(() => context as Context.Context<R>),
    Effect.exit,
    Effect.map((exit) => {
      for (const entry of asked) entry.completeUnsafe(exit)
    })
  )
}
