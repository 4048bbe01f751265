policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {}, when = sig.pg_connections { above = 800 },
  actions = {
    first = act.pg_terminate { running_over = "10m" },
    good  = act.pg_terminate { of = "first" },
    typo  = act.pg_terminate { of = "frist" },
    own   = act.pg_terminate { of = "own" },
    none  = act.pg_terminate { of = "" },
    both  = act.pg_terminate { of = "first", running_over = "1m" },
  },
  run = function(r) return r:act "first" or r:page "x" end,
}
