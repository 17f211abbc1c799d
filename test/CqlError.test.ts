import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { inspect } from "node:util"
import * as Errors from "../src/CqlError.ts"
import { CqlError } from "../src/CqlError.ts"

const secret = "hunter2"

/** As the driver raises it: the value is in the message, in its fields and in its own cause. */
const raw = Object.assign(new Error(`Unable to make int from '${secret}'`, { cause: new Error(secret) }), {
  query: `SELECT '${secret}'`,
  params: [secret]
})

const attempts = [{ node: "10.0.0.1:9042", outcome: "ReadTimeout", durationMillis: 12 }]

const reason = new Errors.ReadTimeout({
  message: "1 of 2 replicas answered",
  consistency: "localQuorum",
  received: 1,
  blockFor: 2,
  dataPresent: false
})

const make = (): CqlError =>
  Errors.make({ reason, statement: "SELECT a FROM t WHERE b = ?", coordinator: "10.0.0.1:9042", attempts, cause: raw })

const rendering = [
  "CqlError: 1 of 2 replicas answered",
  "  [ReadTimeout] from 10.0.0.1:9042",
  "",
  "  SELECT a FROM t WHERE b = ?",
  "",
  "  attempts",
  "    10.0.0.1:9042   ReadTimeout   after 12 ms",
  "  hint: a read can be tried again; when it stays, read less at once or look for tombstones"
].join("\n")

const indented = rendering.replaceAll("\n", "\n  ")

/** One of each, with all that it may have. */
const everyReason: { readonly [Tag in Errors.Reason["_tag"]]: Extract<Errors.Reason, { readonly _tag: Tag }> } = {
  ConnectionError: new Errors.ConnectionError({ message: "m", written: true }),
  NoHostAvailable: new Errors.NoHostAvailable({ message: "m", nodes: [{ node: "a:1", error: "down" }] }),
  AuthenticationError: new Errors.AuthenticationError({ message: "m" }),
  Unauthorized: new Errors.Unauthorized({ message: "m" }),
  CqlSyntaxError: new Errors.CqlSyntaxError({ message: "m", line: 1, column: 2 }),
  InvalidQuery: new Errors.InvalidQuery({ message: "m" }),
  InvalidConfig: new Errors.InvalidConfig({ message: "m", field: "f", expected: "e" }),
  InvalidParameter: new Errors.InvalidParameter({
    message: "m",
    index: 0,
    parameter: "n",
    expected: "e",
    found: "f",
    hint: "h"
  }),
  AlreadyExists: new Errors.AlreadyExists({ message: "m", keyspace: "k", table: "t" }),
  Unavailable: new Errors.Unavailable({ message: "m", consistency: "one", required: 1, alive: 0 }),
  ReadTimeout: reason,
  WriteTimeout: new Errors.WriteTimeout({
    message: "m",
    consistency: "one",
    received: 0,
    blockFor: 1,
    writeType: "SIMPLE"
  }),
  CasWriteUnknown: new Errors.CasWriteUnknown({ message: "m", consistency: "serial", received: 0, blockFor: 1 }),
  ReadFailure: new Errors.ReadFailure({
    message: "m",
    consistency: "one",
    received: 0,
    blockFor: 1,
    failures: 1,
    dataPresent: true
  }),
  WriteFailure: new Errors.WriteFailure({
    message: "m",
    consistency: "one",
    received: 0,
    blockFor: 1,
    failures: 1,
    writeType: "SIMPLE"
  }),
  FunctionFailure: new Errors.FunctionFailure({
    message: "m",
    keyspace: "k",
    functionName: "f",
    argumentTypes: ["int"]
  }),
  Overloaded: new Errors.Overloaded({ message: "m" }),
  Bootstrapping: new Errors.Bootstrapping({ message: "m" }),
  Truncate: new Errors.Truncate({ message: "m" }),
  ServerError: new Errors.ServerError({ message: "m", code: 0 }),
  ProtocolError: new Errors.ProtocolError({ message: "m" }),
  Unprepared: new Errors.Unprepared({ message: "m" }),
  ClientTimeout: new Errors.ClientTimeout({ message: "m", timeoutMillis: 1, phase: "queue" }),
  AdmissionRefused: new Errors.AdmissionRefused({ message: "m", inFlight: 1, queued: 2, limit: 3 }),
  CircuitOpen: new Errors.CircuitOpen({ message: "m", retryAfterMillis: 5 }),
  InvalidPageState: new Errors.InvalidPageState({ message: "m" }),
  TooManyRows: new Errors.TooManyRows({ message: "m", limit: 10 }),
  StatementMismatch: new Errors.StatementMismatch({ message: "m", problems: ["p"], table: "t" }),
  SessionClosed: new Errors.SessionClosed({ message: "m" }),
  UnsupportedDriver: new Errors.UnsupportedDriver({ message: "m" }),
  UnknownError: new Errors.UnknownError({ message: "m" })
}

