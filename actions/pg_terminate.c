/* pg_terminate: ends client sessions that have been idle, idle in a transaction or running too
 * long. */
#include "shared_pg_sessions.h"

static struct plan *plan_it(const struct action_input *in, const struct json *seen, struct err *e)
{
    return pg_sessions_plan(in, seen, "end", "postgres:terminate", e);
}

static enum verdict judge_it(const struct action_input *in, const struct plan *p, size_t i,
                             const struct json *seen)
{
    (void)in;
    return pg_sessions_judge(p, i, seen, false);
}

static void apply_it(struct action_call *c)
{
    pg_sessions_apply(c, "pg_terminate_backend");
}

static const struct option options[] = {
    {.name = "idle_over",
     .type = OPT_DURATION,
     .one_of = "which",
     .min = 1000,
     .max = OPTION_NO_MAX,
     .help = "sessions outside a transaction that have been idle for longer (by state_change)"},
    {.name = "idle_in_transaction_over",
     .type = OPT_DURATION,
     .one_of = "which",
     .min = 1000,
     .max = OPTION_NO_MAX,
     .help = "sessions in a transaction, failed ones too, that have been idle for longer"},
    {.name = "running_over",
     .type = OPT_DURATION,
     .one_of = "which",
     .min = 1000,
     .max = OPTION_NO_MAX,
     .help = "sessions whose query has been running for longer"},
    PG_FILTERS,
};

static const char *const permissions[] = {"postgres:pg_monitor", "postgres:pg_signal_backend",
                                          NULL};
static const char *const outs[] = {"sessions", "missed", NULL};

const struct action_type pg_terminate_action = {
    .name = "pg_terminate",
    .summary = "end client sessions, the oldest first",
    .targets = "postgres",
    .attribute = "sessions",
    .headroom = "database_connections",
    .flags = ACTION_DESTRUCTIVE,
    .can_probe = true,
    .options = OPTIONS(options),
    .permissions = permissions,
    .outs = outs,
    .observe = pg_sessions_observe,
    .apply = apply_it,
    .cancel = pg_sessions_cancel,
    .plan = plan_it,
    .judge = judge_it,
    .state_options = pg_sessions_state,
    .nstate_options = PG_STATE_OPTIONS,
    .state_seen = pg_sessions_state_seen,
    .state_apply = pg_sessions_state_ended,
};
