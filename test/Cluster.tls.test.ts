import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { writeFile } from "node:fs/promises"
import * as Net from "node:net"
import { join } from "node:path"
import * as Tls from "node:tls"
import { Cluster, Session } from "../src/index.ts"
import * as Certificates from "./support/Certificates.ts"
import { connect, optionsFor, reasonOf, untilNode } from "./support/scripted.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"
import * as TcpListener from "./support/TcpListener.ts"
import { temporaryFolder } from "./testing/support.ts"

const authority = Certificates.makeAuthority("the authority of these tests")
const stranger = Certificates.makeAuthority("another authority")

const local = { addresses: ["127.0.0.1"] }
const past = { validTo: Certificates.hoursFromNow(-0.5) }
const future = { validFrom: Certificates.hoursFromNow(0.5) }

const good = authority.issue(local)
const ofAnotherHost = authority.issue({ addresses: ["10.1.2.3"], names: ["db.example"] })
const expired = authority.issue({ ...local, ...past })
const selfSigned = Certificates.makeSelfSigned(local)

const ofClient = authority.issue()

interface TlsProxy {
  readonly host: string
  readonly port: number
  /** Destroys every connection; new ones are taken. */
  readonly cut: Effect.Effect<void>
  /** Shows another certificate from now on. */
  readonly show: (certificate: Certificates.Certificate) => Effect.Effect<void>
}

/** Speaks TLS, and carries what is inside to the real server of this run, which listens for it in plain. */
const makeProxy = Effect.fnUntraced(function*(
  options: Tls.TlsOptions
): Effect.fn.Return<TlsProxy, unknown, Scope.Scope> {
  const { contactPoints, port } = yield* Session.config
  const server = Tls.createServer(options, (client) => {
    const target = Net.connect({ host: contactPoints![0]!, port: port! })
    client.on("error", () => target.destroy())
    target.on("error", () => client.destroy())
    client.once("close", () => target.destroy())
    client.pipe(target).pipe(client)
  })
  const listener = yield* TcpListener.make({
    host: "127.0.0.1",
    port: 0,
    onConnection: (socket) => void server.emit("connection", socket)
  })
  return {
    host: listener.host,
    port: listener.port,
    cut: listener.dropConnections,
    show: (certificate) => Effect.sync(() => server.setSecureContext({ ...options, ...certificate }))
  }
})

/** As whom the environment says. */
const optionsAt = (proxy: TlsProxy, tls: Cluster.Options["tls"]): Effect.Effect<Cluster.Options, unknown> =>
  Effect.map(Session.config, ({ password, username }) => ({ ...optionsFor(proxy), username, password, tls }))

const connectTo = (options: Tls.TlsOptions, tls: Cluster.Options["tls"]) =>
  Effect.gen(function*() {
    const proxy = yield* makeProxy(options)
    yield* Cluster.make(yield* optionsAt(proxy, tls))
  })

const trusting: Cluster.Tls = { ca: authority.cert }

const choicesOfVerify = ["`tls.verify`", "\"address\"", "{ serverName }", "{ check }", "\"chain\""]
const choicesOfCa = ["`tls.ca`", "`tls.caFile`"]
const choicesOfClient = ["`tls.cert`", "`tls.certFile`", "`tls.key`", "`tls.keyFile`"]

const includesAll = (text: string, parts: ReadonlyArray<string>): void => {
  for (const part of parts) assert.include(text, part)
}

describe("a node's certificate is accepted", () => {
  let asked: string | undefined
  const accepted: ReadonlyArray<readonly [what: string, certificate: Certificates.Certificate, tls: Cluster.Tls]> = [
    ["that is for the address that was dialled", good, trusting],
    ["that is for the address that was dialled, said in words", good, { ...trusting, verify: "address" }],
    ["that is for the one name that is chosen", ofAnotherHost, { ...trusting, verify: { serverName: "db.example" } }],
    ["that a function accepts", ofAnotherHost, {
      ...trusting,
      verify: {
        check: (host, certificate) => {
          asked = `${host} ${certificate.subjectaltname}`
          return undefined
        }
      }
    }],
    ["of any name, where the chain is enough", ofAnotherHost, { ...trusting, verify: "chain" }],
    ["that is its own authority, and known", selfSigned, { ca: selfSigned.cert }],
    ["of one of several authorities", good, { ca: stranger.cert + authority.cert }]
  ]

  for (const [what, certificate, tls] of accepted) {
    it.live(what, () => connectTo(certificate, tls))
  }

  it.live("that a function accepts, which is told of what it accepts", () =>
    Effect.gen(function*() {
      asked = undefined
      const [, certificate, tls] = accepted.find(([, , { verify }]) => typeof verify === "object" && "check" in verify)!
      yield* connectTo(certificate, tls)
      assert.strictEqual(asked, "127.0.0.1 IP Address:10.1.2.3, DNS:db.example")
    }))

  it.live("whose authority is in a file", () =>
    Effect.gen(function*() {
      const caFile = join(yield* temporaryFolder, "ca.pem")
      yield* Effect.promise(() => writeFile(caFile, authority.cert))
      yield* connectTo(good, { caFile })
    }))
})

