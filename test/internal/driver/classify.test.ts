import { assert, describe, it } from "@effect/vitest"
import cassandra from "cassandra-driver"
import * as Schema from "effect/Schema"
import { createRequire } from "node:module"
import * as Errors from "../../../src/CqlError.ts"
import { classify } from "../../../src/internal/driver/classify.ts"
import type * as Protocol from "../../support/protocol.ts"
import * as Reply from "../../support/Reply.ts"

const { errors } = cassandra

const requireDriver = createRequire(import.meta.url)

const { FrameReader } = requireDriver("cassandra-driver/lib/readers.js") as {
  readonly FrameReader: new(header: object, body: Buffer) => { readonly readError: () => Error }
}

/** What the driver makes of the bytes that a server sends. */
const readError = (reply: Reply.Reply): Error => {
  assert(reply._tag === "Response")
  return new FrameReader({ version: 4, opcode: 0 }, Buffer.concat(reply.response.body)).readError()
}

/** The fields of a reason, without what it has of an error. */
const fieldsOf = (reason: Errors.Reason): Record<string, unknown> => ({ ...reason, message: reason.message })

// The typings call it abstract.
const DriverError = errors.DriverError as unknown as new(message: string) => Error

const driverError = (message: string, properties: Record<string, unknown> = {}): Error =>
  Object.assign(new DriverError(message), properties)

const systemError = (code: string, message: string, properties: Record<string, unknown> = {}): Error =>
  Object.assign(new Error(message), { code, ...properties })

const noHostAvailable = (innerErrors: Record<string, unknown> | null, message?: string): Error =>
  new errors.NoHostAvailableError(innerErrors as Record<string, Error>, message)

