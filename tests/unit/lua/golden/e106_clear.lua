local slo = sig.alb_p99 { above = "1s", clear = "500ms" }
local hot = sig.asg_cpu { above = "60%", clear = "45%", lasting = "5m" }
local grow = { act.asg_scale { by = 1, max = 5 } }
policy "two-ends" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = any { hot, slo }, actions = grow,
  clear = sig.asg_cpu { below = "40%", clear = "30%" },
}
policy "words" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.postgres {},
  when = sig.rds_status { is = "storage-full", clear = "available" }, actions = { act.pg_terminate { idle_over = "5m" } },
}
policy "nothing-to-replace" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = sig.change { of = sig.asg_cpu { clear = "45%" }, clear = "2%" }, actions = grow,
}
policy "nobody-asks" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = hot,
  checks = { hot = hot, cool = none { slo } }, -- hot's is asked: it is of `when`, too
  window = slo,
  actions = { grow = act.asg_scale { by = 1, max = 5, approval_unless = slo } },
  run = function(r) r:page "x" end,
}
procedure "by-hand" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  checks = { hot = hot }, actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r) r:page "x" end,
}
