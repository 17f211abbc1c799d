import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as CqlType from "../../../src/CqlType.ts"
import type { Column, ColumnType } from "../../../src/internal/codec/ColumnType.ts"
import { format } from "../../../src/internal/codec/ColumnType.ts"
import { compileRows, NullInRow } from "../../../src/internal/codec/Decoder.ts"
import { compileParameters } from "../../../src/internal/codec/Encoder.ts"
import * as RowSchema from "../../../src/internal/codec/RowSchema.ts"
import * as Protocol from "../../support/protocol.ts"
import { column, hex, page, scalar } from "./support.ts"
import { valuesOf } from "./values.ts"

const list = (element: ColumnType): ColumnType => ({ type: "list", element })
const set = (element: ColumnType): ColumnType => ({ type: "set", element })
const map = (key: ColumnType, value: ColumnType): ColumnType => ({ type: "map", key, value })
const tuple = (...elements: ReadonlyArray<ColumnType>): ColumnType => ({ type: "tuple", elements })
const vector = (element: ColumnType, dimension: number): ColumnType => ({ type: "vector", element, dimension })
const udt = (fields: Readonly<Record<string, ColumnType>>): ColumnType => ({
  type: "udt",
  keyspace: "shop",
  name: "thing",
  fields: Object.entries(fields).map(([name, type]) => ({ name, type }))
})

const ascii = scalar("ascii")
const bigint = scalar("bigint")
const counter = scalar("counter")
const double = scalar("double")
const float = scalar("float")
const int = scalar("int")
const smallint = scalar("smallint")
const text = scalar("text")
const timestamp = scalar("timestamp")
const timeuuid = scalar("timeuuid")
const tinyint = scalar("tinyint")
const uuid = scalar("uuid")
const varint = scalar("varint")

/** A page of rows of plain values. */
const pageOf = (columns: ReadonlyArray<Column>, rows: ReadonlyArray<ReadonlyArray<unknown>>): Buffer => {
  const write = compileParameters(columns)
  return Buffer.concat([Protocol.int(rows.length), ...rows.map((row) => write(row).subarray(2))])
}

const readEffect = (
  decoder: RowSchema.RowDecoder<any>,
  bytes: Buffer
): Effect.Effect<ReadonlyArray<any>, Schema.SchemaError, any> =>
  Effect.suspend(() => {
    try {
      const rows = decoder.rows(bytes, 0)
      return decoder.decode === undefined ? Effect.succeed(rows) : decoder.decode(rows)
    } catch (error) {
      if (error instanceof NullInRow) return Effect.fail(RowSchema.nullInRow(error))
      throw error
    }
  })

const read = (schema: Schema.Constraint, columns: ReadonlyArray<Column>, rows: ReadonlyArray<ReadonlyArray<unknown>>) =>
  Effect.runSync(
    readEffect(RowSchema.make(schema, columns), pageOf(columns, rows)) as Effect.Effect<ReadonlyArray<any>>
  )

const failure = (
  schema: Schema.Constraint,
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<unknown>>
): Schema.SchemaError =>
  Effect.runSync(
    Effect.flip(readEffect(RowSchema.make(schema, columns), pageOf(columns, rows))) as Effect.Effect<Schema.SchemaError>
  )

const refusal = (schema: Schema.Constraint, columns: ReadonlyArray<Column>): Schema.SchemaError => {
  try {
    RowSchema.make(schema, columns)
  } catch (error) {
    assert.isTrue(Schema.isSchemaError(error))
    return error as Schema.SchemaError
  }
  return assert.fail("accepted")
}

const one = (type: ColumnType): ReadonlyArray<Column> => [column("value", type)]
const structOf = (schema: Schema.Constraint) => Schema.Struct({ value: schema })

/** By what a schema's rows are made. */
const wayOf = (schema: Schema.Constraint, type: ColumnType): "proved" | "looked at" | "refused" => {
  try {
    return RowSchema.make(structOf(schema), one(type)).decode === undefined ? "proved" : "looked at"
  } catch {
    return "refused"
  }
}

const nonEmpty = Schema.String.check(Schema.isMinLength(1))

class User extends Schema.Class<User>("User")({
  id: CqlType.Uuid,
  name: Schema.String,
  visits: CqlType.BigInt,
  joined: CqlType.Timestamp
}) {
  get greeting(): string {
    return `Hello ${this.name}`
  }
}
const userColumns = [column("id", uuid), column("name", text), column("visits", bigint), column("joined", timestamp)]
const id = "0badc0de-1234-4abc-8def-00ff10a5b6c7"
const ada = [id, "Ada", 3n, new Date(5)]

