/**
 * An export into a directory, from its beginning or from where another one has ended.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Manifest, Part } from "../../Export.ts"
import type { TransferError } from "../../TransferError.ts"
import { OtherCheckpoint, PathTaken } from "../../TransferError.ts"
import type { ScannedPage } from "../scan.ts"
import type { AnyDirectoryOptions, Failure, Plan } from "./exporting.ts"
import { fail } from "./failure.ts"
import type { Directory } from "./files.ts"
import * as Files from "./files.ts"
import type { Checkpoint, Subject } from "./manifest.ts"
import * as Manifests from "./manifest.ts"
import { isPart, partial, Parts } from "./parts.ts"

export const toDirectory = Effect.fnUntraced(function*(
  options: AnyDirectoryOptions,
  plan: Plan
): Effect.fn.Return<Manifest, Failure, any> {
  const directory = yield* Files.directory(options.path)
  yield* directory.make
  const found = yield* begin(directory, options.existing ?? "refuse", plan.subject)
  const startedAt = found?.startedAt ?? (yield* now)
  const parts = yield* Effect.scoped(fill(directory, options, plan, found, startedAt))
  for (const { file } of parts) yield* directory.rename(partial(file), file)
  yield* directory.sync
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  const manifest: Manifest = { ...plan.subject, rows, parts, startedAt, endedAt: yield* now }
  yield* Manifests.write(directory, manifest)
  yield* directory.remove(Manifests.checkpointName)
  return manifest
})

const now: Effect.Effect<string> = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** What there is to go on with. Whatever else an export has left in the directory is gone then. */
const begin = Effect.fnUntraced(function*(
  directory: Directory,
  existing: "refuse" | "resume" | "overwrite",
  subject: Subject
): Effect.fn.Return<Checkpoint | undefined, TransferError> {
  const names = yield* directory.names
  const isDone = names.includes(Manifests.manifestName)
  const isBegun = names.includes(Manifests.checkpointName)
  if (existing !== "overwrite" && isDone) return yield* taken(directory, "export", "")
  if (existing === "refuse" && (isBegun || names.some(isPart))) {
    return yield* taken(directory, "unfinished export", `existing: "resume" goes on with it, `)
  }
  const found = existing === "resume" && isBegun ? yield* resumed(directory, subject) : undefined
  // Without its manifest it is no export, whatever else of it is there.
  yield* directory.remove(Manifests.manifestName)
  if (found === undefined) yield* directory.remove(Manifests.checkpointName)
  const kept = new Set(found?.parts.map(({ file }) => partial(file)))
  for (const name of yield* directory.names) {
    if (isPart(name) && !kept.has(name)) yield* directory.remove(name)
  }
  return found
})

const taken = (
  { path }: Directory,
  by: PathTaken["by"],
  remedy: string
): Effect.Effect<never, TransferError> =>
  fail(new PathTaken({ path, by, message: `${path} has an ${by} already: ${remedy}existing: "overwrite" replaces it` }))

const resumed = Effect.fnUntraced(function*(
  directory: Directory,
  subject: Subject
): Effect.fn.Return<Checkpoint | undefined, TransferError> {
  const checkpoint = yield* Manifests.readCheckpoint(directory)
  if (checkpoint === undefined) return undefined
  const path = directory.pathOf(Manifests.checkpointName)
  const different = Manifests.difference(checkpoint, subject)
  if (different !== undefined) {
    const message = `${path} is of another export: its ${different} differs; existing: "overwrite" begins again`
    return yield* fail(new OtherCheckpoint({ path, message }))
  }
  yield* Effect.forEach(checkpoint.parts, (part) => restore(directory, part), { discard: true })
  return checkpoint
})

/** Under the name of one that is not done, where the export had come as far as to rename it. */
const restore = Effect.fnUntraced(
  function*(directory: Directory, { file }: Part): Effect.fn.Return<void, TransferError> {
    if ((yield* directory.sizeOf(partial(file))) !== undefined) return
    if ((yield* directory.sizeOf(file)) !== undefined) yield* directory.rename(file, partial(file))
  }
)

/** Writes all that is left, and gives the parts, which are closed then. */
const fill = Effect.fnUntraced(function*(
  directory: Directory,
  options: AnyDirectoryOptions,
  plan: Plan,
  found: Checkpoint | undefined,
  startedAt: string
): Effect.fn.Return<ReadonlyArray<Part>, Failure, any> {
  const parts = new Parts(directory, plan.subject.format === "csv" ? "csv" : "jsonl", plan.head)
  for (const part of found?.parts ?? []) yield* parts.reopen(part)
  const filling = new Filling(directory, options, plan, parts, found, startedAt, yield* Clock.Clock)
  // From now on there is something to go on with.
  yield* filling.save
  yield* Stream.runForEach(plan.pages(found?.scan ?? undefined), (page) => filling.add(page))
  yield* filling.save
  return parts.kept
})

class Filling {
  private readonly directory: Directory
  private readonly options: AnyDirectoryOptions
  private readonly plan: Plan
  private readonly parts: Parts
  private readonly startedAt: string
  private readonly clock: Clock.Clock
  private readonly interval: number
  private readonly doneBefore: number
  private scan: string | null
  private rangesDone: number
  private savedAt = -Infinity

  constructor(
    directory: Directory,
    options: AnyDirectoryOptions,
    plan: Plan,
    parts: Parts,
    found: Checkpoint | undefined,
    startedAt: string,
    clock: Clock.Clock
  ) {
    this.directory = directory
    this.options = options
    this.plan = plan
    this.parts = parts
    this.startedAt = startedAt
    this.clock = clock
    this.interval = Duration.toMillis(options.checkpointInterval ?? "1 second")
    this.scan = found?.scan ?? null
    this.doneBefore = found?.rangesDone ?? 0
    this.rangesDone = this.doneBefore
  }

  add(page: ScannedPage<unknown>): Effect.Effect<void, Failure, any> {
    return Effect.gen({ self: this }, function*() {
      const { range, rows } = page
      if (rows.length > 0) yield* this.parts.write(range, yield* this.plan.encode(rows), rows.length)
      if (page.checkpoint !== undefined) yield* this.rangeDone(page, page.checkpoint)
      const { onProgress } = this.options
      const ranges = this.doneBefore + page.ranges
      if (onProgress !== undefined) yield* onProgress({ ...this.parts.written, ranges, rangesDone: this.rangesDone })
    })
  }

  private rangeDone(
    { range, rangesDone }: ScannedPage<unknown>,
    checkpoint: string
  ): Effect.Effect<void, TransferError> {
    this.parts.rangeDone(range)
    this.scan = checkpoint
    this.rangesDone = this.doneBefore + rangesDone
    const isDue = this.clock.currentTimeMillisUnsafe() - this.savedAt >= this.interval
    return isDue ? this.save : Effect.void
  }

  /** A checkpoint never tells of what is not on the disk. */
  get save(): Effect.Effect<void, TransferError> {
    return Effect.gen({ self: this }, function*() {
      const { directory, parts, plan, rangesDone, scan, startedAt } = this
      yield* parts.sync
      yield* Manifests.writeCheckpoint(directory, { ...plan.subject, scan, rangesDone, parts: parts.kept, startedAt })
      this.savedAt = this.clock.currentTimeMillisUnsafe()
    })
  }
}
