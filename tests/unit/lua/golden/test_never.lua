test "never of nothing" { policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h", never = {} }
