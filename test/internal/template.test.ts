/**
 * What a `cql` template becomes, before there is a server. A statement that is refused fails without a session: none is
 * given here, so nothing can have been sent.
 */
import { assert, describe, it } from "@effect/vitest"
import { cql, CqlError, CqlType, type Session, Statement } from "effect-cassandra"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { inspect } from "node:util"
import { implementation } from "../../src/Statement.ts"

const secret = "correct horse battery staple"

/** Why it fails with no session to run on, with nothing of the secret in what anyone can read. */
const refusalOf = <A, E>(statement: Effect.Effect<A, E, Session>): CqlError["reason"] => {
  const error = Effect.runSync(Effect.flip(statement as Effect.Effect<A, E>))
  assert.instanceOf(error, CqlError)
  for (const text of [String(error), error.message, JSON.stringify(error)]) assert.notInclude(text, secret)
  return error.reason
}

const parameterOf = <A, E>(statement: Effect.Effect<A, E, Session>) => {
  const reason = refusalOf(statement)
  assert(reason._tag === "InvalidParameter", reason.message)
  return reason
}

const queryProblemOf = (fragment: Statement.Fragment): string => {
  const reason = refusalOf(cql`SELECT ${fragment}`)
  assert(reason._tag === "InvalidQuery", reason.message)
  return reason.message
}

/** What it is in a statement of nothing else. */
const inText = (fragment: Statement.Fragment) => {
  const { parameters, text } = cql`${fragment}`
  return [text, parameters]
}

class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.String,
  joined: Schema.DateTimeUtcFromDate,
  tags: Schema.optionalKey(CqlType.Set(Schema.String)),
  note: Schema.optional(Schema.NullOr(Schema.String))
}) {}

const id = "6f0ace03-e42a-47b7-9e6f-2e97d553c01e"
const joined = DateTime.makeUnsafe(0)

