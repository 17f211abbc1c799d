import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import manifest from "../../package.json" with { type: "json" }
import * as Display from "../../src/cli/display.ts"
import * as Run from "../../src/cli/run.ts"
import { withVariables } from "../testing/support.ts"
import { cli } from "./support.ts"

/** In this process, which is faster: exit code and standard error of a command that does not come as far as a server. */
const refused = Effect.fnUntraced(function*(args: ReadonlyArray<string>) {
  const errors: Array<string> = []
  const say = (line: unknown): void => void errors.push(`${String(line)}\n`)
  const console = { ...globalThis.console, error: say, log: () => assert.fail("standard output is for results") }
  const screen = { isTerminal: false, columns: () => 80, write: (text: string) => void errors.push(text) }
  const exit = yield* Effect.exit(Run.program(args)).pipe(
    Effect.provideService(Console.Console, console),
    Effect.provideService(Display.Screen, screen),
    withVariables({ CASSANDRA_CONTACT_POINTS: "127.0.0.1", CASSANDRA_PORT: "1" })
  )
  return { exitCode: Run.exitCodeOf(exit), stderr: errors.join("") }
})

describe("effect-cassandra", () => {
  it.live("says its version, and the commands and flags that it has", () =>
    Effect.gen(function*() {
      const version = yield* cli(["--version"])
      assert.deepStrictEqual(version, { exitCode: 0, stdout: `effect-cassandra v${manifest.version}\n`, stderr: "" })
      const help = yield* cli(["--help"])
      assert.deepStrictEqual([help.exitCode, help.stderr], [0, ""])
      for (const name of ["count", "export", "import"]) assert.match(help.stdout, new RegExp(`^ {2}${name} {2}`, "m"))
      assert.strictEqual((yield* cli([])).stdout, help.stdout)
    }))

  it.live("has no flag for the password", () =>
    Effect.gen(function*() {
      for (const name of ["count", "export", "import"]) {
        const { exitCode, stdout } = yield* cli([name, "--help"])
        assert.strictEqual(exitCode, 0)
        assert.include(stdout, "--password-file string")
        assert.notMatch(stdout, /--password[ =]/)
      }
      const given = yield* cli(["count", "a.b", "--password", "secret"])
      assert.deepStrictEqual([given.exitCode, given.stdout], [2, ""])
      assert.match(given.stderr, /^Unrecognized flag: --password /)
    }))

  const wrong: ReadonlyArray<readonly [what: string, args: ReadonlyArray<string>, message: RegExp]> = [
    ["a command that it does not have", ["cuont", "a.b"], /Unknown subcommand "cuont"[\s\S]*count/],
    ["a command without its table", ["count"], /Missing required argument: table/],
    ["what is no name of a table", ["count", "a b"], /Expected: the name of a table/],
    ["a flag that it does not have", ["count", "a.b", "--prt", "1"], /Unrecognized flag: --prt[\s\S]*--port/],
    ["too many ranges at a time", ["count", "a.b", "--concurrency", "0"], /from 1 to 1024/],
    ["a consistency that there is none of", ["count", "a.b", "--consistency", "most"], /consistency/],
    ["an export to nowhere", ["export", "a.b"], /--to/],
    ["another format", ["export", "a.b", "--to", "x", "--format", "xml"], /jsonLines/],
    [
      "a word for null that CSV would cut",
      ["export", "a.b", "--to", "x", "--null-text", "a,b"],
      /without quotes, commas/
    ],
    ["columns that are no names", ["export", "a.b", "--to", "x", "--columns", "a,,b"], /names of columns/],
    ["to resume and to overwrite", ["export", "a.b", "--to", "x", "--resume", "--overwrite"], /give one of them/],
    ["to resume what went to standard output", ["export", "a.b", "--to", "-", "--resume"], /for a directory/],
    ["an import from nowhere", ["import", "a.b"], /--from/],
    ["to resume standard input", ["import", "a.b", "--from", "-", "--resume"], /standard input/],
    ["a format for a directory", ["import", "a.b", "--from", ".", "--format", "csv"], /manifest/]
  ]

  for (const [what, args, message] of wrong) {
    it.live(`refuses ${what}, before it connects`, () =>
      Effect.gen(function*() {
        const { exitCode, stderr } = yield* refused(args)
        assert.strictEqual(exitCode, 2, stderr)
        assert.match(stderr, message)
        assert.notInclude(stderr, "    at ")
      }).pipe(Effect.provide(NodeServices.layer)))
  }

  it.live("says what to install where @effect/platform-node is missing", () =>
    Effect.gen(function*() {
      // Node itself says then that there is no such package.
      const hooks = "registerHooks({ resolve: (name, context, next) => " +
        "next(name.replace(/^@effect.platform-node(?=.)/, '@effect/platform-node-is-not-there'), context) })"
      const code = encodeURIComponent(`import { registerHooks } from "node:module"; ${hooks}`)
      const env = { NODE_OPTIONS: `--import=data:text/javascript,${code.replaceAll("'", "%27")}` }
      const { exitCode, stderr, stdout } = yield* cli(["--version"], { env })
      assert.deepStrictEqual([exitCode, stdout], [1, ""])
      assert.match(stderr, /^effect-cassandra: .*npm install @effect\/platform-node\n$/)
    }))
})
