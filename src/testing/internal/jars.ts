/**
 * The jars of an Apache Cassandra, by Maven, once per version and user.
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { execute } from "./execute.ts"
import type { Java } from "./java.ts"
import type { Report } from "./progress.ts"
import * as Supervised from "./supervised.ts"
import type { Command } from "./supervisor.ts"

/** Maven is missing. */
export class NoMaven extends Data.TaggedError("NoMaven")<{}> {}

/** Maven, or the disk, refused. */
export class DownloadError extends Data.TaggedError("DownloadError")<{
  readonly message: string
  readonly log: ReadonlyArray<string>
}> {}

/** Where downloads stay: the cache folder that the operating system's conventions give a user. */
export const defaultCacheFolder: Effect.Effect<string, Config.ConfigError> = Effect.gen(function*() {
  const usual = process.platform === "darwin" ? join(homedir(), "Library", "Caches") : join(homedir(), ".cache")
  return join(yield* Config.String("XDG_CACHE_HOME").pipe(Config.withDefault(usual)), "effect-cassandra")
})

/** What is wanted, and where it is kept. */
export interface JarsOptions {
  readonly version: string
  readonly cacheFolder: string
  readonly java: Java
  readonly report: Report
}

/** The folder with the jars, downloaded if need be. */
export const resolve = Effect.fnUntraced(function*(
  options: JarsOptions
): Effect.fn.Return<string, NoMaven | DownloadError | Config.ConfigError> {
  const target = join(options.cacheFolder, `cassandra-${options.version}`)
  if (!(yield* isComplete(target))) yield* Effect.scoped(download(options, target))
  return join(target, "lib")
})

// internal

/** Written last: the size of every jar, so that a cache that lost or truncated one is seen. */
const manifestName = "complete.json"

const Manifest = Schema.Record(Schema.String, Schema.Number)
type Manifest = typeof Manifest.Type
const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))

const fileSystem = <A>(run: () => Promise<A>): Effect.Effect<A, DownloadError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new DownloadError({ message: String(cause), log: [] }) })

const measure = Effect.fnUntraced(function*(folder: string): Effect.fn.Return<Manifest, DownloadError> {
  const names = yield* fileSystem(() => readdir(folder))
  const sizes = yield* Effect.forEach(names, (name) => fileSystem(() => stat(join(folder, name))), { concurrency: 16 })
  return Object.fromEntries(names.map((name, index) => [name, sizes[index]!.size]))
})

const isComplete = (target: string): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const manifest = yield* fileSystem(() => readFile(join(target, manifestName), "utf8"))
    const expected = yield* decodeManifest(manifest)
    const actual = yield* measure(join(target, "lib"))
    return Object.entries(expected).every(([name, size]) => actual[name] === size)
  }).pipe(Effect.orElseSucceed(() => false))

const download = Effect.fnUntraced(function*(
  options: JarsOptions,
  target: string
): Effect.fn.Return<void, NoMaven | DownloadError | Config.ConfigError, Scope.Scope> {
  const env = yield* mavenEnvironment(options.java)
  yield* Effect.mapError(execute({ command: "mvn", args: ["--version"], env }), () => new NoMaven())
  const supervised = yield* Supervised.make(`${target}.${randomUUID()}`).pipe(
    Effect.mapError(({ message }) => new DownloadError({ message, log: [] }))
  )
  const result = join(supervised.folder, "result")
  yield* fileSystem(() => writeFile(join(supervised.folder, "pom.xml"), pom(options.version)))
  yield* runMaven(supervised, env, options)
  const manifest = yield* measure(join(result, "lib"))
  yield* fileSystem(() => writeFile(join(result, manifestName), JSON.stringify(manifest, undefined, 2)))
  yield* publish(result, target, join(supervised.folder, "replaced"))
})

const mavenEnvironment = Effect.fnUntraced(function*(
  java: Java
): Effect.fn.Return<Command["env"], Config.ConfigError> {
  const path = yield* Config.String("PATH").pipe(Config.withDefault(""))
  return { ...process.env, PATH: path, JAVA_HOME: java.home }
})

const runMaven = Effect.fnUntraced(function*(
  supervised: Supervised.Supervised,
  env: Command["env"],
  { report, version }: JarsOptions
): Effect.fn.Return<void, DownloadError> {
  const message = `Getting Apache Cassandra ${version} from Maven, once`
  const errors: Array<string> = []
  let jars = 0
  yield* report({ message })
  const onLine = (line: string): Effect.Effect<void> => {
    if (line.startsWith("[ERROR]")) errors.push(line.slice("[ERROR] ".length))
    return downloadedJar.test(line) ? report({ message, detail: `${++jars} jars` }) : Effect.void
  }
  const ended = yield* supervised.run({ command: "mvn", args: mavenArguments, env }, { onLine }).pipe(
    Effect.mapError(({ message }) => new DownloadError({ message, log: errors }))
  )
  if (ended.code !== 0) {
    const message = `mvn ended with ${ended.signal ?? `code ${ended.code}`}`
    return yield* new DownloadError({ message, log: withoutAdvice(errors) })
  }
})

// After an empty line Maven explains how to call Maven.
const withoutAdvice = (errors: ReadonlyArray<string>): ReadonlyArray<string> =>
  errors.includes("") ? errors.slice(0, errors.indexOf("")) : errors

const downloadedJar = /^(\[INFO\] )?Downloaded from .*\.jar /

const mavenArguments = [
  "--batch-mode",
  "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
  "-DincludeScope=runtime",
  "-DoutputDirectory=result/lib"
]

const pom = (version: string): string =>
  `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>effect-cassandra</groupId><artifactId>testing</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>${version}</version>
    </dependency>
  </dependencies>
</project>
`

/**
 * A rename is all or nothing, so another process sees a whole folder or none. One that finished first has won, for its
 * jars are the same; a damaged folder is moved aside, to go with the rest of the download's folder.
 */
const publish = Effect.fnUntraced(function*(
  result: string,
  target: string,
  aside: string
): Effect.fn.Return<void, DownloadError> {
  if (yield* isComplete(target)) return
  yield* Effect.ignore(fileSystem(() => rename(target, aside)))
  yield* fileSystem(() => mkdir(join(target, ".."), { recursive: true }))
  yield* fileSystem(() => rename(result, target)).pipe(
    Effect.catch((error) =>
      Effect.flatMap(isComplete(target), (complete) => complete ? Effect.void : Effect.fail(error))
    )
  )
})
