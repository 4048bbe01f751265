defaults { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {}, actions = { act.asg_scale { by = 1, max = 5 } }, verify_within = "1h" }
policy "a" { when = sig.asg_cpu { above = "60%", clear = 45 } }
policy "b" { when = sig.alb_p99 { above = "1s", clear = "45%" } }
policy "c" { when = sig.compare { a = sig.asg_cpu {}, b = sig.alb_5xx {}, ratio_above = 2, clear = "1" } }
policy "d" { when = sig.asg_cpu { above = "60%", clear = sig.asg_cpu { below = "40%" } } }
