/**
 * Compiles every TypeScript example of the README, the guides and the doc comments, each as a module of its own.
 */
import { execFileSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = join(root, "node_modules", ".cache", "effect-cassandra-examples")

interface Example {
  readonly file: string
  readonly line: number
  readonly code: string
}

/** The code between a line that opens a fence and the next one that closes it, without what a comment puts in front. */
const examplesIn = (file: string): ReadonlyArray<Example> => {
  const examples: Array<Example> = []
  const lines = readFileSync(file, "utf8").split("\n").map((line) => line.replace(/^ *\* ?/, ""))
  let opened: number | undefined
  for (const [index, line] of lines.entries()) {
    if (opened === undefined && /^```ts\b/.test(line)) opened = index
    else if (opened !== undefined && line.startsWith("```")) {
      examples.push({ file, line: opened + 1, code: lines.slice(opened + 1, index).join("\n") })
      opened = undefined
    }
  }
  return examples
}

// Not part of the published package: its code is plain JavaScript there.
const ambient = join(root, "src", "internal", "driver", "modules.d.ts")

// The reference is made of the doc comments.
const sources = globSync(["README.md", "bench/README.md", "docs/**/*.md", "examples/**/*.md", "src/**/*.ts"], {
  cwd: root,
  exclude: ["docs/reference/**"]
})
const examples = sources.toSorted().flatMap((file) => examplesIn(join(root, file)))

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
for (const [index, { code, file, line }] of examples.entries()) {
  const origin = `// ${relative(root, file)}:${line}\n`
  writeFileSync(join(folder, `example${index}.ts`), `${origin}${code}\nexport {}\n`)
}
const compilerOptions = {
  noEmit: true,
  customConditions: ["effect-cassandra-source"],
  noUnusedLocals: false,
  declaration: false,
  declarationMap: false
}
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({ extends: join(root, "tsconfig.base.json"), compilerOptions, include: ["*.ts", ambient] })
)
// The package by its own name, as a reader would import it.
mkdirSync(join(folder, "node_modules"), { recursive: true })
symlinkSync(root, join(folder, "node_modules", "effect-cassandra"))

execFileSync(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", folder], {
  stdio: "inherit"
})
console.log(`${examples.length} examples compile`)
