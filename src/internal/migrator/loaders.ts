/**
 * Migrations out of records and files.
 */
import * as Effect from "effect/Effect"
import { FileSystem } from "effect/FileSystem"
import { Path } from "effect/Path"
import type { BadArgument, PlatformError } from "effect/PlatformError"
import { createHash } from "node:crypto"
import type { Migration, Source } from "../../Migrator.ts"
import type { Session } from "../../Session.ts"
import { systemMessage } from "../transfer/failure.ts"
import type { MigrationError, Named } from "./error.ts"
import * as Errors from "./error.ts"
import * as Script from "./script.ts"

type AnyMigration = Migration<unknown, any>

type Work = AnyMigration["load"]

// --- names

/** `undefined` for what is none. */
const nameOf = (text: string): Named | undefined => {
  const [, digits, name] = /^(\d+)_(.+)$/s.exec(text) ?? []
  const id = Number(digits)
  return name === undefined || !isId(id) ? undefined : { id, name }
}

export const isId = (id: number): boolean => Number.isSafeInteger(id) && id > 0

interface File extends Named {
  readonly path: string
  readonly isText: boolean
}

const fileOf = (path: string): File | undefined => {
  const [, stem, extension] = /([^/\\.]+)\.(cql|[jt]s|m[jt]s)$/.exec(path) ?? []
  const name = stem === undefined ? undefined : nameOf(stem)
  return name === undefined || !isPlainFile(path) ? undefined : { ...name, path, isText: extension === "cql" }
}

/** Not `0001_users.test.ts`, and no declarations. */
const isPlainFile = (path: string): boolean => /^[^.]+\.\w+$/.test(path.slice(path.search(/[^/\\]*$/)))

/** It looks as if it were to run, and would not. */
const isMeant = (path: string): boolean =>
  path.endsWith(".cql") || (isPlainFile(path) && /(?:^|[/\\])\d[^/\\]*\.(?:[jt]s|m[jt]s)$/.test(path))

