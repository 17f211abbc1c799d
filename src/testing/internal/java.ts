/**
 * Finds a Java that Cassandra can run on.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { execute } from "./execute.ts"

/** A Java that can be started. */
export interface Java {
  readonly home: string
  readonly version: number
}

/** No Java that fits; `found` says what was there instead. */
export class NoJava extends Data.TaggedError("NoJava")<{ readonly found: ReadonlyArray<Java> }> {}

/**
 * Folders where operating systems install Javas side by side: where the first `java` on the path is too new, the
 * right one is often there too.
 */
export const JavaFolders: Context.Reference<ReadonlyArray<string>> = Context.Reference<ReadonlyArray<string>>(
  "effect-cassandra/testing/JavaFolders",
  { defaultValue: () => ["/usr/lib/jvm", "/Library/Java/JavaVirtualMachines"] }
)

/** Reads what `java -XshowSettings:properties -version` prints, which no locale and no vendor changes. */
export const parse = (output: string): Java | undefined => {
  const home = /^\s*java\.home = (.+?)\s*$/m.exec(output)
  const version = /^\s*java\.specification\.version = (?:1\.)?(\d+)/m.exec(output)
  return home && version ? { home: home[1]!, version: Number(version[1]) } : undefined
}

/** Cassandra 5 runs on Java 11 to 17, Cassandra 4 on Java 11 (and 8, which nobody has). */
export const supports = (cassandraVersion: string, javaVersion: number): boolean =>
  javaVersion >= 11 && javaVersion <= (cassandraVersion.startsWith("4.") ? 11 : 17)

/** The first Java that fits: of JAVA_HOME, of the path, of the usual folders. */
export const find = Effect.fnUntraced(function*(
  cassandraVersion: string
): Effect.fn.Return<Java, NoJava | Config.ConfigError> {
  const found: Array<Java> = []
  for (const command of yield* candidates) {
    const java = yield* inspect(command)
    if (java === undefined) continue
    if (supports(cassandraVersion, java.version)) return java
    found.push(java)
  }
  return yield* new NoJava({ found })
})

// internal

const candidates = Effect.gen(function*() {
  const home = yield* Config.option(Config.String("JAVA_HOME"))
  const installed = yield* Effect.forEach(yield* JavaFolders, list)
  return [
    ...Option.match(home, { onNone: () => [], onSome: (home) => [join(home, "bin", "java")] }),
    "java",
    ...installed.flat()
  ]
})

const list = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.tryPromise(() => readdir(folder)).pipe(
    Effect.map((names) => names.flatMap((name) => [javaIn(folder, name), javaIn(folder, name, "Contents", "Home")])),
    Effect.orElseSucceed(() => [])
  )

const javaIn = (...path: ReadonlyArray<string>): string => join(...path, "bin", "java")

const inspect = Effect.fnUntraced(function*(command: string): Effect.fn.Return<Java | undefined, Config.ConfigError> {
  const path = yield* Config.String("PATH").pipe(Config.withDefault(""))
  return yield* execute({
    command,
    args: ["-XshowSettings:properties", "-version"],
    env: { ...process.env, PATH: path }
  }).pipe(Effect.map(parse), Effect.orElseSucceed(() => undefined))
})
