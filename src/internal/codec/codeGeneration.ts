/**
 * Code made at runtime, where that is allowed: a content security policy, or Node's
 * `--disallow-code-generation-from-strings`, forbids it, and everything made here has a slower way without.
 */

let allowed: boolean | undefined

const isAllowed = (): boolean => {
  if (allowed === undefined) {
    try {
      // oxlint-disable-next-line no-new-func
      new Function("return true")
      allowed = true
    } catch {
      allowed = false
    }
  }
  return allowed
}

/** Makes a function of the source, or gives the one that does without. */
export const codeGeneration = <F>(
  parameters: ReadonlyArray<string>,
  source: string,
  without: () => F
): (...values: ReadonlyArray<unknown>) => F => {
  if (!isAllowed()) return without
  // oxlint-disable-next-line no-new-func
  return new Function(...parameters, `"use strict"\n${source}`) as (...values: ReadonlyArray<unknown>) => F
}
