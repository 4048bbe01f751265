-- The agent's configuration: one table. Every key has a default; what is written here is what differs from it, or what one wants to see.
-- Paths are relative to this file's folder. `runbookd check` tells of every mistake in all files at once.
runbookd {
  -- The most that any policy may do on this host: off, shadow (plan and report, never act), approve (a human approves each act), enforce.
  -- Start with "shadow". A policy and a target have their own mode; the lowest of the three counts.
  mode = "shadow",

  -- Where the journal lives: episodes, runs, counters, reports that wait. One agent a directory.
  state_dir = "/var/lib/runbookd",

  -- What there is, what is done about it, and the parameters of this environment (params/ENVIRONMENT.lua).
  estate      = "estate.lua",
  policies    = { "policies" },
  environment = "demo",

  -- Operators talk to the agent here (runbookctl). Whoever can open the socket may look and may freeze; changing things is for `operators`, if there are any.
  control   = "/run/runbookd/control.sock",
  operators = { "root", "oncall" },

  -- The kill switch: while this file exists nothing acts. Making it freezes, removing it does not unfreeze (runbookctl unfreeze does).
  freeze_file = "/run/runbookd/freeze",

  -- Limits of the host; no policy can be wider. The budgets count every act of every policy, undos included.
  budget             = "20 per 1h",
  budget_destructive = "5 per 1h",
  max_limit          = "6 per 1h", -- the widest `limit` that a policy may have
  storm              = { episodes = 20, window = "5m" }, -- more become one page, and the agent only watches

  -- The pager. The key is never written here: it is read from a file that only the agent can read (chmod 0400), or from the environment.
  -- pagerduty = { routing_key = secret.file "/etc/runbookd/pagerduty.key" },

  -- A signed webhook beside the pager (docs/reports.md): every report as JSON, to a chat bridge, a ticket system, an archive.
  -- webhook = { url = "https://hooks.example.com/runbookd", secret = secret.file "/etc/runbookd/webhook.key" },

  -- An HTTP listener for health, metrics and alerts of other monitors (docs/alerts.md). Plain HTTP: keep it on loopback.
  -- http = { listen = "127.0.0.1:9117" },

  -- Where shadow runs report to: a file of JSON lines. Without it they are in the log.
  -- shadow_sink = { file = "/var/lib/runbookd/shadow.jsonl" },

  -- dashboard = "https://runbookd.example.com", -- prefix of the links in reports
  log_level = "info",
}
