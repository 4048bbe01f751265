-- What cache_evictions.lua does, and what it must never do: runbookd test policies
local portal = { id = "portal", replication_group = "portal", node_type = "cache.r6g.large" }
local named = { cache_snapshot_name = "before" } -- by itself it is named after the run

-- Evictions are each test's own; the snapshot that is taken at 15m is there at 20m.
local function evicting(cache_evictions)
  return {
    cache_evictions = cache_evictions,
    snapshot_progress = "0m:_ 15m20s:0% 20m:100%", cache_status = "0m:available 15m20s:snapshotting 20m:available",
  }
end

test "a snapshot, a question, a step up; done when evictions end" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500 40m:0", run_for = "2h", operator = { ["25m"] = "approve" },
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    20m  verify saved ok
    21m  wait ended|evicting -> evicting
    21m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    25m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    41m  clear
    45m  verify ended ok
    45m  end succeeded
    45m  resolve
  ]],
}

test "in its window it need not ask" {
  policy = "cache-evictions", params = named, target = portal, starts_at = "2026-11-22T02:00:00Z", -- a Sunday
  series = evicting "0m:0 10m:500 40m:0", run_for = "2h", never = { "page", "end failed", "end ineffective" },
  explain = { at = "15m", has = "cache_evictions" },
}

test "nobody answers: nothing is changed" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500", run_for = "75m", never = { "act grow" },
}

test "a no is a no" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500", run_for = "1h", operator = { ["25m"] = "deny" }, never = { "act grow" },
}

test "without a snapshot nothing is changed" {
  policy = "cache-evictions", params = named, target = portal, results = { save = "refused" },
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h",
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d failed
    15m  page no snapshot could be taken: the cache evicts keys and was not scaled up
    15m  end failed
  ]],
}

test "a snapshot that does not end: nothing is changed" {
  policy = "cache-evictions", params = named, target = portal,
  series = { cache_evictions = "0m:0 10m:500", snapshot_progress = "0m:_ 15m20s:0%", cache_status = "0m:available 15m20s:snapshotting" },
  run_for = "2h", never = { "act grow", "page approval" },
}

test "a snapshot of which nothing is known: nothing is changed" {
  policy = "cache-evictions", params = named, target = portal,
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "2h", never = { "act grow", "page approval" },
}

test "one step does not help: it says so and does not go on" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500", run_for = "90m", operator = { ["25m"] = "approve" },
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    20m  verify saved ok
    21m  wait ended|evicting -> evicting
    21m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    25m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    70m  verify ended failed
    70m  page the larger node type is there and keys are still evicted: look at what is written, and with which expiry
    70m  end ineffective
  ]],
}

test "a group at the top of the ladder is a human's" {
  policy = "cache-evictions", params = named, target = { id = "portal", replication_group = "portal", node_type = "cache.r6g.4xlarge" },
  series = evicting "0m:0 10m:500", run_for = "1h", never = { "act grow", "page approval" },
}

test "a group on another node type is left alone" {
  policy = "cache-evictions", params = named, target = { id = "portal", replication_group = "portal", node_type = "cache.m5.large" },
  series = evicting "0m:0 10m:500", run_for = "1h", never = { "act grow", "page approval" },
}

test "a few minutes of evictions are nothing" {
  policy = "cache-evictions", params = named, target = portal,
  series = { cache_evictions = "0m:0 10m:500 14m:0" }, run_for = "1h", timeline = "",
}

test "evictions that are not known never act" {
  policy = "cache-evictions", params = named, target = portal,
  series = { cache_evictions = "0m:500 4m:_" }, run_for = "1h", never = { "act ", "page approval" },
  explain = { at = "30m", has = "sig.cache_evictions" },
}

test "evictions that are not known after the step are not taken for ended" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500 27m:_", run_for = "90m", operator = { ["25m"] = "approve" },
  never = { "verify ended ok", "resolve" },
}

test "the request is refused: a human hears of it" {
  policy = "cache-evictions", params = named, target = portal, results = { grow = "refused" },
  series = evicting "0m:0 10m:500", run_for = "1h", operator = { ["25m"] = "approve" },
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    20m  verify saved ok
    21m  wait ended|evicting -> evicting
    21m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    25m  act grow node type cache.r6g.large -> cache.r6g.xlarge failed
    25m  page the cache evicts keys and was not scaled up
    25m  end failed
  ]],
}

test "the answer is lost: it is settled by looking, not by asking again" {
  policy = "cache-evictions", params = named, target = portal, results = { grow = "in_doubt_done" },
  series = evicting "0m:0 10m:500 40m:0", run_for = "2h", operator = { ["25m"] = "approve" },
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    20m  verify saved ok
    21m  wait ended|evicting -> evicting
    21m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    25m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    41m  clear
    45m  verify ended ok
    45m  end succeeded
    45m  resolve
  ]],
}

test "evictions that end while the snapshot is made need no larger node, not even in the window" {
  policy = "cache-evictions", params = named, target = portal, starts_at = "2026-11-22T02:00:00Z", -- a Sunday
  series = {
    cache_evictions = "0m:0 10m:500 37m:0",
    snapshot_progress = "0m:_ 15m20s:0% 40m:100%", cache_status = "0m:available 15m20s:snapshotting 40m:available",
  },
  run_for = "2h",
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    38m  clear
    40m  verify saved ok
    42m  wait ended|evicting -> ended
    42m  end succeeded
    42m  resolve
  ]],
}

test "evictions that pause while the snapshot is made and come back do" {
  policy = "cache-evictions", params = named, target = portal, starts_at = "2026-11-22T02:00:00Z", -- a Sunday
  series = {
    cache_evictions = "0m:0 10m:500 38m:0 41m:500 70m:0",
    snapshot_progress = "0m:_ 15m20s:0% 40m:100%", cache_status = "0m:available 15m20s:snapshotting 40m:available",
  },
  run_for = "90m",
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    39m  clear
    40m  verify saved ok
    46m  wait ended|evicting -> evicting
    46m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    71m  clear
    75m  verify ended ok
    75m  end succeeded
    75m  resolve
  ]],
}

test "an approval that comes after the evictions ended changes nothing" {
  policy = "cache-evictions", params = named, target = portal,
  series = evicting "0m:0 10m:500 30m:0", run_for = "2h", operator = { ["35m"] = "approve" },
  timeline = [[
    15m  fire
    15m  act save snapshot before of portal, to be kept for 7d ok
    20m  verify saved ok
    21m  wait ended|evicting -> evicting
    21m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    31m  clear
    35m  end cancelled
    35m  resolve
  ]],
}
test "a cache without a replication group is a human's, and one page says why" {
  policy = "cache-evictions", target = { id = "sessions", node_type = "cache.r6g.large" },
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h",
  timeline = [[
    15m  fire
    15m  page the cache evicts keys; it has no replication_group in the estate, so nothing can be done about it from here
    15m  end succeeded
  ]],
}
