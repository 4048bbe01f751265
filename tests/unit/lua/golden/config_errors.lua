runbookd {
  state_dri = "/x", mode = "on", budget = "20", storm = { episodes = "many", windw = "5m" },
  pagerduty = { url = "events.pagerduty.com", change_url = "http://pager.example.com/" }, webhook = { url = "https://:1/" },
  shadow_sink = { url = "http://localhost:1@example.com/", file = "x" }, policies = 5,
}
