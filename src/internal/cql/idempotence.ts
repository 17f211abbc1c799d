/**
 * Whether running a statement twice is the same as running it once, proved from its text and the types of its parameters.
 *
 * Writes are read by the rules of the server's grammar (`Parser.g`), and only those rules are here that keep the proof:
 * what they do not read is not proved. A wrong yes corrupts data, a wrong no costs a retry. Every attempt is taken to
 * carry the same write timestamp. Then, in Cassandra 5.0:
 *
 * - A list gets its elements once more each time, even where it is set as a whole: each element is kept under a time
 *   UUID that the server makes, and what was there before is deleted with a timestamp that is one microsecond smaller.
 *   Only a frozen list is safe, and neither a text nor the protocol tells which are frozen.
 * - `INSERT JSON` may hold such a list.
 * - The string `'now'` is the current time for a column of type timestamp.
 * - A TTL counts anew from each attempt, and of two equal timestamps the later expiration wins: what is left is what one
 *   run at the time of the last attempt had left. That is taken for the same, as by the drivers for Java and Python; a
 *   table's `default_time_to_live`, which no text shows, is no different.
 * - A set, a map and a user-defined type keep each element under a key that the statement gives: the same each time.
 *
 * Not looked for, since a text does not show it: what triggers do; a user-defined function that overloads one of `pure`
 * by other types of arguments; a host name as a literal for a column of type inet, which is looked up each time.
 */
import type { ColumnType } from "../codec/ColumnType.ts"
import type { Token, TokenKind } from "./tokens.ts"
import { tokenize } from "./tokens.ts"

/** Parameters in the order of their markers, as PREPARE tells them; a name that is used twice is told twice. */
export const isIdempotent = (text: string, parameters: ReadonlyArray<ColumnType> | undefined): boolean => {
  const tokens = tokenize(text).filter(({ kind }) => kind !== "space" && kind !== "comment")
  return tokens.every(({ kind }) => kind !== "unknown") && new Proof(tokens, parameters).holds()
}

/** What is known of the type of a value that is the same each time; there is none for one that is not proved to be. */
type Shape =
  /** May be a list. */
  | "unknown"
  | "list"
  | "setOrMap"
  /** No collection, but it may be an int. */
  | "scalar"
  /** Neither a collection nor an int: what has it for an index is no list. */
  | "key"

/** No statement is nested so deep; the stack is. */
const maxDepth = 100

const wholeValues: ReadonlyArray<Shape | undefined> = ["setOrMap", "scalar", "key"]

const collections: ReadonlyArray<Shape | undefined> = ["list", "setOrMap"]

/** Reads one token after the other. Every method says whether it could read what it is called after. */
class Proof {
  private readonly tokens: ReadonlyArray<Token>
  private readonly parameters: ReadonlyArray<ColumnType> | undefined
  private position = 0
  private markers = 0
  private depth = 0

  constructor(tokens: ReadonlyArray<Token>, parameters: ReadonlyArray<ColumnType> | undefined) {
    this.tokens = tokens
    this.parameters = parameters
  }

  holds(): boolean {
    if (!this.statement()) return false
    this.takeAll(() => this.takeSymbol(";"))
    return this.current === undefined
  }

  // ---------------------------------------------------------------------------
  // Statements
  // ---------------------------------------------------------------------------

  private statement(): boolean {
    if (this.takeWord("select")) return this.select()
    const proved = this.takeWord("begin") ? this.batch() : this.modification()
    // Other markers than the server has found: then they are not in the order of its types.
    return proved && (this.parameters === undefined || this.parameters.length === this.markers)
  }

  /** It changes nothing, whatever is in it. */
  private select(): boolean {
    this.takeAll(() => !this.atWord("from") && this.skip())
    if (!this.takeWord("from") || !this.table()) return false
    this.takeAll(() => this.skip())
    return true
  }

