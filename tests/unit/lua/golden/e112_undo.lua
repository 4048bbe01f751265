policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {}, when = sig.pg_connections { above = 800 },
  actions = { kill = act.pg_terminate { idle_over = "30m" } },
  run = function(r) return r:act "kill" and r:undo "kill" end,
}
