/**
 * The service of examples/http-api, to be asked over real HTTP: in this process, or in one of its own.
 */
import { Session } from "effect-cassandra"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { spawn } from "node:child_process"
import { AppLive } from "../../../examples/http-api/app.ts"
import { createTables } from "../../../examples/http-api/tables.ts"
import * as Keyspace from "../../support/keyspace.ts"

/** A keyspace of a test file's own, with the tables. */
export const keyspace = Layer.provideMerge(Layer.effectDiscard(createTables), Layer.fresh(Keyspace.layer))

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of a body that is JSON. */
  readonly json: any
}

export interface Asked {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

/** Asks with a body of JSON, or of NDJSON where it is a text. Dies where there is no answer. */
export const ask = (url: string, { body, headers, method = body === undefined ? "GET" : "POST" }: Asked = {}) =>
  Effect.promise(async (signal): Promise<Answer> => {
    const type = typeof body === "string" ? "application/x-ndjson" : "application/json"
    const response = await fetch(url, {
      method,
      signal,
      headers: { ...(body === undefined ? {} : { "content-type": type }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
    })
    const text = await response.text()
    const isJson = /^application\/(problem\+)?json$/.test(response.headers.get("content-type") ?? "")
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
  })

/** Asks again and again until the answer is such a one. */
export const askUntil = (url: string, isIt: (answer: Answer) => boolean): Effect.Effect<Answer> =>
  ask(url).pipe(Effect.repeat({ until: isIt, schedule: Schedule.spaced("20 millis") }))

const settings = { HOST: "127.0.0.1", PORT: "0", CURSOR_KEYS: "the key of the tests", DRAIN_DELAY: "0 seconds" }

/** Runs the service in this process, on a session of the keyspace or one of the test's own, and tells its URL. */
export const start = Effect.fnUntraced(function*(
  { cursorKeys, session, tracer }: {
    readonly cursorKeys?: string
    readonly session?: Session.Options
    readonly tracer?: Tracer.Tracer
  } = {}
): Effect.fn.Return<string, never, Session | Scope.Scope> {
  const shared = yield* Session
  const app = AppLive.pipe(
    Layer.provide(
      session === undefined
        ? Layer.succeed(Session, shared)
        : Session.layer({ ...session, keyspace: session.keyspace ?? shared.keyspace })
    ),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({
      ...settings,
      ...(cursorKeys === undefined ? {} : { CURSOR_KEYS: cursorKeys })
    }))),
    Layer.provide(Logger.layer([])),
    Layer.provide(tracer === undefined ? Layer.empty : Layer.succeed(Tracer.Tracer, tracer))
  )
  const services = yield* Layer.build(Layer.fresh(app)).pipe(Effect.orDie)
  return yield* HttpServer.addressFormattedWith(Effect.succeed).pipe(Effect.provideContext(services))
})

export interface Process {
  readonly url: string
  readonly pid: number
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Whether it still runs. */
  readonly isRunning: () => boolean
  /** Waits for its end, and tells its code or the signal that has killed it. */
  readonly ended: Effect.Effect<number | NodeJS.Signals | null>
}

const main = new URL("../../../examples/http-api/main.ts", import.meta.url).pathname

/** Runs the service as a process of its own, against the cluster that the environment names, and waits until it listens. */
export const startProcess = Effect.fnUntraced(function*(
  environment: Readonly<Record<string, string>>
): Effect.fn.Return<Process, never, Session | Scope.Scope> {
  const { keyspace } = yield* Session
  const child = spawn(process.execPath, ["--conditions=effect-cassandra-source", main], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...settings, CASSANDRA_KEYSPACE: keyspace, ...environment }
  })
  const end = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal))
  })
  const ended = Effect.promise(() => end)
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), ended))
  const listening = Effect.callback<string>((resume) => {
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += String(chunk)
      const url = /Listening on (\S+)/.exec(output)?.[1]
      if (url !== undefined) resume(Effect.succeed(url))
    })
  })
  const early = Effect.flatMap(ended, (how) => Effect.die(new Error(`the service has ended with ${how}`)))
  return {
    url: yield* Effect.raceFirst(listening, early),
    pid: child.pid!,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    isRunning: () => child.exitCode === null && child.signalCode === null,
    ended
  }
})
