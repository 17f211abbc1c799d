import { assert, it } from "@effect/vitest"
import { cql, CqlStream, CqlType } from "effect-cassandra"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { aggregate } from "../../examples/stream-pipeline/aggregate.ts"
import { ingest } from "../../examples/stream-pipeline/ingest.ts"
import { sensors } from "../../examples/stream-pipeline/sensors.ts"
import { createTables, HourOfSensor } from "../../examples/stream-pipeline/tables.ts"
import * as Keyspace from "../support/keyspace.ts"

const total = 50_000

const Place = Schema.Struct({ job: Schema.String, place: Schema.String })
const NumberOf = Schema.Struct({ readings: CqlType.BigInt })

/** Runs it until its progress has been told so many times, and interrupts it then. */
const interruptedAfter = <A, E, R>(
  times: number,
  run: (onProgress: () => void) => Effect.Effect<A, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function*() {
    const reached = yield* Deferred.make<void>()
    let told = 0
    const onProgress = (): void => {
      if (++told === times) Deferred.doneUnsafe(reached, Effect.void)
    }
    const fiber = yield* Effect.forkChild(run(onProgress))
    yield* Effect.raceFirst(Deferred.await(reached), Effect.asVoid(Fiber.join(fiber)))
    yield* Fiber.interrupt(fiber)
  })

it.layer(Layer.provideMerge(Layer.effectDiscard(createTables), Keyspace.layer), {
  excludeTestServices: true,
  timeout: "60 seconds"
})("examples/stream-pipeline", (it) => {
  it.effect("is interrupted twice, goes on, and has each reading once and each hour right", () =>
    Effect.gen(function*() {
      const offsets: Array<number> = []
      yield* interruptedAfter(3, (onProgress) => ingest(total, onProgress))
      const left = yield* ingest(total, (offset) => offsets.push(offset))
      assert.isAbove(offsets[0]!, 0)
      assert.strictEqual(left, total - offsets[0]!)
      assert.strictEqual(yield* CqlStream.count({ table: "readings" }), BigInt(total))

      yield* interruptedAfter(2, aggregate)
      const places = yield* cql(Place)`SELECT * FROM places WHERE job = 'aggregate'`
      assert.lengthOf(places, 1)
      yield* aggregate(() => undefined)
      assert.deepStrictEqual(yield* cql`SELECT * FROM places WHERE job = 'aggregate'`, [])

      const hours = yield* cql(HourOfSensor)`SELECT * FROM hours`
      assert.strictEqual(hours.reduce((sum, { readings }) => sum + readings, 0), total)
      const seconds = total / sensors * 10
      assert.lengthOf(hours, sensors * Math.ceil(seconds / 3600))
      for (const { highest, hour, lowest, mean, readings, sensor } of hours) {
        assert.isTrue(lowest <= mean && mean <= highest)
        // The last one is not over yet.
        const isLast = hours.every((other) => other.hour.getTime() <= hour.getTime())
        if (!isLast) assert.strictEqual(readings, 360, `sensor ${sensor}, ${hour.toISOString()}`)
      }
      const [{ readings } = { readings: undefined }] = yield* cql(NumberOf)`
        SELECT count(*) AS readings FROM readings WHERE sensor = 7 AND day = '2026-01-01'`
      assert.strictEqual(readings, 2500n)
    }))
})
