/**
 * Adds a test run's results, as vitest's JSON reporter leaves them, to those of the other checks: prints the sum as one
 * line, and fails where anything has failed.
 */
import { existsSync, readFileSync } from "node:fs"

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
}

const [file = "", exitCode = "1", checksPassed = "0", checksFailed = "0"] = process.argv.slice(2)

const text = existsSync(file) ? readFileSync(file, "utf8") : ""
const report: Report = text === "" ? { numPassedTests: 0, numFailedTests: 0 } : JSON.parse(text)
// A file that could not be loaded fails the run without failing a test.
const failedTests = exitCode === "0" ? report.numFailedTests : Math.max(1, report.numFailedTests)
const failed = failedTests + Number(checksFailed)

console.log(`${report.numPassedTests + Number(checksPassed)} passed, ${failed} failed`)
process.exitCode = failed === 0 && report.numPassedTests > 0 ? 0 : 1
