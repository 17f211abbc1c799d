import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as Connection from "../../src/cli/connection.ts"
import { cql } from "../../src/index.ts"
import { makeAuthority } from "../support/Certificates.ts"
import { temporaryFolder, withVariables } from "../testing/support.ts"
import { cli } from "./support.ts"

const withoutFlags = Object.fromEntries(
  Object.keys(Connection.flags).map((name) => [name, undefined])
) as unknown as Connection.Given

describe("the connection of a command", () => {
  const count = ["count", "system.local"]

  const fails = Effect.fnUntraced(function*(args: ReadonlyArray<string>, message: RegExp, env = {}) {
    const { exitCode, stderr, stdout } = yield* cli([...count, ...args], { env })
    assert.deepStrictEqual([exitCode, stdout], [1, ""], stderr)
    assert.match(stderr, message)
    return stderr
  })

  it.live("is refused where nothing listens, with a hint", () =>
    Effect.gen(function*() {
      const stderr = yield* fails(["--port", "1"], /^effect-cassandra: no node could be asked: .*ECONNREFUSED/)
      assert.match(stderr, /\n {2}hint: is the cluster up\? .*\n$/)
      yield* fails([], /ECONNREFUSED/, { CASSANDRA_PORT: "1" })
    }))

  it.live("is by flags, which go before the environment", () =>
    Effect.gen(function*() {
      const { CASSANDRA_CONTACT_POINTS: host, CASSANDRA_PORT: port } = process.env
      const env = {
        CASSANDRA_CONTACT_POINTS: "192.0.2.1",
        CASSANDRA_PORT: "1",
        CASSANDRA_LOCAL_DATACENTER: "nowhere",
        CASSANDRA_USERNAME: "nobody"
      }
      const flags = ["--contact-points", host!, "--port", port!, "--local-datacenter", "datacenter1"]
      const { exitCode, stdout } = yield* cli([...count, ...flags, "--username", "cassandra"], { env })
      assert.deepStrictEqual([exitCode, stdout], [0, "1\n"])
      yield* fails(flags, /AuthenticationError|username|password|credentials/i, env)
    }))

  it.live("takes a password from a file, and never says one that is wrong", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* files.writeFileString(`${folder}/right`, "cassandra\n")
      yield* files.writeFileString(`${folder}/wrong`, "sesame-street\n")
      const env = { CASSANDRA_PASSWORD: undefined }
      const right = yield* cli([...count, "--password-file", `${folder}/right`], { env })
      assert.deepStrictEqual([right.exitCode, right.stdout], [0, "1\n"])
      for (const level of [[], ["--log-level", "debug"]]) {
        const stderr = yield* fails(["--password-file", `${folder}/wrong`, ...level], /username|password|credentials/i)
        assert.notInclude(stderr, "sesame-street")
      }
      yield* fails(
        ["--password-file", `${folder}/none`],
        /^effect-cassandra: the password file .*none cannot be read\n$/,
        env
      )
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("is encrypted where a flag says so, or names a file, over an environment that says no", () =>
    Effect.gen(function*() {
      const { CASSANDRA_TLS_CA_FILE: ca } = process.env
      const without = { CASSANDRA_TLS: "false", CASSANDRA_TLS_CA_FILE: undefined }
      const named = yield* cli([...count, "--tls-ca-file", ca!], { env: without })
      assert.deepStrictEqual([named.exitCode, named.stdout], [0, "1\n"])
      const folder = yield* temporaryFolder
      const files = yield* FileSystem.FileSystem
      yield* files.writeFileString(`${folder}/other.pem`, makeAuthority("nobody").cert)
      // Of another authority: so it was not without encryption that the first one was let in.
      yield* fails(["--tls-ca-file", `${folder}/other.pem`], /certificate|authorit/i, without)
      // The certificate of the test server is its own authority, which nobody trusts who is not told to.
      yield* fails(["--tls"], /certificate|authorit/i, without)
      const off = yield* cli([...count, "--no-tls"], {
        env: { CASSANDRA_TLS: "true", CASSANDRA_TLS_CA_FILE: undefined }
      })
      assert.deepStrictEqual([off.exitCode, off.stdout], [0, "1\n"])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("needs to be told where, and a password with a name", () =>
    Effect.gen(function*() {
      const { exitCode, stderr } = yield* cli(count, { env: { CASSANDRA_CONTACT_POINTS: undefined } })
      assert.strictEqual(exitCode, 2)
      assert.strictEqual(
        stderr,
        "effect-cassandra: where is Cassandra? Give --contact-points, or set CASSANDRA_CONTACT_POINTS\n"
      )
      yield* fails([], /password/, { CASSANDRA_PASSWORD: undefined })
      yield* fails([], /^effect-cassandra: [^\n]*CASSANDRA_PORT[^\n]*\n$/, { CASSANDRA_PORT: "many" })
    }))

  it.live("asks for the password in a terminal, and does not show it", () =>
    Effect.gen(function*() {
      const shown: Array<string> = []
      const keys = yield* Queue.make<Terminal.UserInput, Cause.Done>()
      const type = (input: string, name = input) =>
        Queue.offer(keys, { input: Option.some(input), key: { name, ctrl: false, meta: false, shift: false } })
      yield* Effect.forEach("cassandra", (letter) => type(letter))
      yield* type("\r", "return")
      const terminal = Terminal.make({
        columns: Effect.succeed(80),
        rows: Effect.succeed(24),
        size: Effect.die("not asked for"),
        readInput: Effect.succeed(keys),
        readLine: Effect.die("not asked for"),
        display: (text) => Effect.sync(() => void shown.push(text))
      })
      const yes = Effect.succeed(true)
      const stdio = Stdio.layerTest({ stdinIsTerminal: yes, stdoutIsTerminal: yes })
      const { CASSANDRA_PASSWORD: _, ...variables } = process.env as Record<string, string>
      const [row] = yield* cql`SELECT key FROM system.local`.pipe(
        Effect.provide(Connection.layer(withoutFlags)),
        Effect.provideService(Terminal.Terminal, terminal),
        Effect.provide(stdio),
        Effect.provide(NodeServices.layer),
        withVariables(variables)
      )
      assert.strictEqual(row!["key"], "local")
      assert.include(shown.join(""), "Password of cassandra")
      assert.notInclude(shown.join("").replaceAll("Password of cassandra", ""), "assandra")
    }))
})
