/**
 * How options of several levels become the settings of one statement, without a server.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { vi } from "vitest"
import type { CqlError } from "../../src/CqlError.ts"
import * as Check from "../../src/internal/check.ts"
import * as Consistencies from "../../src/internal/consistency.ts"
import type { SharedClient } from "../../src/internal/core.ts"
import { Core } from "../../src/internal/core.ts"
import * as Retries from "../../src/internal/retryPolicy.ts"
import type { DefaultOptions, Profiles, Settings, StatementOptions } from "../../src/internal/settings.ts"
import * as Settle from "../../src/internal/settings.ts"
import * as Timestamp from "../../src/internal/timestamp.ts"
import { randomNumbers } from "./codec/support.ts"

const coreOf = (session: DefaultOptions, profiles: Profiles = {}): Core =>
  new Core({} as SharedClient, Settle.defaults(session, profiles), profiles)

const settingsOf = (found: Settings | CqlError): Settings => {
  assert(!("reason" in found), String(found))
  return found
}

const fieldOf = (found: Settings | CqlError): string => {
  assert("reason" in found && found.reason._tag === "InvalidConfig")
  return found.reason.field
}

const defaults: Settings = {
  consistency: 0x0a,
  serialConsistency: undefined,
  pageSize: 5000,
  timeoutMillis: 30_000,
  attemptMillis: 12_000,
  idempotent: undefined,
  maxRows: 100_000,
  clientTimestamps: true,
  timestamp: undefined,
  tracing: false,
  customPayload: undefined,
  node: undefined,
  retry: Retries.standard,
  hedge: undefined,
  streamMillis: Infinity,
  spans: "statements",
  slowMillis: 5000,
  span: undefined
}

describe("a statement of which nothing is said", () => {
  it("has the defaults that are documented", () => {
    assert.deepStrictEqual(Settle.defaults(undefined, {}), defaults)
    assert.deepStrictEqual(Settle.defaults({}, {}), defaults)
    assert.deepStrictEqual(settingsOf(coreOf({}).settingsFor([], [])), defaults)
  })

  it("has them also where options are undefined", () => {
    const nothing = Object.fromEntries(Object.keys(optionsOf(1)).map((name) => [name, undefined]))
    assert.deepStrictEqual(Settle.defaults({ ...nothing, timestamps: undefined }, {}), defaults)
    assert.deepStrictEqual(settingsOf(coreOf(nothing).settingsFor([nothing, nothing], [nothing])), defaults)
    assert.deepStrictEqual(settingsOf(coreOf({}, { p: nothing }).settingsFor([], [{ profile: "p" }])), defaults)
  })
})

// --- levels

type Said = Omit<StatementOptions, "profile">

const policies = Array.from({ length: 20 }, (): Retries.Policy => ({ ...Retries.none }))

const hedges = Array.from({ length: 20 }, (_, n) => ({ delay: 500 + n }))

const payloads = Array.from({ length: 20 }, (_, n) => ({ level: new Uint8Array([n]) }))

/** Options that tell a level from every other, as far as they have so many values. */
const optionsOf = (n: number): Required<Said> => ({
  consistency: Consistencies.levels[n]!,
  serialConsistency: n % 2 === 0 ? "serial" : "localSerial",
  pageSize: 100 + n,
  timeout: Duration.seconds(1000 + n),
  attemptTimeout: `${2000 + n} millis`,
  idempotent: n % 2 === 0,
  maxRows: 300 + n,
  timestamp: n % 2 === 0 ? 400 + n : BigInt(-400 - n),
  tracing: n % 2 === 0,
  customPayload: payloads[n]!,
  node: `10.0.0.${n}:9042`,
  retry: policies[n]!,
  hedge: hedges[n]!,
  streamTimeout: { seconds: 600 + n },
  spans: n % 2 === 0 ? "attempts" : "none",
  slowThreshold: 700 + n
})

