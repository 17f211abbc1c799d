/**
 * How the instances of a `Schema.Class` are made of a row.
 */
import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"

export interface ClassShape {
  readonly struct: SchemaAST.Objects
  readonly construct: (properties: object) => unknown
}

/** `undefined` for a schema that is no class, or whose instances are checked. */
export const classShape = (schema: Schema.Constraint): ClassShape | undefined => {
  const ast = schema.ast
  if (ast._tag !== "Declaration" || ast.checks !== undefined || ast.encoding?.length !== 1) return undefined
  const { to, transformation } = ast.encoding[0]
  if (to._tag !== "Objects" || to !== ast.typeParameters[0] || !constructs(ast, transformation)) return undefined
  const decode = transformation.decode
  // What the class itself does when it decodes: its own constructor runs, the validation of its fields does not.
  return "_tag" in decode && decode._tag === "Transform"
    ? { struct: to, construct: decode.transform }
    : undefined
}

type Transformation = SchemaAST.Link["transformation"]

/** Effect's mark on a class's declaration: the constructor accepts whatever its struct does, and makes an instance. */
const constructs = (ast: SchemaAST.Declaration, transformation: Transformation): boolean => {
  const describe = ast.annotations?.["~constructor"]
  if (typeof describe !== "function") return false
  const descriptor = describe(ast.typeParameters) as { readonly link?: SchemaAST.Link } | undefined
  return descriptor?.link?.transformation === transformation
}
