/**
 * Whether a history of concurrent operations is one that a single copy, which does one after another, could have given:
 * the algorithm of Wing and Gong with the memoisation of Lowe, key by key. Beside it, the models of what lightweight
 * transactions are tested with: a register and a grow-only set.
 *
 * What is not needed to decide is not tried: an operation that fits and changes nothing is taken at once; of open
 * operations that say the same only the first is taken, and none that would change nothing; and where a state was
 * reached with fewer open operations before, it is not looked at again.
 */

/** What a single copy does. A state is compared by `===`. */
export interface Model<State extends number | string, Operation> {
  readonly init: State
  /** The state behind an operation, with its outcome; `undefined` where it cannot have that outcome. */
  readonly step: (state: State, operation: Operation) => State | undefined
  /** All that is to be said of it: open operations that are described alike are the same to the checker. */
  readonly describe: (operation: Operation) => string
}

/**
 * An operation with its outcome. One that has certainly failed belongs into no history; one that failed without an
 * effect that others could see, such as a read, neither.
 */
export interface Entry<Operation> {
  /** Of what it was done to; each key is checked by itself. */
  readonly key: number | string
  readonly operation: Operation
  /** When it was called and answered, by one clock for all. */
  readonly call: number
  /** `undefined` where nobody knows whether it was done: it may have been at any time behind the call, or never. */
  readonly return: number | undefined
}

export type Verdict =
  | { readonly _tag: "Linearizable" }
  | { readonly _tag: "NotLinearizable"; readonly key: number | string; readonly description: string }
  /** More was to be tried than was allowed. */
  | { readonly _tag: "Undecided"; readonly key: number | string }

/** Checks each key, and tells of the first that is not linearizable. `maxSteps` bounds what is tried for a key. */
export const check = <State extends number | string, Operation>(
  model: Model<State, Operation>,
  history: ReadonlyArray<Entry<Operation>>,
  { maxSteps = 1_000_000 }: { readonly maxSteps?: number } = {}
): Verdict => {
  let verdict: Verdict = { _tag: "Linearizable" }
  for (const [key, entries] of Map.groupBy(history, ({ key }) => key)) {
    const found = new Search(model, key, entries).run(maxSteps)
    if (found._tag === "NotLinearizable") return found
    if (found._tag === "Undecided") verdict = found
  }
  return verdict
}

/** Reads, and `UPDATE ... IF value = ...`. */
export type RegisterOperation =
  | { readonly type: "read"; readonly value: number }
  | {
    readonly type: "compareAndSet"
    readonly from: number
    readonly to: number
    readonly outcome: "applied" | "unknown" | { readonly current: number }
  }

export const register: Model<number, RegisterOperation> = {
  init: 0,
  step: (state, operation) => {
    if (operation.type === "read") return operation.value === state ? state : undefined
    const { from, outcome, to } = operation
    if (typeof outcome === "string") return state === from ? to : undefined
    return state === outcome.current && state !== from ? state : undefined
  },
  describe: (operation) => {
    if (operation.type === "read") return `read ${operation.value}`
    const { from, outcome, to } = operation
    const text = typeof outcome === "string" ? outcome : `refused by ${outcome.current}`
    return `set ${from} to ${to}: ${text}`
  }
}

/** Reads of a whole partition, and `INSERT ... IF NOT EXISTS` of an element. */
export type SetOperation =
  | { readonly type: "read"; readonly elements: ReadonlyArray<number> }
  | { readonly type: "add"; readonly element: number; readonly outcome: "applied" | "present" | "unknown" }

/** A state is the elements in order, such as `1,4,7`. */
export const growOnlySet: Model<string, SetOperation> = {
  init: "",
  step: (state, operation) => {
    if (operation.type === "read") return stateOf(operation.elements) === state ? state : undefined
    const elements = elementsOf(state)
    const isThere = elements.includes(operation.element)
    if (operation.outcome === "present") return isThere ? state : undefined
    return isThere ? undefined : stateOf([...elements, operation.element])
  },
  describe: (operation) =>
    operation.type === "read"
      ? `read {${stateOf(operation.elements)}}`
      : `add ${operation.element}: ${operation.outcome}`
}