describe("what a server answers", () => {
  const cases: ReadonlyArray<readonly [name: string, reply: Reply.Reply, expected: Record<string, unknown>]> = [
    ["0x0000", Reply.serverError("java.lang.NullPointerException"), {
      _tag: "ServerError",
      code: 0,
      message: "java.lang.NullPointerException"
    }],
    ["0x000a", Reply.protocolError("Invalid version"), { _tag: "ProtocolError", message: "Invalid version" }],
    ["0x0100", Reply.badCredentials("Bad credentials"), { _tag: "AuthenticationError", message: "Bad credentials" }],
    ["0x1000", Reply.unavailable({ consistency: "LOCAL_QUORUM", required: 2, alive: 1 }), {
      _tag: "Unavailable",
      consistency: "localQuorum",
      required: 2,
      alive: 1,
      message: "Not enough replicas available for query at consistency LOCAL_QUORUM (2 required but only 1 alive)"
    }],
    ["0x1001", Reply.overloaded("Too many requests"), { _tag: "Overloaded", message: "Too many requests" }],
    ["0x1002", Reply.bootstrapping("Not yet"), { _tag: "Bootstrapping", message: "Not yet" }],
    ["0x1003", Reply.truncateError("Cannot truncate"), { _tag: "Truncate", message: "Cannot truncate" }],
    ["0x1100", Reply.writeTimeout({ consistency: "QUORUM", received: 1, blockFor: 2, writeType: "BATCH_LOG" }), {
      _tag: "WriteTimeout",
      consistency: "quorum",
      received: 1,
      blockFor: 2,
      writeType: "BATCH_LOG",
      message: "Server timeout during batchlog write at consistency QUORUM " +
        "(1 peer(s) acknowledged the write over 2 required)"
    }],
    ["0x1100 of a CAS", Reply.writeTimeout({ consistency: "SERIAL", received: 1, blockFor: 2, writeType: "CAS" }), {
      _tag: "CasWriteUnknown",
      consistency: "serial",
      received: 1,
      blockFor: 2,
      message:
        "Server timeout during write query at consistency SERIAL (1 peer(s) acknowledged the write over 2 required)"
    }],
    ["0x1200", Reply.readTimeout({ consistency: "ALL", received: 2, blockFor: 3, dataPresent: true }), {
      _tag: "ReadTimeout",
      consistency: "all",
      received: 2,
      blockFor: 3,
      dataPresent: true,
      message: "Server timeout during read query at consistency ALL (2 replica(s) responded over 3 required)"
    }],
    ["0x1200 without data", Reply.readTimeout({ consistency: "LOCAL_ONE", received: 1, blockFor: 1 }), {
      _tag: "ReadTimeout",
      consistency: "localOne",
      received: 1,
      blockFor: 1,
      dataPresent: false,
      message:
        "Server timeout during read query at consistency LOCAL_ONE (the replica queried for the data didn't respond)"
    }],
    ["0x1300", Reply.readFailure({ consistency: "TWO", received: 1, blockFor: 2, failures: 1, dataPresent: true }), {
      _tag: "ReadFailure",
      consistency: "two",
      received: 1,
      blockFor: 2,
      failures: 1,
      dataPresent: true,
      message: "Server failure during read query at consistency TWO " +
        "(2 responses were required but only 1 replicas responded, 1 failed)"
    }],
    ["0x1400", Reply.functionFailure({ keyspace: "shop", functionName: "price", argumentTypes: ["int", "text"] }), {
      _tag: "FunctionFailure",
      keyspace: "shop",
      functionName: "price",
      argumentTypes: ["int", "text"],
      message: "execution of 'shop.price' failed"
    }],
    ["0x1500", Reply.writeFailure({ consistency: "EACH_QUORUM", received: 1, blockFor: 2, failures: 1 }), {
      _tag: "WriteFailure",
      consistency: "eachQuorum",
      received: 1,
      blockFor: 2,
      failures: 1,
      writeType: "SIMPLE",
      message: "Server failure during write query at consistency EACH_QUORUM " +
        "(2 responses were required but only 1 replicas responded, 1 failed)"
    }],
    ["0x1600", Reply.error(0x1600, "CDC log is full"), {
      _tag: "ServerError",
      code: 0x1600,
      message: "CDC log is full"
    }],
    ["0x1700", Reply.error(0x1700, "CAS operation result is unknown - proposal accepted by 1 but not a quorum."), {
      _tag: "CasWriteUnknown",
      consistency: "serial",
      received: 1,
      blockFor: 0,
      message: "CAS operation result is unknown - proposal accepted by 1 but not a quorum."
    }],
    ["0x2000", Reply.syntax("line 3:14 no viable alternative at input 'FORM'"), {
      _tag: "CqlSyntaxError",
      line: 3,
      column: 14,
      message: "line 3:14 no viable alternative at input 'FORM'"
    }],
    ["0x2000 at the end of the text", Reply.syntax("line 0:-1 mismatched input '<EOF>' expecting ')'"), {
      _tag: "CqlSyntaxError",
      message: "line 0:-1 mismatched input '<EOF>' expecting ')'"
    }],
    ["0x2100", Reply.unauthorized("User ada has no SELECT permission"), {
      _tag: "Unauthorized",
      message: "User ada has no SELECT permission"
    }],
    ["0x2200", Reply.invalid("table nope does not exist"), {
      _tag: "InvalidQuery",
      message: "table nope does not exist"
    }],
    ["0x2300", Reply.configError("Unable to find replication strategy"), {
      _tag: "InvalidQuery",
      message: "Unable to find replication strategy"
    }],
    ["0x2400", Reply.alreadyExists({ keyspace: "shop", table: "users" }), {
      _tag: "AlreadyExists",
      keyspace: "shop",
      table: "users",
      message: "Cannot add already existing table"
    }],
    ["0x2400 of a keyspace", Reply.alreadyExists({ keyspace: "shop" }), {
      _tag: "AlreadyExists",
      keyspace: "shop",
      message: "Cannot add already existing keyspace"
    }],
    ["0x2500", Reply.unprepared(Buffer.from("cafe", "hex")), {
      _tag: "Unprepared",
      message: "Prepared query with ID cafe not found"
    }],
    ["a code of a later protocol", Reply.error(0x7777, "no idea"), {
      _tag: "ServerError",
      code: 0x7777,
      message: "no idea"
    }]
  ]

  for (const [name, reply, expected] of cases) {
    it(`${name} is ${String(expected["_tag"])}`, () => {
      const reason = classify(readError(reply))
      assert.isTrue(Schema.is(Errors.Reason)(reason))
      assert.deepStrictEqual(fieldsOf(reason), expected)
    })
  }

  it("has every consistency", () => {
    const levels: ReadonlyArray<readonly [Protocol.Consistency, string]> = [
      ["ANY", "any"],
      ["ONE", "one"],
      ["TWO", "two"],
      ["THREE", "three"],
      ["QUORUM", "quorum"],
      ["ALL", "all"],
      ["LOCAL_QUORUM", "localQuorum"],
      ["EACH_QUORUM", "eachQuorum"],
      ["SERIAL", "serial"],
      ["LOCAL_SERIAL", "localSerial"],
      ["LOCAL_ONE", "localOne"]
    ]
    for (const [consistency, expected] of levels) {
      const reason = classify(readError(Reply.unavailable({ consistency, required: 2, alive: 1 })))
      assert.deepInclude(fieldsOf(reason), { _tag: "Unavailable", consistency: expected })
    }
  })

  it("is a ServerError when the fields of its code are not there", () => {
    for (const code of [0x1000, 0x1100, 0x1200, 0x1300, 0x1500]) {
      const reason = classify(new errors.ResponseError(code, "cut short"))
      assert.deepStrictEqual(fieldsOf(reason), { _tag: "ServerError", code, message: "cut short" })
    }
  })

  it("is one line, and cannot steer a terminal", () => {
    const reason = classify(readError(Reply.serverError("\u001b[31mfirst\r\n\tsecond\u0007 \n third\n")))
    assert.strictEqual(reason.message, "[31mfirst second third")
  })
})

