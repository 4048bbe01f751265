/* pg_cancel: interrupts queries that have been running too long; their sessions stay. An idle
 * session has nothing to cancel. */
#include "shared_pg_sessions.h"

static struct plan *plan_it(const struct action_input *in, const struct json *seen, struct err *e)
{
    return pg_sessions_plan(in, seen, "cancel", "postgres:cancel", e);
}

static enum verdict judge_it(const struct action_input *in, const struct plan *p, size_t i,
                             const struct json *seen)
{
    (void)in;
    return pg_sessions_judge(p, i, seen, true);
}

static void apply_it(struct action_call *c)
{
    pg_sessions_apply(c, "pg_cancel_backend");
}

static const struct option options[] = {
    {.name = "running_over",
     .type = OPT_DURATION,
     .required = true,
     .min = 1000,
     .max = OPTION_NO_MAX,
     .help = "queries that have been running for longer"},
    PG_FILTERS,
};

static const char *const permissions[] = {"postgres:pg_monitor", "postgres:pg_signal_backend",
                                          NULL};
static const char *const outs[] = {"sessions", "missed", NULL};

const struct action_type pg_cancel_action = {
    .name = "pg_cancel",
    .summary = "cancel running queries, the oldest first",
    .targets = "postgres",
    .attribute = "sessions",
    .headroom = "",
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
    .state_apply = pg_sessions_state_cancelled,
};
