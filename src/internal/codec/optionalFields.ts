/**
 * Null where a schema knows only of an absent key: Cassandra has no difference between the two, so the key is left out.
 */
import * as SchemaAST from "effect/SchemaAST"
import { acceptsNull } from "./fit.ts"

/** Takes keys out of an object, or out of objects inside of it. */
export interface LeaveOut {
  (value: unknown): void
}

/** What to do with what a schema is to decode, as its encoded side tells; mostly nothing. */
export const leaveOut = (ast: SchemaAST.AST): LeaveOut | undefined => {
  switch (ast._tag) {
    case "Objects":
      return inObject(ast)
    case "Arrays":
      return inArray(ast)
    case "Union":
      return together(ast.types.map(leaveOut))
    case "Declaration":
      return inCollection(ast)
    default:
      return undefined
  }
}

const inObject = (ast: SchemaAST.Objects): LeaveOut | undefined =>
  together(ast.propertySignatures.map(({ name, type }) => inProperty(name, type)))

const inProperty = (name: PropertyKey, type: SchemaAST.AST): LeaveOut | undefined => {
  const inside = leaveOut(type)
  const mayBeAbsent = SchemaAST.isOptional(type) && !acceptsNull(type)
  if (inside === undefined && !mayBeAbsent) return undefined
  return (value) => {
    if (!isObject(value) || !Object.hasOwn(value, name)) return
    if (mayBeAbsent && value[name] === null) delete value[name]
    else inside?.(value[name])
  }
}

const isObject = (value: unknown): value is Record<PropertyKey, unknown> => typeof value === "object" && value !== null

const inArray = ({ elements, rest }: SchemaAST.Arrays): LeaveOut | undefined => {
  const ofElements = elements.map(leaveOut)
  const ofRest = rest.length === 1 ? leaveOut(rest[0]!) : undefined
  if (ofRest === undefined && ofElements.every((element) => element === undefined)) return undefined
  return (value) => {
    if (!Array.isArray(value)) return
    value.forEach((element, index) => (index < ofElements.length ? ofElements[index] : ofRest)?.(element))
  }
}

const inCollection = ({ typeParameters }: SchemaAST.Declaration): LeaveOut | undefined => {
  const parameters = typeParameters.map((parameter) => leaveOut(SchemaAST.toEncoded(parameter)))
  if (parameters.every((parameter) => parameter === undefined)) return undefined
  return (value) => {
    if (value instanceof Set) { for (const element of value) parameters[0]?.(element) }
    if (value instanceof Map) {
      for (const [key, element] of value) {
        parameters[0]?.(key)
        parameters[1]?.(element)
      }
    }
  }
}

const together = (all: ReadonlyArray<LeaveOut | undefined>): LeaveOut | undefined => {
  const some = all.filter((one) => one !== undefined)
  if (some.length <= 1) return some[0]
  return (value) => {
    for (const one of some) one(value)
  }
}