const settingsOfLevel = (n: number): Omit<Settings, "clientTimestamps"> => ({
  consistency: n,
  serialConsistency: n % 2 === 0 ? 0x08 : 0x09,
  pageSize: 100 + n,
  timeoutMillis: 1_000_000 + n * 1000,
  attemptMillis: 2000 + n,
  idempotent: n % 2 === 0,
  maxRows: 300 + n,
  timestamp: n % 2 === 0 ? 400 + n : BigInt(-400 - n),
  tracing: n % 2 === 0,
  customPayload: payloads[n],
  node: `10.0.0.${n}:9042`,
  retry: policies[n]!,
  hedge: hedges[n]!,
  streamMillis: 600_000 + n * 1000,
  spans: n % 2 === 0 ? "attempts" : "none",
  slowMillis: 700 + n,
  span: undefined
})

const settingOf: { readonly [option in keyof Said]-?: keyof Settings } = {
  consistency: "consistency",
  serialConsistency: "serialConsistency",
  pageSize: "pageSize",
  timeout: "timeoutMillis",
  attemptTimeout: "attemptMillis",
  idempotent: "idempotent",
  maxRows: "maxRows",
  timestamp: "timestamp",
  tracing: "tracing",
  customPayload: "customPayload",
  node: "node",
  retry: "retry",
  hedge: "hedge",
  streamTimeout: "streamMillis",
  spans: "spans",
  slowThreshold: "slowMillis"
}

const optionNames = Object.keys(settingOf) as ReadonlyArray<keyof Said>

/** From the nearest to the farthest: each is followed by the profile that it names. */
const levelNames = [
  "the statement's later options",
  "their profile",
  "the statement's earlier options",
  "their profile",
  "the inner region",
  "its profile",
  "the outer region",
  "its profile",
  "the session",
  "its profile"
] as const

/** What a statement runs with where each of the ten levels says what `said` tells of it. */
const resolveLevels = (said: (level: number) => Said): Settings => {
  const profiles = Object.fromEntries([1, 3, 5, 7, 9].map((level) => [`profile ${level}`, said(level)]))
  const options = (level: number): StatementOptions => ({ ...said(level), profile: `profile ${level + 1}` })
  const core = coreOf(options(8), profiles)
  return settingsOf(core.settingsFor([options(6), options(4)], [options(2), options(0)]))
}

describe("of all levels that say an option, the nearest wins:", () => {
  for (const [nearest, name] of levelNames.entries()) {
    for (const option of optionNames) {
      it(`${option} of ${name} (level ${nearest + 1})`, () => {
        const settings = resolveLevels((level) => level < nearest ? { [option]: undefined } : pick(level, [option]))
        const setting = settingOf[option]
        assert.deepStrictEqual(settings, { ...defaults, [setting]: settingsOfLevel(nearest)[setting as "node"] })
      })
    }
  }

  it("each for itself, whichever levels say which options", () => {
    const random = randomNumbers(5)
    for (let round = 0; round < 2000; round++) {
      const said = levelNames.map(() => optionNames.filter(() => random() < 0.2))
      const expected: Record<string, unknown> = { ...defaults }
      for (const option of optionNames) {
        const nearest = said.findIndex((options) => options.includes(option))
        const setting = settingOf[option]
        if (nearest >= 0) expected[setting] = settingsOfLevel(nearest)[setting as "node"]
      }
      assert.deepStrictEqual({ ...resolveLevels((level) => pick(level, said[level]!)) }, expected)
    }
  })
})

const pick = (level: number, names: ReadonlyArray<keyof Said>): Said =>
  Object.fromEntries(names.map((name) => [name, optionsOf(level)[name]]))

describe("a custom payload", () => {
  it("goes before that of an outer level as a whole, and is not mixed with it", () => {
    const [outer, inner] = [{ a: null, b: null }, { c: null }]
    const settings = settingsOf(coreOf({ customPayload: outer }).settingsFor([], [{ customPayload: inner }]))
    assert.deepStrictEqual(settings.customPayload, inner)
  })
})

describe("false", () => {
  it("is said, and goes before true", () => {
    const core = coreOf({ tracing: true, idempotent: true })
    const { idempotent, tracing } = settingsOf(core.settingsFor([], [{ tracing: false, idempotent: false }]))
    assert.deepStrictEqual([tracing, idempotent], [false, false])
  })
})

