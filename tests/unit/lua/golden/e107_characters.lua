-- columns count characters, not bytes
policy "ä" { owner = "Jörg Müßig", severity = "größer" }
local t = { ["日本"] = sig.asg_cpu { above = 1 } }
