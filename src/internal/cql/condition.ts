/**
 * Whether a text is a lightweight transaction.
 */
import { tokenize } from "./tokens.ts"

const modifications = ["INSERT", "UPDATE", "DELETE", "BEGIN"]

/** No other modification has this word where it is no part of a name or a text. */
export const hasCondition = (text: string): boolean => {
  const words = tokenize(text).flatMap(({ kind, text }) => kind === "word" ? [text.toUpperCase()] : [])
  return modifications.includes(words[0]!) && words.includes("IF")
}
