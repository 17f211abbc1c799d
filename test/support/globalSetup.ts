/**
 * One server for the whole run of vitest: the one that the environment names, else one that is started here. Workers
 * inherit the environment, so `CassandraServer.layer` gives them this server.
 */
import * as ManagedRuntime from "effect/ManagedRuntime"
import type { TestProject } from "vitest/node"
import { CassandraServer } from "../../src/testing/index.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The environment variables that name the server of this run. */
    readonly cassandra: Readonly<Record<string, string>>
  }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const runtime = ManagedRuntime.make(
    CassandraServer.layer({
      authentication: true,
      materializedViews: true,
      // The same port takes both, so that tests of TLS need no server of their own.
      tls: "optional",
      userDefinedFunctions: true
    })
  )
  const server = await runtime.runPromise(CassandraServer)
  const environment = CassandraServer.toEnvironment(server)
  Object.assign(process.env, environment)
  project.provide("cassandra", environment)
  return () => runtime.dispose()
}
