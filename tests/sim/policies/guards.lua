-- Small policies, one for each thing that a test file can say: guards_test.lua.
defaults { owner = "team-web", doc = "https://runbooks.example.com/x" }

local hot = sig.asg_cpu { above = "60%", lasting = "2m" }

policy "grow" {
  severity = "sev3", target = find.asg { tag = { tier = "web" } }, when = hot,
  actions = { grow = act.asg_scale { by = 2, max = param("grow_max", 20) } },
  cooldown = "10m", limit = "3 per 1h", max_targets = 1,
  run = function(r)
    if not r:act "grow" then return r:page "not grown" end
    if not r:verify("cool", "10m") then return r:page "it did not help" end
  end,
  checks = { cool = sig.asg_cpu { below = "50%" } },
}

policy "slow-answers" {
  severity = "sev2", target = find.asg {}, when = sig.alb_p99 { above = "500ms", lasting = "2m" },
  actions = { act.asg_scale { by = 1, max = 20 } }, inhibits = { "grow" },
}

policy "shrink-at-night" {
  severity = "sev4", target = find.asg {}, when = sig.asg_cpu { below = "10%", lasting = "5m" },
  actions = { shrink = act.asg_scale { by = -2, min = 4, max = 20 } },
  window = sig.clock { from = "01:00", to = "03:00" }, outside = param("outside", "refuse"),
  run = function(r) if not r:act "shrink" then return r:page "not now" end end,
}

policy "end-stuck" {
  severity = "sev3", target = find.postgres {}, when = sig.pg_connections { above = 10, lasting = "30s" },
  actions = { cancel = act.pg_cancel { running_over = "5m" }, stop = act.pg_terminate { running_over = "5m", approval = "required" } },
  checks = { fine = sig.pg_connections { at_most = 8 } },
  run = function(r)
    r:act "cancel"
    if r:verify("fine", "2m") then return end
    if not r:act "stop" then return r:page "nobody allowed it" end
    if not r:verify("fine", "2m") then r:page "still there" end
  end,
}

procedure "add" {
  severity = "sev4", target = find.asg {},
  params = { times = { type = "count", default = 1 } },
  actions = { one = act.asg_scale { by = 1, max = 20 } }, max_acts = { one = 3 },
  run = function(r)
    for _ = 1, r.params.times do
      if not r:act "one" then return r:page "no" end
      r:sleep "1m"
    end
  end,
}

-- As many instances as the requests take, not as many as the CPU guesses.
policy "size" {
  severity = "sev3", target = find.asg {}, when = hot,
  actions = { act.asg_scale { to = sig.alb_requests {}, per_instance = 600, min = 2, max = param("size_max", 20) } },
}
