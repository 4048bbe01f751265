-- What pg_connections_high.lua does, and what it must never do: runbookd test policies
-- 60 sessions that an application forgot, 30 of a pool that is in use, 20 at work.
local leaky = { id = "orders", sessions = { "60 idle 45m user=app", "30 idle 0s", "20 active 2m" } }

test "it ends the longest idle sessions, fifty at once, until there is room" {
  policy = "pg-connections-high", target = leaky,
  series = { pg_connections = "0m:700 5m:850 7m30s:790" }, run_for = "30m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free end 50 idle sessions (oldest idle 52m) ok
    7m40s  clear
    8m     verify relieved ok
    8m     end succeeded
    8m     resolve
  ]],
}

test "what is left is ended in the next round, and then there is nothing to end" {
  policy = "pg-connections-high", target = leaky,
  series = { pg_connections = "0m:700 5m:950" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free end 50 idle sessions (oldest idle 52m) ok
    10m    verify relieved failed
    10m    act free end 10 idle sessions (oldest idle 55m) ok
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    19m    page still too many connections: look for the application that leaks them
    19m    end ineffective
  ]],
}

test "sessions at work, in a transaction, of superusers or for maintenance are not touched" {
  policy = "pg-connections-high",
  target = { id = "orders", sessions = { "50 active 5h", "50 idle in transaction 5h", "5 idle 5h superuser", "1 idle 5h maintenance" } },
  series = { pg_connections = "0m:700 5m:850" }, run_for = "30m", never = { "act free end" },
}

test "a session that is refused is a human's" {
  policy = "pg-connections-high", target = leaky, results = { free = "refused" },
  series = { pg_connections = "0m:700 5m:850" }, run_for = "30m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free end 50 idle sessions (oldest idle 52m) failed
    7m     page idle sessions could not be ended
    7m     end failed
  ]],
}

test "twice an hour, then a human" {
  policy = "pg-connections-high", target = leaky,
  series = { pg_connections = "0m:700 5m:850 7m30s:790 28m:850 30m30s:790 48m:850 51m:700" }, run_for = "2h",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free end 50 idle sessions (oldest idle 52m) ok
    7m40s  clear
    8m     verify relieved ok
    8m     end succeeded
    8m     resolve
    30m    fire
    30m    page at_fire
    30m    act free end 10 idle sessions (oldest idle 1h15m) ok
    30m40s clear
    31m    verify relieved ok
    31m    end succeeded
    31m    resolve
    50m    fire
    50m    page at_fire
    50m    deny rate per target
    50m    page idle sessions could not be ended
    50m    end refused
    51m10s clear
    51m10s resolve
  ]],
}

test "a count that nobody reports never acts" {
  policy = "pg-connections-high", target = leaky,
  series = { pg_connections = "0m:850 1m30s:_" }, run_for = "1h", never = { "fire", "act " },
}

test "in shadow nobody is paged and nothing is ended" {
  policy = "pg-connections-high", target = leaky, mode = "shadow",
  series = { pg_connections = "0m:700 5m:850 7m30s:790" }, run_for = "30m",
  timeline = [[
    7m     fire
    7m     page at_fire shadow
    7m     act free end 50 idle sessions (oldest idle 52m) shadow
    7m     end shadowed
    7m40s  clear
    7m40s  resolve
  ]],
}

test "with approval nothing is ended before a human says so" {
  policy = "pg-connections-high", target = leaky, mode = "approve", operator = { ["10m"] = "approve" },
  series = { pg_connections = "0m:700 5m:850 10m30s:790" }, run_for = "30m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     page approval free end 50 idle sessions (oldest idle 52m)
    10m    act free end 50 idle sessions (oldest idle 55m) ok
    10m40s clear
    11m    verify relieved ok
    11m    end succeeded
    11m    resolve
  ]],
}

-- Nothing is idle: 850 sessions at work, 500 of them of a pool that may hold 500.
local function busy(used)
  return {
    id = "orders", proxy = "orders-proxy", sessions = { "300 active 2m" },
    max_connections = 1000, connections_used = used, pool_percent = "50%", pool_open = 500,
  }
end

local proxy = { { id = "proxy/orders-proxy" } }

test "behind a proxy whose clients wait the pool is widened a step" {
  policy = "pg-connections-high", target = busy(850), others = proxy,
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:2ms 5m:400ms 24m:3ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    20m    act widen pool 50% -> 60% of 1000 connections ok
    26m    verify served ok
    26m    end succeeded
  ]],
}

test "clients that still wait are a human's" {
  policy = "pg-connections-high", target = busy(850), others = proxy,
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:400ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    20m    act widen pool 50% -> 60% of 1000 connections ok
    30m    verify served failed
    30m    page clients still wait for the proxy's pool; the wider pool is kept
    30m    end ineffective
  ]],
}

test "without room in max_connections the pool is not widened" {
  policy = "pg-connections-high", target = busy(950), others = proxy,
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:400ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    20m    deny preconditions
    20m    page clients wait for the proxy's pool, and it could not be widened
    20m    end ineffective
  ]],
}

test "while no client waits a wider pool helps nobody" {
  policy = "pg-connections-high", target = busy(850), others = proxy,
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:2ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    19m    page still too many connections: look for the application that leaks them
    19m    end ineffective
  ]],
}

test "a latency that nobody reports widens nothing" {
  policy = "pg-connections-high", target = busy(850), others = proxy,
  series = { pg_connections = "0m:700 5m:850" }, run_for = "40m", never = { "act widen" },
}

test "the answer of a wider pool is lost, and RDS says that it was carried out" {
  policy = "pg-connections-high", target = busy(850), others = proxy, results = { widen = "in_doubt_done" },
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:2ms 5m:400ms 24m:3ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    20m    act widen pool 50% -> 60% of 1000 connections ok
    26m    verify served ok
    26m    end succeeded
  ]],
}

test "somebody else widens the pool between plan and request: nothing is sent" {
  policy = "pg-connections-high", target = busy(850), others = proxy,
  results = { widen = { result = "ok", before = { pool_percent = "55%" } } },
  series = { pg_connections = "0m:700 5m:850", proxy_borrow_latency = "0m:400ms" }, run_for = "40m",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free nothing to do
    10m    verify relieved failed
    10m    act free nothing to do
    13m    verify relieved failed
    13m    act free nothing to do
    16m    verify relieved failed
    16m    act free nothing to do
    19m    verify relieved failed
    20m    act widen pool 50% -> 60% of 1000 connections failed
    20m    page clients wait for the proxy's pool, and it could not be widened
    20m    end failed
  ]],
}

test "a second rise that ends by itself within the cooldown is no failure" {
  policy = "pg-connections-high", target = { id = "orders", sessions = { "60 idle 45m", "790 active 1m" } },
  series = { pg_connections = "0m:700 5m:850 7m30s:790 9m:850 15m:700" }, run_for = "1h",
  timeline = [[
    7m     fire
    7m     page at_fire
    7m     act free end 50 idle sessions (oldest idle 52m) ok
    7m40s  clear
    8m     verify relieved ok
    8m     end succeeded
    8m     resolve
    11m    fire
    11m    page at_fire
    15m    end cancelled
    15m10s clear
    15m10s resolve
  ]],
}
