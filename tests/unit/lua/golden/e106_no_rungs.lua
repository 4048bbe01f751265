defaults { owner = "t", severity = "sev3", doc = "https://example.com", target = find.asg {} }
policy "ladder" { when = sig.asg_cpu { above = "60%" }, actions = {} }
policy "pages-only" { when = sig.asg_cpu { above = "60%" }, actions = {}, run = function(r) r:page "look" end }
