policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  wen = 1,
  when = sig.asg_cpu { abov = "60%", above = "60%", lastin = "5m" },
  actions = { act.asg_scale { by = 1, max = 5, aproval = "none" } },
  ["cool down"] = "5m",
}
