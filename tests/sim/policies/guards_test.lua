-- What guards, people and the world do to a run; each is also killed after each of its steps.
local web = { id = "web-1", desired = 8 }
local spike = "0m:45% 5m:85% 9m:40%"

test "a refusal ends it, and the token is spent" {
  policy = "grow", target = web, series = { asg_cpu = spike }, results = { grow = "refused" }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 failed
    7m   page not grown
    7m   end failed
    10m  clear
    10m  resolve
  ]],
}
test "what was not sent is not done" {
  policy = "grow", target = web, series = { asg_cpu = spike }, results = { grow = "not_sent" }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 failed
    7m   page not grown
    7m   end failed
    10m  clear
    10m  resolve
  ]],
}
test "a lost request is found not to be done, and is not repeated" {
  policy = "grow", target = web, series = { asg_cpu = spike }, results = { grow = "in_doubt_not_done" }, run_for = "20m",
  timeline = [[
    7m     fire
    7m30s  act grow desired 8 -> 10 failed
    7m30s  page not grown
    7m30s  end failed
    10m    clear
    10m    resolve
  ]],
}
test "a target that cannot be read is not acted on" {
  policy = "grow", target = web, series = { asg_cpu = spike }, results = { grow = { "unseen" } }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow failed
    7m   page not grown
    7m   end failed
    10m  clear
    10m  resolve
  ]],
}
test "what changed between plan and request is left alone" {
  policy = "grow", target = web, series = { asg_cpu = spike }, results = { grow = { { before = { desired = 9 } } } }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 failed
    7m   page not grown
    7m   end failed
    10m  clear
    10m  resolve
  ]],
}
test "who cannot tell asks a human, who looked" {
  policy = "grow", target = web, series = { asg_cpu = "0m:45% 5m:85%" }, results = { grow = { { result = "in_doubt_not_done" } } },
  changes = { ["7m10s"] = { desired = 9 } }, operator = { ["20m"] = "settle not-done" }, run_for = "40m",
  timeline = [[
    7m   fire
    17m  page in doubt
    20m  act grow desired 8 -> 10 failed
    20m  page not grown
    20m  end failed
  ]],
}
test "the first request is answered, the second refused" {
  policy = "grow", target = web, results = { grow = { "ok", "refused" } }, run_for = "50m",
  series = { asg_cpu = "0m:45% 5m:85% 9m:40% 30m:85%" },
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 ok
    9m   verify cool ok
    9m   end succeeded
    10m  clear
    10m  resolve
    32m  fire
    32m  act grow desired 10 -> 12 failed
    32m  page not grown
    32m  end failed
  ]],
}
test "a silenced target is left alone" {
  policy = "grow", target = web, series = { asg_cpu = spike }, operator = { ["1m"] = "silence 2h" }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   deny silence
    7m   page not grown
    7m   end refused
    10m  clear
    10m  resolve
  ]],
}
test "a cancelled run stops where it is" {
  policy = "grow", target = web, series = { asg_cpu = "0m:45% 5m:85%" }, operator = { ["9m"] = "cancel" }, run_for = "30m",
  timeline = [[
    7m  fire
    7m  act grow desired 8 -> 10 ok
    9m  end cancelled
  ]],
}
test "a lower mode stops what has begun" {
  policy = "grow", target = web, series = { asg_cpu = spike }, operator = { ["1m"] = "mode shadow" }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 shadow
    7m   end shadowed
    10m  clear
    10m  resolve
  ]],
}
test "a freeze during a run, and its end" {
  policy = "grow", target = web, series = { asg_cpu = "0m:45% 5m:85% 14m:40%" }, operator = { ["8m"] = "freeze", ["10m"] = "unfreeze" }, run_for = "30m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 10 ok
    14m  verify cool ok
    14m  end succeeded
    15m  clear
    15m  resolve
  ]],
}
test "two bad ends open the breaker, an operator closes it" {
  policy = "grow", target = web, results = { grow = { "refused", "refused", "ok" } }, run_for = "2h",
  series = { asg_cpu = "0m:45% 5m:85% 9m:40% 30m:85% 34m:40% 50m:85% 54m:40% 1h10m:85% 1h14m:40%" },
  operator = { ["1h"] = "close_breaker" },
  timeline = [[
    7m     fire
    7m     act grow desired 8 -> 10 failed
    7m     page not grown
    7m     end failed
    10m    clear
    10m    resolve
    32m    fire
    32m    act grow desired 8 -> 10 failed
    32m    page not grown
    32m    end failed
    32m    page on_failure
    35m    clear
    35m    resolve
    52m    fire
    52m    deny breaker
    52m    page not grown
    52m    end refused
    55m    clear
    55m    resolve
    1h12m  fire
    1h12m  act grow desired 8 -> 10 ok
    1h14m  verify cool ok
    1h14m  end succeeded
    1h15m  clear
    1h15m  resolve
  ]],
}
test "a parameter of one target" {
  policy = "grow", target = web, params = { ["grow_max@web-1"] = 9 }, series = { asg_cpu = spike }, run_for = "20m",
  timeline = [[
    7m   fire
    7m   act grow desired 8 -> 9 ok
    9m   verify cool ok
    9m   end succeeded
    10m  clear
    10m  resolve
  ]],
}
test "one target at a time" {
  policy = "grow", target = web, others = { { id = "web-2", desired = 4 } }, run_for = "30m",
  series = { asg_cpu = "0m:45% 10m:85% 14m:40%", ["asg_cpu@web-2"] = "0m:45% 5m:85% 9m:40%" },
  timeline = [[
    12m  fire
    12m  deny blast radius
    12m  page not grown
    12m  end refused
    15m  clear
    15m  resolve
  ]],
}
test "another policy holds it back" {
  policy = "grow", with = "slow-answers", target = web, run_for = "30m",
  series = { asg_cpu = "0m:45% 10m:85% 14m:40%", alb_p99 = "0m:100ms 5m:900ms 20m:100ms" },
  timeline = [[
    12m  fire
    12m  deny inhibition
    12m  page not grown
    12m  end refused
    15m  clear
    15m  resolve
  ]],
}
test "outside its window it does not" {
  policy = "shrink-at-night", target = web, series = { asg_cpu = "5%" }, starts_at = "2026-11-22T23:30:00Z", run_for = "1h",
  timeline = [[
    5m  fire
    5m  deny window
    5m  page not now
    5m  end refused
  ]],
}
test "shortly before its window it waits" {
  policy = "shrink-at-night", target = web, params = { outside = "wait" }, series = { asg_cpu = "5%" }, starts_at = "2026-11-23T00:45:00Z", run_for = "1h",
  timeline = [[
    5m   fire
    15m  act shrink desired 8 -> 6 ok
    15m  end succeeded
  ]],
}
test "within its window it does" {
  policy = "shrink-at-night", target = web, series = { asg_cpu = "5%" }, starts_at = "2026-11-23T01:30:00Z", run_for = "1h",
  timeline = [[
    5m  fire
    5m  act shrink desired 8 -> 6 ok
    5m  end succeeded
  ]],
}
test "first it cancels, then with approval it ends" {
  policy = "end-stuck", target = { id = "db", sessions = { "2 active 10m user=report", "5 idle 0s" } }, run_for = "30m",
  changes = { ["2m"] = { sessions = { "3 active 20m", "1 active 5h superuser" } } },
  series = { pg_connections = "0m:5 1m:20 6m:3" }, operator = { ["5m"] = "approve" },
  timeline = [[
    1m30s  fire
    1m30s  act cancel cancel 2 queries (oldest running 11m30s) ok
    3m30s  verify fine failed
    3m30s  page approval stop end 3 running sessions (oldest running 21m30s)
    5m     act stop end 3 running sessions (oldest running 23m) ok
    6m     verify fine ok
    6m     end succeeded
    6m10s  clear
    6m10s  resolve
  ]],
}
test "a denied approval is a no" {
  policy = "end-stuck", target = { id = "db", sessions = "2 active 10m" }, run_for = "30m",
  changes = { ["2m"] = { sessions = { "3 active 20m" } } },
  series = { pg_connections = "0m:5 1m:20" }, operator = { ["5m"] = "deny" },
  timeline = [[
    1m30s  fire
    1m30s  act cancel cancel 2 queries (oldest running 11m30s) ok
    3m30s  verify fine failed
    3m30s  page approval stop end 3 running sessions (oldest running 21m30s)
    5m     deny approval
    5m     page nobody allowed it
    5m     end ineffective
  ]],
}
test "nobody answers" {
  policy = "end-stuck", target = { id = "db", sessions = "2 active 10m" }, run_for = "40m", results = { cancel = "refused" },
  series = { pg_connections = "0m:5 1m:20" },
  timeline = [[
    1m30s   fire
    1m30s   act cancel cancel 2 queries (oldest running 11m30s) failed
    3m30s   verify fine failed
    3m30s   page approval stop end 2 running sessions (oldest running 13m30s)
    18m30s  deny approval
    18m30s  page nobody allowed it
    18m30s  end failed
  ]],
}
test "a procedure is started with a value" {
  policy = "add", target = web, operator = { ["10m"] = "start times=2" }, run_for = "1h",
  timeline = [[
    10m  act one desired 8 -> 9 ok
    11m  act one desired 9 -> 10 ok
    12m  end succeeded
  ]],
}
test "a procedure that nobody starts does nothing" {
  policy = "add", target = web, run_for = "1h", timeline = "",
}

