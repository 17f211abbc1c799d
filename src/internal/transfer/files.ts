/**
 * Files of exports: parts that grow and can be cut, and small ones that are replaced as a whole.
 */
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { File } from "effect/FileSystem"
import { FileSystem } from "effect/FileSystem"
import { Path } from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Hash } from "node:crypto"
import { createHash } from "node:crypto"
import type { TransferError } from "../../TransferError.ts"
import { fileFailed } from "./failure.ts"

export type Services = FileSystem | Path

/** The files of one directory, by their names in it. */
export interface Directory {
  readonly path: string
  readonly pathOf: (name: string) => string
  readonly make: Effect.Effect<void, TransferError>
  readonly names: Effect.Effect<ReadonlyArray<string>, TransferError>
  /** `undefined` where there is none. */
  readonly readText: (name: string) => Effect.Effect<string | undefined, TransferError>
  /** `false` where there is one already. */
  readonly create: (name: string, text: string) => Effect.Effect<boolean, TransferError>
  /** All of it or nothing, also when the process or the machine ends meanwhile. */
  readonly replace: (name: string, text: string) => Effect.Effect<void, TransferError>
  readonly rename: (from: string, to: string) => Effect.Effect<void, TransferError>
  readonly remove: (name: string) => Effect.Effect<void, TransferError>
  /** In bytes; `undefined` where there is none. */
  readonly sizeOf: (name: string) => Effect.Effect<number | undefined, TransferError>
  readonly digestOf: (name: string, bytes: number) => Effect.Effect<Hash, TransferError>
  readonly stream: (name: string, offset: number) => Stream.Stream<Uint8Array, TransferError>
  /** To be added to, behind its first so many bytes; the others are cut off. */
  readonly append: (name: string, bytes: number) => Effect.Effect<Appending, TransferError, Scope>
  /** So that the names in it are kept as well; where a directory cannot be, this does nothing. */
  readonly sync: Effect.Effect<void>
}

/** A file that is open. */
export interface Appending {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, TransferError>
  readonly sync: Effect.Effect<void, TransferError>
}

export const directory: (path: string) => Effect.Effect<Directory, never, Services> = (path) =>
  Effect.contextWith((context: Context.Context<Services>) =>
    Effect.succeed(directoryOf(Context.get(context, FileSystem), Context.get(context, Path), path))
  )

/** A file, as one of the directory that it is in. */
export const single = (path: string): Effect.Effect<readonly [Directory, string], never, Services> =>
  Effect.flatMap(
    Path,
    (paths) => Effect.map(directory(paths.dirname(path)), (directory) => [directory, paths.basename(path)] as const)
  )

const directoryOf = (files: FileSystem, paths: Path, path: string): Directory => {
  const pathOf = (name: string): string => paths.join(path, name)
  const sync = Effect.ignore(Effect.scoped(Effect.flatMap(files.open(path, { flag: "r" }), (file) => file.sync)))
  return {
    path,
    pathOf,
    sync,
    make: Effect.mapError(files.makeDirectory(path, { recursive: true }), fileFailed(path, "made")),
    names: Effect.mapError(files.readDirectory(path), fileFailed(path, "read")),
    readText: (name) => absent(files.readFileString(pathOf(name)), pathOf(name)),
    create: (name, text) => create(files, pathOf(name), text),
    replace: (name, text) => Effect.andThen(replace(files, pathOf(name), text), sync),
    rename: (from, to) => Effect.mapError(files.rename(pathOf(from), pathOf(to)), fileFailed(pathOf(from), "renamed")),
    remove: (name) => Effect.mapError(files.remove(pathOf(name), { force: true }), fileFailed(pathOf(name), "removed")),
    sizeOf: (name) =>
      absent(Effect.map(files.stat(pathOf(name)), ({ size }) => Number(ByteSize.toBigInt(size))), pathOf(name)),
    digestOf: (name, bytes) =>
      Stream.runFold(
        files.stream(pathOf(name), { bytesToRead: bytes }),
        () => createHash("sha256"),
        (hash, chunk) => hash.update(chunk)
      ).pipe(Effect.mapError(fileFailed(pathOf(name), "read"))),
    stream: (name, offset) => Stream.mapError(files.stream(pathOf(name), { offset }), fileFailed(pathOf(name), "read")),
    append: (name, bytes) => append(files, pathOf(name), bytes)
  }
}

const absent = <A>(read: Effect.Effect<A, PlatformError>, path: string): Effect.Effect<A | undefined, TransferError> =>
  read.pipe(
    Effect.catch((error) =>
      error.reason._tag === "NotFound" ? Effect.succeed(undefined) : Effect.fail(fileFailed(path, "read")(error))
    )
  )

const create = (files: FileSystem, path: string, text: string): Effect.Effect<boolean, TransferError> =>
  Effect.as(files.writeFileString(path, text, { flag: "wx" }), true).pipe(
    Effect.catch((error) =>
      error.reason._tag === "AlreadyExists" ? Effect.succeed(false) : Effect.fail(fileFailed(path, "written")(error))
    )
  )

const replace = Effect.fnUntraced(function*(
  files: FileSystem,
  path: string,
  text: string
): Effect.fn.Return<void, TransferError> {
  const temporary = `${path}.new`
  const write = Effect.flatMap(
    files.open(temporary, { flag: "w" }),
    (file) => Effect.andThen(file.writeAll(Buffer.from(text)), file.sync)
  )
  yield* Effect.mapError(Effect.scoped(write), fileFailed(temporary, "written"))
  yield* Effect.mapError(files.rename(temporary, path), fileFailed(path, "replaced"))
})

const append = Effect.fnUntraced(function*(
  files: FileSystem,
  path: string,
  bytes: number
): Effect.fn.Return<Appending, TransferError, Scope> {
  const failed = fileFailed(path, "written")
  const file: File = yield* Effect.mapError(files.open(path, { flag: "a" }), failed)
  yield* Effect.mapError(file.truncate(bytes), failed)
  return {
    write: (bytes) => Effect.mapError(file.writeAll(bytes), failed),
    sync: Effect.mapError(file.sync, failed)
  }
})
