/**
 * The command line: a table's rows counted, exported, imported.
 */
import { Command } from "effect/cli"
import { count } from "./count.ts"
import { exportTable } from "./export.ts"
import { importTable } from "./import.ts"
import type { Reported } from "./report.ts"

export const command: Command.Command<"effect-cassandra", {}, {}, Reported, Command.Environment> = Command.make(
  "effect-cassandra"
).pipe(
  Command.withDescription("Counts, exports and imports the rows of a table of Apache Cassandra."),
  Command.withSubcommands([count, exportTable, importTable])
)
