/**
 * The one place that knows Effect's schema compiler, which is unstable.
 */
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import type * as SchemaAST from "effect/SchemaAST"

const compiled = new WeakSet<SchemaAST.AST>()

/** For this schema alone, and once; where code cannot be made at runtime, it stays interpreted. */
export const compile = (ast: SchemaAST.AST): void => {
  if (compiled.has(ast)) return
  compiled.add(ast)
  SchemaJITCompiler.enable(ast)
}
