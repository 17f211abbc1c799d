// The one file of the driver's inside that is imported by path; the package has no `exports` map.
declare module "cassandra-driver/lib/connection.js" {
  const Connection: unknown
  export default Connection
}
