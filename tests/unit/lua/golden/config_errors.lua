runbookd {
  state_dri = "/x", mode = "on", budget = "20", storm = { episodes = "many", windw = "5m" },
  pagerduty = { url = "https://x" }, policies = 5,
}
