/**
 * Adds a test run's results, as vitest's JSON reporter leaves them, to those of the other checks: prints what has failed,
 * and the sum as one line, and fails where anything has failed.
 */
import { existsSync, readFileSync } from "node:fs"

interface Test {
  readonly status: string
  readonly fullName: string
  readonly failureMessages: ReadonlyArray<string>
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<Test>
  }>
}

const [file = "", exitCode = "1", checksPassed = "0", checksFailed = "0"] = process.argv.slice(2)

const text = existsSync(file) ? readFileSync(file, "utf8") : ""
const report: Report = text === "" ? { numPassedTests: 0, numFailedTests: 0, testResults: [] } : JSON.parse(text)
// A file that could not be loaded fails the run without failing a test.
const failedTests = exitCode === "0" ? report.numFailedTests : Math.max(1, report.numFailedTests)
const failed = failedTests + Number(checksFailed)

for (const file of report.testResults) {
  if (file.status === "failed" && file.message !== "") console.log(`failed: ${file.name}: ${file.message}`)
  for (const test of file.assertionResults) {
    if (test.status === "failed") {
      console.log(`failed: ${file.name}: ${test.fullName}\n${test.failureMessages.join("\n")}`)
    }
  }
}
console.log(`${report.numPassedTests + Number(checksPassed)} passed, ${failed} failed`)
process.exitCode = failed === 0 && report.numPassedTests > 0 ? 0 : 1
