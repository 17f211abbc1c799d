import { cql } from "effect-cassandra"

export default cql`INSERT INTO users ${cql.insert({ id: 2, name: "Grace" })}`
