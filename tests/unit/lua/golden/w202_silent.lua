policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = "60%" },
  checks = { cool = sig.asg_cpu { below = "40%", lasting = "1m" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  max_acts = { grow = 2 },
  run = function(r)
    for _ = 1, 2 do
      if not r:act "grow" then return end
      if r:verify("cool", "20m") then return end
    end
    r:page "still hot"
  end,
}
