runbookd {
  http = { listen = "[::1]:9117", alertmanager = secret.env "RB_GOLDEN_UNSET" },
  nameserver = "::1",
  operators = "bin2",
  pagerduty = { routing_key = secret.file "." },
}
