test "wrong fields" { polizy = "asg-cpu-high", run_for = 3 }
test "unknown policy" { policy = "asg-cpu-hihg", target = { id = "web-1" }, run_for = "1h", never = { "act " } }
test "expects nothing" { policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h" }
test "too long" { policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "40d", never = { "act " } }
test "times" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h", starts_at = "yesterday",
  mode = "enforced", explain = { at = "2h", has = "x" }, with = { "pg-connections" },
}
test "parameters" {
  policy = "asg-cpu-high", target = { id = "web-1", desired = 8 }, run_for = "1h",
  params = { web_cpu_limits = "50%", ["web_cpu_limit@web-1"] = "40%" }, never = { "acts" }, explain = "text",
}
test "parameters" { }
test "no table"
test(7)
policy "here" { }
