policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {},
  when = sig.asg_cpu { above = "60%" },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
