limit = "60%"
function helper() return 1 end
local t = {}
t.x = 1
policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.asg_cpu { above = limit },
  actions = { act.asg_scale { by = 1, max = 5 } },
  run = function(r) count = 1 end,
}
