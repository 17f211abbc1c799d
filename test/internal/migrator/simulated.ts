/**
 * A session that answers as a server with the table of migrations would, by the test's clock, and what happens to it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { CqlError } from "../../../src/index.ts"
import { Session } from "../../../src/index.ts"

export type Kind =
  | "acquire"
  | "renew"
  | "release"
  | "begin"
  | "finish"
  | "read"
  | "create"
  | "local"
  | "peers"
  | "other"

const kindOf = (text: string): Kind => {
  if (text.includes("system.local")) return "local"
  if (text.includes("system.peers")) return "peers"
  if (text.startsWith("CREATE TABLE IF NOT EXISTS \"ks\".\"effect_cassandra_migrations\"")) return "create"
  if (!text.includes("\"effect_cassandra_migrations\"")) return "other"
  if (text.startsWith("SELECT")) return "read"
  if (text.startsWith("DELETE")) return "release"
  if (text.includes("lock_owner = NULL")) return "acquire"
  if (text.includes("state = 'begun'")) return "begin"
  return text.includes("state = 'applied'") ? "finish" : "renew"
}

interface Migrated {
  name: string
  checksum: string | null
  state: "begun" | "applied"
  owner: string
}

/** In place of an answer; what was asked for is done before that, or never, or only when the same is asked for again. */
export type Fault = { readonly error: CqlError; readonly when: "before" | "after" | "late" } | undefined

const uuid = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`

export class Simulated {
  readonly asked: Array<Kind> = []
  readonly rows = new Map<number, Migrated>()
  lock: { owner: string; process: string; until: number } | undefined
  /** Of the one node that is asked, and of the others. */
  versions: ReadonlyArray<number> = [1]
  private readonly late = new Map<Kind, () => unknown>()
  fault: (kind: Kind, before: number) => Fault = () => undefined

  count(kind: Kind): number {
    return this.asked.filter((asked) => asked === kind).length
  }

  readonly answer = (request: Session.TestRequest): Effect.Effect<ReadonlyArray<object>, CqlError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const kind = kindOf(request.text)
      const fault = this.fault(kind, this.count(kind))
      this.asked.push(kind)
      this.late.get(kind)?.()
      this.late.delete(kind)
      if (fault?.when === "late") this.late.set(kind, () => this.rowsFor(kind, request.parameters, now))
      if (fault !== undefined && fault.when !== "after") return Effect.fail(fault.error)
      const rows = this.rowsFor(kind, request.parameters, now)
      return fault === undefined ? Effect.succeed(rows) : Effect.fail(fault.error)
    })

  readonly layer: Layer.Layer<Session, CqlError> = Session.layerTest(this.answer, { keyspace: "ks" })

  /** As another process has it. */
  holdFor(millis: number, now = 0): void {
    this.lock = { owner: uuid(9), process: "process 9 on elsewhere", until: now + millis }
  }

  private rowsFor(kind: Kind, parameters: ReadonlyArray<any>, now: number): ReadonlyArray<object> {
    if (this.lock !== undefined && this.lock.until <= now) this.lock = undefined
    switch (kind) {
      case "acquire": {
        const [ttl, owner, process] = parameters
        return this.applies(this.lock === undefined, () => this.lock = { owner, process, until: now + ttl * 1000 })
      }
      case "renew": {
        const [ttl, owner, process] = parameters
        return this.applies(this.lock?.owner === owner, () => this.lock = { owner, process, until: now + ttl * 1000 })
      }
      case "release":
        return this.applies(this.lock?.owner === parameters[0], () => this.lock = undefined)
      case "begin": {
        const [name, checksum, owner, , id, holder] = parameters
        return this.applies(
          this.lock?.owner === holder,
          () => this.rows.set(Number(id), { name, checksum, state: "begun", owner })
        )
      }
      case "finish": {
        const [, id, owner] = parameters
        const row = this.rows.get(Number(id))
        return this.applies(row?.owner === owner, () => row!.state = "applied")
      }
      case "read":
        return this.read(now)
      case "local":
        return [{ host_id: uuid(0), schema_version: uuid(this.versions[0]!) }]
      case "peers":
        return this.versions.slice(1).map((version, index) => ({
          host_id: uuid(index + 1),
          schema_version: uuid(version)
        }))
      default:
        return []
    }
  }

  private applies(holds: boolean, change: () => void): ReadonlyArray<object> {
    if (holds) change()
    return [{ "[applied]": holds }]
  }

  private read(now: number): ReadonlyArray<object> {
    const { lock } = this
    const statics = {
      lock_owner: lock?.owner ?? null,
      lock_process: lock?.process ?? null,
      lock_ttl: lock === undefined ? null : Math.ceil((lock.until - now) / 1000)
    }
    const rows = [...this.rows].toSorted(([a], [b]) => a - b).map(([id, row]) => ({
      id: BigInt(id),
      ...row,
      process: "process 1 on here",
      begun_at: new Date(0),
      applied_at: new Date(0),
      duration_millis: 1n,
      ...statics
    }))
    return rows.length > 0 || lock === undefined ? rows : [{ ...nulls, ...statics }]
  }
}

const nulls = {
  id: null,
  name: null,
  checksum: null,
  state: null,
  process: null,
  owner: null,
  begun_at: null,
  applied_at: null,
  duration_millis: null
}
