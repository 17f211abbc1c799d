/**
 * The JavaScript of the package: a file for each module that can be imported, and what they share in a few more. Node
 * takes longer to find and to read a hundred small files than to run them.
 */
import { globSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const root = fileURLToPath(new URL("..", import.meta.url))

const isOurs = (id: string): boolean => id.startsWith(".") || id.startsWith(root)

/** Run by its path, as a process of its own: it must lie beside the file that looks for it. */
const supervisor = "testing/supervisor"

const entries: Readonly<Record<string, string>> = {
  ...Object.fromEntries(globSync("src/*.ts", { cwd: root }).map((file) => [basename(file, ".ts"), file])),
  "testing/index": "src/testing/index.ts",
  [supervisor]: "src/testing/internal/supervisor.ts",
  "cli/main": "src/cli/main.ts"
}

const bundle = await rolldown({
  cwd: root,
  input: entries,
  platform: "node",
  external: (id) => !isOurs(id),
  // What is not used is the user's bundler to leave out.
  treeshake: false
})

const { output } = await bundle.write({
  dir: "dist",
  format: "esm",
  sourcemap: true,
  // The declarations have them.
  comments: { jsdoc: false },
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name].js",
  codeSplitting: {
    groups: [{ name: "library", test: /\/src\/(?!cli\/|testing\/|HealthHttp|internal\/transfer\/csv)/ }]
  }
})

const finder = output.find((chunk) =>
  chunk.type === "chunk" && chunk.moduleIds.some((id) => id.endsWith("/testing/internal/supervised.ts"))
)
if (finder?.fileName !== "testing/index.js") {
  throw new Error(`${finder?.fileName} would not find ${supervisor}.js`)
}