describe("values and secrets", () => {
  it("are masked where a message repeats them", () => {
    const error = readError(Reply.invalid("Unable to make int from 'hunter2'"))
    const reason = classify(error, { values: ["hunter2"] })
    assert.strictEqual(reason.message, "Unable to make int from '‹value›'")
    assert.strictEqual(
      classify(new TypeError("Cannot convert hunter2 to a BigInt"), { values: ["hunter2"] }).message,
      "Cannot convert ‹value› to a BigInt"
    )
  })

  it("are masked in the nodes of a NoHostAvailable, too", () => {
    const reason = classify(noHostAvailable({ "a:1": new Error("bad hunter2"), "b:1": "said hunter2" }), {
      values: ["hunter2"]
    })
    assert.strictEqual(reason._tag, "NoHostAvailable")
    assert.notInclude(JSON.stringify(reason), "hunter2")
  })

  it("do not garble what was made without them", () => {
    const values = [1, 9, 2, "QUORUM", "FORM"]
    const syntax = classify(readError(Reply.syntax("line 1:9 no viable alternative at input 'FORM'")), { values })
    assert.deepStrictEqual(fieldsOf(syntax), {
      _tag: "CqlSyntaxError",
      line: 1,
      column: 9,
      message: "line 1:9 no viable alternative at input 'FORM'"
    })
    const unavailable = classify(readError(Reply.unavailable({ consistency: "QUORUM", required: 2, alive: 1 })), {
      values
    })
    assert.include(unavailable.message, "at consistency QUORUM (2 required but only 1 alive)")
  })

  it("are masked everywhere when they are secrets", () => {
    const context = { secrets: ["hunter2"] }
    for (
      const error of [
        readError(Reply.badCredentials("wrong: hunter2")),
        readError(Reply.syntax("line 1:9 hunter2")),
        systemError("ECONNRESET", "hunter2"),
        new errors.AuthenticationError("hunter2")
      ]
    ) assert.notInclude(classify(error, context).message, "hunter2")
  })

  it("are masked where a server quotes the password of a role statement", () => {
    const statement = "CREATE ROLE ada WITH PASSWORD = 'hunter2' AND LOGIN=true AND NOPE = 1"
    const quotes = [
      "line 1:61 mismatched input 'NOPE' (...WITH PASSWORD = 'hunter2' AND LOGIN=true AND [NOPE]...)",
      "line 1:61 mismatched input 'NOPE' (...'hunter2' AND LOGIN=true AND [NOPE]...)"
    ]
    for (const quote of quotes) {
      const reason = classify(readError(Reply.syntax(quote)), { statement })
      assert.notInclude(reason.message, "hunter2")
      assert.include(reason.message, "‹value› AND LOGIN=true AND [NOPE]...)")
    }
  })
})

