-- A session that sits in a transaction and does nothing holds its locks and keeps VACUUM from cleaning up. To cancel has no
-- effect on it, because no query runs; so its session is ended: only those that have been idle in a transaction for longer
-- than the limit, the longest first, a few at a time; page when that does not help. Sessions at work, superusers,
-- replication and maintenance are never touched, whatever is written here.
local limit = param("pg_idle_in_transaction_limit", "15m")
local period = param("pg_period", "10s")

policy "pg-idle-in-transaction" {
  owner = "team-db", severity = "sev3", doc = "https://runbooks.example.com/pg-idle-in-transaction",
  target = find.postgres {},
  when   = sig.pg_idle_in_transaction { above = limit, lasting = param("pg_idle_in_transaction_lasting", "1m"), period = period },
  checks = { released = sig.pg_idle_in_transaction { at_most = limit, lasting = "30s", period = period } },
  actions = {
    finish = act.pg_terminate {
      idle_in_transaction_over = limit, max = param("pg_idle_in_transaction_at_once", 5),
      except_users = param("pg_idle_in_transaction_except", {}),
    },
  },
  mode = param("pg_idle_in_transaction_mode", "shadow"),
  limit = "2 per 1h", max_acts = { finish = 3 }, cooldown = "15m",
  run = function(r)
    for _ = 1, 3 do
      if not r:act "finish" then return r:page "a session idle in a transaction could not be ended" end
      if r:verify("released", "2m") then return end
    end
    r:page "sessions are still idle in transactions: look for the application that leaves them open"
  end,
}
