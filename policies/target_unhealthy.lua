-- Targets of a group's load balancer that stay unhealthy: end one instance, wait until its replacement is in service and
-- healthy, then the next one; page when that does not help. With few healthy ones left nothing is ended: then it is not
-- the instances. A group with health check ELB replaces them itself: the policy leaves it to that.
policy "target-unhealthy" {
  owner = "team-web", severity = "sev3", doc = "https://runbooks.example.com/target-unhealthy",
  target = find.asg { tag = { tier = "web" } },
  when   = sig.alb_healthy { below = "100%", lasting = param("unhealthy_lasting", "5m") },
  checks = {
    replaced = all {
      sig.asg_in_service { at_least = "100%" },
      sig.alb_healthy { at_least = "100%", lasting = param("unhealthy_well_lasting", "1m") },
    },
  },
  actions = { replace = act.asg_replace { max = 1, min_healthy = param("unhealthy_min_healthy", "50%") } },
  mode = param("unhealthy_mode", "shadow"),
  limit = "2 per 1h", max_acts = { replace = 2 }, cooldown = "15m",
  run = function(r)
    for _ = 1, 2 do
      if not r:act "replace" then return r:page "an unhealthy instance could not be replaced" end
      if r:verify("replaced", param("unhealthy_within", "10m")) then return end
    end
    r:page "targets are still unhealthy: look at what they have in common"
  end,
}