describe("the client's own time limit", () => {
  it("is a ClientTimeout of the attempt", () => {
    const error = new errors.OperationTimedOutError(
      "The host 10.0.0.1:9042 did not reply before timeout 250 ms",
      "10.0.0.1:9042"
    )
    assert.deepStrictEqual(fieldsOf(classify(error)), {
      _tag: "ClientTimeout",
      phase: "attempt",
      timeoutMillis: 250,
      message: "10.0.0.1:9042 did not answer in 250 ms"
    })
    assert.deepInclude(fieldsOf(classify(error, { timeoutMillis: 300.4, node: "node-a" })), {
      timeoutMillis: 300.4,
      message: "node-a did not answer in 300 ms"
    })
  })

  it("is one of the connect where no node was asked", () => {
    const waited = new errors.OperationTimedOutError("A connection could not be acquired before timeout.")
    assert.deepInclude(fieldsOf(classify(waited)), { _tag: "ClientTimeout", phase: "connect" })
    assert.deepStrictEqual(fieldsOf(classify(driverError("Connection timeout"), { timeoutMillis: 5000 })), {
      _tag: "ClientTimeout",
      phase: "connect",
      timeoutMillis: 5000,
      message: "no connection was opened in 5000 ms"
    })
    assert.deepInclude(fieldsOf(classify(driverError("Connection timeout"))), {
      timeoutMillis: 0,
      message: "no connection was opened in time"
    })
  })
})

describe("sockets", () => {
  const closed = (properties: Record<string, unknown>): Error =>
    driverError("Socket was closed", { isSocketError: true, ...properties })

  it("tell whether the request was written", () => {
    assert.deepStrictEqual(fieldsOf(classify(closed({}), { node: "10.0.0.1:9042" })), {
      _tag: "ConnectionError",
      written: true,
      message: "10.0.0.1:9042: the node closed the connection"
    })
    assert.deepStrictEqual(fieldsOf(classify(closed({ requestNotWritten: true }))), {
      _tag: "ConnectionError",
      written: false,
      message: "the node closed the connection"
    })
  })

  it("tell why, where Node knows", () => {
    const innerError = systemError("ECONNRESET", "read ECONNRESET", { syscall: "read", isSocketError: undefined })
    assert.strictEqual(classify(closed({ innerError })).message, "the connection was lost: read ECONNRESET")
  })

  it("that could not be opened were not written to", () => {
    const refused = systemError("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:1", { syscall: "connect" })
    assert.deepStrictEqual(fieldsOf(classify(refused)), {
      _tag: "ConnectionError",
      written: false,
      message: "connect ECONNREFUSED 127.0.0.1:1"
    })
    const cases: ReadonlyArray<readonly [string, string | undefined, boolean]> = [
      ["ENOTFOUND", "getaddrinfo", false],
      ["EAI_AGAIN", "getaddrinfo", false],
      ["EHOSTUNREACH", "connect", false],
      ["ETIMEDOUT", "connect", false],
      ["ECONNRESET", "read", true],
      ["EPIPE", "write", true],
      ["ETIMEDOUT", "read", true]
    ]
    for (const [code, syscall, written] of cases) {
      assert.deepInclude(fieldsOf(classify(systemError(code, `${code}`, { syscall }))), {
        _tag: "ConnectionError",
        written
      }, code)
    }
  })

  it("of a name with several addresses tell each", () => {
    const error = Object.assign(
      new AggregateError([
        systemError("ECONNREFUSED", "connect ECONNREFUSED ::1:9042", { syscall: "connect" }),
        systemError("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:9042", { syscall: "connect" })
      ]),
      { code: "ECONNREFUSED" }
    )
    assert.deepStrictEqual(fieldsOf(classify(error)), {
      _tag: "ConnectionError",
      written: false,
      message: "connect ECONNREFUSED ::1:9042; connect ECONNREFUSED 127.0.0.1:9042"
    })
  })

  it("that are all busy were not written to", () => {
    assert.deepStrictEqual(fieldsOf(classify(new errors.BusyConnectionError("10.0.0.1:9042", 2048, 1))), {
      _tag: "ConnectionError",
      written: false,
      message: "All connections to host 10.0.0.1:9042 are busy, 2048 requests are in-flight on a single connection"
    })
  })

  it("that the client itself ended are a closed session", () => {
    const ended = new Error("the client is closed")
    assert.strictEqual(classify(ended)._tag, "SessionClosed")
    assert.strictEqual(classify(closed({ innerError: ended }))._tag, "SessionClosed")
    assert.strictEqual(classify(driverError("ControlConnection is being shutdown"))._tag, "SessionClosed")
    assert.strictEqual(
      classify(noHostAvailable(null, "Connecting after shutdown is not supported"))._tag,
      "SessionClosed"
    )
  })
})

