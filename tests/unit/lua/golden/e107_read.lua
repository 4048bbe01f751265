policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {},
  when = sig.pg_connections { above = 800 },
  actions = { stop = act.pg_terminate { idle_over = "30m", max = 5 } },
  run = function(r)
    if r:read(sig.asg_cpu {}) then r:log "never" end
    r:page "x"
  end,
}
