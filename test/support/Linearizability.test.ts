import { assert, describe, it } from "@effect/vitest"
import { randomNumbers } from "../internal/codec/support.ts"
import type { Entry, Model, RegisterOperation, SetOperation } from "./Linearizability.ts"
import { check, growOnlySet, register } from "./Linearizability.ts"

const numbered = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

type Times = readonly [call: number, answer: number | undefined]

const at = <Operation>([call, answer]: Times, operation: Operation, key = 0): Entry<Operation> => ({
  key,
  operation,
  call,
  return: answer
})

const read = (times: Times, value: number) => at<RegisterOperation>(times, { type: "read", value })

const set = (times: Times, from: number, to: number) =>
  at<RegisterOperation>(times, { type: "compareAndSet", from, to, outcome: "applied" })

const refused = (times: Times, from: number, to: number, current: number) =>
  at<RegisterOperation>(times, { type: "compareAndSet", from, to, outcome: { current } })

const openSet = (call: number, from: number, to: number) =>
  at<RegisterOperation>([call, undefined], { type: "compareAndSet", from, to, outcome: "unknown" })

const readAll = (times: Times, ...elements: ReadonlyArray<number>) =>
  at<SetOperation>(times, { type: "read", elements })

const add = (times: Times, element: number, outcome: "applied" | "present" = "applied") =>
  at<SetOperation>(times, { type: "add", element, outcome })

const openAdd = (call: number, element: number) =>
  at<SetOperation>([call, undefined], { type: "add", element, outcome: "unknown" })

const assertLinearizable = <State extends number | string, Operation>(
  model: Model<State, Operation>,
  ...history: ReadonlyArray<Entry<Operation>>
): void => assert.deepStrictEqual(check(model, history), { _tag: "Linearizable" })

/** That it is not, and because of this operation. */
const assertNot = <State extends number | string, Operation>(
  model: Model<State, Operation>,
  unexplained: string,
  ...history: ReadonlyArray<Entry<Operation>>
): void => {
  const verdict = check(model, history)
  assert.strictEqual(verdict._tag, "NotLinearizable")
  if (verdict._tag === "NotLinearizable") assert.include(verdict.description.split("\n")[0], unexplained)
}

