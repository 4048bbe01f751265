-- estate basic
defaults { verify_within = "1h", owner = "team-a", severity = "sev3", doc = "https://example.com/x", actions = { act.asg_scale { by = 1, max = 5 } } }
policy "all" { target = find.asg { name = { "old-1", "old-2", "web-1" } },
    when = all { sig.asg_cpu { above = "60%", period = "1m" }, sig.asg_cpu { above = "70%" } } }
policy "one" { target = find.asg { name = "old-2" },
    when = sig.change { of = sig.asg_cpu { period = "1m" }, by = "50%", over = "1h" } }
policy "slow" { target = find.asg { name = "old-2" }, when = sig.asg_cpu { above = "60%", period = "5m" } }
policy "other" { target = find.asg { name = "web-1" }, when = sig.asg_cpu { above = "60%", period = "1m" } }
policy "any" { target = find.asg { name = "old-1" }, when = sig.asg_cpu { above = "60%", period = "7m" } }