// -----------------------------------------------------------------------------
// Proofs
// -----------------------------------------------------------------------------

const address = udt({ street: text, number: int })
const Address = CqlType.UserDefined({
  street: CqlType.Nullable(CqlType.Text),
  number: CqlType.Nullable(CqlType.Int)
})

const proofs: ReadonlyArray<readonly [string, Schema.Codec<any, any>, ColumnType]> = [
  ["Text", CqlType.Text, text],
  ["Text", CqlType.Text, ascii],
  ["Ascii", CqlType.Ascii, ascii],
  ["TinyInt", CqlType.TinyInt, tinyint],
  ["SmallInt", CqlType.SmallInt, smallint],
  ["Int", CqlType.Int, int],
  ["BigInt", CqlType.BigInt, bigint],
  ["BigInt", CqlType.BigInt, counter],
  ["Counter", CqlType.Counter, counter],
  ["VarInt", CqlType.VarInt, varint],
  ["Float", CqlType.Float, float],
  ["Double", CqlType.Double, double],
  ["Decimal", CqlType.Decimal, scalar("decimal")],
  ["Boolean", CqlType.Boolean, scalar("boolean")],
  ["Uuid", CqlType.Uuid, uuid],
  ["Uuid", CqlType.Uuid, timeuuid],
  ["TimeUuid", CqlType.TimeUuid, timeuuid],
  ["Timestamp", CqlType.Timestamp, timestamp],
  ["Date", CqlType.Date, scalar("date")],
  ["Time", CqlType.Time, scalar("time")],
  ["Duration", CqlType.Duration, scalar("duration")],
  ["Inet", CqlType.Inet, scalar("inet")],
  ["Blob", CqlType.Blob, scalar("blob")],
  ["List", CqlType.List(CqlType.Int), list(int)],
  ["Set", CqlType.Set(CqlType.Text), set(text)],
  ["Map", CqlType.Map(CqlType.Text, CqlType.List(CqlType.BigInt)), map(text, list(bigint))],
  ["Vector", CqlType.Vector(CqlType.Double, 3), vector(double, 3)],
  ["Tuple", CqlType.Tuple([CqlType.Nullable(CqlType.Int), CqlType.Nullable(CqlType.Text)]), tuple(int, text)],
  ["UserDefined", Address, address],
  ["a list of UserDefined", CqlType.List(Address), list(address)],
  ["Nullable", CqlType.Nullable(CqlType.Text), text],
  ["NullOr", Schema.NullOr(Schema.BigInt), bigint],
  ["NullishOr", Schema.NullishOr(Schema.String), text],
  ["String", Schema.String, text],
  ["String", Schema.String, uuid],
  ["String", Schema.String, scalar("date")],
  ["Number", Schema.Number, double],
  ["Number", Schema.Number, tinyint],
  ["Finite", Schema.Finite, int],
  ["Int", Schema.Int, int],
  ["Int", Schema.Int, smallint],
  ["BigInt", Schema.BigInt, varint],
  ["Boolean", Schema.Boolean, scalar("boolean")],
  ["Date", Schema.Date, timestamp],
  ["Uint8Array", Schema.Uint8Array, scalar("blob")],
  ["BigDecimal", Schema.BigDecimal, scalar("decimal")],
  ["Array", Schema.Array(Schema.String), list(text)],
  ["ReadonlySet", Schema.ReadonlySet(Schema.Int), set(int)],
  ["ReadonlyMap", Schema.ReadonlyMap(Schema.String, Schema.Boolean), map(text, scalar("boolean"))],
  ["a brand", Schema.String.pipe(Schema.brand("UserId")), text],
  ["a brand of a CqlType", CqlType.Uuid.pipe(Schema.brand("UserId")), uuid],
  ["annotations", CqlType.Uuid.annotate({ description: "whose" }), uuid],
  ["an annotation of one's own", Schema.String.annotate({ cqlType: "timeuuid" }), timeuuid],
  ["a mutable key", Schema.mutableKey(Schema.String), text],
  ["a default for new ones", Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(""))), text]
]

