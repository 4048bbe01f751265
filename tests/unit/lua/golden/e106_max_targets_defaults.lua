defaults { owner = 5, limit = "never" }
defaults { }
policy "a" { severity = "sev3", doc = "https://x.example", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = "60%" }, actions = { act.asg_scale { by = 1, max = 5 } }, }