describe("a template", () => {
  it("has its values in order, those of fragments where the fragments are", () => {
    const inner = cql`b = ${2} AND ${cql`c = ${3}`}`
    const statement = cql`${1} ${cql.and([inner, cql.and({ d: 4, e: cql`f(${5}, ${6})` })])} ${7} ${
      cql.set({ g: 8 })
    } ${9}`
    assert.strictEqual(statement.text, "? b = ? AND c = ? AND \"d\" = ? AND \"e\" = f(?, ?) ? \"g\" = ? ?")
    assert.deepStrictEqual(statement.parameters, [1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it("takes undefined and null beside a fragment", () => {
    const statement = cql`UPDATE ${cql.ident("t")} SET a = ${undefined}, b = ${null}`
    assert.deepStrictEqual(statement.parameters, [undefined, null])
  })

  it("counts a parameter that is wrong among all of the statement", () => {
    const set = cql.set({ a: 1, b: cql`f(${2}, ${Option.some(secret)})` })
    const reason = parameterOf(cql`${0} ${cql`nothing ${"bound"}`} ${set}`)
    assert.strictEqual(reason.index, 4)
    assert.include(reason.message, "parameter 5")
    assert.strictEqual(parameterOf(cql`${cql`nothing ${1} ${2}`} ${Option.some(secret)}`).index, 2)
  })

  it("reports the first of two problems", () => {
    assert.strictEqual(parameterOf(cql`${cql.using({ ttl: "1 milli" })} ${Effect.void}`).parameter, "ttl")
  })

  it("text of a call site is one string for the same columns, whatever is bound", () => {
    const statement = (row: object, where: object) =>
      cql`UPDATE t SET ${cql.set(row)} WHERE ${cql.and({ ...where })}`.text
    assert.strictEqual(statement({ a: 1, b: undefined }, { id: 1 }), statement({ a: null, b: "x" }, { id: 2 }))
    assert.notStrictEqual(statement({ a: 1, b: 1 }, { id: 1 }), statement({ b: 1, a: 1 }, { id: 1 }))
  })

  it("half of a surrogate pair in the text is refused, for it would be sent as another character", () => {
    for (const half of ["\ud83d", "\udc00"]) {
      assert.include(refusalOf(cql`INSERT ${cql.unsafe(`'${half}'`)}`).message, "surrogate")
      assert.include(refusalOf(cql.statement({ text: `INSERT '${half}'` })).message, "surrogate")
    }
  })

  it("a statement with options is refused as a part of another, which would lose them", () => {
    const part = cql`id = ${1}`.pipe(Statement.withOptions({ consistency: "all" }))
    assert.include(refusalOf(cql`SELECT ${part}`).message, "options")
    assert.include(refusalOf(cql`SELECT ${cql.and([part])}`).message, "options")
  })

  it("what is printed of a fragment has none of its values", () => {
    const row = { a: secret }
    for (const part of [cql.insert(row), cql.set(row), cql.and(row), cql`a = ${secret}`]) {
      for (const printed of [inspect(part, { depth: 9 }), JSON.stringify(part)]) {
        assert.notInclude(printed, secret)
        assert.include(printed, "a")
      }
    }
  })

  it("USE is refused after any comments, and with any way to write it", () => {
    for (const text of ["USE ks", "/***/ use ks", "/* a * / **/ -- b\n// c\n USE \"ks\""]) {
      assert.include(refusalOf(cql`${cql.unsafe(text)}`).message, "USE is refused")
    }
    assert.isUndefined(implementation(cql`${cql.unsafe("/* USE ks */ SELECT 1")}`).refused)
  })

  it("has names in quotes that they cannot end", () => {
    assert.deepStrictEqual(inText(cql.ident("ks", "a\"b", "\"")), ["\"ks\".\"a\"\"b\".\"\"\"\"", []])
  })

  it("with an unsafe part has it as it is", () => {
    assert.deepStrictEqual(inText(cql.unsafe("a ? \" '")), ["a ? \" '", []])
    assert.include(queryProblemOf(cql.unsafe(undefined as unknown as string)), "cql.unsafe")
  })
})

describe("what is refused before anything is sent", () => {
  const mistakes: ReadonlyArray<readonly [string, unknown]> = [
    ["an Effect", Effect.succeed(secret)],
    ["an Option", Option.some(secret)],
    ["a Promise", Promise.resolve(secret)],
    ["a function", () => secret],
    ["a schema", Schema.Struct({ name: Schema.String })],
    ["a symbol", Symbol(secret)],
    ["a Redacted", Redacted.make(secret)]
  ]

  const positions: ReadonlyArray<readonly [string, (value: unknown) => Effect.Effect<unknown, unknown, Session>]> = [
    ["a template", (value) => cql`SELECT ${value}`],
    ["a template with a fragment", (value) => cql`SELECT ${cql.ident("a")} ${value}`],
    ["cql.insert", (value) => cql`INSERT INTO t ${cql.insert({ id: 1, value })}`],
    ["cql.insert with a fragment", (value) => cql`INSERT INTO t ${cql.insert({ id: cql`now()`, value })}`],
    [
      "cql.insert by a schema",
      (value) => cql`INSERT INTO t ${cql.insert(Schema.Struct({ value: Schema.Unknown }), { value })}`
    ],
    ["cql.set", (value) => cql`UPDATE t SET ${cql.set({ value })}`],
    ["cql.and of equalities", (value) => cql`SELECT ${cql.and({ value })}`],
    ["cql.and of fragments", (value) => cql`SELECT ${cql.and([cql`a = ${value}`])}`],
    ["a list of cql.and", (value) => cql`SELECT ${cql.and([cql`a = 1`, value as Statement.Fragment])}`],
    ["a fragment two deep", (value) => cql`SELECT ${cql.set({ a: cql`f(${value})` })}`],
    ["a fragment three deep", (value) => cql`SELECT ${cql`${cql.and([cql`a = ${value}`])}`}`]
  ]

  for (const [where, statement] of positions) {
    for (const [found, value] of mistakes) {
      it(`${found} in ${where}, with a hint`, () => {
        const reason = parameterOf(statement(value))
        assert.strictEqual(reason.found, found)
        assert.isNotEmpty(reason.hint)
      })
    }
  }

  it("a row that is none, with what it is", () => {
    const rows: ReadonlyArray<readonly [string, unknown]> = [
      ["an array", [1]],
      ["a Map", new Map()],
      ["null", null],
      ["undefined", undefined],
      ["a string", secret],
      ["a fragment", cql`a = ${secret}`],
      ["an Effect", Effect.succeed({ a: 1 })],
      ["an Option", Option.some({ a: 1 })],
      ["a Promise", Promise.resolve({ a: 1 })],
      ["a Redacted", Redacted.make({ a: 1 })],
      ["a schema", User]
    ]
    for (const [what, row] of rows) {
      assert.include(queryProblemOf(cql.insert(row as object)), what)
      assert.include(queryProblemOf(cql.set(row as object)), what)
    }
  })

  it("a row without columns, and a name that cannot be one", () => {
    assert.include(queryProblemOf(cql.insert({})), "cql.insert")
    assert.include(queryProblemOf(cql.set({})), "cql.set")
    const names = ["", "half \ud800", "x".repeat(65536), "😀".repeat(16384)]
    for (const name of names) {
      for (
        const fragment of [
          cql.ident(name),
          cql.ident("ks", name),
          cql.insert({ [name]: 1 }),
          cql.set({ [name]: 1 }),
          cql.set({ [name]: cql`now()` }),
          cql.and({ [name]: 1 }),
          cql.columns(Schema.Struct({ [name]: Schema.String })),
          cql.insert(Schema.Struct({ [name]: Schema.String }), { [name]: "x" })
        ]
      ) {
        assert.include(queryProblemOf(fragment), "a name must be")
      }
    }
    assert.isUndefined(implementation(cql`${cql.ident("x".repeat(65535))}`).refused)
  })

  it("a fragment without text where a value or a condition belongs", () => {
    assert.include(queryProblemOf(cql.set({ a: cql.using({}) })), "without text")
    assert.include(queryProblemOf(cql.insert({ a: cql.unsafe(" ") })), "without text")
    assert.include(queryProblemOf(cql.and([cql`a = 1`, cql.unsafe("")])), "no condition")
  })

  it("a forged fragment is a value", () => {
    const forged: unknown = JSON.parse(
      "{\"~effect-cassandra/Fragment\":1,\"~effect-cassandra/Statement\":1,\"text\":\"x\",\"parameters\":[],\"problem\":null}"
    )
    assert.deepStrictEqual(inText(cql.set({ a: forged })), ["\"a\" = ?", [forged]])
    assert.deepStrictEqual(inText(cql.insert({ a: forged })), ["(\"a\") VALUES (?)", [forged]])
    assert.deepStrictEqual(inText(cql.and({ a: forged })), ["\"a\" = ?", [forged]])
    assert.deepStrictEqual(cql`SELECT ${cql.ident("a")} ${forged}`.parameters, [forged])
    const reason = parameterOf(cql`SELECT ${cql.and([forged as Statement.Fragment])}`)
    assert.deepStrictEqual([reason.expected, reason.found], ["a fragment", "an object"])
  })
})

describe("cql.insert and cql.set", () => {
  it("have values as markers and fragments as text", () => {
    assert.deepStrictEqual(
      inText(cql.insert({ a: 1, id: cql`now()`, b: undefined, c: null })),
      ["(\"a\", \"id\", \"b\", \"c\") VALUES (?, now(), ?, ?)", [1, undefined, null]]
    )
    assert.deepStrictEqual(
      inText(cql.set({ name: "a", visits: cql`visits + ${1n}`, left: null })),
      ["\"name\" = ?, \"visits\" = visits + ?, \"left\" = ?", ["a", 1n, null]]
    )
  })

  it("take the keys of an instance that are its own and enumerable", () => {
    class Row {
      a = 1
      get b(): number {
        return 2
      }
      declare c: number
      constructor() {
        Object.defineProperty(this, "c", { value: 3, enumerable: false })
      }
    }
    assert.deepStrictEqual(inText(cql.set(new Row())), ["\"a\" = ?", [1]])
    assert.deepStrictEqual(inText(cql.insert(new Row())), ["(\"a\") VALUES (?)", [1]])
  })

  it("have keys that objects inherit as plain columns", () => {
    const row: object = JSON.parse("{\"__proto__\":1,\"constructor\":2,\"toString\":3}")
    assert.deepStrictEqual(inText(cql.set(row)), ["\"__proto__\" = ?, \"constructor\" = ?, \"toString\" = ?", [
      1,
      2,
      3
    ]])
    assert.deepStrictEqual(inText(cql.and({ ...row })), [
      "\"__proto__\" = ? AND \"constructor\" = ? AND \"toString\" = ?",
      [1, 2, 3]
    ])
    assert.deepStrictEqual(inText(cql.insert(row)), [
      "(\"__proto__\", \"constructor\", \"toString\") VALUES (?, ?, ?)",
      [
        1,
        2,
        3
      ]
    ])
  })

  it("keep columns apart whose names hold a comma", () => {
    assert.strictEqual(inText(cql.set({ "a,b": 1 }))[0], "\"a,b\" = ?")
    assert.strictEqual(inText(cql.set({ a: 1, b: 2 }))[0], "\"a\" = ?, \"b\" = ?")
    assert.strictEqual(inText(cql.set({ "a,b": 1 }))[0], "\"a,b\" = ?")
  })

  it("may be called by map", () => {
    const [first, second] = [{ a: 1 }, { a: 2 }].map(cql.insert)
    assert.deepStrictEqual([inText(first!), inText(second!)], [["(\"a\") VALUES (?)", [1]], ["(\"a\") VALUES (?)", [
      2
    ]]])
  })
})

describe("cql.insert by a schema", () => {
  const text = "(\"id\", \"name\", \"joined\", \"tags\", \"note\") VALUES (?, ?, ?, ?, ?)"

  it("binds what the value is encoded to, an instance as well as a plain object", () => {
    const plain = { id, name: "Ada", joined, tags: new Set(["a"]), note: null }
    const encoded = [id, "Ada", new Date(0), new Set(["a"]), null]
    assert.deepStrictEqual(inText(cql.insert(User, new User(plain))), [text, encoded])
    assert.deepStrictEqual(inText(cql.insert(User, plain)), [text, encoded])
    const { fields } = User
    assert.deepStrictEqual(inText(cql.insert(Schema.Struct(fields), plain)), [text, encoded])
  })

  it("has one text, and what is absent or undefined is unset", () => {
    assert.deepStrictEqual(inText(cql.insert(User, new User({ id, name: "Ada", joined }))), [
      text,
      [id, "Ada", new Date(0), undefined, undefined]
    ])
    assert.deepStrictEqual(inText(cql.insert(User, { note: undefined, joined, name: "Ada", id })), [
      text,
      [id, "Ada", new Date(0), undefined, undefined]
    ])
  })

  it("has the encoded keys as columns, of a struct and of a class", () => {
    const renamed = "(\"id\", \"full_name\") VALUES (?, ?)"
    const struct = Schema.Struct({ id: Schema.Int, name: Schema.String })
    class Person extends Schema.Class<Person>("Person")(struct) {}
    const Renamed = Person.pipe(Schema.encodeKeys({ name: "full_name" }))
    const value = { id: 1, name: "Ada" }
    assert.deepStrictEqual(inText(cql.insert(struct.pipe(Schema.encodeKeys({ name: "full_name" })), value)), [
      renamed,
      [1, "Ada"]
    ])
    assert.deepStrictEqual(inText(cql.insert(Renamed, new Person(value))), [renamed, [1, "Ada"]])
    assert.deepStrictEqual(inText(cql.insert(Renamed, value)), [renamed, [1, "Ada"]])
    assert.deepStrictEqual(inText(cql.columns(Renamed)), ["\"id\", \"full_name\"", []])
  })

  it("names the column of a key that was renamed, also to the name of another", () => {
    const Swapped = Schema.Struct({ a: Schema.Int, b: Schema.String }).pipe(Schema.encodeKeys({ a: "b", b: "a" }))
    const reason = parameterOf(cql`${cql.insert(Swapped, { a: secret as unknown as number, b: "x" })}`)
    assert.deepStrictEqual([reason.index, reason.parameter], [0, "b"])
  })

  it("takes brands, checks, classes with checks and transformations inside", () => {
    const Id = Schema.Int.pipe(Schema.brand("Id"))
    class Range extends Schema.Class<Range>("Range")({ from: Id, to: Schema.NumberFromString }) {}
    const Checked = Range.check(Schema.makeFilter((range) => range.from < range.to, { expected: "from before to" }))
    const from = Id.make(1)
    for (const value of [new Range({ from, to: 2 }), { from, to: 2 }]) {
      assert.deepStrictEqual(inText(cql.insert(Checked, value)), ["(\"from\", \"to\") VALUES (?, ?)", [1, "2"]])
    }
    const reason = parameterOf(cql`${cql.insert(Checked, { from, to: 0 })}`)
    assert.deepStrictEqual([reason.parameter, reason.expected, reason.found], ["the row", "from before to", "a Range"])
  })

  it("has keys that objects inherit as plain columns, present or not", () => {
    const Odd = Schema.Struct({
      ["__proto__"]: Schema.optional(Schema.String),
      constructor: Schema.optional(Schema.String),
      toString: Schema.optional(Schema.String),
      id: Schema.Int
    })
    const insert = (json: string) => inText(cql.insert(Odd, JSON.parse(json)))
    const odd = "(\"__proto__\", \"constructor\", \"toString\", \"id\") VALUES (?, ?, ?, ?)"
    assert.deepStrictEqual(insert("{\"id\":1}"), [odd, [undefined, undefined, undefined, 1]])
    assert.deepStrictEqual(insert("{\"id\":1,\"__proto__\":\"p\",\"constructor\":\"c\",\"toString\":\"t\"}"), [
      odd,
      ["p", "c", "t", 1]
    ])
    assert.strictEqual(inText(cql.columns(Odd))[0], "\"__proto__\", \"constructor\", \"toString\", \"id\"")
  })

  const Wrong = Schema.Struct({
    id: CqlType.Uuid,
    count: Schema.NullOr(Schema.Int),
    tags: Schema.Array(Schema.String),
    json: Schema.optional(Schema.fromJsonString(Schema.Struct({ a: Schema.Int }))),
    told: Schema.optional(Schema.String.check(Schema.makeFilter((text) => `${text} is not good`)))
  })
  const right = { id, count: 1, tags: [] }

  const misfits: ReadonlyArray<
    readonly [what: string, value: object, column: string, index: number, expected: string, found: string]
  > = [
    ["the type", { ...right, count: secret }, "count", 1, "number | null", "a string"],
    ["a check", { ...right, id: secret }, "id", 0, "a UUID", "a string"],
    ["a check of a member", { ...right, count: 1.5 }, "count", 1, "an integer", "a number with a fraction"],
    ["the type inside", { ...right, tags: ["a", 1] }, "tags", 2, "string", "a number inside"],
    ["the type of a transformation", { ...right, json: { a: secret } }, "json", 3, "number", "a string inside"],
    ["a check that repeats the value", { ...right, told: secret }, "told", 4, "a valid value", "a string"],
    ["a key that is missing", { id, tags: [] }, "count", 1, "a value", "nothing"],
    [
      "an object whose own constructor is a value",
      { ...right, count: { constructor: { name: secret } } },
      "count",
      1,
      "number | null",
      "an object"
    ]
  ]
  for (const [what, value, column, index, expected, found] of misfits) {
    it(`tells of ${what} by its column and kind, never by the value`, () => {
      const reason = parameterOf(cql`INSERT INTO t ${cql.insert(Wrong, value as typeof right)}`)
      assert.deepStrictEqual(
        [reason.parameter, reason.index, reason.expected, reason.found],
        [column, index, expected, found]
      )
    })
  }

  it("a value that is no object is told as the row", () => {
    for (const schema of [Wrong, User]) {
      const reason = parameterOf(cql`${cql.insert(schema as typeof Wrong, secret as unknown as typeof right)}`)
      assert.deepStrictEqual([reason.parameter, reason.found], ["the row", "a string"])
    }
  })

  it("a schema without named columns is refused, with what it is", () => {
    const refused: ReadonlyArray<readonly [string, Schema.ConstraintEncoder<object>, object]> = [
      ["a record", Schema.Record(Schema.String, Schema.String), { a: secret }],
      ["a union", Schema.Union([Wrong, User]), right],
      ["an array", Schema.Array(Schema.String), [secret]],
      ["without fields", Schema.Struct({}), {}],
      ["a symbol", Schema.Struct({ [Symbol.iterator]: Schema.String }), { [Symbol.iterator]: secret }],
      ["one value", Schema.Date, new Date()]
    ]
    for (const [what, schema, value] of refused) {
      assert.include(queryProblemOf(cql.insert(schema, value)), what)
      assert.include(queryProblemOf(cql.columns(schema)), what)
    }
    assert.include(queryProblemOf(cql.columns({} as typeof Wrong)), "a Struct or a Class")
  })

  const encodedBy = (encode: (text: string) => Effect.Effect<string>) =>
    Schema.Struct({
      a: Schema.String.pipe(Schema.decodeTo(
        Schema.String,
        SchemaTransformation.transformEffect({ decode: (text: string) => Effect.succeed(text), encode })
      ))
    })

  it("an encoding that is an Effect is run when it ends at once", () => {
    const schema = encodedBy((text) => Effect.sync(() => `${text}!`))
    assert.deepStrictEqual(inText(cql.insert(schema, { a: "x" })), ["(\"a\") VALUES (?)", ["x!"]])
  })

  it.effect("an encoding that waits is refused, and is not left running", () =>
    Effect.gen(function*() {
      const ended = Promise.withResolvers<void>()
      const schema = encodedBy(() => Effect.ensuring(Effect.never, Effect.sync(() => ended.resolve())))
      const reason = parameterOf(cql`${cql.insert(schema, { a: secret })}`)
      assert.strictEqual(reason.found, "one that waits")
      assert.isNotEmpty(reason.hint)
      yield* Effect.promise(() => ended.promise)
    }))

  it("what a schema throws is thrown", () => {
    const schema = encodedBy(() => {
      throw new Error("a mistake in the schema")
    })
    assert.throws(() => cql.insert(schema, { a: "x" }), "a mistake in the schema")
  })
})

describe("cql.and", () => {
  it("joins fragments and statements, without parentheses", () => {
    assert.deepStrictEqual(
      inText(cql.and([cql`a = ${1}`, cql.unsafe("b = 2"), cql.and({ c: 3, d: null })])),
      ["a = ? AND b = 2 AND \"c\" = ? AND \"d\" = ?", [1, 3, null]]
    )
  })

  it("of nothing is refused with the reason", () => {
    for (const nothing of [[], {}]) assert.include(queryProblemOf(cql.and(nothing)), "always true")
  })

  it("of an undefined is refused, by the name of its column", () => {
    const reason = parameterOf(cql`SELECT ${0} ${cql.and({ a: cql`f(${1}, ${2})`, b: undefined })}`)
    assert.deepStrictEqual([reason.index, reason.parameter, reason.found], [3, "b", "undefined"])
  })

  it("of anything but fragments is refused, by its place", () => {
    for (
      const [found, value] of [["a string", secret], ["undefined", undefined], ["an object", { a: secret }]] as const
    ) {
      const reason = parameterOf(cql`SELECT ${cql.and([cql`a = ${1}`, value as unknown as Statement.Fragment])}`)
      assert.deepStrictEqual([reason.parameter, reason.expected, reason.found], ["condition 2", "a fragment", found])
    }
  })

  it("of a fragment alone is refused", () => {
    assert.include(queryProblemOf(cql.and(cql`a = 1` as unknown as {})), "a fragment")
  })
})

describe("cql.using", () => {
  it("has a text for each set of keys that are there, in one order", () => {
    assert.deepStrictEqual(inText(cql.using({ timestamp: 5, ttl: "1 day" })), ["USING TTL ? AND TIMESTAMP ?", [
      86400,
      5n
    ]])
    assert.deepStrictEqual(inText(cql.using({ ttl: undefined })), ["USING TTL ?", [undefined]])
    assert.deepStrictEqual(inText(cql.using({ timestamp: undefined })), ["USING TIMESTAMP ?", [undefined]])
    assert.deepStrictEqual(inText(cql.using({})), ["", []])
    assert.strictEqual(
      cql`INSERT INTO t ${cql.insert({ a: 1 })} ${cql.using({})}`.text,
      "INSERT INTO t (\"a\") VALUES (?) "
    )
  })

  const taken: ReadonlyArray<readonly [Exclude<Duration.Input, number | bigint>, number]> = [
    [Duration.seconds(5), 5],
    [Duration.zero, 0],
    ["0 seconds", 0],
    ["1000 millis", 1],
    ["1500000000 micros", 1500],
    [Duration.nanos(2_000_000_000n), 2],
    [{ days: 1, seconds: 1 }, 86401],
    [[3, 0], 3],
    ["7300 days", 630_720_000]
  ]
  for (const [ttl, seconds] of taken) {
    it(`takes ${JSON.stringify(ttl)} as a TTL of ${seconds} s`, () =>
      assert.deepStrictEqual(cql`${cql.using({ ttl })}`.parameters, [seconds]))
  }

  const refused: ReadonlyArray<readonly [what: string, ttl: unknown, found: string]> = [
    ["a number", 60, "a number"],
    ["a bigint", 60n, "a bigint"],
    ["a fraction", "1500 millis", "one with a fraction of a second"],
    ["a nanosecond too much", Duration.nanos(10_000_000_000_000_001n), "one with a fraction of a second"],
    ["no end", Duration.infinity, "one without an end"],
    ["no end as text", "Infinity", "one without an end"],
    ["below zero", "-1 seconds", "one below zero"],
    ["a second too much", { seconds: 630_720_001 }, "a longer one"],
    ["no duration", secret, "another string"],
    ["null", null, "null"],
    ["a Date", new Date(), "a Date"],
    ["an object of nothing", {}, "an object"],
    ["months, which Effect does not know", { months: 1, days: 0 }, "an object"],
    ["what is no number", { days: Number.NaN }, "an object"],
    ["a pair that is no number", [Number.NaN, 0], "an array"],
    ["a symbol", Symbol(secret), "a symbol"]
  ]
  for (const [what, ttl, found] of refused) {
    it(`refuses a TTL of ${what}`, () => {
      const reason = parameterOf(cql`INSERT INTO t ${cql.insert({ a: 1 })} ${cql.using({ ttl } as {})}`)
      assert.deepStrictEqual([reason.index, reason.parameter, reason.found], [1, "ttl", found])
    })
  }

  it("says of a TTL that is a number that its unit is missing", () => {
    assert.include(parameterOf(cql`${cql.using({ ttl: 60 } as {})}`).hint, "milliseconds")
  })

  it("takes every whole timestamp of 64 bits but the lowest", () => {
    for (const timestamp of [0, -1, Number.MAX_SAFE_INTEGER, 2n ** 63n - 1n, 1n - 2n ** 63n]) {
      assert.deepStrictEqual(cql`${cql.using({ timestamp })}`.parameters, [BigInt(timestamp)])
    }
    for (const timestamp of [1.5, Number.NaN, 2 ** 53, 2n ** 63n, -(2n ** 63n), secret, null, new Date()]) {
      const reason = parameterOf(cql`${1} ${cql.using({ ttl: "1 day", timestamp } as {})}`)
      assert.deepStrictEqual([reason.index, reason.parameter], [2, "timestamp"])
    }
  })

  it("of no object is refused", () => {
    for (const options of [undefined, null, [], secret]) {
      assert.include(queryProblemOf(cql.using(options as unknown as {})), "cql.using")
    }
  })
})

describe("types", () => {
  it("refuse what is refused at run time", () => {
    const fragments = [
      // @ts-expect-error a number is no TTL
      cql.using({ ttl: 60 }),
      // @ts-expect-error a condition is a fragment
      cql.and(["a = 1"]),
      // @ts-expect-error not of the schema's type
      cql.insert(User, { id }),
      // @ts-expect-error a schema of one value has no columns
      cql.insert(Schema.String, "a")
    ]
    for (const fragment of fragments) refusalOf(cql`${fragment}`)
  })

  it("refuse a schema whose encoding needs a service", () => {
    type NeedsService = Schema.Codec<{ readonly a: string }, { readonly a: string }, never, "a service">
    const schema = Schema.Struct({ a: Schema.String }) as NeedsService
    // @ts-expect-error a template has no services
    assert.deepStrictEqual(cql.insert(schema, { a: "x" }).parameters, ["x"])
  })
})
