import { assert, describe, it } from "@effect/vitest"
import { problemOfCondition } from "../../../src/internal/cql/where.ts"

describe("a condition", () => {
  const good = [
    "n > 5",
    "\"limit\" = ? AND b IN (1, 2)",
    "c = 'LIMIT 10; -- no'",
    "per = 1 AND partition = 2",
    "order = 3",
    "t < '2026-01-01' AND d CONTAINS KEY 'ALLOW FILTERING'"
  ]
  for (const text of good) {
    it(`may be ${text}`, () => assert.isUndefined(problemOfCondition(text)))
  }

  const bad: ReadonlyArray<readonly [text: string, problem: string]> = [
    ["n >= 0 LIMIT 10", "LIMIT"],
    ["n >= 0 per partition limit 1", "LIMIT"],
    ["n >= 0 ORDER  BY n", "ORDER BY"],
    ["n >= 0 group\nby k", "GROUP BY"],
    ["n >= 0 ALLOW FILTERING", "ALLOW FILTERING"],
    ["n >= 0; DROP TABLE a", "no other statement"],
    ["n >= 0 -- all\n", "no comment"],
    ["n >= 0 /* all */", "no comment"],
    ["n = 'never ends", "no comment"]
  ]
  for (const [text, problem] of bad) {
    it(`cannot be ${text}`, () => assert.include(problemOfCondition(text), problem))
  }
})
