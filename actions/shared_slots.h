/* The connections of a database: how many it allows, and how many it has. For actions that use them
 * up. */
#ifndef RB_ACTIONS_SHARED_SLOTS_H
#define RB_ACTIONS_SHARED_SLOTS_H

#include "shared_aws.h"

/* What is seen, also in the states of policies' tests: "max_connections", "reserved_connections",
 * "connections_used". */
extern const char slots_sql[];
void slots_take(const struct action_call *c, const struct pg_rows *rows, struct json *seen,
                struct err *e);

struct slots {
    int64_t max_connections;
    int64_t reserved; /* of these, not for applications */
    int64_t usable;   /* the others */
    int64_t used;
};
bool slots_read(const struct json *seen, struct slots *out); /* false: not all of it is known */

/* The same in the states of policies' tests: rows of an option table, WHOSE helps with the first.
 */
#define SLOTS_STATE(WHOSE)                                                                         \
    {.name = "max_connections",                                                                    \
     .type = OPT_COUNT,                                                                            \
     .fallback = "1000",                                                                           \
     .min = 1,                                                                                     \
     .max = 100000,                                                                                \
     .help = (WHOSE)},                                                                             \
        {.name = "reserved_connections",                                                           \
         .type = OPT_COUNT,                                                                        \
         .fallback = "3",                                                                          \
         .max = 100000,                                                                            \
         .help = "of these, not for applications"},                                                \
    {                                                                                              \
        .name = "connections_used", .type = OPT_COUNT, .fallback = "0", .max = 100000,             \
        .help = "connections that the database has, whoever opened them"                           \
    }

#endif
