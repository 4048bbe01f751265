/* The table of sinks. */
#include "report/sink.h"

const struct sink_type *const sink_types[] = {&pagerduty_sink, &webhook_sink};
_Static_assert(sizeof(sink_types) / sizeof(sink_types[0]) <= SINKS_MAX, "raise SINKS_MAX");
const size_t sink_types_len = sizeof(sink_types) / sizeof(sink_types[0]);
