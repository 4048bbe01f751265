local slo = use "slo"
policy "a" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = all { slo.hot, sig.alb_p99 { above = slo.p99[1] } }, actions = { act.asg_scale { by = 1, max = 5 } }, }
