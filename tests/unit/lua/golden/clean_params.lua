procedure "careful" {
  owner = "o", severity = "sev3", doc = "https://x.example",
  target = find.asg {},
  params = { patience = { type = "duration", help = "how long it may take to become well" } },
  checks = { healthy = sig.asg_cpu { below = "60%", lasting = "10m" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r)
    if not r:act "grow" then return r:page "no" end
    if not r:verify("healthy", r.params.patience) then return r:page "not helped" end
  end,
}
