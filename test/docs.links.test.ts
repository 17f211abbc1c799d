/**
 * The links of the documents lead somewhere: to a file that there is, and to a heading that is in it.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const read = (file: string): string => readFileSync(join(root, file), "utf8")

/** Without what is in fences, and without code in lines: neither has links or headings. */
const proseOf = (text: string): string => text.replace(/^```[^]*?^```$/gm, "").replace(/<!--[^]*?-->/g, "")

const withoutCode = (text: string): string => text.replace(/`[^`\n]*`/g, "")

const targetsIn = (text: string): ReadonlyArray<string> =>
  [...withoutCode(proseOf(text)).matchAll(/\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)/g)].map((match) => match[1]!)

/** As GitHub makes it of a heading: the second of one name is numbered. */
const anchorsIn = (text: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading] of proseOf(text).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[`*]/g, "")
    const slug = plain.toLowerCase().replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-")
    let anchor = slug
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`
    anchors.add(anchor)
  }
  return anchors
}

/** Why a link leads nowhere; `undefined` for one that does, or that leads out of here. */
const problemOf = (file: string, target: string): string | undefined => {
  if (/^[a-z]+:/i.test(target)) return undefined
  const [path, anchor] = target.split("#", 2) as [string, string | undefined]
  const found = path === "" ? file : relative(root, join(root, dirname(file), decodeURI(path)))
  if (found.startsWith("..")) return `${target} leads out of the package`
  if (!existsSync(join(root, found))) return `there is no ${found}`
  if (anchor === undefined) return undefined
  if (!found.endsWith(".md")) return statSync(join(root, found)).isDirectory() ? `${found} has no headings` : undefined
  return anchorsIn(read(found)).has(anchor) ? undefined : `${found} has no heading #${anchor}`
}

const documents = globSync(
  ["*.md", "docs/*.md", "bench/README.md", "observability/README.md", "examples/**/*.md"],
  { cwd: root, exclude: ["**/node_modules/**"] }
).toSorted()

describe("the links of the documents lead somewhere", () => {
  for (const file of documents) {
    it(file, () => {
      const problems = targetsIn(read(file)).flatMap((target) => problemOf(file, target) ?? [])
      assert.deepStrictEqual(problems, [])
    })
  }
})

describe("a link", () => {
  it("is found in prose, in tables and around code, and not in code", () => {
    const text = "[a](a.md) and [`b`](b.md#c)\n\n| [d](d.md) |\n\n`[no](no.md)`\n\n```md\n[no](no.md)\n```\n"
    assert.deepStrictEqual(targetsIn(text), ["a.md", "b.md#c", "d.md"])
  })

  it("leads to a heading by the name that GitHub gives it", () => {
    const text = "# What is it? A `cql` statement, of [theirs](x.md)\n## Twice\n## Twice\n```sh\n# no heading\n```\n"
    assert.sameMembers([...anchorsIn(text)], ["what-is-it-a-cql-statement-of-theirs", "twice", "twice-1"])
  })

  it("is told of that leads to no file, or to no heading", () => {
    assert.isUndefined(problemOf("README.md", "docs/metrics.md#what-there-is"))
    assert.isUndefined(problemOf("docs/metrics.md", "../README.md"))
    assert.isUndefined(problemOf("docs/metrics.md", "#what-there-is"))
    assert.isUndefined(problemOf("README.md", "https://effect.website"))
    assert.isDefined(problemOf("README.md", "docs/no.md"))
    assert.isDefined(problemOf("README.md", "docs/metrics.md#no"))
    assert.isDefined(problemOf("README.md", "#no"))
    assert.isDefined(problemOf("README.md", "../no.md"))
  })

  it("is looked for in documents that have some", () => {
    const count = documents.reduce((sum, file) => sum + targetsIn(read(file)).length, 0)
    assert.isAtLeast(documents.length, 10)
    assert.isAtLeast(count, 50)
  })
})
