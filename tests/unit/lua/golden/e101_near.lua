policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" }
  when = sig.asg_cpu { above = "60%" },
}
