policy "x" {
  owner = "o", severity = "sev3", doc = "https://x.example.com",
  target = find.postgres {},
  when = sig.pg_connections { above = 5 },
  actions = { act.pg_terminate { idle_over = "5m" } },
  inhibits = { "y", "x" },
}
