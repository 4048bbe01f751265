-- The values of param("NAME", default) in this environment; "NAME@TARGET" is one target's own. What is not here keeps the policy's default.
return {
  asg_cpu_limit = "60%",
  asg_max = 12,
  ["pg_connections_limit@basecoat-portal-db"] = 800,
  pg_long_query_limit = "30m",
  ["pg_idle_in_transaction_limit@basecoat-portal-db"] = "10m",
}
