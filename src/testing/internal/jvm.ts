/**
 * The command lines that run Cassandra in a JVM.
 */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import type { NodeAddress } from "./address.ts"
import type { Java } from "./java.ts"
import type { Command } from "./supervisor.ts"

/** What the command lines follow from. */
export interface JvmOptions {
  readonly java: Java
  /** The folder with Cassandra's jars. */
  readonly jars: string
  readonly heap: string
  /** More options of the JVM that runs the node. */
  readonly flags?: ReadonlyArray<string>
  readonly address: NodeAddress
}

/** Runs a node on the configuration in a folder. */
export const node = (options: JvmOptions, folder: string): Command => ({
  command: command(options),
  args: [
    `-Xmx${options.heap}`,
    "-XX:+UseG1GC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    ...(options.flags ?? []),
    ...modules,
    ...properties(nodeProperties(options, folder)),
    "-cp",
    join(options.jars, "*"),
    "org.apache.cassandra.service.CassandraDaemon"
  ],
  env: environment
})

/** Runs an administration command on the node in a folder. */
export const nodetool = (options: JvmOptions, folder: string, args: ReadonlyArray<string>): Command => ({
  command: command(options),
  args: [
    // It is over before a better compiler pays.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    ...modules,
    ...properties([
      ["logback.configurationFile", url(folder, "logback-nodetool.xml")],
      // It keeps a history there.
      ["user.home", join(folder, "tmp")]
    ]),
    "-cp",
    join(options.jars, "*"),
    "org.apache.cassandra.tools.NodeTool",
    "--port",
    String(options.address.jmxPort),
    ...args
  ],
  env: environment
})

// internal

type Property = readonly [name: string, value: string | number]

const command = ({ java }: JvmOptions): string => join(java.home, "bin", "java")

// Options for every JVM of this user are not meant for this one.
const environment = { ...process.env, JAVA_TOOL_OPTIONS: undefined, JDK_JAVA_OPTIONS: undefined }

const properties = (list: ReadonlyArray<Property>): ReadonlyArray<string> =>
  list.map(([name, value]) => `-D${name}=${value}`)

const url = (folder: string, name: string): string => pathToFileURL(join(folder, name)).href

const nodeProperties = ({ address }: JvmOptions, folder: string): ReadonlyArray<Property> => [
  ["cassandra.config", url(folder, "cassandra.yaml")],
  ["cassandra-rackdc.properties", url(folder, "cassandra-rackdc.properties")],
  ["logback.configurationFile", url(folder, "logback.xml")],
  ["cassandra.storagedir", folder],
  ["cassandra-foreground", "yes"],
  ["cassandra.jmx.local.port", address.jmxPort],
  // What follows makes a node start in seconds; each wait guards a cluster that other nodes may join meanwhile.
  ["cassandra.ring_delay_ms", 1000],
  ["cassandra.skip_wait_for_gossip_to_settle", 0],
  ["cassandra.consistent.rangemovement", "false"],
  ["cassandra.superuser_setup_delay_ms", 0],
  // A login costs a tenth of a second of CPU with the default of ten.
  ["cassandra.auth_bcrypt_gensalt_log2_rounds", 4],
  // Native libraries are unpacked at the start, and would be left behind in the system's folder.
  ["java.io.tmpdir", join(folder, "tmp")],
  ["jna.tmpdir", join(folder, "tmp")],
  ["io.netty.tryReflectionSetAccessible", "true"],
  ["jdk.attach.allowAttachSelf", "true"]
]

const exported = [
  "java.base/jdk.internal.misc",
  "java.base/jdk.internal.ref",
  "java.base/sun.nio.ch",
  "java.management.rmi/com.sun.jmx.remote.internal.rmi",
  "java.rmi/sun.rmi.registry",
  "java.rmi/sun.rmi.server",
  "java.rmi/sun.rmi.transport.tcp",
  "java.sql/java.sql"
]

const opened = [
  "java.base/java.io",
  "java.base/java.lang",
  "java.base/java.lang.module",
  "java.base/java.net",
  "java.base/java.nio",
  "java.base/java.util",
  "java.base/java.util.concurrent",
  "java.base/java.util.concurrent.atomic",
  "java.base/jdk.internal.loader",
  "java.base/jdk.internal.math",
  "java.base/jdk.internal.module",
  "java.base/jdk.internal.ref",
  "java.base/jdk.internal.reflect",
  "java.base/jdk.internal.util.jar",
  "java.base/sun.nio.ch",
  "jdk.management/com.sun.management.internal"
]

const modules = [
  ...exported.flatMap((name) => ["--add-exports", `${name}=ALL-UNNAMED`]),
  ...opened.flatMap((name) => ["--add-opens", `${name}=ALL-UNNAMED`])
]
