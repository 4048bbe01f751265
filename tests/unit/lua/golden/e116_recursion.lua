local function f(n) return 1 + f(n + 1) end
local x = f(1)
