import { assert, describe, it } from "@effect/vitest"
import type { DriverConfig } from "../../../src/internal/driver/config.ts"
import { driverOptions, policyOf, problemOfDriverOptions } from "../../../src/internal/driver/config.ts"

const config = (driverOptions: DriverConfig["driverOptions"]): DriverConfig => ({
  contactPoints: ["127.0.0.1"],
  port: 9042,
  localDataCenter: undefined,
  failover: [],
  keyspace: undefined,
  credentials: undefined,
  secureConnectBundle: undefined,
  tls: undefined,
  applicationName: undefined,
  applicationVersion: undefined,
  connectionsPerNode: 1,
  maxRequestsPerConnection: 2048,
  openAllConnections: true,
  heartbeatMillis: 30_000,
  openMillis: 5000,
  reconnectBaseMillis: 1000,
  reconnectMaxMillis: 60_000,
  schemaAgreementSeconds: 10,
  schemaMetadata: true,
  addressTranslator: undefined,
  nodeFilter: undefined,
  driverOptions
})

const optionsWith = (options: DriverConfig["driverOptions"]) => {
  const made = config(options)
  return driverOptions(made, policyOf(made))
}

describe("options of the driver", () => {
  it("lie over ours at any depth, and leave the rest", () => {
    const { pooling, socketOptions } = optionsWith({ socketOptions: { tcpNoDelay: false } })
    assert.strictEqual(socketOptions?.tcpNoDelay, false)
    assert.strictEqual(socketOptions?.connectTimeout, 5000)
    assert.strictEqual(pooling?.maxRequestsPerConnection, 2048)
  })

  it("for TLS verify the server, unless they say that they do not", () => {
    assert.strictEqual(optionsWith({ sslOptions: {} }).sslOptions?.rejectUnauthorized, true)
    assert.strictEqual(optionsWith({ sslOptions: { rejectUnauthorized: false } }).sslOptions?.rejectUnauthorized, false)
    assert.isUndefined(optionsWith({}).sslOptions)
  })

  it("that have no effect or break something are refused, with what to use instead", () => {
    for (const key of ["localDataCenter", "profiles", "queryOptions", "encoding", "promiseFactory"]) {
      assert.include(problemOfDriverOptions({ [key]: {} }), key)
    }
    for (const policy of ["loadBalancing", "retry", "speculativeExecution", "timestampGeneration"]) {
      assert.include(problemOfDriverOptions({ policies: { [policy]: {} } }), `policies.${policy}`)
    }
    assert.isUndefined(problemOfDriverOptions({ policies: { addressResolution: {} }, socketOptions: {} }))
  })
})