describe("recovery", () => {
  const failing: Effect.Effect<string, CqlError> = Effect.fail(make())

  it.effect("from one reason, with its fields", () =>
    Effect.gen(function*() {
      const handled = failing.pipe(
        Effect.catchReason("CqlError", "ReadTimeout", (timeout, error) => {
          // Typed: a field of another reason would not compile.
          const received: number = timeout.received
          const consistency: Errors.ReadTimeout["consistency"] = timeout.consistency
          return Effect.succeed(`${received} of ${timeout.blockFor} at ${consistency}: ${error.statement}`)
        })
      )
      assert.strictEqual(yield* handled, "1 of 2 at localQuorum: SELECT a FROM t WHERE b = ?")
    }))

  it.effect("leaves other reasons in the error", () =>
    Effect.gen(function*() {
      const handled = failing.pipe(
        Effect.catchReason("CqlError", "Overloaded", () => Effect.succeed("calm")),
        Effect.catchReasons("CqlError", { Unavailable: () => Effect.succeed("calm") })
      )
      const error: CqlError = yield* Effect.flip(handled)
      assert.strictEqual(error.reason, reason)
    }))

  it.effect("may have the reasons themselves in the error channel", () =>
    Effect.gen(function*() {
      const unwrapped: Effect.Effect<string, Errors.Reason> = Effect.unwrapReason(failing, "CqlError")
      const timeout = yield* Effect.catchTag(unwrapped, "ReadTimeout", (timeout) => Effect.succeed(timeout.blockFor))
      assert.strictEqual(timeout, 2)
    }))

  it("does not compile for reasons that there are not", () => {
    // @ts-expect-error
    void failing.pipe(Effect.catchReason("CqlError", "Nonsense", () => Effect.succeed("")))
    // @ts-expect-error
    void failing.pipe(Effect.catchReason("CqlError", "Overloaded", (overloaded) => Effect.succeed(overloaded.received)))
  })

  it.effect("is an effect to yield", () =>
    Effect.gen(function*() {
      const error = make()
      const program = Effect.gen(function*() {
        return yield* error
      })
      assert.deepStrictEqual(yield* Effect.exit(program), Exit.fail(error))
    }))
})

describe("what it holds", () => {
  it("is what it was made with", () => {
    const error = make()
    assert.strictEqual(error._tag, "CqlError")
    assert.strictEqual(error.name, "CqlError")
    assert.strictEqual(error.message, "1 of 2 replicas answered")
    assert.strictEqual(error.statement, "SELECT a FROM t WHERE b = ?")
    assert.strictEqual(error.coordinator, "10.0.0.1:9042")
    assert.deepStrictEqual(error.attempts, attempts)
    assert.instanceOf(error, Error)
    assert.strictEqual(error.reason.name, "ReadTimeout")
  })

  it("has no attempts where none were made", () => {
    assert.deepStrictEqual(new CqlError({ reason }).attempts, [])
    assert.isFalse("statement" in Errors.make({ reason }))
  })

  it("is known by a guard", () => {
    assert.isTrue(CqlError.is(make()))
    for (const other of [reason, raw, { _tag: "CqlError" }, null]) assert.isFalse(CqlError.is(other))
  })

  it("masks a password that its statement spells out", () => {
    const error = Errors.make({ reason, statement: `CREATE ROLE ada WITH PASSWORD = '${secret}'` })
    assert.strictEqual(error.statement, "CREATE ROLE ada WITH PASSWORD = ‹value›")
    assert.notInclude(JSON.stringify(error) + String(error), secret)
  })

  it("refuses fields that are not there", () => {
    // @ts-expect-error
    assert.throws(() => new Errors.Unavailable({ message: "m", consistency: "ONE", required: 1, alive: 0 }))
    // @ts-expect-error
    assert.throws(() => new CqlError({ reason: { _tag: "Nonsense" } }))
    assert.isAbove(Error.stackTraceLimit, 0)
  })
})

