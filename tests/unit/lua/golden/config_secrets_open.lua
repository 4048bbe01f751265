runbookd {
  pagerduty = { routing_key = secret.file "open.key" },
  webhook = { url = "https://hooks.example.com/", secret = secret.file("open.key") },
}
