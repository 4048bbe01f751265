/* The registry: the tables of collectors and actions, made from the rows of collectors.def and
 * actions.def. */
#include "plugin/action.h"
#include "plugin/collector.h"

#define X(name) extern const struct collector_type name##_collector;
#include "collectors/collectors.def"
#undef X
#define X(name) extern const struct action_type name##_action;
#include "actions/actions.def"
#undef X

#define ROWS(table)                                                                                \
    (sizeof(table) / sizeof((table)[0]) - 1) /* without the NULL that keeps an empty table valid   \
                                              */

const struct collector_type *const collector_types[] = {
#define X(name) &name##_collector,
#include "collectors/collectors.def"
#undef X
    NULL,
};
const size_t collector_types_len = ROWS(collector_types);

const struct action_type *const action_types[] = {
#define X(name) &name##_action,
#include "actions/actions.def"
#undef X
    NULL,
};
const size_t action_types_len = ROWS(action_types);
