/**
 * The statements of a CQL text, split where the server's lexer ends them.
 */
import type { Token } from "../cql/tokens.ts"
import { tokenize } from "../cql/tokens.ts"

/** Why a text is not run; `statement` counts from 1. */
export interface Problem {
  readonly statement: number
  readonly message: string
}

/** Its statements without what is around them; or the first of them that cannot be run. */
export const split = (text: string): ReadonlyArray<string> | Problem => {
  const statements: Array<string> = []
  // A comment has to end with its line, which the last one of a file need not.
  for (const tokens of statementsOf(tokenize(`${withoutMark(text)}\n`))) {
    const message = problemOf(tokens)
    if (message !== undefined) return { statement: statements.length + 1, message }
    statements.push(tokens.map(({ text }) => text).join(""))
  }
  return statements
}

export const isProblem = (split: ReadonlyArray<string> | Problem): split is Problem => "message" in split

/** That of the byte order, which editors put in front. */
export const withoutMark = (text: string): string => text.startsWith("\uFEFF") ? text.slice(1) : text

const statementsOf = (tokens: ReadonlyArray<Token>): ReadonlyArray<ReadonlyArray<Token>> => {
  const statements: Array<ReadonlyArray<Token>> = []
  let current: Array<Token> = []
  const end = (): void => {
    const statement = trimmed(current)
    if (statement.length > 0) statements.push(statement)
    current = []
  }
  for (const token of tokens) {
    if (token.kind === "symbol" && token.text === ";" && !isOpenBatch(current)) end()
    else current.push(token)
  }
  end()
  return statements
}

const isSignificant = ({ kind }: Token): boolean => kind !== "space" && kind !== "comment"

const trimmed = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> =>
  tokens.slice(Math.max(0, tokens.findIndex(isSignificant)), tokens.findLastIndex(isSignificant) + 1)

const isWord = (token: Token | undefined, word: string): boolean =>
  token?.kind === "word" && token.text.toUpperCase() === word

/** The statements in a batch end with a semicolon as well. */
const isOpenBatch = (tokens: ReadonlyArray<Token>): boolean => {
  if (!isWord(tokens.find(isSignificant), "BEGIN")) return false
  const [apply, batch] = tokens.filter(isSignificant).slice(-2)
  return !(isWord(apply, "APPLY") && isWord(batch, "BATCH"))
}

const problemOf = (tokens: ReadonlyArray<Token>): string | undefined => {
  if (tokens.some(({ kind }) => kind === "unknown")) {
    return "it has a quote or a comment that does not end, or a character that CQL does not know"
  }
  if (isOpenBatch(tokens)) return "the batch has no APPLY BATCH"
  // It would be the keyspace of whatever runs on that connection.
  return isWord(tokens[0], "USE")
    ? "USE is not for a session, whose keyspace is its own: name it with the table"
    : undefined
}
