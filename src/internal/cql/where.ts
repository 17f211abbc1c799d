/**
 * What may stand in a condition that is put into a statement of ours: a clause behind it would hold for each token range,
 * and not for the whole.
 */
import { tokenize } from "./tokens.ts"

/** Why it cannot be; `undefined` where it can. */
export const problemOfCondition = (text: string): string | undefined => {
  const tokens = tokenize(text).filter(({ kind }) => kind !== "space")
  if (tokens.some(({ kind, text }) => kind === "comment" || kind === "unknown" || text === ";")) {
    return "a condition has no comment, and no other statement behind it"
  }
  const words = tokens.map(({ kind, text }) => kind === "word" ? text.toUpperCase() : "")
  const clause = clauses.find((clause) =>
    words.some((_, index) => clause.every((word, n) => words[index + n] === word))
  )
  return clause === undefined ? undefined : `a condition has no ${clause.join(" ")}: it would hold for each token range`
}

/** The first words of each; what is reserved alone tells. */
const clauses: ReadonlyArray<ReadonlyArray<string>> = [
  ["LIMIT"],
  ["ORDER", "BY"],
  ["GROUP", "BY"],
  ["PER", "PARTITION"],
  ["ALLOW", "FILTERING"]
]