const lookedAt: ReadonlyArray<readonly [string, Schema.Constraint, ColumnType]> = [
  ["a check", nonEmpty, text],
  ["a check under a brand", nonEmpty.pipe(Schema.brand("Name")), text],
  ["a check on a CqlType", CqlType.Text.check(Schema.isMinLength(1)), text],
  [
    "a check with an annotation after it",
    CqlType.Uuid.check(Schema.isStartingWith("0")).annotate({ title: "a" }),
    uuid
  ],
  ["a check with the annotation of its CQL type", nonEmpty.annotate({ cqlType: "text" }), text],
  ["Finite of a double, which can be NaN", Schema.Finite, double],
  ["Int of a double", Schema.Int, double],
  ["a range smaller than the type's", Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 127 })), tinyint],
  [
    "a range without its end",
    Schema.Number.check(Schema.isBetween({ minimum: -128, maximum: 127, exclusiveMaximum: true })),
    tinyint
  ],
  ["isUUID, which knows versions", Schema.String.check(Schema.isUUID()), uuid],
  ["a literal", Schema.Literal("a"), text],
  ["literals", Schema.Literals(["a", "b"]), text],
  ["a union", Schema.Union([Schema.String, Schema.Number]), text],
  ["a refinement", Schema.String.pipe(Schema.refine((s): s is "a" => s === "a")), text],
  ["an array with a first element", Schema.NonEmptyArray(Schema.String), list(text)],
  ["an array of checked elements", Schema.Array(nonEmpty), list(text)],
  ["an array with a check", Schema.Array(Schema.String).check(Schema.isMinLength(1)), list(text)],
  ["a flipped check", Schema.flip(Schema.Array(Schema.String).check(Schema.isMinLength(1))), list(text)],
  ["a vector without its length", Schema.Array(Schema.Number).check(Schema.isMinLength(1)), vector(float, 3)],
  ["a set of checked elements", Schema.ReadonlySet(nonEmpty), set(text)],
  ["a map with checked values", Schema.ReadonlyMap(Schema.String, nonEmpty), map(text, text)],
  ["a tuple whose elements cannot be null", Schema.Tuple([Schema.Int]), tuple(int)],
  ["a user defined type whose fields cannot be null", Schema.Struct({ street: Schema.String }), address],
  [
    "a user defined type of which a field is left out",
    Schema.Struct({ street: CqlType.Nullable(CqlType.Text) }),
    address
  ],
  ["a class for a user defined type", User, udt({ id: uuid, name: text, visits: bigint, joined: timestamp })],
  ["a transformation", Schema.DateTimeUtcFromDate, timestamp],
  ["an Option", Schema.OptionFromNullOr(Schema.String), text],
  ["an optional key", Schema.optionalKey(Schema.String), text],
  ["an optional field", Schema.optional(Schema.String), text],
  ["a decoding default", Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("a"))), text],
  ["a declaration of one's own", Schema.declare((u): u is string => typeof u === "string"), text]
]

