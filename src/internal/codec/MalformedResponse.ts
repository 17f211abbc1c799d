/**
 * A server's answer that is not what the native protocol says it should be: cut short, or with a length that cannot be.
 *
 * Every read is checked against the bytes that are there, so that a damaged page ends here and never as wrong values.
 */
export class MalformedResponse extends Error {
  override readonly name = "MalformedResponse"
  constructor(problem: string) {
    super(`Malformed response: ${problem}`)
  }
}
