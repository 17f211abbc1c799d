/**
 * A real Apache Cassandra for tests and demos.
 *
 * @module testing
 * @since 0.1.0
 */
export { CassandraServer, CassandraServerError } from "./CassandraServer.ts"
