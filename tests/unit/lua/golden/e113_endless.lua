policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = "60%" },
  checks = { cool = sig.asg_cpu { below = "40%", lasting = "1m" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r)
    while not r:holds "cool" do
      r:log "still hot"
    end
  end,
}
