/**
 * The one place that knows Effect's schema compiler, which is unstable.
 *
 * @internal
 */
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import type * as SchemaAST from "effect/SchemaAST"

/** For this schema alone; where code cannot be made at runtime, it stays interpreted. */
export const compile = (ast: SchemaAST.AST): void => SchemaJITCompiler.enable(ast)
