local x = sig.asg_cup { above = "60%" }
local y = act.asg_scael { by = 1 }
local z = find.agg {}
local m = math.flor(3)
polcy "a" {}
os.exit()
local f = function() return lod("x") end
local s = string.rep("x", 3)
local e = _ENV.policy
