-- max_limit 1 per 1h
policy "a" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, limit = "2 per 1h" }
policy "b" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, limit = "20 per 1d" }
policy "c" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" },
  actions = { act.asg_scale { by = 1, max = 5 } },
  limit = "3 per 1h",
}