describe("certificates", () => {
  const choices = ["\"address\"", "{ serverName }", "{ check }", "\"chain\""]

  const untrusted: ReadonlyArray<readonly [code: string, field: string]> = [
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "tls.ca"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "tls.ca"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "tls.ca"],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "tls.ca"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "tls.verify"]
  ]

  for (const [code, field] of untrusted) {
    it(`${code} is a wrong configuration of ${field}, with the choices there are`, () => {
      const reason = classify(noHostAvailable({ "10.0.0.1:9042": systemError(code, "what Node says") }))
      assert.deepInclude(fieldsOf(reason), { _tag: "InvalidConfig", field })
      assert.include(reason.message, "10.0.0.1:9042 cannot be trusted")
      assert.include(reason.message, "what Node says")
      for (const choice of choices) assert.include(reason.message, choice)
    })
  }

  for (const code of ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CERT_REVOKED"]) {
    it(`${code} is the node's, and may be mended while a client waits`, () => {
      const reason = classify(systemError(code, "what Node says"), { node: "10.0.0.1:9042" })
      assert.deepInclude(fieldsOf(reason), { _tag: "ConnectionError", written: false })
      for (const choice of choices) assert.include(reason.message, choice)
    })
  }

  it("of which only one node's is refused are told with that node", () => {
    const reason = classify(noHostAvailable({
      "10.0.0.1:9042": systemError("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"),
      "10.0.0.2:9042": systemError("ECONNREFUSED", "connect ECONNREFUSED 10.0.0.2:9042", { syscall: "connect" })
    }))
    assert.strictEqual(reason._tag, "NoHostAvailable")
  })
})

describe("no host available", () => {
  it("lists what each node said", () => {
    const reason = classify(noHostAvailable({
      "10.0.0.1:9042": systemError("ECONNREFUSED", "connect ECONNREFUSED 10.0.0.1:9042", { syscall: "connect" }),
      "10.0.0.2:9042": "Host considered as DOWN",
      "10.0.0.3:9042": null
    }))
    assert.deepStrictEqual(fieldsOf(reason), {
      _tag: "NoHostAvailable",
      message: "none of 3 nodes could be asked: connect ECONNREFUSED 10.0.0.1:9042, and 2 more",
      nodes: [
        { node: "10.0.0.1:9042", error: "connect ECONNREFUSED 10.0.0.1:9042" },
        { node: "10.0.0.2:9042", error: "Host considered as DOWN" },
        { node: "10.0.0.3:9042", error: "it was not asked" }
      ]
    })
  })

  it("names the node and its failure when there is one", () => {
    const reason = classify(
      noHostAvailable({ "10.0.0.1:9042": new errors.OperationTimedOutError("late", "10.0.0.1:9042") }),
      { timeoutMillis: 100 }
    )
    assert.strictEqual(reason.message, "no node could be asked: 10.0.0.1:9042 did not answer in 100 ms")
  })

  it("may know no node at all", () => {
    assert.deepStrictEqual(fieldsOf(classify(noHostAvailable({}, "No host could be resolved"))), {
      _tag: "NoHostAvailable",
      message: "No host could be resolved",
      nodes: []
    })
    assert.deepInclude(fieldsOf(classify(noHostAvailable(null))), { _tag: "NoHostAvailable", nodes: [] })
  })

  it("is the one reason that all nodes give", () => {
    const same: ReadonlyArray<readonly [() => Error, Errors.Reason["_tag"]]> = [
      [() => new errors.AuthenticationError("Bad credentials"), "AuthenticationError"],
      [() => new errors.ResponseError(0x1001, "Too many requests"), "Overloaded"],
      [() => new errors.ResponseError(0x2500, "Prepared query not found"), "Unprepared"],
      [() => new errors.ArgumentError("localDataCenter was configured as 'dc9'"), "InvalidConfig"]
    ]
    for (const [make, tag] of same) {
      assert.strictEqual(classify(noHostAvailable({ "a:1": make(), "b:1": make() }))._tag, tag)
      assert.strictEqual(
        classify(noHostAvailable({ "a:1": make(), "b:1": "Host considered as DOWN" }))._tag,
        "NoHostAvailable"
      )
      assert.strictEqual(classify(noHostAvailable({ "a:1": make(), "b:1": null }))._tag, "NoHostAvailable")
    }
  })
})

