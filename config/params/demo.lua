-- The values of param("NAME", default) in this environment; "NAME@TARGET" is one target's own.
return {
  web_cpu_limit = "60%",
  ["pg_connections_limit@basecoat-portal-db"] = 800,
}
