/**
 * Whether the nodes have one schema. A change of it waits for that by itself, but not longer than the session says, and
 * one that is asked for while nodes differ may be lost to them.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { CqlError } from "../../CqlError.ts"
import * as CqlType from "../../CqlType.ts"
import type { Session } from "../../Session.ts"
import * as Statement from "../../Statement.ts"

/** What the nodes have at the end of the wait. */
export interface Disagreement {
  /** The nodes, by the version of the schema that they have. */
  readonly versions: Readonly<Record<string, ReadonlyArray<string>>>
  /** Why it is not known what they have. */
  readonly cause: CqlError | undefined
}

const Local = Schema.Struct({ host_id: CqlType.Nullable(CqlType.Uuid), schema_version: CqlType.Nullable(CqlType.Uuid) })

const options = {
  consistency: "one",
  timeout: "10 seconds",
  attemptTimeout: "5 seconds",
  maxRows: 100_000,
  hedge: false
} as const

/** Until they have; `undefined` then. It is looked at once at the least. */
export const reached = (
  session: Session["Service"],
  limit: Duration.Duration
): Effect.Effect<Disagreement | undefined> =>
  Effect.result(look(session)).pipe(
    Effect.map(Result.match({
      onFailure: (cause): Disagreement => ({ versions: {}, cause }),
      onSuccess: (versions) => Object.keys(versions).length > 1 ? { versions, cause: undefined } : undefined
    })),
    Effect.repeat({
      while: (disagreement) => disagreement !== undefined,
      schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: limit }))
    }),
    Effect.provideService(Statement.CurrentOptions, [])
  )

/** As one node sees itself and the others; one that is down learns of the schema when it is back. */
const look = Effect.fnUntraced(function*(
  { cluster, cql }: Session["Service"]
): Effect.fn.Return<Disagreement["versions"], CqlError> {
  const local = yield* cql(Local)`SELECT host_id, schema_version FROM system.local WHERE key = 'local'`.pipe(
    Statement.withOptions(options)
  ).result.pipe(Effect.catchTag("SchemaError", Effect.die))
  const peers = yield* cql(Local)`SELECT host_id, schema_version FROM system.peers`.pipe(
    Statement.withOptions({ ...options, node: local.coordinator }),
    Effect.catchTag("SchemaError", Effect.die)
  )
  const nodes = yield* cluster.nodes
  const down = new Set(nodes.filter(({ isUp }) => !isUp).map(({ hostId }) => hostId))
  const versions: Record<string, ReadonlyArray<string>> = {}
  for (const { host_id: host, schema_version: version } of [...local.rows, ...peers]) {
    if (version === null || host === null || down.has(host)) continue
    versions[version] = [...versions[version] ?? [], host]
  }
  return versions
})