const refused: ReadonlyArray<readonly [string, Schema.Constraint, ColumnType, string]> = [
  ["String", Schema.String, int, "the schema expects text, the server declares int"],
  ["String", Schema.String, bigint, "the schema expects text, the server declares bigint"],
  ["Text", CqlType.Text, uuid, "the schema expects text, the server declares uuid"],
  ["Uuid", CqlType.Uuid, text, "the schema expects uuid, the server declares text"],
  ["TimeUuid", CqlType.TimeUuid, uuid, "the schema expects timeuuid, the server declares uuid"],
  ["Int", CqlType.Int, bigint, "the schema expects int, the server declares bigint"],
  ["Int", CqlType.Int, smallint, "the schema expects int, the server declares smallint"],
  ["BigInt", CqlType.BigInt, varint, "the schema expects bigint, the server declares varint"],
  ["Number", Schema.Number, bigint, "the schema expects int or double, the server declares bigint"],
  ["Number", Schema.Number, scalar("decimal"), "the schema expects int or double, the server declares decimal"],
  ["BigInt", Schema.BigInt, int, "the schema expects bigint, the server declares int"],
  ["Boolean", Schema.Boolean, text, "the schema expects boolean, the server declares text"],
  ["Date", Schema.Date, scalar("date"), "the schema expects timestamp, the server declares date"],
  ["a Date in a string", Schema.DateFromString, timestamp, "the schema expects text, the server declares timestamp"],
  ["Uint8Array", Schema.Uint8Array, text, "the schema expects blob, the server declares text"],
  ["Array", Schema.Array(Schema.String), set(text), "the schema expects list<text>, the server declares set<text>"],
  ["Array", Schema.Array(Schema.String), list(int), "the schema expects list<text>, the server declares list<int>"],
  ["List", CqlType.List(CqlType.Int), list(bigint), "the schema expects list<int>, the server declares list<bigint>"],
  [
    "ReadonlySet",
    Schema.ReadonlySet(Schema.String),
    list(text),
    "the schema expects set<text>, the server declares list<text>"
  ],
  [
    "Map",
    CqlType.Map(CqlType.Text, CqlType.Int),
    map(text, bigint),
    "the schema expects map<text, int>, the server declares map<text, bigint>"
  ],
  [
    "Vector",
    CqlType.Vector(CqlType.Float, 3),
    list(float),
    "the schema expects vector<float, 3>, the server declares list<float>"
  ],
  [
    "Vector",
    CqlType.Vector(CqlType.Float, 3),
    vector(float, 4),
    "the schema expects vector<float, 3>, the server declares vector<float, 4>"
  ],
  [
    "Tuple",
    CqlType.Tuple([CqlType.Int]),
    tuple(int, int),
    "the schema expects tuple<int>, the server declares tuple<int, int>"
  ],
  [
    "Struct",
    Schema.Struct({ a: Schema.String }),
    text,
    "the schema expects a user defined type, the server declares text"
  ],
  [
    "Struct",
    Schema.Struct({ a: Schema.String }),
    address,
    "the schema expects a user defined type, the server declares shop.thing"
  ],
  ["NullOr", Schema.NullOr(Schema.Number), text, "the schema expects int or double, the server declares text"],
  ["a literal", Schema.Literal("a"), int, "the schema expects text, the server declares int"],
  [
    "a union",
    Schema.Union([Schema.String, Schema.Boolean]),
    int,
    "the schema expects text or boolean, the server declares int"
  ],
  [
    "a record",
    Schema.Record(Schema.String, Schema.Int),
    map(text, int),
    "the schema expects a record, the server declares map<text, int>"
  ],
  ["Never", Schema.Never, text, "the schema expects never, the server declares text"]
]

describe("a schema and the declared type", () => {
  it.each(proofs.map(([name, schema, type]) => [name, format(type), schema, type] as const))(
    "%s is proved for %s",
    (_, __, schema, type) => {
      assert.strictEqual(wayOf(schema, type), "proved")
    }
  )

  it.each(lookedAt.map(([name, schema, type]) => [name, format(type), schema, type] as const))(
    "%s has to look at each %s",
    (_, __, schema, type) => {
      assert.strictEqual(wayOf(schema, type), "looked at")
    }
  )

  it.each(refused.map(([name, schema, type, problem]) => [name, format(type), schema, type, problem] as const))(
    "%s cannot read %s",
    (_, __, schema, type, problem) => {
      const error = refusal(structOf(schema), one(type))
      assert.strictEqual(error.message, `column "value": ${problem}\n  at ["value"]`)
    }
  )
})

describe("what is proved", () => {
  // The proof is only as good as this: every value that the server can send is one of the schema's, and unchanged by it.
  for (const [name, schema, type] of proofs) {
    const struct = Schema.Struct({ value: schema })
    const nullable = Schema.is(schema)(null)
    const values = nullable ? Schema.NullOr(valuesOf(type)) : valuesOf(type)
    it.prop(`${name} of ${format(type)} is what the schema would have made`, [values], ([value]) => {
      const rows = read(struct, one(type), [[value], [value]])
      const plain = compileRows<any>(one(type))(pageOf(one(type), [[value], [value]]), 0)
      assert.deepStrictEqual(rows, plain.map((row) => Schema.decodeUnknownSync(struct)(row)))
      assert.isTrue(rows.every(Schema.is(struct)))
    }, { arbitrary: { runs: 30, seed: 5 } })
  }

  it("is still refused where it cannot be", () => {
    const beyond = hex("7fffffffffffffff")
    const decoder = RowSchema.make(structOf(CqlType.Timestamp), one(timestamp))
    assert.throws(
      () => decoder.rows(page([[beyond]]), 0),
      /expected timestamp, found a time beyond what a Date can hold/
    )
    const inside = RowSchema.make(structOf(CqlType.List(CqlType.Int)), one(list(int)))
    assert.throws(
      () => inside.rows(page([[hex("00000001 ffffffff")]]), 0),
      /expected list<int>, found a null inside it/
    )
  })
})

// -----------------------------------------------------------------------------
// Rows
// -----------------------------------------------------------------------------

