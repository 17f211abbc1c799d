import type { CqlError } from "../CqlError.ts"

export const render = (error: CqlError): string => `${error.name}: ${error.message}\n  ${error.reason._tag}`
