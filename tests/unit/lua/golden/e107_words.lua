policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.postgres {},
  when = any {
    sig.rds_status { is = "storge-full" },
    sig.rds_status { is_not = "up" },
    sig.rds_status { is = "storage-full" },
    sig.rds_status { is_not = "available", lasting = "1m" },
    sig.rds_status { is = 3 },
  },
  actions = { act.pg_terminate { idle_over = "5m" } },
}
