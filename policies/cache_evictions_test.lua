-- What cache_evictions.lua does, and what it must never do: runbookd test policies
local portal = { id = "portal", node_type = "cache.r6g.large" }

test "it asks, steps up when it may, and is done when evictions end" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500 40m:0" }, run_for = "2h", operator = { ["20m"] = "approve" },
  timeline = [[
    15m  fire
    15m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    20m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    41m  clear
    45m  verify ended ok
    45m  end succeeded
    45m  resolve
  ]],
}

test "in its window it need not ask" {
  policy = "cache-evictions", target = portal, starts_at = "2026-11-22T02:00:00Z", -- a Sunday
  series = { cache_evictions = "0m:0 10m:500 40m:0" }, run_for = "2h",
  timeline = [[
    15m  fire
    15m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    41m  clear
    45m  verify ended ok
    45m  end succeeded
    45m  resolve
  ]],
}

test "nobody answers: nothing is done" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "70m", never = { "act " },
}

test "a no is a no" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h", operator = { ["20m"] = "deny" }, never = { "act " },
}

test "one step does not help: it says so and does not go on" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "90m", operator = { ["20m"] = "approve" },
  timeline = [[
    15m  fire
    15m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    20m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    65m  verify ended failed
    65m  page the larger node type is there and keys are still evicted: look at what is written, and with which expiry
    65m  end ineffective
    65m  page on_failure
  ]],
}

test "a group at the top of the ladder is a human's" {
  policy = "cache-evictions", target = { id = "portal", node_type = "cache.r6g.4xlarge" },
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h", never = { "act " },
}

test "a group on another type, or being modified, is left alone" {
  policy = "cache-evictions", target = { id = "portal", node_type = "cache.m5.large" },
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h", never = { "act " },
  others = { { id = "other", node_type = "cache.r6g.large", status = "modifying" } },
}

test "a few minutes of evictions are nothing" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500 14m:0" }, run_for = "1h", timeline = "",
}

test "evictions that are not known never act" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:500 4m:_" }, run_for = "1h", never = { "act ", "page approval" },
  explain = { at = "30m", has = "sig.cache_evictions" },
}

test "evictions that are not known after the step are not taken for ended" {
  policy = "cache-evictions", target = portal,
  series = { cache_evictions = "0m:0 10m:500 22m:_" }, run_for = "90m", operator = { ["20m"] = "approve" },
  never = { "verify ended ok", "resolve" },
}

test "the request is refused: a human hears of it" {
  policy = "cache-evictions", target = portal, results = { grow = "refused" },
  series = { cache_evictions = "0m:0 10m:500" }, run_for = "1h", operator = { ["20m"] = "approve" },
  timeline = [[
    15m  fire
    15m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    20m  act grow node type cache.r6g.large -> cache.r6g.xlarge failed
    20m  page the cache evicts keys and was not scaled up
    20m  end failed
    20m  page on_failure
  ]],
}

test "the answer is lost: it is settled by looking, not by asking again" {
  policy = "cache-evictions", target = portal, results = { grow = "in_doubt_done" },
  series = { cache_evictions = "0m:0 10m:500 40m:0" }, run_for = "2h", operator = { ["20m"] = "approve" },
  timeline = [[
    15m  fire
    15m  page approval grow node type cache.r6g.large -> cache.r6g.xlarge
    20m  act grow node type cache.r6g.large -> cache.r6g.xlarge ok
    41m  clear
    45m  verify ended ok
    45m  end succeeded
    45m  resolve
  ]],
}
