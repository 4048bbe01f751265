policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = sig.clock { from = "01:00", to = "02:00", clear = "03:00" },
  actions = { act.asg_scale { by = 1, max = 5, clear = "45%" } },
}
