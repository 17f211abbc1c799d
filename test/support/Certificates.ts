/**
 * Authorities and certificates for tests of TLS, made when they are asked for: in date or not, for these names and
 * addresses or for others, with a key that is encrypted or is not. All of them PEM.
 */
import Forge from "node-forge"
import * as Crypto from "node:crypto"

export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface CertificateOptions {
  readonly addresses?: ReadonlyArray<string>
  readonly names?: ReadonlyArray<string>
  /** An hour ago by default. */
  readonly validFrom?: Date
  /** In an hour by default. */
  readonly validTo?: Date
}

export interface Authority {
  /** What a party has to know to trust whatever this authority issues. */
  readonly cert: string
  readonly issue: (options?: CertificateOptions) => Certificate
}

const hour = 3_600_000

/** That long away from now. */
export const hoursFromNow = (hours: number): Date => new Date(Date.now() + hours * hour)

export const makeAuthority = (name: string): Authority => {
  const keys = makeKeys()
  const subject = [{ name: "commonName", value: name }]
  const certificate = makeCertificate(keys, subject, {})
  certificate.setIssuer(subject)
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, critical: true }
  ])
  return {
    cert: signed(certificate, keys),
    issue: (options = {}) => {
      const own = makeKeys()
      const issued = makeCertificate(own, [{ name: "commonName", value: "a test" }], options)
      issued.setIssuer(subject)
      return { cert: signed(issued, keys), key: Forge.pki.privateKeyToPem(own.privateKey) }
    }
  }
}

/** Its own authority, as for a node whose operator has none. */
export const makeSelfSigned = (options: CertificateOptions = {}): Certificate => {
  const keys = makeKeys()
  const certificate = makeCertificate(keys, [{ name: "commonName", value: "a test of its own" }], options)
  certificate.setIssuer(certificate.subject.attributes)
  return { cert: signed(certificate, keys), key: Forge.pki.privateKeyToPem(keys.privateKey) }
}

/** The same key, which cannot be read without the passphrase. */
export const encryptKey = (key: string, passphrase: string): string =>
  Crypto.createPrivateKey(key).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase }).toString()

// internal

interface Keys {
  readonly publicKey: Forge.pki.rsa.PublicKey
  readonly privateKey: Forge.pki.rsa.PrivateKey
}

/** By Node, for to search primes in JavaScript takes a second. */
const makeKeys = (): Keys => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" }
  })
  return {
    publicKey: Forge.pki.publicKeyFromPem(publicKey) as Forge.pki.rsa.PublicKey,
    privateKey: Forge.pki.privateKeyFromPem(privateKey) as Forge.pki.rsa.PrivateKey
  }
}

const makeCertificate = (
  keys: Keys,
  subject: Array<Forge.pki.CertificateField>,
  options: CertificateOptions
): Forge.pki.Certificate => {
  const { addresses = [], names = [], validFrom = hoursFromNow(-1), validTo = hoursFromNow(1) } = options
  const certificate = Forge.pki.createCertificate()
  certificate.publicKey = keys.publicKey
  // Positive, and without zeros in front: of two, node-forge leaves one, which is no DER.
  certificate.serialNumber = `01${Crypto.randomBytes(16).toString("hex")}`
  certificate.validity.notBefore = validFrom
  certificate.validity.notAfter = validTo
  certificate.setSubject(subject)
  const altNames = [
    ...addresses.map((ip) => ({ type: 7, ip })),
    ...names.map((value) => ({ type: 2, value }))
  ]
  if (altNames.length > 0) certificate.setExtensions([{ name: "subjectAltName", altNames }])
  return certificate
}

const signed = (certificate: Forge.pki.Certificate, keys: Keys): string => {
  certificate.sign(keys.privateKey, Forge.md.sha256.create())
  return Forge.pki.certificateToPem(certificate)
}
