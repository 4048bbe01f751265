local hot = sig.asg_cpu { above = param("web_cpu_limit") }
local cold = sig.asg_cpu { below = param "other" }
