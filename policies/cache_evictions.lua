-- A cache that pushes keys out because its memory is full: a snapshot first, then a larger node type, one step up the ladder,
-- inside the change window or when an operator approves; page when that does not end it. The runbook's "Monitoring 3".
-- Evictions are read by INFO where the estate gives the cache a host, else from CloudWatch.
local period = param("cache_period", "1m")
local lasting = param("cache_evictions_lasting", "5m")
local limit = param("cache_evictions_limit", 0) -- keys a minute
local look = param("cache_status_period", "30s")

-- In the early hours of a Sunday nobody needs to be asked.
local window = sig.clock {
  days = param("cache_window_days", "sun"), from = param("cache_window_from", "02:00"), to = param("cache_window_to", "04:00"),
  tz = param("cache_window_tz", "UTC"),
}

local evicting = sig.cache_evictions { above = limit, lasting = lasting, period = period }

policy "cache-evictions" {
  owner = "team-db", severity = "sev3", doc = "https://runbooks.example.com/cache-evictions",
  target = find.cache {},
  when   = evicting,
  checks = {
    -- While a snapshot is made the group takes no other change.
    saved = all { sig.snapshot_progress { at_least = "100%", period = look }, sig.cache_status { is = "available", period = look } },
    evicting = evicting,
    ended = sig.cache_evictions { at_most = limit, lasting = param("cache_ended_lasting", "5m"), period = period },
  },
  actions = {
    save = act.snapshot { name = param("cache_snapshot_name", "runbookd-$run.id"), keep = param("cache_snapshot_keep", "7d") },
    grow = act.cache_scale {
      ladder = param("cache_ladder", { "cache.r6g.large", "cache.r6g.xlarge", "cache.r6g.2xlarge", "cache.r6g.4xlarge" }),
      approval = "required", approval_ttl = param("cache_approval_ttl", "1h"),
      approval_unless = window,
    },
  },
  mode = param("cache_mode", "shadow"),
  limit = "1 per 6h", max_acts = { save = 1, grow = 1 }, cooldown = "1h",
  run = function(r)
    -- Serverless caches and clusters without a group have neither snapshot nor node type to change here.
    if not r.target.fields.replication_group then
      return r:page "the cache evicts keys; it has no replication_group in the estate, so nothing can be done about it from here"
    end
    if not r:act "save" then return r:page "no snapshot could be taken: the cache evicts keys and was not scaled up" end
    if not r:verify("saved", param("cache_save_within", "1h")) then return r:page "the snapshot did not come to its end: the cache was not scaled up" end
    -- A snapshot takes its time: what is over by then needs no larger node, not even in the window.
    if r:wait({ "ended", "evicting" }, param("cache_verify_within", "45m")) ~= "evicting" then return end
    if not r:act "grow" then return r:page "the cache evicts keys and was not scaled up" end
    -- The nodes are replaced one by one: minutes, and more for much data.
    if r:verify("ended", param("cache_verify_within", "45m")) then return end
    r:page "the larger node type is there and keys are still evicted: look at what is written, and with which expiry"
  end,
}