describe("options that the driver refuses", () => {
  const construct = (options: object): unknown => {
    try {
      return new cassandra.Client(options as cassandra.ClientOptions)
    } catch (error) {
      return error
    }
  }

  const valid = { contactPoints: ["127.0.0.1"], localDataCenter: "dc1" }

  it("are named", () => {
    const cases: ReadonlyArray<readonly [options: object, field: string]> = [
      [{ ...valid, contactPoints: [] }, "contactPoints"],
      [{ ...valid, contactPoints: [""] }, "contactPoints"],
      [{ ...valid, credentials: { username: 1 } }, "username"],
      [{ ...valid, cloud: { secureConnectBundle: 1 } }, "secureConnectBundle"],
      [{ ...valid, applicationName: 1 }, "applicationName"],
      [{ ...valid, socketOptions: { readTimeout: "1" } }, "attemptTimeout"],
      [{ ...valid, policies: { retry: {} } }, "driverOptions"],
      [{ ...valid, authProvider: {} }, "driverOptions"],
      [{ ...valid, protocolOptions: { maxVersion: 99 } }, "driverOptions"]
    ]
    for (const [options, field] of cases) {
      const error = construct(options)
      assert.instanceOf(error, Error)
      assert.deepInclude(fieldsOf(classify(error)), { _tag: "InvalidConfig", field, message: (error as Error).message })
    }
  })

  it("are no excuse for defects", () => {
    const defect = new TypeError("Cannot read properties of undefined (reading 'length')")
    assert.strictEqual(classify(defect)._tag, "UnknownError")
  })
})

describe("everything else", () => {
  it("of the driver", () => {
    assert.strictEqual(classify(new errors.NotSupportedError("too old"))._tag, "UnsupportedDriver")
    assert.strictEqual(classify(new errors.DriverInternalError("a bug"))._tag, "UnknownError")
    for (
      const message of [
        "Authentication provider not set",
        "Host 10.0.0.1:9042 requires authentication, but no authenticator found in the options"
      ]
    ) {
      assert.strictEqual(
        classify(new errors.AuthenticationError(message)).message,
        "the node asks for credentials, and none were given"
      )
    }
  })

  it("that is no error at all", () => {
    assert.deepStrictEqual(fieldsOf(classify("so what")), { _tag: "UnknownError", message: "so what" })
    assert.strictEqual(classify(undefined).message, "undefined")
    assert.strictEqual(classify(null)._tag, "UnknownError")
    assert.strictEqual(classify({})._tag, "UnknownError")
    assert.strictEqual(classify({ name: "constructor", message: "x" })._tag, "UnknownError")
    assert.strictEqual(classify({ name: "ResponseError" })._tag, "ServerError")
  })

  it("that was classified before", () => {
    const error = Errors.make({ reason: new Errors.Overloaded({ message: "x" }) })
    assert.strictEqual(classify(error), error.reason)
  })
})

it("knows the errors of a second copy of the driver", () => {
  const path = requireDriver.resolve("cassandra-driver/lib/errors.js")
  const loaded = requireDriver.cache[path]
  delete requireDriver.cache[path]
  const copy = requireDriver("cassandra-driver/lib/errors.js") as typeof errors
  requireDriver.cache[path] = loaded
  assert.notStrictEqual(copy.ResponseError, errors.ResponseError)
  assert.strictEqual(classify(new copy.ResponseError(0x2200, "x"))._tag, "InvalidQuery")
  assert.strictEqual(classify(new copy.OperationTimedOutError("x", "a:1"))._tag, "ClientTimeout")
  assert.strictEqual(classify(new copy.AuthenticationError("x"))._tag, "AuthenticationError")
  const inner = { "a:1": new copy.ResponseError(0x1001, "x") } as never
  assert.strictEqual(classify(new copy.NoHostAvailableError(inner, "x"))._tag, "Overloaded")
})
