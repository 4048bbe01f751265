/* pg_terminate: ends client sessions that have been idle, idle in a transaction or running too
 * long, or that did not do as another action told them. */
#include "shared_pg_sessions.h"

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
    {.name = "of",
     .type = OPT_STEP,
     .words = "sessions",
     .one_of = "which",
     .help =
         "the sessions that this action named in this run, as far as they are still there and not "
         "idle"},
    PG_FILTERS,
};

PG_SESSIONS_ACTION(pg_terminate, "end client sessions, the oldest first", "database_connections",
                   "pg_terminate_backend", false, pg_sessions_state_ended);
