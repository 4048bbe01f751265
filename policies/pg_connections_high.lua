-- More client connections than the database should carry: end those that have been idle the longest, a few at a time,
-- until it is below the limit again. Where that does not help they are in use. If the database has an RDS proxy in front
-- (`proxy` in the estate), and clients wait for a connection of its pool, the pool is widened a step, provided that
-- max_connections has room for all that it could then open; else, and where clients still wait, a human is paged. A database
-- without a proxy goes from ending sessions to the page at once. The runbook's "Scaling 3" and "Monitoring 4".
-- Busy sessions, sessions in a transaction, superusers, replication and maintenance are never touched, whatever is written here.
local limit = param("pg_connections_limit", 800)
local period = param("pg_period", "10s")
local within = param("pg_verify_within", "3m")

-- How long clients of the proxy may wait for a connection: far above what a borrow takes while there are enough.
local wait = param("pg_borrow_limit", "100ms")

policy "pg-connections-high" {
  owner = "team-db", severity = "sev2", doc = "https://runbooks.example.com/pg-connections",
  target = find.postgres {},
  when   = sig.pg_connections { above = limit, lasting = param("pg_connections_lasting", "2m"), period = period },
  checks = {
    relieved = sig.pg_connections { at_most = limit, lasting = param("pg_relieved_lasting", "30s"), period = period },
    starving = sig.proxy_borrow_latency { above = wait, lasting = param("pg_borrow_lasting", "3m") },
    served   = sig.proxy_borrow_latency { at_most = wait, lasting = param("pg_served_lasting", "2m") },
  },
  actions = {
    free  = act.pg_terminate { idle_over = param("pg_idle_over", "30m"), max = param("pg_free_at_once", 50) },
    widen = act.proxy_pool { add = param("pg_pool_step", "10%"), max = param("pg_pool_max", "90%") },
  },
  mode = param("pg_mode", "shadow"),
  limit = "2 per 1h", max_acts = { free = 4, widen = 1 }, cooldown = "15m",
  run = function(r)
    for _ = 1, 4 do
      if not r:act "free" then return r:page "idle sessions could not be ended" end
      if r:verify("relieved", within) then return end
    end
    if r.target.fields.proxy and r:holds "starving" then
      if not r:act "widen" then return r:page "clients wait for the proxy's pool, and it could not be widened" end
      if r:verify("served", param("pg_served_within", "10m")) then return end
      return r:page "clients still wait for the proxy's pool; the wider pool is kept"
    end
    r:page "still too many connections: look for the application that leaks them"
  end,
}
