-- The example of the policy language: a custom sequence. Its timeline is asserted by tests/sim/example.c.
local hot = sig.asg_cpu { above = param("web_cpu_limit", "60%"), lasting = "5m" }

policy "asg-cpu-high" {
  owner = "team-web", severity = "sev3", doc = "https://runbooks.example.com/high-cpu",
  target = find.asg { tag = { tier = "web" }, except = { "web-canary" } },
  when   = hot,
  checks = {
    hot     = hot,
    healthy = all { sig.asg_in_service { at_least = "100%" },
                    sig.alb_p99 { below = "500ms", lasting = "2m" },
                    sig.alb_5xx { below = "0.1%", lasting = "2m" } },
    calm    = all { sig.asg_cpu { below = "35%", lasting = "30m" },
                    sig.alb_p99 { below = "300ms", lasting = "30m" },
                    sig.alb_5xx { below = "0.1%", lasting = "30m" } },
  },
  actions = { grow = act.asg_scale { by = "25%", max = 20 } },
  limit = "2 per 1d", max_acts = { grow = 3 }, cooldown = "10m", max_targets = "20%", deadline = "24h",
  run = function(r)
    for _ = 1, 3 do
      if not r:act "grow" then return r:page "scale-out refused or failed" end
      if not r:verify("healthy", "15m") then return r:page "SLO not restored; capacity kept" end
      local now = r:wait({ "calm", "hot" }, "7h")
      if now == "calm" then return r:undo "grow" or r:page "scale-in skipped: capacity changed" end
      if not now then break end
    end
    r:page "still loaded; extra capacity kept"
  end,
}
