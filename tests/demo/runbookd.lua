-- The demo's agent: @NAME@ is filled in by tests/demo/run.
runbookd {
  host = "demo",
  state_dir = "@DIR@/state",
  control = "@DIR@/control.sock",
  freeze_file = "@DIR@/freeze",
  mode = "@MODE@",
  estate = "estate.lua",
  policies = { "@SOURCE@/policies" },
  environment = "demo",
  budget_destructive = "20 per 1h",
  pagerduty = { routing_key = secret.file "@DIR@/routing_key", url = "@AWS@/v2/enqueue", change_url = "@AWS@/v2/change/enqueue" },
  shadow_sink = { file = "@DIR@/shadow.jsonl" },
}
