/**
 * What is told to every reader that listens, from callbacks that nothing may hold up.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/** More than a reader takes in time are dropped, the oldest first. */
const mostKept = 1024

export class Broadcast<A> {
  private readonly readers = new Set<Queue.Queue<A, Cause.Done>>()
  private closed = false

  /** Listens from the moment on in which it is run, beginning with `first`; ends when this is closed. */
  stream(first: () => ReadonlyArray<A> = () => []): Stream.Stream<A> {
    const join = Effect.tap(
      Queue.sliding<A, Cause.Done>(mostKept),
      (queue) => Effect.sync(() => this.join(queue, first()))
    )
    const joined = Effect.acquireRelease(join, (queue) => Effect.sync(() => this.readers.delete(queue)))
    return Stream.unwrap(Effect.map(joined, (queue) => Stream.fromQueue(queue)))
  }

  private join(queue: Queue.Queue<A, Cause.Done>, first: ReadonlyArray<A>): void {
    for (const message of first) Queue.offerUnsafe(queue, message)
    if (this.closed) Queue.endUnsafe(queue)
    else this.readers.add(queue)
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
