/**
 * Masks what must not be in a log, in texts that others wrote.
 *
 * A server tells which value it could not read, and the driver which one it could not convert. What was bound is known
 * here, so every form in which they may have printed it is looked for.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Redacted from "effect/Redacted"

/** What stands for a value. */
export const mask = "‹value›"

/** No message says more in more characters; the work of masking is bounded by it. */
const maxLength = 4096

/** A message may repeat the beginning of a long value only. From so many characters on it is taken for that value. */
const prefixLength = 16

/** No type of CQL is nested so deep. */
const maxDepth = 64

/** Shorter quotes from a document tell nothing. */
const shortest = 3

/** One short word: it is looked for as a word, for it may well be a part of others ("not" of "cannot"). */
const shortWord = /^(?:[\p{L}\p{N}_]{1,7}|.{1,2})$/su

/** More texts than these are not looked for one by one: it would hold up every other request. */
const maxForms = 2000

const notShown = "a message that may repeat one of many values, and is not shown"

/** The message with every one of `values` masked, at any depth of collections; cut when it is very long. */
export const maskValues = (message: string, values: ReadonlyArray<unknown>): string => {
  if (values.length === 0) return cut(message, [])
  const forms = new Forms()
  try {
    for (const value of values) forms.add(value)
    if (forms.tooMany) return notShown
  } catch {
    // A value that cannot be looked at (a getter throws, a secret was wiped) may be anywhere in the message.
    return mask
  }
  // Twice as long as what is kept: a value across the cut has to be seen whole.
  return cut(message, forms.find(message.slice(0, 2 * maxLength)))
}

const passwords = /(\bpassword\s*(?:=\s*)?\[?)('(?:[^']|'')*'?|\$\$[\s\S]*?(?:\$\$|$))/gi

/** A role statement's password masked: a statement has no marker for it, so its text spells it out. */
export const maskPasswords = (text: string): string => text.replace(passwords, `$1${mask}`)

/** The passwords that a role statement spells out, each with its quotes. */
export const passwordsIn = (statement: string): ReadonlyArray<string> =>
  Array.from(statement.matchAll(passwords), (match) => match[2]!)

interface Range {
  readonly start: number
  readonly end: number
}

/** The message with its ranges masked. Those that touch become one: two masks would tell where one value ends. */
const cut = (message: string, ranges: Array<Range>): string => {
  ranges.sort((a, b) => a.start - b.start)
  let masked = ""
  let position = 0
  for (const { end, start } of ranges) {
    if (end <= position) continue
    if (start >= maxLength) break
    if (start > position || position === 0) masked += message.slice(position, start) + mask
    position = end
  }
  const rest = message.slice(position, Math.max(position, maxLength))
  return position + rest.length < message.length ? `${masked}${rest}…` : masked + rest
}

/** All texts that may stand for a value, each with how it is to be looked for. */
class Forms {
  /** Taken wherever they are. */
  private readonly anywhere = new Set<string>()
  /** Taken where they are not a part of a longer word or number. */
  private readonly words = new Set<string>()
  /** Texts that may have been read as JSON, so that a message repeats a part of them in quotes. */
  private readonly documents = new Set<string>()
  private readonly seen = new Set<object>()
  private depth = 0

  get tooMany(): boolean {
    return this.anywhere.size + this.words.size > maxForms
  }

  add(value: unknown): void {
    if (this.tooMany) return
    switch (typeof value) {
      case "string":
        return this.addString(value)
      case "number":
        return this.addNumber(value)
      case "bigint":
        return this.addWord(String(value))
      case "object":
        return value === null ? undefined : this.addObject(value)
    }
  }

  find(message: string): Array<Range> {
    const ranges: Array<Range> = []
    for (const form of this.anywhere) findText(message, form, ranges)
    for (const form of this.words) findWord(message, form, ranges)
    if (message.includes("JSON")) findQuoted(message, this.documents, ranges)
    return ranges
  }

  private addText(text: string): void {
    if (shortWord.test(text)) this.words.add(text)
    else if (text !== "") this.anywhere.add(text)
  }

  private addWord(text: string): void {
    if (text !== "") this.words.add(text)
  }

