import { assert, describe, it } from "@effect/vitest"
import type { Problem } from "../../../src/internal/migrator/script.ts"
import * as Script from "../../../src/internal/migrator/script.ts"

const statementsOf = (text: string): ReadonlyArray<string> => {
  const statements = Script.split(text)
  assert.isFalse(Script.isProblem(statements))
  return statements as ReadonlyArray<string>
}

const problemOf = (text: string): Problem => {
  const problem = Script.split(text)
  assert.isTrue(Script.isProblem(problem))
  return problem as Problem
}

const split: Readonly<Record<string, readonly [text: string, statements: ReadonlyArray<string>]>> = {
  "nothing": ["", []],
  "nothing but comments and semicolons": [" -- a\n;; /* b; */ ; // c", []],
  "one without a semicolon": ["SELECT a", ["SELECT a"]],
  "several": ["SELECT a;\nSELECT b; SELECT c;", ["SELECT a", "SELECT b", "SELECT c"]],
  "quotes with semicolons": [
    `SELECT 'a;''b;' ; SELECT ";""x;"; SELECT $$;'$$`,
    [`SELECT 'a;''b;'`, `SELECT ";""x;"`, "SELECT $$;'$$"]
  ],
  "comments with semicolons and quotes": [
    "-- it's;\nSELECT a -- b;'\n, c; // d;\r\n/* ' ; */ SELECT /* ; */ e; -- f",
    ["SELECT a -- b;'\n, c", "SELECT /* ; */ e"]
  ],
  "a batch as one": [
    "BEGIN BATCH UPDATE a; UPDATE b; APPLY BATCH; SELECT c",
    ["BEGIN BATCH UPDATE a; UPDATE b; APPLY BATCH", "SELECT c"]
  ],
  "a batch in other letters, behind a comment": [
    "/* b */ begin unlogged batch\nUPDATE a; -- c\napply -- d\nbatch ;SELECT c",
    ["begin unlogged batch\nUPDATE a; -- c\napply -- d\nbatch", "SELECT c"]
  ],
  "a name that is like the word of a batch": ["SELECT \"BEGIN\"; SELECT b", ["SELECT \"BEGIN\"", "SELECT b"]],
  "a function with its body": [
    "CREATE FUNCTION f() CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return 1; $$; SELECT a",
    ["CREATE FUNCTION f() CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return 1; $$", "SELECT a"]
  ],
  "a text with a mark of the byte order": ["\uFEFFSELECT a;", ["SELECT a"]]
}

const problems: Readonly<Record<string, readonly [text: string, statement: number, message: RegExp]>> = {
  "a quote that does not end": ["SELECT a; SELECT 'b; SELECT c", 2, /a quote or a comment that does not end/],
  "a name that does not end": ["SELECT \"b; SELECT c", 1, /does not end/],
  "a body that does not end": ["SELECT a; SELECT b; AS $$ ; ", 3, /does not end/],
  "a comment that does not end": ["SELECT a /* ; SELECT b", 1, /does not end/],
  "a character of no token": ["SELECT a; SELECT #;", 2, /a character that CQL does not know/],
  "a batch that does not end": ["BEGIN BATCH UPDATE a; UPDATE b;", 1, /APPLY BATCH/],
  "another keyspace": ["SELECT a; use shop;", 2, /USE/]
}

describe("A text of migrations", () => {
  for (const [name, [text, statements]] of Object.entries(split)) {
    it(`is split: ${name}`, () => assert.deepStrictEqual(statementsOf(text), statements))
  }

  for (const [name, [text, statement, message]] of Object.entries(problems)) {
    it(`is refused: ${name}`, () => {
      const problem = problemOf(text)
      assert.strictEqual(problem.statement, statement)
      assert.match(problem.message, message)
    })
  }
})
