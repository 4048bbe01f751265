-- A standard for luacheck; printed by runbookd policy-docs --format luacheck. In .luacheckrc:
--   stds.runbookd = dofile "luacheck.lua"
--   std = "runbookd"
return {
  read_globals = {
    "policy", "procedure", "defaults", "param", "use", "all", "any", "none",
    "assert", "error", "ipairs", "pairs", "tonumber", "tostring", "type",
    math = { fields = { "floor", "ceil", "min", "max", "abs" } },
    string = { fields = { "format" } },
    sig = { fields = {
    } },
    act = { fields = {
    } },
    find = { fields = {
      "aws",
      "asg",
      "postgres",
      "proxy",
      "cache",
      "service",
      "queue",
      "certificate",
      "instance",
    } },
  },
}
