policy "empty" {}
policy "half" { owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" },
  actions = { grow = act.asg_scale { by = 1 } },
}
local x = act.pg_terminate {}
local y = sig.cloudwatch { namespace = "A", above = 1 }
