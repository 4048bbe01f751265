local function base(name, run)
  policy(name) {
    owner = "team-a", severity = "sev3", doc = "https://example.com/x",
    target = find.asg { tag = { tier = "web" } },
    when = sig.asg_cpu { above = "60%" },
    actions = { grow = act.asg_scale { by = 1, max = 5 } },
    run = run,
  }
end
base("method", function(r)
  r:atc "grow"
  r:page "done"
end)
base("field", function(r)
  if not r:act "grow" then r:page("no " .. r.tagret.name) end
  r:page "done"
end)
base("call", function(r)
  r.target:restart "now"
end)
