-- What is made of others is as late as the latest of them: 2 periods + lag + lasting (M15).
policy "late" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = sig.change { of = sig.asg_cpu {}, over = "30m", by = "50%", lasting = "5m" },
  verify_within = "5m",
  actions = { act.asg_scale { by = 1, max = 2 } },
}
