import { assert, describe, it } from "@effect/vitest"
import * as Errors from "../../src/CqlError.ts"
import { classify } from "../../src/internal/driver/classify.ts"

const lines = (...text: ReadonlyArray<string>): string => text.join("\n")

const rendered = (options: Parameters<typeof Errors.make>[0]): string => String(Errors.make(options))

/** What a server says, as the driver raises it. */
const said = (code: number, message: string): Errors.Reason => classify({ name: "ResponseError", code, message })

/** The line of the statement that is marked, and the mark's column in it. */
const marked = (reason: Errors.Reason, statement: string): readonly [line: string, column: number] | undefined => {
  const printed = rendered({ reason, statement }).split("\n")
  const index = printed.findIndex((line) => /^ *\^$/.test(line))
  return index === -1 ? undefined : [printed[index - 1]!.slice(2), printed[index]!.length - 3]
}

describe("an error", () => {
  it("shows the problem, the place, the attempts and what to do", () => {
    const printed = rendered({
      reason: said(0x2000, "line 1:9 no viable alternative at input 'FORM'"),
      statement: "SELECT * FORM users WHERE id = ?",
      coordinator: "10.0.0.12:9042",
      attempts: [
        { node: "10.0.0.1:9042", outcome: "ConnectionError", durationMillis: 1.4 },
        { node: "10.0.0.12:9042", outcome: "CqlSyntaxError", durationMillis: 2.6 }
      ]
    })
    assert.strictEqual(
      printed,
      lines(
        "CqlError: line 1:9 no viable alternative at input 'FORM'",
        "  [CqlSyntaxError] from 10.0.0.12:9042",
        "",
        "  SELECT * FORM users WHERE id = ?",
        "           ^",
        "",
        "  attempts",
        "    10.0.0.1:9042    ConnectionError   after 1 ms",
        "    10.0.0.12:9042   CqlSyntaxError    after 3 ms",
        "  hint: the mark is where the server stopped: the mistake is there, or just before it"
      )
    )
  })

  it("without a statement or attempts shows none", () => {
    assert.strictEqual(
      rendered({ reason: new Errors.SessionClosed({ message: "the session is closed" }) }),
      lines(
        "CqlError: the session is closed",
        "  [SessionClosed]",
        "",
        "  hint: the scope of the session has ended: provide its layer around the whole program"
      )
    )
    assert.strictEqual(
      rendered({ reason: said(0x2200, "LIMIT must be strictly positive"), statement: " \n" }),
      lines("CqlError: LIMIT must be strictly positive", "  [InvalidQuery]")
    )
  })

  it("of several nodes lists them", () => {
    const nodes = [{ node: "10.0.0.1:9042", error: "Host considered as DOWN" }, { node: "b:1", error: "no" }]
    assert.strictEqual(
      rendered({ reason: new Errors.NoHostAvailable({ message: "no node can be asked", nodes }) }),
      lines(
        "CqlError: no node can be asked",
        "  [NoHostAvailable]",
        "",
        "  nodes",
        "    10.0.0.1:9042   Host considered as DOWN",
        "    b:1             no",
        "  hint: is the cluster up? Check contact points, port and data center, and whether it asks for TLS"
      )
    )
  })

  it("of no node tells what all of them have in common", () => {
    const hintFor = (...found: ReadonlyArray<string>) => {
      const nodes = found.map((error, index) => ({ node: `10.0.0.${index}:9042`, error }))
      return rendered({ reason: new Errors.NoHostAvailable({ message: "no node can be asked", nodes }) })
    }
    assert.include(hintFor("connect ECONNREFUSED 10.0.0.0:9042"), "hint: is the cluster up? nothing listens there")
    assert.include(hintFor("has no address", "has no address"), "hint: the name is not known to the name server")
    assert.include(hintFor("connect ECONNREFUSED 10.0.0.0:9042", "silent"), "whether it asks for TLS")
    assert.include(hintFor(), "whether it asks for TLS")
  })

  it("of many attempts lists the first", () => {
    const attempt = { node: "a:1", outcome: "Overloaded", durationMillis: 1 }
    const printed = rendered({
      reason: new Errors.Overloaded({ message: "busy" }),
      attempts: Array.from({ length: 25 }, () => attempt)
    })
    assert.strictEqual(printed.split("\n").filter((line) => line.includes("after 1 ms")).length, 10)
    assert.include(printed, "    … and 15 more\n")
  })

  it("has the hint of its parameter or its option", () => {
    const parameter = new Errors.InvalidParameter({
      message: "parameter 0",
      index: 0,
      parameter: "id",
      expected: "uuid",
      found: "a number",
      hint: "write it as text"
    })
    assert.include(rendered({ reason: parameter }), "\n  hint: write it as text")
    const config = new Errors.InvalidConfig({ message: "no", field: "port", expected: "a port" })
    assert.include(rendered({ reason: config }), "\n  hint: `port` takes a port")
  })

  it("says of a time-out what is known of the statement", () => {
    const hintOf = (phase: Errors.ClientTimeout["phase"]): string | undefined =>
      rendered({ reason: Errors.clientTimeout(phase, 10) }).split("hint: ")[1]
    assert.include(hintOf("queue"), "maxInFlight")
    assert.include(hintOf("attempt"), "idempotent")
    assert.include(hintOf("prepare"), "nothing was executed")
    const write = { message: "late", consistency: "one", received: 0, blockFor: 1 } as const
    const counter = new Errors.WriteTimeout({ ...write, writeType: "COUNTER" })
    assert.include(rendered({ reason: counter }), "may count twice")
    const other = new Errors.WriteTimeout({ ...write, writeType: "SOMETHING NEW" })
    assert.include(rendered({ reason: other }), "the write may have happened")
  })
})