// internal

const stateOf = (elements: ReadonlyArray<number>): string => elements.toSorted((a, b) => a - b).join()

const elementsOf = (state: string): ReadonlyArray<number> => state === "" ? [] : state.split(",").map(Number)

/** An operation of one key, by its place in the order of calls. */
interface Operation<Op> {
  readonly index: number
  readonly entry: Entry<Op>
  readonly return: number
  /** Of an open one its bit among them, else 0. */
  readonly bit: bigint
  /** The same for open ones that say the same. */
  readonly text: string
}

interface Choice<State, Op> {
  readonly operation: Operation<Op>
  readonly state: State
}

/** What has been linearized so far, and what could be next. */
interface Frame<State, Op> {
  readonly state: State
  /** The open operations that were taken. */
  readonly taken: bigint
  /** The last one by call that is no open one, of those that were taken. */
  readonly last: number
  /** What led here. */
  readonly operation: Operation<Op> | undefined
  readonly choices: ReadonlyArray<Choice<State, Op>>
  next: number
}

/** The answer that could not be come past, and how near to it one came. */
interface Obstacle<State, Op> {
  readonly blocked: Operation<Op>
  readonly states: Set<State>
  readonly path: ReadonlyArray<Operation<Op>>
  readonly waiting: ReadonlyArray<Operation<Op>>
}

class Search<State extends number | string, Op> {
  private readonly model: Model<State, Op>
  private readonly key: number | string
  private readonly operations: ReadonlyArray<Operation<Op>>
  /** Those not taken yet, as a chain in the order of calls that begins behind the last index. */
  private readonly following: Array<number>
  private readonly preceding: Array<number>
  /** Those not taken yet that must be. */
  private left: number
  private readonly frames: Array<Frame<State, Op>> = []
  private readonly visited = new Map<string, Array<bigint>>()
  private obstacle: Obstacle<State, Op> | undefined

  constructor(model: Model<State, Op>, key: number | string, entries: ReadonlyArray<Entry<Op>>) {
    this.model = model
    this.key = key
    let open = 0n
    this.operations = entries.toSorted((a, b) => a.call - b.call).map((entry, index) => ({
      index,
      entry,
      return: entry.return ?? Infinity,
      bit: entry.return === undefined ? 1n << open++ : 0n,
      text: entry.return === undefined ? model.describe(entry.operation) : ""
    }))
    const { length } = this.operations
    this.following = Array.from({ length: length + 1 }, (_, index) => index === length ? 0 : index + 1)
    this.preceding = Array.from({ length: length + 1 }, (_, index) => index === 0 ? length : index - 1)
    this.left = length - Number(open)
  }

  run(maxSteps: number): Verdict {
    this.enter(this.model.init, undefined)
    for (let steps = 0; this.left > 0; steps++) {
      if (steps >= maxSteps) return { _tag: "Undecided", key: this.key }
      const frame = this.frames.at(-1)
      if (frame === undefined) return { _tag: "NotLinearizable", key: this.key, description: this.explain() }
      const choice = frame.choices[frame.next++]
      if (choice === undefined) this.leave()
      else this.take(choice)
    }
    return { _tag: "Linearizable" }
  }

  private take({ operation, state }: Choice<State, Op>): void {
    this.unlink(operation)
    this.enter(state, operation)
    if (this.wasVisited()) this.leave()
  }

  private enter(state: State, operation: Operation<Op> | undefined): void {
    const before = this.frames.at(-1)
    const isOpen = operation !== undefined && operation.bit !== 0n
    this.frames.push({
      state,
      taken: (before?.taken ?? 0n) | (operation?.bit ?? 0n),
      last: Math.max(before?.last ?? -1, operation === undefined || isOpen ? -1 : operation.index),
      operation,
      choices: this.choicesIn(state, operation),
      next: 0
    })
  }

  private leave(): void {
    const { operation } = this.frames.pop()!
    if (operation !== undefined) this.link(operation)
  }

  private unlink({ bit, index }: Operation<Op>): void {
    this.following[this.preceding[index]!] = this.following[index]!
    this.preceding[this.following[index]!] = this.preceding[index]!
    if (bit === 0n) this.left--
  }

