/**
 * A stream of readings into a table, so that it can be interrupted anywhere and gone on with.
 */
import { CqlStream } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Places from "./places.ts"
import { readings } from "./sensors.ts"
import { Reading } from "./tables.ts"

const job = "ingest"

/** Readings between two places. More of them make it faster; after an interruption, as many are written twice. */
const perPlace = 10_000

/**
 * Writes the readings up to `total` that are not written yet, and gives how many that were.
 *
 * The sink sends those of one partition together and as many at a time as the cluster takes. A reading that is written
 * twice is the same row, so that none is lost and none is there twice.
 */
export const ingest = Effect.fn("ingest")(function*(total: number, onProgress: (offset: number) => void) {
  const from = Number((yield* Places.load(job)) ?? 0)
  let offset = from
  onProgress(offset)
  yield* readings(from, total).pipe(
    Stream.grouped(perPlace),
    Stream.runForEach(Effect.fnUntraced(function*(some) {
      yield* Stream.run(Stream.fromIterable(some), CqlStream.sink({ table: "readings", schema: Reading }))
      offset += some.length
      yield* Places.save(job, String(offset))
      onProgress(offset)
    }))
  )
  return total - from
})
