/**
 * Every metric, named and described once: what is counted is made from this table, and so is that of the documentation.
 */

/**
 * A metric of this library, as an exporter shows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  /** By UCUM: `s` are seconds, `By` bytes, and in braces is what is counted. */
  readonly unit: string
  /** Besides `cluster`, which all have: the option `name` of the cluster. */
  readonly labels: ReadonlyArray<string>
  readonly description: string
  /** Upper bounds of a histogram's buckets. */
  readonly boundaries?: ReadonlyArray<number>
}

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000]

const define = (
  name: string,
  type: Definition["type"],
  unit: string,
  labels: ReadonlyArray<string>,
  description: string,
  boundaries?: ReadonlyArray<number>
): Definition => ({
  name: `cassandra_client_${name}`,
  type,
  unit,
  labels,
  description,
  ...(boundaries === undefined ? {} : { boundaries })
})

export const definitions = {
  // --- requests
  requests: define(
    "requests_total",
    "counter",
    "{request}",
    ["operation"],
    "Requests begun: statements, batches, pages of a result, preparations"
  ),
  requestDuration: define(
    "request_duration_seconds",
    "histogram",
    "s",
    ["operation", "outcome"],
    "From the call to its end, with waiting, preparing and every attempt; outcome is ok, error or interrupted",
    seconds
  ),
  errors: define(
    "errors_total",
    "counter",
    "{request}",
    ["reason"],
    "Requests that failed in the end, by the reason of their CqlError"
  ),
  timeouts: define(
    "timeouts_total",
    "counter",
    "{request}",
    ["phase"],
    "Requests that failed for their own time limits, by what they were waiting for"
  ),
  retries: define(
    "retries_total",
    "counter",
    "{attempt}",
    ["reason"],
    "Further attempts, by the reason that the one before failed for"
  ),
  speculativeExecutions: define(
    "speculative_executions_total",
    "counter",
    "{attempt}",
    [],
    "Attempts on another node beside one that had not answered yet"
  ),
  batchStatements: define(
    "batch_statements",
    "histogram",
    "{statement}",
    ["type"],
    "Statements of a batch; type is logged, unlogged or counter",
    sizes
  ),
  decodeFailures: define("decode_failures_total", "counter", "{result}", [], "Results that did not fit their Schema"),
  serverWarnings: define("server_warnings_total", "counter", "{warning}", [], "Warnings that came with results"),
  streamedPages: define("streamed_pages_total", "counter", "{page}", [], "Pages read by streams"),
  streamedRows: define("streamed_rows_total", "counter", "{row}", [], "Rows read by streams"),
  // --- admission
  inFlight: define("in_flight", "gauge", "{request}", [], "Requests that have a place: sent, or about to be"),
  inFlightLimit: define("in_flight_limit", "gauge", "{request}", [], "How many places there are"),
  queued: define("queued", "gauge", "{request}", [], "Requests that wait for a place"),
  queueLimit: define("queue_limit", "gauge", "{request}", [], "How many may wait"),
  admissionDelay: define(
    "admission_delay_seconds",
    "histogram",
    "s",
    [],
    "How long those waited that had to wait for a place",
    seconds
  ),
  admissionRefusals: define(
    "admission_refusals_total",
    "counter",
    "{request}",
    ["why"],
    "Requests refused: queueFull, or tooLate where the answer would not have come in time"
  ),
  circuitOpen: define(
    "circuit_open",
    "gauge",
    "{circuit}",
    [],
    "Circuit breakers that refuse requests, or have let one through to try; 0 where all are closed, or there is none"
  ),
  // --- preparing
  preparedStatements: define("prepared_statements", "gauge", "{statement}", [], "Texts that are kept prepared"),
  prepares: define("prepares_total", "counter", "{request}", [], "PREPARE requests sent"),
  // --- connections
  nodes: define("nodes", "gauge", "{node}", ["state"], "Nodes that may be asked; state is up or down"),
  connectDuration: define(
    "connect_duration_seconds",
    "histogram",
    "s",
    ["outcome"],
    "How long connecting to the cluster took; outcome is ok or error",
    seconds
  ),
  closeDuration: define(
    "close_duration_seconds",
    "histogram",
    "s",
    [],
    "How long closing took, without the waiting for what was in flight",
    seconds
  ),
  // --- nodes
  nodeInfo: define(
    "node_info",
    "gauge",
    "{node}",
    ["node", "address", "data_center", "rack", "version"],
    "Always 1: what is known of a node, to be joined by its host id"
  ),
  nodeUp: define("node_up", "gauge", "{node}", ["node"], "Whether the driver holds it for up: 1 or 0"),
  nodeAttempts: define("node_attempts_total", "counter", "{attempt}", ["node"], "Attempts sent to the node"),
  nodeAttemptDuration: define(
    "node_attempt_duration_seconds",
    "histogram",
    "s",
    ["node"],
    "From sending to the node's answer, of those that were answered",
    seconds
  ),
  nodeErrors: define(
    "node_errors_total",
    "counter",
    "{attempt}",
    ["node", "reason"],
    "Attempts that failed on the node, by reason"
  ),
  nodeRetries: define(
    "node_retries_total",
    "counter",
    "{attempt}",
    ["node", "reason"],
    "Further attempts after one that failed on the node, by the reason that it failed for"
  ),
  nodeSpeculativeExecutions: define(
    "node_speculative_executions_total",
    "counter",
    "{attempt}",
    ["node"],
    "Attempts elsewhere because the node had not answered yet"
  ),
  nodeReprepares: define(
    "node_reprepares_total",
    "counter",
    "{request}",
    ["node"],
    "Statements that the node did not know any more"
  ),
  nodeInFlight: define(
    "node_in_flight",
    "gauge",
    "{request}",
    ["node"],
    "Streams in use: requests on the node's connections without an answer"
  ),
  nodeAvailableStreams: define(
    "node_available_streams",
    "gauge",
    "{request}",
    ["node"],
    "Streams that are free on the node's connections"
  ),
  nodeOrphanedStreams: define(
    "node_orphaned_streams",
    "gauge",
    "{request}",
    ["node"],
    "Streams of requests that were given up and that the node has not answered yet"
  ),
  nodeConnections: define(
    "node_connections",
    "gauge",
    "{connection}",
    ["node"],
    "Connections that are open to the node"
  ),
  nodeConnectionErrors: define(
    "node_connection_errors_total",
    "counter",
    "{connection}",
    ["node", "reason"],
    "Connections that failed to open, by reason, and those that were lost (ConnectionLost)"
  ),
  nodeSentBytes: define("node_sent_bytes_total", "counter", "By", ["node"], "Bytes sent to the node"),
  nodeReceivedBytes: define("node_received_bytes_total", "counter", "By", ["node"], "Bytes received from the node")
} as const satisfies Record<string, Definition>

export type MetricId = keyof typeof definitions
