policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { lasting = "5m" },
  checks = { ok = sig.alb_p99 { below = "1s", at_most = "2s" } },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