describe("a register", () => {
  it("may be read and set one after another", () =>
    assertLinearizable(register, read([0, 1], 0), set([2, 3], 0, 5), read([4, 5], 5), refused([6, 7], 0, 1, 5)))

  it("without any operation is linearizable", () => assertLinearizable(register))

  it("may be read before or behind a set that is under way, in any order of answers", () => {
    assertLinearizable(register, set([0, 9], 0, 1), read([1, 2], 0), read([3, 4], 1), read([5, 6], 1))
    assertLinearizable(register, set([0, 3], 0, 1), read([1, 9], 0), read([2, 4], 1))
  })

  it("takes an order of concurrent sets that is another than that of their answers", () =>
    assertLinearizable(register, set([0, 9], 0, 1), set([1, 8], 1, 2), set([2, 7], 2, 3), read([10, 11], 3)))

  it("is given away by a read that is stale", () =>
    assertNot(register, "[2, 3] read 0", set([0, 1], 0, 1), read([2, 3], 0)))

  it("is given away by a read that goes back", () =>
    assertNot(register, "[3, 4] read 0", set([0, 9], 0, 1), read([1, 2], 1), read([3, 4], 0)))

  it("is given away by a read of what nobody has set", () => assertNot(register, "read 7", read([0, 1], 7)))

  it("is given away by an update that is lost", () =>
    assertNot(register, "set 0 to 2: applied", set([0, 2], 0, 1), set([1, 3], 0, 2), read([4, 5], 2)))

  it("is given away by a set that was applied twice", () =>
    assertNot(register, "[4, 5] read 1", set([0, 1], 0, 1), set([2, 3], 1, 0), read([4, 5], 1)))

  it("is given away by a set that was applied, and then refused by its own value", () =>
    assertNot(register, "set 0 to 1: refused by 1", refused([0, 1], 0, 1, 1)))

  it("is given away by a set that was refused by the very value that it expected", () =>
    assertNot(register, "set 0 to 1: refused by 0", refused([0, 1], 0, 1, 0)))

  it("may have been set without an answer, and that may be seen much later", () =>
    assertLinearizable(register, openSet(0, 0, 1), read([2, 3], 0), read([4, 5], 0), read([6, 7], 1)))

  it("may never have been set without an answer", () =>
    assertLinearizable(register, openSet(0, 0, 1), set([2, 3], 0, 2), read([4, 5], 2)))

  it("was not set without an answer before that was asked for", () =>
    assertNot(register, "[0, 1] read 1", read([0, 1], 1), openSet(2, 0, 1)))

  it("was set without an answer once at the most", () =>
    assertNot(register, "[6, 7] read 1", openSet(0, 0, 1), read([2, 3], 1), set([4, 5], 1, 0), read([6, 7], 1)))

  it("may have been set twice by two without an answer, in either order, or by one of them", () => {
    assertLinearizable(register, openSet(0, 0, 1), openSet(1, 1, 2), read([2, 3], 0), read([4, 5], 2))
    assertLinearizable(register, openSet(0, 1, 2), openSet(1, 0, 1), read([2, 3], 1), read([4, 5], 2))
    assertLinearizable(register, openSet(0, 0, 1), openSet(1, 0, 2), read([2, 3], 2), read([4, 5], 2))
    assertNot(register, "[4, 5] read 1", openSet(0, 0, 1), openSet(1, 0, 2), read([2, 3], 2), read([4, 5], 1))
  })

  it("may have been set by two without an answer that are the same, but not by three", () => {
    const twice = [openSet(0, 0, 1), openSet(1, 0, 1), read([2, 3], 1), set([4, 5], 1, 0), read([6, 7], 1)]
    assertLinearizable(register, ...twice)
    assertNot(register, "[10, 11] read 1", ...twice, set([8, 9], 1, 0), read([10, 11], 1))
  })

  it("may come to a value by one way without an answer, so that the other one is left for later", () =>
    assertLinearizable(
      register,
      openSet(1, 2, 0),
      set([1, 3], 1, 0),
      openSet(2, 0, 2),
      openSet(2, 0, 1),
      openSet(7, 2, 1),
      set([7, 8], 0, 0),
      read([9, 11], 2)
    ))
})

describe("a set", () => {
  it("may grow and be read meanwhile", () =>
    assertLinearizable(
      growOnlySet,
      readAll([0, 1]),
      add([2, 9], 10),
      add([3, 8], 9),
      readAll([4, 5], 9),
      readAll([6, 7], 10, 9),
      add([10, 11], 9, "present")
    ))

  it("is given away by two reads that saw two additions in different orders", () =>
    assertNot(
      growOnlySet,
      "read {2}",
      add([0, 9], 1),
      add([1, 8], 2),
      readAll([2, 3], 1),
      readAll([4, 5], 2)
    ))

  it("is given away by an element that is missing", () =>
    assertNot(growOnlySet, "[4, 5] read {1}", add([0, 1], 1), add([2, 3], 2), readAll([4, 5], 1)))

  it("is given away by an element that was added twice", () =>
    assertNot(growOnlySet, "add 1: applied", add([0, 2], 1), add([1, 3], 1)))

  it("is given away by an element that was there before anybody added it", () =>
    assertNot(growOnlySet, "add 1: present", add([0, 1], 1, "present")))

  it("may hold what was added without an answer, or not, but not lose it", () => {
    assertLinearizable(growOnlySet, openAdd(0, 1), readAll([2, 3]), add([4, 5], 1, "present"), readAll([6, 7], 1))
    assertLinearizable(growOnlySet, openAdd(0, 1), add([2, 3], 1), readAll([4, 5], 1))
    assertNot(growOnlySet, "[4, 5] read {}", openAdd(0, 1), readAll([2, 3], 1), readAll([4, 5]))
  })
})

