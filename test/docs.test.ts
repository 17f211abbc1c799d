/**
 * The guides: their examples run on the real server and print what they say, and their tables and headings are those of
 * the code.
 *
 * A block ```ts run is run: its `program`, or the whole of it as a process where it calls `runMain`. A block ```cql makes
 * what the examples below it need. All those of a guide share a keyspace, in their order, as a reader would run them.
 * A block ```text behind an example is what it prints; how it is called, in a block ```sh, may stand between.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { format, promisify, stripVTControlCharacters } from "node:util"
import { afterAll, beforeAll } from "vitest"
import * as TypeTable from "../scripts/typeTable.ts"
import * as Errors from "../src/CqlError.ts"
import type { Cluster, Statement } from "../src/index.ts"
import { cql, CqlMetrics, CqlRetry, CqlType, Session } from "../src/index.ts"
import { isIdempotent } from "../src/internal/cql/idempotence.ts"
import * as TransferErrors from "../src/TransferError.ts"
import * as Keyspace from "./support/keyspace.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

const read = (path: string): string => readFileSync(join(root, path), "utf8")

// --- blocks

interface Block {
  /** What stands behind the fence. */
  readonly info: string
  readonly text: string
  /** Of its fence, from 1. */
  readonly line: number
}

const blocksOf = (text: string): ReadonlyArray<Block> =>
  [...text.matchAll(/^```(.+)\n([^]*?)^```$/gm)].map(({ 1: info, 2: block, index }) => ({
    info: info!,
    text: block!,
    line: text.slice(0, index).split("\n").length
  }))

type Step =
  | { readonly kind: "cql"; readonly block: Block }
  | { readonly kind: "run"; readonly block: Block; readonly prints: string | undefined }

const stepsOf = (text: string): ReadonlyArray<Step> =>
  blocksOf(text).flatMap((block, index, all): ReadonlyArray<Step> => {
    if (block.info === "cql") return [{ kind: "cql", block }]
    if (block.info !== "ts run") return []
    const next = all.slice(index + 1).find(({ info }) => info !== "sh")
    return [{ kind: "run", block, prints: next?.info === "text" ? next.text : undefined }]
  })

// --- running

// Outside of the package, for there it is found by its name, and from there as its sources.
const folder = mkdtempSync(join(tmpdir(), "effect-cassandra-docs-"))

beforeAll(() => {
  mkdirSync(join(folder, "node_modules"))
  symlinkSync(root, join(folder, "node_modules", "effect-cassandra"))
  for (const name of ["effect", "@effect"]) {
    symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name))
  }
  writeFileSync(join(folder, "package.json"), "{ \"type\": \"module\" }")
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const exec = promisify(execFile)

/** The whole of an example as a program of its own, in the environment of this one. */
const asProcess = Effect.fnUntraced(function*(file: string, keyspace: string) {
  const env = { ...process.env, CASSANDRA_KEYSPACE: keyspace, NODE_OPTIONS: "" }
  const { stdout } = yield* Effect.tryPromise({
    try: () => exec(process.execPath, ["--conditions=effect-cassandra-source", file], { cwd: folder, env }),
    catch: (error) => error
  })
  return stdout
})

type Program = Effect.Effect<unknown, unknown, Session | Cluster | NodeServices.NodeServices>

const asProgram = Effect.fnUntraced(function*(file: string) {
  const { program } = yield* Effect.promise(() => import(/* @vite-ignore */ file) as Promise<{ program: Program }>)
  const lines: Array<string> = []
  const print = (...values: ReadonlyArray<unknown>): number => lines.push(format(...values))
  yield* program.pipe(
    Effect.provideService(Console.Console, { ...globalThis.console, log: print }),
    Effect.provide(Logger.layer([])),
    Effect.provide(NodeServices.layer)
  )
  return lines.map((line) => `${line}\n`).join("")
})

const run = Effect.fnUntraced(function*(guide: string, { line, text }: Block) {
  const file = join(folder, `${guide}.${line}.ts`)
  const isProcess = /\brunMain\b/.test(text)
  writeFileSync(file, isProcess ? text : `${text}\nexport { program }\n`)
  const { keyspace } = yield* Session
  const printed = isProcess ? yield* asProcess(file, keyspace!) : yield* asProgram(file)
  return printed.replaceAll(keyspace!, "shop")
})

/** What is printed, and what the guide says of it. */
interface Printed {
  readonly line: number
  readonly text: string
  readonly promised: string
}

