-- The documented tests of the language's example. tests/sim/example.c kills the agent at each event of the first.
test "grows once, then shrinks back" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 },
  series = { alb_p99 = "120ms", alb_5xx = "0.01%",
             asg_cpu = "0m:45% 10m:85% 20m:30%", asg_in_service = "0m:100% 16m:80% 19m:100%" },
  run_for = "3h",
  timeline = [[
    15m  fire
    15m  act grow desired 8 -> 10 ok
    19m  verify healthy ok
    21m  clear
    50m  wait calm|hot -> calm
    50m  undo grow desired 10 -> 8 ok
    50m  end succeeded
    50m  resolve ]],
}
test "a silent metric never acts" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 },
  series = { asg_cpu = "0m:85% 4m:_" }, run_for = "1h", never = { "act " },
  explain = { at = "20m", has = "sig.asg_cpu" },
}
