/**
 * The files that an export grows, each of them whole token ranges, one after the other.
 */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type { Hash } from "node:crypto"
import { createHash } from "node:crypto"
import type { Part } from "../../Export.ts"
import type { TransferError } from "../../TransferError.ts"
import { DamagedPart } from "../../TransferError.ts"
import type { Range } from "../ring.ts"
import { fail } from "./failure.ts"
import type { Appending, Directory } from "./files.ts"

/** The name of a part that is not done. */
export const partial = (file: string): string => `${file}.partial`

export const isPartial = (name: string): boolean => name.endsWith(".partial")

export const isPart = (name: string): boolean => /^part-\d+\.(jsonl|csv)(\.partial)?$/.test(name)

/** Of which some are written by one range each, and the others wait for one. */
export class Parts {
  private readonly directory: Directory
  private readonly extension: string
  private readonly head: Uint8Array
  private readonly all: Array<OpenPart> = []
  private readonly owned = new Map<Range, OpenPart>()
  readonly written = { rows: 0, bytes: 0 }

  constructor(directory: Directory, extension: string, head: Uint8Array) {
    this.directory = directory
    this.extension = extension
    this.head = head
  }

  get kept(): ReadonlyArray<Part> {
    return this.all.map(({ kept }) => kept)
  }

  readonly sync: Effect.Effect<void, TransferError> = Effect.suspend(() =>
    Effect.forEach(this.all, (part) => part.sync, { discard: true })
  )

  /** Without what came behind its last range that was done. */
  reopen(kept: Part): Effect.Effect<void, TransferError, Scope> {
    return Effect.gen({ self: this }, function*() {
      const { bytes, file, rows, sha256 } = kept
      const path = this.directory.pathOf(partial(file))
      const size = yield* this.directory.sizeOf(partial(file))
      if (size === undefined || size < bytes) return yield* damaged(path, "it is shorter than its checkpoint says")
      const hash = yield* this.directory.digestOf(partial(file), bytes)
      if (digest(hash) !== sha256) return yield* damaged(path, "it has been changed since its checkpoint")
      const appending = yield* this.directory.append(partial(file), bytes)
      this.all.push(new OpenPart(appending, hash, kept))
      this.written.rows += rows
      this.written.bytes += bytes
    })
  }

  write(range: Range, bytes: Uint8Array, rows: number): Effect.Effect<void, TransferError, Scope> {
    return Effect.gen({ self: this }, function*() {
      const part = this.owned.get(range) ?? this.free() ?? (yield* this.open())
      this.owned.set(range, part)
      yield* part.write(bytes, rows)
      this.written.rows += rows
      this.written.bytes += bytes.length
    })
  }

  /** The smallest one, so that all grow alike. */
  private free(): OpenPart | undefined {
    const owned = new Set(this.owned.values())
    const free = this.all.filter((part) => !owned.has(part))
    return free.reduce<OpenPart | undefined>((a, b) => a === undefined || b.bytes < a.bytes ? b : a, undefined)
  }

  private open(): Effect.Effect<OpenPart, TransferError, Scope> {
    return Effect.gen({ self: this }, function*() {
      const file = `part-${this.all.length}.${this.extension}`
      const appending = yield* this.directory.append(partial(file), 0)
      const part = new OpenPart(appending, createHash("sha256"), { file, rows: 0, bytes: 0, sha256: nothing })
      this.all.push(part)
      yield* part.write(this.head, 0)
      // Whoever cuts it, cuts it behind this.
      part.keep()
      this.written.bytes += this.head.length
      return part
    })
  }

  rangeDone(range: Range): void {
    this.owned.get(range)?.keep()
    this.owned.delete(range)
  }
}

const damaged = (path: string, why: string): Effect.Effect<never, TransferError> =>
  fail(
    new DamagedPart({ path, message: `${path} cannot be gone on with, for ${why}; existing: "overwrite" begins again` })
  )

const digest = (hash: Hash): string => hash.copy().digest("hex")

const nothing = digest(createHash("sha256"))

class OpenPart {
  private readonly appending: Appending
  private readonly hash: Hash
  /** As it was when its last range was done. */
  kept: Part
  bytes: number
  private rows: number
  private isSynced = true

  constructor(appending: Appending, hash: Hash, kept: Part) {
    this.appending = appending
    this.hash = hash
    this.kept = kept
    this.bytes = kept.bytes
    this.rows = kept.rows
  }

  write(bytes: Uint8Array, rows: number): Effect.Effect<void, TransferError> {
    this.isSynced = false
    return Effect.map(this.appending.write(bytes), () => {
      this.hash.update(bytes)
      this.bytes += bytes.length
      this.rows += rows
    })
  }

  readonly sync: Effect.Effect<void, TransferError> = Effect.suspend(() =>
    this.isSynced ? Effect.void : Effect.map(this.appending.sync, () => {
      this.isSynced = true
    })
  )

  keep(): void {
    this.kept = { file: this.kept.file, rows: this.rows, bytes: this.bytes, sha256: digest(this.hash) }
  }
}
