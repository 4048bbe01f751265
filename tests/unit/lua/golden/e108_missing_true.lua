policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = any { sig.alb_5xx { above = "1%" }, sig.asg_cpu { above = "60%", missing = "true" } },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
