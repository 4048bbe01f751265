-- What an operator gives at the start is known to the checks and the actions of the run, not before it.
procedure "grow" {
  owner = "t", severity = "sev4", doc = "https://example.com", target = find.asg {},
  params = { queue = { type = "string", help = "whose backlog" } },
  checks = { fine = sig.cloudwatch { namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", unit = "count",
                                     dimensions = { QueueName = "$param.queue" }, below = 10 } },
  window = sig.cloudwatch { namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", unit = "count",
                            dimensions = { QueueName = "$param.queue" }, below = 1000 },
  actions = { grow = act.asg_scale { by = 1, max = 9 } },
  run = function(r)
    if not r:act "grow" then return r:page "no" end
    r:verify "fine"
  end,
}
policy "other" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = sig.cloudwatch { namespace = "A", metric = "B", unit = "count", dimensions = { Q = "$step.grow.after" }, above = 1 },
  actions = { act.asg_scale { by = 1, max = 2 } },
}
