/**
 * A table that a scripted server tells of; what becomes of its rows, the test says.
 */
import * as Reply from "./Reply.ts"
import type * as ScriptedServer from "./ScriptedServer.ts"

export interface Column {
  readonly name: string
  readonly type: string
  readonly kind: "partition_key" | "clustering" | "static" | "regular"
}

const columnsOfSchema = [
  { name: "column_name", type: "text" },
  { name: "type", type: "text" },
  { name: "kind", type: "text" },
  { name: "position", type: "int" }
]

/** For every table that is asked about. */
export const declare = (server: ScriptedServer.Scripts, columns: ReadonlyArray<Column>): void => {
  const rows = columns.map(({ kind, name, type }) => [
    name,
    type,
    kind,
    kind === "regular" || kind === "static" ? -1 : columns.filter((other) => other.kind === kind)
      .findIndex((other) => other.name === name)
  ])
  server.on(/FROM system_schema\.columns/, Reply.rows({ columns: columnsOfSchema, rows }))
}
