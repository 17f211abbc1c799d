/**
 * What a text is called in spans and metrics: its operation and its table, and nothing of its values.
 */
import type { Token } from "./tokens.ts"
import { tokenize } from "./tokens.ts"

export interface Summary {
  /** The first word, in upper case: `SELECT`, `INSERT`, ...; `BATCH` for a text that is one. */
  readonly operation: string
  /** The table as it is written, with its keyspace where it has one. */
  readonly collection: string | undefined
  /** Both, as in `SELECT shop.users`: few texts share it, and it is short. */
  readonly name: string
}

/** A text that has no word. */
const nameless = "CQL"

/** Longer ones are cut: semantic conventions for database spans, "Generating a summary of the query". */
const longest = 255

export const summarize = (text: string): Summary => {
  const tokens = tokenize(text).filter(({ kind }) => kind !== "space" && kind !== "comment")
  const [first, second] = tokens.filter(({ kind }) => kind === "word").map(({ text }) => text.toUpperCase())
  if (first === undefined) return { operation: nameless, collection: undefined, name: nameless }
  if (first === "BEGIN") return { operation: "BATCH", collection: undefined, name: "BATCH" }
  const isOfSchema = schemaOperations.includes(first)
  const collection = tableOf(first, isOfSchema ? second : undefined, tokens)
  const parts = [first, isOfSchema ? second : undefined, collection].filter((part) => part !== undefined)
  return { operation: first, collection, name: parts.join(" ").slice(0, longest) }
}

const schemaOperations: ReadonlyArray<string> = ["CREATE", "ALTER", "DROP"]

/** The word that a table's name follows. */
const wordBefore: Readonly<Record<string, string>> = {
  SELECT: "FROM",
  DELETE: "FROM",
  INSERT: "INTO",
  UPDATE: "UPDATE",
  TRUNCATE: "TRUNCATE"
}

const tableOf = (
  operation: string,
  kind: string | undefined,
  tokens: ReadonlyArray<Token>
): string | undefined => {
  const before = kind === "TABLE" || kind === "COLUMNFAMILY" ? kind : wordBefore[operation]
  if (before === undefined) return undefined
  let index = tokens.findIndex((token) => isWord(token, before)) + 1
  if (index === 0) return undefined
  while (index < tokens.length && passedOver.some((word) => isWord(tokens[index]!, word))) index++
  return nameAt(tokens, index)
}

const passedOver: ReadonlyArray<string> = ["TABLE", "COLUMNFAMILY", "IF", "NOT", "EXISTS"]

const isWord = ({ kind, text }: Token, word: string): boolean => kind === "word" && text.toUpperCase() === word

const nameAt = (tokens: ReadonlyArray<Token>, index: number): string | undefined => {
  const [name, dot, table] = tokens.slice(index, index + 3)
  if (name === undefined || !isName(name)) return undefined
  return dot?.text === "." && table !== undefined && isName(table) ? `${name.text}.${table.text}` : name.text
}

const isName = ({ kind }: Token): boolean => kind === "word" || kind === "quotedName"

/** With every literal as a marker: for a text that binds nothing, and so may spell out what others would bind. */
export const withoutLiterals = (text: string): string =>
  tokenize(text).map(({ kind, text }) => kind === "comment" ? " " : literals.has(kind) ? "?" : text).join("")

/** What a text spells out in the place of a marker; with what is no token, for it may have been one. */
export const literals: ReadonlySet<Token["kind"]> = new Set(
  ["string", "number", "uuid", "blob", "duration", "unknown"] as const
)
