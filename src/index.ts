/**
 * @since 0.1.0
 */
export { Cluster } from "./Cluster.ts"
export { CqlError } from "./CqlError.ts"
export * as CqlType from "./CqlType.ts"
export * as CqlExport from "./Export.ts"
export { Health } from "./Health.ts"
export * as CqlImport from "./Import.ts"
export * as CqlMetrics from "./Metrics.ts"
export * as CqlMigrator from "./Migrator.ts"
export * as CqlResolver from "./Resolver.ts"
export * as CqlRetry from "./Retry.ts"
export { cql, Session } from "./Session.ts"
export * as Statement from "./Statement.ts"
export * as CqlStream from "./Stream.ts"
export { TransferError } from "./TransferError.ts"
