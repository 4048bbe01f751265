local grow = { act.asg_scale { by = 1, max = 5 } }
defaults { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {}, actions = grow, verify_within = "1h" }
policy "a" { when = sig.asg_cpu { above = "60%", clear = "70%" } }
policy "b" { when = any { sig.asg_cpu { at_least = "60%", clear = "60%" }, sig.alb_p99 { above = "1s", clear = "900ms" } } }
policy "c" { when = all { sig.asg_in_service { below = "90%", clear = "80%" } } }
policy "d" { when = none { sig.asg_in_service { at_least = "90%", clear = "80%" } } }
policy "e" { when = sig.change { of = sig.asg_cpu {}, by = "-60%", clear = "-70%" } }
policy "f" { when = sig.change { of = sig.asg_cpu {}, by = "60%", clear = "-200%" } }
policy "g" { when = sig.asg_cpu { above = "60%", clear = "145%" } }
