policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = "160%", lasting = "400d" },
  actions = { act.asg_scale { by = 1, max = 5000 }, act.asg_scale { by = 1, min = 9, max = 5 } },
  blind_after = "1s",
}
