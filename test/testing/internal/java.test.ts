import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as Java from "../../../src/testing/internal/java.ts"
import { script, temporaryFolder, withVariables } from "../support.ts"

const printed = (home: string, specification: string, rest = "") =>
  `Property settings:
    java.class.path =${" "}
    java.home = ${home}
    java.specification.name = Java Platform API Specification
    java.specification.version = ${specification}
    java.version = ${specification}.0.15
${rest}`

/** A Java home whose `java` prints what a Java of this version does. */
const fakeJava = Effect.fnUntraced(function*(version: string) {
  const home = yield* temporaryFolder
  // Of the shell's own words alone, for there may be no other command on the path of a test.
  yield* script(join(home, "bin"), "java", `echo '${printed(home, version)}' >&2`)
  return home
})

describe("parse", () => {
  it("reads home and version", () => {
    const rest = `openjdk version "17.0.15" 2025-04-15`
    assert.deepStrictEqual(Java.parse(printed("/opt/a java", "17", rest)), { home: "/opt/a java", version: 17 })
    assert.deepStrictEqual(Java.parse(printed("/opt/11", "11")), { home: "/opt/11", version: 11 })
  })

  it("reads the old way to count", () => {
    assert.deepStrictEqual(Java.parse(printed("/opt/8/jre", "1.8")), { home: "/opt/8/jre", version: 8 })
  })

  it("reads nothing from something else", () => {
    assert.isUndefined(Java.parse("The operation couldn't be completed. Unable to locate a Java Runtime."))
  })
})

describe("supports", () => {
  it("knows what each Cassandra runs on", () => {
    const versions = [8, 11, 17, 21]
    assert.deepStrictEqual(versions.filter((java) => Java.supports("5.0.6", java)), [11, 17])
    assert.deepStrictEqual(versions.filter((java) => Java.supports("4.1.10", java)), [11])
  })
})

describe("find", () => {
  it.effect("takes JAVA_HOME first", () =>
    Effect.gen(function*() {
      const home = yield* fakeJava("11")
      const other = yield* fakeJava("17")
      const java = yield* withVariables({ JAVA_HOME: home, PATH: `${other}/bin:/bin:/usr/bin` })(Java.find("5.0.6"))
      assert.deepStrictEqual(java, { home, version: 11 })
    }))

  it.effect("goes on to the path and to the usual folders where a version does not fit", () =>
    Effect.gen(function*() {
      const tooOld = yield* fakeJava("1.8")
      const tooNew = yield* fakeJava("21")
      const folder = yield* temporaryFolder
      const fits = join(folder, "java-17")
      yield* script(join(fits, "bin"), "java", `echo '${printed(fits, "17")}'`)
      const java = yield* Java.find("5.0.6").pipe(
        withVariables({ JAVA_HOME: tooOld, PATH: `${tooNew}/bin:/bin` }),
        Effect.provideService(Java.JavaFolders, [join(folder, "missing"), folder])
      )
      assert.deepStrictEqual(java, { home: fits, version: 17 })
    }))

  it.effect("says what there was instead", () =>
    Effect.gen(function*() {
      const tooNew = yield* fakeJava("21")
      const empty = yield* temporaryFolder
      const error = yield* Java.find("5.0.6").pipe(
        withVariables({ JAVA_HOME: tooNew, PATH: empty }),
        Effect.provideService(Java.JavaFolders, []),
        Effect.flip
      )
      assert.strictEqual(error._tag, "NoJava")
      assert.deepStrictEqual(error._tag === "NoJava" && error.found, [{ home: tooNew, version: 21 }])
    }))
})