describe("a struct", () => {
  it("takes its fields by name, in its own order, and leaves the others", () => {
    const schema = Schema.Struct({ visits: CqlType.BigInt, name: Schema.String })
    const [row] = read(schema, userColumns, [ada])
    assert.deepStrictEqual(Object.entries(row), [["visits", 3n], ["name", "Ada"]])
  })

  it("takes the last of two columns with one name", () => {
    const columns = [column("a", int), column("a", text)]
    assert.deepStrictEqual(read(Schema.Struct({ a: Schema.String }), columns, [[1, "x"]]), [{ a: "x" }])
  })

  it("reads a column named __proto__", () => {
    const schema = Schema.Struct({ ["__proto__"]: Schema.Int })
    const [row] = read(schema, [column("__proto__", int)], [[7]])
    assert.deepStrictEqual(Object.entries(row), [["__proto__", 7]])
  })

  it("has null where it allows it", () => {
    const schema = Schema.Struct({ name: Schema.NullOr(Schema.String), visits: Schema.NullishOr(CqlType.BigInt) })
    assert.deepStrictEqual(read(schema, userColumns, [[id, null, null, null]]), [{ name: null, visits: null }])
  })

  it("names the row and the column of a null that it does not allow", () => {
    const schema = Schema.Struct({ id: CqlType.Uuid, name: CqlType.Text })
    const error = failure(schema, userColumns, [ada, [id, null, null, null]])
    assert.strictEqual(error.message, "column \"name\" of row 1: expected text, found null\n  at [1][\"name\"]")
    assert.deepStrictEqual((error.issue as SchemaIssue.Pointer).path, [1, "name"])
  })

  it.each([
    ["proved", CqlType.Set(CqlType.Text)],
    ["looked at", CqlType.Set(nonEmpty)],
    ["decoded", CqlType.Set(CqlType.Text).pipe(Schema.decodeTo(Schema.Any))]
  ] as ReadonlyArray<readonly [string, Schema.Constraint]>)("has the empty set for null, %s", (_, schema) => {
    assert.deepStrictEqual(read(structOf(schema), one(set(text)), [[null], [new Set(["a"])]]), [
      { value: new Set() },
      { value: new Set(["a"]) }
    ])
    assert.deepStrictEqual(read(structOf(Schema.NullOr(schema)), one(set(text)), [[null]]), [{ value: null }])
  })

  it("has the empty list and the empty map for null", () => {
    const schema = Schema.Struct({
      a: CqlType.List(CqlType.Int),
      b: CqlType.Map(CqlType.Int, CqlType.Int),
      c: Schema.Array(nonEmpty)
    })
    const columns = [column("a", list(int)), column("b", map(int, int)), column("c", list(text))]
    assert.deepStrictEqual(read(schema, columns, [[null, null, null]]), [{ a: [], b: new Map(), c: [] }])
  })

  it("of a column that is missing says which ones there are", () => {
    const error = refusal(Schema.Struct({ id: CqlType.Uuid, nam: CqlType.Text }), userColumns)
    assert.strictEqual(
      error.message,
      "column \"nam\": the schema expects text, the result has only id, name, visits, joined\n  at [\"nam\"]"
    )
  })

  it("says everything that does not fit at once", () => {
    const error = refusal(Schema.Struct({ id: Schema.Int, name: Schema.String, visits: Schema.Boolean }), userColumns)
    assert.deepStrictEqual(error.message.split("\n").filter((line) => line.startsWith("column")), [
      "column \"id\": the schema expects int or double, the server declares uuid",
      "column \"visits\": the schema expects boolean, the server declares bigint"
    ])
  })

  it("may be without a column that is optional", () => {
    const schema = Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.String) })
    assert.deepStrictEqual(read(schema, userColumns, [ada]), [{ name: "Ada" }])
    const columns = [...userColumns, column("nick", text)]
    assert.deepStrictEqual(read(schema, columns, [[...ada, "A"]]), [{ name: "Ada", nick: "A" }])
    assert.deepStrictEqual(read(schema, columns, [[...ada, null]]), [{ name: "Ada" }])
    const nullable = Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.NullOr(Schema.String)) })
    assert.deepStrictEqual(read(nullable, columns, [[...ada, null]]), [{ name: "Ada", nick: null }])
  })
})

