policy "a" {
  owner = "o", severity = "sev3", doc = "https://x.example", target = find.asg {},
  when = sig.change { of = sig.asg_cpu {}, over = "30s", by = "50%" },
  actions = { act.asg_scale { by = 1, max = 5, approvers = "root, no-such-user", approval = "required" } },
}
