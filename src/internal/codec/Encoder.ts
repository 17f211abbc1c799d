/**
 * From the values of a statement's parameters to their bytes, by the types that the server declared for them. A value
 * that has no exact form there is refused.
 */
import type { Column } from "./ColumnType.ts"
import { format } from "./ColumnType.ts"
import type { Output } from "./Output.ts"
import { withOutput } from "./Output.ts"
import type { ElementWriter } from "./writers.ts"
import { makeElementWriter, Misfit } from "./writers.ts"

/** Names kinds of values and never a value. */
export class ParameterMismatch extends Error {
  readonly index: number
  /** The parameter's name, as the server knows it. */
  override readonly name: string
  /** The parameter's CQL type. */
  readonly expected: string
  /** The kind of value that was given. */
  readonly found: string
  readonly hint: string | undefined

  constructor(options: {
    readonly index: number
    readonly name: string
    readonly expected: string
    readonly found: string
    readonly hint?: string | undefined
  }) {
    const { expected, found, hint, index, name } = options
    super(
      `parameter ${index} (${JSON.stringify(name)}): expected ${expected}, found ${found}${hint ? `; ${hint}` : ""}`
    )
    this.index = index
    this.name = name
    this.expected = expected
    this.found = found
    this.hint = hint
  }
}

/** Makes `[short n]<value_1>...<value_n>`: `null` is null, `undefined` leaves the column as it is. */
export const compileParameters = (
  parameters: ReadonlyArray<Column>
): (values: ReadonlyArray<unknown>) => Buffer => {
  const writers = parameters.map((parameter) => makeElementWriter(parameter.type))
  return (values) => {
    if (values.length !== parameters.length) throw wrongCount(parameters, values.length)
    return withOutput((output) => {
      const start = output.advance(2)
      output.bytes.writeUInt16BE(parameters.length, start)
      for (let index = 0; index < writers.length; index++) {
        writeParameter(output, writers[index]!, values[index], parameters, index)
      }
    })
  }
}

const unset = -2
const none = -1

const writeParameter = (
  output: Output,
  write: ElementWriter,
  value: unknown,
  parameters: ReadonlyArray<Column>,
  index: number
): void => {
  if (value === undefined) return output.int(unset)
  if (value === null) return output.int(none)
  try {
    write(output, value)
  } catch (error) {
    throw error instanceof Misfit ? mismatch(error, parameters[index]!, index) : error
  }
}

const mismatch = ({ found, hint, inside }: Misfit, { name, type }: Column, index: number): ParameterMismatch => {
  const expected = format(type)
  const place = inside === undefined ? "" : ` where ${inside} belongs`
  return new ParameterMismatch({ index, name, expected, found: `${found}${place}`, hint })
}

const wrongCount = (parameters: ReadonlyArray<Column>, given: number): ParameterMismatch => {
  const index = Math.min(parameters.length, given)
  const missing = parameters[given]
  return new ParameterMismatch({
    index,
    name: missing?.name ?? "",
    expected: missing === undefined ? "no value" : format(missing.type),
    found: `${given} values for ${parameters.length} parameters`
  })
}

/**
 * The bytes that a statement's token is computed from, out of its encoded parameters; `undefined` when they do not name
 * a partition.
 */
export const routingKey = (encoded: Buffer, partitionKeys: ReadonlyArray<number>): Buffer | undefined => {
  if (partitionKeys.length === 0) return undefined
  const components = readComponents(encoded, partitionKeys)
  if (components === undefined) return undefined
  return components.length === 1 ? Buffer.from(components[0]!) : composite(components)
}

const readComponents = (encoded: Buffer, partitionKeys: ReadonlyArray<number>): Array<Buffer> | undefined => {
  const components: Array<Buffer> = []
  const count = encoded.readUInt16BE(0)
  let offset = 2
  for (let index = 0; index < count; index++) {
    const length = encoded.readInt32BE(offset)
    offset += 4
    for (let position = 0; position < partitionKeys.length; position++) {
      if (partitionKeys[position] !== index) continue
      if (length < 0) return undefined
      components[position] = encoded.subarray(offset, offset + length)
    }
    if (length > 0) offset += length
  }
  return partitionKeys.every((_, position) => components[position] !== undefined) ? components : undefined
}

const longestComponent = 0xffff

const composite = (components: ReadonlyArray<Buffer>): Buffer | undefined => {
  // The server refuses such a key; it has no place in the ring.
  if (components.some((component) => component.length > longestComponent)) return undefined
  const key = Buffer.allocUnsafe(components.reduce((length, component) => length + component.length + 3, 0))
  let offset = 0
  for (const component of components) {
    offset = key.writeUInt16BE(component.length, offset)
    offset += component.copy(key, offset)
    offset = key.writeUInt8(0, offset)
  }
  return key
}