describe("a class", () => {
  it("is made by its constructor, with nothing checked twice", () => {
    const decoder = RowSchema.make(User, userColumns)
    assert.strictEqual(decoder.decode, undefined)
    const [user] = decoder.rows(pageOf(userColumns, [ada]), 0)
    assert.instanceOf(user, User)
    assert.strictEqual(user.greeting, "Hello Ada")
    assert.isTrue(Equal.equals(user, new User({ id, name: "Ada", visits: 3n, joined: new Date(5) })))
    assert.deepStrictEqual(Object.keys(user), ["id", "name", "visits", "joined"])
    assert.strictEqual(user.constructor, User)
  })

  it("runs constructors and field initializers of its own", () => {
    const made: Array<unknown> = []
    class Counted extends Schema.Class<Counted>("Counted")({ name: Schema.String }) {
      readonly shout = this.name.toUpperCase()
      readonly #secret = this.name.length
      constructor(properties: { readonly name: string }, options?: Schema.MakeOptions) {
        super(properties, options)
        made.push(this)
      }
      get length(): number {
        return this.#secret
      }
    }
    const rows = read(Counted, userColumns, [ada, ada])
    assert.deepStrictEqual(rows.map((row) => [row.shout, row.length]), [["ADA", 3], ["ADA", 3]])
    assert.deepStrictEqual(made, [...rows])
  })

  it("that extends another has the fields and the prototype of both", () => {
    class Admin extends User.extend<Admin>("Admin")({ level: CqlType.Int }) {
      get rank(): string {
        return `${this.greeting} of ${this.level}`
      }
    }
    const columns = [...userColumns, column("level", int)]
    const decoder = RowSchema.make(Admin, columns)
    assert.strictEqual(decoder.decode, undefined)
    const [admin] = decoder.rows(pageOf(columns, [[...ada, 2]]), 0)
    assert.instanceOf(admin, Admin)
    assert.instanceOf(admin, User)
    assert.strictEqual(admin.rank, "Hello Ada of 2")
  })

  it.each(
    [
      ["with a checked field", Schema.Class<any>("A")({ name: nonEmpty, visits: CqlType.BigInt })],
      ["with a check of its own", User.check(Schema.makeFilter((user) => user.name !== ""))],
      ["with annotations", User.annotate({ title: "user" })],
      [
        "with a check of its struct",
        Schema.Class<any>("B")(
          Schema.Struct({ name: Schema.String }).check(Schema.makeFilter((row) => row.name !== ""))
        )
      ],
      [
        "with a field that is transformed",
        Schema.Class<any>("C")({ name: Schema.String, joined: Schema.DateTimeUtcFromDate })
      ],
      [
        "with an optional field",
        Schema.Class<any>("D")({ name: Schema.String, nick: Schema.optionalKey(Schema.String) })
      ]
    ] as ReadonlyArray<readonly [string, Schema.Codec<any>]>
  )("%s is what the schema would have made", (_, schema) => {
    const rows = read(schema, userColumns, [ada, ada])
    const plain = compileRows<any>(userColumns)(pageOf(userColumns, [ada, ada]), 0)
    assert.deepStrictEqual(rows, plain.map((row) => Schema.decodeUnknownSync(schema)(row)))
    assert.isTrue(rows.every(Schema.is(schema)))
    assert.notStrictEqual(Object.getPrototypeOf(rows[0]), Object.prototype)
  })

  it("with a check that fails is not made", () => {
    let made = 0
    class Named extends Schema.Class<Named>("Named")({ name: nonEmpty }) {
      readonly count = ++made
    }
    const error = failure(Named, userColumns, [ada, [id, "", 1n, null]])
    assert.strictEqual(
      error.message,
      "column \"name\" of row 1: expected a value with a length of at least 1, found a string\n  at [1][\"name\"]"
    )
    assert.strictEqual(made, 0)
  })

  it.each(
    [
      ["a struct", Schema.Struct({ name: Schema.String })],
      ["a class's struct", Schema.Struct({ name: Schema.String })],
      ["a class", User]
    ] as ReadonlyArray<readonly [string, Schema.Codec<any>]>
  )("or a struct runs the checks of the whole row, of %s", (of, schema) => {
    const checked = schema.pipe(
      Schema.check(Schema.makeFilter((row) => row.name !== "", { expected: "somebody with a name" }))
    )
    const whole = of === "a class's struct" ? Schema.Class<any>("Whole")(checked as any) : checked
    assert.lengthOf(read(whole, userColumns, [ada]), 1)
    const error = failure(whole, userColumns, [ada, [id, "", 1n, new Date(0)]])
    assert.strictEqual(error.message, "row 1: expected somebody with a name\n  at [1]")
  })

  it("with a tag needs the tag as a column", () => {
    class Tagged extends Schema.TaggedClass<Tagged>("Tagged")("Tagged", { name: Schema.String }) {}
    assert.include(
      refusal(Tagged, userColumns).message,
      "column \"_tag\": the schema expects text, the result has only"
    )
    const columns = [...userColumns, column("_tag", text)]
    assert.instanceOf(read(Tagged, columns, [[...ada, "Tagged"]])[0], Tagged)
    assert.include(
      failure(Tagged, columns, [[...ada, "Other"]]).message,
      "column \"_tag\" of row 0: expected \"Tagged\""
    )
  })
})

