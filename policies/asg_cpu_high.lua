-- CPU of a group above its limit for long enough: grow within its max, wait until all are in service and users are
-- served well again, and go back to where it was once it is calm. The runbook's "Scaling 1" and "Monitoring 1".
local period = param("asg_metric_period", "1m") -- of CloudWatch: 1m, or 5m without detailed monitoring

local hot = sig.asg_cpu { above = param("asg_cpu_limit", "60%"), lasting = param("asg_cpu_lasting", "5m"), period = period }

-- Users are served well: the service levels of the runbook.
local function served(p99, lasting)
  return all {
    sig.alb_p99 { below = p99, lasting = lasting, period = period },
    sig.alb_5xx { below = "0.1%", lasting = lasting, period = period },
  }
end

policy "asg-cpu-high" {
  owner = "team-web", severity = "sev3", doc = "https://runbooks.example.com/high-cpu",
  target = find.asg { tag = { tier = "web" } },
  when   = hot,
  checks = {
    hot     = hot,
    healthy = all {
      sig.asg_in_service { at_least = "100%" },
      served("500ms", param("asg_healthy_lasting", "2m")),
    },
    calm = all {
      sig.asg_cpu { below = param("asg_calm_cpu", "35%"), lasting = param("asg_calm_lasting", "30m"), period = period },
      served("300ms", param("asg_calm_lasting", "30m")),
    },
  },
  actions = { grow = act.asg_scale { by = param("asg_grow_by", "25%"), max = param("asg_max", 20) } },
  mode = param("asg_mode", "shadow"),
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
