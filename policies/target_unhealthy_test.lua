-- What target_unhealthy.lua does, and what it must never do: runbookd test policies
local web = { id = "web-1", desired = 4, unhealthy = 1 }

test "one is replaced, and it is well again" {
  policy = "target-unhealthy", target = web,
  series = { alb_healthy = "0m:100% 10m:75% 17m:100%", asg_in_service = "0m:100% 15m:75% 16m:100%" },
  run_for = "1h",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 1 unhealthy: i-0001 ok
    17m10s  clear
    18m  verify replaced ok
    18m  end succeeded
    18m  resolve
  ]],
}

test "four minutes are nothing: a target that is being deployed to comes back" {
  policy = "target-unhealthy", target = web,
  series = { alb_healthy = "0m:100% 10m:75% 14m:100%", asg_in_service = "100%" },
  run_for = "1h",
  timeline = "",
}

test "half of the group is unhealthy: it is not the instances" {
  policy = "target-unhealthy", target = { id = "web-1", desired = 4, unhealthy = 3 },
  series = { alb_healthy = "0m:100% 10m:25%", asg_in_service = "100%" },
  run_for = "1h",
  timeline = [[
    15m  fire
    15m  deny preconditions
    15m  page an unhealthy instance could not be replaced
    15m  end refused
  ]],
}

test "two are replaced, one after the other, and then a human looks" {
  policy = "target-unhealthy", target = { id = "web-1", desired = 4, unhealthy = 2 },
  series = { alb_healthy = "0m:100% 10m:50%", asg_in_service = "100%" },
  run_for = "50m",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 2 unhealthy: i-0001 ok
    25m  verify replaced failed
    25m  act replace replace 1 of 1 unhealthy: i-0002 ok
    35m  verify replaced failed
    35m  page targets are still unhealthy: look at what they have in common
    35m  end ineffective
  ]],
}

test "an instance that Auto Scaling does not end is a human's" {
  policy = "target-unhealthy", target = web, results = { replace = "refused" },
  series = { alb_healthy = "0m:100% 10m:75%", asg_in_service = "100%" }, run_for = "1h",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 1 unhealthy: i-0001 failed
    15m  page an unhealthy instance could not be replaced
    15m  end failed
  ]],
}

test "the answer is lost: it is looked whether the instance is gone, and none is ended twice" {
  policy = "target-unhealthy", target = web, results = { replace = "in_doubt_done" },
  series = { alb_healthy = "0m:100% 10m:75% 17m:100%", asg_in_service = "0m:100% 15m:75% 16m:100%" }, run_for = "1h",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 1 unhealthy: i-0001 ok
    17m10s  clear
    18m  verify replaced ok
    18m  end succeeded
    18m  resolve
  ]],
}

test "readings that end before it is known whether it helped" {
  policy = "target-unhealthy", target = web,
  series = { alb_healthy = "0m:100% 10m:75% 16m:_", asg_in_service = "0m:100% 15m:75% 16m:100%" }, run_for = "30m",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 1 unhealthy: i-0001 ok
    25m  verify replaced blind
    25m  end blind
    25m  page on_failure
  ]],
}

test "in shadow nothing is replaced" {
  policy = "target-unhealthy", target = web, mode = "shadow",
  series = { alb_healthy = "0m:100% 10m:75% 17m:100%", asg_in_service = "100%" }, run_for = "1h",
  timeline = [[
    15m  fire
    15m  act replace replace 1 of 1 unhealthy: i-0001 shadow
    15m  end shadowed
    17m10s  clear
    17m10s  resolve
  ]],
}
