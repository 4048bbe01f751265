test "targets" {
  policy = "asg-cpu-high", run_for = "1h", timeline = "",
  target = { id = "web-canary", desired = "many", suspendet = "Launch", mode = "on" },
  others = { { id = "web-canary", desired = 3 }, { id = "cluster/x" }, "web-3", { id = "service/s", asg = "web-9" } },
}
test "other tags" {
  policy = "asg-cpu-high", run_for = "1h", timeline = "", target = { id = "web-1", desired = 1, tag = { tier = "db" } },
}
test "no state" { policy = "asg-cpu-high", run_for = "1h", timeline = "", target = { id = "web-1" } }
test "a state that makes no sense" {
  policy = "pg-connections-high", run_for = "1h", timeline = "", target = { id = "db", sessions = "nonsense" },
  changes = { ["5m"] = { sessions = { "nonsense" } }, ["2h"] = { sessions = {} }, soon = { }, ["6m"] = { sesions = {} } },
}
test "series" {
  policy = "asg-cpu-high", run_for = "1h", timeline = "", target = { id = "web-1", desired = 1 },
  series = {
    asg_cpus = "45%", asg_cpu = "0m:45% 10m:85", alb_p99 = "120ms 130ms", ["asg_in_service@web-2"] = "100%",
    ["pg_connections{state=idle}"] = "0m:1 0m:2", pg_connections = 7, ["pg_connections{stat=idle}"] = "1",
    ["pg_connections{state"] = 1, ["alb_5xx{group}"] = "1%", alb_5xx = { "1%" }, rds_status = "0m:up 5m", cloudwatch = "",
  },
}
test "results" {
  policy = "asg-cpu-high", run_for = "1h", timeline = "", target = { id = "web-1", desired = 1 },
  results = { growl = "ok", grow = { "okay", { result = "refused", before = { desird = 2 } }, { resultat = 1 }, 7 } },
  operator = { ["1m"] = "aprove", ["2m"] = { "settle maybe", "silence", "mode on", "start count" }, ["3h"] = "freeze", ["x"] = 7,
               ["4m"] = "resume it", ["5m"] = 5 },
}
