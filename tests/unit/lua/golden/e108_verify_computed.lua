local function verified(r, name, within)
  return r:verify(name, within)
end
policy "computed" {
  owner = "o", severity = "sev3", doc = "https://x.example",
  target = find.asg {},
  when = sig.asg_cpu { above = "60%", lasting = "5m" },
  checks = { healthy = sig.asg_cpu { below = "60%", lasting = "10m" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  max_acts = 2,
  run = function(r)
    if not r:act "grow" then return r:page "no" end
    for minutes = 10, 20, 10 do
      if not r:verify("healthy", minutes .. "m") then return r:page "not helped" end
    end
    if not verified(r, "healthy", "1h") then return r:page "not helped" end
    if not verified(r, "healthy", "2m") then return r:page "not helped" end
    local name = "healthy"
    if not r:verify(name) then return r:page "not helped" end
  end,
}
