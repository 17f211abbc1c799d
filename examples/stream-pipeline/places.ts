/**
 * How far a job has come: kept where its data is, so that any process can go on with it.
 */
import { cql } from "effect-cassandra"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const Place = Schema.Struct({ place: Schema.String })

export const load = (job: string) =>
  cql(Place)`SELECT place FROM places WHERE job = ${job}`.first.pipe(
    Effect.map(Option.map(({ place }) => place)),
    Effect.map(Option.getOrUndefined)
  )

export const save = (job: string, place: string) => cql`INSERT INTO places ${cql.insert({ job, place })}`

export const forget = (job: string) => cql`DELETE FROM places WHERE job = ${job}`