describe("the mark of a syntax error", () => {
  it("is where the server says", () => {
    assert.deepStrictEqual(marked(said(0x2000, "line 1:0 no viable alternative at input 'SELEC'"), "SELEC 1"), [
      "SELEC 1",
      0
    ])
  })

  it("is at the end when the statement ends too early", () => {
    const reason = said(0x2000, "line 0:-1 mismatched input '<EOF>' expecting ')'")
    assert.deepStrictEqual(marked(reason, "INSERT INTO t (a)\nVALUES (1 \n\n"), ["VALUES (1", 9])
    assert.include(rendered({ reason, statement: "SELECT" }), "hint: the statement ends too early")
  })

  it("is in its line of a template literal, whose indent is not shown", () => {
    const statement = `
      SELECT *
        FROM users
       WERE id = ?
    `
    assert.strictEqual(
      rendered({ reason: said(0x2000, "line 4:7 mismatched input 'WERE' expecting EOF"), statement }),
      lines(
        "CqlError: line 4:7 mismatched input 'WERE' expecting EOF",
        "  [CqlSyntaxError]",
        "",
        "  SELECT *",
        "    FROM users",
        "   WERE id = ?",
        "   ^",
        "",
        "  hint: the mark is where the server stopped: the mistake is there, or just before it"
      )
    )
  })

  it("is in the middle of a long line", () => {
    const columns = Array.from({ length: 60 }, (_, index) => `column_${index}`).join(", ")
    const statement = `SELECT ${columns} FORM t WHERE ${columns}`
    const column = statement.indexOf("FORM")
    const [line, at] = marked(said(0x2000, `line 1:${column} mismatched input 'FORM'`), statement)!
    assert.isTrue(line.startsWith("…") && line.endsWith("…"))
    assert.strictEqual(line.length, 102)
    assert.strictEqual(line.slice(at, at + 4), "FORM")
  })

  it("is in the middle of many lines", () => {
    const text = Array.from({ length: 40 }, (_, index) => `line ${index + 1}`)
    const printed = rendered({ reason: said(0x2000, "line 30:0 mismatched input 'line'"), statement: text.join("\n") })
    assert.include(printed, lines("  …", "  line 24", "  line 25"))
    assert.include(printed, lines("  line 30", "  ^", "  line 31"))
    assert.include(printed, lines("  line 35", "  …", ""))
    const unmarked = rendered({ reason: said(0, "no"), statement: text.join("\n") })
    assert.include(unmarked, lines("", "  line 1", "  line 2"))
    assert.include(unmarked, lines("  line 12", "  …", ""))
  })

  it("stands under wide characters, tabs and carriage returns", () => {
    const column = "SELECT '東京😀' ".length
    const [line, at] = marked(said(0x2000, `line 1:${column} mismatched input 'FORM'`), "SELECT '東京😀' FORM t")!
    assert.strictEqual(line, "SELECT '東京😀' FORM t")
    // Three characters, two columns each.
    assert.strictEqual(at, "SELECT 'xxxxxx' ".length)
    assert.deepStrictEqual(marked(said(0x2000, "line 2:1 mismatched input 'FORM'"), "a\r\n\tFORM t\r\n"), ["FORM t", 0])
    assert.deepStrictEqual(marked(said(0x2000, "line 1:3 mismatched input 'b'"), "a\t\tb"), ["a  b", 3])
  })

  it("lets nothing of the statement steer a terminal", () => {
    const printed = rendered({ reason: said(0, "no"), statement: "SELECT \u001b[31m FROM t" })
    assert.include(printed, "  SELECT  [31m FROM t")
  })

  it("follows what has moved because a password is masked", () => {
    const statement = "CREATE ROLE ada WITH PASSWORD = 'a long password' AND LOGON = true"
    const column = statement.indexOf("LOGON")
    const [line, at] = marked(said(0x2000, `line 1:${column} no viable alternative at input 'LOGON'`), statement)!
    assert.strictEqual(line, "CREATE ROLE ada WITH PASSWORD = ‹value› AND LOGON = true")
    assert.strictEqual(line.slice(at, at + 5), "LOGON")
    assert.isUndefined(marked(said(0x2000, `line 1:${column} no viable alternative at input 'gone'`), statement))
  })

  it("is not there for a position that the statement does not have", () => {
    assert.isUndefined(marked(said(0x2000, "line 7:1 mismatched input 'x'"), "SELECT 1"))
    assert.isUndefined(marked(said(0x2000, "line 1:99 mismatched input 'x'"), "SELECT 1"))
    assert.isUndefined(marked(said(0x2000, "no position"), "SELECT 1"))
  })
})

