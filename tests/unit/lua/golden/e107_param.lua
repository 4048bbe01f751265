-- params
local hot = sig.asg_cpu { above = param("wrong_unit", "60%") }
policy "a" { owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } }, when = sig.asg_cpu { above = param("wrong_for_one", "60%") }, actions = { act.asg_scale { by = 1, max = 5 } }, }
