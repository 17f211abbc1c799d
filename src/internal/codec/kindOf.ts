/**
 * What kind of value something is, for people; never the value.
 */
export const kindOf = (value: unknown): string => {
  switch (typeof value) {
    case "number":
      return kindOfNumber(value)
    case "undefined":
      return "undefined"
    case "object":
      return value === null ? "null" : kindOfObject(value)
    default:
      return `a ${typeof value}`
  }
}

const kindOfNumber = (value: number): string => {
  if (Number.isNaN(value)) return "NaN"
  if (!Number.isFinite(value)) return "an infinite number"
  if (!Number.isInteger(value)) return "a number with a fraction"
  return Number.isSafeInteger(value) ? "a number" : "a number beyond the safe integers"
}

const kindOfObject = (value: object): string => {
  if (Array.isArray(value)) return "an array"
  const name = classOf(value)
  return name === undefined || name === "Object" ? "an object" : `${/^[AEIO]/i.test(name) ? "an" : "a"} ${name}`
}

/** By the prototype: a key of the object's own that is called `constructor` is a value. */
const classOf = (value: object): string | undefined => {
  const prototype = Object.getPrototypeOf(value) as { readonly constructor?: { readonly name?: unknown } } | null
  const name = prototype?.constructor?.name
  return typeof name === "string" && name !== "" ? name : undefined
}
