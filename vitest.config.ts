import { defineConfig } from "vitest/config"

const conditions = ["effect-cassandra-source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    // One real server for the whole run; every test file makes a keyspace of its own in it.
    globalSetup: ["test/support/globalSetup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    reporters: ["default"]
  }
})
