-- What idle_in_transaction.lua does, and what it must never do: runbookd test policies
-- 7 sessions that forgot to commit, beside sessions at work, idle ones, and those that are nobody's to touch.
local db = { id = "orders", sessions = { "6 idle in transaction 20m user=app", "1 idle in transaction (aborted) 30m user=job",
  "40 idle 2h", "20 active 2h", "1 idle in transaction 3h superuser" } }

test "those idle in a transaction for too long are ended, the longest first" {
  policy = "pg-idle-in-transaction", target = db,
  series = { pg_idle_in_transaction = "0m:5m 5m:20m 8m30s:1m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act finish end 5 idle in transaction sessions (oldest idle in transaction 36m) ok
    8m     verify released failed
    8m     act finish end 2 idle in transaction sessions (oldest idle in transaction 28m) ok
    8m40s  clear
    9m     verify released ok
    9m     end succeeded
    9m     resolve
  ]],
}

test "what is left is ended in the next round, and then a human is called" {
  policy = "pg-idle-in-transaction", target = db,
  series = { pg_idle_in_transaction = "0m:5m 5m:20m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act finish end 5 idle in transaction sessions (oldest idle in transaction 36m) ok
    8m     verify released failed
    8m     act finish end 2 idle in transaction sessions (oldest idle in transaction 28m) ok
    10m    verify released failed
    10m    act finish nothing to do
    12m    verify released failed
    12m    page sessions are still idle in transactions: look for the application that leaves them open
    12m    end ineffective
  ]],
}

test "young transactions, sessions at work, idle ones and superusers are not touched" {
  policy = "pg-idle-in-transaction",
  target = { id = "orders", sessions = { "9 idle in transaction 2m", "40 idle 2h", "20 active 2h", "1 idle in transaction 3h superuser" } },
  series = { pg_idle_in_transaction = "0m:5m 1m:20m" }, run_for = "9m", never = { "act finish end" },
}

test "another limit for one database" {
  policy = "pg-idle-in-transaction", target = db, params = { ["pg_idle_in_transaction_limit@orders"] = "1h" },
  series = { pg_idle_in_transaction = "0m:5m 5m:20m" }, run_for = "30m", never = { "fire" },
}

test "an age that nobody reports never acts" {
  policy = "pg-idle-in-transaction", target = db,
  series = { pg_idle_in_transaction = "0m:20m 50s:_" }, run_for = "1h", never = { "fire", "act " },
}

test "in shadow nothing is ended" {
  policy = "pg-idle-in-transaction", target = db, mode = "shadow",
  series = { pg_idle_in_transaction = "0m:5m 5m:20m 8m30s:1m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act finish end 5 idle in transaction sessions (oldest idle in transaction 36m) shadow
    6m     end shadowed
    8m40s  clear
    8m40s  resolve
  ]],
}

test "what ends by itself while the cooldown lasts calls nobody" {
  policy = "pg-idle-in-transaction", target = { id = "orders", sessions = { "20 idle in transaction 1h" } },
  series = { pg_idle_in_transaction = "0m:0s 5m:2h 6m30s:0s 10m:1h 14m:0s" }, run_for = "1h", never = { "page" },
}

test "a session that the server does not let go is a human's" {
  policy = "pg-idle-in-transaction", target = db, results = { finish = "refused" },
  series = { pg_idle_in_transaction = "0m:5m 5m:20m" }, run_for = "30m",
  timeline = [[
    6m  fire
    6m  act finish end 5 idle in transaction sessions (oldest idle in transaction 36m) failed
    6m  page a session idle in a transaction could not be ended
    6m  end failed
  ]],
}

test "readings that end before it is known whether it helped" {
  policy = "pg-idle-in-transaction", target = db,
  series = { pg_idle_in_transaction = "0m:5m 5m:20m 6m10s:_" }, run_for = "20m",
  timeline = [[
    6m  fire
    6m  act finish end 5 idle in transaction sessions (oldest idle in transaction 36m) ok
    8m  verify released blind
    8m  end blind
    8m  page on_failure
  ]],
}
