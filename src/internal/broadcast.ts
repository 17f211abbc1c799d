/**
 * What is told to every reader that listens, from callbacks that nothing may hold up.
 */
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** More than a reader takes in time are dropped, the oldest first. */
const mostKept = 1024

type Reader<A> = Queue.Queue<A, Cause.Done>

export class Broadcast<A> {
  private readonly readers = new Set<Reader<A>>()
  private closed = false

  /**
   * Listens from the moment on in which it is run, also before it is first pulled, beginning with `first`; ends when this
   * is closed, and at once where it is closed by then.
   */
  stream(first: () => ReadonlyArray<A> = () => []): Stream.Stream<A> {
    return Stream.fromChannel(Channel.fromTransform((upstream, scope) =>
      Effect.flatMap(
        Scope.provide(this.joined(first), scope),
        (queue) => Channel.toTransform(Channel.fromQueueArray(queue))(upstream, scope)
      )
    ))
  }

  private joined(first: () => ReadonlyArray<A>): Effect.Effect<Reader<A>, never, Scope.Scope> {
    const join = Effect.tap(
      Queue.sliding<A, Cause.Done>(mostKept),
      (queue) => Effect.sync(() => this.join(queue, first))
    )
    return Effect.acquireRelease(join, (queue) => Effect.sync(() => this.readers.delete(queue)))
  }

  private join(queue: Reader<A>, first: () => ReadonlyArray<A>): void {
    // What was known when it was closed is not so any more.
    if (this.closed) return void Queue.endUnsafe(queue)
    Queue.offerAllUnsafe(queue, first())
    this.readers.add(queue)
  }

  tell(message: A): void {
    for (const queue of this.readers) Queue.offerUnsafe(queue, message)
  }

  close(): void {
    this.closed = true
    for (const queue of this.readers) Queue.endUnsafe(queue)
    this.readers.clear()
  }
}
