-- The leaf's own distance: no W204. The library's leaf has its clear from a parameter.
local slo = use "ends"
policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = any { slo.hot, none { sig.asg_in_service { above = "80%", clear = "95%" } },
               sig.change { of = sig.asg_cpu {}, by = "-60%", clear = "-20%", lasting = "1m" },
               sig.compare { a = sig.asg_cpu {}, b = sig.alb_5xx {}, ratio_above = 2, clear = 1 } },
  checks = { hot = slo.hot, cool = sig.asg_cpu { below = "60%" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r)
    if not r:act "grow" then return r:page "no" end
    if not r:verify("cool", "1h") then r:page "still hot" end
  end,
}
