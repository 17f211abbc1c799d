/**
 * @since 0.1.0
 */

/**
 * A real Apache Cassandra for tests and demos.
 *
 * @since 0.1.0
 */
export * as CassandraServer from "./CassandraServer.ts"
