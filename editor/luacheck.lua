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
      "asg_cpu",
      "alb_p99",
      "alb_avg",
      "alb_requests",
      "alb_5xx",
      "cloudwatch",
      "asg_in_service",
      "asg_desired",
      "asg_headroom",
      "alb_healthy",
      "alb_draining",
      "pg_connections",
      "pg_conn_used",
      "pg_query_age",
      "pg_idle_in_transaction",
    } },
    act = { fields = {
      "asg_scale",
      "pg_terminate",
      "pg_cancel",
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
