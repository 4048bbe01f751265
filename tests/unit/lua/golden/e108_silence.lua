-- Silence neither resolves, nor opens a window, nor spares an approval.
policy "silence" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = sig.asg_cpu { above = "60%" },
  clear = none { sig.asg_cpu { above = "50%", missing = "false" } },
  window = sig.asg_cpu { below = "90%", missing = true },
  actions = {
    act.asg_scale { by = 1, max = 2, approval = "required",
                    approval_unless = any { sig.asg_cpu { above = "95%" }, sig.asg_cpu { above = "90%", missing = "true" } } },
  },
}
