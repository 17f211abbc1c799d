import { assert, describe, it } from "@effect/vitest"
import { summarize, withoutLiterals } from "../../../src/internal/cql/summary.ts"

const cases: ReadonlyArray<readonly [text: string, name: string, collection?: string]> = [
  ["SELECT * FROM users", "SELECT users", "users"],
  ["select n, m from Shop . \"User s\" where id = ?", "SELECT Shop.\"User s\"", "Shop.\"User s\""],
  ["SELECT \"from\", 'FROM x' FROM users /* FROM a */", "SELECT users", "users"],
  ["  -- the FROM of old\n SELECT JSON count(*) FROM users", "SELECT users", "users"],
  ["INSERT INTO shop.users JSON '{}'", "INSERT shop.users", "shop.users"],
  ["UPDATE users USING TTL 3 SET n = 1", "UPDATE users", "users"],
  ["DELETE n FROM users WHERE id = 1", "DELETE users", "users"],
  ["TRUNCATE users", "TRUNCATE users", "users"],
  ["TRUNCATE TABLE users", "TRUNCATE users", "users"],
  ["CREATE TABLE IF NOT EXISTS shop.users (id text PRIMARY KEY)", "CREATE TABLE shop.users", "shop.users"],
  ["DROP TABLE IF EXISTS users", "DROP TABLE users", "users"],
  ["ALTER TABLE users ADD n int", "ALTER TABLE users", "users"],
  ["CREATE KEYSPACE shop WITH replication = {}", "CREATE KEYSPACE"],
  ["CREATE INDEX ON users (n)", "CREATE INDEX"],
  ["CREATE", "CREATE"],
  ["USE shop", "USE"],
  ["GRANT SELECT ON users TO ada", "GRANT"],
  ["BEGIN UNLOGGED BATCH INSERT INTO users (id) VALUES (1); APPLY BATCH", "BATCH"],
  ["SELECT now()", "SELECT"],
  ["SELECT * FROM", "SELECT"],
  ["SELECT * FROM ?", "SELECT"],
  ["UPDATE", "UPDATE"],
  ["", "CQL"],
  ["'SELECT' 1 ?", "CQL"]
]

describe("what a text is called", () => {
  for (const [text, name, collection] of cases) {
    it(JSON.stringify(text), () => {
      const { operation: _, ...summary } = summarize(text)
      assert.deepStrictEqual(summary, { name, collection })
    })
  }

  it("is its first word, in upper case, as the operation", () => {
    assert.deepStrictEqual(
      ["insert into a", "begin batch", "List users", "(1)"].map((text) => summarize(text).operation),
      ["INSERT", "BATCH", "LIST", "CQL"]
    )
  })

  it("is short, however long its names are", () => {
    assert.lengthOf(summarize(`SELECT * FROM ${"a".repeat(10_000)}`).name, 255)
  })
})

describe("a text without its literals", () => {
  const texts: ReadonlyArray<readonly [text: string, without: string]> = [
    ["SELECT * FROM a WHERE b = 'it''s' AND c = $$x$$", "SELECT * FROM a WHERE b = ? AND c = ?"],
    ["UPDATE a SET n = n + 12, m = -1.5e3 WHERE k = 0xcafe", "UPDATE a SET n = n + ?, m = ? WHERE k = ?"],
    [
      "INSERT INTO a1 (k2) VALUES (123e4567-e89b-12d3-a456-426614174000) USING TTL 60",
      "INSERT INTO a1 (k2) VALUES (?) USING TTL ?"
    ],
    ["SELECT * FROM \"t 1\" WHERE d = 2h30m -- a secret\n", "SELECT * FROM \"t 1\" WHERE d = ?  "],
    ["SELECT 'never ends", "SELECT ?"]
  ]

  for (const [text, without] of texts) {
    it(JSON.stringify(text), () => assert.strictEqual(withoutLiterals(text), without))
  }
})
