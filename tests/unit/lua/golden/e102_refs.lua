policy "a" {
  owner = "team-a", severity = "sev3", doc = "https://example.com/x",
  target = find.asg { tag = { tier = "web" } },
  when = sig.cloudwatch { namespace = "X", metric = "Y", unit = "count", above = 3,
    dimensions = { Name = "$target.name", Zone = "$target.zoone", Tag = "$target.tag.tier", Run = "$run.id" } },
  actions = { act.asg_scale { by = 1, max = 5 } },
}
