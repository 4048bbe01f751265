-- estate
-- What no target of the kind has is told without an estate; what this one lacks, with it.
policy "a" {
  owner = "t", severity = "sev3", doc = "https://example.com/x", target = find.asg {},
  when = sig.cloudwatch { namespace = "X", metric = "Y", unit = "count", above = 3,
    dimensions = { Tier = "$target.tag.tier", Team = "$target.tag.team", Group = "$target.target_group" } },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
