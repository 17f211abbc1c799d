/**
 * A table of statements and of what is proved of them. A real server says whether each of them is CQL, with which
 * parameters, and what a second run of it leaves.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Session } from "../../../src/index.ts"
import type { ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import { format } from "../../../src/internal/codec/ColumnType.ts"
import { isIdempotent } from "../../../src/internal/cql/idempotence.ts"
import { tokenize } from "../../../src/internal/cql/tokens.ts"
import * as Prepare from "../../../src/internal/prepare.ts"
import { StatementImpl } from "../../../src/internal/statement.ts"
import type { Prepared } from "../../../src/internal/statements.ts"
import * as Template from "../../../src/internal/template.ts"
import * as Keyspace from "../../support/keyspace.ts"
import { randomNumbers, scalar } from "../codec/support.ts"

interface Case {
  readonly text: string
  /** Types of its markers, as PREPARE tells them. */
  readonly parameters: ReadonlyArray<string>
  readonly why: string
  readonly idempotent: boolean
  readonly server:
    /** The server takes it; where it is proved, a second run leaves everything as it was. */
    | "takes"
    /** The server takes it, and a second run with the same timestamp leaves something else. */
    | "changes"
    | "refuses"
}

interface MakeCase {
  (text: string, parameters?: ReadonlyArray<string>, why?: string): Case
}

const proved: MakeCase = (text, parameters = [], why = "") => ({
  text,
  parameters,
  why,
  idempotent: true,
  server: "takes"
})

const notProved: MakeCase = (...parts) => ({ ...proved(...parts), idempotent: false })

const changes: MakeCase = (...parts) => ({ ...notProved(...parts), server: "changes" })

const refused: MakeCase = (...parts) => ({ ...notProved(...parts), server: "refuses" })

const schema = [
  "CREATE TYPE point (x int, y frozen<list<int>>)",
  "CREATE TABLE things (k int PRIMARY KEY, n int, v text, b blob, bo boolean, f double, ts timestamp, tu timeuuid, " +
  "u uuid, du duration, l list<int>, fl frozen<list<int>>, s set<int>, st set<text>, m map<text, int>, " +
  "mi map<int, int>, ml map<text, frozen<list<int>>>, p point, tp tuple<int, text>, ve vector<float, 2>, now text, " +
  "ttl int, json text, \"if\" int, \"Now()\" text, \"a \"\"b\"\"\" int)",
  "CREATE TABLE wide (p int, q text, c int, t timeuuid, s int static, v int, PRIMARY KEY ((p, q), c, t))",
  "CREATE TABLE times (t timeuuid PRIMARY KEY, v int)",
  "CREATE TABLE uuids (u uuid PRIMARY KEY)",
  "CREATE TABLE counts (k int PRIMARY KEY, c counter)",
  "CREATE TABLE json (k int PRIMARY KEY, v text)",
  "CREATE TABLE \"If\" (k int PRIMARY KEY, v int)",
  "CREATE FUNCTION f(x int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return x;'",
  "CREATE FUNCTION textasblob(x int) CALLED ON NULL INPUT RETURNS blob LANGUAGE java AS 'return null;'",
  "CREATE FUNCTION totext(x int) CALLED ON NULL INPUT RETURNS text LANGUAGE java AS 'return \"\" + x;'"
]

const tables = ["things", "wide", "times", "uuids", "counts", "json", "If"]

/** What a statement finds, so that what takes something away has something to take. */
const before = [
  "INSERT INTO things (k, n, v, l, s, st, m, mi, p) VALUES (1, 1, 'a', [7, 8, 7], {1, 2}, {'a', 'b'}, " +
  "{'a': 1, 'b': 2}, {1: 1, 2: 2}, {x: 1, y: [1]})",
  "INSERT INTO wide (p, q, c, t, s, v) VALUES (1, 'a', 1, 50554d6e-29bb-11e5-b345-feff819cdc9f, 1, 1)"
]

