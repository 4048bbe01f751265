policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = "60%", lasting = "10m" },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
policy "b" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" },
  checks = { ok = sig.asg_cpu { below = "40%", lasting = "20m" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r)
    return r:act "grow" and r:verify("ok", "15m") and r:verify "ok" and r:verify("ok", "1h")
  end,
}
