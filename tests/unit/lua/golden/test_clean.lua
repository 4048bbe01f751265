local function web(n) return { id = "asg/web-1", desired = n, suspended = "Launch" } end
for n = 1, 3 do
  test(string.format("all of it, %d", n)) {
    policy = "asg-cpu-high", target = web(n), mode = "approve", starts_at = "2026-11-22T01:50:00Z", with = "pg-connections-high",
    others = { { id = "web-2", desired = 4 }, { id = "postgres/db" }, { id = "service/s", asg = "web-1", postgres = "db" } },
    params = { web_cpu_limit = "70%" },
    series = { asg_cpu = "0m:45% 10m:_", ["asg_cpu@web-2"] = "5%", ["pg_connections{state=idle}@db"] = 7 },
    results = { grow = { "ok", { before = { desired = 9 } }, "in_doubt_done" } },
    changes = { ["20m"] = { desired = 3 } },
    operator = { ["1m"] = { "freeze", "unfreeze" }, ["2m"] = "silence 2h", ["3m"] = "start a=1 b=2" },
    run_for = "3h", timeline = [[
      15m   fire
      1h30m end   succeeded
    ]], never = { "page ", "end failed" }, explain = { { at = "2h", has = "x" }, { at = "1h", has = "y" } },
  }
end
