/**
 * A key and a certificate for a node, by the JDK's keytool.
 */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { execute, type ExecuteError } from "./execute.ts"
import type { Java } from "./java.ts"

/** Files in the node's folder. */
export interface Certificate {
  readonly keystoreFile: string
  readonly keystorePassword: string
  /** The certificate, PEM encoded. It is its own authority: a client that trusts it trusts this node alone. */
  readonly certificateFile: string
}

/** Writes both files. */
export const make = Effect.fnUntraced(function*(
  folder: string,
  java: Java,
  host: string
): Effect.fn.Return<Certificate, ExecuteError> {
  const keytool = join(java.home, "bin", "keytool")
  const keystoreFile = join(folder, "keystore.p12")
  const certificateFile = join(folder, "certificate.pem")
  // It guards a key that lives as long as a test, in a folder that only its owner reads.
  const keystorePassword = "effect-cassandra"
  const store = ["-alias", "node", "-keystore", keystoreFile, "-storepass", keystorePassword]
  yield* execute({ command: keytool, args: ["-genkeypair", ...store, ...keyArguments(host)], env: process.env })
  yield* execute({
    command: keytool,
    args: ["-exportcert", "-rfc", "-file", certificateFile, ...store],
    env: process.env
  })
  return { keystoreFile, keystorePassword, certificateFile }
})

// internal

const keyArguments = (host: string): ReadonlyArray<string> => [
  "-storetype",
  "PKCS12",
  "-keyalg",
  "RSA",
  "-keysize",
  "2048",
  "-validity",
  "365",
  "-dname",
  "CN=effect-cassandra",
  "-ext",
  `SAN=${[...new Set(["ip:127.0.0.1", `ip:${host}`, "dns:localhost"])].join(",")}`
]