describe("the verdict", () => {
  it("is for each key by itself, and names the first that is not linearizable", () => {
    const history = [
      ...[set([0, 1], 0, 1), read([4, 5], 1)].map((entry) => ({ ...entry, key: "good" })),
      ...[set([2, 3], 0, 2), read([6, 7], 0)].map((entry) => ({ ...entry, key: "bad" }))
    ]
    const verdict = check(register, history)
    assert.deepInclude(verdict, { _tag: "NotLinearizable", key: "bad" })
  })

  it("tells what was not explained, in which states, and what was around it", () => {
    const history = [
      openSet(0, 7, 8),
      set([1, 2], 0, 1),
      set([3, 9], 1, 2),
      read([4, 6], 5)
    ]
    assert.deepStrictEqual(check(register, history), {
      _tag: "NotLinearizable",
      key: 0,
      description: [
        "0: nothing explains [4, 6] read 5",
        "  states that it was tried in: {1}, {2}",
        "  before it:",
        "    [1, 2] set 0 to 1: applied",
        "  at the same time:",
        "    [3, 9] set 1 to 2: applied",
        "  without an answer:",
        "    [0, never] set 7 to 8: unknown"
      ].join("\n")
    })
  })

  it("is Undecided when more would have to be tried than is allowed", () => {
    const history = [...numbered(9).map((n) => set([n, 100 + n], n, n + 1)), read([10, 99], 9), read([200, 201], 4)]
    assert.deepStrictEqual(check(register, history, { maxSteps: 5 }), { _tag: "Undecided", key: 0 })
    assert.strictEqual(check(register, history)._tag, "NotLinearizable")
  })
})

// -----------------------------------------------------------------------------
// Histories at random
// -----------------------------------------------------------------------------

/** By trying every order of every choice of the open ones. */
const isLinearizable = <State extends number | string, Operation>(
  model: Model<State, Operation>,
  history: ReadonlyArray<Entry<Operation>>,
  state: State = model.init
): boolean =>
  history.every((entry) => entry.return === undefined) ||
  history.some((entry) => {
    if (history.some((other) => (other.return ?? Infinity) < entry.call)) return false
    const next = model.step(state, entry.operation)
    return next !== undefined && isLinearizable(model, history.filter((other) => other !== entry), next)
  })

interface Simulation<Operation> {
  readonly operations: number
  readonly keys: number
  readonly concurrency: number
  /** The share of operations without an answer. */
  readonly open: number
  readonly random: () => number
  /** Does one to the state, and tells with what outcome. */
  readonly make: (key: number, random: () => number) => Operation
  readonly asOpen: (operation: Operation) => Operation | undefined
}

/** What a single copy gives to so many clients: each is done at some time between its call and its answer. */
const simulate = <Operation>(
  { asOpen, concurrency, keys, make, open, operations, random }: Simulation<Operation>
): ReadonlyArray<Entry<Operation>> => {
  const history: Array<Entry<Operation>> = []
  const idle = (call: number) => ({ key: Math.floor(random() * keys), call, done: undefined as Operation | undefined })
  const clients = numbered(concurrency).map(idle)
  const end = ({ call, done, key }: typeof clients[number], answer: number | undefined) => {
    const opened = answer === undefined && done !== undefined ? asOpen(done) : undefined
    if (opened !== undefined) history.push({ key, operation: opened, call, return: undefined })
    else if (answer !== undefined) history.push({ key, operation: done!, call, return: answer })
  }
  for (let now = concurrency; history.length < operations; now++) {
    const place = Math.floor(random() * concurrency)
    const client = clients[place]!
    if (client.done === undefined) {
      client.done = make(client.key, random)
      continue
    }
    end(client, random() < open ? undefined : now)
    clients[place] = idle(now + 0.5)
  }
  // Others may have seen what these have done.
  for (const client of clients) end(client, undefined)
  return history
}

