-- A demo's pace: points each 5 s in place of minutes. The thresholds are the runbook's own.
return {
  asg_metric_period = "5s", asg_cpu_lasting = "10s", asg_healthy_lasting = "5s",
  asg_calm_lasting = "10s", asg_calm_cpu = "45%", asg_grow_by = "50%", asg_max = 8, asg_mode = "enforce",
  pg_period = "2s", pg_connections_lasting = "4s", pg_relieved_lasting = "4s", pg_idle_over = "5s", pg_free_at_once = 50,
  pg_verify_within = "12s", pg_mode = "enforce",
  cache_period = "2s", cache_evictions_lasting = "6s", cache_ended_lasting = "6s", cache_verify_within = "1m", cache_mode = "enforce", cache_status_period = "2s", cache_save_within = "30s",
  cache_ladder = { "cache.t4g.micro", "cache.t4g.small", "cache.t4g.medium" },
}