describe("how it is printed", () => {
  it("whole by toString, inspect and stack", () => {
    const error = make()
    assert.strictEqual(String(error), rendering)
    assert.strictEqual(inspect(error), rendering)
    assert.strictEqual(error.stack, rendering)
    assert.strictEqual(inspect({ error }), `{\n  error: ${indented}\n}`)
  })

  it("whole by Cause.pretty", () => {
    assert.strictEqual(Cause.pretty(Cause.fail(make())), rendering)
    assert.strictEqual(Cause.pretty(Cause.die(make())), rendering)
  })

  it.effect("whole by loggers, of a cause and of the error", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const capture = (logger: Logger.Logger<unknown, string>) =>
        Logger.layer([Logger.map(logger, (line) => void logged.push(line))])
      yield* Effect.logError("failed", Cause.fail(make())).pipe(Effect.provide(capture(Logger.formatSimple)))
      yield* Effect.logError("failed", Cause.fail(make())).pipe(Effect.provide(capture(Logger.formatJson)))
      assert.include(logged[0], `cause="${rendering}"`)
      assert.strictEqual(JSON.parse(logged[1]!).cause, rendering)
    }))

  it("by runMain and as an uncaught rejection", () => {
    const source = (run: string) => `
      import * as Effect from "effect/Effect"
      import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
      import * as Errors from "./src/CqlError.ts"
      const error = Errors.make({
        reason: new Errors.CqlSyntaxError({ message: "line 1:9 mismatched input 'FORM'", line: 1, column: 9 }),
        statement: "SELECT * FORM t",
        cause: new Error("${secret}")
      })
      const find = Effect.fn("findUser")(function*() { return yield* error })
      ${run}
    `
    const runs = ["NodeRuntime.runMain(find())", "await Effect.runPromise(find())"]
    for (const run of runs) {
      const { status, stderr, stdout } = spawnSync(process.execPath, [
        "--input-type=module-typescript",
        "-e",
        source(run)
      ], {
        encoding: "utf8",
        cwd: new URL("..", import.meta.url)
      })
      assert.strictEqual(status, 1)
      const printed = stdout + stderr
      assert.include(
        printed,
        "CqlError: line 1:9 mismatched input 'FORM'\n  [CqlSyntaxError]\n\n  SELECT * FORM t\n           ^\n"
      )
      assert.notInclude(printed, secret)
      if (run.includes("runMain")) assert.match(printed, /hint: .*\n {4}at findUser /)
    }
  })

  it("with a hint or without for every reason, in lines that Effect does not cut", () => {
    for (const reason of Object.values(everyReason)) {
      const error = Errors.make({ reason, statement: "SELECT a FROM t" })
      assert.strictEqual(Cause.pretty(Cause.fail(error)), String(error))
      assert.include(String(error), `\n  [${reason._tag}]\n`)
    }
  })

  it("keeps what somebody else writes into its stack", () => {
    const error = make()
    error.stack = "rewritten"
    assert.strictEqual(error.stack, "rewritten")
  })
})

describe("what the driver raised", () => {
  const error = make()

  it("is kept for a debugger", () => {
    assert.strictEqual(error.driverError, raw)
    assert.isUndefined(Errors.make({ reason }).driverError)
  })

  const outputs: ReadonlyArray<readonly [name: string, print: () => string]> = [
    ["JSON.stringify", () => JSON.stringify({ error, reason: error.reason })],
    ["inspect", () => inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true })],
    ["inspect without its own say", () => inspect(error, { customInspect: false, showHidden: true, depth: 20 })],
    ["toString", () => String(error)],
    ["stack", () => String(error.stack)],
    ["message", () => error.message],
    ["Cause.pretty", () => Cause.pretty(Cause.combine(Cause.fail(error), Cause.die(error)))],
    ["Cause.prettyErrors", () => inspect(Cause.prettyErrors(Cause.fail(error)), { depth: 20, showHidden: true })],
    [
      "an exit",
      () => String(Exit.fail(error)) + JSON.stringify(Exit.fail(error)) + inspect(Exit.fail(error), { depth: 20 })
    ],
    ["a copy", () => JSON.stringify({ ...error }) + JSON.stringify(Object.assign({}, error))],
    ["its keys", () => Reflect.ownKeys(error).map(String).join()],
    ["Schema.encode", () => JSON.stringify(Schema.encodeUnknownSync(CqlError)(error))],
    ["Schema's formatter", () => Schema.toFormatter(CqlError)(error)]
  ]

  for (const [name, print] of outputs) {
    it(`is not shown by ${name}`, () => {
      const printed = print()
      assert.isNotEmpty(printed)
      assert.notInclude(printed, secret)
      assert.notInclude(printed, "Unable to make int")
    })
  }

  it("is not its cause", () => {
    assert.isUndefined(error.cause)
    assert.isFalse("cause" in error)
  })
})

