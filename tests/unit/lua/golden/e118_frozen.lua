procedure "frozen" {
  owner = "t", severity = "sev4", doc = "https://example.com", target = find.asg {},
  params = { pause = { type = "duration", help = "x" }, n = { type = "count" }, hard = { type = "bool" }, note = { type = "string" }, share = { type = "percent" } },
  actions = { grow = act.asg_scale { by = 1, max = 9 } },
  run = function(r)
    for _ = 1, r.params.n do r:sleep(r.params.pause) end
    if r.params.hard then r:log("for " .. r.params.note .. r.params.share) end
    r.target.name = "another"
    r:page "done"
  end,
}
