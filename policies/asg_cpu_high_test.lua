-- What asg_cpu_high.lua does, and what it must never do: runbookd test policies
local web = { id = "web-1", desired = 8 }

-- Users are served well all the time; CPU and the group's size are each test's own.
local function served(asg_cpu, asg_in_service)
  return { alb_p99 = "120ms", alb_5xx = "0.01%", asg_cpu = asg_cpu, asg_in_service = asg_in_service }
end

test "it grows once, then shrinks back" {
  policy = "asg-cpu-high", target = web,
  series = served("0m:45% 10m:85% 20m:30%", "0m:100% 16m:80% 19m:100%"),
  run_for = "3h",
  timeline = [[
    15m  fire
    15m  act grow desired 8 -> 10 ok
    19m  verify healthy ok
    21m  clear
    50m  wait calm|hot -> calm
    50m  undo grow desired 10 -> 8 ok
    50m  end succeeded
    50m  resolve
  ]],
}

test "it grows again while it is hot, up to three times, then says so" {
  policy = "asg-cpu-high", target = web,
  series = served("0m:45% 10m:85%", "100%"), run_for = "2h",
  timeline = [[
    15m  fire
    15m  act grow desired 8 -> 10 ok
    18m  verify healthy ok
    21m  wait calm|hot -> hot
    21m  act grow desired 10 -> 13 ok
    24m  verify healthy ok
    27m  wait calm|hot -> hot
    27m  act grow desired 13 -> 17 ok
    30m  verify healthy ok
    33m  wait calm|hot -> hot
    33m  page still loaded; extra capacity kept
    33m  end succeeded
  ]],
}

test "four minutes of load are nothing" {
  policy = "asg-cpu-high", target = web,
  series = served("0m:45% 10m:85% 14m:45%", "100%"), run_for = "1h",
  timeline = "",
}

test "it stops at its max, and a human hears of it" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 20 },
  series = served("0m:45% 10m:85%", "100%"), run_for = "1h",
  timeline = [[
    15m    fire
    15m    deny preconditions
    15m    page scale-out refused or failed
    15m    end refused
  ]],
}

test "it stops at the group's own max" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8, max = 9 },
  series = served("0m:45% 10m:85%", "100%"), run_for = "25m",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 9 ok
    18m    verify healthy ok
    21m    wait calm|hot -> hot
    21m    deny preconditions
    21m    page scale-out refused or failed
    21m    end succeeded
  ]],
}

test "another controller of the group is left alone" {
  policy = "asg-cpu-high",
  target = { id = "web-1", desired = 8, controllers = "scaling policy cpu-60 (TargetTrackingScaling)" },
  series = served("0m:45% 10m:85%", "100%"), run_for = "25m",
  timeline = [[
    15m    fire
    15m    deny other controllers
    15m    page scale-out refused or failed
    15m    end refused
  ]],
}

test "users who are not served well again keep the capacity, and a human" {
  policy = "asg-cpu-high", target = web,
  series = { asg_cpu = "0m:45% 10m:85% 20m:30%", asg_in_service = "100%", alb_5xx = "0.01%",
             alb_p99 = "0m:120ms 12m:900ms" },
  run_for = "2h",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 ok
    21m    clear
    30m    verify healthy failed
    30m    page SLO not restored; capacity kept
    30m    end ineffective
    30m    resolve
  ]],
}

test "a refused request is paged, and not tried again" {
  policy = "asg-cpu-high", target = web, results = { grow = "refused" },
  series = served("0m:45% 10m:85%", "100%"), run_for = "40m",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 failed
    15m    page scale-out refused or failed
    15m    end failed
  ]],
}

test "a lost answer is found out by looking" {
  policy = "asg-cpu-high", target = web, results = { grow = "in_doubt_done" },
  series = served("0m:45% 10m:85% 20m:30%", "100%"), run_for = "3h",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 ok
    18m    verify healthy ok
    21m    clear
    50m    wait calm|hot -> calm
    50m    undo grow desired 10 -> 8 ok
    50m    end succeeded
    50m    resolve
  ]],
}

test "capacity that somebody else changed is not taken away" {
  policy = "asg-cpu-high", target = web, changes = { ["30m"] = { desired = 14 } },
  series = served("0m:45% 10m:85% 20m:30%", "100%"), run_for = "3h",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 ok
    18m    verify healthy ok
    21m    clear
    50m    wait calm|hot -> calm
    50m    deny preconditions
    50m    page scale-in skipped: capacity changed
    50m    end succeeded
    50m    resolve
  ]],
}

test "twice a day, then a human" {
  policy = "asg-cpu-high", target = web,
  series = served("0m:45% 10m:85% 20m:30% 2h:85% 2h10m:30% 4h:85% 4h10m:30%", "100%"), run_for = "6h",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 ok
    18m    verify healthy ok
    21m    clear
    50m    wait calm|hot -> calm
    50m    undo grow desired 10 -> 8 ok
    50m    end succeeded
    50m    resolve
    2h5m   fire
    2h5m   act grow desired 8 -> 10 ok
    2h8m   verify healthy ok
    2h11m  clear
    2h40m  wait calm|hot -> calm
    2h40m  undo grow desired 10 -> 8 ok
    2h40m  end succeeded
    2h40m  resolve
    4h5m   fire
    4h5m   deny rate per target
    4h5m   page scale-out refused or failed
    4h5m   end refused
    4h11m  clear
    4h11m  resolve
  ]],
}

test "a silent metric never acts" {
  policy = "asg-cpu-high", target = web,
  series = { asg_cpu = "0m:85% 4m:_" }, run_for = "1h", never = { "fire", "act " },
  explain = { at = "20m", has = "unknown sig.asg_cpu above 60%" },
}

test "when users cannot be seen the run ends blind" {
  policy = "asg-cpu-high", target = web,
  series = { asg_cpu = "0m:45% 10m:85%", asg_in_service = "100%", alb_5xx = "0.01%", alb_p99 = "0m:120ms 12m:_" },
  run_for = "40m",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 ok
    30m    verify healthy blind
    30m    end blind
    30m    page on_failure
  ]],
}

test "in shadow it says what it would do, and does nothing" {
  policy = "asg-cpu-high", target = web, mode = "shadow",
  series = served("0m:45% 10m:85% 20m:30%", "100%"), run_for = "1h",
  timeline = [[
    15m    fire
    15m    act grow desired 8 -> 10 shadow
    15m    end shadowed
    21m    clear
    21m    resolve
  ]],
}

test "a freeze holds it back until somebody lifts it" {
  policy = "asg-cpu-high", target = web, operator = { ["12m"] = "freeze", ["18m"] = "unfreeze" },
  series = served("0m:45% 10m:85% 30m:30%", "100%"), run_for = "2h",
  timeline = [[
    15m    fire
    18m    act grow desired 8 -> 10 ok
    21m    verify healthy ok
    24m    wait calm|hot -> hot
    24m    act grow desired 10 -> 13 ok
    27m    verify healthy ok
    31m    clear
    1h     wait calm|hot -> calm
    1h     undo grow desired 13 -> 8 ok
    1h     end succeeded
    1h     resolve
  ]],
}
