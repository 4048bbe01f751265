policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg {}, when = sig.asg_cpu { above = "60%" }, actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r)
    r:page(string.format("%p", r))
  end,
}
