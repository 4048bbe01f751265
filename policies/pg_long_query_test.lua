-- What pg_long_query.lua does, and what it must never do: runbookd test policies
local db = { id = "orders", sessions = { "1 active 40m user=report", "20 active 1m", "300 idle 5h", "1 active 9h maintenance" } }
local stubborn = { id = "orders", sessions = { "1 active 40m user=report", "2 active 35m user=etl stubborn", "20 active 1m", "300 idle 5h" } }

test "a query that runs too long is cancelled, and that is all" {
  policy = "pg-long-query", target = db,
  series = { pg_query_age = "0m:5m 5m:41m 6m30s:1m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act cancel cancel 1 query (oldest running 46m) ok
    6m40s  clear
    6m50s  verify over ok
    6m50s  end succeeded
    6m50s  resolve
  ]],
}

test "those that go on although they were cancelled are ended, and no others" {
  policy = "pg-long-query", target = stubborn,
  series = { pg_query_age = "0m:5m 5m:41m 8m30s:1m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act cancel cancel 3 queries (oldest running 46m) ok
    8m     verify over failed
    8m     act finish end 2 sessions named before and still busy (oldest unchanged for 43m) ok
    8m40s  clear
    8m50s  verify over ok
    8m50s  end succeeded
    8m50s  resolve
  ]],
}

test "when it does not help a human is called" {
  policy = "pg-long-query", target = stubborn,
  series = { pg_query_age = "0m:5m 5m:41m" }, run_for = "30m",
  timeline = [[
    6m     fire
    6m     act cancel cancel 3 queries (oldest running 46m) ok
    8m     verify over failed
    8m     act finish end 2 sessions named before and still busy (oldest unchanged for 43m) ok
    10m    verify over failed
    10m    page queries still run for too long: look at who starts them, and at what they wait for
    10m    end ineffective
  ]],
}

test "a session that cannot be cancelled is a human's" {
  policy = "pg-long-query", target = db, results = { cancel = "refused" },
  series = { pg_query_age = "0m:5m 5m:41m" }, run_for = "30m", never = { "act finish" },
}

test "sessions of superusers and maintenance are not touched, however long they run" {
  policy = "pg-long-query", target = { id = "orders", sessions = { "3 active 9h maintenance", "1 active 9h superuser", "5 idle 9h" } },
  series = { pg_query_age = "0m:5m 5m:9h" }, run_for = "30m", never = { "act cancel cancel", "act finish end" },
}

test "an age that nobody reports never acts" {
  policy = "pg-long-query", target = db,
  series = { pg_query_age = "0m:41m 50s:_" }, run_for = "1h", never = { "fire", "act " },
}
