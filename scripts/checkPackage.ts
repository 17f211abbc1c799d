/**
 * Packs the package as npm would publish it, and checks the tarball: its manifest with publint, and its types and its
 * code from a small project that installs it, and the command line.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import manifest from "../package.json" with { type: "json" }

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "effect-cassandra-package-"))

const run = (command: string, args: ReadonlyArray<string>, cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const checkManifest = async (): Promise<number> => {
  const { messages, pkg } = await publint({ pkgDir: root, strict: true })
  for (const message of messages) console.error(`publint: ${formatMessage(message, pkg)}`)
  return messages.length
}

const consumer = `
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { Cluster, cql, CqlError, CqlStream, CqlType, Session, Statement } from "effect-cassandra"
import { ReadTimeout } from "effect-cassandra/CqlError"
import { CassandraServer } from "effect-cassandra/testing"
// @ts-expect-error: what is internal cannot be imported
import {} from "effect-cassandra/internal/core"

class User extends Schema.Class<User>("User")({ id: CqlType.Uuid, name: Schema.String }) {}

export const one = cql(User)\`SELECT * FROM users WHERE id = \${"x"}\`.one
export const user: Effect.Effect<User, unknown, Session> = one
export const stream: Stream.Stream<User, CqlError | Schema.SchemaError, Session> = cql(User)\`SELECT * FROM users\`.stream
export const live: Layer.Layer<Session, CqlError> = Session.layer({ contactPoints: ["127.0.0.1"] })
export const shop: Layer.Layer<Session, CqlError, Cluster> = Session.layerFrom({ keyspace: "shop" })
export const paged = CqlStream.rows(cql\`SELECT * FROM users\`.pipe(Statement.withOptions({ pageSize: 10 })), { pagesAhead: 0 })
export const handled = one.pipe(Effect.catchReason("CqlError", "ReadTimeout", (reason) => Effect.succeed(reason.received)))
export const server = CassandraServer.layer()
export const bound: Effect.Effect<void, CqlError, Session> = Effect.gen(function*() {
  const { cql } = yield* Session
  yield* cql\`TRUNCATE users\`
})
console.log([Cluster, cql, CqlError, CqlStream, CqlType, Session, Statement, ReadTimeout, CassandraServer].every((it) => it !== undefined) ? "loaded" : "incomplete")
`

const compilerOptions = (module: string, moduleResolution: string) => ({
  target: "ES2022",
  // Effect's own declarations name the types of WebCrypto.
  lib: ["ES2024", "DOM"],
  module,
  moduleResolution,
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: module !== "NodeNext",
  types: ["node"]
})

const checkConsumer = (): void => {
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], root)
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!
  const versions = manifest.devDependencies
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  writeFileSync(join(folder, "consumer.ts"), consumer)
  run("npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    `./${tarball}`,
    `effect@${versions.effect}`,
    `@types/node@${versions["@types/node"]}`
  ], folder)
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc")
  for (const [module, resolution] of [["ESNext", "Bundler"], ["NodeNext", "NodeNext"]] as const) {
    const config = { compilerOptions: compilerOptions(module, resolution), files: ["consumer.ts"] }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
    run(process.execPath, [compiler, "-p", "tsconfig.json"], folder)
  }
  const printed = run(process.execPath, ["consumer.js"], folder).trim()
  if (printed !== "loaded") throw new Error(`the installed package printed: ${printed}`)
}

const command = join(folder, "node_modules", ".bin", "effect-cassandra")

/** Of the installed package: says what it lacks, and runs when it is there. */
const checkCommand = (): void => {
  const without = spawnSync(command, ["--version"], { encoding: "utf8" })
  if (without.status !== 1 || !/^.*npm install @effect\/platform-node\n$/.test(without.stderr)) {
    throw new Error(`the command without @effect/platform-node: ${without.status}, ${without.stderr}`)
  }
  const platform = `@effect/platform-node@${manifest.devDependencies["@effect/platform-node"]}`
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", platform], folder)
  const version = run(command, ["--version"], folder).trim()
  if (version !== `effect-cassandra v${manifest.version}`) throw new Error(`the command's version: ${version}`)
  for (const name of ["count", "export", "import"]) {
    const help = run(command, [name, "--help"], folder)
    if (!help.includes(`effect-cassandra ${name} [flags] <table>`)) throw new Error(`the help of ${name}: ${help}`)
  }
}

try {
  const complaints = await checkManifest()
  checkConsumer()
  checkCommand()
  if (complaints > 0) throw new Error(`publint has ${complaints} complaints`)
  console.log("the package is as it should be")
} finally {
  rmSync(folder, { recursive: true, force: true })
}
