-- The walk gives parameters of their types, so that it comes past them.
procedure "silent" {
  owner = "t", severity = "sev4", doc = "https://example.com", target = find.asg {},
  params = { pause = { type = "duration" } },
  actions = { grow = act.asg_scale { by = 1, max = 9 } },
  run = function(r)
    r:sleep(r.params.pause)
    r:act "grow"
  end,
}
