policy "a" {
  owner = 5, severity = "critical", doc = "wiki", 
  target = "web", when = true,
  actions = { act.asg_scale { by = "1", max = "many" } },
  cooldown = 15, limit = "often", max_targets = true, mode = "on", deadline = "1 day",
  run = "x", inhibits = 3,
}
local a = sig.asg_cpu { above = 60, lasting = 5 }
local b = sig.pg_connections { above = "800" }
local c = sig.alb_p99 { below = 500 }
local d = sig.rds_status { above = "available" }
local e = sig.asg_cpu { is = "hot" }
local f = all { 1, sig.asg_cpu { above = "60%" }, function() end }
local g = sig.alb_5xx { below = "0,1%", missing = "maybe" }