const follow = Effect.fnUntraced(function*(guide: string, step: Step) {
  const { line, text } = step.block
  if (step.kind === "cql") {
    const statements = text.split(";").map((part) => part.trim()).filter((part) => part !== "")
    return yield* Effect.as(Effect.forEach(statements, (part) => cql`${cql.unsafe(part)}`), [])
  }
  const printed = yield* run(guide, step.block).pipe(
    Effect.mapError((error) => new Error(`docs/${guide}, line ${line}: ${String(error)}`))
  )
  const { prints = printed } = step
  return [{ line, text: stripVTControlCharacters(printed), promised: prints }]
})

const guides = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))

describe("the examples", () => {
  it("that are run are many, and most of them print something", () => {
    const runs = guides.flatMap((guide) => stepsOf(read(join("docs", guide)))).filter((step) => step.kind === "run")
    assert.isAtLeast(runs.length, 20)
    assert.isAtLeast(runs.filter(({ prints }) => prints !== undefined).length, 20)
  })

  for (const guide of guides) {
    const steps = stepsOf(read(join("docs", guide)))
    if (steps.length === 0) continue
    it.live(`of docs/${guide} run, and print what they say`, () =>
      Effect.gen(function*() {
        const printed: ReadonlyArray<Printed> = (yield* Effect.forEach(steps, (step) => follow(guide, step))).flat()
        assert.deepStrictEqual(
          printed.map(({ line, text }) => ({ line, text })),
          printed.map(({ line, promised }) => ({ line, text: promised }))
        )
      }).pipe(Effect.provide(Keyspace.layer)))
  }
})

// --- tables

/** The cells of all tables in a text. */
const rowsOf = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---")).map((line) =>
    line.slice(2, -2).split(" | ").map((cell) => cell.trim())
  )

const codeIn = (text: string): ReadonlyArray<string> => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!)

const sectionOf = (text: string, heading: string): string => {
  const begin = text.indexOf(`\n## ${heading}\n`)
  assert.isAtLeast(begin, 0, heading)
  const end = text.indexOf("\n## ", begin + 1)
  return text.slice(begin, end < 0 ? undefined : end)
}

describe("docs/queries-and-types.md", () => {
  it("has the table of all types", () => {
    const text = readFileSync(TypeTable.guide, "utf8")
    assert.strictEqual(text, TypeTable.withTable(text), "npm run docs writes it")
    const others = ["maxTimeUuid", "minTimeUuid", "timeUuid", "timeUuidAt", "timeUuidDate"]
    const inTable = TypeTable.rows.map(({ code }) => code.split("(")[0]!)
    assert.sameMembers([...inTable, ...others], Object.keys(CqlType))
  })

  it.layer(Keyspace.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("says of each type what the server keeps of it, and what a parameter may be besides", () =>
      Effect.gen(function*() {
        yield* cql`CREATE TYPE address (street text, number int)`
        const columns = TypeTable.rows.map((row, index) => ({ ...row, column: `c${index}` }))
        const plain = columns.filter(({ cql }) => cql !== "counter")
        const counter = columns.find(({ cql }) => cql === "counter")
        const declared = plain.map(({ column, cql }) => `${column} ${cql}`).join(", ")
        yield* cql`CREATE TABLE types (id int PRIMARY KEY, ${cql.unsafe(declared)})`
        yield* cql`CREATE TABLE counters (id int PRIMARY KEY, c counter)`

        const write = (id: number, valueOf: (row: TypeTable.Row) => unknown) => {
          const values = Object.fromEntries(plain.map((row) => [row.column, valueOf(row)]))
          return Effect.all([
            cql`INSERT INTO types ${cql.insert({ id, ...values })}`,
            cql`UPDATE counters SET c = c + ${valueOf(counter!)} WHERE id = ${id}`
          ])
        }
        yield* write(1, ({ value }) => value)
        yield* write(2, ({ others, value }) => others.length === 0 ? value : others[0]!.value)
        assert.isTrue(TypeTable.rows.every(({ others }) => others.length <= 1))

        for (const id of [1, 2]) {
          for (const { code, column, schema, value } of plain) {
            const bySchema = cql(Schema.Struct({ [column]: schema }))
            const name = cql.ident(column)
            const typed = yield* bySchema`SELECT ${name} FROM types WHERE id = ${id}`.one
            const untyped = yield* cql`SELECT ${name} FROM types WHERE id = ${id}`.one
            assert.deepStrictEqual(typed[column], value, code)
            // Where nothing says otherwise, a text that is null is one of no schema.
            assert.deepStrictEqual(untyped[column], value, code)
          }
          const Counted = Schema.Struct({ c: counter!.schema })
          assert.strictEqual((yield* cql(Counted)`SELECT c FROM counters WHERE id = ${id}`.one).c, counter!.value)
        }
      }))
  })

  it("has every option of a statement", () => {
    const options: Record<keyof Statement.Options, true> = {
      attemptTimeout: true,
      consistency: true,
      customPayload: true,
      hedge: true,
      idempotent: true,
      maxRows: true,
      node: true,
      pageSize: true,
      profile: true,
      retry: true,
      serialConsistency: true,
      slowThreshold: true,
      spans: true,
      streamTimeout: true,
      timeout: true,
      timestamp: true,
      tracing: true
    }
    const rows = rowsOf(sectionOf(read("docs/queries-and-types.md"), "Options"))
    assert.sameMembers(rows.flatMap(([first]) => codeIn(first!)), Object.keys(options))
  })
})

