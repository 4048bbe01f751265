local limits = { ["high"] = {
60 } }   policy    'a' -- a comment { above = 1 }
{ owner = "team-a", severity = "sev3", doc = "https://example.com/x", target = find.asg { tag = { tier = "web" } },
	when=sig . asg_cpu --[[ above = ]] {  -- { }
	["above"]
	=
	  [==[sixty]==];lasting='ü5m'},actions = { act.asg_scale { by = 1, max = 5 } },
checks={h=sig.asg_cpu{above=limits.high[1]}}}; local q = { sig.asg_cpu { above = 1 }, sig.asg_cpu { above = 2 } }
