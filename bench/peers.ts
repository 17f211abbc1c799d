/**
 * Clients in other languages, where their toolchains are on this machine: each is a process that runs a block when it is
 * told to, and tells what that took it.
 */
import { CassandraServer } from "effect-cassandra/testing"
import * as Effect from "effect/Effect"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Case } from "./cases.ts"
import type { Block } from "./pairs.ts"

/** A block of a peer, and the number that it has made of what it read. */
export interface PeerBlock extends Block {
  readonly found: number
}

export interface Peer {
  readonly name: string
  readonly run: (block: Case) => Effect.Effect<PeerBlock>
}

/** Those that the peers know: the same statements on the same rows. */
export const peerCases = (cases: ReadonlyArray<Case>): ReadonlyArray<Case> =>
  cases.filter(({ name }) => /^(insert|select|lwt)(-\d+)?$|^stream-struct$/.test(name))

const folder = (name: string): string => fileURLToPath(new URL(`peers/${name}`, import.meta.url))

/** Outside of what is linted and compiled, and of git. */
const buildFolder = (name: string): string =>
  fileURLToPath(new URL(`../node_modules/.cache/bench/${name}`, import.meta.url))

/** Runs a program in the peer's folder. */
interface Run {
  (program: string, args: ReadonlyArray<string>): Promise<void>
}

interface Toolchain {
  readonly name: string
  readonly build: (run: Run) => Promise<void>
  readonly program: string
  readonly args: ReadonlyArray<string>
}

const python = `${buildFolder("async-cassandra")}/bin/python`

const toolchains: ReadonlyArray<Toolchain> = [
  {
    name: "gocql",
    build: (run) => run("go", ["build", "-mod=readonly", "-o", buildFolder("gocql"), "."]),
    program: buildFolder("gocql"),
    args: []
  },
  {
    name: "scylla-rust-driver",
    build: (run) => run("cargo", ["build", "--release", "--locked", "--target-dir", buildFolder("scylla-rust-driver")]),
    program: `${buildFolder("scylla-rust-driver")}/release/peer`,
    args: []
  },
  {
    name: "async-cassandra",
    build: async (run) => {
      if (!existsSync(python)) await run("python3", ["-m", "venv", buildFolder("async-cassandra")])
      // It asks for 3.12, and runs on 3.11.
      const asLocked = ["--require-hashes", "--ignore-requires-python", "-r", "requirements.txt"]
      await run(python, ["-m", "pip", "install", "--quiet", ...asLocked])
    },
    program: python,
    args: ["main.py"]
  }
]

const execute = promisify(execFile)

const buildOf = async ({ build, name }: Toolchain): Promise<void> => {
  process.stderr.write(`${name}: is built, which takes a minute or two the first time\n`)
  await build(async (program, args) => {
    await execute(program, args, { cwd: folder(name), maxBuffer: 2 ** 26 })
  })
}

// -----------------------------------------------------------------------------
// A process, and what is said to it
// -----------------------------------------------------------------------------

/** One line a block in, one line of JSON out. */
interface Answer {
  readonly found: number
  /** Wall time of the block. */
  readonly seconds: number
  /** User and system time of the process. */
  readonly cpuMicros: number
  /** Empty for a stream. */
  readonly p50?: number
  readonly p99?: number
}

interface Failed {
  readonly failed: string
}

class Process {
  private readonly child: ChildProcess
  private readonly answers: AsyncIterator<string>

  constructor({ args, name, program }: Toolchain, environment: Record<string, string>) {
    this.child = spawn(program, args, {
      cwd: folder(name),
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "inherit"]
    })
    // Whoever writes to a process that has ended learns so from its answers.
    this.child.stdin!.on("error", () => undefined)
    this.answers = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]()
  }

  async run({ count, inFlight = 1, name }: Case): Promise<PeerBlock> {
    const what = name.replace(/-\d+$/, "")
    this.child.stdin!.write(`${what} ${inFlight} ${count}\n`)
    const answer = JSON.parse(await this.nextLine()) as Answer | Failed
    if ("failed" in answer) throw new Error(answer.failed)
    const { cpuMicros, found, p50 = NaN, p99 = NaN, seconds } = answer
    return { found, cpu: cpuMicros / count, rate: count / seconds, p50, p99, heap: NaN }
  }

  /** It says so when it is connected. */
  async nextLine(): Promise<string> {
    const { done, value } = await this.answers.next()
    if (done === true) throw new Error("the process has ended")
    return value
  }

  /** It ends with its input. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, "exit")
    this.child.stdin!.end()
    await ended
  }
}

const start = Effect.fnUntraced(function*(toolchain: Toolchain) {
  const { name } = toolchain
  const server = yield* CassandraServer
  yield* Effect.tryPromise(() => buildOf(toolchain))
  const process = yield* Effect.acquireRelease(
    Effect.sync(() => new Process(toolchain, CassandraServer.toEnvironment(server))),
    (process) => Effect.promise(() => process.close())
  )
  yield* Effect.tryPromise(() => process.nextLine())
  return [{ name, run: (block) => Effect.promise(() => process.run(block)) } satisfies Peer as Peer]
})

const reasonOf = (cause: unknown): string =>
  (cause as { readonly code?: unknown }).code === "ENOENT" ? "its toolchain is not on this machine" : String(cause)

const skip = ({ name }: Toolchain, cause: unknown): ReadonlyArray<Peer> => {
  process.stderr.write(`${name}: skipped, ${reasonOf(cause)}\n`)
  return []
}

const startOrSkip = (toolchain: Toolchain) =>
  start(toolchain).pipe(Effect.catch(({ cause }) => Effect.sync(() => skip(toolchain, cause))))

/** Those that can be had; of each of the others, a word. */
export const startPeers = Effect.map(Effect.forEach(toolchains, startOrSkip), (peers) => peers.flat())