const simulateRegister = (
  options: Omit<Simulation<RegisterOperation>, "asOpen" | "make">,
  values = 5
): ReadonlyArray<Entry<RegisterOperation>> => {
  const state = new Map<number, number>()
  return simulate<RegisterOperation>({
    ...options,
    make: (key, random) => {
      const current = state.get(key) ?? 0
      if (random() < 0.3) return { type: "read", value: current }
      const from = Math.floor(random() * values)
      const to = Math.floor(random() * values)
      if (from !== current) return { type: "compareAndSet", from, to, outcome: { current } }
      state.set(key, to)
      return { type: "compareAndSet", from, to, outcome: "applied" }
    },
    // One that was refused was done too, but nobody sees it.
    asOpen: (operation) => operation.type === "read" ? undefined : { ...operation, outcome: "unknown" }
  })
}

const simulateSet = (
  options: Omit<Simulation<SetOperation>, "asOpen" | "make">,
  elements: number
): ReadonlyArray<Entry<SetOperation>> => {
  const state = new Map<number, Set<number>>()
  return simulate<SetOperation>({
    ...options,
    make: (key, random) => {
      const current = state.get(key) ?? new Set()
      state.set(key, current)
      if (random() < 0.5) return { type: "read", elements: [...current] }
      const element = Math.floor(random() * elements)
      const outcome = current.has(element) ? "present" : "applied"
      current.add(element)
      return { type: "add", element, outcome }
    },
    asOpen: (operation) => operation.type === "read" ? undefined : { ...operation, outcome: "unknown" }
  })
}

describe("of histories at random", () => {
  const random = randomNumbers(1)

  /** Mostly not linearizable any more. */
  const falsify = (entry: Entry<RegisterOperation>): Entry<RegisterOperation> =>
    entry.operation.type === "read"
      ? { ...entry, operation: { type: "read", value: (entry.operation.value + 1) % 3 } }
      : entry

  it("small ones are judged as by trying every order", () => {
    const verdicts = { Linearizable: 0, NotLinearizable: 0, Undecided: 0 }
    for (let run = 0; run < 2000; run++) {
      const history = simulateRegister({ operations: 7, keys: 1, concurrency: 4, open: 0.4, random }, 3)
      const falsified = history.map((entry) => random() < 0.2 ? falsify(entry) : entry)
      const { _tag } = check(register, falsified)
      assert.strictEqual(_tag === "Linearizable", isLinearizable(register, falsified), JSON.stringify(falsified))
      verdicts[_tag]++
    }
    assert.isAbove(verdicts.Linearizable, 200)
    assert.isAbove(verdicts.NotLinearizable, 200)
  })

  it("those of a single copy are linearizable, with two thousand operations and many without an answer", () => {
    for (const open of [0, 0.05, 0.5]) {
      const options = { operations: 2000, keys: 20, concurrency: 10, open, random }
      assertLinearizable(register, ...simulateRegister(options))
      assertLinearizable(growOnlySet, ...simulateSet(options, 30))
    }
  })

  it("those of one key alone are too", () => {
    const options = { operations: 1000, keys: 1, concurrency: 10, open: 0.1, random }
    assertLinearizable(register, ...simulateRegister(options))
    assertLinearizable(growOnlySet, ...simulateSet(options, 100))
  })

  it("one false read among two thousand operations is found, with many without an answer", () => {
    for (const open of [0, 0.05, 0.2]) {
      const history = simulateRegister({ operations: 2000, keys: 20, concurrency: 10, open, random })
      const last = history.findLast(({ operation }) => operation.type === "read")!
      const falsified = { ...last, operation: { type: "read", value: 99 } as const }
      const verdict = check(register, history.map((entry) => entry === last ? falsified : entry))
      assert.deepInclude(verdict, { _tag: "NotLinearizable", key: last.key })
    }
  })
})
