/**
 * What is told to every reader that listens: in order, to all of them, and held up by none.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Broadcast } from "../../src/internal/broadcast.ts"

const made = Effect.sync(() => new Broadcast<number>())

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

const tellAll = (broadcast: Broadcast<number>, messages: ReadonlyArray<number>) =>
  Effect.sync(() => {
    for (const message of messages) broadcast.tell(message)
  })

const startImmediately = { startImmediately: true } as const

const collecting = (stream: Stream.Stream<number>) => Effect.forkChild(Stream.runCollect(stream), startImmediately)

/** Looked at from outside: nobody who is gone may be kept. */
const readersOf = (broadcast: Broadcast<number>): number =>
  (broadcast as unknown as { readonly readers: ReadonlySet<unknown> }).readers.size

describe("a broadcast", () => {
  it.effect("tells every reader all of it, in order", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const readers = yield* Effect.forEach([1, 2, 3], () => collecting(broadcast.stream()))
      yield* tellAll(broadcast, [1, 2, 3])
      yield* Effect.sync(() => broadcast.close())
      for (const reader of readers) assert.deepStrictEqual(yield* Fiber.join(reader), [1, 2, 3])
    }))

  it.effect("tells a reader nothing of what was before it came", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      yield* tellAll(broadcast, [1])
      const reader = yield* collecting(broadcast.stream())
      yield* tellAll(broadcast, [2])
      broadcast.close()
      assert.deepStrictEqual(yield* Fiber.join(reader), [2])
    }))

  it.effect("keeps what is told between the start of a stream and its first pull", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const pull = yield* Stream.toPull(broadcast.stream())
      yield* tellAll(broadcast, [1, 2])
      assert.deepStrictEqual(yield* pull, [1, 2])
    }))

  it.effect("begins with what is known when the stream is run, each time that it is", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      let known = 1
      const stream = broadcast.stream(() => [known])
      known = 2
      const first = yield* collecting(stream)
      known = 3
      const second = yield* collecting(stream)
      yield* tellAll(broadcast, [4])
      broadcast.close()
      assert.deepStrictEqual(yield* Fiber.join(first), [2, 4])
      assert.deepStrictEqual(yield* Fiber.join(second), [3, 4])
    }))

  it.effect("loses the oldest of a reader that falls behind, and of no other", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const behind = yield* Stream.toPull(broadcast.stream())
      const quick: Array<number> = []
      const reader = yield* Effect.forkChild(
        Stream.runForEach(broadcast.stream(), (message) => Effect.sync(() => quick.push(message))),
        startImmediately
      )
      for (const message of numbers(1, 2000)) {
        broadcast.tell(message)
        if (message % 100 === 0) yield* Effect.yieldNow
      }
      broadcast.close()
      yield* Fiber.join(reader)
      assert.deepStrictEqual(quick, numbers(1, 2000))
      const kept: ReadonlyArray<number> = yield* behind
      assert.deepStrictEqual(kept, numbers(2000 - 1023, 2000))
    }))

  it.effect("ends its streams when it is closed, behind what they have not read yet", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const late = yield* Stream.toPull(broadcast.stream())
      const reader = yield* collecting(broadcast.stream())
      yield* tellAll(broadcast, [1])
      broadcast.close()
      assert.strictEqual(readersOf(broadcast), 0)
      broadcast.tell(2)
      assert.deepStrictEqual(yield* Fiber.join(reader), [1])
      assert.deepStrictEqual(yield* late, [1])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(late)))
    }))

  it.effect("that is closed tells nobody anything, also not what it began with", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      broadcast.close()
      assert.deepStrictEqual(yield* Stream.runCollect(broadcast.stream(() => [1])), [])
      assert.strictEqual(readersOf(broadcast), 0)
    }))

  it.effect("keeps nothing of a reader that has gone, however it went", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const stream = broadcast.stream()
      const interrupted = yield* Effect.forkChild(Stream.runDrain(stream), startImmediately)
      const taken = yield* Effect.forkChild(Stream.runDrain(Stream.take(stream, 1)), startImmediately)
      const failed = yield* Effect.forkChild(
        Effect.exit(Stream.runForEach(stream, () => Effect.fail("no"))),
        startImmediately
      )
      const scope = yield* Scope.make()
      // Of one that was never pulled.
      yield* Scope.provide(Stream.toPull(stream), scope)
      assert.strictEqual(readersOf(broadcast), 4)
      yield* tellAll(broadcast, [1])
      yield* Fiber.await(taken)
      yield* Fiber.await(failed)
      assert.strictEqual(readersOf(broadcast), 2)
      yield* Fiber.interrupt(interrupted)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(readersOf(broadcast), 0)
    }))

  it.effect("does not throw at who tells, whatever its readers do", () =>
    Effect.gen(function*() {
      const broadcast = yield* made
      const reader = yield* Effect.forkChild(
        Effect.exit(Stream.runForEach(broadcast.stream(), () => Effect.die("a reader that throws"))),
        startImmediately
      )
      yield* tellAll(broadcast, [1, 2])
      assert.isTrue(Exit.isFailure(yield* Fiber.join(reader)))
      yield* tellAll(broadcast, [3])
    }))
})
