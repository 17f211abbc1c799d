import { defineConfig } from "vitest/config"

const conditions = ["effect-cassandra-source"]

// The files whose tests kill and stop the three nodes of test/support/RealCluster.ts.
const usesNodes = ["health", "nodes", "scan", "transactions"].map((name) => `test/faults/${name}.test.ts`)

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // One real server for the whole run, whichever project is first; every test file makes a keyspace of its own in it.
    globalSetup: ["test/support/globalSetup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "server",
          include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
          exclude: usesNodes,
          maxWorkers: 2,
          sequence: { groupOrder: 0 }
        }
      },
      {
        extends: true,
        test: {
          name: "nodes",
          include: usesNodes,
          // All files in one worker, which owns the nodes, and after all others: a node takes as much as they do.
          isolate: false,
          maxWorkers: 1,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
