/* Signals that no collector reads. Their descriptors stand here; what they mean is the engine's
 * (engine/window.c). */
#include "plugin/collector.h"

static const struct option clock_options[] = {
    {.name = "days",
     .type = OPT_STRING,
     .fallback = "mon-sun",
     .help = "on which it begins: mon-fri, or sat,sun"},
    {.name = "from",
     .type = OPT_STRING,
     .required = true,
     .help = "local time of its begin, 22:00"},
    {.name = "to",
     .type = OPT_STRING,
     .required = true,
     .help = "local time of its end, 06:00; up to 24:00; not after from: of the next day"},
    {.name = "tz", .type = OPT_STRING, .fallback = "UTC", .help = "zone of the IANA database"},
};

const struct signal derived_signals[] = {
    {.name = "clock",
     .summary = "true while a clock in that zone shows a time of the window",
     .source = "the wall clock and the system's zone database",
     .derive = DERIVE_CLOCK,
     .targets = "any",
     .options = clock_options,
     .noptions = sizeof(clock_options) / sizeof(clock_options[0])},
};
const size_t derived_signals_len = sizeof(derived_signals) / sizeof(derived_signals[0]);