describe("a node's certificate is refused", () => {
  interface Refusal {
    readonly certificate: Certificates.Certificate
    readonly tls: Cluster.Options["tls"]
    readonly field: "tls.ca" | "tls.verify"
    readonly told: ReadonlyArray<string>
  }
  const byCheck = (check: () => Error | undefined): Cluster.Tls => ({ ...trusting, verify: { check } })
  const refused: Readonly<Record<string, Refusal>> = {
    "of an authority that is not known": {
      certificate: stranger.issue(local),
      tls: trusting,
      field: "tls.ca",
      told: ["an authority not known here", ...choicesOfCa, ...choicesOfVerify]
    },
    "of an authority that the system does not know": {
      certificate: good,
      tls: true,
      field: "tls.ca",
      told: ["an authority not known here", ...choicesOfCa]
    },
    "whatever it is for, where only the chain is verified and is not known": {
      certificate: stranger.issue(local),
      tls: { ...trusting, verify: "chain" },
      field: "tls.ca",
      told: choicesOfCa
    },
    "that is its own authority": {
      certificate: selfSigned,
      tls: trusting,
      field: "tls.ca",
      told: ["signed by itself", ...choicesOfCa, ...choicesOfVerify]
    },
    "of another host": {
      certificate: ofAnotherHost,
      tls: trusting,
      field: "tls.verify",
      told: ["for another name or address", "127.0.0.1", "10.1.2.3", ...choicesOfVerify]
    },
    "of another name than the chosen one": {
      certificate: good,
      tls: { ...trusting, verify: { serverName: "db.example" } },
      field: "tls.verify",
      told: ["for another name or address", "db.example", ...choicesOfVerify]
    },
    "that a function does not accept": {
      certificate: good,
      tls: byCheck(() => new Error("not one of ours")),
      field: "tls.verify",
      told: ["the function of `tls.verify` does not accept it", "not one of ours"]
    },
    "for which a function throws": {
      certificate: good,
      tls: byCheck(() => {
        throw new Error("hunter2")
      }),
      field: "tls.verify",
      told: ["the function of `tls.verify` does not accept it (it threw)"]
    },
    "for which a function gives neither an error nor undefined": {
      certificate: good,
      tls: byCheck(() => Promise.resolve() as never),
      field: "tls.verify",
      told: ["neither an error nor undefined"]
    }
  }

  for (const [what, { certificate, field, tls, told }] of Object.entries(refused)) {
    it.live(`${what}, with the choices that there are`, () =>
      Effect.gen(function*() {
        const reason = yield* reasonOf("InvalidConfig")(connectTo(certificate, tls))
        assert.strictEqual(reason.field, field)
        assert.include(reason.message, "cannot be trusted")
        includesAll(reason.message, told)
        assert.notInclude(reason.message, "hunter2")
      }))
  }

  for (const verify of ["address", "chain", { check: () => undefined }] as const) {
    for (
      const [what, validity, told] of [["out of date", past, "has expired"], [
        "early",
        future,
        "not valid yet"
      ]] as const
    ) {
      it.live(`that is ${what}, which is the node's to mend, whatever else is verified: ${JSON.stringify(verify)}`, () =>
        Effect.gen(function*() {
          const certificate = authority.issue({ ...local, ...validity })
          const { nodes } = yield* reasonOf("NoHostAvailable")(connectTo(certificate, { ...trusting, verify }))
          includesAll(nodes[0]!.error, ["cannot be trusted", told, "A new certificate mends it", ...choicesOfVerify])
        }))
    }
  }

  it.live("when it has expired by the time that the node comes back, until there is a new one", () =>
    Effect.gen(function*() {
      const proxy = yield* makeProxy(good)
      const options = yield* optionsAt(proxy, trusting)
      const session = yield* Session.make({ ...options, reconnectDelay: { base: "1 millis", max: "10 millis" } })
      const select = session.cql`SELECT key FROM system.local`
      yield* select
      yield* proxy.show(expired)
      yield* untilNode("hostDown", session, proxy.cut)
      // It is down from the moment that the connection is gone, and then the next one is refused.
      const { nodes } = yield* Effect.repeat(reasonOf("NoHostAvailable")(select), {
        until: ({ nodes }) => nodes[0]!.error.includes("has expired"),
        schedule: Schedule.spaced("5 millis")
      }).pipe(Effect.andThen(reasonOf("NoHostAvailable")(select)))
      includesAll(nodes[0]!.error, ["down", "its certificate has expired", ...choicesOfVerify])
      yield* untilNode("hostUp", session, proxy.show(good))
      yield* select
    }))
})

