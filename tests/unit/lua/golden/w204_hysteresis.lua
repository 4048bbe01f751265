policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" },
  checks = { cool = all { sig.asg_cpu { below = "60%" } } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r) if r:act "grow" and not r:verify("cool", "20m") then r:page "still hot" end end,
}
