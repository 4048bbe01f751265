test "rows" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h", never = { "act grow", "sleep" },
  timeline = [[

    15m  fire
    soon act grow
    14m  act grow desired 8 -> 10 ok
    20m  akt grow
    2h   end succeeded
    21m]],
}
test "rows in one line" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h", timeline = "15m fired",
}
