-- More client connections than the database should carry: end those that have been idle the longest, a few at a time,
-- until it is below the limit again; page when that does not help. The runbook's "Scaling 3" and "Monitoring 4".
-- Busy sessions, sessions in a transaction, superusers, replication and maintenance are never touched, whatever is written here.
local limit = param("pg_connections_limit", 800)
local period = param("pg_period", "10s")
local within = param("pg_verify_within", "3m")

policy "pg-connections-high" {
  owner = "team-db", severity = "sev2", doc = "https://runbooks.example.com/pg-connections",
  target = find.postgres {},
  when   = sig.pg_connections { above = limit, lasting = param("pg_connections_lasting", "2m"), period = period },
  checks = { relieved = sig.pg_connections { at_most = limit, lasting = param("pg_relieved_lasting", "30s"), period = period } },
  actions = { free = act.pg_terminate { idle_over = param("pg_idle_over", "30m"), max = param("pg_free_at_once", 50) } },
  mode = param("pg_mode", "shadow"),
  limit = "2 per 1h", max_acts = { free = 4 }, cooldown = "15m",
  run = function(r)
    for _ = 1, 4 do
      if not r:act "free" then return r:page "idle sessions could not be ended" end
      if r:verify("relieved", within) then return end
    end
    r:page "still too many connections: look for the application that leaks them"
  end,
}