local fleet, hot = {}, { asg_cpu = "0m:45% 10m:85% 14m:40%" }
for n = 2, 23 do
  fleet[n - 1] = { id = "web-" .. n, desired = 2 }
  hot["asg_cpu@web-" .. n] = "0m:45% 5m:85% 9m:40%"
end
test "a storm of episodes lowers the agent to shadow" {
  policy = "grow", target = { id = "web-1", desired = 8 }, others = fleet, series = hot, run_for = "20m",
  timeline = [[
    7m   page storm
    12m  fire
    12m  deny blast radius
    12m  page not grown shadow
    12m  end refused
    15m  clear
    15m  resolve
  ]],
}

test "a group is as large as what a signal reads takes" {
  policy = "size", target = { id = "web-1", desired = 8 },
  series = { asg_cpu = "0m:40% 10m:85% 20m:30%", alb_requests = "6100" }, run_for = "40m",
  timeline = [[
    12m  fire
    12m  act asg_scale desired 8 -> 11 (alb_requests 6100, 600 an instance) ok
    20m  verify cleared ok
    20m  end succeeded
    21m  clear
    21m  resolve
  ]],
}
test "a signal that is not known sizes nothing" {
  policy = "size", target = { id = "web-1", desired = 8 },
  series = { asg_cpu = "0m:40% 10m:85%", alb_requests = "0m:6100 5m:_" }, run_for = "40m", never = { "act " },
}
test "within its max" {
  policy = "size", target = { id = "web-1", desired = 8 }, params = { size_max = 10 },
  series = { asg_cpu = "0m:40% 10m:85%", alb_requests = "6100" }, run_for = "15m",
  timeline = [[
    12m  fire
    12m  act asg_scale desired 8 -> 10 (alb_requests 6100, 600 an instance) ok
  ]],
}
test "what is approved is the size, not the reading" {
  policy = "size", target = { id = "web-1", desired = 8 }, mode = "approve",
  series = { asg_cpu = "0m:40% 10m:85%", alb_requests = "0m:6100 14m:6200 18m:9000" }, run_for = "17m",
  operator = { ["16m"] = "approve" },
  timeline = [[
    12m  fire
    12m  page approval asg_scale desired 8 -> 11 (alb_requests 6100, 600 an instance)
    16m  act asg_scale desired 8 -> 11 (alb_requests 6200, 600 an instance) ok
  ]],
}
test "another size is asked for once more" {
  policy = "size", target = { id = "web-1", desired = 8 }, mode = "approve",
  series = { asg_cpu = "0m:40% 10m:85%", alb_requests = "0m:6100 14m:9000" }, run_for = "20m",
  operator = { ["16m"] = "approve", ["18m"] = "approve" },
  timeline = [[
    12m  fire
    12m  page approval asg_scale desired 8 -> 11 (alb_requests 6100, 600 an instance)
    16m  page approval asg_scale desired 8 -> 15 (alb_requests 9000, 600 an instance)
    18m  act asg_scale desired 8 -> 15 (alb_requests 9000, 600 an instance) ok
  ]],
}