  private batch(): boolean {
    // And not COUNTER
    this.takeWord("unlogged")
    return this.takeWord("batch") && this.using() && this.modifications() && this.takeWord("batch")
  }

  private modifications(): boolean {
    while (!this.takeWord("apply")) {
      if (!this.modification()) return false
      this.takeSymbol(";")
    }
    return true
  }

  private modification(): boolean {
    if (this.takeWord("insert")) return this.insert()
    if (this.takeWord("update")) return this.update()
    return this.takeWord("delete") && this.delete()
  }

  private insert(): boolean {
    return this.takeWord("into") && this.table() && (this.takeWord("json") ? this.json() : this.values()) &&
      this.using()
  }

  private values(): boolean {
    return this.names() && this.takeWord("values") && this.takeSymbol("(") &&
      this.separated(",", () => this.wholeValue()) && this.takeSymbol(")")
  }

  /** Proved for a literal that has no list and no time in it, and nothing that is escaped. */
  private json(): boolean {
    const literal = this.take("string")
    if (literal === undefined || /[[\\]|now/i.test(literal)) return false
    return !this.takeWord("default") || this.takeWord("null") || this.takeWord("unset")
  }

  private update(): boolean {
    return this.table() && this.using() && this.takeWord("set") && this.separated(",", () => this.assignment()) &&
      this.where()
  }

  private delete(): boolean {
    return (this.takeWord("from") || this.deletions()) && this.table() && this.using() && this.where()
  }

  private deletions(): boolean {
    return this.separated(",", () => this.deletion()) && this.takeWord("from")
  }

  private deletion(): boolean {
    if (!this.name()) return false
    if (this.takeSymbol("[")) return this.mapKey()
    return !this.takeSymbol(".") || this.name()
  }

  private using(): boolean {
    return !this.takeWord("using") || this.separated("and", () => this.usingOption())
  }

  private usingOption(): boolean {
    return (this.takeWord("ttl") || this.takeWord("timestamp")) && this.value()
  }

  // ---------------------------------------------------------------------------
  // Assignments
  // ---------------------------------------------------------------------------

  private assignment(): boolean {
    if (!this.name()) return false
    if (this.takeSymbol("=")) return this.assigned()
    if (this.takeSymbol("+=")) return this.added()
    if (this.takeSymbol("-=")) return this.removed()
    // A list inside of another type is frozen.
    if (this.takeSymbol("[")) return this.mapKey() && this.takeSymbol("=") && this.value()
    return this.takeSymbol(".") && this.name() && this.takeSymbol("=") && this.value()
  }

  /** `x = x + ...` begins with a name, as no value does; `x = ... + x`, which ends with one, is for lists only. */
  private assigned(): boolean {
    if (this.takeNameBefore("+")) return this.added()
    if (this.takeNameBefore("-")) return this.removed()
    return this.wholeValue()
  }

  private added(): boolean {
    return this.term() === "setOrMap"
  }

  /** By value: what a counter takes away is no collection. */
  private removed(): boolean {
    return collections.includes(this.term())
  }

  private wholeValue(): boolean {
    return wholeValues.includes(this.term())
  }

  /** The position in a list is another element's when somebody has changed the list since. */
  private mapKey(): boolean {
    return this.term() === "key" && this.takeSymbol("]")
  }

  // ---------------------------------------------------------------------------
  // Conditions of WHERE
  // ---------------------------------------------------------------------------

  private where(): boolean {
    return this.takeWord("where") && this.separated("and", () => this.relation())
  }

  private relation(): boolean {
    const compared = this.atSymbol("(") ? this.names() : this.name()
    return compared && (this.takeWord("in") || this.takeOneOf("=", "<", "<=", ">", ">=")) && this.value()
  }

  // ---------------------------------------------------------------------------
  // Values
  // ---------------------------------------------------------------------------

  private value(): boolean {
    return this.term() !== undefined
  }

  private term(): Shape | undefined {
    let shape = this.factor()
    while (shape !== undefined && this.takeOneOf("+", "-", "*", "/", "%")) {
      shape = calculated(shape, this.factor())
    }
    return shape
  }

  private factor(): Shape | undefined {
    if (this.depth === maxDepth) return undefined
    this.depth++
    const shape = this.takeSymbol("-") ? calculated("scalar", this.simpleTerm()) : this.simpleTerm()
    this.depth--
    return shape
  }

  private simpleTerm(): Shape | undefined {
    switch (this.current?.kind) {
      case "string":
        return isNow(this.take("string")!) ? undefined : "key"
      case "uuid":
      case "blob":
      case "duration":
        this.position++
        return "key"
      case "number":
        this.position++
        return "scalar"
      case "symbol":
        return this.markerOrBrackets()
      default:
        return this.constantOrCall()
    }
  }

  private markerOrBrackets(): Shape | undefined {
    if (this.takeSymbol("?")) return this.marker()
    if (this.takeSymbol(":")) return this.name() ? this.marker() : undefined
    if (this.takeSymbol("[")) return this.items("]", () => this.value()) ? "list" : undefined
    if (this.takeSymbol("{")) return this.items("}", () => this.entry()) ? "setOrMap" : undefined
    return this.takeSymbol("(") ? this.tupleOrTyped() : undefined
  }

  private marker(): Shape {
    const type = this.parameters?.[this.markers]
    this.markers++
    return shapeOf(type)
  }

  /** Of a set, of a map or of a user-defined type, whose fields are names. */
  private entry(): boolean {
    if (this.takeNameBefore(":")) return this.value()
    return this.value() && (!this.takeSymbol(":") || this.value())
  }

  /** `(1, 2)`, `(int) 1`, or one value in brackets, which the server takes for that value. */
  private tupleOrTyped(): Shape | undefined {
    const start = this.position
    if (this.type() && this.takeSymbol(")")) return this.factor()
    this.position = start
    const first = this.term()
    if (first === undefined || this.takeSymbol(")")) return first
    return this.takeSymbol(",") && this.separated(",", () => this.value()) && this.takeSymbol(")")
      ? "scalar"
      : undefined
  }

  /** Up to where something is that no type has: a value cannot hide in it. */
  private type(): boolean {
    if (constants.some((constant) => this.atWord(constant)) || !this.name()) return false
    this.takeAll(() => this.name() || this.take("number") !== undefined || this.takeOneOf("<", ">", ",", "."))
    return true
  }

  private constantOrCall(): Shape | undefined {
    if (constants.some((constant) => this.takeWord(constant))) return "scalar"
    if (this.takeWord("cast")) return this.cast() ? "scalar" : undefined
    return this.pureFunction() && this.takeSymbol("(") && this.items(")", () => this.value()) ? "scalar" : undefined
  }

  private cast(): boolean {
    return this.takeSymbol("(") && this.value() && this.takeWord("as") && this.name() && this.takeSymbol(")")
  }

  private pureFunction(): boolean {
    const first = this.takeName()
    if (first === undefined) return false
    const name = this.takeSymbol(".") ? first === "system" && this.takeName() : first
    return typeof name === "string" && pure.has(name)
  }

  // ---------------------------------------------------------------------------
  // Names and lists
  // ---------------------------------------------------------------------------

  private table(): boolean {
    return this.name() && (!this.takeSymbol(".") || this.name())
  }

  private names(): boolean {
    return this.takeSymbol("(") && this.separated(",", () => this.name()) && this.takeSymbol(")")
  }

  private items(end: string, item: () => boolean): boolean {
    return this.takeSymbol(end) || (this.separated(",", item) && this.takeSymbol(end))
  }

  private separated(separator: "," | "and", item: () => boolean): boolean {
    do {
      if (!item()) return false
    } while (separator === "," ? this.takeSymbol(separator) : this.takeWord(separator))
    return true
  }

  private name(): boolean {
    return this.takeName() !== undefined
  }

  // ---------------------------------------------------------------------------
  // Tokens
  // ---------------------------------------------------------------------------

  private get current(): Token | undefined {
    return this.tokens[this.position]
  }

  private atWord(word: string): boolean {
    return this.current?.kind === "word" && this.current.text.toLowerCase() === word
  }

  private atSymbol(symbol: string): boolean {
    return this.current?.kind === "symbol" && this.current.text === symbol
  }

  private take(kind: TokenKind): string | undefined {
    return this.current?.kind === kind ? this.tokens[this.position++]!.text : undefined
  }

  private takeWord(word: string): boolean {
    const taken = this.atWord(word)
    if (taken) this.position++
    return taken
  }

  private takeSymbol(symbol: string): boolean {
    const taken = this.atSymbol(symbol)
    if (taken) this.position++
    return taken
  }

  private takeOneOf(...symbols: ReadonlyArray<string>): boolean {
    return symbols.some((symbol) => this.takeSymbol(symbol))
  }

  /** As the server takes it: in lower case, unless it is quoted. IF is reserved: no condition is taken for names. */
  private takeName(): string | undefined {
    if (this.atWord("if")) return undefined
    return this.take("word")?.toLowerCase() ?? this.take("quotedName")?.slice(1, -1)
  }

  private takeNameBefore(symbol: string): boolean {
    const start = this.position
    if (this.name() && this.takeSymbol(symbol)) return true
    this.position = start
    return false
  }

  private takeAll(next: () => boolean): void {
    let taken = next()
    while (taken) taken = next()
  }

  /** Past a token of this statement, whatever it is. */
  private skip(): boolean {
    if (this.current === undefined || this.atSymbol(";")) return false
    this.position++
    return true
  }
}

const shapeOf = (type: ColumnType | undefined): Shape => {
  switch (type?.type) {
    case undefined:
      return "unknown"
    case "list":
      return "list"
    case "set":
    case "map":
      return "setOrMap"
    case "int":
      return "scalar"
    default:
      return "key"
  }
}

const scalars: ReadonlyArray<Shape> = ["scalar", "key"]

/** Of numbers, times and texts; of nothing else, but who knows. */
const calculated = (left: Shape, right: Shape | undefined): Shape | undefined => {
  if (right === undefined) return undefined
  return scalars.includes(left) && scalars.includes(right) ? "scalar" : "unknown"
}

const isNow = (literal: string): boolean => /^(?:'now'|\$\$now\$\$)$/i.test(literal)

const constants = ["null", "true", "false", "nan", "infinity"]

const typesOfBytes = [
  "ascii",
  "bigint",
  "boolean",
  "date",
  "decimal",
  "double",
  "duration",
  "float",
  "inet",
  "int",
  "smallint",
  "text",
  "time",
  "timestamp",
  "timeuuid",
  "tinyint",
  "uuid",
  "varchar",
  "varint"
]

/** By its name in Cassandra 5, and by the one of before. */
const bothNames = (name: string): ReadonlyArray<string> => [name, name.replaceAll("_", "")]

/**
 * Functions that give the same for the same arguments, and no list: the hash of a partition key, one form of a time as
 * another, the bounds of time UUIDs (which are not made up, unlike `now`), and a value as its bytes and back. Those whose
 * names are with underscores are of Cassandra 5. A calculation that another node may round otherwise is not here.
 */
const pure: ReadonlySet<string> = new Set([
  "token",
  "dateof",
  "unixtimestampof",
  ...["date", "timestamp", "unix_timestamp"].flatMap((form) => bothNames(`to_${form}`)),
  ...["min", "max"].flatMap((bound) => bothNames(`${bound}_timeuuid`)),
  ...typesOfBytes.flatMap((type) => [...bothNames(`${type}_as_blob`), ...bothNames(`blob_as_${type}`)])
])
