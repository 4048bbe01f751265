policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" },
  checks = { healthy = sig.alb_p99 { below = "500ms" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  max_acts = { grwo = 2 },
  run = function(r)
    if r:act("gorw") then r:verify "healty" end
    r:wait({ "healthy", "calm" }, "1h")
    return r:holds "x" or r:undo "shrink"
  end,
}
