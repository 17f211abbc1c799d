/**
 * Names as CQL writes them.
 */
import { tokenize } from "./tokens.ts"

/** The name of a table, with its keyspace if that is said. */
export interface TableName {
  readonly keyspace: string | undefined
  readonly name: string
}

export const quote = (name: string): string => `"${String(name).replaceAll("\"", "\"\"")}"`

/** `users`, `shop.users`, `"Shop"."Users"`; `undefined` for what is no name. */
export const parse = (text: string): TableName | undefined => {
  if (typeof text !== "string") return undefined
  const names = tokenize(text.trim()).map(({ kind, text }, index) =>
    index % 2 === 1
      ? (text === "." ? "." : undefined)
      : kind === "word"
      ? text.toLowerCase()
      : kind === "quotedName"
      ? text.slice(1, -1).replaceAll("\"\"", "\"")
      : undefined
  )
  if (names.includes(undefined) || names.includes("")) return undefined
  if (names.length === 1) return { keyspace: undefined, name: names[0]! }
  return names.length === 3 ? { keyspace: names[0]!, name: names[2]! } : undefined
}