describe("the mark of a name", () => {
  const cases: ReadonlyArray<readonly [message: string, statement: string, rest: string]> = [
    // What Cassandra 5.0.6 says, and older ones where they differ.
    ["table nope does not exist", "SELECT nope FROM u.nope", "nope"],
    ["unconfigured table nope", "SELECT * FROM nope", "nope"],
    ["Table 'u.nope' doesn't exist", "DROP TABLE IF EXISTS u . nope", "nope"],
    ["Base table 'nope' doesn't exist", "CREATE MATERIALIZED VIEW u.v AS SELECT * FROM u.nope", "nope"],
    ["table Users does not exist", "SELECT users FROM u.\"Users\" WHERE a = 1", "\"Users\" WHERE a = 1"],
    ["keyspace nope does not exist", "SELECT * FROM nope.users", "nope.users"],
    ["Keyspace 'nope' doesn't exist", "DROP KEYSPACE nope", "nope"],
    ["Index 'u.nope' doesn't exist'", "DROP INDEX u.nope", "nope"],
    ["Undefined column name nope in table u.users", "INSERT INTO nope (id, nope) VALUES (?, ?)", "nope) VALUES (?, ?)"],
    ["Undefined name nope in where clause ('nope = 1')", "SELECT 'nope' FROM t WHERE nope = 1", "nope = 1"],
    ["Undefined column name b", "SELECT a /* b */, abc -- b\n, b FROM t", "b FROM t"],
    ["Unknown identifier nope", "UPDATE t SET nope = 1", "nope = 1"],
    ["Unknown type u.nope", "CREATE TABLE x (id int PRIMARY KEY, b nope)", "nope)"],
    ["Unknown function 'nofn'", "SELECT nofn(id) FROM t", "nofn(id) FROM t"],
    ["Column nope was not found in table 'u.users'", "ALTER TABLE u.users DROP nope", "nope"],
    ["Column with name 'name' already exists", "ALTER TABLE u.users ADD name text", "name text"],
    ["PRIMARY KEY part id found in SET part", "UPDATE t SET id = 2 WHERE id = 1", "id = 2 WHERE id = 1"],
    [
      "PRIMARY KEY column \"c2\" cannot be restricted as preceding column \"c1\" is not restricted",
      "SELECT * FROM t WHERE id = 1 AND c2 = 1",
      "c2 = 1"
    ],
    [
      "Invalid STRING constant (it's) for \"id\" of type int",
      "INSERT INTO t (id) VALUES ('it''s')",
      "id) VALUES ('it''s')"
    ]
  ]

  for (const [message, statement, rest] of cases) {
    it(`of "${message}"`, () => {
      const [line, column] = marked(said(0x2200, message), statement)!
      assert.strictEqual(line.slice(column), rest)
    })
  }

  it("comes with a syntax error that tells no position", () => {
    const [line, column] = marked(
      said(0x2000, "Unknown property 'nope'"),
      "CREATE TABLE x (id int PRIMARY KEY) WITH nope = 1"
    )!
    assert.strictEqual(line.slice(column), "nope = 1")
  })

  it("is not there when the statement does not have the name", () => {
    assert.isUndefined(marked(said(0x2200, "Undefined column name nope in table u.users"), "SELECT 'nope' FROM t"))
    assert.isUndefined(marked(said(0x2200, "unconfigured table .*("), "SELECT a FROM t"))
    assert.isUndefined(marked(said(0x2200, "LIMIT must be strictly positive"), "SELECT a FROM t LIMIT 0"))
  })
})
