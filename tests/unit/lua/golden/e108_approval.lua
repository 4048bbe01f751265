policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {}, when = sig.rds_status { is = "failed" },
  actions = { act.rds_promote { replica = "b", approval = "none" } },
}
