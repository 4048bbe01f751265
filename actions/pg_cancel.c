/* pg_cancel: interrupts queries that have been running too long, or those of the sessions that
 * another action named; the sessions stay. An idle session has nothing to cancel. */
#include "shared_pg_sessions.h"

static const struct option options[] = {
    {.name = "running_over",
     .type = OPT_DURATION,
     .one_of = "which",
     .min = 1000,
     .max = OPTION_NO_MAX,
     .help = "queries that have been running for longer"},
    PG_OF("running a query"),
    PG_FILTERS,
};

PG_SESSIONS_ACTION(pg_cancel, "cancel running queries, the oldest first", "", true,
                   pg_sessions_state_cancelled);