  private link({ bit, index }: Operation<Op>): void {
    this.following[this.preceding[index]!] = index
    this.preceding[this.following[index]!] = index
    if (bit === 0n) this.left++
  }

  /** Those not taken yet that were called before the first of them was answered. */
  private candidates(): ReadonlyArray<Operation<Op>> {
    const candidates: Array<Operation<Op>> = []
    const end = this.operations.length
    let firstReturn = Infinity
    for (let index = this.following[end]!; index !== end; index = this.following[index]!) {
      const operation = this.operations[index]!
      if (operation.entry.call > firstReturn) break
      firstReturn = Math.min(firstReturn, operation.return)
      candidates.push(operation)
    }
    return candidates
  }

  private choicesIn(state: State, before: Operation<Op> | undefined): ReadonlyArray<Choice<State, Op>> {
    const candidates = this.candidates()
    const choices: Array<Choice<State, Op>> = []
    const openChoices = new Map<string, Choice<State, Op>>()
    for (const operation of candidates) {
      const isOpen = operation.bit !== 0n
      if (isOpen && openChoices.has(operation.text)) continue
      const next = this.model.step(state, operation.entry.operation)
      if (next === undefined || isOpen && next === state) continue
      if (next === state) return [{ operation, state }]
      if (isOpen) openChoices.set(operation.text, { operation, state: next })
      else choices.push({ operation, state: next })
    }
    this.noteObstacle(state, before, candidates)
    return [...choices, ...openChoices.values()]
  }

  /** Whether the same was left to do in this state before, with no fewer open operations at hand. */
  private wasVisited(): boolean {
    const { last, state, taken } = this.frames.at(-1)!
    const key = `${state} ${last} ${this.leftBefore(last)}`
    const visits = this.visited.get(key)
    if (visits === undefined) {
      this.visited.set(key, [taken])
      return false
    }
    if (visits.some((visit) => (visit & taken) === visit)) return true
    visits.push(taken)
    return false
  }

  private leftBefore(last: number): string {
    let left = ""
    for (let index = this.following[this.operations.length]!; index < last; index = this.following[index]!) {
      if (this.operations[index]!.bit === 0n) left += ` ${index}`
    }
    return left
  }

  private noteObstacle(
    state: State,
    before: Operation<Op> | undefined,
    waiting: ReadonlyArray<Operation<Op>>
  ): void {
    const blocked = waiting.reduce(
      (first, operation) => operation.return < first.return ? operation : first,
      waiting[0]!
    )
    if (blocked === undefined || blocked.bit !== 0n) return
    const farthest = this.obstacle
    if (farthest?.blocked === blocked) return void farthest.states.add(state)
    if (farthest !== undefined && farthest.blocked.return > blocked.return) return
    const last = this.frames.slice(1 - maxShown).map(({ operation }) => operation)
    const path = [...last, before].filter((operation) => operation !== undefined)
    this.obstacle = { blocked, states: new Set([state]), path, waiting: waiting.filter((other) => other !== blocked) }
  }

  private explain(): string {
    const { blocked, path, states, waiting } = this.obstacle!
    const open = waiting.filter(({ bit }) => bit !== 0n)
    const answered = waiting.filter(({ bit }) => bit === 0n)
    return [
      `${this.key}: nothing explains ${this.show(blocked)}`,
      `states that it was tried in: ${[...states].slice(0, maxShown).map((state) => `{${state}}`).join(", ")}`,
      ...this.list("before it", path),
      ...this.list("at the same time", answered.slice(-maxShown)),
      ...this.list("without an answer", open.slice(-maxShown))
    ].join("\n  ")
  }

  private list(title: string, operations: ReadonlyArray<Operation<Op>>): ReadonlyArray<string> {
    return operations.length === 0 ? [] : [`${title}:`, ...operations.map((operation) => `  ${this.show(operation)}`)]
  }

  private show({ entry }: Operation<Op>): string {
    return `[${entry.call}, ${entry.return ?? "never"}] ${this.model.describe(entry.operation)}`
  }
}

const maxShown = 6