// --- retries

const samplesOf = <Fields extends object>(make: new(fields: Fields) => Errors.Reason, ...fields: Array<Fields>) =>
  fields.map((each) => new make(each))

const replicas = { message: "", consistency: "quorum", received: 1, blockFor: 2 } as const

const timeoutOf = (phase: Errors.ClientTimeout["phase"]) => Errors.clientTimeout(phase, 1)

const writeTypes = ["SIMPLE", "BATCH", "UNLOGGED_BATCH", "BATCH_LOG", "VIEW", "CDC"]

/** What each line of the table is about. */
const decided: Readonly<Record<string, ReadonlyArray<Errors.Reason>>> = {
  "`ConnectionError`, not written": samplesOf(Errors.ConnectionError, { message: "", written: false }),
  "`ConnectionError`, written": samplesOf(Errors.ConnectionError, { message: "", written: true }),
  "`ClientTimeout` of `prepare`": [timeoutOf("prepare")],
  "`ClientTimeout` of `attempt`": [timeoutOf("attempt")],
  "`Bootstrapping`": samplesOf(Errors.Bootstrapping, { message: "" }),
  "`Unprepared`": samplesOf(Errors.Unprepared, { message: "" }),
  "`Unavailable`": samplesOf(Errors.Unavailable, { message: "", consistency: "quorum", required: 2, alive: 1 }),
  "`Overloaded`": samplesOf(Errors.Overloaded, { message: "" }),
  "`ServerError`": samplesOf(Errors.ServerError, { message: "", code: 0 }, { message: "", code: 0x1600 }),
  "`ReadTimeout`": samplesOf(Errors.ReadTimeout, { ...replicas, dataPresent: true }, {
    ...replicas,
    dataPresent: false
  }),
  "`WriteTimeout`": writeTypes.map((writeType) => new Errors.WriteTimeout({ ...replicas, writeType })),
  "`CasWriteUnknown`": samplesOf(Errors.CasWriteUnknown, replicas),
  "`NoHostAvailable`": samplesOf(Errors.NoHostAvailable, { message: "", nodes: [] }),
  "`AdmissionRefused`, `CircuitOpen`, `ClientTimeout` of `queue`": [
    new Errors.AdmissionRefused({ message: "", inFlight: 1, queued: 1, limit: 1 }),
    new Errors.CircuitOpen({ message: "", retryAfterMillis: 1 }),
    timeoutOf("queue")
  ],
  "all others": [
    ...samplesOf(Errors.InvalidQuery, { message: "" }),
    ...samplesOf(Errors.SessionClosed, { message: "" }),
    ...samplesOf(Errors.ReadFailure, { ...replicas, failures: 1, dataPresent: false }),
    ...samplesOf(Errors.WriteFailure, { ...replicas, failures: 1, writeType: "SIMPLE" }),
    timeoutOf("connect"),
    timeoutOf("operation"),
    timeoutOf("stream")
  ]
}

const wordsOf = { rethrow: "never", retryNow: "at once, on another node", retryLater: "later" } as const

