policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = "web" , name = { x = "y" } },
  when = all {},
  checks = { sig.asg_cpu { above = "60%" } },
  actions = { act.asg_scale { by = 1, to = 3, max = 5 }, grow = act.asg_scale { by = 1, max = 5 } },
  max_acts = { 1 },
}
policy { owner = "x" }
policy "b"
policy "c" "d"
local z = any { x = sig.asg_cpu { above = "1%" } }
local q = sig.asg_cpu "60%"