  private addString(text: string): void {
    if (text.length >= shortest) this.documents.add(text)
    if (/^\s*[{["]/.test(text)) this.addJson(text)
    // Of a longer text, no more than its beginning can be in what is searched.
    const start = text.slice(0, 2 * maxLength)
    this.addText(start)
    this.addText(start.trim())
    this.addText(start.replaceAll("'", "''"))
    this.addText(JSON.stringify(start).slice(1, -1))
    if (/^[\da-f]{8}-[\da-f-]{27}$/i.test(text)) this.addText(text.toLowerCase())
  }

  /** As `INSERT ... JSON ?` binds it: the server tells of what is in it. */
  private addJson(text: string): void {
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch {
      return
    }
    // The names at the top are names of columns: the message is of no use without them.
    if (isPlain(parsed)) this.addAll(Object.values(parsed))
    else this.add(parsed)
  }

  private addNumber(value: number): void {
    this.addWord(String(value))
    // As Java prints a float or a double: 5.0, 1.0E21
    if (Number.isInteger(value)) this.addWord(`${value}.0`)
    const [digits, exponent] = value.toExponential().split("e")
    const fraction = digits!.includes(".") ? digits! : `${digits!}.0`
    if (exponent !== undefined) this.addWord(`${fraction}E${Number(exponent)}`)
  }

  private addObject(value: object): void {
    if (this.seen.has(value)) return
    this.seen.add(value)
    if (value instanceof Date) return this.addDate(value)
    if (ArrayBuffer.isView(value)) return this.addBytes(value)
    if (Redacted.isRedacted(value)) return this.add(Redacted.value(value))
    if (BigDecimal.isBigDecimal(value)) return this.addWord(BigDecimal.format(value))
    if (value instanceof Map) return this.addAll([...value.keys(), ...value.values()])
    if (Array.isArray(value) || value instanceof Set) return this.addAll(value)
    if (isPlain(value)) this.addAll(Object.keys(value))
    else this.addPrinted(value)
    this.addAll(Object.values(value))
  }

  private addAll(values: Iterable<unknown>): void {
    if (this.depth === maxDepth) return
    this.depth++
    for (const value of values) this.add(value)
    this.depth--
  }

  /** Classes of the driver's or of the application's: uuid, inet, long, duration. */
  private addPrinted(value: object): void {
    let printed: unknown
    try {
      printed = String(value)
    } catch {
      // Then a message cannot hold what it prints either.
      return
    }
    if (typeof printed === "string" && !printed.startsWith("[object ")) this.addString(printed)
  }

  private addDate(date: Date): void {
    const millis = date.getTime()
    if (Number.isNaN(millis)) return this.addWord(String(date))
    this.addWord(String(millis))
    this.addText(String(date))
    const iso = date.toISOString()
    const space = iso.replace("T", " ")
    for (const form of [iso, space]) {
      this.addText(form)
      this.addText(form.replace("Z", "+0000"))
      this.addText(form.replace(/\.\d+Z$/, ""))
    }
  }

  private addBytes(bytes: ArrayBufferView): void {
    if (bytes instanceof Float32Array || bytes instanceof Float64Array) return this.addAll(bytes)
    // Nothing longer than the message can be in it, except for its beginning.
    const length = Math.min(bytes.byteLength, maxLength)
    const hex = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("hex")
    this.addHex(hex)
    this.addHex(hex.toUpperCase())
  }

  private addHex(hex: string): void {
    this.addText(hex)
    this.addText(`0x${hex}`)
  }
}

const isPlain = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

const findText = (message: string, text: string, ranges: Array<Range>): void => {
  const begin = text.slice(0, prefixLength)
  for (let start = message.indexOf(begin); start !== -1; start = message.indexOf(begin, start + 1)) {
    const end = start + commonLength(message, start, text)
    ranges.push({ start, end })
    start = end - 1
  }
}

/** How many characters of `text` are in `message` at `start`. */
const commonLength = (message: string, start: number, text: string): number => {
  let length = 0
  while (length < text.length && message[start + length] === text[length]) length++
  return length
}

const partOfWord = /[\p{L}\p{N}_]/u

const findWord = (message: string, word: string, ranges: Array<Range>): void => {
  for (let start = message.indexOf(word); start !== -1; start = message.indexOf(word, start + 1)) {
    const end = start + word.length
    if (isApart(message, start, end)) ranges.push({ start, end })
  }
}

const isApart = (message: string, start: number, end: number): boolean => {
  const first = partOfWord.test(message[start]!)
  const last = partOfWord.test(message[end - 1]!)
  if (first && start > 0 && partOfWord.test(message[start - 1]!)) return false
  if (last && end < message.length && partOfWord.test(message[end]!)) return false
  // 5 is not to be found in 1.5 or 5.25, but it is at the end of a sentence.
  if (/\d/.test(message[start]!) && /\d\.$/.test(message.slice(Math.max(0, start - 2), start))) return false
  return !(/\d/.test(message[end - 1]!) && /^\.\d/.test(message.slice(end, end + 2)))
}

const quoted = /'([^']+)'|"([^"]+)"/g

const findQuoted = (message: string, documents: ReadonlySet<string>, ranges: Array<Range>): void => {
  for (const match of message.matchAll(quoted)) {
    const text = match[1] ?? match[2]!
    for (const document of documents) {
      if (text.length < shortest || !document.includes(text)) continue
      ranges.push({ start: match.index + 1, end: match.index + 1 + text.length })
      break
    }
  }
}