describe("as data", () => {
  it("every reason survives encoding and decoding", () => {
    for (const [tag, reason] of Object.entries(everyReason)) {
      const error = Errors.make({ reason, statement: "SELECT a FROM t", coordinator: "a:1", attempts, cause: raw })
      const json = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(CqlError)(error)))
      const decoded = Schema.decodeUnknownSync(CqlError)(json)
      assert.instanceOf(decoded, CqlError)
      assert.strictEqual(decoded.reason._tag, tag)
      assert.strictEqual(decoded.reason.constructor, reason.constructor)
      assert.strictEqual(String(decoded), String(error))
      assert.deepStrictEqual(Schema.encodeUnknownSync(CqlError)(decoded), Schema.encodeUnknownSync(CqlError)(error))
      assert.isUndefined(decoded.driverError)
    }
  })

  it("is encoded as plain fields", () => {
    assert.deepStrictEqual(Schema.encodeUnknownSync(CqlError)(make()), {
      _tag: "CqlError",
      reason: {
        _tag: "ReadTimeout",
        message: "1 of 2 replicas answered",
        consistency: "localQuorum",
        received: 1,
        blockFor: 2,
        dataPresent: false
      },
      statement: "SELECT a FROM t WHERE b = ?",
      coordinator: "10.0.0.1:9042",
      attempts
    })
  })
})

describe("cost", () => {
  const frames = /\n\s+at /

  it("no error has frames, whoever makes it", () => {
    for (const reason of Object.values(everyReason)) {
      assert.notMatch(String(reason.stack), frames)
      assert.notMatch(String(new CqlError({ reason }).stack), frames)
    }
    assert.strictEqual(everyReason.Overloaded.stack, "Overloaded: m")
    assert.notMatch(String(Errors.sessionClosed().stack), frames)
    assert.notMatch(String(Errors.admissionRefused({ inFlight: 1, queued: 2, limit: 3 }).stack), frames)
    assert.match(String(new Error("others still have them").stack), frames)
  })

  it("nothing is rendered before it is read", () => {
    let read = 0
    const lazy = Object.defineProperty(new Errors.Overloaded({ message: "busy" }), "message", {
      get: () => {
        read++
        return "busy"
      }
    })
    const error = new CqlError({ reason: lazy })
    const made = read
    void error.stack
    assert.isAbove(read, made)
    assert.strictEqual(made, 0)
  })

  it("a closed session's reason is made once", () => {
    assert.strictEqual(Errors.sessionClosed("SELECT 1").reason, Errors.sessionClosed("SELECT 2").reason)
    assert.strictEqual(Errors.sessionClosed("SELECT 2").statement, "SELECT 2")
  })

  it("an open circuit tells when to come again, or that somebody is trying", () => {
    const open = Errors.circuitOpen(1234.5, "SELECT 1")
    assert.deepInclude({ ...open.reason }, { _tag: "CircuitOpen", retryAfterMillis: 1234.5 })
    assert.strictEqual(open.message, "too many statements have failed, and none is sent: the next try is in 1235 ms")
    assert.strictEqual(open.statement, "SELECT 1")
    assert.strictEqual(
      Errors.circuitOpen(0, "SELECT 1").message,
      "too many statements have failed, and none is sent: one statement is trying whether the cluster has recovered"
    )
  })

  it("a refusal tells the load", () => {
    const refused = Errors.admissionRefused({ inFlight: 1024, queued: 16384, limit: 1024 }, "SELECT 1")
    assert.deepInclude({ ...refused.reason }, { _tag: "AdmissionRefused", inFlight: 1024, queued: 16384, limit: 1024 })
    assert.strictEqual(
      refused.message,
      "1024 requests are in flight and 16384 wait for their turn: no more are taken on"
    )
  })
})
