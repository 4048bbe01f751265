policy "a" {
  owner = "o", severity = "sev3", doc = "https://x.example", target = find.asg {}, when = sig.asg_cpu { above = "60%" },
  actions = { act.asg_scale { by = 1, max = 5 } }, max_targets = 0,
}
policy "b" {
  owner = "o", severity = "sev3", doc = "https://x.example", target = find.asg {}, when = sig.asg_cpu { above = "60%" },
  actions = { act.asg_scale { by = 1, max = 5 } }, max_targets = "0%",
}
