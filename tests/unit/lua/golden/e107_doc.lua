policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://",
  target = find.asg {}, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } },
}
policy "b" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/two words",
  target = find.asg {}, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } },
}
