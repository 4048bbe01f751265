-- A query that runs for longer than any should: it is cancelled, which leaves its client connected and told; if it goes on
-- nevertheless, or its client begins it anew at once, that very session is ended; page when that does not help. The runbook's
-- "Monitoring 2". Queries of superusers, replication and maintenance (VACUUM, CREATE INDEX, dumps) are never touched, whatever
-- is written here: where the oldest is one of them nothing is done, and a human is told.
local limit = param("pg_long_query_limit", "30m")
local period = param("pg_period", "10s")
local within = param("pg_long_query_within", "2m")

policy "pg-long-query" {
  owner = "team-db", severity = "sev3", doc = "https://runbooks.example.com/pg-long-query",
  target = find.postgres {},
  when   = sig.pg_query_age { above = limit, lasting = param("pg_long_query_lasting", "1m"), period = period },
  checks = { over = sig.pg_query_age { at_most = limit, lasting = "20s", period = period } },
  actions = {
    cancel = act.pg_cancel { running_over = limit, max = param("pg_long_query_at_once", 3) },
    finish = act.pg_terminate { of = "cancel", max = param("pg_long_query_at_once", 3) },
  },
  mode = param("pg_long_query_mode", "shadow"),
  limit = "2 per 1h", cooldown = "15m",
  run = function(r)
    if not r:act "cancel" then return r:page "a query that runs for too long could not be cancelled" end
    if r:verify("over", within) then return end
    if not r:act "finish" then return r:page "a query goes on although it was cancelled, and its session could not be ended" end
    if r:verify("over", within) then return end
    r:page "queries still run for too long: look at who starts them, and at what they wait for"
  end,
}
