/**
 * A bar on standard error. Nothing here is about Cassandra.
 */
const width = 40

export const progressBar = (label: string) => (done: number, of: number): void => {
  const filled = of === 0 ? width : Math.round((done / of) * width)
  const bar = "█".repeat(filled) + "░".repeat(width - filled)
  const end = done === of || process.stderr.isTTY !== true ? "\n" : ""
  process.stderr.write(`\r${label} ${bar} ${done.toLocaleString("en")} of ${of.toLocaleString("en")}${end}`)
}