const sections: Readonly<Record<string, ReadonlyArray<Case>>> = {
  "reads": [
    proved("SELECT * FROM things"),
    proved("SELECT * FROM things WHERE k = ?", ["int"]),
    proved("select k, v from ks.things where k in (:a, :b) limit ?", ["int", "int", "int"]),
    proved("SELECT now(), uuid(), f(n) FROM things", [], "a read changes nothing, whatever it calls"),
    proved("SELECT toTimestamp(now()), currentTimestamp() FROM things"),
    proved("SELECT JSON * FROM things"),
    proved("SELECT DISTINCT k FROM things"),
    proved("SELECT count(*), cast(max(n) AS text) FROM things"),
    proved("SELECT writetime(v) AS \"from\", ttl(v) FROM things PER PARTITION LIMIT 1 ALLOW FILTERING"),
    proved("SELECT s[1..2], m['a'] FROM things"),
    proved("SELECT \"if\", json, now FROM things WHERE v = 'IF NOT EXISTS; DROP' ALLOW FILTERING"),
    proved("SELECT * FROM \"If\";"),
    proved("SELECT * FROM system.local;;\n;"),
    proved("SELECT * FROM things -- all of them\n"),
    refused("SELECT"),
    refused("SELECT * FROM"),
    refused("SELECT k, v"),
    refused("SELECT * FROM things WHERE v = 'a"),
    refused("SELECT * FROM things -- all of them", [], "a comment without a line's end is none"),
    refused("SELECT * FROM things /* all"),
    refused("SELECT * FROM things; SELECT * FROM things"),
    refused("SELECT * FROM things; DELETE FROM things WHERE k = 1")
  ],
  "what is no read and no write of rows": [
    notProved("TRUNCATE things"),
    notProved("USE ks"),
    notProved("CREATE TABLE IF NOT EXISTS things (k int PRIMARY KEY)"),
    notProved("ALTER TABLE things WITH comment = 'SELECT'"),
    notProved("DROP TABLE IF EXISTS things"),
    notProved("CREATE INDEX IF NOT EXISTS ON things (v)"),
    notProved("GRANT SELECT ON things TO cassandra"),
    notProved("LIST ROLES"),
    notProved("DESCRIBE TABLES"),
    refused("BEGIN TRANSACTION UPDATE things SET n = 1 WHERE k = 1; COMMIT TRANSACTION"),
    refused("EXPLAIN SELECT * FROM things"),
    refused("INSERTINTO things (k) VALUES (1)")
  ],
  "INSERT": [
    proved("INSERT INTO things (k) VALUES (1)"),
    proved("INSERT INTO things (k, v) VALUES (?, ?)", ["int", "text"]),
    proved("INSERT INTO things (k, n) VALUES (:a, :a)", ["int", "int"], "a name that is used twice is told twice"),
    proved("INSERT INTO things (k, n) VALUES (: a, :\"B b\")", ["int", "int"]),
    proved("insert into KS.THINGS (K, V) values (1, 'x')"),
    proved("INSERT INTO ks . things (k) VALUES (1)"),
    proved("INSERT INTO \"things\" (\"k\", \"if\", \"Now()\", \"a \"\"b\"\"\") VALUES (1, 2, 'now()', 3)"),
    proved("INSERT INTO \"If\" (k, v) VALUES (1, 2)"),
    proved(
      "INSERT INTO things (k, now, ttl, json) VALUES (1, ?, 2, 'x')",
      ["text"],
      "names like functions and keywords"
    ),
    proved("INSERT INTO json (k, v) VALUES (1, 'a')", [], "a table of that name"),
    proved("INSERT INTO things (k, n, f, bo) VALUES (1, -2, -1.5e3, TRUE)"),
    proved("INSERT INTO things (k, f) VALUES (1, NaN)"),
    proved("INSERT INTO things (k, f) VALUES (1, -Infinity)"),
    proved("INSERT INTO things (k, v, l) VALUES (1, null, NULL)", [], "no list where there is none"),
    proved("INSERT INTO things (k, b, u) VALUES (1, 0xCAFE, 4fa1e8b0-8e5d-4c3c-9c56-2d1a6e0c1b2a)"),
    proved("INSERT INTO things (k, du) VALUES (1, 1y2mo3w4d5h6m7s8ms9us10ns)"),
    proved("INSERT INTO things (k, du) VALUES (1, -P1Y2M3DT4H5M6S)"),
    notProved("INSERT INTO things (k, du) VALUES (1, P0001-02-03T04:05:06)", [], "a form that nobody writes"),
    proved("INSERT INTO things (k, s, m) VALUES (1, {1, 2}, {'a': 1})"),
    proved("INSERT INTO things (k, s, st) VALUES (1, {}, ?)", ["set<text>"]),
    proved("INSERT INTO things (k, m, mi) VALUES (?, ?, ?)", ["int", "map<text, int>", "map<int, int>"]),
    proved("INSERT INTO things (k, ml) VALUES (1, {'a': [1, 2]})", [], "a list in a map is frozen"),
    proved("INSERT INTO things (k, ml) VALUES (1, ?)", ["map<text, list<int>>"]),
    proved("INSERT INTO things (k, p) VALUES (1, {x: 1, y: [2]})", [], "a list in a user-defined type is frozen"),
    proved("INSERT INTO things (k, p) VALUES (1, ?)", ["ks.point"]),
    proved("INSERT INTO things (k, tp) VALUES (1, (1, 'a'))"),
    proved("INSERT INTO things (k, tp) VALUES (?, (?, ?))", ["int", "int", "text"]),
    proved("INSERT INTO things (k, tp) VALUES (1, (null, null))", [], "no type of that name"),
    proved("INSERT INTO things (k, ve) VALUES (1, ?)", ["vector<float, 2>"]),
    proved("INSERT INTO things (k, n) VALUES ((1), ((2)))"),
    proved("INSERT INTO things (k, v) VALUES (1, 'it''s IF NOT EXISTS, now() -- /* ')"),
    proved("INSERT INTO things (k, v) VALUES (1, $$it's IF now() -- '$$)"),
    proved("INSERT INTO things (k, v) VALUES (1, 'žluťoučký 🐎\n')"),
    proved("INSERT INTO things (k,v)VALUES(1,'x')USING TTL 1000"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a'), (2, 'b')"),
    refused("INSERT INTO things (k, v,) VALUES (1, 'a')"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a',)"),
    refused("INSERT INTO things VALUES (1)"),
    refused("INSERT INTO things (k, v) VALUES (1, v)")
  ],
  "lists": [
    changes("INSERT INTO things (k, l) VALUES (1, [1, 2])", [], "the list has four elements then"),
    changes("INSERT INTO things (k, l) VALUES (1, ?)", ["list<int>"]),
    changes("INSERT INTO things (k, l) VALUES (:k, :l)", ["int", "list<int>"]),
    changes("INSERT INTO things (k, l) VALUES (1, ([1, 2]))", [], "brackets around a value mean nothing"),
    changes("INSERT INTO things (k, l) VALUES (1, ((?)))", ["list<int>"]),
    changes("INSERT INTO things (k, l) VALUES (1, (list<int>) [1, 2])"),
    changes("INSERT INTO things (k, l) VALUES (1, (list<int>) ?)", ["list<int>"]),
    changes("INSERT INTO things (k, l) VALUES (1, fromJson('[1, 2]'))"),
    changes("INSERT INTO things (k, l) VALUES (1, [1, 2]) USING TTL 1000"),
    changes("UPDATE things SET l = [1, 2] WHERE k = 1"),
    changes("UPDATE things SET l = ? WHERE k = 1", ["list<int>"]),
    changes("UPDATE things SET v = 'a', l = ?, n = 1 WHERE k = ?", ["list<int>", "int"]),
    notProved("INSERT INTO things (k, fl) VALUES (1, [1, 2])", [], "frozen, which the text does not show"),
    notProved("INSERT INTO things (k, fl) VALUES (1, ?)", ["list<int>"], "frozen, which the protocol does not tell"),
    notProved("INSERT INTO things (k, ve) VALUES (1, [1.0, 2.0])", [], "a vector, written like a list"),
    notProved("UPDATE things SET l = [] WHERE k = 1"),
    changes("UPDATE things SET l = l + [1] WHERE k = 1"),
    changes("UPDATE things SET l = l + ? WHERE k = 1", ["list<int>"]),
    changes("UPDATE things SET l += [1] WHERE k = 1"),
    changes("UPDATE things SET l += ? WHERE k = 1", ["list<int>"]),
    changes("UPDATE things SET l = [1] + l WHERE k = 1"),
    changes("UPDATE things SET l = ? + l WHERE k = 1", ["list<int>"]),
    changes("UPDATE things SET l=l+[1]WHERE k=1"),
    changes("UPDATE things SET \"l\" = \"l\" + ([1]) WHERE k = 1"),
    proved("UPDATE things SET l = l - [7] WHERE k = 1", [], "by value"),
    proved("UPDATE things SET l = l - ? WHERE k = 1", ["list<int>"]),
    proved("UPDATE things SET l -= ? WHERE k = ?", ["list<int>", "int"]),
    proved("UPDATE things SET l-=[7]WHERE k=1"),
    notProved("UPDATE things SET l[0] = 1 WHERE k = 1", [], "who prepends meanwhile moves the elements"),
    notProved("UPDATE things SET l[?] = 1 WHERE k = 1", ["int"]),
    notProved("UPDATE things SET l[(0)] = 1 WHERE k = 1"),
    notProved("UPDATE things SET l[(int) 0] = 1 WHERE k = 1"),
    notProved("UPDATE things SET l[1 - 1] = 1 WHERE k = 1"),
    notProved("UPDATE things SET l[blobAsInt(0x00000000)] = 1 WHERE k = 1"),
    notProved("UPDATE things SET l[null] = 1 WHERE k = 1"),
    changes("DELETE l[0] FROM things WHERE k = 1"),
    changes("DELETE l[?] FROM things WHERE k = 1", ["int"]),
    changes("DELETE v, l[(0)] FROM things WHERE k = 1"),
    proved("DELETE l FROM things WHERE k = 1")
  ],
  "JSON": [
    proved("INSERT INTO things JSON '{\"k\": 1, \"v\": \"it''s\", \"m\": {\"a\": 1}, \"bo\": true, \"l\": null}'"),
    proved("INSERT INTO things JSON $${\"k\": 1, \"v\": \"it's\"}$$ DEFAULT UNSET USING TTL 1000"),
    proved("INSERT INTO things JSON '{\"k\": 1}' DEFAULT NULL;"),
    proved("INSERT INTO json JSON '{\"k\": 1}'"),
    changes("INSERT INTO things JSON '{\"k\": 1, \"l\": [1, 2]}'", [], "a list, as anywhere else"),
    changes("INSERT INTO things JSON '{\"k\": 1, \"l\": \"[1, 2]\"}'", [], "a list in a string is taken for a list"),
    changes("INSERT INTO things JSON '{\"k\": 1, \"l\": \"\\u005b1, 2]\"}'", [], "and it may be escaped"),
    changes("INSERT INTO things JSON '{\"k\": 1, \"ts\": \"now\"}'"),
    changes("INSERT INTO things JSON '{\"k\": 1, \"ts\": \"n\\u006fw\"}'"),
    notProved("INSERT INTO things JSON '{\"k\": 1, \"s\": [1, 2]}'", [], "a set, which the text does not show"),
    notProved("INSERT INTO things JSON ?", ["text"], "lists may be in it"),
    notProved("INSERT INTO things JSON :json DEFAULT UNSET", ["text"]),
    notProved("INSERT INTO things JSON '{\"k\": 1}' IF NOT EXISTS"),
    notProved("INSERT INTO things JSON '{\"k\": 1}' DEFAULT UNSET IF NOT EXISTS"),
    refused("INSERT INTO things JSON"),
    refused("INSERT INTO things JSON '{\"k\": 1}' DEFAULT"),
    refused("INSERT INTO things JSON '{\"k\": 1}' DEFAULT 1")
  ],
  "UPDATE": [
    proved("UPDATE things SET v = 'a' WHERE k = 1"),
    proved("UPDATE ks.things SET v = ?, n = :n WHERE k = :k", ["text", "int", "int"]),
    proved("UPDATE things SET \"if\" = 1, \"a \"\"b\"\"\" = 2, now = 'x', ttl = 1 WHERE k = 1"),
    proved("UPDATE \"If\" SET v = 1 WHERE k = 1"),
    proved("UPDATE things SET n=-1,v=''WHERE k=1"),
    proved("UPDATE things SET n = 1 + 2 * -3 WHERE k = 1"),
    proved("UPDATE things SET n = (int) ? - 1 WHERE k = 1", ["int"]),
    proved("UPDATE things SET n = - ? WHERE k = 1", ["int"]),
    proved("UPDATE things SET n = (1 + 2) % 2 WHERE k IN (1, 2)"),
    proved("UPDATE things SET v = 'a' + 'b' WHERE k = 1"),
    proved("UPDATE things SET ts = '2020-01-01' + 1d WHERE k = 1"),
    proved("UPDATE things SET p.x = 1 WHERE k = 1"),
    proved("UPDATE things SET p.y = ? WHERE k = 1", ["list<int>"], "a list in a user-defined type is frozen"),
    proved("UPDATE things SET p = {x: ?, y: [1]} WHERE k = 1", ["int"]),
    proved("UPDATE wide SET s = 1 WHERE p = 1 AND q = 'a'"),
    proved("UPDATE wide SET v = 1 WHERE p = 1 AND q IN ? AND (c, t) IN ?", [
      "list<text>",
      "list<tuple<int, timeuuid>>"
    ]),
    refused("UPDATE things SET n = n + 1 WHERE k = 1"),
    refused("UPDATE things SET n = n + ? WHERE k = 1", ["int"]),
    refused("UPDATE things SET n = k + 1 WHERE k = 1"),
    refused("UPDATE things SET n = k WHERE k = 1"),
    refused("UPDATE things SET v = v + 'a' WHERE k = 1"),
    refused("UPDATE things SET n = 1"),
    refused("UPDATE things SET n = 1 WHERE"),
    refused("UPDATE things SET n = 1 WHERE k"),
    refused("UPDATE things SET n = 1 WHERE k ="),
    refused("UPDATE things SET n = 1 WHERE k = 1 AND"),
    refused("UPDATE things SET n = 1, WHERE k = 1"),
    refused("UPDATE things SET n WHERE k = 1"),
    refused("UPDATE things SET if = 1 WHERE k = 1")
  ],
  "sets and maps": [
    proved("UPDATE things SET s = s + {3} WHERE k = 1"),
    proved("UPDATE things SET s = s + ? WHERE k = 1", ["set<int>"]),
    proved("UPDATE things SET s = s + (?) WHERE k = 1", ["set<int>"]),
    proved("UPDATE things SET s=s+{3}WHERE k=1"),
    proved("UPDATE things SET s = s + {} WHERE k = 1"),
    proved("UPDATE things SET s += (set<int>) {3} WHERE k = 1"),
    proved("UPDATE things SET st += ? WHERE k = ?", ["set<text>", "int"]),
    proved("UPDATE things SET m = m + {'c': 3}, mi = mi + {3: 3} WHERE k = 1"),
    proved("UPDATE things SET m = m + ?, mi += ? WHERE k = 1", ["map<text, int>", "map<int, int>"]),
    proved("UPDATE things SET ml += {'a': [1]} WHERE k = 1"),
    proved("UPDATE things SET s = s - {1} WHERE k = 1"),
    proved("UPDATE things SET s -= ? WHERE k = 1", ["set<int>"]),
    proved("UPDATE things SET m = m - ? WHERE k = 1", ["set<text>"], "of a map its keys are taken away"),
    proved("UPDATE things SET m -= {'a'} WHERE k = 1"),
    proved("UPDATE things SET s = {1, 2} WHERE k = 1"),
    proved("UPDATE things SET m = ? WHERE k = 1", ["map<text, int>"]),
    refused("UPDATE things SET s = {3} + s WHERE k = 1"),
    refused("UPDATE things SET s = s + [3] WHERE k = 1"),
    changes("UPDATE things SET m = m + {'a': 1}, l = l + [1] WHERE k = 1"),
    notProved("UPDATE things SET s = s + null WHERE k = 1"),
    proved("UPDATE things SET m['a'] = 1 WHERE k = 1"),
    proved("UPDATE things SET m[$$a$$] = null, m['b'] = ? WHERE k = 1", ["int"]),
    proved("UPDATE things SET m[?] = ? WHERE k = 1", ["text", "int"], "the index of a list is an int"),
    proved("UPDATE things SET m[:key] = :value WHERE k = :k", ["text", "int", "int"]),
    proved("UPDATE things SET m[('a')] = 1 WHERE k = 1"),
    proved("UPDATE things SET ml['a'] = [1, 2], ml[?] = ? WHERE k = 1", ["text", "list<int>"], "in a map it is frozen"),
    notProved("UPDATE things SET mi[1] = 1 WHERE k = 1", [], "it may be the position in a list"),
    notProved("UPDATE things SET mi[?] = ? WHERE k = 1", ["int", "int"]),
    proved("DELETE m['a'], m[?] FROM things WHERE k = 1", ["text"]),
    proved("DELETE st['a'], st[?] FROM things WHERE k = 1", ["text"]),
    notProved("DELETE mi[1] FROM things WHERE k = 1"),
    notProved("DELETE s[1] FROM things WHERE k = 1"),
    notProved("DELETE s[?] FROM things WHERE k = 1", ["int"]),
    refused("UPDATE things SET l['a'] = 1 WHERE k = 1, k = 1"),
    refused("UPDATE things SET m['a'] + 1 WHERE k = 1"),
    refused("UPDATE things SET m['a' = 1 WHERE k = 1"),
    refused("DELETE m['a' FROM things WHERE k = 1")
  ],
  "counters": [
    changes("UPDATE counts SET c = c + 1 WHERE k = 1"),
    changes("UPDATE counts SET c = c + ? WHERE k = ?", ["counter", "int"]),
    changes("UPDATE counts SET c += ? WHERE k = :k", ["counter", "int"]),
    changes("UPDATE counts SET c += 1 WHERE k = 1"),
    changes("UPDATE counts SET c = c - ? WHERE k = 1", ["counter"]),
    changes("UPDATE counts SET c = c - 1 WHERE k = 1"),
    changes("UPDATE counts SET c -= ? WHERE k = 1", ["counter"]),
    changes("UPDATE counts SET c=c-1 WHERE k=1", [], "-1 is a number, and there is no operator then"),
    changes("UPDATE counts SET c = c 1 WHERE k = 1", [], "so that this is taken, too"),
    changes("UPDATE counts SET c = c + (1) WHERE k = 1"),
    changes("UPDATE counts SET c = c + -1 WHERE k = 1"),
    changes("BEGIN COUNTER BATCH UPDATE counts SET c = c + 1 WHERE k = 1; APPLY BATCH"),
    notProved("BEGIN COUNTER BATCH DELETE FROM counts WHERE k = 1; APPLY BATCH"),
    refused("UPDATE counts SET c = c + {} WHERE k = 1, k = 1"),
    refused("UPDATE counts SET c = 1 + c WHERE k = 1")
  ],
  "DELETE": [
    proved("DELETE FROM things WHERE k = 1"),
    proved("DELETE FROM ks.things WHERE k = ?", ["int"]),
    proved("DELETE v, n, \"if\", m FROM things WHERE k IN (?, 2)", ["int"]),
    proved("DELETE p.x FROM things WHERE k = 1"),
    proved("DELETE FROM things USING TIMESTAMP 1 WHERE k = 1"),
    proved("DELETE FROM things USING TIMESTAMP ? WHERE k = ?", ["bigint", "int"]),
    proved("DELETE s FROM wide WHERE p = 1 AND q = 'a'"),
    proved("DELETE FROM wide WHERE p = 1 AND q = ? AND c > ? AND c <= 5", ["text", "int"]),
    proved("DELETE FROM wide WHERE p = 1 AND q IN ('a', ?) AND (c, t) >= (1, ?)", ["text", "timeuuid"]),
    proved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND (c, t) = ?", ["tuple<int, timeuuid>"]),
    proved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND (c) IN ((1), (2))"),
    notProved("DELETE FROM wide WHERE (p = 1) AND q = 'a'", [], "a form that nobody writes"),
    refused("DELETE FROM things"),
    refused("DELETE FROM things WHERE k = 1 USING TIMESTAMP 1"),
    refused("DELETE FROM wide WHERE token(p, q) > 1"),
    refused("DELETE FROM wide WHERE p = 1 AND q = 'a' AND c != 1"),
    refused("DELETE v FROM things WHERE v CONTAINS 'a'"),
    refused("DELETE v, FROM things WHERE k = 1"),
    refused("DELETE v n FROM things WHERE k = 1")
  ],
  "functions": [
    changes("INSERT INTO times (t) VALUES (now())"),
    notProved("INSERT INTO things (k, tu) VALUES (1, now())", [], "of two values of one timestamp the larger wins"),
    changes("INSERT INTO uuids (u) VALUES (uuid())"),
    changes("INSERT INTO uuids (u) VALUES (uuid ( ))"),
    changes("INSERT INTO times (t) VALUES (NOW\n/* */())"),
    changes("INSERT INTO times (t) VALUES (system.now())"),
    changes("INSERT INTO times (t) VALUES (\"now\"())", [], "a quoted name"),
    changes("INSERT INTO times (t) VALUES (\"system\" . \"now\"())"),
    changes("INSERT INTO times (t) VALUES (currentTimeUUID())"),
    changes("INSERT INTO things (k, ts) VALUES (1, currentTimestamp())"),
    changes("INSERT INTO things (k, ts) VALUES (1, current_timestamp())"),
    changes("INSERT INTO things (k, ts) VALUES (1, toTimestamp(now()))", [], "pure, of what is not"),
    changes("INSERT INTO things (k, ts) VALUES (1, (timestamp) to_timestamp(now()))"),
    changes("INSERT INTO things (k, ts) VALUES (1, currentTimestamp() - 1d)"),
    notProved("INSERT INTO things (k, v) VALUES (1, CAST(now() AS text))"),
    changes("INSERT INTO things (k, st) VALUES (1, {CAST(uuid() AS text)})"),
    notProved("INSERT INTO things (k, tp) VALUES (1, (1, CAST(uuid() AS text)))"),
    changes("UPDATE things SET st = st + {CAST(uuid() AS text)} WHERE k = 1"),
    changes("UPDATE things SET m = m + {CAST(uuid() AS text): 1} WHERE k = 1"),
    changes("UPDATE things SET m[CAST(uuid() AS text)] = 1 WHERE k = 1"),
    changes("UPDATE times SET v = 1 WHERE t = now()"),
    changes("UPDATE wide SET v = 1 WHERE p = 1 AND q = 'a' AND (c, t) = (1, now())"),
    notProved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND c = 1 AND t < now()", [], "until later each time"),
    notProved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND c = 1 AND t IN (now())"),
    notProved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND c = 1 AND t < maxTimeuuid(currentTimestamp())"),
    notProved("INSERT INTO things (k, n) VALUES (1, f(1))", [], "a function of the user's, which may do anything"),
    notProved("INSERT INTO things (k, n) VALUES (1, ks.f(1))"),
    notProved("INSERT INTO things (k, v) VALUES (1, totext(1))"),
    notProved("INSERT INTO things (k, b) VALUES (1, ks.textAsBlob(1))", [], "the server has one of that name, too"),
    notProved("INSERT INTO things (k, v) VALUES (1, toJson(1))", [], "pure, and not needed"),
    proved("INSERT INTO things (k, ts) VALUES (1, toTimestamp(50554d6e-29bb-11e5-b345-feff819cdc9f))"),
    proved("INSERT INTO things (k, ts) VALUES (1, to_timestamp((timeuuid) ?))", ["timeuuid"]),
    proved("INSERT INTO things (k, ts) VALUES (1, system.toTimestamp(minTimeuuid(?)))", ["timestamp"]),
    proved("INSERT INTO things (k, tu) VALUES (1, min_timeuuid('2020-01-01'))"),
    proved("INSERT INTO things (k, tu) VALUES (1, \"mintimeuuid\"('2020-01-01'))"),
    refused(
      "INSERT INTO things (k, tu) VALUES (1, \"minTimeuuid\"('2020-01-01'))",
      [],
      "no function has a name like that"
    ),
    proved("INSERT INTO things (k, b) VALUES (1, intAsBlob(1))"),
    proved("INSERT INTO things (k, b) VALUES (1, (intAsBlob((1))))"),
    proved("INSERT INTO things (k, b) VALUES (1, text_as_blob('now()'))"),
    proved("INSERT INTO things (k, n) VALUES (1, blobAsInt(0x00000001))"),
    proved("INSERT INTO things (k, n) VALUES (1, CAST(1.5 AS int))"),
    proved("UPDATE things SET n = CAST((bigint) ? AS int) WHERE k = 1", ["bigint"]),
    proved("DELETE FROM wide WHERE p = 1 AND q = 'a' AND c = 1 AND t < maxTimeuuid(?)", ["timestamp"]),
    proved("INSERT INTO things (k, b) VALUES (1, bigintAsBlob(token(1)))"),
    refused("INSERT INTO things (k, n) VALUES (1, blobAsInt(0x00000001)"),
    refused("INSERT INTO things (k, n) VALUES (1, CAST(1.5 AS))"),
    refused("INSERT INTO things (k, n) VALUES (1, nothing())")
  ],
  "'now'": [
    changes("INSERT INTO things (k, ts) VALUES (1, 'now')", [], "for a timestamp it is the current time"),
    changes("INSERT INTO things (k, ts) VALUES (1, $$Now$$)"),
    changes("UPDATE things SET ts = (timestamp) ('NOW') WHERE k = 1"),
    changes("INSERT INTO things (k, ts) VALUES (1, toTimestamp(maxTimeuuid('now')))"),
    notProved("INSERT INTO things (k, v) VALUES (1, 'now')", [], "the text does not show that this one is a text"),
    proved("INSERT INTO things (k, v) VALUES (1, ?)", ["text"]),
    proved("INSERT INTO things (k, v) VALUES (1, ' now')"),
    proved("INSERT INTO things (k, v) VALUES (1, 'now()')"),
    proved("INSERT INTO things (k, v) VALUES (1, 'now''')")
  ],
  "types in front of values": [
    proved("INSERT INTO things (k, n) VALUES (1, (int) 2)"),
    proved("INSERT INTO things (k, n) VALUES (1, (INT) ?)", ["int"]),
    proved("INSERT INTO things (k, s) VALUES (1, (set<int>) {1})"),
    proved("INSERT INTO things (k, tp) VALUES (1, (tuple<int, text>) (1, 'a'))"),
    proved("INSERT INTO things (k, ml) VALUES (1, (map<text, frozen<list<int>>>) {'a': [1]})"),
    proved("INSERT INTO things (k, ve) VALUES (1, (vector<float, 2>) ?)", ["vector<float, 2>"]),
    proved("INSERT INTO things (k, p) VALUES (1, (point) {x: 1})"),
    proved("INSERT INTO things (k, p) VALUES (1, (ks.\"point\") {x: 1})"),
    notProved("INSERT INTO things (k, fl) VALUES (1, (frozen<list<int>>) ?)", ["list<int>"], "it could be told here"),
    notProved("INSERT INTO things (k, n) VALUES (1, ('org.apache.cassandra.db.marshal.Int32Type') 5)"),
    refused("INSERT INTO things (k, n) VALUES (1, (int))"),
    refused("INSERT INTO things (k, n) VALUES (1, (int 2))"),
    refused("INSERT INTO things (k, n) VALUES (1, ())")
  ],
  "TTL and timestamp": [
    proved("INSERT INTO things (k, v) VALUES (1, 'a') USING TTL 1000", [], "it ends later: as if it had run only then"),
    proved("INSERT INTO things (k, v) VALUES (?, ?) USING TTL ?", ["int", "text", "int"]),
    proved("INSERT INTO things (k, v) VALUES (1, 'a') USING TTL :ttl AND TIMESTAMP :ts", ["int", "bigint"]),
    proved("UPDATE things USING TTL ? SET n = ? WHERE k = ?", ["int", "int", "int"]),
    proved("UPDATE things USING TIMESTAMP ? AND TTL 1000 SET n = 1 WHERE k = 1", ["bigint"]),
    proved("UPDATE things USING TTL 0 SET s = s + {5} WHERE k = 1"),
    changes("UPDATE things USING TIMESTAMP ? SET l = [1] WHERE k = 1", ["bigint"]),
    changes("UPDATE things USING TTL 1000 SET l = l + [1] WHERE k = 1"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a') USING TTL"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a') USING"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a') USING TTL 5 AND"),
    refused("INSERT INTO things (k, v) VALUES (1, 'a') USING TTL 5 TIMESTAMP 5"),
    refused("UPDATE things USING LUCK 5 SET n = 1 WHERE k = 1")
  ],
  "conditions": [
    notProved("INSERT INTO things (k) VALUES (1) IF NOT EXISTS"),
    notProved("INSERT INTO things (k) VALUES (?) IF NOT EXISTS USING TTL ?", ["int", "int"]),
    notProved("insert into things (k) values (1) if not exists"),
    notProved("UPDATE things SET n = 1 WHERE k = 1 IF EXISTS"),
    notProved("UPDATE things SET n = 1 WHERE k = 1 IF n = 2"),
    notProved("UPDATE things SET n = ? WHERE k = ? IF n = ? AND v IN ?", ["int", "int", "int", "list<text>"]),
    notProved("UPDATE things SET n = 1 WHERE k = 1IF n = 2", [], "the number ends in front of it"),
    notProved("UPDATE things SET n = 1 WHERE k = 1 /* */ IF\nm['a'] = 1"),
    notProved("UPDATE things SET v = '' WHERE k = 1 iF v = 'x'"),
    notProved("DELETE FROM things WHERE k = 1 IF EXISTS"),
    notProved("DELETE v FROM things WHERE k = ? IF \"if\" = ?", ["int", "int"]),
    notProved("BEGIN BATCH UPDATE things SET n = 1 WHERE k = 1 IF EXISTS; APPLY BATCH"),
    notProved("DELETE FROM things WHERE k = 1 -- no\rIF EXISTS"),
    proved("DELETE FROM things WHERE k = 1 -- IF EXISTS\n"),
    proved("DELETE FROM things WHERE k = 1 // IF EXISTS\r"),
    proved("DELETE FROM things /* IF */ WHERE k /* /* */ = 1 /* IF EXISTS */"),
    proved("UPDATE things SET v = 'IF', \"if\" = 1 WHERE k = 1"),
    refused("INSERT INTO things (k) VALUES (1) IF NOT"),
    refused("UPDATE things SET n = 1 WHERE k = 1 IF")
  ],
  "batches": [
    proved("BEGIN BATCH INSERT INTO things (k, n) VALUES (?, 1); DELETE FROM json WHERE k = ?; APPLY BATCH", [
      "int",
      "int"
    ]),
    proved("BEGIN UNLOGGED BATCH UPDATE things SET n = 1 WHERE k = 1; APPLY BATCH;"),
    proved("begin batch using timestamp ? update things set n = 1 where k = ? apply batch", ["bigint", "int"]),
    proved(
      "BEGIN BATCH UPDATE things SET n = ? WHERE k = ? INSERT INTO things (k, st) VALUES (?, ?) " +
        "UPDATE things SET m[?] = ? WHERE k = 1; APPLY BATCH",
      ["int", "int", "int", "set<text>", "text", "int"],
      "semicolons may be left out"
    ),
    proved("BEGIN BATCH APPLY BATCH"),
    proved("BEGIN BATCH INSERT INTO things JSON '{\"k\": 1}'; APPLY BATCH"),
    proved("BEGIN BATCH DELETE FROM things WHERE k = 1; INSERT INTO things (k, n) VALUES (1, 1); APPLY BATCH"),
    changes("BEGIN BATCH UPDATE things SET n = 1 WHERE k = 1; UPDATE things SET l = l + ? WHERE k = 1; APPLY BATCH", [
      "list<int>"
    ]),
    changes("BEGIN BATCH INSERT INTO times (t) VALUES (now()); UPDATE things SET n = 1 WHERE k = 1; APPLY BATCH"),
    notProved("BEGIN BATCH INSERT INTO things JSON ?; APPLY BATCH", ["text"]),
    refused("BEGIN BATCH UPDATE counts SET c = c + 1 WHERE k = 1; APPLY BATCH"),
    refused("BEGIN BATCH SELECT * FROM things; APPLY BATCH"),
    refused("BEGIN BATCH; DELETE FROM things WHERE k = 1; APPLY BATCH"),
    refused("BEGIN BATCH DELETE FROM things WHERE k = 1;; APPLY BATCH"),
    refused("BEGIN BATCH DELETE FROM things WHERE k = 1;"),
    refused("BEGIN BATCH DELETE FROM things WHERE k = 1; APPLY"),
    refused("BEGIN BATCH"),
    refused("APPLY BATCH")
  ],
  "the ends of a text": [
    refused(""),
    refused(" \n"),
    refused(";"),
    refused("-- SELECT * FROM things\n"),
    refused("; DELETE FROM things WHERE k = 1"),
    proved("\r\n\tDELETE FROM things WHERE k = 1 ; ;\r"),
    proved("/* a */DELETE/**/FROM things--\nWHERE//\rk=1/* b */;-- c\n"),
    refused("DELETE FROM things WHERE k = 1; DELETE FROM things WHERE k = 1"),
    refused("DELETE FROM things WHERE k = 1 DELETE FROM things WHERE k = 1"),
    refused("DELETE FROM things WHERE k = 1 -- the end"),
    refused("DELETE FROM things WHERE k = 1 /* the end"),
    refused("DELETE FROM things WHERE k = 1 /* a /* b */ */"),
    refused("DELETE FROM things WHERE k = 1 '"),
    refused("DELETE FROM things WHERE k = 1 $"),
    refused("DELETE FROM things WHERE k = 1 #"),
    refused("DELETE\u00a0FROM things WHERE k = 1"),
    refused("\ufeffDELETE FROM things WHERE k = 1"),
    refused("DELETE FROM things WHERE k = 1 \u2028"),
    refused("DELETE FROM things WHERE k = 'a"),
    refused("DELETE FROM things WHERE k = $$a$")
  ]
}

const cases = Object.values(sections).flat()

const types: Readonly<Record<string, ColumnType>> = {
  "list<int>": { type: "list", element: scalar("int") },
  "list<text>": { type: "list", element: scalar("text") },
  "list<tuple<int, timeuuid>>": {
    type: "list",
    element: { type: "tuple", elements: [scalar("int"), scalar("timeuuid")] }
  },
  "set<int>": { type: "set", element: scalar("int") },
  "set<text>": { type: "set", element: scalar("text") },
  "map<text, int>": { type: "map", key: scalar("text"), value: scalar("int") },
  "map<int, int>": { type: "map", key: scalar("int"), value: scalar("int") },
  "map<text, list<int>>": { type: "map", key: scalar("text"), value: { type: "list", element: scalar("int") } },
  "tuple<int, timeuuid>": { type: "tuple", elements: [scalar("int"), scalar("timeuuid")] },
  "vector<float, 2>": { type: "vector", element: scalar("float"), dimension: 2 },
  "ks.point": { type: "udt", keyspace: "ks", name: "point", fields: [] }
}

const typesOf = (names: ReadonlyArray<string>): ReadonlyArray<ColumnType> =>
  names.map((name) => types[name] ?? scalar(name))

describe("isIdempotent", () => {
  for (const [section, cases] of Object.entries(sections)) {
    describe(section, () => {
      for (const { idempotent, parameters, text, why } of cases) {
        const verdict = idempotent ? "proves" : "does not prove"
        it(`${verdict} ${JSON.stringify(text)}${why === "" ? "" : `: ${why}`}`, () => {
          assert.strictEqual(isIdempotent(text, typesOf(parameters)), idempotent)
          if (parameters.length === 0) assert.strictEqual(isIdempotent(text, undefined), idempotent)
        })
      }
    })
  }

  it("proves nothing that depends on a type that is not known", () => {
    const proves = (text: string): boolean => isIdempotent(text, undefined)
    assert.isFalse(proves("INSERT INTO things (k, v) VALUES (1, ?)"), "it may be a list")
    assert.isFalse(proves("UPDATE things SET s = s + ? WHERE k = 1"))
    assert.isFalse(proves("UPDATE things SET s -= :s WHERE k = 1"))
    assert.isFalse(proves("UPDATE things SET m[?] = 1 WHERE k = 1"))
    assert.isFalse(proves("DELETE m[?] FROM things WHERE k = 1"))
    assert.isFalse(proves("UPDATE things SET n = 1 + ? WHERE k = 1"))
    assert.isTrue(proves("SELECT * FROM things WHERE k = ?"))
    assert.isTrue(proves("DELETE FROM things WHERE k = ?"), "whatever it is compared with")
    assert.isTrue(proves("UPDATE things SET m['a'] = ? WHERE k = ?"), "a value in a map is frozen")
  })

  it("proves nothing when there are not as many types as markers", () => {
    const text = "UPDATE things SET s = s + ? WHERE k = ?"
    assert.isTrue(isIdempotent(text, typesOf(["set<int>", "int"])))
    assert.isFalse(isIdempotent(text, typesOf(["set<int>"])))
    assert.isFalse(isIdempotent(text, typesOf(["set<int>", "int", "int"])))
    assert.isFalse(isIdempotent(text, []))
  })

  it("takes types in the order of the markers", () => {
    const text = "UPDATE things USING TTL ? SET s = s + ?, m[?] = ? WHERE k = ?"
    assert.isTrue(isIdempotent(text, typesOf(["int", "set<int>", "text", "int", "int"])))
    assert.isFalse(isIdempotent(text, typesOf(["set<int>", "int", "text", "int", "int"])))
    assert.isFalse(isIdempotent(text, typesOf(["int", "set<int>", "int", "text", "int"])))
  })

  it("takes a type of a class for no collection", () => {
    const custom: ColumnType = { type: "custom", className: "com.example.Type" }
    assert.isTrue(isIdempotent("INSERT INTO things (k, v) VALUES (1, ?)", [custom]))
    assert.isFalse(isIdempotent("UPDATE things SET v = v + ? WHERE k = 1", [custom]))
    assert.isFalse(isIdempotent("UPDATE things SET v = v - ? WHERE k = 1", [custom]))
  })

  it("depends on no space, comment or case of a keyword", () => {
    const random = randomNumbers(1)
    const gaps = [" ", "\n", "\t\r\n", " /**/ ", " /* ' IF \" now() */ ", " -- IF EXISTS ' ;\n", " // $$ /*\r"]
    const gap = (): string => gaps[Math.floor(random() * gaps.length)]!
    const recased = (text: string): string =>
      Array.from(text, (letter) => random() < 0.5 ? letter.toUpperCase() : letter.toLowerCase()).join("")
    for (const { idempotent, parameters, text } of cases) {
      const tokens = tokenize(text)
      // What does not end would swallow what follows.
      if (tokens.some(({ kind }) => kind === "unknown")) continue
      for (let round = 0; round < 20; round++) {
        const other = tokens.map(({ kind, text }) => kind === "word" ? recased(text) : text)
          .map((token) => random() < 0.5 ? gap() + token + gap() : token)
          .join("")
        assert.strictEqual(isIdempotent(other, typesOf(parameters)), idempotent, other)
      }
    }
  })

  it("reads every prefix of a text", () => {
    for (const { parameters, text } of cases) {
      for (let end = 0; end <= text.length; end++) {
        assert.isBoolean(isIdempotent(text.slice(0, end), typesOf(parameters)))
      }
    }
  })

  it("reads texts that tokens make in any order", () => {
    const random = randomNumbers(2)
    const all = cases.flatMap(({ text }) => tokenize(text).map(({ text }) => text))
    for (let round = 0; round < 5000; round++) {
      const length = Math.floor(random() * 20)
      const text = Array.from({ length }, () => all[Math.floor(random() * all.length)]).join("")
      assert.isBoolean(isIdempotent(`UPDATE things SET v = ${text} WHERE k = 1`, undefined))
    }
  })

  it("reads texts of a million characters, and gives up on values that are nested too deep", () => {
    const million = (part: string): string => part.repeat(Math.ceil(1_000_000 / part.length))
    const update = (value: string): string => `UPDATE things SET v = ${value} WHERE k = 1`
    assert.isTrue(isIdempotent(update(`'${million("''")}'`), undefined))
    assert.isTrue(isIdempotent(update(`{${million("1, ")}1}`), undefined))
    assert.isTrue(isIdempotent(update(`1${million(" + 1")}`), undefined))
    assert.isTrue(isIdempotent(`${update("1")}${million(";")}`, undefined))
    assert.isTrue(isIdempotent(`BEGIN BATCH ${million(`${update("1")}; `)} APPLY BATCH`, undefined))
    assert.isTrue(isIdempotent(update(`${"(".repeat(99)}1${")".repeat(99)}`), undefined))
    for (const open of ["(", "[", "{", "{a:", "{1:", "(int)", "- ", "cast(", "token("]) {
      assert.isFalse(isIdempotent(update(million(open)), undefined), open)
    }
  })
})

// -----------------------------------------------------------------------------
// The table against a real server
// -----------------------------------------------------------------------------

type Shop = Session["Service"]

const inKeyspace = (text: string, { keyspace }: Shop): string => text.replaceAll(/\bks\b/gi, keyspace!)

const execute = (session: Shop, text: string, values: ReadonlyArray<unknown> = [], timestamp?: number) =>
  new StatementImpl(Template.ofText(inKeyspace(text, session), values), undefined, () => session.core)
    .withOptions({ timestamp })

const prepare = (session: Shop, text: string): Effect.Effect<Prepared, unknown> => {
  const { shared } = session.core
  return Effect.callback((resume) =>
    Prepare.prepare(
      shared,
      shared.statements.get(inKeyspace(text, session)),
      12_000,
      (error, prepared) => resume(prepared === undefined ? Effect.fail(error) : Effect.succeed(prepared))
    )
  )
}

/** What the server says of the parameters, or that it refuses the text. */
const told = (session: Shop, text: string): Effect.Effect<ReadonlyArray<string> | "refused"> =>
  Effect.map(Effect.exit(prepare(session, text)), (exit) =>
    Exit.isFailure(exit)
      ? "refused"
      : exit.value.parameters.map(({ type }) => format(type).replace(`${session.keyspace}.`, "ks.")))

const timeuuid = "50554d6e-29bb-11e5-b345-feff819cdc9f"

const values: Readonly<Record<string, unknown>> = {
  int: 0,
  counter: 1n,
  text: "a",
  timeuuid,
  timestamp: new Date(0),
  "list<int>": [7, 9],
  "list<text>": ["a", "c"],
  "list<tuple<int, timeuuid>>": [[1, timeuuid]],
  "set<int>": new Set([1, 9]),
  "set<text>": new Set(["a", "c"]),
  "map<text, int>": new Map([["a", 9]]),
  "map<int, int>": new Map([[1, 9]]),
  "map<text, list<int>>": new Map([["a", [9, 9]]]),
  "tuple<int, timeuuid>": [1, timeuuid],
  "vector<float, 2>": [1, 2],
  "ks.point": { x: 1, y: [2] }
}

const everything = (session: Shop): Effect.Effect<ReadonlyArray<unknown>, unknown> =>
  Effect.forEach(tables, (table) => session.cql`SELECT JSON * FROM ${session.cql.ident(table)}`)

/** The clock may not have moved on when a statement runs again at once: so often it may run once more. */
const mostRuns = 50

/** Whether further runs with the same timestamp leave everything as the first has left it. */
const isSameAgain = Effect.fnUntraced(function*(session: Shop, { parameters, server, text }: Case, timestamp: number) {
  for (const statement of before) yield* execute(session, statement, [], timestamp - 10)
  // The only bigints are timestamps.
  const bound = parameters.map((type) => type === "bigint" ? BigInt(timestamp) : values[type])
  yield* execute(session, text, bound, timestamp)
  const once = JSON.stringify(yield* everything(session))
  const furtherRuns = server === "changes" ? mostRuns : 1
  for (let run = 0; run < furtherRuns; run++) {
    yield* execute(session, text, bound, timestamp)
    if (JSON.stringify(yield* everything(session)) !== once) return false
  }
  return true
})

const isWrite = ({ text }: Case): boolean => !/^select/i.test(text)

it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })("on a real server", (it) => {
  const session = Effect.gen(function*() {
    const session = yield* Session
    for (const statement of schema) {
      yield* execute(session, statement.replace(/^CREATE (TABLE|TYPE|FUNCTION)/, "CREATE $1 IF NOT EXISTS"))
    }
    return session
  })

  it.effect("the table is CQL where it says so, with these parameters", () =>
    Effect.gen(function*() {
      const it = yield* session
      const wrong: Array<unknown> = []
      for (const { parameters, server, text } of cases) {
        const found = yield* told(it, text)
        const expected = server === "refuses" ? "refused" : parameters
        if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push({ text, found })
      }
      assert.deepStrictEqual(wrong, [])
    }))

  it.effect("a second run of what is proved leaves everything as it was, and of what it says not", () =>
    Effect.gen(function*() {
      const it = yield* session
      const now = Date.now() * 1000
      const wrong: Array<unknown> = []
      const runnable = cases.filter((one) => isWrite(one) && (one.idempotent || one.server === "changes"))
      for (const [index, one] of runnable.entries()) {
        const same = yield* isSameAgain(it, one, now + index * 1000)
        if (same === (one.server === "changes")) wrong.push({ text: one.text, same })
      }
      assert.deepStrictEqual(wrong, [])
      assert.isAbove(runnable.length, 150)
    }))
})
