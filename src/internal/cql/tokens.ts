/**
 * The tokens of a CQL text, by the rules of the server's lexer (`Lexer.g`): joined, they are the text again.
 */

export type TokenKind =
  | "space"
  | "comment"
  /** `'...'` or `$$...$$` */
  | "string"
  /** `"..."` */
  | "quotedName"
  /** A keyword or a name without quotes: which of them, its place tells. */
  | "word"
  | "number"
  | "uuid"
  | "blob"
  | "duration"
  | "symbol"
  /** What the server refuses: a character of no token, or what a quote or comment that does not end leaves of the text. */
  | "unknown"

export interface Token {
  readonly kind: TokenKind
  readonly text: string
}

export const tokenize = (text: string): Array<Token> => {
  const tokens: Array<Token> = []
  for (let start = 0; start < text.length;) {
    const token = tokenAt(text, start)
    tokens.push(token)
    start += token.text.length
  }
  return tokens
}

const tokenAt = (text: string, start: number): Token => {
  switch (text[start]) {
    case "'":
      return delimited("string", text, start, endOfQuoted(text, start))
    case "\"":
      return delimited("quotedName", text, start, endOfQuoted(text, start))
    case "$":
      return delimited("string", text, start, text[start + 1] === "$" ? endAfter(text, "$$", start + 2) : undefined)
  }
  switch (text.slice(start, start + 2)) {
    case "--":
    case "//":
      return delimited("comment", text, start, endOfLine(text, start))
    case "/*":
      return delimited("comment", text, start, endAfter(text, "*/", start + 2))
  }
  return simpleToken(text, start)
}

const delimited = (kind: TokenKind, text: string, start: number, end: number | undefined): Token =>
  end === undefined ? { kind: "unknown", text: text.slice(start) } : { kind, text: text.slice(start, end) }

const endAfter = (text: string, delimiter: string, start: number): number | undefined => {
  const found = text.indexOf(delimiter, start)
  return found === -1 ? undefined : found + delimiter.length
}

/** A quote that is written twice is a part of what is quoted. */
const endOfQuoted = (text: string, start: number): number | undefined => {
  const quote = text[start]!
  let end = endAfter(text, quote, start + 1)
  while (end !== undefined && text[end] === quote) end = endAfter(text, quote, end + 1)
  return end
}

/** With the line's end, without which the server refuses the comment: at the end of a text it is not one. */
const endOfLine = (text: string, start: number): number | undefined => {
  lineEnd.lastIndex = start
  return lineEnd.test(text) ? lineEnd.lastIndex : undefined
}

const lineEnd = /[\n\r]/g

/** In this order: a number may begin a UUID or a duration, and a word may begin either. */
const patterns: ReadonlyArray<readonly [TokenKind, RegExp]> = [
  ["space", /[ \t\n\r]+/y],
  ["uuid", /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/iy],
  ["blob", /0x[\da-f]*/iy],
  // Each unit once: a loop without bounds would overflow the stack of the matcher on a text that is long enough.
  ["duration", /-?(?:\d+(?:y|mo|ms|m|w|d|h|s|us|µs|ns)){1,10}/iy],
  // ISO 8601: an upper-case P, which otherwise begins a name
  ["duration", /-?P(?=T?\d)(?:\d+[YMWD]){0,4}(?:T(?:\d+[HMS]){1,3})?(?!\w)/y],
  ["number", /-?\d+(?:\.(?!\.)\d*)?(?:e[+-]?\d+)?/iy],
  ["word", /[A-Za-z]\w*/y],
  ["symbol", /[+\-<>!]=|\.\.|[;(),<>=[\]{}:.*/%+\-?]/y]
]

const simpleToken = (text: string, start: number): Token => {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = start
    if (pattern.test(text)) return { kind, text: text.slice(start, pattern.lastIndex) }
  }
  return { kind: "unknown", text: text[start]! }
}