describe("a hedge", () => {
  it("that is false goes before one that is farther, and under one that is nearer", () => {
    const core = coreOf({ hedge: { delay: 5 } }, { p: { hedge: false } })
    const hedgeOf = (...levels: ReadonlyArray<StatementOptions>) => settingsOf(core.settingsFor([], levels)).hedge
    assert.deepStrictEqual(hedgeOf({}), { delay: 5 })
    assert.deepStrictEqual(hedgeOf({ hedge: undefined }), { delay: 5 })
    assert.isUndefined(hedgeOf({ hedge: false }))
    assert.isUndefined(hedgeOf({ profile: "p" }))
    assert.deepStrictEqual(hedgeOf({ hedge: false }, { hedge: { percentile: 9 } }), { percentile: 9 })
    assert.deepStrictEqual(hedgeOf({ profile: "p", hedge: { delay: 1 } }), { delay: 1 })
  })

  it("goes before another one as a whole, and is not mixed with it", () => {
    const core = coreOf({ hedge: { delay: 5, times: 3 } })
    assert.deepStrictEqual(settingsOf(core.settingsFor([], [{ hedge: { percentile: 9 } }])).hedge, { percentile: 9 })
  })
})

describe("a timestamp of zero", () => {
  it("is said, and goes before another", () => {
    for (const zero of [0, 0n]) {
      const settings = settingsOf(coreOf({ timestamp: 5 }).settingsFor([], [{ timestamp: zero }]))
      assert.strictEqual(settings.timestamp, zero)
    }
  })
})

describe("who stamps writes", () => {
  it("is the session's to say, whatever is near", () => {
    const core = coreOf({ timestamps: "server" })
    const client = JSON.parse("{\"timestamps\":\"client\"}") as StatementOptions
    assert.isFalse(settingsOf(core.settingsFor([client], [client])).clientTimestamps)
    assert.isTrue(coreOf({ timestamps: "client" }).settings.clientTimestamps)
  })
})

describe("a profile", () => {
  it("of a profile is not looked for", () => {
    const profiles = { a: { pageSize: 1, profile: "b" }, b: { pageSize: 2, maxRows: 2 } }
    const settings = settingsOf(coreOf({}, profiles).settingsFor([], [{ profile: "a" }]))
    assert.deepStrictEqual([settings.pageSize, settings.maxRows], [1, 100_000])
  })

  it("is a session's own: that of another with the same name is another", () => {
    const regions = [{ profile: "p" }]
    const [first, second] = [coreOf({}, { p: { pageSize: 1 } }), coreOf({}, { p: { pageSize: 2 } })]
    for (let round = 0; round < 2; round++) {
      assert.strictEqual(settingsOf(first.settingsFor(regions, [])).pageSize, 1)
      assert.strictEqual(settingsOf(second.settingsFor(regions, [])).pageSize, 2)
    }
  })

  it("may be called what an object has already", () => {
    const names = ["__proto__", "constructor", "toString"]
    const profiles = Object.fromEntries(names.map((name, index) => [name, { pageSize: index + 1 }]))
    const core = coreOf({}, profiles)
    for (const [index, profile] of names.entries()) {
      assert.strictEqual(settingsOf(core.settingsFor([], [{ profile }])).pageSize, index + 1)
    }
  })

  it("that there is not is refused, and what there is is listed", () => {
    for (const profile of ["b", "__proto__", "constructor", "hasOwnProperty"]) {
      const core = coreOf({}, { "a": {}, "with \"quotes\"": {} })
      for (const found of [core.settingsFor([], [{ profile }]), core.settingsFor([{ profile }], [])]) {
        assert.strictEqual(fieldOf(found), "profile")
        assert.include((found as CqlError).message, "\"a\", \"with \\\"quotes\\\"\"")
        assert.include((found as CqlError).message, JSON.stringify(profile))
      }
    }
    assert.include(String(coreOf({}).settingsFor([], [{ profile: "b" }])), "left out")
  })
})