describe("docs/retries.md", () => {
  const guide = read("docs/retries.md")
  const table = rowsOf(sectionOf(guide, "What is done about which failure"))

  it("has the table of the policy", () => {
    const inSource = read("src/Retry.ts").split("\n").filter((line) => line.startsWith(" * |")).map((line) =>
      line.slice(3)
    )
    assert.deepStrictEqual(guide.split("\n").filter((line) => inSource.includes(line)), inSource)
    assert.sameMembers(table.slice(1).map(([first]) => first!), Object.keys(decided))
  })

  for (const [failure, plain, idempotent] of table.slice(1)) {
    it(`says of ${failure!.replaceAll("`", "")} what is decided`, () => {
      const said = [plain!, idempotent === "the same" ? plain! : idempotent!.replace(/, but never a counter$/, "")]
      for (const reason of decided[failure!]!) {
        const made = [false, true].map((idempotent) => wordsOf[CqlRetry.decide({ reason, idempotent })])
        assert.deepStrictEqual(made, said, JSON.stringify(reason))
      }
    })
  }

  it("says that a counter is not counted again", () => {
    const reason = new Errors.WriteTimeout({ ...replicas, writeType: "COUNTER" })
    assert.strictEqual(CqlRetry.decide({ reason, idempotent: true }), "rethrow")
  })

  const statements = rowsOf(sectionOf(guide, "What is idempotent")).slice(1)

  for (const [statement, proved] of statements) {
    const [text] = codeIn(statement!)
    it(`says whether it is proved that twice is once: ${text}`, () => {
      const parameters = text!.split("?").slice(1).map(() => ({ type: "text" as const }))
      const isProved = isIdempotent(text!.replace("...", "name FROM users"), parameters)
      assert.strictEqual(isProved ? "yes" : "no", proved!.split(":")[0])
    })
  }

  it("says it of statements of both kinds", () => {
    assert.isAtLeast(statements.filter(([, proved]) => proved!.startsWith("yes")).length, 5)
    assert.isAtLeast(statements.filter(([, proved]) => proved!.startsWith("no")).length, 5)
  })
})

// --- errors

const tagsIn = (module: object): ReadonlyArray<string> =>
  Object.values(module).filter((exported) => typeof exported === "function" && exported.prototype instanceof Error).map(
    ({ name }: { readonly name: string }) => name
  )

describe("docs/troubleshooting.md", () => {
  const guide = read("docs/troubleshooting.md")

  const partsOf = (heading: string): ReadonlyMap<string, string> =>
    new Map(
      sectionOf(guide, heading).split("\n### ").slice(1).map((part) => {
        const [tag] = part.split("\n", 1)
        return [tag!, part]
      })
    )

  const tags = Errors.Reason.members.map(({ identifier }) => identifier.split("/").at(-1)!)

  it("has a heading for each reason of a CqlError, whether it was executed, and what to do", () => {
    const parts = partsOf("Reasons of a CqlError")
    assert.isAtLeast(tags.length, 30)
    assert.deepStrictEqual([...parts.keys()], tags)
    for (const [tag, part] of parts) {
      assert.match(part, /^\*\*Executed:\*\* \S/m, tag)
      assert.match(part, /^\*\*Do:\*\* \S/m, tag)
    }
  })

  it("tells of each reason of a CqlError once in the table of what was executed", () => {
    const named = rowsOf(sectionOf(guide, "Was it executed?")).flatMap(([first]) => codeIn(first!))
    assert.sameMembers(named, tags)
  })

  it("has a heading for each reason of a TransferError", () => {
    const parts = partsOf("Reasons of a TransferError")
    const reasons = tagsIn(TransferErrors).filter((name) => name !== "TransferError")
    assert.isAtLeast(reasons.length, 10)
    assert.sameMembers([...parts.keys()], [...reasons])
    for (const [tag, part] of parts) assert.match(part, /^\*\*Do:\*\* \S/m, tag)
  })

  it("has a heading for the other errors that a statement has", () => {
    assert.includeMembers([...partsOf("Other errors").keys()], [
      "SchemaError",
      "NoSuchElementError",
      "NotWritten",
      "ConfigError"
    ])
  })
})

// --- names

describe("the guides", () => {
  it("name no metric that there is not", () => {
    const names = CqlMetrics.all.map(({ name }) => name)
    for (const guide of guides) {
      const named = [...read(join("docs", guide)).matchAll(/\bcassandra_client_\w+/g)].map(([name]) => name)
      assert.includeMembers([...names], named, guide)
    }
  })

  it("have every variable of the environment that is read", () => {
    const variablesIn = (text: string) => new Set(text.match(/\bCASSANDRA_[A-Z_]*[A-Z]\b/g))
    const readBy = variablesIn(["src/Cluster.ts", "src/Session.ts"].map(read).join("\n"))
    const told = variablesIn(sectionOf(read("docs/getting-started.md"), "Configuration from the environment"))
    assert.sameMembers([...told], [...readBy])
  })

  it("are all in the index", () => {
    const index = read("docs/README.md")
    for (const guide of guides) if (guide !== "README.md") assert.include(index, `(${guide})`)
  })
})
