runbookd {
  http = { listen = "nonsense", sns_topics = { "arn:aws:sns:us-east-1:123456789012:alarms", "alarms" } },
  nameserver = "dns.example.com",
  dashboard = "runbookd.example.com",
  operators = { "root", "no-such-user", "uid:1234", "tty" },
  pagerduty = { routing_key = secret.env "RB_GOLDEN_SHORT_KEY" },
  shadow_sink = { routing_key = secret.file "keys/no-such.key" },
  webhook = { url = "https://hooks.example.com/", secret = secret.env "RB_GOLDEN_SHORT_KEY", old_secret = secret.env "RB_GOLDEN_UNSET" },
}
