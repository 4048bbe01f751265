policy "windows" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = any {
    sig.clock { days = "mon-fry", from = "9:00", to = "24:01", tz = "Europe/Berln" },
    sig.clock { from = "24:00", to = "17:00", lasting = "5m", above = 3 },
    sig.clock { days = "", from = "09:00", to = "09:00", tz = "../../../etc/passwd" },
    sig.clock { from = 9, tz = "Mars" },
    sig.clok { from = "09:00", to = "17:00" },
    sig.clock "always",
    sig.clock { days = "fri-mon, wed", from = "22:00", to = "06:00", tz = "America/Argentina/Buenos_Aires" },
    all { sig.clock { from = "00:00", to = "24:00" }, sig.asg_cpu { above = "60%", missing = true } },
  },
  actions = { act.asg_scale { by = 1, max = 2 } },
  run = function(r) r:read(sig.clock { from = "00:00", to = "24:00" }) end,
}
policy "silent-at-night" {
  owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {},
  when = all { sig.clock { from = "22:00", to = "06:00" }, sig.asg_cpu { above = "60%", missing = true } },
  actions = { act.asg_scale { by = 1, max = 2 } },
}
