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
    PG_OF("not idle"),
    PG_FILTERS,
};

PG_SESSIONS_ACTION(pg_terminate, "end client sessions, the oldest first", "database_connections",
                   false, pg_sessions_state_ended);
