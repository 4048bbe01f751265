policy "roots" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = sig.cloudwatch { namespace = "A", metric = "B", unit = "count", dimensions = { D = "$targt.name", E = "costs $5.00", F = "$1" }, above = 1 },
  actions = { act.asg_scale { by = 1, max = 2 } },
}
