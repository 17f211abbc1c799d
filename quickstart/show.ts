/**
 * How the quickstart prints: nothing here is about Cassandra.
 */
import * as Duration from "effect/Duration"

const width = 40

/** A bar on standard error that redraws itself; where no terminal is, a line every tenth of the way. */
export const progressBar = (label: string, total: number) => {
  const isTerminal = process.stderr.isTTY === true
  let done = 0
  let shown = isTerminal ? -1 : 0
  const draw = (): void => {
    const step = Math.floor((done / total) * (isTerminal ? 100 : 10))
    if (step === shown) return
    shown = step
    const filled = Math.round((done / total) * width)
    const bar = "█".repeat(filled) + "░".repeat(width - filled)
    process.stderr.write(
      `${isTerminal ? "\r" : ""}${label} ${bar} ${count(done)} of ${count(total)}${isTerminal ? "" : "\n"}`
    )
  }
  return {
    advance: (by: number): void => {
      done += by
      draw()
    },
    end: (): void => {
      if (isTerminal) process.stderr.write("\n")
    }
  }
}

export const count = (value: number): string => value.toLocaleString("en")

export const rate = (rows: number, taken: Duration.Duration): string =>
  `${count(rows)} rows in ${Duration.toSeconds(taken).toFixed(1)} s, ${
    count(Math.round(rows / Duration.toSeconds(taken)))
  } rows/s`

/** Numbers to the right, texts to the left. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | number>>
): string => {
  const texts = rows.map((row) => row.map((cell) => typeof cell === "number" ? count(cell) : cell))
  const widths = header.map((title, column) => Math.max(title.length, ...texts.map((row) => row[column]!.length)))
  const line = (cells: ReadonlyArray<string>, isNumber: (column: number) => boolean): string =>
    "  " + cells.map((cell, column) => isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))
      .join("   ").trimEnd()
  const isNumber = (column: number): boolean => typeof rows[0]?.[column] === "number"
  return ["", line(header, isNumber), ...texts.map((row) => line(row, isNumber)), ""].join("\n")
}