describe("a node that demands a client's certificate", () => {
  const demanding = (options: Tls.TlsOptions = {}): Tls.TlsOptions => ({
    ...good,
    ...options,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true
  })

  const as = ({ cert, key }: Certificates.Certificate): Cluster.Tls => ({
    ...trusting,
    cert,
    key: Redacted.make(key)
  })

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const options = demanding({ minVersion: version, maxVersion: version })

    it.live(`takes one that it knows, by ${version}`, () => connectTo(options, as(ofClient)))

    it.live(`refuses who has none, and the reason names the options, by ${version}`, () =>
      Effect.gen(function*() {
        const reason = yield* reasonOf("InvalidConfig")(connectTo(options, trusting))
        assert.strictEqual(reason.field, "tls.cert")
        includesAll(reason.message, ["refuses this client", "demands a certificate", ...choicesOfClient])
        assert.notInclude(reason.message, "openssl")
      }))

    for (
      const [what, certificate] of [
        ["of an authority that it does not know", stranger.issue()],
        ["that has expired", authority.issue(past)]
      ] as const
    ) {
      it.live(`closes the connection of one ${what}, and the reason asks about it, by ${version}`, () =>
        Effect.gen(function*() {
          const { nodes } = yield* reasonOf("NoHostAvailable")(connectTo(options, as(certificate)))
          includesAll(nodes[0]!.error, [
            "closed the connection while it was being opened",
            "does it accept the certificate of this client?",
            ...choicesOfClient
          ])
        }))
    }
  }

  it.live("takes one whose key is encrypted, with its passphrase", () =>
    connectTo(demanding(), {
      ...as({ cert: ofClient.cert, key: Certificates.encryptKey(ofClient.key, "open sesame") }),
      passphrase: Redacted.make("open sesame")
    }))

  it.live("takes one from files", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")]
      yield* Effect.promise(() => Promise.all([writeFile(certFile, ofClient.cert), writeFile(keyFile, ofClient.key)]))
      yield* connectTo(demanding(), { ...trusting, certFile, keyFile })
    }))

  // A node that runs in a JVM says what it holds against a certificate, where one in Node closes.
  const alerts: ReadonlyArray<readonly [alert: number, told: string]> = [
    [40, "it demands a certificate of this client, or has no version and cipher of TLS in common with it"],
    [42, "it demands a certificate of this client, and accepts none that was given"],
    [43, "the kind of this client's certificate"],
    [44, "this client's certificate was revoked"],
    [45, "this client's certificate has expired"],
    [46, "it does not accept this client's certificate"],
    [48, "from an authority that it does not know"],
    [49, "does not let this client's certificate in"]
  ]

  for (const [alert, told] of alerts) {
    it.live(`may say so by the alert ${alert}: ${told}`, () =>
      Effect.gen(function*() {
        const node = yield* answering(Buffer.from([21, 3, 3, 0, 2, 2, alert]))
        const reason = yield* reasonOf("InvalidConfig")(connect(node, { tls: as(ofClient) }))
        assert.strictEqual(reason.field, "tls.cert")
        includesAll(reason.message, [told, ...choicesOfClient])
      }))
  }
})

/** Something that is no node: answers whatever comes first with these bytes, and closes. */
const answering = (bytes: Buffer) =>
  TcpListener.make({
    host: "127.0.0.1",
    port: 0,
    onConnection: (socket) => void socket.once("data", () => socket.end(bytes))
  })

