local slo = use "slow"
local hot = sig.asg_cpu { above = slo.hot.limit }
