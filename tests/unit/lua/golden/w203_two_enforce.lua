-- estate
policy "a" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, mode = "enforce" }
policy "b" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg {}, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, mode = "enforce" }
policy "c" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, mode = "approve" }
policy "d" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.postgres { name = "orders" }, when = sig.pg_connections { above = 800 }, actions = { act.pg_terminate { idle_over = "10m" } }, mode = "enforce" }
policy "e" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.postgres { name = "bills" }, when = sig.pg_connections { above = 800 }, actions = { act.pg_terminate { idle_over = "10m" } }, mode = "enforce" }
