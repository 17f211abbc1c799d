/**
 * Types that the protocol has no code for come as the name of the server's own class: `duration` on protocol v4, every
 * vector, and whatever a vector is made of.
 */
import type { ColumnType, ScalarName, UserDefinedField } from "./ColumnType.ts"

const marshal = "org.apache.cassandra.db.marshal."

const scalars: ReadonlyMap<string, ScalarName> = new Map<string, ScalarName>([
  ["AsciiType", "ascii"],
  ["BooleanType", "boolean"],
  ["ByteType", "tinyint"],
  ["BytesType", "blob"],
  ["CounterColumnType", "counter"],
  ["DateType", "timestamp"],
  ["DecimalType", "decimal"],
  ["DoubleType", "double"],
  ["DurationType", "duration"],
  ["FloatType", "float"],
  ["InetAddressType", "inet"],
  ["Int32Type", "int"],
  ["IntegerType", "varint"],
  ["LongType", "bigint"],
  ["ShortType", "smallint"],
  ["SimpleDateType", "date"],
  ["TimeType", "time"],
  ["TimeUUIDType", "timeuuid"],
  ["TimestampType", "timestamp"],
  ["UTF8Type", "text"],
  ["UUIDType", "uuid"]
])

interface Parsed {
  readonly name: string
  readonly parameters: ReadonlyArray<Parameter>
}

/** A user defined type's fields are written `hexadecimal name:type`. */
interface Parameter extends Parsed {
  readonly field: string | undefined
}

/** The type that a class stands for; a class that is not Cassandra's own stays `custom`, and its values are bytes. */
export const toColumnType = (className: string): ColumnType => {
  const parsed = parse(className)
  return (parsed && interpret(parsed)) ?? { type: "custom", className }
}

const parse = (text: string): Parsed | undefined => {
  const parser = new Parser(text)
  const parsed = parser.type(0)
  return parser.isComplete() ? parsed : undefined
}

// Far beyond any real type, and far below what the stack holds.
const maximumDepth = 64

class Parser {
  private offset = 0
  private broken = false
  private readonly text: string

  constructor(text: string) {
    this.text = text
  }

  isComplete(): boolean {
    return !this.broken && this.offset === this.text.length
  }

  type(depth: number): Parsed {
    const name = this.word()
    return { name, parameters: this.take("(") ? this.parameters(depth + 1) : [] }
  }

  private parameters(depth: number): Array<Parameter> {
    const parameters: Array<Parameter> = []
    this.broken ||= depth > maximumDepth
    while (!this.broken && !this.take(")")) {
      const parameter = this.parameter(depth)
      parameters.push(parameter)
      this.broken ||= parameter.name === ""
      this.take(",")
    }
    return parameters
  }

  private parameter(depth: number): Parameter {
    const start = this.offset
    const field = this.word()
    if (this.take(":")) return { ...this.type(depth), field }
    this.offset = start
    return { ...this.type(depth), field: undefined }
  }

  private word(): string {
    this.space()
    const start = this.offset
    while (this.offset < this.text.length && !"(),: ".includes(this.text[this.offset]!)) this.offset++
    return this.text.slice(start, this.offset)
  }

  private take(character: string): boolean {
    this.space()
    if (this.text[this.offset] !== character) return false
    this.offset++
    return true
  }

  private space(): void {
    while (this.text[this.offset] === " ") this.offset++
  }
}

const interpret = ({ name, parameters }: Parsed): ColumnType | undefined => {
  if (!name.startsWith(marshal)) return undefined
  const short = name.slice(marshal.length)
  const scalar = scalars.get(short)
  if (scalar !== undefined) return parameters.length === 0 ? { type: scalar } : undefined
  switch (short) {
    case "FrozenType":
    case "ReversedType":
      return parameters.length === 1 ? interpret(parameters[0]!) : undefined
    case "UserType":
      return userDefined(parameters)
    case "VectorType":
      return vector(parameters)
    case "ListType":
    case "SetType":
    case "MapType":
    case "TupleType":
      return collection(short, all(parameters))
    default:
      return undefined
  }
}

const all = (parameters: ReadonlyArray<Parameter>): Array<ColumnType> | undefined => {
  const types = parameters.map(interpret)
  return types.every((type) => type !== undefined) ? types : undefined
}

const collection = (
  short: "ListType" | "SetType" | "MapType" | "TupleType",
  types: ReadonlyArray<ColumnType> | undefined
): ColumnType | undefined => {
  if (types === undefined || types.length === 0) return undefined
  if (short === "TupleType") return { type: "tuple", elements: types }
  if (short === "MapType") return types.length === 2 ? { type: "map", key: types[0]!, value: types[1]! } : undefined
  return types.length === 1 ? { type: short === "ListType" ? "list" : "set", element: types[0]! } : undefined
}

const vector = (parameters: ReadonlyArray<Parameter>): ColumnType | undefined => {
  const element = parameters.length === 2 ? interpret(parameters[0]!) : undefined
  const dimension = Number(parameters[1]?.name)
  return element !== undefined && Number.isInteger(dimension) && dimension > 0
    ? { type: "vector", element, dimension }
    : undefined
}

const userDefined = (parameters: ReadonlyArray<Parameter>): ColumnType | undefined => {
  const [keyspace, name, ...rest] = parameters
  if (keyspace === undefined || name === undefined) return undefined
  const fields: Array<UserDefinedField> = []
  for (const parameter of rest) {
    const type = interpret(parameter)
    if (type === undefined || parameter.field === undefined) return undefined
    fields.push({ name: fromHex(parameter.field), type })
  }
  return { type: "udt", keyspace: keyspace.name, name: fromHex(name.name), fields }
}

const fromHex = (text: string): string => Buffer.from(text, "hex").toString("utf8")
