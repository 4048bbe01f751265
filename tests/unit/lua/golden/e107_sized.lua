local shrink = sig.alb_p99 { above = "1s", lasting = "5m" }
defaults { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {}, when = shrink }
policy "a" { actions = { act.asg_scale { to = sig.asg_cpu {}, per_instance = 60, max = 5 } }, verify_within = "1h" }
policy "b" { actions = { act.asg_scale { to = shrink, max = 5 } }, verify_within = "1h" }
policy "c" { actions = { act.asg_scale { to = sig.asg_cqu {}, max = 5 } }, verify_within = "1h" }
policy "d" { actions = { act.asg_scale { to = sig.rds_status {}, max = 5 } }, verify_within = "1h" }
policy "e" { actions = { act.asg_scale { to = sig.pg_connections {}, max = 5 } }, verify_within = "1h" }
policy "f" { actions = { act.asg_scale { to = sig.clock { from = "09:00", to = "10:00" }, max = 5 } }, verify_within = "1h" }
policy "g" { actions = { act.asg_scale { to = sig.asg_cpu {}, per_instnce = 60, max = 5 } }, verify_within = "1h" }
policy "h" { actions = { act.asg_scale { to = sig.cloudwatch { namespace = "N", metric = "m", unit = "count", dimensions = { Q = "$target.qeue" } }, max = 5 } }, verify_within = "1h" }
policy "i" { actions = { act.asg_scale { to = "8", max = 5 } }, verify_within = "1h" }
