policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
