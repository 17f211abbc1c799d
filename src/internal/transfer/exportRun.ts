/**
 * An export into a directory, from its beginning or from where another one has ended.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Manifest, Part } from "../../Export.ts"
import type { TransferError } from "../../TransferError.ts"
import { DamagedPart, OtherCheckpoint, PathTaken } from "../../TransferError.ts"
import type { ScannedPage } from "../scan.ts"
import type { AnyDirectoryOptions, Failure, Plan } from "./exporting.ts"
import { fail } from "./failure.ts"
import type { Directory } from "./files.ts"
import * as Files from "./files.ts"
import { lock, mustHold } from "./lock.ts"
import type { Checkpoint, Subject } from "./manifest.ts"
import * as Manifests from "./manifest.ts"
import { isPart, isPartial, partial, Parts } from "./parts.ts"

export const toDirectory = (options: AnyDirectoryOptions, plan: Plan): Effect.Effect<Manifest, Failure, any> =>
  Effect.scoped(Effect.gen(function*() {
    const directory = yield* Files.directory(options.path)
    yield* directory.make
    yield* lock(directory)
    const found = yield* begin(directory, options.existing ?? "refuse", plan.subject)
    if (found?.done !== undefined) return found.done
    return yield* exportAll(directory, options, plan, found?.checkpoint)
  }))

const exportAll = Effect.fnUntraced(function*(
  directory: Directory,
  options: AnyDirectoryOptions,
  plan: Plan,
  found: Checkpoint | undefined
): Effect.fn.Return<Manifest, Failure, any> {
  const startedAt = found?.startedAt ?? (yield* now)
  const parts = yield* Effect.scoped(fill(directory, options, plan, found, startedAt))
  yield* mustHold(directory)
  yield* putInPlace(directory, parts)
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  const manifest: Manifest = { ...plan.subject, rows, parts, startedAt, endedAt: yield* now }
  yield* Manifests.write(directory, manifest)
  yield* directory.remove(Manifests.checkpointName)
  return manifest
})

/** Only now is what the directory had before given up. */
const putInPlace = Effect.fnUntraced(function*(
  directory: Directory,
  parts: ReadonlyArray<Part>
): Effect.fn.Return<void, TransferError> {
  yield* Effect.forEach(parts, (part) => verifySize(directory, part), { discard: true })
  // Without its manifest it is no export, whatever else of it is there.
  yield* directory.remove(Manifests.manifestName)
  for (const { file } of parts) yield* directory.rename(partial(file), file)
  const kept = new Set(parts.map(({ file }) => file))
  for (const name of yield* directory.names) {
    if (isPart(name) && !kept.has(name)) yield* directory.remove(name)
  }
  yield* directory.sync
})

/** Whoever else has written into it, it is no part any more. */
const verifySize = Effect.fnUntraced(
  function*(directory: Directory, { bytes, file }: Part): Effect.fn.Return<void, TransferError> {
    const size = yield* directory.sizeOf(partial(file))
    if (size === bytes) return
    const path = directory.pathOf(partial(file))
    yield* fail(new DamagedPart({ path, message: `${path} has ${size ?? "no"} bytes, and ${bytes} were written` }))
  }
)

const now: Effect.Effect<string> = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

interface Begun {
  /** There is nothing left to do. */
  readonly done?: Manifest
  /** What there is to go on with. */
  readonly checkpoint?: Checkpoint
}

/** Takes away what no export goes on with any more; one that is done stays until another is. */
const begin = Effect.fnUntraced(function*(
  directory: Directory,
  existing: "refuse" | "resume" | "overwrite",
  subject: Subject
): Effect.fn.Return<Begun | undefined, TransferError> {
  const names = yield* directory.names
  const isDone = names.includes(Manifests.manifestName)
  const isBegun = names.includes(Manifests.checkpointName)
  if (existing === "refuse" && isDone) return yield* taken(directory, "export", "")
  if (existing === "refuse" && (isBegun || names.some(isPart))) {
    return yield* taken(directory, "unfinished export", `existing: "resume" goes on with it, `)
  }
  const found = existing === "resume" ? yield* toResume(directory, names, subject) : undefined
  if (found?.done !== undefined) return found
  if (found === undefined) yield* directory.remove(Manifests.checkpointName)
  const kept = new Set(found?.checkpoint?.parts.map(({ file }) => partial(file)))
  for (const name of names) {
    if (isPart(name) && isPartial(name) && !kept.has(name)) yield* directory.remove(name)
  }
  return found
})

/** One that is done, or one that was begun: also beside one that is done, which it is to take the place of. */
const toResume = Effect.fnUntraced(function*(
  directory: Directory,
  names: ReadonlyArray<string>,
  subject: Subject
): Effect.fn.Return<Begun | undefined, TransferError> {
  const manifest = yield* Manifests.read(directory)
  const checkpoint = yield* Manifests.readCheckpoint(directory)
  if (manifest !== undefined && (checkpoint === undefined || checkpoint.startedAt === manifest.startedAt)) {
    yield* mustBe(directory, Manifests.manifestName, manifest, subject)
    yield* directory.remove(Manifests.checkpointName)
    return { done: manifest }
  }
  if (checkpoint !== undefined) {
    yield* mustBe(directory, Manifests.checkpointName, checkpoint, subject)
    yield* Effect.forEach(checkpoint.parts, (part) => restore(directory, part), { discard: true })
    return { checkpoint }
  }
  // Without a checkpoint nobody knows whose they are.
  return names.some((name) => isPart(name) && !isPartial(name))
    ? yield* taken(directory, "unfinished export", "it has no checkpoint to go on from, ")
    : undefined
})

const taken = (
  { path }: Directory,
  by: PathTaken["by"],
  remedy: string
): Effect.Effect<never, TransferError> =>
  fail(new PathTaken({ path, by, message: `${path} has an ${by} already: ${remedy}existing: "overwrite" replaces it` }))

const mustBe = Effect.fnUntraced(function*(
  directory: Directory,
  name: string,
  found: Subject,
  subject: Subject
): Effect.fn.Return<void, TransferError> {
  const different = Manifests.difference(found, subject)
  if (different === undefined) return
  const path = directory.pathOf(name)
  const message = `${path} is of another export: its ${different} differs; existing: "overwrite" begins again`
  yield* fail(new OtherCheckpoint({ path, message }))
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
