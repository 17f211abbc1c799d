/**
 * In a process of its own: imports what it is told to, as far as there is more than one; then the last of them, and tells
 * what that one took. With `--list` it tells what the package itself imports from elsewhere.
 */
import { registerHooks } from "node:module"

const names = process.argv.slice(2)

const listImports = async (name: string): Promise<ReadonlyArray<string>> => {
  const found = new Set<string>()
  registerHooks({
    resolve(specifier, context, next) {
      const isOurs = context.parentURL?.includes("/dist/") === true && !context.parentURL.includes("/node_modules/")
      if (isOurs && !/^(\.|node:|file:)/.test(specifier)) found.add(specifier)
      return next(specifier, context)
    }
  })
  await import(name)
  return [...found]
}

const bytes = (): number => {
  globalThis.gc?.()
  const { arrayBuffers, external, heapUsed } = process.memoryUsage()
  return heapUsed + external + arrayBuffers
}

const importTimed = async (name: string) => {
  const held = bytes()
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  await import(name)
  const millis = performance.now() - started
  const { system, user } = process.cpuUsage(cpuBefore)
  return { millis, cpuMillis: (user + system) / 1000, bytes: bytes() - held }
}

if (names[0] === "--list") {
  console.log(JSON.stringify(await listImports(names[1]!)))
} else {
  for (const name of names.slice(0, -1)) await import(name)
  console.log(JSON.stringify(await importTimed(names.at(-1)!)))
}
