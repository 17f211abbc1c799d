/**
 * One Cassandra node in a JVM of this machine.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Certificate from "./certificate.ts"
import { execute, type ExecuteError } from "./execute.ts"
import * as Jvm from "./jvm.ts"
import type { Report } from "./progress.ts"
import * as Settings from "./settings.ts"
import * as Supervised from "./supervised.ts"

/** The node ended, or never began, before it served. */
export class NodeError extends Data.TaggedError("NodeError")<{
  readonly message: string
  readonly log: ReadonlyArray<string>
  /** Another process was faster; another port may do. */
  readonly portTaken: boolean
}> {}

/** What a node is made of. */
export interface NodeOptions extends Jvm.JvmOptions, Settings.SettingsOptions {
  readonly version: string
  readonly localDataCenter: string
  readonly report: Report
}

/** A node, which goes with its scope. */
export interface Node {
  readonly folder: string
  readonly logFile: string
  readonly certificate: Certificate.Certificate | undefined
  readonly processId: Effect.Effect<Option.Option<number>>
  /** Starts the node, and waits until it serves; on the same data, when it was killed before. */
  readonly start: Effect.Effect<void, NodeError>
  /** Ends the process at once, as a power cut does, and waits until it has gone. */
  readonly kill: Effect.Effect<void>
  /** Stops the process without ending it. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly nodetool: (...args: ReadonlyArray<string>) => Effect.Effect<string, ExecuteError>
}

/** Prepares a node's folder; nothing runs before `start`. */
export const make = Effect.fnUntraced(function*(options: NodeOptions): Effect.fn.Return<Node, NodeError, Scope.Scope> {
  const scope = yield* Effect.scope
  const supervised = yield* Effect.mapError(
    Supervised.make(join(tmpdir(), `effect-cassandra-${randomUUID()}`)),
    ({ message }) => nodeError(message)
  )
  const { folder } = supervised
  const certificate = options.tls ? yield* makeCertificate(folder, options) : undefined
  yield* Effect.mapError(Settings.write(folder, options, certificate), ({ message }) => nodeError(message))

  const state: State = { running: undefined, hasServed: false }
  return {
    folder,
    logFile: join(folder, Settings.logFile),
    certificate,
    processId: Effect.sync(() => Option.fromUndefinedOr(state.running?.processId)),
    start: start(state, supervised, options, scope),
    kill: kill(state),
    pause: Effect.suspend(() => sendSignal(state.running, "SIGSTOP")),
    resume: Effect.suspend(() => sendSignal(state.running, "SIGCONT")),
    nodetool: (...args) => execute(Jvm.nodetool(options, folder, args))
  }
})

// internal

interface State {
  /** The process that is meant to live. */
  running: Running | undefined
  hasServed: boolean
}

/** A process of the node, from its start to its end. */
interface Running {
  processId: number | undefined
  readonly ready: Deferred.Deferred<void, NodeError>
  readonly ended: Deferred.Deferred<void>
  readonly lastLines: Array<string>
}

const makeRunning = (): Running => ({
  processId: undefined,
  ready: Deferred.makeUnsafe(),
  ended: Deferred.makeUnsafe(),
  lastLines: []
})

const nodeError = (message: string, log: ReadonlyArray<string> = []): NodeError =>
  new NodeError({ message, log, portTaken: log.some((line) => portTaken.test(line)) })

// Written as Netty and Cassandra do, for each of the three ports.
const portTaken = /Address already in use|in use by another process|Failed to bind port/

const sendSignal = (running: Running | undefined, signal: NodeJS.Signals): Effect.Effect<void> => {
  const processId = running?.processId
  return processId === undefined
    ? Effect.void
    : Effect.ignore(Effect.try({ try: () => process.kill(processId, signal), catch: (cause) => cause }))
}

const makeCertificate = (
  folder: string,
  { address, java }: NodeOptions
): Effect.Effect<Certificate.Certificate, NodeError> =>
  Effect.mapError(
    Certificate.make(folder, java, address.host),
    ({ message, output }) => nodeError(message, output.split("\n"))
  )

const start = Effect.fnUntraced(function*(
  state: State,
  supervised: Supervised.Supervised,
  options: NodeOptions,
  scope: Scope.Scope
): Effect.fn.Return<void, NodeError> {
  const running = state.running = makeRunning()
  yield* supervised.run(Jvm.node(options, supervised.folder), {
    onStart: (processId) => Effect.sync(() => running.processId = processId),
    onLine: readLog(running, state, options)
  }).pipe(
    Effect.match({
      onFailure: ({ message }) => message,
      onSuccess: ({ code, signal }) => `the process ended with ${signal ?? `code ${code}`}`
    }),
    Effect.flatMap((reason) => hasEnded(running, state, options, reason)),
    Effect.forkIn(scope)
  )
  yield* Deferred.await(running.ready)
  state.hasServed = true
})

const kill = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { running } = state
    state.running = undefined
    return running ? Effect.andThen(sendSignal(running, "SIGKILL"), Deferred.await(running.ended)) : Effect.void
  })

const hasEnded = Effect.fnUntraced(function*(
  running: Running,
  state: State,
  { report }: NodeOptions,
  reason: string
): Effect.fn.Return<void> {
  const beforeItServed = yield* Deferred.fail(running.ready, nodeError(reason, running.lastLines))
  yield* Deferred.succeed(running.ended, undefined)
  if (state.running !== running) return
  state.running = undefined
  if (!beforeItServed) yield* report({ message: `Apache Cassandra is gone: ${reason}`, final: true })
})

const readLog = (running: Running, state: State, options: NodeOptions): (line: string) => Effect.Effect<void> => {
  const message = `Starting Apache Cassandra ${options.version} on Java ${options.java.version}`
  const awaited = new Set([listening])
  if (options.authentication && !state.hasServed) awaited.add(superuserCreated)
  return (line) => {
    running.lastLines.push(line)
    if (running.lastLines.length > lastLinesKept) running.lastLines.shift()
    if (awaited.size === 0) return Effect.void
    for (const text of awaited) if (line.includes(text)) awaited.delete(text)
    return awaited.size > 0
      ? options.report({ message, detail: line.replace(levelAndDate, "") })
      : Effect.asVoid(Deferred.succeed(running.ready, undefined))
  }
}

// CassandraDaemon says it after the port is bound; "Starting listening for CQL clients" comes before.
const listening = "Startup complete"

// On data that has it already, nobody says so.
const superuserCreated = "Created default superuser role"

const levelAndDate = /^[A-Z]+ +[\d-]+ [\d:,]+ /

const lastLinesKept = 200