describe("a schema that looks at its rows", () => {
  it.each([
    ["only checked", Schema.Struct({ name: nonEmpty, visits: CqlType.BigInt })],
    ["decoded", Schema.Struct({ name: nonEmpty, joined: Schema.DateTimeUtcFromDate })],
    ["a class", Schema.Class<any>("A")({ name: nonEmpty, joined: Schema.DateTimeUtcFromDate })]
  ] as ReadonlyArray<readonly [string, Schema.Constraint]>)("has one error for a page, %s", (_, schema) => {
    const error = failure(schema, userColumns, [ada, [id, "", 1n, new Date(0)], [id, "", 1n, new Date(0)]])
    assert.isTrue(Schema.isSchemaError(error))
    assert.strictEqual(
      error.message,
      "column \"name\" of row 1: expected a value with a length of at least 1, found a string\n  at [1][\"name\"]"
    )
  })

  it("leaves rows that are only checked as they are", () => {
    const decoder = RowSchema.make(Schema.Struct({ name: nonEmpty, visits: CqlType.BigInt }), userColumns)
    const rows = decoder.rows(pageOf(userColumns, [ada]), 0)
    assert.strictEqual(Effect.runSync(decoder.decode!(rows) as Effect.Effect<ReadonlyArray<unknown>>)[0], rows[0])
  })

  it("finds a null in a field that is proved, before it looks", () => {
    const schema = Schema.Struct({ name: nonEmpty, visits: CqlType.BigInt })
    assert.include(
      failure(schema, userColumns, [[id, "", null, null]]).message,
      "column \"visits\" of row 0: expected bigint, found null"
    )
    assert.include(
      failure(schema, userColumns, [[id, null, 1n, null]]).message,
      "column \"name\" of row 0: expected string, found null"
    )
  })

  it("decodes transformations", () => {
    const schema = Schema.Struct({
      id: CqlType.Uuid,
      name: Schema.OptionFromNullOr(Schema.String),
      joined: Schema.DateTimeUtcFromDate
    })
    const rows = read(schema, userColumns, [ada, [id, null, 1n, new Date(7)]])
    assert.deepStrictEqual(rows.map((row) => row.name), [Option.some("Ada"), Option.none()])
    assert.deepStrictEqual(rows.map((row) => DateTime.toEpochMillis(row.joined)), [5, 7])
  })

  it("takes the columns by the encoded names", () => {
    const schema = Schema.Struct({ fullName: Schema.String, visits: CqlType.BigInt }).pipe(
      Schema.encodeKeys({ fullName: "name" })
    )
    assert.deepStrictEqual(read(schema, userColumns, [ada]), [{ fullName: "Ada", visits: 3n }])
    assert.include(refusal(schema, [column("fullName", text), column("visits", bigint)]).message, "column \"name\"")
  })

  it("runs the checks of a schema that was flipped", () => {
    const one = Schema.Struct({ value: Schema.Array(Schema.String).check(Schema.isMinLength(1)) })
    const whole = Schema.Struct({ value: Schema.Array(Schema.String) }).check(
      Schema.makeFilter((row) => row.value.length > 0)
    )
    for (const schema of [Schema.flip(one), Schema.flip(whole)]) {
      assert.deepStrictEqual(read(schema, [column("value", list(text))], [[["a"]]]), [{ value: ["a"] }])
      assert.include(failure(schema, [column("value", list(text))], [[["a"]], [[]]]).message, "row 1")
    }
  })

  it("names where in a column it was", () => {
    const schema = structOf(Schema.Array(nonEmpty))
    const error = failure(schema, one(list(text)), [[["a", ""]]])
    assert.deepStrictEqual((error.issue as SchemaIssue.Pointer).path, [0, "value", 1])
    assert.include(
      error.message,
      "column \"value\" of row 0: expected a value with a length of at least 1, found a string"
    )
  })

  it("never tells the value", () => {
    const secret = "s3cret"
    const schemas: ReadonlyArray<Schema.Constraint> = [
      Schema.String.check(Schema.isMaxLength(1)),
      Schema.Literals(["a", "b"]),
      Schema.Union([Schema.Literal("a"), Schema.Number]),
      Schema.NumberFromString.check(Schema.isInt())
    ]
    for (const schema of schemas) {
      const error = failure(structOf(schema), one(text), [[secret]])
      assert.notInclude(`${error.message} ${String(error)} ${JSON.stringify(error)}`, secret)
      assert.include(error.message, "column \"value\" of row 0")
    }
  })

  it("reads rows of any struct of a union, of a record, and of anything", () => {
    const columns = [column("kind", text), column("a", int)]
    const union = Schema.Union([
      Schema.Struct({ kind: Schema.Literal("x"), a: Schema.Int }),
      Schema.Struct({ kind: Schema.Literal("y") })
    ])
    assert.deepStrictEqual(read(union, columns, [["x", 1], ["y", null]]), [{ kind: "x", a: 1 }, { kind: "y" }])
    const record = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number]))
    assert.deepStrictEqual(read(record, columns, [["x", 1]]), [{ kind: "x", a: 1 }])
    assert.include(failure(record, columns, [["x", null]]).message, "column \"a\" of row 0")
    assert.deepStrictEqual(read(Schema.Unknown, columns, [["x", null]]), [{ kind: "x", a: null }])
  })

  it("fails for a value that is no row", () => {
    assert.include(failure(Schema.String, userColumns, [ada]).message, "row 0: expected string")
  })

  it.effect("waits for a schema that answers later", () =>
    Effect.gen(function*() {
      const Later = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((name: string) =>
            name === ""
              ? Effect.andThen(Effect.yieldNow, Effect.fail(new SchemaIssue.InvalidValue({ expected: "a name" })))
              : name === "now"
              ? Effect.succeed(name)
              : Effect.as(Effect.promise(() => Promise.resolve()), `${name}!`)
          ),
          encode: SchemaGetter.passthrough()
        })
      )
      class Slow extends Schema.Class<Slow>("Slow")({ name: Later }) {}
      const columns = [column("name", text)]
      const decoder = RowSchema.make(Slow, columns)
      const rows = yield* readEffect(decoder, pageOf(columns, [["now"], ["a"], ["now"], ["b"]]))
      assert.deepStrictEqual(rows.map((row) => row.name), ["now", "a!", "now", "b!"])
      assert.isTrue(rows.every((row) => row instanceof Slow))
      const error = yield* Effect.flip(readEffect(decoder, pageOf(columns, [["now"], ["a"], [""], ["b"]])))
      assert.strictEqual(error.message, "column \"name\" of row 2: expected a name, found a string\n  at [2][\"name\"]")
    }))

  it.effect("takes the services that a schema needs", () =>
    Effect.gen(function*() {
      class Suffix extends Context.Service<Suffix, string>()("Suffix") {}
      const Suffixed = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((name: string) => Suffix.use((suffix) => Effect.succeed(name + suffix))),
          encode: SchemaGetter.passthrough()
        })
      )
      const columns = [column("name", text)]
      const decoder = RowSchema.make(Schema.Struct({ name: Suffixed }), columns)
      const rows = yield* readEffect(decoder, pageOf(columns, [["a"], ["b"]])).pipe(Effect.provideService(Suffix, "?"))
      assert.deepStrictEqual(rows, [{ name: "a?" }, { name: "b?" }])
    }))
})

describe("nullInRow", () => {
  it("is an error of the schema", () => {
    const error = RowSchema.nullInRow(new NullInRow(4, "alias", column("na\"me", list(int))))
    assert.isTrue(Schema.isSchemaError(error))
    assert.strictEqual(
      error.message,
      "column \"na\\\"me\" of row 4: expected list<int>, found null\n  at [4][\"alias\"]"
    )
  })
})

it("BigDecimal keeps its scale through a row", () => {
  const [row] = read(structOf(CqlType.Decimal), one(scalar("decimal")), [[BigDecimal.make(150n, 2)]])
  assert.deepStrictEqual([row.value.value, row.value.scale], [150n, 2])
})
