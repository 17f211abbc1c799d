#!/usr/bin/env node
/**
 * The program `effect-cassandra`: runs the command line, or says what it lacks.
 */

/** It is an optional peer, for only the command line needs it. */
const lacksPlatform = (error: unknown): boolean => {
  const { code, message } = error as NodeJS.ErrnoException
  return (code === "ERR_MODULE_NOT_FOUND" || code === "ERR_PACKAGE_PATH_NOT_EXPORTED") &&
    /@effect[\\/]platform-node/.test(message)
}

const explain = (error: unknown): void => {
  if (!lacksPlatform(error)) throw error
  process.exitCode = 1
  process.stderr.write(
    "effect-cassandra: the command line needs @effect/platform-node, of the same version as effect: " +
      "npm install @effect/platform-node\n"
  )
}

import("./run.ts").then(({ run }) => run()).catch(explain)