describe("a region", () => {
  it("is worked out once for all of its statements", () => {
    const core = coreOf({})
    const regions = [{ pageSize: 7 }]
    assert.strictEqual(core.settingsFor(regions, []), core.settingsFor(regions, []))
    const wrong = [{ pageSize: 0 }]
    assert.strictEqual(core.settingsFor(wrong, []), core.settingsFor(wrong, []))
  })

  it("that makes no sense is refused, whatever the statement says itself", () => {
    const core = coreOf({})
    assert.strictEqual(fieldOf(core.settingsFor([{ pageSize: 0 }], [])), "pageSize")
    assert.strictEqual(fieldOf(core.settingsFor([{ pageSize: 0 }], [{ pageSize: 1 }])), "pageSize")
    assert.strictEqual(fieldOf(core.settingsFor([{ pageSize: 0 }, { pageSize: 1 }], [])), "pageSize")
  })
})

describe("checks of options", () => {
  const reasonOf = (checks: ReadonlyArray<Check.Check>) => {
    const reason = Check.problem(checks)?.reason
    assert(reason?._tag === "InvalidConfig")
    return reason
  }

  it("let pass what is on the edge", () => {
    const edges: ReadonlyArray<StatementOptions> = [
      { pageSize: 1, maxRows: 1, timeout: 1, attemptTimeout: "1 millis" },
      { pageSize: 2 ** 31 - 1, maxRows: Number.MAX_SAFE_INTEGER, timeout: "24 days", attemptTimeout: 2 ** 31 - 1 },
      { timeout: { seconds: 1 }, attemptTimeout: [1, 5], timestamp: -0 },
      { streamTimeout: 1, hedge: false },
      { streamTimeout: "24 days", hedge: { delay: "24 days", times: 10 } },
      { hedge: { percentile: 0.001, delay: undefined } },
      { hedge: { percentile: 99.999, times: 1 } },
      { timestamp: Number.MIN_SAFE_INTEGER },
      { timestamp: Number.MAX_SAFE_INTEGER },
      { timestamp: -(2n ** 63n) + 1n },
      { timestamp: 2n ** 63n - 1n },
      { customPayload: { ["k".repeat(65_535)]: null, é: Buffer.alloc(0) } },
      { customPayload: Object.fromEntries(Array.from({ length: 65_535 }, (_, n) => [n, null])) },
      { node: "x", profile: "x", idempotent: false, tracing: false },
      ...Consistencies.levels.map((consistency) => ({ consistency })),
      { serialConsistency: "serial" },
      { serialConsistency: "localSerial" }
    ]
    for (const options of edges) assert.isUndefined(Check.problem(Check.statementOptions(options)))
  })

  it("name a field of a profile by its profile", () => {
    assert.strictEqual(reasonOf(Check.profiles({ x: { timestamp: 1.5 } })).field, "profiles.x.timestamp")
    assert.strictEqual(reasonOf(Check.profiles({ ok: {}, x: { profile: "ok" } })).field, "profiles.x.profile")
    assert.strictEqual(reasonOf(Check.profiles({ ok: {}, x: null })).field, "profiles.x")
    const message = reasonOf(Check.profiles({ x: { pageSize: 0 } })).message
    assert.strictEqual(message, "profiles.x.pageSize must be a whole number from 1 to 2147483647")
  })

  it("take profiles as an object of objects and nothing else", () => {
    for (const profiles of [null, [], "x", 5, true]) {
      assert.strictEqual(reasonOf(Check.profiles(profiles)).field, "profiles")
    }
    for (const profiles of [undefined, {}, { x: {} }, { x: { profile: undefined } }]) {
      assert.isUndefined(Check.problem(Check.profiles(profiles)))
    }
  })
})

describe("the timestamps of this process", () => {
  it("grow also while the clock stands still, and when it is set back", () => {
    const clock = vi.spyOn(Date, "now")
    try {
      const now = Date.now()
      clock.mockReturnValue(now)
      const first = Timestamp.next()
      for (const millis of [now, 1_000_000_000_000, 0]) {
        clock.mockReturnValue(millis)
        for (let n = 0; n < 3; n++) Timestamp.next()
      }
      assert.strictEqual(Timestamp.next() - first, 10)
    } finally {
      clock.mockRestore()
    }
  })
})