const filesOf = (paths: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<File>, MigrationError<never>> => {
  const files = paths.map((path) => [path, fileOf(path)] as const)
  const wrong = files.filter(([path, file]) => file === undefined && isMeant(path)).map(([path]) => path)
  return wrong.length > 0
    ? invalidNames(wrong)
    : Effect.succeed(files.flatMap(([, file]) => file === undefined ? [] : [file]))
}

export const invalidNames = (names: ReadonlyArray<string>): Effect.Effect<never, MigrationError<never>> =>
  Errors.fail(
    new Errors.InvalidName({
      names,
      message: `${
        names.map((name) => JSON.stringify(name)).join(", ")
      }: the name of a migration is <id>_<name>, such as ` +
        "0001_create_users, and its id a whole number from 1 on"
    })
  )

// --- what is in them

/** A checkout may have changed the ends of the lines. */
const checksumOf = (text: string): string =>
  createHash("sha256").update(Script.withoutMark(text).replaceAll("\r\n", "\n")).digest("hex")

const ofText = ({ id, name }: Named, text: string): AnyMigration => ({
  id,
  name,
  checksum: checksumOf(text),
  load: Effect.suspend(() => statementsIn({ id, name }, text))
})

const statementsIn = (
  { id, name }: Named,
  text: string
): Effect.Effect<ReadonlyArray<string>, MigrationError<never>> => {
  const statements = Script.split(text)
  if (!Script.isProblem(statements)) return Effect.succeed(statements)
  const { message, statement } = statements
  const what = `statement ${statement} of migration ${Errors.label({ id, name })} cannot be run`
  return Errors.fail(new Errors.InvalidScript({ id, name, statement, message: `${what}: ${message}` }))
}

const notLoaded = (source: string, cause: unknown, why: string): Effect.Effect<never, MigrationError<never>> =>
  Errors.fail(
    new Errors.NotLoaded({ source, cause, message: `migration ${JSON.stringify(source)} cannot be loaded: ${why}` })
  )

/** What a module exports, or a value of a record: an Effect, or a text. */
const workOf = (named: Named, source: string, value: unknown): Work => {
  if (Effect.isEffect(value)) return Effect.succeed(value as Effect.Effect<unknown, unknown, Session>)
  return typeof value === "string"
    ? statementsIn(named, value)
    : notLoaded(source, undefined, "its default export has to be an Effect, or the text of statements")
}

/** A module of CommonJS has its exports in the one that is the default. */
const defaultOf = (module: unknown): unknown => {
  const exported = propertyOf(module, "default")
  return propertyOf(exported, "default") ?? exported ?? module
}

const propertyOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined

const imported = (file: File, load: () => Promise<unknown>): Work =>
  Effect.tryPromise({ try: load, catch: (cause) => cause }).pipe(
    Effect.catch((cause) => notLoaded(file.path, cause, Errors.sayingOf(cause))),
    Effect.flatMap((module) => workOf(file, file.path, defaultOf(module)))
  )

// --- records

export const fromRecord = (
  record: Readonly<Record<string, Source<any, any>>>
): Effect.Effect<ReadonlyArray<Migration<any, any>>, MigrationError<never>> =>
  Effect.suspend(() => {
    const wrong = Object.keys(record).filter((key) => nameOf(key) === undefined)
    return wrong.length > 0
      ? invalidNames(wrong)
      : Effect.succeed(Object.entries(record).map(([key, source]) => ofSource(nameOf(key)!, key, source)))
  })

const ofSource = ({ id, name }: Named, key: string, source: Source<any, any>): AnyMigration => {
  if (typeof source === "string") return ofText({ id, name }, source)
  if (Effect.isEffect(source)) return { id, name, checksum: undefined, load: workOf({ id, name }, key, source) }
  const checksum = propertyOf(source, "checksum")
  return {
    id,
    name,
    checksum: typeof checksum === "string" ? checksum : undefined,
    load: workOf({ id, name }, key, propertyOf(source, "run"))
  }
}

// --- a bundler's imports

export const fromGlob = (
  modules: Readonly<Record<string, () => Promise<unknown>>>
): Effect.Effect<ReadonlyArray<AnyMigration>, MigrationError<never>> =>
  Effect.flatMap(filesOf(Object.keys(modules)), Effect.forEach((file) => ofModule(file, modules[file.path]!)))

const ofModule = (
  file: File,
  load: () => Promise<unknown>
): Effect.Effect<AnyMigration, MigrationError<never>> => {
  const { id, name, path } = file
  if (!file.isText) return Effect.succeed({ id, name, checksum: undefined, load: imported(file, load) })
  return Effect.tryPromise({ try: load, catch: (cause) => cause }).pipe(
    Effect.catch((cause) => notLoaded(path, cause, Errors.sayingOf(cause))),
    Effect.flatMap((module) => {
      const text = defaultOf(module)
      return typeof text === "string"
        ? Effect.succeed(ofText(file, text))
        : notLoaded(path, undefined, "it has to be imported as a text")
    })
  )
}

// --- a directory

export const fromFileSystem = Effect.fnUntraced(function*(
  directory: string,
  checksums: "all" | "texts"
): Effect.fn.Return<ReadonlyArray<AnyMigration>, MigrationError<never>, FileSystem | Path> {
  const files = yield* FileSystem
  const paths = yield* Path
  const names = yield* orNotLoaded(directory, files.readDirectory(directory))
  return yield* Effect.forEach(
    yield* filesOf(names),
    Effect.fnUntraced(function*(file) {
      const path = paths.resolve(directory, file.path)
      const text = yield* orNotLoaded(file.path, files.readFileString(path))
      if (file.isText) return ofText(file, text)
      const { href } = yield* orNotLoaded(file.path, paths.toFileUrl(path))
      const load = imported(file, () => import(/* @vite-ignore */ href))
      return { id: file.id, name: file.name, checksum: checksums === "all" ? checksumOf(text) : undefined, load }
    })
  )
})

const orNotLoaded = <A, R>(
  source: string,
  effect: Effect.Effect<A, PlatformError | BadArgument, R>
): Effect.Effect<A, MigrationError<never>, R> =>
  effect.pipe(
    Effect.catch((error) =>
      notLoaded(source, error, error._tag === "PlatformError" ? systemMessage(error) : error.message)
    )
  )
