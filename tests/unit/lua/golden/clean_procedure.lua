defaults { owner = "team-a", doc = "https://example.com/x", severity = "sev4" }
procedure "scale" {
  target = find.asg { tag = { tier = "web" } },
  params = { count = { type = "count", default = 2, help = "how many" }, why = { type = "string" } },
  actions = { grow = act.asg_scale { by = 1, max = 5 } },
  run = function(r) return r:act "grow" or r:page("no: " .. r.params.why) end,
}
