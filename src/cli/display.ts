/**
 * Standard error: lines, and one line that changes while something goes on.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Where progress is shown. */
export interface Screen {
  readonly isTerminal: boolean
  /** Characters of a line. */
  readonly columns: () => number
  readonly write: (text: string) => void
}

/** By default the standard error of this process. */
export const Screen = Context.Reference<Screen>("effect-cassandra/cli/Screen", {
  defaultValue: () => ({
    isTerminal: process.stderr.isTTY === true,
    // A terminal that was never told its size says 0.
    columns: () => process.stderr.columns || 80,
    write: (text) => void process.stderr.write(text)
  })
})

/** Writes lines, in the place of a bar if there is one. */
export const lines = (texts: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { isTerminal, write } = yield* Screen
    for (const text of texts) write(`${isTerminal ? eraseLine : ""}${text}\n`)
  })

/** How far something has come. */
export interface Progress {
  /** Of `total`, in whatever they count. */
  readonly done: number
  /** Unknown where it is `undefined`. */
  readonly total: number | undefined
  /** What `done` counts. */
  readonly unit: "ranges" | "bytes"
  readonly rows: number
}

/** What was told first: what is gone on with has come some way before. */
interface Begin {
  readonly done: number
  readonly rows: number
  readonly millis: number
}

/** How far something has come, and since when. */
export interface Since extends Progress {
  readonly begin: { readonly done: number; readonly rows: number }
  readonly seconds: number
}

/** Tells how far it has come. */
export interface Tell {
  (progress: Progress): Effect.Effect<void>
}

/**
 * Shows how far `use` has come: as a bar in a terminal, as a line now and then elsewhere, and not at all when it is to be
 * quiet. What it shows is gone when it ends.
 */
export const withProgress = <A, E, R>(
  title: string,
  isQuiet: boolean,
  use: (tell: Tell) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  isQuiet ? use(() => Effect.void) : Effect.scoped(Effect.gen(function*() {
    const screen = yield* Screen
    let progress: Progress | undefined
    let begin: Begin | undefined
    const show = Effect.gen(function*() {
      if (progress === undefined || begin === undefined) return
      const so = { ...progress, begin, seconds: ((yield* Clock.currentTimeMillis) - begin.millis) / 1000 }
      screen.write(
        screen.isTerminal ? `${eraseLine}${bar(title, so, screen.columns() - 1)}` : `${title}: ${words(so)}\n`
      )
    })
    const again = Effect.delay(show, screen.isTerminal ? "100 millis" : "10 seconds")
    yield* Effect.forkScoped(Effect.forever(again))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (screen.isTerminal && progress !== undefined) screen.write(eraseLine)
      })
    )
    return yield* use((now) =>
      Effect.map(Clock.currentTimeMillis, (millis) => {
        progress = now
        begin ??= { ...now, millis }
      })
    )
  }))

const eraseLine = "\r\u001b[2K"

/** One line of at most `columns` characters. */
export const bar = (title: string, since: Since, columns: number): string => {
  const { done, total } = since
  const text = words(since)
  const room = columns - title.length - text.length - 4
  if (total === undefined || room < 6) return `${title}  ${text}`.slice(0, Math.max(0, columns))
  const width = Math.min(40, room)
  const full = total === 0 ? width : Math.min(width, Math.floor(width * done / total))
  return `${title}  ${"█".repeat(full)}${"░".repeat(width - full)}  ${text}`
}

/** `12/32 ranges, 58,123 rows, 94,200/s, 3 s left` */
export const words = ({ begin, done, rows, seconds, total, unit }: Since): string => {
  const parts = [`${count(rows)} rows`]
  if (total !== undefined) {
    parts.unshift(unit === "bytes" ? megabytes(done, total) : `${count(done)}/${count(total)} ranges`)
  }
  if (seconds > 0) parts.push(`${count(Math.round((rows - begin.rows) / seconds))}/s`)
  const passed = done - begin.done
  if (total !== undefined && passed > 0 && done < total) {
    parts.push(`${duration(seconds / passed * (total - done))} left`)
  }
  return parts.join(", ")
}

const megabytes = (done: number, total: number): string => `${(done / 1e6).toFixed(1)}/${(total / 1e6).toFixed(1)} MB`

export const count = (value: number | bigint): string => value.toLocaleString("en-US")

/** `3 s`, `2 min 5 s`, `1 h 20 min` */
export const duration = (seconds: number): string => {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${count(Math.floor(whole / 3600))} h ${Math.floor(whole % 3600 / 60)} min`
}