describe("a client with TLS and a node without", () => {
  // "Invalid or unsupported protocol version (22)", as Cassandra 5.0 answers a handshake on its plain port.
  const unsupported = Buffer.from(
    "Invalid or unsupported protocol version (22); supported versions are (3/v3, 4/v4, 5/v5)"
  )
  const frame = Buffer.concat([
    Buffer.from([0x84, 0, 0, 0, 0, 0, 0, 0, 6 + unsupported.length, 0, 0, 0, 0x0a, 0, unsupported.length]),
    unsupported
  ])

  for (
    const [what, bytes] of [["Cassandra", frame], [
      "a web server",
      Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")
    ]] as const
  ) {
    it.live(`do not understand each other, and the reason says so: ${what}`, () =>
      Effect.gen(function*() {
        const node = yield* answering(bytes)
        const reason = yield* reasonOf("InvalidConfig")(connect(node, { tls: trusting }))
        assert.strictEqual(reason.field, "tls")
        includesAll(reason.message, [`${node.host}:${node.port} does not speak TLS`, "`tls`", "`port`"])
      }))
  }

  it.live("that just closes are told what it may be", () =>
    Effect.gen(function*() {
      const node = yield* answering(Buffer.alloc(0))
      const { nodes } = yield* reasonOf("NoHostAvailable")(connect(node, { tls: trusting }))
      includesAll(nodes[0]!.error, [
        "closed the connection while it was being opened",
        "does it speak TLS there",
        "`tls`"
      ])
    }))

  it.live("that waits for more, end by the limit of the connection", () =>
    Effect.gen(function*() {
      const node = yield* ScriptedServer.make()
      const reason = yield* reasonOf("NoHostAvailable")(
        connect(node, { tls: trusting, socketConnectTimeout: "100 millis" })
      )
      assert.include(reason.nodes[0]!.error, "no connection was opened in 100 ms")
    }))
})

describe("a client without TLS and a node with", () => {
  it.live("do not understand each other, and the reason asks about it", () =>
    Effect.gen(function*() {
      const { nodes } = yield* reasonOf("NoHostAvailable")(connectTo(good, false))
      includesAll(nodes[0]!.error, [
        "closed the connection while it was being opened",
        "does it ask for TLS",
        "`tls`"
      ])
    }))
})

describe("texts that are unfit for any handshake", () => {
  const key = (text: string) => Redacted.make(text)
  const wrong: ReadonlyArray<readonly [field: string, expected: RegExp, tls: Cluster.Tls]> = [
    ["tls.ca", /certificates in PEM/, { ca: "hunter2" }],
    ["tls.ca", /certificates in PEM/, {
      ca: `${authority.cert}-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----`
    }],
    ["tls.cert", /certificates in PEM/, { cert: "hunter2", key: key(ofClient.key) }],
    ["tls.cert", /together with the key/, { key: key(ofClient.key) }],
    ["tls.key", /together with the certificate/, { cert: ofClient.cert }],
    ["tls.key", /a private key in PEM/, { cert: ofClient.cert, key: key("hunter2") }],
    ["tls.key", /the key of the certificate/, { cert: ofClient.cert, key: key(good.key) }],
    ["tls.passphrase", /encrypted with/, {
      cert: ofClient.cert,
      key: key(Certificates.encryptKey(ofClient.key, "right"))
    }],
    ["tls.passphrase", /encrypted with/, {
      cert: ofClient.cert,
      key: key(Certificates.encryptKey(ofClient.key, "right")),
      passphrase: key("hunter2")
    }]
  ]

  for (const [field, expected, tls] of wrong) {
    it.live(`are told by the name of their option, ${field}, before anything is opened: ${expected.source}`, () =>
      Effect.gen(function*() {
        const server = yield* ScriptedServer.make()
        const reason = yield* reasonOf("InvalidConfig")(connect(server, { tls }))
        assert.strictEqual(reason.field, field)
        assert.match(reason.message, expected)
        assert.notInclude(reason.message, "hunter2")
        assert.strictEqual(server.accepted(), 0)
      }))
  }

  it.live("are told by the name of the option of their file", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "not.pem")
      yield* Effect.promise(() => writeFile(file, "hunter2"))
      const server = yield* ScriptedServer.make()
      const fields = yield* Effect.forEach([{ caFile: file }, { certFile: file, keyFile: file }], (tls) =>
        Effect.map(reasonOf("InvalidConfig")(connect(server, { tls })), ({ field }) => field))
      assert.deepStrictEqual(fields, ["tls.caFile", "tls.certFile"])
    }))
})

describe("a driver's own options for TLS", () => {
  it.live("are verified against what they name", () =>
    Effect.gen(function*() {
      const proxy = yield* makeProxy(good)
      const options = yield* optionsAt(proxy, undefined)
      const withCa = (ca: string) => Cluster.make({ ...options, driverOptions: { sslOptions: { ca } } })
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(withCa(authority.cert))))
      yield* reasonOf("InvalidConfig")(withCa(stranger.cert))
    }))
})
